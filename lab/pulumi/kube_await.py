"""When is an object what was asked for? The rules by kind, and the waiting."""

from __future__ import annotations

import time
from typing import Any

from lab.pulumi.kube_api import KubeApi
from lab.pulumi.plugin import PluginError

POLL_SECONDS = 0.15

Object = dict[str, Any]


def pending(live: Object) -> str | None:
    """Why the object is not ready yet, None when it is; a PluginError when it never will be."""
    rule = _RULES.get(live.get("kind", ""))
    if rule is None:
        return None
    observed = live.get("status", {}).get("observedGeneration", 0)
    if live["kind"] in ("Deployment", "StatefulSet", "DaemonSet") and observed < live["metadata"].get("generation", 0):
        return "its controller has not seen this generation yet"
    reason: str | None = rule(live)
    return reason


def wait_ready(api: KubeApi, path: str, live: Object, seconds: float) -> tuple[Object, str | None]:
    """The object when it is ready, or when time is up with the reason why it is not."""
    end = time.monotonic() + seconds
    while True:
        try:
            reason = pending(live)
        except PluginError as error:
            return live, str(error)
        if reason is None:
            return live, None
        if time.monotonic() > end:
            return live, f"not ready after {seconds:.0f} s: {reason}"
        time.sleep(POLL_SECONDS)
        matched = api.get(path)
        if matched is None:
            return live, "it was deleted while it was waited for"
        live = matched


def wait_gone(api: KubeApi, path: str, uid: str | None, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (live := api.get(path)) is not None and (uid is None or live["metadata"].get("uid") == uid):
        if time.monotonic() > end:
            held = live["metadata"].get("finalizers") or live.get("spec", {}).get("finalizers") or []
            raise PluginError(f"{path} is still there after {seconds:.0f} s; finalizers: {', '.join(held) or 'none'}")
        time.sleep(POLL_SECONDS)


def _condition(live: Object, type: str) -> Object:
    matched = (item for item in (live.get("status", {}).get("conditions") or []) if item.get("type") == type)
    return next(matched, {})


def _deployment(live: Object) -> str | None:
    progress = _condition(live, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        raise PluginError(f"the rollout does not go on: {progress.get('message')}")
    wanted, status = live["spec"].get("replicas", 1), live.get("status", {})
    if status.get("updatedReplicas", 0) < wanted:
        return f"{status.get('updatedReplicas', 0)} of {wanted} replicas are of the new version"
    if status.get("replicas", 0) > status.get("updatedReplicas", 0):
        return "replicas of the old version are still there"
    if status.get("availableReplicas", 0) < wanted:
        return f"{status.get('availableReplicas', 0)} of {wanted} replicas are available"
    return None


def _stateful_set(live: Object) -> str | None:
    wanted, status = live["spec"].get("replicas", 1), live.get("status", {})
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    return None if ready >= wanted else f"{ready} of {wanted} replicas are ready"


def _daemon_set(live: Object) -> str | None:
    status = live.get("status", {})
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    return None if ready >= wanted else f"{ready} of {wanted} pods are available"


def _service(live: Object) -> str | None:
    if live["spec"].get("type") != "LoadBalancer" or live.get("status", {}).get("loadBalancer", {}).get("ingress"):
        return None
    return "no load balancer has been given to it"


def _job(live: Object) -> str | None:
    if _condition(live, "Failed").get("status") == "True":
        raise PluginError(f"the job failed: {_condition(live, 'Failed').get('message')}")
    return None if _condition(live, "Complete").get("status") == "True" else "the job is not complete"


def _pod(live: Object) -> str | None:
    done = live.get("status", {}).get("phase") == "Succeeded" or _condition(live, "Ready").get("status") == "True"
    return None if done else "the pod is not ready"


def _definition(live: Object) -> str | None:
    return None if _condition(live, "Established").get("status") == "True" else "the definition is not established"


_RULES: dict[str, Any] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Service": _service,
    "Job": _job,
    "Pod": _pod,
    "CustomResourceDefinition": _definition,
}
