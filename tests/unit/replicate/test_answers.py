"""An answer is about one object: by its kind and name, with the group where blue has two of them."""

from __future__ import annotations

from typing import Any

import pytest

from migration.errors import ConfigError
from migration.model import Severity
from migration.objects.classes import Action
from migration.ownership import judge
from migration.replicate.plan import Plan
from migration.views.replicate import objects as planned_objects
from tests.fakes.judged import Green, findings, knowing, verdicts

OURS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "app", "namespace": "shop", "uid": "1"},
}
CLOUDS = {
    "apiVersion": "iam.aws.m.upbound.io/v1beta1",
    "kind": "Role",
    "metadata": {"name": "app", "namespace": "shop", "uid": "2", "annotations": {"crossplane.io/external-name": "app"}},
    "spec": {"forProvider": {}},
}
QUALIFIED = "Role.iam.aws.m.upbound.io shop/app"


def actions(answers: dict[str, str]) -> dict[str, Action]:
    known = knowing([OURS, CLOUDS], answers)
    items = list(judge.everything(known))
    judge.refuse_wrong_answers(known, items)
    return {item.resource.group: item.verdict.action for item in items}


def test_the_line_to_add_has_the_group_where_blue_has_two_objects_of_that_name() -> None:
    (found,) = [each for each in findings([OURS, CLOUDS]) if each.severity is Severity.BLOCKING]
    assert f"{QUALIFIED}: skip" in found.remedy
    (alone,) = [each for each in findings([CLOUDS]) if each.severity is Severity.BLOCKING]
    assert "Role shop/app: skip" in alone.remedy


def test_an_answer_with_its_group_is_about_that_object_alone() -> None:
    assert actions({QUALIFIED: "skip"}) == {"rbac.authorization.k8s.io": Action.COPY, "iam.aws.m.upbound.io": Action.LEAVE}
    assert verdicts([CLOUDS], {QUALIFIED: "start"})["Role shop/app"].action is Action.COPY, "also where there is no other"


def test_an_answer_that_means_two_objects_is_refused_with_both_names() -> None:
    with pytest.raises(ConfigError, match=r"means several .*Role.iam.aws.m.upbound.io shop/app and Role.rbac"):
        actions({"Role shop/app": "skip"})


# -- objects that went -------------------------------------------------------------------------------------------------


def worker(name: str, kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "m", "image": "example.test/app:1"}]}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    meta = {"name": name, "namespace": "shop", "uid": name}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": {"template": pod, **spec}}


@pytest.mark.parametrize(
    ("answered", "there"),
    [
        ("Deployment shop/mailer", worker("search")),
        ("Job shop/import-x7f2k", worker("import-9zq1b", "Job")),
    ],
    ids=["nothing like it is left", "another run of the same work"],
)
def test_an_answer_about_what_has_gone_from_blue_is_only_information(answered: str, there: dict[str, Any]) -> None:
    (found,) = [each for each in findings([there], {answered: "skip"}) if each.code == "BG508"]
    assert (found.severity, found.object) == (Severity.INFO, answered)


def test_an_answer_that_is_likely_meant_for_another_object_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"did you mean Deployment shop/mailer\?"):
        verdicts([worker("mailer")], {"Deployment shop/maler": "skip"})
    verdicts([worker("mailer")], {"Deployment shop/maler": "skip", "Deployment shop/mailer": "skip"})


def test_a_reason_is_said_once() -> None:
    green = Green([CLOUDS])
    plan: Plan = green.plan
    (told,) = [each for each in planned_objects(plan) if each.object == "Role shop/app"]
    assert told.reason.count("managed") <= 1
    assert ";" not in told.reason or len(set(told.reason.split("; "))) == len(told.reason.split("; "))
