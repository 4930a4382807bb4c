"""Whether green's mesh takes up what blue's does: revision labels, and who puts proxies into pods.

Istio's injector is a webhook for pods that selects by labels of the namespace and of the pod; a revision and each of its
tags has a webhook of its own. So it is not guessed from names what a label does: green's webhooks are asked, as the API
server would ask them. Where blue's select a pod and green's would not, it would run without a proxy, which is without the
mesh's encryption and policies: it is held until a person says which revision of green takes the place of blue's.

What Istio does with the labels (charts `istio-discovery` and `pkg/revisions` of istio/istio):
- `istio-injection` of a namespace is looked at before `istio.io/rev`; `enabled` means the default revision, which is the
  one without a name or the one that the tag `default` points to.
- `istio.io/rev` names a revision or a tag; that of a namespace goes before that of a pod.
- On policies, routes and filters `istio.io/rev` names the one control plane that reads them; tags do not count there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from migration.errors import ConfigError
from migration.objects import kinds
from migration.objects.classes import WRITTEN, Action, Answer, Class, Verdict
from migration.objects.kinds import Object, Resource
from migration.ownership import owners
from migration.ownership.closure import why_unasked
from migration.ownership.known import Known
from migration.ownership.mesh import (
    AMBIENT,
    DEFAULT,
    INJECT,
    INJECTION,
    MESH_GROUPS,
    NAMESPACES,
    NO_MESH,
    REVISION,
    Labels,
    Mesh,
    mesh_of,
)
from migration.settings.yaml_reader import did_you_mean

# -- what becomes of one object ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lack:
    """What green's mesh would not take up: why, and the revision of blue's that needs another name; "" where none helps."""

    why: str
    revision: str = ""


def over(verdict: Verdict, obj: Object, resource: Resource, known: Known) -> Verdict:
    """A verdict with what green's mesh says about it. It changes only what would be written: the object comes with another
    revision, or is held for want of one.
    """
    if known.green is None or verdict.action not in WRITTEN:
        return verdict
    namespace = obj["metadata"].get("namespace")
    if namespace is not None and namespace in known.once(_held):
        reason = f"its namespace {namespace} waits for an answer"
        return replace(verdict, action=Action.HOLD, reason="; ".join(each for each in (verdict.reason, reason) if each))
    lack = lack_of(obj, resource, known)
    if lack is None:
        return _renamed(verdict, obj, resource, known)
    if verdict.cls in (Class.PLAIN, Class.BASELINE_PEOPLES):
        answers = (Answer.START, Answer.SKIP)
        cls = Class.RENAMED if verdict.cls is Class.PLAIN else verdict.cls
        asked = replace(_renamed(verdict, obj, resource, known), cls=cls, reason=lack.why, answers=answers, required=True)
        if verdict.answer is Answer.START:
            return asked
    else:  # a word about what it does is none about its proxy
        reason = "; ".join(each for each in (verdict.reason, lack.why) if each)
        asked = replace(verdict, reason=reason, answer=None, answers=verdict.answers or (Answer.SKIP,), required=True)
    return replace(asked, action=Action.HOLD, instead=_line(lack, known))


def lack_of(obj: Mapping[str, Any], resource: Resource, known: Known) -> Lack | None:
    """What blue's mesh does for this object and green's would not, by migration.yaml's revisions; None: nothing."""
    if known.green is None:
        return None
    labels = obj["metadata"].get("labels") or {}
    if resource.name == NAMESPACES:
        return _of_namespace(labels, str(obj["metadata"]["name"]), known)
    if resource.group in MESH_GROUPS:
        return _of_configuration(labels, resource, known)
    for pod in pods_of(obj):
        if lack := _of_pod(pod, obj["metadata"].get("namespace", ""), known):
            return lack
    return None


def _of_namespace(labels: Labels, name: str, known: Known) -> Lack | None:
    blue, green = _both(known)
    whole = {**labels, "kubernetes.io/metadata.name": name}
    if labels.get(AMBIENT) == "ambient" and blue.ambient and not green.ambient:
        return Lack(f"labelled {AMBIENT}=ambient, and green has no ztunnel: its pods would be out of the mesh")
    if not blue.injects(whole, {}) or _injected_when_renamed(whole, {}, known):
        return None
    if labels.get(INJECTION) == "enabled":
        return Lack(f"labelled {INJECTION}=enabled, which needs a default revision; {_has(green)}", DEFAULT)
    if REVISION in labels:
        return Lack(
            f"labelled {REVISION}={labels[REVISION]}; {_has(green)}: its pods would have no proxy", str(labels[REVISION])
        )
    return Lack(f"blue puts proxies into the pods of every namespace, green into none without a label; {_has(green)}")


