"""Texts that others wrote may be long and of one letter: no expression of the product takes more than a time in proportion."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from lab.layout import CHECKOUT

PACKAGES = ("access", "migration", "routing", "manifests")
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "split")
BEGINS = ("", "a", "://", "{")
REPEATED = (
    *("x", "x-", "x.", "a/", "a:", "a://", "://", "a=", "a@", "a,", "a b ", "A", "aA", "_", "1", "1.", "a_", "a\n", "a=b\n"),
    *(
        "-",
        " ",
        "\t",
        "\n",
        " \n",
        "- ",
        '"',
        "'",
        "/",
        "<",
        "{",
        "}",
        "${",
        "\\",
        "@",
        "%2",
        "?",
        "?a",
        "[",
        "]",
        "(",
        ",",
        "#",
        "\x1b[",
    ),
)
LETTERS = 2_500
SUSPECT_SECONDS = 0.03
TIMES, LIMIT_SECONDS = 16, 2.5  # a suspect of 2,500 letters with 40,000: 16 times where it is in proportion, 256 where not


def expressions() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes], frozenset[str]]]:
    """(module and name, expression, the methods that the module calls it by)."""
    seen = set()
    for package in map(importlib.import_module, PACKAGES):
        inside = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for name in (package.__name__, *(found.name for found in inside if not found.name.endswith("__main__"))):
            module = importlib.import_module(name)
            for key, value in vars(module).items():
                if isinstance(value, re.Pattern) and value not in seen:
                    seen.add(value)
                    yield f"{name}.{key}", value, used_by(key)


@cache
def calls() -> dict[str, set[str]]:
    """Name -> the methods that the product calls it by."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in (file for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py")):
        for name, method in re.findall(rf"\b(\w+)\.({'|'.join(METHODS)})\(", file.read_text()):
            found[name].add(method if method in ("match", "fullmatch") else "search")
    return found


def used_by(name: str) -> frozenset[str]:
    """Passed on to somebody it may be searched with."""
    return frozenset(calls().get(name) or {"search"})


ALL = {name: (expression, methods) for name, expression, methods in expressions()}


class TooLong(Exception):
    pass


def ended(*_: object) -> None:
    raise TooLong


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """By processor time: a busy machine must not fail it."""
    before = signal.signal(signal.SIGVTALRM, ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def seconds(expression: re.Pattern[str] | re.Pattern[bytes], method: str, text: str) -> float:
    given = text.encode() if isinstance(expression.pattern, bytes) else text
    began = time.process_time()
    with limited():
        getattr(expression, method)(given)
    return time.process_time() - began


@pytest.mark.parametrize("name", ALL)
def test_a_long_text_of_one_letter_takes_a_time_in_proportion(name: str) -> None:
    expression, methods = ALL[name]
    for method in methods:
        for begin in BEGINS:
            for word in REPEATED:
                text = begin + word * (LETTERS // len(word))
                try:
                    if seconds(expression, method, text) > SUSPECT_SECONDS:
                        seconds(expression, method, begin + word * (TIMES * LETTERS // len(word)))
                except TooLong:
                    pytest.fail(f"{method} of {expression.pattern!r} in {begin + word!r}, repeated")
