"""What a cluster's mesh is: its control planes and injectors, what their MeshConfig says, which certificates gateways name.

Sources: the templates of Istio's charts (`manifests/charts` of istio/istio) for labels, names and webhooks; its
`pilot/pkg/model/credentials` for how a Gateway names a Secret; `pkg/revisions` for tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

import manifests
from migration.objects import kinds
from migration.objects.kinds import Object
from migration.objects.view import View

MESH_NAMESPACE = "istio-system"
# API groups in which people say what the mesh and its gateways do; no release of the baseline is needed to want that
MESH_GROUPS: Mapping[str, str] = {
    "networking.istio.io": "routes, gateways, filters of the mesh",
    "security.istio.io": "who may call what",
    "telemetry.istio.io": "what is logged and traced",
    "extensions.istio.io": "WebAssembly filters",
    "gateway.networking.k8s.io": "gateways and routes of the Gateway API",
    "gateway.networking.x-k8s.io": "the Gateway API's experimental kinds",
}
SECRETS, CONFIG_MAPS, NAMESPACES = "secrets", "configmaps", "namespaces"
# by the last part of an image's path; `auto` is what the gateway chart writes for the injector to fill in
ISTIO_IMAGES = frozenset({"pilot", "proxyv2", "install-cni", "ztunnel", "auto"})
WORKLOADS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
REVISION, TAG, INJECT = "istio.io/rev", "istio.io/tag", "sidecar.istio.io/inject"
AMBIENT = "istio.io/dataplane-mode"
DEFAULT = "default"
WEBHOOKS = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
ISTIOD_LABELS = ({"app": "istiod"}, {"istio": "pilot"})
INJECTION = "istio-injection"
Labels = Mapping[str, Any]


def template_of(workload: Mapping[str, Any]) -> Object:
    """A workload's template of pods; empty where it has none."""
    template: Object = (workload.get("spec") or {}).get("template") or {}
    return template


