"""Whose an object is: by what its owner wrote, never by a part of a name."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from migration.errors import ConfigError, Forbidden, Held
from migration.model import Severity
from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class
from migration.objects.kinds import WELL_KNOWN, Resource
from migration.objects.listing import Discovery
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ownership.owners import made_by, sign
from migration.ports.reading import look
from migration.preflight.replicated import of_the_judge
from migration.preflight.run import preflight
from migration.replicate.apply import Applied, apply
from migration.replicate.export import GREENS, Bundle, export, read
from migration.replicate.plan import Plan, plan
from migration.replicate.transform import transform
from migration.settings.choices import Choices, Selection
from migration.views.plan import plan_lines
from migration.views.replicate import replicated
from tests.fakes.apiserver import FakeApiServer

RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
SECRET = Resource("", "v1", "Secret", "secrets", True)
ACCOUNT = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
ROLE = Resource(RBAC, "v1", "ClusterRole", "clusterroles", False)
BINDING = Resource(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
HOOK = Resource(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False)
API = Resource("apiregistration.k8s.io", "v1", "APIService", "apiservices", False)
JOB = Resource("batch", "v1", "Job", "jobs", True)
FLOW = Resource("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", False)
CERTIFICATE = Resource("cert-manager.io", "v1", "Certificate", "certificates", True)
APPLICATION = Resource("argoproj.io", "v1alpha1", "Application", "applications", True)
KUSTOMIZATION = Resource("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations", True)
HELM_RELEASE = Resource("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", True)
SUBSCRIPTION = Resource("operators.coreos.com", "v1alpha1", "Subscription", "subscriptions", True)
CSV = Resource("operators.coreos.com", "v1alpha1", "ClusterServiceVersion", "clusterserviceversions", True)
INSTALL_PLAN = Resource("operators.coreos.com", "v1alpha1", "InstallPlan", "installplans", True)
ROOT_SYNC = Resource("configsync.gke.io", "v1beta1", "RootSync", "rootsyncs", True)
# fmt: off
ALL = (
    *WELL_KNOWN.values(), SECRET, ACCOUNT, ROLE, BINDING, HOOK, API, JOB, FLOW, CERTIFICATE, APPLICATION, KUSTOMIZATION,
    HELM_RELEASE, SUBSCRIPTION, CSV, INSTALL_PLAN, ROOT_SYNC,
)
# fmt: on
Object = dict[str, Any]


def one(resource: Resource, name: str = "web", namespace: str = "shop", /, **rest: Any) -> Object:
    """`labels`, `annotations`, `owners` and `managers` go where they belong."""
    meta: Object = {"name": name, **({"namespace": namespace} if resource.namespaced else {})}
    meta |= {key: rest.pop(key) for key in ("labels", "annotations") if key in rest}
    if owners := rest.pop("owners", None):
        meta["ownerReferences"] = owners
    if managers := rest.pop("managers", None):
        meta["managedFields"] = [
            {"manager": manager, "operation": "Update", "apiVersion": resource.api_version, "fieldsV1": fields}
            for manager, fields in managers.items()
        ]
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **rest}


def server(name: str, *objects: Object) -> FakeApiServer:
    return FakeApiServer(name, objects, resources=ALL)


def run(*blue: Object, green: tuple[Object, ...] = (), answers: dict[str, Answer] | None = None, **said: Any) -> Bundle:
    choices = Choices(answers=answers or {}, **said)
    return asyncio.run(export(server("plum", *blue), server("fern", *green), choices=choices))


def whole(
    *blue: Object, green: tuple[Object, ...] = (), answers: dict[str, Answer] | None = None, force: bool = False
) -> tuple[Plan, Applied, FakeApiServer]:
    """Everything that `replicate` does, on a green that one can look at afterwards."""
    one_side, other = server("plum", *blue), server("fern", *green)

    async def act() -> tuple[Plan, Applied]:
        bundle = await export(one_side, other, choices=Choices(answers=answers or {}))
        made = await plan(transform(bundle), other)
        return made, await apply(made, other, force=force)

    return *asyncio.run(act()), other


def comes(bundle: Bundle) -> set[str]:
    return {item.name for item in bundle.items}


def why(bundle: Bundle, obj: Object) -> str:
    (told,) = [item.verdict.reason for item in bundle.left if item.name == kinds.name_of(obj)]
    return told


# -- names decide nothing ----------------------------------------------------------------------------------------------

NAMED = [
    one(kinds.NAMESPACE, "eks-sample-app"),
    one(ROLE, "eks-console-dashboard-full-access"),
    one(kinds.STORAGE_CLASS, "eks-gp3-encrypted"),
    one(kinds.NAMESPACE, "aws-node-tools"),
    one(ROLE, "aws-node-termination-handler"),
    one(BINDING, "vpc-resource-audit"),
    one(ROLE, "eks:addon-manager-otel"),  # AWS tells people to apply it before they install that add-on
    one(kinds.CONFIG_MAP, "aws-auth", "tools"),
    one(kinds.DEPLOYMENT, "coredns", "tools", labels={"eks.amazonaws.com/component": "coredns"}),
    one(kinds.DEPLOYMENT, "gateway", "istio-ingress", labels={"app.kubernetes.io/part-of": "istio"}),
    one(kinds.DEPLOYMENT, "web", "shop", labels={"app.kubernetes.io/instance": "shop"}),
    one(SECRET, "api-token-store", type="Opaque"),
    one(
        SECRET,
        "ci-token-prod",
        type="kubernetes.io/service-account-token",
        labels={"kubernetes.io/legacy-token-last-used": "d"},
    ),
    one(ROLE, "system:adapter-reader", annotations={"meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": "b"}),
]


@pytest.mark.parametrize("obj", NAMED, ids=[kinds.name_of(obj) for obj in NAMED])
def test_a_name_or_label_of_free_choice_keeps_nothing_back(obj: Object) -> None:
    assert comes(run(obj)) == {kinds.name_of(obj)}


LEFT: dict[str, tuple[str, list[Object]]] = {
    "an add-on's object": ("managed by EKS", [one(ROLE, "aws-node", managers={"eks": {}})]),
    "EKS' flow schema": ("managed by EKS", [one(FLOW, "eks-exempt", managers={"eks-internal": {}})]),
    "EKS' role by its full name": ("managed by EKS", [one(ROLE, "eks:addon-manager")]),
    "EKS' marked role": ("managed by EKS", [one(ROLE, "eks:new-thing", labels={"eks.amazonaws.com/component": "node"})]),
    "EKS' webhook beside the API server": (
        "managed by EKS",
        [
            one(
                HOOK,
                "vpc-resource-validating-webhook",
                webhooks=[{"name": "v", "clientConfig": {"url": "https://127.0.0.1:23443/x"}}],
            )
        ],
    ),
    "a reserved role": ("made by every cluster", [one(ROLE, "system:node")]),
    "a token that the cluster minted": (
        "minted by each cluster",
        [
            one(SECRET, "ci-token-7dx4k", type="kubernetes.io/service-account-token"),
            one(ACCOUNT, "ci", secrets=[{"name": "ci-token-7dx4k"}]),
        ],
    ),
    "a role of Istio's installation": (
        "belongs to the baseline",
        [one(ROLE, "istiod", labels={"install.operator.istio.io/owning-resource-namespace": "istio-system"})],
    ),
    "a definition of the VPC CNI": (
        "belongs to the baseline",
        [one(kinds.CRD, "eniconfigs.crd.k8s.amazonaws.com", spec={"group": "crd.k8s.amazonaws.com"})],
    ),
}


@pytest.mark.parametrize(("reason", "objects"), LEFT.values(), ids=LEFT)
def test_what_its_owner_has_marked_stays(reason: str, objects: list[Object]) -> None:
    bundle = run(*objects)
    assert reason in why(bundle, objects[0])
    assert kinds.name_of(objects[0]) not in comes(bundle)


def test_rights_of_the_baselines_accounts_are_greens_own_where_green_has_them() -> None:
    def rights(manager: str, namespace: str = "kube-system") -> tuple[Object, Object]:
        subjects = [{"kind": "ServiceAccount", "name": "agent", "namespace": namespace}]
        role = {"kind": "ClusterRole", "name": "agent"}
        fields: dict[str, Any] = {manager: {"f:rules": {}}}
        return one(ROLE, "agent", rules=[], managers=fields), one(
            BINDING, "agent", roleRef=role, subjects=subjects, managers=fields
        )

    assert comes(run(*rights("kubectl"), green=rights("kubectl"))) == set()
    both = {"ClusterRole agent", "ClusterRoleBinding agent"}
    assert comes(run(*rights("kubectl"))) == both, "green has none"
    assert comes(run(*rights("kubectl"), green=rights(kinds.REPLICATE))) == both, "green's is the copy"
    assert comes(run(*rights("kubectl", "tools"), green=rights("kubectl"))) == both, "for a person's account"


# -- controllers -------------------------------------------------------------------------------------------------------


def owned(kind: str, api_version: str, name: str = "web") -> list[Object]:
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": "u", "controller": True}]


def test_only_a_certificates_secret_of_what_controllers_made_is_written() -> None:
    tls = one(SECRET, "web-tls", type="kubernetes.io/tls", owners=owned("Certificate", "cert-manager.io/v1"))
    key = one(
        SECRET,
        "web-9fk2x",
        owners=owned("Certificate", "cert-manager.io/v1"),
        labels={"cert-manager.io/next-private-key": "true"},
    )
    synced = one(SECRET, "db", owners=owned("ExternalSecret", "external-secrets.io/v1"))
    other = one(SECRET, "own", owners=owned("Certificate", "networking.internal.knative.dev/v1alpha1"))
    account = one(SECRET, "letsencrypt-account", type="Opaque")
    _, done, green = whole(one(CERTIFICATE), tls, key, synced, other, account)
    assert done.applied[-1] == "Certificate shop/web", "its Secret comes before it"
    assert set(done.applied) == {"Secret shop/web-tls", "Secret shop/letsencrypt-account", "Certificate shop/web"}
    assert "ownerReferences" not in green.objects["", "Secret", "shop", "web-tls"]["metadata"]


def test_a_token_that_a_person_asked_for_comes_after_its_account() -> None:
    token = one(
        SECRET,
        "ci-token",
        type="kubernetes.io/service-account-token",
        annotations={"kubernetes.io/service-account.name": "ci"},
        data={"token": "YmxhY2s="},
    )
    _, done, green = whole(token, one(ACCOUNT, "ci"))
    assert done.applied == ["ServiceAccount shop/ci", "Secret shop/ci-token"]
    assert "data" not in green.objects["", "Secret", "shop", "ci-token"]


# -- Helm --------------------------------------------------------------------------------------------------------------


def of_release(namespace: str, name: str) -> dict[str, str]:
    return {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}


def revision(namespace: str, name: str, number: int, **rest: Any) -> Object:
    labels = {"owner": "helm", "name": name, "version": str(number)}
    return one(SECRET, f"sh.helm.release.v1.{name}.v{number}", namespace, type="helm.sh/release.v1", labels=labels, **rest)


BALANCER = of_release("kube-system", "aws-load-balancer-controller")


def asking(bundle: str = "QkxVRQ==", service: str = "kube-system/balancer", **rest: Any) -> Object:
    namespace, name = service.split("/")
    client = {"service": {"namespace": namespace, "name": name}, **({"caBundle": bundle} if bundle else {})}
    return one(HOOK, "guard", webhooks=[{"name": "a.example.com", "failurePolicy": "Fail", "clientConfig": client}], **rest)


@pytest.mark.parametrize("force", [False, True], ids=["asked once", "with force"])
def test_what_belongs_to_a_release_of_a_baseline_namespace_is_left_alone_wherever_it_is(force: bool) -> None:
    by_helm: dict[str, Any] = {"helm": {"f:rules": {}, "f:webhooks": {}}}
    blue = [
        asking(annotations=BALANCER),
        one(ROLE, "balancer", annotations=BALANCER, rules=[{"verbs": ["get"]}]),
        one(kinds.CONFIG_MAP, "dashboards", annotations=BALANCER),
    ]
    green = (
        asking("R1JFRU4=", annotations=BALANCER, managers=by_helm),
        one(ROLE, "balancer", annotations=BALANCER, rules=[{"verbs": ["get", "list"]}], managers=by_helm),
    )
    made, done, fern = whole(*blue, green=green, force=force)
    assert (done.verdict(), done.writes, made.changes) == (None, 0, ())
    assert (
        made.skipped_by_reason()["belongs to the Helm release kube-system/aws-load-balancer-controller, and so to the baseline"]
        == 3
    )
    assert fern.objects[ADMISSION, HOOK.kind, "", "guard"]["webhooks"][0]["clientConfig"]["caBundle"] == "R1JFRU4="


def test_a_release_that_green_installed_itself_is_not_overwritten_by_blues() -> None:
    stack = of_release("monitoring", "stack")
    mine = [one(kinds.DEPLOYMENT, "grafana", "monitoring", annotations=stack), revision("monitoring", "stack", 7)]
    person = one(kinds.CONFIG_MAP, "our-dashboards", "monitoring")
    bundle = run(*mine, person, green=(revision("monitoring", "stack", 1, managers={"Helm": {}}),))
    assert comes(bundle) == {"ConfigMap monitoring/our-dashboards"}
    assert why(bundle, mine[0]) == "green has a Helm release monitoring/stack of its own, which brings it"
    assert comes(run(*mine, green=(revision("monitoring", "other", 1),))) == {kinds.name_of(obj) for obj in mine}


def test_nothing_is_written_where_greens_releases_could_not_be_read() -> None:
    def once(verb: str, resource: Resource, name: str) -> None:
        if resource == SECRET and other.requests.count(("list", "Secret")) == 1:
            raise Forbidden("secrets is forbidden")

    other = FakeApiServer("fern", (revision("monitoring", "stack", 1),), resources=ALL, trouble=once)
    blue = server("plum", one(kinds.DEPLOYMENT, "grafana", "monitoring", annotations=of_release("monitoring", "stack")))

    async def act() -> None:
        await apply(await plan(transform(await export(blue, other)), other), other)

    with pytest.raises(Held, match="secrets on fern: secrets is forbidden"):
        asyncio.run(act())
    assert other.writes() == []


def test_a_plan_sees_what_was_written_since_blue_was_read() -> None:
    other = server("fern")

    async def act() -> list[int]:
        bundle = transform(await export(server("plum", WEB, one(kinds.SERVICE)), other))
        return [(await apply(await plan(bundle, other), other)).writes for _ in range(2)]

    assert asyncio.run(act()) == [2, 0]


def packed(manifest: str, *hooks: str) -> dict[str, str]:
    record = json.dumps({"manifest": manifest, "hooks": [{"manifest": each} for each in hooks]}).encode()
    return {"release": base64.b64encode(base64.b64encode(gzip.compress(record))).decode()}


MANIFEST = """---
# Source: balancer/templates/rbac.yaml
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: "balancer"
"""
HOOK_OF_RELEASE = "kind: ClusterRole\nmetadata: \n  labels: {a: b}\n  name: balancer-hook\n"


def test_a_copy_with_a_releases_annotations_is_not_the_releases() -> None:
    kept = revision("kube-system", "aws-load-balancer-controller", 3, data=packed(MANIFEST, HOOK_OF_RELEASE))
    old = revision("kube-system", "aws-load-balancer-controller", 2, data=packed("metadata:\n  name: our-copy\n"))
    mine = [one(ROLE, name, annotations=BALANCER) for name in ("balancer", "balancer-hook", "our-copy")]
    assert comes(run(*mine, kept, old)) == {"ClusterRole our-copy"}
    assert comes(run(*mine, {**kept, "data": {"release": "AAAA"}})) == set(), "a record that cannot be read says nothing"


def test_a_release_that_was_copied_stays_the_copy_after_an_upgrade_on_green() -> None:
    mine = [one(kinds.DEPLOYMENT, "web", "shop", annotations=of_release("shop", "web")), revision("shop", "web", 7)]
    upgraded = (revision("shop", "web", 7, managers={kinds.REPLICATE: {}}), revision("shop", "web", 8, managers={"Helm": {}}))
    assert comes(run(*mine, green=upgraded)) == {kinds.name_of(obj) for obj in mine}


# -- GitOps: proofs ----------------------------------------------------------------------------------------------------

IN_CLUSTER = {"destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}}


def application(*resources: Object, name: str = "shop", spec: Object | None = None, **status: Any) -> Object:
    return one(APPLICATION, name, "argocd", spec=spec or IN_CLUSTER, status={"resources": list(resources), **status})


def listed(obj: Object, **rest: Any) -> Object:
    group, _, version = obj["apiVersion"].rpartition("/")
    meta = obj["metadata"]
    named = {"version": version, "kind": obj["kind"], "name": meta["name"], **({"group": group} if group else {})}
    return named | ({"namespace": meta["namespace"]} if "namespace" in meta else {}) | rest


def kustomization(*ids: str, spec: Object | None = None) -> Object:
    return one(
        KUSTOMIZATION,
        "apps",
        "flux-system",
        spec=spec or {},
        status={"inventory": {"entries": [{"id": each, "v": "v1"} for each in ids]}},
    )


FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
HELM_FLUX = {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "flux-system"}
WEB = one(kinds.DEPLOYMENT)
CLUSTER_WIDE = one(ROLE, "web:reader")
RELEASED = one(kinds.DEPLOYMENT, annotations=of_release("shop", "web"))
BY_HELM_RELEASE = one(HELM_RELEASE, "web", "flux-system", spec={"releaseName": "web", "targetNamespace": "shop"})
OPERATOR = one(
    kinds.DEPLOYMENT,
    labels={"olm.owner": "web.v1", "olm.owner.kind": "ClusterServiceVersion", "olm.owner.namespace": "shop"},
)
PROVEN: dict[str, tuple[str, Object, list[Object]]] = {
    "Argo CD lists it": ("Argo CD (Application argocd/shop)", WEB, [application(listed(WEB))]),
    "Argo CD lists it by the cluster's name": (
        "Argo CD (Application argocd/shop)",
        WEB,
        [application(listed(WEB), spec={"destination": {"name": "in-cluster"}})],
    ),
    "Argo CD lists what is in no namespace": (
        "Argo CD (Application argocd/shop)",
        CLUSTER_WIDE,
        [application(listed(CLUSTER_WIDE))],
    ),
    "an Application that was never reconciled is named": (
        "Argo CD (Application shop)",
        one(kinds.DEPLOYMENT, annotations={"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}),
        [one(APPLICATION, "shop", "argocd", spec=IN_CLUSTER)],
    ),
    "Flux lists it": ("Flux (Kustomization flux-system/apps)", WEB, [kustomization("shop_web_apps_Deployment")]),
    "Flux lists a role with a colon": (
        "Flux (Kustomization flux-system/apps)",
        CLUSTER_WIDE,
        [kustomization(f"_web__reader_{RBAC}_ClusterRole")],
    ),
    "Flux lists what is of the core group": (
        "Flux (Kustomization flux-system/apps)",
        one(kinds.CONFIG_MAP),
        [kustomization("shop_web__ConfigMap")],
    ),
    "a HelmRelease's release": ("Flux (HelmRelease flux-system/web)", RELEASED, [BY_HELM_RELEASE]),
    "the revision of a HelmRelease": (
        "Flux (HelmRelease flux-system/web)",
        revision("flux-system", "web", 3),
        [BY_HELM_RELEASE],
    ),
    "a definition of a HelmRelease, which Helm does not annotate": (
        "Flux (HelmRelease flux-system/web)",
        one(kinds.CRD, "webs.example.com", labels=HELM_FLUX, spec={"group": "example.com", "names": {"kind": "Web"}}),
        [BY_HELM_RELEASE],
    ),
    "a release by the HelmRelease's history": (
        "Flux (HelmRelease flux-system/long)",
        RELEASED,
        [
            one(
                HELM_RELEASE,
                "long",
                "flux-system",
                spec={"targetNamespace": "shop"},
                status={"history": [{"name": "web", "namespace": "shop"}]},
            )
        ],
    ),
    "OLM's operator": ("OLM (ClusterServiceVersion shop/web.v1)", OPERATOR, [one(CSV, "web.v1")]),
    "what a Subscription installed": (
        "OLM (Subscription shop/web)",
        one(CSV, "web.v1"),
        [one(SUBSCRIPTION, "web", status={"installedCSV": "web.v1"})],
    ),
    "the plan of a Subscription": (
        "OLM (Subscription shop/web)",
        one(
            INSTALL_PLAN,
            "install-x",
            owners=[{"apiVersion": "operators.coreos.com/v1alpha1", "kind": "Subscription", "name": "web", "uid": "u"}],
        ),
        [one(SUBSCRIPTION, "web")],
    ),
    "Config Sync": (
        "Config Sync (RootSync config-management-system/main)",
        one(
            kinds.DEPLOYMENT,
            annotations={
                "configsync.gke.io/resource-id": "apps_deployment_shop_web",
                "configsync.gke.io/manager": ":root_main",
            },
        ),
        [one(ROOT_SYNC, "main", "config-management-system")],
    ),
}


@pytest.mark.parametrize(("owner", "obj", "by"), PROVEN.values(), ids=PROVEN)
def test_what_a_tools_record_proves_is_left_to_the_tool(owner: str, obj: Object, by: list[Object]) -> None:
    applications = {kinds.name_of(each): Answer.START for each in by if each["kind"] == "Application"}  # else they wait
    bundle = run(obj, *by, answers=applications)
    assert why(bundle, obj) == f"deployed by {owner}: let it deploy to green"
    assert kinds.name_of(by[0]) in comes(bundle), "what tells the tool comes along"


STALE = "shop:apps/Deployment:shop/other"
VOID: dict[str, tuple[Object, list[Object]]] = {
    "a tracking id of another object": (one(kinds.DEPLOYMENT, annotations={"argocd.argoproj.io/tracking-id": STALE}), []),
    "a label beside a tracking id of another object": (
        one(
            kinds.DEPLOYMENT,
            annotations={"argocd.argoproj.io/tracking-id": STALE},
            labels={"argocd.argoproj.io/instance": "shop"},
        ),
        [],
    ),
    "a tracking id of another namespace": (
        one(kinds.DEPLOYMENT, annotations={"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:old/web"}),
        [],
    ),
    "a label, and an Application that does not list it": (
        one(kinds.DEPLOYMENT, labels={"argocd.argoproj.io/instance": "shop"}),
        [application()],
    ),
    "what Argo CD would prune": (
        one(kinds.DEPLOYMENT, annotations={"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}),
        [application(listed(WEB, requiresPruning=True))],
    ),
    "an Application for another cluster that lists one of this name": (
        WEB,
        [application(listed(WEB), spec={"destination": {"server": "https://elsewhere.example.com"}})],
    ),
    "labels of Flux, and an inventory without it": (
        one(kinds.DEPLOYMENT, labels=FLUX),
        [kustomization("shop_other_apps_Deployment")],
    ),
    "a Kustomization for another cluster": (
        WEB,
        [kustomization("shop_web_apps_Deployment", spec={"kubeConfig": {"secretRef": {"name": "x"}}})],
    ),
    "labels of a HelmRelease on what another release installed": (
        one(kinds.DEPLOYMENT, labels=HELM_FLUX, annotations=of_release("shop", "copy")),
        [BY_HELM_RELEASE],
    ),
    "a resource id of another object": (
        one(kinds.DEPLOYMENT, annotations={"configsync.gke.io/resource-id": "apps_deployment_shop_other"}),
        [],
    ),
}


@pytest.mark.parametrize(("obj", "by"), VOID.values(), ids=VOID)
def test_a_claim_that_the_record_does_not_bear_out_is_none(obj: Object, by: list[Object]) -> None:
    assert kinds.name_of(obj) in comes(run(obj, *by))


# -- GitOps: claims that only a person can settle ----------------------------------------------------------------------

TRACKED = [
    one(resource, annotations={"argocd.argoproj.io/tracking-id": f"{app}:{resource.group}/{resource.kind}:shop/web"})
    for app, resource in (("shop", kinds.DEPLOYMENT), ("shop", kinds.SERVICE), ("hub_bank", kinds.CONFIG_MAP))
]
CLAIMED = {
    "Argo CD by its hub": (TRACKED[0], "Application shop"),
    "Argo CD, an Application in a namespace": (TRACKED[2], "Application hub/bank"),
    "Argo CD by label": (one(kinds.DEPLOYMENT, labels={"argocd.argoproj.io/instance": "shop"}), "Application shop"),
    "Flux": (one(kinds.DEPLOYMENT, labels=FLUX), "Kustomization flux-system/apps"),
    "Flux' Helm": (one(kinds.DEPLOYMENT, labels=HELM_FLUX), "HelmRelease flux-system/web"),
    "OLM": (OPERATOR, "ClusterServiceVersion shop/web.v1"),
    "Fleet": (
        one(
            kinds.DEPLOYMENT,
            annotations={"objectset.rio.cattle.io/id": "default-shop", **of_release("shop", "web")},
            labels={"objectset.rio.cattle.io/hash": "h"},
        ),
        "Bundle default-shop",
    ),
}


@pytest.mark.parametrize(("obj", "owner"), CLAIMED.values(), ids=CLAIMED)
def test_what_an_absent_owner_claims_waits_for_one_answer(obj: Object, owner: str) -> None:
    (item,) = run(obj).left
    assert (item.verdict.action, item.verdict.cls, item.verdict.unanswered) == (Action.HOLD, Class.GITOPS, True)
    assert item.verdict.add(item.name) == f"{owner}: skip  # or start"
    assert comes(run(obj, answers={owner: Answer.START})) == {kinds.name_of(obj)}
    (item,) = run(obj, answers={owner: Answer.SKIP}).left
    assert (item.verdict.action, item.verdict.unanswered) == (Action.LEAVE, False)


def findings(*blue: Object) -> list[tuple[str, str, str]]:
    one_side, other = server("plum", *blue), server("fern")

    async def act() -> list[tuple[str, str, str]]:
        theirs = await look(other, whole=GREENS)
        known = Known(await read(one_side, theirs.discovery), theirs)
        return [(f.code, f.object, f.remedy) for f in of_the_judge(known) if f.severity is Severity.BLOCKING]

    return asyncio.run(act())


def test_many_objects_of_one_owner_are_one_question() -> None:
    blue = [one(kinds.NAMESPACE, "shop"), *TRACKED]
    asked = findings(*blue)
    assert [(code, name) for code, name, _ in asked] == [("BG507", "Application shop"), ("BG507", "Application hub/bank")]
    assert asked[0][2].endswith("Application shop: skip  # or start")
    made, done, green = whole(*blue)
    assert [name for name, _ in made.unanswered()] == ["Application hub/bank", "Application shop"]
    told = {each.object: (each.add, each.under) for each in replicated(made, done).unanswered}
    assert told["Application shop"] == ("Application shop: skip  # or start", "replicate.answers")
    assert isinstance(done.verdict(), Held)
    assert {key[1] for key in green.objects} == {"Namespace"}
    made, done, green = whole(*blue, answers={"Application shop": Answer.START, "Application hub/bank": Answer.START})
    assert done.verdict() is None
    assert {key[1] for key in green.objects} == {"Namespace", "Deployment", "Service", "ConfigMap"}


def test_what_is_skipped_by_its_owner_is_awaited_from_the_tool() -> None:
    made, done, _ = whole(*TRACKED[:2], answers={"Application shop": Answer.SKIP})
    assert made.awaited == {"Argo CD": ("Deployment shop/web", "Service shop/web")}
    assert "2 objects that Argo CD deploys" in str(done.verdict())


def test_what_is_skipped_by_its_own_name_is_not_awaited() -> None:
    made, done, _ = whole(TRACKED[0], answers={"Deployment shop/web": Answer.SKIP})
    assert (made.awaited, done.verdict()) == ({}, None)


def test_what_an_answer_takes_from_its_owner_is_judged_like_any_other_object() -> None:
    job = one(JOB, labels=FLUX, spec={}, status={"conditions": [{"type": "Complete", "status": "True"}]})
    bundle = run(job, answers={"Kustomization flux-system/apps": Answer.START})
    assert why(bundle, job) == "a Job that has ended"


def test_an_answer_about_an_owner_that_claims_nothing_is_refused_with_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"Application shpo is not on cluster plum.*Application shop"):
        run(*TRACKED, answers={"Application shpo": Answer.SKIP})
    with pytest.raises(ConfigError, match=r"is 'empty'; allowed: skip \| start"):
        run(*TRACKED, answers={"Application shop": Answer.EMPTY})


def test_an_application_on_blue_for_another_cluster_is_not_meant_by_the_question() -> None:
    away = application(spec={"destination": {"server": "https://elsewhere.example.com"}}, name="bank")
    away["metadata"]["namespace"] = "hub"
    (held,) = [item for item in run(TRACKED[2], away).left if item.verdict.asked]
    assert held.verdict.asked == "Application bank"


# -- GitOps: whether green has it --------------------------------------------------------------------------------------


def test_what_a_tool_deploys_is_awaited_on_green_until_it_is_there() -> None:
    hook, job = one(kinds.CONFIG_MAP, "before"), one(JOB, "once")
    lists = application(*map(listed, (WEB, CLUSTER_WIDE, job)), listed(hook, hook=True))
    blue, goes = [WEB, CLUSTER_WIDE, hook, job, lists], {kinds.name_of(lists): Answer.START}
    made, done, _ = whole(*blue, answers=goes)
    assert made.awaited == {"Argo CD": ("ClusterRole web:reader", "Deployment shop/web")}
    told = "  2 objects that Argo CD deploys, not on green yet: ClusterRole web:reader, Deployment shop/web"
    assert told in plan_lines(made)
    assert told in replicated(made, done).lines()
    problem = done.verdict()
    assert isinstance(problem, Held)
    assert "2 objects that Argo CD deploys" in str(problem)
    assert replicated(made, done).awaited == made.awaited
    made, done, _ = whole(*blue, green=(WEB, CLUSTER_WIDE), answers=goes)
    assert (made.awaited, done.verdict()) == ({}, None)


def test_what_a_tool_deploys_of_a_kind_that_green_does_not_serve_is_awaited() -> None:
    other = FakeApiServer("fern", resources=[r for r in ALL if r != CERTIFICATE])

    async def act() -> Plan:
        bundle = await export(server("plum", one(CERTIFICATE), application(listed(one(CERTIFICATE)))), other)
        return await plan(transform(bundle), other)

    assert asyncio.run(act()).awaited == {"Argo CD": ("Certificate shop/web",)}


# -- webhooks and aggregated APIs --------------------------------------------------------------------------------------

BEHIND = one(kinds.SERVICE, "guard", "guard", spec={"selector": {"app": "guard"}})
POD = {"metadata": {"labels": {"app": "guard"}}}
SERVER = one(kinds.DEPLOYMENT, "guard", "guard", spec={"replicas": 2, "template": POD})
HERE = "guard/guard"
HOOKED = "ValidatingWebhookConfiguration guard"
CLIENT: dict[str, Any] = {"f:webhooks": {'k:{"name":"a.example.com"}': {"f:clientConfig": {"f:service": {}}}}}
BUNDLE: dict[str, Any] = {"f:webhooks": {'k:{"name":"a.example.com"}': {"f:clientConfig": {"f:caBundle": {}}}}}


def bundle_on(green: FakeApiServer) -> Any:
    return green.objects[ADMISSION, HOOK.kind, "", "guard"]["webhooks"][0]["clientConfig"].get("caBundle")


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(asking("", HERE), id="it has none"),
        pytest.param(asking("Cg==", HERE), id="the empty line of a manifest"),
        pytest.param(asking(service=HERE, annotations={"cert-manager.io/inject-ca-from": "guard/guard"}), id="cainjector"),
        pytest.param(asking(service=HERE, managers={"helm": CLIENT, "guard": BUNDLE}), id="its server"),
    ],
)
def test_a_webhook_comes_without_its_ca_where_one_is_injected_on_green(hook: Object) -> None:
    _, done, green = whole(hook, BEHIND, SERVER)
    assert (done.verdict(), bundle_on(green)) == (None, None)
    assert HOOKED in done.applied


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(asking(service=HERE), id="nobody knows who wrote it"),
        pytest.param(asking(service=HERE, managers={"helm": {"f:webhooks": {}}}), id="a chart made both"),
        pytest.param(asking(service=HERE, managers={"helm": CLIENT, "kube-webhook-certgen": BUNDLE}), id="a Job, once"),
        pytest.param(asking(service=HERE, managers={"helm": CLIENT, "kubectl-patch": BUNDLE}), id="a person"),
        pytest.param(
            one(
                HOOK, "guard", webhooks=[{"name": "a", "clientConfig": {"url": "https://g.example.com/v", "caBundle": "QQ=="}}]
            ),
            id="a server outside",
        ),
    ],
)
def test_a_webhook_whose_ca_is_not_injected_waits_for_an_answer(hook: Object) -> None:
    made, done, green = whole(hook, BEHIND, SERVER)
    assert [(name, verdict.add(name)) for name, verdict in made.unanswered()] == [(HOOKED, f"{HOOKED}: skip  # or start")]
    assert isinstance(done.verdict(), Held)
    assert (ADMISSION, HOOK.kind, "", "guard") not in green.objects
    assert [(code, name) for code, name, _ in findings(hook, BEHIND, SERVER)] == [("BG112", HOOKED)]
    made, done, green = whole(hook, BEHIND, SERVER, answers={HOOKED: Answer.START})
    assert (done.verdict(), bundle_on(green)) == (None, None)
    assert any("comes without its caBundle" in line for line in plan_lines(made))


@pytest.mark.parametrize("force", [False, True], ids=["as asked", "with force"])
@pytest.mark.parametrize("answers", [{}, {HOOKED: Answer.START}], ids=["no answer", "an answer of a time before"])
def test_greens_own_ca_stays_whatever_changes_in_the_webhook(force: bool, answers: dict[str, Answer]) -> None:
    blue, green = asking(service=HERE), asking("R1JFRU4=", HERE, managers={"helm": {"f:webhooks": {}}})
    made, done, fern = whole(blue, BEHIND, SERVER, green=(green,), force=force, answers=answers)
    assert not any("caBundle" in path for change in made.changes for path in change.paths)
    assert (bundle_on(fern), done.verdict()) == ("R1JFRU4=", None)


def converted(**rest: Any) -> Object:
    client = {"service": {"namespace": "guard", "name": "guard"}, "caBundle": "QkxVRQ=="}
    spec = {"group": "example.com", "names": {"kind": "Web"}, "conversion": {"webhook": {"clientConfig": client}}}
    return one(kinds.CRD, "webs.example.com", spec=spec, **rest)


def test_a_converted_definition_without_an_injector_is_asked_about() -> None:
    made, _, _ = whole(converted(), BEHIND, SERVER)
    assert [name for name, _ in made.unanswered()] == ["CustomResourceDefinition webs.example.com"]


def test_a_converted_definition_with_an_injector_comes_without_the_ca() -> None:
    _, done, green = whole(converted(annotations={"cert-manager.io/inject-ca-from": "guard/guard"}), BEHIND, SERVER)
    spec = green.objects["apiextensions.k8s.io", "CustomResourceDefinition", "", "webs.example.com"]["spec"]
    assert (done.verdict(), "caBundle" in spec["conversion"]["webhook"]["clientConfig"]) == (None, False)


def served_by(service: str, available: str = "True", **spec: Any) -> Object:
    namespace, name = service.split("/")
    condition = {"type": "Available", "status": available, "reason": "MissingEndpoints" if available == "False" else "Passed"}
    spec |= {"group": "example.com", "version": "v1", "service": {"namespace": namespace, "name": name}}
    return one(API, "v1.example.com", spec=spec, status={"conditions": [condition]})


NOT_ANSWERED = {
    "a webhook without its Service": (asking("", "guard/gone"), [], "nothing answers it on blue either: there is no Service"),
    "an API without its Service": (served_by("guard/gone"), [], "nothing answers it on blue either: there is no Service"),
    "an API without endpoints": (
        served_by(HERE, "False"),
        [BEHIND, SERVER],
        "nothing answers it on blue either: MissingEndpoints",
    ),
    "a webhook of the baseline's server": (asking(), [], "answered by kube-system/balancer, which the baseline brings"),
    "an API of the baseline's server": (served_by("kube-system/metrics"), [], "which the baseline brings"),
}


@pytest.mark.parametrize(("obj", "more", "reason"), NOT_ANSWERED.values(), ids=NOT_ANSWERED)
def test_what_no_server_would_answer_is_not_created_on_green(obj: Object, more: list[Object], reason: str) -> None:
    bundle = run(obj, *more)
    assert reason in why(bundle, obj)


def test_a_webhook_with_failure_policy_ignore_comes_without_its_server() -> None:
    hook = asking("", "guard/gone")
    hook["webhooks"][0]["failurePolicy"] = "Ignore"
    assert comes(run(hook)) == {HOOKED}
    hook["webhooks"].append({**hook["webhooks"][0], "name": "b.example.com", "failurePolicy": "Fail"})
    assert comes(run(hook)) == set()


def test_a_webhook_does_not_come_without_its_server() -> None:
    hook = asking("", HERE)
    bundle = run(hook, BEHIND, SERVER, exclude=Selection(namespaces=("guard",)))
    assert why(bundle, hook).startswith("its Service guard/guard does not come along")
    bundle = run(hook, BEHIND, SERVER, answers={"Deployment guard/guard": Answer.SKIP})
    assert why(bundle, hook).startswith("its server Deployment guard/guard does not run on green")


def test_a_webhook_waits_for_its_stopped_server_without_a_question() -> None:
    one_side, other = server("plum", asking("", HERE), BEHIND, SERVER), server("fern")
    stopped = asyncio.run(export(one_side, other, singletons={HERE}))
    (hook,) = [item for item in stopped.left if item.name == HOOKED]
    assert (hook.verdict.action, hook.verdict.unanswered) == (Action.HOLD, False)
    running = server("fern", one(kinds.DEPLOYMENT, "guard", "guard", spec={"replicas": 2}))
    assert HOOKED in comes(asyncio.run(export(one_side, running, singletons={HERE}))), "handed over"


MADE: dict[str, Any] = {"guard": {"f:webhooks": {".": {}, 'k:{"name":"a.example.com"}': {}}}}
BY_LABEL = {"webhook.guard.io/managed-by": "guard"}
RULES = [{"apiGroups": [ADMISSION], "resources": [HOOK.plural], "verbs": ["create", "get"]}]
MAY = [
    one(ROLE, "guard", rules=RULES),
    one(
        BINDING,
        "guard",
        roleRef={"kind": "ClusterRole", "name": "guard"},
        subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": "guard"}],
    ),
]


@pytest.mark.parametrize(
    ("hook", "more"),
    [
        pytest.param(asking(service=HERE, labels=BY_LABEL, managers=MADE), [], id="its maker's label"),
        pytest.param(asking(service=HERE, labels=BY_LABEL, managers={"cleaner": MADE["guard"]}), [], id="of the same product"),
        pytest.param(one(HOOK, "guard", labels=BY_LABEL, managers={"guard": {"f:metadata": {}}}), [], id="no webhooks as yet"),
        pytest.param(asking(service=HERE, managers=MADE), MAY, id="its server may make such"),
        pytest.param(asking("", service=HERE, managers=MADE), MAY, id="without a CA"),
    ],
)
def test_a_webhook_that_its_server_creates_is_left_to_it(hook: Object, more: Any) -> None:
    blue = [hook, BEHIND, SERVER, *more]
    made, done, green = whole(*blue)
    assert (made.unanswered(), done.verdict()) == ([], None)
    assert (ADMISSION, HOOK.kind, "", "guard") not in green.objects
    (left,) = [item for item in made.left if item.name == HOOKED]
    assert (left.verdict.cls, left.verdict.reason.partition(",")[0]) == (Class.CONTROLLER, "made by guard when it runs")
    assert findings(*blue) == []


STOPPED = one(kinds.DEPLOYMENT, "guard", "guard", spec={"replicas": 0, "template": POD})


@pytest.mark.parametrize(
    ("managers", "labels", "more"),
    [
        pytest.param(MADE, {}, [SERVER], id="its server may not make such"),
        pytest.param(MADE, {}, [STOPPED, *MAY], id="nothing runs behind it"),
        pytest.param({**MADE, "kubectl-edit": MADE["guard"]}, BY_LABEL, [SERVER, *MAY], id="two wrote it"),
        pytest.param({"kubectl": MADE["guard"]}, BY_LABEL, [SERVER, *MAY], id="a person"),
        pytest.param({"helm": MADE["guard"]}, {"app.kubernetes.io/managed-by": "helm"}, [SERVER, *MAY], id="Helm"),
        pytest.param({"argocd-application-controller": MADE["guard"]}, BY_LABEL, [SERVER, *MAY], id="GitOps"),
        pytest.param({"pulumi-kubernetes": MADE["guard"]}, {}, [SERVER, *MAY], id="a tool"),
        pytest.param({kinds.REPLICATE: MADE["guard"]}, BY_LABEL, [SERVER, *MAY], id="our own copy of a time before"),
        pytest.param({}, BY_LABEL, [SERVER, *MAY], id="nobody knows who wrote it"),
    ],
)
def test_a_webhook_whose_maker_is_not_certain_is_asked_about(managers: Any, labels: Any, more: list[Object]) -> None:
    made, _, _ = whole(asking(service=HERE, labels=labels, managers=managers), BEHIND, *more)
    assert [name for name, _ in made.unanswered()] == [HOOKED]


def test_a_webhook_left_to_its_server_comes_where_a_person_says_so() -> None:
    hook = asking(service=HERE, labels=BY_LABEL, managers=MADE)
    _, done, green = whole(hook, BEHIND, SERVER, answers={HOOKED: Answer.START})
    assert (done.verdict(), bundle_on(green)) == (None, None)


def test_only_an_api_whose_server_is_away_is_unread() -> None:
    def away(service: str) -> FakeApiServer:
        blue = server("plum", served_by(service, "False"), BEHIND)
        blue.discovery = replace(blue.discovery, stale=("example.com/v1",))
        return blue

    def told(service: str) -> tuple[dict[str, str], list[str]]:
        found = asyncio.run(preflight(away(service), server("fern")))
        codes = [f.object for f in found if f.code == "BG003"]
        return asyncio.run(export(away(service), server("fern"))).unread, codes

    assert told("guard/gone") == ({}, [])
    assert told(HERE) == ({"example.com/v1": "its API server does not answer"}, ["APIService example.com/v1"])


# -- for others --------------------------------------------------------------------------------------------------------


def test_what_only_a_person_knows_is_not_said_to_be_never_copied() -> None:
    def left(obj: Object) -> str | None:
        """The reason for which it stays on blue, by whose it is, with nothing else known."""
        found = sign(obj, kinds.DEPLOYMENT, Known(View("", Discovery((), {}), {})))
        return found.reason if found is not None and found.action is Action.LEAVE else None

    assert left(TRACKED[0]) is None
    assert made_by(TRACKED[0], kinds.DEPLOYMENT) == "deployed by Argo CD (Application shop)"
    assert left(one(kinds.DEPLOYMENT, managers={"eks": {}})) == "managed by EKS"
