"""What the clients' records say: pure functions over lists of them, as `lab.demo.load` writes them.

A request failed when it got no answer or one of 500 and above; by moving when no fault of the lab made it so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from migration.views.report import Series

Record = Mapping[str, Any]

ZERO_SECONDS = 3.0  # from a service's first bad answer to none of it at green, at most


def read(file: Path) -> list[dict[str, Any]]:
    """All whole lines of a file of records, by the time they were sent."""
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    return sorted((json.loads(line) for line in whole.split(b"\n") if line), key=lambda record: record["t"])


def read_tail(file: Path, size: int = 400_000) -> list[dict[str, Any]]:
    """The last whole records of a file that grows, at most `size` bytes of them."""
    if not file.exists():
        return []
    with file.open("rb") as source:
        end = source.seek(0, 2)
        source.seek(max(end - size, 0))
        lines = source.read().split(b"\n")[1 if end > size else 0 : -1]
    return [json.loads(line) for line in lines]


def failed(record: Record) -> bool:
    return bool(record["status"] == 0 or record["status"] >= 500)


def failed_by_moving(record: Record) -> bool:
    return failed(record) and not record.get("injected")


def requests(records: Iterable[Record]) -> dict[str, int]:
    """The summary's `requests`."""
    total = lost = faults = 0
    for record in records:
        total += 1
        lost += failed_by_moving(record)
        faults += failed(record)
    return {"total": total, "failed": faults, "failed_by_moving": lost}


def series(
    records: Iterable[Record],
    service: str,
    host: str,
    *,
    blue: str,
    green: str,
    start: float,
    seconds: int,
    splits: Sequence[tuple[float, int]] = (),
) -> Series:
    """One service's seconds since `start`, beside the splits that were set."""
    counts: dict[str, list[int]] = {name: [0] * seconds for name in ("blue", "green", "injected", "failed")}
    for record in records:
        second = int(record["t"] - start)
        if record["host"] != host or not 0 <= second < seconds:
            continue
        if record.get("cluster") in (blue, green):
            counts["blue" if record["cluster"] == blue else "green"][second] += 1
        if failed(record):
            counts["injected" if record.get("injected") else "failed"][second] += 1
    return Series(service, counts["blue"], counts["green"], counts["injected"], counts["failed"], splits)


def entered(records: Iterable[Record], address: str, *, start: float, seconds: int) -> list[float]:
    """Share of requests per second that came in by `address`; NaN where there were none."""
    here, all_ = [0] * seconds, [0] * seconds
    for record in records:
        second = int(record["t"] - start)
        if 0 <= second < seconds and record.get("address"):
            all_[second] += 1
            here[second] += record["address"] == address
    return [a / b if b else float("nan") for a, b in zip(here, all_, strict=True)]


def taken_back(
    records: Sequence[Record], hosts: Iterable[str], *, green: str, since: float, until: float
) -> tuple[float | None, int]:
    """From the first bad answer that a fault on green made to the last answer of green before `until`.

    Returns:
        (seconds, bad answers); (None, 0) when there was no bad answer. Seconds are from the end of the first bad answer
        to the end of the last answer of any kind that green gave.
    """
    wanted = set(hosts)
    ours = [
        record
        for record in records
        if record["host"] in wanted and record.get("cluster") == green and since <= record["t"] < until
    ]
    bad = [record["t"] + record["ms"] / 1000 for record in ours if failed(record)]
    if not bad:
        return None, 0
    first = min(bad)
    last = max(record["t"] + record["ms"] / 1000 for record in ours)
    return round(max(last - first, 0.0), 3), len(bad)
