"""Nothing that has run on blue runs again on green, and nothing that a clock starts runs on both."""

from __future__ import annotations

from typing import Any

import pytest

from migration.model import Severity
from migration.objects.classes import Action, Answer, Class
from migration.ownership.runs import NO_RUNS, RUNS, ended
from migration.ownership.switches import SWITCHES, UNSTOPPABLE, clock_of, suspend, value_of
from migration.views.plan import plan_lines
from migration.views.replicate import objects as planned_objects
from tests.fakes.judged import Green, findings, one, verdicts


def run(group: str, kind: str, **rest: Any) -> dict[str, Any]:
    return one(f"{group}/v1", kind, spec=rest.pop("spec", {"a": 1}), **rest)


@pytest.mark.parametrize(("group", "kind"), sorted(RUNS))
def test_only_an_unfinished_run_of_the_table_may_be_started(group: str, kind: str) -> None:
    kind = "Thing" if kind == "*" else kind
    over = run(group, kind, status={"phase": "Succeeded"})
    found = verdicts([over])[f"{kind} shop/x"]
    assert (found.action, found.cls, found.required) == (Action.LEAVE, Class.FINISHED, False)
    green = Green([over])
    assert (green.names(), green.applied.ok) == (set(), True)
    going_on = run(group, kind, status={"phase": "Running"})
    assert verdicts([going_on])[f"{kind} shop/x"].action is Action.LEAVE
    if group != "longhorn.io":
        assert verdicts([going_on], {f"{kind} shop/x": "start"})[f"{kind} shop/x"].action is Action.COPY
        assert verdicts([over], {f"{kind} shop/x": "start"})[f"{kind} shop/x"].action is Action.LEAVE, "given while it ran"


@pytest.mark.parametrize(("group", "kind"), sorted(NO_RUNS))
def test_what_is_no_run_of_those_groups_is_not_taken_for_one(group: str, kind: str) -> None:
    assert verdicts([run(group, kind)])[f"{kind} shop/x"].cls is not Class.FINISHED


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Succeeded"},
        {"phase": "PartiallyFailed"},
        {"phase": "Error"},
        {"applicationState": {"state": "COMPLETED"}},
        {"jobStatus": "SUCCEEDED"},
        {"stage": "finished"},
        {"completionTime": "2026-01-01T00:00:00Z"},
        {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}]},
        {"conditions": [{"type": "Completed", "status": "True"}]},
        {"conditions": [{"type": "FailureTarget", "status": "True"}]},
    ],
)
def test_that_a_run_is_over_is_read_from_its_status(status: dict[str, Any]) -> None:
    assert ended({"status": status})


@pytest.mark.parametrize(
    "status",
    [
        {},
        None,
        "text",
        {"phase": "Running"},
        {"phase": ""},
        {"conditions": [{"type": "Succeeded", "status": "Unknown"}]},
        {"conditions": [{"type": "Complete", "status": "False"}]},
        {"conditions": [{"type": "Suspended", "status": "True"}]},
    ],
)
def test_that_a_run_is_unfinished_is_read_from_its_status(status: Any) -> None:
    assert not ended({"status": status})


POD = {"restartPolicy": "Always", "containers": [{"name": "a"}]}


@pytest.mark.parametrize(
    ("pod", "comes"),
    [
        pytest.param(one("v1", "Pod", spec=POD, status={"phase": "Running"}), True, id="running"),
        pytest.param(one("v1", "Pod", spec=POD, status={"phase": "Failed", "reason": "Evicted"}), False, id="evicted"),
        pytest.param(one("v1", "Pod", spec=POD, status={"phase": "Succeeded"}), False, id="ended"),
        pytest.param(one("v1", "Pod", spec={**POD, "restartPolicy": "Never"}, status={"phase": "Running"}), False, id="once"),
        pytest.param(one("v1", "Pod", spec={**POD, "restartPolicy": "OnFailure"}), False, id="until it succeeds"),
    ],
)
def test_a_bare_pod_comes_only_if_it_serves_though_pods_are_listed_by_their_metadata(pod: Any, comes: bool) -> None:
    green = Green([pod])
    assert (green.names() == {"Pod shop/x"}) is comes
    assert green.applied.ok
    told = {each.object: each for each in planned_objects(green.plan)}["Pod shop/x"]
    assert (told.cls == "finished") is not comes


