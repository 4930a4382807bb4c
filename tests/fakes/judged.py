"""What becomes of objects of blue: judged as preflight does it, and taken through a whole `replicate` of fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from migration.model import Finding
from migration.objects import kinds
from migration.objects.classes import Answer, Verdict
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import judge
from migration.ownership.known import Known
from migration.preflight.replicated import of_the_judge
from migration.replicate.apply import Applied, apply
from migration.replicate.export import export
from migration.replicate.plan import plan
from migration.replicate.transform import transform
from migration.settings.choices import Choices
from tests.fakes.apiserver import FakeApiServer, served

CLUSTER_WIDE = frozenset(
    {
        "PersistentVolume",
        "VolumeSnapshotContent",
        "VolumeGroupSnapshotContent",
        "StorageClass",
        "IngressClassParams",
        "ClusterRole",
    }
)


def objects(text: str) -> list[Object]:
    """Manifests, each with a uid as an API server gives it."""
    manifests = [each for each in yaml.safe_load_all(text) if each]
    for each in manifests:
        name = each["metadata"]["name"]
        each["metadata"].setdefault("uid", f"uid-{each['kind']}-{name}")
    return manifests


def one(api_version: str, kind: str, name: str = "x", namespace: str | None = "shop", **rest: Any) -> Object:
    place = {"namespace": namespace} if namespace and kind not in CLUSTER_WIDE else {}
    meta = {"name": name, **place, "uid": f"uid-{kind}-{name}", **rest.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}


def resource_of(obj: Mapping[str, Any]) -> Resource:
    group, _, version = obj["apiVersion"].rpartition("/")
    known = kinds.WELL_KNOWN.get((group, obj["kind"]))
    if known:
        return known
    return Resource(group, version, obj["kind"], obj["kind"].lower() + "s", "namespace" in obj["metadata"])


def choices(answers: Mapping[str, str] | None) -> Choices:
    return Choices(answers=MappingProxyType({name: Answer(word) for name, word in (answers or {}).items()}))


def knowing(manifests: Iterable[Object], answers: Mapping[str, str] | None = None, singletons: Iterable[str] = ()) -> Known:
    by_name: dict[str, list[Object]] = {}
    resources: dict[str, Resource] = {}
    for obj in manifests:
        resource = resource_of(obj)
        resources[resource.name] = resource
        by_name.setdefault(resource.name, []).append(obj)
    blue = View("plum", served(*resources.values()), by_name, resources=resources)
    return Known(blue, choices=choices(answers), singletons=frozenset(singletons))


def verdicts(manifests: Iterable[Object], answers: Mapping[str, str] | None = None, **more: Any) -> dict[str, Verdict]:
    """Each object's verdict by its name; a wrong answer is refused."""
    known = knowing(manifests, answers, **more)
    items = list(judge.everything(known))
    judge.refuse_wrong_answers(known, items)
    return {item.name: item.verdict for item in items}


def findings(manifests: Iterable[Object], answers: Mapping[str, str] | None = None) -> list[Finding]:
    return list(of_the_judge(knowing(manifests, answers)))


class Green:
    """What a `replicate` from these objects to an empty green did: `of(name)` is the object there, None: it is not."""

    def __init__(self, manifests: Iterable[Object], answers: Mapping[str, str] | None = None, **more: Any) -> None:
        blue = list(manifests)
        resources = {resource_of(obj) for obj in blue} | set(kinds.WELL_KNOWN.values())
        self.server = FakeApiServer("fern", resources=tuple(resources))
        self.blue = FakeApiServer("plum", blue, resources=tuple(resources))
        self.choices, self.more = choices(answers), more
        self.applied = self.again()

    def again(self) -> Applied:
        async def act() -> Applied:
            bundle = await export(self.blue, self.server, choices=self.choices, **self.more)
            self.plan = await plan(transform(bundle), self.server)
            return await apply(self.plan, self.server)

        return asyncio.run(act())

    def of(self, name: str) -> Object | None:
        return next((obj for obj in self.server.objects.values() if kinds.name_of(obj) == name), None)

    def names(self) -> set[str]:
        return {kinds.name_of(obj) for obj in self.server.objects.values()}
