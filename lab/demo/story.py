"""The story of a whole blue/green upgrade, step by step, doing only what a person would.

`pulumi up`, `bluegreen ...`, an editor on a stack file, annotations on pods to make faults. What it changes it notes:
events, splits and operations become the summary and the page.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lab.client import Lab, LabClient, LabError
from lab.demo import faults, manifests, measure, workloads
from lab.demo import settle as settling
from lab.demo.manifests import full_name, is_a
from lab.demo.view import View
from lab.layout import CHECKOUT
from lab.project import EDGE, NETWORK, Operations, Project
from migration.views.report import Event

BLUE, GREEN = "plum", "fern"
VERSIONS = {BLUE: "1.34", GREEN: "1.36"}
WAIT_SECONDS = 300.0
FAULT_AT_BP = 2000
# Short dwells and few requests: a story, not an upgrade. The command's own defaults stay careful.
POLICY = {
    "steps_bp": [10, 2500, 10000],
    "dwell_seconds": 2,
    "min_requests": 1,
    "on_inconclusive": "advance",
    "inconclusive_limit_seconds": 2,
    "first_batch": 2,
    "batch": 10,
    "in_flight": 10,
    "analysis_interval_seconds": 1,
    "analysis_window_seconds": 5,
    "bake_seconds": 2,
}


def migration_file(
    client: LabClient, blue: str, green: str, policy: dict[str, Any], objects: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What migration.yaml says of two clusters of the lab.

    What has claims among `objects` begins empty on green: nothing in the lab reads what it keeps.
    """
    answers = {
        f"{each['kind']} {each['metadata'].get('namespace', 'default')}/{each['metadata']['name']}": "empty"
        for each in objects
        if each.get("kind") in ("StatefulSet", "Deployment") and _has_claims(each.get("spec") or {})
    }
    clusters = {}
    for name in (blue, green):
        described = client.cluster(name)
        clusters[name] = {
            "kubeconfig": described["kubeconfig"],
            "gateway": described["gateway"],
            "counters": {"url": f"{described['admin']}/stats/prometheus", "dialect": "envoy"},
        }
    metrics = {"url": client.lab()["services"]["metrics"], "dialect": "envoy"}
    document = {"version": 1, "clusters": clusters, "edge": f"stacks/Pulumi.{EDGE}.yaml", "metrics": metrics, "policy": policy}
    return document | ({"replicate": {"answers": answers}} if answers else {})


def _has_claims(spec: Mapping[str, Any]) -> bool:
    volumes = ((spec.get("template") or {}).get("spec") or {}).get("volumes") or ()
    return bool(spec.get("volumeClaimTemplates")) or any(each.get("persistentVolumeClaim") for each in volumes)


