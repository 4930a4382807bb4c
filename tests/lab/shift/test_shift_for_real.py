"""The `bluegreen` command itself on two real clusters: moves, takes back, survives, refuses."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

from migration.clients.prometheus import PrometheusMetrics
from migration.model import WindowStats
from migration.settings.stack_file import read_route
from tests.lab.support.kit import eventually
from tests.lab.support.shifting import ERRORS, MENDED, STEPS, Project, wall


def test_a_bad_service_is_at_zero_within_two_samples(project: Project) -> None:
    bad = project.bad
    project.configure(services={bad: {"policy": {"dwell_seconds": 600}}}, steps_bp=[2000, 10_000])
    with project.load() as users:
        eventually(lambda: quiet(project, bad), "a store that has forgotten how the workload came up")
        began = time.monotonic()
        running = project.begin("shift", "--yes")
        project.await_step(bad, 2000)
        project.fern.annotate_pods(project.namespace, "bad", ERRORS)
        result, told = project.ended(running, 4)
        assert list(result["returned"]) == [bad], told
        assert result["arrived"] == [project.good], "the good one arrives"
        assert result["unverified"] == dict.fromkeys(project.services, "never verified")
        assert (project.split(bad), project.split(project.good)) == ((0, 0), (10_000, 10_000))
        (back,) = project.events("shift", bad, kind="outcome", after=0)
        seen = [reading for reading in project.eyes["plum"].readings if reading.errors(bad) and reading.at < wall(back)]
        errors = [reading.errors(bad) for reading in seen]
        # ten errors show it beyond doubt: the second reading with so many is at the latest taken while the write is under way
        assert sum(count >= 10 for count in errors) <= 2, errors
        (effect,) = project.events("effect", bad, after=0)
        assert effect["reason"] == "in effect"
        injected = users[bad].injected
        assert not [each.failed for each in users.values() if each.failed]
        stats = prometheus(project, bad, began)
        assert stats["green"].errors > 0
        assert stats["green"].errors < stats["green"].requests < stats["blue"].requests
        assert stats["blue"].errors == 0
        project.fern.annotate_pods(project.namespace, "bad", MENDED)
        assert users[bad].injected == injected  # nobody met the fault since
        project.configure(steps_bp=[2000, 10_000])
        assert sorted(project.run("shift", "--yes", "--retry", bad)["arrived"]) == sorted(project.services)
        assert project.run("rollback")["complete"], "both are rolled back"
        assert project.split(project.good) == project.split(bad) == (0, 0)
    assert not [each.failed for each in users.values() if each.failed]
    originals = {service: read_route(project.edge.parent / "edge.routes", service)["spec"] for service in project.services}
    project.run("unenroll", "--yes", *project.services)
    for cluster in (project.plum, project.fern):
        for service in project.services:
            assert project.spec(cluster, service) == originals[service]
            assert project.spec(cluster, f"{service}-bluegreen-peer") is None


def test_nothing_is_sent_over_a_hop_of_an_earlier_version_until_it_is_enrolled_again(project: Project) -> None:
    rule = "/apis/networking.istio.io/v1/namespaces/istio-system/destinationrules/bluegreen-peer"
    made = project.fern.api.get(rule)
    assert made is not None
    project.fern.api.delete(rule)
    _, told = project.ended(project.begin("shift", "--yes"), 3)
    assert "DestinationRule istio-system/bluegreen-peer" in told
    assert "bluegreen enroll" in told
    assert project.split(project.good) == project.split(project.bad) == (0, 0)
    assert project.run("enroll", "--yes", project.good)["updated"] == ["fern: DestinationRule istio-system/bluegreen-peer"]
    renewed = project.fern.api.get(rule)
    assert renewed is not None
    assert renewed["spec"] == made["spec"]


def ask_store(project: Project, service: str, seconds: int) -> dict[str, WindowStats | None]:
    """What the real store says of the last seconds, by side."""
    folder = project.edge.parent / "edge.routes"

    async def ask() -> dict[str, WindowStats | None]:
        url = project.lab.lab()["services"]["metrics"]
        store = PrometheusMetrics(url, "envoy", {"blue": "plum", "green": "fern"}, {service: read_route(folder, service)})
        try:
            return {side: await store.window(service, side, seconds) for side in ("blue", "green")}
        finally:
            await store.close()

    return asyncio.run(ask())


def quiet(project: Project, service: str) -> bool:
    """While a workload comes up, its gateway answers 503: five seconds of requests without any of these."""
    blue = ask_store(project, service, 5)["blue"]
    return blue is not None and blue.requests > 0 and blue.errors == 0


def prometheus(project: Project, service: str, began: float) -> dict[str, WindowStats]:
    """What the real store says of the time since `began`, when it has scraped it."""

    def both() -> dict[str, Any]:
        stats = ask_store(project, service, int(time.monotonic() - began))
        whole = all(each and each.latency_ms for each in stats.values()) and stats["green"] and stats["green"].errors
        return stats if whole else {}

    return eventually(both, f"numbers of {service} in the store")


def test_a_shift_killed_anywhere_continues_as_if_nothing_had_been(project: Project) -> None:
    good = project.good
    project.configure(metrics=False)  # the gateways' own counters judge: no step waits for a store's scrape
    with project.load() as users:
        running = project.begin("shift", "--yes")
        project.await_step(good, 500)
        project.run("pause")
        eventually(lambda: not open_intents(project), "nothing under way")
        before = project.snapshot()
        _, told = project.ended(project.begin("shift", "--yes"), 5)
        assert "locked by `bluegreen shift`" in told
        assert project.snapshot() == before, "a second one at once changes nothing"
        project.kill(running)
        project.run("resume")
        for kind, op, split in (("intent", "shift", 2000), ("outcome", "shift", 2000), ("intent", "shift", 10_000)):
            running = project.begin("shift", "--yes")
            eventually(lambda k=kind, o=op, s=split: project.events(o, good, kind=k, after=s), f"{kind} {split}", 120, 0.001)
            project.kill(running)
        running = project.begin("shift", "--yes")
        eventually(lambda: project.events("bake", good), "the bake's end", 120)
        project.kill(running)
        result = project.run("shift", "--yes")
        assert sorted(result["arrived"]) == sorted(project.services)
    assert not [each.failed for each in users.values() if each.failed]
    for service in project.services:
        assert project.split(service) == (10_000, 10_000)
        assert f"{service}: 10000" in project.edge.read_text()
        steps = [event["after"] for event in project.events("shift", service, kind="outcome") if event["after"]]
        assert list(dict.fromkeys(steps)) == STEPS
    assert not open_intents(project)
    project.run("rollback")


def open_intents(project: Project) -> set[str]:
    return {event["id"] for event in project.events(kind="intent")} - {event["of"] for event in project.events(kind="outcome")}


def test_without_its_metrics_store_a_shift_holds_until_it_is_back(project: Project) -> None:
    project.configure(steps_bp=[STEPS[0], 10_000])
    project.lab.program(None, "victoria-metrics", "killed")
    try:
        with project.load():
            running = project.begin("shift", "--yes")
            project.await_step(project.good, STEPS[0])
            eyes = project.eyes["plum"].readings
            count = len(eyes)
            eventually(lambda: len(eyes) >= count + 6, "six samples more")  # six dwells long
            assert {project.split(service) for service in project.services} == {(STEPS[0], STEPS[0])}
            assert project.events("hold", project.good)
            assert "metrics store" in project.events("hold", project.good)[-1]["reason"]
            project.lab.program(None, "victoria-metrics", "running")
            result, told = project.ended(running)
            assert sorted(result["arrived"]) == sorted(project.services)
            assert "holds: the metrics store" in told
    finally:
        project.lab.program(None, "victoria-metrics", "running")


def test_what_another_client_changes_is_frozen_with_its_name(project: Project) -> None:
    project.configure(metrics=False)
    with project.load():
        running = project.begin("shift", "--yes")
        project.await_step(project.good, 500)
        spec = project.spec(project.plum, project.good)
        spec["http"][0]["timeout"] = "7s"
        patch = {"spec": {"http": spec["http"]}}
        path = f"{project.path(project.good)}?fieldManager=a-person"
        project.plum.api.request("PATCH", path, patch, "application/merge-patch+json")
        result, told = project.ended(running, 3)
        assert "a-person" in result["frozen"][project.good], told
        assert result["arrived"] == [project.bad], told
        assert project.spec(project.plum, project.good)["http"][0]["timeout"] == "7s"

        project.run("rollback")
        assert project.split(project.good) == (0, 0)
        since = project.events()[-1]["seq"]
        running = project.begin("shift", "--yes", "--retry", "all")
        project.await_step(project.good, 500, since)
        changed = re.sub(rf"(\b{project.bad}: )\d+", r"\g<1>77", project.edge.read_text())
        project.edge.write_text(changed)
        result, told = project.ended(running, 3)
        assert list(result["frozen"]) == [project.bad], told
        assert f"{project.edge} was changed: bluegreen:services.{project.bad}" in result["frozen"][project.bad]
        assert result["arrived"] == [project.good]
        assert f"{project.bad}: 77" in project.edge.read_text()
        assert project.split(project.bad) == (500, 500)


def test_with_greens_api_server_dead_a_rollback_works_as_ever(project: Project) -> None:
    """The entry is at blue: green need not be told, and is when it is back."""
    project.configure(metrics=False)
    with project.load() as users:
        running = project.begin("shift", "--yes")
        project.await_step(project.good, 2000)
        with project.fern.killed("kube-apiserver"):
            rolled = project.run("rollback")
            assert rolled["complete"]
            assert rolled["in_effect"] == {"blue": "served", "green": "unreachable"}
            assert rolled["entry"] is None
            for service in project.services:
                assert project.probe(project.plum, service) == 0
            _, told = project.ended(running, 5)
            assert "took this migration over" in told
            served = {service: each.served["fern"] for service, each in users.items()}
            count = {service: each.served["plum"] for service, each in users.items()}
            eventually(lambda: all(users[s].served["plum"] >= count[s] + 50 for s in users), "requests after the way back")
            assert {service: each.served["fern"] for service, each in users.items()} == served
        assert sorted(project.run("shift", "--yes", "--retry", "all")["arrived"]) == sorted(project.services)
    assert not [each.failed for each in users.values() if each.failed]
    project.run("rollback")


def test_bad_input_is_refused_with_its_remedy_before_anything_changes(project: Project) -> None:
    """The command as people run it: one file wrong at a time, each command refuses before it does anything."""
    migration, edge = project.file.read_text(), project.edge.read_text()
    twice = json.loads(migration)
    twice["clusters"]["fern"]["kubeconfig"] = twice["clusters"]["plum"]["kubeconfig"]
    nowhere = json.loads(migration)
    nowhere["clusters"]["fern"]["context"] = "nowhere"
    dead = project.folder / "dead.kubeconfig"
    config = Path(project.fern.kubeconfig).read_text()
    dead.write_text(config.replace(project.fern.api.address, "127.0.0.1:9"))
    unreachable = json.loads(migration)
    unreachable["clusters"]["fern"]["kubeconfig"] = str(dead)
    cases: list[tuple[Path, str, int, list[str]]] = [
        (
            project.file,
            migration.replace('"dwell_seconds"', '"dwel_seconds"'),
            2,
            ["policy.dwel_seconds", "mean dwell_seconds"],
        ),
        (project.file, migration.replace("2000", "20000"), 2, ["policy.steps_bp[1]", "20000", "from 1 to 10000"]),
        (project.file, migration.replace("{", "{[", 1), 2, ["broken YAML", "fix"]),
        (project.file, json.dumps(twice), 2, ["clusters.fern", "same cluster as plum"]),
        (project.file, json.dumps(nowhere), 2, ["fern", "nowhere"]),
        (project.file, json.dumps(unreachable), 1, ["fern", "127.0.0.1:9", "dead.kubeconfig"]),
        (project.edge, edge.replace(f"{project.good}: 0", f"{project.good}: 10001"), 2, [project.good, "10001", "0 to 10000"]),
        (project.edge, edge.replace("fern, ", "").replace('"green": "fern"', '"green": "plum"'), 2, ["sides", "both plum"]),
        (project.edge, edge + "  : [", 2, ["broken YAML", "fix"]),
    ]
    before = project.snapshot()
    for file, text, code, parts in cases:
        good = file.read_text()
        assert text != good, parts
        file.write_text(text)
        try:
            for words in (["shift", "--yes"], ["enroll", "--yes"]):
                _, told = project.ended(project.begin(*words), code)
                lines = told.strip().splitlines()
                assert len(lines) == 2, told  # what, and what next
                assert lines[1].startswith("  next: ")
                for part in [*parts, str(file) if code == 2 else "fern"]:
                    assert part in told, (parts, told)
        finally:
            file.write_text(good)
    for words in (["shift", "--retry", "no/such", "--yes"], ["rollback", "no/such"], ["entry", "shift", "--to", "101"]):
        project.ended(project.begin(*words), 2)
    after = project.snapshot()
    ours = {".bluegreen/fence", ".bluegreen/lock"}  # a lock that was taken and given back
    assert {key: value for key, value in after.items() if key not in ours} == {k: v for k, v in before.items() if k not in ours}
