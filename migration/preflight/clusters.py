"""Checks of the clusters: the APIs they serve (BG0xx), what both must have (1xx), room on green (2xx). All pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

import routing
from migration.model import Severity
from migration.objects import kinds
from migration.objects.access import pod_spec, spec_of
from migration.objects.kinds import Object
from migration.objects.removed_apis import instead_of, moved
from migration.objects.view import View
from migration.ownership import baseline, conversion
from migration.ownership.known import Known

# -- 0xx APIs ----------------------------------------------------------------------------------------------------------
from migration.preflight.check import Found, Scope, finding, workloads

# -- 0xx APIs ----------------------------------------------------------------------------------------------------------


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# What writes manifests, as kubectl names itself: `kubectl apply` of the client's and of the server's side, and the ways
# in which the first write may have been made. `kubectl edit` and its like change an object whose manifest stays as it is.
APPLY = "kubectl apply"  # who wrote it, in words: whichever name it had in that version
BY_MANIFEST = frozenset(
    {"kubectl", "kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "kubectl-last-applied", "before-first-apply"}
)


def written_versions(obj: Mapping[str, Any]) -> dict[str, str]:
    """apiVersion -> who writes in it: of each manager its newest write, since an entry stays for years after its manager
    has gone over to another version. The cluster's own controllers do not count, they go with the cluster.

    The annotation of `kubectl apply` counts where no manifest has been written in another version since.
    """
    newest: dict[str, tuple[str, str]] = {}  # manager -> (time, apiVersion)
    for entry in obj["metadata"].get("managedFields") or ():
        manager = str(entry.get("manager", ""))
        if manager.startswith(("kube-", "k3s", "bluegreen-")) or not entry.get("apiVersion"):
            continue
        who = APPLY if manager in BY_MANIFEST else manager
        written = (str(entry.get("time", "")), str(entry["apiVersion"]))
        if who not in newest or written[0] > newest[who][0] or (written[0] == newest[who][0] and _older(written, newest[who])):
            newest[who] = written
    versions = {version: f"{who} at {time or 'an unknown time'}" for who, (time, version) in sorted(newest.items())}
    if APPLY not in newest and (version := _last_applied_version(obj)):
        versions.setdefault(version, APPLY)
    return versions


def _older(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Of two versions written in the same second the older one counts: nobody knows which of them was last."""
    return ("alpha" in one[1], "beta" in one[1], other[1]) > ("alpha" in other[1], "beta" in other[1], one[1])


def _last_applied_version(obj: Mapping[str, Any]) -> str | None:
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        manifest = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return manifest.get("apiVersion") if isinstance(manifest, dict) else None


def removed_versions(blue: View, green: View, scope: Scope) -> Found:
    """Objects that are written in an API version which green does not serve, one finding for each version."""
    users: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name in sorted(blue.objects):
        for obj in blue.objects[name]:
            if not scope.moves(obj):
                continue
            for api_version, who in written_versions(obj).items():
                served = _served(api_version, obj["kind"], green)
                if served and api_version not in served:
                    users[api_version, obj["kind"]].append((kinds.name_of(obj), who))
    for (api_version, kind), written in sorted(users.items()):
        served = _served(api_version, kind, green)
        more = f" and {len(written) - 1} more" if len(written) > 1 else ""
        yield finding(
            "BG001",
            Severity.BLOCKING,
            f"{api_version} {kind}",
            f"{written[0][0]} was written in it by {written[0][1]}{more}; green serves {', '.join(served)}",
            f"change the manifests or client to {served[0]}",
        )


def _served(api_version: str, kind: str, green: View) -> list[str]:
    """The apiVersions in which green serves a kind, in the group to which it went if it went to another."""
    group = api_version.rpartition("/")[0]
    for where in (group, moved(group, kind)):
        if where is not None and (versions := green.discovery.served.get((where, kind))):
            return [f"{where}/{version}" if where else version for version in versions]
    return []


# what there are rules for in replicate/conversion.py that may refuse
OLD_FORMS = (
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    kinds.INGRESS.name,
)


def unwritable(blue: View, _: View, scope: Scope) -> Found:
    """Objects that no API server of today would let anybody create."""
    for name in OLD_FORMS:
        resource = blue.resources.get(name)
        for obj in blue.of(name):
            if resource and scope.comes(obj, resource) and (reason := conversion.refused(obj)):
                yield finding("BG004", Severity.BLOCKING, obj, reason, "change it on blue before it is replicated")


# -- 1xx parity --------------------------------------------------------------------------------------------------------


def _definitions(view: View) -> dict[tuple[Any, Any], Object]:
    return {(spec_of(crd).get("group"), (spec_of(crd).get("names") or {}).get("kind")): crd for crd in view.of(kinds.CRD.name)}


