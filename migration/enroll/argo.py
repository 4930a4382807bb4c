"""What Argo CD has to leave alone: it would put an original route back as soon as a split is written.

A route is Argo CD's when it carries its tracking annotation or label. Its Application must then ignore differences of
the field that we own; without that, enrolled services would be fought over (and be frozen as written by somebody else).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migration.errors import BluegreenError
from migration.model import MANAGER
from migration.objects.kinds import Object
from migration.ports import Kubernetes

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "argocd.argoproj.io/instance"
GROUP, KIND = "networking.istio.io", "VirtualService"
SETTING = (
    f"ignoreDifferences: [{{group: {GROUP}, kind: {KIND}, managedFieldsManagers: [{MANAGER}]}}] and "
    "syncOptions: [RespectIgnoreDifferences=true]"
)


def application_of(route: Mapping[str, Any]) -> str | None:
    """The name of the Application that keeps this object."""
    meta = route.get("metadata") or {}
    tracked = str((meta.get("annotations") or {}).get(TRACKING, "")).partition(":")[0]
    return tracked.rpartition("_")[2] or (meta.get("labels") or {}).get(INSTANCE)


async def warnings(cluster: Kubernetes, routes: Mapping[str, Object]) -> list[str]:
    """One line per Application that keeps one of these routes and does not leave its splits alone. `routes` by service."""
    kept: dict[str, list[str]] = {}
    for service, route in routes.items():
        if name := application_of(route):
            kept.setdefault(name, []).append(service)
    if not kept:
        return []
    applications = await _applications(cluster)
    told = []
    for name, services in sorted(kept.items()):
        there = applications.get(name)
        if there is not None and leaves_alone(there):
            continue
        seen = "which cannot be read from here" if there is None else "which would put their routes back"
        told.append(f"{', '.join(services)}: kept by Argo CD's Application {name}, {seen}; set {SETTING}")
    return told


async def _applications(cluster: Kubernetes) -> dict[str, Object]:
    try:
        resource = (await cluster.discover()).preferred("argoproj.io", "Application")
        items = (await cluster.list(resource)).items if resource else []
    except BluegreenError:
        return {}
    return {item["metadata"]["name"]: item for item in items}


def leaves_alone(application: Mapping[str, Any]) -> bool:
    spec = application.get("spec") or {}
    options: Sequence[str] = ((spec.get("syncPolicy") or {}).get("syncOptions")) or ()
    return "RespectIgnoreDifferences=true" in options and any(map(_ours, spec.get("ignoreDifferences") or ()))


def _ours(ignored: Mapping[str, Any]) -> bool:
    if ignored.get("kind") not in (KIND, "*") or ignored.get("group") not in (GROUP, "*") or ignored.get("name"):
        return False
    managers, pointers = ignored.get("managedFieldsManagers") or (), ignored.get("jsonPointers") or ()
    return MANAGER in managers or bool({"/spec", "/spec/http"} & set(pointers))
