"""The pair of bare control planes that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import TRICKY, Bare, await_object, control_planes


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bare, Bare]]:
    """(blue, green); what a test writes is in namespaces of its own."""
    root = tmp_path_factory.mktemp("bare")
    with control_planes(root, {"plum": "1.34", "fern": "1.36"}) as planes:
        yield planes["plum"], planes["fern"]


@pytest.fixture(scope="module")
def tricky(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """The pair with tricky objects on blue, not replicated yet. Some need an answer, which other modules' tests do not give:
    nothing of them stays.
    """
    blue = pair[0]
    blue.kubectl("apply", "-f", str(TRICKY), check=False)  # its custom object needs the definition of the same file
    blue.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s")
    await_object(blue, "serviceaccount/default", "-n", "tricky")
    blue.kubectl("apply", "-f", str(TRICKY))
    blue.kubectl("create", "deployment", "by-hand", "-n", "tricky", "--image=example/a:1")
    blue.kubectl("expose", "deployment", "by-hand", "-n", "tricky", "--port=80", "--type=NodePort")
    await_object(blue, "configmap/kube-root-ca.crt", "-n", "tricky")
    await_object(blue, "pods", "-n", "tricky", "-l", "app=web")
    yield pair
    for plane in pair:
        plane.kubectl("delete", "validatingwebhookconfiguration", "widgets", "--ignore-not-found")
        for held in ("configmap/settings", "widgets.example.com/first"):
            freed = '{"metadata":{"finalizers":null}}'
            plane.kubectl("patch", held, "-n", "tricky", "--type=merge", "-p", freed, check=False)
    remove_namespaces(pair, "tricky")
    for plane in pair:  # what is left is not in a namespace; the definition goes before its object, which is gone
        plane.kubectl("delete", "-f", str(TRICKY), "--ignore-not-found", check=False)
