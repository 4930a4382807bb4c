"""What a rollback came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migration.model import Side
from migration.shift.proof import Proof

REASON = "manual rollback"  # where no other is given


@dataclass(frozen=True)
class RollbackResult:
    """What went back to blue, and what is known of it; field by field as views/rolled.py describes them."""

    services: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    not_back: Mapping[str, str] = field(default_factory=dict)
    in_effect: Mapping[Side, Proof] = field(default_factory=dict)
    refused: tuple[Side, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    entry: str | None = None
    through_green: bool = False
    seconds: float = 0.0
    complete: bool = True
    interrupted: bool = False
    nothing: str | None = None


@dataclass
class SoFar:
    """What is known of a rollback under way. `at_blue`: those whose route blue's API server has taken, or had already."""

    services: tuple[str, ...] = ()
    at_blue: set[str] = field(default_factory=set)

    def result(self) -> RollbackResult:
        """Of one that ends now."""
        why = "interrupted before it was known that blue's API server has its route"
        return RollbackResult(
            services=self.services,
            back=tuple(service for service in self.services if service in self.at_blue),
            not_back={service: why for service in self.services if service not in self.at_blue},
            problems=("interrupted: what is back may be missing in the stack file and in the journal",),
            complete=False,
            interrupted=True,
        )
