"""What `replicate` would ask, as findings: the same judge, so that the two never disagree."""

from __future__ import annotations

from collections.abc import Iterator

from migration.findings import finding
from migration.model import Finding, Severity
from migration.replicate import judge, names
from migration.replicate.classes import Class
from migration.replicate.known import Known

CODES = {
    Class.ACTUATOR: "BG504",
    Class.CONSUMER: "BG505",
    Class.ONE_OWNER: "BG506",
    Class.SCHEDULED: "BG502",
    Class.VOLUME: "BG403",
    Class.STATEFUL: "BG402",
    Class.GITOPS: "BG507",
    Class.RENAMED: "BG104",
    Class.BASELINE_PEOPLES: "BG103",
}


def unanswered(known: Known) -> Iterator[Finding]:
    """Each object about which a person has to say something, with the line to add."""
    names.refuse_misspelt(known)
    seen = {}
    for item in judge.everything(known):
        seen[item.name] = item.verdict
        if item.verdict.unanswered:
            remedy = f"add to `replicate.answers` in migration.yaml: {item.verdict.add(item.name)}"
            yield finding(CODES[item.verdict.cls], Severity.BLOCKING, item.obj, item.verdict.reason, remedy)
    judge.refuse_wrong_answers(known, seen)
