"""What blue keeps from the time of older API versions, in the form in which green takes it.

An API server goes on keeping, and taking updates of, what it would no longer let anybody create: definitions that were
written in v1beta1, webhooks that never said whether they have side effects, schedules with a time zone inside. Each rule
here says the same thing in today's form; where that is not possible, `refused` says why, and the object is held.

The rules are those of Kubernetes' own validation of `create`: structural schemas (definitions.py),
admissionregistration.k8s.io/v1, batch/v1 since 1.29, networking.k8s.io/v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects import kinds
from migration.objects.classes import Verdict
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery
from migration.objects.removed_apis import INSTEAD, REMOVED, instead_of, moved
from migration.objects.view import View
from migration.ownership.definitions import definition, definition_said

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
WEBHOOKS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})


# -- webhooks ----------------------------------------------------------------------------------------------------------

SIDE_EFFECTS = frozenset({"None", "NoneOnDryRun"})
REVIEWS = frozenset({"v1", "v1beta1"})


def webhooks(obj: Object, _: Verdict) -> None:
    """`sideEffects: Unknown` was v1beta1's default: nobody ever said anything. v1 asks for a word."""
    for hook in obj.get("webhooks") or ():
        if hook.get("sideEffects") == "Unknown":
            hook["sideEffects"] = "None"


def _webhooks_said(obj: Mapping[str, Any]) -> Iterator[str]:
    for hook in obj.get("webhooks") or ():
        if hook.get("sideEffects") == "Unknown":
            yield f"webhook {hook.get('name')}: sideEffects Unknown is no longer taken, None is written: dry runs will call it"


def _webhooks_refused(obj: Mapping[str, Any]) -> str | None:
    names = [str(hook.get("name")) for hook in obj.get("webhooks") or ()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"two of its webhooks are named {twice[0]}, which v1 does not take: give each a name of its own"
    for hook in obj.get("webhooks") or ():
        if (effects := hook.get("sideEffects")) not in {*SIDE_EFFECTS, "Unknown", None}:
            return (
                f"webhook {hook.get('name')} says sideEffects: {effects}, which v1 does not take: let its server honour "
                "dry runs and write NoneOnDryRun"
            )
        if hook.get("admissionReviewVersions") and REVIEWS.isdisjoint(hook["admissionReviewVersions"]):
            return f"webhook {hook.get('name')} takes none of the reviews that API servers send: {', '.join(sorted(REVIEWS))}"
    return None


# -- schedules and ingresses -------------------------------------------------------------------------------------------

_ZONE = re.compile(r"^\s*(?:CRON_)?TZ=(\S+)\s+(.*)$", re.DOTALL)


def schedule(obj: Object, _: Verdict) -> None:
    """`CRON_TZ=Europe/Berlin 0 3 * * *`: never documented, worked until 1.29; the field timeZone says the same."""
    spec = obj.get("spec") or {}
    match = _ZONE.match(str(spec.get("schedule", "")))
    if match:
        spec["timeZone"], spec["schedule"] = match[1], match[2]


def _schedule_said(obj: Mapping[str, Any]) -> Iterator[str]:
    if match := _ZONE.match(str((obj.get("spec") or {}).get("schedule", ""))):
        yield f"time zone {match[1]} is written as timeZone: within `schedule` it is no longer taken"


def _ingress_refused(obj: Mapping[str, Any]) -> str | None:
    """The annotation of old beside the field that took its place: kept where they differ, not made."""
    name = (obj.get("spec") or {}).get("ingressClassName")
    annotated = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    if name is None or annotated in (None, name):
        return None
    return (
        f"annotation {CLASS_ANNOTATION} says {annotated}, ingressClassName says {name}; where both are given they must be the "
        "same: take one of them off on blue"
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """`change` makes one thing of an object, in place, right for another cluster, by what was decided about it; its docstring
    says why. `kinds`: of these alone; None: of every one.
    """

    change: Callable[[Object, Verdict], None]
    kinds: frozenset[str] | None = None


RULES = (
    Rule(definition, frozenset({kinds.CRD.kind})),
    Rule(webhooks, WEBHOOKS),
    Rule(schedule, frozenset({"CronJob"})),
)
_SAID: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    kinds.CRD.kind: definition_said,
    **dict.fromkeys(WEBHOOKS, _webhooks_said),
    "CronJob": _schedule_said,
}
_REFUSED: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    **dict.fromkeys(WEBHOOKS, _webhooks_refused),
    "Ingress": _ingress_refused,
}
# the same kinds elsewhere (a custom Ingress) have rules of their own
_GROUPS = frozenset({"apiextensions.k8s.io", "admissionregistration.k8s.io", "batch", "networking.k8s.io"})


def _ours(obj: Mapping[str, Any]) -> bool:
    return str(obj.get("apiVersion", "")).rpartition("/")[0] in _GROUPS


