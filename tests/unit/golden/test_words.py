"""What people read is plain English: no word of the code's own in any output that is compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes.golden import FOLDER

BANNED = re.compile(
    r"\b(mend\w*|unasked|let go|told|tells|the way back|(?:come|comes|came) in by|last split"
    r"|nobody comes|there is none)\b"
)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.name)
def test_no_output_has_a_word_that_a_stranger_stumbles_over(path: Path) -> None:
    assert BANNED.findall(path.read_text()) == []
