"""A Pulumi project of the lab: the checkout's program, with stacks of its own in a work folder.

    FOLDER/Pulumi.yaml           `main:` points to the checkout
    FOLDER/stacks/Pulumi.*.yaml  network, one per cluster, edge: versions of the lab and a thin baseline

Every run is timed and counted from the engine's own events (one JSON object a line, `--event-log`), not from its text.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.layout import CHECKOUT, REGION

NAME = "bluegreen"
NETWORK, EDGE = "network", "edge"
ZONE = "shop.test"
TTL_SECONDS = 5
LIMIT_SECONDS = 600.0


class ProjectError(RuntimeError):
    """Pulumi did not do what was asked; the message ends with what it said."""


@dataclass(frozen=True)
class Operations:
    """What one run of the engine did, in numbers of resources; `changed` names what was not left as it was."""

    stack: str
    create: int = 0
    update: int = 0
    delete: int = 0
    same: int = 0
    replace: int = 0
    seconds: float = 0.0
    changed: tuple[str, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def changes(self) -> int:
        return self.create + self.update + self.delete + self.replace


class Project:
    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    @classmethod
    def create(cls, folder: Path, environment: Mapping[str, str], hosts: Sequence[str] = (ZONE, f"*.{ZONE}")) -> Project:
        """A work folder with a network, and an edge that knows no cluster yet. What is there is written anew."""
        project = cls(folder, environment)
        (folder / "stacks").mkdir(parents=True, exist_ok=True)
        description = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())
        description["main"] = str(CHECKOUT)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
        zones = [f"{REGION}{letter}" for letter in "abc"]
        project.configure(NETWORK, {"kind": "network", "zones": zones, "nat": "one"})
        project.configure(
            EDGE,
            {"kind": "edge", "zone": ZONE, "hosts": list(hosts), "ttl": TTL_SECONDS, "generation": 0, "protect": False},
        )
        return project

    def add_cluster(self, name: str, version: str) -> None:
        """The stack file of a cluster."""
        self.configure(name, cluster_settings(version))

    def set_sides(self, blue: str, green: str | None = None) -> None:
        """Names the sides in the edge's file. A green that is new there comes at 0."""
        known = self.settings(EDGE)
        names = [name for name in (blue, green) if name]
        entry = dict.fromkeys(names, 0) | {k: v for k, v in known.get("entry", {}).items() if k in names}
        if not any(entry.values()):
            entry[blue] = 10_000
        sides = {"blue": blue} | ({"green": green} if green else {})
        clusters = {name: {"stack": name} for name in names}
        self.configure(EDGE, {"sides": sides, "clusters": clusters, "entry": entry})

    def stack_file(self, stack: str) -> Path:
        return self.folder / "stacks" / f"Pulumi.{stack}.yaml"

    def settings(self, stack: str) -> dict[str, Any]:
        """The stack's own keys, without their prefix."""
        config = yaml.safe_load(self.stack_file(stack).read_text())["config"]
        prefix = f"{NAME}:"
        return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}

    def configure(self, stack: str, settings: Mapping[str, Any]) -> None:
        """Sets keys; those that are not given stay, and so does what Pulumi itself wrote there."""
        path = self.stack_file(stack)
        document = yaml.safe_load(path.read_text()) if path.exists() else {}
        config = document.setdefault("config", {"aws:region": REGION})
        config.update({f"{NAME}:{key}": value for key, value in settings.items()})
        path.write_text(yaml.safe_dump(document, sort_keys=False))

    def up(self, stack: str) -> Operations:
        return self._run("up", stack, "--yes", "--skip-preview")

    def preview(self, stack: str) -> Operations:
        return self._run("preview", stack)

    def destroy(self, stack: str) -> Operations:
        return self._run("destroy", stack, "--yes", "--skip-preview")

    def outputs(self, stack: str) -> dict[str, Any]:
        """The stack's outputs, secrets in clear."""
        text = self._pulumi("stack", "output", "--json", "--show-secrets", "--stack", stack)
        outputs: dict[str, Any] = json.loads(text)
        return outputs

    def _run(self, action: str, stack: str, *flags: str) -> Operations:
        self._ensure(stack)
        log = self.folder / f".events-{stack}.jsonl"
        log.unlink(missing_ok=True)
        started = time.monotonic()
        self._pulumi(action, "--stack", stack, "--event-log", str(log), *flags)
        return read_events(stack, log.read_text().splitlines(), time.monotonic() - started)

    def _ensure(self, stack: str) -> None:
        backend = self.environment.get("PULUMI_BACKEND_URL", "").removeprefix("file://")
        if backend:
            Path(backend).mkdir(parents=True, exist_ok=True)
            if (Path(backend) / ".pulumi" / "stacks" / NAME / f"{stack}.json").exists():
                return
        self._pulumi("stack", "select", "--create", stack)

    def _pulumi(self, *arguments: str) -> str:
        environment = {**os.environ, **self.environment, "PULUMI_DEBUG_COMMANDS": "true"}
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never", "--logtostderr=false"]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except FileNotFoundError as problem:
            raise ProjectError("no pulumi on the lab's PATH: build the lab's programs first (make lab)") from problem
        except subprocess.TimeoutExpired as problem:
            raise ProjectError(f"pulumi {' '.join(arguments)}: not done after {LIMIT_SECONDS:.0f} s") from problem
        if done.returncode != 0:
            said = f"{done.stdout}\n{done.stderr}".strip()[-6000:]
            raise ProjectError(f"pulumi {' '.join(arguments)} ended with {done.returncode}:\n{said}")
        return done.stdout


