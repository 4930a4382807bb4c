"""A thousand services at once: each for itself, those with users first, and what is left is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import routing
from migration.clients.edge_record import Sides
from migration.clients.istio import IN_FLIGHT, SILENT_SECONDS, IstioRouter
from migration.errors import ForeignWrite, Rejected, Unreachable
from migration.model import FENCE, MANAGER, RouterState
from migration.objects.kinds import Object, Resource
from migration.settings.stack_file import StackFile
from migration.shift.gateways import Gateways, Intent
from migration.shift.ledger import open_ledger
from migration.shift.proof import Proof
from migration.shift.rollback import Means, rollback
from migration.shift.rolled import RollbackResult
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.clock import FakeClock, run
from tests.fakes.world import until

MANY = pytest.mark.parametrize("many", [250, pytest.param(1000, marks=pytest.mark.long)])
SECONDS = 0.04  # of an API server for one write, of which it does 8 at a time: 200 a second
NAMES: dict[routing.Side, str] = {"blue": "plum", "green": "fern"}
SIDES = Sides("plum", "fern", {"plum": 10_000, "fern": 0})
PEER = routing.Peer("10.0.0.9")


def original(number: int) -> Object:
    destination = {"destination": {"host": f"s{number}.shop.svc.cluster.local", "port": {"number": 80}}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"s{number}", "namespace": "shop"},
        "spec": {"hosts": [f"s{number}.test"], "gateways": ["istio-system/public"], "http": [{"route": [destination]}]},
    }


class Pair:
    """Both clusters with so many services at a split, and what their gateways serve: what was written."""

    def __init__(self, many: int, split: int = 2500, fences: int = 0, **server: Any) -> None:
        self.originals = {f"shop/s{number}": original(number) for number in range(many)}
        self.servers = {side: FakeApiServer(name, **server) for side, name in NAMES.items()}
        self.routers = {
            side: Asked(server, side, PEER, ("", 0), self.originals, SIDES) for side, server in self.servers.items()
        }
        for side, cluster in self.servers.items():
            for route in self.originals.values():
                cluster.put(owned(routing.public_route(route, split, side), fences))
                cluster.put(owned(routing.peer_route(route, split)))

    def splits(self, side: routing.Side) -> dict[str, int | None]:
        found = {}
        for service, route in self.originals.items():
            namespace, name = service.split("/")
            live = self.servers[side].objects["networking.istio.io", "VirtualService", namespace, name]
            found[service] = routing.live_split(live, route, side)
        return found

    def written(self, side: routing.Side) -> list[str]:
        """Names of the objects that were applied, in that order."""
        return [what.split()[1] for verb, what in self.servers[side].requests if verb == "apply"]


def owned(obj: Object, fence: int = 0) -> Object:
    if fence:
        obj["metadata"]["annotations"][FENCE] = str(fence)
    return obj


class Asked(IstioRouter):
    """Its data plane serves what the API server was given."""

    async def in_effect(self, service: str, split_bp: int) -> bool:
        await asyncio.sleep(0.01)
        found = self.kubernetes.objects.get(  # type: ignore[attr-defined]
            ("networking.istio.io", "VirtualService", *f"{service}-bluegreen-peer".split("/"))
        )
        return routing.probe_split(found or {}) == split_bp


def project(folder: Path, services: Sequence[str], split: int, entry: str = "{plum: 10000, fern: 0}") -> StackFile:
    path = folder / "Pulumi.edge.yaml"
    lines = "".join(f"    {service}: {split}\n" for service in services)
    path.write_text(
        f"config:\n  bluegreen:sides: {{blue: plum, green: fern}}\n  bluegreen:entry: {entry}\n  bluegreen:services:\n{lines}"
        "  bluegreen:generation: 1\n"
    )
    return StackFile(path)


async def take_back(folder: Path, pair: Pair, file: StackFile, services: Sequence[str] = ()) -> RollbackResult:
    ledger = await open_ledger(folder / ".bluegreen", FakeClock().wall)
    try:
        means = Means(pair.routers, None, file, ledger, FakeClock(), pair.servers)
        return await rollback(file.read(), list(services or pair.originals), means)
    finally:
        ledger.close()


@MANY
def test_a_rollback_of_many_services_writes_blues_public_routes_first(tmp_path: Path, many: int) -> None:
    async def act() -> tuple[Pair, RollbackResult]:
        pair = Pair(many, seconds=SECONDS)
        return pair, await take_back(tmp_path, pair, project(tmp_path, list(pair.originals), 2500))

    pair, rolled = run(act())
    assert rolled.complete
    assert rolled.in_effect == {"blue": Proof.SERVED, "green": Proof.SERVED}
    assert rolled.not_back == {}, "all are back"
    for side in NAMES:
        assert set(pair.splits(side).values()) == {0}
    assert not any("peer" in name for name in pair.written("blue")[:many])
    assert pair.written("blue")[2 * many] == "bluegreen-edge"


def test_what_an_api_server_refuses_or_forgets_of_one_service_concerns_no_other(tmp_path: Path) -> None:
    broken = True

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if broken and verb == "apply" and name == "s7":
            raise Rejected('admission webhook "x" denied the request')

    def seconds(verb: str, resource: Resource, name: str) -> float:
        return 60.0 if broken and name in ("s3", "s4") else SECONDS

    async def act() -> None:
        nonlocal broken
        pair = Pair(40, trouble=trouble, seconds=seconds)
        file = project(tmp_path, list(pair.originals), 2500)
        rolled = await take_back(tmp_path, pair, file)
        assert sorted(rolled.not_back) == ["shop/s3", "shop/s4", "shop/s7"]
        assert "denied" in rolled.not_back["shop/s7"]
        assert len(rolled.back) == 37
        assert not rolled.complete
        assert "3 of 40 services" in rolled.problems[0]
        assert "shop/s3, shop/s4, shop/s7" in rolled.problems[0]
        there = {service for service, split in pair.splits("blue").items() if split != 0}
        assert there == {"shop/s3", "shop/s4", "shop/s7"}
        broken = False
        for server in pair.servers.values():
            server.requests.clear()
        again = await take_back(tmp_path, pair, file)
        assert again.complete
        assert set(pair.splits("blue").values()) == {0}
        routes = [name for name in pair.written("blue") if not name.endswith("edge") and "peer" not in name]
        assert sorted(routes[:3]) == ["s3", "s4", "s7"]
        assert sorted(routes[3:]) == sorted(name.split("/")[1] for name in pair.originals), "once each, for the fence"

    run(act())


def test_a_rollback_begins_with_those_that_most_users_are_on(tmp_path: Path) -> None:
    async def act() -> Pair:
        pair = Pair(60, split=0, seconds=SECONDS)
        for number, split in ((50, 500), (58, 10_000)):
            pair.servers["blue"].put(routing.public_route(original(number), split, "blue"))
        await take_back(tmp_path, pair, project(tmp_path, list(pair.originals), 0))
        return pair

    assert run(act()).written("blue")[:2] == ["s58", "s50"]


def test_an_api_server_that_answers_nothing_is_given_up_at_once() -> None:
    def silent(verb: str, resource: Resource, name: str) -> float:
        return 1e6

    async def dead() -> float:
        pair = Pair(1000, seconds=silent)
        began = asyncio.get_running_loop().time()
        written = await pair.routers["blue"].write(
            dict.fromkeys(pair.originals, 0), changed=list(pair.originals), generation=2, fence=1, force=True
        )
        assert len(written.problems) == 1000
        assert all(isinstance(problem, Unreachable) for problem in written.problems.values())
        return asyncio.get_running_loop().time() - began

    assert run(dead()) < 3 * SILENT_SECONDS


def test_an_api_server_that_is_slow_is_not_given_up() -> None:
    async def slow() -> float:
        pair = Pair(200, seconds=2.0)  # 4 a second: far longer than any patience for the whole
        began = asyncio.get_running_loop().time()
        written = await pair.routers["blue"].write(
            dict.fromkeys(pair.originals, 0), changed=list(pair.originals), generation=2, fence=1, force=True
        )
        assert written.problems == {}
        return asyncio.get_running_loop().time() - began

    assert run(slow()) > 60


class Shifted:
    """What a shift hands to its gateways."""

    def __init__(self, pair: Pair) -> None:
        self.splits = dict.fromkeys(pair.originals, 2500)
        self.paid: list[str] = []
        self.gates = Gateways(pair.routers, FakeClock(), 1, force=False)
        self.gates.on_paid = self.paid.append

    @property
    def intent(self) -> Intent:
        return dict(self.splits), 2


def test_a_thousand_that_turn_bad_at_once_are_rolled_back_while_the_run_continues() -> None:
    async def act() -> None:
        pair = Pair(1000, seconds=SECONDS)
        shift = Shifted(pair)
        await pair.routers["blue"].read()
        await pair.routers["green"].read()
        shift.splits = dict.fromkeys(pair.originals, 0)
        began = asyncio.get_running_loop().time()
        await shift.gates.write(list(pair.originals), shift.intent, wait_for=["blue"])
        assert asyncio.get_running_loop().time() - began < 6, "others may turn bad meanwhile"
        assert shift.gates.owed["blue"], "what is not written is known"
        assert not shift.gates.failing["blue"], "and has not failed"
        for _ in range(60):
            if not shift.gates.owed["blue"] and not shift.gates.owed["green"]:
                break
            await asyncio.sleep(1)
            shift.gates.pay(shift.intent)
        for side in NAMES:
            assert set(pair.splits(side).values()) == {0}
        names = [name for name in pair.written("blue") if not name.endswith("edge")]
        assert len(names) == len(set(names)), "nothing was written twice"

    run(act())


@pytest.mark.parametrize("after", [0.3, 1.3], ids=["among public routes", "among peer routes"])
def test_a_rollback_overtakes_all_writes_that_go_forward(after: float) -> None:
    async def act() -> None:
        pair = Pair(200, split=0, seconds=SECONDS)
        shift = Shifted(pair)
        for router in pair.routers.values():
            await router.read()
        forward = asyncio.ensure_future(shift.gates.write(list(pair.originals), shift.intent))
        await asyncio.sleep(after)
        bad = "shop/s150"
        shift.splits[bad] = 0
        before = len(pair.written("blue"))
        await shift.gates.write([bad], shift.intent, wait_for=["blue"])
        assert pair.written("blue")[before:].index("s150") <= IN_FLIGHT, "only what was sent already is before it"
        await forward
        while shift.gates.owed["blue"] or shift.gates.owed["green"]:
            await asyncio.sleep(0.5)
            shift.gates.pay(shift.intent)
        for side in NAMES:
            assert pair.splits(side) == {service: 0 if service == bad else 2500 for service in pair.originals}

    run(act())


def test_a_run_waits_only_for_a_gateway_that_is_being_written() -> None:
    async def act() -> None:
        pair = Pair(100, seconds=SECONDS)
        pair.servers["green"].seconds = 0.4
        shift = Shifted(pair)
        shift.splits = dict.fromkeys(pair.originals, 0)
        await shift.gates.write(list(pair.originals), shift.intent, wait_for=["blue"])
        assert not shift.gates.owed["blue"]
        assert shift.gates.writing
        await until(lambda: not shift.gates.writing)
        assert set(pair.splits("green").values()) == {0}
        pair.servers["green"].seconds = 1e6
        shift.splits = dict.fromkeys(pair.originals, 2500)
        await shift.gates.write(list(pair.originals), shift.intent, wait_for=["blue"])
        await asyncio.sleep(SILENT_SECONDS + 0.1)
        for _ in range(3):
            shift.gates.pay(shift.intent)
            await asyncio.sleep(0.5)
            assert not shift.gates.writing
            assert shift.gates.owed["green"]
        for task in shift.gates.tasks:
            task.cancel()

    run(act())


def test_a_write_whose_answer_was_lost_is_not_taken_for_another_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        pair = Pair(2)
        server, router = pair.servers["blue"], pair.routers["blue"]
        await router.read()
        real = server.apply

        async def twice(resource: Resource, obj: Object, **how: Any) -> Object:
            await real(resource, obj, **how)
            return await real(resource, obj, **how)

        monkeypatch.setattr(server, "apply", twice)
        splits = dict.fromkeys(pair.originals, 500)
        written = await router.write(splits, changed=list(splits), generation=2, fence=1)
        assert written.problems == {}
        assert set(pair.splits("blue").values()) == {500}

    run(act())


def test_a_write_after_one_whose_answer_was_lost_is_not_over_another_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server took the step and its answer never came: the next split, whichever it is, goes over our own."""

    async def act() -> None:
        pair = Pair(2)
        server, router = pair.servers["blue"], pair.routers["blue"]
        await router.read()
        real = server.apply

        async def taken_and_unanswered(resource: Resource, obj: Object, **how: Any) -> Object:
            await real(resource, obj, **how)
            raise Unreachable("plum did not answer")

        with monkeypatch.context() as patch:
            patch.setattr(server, "apply", taken_and_unanswered)
            lost = await router.write(dict.fromkeys(pair.originals, 5000), changed=list(pair.originals), generation=2, fence=1)
        assert set(map(type, lost.problems.values())) == {Unreachable}
        for split in (10_000, 0):
            written = await router.write(
                dict.fromkeys(pair.originals, split), changed=list(pair.originals), generation=3, fence=1
            )
            assert written.problems == {}
            assert set(pair.splits("blue").values()) == {split}

    run(act())


