"""A verdict for each object of blue: pure, over what was read. `preflight` and `replicate` ask the same judge.

The signs are asked in turn and the first that speaks decides: whose the object is before what it does, and what may do
the most harm before what may do less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from migration.objects import kinds
from migration.objects.classes import PLAIN, WRITTEN, Action, Answer, Class, Sign, Verdict, judged
from migration.objects.kinds import Object, Resource
from migration.ownership import (
    actuators,
    admission,
    baseline,
    closure,
    consumers,
    fixed,
    gitops,
    one_owner,
    owners,
    revisions,
    stateful,
    work,
)
from migration.ownership.known import Known, named_twice, with_group
from migration.settings.yaml_reader import did_you_mean

SignOf = Callable[[Object, Resource, Known], Sign | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One object on its way, with its verdict. `status_writers`: who wrote its status on blue, where that is data."""

    resource: Resource
    obj: Object = field(repr=False)  # may be a Secret
    verdict: Verdict = PLAIN
    status_writers: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Kind and name, as people read them: `Deployment shop/web`."""
        return kinds.name_of(self.obj)


def unasked(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What the command line, or `include` and `exclude`, leave out; None where all is copied."""
    reason = closure.why_unasked(known, obj, resource)
    return Sign(Class.UNASKED, reason) if reason else None


def going_namespaces(known: Known) -> frozenset[str]:
    """Names of blue's namespaces that are being deleted."""
    return frozenset(n["metadata"]["name"] for n in known.blue.of("namespaces") if n["metadata"].get("deletionTimestamp"))


