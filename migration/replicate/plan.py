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
from migration.ports import Kubernetes
from migration.replicate.brake import Excess, excess
from migration.replicate.compare import APPLIED, Change, Todo, Wait, compare, key_of, scaled_workloads, stamped
from migration.replicate.export import Bundle, Skipped
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
OF_EVERY = ("default", "kube-system", "kube-public", "kube-node-lease")  # namespaces that each API server makes


@dataclass(frozen=True)
class Plan:
    """`changes` in the order of writing; `left`: what is not written, by its verdict; `unread`: kinds that could not be read
    on one side, and why: nothing is known of their objects; `asked`: the kinds that were asked for;
    `awaited`: what another tool has to bring to green and has not yet, by that tool; `excess`: by what it would rewrite more
    of green than is allowed.
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
        found = Counter(change.action for change in self.changes)
        return {action: found.get(action, 0) for action, _ in COUNTED}

    def of(self, *actions: Todo) -> list[Change]:
        return [change for change in self.changes if change.action in actions]

    def unanswered(self) -> list[tuple[str, Verdict]]:
        """Name and verdict of each thing about which a person has to say something: an object, or who claims several."""
        found = {change.verdict.question(change.name): change.verdict for change in self.changes if change.verdict.unanswered}
        found |= {item.verdict.question(item.name): item.verdict for item in self.left if item.verdict.unanswered}
        return sorted(found.items())

    def skipped_by_reason(self) -> dict[str, int]:
        reasons = Counter(item.verdict.reason for item in self.left if not item.verdict.unanswered)
        return dict(sorted((reasons + Counter(s.reason for s in self.kinds_left)).items()))

    def notes(self) -> list[tuple[str, str]]:
        """What is changed in an object on the way, or was not kept by green, and has to be told each time."""
        told = [(change.name, note) for change in self.changes for note in change.verdict.notes]
        unkept = [c for c in self.changes if c.action == "unchanged" and c.paths and c.wait is not Wait.DROPPED]
        return told + [(change.name, not_kept(change.paths)) for change in unkept]


def not_kept(lost: Iterable[str]) -> str:
    return f"green does not keep {', '.join(lost)}"


async def plan(bundle: Bundle, green: Kubernetes, *, limit: Rewrites = USUAL) -> Plan:
    """What `apply` would do to green. `limit`: how much of what green has it may rewrite."""
    discovery = await green.discover(fresh=True)
    scaled = scaled_workloads(bundle.items)
    unread = dict(bundle.unread)
    if bundle.green is not None:  # whose blue's objects are was judged without these
        unread |= {f"{name} on {green.name}": problem for name, problem in bundle.green.problems.items()}
    changes = [
        Change("held", item.resource, item.obj, item.verdict.reason, verdict=item.verdict, wait=Wait.ANSWER)
        for item in bundle.left
        if item.verdict.action is Action.HOLD
    ]
    by_resource: dict[Resource, list[Item]] = defaultdict(list)
    elsewhere: list[Item] = []  # green does not serve them as they are
    for item in bundle.items:
        there = discovery.find(item.resource.api_version, item.resource.kind)
        if there is not None:
            by_resource[there].append(item)
        elif isinstance(found := conversion.into(item.resource, item.obj, discovery), tuple):
            by_resource[found[0]].append(replace(item, resource=found[0], obj=found[1]))
        else:
            elsewhere.append(item)

    async def live_of(resource: Resource, *, heads: bool = False) -> dict[tuple[str, str], Object] | None:
        try:
            found = await green.list(resource, metadata_only=heads)
        except NotFound:
            return {}
        except BluegreenError as problem:
            unread[f"{resource.name} on {green.name}"] = str(problem)
            return None
        return {key_of(obj): obj for obj in found.items}

    asked = list({kinds.NAMESPACE: None, **by_resource})
    lives = dict(zip(asked, await asyncio.gather(*(live_of(resource) for resource in asked)), strict=True))
    namespaces = lives[kinds.NAMESPACE] or {}
    going = {name: reason for (_, name), obj in namespaces.items() if (reason := _namespace_going(obj))}
    homeless: dict[str, tuple[Wait, str]] = {}  # namespaces that green lacks and does not get -> why
    if lives[kinds.NAMESPACE] is not None:
        homeless = _not_coming(bundle, {name for _, name in namespaces})
    defined = _definitions(bundle)
    blocked: dict[tuple[str, str], Change] = {}  # kinds whose definition is not written

    def one(resource: Resource, item: Item) -> Change:
        live_objects = lives[resource]
        held = Change("held", resource, item.obj, verdict=item.verdict)
        if live_objects is None:
            return replace(held, reason="green's objects of this kind could not be listed", wait=Wait.UNREAD)
        meta = item.obj["metadata"]
        gone = going.get(meta["name"] if resource == kinds.NAMESPACE else meta.get("namespace", ""))
        if gone:
            return replace(held, reason=gone, wait=Wait.GOING, live=live_objects.get(key_of(item.obj)))
        if homeless_for := homeless.get(meta.get("namespace", "")):
            return replace(held, wait=homeless_for[0], reason=homeless_for[1])
        live = live_objects.get(key_of(item.obj))
        if live is None and (reason := conversion.refused(item.obj)):
            return replace(held, reason=reason, wait=Wait.REFUSED)
        kind = (resource.group, resource.kind)
        if kind in blocked and blocked[kind].wait is Wait.GOING:
            return replace(held, reason=_by_definition(blocked[kind]), wait=Wait.GOING, live=live)
        change = compare(
            resource,
            item.obj,
            live,
            scaled,
            defined=kind in defined,
            strictly=item.verdict.cls is Class.BASELINE_PEOPLES or resource.group in MESH_GROUPS,
            status_writers=item.status_writers,
        )
        if change.action == "unchanged" and resource == kinds.CRD and live is not None and (reason := names_refused(live)):
            change = replace(change, action="held", reason=reason, wait=Wait.DEFINITION)
        return replace(change, verdict=item.verdict)

    definitions = [one(kinds.CRD, item) for item in by_resource.pop(kinds.CRD, ())]
    coming = {defines(c.obj) for c in definitions if c.action not in ("held", "conflict")}
    blocked |= {defines(c.obj): c for c in definitions if c.action in ("held", "conflict")}
    changes += definitions
    changes += [one(resource, item) for resource, items in by_resource.items() for item in items]
    for item in elsewhere:
        kind = (item.resource.group, item.resource.kind)
        held = Change("held", item.resource, item.obj, verdict=item.verdict)
        namespace_going = going.get(item.obj["metadata"].get("namespace", ""))
        if namespace_going:
            changes.append(replace(held, reason=namespace_going, wait=Wait.GOING))
        elif homeless_for := homeless.get(item.obj["metadata"].get("namespace", "")):
            changes.append(replace(held, wait=homeless_for[0], reason=homeless_for[1]))
        elif kind in coming:
            obj = stamped(item.obj, scaled)
            changes.append(Change("create", item.resource, obj, verdict=item.verdict, defined=True))
        elif stale := _stale(item.resource, discovery):
            unread[f"{stale} on {green.name}"] = "its API server does not answer"
            reason = f"the server of green's {stale} does not answer"
            changes.append(replace(held, reason=reason, wait=Wait.UNREAD))
        elif kind in blocked:
            changes.append(replace(held, reason=_by_definition(blocked[kind]), wait=Wait.DEFINITION))
        else:
            reason = _not_served(item.resource, discovery, defined)
            changes.append(replace(held, reason=reason, wait=Wait.UNSERVED))
    changes.sort(key=lambda c: (kinds.wave(c.resource), c.resource.group, c.resource.kind, *key_of(c.obj)))
    theirs: dict[Resource | None, list[Item]] = defaultdict(list)
    for item in bundle.left:
        if item.verdict.tool:
            theirs[discovery.find(item.resource.api_version, item.resource.kind)].append(item)
    more = [resource for resource in theirs if resource is not None and resource not in lives]
    lives |= dict(zip(more, await asyncio.gather(*(live_of(resource, heads=True) for resource in more)), strict=True))
    left = tuple(item for item in bundle.left if item.verdict.action is not Action.HOLD)
    asked_for = (*bundle.asked, *discovery.resources)
    awaited = _awaited(theirs, lives)
    beyond = excess(green.name, changes, limit)
    return Plan(green.name, tuple(changes), left, tuple(bundle.kinds_left), unread, asked_for, awaited, beyond)


def _awaited(
    items: Mapping[Resource | None, list[Item]], lists: Mapping[Resource, Mapping[tuple[str, str], Object] | None]
) -> dict[str, tuple[str, ...]]:
    """What green lacks of `items`, which are another tool's to bring, by tool; under None: kinds that green does not serve."""
    lacking: dict[str, list[str]] = {}
    for resource, each in items.items():
        there = lists[resource] if resource is not None else {}
        for item in each:
            if there is not None and key_of(item.obj) not in there:
                lacking.setdefault(item.verdict.tool, []).append(item.name)
    return {tool: tuple(sorted(names)) for tool, names in sorted(lacking.items())}


