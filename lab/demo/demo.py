"""`make demo`: sets the lab up, lets the story run under load, and leaves a summary and a report."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import programs
from lab.client import Lab, LabError
from lab.demo import faults, manifests, measure, workloads
from lab.demo.faults import FaultError
from lab.demo.story import BLUE, GREEN, STEPS, Story, build_blue, nothing_left, settle
from lab.demo.usage import SHOP
from lab.demo.view import Tail, View
from lab.layout import default_root
from lab.project import ZONE, Project, ProjectError
from migration.views.report import Report, render

RATE = 210.0
MOST_SECONDS = 900.0


def demo(source: Path | None = None) -> int:
    """Runs the story on the shop or on the manifests of `source`. Exit code 0 when it ended as it should."""
    given = manifests.read(source or SHOP)
    work = workloads.prepare(given.objects, ZONE)
    work = replace(work, held=(*given.left_out, *work.held), notes=(*given.notes, *work.notes))
    if not work.fronts:
        raise manifests.WorkloadsError(f"WORKLOADS={source}: {nothing_left(work)}")
    console = Console(highlight=False)
    programs.ensure(console.print)
    root = default_root()
    folder = root / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(root / "pulumi", ignore_errors=True)
    folder.mkdir(parents=True)
    rows = sorted((front.service, front.host) for front in work.fronts)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.start(root))
        project = Project.create(folder / "work", lab.client.environment())
        view = View(f"{BLUE} → {GREEN}", GREEN, Tail(folder / "requests.jsonl"), rows, dict, console)
        story = Story(lab, project, work, view, folder, RATE, whole=source is None)
        view.splits = story.live_splits
        stack.enter_context(view)
        for note in work.notes:
            view.say(note)
        problem: Exception | None = None
        try:
            _run(story)
        except (LabError, ProjectError, FaultError) as error:
            problem = error
            view.say(f"stopped: {error}", "red")
        summary = _finish(story, folder)
    _print(console, summary, folder)
    if problem is not None:
        console.print(f"\nthe story did not end: {problem}\nsee {folder}/commands.log", markup=False, soft_wrap=True)
        return 1
    return 0 if summary["requests"]["failed_by_moving"] == 0 and summary["drift"] == 0 else 1


def _run(story: Story) -> None:
    stop = threading.Event()
    watcher = threading.Thread(target=story.watch, args=(stop,), daemon=True)
    watcher.start()
    try:
        build_blue(story)
        settle(story)
        with story.load(MOST_SECONDS):
            for step in STEPS:
                step(story)
    finally:
        stop.set()
        watcher.join()


def _finish(story: Story, folder: Path) -> dict[str, Any]:
    """Writes summary.json and report.html from what was recorded."""
    records = measure.read(story.records) if story.records.exists() else []
    seconds = time.time() - story.began
    rollbacks = []
    for fault in story.faults:
        took, bad = measure.taken_back(
            records, story.hosts(*fault["services"]), green=GREEN, since=fault["since"], until=fault["until"]
        )
        in_time = took is not None and took <= measure.ZERO_SECONDS
        outcome = {"reason": fault["reason"], "seconds_to_zero": took, "bad_responses": bad, "in_time": in_time}
        rollbacks += [{"service": service, **outcome} for service in fault["services"]]
    summary: dict[str, Any] = {
        "kubernetes": {"blue": _minor(story, BLUE), "green": _minor(story, GREEN)},
        "operations": story.operations,
        "replicated": story.replicated,
        "requests": measure.requests(records),
        "rollbacks": rollbacks,
        "splits": story.live_splits(),
        "entry": story.project.settings("edge").get("entry") or {},
        "drift": story.drift,
        "seconds": round(seconds, 1),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    span = int(seconds) + 1
    page = Report(
        blue=f"{BLUE} ({summary['kubernetes']['blue']})",
        green=f"{GREEN} ({summary['kubernetes']['green']})",
        seconds=seconds,
        services=[
            measure.series(
                records, service, story.hosts(service)[0], blue=BLUE, green=GREEN, start=story.began, seconds=span,
                splits=story.splits.get(service, ()),
            )
            for service in story.services
        ],
        events=story.events,
        summary=summary,
        entry=[(0.0, 0), *story.entry],
        entered_at_green=measure.entered(records, _gateway(story, GREEN), start=story.began, seconds=span),
        notes=[*story.work.notes, *(f"{what}: {why}" for what, why in (*story.work.held, *story.work.unasked))],
    )  # fmt: skip
    (folder / "report.html").write_text(render(page))
    return summary


def _minor(story: Story, cluster: str) -> str:
    """The minor that the API server itself says it speaks: 1.34, also where a newer program emulates it."""
    try:
        version = json.loads(faults.kubectl(story.kubeconfig(cluster), "get", "--raw", "/version"))
    except (LabError, FaultError):
        return "unknown"
    return f"{version.get('emulationMajor') or version['major']}.{version.get('emulationMinor') or version['minor']}"


def _gateway(story: Story, cluster: str) -> str:
    try:
        return str(story.lab.client.cluster(cluster)["gateway"]["address"])
    except LabError:
        return ""


def _print(console: Console, summary: dict[str, Any], folder: Path) -> None:
    requests = summary["requests"]
    console.print(
        f"\n{requests['total']:,} requests: {requests['failed_by_moving']} lost by moving, "
        f"{requests['failed'] - requests['failed_by_moving']} made to fail by faults"
    )
    for each in summary["rollbacks"]:
        took = "never" if each["seconds_to_zero"] is None else f"{each['seconds_to_zero']:.2f} s"
        if not each["in_time"]:
            took += f" (allowed: {measure.ZERO_SECONDS:g} s; is this machine busy?)"
        console.print(
            f"{each['service']}: {each['reason']}; first bad answer to zero in {took}, {each['bad_responses']} bad answers",
            soft_wrap=True,
        )
    console.print(f"drift in the last preview: {summary['drift']}; the whole story: {summary['seconds']:.0f} s")
    console.print(f"summary: {folder / 'summary.json'}\nreport:  {folder / 'report.html'}", soft_wrap=True)
