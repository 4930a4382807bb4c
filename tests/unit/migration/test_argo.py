"""Who else keeps a route is told before it is enrolled, with what to set."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migration.enroll.argo import application_of, warnings
from migration.objects.kinds import Resource
from migration.objects.listing import Discovery, Listing

APPLICATION = Resource("argoproj.io", "v1alpha1", "Application", "applications", True, frozenset({"list"}))
RIGHT = {"group": "networking.istio.io", "kind": "VirtualService", "managedFieldsManagers": ["bluegreen-edge"]}
TRACKED = {"annotations": {"argocd.argoproj.io/tracking-id": "argocd_shop:networking.istio.io/VirtualService:shop/web"}}


class Cluster:
    def __init__(self, *applications: dict[str, Any]) -> None:
        self.applications = list(applications)

    async def discover(self) -> Discovery:
        return Discovery((APPLICATION,) if self.applications else (), {})

    async def list(self, resource: Resource) -> Listing:
        assert resource == APPLICATION
        return Listing(self.applications)


def application(*ignored: dict[str, Any], options: tuple[str, ...] = ("RespectIgnoreDifferences=true",)) -> dict[str, Any]:
    spec = {"ignoreDifferences": list(ignored), "syncPolicy": {"syncOptions": list(options)}}
    return {"metadata": {"name": "shop"}, "spec": spec}


def told(meta: dict[str, Any], *applications: dict[str, Any]) -> list[str]:
    route = {"metadata": {"name": "web", "namespace": "shop", **meta}}
    return asyncio.run(warnings(Cluster(*applications), {"shop/web": route}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("meta", "name"),
    [({}, None), (TRACKED, "shop"), ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "shop")],
    ids=["nobody's", "tracked by annotation", "tracked by label"],
)
def test_the_owner_of_a_route_is_recognized(meta: dict[str, Any], name: str | None) -> None:
    assert application_of({"metadata": meta}) == name


@pytest.mark.parametrize(
    "there",
    [
        application(),
        application(RIGHT, options=()),
        application({**RIGHT, "kind": "Service"}),
        application({**RIGHT, "name": "another"}),
        application({**RIGHT, "managedFieldsManagers": ["kubectl"]}),
    ],
    ids=["nothing ignored", "not respected in a sync", "another kind", "one other route", "another manager"],
)
def test_an_application_that_would_put_routes_back_is_named_with_what_to_set(there: dict[str, Any]) -> None:
    (line,) = told(TRACKED, there)
    for part in ("shop/web", "Application shop", "put their routes back", "managedFieldsManagers: [bluegreen-edge]"):
        assert part in line


def test_an_application_that_leaves_them_alone_is_not_reported() -> None:
    assert told(TRACKED, application(RIGHT)) == []
    assert told(TRACKED, application({"group": "*", "kind": "*", "jsonPointers": ["/spec/http"]})) == []
    assert told({}, application()) == []


def test_an_application_outside_this_cluster_is_reported_all_the_same() -> None:
    (line,) = told(TRACKED)
    assert "cannot be read from here" in line
