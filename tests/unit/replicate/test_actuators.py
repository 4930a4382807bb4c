"""What acts outside its cluster is told by what it runs or by role and lease, and does not run on green unasked."""

from __future__ import annotations

from typing import Any

import pytest

from migration.errors import Forbidden
from migration.objects.classes import Action, Answer, Class
from migration.objects.kinds import Resource
from migration.ownership.catalogue import CATALOGUE
from migration.replicate.transform import transform
from tests.unit.replicate.judged import bundle, deployment_pod, findings, one, owned, verdicts, workload

ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/acts"}
NAME = "Deployment platform/x"


def acts(obj: dict[str, Any], *others: dict[str, Any]) -> bool:
    """Whether it is held back as an actuator until somebody says something."""
    name = f"{obj['kind']} platform/x"
    verdict = verdicts([obj, *others])[name]
    if verdict.cls is not Class.ACTUATOR:
        assert verdict.action is Action.COPY
        return False
    assert (verdict.required, verdict.unanswered) == (True, True)
    assert verdict.answers == (Answer.HOLD, Answer.START, Answer.SKIP)
    assert verdict.add(name) == f"{name}: hold  # or start | skip"
    return True


# -- the catalogue -----------------------------------------------------------------------------------------------------

IMAGES = [
    "registry.k8s.io/external-dns/external-dns:v0.19.0",
    "docker.io/bitnami/external-dns:0.14.2-debian-12-r4",
    "bitnamilegacy/external-dns",
    "111122223333.dkr.ecr.eu-central-1.amazonaws.com/mirror/registry.k8s.io/external-dns/external-dns@sha256:0123",
    "registry.corp:5000/platform/external-dns-arm64:v1",
    "harbor.corp/mirror/registry.k8s.io-external-dns-external-dns:v0.15.0",
    "localhost:5000/external-dns",
    "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.0",
    "k8s.gcr.io/cluster-autoscaler-amd64:v1.18",
    "public.ecr.aws/karpenter/controller:1.6.0",
    "quay.io/corp/karpenter-controller:1",
    "public.ecr.aws/eks/aws-load-balancer-controller:v2.13.0",
    "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon/aws-load-balancer-controller:v2.4.0",
    "docker.io/amazon/aws-alb-ingress-controller:v1.1.8",
    "ghcr.io/fluxcd/kustomize-controller:v1.6.0",
    "ghcr.io/fluxcd/helm-controller:v1.3.0",
    "ghcr.io/fluxcd/image-automation-controller:v0.41.0",
    "ghcr.io/fluxcd/notification-controller:v1.6.0",
    "velero/velero:v1.16.1",
    "docker.io/velero/velero@sha256:4567",
    "xpkg.crossplane.io/crossplane/crossplane:v2.0.2",
    "xpkg.upbound.io/upbound/provider-aws-s3:v1.21.0",
    "public.ecr.aws/aws-controllers-k8s/s3-controller:1.0.34",
    "mirror.corp/ack/ack-rds-controller:1.4",
    "oci.external-secrets.io/external-secrets/external-secrets:v0.19.2",
    "ghcr.io/external-secrets/external-secrets:v0.9.20-ubi",
    "quay.io/argoprojlabs/argocd-image-updater:v0.16.0",
    "docker.io/oamdev/vela-core:v1.10.3",
    "hashicorp/hcp-terraform-operator:2.9.0",
    "ghcr.io/flux-iac/tofu-controller:v0.16.0",
    "pulumi/pulumi-kubernetes-operator:v2.2.0",
    "registry.k8s.io/cluster-api/cluster-api-controller:v1.10.4",
    "registry.k8s.io/cluster-api-aws/cluster-api-aws-controller:v2.8.4",
    "gcr.io/gke-release/cnrm/manager:1.132.0",
    "cloudflare/cloudflared:2025.8.0",
    "ngrok/ngrok-operator:0.18.1",
    "tailscale/k8s-operator:v1.86.2",
    "ghcr.io/actions/gha-runner-scale-set-controller:0.12.1",
    "summerwind/actions-runner-controller:v0.27.6",
    "gitlab/gitlab-runner:alpine-v18.2.0",
    "ghcr.io/runatlantis/atlantis:v0.35.0",
    "ghcr.io/renovatebot/renovate:41",
    "jenkins/jenkins:2.516.1-jdk21",
    "ghcr.io/buildkite/agent-stack-k8s/controller:0.29.0",
    "drone/drone-runner-kube:latest",
    "cloudcustodian/c7n:latest",
    "registry.k8s.io/kops/dns-controller:1.33.0",
    "us-docker.pkg.dev/spotit-today/container-labs/spotinst-kubernetes-controller:2.0",
    "registry.gitlab.com/gitlab-org/cluster-integration/gitlab-agent/agentk:v18.2",
    "atlassian/escalator:1.13",
    "harbor.corp/mirror/docker.io-jenkins-jenkins:2.516",
    "keelhq/keel:0.20",
    "drone/drone:2",
    "concourse/concourse:7.13",
    "public.ecr.aws/gravitational/teleport-distroless:18",
]


