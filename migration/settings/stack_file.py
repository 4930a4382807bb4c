"""The edge's stack configuration: the truth of intent, read and written without harming what people wrote around it.

Comments, order and keys of others stay (ruamel). A write is whole or not at all (new file, fsync, rename) and makes the
generation grow by one. Before each write the file is read again; where one of our own keys is not as we last saw it,
somebody else changed it: ForeignWrite. Keys of others may change at any time (Pulumi itself writes `encryptionsalt` there).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import manifests
import routing
from migration import disk
from migration.disk import Signature
from migration.errors import ConfigError, ForeignWrite
from migration.model import WHOLE_BP
from migration.settings.yaml_reader import SERVICE, Reader, did_you_mean, read_yaml, shown, some_of
from migration.words import clean

PREFIX = "bluegreen:"
WHAT = "the edge's stack file"
# what the program (stacks/edge.py) knows; the command itself needs only some of them
KEYS = (
    "kind",
    "sides",
    "clusters",
    "entry",
    "services",
    "generation",
    "zone",
    "zoneId",
    "hosts",
    "ttl",
    "force",
    "protect",
)


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
    zone_id: str = ""  # of an existing hosted zone; empty: the one that Pulumi makes

    @property
    def green_entry_bp(self) -> int:
        """Green's share of the entry in basis points; 0 where there is no green."""
        return self.entry.get(self.green, 0) if self.green else 0

    @property
    def entry_at_blue(self) -> dict[str, int]:
        """Shares with which all users enter by blue."""
        return {self.blue: WHOLE_BP, **({self.green: 0} if self.green else {})}


@dataclass(frozen=True)
class Change:
    """What somebody else changed of the shares: `text` in words, `services` each in words; `whole`: sides or entry too."""

    text: str
    services: Mapping[str, str]
    whole: bool


class StackFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: Edge | None = None
        self._known_signature: Signature | None = None  # of the file when `known` was what it says
        self._document: tuple[Any, Signature | None] = (None, None)  # as we last wrote it, comments and all

    @property
    def stack(self) -> str:
        """The stack's name: `edge` of Pulumi.edge.yaml."""
        return self.path.stem.partition(".")[2] or self.path.stem

    @property
    def routes_folder(self) -> Path:
        """Where the original routes are stored: `edge.routes` beside the file."""
        return self.path.parent / f"{self.stack}.routes"

    def read(self) -> Edge:
        """What the file says; `changed_by_others` compares with it. Raises ConfigError or StoreError."""
        signature = self._signature()
        self.known = self._parse()
        self._known_signature = signature
        return self.known

    def _signature(self) -> Signature | None:
        try:
            return disk.signature_of(self.path.stat())
        except OSError:
            return None

    def changed_by_others(self) -> Change | None:
        """Which shares, or sides, are not as we last saw them; None: none is. The file is not taken over: `read` does that.

        Other settings (`ttl`, `hosts`, ...) may change at any time: they move nobody.
        """
        if self.known is None or self._signature() == self._known_signature:
            return None
        return _change(self.known, self._parse())

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
        the file's own.

        Raises:
            ForeignWrite, ConfigError, StoreError: the file is as it was.
        """
        if not force and (change := self.changed_by_others()):
            raise ForeignWrite(
                f"{self.path}: changed by another process at {self._changed_at()}: {change.text}",
                target=str(self.path),
                who=self._owner(),
                when=self._changed_at(),
                remedy="review the change (git diff), then rerun `bluegreen shift` to continue from the file",
            )
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        current = self._parse()  # first: what is broken is told in our words
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 4096
        (document, signature), self._document = self._document, (None, None)  # one that a failed write has changed is not kept
        if document is None or signature != self._signature():
            try:
                document = yaml.load(disk.read_bytes(self.path, WHAT) or b"")
            except YAMLError as problem:  # YAML 1.2 refuses what 1.1, by which we read, allows
                raise ConfigError(
                    f"{self.path}: cannot be written without harming it: {problem}", remedy=f"fix {self.path} there"
                ) from problem
        config = document["config"]
        if services or remove:
            shares = config.setdefault(f"{PREFIX}services", {})
            if shares is None:
                config[f"{PREFIX}services"] = shares = {}
            for service, split in (services or {}).items():
                shares[service] = _share(split)
            for service in remove:
                shares.pop(service, None)
        if entry:
            shares = config.setdefault(f"{PREFIX}entry", {})
            for cluster, share in entry.items():
                shares[cluster] = _share(share)
        config[f"{PREFIX}generation"] = max(current.generation + 1, generation or 0)
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        self._document = document, disk.write_whole(self.path, buffer.getvalue(), WHAT)
        return self.read()

    def _parse(self) -> Edge:
        document, lines = read_yaml(self.path, WHAT, remedy="name it under `edge:` in migration.yaml, or restore it from git")
        config = document.get("config") if isinstance(document, Mapping) else None
        if not isinstance(config, Mapping):
            remedy = f"write {self.path} as docs/reference/configuration.md shows"
            raise ConfigError(f"{self.path}: has no `config:`; allowed: a mapping of keys", remedy=remedy)
        reader = Reader(self.path, {key.removeprefix("config."): line for key, line in lines.items()})
        return edge_of(reader, _known(reader, config))

    def _changed_at(self) -> str:
        try:
            changed = self.path.stat().st_mtime
        except OSError:
            return "an unknown time"
        return datetime.fromtimestamp(changed).astimezone().isoformat(timespec="seconds")

    def _owner(self) -> str:
        try:
            return f"user {clean(self.path.owner())}"
        except (KeyError, OSError):
            return "somebody"


def _known(reader: Reader, config: Mapping[Any, Any]) -> dict[str, Any]:
    """Our keys without their prefix; one that the program does not know is a mistake."""
    ours = {str(key).removeprefix(PREFIX): value for key, value in config.items() if str(key).startswith(PREFIX)}
    if ours.get("kind", "edge") != "edge":
        remedy = "name the edge's stack file under `edge:` in migration.yaml"
        raise reader.wrong(f"{PREFIX}kind", f"is {ours['kind']!r}", "edge", remedy)
    for key in ours:
        if key not in KEYS:
            known = [PREFIX + name for name in KEYS]
            some = some_of(known, PREFIX + key, f"all {len(known)} are in docs/reference/configuration.md#the-edges-stack-file")
            raise reader.wrong(PREFIX + key, f"unknown key{did_you_mean(PREFIX + key, known)}", some)
    return ours


def edge_of(reader: Reader, config: Mapping[str, Any]) -> Edge:
    """`config`: our keys without their prefix."""
    blue, green = _sides(reader, config.get("sides"))
    entry, services = (_shares(reader, config.get(key), PREFIX + key) for key in ("entry", "services"))
    members = [name for name in (blue, green) if name]
    for cluster in entry:
        if cluster not in members:
            problem = f"is not one of the sides{did_you_mean(cluster, members)}"
            raise reader.wrong(f"{PREFIX}entry.{cluster}", problem, ", ".join(members))
    if entry and sum(entry.values()) != WHOLE_BP:
        raise reader.wrong(f"{PREFIX}entry", f"adds up to {sum(entry.values())}", f"shares that add up to {WHOLE_BP}")
    for service in services:
        if not SERVICE.match(service):
            raise reader.wrong(
                f"{PREFIX}services.{service}", "is not a service", f"namespace/name of {routing.called(article=True)}"
            )
    given = config.get("hosts")
    listed = "a list of host names, such as [shop.example.com]"
    hosts = reader.sequence([] if given is None else given, f"{PREFIX}hosts", listed)
    return Edge(
        blue,
        green,
        entry or {blue: WHOLE_BP},
        services,
        reader.whole(_number(config.get("generation", 0)), f"{PREFIX}generation", 0, 2**53),
        reader.text(config["zone"], f"{PREFIX}zone") if config.get("zone") is not None else "",
        tuple(reader.text(host, f"{PREFIX}hosts[{index}]") for index, host in enumerate(hosts)),
        reader.whole(_number(config.get("ttl", 60)), f"{PREFIX}ttl", 1, 86_400),
        reader.text(config["zoneId"], f"{PREFIX}zoneId") if config.get("zoneId") is not None else "",
    )


def _sides(reader: Reader, value: Any) -> tuple[str, str | None]:
    key = f"{PREFIX}sides"
    if not isinstance(value, Mapping) or not value.get("blue"):
        raise reader.wrong(key, f"is {shown(value)}", "{blue: CLUSTER, green: CLUSTER}")
    fields = reader.mapping(value, key, ("blue", "green"))
    blue = reader.text(fields["blue"], f"{key}.blue")
    green = reader.text(fields["green"], f"{key}.green") if fields.get("green") is not None else None
    if blue == green:
        raise reader.wrong(key, f"blue and green are both {blue}", "two different clusters")
    return blue, green


def _shares(reader: Reader, value: Any, key: str) -> dict[str, int]:
    if value is not None and not isinstance(value, Mapping):
        raise reader.wrong(key, f"is {shown(value)}", "a mapping of names to basis points")
    return {
        name: reader.whole(share, f"{key}.{name}", 0, WHOLE_BP)
        for name, share in reader.mapping(value or {}, key, None).items()
    }


def _number(value: Any) -> Any:
    """Pulumi itself writes a stack's plain values as strings whenever it saves the file."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _share(value: int) -> int:
    if not 0 <= value <= WHOLE_BP:
        raise ConfigError(
            f"a share of {value} basis points; allowed: 0 to {WHOLE_BP}", remedy="ask for a share from 0 to 100 %"
        )
    return value


