"""The brake: a plan that would rewrite much of what green has is refused, unless a person forces it.

A run can end with 0 while users suffer: green is changed as a whole because blue's kubeconfig leads to another cluster, because
a rule of transform went wrong, or because a tool on green changed every object and owns none of it. Each is one plan with far
more updates than what people change on blue between two runs.

Counted are updates, among what one run may write of what green has: creating is free, nothing is ever deleted, and what is held
or in conflict is not written (with force what is in conflict is, so then it counts). Workloads are counted by themselves, too:
many ConfigMaps that stay would hide that every pod is replaced. As with octoDNS there is no limit where green has fewer objects
than a minimum. Not seen are few objects of a large green, changed by many runs or for a part of blue alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migration.errors import Held
from migration.objects import kinds
from migration.replicate.compare import Change
from migration.settings.choices import Rewrites

WORKLOADS = frozenset({kinds.DEPLOYMENT.name, kinds.STATEFUL_SET.name, kinds.DAEMON_SET.name})
KEY = "replicate.rewrites.share"
ROUNDING = 1e-9  # 0.29 of 100 is 28.999999999999996
FEWEST = 3  # of a group: a share of less says nothing


@dataclass(frozen=True, slots=True)
class Excess:
    """More is to be rewritten than is allowed. `what`: `objects` or `workloads`; `existing`: how many of them green has;
    `share`: the limit, from 0 to 1, and `allowed` how many that are.
    """

    cluster: str
    what: str
    rewritten: int
    existing: int
    allowed: int
    share: float

    def __str__(self) -> str:
        return (
            f"{self.rewritten:,} of the {self.existing:,} {self.what} that {self.cluster} has already would be rewritten "
            f"({100 * self.rewritten / self.existing:.0f} %); allowed: {self.allowed:,} ({KEY}: {self.share:g})"
        )


def refuse(excess: Excess | None, *, force: bool, command: str = "bluegreen replicate") -> None:
    """`command`: as it was given, with the names of what it is about.

    Raises:
        Held: nothing was written.
    """
    if excess is None or force:
        return
    raise Held(
        f"nothing was written: {excess}",
        remedy=(
            f"`{command} --full` shows each: check what differs, and that blue's kubeconfig leads to the right "
            f"cluster; if all of it is right, raise {KEY} in migration.yaml, or `{command} --force`, which "
            "takes over the fields of others, too"
        ),
    )


def excess(cluster: str, changes: Iterable[Change], limit: Rewrites, *, force: bool = False) -> Excess | None:
    """By what a plan for `cluster` is beyond the limit; None: it is within. `force`: what is in conflict is written, too."""
    live = [change for change in changes if change.live is not None]
    if len(live) < limit.minimum:
        return None
    rewriting = {"update", "conflict"} if force else {"update"}
    existing = [change for change in live if change.action in {"unchanged", *rewriting}]
    groups = {"objects": existing, "workloads": [each for each in existing if each.resource.name in WORKLOADS]}
    for what, group in groups.items():
        rewritten = sum(change.action in rewriting for change in group)
        allowed = int(len(group) * limit.share + ROUNDING)
        if len(group) >= FEWEST and rewritten > allowed:
            return Excess(cluster, what, rewritten, len(group), allowed, limit.share)
    return None
