"""The two words EKS has for the lab: start a control plane, and end one (see lab.server for the control API)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Protocol

SECONDS = 15.0


class Rejected(Exception):
    """The lab said no; the message is its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ControlPlanes(Protocol):
    """What makes, shows and wipes real control planes. A cluster is what GET /clusters/NAME answers."""

    def create(self, name: str, version: str) -> dict[str, Any]: ...

    def get(self, name: str) -> dict[str, Any] | None: ...

    def delete(self, name: str) -> None: ...


class LabControl:
    """The lab's control API."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def create(self, name: str, version: str) -> dict[str, Any]:
        return self._call("PUT", name, {"version": version})

    def get(self, name: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", name)
        except Rejected as error:
            if error.status == 404:
                return None
            raise

    def delete(self, name: str) -> None:
        try:
            self._call("DELETE", name)
        except Rejected as error:
            if error.status != 404:
                raise

    def _call(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/clusters/{name}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                reply: dict[str, Any] = json.load(answer)
                return reply
        except urllib.error.HTTPError as error:
            with error:
                raise Rejected(error.code, _reason(error.read())) from error
        except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
            raise Rejected(503, f"the lab's control API at {self.url} does not answer: {error}") from error


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
