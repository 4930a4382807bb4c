"""What a person says about replication: `replicate` in migration.yaml, and what is named on the command line.

```yaml
replicate:
  include: {namespaces: [shop, "team-*"], kinds: [Deployment], selector: "tier=front"}   # only what all of them mean,
                                                  # and at least its Namespace and its definition
  exclude: {namespaces: [scratch]}                                                       # nor what any of these means
  answers:
    Deployment platform/external-dns: hold          # KIND NAMESPACE/NAME, or KIND NAME
  istioRevision: {1-26-0: default}                  # blue's revision label -> green's
  rewrites: {share: 0.3, minimum: 10}               # of what green has, one run may rewrite so much without --force
```
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from migration.errors import ConfigError
from migration.objects.classes import Answer
from migration.objects.kinds import Resource
from migration.settings.keys import key, keys_of
from migration.settings.yaml_reader import Reader, given, shown

KEYS: Mapping[str, tuple[str, ...]] = {
    "replicate": ("include", "exclude", "answers", "istioRevision", "rewrites"),
    "replicate.include": ("namespaces", "kinds", "selector"),
    "replicate.exclude": ("namespaces", "kinds", "selector"),
    "replicate.rewrites": ("share", "minimum"),
}


NAMED = "^[^ ]+ [^ ]+$"  # KIND NAMESPACE/NAME, or KIND NAME


@dataclass(frozen=True)
class Selection:
    """Namespaces by name or pattern (`team-*`), kinds as `Deployment` or `deployments.apps`, a label selector."""

    namespaces: tuple[str, ...] = key((), doc="names or patterns, such as `team-*`")
    kinds: tuple[str, ...] = key((), doc="kinds, such as `Deployment` or `deployments.apps`")
    selector: str = key("", doc="labels, as kubectl's `--selector`", type=["string", "null"])


@dataclass(frozen=True)
class Rewrites:
    """How much of what green has one run may rewrite (replicate/brake.py)."""

    share: float = key(
        0.3,
        0,
        1,
        "of what green has (0.3 is 30 %)",
        "updates of one run, of all objects and of workloads alone; more needs `--force`",
    )
    minimum: int = key(10, 1, 1_000_000, "objects", "where green has fewer of them, there is no limit")


@dataclass(frozen=True)
class Choices:
    """`only`: namespaces and services (`namespace/name` of a route) named on the command line, with `kinds` of --kind;
    empty: everything. `reader`: knows where migration.yaml says it, for complaints that need what is on blue.
    """

    include: Selection = key(Selection(), doc="only what all of these mean, with its Namespace and its definition")
    exclude: Selection = key(Selection(), doc="nor what any of these means")
    answers: Mapping[str, Answer] = key(
        factory=lambda: MappingProxyType({}),
        doc="what becomes of one object, by KIND NAMESPACE/NAME, or KIND NAME of what is in no namespace",
        propertyNames={"pattern": NAMED},
    )
    istio_revision: Mapping[str, str] = key(
        factory=lambda: MappingProxyType({}), doc="blue's revision or tag of the mesh: green's", name="istioRevision"
    )
    rewrites: Rewrites = key(Rewrites(), doc="how much of what green has one run may rewrite")
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    reader: Reader | None = field(default=None, compare=False, repr=False)

    def wrong(self, key: str, problem: str, allowed: str = "", remedy: str | None = None) -> ConfigError:
        """The complaint about a key of `replicate`, with its line where it stands in a file."""
        if self.reader is not None:
            return self.reader.wrong(key, problem, allowed, remedy)
        message = f"{key}: {problem}" + (f"; allowed: {allowed}" if allowed else "")
        return ConfigError(message, remedy=remedy or "edit migration.yaml and run the same command again")


NOTHING_SAID = Choices()


def in_namespaces(names: Iterable[str]) -> Choices:
    """Only what is in these namespaces (and what is in none)."""
    return Choices(include=Selection(namespaces=tuple(names)))


def read(reader: Reader, value: Any) -> Choices:
    """`replicate` of migration.yaml."""
    top = reader.mapping(value, "replicate", KEYS["replicate"])
    answers = {}
    for name, answer in reader.mapping(given(top, "answers", {}), "replicate.answers", None).items():
        where = f"replicate.answers.{name}"
        if not re.fullmatch(NAMED, name):
            raise reader.wrong(where, f"is {shown(name)}", "KIND NAMESPACE/NAME, or KIND NAME of what is in no namespace")
        answers[name] = Answer(reader.choice(answer, where, [each.value for each in Answer]))
    revisions = {
        old: reader.text(new, f"replicate.istioRevision.{old}")
        for old, new in reader.mapping(given(top, "istioRevision", {}), "replicate.istioRevision", None).items()
    }
    return Choices(
        _selection(reader, given(top, "include", {}), "replicate.include"),
        _selection(reader, given(top, "exclude", {}), "replicate.exclude"),
        MappingProxyType(answers),
        MappingProxyType(revisions),
        _rewrites(reader, given(top, "rewrites", {}), "replicate.rewrites"),
        reader=reader,
    )


def _rewrites(reader: Reader, value: Any, where: str) -> Rewrites:
    fields, limits, usual = reader.mapping(value, where, KEYS[where]), keys_of(Rewrites), Rewrites()
    share, minimum = fields.get("share", usual.share), fields.get("minimum", usual.minimum)
    low, high = limits["minimum"].range
    return Rewrites(
        reader.number(share, f"{where}.share", *limits["share"].range, limits["share"].unit),
        reader.whole(minimum, f"{where}.minimum", int(low), int(high), limits["minimum"].unit),
    )


def _selection(reader: Reader, value: Any, key: str) -> Selection:
    fields = reader.mapping(value, key, KEYS[key])
    lists = {
        name: tuple(
            reader.text(each, f"{key}.{name}[{index}]")
            for index, each in enumerate(reader.sequence(given(fields, name, []), f"{key}.{name}"))
        )
        for name in ("namespaces", "kinds")
    }
    selector = reader.text(fields["selector"], f"{key}.selector") if fields.get("selector") is not None else ""
    if problem := selector_problem(selector):
        raise reader.wrong(
            f"{key}.selector", f"is {shown(selector)}: {problem}", "as kubectl's --selector: 'a=b,c in (d,e),!f'"
        )
    return Selection(**lists, selector=selector)


# -- what a selection means --------------------------------------------------------------------------------------------


def selector_problem(selector: str) -> str | None:
    """What is wrong with a label selector; None: it can be read."""
    try:
        requirements(selector)
    except ValueError as problem:
        return str(problem)
    return None


Requirement = tuple[str, str, frozenset[str]]  # key, operator, values
_ONE = re.compile(
    r"\s*(?:(?P<not>!)\s*(?P<absent>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<eq>==|=|!=)\s*(?P<value>[\w.-]*)|\s(?P<op>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)


@lru_cache(maxsize=64)
def requirements(selector: str) -> tuple[Requirement, ...]:
    """`a=b,c in (d,e),!f` as (key, operator, values): operators `in`, `notin`, `exists`, `absent`. ValueError: unreadable."""
    terms: list[Requirement] = []
    at = 0
    while at < len(selector):
        match = _ONE.match(selector, at)
        if not match or match.end() == at:
            raise ValueError(f"cannot be read from {selector[at:]!r} on")
        at = match.end()
        if match["not"]:
            terms.append((match["absent"], "absent", frozenset()))
        elif match["op"]:
            terms.append((match["key"], match["op"], frozenset(v.strip() for v in match["values"].split(","))))
        elif match["eq"]:
            terms.append((match["key"], "notin" if match["eq"] == "!=" else "in", frozenset({match["value"]})))
        else:
            terms.append((match["key"], "exists", frozenset()))
    if selector.rstrip().endswith(","):
        raise ValueError("ends with a comma")
    return tuple(terms)


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a label selector means an object with these labels; as Kubernetes has it, `notin` means those without the key,
    too.
    """
    for label, operator, values in requirements(selector):
        good = {
            "in": labels.get(label) in values,
            "notin": labels.get(label) not in values,
            "exists": label in labels,
            "absent": label not in labels,
        }
        if not good[operator]:
            return False
    return True


