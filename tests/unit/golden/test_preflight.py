"""What `preflight` prints: findings of each severity and status, worst first, each with what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migration.objects import kinds
from tests.fakes.golden import same
from tests.fakes.project import Project
from tests.unit.golden.things import (
    CRON_JOB,
    SECRET,
    WIDGET,
    both,
    deployment,
    endpoints,
    namespace,
    public,
    put,
    serve,
    service,
    thing,
)

JOB = {"template": {"spec": {"containers": [{"name": "c", "image": "c"}]}}}


def good(project: Project) -> None:
    """Both clusters have all that the routes need."""
    serve(project)
    both(project, namespace(), namespace("istio-system"), public())
    pods = thing(kinds.POD, "gateway-1", "istio-system", metadata={"labels": {"istio": "ingressgateway"}})
    both(project, {**pods, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    room = {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}
    both(project, thing(kinds.NODE, "n1", None, status=room))
    for name in ("cart", "pay", "search"):
        both(project, deployment(name), service(name), endpoints(name))


def findings(project: Project) -> None:
    good(project)
    serve(project, only_blue=(WIDGET,))
    put(
        project,
        "plum",
        deployment("pay", 1),
        thing(CRON_JOB, "nightly", spec={"schedule": "0 3 * * *", "jobTemplate": {"spec": JOB}}),
    )
    put(project, "plum", thing(WIDGET, "w", spec={}))
    put(project, "plum", deployment("dns", image="registry.k8s.io/external-dns/external-dns:v0.15.0"))
    budget = {"minAvailable": 2, "selector": {"matchLabels": {"app": "cart"}}}
    put(
        project,
        "plum",
        thing(
            kinds.PDB,
            "cart",
            spec=budget,
            status={"disruptionsAllowed": 0, "expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 2},
        ),
    )
    project.closed = {("plum", SECRET.kind)}
    project.configure("ignore: [BG502]\n")


CASES: dict[str, Callable[[Project], None]] = {"nothing": good, "findings": findings}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["txt", "json"])
def test_what_is_found(project: Project, case: str, form: str) -> None:
    CASES[case](project)
    same(f"preflight-{case}.{form}", project.ran(*(["--json"] if form == "json" else []), "preflight"), project)


@pytest.mark.parametrize("form", ["txt", "json"])
def test_without_a_file(project: Project, form: str) -> None:
    project.file.unlink()
    same(f"preflight-no-file.{form}", project.ran(*(["--json"] if form == "json" else []), "preflight"), project)