def _not_coming(bundle: Bundle, there: Collection[str]) -> dict[str, tuple[Wait, str]]:
    """Namespaces of objects that come along which are neither on green (`there`) nor come along themselves, and why. What
    every cluster has, green has.
    """
    coming = {item.obj["metadata"]["name"] for item in bundle.items if item.resource == kinds.NAMESPACE}
    left = {item.obj["metadata"]["name"]: item.verdict for item in bundle.left if item.resource == kinds.NAMESPACE}
    found = {}
    for name in {item.obj["metadata"].get("namespace", "") for item in bundle.items} - coming - set(there) - {"", *OF_EVERY}:
        if name in left:
            reason = left[name].reason or left[name].cls.value
            found[name] = Wait.NAMESPACE, f"its namespace {name} is not written ({reason}), and green has none by that name"
        elif kinds.NAMESPACE.name in bundle.unread:
            found[name] = Wait.UNREAD, f"its namespace {name} was not read, and green has none by that name"
    return found


def _definitions(bundle: Bundle) -> dict[tuple[str, str], Item]:
    """(group, kind) -> its definition on blue, whether or not that comes along."""
    items = (*bundle.left, *bundle.items)
    return {defines(item.obj): item for item in items if item.resource.name == kinds.CRD.name}


def defines(definition: Mapping[str, Any]) -> tuple[str, str]:
    """(group, kind) that a definition is for."""
    spec = definition["spec"]
    return spec["group"], spec["names"]["kind"]


