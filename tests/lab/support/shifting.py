"""A migration of two services in a folder of its own, run as people run it: the command in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.client import LabClient
from tests.lab.support import command
from tests.lab.support.kit import LabCluster, eventually

STEPS = [500, 2000, 10_000]
PATIENCE = 180
ERRORS = {"lab.bluegreen.io/errors": "0.5"}
MENDED = {"lab.bluegreen.io/errors": None}


@dataclass(frozen=True)
class Reading:
    """One reading of a gateway's counters by the command."""

    at: float  # seconds since the epoch
    page: str

    def errors(self, service: str) -> int:
        """5xx answers to what this gateway forwarded of the service."""
        namespace, name = service.split("/")
        counted = re.compile(rf"envoy_cluster_upstream_rq(_xx)?{{.*[|]{name}[.]{namespace}[.]peer[.].*}} (\d+)")
        matches = [counted.fullmatch(line) for line in self.page.splitlines() if 'response_code_class="5' in line]
        return sum(int(match[2]) for match in matches if match)


class Page:
    """A page of counters on a port of its own. Each reader gets what `read` gives then."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = read()
                self.send_response(200)
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the command has given this reading up
                    self.wfile.write(page)

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Eyes(Page):
    """Stands between the command and a gateway's counters, and keeps what the command saw and when."""

    def __init__(self, cluster: LabCluster) -> None:
        self.readings: list[Reading] = []
        upstream = f"{cluster.admin}/stats/prometheus"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def read() -> bytes:
            with opener.open(upstream, timeout=10) as answer:
                page: bytes = answer.read()
            self.readings.append(Reading(time.time(), page.decode()))
            return page

        super().__init__(read)


class IdlePod(Page):
    """The page of one more gateway pod, which is there and to which no user comes."""

    def __init__(self) -> None:
        began = time.monotonic()

        def read() -> bytes:
            page = f"# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{{}} {3600 + time.monotonic() - began:.0f}\n"
            return page.encode()

        super().__init__(read)


