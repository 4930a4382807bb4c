"""Manifests in the shape of public installations on a real cluster: who answers, and what is told of the others."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo import manifests, workloads
from lab.demo.faults import KUBECTL
from lab.demo.settle import COMING_SECONDS, settle
from lab.layout import CHECKOUT
from tests.lab.support.kit import TwoClusters

INSTALLS = CHECKOUT / "tests" / "installs"
NAMES = ("ingress-controller.yaml", "kube-prometheus", "rendered-chart.yaml", "dashboard.yaml", "quiet.yaml", "stubborn.yaml")


@pytest.fixture
def work(two_clusters: TwoClusters) -> Iterator[workloads.Workloads]:
    prepared = workloads.prepare([each for name in NAMES for each in manifests.read(INSTALLS / name).objects])
    yield prepared
    manifests.take_away(Path(two_clusters.plum.kubeconfig), prepared.objects)


def test_every_service_answers_or_has_a_reported_reason(two_clusters: TwoClusters, work: workloads.Workloads) -> None:
    plum, kubeconfig = two_clusters.plum, Path(two_clusters.plum.kubeconfig)
    refused = dict(manifests.bring_up(kubeconfig, work.objects))
    assert set(refused) == {"Deployment stubborn/invalid", "DaemonSet stubborn/misspelt", "Unheard stubborn/unheard"}
    assert "selector" in refused["Deployment stubborn/invalid"]
    assert ".spec.replicas: field not declared in schema" in refused["DaemonSet stubborn/misspelt"]
    assert refused["Unheard stubborn/unheard"] == (
        "no API example.org/v1 Unheard here: add the CustomResourceDefinition that brings it"
    )

    began = time.monotonic()
    answered: list[str] = []
    silent = settle(kubeconfig, f"{plum.gateway}:{plum.port}", work.fronts, lambda front: answered.append(front.service))
    assert sorted(answered) == [
        "cluster-page/page-scraper",
        "edge-proxy/proxy-controller",
        "monitoring/dashboards",
        "notes/notes",
        "quiet/quiet",
        "stubborn/fine",
        "stubborn/twice",
    ], silent
    assert set(silent) == {"stubborn/invalid", "stubborn/nobody", "stubborn/nowhere"}
    assert silent["stubborn/invalid"] == "no workload has pods for Service invalid: the API server refused it"
    assert 'serviceaccount "missing" not found' in silent["stubborn/nobody"]
    assert "no node takes Pod stubborn/nowhere-" in silent["stubborn/nowhere"]
    assert "node affinity/selector" in silent["stubborn/nowhere"]
    assert time.monotonic() - began < COMING_SECONDS, "what cannot come was waited for"

    read = [
        KUBECTL,
        f"--kubeconfig={plum.kubeconfig}",
        "-n",
        "monitoring",
        "get",
        "matcher",
        "always",
        "-o",
        "jsonpath={.spec}",
    ]
    assert subprocess.run(read, capture_output=True, text=True, check=True).stdout == '{"matchType":"="}'
