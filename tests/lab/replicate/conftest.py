"""The pair of bare control planes that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.support.bare import TRICKY, Bare, await_object, control_planes


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bare, Bare]]:
    """(blue, green); what a test writes is in namespaces of its own."""
    root = tmp_path_factory.mktemp("bare")
    with control_planes(root, {"plum": "1.34", "fern": "1.36"}) as planes:
        yield planes["plum"], planes["fern"]


@pytest.fixture(scope="session")
def tricky(pair: tuple[Bare, Bare]) -> tuple[Bare, Bare]:
    """The pair with tricky objects on blue, not replicated yet."""
    blue = pair[0]
    blue.kubectl("apply", "-f", str(TRICKY), check=False)  # its custom object needs the definition of the same file
    blue.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s")
    blue.kubectl("apply", "-f", str(TRICKY))
    blue.kubectl("create", "deployment", "by-hand", "-n", "tricky", "--image=example/a:1")
    blue.kubectl("expose", "deployment", "by-hand", "-n", "tricky", "--port=80", "--type=NodePort")
    await_object(blue, "configmap/kube-root-ca.crt", "-n", "tricky")
    await_object(blue, "pods", "-n", "tricky", "-l", "app=web")
    return pair
