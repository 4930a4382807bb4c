"""Reads the edge's record from a cluster, before anything is written there.

The record (ConfigMap `istio-system/bluegreen-edge`) says which generation of intent a gateway holds. A file older than
that must not send users back to green, so the program has to know it while it runs. One GET per cluster with what the
kubeconfig says, its proxy and server name included, since Pulumi's provider writes by them.

Three answers are told apart: a record; an API server that says by its own Status that there is none, which is proof that
nothing was ever written there; and everything else (refused, late, another server, words that are no record), which
proves nothing and yields None. None never stops an `up` that takes users away from green, and never lets one send
more of them there (stacks/edge.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import routing
from access import kubeconfig as reader
from access.causes import foreign
from access.errors import AccessError, BadKubeconfig, Unusable
from access.transport import get_now

TIMEOUT_SECONDS = 10.0  # for the whole answer: a slow cluster that is given up too early may not be raised
RECORD_PATH = "/api/v1/namespaces/istio-system/configmaps/bluegreen-edge"
LIMIT_BYTES = 2_000_000


@dataclass(frozen=True)
class Live:
    """What a gateway holds. `generation` None: reached, and nothing was ever written there."""

    generation: int | None
    services: Mapping[str, int]
    entry: Mapping[str, int]


NOTHING = Live(None, {}, {})


def read_live(
    kubeconfig: str,
    context: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    tell: Callable[[str], None] = lambda why: None,
) -> Live | None:
    """None: what is live cannot be known; `tell` is told why.

    Raises:
        BadKubeconfig: nothing in the kubeconfig leads to a server: that is a mistake to be told, no unreachable cluster.
    """
    whose = ""
    try:
        access = reader.read(kubeconfig, context)
        whose = f"cluster {access.cluster}: "  # its name in the kubeconfig says nothing here
        answer = get_now(access, RECORD_PATH, seconds=timeout_seconds, most_bytes=LIMIT_BYTES)
    except AccessError as problem:
        if isinstance(problem, BadKubeconfig) and not isinstance(problem, Unusable):
            raise
        tell(problem.message.removeprefix(whose))
        return None
    server, status, body = access.server, answer.status, answer.body
    if (why := foreign(status, answer.headers, body)) is not None:
        tell(f"{server} answers {why}")
        return None
    if status == 200:
        try:
            return parse_record(body)
        except ValueError as problem:
            tell(f"{server} answers 200, and not with the edge's record: {problem}")
    elif status == 404 and _says_there_is_none(body):
        return NOTHING
    else:
        whose = "" if _status_of(body) else ", which is no API server's answer"
        tell(f"{server} answers {status}{whose}: {body[:200].decode(errors='replace').strip() or 'nothing more'}")
    return None


def parse_record(body: bytes) -> Live:
    """Raises ValueError: not the edge's ConfigMap, or not what `routing.record` writes into it."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    meta = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(meta, dict) or (document.get("kind"), meta.get("name")) != ("ConfigMap", routing.RECORD_NAME):
        raise ValueError(f"allowed: ConfigMap {routing.EDGE_NAMESPACE}/{routing.RECORD_NAME}")
    if not isinstance(document.get("data"), dict):
        raise ValueError("it has no data")
    return Live(*routing.read_record(document))


def _status_of(body: bytes) -> dict[str, Any] | None:
    """The Status object by which an API server refuses."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("kind") == "Status" else None


def _says_there_is_none(body: bytes) -> bool:
    """A proxy or another server answers 404 too, and a server that lacks the kind: only this one means our object."""
    status = _status_of(body) or {}
    details = status.get("details")
    return (
        status.get("reason") == "NotFound"
        and isinstance(details, dict)
        and (details.get("kind"), details.get("name")) == ("configmaps", routing.RECORD_NAME)
    )


def newest(records: Mapping[str, Live | None]) -> Live:
    """Both gateways hold the same record; where a write reached one of them only, the later one counts."""
    present = [live for live in records.values() if live is not None and live.generation is not None]
    return max(present, key=lambda live: live.generation or 0, default=NOTHING)
