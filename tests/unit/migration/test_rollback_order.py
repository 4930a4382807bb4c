"""Blue first, and said at once: what is slow or in the way on green's side, or in another checkout, keeps no user on green."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from migration.clients.istio import IstioRouter
from migration.model import FENCE
from migration.objects.kinds import Resource
from tests.fakes.project import EDGE, SPLITS, Project

ALL = set(SPLITS)


class When(logging.Handler):
    """Does something as soon as a line is logged that has these words."""

    def __init__(self, words: str, act: Callable[[], object]) -> None:
        super().__init__(logging.INFO)
        self.words, self.act = words, act

    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            self.act()


def slow_credentials(project: Project, cluster: str, until: Path) -> None:
    program = project.folder / "get-token"
    program.write_text(f'#!/bin/sh\nwhile [ ! -e {until} ]; do sleep 0.05; done\necho \'{{"status": {{"token": "t"}}}}\'\n')
    program.chmod(0o755)
    path = project.folder / f"{cluster}.kubeconfig"
    document = json.loads(path.read_text())
    document["users"][0]["user"] = {"exec": {"command": str(program), "interactiveMode": "Never"}}
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "arrange",
    [
        lambda project: None,
        lambda project: project.edge.write_text(EDGE.replace("    shop/pay", "<<<<<<< HEAD\n    shop/pay")),
        lambda project: project.edge.write_text(""),
        lambda project: project.closed.add(("plum", "VirtualService")),
        lambda project: project.enrolled("shop/cart: 2500", "shop/search: 0"),
    ],
    ids=["all well", "a conflict in the stack file", "an empty stack file", "blue lists nothing", "the file lacks one"],
)
def test_blue_is_rolled_back_while_greens_credentials_are_waited_for(
    project: Project, caplog: pytest.LogCaptureFixture, arrange: Callable[[Project], object]
) -> None:
    """Green's program answers when people have been told that users are at blue, and never before."""
    arrange(project)
    told = project.folder / "told"
    slow_credentials(project, "fern", told)
    order: list[str] = []
    for name, server in project.servers.items():
        before = server.trouble

        def noted(verb: str, resource: Resource, obj: str, name: str = name, before: object = before) -> None:
            if verb == "apply" and resource.kind == "VirtualService" and not obj.endswith("-bluegreen-peer"):
                order.append(name)
            before(verb, resource, obj)  # type: ignore[operator]

        server.trouble = noted

    def say() -> None:
        order.append("told")
        told.touch()

    handler = When("at blue (plum)", say)
    caplog.set_level(logging.INFO)
    logging.getLogger().addHandler(handler)
    try:
        _, rolled, _ = project.run("rollback")
    finally:
        logging.getLogger().removeHandler(handler)
    assert project.at_blue() == ALL
    assert rolled["in_effect"] == {"blue": "served", "green": "served"}
    assert "fern" not in order[: order.index("told")]
    assert "plum" in order[: order.index("told")]
    assert "fern" in order[order.index("told") :]


def overtaken(project: Project, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Another checkout's command raises its fence above ours between our write and our mark."""
    left = dict.fromkeys(project.servers, times)
    mark = IstioRouter.raise_fence

    async def raise_fence(router: IstioRouter, fence: int) -> list[str]:
        if left[router.cluster]:
            left[router.cluster] -= 1
            server = project.servers[router.cluster]
            for key, obj in list(server.objects.items()):
                if key[1] == "VirtualService" and not key[3].endswith("-bluegreen-peer"):
                    raised = json.loads(json.dumps(obj))
                    raised["metadata"].setdefault("annotations", {})[FENCE] = str(fence + 3)
                    del raised["metadata"]["resourceVersion"]
                    server.put(raised)
        return await mark(router, fence)

    monkeypatch.setattr(IstioRouter, "raise_fence", raise_fence)


@pytest.mark.parametrize("times", [1, 99], ids=["once", "again and again"])
def test_of_two_rollbacks_at_once_both_end_well(project: Project, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    overtaken(project, monkeypatch, times)
    code, rolled, told = project.run("rollback")
    assert (code, rolled["complete"], rolled["problems"]) == (0, True, [])
    assert project.at_blue() == ALL
    assert ("everything to roll back is at blue there" in told) is (times == 99)
    if times == 1:
        fences = {
            int(obj["metadata"]["annotations"][FENCE])
            for key, obj in project.servers["plum"].objects.items()
            if key[1] == "VirtualService" and not key[3].endswith("-bluegreen-peer")
        }
        assert min(fences) > 4, "a shift that had raised it stops, too"


def test_a_shift_that_continues_with_a_higher_fence_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    overtaken(project, monkeypatch, 99)
    mark = IstioRouter.raise_fence

    async def moved(router: IstioRouter, fence: int) -> list[str]:
        try:
            return await mark(router, fence)
        finally:
            found = project.servers[router.cluster].objects["networking.istio.io", "VirtualService", "shop", "cart"]
            found["spec"]["http"] = [{"route": [{"destination": {"host": "green.test"}}]}]

    monkeypatch.setattr(IstioRouter, "raise_fence", moved)
    code, _, told = project.run("rollback")
    assert code == 1
    assert "stop the `bluegreen shift` that runs there" in told


def test_what_another_process_wrote_meanwhile_to_other_services_is_left_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other checkout has taken shop/pay back; our file still has it at 100 %."""
    mark = IstioRouter.raise_fence
    written: list[list[str]] = []
    write = IstioRouter.write

    async def raise_fence(router: IstioRouter, fence: int) -> list[str]:
        return sorted({*await mark(router, fence), "shop/pay", "shop/cart"})

    async def noted(router: IstioRouter, *words: object, changed: list[str], **more: object) -> object:
        written.append(list(changed))
        return await write(router, *words, changed=changed, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(IstioRouter, "raise_fence", raise_fence)
    monkeypatch.setattr(IstioRouter, "write", noted)
    code, _, _ = project.run("rollback", "shop/cart")
    assert code == 0
    assert written
    assert all("shop/pay" not in changed for changed in written)
