"""A service or a namespace brings what it needs, no more, and says what brought each."""

from __future__ import annotations

from typing import Any

import pytest

import routing
from migration.objects.classes import Action, Class
from migration.objects.kinds import Object
from migration.settings.choices import Choices, Selection
from tests.fakes.steps import steps
from tests.unit.replicate.selecting import asked_for, judged, many

SHOP = """
{kind: Namespace, metadata: {name: shop}}
---
{kind: ResourceQuota, metadata: {name: quota, namespace: shop}, spec: {hard: {pods: "50"}}}
---
{kind: LimitRange, metadata: {name: limits, namespace: shop}, spec: {limits: []}}
---
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web.example.com], gateways: [edge/public], http: [{route: [{destination: {host: web}}]}]}
---
{kind: Service, metadata: {name: web, namespace: shop, labels: {scraped: "yes"}}, spec: {selector: {app: web}}}
---
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      serviceAccountName: web
      priorityClassName: high
      runtimeClassName: gvisor
      imagePullSecrets: [{name: registry}]
      initContainers: [{name: wait, envFrom: [{secretRef: {name: init}}]}]
      containers:
      - name: web
        envFrom: [{configMapRef: {name: settings}}, {configMapRef: {name: flags, optional: true}}]
        env:
        - {name: A, valueFrom: {secretKeyRef: {name: api-key, key: a}}}
        - {name: B, valueFrom: {configMapKeyRef: {name: gone, key: b}}}
      volumes:
      - {name: a, configMap: {name: files}}
      - {name: b, secret: {secretName: tls}}
      - {name: c, projected: {sources: [{configMap: {name: projected}}, {secret: {name: projected}}]}}
      - {name: d, persistentVolumeClaim: {claimName: uploads}}
---
{kind: ServiceAccount, metadata: {name: web, namespace: shop}, imagePullSecrets: [{name: of-account}]}
---
{kind: Role, metadata: {name: reader, namespace: shop}, rules: []}
---
kind: RoleBinding
metadata: {name: reads, namespace: shop}
roleRef: {kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: web}]
---
{kind: ClusterRole, metadata: {name: watcher}, rules: []}
---
kind: ClusterRoleBinding
metadata: {name: watches}
roleRef: {kind: ClusterRole, name: watcher}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
---
{kind: PriorityClass, metadata: {name: high}, value: 10}
---
{kind: RuntimeClass, metadata: {name: gvisor}, handler: runsc}
---
{kind: PersistentVolumeClaim, metadata: {name: uploads, namespace: shop}, spec: {storageClassName: fast, volumeName: disk}}
---
{kind: StorageClass, metadata: {name: fast}, provisioner: ebs.csi.aws.com}
---
{kind: PersistentVolume, metadata: {name: disk}, spec: {csi: {volumeHandle: vol-1}}}
---
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
kind: VerticalPodAutoscaler
metadata: {name: web-v, namespace: shop}
spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
kind: ScaledObject
metadata: {name: web-k, namespace: shop}
spec: {scaleTargetRef: {name: web}, triggers: [{type: x, authenticationRef: {name: broker}}]}
---
kind: TriggerAuthentication
metadata: {name: broker, namespace: shop}
spec: {secretTargetRef: [{parameter: p, name: broker-login, key: k}]}
---
{kind: PodDisruptionBudget, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}}}
---
{kind: NetworkPolicy, metadata: {name: all, namespace: shop}, spec: {podSelector: {}}}
---
kind: NetworkPolicy
metadata: {name: front, namespace: shop}
spec: {podSelector: {matchExpressions: [{key: tier, operator: In, values: [front, edge]}]}}
---
{kind: AuthorizationPolicy, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}}}
---
{kind: AuthorizationPolicy, metadata: {name: everywhere, namespace: istio-system}, spec: {}}
---
{kind: PeerAuthentication, metadata: {name: strict, namespace: shop}, spec: {mtls: {mode: STRICT}}}
---
{kind: Sidecar, metadata: {name: web, namespace: shop}, spec: {workloadSelector: {labels: {app: web}}}}
---
{kind: EnvoyFilter, metadata: {name: web, namespace: shop}, spec: {workloadSelector: {labels: {app: web}}}}
---
{kind: DestinationRule, metadata: {name: web, namespace: shop}, spec: {host: web.shop.svc.cluster.local}}
---
{kind: ServiceEntry, metadata: {name: payment, namespace: shop}, spec: {hosts: [pay.example.com]}}
---
{kind: DestinationRule, metadata: {name: payment, namespace: shop}, spec: {host: pay.example.com}}
---
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec: {endpointSelector: {matchLabels: {"k8s:app": web}}}
---
{kind: ServiceMonitor, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {scraped: "yes"}}}}
---
kind: PodMonitor
metadata: {name: web, namespace: watching}
spec: {namespaceSelector: {any: true}, selector: {matchLabels: {tier: front}}}
---
{kind: Namespace, metadata: {name: watching}}
---
kind: ExternalSecret
metadata: {name: key-of-api, namespace: shop}
spec: {target: {name: api-key}, secretStoreRef: {kind: ClusterSecretStore, name: vault}}
---
{kind: ClusterSecretStore, metadata: {name: vault}, spec: {}}
---
kind: Certificate
metadata: {name: web, namespace: shop}
spec: {secretName: tls, issuerRef: {kind: ClusterIssuer, name: letsencrypt}}
---
{kind: ClusterIssuer, metadata: {name: letsencrypt}, spec: {acme: {privateKeySecretRef: {name: account}}}}
---
{kind: Secret, metadata: {name: account, namespace: cert-manager}}
---
{kind: Namespace, metadata: {name: cert-manager}}
---
{kind: Gateway, metadata: {name: public, namespace: edge}, spec: {selector: {istio: edge},
  servers: [{tls: {credentialName: site}}]}}
---
{kind: Namespace, metadata: {name: edge}}
---
{kind: Secret, metadata: {name: site, namespace: edge}}
---
kind: Deployment
metadata: {name: gateway, namespace: edge}
spec: {template: {metadata: {labels: {istio: edge}}, spec: {containers: [{name: proxy}]}}}
---
{kind: AuthorizationPolicy, metadata: {name: users, namespace: edge}, spec: {selector: {matchLabels: {istio: edge}}}}
---
{kind: CustomResourceDefinition, metadata: {name: scaledobjects.keda.sh}, spec: {group: keda.sh, names: {kind: ScaledObject}}}
---
kind: CustomResourceDefinition
metadata: {name: triggerauthentications.keda.sh}
spec: {group: keda.sh, names: {kind: TriggerAuthentication}}
---
kind: CustomResourceDefinition
metadata: {name: clusterissuers.cert-manager.io}
spec: {group: cert-manager.io, names: {kind: ClusterIssuer}}
"""
NAMED = [
    {"kind": kind, "metadata": {"name": name, "namespace": "shop"}}
    for kind, names in {
        "ConfigMap": ("settings", "files", "projected"),
        "Secret": ("registry", "init", "api-key", "tls", "projected", "of-account", "broker-login"),
    }.items()
    for name in names
]
OTHERS = """
{kind: Deployment, metadata: {name: other, namespace: shop}, spec: {template: {metadata: {labels: {app: other}},
  spec: {containers: [{name: a, envFrom: [{configMapRef: {name: of-other}}]}]}}}}
---
{kind: Service, metadata: {name: other, namespace: shop}, spec: {selector: {app: other}}}
---
{kind: ConfigMap, metadata: {name: of-other, namespace: shop}}
---
{kind: PodDisruptionBudget, metadata: {name: other, namespace: shop}, spec: {selector: {matchLabels: {app: other}}}}
---
kind: NetworkPolicy
metadata: {name: back, namespace: shop}
spec: {podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}}
---
{kind: ClusterRole, metadata: {name: of-nobody}, rules: []}
---
{kind: StorageClass, metadata: {name: slow}, provisioner: x}
---
{kind: CustomResourceDefinition, metadata: {name: clusters.postgresql.cnpg.io},
 spec: {group: postgresql.cnpg.io, names: {kind: Cluster}}}
---
{kind: AuthorizationPolicy, metadata: {name: other, namespace: edge}, spec: {selector: {matchLabels: {istio: inner}}}}
---
{kind: Secret, metadata: {name: inner, namespace: edge}}
---
{kind: Namespace, metadata: {name: stock}}
---
{kind: ConfigMap, metadata: {name: settings, namespace: stock}}
---
{kind: RoleBinding, metadata: {name: reads, namespace: stock}, roleRef: {kind: Role, name: reader},
  subjects: [{kind: ServiceAccount, name: web, namespace: stock}]}
"""


