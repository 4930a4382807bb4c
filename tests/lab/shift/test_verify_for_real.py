"""`verify` on real gateways: what they answer by themselves is not taken for a service that works."""

from __future__ import annotations

from typing import Any

from tests.lab.support.kit import LabCluster, deployment, eventually
from tests.lab.support.shifting import MENDED, Project

BROKEN = {"lab.bluegreen.io/errors": "1.0"}
GREETING = {"directResponse": {"status": 200, "body": {"string": "hello"}}}


def product(cluster: LabCluster, namespace: str) -> None:
    """Port 80 sends everybody to https, every pod answers 500; another route is answered by the gateway alone."""
    secure = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "secure", "namespace": namespace},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [
                {
                    "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                    "hosts": [f"web.{namespace}.test"],
                    "tls": {"httpsRedirect": True},
                }
            ],
        },
    }
    to_web = {"route": [{"destination": {"host": "web", "port": {"number": 80}}}]}
    cluster.api.apply(
        secure,
        *deployment(namespace, "web", 2, BROKEN),
        route(namespace, "web", "secure", to_web),
        route(namespace, "greeting", "istio-system/public", GREETING),
    )
    eventually(lambda: len(cluster.ready_pods(namespace, "web")) == 2, "two pods of web ready")
    eventually(lambda: cluster.send(f"web.{namespace}.test").status == 301, "the redirect")
    eventually(lambda: cluster.send(f"greeting.{namespace}.test").text == "hello", "the greeting")


def route(namespace: str, name: str, gateway: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [f"{name}.{namespace}.test"], "gateways": [gateway], "http": [rule]},
    }


def test_two_gateways_that_answer_alike_are_no_proof_of_what_is_behind_them(project: Project) -> None:
    web, greeting = f"{project.namespace}/web", f"{project.namespace}/greeting"
    for cluster in (project.plum, project.fern):
        product(cluster, project.namespace)
    seen = {v["service"]: v for v in project.run("verify", web, greeting, code=3)["verdicts"]}
    assert {name: (v["ok"], v["outcome"], v["green_status"]) for name, v in seen.items()} == {
        web: (False, "not verified", 301),
        greeting: (False, "not verified", 200),
    }
    project.configure(services={web: {"check": {"status": 301}}})
    assert project.run("verify", web)["verdicts"][0]["ok"]  # a person has said so
    project.configure()

    project.run("enroll", "--yes", web)
    eventually(lambda: project.split(web) == (0, 0), "the probe of web at 0")
    (broken,) = project.run("verify", "--patience", "1", web, code=3)["verdicts"]
    assert broken["outcome"] == "failed"
    assert "green answers 500" in " ".join(broken["problems"])
    _, told = project.ended(project.begin("shift"), 3)  # the plan alone
    assert f"warning: {web}: failed when it was verified" in told
    assert f"warning: {project.good}: never verified" in told

    project.fern.annotate_pods(project.namespace, "web", MENDED)
    assert project.run("verify", web)["verdicts"][0]["ok"]
    _, told = project.ended(project.begin("shift"), 3)
    assert f"warning: {web}" not in told
