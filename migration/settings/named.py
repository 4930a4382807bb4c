"""What is said to a name on the command line that means nothing: what there is, and what was probably meant. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from migration.errors import UsageError
from migration.settings.yaml_reader import did_you_mean
from migration.words import some

LIST_SERVICES = "`bluegreen status` lists what is enrolled"


def unknown_names(asked: Iterable[str], known: Collection[str], *, lacks: str, heading: str) -> str:
    """`{lacks} shop/crt (did you mean shop/cart?); {heading}: shop/cart, shop/pay`; empty where all are known."""
    unknown = [f"{name}{did_you_mean(name, known)}" for name in asked if name not in known]
    return f"{lacks} {', '.join(unknown)}; {heading}: {some(sorted(known))}" if unknown else ""


def refuse_unknown(asked: Iterable[str], known: Collection[str], *, lacks: str, heading: str, remedy: str) -> None:
    """Raises UsageError, in the words of `unknown_names`."""
    if message := unknown_names(asked, known, lacks=lacks, heading=heading):
        raise UsageError(message, remedy=remedy)


def not_enrolled(asked: Iterable[str], enrolled: Collection[str], option: str = "") -> str:
    """Empty where all are. `option`: that the names are of."""
    return unknown_names(asked, enrolled, lacks=f"{option}: not enrolled:" if option else "not enrolled:", heading="enrolled")


def refuse_not_enrolled(
    asked: Iterable[str], enrolled: Collection[str], *, option: str = "", remedy: str = LIST_SERVICES
) -> None:
    """Raises UsageError, in the same words for every command that takes services of the stack file."""
    if message := not_enrolled(asked, enrolled, option):
        raise UsageError(message, remedy=remedy)
