"""Asks a credential program that a kubeconfig names (`aws eks get-token`), within a time limit.

It gets no terminal, so it can ask nobody, and a process group of its own, so that what it starts ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from access import eks
from access.errors import NoCredentials, NotGiven
from access.kubeconfig import Access, Exec

if TYPE_CHECKING:
    import asyncio

SECONDS = 15.0  # `aws eks get-token` starts an interpreter first
MOST_WORDS = 300
MOST_BYTES = 64_000  # of stderr, from its end
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")  # colours and titles of a terminal
QUERY = re.compile(r"(://(?:(?!://)[^\s?#'\"<>])*+)[?#][^\s'\"<>]*+")
USER = re.compile(r"(://)[^\s/?#'\"<>@]*+@")
SPARE_SECONDS = 60.0  # before it expires a token is replaced, or a tenth of its life before
ODD = "has characters in it that no token has (line breaks, spaces, letters beyond ASCII)"


@dataclass(frozen=True)
class Given:
    """What a program gave: a token, certificate and key in PEM, or both; and until when (seconds since 1970) to use it."""

    token: str | None = field(repr=False)
    pair: tuple[bytes, bytes] | None = field(repr=False)
    until: float


async def ask(access: Access, plugin: Exec, timeout_seconds: float = SECONDS) -> Given:
    """A program that hangs is ended.

    Raises:
        NoCredentials: it cannot be run.
        NotGiven: it fails, answers with no ExecCredential, or does not end in time: a login service may be out, which no
            edit of a file helps.
    """
    import asyncio

    command = [plugin.command, *plugin.args]
    line = " ".join(command)
    shown = f"{access.source}: the credential program of {access.cluster} ({line})"
    remedy = f"run it by hand: {line}; or correct `exec` of the user in {access.source}"
    environment = _environment(plugin)
    if shutil.which(plugin.command, path=environment.get("PATH")) is None and eks.understands(command, environment):
        shown = f"{access.source}: the token of {access.cluster} ({line}, which is not installed, so it is made here)"
        remedy = f"set credentials of AWS (`aws sts get-caller-identity` shows them), or install {plugin.command}"
        command, environment = eks.program(command, environment)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # what it starts itself ends with it
        )
    except (OSError, ValueError) as problem:
        hint = plugin.hint or "install it or put it on PATH"
        raise NoCredentials(f"{shown} cannot be run: {_strerror(problem)}", remedy=hint) from problem
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), timeout_seconds)
    except TimeoutError as problem:
        await _end(process)
        raise NotGiven(f"{shown} did not answer within {timeout_seconds:g} s", remedy=remedy) from problem
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        said = last_words(complaint)
        reason = f": {said}" if said else " and said nothing"
        raise NotGiven(f"{shown} failed with {process.returncode}{reason}", remedy=remedy)
    try:
        return read(output)
    except ValueError as problem:
        raise NotGiven(f"{shown} did not answer with an ExecCredential: {problem}", remedy=remedy) from problem


def last_words(complaint: bytes) -> str:
    """The last line that says something of what a program wrote to stderr, at most MOST_WORDS characters.

    Above it stand progress, tracebacks, addresses to log in by. Queries of URLs are left out: they carry codes and signatures.
    """
    text = complaint[-MOST_BYTES:].decode(errors="replace")
    lines = ["".join(each if each.isprintable() else " " for each in ESCAPE.sub("", line)) for line in text.splitlines()]
    said = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    said = QUERY.sub(r"\1?...", USER.sub(r"\1***@", said))
    return said if len(said) <= MOST_WORDS else said[: MOST_WORDS - 1] + "…"


def read(output: bytes, now: float | None = None) -> Given:
    """Raises ValueError: not an ExecCredential with something to show. Its words have nothing of the output in them."""
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    status = document.get("status") if isinstance(document, dict) else None
    if not isinstance(status, dict):
        raise ValueError("it has no status")
    token, certificate, key, stamp = (
        _text(status, name) for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    )
    if bool(certificate) != bool(key):
        raise ValueError("clientCertificateData and clientKeyData come together only")
    if not token and not certificate:
        raise ValueError("it has neither a token nor a certificate")
    if token and not can_be_sent(token):
        raise ValueError(f"its token {ODD}")
    pair = (certificate.encode(), key.encode()) if certificate else None
    return Given(token or None, pair, _until(stamp, time.time() if now is None else now) if stamp else float("inf"))


def can_be_sent(token: str) -> bool:
    """Whether a token fits into a header as it is."""
    return token.isascii() and token.isprintable() and " " not in token


def _text(status: Mapping[str, Any], name: str) -> str:
    value = status.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value or ""


def _until(stamp: str, now: float) -> float:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(stamp)
        expires = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("expirationTimestamp is no time in RFC 3339") from None
    return expires - min(SPARE_SECONDS, max(0.0, expires - now) / 10)


def _environment(plugin: Exec) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster is not None:
        spec["cluster"] = dict(plugin.cluster)
    info = {"apiVersion": plugin.version, "kind": "ExecCredential", "spec": spec}
    return {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _strerror(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


async def _end(process: asyncio.subprocess.Process) -> None:
    """With what it started itself; a child that left its group may hold the pipes open, and is not waited for."""
    import asyncio

    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 1.0)
