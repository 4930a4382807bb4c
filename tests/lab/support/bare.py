"""Two bare control planes, 1.34 and 1.36: API server, store, controllers; no nodes, of Istio only its definitions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import layout, programs
from lab.cluster import control_plane
from migration.clients.kubernetes import Kubernetes
from migration.replicate import apply as applying
from migration.replicate import export, plan, transform
from migration.settings.choices import Rewrites
from tests.lab.support.kit import Api

KUBECTL = Path(sys.executable).with_name("kubectl")


@dataclass(frozen=True)
class Bare:
    name: str
    kubeconfig: Path

    def kubectl(self, *arguments: str, check: bool = True, given: str | None = None) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        command = [str(KUBECTL), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, input=given)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def api(self) -> Api:
        """A client of the kubeconfig's own user, to be closed; for what would take many calls of kubectl."""
        access = json.loads(self.kubeconfig.read_text())
        (cluster,), (user,) = access["clusters"], access["users"]
        described = {
            "endpoint": cluster["cluster"]["server"],
            "ca": cluster["cluster"]["certificate-authority-data"],
            "token": user["user"]["token"],
        }
        return Api(described)


def established(plane: Bare, *which: str) -> None:
    """Waits for definitions (names, or none: all); `kubectl wait` gives up at once on one that has no conditions yet."""
    deadline = time.monotonic() + 120
    while True:
        definitions = json.loads(plane.kubectl("get", "crd", *which, "-o", "json"))
        states = [each.get("status", {}).get("conditions", ()) for each in definitions.get("items", [definitions])]
        if all(any(c["type"] == "Established" and c["status"] == "True" for c in conditions) for conditions in states):
            return
        assert time.monotonic() < deadline, which
        time.sleep(0.2)


@contextlib.contextmanager
def control_planes(root: Path, versions: dict[str, str]) -> Iterator[dict[str, Bare]]:
    built = programs.ensure()
    block, lock = layout.take_block(root)
    running: list[subprocess.Popen[bytes]] = []
    planes: dict[str, Bare] = {}
    controllers: dict[str, Sequence[str]] = {}

    environment = {**os.environ, "GOGC": "400"}  # definitions that come and go make much garbage

    def begin(command: Sequence[str], folder: Path) -> None:
        with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment))

    try:
        for index, (name, version) in enumerate(versions.items(), 1):
            folder = root / name
            addresses = block.cluster(index)
            access = control_plane.write_access(name, addresses, folder)
            begin(control_plane.etcd(built.bin, addresses, folder), folder)
            begin(control_plane.api_server(built.bin, addresses, folder, version, audited=True), folder)
            controllers[name] = control_plane.controller_manager(built.bin, access, folder, version)
            planes[name] = Bare(name, access.kubeconfig)
        crds = root / "istio.json"
        definitions = json.loads(built.istio_crds.read_text())
        items = definitions if isinstance(definitions, list) else definitions["items"]
        crds.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

        def prepare(plane: Bare) -> None:
            deadline = time.monotonic() + 120
            while "ok" not in plane.kubectl("get", "--raw", "/readyz", check=False):
                assert time.monotonic() < deadline, f"{plane.name} did not become ready: see {root / plane.name}"
                time.sleep(0.2)
            begin(controllers[plane.name], root / plane.name)  # it gives up where its API server is not up within ten seconds
            plane.kubectl("apply", "--server-side", "-f", str(crds))
            established(plane)
            plane.kubectl("create", "namespace", "istio-system")
            await_object(plane, "serviceaccount/default", "-n", "istio-system")  # its controllers work

        with ThreadPoolExecutor() as pool:
            list(pool.map(prepare, planes.values()))
        yield planes
    finally:
        for process in running:
            process.kill()  # nothing of theirs is kept, and an API server that is asked waits long for its store
        for process in running:
            process.wait()
        lock.close()


TRICKY = Path(__file__).with_name("tricky.yaml")
NO_LIMIT = Rewrites(share=1.0)  # for tests that rewrite what they copied: the brake has tests of its own
SINGLETONS = frozenset({"tricky/leader"})
# of these a PATCH counts as a write even where it would change nothing
WRITES = ("PATCH", "POST", "PUT", "DELETE")


def replicate(
    pair: tuple[Bare, Bare], *, limit: Rewrites = NO_LIMIT, **options: Any
) -> tuple[plan.Plan, applying.Applied, dict[str, int]]:
    async def run() -> tuple[plan.Plan, applying.Applied, dict[str, int]]:
        async with (
            Kubernetes.from_kubeconfig(pair[0].kubeconfig, name="plum") as blue,
            Kubernetes.from_kubeconfig(pair[1].kubeconfig, name="fern") as green,
        ):
            bundle = await export.export(blue, green, singletons=SINGLETONS, **options)
            planned = await plan.plan(transform.transform(bundle), green, limit=limit)
            done = await applying.apply(planned, green)
            return planned, done, {verb: green.requests.get(verb, 0) for verb in WRITES}

    return asyncio.run(run())


def write_migration(folder: Path, pair: tuple[Bare, Bare], namespace: str) -> None:
    """The files of a migration between bare clusters, of one namespace, for the command itself. No gateway answers."""
    (folder / "Pulumi.edge.yaml").write_text(
        "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {}\n  bluegreen:generation: 1\n"
    )
    clusters = {
        bare.name: {"kubeconfig": str(bare.kubeconfig), "gateway": {"address": f"127.0.0.{number}", "port": 9}}
        for number, bare in enumerate(pair, start=1)
    }
    migration = {
        "version": 1,
        "clusters": clusters,
        "edge": "Pulumi.edge.yaml",
        "replicate": {"include": {"namespaces": [namespace]}},
    }
    (folder / "migration.yaml").write_text(json.dumps(migration))


def on(plane: Bare, *what: str) -> dict[str, Any]:
    live: dict[str, Any] = json.loads(plane.kubectl("get", *what, "-o", "json", "--show-managed-fields"))
    return live


def await_object(plane: Bare, *what: str) -> None:
    deadline = time.monotonic() + 60
    while not plane.kubectl("get", *what, "-o", "name", "--ignore-not-found"):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