def test_what_the_server_stored_is_ours_though_nothing_of_it_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken with its answer lost; sent again, and a conflict; the look that follows is lost, too. Then all goes back."""

    async def act() -> None:
        pair = Pair(1)
        server, router = pair.servers["blue"], pair.routers["blue"]
        (service,) = pair.originals
        await router.read()
        apply, get = server.apply, server.get

        async def taken_and_unanswered(resource: Resource, obj: Object, **how: Any) -> Object:
            await apply(resource, obj, **how)
            raise Unreachable("plum did not answer")

        async def unanswered(*_: Any, **__: Any) -> Object:
            raise Unreachable("plum did not answer")

        with monkeypatch.context() as patch:
            patch.setattr(server, "apply", taken_and_unanswered)
            await router.write({service: 5000}, changed=[service], generation=2, fence=1)
            patch.setattr(server, "apply", apply)
            patch.setattr(server, "get", unanswered)
            again = await router.write({service: 5000}, changed=[service], generation=2, fence=1)
            assert set(map(type, again.problems.values())) == {Unreachable}
            patch.setattr(server, "get", get)
        written = await router.write({service: 0}, changed=[service], generation=3, fence=1)
        assert written.problems == {}
        assert set(pair.splits("blue").values()) == {0}

    run(act())


def test_a_refused_step_is_not_taken_for_ours_when_another_client_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both write as the edge does: a `pulumi up` has the same field manager."""

    async def act() -> None:
        pair = Pair(1)
        server, router = pair.servers["blue"], pair.routers["blue"]
        ((service, route),) = pair.originals.items()
        await router.read()

        async def refuse(*_: Any, **__: Any) -> Object:
            raise Rejected("a webhook denied the request")

        with monkeypatch.context() as patch:
            patch.setattr(server, "apply", refuse)
            refused = await router.write({service: 5000}, changed=[service], generation=2, fence=1)
        assert set(map(type, refused.problems.values())) == {Rejected}
        await server.apply(routing.kind_of(route).resource, routing.public_route(route, 5000, "blue"), manager=MANAGER)
        written = await router.write({service: 10_000}, changed=[service], generation=3, fence=1)
        assert set(map(type, written.problems.values())) == {ForeignWrite}
        assert set(pair.splits("blue").values()) == {5000}

    run(act())