def _by_definition(change: Change) -> str:
    return f"its definition {change.obj['metadata']['name']}: {change.reason}"


def _namespace_going(namespace: Mapping[str, Any]) -> str | None:
    """Why nothing can be made in a namespace of green: it hangs in Terminating. What holds it, as far as it says so."""
    meta = namespace["metadata"]
    if not meta.get("deletionTimestamp"):
        return None
    waits = [
        str(each["message"]).strip() for each in conditions(namespace) if each.get("status") == "True" and each.get("message")
    ]
    why = f": {'; '.join(waits)}" if waits else ""
    return f"namespace {meta['name']} is being deleted on green: see what holds it (finalizers){why}"


def names_refused(definition: Mapping[str, Any]) -> str | None:
    """Why green serves nothing by this definition, in its own words: another has its names."""
    refused = condition(definition, "NamesAccepted", "False")
    return f"green does not accept its names: {refused.get('message', 'no reason given')}" if refused else None


def _stale(resource: Resource, discovery: Discovery) -> str | None:
    return next((each for each in discovery.stale if each.partition("/")[0] == resource.group), None)


def _not_served(resource: Resource, discovery: Discovery, defined: Mapping[tuple[str, str], Item]) -> str:
    told = conversion.not_served(resource, discovery)
    definition = defined.get((resource.group, resource.kind))
    if definition is None or (resource.group, resource.kind) in discovery.served:
        return told
    return f"{told}: {definition.verdict.reason}"
