"""A second kind of route is one file and one entry of the registry: every step of a migration works with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import routing
import routing.kinds
from migration.cli.console import Context, finish
from migration.cli.prepare import take_in
from migration.clients.counters import destination_hosts
from migration.clients.edge_record import Sides
from migration.clients.istio import IstioRouter
from migration.enroll.argo import warnings
from migration.enroll.steps import unenroll
from migration.errors import BluegreenError, Forbidden, NotFound
from migration.model import FENCE
from migration.objects.kinds import DEPLOYMENT, SERVICE, Object
from migration.ownership.owners import written_by_edge
from migration.ports import Written
from migration.ports.answers import UPSTREAM_TIME, Answer
from migration.ports.routes import listed
from migration.settings import salvage
from migration.settings.stack_file import StackFile, read_route
from migration.store.journal import Journal
from migration.verify.request import Check, request_for
from migration.verify.run import verify
from tests.fakes.apiserver import SERVED, FakeApiServer
from tests.fakes.parts import LISTENER, NEIGHBOUR, PARTS, PartedRoutes
from tests.fakes.world import Universe, shift

PARTED, ISTIOS = "shop/catalog", "shop/cart"
EDGE = "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {}\n  bluegreen:generation: 1\n"
NAMES: dict[routing.Side, str] = {"blue": "plum", "green": "fern"}
PEERS: dict[routing.Side, routing.Peer] = {"blue": routing.Peer("10.0.0.2"), "green": routing.Peer("10.0.0.1")}


@pytest.fixture(autouse=True)
def second_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(routing.kinds.KINDS, PARTS.name, PartedRoutes())


def parted(name: str = "catalog", **spec: Any) -> Object:
    parts = [{"to": "catalog", "per_myriad": 7000}, {"to": "catalog-next", "per_myriad": 3000}]
    whole = {"listeners": ["istio-system/public"], "names": ["shop.test"], "parts": parts} | spec
    return routing.object_of(PARTS, "shop", name, whole)


def istios() -> Object:
    spec = {"hosts": ["c"], "gateways": ["istio-system/public"], "http": [{"route": [{"destination": {"host": "cart"}}]}]}
    meta = {"name": "cart", "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


class Pair:
    """Two clusters with a route of each kind, and one that nobody comes in by."""

    def __init__(self, folder: Path) -> None:
        routes = (parted(), istios(), parted("inner", listeners=[]))
        serving = (*SERVED, PARTS, LISTENER, NEIGHBOUR)
        self.servers = {side: FakeApiServer(name, routes, resources=serving) for side, name in NAMES.items()}
        self.folder = folder
        self.file = StackFile(folder / "Pulumi.edge.yaml")
        (folder / "Pulumi.edge.yaml").write_text(EDGE)

    @property
    def originals(self) -> dict[str, Object]:
        return {service: read_route(self.file.routes_folder, service) for service in self.file.read().services}

    def enroll(self) -> None:
        opened: Any = SimpleNamespace(
            clusters=self.servers, peers=PEERS, file=self.file, edge=self.file.read(), originals=self.originals
        )
        migration: Any = SimpleNamespace(store=self.folder / ".bluegreen")
        context = Context(Path("m"), True)
        asyncio.run(take_in(context, migration, opened, (), yes=True))
        finish(context, None)

    def object(self, side: routing.Side, resource: routing.Resource, name: str, namespace: str = "shop") -> Any:
        return self.servers[side].objects.get((resource.group, resource.kind, namespace, name))

    def splits(self, service: str = PARTED) -> list[int | None]:
        """What the public routes and the peer routes hold, blue's first."""
        original = parted() if service == PARTED else istios()
        resource, name = routing.kind_of(original).resource, service.partition("/")[2]
        splits: list[int | None] = []
        for side in NAMES:
            splits.append(routing.live_split(self.object(side, resource, name), original, side))
            splits.append(routing.probe_split(self.object(side, resource, f"{name}{routing.PEER_SUFFIX}")))
        return splits


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_enrolling_it_changes_nothing_for_users(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    document = json.loads(capsys.readouterr().out)
    assert sorted(document["enrolled"]) == [ISTIOS, PARTED]
    assert document["left_out"] == [], "by its code: nobody comes in by the third, and nothing is said of it"
    assert pair.originals == {PARTED: parted(), ISTIOS: istios()}
    for side in NAMES:
        neighbour = pair.object(side, NEIGHBOUR, "catalog-bluegreen-peer")
        assert neighbour["spec"]["address"] == f"{PEERS[side].address}:15088"
        assert pair.object(side, LISTENER, "bluegreen-peer", "istio-system")
        assert pair.object(side, PARTS, "inner-bluegreen-peer") is None, "nobody comes in by it"
    assert not routing.forwards(pair.object("blue", PARTS, "catalog"))
    assert pair.splits() == [0, 0, 0, 0]
    pair.enroll()
    assert json.loads(capsys.readouterr().out)["finished"] == []


def test_one_that_was_cut_short_is_finished(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    del pair.servers["green"].objects[NEIGHBOUR.group, NEIGHBOUR.kind, "shop", "catalog-bluegreen-peer"]
    capsys.readouterr()
    pair.enroll()
    assert json.loads(capsys.readouterr().out)["finished"] == [PARTED]
    assert pair.object("green", NEIGHBOUR, "catalog-bluegreen-peer")


def test_it_is_shifted_beside_one_of_the_first_kind(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pair.enroll()
    universe = Universe(tmp_path, services=(PARTED, ISTIOS))
    on_the_way: set[int | None] = set()

    class Router(IstioRouter):
        """Its data plane serves what its API server has, and users go where the routes send them."""

        async def write(self, splits: Mapping[str, int], **options: Any) -> Written:
            written = await super().write(splits, **options)
            for service, live in (await self.read()).routes.items():
                universe.routes[self.side][service].split = live.split_bp
            on_the_way.update(pair.splits())
            return written

        async def in_effect(self, service: str, split_bp: int) -> bool:
            return (await self.read()).routes[service].probe_bp == split_bp

    def router(_: Universe, side: routing.Side) -> Router:
        sides = Sides("plum", "fern", {"plum": 10_000, "fern": 0})
        return Router(pair.servers[side], side, PEERS[side], ("", 0), pair.originals, sides)

    monkeypatch.setattr("tests.fakes.world.FakeRouter", router)
    shift(universe)
    for service in (PARTED, ISTIOS):
        assert pair.splits(service) == [10_000] * 4
    assert {10, 2000, 10_000} <= on_the_way, "each step of the policy, in whole"
    assert int(pair.object("blue", PARTS, "catalog")["metadata"]["annotations"][FENCE]) > 0
    assert pair.file.read().services == {PARTED: 10_000, ISTIOS: 10_000}


def test_unenrolling_it_leaves_the_first_kind_alone(pair: Pair) -> None:
    pair.enroll()
    for side, server in pair.servers.items():
        router = IstioRouter(server, side, PEERS[side], ("", 0), pair.originals, Sides("plum", "fern", {}))
        assert asyncio.run(router.raise_fence(7)) == []
        assert pair.object(side, PARTS, "catalog")["metadata"]["annotations"][FENCE] == "7"
    journal = Journal(pair.folder / ".bluegreen", 1, lambda: 0.0)
    asyncio.run(unenroll([PARTED], clusters=pair.servers, file=pair.file, journal=journal))
    journal.close()
    for side in NAMES:
        assert pair.object(side, PARTS, "catalog")["spec"] == parted()["spec"]
        assert FENCE not in pair.object(side, PARTS, "catalog")["metadata"].get("annotations", {})
        assert pair.object(side, PARTS, "catalog-bluegreen-peer") is None
        assert pair.object(side, NEIGHBOUR, "catalog-bluegreen-peer") is None
    assert pair.file.read().services == {ISTIOS: 0}
    assert pair.splits(ISTIOS) == [0, 0, 0, 0]


def test_its_original_is_found_on_the_clusters_where_the_file_is_gone() -> None:
    public, peer = routing.public_route(parted(), 2500, "blue"), routing.peer_route(parted(), 2500)
    live = {PARTED: public, routing.peer_of(PARTED): peer}
    assert salvage.original(PARTED, {"blue": live}) == (parted(), "its peer route")


async def answers(address: str, port: int, request: routing.Request, *, timeout_seconds: float = 1.0) -> Answer:
    """A workload to this one request, nobody to any other."""
    right = request == routing.Request("shop.test", "/parts", headers={routing.RULE_HEADER: f"{PARTED}/0"})
    return Answer(200 if right else 404, {UPSTREAM_TIME: "1"} if right else {})


def test_it_is_verified_by_a_request_that_its_kind_makes() -> None:
    original = parted(parts=[{"to": "catalog", "per_myriad": 10_000}])
    labels = {"metadata": {"labels": {"app": "catalog"}}}
    workload = routing.object_of(DEPLOYMENT, "shop", "catalog", {"replicas": 1, "template": labels})
    green = FakeApiServer(
        "fern",
        [
            original,
            routing.peer_route(original, 0),
            routing.object_of(SERVICE, "shop", "catalog", {"selector": {"app": "catalog"}}),
            workload | {"status": {"availableReplicas": 1}},
        ],
    )
    at: Any = SimpleNamespace(address="127.0.0.1", port=80)
    (verdict,) = asyncio.run(
        verify(
            [PARTED],
            at,
            at,
            FakeApiServer("plum", [original]),
            green,
            probe=answers,
            enrolled={PARTED: original},
            listeners={"blue": at, "green": at},
            patience_seconds=0,
        )
    )
    assert verdict.green_status == verdict.blue_status == 200
    assert "Deployment shop/catalog: 1 of 1 available" in verdict.evidence
    assert verdict.problems == ("Service shop/catalog: 0 ready endpoints",)
    assert str(request_for(original, {}, Check(path="/health"))) == "GET shop.test/health"


def test_its_users_are_counted_by_where_it_sends_them() -> None:
    hosts = {"catalog.shop.svc.cluster.local", "catalog-next.shop.svc.cluster.local"}
    assert destination_hosts(parted()) == hosts
    assert routing.services_of(parted()) == {PARTED, "shop/catalog-next"}


def test_the_warning_for_its_gitops_tool_names_its_own_kind() -> None:
    route = parted()
    route["metadata"]["labels"] = {"argocd.argoproj.io/instance": "shop"}
    (line,) = asyncio.run(warnings(FakeApiServer("plum", resources=()), {PARTED: route}))
    assert f"group: {PARTS.group}, kind: {PARTS.kind}" in line
    assert "VirtualService" not in line


def test_a_route_with_a_forward_is_the_edges_and_one_in_its_original_form_is_not() -> None:
    for route, ours in (
        (routing.public_route(parted(), 2500, "blue"), True),
        (routing.public_route(parted(), 0, "blue"), True),
        (parted(), False),
    ):
        route["metadata"] |= {"managedFields": [{"manager": routing.FIELD_MANAGER}]}
        assert written_by_edge(route) is ours


def test_a_name_of_two_kinds_means_what_is_enrolled_else_what_users_enter_by() -> None:
    inner, mesh = parted("cart", listeners=[]), istios()
    assert routing.by_service([inner, mesh]) == routing.by_service([mesh, inner]) == {ISTIOS: mesh}
    enrolled = routing.public_route(parted("cart"), 0, "blue")
    assert routing.by_service([mesh, enrolled]) == routing.by_service([enrolled, mesh]) == {ISTIOS: enrolled}
    assert routing.by_service([mesh, parted("cart")]) == {ISTIOS: mesh}, "the kind that was registered first"


def serving(*unserved: routing.Resource, problem: type[BluegreenError] = NotFound) -> FakeApiServer:
    def trouble(verb: str, resource: routing.Resource, name: str) -> None:
        if resource in unserved:
            raise problem(f"{resource.name} cannot be read")

    return FakeApiServer("plum", [parted(), istios()], trouble=trouble)


def test_a_kind_that_a_cluster_does_not_serve_has_no_routes_there() -> None:
    kinds = tuple(kind.resource for kind in routing.registered())
    assert asyncio.run(listed(serving())) == [*asyncio.run(listed(serving(PARTS))), *asyncio.run(listed(serving(kinds[0])))]
    with pytest.raises(NotFound):
        asyncio.run(listed(serving(*kinds)))


def test_a_kind_that_may_not_be_read_is_an_error() -> None:
    with pytest.raises(Forbidden, match=PARTS.name):
        asyncio.run(listed(serving(PARTS, problem=Forbidden)))


def test_messages_name_both_kinds() -> None:
    assert routing.called(article=True) == f"a VirtualService or {PARTS.kind}"
    with pytest.raises(routing.UnknownKind, match=f"is not a VirtualService or {PARTS.kind}"):
        routing.kind_of({"apiVersion": "v1", "kind": "Service"})
    with pytest.raises(routing.UnknownKind):
        routing.kind_of({**parted(), "apiVersion": "elsewhere.example.com/v1"})
