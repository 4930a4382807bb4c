"""The schema for editors and the reader mean the same: what one takes the other takes, and what the schema refuses the
reader refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from migration.cli.main import cli
from migration.codes import DOCS
from migration.errors import ConfigError
from migration.objects.classes import Answer
from migration.settings.migration_file import KEYS, load
from migration.settings.policy import COMMON, Policy
from migration.settings.schema import schema
from migration.settings.yaml_reader import read_yaml

ROOT = Path(__file__).parents[3]
WRITTEN = ROOT / "docs/reference/migration.schema.json"
SCHEMA = schema()
CHECK = Draft202012Validator(SCHEMA)
GOOD: dict[str, Any] = {
    "version": 1,
    "clusters": {
        "plum": {"kubeconfig": "a", "gateway": {"address": "10.0.0.1"}},
        "fern": {"kubeconfig": "b", "gateway": {"address": "10.0.0.2"}},
    },
    "edge": "stacks/Pulumi.edge.yaml",
    "metrics": {"url": "http://metrics.test"},
}
COUNTED = {**GOOD["clusters"]["plum"], "counters": {"urls": ["http://a", "http://b"], "dialect": "envoy"}}


def with_plum(**more: Any) -> dict[str, Any]:
    return {"clusters": {**GOOD["clusters"], "plum": {**GOOD["clusters"]["plum"], **more}}}


def read(folder: Path, document: Any) -> str:
    """The reader's complaint; "" where it has none."""
    path = folder / "migration.yaml"
    path.write_text(json.dumps(document, ensure_ascii=False))
    try:
        load(path)
    except ConfigError as problem:
        return str(problem)
    return ""


