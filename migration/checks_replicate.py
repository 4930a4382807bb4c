"""What `replicate` would ask, as findings: the same judge, so that the two never disagree."""

from __future__ import annotations

from collections.abc import Iterator

from migration.findings import finding
from migration.model import Finding, Severity
from migration.replicate import judge
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
    seen = {}
    for item in judge.everything(known):
        seen[item.name] = item.verdict
        if item.verdict.unanswered:
            place = "replicate" if item.verdict.instead else "replicate.answers"
            remedy = f"add to `{place}` in migration.yaml: {item.verdict.add(item.name)}"
            code = CODES[Class.RENAMED if item.verdict.instead else item.verdict.cls]
            yield finding(code, Severity.BLOCKING, item.obj, item.verdict.reason, remedy)
    judge.refuse_wrong_answers(known, seen)
