"""The pure parts of the bench: what is copied, turns, medians, the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.demo import measure

Object = dict[str, Any]

OBJECTS = 2000
NAMESPACES = 8
MARK = "bluegreen-bench"
MANY = 20_000
UP, HELP, ZERO = "start-up: a lab with two clusters", "start-up: bluegreen --help", "first bad answer to zero"
PREFLIGHT = f"processor time of preflight at {MANY:,} objects"
LIMITS_SECONDS = {UP: 25.0, HELP: 0.3, ZERO: measure.ZERO_SECONDS, PREFLIGHT: 4.0}
REST_SECONDS, REST_WRITES = 3.0, 4  # leases are renewed for ever
KINDS = ("ConfigMap", "Secret", "Service", "Deployment", "Role", "ServiceAccount")


@dataclass(frozen=True)
class Row:
    name: str
    ours: float
    peer: float | None
    ratio: float | None
    unit: str


def row(name: str, ours: Sequence[float], peer: Sequence[float] | float | None = None, unit: str = "s") -> Row:
    """Medians, and how many times as much the peer takes."""
    mine = statistics.median(ours)
    theirs = statistics.median(peer) if isinstance(peer, Sequence) else peer
    ratio = None if theirs is None or not mine else round(theirs / mine, 2)
    return Row(name, round(mine, 3), None if theirs is None else round(theirs, 3), ratio, unit)


def over(rows: Iterable[Row]) -> list[str]:
    """What took longer than it may, in words: rows whose name begins with that of a limit."""
    return [
        f"{each.name}: {each.ours:.2f} s, allowed {limit:g} s"
        for each in rows
        for name, limit in LIMITS_SECONDS.items()
        if each.name.startswith(name) and each.ours > limit
    ]


def at_rest(history: Sequence[tuple[float, int]], seconds: float = REST_SECONDS, writes: int = REST_WRITES) -> bool:
    """Whether an API server took at most so many writes within the last seconds.

    Args:
        history: (time in seconds, revision of its store), oldest first; the revision rises by one with every write.
    """
    before = [revision for when, revision in history if when <= history[-1][0] - seconds]
    return bool(before) and history[-1][1] - before[-1] <= writes


def pairs(
    count: int,
    *sides: Callable[[], float],
    before: Callable[[], object] = lambda: None,
    until: float = float("inf"),
    now: Callable[[], float] = time.monotonic,
) -> list[list[float]]:
    """What each side measured, in turns, so that what changes on the machine meets both; `before` goes before each.

    Once at least; a round that would not end by `until`, going by the longest so far, is not begun.
    """
    measured: list[list[float]] = [[] for _ in sides]
    longest = 0.0
    for number in range(count):
        began = now()
        if number and began + longest > until:
            break
        for values, side in zip(measured, sides, strict=True):
            before()
            values.append(side())
        longest = max(longest, now() - began)
    return measured


def table(rows: Iterable[Row]) -> str:
    """The rows for people."""
    head = ("ratio", "ours", "peer", "")
    lines = [
        (
            "-" if each.ratio is None else f"{each.ratio:.2f}x",
            f"{each.ours:.2f} {each.unit}",
            "-" if each.peer is None else f"{each.peer:.2f} {each.unit}",
            each.name,
        )
        for each in rows
    ]
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(3)]
    printed = ["  ".join([*(line[c].rjust(widths[c]) for c in range(3)), line[3]]).rstrip() for line in (head, *lines)]
    return "\n".join(printed)


def namespaces() -> list[str]:
    return [f"bench-{number}" for number in range(NAMESPACES)]


def objects(count: int = OBJECTS) -> Iterator[Object]:
    """Mixed objects as people have them, none of which runs a pod."""
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = f"{kind.lower()}-{number}"
        namespace = namespaces()[number // len(KINDS) % NAMESPACES]
        labels = {"app": name, MARK: "yes"}
        meta = {"name": name, "namespace": namespace, "labels": labels, "annotations": {"example.com/owner": "storefront"}}
        obj: Object = {"apiVersion": "v1", "kind": kind, "metadata": meta}
        if kind == "ConfigMap":
            obj["data"] = {"mode": "fast", "app.properties": "".join(f"key-{line}=value {line}\n" for line in range(20))}
        elif kind == "Secret":
            obj |= {"type": "Opaque", "data": {"password": "c2VjcmV0" * 4}}
        elif kind == "Service":
            ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81, "targetPort": 8081}]
            obj["spec"] = {"selector": {"app": name}, "ports": ports}
        elif kind == "Deployment":
            obj |= {"apiVersion": "apps/v1", "spec": _deployment(name)}
        elif kind == "Role":
            rules = [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "watch"]}]
            obj |= {"apiVersion": "rbac.authorization.k8s.io/v1", "rules": rules}
        yield obj


def _deployment(name: str) -> Object:
    container = {
        "name": "main",
        "image": "example.com/app:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{number}", "value": str(number)} for number in range(5)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
