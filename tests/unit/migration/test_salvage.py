"""`bluegreen rollback` with broken files: every service whose original can be had goes back, the rest is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

import routing
from migration.errors import ConfigError
from migration.objects.kinds import Resource
from migration.settings.salvage import read_words
from migration.settings.stack_file import StackFile, read_route
from tests.fakes.project import EDGE, SPLITS, Project, original

ALL = set(SPLITS)


def test_where_nothing_is_broken_the_files_are_enough(project: Project) -> None:
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {})
    assert set(StackFile(project.edge).read().services.values()) == {0}
    assert "instead" not in told
    assert all(project.live("fern", service) == 0 for service in SPLITS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("policy: {dwel_seconds: 3}\n", "did you mean dwell_seconds", id="a typo under policy"),
        pytest.param("polcy: {}\n", "polcy: unknown key", id="an unknown key"),
        pytest.param("windows: [noon]\n", "windows[0]", id="no window"),
        pytest.param("services: {shop/cart: {hold: 'yes'}}\n", "hold", id="a wrong value of a service"),
        pytest.param("policy: {[\n", "broken YAML", id="broken YAML"),
        pytest.param("policy: {}\npolicy: {}\n", "given twice", id="a key twice"),
        pytest.param("policy: {latency_limit_ms: 0}\n", "latency_limit_ms: must be a number from 1", id="what can never pass"),
        pytest.param("policy: {latency_limit_ms: 200}\n", "needs a metrics store", id="what cannot work together"),
    ],
)
def test_a_mistake_in_migration_yaml_outside_the_clusters_stops_no_rollback(project: Project, text: str, told: str) -> None:
    project.configure(text)
    code, rolled, said = project.run("rollback")
    assert (code, project.at_blue(), rolled["complete"]) == (0, ALL, True)
    assert told in said
    code, _, _ = project.run("status")
    assert code == 2, "everybody else is strict"


@pytest.mark.parametrize("said", ["2", "'1'", "next", "[1]", "", "1\nwhatever: {comes: then}"])
def test_an_unknown_version_stops_no_rollback(project: Project, said: str) -> None:
    project.file.write_text(project.file.read_text().replace("version: 1\n", f"version: {said}\n"))
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["complete"]) == (0, ALL, True)
    assert ("version: must be 1" if "whatever" not in said else "whatever: unknown key") in told
    assert project.run("status")[0] == 2, "everybody else is strict"


def test_a_home_folder_that_does_not_exist_leaves_one_cluster_out(project: Project) -> None:
    project.file.write_text(project.file.read_text().replace("kubeconfig: fern", "kubeconfig: ~nobody-here/fern"))
    _, _, told = project.run("rollback")
    assert project.at_blue() == ALL
    assert "no such home folder" in told


def test_a_wrong_key_of_a_cluster_stops_no_rollback(project: Project) -> None:
    project.file.write_text(project.file.read_text().replace("gateway:", "countrs: {}, gateway:", 1))
    code, _, said = project.run("rollback")
    assert (code, project.at_blue()) == (0, ALL)
    assert "countrs" in said


def conflict(text: str) -> str:
    """Two people moved a service at once."""
    ours, theirs = "    shop/cart: 2500  # one line each\n", "    shop/cart: 5000\n    shop/new: 100\n"
    text = text.replace(ours, f"<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> main\n")
    generation = "  bluegreen:generation: 7\n"
    return text.replace(generation, f"<<<<<<< HEAD\n{generation}=======\n  bluegreen:generation: 9\n>>>>>>> main\n")


def two_versions(text: str) -> str:
    """All of it from the services on, twice, each with a service that the other lacks."""
    head, tail = text[: text.index("  bluegreen:services")], text[text.index("  bluegreen:services") :]
    one, other = tail.replace("    shop/pay: 10000\n", ""), tail.replace("    shop/cart: 2500  # one line each\n", "")
    return f"{head}<<<<<<< HEAD\n{one}=======\n{other}>>>>>>> main\n"


BROKEN: dict[str, Callable[[str], str]] = {
    "a merge conflict": conflict,
    "two whole versions": two_versions,
    "an unknown key": lambda text: text + "  bluegreen:entri: {}\n",
    "a share that is none": lambda text: text.replace("shop/pay: 10000", "shop/pay: 10001"),
    "a service twice": lambda text: text.replace("    shop/pay", "    shop/cart: 1\n    shop/pay"),
    "no sides": lambda text: text.replace("  bluegreen:sides: {blue: plum, green: fern}\n", ""),
    "sides of two minds": lambda text: text.replace(
        "  bluegreen:sides: {blue: plum, green: fern}\n",
        "<<<<<<< a\n  bluegreen:sides: {blue: plum, green: fern}\n=======\n  bluegreen:sides: {blue: fern}\n>>>>>>> b\n",
    ),
    "torn in the middle": lambda text: text[: text.index("    shop/pay")] + "    'shop/p",
    "empty": lambda text: "",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_stack_file_is_reported_but_stops_no_rollback(project: Project, how: str) -> None:
    broken = BROKEN[how](EDGE)
    project.edge.write_text(broken)
    code, rolled, told = project.run("rollback")
    assert project.at_blue() == ALL
    assert rolled["in_effect"]["blue"] == "served"
    assert code == 1, "the file could not be written"
    assert "Pulumi.edge.yaml" in told
    assert "set these services to 0 there" in told
    assert "users are served by blue" in told
    assert project.edge.read_text() == broken
    assert project.run("status")[0] == 2


def test_a_stack_file_that_is_gone_is_replaced_by_the_record(project: Project) -> None:
    project.edge.unlink()
    code, rolled, _ = project.run("rollback")
    assert (code, project.at_blue(), sorted(rolled["back"])) == (1, ALL, sorted(ALL))


@pytest.mark.parametrize("how", ["a merge conflict", "two whole versions"])
def test_a_merge_conflict_alone_shows_which_services_are_enrolled(project: Project, how: str) -> None:
    project.edge.write_text(BROKEN[how](EDGE))
    words = read_words(project.edge)
    assert words.sides == {"blue": "plum", "green": "fern"}
    edge = words.edge(project.edge, words.sides, {})
    shares = {**SPLITS, "shop/cart": 5000, "shop/new": 100} if how == "a merge conflict" else SPLITS
    assert (edge.services, edge.green_entry_bp) == (shares, 0)
    assert edge.generation == (9 if how == "a merge conflict" else 7)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("{plum: 10000, fern: 0}", "{plum: 4000, fern: 6000}"), ("{plum: 4000, fern: 6000}", "{plum: 10000}")]
)
def test_of_two_entries_the_larger_share_of_green_counts(project: Project, ours: str, theirs: str) -> None:
    line = "  bluegreen:entry: {plum: 10000, fern: 0}\n"
    both = "".join(f"{mark}\n  bluegreen:entry: {value}\n" for mark, value in (("<<<<<<< a", ours), ("=======", theirs)))
    project.edge.write_text(EDGE.replace(line, f"{both}>>>>>>> b\n"))
    words = read_words(project.edge)
    assert words.edge(project.edge, words.sides, {}).green_entry_bp == 6000


@pytest.mark.parametrize("how", ["a merge conflict", "torn in the middle"])
def test_without_a_record_the_peer_routes_show_which_services_are_enrolled(project: Project, how: str) -> None:
    project.edge.write_text(BROKEN[how](EDGE))
    project.closed = {("plum", "ConfigMap"), ("fern", "ConfigMap")}
    code, _, _ = project.run("rollback")
    assert (code, project.at_blue()) == (1, ALL)


def test_who_is_blue_is_never_guessed(project: Project) -> None:
    project.edge.write_text("")
    project.closed = {("plum", "ConfigMap"), ("fern", "ConfigMap")}
    code, _, told = project.run("rollback")
    assert code == 2
    assert "which cluster is blue" in told
    assert "bluegreen:sides" in told
    assert project.at_blue() == {"shop/search"}


@pytest.mark.parametrize("kind", ["gone", "broken"])
@pytest.mark.parametrize("kept", ["peer route", "live route", "green's peer route"])
def test_an_original_without_its_file_comes_from_the_clusters(project: Project, kind: str, kept: str) -> None:
    services = ["shop/cart"] if kept == "live route" else ["shop/cart", "shop/pay"]
    for service in services:
        if kind == "gone":
            project.route(service).unlink()
        else:
            project.route(service).write_text("<<<<<<< HEAD\nspec: {}\n")
        if kept != "peer route":
            project.forget(service, *(["plum"] if "green" in kept else []))
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["complete"]) == (0, ALL, True)
    for service in services:
        assert f"original route of {service}" in told or project.route(service).name in told
    assert "instead" in told
    if kept == "live route":
        assert project.live("fern", "shop/cart") == 0


def test_one_service_whose_original_is_lost_holds_up_no_other(project: Project) -> None:
    project.route("shop/pay").unlink()
    project.forget("shop/pay")
    found = project.servers["fern"].objects["networking.istio.io", "VirtualService", "shop", "pay"]
    found["spec"]["http"] = [{"route": [{"destination": {"host": routing.peer_host("shop/pay")}}]}]
    code, rolled, told = project.run("rollback")
    assert code == 1
    assert project.at_blue() == {"shop/cart", "shop/search"}
    assert list(rolled["not_back"]) == ["shop/pay"]
    assert f"restore from version control: {project.route('shop/pay')}" in told
    file = StackFile(project.edge).read()
    assert file.services == {"shop/cart": 0, "shop/pay": 10_000, "shop/search": 0}


def test_one_service_is_rolled_back_whatever_is_wrong_with_the_others(project: Project) -> None:
    for service in ("shop/pay", "shop/search"):
        project.route(service).unlink()
        project.forget(service)
    code, _, told = project.run("rollback", "shop/cart")
    assert (code, project.at_blue()) == (0, {"shop/cart", "shop/search"})
    assert "shop/pay" not in told
    assert StackFile(project.edge).read().services["shop/pay"] == 10_000


def test_a_name_that_is_not_enrolled_is_refused_as_ever(project: Project) -> None:
    code, _, told = project.run("rollback", "shop/crat")
    assert (code, project.at_blue()) == (2, {"shop/search"})
    assert "not enrolled: shop/crat" in told


def test_a_credential_program_that_is_slower_than_every_timeout_is_run_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migration.clients.istio.SILENT_SECONDS", 1.5)
    runs = project.folder / "runs"
    program = project.folder / "get-token"
    program.write_text(f'#!/bin/sh\necho $1 >> {runs}\nsleep 2.5\necho \'{{"status": {{"token": "t"}}}}\'\n')
    program.chmod(0o755)
    for name in project.servers:
        path = project.folder / f"{name}.kubeconfig"
        document = json.loads(path.read_text())
        document["users"][0]["user"] = {"exec": {"command": str(program), "args": [name]}}
        path.write_text(json.dumps(document))
    code, rolled, _ = project.run("rollback")
    assert sorted(runs.read_text().split()) == ["fern", "plum"]
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {}), "all are rolled back"
    assert all(project.live("fern", service) == 0 for service in SPLITS)


def test_a_credential_program_that_fails_is_reported_for_every_service(project: Project) -> None:
    path = project.folder / "plum.kubeconfig"
    document = json.loads(path.read_text())
    document["users"][0]["user"] = {"exec": {"command": "sh", "args": ["-c", "echo expired >&2; exit 1"]}}
    path.write_text(json.dumps(document))
    code, rolled, _ = project.run("rollback")
    assert (code, rolled["complete"], sorted(rolled["not_back"])) == (1, False, sorted(ALL))
    assert all("expired" in why for why in rolled["not_back"].values())


# -- damaged files of routes ---------------------------------------------------------------------------------------------


def torn(project: Project, service: str) -> None:
    """At the boundary of two rules: a whole route, but not the one it was."""
    route = original(service)
    del route["spec"]["http"][1:]
    project.route(service).write_text(yaml.safe_dump(route))


@pytest.mark.wide(3)
@pytest.mark.parametrize("http", [{"a": 1}, ["route"], [{"route": ["x"]}], [], "x"], ids=str)
@pytest.mark.parametrize("service", ["shop/pay", "shop/search"])
def test_a_route_file_of_a_wrong_shape_stops_no_rollback(project: Project, service: str, http: Any) -> None:
    project.route(service).write_text(
        yaml.safe_dump({**original(service), "spec": {**original(service)["spec"], "http": http}})
    )
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {})
    assert f"original route of {service}" in told
    assert "instead" in told


@pytest.mark.parametrize("service", ["shop/cart", "shop/pay"])
@pytest.mark.parametrize("unread", [(), ("plum",)], ids=["both told", "blue told nothing"])
def test_a_torn_file_that_reads_well_is_not_written_to_blue_where_the_clusters_know_better(
    project: Project, service: str, unread: tuple[str, ...]
) -> None:
    torn(project, service)
    project.closed = {(name, "VirtualService") for name in unread}
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {})
    assert f"the stored original route of {service} is not what its live routes were made of" in told


def test_a_file_that_agrees_with_the_peer_route_counts_whatever_the_live_one_is(project: Project) -> None:
    for name in project.servers:
        found = project.servers[name].objects["networking.istio.io", "VirtualService", "shop", "cart"]
        found["spec"]["http"][0]["timeout"] = "7s"
    code, _, told = project.run("rollback")
    assert (code, project.at_blue()) == (0, ALL)
    assert "instead" not in told


def test_a_file_that_no_cluster_can_confirm_is_used(project: Project) -> None:
    project.closed = {(name, "VirtualService") for name in project.servers}
    code, rolled, _ = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {})


@pytest.mark.parametrize("named", ["shop/pay", "prod/cart"])
def test_the_file_of_another_service_is_never_read_as_this_one_s(project: Project, named: str) -> None:
    project.route("shop/cart").write_text(yaml.safe_dump(original(named)))
    code, _, told = project.run("rollback")
    assert (code, project.at_blue()) == (0, ALL)
    assert f"is the route of {named}" in told
    with pytest.raises(ConfigError, match=f"is the route of {named}; allowed: that of shop/cart"):
        read_route(project.routes, "shop/cart")


# -- a stack file that reads well, but is an older one ---------------------------------------------------------------------


def without(project: Project, *services: str) -> None:
    lines = [line for line in EDGE.splitlines() if not any(service in line for service in services)]
    project.edge.write_text("\n".join(lines) + "\n")


@pytest.mark.wide(4)
@pytest.mark.parametrize("stored", [True, False], ids=["its route is stored", "its route is not stored"])
@pytest.mark.parametrize("named", [False, True], ids=["all", "by name"])
@pytest.mark.parametrize("closed", [(), ("ConfigMap",), ("VirtualService",)], ids=["", "no record", "blue lists no routes"])
def test_a_service_that_the_stack_file_lacks_is_rolled_back_too(
    project: Project, stored: bool, named: bool, closed: tuple[str, ...]
) -> None:
    without(project, "shop/pay")
    if not stored:
        project.route("shop/pay").unlink()
    project.closed = {("plum", kind) for kind in closed}
    code, rolled, told = project.run("rollback", *(["shop/pay"] if named else []))
    assert (code, rolled["complete"]) == (0, True)
    assert "shop/pay" in rolled["back"]
    assert project.at_blue() >= {"shop/pay", "shop/search"} | (set() if named else ALL)
    assert project.live("fern", "shop/pay") == 0
    assert "shop/pay is enrolled on the clusters, but" in told
    assert ("shop/pay" in StackFile(project.edge).read().services) is stored, "a line without a route would break all else"
    code, found, _ = project.run("status")
    assert (code, found.get("error", {}).get("kind")) == ((1, "forbidden") if project.closed else (0, None))


def test_a_service_outside_the_file_whose_original_is_lost_fails_the_rollback(project: Project) -> None:
    without(project, "shop/pay")
    project.route("shop/pay").unlink()
    project.forget("shop/pay")
    found = project.servers["fern"].objects["networking.istio.io", "VirtualService", "shop", "pay"]
    found["spec"]["http"] = [{"route": [{"destination": {"host": routing.peer_host("shop/pay")}}]}]
    code, rolled, _ = project.run("rollback")
    assert (code, rolled["complete"], list(rolled["not_back"])) == (1, False, ["shop/pay"])
    assert project.at_blue() == {"shop/cart", "shop/search"}


def test_clusters_that_list_nothing_stop_no_rollback_of_known_services(project: Project) -> None:
    project.closed = {(name, kind) for name in project.servers for kind in ("VirtualService", "ConfigMap")}
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (1, ALL, {})
    assert "it is not known whether green serves other services" in told


@pytest.mark.parametrize("http", [["route"], [{"route": ["x"]}], [{"route": {"a": 1}}], "x"], ids=str)
def test_another_teams_route_of_an_unknown_shape_is_nobodys_service(project: Project, http: Any) -> None:
    """A gateway's route that was never enrolled, as a later version of its kind may have it."""
    for server in project.servers.values():
        server.put({**original("prod/cart"), "spec": {**original("prod/cart")["spec"], "http": http}})
    code, rolled, told = project.run("rollback")
    assert (code, project.at_blue(), rolled["not_back"]) == (0, ALL, {})
    assert "prod/cart" not in told


