"""Checks of what people put into the namespaces of the baseline: what green has otherwise, what stays behind (BG1xx)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from migration.codes import DOCS
from migration.model import Finding, Severity
from migration.objects import kinds
from migration.objects.access import spec_of
from migration.objects.classes import WRITTEN, Class, Verdict
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import baseline, conversion, judge, mesh, origin, releases
from migration.ownership.known import Known
from migration.ownership.releases import Release
from migration.preflight.check import JudgedCheck, finding
from migration.replicate.compare import Change, compare, scaled_workloads
from migration.replicate.export import Bundle
from migration.replicate.transform import transform, with_their_targets

GREENS = frozenset({"poddisruptionbudgets.policy", "networkpolicies.networking.k8s.io", *baseline.COMPARED})
MOST_NAMED = 12


def _judged(known: Known) -> tuple[tuple[Resource, Object, Verdict], ...]:
    """Objects of blue in namespaces of the baseline."""
    return tuple(
        (item.resource, item.obj, item.verdict)
        for item in known.once(judge.items)
        if item.obj["metadata"].get("namespace") in kinds.BASELINE_NAMESPACES
    )


# -- where green has another --------------------------------------------------------------------------------------------


def _of_gateways(item: judge.Item, known: Known) -> bool:
    """Whether it is of those on which gateways and the mesh depend: people's in the baseline's namespaces, what configures
    the mesh, and what is beside a gateway that has a namespace of its own.
    """
    namespace = item.obj["metadata"].get("namespace")
    people = item.verdict.cls is Class.BASELINE_PEOPLES or item.resource.group in mesh.MESH_GROUPS
    return people or (namespace is not None and namespace in known.blue.once(_homes))


def _homes(view: View) -> frozenset[str]:
    """Namespaces in which Istio's own programs run."""
    return frozenset(
        str(workload["metadata"].get("namespace"))
        for name in mesh.WORKLOADS
        for workload in view.of(name)
        if origin.of_istio(workload) or mesh.runs_istio(workload)
    )


def _conflicts(known: Known) -> tuple[tuple[judge.Item, Change], ...]:
    """What `replicate` would find to be another on green, of the kinds that were read there."""
    if known.green is None:
        return ()
    written = with_their_targets([item for item in known.once(judge.items) if item.verdict.action in WRITTEN])
    scaled = scaled_workloads(written)
    both = [item for item in written if item.resource.name not in kinds.METADATA_FIRST and _live(item, known) is not None]
    bundle = transform(Bundle(known.blue.name, both, data_in_status=conversion.data_in_status(known.blue)))
    conflicts = []
    for item in bundle.items:
        change = compare(
            item.resource,
            item.obj,
            _live(item, known),
            scaled,
            strictly=item.verdict.cls is Class.BASELINE_PEOPLES or item.resource.group in mesh.MESH_GROUPS,
            status_writers=item.status_writers,
        )
        if change.action == "conflict":
            conflicts.append((item, change))
    return tuple(conflicts)


def _live(item: judge.Item, known: Known) -> Object | None:
    """Green's by this name, where it was read in the version in which blue's was."""
    resource = known.green.resources.get(item.resource.name) if known.green is not None else None
    if resource is None or resource.version != item.resource.version:
        return None
    return known.once(_greens, item.resource.name).get(kinds.full_name(item.obj))


def _finding(code: str, item: judge.Item, change: Change, known: Known) -> Finding:
    fields = ", ".join(change.paths[:4]) + (" ..." if len(change.paths) > 4 else "")
    green = known.green.name if known.green is not None else ""
    evidence = f"cluster {known.blue.name}'s and cluster {green}'s differ in {fields}; {change.reason}"
    remedy = (
        "make the two alike, or delete green's, or keep green's: add to `replicate.answers` in migration.yaml: "
        f"{item.name}: skip"
    )
    return finding(code, Severity.BLOCKING, item.obj, evidence, remedy)


def differing(known: Known) -> Iterator[Finding]:
    """Of what gateways and the mesh depend on, that of which green has another by that name, or cannot have one."""
    green = known.green
    if green is None:
        return
    unread = set()
    for item in known.once(judge.items):
        people = item.verdict.cls is Class.BASELINE_PEOPLES
        if item.verdict.action not in WRITTEN or not (people or item.resource.group in mesh.MESH_GROUPS):
            continue
        if item.resource.name in green.problems:
            unread.add(item.resource.name)
        served = (item.resource.group, item.resource.kind) in green.discovery.served
        if people and not served and not _defined(known, item.resource):
            evidence = f"a person's, in namespace {item.obj['metadata']['namespace']} of blue; green does not serve the kind"
            yield finding(
                "BG101", Severity.BLOCKING, item.obj, evidence, "install what serves it on green, or remove it from blue"
            )
    for item, change in known.once(_conflicts):
        if _of_gateways(item, known):
            yield _finding("BG103", item, change, known)
    for name in sorted(unread):
        evidence = f"cluster {green.name}: could not be listed: {green.problems[name]}"
        remedy = "let the user of this kubeconfig list it, then run `bluegreen preflight` again"
        yield Finding("BG103", Severity.BLOCKING, "unknown", name, evidence, remedy, DOCS["BG103"])


