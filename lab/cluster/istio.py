"""The istiod of a cluster: its command line and environment, its CRDs, and the objects it needs to be there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.cluster.control_plane import Access
from lab.cluster.kube import Kube
from lab.layout import ISTIOD_HTTP_PORT, ISTIOD_MONITORING_PORT, ISTIOD_XDS_PORT, ClusterAddresses

NAMESPACE = "istio-system"


def mesh(addresses: ClusterAddresses) -> dict[str, Any]:
    return {
        "defaultConfig": {"discoveryAddress": f"{addresses.programs}:{ISTIOD_XDS_PORT}"},
        "enableAutoMtls": False,
        "trustDomain": "cluster.local",
        "accessLogFile": "",
    }


def istiod(programs: Path, addresses: ClusterAddresses, access: Access, folder: Path) -> Sequence[str]:
    """Plain text to one Envoy on the same machine: no CA, no injection, no validation webhook, no metrics filter."""
    mesh_file = folder / "mesh.json"
    mesh_file.write_text(json.dumps(mesh(addresses)))
    return [
        str(programs / "pilot-discovery"),
        "discovery",
        f"--kubeconfig={access.kubeconfig}",
        f"--meshConfig={mesh_file}",
        f"--networksConfig={folder / 'mesh-networks.json'}",
        f"--grpcAddr={addresses.programs}:{ISTIOD_XDS_PORT}",
        f"--httpAddr={addresses.programs}:{ISTIOD_HTTP_PORT}",
        f"--monitoringAddr={addresses.programs}:{ISTIOD_MONITORING_PORT}",
        "--httpsAddr=",
        "--secureGRPCAddr=",
        f"--ctrlz_address={addresses.programs}",
        "--shutdownDuration=1s",
        "--keepaliveInterval=5s",
        "--keepaliveTimeout=5s",
    ]


def environment() -> Mapping[str, str]:
    return {
        "PILOT_ENABLE_ALPN_FILTER": "false",
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ANALYSIS": "false",
        "PILOT_ENABLE_STATUS": "false",
        "PILOT_CERT_PROVIDER": "istiod",
        "POD_NAMESPACE": NAMESPACE,
        "CLUSTER_ID": "Kubernetes",
        "INJECTION_WEBHOOK_CONFIG_NAME": "",
        "VALIDATION_WEBHOOK_CONFIG_NAME": "",
        # A burst of changes (pods coming and going) is pushed together, one change at once.
        "PILOT_DEBOUNCE_AFTER": "30ms",
        "PILOT_DEBOUNCE_MAX": "1s",
    }


async def install(kube: Kube, crds: Path) -> None:
    """Namespace and CRDs, applied side by side; returns when every kind is served."""
    documents = json.loads(await asyncio.to_thread(crds.read_text))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await asyncio.gather(
        kube.apply(f"/api/v1/namespaces/{NAMESPACE}", namespace),
        *(
            kube.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}", crd)
            for crd in documents
        ),
    )
    await asyncio.gather(*(_established(kube, str(crd["metadata"]["name"])) for crd in documents))


async def _established(kube: Kube, name: str) -> None:
    while True:
        crd = await kube.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}") or {}
        conditions = (crd.get("status") or {}).get("conditions") or []
        if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
            return
        await asyncio.sleep(0.1)