def filled(group: str, kind: str, value: Any) -> dict[str, Any]:
    """An object of the table with a value at its switch; None: without the field."""
    path = SWITCHES[group, kind].path
    obj = run(group, kind, spec={"other": "kept", "job": {"jarURI": "x"}, "schedule": {"cron": "0 3 * * *"}})
    at = obj
    for step in path[:-1]:
        at = at.setdefault(step, {})
    if value is not None:
        at[path[-1]] = value
    return obj


@pytest.mark.parametrize(("group", "kind"), sorted(SWITCHES))
def test_each_kind_of_the_table_comes_suspended(group: str, kind: str) -> None:
    switch, name = SWITCHES[group, kind], f"{kind} shop/x"
    path = switch.path
    green = Green([filled(group, kind, None)])
    made = green.of(name)
    assert made is not None
    assert value_of(made, path) == switch.on
    kept = {True: "true", False: "false", None: "null"}.get(switch.off, f'"{switch.off}"')
    assert made["metadata"]["annotations"]["bluegreen.io/suspend"] == kept
    assert made["spec"]["other"] == "kept"
    assert green.applied.ok, "no answer is needed"
    assert green.again().writes == 0


@pytest.mark.parametrize(("group", "kind"), sorted(SWITCHES))
def test_each_kind_of_the_table_is_started_as_it_was_on_blue(group: str, kind: str) -> None:
    switch, name = SWITCHES[group, kind], f"{kind} shop/x"
    path = switch.path
    already = Green([filled(group, kind, switch.on)])
    assert value_of(already.of(name) or {}, path) == switch.on
    started = Green([filled(group, kind, switch.on)], {name: "start"})
    assert value_of(started.of(name) or {}, path) == switch.on, "suspended on blue stays suspended"
    free = Green([filled(group, kind, switch.off)], {name: "start"})
    assert value_of(free.of(name) or {}, path) == switch.off
    assert "bluegreen.io/suspend" not in (free.of(name) or {})["metadata"].get("annotations", {})
    assert Green([filled(group, kind, None)], {name: "skip"}).names() == set()


@pytest.mark.parametrize(("group", "kind"), sorted(UNSTOPPABLE))
def test_what_cannot_be_suspended_waits_for_an_answer(group: str, kind: str) -> None:
    obj, name = run(group, kind), f"{kind} shop/x"
    (found,) = findings([obj])
    assert (found.code, found.severity) == ("BG502", Severity.BLOCKING)
    assert found.remedy.endswith(f"{name}: skip  # or start")
    green = Green([obj])
    assert (green.names(), green.applied.ok) == (set(), False)
    assert Green([obj], {name: "start"}).names() == {name}


def test_a_form_that_runs_nothing_by_itself_comes_as_it_is() -> None:
    session = run("flink.apache.org", "FlinkDeployment", spec={"image": "flink"})
    assert verdicts([session])["FlinkDeployment shop/x"].action is Action.COPY


def test_a_backup_of_the_table_without_a_schedule_is_a_run() -> None:
    once = run("k8s.mariadb.com", "Backup")
    assert verdicts([once])["Backup shop/x"].cls is Class.FINISHED


def test_a_backup_of_the_table_with_a_schedule_is_suspended() -> None:
    nightly = run("k8s.mariadb.com", "Backup", spec={"schedule": {"cron": "0 3 * * *"}})
    assert verdicts([nightly])["Backup shop/x"].action is Action.SUSPEND


@pytest.mark.parametrize(
    ("spec", "clock"),
    [
        ({"schedule": "0 3 * * *"}, "0 3 * * *"),
        ({"schedule": "@daily"}, "@daily"),
        ({"schedule": "@every 1h30m"}, "@every 1h30m"),
        ({"cron": "*/5 1-5 * JAN,feb MON-FRI"}, "*/5 1-5 * JAN,feb MON-FRI"),
        ({"schedule": "TZ=Europe/Berlin 0 3 * * *"}, "TZ=Europe/Berlin 0 3 * * *"),
        ({"schedules": ["0 0 3 * * *"]}, "0 0 3 * * *"),
        ({"trigger": {"cron": "0 3 * * 7"}}, "0 3 * * 7"),
        ({"schedule": "when it is quiet at night"}, None),
        ({"schedule": {"window": "night"}}, None),
        ({"schedule": 5}, None),
        ({}, None),
    ],
)
def test_the_clock_of_a_kind_that_is_in_no_table_is_read(spec: Any, clock: str | None) -> None:
    assert clock_of({"apiVersion": "example.org/v1", "kind": "Report", "spec": spec}) == clock