def _change(before: Edge, after: Edge) -> Change | None:
    def changed(name: str, old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, str]:
        keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        return {key: f"{PREFIX}{name}.{key} {_word(old.get(key))} -> {_word(new.get(key))}" for key in keys}

    services = changed("services", before.services, after.services)
    changes = [*services.values(), *(whole := list(changed("entry", before.entry, after.entry).values()))]
    if (before.blue, before.green) != (after.blue, after.green):
        whole.append(f"{PREFIX}sides {before.blue}/{before.green} -> {after.blue}/{after.green}")
        changes.append(whole[-1])
    return Change("; ".join(changes), services, bool(whole)) if changes else None


def _word(value: Any) -> str:
    return "none" if value is None else str(value)


def route_path(folder: Path, service: str) -> Path:
    """The file of a service's original route."""
    return folder / routing.file_of(service)


def keep_route(folder: Path, service: str, original: Mapping[str, Any]) -> None:
    """Raises StoreError."""
    disk.write_whole(route_path(folder, service), manifests.write(original), f"the original route of {service}")


def forget_route(folder: Path, service: str) -> None:
    """Raises StoreError."""
    disk.remove(route_path(folder, service), f"the original route of {service}")


def read_route(folder: Path, service: str) -> dict[str, Any]:
    """A service's original route, as `enroll` stored it.

    Raises:
        ConfigError: there is none, or it is none of this service.
        StoreError: it cannot be read.
    """
    path = route_path(folder, service)
    remedy = f"restore it from git, or `bluegreen enroll {service}` again"
    try:
        document = manifests.read_one(path.read_bytes())
    except FileNotFoundError as problem:
        raise ConfigError(
            f"{path}: the original route of {service} cannot be read: {problem.strerror}", remedy=remedy
        ) from problem
    except OSError as problem:
        raise disk.trouble(path, f"the original route of {service} cannot be read", problem, remedy) from problem
    except manifests.ManifestError as problem:
        raise ConfigError(f"{path}: the original route of {service}: {problem}", remedy=remedy) from problem
    if not isinstance(document, dict) or not routing.is_route(document) or not isinstance(document.get("spec"), dict):
        raise ConfigError(f"{path}: is not {routing.called(article=True)}", remedy=remedy)
    metadata = document.get("metadata")
    meta = metadata if isinstance(metadata, dict) else {}
    if (named := f"{meta.get('namespace') or 'default'}/{meta.get('name')}") != service:
        raise ConfigError(f"{path}: is the route of {named}; allowed: that of {service}", remedy=remedy)
    return document