def of(*objects: Object | str) -> list[Object]:
    found: list[Object] = []
    for each in objects:
        found += many(each) if isinstance(each, str) else [{"apiVersion": "v1", **each}]
    return found


EVERYTHING = of(SHOP, *NAMED, OTHERS)


def asking(*only: str, **more: Any) -> Choices:
    return Choices(only=only, **more)


def test_a_service_brings_exactly_what_it_needs() -> None:
    items = judged(EVERYTHING, asking("shop/web"))
    needed = {f"{each['kind']} {name(each)}" for each in of(SHOP, *NAMED)}
    assert asked_for(items).keys() == needed
    assert {items[f"{each['kind']} {name(each)}"].verdict.cls for each in of(OTHERS)} == {Class.UNASKED}
    assert items["ConfigMap stock/settings"].verdict.reason == "not requested by shop/web"


def name(obj: Object) -> str:
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else str(meta["name"])


@pytest.mark.parametrize(
    ("brought", "by"),
    [
        ("VirtualService shop/web", "requested"),
        ("Service shop/web", "brought by VirtualService shop/web"),
        ("Gateway edge/public", "brought by VirtualService shop/web"),
        ("Secret edge/site", "brought by Gateway edge/public"),
        ("AuthorizationPolicy edge/users", "brought by Deployment edge/gateway"),
        ("Deployment shop/web", "brought by Service shop/web"),
        ("ConfigMap shop/settings", "brought by Deployment shop/web"),
        ("Secret shop/of-account", "brought by ServiceAccount shop/web"),
        ("ClusterRoleBinding watches", "brought by ServiceAccount shop/web"),
        ("ClusterRole watcher", "brought by ClusterRoleBinding watches"),
        ("Role shop/reader", "brought by RoleBinding shop/reads"),
        ("PersistentVolume disk", "brought by PersistentVolumeClaim shop/uploads"),
        ("TriggerAuthentication shop/broker", "brought by ScaledObject shop/web-k"),
        ("Secret shop/broker-login", "brought by TriggerAuthentication shop/broker"),
        ("ExternalSecret shop/key-of-api", "brought by Secret shop/api-key"),
        ("ClusterSecretStore vault", "brought by ExternalSecret shop/key-of-api"),
        ("ClusterIssuer letsencrypt", "brought by Certificate shop/web"),
        ("Secret cert-manager/account", "brought by ClusterIssuer letsencrypt"),
        ("CustomResourceDefinition scaledobjects.keda.sh", "brought by ScaledObject shop/web-k"),
        ("ResourceQuota shop/quota", "brought by Namespace shop"),
        ("DestinationRule shop/payment", "brought by ServiceEntry shop/payment"),
        ("AuthorizationPolicy istio-system/everywhere", "brought by Deployment edge/gateway"),
        ("PodMonitor watching/web", "brought by Deployment shop/web"),
    ],
)
def test_each_object_says_what_brought_it(brought: str, by: str) -> None:
    assert asked_for(judged(EVERYTHING, asking("shop/web")))[brought] == by


