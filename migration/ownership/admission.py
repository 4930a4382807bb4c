"""Webhooks and aggregated APIs: what an API server asks somebody else about. On green somebody must answer, by a
certificate that green trusts; where nobody does, writes are refused (failurePolicy Fail), or wait for nothing.

The CA (`caBundle`) is never written from another cluster: a chart makes one in each, a server that renews its own puts
it in again, and one that came along would outlast what it was made for. So such an object comes without it, where
something on green is known to put one in:

| what is seen on blue | what becomes of it |
|---|---|
| no CA, or `insecureSkipTLSVerify` | copied: there is nothing to lose |
| cert-manager's annotation names where it comes from | copied: cainjector fills it in on green |
| another manager wrote the CA than wrote the server's name | copied: the server puts it in on green, too |
| that other was a Job, which has run and does not come along; or nobody else (a CA made by a chart) | a person is asked |
| failurePolicy Ignore, and no such Service on blue | copied: nobody answers it there either, and nothing is refused |
| green has this object, with a CA of its own | as any other object: green's CA stays |
| its server made all of it (see `_made_by_its_server`) | left out: it does so on green |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from migration.objects import kinds
from migration.objects.classes import WRITTEN, Action, Answer, Class, Sign, Verdict
from migration.objects.difference import fields_of, owners
from migration.objects.health import condition
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.bootstrap import HOOKS
from migration.ownership.known import Known

API_SERVICES = "apiservices.apiregistration.k8s.io"
WORKLOADS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
# By whom a CA is filled in, named on the object: cert-manager's cainjector (under its old domain, too), OpenShift's.
INJECTED = frozenset(
    {
        "cert-manager.io/inject-ca-from",
        "cert-manager.io/inject-ca-from-secret",
        "cert-manager.io/inject-apiserver-ca",
        "certmanager.k8s.io/inject-ca-from",
        "certmanager.k8s.io/inject-apiserver-ca",
        "service.beta.openshift.io/inject-cabundle",
    }
)
# Managers that do not put a CA in by themselves: people's and charts' commands, and a Job of many charts, which has ended
# on blue and does not come along.
BY_HAND = frozenset(
    {
        "kube-webhook-certgen",
        "kubectl",
        "kubectl-client-side-apply",
        "kubectl-create",
        "kubectl-edit",
        "kubectl-patch",
        "kubectl-replace",
        "helm",
        "helm-controller",
        "kustomize-controller",
        "argocd-controller",
        "Terraform",
    }
)
# How the names of other such tools begin, whatever command of theirs it was, and of the libraries and browsers with which
# people and pipelines write; what we copied ourselves is a copy of what anybody made.
TOOLS = (
    *("kubectl", "helm", "kustomize", "argocd", "argo-cd", "flux", "terraform", "HashiCorp", "pulumi", "kapp", "fleet", "werf"),
    *("istioctl", "linkerd", "skaffold", "tilt", "k9s", "lens", "Mozilla", "node-fetch", "curl", "Go-http-client", "unknown"),
    *("python", "OpenAPI-Generator", "okhttp", "ansible", "crossplane", "before-first-apply", "oc", "rancher", "bluegreen"),
)
RBAC, GROUP = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
ANSWERS: Mapping[Answer, Action] = MappingProxyType({Answer.SKIP: Action.LEAVE, Answer.START: Action.COPY})
VerdictOf = Callable[[Object, Resource, Known], Verdict]


@dataclass(frozen=True, slots=True)
class Asked:
    """One server that is asked: `service` is its `namespace/name`, "" for one that is found by URL; `authority`: a CA is
    given; `path`: where its client configuration is, for managedFields.
    """

    service: str
    authority: bool
    path: tuple[str, ...]


def sign(obj: Object, resource: Resource, known: Known, verdict: VerdictOf) -> Sign | None:
    """Why a webhook, an aggregated API or a converted definition does not come as it is. `verdict`: what becomes of the
    objects that answer it.
    """
    if resource.name not in HOOKS and resource.name not in (API_SERVICES, kinds.CRD.name):
        return None
    servers = list(_servers(obj))
    if resource.name in HOOKS and (maker := _made_by_its_server(obj, resource, servers, known)):
        reason = f"made by {maker} when it runs, on green as well: a copy would refuse what it is for until then"
        start = known.choices.answers.get(kinds.name_of(obj)) is Answer.START
        return Sign(Class.CONTROLLER, reason, answers=ANSWERS, notes=("comes without its caBundle",) if start else ())
    if not servers:
        return None
    if resource.name in HOOKS and all(map(_harmless, obj.get("webhooks") or ())) and all(_missing(s, known) for s in servers):
        return None  # as on blue: nobody answers it, and nothing is refused for it
    if resource.name != kinds.CRD.name:  # whose objects are served all the same, as long as nothing has to be converted
        unanswered = [why for each in servers if (why := _silent(each, obj, known, verdict))]
        if unanswered and len(unanswered) == len(servers):
            return unanswered[0]
        if unanswered:
            reason = f"{len(unanswered)} of its {len(servers)} webhooks would not be answered: {unanswered[0].reason}"
            return Sign(Class.WEBHOOK, reason, Action.HOLD, ANSWERS, required=True)
    if not any(each.authority and not _injected(obj, each) for each in servers):
        return None
    if _green_has_one(obj, resource, known):
        return Sign(Class.WEBHOOK, "", Action.COPY, ANSWERS)
    reason = "its CA is not taken to another cluster, and nothing is known to put one in on green: without, its server is not "
    reason += "trusted there" + ("" if resource.name == kinds.CRD.name else ", and what it is asked about may be refused")
    notes = ("comes without its caBundle: put that of green's server in",)
    start = known.answer(obj) is Answer.START
    return Sign(Class.WEBHOOK, reason, Action.HOLD, ANSWERS, required=True, notes=notes if start else ())


def _made_by_its_server(obj: Object, resource: Resource, servers: list[Asked], known: Known) -> str | None:
    """Who makes it when it runs, and will on green: the one manager that wrote its webhooks, where that is nobody's tool,
    and the object has its maker's label (`webhook.kyverno.io/managed-by: kyverno`), or what runs behind its Services may
    make such objects.
    """
    entries = fields_of(obj)
    authors = {manager for manager, _, fields in entries if "f:webhooks" in fields} or {manager for manager, _, _ in entries}
    if len(authors) != 1:
        return None
    (author,) = authors
    if not author or author in BY_HAND or author.lower().startswith(tuple(tool.lower() for tool in TOOLS)):
        return None
    for key, value in (obj["metadata"].get("labels") or {}).items():
        domain, _, word = key.rpartition("/")
        if word == "managed-by" and (value == author or value in domain.split(".")):
            return str(value)
    services = known.blue.once(_services)
    asked = [services.get(each.service) for each in servers]
    if asked and all(each is not None and _may_make(each, resource, known) for each in asked):
        return author
    return None


def _may_make(service: Object, resource: Resource, known: Known) -> bool:
    """Whether something runs behind a Service whose account may create such webhooks."""
    namespace, makers = service["metadata"].get("namespace", ""), known.blue.once(_makers, resource.plural)
    for _, workload in _behind(service, known):
        spec = workload.get("spec") or {}
        pod = (spec.get("template") or {}).get("spec") or {}
        account = str(pod.get("serviceAccountName") or pod.get("serviceAccount") or "default")
        if spec.get("replicas", 1) and (namespace, account) in makers:
            return True
    return False


def _makers(view: View, plural: str) -> frozenset[tuple[str, str]]:
    """Accounts (namespace, name) that may create such webhooks."""
    roles = {
        role["metadata"]["name"]
        for role in view.of(f"clusterroles.{RBAC}")
        for rule in role.get("rules") or ()
        if {GROUP, "*"} & set(rule.get("apiGroups") or ())
        and {plural, "*"} & set(rule.get("resources") or ())
        and {"create", "*"} & set(rule.get("verbs") or ())
    }
    return frozenset(
        (str(subject.get("namespace", "")), str(subject.get("name", "")))
        for binding in view.of(f"clusterrolebindings.{RBAC}")
        if (binding.get("roleRef") or {}).get("name") in roles
        for subject in binding.get("subjects") or ()
        if subject.get("kind") == "ServiceAccount"
    )


def nobody_answers(api: str, known: Known) -> bool:
    """Whether an aggregated API (`example.com/v1`) has no server at all on blue: then nobody can have objects in it."""
    group, _, version = api.partition("/")
    service = next((obj for obj in known.blue.of(API_SERVICES) if obj["metadata"]["name"] == f"{version}.{group}"), None)
    servers = list(_servers(service)) if service is not None else []
    return bool(servers) and all(_missing(each, known) for each in servers)


def _servers(obj: Object) -> Iterator[Asked]:
    for client, path in client_configs(obj):
        service = client.get("service")
        if service is None and "url" not in client:
            continue  # an API that the API server serves itself, a definition that is not converted
        name = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else ""
        yield Asked(name, _is_authority(client.get("caBundle")), path)


def client_configs(obj: Object) -> Iterator[tuple[Object, tuple[str, ...]]]:
    """Where it says which server is asked, and its path in fieldsV1."""
    for hook in obj.get("webhooks") or ():
        yield hook.get("clientConfig") or {}, ("f:webhooks", f'k:{{"name":"{hook.get("name", "")}"}}', "f:clientConfig")
    spec = obj.get("spec") or {}
    if obj.get("kind") == "APIService":
        yield spec, ("f:spec",)
    if obj.get("kind") == "CustomResourceDefinition":
        webhook = (spec.get("conversion") or {}).get("webhook") or {}
        yield webhook.get("clientConfig") or {}, ("f:spec", "f:conversion", "f:webhook", "f:clientConfig")


def _is_authority(bundle: Any) -> bool:
    """Manifests have an empty line in its place, for others to replace."""
    try:
        return bool(base64.b64decode(str(bundle or "")).strip())
    except (binascii.Error, ValueError):
        return True


def _harmless(hook: Mapping[str, Any]) -> bool:
    """Whether what it is asked about goes on where nobody answers. Kubernetes' default is Fail."""
    return hook.get("failurePolicy") == "Ignore"


