"""The edge's stack configuration: the truth of intent, read and written without harming what people wrote around it.

Comments, order and keys of others stay (ruamel). A write is whole or not at all (new file, fsync, rename) and makes the
generation grow by one. Before each write the file is read again; where one of our own keys is not as we last saw it,
somebody else changed it: ForeignWrite. Keys of others may change at any time (Pulumi itself writes `encryptionsalt` there).
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from migration.config import SERVICE, read_yaml
from migration.errors import ConfigError, ForeignWrite
from migration.model import WHOLE_BP

PREFIX = "bluegreen:"


@dataclass(frozen=True)
class Edge:
    """What the file says. `green` is None before there is a green cluster."""

    blue: str
    green: str | None
    entry: Mapping[str, int]
    services: Mapping[str, int]
    generation: int
    zone: str = ""
    hosts: tuple[str, ...] = ()
    ttl_seconds: int = 60

    def side_of(self, cluster: str) -> str | None:
        return {self.blue: "blue", self.green: "green"}.get(cluster)

    @property
    def green_entry_bp(self) -> int:
        return self.entry.get(self.green, 0) if self.green else 0


Signature = tuple[int, int, int]  # when it was written, how long, which file


class StackFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: Edge | None = None
        self._seen: Signature | None = None  # of the file when `known` was what it says
        self._document: tuple[Any, Signature | None] = (None, None)  # as we last wrote it, comments and all

    @property
    def stack(self) -> str:
        return self.path.stem.partition(".")[2] or self.path.stem

    @property
    def routes_folder(self) -> Path:
        return self.path.parent / f"{self.stack}.routes"

    def read(self) -> Edge:
        seen = self._signature()
        self.known = self._parse()
        self._seen = seen
        return self.known

    def _signature(self) -> Signature | None:
        try:
            return _signature_of(self.path.stat())
        except OSError:
            return None

    def changed_by_others(self) -> str | None:
        """What of ours is not as we last saw it, in words; None: nothing. The file is not taken over."""
        if self.known is None or self._signature() == self._seen:
            return None
        now = self._parse()
        if now == self.known:
            return None
        return "; ".join(_differences(self.known, now)) or "its settings"

    def write(
        self,
        *,
        services: Mapping[str, int] | None = None,
        entry: Mapping[str, int] | None = None,
        remove: tuple[str, ...] = (),
        generation: int | None = None,
        force: bool = False,
    ) -> Edge:
        """Sets the given splits and shares. `generation` names a floor: what is written is above it and above
        the file's own."""
        if not force and (change := self.changed_by_others()):
            raise ForeignWrite(
                f"{self.path}: changed by somebody else at {self._changed_at()}: {change}",
                target=str(self.path),
                who=self._owner(),
                when=self._changed_at(),
                remedy="look at it (git diff), then `bluegreen shift` to go on from what the file says",
            )
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 4096
        document, seen = self._document
        if document is None or seen != self._signature():
            document = yaml.load(self.path.read_text())
        current = self._parse()
        config = document["config"]
        if services or remove:
            there = config.setdefault(f"{PREFIX}services", {})
            if there is None:
                config[f"{PREFIX}services"] = there = {}
            for service, split in (services or {}).items():
                there[service] = _share(split)
            for service in remove:
                there.pop(service, None)
        if entry:
            there = config.setdefault(f"{PREFIX}entry", {})
            for cluster, share in entry.items():
                there[cluster] = _share(share)
        config[f"{PREFIX}generation"] = max(current.generation + 1, generation or 0)
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        self._document = document, write_whole(self.path, buffer.getvalue())
        return self.read()

    def _parse(self) -> Edge:
        document, lines = read_yaml(self.path, "the edge's stack file")
        config = document.get("config") if isinstance(document, Mapping) else None
        if not isinstance(config, Mapping):
            raise ConfigError(f"{self.path}: has no `config:`", remedy=f"write {self.path} as docs/architecture.md shows")

        def wrong(key: str, problem: str, allowed: str) -> ConfigError:
            line = lines.get(f"config.{PREFIX}{key}") or lines.get(f"config.{PREFIX}{key.partition('.')[0]}")
            where = f"{self.path}:{line}" if line else str(self.path)
            return ConfigError(f"{where}: {PREFIX}{key}: {problem}; allowed: {allowed}", remedy=f"edit {self.path}")

        def shares(key: str) -> dict[str, int]:
            value = config.get(PREFIX + key) or {}
            if not isinstance(value, Mapping):
                raise wrong(key, f"is {value!r}", "a mapping of names to basis points")
            for name, share in value.items():
                if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= WHOLE_BP:
                    raise wrong(f"{key}.{name}", f"is {share!r}", f"a whole number of basis points from 0 to {WHOLE_BP}")
            return {str(name): int(share) for name, share in value.items()}

        sides = config.get(f"{PREFIX}sides")
        if not isinstance(sides, Mapping) or not sides.get("blue"):
            raise wrong("sides", f"is {sides!r}", "{blue: CLUSTER, green: CLUSTER}")
        blue, green = str(sides["blue"]), str(sides["green"]) if sides.get("green") else None
        if blue == green:
            raise wrong("sides", f"blue and green are both {blue}", "two different clusters")
        entry, services = shares("entry"), shares("services")
        for cluster in entry:
            if cluster not in (blue, green):
                raise wrong(f"entry.{cluster}", "is not one of the sides", f"{blue}, {green}")
        if entry and sum(entry.values()) != WHOLE_BP:
            raise wrong("entry", f"adds up to {sum(entry.values())}", f"shares that add up to {WHOLE_BP}")
        for service in services:
            if not SERVICE.match(service):
                raise wrong(f"services.{service}", "is not a service", "namespace/name of a VirtualService")
        generation = _number(config.get(f"{PREFIX}generation", 0))
        if isinstance(generation, bool) or not isinstance(generation, int) or generation < 0:
            raise wrong("generation", f"is {generation!r}", "a whole number that only the command makes grow")
        ttl = _number(config.get(f"{PREFIX}ttl", 60))
        if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= 86_400:
            raise wrong("ttl", f"is {ttl!r}", "whole seconds from 0 to 86400")
        hosts = config.get(f"{PREFIX}hosts") or ()
        return Edge(
            blue,
            green,
            entry or {blue: WHOLE_BP},
            services,
            generation,
            str(config.get(f"{PREFIX}zone") or ""),
            tuple(map(str, hosts)),
            ttl,
        )

    def _changed_at(self) -> str:
        return datetime.fromtimestamp(self.path.stat().st_mtime).astimezone().isoformat(timespec="seconds")

    def _owner(self) -> str:
        try:
            return f"user {self.path.owner()}"
        except (KeyError, OSError):
            return "somebody"