def _of_pod(pod: Mapping[str, Any], namespace: str, known: Known) -> Lack | None:
    labels, annotations = pod.get("labels") or {}, pod.get("annotations") or {}
    if annotations.get(INJECT) == "false":
        return None
    blue, green = _both(known)
    around, greens = (known.once(each).get(namespace, {}) for each in (_blues_namespaces, _greens_namespaces))
    if labels.get(AMBIENT) == "ambient" and blue.ambient and not green.ambient:
        return Lack(f"its pods are labelled {AMBIENT}=ambient, and green has no ztunnel: they would be out of the mesh")
    if not blue.injects(around, labels) or green.injects(greens, renamed(labels, known)):
        return None
    if blue.injects(around, {}):
        if namespace in known.once(_taken_as_it_is):
            return None
        return Lack(f"namespace {namespace} has no label on green by which its pods get a proxy, as they do on blue")
    if REVISION in labels:
        return Lack(
            f"its pods are labelled {REVISION}={labels[REVISION]}; {_has(green)}: they would have no proxy",
            str(labels[REVISION]),
        )
    return Lack(f"its pods are labelled {INJECT}=true, which needs a default revision; {_has(green)}", DEFAULT)


def _of_configuration(labels: Labels, resource: Resource, known: Known) -> Lack | None:
    name = labels.get(REVISION)
    blue, green = _both(known)
    if name is None:
        return None
    said = known.choices.istio_revision.get(str(name))
    new = str(name) if said is None else said
    by_tag = resource.group.startswith("gateway.")
    names = blue.names if by_tag else blue.revisions
    wanted = new if by_tag or said is None else green.tags.get(new) or new
    if not (blue.unseen or name in names) or wanted in (green.names if by_tag else green.revisions):
        return None
    return Lack(f"labelled {REVISION}={name}: read by the control plane of that revision alone; {_has(green)}", str(name))


def _both(known: Known) -> tuple[Mesh, Mesh]:
    return known.once(_meshes)


def _meshes(known: Known) -> tuple[Mesh, Mesh]:
    """Where blue shows no mesh and green does, blue's labels that name a revision count: nobody writes them for nothing."""
    assert known.green is not None
    blue, green = mesh_of(known.blue), mesh_of(known.green)
    if blue.hooks or blue.names or not (green.hooks or green.names):
        return blue, green
    return replace(blue, unseen=True), green


def _has(mesh: Mesh) -> str:
    if mesh.unread:
        return f"green's webhooks could not be read ({mesh.unread})"
    return f"green has {', '.join(sorted(mesh.names)) or 'no injector'}"


def _held(known: Known) -> frozenset[str]:
    """Namespaces that are held, with all that is in them."""
    held = set()
    for namespace in known.blue.of(NAMESPACES):
        answered = kinds.name_of(namespace) in known.choices.answers
        if not answered and _comes(namespace, known) and lack_of(namespace, kinds.NAMESPACE, known) is not None:
            held.add(namespace["metadata"]["name"])
    return frozenset(held)


def _taken_as_it_is(known: Known) -> frozenset[str]:
    """Namespaces of which a person said that they may come without proxies."""
    said = (each for each in known.blue.of(NAMESPACES) if known.answer(each) is Answer.START)
    return frozenset(each["metadata"]["name"] for each in said)


def _comes(namespace: Object, known: Known) -> bool:
    """Whether replicate brings a namespace; else its labels are those that green's has."""
    if known.answer(namespace) is Answer.SKIP:
        return False
    if why_unasked(known, namespace, kinds.NAMESPACE):
        return False
    return owners.sign(namespace, kinds.NAMESPACE, known) is None


def _greens_namespaces(known: Known) -> dict[str, Labels]:
    """Labels of namespaces as they are to be on green: of those that replicate brings, as they will be."""
    theirs = known.green.of(NAMESPACES) if known.green is not None else []
    labels = _by_name(theirs)
    for namespace in known.blue.of(NAMESPACES):
        name = namespace["metadata"]["name"]
        if _comes(namespace, known):
            labels[name] = renamed(_by_name([namespace])[name], known)
    return labels


def _blues_namespaces(known: Known) -> dict[str, Labels]:
    return _by_name(known.blue.of(NAMESPACES))


