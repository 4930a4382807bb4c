"""A whole migration on the fakes: its files, two API servers that answer on loopback, and the command as people run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import routing
from migration.cli import main as cli
from migration.errors import Forbidden
from migration.objects.kinds import Object, Resource
from migration.store.events import Op
from migration.store.journal import Journal
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.refusing import refusing_port
from tests.fakes.served import Ports, served
from tests.fakes.traffic import Traffic

SPLITS = {"shop/cart": 2500, "shop/pay": 10_000, "shop/search": 0}
EDGE = """\
# the way in
config:
  bluegreen:kind: edge
  bluegreen:sides: {blue: plum, green: fern}
  bluegreen:entry: {plum: 10000, fern: 0}
  bluegreen:services:
    shop/cart: 2500  # one line each
    shop/pay: 10000
    shop/search: 0
  bluegreen:generation: 7
"""


def original(service: str) -> Object:
    namespace, name = service.split("/")
    two = [
        {"destination": {"host": f"{name}.{namespace}.svc.cluster.local", "subset": subset}, "weight": weight}
        for subset, weight in (("v1", 60), ("v2", 40))
    ]
    two[0]["headers"] = {"request": {"set": {"x-a": "1"}}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [f"{name}.test"],
            "gateways": ["istio-system/public"],
            "http": [
                {"match": [{"uri": {"prefix": "/v2"}}], "route": two},
                {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/"}},
                {"route": [{"destination": {"host": f"{name}.{namespace}.svc.cluster.local", "port": {"number": 80}}}]},
            ],
        },
    }


@cache
def kept(service: str) -> str:
    """The file that enrolment keeps of its route."""
    return yaml.safe_dump(original(service))


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Project:
    """Files of a migration as they should be, and two clusters that hold what they say. A test breaks some of it."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.folder, self._capsys, self._log = folder, capsys, caplog
        self.ports: list[Ports] = []
        self.refusing: dict[str, int] = {}  # by cluster, a port of 127.0.0.1 where nobody listens
        self.closed: set[tuple[str, str]] = set()  # (cluster, kind) that may not be read
        self.originals = {service: original(service) for service in SPLITS}
        self.servers = {name: FakeApiServer(name, trouble=self._trouble(name)) for name in ("plum", "fern")}
        intent = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 10_000, "fern": 0}, SPLITS, 7)
        sides: tuple[routing.Side, routing.Side] = ("blue", "green")
        for side, server in zip(sides, self.servers.values(), strict=True):
            for obj in routing.objects(intent, self.originals, side, routing.Peer("10.0.0.1")).in_order():
                server.put(obj)
        self.edge = folder / "stacks/Pulumi.edge.yaml"
        self.routes = folder / "stacks/edge.routes"
        self.routes.mkdir(parents=True)
        self.edge.write_text(EDGE)
        for service in self.originals:
            self.route(service).write_text(kept(service))
        self.file = folder / "migration.yaml"
        self.store = folder / ".bluegreen"
        self.traffic = Traffic(SPLITS, lambda service: self.live("plum", service))
        self.watched = False  # whether migration.yaml has the gateways' counters

    def _trouble(self, cluster: str) -> Callable[[str, Resource, str], None]:
        def trouble(verb: str, resource: Resource, name: str) -> None:
            if verb in ("get", "list") and (cluster, resource.kind) in self.closed:
                raise Forbidden(f"may not read {resource.kind}")

        return trouble

    def route(self, service: str) -> Path:
        return self.routes / f"{service.replace('/', '.')}.yaml"

    def forget(self, service: str, *clusters: str) -> None:
        """The peer route keeps the original no more, as one of an older enrolment."""
        namespace, name = service.split("/")
        for cluster in clusters or self.servers:
            key = ("networking.istio.io", "VirtualService", namespace, f"{name}-bluegreen-peer")
            del self.servers[cluster].objects[key]["metadata"]["annotations"][routing.ORIGINAL_ANNOTATION]

    def configure(self, more: str = "") -> None:
        text = "version: 1\nclusters:\n"
        for name, ports in zip(self.servers, self.ports, strict=True):
            gateway = f"{{address: 127.0.0.1, port: {ports.api}, peer_port: {ports.peer}}}"
            pages = f", counters: {{urls: ['http://127.0.0.1:{ports.page}/'], dialect: istio}}" if self.watched else ""
            text += f"  {name}: {{kubeconfig: {name}.kubeconfig, gateway: {gateway}{pages}}}\n"
            config = {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{ports.api}"}}],
                "users": [{"name": "x", "user": {"token": "t"}}],
            }
            (self.folder / f"{name}.kubeconfig").write_text(json.dumps(config))
        self.file.write_text(f"{text}edge: stacks/Pulumi.edge.yaml\n{more}")

    def unreachable(self, *clusters: str) -> None:
        """Their API servers: nothing listens where the kubeconfig says."""
        for name in clusters:
            path = self.folder / f"{name}.kubeconfig"
            path.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{self.refusing[name]}", path.read_text()))

    def enrolled(self, *lines: str) -> None:
        """The stack file's services are these alone: `shop/cart: 2500`."""
        head, tail = EDGE[: EDGE.index("  bluegreen:services")], EDGE[EDGE.index("  bluegreen:generation") :]
        services = "".join(f"    {line}\n" for line in lines)
        self.edge.write_text(f"{head}  bluegreen:services:{chr(10) + services if lines else ' {}' + chr(10)}{tail}")

    def journal(self, *notes: tuple[str, str, str]) -> None:
        """Adds notes of an earlier shift: (operation, service, reason)."""
        journal = Journal(self.store, 1, lambda: 0.0)
        for op, service, reason in notes:
            journal.note(Op(op), service, reason=reason)
        journal.close()

    @contextmanager
    def locked(self, command: str = "bluegreen shift") -> Iterator[None]:
        """By another process, which lives until the end."""
        self.store.mkdir(exist_ok=True)
        who = {"pid": 4711, "host": "ops-1", "user": "lee", "command": command, "since": "2026-08-24T03:04:05+00:00"}
        program = (
            "import fcntl, sys\nstream = open(sys.argv[1], 'w')\nfcntl.flock(stream, fcntl.LOCK_EX)\n"
            "stream.write(sys.argv[2])\nstream.flush()\nprint(flush=True)\nsys.stdin.read()\n"
        )
        arguments = [sys.executable, "-c", program, str(self.store / "lock"), json.dumps(who)]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdout.readline()
            yield
            holder.stdin.close()

    def warnings(self) -> str:
        """What the last run logged, as people see it on stderr."""
        return "".join(f"{each.getMessage()}\n" for each in self._log.records)

    def run(self, *words: str) -> tuple[int, Any, str]:
        """Exit code, document and what was told of the command with --json."""
        code, out, err = self.ran("--json", *words)
        return code, json.loads(out) if out else None, self._log.text + err

    def ran(self, *words: str) -> Ran:
        """The command as people run it; what it prints, as it is."""
        self._log.clear()
        code = cli.run(["-c", str(self.file), *words])
        return Ran(code, *self._capsys.readouterr())

    def at_blue(self) -> set[str]:
        """Services whose route on blue is the original again, up to a common factor of weights."""
        return {service for service in SPLITS if self.live("plum", service) == 0}

    def live(self, cluster: str, service: str) -> int | None:
        namespace, name = service.split("/")
        live = self.servers[cluster].objects["networking.istio.io", "VirtualService", namespace, name]
        side: routing.Side = "blue" if cluster == "plum" else "green"
        for route in (self.originals[service], reduced(self.originals[service])):
            if (split := routing.live_split(live, route, side)) is not None:
                return split
        return None


def reduced(route: Object) -> Object:
    copied: Object = json.loads(json.dumps(route))
    for each, weight in zip(copied["spec"]["http"][0]["route"], (3, 2), strict=True):
        each["weight"] = weight
    return copied


@contextmanager
def running(folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Project]:
    project = Project(folder, capsys, caplog)
    with (
        served(*project.servers.values(), page=project.traffic.page) as ports,
        refusing_port() as plum,
        refusing_port() as fern,
    ):
        project.ports, project.refusing = ports, {"plum": plum, "fern": fern}
        project.configure()
        yield project
