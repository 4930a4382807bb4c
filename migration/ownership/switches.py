"""By which field a kind that starts work by itself is suspended, and which kinds have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects.kinds import Object


@dataclass(frozen=True, slots=True)
class Switch:
    """How a kind is suspended: the field, the value that suspends, and what a missing field means (None: nothing, and the
    field is not there). But for `spec` and annotations the field's parent must be there: without it nothing runs by itself.
    """

    path: tuple[str, ...]
    on: Any = True
    off: Any = False


SPEC_SUSPEND = Switch(("spec", "suspend"))
SPEC_PAUSED = Switch(("spec", "paused"))


def _annotation(name: str, on: str = "true") -> Switch:
    return Switch(("metadata", "annotations", name), on, None)


SWITCHES: Mapping[tuple[str, str], Switch] = {
    ("batch", "CronJob"): SPEC_SUSPEND,
    ("batch", "Job"): SPEC_SUSPEND,
    ("velero.io", "Schedule"): SPEC_PAUSED,
    # Velero deletes what has expired in every place that it may write to
    ("velero.io", "BackupStorageLocation"): Switch(("spec", "accessMode"), "ReadOnly", "ReadWrite"),
    ("argoproj.io", "CronWorkflow"): SPEC_SUSPEND,
    ("keda.sh", "ScaledJob"): _annotation("autoscaling.keda.sh/paused"),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): SPEC_SUSPEND,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): SPEC_SUSPEND,
    ("image.toolkit.fluxcd.io", "ImageUpdateAutomation"): SPEC_SUSPEND,
    ("fleet.cattle.io", "GitRepo"): SPEC_PAUSED,
    ("postgresql.cnpg.io", "ScheduledBackup"): SPEC_SUSPEND,
    ("volsync.backube", "ReplicationSource"): SPEC_PAUSED,
    ("volsync.backube", "ReplicationDestination"): SPEC_PAUSED,
    ("snapscheduler.backube", "SnapshotSchedule"): Switch(("spec", "disabled")),
    ("sparkoperator.k8s.io", "ScheduledSparkApplication"): SPEC_SUSPEND,
    ("flink.apache.org", "FlinkDeployment"): Switch(("spec", "job", "state"), "suspended", "running"),
    ("flink.apache.org", "FlinkSessionJob"): Switch(("spec", "job", "state"), "suspended", "running"),
    ("ray.io", "RayCronJob"): SPEC_SUSPEND,
    ("kubeflow.org", "ScheduledWorkflow"): Switch(("spec", "enabled"), False, True),
    ("chaos-mesh.org", "Schedule"): _annotation("experiment.chaos-mesh.org/pause"),
    ("litmuschaos.io", "ChaosSchedule"): Switch(("spec", "scheduleState"), "halt", "active"),
    ("stash.appscode.com", "BackupConfiguration"): SPEC_PAUSED,
    ("core.kubestash.com", "BackupConfiguration"): SPEC_PAUSED,
    ("medusa.k8ssandra.io", "MedusaBackupSchedule"): Switch(("spec", "disabled")),
    ("pingcap.com", "BackupSchedule"): Switch(("spec", "pause")),
    ("k8s.mariadb.com", "Backup"): Switch(("spec", "schedule", "suspend")),
    ("k8s.mariadb.com", "PhysicalBackup"): Switch(("spec", "schedule", "suspend")),
    ("k8s.mariadb.com", "SqlJob"): Switch(("spec", "schedule", "suspend")),
    ("kafka.strimzi.io", "KafkaConnector"): Switch(("spec", "state"), "paused", "running"),
}
# Autoscalers that raise a workload from 0, suspended where it is to stay there: what is set outlives `paused-replicas: "4"`.
FOLLOWING: Mapping[tuple[str, str], Switch] = {
    ("keda.sh", "ScaledObject"): _annotation("autoscaling.keda.sh/paused-replicas", "0"),
}
# what a hand-over takes over in `spec`: replicate leaves it alone then
SPEC_FIELDS = tuple(sorted({each.path[1] for each in SWITCHES.values() if each.path[0] == "spec"}))
# Whose switch means something else than that a clock does not fire.
WHY_SUSPENDED: Mapping[tuple[str, str], str] = {
    ("velero.io", "BackupStorageLocation"): "read only on green: Velero deletes expired backups in every place it may write to",
    ("kafka.strimzi.io", "KafkaConnector"): "paused on green: two connectors would move each record twice",
}
# Kinds that start work by themselves and have no field that stops them.
UNSTOPPABLE: Mapping[tuple[str, str], str] = {
    ("k8up.io", "Schedule"): "backups by a clock, and deletions in blue's repository; it cannot be suspended",
    ("longhorn.io", "RecurringJob"): "snapshots and backups by a clock; it cannot be suspended",
    ("config.kio.kasten.io", "Policy"): "backups by a clock, into blue's place",
    ("gemini.fairwinds.com", "SnapshotGroup"): "snapshots by a clock; it cannot be suspended",
    ("sources.knative.dev", "PingSource"): "sends events by a clock; it cannot be suspended",
}
BY_HAND = ("suspend", "suspended", "paused", "disabled")
CRON_KEYS = ("schedule", "cron", "cronSchedule", "cronExpression", "crontab", "schedules")
_FIELD = r"(?:[\d*?/,#~()LWHC-]|SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)+"
CRON = re.compile(rf"\s*(?:(?:CRON_)?TZ=\S+\s+)?(?:@[a-z]+(?:\s+\S+)?|{_FIELD}(?:\s+{_FIELD}){{4,6}})\s*", re.IGNORECASE)


def switch_of(obj: Object) -> Switch | None:
    """How this object is suspended; None: it runs nothing by itself, or nothing is known that stops it.

    A kind that is in no table but has a clock is suspended by the field that it shows: `suspend`, `paused`, `disabled`.
    """
    key = _key(obj)
    known = SWITCHES.get(key)
    if known:
        return known if value_of(obj, known.path[:-1]) is not None or len(known.path) <= 2 or known.off is None else None
    if key in UNSTOPPABLE or not clock_of(obj):
        return None
    shown = next((name for name in BY_HAND if isinstance(obj["spec"].get(name), bool)), None)
    return Switch(("spec", shown)) if shown else None


def _key(obj: Object) -> tuple[str, str]:
    return str(obj.get("apiVersion", "")).rpartition("/")[0], obj.get("kind", "")


def clock_of(obj: Object) -> str | None:
    """The cron expression of a custom resource that has one."""
    spec = obj.get("spec")
    if not isinstance(spec, dict) or "." not in str(obj.get("apiVersion", "")).partition("/")[0]:
        return None
    for level in (spec, *(value for value in spec.values() if isinstance(value, dict))):
        for value in (level[name] for name in CRON_KEYS if name in level):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) and CRON.fullmatch(each):
                    return each
    return None


def value_of(obj: Object, path: tuple[str, ...]) -> Any:
    """What an object has at a path; None where it has nothing there."""
    value: Any = obj
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def suspend(obj: Object) -> Any:
    """Suspends an object in place and returns the value to go back to; None: the field was not there and goes again."""
    switch = switch_of(obj) or FOLLOWING.get(_key(obj)) or SPEC_SUSPEND
    *parents, last = switch.path
    at = obj
    for step in parents:
        at[step] = at.get(step) or {}
        at = at[step]
    before = at.get(last)
    at[last] = switch.on
    return switch.off if before is None else before
