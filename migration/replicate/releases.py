"""Which Helm release an object belongs to, and whose that release is.

Helm writes the two annotations itself on all that a release installs, in whatever namespace that is, and adopts nothing
without them; the release is kept as Secrets `sh.helm.release.v1.NAME.vREVISION` in its namespace, labelled `owner: helm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration import kinds
from migration.kinds import Object, Resource
from migration.replicate.classes import Class, Sign
from migration.replicate.known import Known
from migration.view import View

RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
SECRET_TYPE = "helm.sh/release.v1"
Release = tuple[str, str]  # namespace, name


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What belongs to a release that green gets from somebody else. All other releases come along, as Helm left them."""
    release = release_of(obj) or kept_in(obj)
    if release is None:
        return None
    told = "/".join(release)
    if release[0] in kinds.BASELINE_NAMESPACES:
        return Sign(Class.BASELINE, f"belongs to the Helm release {told}, and so to the baseline")
    if known.green is not None and release in known.green.once(own_releases):
        return Sign(Class.BASELINE, f"green has a Helm release {told} of its own, which brings it")
    return None


def release_of(obj: Mapping[str, Any]) -> Release | None:
    """The release that installed this object."""
    annotations = obj["metadata"].get("annotations") or {}
    name, namespace = annotations.get(RELEASE_NAME), annotations.get(RELEASE_NAMESPACE)
    return (namespace, name) if name and namespace else None


def kept_in(obj: Mapping[str, Any]) -> Release | None:
    """The release of which this Secret keeps a revision."""
    if obj.get("type") != SECRET_TYPE:
        return None
    meta = obj["metadata"]
    return meta.get("namespace", ""), (meta.get("labels") or {}).get("name", "")


def own_releases(view: View) -> frozenset[Release]:
    """Releases that were made on this cluster: known by a Secret or a workload of theirs, of which none is a copy of ours.

    A release that was copied and then upgraded here is still the copy, as long as Helm keeps the revision that came along.
    """
    own: set[Release] = set()
    copied: set[Release] = set()
    for name in ("secrets", "deployments.apps", "statefulsets.apps", "daemonsets.apps"):
        for obj in view.of(name):
            if release := kept_in(obj) or release_of(obj):
                managers = {entry.get("manager") for entry in obj["metadata"].get("managedFields") or ()}
                (copied if kinds.REPLICATE in managers else own).add(release)
    return frozenset(own - copied)


def newest_revisions(view: View) -> frozenset[str]:
    """`namespace/name` of the Secret with each release's newest revision; older ones hold manifests with APIs that are gone."""
    newest: dict[Release, tuple[int, str]] = {}
    for secret in view.of("secrets"):
        meta = secret["metadata"]
        revision = (meta.get("labels") or {}).get("version", "")
        if (release := kept_in(secret)) and revision.isdigit():
            found = (int(revision), f"{meta.get('namespace', '')}/{meta['name']}")
            newest[release] = max(newest.get(release, (0, "")), found)
    return frozenset(name for _, name in newest.values())