# The last part of their path is a word that a shop may use for its own
ORDINARY = ["jenkins", "drone", "atlantis", "keel", "concourse", "teleport", "renovate", "escalator"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_actuator_is_recognized_by_its_image_whatever_registry_tag_or_digest(image: str) -> None:
    assert acts(workload(image))


@pytest.mark.parametrize(
    "given",
    [
        {"image": "quay.io/argoproj/argocd:v3.1.0", "command": ["/usr/local/bin/argocd-application-controller"]},
        {"image": "corp/argocd:1", "args": ["/usr/local/bin/argocd-application-controller", "--redis=r:6379"]},
        {"image": "corp/argocd:1", "args": ["tini", "--", "argocd-applicationset-controller"]},
        {"image": "corp/argocd:1", "labels": {"app.kubernetes.io/component": "application-controller"}},
        {"args": ["--source=service", "--policy=sync", "--txt-owner-id=plum"]},
        {"args": ["--txt-owner-id", "plum"]},
        {"env": {"EXTERNAL_DNS_TXT_OWNER_ID": "plum"}},
        {"command": ["sh", "-c", "set -e; exec /opt/bin/external-dns --policy=sync"]},
        {"command": ["/bin/sh", "-c"], "args": ["sleep 5 && ./cluster-autoscaler --cloud-provider=aws"]},
        {"command": ["./cluster-autoscaler", "--cloud-provider=aws", "--node-group-auto-discovery=asg:tag=a"]},
        {"command": ["/velero"], "args": ["server", "--features="]},
        {"command": ["./bin/controller"], "args": ["--aws-region", "$(AWS_REGION)"], "env": {"ACK_WATCH_NAMESPACE": ""}},
        {"image": "corp/controller:1", "env": {"KARPENTER_SERVICE": "karpenter", "CLUSTER_NAME": "plum"}},
        {"args": ["tunnel", "run"], "env": [{"name": "TUNNEL_TOKEN", "valueFrom": {"secretKeyRef": {"name": "t"}}}]},
        {
            "args": ["--source=service", "--source=ingress", "--provider=aws", "--policy=sync", "--registry=noop"],
            "image": "corp/x@sha256:01",
        },
        {"args": ["--cloud-provider=aws", "--nodes=1:10:plum-ng", "--expander=least-waste"], "image": "corp/scaler:1"},
        {"args": ["--cloud-provider=aws", "--expander=least-waste"], "image": "corp/scaler:1"},
        {
            "args": ["--aws-region", "eu-central-1", "--watch-namespace", "", "--deletion-policy", "delete"],
            "image": "corp/c@sha256:01",
        },
        {"args": ["--cluster-name=plum", "--ingress-class=alb"], "image": "corp/lb@sha256:01"},
        {"args": ["--nodegroups=/opt/conf/nodegroups.yaml", "--cloud-provider=aws"], "image": "corp/e@sha256:01"},
        {"command": ["consul-k8s-control-plane", "sync-catalog"], "image": "hashicorp/consul-k8s-control-plane:1"},
        {"command": ["/bin/sh", "-ec", "exec consul-k8s-control-plane sync-catalog \\\n -log-level=info"], "image": "corp/c:1"},
        {"args": ["-config.file=/etc/loki/config.yaml", "-target=compactor"], "image": "grafana/loki:3"},
        {"args": ["-config.file=/etc/loki/config.yaml", "-target=backend"], "image": "grafana/loki:3"},
        {"args": ["-target=compactor", "-config.file=/etc/mimir/mimir.yaml"], "image": "corp/mirror@sha256:01"},
        {"args": ["compact", "--wait", "--objstore.config-file=/etc/a.yaml"], "image": "quay.io/thanos/thanos:v0.39"},
        {"args": ["compact", "--wait", "--objstore.config=$(A)"], "image": "corp/m@sha256:01"},
        {"args": ["--aws-verify-target-group"], "image": "quay.io/argoproj/argo-rollouts:v1.8"},
        {"image": "corp/shop/jenkins:1", "volumeMounts": [{"name": "home", "mountPath": "/var/jenkins_home"}]},
        {"image": "corp/mirror/drone:2", "env": {"DRONE_SERVER_HOST": "a"}},
        {"image": "corp/mirror/atlantis:2", "args": ["server", "--repo-allowlist=github.com/a/*"]},
        {"image": "corp/mirror/keel:1", "env": {"HELM_PROVIDER": "1"}},
        {"image": "corp/mirror/concourse:1", "env": {"CONCOURSE_EXTERNAL_URL": "a"}},
        {"env": {"QUEUE_URL": "https://sqs.x"}, "image": "public.ecr.aws/aws-ec2/aws-node-termination-handler"},
    ],
    ids=lambda given: " ".join(str(v) for v in given.values())[:60],
)  # fmt: skip
def test_an_actuator_is_recognized_by_its_command_arguments_and_variables(given: dict[str, Any]) -> None:
    assert acts(workload(**given))


@pytest.mark.parametrize(
    "given",
    [
        {"image": "quay.io/argoproj/argocd:v3.1.0", "command": ["/usr/local/bin/argocd-server"]},
        {"image": "quay.io/argoproj/argocd:v3.1.0", "args": ["/usr/local/bin/argocd-repo-server", "--port=8081"]},
        {"image": "ghcr.io/external-secrets/external-secrets:v0.19.2", "args": ["webhook", "--port=10250"]},
        {"image": "ghcr.io/external-secrets/external-secrets:v0.19.2", "args": ["certcontroller", "--crd-requeue-interval=5m"]},
        {"image": "xpkg.crossplane.io/crossplane/crossplane:v2.0.2", "args": ["rbac", "start"]},
        {"image": "xpkg.crossplane.io/crossplane-contrib/function-auto-ready:v0.5"},
        {"image": "ghcr.io/fluxcd/source-controller:v1.6.0"},
        {"image": "quay.io/jetstack/cert-manager-controller:v1.18", "args": ["--acme-http01-solver-image=x/acmesolver"]},
        {"image": "quay.io/jetstack/cert-manager-webhook:v1.18"},
        {"image": "registry.k8s.io/cpa/cluster-proportional-autoscaler:v1.9.0"},
        {"image": "external-dns.corp.example/shop/web:1"},
        {"image": "xpkg.crossplane.io/shop/web:1"},
        {"image": "otwld/velero-ui:0.8"},
        {"image": "registry.k8s.io/metrics-server/metrics-server:v0.8", "args": ["--secure-port=10250"]},
        {"image": "registry.k8s.io/ingress-nginx/controller:v1.13"},
        {"image": "ghcr.io/kubereboot/kured:1.19"},
        {"image": "registry.k8s.io/descheduler/descheduler:v0.33.0"},
        {"image": "stefanprodan/podinfo:6.9", "command": ["./podinfo", "--port=9898", "--level=info"]},
        *({"image": f"registry.corp/shop/{word}:1", "env": {"LOG_LEVEL": "info"}} for word in ORDINARY),
        {"args": ["--source=orders", "--provider=stripe"]},
        {"args": ["--source=service"]},
        {"args": ["--cloud-provider=aws"]},
        {"args": ["--aws-region", "eu-central-1"]},
        {"args": ["-target=querier", "-config.file=/etc/loki/config.yaml"], "image": "grafana/loki:3"},
        {"args": ["-target=backend"]},
        {"args": ["query", "--store=a:10901"], "image": "quay.io/thanos/thanos:v0.39"},
        {"command": ["consul-k8s-control-plane", "inject-connect"], "image": "hashicorp/consul-k8s-control-plane:1"},
        {"args": ["--loglevel=info"], "image": "quay.io/argoproj/argo-rollouts:v1.8"},
        {"image": "corp/dns-check:1", "args": ["--target", "external-dns"]},
        {"pod": {"initContainers": [{"name": "tool", "image": "velero/velero:v1.16.1", "command": ["cp", "a", "b"]}]}},
    ],
    ids=lambda given: " ".join(str(v) for v in given.values())[:60],
)  # fmt: skip
def test_what_is_named_alike_or_acts_in_its_own_cluster_comes_along(given: dict[str, Any]) -> None:
    assert not acts(workload(**given))


@pytest.mark.parametrize(
    ("group", "resource"),
    [
        ("s3.services.k8s.aws", "buckets/status"),
        ("karpenter.sh", "nodeclaims/status"),
        ("external-secrets.io", "pushsecrets/status"),
        ("kustomize.toolkit.fluxcd.io", "kustomizations/status"),
        ("externaldns.k8s.io", "dnsendpoints/status"),
    ],
)
def test_an_actuator_is_recognized_by_the_kinds_whose_status_it_may_write(group: str, resource: str) -> None:
    obj = workload("corp/operator:7", pod={"serviceAccountName": "acts"})
    role = one("ClusterRole", "r", "", rules=[{"apiGroups": [group], "resources": [resource], "verbs": ["get", "patch"]}])
    subject = {"kind": "ServiceAccount", "name": "acts", "namespace": "platform"}
    bound = one("ClusterRoleBinding", "b", "", roleRef={"kind": "ClusterRole", "name": "r"}, subjects=[subject])
    assert acts(obj, role, bound)
    role["rules"][0]["verbs"] = ["get", "list", "watch"]
    assert not acts(obj, role, bound), "who only reads it is not its controller"
    role["rules"] = [{"apiGroups": ["*"], "resources": ["*", "*/status"], "verbs": ["*"]}]
    assert not acts(obj, role, bound), "who may do everything is not the controller of everything"


def test_cert_manager_acts_where_an_issuer_proves_names_in_dns() -> None:
    obj = workload(
        "quay.io/jetstack/cert-manager-controller:v1.18.2", args=["--acme-http01-solver-image=x/cert-manager-acmesolver"]
    )
    solvers: list[dict[str, Any]] = [{"http01": {}}]
    issuer = one("ClusterIssuer", "le", "", spec={"acme": {"solvers": solvers}})
    assert not acts(obj, issuer)
    solvers.append({"dns01": {"route53": {"region": "eu-central-1"}}})
    assert acts(obj, issuer)


def test_a_second_sign_of_an_ordinary_word_may_come_from_a_config_map_or_a_secret() -> None:
    settings = one("ConfigMap", "s", data={"DRONE_SERVER_HOST": "a"})
    secret = one("Secret", "s", data={"DRONE_GITHUB_CLIENT_ID": "YQ=="})
    for kind, obj in (("configMapRef", settings), ("secretRef", secret)):
        assert acts(workload("corp/mirror/drone:2", envFrom=[{kind: {"name": "s"}}]), obj)
        assert not acts(workload("corp/shop/keel:2", envFrom=[{kind: {"name": "s"}}]), obj)


@pytest.mark.parametrize("args", [[], ["-target=all"]])
@pytest.mark.parametrize("image", ["grafana/loki:3", "grafana/tempo:2", "mirror.corp/mimir:2"])
def test_what_compacts_as_a_whole_acts_where_its_data_is_in_a_bucket(image: str, args: list[str]) -> None:
    pod = {"volumes": [{"name": "c", "configMap": {"name": "c"}}]}
    bucket = one("ConfigMap", "c", data={"config.yaml": "storage:\n  s3:\n    bucketnames: logs\n"})
    disk = one("ConfigMap", "c", data={"config.yaml": "storage:\n  filesystem:\n    directory: /var/loki\n"})
    assert acts(workload(image, args=args, pod=pod), bucket)
    assert not acts(workload(image, args=args, pod=pod), disk)
    assert not acts(workload(image, args=["-target=read"], pod=pod), bucket)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout"])
def test_what_has_replicas_comes_at_zero_unless_it_is_answered_otherwise(kind: str) -> None:
    obj = workload("velero/velero", kind=kind)
    name = f"{kind} platform/x"
    for answer, action in ((None, Action.STOP), ("hold", Action.STOP), ("start", Action.COPY), ("skip", Action.LEAVE)):
        made = bundle([obj], answers={name: answer} if answer else {})
        verdict = {item.name: item.verdict for item in (*made.items, *made.left)}[name]
        assert (verdict.action, verdict.unanswered) == (action, answer is None)
        (written,) = transform(made).items or (None,)
        if action is Action.STOP:
            assert written is not None
            assert (written.obj["spec"]["replicas"], written.obj["metadata"]["annotations"]["bluegreen.io/replicas"]) == (
                0,
                "2",
            )
        elif action is Action.COPY:
            assert written is not None
            assert (written.obj["spec"]["replicas"], written.obj["metadata"].get("annotations")) == (2, None)


@pytest.mark.parametrize("kind", ["DaemonSet", "Pod"])
def test_what_has_no_replicas_is_left_out_until_it_is_to_start(kind: str) -> None:
    obj = workload("velero/velero", kind=kind, command=["/velero"], args=["node-agent", "server"])
    name = f"{kind} platform/x"
    assert acts(obj)
    found = {answer: verdicts([obj], answers={name: answer})[name] for answer in ("hold", "start", "skip")}
    assert {k: v.action for k, v in found.items()} == {"hold": Action.LEAVE, "start": Action.COPY, "skip": Action.LEAVE}
    assert not any(verdict.unanswered for verdict in found.values())


def test_a_rollout_is_recognized_by_the_template_of_its_deployment() -> None:
    template = workload("velero/velero", name="real", replicas=0)
    rollout = one("Rollout", "x", spec={"replicas": 3, "workloadRef": {"kind": "Deployment", "name": "real"}})
    assert acts(rollout, template)


def test_a_sidecar_acts_as_well() -> None:
    sidecar = {"name": "tunnel", "image": "cloudflare/cloudflared", "restartPolicy": "Always"}
    assert acts(workload(pod={"initContainers": [sidecar]}))


def test_the_jobs_of_an_actuator_are_suspended_as_all_schedules_are() -> None:
    template = workload("renovate/renovate")["spec"]["template"]
    job = one("CronJob", "x", spec={"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": template}}})
    assert verdicts([job])["CronJob platform/x"].action is Action.SUSPEND


