"""Takes namespaces away from bare control planes at once.

A namespace controller begins five seconds after it hears of a deletion, and asks again seconds later where something is still
ending; nearly every test here would wait for that twice, and it proves nothing. So this does what the controller does,
without its waits: everything in the namespace first, then the namespace's own finalizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from tests.lab.support.bare import Bare
from tests.lab.support.kit import Api, ApiError, eventually

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AT_ONCE = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}


def remove_namespaces(planes: Iterable[Bare], *names: str) -> None:
    """Both or all planes side by side; returns when no namespace of these names and nothing in them is there any more.

    Fails the test where something in one does not end within a minute: a finalizer that nobody takes off.
    """
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_remove, plane, names) for plane in planes]:
            done.result()


def _remove(plane: Bare, names: tuple[str, ...]) -> None:
    api = plane.api()
    try:
        present = [name for name in names if api.get(f"/api/v1/namespaces/{name}")]
        for name in present:
            api.delete(f"/api/v1/namespaces/{name}")  # from now on nobody can make anything in it
        collections = _collections(api) if present else []
        for name in present:
            left = [path.format(name=name) for path in collections]
            eventually(partial(_emptied, api, left), f"the end of all that is in {plane.name}'s namespace {name}")
            _finalize(api, name)
            eventually(partial(_gone, api, name), f"the end of {plane.name}'s namespace {name}")
    finally:
        api.close()


def _collections(api: Api) -> list[str]:
    """Paths of all namespaced kinds that can be listed and deleted together, one version of each, with a place for the name."""
    paths: dict[tuple[str, str], str] = {}
    for root in ("/api", "/apis"):
        for group in api.request("GET", root, accept=DISCOVERY)["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                base = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                for resource in version.get("resources", ()):
                    if resource["scope"] == "Namespaced" and {"list", "deletecollection"} <= set(resource["verbs"]):
                        paths.setdefault((name, resource["resource"]), f"{base}/namespaces/{{name}}/{resource['resource']}")
    return list(paths.values())


def _emptied(api: Api, left: list[str]) -> bool:
    """Deletes what is there; `left` keeps only the paths where something was, to be looked at again."""
    left[:] = [path for path in left if _some(api, path)]
    return not left


def _some(api: Api, path: str) -> bool:
    try:
        if not api.request("GET", f"{path}?limit=1")["items"]:
            return False
        api.request("DELETE", path, AT_ONCE)
    except ApiError as error:
        if error.status not in (404, 405):  # the kind's definition has gone meanwhile
            raise
        return False
    return True


def _finalize(api: Api, name: str) -> None:
    path = f"/api/v1/namespaces/{name}"
    live: Mapping[str, Any] | None = api.get(path)
    if live is not None:
        try:
            api.request("PUT", f"{path}/finalize", {**live, "spec": {"finalizers": []}})
        except ApiError as error:
            if error.status not in (404, 409):  # the controller was faster, or is about to be
                raise


def _gone(api: Api, name: str) -> bool:
    return api.get(f"/api/v1/namespaces/{name}") is None


def remove_definitions(planes: Iterable[Bare], *names: str) -> None:
    """CustomResourceDefinitions (names as `widgets.example.com`), those of all planes side by side, with their objects."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_undefine, plane, names) for plane in planes]:
            done.result()


def _undefine(plane: Bare, names: tuple[str, ...]) -> None:
    api = plane.api()
    paths = [f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}" for name in names]
    try:
        for path in paths:
            api.delete(path)
        for path in paths:
            eventually(lambda path=path: api.get(path) is None, f"the end of {path} on {plane.name}")
    finally:
        api.close()
