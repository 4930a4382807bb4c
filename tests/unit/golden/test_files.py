"""A golden file that nothing is compared with proves nothing, and looks as if it did."""

from __future__ import annotations

import pytest

from tests.fakes.golden import COMPARED, FOLDER


def test_every_golden_file_is_compared(whole: bool) -> None:
    if not whole:
        pytest.skip("not all tests that compare with golden files are in this run")
    assert {path.name for path in FOLDER.iterdir()} == COMPARED