@dataclass
class Story:
    """One run in `folder` (.lab/demo), with a Pulumi project in `project`. `whole`: nothing may be left out."""

    lab: Lab
    project: Project
    work: workloads.Workloads
    view: View
    folder: Path
    rate: float
    whole: bool = True
    began: float = field(default_factory=time.time)
    events: list[Event] = field(default_factory=list)
    splits: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    entry: list[tuple[float, int]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    replicated: dict[str, Any] = field(default_factory=lambda: {"objects": 0, "seconds": 0.0})
    drift: int = -1

    @property
    def services(self) -> list[str]:
        return sorted(front.service for front in self.work.fronts)

    @property
    def records(self) -> Path:
        return self.folder / "requests.jsonl"

    def hosts(self, *services: str) -> list[str]:
        return [front.host for front in self.work.fronts if front.service in services]

    def now(self) -> float:
        return time.time() - self.began

    def mark(self, text: str, kind: str = "step", at: float | None = None) -> None:
        self.events.append(Event(self.now() if at is None else at, text, kind))
        (self.view.step if kind == "step" else self.view.say)(text)

    def went_back_at(self, service: str) -> float:
        """When the split of a service was last seen to fall to 0."""
        return max((at for at, share in self.splits.get(service, ())[1:] if share == 0), default=self.now())

    def leave_out(self, service: str, why: str) -> None:
        """Goes on without a service; LabError where none may be left out, or none is left."""
        if self.whole:
            raise LabError(f"{service}: {why}")
        self.view.say(f"left out: {service}: {why}")
        self.work = replace(
            self.work,
            fronts=tuple(front for front in self.work.fronts if front.service != service),
            unasked=(*self.work.unasked, (f"VirtualService {service}", why)),
        )
        if self._load_file.exists():
            changed = self._load_file.with_suffix(".new")  # put in place whole: the load reads it at any moment
            changed.write_text(json.dumps(json.loads(self._load_file.read_text()) | self._load_config()))
            changed.replace(self._load_file)
        if not self.work.fronts:
            raise LabError(nothing_left(self.work))

    # -- pulumi --------------------------------------------------------------------------------------------------------

    def up(self, stack: str, step: str) -> Operations:
        return self._note(step, "up", self.project.up(stack))

    def preview(self, stack: str, step: str) -> Operations:
        return self._note(step, "preview", self.project.preview(stack))

    def _note(self, step: str, action: str, done: Operations) -> Operations:
        counts = {key: getattr(done, key) for key in ("create", "update", "delete", "same")}
        counts["update"] += done.replace
        self.operations.append({"stack": done.stack, "step": step, **counts})
        summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
        self.view.say(f"pulumi {action} {done.stack}: {summary} ({done.seconds:.0f} s)")
        for change in done.changed if action == "preview" else ():
            self.view.say(f"  {change}")
        return done

    # -- bluegreen -------------------------------------------------------------------------------------------------------

    def bluegreen(self, *arguments: str, expect: Sequence[int] = (0,)) -> Any:
        """Runs the command as its user would, in the project's folder; returns its JSON document."""
        done = subprocess.run(
            [sys.executable, "-m", "migration", "--json", *arguments],
            cwd=self.project.folder,
            env=self.project.environment | {"PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ bluegreen {' '.join(arguments)}\n{done.stderr}{done.stdout}[exit {done.returncode}]\n\n")
        broken = done.returncode == 1 and not done.stdout.strip()  # no document: it did not come to its end
        if done.returncode not in expect or broken:
            reason = done.stderr.strip() or done.stdout.strip()
            raise LabError(f"`bluegreen {' '.join(arguments)}` ended with {done.returncode}: {reason}")
        self.view.say(f"bluegreen {' '.join(arguments)} -> {done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def live_splits(self) -> dict[str, int]:
        """Green's shares as the stack file has them."""
        try:
            return dict(self.project.settings(EDGE).get("services") or {})
        except (OSError, yaml.YAMLError, TypeError, KeyError):
            return {}  # between two writes; the next look finds it whole

    def watch(self, stop: threading.Event) -> None:
        """Notes every change of a split and of the entry, to be drawn beside who really served."""
        while not stop.wait(0.1):
            at = self.now()
            for service, share in self.live_splits().items():
                noted = self.splits.setdefault(service, [])
                if not noted or noted[-1][1] != share:
                    noted.append((at, share))

    # -- load and faults -------------------------------------------------------------------------------------------------

    @property
    def _load_file(self) -> Path:
        return self.folder / "load.json"

    def _load_config(self) -> dict[str, Any]:
        return {
            "dns": self.project.environment["BLUEGREEN_DNS"],
            "port": self.lab.client.cluster(BLUE)["gateway"]["port"],
            "rate": self.rate,
            "output": str(self.records),
            "targets": [{"name": each.name, "host": each.host, "path": each.path} for each in self.work.fronts],
        }

    @contextmanager
    def load(self, seconds: float) -> Iterator[None]:
        """Clients ask for every service from here to the end of the block."""
        self._load_file.write_text(json.dumps(self._load_config() | {"seconds": seconds}))
        with (self.folder / "load.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab.demo.load", str(self._load_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)

    def fault(self, service: str, **annotations: str | None) -> None:
        """Makes the pods behind a service on green misbehave, or (None) behave. Names are written with - for _."""
        keys = {key.replace("_", "-"): value for key, value in annotations.items()}
        faults.annotate(self.kubeconfig(GREEN), service, keys)

    def kubeconfig(self, cluster: str) -> Path:
        return Path(self.lab.client.cluster(cluster)["kubeconfig"])

    def until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Waits for something that users can see."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.05)

    def all_served_by(self, cluster: str, since: float) -> bool:
        """Whether each service was asked after `since` and only `cluster` answered in the last second."""
        records = [record for record in measure.read_tail(self.records) if record["t"] > max(since, time.time() - 1.5)]
        answered = {record["host"]: record.get("cluster") for record in records}
        return set(answered) == set(self.hosts(*self.services)) and set(answered.values()) == {cluster}


# -- the steps -----------------------------------------------------------------------------------------------------------


def build_blue(story: Story) -> None:
    story.mark(f"pulumi up: network, {BLUE} (Kubernetes {VERSIONS[BLUE]}), edge")
    story.project.add_cluster(BLUE, VERSIONS[BLUE])
    story.project.set_sides(BLUE)
    story.up(NETWORK, "blue")
    story.up(BLUE, "blue")
    refused = manifests.bring_up(story.kubeconfig(BLUE), story.work.objects)
    for what, why in (*story.work.held, *refused):
        story.view.say(f"not in the lab: {what}: {why}")
    for what, why in story.work.unasked:
        story.view.say(f"not asked under load: {what}: {why}")
    story.up(EDGE, "blue")


def settle(story: Story) -> None:
    """Load begins when every service answers once; one that cannot is left out, with its route, so that nothing moves it."""
    gateway = story.lab.client.cluster(BLUE)["gateway"]
    routes = {full_name(each): each for each in story.work.objects if is_a(each, "VirtualService", "networking.istio.io")}
    silent = settling.settle(story.kubeconfig(BLUE), f"{gateway['address']}:{gateway['port']}", story.work.fronts)
    manifests.take_away(story.kubeconfig(BLUE), [routes[service] for service in silent])
    for service, why in silent.items():
        story.leave_out(service, why)


def nothing_left(work: workloads.Workloads) -> str:
    """That there is no story, and why: each thing that could have been one, with its remedy."""
    reasons = [f"{what}: {why}" for what, why in (*work.unasked, *work.held)]
    shown = "".join(f"\n  {reason}" for reason in reasons[: manifests.MOST_TOLD])
    more = len(reasons) - manifests.MOST_TOLD
    return (
        "nothing is left that users could ask by HTTP: name manifests with a VirtualService on a gateway, or with a Service "
        f"with pods and an HTTP port{shown}" + (f"\n  and {more} more" if more > 0 else "")
    )


def build_green(story: Story) -> None:
    story.mark(f"pulumi up: {GREEN} (Kubernetes {VERSIONS[GREEN]}), beside it")
    story.project.add_cluster(GREEN, VERSIONS[GREEN])
    story.up(GREEN, "green")
    for stack in (NETWORK, BLUE, EDGE):
        story.preview(stack, "green")


def prepare(story: Story) -> None:
    story.mark("preflight, replicate, capacity, verify")
    story.project.set_sides(BLUE, GREEN)
    wanted = migration_file(story.lab.client, BLUE, GREEN, POLICY, story.work.objects)
    (story.project.folder / "migration.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False))
    story.bluegreen("preflight", expect=(0, 3))
    began = time.monotonic()
    failed, held = ((0,), (0,)) if story.whole else ((0, 1, 3), (0, 3))
    replicated = story.bluegreen("replicate", "--yes", expect=failed)
    story.replicated = {"objects": len(replicated["applied"]), "seconds": round(time.monotonic() - began, 2)}
    for each in (*replicated["failures"], *replicated["conflicts"]):
        story.view.say(f"not on {GREEN}: {each['object']}: {each['reason']}; {each['remedy']}")
    for floor in story.bluegreen("capacity", "--yes", expect=held)["failed"]:
        story.view.say(f"no floor on {GREEN}: {floor['object']} {floor['field']} {floor['after']}: {floor['problem']}")
    verdicts = story.bluegreen("verify", *story.services, expect=(0, 3))["verdicts"]
    for verdict in verdicts:
        if not verdict["ok"]:
            story.leave_out(verdict["service"], f"not good on {GREEN}: {'; '.join(verdict['problems'])}")


def shift(story: Story) -> None:
    bad = story.services[min(2, len(story.services) - 1)]
    story.mark("enroll, then shift: two batches, 0.1 % first" if len(story.services) > 1 else "enroll, then shift")
    story.bluegreen("enroll", *story.services, "--yes")
    story.up(EDGE, "enroll")
    since = time.time()
    breaker = threading.Thread(target=_break_when_moving, args=(story, bad), daemon=True)
    breaker.start()
    story.bluegreen("shift", "--yes", expect=(4,))
    breaker.join(WAIT_SECONDS)
    others = "; the others continued" if len(story.services) > 1 else ""
    story.mark(f"{bad} answered errors on {GREEN} and was rolled back{others}", "back", story.went_back_at(bad))
    story.faults.append({"services": [bad], "since": since, "until": time.time(), "reason": "half its answers were errors"})
    story.fault(bad, errors=None)
    story.mark(f"{bad} is fixed and retried")
    story.bluegreen("shift", "--retry", bad, "--yes")
    story.preview(EDGE, "shifted")


def _break_when_moving(story: Story, service: str) -> None:
    story.until(lambda: story.live_splits().get(service, 0) >= FAULT_AT_BP, f"{service} at {FAULT_AT_BP / 100:g} %")
    story.fault(service, errors="0.5")


def roll_back(story: Story) -> None:
    bad = story.services[0]
    story.mark(f"a fault at 100 %: {bad}")
    since = time.time()
    story.fault(bad, errors="0.5")
    story.until(lambda: any(_bad(story, bad, since)), f"users see errors of {bad}")
    story.mark("bluegreen rollback: everything back at once", "back")
    story.bluegreen("rollback")
    at = time.time()
    story.until(lambda: story.all_served_by(BLUE, at), f"everything served by {BLUE}")
    story.faults.append({"services": [bad], "since": since, "until": time.time(), "reason": "rollback by hand at 100 %"})
    story.fault(bad, errors=None)
    story.preview(EDGE, "rolled back")
    story.mark("forward again")
    story.bluegreen("shift", "--retry", "all", "--yes")


def _bad(story: Story, service: str, since: float) -> Iterator[bool]:
    hosts = story.hosts(service)
    return (r["t"] > since and r["host"] in hosts and measure.failed(r) for r in measure.read_tail(story.records))


def roll_back_by_pulumi(story: Story) -> None:
    story.mark("the stack file put back, and pulumi up", "back")
    story.project.configure(EDGE, {"services": dict.fromkeys(story.services, 0)})
    story.up(EDGE, "file put back")
    at = time.time()
    story.until(lambda: story.all_served_by(BLUE, at), f"everything served by {BLUE}")
    story.mark("forward again")
    story.bluegreen("shift", "--retry", "all", "--yes")


def enter(story: Story) -> None:
    story.mark(f"the entry moves to {GREEN} by Route 53 weights")
    story.entry.append((story.now(), 10000))
    story.bluegreen("entry", "shift", "--to", "100", "--yes")
    green = story.lab.client.cluster(GREEN)["gateway"]["address"]
    at = time.time()

    def all_enter() -> bool:
        last = [r for r in measure.read_tail(story.records) if r["t"] > max(at, time.time() - 1.5)]
        return bool(last) and all(record.get("address") == green for record in last)

    story.until(all_enter, f"everybody comes in by {GREEN}")
    story.drift = story.preview(EDGE, "entry moved").changes


STEPS: tuple[Callable[[Story], None], ...] = (build_green, prepare, shift, roll_back, roll_back_by_pulumi, enter)
