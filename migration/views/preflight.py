"""What `preflight` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from migration.model import Finding, Severity
from migration.views.document import Document, told
from migration.words import counted


@dataclass(frozen=True)
class Found:
    code: str = told("which check: `BG101`")
    severity: Severity = told("`blocking`: exit 3 unless it is waived")
    status: Literal["fail", "unknown", "waived"] = told(
        "`fail`: it is so; `unknown`: it could not be read; `waived`: accepted under `ignore` of migration.yaml"
    )
    object: str = told("kind and name of what it is about: `Deployment shop/web`")
    evidence: str = told("what was seen")
    remedy: str = told("what to do about it")
    doc: str = told("what the check is for")


@dataclass(frozen=True)
class Preflight(Document):
    """What would break on green, worst first."""

    command: ClassVar[str] = "preflight"
    findings: tuple[Found, ...] = told("all of them, also those that are waived; empty: everything was read, nothing found")
    blocking: int = told("how many of them are blocking and not waived")

    def lines(self) -> list[str]:
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
        parts = [f"{by[name]} {word}" for name, word in SUMMED.items() if by[name]]
        return f"{counted(len(self.findings), 'finding')}: {', '.join(parts)}"


SUMMED = {"blocking": "blocking", "warning": "warning", "info": "info", "waived": "waived"}


def preflight(findings: Iterable[Finding]) -> Preflight:
    rows = tuple(Found(f.code, f.severity, f.status, f.object, f.evidence, f.remedy, f.doc) for f in findings)
    return Preflight(rows, sum(row.status != "waived" and row.severity is Severity.BLOCKING for row in rows))
