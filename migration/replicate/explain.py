"""`replicate --explain KIND/NAMESPACE/NAME`: of one object of blue, what becomes of it on green and why.

Tells paths of fields, never their values but for numbers and true or false: values may be secret. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migration.errors import ConfigError, Held
from migration.objects import kinds
from migration.objects.classes import ACTIONS, ANSWERS, WRITTEN, Action, Answer, Class
from migration.objects.kinds import Object, Resource
from migration.ownership import closure, judge
from migration.ownership.closure import by_key, key_of
from migration.ownership.judge import Item
from migration.ownership.known import Known
from migration.ownership.names import kind_meant, kinds_called
from migration.replicate.rules import METADATA_OF_ONE_CLUSTER
from migration.settings.yaml_reader import did_you_mean

BOOKKEEPING = frozenset(f"metadata.{name}" for name in METADATA_OF_ONE_CLUSTER) | {"status"}


BESIDE = frozenset({kinds.CRD.kind, "HorizontalPodAutoscaler", "ScaledObject"})  # kinds that decide about others' plan


@dataclass(frozen=True)
class Explanation:
    """What is said of one object. `todo`: what would be written to green now (`create`, `update`, `unchanged`, `conflict`,
    `held`, `left`), and why; `sign`: the function that decided; `fields`: `- path`, `~ path` and `+ path` of what is taken
    away, changed and put in for green.
    """

    object: str
    api_version: str
    cls: Class | None
    reason: str
    action: str
    todo: str = ""
    todo_reason: str = ""
    sign: str = ""
    brought: str = ""
    answer: str | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    add: str = ""
    notes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


# -- which object ------------------------------------------------------------------------------------------------------


def find(known: Known, name: str) -> tuple[Resource, Object | None]:
    """The kind, and the object unless no object of its kind is copied, by `KIND/NAMESPACE/NAME`, `KIND NAMESPACE/NAME`,
    `KIND/NAME` or `KIND NAME`.

    Raises:
        ConfigError: there is none, with what was probably meant. Held: its kind could not be read.
    """
    view = known.blue
    kind, _, rest = name.replace("/", " ", 1).partition(" ") if " " not in name else name.partition(" ")
    rest = rest.strip()
    called = view.once(kinds_called)
    resources = called.get(kind.lower(), [])
    if not kind or not rest or rest.count("/") > 1:
        raise ConfigError(
            f"--explain {name}: is not the name of an object",
            remedy="`bluegreen replicate --explain KIND/NAMESPACE/NAME`, or `--explain classes`",
        )
    if not resources:
        raise ConfigError(
            f"--explain {name}: cluster {view.name} serves no kind {kind}{kind_meant(view, kind)}",
            remedy="`kubectl api-resources` lists the kinds",
        )
    index = view.once(by_key)
    namespace, _, of = rest.rpartition("/")
    for resource in resources:
        entry = index.get((resource.name, namespace, of))
        if entry is not None:
            return entry[1], entry[0]
    for resource in resources:
        if kinds.skipped_kind(resource):
            return resource, None
    for resource in resources:
        if problem := view.problems.get(resource.name):
            raise Held(
                f"--explain {name}: {resource.name} could not be read: {problem}",
                remedy="let the kubeconfig's user list this kind",
            )
    names = [f"{resources[0].kind} {key[1] + '/' if key[1] else ''}{key[2]}" for key in index if key[0] == resources[0].name]
    asked = f"{resources[0].kind} {rest}"
    same = [each for each in names if each.rpartition("/")[2].rpartition(" ")[2] == of]
    close = f" (did you mean {same[0]}?)" if same else did_you_mean(asked, names)
    raise ConfigError(
        f"--explain {name}: not on cluster {view.name}{close}", remedy="`bluegreen replicate --explain KIND/NAMESPACE/NAME`"
    )


# -- what is said of it ------------------------------------------------------------------------------------------------


def of_kind_left_out(resource: Resource, name: str) -> Explanation:
    """Of an object whose kind is never copied. `name`: as it was given on the command line."""
    reason = kinds.skipped_kind(resource) or ""
    object_name = f"{resource.kind} {name.replace(resource.kind, '', 1).strip(' /')}"
    return Explanation(
        object_name, resource.api_version, None, reason, ACTIONS[Action.LEAVE], "left", sign="kinds.SKIPPED_KINDS"
    )


def explain(known: Known, item: Item, wanted: Object | None, todo: str = "left", todo_reason: str = "") -> Explanation:
    """`wanted`: the object as it is to be on green; None: it is not written."""
    verdict = item.verdict
    sign_name, sign = judge.decided(item.obj, item.resource, known)
    answers = {**(sign.answers if sign else {}), Answer.SKIP: Action.LEAVE}
    brought = verdict.brought if closure.narrowed(known.choices) else "all of blue is"
    return Explanation(
        item.name,
        item.resource.api_version,
        verdict.cls,
        verdict.reason,
        ACTIONS[verdict.action],
        todo,
        todo_reason if todo_reason != verdict.reason else "",
        sign_name or "no sign",
        brought,
        verdict.answer.value if verdict.answer else None,
        {answer.value: f"{ANSWERS[answer]}; {ACTIONS[action]}" for answer, action in answers.items()},
        verdict.add(item.name),
        verdict.notes,
        tuple(changed(item.obj, wanted)) if wanted is not None and verdict.action in WRITTEN else (),
    )


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs, by field: marks and paths. What identifies one cluster's object goes from all, and is one line."""
    differing = list(_changed(before, after, ""))
    own = [path for mark, path, _ in differing if mark == "-" and path in BOOKKEEPING]
    lines = [f"{mark} {path}{value}" for mark, path, value in differing if path not in own]
    names = ", ".join(sorted(path.rpartition(".")[2] for path in own))
    return [*lines, f"- what identifies blue's own: {names}"] if own else lines


def _changed(before: Any, after: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}[{key}]" if "." in str(key) else f"{path}.{key}" if path else str(key)
            if key not in after:
                yield "-", inner, ""
            elif key not in before and isinstance(after[key], Mapping):
                yield from _changed({}, after[key], inner)
            elif key not in before:
                yield "+", inner, _plain(after[key])
            elif before[key] != after[key]:
                yield from _changed(before[key], after[key], inner)
        return
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                yield from _changed(one, other, f"{path}[{index}]")
        return
    numbers = f"{_plain(before)} ->{_plain(after)[1:]}" if _plain(before) and _plain(after) else ""
    yield "~", path, numbers


def _plain(value: Any) -> str:
    return f": {json.dumps(value)}" if isinstance(value, (bool, int, float)) else ""


def item_of(items: list[Item], obj: Object, resource: Resource) -> Item:
    """The object among those judged, whole where it was read whole."""
    key = key_of(obj, resource)
    return next(item for item in items if key_of(item.obj, item.resource) == key)
