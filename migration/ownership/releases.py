"""Which Helm release an object belongs to, and whose that release is.

Helm writes the two annotations itself on all that a release installs, in whatever namespace that is, and adopts nothing
without them; the release is kept as Secrets `sh.helm.release.v1.NAME.vREVISION` in its namespace, labelled `owner: helm`.
Such a Secret's `release` is gzipped JSON in base64 (once more than the Secret itself): `manifest` and `hooks[].manifest`
are the YAML that was installed. An object that is in neither was copied by somebody, annotations and all, or was kept
when the release let it go.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from migration.objects import kinds
from migration.objects.kinds import Object
from migration.objects.view import View

RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
SECRET_TYPE = "helm.sh/release.v1"
Release = tuple[str, str]  # namespace, name


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


def has(view: View, release: Release, obj: Mapping[str, Any]) -> bool:
    """Whether a release's own record names this object; believed where there is no record that can be read."""
    named = None if kept_in(obj) else view.once(names_in, release)
    return named is None or obj["metadata"]["name"] in named


_NAME = re.compile(r"""^[ \t-]*+["']?name["']?:[ \t]*["']?([^"'\s#]+)""", re.MULTILINE)


def names_in(view: View, release: Release) -> frozenset[str] | None:
    """Every name in the manifests of a release's newest revision, which may be of objects or of what is in them."""
    newest = view.once(newest_revisions)
    for secret in view.once(_revisions).get(release, ()):
        if kinds.full_name(secret) in newest:
            try:
                packed = base64.b64decode(base64.b64decode((secret.get("data") or {})["release"]))
                kept = orjson.loads(gzip.decompress(packed))
                texts = [kept["manifest"], *(hook.get("manifest", "") for hook in kept.get("hooks") or ())]
                return frozenset(name for text in texts for name in _NAME.findall(text))
            except (KeyError, TypeError, AttributeError, OSError, EOFError, zlib.error, binascii.Error, orjson.JSONDecodeError):
                return None
    return None


def _revisions(view: View) -> Mapping[Release, list[Object]]:
    by_release: dict[Release, list[Object]] = {}
    for secret in view.of("secrets"):
        if release := kept_in(secret):
            by_release.setdefault(release, []).append(secret)
    return by_release


def own_releases(view: View) -> frozenset[Release]:
    """Releases that were made on this cluster: known by a Secret or an object of theirs, of which none is a copy of ours.

    A release that was copied and then upgraded here is still the copy, as long as Helm keeps the revision that came along.
    """
    own: set[Release] = set()
    copied: set[Release] = set()
    for objects in view.objects.values():
        for obj in objects:
            if release := kept_in(obj) or release_of(obj):
                managers = {entry.get("manager") for entry in obj["metadata"].get("managedFields") or ()}
                (copied if kinds.REPLICATE in managers else own).add(release)
    return frozenset(own - copied)


def all_releases(view: View) -> frozenset[Release]:
    """Releases of which anything is on this cluster, whoever brought it."""
    objects = (obj for each in view.objects.values() for obj in each)
    return frozenset(release for obj in objects if (release := kept_in(obj) or release_of(obj)))


def newest_revisions(view: View) -> frozenset[str]:
    """`namespace/name` of the Secret with each release's newest revision; older ones hold manifests with APIs that are gone."""
    newest: list[tuple[int, str]] = []
    for secrets in view.once(_revisions).values():
        labelled = [((each["metadata"].get("labels") or {}).get("version", ""), kinds.full_name(each)) for each in secrets]
        newest += sorted((int(version), name) for version, name in labelled if version.isdigit())[-1:]
    return frozenset(name for _, name in newest)