def why_not_included(choices: Choices, obj: Mapping[str, Any], resource: Resource) -> str | None:
    """Why `include` does not mean this object; None: it does, all parts of it. What is in no namespace is meant by
    namespaces wherever something in them needs it, which is found elsewhere (closure.py).
    """
    wanted = _means(choices.include, obj["metadata"], resource, everywhere=True)
    if all(wanted.values()):
        return None
    return f"not among what `replicate.include` asks for by {', '.join(name for name, good in wanted.items() if not good)}"


def why_excluded(choices: Choices, obj: Mapping[str, Any], resource: Resource) -> str | None:
    """Why `exclude` means this object, by one of its parts; None: it does not."""
    unwanted = _means(choices.exclude, obj["metadata"], resource, everywhere=False)
    if not any(unwanted.values()):
        return None
    return f"left out by `replicate.exclude` by {', '.join(name for name, bad in unwanted.items() if bad)}"


def _means(selection: Selection, meta: Mapping[str, Any], resource: Resource, *, everywhere: bool) -> dict[str, bool]:
    """For each part of the selection that is given: whether it means this object. A Namespace counts as in itself;
    `everywhere`: what namespaces mean of an object that is in none.
    """
    said = {}
    if selection.namespaces:
        namespace = meta.get("namespace") or (meta["name"] if resource.name == "namespaces" else None)
        said["namespaces"] = everywhere if namespace is None else in_any(namespace, selection.namespaces)
    if selection.kinds:
        said["kinds"] = of_kind(resource, selection.kinds)
    if selection.selector:
        said["selector"] = selects(selection.selector, meta.get("labels") or {})
    return said


def in_any(namespace: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern, such as `team-*`, means this namespace."""
    return any(fnmatchcase(namespace, each) for each in patterns)


def of_kind(resource: Resource, names: Iterable[str]) -> bool:
    """Whether a kind is one of these: `Deployment`, `deployment`, `deployments`, `deployments.apps`, `Deployment.apps`."""
    known = called(resource)
    return any(name.lower() in known for name in names)


@lru_cache(maxsize=4096)
def called(resource: Resource) -> frozenset[str]:
    """What a kind is called, in small letters."""
    kind = resource.kind.lower()
    group = f".{resource.group}" if resource.group else ""
    return frozenset({kind, f"{kind}{group}", resource.plural, resource.name})