def test_preflight_names_it_as_blocking_with_the_line_to_add() -> None:
    (found,) = [f for f in findings([workload("velero/velero")]) if f.code == "BG504"]
    assert (found.severity, found.object) == ("blocking", NAME)
    assert found.remedy == f"add to `replicate.answers` in migration.yaml: {NAME}: hold  # or start | skip"
    assert "Velero" in found.evidence
    assert "backup storage" in found.evidence
    assert [f for f in findings([workload("velero/velero")], answers={NAME: "hold"}) if f.code == "BG504"] == []


def test_every_row_of_the_catalogue_has_a_reason_with_its_signs() -> None:
    for row in CATALOGUE:
        assert len(row.reason) > 15, row.name
        assert row.images or row.programs or row.flags or row.env or row.groups, row.name
        assert bool(row.common) == bool(row.second), row.name


# -- role and lease ----------------------------------------------------------------------------------------------------

ACCOUNT = one("ServiceAccount", "acts", metadata={"annotations": ROLE})
CONTROLLER = workload("corp/controller:1", pod={"serviceAccountName": "acts"})


def lease(holder: str, namespace: str = "platform", name: str = "lock") -> dict[str, Any]:
    return one("Lease", name, namespace, spec={"holderIdentity": holder})


@pytest.mark.parametrize(
    "holder",
    [
        "x-5d9c7-abcde",
        "x-5d9c7-abcde_2f0c1a4e-8f1e-4c07-9f0c-6a1f0b7a6d11",
        "x-5d9c7-abcde-external-controller",
        "platform/x-5d9c7-abcde",
        "x-5d9c7-abcde.x.platform.svc.cluster.local_2f0c1a4e",
    ],
)
def test_a_leader_with_a_role_is_an_actuator(holder: str) -> None:
    assert acts(CONTROLLER, ACCOUNT, lease(holder), *deployment_pod())
    assert acts(CONTROLLER, ACCOUNT, lease(holder, "kube-system"), *deployment_pod()), "a lease of another namespace"


