"""Which services one `shift` moves, where its command line names some. Pure.

A group moves as one: to name a member is to name its group. What a service depends on has to be on green before it, so a
dependency that is not, and is not named, is refused instead of moved along: whoever names services wants no others moved.
`hold: true` is refused too, for the file was reviewed and the command line was not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from migration.errors import Held
from migration.model import WHOLE_BP
from migration.settings.named import LIST_SERVICES, refuse_not_enrolled
from migration.shift.order import Order, Unit, batched
from migration.words import percent

ENROLL = f"{LIST_SERVICES}; `bluegreen enroll SERVICE` adds to it"


def choose(
    names: Sequence[str],
    order: Order,
    splits: Mapping[str, int],
    *,
    held: Collection[str],
    first_batch: int,
    batch: int,
) -> Order:
    """`order`: of all enrolled services; the units of these names come first in the result, all others `stay`. `splits`:
    green's shares now. `held`: services with `hold: true`.

    Raises:
        UsageError: a name is not enrolled.
        Held: one is held, or depends on a service that is not on green and not named.
    """
    refuse_not_enrolled(names, splits, remedy=ENROLL)
    if stopped := [name for name in names if name in held]:
        raise Held(
            "; ".join(f"{name}: services.{name}.hold is true in migration.yaml" for name in stopped),
            remedy=f"set hold to false there, then `bluegreen shift {' '.join(names)}`",
        )
    units = [unit for one in order.batches for unit in one]
    wanted = [unit for unit in units if set(unit) & set(names)]
    moved = {service for unit in wanted for service in unit}
    if lacking := _lacking(moved, order, splits):
        reason = "; ".join(
            f"{service} depends on {need}, which is at {percent(splits[need])} and not named" for service, need in lacking
        )
        raise Held(reason, remedy=f"`bluegreen shift {' '.join(_with_needs(names, moved, order, splits))}`")
    rest: list[Unit] = [unit for unit in units if unit not in wanted]
    stay = frozenset(service for unit in rest for service in unit)
    batches = (*batched(wanted, first_batch, batch), *([tuple(rest)] if rest else []))
    return Order(batches, order.depends_on, stay, order.held)


def _lacking(moved: Collection[str], order: Order, splits: Mapping[str, int]) -> list[tuple[str, str]]:
    """(service, what it depends on) of those that would wait for ever."""
    return [
        (service, need)
        for service in sorted(moved)
        if splits[service] < WHOLE_BP
        for need in order.depends_on.get(service, ())
        if need in splits and need not in moved and splits[need] < WHOLE_BP
    ]


def _with_needs(names: Sequence[str], moved: Collection[str], order: Order, splits: Mapping[str, int]) -> list[str]:
    """The names, and before them what has to be on green first."""
    known = set(moved)
    added: list[str] = []
    while lacking := _lacking(known, order, splits):
        for _, need in lacking:
            if need not in known:
                known.add(need)
                added.insert(0, need)
    return [*added, *names]
