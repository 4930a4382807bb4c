"""Forms that several documents share: shares of traffic, lists of names cut to what people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

NAMED = 10  # names of a list that are shown; `--json` has all


def percent(share_bp: int) -> str:
    """`2500` is "25 %"."""
    return f"{share_bp / 100:g} %"


def shares(shares_bp: Mapping[str, int]) -> str:
    """`plum 100 %, fern 0 %`."""
    return ", ".join(f"{name} {percent(share)}" for name, share in shares_bp.items())


def services(count: int) -> str:
    return f"{count} service" if count == 1 else f"{count} services"


def some(names: Iterable[str], most: int = NAMED) -> str:
    """`a, b, c and 7 more`."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