def _by_name(namespaces: Iterable[Object]) -> dict[str, Labels]:
    """The labels by which webhooks choose a namespace."""
    labels: dict[str, Labels] = {}
    for namespace in namespaces:
        name = namespace["metadata"]["name"]
        labels[name] = {**(namespace["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": name}
    return labels


def pods_of(obj: Mapping[str, Any]) -> Iterator[Object]:
    """metadata of the pods that an object makes, or is."""
    if obj.get("kind") == "Pod":
        yield obj["metadata"]
        return
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    job = spec.get("jobTemplate")
    for template in (spec.get("template"), (job.get("spec") or {}).get("template") if isinstance(job, dict) else None):
        if isinstance(template, dict) and isinstance(template.get("metadata"), dict):
            yield template["metadata"]


# -- other names -------------------------------------------------------------------------------------------------------


def renamed(labels: Labels, known: Known) -> dict[str, Any]:
    """Labels of a namespace or of pods as they are to be on green."""
    changed = dict(labels)
    for key, value, new_key, new_value in _relabel(known):
        if changed.get(key) == value:
            del changed[key]
            changed[new_key] = new_value
    return changed


def _injected_when_renamed(namespace: Labels, pod: Labels, known: Known) -> bool:
    return _both(known)[1].injects(renamed(namespace, known), renamed(pod, known))


Relabel = tuple[str, str, str, str]  # a label and its value, and what takes their place


def _relabel(known: Known) -> tuple[Relabel, ...]:
    return known.once(_relabelled)


def _relabelled(known: Known) -> tuple[Relabel, ...]:
    green = mesh_of(known.green) if known.green is not None else NO_MESH
    changes: list[Relabel] = []
    for old, new in known.choices.istio_revision.items():
        changes.append((REVISION, old, REVISION, new))
        if old == DEFAULT and new != DEFAULT:
            changes.append((INJECTION, "enabled", REVISION, new))
        elif new == DEFAULT and not green.injects({REVISION: new}, {}) and green.injects({INJECTION: "enabled"}, {}):
            changes[-1] = (REVISION, old, INJECTION, "enabled")
    return tuple(changes)


def _renamed(verdict: Verdict, obj: Mapping[str, Any], resource: Resource, known: Known) -> Verdict:
    """With the labels to change and a note for each."""
    if not known.choices.istio_revision:
        return verdict
    changes = _relabel(known)
    if resource.group.endswith(".istio.io"):  # read by revision, never by tag
        tags = _both(known)[1].tags
        changes = tuple((REVISION, old, REVISION, tags.get(new) or new) for old, new in known.choices.istio_revision.items())
    wanted = tuple(each for each in changes if _carries(obj, each[0], each[1]))
    if not wanted:
        return verdict
    notes = tuple(f"{key}={old} becomes {new_key}={new}" for key, old, new_key, new in wanted)
    cls = Class.RENAMED if verdict.cls is Class.PLAIN else verdict.cls
    return replace(verdict, cls=cls, notes=(*verdict.notes, *notes), relabel=wanted)


def _carries(value: Any, key: str, old: str) -> bool:
    if isinstance(value, dict):
        if value.get("key") == key and isinstance(value.get("values"), list) and old in value["values"]:
            return True
        return value.get(key) == old or any(
            _carries(inner, key, old) for name, inner in value.items() if name != "managedFields"
        )
    return isinstance(value, list) and any(_carries(inner, key, old) for inner in value)


def relabel(value: Any, changes: tuple[Relabel, ...]) -> None:
    """Changes labels wherever they are in an object: its own, its pods', those that selectors ask for."""
    if isinstance(value, list):
        for inner in value:
            relabel(inner, changes)
    elif isinstance(value, dict):
        for key, old, new_key, new in changes:
            if value.get(key) == old:
                del value[key]
                value[new_key] = new
            if value.get("key") == key == new_key and isinstance(value.get("values"), list):
                value["values"] = [new if each == old else each for each in value["values"]]
        for inner in value.values():
            relabel(inner, changes)


# -- what a person says ------------------------------------------------------------------------------------------------


def _line(lack: Lack, known: Known) -> str:
    """The line for migration.yaml that settles it; "" where green has no revision to name."""
    green = _both(known)[1]
    usable = sorted(name for name in green.names | {DEFAULT} if green.takes(name))
    if not lack.revision or not usable:
        return ""
    new = DEFAULT if DEFAULT in usable else usable[0]
    others = [each for each in usable if each != new]
    line = f"istioRevision: {{{_scalar(lack.revision)}: {_scalar(new)}}}"
    return f"{line}  # or {' | '.join(others)}" if others else line


def _scalar(text: str) -> str:
    """Quoted where YAML would read something else than a text."""
    odd = re.fullmatch(r"\d+|\d{4}-\d\d?-\d\d?|[0-9]+(e[0-9]+|\.[0-9]+)|(?i:y|n|yes|no|on|off|true|false|null|~)", text)
    return f'"{text}"' if odd else text


def refuse_wrong(known: Known) -> None:
    """Looks at the new names in `replicate.istioRevision`.

    Raises:
        ConfigError: green has no revision or tag of one of them.
    """
    if known.green is None:
        return
    green = mesh_of(known.green)
    if green.unread:
        return
    for old, new in known.choices.istio_revision.items():
        if not green.takes(new):
            has = ", ".join(sorted(green.names)) or "no revision of Istio"
            raise ConfigError(
                f"replicate.istioRevision.{old}: is {new!r}, which is not on cluster {known.green.name}"
                f"{did_you_mean(new, green.names)}",
                remedy=f"name a revision or tag that green has: {has}",
            )