def missing_kinds(blue: View, green: View, scope: Scope) -> Found:
    """Kinds whose objects are to come along and cannot be written: green serves the kind in no version in which they can be
    said, and no definition that comes along makes it do so.
    """
    defined = blue.once(_definitions)
    for resource in blue.discovery.resources:
        key = (resource.group, resource.kind)
        read = blue.resources.get(resource.name, resource)
        served = green.discovery.find(read.api_version, read.kind) is not None
        if served or not blue.of(resource.name) or kinds.skipped_kind(resource):
            continue
        istio = resource.group.endswith("istio.io")
        definition = defined.get(key)
        if definition and key not in green.discovery.served and not istio and scope.comes(definition, kinds.CRD):
            continue
        reasons: dict[str, list[Object]] = defaultdict(list)
        for obj in blue.of(resource.name):
            if scope.comes(obj, read) and isinstance(why := conversion.into(read, dict(obj), green.discovery), str):
                reasons[why].append(obj)
        for why, objects in reasons.items():
            problem = "green does not serve the kind" if key not in green.discovery.served else why
            if definition and scope.verdict and key not in green.discovery.served:
                problem += f", and its definition does not come along ({scope.verdict(definition, kinds.CRD).reason})"
            elif instead_of(read.api_version, read.kind) is not None:
                problem = why
            yield finding(
                "BG102" if istio else "BG101",
                Severity.BLOCKING,
                f"{read.api_version} {resource.kind}",
                f"{len(objects)} on blue, first {kinds.full_name(objects[0])}; {problem}",
                "install Istio on green"
                if istio
                else "install what serves it on green, convert the objects, or answer `skip` for them in migration.yaml",
            )


CLASSES = ("storageclasses.storage.k8s.io", "ingressclasses.networking.k8s.io", "priorityclasses.scheduling.k8s.io")


def _class_users(view: View, scope: Scope) -> Iterator[tuple[str, str, Object]]:
    """(resource name of the class, its name, who names it)"""
    for claim in view.of("persistentvolumeclaims"):
        if scope.moves(claim) and spec_of(claim).get("storageClassName"):
            yield "storageclasses.storage.k8s.io", spec_of(claim)["storageClassName"], claim
    for workload in view.of("statefulsets.apps"):
        for template in spec_of(workload).get("volumeClaimTemplates") or ():
            if scope.moves(workload) and spec_of(template).get("storageClassName"):
                yield "storageclasses.storage.k8s.io", spec_of(template)["storageClassName"], workload
    for ingress in view.of("ingresses.networking.k8s.io"):
        if scope.moves(ingress) and spec_of(ingress).get("ingressClassName"):
            yield "ingressclasses.networking.k8s.io", spec_of(ingress)["ingressClassName"], ingress
    for workload in view.once(workloads, scope):
        if name := pod_spec(workload).get("priorityClassName"):
            yield "priorityclasses.scheduling.k8s.io", name, workload


def dangling_classes(blue: View, green: View, scope: Scope) -> Found:
    """Classes that blue's objects name and neither cluster has, each once."""
    ours, theirs = _classes(blue), _classes(green)
    reported = set()
    for resource_name, name, user in _class_users(blue, scope):
        if name in ours[resource_name] or name in theirs[resource_name] or (resource_name, name) in reported:
            continue
        reported.add((resource_name, name))
        kind = resource_name.partition(".")[0]
        evidence = f"{kinds.name_of(user)} names it; neither cluster has it"
        remedy = f"create it on green or name one of: {', '.join(theirs[resource_name]) or 'none there'}"
        yield finding("BG110", Severity.WARNING, f"{kind}/{name}", evidence, remedy)


def _classes(view: View) -> dict[str, dict[str, None]]:
    """The names of each kind of class that a cluster has, sorted."""
    return {kind: dict.fromkeys(sorted(c["metadata"]["name"] for c in view.of(kind))) for kind in CLASSES}


def differing_classes(blue: View, green: View, _: Scope) -> Found:
    """Classes of one name whose behaviour differs between the clusters."""
    compared = {
        "storageclasses.storage.k8s.io": ("provisioner", "parameters", "volumeBindingMode", "reclaimPolicy"),
        "priorityclasses.scheduling.k8s.io": ("value", "preemptionPolicy"),
        "ingressclasses.networking.k8s.io": ("spec",),
    }
    for resource_name, fields in compared.items():
        theirs = {c["metadata"]["name"]: c for c in green.of(resource_name)}
        for mine in blue.of(resource_name):
            other = theirs.get(mine["metadata"]["name"])
            differing = [f for f in fields if other is not None and mine.get(f) != other.get(f)]
            if other is not None and differing:
                evidence = "; ".join(f"{f}: blue {_short(mine.get(f))}, green {_short(other.get(f))}" for f in differing)
                yield finding("BG111", Severity.WARNING, mine, evidence, "make them alike, or rename one of the two")


def _short(value: Any) -> str:
    return orjson.dumps(value).decode()[:80]


def missing_gateways(blue: View, green: View, scope: Scope) -> Found:
    """Gateways that blue's routes name and green neither has nor gets."""
    known = Known(blue, green)
    for kind in routing.registered():
        resource = kind.gateway
        present = {kinds.full_name(g) for g in green.of(resource.name)}
        coming = {
            kinds.full_name(g) for g in blue.of(resource.name) if scope.moves(g) or baseline.comes_along(g, resource, known)
        }
        has = ", ".join(sorted(present)) or "none"
        for route in filter(scope.moves, blue.of(kind.resource.name)):
            for gateway in kind.gateways(route):
                if gateway not in present and gateway not in coming:
                    evidence = f"names {resource.kind} {gateway}; green has {has}"
                    remedy = f"make {resource.kind} {gateway} on green (it is in a namespace that is not copied)"
                    yield finding("BG120", Severity.BLOCKING, route, evidence, remedy)