MOST_CONFLICTS = 20


def conflicting(known: Known) -> Iterator[Finding]:
    """Everything else of which green has another: the first by name, the rest counted."""
    conflicts = sorted(
        ((item, change) for item, change in known.once(_conflicts) if not _of_gateways(item, known)),
        key=lambda each: each[0].name,
    )
    for item, change in conflicts[:MOST_CONFLICTS]:
        yield _finding("BG107", item, change, known)
    if rest := conflicts[MOST_CONFLICTS:]:
        by_kind = Counter(item.obj["kind"] for item, _ in rest)
        evidence = (
            f"{len(rest)} more objects are others on green: {', '.join(f'{n} {kind}' for kind, n in sorted(by_kind.items()))}"
        )
        yield finding("BG107", Severity.BLOCKING, "other objects", evidence, "`bluegreen replicate` names each of them")


def _greens(known: Known, name: str) -> dict[str, Object]:
    return {kinds.full_name(obj): obj for obj in known.green.of(name)} if known.green is not None else {}


def _defined(known: Known, resource: Resource) -> bool:
    """Whether the definition comes along."""
    crd = kinds.CRD
    for each in known.blue.of(crd.name):
        names = spec_of(each).get("names") or {}
        if (spec_of(each).get("group"), names.get("kind")) == (resource.group, resource.kind):
            return judge.verdict(each, crd, known).action in WRITTEN
    return False


# -- what stays ---------------------------------------------------------------------------------------------------------


def left_behind(known: Known) -> Iterator[Finding]:
    """What stays in kube-system and its like: what green has otherwise, and releases that it has not. What only blue has
    and a person put there is asked about by replicate.
    """
    if known.green is None:
        return
    changed: dict[str, list[str]] = defaultdict(list)
    lacking: set[Release] = set()
    for resource, obj, verdict in known.once(_judged):
        namespace = obj["metadata"]["namespace"]
        if namespace == mesh.MESH_NAMESPACE or verdict.cls is not Class.BASELINE or obj["metadata"].get("deletionTimestamp"):
            continue
        release = origin.release_of(obj)
        if release is not None and release not in known.green.once(releases.all_releases):
            lacking.add(release)
        theirs = known.once(_greens, resource.name).get(kinds.full_name(obj))
        if theirs is not None and _peoples(obj, resource, known) and (fields := _differing_fields(obj, theirs)):
            changed[namespace].append(f"{obj['kind']} {obj['metadata']['name']} (green's differs in {', '.join(fields)})")
    for namespace, names in sorted(changed.items()):
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        evidence = f"{len(names)} objects that were changed are not copied: {', '.join(sorted(names)[:MOST_NAMED])}{more}"
        yield finding(
            "BG105", Severity.WARNING, f"Namespace {namespace}", evidence, "change green's by hand where it should be so"
        )
    for release in sorted(lacking):
        named = "/".join(release)
        evidence = f"green has no release {named}; what is in namespace {release[0]} belongs to the baseline and is not copied"
        yield finding("BG105", Severity.WARNING, f"Release {named}", evidence, "install it on green if it should be there")


CLUSTERS_OWN = (
    "configmaps",
    "poddisruptionbudgets.policy",
    "networkpolicies.networking.k8s.io",
)  # compared where both have one


def _peoples(obj: Mapping[str, Any], resource: Resource, known: Known) -> bool:
    if resource.name not in CLUSTERS_OWN or not origin.by_person(obj, resource, known):
        return False
    return origin.tool_of(obj) is not None


