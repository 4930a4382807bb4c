"""What a person may say of replication is read strictly, and a name that means nothing on blue is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from migration.errors import ConfigError
from migration.objects.classes import Answer, Class
from migration.ownership import judge, names
from migration.ownership.known import Known
from migration.settings.choices import NOTHING_SAID, Choices, Selection, selector_problem, selects
from tests.unit.replicate.selecting import blue, many, written

# -- selectors ----------------------------------------------------------------------------------------------------------

LABELS = {"app": "web", "tier": "front", "empty": "", "example.com/team": "a.b"}


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=other", False),
        ("app!=other", True),
        ("app!=web", False),
        ("gone!=web", True),
        ("app", True),
        ("gone", False),
        ("!gone", True),
        ("!app", False),
        ("! gone", True),
        ("app in (web,api)", True),
        ("app in (api)", False),
        ("app in ( web , api )", True),
        ("gone in (web)", False),
        ("app notin (web)", False),
        ("app notin (api)", True),
        ("gone notin (web)", True),
        ("app in (web),tier in (front, back),!gone", True),
        ("app in (web),tier notin (front)", False),
        ("app=web,tier=back", False),
        ("app=web, tier=front", True),
        ("empty=", True),
        ("empty in ()", True),
        ("app=", False),
        ("example.com/team=a.b", True),
        ("example.com/team,app", True),
    ],
)
def test_a_selector_means_what_kubectl_means(selector: str, meant: bool) -> None:
    assert selects(selector, LABELS) is meant


@pytest.mark.parametrize(
    "selector",
    [
        "app=web;tier=front",
        "app in web",
        "app in (web",
        "in (a)",
        "=web",
        "app=web,,b",
        "app>3",
        "!",
        "a b",
        "app=web,",
        ",a",
        "a=b c",
    ],
)
def test_a_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    assert selector_problem(selector)


# -- the file -----------------------------------------------------------------------------------------------------------


def test_every_choice_of_the_file_is_read(tmp_path: Path) -> None:
    text = """
  include: {namespaces: [shop, "team-*"], kinds: [Deployment], selector: "tier=front"}
  exclude: {namespaces: [scratch], kinds: [Job]}
  answers:
    Deployment platform/external-dns: hold
    PersistentVolume data-1: import
  istioRevision: {1-26-0: default}
"""
    found = written(tmp_path, text)
    assert found == Choices(
        Selection(("shop", "team-*"), ("Deployment",), "tier=front"),
        Selection(("scratch",), ("Job",)),
        {"Deployment platform/external-dns": Answer.HOLD, "PersistentVolume data-1": Answer.IMPORT},
        {"1-26-0": "default"},
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  exclud: {}", ":2: replicate.exclud: unknown key (did you mean exclude?)"),
        ("  include: {namespace: [a]}", "unknown key (did you mean namespaces?)"),
        ("  include: [shop]", "replicate.include: must be a mapping with keys namespaces, kinds, selector, got ['shop']"),
        ("  include: {namespaces: shop}", "replicate.include.namespaces: must be a list, got 'shop'"),
        ("  exclude: {kinds: [1]}", "replicate.exclude.kinds[0]: must be a string, got 1"),
        ("  include: {selector: 'a in b'}", "cannot be read from 'a in b' on; allowed: as kubectl's --selector"),
        ("  exclude: {selector: {a: b}}", "replicate.exclude.selector: must be a string, got a mapping"),
        ("  answers:\n    Deployment shop/a: holt", "| external | import, got 'holt' (did you mean hold?)"),
        ("  answers: {Deployment: hold}", "is 'Deployment'; allowed: KIND NAMESPACE/NAME"),
        ("  answers: {Deployment shop/a b: hold}", "allowed: KIND NAMESPACE/NAME"),
        ("  answers: {Deployment shop/a: true}", "must be start | hold | skip | empty | external | import, got true"),
        ("  answers: [a]", "replicate.answers: must be a mapping, got ['a']"),
        ("  istioRevision: {a: 1}", "replicate.istioRevision.a: must be a string, got 1"),
    ],
)
def test_what_is_wrong_is_refused_with_line_and_what_was_meant(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as problem:
        written(tmp_path, text)
    assert told in str(problem.value)
    assert str(problem.value).startswith(f"{tmp_path}/migration.yaml:")


# -- names that mean nothing on blue ------------------------------------------------------------------------------------

OBJECTS = many("""
{kind: Namespace, metadata: {name: shop, labels: {istio.io/rev: 1-26-0}}}
---
{kind: Namespace, metadata: {name: scratch}}
---
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [a], http: [{route: [{destination: {host: pages}}]}]}
---
{kind: Service, metadata: {name: pages, namespace: shop}, spec: {selector: {app: pages}}}
---
{kind: Deployment, metadata: {name: pages-v1, namespace: shop}, spec: {template: {metadata: {labels: {app: pages}},
  spec: {containers: [{name: a}]}}}}
