"""What `replicate` would ask, as findings: the same judge, so that the two never disagree."""

from __future__ import annotations

from migration.model import Severity
from migration.objects import kinds
from migration.objects.access import spec_of
from migration.objects.classes import Action, Class
from migration.ownership import judge, names
from migration.ownership.known import Known
from migration.preflight.check import Found, JudgedCheck, finding

CODES = {
    Class.ACTUATOR: "BG504",
    Class.CONSUMER: "BG505",
    Class.ONE_OWNER: "BG506",
    Class.SCHEDULED: "BG502",
    Class.VOLUME: "BG403",
    Class.STATEFUL: "BG402",
    Class.GITOPS: "BG507",
    Class.WEBHOOK: "BG112",
    Class.RENAMED: "BG104",
    Class.BASELINE_PEOPLES: "BG103",
}
# where one answer settles several objects
TOGETHER = {**CODES, Class.BASELINE_PEOPLES: "BG105"}


def of_the_judge(known: Known) -> Found:
    """Each object about which a person has to say something, with the line to add; and each claim that comes empty."""
    names.refuse_misspelt(known)
    judged: list[judge.Item] = []
    together: dict[str, list[judge.Item]] = {}
    for item in known.once(judge.items):
        judged.append(item)
        if item.verdict.unanswered and item.verdict.asked:
            together.setdefault(item.verdict.asked, []).append(item)
        elif item.verdict.unanswered:
            place = "replicate" if item.verdict.instead else "replicate.answers"
            remedy = f"add to `{place}` in migration.yaml: {item.verdict.add(item.name)}"
            code = CODES[Class.RENAMED if item.verdict.instead else item.verdict.cls]
            yield finding(code, Severity.BLOCKING, item.obj, item.verdict.reason, remedy)
        elif item.resource.name == kinds.PVC.name and item.verdict.action is Action.COPY:
            spec = spec_of(item.obj)
            size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "?")
            evidence = f"{'/'.join(spec.get('accessModes') or [])}, {size}, class {spec.get('storageClassName', 'default')}"
            remedy = "move its data, or import its volume: `PersistentVolume NAME: import` under `replicate.answers`"
            yield finding("BG401", Severity.WARNING, item.obj, evidence, remedy)
        elif item.verdict.cls is Class.PLAIN and item.verdict.answer is None and item.verdict.doubt:
            remedy = f"add to `replicate.answers` in migration.yaml: {item.name}: hold  # or start | skip"
            yield finding(CODES[Class.CONSUMER], Severity.WARNING, item.obj, item.verdict.doubt, remedy)
    for name, items in together.items():
        said, more = items[0].verdict, f" and {len(items) - 1} more" if len(items) > 1 else ""
        remedy = f"add to `replicate.answers` in migration.yaml: {said.add(name)}"
        evidence = f"{items[0].name}{more}: {said.reason}"
        yield finding(TOGETHER[said.cls], Severity.BLOCKING, name, evidence, remedy)
    for name in judge.refuse_wrong_answers(known, judged):
        remedy = "take the line out, if it is not to come back"
        yield finding("BG508", Severity.INFO, name, f"not on cluster {known.blue.name} (any more)", remedy)


CHECK = JudgedCheck((*sorted({*CODES.values(), *TOGETHER.values()}), "BG401", "BG508"), of_the_judge)