def _baseline(server: Asked) -> bool:
    return server.service.partition("/")[0] in kinds.BASELINE_NAMESPACES


def _missing(server: Asked, known: Known) -> bool:
    return (
        bool(server.service)
        and not _baseline(server)
        and "services" not in known.blue.problems
        and server.service not in known.blue.once(_services)
    )


def _silent(server: Asked, obj: Object, known: Known, verdict: VerdictOf) -> Sign | None:
    """Why nobody would answer on green."""
    if not server.service:
        return None
    if _baseline(server):
        return Sign(Class.BASELINE, f"answered by {server.service}, which the baseline brings, with what asks it")
    if _missing(server, known):
        return Sign(Class.WEBHOOK, f"nothing answers it on blue either: there is no Service {server.service}")
    if why := _unavailable(obj):
        return Sign(Class.WEBHOOK, f"nothing answers it on blue either: {why}")
    service = known.blue.once(_services).get(server.service)
    if service is None or _on_green(server.service, known):
        return None
    becomes = verdict(service, kinds.SERVICE, known)
    if not (becomes.action in WRITTEN or becomes.tool):
        action = Action.HOLD if becomes.action is Action.HOLD else Action.LEAVE
        return Sign(Class.WEBHOOK, f"its Service {server.service} does not come along: {becomes.reason}", action)
    return _asleep(service, known, verdict)


