"""What to do about a write that was refused, by its cause: an API server says 403 to a user without rights, to a namespace
that is being deleted, to a quota that is used up and to a policy that denies, and each needs something else.

The causes are told apart by the words of Kubernetes' own messages, the first that fits decides. What a person wrote
(denials of webhooks and policies) comes first, since any word may be in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migration.errors import BluegreenError, Conflict, Forbidden, NotFound, Rejected
from migration.objects.kinds import Resource
from migration.replicate.compare import Blocker, Change, Wait

AGAIN = "run `bluegreen replicate` again"
TAKE_OVER = (
    "make the two alike on green, or run `bluegreen replicate --force` to take the fields over (it lifts the limit on "
    "rewrites, too)"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """`says`: what the message says, as a regular expression; `remedy`: may name its groups, and {kind}, {plural},
    {resource} (plural.group), {name} and {where} (` -n NAMESPACE`, or nothing) of what was refused. `deletes`: it says to
    delete the object on green.
    """

    says: re.Pattern[str]
    remedy: str
    deletes: bool


def _cause(says: str, remedy: str, *, deletes: bool = False) -> Cause:
    return Cause(re.compile(says, re.IGNORECASE), remedy, deletes)


CAUSES: tuple[Cause, ...] = (
    # what others decide: webhooks and policies
    _cause(
        r"failed calling webhook \"?(?P<hook>[^\s\":]+)",
        "the server behind webhook {hook} does not answer green: bring it up there (`kubectl get "
        "validatingwebhookconfigurations,mutatingwebhookconfigurations` names its service), then " + AGAIN,
    ),
    _cause(
        r"conversion webhook for .+ failed",
        "the server that converts {resource} does not answer on green: bring it up there, then " + AGAIN,
    ),
    _cause(
        r"admission webhook \"?(?P<hook>[^\s\":]+)\"? denied",
        "webhook {hook} of green denies it: change the object on blue, or what the webhook demands on green; then " + AGAIN,
    ),
    _cause(
        r"ValidatingAdmissionPolicy '(?P<policy>[^']+)'.*denied",
        "ValidatingAdmissionPolicy {policy} of green denies it: change the object on blue, or the policy; then " + AGAIN,
    ),
    _cause(
        r"violates PodSecurity",
        "green's Pod Security level forbids it: `kubectl get namespace NAMESPACE --show-labels` on both clusters, make "
        "pod-security.kubernetes.io/enforce alike, then " + AGAIN,
    ),
    # namespaces and definitions that go
    _cause(
        r"namespace \S+ because it is being terminated|namespaces? \S+ is being terminated",
        "the namespace is being deleted on green: `kubectl get namespace NAMESPACE -o yaml` there says under status.conditions "
        "which finalizers hold it; when it is gone, " + AGAIN,
    ),
    _cause(
        r"object is being deleted",
        "it is being deleted on green and waits for its finalizers: `kubectl get {resource} {name}{where} "
        "-o jsonpath='{{.metadata.finalizers}}'` there; when it is gone, " + AGAIN,
    ),
    _cause(
        r"custom resource definition is terminating",
        "its definition is being deleted on green: `kubectl get crd {resource} -o yaml` there says what holds it; when it is "
        "gone, " + AGAIN,
    ),
    # limits of green
    _cause(
        r"exceeded quota: (?P<quota>[^\s,]+)|failed quota: (?P<lacking>[^\s:]+)",
        "a ResourceQuota of green is in the way: `kubectl describe resourcequota{where}` there; raise it, then " + AGAIN,
    ),
    _cause(
        r"(maximum|minimum) (cpu|memory|storage|ephemeral-storage|\S+) usage per|limit to request ratio",
        "a LimitRange of green is in the way: `kubectl describe limitrange{where}` there; change it, then " + AGAIN,
    ),
    _cause(
        r"request is too large|entity too large|too long: (must have )?at most|must have at most \d+ (bytes|characters)",
        "it is larger than green's API server or store takes: make it smaller on blue (split it), then " + AGAIN,
    ),
    _cause(
        r"provided port is already allocated|port is already allocated",
        "another Service of green has this nodePort: `kubectl get services -A -o wide` there; free the port on green or choose "
        "another on blue, then " + AGAIN,
    ),
    _cause(
        r"provided IP is (already allocated|not in the valid range)|failed to allocate IP",
        "blue's address cannot be had on green: take the fixed clusterIP off the Service on blue, then " + AGAIN,
    ),
    # rights
    _cause(
        r"attempting to grant RBAC permissions not currently held",
        "green lets no user grant rights they do not have: let the user of green's kubeconfig have them, or the verb "
        "`escalate` (`bind` for bindings), then " + AGAIN,
    ),
    # what it needs and green lacks
    _cause(
        r"no PriorityClass with name (?P<cls>\S+) was found",
        "green has no PriorityClass {cls}: make it there, then " + AGAIN,
    ),
    _cause(
        r"error looking up service account (?P<account>[^\s:]+)|serviceaccounts? \"(?P<name_>[^\"]+)\" not found",
        "green lacks the ServiceAccount that it runs as: see what became of it above, then " + AGAIN,
    ),
    _cause(
        r"namespaces \"(?P<namespace>[^\"]+)\" not found",
        "namespace {namespace} is not on green: see what became of it above (held, left out or refused), or make it there: "
        "`kubectl create namespace {namespace}`; then " + AGAIN,
    ),
    _cause(
        r"could not find the requested resource|no matches for kind",
        "green does not serve {kind}: see what became of its definition above (`kubectl get crd {resource}` on green), then "
        + AGAIN,
    ),
    # what cannot be changed in place
    _cause(
        r"immutable|may not change|cannot change|cannot be (changed|updated)|can ?not be updated|updates to \S+ spec for fields"
        r"|updates to \S+ are forbidden|may not be (changed|updated)|updates may not change|can not be less than previous"
        r"|once set",
        "this kind cannot be changed in place: delete it on green (`kubectl delete {resource} {name}{where}`), then " + AGAIN,
        deletes=True,
    ),
    _cause(
        r"is invalid:|in body (must|should|is)|Invalid value|Required value|Unsupported value",
        "green does not take these values: change the object on blue; if it is a custom one, compare its definition on both "
        "clusters, then " + AGAIN,
    ),
)
# deleting these on green takes data or much else along
WITH_DATA = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"})


def remedy(problem: BluegreenError, resource: Resource, namespace: str | None, name: str) -> str:
    """The next command for one object that green's API server refused."""
    text = str(problem)
    words = {
        "kind": resource.kind,
        "plural": resource.plural,
        "resource": resource.name,
        "name": name,
        "where": f" -n {namespace}" if namespace else "",
    }
    for cause in CAUSES:
        if match := cause.says.search(text):
            if cause.deletes and resource.kind in WITH_DATA:
                return (
                    f"this kind cannot be changed in place, and deleting it on green would take what depends on it along: "
                    f"make the two alike by hand (`kubectl edit {resource.name} {name}{words['where']}`), then {AGAIN}"
                )
            advice = cause.remedy.format(**words, **{k: v for k, v in match.groupdict().items() if k not in words})
            return advice.replace("NAMESPACE", namespace or name)
    if isinstance(problem, Forbidden):
        if problem.status == 401:
            return f"green does not know the user of its kubeconfig (any more): renew the credentials, then {AGAIN}"
        return (
            "let the user of green's kubeconfig write this kind "
            f"(`kubectl auth can-i create {resource.name}{words['where']}`), or leave it out; then {AGAIN}"
        )
    if isinstance(problem, NotFound):
        return f"what it belongs to is not on green: see the failures above it, then {AGAIN}"
    if isinstance(problem, Conflict):
        return f"another client writes it on green at the same time: {AGAIN}"
    if isinstance(problem, Rejected) and problem.status == 413:
        return f"it is larger than green's API server or store takes: make it smaller on blue (split it), then {AGAIN}"
    if isinstance(problem, Rejected) and problem.status >= 500:
        return f"green's API server failed over it: see its log, then {AGAIN}"
    return f"fix the object on blue or on green, then {AGAIN}"


