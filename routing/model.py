"""What every kind of route shares: sides and the peer, how our objects are named and marked, and hosts as Istio reads them.

The names are of objects on clusters: another spelling of one would leave what earlier versions wrote without an owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from routing.weights import WHOLE_BP

Object = dict[str, Any]
Side = Literal["blue", "green"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as one API version serves it: what is needed to make its paths."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = field(default=frozenset({"get", "list", "patch", "create", "update", "delete"}), compare=False)
    name: str = field(init=False, compare=False, repr=False)  # `deployments.apps`, `configmaps`: how kubectl names it

    def __post_init__(self) -> None:
        # made once: it is compared with some twenty names for each object that is copied
        object.__setattr__(self, "name", f"{self.plural}.{self.group}" if self.group else self.plural)

    @property
    def api_version(self) -> str:
        """`apps/v1`, `v1`: as manifests have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Of the API: one object, or all; of all namespaces unless `namespace` is given."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{middle}/{self.plural}{'/' + name if name else ''}"


CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)

# -- names of ours -----------------------------------------------------------------------------------------------------

EDGE_NAMESPACE = "istio-system"
GATEWAY_NAMESPACE = EDGE_NAMESPACE  # where the gateway's pods run: the only ones that need to know of the hop
GATEWAY_LABELS = {"istio": "ingressgateway"}
PEER_NAME = "bluegreen-peer"  # of the listener's own objects
PEER_SUFFIX = f"-{PEER_NAME}"  # of a service's objects for the hop
PEER_GATEWAY = f"{EDGE_NAMESPACE}/{PEER_NAME}"
PEER_PORT = 15088
PEER_DOMAIN = "peer.bluegreen.internal"
RULE_HEADER = "x-bluegreen-rule"
PROBE_HEADER = "x-bluegreen-probe"
PROBE_RULE = "bluegreen-probe"  # the name of the peer route's rule that answers with the split
DOMAIN = "bluegreen.io/"  # of every annotation of ours
SERVICE_ANNOTATION = f"{DOMAIN}service"
# On the peer route: the original in canonical JSON, from which its routes can be made where its file is gone. Not above
# this size, since all annotations of an object end at 256 KiB.
ORIGINAL_ANNOTATION = f"{DOMAIN}original"
MOST_ORIGINAL_BYTES = 200_000
FIELD_MANAGER = "bluegreen-edge"
# By whom the edge stack's program has Pulumi write an object. Server-side apply takes away what its manager stops
# sending: were it in what the program sends alone, each write of the command would remove it and each preview want it
# back. Objects are whole here, and both send them as they are.
OWNED = {"pulumi.com/patchFieldManager": FIELD_MANAGER}


@dataclass(frozen=True)
class Peer:
    """How one gateway reaches the other's peer listener: an IP address or a host name, and a port."""

    address: str
    port: int = PEER_PORT


# What a service may be called: `namespace/name`
SERVICE_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ANY_PEER = Peer("192.0.2.1")  # for who asks which objects there are: their names do not depend on the address


def namespace_of(obj: Mapping[str, Any]) -> str:
    """An object's namespace, `default` where it names none."""
    return obj["metadata"].get("namespace") or "default"


def service_of(obj: Mapping[str, Any]) -> str:
    """`namespace/name`: what a service is called, by its route."""
    return f"{namespace_of(obj)}/{obj['metadata']['name']}"


def identity_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Its kind, and `namespace/name`."""
    return obj["kind"], service_of(obj)


def file_of(service: str) -> str:
    """The name of the file, in the stack's folder of routes, that keeps a service's original."""
    return f"{service.replace('/', '.', 1)}.yaml"


def peer_of(name: str) -> str:
    """By the name (or `namespace/name`) of a route, that of its objects for the hop."""
    return f"{name}{PEER_SUFFIX}"


def is_peer(name: str) -> bool:
    """Whether an object of this name (or `namespace/name`) is for the hop of some service."""
    return name.endswith(PEER_SUFFIX)


def without_peer(name: str) -> str:
    """The reverse of `peer_of`."""
    return name.removesuffix(PEER_SUFFIX)


def rule_id(service: str, index: int) -> str:
    """Names one rule of one route; unique across services, for `/` is in no Kubernetes name."""
    return f"{service}/{index}"


def object_of(resource: Resource, namespace: str, name: str, spec: Any, annotations: Mapping[str, str] | None = None) -> Object:
    """An object as it is sent to a cluster; None: without annotations."""
    metadata: Object = {"name": name, "namespace": namespace}
    if annotations is not None:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}


def canonical(value: Any) -> str:
    """JSON with sorted keys: two specs are equal when their canonical forms are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# -- shares and hosts --------------------------------------------------------------------------------------------------


def local_share_bp(green_bp: int, side: Side) -> int:
    """What the gateway of that side serves itself.

    Raises:
        ValueError: the split is not of 0 to 10000 basis points.
    """
    if not 0 <= green_bp <= WHOLE_BP:
        raise ValueError(f"split {green_bp}: must be 0 to {WHOLE_BP} basis points")
    return green_bp if side == "green" else WHOLE_BP - green_bp


def peer_host(service: str) -> str:
    """By which host one gateway knows the service on the other: shop/cart -> cart.shop.peer.bluegreen.internal."""
    namespace, _, name = service.partition("/")
    return f"{name}.{namespace}.{PEER_DOMAIN}"


@dataclass(frozen=True)
class Backend:
    """To what a route sends: a host as it is written there, and a port (None: the only one that the host has)."""

    host: str
    port: int | None = None
    protocol: Literal["http", "tls", "tcp"] = "http"


def full_host(host: str, namespace: str) -> str:
    """A host as Istio reads it in an object of this namespace: one without a dot is a Service beside it."""
    if "." not in host and host and host != "*":
        return f"{host}.{namespace}.svc.cluster.local"
    return host


def services_meant(host: str, namespace: str) -> str | None:
    """`namespace/name` of the Service that a host means, if it can be one."""
    parts = host.split(".")
    if len(parts) == 1 and host:
        return f"{namespace}/{host}"
    if len(parts) == 2 or (len(parts) > 2 and parts[2] == "svc"):
        return f"{parts[1]}/{parts[0]}"
    return None


@dataclass(frozen=True)
class Request:
    """One request of HTTP, as `verify` sends it."""

    host: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path}"


# -- refusals ----------------------------------------------------------------------------------------------------------


class RefusalCode(StrEnum):
    """Why a route cannot be shifted. What is decided by the reason is decided by this, never by its text."""

    NO_GATEWAY = "no-gateway"  # users do not come in by it: it is no service of a migration
    MESH_TOO = "mesh-too"  # calls inside the cluster would move with it
    NOT_BY_REQUEST = "not-by-request"  # it takes connections, which cannot be split by request
    NOTHING_TO_MOVE = "nothing-to-move"
    DELEGATES = "delegates"  # its rules are in another route
    WEIGHTS = "weights"  # their sum is 0, or too large for a split to be multiplied into


@dataclass(frozen=True)
class Refusal:
    """`text`: for people, with what would help."""

    code: RefusalCode
    text: str

    def __str__(self) -> str:
        return self.text