def test_what_is_named_but_not_on_blue_is_reported_unless_it_is_optional() -> None:
    verdict = judged(EVERYTHING, asking("shop/web"))["Deployment shop/web"].verdict
    assert verdict.notes == ("names ConfigMap shop/gone, which is not on blue",)


def test_of_a_kind_that_could_not_be_read_nothing_is_called_missing() -> None:
    items = judged(EVERYTHING, asking("shop/web"), problems={"configmaps": "forbidden"})
    assert items["Deployment shop/web"].verdict.notes == ()


def test_a_namespace_is_all_that_is_in_it_with_what_that_needs_elsewhere() -> None:
    items = judged(EVERYTHING, asking("shop"))
    asked = asked_for(items)
    assert {n for n, item in items.items() if " shop/" in n} | {"Namespace shop"} == {
        n for n, by in asked.items() if by == "requested"
    }
    assert asked["ClusterRoleBinding watches"] == "brought by ServiceAccount shop/web"
    assert asked["StorageClass fast"] == "brought by PersistentVolumeClaim shop/uploads"
    left = {n for n, item in items.items() if item.verdict.cls is Class.UNASKED}
    assert {"Namespace stock", "ConfigMap stock/settings", "ClusterRole of-nobody", "StorageClass slow"} <= left


def test_what_is_asked_for_still_gets_its_class() -> None:
    objects = of(SHOP, *NAMED, "{kind: CronJob, metadata: {name: nightly, namespace: shop}, spec: {schedule: '@daily'}}")
    found = judged(objects, asking("shop"))["CronJob shop/nightly"].verdict
    assert (found.cls, found.action, found.brought) == (Class.SCHEDULED, Action.SUSPEND, "requested")
    held = judged(objects, asking("shop/web"), singletons=frozenset({"shop/web"}))["Deployment shop/web"].verdict
    assert (held.cls, held.action) == (Class.SINGLETON, Action.STOP)


