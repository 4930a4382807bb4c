"""What belongs to an object without being named by it: autoscalers, budgets, policies, bindings, quotas, monitors, and the
custom objects that make its Secrets.

Each such kind says itself to what it belongs. ATTACHED is the table of how; an index over it answers, for an object that
is asked for, what belongs to it, without a search through everything. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.references import Key, Kinds, at, first, kinds_of, templates

ISTIO_ROOT = "istio-system"  # policies here are for every namespace
ISTIO = ("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io")
Pair = tuple[str, str | None]  # a label and its value; None: whatever it is


@dataclass(frozen=True, slots=True)
class Selector:
    """A LabelSelector: `pairs` that must all be there, and the expressions as they stand."""

    pairs: tuple[tuple[str, str], ...]
    expressions: tuple[Mapping[str, Any], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it means everything."""
        return not self.pairs and not self.expressions

    def means(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects what has these labels."""
        return all(labels.get(k) == v for k, v in self.pairs) and all(_meets(e, labels) for e in self.expressions)

    def ways(self) -> list[tuple[Pair, ...]]:
        """Ways to look it up: under all the pairs of one of these; none where it only says what must not be there."""
        ways: list[tuple[Pair, ...]] = [((key, value),) for key, value in self.pairs]
        for each in self.expressions:
            key = str(each.get("key"))
            if each.get("operator") == "In":
                ways.append(tuple((key, str(value)) for value in each.get("values") or ()))
            elif each.get("operator") == "Exists":
                ways.append(((key, None),))
        return ways


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or ()
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(str(expression.get("operator")), False)


def selector_of(value: Any) -> Selector | None:
    """What stands for a selector in an object: a LabelSelector, Istio's `labels`, or bare pairs. None: nothing does."""
    if not isinstance(value, Mapping):
        return None
    pairs = value.get("matchLabels") or value.get("labels")
    if not isinstance(pairs, Mapping):
        known = value.keys() & {"matchLabels", "labels", "matchExpressions"}
        pairs = {} if known else value
    expressions = tuple(each for each in value.get("matchExpressions") or () if isinstance(each, Mapping))
    plain = {str(key).removeprefix("k8s:").removeprefix("any:"): str(v) for key, v in pairs.items()}  # Cilium's prefixes
    return Selector(tuple(sorted(plain.items())), expressions)


@dataclass(frozen=True, slots=True)
class Hooks:
    """To what one object belongs: objects by key, hosts, pods and Services by labels. A namespace of None: any."""

    objects: tuple[Key, ...] = ()
    hosts: tuple[str, ...] = ()
    pods: tuple[tuple[str | None, Selector], ...] = ()
    services: tuple[tuple[str | None, Selector], ...] = ()


HooksOf = Callable[[Object, Kinds], Hooks]


def _space(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _namespace_of(obj: Mapping[str, Any]) -> Key:
    return "namespaces", "", _space(obj)


# -- how a kind says to what it belongs ---------------------------------------------------------------------------------


def to_its_namespace(obj: Object, served: Kinds) -> Hooks:
    """To the Namespace that it is in."""
    return Hooks((_namespace_of(obj),))


def to_target(*paths: str) -> HooksOf:
    """A mapping with kind, name and apiVersion or group; kind Deployment unless it is said (KEDA)."""

    def hooks(obj: Object, served: Kinds) -> Hooks:
        targets = []
        for path in paths:
            for target in at(obj, path):
                if not isinstance(target, Mapping) or not isinstance(target.get("name"), str):
                    continue
                group = target.get("group")
                if group is None:
                    group = str(target["apiVersion"]).rpartition("/")[0] if target.get("apiVersion") else None
                resource = served.named(str(target.get("kind") or "Deployment"), group)
                if resource is not None:
                    targets.append((resource.name, _space(obj) if resource.namespaced else "", str(target["name"])))
        return Hooks(tuple(targets))

    return hooks


def to_pods(*paths: str) -> HooksOf:
    """Pods of its own namespace by a selector; an empty one means all of them, and so does one that is not by labels."""

    def hooks(obj: Object, served: Kinds) -> Hooks:
        return _pods(_space(obj), obj, paths)

    return hooks


def _pods(namespace: str | None, obj: Object, paths: Iterable[str]) -> Hooks:
    selectors = [selector for path in paths for each in at(obj, path) if (selector := selector_of(each)) is not None]
    if not selectors:
        selectors = [Selector(())]
    return Hooks(pods=tuple((namespace, each) for each in selectors))


def to_pods_of_every_namespace(*paths: str) -> HooksOf:
    """To the pods that the selectors at these paths mean, in whatever namespace."""
    return lambda obj, served: _pods(None, obj, paths)


def of_istio(obj: Object, served: Kinds) -> Hooks:
    """Istio's policies: by `selector` or `workloadSelector`, or by `targetRef`; those of the root namespace everywhere."""
    targets = to_target("spec.targetRef", "spec.targetRefs[]")(obj, served)
    if targets.objects:
        return targets
    namespace = None if _space(obj) == ISTIO_ROOT else _space(obj)
    return _pods(namespace, obj, ("spec.selector", "spec.workloadSelector"))


def to_host(obj: Object, served: Kinds) -> Hooks:
    """A DestinationRule: to the Service or ServiceEntry of its host, and to what it configures by labels."""
    namespace, host = _space(obj), first(obj, "spec.host")
    if not isinstance(host, str):
        return Hooks()
    if host.startswith("*"):
        parts = host.split(".")
        named = parts[1] if len(parts) > 2 and parts[2] == "svc" else namespace
        return Hooks((("namespaces", "", named),), (host,))
    service = routing.services_meant(host, namespace)
    space, _, name = (service or "").partition("/")
    return Hooks((("services", space, name),) if service else (), (routing.full_host(host, namespace),))


def service_entry(obj: Object, served: Kinds) -> Hooks:
    """Nothing names a ServiceEntry that a workload calls: those of a namespace belong to whoever runs there."""
    return Hooks((_namespace_of(obj),))


def to_subjects(obj: Object, served: Kinds) -> Hooks:
    """A binding: to each account that it gives something, and to all accounts (of a namespace) by their groups."""
    objects: list[Key] = []
    everybody: list[tuple[str | None, Selector]] = []
    for subject in obj.get("subjects") or ():
        kind, name = subject.get("kind"), str(subject.get("name", ""))
        if kind == "ServiceAccount":
            objects.append(("serviceaccounts", str(subject.get("namespace") or _space(obj)), name))
        elif kind == "User" and name.startswith("system:serviceaccount:"):
            _, _, namespace, account = [*name.split(":"), "", ""][:4]
            objects.append(("serviceaccounts", namespace, account))
        elif kind == "Group" and name.startswith("system:serviceaccounts:"):
            objects.append(("namespaces", "", name.removeprefix("system:serviceaccounts:")))
        elif kind == "Group" and name in ("system:serviceaccounts", "system:authenticated"):
            everybody.append((_space(obj) or None, Selector(())))
    return Hooks(tuple(objects), pods=tuple(everybody))


def to_its_server(*paths: str) -> HooksOf:
    """A webhook or an aggregated API: to the Service that answers for it."""

    def hooks(obj: Object, served: Kinds) -> Hooks:
        services = [each for path in paths for each in at(obj, path) if isinstance(each, Mapping)]
        return Hooks(tuple(("services", str(s.get("namespace", "")), str(s.get("name", ""))) for s in services))

    return hooks


def to_its_secret(path: str) -> HooksOf:
    """What makes a Secret of this name, or of its own where none is said."""

    def hooks(obj: Object, served: Kinds) -> Hooks:
        name = first(obj, path) or obj["metadata"]["name"]
        return Hooks((("secrets", _space(obj), str(name)),))

    return hooks


def secret(obj: Object, served: Kinds) -> Hooks:
    """A token belongs to its account."""
    account = (obj["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
    return Hooks((("serviceaccounts", _space(obj), account),)) if account else Hooks()


def claim(obj: Object, served: Kinds) -> Hooks:
    """A claim that a StatefulSet made is called TEMPLATE-SET-NUMBER: it may belong to any set whose name ends so."""
    stem, _, number = obj["metadata"]["name"].rpartition("-")
    if not number.isdigit():
        return Hooks()
    parts = stem.split("-")
    sets = ("-".join(parts[index:]) for index in range(1, len(parts)))
    return Hooks(tuple((f"{kinds.STATEFUL_SET.name}", _space(obj), name) for name in sets))


def volume(obj: Object, served: Kinds) -> Hooks:
    """A PersistentVolume: to the claim that it is bound to."""
    bound = first(obj, "spec.claimRef") or {}
    return Hooks((("persistentvolumeclaims", str(bound.get("namespace", "")), str(bound.get("name", ""))),))


def endpoints(obj: Object, served: Kinds) -> Hooks:
    """Of a Service without a selector: by its name, slices by their label."""
    labels = obj["metadata"].get("labels") or {}
    name = labels.get("kubernetes.io/service-name") or obj["metadata"]["name"]
    return Hooks((("services", _space(obj), str(name)),))


def monitor(what: str) -> HooksOf:
    """Prometheus' monitors: of Services or pods by labels, in their own namespace unless others are said."""

    def hooks(obj: Object, served: Kinds) -> Hooks:
        where = first(obj, "spec.namespaceSelector") or {}
        spaces: list[str | None] = list(where.get("matchNames") or [_space(obj)])
        if where.get("any"):
            spaces = [None]
        selector = selector_of(first(obj, "spec.selector")) or Selector(())
        selected = tuple((space, selector) for space in spaces)
        return Hooks(services=selected) if what == "services" else Hooks(pods=selected)

    return hooks


def workload_entry(obj: Object, served: Kinds) -> Hooks:
    """A WorkloadEntry: to its Namespace."""
    return Hooks((_namespace_of(obj),))


_SERVERS = to_its_server("webhooks[].clientConfig.service", "spec.service")
ATTACHED: Mapping[str, HooksOf] = {
    "resourcequotas": to_its_namespace,
    "limitranges": to_its_namespace,
    "horizontalpodautoscalers.autoscaling": to_target("spec.scaleTargetRef"),
    "verticalpodautoscalers.autoscaling.k8s.io": to_target("spec.targetRef"),
    "scaledobjects.keda.sh": to_target("spec.scaleTargetRef"),
    "canaries.flagger.app": to_target("spec.targetRef"),
    "poddisruptionbudgets.policy": to_pods("spec.selector"),
    "networkpolicies.networking.k8s.io": to_pods("spec.podSelector"),
    "ciliumnetworkpolicies.cilium.io": to_pods("spec.endpointSelector", "specs[].endpointSelector"),
    "ciliumclusterwidenetworkpolicies.cilium.io": to_pods_of_every_namespace(
        "spec.endpointSelector", "specs[].endpointSelector"
    ),
    "networkpolicies.crd.projectcalico.org": to_its_namespace,  # its selectors are expressions of its own
    "networkpolicies.projectcalico.org": to_its_namespace,
    "globalnetworkpolicies.crd.projectcalico.org": to_pods_of_every_namespace(),
    "globalnetworkpolicies.projectcalico.org": to_pods_of_every_namespace(),
    "adminnetworkpolicies.policy.networking.k8s.io": to_pods_of_every_namespace(),
    "baselineadminnetworkpolicies.policy.networking.k8s.io": to_pods_of_every_namespace(),
    "securitygrouppolicies.vpcresources.k8s.aws": to_pods("spec.podSelector"),
    "authorizationpolicies.security.istio.io": of_istio,
    "requestauthentications.security.istio.io": of_istio,
    "peerauthentications.security.istio.io": of_istio,
    "telemetries.telemetry.istio.io": of_istio,
    "wasmplugins.extensions.istio.io": of_istio,
    "envoyfilters.networking.istio.io": of_istio,
    "proxyconfigs.networking.istio.io": of_istio,
    "sidecars.networking.istio.io": of_istio,
    "destinationrules.networking.istio.io": to_host,
    "serviceentries.networking.istio.io": service_entry,
    "workloadentries.networking.istio.io": workload_entry,
    "workloadgroups.networking.istio.io": workload_entry,
    "rolebindings.rbac.authorization.k8s.io": to_subjects,
    "clusterrolebindings.rbac.authorization.k8s.io": to_subjects,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _SERVERS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _SERVERS,
    "apiservices.apiregistration.k8s.io": _SERVERS,
    "secrets": secret,
    "externalsecrets.external-secrets.io": to_its_secret("spec.target.name"),
    "sealedsecrets.bitnami.com": to_its_secret("spec.template.metadata.name"),
    "certificates.cert-manager.io": to_its_secret("spec.secretName"),
    "persistentvolumeclaims": claim,
    "persistentvolumes": volume,
    "endpoints": endpoints,
    "endpointslices.discovery.k8s.io": endpoints,
    "servicemonitors.monitoring.coreos.com": monitor("services"),
    "podmonitors.monitoring.coreos.com": monitor("pods"),
    "vmservicescrapes.operator.victoriametrics.com": monitor("services"),
    "vmpodscrapes.operator.victoriametrics.com": monitor("pods"),
}


# -- looking it up ------------------------------------------------------------------------------------------------------


@dataclass
class BySelector:
    """Objects by what they select. Each stands under the rarest label of its selector, so that a label which all have
    costs nothing.
    """

    given: list[tuple[str | None, Selector, Key]] = field(default_factory=list)
    _under: dict[tuple[str | None, Pair | None], list[tuple[Selector, Key]]] = field(default_factory=dict)

    def built(self) -> BySelector:
        """Itself, to be asked from now on: each selector is filed under the rarest of what it looks for."""
        often = Counter(pair for _, selector, _ in self.given for way in selector.ways() for pair in way)
        under = defaultdict(list)
        for namespace, selector, key in self.given:
            ways = selector.ways()
            rarest = min(ways, key=lambda way: sum(often[pair] for pair in way), default=(None,))
            for pair in rarest:
                under[namespace, pair].append((selector, key))
        self._under = dict(under)
        return self

    def of(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Key]:
        """Keys of what selects these labels in this namespace, or in every one."""
        pairs: list[Pair | None] = [None, *labels.items(), *((key, None) for key in labels)]
        for space in (namespace, None):
            for pair in pairs:
                for selector, key in self._under.get((space, pair), ()):
                    if selector.means(labels):
                        yield key


@dataclass
class Belonging:
    """What belongs to what: by the object itself, by a host, by labels of pods, by labels of Services."""

    objects: dict[Key, list[Key]]
    hosts: dict[str, list[Key]]
    pods: BySelector
    services: BySelector


def belonging(view: View) -> Belonging:
    """The index: what belongs to what."""
    served = view.once(kinds_of)
    index = Belonging(defaultdict(list), defaultdict(list), BySelector(), BySelector())
    for name, hooks_of in ATTACHED.items():
        for obj in view.of(name):
            key = (name, _space(obj), obj["metadata"]["name"])
            hooks = hooks_of(obj, served)
            for to in hooks.objects:
                index.objects[to].append(key)
            for host in hooks.hosts:
                index.hosts[host].append(key)
            index.pods.given += [(space, selector, key) for space, selector in hooks.pods]
            index.services.given += [(space, selector, key) for space, selector in hooks.services]
    index.pods.built()
    index.services.built()
    return index


def attached(obj: Mapping[str, Any], resource: Resource, view: View) -> Iterator[Key]:
    """Keys of what belongs to this object."""
    index = view.once(belonging)
    namespace = _space(obj)
    yield from index.objects.get((resource.name, namespace, obj["metadata"]["name"]), ())
    for template in templates(obj):
        yield from index.pods.of(namespace, (template.get("metadata") or {}).get("labels") or {})
    if resource.name == kinds.SERVICE.name:
        yield from index.services.of(namespace, obj["metadata"].get("labels") or {})
    if resource.name == kinds.SERVICE_ENTRY.name:
        for host in at(obj, "spec.hosts[]"):
            yield from index.hosts.get(str(host), ())
