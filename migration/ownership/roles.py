"""What a workload may do and be: its AWS role, the leases that it holds, the kinds whose status it writes. Pure.

Facts: IAM roles for service accounts are named by an annotation of the ServiceAccount; EKS Pod Identity's association is in
AWS, and shows in the variables and volumes that the agent's webhook puts into a running pod, or as an object of ACK or
Crossplane. client-go's leader election writes `holderIdentity` as the program gives it: mostly the host's name (the pod's,
cut at 63 characters), alone or followed by `_` and a UUID, or by a word of the program's own.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects import kinds
from migration.objects.kinds import Object
from migration.objects.view import View
from migration.ownership.programs import Running

LEASES = "leases.coordination.k8s.io"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
ROLE_OF_TEMPLATE = "iam.amazonaws.com/role"  # kiam and kube2iam
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"  # elections before there were Leases
IN_POD = frozenset({"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID"})
OF_A_TEMPLATE = "AWS_ACCESS_KEY_ID"  # a key is its template's own: no webhook puts one into the pods of an account
VOLUMES_IN_POD = frozenset({"eks-pod-identity-token", "aws-iam-token"})
HOST = 63  # a pod's host name is its name, cut here
NODES = "kube-node-lease"

Workload = tuple[str, str, str]  # kind, namespace, name


# -- roles in AWS ------------------------------------------------------------------------------------------------------


def aws_role(run: Running, blue: View) -> str:
    """In words, by what this workload may act on AWS; "": by nothing that shows."""
    if arn := blue.once(_roles_of_accounts).get(run.account):
        return f"AWS role {arn}"
    if arn := run.annotations.get(ROLE_OF_TEMPLATE):
        return f"AWS role {arn}"
    if _shows_credentials(run.pod) or run.account in blue.once(_accounts_with_credentials):
        return "credentials of AWS"
    return ""


def _roles_of_accounts(view: View) -> dict[tuple[str, str], str]:
    roles = {}
    for name, objects in view.objects.items():
        if not name.startswith("podidentityassociations."):
            continue
        for obj in objects:
            spec = obj.get("spec") or {}
            spec = {**spec, **(spec.get("forProvider") or {})}
            key = str(spec.get("namespace") or ""), str(spec.get("serviceAccount") or "")
            roles[key] = str(spec.get("roleARN") or spec.get("roleArn") or f"of {kinds.name_of(obj)}")
    for account in view.of("serviceaccounts"):
        if arn := (account["metadata"].get("annotations") or {}).get(ROLE_ANNOTATION):
            roles[account["metadata"].get("namespace", ""), account["metadata"]["name"]] = arn
    return roles


def _shows_credentials(pod: Mapping[str, Any]) -> frozenset[str]:
    """The variables and volumes of a pod, or a template, by which it acts on AWS."""
    volumes = {str(volume.get("name")) for volume in pod.get("volumes") or ()} & VOLUMES_IN_POD
    containers = pod.get("containers") or ()
    return frozenset(volumes | {str(e.get("name")) for c in containers for e in c.get("env") or ()} & IN_POD)


def _accounts_with_credentials(view: View) -> frozenset[tuple[str, str]]:
    """The accounts into whose pods credentials were put: those that a pod has and its template has not. Of the pods of
    `decisive` alone, whatever else was read whole.
    """
    accounts = set()
    for pod in decisive(view):
        spec = pod.get("spec")
        if not spec or not (shown := _shows_credentials(spec) - {OF_A_TEMPLATE}):
            continue
        template = view.once(_templates).get(_workload_of(view, pod), {})
        if shown - _shows_credentials(template):
            account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
            accounts.add((pod["metadata"].get("namespace", ""), account))
    return frozenset(accounts)


def decisive(view: View) -> Iterator[Object]:
    """Pods whose content decides something: those of nobody, and those that lead. `replicate` reads no others whole, so
    nothing may be told from others where they were read.
    """
    yield from (pod for pod in view.of(kinds.POD.name) if _controller(pod) is None)
    yield from holders(view)


def _templates(view: View) -> dict[Workload, Mapping[str, Any]]:
    templates = {}
    for resource in (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.DAEMON_SET):
        for obj in view.of(resource.name):
            template = (obj.get("spec") or {}).get("template") or {}
            templates[resource.kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = template.get("spec") or {}
    return templates


# -- leadership --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leases:
    """`held`: for each workload whose pod leads, the lease by which it does; `others`: leases, by namespace, whose holder is
    no pod that is there.
    """

    held: Mapping[Workload, str]
    others: Mapping[str, tuple[Object, ...]]


def leases(view: View) -> Leases:
    """Who leads on a cluster: by workload, and by namespace the leases whose holder is no pod."""
    held: dict[Workload, str] = {}
    others: dict[str, list[Object]] = defaultdict(list)
    for lease, holder in _elections(view):
        pod = _pod_of(view, holder, lease["metadata"].get("namespace", ""))
        if pod is None:
            others[lease["metadata"].get("namespace", "")].append(lease)
        else:
            held.setdefault(_workload_of(view, pod), f"{kinds.name_of(lease)}")
    return Leases(held, {namespace: tuple(objects) for namespace, objects in others.items()})


def lease_of(run: Running, view: View) -> str:
    """By what this workload leads, `Lease kube-system/x`; "": it does not, as far as can be seen.

    Where a lease's holder is no pod (a node's name, a UUID, a pod that is gone), it is taken for the one of a workload in
    its namespace that says it elects leaders, that bears its name, or that runs on its node's network.
    """
    meta = run.obj["metadata"]
    elections = view.once(leases)
    if lease := elections.held.get((run.obj["kind"], run.namespace, meta["name"])):
        return lease
    for lease_obj in elections.others.get(run.namespace, ()):
        name = lease_obj["metadata"]["name"]
        named = (str(meta["name"]), run.labels.get("app.kubernetes.io/name", ""), run.labels.get("app", ""))
        host = str((lease_obj.get("spec") or {}).get("holderIdentity") or "").partition("_")[0]
        on_node = bool(run.pod.get("hostNetwork")) and host in view.once(_nodes)
        if on_node or any(_same_name(each, name) for each in named) or _names_lease(run, name):
            return kinds.name_of(lease_obj)
    return ""


def holders(view: View) -> Iterator[Object]:
    """The pods that lead, as they were read."""
    for lease, holder in _elections(view):
        pod = _pod_of(view, holder, lease["metadata"].get("namespace", ""))
        if pod is not None:
            yield pod


def _elections(view: View) -> Iterator[tuple[Object, str]]:
    for lease in view.of(LEASES):
        if lease["metadata"].get("namespace") != NODES:
            yield lease, str((lease.get("spec") or {}).get("holderIdentity") or "")
    for name in (kinds.CONFIG_MAP.name, "endpoints"):
        for obj in view.of(name):
            text = (obj["metadata"].get("annotations") or {}).get(LEADER_ANNOTATION)
            if text:
                try:
                    yield obj, str(json.loads(text).get("holderIdentity") or "")
                except (ValueError, AttributeError, TypeError, RecursionError):
                    continue


def _same_name(workload: str, lease: str) -> bool:
    """Whether one bears the other's name, by whole parts: `cert-manager` and `cert-manager-controller`, `x` and
    `x.example.com`; within a lease's name only a name of several parts (`corp-shop-operator-lock`).
    """
    mine, its = ([part for part in _PARTS.split(name.lower()) if part] for name in (workload, lease))
    if not mine or not its:
        return False
    fewer = min(len(mine), len(its))
    if mine[:fewer] == its[:fewer]:
        return True
    return len(mine) > 1 and any(its[at : at + len(mine)] == mine for at in range(1, len(its)))


def _pods_by_host(view: View) -> dict[str, list[Object]]:
    by_host: dict[str, list[Object]] = defaultdict(list)
    for pod in view.of("pods"):
        by_host[pod["metadata"]["name"][:HOST].rstrip("-.")].append(pod)
        if len(pod["metadata"]["name"]) > HOST:
            by_host[pod["metadata"]["name"]].append(pod)
    return by_host


_PARTS = re.compile(r"[_./:@ -]")


def _pod_of(view: View, holder: str, namespace: str) -> Object | None:
    """The pod whose name the holder has, at its start or after a `/`: the longest that fits, the lease's namespace first."""
    pods = view.once(_pods_by_host)
    for text in dict.fromkeys((holder, holder.rpartition("/")[2])):
        ends = [len(text), *(match.start() for match in reversed(list(_PARTS.finditer(text))))]
        for end in ends:
            candidates = pods.get(text[:end])
            if candidates:
                return next((p for p in candidates if p["metadata"].get("namespace", "") == namespace), candidates[0])
    return None


