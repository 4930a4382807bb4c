"""Waits until the services of a story answer, and finds out why those that do not stay silent.

A story of other people's manifests must not wait for what cannot come: a Service whose pods the API server refuses, whose
pods no node takes, whose gateway answers by itself. What is still on its way (pods that become Ready) is waited for; what
stands still is told, with what the cluster says about it, and left out.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.demo import backends
from lab.demo.faults import FaultError, kubectl
from lab.demo.manifests import Object, full_name
from lab.demo.workloads import Front

GRACE_SECONDS = 3.0  # most answer by then: only after it the cluster is asked why
# How long a reason may stand before its service is left out.
STILL_SECONDS = 8.0  # what does not pass by itself; one more look, since events of the first second may be old
ROUTED_SECONDS = 30.0  # Ready pods whose address is on its way to the gateway, on a busy machine
COMING_SECONDS = 90.0  # pods that are on their way
ROUNDS_SECONDS = 0.5
KINDS = "services,pods,deployments,statefulsets,daemonsets,replicasets,replicationcontrollers,events"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Look:
    """What a namespace has, by kind."""

    items: list[Object] = field(default_factory=list)

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.items if each["kind"] == kind]

    def named(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)


def settle(
    kubeconfig: Path,
    gateway: str,
    fronts: Sequence[Front],
    answered: Callable[[Front], None] = lambda front: None,
    now: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Asks every front at the gateway (`address:port`) until a pod answered or nothing more can be hoped for.

    Returns why, by service, for those that stay silent.
    """
    waiting = {front.service: front for front in fronts}
    since: dict[str, tuple[str, float]] = {}
    silent: dict[str, str] = {}
    began = now()
    with ThreadPoolExecutor(8) as pool:
        while waiting:
            round_began = now()
            answers = dict(zip(waiting, pool.map(lambda front: ask(gateway, front), list(waiting.values())), strict=True))
            for service in [service for service, answer in answers.items() if answer == ""]:
                answered(waiting.pop(service))
            for service, front in list(waiting.items()) if now() - began >= GRACE_SECONDS else ():
                reason, patience_seconds = why(kubeconfig, front, answers[service])
                known, at = since.get(service, ("", now()))
                since[service] = (reason, at if reason == known else now())
                if now() - since[service][1] >= patience_seconds:
                    silent[service] = reason
                    del waiting[service]
            if waiting:
                time.sleep(max(0.0, ROUNDS_SECONDS - (now() - round_began)))
    return silent


def ask(gateway: str, front: Front) -> str:
    """Nothing where a pod answers below 500, else what came instead."""
    request = urllib.request.Request(f"http://{gateway}{front.path}", headers={"Host": front.host})
    try:
        with OPENER.open(request, timeout=5) as answer:
            return _judged(answer.status, answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return _judged(error.code, error.headers)
    except OSError as error:
        return f"no answer ({error})"


def _judged(status: int, headers: Any) -> str:
    if headers.get("x-lab-pod") is None:
        return f"the gateway itself answers {status}"
    return f"its pod answers {status}" if status >= 500 else ""


def why(kubeconfig: Path, front: Front, answer: str) -> tuple[str, float]:
    """What keeps a front from answering, as its cluster tells, and for how many seconds that may be waited for."""
    namespace, _, name = front.service.partition("/")
    try:
        route = json.loads(
            kubectl(kubeconfig, "-n", namespace, "get", "virtualservices.networking.istio.io", name, "-o", "json")
        )
    except FaultError:
        return f"VirtualService {front.service} is not on the cluster: the API server refused it", STILL_SECONDS
    reasons = []
    for rule in backends.mappings(route["spec"].get("http")):
        for each in backends.mappings(rule.get("route")):
            within, service = backends.service_key(str(backends.mapping(each.get("destination")).get("host")), namespace)
            looked = Look(json.loads(kubectl(kubeconfig, "-n", within, "get", KINDS, "-o", "json"))["items"])
            if (reason := explain(looked, service)) is not None:
                reasons.append(reason)
    if reasons:
        return min(reasons, key=lambda each: each[1])
    return (
        f"{answer} to {front.host}{front.path} although its pods are Ready: see the route's hosts, matches and port",
        ROUTED_SECONDS,
    )


def explain(looked: Look, name: str) -> tuple[str, float] | None:
    """Why a Service has no Ready pod, and for how many seconds that may be waited for; None where it has one."""
    service = looked.named("Service", name)
    if service is None:
        return f"Service {name} is not on the cluster: the API server refused it", STILL_SECONDS
    pods = [each for each in looked.of("Pod") if backends.selects(service, each)]
    if any(_condition(pod, "Ready").get("status") == "True" for pod in pods):
        return None
    for pod in pods:
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            return f"no node takes Pod {full_name(pod)}: {scheduled.get('message') or scheduled.get('reason')}", STILL_SECONDS
    if pods:
        return f"no pod of Service {name} is Ready yet", COMING_SECONDS
    workloads = [each for each in looked.items if each["kind"] in backends.SERVING_KINDS and backends.selects(service, each)]
    if not workloads:
        return f"no workload has pods for Service {name}: the API server refused it", STILL_SECONDS
    for workload in workloads:
        if (refused := _condition(workload, "ReplicaFailure")).get("status") == "True":
            return f"pods of {workload['kind']} {full_name(workload)} are refused: {refused.get('message')}", STILL_SECONDS
        warnings = [each for each in looked.of("Event") if _is_about(each, workload) and each.get("type") == "Warning"]
        if warnings:
            last = max(warnings, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
            return f"pods of {workload['kind']} {full_name(workload)} are refused: {last.get('message')}", STILL_SECONDS
    asked = sum(backends.replicas(workload) for workload in workloads)
    first = workloads[0]
    if asked == 0:
        return f"{first['kind']} {full_name(first)} has 0 replicas: set spec.replicas to 1 or more", STILL_SECONDS
    if first["kind"] == "DaemonSet" and (first.get("status") or {}).get("desiredNumberScheduled") == 0:
        return f"no node fits DaemonSet {full_name(first)}: see its nodeSelector and tolerations", STILL_SECONDS
    return f"{first['kind']} {full_name(first)} has made no pod yet", COMING_SECONDS


def _is_about(event: Object, workload: Object) -> bool:
    about = event.get("involvedObject") or {}
    name = workload["metadata"]["name"]
    return about.get("name") == name or (about.get("kind") == "ReplicaSet" and str(about.get("name")).startswith(f"{name}-"))


def _condition(each: Object, kind: str) -> Mapping[str, Any]:
    conditions = backends.mappings(backends.mapping(each.get("status")).get("conditions"))
    return next((condition for condition in conditions if condition.get("type") == kind), {})
