"""The lab's daemon and its control API; `Lab` and `LabClient` for whoever uses a lab from Python.

python -m lab.server --root DIR     runs until SIGTERM or SIGINT, prints one line of JSON when ready

GET    /lab                                   addresses, services, environment, clusters (also in DIR/lab.json)
GET    /clusters    GET /clusters/NAME
PUT    /clusters/NAME  {"version": "1.34"}    202: starts a cluster; 200 when it is there already
DELETE /clusters/NAME                         202: stops and wipes it
POST   /clusters/NAME/programs/PROGRAM {"state": "killed" | "running"}      also for the lab's own: /programs/PROGRAM
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import aiohttp
from aiohttp import web

from lab import layout, processes, programs
from lab.client import Lab, LabClient, LabError
from lab.cluster import metrics_store
from lab.cluster.cluster import Cluster, UnknownVersion, check_version
from lab.layout import CHECKOUT, CONTROL_PORT, MAX_CLUSTERS, Block, Folders
from lab.processes import Program, Supervisor

__all__ = ["Lab", "LabClient", "LabError", "Server"]

NAME_PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
SERVICE_SECONDS = 60.0


class Server:
    """One running lab."""

    def __init__(self, root: Path, block: Block, built: programs.Programs) -> None:
        self.folders, self.block, self.built = Folders(root), block, built
        self.supervisor = Supervisor(self.folders.run)
        self.clusters: dict[str, Cluster] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.aws = False

    def describe(self) -> dict[str, Any]:
        services = {
            "control": self.block.control_url,
            "aws": self.block.aws_url if self.aws else None,
            "dns": self.block.dns if self.aws else None,
            "metrics": self.block.metrics_url,
        }
        return {
            "block": str(self.block),
            "root": str(self.folders.root),
            "pid": os.getpid(),
            "services": services,
            "programs": str(self.built.bin),
            "environment": layout.environment(self.block, self.folders.root, self.built.bin),
            "clusters": [cluster.describe() for cluster in self.clusters.values()],
        }

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serves until `stop` is set, then ends everything."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/lab", self._lab),
                web.get("/clusters", self._list),
                web.get("/clusters/{name}", self._get),
                web.put("/clusters/{name}", self._put),
                web.delete("/clusters/{name}", self._delete),
                web.post("/clusters/{name}/programs/{program}", self._program),
                web.post("/programs/{program}", self._own_program),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.block.services, CONTROL_PORT).start()
            await self._start_services()
            self._write()
            ready()
            await stop.wait()
        finally:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            await self.supervisor.stop_all(grace=2.0)
            await runner.cleanup()
            self.folders.lab_file.unlink(missing_ok=True)
            layout.prefork_socket(self.block).unlink(missing_ok=True)

    async def _start_services(self) -> None:
        root = self.folders.root
        store = root / "metrics"
        metrics_store.write_targets(store, {})
        command = metrics_store.command(self.built.bin, self.block, store)
        await self.supervisor.start(Program(metrics_store.NAME, command, root / "victoria-metrics.log"))
        prefork = [sys.executable, "-m", "lab.prefork", str(layout.prefork_socket(self.block))]
        await self.supervisor.start(Program("prefork", prefork, root / "prefork.log", cwd=CHECKOUT))
        waiting = [_http_ok(f"{self.block.metrics_url}/health")]
        if importlib.util.find_spec("lab.aws") and importlib.util.find_spec("lab.aws.__main__"):
            argv = [sys.executable, "-m", "lab.aws", "--block", str(self.block), "--root", str(root)]
            argv += ["--control", self.block.control_url]
            env = {**layout.environment(self.block, root, self.built.bin), "PYTHONPATH": str(CHECKOUT)}
            await self.supervisor.start(Program("aws", argv, root / "aws.log", env))
            waiting += [_http_ok(f"{self.block.aws_url}/moto-api/"), _dns_answers(self.block)]
            self.aws = True
        try:
            async with asyncio.timeout(SERVICE_SECONDS):
                await asyncio.gather(*waiting)
        except TimeoutError as error:
            said = "; ".join(f"{p.name}: {p.last_words()}" for p in self.supervisor.programs.values())
            raise LabError(f"the lab's services are not ready after {SERVICE_SECONDS:.0f} s: {said}") from error

    def _write(self) -> None:
        """lab.json, and the metrics store's targets."""
        temporary = self.folders.lab_file.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(self.describe(), indent=1))
        temporary.rename(self.folders.lab_file)
        targets = {
            cluster.name: cluster.addresses.admin_url.removeprefix("http://")
            for cluster in self.clusters.values()
            if cluster.status == "ready"
        }
        metrics_store.write_targets(self.folders.root / "metrics", targets)

    async def _start_cluster(self, cluster: Cluster) -> None:
        await cluster.start()
        self._write()

    async def _wipe_cluster(self, cluster: Cluster, starting: asyncio.Task[None] | None) -> None:
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        cluster.status = "deleting"
        self._write()
        await cluster.wipe()
        self.clusters.pop(cluster.name, None)
        self.tasks.pop(cluster.name, None)
        self._write()

    async def _lab(self, _: web.Request) -> web.Response:
        return web.json_response(self.describe())

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([cluster.describe() for cluster in self.clusters.values()])

    def _find(self, request: web.Request) -> Cluster:
        name = request.match_info["name"]
        if name not in self.clusters:
            raise _problem(web.HTTPNotFound, f"no cluster {name!r}: there are {', '.join(self.clusters) or 'none'}")
        return self.clusters[name]

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).describe())

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not NAME_PATTERN.fullmatch(name):
            raise _problem(web.HTTPBadRequest, f"cluster name {name!r}: lower-case letters, digits and dashes, at most 40")
        try:
            version = check_version(str((await request.json()).get("version", "")))
        except UnknownVersion as error:
            raise _problem(web.HTTPBadRequest, str(error)) from error
        except (ValueError, AttributeError) as error:
            raise _problem(web.HTTPBadRequest, 'the body must be JSON like {"version": "1.34"}') from error
        existing = self.clusters.get(name)
        if existing is not None:
            if existing.version != version or existing.status in ("deleting", "failed"):
                raise _problem(
                    web.HTTPConflict, f"cluster {name} is there with {existing.version}, {existing.status}: delete it first"
                )
            return web.json_response(existing.describe())
        taken = {cluster.addresses.index for cluster in self.clusters.values()}
        index = next((number for number in range(1, MAX_CLUSTERS + 1) if number not in taken), None)
        if index is None:
            raise _problem(web.HTTPConflict, f"the lab has {MAX_CLUSTERS} clusters, there is no room for {name}")
        cluster = Cluster(name, version, self.block.cluster(index), self.folders.cluster(name), self.built, self.supervisor)
        self.clusters[name] = cluster
        self.tasks[name] = asyncio.create_task(self._start_cluster(cluster))
        self._write()
        return web.json_response(cluster.describe(), status=202)

    async def _delete(self, request: web.Request) -> web.Response:
        cluster = self._find(request)
        if cluster.status != "deleting":
            starting = self.tasks.get(cluster.name)
            cluster.status = "deleting"
            self.tasks[cluster.name] = asyncio.create_task(self._wipe_cluster(cluster, starting))
        return web.json_response(cluster.describe(), status=202)

    async def _program(self, request: web.Request) -> web.Response:
        cluster = self._find(request)
        state = await _wanted_state(request)
        try:
            await cluster.set_program(request.match_info["program"], state)
        except KeyError as error:
            raise _problem(web.HTTPNotFound, str(error.args[0])) from error
        return web.json_response({"program": request.match_info["program"], "state": state})

    async def _own_program(self, request: web.Request) -> web.Response:
        name, state = request.match_info["program"], await _wanted_state(request)
        if name not in self.supervisor.programs:
            raise _problem(web.HTTPNotFound, f"no program {name!r}: {', '.join(sorted(self.supervisor.programs))}")
        await (self.supervisor.kill(name) if state == "killed" else self.supervisor.revive(name))
        return web.json_response({"program": name, "state": state})