def going(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """A namespace that hangs in Terminating still has objects that nobody has begun to delete."""
    if obj["metadata"].get("namespace") in known.once(going_namespaces):
        return Sign(Class.GOING, "its namespace is being deleted")
    return None


def singleton(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Named in migration.yaml: that is the answer."""
    meta = obj["metadata"]
    if resource.group == "apps" and f"{meta.get('namespace', '')}/{meta['name']}" in known.singletons:
        return Sign(Class.SINGLETON, "a singleton: not running on green until it is handed over", Action.STOP)
    return None


def asks_a_server(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Webhooks and aggregated APIs: whether anything on green can answer for them."""
    return admission.sign(obj, resource, known, verdict)


SIGNS: tuple[SignOf, ...] = (
    unasked,
    going,
    actuators.in_baseline,
    baseline.sign,
    owners.sign,
    asks_a_server,
    work.finished,
    singleton,
    actuators.sign,
    one_owner.sign,
    work.over,
    stateful.sign,
    work.scheduled,
    consumers.sign,
    one_owner.outside,
    work.may_be_over,
    baseline.came,
)


def verdict(obj: Object, resource: Resource, known: Known) -> Verdict:
    """What is to become of one object, and what of blue's alone it comes without."""
    result = revisions.over(_by_signs(obj, resource, known), obj, resource, known)
    notes = fixed.notes(obj) if result.action in WRITTEN else ()
    if notes:
        result = replace(result, cls=Class.RENAMED if result.cls is Class.PLAIN else result.cls, notes=(*result.notes, *notes))
    return _brought(result, obj, resource, known) if closure.narrowed(known.choices) else result


def _by_signs(obj: Object, resource: Resource, known: Known) -> Verdict:
    answer = known.answer(obj)
    sign = decided(obj, resource, known)[1]
    if sign is None:
        return judged(Sign(Class.PLAIN, "", Action.COPY), answer) if answer else PLAIN
    result = judged(sign, answer or known.choices.answers.get(sign.asked), own=answer is not None)
    return replace(result, called=known.called(obj)) if result.required else result


def decided(obj: Object, resource: Resource, known: Known) -> tuple[str, Sign | None]:
    """The sign that speaks first, with its name (`work.finished`); "" and None: no sign knows the object."""
    for sign_of in SIGNS:
        sign = sign_of(obj, resource, known)
        if sign is not None:
            return f"{sign_of.__module__.rpartition('.')[2]}.{sign_of.__name__}", sign
    return "", None


def _brought(result: Verdict, obj: Object, resource: Resource, known: Known) -> Verdict:
    """With what brought the object, and what has to be told of its needs."""
    asked, key = known.once(closure.asked), closure.key_of(obj, resource)
    notes = asked.notes.get(key, ()) if result.action in WRITTEN else ()
    return replace(result, brought=asked.brought.get(key, ""), notes=(*result.notes, *notes))


def everything(known: Known) -> Iterator[Item]:
    """Every object that was read of blue, with its verdict; kinds that are never copied are not among them."""
    for name, objects in known.blue.objects.items():
        resource = known.blue.resources.get(name)
        if resource is None or kinds.skipped_kind(resource):
            continue
        for obj in objects:
            yield Item(resource, obj, verdict(obj, resource, known))


def items(known: Known) -> tuple[Item, ...]:
    """The same for several that ask (Known.once)."""
    return tuple(everything(known))


def refuse_wrong_answers(known: Known, items: Iterable[Item]) -> list[str]:
    """The answers that are about nothing on blue: of objects that were there once, and went while the migration goes on.

    Of kinds that could not be read nothing is refused.

    Raises:
        ConfigError: an answer that most likely means another object, which has none of its own; that means several objects;
            or that its object's class does not allow. As well a revision that green has not.
    """
    revisions.refuse_wrong(known)
    if not known.choices.answers:
        return []
    twice = known.once(named_twice)
    verdicts: dict[str, Verdict] = {}
    for item in items:
        own = with_group(item.name, item.obj)
        verdicts[own] = item.verdict
        if item.name not in twice:
            verdicts[item.name] = item.verdict
    named = [name for name in verdicts if _without_group(name) in twice or name == _without_group(name)]
    stale = []
    unread = {r.kind for r in known.blue.discovery.resources if r.name in known.blue.problems}
    for name, answer in known.choices.answers.items():
        current, key = verdicts.get(name), f"replicate.answers.{name}"
        if name in twice and current is None:
            several = " and ".join(sorted(other for other in verdicts if _without_group(other) == name and other != name))
            raise known.choices.wrong(key, f"{name} means several objects of cluster {known.blue.name}", several or name)
        if current is None and name in known.once(gitops.questions):
            current = judged(Sign(Class.GITOPS, "what a tool of GitOps claims", answers=gitops.ANSWERS), None)
        if name in baseline.QUESTIONS:
            current = judged(Sign(Class.BASELINE_PEOPLES, "what people put into it", answers=gitops.ANSWERS), None)
        if current is None:
            if name.partition(" ")[0].partition(".")[0] in unread:
                continue
            meant = did_you_mean(name, _unsaid(known, named, name))
            if not meant:
                stale.append(name)
                continue
            raise known.choices.wrong(
                key,
                f"{name} is not on cluster {known.blue.name}{meant}",
                remedy="write it as KIND NAMESPACE/NAME, as `bluegreen preflight` names it, or take the line out",
            )
        if current.cls is Class.UNASKED:
            continue  # what may be said of it is seen when it is asked for
        if answer is not Answer.SKIP and answer not in current.answers:
            allowed = " | ".join(current.answers or (Answer.SKIP,))
            what = current.reason or "a plain object"
            raise known.choices.wrong(key, f"is {answer.value!r}", f"{allowed} ({what})")
    return stale


def _without_group(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return f"{kind.partition('.')[0]} {rest}"


def _unsaid(known: Known, names: Iterable[str], name: str) -> list[str]:
    """What an answer about nothing may have been meant for: alike in kind, namespace and name, without an answer of its own,
    and no other run of the same work (`import-x7f2k`, `import-9zq1b`).
    """
    head, _, tail = name.rpartition("-")
    generated = len(tail) >= 5 and any(letter.isdigit() for letter in tail)
    said = known.choices.answers
    return [
        each
        for each in (*names, *known.once(gitops.questions))
        if each not in said and not (generated and each.rpartition("-")[0] == head) and _alike(name, each)
    ]


def _alike(one: str, other: str) -> bool:
    """Whether one name may be a slip of the pen for the other: in each of its parts."""
    parts = [(kind, *rest.rpartition("/")[::2]) for kind, _, rest in (each.partition(" ") for each in (one, other))]
    return all(mine == theirs or did_you_mean(mine, [theirs]) for mine, theirs in zip(*parts, strict=True))