def test_the_reason_names_role_and_lease() -> None:
    found = verdicts([CONTROLLER, ACCOUNT, lease("x-5d9c7-abcde"), *deployment_pod()])[NAME]
    assert "arn:aws:iam::111122223333:role/acts" in found.reason
    assert "Lease platform/lock" in found.reason


def test_neither_a_role_nor_a_lease_alone_makes_an_actuator() -> None:
    assert not acts(CONTROLLER, ACCOUNT, *deployment_pod())
    assert not acts(CONTROLLER, lease("x-5d9c7-abcde"), *deployment_pod())
    other = workload(name="y", pod={"serviceAccountName": "acts"})
    found = verdicts([other, CONTROLLER, ACCOUNT, lease("x-5d9c7-abcde"), *deployment_pod()])
    assert found["Deployment platform/y"].cls is Class.PLAIN, "another workload of the same account does not lead"


def test_a_stateful_set_leads_by_its_pod() -> None:
    obj = workload(kind="StatefulSet", pod={"serviceAccountName": "acts"})
    assert acts(obj, ACCOUNT, lease("x-0"), owned("Pod", "x-0", "platform", ("StatefulSet", "x"), spec={}))


def test_a_pod_whose_name_is_longer_than_a_host_name_is_found() -> None:
    long = "a-controller-of-a-name-that-is-too-long-for-the-name-of-a-host-in-linux"
    obj = workload(name=long, pod={"serviceAccountName": "acts"})
    found = verdicts([obj, ACCOUNT, lease(f"{long[:63]}_2f0c"), *deployment_pod(long)])
    assert found[f"Deployment platform/{long}"].cls is Class.ACTUATOR


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "a", "env": [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1"}]}]},
        {"containers": [], "volumes": [{"name": "eks-pod-identity-token", "projected": {"sources": []}}]},
    ],
    ids=["variable", "volume"],
)  # fmt: skip
def test_pod_identity_shows_in_the_pod_that_leads(spec: dict[str, Any]) -> None:
    assert acts(CONTROLLER, lease("x-5d9c7-abcde_1"), *deployment_pod(serviceAccountName="acts", **spec))


