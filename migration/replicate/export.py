"""Reads from blue every object that green should have, and says of all the others why not.

Which kinds there are is asked of the API server, so custom resources come along without being named. One LIST a kind,
in parallel. A kind that could not be listed is reported as unread: silence would look like "nothing there".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from migration import kinds
from migration.kinds import Object, Resource
from migration.ports import Discovery, Kubernetes
from migration.replicate import judge, names
from migration.replicate.choices import NOTHING_SAID, Choices
from migration.replicate.classes import WRITTEN
from migration.replicate.judge import Item
from migration.replicate.known import Known
from migration.view import View, look

KIND_LEFT_OUT = "kind left out"
# of green: what its baseline runs decides what of blue's is left out
GREENS = frozenset({"deployments.apps", "statefulsets.apps", "daemonsets.apps"})


@dataclass(frozen=True)
class Skipped:
    object: str
    reason: str


@dataclass(frozen=True)
class Bundle:
    """Objects on their way from one cluster to the other: `items` are to be written, `left` are not, by their verdicts;
    `kinds_left` are never copied. `unread`: kinds that could not be listed, with the reason.
    """

    cluster: str
    items: list[Item]
    left: list[Item] = field(default_factory=list)
    kinds_left: list[Skipped] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    green: View | None = None

    @property
    def skipped(self) -> list[Skipped]:
        return [*self.kinds_left, *(Skipped(item.name, item.verdict.reason) for item in self.left)]

    def skipped_by_reason(self) -> dict[str, int]:
        return dict(sorted(Counter(s.reason for s in self.skipped).items()))


async def export(
    blue: Kubernetes,
    green: Kubernetes | None = None,
    *,
    choices: Choices | None = None,
    enrolled: Iterable[str] = (),
    singletons: Iterable[str] = (),
) -> Bundle:
    """Everything on blue that a new cluster does not have by itself.

    Each kind is read in a version that green serves as well. ConfigError: a name or an answer about what is not there.
    """
    return await bundle(await learn(blue, green, choices=choices, enrolled=enrolled, singletons=singletons), blue)


async def learn(
    blue: Kubernetes,
    green: Kubernetes | None = None,
    *,
    choices: Choices | None = None,
    enrolled: Iterable[str] = (),
    singletons: Iterable[str] = (),
) -> Known:
    """Reads both clusters as far as objects are judged by them."""
    theirs = await look(green, whole=GREENS) if green is not None else None
    mine = await read(blue, theirs.discovery if theirs else None)
    return Known(mine, theirs, choices or NOTHING_SAID, frozenset(enrolled), frozenset(singletons))


async def bundle(known: Known, blue: Kubernetes) -> Bundle:
    """Every object with its verdict, those to be written whole. ConfigError: as of `export`."""
    mine, theirs = known.blue, known.green
    names.refuse_misspelt(known)
    items: list[Item] = []
    left: list[Item] = []
    for item in judge.everything(known):
        (items if item.verdict.action in WRITTEN else left).append(item)
    if known.choices.answers:
        judge.refuse_wrong_answers(known, {item.name: item.verdict for item in (*items, *left)})
    items = await _whole(blue, items)
    kinds_left = [
        Skipped(resource.name, f"{KIND_LEFT_OUT}: {reason}")
        for resource in mine.discovery.resources
        if (reason := kinds.skipped_kind(resource))
    ]
    unread = dict(mine.problems)
    unread |= {group: "its API server does not answer" for group in mine.discovery.stale if not _group_left_out(group)}
    return Bundle(blue.name, items, left, kinds_left, unread, theirs)


async def read(blue: Kubernetes, green: Discovery | None = None, more: frozenset[str] = frozenset()) -> View:
    """Every kind that could be copied, in a version that green serves as well; kinds of which nearly every object is made
    by a controller by their metadata. `more`: kinds that are read whole in any case.
    """
    discovery = await blue.discover()
    wanted = [
        r for r in discovery.resources if kinds.skipped_kind(r) is None and (r.group, r.kind) != ("extensions", "Ingress")
    ]

    def version(resource: Resource, there: Discovery) -> Resource:
        return _common_version(resource, there, green)

    return await look(
        blue,
        whole=(frozenset(r.name for r in wanted) - kinds.METADATA_FIRST) | more,
        heads=lambda resource: resource.name in kinds.METADATA_FIRST,
        version=version,
    )


def _group_left_out(group_version: str) -> bool:
    return f"*.{group_version.partition('/')[0]}" in kinds.SKIPPED_KINDS


def _common_version(resource: Resource, blue: Discovery, green: Discovery | None) -> Resource:
    key = (resource.group, resource.kind)
    there = green.served.get(key, ()) if green else ()
    if not there or resource.version in there or green is None:
        return resource
    for version in blue.served[key]:
        if version in there:
            return blue.in_version(*key, version)
    return resource


async def _whole(blue: Kubernetes, items: list[Item]) -> list[Item]:
    """Of kinds that were read by their metadata, the few that are to be copied."""

    async def one(item: Item) -> Object | None:
        meta = item.obj["metadata"]
        return await blue.find(item.resource, meta.get("namespace"), meta["name"])

    heads = [item for item in items if item.resource.name in kinds.METADATA_FIRST]
    found = await asyncio.gather(*(one(item) for item in heads))
    whole = [replace(item, obj=obj) for item, obj in zip(heads, found, strict=True) if obj is not None]
    return [item for item in items if item.resource.name not in kinds.METADATA_FIRST] + whole
