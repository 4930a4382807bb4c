"""On real API servers: no finished work is on green, what a clock starts is suspended there as the table says, and what was
suspended on blue stays so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from migration.objects.classes import Answer
from migration.objects.kinds import name_of
from migration.ownership.known import with_group
from migration.ownership.runs import RUNS
from migration.ownership.switches import SWITCHES, UNSTOPPABLE, Switch, value_of
from migration.settings.choices import Choices, Selection
from migration.views.replicate import objects as planned_objects
from tests.lab.support.bare import Bare, on, replicate
from tests.lab.support.definitions import ScratchObjects, definition

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SPACE = "clockwork"
OURS = Choices(include=Selection(namespaces=(SPACE,)))
NATIVE = {("batch", "CronJob"), ("batch", "Job")}
CUSTOM = sorted({(group, "Thing" if kind == "*" else kind) for group, kind in {**RUNS, **UNSTOPPABLE, **SWITCHES}} - NATIVE)
SWITCHED = sorted(SWITCHES.keys() - NATIVE)
RUN = sorted((group, "Thing" if kind == "*" else kind) for group, kind in RUNS if (group, kind) not in SWITCHES)


def plural(kind: str) -> str:
    return f"{kind.lower()}s"


def custom(group: str, kind: str, name: str, value: Any = None) -> dict[str, Any]:
    """An object with a value at its switch."""
    spec = {"other": "kept", "job": {"jarURI": "a"}, "schedule": {"at": "night"}}
    obj: dict[str, Any] = {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": SPACE},
        "spec": spec,
    }
    if value is not None:
        at = obj
        *parents, last = SWITCHES[group, kind].path
        for step in parents:
            at = at.setdefault(step, {})
        at[last] = value
    return obj


def pod(name: str, policy: str) -> dict[str, Any]:
    spec = {"restartPolicy": policy, "containers": [{"name": "a", "image": "example.test/a:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SPACE}, "spec": spec}


def job(name: str, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "example.test/a:1"}]}}
    meta = {"name": name, "namespace": SPACE}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {**spec, "template": template}}


def cron(name: str, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"template": job("x")["spec"]["template"]}}
    meta = {"name": name, "namespace": SPACE}
    given = {"schedule": "0 3 1 1 *", "jobTemplate": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": given}


def with_status(plane: Bare, what: str, status: dict[str, Any]) -> None:
    plane.kubectl("patch", what, "-n", SPACE, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


@pytest.fixture
def clockwork(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """An object of each kind of the tables on blue; nothing of them stays."""
    made = ScratchObjects(pair, SPACE)
    made.define(*(definition(group, "v1", kind, plural(kind)) for group, kind in CUSTOM))
    held = [custom(group, kind, "one") for group, kind in sorted(UNSTOPPABLE)]
    on_blue = [custom(group, kind, "suspended", SWITCHES[group, kind].on) for group, kind in SWITCHED]
    made.write([custom(group, kind, "runs") for group, kind in SWITCHED] + on_blue + held)
    made.write([custom(group, kind, "ended") for group, kind in RUN])
    made.write([cron("runs"), cron("suspended", suspend=True), job("runs"), job("suspended", suspend=True), job("ended")])
    made.write([pod("serves", "Always"), pod("evicted", "Always"), pod("once", "Never")])
    blue = pair[0]
    with_status(blue, "pod/evicted", {"phase": "Failed", "reason": "Evicted"})
    blue.kubectl("wait", "--for=jsonpath={.status.active}=1", "job/ended", "-n", SPACE, "--timeout=60s")
    for each in on(blue, "pods", "-n", SPACE, "-l", "batch.kubernetes.io/job-name=ended")["items"]:
        with_status(blue, f"pod/{each['metadata']['name']}", {"phase": "Succeeded"})
    blue.kubectl("wait", "--for=condition=Complete", "job/ended", "-n", SPACE, "--timeout=60s")
    yield pair
    made.clear()


def everything(plane: Bare) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By group, kind and name: what is in the namespace."""
    kinds = ",".join([f"{plural(kind)}.{group}" for group, kind in CUSTOM] + ["cronjobs.batch", "jobs.batch", "pods"])
    found = on(plane, kinds, "-n", SPACE)["items"]
    return {(each["apiVersion"].rpartition("/")[0], each["kind"], each["metadata"]["name"]): each for each in found}


def test_no_work_runs_on_green_by_itself(
    clockwork: tuple[Bare, Bare],
) -> None:
    made, done, _ = replicate(clockwork, choices=OURS)
    assert (done.failures, done.conflicts, done.held) == ([], [], [])
    there = everything(clockwork[1])
    pods = {name for _, kind, name in there if kind == "Pod"}
    assert pods == {"serves"}
    wanted = {(*key, name) for key in SWITCHES for name in ("runs", "suspended")}
    assert {key for key in there if key[1] != "Pod"} == wanted
    for (group, kind, name), obj in there.items():
        if kind == "Pod":
            continue
        switch: Switch = SWITCHES[group, kind]
        assert value_of(obj, switch.path) == switch.on, (group, kind, name)
        before = switch.on if name == "suspended" else switch.off
        assert json.loads(obj["metadata"]["annotations"]["bluegreen.io/suspend"]) == before, (group, kind, name)
    asked = {name for name, _ in done.unanswered}
    assert asked == {f"{kind} {SPACE}/one" for _, kind in UNSTOPPABLE}
    told = {each.object: each for each in planned_objects(made)}
    assert {name_of(obj) for obj in everything(clockwork[0]).values()} <= set(told)
    for _, kind in RUN:
        assert told[f"{kind} {SPACE}/ended"].cls == "finished"
    assert told[f"Job {SPACE}/ended"].cls == told[f"Pod {SPACE}/once"].cls == "finished"
    assert replicate(clockwork, choices=OURS)[1].writes == 0

    # with the group: there are Schedules of several
    answers = {with_group(name_of(obj), obj): Answer.START for key, obj in there.items() if key[1] != "Pod"}
    _, done, _ = replicate(clockwork, choices=Choices(include=OURS.include, answers=answers))
    assert (done.failures, done.conflicts) == ([], [])
    for (group, kind, name), obj in everything(clockwork[1]).items():
        if kind == "Pod":
            continue
        switch = SWITCHES[group, kind]
        suspended = value_of(obj, switch.path) == switch.on
        assert suspended is (name == "suspended"), f"{group} {kind} {name}: started by the answer, but as it was on blue"
        assert "bluegreen.io/suspend" not in obj["metadata"].get("annotations", {})
