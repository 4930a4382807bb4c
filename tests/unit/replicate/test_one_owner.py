"""What stands for something outside that can have one owner is not on green, and a person is told; fixed names and addresses
of blue's are left out of what comes.
"""

from __future__ import annotations

from typing import Any

import pytest

from migration.errors import ConfigError
from migration.model import Severity
from migration.objects.classes import Action, Answer, Class
from migration.objects.kinds import CRD
from migration.ownership.one_owner import KINDS, reason_of
from migration.views.plan import plan_lines
from migration.views.replicate import objects as planned_objects
from tests.fakes.judged import Green, findings, objects, one, verdicts

ARN = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop-prod/0f0f"


def binding(name: str = "web", api_version: str = "elbv2.k8s.aws/v1beta1", labels: Any = None, **spec: Any) -> dict[str, Any]:
    meta = {"labels": labels} if labels else {}
    return one(api_version, "TargetGroupBinding", name, metadata=meta, spec={"targetGroupARN": ARN, **spec})


@pytest.mark.parametrize(
    ("api_version", "labels"),
    [
        pytest.param("elbv2.k8s.aws/v1beta1", {"ingress.k8s.aws/stack": "public"}, id="a group of Ingresses"),
        pytest.param(
            "elbv2.k8s.aws/v1beta1",
            {"ingress.k8s.aws/stack-name": "web", "ingress.k8s.aws/stack-namespace": "shop"},
            id="an Ingress",
        ),
        pytest.param("elbv2.k8s.aws/v1beta1", {"service.k8s.aws/stack-name": "web"}, id="a Service"),
        pytest.param("elbv2.k8s.aws/v1beta1", {"gateway.k8s.aws.alb/stack-name": "web"}, id="a Gateway, ALB"),
        pytest.param("elbv2.k8s.aws/v1beta1", {"gateway.k8s.aws.nlb/stack-namespace": "shop"}, id="a Gateway, NLB"),
        pytest.param("eks.amazonaws.com/v1", {"service.eks.amazonaws.com/stack-name": "web"}, id="EKS Auto Mode"),
    ],
)
def test_a_binding_that_the_controller_made_is_left_out_without_a_question(api_version: str, labels: Any) -> None:
    made = binding(api_version=api_version, labels=labels)
    found = verdicts([made])["TargetGroupBinding shop/web"]
    assert (found.action, found.cls, found.required) == (Action.LEAVE, Class.ONE_OWNER, False)
    assert "made by the load balancer controller" in found.reason
    green = Green([made])
    assert green.names() == set()
    assert green.applied.ok
    assert any("made by the load balancer controller" in line for line in plan_lines(green.plan))


def test_a_persons_binding_waits_for_the_answer_to_leave_it_out() -> None:
    mine = binding(labels={"app": "web"})
    (found,) = findings([mine])
    assert (found.code, found.severity) == ("BG506", Severity.BLOCKING)
    assert "targetgroup/shop-prod" not in found.remedy
    assert "shop-prod" in found.evidence
    assert found.remedy.endswith("TargetGroupBinding shop/web: skip")
    green = Green([mine])
    assert green.names() == set()
    assert not green.applied.ok
    with pytest.raises(ConfigError, match="allowed: skip"):
        verdicts([mine], {"TargetGroupBinding shop/web": "start"})
    assert Green([mine], {"TargetGroupBinding shop/web": "skip"}).applied.ok


def test_a_binding_of_a_group_for_several_clusters_may_be_started_but_not_by_itself() -> None:
    shared = binding(multiClusterTargetGroup=True)
    found = verdicts([shared])["TargetGroupBinding shop/web"]
    assert (found.action, found.answers) == (Action.HOLD, (Answer.SKIP, Answer.START))
    assert Green([shared]).names() == set()
    assert Green([shared], {"TargetGroupBinding shop/web": "start"}).names() == {"TargetGroupBinding shop/web"}