class Users:
    """Asks one service again and again on kept connections. An answer counts as injected when a fault of the lab made it."""

    def __init__(self, gateway: LabCluster, host: str, workers: int = 5) -> None:
        self.gateway, self.host = gateway, host
        self.served: Counter[str] = Counter()  # by cluster
        self.injected = 0
        self.failed: list[str] = []  # in no fault's name
        self._stop, self._guard = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        line = http.client.HTTPConnection(self.gateway.gateway, self.gateway.port, timeout=30)
        while not self._stop.wait(0.01):
            try:
                line.request("GET", "/", headers={"Host": self.host})
                answer = line.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                line.close()
                with self._guard:
                    self.failed.append(repr(error))
                continue
            with self._guard:
                self.served[answer.headers.get("x-lab-cluster", "")] += 1
                if answer.headers.get("x-lab-injected"):
                    self.injected += 1
                elif answer.status != 200:
                    self.failed.append(str(answer.status))
        line.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Project:
    def __init__(self, folder: Path, lab: LabClient, clusters: tuple[LabCluster, LabCluster], namespace: str) -> None:
        self.folder, self.lab, self.namespace = folder, lab, namespace
        self.plum, self.fern = clusters
        self.good, self.bad = f"{namespace}/good", f"{namespace}/bad"
        self.services = (self.good, self.bad)
        self.eyes = {cluster.name: Eyes(cluster) for cluster in clusters}
        self.idle: dict[str, list[IdlePod]] = {cluster.name: [] for cluster in clusters}
        self.file, self.edge = folder / "migration.yaml", folder / "stacks/Pulumi.edge.yaml"
        self.edge.parent.mkdir()
        self.write_edge()
        self.configure()
        self.running: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for eyes in self.eyes.values():
            eyes.close()
        for pod in (pod for pods in self.idle.values() for pod in pods):
            pod.close()

    # -- its files ---------------------------------------------------------------------------------------------------

    def write_edge(
        self, entry: Mapping[str, int] | None = None, services: Mapping[str, int] | None = None, **more: Any
    ) -> None:
        config = {
            "bluegreen:kind": "edge",
            "bluegreen:sides": {"blue": "plum", "green": "fern"},
            "bluegreen:entry": dict(entry or {"plum": 10_000, "fern": 0}),
            "bluegreen:services": dict(services or {}),
            "bluegreen:generation": 1,
            **{f"bluegreen:{key}": value for key, value in more.items()},
        }
        self.edge.write_text("config:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in config.items()))

    def configure(self, *, services: Mapping[str, Any] | None = None, metrics: bool = True, **policy: Any) -> None:
        """migration.yaml with short times; `policy` adds to them."""
        short = {
            "steps_bp": STEPS,
            "dwell_seconds": 1,
            "bake_seconds": 1,
            "min_requests": 1,
            "inconclusive_limit_seconds": 3600,
            "analysis_interval_seconds": 1,
        }
        document = {
            "version": 1,
            "clusters": {cluster.name: self._cluster(cluster) for cluster in (self.plum, self.fern)},
            "edge": "stacks/Pulumi.edge.yaml",
            "policy": {**short, **policy},
            "services": dict(services or {}),
        }
        if metrics:
            document["metrics"] = {"url": self.lab.lab()["services"]["metrics"], "dialect": "envoy"}
        self.file.write_text(json.dumps(document, indent=1))

    def _cluster(self, cluster: LabCluster) -> dict[str, Any]:
        return {
            "kubeconfig": cluster.kubeconfig,
            "gateway": {"address": cluster.gateway, "port": cluster.port, "peer_port": cluster.peer_port},
            "counters": {"urls": self.pages(cluster), "dialect": "envoy"},
        }

    def pages(self, cluster: LabCluster) -> list[str]:
        """Of its gateway's pods, the real one first."""
        return [self.eyes[cluster.name].url, *(pod.url for pod in self.idle[cluster.name])]

    # -- the command -------------------------------------------------------------------------------------------------

    def begin(self, *words: str) -> subprocess.Popen[str]:
        process = command.begin(self.file, "--json", *words, environment=self.lab.environment())
        self.running.append(process)
        return process

    def ended(self, process: subprocess.Popen[str], code: int = 0) -> tuple[Any, str]:
        """Its document and what it told, when it has ended with this code."""
        output, errors = command.ended(process, (code,))
        return (json.loads(output) if output else None), errors

    def run(self, *words: str, code: int = 0) -> Any:
        return self.ended(self.begin(*words), code)[0]

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    # -- what is so --------------------------------------------------------------------------------------------------

    def events(self, op: str | None = None, target: str | None = None, **more: Any) -> list[dict[str, Any]]:
        """Lines of the journal. What a crash tore is not one."""
        path = self.folder / ".bluegreen/journal.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        events = [json.loads(line) for line in lines]
        wanted = {**({"op": op} if op else {}), **({"target": target} if target else {}), **more}
        return [event for event in events if all(event[key] == value for key, value in wanted.items())]

    def split(self, service: str) -> tuple[int, int]:
        """What both gateways' data planes say."""
        answers = [self.probe(cluster, service) for cluster in (self.plum, self.fern)]
        return answers[0], answers[1]

    def assert_back(self, service: str) -> None:
        """Blue's gateway says so by now. Through green's nobody enters: its proxy may get the route after the run's end."""
        assert self.probe(self.plum, service) == 0
        eventually(lambda: self.probe(self.fern, service) == 0, f"green's gateway at 0 for {service}")

    def probe(self, cluster: LabCluster, service: str) -> int:
        return int(cluster.send("any", headers={"x-bluegreen-probe": service}, peer=True).text)

    def path(self, service: str) -> str:
        namespace, name = service.split("/")
        return f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}"

    def spec(self, cluster: LabCluster, service: str) -> Any:
        live = cluster.api.get(self.path(service))
        return live and live["spec"]

    def snapshot(self) -> dict[str, Any]:
        """All that a command could change: files of the project but dwell notes, and the versions of live objects."""
        state: dict[str, Any] = {
            str(path.relative_to(self.folder)): path.read_text()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in ("journal.jsonl", "migration.yaml")
        }
        state["journal"] = [event for event in self.events() if event["op"] not in ("progress", "hold")]
        for cluster in (self.plum, self.fern):
            items = cluster.api.items(f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/virtualservices")
            state |= {f"{cluster.name}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}
            record = cluster.api.get("/api/v1/namespaces/istio-system/configmaps/bluegreen-edge")
            state[f"{cluster.name} record"] = record and record["metadata"]["resourceVersion"]
        return state

    def host(self, service: str) -> str:
        return f"{service.split('/')[1]}.{self.namespace}.test"

    @contextmanager
    def load(self) -> Iterator[dict[str, Users]]:
        """Users of both services, by blue's gateway."""
        users = {service: Users(self.plum, self.host(service)) for service in self.services}
        try:
            yield users
        finally:
            for each in users.values():
                each.stop()

    def await_step(self, service: str, split: int, since: int = 0) -> None:
        """Until the command has seen this split in effect, by a line of the journal later than `since`."""
        eventually(
            lambda: any(event["seq"] > since for event in self.events("effect", service, after=split)),
            f"{service} at {split}",
            PATIENCE,
        )


def wall(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()
