"""One cluster of the lab: starts its programs in the order they need, tells when it is ready, wipes it.

    etcd + API server -> CRDs, nodes, controllers, scheduler, KWOK, pods process -> istiod -> Envoy

Everything of it lies in one folder and on its own addresses, so a wipe is: end the programs, remove the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from lab.cluster import control_plane, gateway, istio, resource_metrics
from lab.cluster.control_plane import Access
from lab.cluster.kube import ApiError, Kube
from lab.layout import CHECKOUT, ISTIOD_HTTP_PORT, PEER_PORT, POD_METRICS_PORT, PUBLIC_PORT, ClusterAddresses
from lab.processes import Program, Supervisor
from lab.programs import KUBERNETES_VERSION, Programs

START_SECONDS = 180.0
MAX_RESTARTS = 3
CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kwok", "istiod")
PROGRAMS = ("etcd", "kube-apiserver", *CONTROLLERS, "pods", "envoy")
NEWEST_MINOR = int(KUBERNETES_VERSION.split(".")[1])
OLDEST_MINOR = NEWEST_MINOR - 3  # how far back an API server of this version emulates


class UnknownVersion(ValueError):
    """A Kubernetes version that the lab's build cannot play."""


def check_version(version: str) -> str:
    """`1.34` for `1.34`; raises UnknownVersion for what cannot be emulated."""
    minors = [f"1.{minor}" for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1)]
    if version not in minors:
        raise UnknownVersion(f"Kubernetes version {version!r} is not one the lab can run: {', '.join(minors)}")
    return version


