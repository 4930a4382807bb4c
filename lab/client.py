"""How Python uses a lab: `LabClient` speaks to a running one, `Lab` starts one and ends it.

with Lab.start(root) as lab:
    lab.client.create_cluster("plum", "1.34")
    plum = lab.client.wait_ready("plum")
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.layout import CHECKOUT, Folders, default_root

Described = dict[str, Any]


class LabError(RuntimeError):
    """The lab could not do what was asked; the message says what and why."""


class LabClient:
    """The control API of a running lab."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def of_root(cls, root: Path | None = None) -> LabClient:
        """The lab that runs in this root; LabError when none does."""
        path = Folders(root or default_root()).lab_file
        try:
            client = cls(str(json.loads(path.read_text())["services"]["control"]))
            client.lab()
        except (OSError, ValueError, KeyError, LabError) as error:
            raise LabError(f"no lab runs in {path.parent}: start one with `make lab`") from error
        return client

    def lab(self) -> Described:
        return dict(self._call("GET", "/lab"))

    def environment(self) -> dict[str, str]:
        """What pulumi, bluegreen, boto3 and kubectl need in their environment."""
        return dict(self.lab()["environment"])

    def clusters(self) -> list[Described]:
        return list(self._call("GET", "/clusters"))

    def cluster(self, name: str) -> Described:
        return dict(self._call("GET", f"/clusters/{name}"))

    def create_cluster(self, name: str, version: str) -> Described:
        """Begins to start a cluster; `wait_ready` waits for it."""
        return dict(self._call("PUT", f"/clusters/{name}", {"version": version}))

    def wait_ready(self, name: str, seconds: float = 240) -> Described:
        deadline = time.monotonic() + seconds
        while True:
            cluster = self.cluster(name)
            if cluster["status"] == "ready":
                return cluster
            if cluster["status"] == "failed":
                raise LabError(f"cluster {name} failed: {cluster['reason']}")
            if time.monotonic() > deadline:
                raise LabError(f"cluster {name} is {cluster['status']} after {seconds:.0f} s")
            time.sleep(0.1)

    def delete_cluster(self, name: str, seconds: float = 60) -> None:
        """Stops and wipes it; returns when it is gone."""
        self._call("DELETE", f"/clusters/{name}")
        deadline = time.monotonic() + seconds
        while any(cluster["name"] == name for cluster in self.clusters()):
            if time.monotonic() > deadline:
                raise LabError(f"cluster {name} is not gone after {seconds:.0f} s")
            time.sleep(0.05)

    def program(self, cluster: str | None, program: str, state: str) -> None:
        """Kills a program of a cluster (of the lab itself: None), or starts it again; state: killed, running."""
        prefix = f"/clusters/{cluster}" if cluster else ""
        self._call("POST", f"{prefix}/programs/{program}", {"state": state})

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["error"]
            raise LabError(f"{method} {path}: {text}") from error
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the lab at {self.url} does not answer: {error}") from error


class Lab:
    """A lab run by a child process; ends with the `with` block, and with this process whatever happens."""

    def __init__(self, process: subprocess.Popen[bytes], described: Described, log: Path) -> None:
        self.process, self.log = process, log
        self.root = Path(described["root"])
        self.block: str = described["block"]
        self.client = LabClient(described["services"]["control"])

    @classmethod
    def start(cls, root: Path | None = None, seconds: float = 120) -> Lab:
        """Starts the lab of a root and waits until its services answer. Builds the programs when they are not yet.

        The child ends when its standard input does, so it never outlives this process.
        """
        root = (root or default_root()).absolute()
        root.mkdir(parents=True, exist_ok=True)
        log = root / "server.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab.server", "--root", str(root), "--while-stdin-is-open"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                process_group=0,
            )
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if readable else b""
        if not line:
            process.terminate()
            process.wait()
            _close(process)
            last = (log.read_text(errors="replace").strip().splitlines() or ["no reason told"])[-1]
            raise LabError(f"the lab in {root} did not start: {last}")
        return cls(process, json.loads(line), log)

    def stop(self, seconds: float = 30) -> None:
        """Ends the lab and everything it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _close(self.process)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
