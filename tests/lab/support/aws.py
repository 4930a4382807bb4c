"""One `python -m lab.aws` for these tests, with a control API of the test's own in place of the lab's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config

from lab.layout import REGION, Block

LIMIT = 120.0  # seconds; conditions are awaited, so a busy machine only makes it slower


def until(met: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        result = met()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {LIMIT:.0f} s: {what}")


class FakeControl:
    """Answers like lab.server; the test says when a cluster is ready and when it is gone."""

    def __init__(self, address: str) -> None:
        self.clusters: dict[str, dict[str, Any]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, status: int, body: dict[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _go(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                cluster = outer.clusters.get(name)
                if self.command == "PUT":
                    body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                    if body["version"] == "1.31":
                        return self._answer(400, {"error": "Kubernetes version '1.31' is not one the lab can run"})
                    outer.clusters[name] = {"name": name, "status": "starting", "version": body["version"]}
                    return self._answer(202, outer.clusters[name])
                if cluster is None:
                    return self._answer(404, {"error": f"no cluster {name!r}"})
                if self.command == "DELETE":
                    cluster["status"] = "deleting"
                return self._answer(200, cluster)

            do_GET = do_PUT = do_DELETE = _go

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ready(self, name: str) -> None:
        self.clusters[name] |= {"status": "ready", "endpoint": "https://127.1.2.3:6443", "ca": "Q0E="}

    def wiped(self, name: str) -> None:
        del self.clusters[name]


class Aws:
    """The running server: its block, its clients."""

    def __init__(self, block: Block, control: FakeControl) -> None:
        self.block, self.control = block, control

    def __call__(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.block.aws_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}, read_timeout=60),
        )
