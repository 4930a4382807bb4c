"""Reads from blue every object that green should have, and says of all the others why not.

Which kinds there are is asked of the API server, so custom resources come along without being named. One LIST a kind,
in parallel. A kind that could not be listed is reported as unread: silence would look like "nothing there".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from migration.errors import BluegreenError
from migration.objects import kinds
from migration.objects.classes import WRITTEN
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery
from migration.objects.view import View
from migration.ownership import actuators, conversion, judge, names
from migration.ownership.admission import nobody_answers
from migration.ownership.baseline import BY_NAME
from migration.ownership.judge import Item
from migration.ownership.known import Known
from migration.ownership.mesh import WEBHOOKS
from migration.ownership.roles import LEASES
from migration.ports import Reader
from migration.ports.reading import look
from migration.settings.choices import NOTHING_SAID, Choices

log = logging.getLogger(__name__)

KIND_LEFT_OUT = "kind left out"
# of green: what its baseline runs, installs and trusts decides what of blue's is left out, or comes as it is
GREENS = frozenset(
    {
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "secrets",
        "services",
        "apiservices.apiregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "namespaces",
        WEBHOOKS,  # which revision of the mesh takes a pod up
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        *BY_NAME,
    }
)


@dataclass(frozen=True)
class Skipped:
    """What is not copied, and why: an object, or a whole kind (`secrets`)."""

    object: str
    reason: str


@dataclass(frozen=True)
class Bundle:
    """Objects on their way from one cluster to the other: `items` are to be written, `left` are not, by their verdicts;
    `kinds_left` are never copied. `unread`: kinds that could not be listed, with the reason; `asked`: the kinds that were
    asked for; `data_in_status`: those whose status is written like any other field.
    """

    cluster: str
    items: list[Item]
    left: list[Item] = field(default_factory=list)
    kinds_left: list[Skipped] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    green: View | None = None
    asked: tuple[Resource, ...] = ()
    data_in_status: frozenset[Resource] = frozenset()

    @property
    def skipped(self) -> list[Skipped]:
        """Whole kinds first, then single objects, in the order of reading."""
        return [*self.kinds_left, *(Skipped(item.name, item.verdict.reason) for item in self.left)]

    def skipped_by_reason(self) -> dict[str, int]:
        """How many are not copied, by reason, sorted by it."""
        return dict(sorted(Counter(s.reason for s in self.skipped).items()))


async def export(
    blue: Reader,
    green: Reader | None = None,
    *,
    choices: Choices | None = None,
    enrolled: Iterable[str] = (),
    singletons: Iterable[str] = (),
) -> Bundle:
    """Everything on blue that a new cluster does not have by itself.

    Each kind is read in a version that green serves as well.

    Raises:
        ConfigError: a name, or an answer, about what is not on blue.
    """
    return await bundle(await learn(blue, green, choices=choices, enrolled=enrolled, singletons=singletons), blue)


async def learn(
    blue: Reader,
    green: Reader | None = None,
    *,
    choices: Choices | None = None,
    enrolled: Iterable[str] = (),
    singletons: Iterable[str] = (),
) -> Known:
    """Reads both clusters at once, as far as objects are judged by them."""
    mine, theirs = await both(blue, green, GREENS) if green is not None else (await read(blue), None)
    return Known(mine, theirs, choices or NOTHING_SAID, frozenset(enrolled), frozenset(singletons))


async def both(blue: Reader, green: Reader, greens: frozenset[str], more: frozenset[str] = frozenset()) -> tuple[View, View]:
    """Blue as `read` has it, and of green these kinds, whole; neither waits for the other."""
    discovery = await green.discover()
    return await asyncio.gather(read(blue, discovery, more), look(green, whole=greens))


async def bundle(known: Known, blue: Reader) -> Bundle:
    """Every object with its verdict, those to be written whole.

    Raises:
        ConfigError: as of `export`.
    """
    mine, theirs = known.blue, known.green
    names.refuse_misspelt(known)
    items: list[Item] = []
    left: list[Item] = []
    unread = dict(mine.problems)
    for item in await _whole(blue, judge.everything(known), known, unread):
        (items if item.verdict.action in WRITTEN else left).append(item)
    if known.choices.answers or known.choices.istio_revision:
        for name in judge.refuse_wrong_answers(known, (*items, *left)):
            log.warning("replicate.answers: %s is not on cluster %s (any more): the line may go", name, blue.name)
    kinds_left = [
        Skipped(resource.name, f"{KIND_LEFT_OUT}: {reason}")
        for resource in mine.discovery.resources
        if (reason := kinds.skipped_kind(resource))
    ]
    unread |= {group: "its API server does not answer" for group in mine.discovery.stale if not _nothing_there(group, known)}
    asked = mine.discovery.resources
    return Bundle(blue.name, items, left, kinds_left, unread, theirs, asked, conversion.data_in_status(mine))


async def read(blue: Reader, green: Discovery | None = None, more: frozenset[str] = frozenset()) -> View:
    """Every kind that could be copied, in a version that green serves as well; kinds of which nearly every object is made
    by a controller by their metadata, but for those whose content decides. Leases are read, though never copied: who leads
    is a sign. `more`: kinds that are read whole in any case.
    """
    discovery = await blue.discover()
    wanted = [r for r in discovery.resources if kinds.skipped_kind(r) is None and not conversion.mirrored(r, discovery)]

    def version(resource: Resource, blues: Discovery) -> Resource:
        return conversion.version_to_read(resource, blues, green)

    view = await look(
        blue,
        whole=(frozenset(r.name for r in wanted) - kinds.METADATA_FIRST) | {LEASES} | more,
        heads=lambda resource: resource.name in kinds.METADATA_FIRST,
        version=version,
    )
    return await _with_content(blue, view)


async def _with_content(blue: Reader, view: View) -> View:
    """The few objects that were read by their metadata and whose content decides what becomes of something."""
    wanted = actuators.to_read_whole(view)
    if not wanted:
        return view
    problems = dict(view.problems)

    async def one(resource: Resource, obj: Object) -> Object | None:
        try:
            return await blue.find(resource, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        except BluegreenError as problem:
            problems[resource.name] = str(problem)
            return None

    fetched = await asyncio.gather(*(one(resource, obj) for resource, obj in wanted))
    whole = {(obj["kind"], kinds.name_of(obj)): obj for obj in fetched if obj is not None}
    objects = dict(view.objects)
    for name in {resource.name for resource, _ in wanted}:
        objects[name] = [whole.get((obj["kind"], kinds.name_of(obj)), obj) for obj in objects[name]]
    return View(view.name, view.discovery, objects, problems, view.resources)


def _nothing_there(group_version: str, known: Known) -> bool:
    """An API of which nothing would be copied, or that has no server, so that nobody has objects in it."""
    return f"*.{group_version.partition('/')[0]}" in kinds.SKIPPED_KINDS or nobody_answers(group_version, known)


async def _whole(blue: Reader, items: Iterable[Item], known: Known, unread: dict[str, str]) -> list[Item]:
    """Of kinds that were read by their metadata, the few that would be copied are read whole, and judged again. One that
    went since is not on blue any more, one that cannot be fetched makes its kind `unread`.
    """

    async def one(item: Item) -> Object | None:
        meta = item.obj["metadata"]
        try:
            return await blue.find(item.resource, meta.get("namespace"), meta["name"])
        except BluegreenError as problem:
            unread[item.resource.name] = str(problem)
            return None

    done: list[Item] = []
    heads: list[Item] = []
    for item in items:
        head = item.resource.name in kinds.METADATA_FIRST and item.verdict.action in WRITTEN
        (heads if head else done).append(item)
    fetched = await asyncio.gather(*(one(item) for item in heads))
    return done + [
        Item(item.resource, obj, judge.verdict(obj, item.resource, known))
        for item, obj in zip(heads, fetched, strict=True)
        if obj is not None
    ]
