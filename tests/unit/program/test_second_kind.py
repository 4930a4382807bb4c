"""The edge stack's program builds routes of any registered kind, word for word as the command writes them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml

import routing
import routing.kinds
from components.edge import EdgeCluster, EdgeClusterArgs
from stacks import edge
from stacks.config import ConfigError
from tests.fakes.parts import LISTENER, NEIGHBOUR, PARTS, PartedRoutes
from tests.unit.program.test_config import EDGE, ROUTE, source

SERVICE = "shop/parted"


@pytest.fixture(autouse=True)
def second_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(routing.kinds.KINDS, PARTS.name, PartedRoutes())


def parted() -> dict[str, Any]:
    spec = {"listeners": ["istio-system/public"], "names": ["shop.test"], "parts": [{"to": "parted", "per_myriad": 10_000}]}
    return routing.object_of(PARTS, "shop", "parted", spec)


class Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.startswith("kubernetes:"):
            self.sent.append(dict(args.inputs))
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        raise AssertionError(args.token)


@pytest.mark.parametrize("split", [0, 2500, 10_000])
def test_the_program_sends_what_the_command_would(split: int) -> None:
    recorder = Recorder()
    intent = routing.Intent(EDGE["sides"], EDGE["entry"], {SERVICE: split, "shop/catalog": split}, 3)
    routes = {SERVICE: parted(), "shop/catalog": ROUTE}

    def build() -> None:
        provider = k8s.Provider("plum-kubernetes", kubeconfig="{}")
        args = EdgeClusterArgs("blue", intent, pulumi.Output.from_input(intent), routes, "10.0.0.1", 15088)
        EdgeCluster("plum", args, pulumi.ResourceOptions(providers=[provider])).finish([])

    pulumi.runtime.set_mocks(recorder, project="bluegreen", stack="edge", preview=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pulumi's test runtime itself
        pulumi.runtime.test(build)()
    sent = [item for item in recorder.sent if "kind" in item]
    wanted = routing.objects(intent, routes, "blue", routing.Peer("10.0.0.1")).in_order()
    assert sorted(map(plain, sent)) == sorted(map(plain, wanted))
    kinds = [(item["apiVersion"], item["kind"]) for item in sent]
    for resource, count in ((PARTS, 2), (LISTENER, 1), (NEIGHBOUR, 1)):
        assert kinds.count((resource.api_version, resource.kind)) == count


def plain(item: Any) -> str:
    """Mocks hand whole numbers over as floats."""
    return json.dumps(item, sort_keys=True).replace(".0,", ",").replace(".0}", "}")


def test_its_stored_original_is_read_by_the_stack(tmp_path: Path) -> None:
    folder = tmp_path / "edge.routes"
    folder.mkdir()
    (folder / "shop.parted.yaml").write_text(yaml.safe_dump(parted()))
    assert edge.read_route(source(EDGE), folder, SERVICE) == parted()
    (folder / "shop.parted.yaml").write_text(yaml.safe_dump({**parted(), "kind": "Unknown"}))
    with pytest.raises(ConfigError, match=f"not a VirtualService or {PARTS.kind}"):
        edge.read_route(source(EDGE), folder, SERVICE)
