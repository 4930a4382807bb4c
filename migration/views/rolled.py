"""What `rollback` did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from migration.model import Side
from migration.shift.proof import Proof
from migration.shift.rolled import RollbackResult
from migration.views.document import Document, described
from migration.words import counted


@dataclass(frozen=True)
class RolledBack(Document):
    """What went back to blue, and what is known of it."""

    command: ClassVar[str] = "rollback"
    services: tuple[str, ...] = described("all that were to be rolled back", default=())
    back: tuple[str, ...] = described("those that blue serves again", default=())
    not_back: Mapping[str, str] = described("why blue's gateway may still forward it, by service", default_factory=dict)
    in_effect: Mapping[Side, Proof] = described(
        "by side: served (its gateway says so) | accepted (its API server took the routes, its gateway could not be asked) | "
        "unreachable (its gateway keeps its old split) | failed; empty: interrupted before that was known",
        default_factory=dict,
    )
    refused: tuple[Side, ...] = described(
        "sides whose API server refused us: no right to write routes, or no login", default=()
    )
    lost: tuple[str, ...] = described(
        "services whose original route was not found, neither in a file nor on a cluster", default=()
    )
    problems: tuple[str, ...] = described("what could not be done", default=())
    entry: str | None = described("what became of the entry, in words; null: it was at blue, or stays", default=None)
    through_green: bool = described(
        "whether users enter through green's gateway, which is not known to serve the rollback", default=False
    )
    seconds: float = described("seconds until the gateways that users enter through served it", default=0.0)
    complete: bool = described("whether no user reaches green any more, or will not when DNS caches have expired", default=True)
    interrupted: bool = described("whether a signal ended it; then the rest is what was known", default=False)
    nothing: str | None = described(
        "why there was nothing to roll back, so that nothing was changed; null: there was", default=None
    )

    @classmethod
    def of(cls, result: RollbackResult) -> RolledBack:
        """Field by field from the result of a rollback."""
        return cls(**{each.name: getattr(result, each.name) for each in fields(result)})

    def lines(self) -> list[str]:
        """What went back and how far that is known, then what did not."""
        if self.nothing:
            return [self.nothing]
        if self.interrupted:
            all_of_them = counted(len(self.services), "service")
            return [
                f"interrupted when blue's API server had taken the routes of {len(self.back)} of {all_of_them}",
                *(f"not back: {service}: {why}" for service, why in self.not_back.items()),
            ]
        lines = []
        whole = len(self.services)
        count = counted(len(self.back), "service") if not self.not_back else f"{len(self.back)} of {counted(whole, 'service')}"
        if self.in_effect.get("blue") is Proof.ACCEPTED:
            lines.append(
                f"{count} at blue: blue's API server accepted the routes; could not confirm them at the gateway "
                "(its peer listener is unreachable from this host)"
            )
        elif self.back:
            where = "blue for users of blue's gateway" if self.through_green else "blue"
            lines.append(f"{count} at {where}, in effect after {self.seconds:.2f} s")
        lines += [f"not back: {service}: {why}" for service, why in self.not_back.items()]
        if (green := self.in_effect.get("green")) in (Proof.UNREACHABLE, Proof.FAILED):
            how = "is unreachable and still has" if green is Proof.UNREACHABLE else "does not serve the new one: it has"
            if self.through_green:
                users = "users still enter through it"
            else:
                users = "users leave it as the entry moves back" if self.entry else "no users enter through it"
            lines.append(f"green's gateway {how} its old split; {users}")
        return [*lines, *([self.entry] if self.entry else [])]