def test_pod_identity_shows_as_an_association() -> None:
    link = one(
        "PodIdentityAssociation", "l", "ack", spec={"namespace": "platform", "serviceAccount": "acts", "roleARN": "arn:r"}
    )
    found = verdicts([CONTROLLER, link, lease("x-5d9c7-abcde"), *deployment_pod()])[NAME]
    assert (found.cls, "arn:r" in found.reason) == (Class.ACTUATOR, True)


@pytest.mark.parametrize(
    ("lock", "more"),
    [
        pytest.param(lease("2f0c1a4e-8f1e-4c07", name="x-leader"), {}, id="a UUID, and the lease bears its name"),
        pytest.param(lease("", name="x.example.com"), {}, id="released just now"),
        pytest.param(lease("abc", name="lock"), {"args": ["--leader-election-id=lock"]}, id="an identity of its own"),
        pytest.param(lease("ip-10-0-0-1.ec2.internal_2f", name="lock"), {"pod": {"hostNetwork": True}}, id="a node's name"),
    ],
)
def test_a_lease_that_no_pod_holds_is_taken_for_its_workloads(lock: dict[str, Any], more: dict[str, Any]) -> None:
    pod = {"serviceAccountName": "acts", **more.pop("pod", {})}
    node = lease("ip-10-0-0-1.ec2.internal", "kube-node-lease", "ip-10-0-0-1.ec2.internal")
    assert acts(workload("corp/controller:1", pod=pod, **more), ACCOUNT, lock, node, *deployment_pod())


