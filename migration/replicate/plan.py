"""Compares what green should have with what it has, without writing: what would be created, what changed, what belongs
to somebody else.

One LIST for each kind on green and a comparison here; no request per object. Objects that are as they should be are not
written again, so a second run of `replicate` sends no PATCH at all.

What is held says why and for what it waits (compare.Wait): the order of questions is whether green serves the kind,
whether the namespace or the definition is on its way out there, whether anybody may still make such an object, and only
then what differs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from migration.errors import BluegreenError, NotFound
from migration.objects import kinds
from migration.objects.classes import Action, Class, Verdict
from migration.objects.health import condition, conditions
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery
from migration.ownership import conversion
from migration.ownership.judge import Item
from migration.ownership.mesh import MESH_GROUPS
from migration.ports import Reader
from migration.replicate.brake import Excess, excess
from migration.replicate.compare import (
    APPLIED,
    Blocker,
    Change,
    Obstacle,
    Todo,
    Wait,
    compare,
    key_of,
    scaled_workloads,
    stamped,
)
from migration.replicate.export import Bundle, Skipped
from migration.replicate.unread import on
from migration.settings.choices import Rewrites

__all__ = ["APPLIED", "Change", "Plan", "Wait", "plan"]
COUNTED: tuple[tuple[Todo, str], ...] = (
    ("create", "to create"),
    ("update", "to update"),
    ("unchanged", "unchanged"),
    ("conflict", "in conflict"),
    ("held", "held"),
)


USUAL = Rewrites()
GroupKind = tuple[str, str]
Lives = dict[Resource, dict[tuple[str, str], Object] | None]  # (namespace, name) -> object; None: could not be listed
UNLISTED = Obstacle(Wait.UNREAD, "green's objects of this kind could not be listed", Blocker.KIND)
OF_EVERY = ("default", "kube-system", "kube-public", "kube-node-lease")  # namespaces that each API server makes


@dataclass(frozen=True)
class Plan:
    """`changes` in the order of writing; `left`: what is not written, by its verdict; `unread`: kinds that could not be read
    on one side, and why: nothing is known of their objects; `asked`: the kinds that were asked for; `awaited`: what another
    tool has to bring to green and has not yet, by that tool; `excess`: by what it would rewrite more of green than is allowed.
    """

    cluster: str
    changes: tuple[Change, ...]
    left: tuple[Item, ...] = ()
    kinds_left: tuple[Skipped, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    asked: tuple[Resource, ...] = ()
    awaited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    excess: Excess | None = None

    def counts(self) -> dict[str, int]:
        """Objects by what is done with them; 0 where there are none."""
        actions = Counter(change.action for change in self.changes)
        return {action: actions.get(action, 0) for action, _ in COUNTED}

    def of(self, *actions: Todo) -> list[Change]:
        """The changes with one of these actions, in the order of writing."""
        return [change for change in self.changes if change.action in actions]

    def unanswered(self) -> list[tuple[str, Verdict]]:
        """Name and verdict of each thing about which a person has to say something: an object, or who claims several."""
        judged = [(change.name, change.verdict) for change in self.changes] + [(item.name, item.verdict) for item in self.left]
        return sorted({verdict.question(name): verdict for name, verdict in judged if verdict.unanswered}.items())

    def skipped_by_reason(self) -> dict[str, int]:
        """How many are not written, by reason; without those that wait for an answer."""
        reasons = Counter(item.verdict.reason for item in self.left if not item.verdict.unanswered)
        return dict(sorted((reasons + Counter(each.reason for each in self.kinds_left)).items()))

    def notes(self) -> list[tuple[str, str]]:
        """What is changed in an object on the way, or was not kept by green, and has to be told each time."""
        notes = [(change.name, note) for change in self.changes for note in change.verdict.notes]
        unkept = [c for c in self.changes if c.action == "unchanged" and c.paths and c.wait is not Wait.DROPPED]
        return notes + [(change.name, not_kept(change.paths)) for change in unkept]


def not_kept(lost: Iterable[str]) -> str:
    """`lost`: paths of fields that green's API server dropped."""
    return f"green does not keep {', '.join(lost)}"