---
{kind: Deployment, metadata: {name: mailer, namespace: shop}, spec: {template: {metadata: {labels: {app: mailer}},
  spec: {containers: [{name: a}]}}}}
---
{kind: CronJob, metadata: {name: nightly, namespace: shop}, spec: {}}
---
{kind: ConfigMap, metadata: {name: settings, namespace: shop}}
""")


def refused(said: Choices, *, problems: dict[str, str] | None = None, stale: tuple[str, ...] = ()) -> str:
    """The complaint; "" where there is none."""
    view = blue(OBJECTS, problems)
    if stale:
        object.__setattr__(view.discovery, "stale", stale)
    known = Known(view, choices=said)
    try:
        names.refuse_misspelt(known)
        judge.refuse_wrong_answers(known, judge.everything(known))
    except ConfigError as problem:
        return str(problem) if problem.remedy else "without a remedy"
    return ""


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("shopp", "shopp: no such namespace on cluster plum (did you mean shop?)"),
        ("web", "web: no such namespace on cluster plum (did you mean the service shop/web?)"),
        ("shop/wab", "shop/wab: no VirtualService of this name on cluster plum (did you mean shop/web?)"),
        ("shop/pages", "Service shop/pages is, and shop/web leads there"),
        ("shop/pages-v1", "Deployment shop/pages-v1 is, and shop/web leads there"),
        ("shop/mailer", "Deployment shop/mailer is, to which no VirtualService leads"),
        ("shop/", "shop/: no VirtualService of this name"),
    ],
)
def test_a_misspelt_namespace_or_service_is_refused_with_what_was_meant(asked: str, told: str) -> None:
    assert told in refused(Choices(only=("shop", asked)))


@pytest.mark.parametrize("asked", ["shop", "shop/web", "scratch"])
def test_namespaces_and_services_of_blue_are_accepted(asked: str) -> None:
    assert refused(Choices(only=(asked,))) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("include: {namespaces: [shop, scrach]}", "{file}:2: replicate.include.namespaces[1]: scrach: no such namespace"),
        (
            "exclude:\n    namespaces:\n    - scrach",
            "{file}:4: replicate.exclude.namespaces[0]: scrach: no such namespace on cluster plum (did you mean scratch?)",
        ),
        (
            "include: {kinds: [Deployment, Secrt]}",
            "{file}:2: replicate.include.kinds[1]: cluster plum serves no kind Secrt (did you mean Secret?)",
        ),
        ("exclude: {kinds: [cronjobs.apps]}", ":2: replicate.exclude.kinds[0]: cluster plum serves no kind cronjobs.apps"),
        ("include: {kinds: [Lease]}", "leases.coordination.k8s.io is never copied: leadership in one cluster"),
        ("include: {namespaces: ['tem-*']}", "{file}:2: replicate.include: means no object of blue"),
        ("include: {selector: 'nobody=has'}", "{file}:2: replicate.include: means no object of blue"),
        (
            "answers: {ConfigMap shop/setting: skip}",
            "{file}:2: replicate.answers.ConfigMap shop/setting: ConfigMap shop/setting is "
            "not on cluster plum (did you mean ConfigMap shop/settings?)",
        ),
        (
            "answers: {CronJob shop/nightly: empty}",
            "{file}:2: replicate.answers.CronJob shop/nightly: is 'empty'; allowed: hold | start | skip (suspended",
        ),
        ("answers: {ConfigMap shop/settings: start}", "is 'start'; allowed: skip (a plain object)"),
        (
            "istioRevision: {1-26-1: default}",
            "{file}:2: replicate.istioRevision.1-26-1: nothing on blue has revision 1-26-1 (did you mean 1-26-0?)",
        ),
    ],
)
def test_a_misspelt_name_in_the_file_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert told.replace("{file}", f"{tmp_path}/migration.yaml") in refused(written(tmp_path, f"  {text}"))


@pytest.mark.parametrize(
    "text",
    [
        "include: {namespaces: [shop], kinds: [Deployment, configmaps, cronjobs.batch, CronJob.batch, NAMESPACES]}",
        "exclude: {namespaces: ['tmp-*'], kinds: [Lease, Event]}",
        "answers: {CronJob shop/nightly: start, ConfigMap shop/settings: skip}",
        "istioRevision: {1-26-0: default, later: default}",
    ],
)
def test_right_names_are_accepted(tmp_path: Path, text: str) -> None:
    # Events are not served by this blue: an unknown kind would be refused
    assert refused(written(tmp_path, f"  {text.replace(', Event', '')}")) == ""


@pytest.mark.parametrize("asked", ["Deploymint", "deployments.batch"])
def test_a_misspelt_kind_of_the_command_line_is_refused(asked: str) -> None:
    assert refused(Choices(kinds=(asked,))).startswith(f"--kind {asked}: cluster plum serves no kind {asked}")
    assert (
        refused(Choices(kinds=("lease",)))
        == "--kind lease: leases.coordination.k8s.io is never copied: leadership in one cluster"
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Choices(only=("nowhere/web",)), "virtualservices.networking.istio.io"),
        (Choices(only=("nowhere",)), "namespaces"),
        (Choices(exclude=Selection(namespaces=("nowhere",))), "namespaces"),
        (Choices(include=Selection(selector="no=body")), "configmaps"),
        (Choices(answers={"ConfigMap shop/setting": Answer.SKIP}), "configmaps"),
    ],
)
def test_of_a_kind_that_could_not_be_read_no_name_is_refused(said: Choices, kind: str) -> None:
    assert refused(said)
    assert refused(said, problems={kind: "forbidden"}) == ""


def test_a_kind_may_be_of_an_api_that_does_not_answer_but_not_of_one_that_is_never_copied() -> None:
    said = Choices(exclude=Selection(kinds=("Widget",)))
    assert refused(said, stale=("metrics.k8s.io/v1beta1",))
    assert refused(said, stale=("example.com/v1",)) == ""


@pytest.mark.parametrize(
    ("only", "text"),
    [
        ("scratch", "exclude: {namespaces: [scratch]}"),
        ("scratch", "include: {namespaces: [shop]}"),
        ("shop/web", "exclude: {kinds: [VirtualService]}"),
        ("shop/web", "include: {namespaces: [scratch]}"),
    ],
)
def test_what_the_file_leaves_out_cannot_be_asked_for_on_the_command_line(tmp_path: Path, only: str, text: str) -> None:
    said = written(tmp_path, f"  {text}")
    told = refused(Choices(said.include, said.exclude, only=(only,), reader=said.reader))
    assert told.startswith(f"{tmp_path}/migration.yaml:2: replicate.")
    assert f"{only} is named on the command line" in told


def test_answers_about_what_is_not_asked_for_are_kept_for_when_it_is() -> None:
    answers = {"CronJob shop/nightly": Answer.START}
    assert refused(Choices(answers=answers, only=("scratch",))) == ""


def verdicts(said: Choices) -> dict[str, Any]:
    known = Known(blue(OBJECTS), choices=said)
    return {item.name: item.verdict for item in judge.everything(known)}


def test_without_a_choice_everything_is_asked_for() -> None:
    assert {found.cls for found in verdicts(NOTHING_SAID).values()} == {Class.PLAIN, Class.SCHEDULED}