@pytest.mark.parametrize("prefix", ["aws-lbc-targets-", "eks-lbc-targets-"])
def test_the_list_of_blues_targets_never_comes(prefix: str) -> None:
    listed = one("v1", "ConfigMap", f"{prefix}web", data={"targets": "10.0.1.5:8080,10.0.2.7:8080"})
    alike = one("v1", "ConfigMap", f"{prefix}docs", data={"targets": "a", "readme": "b"})
    assert Green([listed, alike]).names() == {f"ConfigMap shop/{prefix}docs"}


HELD = [
    ("s3.services.k8s.aws/v1alpha1", "Bucket"),
    ("rds.services.k8s.aws/v1alpha1", "DBInstance"),
    ("services.k8s.aws/v1alpha1", "AdoptedResource"),
    ("s3.aws.upbound.io/v1beta1", "Bucket"),
    ("ec2.aws.m.upbound.io/v1beta1", "VPC"),
    ("database.aws.crossplane.io/v1beta1", "RDSInstance"),
    ("opentofu.upbound.io/v1beta1", "Workspace"),
    ("sql.cnrm.cloud.google.com/v1beta1", "SQLInstance"),
    ("dbforpostgresql.azure.com/v1api20240801", "FlexibleServer"),
    ("app.terraform.io/v1alpha2", "Workspace"),
    ("infra.contrib.fluxcd.io/v1alpha2", "Terraform"),
    ("pulumi.com/v1", "Stack"),
    ("auto.pulumi.com/v1alpha1", "Workspace"),
    ("cluster.x-k8s.io/v1beta1", "Cluster"),
    ("infrastructure.cluster.x-k8s.io/v1beta2", "AWSMachine"),
    ("external-secrets.io/v1alpha1", "PushSecret"),
    ("externaldns.k8s.io/v1alpha1", "DNSEndpoint"),
    ("karpenter.sh/v1", "NodePool"),
    ("karpenter.k8s.aws/v1", "EC2NodeClass"),
    ("eks.amazonaws.com/v1", "NodeClass"),
    ("vpcresources.k8s.aws/v1beta1", "SecurityGroupPolicy"),
    ("crd.k8s.amazonaws.com/v1alpha1", "ENIConfig"),
    ("aga.k8s.aws/v1beta1", "GlobalAccelerator"),
    ("argoproj.io/v1alpha1", "Application"),
    ("argoproj.io/v1alpha1", "ApplicationSet"),
    ("multicluster.x-k8s.io/v1alpha1", "ServiceExport"),
    ("metallb.io/v1beta1", "IPAddressPool"),
    ("tailscale.com/v1alpha1", "Connector"),
    ("datadoghq.com/v1alpha1", "DatadogMonitor"),
    ("atlas.mongodb.com/v1", "AtlasProject"),
]


@pytest.mark.parametrize(("api_version", "kind"), HELD)
def test_what_has_one_owner_comes_only_when_started(api_version: str, kind: str) -> None:
    obj = one(api_version, kind, spec={"deletionPolicy": "Delete"})
    (found,) = findings([obj])
    assert (found.code, found.severity, found.object) == ("BG506", Severity.BLOCKING, f"{kind} shop/x")
    assert found.remedy.endswith(f"{kind} shop/x: skip  # or start")
    green = Green([obj])
    assert green.names() == set()
    assert [name for name, _ in green.applied.unanswered] == [f"{kind} shop/x"]
    assert not green.applied.ok
    assert Green([obj], {f"{kind} shop/x": "skip"}).applied.ok
    assert Green([obj], {f"{kind} shop/x": "start"}).names() == {f"{kind} shop/x"}


