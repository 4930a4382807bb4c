"""What a plan says of each object, and that applying it twice writes once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from migration.errors import Conflict, Forbidden, Held, NotFound, Rejected, Unreachable
from migration.objects import kinds
from migration.objects.difference import differences, dropped, owners, readable, surplus
from migration.objects.kinds import Object, Resource
from migration.ownership.judge import Item
from migration.replicate import apply as applying
from migration.replicate.apply import MOST_SILENT, applied_entries, apply
from migration.replicate.export import Bundle
from migration.replicate.plan import APPLIED, plan
from migration.replicate.values import field_changes, line
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


def test_what_is_missing_is_created_once() -> None:
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


def test_a_change_on_blue_is_an_update_of_its_field() -> None:
    green = FakeApiServer("fern")
    replicate(green, config({"a": "1"}))
    made, done = replicate(green, config({"a": "2"}))
    assert actions(made) == [("update", "ConfigMap")]
    assert made.changes[0].paths == ("data.a",)
    assert done.updated == 1


def test_a_field_removed_on_blue_is_an_update() -> None:
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


def test_what_another_client_changed_on_green_is_a_conflict() -> None:
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
def test_a_route_that_the_edge_released_is_compared_as_any_other(host: str, action: str) -> None:
    def route(to: str, **meta: Any) -> dict[str, Any]:
        spec = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": to}}]}]}
        meta = {"name": "web", "namespace": "n", **meta}
        return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}

    entry = {"manager": kinds.EDGE, "operation": "Apply", "fieldsV1": fields_v1(route("web"))}
    green = FakeApiServer("fern", [route("web", managedFields=[entry])])
    made, done = replicate(green, route(host))
    assert (made.changes[0].action, done.writes) == (action, 0)


def test_objects_are_created_in_the_order_of_their_needs() -> None:
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


def test_a_kind_that_cannot_be_listed_on_green_is_not_written() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "list" and resource.kind == "ConfigMap":
            raise Forbidden("configmaps is forbidden")

    made, done = replicate(FakeApiServer("fern", trouble=trouble), config({"a": "1"}), deployment(), despite=["configmaps"])
    assert made.unread == {"configmaps on fern": "configmaps is forbidden"}
    assert (done.created, len(done.held)) == (1, 1)


def test_a_refused_object_is_a_failure_that_stops_no_other() -> None:
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


@pytest.mark.parametrize(
    ("problem", "made"),
    [
        (NotFound("cluster fern: POST /apis/example.com/v1/namespaces/n/widgets: the server could not find it"), True),
        (NotFound('namespaces "n" not found', of="namespaces"), False),
    ],
    ids=["a kind that is served a moment later is waited for", "a namespace that is not there is not"],
)
def test_an_object_whose_kind_is_not_served_yet_is_tried_until_it_is(problem: NotFound, made: bool) -> None:
    """Told apart by what the API server says is missing, never by the path of the request."""
    attempts = []

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create" and resource == WIDGET:
            attempts.append(name)
            if len(attempts) < 5:
                raise problem

    green = FakeApiServer("fern", resources=[*kinds.WELL_KNOWN.values(), WIDGET], trouble=trouble)
    _, done = replicate(green, widget(size=1))
    assert (done.created, len(attempts)) == ((1, 5) if made else (0, 2))


def test_many_objects_of_a_kind_that_is_never_served_wait_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "SERVED_SECONDS", 0.5)
    monkeypatch.setattr(applying, "AT_ONCE", 1)
    attempts: list[str] = []

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create" and resource == WIDGET:
            attempts.append(name)
            raise NotFound("the server could not find the requested resource")

    things = [{**widget(size=1), "metadata": {"name": f"w{number}", "namespace": "n"}} for number in range(20)]
    green = FakeApiServer("fern", resources=[*kinds.WELL_KNOWN.values(), WIDGET], trouble=trouble)
    _, done = replicate(green, *things)
    assert len(done.failures) == 20
    assert len(attempts) < 2 * 20 + 10


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


def test_what_appeared_on_green_since_the_plan_is_not_overwritten() -> None:
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


def test_a_label_that_the_api_server_added_is_not_reported_as_removed() -> None:
    green = FakeApiServer("fern")
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "1"}}}
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


KEYED: dict[str, Any] = {
    "f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}, 'k:{"port":81,"protocol":"TCP"}': {"f:port": {}}}
}


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
def test_differences_are_those_of_the_wanted_fields(wanted: Any, live: Any, fields: Any, paths: list[str]) -> None:
    assert [readable(path) for path in differences(wanted, live, fields)] == paths


def test_surplus_is_found_in_keyed_lists() -> None:
    owned = {"f:spec": KEYED}
    assert [readable(p) for p in surplus(owned, {"spec": {"ports": [{"port": 80}]}})] == ["spec.ports[port=81,protocol=TCP]"]


def test_who_owns_a_map_owns_its_keys() -> None:
    entries: list[tuple[str, str, Mapping[str, Any]]] = [
        ("a", "", {"f:spec": {"f:labels": {}}}),
        ("b", "", {"f:spec": {"f:labels": {"f:x": {}}}}),
    ]
    assert owners(("f:spec", "f:labels", "f:x"), entries) == {"a", "b"}


# -- definitions, namespaces, and what green makes of an object ----------------------------------------------------------

SERVING = (*kinds.WELL_KNOWN.values(), WIDGET)
GOING_SINCE = "2026-01-01T00:00:00Z"


def definition(**meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", **meta},
        "spec": {"group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}, "versions": []},
    }


def widget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}, "spec": spec}


def namespace(**meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", **meta}}


def test_everything_in_a_namespace_that_green_is_deleting_is_held() -> None:
    waits = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "example.com/gone in 1 resource instances"}
    live = {**namespace(deletionTimestamp=GOING_SINCE), "status": {"conditions": [waits]}}
    green = FakeApiServer("fern", [live, config({"a": "1"})], resources=SERVING)
    made, done = replicate(green, namespace(), config({"a": "1"}), deployment(), widget())
    assert {change.action for change in made.changes} == {"held"}
    assert {f.object for f in done.held} == {"Namespace n", "ConfigMap n/c", "Deployment n/d", "Widget n/w"}
    for told in done.held:
        assert told.reason.startswith("namespace n is being deleted on green: see what holds it (finalizers)")
        assert "example.com/gone" in told.reason
        assert "kubectl get namespace n -o yaml" in told.remedy
    assert (done.lacking, done.writes, green.writes()) == (4, 0, [])


def test_an_object_that_waits_for_its_finalizers_on_green_is_named_with_them() -> None:
    green = FakeApiServer("fern", [config({}, deletionTimestamp=GOING_SINCE, finalizers=["example.com/slow"])])
    _, done = replicate(green, config({"a": "1"}))
    assert "its finalizers hold: example.com/slow" in done.held[0].reason
    assert "kubectl get configmaps c -n n" in done.held[0].remedy


def test_objects_of_a_definition_that_green_is_deleting_are_held() -> None:
    green = FakeApiServer("fern", [definition(deletionTimestamp=GOING_SINCE)], resources=SERVING)
    _, done = replicate(green, definition(), widget())
    assert [(f.object, "its definition widgets.example.com: being deleted" in f.reason) for f in done.held] == [
        ("CustomResourceDefinition widgets.example.com", False),
        ("Widget n/w", True),
    ]
    assert green.writes() == []


REFUSED = {"type": "NamesAccepted", "status": "False", "message": '"Widget" is already in use'}


def test_a_definition_whose_names_green_does_not_accept_never_succeeds() -> None:
    class Taken(FakeApiServer):
        def put(self, obj: Any) -> None:
            status = {"status": {"conditions": [REFUSED]}} if obj["kind"] == "CustomResourceDefinition" else {}
            super().put({**obj, **status})

    green = Taken("fern")
    _, done = replicate(green, definition())
    assert [(f.object, '"Widget" is already in use' in f.reason) for f in done.failures] == [
        ("CustomResourceDefinition widgets.example.com", True)
    ]
    green.requests.clear()
    _, done = replicate(green, definition(), widget())
    assert (done.lacking, green.writes()) == (2, [])
    assert all("is already in use" in f.reason for f in done.held)


def test_a_definition_that_is_never_established_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(FakeApiServer):
        def put(self, obj: Any) -> None:
            super().put({**obj, "status": {}})

    monkeypatch.setattr(applying, "ESTABLISHED_SECONDS", 0.05)
    _, done = replicate(Slow("fern"), definition())
    assert [f.object for f in done.failures] == ["CustomResourceDefinition widgets.example.com"]
    assert "has not established it" in done.failures[0].reason
    assert "kubectl get crd widgets.example.com" in done.failures[0].remedy


def test_a_webhook_that_cannot_be_created_any_more_is_held_unless_green_has_it() -> None:
    hook = Resource(
        "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False
    )

    def hooks(effects: str, **meta: Any) -> dict[str, Any]:
        webhooks = [{"name": "a.example.com", "sideEffects": effects}]
        return {"apiVersion": hook.api_version, "kind": hook.kind, "metadata": {"name": "h", **meta}, "webhooks": webhooks}

    def run(green: FakeApiServer) -> Any:
        async def both() -> Any:
            made = await plan(Bundle("plum", [Item(hook, hooks("Some"))]), green)
            return made.changes[0], await apply(made, green)

        return asyncio.run(both())

    change, done = run(FakeApiServer("fern", resources=(*SERVING, hook)))
    assert (change.action, change.wait, done.lacking) == ("held", "refused", 1)
    assert "NoneOnDryRun" in done.held[0].reason
    entry = {"manager": "helm", "fieldsV1": {"f:webhooks": {}}}
    change, _ = run(FakeApiServer("fern", [hooks("NoneOnDryRun", managedFields=[entry])], resources=(*SERVING, hook)))
    assert change.action == "conflict"


class Prunes(FakeApiServer):
    """Keeps no field `new`, as a definition does that does not know it."""

    def put(self, obj: Any) -> None:
        spec = {k: v for k, v in (obj.get("spec") or {}).items() if k != "new"}
        data = {k: v for k, v in (obj.get("data") or {}).items() if k != "new"}
        super().put({**obj, **({"spec": spec} if spec else {}), **({"data": data} if data else {})})

    async def create(self, resource: Resource, obj: Any, *, manager: str, repeatable: bool = False) -> dict[str, Any]:
        await super().create(resource, obj, manager=manager, repeatable=repeatable)
        return await self.get(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])


def test_a_field_that_greens_definition_does_not_keep_is_lost_data_every_time() -> None:
    green = Prunes("fern", resources=SERVING)
    for writes in (2, 0):
        _, done = replicate(green, definition(), widget(size=3, new={"a": 1}))
        assert [f.object for f in done.dropped] == ["Widget n/w"]
        assert "spec.new" in done.dropped[0].reason
        assert "kubectl get crd widgets.example.com" in done.dropped[0].remedy
        assert isinstance(done.verdict(), Held)
        assert done.writes == writes


def test_a_field_of_kubernetes_own_that_green_does_not_keep_is_a_note_each_time() -> None:
    green = Prunes("fern")
    for _ in range(2):
        _, done = replicate(green, config({"a": "1", "new": "x"}))
        assert ("ConfigMap n/c", "green does not keep data.new") in done.notes
        assert done.ok


@pytest.mark.parametrize(
    ("wanted", "live", "lost"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, ["b"], id="a field"),
        pytest.param({"a": 1}, {"a": 2}, [], id="another value is not gone"),
        pytest.param({"a": {}, "b": None, "c": []}, {}, [], id="nothing is nothing"),
        pytest.param({"l": [{"n": 1, "x": 1}]}, {"l": [{"n": 1}]}, ["l[0].x"], id="within a list"),
        pytest.param({"l": [{"n": 1}]}, {"l": [{"n": 0}, {"n": 1, "d": 2}]}, [], id="others put theirs before it"),
        pytest.param({"l": [{"n": 1}, {"n": 2}]}, {"l": [{"n": 1}]}, [], id="alike ones"),
        pytest.param({"l": ["a", "b"]}, {"l": ["a"]}, ["l"], id="a shorter list"),
    ],
)
def test_only_what_is_not_there_at_all_is_dropped(wanted: Any, live: Any, lost: list[str]) -> None:
    assert [readable(path) for path in dropped(wanted, live)] == lost


def leased(address: str, writers: frozenset[str] = frozenset()) -> Item:
    return Item(WIDGET, {**widget(pool="office"), "status": {"address": address}}, status_writers=writers)


def run_with_status(green: FakeApiServer, item: Item) -> Any:
    async def both() -> Any:
        made = await plan(Bundle("plum", [item]), green)
        return made.changes[0], await apply(made, green)

    return asyncio.run(both())


def test_status_that_is_data_is_compared_like_any_field() -> None:
    green = FakeApiServer("fern", resources=SERVING)
    run_with_status(green, leased("10.0.0.1"))
    live = green.objects["example.com", "Widget", "n", "w"]
    assert live["status"] == {"address": "10.0.0.1"}
    change, done = run_with_status(green, leased("10.0.0.1"))
    assert (change.action, done.writes) == ("unchanged", 0)
    live["status"]["address"] = "10.9.9.9"
    live["metadata"]["managedFields"][0]["fieldsV1"].pop("f:status")
    by = {"manager": "kubectl-edit", "fieldsV1": {"f:status": {"f:address": {}}}}
    live["metadata"]["managedFields"].append(by)
    change, _ = run_with_status(green, leased("10.0.0.1", frozenset({"kubectl-edit"})))
    assert (change.action, change.paths) == ("conflict", ("status.address",)), "a person's kubectl is no operator"
    by["manager"] = "ipam-operator"
    change, _ = run_with_status(green, leased("10.0.0.1", frozenset({"ipam-operator"})))
    assert change.action == "unchanged", "the writer that blue has goes on from there"


@pytest.mark.parametrize("kind", ["stale", "not stale"])
def test_a_group_whose_server_does_not_answer_on_green_is_unread_and_not_unserved(kind: str) -> None:
    green = FakeApiServer("fern")
    if kind == "stale":
        green.discovery = replace(green.discovery, stale=("example.com/v1",))
    made, _ = replicate(green, widget(), despite=["all"])
    assert made.changes[0].wait == ("unread" if kind == "stale" else "unserved")
    assert bool(made.unread) is (kind == "stale")


@pytest.mark.parametrize(
    ("problem", "kind", "remedy"),
    [
        (
            Forbidden('User "u" cannot create resource "configmaps" in API group "" in the namespace "n"'),
            "c",
            "kubectl auth can-i",
        ),
        (Forbidden("unauthorized", status=401), "c", "renew the credentials"),
        (
            Forbidden("configmaps is forbidden: unable to create new content in namespace n because it is being terminated"),
            *("c", "kubectl get namespace n -o yaml"),
        ),
        (Forbidden("pods is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5"), "c", "quota"),
        (Forbidden("pods is forbidden: failed quota: small: must specify limits.cpu"), "c", "ResourceQuota of green"),
        (
            Forbidden('pods "a" is forbidden: violates PodSecurity "restricted:latest"'),
            "c",
            "pod-security.kubernetes.io/enforce",
        ),
        (Forbidden("maximum cpu usage per Container is 1, but limit is 2"), "c", "LimitRange of green"),
        (
            Forbidden('admission webhook "no.example.com" denied the request: is immutable'),
            "c",
            "webhook no.example.com of green",
        ),
        (
            Rejected("ValidatingAdmissionPolicy 'tags' with binding 'b' denied request: no", status=422),
            *("c", "ValidatingAdmissionPolicy tags of green denies it"),
        ),
        (Forbidden("is attempting to grant RBAC permissions not currently held"), "c", "`escalate`"),
        (Forbidden("no PriorityClass with name high was found"), "c", "green has no PriorityClass high"),
        (NotFound('namespaces "n" not found'), "c", "kubectl create namespace n"),
        (NotFound("the server could not find the requested resource"), "w", "kubectl get crd widgets.example.com"),
        (Conflict("object is being deleted: configmaps already exists", exists=False), "c", "waits for its finalizers"),
        (Conflict("the object has been modified"), "c", "another client writes it"),
        (Rejected("request entity too large", status=413), "c", "larger than green's"),
        (Rejected("etcdserver: request is too large", status=500), "c", "larger than green's"),
        (Rejected("metadata.annotations: Too long: must have at most 262144 bytes"), "c", "larger than green's"),
        (Rejected("spec.selector: Invalid value: field is immutable"), "c", "kubectl delete configmaps c -n n"),
        (Rejected("spec: Forbidden: updates to statefulset spec for fields other than"), "c", "delete it on green"),
        (Rejected("spec is immutable after creation"), "pvc", "kubectl edit persistentvolumeclaims p -n n"),
        (
            Rejected("spec.ports[0].nodePort: Invalid value: 30111: provided port is already allocated"),
            "c",
            "has this nodePort",
        ),
        (Rejected('Widget "w" is invalid: spec.a in body must be of type string'), "w", "compare its definition"),
        (Rejected('failed calling webhook "v.example.com": connection refused', status=500), "c", "webhook v.example.com"),
        (
            Rejected("conversion webhook for example.com/v1, Kind=Widget failed: x", status=500),
            "w",
            "converts widgets.example.com",
        ),
        (Rejected("something else", status=500), "c", "see its log"),
    ],
)
def test_the_remedy_of_a_refusal_is_chosen_by_its_cause(
    problem: Exception, kind: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "SERVED_SECONDS", 0.0)

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb in ("create", "apply"):
            raise problem

    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p", "namespace": "n"}, "spec": {}}
    obj = {"c": config({"a": "1"}), "w": widget(), "pvc": claim}[kind]
    _, done = replicate(FakeApiServer("fern", resources=SERVING, trouble=trouble), obj)
    (remedies,) = [each.remedy for each in (*done.failures, *done.conflicts)]
    assert remedy in remedies


def route(**rule: Any) -> dict[str, Any]:
    """Its rules are one value to an API server: no key tells one from the other."""
    meta = {"name": "r", "namespace": "n"}
    spec = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "d"}}], **rule}]}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


def test_what_blue_removed_from_an_item_of_a_list_is_removed_on_green() -> None:
    green = FakeApiServer("fern")
    fault = {"abort": {"httpStatus": 503}}
    replicate(green, route(timeout="5s", fault=fault))
    made, done = replicate(green, route(timeout="5s"))
    assert actions(made) == [("update", "VirtualService")]
    assert [line(each) for each in field_changes(made.changes[0])] == [
        'spec.http[0].fault: {"abort":{"httpStatus":503}} -> (none)'
    ]
    assert done.updated == 1
    assert "fault" not in green.objects["networking.istio.io", "VirtualService", "n", "r"]["spec"]["http"][0]
    made, done = replicate(green, route(timeout="5s"))
    assert (actions(made), done.writes) == ([("unchanged", "VirtualService")], 0)


def test_what_green_has_by_default_in_an_item_of_a_list_is_not_written_again() -> None:
    green = FakeApiServer("fern")
    replicate(green, route(timeout="5s"))
    green.objects["networking.istio.io", "VirtualService", "n", "r"]["spec"]["http"][0]["retries"] = {"attempts": 2}
    made, done = replicate(green, route(timeout="5s"))
    assert (actions(made), done.writes) == ([("unchanged", "VirtualService")], 0)