def test_a_lease_without_a_known_holder_belongs_to_no_workload() -> None:
    assert not acts(CONTROLLER, ACCOUNT, lease("gone-1_2f", name="other"), *deployment_pod())


KEY = [{"name": "AWS_ACCESS_KEY_ID", "value": "a"}]
TOKEN = [{"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/token"}]


@pytest.mark.parametrize("env", [KEY, TOKEN], ids=["a key", "a token that its template names"])
@pytest.mark.parametrize("leads", ["y", "z"], ids=["its pod leads", "its pod does not lead"])
def test_credentials_of_one_template_are_not_those_of_its_account(env: list[dict[str, str]], leads: str) -> None:
    """`verdicts` asserts that preflight, which reads all pods, asks for no more."""
    one_with, other = workload(name="y", env=env), workload(name="z")
    pods = [*deployment_pod("y", containers=[{"name": "main", "env": env}]), *deployment_pod("z")]
    locks = [lease("z-5d9c7-abcde", name="a"), lease(f"{leads}-5d9c7-abcde", name="b")]
    found = verdicts([one_with, other, *pods, *locks])
    assert found["Deployment platform/z"].cls is Class.PLAIN
    assert found["Deployment platform/y"].cls is (Class.ACTUATOR if leads == "y" else Class.PLAIN)


def test_credentials_of_a_pod_that_does_not_lead_are_not_seen() -> None:
    put = [{"name": "main", "env": [{"name": "AWS_ROLE_ARN", "value": "arn"}]}]
    blue = [workload(name="y"), workload(), *deployment_pod("y", containers=put), *deployment_pod(), lease("x-5d9c7-abcde")]
    assert verdicts(blue)[NAME].cls is Class.PLAIN


@pytest.mark.parametrize(
    ("name", "of", "same"),
    [
        ("r", "lw-leader", False),
        ("lead", "lw-leader", False),
        ("leader", "lw-leader", False),
        ("controller", "shop-controller", False),
        ("shop", "shopping-leader", False),
        ("shop-operator-of-people", "operator", False),
        ("shop", "shop-leader", True),
        ("shop-operator", "shop.example.com", False),
        ("shop-operator", "corp.shop-operator.lock", True),
        ("cert-manager-controller", "cert-manager", True),
    ],
)
def test_a_lease_bears_a_workloads_name_by_whole_parts(name: str, of: str, same: bool) -> None:
    obj = workload(labels={"app": name}, pod={"serviceAccountName": "acts"})
    assert acts(obj, ACCOUNT, lease("2f0c1a4e", name=of)) is same


