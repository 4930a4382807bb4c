"""What `preflight` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from migration.model import Finding, Severity
from migration.views.document import Document, described
from migration.words import counted


@dataclass(frozen=True)
class Found:
    code: str = described("which check: `BG101`")
    severity: Severity = described("`blocking`: exit 3 unless it is waived")
    status: Literal["fail", "unknown", "waived"] = described(
        "`fail`: it is so; `unknown`: it could not be read; `waived`: accepted under `ignore` of migration.yaml"
    )
    object: str = described("kind and name of what it is about: `Deployment shop/web`")
    evidence: str = described("what was seen")
    remedy: str = described("what to do about it")
    doc: str = described("what the check is for")


@dataclass(frozen=True)
class Preflight(Document):
    """What would break on green, worst first."""

    command: ClassVar[str] = "preflight"
    findings: tuple[Found, ...] = described(
        "all of them, also those that are waived; empty: everything was read, nothing found"
    )
    blocking: int = described("how many of them are blocking and not waived")

    def lines(self) -> list[str]:
        """Each finding with its remedy, then how many there are."""
        lines = []
        for each in self.findings:
            lines.append(f"{each.code} {each.severity:<8} {each.status:<7} {each.object}: {each.evidence}")
            if each.status != "waived":
                lines.append(f"      {each.remedy}")
        return [*lines, self._sum()]

    def _sum(self) -> str:
        if not self.findings:
            return "nothing found"
        by = Counter("waived" if each.status == "waived" else each.severity.value for each in self.findings)
        parts = [f"{by[word]} {word}" for word in SUMMED if by[word]]
        return f"{counted(len(self.findings), 'finding')}: {', '.join(parts)}"


SUMMED = ("blocking", "warning", "info", "waived")


def preflight(findings: Iterable[Finding]) -> Preflight:
    """The document of these findings, in their order."""
    rows = tuple(Found(f.code, f.severity, f.status, f.object, f.evidence, f.remedy, f.doc) for f in findings)
    return Preflight(rows, sum(row.status != "waived" and row.severity is Severity.BLOCKING for row in rows))
