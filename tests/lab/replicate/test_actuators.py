"""Actuators and consumers as their charts install them do not run on green unasked, start by the answer and stop by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from migration.clients.kubernetes import Kubernetes
from migration.model import Finding
from migration.objects.classes import Answer
from migration.preflight.run import preflight
from migration.replicate.apply import Applied
from migration.settings.choices import Choices, Selection
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import WRITES, Bare, await_object, on, replicate

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

NAMESPACES = ("outside", "outside-shop")
ROLE = "arn:aws:iam::111122223333:role/plum-operator"


def workload(name: str, image: str, more: str, kind: str = "Deployment", namespace: str = "outside", replicas: int = 1) -> str:
    service = f"serviceName: {name}, " if kind == "StatefulSet" else ""
    return f"""
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {{{service}replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}},
   template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: {name}, image: "{image}", {more}}}]}}}}}}
---"""


# images, commands and arguments as in the programs' own charts
OBJECTS = "".join(
    (
        workload(
            "external-dns",
            "registry.k8s.io/external-dns/external-dns:v0.19.0",
            "args: [--source=service, --source=ingress, --policy=sync, --registry=txt, --txt-owner-id=plum, --provider=aws]",
        ),
        workload(
            "karpenter",
            "public.ecr.aws/karpenter/controller:1.6.0",
            "env: [{name: KARPENTER_SERVICE, value: karpenter}, {name: CLUSTER_NAME, value: plum}, "
            "{name: INTERRUPTION_QUEUE, value: plum}]",
            replicas=2,
        ),
        workload(
            "argocd-application-controller",
            "quay.io/argoproj/argocd:v3.1.0",
            "args: [/usr/local/bin/argocd-application-controller, --metrics-port=8082]",
            kind="StatefulSet",
        ),
        workload("kustomize-controller", "ghcr.io/fluxcd/kustomize-controller:v1.6.1", "args: [--watch-all-namespaces=true]"),
        workload("velero", "velero/velero:v1.16.1", "command: [/velero], args: [server, --uploader-type=kopia]"),
        workload("crossplane", "xpkg.crossplane.io/crossplane/crossplane:v2.0.2", "args: [core, start]"),
        workload(
            "ack-s3-controller",
            "public.ecr.aws/aws-controllers-k8s/s3-controller:1.0.34",
            'command: [./bin/controller], args: [--aws-region, "$(AWS_REGION)", --deletion-policy, delete]',
        ),
        workload(
            "external-secrets",
            "oci.external-secrets.io/external-secrets/external-secrets:v0.19.2",
            "args: [--concurrent=1, --metrics-addr=:8080, --loglevel=info]",
        ),
        workload(
            "cluster-autoscaler",
            "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.0",
            "command: [./cluster-autoscaler, --cloud-provider=aws, "
            "--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled]",
            namespace="kube-system",
        ).replace("spec: {containers", "spec: {serviceAccountName: outside-autoscaler, containers"),
        workload("operator", "registry.example.com/operator:7", "args: [run]").replace(
            "spec: {containers", "spec: {serviceAccountName: operator, containers"
        ),
        workload(
            "orders",
            "registry.example.com/orders:1",
            'env: [{name: QUEUE_URL, value: "https://sqs.eu-central-1.amazonaws.com/111122223333/orders"}]',
            namespace="outside-shop",
            replicas=3,
        ),
        workload(
            "mailer",
            "registry.example.com/shop:1",
            "command: [java, -jar, mailer.jar], args: ['--bootstrap-servers=kafka:9092', '--consumer-group=mailer']",
            namespace="outside-shop",
        ),
        workload(
            "web", "registry.example.com/shop:1", "env: [{name: REDIS_ADDR, value: 'redis:6379'}]", namespace="outside-shop"
        ),
    )
)
AGENT = f"""
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: node-agent, namespace: outside}}
spec:
  selector: {{matchLabels: {{app: node-agent}}}}
  template:
    metadata: {{labels: {{app: node-agent}}}}
    spec: {{containers: [{{name: agent, image: "velero/velero:v1.16.1", command: [/velero], args: [node-agent, server]}}]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: operator, namespace: outside, annotations: {{eks.amazonaws.com/role-arn: "{ROLE}"}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: outside-autoscaler, namespace: kube-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: outside-autoscaler}}
rules: [{{apiGroups: [""], resources: [nodes], verbs: [get, list, watch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: outside-autoscaler}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: outside-autoscaler}}
subjects: [{{kind: ServiceAccount, name: outside-autoscaler, namespace: kube-system}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: mailer, namespace: outside-shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: mailer}}
  minReplicas: 2
  maxReplicas: 8
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 60}}}}}}]
"""
CLUSTER_WIDE = (
    "deployment/cluster-autoscaler",
    "serviceaccount/outside-autoscaler",
    "clusterrole/outside-autoscaler",
    "clusterrolebinding/outside-autoscaler",
)
SCALED = {
    **{
        f"Deployment outside/{name}": 1
        for name in (
            "external-dns",
            "kustomize-controller",
            "velero",
            "crossplane",
            "ack-s3-controller",
            "external-secrets",
            "operator",
        )
    },
    "Deployment outside/karpenter": 2,
    "StatefulSet outside/argocd-application-controller": 1,
    "Deployment kube-system/cluster-autoscaler": 1,
    "Deployment outside-shop/orders": 3,
    "Deployment outside-shop/mailer": 2,
}
ASKED = {*SCALED, "DaemonSet outside/node-agent"}
CONSUMERS = {"Deployment outside-shop/orders", "Deployment outside-shop/mailer"}


@pytest.fixture
def outside(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    blue = pair[0]
    try:
        for name in NAMESPACES:
            blue.kubectl("create", "namespace", name)
        blue.kubectl("apply", "-f", "-", given=OBJECTS + AGENT)
        wait_for(lambda: pods(blue, "outside", "operator"), "the operator's pod")
        holder = f"{pods(blue, 'outside', 'operator')[0]}_7d3a7c4e-3c55-4a57-8d54-6c9f0c1b7f1a"
        lease = f"""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: 5f1c.example.com, namespace: outside}}
