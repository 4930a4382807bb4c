"""What `verify` found last, kept for `shift`: a service that nobody has seen answer on green should not move unremarked.

`STORE/verified.json`, by green's name, since the next migration has another green:
    {"fern": {"replicated": TIME | null, "services": {"shop/catalog": {"at": TIME, "outcome": OUTCOME, "why": "..."}}}}
TIME is ISO 8601 in UTC; OUTCOME is `ok`, `failed` or `not verified`. `replicated` is when `replicate` last changed
something there: what was verified before that may be another thing now.

It is no part of the journal, because `verify` may run while a shift has the journal open, and asks for no lock. What of
it cannot be read counts as never verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from migration import disk
from migration.errors import StoreError

FILE = "verified.json"
WHAT = "what `verify` found"


class Verdict(Protocol):
    @property
    def service(self) -> str:
        """`namespace/name` of its route."""
        ...

    @property
    def outcome(self) -> str:
        """`ok`, `failed` or `not verified`."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it does not pass, in words; empty where it does."""
        ...


def keep(store: Path, green: str, verdicts: Iterable[Verdict], wall: float) -> None:
    """Raises StoreError where the store cannot be written."""
    at = _stamp(wall)
    services = {v.service: {"at": at, "outcome": v.outcome, "why": "; ".join(v.problems)} for v in verdicts}
    _change(store, green, services=services)


def replicated(store: Path, green: str, wall: float) -> None:
    """Marks that something on green was changed. Raises StoreError where the store cannot be written."""
    _change(store, green, replicated=_stamp(wall))


def doubts(store: Path, green: str, services: Iterable[str]) -> dict[str, str]:
    """Why each of these services is not known to be good on green; without those that are."""
    try:
        document = _read(store / FILE)
    except StoreError:
        document = {}
    known = _of(document, green)
    reasons = {service: _doubt(known["services"].get(service), known["replicated"]) for service in services}
    return {service: why for service, why in reasons.items() if why}


def _doubt(last: Any, replicated_at: Any) -> str | None:
    if not isinstance(last, Mapping) or not {"at", "outcome"} <= last.keys():
        return "never verified"
    if last["outcome"] == "failed":
        return f"failed when it was verified at {last['at']}: {last.get('why')}"
    if last["outcome"] != "ok":
        return f"{last.get('why') or 'not verified'} (at {last['at']})"
    if replicated_at and str(replicated_at) >= str(last["at"]):
        return f"verified at {last['at']}, before the last `bluegreen replicate` (at {replicated_at})"
    return None


def _change(store: Path, green: str, *, services: Mapping[str, Any] | None = None, replicated: str | None = None) -> None:
    disk.make_folder(store)
    with disk.guarded(store / f"{FILE}.lock", WHAT):
        document = _read(store / FILE)
        known = _of(document, green)
        known["services"] |= services or {}
        known["replicated"] = replicated or known["replicated"]
        disk.write_whole(store / FILE, json.dumps({**document, green: known}, indent=1) + "\n", WHAT)


def _read(path: Path) -> dict[str, Any]:
    """Raises StoreError where it is there and cannot be read: it would be written over with less."""
    try:
        document = json.loads(disk.read_bytes(path, WHAT) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _of(document: Mapping[str, Any], green: str) -> dict[str, Any]:
    known = document.get(green)
    known = known if isinstance(known, dict) else {}
    services = known.get("services")
    return {"replicated": known.get("replicated"), "services": dict(services) if isinstance(services, dict) else {}}


def _stamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
