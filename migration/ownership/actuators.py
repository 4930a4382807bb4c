"""What acts on something outside its cluster, by the cluster's name, an owner id or a role: two of them fight.

Told by the catalogue, and by a general sign: a workload that may act on AWS and that elects a leader in its cluster, so that
one of it acts at a time. On green it is there with 0 replicas until a person says `start`; what has no replicas is left out.
What green's baseline runs itself stays away.

A workload in a namespace of the baseline that green's baseline does not bring is asked for as well; with it comes what it
cannot run without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import owners, recognise
from migration.ownership.known import Known
from migration.ownership.programs import SCALED, Running, running
from migration.ownership.roles import aws_role, decisive, lease_of, status_groups

STOPPED = MappingProxyType({Answer.HOLD: Action.STOP, Answer.START: Action.COPY})
LEFT_OUT = MappingProxyType({Answer.HOLD: Action.LEAVE, Answer.START: Action.COPY})
GREENS_OWN = MappingProxyType({Answer.HOLD: Action.LEAVE, Answer.START: Action.LEAVE})
RELEASE = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
RBAC = "rbac.authorization.k8s.io"


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Whether a workload acts outside."""
    acts = _acts(obj, resource, known)
    return _sign_of(obj, known, acts) if acts else None


def in_baseline(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """The same for namespaces of the baseline, before whoever says that all in them belongs to the baseline; with what
    the actuators in them need that a person wants on green.
    """
    namespace = obj["metadata"].get("namespace")
    if namespace in kinds.BASELINE_NAMESPACES and (acts := _in_baseline_acts(obj, resource, known)):
        usual = _sign_of(obj, known, acts)
        if not usual.required:
            return None  # green's baseline brings its own
        waits = Action.HOLD if usual.action is Action.STOP else usual.action
        return Sign(usual.cls, f"{usual.reason}; green's baseline brings none", waits, usual.answers, required=True)
    needed = known.once(_needed) if known.choices.answers else None
    if needed and needed.means(obj, resource) and not _others(obj, resource):
        return Sign(Class.PLAIN, "an actuator that was requested needs it", Action.COPY)
    return None


def to_read_whole(blue: View) -> list[tuple[Resource, Object]]:
    """Of what was read by its metadata, the few objects whose content these signs need: pods that lead, for the credentials
    in them, and pods and ReplicaSets of nobody, for what they run.
    """
    wanted: dict[tuple[str, str, str], tuple[Resource, Object]] = {}

    def note(resource_name: str, obj: Object) -> None:
        resource = blue.resources.get(resource_name)
        if resource is not None and "spec" not in obj:
            wanted[resource_name, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = resource, obj

    for obj in blue.of("replicasets.apps"):
        if owners.controller_of(obj) is None:
            note("replicasets.apps", obj)
    for pod in decisive(blue):
        note(kinds.POD.name, pod)
    return list(wanted.values())


# -- who acts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Acts:
    """`key`: which program, by the catalogue; None: by the general sign."""

    reason: str
    key: tuple[str, str] | None = None


def _acts(obj: Object, resource: Resource, known: Known) -> _Acts | None:
    run = running(obj, resource, known)
    return _runs(run, known) if run else None


def _runs(run: Running, known: Known) -> _Acts | None:
    match = recognise.match(run, known, status_groups(run, known.blue))
    if match:
        return _Acts(f"{match.row.name} ({match.by}): {match.row.reason}", match.key)
    if (role := aws_role(run, known.blue)) and (lease := lease_of(run, known.blue)):
        return _Acts(f"it has {role} and leads by {lease}: a controller that acts on AWS")
    return None


def _in_baseline_acts(obj: Object, resource: Resource, known: Known) -> _Acts | None:
    return None if _others(obj, resource) else _acts(obj, resource, known)


def _others(obj: Object, resource: Resource) -> bool:
    """Whether somebody else brings it: a controller, EKS, GitOps; or it is going."""
    going = bool(obj["metadata"].get("deletionTimestamp"))
    return going or owners.made_by(obj, resource) is not None or "eks" in owners.managers_of(obj)


def _sign_of(obj: Object, known: Known, acts: _Acts) -> Sign:
    greens = known.once(_greens)
    same = (obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    if same in greens.names:
        return Sign(Class.ACTUATOR, f"{acts.reason}; green has its own by this name", Action.LEAVE, GREENS_OWN)
    scaled = obj["kind"] in SCALED
    answers = STOPPED if scaled else LEFT_OUT
    reason = acts.reason
    if acts.key and (others := greens.programs.get(acts.key)):
        if known.once(_blues)[acts.key] <= 1:
            return Sign(Class.ACTUATOR, f"{reason}; green has its own, {others}", Action.LEAVE, answers)
        reason += f"; green has one of its own, {others}, and blue has several"
    return Sign(Class.ACTUATOR, reason, Action.STOP if scaled else Action.LEAVE, answers, required=True)


# -- what green runs of its own ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Greens:
    """`names`: kind, namespace and name of workloads that others than replicate brought; `programs`: of programs of the
    catalogue, the first that runs one.
    """

    names: frozenset[tuple[str, str, str]]
    programs: Mapping[tuple[str, str], str]


_WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET, kinds.DAEMON_SET)


def _greens(known: Known) -> _Greens:
    names = set()
    programs: dict[tuple[str, str], str] = {}
    if known.green is not None:
        green = Known(known.green)
        for obj, run in _workloads(green):
            if kinds.REPLICATE in owners.managers_of(obj):
                continue
            meta = obj["metadata"]
            names.add((obj["kind"], meta.get("namespace", ""), meta["name"]))
            if match := recognise.match(run, green):
                programs.setdefault(match.key, kinds.name_of(obj))
    return _Greens(frozenset(names), programs)


def _blues(known: Known) -> Counter[tuple[str, str]]:
    """How many workloads of blue run each program of the catalogue."""
    counts: Counter[tuple[str, str]] = Counter()
    for _, run in _workloads(known):
        if (acts := _runs(run, known)) and acts.key:
            counts[acts.key] += 1
    return counts


def _workloads(known: Known) -> list[tuple[Object, Running]]:
    workloads = []
    for resource in _WORKLOADS:
        runs = [(obj, running(obj, resource, known)) for obj in known.blue.of(resource.name)]
        workloads += [(obj, run) for obj, run in runs if run]
    return workloads


# -- what comes along with an actuator of the baseline's namespaces ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Needed:
    """`objects`: resource name, namespace and name; `releases`: Helm releases of which everything comes but workloads that
    act themselves; `groups`: API groups whose definitions come.
    """

    objects: frozenset[tuple[str, str, str]]
    releases: frozenset[tuple[str, str]]
    groups: frozenset[str]

    def means(self, obj: Object, resource: Resource) -> bool:
        meta = obj["metadata"]
        if obj.get("type") == "kubernetes.io/service-account-token":
            return False
        if resource.name == kinds.CRD.name and (obj.get("spec") or {}).get("group") in self.groups:
            return True
        return (resource.name, meta.get("namespace", ""), meta["name"]) in self.objects or _release(obj) in self.releases


def _release(obj: Mapping[str, Any]) -> tuple[str, str]:
    annotations = obj["metadata"].get("annotations") or {}
    return annotations.get(RELEASE[1], ""), annotations.get(RELEASE[0], "")


def _needed(known: Known) -> _Needed:
    objects: set[tuple[str, str, str]] = set()
    releases: set[tuple[str, str]] = set()
    groups: set[str] = set()
    accounts: set[tuple[str, str]] = set()
    for obj, run in _workloads(known):
        answer = known.answer(obj)
        if obj["metadata"].get("namespace") not in kinds.BASELINE_NAMESPACES or answer not in (Answer.HOLD, Answer.START):
            continue
        acts = _runs(run, known)
        resource = next(each for each in _WORKLOADS if each.kind == obj["kind"])
        if acts is None or _others(obj, resource) or not _sign_of(obj, known, acts).required:
            continue
        accounts.add(run.account)
        objects.add(("serviceaccounts", *run.account))
        objects |= {(name, run.namespace, of) for name, of in _named(run)}
        if _release(obj)[1]:
            releases.add(_release(obj))
        groups |= _groups_of(run, known)
    if accounts:
        objects |= _rights_of(accounts, known)
    return _Needed(frozenset(objects), frozenset(releases), frozenset(groups))


def _named(run: Running) -> set[tuple[str, str]]:
    """ConfigMaps and Secrets that its pods name."""
    named = set()
    for volume in run.pod.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if reference := source.get("configMap"):
                named.add((kinds.CONFIG_MAP.name, str(reference.get("name", ""))))
            if reference := source.get("secret"):
                named.add(("secrets", str(reference.get("secretName") or reference.get("name") or "")))
    for container in run.containers:
        for each in container.spec.get("env") or ():
            source = each.get("valueFrom") or {}
            for key, name in (("configMapKeyRef", kinds.CONFIG_MAP.name), ("secretKeyRef", "secrets")):
                if reference := source.get(key):
                    named.add((name, str(reference.get("name", ""))))
        for each in container.spec.get("envFrom") or ():
            for key, name in (("configMapRef", kinds.CONFIG_MAP.name), ("secretRef", "secrets")):
                if reference := each.get(key):
                    named.add((name, str(reference.get("name", ""))))
    named |= {("secrets", str(each.get("name", ""))) for each in run.pod.get("imagePullSecrets") or ()}
    return named - {(kinds.CONFIG_MAP.name, "kube-root-ca.crt")}


def _rights_of(accounts: set[tuple[str, str]], known: Known) -> set[tuple[str, str, str]]:
    """Bindings that name one of these accounts, and the roles that they give; not those that every cluster has."""
    rights = set()
    for plural in ("clusterrolebindings", "rolebindings"):
        for binding in known.blue.of(f"{plural}.{RBAC}"):
            meta = binding["metadata"]
            namespace = meta.get("namespace", "")
            named = {
                (str(subject.get("namespace") or namespace), str(subject.get("name", "")))
                for subject in binding.get("subjects") or ()
                if subject.get("kind") == "ServiceAccount"
            }
            if not named & accounts or _clusters_own(binding):
                continue
            rights.add((f"{plural}.{RBAC}", namespace, meta["name"]))
            reference = binding.get("roleRef") or {}
            if reference.get("kind") == "ClusterRole":
                rights.add((f"clusterroles.{RBAC}", "", str(reference.get("name", ""))))
            else:
                rights.add((f"roles.{RBAC}", namespace, str(reference.get("name", ""))))
    every = {r["metadata"]["name"] for r in known.blue.of(f"clusterroles.{RBAC}") if _clusters_own(r)}
    return {each for each in rights if not (each[0] == f"clusterroles.{RBAC}" and each[2] in every)}


def _clusters_own(obj: Mapping[str, Any]) -> bool:
    meta = obj["metadata"]
    bootstrap = (meta.get("labels") or {}).get("kubernetes.io/bootstrapping") == "rbac-defaults"
    return bootstrap or str(meta["name"]).startswith("system:")


def _groups_of(run: Running, known: Known) -> set[str]:
    """API groups that it is the controller of and that green does not serve."""
    served = {group for group, _ in known.green.discovery.served} if known.green else set()
    return {group for group in status_groups(run, known.blue) if group not in served}