spec: {{holderIdentity: "{holder}", leaseDurationSeconds: 15}}
"""
        blue.kubectl("apply", "-f", "-", given=lease)
        wait_for(lambda: replicas(blue, "Deployment outside-shop/mailer") == 2, "its HPA to raise the mailer on blue")
        yield pair
    finally:
        remove_namespaces(pair, *NAMESPACES)
        for plane in pair:
            plane.kubectl("delete", "-n", "kube-system", *CLUSTER_WIDE, "--ignore-not-found")


def wait_for(true: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def pods(plane: Bare, namespace: str, app: str = "") -> list[str]:
    told = plane.kubectl("get", "pods", "-n", namespace, *(("-l", f"app={app}") if app else ()), "-o", "name")
    return [line.removeprefix("pod/") for line in told.split()]


def replicas(plane: Bare, name: str) -> int:
    kind, _, path = name.partition(" ")
    namespace, _, of = path.partition("/")
    found: int = on(plane, kind.lower(), of, "-n", namespace)["spec"]["replicas"]
    return found


def choices(answers: Mapping[str, Answer]) -> Choices:
    return Choices(include=Selection(namespaces=(*NAMESPACES, "kube-system")), answers=answers)


def act(pair: tuple[Bare, Bare], answer: Answer | None) -> tuple[Applied, int, set[str]]:
    """Replicates with this answer for all; what was done, how many requests wrote, what of these is not answered."""
    made, done, writes = replicate(pair, choices=choices(dict.fromkeys(ASKED, answer) if answer else {}))
    assert (done.failures, done.conflicts) == ([], [])
    return done, sum(writes[verb] for verb in WRITES), {name for name, _ in made.unanswered()} & ASKED


def found_by_preflight(pair: tuple[Bare, Bare], answers: Mapping[str, Answer]) -> dict[str, Finding]:
    async def look() -> list[Finding]:
        async with (
            Kubernetes.from_kubeconfig(pair[0].kubeconfig, name="plum") as blue,
            Kubernetes.from_kubeconfig(pair[1].kubeconfig, name="fern") as green,
        ):
            return await preflight(blue, green, choices=choices(answers))

    return {f.object: f for f in asyncio.run(look()) if f.code in ("BG504", "BG505") and f.object in ASKED}


def running(green: Bare) -> list[str]:
    return [pod for namespace in (*NAMESPACES, "kube-system") for pod in pods(green, namespace) if not pod.startswith("web-")]


def test_actuators_run_on_green_only_while_they_are_answered_start(outside: tuple[Bare, Bare]) -> None:
    green = outside[1]
    findings = found_by_preflight(outside, {})
    assert set(findings) == ASKED
    for name, finding in findings.items():
        assert (finding.severity, finding.code) == ("blocking", "BG505" if name in CONSUMERS else "BG504")
        assert f"{name}: hold  # or start | skip" in finding.remedy
    assert ROLE in findings["Deployment outside/operator"].evidence
    assert "Lease outside/5f1c.example.com" in findings["Deployment outside/operator"].evidence

    first, _, unanswered = act(outside, None)
    assert unanswered == ASKED
    await_object(green, "pods", "-n", "outside-shop", "-l", "app=web")  # green's controllers have been at work
    assert running(green) == []
    there = SCALED.keys() - {"Deployment kube-system/cluster-autoscaler"}
    assert {name: replicas(green, name) for name in there} == dict.fromkeys(there, 0)
    second, writes, _ = act(outside, None)
    assert (writes, str(second.verdict())) == (0, str(first.verdict()))

    for answer, wanted in ((Answer.HOLD, dict.fromkeys(SCALED, 0)), (Answer.START, SCALED)):
        first, _, unanswered = act(outside, answer)
        assert unanswered == set()
        assert {name: replicas(green, name) for name in SCALED} == wanted
        if answer is Answer.HOLD:
            assert running(green) == []
        second, writes, _ = act(outside, answer)
        assert (writes, str(second.verdict())) == (0, str(first.verdict()))
        assert found_by_preflight(outside, dict.fromkeys(ASKED, answer)) == {}
    wait_for(lambda: len(running(green)) == sum(SCALED.values()), "all of them to start on green")
    account = on(green, "deployment", "cluster-autoscaler", "-n", "kube-system")["spec"]["template"]["spec"][
        "serviceAccountName"
    ]
    assert on(green, "serviceaccount", account, "-n", "kube-system")["metadata"]["name"] == "outside-autoscaler"
    assert on(green, "clusterrolebinding", "outside-autoscaler")["roleRef"]["name"] == "outside-autoscaler"

    green.kubectl("patch", "hpa", "mailer", "-n", "outside-shop", "-p", '{"spec": {"minReplicas": 4}}')
    wait_for(lambda: replicas(green, "Deployment outside-shop/mailer") == 4, "green's HPA to raise the mailer")
    green.kubectl("patch", "hpa", "mailer", "-n", "outside-shop", "-p", '{"spec": {"minReplicas": 2}}')
    act(outside, Answer.HOLD)
    assert {name: replicas(green, name) for name in SCALED} == dict.fromkeys(SCALED, 0)
    wait_for(lambda: running(green) == [], "all of them to stop on green")
    assert act(outside, Answer.HOLD)[1] == 0