def test_every_line_of_the_table_holds_some_kind() -> None:
    for group, kind in KINDS:
        named = f"any{group}" if group.startswith(".") else group
        assert reason_of(named, "Thing" if kind == "*" else kind), (group, kind)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("external-secrets.io/v1", "ExternalSecret"),
        ("argoproj.io/v1alpha1", "AppProject"),
        ("aws.upbound.io/v1beta1", "ProviderConfig"),
        ("aws.m.upbound.io/v1beta1", "ClusterProviderConfig"),
        ("apiextensions.crossplane.io/v1", "Composition"),
        ("pkg.crossplane.io/v1", "Provider"),
        ("cert-manager.io/v1", "Certificate"),
        ("kafka.strimzi.io/v1beta2", "KafkaTopic"),
        ("example.com/v1", "Workspace"),
    ],
)
def test_what_only_describes_how_comes_along(api_version: str, kind: str) -> None:
    assert verdicts([one(api_version, kind, spec={})])[f"{kind} shop/x"].action is Action.COPY


@pytest.mark.parametrize("category", ["managed", "composite", "claim"])
def test_a_kind_of_crossplanes_is_known_by_its_definition_whatever_its_group(category: str) -> None:
    names = {"kind": "Database", "plural": "databases", "categories": ["all", category]}
    spec = {"group": "platform.example.org", "names": names}
    definition = one(CRD.api_version, CRD.kind, "databases.platform.example.org", None, spec=spec)
    held = one("platform.example.org/v1", "Database", spec={})
    found = verdicts([definition, held])
    assert found["Database shop/x"].action is Action.HOLD
    assert found["CustomResourceDefinition databases.platform.example.org"].action is Action.COPY


def test_an_object_with_an_external_name_is_managed() -> None:
    named = one("cloud.example.org/v1", "Queue", metadata={"annotations": {"crossplane.io/external-name": "orders"}}, spec={})
    assert verdicts([named])["Queue shop/x"].action is Action.HOLD


@pytest.mark.parametrize("spec", [{"compositionRef": {"name": "a"}}, {"crossplane": {"compositionRef": {"name": "a"}}}])
def test_what_crossplane_composes_from_is_known_even_where_its_definition_is_unread(spec: Any) -> None:
    assert verdicts([one("platform.example.org/v1", "Shop", spec=spec)])["Shop shop/x"].action is Action.HOLD


def test_only_queues_of_a_broker_outside_the_cluster_wait() -> None:
    outside = one("rabbitmq.com/v1beta1", "Queue", "a", spec={"rabbitmqClusterReference": {"connectionSecret": {"name": "s"}}})
    inside = one("rabbitmq.com/v1beta1", "Queue", "b", spec={"rabbitmqClusterReference": {"name": "rabbit"}})
    found = verdicts([outside, inside])
    assert [found[f"Queue shop/{name}"].action for name in "ab"] == [Action.HOLD, Action.COPY]


ALB = "alb.ingress.kubernetes.io/"
FORWARD = '{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web"},{"targetGroupARN":"' + ARN + '"}]}}'


def route(kind: str = "HTTPRoute", backend: str = "TargetGroupName") -> dict[str, Any]:
    rules = [{"backendRefs": [{"kind": backend, "name": "shop-prod", "weight": 1}]}]
    return one("gateway.networking.k8s.io/v1", kind, spec={"rules": rules})


def ingress(**annotations: str) -> dict[str, Any]:
    meta = {"annotations": {f"{ALB}{key.replace('_', '.')}": value for key, value in annotations.items()}}
    return one("networking.k8s.io/v1", "Ingress", metadata=meta, spec={"ingressClassName": "alb"})


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(ingress(actions_old=FORWARD), id="a forward action"),
        pytest.param(ingress(actions_old='{"Type": "forward", "TargetGroupArn": "' + ARN + '"}'), id="in the older form"),
        pytest.param(ingress(actions_old='{"type": "forward", "targetGroupName": "shop-prod"}'), id="by its name"),
        pytest.param(
            one("gateway.k8s.aws/v1beta1", "ListenerRuleConfiguration", spec={"actions": [{"forward": [{"arn": ARN}]}]}),
            id="a configuration of a Gateway",
        ),
        pytest.param(route(), id="a route"),
        pytest.param(route("TCPRoute"), id="a route of a network load balancer"),
    ],
)
def test_what_hands_blues_target_group_to_a_load_balancer_waits(obj: dict[str, Any]) -> None:
    name = f"{obj['kind']} shop/x"
    (found,) = [each for each in findings([obj]) if each.object == name]
    assert (found.code, found.severity) == ("BG506", Severity.BLOCKING)
    assert "shop-prod" in found.evidence
    assert found.remedy.endswith(f"{name}: skip  # or start")
    green = Green([obj])
    assert (name in green.names(), green.applied.ok) == (False, False)
    assert Green([obj], {name: "start"}).names() == {name}


