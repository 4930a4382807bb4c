"""What a tool brings to green from a repository or a catalogue, told by the tool's own record.

Argo CD lists what an Application keeps in `status.resources`, Flux what a Kustomization (and, since 2.8, a HelmRelease)
keeps in `status.inventory`, Helm annotates what a HelmRelease's release installed, OLM names the ClusterServiceVersion
that it made something for. Labels and annotations on the object itself are a claim: people copy objects with them, tools
are uninstalled and leave them behind, and a tool may deploy from another cluster, where its record is. A claim holds where
the owner is on blue and its record, if it has one, lists the object; it is void where that record does not; where the
owner is not on blue, only a person knows, and is asked once for each owner.

`app.kubernetes.io/instance`, Argo CD's default label before 3.0, is not even a claim: every Helm chart sets it. What kapp
or kubectl wrote is a person's: these are commands, nothing will write it on green by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ownership.releases import Release, kept_in, release_of

Key = tuple[str, str, str, str]  # group, kind, namespace ("" where there is none), name


@dataclass(frozen=True, slots=True)
class Owner:
    """What tells a tool to deploy something. `namespace`: "" where the claim does not say."""

    tool: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


# -- claims: what an object says of itself -----------------------------------------------------------------------------

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "argocd.argoproj.io/instance"


def _argo_cd(meta: Mapping[str, Any], resource: Resource) -> Owner | None:
    """`APP:GROUP/KIND:NAMESPACE/NAME`, where APP is `NAMESPACE_NAME` of an Application outside Argo CD's own namespace. For
    what is in no namespace Argo CD writes the one that the Application deploys to.
    """
    tracking = (meta.get("annotations") or {}).get(TRACKING)
    app = (meta.get("labels") or {}).get(INSTANCE)
    if tracking is not None:
        app, _, rest = tracking.partition(":")
        of_kind, _, of = rest.partition(":")
        namespace, _, name = of.partition("/")
        if of_kind != f"{resource.group}/{resource.kind}" or name != meta["name"]:
            return None  # copied from another object, and the label with it
        if resource.namespaced and namespace != meta.get("namespace"):
            return None
    if not app:
        return None
    namespace, _, name = app.rpartition("_")
    return Owner("Argo CD", "Application", namespace, name)


def _labelled(tool: str, kind: str, prefix: str) -> Callable[[Mapping[str, Any], Resource], Owner | None]:
    def read(meta: Mapping[str, Any], _: Resource) -> Owner | None:
        labels = meta.get("labels") or {}
        name, namespace = labels.get(f"{prefix}/name"), labels.get(f"{prefix}/namespace", "")
        return Owner(tool, kind, namespace, name) if name else None

    return read


def _olm(meta: Mapping[str, Any], _: Resource) -> Owner | None:
    labels = meta.get("labels") or {}
    if labels.get("olm.owner.kind") == "ClusterServiceVersion" and labels.get("olm.owner"):
        namespace = labels.get("olm.owner.namespace") or meta.get("namespace", "")
        return Owner("OLM", "ClusterServiceVersion", namespace, labels["olm.owner"])
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") in ("ClusterServiceVersion", "Subscription") and _group(owner) == OLM_GROUP:
            return Owner("OLM", owner["kind"], meta.get("namespace", ""), owner.get("name", ""))
    return None


def _config_sync(meta: Mapping[str, Any], resource: Resource) -> Owner | None:
    """`configsync.gke.io/resource-id`: GROUP_kind[_NAMESPACE]_NAME, the kind in small letters; `configsync.gke.io/manager`:
    `:root`, `:root_NAME`, NAMESPACE or NAMESPACE_NAME. Config Sync itself ignores an id of another object.
    """
    annotations = meta.get("annotations") or {}
    parts = [resource.group, resource.kind.lower(), *([meta["namespace"]] if meta.get("namespace") else []), meta["name"]]
    if annotations.get("configsync.gke.io/resource-id") != "_".join(parts):
        return None
    scope, _, name = annotations.get("configsync.gke.io/manager", ":root").partition("_")
    if scope == ":root":
        return Owner("Config Sync", "RootSync", "config-management-system", name or "root-sync")
    return Owner("Config Sync", "RepoSync", scope, name or "repo-sync")


def _fleet(meta: Mapping[str, Any], _: Resource) -> Owner | None:
    """Fleet's agent installs a bundle as a Helm release and marks its objects by the bundle's id; what else uses this
    annotation (Rancher's controllers) names the owner beside it. Bundles are on the cluster that manages this one.
    """
    annotations = meta.get("annotations") or {}
    bundle = annotations.get("objectset.rio.cattle.io/id")
    if not bundle or "objectset.rio.cattle.io/owner-gvk" in annotations or release_of({"metadata": meta}) is None:
        return None
    return Owner("Fleet", "Bundle", "", bundle)


OLM_GROUP = "operators.coreos.com"
CLAIMS: tuple[Callable[[Mapping[str, Any], Resource], Owner | None], ...] = (
    _argo_cd,
    _labelled("Flux", "Kustomization", "kustomize.toolkit.fluxcd.io"),
    _labelled("Flux", "HelmRelease", "helm.toolkit.fluxcd.io"),
    _olm,
    _config_sync,
    _fleet,
)


def claim(obj: Mapping[str, Any], resource: Resource) -> Owner | None:
    """Who is said to bring this object, by its own labels and annotations."""
    meta = obj["metadata"]
    if not (meta.get("labels") or meta.get("annotations") or meta.get("ownerReferences")):
        return None
    return next((owner for read in CLAIMS if (owner := read(meta, resource))), None)


def _group(reference: Mapping[str, Any]) -> str:
    return str(reference.get("apiVersion", "")).rpartition("/")[0]


# -- records: what the owners say --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Records:
    """`deployed`: what an owner lists, with whether green is to have the same one; `owners`: owners that deploy to this
    cluster, True where they have a record; `elsewhere`: owners that deploy to another; `releases`: Helm's, by HelmRelease.
    """

    deployed: dict[Key, tuple[Owner, bool]] = field(default_factory=dict)
    owners: dict[tuple[str, str, str], bool] = field(default_factory=dict)  # kind, namespace, name
    elsewhere: set[tuple[str, str, str]] = field(default_factory=set)
    releases: dict[Release, Owner] = field(default_factory=dict)

    def holds(self, owner: Owner) -> bool | None:
        """Whether an owner has a record of what it deploys to this cluster; None: it is not here, or deploys elsewhere."""
        if owner.namespace:
            return self.owners.get((owner.kind, owner.namespace, owner.name))
        matches = [has for (kind, _, name), has in self.owners.items() if (kind, name) == (owner.kind, owner.name)]
        return any(matches) if matches else None


Listed = Iterable[tuple[Key, bool]]  # an object, and whether green will have one by that name, too


def _resources(application: Object) -> Listed | None:
    """What Argo CD would prune is no longer in the repository: nothing will bring it to green. Hooks run and go."""
    resources = (application.get("status") or {}).get("resources")
    if resources is None:
        return None
    return [
        ((each.get("group", ""), each.get("kind", ""), each.get("namespace", ""), each.get("name", "")), not each.get("hook"))
        for each in resources
        if not each.get("requiresPruning")
    ]


def _inventory(owner: Object) -> Listed | None:
    """Flux' ids are NAMESPACE_NAME_GROUP_KIND; a colon in the name of a role is written `__`."""
    inventory = (owner.get("status") or {}).get("inventory")
    if inventory is None:
        return None
    listed = []
    for entry in inventory.get("entries") or ():
        namespace, _, rest = str(entry.get("id", "")).partition("_")
        parts = rest.rsplit("_", 2)
        if len(parts) == 3:
            name, group, kind = parts
            listed.append(((group, kind, namespace, name.replace("__", ":")), True))
    return listed


def _subscribed(subscription: Object) -> Listed:
    """OLM installs what a Subscription's channel offers on the day: green's may have another version in its name."""
    status = subscription.get("status") or {}
    namespace = subscription["metadata"].get("namespace", "")
    names = {str(status[key]) for key in ("installedCSV", "currentCSV") if status.get(key)}
    return [((OLM_GROUP, "ClusterServiceVersion", namespace, name), False) for name in names]


def _to_this_cluster(application: Object) -> bool:
    destination = (application.get("spec") or {}).get("destination") or {}
    server = destination.get("server", "").removesuffix("/")
    return server == "https://kubernetes.default.svc" or (not server and destination.get("name") == "in-cluster")


def _without_kubeconfig(owner: Object) -> bool:
    return not (owner.get("spec") or {}).get("kubeConfig")


def _anywhere(_: Object) -> bool:
    return True


def _no_list(_: Object) -> None:
    return None


# Where the record of each kind of owner is, and whether it deploys to the cluster that it is on.
RECORDS: tuple[tuple[str, str, Callable[[Object], Listed | None], Callable[[Object], bool]], ...] = (
    ("applications.argoproj.io", "Argo CD", _resources, _to_this_cluster),
    ("kustomizations.kustomize.toolkit.fluxcd.io", "Flux", _inventory, _without_kubeconfig),
    ("helmreleases.helm.toolkit.fluxcd.io", "Flux", _inventory, _without_kubeconfig),
    ("subscriptions.operators.coreos.com", "OLM", _subscribed, _anywhere),
    ("clusterserviceversions.operators.coreos.com", "OLM", _no_list, _anywhere),
    ("rootsyncs.configsync.gke.io", "Config Sync", _no_list, _anywhere),
    ("reposyncs.configsync.gke.io", "Config Sync", _no_list, _anywhere),
)


def records(view: View) -> Records:
    """What the owners on a cluster say of themselves."""
    result = Records()
    for resource_name, tool, listed_by, is_here in RECORDS:
        for obj in view.of(resource_name):
            meta = obj["metadata"]
            owner = Owner(tool, str(obj.get("kind", "")), meta.get("namespace", ""), meta["name"])
            key = (owner.kind, owner.namespace, owner.name)
            if not is_here(obj):
                result.elsewhere.add(key)
                continue
            listed = listed_by(obj)
            result.owners[key] = listed is not None and tool != "OLM"
            result.deployed.update({each: (owner, awaited) for each, awaited in listed or ()})
            if owner.kind == "HelmRelease":
                result.releases.update(dict.fromkeys(_releases(obj), owner))
    return result


def _releases(helm_release: Object) -> Iterator[Release]:
    """Where Helm keeps the release, and what it annotates on its objects; they differ by `storageNamespace`."""
    meta, spec, status = helm_release["metadata"], helm_release.get("spec") or {}, helm_release.get("status") or {}
    target = spec.get("targetNamespace")
    name = spec.get("releaseName") or (f"{target}-{meta['name']}" if target else meta["name"])
    names = {name, *(each.get("name", name) for each in status.get("history") or ())}
    spaces = {target or meta.get("namespace", ""), spec.get("storageNamespace") or meta.get("namespace", "")}
    yield from ((space, each) for space in spaces for each in names)


# -- what comes of it --------------------------------------------------------------------------------------------------

ANSWERS: Mapping[Answer, Action] = MappingProxyType({Answer.SKIP: Action.LEAVE, Answer.START: Action.COPY})
# Run by what is deployed: each cluster has its own, by other names or at another time.
RUNS = frozenset({"jobs.batch", "pods"})


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What another tool brings to green, and what one is said to bring."""
    recorded = known.blue.once(records)
    meta = obj["metadata"]
    key = (resource.group, resource.kind, meta.get("namespace", ""), meta["name"])
    if deployed := recorded.deployed.get(key):
        return _left(deployed[0], resource, awaited=deployed[1])
    if (release := release_of(obj) or kept_in(obj)) and (owner := recorded.releases.get(release)):
        return _left(owner, resource, awaited=kept_in(obj) is None)
    if resource.group == OLM_GROUP and "olm.copiedFrom" in {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}:
        return Sign(Class.CONTROLLER, "a copy that OLM makes")
    said = claim(obj, resource)
    if said is None:
        return None
    match recorded.holds(said):
        case True:
            return None  # the owner's record has no such object
        case False if said.kind == "HelmRelease" and release_of(obj):
            return None  # installed by another release
        case False:
            return _left(said, resource, awaited=True)
        case _:
            return _asked(said, obj, known, recorded)


def _left(owner: Owner, resource: Resource, *, awaited: bool) -> Sign:
    """`awaited`: the tool has to bring it to green."""
    reason = f"deployed by {owner.tool} ({owner}): let it deploy to green"
    if owner.tool == "OLM":
        awaited = awaited and resource.name == "deployments.apps"
    return Sign(Class.GITOPS, reason, tool=owner.tool if awaited and resource.name not in RUNS else "")


def _asked(owner: Owner, obj: Object, known: Known, recorded: Records) -> Sign | None:
    """Held, with one question for all that the owner claims; where it is not the tool's, it is as any other object."""
    about = question(owner, recorded)
    answers = known.choices.answers
    if answers.get(about) is Answer.START:
        return None
    reason = (
        f"{owner.tool}'s {owner} claims it and is not on cluster {known.blue.name}: skip where {owner.tool} deploys it to "
        f"green, start where it is to be copied"
    )
    return Sign(Class.GITOPS, reason, Action.HOLD, ANSWERS, required=True, asked=about, tool=owner.tool)


def question(owner: Owner, recorded: Records) -> str:
    """The name under which a person answers for an owner; an object of that name on blue (an Application that deploys to
    another cluster) is another matter, which is why it then goes without its namespace.
    """
    if (owner.kind, owner.namespace, owner.name) in recorded.elsewhere:
        return f"{owner.kind} {owner.name}"
    return str(owner)


def questions(known: Known) -> frozenset[str]:
    """Owners about which a person may be asked."""
    recorded = known.blue.once(records)
    return frozenset(
        question(owner, recorded)
        for name, objects in known.blue.objects.items()
        if (resource := known.blue.resources.get(name)) is not None
        for obj in objects
        if (owner := claim(obj, resource)) is not None and recorded.holds(owner) is None
    )
