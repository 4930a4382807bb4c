"""What preflight and replicate do grows with the number of objects, not with its square; counted, not timed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from lab import estate
from migration import kinds
from migration.checks_clusters import unmatched_selectors
from migration.checks_workloads import leaders
from migration.findings import Found, Scope, View, behind_routes, full_name, gateways_of, routed_services, spec_of, workloads
from migration.kinds import Object, Resource
from migration.model import Finding
from migration.preflight import CHECKS, judged
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
FEW, MANY = 2_000, 20_000
NODES = 40


def view(name: str, objects: Iterable[Object]) -> View:
    found: dict[str, list[Object]] = defaultdict(list)
    for obj in objects:
        found[NAMES[obj["apiVersion"], obj["kind"]]].append(estate.as_read(obj))
    return View(name, DISCOVERY, found)


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
    return judged(mine, theirs, scope or Scope(), CHECKS)


def test_ten_times_the_objects_are_ten_times_the_work_of_preflight() -> None:
    few, many = blue(FEW), blue(MANY)
    found: list[list[Finding]] = []
    work = [steps(lambda mine=mine: found.append(look(mine, green()))) for mine in (few, many)]
    assert work[1] < 11 * work[0], f"{work[0]:,} steps for {FEW:,} objects, {work[1]:,} for {MANY:,}"
    assert len(found[1]) > 8 * len(found[0]) > 800, "the larger cluster has ten times the findings"


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
    assert [(full_name(w), route) for w, route in behind_routes(mine, scope)] == slow
    assert len(slow) > 100
    assert len({route for _, route in slow}) < len(slow), "some routes reach several workloads"


def _searched(mine: View, scope: Scope) -> list[tuple[str, str]]:
    """Workloads behind routes, without any index: each is told with the first route that reaches it."""
    services = {full_name(s): spec_of(s).get("selector") or {} for s in mine.of("services")}
    found: dict[tuple[str, str], str] = {}
    for route in mine.of(kinds.VIRTUAL_SERVICE.name):
        if not scope.moves(route) or not gateways_of(route):
            continue
        for service in sorted(routed_services(route)):
            for workload in workloads(mine, scope):
                labels = spec_of(workload)["template"]["metadata"]["labels"]
                same = workload["metadata"]["namespace"] == service.partition("/")[0]
                if same and services.get(service) and services[service].items() <= labels.items():
                    found.setdefault((workload["kind"], full_name(workload)), full_name(route))
    return [(name, route) for (_, name), route in found.items()]


def test_what_checks_share_is_worked_out_once() -> None:
    mine, asked = blue(100), []

    def find(seen: View, scope: Scope) -> int:
        asked.append((seen.name, scope))
        return len(asked)

    other = Scope(singletons=frozenset({"shop/web"}))
    assert [mine.once(find, Scope()), mine.once(find, Scope()), mine.once(find, other)] == [1, 1, 2]
