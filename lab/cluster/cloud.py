"""What a cloud does for a cluster: addresses for Services of type LoadBalancer, volumes for claims."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp

from lab.cluster.kube import ApiError, Kube, Object

PROVISIONER = "ebs.csi.aws.com"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
TROUBLE = (ApiError, aiohttp.ClientError, TimeoutError, OSError)


class Cloud:
    """Answers what a cluster's objects ask of a cloud. Work that fails is tried again at the next change or list."""

    def __init__(self, kube: Kube, gateway: str) -> None:
        self.kube, self.gateway = kube, gateway
        self.classes: dict[str, Object] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("/api/v1/services", self._service))
            group.create_task(self._follow("/apis/storage.k8s.io/v1/storageclasses", self._storage_class))
            group.create_task(self._follow("/api/v1/persistentvolumeclaims", self._claim))
            group.create_task(self._follow("/api/v1/persistentvolumes", self._volume))

    async def _follow(self, path: str, act: Any) -> None:
        async for kind, item in self.kube.changes(path):
            if kind == "DELETED":
                continue
            for one in item["items"] if kind == "SYNC" else [item]:
                for pause in (0.3, 1.0, 3.0):
                    try:
                        await act(one)
                        break
                    except TROUBLE as error:
                        print(f"{path} {one['metadata']['name']}: {error}", file=sys.stderr, flush=True)
                        await asyncio.sleep(pause)

    async def _service(self, service: Object) -> None:
        """Every load balancer of the lab is the gateway: it is the only one there is."""
        meta = service["metadata"]
        if service["spec"].get("type") != "LoadBalancer" or "deletionTimestamp" in meta:
            return
        wanted = [{"ip": self.gateway, "ipMode": "VIP"}]
        if service.get("status", {}).get("loadBalancer", {}).get("ingress") != wanted:
            path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
            await self.kube.merge(path, {"status": {"loadBalancer": {"ingress": wanted}}})

    async def _storage_class(self, item: Object) -> None:
        self.classes[item["metadata"]["name"]] = item

    async def _claim(self, claim: Object) -> None:
        """Makes the volume of a claim that waits for one, once a class that waits for its first consumer has one."""
        meta, spec = claim["metadata"], claim["spec"]
        if claim.get("status", {}).get("phase") == "Bound" or spec.get("volumeName") or "deletionTimestamp" in meta:
            return
        name = spec.get("storageClassName") or ""
        kind = self.classes.get(name)
        if kind is None and name:
            kind = await self.kube.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        node = (meta.get("annotations") or {}).get(SELECTED_NODE)
        if kind is not None and kind.get("volumeBindingMode") == "WaitForFirstConsumer" and not node:
            return
        volume = f"pvc-{meta['uid']}"
        await self.kube.apply(f"/api/v1/persistentvolumes/{volume}", volume_for(claim, volume, kind, node))

    async def _volume(self, volume: Object) -> None:
        """Deletes what the lab made and nobody claims any longer."""
        meta = volume["metadata"]
        mine = (meta.get("annotations") or {}).get(PROVISIONED_BY) == PROVISIONER and meta["name"].startswith("pvc-")
        reclaimed = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        if mine and reclaimed and volume.get("status", {}).get("phase") in ("Released", "Failed"):
            await self.kube.delete(f"/api/v1/persistentvolumes/{meta['name']}")


def volume_for(claim: Object, name: str, kind: Object | None, node: str | None) -> Object:
    """A volume bound to this claim. Like EBS it stays in one zone, when a node was chosen."""
    meta, spec = claim["metadata"], claim["spec"]
    claim_ref = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    volume_spec: dict[str, Any] = {
        "accessModes": spec.get("accessModes", ["ReadWriteOnce"]),
        "capacity": {"storage": spec.get("resources", {}).get("requests", {}).get("storage", "1Gi")},
        "claimRef": claim_ref,
        "persistentVolumeReclaimPolicy": (kind or {}).get("reclaimPolicy", "Delete"),
        "storageClassName": spec.get("storageClassName") or "",
        "volumeMode": spec.get("volumeMode", "Filesystem"),
        "csi": {"driver": PROVISIONER, "volumeHandle": f"vol-{meta['uid'].replace('-', '')[:17]}"},
    }
    zone = "-".join(node.split("-")[-3:]) if node else ""
    if zone:
        term = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}
        volume_spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": volume_spec,
    }
