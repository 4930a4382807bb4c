"""Each check finds what it is for and nothing on healthy clusters; what cannot be read is unknown; waivers stay
visible.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from migration.codes import DOCS
from migration.errors import Forbidden
from migration.model import Finding
from migration.objects import kinds
from migration.objects.classes import Answer
from migration.objects.kinds import Resource
from migration.preflight.clusters import quantity, requested
from migration.preflight.run import CHECKS, preflight
from migration.settings.choices import Choices
from routing.virtual_service import VIRTUAL_SERVICE
from tests.fakes.apiserver import FakeApiServer

LEASE = Resource("coordination.k8s.io", "v1", "Lease", "leases", True)
CRON = Resource("batch", "v1", "CronJob", "cronjobs", True)
WIDGET = Resource("example.com", "v1", "Widget", "widgets", True)
ALL = (*kinds.WELL_KNOWN.values(), LEASE, CRON, WIDGET)
LABELS = {"app": "web"}


def one(resource: Resource, name: str = "web", spec: Any = None, namespace: str = "shop", **rest: Any) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if resource.namespaced else {}), **rest.pop("metadata", {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": spec or {}, **rest}


def workload(replicas: int = 2, probe: bool = True, **pod: Any) -> dict[str, Any]:
    container = {"name": "main", **({"readinessProbe": {"httpGet": {"port": 80}}} if probe else {})}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container], **pod}}
    return one(kinds.DEPLOYMENT, spec={"replicas": replicas, "template": template})


def route(gateway: str = "istio-system/public", **spec: Any) -> dict[str, Any]:
    rule = {"http": [{"route": [{"destination": {"host": "web"}}]}], **spec}
    return one(VIRTUAL_SERVICE, spec={"hosts": ["web.example.com"], "gateways": [gateway], **rule})


def pod(cpu: str) -> dict[str, Any]:
    return one(kinds.POD, "web-1", {"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]})


SERVICE = one(kinds.SERVICE, spec={"selector": LABELS})
PUBLIC = one(kinds.GATEWAY, "public", namespace="istio-system")
NODE = one(
    kinds.NODE,
    "n1",
    metadata={"labels": {"disk": "slow"}},
    status={"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
)
HEALTHY = [workload(), SERVICE, route(), pod("500m"), PUBLIC]


def look(
    blue: list[dict[str, Any]],
    green: list[dict[str, Any]] | None = None,
    *,
    green_serves: tuple[Resource, ...] = ALL,
    ignore: tuple[str, ...] = (),
    **fake: Any,
) -> list[Finding]:
    one_side = FakeApiServer("plum", blue, resources=ALL, **fake)
    other = FakeApiServer("fern", [NODE, PUBLIC] if green is None else green, resources=green_serves)
    return asyncio.run(preflight(one_side, other, ignore=ignore))


def test_healthy_clusters_have_no_findings() -> None:
    assert look(HEALTHY) == []


WRITTEN = {"managedFields": [{"manager": "helm", "apiVersion": "example.com/v1beta1", "time": "2026-01-01T00:00:00Z"}]}
CLASS = one(kinds.STORAGE_CLASS, "disk", provisioner="a", metadata={})


@pytest.mark.parametrize(
    ("code", "blue", "green", "serves", "evidence"),
    [
        pytest.param("BG001", [one(WIDGET, metadata=WRITTEN)], None, ALL, "written in it by helm", id="a version that is gone"),
        pytest.param("BG101", [one(WIDGET)], None, ALL[:-1], "green does not serve the kind", id="a kind that is missing"),
        pytest.param(
            "BG102",
            [route()],
            [NODE],
            tuple(r for r in ALL if r.kind != "VirtualService"),
            "green does not serve",
            id="no Istio on green",
        ),
        pytest.param(
            "BG110", [one(kinds.PVC, spec={"storageClassName": "gone"})], None, ALL, "neither", id="a class of nobody"
        ),
        pytest.param("BG111", [CLASS], [NODE, {**CLASS, "provisioner": "b"}], ALL, "provisioner", id="a class that differs"),
        pytest.param("BG120", [route()], [NODE], ALL, "green has none", id="a gateway that green lacks"),
        pytest.param("BG201", [pod("9")], None, ALL, "ask for 9.0 cores", id="no room"),
        pytest.param("BG201", [pod("1")], [PUBLIC], ALL, "no schedulable node", id="no node"),
        pytest.param("BG202", [workload(nodeSelector={"disk": "fast"})], None, ALL, "disk=fast", id="labels that no node has"),
        pytest.param("BG301", [workload(1), SERVICE, route()], None, ALL, "1 replica", id="one replica behind a route"),
        pytest.param(
            "BG302",
            [one(kinds.PDB, status={"expectedPods": 1, "disruptionsAllowed": 0})],
            None,
            ALL,
            "0 disruptions",
            id="a blocking budget",
        ),
        pytest.param("BG303", [workload(probe=False), SERVICE, route()], None, ALL, "no readiness probe", id="no probe"),
        pytest.param("BG304", [route(http=None, tcp=[{"route": []}])], None, ALL, "", id="a route that cannot be split"),
        pytest.param(
            "BG401",
            [one(kinds.PVC, spec={"accessModes": ["ReadWriteOnce"]})],
            None,
            ALL,
            "ReadWriteOnce",
            id="a volume",
        ),
        pytest.param(
            "BG402", [one(kinds.STATEFUL_SET, spec={"volumeClaimTemplates": [{}]})], None, ALL, "keeps data on", id="a set"
        ),
        pytest.param("BG501", [one(LEASE, spec={"holderIdentity": "web-1"})], None, ALL, "held by web-1", id="a leader"),
        pytest.param("BG502", [one(CRON, spec={"schedule": "@daily"})], None, ALL, "@daily", id="a schedule"),
        pytest.param(
            "BG503",
            [one(kinds.DEPLOYMENT, spec={"replicas": 1, "strategy": {"type": "Recreate"}})],
            None,
            ALL,
            "Recreate",
            id="one that never runs twice",
        ),
    ],
)
def test_each_check_can_fail(code: str, blue: Any, green: Any, serves: Any, evidence: str) -> None:
    found = [f for f in look(blue, green, green_serves=serves) if f.code == code]
    assert found, f"{code} was not found"
    assert (found[0].status, evidence in found[0].evidence) == ("fail", True)
    assert found[0].remedy
    assert found[0].doc == DOCS[code]


def routes_unread(verb: str, resource: Resource, name: str) -> None:
    if resource.kind == "VirtualService":
        raise Forbidden("virtualservices is forbidden")


def test_what_may_not_be_listed_is_one_finding_with_all_that_is_unknown_for_it() -> None:
    found = look(HEALTHY, trouble=routes_unread)
    assert [(f.code, f.status, f.severity, f.object) for f in found] == [("BG002", "unknown", "blocking", VIRTUAL_SERVICE.name)]
    assert "BG001, BG101, BG120, BG301, BG303, BG304 are not known: virtualservices is forbidden" in found[0].evidence


@pytest.mark.parametrize(
    ("waived", "status", "severity"),
    [
        (("BG001", "BG101"), "unknown", "blocking"),  # BG120 blocks and needs it too
        (("BG001", "BG101", "BG120"), "unknown", "warning"),
        (("BG001", "BG101", "BG120", "BG301", "BG303", "BG304"), "waived", "blocking"),
        ((f"BG002:{VIRTUAL_SERVICE.name}",), "waived", "blocking"),
        (("BG002:services",), "unknown", "blocking"),
    ],
)
def test_an_unread_kind_weighs_as_the_gravest_check_that_is_not_ignored(
    waived: tuple[str, ...], status: str, severity: str
) -> None:
    found = look(HEALTHY, trouble=routes_unread, ignore=waived)
    assert [(f.status, f.severity) for f in found] == [(status, severity)]


def routes_and_pods_unread(verb: str, resource: Resource, name: str) -> None:
    if verb == "list" and resource.kind in ("VirtualService", "Pod", "CronJob"):
        what = f'User "looker" cannot list resource "{resource.plural}" in API group "{resource.group}" at the cluster scope'
        raise Forbidden(f"cluster plum: GET /{resource.plural}: {resource.name} is forbidden: {what}")


@pytest.mark.parametrize(
    ("ignore", "told"),
    [
        ((), [("unknown", "blocking", "looker on plum")]),
        (("BG002",), [("waived", "blocking", "looker on plum")]),
        (("BG002:looker on plum",), [("waived", "blocking", "looker on plum")]),
        (("BG002:pods",), [("unknown", "blocking", "looker on plum"), ("waived", "blocking", "pods")]),
        (
            ("BG001", "BG101", "BG502"),
            [("unknown", "blocking", "looker on plum"), ("waived", "blocking", "cronjobs.batch")],
        ),
    ],
)
def test_kinds_that_are_refused_alike_are_one_finding(ignore: tuple[str, ...], told: list[tuple[str, str, str]]) -> None:
    found = look(HEALTHY, trouble=routes_and_pods_unread, ignore=ignore)
    assert [(f.status, f.severity, f.object) for f in found if f.code == "BG002"] == told
    if not ignore:
        assert found[0].evidence == (
            "cluster plum: 3 kinds may not be listed by looker: pods, cronjobs.batch, virtualservices.networking.istio.io; "
            "so BG001, BG101, BG120, BG201, BG301, BG303, BG304, BG502, BG602 are not known"
        )
        assert "bluegreen-read" in found[0].remedy


OLD, NEW, GONE = "2019-03-01T00:00:00Z", "2025-03-01T00:00:00Z", "example.com/v1beta1"


def written(manager: str, api_version: str, time: str, **more: str) -> dict[str, str]:
    return {"manager": manager, "operation": "Update", "apiVersion": api_version, "time": time, **more}


def applied(api_version: str) -> dict[str, str]:
    return {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"apiVersion": api_version, "kind": "Widget"})}


@pytest.mark.parametrize(
    ("entries", "annotations", "who"),
    [
        pytest.param([written("helm", GONE, OLD), written("helm", "example.com/v1", NEW)], {}, None, id="gone over since"),
        pytest.param([written("helm", GONE, NEW), written("helm", "example.com/v1", OLD)], {}, "helm", id="gone back"),
        pytest.param([written("helm", GONE, NEW), written("helm", "example.com/v1", NEW)], {}, "helm", id="at the same time"),
        pytest.param([written("helm", GONE, OLD), written("flux", "example.com/v1", NEW)], {}, "helm", id="another's write"),
        pytest.param(
            [written("helm", GONE, OLD), written("helm", "example.com/v1", NEW, subresource="status")],
            {},
            None,
            id="the same client writes the status in the new one",
        ),
        pytest.param([written("kube-controller-manager", GONE, NEW)], {}, None, id="the cluster's own controller"),
        pytest.param([], applied(GONE), "kubectl apply", id="only the annotation"),
        pytest.param([written("helm", "example.com/v1", NEW)], applied(GONE), "kubectl apply", id="another's write beside it"),
        pytest.param([written("kubectl", "example.com/v1", NEW)], applied(GONE), None, id="applied on the server's side since"),
        pytest.param(
            [written("kubectl-client-side-apply", GONE, OLD), written("kubectl", "example.com/v1", NEW)],
            applied(GONE),
            None,
            id="applied in both ways",
        ),
        pytest.param(
            [written("kubectl-client-side-apply", GONE, OLD), written("kubectl-edit", "example.com/v1", NEW)],
            applied(GONE),
            "kubectl apply",
            id="edited since, the manifest is as it was",
        ),
        pytest.param(
            [written("kubectl-client-side-apply", "example.com/v1", OLD)], applied(GONE), None, id="an annotation left behind"
        ),
    ],
)
def test_a_managers_newest_write_shows_whether_it_uses_a_version_that_is_gone(
    entries: Any, annotations: Any, who: str | None
) -> None:
    found = [
        f for f in look([one(WIDGET, metadata={"managedFields": entries, "annotations": annotations})]) if f.code == "BG001"
    ]
    assert [f.object for f in found] == ([f"{GONE} Widget"] if who else [])
    assert not who or f"written in it by {who}" in found[0].evidence


@pytest.mark.parametrize(
    ("was", "resource"),
    [
        ("extensions/v1beta1", kinds.DEPLOYMENT),
        ("extensions/v1beta1", kinds.INGRESS),
        ("apps/v1beta2", kinds.DEPLOYMENT),
        ("policy/v1beta1", kinds.PDB),
    ],
)
def test_a_kind_that_moved_to_another_group_is_looked_up_where_it_went(was: str, resource: Resource) -> None:
    found = [f for f in look([one(resource, metadata={"managedFields": [written("helm", was, NEW)]})]) if f.code == "BG001"]
    assert [(f.object, f.status) for f in found] == [(f"{was} {resource.kind}", "fail")]
    assert found[0].remedy.endswith(f"to {resource.api_version}")


CILIUM = Resource("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", True)
PSP = Resource("policy", "v1beta1", "PodSecurityPolicy", "podsecuritypolicies", False)


def crd(resource: Resource) -> dict[str, Any]:
    names = {"kind": resource.kind, "plural": resource.plural}
    return one(kinds.CRD, resource.name, {"group": resource.group, "names": names, "versions": []})


@pytest.mark.parametrize(
    ("served", "objects", "evidence"),
    [
        pytest.param(
            CILIUM, [crd(CILIUM), one(CILIUM)], "does not come along (belongs to the baseline)", id="a left-out group"
        ),
        pytest.param(WIDGET, [crd(WIDGET), one(WIDGET)], None, id="a definition that comes along"),
        pytest.param(
            WIDGET,
            [{**crd(WIDGET), "metadata": {"name": WIDGET.name, "managedFields": [{"manager": "eks"}]}}, one(WIDGET)],
            "does not come along",
            id="a left-out owner",
        ),
        pytest.param(CILIUM, [crd(CILIUM), one(CILIUM, namespace="kube-system")], None, id="objects that stay"),
        pytest.param(PSP, [one(PSP)], "nor does any Kubernetes since 1.25", id="a kind that is gone for good"),
        pytest.param(
            Resource("networking.k8s.io", "v1beta1", "Ingress", "ingresses", True),
            [one(Resource("networking.k8s.io", "v1beta1", "Ingress", "ingresses", True))],
            "write it as networking.k8s.io/v1",
            id="no version in common",
        ),
        pytest.param(
            Resource("batch", "v1beta1", "CronJob", "cronjobs", True),
            [one(Resource("batch", "v1beta1", "CronJob", "cronjobs", True))],
            None,
            id="a version that is the same but for its name",
        ),
    ],
)
def test_what_would_come_along_but_green_cannot_accept_blocks(served: Resource, objects: Any, evidence: str | None) -> None:
    mine = (*(r for r in ALL if (r.group, r.kind) != (served.group, served.kind)), served)
    one_side = FakeApiServer("plum", objects, resources=mine)
    other = FakeApiServer("fern", [NODE], resources=tuple(r for r in ALL if r is not WIDGET))
    found = [f for f in asyncio.run(preflight(one_side, other)) if f.code == "BG101"]
    assert [f.severity for f in found] == (["blocking"] if evidence else [])
    assert not evidence or evidence in found[0].evidence


def test_an_answer_to_skip_settles_what_green_does_not_serve() -> None:
    one_side = FakeApiServer("plum", [crd(CILIUM), one(CILIUM)], resources=(*ALL, CILIUM))
    choices = Choices(answers={"CiliumNetworkPolicy shop/web": Answer.SKIP})
    found = asyncio.run(preflight(one_side, FakeApiServer("fern", [NODE], resources=ALL), choices=choices))
    assert [f for f in found if f.code == "BG101"] == []


def test_what_cannot_be_created_any_more_blocks_with_what_to_change() -> None:
    hook = Resource(
        "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False
    )
    obj = one(hook, webhooks=[{"name": "a.example.com", "sideEffects": "Some"}])
    one_side = FakeApiServer("plum", [obj], resources=(*ALL, hook))
    found = asyncio.run(preflight(one_side, FakeApiServer("fern", [NODE], resources=(*ALL, hook))))
    assert [(f.code, f.severity, f.object) for f in found] == [("BG004", "blocking", "ValidatingWebhookConfiguration web")]
    assert "NoneOnDryRun" in found[0].evidence


@pytest.mark.parametrize("waiver", ["BG401", "BG401:PersistentVolumeClaim shop/web"], ids=["code", "code and object"])
def test_an_ignored_finding_is_kept_visible(waiver: str) -> None:
    claim = one(kinds.PVC, spec={"accessModes": ["ReadWriteOnce"]})
    assert [(f.code, f.status) for f in look([claim], ignore=(waiver,))] == [("BG401", "waived")]
    assert [(f.code, f.status) for f in look([claim], ignore=("BG401:PersistentVolumeClaim shop/other",))] == [
        ("BG401", "fail")
    ]


def test_what_is_on_its_way_out_is_not_reported() -> None:
    going = one(kinds.NAMESPACE, "shop", metadata={"deletionTimestamp": "t"})
    claim = one(kinds.PVC, spec={"storageClassName": "gone"})
    lease = one(LEASE, spec={"holderIdentity": "web-1"})
    ingress = one(kinds.INGRESS, spec={"ingressClassName": "gone"})
    left = [claim, lease, ingress, pod("9"), one(CRON), workload(1), SERVICE, route()]
    assert {"BG110", "BG201", "BG501", "BG502"} <= {f.code for f in look([PUBLIC, *left])}
    assert look([PUBLIC, *left, going]) == []
    alone = [one(LEASE, spec={"holderIdentity": "web-1"}, metadata={"deletionTimestamp": "t"})]
    assert look([PUBLIC, *alone]) == []


def test_the_worst_finding_comes_first() -> None:
    found = look([one(kinds.PVC, spec={"accessModes": ["ReadWriteOnce"]}), pod("9"), one(CRON)])
    assert [f.code for f in found] == ["BG201", "BG401", "BG502"]


def test_every_code_is_explained() -> None:
    assert {check.code for check in CHECKS} <= DOCS.keys()


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("1Gi", 2.0**30), ("1e3", 1000.0), (2, 2.0), ("0.5", 0.5), ("1500M", 1.5e9), ("?", 0.0)],
)
def test_quantities_are_read_as_kubernetes_reads_them(text: Any, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_a_pods_request_counts_sidecars_and_the_largest_init_container() -> None:
    def asks(cpu: str, **rest: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **rest}

    spec = {
        "containers": [asks("1"), asks("500m")],
        "initContainers": [asks("4"), asks("250m", restartPolicy="Always")],
    }
    assert requested({"spec": spec})["cpu"] == 4.0
