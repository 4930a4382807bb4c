"""Reads what an API server serves out of its discovery documents: the aggregated ones (since 1.26), or those of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery


def read_discovery(groups: Sequence[Mapping[str, Any]]) -> Discovery:
    """Aggregated discovery documents -> resources. The first version of a group is the one the server prefers."""
    resources: list[Resource] = []
    served: dict[tuple[str, str], list[str]] = {}
    stale: list[str] = []
    for group in groups:
        group_name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                stale.append(f"{group_name}/{version['version']}")
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind")
                if not kind:
                    continue
                key = (group_name, kind)
                if key not in served:
                    resources.append(
                        Resource(
                            group_name,
                            version["version"],
                            kind,
                            entry["resource"],
                            entry.get("scope") == "Namespaced",
                            frozenset(entry.get("verbs") or ()),
                        )
                    )
                served.setdefault(key, []).append(version["version"])
    return Discovery(tuple(resources), {key: tuple(versions) for key, versions in served.items()}, tuple(stale))


def preferred_first(core: Object, groups: Object) -> dict[str, str]:
    """group/version -> where its own document is, of the documents APIVersions and APIGroupList; of each group the version
    that the server prefers comes first.
    """
    paths = {str(version): f"/api/{version}" for version in core.get("versions") or ()}
    for group in groups.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        versions = [str(each["groupVersion"]) for each in group.get("versions") or ()]
        for each in sorted(versions, key=lambda version: version != preferred):
            paths[each] = f"/apis/{each}"
    return paths


def read_by_group(documents: Mapping[str, Object], stale: Sequence[str]) -> Discovery:
    """Documents APIResourceList by group/version -> resources. `stale`: those that did not answer."""
    groups: dict[str, list[Object]] = {}
    for group_version, document in documents.items():
        group, _, version = group_version.rpartition("/")
        entries = [
            {
                "resource": each["name"],
                "responseKind": {"kind": each.get("kind")},
                "scope": "Namespaced" if each.get("namespaced") else "Cluster",
                "verbs": each.get("verbs"),
            }
            for each in document.get("resources") or ()
            if "/" not in each["name"]  # a subresource
        ]
        groups.setdefault(group, []).append({"version": version, "resources": entries})
    discovery = read_discovery([{"metadata": {"name": group}, "versions": versions} for group, versions in groups.items()])
    return Discovery(discovery.resources, discovery.served, tuple(stale))
