"""Checks of what runs on blue: workloads and routes (BG3xx), what must not run twice (5xx). All pure."""

from __future__ import annotations

from collections import defaultdict

import routing
from migration.model import Severity
from migration.objects import kinds
from migration.objects.access import pod_spec, scale_target, spec_of, workload_key
from migration.objects.health import wanted_replicas
from migration.objects.view import View
from migration.preflight.check import Found, Scope, behind_routes, finding

# -- 3xx workloads and routes ------------------------------------------------------------------------------------------


def single_replicas(blue: View, _: View, scope: Scope) -> Found:
    """Workloads behind a route that are down while their one pod is replaced."""
    scaled = {scale_target(each): each for each in blue.of(kinds.HPA.name)}
    for workload, route in blue.once(behind_routes, scope):
        if workload["kind"] == "DaemonSet":
            continue
        hpa = scaled.get(workload_key(workload))
        replicas = spec_of(hpa).get("minReplicas", 1) if hpa else wanted_replicas(workload)
        if replicas == 1:
            yield finding("BG301", Severity.WARNING, workload, f"1 replica behind route {route}", "run at least 2 replicas")


def blocking_budgets(blue: View, _: View, scope: Scope) -> Found:
    """Budgets that allow no disruption now: a drain of their nodes would wait for ever."""
    for budget in blue.of("poddisruptionbudgets.policy"):
        status = budget.get("status") or {}
        if not scope.moves(budget) or not status.get("expectedPods"):
            continue
        if status.get("disruptionsAllowed", 0) == 0:
            healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
            evidence = f"0 disruptions allowed: {healthy} of {status['expectedPods']} pods healthy, {wanted} wanted"
            yield finding("BG302", Severity.WARNING, budget, evidence, "run one replica more, or allow one to be away")


def missing_probes(blue: View, _: View, scope: Scope) -> Found:
    """Workloads behind a route that get requests before they are ready."""
    for workload, route in blue.once(behind_routes, scope):
        bare = [c["name"] for c in pod_spec(workload).get("containers") or () if not c.get("readinessProbe")]
        if bare and len(bare) == len(pod_spec(workload).get("containers") or ()):
            evidence = f"no readiness probe on {', '.join(bare)}; behind route {route}"
            yield finding("BG303", Severity.WARNING, workload, evidence, "add a readinessProbe")


def unmovable_routes(blue: View, _: View, scope: Scope) -> Found:
    """Routes of a gateway that cannot be shifted step by step."""
    for route in blue.routes():
        if not scope.moves(route) or not routing.gateways_of(route):
            continue
        if reasons := routing.refusals(route):
            remedy = "change the route, or accept that it moves at once with the entry (ignore BG304 for it)"
            yield finding("BG304", Severity.WARNING, route, "; ".join(map(str, reasons)), remedy)


# -- 5xx what must not run twice ---------------------------------------------------------------------------------------


def leaders(blue: View, _: View, scope: Scope) -> Found:
    """Leases that somebody holds, of what no singleton names: it may lead on both clusters."""
    named = defaultdict(list)
    for singleton in scope.singletons:
        namespace, name = singleton.split("/", 1)
        named[namespace].append(name)
    for lease in blue.of("leases.coordination.k8s.io"):
        holder = spec_of(lease).get("holderIdentity")
        if not scope.moves(lease) or not holder:
            continue
        if holder.startswith(tuple(named.get(lease["metadata"].get("namespace", ""), ()))):
            continue
        remedy = "if it acts on the world outside the cluster, name its workload under `singletons` in migration.yaml"
        yield finding("BG501", Severity.WARNING, lease, f"held by {holder}", remedy)


def schedules(blue: View, _: View, scope: Scope) -> Found:
    """CronJobs that run on blue and come suspended."""
    for job in blue.of("cronjobs.batch"):
        if scope.moves(job) and not spec_of(job).get("suspend"):
            evidence = f"runs at {spec_of(job).get('schedule')!r} on blue"
            yield finding("BG502", Severity.INFO, job, evidence, "nothing now; hand it over before blue is retired")


def recreated(blue: View, _: View, scope: Scope) -> Found:
    """Deployments that never run twice on one cluster, and would on two."""
    for workload in blue.of("deployments.apps"):
        once = (spec_of(workload).get("strategy") or {}).get("type") == "Recreate" and spec_of(workload).get("replicas") == 1
        if scope.moves(workload) and once and kinds.full_name(workload) not in scope.singletons:
            remedy = "name it under `singletons` in migration.yaml if it must never run twice"
            yield finding("BG503", Severity.WARNING, workload, "1 replica, strategy Recreate", remedy)
