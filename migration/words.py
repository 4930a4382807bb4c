"""How counts, shares and long lists are worded, everywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

FULL = "--full shows them"
NAMED = 10  # names of a list that are shown; `--json` has all


def percent(share_bp: int) -> str:
    """`2500` is "25 %"."""
    return f"{share_bp / 100:g} %"


def shares(shares_bp: Mapping[str, int]) -> str:
    """`plum 100 %, fern 0 %`."""
    return ", ".join(f"{name} {percent(share)}" for name, share in shares_bp.items())


def clean(text: str) -> str:
    """Text from the command line, the environment or the system, as UTF-8 can have it: bytes that are none (lone surrogates
    in Python) become the replacement character; journal, lock, clusters and JSON take no others.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= each <= "\udfff" else each for each in text)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 floor`, `3 floors`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def some(names: Iterable[str], most: int = NAMED) -> str:
    """`a, b, c and 7 more`; "none" of none."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more or "none"


def named(names: Sequence[str], most: int, *, full: bool = False) -> str:
    """The first few names of many, of a command that has `--full`."""
    left = 0 if full else len(names) - most
    return ", ".join(names if left <= 0 else names[:most]) + (f" … and {left} more; {FULL}" if left > 0 else "")


def first(lines: Sequence[str], most: int, *, full: bool = False, indent: str = "  ", what: str = "more") -> list[str]:
    """The first few lines of many."""
    left = 0 if full else len(lines) - most
    return [*lines[:most], f"{indent}… and {left} {what}; {FULL}"] if left > 0 else list(lines)
