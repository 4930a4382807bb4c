"""What of a manifest cannot live in the lab: held, or changed in the few fields that could not work, and told."""

from __future__ import annotations

from lab.demo.manifests import Object, full_name, is_a, name_of
from migration.objects.removed_apis import why_gone

# What an API server writes: manifests read from a cluster (`kubectl get -o yaml`) have it, and no other cluster takes it.
OF_THE_SERVER = ("managedFields", "resourceVersion", "uid", "generation", "selfLink", "creationTimestamp", "deletionTimestamp")
# Of a rendered chart (`helm template`) these come along; `helm install` does not run them.
LATER_HOOKS = {"test", "test-success", "test-failure", "pre-delete", "post-delete", "pre-rollback", "post-rollback"}


def why_held(each: Object) -> str | None:
    """Why this object is not brought up, with what would help; None: it is.

    What no API server takes, what Helm would not install now, and what would wait for a program inside a pod, since pods of
    the lab are not machines.
    """
    if gone := why_gone(each["apiVersion"], each["kind"]):
        return gone
    owners = [owner for owner in each["metadata"].get("ownerReferences") or [] if isinstance(owner, dict)]
    if owners:
        return (
            f"was read from a cluster, where {owners[0].get('kind')} {owners[0].get('name')} makes it: that one is what to give"
        )
    hooks = str((each["metadata"].get("annotations") or {}).get("helm.sh/hook", "")).replace(" ", "").split(",")
    if set(hooks) <= LATER_HOOKS:
        return f"a hook of its Helm chart that no installation runs ({', '.join(hooks)})"
    if each["kind"] in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        served = [w.get("name", "?") for w in each.get("webhooks") or [] if "service" in (w.get("clientConfig") or {})]
        return f"webhooks served by pods: {', '.join(served)}" if served else None
    if each["kind"] == "APIService" and (each.get("spec") or {}).get("service"):
        return "its API is served by pods"
    return None


def adapt(each: Object, notes: list[str]) -> None:
    """Changes the few fields that cannot work in the lab, and says so."""
    _forget_its_cluster(each, notes)
    if each["kind"] == "CustomResourceDefinition" and (each["spec"].get("conversion") or {}).get("strategy") == "Webhook":
        each["spec"]["conversion"] = {"strategy": "None"}
        notes.append(f"CRD {name_of(each)}: conversion by a webhook in a pod, applied without")
    if is_a(each, "Gateway", "networking.istio.io") and "selector" in each.get("spec", {}):
        _adapt_gateway(each, notes)
    if is_a(each, "VirtualService", "networking.istio.io"):
        _adapt_route(each, notes)


def _forget_its_cluster(each: Object, notes: list[str]) -> None:
    """Drops what only the cluster that it was read from could know."""
    dropped = [key for key in OF_THE_SERVER if each["metadata"].pop(key, None) is not None]
    if each.pop("status", None):
        dropped.append("status")
    spec = each.get("spec") or {}
    if each["kind"] == "Service" and spec.get("clusterIP") != "None":
        dropped += [key for key in ("clusterIP", "clusterIPs", "healthCheckNodePort") if spec.pop(key, None) is not None]
    if dropped not in ([], ["status"]):  # generators of definitions write an empty status, too
        notes.append(f"{each['kind']} {full_name(each)} was read from a cluster: applied without {', '.join(dropped)}")


def _adapt_gateway(each: Object, notes: list[str]) -> None:
    """Binds it to the lab's gateway, which has one public port, 80, and no certificates."""
    if each["spec"]["selector"].get("istio") != "ingressgateway":
        each["spec"]["selector"] = {"istio": "ingressgateway"}
        notes.append(f"Gateway {full_name(each)}: selects other gateway pods; bound to the lab's gateway")
    servers = each["spec"].get("servers") or []
    plain = {host for s in servers if _speaks(s, "HTTP", "HTTP2") for host in s.get("hosts") or []}
    for server in servers:
        port = server.get("port") or {}
        if _speaks(server, "HTTP", "HTTP2") and port.get("number") != 80:
            notes.append(f"Gateway {full_name(each)}: port {port.get('number')} is served as port 80, the lab's public one")
            port["number"] = 80
        if (server.get("tls") or {}).get("httpsRedirect"):
            del server["tls"]["httpsRedirect"]
            notes.append(f"Gateway {full_name(each)}: clients of the lab speak plain HTTP, its redirect to HTTPS is off")
        ended_here = _speaks(server, "HTTPS") and (server.get("tls") or {}).get("mode") != "PASSTHROUGH"
        if ended_here and not plain & {"*", *(server.get("hosts") or [])}:
            notes.append(f"Gateway {full_name(each)}: HTTPS at port {port.get('number')} is plain HTTP at port 80 in the lab")
            server.pop("tls", None)
            port |= {"number": 80, "protocol": "HTTP"}


def _speaks(server: Object, *protocols: str) -> bool:
    return str((server.get("port") or {}).get("protocol", "")).upper() in protocols


def _adapt_route(each: Object, notes: list[str]) -> None:
    """All requests come in by port 80: matches of other ports would never fit, a redirect to HTTPS would not end."""
    rules = (each.get("spec") or {}).get("http") or []
    served = [rule for rule in rules if (rule.get("redirect") or {}).get("scheme") != "https"]
    if served and len(served) < len(rules):
        each["spec"]["http"] = served
        notes.append(f"VirtualService {full_name(each)}: clients of the lab speak plain HTTP, its redirect to HTTPS is off")
    for match in [match for rule in served for match in rule.get("match") or []]:
        if match.get("port", 80) != 80:
            notes.append(
                f"VirtualService {full_name(each)}: what it matches at port {match['port']} comes by port 80 in the lab"
            )
            match["port"] = 80