# -- 2xx capacity ------------------------------------------------------------------------------------------------------

_SUFFIX = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIX |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}


def quantity(text: Any) -> float:
    """`250m` -> 0.25, `1Gi` -> 1073741824. What is not a quantity counts as nothing."""
    return _quantity(str(text))


@lru_cache(maxsize=4096)  # thousands of pods ask for the same few amounts
def _quantity(text: str) -> float:
    match = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?|[KMGTPE]i)", text)
    return float(match[1]) * _SUFFIX[match[2]] if match else 0.0


def requested(pod: Mapping[str, Any]) -> dict[str, float]:
    """What the scheduler sets aside for a pod: containers together, or one init container if that is more."""
    spec = spec_of(pod)
    total = {"cpu": 0.0, "memory": 0.0}
    for name in total:
        at_once = 0.0
        largest_init = 0.0
        for container in spec.get("containers") or ():
            at_once += quantity(((container.get("resources") or {}).get("requests") or {}).get(name, 0))
        for container in spec.get("initContainers") or ():
            asked = quantity(((container.get("resources") or {}).get("requests") or {}).get(name, 0))
            if container.get("restartPolicy") == "Always":
                at_once += asked
            else:
                largest_init = max(largest_init, asked)
        total[name] = max(at_once, largest_init) + quantity((spec.get("overhead") or {}).get(name, 0))
    return total


def _running(view: View, pick: Callable[[Object], bool]) -> list[Object]:
    ended = ("Succeeded", "Failed")
    pods = (p for p in view.of("pods") if not p["metadata"].get("deletionTimestamp"))
    return [p for p in pods if (p.get("status") or {}).get("phase") not in ended and pick(p)]


def _of_daemon_set(pod: Mapping[str, Any]) -> bool:
    return any(o.get("kind") == "DaemonSet" for o in pod["metadata"].get("ownerReferences") or ())


def node_capacity(blue: View, green: View, scope: Scope) -> Found:
    """Of CPU, memory and pods those of which green's schedulable nodes have less than what comes along requests."""
    coming = _running(blue, lambda p: scope.moves(p) and not _of_daemon_set(p))
    taken = _running(green, lambda p: not scope.moves(p) or _of_daemon_set(p))
    nodes = [n for n in green.of("nodes") if not spec_of(n).get("unschedulable")]
    if coming and not nodes:
        yield finding(
            "BG201",
            Severity.BLOCKING,
            f"cluster {green.name}",
            f"no schedulable node; blue runs {len(coming)} pods",
            "add nodes to green",
        )
        return
    asked, held = ([requested(p) for p in pods] for pods in (coming, taken))
    for name, unit, scale in (("cpu", "cores", 1.0), ("memory", "GiB", 1024.0**3), ("pods", "pods", 1.0)):
        room = sum(quantity(((n.get("status") or {}).get("allocatable") or {}).get(name, 0)) for n in nodes)
        if name == "pods":
            need, used = float(len(coming)), float(len(taken))
        else:
            need, used = (sum(pod[name] for pod in pods) for pods in (asked, held))
        if need > room - used:
            yield finding(
                "BG201",
                Severity.BLOCKING,
                f"cluster {green.name}: {name}",
                f"blue's pods ask for {need / scale:.1f} {unit}; green's {len(nodes)} nodes have {room / scale:.1f}, "
                f"of which {used / scale:.1f} are taken",
                "add nodes to green, or let its autoscaler bring them before the floors are raised",
            )


def unmatched_selectors(blue: View, green: View, scope: Scope) -> Found:
    """Workloads whose nodeSelector no node of green meets; nothing where green has no nodes (BG201)."""
    if not green.of("nodes"):
        return  # told by BG201
    having: dict[tuple[str, str], set[int]] = defaultdict(set)  # label -> the nodes that have it
    for number, node in enumerate(green.of("nodes")):
        for label in (node["metadata"].get("labels") or {}).items():
            having[label].add(number)
    lacking: dict[frozenset[tuple[str, str]], bool] = {frozenset(): False}  # selector -> no node has all of it
    for workload in blue.once(workloads, scope):
        selector = pod_spec(workload).get("nodeSelector") or {}
        labels = frozenset(selector.items())
        if labels not in lacking:
            fewest, *others = sorted((having.get(label, set()) for label in labels), key=len)
            lacking[labels] = not fewest.intersection(*others)
        if lacking[labels]:
            wanted = ", ".join(f"{k}={v}" for k, v in sorted(selector.items()))
            remedy = "label nodes of green, or give it a node group with these labels"
            yield finding("BG202", Severity.WARNING, workload, f"selects nodes with {wanted}", remedy)
