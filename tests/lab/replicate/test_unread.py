"""Nothing is written while something is unread, whatever the reason, unless it is named; and what has a controller is never
copied, whether or not its owner could be read.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import Bare, await_object
from tests.lab.support.between import Answer, Instead, both, look, namespace, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SETS = "/apis/apps/v1/replicasets"
NAME = "unread"


@pytest.fixture(scope="module")
def planes(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """A Deployment with its pod, a bare pod and some ConfigMaps on blue."""
    blue, _ = pair
    with namespace(pair, NAME):
        blue.kubectl("create", "deployment", "api", "-n", NAME, "--image=example.test/api:1")
        blue.kubectl("run", "bare", "-n", NAME, "--image=example.test/bare:1", "--restart=Always")
        for number in range(5):
            blue.kubectl("create", "configmap", f"c{number}", "-n", NAME, "--from-literal=a=b")
        await_object(blue, "pods", "-n", NAME, "-l", "app=api")
        yield pair


def failing(path: str, status: int = 503, also: str = "") -> Answer:
    def answer(request: web.Request) -> web.Response | None:
        if request.method == "GET" and request.path == path and (not also or request.query.get(also)):
            return web.json_response({"kind": "Status", "message": "not now", "code": status}, status=status)
        return None

    return answer


def may_all_but_replica_sets(plane: Bare) -> str:
    """A token of a user who may read everything but ReplicaSets."""
    groups = json.loads(plane.kubectl("get", "--raw", "/apis"))["groups"]
    rules = [
        {"apiGroups": ["", *(g["name"] for g in groups if g["name"] != "apps")], "resources": ["*"], "verbs": ["get", "list"]}
    ]
    apps = ["deployments", "statefulsets", "daemonsets", "controllerrevisions"]
    rules.append({"apiGroups": ["apps"], "resources": apps, "verbs": ["get", "list"]})
    return user(plane, "most", rules)


def user(plane: Bare, name: str, rules: list[dict[str, list[str]]]) -> str:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    binding = {
        **{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAME}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAME}}
    plane.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [account, role, binding]}))
    return plane.kubectl("create", "token", name, "-n", NAME).strip()


def without(plane: Bare, name: str) -> None:
    plane.kubectl("delete", "clusterrole,clusterrolebinding", name, "--ignore-not-found")


@pytest.mark.parametrize("why", ["503", "403"])
def test_unread_replica_sets_stop_the_run_until_they_are_named(planes: tuple[Bare, Bare], why: str) -> None:
    blue, green = planes
    try:
        between = {"blue": failing(SETS)} if why == "503" else {"blue_token": may_all_but_replica_sets(blue)}
        ended = run(planes, **between)
        assert (ended.code, ended.writes) == (3, 0)
        assert "--despite-unread replicasets.apps" in ended.said
        assert list(ended.document["unread"]) == ["replicasets.apps"]
        assert run(planes, yes=False, **between).writes == 0
        for number, word in enumerate(("replicasets.apps", "ReplicaSet", "all")):
            ended = run(planes, despite=(word,), **between)
            assert ended.code == 3, "it is told each time"
            assert ended.document["failures"] == ended.document["conflicts"] == []
            assert number == 0 or ended.writes == 0
            copied = {name for name, action in ended.actions().items() if action != "left" and name.startswith("Pod ")}
            assert {name for name in copied if name.startswith(f"Pod {NAME}/")} == {f"Pod {NAME}/bare"}, "no pod of theirs"
        # green's own controllers make the others
        assert green.kubectl("get", "configmaps", "-n", NAME, "-o", "name").count("configmap/c") == 5
        pods = json.loads(green.kubectl("get", "pods", "-n", NAME, "-o", "json"))["items"]
        assert [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("ownerReferences")] == ["bare"]
    finally:
        without(blue, "most")
        remove_namespaces((green,), NAME)


def test_a_misspelt_kind_is_refused_before_anything_is_written(planes: tuple[Bare, Bare]) -> None:
    ended = run(planes, despite=("replicaset.app",), blue=failing(SETS))
    assert (ended.code, ended.writes) == (2, 0)
    assert "did you mean replicasets.apps" in ended.said


def small_pages(answer: Answer) -> Answer:
    """Lists come in pages of two."""

    def handle(request: web.Request) -> web.Response | Instead | None:
        return answer(request) or (Instead(query={"limit": "2"}) if "limit" in request.query else None)

    return handle


def test_a_list_that_fails_on_a_later_page_is_unread(planes: tuple[Bare, Bare]) -> None:
    ended = run(planes, blue=small_pages(failing("/api/v1/configmaps", also="continue")))
    assert (ended.code, ended.writes) == (3, 0)
    assert list(ended.document["unread"]) == ["configmaps"]


def test_a_list_that_the_server_has_forgotten_is_begun_again(planes: tuple[Bare, Bare]) -> None:
    forgotten: list[str] = []

    def once(request: web.Request) -> web.Response | None:
        if request.path == "/api/v1/configmaps" and request.query.get("continue") and not forgotten:
            forgotten.append(request.query["continue"])
            return web.json_response({"kind": "Status", "message": "too old", "code": 410}, status=410)
        return None

    ended = run(planes, yes=False, blue=small_pages(once))
    assert forgotten
    assert ended.document["unread"] == {}
    assert {f"ConfigMap {NAME}/c{number}" for number in range(5)} <= ended.actions().keys()


def test_a_kind_of_greens_that_cannot_be_listed_stops_everything_too(planes: tuple[Bare, Bare]) -> None:
    ended = run(planes, green=failing("/api/v1/configmaps"))
    assert (ended.code, ended.writes) == (3, 0)
    assert list(ended.document["unread"]) == ["configmaps on fern"]
    assert all(
        each["action"] == "held" and each["waits_for"] == "unread"
        for each in ended.document["objects"]
        if each["object"].startswith(f"ConfigMap {NAME}/c")
    )


def as_before_1_26(answer: Answer) -> Answer:
    """A server that knows nothing of aggregated discovery."""

    def handle(request: web.Request) -> web.Response | Instead | None:
        return answer(request) or (Instead(accept="application/json") if request.path in ("/api", "/apis") else None)

    return handle


def test_an_old_server_is_read_as_whole_as_a_new_one(planes: tuple[Bare, Bare]) -> None:
    async def discover() -> None:
        async with both(planes, blue=as_before_1_26(lambda _: None)) as (old, _), both(planes) as (new, _):
            one, other = await old.discover(), await new.discover()
            assert one.served == other.served
            assert set(one.resources) == set(other.resources)

    asyncio.run(discover())


@pytest.mark.parametrize("group", ["apps/v1", "networking.istio.io/v1"])
def test_a_group_of_an_old_server_that_cannot_be_discovered_is_unread(planes: tuple[Bare, Bare], group: str) -> None:
    ended = run(planes, blue=as_before_1_26(failing(f"/apis/{group}")))
    assert (ended.code, ended.writes) == (3, 0)
    assert group in ended.document["unread"]
    assert {f.code for f in look(planes, blue=as_before_1_26(failing(f"/apis/{group}"))) if f.status == "unknown"} >= {"BG003"}


def test_an_aggregated_api_whose_server_is_away_is_unread(planes: tuple[Bare, Bare]) -> None:
    blue, _ = planes
    spec = {
        **{"group": "away.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100},
        **{"service": {"name": "away", "namespace": NAME}, "insecureSkipTLSVerify": True},
    }
    service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.away.example.com"}}
    try:
        blue.kubectl("create", "service", "clusterip", "away", "--tcp=443:443", "-n", NAME)  # with nothing behind it
        blue.kubectl("apply", "-f", "-", given=json.dumps({**service, "spec": spec}))
        await_object(blue, "apiservice", "v1.away.example.com")
        ended = run(planes)
        assert (ended.code, ended.writes) == (3, 0)
        assert ended.document["unread"]["away.example.com/v1"] == "its API server does not answer"
    finally:
        blue.kubectl("delete", "apiservice", "v1.away.example.com", "--ignore-not-found")
        blue.kubectl("delete", "service", "away", "-n", NAME, "--ignore-not-found")


def test_a_user_who_may_list_only_a_part_gets_one_finding_for_it(planes: tuple[Bare, Bare]) -> None:
    blue, _ = planes
    seen = ["pods", "services", "deployments", "statefulsets", "daemonsets", "nodes", "configmaps"]
    try:
        rules = [
            {"apiGroups": ["", "apps"], "resources": seen, "verbs": ["get", "list"]},
            {"apiGroups": ["networking.istio.io"], "resources": ["*"], "verbs": ["get", "list"]},
        ]
        token = user(blue, "looker", rules)
        unknown = [f for f in look(planes, blue_token=token) if f.status == "unknown"]
        assert set(Counter(f.object for f in unknown).values()) == {1}
        assert {f.severity for f in unknown} == {"blocking"}
        (alike,) = [f for f in unknown if f.code == "BG002"]
        assert alike.object == f"system:serviceaccount:{NAME}:looker on plum"
        assert int(alike.evidence.split()[2]) > 30
        assert "kinds may not be listed by" in alike.evidence
        assert "bluegreen-read" in alike.remedy
        ended = run(planes, blue_token=token)
        assert (ended.code, ended.writes) == (3, 0)
        assert {"replicasets.apps", "secrets"} <= ended.document["unread"].keys()
        planned = {name for name, action in ended.actions().items() if action == "create" and name.startswith(f"Pod {NAME}/")}
        assert planned <= {f"Pod {NAME}/bare"}, "no pod of a ReplicaSet"
    finally:
        without(blue, "looker")