@pytest.mark.parametrize(
    "obj",
    [
        ingress(actions_redirect='{"type": "redirect", "redirectConfig": {"port": "443"}}'),
        ingress(wafv2_acl_arn="arn:aws:wafv2:eu-west-1:111122223333:regional/webacl/a/b"),
        one(
            "networking.k8s.io/v1",
            "Ingress",
            metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": FORWARD}},
            spec={},
        ),
        route(backend="Service"),
    ],
)
def test_what_names_no_target_group_comes(obj: dict[str, Any]) -> None:
    assert verdicts([obj])[f"{obj['kind']} shop/x"].action is Action.COPY


OWN = ["s3.acme.corp.io/delete-bucket"]
BUCKET = "arn:aws:s3:::shop-prod"


@pytest.mark.parametrize(
    ("finalizers", "rest"),
    [
        (OWN, {"spec": {"bucketName": "shop", "deletionPolicy": "Delete"}}),
        (["finalizers.corp.io"], {"spec": {"reclaimPolicy": "delete"}}),
        (["acme.corp.io/finalizer"], {"spec": {}, "status": {"bucket": {"arn": BUCKET}}}),
        (OWN, {"spec": {}, "status": {"resources": [{"id": "/subscriptions/1/resourceGroups/a/providers/b"}]}}),
        (OWN, {"spec": {}, "status": {"selfLink": "https://www.googleapis.com/compute/v1/projects/p/b"}}),
    ],
)
def test_an_in_house_object_that_stands_for_something_in_a_cloud_waits(finalizers: list[str], rest: dict[str, Any]) -> None:
    obj = one("acme.corp.io/v1", "S3Bucket", metadata={"finalizers": finalizers}, **rest)
    (found,) = findings([obj])
    assert (found.code, found.severity) == ("BG506", Severity.BLOCKING)
    assert found.remedy.endswith("S3Bucket shop/x: skip  # or start")
    assert Green([obj]).names() == set()
    assert Green([obj], {"S3Bucket shop/x": "start"}).names() == {"S3Bucket shop/x"}


@pytest.mark.parametrize(
    ("api_version", "kind", "finalizers", "rest"),
    [
        ("acme.corp.io/v1", "S3Bucket", [], {"spec": {"deletionPolicy": "Delete"}}),
        ("acme.corp.io/v1", "S3Bucket", ["foregroundDeletion"], {"spec": {"deletionPolicy": "Delete"}}),
        ("acme.corp.io/v1", "S3Bucket", ["other.example.org/x"], {"spec": {"deletionPolicy": "Delete"}}),
        ("acme.corp.io/v1", "S3Bucket", OWN, {"spec": {"deletionPolicy": "Retain"}}),
        ("acme.corp.io/v1", "Report", OWN, {"spec": {"roleArn": "arn:aws:iam::111122223333:role/report"}}),
        ("acme.corp.io/v1", "Report", OWN, {"spec": {"target": {"deletionPolicy": "Delete"}}}),
        ("external-secrets.io/v1", "ExternalSecret", ["external-secrets.io/cleanup"], {"spec": {"deletionPolicy": "Delete"}}),
        ("rabbitmq.com/v1beta1", "Queue", ["deletion.finalizers.queues.rabbitmq.com"], {"spec": {"deletionPolicy": "delete"}}),
        ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", [], {"spec": {"arn": BUCKET}}),
        ("networking.istio.io/v1", "Gateway", ["istio.io/x"], {"spec": {"reclaimPolicy": "Delete", "servers": []}}),
    ],
)
def test_what_refers_to_a_cloud_or_lives_in_the_cluster_comes(api_version: str, kind: str, finalizers: Any, rest: Any) -> None:
    obj = one(api_version, kind, metadata={"finalizers": finalizers} if finalizers else {}, **rest)
    assert verdicts([obj])[f"{kind} shop/x"].action is Action.COPY