def test_a_route_that_forwards_nothing_is_left_alone_whatever_the_record_says(project: Project) -> None:
    without(project, "shop/pay")
    found = project.servers["plum"].objects["networking.istio.io", "VirtualService", "shop", "pay"]
    found["spec"] = {**original("shop/pay")["spec"], "hosts": ["another.test"]}
    code, rolled, _ = project.run("rollback")
    assert (code, sorted(rolled["back"])) == (0, ["shop/cart", "shop/search"])
    now = project.servers["plum"].objects["networking.istio.io", "VirtualService", "shop", "pay"]
    assert now["spec"]["hosts"] == ["another.test"]


def test_a_misspelt_name_beside_a_right_one_is_reported_after_the_right_one_is_back(project: Project) -> None:
    code, rolled, told = project.run("rollback", "shop/cart", "shop/pya")
    assert (code, rolled["back"], project.at_blue()) == (1, ["shop/cart"], {"shop/cart", "shop/search"})
    assert "shop/pya is not enrolled" in told


def test_services_of_the_file_wait_for_no_list(project: Project) -> None:
    """Who else is on green is asked beside: a green that is late with its answer keeps nobody."""
    without(project, "shop/pay")
    order: list[str] = []
    hanging = project.servers["fern"]
    trouble = hanging.trouble

    def seconds(verb: str, resource: Resource, name: str) -> float:
        return 1.5 if verb in ("get", "list") else 0.0

    hanging.seconds = seconds
    blue = project.servers["plum"]

    def noted(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply" and resource.kind == "VirtualService":
            order.append(name)
        trouble(verb, resource, name)

    blue.trouble = noted
    code, _, _ = project.run("rollback")
    assert (code, project.at_blue()) == (0, ALL)
    assert order.index("cart") < order.index("pay")