def cluster_settings(version: str) -> dict[str, Any]:
    """A cluster of the lab: exact versions, and only as much of a baseline as a story needs."""
    nodes = {
        "release": f"{version}.1-20260801",
        "instanceTypes": ["m7i.large"],
        "minimum": 1,
        "maximum": 6,
        "desired": 3,
    }
    return {
        "kind": "cluster",
        "network": NETWORK,
        "version": version,
        "addons": {
            "vpc-cni": "v1.20.4-eksbuild.2",
            "kube-proxy": f"v{version}.1-eksbuild.2",
            "coredns": "v1.13.2-eksbuild.1",
            "eks-pod-identity-agent": "v1.3.9-eksbuild.3",
        },
        "nodeGroups": {"general": nodes},
        "baseline": {"istio": {"version": "1.30.3", "values": {"autoscaleEnabled": False, "replicaCount": 1}}},
        "gateway": {"minimum": 1, "maximum": 3},
        "deletionProtection": False,
        "protect": False,
    }


def read_events(stack: str, lines: Sequence[str], seconds: float) -> Operations:
    """The counts of the engine's last summary, and the names of what it changed."""
    counts: dict[str, int] = {}
    changed, warnings = [], []
    for line in lines:
        event = json.loads(line)
        if step := (event.get("resourcePreEvent") or {}).get("metadata"):
            if step["op"] not in ("same", "refresh", "read"):
                changed.append(f"{step['op']} {step['urn'].rpartition('$')[2]} {','.join(step.get('diffs') or [])}".strip())
        elif summary := event.get("summaryEvent"):
            counts = summary.get("resourceChanges") or {}
        elif (said := event.get("diagnosticEvent")) and said.get("severity") == "warning":
            warnings.append(said["message"].strip())
    return Operations(
        stack,
        create=counts.get("create", 0),
        update=counts.get("update", 0),
        delete=counts.get("delete", 0),
        same=counts.get("same", 0),
        replace=counts.get("replace", 0),
        seconds=round(seconds, 2),
        changed=tuple(changed),
        warnings=tuple(said for said in warnings if " from $PATH at " not in said),  # how the lab's plugins are found
    )
