"""What of blue has an identity in AWS: ServiceAccounts with a role, and those whose pods get theirs by Pod Identity. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from migration.objects import kinds, trust
from migration.objects.classes import Answer, Class
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import judge
from migration.ownership.known import Known

ACCOUNT = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
ACCOUNTS = ACCOUNT.name
PREFIX = "eks.amazonaws.com/"
ROLE, AUDIENCE = f"{PREFIX}role-arn", f"{PREFIX}audience"
# classes of ServiceAccounts that green does not get from blue, or gets from its own baseline with a role of its own; what
# GitOps or an operator makes arrives on green with the same annotation as on blue
NOT_OURS = frozenset({Class.BASELINE, Class.EKS, Class.UNASKED, Class.GOING})
# EKS' Pod Identity webhook points SDKs at the node's agent by this variable (IPv4 and IPv6)
AGENT = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AGENTS = ("http://169.254.170.23/", "http://[fd00:ec2::23]/")


@dataclass(frozen=True)
class Account:
    """A ServiceAccount with a role of AWS. `used`: something that runs, or could run, names it; True where it could not be
    read what there is.
    """

    namespace: str
    name: str
    role_arn: str
    audience: str = trust.AUDIENCE
    used: bool = True

    @property
    def object(self) -> str:
        """As findings name it: `ServiceAccount shop/web`."""
        return f"ServiceAccount {self.namespace}/{self.name}"


def with_role(known: Known) -> tuple[Account, ...]:
    """Accounts with a role by annotation, or by what their workloads set themselves (AWS_ROLE_ARN), sorted."""
    by_role: dict[tuple[str, str, str], Account] = {}
    on_green = {kinds.full_name(obj): obj for obj in (known.green.of(ACCOUNTS) if known.green else ())}
    objects = known.once(_accounts)
    for full, obj in objects.items():
        arn = _role_of(obj, on_green.get(full))
        if arn and _comes(known, obj):
            said = (obj["metadata"].get("annotations") or {}).get(AUDIENCE) or trust.AUDIENCE
            account = Account(obj["metadata"]["namespace"], obj["metadata"]["name"], arn, str(said))
            by_role[account.namespace, account.name, arn] = account
    for namespace, spec in known.once(_pod_specs):
        name = account_of(spec)
        arn = _set_by_hand(spec)
        if arn and _account_comes(known, f"{namespace}/{name}"):
            by_role.setdefault((namespace, name, arn), Account(namespace, name, arn))
    used = known.once(_names_used)
    anything = bool(known.blue.problems)
    maybe = {(a.namespace, a.name) for a in by_role.values() if (a.namespace, a.name) not in used}
    used = used if anything or not maybe else used | _named_elsewhere(known, maybe)
    accounts = (replace(a, used=anything or (a.namespace, a.name) in used) for a in by_role.values())
    return tuple(sorted(accounts, key=lambda a: (a.object, a.role_arn)))


def _accounts(known: Known) -> dict[str, Object]:
    return {kinds.full_name(obj): obj for obj in known.blue.of(ACCOUNTS)}


def _role_of(obj: Mapping[str, Any], on_green: Mapping[str, Any] | None) -> str:
    """The role with which it will be on green: a person, or GitOps, may have given it another one there."""
    mine = str((obj["metadata"].get("annotations") or {}).get(ROLE) or "")
    if on_green is not None:
        meta = on_green["metadata"]
        theirs = str((meta.get("annotations") or {}).get(ROLE) or "")
        ours = any(entry.get("manager") == kinds.REPLICATE for entry in meta.get("managedFields") or ())
        if theirs and not ours:
            return theirs
    return mine


def _comes(known: Known, obj: Object) -> bool:
    verdict = judge.verdict(obj, known.blue.resources.get(ACCOUNTS, ACCOUNT), known)
    return verdict.cls not in NOT_OURS and verdict.answer is not Answer.SKIP


def _account_comes(known: Known, full: str) -> bool:
    obj = known.once(_accounts).get(full)
    return _comes(known, obj) if obj is not None else full.partition("/")[0] not in kinds.BASELINE_NAMESPACES


def _pod_specs(known: Known) -> list[tuple[str, Object]]:
    """Namespace and pod spec of everything that makes pods, whatever its kind, and of pods."""
    specs = []
    for name, objects in known.blue.objects.items():
        if name == ACCOUNTS or name in ("secrets", "configmaps"):
            continue
        for obj in objects:
            spec = obj.get("spec")
            namespace = obj["metadata"].get("namespace")
            if not isinstance(spec, dict) or not namespace:
                continue
            specs += [(str(namespace), inner) for inner in _inner_specs(spec, name)]
    return specs


def _inner_specs(spec: Object, resource_name: str) -> Iterator[Object]:
    if resource_name == "pods":
        yield spec
        return
    for path in (("template", "spec"), ("jobTemplate", "spec", "template", "spec"), ("jobTargetRef", "template", "spec")):
        inner: Any = spec
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("containers"), list):
            yield inner


def account_of(spec: Mapping[str, Any]) -> str:
    """The account of a pod's spec; `default` where it names none."""
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")


def _environment(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            for each in container.get("env") or ():
                yield str(each.get("name", "")), str(each.get("value") or "")


def _set_by_hand(spec: Mapping[str, Any]) -> str:
    """The role of a pod that asks STS by a token of its own making, without the webhook."""
    if not any(
        "serviceAccountToken" in source
        for volume in spec.get("volumes") or ()
        if volume.get("name") != "aws-iam-token"  # the webhook's own, in running pods: the annotation tells of it
        for source in (volume.get("projected") or {}).get("sources") or ()
    ):
        return ""
    said = dict(_environment(spec))
    return said.get("AWS_ROLE_ARN", "") if said.get("AWS_WEB_IDENTITY_TOKEN_FILE") else ""


def _names_used(known: Known) -> frozenset[tuple[str, str]]:
    return frozenset((namespace, account_of(spec)) for namespace, spec in known.once(_pod_specs))


def _named_elsewhere(known: Known, wanted: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of the wanted that a custom object names (an operator will make its pods)."""
    left = set(wanted)
    matches = set()
    for name, objects in known.blue.objects.items():
        resource = known.blue.resources.get(name)
        if resource is None or resource.group in ("", "rbac.authorization.k8s.io"):
            continue
        for obj in objects:
            namespace = str(obj["metadata"].get("namespace") or "")
            names = {each for space, each in left if space == namespace}
            if names:
                matches |= {(namespace, each) for each in names & set(_texts(obj.get("spec")))}
    return frozenset(matches)


def _texts(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            todo += each.values()
        elif isinstance(each, list):
            todo += each


def by_agent(known: Known) -> tuple[str, ...]:
    """`namespace/name` of accounts whose pods on blue get their role by Pod Identity, sorted."""
    return tuple(sorted(full for full in through_agent(known.blue) if _account_comes(known, full)))


def through_agent(view: View) -> set[str]:
    """`namespace/name` of the accounts whose pods get credentials from the agent of EKS Pod Identity."""
    return {
        f"{pod['metadata'].get('namespace')}/{account_of(pod['spec'])}"
        for pod in view.of("pods")
        if isinstance(pod.get("spec"), dict)
        and any(name == AGENT and value.startswith(AGENTS) for name, value in _environment(pod["spec"]))
    }
