"""Work that is finished, and work that a clock, a queue or a person starts: not on two clusters.

What has run on blue has its outcome in `status`, which does not come along: green would run it again. What is going to
run comes suspended, by the field that its controller looks at, with the value to go back to kept in an annotation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.ownership.conversion import data_in_status
from migration.ownership.known import Known

# -- finished ----------------------------------------------------------------------------------------------------------

# (group, kind) -> what it is: each object is one run, made once. `*`: every kind of the group but those in NO_RUNS.
RUNS: Mapping[tuple[str, str], str] = {
    ("tekton.dev", "PipelineRun"): "a run of a pipeline",
    ("tekton.dev", "TaskRun"): "a run of a task",
    ("tekton.dev", "Run"): "a run of a task",
    ("tekton.dev", "CustomRun"): "a run of a task",
    ("argoproj.io", "Workflow"): "a run of a workflow",
    ("argoproj.io", "WorkflowTaskSet"): "a part of a workflow's run",
    ("argoproj.io", "WorkflowTaskResult"): "a part of a workflow's run",
    ("argoproj.io", "WorkflowArtifactGCTask"): "a part of a workflow's run",
    ("argoproj.io", "AnalysisRun"): "an analysis of one rollout",
    ("argoproj.io", "Experiment"): "an experiment",
    ("velero.io", "Backup"): "a backup",
    ("velero.io", "Restore"): "a restore",
    ("velero.io", "DeleteBackupRequest"): "a deletion of a backup",
    ("velero.io", "DownloadRequest"): "a download",
    ("velero.io", "ServerStatusRequest"): "a question to the server",
    ("velero.io", "PodVolumeBackup"): "a backup of a volume",
    ("velero.io", "PodVolumeRestore"): "a restore of a volume",
    ("velero.io", "DataUpload"): "a backup of a volume",
    ("velero.io", "DataDownload"): "a restore of a volume",
    ("velero.io", "BackupRepository"): "maintenance of a repository that blue keeps",
    ("velero.io", "ResticRepository"): "maintenance of a repository that blue keeps",
    ("sparkoperator.k8s.io", "SparkApplication"): "a run of Spark",
    ("spark.apache.org", "SparkApplication"): "a run of Spark",
    ("ray.io", "RayJob"): "a run of Ray",
    ("flink.apache.org", "FlinkStateSnapshot"): "a snapshot",
    ("batch.volcano.sh", "Job"): "a job",
    ("bus.volcano.sh", "Command"): "a command",
    ("jobset.x-k8s.io", "JobSet"): "a set of jobs",
    ("kubeflow.org", "*"): "a training or a trial",
    ("trainer.kubeflow.org", "TrainJob"): "a training",
    ("workload.codeflare.dev", "AppWrapper"): "a job",
    ("k6.io", "TestRun"): "a load test",
    ("k6.io", "K6"): "a load test",
    ("tests.testkube.io", "TestExecution"): "a test",
    ("tests.testkube.io", "TestSuiteExecution"): "a test",
    ("testworkflows.testkube.io", "TestWorkflowExecution"): "a test",
    ("kafka.strimzi.io", "KafkaRebalance"): "a rebalance",
    ("chaos-mesh.org", "*"): "an experiment that breaks things",
    ("litmuschaos.io", "ChaosEngine"): "an experiment that breaks things",
    ("litmuschaos.io", "ChaosResult"): "an experiment that breaks things",
    ("chaosblade.io", "ChaosBlade"): "an experiment that breaks things",
    ("postgresql.cnpg.io", "Backup"): "a backup",
    ("k8up.io", "Backup"): "a backup",
    ("k8up.io", "Restore"): "a restore",
    ("k8up.io", "Archive"): "an archive",
    ("k8up.io", "Check"): "a check of a repository",
    ("k8up.io", "Prune"): "a deletion of backups",
    ("k8up.io", "Snapshot"): "a snapshot",
    ("pxc.percona.com", "PerconaXtraDBClusterBackup"): "a backup",
    ("pxc.percona.com", "PerconaXtraDBClusterRestore"): "a restore",
    ("psmdb.percona.com", "PerconaServerMongoDBBackup"): "a backup",
    ("psmdb.percona.com", "PerconaServerMongoDBRestore"): "a restore",
    ("ps.percona.com", "PerconaServerMySQLBackup"): "a backup",
    ("ps.percona.com", "PerconaServerMySQLRestore"): "a restore",
    ("pgv2.percona.com", "PerconaPGBackup"): "a backup",
    ("pgv2.percona.com", "PerconaPGRestore"): "a restore",
    ("pingcap.com", "Backup"): "a backup",
    ("pingcap.com", "Restore"): "a restore",
    ("mysql.oracle.com", "MySQLBackup"): "a backup",
    ("k8s.mariadb.com", "Backup"): "a backup",
    ("k8s.mariadb.com", "PhysicalBackup"): "a backup",
    ("k8s.mariadb.com", "Restore"): "a restore",
    ("k8s.mariadb.com", "SqlJob"): "a job",
    ("stackgres.io", "SGBackup"): "a backup",
    ("stackgres.io", "SGDbOps"): "an operation on a database",
    ("medusa.k8ssandra.io", "MedusaBackup"): "a backup",
    ("medusa.k8ssandra.io", "MedusaBackupJob"): "a backup",
    ("medusa.k8ssandra.io", "MedusaRestoreJob"): "a restore",
    ("medusa.k8ssandra.io", "MedusaTask"): "an operation on backups",
    ("control.k8ssandra.io", "*"): "an operation on a database",
    ("stash.appscode.com", "BackupSession"): "a backup",
    ("stash.appscode.com", "RestoreSession"): "a restore",
    ("stash.appscode.com", "RestoreBatch"): "a restore",
    ("core.kubestash.com", "BackupSession"): "a backup",
    ("core.kubestash.com", "RestoreSession"): "a restore",
    ("cr.kanister.io", "ActionSet"): "an action",
    ("actions.kio.kasten.io", "*"): "an action",
    ("forklift.konveyor.io", "Migration"): "a migration",
    ("kubevirt.io", "VirtualMachineInstanceMigration"): "a migration",
    ("snapshot.kubevirt.io", "*"): "a snapshot of a machine, or its restore",
    ("ops.crossplane.io", "Operation"): "an operation",
    ("openebs.io", "UpgradeTask"): "an operation",
    ("upgrade.cattle.io", "Plan"): "an upgrade of nodes",
    # written by their manager for what it keeps itself
    ("longhorn.io", "*"): "Longhorn's own record of disks and backups: with it, green's would delete blue's backups",
}
NO_RUNS = frozenset(
    {
        ("chaos-mesh.org", "Schedule"),
        ("chaos-mesh.org", "RemoteCluster"),
        ("kubeflow.org", "Notebook"),
        ("kubeflow.org", "Profile"),
        ("kubeflow.org", "PodDefault"),
        ("kubeflow.org", "Viewer"),
        ("kubeflow.org", "ScheduledWorkflow"),
        ("longhorn.io", "Setting"),
        ("longhorn.io", "RecurringJob"),
        ("longhorn.io", "BackupTarget"),
    }
)
# What `status` says of a run that is over, whoever wrote it.
OVER = frozenset(
    {
        "succeeded", "failed", "error", "complete", "completed", "finished", "stopped", "partiallyfailed",
        "failedvalidation", "finalizingpartiallyfailed", "partially_failed", "aborted", "terminated",
    }
)  # fmt: skip
PHASES = ("phase", "state", "jobStatus", "jobDeploymentStatus", "stage")
CONDITIONS = frozenset({"Complete", "Completed", "Failed", "Succeeded", "Finished", "SuccessCriteriaMet", "FailureTarget"})
TIMES = ("completionTime", "completionTimestamp", "finishedAt", "terminationTime", "endTime", "stoppedAt")
# A run that was let start is over one day: the answer that was given then stays valid.
ENDED = MappingProxyType({Answer.START: Action.LEAVE, Answer.HOLD: Action.LEAVE})
RUNNING = MappingProxyType({Answer.START: Action.COPY, Answer.HOLD: Action.LEAVE})


def finished(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What has ended on blue, or was begun there once, would run again on green: its status does not come along."""
    key = (resource.group, resource.kind)
    if resource.name == "jobs.batch":
        return Sign(Class.FINISHED, "a Job that has ended", answers=ENDED) if ended(obj) else None
    if resource.name == "pods":
        return _pod(obj)
    what = None if key in NO_RUNS or switch_of(obj) else RUNS.get(key) or RUNS.get((resource.group, "*"))
    if what is None:
        return None
    if resource.group == "longhorn.io":
        return Sign(Class.FINISHED, what)
    if ended(obj):
        return Sign(Class.FINISHED, f"{what} that has ended", answers=ENDED)
    return Sign(Class.FINISHED, f"{what}, begun on blue: it would run again", answers=RUNNING)


