"""Work that is finished, and work that a clock, a queue or a person starts: not on two clusters.

What has run on blue has its outcome in `status`, which does not come along: green would run it again. What is going to
run comes suspended, by the field that its controller looks at, with the value to go back to kept in an annotation.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.ownership.conversion import data_in_status
from migration.ownership.endings import END_TIME, End, end_said
from migration.ownership.known import Known
from migration.ownership.runs import NO_RUNS, RUNS, ended
from migration.ownership.switches import UNSTOPPABLE, WHY_SUSPENDED, clock_of, switch_of

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


def _pod(obj: Object) -> Sign | None:
    """A pod of nobody. One that is not started again by its kubelet was meant to run once."""
    if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return Sign(Class.FINISHED, "a Pod that has ended", answers=ENDED)
    policy = (obj.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        reason = f"a Pod to be run once (restartPolicy {policy}), begun on blue: it would run again"
        return Sign(Class.FINISHED, reason, answers=RUNNING)
    return None


SUSPENDED = MappingProxyType({Answer.HOLD: Action.SUSPEND, Answer.START: Action.COPY})
STARTED = MappingProxyType({Answer.SKIP: Action.LEAVE, Answer.START: Action.COPY})


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
