"""The lines that `make lab` prints: what is made before what needs it, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.demo.usage import usage


def described(root: Path) -> dict[str, Any]:
    gateway = {"address": "127.64.16.10", "port": 8080}
    clusters = [{"name": n, "version": "1.36", "kubeconfig": f"/k {n}", "gateway": gateway} for n in ("plum", "fern")]
    services = {"metrics": "m", "aws": "a", "dns": "d"}
    environment = {"PULUMI_CONFIG_PASSPHRASE": "a b", "PATH": "/tools:/usr/bin"}
    return {"root": str(root), "environment": environment, "clusters": clusters, "services": services}


STACKS = ["network", "plum", "fern", "edge"]


def test_stacks_are_made_in_the_order_they_need(tmp_path: Path) -> None:
    lines = list(usage(described(tmp_path), "/usr/bin"))
    made = [line.rpartition(" ")[2] for line in lines if line.startswith("pulumi stack init")]
    assert made == STACKS
    for stack in made:
        assert lines.index(f"pulumi stack init {stack}") + 1 == lines.index(f"pulumi up --yes --skip-preview --stack {stack}")
    assert "export PULUMI_CONFIG_PASSPHRASE='a b'" in lines
    assert "export PATH=/tools:$PATH" in lines


def test_a_stack_that_exists_is_not_made_again(tmp_path: Path) -> None:
    stacks = tmp_path / "pulumi" / ".pulumi" / "stacks" / "bluegreen"
    stacks.mkdir(parents=True)
    for stack in STACKS:
        (stacks / f"{stack}.json").write_text("{}")
    assert not [line for line in usage(described(tmp_path), "/usr/bin") if line.startswith("pulumi stack init")]
