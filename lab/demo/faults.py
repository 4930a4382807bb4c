"""Faults, made as anybody could: annotations on the pods behind one service's route."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import routing

PREFIX = "lab.bluegreen.io/"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))


class FaultError(RuntimeError):
    """A fault could not be made: the pods behind a service were not found, or kubectl failed."""


def annotate(kubeconfig: Path, service: str, annotations: Mapping[str, str | None]) -> list[str]:
    """Sets annotations (None: takes them away) on all pods behind the VirtualService `namespace/name`.

    Keys are without their prefix: errors, latency-ms, hang, crash-loop. Returns the pods' names.
    """
    namespace, _, name = service.partition("/")
    route = _get(kubeconfig, namespace, "virtualservices.networking.istio.io", name)
    hosts = {
        each["destination"]["host"].split(".")[0]
        for rule in route["spec"].get("http") or []
        for each in rule.get("route") or []
        if not each["destination"]["host"].endswith(f".{routing.PEER_DOMAIN}")
    }
    if not hosts:  # everything goes to the other cluster: the peer route names what is here
        route = _get(kubeconfig, namespace, "virtualservices.networking.istio.io", routing.peer_of(name))
        rules = route["spec"]["http"]
        hosts = {each["destination"]["host"].split(".")[0] for rule in rules for each in rule.get("route") or []}
    changes = [f"{PREFIX}{key}-" if value is None else f"{PREFIX}{key}={value}" for key, value in annotations.items()]
    pods: list[str] = []
    for host in sorted(hosts):
        selector = _get(kubeconfig, namespace, "services", host)["spec"].get("selector") or {}
        if selector:
            labels = ",".join(f"{key}={value}" for key, value in selector.items())
            names = kubectl(
                kubeconfig, "-n", namespace, "annotate", "pods", "-l", labels, "--overwrite", "-o", "name", *changes
            )
            pods += names.split()
    if not pods:
        raise FaultError(f"no pod behind {service}: its route goes to {', '.join(sorted(hosts)) or 'nothing'}")
    return pods


def _get(kubeconfig: Path, namespace: str, kind: str, name: str) -> dict[str, Any]:
    return dict(json.loads(kubectl(kubeconfig, "-n", namespace, "get", kind, name, "-o", "json")))


def kubectl(kubeconfig: Path, *arguments: str) -> str:
    """What kubectl prints; FaultError with its words when it fails."""
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise FaultError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
