"""What `status` prints, for people and as JSON, however much of a migration is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import routing
from tests.fakes.golden import same
from tests.fakes.project import EDGE, Project

CASES: dict[str, Callable[[Project], object]] = {}
FORMS = {"txt": (), "json": ("--json",)}


def case(arrange: Callable[[Project], object]) -> Callable[[Project], object]:
    CASES[arrange.__name__] = arrange
    return arrange


@case
def plain(project: Project) -> None:
    """Counters are there, and all answer."""
    project.watched = True
    project.configure()


@case
def none_enrolled(project: Project) -> None:
    project.enrolled()


@case
def drift(project: Project) -> None:
    """A command was cut short between the file and the gateways; blue's route of another was raised by hand."""
    project.edge.write_text(EDGE.replace("cart: 2500", "cart: 5000"))
    rewrite(project, "plum", "shop/search", 1000)


@case
def one_drifts(project: Project) -> None:
    project.edge.write_text(EDGE.replace("pay: 10000", "pay: 5000"))


@case
def foreign_route(project: Project) -> None:
    """Somebody wrote a route that is none of ours."""
    found = project.servers["plum"].objects["networking.istio.io", "VirtualService", "shop", "cart"]
    found["spec"]["http"] = [{"route": [{"destination": {"host": "elsewhere.test"}}]}]


@case
def no_route(project: Project) -> None:
    del project.servers["fern"].objects["networking.istio.io", "VirtualService", "shop", "cart"]


@case
def paused(project: Project) -> None:
    project.store.mkdir()
    (project.store / "pause").write_text("kim")


@case
def paused_by_a_folder(project: Project) -> None:
    """Which `resume` cannot take away."""
    (project.store / "pause").mkdir(parents=True)


@case
def at_blue_by_the_gateways(project: Project) -> None:
    """The file could not be written when all rolled back: nobody is served by green, whatever it says."""
    for cluster in project.servers:
        for service in project.originals:
            rewrite(project, cluster, service, 0)


@case
def store_is_a_file(project: Project) -> None:
    project.store.write_text("")


@case
def returned_and_frozen(project: Project) -> None:
    project.edge.write_text(EDGE.replace("cart: 2500", "cart: 0"))
    for cluster in project.servers:
        rewrite(project, cluster, "shop/cart", 0)
    project.journal(
        ("return", "shop/cart", "green answers errors: 12 of 20 requests, blue 0 of 60"),
        ("freeze", "shop/pay", "kubectl-edit changed it at 2026-08-24T03:04:05Z on blue"),
    )


@case
def returned_by_another_store(project: Project) -> None:
    """This one's journal knows nothing of it, the clusters do."""
    project.edge.write_text(EDGE.replace("cart: 2500", "cart: 0"))
    for cluster in project.servers:
        rewrite(project, cluster, "shop/cart", 0)
    key = ("", "ConfigMap", routing.EDGE_NAMESPACE, routing.RECORD_NAME)
    project.servers["plum"].objects[key]["data"]["returned"] = '{"shop/cart": "manual rollback: checkout is slow"}'


@case
def journal_torn_at_its_end(project: Project) -> None:
    """As a crash leaves it: the whole lines count."""
    project.journal(("bake", "shop/pay", "its bake is over"))
    with (project.store / "journal.jsonl").open("a") as stream:
        stream.write('{"seq": 2, "ti')


@case
def journal_broken(project: Project) -> None:
    project.journal(("bake", "shop/pay", "its bake is over"))
    with (project.store / "journal.jsonl").open("a") as stream:
        stream.write("<<<<<<< HEAD\n")


@case
def journal_of_an_older_version(project: Project) -> None:
    """Whose notes of answers had no classes."""
    project.journal(("bake", "shop/pay", "its bake is over"))
    event = (
        '{{"seq":{},"time":"2026-08-24T03:04:05.000Z","fence":1,"kind":"note","id":"1-{}","of":null,"op":"{}",'
        '"target":"shift","before":null,"after":{},"reason":""}}\n'
    )
    with (project.store / "journal.jsonl").open("a") as stream:
        stream.write(event.format(2, 2, "baseline", '{"shop/cart":{"requests":9,"errors":0}}'))
        stream.write(event.format(3, 3, "step", '{"shop/cart":[9,0]}'))


@case
def green_unreachable(project: Project) -> None:
    project.unreachable("fern")


@case
def both_unreachable(project: Project) -> None:
    project.unreachable("plum", "fern")


@case
def forbidden(project: Project) -> None:
    project.closed = {("plum", "VirtualService")}


@case
def both_forbidden(project: Project) -> None:
    project.closed = {("plum", "VirtualService"), ("fern", "VirtualService")}


@case
def one_unreachable_one_forbidden(project: Project) -> None:
    project.closed = {("plum", "VirtualService")}
    project.unreachable("fern")


@case
def unreachable_and_journal_broken(project: Project) -> None:
    journal_broken(project)
    project.unreachable("fern")


@case
def silent_page(project: Project) -> None:
    """Of three gateway pods of blue one is gone; green's only one, too."""
    project.watched = True
    project.configure()
    blue, green = (f"'http://127.0.0.1:{ports.page}/'" for ports in project.ports)
    gone = f"http://127.0.0.1:{project.refusing['plum']}"
    text = project.file.read_text().replace(blue, f"{blue}, '{gone}/a', {blue[:-1]}b'")
    project.file.write_text(text.replace(green, f"'{gone}/c'"))


def rewrite(project: Project, cluster: str, service: str, split: int) -> None:
    side: routing.Side = "blue" if cluster == "plum" else "green"
    for obj in (
        routing.public_route(project.originals[service], split, side),
        routing.peer_route(project.originals[service], split),
    ):
        project.servers[cluster].put(obj)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_status(project: Project, name: str, form: str) -> None:
    CASES[name](project)
    same(f"status.{name}.{form}", project.ran(*FORMS[form], "status"), project, warnings=True)


@pytest.mark.parametrize("form", FORMS)
def test_status_while_another_command_runs(project: Project, form: str) -> None:
    """What it is just writing is no drift that anybody should act on."""
    project.edge.write_text(EDGE.replace("cart: 2500", "cart: 5000"))
    with project.locked():
        same(f"status.locked.{form}", project.ran(*FORMS[form], "status"), project)
