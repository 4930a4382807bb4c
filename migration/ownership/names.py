"""Refuses names that mean nothing on blue, with what was probably meant: of the command line, and of `replicate` in
migration.yaml with the line where it stands.

A name that means nothing would leave out, or fail to leave out, something without a word. What could not be read is not
held against a name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from migration.errors import ConfigError
from migration.objects import kinds
from migration.objects.view import View
from migration.ownership.closure import asked, by_key
from migration.ownership.known import Known
from migration.ownership.references import Key, first, services_meant, templates
from migration.ownership.references import destinations as destinations_of
from migration.settings.choices import called, in_any, why_excluded, why_not_included
from migration.settings.yaml_reader import did_you_mean, meant

PATTERN = frozenset("*?[")


def refuse_misspelt(known: Known) -> None:
    """ConfigError for the first name that means nothing on blue."""
    choices, view = known.choices, known.blue
    for name in choices.only:
        _service(known, name) if "/" in name else _namespace(known, name)
    for kind in choices.kinds:
        if problem := _kind(view, kind, may_be_left_out=False):
            raise ConfigError(f"--kind {kind}: {problem}", remedy="write a kind as `Deployment` or `deployments.apps`")
    for part, selection in (("include", choices.include), ("exclude", choices.exclude)):
        for index, name in enumerate(selection.namespaces):
            problem = "" if PATTERN & set(name) else _no_namespace(view, name)
            if problem:
                raise choices.wrong(f"replicate.{part}.namespaces[{index}]", problem, "namespaces of blue, or patterns")
        for index, kind in enumerate(selection.kinds):
            if problem := _kind(view, kind, may_be_left_out=part == "exclude"):
                key = f"replicate.{part}.kinds[{index}]"
                raise choices.wrong(key, problem, "kinds of blue, as `Deployment` or `deployments.apps`")
    revisions = view.once(_revisions) if choices.istio_revision else frozenset()
    for old in choices.istio_revision:
        if old not in revisions and (near := did_you_mean(old, revisions)):
            raise choices.wrong(
                f"replicate.istioRevision.{old}", f"nothing on blue has revision {old}{near}", ", ".join(sorted(revisions))
            )
    means_nothing = choices.include != type(choices.include)() and not choices.only and not known.once(asked).brought
    if means_nothing and not view.problems:
        raise choices.wrong("replicate.include", "means no object of blue", "what is on blue, or no `include`")


# -- namespaces and services --------------------------------------------------------------------------------------------


def namespaces(view: View) -> frozenset[str]:
    found = {obj["metadata"]["name"] for obj in view.of(kinds.NAMESPACE.name)}
    return frozenset(found | {key[1] for key in view.once(by_key) if key[1]})


def _no_namespace(view: View, name: str) -> str:
    known = view.once(namespaces)
    if name in known or kinds.NAMESPACE.name in view.problems:
        return ""
    return f"{name}: no such namespace on cluster {view.name}{did_you_mean(name, known)}"


def _namespace(known: Known, name: str) -> None:
    view, choices = known.blue, known.choices
    if problem := _no_namespace(view, name):
        like_another = meant(name, view.once(namespaces)) is not None
        routes = sorted(each for each in view.once(routes_of) if each.partition("/")[2] == name)
        instead = f" (did you mean the service {routes[0]}?)" if routes and not like_another else ""
        raise ConfigError(problem + instead, remedy="name a NAMESPACE, or a service as NAMESPACE/NAME of its VirtualService")
    for part, selection, bad in (("include", choices.include, False), ("exclude", choices.exclude, True)):
        if selection.namespaces and in_any(name, selection.namespaces) is bad:
            what = "leaves it out" if bad else "does not mean it"
            raise choices.wrong(f"replicate.{part}.namespaces", f"{name} is named on the command line, and this {what}")


def routes_of(view: View) -> frozenset[str]:
    return frozenset(map(kinds.full_name, view.of(kinds.VIRTUAL_SERVICE.name)))


def _service(known: Known, name: str) -> None:
    view = known.blue
    routes = view.once(routes_of)
    if kinds.VIRTUAL_SERVICE.name in view.problems:
        return
    if name in routes:
        index = view.once(by_key)
        namespace, _, of = name.partition("/")
        obj, resource = index[kinds.VIRTUAL_SERVICE.name, namespace, of]
        for part, why_not in (("include", why_not_included), ("exclude", why_excluded)):
            if reason := why_not(known.choices, obj, resource):
                raise known.choices.wrong(f"replicate.{part}", f"{name} is named on the command line, and is {reason}")
        return
    there = [kinds.name_of(obj) for key, (obj, _) in view.once(by_key).items() if _is(key, obj, name)]
    told = f"{name}: no VirtualService of this name on cluster {view.name}"
    if there:
        leading = sorted(view.once(_routes_to).get(name, ()))
        told += f"; {' and '.join(sorted(there))} {'is' if len(there) == 1 else 'are'}"
        if leading:
            raise ConfigError(f"{told}, and {', '.join(leading)} leads there", remedy=f"name the route: {leading[0]}")
        space = name.partition("/")[0]
        raise ConfigError(f"{told}, to which no VirtualService leads", remedy=f"name its namespace: {space}")
    close = did_you_mean(name, [*routes, *view.once(namespaces)])
    raise ConfigError(told + close, remedy="name a service as NAMESPACE/NAME of its VirtualService, or a NAMESPACE")


def _is(key: Key, obj: Mapping[str, Any], name: str) -> bool:
    """A Service, or what makes pods, of this name."""
    return f"{key[1]}/{key[2]}" == name and (key[0] == kinds.SERVICE.name or (bool(templates(obj)) and key[0] != "pods"))


def _routes_to(view: View) -> Mapping[str, set[str]]:
    """By `namespace/name` of a Service, and of each workload behind it: the routes that lead there."""
    from migration.ownership.closure import selected_by

    services = {kinds.full_name(service): service for service in view.of(kinds.SERVICE.name)}
    found: dict[str, set[str]] = {}
    for route in view.of(kinds.VIRTUAL_SERVICE.name):
        namespace = route["metadata"].get("namespace", "")
        for host in destinations_of(route, view):
            name = services_meant(host, namespace)
            if name not in services:
                continue
            found.setdefault(name, set()).add(kinds.full_name(route))
            selector = first(services[name], "spec.selector") or {}
            for _, space, workload in selected_by(view, name.partition("/")[0], selector):
                found.setdefault(f"{space}/{workload}", set()).add(kinds.full_name(route))
    return found


# -- kinds --------------------------------------------------------------------------------------------------------------


def kinds_called(view: View) -> Mapping[str, list[kinds.Resource]]:
    found: dict[str, list[kinds.Resource]] = {}
    for resource in view.discovery.resources:
        for name in called(resource):
            found.setdefault(name, []).append(resource)
    return found


def kind_meant(view: View, name: str) -> str:
    """` (did you mean ConfigMap?)`: whichever way a kind was written."""
    known = view.once(kinds_called)
    written = meant(name.lower(), known)
    if written is None:
        return ""
    resource = known[written][0]
    return f" (did you mean {resource.kind if written == resource.kind.lower() else written}?)"


def _kind(view: View, name: str, *, may_be_left_out: bool) -> str:
    """What is wrong with the name of a kind; "" where nothing is, or where nobody can know."""
    known = view.once(kinds_called)
    found = known.get(name.lower(), [])
    if not found:
        if any(not _left_out(group) for group in view.discovery.stale):
            return ""  # of an API that does not answer nobody knows the kinds
        return f"cluster {view.name} serves no kind {name}{kind_meant(view, name)}"
    reasons = [kinds.skipped_kind(resource) for resource in found]
    if may_be_left_out or not all(reasons):
        return ""
    return f"{found[0].name} is never copied: {reasons[0]}"


def _left_out(group_version: str) -> bool:
    return f"*.{group_version.partition('/')[0]}" in kinds.SKIPPED_KINDS


# -- revisions ----------------------------------------------------------------------------------------------------------


def _labels(view: View) -> Iterator[Mapping[str, str]]:
    for obj, _ in view.once(by_key).values():
        yield obj["metadata"].get("labels") or {}
        for template in templates(obj):
            yield (template.get("metadata") or {}).get("labels") or {}


def _revisions(view: View) -> frozenset[str]:
    """Istio's revisions and tags that something on blue has by its labels."""
    labels: Iterable[Mapping[str, str]] = _labels(view)
    return frozenset(each[key] for each in labels for key in ("istio.io/rev", "istio.io/tag") if each.get(key))
