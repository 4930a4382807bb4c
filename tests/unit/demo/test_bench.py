"""The bench's arithmetic: turns, medians, the table; and that its objects are what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from lab.bench import clusters, copies, estate, preflight, ratios


def test_sides_take_turns_from_the_same_state() -> None:
    seen: list[str] = []

    def side(name: str, values: list[float]) -> float:
        seen.append(name)
        return values.pop(0)

    ours, peer = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    found = ratios.pairs(3, lambda: side("ours", ours), lambda: side("peer", peer), before=lambda: seen.append("reset"))
    assert found == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert seen == ["reset", "ours", "reset", "peer"] * 3


@pytest.mark.parametrize(("until", "done"), [(0.0, 1), (19.0, 1), (20.0, 2), (99.0, 3)])
def test_no_round_is_begun_that_would_end_too_late_but_one_is_always_made(until: float, done: int) -> None:
    clock = [0.0]

    def side() -> float:
        clock[0] += 5.0
        return 1.0

    found = ratios.pairs(3, side, side, until=until, now=lambda: clock[0])
    assert [len(values) for values in found] == [done, done]


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        pytest.param([30.0, 9.0, 10.0], (10.0, 5.0), id="medians of both, above 1 is better for us"),
        pytest.param(19.8, (19.8, 9.9), id="a quoted peer"),
        pytest.param(None, (None, None), id="no peer"),
    ],
)
def test_a_row_has_both_medians_with_their_ratio(peer: list[float] | float | None, told: tuple[float, float]) -> None:
    made = ratios.row("copy", [50.0, 1.0, 2.0], peer)
    assert (made.ours, made.peer, made.ratio) == (2.0, *told)


def test_the_table_has_a_line_for_each_row() -> None:
    rows = [ratios.row("copy", [2.0], [5.0]), ratios.row("lab up", [12.345])]
    assert ratios.table(rows).splitlines() == [
        "ratio     ours    peer",
        "2.50x   2.00 s  5.00 s  copy",
        "    -  12.35 s       -  lab up",
    ]


def test_the_objects_are_a_mix_that_runs_no_pod() -> None:
    made = list(ratios.objects())
    assert len(made) == 2000
    assert len({(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in made}) == 2000
    kinds = Counter(o["kind"] for o in made)
    assert set(kinds) == set(clusters.PLURALS)
    assert min(kinds.values()) >= 333
    assert {o["metadata"]["namespace"] for o in made} == set(ratios.namespaces())
    assert {o["spec"]["replicas"] for o in made if o["kind"] == "Deployment"} == {0}


def test_the_pipeline_strips_only_what_another_cluster_refuses() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "generation": 1, "labels": {"uid": "kept"}},
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}], "selector": {"app": "a"}},
    }
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [service]}, sort_keys=False)
    text = "\n".join(line for line in text.splitlines())
    done = subprocess.run(["sed", *copies.SED], input=text, capture_output=True, text=True, check=True)
    left = yaml.safe_load(done.stdout)["items"][0]
    expected = json.loads(json.dumps(service))
    for key in ("uid", "resourceVersion", "generation"):
        del expected["metadata"][key]
    for key in ("clusterIP", "clusterIPs"):
        del expected["spec"][key]
    assert left == expected


@pytest.mark.parametrize(
    ("revisions", "rested"),
    [
        pytest.param([7, 7], False, id="seen for too short"),
        pytest.param([7, 7, 7, 7], True, id="nobody writes"),
        pytest.param([7, 8, 9, 11], True, id="leases are renewed"),
        pytest.param([7, 7, 7, 12], False, id="a controller begins"),
        pytest.param([7, 100, 200, 201, 202, 203], True, id="it was busy before"),
        pytest.param([7, 100, 200, 201, 202], False, id="it was busy just now"),
    ],
)
def test_a_cluster_is_at_rest_when_next_to_nothing_was_written_for_some_seconds(revisions: list[int], rested: bool) -> None:
    assert ratios.at_rest([(100.0 + second, revision) for second, revision in enumerate(revisions)], 3.0, 4) is rested


def test_an_estate_is_a_mix_that_runs_no_pod() -> None:
    made = [estate.gateway(), *estate.objects(2_000)]
    assert len({(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in made}) == 2_001
    assert {o["kind"] for o in made} == set(estate.PATHS)
    assert {o["metadata"]["namespace"] for o in made} == set(estate.namespaces(2_000))
    assert {o["spec"]["replicas"] for o in made if o["kind"] in ("Deployment", "StatefulSet")} == {0}
    nodes = {str(o["spec"]["template"]["spec"]["nodeSelector"]) for o in made if o["kind"] == "DaemonSet"}
    assert nodes == {"{'estate': 'no-such-node'}"}


def test_the_processor_time_of_a_program_leaves_out_its_waiting() -> None:
    def seconds(code: str) -> float:
        return preflight.processor_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    busy = "import time\nwhile time.process_time() < 0.5: pass"
    assert seconds("import time; time.sleep(0.6)") < 0.5 <= seconds(busy)


def test_what_took_longer_than_it_may_is_named():
    good = [ratios.row(ratios.UP, [24.0]), ratios.row(f"{ratios.HELP} / kubectl --help", [0.2], 0.05)]
    slow = ratios.row(f"{ratios.ZERO}, at 20 %", [3.4], 19.8)
    assert ratios.over(good) == []
    late = ratios.row(f"{ratios.PREFLIGHT} / kubectl get", [4.2, 4.1, 4.3], 9.0)
    assert ratios.over([*good, late]) == ["processor time of preflight at 20,000 objects / kubectl get: 4.20 s, allowed 4 s"]
    assert ratios.over([*good, slow]) == ["first bad answer to zero, at 20 %: 3.40 s, allowed 3 s"]
