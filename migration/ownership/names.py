"""Refuses names that mean nothing on blue, with what was probably meant: of the command line, and of `replicate` in
migration.yaml with the line where it stands.

A name that means nothing would leave out, or fail to leave out, something without a word. What could not be read is not
held against a name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import routing
from migration.errors import ConfigError
from migration.objects import kinds
from migration.objects.view import View
from migration.ownership.closure import asked, by_key
from migration.ownership.known import Known
from migration.ownership.references import Key, first, templates
from migration.ownership.references import destinations as destinations_of
from migration.settings.choices import called, in_any, why_excluded, why_not_included
from migration.settings.yaml_reader import did_you_mean, meant

PATTERN = frozenset("*?[")


def refuse_misspelt(known: Known) -> None:
    """Looks at every name on the command line and in `replicate`.

    Raises:
        ConfigError: the first that means nothing on blue, with what was probably meant.
    """
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
    """Those that exist, and those of which only objects could be read."""
    names = {obj["metadata"]["name"] for obj in view.of(kinds.NAMESPACE.name)}
    return frozenset(names | {key[1] for key in view.once(by_key) if key[1]})


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
        remedy = f"name a NAMESPACE, or a service as NAMESPACE/NAME of its {routing.called()}"
        raise ConfigError(problem + instead, remedy=remedy)
    for part, selection, bad in (("include", choices.include, False), ("exclude", choices.exclude, True)):
        if selection.namespaces and in_any(name, selection.namespaces) is bad:
            what = "leaves it out" if bad else "does not mean it"
            raise choices.wrong(f"replicate.{part}.namespaces", f"{name} is named on the command line, and this {what}")


def routes_of(view: View) -> frozenset[str]:
    """`namespace/name` of every route, of whatever kind."""
    return frozenset(map(kinds.full_name, view.routes()))


def _service(known: Known, name: str) -> None:
    view = known.blue
    routes = view.once(routes_of)
    names = [kind.resource.name for kind in routing.registered()]
    if any(kind in view.problems for kind in names):
        return
    if name in routes:
        index = view.once(by_key)
        namespace, _, of = name.partition("/")
        obj, resource = next(index[kind, namespace, of] for kind in names if (kind, namespace, of) in index)
        for part, why_not in (("include", why_not_included), ("exclude", why_excluded)):
            if reason := why_not(known.choices, obj, resource):
                raise known.choices.wrong(f"replicate.{part}", f"{name} is named on the command line, and is {reason}")
        return
    matches = [kinds.name_of(obj) for key, (obj, _) in view.once(by_key).items() if _is(key, obj, name)]
    problem = f"{name}: no {routing.called()} of this name on cluster {view.name}"
    if matches:
        leading = sorted(view.once(_routes_to).get(name, ()))
        problem += f"; {' and '.join(sorted(matches))} {'is' if len(matches) == 1 else 'are'}"
        if leading:
            raise ConfigError(f"{problem}, and {', '.join(leading)} leads there", remedy=f"name the route: {leading[0]}")
        space = name.partition("/")[0]
        raise ConfigError(f"{problem}, to which no {routing.called()} leads", remedy=f"name its namespace: {space}")
    close = did_you_mean(name, [*routes, *view.once(namespaces)])
    raise ConfigError(problem + close, remedy=f"name a service as NAMESPACE/NAME of its {routing.called()}, or a NAMESPACE")


def _is(key: Key, obj: Mapping[str, Any], name: str) -> bool:
    """A Service, or what makes pods, of this name."""
    return f"{key[1]}/{key[2]}" == name and (key[0] == kinds.SERVICE.name or (bool(templates(obj)) and key[0] != "pods"))


def _routes_to(view: View) -> Mapping[str, set[str]]:
    """By `namespace/name` of a Service, and of each workload behind it: the routes that lead there."""
    from migration.ownership.closure import selected_by

    services = {kinds.full_name(service): service for service in view.of(kinds.SERVICE.name)}
    by_target: dict[str, set[str]] = {}
    for route in view.routes():
        namespace = route["metadata"].get("namespace", "")
        for host in destinations_of(route, view):
            name = routing.services_meant(host, namespace)
            if name not in services:
                continue
            by_target.setdefault(name, set()).add(kinds.full_name(route))
            selector = first(services[name], "spec.selector") or {}
            for _, space, workload in selected_by(view, name.partition("/")[0], selector):
                by_target.setdefault(f"{space}/{workload}", set()).add(kinds.full_name(route))
    return by_target


# -- kinds --------------------------------------------------------------------------------------------------------------


def kinds_called(view: View) -> Mapping[str, list[kinds.Resource]]:
    """The kinds by each of their names, in lower case; several groups may have one of a name."""
    by_name: dict[str, list[kinds.Resource]] = {}
    for resource in view.discovery.resources:
        for name in called(resource):
            by_name.setdefault(name, []).append(resource)
    return by_name


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
    resources = known.get(name.lower(), [])
    if not resources:
        if any(not _left_out(group) for group in view.discovery.stale):
            return ""  # of an API that does not answer nobody knows the kinds
        return f"cluster {view.name} serves no kind {name}{kind_meant(view, name)}"
    reasons = [kinds.skipped_kind(resource) for resource in resources]
    if may_be_left_out or not all(reasons):
        return ""
    return f"{resources[0].name} is never copied: {reasons[0]}"


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