def test_what_keeps_data_in_the_cluster_or_can_be_suspended_is_asked_about_as_that() -> None:
    meta, spec = {"finalizers": ["kubedb.com/x"]}, {"deletionPolicy": "Delete"}
    assert verdicts([one("kubedb.com/v1", "Postgres", metadata=meta, spec=spec)])["Postgres shop/x"].cls is Class.STATEFUL
    flux = one("kustomize.toolkit.fluxcd.io/v1", "Kustomization", metadata={"finalizers": ["finalizers.fluxcd.io"]}, spec=spec)
    assert verdicts([flux])["Kustomization shop/x"].action is Action.SUSPEND


# -- fixed names and addresses -----------------------------------------------------------------------------------------

FIXED = """
apiVersion: v1
kind: Service
metadata:
  name: public
  namespace: shop
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-name: shop-prod
    service.beta.kubernetes.io/aws-load-balancer-eip-allocations: eipalloc-1,eipalloc-2
    service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing
    service.beta.kubernetes.io/aws-load-balancer-subnets: subnet-1
    external-dns.alpha.kubernetes.io/hostname: shop.example.com
spec: {type: LoadBalancer, loadBalancerIP: 192.0.2.7, externalIPs: [192.0.2.8], selector: {app: web}, ports: [{port: 443}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {alb.ingress.kubernetes.io/load-balancer-name: shop-alb, alb.ingress.kubernetes.io/group.name: public}
spec: {ingressClassName: alb}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  gatewayClassName: cilium
  addresses: [{type: IPAddress, value: 192.0.2.9}]
  infrastructure: {annotations: {lbipam.cilium.io/ips: 192.0.2.9}}
---
apiVersion: elbv2.k8s.aws/v1beta1
kind: IngressClassParams
metadata: {name: alb}
spec: {loadBalancerName: shop-class, scheme: internal}
---
apiVersion: gateway.k8s.aws/v1beta1
kind: LoadBalancerConfiguration
metadata: {name: nlb, namespace: shop}
spec: {loadBalancerName: named-nlb, loadBalancerSubnets: [{identifier: subnet-1, eipAllocation: eipalloc-3}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pinned, namespace: shop}
spec:
  template: {metadata: {annotations: {cni.projectcalico.org/ipAddrs: '["10.0.0.9"]'}}, spec: {containers: [{name: a}]}}
"""


def test_a_fixed_name_or_address_of_blue_is_left_out_with_a_note() -> None:
    green = Green(objects(FIXED))
    service = green.of("Service shop/public")
    assert service is not None
    assert set(service["metadata"]["annotations"]) - {"bluegreen.io/applied"} == {
        "service.beta.kubernetes.io/aws-load-balancer-scheme",
        "service.beta.kubernetes.io/aws-load-balancer-subnets",
        "external-dns.alpha.kubernetes.io/hostname",
    }
    assert service["spec"] == {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 443}]}
    text = str(list(green.server.objects.values()))
    for fixed in ("shop-prod", "eipalloc", "192.0.2.", "shop-alb", "shop-class", "named-nlb", "10.0.0.9"):
        assert fixed not in text
        assert any(fixed in line and "left out" in line for line in plan_lines(green.plan)), fixed
    assert "group.name" in text
    assert green.applied.ok
    told = {each.object: each.cls for each in planned_objects(green.plan)}
    assert set(told.values()) == {"renamed"}
    assert green.again().writes == 0


