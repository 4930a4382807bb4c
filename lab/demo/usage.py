"""What `make lab` prints: lines for a shell, each of which works as it stands, in this order. A test takes and runs them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.layout import CHECKOUT
from lab.project import EDGE, NAME, NETWORK

SHOP = CHECKOUT / "lab/demo/shop"
DEFINITIONS = SHOP / "00-definitions.yaml"
UP = "pulumi up --yes --skip-preview --stack"
# What waits for a person on a terminal asks nothing with --yes, so that the lines can be pasted all at once.
COMMANDS = ("preflight", "replicate --yes", "capacity --yes", "verify", "enroll --yes")
MOVES = ("shift --yes", "status", "entry shift --to 100 --yes")


def usage(lab: Mapping[str, Any], path: str) -> Iterator[str]:
    """`lab` is what the control API tells of itself, `path` the PATH of the shell that reads this.

    Stacks that exist are not made again: a second `make lab` prints what works then.
    """
    environment, clusters = lab["environment"], lab["clusters"]
    yield "# put these into your shell"
    for name, value in environment.items():
        if name != "PATH":
            yield f"export {name}={shlex.quote(value)}"
    own = os.pathsep.join(part for part in environment["PATH"].split(os.pathsep) if part not in path.split(os.pathsep))
    yield f"export PATH={shlex.quote(own)}:$PATH" if own else "# PATH is right already"
    yield f"# metrics: {lab['services']['metrics']}   AWS: {lab['services']['aws']}   DNS: {lab['services']['dns']}"
    for cluster in clusters:
        yield f"\n# {cluster['name']}: Kubernetes {cluster['version']}"
        yield f"kubectl --kubeconfig {shlex.quote(cluster['kubeconfig'])} get nodes"
    root = Path(lab["root"])
    green = clusters[-1]["name"] if clusters else ""
    yield "\n# who you are for AWS (the lab's stand-in), and where Pulumi keeps state"
    yield "aws sts get-caller-identity"
    yield "pulumi login"
    yield "\n# the program: a network, both clusters, the edge"
    yield f"cd {shlex.quote(str(root / 'work'))}"
    for stack in (NETWORK, *(cluster["name"] for cluster in clusters), EDGE):
        if not (root / "pulumi" / ".pulumi" / "stacks" / NAME / f"{stack}.json").exists():
            yield f"pulumi stack init {stack}"
        yield f"{UP} {stack}"
        if stack == green:
            yield f"pulumi stack output kubeconfig --show-secrets --stack {stack} > {stack}.kubeconfig"
    if clusters:
        yield from _upgrade(clusters)
    yield "\n# make lab-down ends it all"


def _upgrade(clusters: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    blue = clusters[0]
    kubectl = f"kubectl --kubeconfig {shlex.quote(blue['kubeconfig'])}"
    gateway = f"http://{blue['gateway']['address']}:{blue['gateway']['port']}/"
    yield f"\n# a shop on {blue['name']}, and one of its services as users see it"
    yield f"{kubectl} apply --server-side -f {shlex.quote(str(DEFINITIONS))}"
    yield f"{kubectl} wait --for=condition=Established --timeout=60s crd/promotions.shop.example"
    yield f"{kubectl} apply --server-side -f {shlex.quote(str(SHOP))}"
    yield f"{kubectl} wait --for=condition=Available --timeout=120s --namespace shop deployment --all"
    yield f"curl -fsS --noproxy '*' --retry 30 --retry-delay 1 --retry-all-errors -H 'Host: catalog.shop.test' {gateway}"
    yield "\n# the command: what would break, what green needs, then the move and its way back"
    for command in COMMANDS:
        yield f"bluegreen {command}"
    yield f"{UP} {EDGE}"
    for command in MOVES:
        yield f"bluegreen {command}"
    yield "# at any moment: bluegreen rollback"
