"""The load generator against a real DNS server and real sockets: what it keeps, what it records, whom it refuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.aws import dns
from lab.layout import CHECKOUT

FIRST, SECOND, NAMES = "127.61.0.1", "127.61.0.2", "127.61.0.3"
TTL_SECONDS = 2


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        bad = self.path == "/bad"
        self.send_response(500 if bad else 200)
        if bad:
            self.send_header("x-lab-injected", "1")
        self.send_header("x-lab-cluster", str(self.connection.getsockname()[0]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def served(address: str, port: int) -> Iterator[None]:
    server = Server((address, port), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((FIRST, 0))
        return int(probe.getsockname()[1])


class Pointed:
    """A zone whose one name can be pointed elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.address, self.port, self.dns_port = FIRST, free_port(), free_port()
        self.file, self.output = folder / "load.json", folder / "requests.jsonl"

    def zones(self) -> dict[str, list[dict[str, Any]]]:
        return {"a.test.": [{"Name": "*.a.test.", "Type": "A", "TTL": TTL_SECONDS, "ResourceRecords": [self.address]}]}

    def configure(self, path: str = "/", rate: float = 100) -> None:
        target = {"name": "x.a.test", "host": "x.a.test", "path": path}
        config = {"dns": f"{NAMES}:{self.dns_port}", "port": self.port, "rate": rate, "clients": 5, "seconds": 60}
        self.file.write_text(json.dumps(config | {"output": str(self.output), "targets": [target]}))

    @contextmanager
    def load(self) -> Iterator[None]:
        process = subprocess.Popen([sys.executable, "-m", "lab.demo.load", str(self.file)], cwd=CHECKOUT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0

    def records(self) -> list[dict[str, Any]]:
        if not self.output.exists():
            return []
        return [json.loads(line) for line in self.output.read_text().split("\n")[:-1]]

    def until(self, condition: Any) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 60
        while not condition(self.records()):
            assert time.monotonic() < deadline, self.records()[-3:]
            time.sleep(0.05)
        return self.records()


@pytest.fixture
def pointed(tmp_path: Path) -> Iterator[Pointed]:
    made = Pointed(tmp_path)
    made.configure()
    resolvers = dns.serve(NAMES, made.dns_port, made.zones)
    with served(FIRST, made.port), served(SECOND, made.port):
        yield made
    for resolver in resolvers:
        resolver.stop()
        resolver.server.server_close()


def test_clients_keep_an_answer_for_just_its_ttl(pointed: Pointed) -> None:
    with pointed.load():
        pointed.until(lambda records: len(records) > 50)
        pointed.address, moved = SECOND, time.time()
        records = pointed.until(lambda records: len([r for r in records if r.get("cluster") == SECOND]) > 200)
    assert {record["status"] for record in records} == {200}
    late = [r["t"] - moved for r in records if r["cluster"] == FIRST and r["t"] > moved]
    assert late, "nobody kept an answer"
    assert max(late) < TTL_SECONDS + 5
    assert records[-1]["address"] == SECOND


def test_every_request_is_recorded_with_its_injected_fault(pointed: Pointed) -> None:
    pointed.configure("/bad")
    with pointed.load():
        records = pointed.until(lambda records: len(records) > 50)
    assert all(r["status"] == 500 and r["injected"] and r["cluster"] == FIRST and r["ms"] > 0 for r in records)


def test_its_file_is_read_again_while_it_runs(pointed: Pointed) -> None:
    with pointed.load():
        pointed.until(lambda records: len(records) > 20)
        pointed.configure("/bad")
        pointed.until(lambda records: records[-1]["path"] == "/bad")


def test_no_other_machine_is_asked(pointed: Pointed) -> None:
    pointed.address = "192.0.2.1"
    with pointed.load():
        records = pointed.until(lambda records: len(records) > 5)
    assert all(r["status"] == 0 and "no loopback address" in r["error"] for r in records)
