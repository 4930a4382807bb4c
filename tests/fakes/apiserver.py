"""An API server in a dictionary: enough of apply, lists and discovery to test steps against. It notes every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from migration.errors import BluegreenError, Conflict, NotFound, Unreachable
from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery, Listing

SERVED = tuple(kinds.WELL_KNOWN.values())

T = TypeVar("T")


def _copied(value: T) -> T:
    copy: T = orjson.loads(orjson.dumps(value))
    return copy


def served(*resources: Resource) -> Discovery:
    """Discovery of a server that serves these."""
    versions: dict[tuple[str, str], list[str]] = {}
    for r in resources:
        versions.setdefault((r.group, r.kind), []).append(r.version)
    first = {(r.group, r.kind): r for r in reversed(resources)}
    return Discovery(tuple(first.values()), {key: tuple(names) for key, names in versions.items()})


class FakeApiServer:
    """An API server in memory, asked by the methods of a client.

    `trouble(verb, resource, name)` may raise in place of an answer. `seconds` is how long one takes, of which the server
    works on `at_once` at a time; a `timeout_seconds` counts from when it begins with it, as in the client.
    """

    def __init__(
        self,
        name: str,
        objects: Iterable[Mapping[str, Any]] = (),
        *,
        resources: Sequence[Resource] = SERVED,
        trouble: Callable[[str, Resource, str], None] | None = None,
        seconds: float | Callable[[str, Resource, str], float] = 0.0,
        at_once: int = 8,
        issuer: str | BluegreenError = "https://kubernetes.default.svc",
        keys: frozenset[str] | BluegreenError = frozenset({"key"}),
    ) -> None:
        self.name = name
        self.discovery = served(*resources)
        self.objects: dict[tuple[str, str, str, str], Object] = {}
        self.requests: list[tuple[str, str]] = []
        self.asked: list[Any] = []  # behind a port (tests/fakes/served.py): the same as RBAC sees it
        self.trouble = trouble or (lambda verb, resource, name: None)
        self.seconds = seconds
        self.gateway: dict[str, tuple[int, bool]] = {}  # by host: status, and whether a workload gave it; else 200 from one
        self._issuer = issuer
        self._keys = keys
        self._working = asyncio.Semaphore(at_once)
        self._version = 0
        for obj in objects:
            self.put(obj)

    def put(self, obj: Mapping[str, Any]) -> None:
        group = obj["apiVersion"].rpartition("/")[0]
        key = (group, obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        stored = _copied(dict(obj))
        stored["metadata"].setdefault("uid", f"uid-{'-'.join(key)}")
        self._version += 1
        stored["metadata"].setdefault("resourceVersion", str(self._version))
        self.objects[key] = stored

    def _note_request(self, verb: str, resource: Resource, name: str) -> None:
        self.requests.append((verb, f"{resource.kind} {name}".strip()))
        self.trouble(verb, resource, name)

    async def _work(self, verb: str, resource: Resource, name: str, timeout_seconds: float | None) -> None:
        takes = self.seconds(verb, resource, name) if callable(self.seconds) else self.seconds
        if not takes:
            return
        async with self._working:
            if timeout_seconds is not None and takes > timeout_seconds:
                await asyncio.sleep(timeout_seconds)
                raise Unreachable(f"{self.name} did not answer within {timeout_seconds:g} s")
            await asyncio.sleep(takes)

    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] not in ("get", "list")]

    async def ready(self) -> float:
        return 0.0

    async def discover(self, *, fresh: bool = False) -> Discovery:
        return self.discovery

    async def minor(self) -> str:
        return "1.36"

    async def issuer(self) -> str:
        if isinstance(self._issuer, BluegreenError):
            raise self._issuer
        return self._issuer

    async def signing_keys(self) -> frozenset[str]:
        if isinstance(self._keys, BluegreenError):
            raise self._keys
        return self._keys

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, timeout_seconds: float | None = None
    ) -> Object:
        self._note_request("get", resource, name)
        await self._work("get", resource, name, timeout_seconds)
        stored = self.objects.get((resource.group, resource.kind, namespace or "", name))
        if stored is None:
            raise NotFound(f"{resource.kind} {name}")
        return _copied(stored)

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
        timeout_seconds: float | None = None,
    ) -> Listing:
        self._note_request("list", resource, "")
        await self._work("list", resource, "", timeout_seconds)
        wanted = [each.split("=", 1) for each in labels.split(",")] if labels else []
        matching = [
            _copied(obj)
            for (group, kind, ns, _), obj in self.objects.items()
            if (group, kind) == (resource.group, resource.kind)
            and namespace in (None, ns)
            and all((obj["metadata"].get("labels") or {}).get(k) == v for k, v in wanted)
        ]
        if metadata_only:
            matching = [{key: obj[key] for key in ("apiVersion", "kind", "metadata")} for obj in matching]
        return Listing(matching, str(self._version))

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        resource_version: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Object:
        """What the manager owned and no longer sends goes, unless another owns it too. Lists are one value."""
        meta = obj["metadata"]
        self._note_request("apply", resource, meta["name"])
        await self._work("apply", resource, meta["name"], timeout_seconds)
        live = self.objects.get((resource.group, resource.kind, meta.get("namespace", ""), meta["name"]), {})
        entries = (live.get("metadata") or {}).get("managedFields") or ()
        if resource_version is not None and (live.get("metadata") or {}).get("resourceVersion") != resource_version:
            raise Conflict(f"{resource.kind} {meta['name']}: the object has been modified")
        mine = [e for e in entries if e["manager"] == manager and e.get("operation") == "Apply"]
        others = [e for e in entries if e not in mine]
        kept = [fields_v1(obj), *(e["fieldsV1"] for e in others)]
        base = _copied(live)
        for entry in mine:
            _without(base, entry["fieldsV1"], kept)
        merged = _over(base, obj)
        merged["metadata"]["managedFields"] = [
            *others,
            {"manager": manager, "operation": "Apply", "fieldsV1": fields_v1(obj), "time": f"t{self._version:06}"},
        ]
        if _bare(merged) == _bare(live) and [e["fieldsV1"] for e in mine] == [fields_v1(obj)]:
            return _copied(live)  # nothing changes: no new version
        self._store(resource, merged)
        return _copied(self.objects[resource.group, resource.kind, meta.get("namespace", ""), meta["name"]])

    def _store(self, resource: Resource, obj: Object) -> None:
        if resource.kind == "CustomResourceDefinition":
            obj["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        obj["metadata"].pop("resourceVersion", None)
        self.put(obj)

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, manager: str, repeatable: bool = False) -> Object:
        meta = obj["metadata"]
        self._note_request("create", resource, meta["name"])
        if (resource.group, resource.kind, meta.get("namespace", ""), meta["name"]) in self.objects:
            raise Conflict("there already", exists=True)
        entry = {"manager": manager, "operation": "Update", "fieldsV1": fields_v1(obj), "time": f"t{self._version:06}"}
        self._store(resource, {**obj, "metadata": {**meta, "managedFields": [entry]}})
        return dict(obj)

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, manager: str) -> Object:
        self._note_request("replace", resource, obj["metadata"]["name"])
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
        self._note_request("patch", resource, name)
        live = await self.get(resource, namespace, name)
        assert isinstance(body, Mapping)
        merged = _merge_patch(live, body)
        self.put(merged)
        return merged

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        self._note_request("delete", resource, name)
        self.objects.pop((resource.group, resource.kind, namespace or "", name), None)


def fields_v1(value: Mapping[str, Any], top: bool = True) -> Object:
    """The fieldsV1 of an object whose lists are all one value."""
    fields: Object = {}
    for key, inner in value.items():
        if top and key in ("apiVersion", "kind"):
            continue
        if top and key == "metadata":
            inner = {k: v for k, v in inner.items() if k in ("labels", "annotations")}
        fields[f"f:{key}"] = fields_v1(inner, False) if isinstance(inner, Mapping) and inner else {}
    return fields


def _without(obj: Object, owned: Mapping[str, Any], kept: Sequence[Mapping[str, Any]]) -> None:
    """Takes leaves of `owned` out that none of `kept` has."""
    for key, inner in owned.items():
        name, others = key.removeprefix("f:"), [fields[key] for fields in kept if key in fields]
        if inner and isinstance(obj.get(name), dict):
            _without(obj[name], inner, others)
            if not obj[name] and not others:
                del obj[name]
        elif not others:
            obj.pop(name, None)


def _bare(obj: Mapping[str, Any]) -> Object:
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in ("managedFields", "resourceVersion", "uid")}
    return {**obj, "metadata": meta}


def _over(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    result = _copied(dict(live))
    for key, value in wanted.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _over(result[key], value) if both else _copied(value)
    return result


def _merge_patch(live: Mapping[str, Any], body: Mapping[str, Any]) -> Object:
    result = _copied(dict(live))
    for key, value in body.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _merge_patch(result[key], value)
        else:
            result[key] = value
    return result