@pytest.mark.parametrize("field", ["suspend", "suspended", "paused", "disabled"])
def test_a_kind_in_no_table_with_a_clock_is_suspended_by_the_field_that_it_has(field: str) -> None:
    shown = run("reports.example.org", "Report", spec={"schedule": "0 3 * * *", field: False})
    made = Green([shown]).of("Report shop/x")
    assert made is not None
    assert made["spec"][field] is True


def test_a_kind_in_no_table_with_a_clock_waits_where_it_has_no_field_to_suspend_it() -> None:
    bare = run("reports.example.org", "Report", spec={"schedule": "0 3 * * *"})
    found = verdicts([bare])["Report shop/x"]
    assert (found.action, found.required, found.answers) == (Action.HOLD, True, (Answer.SKIP, Answer.START))
    assert "0 3 * * *" in found.reason


def test_suspending_returns_what_to_restore() -> None:
    schedule = run("velero.io", "Schedule", spec={"paused": False})
    assert suspend(schedule) is False
    assert schedule["spec"] == {"paused": True}
    place = run("velero.io", "BackupStorageLocation", spec={"provider": "aws"})
    assert suspend(place) == "ReadWrite"
    assert place["spec"] == {"provider": "aws", "accessMode": "ReadOnly"}
    job = run("keda.sh", "ScaledJob")
    assert suspend(job) is None
    assert job["metadata"]["annotations"] == {"autoscaling.keda.sh/paused": "true"}


@pytest.mark.parametrize("over", ["Complete", "Failed", "SuccessCriteriaMet"])
def test_a_job_comes_only_if_it_has_not_ended(over: str) -> None:
    done = one("batch/v1", "Job", "a", spec={}, status={"conditions": [{"type": over, "status": "True"}]})
    runs = one("batch/v1", "Job", "b", spec={}, status={"active": 1})
    waits = one(
        "batch/v1", "Job", "c", spec={"suspend": True}, status={"conditions": [{"type": "Suspended", "status": "True"}]}
    )
    green = Green([done, runs, waits])
    assert green.names() == {"Job shop/b", "Job shop/c"}
    assert all(obj["spec"]["suspend"] for obj in green.server.objects.values())
    assert green.applied.ok
    answers = {"Job shop/a": "start", "Job shop/b": "start", "Job shop/c": "start"}
    started = Green([done, runs, waits], answers)
    assert started.names() == {"Job shop/b", "Job shop/c"}
    assert "suspend" not in (started.of("Job shop/b") or {})["spec"]
    assert (started.of("Job shop/c") or {})["spec"]["suspend"] is True


# -- kinds that are in no table ----------------------------------------------------------------------------------------

END = "2024-05-01T03:00:00Z"


def definition(group: str, kind: str, status: bool) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}} if status else {}}
    spec = {"group": group, "names": {"kind": kind, "plural": f"{kind.lower()}s"}, "versions": [version]}
    return one("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{kind.lower()}s.{group}", None, spec=spec)


