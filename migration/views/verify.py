"""What `verify` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from migration.verify.run import Outcome, ServiceVerdict
from migration.views.document import Document, described
from migration.words import counted
from routing import Request


@dataclass(frozen=True)
class Asked:
    method: str = described("of HTTP: `GET`")
    host: str = described("host header")
    path: str = described("path and query")
    headers: Mapping[str, str] = described("further headers")


@dataclass(frozen=True)
class Verdict:
    service: str = described("namespace/name of its route")
    ok: bool = described("true: green serves it as blue does")
    outcome: Outcome = described("`not verified`: nothing is known to be bad, and nothing to be good; it does not pass")
    evidence: tuple[str, ...] = described("what was seen, good or bad")
    problems: tuple[str, ...] = described("why it does not pass; empty where it does")
    remedy: str = described("what to do about it; empty where it passes")
    request: Asked | None = described("the request by which both were asked; null: none could be made")
    green_status: int | None = described("HTTP status of green's answer; null: none")
    blue_status: int | None = described("HTTP status of blue's answer; null: none")


@dataclass(frozen=True)
class LeftOut:
    service: str = described("namespace/name of its route")
    reasons: tuple[str, ...] = described("why")

    def __str__(self) -> str:
        return f"{self.service}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Verified(Document):
    """Whether green serves each service as blue does."""

    command: ClassVar[str] = "verify"
    cluster: str = described("the cluster that was asked: green")
    verdicts: tuple[Verdict, ...] = described("one for each service, by name")
    left_out: tuple[LeftOut, ...] = described("services of blue that move with the entry and were not named")

    def lines(self) -> list[str]:
        """Each verdict with its remedy, what was left out, and how many passed."""
        lines = []
        for each in self.verdicts:
            word = {"ok": "ok", "failed": "FAIL", "not verified": "UNSURE"}[each.outcome]
            lines.append(f"{word:<6} {each.service}: {'; '.join(each.evidence if each.ok else each.problems)}")
            if each.remedy:
                lines.append(f"         {each.remedy}")
        lines += [f"left out {each} (moves with the entry)" for each in self.left_out]
        if not self.verdicts:
            return lines
        good = sum(each.ok for each in self.verdicts)
        return [*lines, f"{good} of {counted(len(self.verdicts), 'service')} verified on {self.cluster}"]


def verified(cluster: str, verdicts: Iterable[ServiceVerdict], left_out: Iterable[tuple[str, tuple[str, ...]]]) -> Verified:
    """The document of these verdicts. `left_out`: services, each with its reasons."""
    rows = tuple(
        Verdict(
            *(v.service, v.ok, v.outcome, v.evidence, v.problems, v.remedy, _asked(v.request), v.green_status, v.blue_status)
        )
        for v in verdicts
    )
    return Verified(cluster, rows, tuple(LeftOut(service, reasons) for service, reasons in left_out))


def _asked(request: Request | None) -> Asked | None:
    return Asked(request.method, request.host, request.path, dict(request.headers)) if request else None
