"""The brake: a plan that would rewrite much of what green has is refused, unless a person forces it.

A run can end with 0 while users suffer: green is changed as a whole because blue's kubeconfig leads to another cluster, because
a rule of transform went wrong, or because a tool on green changed every object and owns none of it. Each is one plan with far
more updates than what people change on blue between two runs.

Counted are updates against all objects of the plan that green has and that are not held; creating is free, and nothing is ever
deleted. Workloads are counted by themselves, too: many ConfigMaps that stay would hide that every pod is replaced. As with
octoDNS there is no limit where green has fewer than a minimum. What others own is a conflict and not written without force
anyway. Not seen are few objects of a large green, changed by many runs or for a part of blue alone. Pure.
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

    def refusal(self) -> Held:
        return Held(
            f"nothing was written: {self}",
            remedy=(
                "`bluegreen replicate --full` shows each: check what differs, and that blue's kubeconfig leads to the right "
                f"cluster; if all of it is right, raise {KEY} in migration.yaml, or `bluegreen replicate --force`, which "
                "takes over the fields of others, too"
            ),
        )


def excess(cluster: str, changes: Iterable[Change], limit: Rewrites) -> Excess | None:
    """By what a plan for `cluster` is beyond the limit; None: it is within."""
    existing = [change for change in changes if change.live is not None and change.action != "held"]
    groups = {"objects": existing, "workloads": [each for each in existing if each.resource.name in WORKLOADS]}
    for what, group in groups.items():
        rewritten = sum(change.action == "update" for change in group)
        allowed = int(len(group) * limit.share)
        if len(group) >= limit.minimum and rewritten > allowed:
            return Excess(cluster, what, rewritten, len(group), allowed, limit.share)
    return None