async def plan(bundle: Bundle, green: Reader, *, limit: Rewrites = USUAL, force: bool = False) -> Plan:
    """What `apply` would do to green. `limit`: how much of what green has it may rewrite; `force`: what is in conflict is
    written, too.
    """
    discovery = await green.discover(fresh=True)
    served, unserved = _by_service(bundle.items, discovery)
    theirs: dict[Resource | None, list[Item]] = defaultdict(list)  # what another tool brings; None: green does not serve it
    for item in bundle.left:
        if item.verdict.tool:
            theirs[discovery.find(item.resource.api_version, item.resource.kind)].append(item)

    unread = dict(bundle.unread)
    if bundle.green is not None:  # whose blue's objects are was judged without these
        unread |= {on(name, green.name): problem for name, problem in bundle.green.problems.items()}
    whole = {kinds.NAMESPACE: None, **served}
    lives = await _read(green, whole, unread, heads=False)
    comparison = _Comparison(bundle, green.name, discovery, lives, unread)

    changes = [
        Change("held", item.resource, item.obj, item.verdict.reason, verdict=item.verdict, wait=Wait.ANSWER)
        for item in bundle.left
        if item.verdict.action is Action.HOLD
    ]
    changes += comparison.definitions(served.pop(kinds.CRD, ()))
    changes += [comparison.served(resource, item) for resource, items in served.items() for item in items]
    changes += [comparison.unserved(item) for item in unserved]
    changes.sort(key=lambda c: (kinds.wave(c.resource), c.resource.group, c.resource.kind, *key_of(c.obj)))

    lives |= await _read(green, [each for each in theirs if each is not None and each not in lives], unread, heads=True)
    return Plan(
        green.name,
        tuple(changes),
        tuple(item for item in bundle.left if item.verdict.action is not Action.HOLD),
        tuple(bundle.kinds_left),
        unread,
        (*bundle.asked, *discovery.resources),
        _awaited(theirs, lives),
        excess(green.name, changes, limit, force=force),
    )


def _by_service(items: Iterable[Item], green: Discovery) -> tuple[dict[Resource, list[Item]], list[Item]]:
    """The objects by the kind in which green serves them, converted where it serves another version alone; and those that it
    does not serve as they are.
    """
    served: dict[Resource, list[Item]] = defaultdict(list)
    unserved: list[Item] = []
    for item in items:
        resource = green.find(item.resource.api_version, item.resource.kind)
        if resource is not None:
            served[resource].append(item)
        elif isinstance(converted := conversion.into(item.resource, item.obj, green), tuple):
            served[converted[0]].append(replace(item, resource=converted[0], obj=converted[1]))
        else:
            unserved.append(item)
    return served, unserved


async def _read(green: Reader, resources: Iterable[Resource], unread: dict[str, str], *, heads: bool) -> Lives:
    """Green's objects of these kinds, in parallel; of a kind that cannot be listed None, and the reason goes into `unread`.
    `heads`: their metadata alone.
    """

    async def one(resource: Resource) -> dict[tuple[str, str], Object] | None:
        try:
            listing = await green.list(resource, metadata_only=heads)
        except NotFound:
            return {}
        except BluegreenError as problem:
            unread[on(resource.name, green.name)] = str(problem)
            return None
        return {key_of(obj): obj for obj in listing.items}

    asked = list(resources)
    return dict(zip(asked, await asyncio.gather(*map(one, asked)), strict=True))


