"""The checks of preflight: what can be wrong, what it looks like, what to do. Each is pure and declares the kinds that
it reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migration import kinds
from migration.kinds import Object, Resource
from migration.model import Finding, Severity
from migration.replicate.classes import WRITTEN, Verdict
from migration.view import View

DOCS = {
    "BG001": "Somebody still writes these objects in a version that green does not serve: it will fail on green.",
    "BG002": "A kind could not be listed: what is to be found among its objects is not known.",
    "BG003": "An aggregated API whose server is away hides its objects from every check.",
    "BG004": "It may be kept on blue, since it is there; nobody may make it anew: green will refuse it.",
    "BG101": "Objects of this kind exist on blue, green does not serve it and its definition does not come along.",
    "BG102": "Istio's routes are how services are moved; green must serve them.",
    "BG110": "Named by workloads, but neither cluster has it.",
    "BG111": "A class with the same name means something else on green.",
    "BG112": "An API server asks a server about these objects; on green it would not be trusted or would not answer.",
    "BG120": "A route names a Gateway that green lacks and that does not come along: it would serve nothing there.",
    "BG201": "Green's nodes must bear what blue's pods ask for.",
    "BG202": "No node of green has the labels that this workload selects.",
    "BG301": "One replica behind a route: every restart is an outage, and a bad pod is the whole service.",
    "BG302": "A budget that allows no disruption blocks draining a node.",
    "BG303": "Without a readiness probe a pod gets requests before it can answer them.",
    "BG304": "A route that cannot be split stays where it is until the entry moves.",
    "BG103": "What gateways and the mesh depend on, and green has another by that name, or does not know it.",
    "BG104": "It names something of blue's mesh or network that green has under another name.",
    "BG401": "The claim comes along, its data does not: green makes it a new, empty volume.",
    "BG105": "What somebody put into a namespace of the cluster itself: only a person knows whether green needs it.",
    "BG106": "A Gateway is taken up by the pods that it selects; without them nobody answers.",
    "BG107": "Green has another by this name, and would keep it: what is on blue does not get there.",
    "BG402": "It keeps data on volumes; on green it would begin with empty ones, and its clients there would use them.",
    "BG403": "A volume stands for a disk that can have one owner: two clusters would both attach, or delete, it.",
    "BG501": "A leader is elected within one cluster: on two clusters there are two.",
    "BG502": "Schedules are suspended on green so that no run happens twice; they are handed over.",
    "BG504": "It acts on what is outside the cluster by the cluster's name, an owner id or a role: two of them fight.",
    "BG505": "It takes work from a queue, or may (a warning): two of them take each message from the other.",
    "BG506": "It stands for something outside that can have one owner.",
    "BG508": "An answer in migration.yaml about an object that blue does not have.",
    "BG507": "A tool of GitOps claims this object, and what tells the tool to is not on blue.",
    "BG601": "AWS refuses a role to a ServiceAccount of green where the role's trust policy lacks green's OIDC issuer.",
    "BG602": "A Pod Identity association belongs to one cluster: without one on green, its pods get no AWS role there.",
    "BG603": "AWS takes a cluster's tokens only where the role's account has an OIDC provider for the cluster's issuer.",
    "BG503": "One replica that is never run beside its successor: probably must never run twice.",
}


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


def finding(code: str, severity: Severity, obj: Mapping[str, Any] | str, evidence: str, remedy: str) -> Finding:
    name = obj if isinstance(obj, str) else kinds.name_of(obj)
    return Finding(code, severity, "fail", name, evidence, remedy, DOCS[code])


def spec_of(obj: Mapping[str, Any]) -> Object:
    return obj.get("spec") or {}


def gateways_of(route: Mapping[str, Any]) -> list[str]:
    """`namespace/name` of each gateway that a route is bound to, without the mesh."""
    namespace = route["metadata"].get("namespace", "")
    named = [g for g in spec_of(route).get("gateways") or () if g != "mesh"]
    return [g if "/" in g else f"{namespace}/{g}" for g in named]


def workloads(view: View, scope: Scope) -> list[Object]:
    """Deployments, StatefulSets and DaemonSets that move, in this order."""
    names = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
    return [w for name in names for w in view.of(name) if scope.moves(w)]


def pod_spec(workload: Mapping[str, Any]) -> Object:
    return (spec_of(workload).get("template") or {}).get("spec") or {}


def routed_services(route: Mapping[str, Any]) -> set[str]:
    """`namespace/name` of the cluster's Services that a route sends to."""
    found = set()
    namespace = route["metadata"].get("namespace", "")
    for protocol in ("http", "tls", "tcp"):
        for rule in spec_of(route).get(protocol) or ():
            for destination in rule.get("route") or ():
                host = str((destination.get("destination") or {}).get("host", ""))
                parts = host.split(".")
                if len(parts) == 1 and host:
                    found.add(f"{namespace}/{host}")
                elif len(parts) == 2 or (len(parts) > 2 and parts[2] == "svc"):
                    found.add(f"{parts[1]}/{parts[0]}")
    return found


def behind_routes(view: View, scope: Scope) -> list[tuple[Object, str]]:
    """Each workload that a gateway's route reaches, with `namespace/name` of the first route that does."""
    services = {kinds.full_name(s): spec_of(s).get("selector") or {} for s in view.of("services")}
    selected = Selected(view.once(workloads, scope))
    found: dict[str, tuple[Object, str]] = {}
    asked = set()  # what a selector means has all been found when it is asked for again
    for route in view.of(kinds.VIRTUAL_SERVICE.name):
        if not scope.moves(route) or not gateways_of(route):
            continue
        for service in sorted(routed_services(route)):
            namespace, selector = service.partition("/")[0], services.get(service) or {}
            if (namespace, frozenset(selector.items())) in asked:
                continue
            asked.add((namespace, frozenset(selector.items())))
            for workload in selected.by(namespace, selector):
                found.setdefault(kinds.name_of(workload), (workload, kinds.full_name(route)))
    return list(found.values())


def pod_labels(workload: Mapping[str, Any]) -> Object:
    return ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}


class Selected:
    """Objects by labels, as a Service's selector asks for them: workloads by those of their pods, where nothing else is
    said.
    """

    def __init__(self, objects: Iterable[Object], labels_of: Callable[[Object], Object] = pod_labels) -> None:
        self._having: dict[tuple[str | None, str, str], list[tuple[Object, Object]]] = defaultdict(list)
        for obj in objects:
            labels = labels_of(obj)
            for key, value in labels.items():
                self._having[obj["metadata"].get("namespace"), key, value].append((obj, labels))

    def by(self, namespace: str, selector: Mapping[str, str]) -> list[Object]:
        """Those that a selector means, in the order given; an empty one means none."""
        of_each = [self._having.get((namespace, key, value), []) for key, value in selector.items()]
        fewest = min(of_each, key=len, default=[])
        return [obj for obj, labels in fewest if selector.items() <= labels.items()]