def labels_of_pods(workload: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a workload's template of pods."""
    labels: dict[str, str] = (template_of(workload).get("metadata") or {}).get("labels") or {}
    return labels


def runs_istio(workload: Mapping[str, Any]) -> bool:
    """Whether its pods run Istio's programs and nothing else: istiod, a gateway, an agent of the nodes."""
    containers = (template_of(workload).get("spec") or {}).get("containers") or ()
    return bool(containers) and all(_image(each.get("image", "")) in ISTIO_IMAGES for each in containers)


def _image(reference: Any) -> str:
    """`docker.io/istio/proxyv2:1.26.0-distroless@sha256:...` -> proxyv2"""
    return str(reference).partition("@")[0].rpartition("/")[2].partition(":")[0]


# -- a cluster's mesh --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mesh:
    """`tags`: each with the revision that it points to. `hooks`: (namespaceSelector, objectSelector) of each webhook that
    injects; without any that selects, what the names of revisions and tags say counts. `unread`: why nothing is known.
    `unseen`: its control plane is somewhere else, so that a revision that a label names is taken to be there.
    """

    revisions: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[tuple[Object, Object], ...] = ()
    ambient: bool = False
    unread: str = ""
    unseen: bool = False

    @property
    def names(self) -> frozenset[str]:
        """By which a namespace or a pod may ask for a proxy: revisions and tags."""
        return self.revisions | self.tags.keys()

    def injects(self, namespace: Labels, pod: Labels) -> bool:
        """Whether a pod with these labels, in a namespace with those, gets a proxy."""
        if self.hooks:
            return any(matches(of_namespace, namespace) and matches(of_pod, pod) for of_namespace, of_pod in self.hooks)
        if pod.get(INJECT) == "false":
            return False
        if INJECTION in namespace:
            return namespace[INJECTION] == "enabled" and DEFAULT in self.names
        if self.unseen and (REVISION in namespace or REVISION in pod):
            return True
        name = namespace.get(REVISION, pod.get(REVISION, DEFAULT if pod.get(INJECT) == "true" else None))
        return name in self.names

    def takes(self, name: str) -> bool:
        """Whether this name of a revision or tag means anything here."""
        return (
            name in self.names
            or self.injects({REVISION: name}, {})
            or (name == DEFAULT and self.injects({INJECTION: "enabled"}, {}))
        )


NO_MESH = Mesh()


def mesh_of(view: View) -> Mesh:
    """What a cluster's webhooks and control planes say, worked out once for each view."""
    return view.once(_mesh)


def _mesh(view: View) -> Mesh:
    revisions: set[str] = set()
    tags: dict[str, str] = {}
    hooks = []
    for configuration in view.of(WEBHOOKS):
        injecting = [hook for hook in configuration.get("webhooks") or () if _injects(hook)]
        labels = configuration["metadata"].get("labels") or {}
        if not injecting and not {REVISION, TAG} & labels.keys():
            continue
        if TAG in labels:
            tags[str(labels[TAG])] = str(labels.get(REVISION, ""))
        elif REVISION in labels:
            revisions.add(str(labels[REVISION]))
        selectors = [(hook.get("namespaceSelector") or {}, hook.get("objectSelector") or {}) for hook in injecting]
        hooks += [both for both in selectors if any(both)]
        if not {REVISION, TAG} & labels.keys():  # not by Istio's chart: what it selects tells what it is for
            revisions |= {name for both in selectors for selector in both for name in _revisions_of(selector)}
    for workload in (w for name in WORKLOADS for w in view.of(name)):
        labels = workload["metadata"].get("labels") or {}
        if REVISION in labels and any(each.items() <= labels.items() for each in ISTIOD_LABELS):
            revisions.add(str(labels[REVISION]))
    for service in view.of("services"):  # a tag may be a Service alone
        labels = service["metadata"].get("labels") or {}
        if TAG in labels:
            tags.setdefault(str(labels[TAG]), str(labels.get(REVISION, "")))
    ambient = any(
        (w["metadata"].get("labels") or {}).get("app") == "ztunnel" or (w["metadata"]["name"] == "ztunnel" and runs_istio(w))
        for w in view.of("daemonsets.apps")
    )
    return Mesh(frozenset(revisions), tags, tuple(hooks), ambient, view.problems.get(WEBHOOKS, ""))


def _injects(hook: Mapping[str, Any]) -> bool:
    client = hook.get("clientConfig") or {}
    path = str((client.get("service") or {}).get("path") or client.get("url") or "")
    return str(hook.get("name", "")).endswith("sidecar-injector.istio.io") or ("/inject" in path and "istio" in str(client))


def _revisions_of(selector: Mapping[str, Any]) -> Iterator[str]:
    if REVISION in (selector.get("matchLabels") or {}):
        yield str(selector["matchLabels"][REVISION])
    for each in selector.get("matchExpressions") or ():
        if each.get("key") == REVISION and each.get("operator") == "In":
            yield from map(str, each.get("values") or ())


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """A label selector of Kubernetes; an empty one means everything."""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions") or ():
        key, values = each.get("key"), each.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(str(each.get("operator")), False):
            return False
    return True


# -- what gateways name ------------------------------------------------------------------------------------------------

ISTIO_GATEWAYS, API_GATEWAYS = kinds.GATEWAY.name, "gateways.gateway.networking.k8s.io"
CREDENTIALS = ("credentialName", "credentialNames", "caCertCredentialName")
CA_SUFFIX = "-cacert"  # beside NAME, istiod looks for the clients' CA under NAME-cacert


def named_by_gateways(view: View) -> frozenset[str]:
    """`secrets namespace/name` and `configmaps namespace/name` of each certificate that a gateway names."""
    named: set[str] = set()
    for gateway in view.of(ISTIO_GATEWAYS):
        spec = gateway.get("spec") or {}
        homes = homes_of(view, spec.get("selector") or {})
        for server in spec.get("servers") or ():
            for name in _credentials(server.get("tls") or {}):
                named.update(_resolved(name, homes))
    for gateway in view.of(API_GATEWAYS):
        for kind, namespace, name in _references(gateway.get("spec"), gateway["metadata"].get("namespace", "")):
            named.add(f"{CONFIG_MAPS if kind == 'ConfigMap' else SECRETS} {namespace}/{name}")
    return frozenset(named)


def homes_of(view: View, selector: Mapping[str, str]) -> frozenset[str]:
    """The namespaces in which pods run that a Gateway selects."""
    if not selector:
        return frozenset()
    by_label = view.once(_pods_by_label)
    of_each = [by_label.get((key, str(value)), frozenset()) for key, value in selector.items()]
    both = frozenset.intersection(*of_each)
    return frozenset(namespace for namespace, _ in both)


def _pods_by_label(view: View) -> dict[tuple[str, str], frozenset[tuple[str, str]]]:
    """label -> (namespace, kind and name) of pods and workloads whose pods have it."""
    by_label: dict[tuple[str, str], set[tuple[str, str]]] = {}
    pods = [(pod, pod["metadata"].get("labels") or {}) for pod in view.of("pods")]
    for obj, labels in [*pods, *((w, labels_of_pods(w)) for name in WORKLOADS for w in view.of(name))]:
        for key, value in labels.items():
            place = (obj["metadata"].get("namespace", ""), f"{obj.get('kind', '')} {obj['metadata']['name']}")
            by_label.setdefault((key, str(value)), set()).add(place)
    return {label: frozenset(places) for label, places in by_label.items()}


def _credentials(tls: Mapping[str, Any]) -> Iterator[str]:
    for key in CREDENTIALS:
        value = tls.get(key)
        yield from [str(value)] if isinstance(value, str) else map(str, value or ())


def _resolved(credential: str, homes: frozenset[str]) -> Iterator[str]:
    """`name`, `kubernetes://name`, `kubernetes://namespace/name`, `kubernetes-gateway://namespace/name`,
    `configmap://namespace/name`; `builtin://` and `invalid://` name nothing.
    """
    scheme, separator, rest = credential.rpartition("://")
    if separator and scheme not in ("kubernetes", "kubernetes-gateway", "configmap"):
        return
    namespace, slash, name = rest.partition("/")
    kind = CONFIG_MAPS if scheme == "configmap" else SECRETS
    for home in [namespace] if slash else sorted(homes):
        for each in (name if slash else rest,):
            yield f"{kind} {home}/{each}"
            yield f"{kind} {home}/{each}{CA_SUFFIX}"


def _references(value: Any, namespace: str) -> Iterator[tuple[str, str, str]]:
    """(kind, namespace, name) of all certificateRefs and caCertificateRefs below."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each, namespace)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("certificateRefs", "caCertificateRefs", "clientCertificateRef"):
                for ref in inner if isinstance(inner, list) else [inner]:
                    yield str(ref.get("kind") or "Secret"), str(ref.get("namespace") or namespace), str(ref.get("name"))
            else:
                yield from _references(inner, namespace)


# -- MeshConfig --------------------------------------------------------------------------------------------------------

MESH_CONFIG = re.compile(r"istio(-.*)?")  # ConfigMap istio, or istio-REVISION, of istiod's own namespace


def mesh_configs(view: View) -> tuple[Object, ...]:
    """MeshConfig of each control plane of a cluster."""
    return view.once(_mesh_configs)


def _camel(value: Any) -> Any:
    """Istio takes a field by either of its names: `trust_domain` is `trustDomain`. A key that a person chose (of a label)
    becomes another here, too, on both clusters alike.
    """
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        _SNAKE.sub(lambda match: match[1].upper(), key) if _FIELD.fullmatch(key) else key: _camel(each)
        for key, each in value.items()
    }


_FIELD, _SNAKE = re.compile("[a-z][a-z0-9_]*"), re.compile("_([a-z0-9])")


def _mesh_configs(view: View) -> tuple[Object, ...]:
    configs = []
    for obj in view.of(CONFIG_MAPS):
        meta = obj["metadata"]
        if (
            meta.get("namespace") == MESH_NAMESPACE
            and MESH_CONFIG.fullmatch(meta["name"])
            and "mesh" in (obj.get("data") or {})
        ):
            documents = [document.value for document in manifests.read(str(obj["data"]["mesh"]).encode())]
            configs.append(_camel(next((each for each in documents if isinstance(each, dict)), {})))
    return tuple(configs)


def roots_of(view: View) -> frozenset[str]:
    """The root namespaces of a cluster's meshes; none where no MeshConfig is at hand."""
    return frozenset(str(config.get("rootNamespace") or MESH_NAMESPACE) for config in mesh_configs(view))


def providers_of(view: View) -> frozenset[str]:
    """Names of extension providers, with those that Istio defines itself."""
    providers = {"prometheus", "stackdriver", "envoy"}
    for config in mesh_configs(view):
        providers |= {str(each.get("name")) for each in config.get("extensionProviders") or () if isinstance(each, dict)}
    return frozenset(providers)


# What MeshConfig says of who may call whom and what is encrypted: path -> (what counts where it is not said, why it matters).
# Source: istio.io/docs/reference/config/istio.mesh.v1alpha1
DECIDES: Mapping[tuple[str, ...], tuple[Any, str]] = {
    ("outboundTrafficPolicy", "mode"): ("ALLOW_ANY", "whether pods may call what the mesh does not know"),
    ("inboundTrafficPolicy", "mode"): ("PASSTHROUGH", "to which address of a pod requests are passed on"),
    ("enableAutoMtls",): (True, "whether proxies encrypt what they send to each other"),
    ("pathNormalization", "normalization"): ("DEFAULT", "as which path a policy sees what was asked for"),
    ("meshMTLS",): ({}, "which TLS proxies accept from each other"),
    ("tlsDefaults",): ({}, "which TLS gateways and proxies accept elsewhere"),
    ("caCertificates",): ([], "whose certificates proxies trust"),
    ("verifyCertificateAtClient",): (False, "whether proxies verify what they call outside"),
    ("discoverySelectors",): ([], "of which namespaces istiod reads anything, policies included"),
}
TRUST_DOMAIN, ALIASES, LOCAL = "trustDomain", "trustDomainAliases", "cluster.local"
SAME = {"BASE": "DEFAULT"}  # another name for the same
# told elsewhere, or each cluster's own: the name of a revision is in the address
NOT_TOLD = frozenset({"rootNamespace", TRUST_DOMAIN, ALIASES, "extensionProviders", "defaultConfig.discoveryAddress"})


def decided(view: View) -> dict[tuple[str, ...], frozenset[str]]:
    """What a cluster's meshes say of each of DECIDES, as JSON."""
    return {
        path: frozenset(_said(config, path, default) for config in mesh_configs(view)) for path, (default, _) in DECIDES.items()
    }


def _said(config: Any, path: tuple[str, ...], default: Any) -> str:
    value = config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    value = default if value in (None, {}, []) else value
    return _json(SAME.get(value, value) if isinstance(value, str) else value)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def trusted(view: View) -> frozenset[str]:
    """The trust domains whose names mean a cluster's own workloads."""
    domains: set[str] = set()
    for config in mesh_configs(view):
        domains |= {str(config.get(TRUST_DOMAIN) or LOCAL), *map(str, config.get(ALIASES) or ())}
    return frozenset(domains)


def settings(view: View) -> dict[str, frozenset[str]]:
    """What a cluster's meshes say of everything else: `accessLogFile`, `defaultConfig.tracing`, `extensionProviders[otel]`."""
    each = [dict(_settings(config)) for config in mesh_configs(view)]
    keys = {key for said in each for key in said}
    return {key: frozenset(said[key] for said in each if key in said) for key in keys}


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    decisive = {path[0] for path in DECIDES}
    for key, value in config.items():
        if key == "defaultConfig" and isinstance(value, dict):
            yield from ((f"{key}.{name}", _json(inner)) for name, inner in value.items() if f"{key}.{name}" not in NOT_TOLD)
        elif key == "extensionProviders":
            providers = [provider for provider in value or () if isinstance(provider, dict)]
            yield from ((f"{key}[{provider.get('name')}]", _json(provider)) for provider in providers)
        elif key not in NOT_TOLD and key not in decisive and value not in (None, "", {}, []):
            yield key, _json(value)
