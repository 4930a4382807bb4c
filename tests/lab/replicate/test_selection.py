"""A part of blue, by the command itself on real API servers: by namespace, kind, labels and service, with what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import command
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import Bare, await_object, on

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SPACES = ("pick-shop", "pick-stock", "pick-edge")
CLUSTER_WIDE = (
    "clusterrole/pick-watcher",
    "clusterrole/pick-of-nobody",
    "clusterrolebinding/pick-watches",
    "priorityclass/pick-high",
    "storageclass/pick-fast",
    "crd/trinkets.pick.example.com",
)
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: trinkets.pick.example.com}
spec:
  group: pick.example.com
  scope: Namespaced
  names: {kind: Trinket, plural: trinkets, singular: trinket, listKind: TrinketList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
OBJECTS = """
{apiVersion: v1, kind: Namespace, metadata: {name: pick-shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: pick-stock}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: pick-edge}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: pick-shop}
spec:
  hosts: [web.example.com]
  gateways: [pick-edge/public]
  http:
  - match: [{uri: {prefix: /stock}}]
    route: [{destination: {host: counted.pick-stock.svc.cluster.local}}]
  - route: [{destination: {host: pages}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: pick-edge}
spec:
  selector: {pick: gateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: site}}]
---
{apiVersion: v1, kind: Secret, metadata: {name: site, namespace: pick-edge}, stringData: {tls.key: PICK-CANARY}}
---
apiVersion: v1
kind: Service
metadata: {name: pages, namespace: pick-shop}
spec: {selector: {app: pages}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pages, namespace: pick-shop, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: pages}}
  template:
    metadata: {labels: {app: pages}}
    spec:
      serviceAccountName: pages
      priorityClassName: pick-high
      containers:
      - name: pages
        image: example/pages:1
        envFrom:
        - configMapRef: {name: settings}
        - secretRef: {name: maybe, optional: true}
        - configMapRef: {name: forgotten}
        env: [{name: KEY, valueFrom: {secretKeyRef: {name: api-key, key: key}}}]
      volumes: [{name: files, persistentVolumeClaim: {claimName: files}}]
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: pick-shop}, data: {a: b}}
---
{apiVersion: v1, kind: Secret, metadata: {name: api-key, namespace: pick-shop}, stringData: {key: PICK-CANARY}}
---
{apiVersion: v1, kind: Secret, metadata: {name: registry, namespace: pick-shop}, stringData: {a: PICK-CANARY}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: pages, namespace: pick-shop}, imagePullSecrets: [{name: registry}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pick-watches}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pick-watcher}
subjects: [{kind: ServiceAccount, name: pages, namespace: pick-shop}]
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: pick-watcher}, rules: []}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: pick-of-nobody}, rules: []}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: pick-high}, value: 10}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: pick-fast}, provisioner: example.com/none}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files, namespace: pick-shop}
spec: {storageClassName: pick-fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: pages, namespace: pick-shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: pages}, maxReplicas: 4}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: pages, namespace: pick-shop}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: pages}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed, namespace: pick-shop}, spec: {podSelector: {}}}
---
apiVersion: v1
kind: Service
metadata: {name: counted, namespace: pick-stock}
spec: {selector: {app: counted}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: counted, namespace: pick-stock}
spec:
  selector: {matchLabels: {app: counted}}
  template: {metadata: {labels: {app: counted}}, spec: {containers: [{name: a, image: "example/a:1"}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: of-others, namespace: pick-stock, labels: {tier: back}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: of-others, namespace: pick-shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: pick-shop}
spec:
  selector: {matchLabels: {app: other}}
  template: {metadata: {labels: {app: other}}, spec: {containers: [{name: a, image: "example/a:1"}]}}
---
{apiVersion: pick.example.com/v1, kind: Trinket, metadata: {name: first, namespace: pick-stock, labels: {tier: back}}}
"""
SERVICE = {
    "VirtualService pick-shop/web": "requested",
    "Namespace pick-shop": "brought by VirtualService pick-shop/web",
    "Gateway pick-edge/public": "brought by VirtualService pick-shop/web",
    "Service pick-shop/pages": "brought by VirtualService pick-shop/web",
    "Service pick-stock/counted": "brought by VirtualService pick-shop/web",
    "Namespace pick-edge": "brought by Gateway pick-edge/public",
    "Secret pick-edge/site": "brought by Gateway pick-edge/public",
    "Deployment pick-shop/pages": "brought by Service pick-shop/pages",
    "Namespace pick-stock": "brought by Service pick-stock/counted",
    "Deployment pick-stock/counted": "brought by Service pick-stock/counted",
    "ConfigMap pick-shop/settings": "brought by Deployment pick-shop/pages",
    "Secret pick-shop/api-key": "brought by Deployment pick-shop/pages",
    "ServiceAccount pick-shop/pages": "brought by Deployment pick-shop/pages",
    "PersistentVolumeClaim pick-shop/files": "brought by Deployment pick-shop/pages",
    "PriorityClass pick-high": "brought by Deployment pick-shop/pages",
    "HorizontalPodAutoscaler pick-shop/pages": "brought by Deployment pick-shop/pages",
    "PodDisruptionBudget pick-shop/pages": "brought by Deployment pick-shop/pages",
    "NetworkPolicy pick-shop/closed": "brought by Deployment pick-shop/pages",
    "Secret pick-shop/registry": "brought by ServiceAccount pick-shop/pages",
    "ClusterRoleBinding pick-watches": "brought by ServiceAccount pick-shop/pages",
    "ClusterRole pick-watcher": "brought by ClusterRoleBinding pick-watches",
    "StorageClass pick-fast": "brought by PersistentVolumeClaim pick-shop/files",
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def written(self) -> dict[str, dict[str, Any]]:
        """What is on green, or should be, by this run; what another test has on blue is not of this part."""
        done = ("create", "update", "unchanged")
        return {o["object"]: o for o in json.loads(self.out)["objects"] if o["action"] in done}


Command = Callable[..., Ran]


@pytest.fixture(scope="module")
def chosen_from(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """The pair, with these objects on blue."""
    blue, _ = pair
    blue.kubectl("apply", "-f", "-", given=DEFINITION)
    blue.kubectl("wait", "--for=condition=Established", "crd/trinkets.pick.example.com", "--timeout=60s")
    blue.kubectl("apply", "-f", "-", given=OBJECTS)
    await_object(blue, "pods", "-n", "pick-shop", "-l", "app=pages")
    yield pair
    cleared(blue)


def cleared(plane: Bare) -> None:
    remove_namespaces((plane,), *SPACES)
    plane.kubectl("delete", *CLUSTER_WIDE, "--ignore-not-found")


@pytest.fixture
def bluegreen(chosen_from: tuple[Bare, Bare], tmp_path: Path) -> Iterator[Command]:
    """The command; `said` is `replicate` of migration.yaml. Green has nothing of it before and after."""
    pair = chosen_from
    clusters = {
        plane.name: {"kubeconfig": str(plane.kubeconfig), "gateway": {"address": f"127.0.0.{number}"}}
        for number, plane in enumerate(pair, 2)
    }
    sides = {"blue": pair[0].name, "green": pair[1].name}
    edge = {"bluegreen:kind": "edge", "bluegreen:sides": sides, "bluegreen:services": {}, "bluegreen:generation": 1}
    (tmp_path / "edge.yaml").write_text(json.dumps({"config": edge}))

    def run(*arguments: str, said: dict[str, Any] | None = None) -> Ran:
        said = {"answers": {"Deployment pick-shop/pages": "empty"}, **(said or {})}
        document = {"version": 1, "clusters": clusters, "edge": "edge.yaml", "replicate": said}
        (tmp_path / "migration.yaml").write_text(json.dumps(document, indent=1))
        process = command.start("-c", str(tmp_path / "migration.yaml"), "replicate", *arguments)
        output, log = process.communicate(timeout=command.PATIENCE_SECONDS)
        assert "PICK-CANARY" not in output + log
        return Ran(process.returncode, output, log)

    cleared(pair[1])  # another test's run may have copied it
    yield run
    cleared(pair[1])


def there(green: Bare) -> set[str]:
    """Kind and name of what is in our namespaces on green, without what each cluster makes."""
    kinds = "deployments,services,configmaps,secrets,serviceaccounts,virtualservices"
    found = set()
    for space in SPACES:
        for item in json.loads(green.kubectl("get", kinds, "-n", space, "-o", "json"))["items"]:
            name = item["metadata"]["name"]
            if name not in ("kube-root-ca.crt", "default"):
                found.add(f"{item['kind']} {space}/{name}")
    return found


def test_one_run_copies_a_service_with_what_it_needs(pair: tuple[Bare, Bare], bluegreen: Command) -> None:
    plan = bluegreen("pick-shop/web")
    assert plan.code == 3
    assert (
        "  create, brought by ServiceAccount pick-shop/pages: Secret pick-shop/registry, ClusterRoleBinding pick-watches\n"
        in plan.out
    )
    assert "note Deployment pick-shop/pages: names ConfigMap pick-shop/forgotten, which is not on blue" in plan.out
    assert "maybe" not in plan.out
    assert there(pair[1]) == set(), "it was only the plan"

    first = bluegreen("pick-shop/web", "--yes", "--json")
    assert first.code == 0, first.err
    assert {name: told["brought"] for name, told in first.written.items()} == SERVICE
    copied = {name for name in SERVICE if name.partition(" ")[0] in KINDS}
    assert there(pair[1]) == copied
    assert on(pair[1], "deployment", "pages", "-n", "pick-shop")["spec"]["replicas"] == 2

    second = bluegreen("pick-shop/web", "--yes", "--json")
    document = json.loads(second.out)
    assert (second.code, document["writes"], document["unchanged"]) == (0, 0, len(SERVICE))


KINDS = ("Deployment", "Service", "ConfigMap", "Secret", "ServiceAccount", "VirtualService")


def test_a_namespace_comes_with_what_it_needs_of_the_cluster(pair: tuple[Bare, Bare], bluegreen: Command) -> None:
    done = bluegreen("pick-stock", "--yes", "--json")
    assert done.code == 0, done.err
    assert {name: told["brought"] for name, told in done.written.items()} == {
        **dict.fromkeys(
            (
                "Namespace pick-stock",
                "Service pick-stock/counted",
                "Deployment pick-stock/counted",
                "ConfigMap pick-stock/of-others",
                "Trinket pick-stock/first",
            ),
            "requested",
        ),
        "CustomResourceDefinition trinkets.pick.example.com": "brought by Trinket pick-stock/first",
    }
    assert on(pair[1], "trinket", "first", "-n", "pick-stock")
    assert json.loads(bluegreen("pick-stock", "--yes", "--json").out)["writes"] == 0


@pytest.mark.parametrize(
    ("said", "arguments", "kept"),
    [
        pytest.param(
            {"include": {"namespaces": ["pick-st*"], "kinds": ["Deployment"]}},
            (),
            {"Deployment pick-stock/counted", "Namespace pick-stock"},
            id="include by pattern and kind",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"include": {"namespaces": ["pick-*"], "selector": "tier in (back, front),!gone"}},
            (),
            {
                "Deployment pick-shop/pages",
                "Namespace pick-shop",
                "Namespace pick-stock",
                "ConfigMap pick-stock/of-others",
                "Trinket pick-stock/first",
                "CustomResourceDefinition trinkets.pick.example.com",
            },
            id="include by labels",
        ),
        pytest.param(
            {"exclude": {"namespaces": ["pick-edge"], "kinds": ["Deployment", "trinkets"]}},
            ("pick-stock", "--kind", "ConfigMap", "--kind", "deployments.apps"),
            {"ConfigMap pick-stock/of-others", "Namespace pick-stock"},
            id="exclude by kind, and --kind",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"exclude": {"selector": "tier"}},
            ("pick-stock",),
            {"Service pick-stock/counted", "Deployment pick-stock/counted", "Namespace pick-stock"},
            id="exclude by labels",
        ),
    ],
)
def test_objects_are_selected_by_namespace_kind_and_labels(
    pair: tuple[Bare, Bare], bluegreen: Command, said: dict[str, Any], arguments: tuple[str, ...], kept: set[str]
) -> None:
    done = bluegreen(*arguments, "--yes", "--json", said=said)
    assert done.code == 0, done.err
    assert done.written.keys() == kept
    assert there(pair[1]) == {name for name in kept if name.partition(" ")[0] in KINDS}
    assert json.loads(bluegreen(*arguments, "--yes", "--json", said=said).out)["writes"] == 0


def test_what_is_excluded_by_namespace_is_not_written_though_a_service_needs_it(
    pair: tuple[Bare, Bare], bluegreen: Command
) -> None:
    done = bluegreen("pick-shop/web", "--yes", "--json", said={"exclude": {"namespaces": ["pick-edge"]}})
    assert done.code == 0, done.err
    assert set(SERVICE) - set(done.written) == {"Namespace pick-edge", "Gateway pick-edge/public", "Secret pick-edge/site"}
    assert done.written["VirtualService pick-shop/web"]["notes"] == [
        "needs Gateway pick-edge/public, which is left out by `replicate.exclude` by namespaces"
    ]


@pytest.mark.parametrize(
    ("arguments", "said", "told"),
    [
        (("pick-shop/wab",), {}, "pick-shop/wab: no VirtualService of this name on cluster plum (did you mean pick-shop/web?)"),
        (("pick-shop/pages",), {}, "Deployment pick-shop/pages and Service pick-shop/pages are, and pick-shop/web leads there"),
        (("pick-shopp",), {}, "pick-shopp: no such namespace on cluster plum (did you mean pick-shop?)"),
        (("pick-shop", "--kind", "Configmaps.v1"), {}, "serves no kind Configmaps.v1"),
        ((), {"exclude": {"namespaces": ["pick-stok"]}}, "namespaces[0]: pick-stok: no such namespace on cluster plum"),
        (
            (),
            {"answers": {"Deployment pick-shop/page": "skip"}},
            "is not on cluster plum (did you mean Deployment pick-shop/pages?)",
        ),
    ],
)
def test_a_misspelt_name_is_refused_before_anything_is_written(
    pair: tuple[Bare, Bare], bluegreen: Command, arguments: tuple[str, ...], said: dict[str, Any], told: str
) -> None:
    done = bluegreen(*arguments, "--yes", said=said)
    assert done.code == 2
    assert told in done.err
    assert there(pair[1]) == set()
    if said:
        assert "migration.yaml:" in done.err, "with the line"


def test_explain_describes_one_object_without_writing(pair: tuple[Bare, Bare], bluegreen: Command) -> None:
    done = bluegreen("--explain", "Secret/pick-shop/api-key", "pick-shop/web", "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert (told["class"], told["action"], told["brought"]) == ("plain", "create", "brought by Deployment pick-shop/pages")
    assert "- what identifies blue's own: creationTimestamp, managedFields, resourceVersion, uid" in told["fields"]
    service = json.loads(bluegreen("--explain", "Service pick-shop/pages", "--json").out)
    assert "- spec.clusterIP" in service["fields"]
    assert "leadership in one cluster" in bluegreen("--explain", "Lease/kube-system/x").out
    assert bluegreen("--explain", "Service/pick-shop/page").code == 2
    assert there(pair[1]) == set()
