"""The checks of preflight: what can be wrong, what it looks like, what to do. Each is pure and declares the kinds that
it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import routing
from migration.codes import DOCS
from migration.model import Finding, Severity
from migration.objects import kinds
from migration.objects.access import Selected, spec_of
from migration.objects.classes import WRITTEN, Verdict
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known


@dataclass(frozen=True)
class Scope:
    """What the migration leaves out or has decided."""

    baseline_namespaces: tuple[str, ...] = kinds.BASELINE_NAMESPACES
    singletons: frozenset[str] = frozenset()
    going: frozenset[str] = frozenset()  # namespaces of blue that are being deleted
    # what `replicate` would do with an object; None: it is not at hand
    verdict: Callable[[Object, Resource], Verdict] | None = field(default=None, compare=False)

    def comes(self, obj: Object, resource: Resource) -> bool:
        """Whether `replicate` would write it to green."""
        return self.moves(obj) and (self.verdict is None or self.verdict(obj, resource).action in WRITTEN)

    def moves(self, obj: Mapping[str, Any]) -> bool:
        """Whether its namespace is copied at all, and nothing deletes it."""
        meta = obj["metadata"]
        namespace = meta.get("namespace")
        return namespace not in self.baseline_namespaces and namespace not in self.going and not meta.get("deletionTimestamp")


Found = Iterator[Finding]


@dataclass(frozen=True)
class Check:
    """`blue` and `green`: the kinds read whole; `*`: the metadata of every kind that could be copied."""

    code: str
    severity: Severity
    run: Callable[[View, View, Scope], Found]
    blue: tuple[str, ...] = ()
    green: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedCheck:
    """A check of what `replicate` would do: over everything that was read, with the judge's verdicts. `codes`: of what it
    finds; it tells itself what it cannot know.
    """

    codes: tuple[str, ...]
    run: Callable[[Known], Found]


def finding(code: str, severity: Severity, obj: Mapping[str, Any] | str, evidence: str, remedy: str) -> Finding:
    """`obj`: the object, or a name for what is none; documented under the code."""
    name = obj if isinstance(obj, str) else kinds.name_of(obj)
    return Finding(code, severity, "fail", name, evidence, remedy, DOCS[code])


def workloads(view: View, scope: Scope) -> list[Object]:
    """Deployments, StatefulSets and DaemonSets that move, in this order."""
    names = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
    return [w for name in names for w in view.of(name) if scope.moves(w)]


def behind_routes(view: View, scope: Scope) -> list[tuple[Object, str]]:
    """Each workload that a gateway's route reaches, with `namespace/name` of the first route that does."""
    services = {kinds.full_name(s): spec_of(s).get("selector") or {} for s in view.of("services")}
    selected = Selected(view.once(workloads, scope))
    reached: dict[str, tuple[Object, str]] = {}
    asked = set()  # what a selector means has all been found when it is asked for again
    for route in view.routes():
        if not scope.moves(route) or not routing.gateways_of(route):
            continue
        for service in sorted(routing.services_of(route)):
            namespace, selector = service.partition("/")[0], services.get(service) or {}
            if (namespace, frozenset(selector.items())) in asked:
                continue
            asked.add((namespace, frozenset(selector.items())))
            for workload in selected.by(namespace, selector):
                reached.setdefault(kinds.name_of(workload), (workload, kinds.full_name(route)))
    return list(reached.values())
