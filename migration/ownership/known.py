"""What is known when objects are judged: both clusters as read, and what a person said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from migration.objects import kinds
from migration.objects.classes import Answer
from migration.objects.view import View
from migration.settings.choices import NOTHING_SAID, Choices

T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """`blue` whole; `green` as far as it was read, None where only blue is at hand. `enrolled`: routes that the edge
    writes; `singletons`: workloads that migration.yaml names so. Both are `namespace/name`.
    """

    blue: View
    green: View | None = None
    choices: Choices = NOTHING_SAID
    enrolled: frozenset[str] = frozenset()
    singletons: frozenset[str] = frozenset()
    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def called(self, obj: Mapping[str, Any]) -> str:
        """How a person names an object in an answer: `Role shop/app`, with the group (`Role.rbac.authorization.k8s.io
        shop/app`) where blue has another of that kind and name in another group. The core group has no name: of two, the
        one without a group is of the core.
        """
        name = kinds.name_of(obj)
        return with_group(name, obj) if name in self.once(named_twice) else name

    def answer(self, obj: Mapping[str, Any]) -> Answer | None:
        """What a person says of this very object. A name that means two is refused elsewhere and means neither."""
        answers, name = self.choices.answers, kinds.name_of(obj)
        if not answers:
            return None
        own = answers.get(with_group(name, obj))
        return own if own is not None or name in self.once(named_twice) else answers.get(name)

    def once(self, find: Callable[..., T], *given: Hashable) -> T:
        """What a pure function of this knowledge finds: worked out once, as View.once does it."""
        if (find, *given) not in self._cache:
            self._cache[find, *given] = find(self, *given)
        result: T = self._cache[find, *given]
        return result


def with_group(name: str, obj: Mapping[str, Any]) -> str:
    """`Role shop/app` -> `Role.rbac.authorization.k8s.io shop/app`; of the core group as it is."""
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    kind, _, rest = name.partition(" ")
    return f"{kind}.{group} {rest}" if group else name


def named_twice(known: Known) -> frozenset[str]:
    """Names (`Role shop/app`) that objects of several groups have on blue."""
    read = known.blue.resources
    groups = Counter(
        kinds.name_of(obj)
        for name, objects in known.blue.objects.items()
        if name in read and not kinds.skipped_kind(read[name])
        for obj in objects
    )
    return frozenset(name for name, times in groups.items() if times > 1)
