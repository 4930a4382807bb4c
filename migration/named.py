"""What is said to a name on the command line that means nothing: what there is, and what was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from migration.errors import UsageError
from migration.reading import did_you_mean

MOST = 12


def refuse_unknown(asked: Iterable[str], known: Collection[str], *, lacks: str, there: str, remedy: str) -> None:
    """UsageError for names that are not known: `{lacks} shop/crt (did you mean shop/cart?); {there}: shop/cart, shop/pay`."""
    unknown = [f"{name}{did_you_mean(name, known)}" for name in asked if name not in known]
    if unknown:
        raise UsageError(f"{lacks} {', '.join(unknown)}; {there}: {some(known)}", remedy=remedy)


def some(names: Collection[str]) -> str:
    """All of a few names, of many the first."""
    first = sorted(names)[:MOST]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(first) + more if first else "none"
