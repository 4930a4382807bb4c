"""What is no object of Kubernetes goes no further than the client; what is one, however sparse, goes on."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from aiohttp import web

from migration.clients import shapes
from migration.clients.kubernetes import Kubernetes
from migration.errors import Unreachable
from migration.objects.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, Resource
from routing.virtual_service import VIRTUAL_SERVICE
from tests.unit.replicate.test_client import Handler, against

META = {"name": "x", "namespace": "n"}
BAD: list[tuple[str, Any, str]] = [
    ("no mapping", 7, "it is a number"),
    ("null", None, "it is missing"),
    ("no metadata", {}, "metadata is missing"),
    ("metadata is a list", {"metadata": []}, "metadata is a list"),
    ("no name", {"metadata": {"namespace": "n"}}, "metadata.name is no name"),
    ("an empty name", {"metadata": {"name": "", "namespace": "n"}}, "metadata.name is no name"),
    ("a number as name", {"metadata": {"name": 5, "namespace": "n"}}, "metadata.name is no name"),
    ("no namespace", {"metadata": {"name": "x"}, "spec": 7}, "metadata.namespace is missing"),
    ("labels are a list", {"metadata": {**META, "labels": ["a"]}}, "metadata.labels is no map of texts"),
    ("a label is a number", {"metadata": {**META, "labels": {"a": "b", "c": 5}}}, "metadata.labels is no map of texts"),
    ("a label is null", {"metadata": {**META, "labels": {"a": None}}}, "metadata.labels is no map of texts"),
    ("an annotation is a mapping", {"metadata": {**META, "annotations": {"a": {}}}}, "metadata.annotations is no map"),
    ("spec is a number", {"metadata": META, "spec": 7}, "spec is a number"),
    ("spec is false", {"metadata": META, "spec": False}, "spec is true or false"),
    ("spec is a list", {"metadata": META, "spec": []}, "spec is a list"),
    ("status is a text", {"metadata": META, "status": "SECRET"}, "status is a text"),
]
GOOD: list[Any] = [
    {"metadata": META},
    {"metadata": {**META, "labels": None, "annotations": {}}, "spec": None, "status": {}},
    {"metadata": {**META, "labels": {"a": ""}, "annotations": {"a": "b"}}, "spec": {"replicas": 1}},
]


def answering(body: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body)

    return handler


@pytest.mark.parametrize(("obj", "told"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
def test_what_is_no_object_is_refused_by_cluster_kind_and_name(obj: Any, told: str) -> None:
    async def both(client: Kubernetes) -> None:
        with pytest.raises(Unreachable) as caught:
            await client.list(DEPLOYMENT)
        problem = caught.value
        assert "cluster plum: http://127.0.0.1:" in str(problem)
        assert f"which is no object of Kubernetes: {told}" in str(problem)
        assert "Deployment" in str(problem)
        assert "SECRET" not in str(problem)
        if "'name': 'x'" in str(obj):
            assert "x, which is no object" in str(problem)
        assert all(part in str(problem.remedy) for part in ("--context ctx", "/apis/apps/v1/deployments", "the-file"))

    against(answering({"kind": "DeploymentList", "metadata": {}, "items": [GOOD[2], obj]}), both)
    if isinstance(obj, dict):
        with pytest.raises(Unreachable, match="no object of Kubernetes"):
            against(answering(obj), lambda client: client.get(DEPLOYMENT, "n", "x"))


@pytest.mark.parametrize("data", [7, [], {"a": 5}, {"a": None}, {"a": {}}], ids=str)
def test_data_are_texts(data: Any) -> None:
    assert shapes.fault({"metadata": META, "data": data}, CONFIG_MAP) == "data is no map of texts"
    revision = Resource("apps", "v1", "ControllerRevision", "controllerrevisions", True)
    assert shapes.fault({"metadata": META, "data": data}, revision) is None, "there it is anything"


@pytest.mark.parametrize("obj", GOOD)
def test_what_is_an_object_is_accepted(obj: Any) -> None:
    found = against(
        answering({"kind": "DeploymentList", "metadata": {}, "items": [obj]}), lambda client: client.list(DEPLOYMENT)
    )
    assert [each["metadata"]["name"] for each in found.items] == ["x"]
    assert shapes.fault({"metadata": {"name": "n"}}, NAMESPACE) is None


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({"kind": "VirtualServiceList", "metadata": {"resourceVersion": "1"}, "items": None}, 0),
        ({"kind": "VirtualServiceList", "metadata": {}, "items": []}, 0),
        ({"items": []}, None),
        ({"items": None}, None),
        ({"kind": "VirtualServiceList", "items": []}, None),
        ({"kind": "VirtualServiceList", "metadata": None, "items": []}, None),
        ({"metadata": {}, "items": []}, None),
        ({"kind": "VirtualServiceList", "metadata": {}}, None),
        ({"kind": "VirtualServiceList", "metadata": {}, "items": {}}, None),
        ({"kind": "VirtualServiceList", "metadata": {}, "items": 0}, None),
    ],
    ids=str,
)
def test_an_empty_list_is_believed_only_from_who_writes_lists(page: Any, expected: int | None) -> None:
    """Nothing there is what a plan goes by: anybody's `{}` is no proof of it."""
    if expected is None:
        with pytest.raises(Unreachable, match="no list of Kubernetes"):
            against(answering(page), lambda client: client.list(VIRTUAL_SERVICE))
    else:
        assert len(against(answering(page), lambda client: client.list(VIRTUAL_SERVICE)).items) == expected


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_it_costs_next_to_nothing_beside_the_reading(count: int) -> None:
    """Against the parsing alone, which is a part of what a list takes: at most a tenth of it."""
    labels = {f"app.kubernetes.io/part-{at}": f"value-{at}" for at in range(8)}
    container = {
        "name": "c",
        "image": "registry.test/shop/web:1",
        "env": [{"name": f"E{i}", "value": "x" * 30} for i in range(20)],
    }
    managed = [{"manager": f"m{i}", "fieldsV1": {f"f:{k}": {"f:x": {}} for k in range(30)}} for i in range(3)]
    obj = {
        "metadata": {**META, "labels": labels, "annotations": labels, "managedFields": managed},
        "spec": {"template": {"spec": {"containers": [container] * 2}}},
        "status": {"conditions": [{"type": "Available", "status": "True"}] * 3},
    }
    text = orjson.dumps({"items": [obj] * count})
    reading, checking = [], []
    for _ in range(3):
        began = time.process_time()
        items = orjson.loads(text)["items"]
        reading.append(time.process_time() - began)
        began = time.process_time()
        assert shapes.first_bad(items, DEPLOYMENT) is None
        checking.append(time.process_time() - began)
    assert min(checking) < min(reading) / 10, (min(checking), min(reading))
