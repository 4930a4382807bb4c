"""What one sees while the story runs: on a terminal a live table of who serves whom, elsewhere one line per event.

The numbers are the clients' own: `Tail` reads the load generator's records as they are written.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

WINDOW_SECONDS = 3.0


@dataclass
class Counts:
    """One service as its clients see it. `window` holds (time, cluster, failed) of the last seconds."""

    total: int = 0
    injected: int = 0
    lost: int = 0


class Tail:
    """Follows a file of request records; a line that is not whole yet waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_host: dict[str, Counts] = {}
        self._recent: dict[str, deque[tuple[float, str]]] = {}
        self._offset = 0

    def read(self) -> None:
        """Takes in what has been written since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        lines = whole.split(b"\n")
        for line in lines:
            if line:
                self._add(json.loads(line))

    def _add(self, record: Mapping[str, Any]) -> None:
        counts = self.by_host.setdefault(record["host"], Counts())
        counts.total += 1
        if record["status"] == 0 or record["status"] >= 500:
            if record.get("injected"):
                counts.injected += 1
            else:
                counts.lost += 1
        recent = self._recent.setdefault(record["host"], deque())
        recent.append((record["t"], record.get("cluster") or ""))

    def shares(self, host: str, now: float) -> tuple[float, Mapping[str, float]]:
        """Requests per second and each cluster's part of them, over the last seconds."""
        recent = self._recent.get(host, deque())
        while recent and recent[0][0] < now - WINDOW_SECONDS:
            recent.popleft()
        clusters = [cluster for _, cluster in recent if cluster]
        parts = {each: clusters.count(each) / len(clusters) for each in set(clusters)}
        return len(recent) / WINDOW_SECONDS, parts


class View:
    """Shows steps and numbers. `rows` gives (service, host) pairs, `splits` green's share in basis points."""

    def __init__(
        self,
        title: str,
        green: str,
        tail: Tail,
        rows: Sequence[tuple[str, str]],
        splits: Callable[[], Mapping[str, int]],
        console: Console | None = None,
    ) -> None:
        self.title, self.green, self.tail, self.rows, self.splits = title, green, tail, rows, splits
        self.console = console or Console(highlight=False)
        self.began = time.monotonic()
        self._said: deque[str] = deque(maxlen=8)
        self._step = "starting"
        self._live: Live | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._live = Live(self._draw(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
            self._thread = threading.Thread(target=self._refresh, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self._live:
            self._live.update(self._draw())
            self._live.stop()

    def step(self, text: str) -> None:
        """Begins a step of the story."""
        self._step = text
        self._print(f"[bold]{escape(text)}[/bold]")

    def say(self, text: str, style: str = "") -> None:
        """One thing that happened. What others wrote may have brackets in it: they are no markup."""
        self._print(f"  [{style}]{escape(text)}[/{style}]" if style else f"  {escape(text)}")

    def _print(self, text: str) -> None:
        line = f"[dim]{time.monotonic() - self.began:6.1f} s[/dim]  {text}"
        self._said.append(line)
        self.console.print(line, soft_wrap=not self.console.is_terminal)

    def _refresh(self) -> None:
        while not self._stop.wait(0.25):
            self.tail.read()
            if self._live:
                self._live.update(self._draw())

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, expand=False)
        for name, justify in (("service", "left"), ("split", "right"), (f"served by {self.green}", "left")):
            table.add_column(name, justify="left" if justify == "left" else "right")
        for name in ("req/s", "requests", "by faults", "lost"):
            table.add_column(name, justify="right")
        splits, now = self.splits(), time.time()
        for service, host in self.rows:
            rate, parts = self.tail.shares(host, now)
            counts = self.tail.by_host.get(host, Counts())
            share = splits.get(service)
            table.add_row(
                service,
                "–" if share is None else f"{share / 100:g} %",
                bar(parts.get(self.green, 0.0)) if parts else Text("no requests", style="dim"),
                f"{rate:.0f}",
                f"{counts.total:,}",
                Text(str(counts.injected), style="red" if counts.injected else "dim"),
                Text(str(counts.lost), style="bold red" if counts.lost else "dim"),
            )
        head = Text(f"\n{self.title}   {self._step}   {time.monotonic() - self.began:.0f} s\n", style="bold")
        return Group(head, table)


def bar(share: float, width: int = 24) -> Text:
    """A share as a bar with its percentage."""
    filled = round(share * width)
    return Text.assemble(("█" * filled, "green"), ("░" * (width - filled), "blue"), f" {share * 100:5.1f} %")