COMPLETE = {"type": "Complete", "status": "True"}
UP = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("DbMigration", {"phase": "Succeeded", "completionTime": END, "conditions": [COMPLETE]}),
        ("DbMigration", {"phase": "Failed"}),
        ("BackupRequest", {"state": "Completed"}),
        ("BackupRequest", {"completedAt": END}),
        ("SchemaUpgrade", {"conditions": [{"type": "Succeeded", "status": "True"}]}),
        ("OpsRequest", {"phase": "Succeed"}),
        ("AnsibleJob", {"conditions": [UP], "jobResult": {"status": "successful", "finished": True}}),
        ("Restore", {"restoreCompletionTs": END}),
        ("Provisioning", {"phase": "Succeeded", "finishedAt": END}),
        ("Provisioning", {"state": "Failed", "endTime": END}),
        ("Provisioning", {"conditions": [COMPLETE], "completionTime": END}),
    ],
)
def test_a_custom_run_in_no_table_that_has_ended_is_not_run_again(kind: str, status: dict[str, Any]) -> None:
    name, done = f"{kind} shop/x", run("acme.corp.io", kind, status=status)
    green = Green([definition("acme.corp.io", kind, True), done])
    assert name not in green.names()
    assert green.applied.ok
    assert any("has ended" in line for line in plan_lines(green.plan))
    assert verdicts([done])[name].cls is Class.FINISHED
    assert verdicts([done], {name: "start"})[name].action is Action.COPY, "a person may want it again"
    kept = Green([definition("acme.corp.io", kind, False), done])
    assert (kept.of(name) or {})["status"] == status, "what it has done comes along with it"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("DbMigration", {"phase": "Running"}),
        ("Provisioning", {"phase": "Completed", "observedGeneration": 1}),
        ("Provisioning", {"completionTime": END}),
        ("Provisioning", {"conditions": [COMPLETE]}),
        ("Provisioning", {"completed": True}),
        ("Cluster", {"phase": "Succeeded", "completionTime": END, "conditions": [UP]}),
    ],
)
def test_where_it_may_have_ended_or_still_run_a_person_is_asked(kind: str, status: dict[str, Any]) -> None:
    found = verdicts([run("acme.corp.io", kind, status=status)])[f"{kind} shop/x"]
    assert (found.action, found.required, found.answers) == (Action.HOLD, True, (Answer.SKIP, Answer.START))
    (finding,) = findings([run("acme.corp.io", kind, status=status)])
    assert (finding.code, finding.severity) == ("BG502", Severity.BLOCKING)
    assert finding.remedy.endswith(f"{kind} shop/x: skip  # or start")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"phase": "Failed"}, "phase: Failed"),
        ({"conditions": [{"type": "Succeeded", "status": "True"}]}, "condition Succeeded"),
    ],
)
def test_what_only_succeeded_or_failed_comes_with_a_note(status: dict[str, Any], said: str) -> None:
    green = Green([run("acme.corp.io", "Provisioning", status=status)])
    assert green.names() == {"Provisioning shop/x"}
    assert green.applied.ok
    assert any(said in line for line in plan_lines(green.plan))


@pytest.mark.parametrize(
    ("group", "kind", "status"),
    [
        ("acme.corp.io", "Cluster", {"phase": "Succeeded"}),
        ("acme.corp.io", "Cluster", {"completedAt": END}),
        ("acme.corp.io", "Landscape", {"phase": "Completed", "conditions": [UP]}),
        ("acme.corp.io", "Landscape", {"state": "Succeeded", "endpoint": "a.example"}),
        ("acme.corp.io", "Landscape", {"phase": "Active", "lastOperation": {"state": "Succeeded", "completionTime": END}}),
        ("acme.corp.io", "Landscape", {"endTime": "2099-01-01T00:00:00Z"}),
        ("acme.corp.io", "AccessRequest", {"phase": "Granted", "endTime": "2099-01-01T00:00:00Z"}),
        ("acme.corp.io", "NightlyBackup", {"phase": "Active", "lastBackup": {"phase": "Completed"}}),
        ("helm.fluxcd.io", "HelmRelease", {"phase": "Succeeded"}),
        ("operators.coreos.com", "ClusterServiceVersion", {"phase": "Succeeded"}),
        ("grafana.integreatly.org", "Grafana", {"stage": "complete", "stageStatus": "success"}),
        ("gateway.networking.k8s.io", "HTTPRoute", {"phase": "Completed"}),
        ("serving.knative.dev", "Service", {"conditions": [{"type": "Succeeded", "status": "True"}]}),
    ],
)
def test_what_is_there_to_stay_is_neither_left_out_nor_asked_about(group: str, kind: str, status: dict[str, Any]) -> None:
    found = verdicts([run(group, kind, status=status)])[f"{kind} shop/x"]
    assert (found.action, found.notes) == (Action.COPY, ())