def route(**spec: Any) -> Object:
    found = {"hosts": ["a.example.com"], "gateways": ["mesh"], **spec}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": found,
    }


ELSEWHERE = """
{kind: Service, metadata: {name: b, namespace: other}, spec: {selector: {app: b}}}
---
{kind: Deployment, metadata: {name: b, namespace: other}, spec: {template: {metadata: {labels: {app: b}},
  spec: {containers: [{name: a}]}}}}
---
{kind: Namespace, metadata: {name: other}}
---
{kind: VirtualService, metadata: {name: part, namespace: other}, spec: {http: [{route: [{destination: {host: b}}]}]}}
---
{kind: ServiceEntry, metadata: {name: outside, namespace: other}, spec: {hosts: [api.example.com]}}
"""


@pytest.mark.parametrize(
    ("spec", "brought"),
    [
        pytest.param({"http": [{"route": [{"destination": {"host": "b.other.svc.cluster.local"}}]}]}, "Service", id="http"),
        pytest.param({"http": [{"route": [{"destination": {"host": "b.other"}}]}]}, "Service", id="without svc"),
        pytest.param({"http": [{"mirror": {"host": "b.other.svc"}}]}, "Service", id="mirror"),
        pytest.param({"http": [{"mirrors": [{"destination": {"host": "b.other.svc"}}]}]}, "Service", id="mirrors"),
        pytest.param({"tls": [{"route": [{"destination": {"host": "b.other.svc"}}]}]}, "Service", id="tls"),
        pytest.param({"tcp": [{"route": [{"destination": {"host": "b.other.svc"}}]}]}, "Service", id="tcp"),
        pytest.param({"http": [{"delegate": {"name": "part", "namespace": "other"}}]}, "VirtualService", id="delegate"),
        pytest.param({"http": [{"route": [{"destination": {"host": "api.example.com"}}]}]}, "ServiceEntry", id="outside"),
    ],
)
def test_backends_in_other_namespaces_come_too(spec: Any, brought: str) -> None:
    asked = asked_for(judged([route(**spec), *of(ELSEWHERE)], asking("shop/web")))
    names = {"Service": "b", "VirtualService": "part", "ServiceEntry": "outside"}
    assert asked[f"{brought} other/{names[brought]}"] == "brought by VirtualService shop/web"
    assert "Namespace other" in asked
    assert ("Deployment other/b" in asked) == (brought != "ServiceEntry")


