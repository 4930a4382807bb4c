"""What a plan says of each object, and that applying it twice writes once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from typing import Any

import pytest

from migration import kinds
from migration.errors import Forbidden, NotFound, Rejected, Unreachable
from migration.kinds import Resource
from migration.replicate.apply import MOST_SILENT, applied_entries, apply
from migration.replicate.difference import differences, owners, readable, surplus
from migration.replicate.export import Bundle, Item
from migration.replicate.plan import APPLIED, plan
from tests.fakes.apiserver import FakeApiServer, fields_v1

WIDGET = Resource("example.com", "v1", "Widget", "widgets", True)


def config(data: dict[str, str], **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n", **meta}, "data": data}


def deployment(replicas: int = 3, **meta: Any) -> dict[str, Any]:
    spec = {"replicas": replicas, "template": {"spec": {"containers": [{"name": "main", "image": "a:1"}]}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", **meta},
        "spec": spec,
    }


def scaler(least: int = 2) -> dict[str, Any]:
    spec = {"minReplicas": least, "maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
    meta = {"name": "h", "namespace": "n"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


def bundle(*objects: dict[str, Any]) -> Bundle:
    known = {**kinds.WELL_KNOWN, ("example.com", "Widget"): WIDGET}
    return Bundle("plum", [Item(known[o["apiVersion"].rpartition("/")[0], o["kind"]], o) for o in objects])


def replicate(green: FakeApiServer, *objects: dict[str, Any], force: bool = False, despite: Iterable[str] = ()) -> Any:
    async def both() -> Any:
        made = await plan(bundle(*copy.deepcopy(objects)), green)
        return made, await apply(made, green, force=force, despite_unread=despite)

    return asyncio.run(both())


def actions(made: Any) -> list[tuple[str, str]]:
    return [(change.action, change.resource.kind) for change in made.changes]


def touch(green: FakeApiServer, group: str, kind: str, name: str, manager: str, patch: dict[str, Any], sub: str = "") -> None:
    """Somebody else writes: takes over what they change."""
    obj = green.objects[group, kind, "n", name]
    theirs = fields_v1(patch)
    for entry in obj["metadata"]["managedFields"]:
        for path in theirs.get("f:spec", {}):
            entry["fieldsV1"].get("f:spec", {}).pop(path, None)
        for path in theirs.get("f:data", {}):
            entry["fieldsV1"].get("f:data", {}).pop(path, None)
    obj.setdefault("spec", {}).update(patch.get("spec", {}))
    obj.setdefault("data", {}).update(patch.get("data", {}))
    obj["metadata"]["managedFields"].append({"manager": manager, "fieldsV1": theirs, "time": "t999999", "subresource": sub})


def test_what_is_missing_is_created_and_then_nothing_is_written() -> None:
    green = FakeApiServer("fern")
    made, done = replicate(green, config({"a": "1"}), deployment())
    assert actions(made) == [("create", "ConfigMap"), ("create", "Deployment")]
    assert (done.created, done.writes) == (2, 2)
    green.requests.clear()
    made, done = replicate(green, config({"a": "1"}), deployment())
    assert {action for action, _ in actions(made)} == {"unchanged"}
    assert (done.unchanged, done.writes, green.writes()) == (2, 0, [])


def test_defaults_of_green_are_not_a_difference() -> None:
    green = FakeApiServer("fern")
    replicate(green, deployment())
    green.objects["apps", "Deployment", "n", "d"]["spec"]["progressDeadlineSeconds"] = 600
    made, _ = replicate(green, deployment())
    assert actions(made) == [("unchanged", "Deployment")]


def test_a_change_on_blue_is_an_update_and_names_the_field() -> None:
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1"}))
    made, done = replicate(green, config({"a": "2"}))
    assert actions(made) == [("update", "ConfigMap")]
    assert made.changes[0].paths == ("data.a",)
    assert done.updated == 1


def test_a_field_taken_away_on_blue_is_an_update() -> None:
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1", "b": "2"}))
    made, _ = replicate(green, config({"a": "1"}))
    assert (made.changes[0].action, made.changes[0].paths) == ("update", ("data.b",))


def test_a_field_that_green_does_not_keep_is_written_once() -> None:
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1", "new": "x"}))
    live = green.objects["", "ConfigMap", "n", "c"]
    del live["data"]["new"]
    del live["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]["f:new"]
    made, done = replicate(green, config({"a": "1", "new": "x"}))
    assert (made.changes[0].action, made.changes[0].reason) == ("unchanged", "green does not keep all of it")
    assert done.writes == 0


def test_what_somebody_changed_on_green_is_a_conflict_and_stays() -> None:
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1"}))
    touch(green, "", "ConfigMap", "c", "kubectl-edit", {"data": {"a": "theirs"}})
    made, done = replicate(green, config({"a": "1"}))
    assert (made.changes[0].action, made.changes[0].paths) == ("conflict", ("data.a",))
    assert "kubectl-edit" in made.changes[0].reason
    assert [f.object for f in done.conflicts] == ["ConfigMap n/c"]
    assert green.objects["", "ConfigMap", "n", "c"]["data"]["a"] == "theirs"
    _, done = replicate(green, config({"a": "1"}), force=True)
    assert green.objects["", "ConfigMap", "n", "c"]["data"]["a"] == "1"


def test_what_green_had_before_is_a_conflict_where_it_differs() -> None:
    theirs = config({"a": "0"}, managedFields=[{"manager": "pulumi", "fieldsV1": {"f:data": {"f:a": {}}}}])
    green = FakeApiServer("fern", [theirs])
    made, done = replicate(green, config({"a": "1"}))
    assert (made.changes[0].action, made.changes[0].reason) == ("conflict", "already on green, made by pulumi")
    assert done.writes == 0
    made, _ = replicate(green, config({"a": "0"}))
    assert made.changes[0].action == "unchanged"


def test_replicas_of_a_scaled_workload_are_its_autoscalers() -> None:
    green = FakeApiServer("fern")
    replicate(green, deployment(3), scaler())
    assert green.objects["apps", "Deployment", "n", "d"]["spec"]["replicas"] == 3
    touch(green, "apps", "Deployment", "d", "kube-controller-manager", {"spec": {"replicas": 7}}, sub="scale")
    green.requests.clear()
    made, _ = replicate(green, deployment(5), scaler())
    assert {action for action, _ in actions(made)} == {"unchanged"}
    changed = deployment(5)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
    made, _ = replicate(green, changed, scaler())
    assert green.objects["apps", "Deployment", "n", "d"]["spec"]["replicas"] == 7
    update = next(c for c in made.changes if c.action == "update")
    assert "replicas" not in update.obj["spec"]


def test_replicas_that_only_we_own_are_not_reset_by_a_re_apply() -> None:
    green = FakeApiServer("fern")
    replicate(green, deployment(3), scaler())
    changed = deployment(5)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
    made, _ = replicate(green, changed, scaler())
    update = next(c for c in made.changes if c.action == "update")
    assert update.obj["spec"]["replicas"] == 3, "left out, the API server would reset it to 1"


@pytest.mark.parametrize("least", [2, 4], ids=["as it was", "changed on blue"])
def test_floors_are_not_replicates_business(least: int) -> None:
    green = FakeApiServer("fern")
    replicate(green, scaler(2))
    touch(green, "autoscaling", "HorizontalPodAutoscaler", "h", kinds.CAPACITY, {"spec": {"minReplicas": 6}})
    made, _ = replicate(green, scaler(least))
    assert made.changes[0].action == "unchanged"
    assert green.objects["autoscaling", "HorizontalPodAutoscaler", "n", "h"]["spec"]["minReplicas"] == 6


def test_what_the_edge_writes_is_left_alone() -> None:
    theirs = config({"a": "0"}, managedFields=[{"manager": kinds.EDGE, "fieldsV1": {}}])
    made, done = replicate(FakeApiServer("fern", [theirs]), config({"a": "1"}))
    assert made.changes[0].action == "held"
    assert done.writes == 0


@pytest.mark.parametrize(
    ("host", "action"), [("web", "unchanged"), ("other", "conflict")], ids=["as on blue", "changed on blue since"]
)
def test_a_route_that_the_edge_let_go_is_compared_as_any_other(host: str, action: str) -> None:
    def route(to: str, **meta: Any) -> dict[str, Any]:
        spec = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": to}}]}]}
        meta = {"name": "web", "namespace": "n", **meta}
        return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}

    entry = {"manager": kinds.EDGE, "operation": "Apply", "fieldsV1": fields_v1(route("web"))}
    green = FakeApiServer("fern", [route("web", managedFields=[entry])])
    made, done = replicate(green, route(host))
    assert (made.changes[0].action, done.writes) == (action, 0)


def test_definitions_come_first_and_webhooks_last() -> None:
    crd_spec = {"group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "w"},
        "spec": crd_spec,
    }
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    green = FakeApiServer("fern")
    _made, done = replicate(green, deployment(), scaler(), widget, crd, config({}), namespace)
    assert not done.failures
    order = [what for verb, what in green.requests if verb == "create"]
    assert order[:2] == ["CustomResourceDefinition w", "Namespace n"] or order[:2] == [
        "Namespace n",
        "CustomResourceDefinition w",
    ]
    assert order[2:] == ["ConfigMap c", "Widget w", "Deployment d", "HorizontalPodAutoscaler h"]
    asked = green.requests.index(("list", "CustomResourceDefinition"))
    assert asked < green.requests.index(("create", "ConfigMap c")), "definitions are awaited before anything else"
    assert (
        kinds.wave(Resource("admissionregistration.k8s.io", "v1", "V", "validatingwebhookconfigurations", False))
        == len(kinds.WAVES) - 1
    )


def test_an_object_that_green_does_not_serve_is_held_with_the_reason() -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}}
    made, done = replicate(FakeApiServer("fern"), widget)
    assert made.changes[0].action == "held"
    assert "does not serve Widget" in done.held[0].reason
    assert done.held[0].remedy


def test_a_kind_that_cannot_be_listed_on_green_is_unknown_and_not_written() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "list" and resource.kind == "ConfigMap":
            raise Forbidden("configmaps is forbidden")

    made, done = replicate(FakeApiServer("fern", trouble=trouble), config({"a": "1"}), deployment(), despite=["configmaps"])
    assert made.unread == {"configmaps on fern": "configmaps is forbidden"}
    assert (done.created, len(done.held)) == (1, 1)


def test_a_refused_object_does_not_stop_the_others_and_is_told() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create" and resource.kind == "ConfigMap":
            raise Rejected("data: field is immutable", status=422)

    _made, done = replicate(FakeApiServer("fern", trouble=trouble), config({"a": "1"}), deployment())
    assert done.created == 1
    assert [(f.object, "delete it on green" in f.remedy) for f in done.failures] == [("ConfigMap n/c", True)]


def test_what_was_refused_for_want_of_something_later_is_tried_again() -> None:
    attempts = []

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create" and resource.kind == "ConfigMap":
            attempts.append(name)
            if len(attempts) == 1:
                raise NotFound("no such service account")

    _, done = replicate(FakeApiServer("fern", trouble=trouble), config({"a": "1"}), deployment())
    assert (done.created, done.failures, len(attempts)) == (2, [], 2)


def test_what_server_side_apply_refuses_is_replaced() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply":
            raise Rejected('failed to create typed patch object: duplicate entries for key [name="A"]', status=500)

    theirs = config({"a": "0"}, resourceVersion="7", managedFields=[{"manager": kinds.REPLICATE, "fieldsV1": {}}])
    green = FakeApiServer("fern", [theirs], trouble=trouble)
    _, done = replicate(green, config({"a": "1"}))
    assert done.fallbacks == ["ConfigMap n/c"]
    assert ("replace", "ConfigMap c") in green.requests
    found = green.objects["", "ConfigMap", "n", "c"]
    assert found["data"] == {"a": "1"}
    assert APPLIED in found["metadata"]["annotations"]
    assert found["metadata"]["resourceVersion"] == "7"


def test_what_appeared_on_green_since_the_plan_is_applied_and_not_overwritten() -> None:
    green = FakeApiServer("fern")

    async def both() -> Any:
        made = await plan(bundle(config({"a": "1"})), green)
        green.put(config({"b": "2"}, managedFields=[{"manager": "other", "fieldsV1": {"f:data": {"f:b": {}}}}]))
        return await apply(made, green)

    done = asyncio.run(both())
    assert (done.failures, done.created) == ([], 1)
    assert green.objects["", "ConfigMap", "n", "c"]["data"] == {"a": "1", "b": "2"}


def test_what_was_created_is_owned_by_apply_before_it_is_changed() -> None:
    """Else a field that blue no longer has would stay: our own create would be somebody else who still wants it."""
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1", "b": "2"}))

    def ours() -> list[tuple[str, list[str]]]:
        entries = green.objects["", "ConfigMap", "n", "c"]["metadata"]["managedFields"]
        return [(e["operation"], sorted(e["fieldsV1"]["f:data"])) for e in entries if e["manager"] == kinds.REPLICATE]

    assert ours() == [("Update", ["f:a", "f:b"])]
    green.requests.clear()
    replicate(green, config({"a": "2"}))
    assert green.writes() == [("patch", "ConfigMap c"), ("apply", "ConfigMap c")]
    assert ours() == [("Apply", ["f:a"])]
    green.requests.clear()
    replicate(green, config({"a": "3"}))
    assert green.writes() == [("apply", "ConfigMap c")]


def test_entries_of_others_stay_when_ours_become_one() -> None:
    def entry(manager: str, operation: str, *keys: str, **more: str) -> dict[str, Any]:
        return {"manager": manager, "operation": operation, "fieldsV1": {"f:data": {k: {} for k in keys}}, **more}

    me = kinds.REPLICATE
    theirs = [entry("kubectl", "Update", "f:x"), entry(me, "Update", "f:s", subresource="status")]
    found = applied_entries({"metadata": {"managedFields": [entry(me, "Apply", "f:a"), *theirs, entry(me, "Update", "f:b")]}})
    assert found == [*theirs, entry(me, "Apply", "f:a", "f:b")]
    assert applied_entries({"metadata": {"managedFields": [entry(me, "Apply", "f:a"), *theirs]}}) is None
    assert applied_entries({"metadata": {}}) is None


def test_a_label_that_the_api_server_put_in_is_not_told_as_taken_away() -> None:
    green = FakeApiServer("fern")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "1"}}}
    replicate(green, namespace)
    live = green.objects["", "Namespace", "", "n"]["metadata"]
    live["labels"]["kubernetes.io/metadata.name"] = "n"
    live["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"]["f:kubernetes.io/metadata.name"] = {}
    namespace["metadata"]["labels"] = {"a": "2"}
    made, _ = replicate(green, namespace)
    assert made.changes[0].paths == ("metadata.labels.a",)


def test_an_unreachable_green_is_a_temporary_failure() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create":
            raise Unreachable("no answer")

    _, done = replicate(FakeApiServer("fern", trouble=trouble), config({"a": "1"}))
    assert [f.temporary for f in done.failures] == [True]
    assert not done.ok


def test_a_green_that_is_gone_is_not_asked_for_every_object() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create":
            raise Unreachable("no answer")

    green = FakeApiServer("fern", trouble=trouble)
    many = [{**config({}), "metadata": {"name": f"c{number}", "namespace": "n"}} for number in range(MOST_SILENT + 30)]
    _, done = replicate(green, *many)
    assert len(done.failures) == len(many)
    assert len(green.writes()) == MOST_SILENT
    assert sum("not tried" in failure.reason for failure in done.failures) == 30


KEYED = {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}, 'k:{"port":81,"protocol":"TCP"}': {"f:port": {}}}}


@pytest.mark.parametrize(
    ("wanted", "live", "fields", "paths"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, (), [], id="what others added"),
        pytest.param({"a": {}}, {}, (), [], id="nothing is nothing"),
        pytest.param({"a": [1, 2]}, {"a": [1, 2, 3]}, (), ["a"], id="an unkeyed list is one value"),
        pytest.param(
            {"ports": [{"port": 81}]},
            {"ports": [{"port": 80}, {"port": 81}]},
            (KEYED,),
            [],
            id="a keyed list may hold more",
        ),
        pytest.param(
            {"ports": [{"port": 81, "name": "b"}]},
            {"ports": [{"port": 80}, {"port": 81, "name": "a"}]},
            (KEYED,),
            ["ports[port=81,protocol=TCP].name"],
            id="a field of a keyed item",
        ),
        pytest.param({"f": ["x"]}, {"f": ["y", "x"]}, ({"f:f": {'v:"x"': {}, 'v:"y"': {}}},), [], id="a set may hold more"),
        pytest.param({"f": ["z"]}, {"f": ["y"]}, ({"f:f": {'v:"y"': {}}},), ['f["z"]'], id="missing from a set"),
    ],
)
def test_differences(wanted: Any, live: Any, fields: Any, paths: list[str]) -> None:
    assert [readable(path) for path in differences(wanted, live, fields)] == paths


def test_surplus_and_owners_walk_keyed_lists() -> None:
    owned = {"f:spec": KEYED}
    assert [readable(p) for p in surplus(owned, {"spec": {"ports": [{"port": 80}]}})] == ["spec.ports[port=81,protocol=TCP]"]
    entries = [("a", "", {"f:spec": {"f:labels": {}}}), ("b", "", {"f:spec": {"f:labels": {"f:x": {}}}})]
    assert owners(("f:spec", "f:labels", "f:x"), entries) == {"a", "b"}