def test_a_lease_is_named_in_arguments_as_a_whole() -> None:
    obj = workload(args=["--leader-election-id=lock", "--listen=a-lw"], pod={"serviceAccountName": "acts"})
    assert acts(obj, ACCOUNT, lease("2f0c1a4e", name="lock"))
    assert not acts(obj, ACCOUNT, lease("2f0c1a4e", name="lw"))


def test_an_election_by_an_annotation_counts_as_a_lease() -> None:
    text = '{"holderIdentity":"x-5d9c7-abcde_1","leaseDurationSeconds":15}'
    lock = one("ConfigMap", "lock", metadata={"annotations": {"control-plane.alpha.kubernetes.io/leader": text}})
    assert acts(CONTROLLER, ACCOUNT, lock, *deployment_pod())


def test_leases_that_may_not_be_listed_are_reported_as_unread() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "Lease":
            raise Forbidden("leases is forbidden")

    assert bundle([CONTROLLER], trouble=trouble).unread == {"leases.coordination.k8s.io": "leases is forbidden"}


def test_a_leading_pod_that_may_not_be_read_is_reported_as_unread() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if (verb, resource.kind) == ("get", "Pod"):
            raise Forbidden("pods is forbidden")

    made = bundle([CONTROLLER, lease("x-5d9c7-abcde"), *deployment_pod()], trouble=trouble)
    assert made.unread == {"pods": "pods is forbidden"}


# -- what green brings, and the baseline's namespaces ------------------------------------------------------------------

DNS = "registry.k8s.io/external-dns/external-dns:v0.19.0"
BY_US = {"managedFields": [{"manager": "bluegreen-replicate", "operation": "Apply"}]}


def test_what_greens_baseline_runs_itself_stays_away_without_a_question() -> None:
    theirs = workload("mirror.corp/external-dns:v0.18", namespace="dns", name="dns")
    found = verdicts([workload(DNS)], [theirs])[NAME]
    assert (found.action, found.unanswered) == (Action.LEAVE, False)
    assert "green has its own, Deployment dns/dns" in found.reason
    same = verdicts([workload(DNS)], [workload(DNS)])[NAME]
    assert (same.action, same.unanswered) == (Action.LEAVE, False)
    assert verdicts([workload(DNS)], [workload(DNS)], {NAME: "hold"})[NAME].action is Action.LEAVE, "an old answer is no error"


def test_a_copy_of_ours_on_green_is_not_greens_own() -> None:
    found = verdicts([workload(DNS)], [workload(DNS, replicas=0, metadata=BY_US)])[NAME]
    assert (found.action, found.unanswered) == (Action.STOP, True)


def test_one_on_green_does_not_stand_for_two_on_blue() -> None:
    mine = [workload(DNS, args=["--txt-owner-id=a"]), workload(DNS, name="private", args=["--txt-owner-id=b"])]
    found = verdicts(mine, [workload(DNS)])
    assert not found[NAME].unanswered
    assert found["Deployment platform/private"].unanswered


def test_one_program_of_flux_on_green_does_not_stand_for_another() -> None:
    theirs = workload("ghcr.io/fluxcd/helm-controller:v1.3.0", name="helm")
    assert verdicts([workload("ghcr.io/fluxcd/kustomize-controller:v1.6.0")], [theirs])[NAME].unanswered


RELEASE = {"meta.helm.sh/release-name": "autoscaler", "meta.helm.sh/release-namespace": "kube-system"}
AUTOSCALER = "registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.0"
IN_SYSTEM = "Deployment kube-system/ca"


def autoscaler_in_kube_system(**more: Any) -> list[dict[str, Any]]:
    subject = {"kind": "ServiceAccount", "name": "ca", "namespace": "kube-system"}
    system = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "ca-settings", "key": "a"}}}]
    return [
        workload(AUTOSCALER, name="ca", namespace="kube-system", pod={"serviceAccountName": "ca"}, env=env, **more),
        one("ServiceAccount", "ca", "kube-system", metadata={"annotations": ROLE}),
        one("ClusterRole", "ca", "", rules=[]),
        one("ClusterRoleBinding", "ca", "", roleRef={"kind": "ClusterRole", "name": "ca"}, subjects=[subject]),
        one("Role", "ca", "kube-system", rules=[]),
        one("RoleBinding", "ca", "kube-system", roleRef={"kind": "Role", "name": "ca"}, subjects=[subject]),
        one("ClusterRole", "view", "", rules=[], metadata=system),
        one("ClusterRoleBinding", "ca-view", "", roleRef={"kind": "ClusterRole", "name": "view"}, subjects=[subject]),
        one("ConfigMap", "ca-settings", "kube-system"),
        one("ConfigMap", "coredns", "kube-system"),
        one("Service", "ca", "kube-system", spec={}, metadata={"annotations": RELEASE}),
        workload("registry.k8s.io/coredns:v1", name="coredns", namespace="kube-system"),
    ]


