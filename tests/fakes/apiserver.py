"""An API server in a dictionary: enough of apply, lists and discovery to test steps against. It notes every request."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from migration import kinds
from migration.errors import Conflict, NotFound
from migration.kinds import Object, Resource
from migration.ports import Discovery, Listing

SERVED = tuple(kinds.WELL_KNOWN.values())


def served(*resources: Resource) -> Discovery:
    """Discovery of a server that serves these."""
    versions: dict[tuple[str, str], list[str]] = {}
    for r in resources:
        versions.setdefault((r.group, r.kind), []).append(r.version)
    first = {(r.group, r.kind): r for r in reversed(resources)}
    return Discovery(tuple(first.values()), {key: tuple(found) for key, found in versions.items()})


class FakeApiServer:
    """`trouble(verb, resource, name)` may raise in place of an answer."""

    def __init__(
        self,
        name: str,
        objects: Iterable[Mapping[str, Any]] = (),
        *,
        resources: Sequence[Resource] = SERVED,
        trouble: Callable[[str, Resource, str], None] | None = None,
    ) -> None:
        self.name = name
        self.discovery = served(*resources)
        self.objects: dict[tuple[str, str, str, str], Object] = {}
        self.requests: list[tuple[str, str]] = []
        self.trouble = trouble or (lambda verb, resource, name: None)
        self._version = 0
        for obj in objects:
            self.put(obj)

    def put(self, obj: Mapping[str, Any]) -> None:
        group = obj["apiVersion"].rpartition("/")[0]
        key = (group, obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        made = copy.deepcopy(dict(obj))
        made["metadata"].setdefault("uid", f"uid-{'-'.join(key)}")
        self.objects[key] = made

    def _seen(self, verb: str, resource: Resource, name: str) -> None:
        self.requests.append((verb, f"{resource.kind} {name}".strip()))
        self.trouble(verb, resource, name)

    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] not in ("get", "list")]

    async def discover(self, *, fresh: bool = False) -> Discovery:
        return self.discovery

    async def minor(self) -> str:
        return "1.36"

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        self._seen("get", resource, name)
        found = self.objects.get((resource.group, resource.kind, namespace or "", name))
        if found is None:
            raise NotFound(f"{resource.kind} {name}")
        return copy.deepcopy(found)

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        try:
            return await self.get(resource, namespace, name)
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        self._seen("list", resource, "")
        wanted = [each.split("=", 1) for each in labels.split(",")] if labels else []
        found = [
            copy.deepcopy(obj)
            for (group, kind, ns, _), obj in self.objects.items()
            if (group, kind) == (resource.group, resource.kind)
            and namespace in (None, ns)
            and all((obj["metadata"].get("labels") or {}).get(k) == v for k, v in wanted)
        ]
        return Listing(found, str(self._version))

    async def apply(
        self, resource: Resource, obj: Mapping[str, Any], *, manager: str, force: bool = False, dry_run: bool = False
    ) -> Object:
        meta = obj["metadata"]
        self._seen("apply", resource, meta["name"])
        live = self.objects.get((resource.group, resource.kind, meta.get("namespace", ""), meta["name"]), {})
        merged = _over(live, obj)
        there = (live.get("metadata") or {}).get("managedFields") or ()
        entries = [e for e in there if e["manager"] != manager or e.get("operation") == "Update"]
        entries.append({"manager": manager, "operation": "Apply", "fieldsV1": fields_v1(obj), "time": f"t{self._version:06}"})
        merged["metadata"]["managedFields"] = entries
        self._store(resource, merged)
        return merged

    def _store(self, resource: Resource, obj: Object) -> None:
        if resource.kind == "CustomResourceDefinition":
            obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        self._version += 1
        self.put(obj)

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        self._seen("delete", resource, name)
        self.objects.pop((resource.group, resource.kind, namespace or "", name), None)

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, manager: str, repeatable: bool = False) -> Object:
        meta = obj["metadata"]
        self._seen("create", resource, meta["name"])
        if (resource.group, resource.kind, meta.get("namespace", ""), meta["name"]) in self.objects:
            raise Conflict("there already", exists=True)
        entry = {"manager": manager, "operation": "Update", "fieldsV1": fields_v1(obj), "time": f"t{self._version:06}"}
        self._store(resource, {**obj, "metadata": {**meta, "managedFields": [entry]}})
        return dict(obj)

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, manager: str) -> Object:
        self._seen("replace", resource, obj["metadata"]["name"])
        self.put(obj)
        return dict(obj)

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str,
    ) -> Object:
        self._seen("patch", resource, name)
        live = await self.get(resource, namespace, name)
        assert isinstance(body, Mapping)
        merged = _merge_patch(live, body)
        self.put(merged)
        return merged


def fields_v1(value: Mapping[str, Any], top: bool = True) -> Object:
    """The fieldsV1 of an object whose lists are all one value."""
    found: Object = {}
    for key, inner in value.items():
        if top and key in ("apiVersion", "kind"):
            continue
        if top and key == "metadata":
            inner = {k: v for k, v in inner.items() if k in ("labels", "annotations")}
        found[f"f:{key}"] = fields_v1(inner, False) if isinstance(inner, Mapping) and inner else {}
    return found


def _over(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    result = copy.deepcopy(dict(live))
    for key, value in wanted.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _over(result[key], value) if both else copy.deepcopy(value)
    return result


def _merge_patch(live: Mapping[str, Any], body: Mapping[str, Any]) -> Object:
    result = copy.deepcopy(dict(live))
    for key, value in body.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _merge_patch(result[key], value)
        else:
            result[key] = value
    return result
