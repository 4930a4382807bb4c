"""`python -m lab.cluster.pods`: the network of one cluster's pods, and what a cloud does for it. One process per cluster.

Each Ready pod gets a loopback address, real listening sockets (pod_server.py) and an Istio WorkloadEntry with its labels,
so Services select it and the gateway reaches it: readiness and replicas decide what answers. When a pod stops being Ready
the WorkloadEntry goes at once; its sockets stay a while longer and tell clients to close, as a pod does that ends gracefully.

Also here: resource metrics for HPAs (resource_metrics.py), addresses for Services of type LoadBalancer and volumes for
claims (cloud.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import resource
import signal
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from lab.cluster.cloud import Cloud
from lab.cluster.control_plane import ZONES
from lab.cluster.kube import ApiError, Kube, Object
from lab.cluster.pod_server import PodProtocol, Voice, parse_faults
from lab.cluster.resource_metrics import ResourceMetrics
from lab.layout import POD_PORT, Block, ClusterAddresses

# How long a pod's sockets stay open after its WorkloadEntry went: istiod and Envoy need a fraction of it to hear of that.
DRAIN_SECONDS = 5.0
MANAGED = "lab.bluegreen.io/pod"
Key = tuple[str, str]


@dataclass
class Listening:
    """A pod that answers: its address, sockets and connections, and the entry last written for it."""

    address: str
    voice: Voice
    uid: str
    servers: list[asyncio.Server] = field(default_factory=list)
    connections: set[PodProtocol] = field(default_factory=set)
    entry: Object | None = None

    async def close(self) -> None:
        self.voice.closing = True
        for server in self.servers:
            server.close()
        for connection in list(self.connections):
            connection.transport.close()


class PodNetwork:
    """Keeps sockets and WorkloadEntries of one cluster equal to its Ready pods.

    `pods` and `services` hold what the watches said last. A pod's key is put into a queue whenever something about it
    changed; workers bring the world to it, one key at a time each, so a slow write never blocks the others.
    """

    def __init__(self, kube: Kube, cluster: str, addresses: ClusterAddresses) -> None:
        self.kube, self.cluster = kube, cluster
        self.free = deque(addresses.pods())
        self.pods: dict[Key, Object] = {}
        self.services: dict[Key, Object] = {}
        self.listening: dict[Key, Listening] = {}
        self.dirty: dict[Key, None] = {}
        self.busy: set[Key] = set()
        self.wake = asyncio.Condition()
        self.refused_ports: set[int] = set()
        self.draining: set[asyncio.Task[None]] = set()
        self.synced = asyncio.Event()

    async def run(self, workers: int = 8) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_pods())
            group.create_task(self._watch_services())
            group.create_task(self._sweep())
            for _ in range(workers):
                group.create_task(self._work())

    def pods_now(self) -> Iterable[Object]:
        return list(self.pods.values())

    async def mark(self, keys: Iterable[Key]) -> None:
        async with self.wake:
            self.dirty.update(dict.fromkeys(keys))
            self.wake.notify_all()

    async def _watch_pods(self) -> None:
        async for kind, item in self.kube.changes("/api/v1/pods"):
            if kind == "SYNC":
                before = set(self.pods)
                self.pods = {_key(pod): pod for pod in item["items"]}
                self.synced.set()
                await self.mark(before | set(self.pods) | set(self.listening))
                continue
            key = _key(item)
            if kind == "DELETED":
                self.pods.pop(key, None)
            else:
                self.pods[key] = item
            current = self.listening.get(key)
            if current is not None and kind != "DELETED":
                current.voice.faults = parse_faults(item["metadata"].get("annotations") or {})
            await self.mark([key])

    async def _watch_services(self) -> None:
        async for kind, item in self.kube.changes("/api/v1/services"):
            if kind == "SYNC":
                self.services = {_key(service): service for service in item["items"]}
                await self.mark(list(self.pods))
                continue
            key = _key(item)
            if kind == "DELETED":
                self.services.pop(key, None)
            else:
                self.services[key] = item
            await self.mark([pod for pod in self.pods if pod[0] == key[0]])

    async def _work(self) -> None:
        while True:
            async with self.wake:
                await self.wake.wait_for(lambda: any(key not in self.busy for key in self.dirty))
                key = next(key for key in self.dirty if key not in self.busy)
                del self.dirty[key]
                self.busy.add(key)
            again = False
            try:
                await self._bring(key)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                again = True
                print(f"pod {'/'.join(key)}: {error}", file=sys.stderr, flush=True)
            finally:
                async with self.wake:
                    self.busy.discard(key)
                    self.wake.notify_all()
            if again:
                await asyncio.sleep(0.5)
                await self.mark([key])

    async def _bring(self, key: Key) -> None:
        pod = self.pods.get(key)
        current = self.listening.get(key)
        wanted = pod if pod is not None and is_ready(pod) else None
        if current is not None and (wanted is None or wanted["metadata"]["uid"] != current.uid):
            await self._withdraw(key, current)
            current = None
        if wanted is None:
            return
        if current is None:
            current = await self._listen(wanted)
            self.listening[key] = current
        current.voice.faults = parse_faults(wanted["metadata"].get("annotations") or {})
        entry = workload_entry(wanted, current.address, self.services.values(), self.refused_ports)
        if entry != current.entry:
            await self.kube.apply(_entry_path(key), entry)
            current.entry = entry

    async def _listen(self, pod: Object) -> Listening:
        meta = pod["metadata"]
        address = self.free.popleft()
        listening = Listening(address, Voice(self.cluster, meta["namespace"], meta["name"], workload_name(pod)), meta["uid"])
        loop = asyncio.get_running_loop()
        for port in sorted({POD_PORT, *container_ports(pod)}):
            try:
                server = await loop.create_server(
                    lambda: PodProtocol(listening.voice, listening.connections), address, port, backlog=512
                )
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM):
                    raise
                self.refused_ports.add(port)
            else:
                listening.servers.append(server)
        return listening

    async def _withdraw(self, key: Key, listening: Listening) -> None:
        await self.kube.delete(_entry_path(key))
        del self.listening[key]
        listening.voice.closing = True
        task = asyncio.create_task(self._drain(listening))
        self.draining.add(task)
        task.add_done_callback(self.draining.discard)

    async def _drain(self, listening: Listening) -> None:
        await asyncio.sleep(DRAIN_SECONDS)
        await listening.close()
        self.free.append(listening.address)

    async def _sweep(self) -> None:
        """Removes entries of pods that went while nobody looked, such as before a restart of this process."""
        await self.synced.wait()
        while True:
            with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
                path = f"/apis/networking.istio.io/v1/workloadentries?labelSelector={MANAGED.replace('/', '%2F')}"
                for entry in (await self.kube.request("GET", path))["items"]:
                    key = _key(entry)
                    if key not in self.pods and key not in self.busy and key not in self.listening:
                        await self.kube.delete(_entry_path(key))
            await asyncio.sleep(20)


def is_ready(pod: Object) -> bool:
    """Ready, and not on its way out."""
    if "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") != "Running":
        return False
    conditions = pod["status"].get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def container_ports(pod: Object) -> set[int]:
    """TCP ports that the pod's containers name."""
    containers = [*pod["spec"].get("containers", ()), *pod["spec"].get("initContainers", ())]
    return {
        int(port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }


def workload_name(pod: Object) -> str:
    """Name of the Deployment (or whatever made the pod), as well as it can be told from the pod alone."""
    owners = pod["metadata"].get("ownerReferences") or []
    if not owners:
        return str(pod["metadata"]["name"])
    name = str(owners[0]["name"])
    template_hash = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    return name.removesuffix(f"-{template_hash}") if template_hash else name


def workload_entry(pod: Object, address: str, services: Iterable[Object], refused: set[int]) -> Object:
    """The WorkloadEntry that makes every Service selecting this pod find it.

    `ports` maps names to ports of the address: of target ports that are named, and of Service ports whose target is a
    number that nobody listens on or may not (`refused`): these lead to the port that always answers.
    """
    meta = pod["metadata"]
    labels = dict(meta.get("labels") or {})
    named = {
        str(port["name"]): int(port["containerPort"])
        for container in [*pod["spec"].get("containers", ()), *pod["spec"].get("initContainers", ())]
        for port in container.get("ports") or ()
        if port.get("name")
    }
    listened = (container_ports(pod) | {POD_PORT}) - refused
    ports: dict[str, int] = {}
    for service in services:
        selector = service["spec"].get("selector")
        if service["metadata"]["namespace"] != meta["namespace"] or not selector:
            continue
        if any(labels.get(name) != value for name, value in selector.items()):
            continue
        for port in service["spec"].get("ports") or ():
            target = port.get("targetPort", port["port"])
            if isinstance(target, str):
                ports[target] = named.get(target, POD_PORT)
            elif port.get("name"):
                ports[port["name"]] = target
    ports = {name: port if port in listened else POD_PORT for name, port in ports.items()}
    labels[MANAGED] = "true"
    zone = next((zone for zone in ZONES if str(pod["spec"].get("nodeName", "")).endswith(zone)), "")
    spec: dict[str, Any] = {"address": address, "labels": labels}
    if ports:
        spec["ports"] = dict(sorted(ports.items()))
    if zone:
        spec["locality"] = f"{zone[:-1]}/{zone}"
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}],
        },
        "spec": spec,
    }


def _entry_path(key: Key) -> str:
    return f"/apis/networking.istio.io/v1/namespaces/{key[0]}/workloadentries/{key[1]}"


def _key(item: Object) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


async def serve(arguments: argparse.Namespace) -> None:
    """Runs until SIGTERM."""
    addresses = Block(arguments.block).cluster(arguments.index)
    folder = Path(arguments.folder)
    kube = Kube(addresses.api_url, (folder / "tokens.csv").read_text().split(",")[0], folder / "ca.crt")
    network = PodNetwork(kube, arguments.cluster, addresses)
    metrics = ResourceMetrics(network.pods_now, folder, addresses)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [
        asyncio.create_task(network.run()),
        asyncio.create_task(Cloud(kube, addresses.gateway).run()),
        asyncio.create_task(metrics.run(network.synced)),
    ]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in [*tasks, stopping]:
        task.cancel()
    await asyncio.gather(*tasks, stopping, return_exceptions=True)
    await kube.close()
    for task in done - {stopping}:
        task.result()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.cluster.pods")
    parser.add_argument("--block", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--folder", required=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
