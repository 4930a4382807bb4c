"""Enrolling moves nobody, and what was cut short is finished by the same command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import routing
from migration.cli.console import Context, finish
from migration.cli.prepare import take_in
from migration.enroll.steps import Candidate, enroll, require_hop, unenroll
from migration.errors import Held, Unreachable
from migration.objects.kinds import Resource
from migration.ports import returned
from migration.settings.stack_file import StackFile, read_route
from migration.store.events import open_intents
from migration.store.journal import FILE, Journal, read
from tests.fakes.apiserver import FakeApiServer

SERVICE = "shop/catalog"
KEY = ("networking.istio.io", "VirtualService", "shop", "catalog")
PEER_KEY = (*KEY[:3], "catalog-bluegreen-peer")
DESTINATION_KEY = ("networking.istio.io", "ServiceEntry", *PEER_KEY[2:])
HOP_KEY = ("networking.istio.io", "DestinationRule", "istio-system", "bluegreen-peer")
RECORD_KEY = ("", "ConfigMap", "istio-system", "bluegreen-edge")
EDGE = "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {}\n  bluegreen:generation: 1\n"


def original(host: str = "catalog") -> dict[str, Any]:
    spec = {"hosts": ["c"], "gateways": ["istio-system/public"], "http": [{"route": [{"destination": {"host": host}}]}]}
    meta = {"name": "catalog", "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta, "spec": spec}


class Pair:
    """Two clusters with the route, a stack file and a store."""

    def __init__(self, folder: Path) -> None:
        self.cut: Callable[[str, str], bool] = lambda kind, name: False
        self.blue = FakeApiServer("plum", [original()])
        self.green = FakeApiServer("fern", [original()], trouble=self._trouble)
        self.edge_path = folder / "Pulumi.edge.yaml"
        self.edge_path.write_text(EDGE)
        self.store = folder / "store"

    def _trouble(self, verb: str, resource: Resource, name: str) -> None:
        if verb == "apply" and self.cut(resource.kind, name):
            raise Unreachable("fern does not answer")

    def opened(self) -> Any:
        file = StackFile(self.edge_path)
        edge = file.read()
        return SimpleNamespace(
            clusters={"blue": self.blue, "green": self.green},
            peers={"blue": routing.Peer("10.0.0.2"), "green": routing.Peer("10.0.0.1")},
            file=file,
            edge=edge,
            originals={service: read_route(file.routes_folder, service) for service in edge.services},
        )

    def enroll(self, *services: str) -> None:
        migration: Any = SimpleNamespace(store=self.store)
        context = Context(Path("m"), True)
        asyncio.run(take_in(context, migration, self.opened(), services, yes=True))
        finish(context, None)

    def cut_short(self, cut: Callable[[str, str], bool]) -> Unreachable:
        self.cut = cut
        with pytest.raises(Unreachable) as caught:
            self.enroll()
        self.cut = lambda kind, name: False
        return caught.value

    def waiting(self) -> list[str]:
        return [event.target for event in open_intents(read(self.store / FILE))]

    def whole(self) -> bool:
        needed = (KEY, PEER_KEY, DESTINATION_KEY, HOP_KEY, RECORD_KEY)
        return all(key in cluster.objects for cluster in (self.blue, self.green) for key in needed) and self.forwards()

    def forwards(self) -> bool:
        """Both public routes have the edge's shape, and green's sends everything to blue."""
        shaped = all(routing.has_forward(cluster.objects[KEY]) for cluster in (self.blue, self.green))
        return shaped and routing.live_split(self.green.objects[KEY], original(), "green") == 0


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def idle(capsys: pytest.CaptureFixture[str]) -> bool:
    found = document(capsys)
    return not any(found[each] for each in ("enroll", "finish", "update", "enrolled", "finished", "updated", "left_out"))


def test_enrolling_changes_nothing_for_users(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    assert document(capsys)["enrolled"] == [SERVICE]
    assert pair.whole()
    assert routing.live_split(pair.blue.objects[KEY], original(), "blue") == 0
    assert not routing.forwards(pair.blue.objects[KEY])
    assert pair.waiting() == []


@pytest.mark.parametrize("words", [(), (SERVICE,)], ids=["all", "by name"])
@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda kind, name: True, id="green is away"),
        pytest.param(lambda kind, name: kind == "ServiceEntry", id="at the destinations"),
        pytest.param(lambda kind, name: name == "catalog-bluegreen-peer", id="at the peer routes"),
        pytest.param(lambda kind, name: name == "catalog", id="at the public route"),
        pytest.param(lambda kind, name: kind == "ConfigMap", id="at the record"),
    ],
)
def test_what_was_cut_short_is_finished(
    pair: Pair, capsys: pytest.CaptureFixture[str], cut: Any, words: tuple[str, ...]
) -> None:
    assert f"bluegreen enroll {SERVICE}" in (pair.cut_short(cut).remedy or "")
    assert pair.waiting() == [SERVICE]
    pair.enroll(*words)
    assert document(capsys)["finished"] == [SERVICE]
    assert pair.whole()
    assert pair.waiting() == []


def test_blue_is_finished_though_green_is_away(pair: Pair) -> None:
    pair.cut_short(lambda kind, name: True)
    assert all(key in pair.blue.objects for key in (KEY, PEER_KEY, DESTINATION_KEY, RECORD_KEY))


def test_a_journal_that_is_lost_does_not_hide_what_is_missing(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.cut_short(lambda kind, name: True)
    (pair.store / FILE).unlink()
    pair.enroll()
    assert document(capsys)["finished"] == [SERVICE]
    assert pair.whole()


def test_an_unenrolled_route_that_is_enrolled_again_is_finished_too(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    (pair.store / FILE).unlink()
    pair.green.objects[KEY]["spec"] = original()["spec"]  # as `unenroll` leaves it: the original, owned by the edge
    capsys.readouterr()
    pair.enroll()
    assert document(capsys)["finished"] == [SERVICE]
    assert pair.forwards()


def test_what_is_whole_is_left_alone(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    before = len(pair.green.writes())
    capsys.readouterr()
    pair.enroll()
    assert idle(capsys)
    assert len(pair.green.writes()) == before


@pytest.mark.parametrize("where", ["in the file", "at blue's gateway"])
def test_a_service_with_users_on_green_is_not_made_again(pair: Pair, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    pair.enroll()
    del pair.green.objects[PEER_KEY]
    if where == "in the file":
        StackFile(pair.edge_path).write(services={SERVICE: 2500})
    else:
        pair.blue.objects[KEY]["spec"] = routing.public_route(original(), 2500, "blue")["spec"]
    capsys.readouterr()
    pair.enroll()
    assert document(capsys)["finished"] == []
    assert PEER_KEY not in pair.green.objects


def test_a_service_that_moved_meanwhile_is_not_put_back_to_0(pair: Pair) -> None:
    pair.enroll()
    file, journal = StackFile(pair.edge_path), Journal(pair.store, 2, lambda: 0.0)
    file.write(services={SERVICE: 2500})
    with pytest.raises(Held, match=SERVICE):
        asyncio.run(enroll([Candidate(SERVICE, original(), ())], clusters={}, peers={}, file=file, journal=journal))
    journal.close()
    assert file.read().services == {SERVICE: 2500}
    assert pair.waiting() == []


def test_enrolling_another_service_does_not_touch_those_enrolled(pair: Pair) -> None:
    pair.enroll()
    other = original() | {"metadata": {"name": "cart", "namespace": "shop"}}
    pair.blue.put(other)
    pair.green.put(other)
    since = len(pair.blue.requests)
    pair.enroll()
    assert ("apply", "VirtualService catalog") not in pair.blue.requests[since:]
    assert ("apply", "VirtualService cart") in pair.blue.requests[since:]


def test_a_route_that_its_owner_changed_before_the_edge_wrote_it_is_stored_anew(pair: Pair) -> None:
    pair.cut_short(lambda kind, name: True)
    pair.blue.put(original("catalog-v2"))  # blue was cut too: its route is not the edge's yet
    pair.enroll()
    assert pair.blue.objects[KEY]["spec"] == routing.public_route(original("catalog-v2"), 0, "blue")["spec"]
    assert read_route(StackFile(pair.edge_path).routes_folder, SERVICE)["spec"] == original("catalog-v2")["spec"]


def test_a_route_that_can_no_longer_be_shifted_is_refused(pair: Pair) -> None:
    pair.cut_short(lambda kind, name: True)
    changed = original()
    changed["spec"]["gateways"] = ["mesh", "istio-system/public"]
    pair.blue.put(changed)
    with pytest.raises(Held, match="bound to the mesh"):
        pair.enroll()


def test_the_clusters_keep_the_original(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.enroll()
    for cluster in (pair.blue, pair.green):
        kept = routing.original_of(cluster.objects[PEER_KEY])
        assert kept is not None
        assert kept["spec"] == original()["spec"]
    assert "keep its file" not in caplog.text


def test_an_original_too_large_for_the_clusters_is_reported(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    for cluster in (pair.blue, pair.green):
        cluster.objects[KEY]["spec"]["hosts"] = ["x" * routing.MOST_ORIGINAL_BYTES]
    pair.enroll()
    assert routing.original_of(pair.blue.objects[PEER_KEY]) is None
    assert f"{SERVICE}: its route is larger" in caplog.text


@pytest.mark.parametrize(
    "word", ["on", "No", "yes", "12:30", "1_000", "012", "=", "~", "1e3", "- a", "a: b", "two\nlines", "é"]
)
def test_a_text_of_a_route_stays_a_text_in_its_file(tmp_path: Path, word: str) -> None:
    """YAML 1.1, which the program and the command read, takes a bare `on` for true and `12:30` for a number."""
    pair = Pair(tmp_path)
    route = original()
    route["spec"]["http"][0]["match"] = [{"headers": {"x-beta": {"exact": word}, word: {"prefix": word}}}]
    pair.blue.put(route)
    pair.enroll()
    folder = StackFile(pair.edge_path).routes_folder
    assert read_route(folder, SERVICE)["spec"] == route["spec"]
    assert yaml.safe_load((folder / "shop.catalog.yaml").read_text())["spec"] == route["spec"]


def test_an_unenrolled_service_leaves_no_mark_of_its_rollback(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.enroll()
    clusters: dict[routing.Side, FakeApiServer] = {"blue": pair.blue, "green": pair.green}

    async def act() -> None:
        for cluster in clusters.values():
            await returned.write(cluster, {SERVICE: "too slow", "shop/cart": "too slow"})
        journal = Journal(pair.store, 1, lambda: 0.0)
        try:
            await unenroll(
                [SERVICE],
                clusters=clusters,
                file=StackFile(pair.edge_path),
                journal=journal,
                force=True,
            )
        finally:
            journal.close()

    asyncio.run(act())
    for cluster in clusters.values():
        assert returned.read(cluster.objects[RECORD_KEY]) == {"shop/cart": "too slow"}
        assert PEER_KEY not in cluster.objects


def older(pair: Pair) -> None:
    """Both clusters as a version enrolled them that did not know the rule of the hop."""
    for cluster in (pair.blue, pair.green):
        del cluster.objects[HOP_KEY]
        del cluster.objects[DESTINATION_KEY]["spec"]["exportTo"]


@pytest.mark.parametrize("split", [0, 2500])
def test_an_edge_of_an_earlier_version_gets_what_the_hop_needs_now(
    pair: Pair, split: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.enroll()
    StackFile(pair.edge_path).write(services={SERVICE: split})
    for cluster, side in ((pair.blue, "blue"), (pair.green, "green")):
        cluster.objects[KEY]["spec"] = routing.public_route(original(), split, side)["spec"]  # type: ignore[arg-type]
    older(pair)
    before = {cluster.name: cluster.objects[KEY]["spec"] for cluster in (pair.blue, pair.green)}
    capsys.readouterr()
    pair.enroll()
    assert len(document(capsys)["updated"]) == 2
    assert pair.blue.objects[HOP_KEY]["spec"]["trafficPolicy"]["connectionPool"]["http"]["useClientProtocol"] is True
    assert pair.green.objects[DESTINATION_KEY]["spec"]["exportTo"] == ["istio-system"]
    assert {cluster.name: cluster.objects[KEY]["spec"] for cluster in (pair.blue, pair.green)} == before
    capsys.readouterr()
    pair.enroll()
    assert idle(capsys)


@pytest.mark.parametrize("cluster", ["blue", "green"])
def test_nothing_advances_over_a_hop_of_an_earlier_version(pair: Pair, cluster: str) -> None:
    pair.enroll()
    there = pair.opened()
    asyncio.run(require_hop(there.clusters, there.peers, there.originals))
    del getattr(pair, cluster).objects[HOP_KEY]
    with pytest.raises(Held, match="DestinationRule istio-system/bluegreen-peer") as caught:
        asyncio.run(require_hop(there.clusters, there.peers, there.originals))
    assert "bluegreen enroll" in (caught.value.remedy or "")


def test_the_rule_of_the_hop_is_written_before_a_route_names_its_hosts(pair: Pair) -> None:
    pair.enroll()
    for cluster in (pair.blue, pair.green):
        written = [what for verb, what in cluster.requests if verb == "apply"]
        assert written.index("DestinationRule bluegreen-peer") < written.index("VirtualService catalog-bluegreen-peer")
        assert written.index("DestinationRule bluegreen-peer") < written.index("VirtualService catalog")


def test_unenrolling_removes_only_a_services_destinations_after_its_route(pair: Pair) -> None:
    pair.enroll()
    there, journal = pair.opened(), Journal(pair.store, 2, lambda: 0.0)
    asyncio.run(unenroll([SERVICE], clusters=there.clusters, file=there.file, journal=journal))
    journal.close()
    for cluster in (pair.blue, pair.green):
        done = cluster.writes()
        restored = max(n for n, what in enumerate(done) if what == ("apply", "VirtualService catalog"))
        assert done.index(("delete", "ServiceEntry catalog-bluegreen-peer")) > restored
        made = routing.objects(routing.Intent({}, {}, {}, 1), {}, "blue", routing.Peer("10.0.0.1"))  # what `up` makes now
        assert [(obj["kind"], obj["metadata"]["name"]) for obj in made.destinations] == [
            (kind, name) for _, kind, namespace, name in cluster.objects if name == "bluegreen-peer"
        ]


@pytest.mark.parametrize(
    ("namespaces", "held"),
    [([], False), (["istio-system"], False), (["istio-ingress"], True)],
    ids=["none", "ours", "elsewhere"],
)
def test_a_gateway_that_would_not_see_its_destinations_is_refused(pair: Pair, namespaces: list[str], held: bool) -> None:
    for namespace in namespaces:
        meta = {"name": "gateway-1", "namespace": namespace, "labels": {"istio": "ingressgateway"}}
        pair.green.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta})
    if held:
        with pytest.raises(Held, match="istio-ingress"):
            pair.enroll()
    else:
        pair.enroll()
    assert (KEY not in pair.blue.objects or PEER_KEY in pair.blue.objects) is not held