def _workload_of(view: View, pod: Object) -> Workload:
    """Whose pod it is: a ReplicaSet's Deployment, a StatefulSet, itself."""
    namespace = pod["metadata"].get("namespace", "")
    owner = _controller(pod)
    if owner is None:
        return "Pod", namespace, pod["metadata"]["name"]
    kind, name = str(owner.get("kind", "")), str(owner.get("name", ""))
    if kind == "ReplicaSet":
        above = _controller(view.once(_replica_sets).get((namespace, name), {"metadata": {}}))
        if above is not None:
            return str(above.get("kind", "")), namespace, str(above.get("name", ""))
    return kind, namespace, name


def _controller(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _replica_sets(view: View) -> dict[tuple[str, str], Object]:
    return {(r["metadata"].get("namespace", ""), r["metadata"]["name"]): r for r in view.of("replicasets.apps")}


def _nodes(view: View) -> frozenset[str]:
    """Names of nodes: each renews a lease of its own."""
    return frozenset(
        lease["metadata"]["name"] for lease in view.of(LEASES) if lease["metadata"].get("namespace") == NODES
    ) | frozenset(node["metadata"]["name"] for node in view.of("nodes"))


def _names_lease(run: Running, lease: str) -> bool:
    """Whether its arguments or literal variables name this lease."""
    whole = re.compile(rf"(?<![\w.-]){re.escape(lease)}(?![\w.-])")
    return any(
        whole.search(container.line) or any(str(each.get("value") or "") == lease for each in container.spec.get("env") or ())
        for container in run.containers
    )


# -- kinds whose status it writes --------------------------------------------------------------------------------------


def status_groups(run: Running, view: View) -> frozenset[str]:
    """API groups of which this workload's account may write the status of objects: it is their controller. Roles that
    allow everything of every group tell nothing.
    """
    return view.once(_groups_of_accounts).get(run.account, frozenset())


def _groups_of_accounts(view: View) -> dict[tuple[str, str], frozenset[str]]:
    roles: dict[tuple[str, str, str], frozenset[str]] = {}
    for kind in ("clusterroles", "roles"):
        for role in view.of(f"{kind}.rbac.authorization.k8s.io"):
            if groups := _writes_status(role):
                roles[role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]] = groups
    by_account: dict[tuple[str, str], frozenset[str]] = {}
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in view.of(f"{kind}.rbac.authorization.k8s.io"):
            reference = binding.get("roleRef") or {}
            namespace = binding["metadata"].get("namespace", "")
            of = "" if reference.get("kind") == "ClusterRole" else namespace
            groups = roles.get((str(reference.get("kind", "")), of, str(reference.get("name", ""))), frozenset())
            for subject in binding.get("subjects") or () if groups else ():
                if subject.get("kind") == "ServiceAccount":
                    key = str(subject.get("namespace") or namespace), str(subject.get("name", ""))
                    by_account[key] = by_account.get(key, frozenset()) | groups
    return by_account


def _writes_status(role: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        group
        for rule in role.get("rules") or ()
        if {"update", "patch", "*"} & set(rule.get("verbs") or ())
        and any(str(resource).endswith("/status") for resource in rule.get("resources") or ())
        for group in rule.get("apiGroups") or ()
        if group
    )