def _number(value: Any) -> Any:
    """Pulumi itself writes a stack's plain values as strings whenever it saves the file."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _share(value: int) -> int:
    if not 0 <= value <= WHOLE_BP:
        raise ConfigError(f"a share of {value} basis points; allowed: 0 to {WHOLE_BP}")
    return value


def _differences(before: Edge, after: Edge) -> list[str]:
    told = []
    for name, old, new in (("services", before.services, after.services), ("entry", before.entry, after.entry)):
        changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        told += [f"{PREFIX}{name}.{key} {_word(old.get(key))} -> {_word(new.get(key))}" for key in changed]
    if (before.blue, before.green) != (after.blue, after.green):
        told.append(f"{PREFIX}sides {before.blue}/{before.green} -> {after.blue}/{after.green}")
    if before.generation != after.generation:
        told.append(f"{PREFIX}generation {before.generation} -> {after.generation}")
    return told


def _word(value: Any) -> str:
    return "none" if value is None else str(value)


def _signature_of(there: os.stat_result) -> Signature:
    return there.st_mtime_ns, there.st_size, there.st_ino


def write_whole(path: Path, text: str) -> Signature:
    """The file is as it was or as it shall be, also after a power cut. Keeps the mode; follows a symbolic link.
    Gives by what our own content is known as long as nobody else writes."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
            os.fsync(stream.fileno())
            written = _signature_of(os.fstat(stream.fileno()))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return written


def read_route(folder: Path, service: str) -> dict[str, Any]:
    """A service's original route, as `enroll` stored it."""
    path = folder / f"{service.replace('/', '.', 1)}.yaml"
    document, _ = read_yaml(path, f"the original route of {service}")
    if not isinstance(document, dict) or document.get("kind") != "VirtualService" or not isinstance(document.get("spec"), dict):
        raise ConfigError(
            f"{path}: is not a VirtualService", remedy=f"restore it from git, or `bluegreen enroll {service}` again"
        )
    return document
