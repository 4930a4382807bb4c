"""What a plan shows of a change: each field from green's value to the new one, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from migration.objects.difference import Path, differences
from migration.objects.kinds import CONFIG_MAP, DEPLOYMENT, Object, Resource
from migration.replicate.compare import Change
from migration.replicate.values import field_changes, line, text, without_secrets

SECRET = Resource("", "v1", "Secret", "secrets", True)


def change(wanted: Object, live: Object | None, resource: Resource = CONFIG_MAP, gone: tuple[Path, ...] = ()) -> Change:
    meta = {"metadata": {"name": "x", "namespace": "shop"}}
    one, other = {**meta, **wanted}, {**meta, **live} if live is not None else None
    at = tuple(differences(one, other)) if other is not None else ()
    return Change("update", resource, one, live=other, at=(*at, *gone))


def lines(*given: Any, full: bool = False, **more: Any) -> list[str]:
    return [line(each, full=full) for each in field_changes(change(*given, **more))]


def container(**more: Any) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", **more}]}}}}


@pytest.mark.parametrize(
    ("wanted", "live", "said"),
    [
        ({"data": {"a": "2"}}, {"data": {"a": "1"}}, ['data.a: "1" -> "2"']),
        ({"spec": {"replicas": 3}}, {"spec": {"replicas": 2}}, ["spec.replicas: 2 -> 3"]),
        ({"spec": {"on": True}}, {"spec": {}}, ["spec.on: (none) -> true"]),
        ({"data": {"a.b/c": "y"}}, {"data": {"a.b/c": "x"}}, ["data[a.b/c]: x -> y"]),
        (
            {"spec": {"http": [{"retries": 3}, {"x": 1}]}},
            {"spec": {"http": [{"retries": 1}, {"x": 1}]}},
            ["spec.http[0].retries: 1 -> 3"],
        ),
        ({"spec": {"hosts": ["a", "b"]}}, {"spec": {"hosts": ["a"]}}, ['spec.hosts: ["a"] -> ["a","b"]']),
        ({"spec": {"size": 1}}, {"spec": {"size": 1, "default": 5}}, []),
        (
            container(image="shop:2"),
            container(image="shop:1"),
            ["spec.template.spec.containers[name=app].image: shop:1 -> shop:2"],
        ),
        (
            container(env=[{"name": "A", "value": "1"}]),
            container(env=[{"name": "B", "value": "1"}]),
            [
                'spec.template.spec.containers[name=app].env[name=A]: (none) -> {"name":"A","value":"1"}',
                'spec.template.spec.containers[name=app].env[name=B]: {"name":"B","value":"1"} -> (none)',
            ],
        ),
    ],
    ids=["string", "number", "added", "odd key", "by index", "whole list", "only green's", "by name", "items"],
)
def test_each_field_goes_from_greens_value_to_the_new_one(wanted: Object, live: Object, said: list[str]) -> None:
    assert lines(wanted, live) == said


def test_what_is_created_has_no_old_values() -> None:
    assert lines({"data": {"a": "1"}}, None) == []


def test_a_field_that_blue_took_away_is_shown_to_go() -> None:
    live = {"data": {"a": "1", "b": "2"}}
    assert lines({"data": {"a": "1"}}, live, gone=(("f:data", "f:b"),)) == ['data.b: "2" -> (none)']


def test_a_field_of_a_keyed_list_is_found_by_its_key() -> None:
    at = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"app"}', "f:image")
    made = change(container(image="shop:2"), container(image="shop:1"), DEPLOYMENT)
    found = field_changes(Change("update", DEPLOYMENT, made.obj, live=made.live, at=(at,)))
    assert [line(each) for each in found] == ["spec.template.spec.containers[name=app].image: shop:1 -> shop:2"]


# -- secrets -----------------------------------------------------------------------------------------------------------

CANARY = "correct-horse"


def test_of_a_secret_each_key_is_only_said_to_change_or_not() -> None:
    wanted, live = {"a": CANARY, "b": CANARY, "c": "same"}, {"a": "old-horse", "c": "same"}
    assert lines({"data": wanted}, {"data": live}, SECRET) == ["data.a: changed", "data.b: added", "data.c: unchanged"]
    assert lines({"data": wanted}, {}, SECRET) == ["data.a: added", "data.b: added", "data.c: added"]
    gone = lines({"data": {"c": "same"}}, {"data": live}, SECRET, gone=(("f:data", "f:a"),))
    assert gone == ["data.a: removed", "data.c: unchanged"]


def test_no_value_of_a_secrets_annotations_is_shown() -> None:
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    wanted = {"metadata": {"name": "x", "annotations": {applied: CANARY, "note": CANARY}}}
    live = {"metadata": {"name": "x", "annotations": {applied: "old-horse", "note": "old"}}}
    assert lines(wanted, live, SECRET) == ["metadata.annotations.note: changed"]
    assert lines(wanted, live) == [f"metadata.annotations.note: old -> {CANARY}"]


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"data": {"db_password": CANARY}}, {"data": {"db_password": "old-horse"}}),
        ({"data": {"API_TOKEN": CANARY}}, {"data": {}}),
        ({"data": {}}, {"data": {"apiKey": CANARY}}),
        ({"data": {"DB_DSN": CANARY}}, {"data": {"DB_DSN": "old-horse"}}),
        ({"data": {"dsn": CANARY}}, {"data": {"dsn": "old-horse"}}),
        ({"data": {"url": f"postgres://shop:{CANARY}@db/shop"}}, {"data": {"url": "postgres://shop:old-horse@db/shop"}}),
        ({"data": {"url": f"redis://:{CANARY}@cache"}}, {"data": {"url": "redis://cache"}}),
        (
            container(env=[{"name": "DB_PASSWORD", "value": CANARY}]),
            container(env=[{"name": "DB_PASSWORD", "value": "old-horse"}]),
        ),
        (container(env=[{"name": "DB_PASSWORD", "value": CANARY}]), container()),
        (container(args=[f"--db-password={CANARY}", "-v"]), container(args=["-v"])),
        ({"spec": {"auth": {"clientSecret": CANARY}}}, {"spec": {}}),
        ({"data": {"app.yaml": f"db:\n  user: a\n  password: {CANARY}\n"}}, {"data": {"app.yaml": "db: {}"}}),
        ({"data": {"app.yaml": f"password: '{CANARY} x'\n"}}, {"data": {"app.yaml": "password: old-horse\n"}}),
        ({"data": {"app.json": f'{{"user": "a", "db_password": "{CANARY}"}}'}}, {"data": {}}),
        ({"data": {"app.env": f"A=1\nDB_PASSWORD={CANARY}\n"}}, {"data": {"app.env": "A=1\n"}}),
        ({"data": {"tls": f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----\n"}}, {"data": {}}),
    ],
    ids=[
        "changed",
        "added",
        "removed",
        "a DSN",
        "dsn",
        "url",
        "url without user",
        "variable",
        "new variable",
        "argument",
        "within",
        "yaml",
        "quoted",
        "json",
        "env",
        "key",
    ],
)
def test_a_value_that_its_name_says_to_be_secret_is_not_shown(wanted: Object, live: Object) -> None:
    gone = (("f:data", "f:apiKey"),) if "apiKey" in (live.get("data") or {}) else ()
    for full in (False, True):
        said = lines(wanted, live, gone=gone, full=full)
        assert said, "it is said that something changes"
        assert not any(CANARY in each or "old-horse" in each for each in said)
    for each in field_changes(change(wanted, live, gone=gone)):
        assert CANARY not in repr((each.old, each.new)), "nor in JSON"


def test_where_nothing_but_what_is_hidden_differs_it_is_only_said_to_change() -> None:
    url = "postgres://shop:{}@db/shop"
    assert lines({"data": {"url": url.format(CANARY)}}, {"data": {"url": url.format("old")}}) == ["data.url: changed"]


@pytest.mark.parametrize(
    "value",
    [
        {"secretName": "login"},
        {"tokenExpirationSeconds": 3600},
        {"secretKeyRef": {"name": "login", "key": "password"}},
        {"automountServiceAccountToken": False},
        {"name": "DB_PASSWORD_FILE", "value": "/run/secrets/db"},
        {"image": "registry.example.com/token-service:2"},
        "https://example.com/a?b=c@d",
        "--token-file=/run/token",
        "registry.example.com/token:2",
    ],
    ids=["name", "number", "reference", "flag", "file", "image", "url", "argument", "tag"],
)
def test_what_only_sounds_like_a_secret_is_shown(value: Any) -> None:
    assert without_secrets(value) == value


# -- long values -------------------------------------------------------------------------------------------------------


OLD_LONG, NEW_LONG = "x" * 200 + "old" + "y" * 200, "x" * 200 + "new" + "y" * 200


def test_long_values_are_cut_around_where_they_differ() -> None:
    (short,) = lines({"data": {"a": NEW_LONG}}, {"data": {"a": OLD_LONG}})
    assert len(short) < 150
    assert "old" in short
    assert "new" in short


def test_long_values_are_whole_in_full() -> None:
    shown = lines({"data": {"a": NEW_LONG}}, {"data": {"a": OLD_LONG}}, full=True)
    assert shown == [f"data.a: {OLD_LONG} -> {NEW_LONG}"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *(("a b", "a b"), ("", '""'), ("1", '"1"'), (1, "1"), ("true", '"true"'), ("a\nb", '"a\\nb"'), (" a", '" a"')),
        *((None, "null"), ("(none)", '"(none)"')),
    ],
)
def test_a_string_has_quotes_where_it_would_be_taken_for_something_else(value: Any, said: str) -> None:
    assert text(value) == said