def _asleep(service: Object, known: Known, verdict: VerdictOf) -> Sign | None:
    """Held where all that is behind its Service stays on blue or comes stopped: it follows the answer about these."""
    kept = None
    for resource, workload in _behind(service, known):
        becomes = verdict(workload, resource, known)
        if becomes.action in WRITTEN - {Action.STOP} or becomes.tool or _runs_on_green(workload, known):
            return None
        kept = kept or f"its server {kinds.name_of(workload)} does not run on green: {becomes.reason}"
    return Sign(Class.WEBHOOK, kept, Action.HOLD, ANSWERS) if kept else None


def _behind(service: Object, known: Known) -> Iterator[tuple[Resource, Object]]:
    selector = (service.get("spec") or {}).get("selector") or {}
    namespace = service["metadata"].get("namespace", "")
    for name in WORKLOADS if selector else ():
        resource = known.blue.resources.get(name)
        for workload in known.blue.once(_workloads, name).get(namespace, ()) if resource else ():
            labels = (((workload.get("spec") or {}).get("template") or {}).get("metadata") or {}).get("labels") or {}
            if resource and selector.items() <= labels.items():
                yield resource, workload


def _workloads(view: View, name: str) -> Mapping[str, list[Object]]:
    by_namespace: dict[str, list[Object]] = {}
    for workload in view.of(name):
        by_namespace.setdefault(workload["metadata"].get("namespace", ""), []).append(workload)
    return by_namespace


def _services(view: View) -> Mapping[str, Object]:
    return {f"{s['metadata'].get('namespace', '')}/{s['metadata']['name']}": s for s in view.of("services")}


def _on_green(service: str, known: Known) -> bool:
    """Somebody's own, not the copy that a run before made: that one follows blue's."""
    live = known.green.once(_services).get(service) if known.green is not None else None
    return live is not None and kinds.REPLICATE not in {e.get("manager") for e in live["metadata"].get("managedFields") or ()}


def _runs_on_green(workload: Object, known: Known) -> bool:
    if known.green is None:
        return False
    meta = workload["metadata"]
    on_green = known.green.once(_running)
    return (str(workload.get("kind")), meta.get("namespace", ""), meta["name"]) in on_green


def _running(view: View) -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (str(workload.get("kind")), workload["metadata"].get("namespace", ""), workload["metadata"]["name"])
        for name in WORKLOADS
        for workload in view.of(name)
        if (workload.get("spec") or {}).get("replicas", 1)
    )


def _unavailable(obj: Object) -> str | None:
    """What blue's API server says of an aggregated API that it gets no answer from."""
    unavailable = condition(obj, "Available", "False")
    return str(unavailable.get("reason") or "not available") if unavailable else None


def _injected(obj: Object, server: Asked) -> bool:
    if INJECTED & (obj["metadata"].get("annotations") or {}).keys():
        return True
    entries = fields_of(obj)
    authors = owners((*server.path, "f:caBundle"), entries)
    others = owners((*server.path, "f:service"), entries) | owners((*server.path, "f:url"), entries)
    return bool(authors and others) and authors.isdisjoint(others | BY_HAND)


def _green_has_one(obj: Object, resource: Resource, known: Known) -> bool:
    """Whether green's own object of this name trusts every server that blue's asks."""
    if known.green is None:
        return False
    name = obj["metadata"]["name"]
    live = known.green.once(_by_name, resource.name).get(name)
    if live is None:
        return False
    trusted = {each.path for each in _servers(live) if each.authority}
    return all(each.path in trusted for each in _servers(obj) if each.authority)


def _by_name(view: View, resource_name: str) -> Mapping[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in view.of(resource_name)}
