"""What is asked for: a namespace or a service named on the command line, or what `replicate` in migration.yaml means, with
all that it needs; and for each object what brought it.

The way goes from what is asked for along two tables: what an object names (references.py), and what belongs to an object
without being named by it (attached.py); and from Services and Gateways to the pods that they select. Nobody's need brings
what `replicate.exclude` means. Pure, each object is looked at once.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.attached import attached
from migration.ownership.known import Known
from migration.ownership.references import (
    Key,
    Reference,
    at,
    destinations,
    first,
    kinds_of,
    references,
    templates,
)
from migration.settings.choices import Choices, in_any, of_kind, why_excluded, why_not_included

ASKED = "requested"
MESH_GATEWAY = kinds.GATEWAY.name


@dataclass(frozen=True)
class Asked:
    """`brought`: why each object that is asked for is: `asked for`, or `brought by Deployment shop/web`. `left`: why the
    others are not. `notes`: what has to be told of an object that is asked for, by its key.
    """

    brought: Mapping[Key, str]
    left: Mapping[Key, str]
    notes: Mapping[Key, tuple[str, ...]]


def key_of(obj: Mapping[str, Any], resource: Resource) -> Key:
    """Resource name, namespace ("" where there is none) and name."""
    meta = obj["metadata"]
    return resource.name, meta.get("namespace") or "", meta["name"]


def narrowed(choices: Choices) -> bool:
    """Whether anything is chosen at all."""
    said = (choices.include, choices.exclude)
    return bool(choices.only or choices.kinds or any(s.namespaces or s.kinds or s.selector for s in said))


def why_unasked(known: Known, obj: Mapping[str, Any], resource: Resource) -> str | None:
    """Why this object is not asked for; None: it is."""
    return known.once(asked).left.get(key_of(obj, resource)) if narrowed(known.choices) else None


def asked(known: Known) -> Asked:
    """What is asked for, and what is not."""
    choices = known.choices
    index = known.blue.once(by_key)
    reached = _reached(known)
    brought: dict[Key, str] = {}
    left: dict[Key, str] = {}
    for key, (obj, resource) in index.items():
        if reached is not None and key not in reached.brought:
            left[key] = _not_reached(choices, key)
        elif reason := why_not_included(choices, obj, resource) or why_excluded(choices, obj, resource):
            left[key] = reason
        elif choices.kinds and not of_kind(resource, choices.kinds):
            left[key] = f"not of a kind that --kind names: {', '.join(choices.kinds)}"
        else:
            brought[key] = reached.brought[key] if reached is not None else ASKED
    for key in list(brought):  # at least what an object cannot be written without
        obj, resource = index[key]
        for needed in (("namespaces", "", key[1]), (kinds.CRD.name, "", resource.name)):
            entry = index.get(needed)
            if entry is not None and needed not in brought and not why_excluded(choices, *entry):
                brought[needed] = f"brought by {kinds.name_of(obj)}"
                left.pop(needed, None)
    notes = _notes(reached, brought, left, index) if reached is not None else {}
    return Asked(brought, left, notes)


def by_key(view: View) -> Mapping[Key, tuple[Object, Resource]]:
    """Every object of a view whose kind may be copied, with its kind."""
    index = {}
    for name, objects in view.objects.items():
        resource = view.resources.get(name) or view.once(kinds_of).by_name.get(name)
        if resource is not None and not kinds.skipped_kind(resource):
            for obj in objects:
                index[key_of(obj, resource)] = (obj, resource)
    return index


def _not_reached(choices: Choices, key: Key) -> str:
    if choices.only:
        return f"not requested by {', '.join(choices.only)}"
    if not key[1]:
        return "in no namespace, and nothing that `replicate.include` asks for needs it"
    return "not among what `replicate.include` asks for by namespaces"


# -- the way -----------------------------------------------------------------------------------------------------------


@dataclass
class Reached:
    """What follows from what is asked for: `brought`: why each comes; `parent`: by which object each was reached."""

    brought: dict[Key, str]
    parent: dict[Key, Key]
    missing: dict[Key, list[str]]  # by what names it: what is named and not on blue
    outside: dict[Key, list[tuple[Key, str]]]  # by what needs it: what is on blue and may not be brought


def _reached(known: Known) -> Reached | None:
    """What names on the command line, or namespaces of `include`, mean with all that it needs; None: everything."""
    choices, view = known.choices, known.blue
    index = view.once(by_key)
    if choices.only:
        spaces = frozenset(name for name in choices.only if "/" not in name)
        routes = frozenset(name for name in choices.only if "/" in name)
        kinds_of_routes = {kind.resource.name for kind in routing.registered()}
        roots = [
            key for key in index if (_space_of(key) in spaces) or (key[0] in kinds_of_routes and f"{key[1]}/{key[2]}" in routes)
        ]
        return _follow(known, roots, lambda key: True)
    if choices.include.namespaces:

        def within(key: Key) -> bool:
            space = _space_of(key)
            return space is None or in_any(space, choices.include.namespaces)

        return _follow(known, [key for key in index if _space_of(key) is not None and within(key)], within)
    return None


def _space_of(key: Key) -> str | None:
    """The namespace that an object is in, or is; None: it is in none."""
    return key[1] or (key[2] if key[0] == kinds.NAMESPACE.name else None)


def _follow(known: Known, roots: list[Key], may: Callable[[Key], bool]) -> Reached:
    view = known.blue
    index = view.once(by_key)
    unread = view.problems.keys()
    reached = Reached({}, {}, defaultdict(list), defaultdict(list))
    waiting = deque(roots)
    for root in roots:
        reached.brought[root] = ASKED
    while waiting:
        key = waiting.popleft()
        obj, resource = index[key]
        if why_excluded(known.choices, obj, resource):
            continue  # what it needs is not needed
        by = f"brought by {kinds.name_of(obj)}"
        for need in needs(obj, resource, view):
            if need.key not in index:
                if need.needed and need.key[0] not in unread and need.key[0] in view.objects:
                    reached.missing[key].append(need.name)
            elif not may(need.key):
                reached.outside[key].append((need.key, need.name))
            elif need.key not in reached.brought:
                reached.brought[need.key] = by
                reached.parent[need.key] = key
                waiting.append(need.key)
    return reached


def needs(obj: Object, resource: Resource, view: View) -> Iterator[Reference]:
    """What an object brings along: what it names, what it selects, what belongs to it."""
    index = view.once(by_key)
    bare = obj["metadata"].get("namespace") in kinds.BASELINE_NAMESPACES
    # a workload of the baseline comes with green's own, and with what it needs; people's policies for it do not
    if not (bare and templates(obj)):
        yield from references(obj, resource, view)
        yield from _selected(obj, resource, view)
    for key in attached(obj, resource, view):
        entry = index.get(key)
        if entry is not None:
            yield Reference(key, entry[1].kind, needed=False)


def _workloads(view: View) -> Mapping[tuple[str | None, str, str], list[tuple[Key, Mapping[str, str]]]]:
    """What makes pods, and bare pods, by (namespace, label, value) of the pods; None: of whatever namespace."""
    by_label = defaultdict(list)
    for key, (obj, _) in view.once(by_key).items():
        for template in templates(obj):
            labels = (template.get("metadata") or {}).get("labels") or {}
            for label, value in labels.items():
                for space in (key[1], None):
                    by_label[space, label, value].append((key, labels))
    return by_label


def selected_by(view: View, namespace: str | None, selector: Mapping[str, str]) -> list[Key]:
    """Workloads and pods of a namespace (None: of any) that a selector of pairs means; an empty one means none."""
    index = view.once(_workloads)
    of_each = [index.get((namespace, label, value), []) for label, value in selector.items()]
    fewest = min(of_each, key=len, default=[])
    return [key for key, labels in fewest if selector.items() <= labels.items()]


def _selected(obj: Object, resource: Resource, view: View) -> Iterator[Reference]:
    index = view.once(by_key)
    namespace = obj["metadata"].get("namespace", "")
    if resource.name == kinds.SERVICE.name:
        for key in selected_by(view, namespace, first(obj, "spec.selector") or {}):
            yield Reference(key, index[key][1].kind)
        yield from _host(str(first(obj, "spec.externalName") or ""), namespace, view, needed=False)
    elif (kind := routing.known_kind(obj)) is not None:
        for name in kind.gateways_named(obj):
            space, _, gateway = name.partition("/")
            yield Reference((kind.gateway.name, space, gateway), kind.gateway.kind)
        for host in destinations(obj, view):
            yield from _host(host, namespace, view)
    elif resource.name == MESH_GATEWAY:
        pods = selected_by(view, None, first(obj, "spec.selector") or {})
        for key in pods:
            yield Reference(key, index[key][1].kind)
        spaces = sorted({key[1] for key in pods}) or [namespace]
        for path in ("spec.servers[].tls.credentialName", "spec.servers[].tls.credentialNames[]"):
            for name in at(obj, path):
                yield from _credential(str(name), spaces, view)
    elif resource.name == "clusterroles.rbac.authorization.k8s.io" and obj.get("aggregationRule"):
        for key in view.once(_aggregated).get(obj["metadata"]["name"], ()):
            yield Reference(key, "ClusterRole", needed=False)


def _credential(name: str, spaces: list[str], view: View) -> Iterator[Reference]:
    """Certificates of a Gateway are in the namespace of its pods, their authorities beside them."""
    if name.startswith("kubernetes-gateway://"):
        space, _, name = name.removeprefix("kubernetes-gateway://").partition("/")
        spaces = [space]
    name = name.removeprefix("kubernetes://")
    for space in spaces:
        yield Reference(("secrets", space, name), "Secret")
        yield Reference(("secrets", space, f"{name}-cacert"), "Secret", needed=False)


def _host(host: str, namespace: str, view: View, *, needed: bool = True) -> Iterator[Reference]:
    """The Service or the ServiceEntries that a host means."""
    entries = view.once(_entries).get(routing.full_host(host, namespace), [])
    for key in entries:
        yield Reference(key, kinds.SERVICE_ENTRY.kind)
    service = routing.services_meant(host, namespace)
    if service is None or not host:
        return
    space, _, name = service.partition("/")
    sure = needed and not entries and ("." not in host or ".svc" in host)
    yield Reference((kinds.SERVICE.name, space, name), kinds.SERVICE.kind, needed=sure)


def _entries(view: View) -> Mapping[str, list[Key]]:
    by_host = defaultdict(list)
    for entry in view.of(kinds.SERVICE_ENTRY.name):
        for host in at(entry, "spec.hosts[]"):
            meta = entry["metadata"]
            by_host[str(host)].append((kinds.SERVICE_ENTRY.name, meta.get("namespace", ""), meta["name"]))
    return by_host


def _aggregated(view: View) -> Mapping[str, list[Key]]:
    """By an aggregated ClusterRole: those of which it is made. Such roles are few."""
    from migration.ownership.attached import selector_of

    roles = view.of("clusterroles.rbac.authorization.k8s.io")
    parts = defaultdict(list)
    for role in roles:
        for each in at(role, "aggregationRule.clusterRoleSelectors[]"):
            selector = selector_of(each)
            for other in roles if selector is not None and not selector.empty else ():
                if selector is not None and selector.means(other["metadata"].get("labels") or {}):
                    name = other["metadata"]["name"]
                    parts[role["metadata"]["name"]].append(("clusterroles.rbac.authorization.k8s.io", "", name))
    return parts


# -- what has to be told ------------------------------------------------------------------------------------------------


def _notes(
    reached: Reached,
    brought: Mapping[Key, str],
    left: Mapping[Key, str],
    index: Mapping[Key, tuple[Object, Resource]],
) -> Mapping[Key, tuple[str, ...]]:
    notes: dict[Key, list[str]] = defaultdict(list)
    for key, names in reached.missing.items():
        notes[key] += [f"names {name}, which is not on blue" for name in dict.fromkeys(names)]
    for key, others in reached.outside.items():
        for other, name in dict.fromkeys(others):
            if other in left and other[0] != kinds.NAMESPACE.name and other[1] not in kinds.BASELINE_NAMESPACES:
                notes[key].append(f"needs {name}, which is left out: {left[other]}")
    for key, parent in reached.parent.items():
        if key in left and "replicate.exclude" in left[key]:
            notes[parent].append(f"needs {kinds.name_of(index[key][0])}, which is {left[key]}")
    for key in brought:
        obj, _ = index[key]
        if obj.get("kind") == "Pod" and "spec" not in obj and not obj["metadata"].get("ownerReferences"):
            notes[key].append("a pod without a controller: what it names was not looked at and comes only with its namespace")
    return {key: tuple(texts) for key, texts in notes.items() if key in brought}