def test_what_is_about_to_be_written_is_no_change_by_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look whose answer lies ready when a write begins has its turn before the write has."""

    async def act() -> None:
        pair = Pair(2)
        shift = Shifted(pair)
        state = await pair.routers["blue"].read()
        answered: asyncio.Future[RouterState] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(pair.routers["blue"], "read", lambda: answered)
        looking = asyncio.ensure_future(shift.gates.look(lambda: shift.splits))
        await asyncio.sleep(0)
        answered.set_result(state)
        shift.splits = dict.fromkeys(pair.originals, 10_000)
        await shift.gates.write(list(pair.originals), shift.intent)
        await looking
        assert shift.gates.foreign == {}

    run(act())


def test_silence_counts_from_when_there_are_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that fetches a token may take 15 s: before a write, and in the midst of one whose token ran out."""

    async def act() -> None:
        now = asyncio.get_running_loop().time
        pair = Pair(40)
        server, router = pair.servers["blue"], pair.routers["blue"]
        until_then = now() + 3 * SILENT_SECONDS

        async def ready() -> float:
            await asyncio.sleep(max(0.0, until_then - now()))
            return until_then

        monkeypatch.setattr(server, "ready", ready)
        splits = dict.fromkeys(pair.originals, 0)
        began = now()
        assert (await router.write(splits, changed=list(splits), generation=2, fence=1, force=True)).problems == {}
        assert now() - began >= 3 * SILENT_SECONDS
        real = server.apply

        async def expired(resource: Resource, obj: Object, **how: Any) -> Object:
            nonlocal until_then
            if now() > until_then + 1:
                until_then = now() + 3 * SILENT_SECONDS
            await ready()
            return await real(resource, obj, **how)

        monkeypatch.setattr(server, "apply", expired)
        await asyncio.sleep(5)
        assert (await router.write(splits, changed=list(splits), generation=3, fence=1, force=True)).problems == {}
        monkeypatch.setattr(server, "seconds", 1e6)
        assert len((await router.write(splits, changed=list(splits), generation=3, fence=1, force=True)).problems) == 40

    run(act())


def test_an_original_that_no_route_can_be_made_of_is_its_own_services_problem() -> None:
    async def act() -> None:
        pair = Pair(20)
        router = pair.routers["blue"]
        pair.originals["shop/s3"]["spec"]["http"] = {"a": 1}
        assert (await router.read()).routes["shop/s3"].split_bp is None
        splits = dict.fromkeys(pair.originals, 0)
        written = await router.write(
            dict.fromkeys(pair.originals, 500), changed=list(splits), generation=2, fence=1, force=True
        )
        assert list(written.problems) == ["shop/s3"]
        assert "cannot be made" in str(written.problems["shop/s3"])

    run(act())
