"""Texts that others wrote may be nested deeper than Python follows (RecursionError) or have numbers that no whole number
is (OverflowError): each reader takes them for what they are, texts that nobody understands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import routing
from access import exec_plugin, kubeconfig
from access.errors import BadKubeconfig
from components.live import parse_record
from migration.ownership.roles import LEADER_ANNOTATION, _elections
from migration.ports import returned
from migration.settings import salvage
from migration.store import verdicts
from migration.store.lock import Holder, _read
from stacks.config import json_or_text

DEEP = "[" * 100_000
INFINITE = '{"shop/cart": Infinity, "pid": Infinity, "command": "", "user": "", "host": "", "since": ""}'


def record(text: str) -> dict[str, Any]:
    keys = ("services", "entry", "sides", "returned")
    return {"data": {"generation": "1", **dict.fromkeys(keys, text)}}


def peer(text: str) -> dict[str, Any]:
    metadata = {"name": "cart-bluegreen-peer", "annotations": {routing.ORIGINAL_ANNOTATION: text}}
    return {"kind": "VirtualService", "metadata": metadata}


class Elected:
    """A view of one ConfigMap by which somebody is elected."""

    def __init__(self, text: str) -> None:
        self.text = text

    def of(self, name: str) -> list[dict[str, Any]]:
        annotated = {"metadata": {"name": "x", "namespace": "shop", "annotations": {LEADER_ANNOTATION: self.text}}}
        return [annotated] if name == "configmaps" else []


def refused(kind: type[Exception], act: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        act()
    return kind.__name__ if caught.value else ""


def verdict(text: str, folder: Path) -> dict[str, str]:
    (folder / verdicts.FILE).write_text(text)
    return verdicts.doubts(folder, "fern", ["shop/cart"])


READERS: dict[str, tuple[Callable[[str, Path], Any], Any]] = {
    "the edge's record": (lambda text, _: refused(ValueError, lambda: routing.read_record(record(text))), "ValueError"),
    "its sides": (lambda text, _: routing.record_sides(record(text)), {}),
    "a kept original": (lambda text, _: routing.original_of(peer(text)), None),
    "an answer to the program": (lambda text, _: refused(ValueError, lambda: parse_record(text.encode())), "ValueError"),
    "a credential program": (lambda text, _: refused(ValueError, lambda: exec_plugin.read(text.encode())), "ValueError"),
    "a kubeconfig": (lambda text, _: refused(BadKubeconfig, lambda: kubeconfig.read(text)), "BadKubeconfig"),
    "who holds the lock": (lambda text, _: _read(text), Holder()),
    "what verify found": (verdict, {"shop/cart": "never verified"}),
    "a damaged file": (lambda text, _: salvage._agreed([f"a: {text}"], largest=False), None),
}
OF_TEXTS: dict[str, tuple[Callable[[str, Path], Any], Any]] = {
    "who went back": (lambda text, _: returned.read(record(text)), {}),
    "who is elected": (lambda text, _: list(_elections(Elected(text))), []),  # type: ignore[arg-type]
    "a key of a stack file": (lambda text, _: json_or_text(text), DEEP),
}


@pytest.mark.parametrize("reader", READERS | OF_TEXTS)
def test_a_text_that_is_nested_too_deep_is_unreadable_to_each_reader(tmp_path: Path, reader: str) -> None:
    act, expected = (READERS | OF_TEXTS)[reader]
    assert act(DEEP, tmp_path) == expected


@pytest.mark.parametrize("reader", ["the edge's record", "who holds the lock"])
def test_a_number_that_is_not_finite_is_none(tmp_path: Path, reader: str) -> None:
    act, expected = READERS[reader]
    assert act(INFINITE, tmp_path) == expected