def _differing_fields(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """`data.Corefile`, `spec`"""
    fields: list[str] = []
    for key in ("data", "binaryData", "spec"):
        one, other = mine.get(key) or {}, theirs.get(key) or {}
        if key == "spec" and one != other:
            fields.append(key)
        elif key != "spec":
            fields += [f"{key}.{name}" for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return fields


# -- gateways -----------------------------------------------------------------------------------------------------------


def gateways_without_pods(known: Known) -> Iterator[Finding]:
    """Gateways that would be on green without any pod that takes them up: what they serve answers nobody."""
    green = known.green
    if green is None:
        return
    for gateway in known.blue.of(kinds.GATEWAY.name):
        selector = spec_of(gateway).get("selector") or {}
        if not selector or not mesh.homes_of(known.blue, selector) or mesh.homes_of(green, selector):
            continue
        verdict = judge.verdict(gateway, kinds.GATEWAY, known)
        if verdict.action not in WRITTEN or _coming(known, selector):
            continue
        labels = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
        evidence = f"selects pods with {labels}; green has none, and none come along"
        yield finding("BG106", Severity.BLOCKING, gateway, evidence, "install this gateway on green, as on blue")


def _coming(known: Known, selector: Mapping[str, str]) -> bool:
    for name in mesh.WORKLOADS:
        resource = known.blue.resources.get(name)
        for workload in known.blue.of(name) if resource is not None else ():
            labels = ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}
            if selector.items() <= labels.items() and resource and judge.verdict(workload, resource, known).action in WRITTEN:
                return True
    return False


def other_root(known: Known) -> Iterator[Finding]:
    """A policy in the root namespace is the whole mesh's; in another namespace it is that namespace's alone."""
    if known.green is None:
        return
    mine, theirs = mesh.roots_of(known.blue), mesh.roots_of(known.green)
    for root in sorted(mine - theirs if theirs else ()):
        policies = [
            obj
            for name, objects in known.blue.objects.items()
            if name.endswith((".security.istio.io", ".telemetry.istio.io", ".extensions.istio.io")) or name in ROOTED
            for obj in objects
            if obj["metadata"].get("namespace") == root
        ]
        if policies:
            evidence = (
                f"{len(policies)} policies of the whole mesh are in it; green's root namespace is {', '.join(sorted(theirs))}"
            )
            remedy = "give both the same `rootNamespace` (MeshConfig), or write the policies into green's"
            yield finding("BG103", Severity.BLOCKING, f"Namespace {root}", evidence, remedy)


ROOTED = frozenset({"envoyfilters.networking.istio.io", "sidecars.networking.istio.io", "proxyconfigs.networking.istio.io"})


def lacking_providers(known: Known) -> Iterator[Finding]:
    """A policy that asks a provider of the mesh (ext_authz, a tracer) that green's MeshConfig does not define."""
    green = known.green
    if green is None or not mesh.mesh_configs(green) or not mesh.mesh_configs(known.blue):
        return
    lacking = mesh.providers_of(known.blue) - mesh.providers_of(green)
    for name in ("authorizationpolicies.security.istio.io", "telemetries.telemetry.istio.io") if lacking else ():
        resource = known.blue.resources.get(name)
        for obj in known.blue.of(name) if resource is not None else ():
            named = sorted(_providers(obj.get("spec")) & lacking)
            if named and resource and judge.verdict(obj, resource, known).action in WRITTEN:
                evidence = f"names provider {', '.join(named)} of blue's MeshConfig; green's has none by that name"
                yield finding("BG103", Severity.BLOCKING, obj, evidence, "add it to `extensionProviders` of green's MeshConfig")


def _providers(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_providers, value))
    names: set[str] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("provider", "providers"):
                several = inner if isinstance(inner, list) else [inner]
                names |= {str(each.get("name")) for each in several if isinstance(each, dict)}
            names |= _providers(inner)
    return names


def other_mesh(known: Known) -> Iterator[Finding]:
    """What green's MeshConfig says otherwise: what decides who may call whom blocks, the rest is told together."""
    green = known.green
    if green is None or not mesh.mesh_configs(green) or not mesh.mesh_configs(known.blue):
        return
    mine, theirs = mesh.decided(known.blue), mesh.decided(green)
    for path, (_, why) in mesh.DECIDES.items():
        if mine[path] != theirs[path]:
            evidence = f"{why}: {_values(mine[path])} on blue, {_values(theirs[path])} on green"
            yield finding(
                "BG103", Severity.BLOCKING, f"MeshConfig {'.'.join(path)}", evidence, "say the same in green's MeshConfig"
            )
    if lacking := mesh.trusted(known.blue) - mesh.trusted(green):
        evidence = (
            f"policies may name workloads by {', '.join(sorted(lacking))}; green's trust domains are "
            f"{', '.join(sorted(mesh.trusted(green)))}"
        )
        remedy = "give green the same `trustDomain`, or name blue's in its `trustDomainAliases`"
        yield finding("BG103", Severity.BLOCKING, f"MeshConfig {mesh.TRUST_DOMAIN}", evidence, remedy)
    ours, other = mesh.settings(known.blue), mesh.settings(green)
    differ = sorted(key for key in ours.keys() | other.keys() if ours.get(key) != other.get(key))
    # a provider that only one has matters where a policy names it: lacking_providers
    if keys := [key for key in differ if not key.startswith("extensionProviders[") or (key in ours and key in other)]:
        more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        evidence = f"green's differs in {', '.join(keys[:MOST_NAMED])}{more}"
        yield finding("BG103", Severity.WARNING, "MeshConfig", evidence, "say the same in green's MeshConfig where it matters")


def _values(said: Iterable[str]) -> str:
    return " and ".join(value[:80] for value in sorted(said))


CHECKS = (
    JudgedCheck(("BG101", "BG103"), differing),
    JudgedCheck(("BG107",), conflicting),
    JudgedCheck(("BG105",), left_behind),
    JudgedCheck(("BG106",), gateways_without_pods),
    JudgedCheck(("BG103",), other_root),
    JudgedCheck(("BG103",), lacking_providers),
    JudgedCheck(("BG103",), other_mesh),
)
