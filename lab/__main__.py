"""python -m lab programs | up | down | demo | bench: what the Makefile calls."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from lab import programs
from lab.client import LabClient, LabError
from lab.demo import manifests
from lab.demo.manifests import WorkloadsError
from lab.demo.story import BLUE, GREEN, POLICY, migration_file
from lab.demo.story import VERSIONS as CLUSTERS
from lab.demo.usage import SHOP, usage
from lab.layout import CHECKOUT, default_root
from lab.processes import start_time
from lab.project import Project


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed (one line on stderr says why), 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("programs", help="build the lab's programs, once")
    commands.add_parser("up", help="start a lab with two clusters, and leave it running")
    commands.add_parser("down", help="end that lab and all it started")
    demo = commands.add_parser("demo", help="a whole blue/green upgrade, with a report")
    demo.add_argument("--workloads", type=Path, help="a file or folder of manifests instead of the shop")
    commands.add_parser("bench", help="speed as ratios")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "programs":
            programs.ensure()
        elif arguments.command == "up":
            up()
        elif arguments.command == "down":
            down()
        elif arguments.command == "demo":
            from lab.demo.demo import demo as run_demo

            return run_demo(arguments.workloads)
        else:
            from lab.bench.bench import bench

            bench()
    except (LabError, programs.BuildFailed, WorkloadsError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up() -> None:
    """Starts the server as a process of its own, then both clusters at once; prints how to use them."""
    root = default_root()
    with contextlib.suppress(LabError):
        LabClient.of_root(root)
        _print_usage(LabClient.of_root(root))
        return
    programs.ensure()
    root.mkdir(parents=True, exist_ok=True)
    with (root / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "lab.server", "--root", str(root)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=CHECKOUT,
        )  # fmt: skip
    client = _wait(root, server)
    for name, version in CLUSTERS.items():
        client.create_cluster(name, version)
    for name in CLUSTERS:
        client.wait_ready(name)
    _write_work(root, client)
    _print_usage(client)


def _write_work(root: Path, client: LabClient) -> None:
    """A folder with stack files and a migration.yaml for these clusters.

    Those of an earlier lab, whose clusters and AWS are gone, are put aside; what its stacks thought there was is forgotten.
    """
    folder, aside = root / "work", root / "work.before"
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        print(f"the work folder of the lab before this one is now {aside}")
    shutil.rmtree(root / "pulumi", ignore_errors=True)
    (root / "pulumi").mkdir()
    project = Project.create(folder, client.environment())
    for name, version in CLUSTERS.items():
        project.add_cluster(name, version)
    project.set_sides(BLUE, GREEN)
    wanted = migration_file(client, BLUE, GREEN, POLICY, manifests.read(SHOP).objects)  # as the printed lines go
    (folder / "migration.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False))


def _wait(root: Path, server: subprocess.Popen[bytes], seconds: float = 120) -> LabClient:
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(LabError):
            return LabClient.of_root(root)
        time.sleep(0.1)
    last = (root / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise LabError(f"the lab in {root} did not start: {' '.join(last) or 'no reason told'}")


def down(seconds: float = 60) -> None:
    """Asks the running server to end, and returns when it is gone."""
    root = default_root()
    process = int(LabClient.of_root(root).lab()["pid"])
    began = start_time(process)
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while start_time(process) == began:
        if time.monotonic() > deadline:
            raise LabError(f"the lab in {root} (process {process}) has not ended after {seconds:.0f} s")
        time.sleep(0.1)
    print(f"the lab in {root} has ended")


def _print_usage(client: LabClient) -> None:
    print()
    for line in usage(client.lab(), os.environ.get("PATH", "")):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
