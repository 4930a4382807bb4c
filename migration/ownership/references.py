"""What an object names that it cannot do without: as tables of paths, by kind.

A path is keys with dots, `[]` for each item of a list: `spec.tls[].secretName`. A `Name` ends at the name of an object of
one kind, a `Typed` at a mapping that names its kind itself (`kind`, and `group`, `apiGroup` or `apiVersion`). What a
container or a pod names is the same in every kind that holds a pod template, known to us or not, so those tables stand
alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.owners import controller_of

Key = tuple[str, str, str]  # `plural.group`, namespace ("" for what is in none), name


@dataclass(frozen=True, slots=True)
class Reference:
    """One object that is named by another. `needed`: it is told where blue has it not; Kubernetes' `optional`, what is
    only looked for, and guesses are not needed.
    """

    key: Key
    kind: str
    needed: bool = True

    @property
    def name(self) -> str:
        """As people read it: `Secret shop/token`."""
        _, namespace, name = self.key
        return f"{self.kind} {namespace + '/' if namespace else ''}{name}"


@dataclass(frozen=True, slots=True)
class Name:
    """`path` ends at a name; the object is in the same namespace, or in the `namespace` beside the name."""

    path: str
    resource: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Typed:
    """`path` ends at mappings with `name`, and `kind` and its group unless it is the default."""

    path: str
    kind: str
    group: str
    needed: bool = True


# Where a kind holds what its pods are made from. Tried on every object: Argo's Rollouts, Knative's Services, OpenKruise's
# CloneSets and OpenShift's DeploymentConfigs have it where Deployments have, KEDA's ScaledJobs where the third says.
TEMPLATES = ("spec.template", "spec.jobTemplate.spec.template", "spec.jobTargetRef.template")

OF_PODS: tuple[Name, ...] = (  # under a pod's spec
    Name("volumes[].configMap.name", "configmaps"),
    Name("volumes[].secret.secretName", "secrets"),
    Name("volumes[].projected.sources[].configMap.name", "configmaps"),
    Name("volumes[].projected.sources[].secret.name", "secrets"),
    Name("volumes[].persistentVolumeClaim.claimName", "persistentvolumeclaims"),
    Name("volumes[].ephemeral.volumeClaimTemplate.spec.storageClassName", "storageclasses.storage.k8s.io"),
    Name("volumes[].csi.nodePublishSecretRef.name", "secrets"),
    Name("volumes[].csi.volumeAttributes.secretProviderClass", "secretproviderclasses.secrets-store.csi.x-k8s.io"),
    Name("volumes[].azureFile.secretName", "secrets"),
    Name("volumes[].cephfs.secretRef.name", "secrets"),
    Name("volumes[].cinder.secretRef.name", "secrets"),
    Name("volumes[].flexVolume.secretRef.name", "secrets"),
    Name("volumes[].iscsi.secretRef.name", "secrets"),
    Name("volumes[].rbd.secretRef.name", "secrets"),
    Name("volumes[].scaleIO.secretRef.name", "secrets"),
    Name("volumes[].storageos.secretRef.name", "secrets"),
    Name("imagePullSecrets[].name", "secrets"),
    Name("serviceAccountName", "serviceaccounts"),
    Name("priorityClassName", kinds.PRIORITY_CLASS.name),
    Name("runtimeClassName", "runtimeclasses.node.k8s.io"),
    Name("resourceClaims[].resourceClaimName", "resourceclaims.resource.k8s.io"),
    Name("resourceClaims[].resourceClaimTemplateName", "resourceclaimtemplates.resource.k8s.io"),
    *(
        Name(f"{containers}[].{path}", resource)
        for containers in ("containers", "initContainers")
        for path, resource in (
            ("env[].valueFrom.configMapKeyRef.name", "configmaps"),
            ("env[].valueFrom.secretKeyRef.name", "secrets"),
            ("envFrom[].configMapRef.name", "configmaps"),
            ("envFrom[].secretRef.name", "secrets"),
        )
    ),
)

_ROUTED = (
    Typed("spec.parentRefs[]", "Gateway", kinds.GATEWAY_CLASS.group, needed=False),
    Typed("spec.rules[].backendRefs[]", "Service", ""),
    Typed("spec.rules[].filters[].requestMirror.backendRef", "Service", ""),
)
OF_KINDS: Mapping[str, tuple[Name | Typed, ...]] = {
    "serviceaccounts": (Name("imagePullSecrets[].name", "secrets"), Name("secrets[].name", "secrets", needed=False)),
    "statefulsets.apps": (
        Name("spec.serviceName", "services"),
        Name("spec.volumeClaimTemplates[].spec.storageClassName", "storageclasses.storage.k8s.io"),
    ),
    "persistentvolumeclaims": (
        Name("spec.volumeName", "persistentvolumes"),
        Name("spec.storageClassName", "storageclasses.storage.k8s.io", needed=False),
        Name("spec.volumeAttributesClassName", "volumeattributesclasses.storage.k8s.io"),
        Typed("spec.dataSourceRef", "PersistentVolumeClaim", "", needed=False),
    ),
    "volumesnapshots.snapshot.storage.k8s.io": (
        Name("spec.source.volumeSnapshotContentName", "volumesnapshotcontents.snapshot.storage.k8s.io"),
        Name("spec.volumeSnapshotClassName", "volumesnapshotclasses.snapshot.storage.k8s.io"),
    ),
    "persistentvolumes": (
        Name("spec.storageClassName", "storageclasses.storage.k8s.io", needed=False),
        *(
            Name(f"spec.csi.{name}SecretRef.name", "secrets")
            for name in ("controllerPublish", "nodeStage", "nodePublish", "controllerExpand", "nodeExpand")
        ),
    ),
    "roles.rbac.authorization.k8s.io": (),
    "rolebindings.rbac.authorization.k8s.io": (Typed("roleRef", "Role", "rbac.authorization.k8s.io"),),
    "clusterrolebindings.rbac.authorization.k8s.io": (Typed("roleRef", "ClusterRole", "rbac.authorization.k8s.io"),),
    "ingresses.networking.k8s.io": (
        Name("spec.ingressClassName", kinds.INGRESS_CLASS.name),
        Name("spec.tls[].secretName", "secrets"),
        Name("spec.defaultBackend.service.name", "services"),
        Name("spec.rules[].http.paths[].backend.service.name", "services"),
    ),
    "httproutes.gateway.networking.k8s.io": _ROUTED,
    "grpcroutes.gateway.networking.k8s.io": _ROUTED,
    "tlsroutes.gateway.networking.k8s.io": _ROUTED,
    "tcproutes.gateway.networking.k8s.io": _ROUTED,
    "gateways.gateway.networking.k8s.io": (
        Name("spec.gatewayClassName", kinds.GATEWAY_CLASS.name),
        Typed("spec.listeners[].tls.certificateRefs[]", "Secret", ""),
    ),
    **{
        kind.resource.name: tuple(Typed(path, kind.resource.kind, kind.resource.group) for path in kind.delegates)
        for kind in routing.registered()
        if kind.delegates
    },
    "scaledobjects.keda.sh": (Typed("spec.triggers[].authenticationRef", "TriggerAuthentication", "keda.sh"),),
    "scaledjobs.keda.sh": (Typed("spec.triggers[].authenticationRef", "TriggerAuthentication", "keda.sh"),),
    "certificates.cert-manager.io": (Typed("spec.issuerRef", "Issuer", "cert-manager.io"),),
    "externalsecrets.external-secrets.io": (
        Typed("spec.secretStoreRef", "SecretStore", "external-secrets.io"),
        Typed("spec.data[].sourceRef.storeRef", "SecretStore", "external-secrets.io"),
        Typed("spec.dataFrom[].sourceRef.storeRef", "SecretStore", "external-secrets.io"),
        Typed("spec.dataFrom[].sourceRef.generatorRef", "", "generators.external-secrets.io", needed=False),
    ),
    "rollouts.argoproj.io": (
        Typed("spec.workloadRef", "Deployment", "apps"),
        Name("spec.strategy.canary.canaryService", "services"),
        Name("spec.strategy.canary.stableService", "services"),
        Name("spec.strategy.blueGreen.activeService", "services"),
        Name("spec.strategy.blueGreen.previewService", "services"),
        Name("spec.strategy.canary.steps[].analysis.templates[].templateName", "analysistemplates.argoproj.io"),
        Name("spec.strategy.canary.analysis.templates[].templateName", "analysistemplates.argoproj.io"),
        Name("spec.strategy.blueGreen.prePromotionAnalysis.templates[].templateName", "analysistemplates.argoproj.io"),
        Name("spec.strategy.blueGreen.postPromotionAnalysis.templates[].templateName", "analysistemplates.argoproj.io"),
    ),
    "wasmplugins.extensions.istio.io": (Name("spec.imagePullSecret", "secrets"),),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        Name("spec.policyName", "validatingadmissionpolicies.admissionregistration.k8s.io"),
    ),
}
# Operators agree on how their kinds name Secrets and ConfigMaps: by the end of a key, or as the pair of name and key
ENDINGS = (
    ("secretname", "secrets"),
    ("secretref", "secrets"),
    ("secretkeyref", "secrets"),
    ("secretselector", "secrets"),
    ("configmapname", "configmaps"),
    ("configmapref", "configmaps"),
    ("configmapkeyref", "configmaps"),
    ("secrettargetref", "secrets"),
    ("configmaptargetref", "configmaps"),
)
# Cluster-wide kinds keep their Secrets in a namespace that only the operator's arguments name; its default
NAMESPACE_OF_SECRETS = {"clusterissuers.cert-manager.io": "cert-manager", "clustertriggerauthentications.keda.sh": "keda"}
PEER_HOSTS = f".{routing.PEER_DOMAIN}"  # how hosts of the other cluster end
KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}


def at(value: Any, path: str) -> Iterator[Any]:
    """What is at a path: nothing where some key is missing, several where it goes through lists."""
    step, _, rest = path.partition(".")
    every = step.endswith("[]")
    if not isinstance(value, Mapping):
        return
    inner = value.get(step[:-2] if every else step)
    for each in inner if every and isinstance(inner, list) else () if every else (inner,):
        if rest:
            yield from at(each, rest)
        elif each is not None:
            yield each


def first(value: Any, path: str) -> Any:
    """The first value at a path; None where there is nothing."""
    return next(at(value, path), None)


def templates(obj: Mapping[str, Any]) -> list[Object]:
    """What an object makes pods from, with `metadata` and `spec`; a pod of nobody is its own (without spec where it was read
    by its metadata alone).
    """
    if obj.get("kind") == "Pod":
        return [] if controller_of(obj) else [dict(obj)]
    return [
        template
        for path in TEMPLATES
        for template in at(obj, path)
        if isinstance(template, dict) and isinstance(first(template, "spec.containers"), list)
    ]


@dataclass(frozen=True)
class Kinds:
    """The kinds that a cluster serves, by what other objects call them."""

    by_name: Mapping[str, Resource]
    by_kind: Mapping[tuple[str, str], Resource]

    def named(self, kind: str, group: str | None) -> Resource | None:
        """`group` None: not said, and then the first that has a kind so called."""
        if group is not None:
            return self.by_kind.get((group, kind))
        return next((resource for (_, name), resource in self.by_kind.items() if name == kind), None)


def kinds_of(view: View) -> Kinds:
    """The kinds that a cluster serves, by resource name and by group and kind."""
    served = view.discovery.resources
    return Kinds({r.name: r for r in served}, {(r.group, r.kind): r for r in reversed(served)})


def references(obj: Mapping[str, Any], resource: Resource, view: View) -> Iterator[Reference]:
    """Everything that an object names, its Namespace, its definition and its maker included."""
    served = view.once(kinds_of)
    namespace = obj["metadata"].get("namespace", "")
    if namespace:
        yield Reference(("namespaces", "", namespace), "Namespace", needed=False)
    if resource.group:
        yield Reference((kinds.CRD.name, "", resource.name), kinds.CRD.kind, needed=False)
    if maker := controller_of(obj):
        group = str(maker.get("apiVersion", "")).rpartition("/")[0]
        yield from _reference(served, maker.get("kind"), group, namespace, maker.get("name"), needed=False)
    for template in templates(obj):
        yield from _of_pod(template, namespace, served)
    for row in OF_KINDS.get(resource.name, ()):
        yield from _of_row(row, obj, namespace, served)
    if resource.name in view.once(_defined):
        yield from _guessed(obj, NAMESPACE_OF_SECRETS.get(resource.name, namespace), served)


def _defined(view: View) -> frozenset[str]:
    """Kinds that are custom objects, by `plural.group`."""
    return frozenset(obj["metadata"]["name"] for obj in view.of(kinds.CRD.name))


def _of_pod(template: Mapping[str, Any], namespace: str, served: Kinds) -> Iterator[Reference]:
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        return
    for row in OF_PODS:
        yield from _of_row(row, spec, namespace, served)
    if not spec.get("serviceAccountName"):
        name = str(spec.get("serviceAccount") or "default")
        yield Reference(("serviceaccounts", namespace, name), "ServiceAccount", needed=False)


def _of_row(row: Name | Typed, obj: Mapping[str, Any], namespace: str, served: Kinds) -> Iterator[Reference]:
    if isinstance(row, Typed):
        for reference in at(obj, row.path):
            if not isinstance(reference, Mapping):
                continue
            version = reference.get("apiVersion")
            group = reference.get("group", reference.get("apiGroup"))
            if group is None:
                same = reference.get("kind") in (None, row.kind) or row.group
                group = str(version).rpartition("/")[0] if version else row.group if same else None
            where = str(reference.get("namespace") or namespace)
            yield from _reference(
                served, reference.get("kind") or row.kind, group, where, reference.get("name"), needed=row.needed
            )
        return
    resource = served.by_name.get(row.resource)
    before, _, last = row.path.rpartition(".")
    if resource is None:
        return
    for parent in at(obj, before) if before else (obj,):
        name = parent.get(last.removesuffix("[]")) if isinstance(parent, Mapping) else None
        if isinstance(name, str) and name:
            beside = parent.get("namespace") if before else None
            key = (resource.name, str(beside or namespace) if resource.namespaced else "", name)
            yield Reference(key, resource.kind, row.needed and parent.get("optional") is not True)


def _reference(served: Kinds, kind: Any, group: str | None, namespace: str, name: Any, *, needed: bool) -> Iterator[Reference]:
    resource = served.named(str(kind), group)
    if resource is not None and isinstance(name, str) and name:
        yield Reference((resource.name, namespace if resource.namespaced else "", name), resource.kind, needed)


def _guessed(value: Any, namespace: str, served: Kinds, under: str = "") -> Iterator[Reference]:
    """Secrets and ConfigMaps that an operator's kind names, as far as it names them as others do."""
    if isinstance(value, list):
        for each in value:
            yield from _guessed(each, namespace, served, under)
        return
    lowered = under.lower()
    resource = next((kind for ending, kind in ENDINGS if lowered.endswith(ending)), None)
    name: Any = value
    if isinstance(value, Mapping):
        name = value.get("name")
        if resource is None and value.keys() >= {"name", "key"} and value.keys() <= {"name", "key", "optional"}:
            resource = "configmaps" if "configmap" in lowered else "secrets"
    if resource is not None and isinstance(name, str) and name:
        inner = value.get("namespace") if isinstance(value, Mapping) else None
        yield Reference((resource, str(inner or namespace), name), KINDS[resource], needed=False)
    if isinstance(value, Mapping):
        for key, each in value.items():
            deep = isinstance(each, (Mapping, list)) and key not in ("metadata", "status")
            if deep or str(key).lower().endswith(("secretname", "configmapname")):
                yield from _guessed(each, namespace, served, str(key))


# -- routes ------------------------------------------------------------------------------------------------------------


def _peer_routes(view: View) -> Mapping[str, Object]:
    return {routing.service_of(route): route for route in view.routes() if routing.is_peer(route["metadata"]["name"])}


def destinations(route: Mapping[str, Any], view: View) -> Iterator[str]:
    """Every host to which a route sends or mirrors, as it is written. An enrolled one may send all of it to the other
    cluster; where its own part goes, its peer route says.
    """
    peer = view.once(_peer_routes).get(routing.peer_of(routing.service_of(route)))
    for each in (route, peer) if peer else (route,):
        kind = routing.kind_of(each)
        for host in (*(backend.host for backend in kind.backends(each)), *kind.mirrors(each)):
            if not host.endswith(PEER_HOSTS):
                yield host