class _Comparison:
    """What green has and serves, and what of it stands in the way of an object. `unread` grows by groups of which objects come
    and whose server does not answer.
    """

    def __init__(self, bundle: Bundle, green: str, discovery: Discovery, lives: Lives, unread: dict[str, str]) -> None:
        namespaces = lives[kinds.NAMESPACE]
        self._green, self._discovery, self._lives, self._unread = green, discovery, lives, unread
        self._scaled = scaled_workloads(bundle.items)
        self._defined = _definitions(bundle)
        self._going = {name: why for (_, name), obj in (namespaces or {}).items() if (why := _namespace_going(obj))}
        self._homeless = {} if namespaces is None else _not_coming(bundle, {name for _, name in namespaces})
        self._coming: set[GroupKind] = set()  # kinds whose definition is written, or is there
        self._blocked: dict[GroupKind, Change] = {}  # kinds whose definition is not written

    def definitions(self, items: Iterable[Item]) -> list[Change]:
        """First of all: what becomes of them decides what becomes of their objects."""
        changes = [self.served(kinds.CRD, item) for item in items]
        for change in changes:
            if change.action in ("held", "conflict"):
                self._blocked[defines(change.obj)] = change
            else:
                self._coming.add(defines(change.obj))
        return changes

    def served(self, resource: Resource, item: Item) -> Change:
        """Of an object whose kind green serves."""
        live_objects = self._lives[resource]
        if live_objects is None:
            return _held(item, resource, UNLISTED)
        live = live_objects.get(key_of(item.obj))
        if obstacle := self._before_comparing(resource, item.obj, live):
            return _held(item, resource, obstacle, live)
        change = compare(
            resource,
            item.obj,
            live,
            self._scaled,
            defined=_group_kind(resource) in self._defined,
            strictly=item.verdict.cls is Class.BASELINE_PEOPLES or resource.group in MESH_GROUPS,
            status_writers=item.status_writers,
        )
        if change.action == "unchanged" and resource == kinds.CRD and live is not None and (reason := names_refused(live)):
            change = replace(change, action="held", reason=reason, wait=Wait.DEFINITION)
        return replace(change, verdict=item.verdict)

    def unserved(self, item: Item) -> Change:
        """Of an object that green cannot take as things are: its definition may come along."""
        kind = _group_kind(item.resource)
        obstacle = self._of_namespace(item.resource, item.obj)
        if obstacle is None and kind in self._coming:
            return Change("create", item.resource, stamped(item.obj, self._scaled), verdict=item.verdict, defined=True)
        return _held(item, item.resource, obstacle or self._of_kind(item.resource))

    def _before_comparing(self, resource: Resource, obj: Object, live: Object | None) -> Obstacle | None:
        if obstacle := self._of_namespace(resource, obj):
            return obstacle
        if live is None and (reason := conversion.refused(obj)):
            return Obstacle(Wait.REFUSED, reason)
        definition = self._blocked.get(_group_kind(resource))
        if definition is not None and definition.wait is Wait.GOING:
            return Obstacle(Wait.GOING, _by_definition(definition), Blocker.DEFINITION)
        return None

    def _of_namespace(self, resource: Resource, obj: Object) -> Obstacle | None:
        meta = obj["metadata"]
        namespace = meta.get("namespace", "")
        return self._going.get(meta["name"] if resource == kinds.NAMESPACE else namespace) or self._homeless.get(namespace)

    def _of_kind(self, resource: Resource) -> Obstacle:
        """Why green does not serve it."""
        if stale := _stale(resource, self._discovery):
            self._unread[on(stale, self._green)] = "its API server does not answer"
            return Obstacle(Wait.UNREAD, f"the server of green's {stale} does not answer", Blocker.KIND)
        if definition := self._blocked.get(_group_kind(resource)):
            return Obstacle(Wait.DEFINITION, _by_definition(definition), Blocker.DEFINITION)
        return Obstacle(Wait.UNSERVED, _not_served(resource, self._discovery, self._defined), Blocker.KIND)


def _held(item: Item, resource: Resource, obstacle: Obstacle, live: Object | None = None) -> Change:
    return Change(
        "held",
        resource,
        item.obj,
        obstacle.reason,
        live=live,
        verdict=item.verdict,
        wait=obstacle.wait,
        blocker=obstacle.blocker,
    )


