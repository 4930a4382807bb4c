"""What preflight and replicate do grows with the number of objects, not with its square; counted, not timed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

import routing
from lab.bench import estate
from migration.model import Finding
from migration.objects import kinds
from migration.objects.access import spec_of
from migration.objects.difference import Path, differences, surplus
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery, Listing
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ports import Kubernetes
from migration.preflight.check import Found, Scope, behind_routes, workloads
from migration.preflight.clusters import unmatched_selectors
from migration.preflight.run import CHECKS, judged
from migration.preflight.workloads import leaders
from migration.replicate.export import export
from migration.replicate.plan import Plan, plan
from migration.replicate.transform import transform
from routing.virtual_service import VIRTUAL_SERVICE
from tests.fakes.apiserver import served
from tests.fakes.steps import steps

KINDS = (
    *kinds.WELL_KNOWN.values(),
    Resource("", "v1", "Secret", "secrets", True),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", True),
    Resource("rbac.authorization.k8s.io", "v1", "Role", "roles", True),
    Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", True),
)
NAMES = {(r.api_version, r.kind): r.name for r in KINDS}
DISCOVERY = served(*KINDS)
Check = Callable[[View, View, Scope], Found]
FEW = 2_000
SIZES = pytest.mark.parametrize("few", [FEW // 4, pytest.param(FEW, marks=pytest.mark.long)])  # and ten times as many
NODES = 40


def view(name: str, objects: Iterable[Object]) -> View:
    found: dict[str, list[Object]] = defaultdict(list)
    for obj in objects:
        found[NAMES[obj["apiVersion"], obj["kind"]]].append(estate.as_read(obj))
    return View(name, DISCOVERY, found, resources={r.name: r for r in KINDS})


def blue(count: int) -> View:
    return view("plum", [estate.gateway(), *estate.objects(count)])


def node(number: int) -> Object:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": f"node-{number}"}
    status = {"allocatable": {"cpu": "96", "memory": "384Gi", "pods": "250"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}", "labels": labels}, "status": status}


def lease(number: int) -> Object:
    meta = {"name": f"lease-{number}", "namespace": f"estate-{number % 4}"}
    spec = {"holderIdentity": f"holder-{number}"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def green(nodes: int = NODES) -> View:
    return view("fern", map(node, range(nodes)))


def look(mine: View, theirs: View, scope: Scope | None = None) -> list[Finding]:
    return judged(mine, theirs, scope or Scope(), CHECKS, known=Known(mine, theirs))


@SIZES
def test_ten_times_the_objects_are_ten_times_the_work_of_preflight(few: int) -> None:
    found: list[list[Finding]] = []
    work = [steps(lambda mine=mine: found.append(look(mine, green()))) for mine in (blue(few), blue(10 * few))]
    assert work[1] < 11 * work[0], f"{work[0]:,} steps for {few:,} objects, {work[1]:,} for {10 * few:,}"
    assert len(found[1]) > 8 * len(found[0]) > 0.4 * few, "the larger cluster has ten times the findings"


@pytest.mark.parametrize("check", [unmatched_selectors, leaders])
def test_the_number_of_nodes_or_singletons_is_added_not_multiplied_with_what_is_looked_up(check: Check) -> None:
    mine = view("plum", [*estate.objects(FEW), *map(lease, range(200))])
    for workload in mine.of("deployments.apps"):
        selector = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": f"gone-{workload['metadata']['name']}"}
        workload["spec"]["template"]["spec"]["nodeSelector"] = selector
    found: list[int] = []

    def work(number: int) -> int:
        scope = Scope(singletons=frozenset(f"estate-{n % 4}/app-{n}" for n in range(number)))
        theirs = green(number)
        return steps(lambda: found.append(len(list(check(mine, theirs, scope)))))

    few, many = work(40), work(400)
    assert many - few < 10 * 360, f"{few:,} steps with 40 of them, {many:,} with 400"
    assert found[0] == found[1] > 100


def test_the_index_finds_what_a_search_through_everything_finds() -> None:
    mine, scope = blue(FEW), Scope()
    for number, service in enumerate(mine.of("services")):
        if number % 5 == 0:
            service["spec"]["selector"] = {"tier": "front" if number % 2 else "back"}
        elif number % 7 == 0:
            service["spec"].pop("selector")
    slow = _searched(mine, scope)
    assert [(kinds.full_name(w), route) for w, route in behind_routes(mine, scope)] == slow
    assert len(slow) > 100
    assert len({route for _, route in slow}) < len(slow), "some routes reach several workloads"


def _searched(mine: View, scope: Scope) -> list[tuple[str, str]]:
    """Workloads behind routes, without any index: each is told with the first route that reaches it."""
    services = {kinds.full_name(s): spec_of(s).get("selector") or {} for s in mine.of("services")}
    found: dict[tuple[str, str], str] = {}
    for route in mine.of(VIRTUAL_SERVICE.name):
        if not scope.moves(route) or not routing.gateways_of(route):
            continue
        for service in sorted(routing.services_of(route)):
            for workload in workloads(mine, scope):
                labels = spec_of(workload)["template"]["metadata"]["labels"]
                same = workload["metadata"]["namespace"] == service.partition("/")[0]
                if same and services.get(service) and services[service].items() <= labels.items():
                    found.setdefault((workload["kind"], kinds.full_name(workload)), kinds.full_name(route))
    return [(name, route) for (_, name), route in found.items()]


def test_what_checks_share_is_worked_out_once() -> None:
    mine, asked = blue(100), []

    def find(seen: View, scope: Scope) -> int:
        asked.append((seen.name, scope))
        return len(asked)

    other = Scope(singletons=frozenset({"shop/web"}))
    assert [mine.once(find, Scope()), mine.once(find, Scope()), mine.once(find, other)] == [1, 1, 2]


class Listed:
    """An API server that only lists what a view holds."""

    def __init__(self, held: View) -> None:
        self.name, self.held = held.name, held

    async def discover(self, *, fresh: bool = False) -> Discovery:
        return self.held.discovery

    async def list(self, resource: Resource, namespace: str | None = None, *, metadata_only: bool = False) -> Listing:
        return Listing(self.held.of(resource.name))


def replicated(mine: View, theirs: View) -> Plan:
    async def act() -> Plan:
        bundle = await export(cast("Kubernetes", Listed(mine)), cast("Kubernetes", Listed(theirs)))
        return await plan(transform(bundle), cast("Kubernetes", Listed(theirs)))

    return asyncio.run(act())


@SIZES
def test_ten_times_the_objects_are_ten_times_the_work_of_a_plan(few: int) -> None:
    count = few // 4
    found: list[Plan] = []
    views = [(mine, View("fern", DISCOVERY, mine.objects)) for mine in (blue(count), blue(10 * count))]
    work = [steps(lambda pair=pair: found.append(replicated(*pair))) for pair in views]
    assert work[1] < 11 * work[0], f"{work[0]:,} steps for {count:,} objects, {work[1]:,} for {10 * count:,}"
    assert [len(made.changes) for made in found] == [count + 1, 10 * count + 1]


def test_the_number_of_kinds_that_a_cluster_serves_is_added_not_multiplied_with_objects() -> None:
    """A cluster with hundreds of definitions."""
    thing = Resource("example.com", "v1", "Thing", "things", True)
    meta = [{"name": f"thing-{number}", "namespace": "n", "uid": f"u{number}"} for number in range(2_000)]
    things = {thing.name: [{"apiVersion": thing.api_version, "kind": thing.kind, "metadata": each} for each in meta]}

    def work(number: int) -> int:
        others = [Resource("example.com", "v1", f"Kind{n}", f"kind{n}", True) for n in range(number)]
        served_first = Discovery((*others, thing), {(r.group, r.kind): ("v1",) for r in (*others, thing)})
        found: list[Plan] = []
        views = View("plum", served_first, things), View("fern", served_first, {})
        count = steps(lambda: found.append(replicated(*views)))
        assert found[0].counts()["create"] == len(meta)
        return count

    few, many = work(40), work(400)
    assert many < 1.5 * few, f"{few:,} steps with 40 kinds, {many:,} with 400"


def variables(number: int, value: str) -> list[dict[str, str]]:
    return [{"name": f"SETTING_{n}", "value": value} for n in range(number)]


def test_long_keyed_lists_are_compared_item_by_item_not_each_with_all() -> None:
    def work(number: int) -> int:
        owned: dict[str, Any] = {f'k:{{"name":"SETTING_{n}"}}': {"f:name": {}, "f:value": {}} for n in range(number)}
        wanted, live = variables(number, "a"), list(reversed(variables(number, "b")))
        found: list[list[Path]] = []

        def act() -> None:
            found.append(list(differences(wanted, live, (owned,))))
            found.append(list(surplus(owned, wanted[1:])))

        count = steps(act)
        assert (len(found[0]), found[1]) == (number, [('k:{"name":"SETTING_0"}',)])
        return count

    few, many = work(100), work(1_000)
    assert many < 11 * few, f"{few:,} steps for 100 items, {many:,} for 1,000"
