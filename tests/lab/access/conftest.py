from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.support.behind_proxy import Server, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("access")) as there:
        yield there