def notes(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """What the rules change in an object as it is on blue, a sentence each."""
    said = _SAID.get(str(obj.get("kind")))
    return tuple(said(obj)) if said and _ours(obj) else ()


def refused(obj: Mapping[str, Any]) -> str | None:
    """Why no API server of today would let anybody make this object, and what to do; None: nothing is known."""
    why = _REFUSED.get(str(obj.get("kind")))
    return why(obj) if why and _ours(obj) else None


# -- versions that are gone --------------------------------------------------------------------------------------------


def _same(obj: Object) -> str | None:
    return None


def _budget(obj: Object) -> str | None:
    selector = (obj.get("spec") or {}).get("selector")
    if selector is not None and not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return "its empty selector meant no pod in policy/v1beta1 and means every pod in policy/v1: say which pods it is for"
    return None


def _shares(obj: Object) -> str | None:
    limited = (obj.get("spec") or {}).get("limited") or {}
    if "assuredConcurrencyShares" in limited:
        limited["nominalConcurrencyShares"] = limited.pop("assuredConcurrencyShares")
    return None


FLOW = "flowcontrol.apiserver.k8s.io"
# Kinds whose schemas did not change with the version, or nearly: {(apiVersion, kind): (to, what has to be changed)}; the
# function changes the object, or gives the reason for which it cannot be said in the new version.
EQUAL: Mapping[tuple[str, str], tuple[str, Callable[[Object], str | None]]] = {
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): ("autoscaling/v2", _same),
    ("batch/v1beta1", "CronJob"): ("batch/v1", _same),
    ("policy/v1beta1", "PodDisruptionBudget"): ("policy/v1", _budget),
    ("networking.k8s.io/v1beta1", "IngressClass"): ("networking.k8s.io/v1", _same),
    ("extensions/v1beta1", "NetworkPolicy"): ("networking.k8s.io/v1", _same),
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): ("scheduling.k8s.io/v1", _same),
    ("storage.k8s.io/v1beta1", "StorageClass"): ("storage.k8s.io/v1", _same),
    ("storage.k8s.io/v1beta1", "CSIDriver"): ("storage.k8s.io/v1", _same),
    ("node.k8s.io/v1beta1", "RuntimeClass"): ("node.k8s.io/v1", _same),
    **{
        ("rbac.authorization.k8s.io/v1beta1", kind): ("rbac.authorization.k8s.io/v1", _same)
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    },
    **{(f"{FLOW}/{version}", "FlowSchema"): (f"{FLOW}/v1", _same) for version in ("v1beta1", "v1beta2", "v1beta3")},
    **{
        (f"{FLOW}/{version}", "PriorityLevelConfiguration"): (f"{FLOW}/v1", _shares)
        for version in ("v1beta1", "v1beta2", "v1beta3")
    },
}
# What is lost when a kind is read in this version although blue has a newer one that green does not serve.
POORER: Mapping[tuple[str, str], frozenset[str]] = {
    ("autoscaling", "HorizontalPodAutoscaler"): frozenset({"v1"}),  # metrics become the text of an annotation
}


def version_to_read(resource: Resource, blue: Discovery, green: Discovery | None) -> Resource:
    """The version in which a kind is read of blue: one that green serves, else one whose objects can be said in one."""
    key = (resource.group, resource.kind)
    served = blue.served.get(key, (resource.version,))
    if green is None:
        return resource
    greens = green.served.get(key, ())

    def convertible(version: str) -> bool:
        to, _ = EQUAL.get((_api_version(resource.group, version), resource.kind), ("", _same))
        group, _, name = to.rpartition("/")
        return bool(to) and name in green.served.get((group, resource.kind), ())

    poorer = POORER.get(key, frozenset())
    order = [resource.version, *(v for v in served if v != resource.version)]
    order.sort(key=lambda version: version in poorer)  # stable: the preferred one first
    for good in (lambda v: v in greens and v not in poorer, convertible, lambda v: v in greens):
        for version in order:
            if good(version):
                return blue.in_version(*key, version)
    return resource


def mirrored(resource: Resource, served: Discovery) -> bool:
    """A kind that is served by the group it went to as well: its objects are read there."""
    group = moved(resource.group, resource.kind)
    return group is not None and (group, resource.kind) in served.served


def into(resource: Resource, obj: Object, green: Discovery) -> tuple[Resource, Object] | str:
    """An object whose version green does not serve, in one that it serves; or why not, with what to do."""
    to, change = EQUAL.get((resource.api_version, resource.kind), ("", _same))
    target = green.find(to, resource.kind) if to else None
    if target is None:
        return not_served(resource, green)
    converted = {**obj, "apiVersion": to}
    if reason := change(converted):
        return reason
    return target, converted


def not_served(resource: Resource, green: Discovery) -> str:
    """Why an object of this kind cannot be written to green, with what it is called there now."""
    what = f"green does not serve {resource.api_version} {resource.kind}"
    instead = instead_of(resource.api_version, resource.kind)
    if instead:
        return f"{what}: write it as {instead}, whose fields are others"
    if instead == "":
        since, _ = REMOVED[resource.api_version][resource.kind]
        return f"{what}, nor does any Kubernetes since {since}: {INSTEAD[resource.kind]}"
    versions = green.served.get((resource.group, resource.kind))
    if versions:
        return f"{what}, only {', '.join(versions)}"
    return f"green does not serve {resource.kind} ({resource.group or 'core'}) and its definition does not come along"


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


# -- status that is data -----------------------------------------------------------------------------------------------


def data_in_status(view: View) -> frozenset[Resource]:
    """Kinds without a status subresource, in the version in which each was read: their `status` is written like any other
    field, and nobody but its writer can make it again.

    Known by their definitions: the kinds of Kubernetes itself have no definition, and their status is never data.
    """
    resources = set()
    for crd in view.of(kinds.CRD.name):
        spec = crd.get("spec") or {}
        resource = view.resources.get(f"{(spec.get('names') or {}).get('plural')}.{spec.get('group')}")
        for version in spec.get("versions") or ():
            if resource and version.get("name") == resource.version and "status" not in (version.get("subresources") or {}):
                resources.add(resource)
    return frozenset(resources)