def test_the_schema_in_docs_is_the_one_that_the_command_prints() -> None:
    ran = CliRunner().invoke(cli, ["schema"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout) == SCHEMA
    assert WRITTEN.read_text() == ran.stdout, "bluegreen schema > docs/reference/migration.schema.json"


def test_it_is_a_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def objects(there: Any, under: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping of the schema, by the keys that lead to it as config.KEYS names them."""
    if "anyOf" in there:
        there = there["anyOf"][1]
    if "properties" in there:
        yield under, there
        for name, inner in there["properties"].items():
            yield from objects(inner, f"{under}.{name}".lstrip("."))
    elif isinstance(inner := there.get("additionalProperties"), dict):
        yield from objects(inner, f"{under}.{'NAME' if under == 'clusters' else 'SERVICE'}")


def test_its_keys_are_exactly_those_of_the_reader() -> None:
    found = {under: tuple(there["properties"]) for under, there in objects(SCHEMA)}
    policy = tuple(Policy.__dataclass_fields__)
    own = tuple(name for name in policy if name not in COMMON)
    assert found == {**KEYS, "policy": policy, "services.SERVICE.policy": own}
    assert [under for under, there in objects(SCHEMA) if there["additionalProperties"] is not False] == []


def test_every_key_is_described() -> None:
    bare = [
        f"{under}.{name}"
        for under, there in objects(SCHEMA)
        for name, inner in there["properties"].items()
        if not inner.get("description")
    ]
    assert bare == []


def test_a_description_has_the_unit_and_the_range_of_a_number() -> None:
    told = SCHEMA["properties"]["policy"]["properties"]
    assert told["latency_limit_ms"]["description"].endswith("1 to 3600000 milliseconds")
    assert (told["latency_limit_ms"]["minimum"], told["latency_limit_ms"]["default"]) == (1, None)
    assert told["dwell_seconds"]["default"] == 300


def test_codes_and_answers_are_those_of_the_program() -> None:
    replicate = SCHEMA["properties"]["replicate"]["properties"]
    assert replicate["answers"]["additionalProperties"]["enum"] == [each.value for each in Answer]
    waivers = Draft202012Validator(SCHEMA["properties"]["ignore"]["items"])
    assert all(waivers.is_valid(code) and waivers.is_valid(f"{code}:Deployment a/b") for code in DOCS)
    assert not waivers.is_valid("BG999")


EXAMPLES = [
    document
    for page in ("README.md", "docs/reference/configuration.md")
    for block in (ROOT / page).read_text().split("```yaml\n")[1:]
    if "clusters" in (document := yaml.safe_load(block.partition("```")[0]))
]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="the least"),
        pytest.param({"version": 1.0}, id="1.0 is 1"),
        pytest.param(
            dict.fromkeys(("policy", "services", "groups", "singletons", "replicate", "windows", "ignore")), id="nulls"
        ),
        pytest.param({"services": {"a/b": None}}, id="a service with nothing after it"),
        pytest.param({"services": {"a/b": {"policy": None, "check": None, "depends_on": None}}}, id="nulls of a service"),
        pytest.param({"services": {"a/b": {"policy": {"latency_limit_ms": None}}}}, id="no limit for one service"),
        pytest.param({"services": {"a/b": {"check": {"path": "/x", "host": None, "status": None}}}}, id="nulls of a check"),
        pytest.param({"replicate": {"include": {"selector": None, "kinds": None}, "answers": None}}, id="nulls of replicate"),
        pytest.param({"replicate": {"answers": {"Deployment a/b": "hold", "Namespace a": "skip"}}}, id="answers"),
        pytest.param({"policy": {"steps_bp": [10_000], "windows_seconds": [0.1]}}, id="one step, one window"),
        pytest.param({"policy": {"dwell_seconds": 0, "bake_seconds": 0, "error_rate_limit": 0}}, id="zeros that work"),
        pytest.param({"policy": {"batch": 5.0}}, id="a whole number with a point"),
        pytest.param({"policy": {"latency_factor": 1, "latency_limit_ms": 250}}, id="latency"),
        pytest.param({"windows": ["Mon-Fri 09:00-17:00 Europe/Berlin", "tues,Wednesday 22:00-05:00"]}, id="windows"),
        pytest.param({"ignore": ["BG301", "BG301:Deployment a/b"]}, id="waivers"),
        pytest.param({"groups": [["a/b", "c/d"], []]}, id="groups"),
        pytest.param(with_plum(counters=COUNTED["counters"]), id="counters of several pods"),
        pytest.param(with_plum(counters=None, context=None), id="nulls of a cluster"),
    ],
)
def test_what_is_good_is_good_for_both(tmp_path: Path, more: dict[str, Any]) -> None:
    assert [error.message for error in CHECK.iter_errors(GOOD | more)] == []
    assert read(tmp_path, GOOD | more) == ""


def test_the_examples_of_the_docs_are_good_for_both(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 2
    for each in EXAMPLES:
        assert [error.message for error in CHECK.iter_errors(each)] == []
        assert read(tmp_path, each) == ""
        assert each["version"] == 1


NUMBERS = [
    (name, there, beyond)
    for name, there in SCHEMA["properties"]["policy"]["properties"].items()
    for beyond in ("minimum", "maximum")
    if beyond in there or beyond in there.get("items", {})
]


@pytest.mark.parametrize(("name", "there", "beyond"), NUMBERS, ids=[f"{name} {beyond}" for name, _, beyond in NUMBERS])
def test_schema_and_reader_agree_at_the_ends_of_every_range(
    tmp_path: Path, name: str, there: dict[str, Any], beyond: str
) -> None:
    listed = "items" in there
    limit = (there["items"] if listed else there)[beyond]
    out = limit - 1 if beyond == "minimum" else limit + 1
    for value, good in ((limit, True), (out, False)):
        numbers = [value] if listed and name != "steps_bp" else [value, 10_000] if listed else value
        numbers = [10_000] if numbers == [10_000, 10_000] else numbers
        for document in (
            GOOD | {"policy": {name: numbers}},
            GOOD | {"services": {"a/b": {"policy": {name: numbers}}}},
        ):
            if "services" in document and name in COMMON:
                continue
            told = read(tmp_path, document)
            assert CHECK.is_valid(document) is good
            assert (told == "") is good, told
            if not good:
                assert "must be a " in told
                assert f".{name}" in told


BAD: dict[str, dict[str, Any]] = {
    "an unknown key": {"polcy": {}},
    "an unknown key of the policy": {"policy": {"dwel_seconds": 3}},
    "another version": {"version": 2},
    "a version of nothing": {"version": None},
    "a version in quotes": {"version": "1"},
    "a version that is true": {"version": True},
    "no clusters": {"clusters": {}},
    "three clusters": {"clusters": {**GOOD["clusters"], "oak": {"kubeconfig": "c", "gateway": {"address": "d"}}}},
    "a cluster without a kubeconfig": {"clusters": {**GOOD["clusters"], "plum": {"gateway": {"address": "d"}}}},
    "an empty edge": {"edge": ""},
    "no edge": {"edge": None},
    "a store of nothing": {"store": None},
    "an empty peer address": with_plum(gateway={"address": "a", "peer_address": ""}),
    "a port": with_plum(gateway={"address": "a", "port": 0}),
    "counters of nothing": with_plum(counters={}),
    "url and urls": with_plum(counters={"url": "http://a", "urls": ["http://b"]}),
    "no pods": with_plum(counters={"urls": []}),
    "a pod twice": with_plum(counters={"urls": ["http://a", "http://a"]}),
    "a pod that is no URL": with_plum(counters={"urls": ["10.0.0.1"]}),
    "a URL of nobody": {"metrics": {"url": "http:///api"}},
    "a URL for an address": with_plum(gateway={"address": "http://10.0.0.1"}),
    "an address with a path": with_plum(gateway={"address": "10.0.0.1", "peer_address": "10.0.0.1/x"}),
    "a URL for a host": {"services": {"a/b": {"check": {"host": "https://shop.test"}}}},
    "a text for pods": with_plum(counters={"urls": "http://a"}),
    "a dialect": {"metrics": {"url": "http://a", "dialect": "nginx"}},
    "steps that do not arrive": {"policy": {"steps_bp": [10, 500]}},
    "a step twice": {"policy": {"steps_bp": [10, 10, 10_000]}},
    "half a step": {"policy": {"steps_bp": [0.5, 10_000]}},
    "no window to judge by": {"policy": {"windows_seconds": []}},
    "true for a number": {"policy": {"min_requests": True}},
    "a text for a number": {"policy": {"min_requests": "20"}},
    "nothing for a number": {"policy": {"dwell_seconds": None}},
    "half a request": {"policy": {"min_requests": 1.5}},
    "a word": {"policy": {"on_inconclusive": "wait"}},
    "false for a mapping": {"policy": False},
    "an empty text for a list": {"groups": ""},
    "a list for a mapping": {"services": []},
    "zero for a mapping": {"replicate": 0},
    "a name that is no service": {"services": {"catalog": {}}},
    "yes in quotes": {"services": {"a/b": {"hold": "yes"}}},
    "a status": {"services": {"a/b": {"check": {"status": 42}}}},
    "a path without /": {"services": {"a/b": {"check": {"path": "health"}}}},
    "a batch of one service": {"services": {"a/b": {"policy": {"batch": 9}}}},
    "an unknown answer": {"replicate": {"answers": {"Deployment a/b": "holt"}}},
    "an answer about nothing": {"replicate": {"answers": {"Deployment": "hold"}}},
    "an unknown part": {"replicate": {"include": {"namespace": ["a"]}}},
    "no such code": {"ignore": ["BG30"]},
    "a code with no object": {"ignore": ["BG301:"]},
    "not a window": {"windows": ["noon"]},
    "a group that is no list": {"groups": ["a/b"]},
    "a singleton without a namespace": {"singletons": ["mailer"]},
}


@pytest.mark.parametrize("how", BAD)
def test_what_the_schema_refuses_the_reader_refuses(tmp_path: Path, how: str) -> None:
    document = GOOD | BAD[how]
    assert not CHECK.is_valid(document)
    assert not Draft7Validator(SCHEMA).is_valid(document), "many an editor knows no later draft"
    assert "migration.yaml:" in read(tmp_path, document)


# -- any document that the schema allows -------------------------------------------------------------------------------

WORDS = st.text("abcxyz019.:/~_-", min_size=1, max_size=8).map(lambda word: word.lstrip("~") or "a")


def made(there: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of this schema, of the keywords that ours has."""
    if "anyOf" in there:
        return st.one_of(*map(made, there["anyOf"]))
    if "const" in there:
        return st.just(there["const"])
    if "enum" in there:
        return st.sampled_from(there["enum"])
    kinds = there["type"] if isinstance(there["type"], list) else [there["type"]]
    return st.one_of(*(of_kind(kind, there) for kind in kinds))


def of_kind(kind: str, there: dict[str, Any]) -> st.SearchStrategy[Any]:
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(there["minimum"], there["maximum"])
        case "number":
            return st.floats(there["minimum"], there["maximum"]) | st.just(there["minimum"]) | st.just(there["maximum"])
        case "string":
            if "examples" in there:
                return st.sampled_from(there["examples"])
            return st.from_regex(there["pattern"], fullmatch=True) if "pattern" in there else WORDS
        case "array":
            size = there.get("minItems", 0)
            unique = there.get("uniqueItems", False)
            items = st.lists(made(there["items"]), min_size=size, max_size=3, unique=unique)
            needed = there.get("contains", {}).get("const")
            return items.map(lambda each: [*(x for x in each if x != needed), needed]) if needed is not None else items
        case "object":
            return mapping(there)
    raise AssertionError(kind)


@st.composite
def mapping(draw: st.DrawFn, there: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in there:
        names = st.from_regex(there["propertyNames"]["pattern"], fullmatch=True) if "propertyNames" in there else WORDS
        names = names.filter(str.isprintable)
        low, high = there.get("minProperties", 0), there.get("maxProperties", 2)
        found: dict[str, Any] = draw(st.dictionaries(names, made(there["additionalProperties"]), min_size=low, max_size=high))
        return found
    required = set(there.get("required", ()))
    if "oneOf" in there:
        required |= set(draw(st.sampled_from([each["required"] for each in there["oneOf"]])))
    never = {name for each in there.get("oneOf", ()) for name in each["required"]} - required
    return {
        name: draw(made(inner))
        for name, inner in there["properties"].items()
        if name in required or (name not in never and draw(st.booleans()))
    }


def repaired(document: dict[str, Any]) -> dict[str, Any]:
    """What no schema can say is put right: order of numbers, what hangs on several keys."""
    for number, cluster in enumerate(document["clusters"].values()):
        cluster["kubeconfig"] = f"kubeconfig-{number}"
        cluster["gateway"]["address"] = f"10.0.0.{number}"
    policies = [document.get("policy"), *((each or {}).get("policy") for each in (document.get("services") or {}).values())]
    for policy in policies:
        for name in ("steps_bp", "windows_seconds"):
            if policy and name in policy:
                policy[name] = sorted(policy[name])
        if policy and "inconclusive_limit_seconds" in policy:
            policy["inconclusive_limit_seconds"] = max(60.0, policy["inconclusive_limit_seconds"])
    document["metrics"] = document.get("metrics") or {"url": "http://metrics.test"}
    members = [member for group in document.get("groups") or [] for member in group]
    if len(set(members)) < len(members):
        document["groups"] = []
    for part in ("include", "exclude"):
        ((document.get("replicate") or {}).get(part) or {}).pop("selector", None)
    return document


@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(document=made(SCHEMA))
def test_whatever_the_schema_allows_the_reader_accepts(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    good = repaired(document)
    assert [error.message for error in CHECK.iter_errors(good)] == []
    assert read(tmp_path_factory.getbasetemp(), good) == ""


def test_the_schema_in_docs_is_read_by_the_reader_of_yaml(tmp_path: Path) -> None:
    """JSON is YAML: nothing in it is too deep or too long for our own limits."""
    assert read_yaml(WRITTEN, "the schema")[0] == SCHEMA
