"""`make bench`: speed as ratios, both sides measured in one run on one lab, in pairs (ours, peer, ours, peer, ...).

Prints a table, fails where a limit is not kept (ratios.LIMITS_SECONDS), and writes bench.json in the lab's root:
[{name, ours, peer, ratio, unit}]. `ours` and `peer` are medians; ratio is peer / ours, so above 1 is better for us. A peer
that is quoted and not measured here says so in its row's name; a row without a peer has null there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import yaml
from rich.console import Console

from lab import programs
from lab.bench.apply_stage import apply_stage
from lab.bench.copies import copies
from lab.bench.preflight import preflight
from lab.bench.ratios import HELP, UP, Row, over, pairs, row, table
from lab.bench.rollback import FAULT_BP, HOST, SERVICE, taken_back
from lab.bench.session import BIN, Bench, timed
from lab.client import Lab, LabError
from lab.demo import manifests, workloads
from lab.demo.faults import FaultError
from lab.demo.story import BLUE, GREEN, POLICY, VERSIONS, Story, migration_file
from lab.demo.usage import SHOP
from lab.demo.view import Tail, View
from lab.layout import default_root
from lab.project import ZONE, Project
from migration.errors import BluegreenError

RATE = 120.0


def bench() -> None:
    """Measures all, prints the table, writes bench.json in the lab's root; within a quarter of an hour. Leaves nothing."""
    console = Console(highlight=False)
    programs.ensure(console.print)
    root = default_root()
    folder = root / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    began = time.monotonic()
    rows: list[Row] = []
    try:
        with Lab.start(folder / "lab") as lab, (folder / "bench.log").open("a") as log:
            for name, version in VERSIONS.items():
                lab.client.create_cluster(name, version)
            for name in VERSIONS:
                lab.client.wait_ready(name)
            up = time.monotonic() - began
            story = _story(lab, folder, Console(file=log))
            session = Bench(lab, story, lambda text: console.print(text, soft_wrap=True), began, rows)
            session.add(row(UP, [up]))
            start_up(session)
            taken_back(session)
            copies(session)
            apply_stage(session)
            preflight(session)
    except (BluegreenError, FaultError, subprocess.TimeoutExpired) as problem:
        raise LabError(f"the bench stopped: {problem}") from problem
    finally:
        (root / "bench.json").write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")
    console.print(f"\nratio is peer / ours: above 1 is better for us\n{table(rows)}\n{root / 'bench.json'}", soft_wrap=True)
    if slow := over(rows):
        raise LabError(f"slower than it may be (is this machine busy?): {'; '.join(slow)}")


def _story(lab: Lab, folder: Path, console: Console) -> Story:
    """One service in front of both gateways, its name in DNS, and the files of a migration."""
    shop = manifests.read(SHOP / "catalog.yaml").objects
    work = workloads.prepare(shop, ZONE)
    project = Project.create(folder / "work", lab.client.environment(), hosts=[HOST])
    project.set_sides(BLUE, GREEN)
    policy = POLICY | {"steps_bp": [FAULT_BP, 10_000], "dwell_seconds": 20}
    wanted = migration_file(lab.client, BLUE, GREEN, policy)
    (project.folder / "migration.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False))
    view = View("bench", GREEN, Tail(folder / "requests.jsonl"), [(SERVICE, HOST)], dict, console)
    return Story(lab, project, work, view, folder, RATE)


def start_up(bench: Bench) -> None:
    def helps(program: str) -> Callable[[], float]:
        return lambda: timed(lambda: bench.run(str(BIN / program), "--help"))

    ours, peer = pairs(7, helps("bluegreen"), helps("kubectl"))
    bench.add(row(f"{HELP} / kubectl --help", ours, peer))