@dataclass
class Cluster:
    """A cluster and its state: starting, ready, deleting or failed (with a reason)."""

    name: str
    version: str
    addresses: ClusterAddresses
    folder: Path
    programs: Programs
    supervisor: Supervisor
    status: str = "starting"
    reason: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    access: Access | None = None

    def describe(self) -> dict[str, Any]:
        """As the control API tells it."""
        description = {
            "name": self.name,
            "version": self.version,
            "index": self.addresses.index,
            "status": self.status,
            "reason": self.reason,
            "endpoint": self.addresses.api_url,
            "gateway": {"address": self.addresses.gateway, "port": PUBLIC_PORT, "peer_port": PEER_PORT},
            "admin": self.addresses.admin_url,
            "istiod": self.addresses.istiod_url,
            "kubeconfig": str(self.folder / "kubeconfig"),
            "started_in": {"seconds": round(self.seconds, 1), **{k: round(v, 1) for k, v in self.steps.items()}},
        }
        if self.access is not None:
            description |= {"token": self.access.token, "ca": self.access.ca}
        return description

    async def start(self) -> None:
        """Ends with status ready or failed; never raises."""
        try:
            async with asyncio.timeout(START_SECONDS):
                starting = asyncio.create_task(self._start())
                watching = asyncio.create_task(self._watch_for_endings())
                try:
                    await asyncio.wait([starting, watching], return_when=asyncio.FIRST_COMPLETED)
                    (watching if watching.done() else starting).result()
                finally:
                    await _cancel(starting, watching)
            self.status = "ready"
        except TimeoutError:
            self._failed(f"not ready after {START_SECONDS:.0f} s; {self._blame()}")
        except Exception as error:
            traceback.print_exc()
            self._failed(f"{type(error).__name__}: {error}; {self._blame()}")

    async def wipe(self) -> None:
        """Ends its programs and removes what they stored."""
        self.status = "deleting"
        names = [self._full(name) for name in PROGRAMS]
        # The front goes first, so that nothing is served by half a cluster; etcd's data goes anyway.
        await self.supervisor.stop_all([name for name in names if name in self.supervisor.programs], grace=1.5)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def set_program(self, program: str, state: str) -> None:
        name = self._full(program)
        if name not in self.supervisor.programs:
            raise KeyError(f"{self.name} has no program {program!r}: {', '.join(PROGRAMS)}")
        if state == "killed":
            await self.supervisor.kill(name)
            return
        await self.supervisor.revive(name)
        if program in ("etcd", "kube-apiserver") and self.access:
            await self._wake(self.access)

    async def _wake(self, access: control_plane.Access) -> None:
        """Starts the controllers anew: once the API server was dead they look at it again only after up to 80 s."""
        kube = Kube(self.addresses.api_url, access.token, access.ca_file)
        try:
            await until(lambda: _answers(kube, "/readyz"), "API server")
        finally:
            await kube.close()
        for name in map(self._full, CONTROLLERS):
            if name in self.supervisor.programs and self.supervisor.programs[name].running:
                await self.supervisor.kill(name)
                await self.supervisor.revive(name)

    def _full(self, program: str) -> str:
        return f"{self.name}/{program}"

    def _failed(self, reason: str) -> None:
        self.status, self.reason = "failed", reason
        print(f"cluster {self.name}: {reason}", file=sys.stderr, flush=True)

    def _blame(self) -> str:
        said = []
        for name in PROGRAMS:
            program = self.supervisor.programs.get(self._full(name))
            if program is not None and (program.restarts or not program.running):
                said.append(f"{name}: {program.last_words()}")
        return "; ".join(said) or f"see the logs in {self.folder}"

    async def _run(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        program = Program(self._full(name), argv, self.folder / f"{name}.log", env or {}, cwd=self.folder)
        await self.supervisor.start(program)

    async def _watch_for_endings(self) -> None:
        """Raises when a program cannot stay up: then there is no use in waiting."""
        while True:
            await asyncio.sleep(0.5)
            for name in PROGRAMS:
                program = self.supervisor.programs.get(self._full(name))
                if program is not None and program.restarts > MAX_RESTARTS:
                    raise RuntimeError(f"{name} ended {program.restarts} times: {program.last_words()}")

    async def _start(self) -> None:
        began = time.monotonic()
        binaries, addresses, folder = self.programs.bin, self.addresses, self.folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        access = await asyncio.to_thread(control_plane.write_access, self.name, addresses, folder)
        self.access = access
        await self._run("etcd", control_plane.etcd(binaries, addresses, folder))
        api_server = control_plane.api_server(binaries, addresses, folder, self.version)
        await self._run("kube-apiserver", api_server)
        kube = Kube(addresses.api_url, access.token, access.ca_file)
        try:
            await until(lambda: _answers(kube, "/readyz"), "API server")
            self.steps["api"] = time.monotonic() - began
            await self._run("kube-controller-manager", control_plane.controller_manager(binaries, access, folder, self.version))
            await self._run("kwok", control_plane.kwok(binaries, access, self.programs.kwok_stages))
            installing = asyncio.create_task(istio.install(kube, self.programs.istio_crds))
            await self._run("kube-scheduler", control_plane.scheduler(binaries, access, self.version))
            await asyncio.gather(installing, self._objects(kube))
            self.steps["crds"] = time.monotonic() - began
            await self._run("istiod", istio.istiod(binaries, addresses, access, folder), istio.environment())
            await self._run("pods", self._pods_command(), {"PYTHONPATH": str(CHECKOUT)})
            await self._filters(kube)
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as web:
                await until(lambda: _ok(web, f"http://{addresses.programs}:{ISTIOD_HTTP_PORT}/ready"), "istiod")
                self.steps["istiod"] = time.monotonic() - began
                await self._run("envoy", gateway.envoy(addresses, folder))
                await asyncio.gather(
                    until(lambda: _ok(web, f"{addresses.admin_url}/ready"), "Envoy"),
                    until(lambda: _ok(web, f"https://{addresses.programs}:{POD_METRICS_PORT}/healthz"), "pods process"),
                    until(lambda: _nodes_ready(kube), "nodes"),
                    until(lambda: _exists(kube, "/api/v1/namespaces/default/serviceaccounts/default"), "controllers"),
                    until(lambda: _answers(kube, "/apis/metrics.k8s.io/v1beta1/pods"), "metrics API"),
                )
        finally:
            await kube.close()
        self.seconds = time.monotonic() - began

    def _pods_command(self) -> Sequence[str]:
        return [
            sys.executable,
            "-m",
            "lab.cluster.pods",
            f"--block={self.addresses.block.number}",
            f"--index={self.addresses.index}",
            f"--cluster={self.name}",
            f"--folder={self.folder}",
        ]

    async def _objects(self, kube: Kube) -> None:
        objects = [
            ("/apis/storage.k8s.io/v1/storageclasses/gp3", control_plane.storage_class()),
            *((f"/api/v1/nodes/{node['metadata']['name']}", node) for node in control_plane.nodes(self.name)),
            *resource_metrics.api_objects(self.addresses),
        ]
        await asyncio.gather(*(_insist(lambda p=path, b=body: kube.apply(p, b)) for path, body in objects))  # type: ignore[misc]

    async def _filters(self, kube: Kube) -> None:
        base = f"/apis/networking.istio.io/v1alpha3/namespaces/{istio.NAMESPACE}/envoyfilters"
        for item in gateway.filters(self.addresses):
            await _insist(lambda i=item: kube.apply(f"{base}/{i['metadata']['name']}", i))  # type: ignore[misc]


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], what: str, pause: float = 0.1) -> None:
    """Returns when the condition holds. The caller's time limit ends it; then the name of what was missing is told."""
    try:
        while not await condition():  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(pause)
    except asyncio.CancelledError as error:
        error.add_note(f"while waiting for {what}")
        raise


async def _insist(call: Callable[[], Awaitable[Any]]) -> None:
    """A new API server refuses some things for a moment (RBAC and namespaces are still being made)."""
    for attempt in range(50):
        try:
            await call()
            return
        except (ApiError, aiohttp.ClientError):
            if attempt == 49:
                raise
            await asyncio.sleep(0.1)


async def _answers(kube: Kube, path: str) -> bool:
    with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
        await kube.request("GET", path, timeout=5)
        return True
    return False


async def _exists(kube: Kube, path: str) -> bool:
    with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
        return await kube.get(path) is not None
    return False


async def _ok(web: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with web.get(url, ssl=False) as answer:
            return answer.status == 200
    return False


async def _nodes_ready(kube: Kube) -> bool:
    listed = await kube.get("/api/v1/nodes") or {}
    items = listed.get("items", [])
    return len(items) == len(control_plane.ZONES) and all(
        any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or []) for node in items
    )
