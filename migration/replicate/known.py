"""What is known when objects are judged: both clusters as read, and what a person said."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from migration.replicate.choices import NOTHING_SAID, Choices
from migration.view import View

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
    _found: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, find: Callable[..., T], *given: Hashable) -> T:
        """What a pure function of this knowledge finds: worked out once, as View.once does it."""
        if (find, *given) not in self._found:
            self._found[find, *given] = find(self, *given)
        found: T = self._found[find, *given]
        return found
