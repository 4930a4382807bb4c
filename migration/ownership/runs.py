"""Kinds of which each object is one run, made once, and what says that a run has ended."""

from __future__ import annotations

from collections.abc import Mapping

from migration.objects.kinds import Object

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
