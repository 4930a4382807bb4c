"""Must hold 7: replicated twice, the second writes nothing. On real API servers, real manifests and tricky objects."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access import kubeconfig
from migration.clients.kubernetes import Kubernetes
from migration.objects.classes import Answer
from migration.preflight.run import preflight
from migration.replicate.plan import USUAL
from migration.settings.choices import Choices
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import WRITES, Bare, on, replicate

SHARED = Choices(answers={"PersistentVolume share": Answer.IMPORT})
pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def test_tricky_objects_arrive_in_one_run(tricky: tuple[Bare, Bare]) -> None:
    blue, green = tricky
    made, done, _ = replicate(tricky, choices=SHARED)
    assert (done.failures, done.conflicts, done.held) == ([], [], [])
    assert done.fallbacks in (["Deployment tricky/doubled"], [])  # nothing where another test has replicated before
    assert not made.unread
    made, done, writes = replicate(tricky, choices=SHARED)
    assert [f"{c.action} {c.name} {c.paths}" for c in made.changes if c.action != "unchanged"] == []
    assert writes == dict.fromkeys(WRITES, 0)

    namespace = ("-n", "tricky")
    for name in ("web", "doubled", "by-hand"):
        was, now = on(blue, "deployment", name, *namespace), on(green, "deployment", name, *namespace)
        assert now["spec"] == was["spec"], name
    assert on(green, "deployment", "leader", *namespace)["spec"]["replicas"] == 0
    assert on(green, "cronjob", "nightly", *namespace)["spec"]["suspend"] is True
    chosen = on(green, "service", "chosen-port", *namespace)["spec"]["ports"]
    assert next(p for p in chosen if p["name"] == "http")["nodePort"] == 30080
    assert on(green, "service", "headless", *namespace)["spec"]["clusterIP"] == "None"
    left = {item.name: item.verdict.reason for item in made.left}
    assert left["Secret tricky/sh.helm.release.v1.app.v1"] == "an older revision of a Helm release"
    assert left["ConfigMap tricky/kube-root-ca.crt"] == "made by every cluster"
    assert on(green, "widget", "first", *namespace)["spec"] == on(blue, "widget", "first", *namespace)["spec"]
    assert "finalizers" not in on(green, "widget", "first", *namespace)["metadata"]


def test_enrolled_routes_are_left_to_the_edge(tricky: tuple[Bare, Bare]) -> None:
    blue, green = tricky
    route = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "tricky"},
        "spec": {
            "hosts": ["*"],
            "gateways": ["istio-system/public"],
            "http": [{"route": [{"destination": {"host": "web"}}]}],
        },
    }
    blue.kubectl("apply", "-f", "-", given=json.dumps(route))
    made, _, _ = replicate(tricky, enrolled=frozenset({"tricky/web"}))
    assert "VirtualService tricky/web" not in {change.name for change in made.changes}
    left = {item.name: item.verdict.reason for item in made.left}
    assert left["VirtualService tricky/web"].startswith("an enrolled route")
    replicate(tricky)
    assert on(green, "virtualservice", "web", "-n", "tricky")["spec"] == route["spec"]


def test_real_manifests_arrive_in_one_run(pair: tuple[Bare, Bare]) -> None:
    manifests = Path(os.environ.get("BLUEGREEN_MANIFESTS", "../shared/manifests"))
    if not manifests.is_dir():
        pytest.skip(f"no manifests of public projects at {manifests}; name them by BLUEGREEN_MANIFESTS")
    folders = sorted(each for each in manifests.iterdir() if each.is_dir())
    try:
        for folder in folders:
            pair[0].kubectl("create", "namespace", folder.name)
            pair[0].kubectl("apply", "-n", folder.name, "-f", str(folder), check=False)  # some need an API of their own
        _, done, _ = replicate(pair)
        assert (done.failures, done.conflicts, done.held) == ([], [], [])
        assert done.created > 50
        again, _, writes = replicate(pair, limit=USUAL)
        assert writes == dict.fromkeys(WRITES, 0)
        assert again.excess is None, "what servers and webhooks add is no rewrite"
    finally:  # other tests replicate all of blue, and say nothing of what these would have answered
        for plane in pair:
            for folder in folders:
                plane.kubectl("delete", "-n", folder.name, "-f", str(folder), "--wait=false", "--ignore-not-found", check=False)
        remove_namespaces(pair, *(folder.name for folder in folders))


def test_preflight_on_real_clusters_finds_what_is_there(tricky: tuple[Bare, Bare]) -> None:
    async def look() -> list[Any]:
        async with (
            Kubernetes.from_kubeconfig(tricky[0].kubeconfig, name="plum") as blue,
            Kubernetes.from_kubeconfig(tricky[1].kubeconfig, name="fern") as green,
        ):
            assert (await blue.minor(), await green.minor()) == ("1.34", "1.36")
            return await preflight(blue, green)

    found = {(finding.code, finding.object) for finding in asyncio.run(look())}
    assert ("BG201", "cluster fern") in found, "no node"
    assert ("BG401", "PersistentVolumeClaim tricky/data") in found
    assert ("BG402", "StatefulSet tricky/db") in found
    assert ("BG502", "CronJob tricky/nightly") in found


def test_what_may_not_be_listed_is_unknown_and_never_a_pass(tricky: tuple[Bare, Bare]) -> None:
    async def look() -> list[Any]:
        token = tricky[0].kubectl("create", "token", "worker", "-n", "tricky").strip()
        access = replace(kubeconfig.load(tricky[0].kubeconfig, cluster="plum"), token=token)
        async with (
            Kubernetes(access) as blue,
            Kubernetes.from_kubeconfig(tricky[1].kubeconfig, name="fern") as green,
        ):
            return await preflight(blue, green)

    findings = asyncio.run(look())
    unread = [finding.object for finding in findings if (finding.code, finding.status) == ("BG002", "unknown")]
    assert unread == ["system:serviceaccount:tricky:worker on plum"], "one finding for one cause"
    assert all("forbidden" in f.evidence or "may not be listed by" in f.evidence for f in findings if f.status == "unknown")