def test_an_enrolled_route_brings_its_services_whatever_share_is_away() -> None:
    original = route(gateways=["istio-system/public"], http=[{"route": [{"destination": {"host": "b.other.svc"}}]}])
    for share in (0, 2500, 10_000):
        live = routing.public_route(original, share, "blue")
        peer = routing.peer_route(original, share)
        items = judged([live, peer, *of(ELSEWHERE)], asking("shop/web"), enrolled=frozenset({"shop/web"}))
        assert "Deployment other/b" in asked_for(items), share
        found = items["VirtualService shop/web"].verdict
        assert (found.cls, found.action) == (Class.EDGE, Action.LEAVE)


OWNED = """
{kind: Service, metadata: {name: db-rw, namespace: shop, ownerReferences: [{apiVersion: postgresql.cnpg.io/v1, kind: Cluster,
  name: db, controller: true}]}, spec: {selector: {role: primary}}}
---
{kind: Cluster, metadata: {name: db, namespace: shop}, spec: {superuserSecret: {name: root}, backup: {data: {name: x, key: y}}}}
---
{kind: Secret, metadata: {name: x, namespace: shop}}
---
{kind: Pod, metadata: {name: db-1, namespace: shop, labels: {role: primary}, ownerReferences: [{apiVersion:
  postgresql.cnpg.io/v1, kind: Cluster, name: db, controller: true}]}}
---
{kind: CustomResourceDefinition, metadata: {name: clusters.postgresql.cnpg.io},
 spec: {group: postgresql.cnpg.io, names: {kind: Cluster}}}
"""


def test_what_a_controller_made_brings_its_maker() -> None:
    objects = [route(http=[{"route": [{"destination": {"host": "db-rw"}}]}]), *of(OWNED)]
    items = judged(objects, asking("shop/web"))
    asked = asked_for(items)
    assert asked["Cluster shop/db"] == "brought by Service shop/db-rw"
    assert asked["Secret shop/x"] == "brought by Cluster shop/db"
    assert items["Service shop/db-rw"].verdict.cls is Class.CONTROLLER


@pytest.mark.parametrize(
    ("workload", "kind"),
    [
        ("apiVersion: argoproj.io/v1alpha1, kind: Rollout", "Rollout"),
        ("kind: StatefulSet", "StatefulSet"),
        ("kind: DaemonSet", "DaemonSet"),
    ],
)
def test_whatever_makes_pods_is_a_workload(workload: str, kind: str) -> None:
    text = f"""
    {{{workload}, metadata: {{name: db, namespace: shop}}, spec: {{template: {{metadata: {{labels: {{app: db}}}},
      spec: {{containers: [{{name: a, envFrom: [{{secretRef: {{name: s}}}}]}}]}}}}}}}}
    """
    more = """
    {kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}}}
    ---
    {kind: Secret, metadata: {name: s, namespace: shop}}
    ---
    {kind: PersistentVolumeClaim, metadata: {name: data-db-0, namespace: shop}, spec: {}}
    """
    objects = [route(http=[{"route": [{"destination": {"host": "db"}}]}]), *of(text, more)]
    asked = asked_for(judged(objects, asking("shop/web")))
    assert asked[f"{kind} shop/db"] == "brought by Service shop/db"
    assert asked["Secret shop/s"] == f"brought by {kind} shop/db"
    assert ("PersistentVolumeClaim shop/data-db-0" in asked) == (kind == "StatefulSet")


def test_a_bare_pod_behind_a_service_comes_with_a_note_about_its_needs() -> None:
    more = """
    {kind: Service, metadata: {name: one, namespace: shop}, spec: {selector: {app: one}}}
    ---
    {kind: Pod, metadata: {name: one, namespace: shop, labels: {app: one}}}
    """
    objects = [route(http=[{"route": [{"destination": {"host": "one"}}]}]), *of(more)]
    found = judged(objects, asking("shop/web"))["Pod shop/one"].verdict
    assert found.brought == "brought by Service shop/one"
    assert "what it names was not looked at" in found.notes[0]