async def _wanted_state(request: web.Request) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        state = (await request.json()).get("state")
        if state in ("killed", "running"):
            return str(state)
    raise _problem(web.HTTPBadRequest, 'the body must be {"state": "killed"} or {"state": "running"}')


def _problem(kind: type[web.HTTPException], message: str) -> web.HTTPException:
    return kind(text=json.dumps({"error": message}), content_type="application/json")


async def _http_ok(url: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


async def _dns_answers(block: Block) -> None:
    """Any answer counts, also a refusal: somebody speaks DNS there."""
    from dns.asyncquery import udp
    from dns.exception import DNSException
    from dns.message import make_query

    while True:
        with contextlib.suppress(DNSException, OSError):
            await udp(make_query("ready.test.", "A"), block.services, timeout=1, port=layout.DNS_PORT)
            return
        await asyncio.sleep(0.1)


def lock_root(folders: Folders) -> IO[str]:
    """Holds the root for this process; LabError when another lab has it."""
    folders.root.mkdir(parents=True, exist_ok=True)
    held = folders.lock_file.open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.seek(0)
        raise LabError(f"a lab runs already in {folders.root} (process {held.read().strip()}): stop it first") from error
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return held


async def serve(root: Path, while_stdin_is_open: bool = False) -> None:
    """Runs the lab of a root until SIGTERM or SIGINT, or until whoever started it is gone."""
    folders = Folders(root)
    with lock_root(folders):
        left = processes.end_leftovers(folders.run)
        if left:
            print(f"ended what an earlier run left: {', '.join(left)}", file=sys.stderr, flush=True)
        built = await asyncio.to_thread(programs.ensure, lambda text: print(text, file=sys.stderr, flush=True))
        block, held = layout.take_block(root)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if while_stdin_is_open:
            loop.add_reader(sys.stdin, stop.set)  # nothing is ever written there: readable means closed
        server = Server(root, block, built)

        def ready() -> None:
            print(json.dumps(server.describe()), flush=True)

        with held:
            await server.run(stop, ready)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.server")
    parser.add_argument("--root", type=Path, default=layout.default_root())
    parser.add_argument("--while-stdin-is-open", action="store_true", help="end when standard input is closed")
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.root.absolute(), arguments.while_stdin_is_open))
    except (LabError, layout.NoBlockFree, programs.BuildFailed) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
