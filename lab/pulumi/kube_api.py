"""One API server, in raw JSON: discovery, get, server-side apply, delete.

An API server that is not there is its own error.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from access import proxy, tls
from access.credentials import Credentials, obtain
from access.errors import AccessError
from access.kubeconfig import Access
from lab.pulumi.plugin import PluginError

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0

Object = dict[str, Any]


class UnreachableError(PluginError):
    """No answer from the API server."""


class ApiError(PluginError):
    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Kind:
    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str) -> str:
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{root}{scope}/{self.plural}/{name}"


class KubeApi:
    def __init__(self, access: Access) -> None:
        self.access = access
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._lock = threading.Lock()
        self._credentials = _credentials(access)
        self._pool = _pool(access)

    def close(self) -> None:
        self._pool.clear()

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str) -> Object:
        headers = {"Content-Type": content_type, "Accept": "application/json", **self._headers()}
        url = f"{self.access.server}{path}{'?' + urlencode(query) if query else ''}"
        data = None if body is None else json.dumps(body)
        limit = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        try:
            answer = self._pool.request(method, url, body=data, headers=headers, timeout=limit)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"the Kubernetes cluster at {self.access.server} is unreachable: {_short(error)}") from error
        try:
            matched: Object = json.loads(answer.data)
        except ValueError:
            matched = {"message": answer.data.decode(errors="replace")[:500]}
        if answer.status >= 300:
            raise ApiError(answer.status, matched.get("message") or f"HTTP status {answer.status}", matched.get("reason", ""))
        return matched

    def _headers(self) -> dict[str, str]:
        if time.time() >= self._credentials.until:
            self._credentials = _credentials(self.access)
        return dict(self._credentials.headers)

    def kind(self, api_version: str, kind: str) -> Kind:
        """Plural and scope, by discovery; asked again for a kind not seen before, since CRDs come and go."""
        with self._lock:
            key = (api_version, kind)
            if key not in self._kinds:
                path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
                try:
                    listed = self.call("GET", path).get("resources", [])
                except ApiError as error:
                    if error.status != 404:
                        raise
                    listed = []
                for item in listed:
                    if "/" not in item["name"]:
                        self._kinds[api_version, item["kind"]] = Kind(
                            api_version, item["kind"], item["name"], item["namespaced"]
                        )
            if key not in self._kinds:
                raise ApiError(
                    404, f'no matches for kind "{kind}" in version "{api_version}" at {self.access.server}', "NoKind"
                )
            return self._kinds[key]

    def get(self, path: str) -> Object | None:
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, body: Mapping[str, Any], manager: str, force: bool, dry_run: bool = False) -> Object:
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return self.call("PATCH", path, body, "application/apply-patch+yaml", **query)

    def delete(self, path: str, propagation: str = "Background") -> None:
        try:
            self.call("DELETE", path, {"propagationPolicy": propagation, "kind": "DeleteOptions", "apiVersion": "v1"})
        except ApiError as error:
            if error.status != 404:
                raise


def _pool(access: Access) -> urllib3.PoolManager:
    """Of the kubeconfig alone: the proxy of the environment is not asked, as nothing else of it is."""
    try:
        through, trust = proxy.choose(access, {}), tls.context(access)
    except AccessError as problem:
        raise PluginError(problem.message) from problem
    options: dict[str, Any] = {
        "maxsize": 32,
        "ssl_context": trust,
        "assert_hostname": False if access.insecure else None,
        "server_hostname": access.tls_server_name,
        "retries": False,
    }
    if through is None:
        return urllib3.PoolManager(**options)
    headers = {"Proxy-Authorization": through.authorization} if through.authorization else None
    return urllib3.ProxyManager(through.url, proxy_headers=headers, **options)


def _credentials(access: Access) -> Credentials:
    try:
        return asyncio.run(obtain(access))
    except AccessError as problem:
        raise PluginError(problem.message) from problem


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rsplit("object at 0x", 1)[-1].split(">: ", 1)[-1]