def test_accounts_that_a_binding_means_by_their_group_bring_it() -> None:
    bindings = """
    {kind: ClusterRoleBinding, metadata: {name: of-shop}, roleRef: {kind: ClusterRole, name: r},
      subjects: [{kind: Group, name: "system:serviceaccounts:shop"}]}
    ---
    {kind: ClusterRoleBinding, metadata: {name: of-stock}, roleRef: {kind: ClusterRole, name: r},
      subjects: [{kind: Group, name: "system:serviceaccounts:stock"}]}
    ---
    {kind: ClusterRoleBinding, metadata: {name: of-all}, roleRef: {kind: ClusterRole, name: r},
      subjects: [{kind: Group, name: "system:authenticated"}]}
    ---
    {kind: ClusterRoleBinding, metadata: {name: of-user}, roleRef: {kind: ClusterRole, name: r},
      subjects: [{kind: User, name: "system:serviceaccount:shop:web"}]}
    """
    asked = asked_for(judged([*EVERYTHING, *of(bindings)], asking("shop/web")))
    assert {n for n in asked if n.startswith("ClusterRoleBinding of-")} == {
        "ClusterRoleBinding of-shop",
        "ClusterRoleBinding of-all",
        "ClusterRoleBinding of-user",
    }


# -- include, exclude and --kind ----------------------------------------------------------------------------------------


def chosen(*, include: Any = None, exclude: Any = None, **more: Any) -> Choices:
    return Choices(include=Selection(**include or {}), exclude=Selection(**exclude or {}), **more)


def test_included_namespaces_bring_of_the_cluster_wide_objects_those_they_need() -> None:
    asked = asked_for(judged(EVERYTHING, chosen(include={"namespaces": ("sh*",)})))
    assert asked["Namespace shop"] == "requested"
    assert asked["ClusterRole watcher"] == "brought by ClusterRoleBinding watches"
    assert asked["CustomResourceDefinition scaledobjects.keda.sh"] == "brought by ScaledObject shop/web-k"
    assert not {"ClusterRole of-nobody", "StorageClass slow", "Namespace stock", "Gateway edge/public"} & asked.keys()
    left = judged(EVERYTHING, chosen(include={"namespaces": ("sh*",)}))["ClusterRole of-nobody"].verdict.reason
    assert left == "in no namespace, and nothing that `replicate.include` asks for needs it"


def test_what_an_included_object_needs_in_a_namespace_that_is_not_is_reported() -> None:
    found = judged(EVERYTHING, chosen(include={"namespaces": ("shop",)}))["VirtualService shop/web"].verdict
    assert found.notes == (
        "needs Gateway edge/public, which is left out: not among what `replicate.include` asks for by namespaces",
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        pytest.param({"include": {"kinds": ("RoleBinding",)}}, {"RoleBinding", "Namespace"}, id="include a kind"),
        pytest.param(
            {"include": {"kinds": ("rolebindings.rbac.authorization.k8s.io",)}}, {"RoleBinding", "Namespace"}, id="group"
        ),
        pytest.param(
            {"include": {"kinds": ("scaledobject",)}}, {"ScaledObject", "Namespace", "CustomResourceDefinition"}, id="CRD"
        ),
        pytest.param({"include": {"selector": "scraped=yes"}}, {"Service", "Namespace"}, id="include by labels"),
        pytest.param({"kinds": ("clusterroles",)}, {"ClusterRole"}, id="--kind"),
    ],
)
def test_included_objects_come_with_their_namespace_and_definition(said: Any, kept: set[str]) -> None:
    asked = asked_for(judged(EVERYTHING, chosen(**said)))
    assert {each.partition(" ")[0] for each in asked} == kept
    for each, by in asked.items():
        if each.startswith(("Namespace", "CustomResourceDefinition")) and "clusterroles" not in said.get("kinds", ()):
            assert by.startswith("brought by "), each