@pytest.mark.parametrize(
    "key",
    [
        "service.beta.kubernetes.io/aws-load-balancer-private-ipv4-addresses",
        "service.beta.kubernetes.io/aws-load-balancer-ipv6-addresses",
        "alb.ingress.kubernetes.io/frontend-nlb-eip-allocations",
        "service.beta.kubernetes.io/azure-load-balancer-ipv4",
        "service.beta.kubernetes.io/azure-pip-name",
        "kubernetes.io/ingress.global-static-ip-name",
        "networking.gke.io/load-balancer-ip-addresses",
        "metallb.universe.tf/loadBalancerIPs",
        "metallb.io/loadBalancerIPs",
        "kube-vip.io/loadbalancerIPs",
        "io.cilium/lb-ipam-ips",
        "kubernetes.digitalocean.com/load-balancer-id",
        "service.beta.example.com/acme-loadbalancer-id",
    ],
)
def test_annotations_that_ask_for_what_blue_has_are_left_out(key: str) -> None:
    green = Green([one("v1", "Service", metadata={"annotations": {key: "fixed-one"}}, spec={"ports": [{"port": 80}]})])
    assert key not in str(green.of("Service shop/x"))
    assert any("fixed-one" in line for line in plan_lines(green.plan))


def test_a_stopped_workload_loses_its_fixed_addresses_as_well() -> None:
    template = {
        "metadata": {"annotations": {"cni.projectcalico.org/ipAddrs": "[1]"}},
        "spec": {"containers": [], "volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]},
    }
    green = Green([one("apps/v1", "Deployment", spec={"replicas": 2, "template": template})])
    made = green.of("Deployment shop/x")
    assert made is not None
    assert made["spec"]["replicas"] == 0
    assert made["spec"]["template"]["metadata"] == {}
    assert any("pod address" in line for line in plan_lines(green.plan))


def test_an_istio_gateway_keeps_its_fields_for_it_is_another_kind() -> None:
    other = one("networking.istio.io/v1", "Gateway", spec={"addresses": ["kept"], "servers": []})
    assert verdicts([other])["Gateway shop/x"].notes == ()


@pytest.mark.parametrize("type_", [None, "ClusterIP", "LoadBalancer", "NodePort"])
def test_a_service_without_external_addresses_loses_the_fields_that_need_them(type_: Any) -> None:
    spec = {"externalIPs": ["192.0.2.8"], "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Local", "ports": []}
    service = one("v1", "Service", spec={**spec, **({"type": type_} if type_ else {})})
    green = Green([service])
    made = (green.of("Service shop/x") or {})["spec"]
    assert "externalIPs" not in made
    assert made["internalTrafficPolicy"] == "Local"
    assert ("externalTrafficPolicy" in made) is (type_ in ("LoadBalancer", "NodePort"))
    assert green.again().writes == 0


def test_the_name_of_a_target_group_is_left_to_green() -> None:
    props = {"targetGroupName": "blues-group", "targetType": "ip"}
    routes = [{"routeIdentifier": {"name": "r"}, "targetGroupProps": {**props, "targetGroupName": "blues-other"}}]
    spec = {"targetReference": {"name": "web"}, "defaultConfiguration": props, "routeConfigurations": routes}
    green = Green([one("gateway.k8s.aws/v1beta1", "TargetGroupConfiguration", spec=spec)])
    made = (green.of("TargetGroupConfiguration shop/x") or {})["spec"]
    assert made["defaultConfiguration"] == {"targetType": "ip"}
    assert made["routeConfigurations"][0]["targetGroupProps"] == {"targetType": "ip"}
    for name in ("blues-group", "blues-other"):
        assert any(name in line and "left out" in line for line in plan_lines(green.plan))
