"""Routes of many shapes are enrolled, moved and unenrolled on real API servers: the original is back, equal as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import routing
from lab.client import LabClient
from tests.lab.support.kit import LabCluster, eventually
from tests.lab.support.shifting import Project

Rule = dict[str, Any]
ISTIOS = routing.registered()[0].resource


def to(host: str = "web", weight: int | None = None, **more: Any) -> Rule:
    return {"destination": {"host": host, "port": {"number": 80}}, **({} if weight is None else {"weight": weight}), **more}


HEADERS = {"request": {"set": {"x-a": "1"}, "remove": ["x-b"]}, "response": {"add": {"x-c": "2"}}}
SHAPES: dict[str, list[Rule]] = {
    "single": [{"route": [to()]}],
    "single-weighted": [{"route": [to(weight=100)]}],
    "single-odd-weight": [{"route": [to(weight=1)]}],
    "two": [{"route": [to(weight=80), to("web-v2", 20)]}],
    "two-one-silent": [{"route": [to(weight=100), to("web-v2")]}],
    "two-one-zero": [{"route": [to(weight=0), to("web-v2", 100)]}],
    "three": [{"route": [to(weight=1), to("web-v2", 1), to("web-v3", 1)]}],
    "same-host-twice": [{"route": [to(weight=50), to(weight=50, headers=HEADERS)]}],
    "subsets": [{"route": [{"destination": {"host": "web", "subset": "v1"}}]}],
    "no-port": [{"route": [{"destination": {"host": "web"}}]}],
    "far-host": [{"route": [to("web.other.svc.cluster.local")]}],
    "rewrite": [{"match": [{"uri": {"prefix": "/a"}}], "rewrite": {"uri": "/", "authority": "b.test"}, "route": [to()]}],
    "mirror": [{"route": [to()], "mirror": {"host": "shadow"}, "mirrorPercentage": {"value": 12.5}}],
    "mirrors": [{"route": [to()], "mirrors": [{"destination": {"host": "shadow"}, "percentage": {"value": 1}}]}],
    "redirect": [{"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/", "redirectCode": 308}}, {"route": [to()]}],
    "direct": [{"match": [{"uri": {"exact": "/up"}}], "directResponse": {"status": 200}}, {"route": [to()]}],
    "headers": [{"route": [to(headers=HEADERS)], "headers": HEADERS}],
    "retries": [{"route": [to()], "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"}, "timeout": "3s"}],
    "fault": [{"route": [to()], "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.1}}}}],
    "cors": [{"route": [to()], "corsPolicy": {"allowOrigins": [{"regex": ".*"}], "maxAge": "24h"}}],
    "many-rules": [
        {"name": name, "match": [{"headers": {"x-v": {"exact": name}}}, {"uri": {"regex": f"/{name}/.*"}}], "route": [to(name)]}
        for name in ("one", "two", "three")
    ],
}


@pytest.fixture
def shaped(
    tmp_path: Path, lab_client: LabClient, two_clusters: tuple[LabCluster, LabCluster], namespace: str
) -> Iterator[Project]:
    """Routes alone: what they lead to is not asked."""
    for cluster in two_clusters:
        for name, http in SHAPES.items():
            spec = {"hosts": [f"{name}.{namespace}.test"], "gateways": ["istio-system/public"], "http": http}
            metadata = {"name": name, "namespace": namespace}
            cluster.api.apply(
                {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
            )
    project = Project(tmp_path, lab_client, two_clusters, namespace)
    yield project
    project.close()


def test_the_original_is_back_after_unenroll_whatever_its_shape(shaped: Project) -> None:
    services = [f"{shaped.namespace}/{name}" for name in SHAPES]
    both = (shaped.plum, shaped.fern)

    def specs() -> list[str]:
        return [json.dumps(shaped.spec(cluster, service), sort_keys=True) for cluster in both for service in services]

    before = specs()
    assert sorted(shaped.run("enroll", "--yes", *services)["enrolled"]) == sorted(services)
    for cluster in both:
        assert all(routing.has_forward(cluster.api.get(shaped.path(service)) or {}) for service in services)
    for service in services:
        eventually(lambda s=service: shaped.split(s) == (0, 0), f"the probe of {service} at 0")
    assert sorted(shaped.run("unenroll", "--yes", *services)["unenrolled"]) == sorted(services)
    assert specs() == before