def held_remedy(change: Change) -> str:
    """What to do about an object that is held, by what it waits for."""
    meta, resource = change.obj["metadata"], change.resource
    match change.wait:
        case Wait.UNSERVED:
            return f"install what serves it on green, or convert the object; then {AGAIN}"
        case Wait.EDGE:
            return "nothing to do here"
        case Wait.REFUSED:
            return f"change it on blue, then {AGAIN}"
        case Wait.DEFINITION:
            return f"see what is said of the definition, then {AGAIN}"
        case Wait.NAMESPACE:
            namespace = meta.get("namespace", "")
            return f"let its namespace come along, or `kubectl create namespace {namespace}` on green; then {AGAIN}"
        case Wait.UNREAD if change.blocker is Blocker.NAMESPACE:
            return f"let the user of blue's kubeconfig list namespaces, then {AGAIN}"
        case Wait.UNREAD:
            return f"let the user of green's kubeconfig list {resource.name}, then {AGAIN}"
        case Wait.GOING if change.blocker is Blocker.NAMESPACE:
            namespace = meta.get("namespace") or meta["name"]
            return (
                f"`kubectl get namespace {namespace} -o yaml` on green: status.conditions names the finalizers that hold it; "
                f"let what they belong to finish, or take them off (`kubectl patch KIND NAME -n {namespace} --type=merge "
                f'-p \'{{"metadata":{{"finalizers":null}}}}\'`); when it is gone, {AGAIN}'
            )
        case Wait.GOING:
            where = f" -n {meta['namespace']}" if meta.get("namespace") else ""
            return (
                f"`kubectl get {resource.name} {meta['name']}{where} -o jsonpath='{{.metadata.finalizers}}'` on green names "
                f"what holds it; when it is gone, {AGAIN}"
            )
        case _:
            return AGAIN
