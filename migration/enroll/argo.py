"""What Argo CD has to leave alone: it would put an original route back from enrolment on, when a forward stands in it.

A route is Argo CD's when it carries its tracking annotation or label. Its Application must then ignore differences of
the field that we own; without that, enrolled services would be fought over (and be frozen as written by somebody else).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import routing
from migration.errors import BluegreenError
from migration.model import MANAGER
from migration.objects.kinds import Object
from migration.ports import Kubernetes

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "argocd.argoproj.io/instance"


def application_of(route: Mapping[str, Any]) -> str | None:
    """The name of the Application that keeps this object."""
    meta = route.get("metadata") or {}
    tracked = str((meta.get("annotations") or {}).get(TRACKING, "")).partition(":")[0]
    return tracked.rpartition("_")[2] or (meta.get("labels") or {}).get(INSTANCE)


async def warnings(cluster: Kubernetes, routes: Mapping[str, Object]) -> list[str]:
    """One line per Application that keeps one of these routes and does not leave its splits alone. `routes` by service."""
    kept: dict[str, list[str]] = {}  # services by Application
    for service, route in routes.items():
        if name := application_of(route):
            kept.setdefault(name, []).append(service)
    if not kept:
        return []
    applications = await _applications(cluster)
    lines = []
    for name, services in sorted(kept.items()):
        application = applications.get(name)
        kinds = routing.used(routes[service] for service in services)
        if application is not None and all(leaves_alone(application, kind) for kind in kinds):
            continue
        why = "which cannot be read from here" if application is None else "which would put their routes back"
        lines.append(f"{', '.join(services)}: kept by Argo CD's Application {name}, {why}; set {setting(kinds)}")
    return lines


async def _applications(cluster: Kubernetes) -> dict[str, Object]:
    try:
        resource = (await cluster.discover()).preferred("argoproj.io", "Application")
        items = (await cluster.list(resource)).items if resource else []
    except BluegreenError:
        return {}
    return {item["metadata"]["name"]: item for item in items}


def setting(kinds: Iterable[routing.RouteKind]) -> str:
    """What an Application needs, so that it leaves splits of routes of these kinds alone."""
    ignored = ", ".join(
        f"{{group: {kind.resource.group}, kind: {kind.resource.kind}, managedFieldsManagers: [{MANAGER}]}}" for kind in kinds
    )
    return f"ignoreDifferences: [{ignored}] and syncOptions: [RespectIgnoreDifferences=true]"


def leaves_alone(application: Mapping[str, Any], kind: routing.RouteKind) -> bool:
    """Whether an Application ignores the fields of such routes that we write."""
    spec = application.get("spec") or {}
    options: Sequence[str] = ((spec.get("syncPolicy") or {}).get("syncOptions")) or ()
    return "RespectIgnoreDifferences=true" in options and any(_ours(each, kind) for each in spec.get("ignoreDifferences") or ())


def _ours(ignored: Mapping[str, Any], kind: routing.RouteKind) -> bool:
    resource = kind.resource
    named = ignored.get("kind") in (resource.kind, "*") and ignored.get("group") in (resource.group, "*")
    if not named or ignored.get("name"):
        return False
    managers, pointers = ignored.get("managedFieldsManagers") or (), ignored.get("jsonPointers") or ()
    return MANAGER in managers or bool({*kind.written_paths} & set(pointers))
