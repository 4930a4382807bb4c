"""Whose an object is, by evidence: what every cluster makes for itself, what the baseline, EKS, the edge, a controller, a Helm
release of green's or GitOps brings.

No part of a name that people choose decides: a wrong guess leaves somebody's object on blue without a word. Evidence is what
its owner writes itself: a controller's reference, a field manager, the record of a tool. The tables with their reasons are
in bootstrap.py, releases.py and gitops.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.classes import Class, Sign
from migration.objects.kinds import Object, Resource
from migration.ownership import baseline, bootstrap, gitops, origin, releases
from migration.ownership.bootstrap import BASELINE_GROUPS as BASELINE_GROUPS
from migration.ownership.bootstrap import EKS_MANAGERS, OF_EKS
from migration.ownership.known import Known

# What a controller makes from an order to somebody outside, which costs or is limited: green would order it anew, so it
# comes along, and before what asks for it. (kind and group of the controller, kind of what it made) -> the mark of what is
# only on its way and is made anew all the same.
ORDERED: Mapping[tuple[str, str, str], str] = {
    ("Certificate", "cert-manager.io", "secrets"): "cert-manager.io/next-private-key",
}


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Why an object stays on blue, by whose it is."""
    meta = obj["metadata"]
    namespace = meta.get("namespace") or (meta["name"] if resource.name == "namespaces" else None)
    if namespace in kinds.BASELINE_NAMESPACES and not baseline.comes_along(obj, resource, known):
        return Sign(Class.BASELINE, f"namespace {namespace} belongs to the baseline")
    if meta.get("deletionTimestamp"):
        return Sign(Class.GOING, "being deleted")
    if (maker := controller_of(obj)) and not ordered(obj, resource, maker):
        return Sign(Class.CONTROLLER, f"made by its {maker.get('kind')}")
    if kinds.full_name(obj) in known.enrolled and routing.is_route(obj):
        return Sign(Class.EDGE, "an enrolled route, written by the edge")
    managers = managers_of(obj)
    if kinds.EDGE in managers and written_by_edge(obj):
        return Sign(Class.EDGE, "written by the edge")
    if not EKS_MANAGERS.isdisjoint(managers):
        return OF_EKS
    return (
        bootstrap.sign(obj, resource, known)
        or origin.of_the_mesh(obj, known)
        or _of_a_release(obj, known)
        or gitops.sign(obj, resource, known)
    )


def _of_a_release(obj: Object, known: Known) -> Sign | None:
    """What belongs to a release that green gets from somebody else. All other releases come along, as Helm left them."""
    release = releases.release_of(obj) or releases.kept_in(obj)
    if release is None or not releases.has(known.blue, release, obj):
        return None
    name = "/".join(release)
    if origin.of_the_baseline(release, known):
        return Sign(Class.BASELINE, f"belongs to the Helm release {name}, and so to the baseline")
    if known.green is not None and release in known.green.once(releases.own_releases):
        return Sign(Class.BASELINE, f"green has a Helm release {name} of its own, which brings it")
    return None


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reference to the object that controls this one, whether or not that could be read."""
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def ordered(obj: Mapping[str, Any], resource: Resource, maker: Mapping[str, Any]) -> bool:
    """Whether green would order this anew at a cost or against a limit."""
    group = str(maker.get("apiVersion", "")).rpartition("/")[0]
    unfinished = ORDERED.get((str(maker.get("kind")), group, resource.name))
    return unfinished is not None and unfinished not in (obj["metadata"].get("labels") or {})


def managers_of(obj: Mapping[str, Any]) -> set[str | None]:
    """Field managers of any kind of write, those of the status included."""
    return {entry.get("manager") for entry in obj["metadata"].get("managedFields") or ()}


def written_by_edge(obj: Mapping[str, Any]) -> bool:
    """Whether the edge still keeps this object. It goes on owning the spec of a route that was let go (`unenroll`), so
    of routes the owner alone tells nothing: the edge keeps its peer routes, and a public one that has its shape.
    """
    return kinds.EDGE in managers_of(obj) and not _serves_all_here(obj)


def _serves_all_here(obj: Mapping[str, Any]) -> bool:
    """A public route in its original form."""
    return routing.is_route(obj) and not routing.is_peer(obj["metadata"]["name"]) and not routing.has_forward(obj)


def made_by(obj: Mapping[str, Any], resource: Resource) -> str | None:
    """Who else brings this object to green, in words: the object that controls it, or a tool that claims it."""
    if owner := controller_of(obj):
        return f"made by its {owner.get('kind')} {owner.get('name', '')}".rstrip()
    claim = gitops.claim(obj, resource)
    return f"deployed by {claim.tool} ({claim})" if claim is not None else None