def test_kinds_with_a_name_are_those_of_what_it_brings() -> None:
    asked = asked_for(judged(EVERYTHING, asking("shop/web", kinds=("Secret",))))
    assert "Secret edge/site" in asked
    assert "Secret edge/inner" not in asked
    assert {each.partition(" ")[0] for each in asked} == {"Secret", "Namespace"}


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        pytest.param(
            {"namespaces": ("stock",)}, {"Namespace stock", "ConfigMap stock/settings", "RoleBinding stock/reads"}, id="name"
        ),
        pytest.param(
            {"namespaces": ("st*",)}, {"Namespace stock", "ConfigMap stock/settings", "RoleBinding stock/reads"}, id="pattern"
        ),
        pytest.param({"kinds": ("StorageClass",)}, {"StorageClass fast", "StorageClass slow"}, id="kind"),
        pytest.param({"selector": "scraped in (yes)"}, {"Service shop/web"}, id="labels"),
    ],
)
def test_an_object_is_excluded_where_any_part_means_it(exclude: Any, gone: set[str]) -> None:
    items = judged(EVERYTHING, chosen(exclude=exclude))
    assert {n for n, item in items.items() if item.verdict.cls is Class.UNASKED} == gone


def test_what_is_excluded_is_neither_brought_nor_brings_anything() -> None:
    said = chosen(only=("shop/web",), exclude={"kinds": ("ConfigMap", "ScaledObject")})
    items = judged(EVERYTHING, said)
    asked = asked_for(items)
    assert not {"ConfigMap shop/settings", "ScaledObject shop/web-k", "TriggerAuthentication shop/broker"} & asked.keys()
    told = items["Deployment shop/web"].verdict.notes
    assert "needs ConfigMap shop/settings, which is left out by `replicate.exclude` by kinds" in told


def test_a_namespace_or_definition_that_is_excluded_stays_left_out() -> None:
    said = chosen(include={"kinds": ("ScaledObject",)}, exclude={"kinds": ("Namespace", "CustomResourceDefinition")})
    assert asked_for(judged(EVERYTHING, said)).keys() == {"ScaledObject shop/web-k"}


def test_without_a_choice_nothing_is_said_of_what_brought_an_object() -> None:
    assert asked_for(judged(EVERYTHING)) == {}


# -- its work grows with the number of objects --------------------------------------------------------------------------


def estate(count: int) -> list[Object]:
    """`count` services with their own things; all have one label in common and each policy has it, too."""
    found = of("{kind: Namespace, metadata: {name: shop}}")
    for n in range(count):
        labels = f"{{part-of: shop, app: a{n}}}"
        found += of(f"""
        {{kind: VirtualService, metadata: {{name: a{n}, namespace: shop}},
          spec: {{hosts: [a], http: [{{route: [{{destination: {{host: a{n}}}}}]}}]}}}}
        ---
        {{kind: Service, metadata: {{name: a{n}, namespace: shop}}, spec: {{selector: {labels}}}}}
        ---
        {{kind: Deployment, metadata: {{name: a{n}, namespace: shop}}, spec: {{template: {{metadata: {{labels: {labels}}},
          spec: {{containers: [{{name: a, envFrom: [{{configMapRef: {{name: a{n}}}}}]}}]}}}}}}}}
        ---
        {{kind: ConfigMap, metadata: {{name: a{n}, namespace: shop}}}}
        ---
        {{kind: PodDisruptionBudget, metadata: {{name: a{n}, namespace: shop}}, spec: {{selector: {{matchLabels: {labels}}}}}}}
        """)
    return found


@pytest.mark.parametrize("only", ["shop", "shop/a1"])
def test_ten_times_the_objects_are_ten_times_the_work(only: str) -> None:
    few, many_ = estate(20), estate(200)
    found: list[int] = []
    work = [
        steps(lambda objects=objects: found.append(len(asked_for(judged(objects, asking(only)))))) for objects in (few, many_)
    ]
    assert work[1] < 11 * work[0], work
    assert found == ([101, 1001] if only == "shop" else [6, 6])