def _group_kind(resource: Resource) -> GroupKind:
    return resource.group, resource.kind


def _awaited(items: Mapping[Resource | None, list[Item]], lives: Lives) -> dict[str, tuple[str, ...]]:
    """What green lacks of `items`, which are another tool's to bring, by tool; under None: kinds that green does not serve."""
    lacking: dict[str, list[str]] = {}
    for resource, each in items.items():
        live_objects = lives[resource] if resource is not None else {}
        for item in each:
            if live_objects is not None and key_of(item.obj) not in live_objects:
                lacking.setdefault(item.verdict.tool, []).append(item.name)
    return {tool: tuple(sorted(names)) for tool, names in sorted(lacking.items())}


def _not_coming(bundle: Bundle, existing: Collection[str]) -> dict[str, Obstacle]:
    """Namespaces of objects that come along which are neither on green (`existing`) nor come along themselves, and why. What
    every cluster has, green has.
    """
    coming = {item.obj["metadata"]["name"] for item in bundle.items if item.resource == kinds.NAMESPACE}
    left = {item.obj["metadata"]["name"]: item.verdict for item in bundle.left if item.resource == kinds.NAMESPACE}
    obstacles = {}
    needed = {item.obj["metadata"].get("namespace", "") for item in bundle.items}
    for name in needed - coming - set(existing) - {"", *OF_EVERY}:
        if name in left:
            reason = f"its namespace {name} is not written ({left[name].reason or left[name].cls.value})"
            obstacles[name] = Obstacle(Wait.NAMESPACE, f"{reason}, and green has none by that name", Blocker.NAMESPACE)
        elif kinds.NAMESPACE.name in bundle.unread:
            reason = f"its namespace {name} was not read, and green has none by that name"
            obstacles[name] = Obstacle(Wait.UNREAD, reason, Blocker.NAMESPACE)
    return obstacles


def _definitions(bundle: Bundle) -> dict[GroupKind, Item]:
    """Each kind's definition on blue, whether or not that comes along."""
    items = (*bundle.left, *bundle.items)
    return {defines(item.obj): item for item in items if item.resource.name == kinds.CRD.name}


def defines(definition: Mapping[str, Any]) -> GroupKind:
    """What a definition is for."""
    spec = definition["spec"]
    return spec["group"], spec["names"]["kind"]


def _by_definition(change: Change) -> str:
    return f"its definition {change.obj['metadata']['name']}: {change.reason}"


def _namespace_going(namespace: Mapping[str, Any]) -> Obstacle | None:
    """Why nothing can be made in a namespace of green: it hangs in Terminating. What holds it, as far as it says so."""
    meta = namespace["metadata"]
    if not meta.get("deletionTimestamp"):
        return None
    waits = [
        str(each["message"]).strip() for each in conditions(namespace) if each.get("status") == "True" and each.get("message")
    ]
    why = f": {'; '.join(waits)}" if waits else ""
    reason = f"namespace {meta['name']} is being deleted on green: see what holds it (finalizers){why}"
    return Obstacle(Wait.GOING, reason, Blocker.NAMESPACE)


def names_refused(definition: Mapping[str, Any]) -> str | None:
    """Why green serves nothing by this definition, in its own words: another has its names."""
    refused = condition(definition, "NamesAccepted", "False")
    return f"green does not accept its names: {refused.get('message', 'no reason given')}" if refused else None


def _stale(resource: Resource, discovery: Discovery) -> str | None:
    return next((each for each in discovery.stale if each.partition("/")[0] == resource.group), None)


def _not_served(resource: Resource, discovery: Discovery, defined: Mapping[GroupKind, Item]) -> str:
    why = conversion.not_served(resource, discovery)
    definition = defined.get(_group_kind(resource))
    if definition is None or _group_kind(resource) in discovery.served:
        return why
    return f"{why}: {definition.verdict.reason}"
