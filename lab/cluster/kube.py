"""A small asynchronous Kubernetes client for the lab's own programs: raw JSON, server-side apply, list and watch.

Not the client of the `bluegreen` command (that is migration/clients/kubernetes.py): the lab must not share its mistakes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson

Object = dict[str, Any]
FIELD_MANAGER = "bluegreen-lab"


class ApiError(Exception):
    """The API server said no. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kube:
    """One API server. Paths are given whole, as in the API's own URLs."""

    def __init__(self, url: str, token: str, ca_file: Path) -> None:
        self.url = url
        context = ssl.create_default_context(cafile=str(ca_file))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=40),
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", timeout: float = 30
    ) -> Object:
        """One call; raises ApiError for a refusal, aiohttp's errors for a server that is not there."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        limit = aiohttp.ClientTimeout(total=timeout)
        async with self._session.request(method, self.url + path, data=data, headers=headers, timeout=limit) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise ApiError(answer.status, _message(text))
            try:
                parsed: Object = orjson.loads(text)
            except ValueError:
                parsed = {"text": text.decode(errors="replace")}
            return parsed

    async def get(self, path: str) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, path: str, body: Mapping[str, Any], manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply, by force."""
        query = "&" if "?" in path else "?"
        target = f"{path}{query}fieldManager={manager}&force=true"
        return await self.request("PATCH", target, body, "application/apply-patch+yaml")

    async def merge(self, path: str, body: Mapping[str, Any]) -> Object:
        return await self.request("PATCH", path, body, "application/merge-patch+json")

    async def delete(self, path: str) -> None:
        """Gone afterwards, or on its way; no matter if it never was."""
        try:
            await self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    async def changes(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """All objects of a collection, then every change, for ever.

        Yields ("SYNC", {"items": [...]}) with the whole collection first and again whenever the watch had to start over
        (410 Gone, connection lost, API server killed); in between ("ADDED"|"MODIFIED"|"DELETED", object).
        """
        query = "&" if "?" in path else "?"
        pause = 0.1
        while True:
            try:
                listed = await self.request("GET", f"{path}{query}resourceVersion=0")
                yield "SYNC", listed
                pause = 0.1
                version = listed["metadata"]["resourceVersion"]
                async for kind, item in self._watch(f"{path}{query}watch=1&allowWatchBookmarks=true", version):
                    yield kind, item
            except (aiohttp.ClientError, TimeoutError, ApiError, OSError, json.JSONDecodeError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Changes since `version`; returns when the list must be read again."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300)
        while True:
            target = f"{self.url}{path}&timeoutSeconds=240&resourceVersion={version}"
            async with self._session.get(target, timeout=limit) as answer:
                if answer.status >= 300:
                    if answer.status == 410:
                        return
                    raise ApiError(answer.status, _message(await answer.read()))
                buffer = b""
                async for chunk in answer.content.iter_any():
                    buffer += chunk
                    *lines, buffer = buffer.split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            return
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield event["type"], event["object"]


def _message(text: bytes) -> str:
    try:
        return str(orjson.loads(text).get("message", ""))[:600]
    except (ValueError, AttributeError):
        return text[:300].decode(errors="replace")