def ended(obj: Object) -> bool:
    """Whether `status` says that this run is over."""
    status = obj.get("status")
    if not isinstance(status, dict):
        return False
    state = status.get("applicationState")  # Spark
    phases = [status.get(key) for key in PHASES] + [state.get("state") if isinstance(state, dict) else None]
    if any(phase.lower() in OVER for phase in phases if isinstance(phase, str)):
        return True
    if any(status.get(key) for key in TIMES):
        return True
    for condition in status.get("conditions") or ():
        if condition.get("type") in CONDITIONS:
            # Tekton: Succeeded is Unknown while it runs, False when it has failed
            over = ("True", "False") if condition.get("type") == "Succeeded" else ("True",)
            if condition.get("status") in over:
                return True
    return False


def _pod(obj: Object) -> Sign | None:
    """A pod of nobody. One that is not started again by its kubelet was meant to run once."""
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return Sign(Class.FINISHED, "a Pod that has ended", answers=ENDED)
    policy = (obj.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        reason = f"a Pod to be run once (restartPolicy {policy}), begun on blue: it would run again"
        return Sign(Class.FINISHED, reason, answers=RUNNING)
    return None


# -- scheduled ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Switch:
    """How a kind is suspended: the field, the value that suspends, and what a missing field means (None: nothing, and the
    field is not there). The field's parent must be there but for `spec` and annotations: a form without it does not run by
    itself.
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
SUSPENDED = MappingProxyType({Answer.HOLD: Action.SUSPEND, Answer.START: Action.COPY})
STARTED = MappingProxyType({Answer.SKIP: Action.LEAVE, Answer.START: Action.COPY})
BY_HAND = ("suspend", "suspended", "paused", "disabled")
CRON_KEYS = ("schedule", "cron", "cronSchedule", "cronExpression", "crontab", "schedules")
_FIELD = r"(?:[\d*?/,#~()LWHC-]|SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)+"
CRON = re.compile(rf"\s*(?:(?:CRON_)?TZ=\S+\s+)?(?:@[a-z]+(?:\s+\S+)?|{_FIELD}(?:\s+{_FIELD}){{4,6}})\s*", re.IGNORECASE)


def scheduled(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What runs by a clock, or once: not on two clusters."""
    key = (resource.group, resource.kind)
    if switch_of(obj):
        reason = WHY_SUSPENDED.get(key, "suspended on green until it is handed over")
        return Sign(Class.SCHEDULED, reason, Action.SUSPEND, SUSPENDED)
    why = UNSTOPPABLE.get(key, "")
    if not why and (clock := clock_of(obj)):
        why = f"runs by a clock ({clock}), and no field is known that stops it"
    return Sign(Class.SCHEDULED, why, Action.HOLD, STARTED, required=True) if why else None


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


# -- finished, of kinds that are in no table ---------------------------------------------------------------------------

# What a kind's name says. A one-off that has ended has ended; of a thing that is there to stay the same words mean that it was
# made. The last word of the name counts.
ONE_OFF = re.compile(
    r"(?:^|[a-z0-9])(?:Run|Job|Request|Migration|Backup|Restore|Recovery|Task|Execution|Snapshot|Operation|Ops|Upgrade|Import"
    r"|Export|Session|Build|Action|Experiment|Trial|Scan|Clone|Copy|Rebalance|Deletion|Cleanup|Reset|Invocation|Attempt|Test"
    r"|Transfer|Failover|Switchover|Rotation|Command)$"
)
LIVING = re.compile(
    r"(?:^|[a-z0-9])(?:Cluster|Database|DB|Server|Instance|Broker|Gateway|Proxy|Policy|Config|Configuration|Class|Template"
    r"|Profile|Account|User|Group|Role|Grant|Bucket|Queue|Topic|Volume|Pool|Node|Machine|Service|Application|App|Release"
    r"|Chart|Addon|Operator|Secret|Certificate|Issuer|Repository|Registry|Project|Tenant|Workspace|Space|Namespace|Network|Zone"
    r"|Record|Ingress|Route|Rule|Monitor|Dashboard|Schedule|Cron\w+|Set|Deployment|Workload|Stack|Store|Storage|Provider"
    r"|Installation|Stream|Connector|Pipeline|Definition|Binding|Claim|Subscription|Version|Website|Site|Domain|Endpoint)$"
)
# API groups whose statuses speak of an end, of things that are there to stay: only one-offs by name are taken for runs.
STAYING = frozenset(
    {
        "argoproj.io",
        "config.openshift.io",
        "grafana.integreatly.org",  # stage: complete
        "helm.fluxcd.io",  # phase: Succeeded, of a release that is there
        "kyverno.io",
        "nodemaintenance.medik8s.io",  # phase: Succeeded, while the node is kept in maintenance
        "operators.coreos.com",  # OLM: phase: Succeeded, of what is installed
    }
)
STAYING_UNDER = (".k8s.io", ".istio.io", ".cert-manager.io", ".knative.dev", ".toolkit.fluxcd.io", ".cattle.io")
STATES = ("phase", "state", "status")
DONE = frozenset({"succeeded", "succeed", "success", "successful", "complete", "completed", "finished", "done"})
BROKEN = frozenset({"failed", "error", "errored", "aborted", "cancelled", "canceled", "terminated", "timedout"})
FLAGS = ("completed", "finished", "isCompleted", "isFinished", "done")
GOING_ON = frozenset({"running", "inprogress", "in_progress", "in-progress", "processing", "executing", "started"})
DONE_CONDITIONS = frozenset({"Complete", "Completed", "Finished", "Done", "SuccessCriteriaMet"})
# Tekton: Succeeded is Unknown while it runs, False when it has failed
WEAK_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "Succeeded": ("True", "False"),
    "Failed": ("True",),
    "FailureTarget": ("True",),
}
END_TIME = re.compile(r"(?:completion|completed|finish|finished)(?:Time|Timestamp|At|Date)")
MAY_BE_TO_COME = re.compile(r"(?:end|ended|termination|stopped)(?:Time|Timestamp|At|Date)")  # says nothing without a word
OF_A_PART = re.compile(r"(?!last|latest|previous|next)\w+(?:Completion|Completed|Finished)(?:Time|Timestamp|At|Date|Ts)")
EARLIER = ("last", "latest", "previous", "current", "next")  # of one run of many: `lastBackup: {phase: Completed}`
# Who has one of these is up: what is there to stay, after its controller has made it.
UP_CONDITIONS = frozenset({"Ready", "Available", "Healthy", "Synced", "Reconciled", "Programmed", "Accepted", "Established"})
UP_FIELDS = ("readyReplicas", "replicas", "availableReplicas", "endpoint", "endpoints", "url", "address", "addresses", "health")