def test_an_actuator_in_kube_system_that_greens_baseline_lacks_waits_for_an_answer() -> None:
    found = verdicts(autoscaler_in_kube_system())
    assert (found[IN_SYSTEM].action, found[IN_SYSTEM].unanswered) == (Action.HOLD, True)
    assert found["Deployment kube-system/coredns"].cls is Class.BASELINE
    assert found["ServiceAccount kube-system/ca"].action is Action.LEAVE


@pytest.mark.parametrize(("answer", "action"), [("hold", Action.STOP), ("start", Action.COPY)])
def test_it_comes_with_all_that_it_needs(answer: str, action: Action) -> None:
    annotations = {"metadata": {"annotations": RELEASE}}
    found = verdicts(autoscaler_in_kube_system(**annotations), answers={IN_SYSTEM: answer})
    written = {name for name, verdict in found.items() if verdict.action in (Action.COPY, Action.STOP)}
    assert found[IN_SYSTEM].action is action
    assert written >= {
        IN_SYSTEM,
        "ServiceAccount kube-system/ca",
        "ClusterRole ca",
        "ClusterRoleBinding ca",
        "ClusterRoleBinding ca-view",
        "Role kube-system/ca",
        "RoleBinding kube-system/ca",
        "ConfigMap kube-system/ca-settings",
        "Service kube-system/ca",
    }
    assert not written & {"ConfigMap kube-system/coredns", "Deployment kube-system/coredns", "ClusterRole view"}


def test_definitions_that_green_does_not_serve_come_with_their_controller() -> None:
    image, subject = (
        "public.ecr.aws/karpenter/controller:1.6.0",
        {"kind": "ServiceAccount", "name": "k", "namespace": "kube-system"},
    )
    rule = {"apiGroups": ["karpenter.sh"], "resources": ["nodeclaims/status"], "verbs": ["patch"]}
    names = {"kind": "NodePool", "plural": "nodepools"}
    blue = [
        workload(image, name="ca", namespace="kube-system", pod={"serviceAccountName": "k"}),
        one("ServiceAccount", "k", "kube-system"),
        one("ClusterRole", "k", "", rules=[rule]),
        one("ClusterRoleBinding", "k", "", roleRef={"kind": "ClusterRole", "name": "k"}, subjects=[subject]),
        one("CustomResourceDefinition", "nodepools.karpenter.sh", "", spec={"group": "karpenter.sh", "names": names}),
    ]
    definition = "CustomResourceDefinition nodepools.karpenter.sh"
    assert verdicts(blue)[definition].action is Action.LEAVE
    assert verdicts(blue, answers={IN_SYSTEM: "start"})[definition].action is Action.COPY


def test_skipped_in_kube_system_nothing_of_it_comes() -> None:
    found = verdicts(autoscaler_in_kube_system(), answers={IN_SYSTEM: "skip"})
    assert not [name for name, v in found.items() if "kube-system" in name and v.action is not Action.LEAVE]


@pytest.mark.parametrize(
    "metadata",
    [
        {"managedFields": [{"manager": "eks"}]},
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "a"}},
        {"ownerReferences": [{"kind": "A", "name": "a", "uid": "u", "controller": True}]},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
    ids=["EKS", "Flux", "a controller", "going"],
)
def test_in_kube_system_what_another_tool_brings_stays_with_it(metadata: dict[str, Any]) -> None:
    found = verdicts(autoscaler_in_kube_system(metadata=metadata))[IN_SYSTEM]
    assert (found.action, found.unanswered) == (Action.LEAVE, False)


def test_in_kube_system_greens_own_is_the_baselines() -> None:
    theirs = workload("mirror/cluster-autoscaler:v1.36", name="other-name", namespace="kube-system")
    found = verdicts(autoscaler_in_kube_system(), [theirs])[IN_SYSTEM]
    assert (found.action, found.unanswered) == (Action.LEAVE, False)
