"""Work that is finished, and work that a clock starts."""

from __future__ import annotations

from migration.kinds import Object, Resource
from migration.replicate.classes import Action, Answer, Class, Sign
from migration.replicate.known import Known


def finished(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What has ended on blue would run again on green: its status does not come along."""
    if resource.name == "jobs.batch" and any(
        c.get("type") in ("Complete", "Failed") and c.get("status") == "True"
        for c in (obj.get("status") or {}).get("conditions") or ()
    ):
        return Sign(Class.FINISHED, "a Job that has ended")
    return None


SUSPENDED = {Answer.HOLD: Action.SUSPEND, Answer.START: Action.COPY}


def scheduled(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What runs by a clock, or once: not on two clusters."""
    if resource.name in ("cronjobs.batch", "jobs.batch"):
        return Sign(Class.SCHEDULED, "suspended on green until it is handed over", Action.SUSPEND, SUSPENDED)
    return None