@dataclass(frozen=True, slots=True)
class End:
    """What a status says of an end. `word`: in which words, for people; `done`: it is what a run says, and not one that was
    only made or is broken; `part`: what it says below the top; `time`: the field with the time of the end; `up`: it says
    as well that it is up; `going_on`: that it runs.
    """

    word: str = ""
    done: bool = False
    part: str = ""
    time: str = ""
    up: bool = False
    going_on: str = ""


def over(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """A custom resource in no table whose status says that it has run. Certain where its name says a one-off, or the time of
    the end stands beside the end. A kind that has no status subresource brings its status along, and does not run again.
    """
    end = _end_of(obj, resource, known)
    if end is None:
        return None
    name = resource.kind
    says = end.word or (end.time if END_TIME.fullmatch(end.time) else "") or end.part
    if not ONE_OFF.search(name):
        if end.word and end.time and not (end.up or _stays(resource)):
            return Sign(Class.FINISHED, f"a {name} that has ended ({end.word})", answers=STARTED)
        return None
    if says:
        return Sign(Class.FINISHED, f"a {name} that has ended ({says})", answers=STARTED)
    if end.going_on:
        reason = f"a {name} that continues on blue ({end.going_on}): green would begin it again, beside blue's"
        return Sign(Class.SCHEDULED, reason, Action.HOLD, STARTED, required=True)
    return None


def may_be_over(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """Where it cannot be told whether a thing has ended or was only made: asked where it says an end and nothing of being up,
    told where it only succeeded or failed. What is there to stay by its name is asked about only with the time of its end.
    """
    end = _end_of(obj, resource, known)
    if end is None or ONE_OFF.search(resource.kind) or _of_staying_group(resource.group):
        return None
    stays = end.up or _stays(resource)
    alone = end.time if END_TIME.fullmatch(end.time) else ""
    if (end.done and end.time) or (not stays and (end.done or (alone and not end.word))):
        says = end.word or alone
        reason = f"its status says {says}, which does not come along: if it is a run, green would run it again"
        return Sign(Class.SCHEDULED, reason, Action.HOLD, STARTED, required=True)
    if stays or not end.word:
        return None
    note = f"its status says {end.word}, which does not come along: if it is a run, green runs it again (answer: skip)"
    return Sign(Class.PLAIN, "", Action.COPY, notes=(note,))


def _stays(resource: Resource) -> bool:
    """By its name or its group it is there to stay."""
    return bool(LIVING.search(resource.kind)) or _of_staying_group(resource.group)


def _of_staying_group(group: str) -> bool:
    return group in STAYING or f".{group}".endswith(STAYING_UNDER)


def _end_of(obj: Object, resource: Resource, known: Known) -> End | None:
    """None: nothing of the kind is ever asked, or its status comes along."""
    status, key = obj.get("status"), (resource.group, resource.kind)
    if "." not in resource.group or not isinstance(status, dict) or not status:
        return None
    if key in RUNS or key in NO_RUNS or switch_of(obj) or clock_of(obj):
        return None
    return None if resource in known.blue.once(data_in_status) else end_said(status)


def end_said(status: Mapping[str, Any]) -> End:
    """What a status says of an end."""
    words = _words(status)
    done = any(word.lower().rpartition(" ")[2] in DONE or word.endswith(": true") for word in words)
    for condition in _conditions(status):
        kind, value = condition.get("type"), condition.get("status")
        if kind in DONE_CONDITIONS and value == "True":
            words.append(f"condition {kind}")
            done = True
        elif value in WEAK_CONDITIONS.get(str(kind), ()):
            words.append(f"condition {kind}: {value}")
    parts = [key for key, value in status.items() if value and OF_A_PART.fullmatch(key)]
    for key, value in status.items():
        if isinstance(value, dict) and not key.startswith(EARLIER):
            parts += [f"{key}.{word}" for word in _words(value)]
            parts += [f"{key}.{inner}" for inner, time in value.items() if time and END_TIME.fullmatch(str(inner))]
    times = [key for key, value in status.items() if value and (END_TIME.fullmatch(key) or MAY_BE_TO_COME.fullmatch(key))]
    up = any(each.get("type") in UP_CONDITIONS for each in _conditions(status))
    up |= any(status.get(key) not in (None, "", 0) for key in UP_FIELDS)
    going_on = [f"{key}: {status[key]}" for key in STATES if str(status.get(key, "")).lower() in GOING_ON]
    first = [next(iter(each), "") for each in (words, parts, times, going_on)]
    return End(first[0], done, first[1], first[2], up, first[3])


def _words(level: Mapping[str, Any]) -> list[str]:
    """`phase: Succeeded`, `completed: true`."""
    words = [f"{key}: {level[key]}" for key in STATES if str(level.get(key, "")).lower() in DONE | BROKEN]
    return words + [f"{key}: true" for key in FLAGS if level.get(key) is True]


def _conditions(status: Mapping[str, Any]) -> list[Object]:
    conditions = status.get("conditions")
    conditions = conditions if isinstance(conditions, list) else []
    return [each for each in conditions if isinstance(each, dict) and isinstance(each.get("type"), str)]
