"""Reads migration.yaml: strictly, because a misspelt limit is a limit that does not hold.

```yaml
clusters:
  NAME: {kubeconfig: PATH, context: NAME, gateway: {address: A, port: 80, peer_port: 15088, peer_address: A},
         counters: {url: URL, dialect: envoy | istio}}
edge: stacks/Pulumi.edge.yaml      # sides come from there
metrics: {url: URL, dialect: envoy | istio}
store: .bluegreen
policy: {...}                      # policy.Policy, key by key
services: {NAMESPACE/NAME: {check: {path, host, status}, hold: bool, depends_on: [...], policy: {...}}}
groups: [[a/b, c/d]]               # move and return together, in this order
singletons: [NAMESPACE/NAME]
windows: ["Mon-Fri 09:00-17:00"]   # when traffic may be moved forward; none: always
ignore: [CODE, CODE:OBJECT]
```
Paths are relative to the file. Every complaint names file, line, key, value, what is allowed and what was probably
meant; exit 2.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from migration.errors import ConfigError
from migration.policy import Check, Policy, ServicePolicy
from migration.windows import Window, parse_window

SERVICE = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
DIALECTS = ("envoy", "istio")


@dataclass(frozen=True)
class Gateway:
    address: str
    port: int = 80
    peer_port: int = 15088
    peer_address: str | None = None  # where the other gateway reaches it; `address` unless told


@dataclass(frozen=True)
class Source:
    url: str
    dialect: str = "istio"


@dataclass(frozen=True)
class Cluster:
    name: str
    kubeconfig: str
    context: str | None
    gateway: Gateway
    counters: Source | None


@dataclass(frozen=True)
class Migration:
    path: Path
    clusters: Mapping[str, Cluster]
    edge: Path
    metrics: Source | None
    store: Path
    policy: Policy
    services: Mapping[str, ServicePolicy]
    groups: tuple[tuple[str, ...], ...] = ()
    singletons: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    ignore: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def policy_of(self, service: str) -> Policy:
        own = self.services.get(service)
        return dataclasses.replace(self.policy, **own.overrides) if own and own.overrides else self.policy  # type: ignore[arg-type]


class _Reader:
    """Walks the document; knows the file and the line of every key, to name them."""

    def __init__(self, path: Path, lines: Mapping[str, int]) -> None:
        self.path = path
        self.lines = lines

    def wrong(self, key: str, problem: str, allowed: str = "", remedy: str | None = None) -> ConfigError:
        line = self.lines.get(key) or self.lines.get(key.rpartition(".")[0])
        where = f"{self.path}:{line}" if line else str(self.path)
        told = f"{where}: {key}: {problem}" + (f"; allowed: {allowed}" if allowed else "")
        return ConfigError(told, remedy=remedy or f"edit {self.path} and run the same command again")

    def mapping(self, value: Any, key: str, allowed: Iterable[str] | None, required: Iterable[str] = ()) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.wrong(
                key or "the file",
                f"is {_shown(value)}",
                "a mapping" + (f" with {', '.join(allowed)}" if allowed else ""),
            )
        if allowed is not None:
            known = list(allowed)
            for name in value:
                if name not in known:
                    close = difflib.get_close_matches(str(name), known, 1)
                    meant = f" (did you mean {close[0]}?)" if close else ""
                    raise self.wrong(_under(key, str(name)), f"unknown key{meant}", ", ".join(known))
        for name in required:
            if value.get(name) in (None, ""):
                raise self.wrong(key or name, f"{name} is missing" if key else "is missing", "a value", None)
        return {str(name): inner for name, inner in value.items()}

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"is {_shown(value)}", "a text")
        return value

    def number(self, value: Any, key: str, low: float, high: float, *, whole: bool = False) -> float:
        kind = "a whole number" if whole else "a number"
        good = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not good or not low <= value <= high:
            raise self.wrong(
                key,
                f"is {_shown(value)}",
                f"{kind} from {low:g} to {high:g}" if high < 1e12 else f"{kind} from {low:g}",
            )
        return float(value)

    def choice(self, value: Any, key: str, allowed: Iterable[str]) -> str:
        known = list(allowed)
        if value not in known:
            close = difflib.get_close_matches(str(value), known, 1)
            raise self.wrong(key, f"is {_shown(value)}" + (f" (did you mean {close[0]}?)" if close else ""), " | ".join(known))
        return str(value)

    def boolean(self, value: Any, key: str) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(key, f"is {_shown(value)}", "true | false")
        return value

    def sequence(self, value: Any, key: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(key, f"is {_shown(value)}", "a list")
        return value

    def service(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not SERVICE.match(value):
            raise self.wrong(key, f"is {_shown(value)}", "namespace/name of a VirtualService")
        return value


def _under(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else "a mapping"
    return text if len(text) < 80 else text[:77] + "..."


def read_yaml(path: Path, what: str) -> tuple[Any, dict[str, int]]:
    """The document as plain values, and the line of every key by its dotted path. Duplicate keys are an error."""
    import yaml

    try:
        text = path.read_text()
    except OSError as problem:
        remedy = f"write {path}, or name another with --config" if what == "migration.yaml" else f"check the path of {what}"
        raise ConfigError(f"{path}: {what} cannot be read: {problem.strerror}", remedy=remedy) from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path}: is not UTF-8 text", remedy=f"edit {path}") from problem
    lines: dict[str, int] = {}

    def walk(node: yaml.Node | None, key: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    line = name.start_mark.line + 1
                    raise ConfigError(f"{path}:{line}: a key must be a text", remedy=f"edit {path}")
                inner = _under(key, str(name.value))
                if inner in lines:
                    first, again = lines[inner], name.start_mark.line + 1
                    raise ConfigError(
                        f"{path}:{again}: {inner}: given twice, first in line {first}",
                        remedy=f"keep one of them in {path}",
                    )
                lines[inner] = name.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[f"{key}[{index}]"] = value.start_mark.line + 1
                walk(value, f"{key}[{index}]")

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        walk(node, "")
        return (loader.construct_document(node) if node is not None else None), lines
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        told = getattr(problem, "problem", None) or str(problem)
        raise ConfigError(
            f"{where}: broken YAML: {told}", remedy=f"mend {path} there and run the same command again"
        ) from problem


def load(path: Path) -> Migration:
    document, lines = read_yaml(path, "migration.yaml")
    reader = _Reader(path, lines)
    keys = ("clusters", "edge", "metrics", "store", "policy", "services", "groups", "singletons", "windows", "ignore")
    top = reader.mapping(document, "", keys, required=("clusters", "edge"))
    folder = path.resolve().parent
    clusters = _clusters(reader, top["clusters"], folder)
    metrics = _source(reader, top["metrics"], "metrics") if top.get("metrics") is not None else None
    policy = dataclasses.replace(Policy(), **_policy(reader, top.get("policy") or {}, "policy"))
    services = {
        reader.service(name, f"services.{name}"): _service(reader, value or {}, f"services.{name}")
        for name, value in reader.mapping(top.get("services") or {}, "services", None).items()
    }
    groups = []
    grouped: dict[str, int] = {}
    for index, group in enumerate(reader.sequence(top.get("groups") or [], "groups")):
        key = f"groups[{index}]"
        members = tuple(reader.service(member, key) for member in reader.sequence(group, key))
        for member in members:
            if member in grouped:
                raise reader.wrong(key, f"{member} is in two groups", "each service in one group at most")
            grouped[member] = index
        groups.append(members)
    return Migration(
        path=path,
        clusters=clusters,
        edge=folder / reader.text(top["edge"], "edge"),
        metrics=metrics,
        store=folder / reader.text(top.get("store", ".bluegreen"), "store"),
        policy=policy,
        services=services,
        groups=tuple(groups),
        singletons=tuple(reader.service(s, "singletons") for s in reader.sequence(top.get("singletons") or [], "singletons")),
        windows=tuple(
            _window(reader, w, f"windows[{i}]") for i, w in enumerate(reader.sequence(top.get("windows") or [], "windows"))
        ),
        ignore=tuple(reader.text(code, "ignore") for code in reader.sequence(top.get("ignore") or [], "ignore")),
        lines=lines,
    )


def _clusters(reader: _Reader, value: Any, folder: Path) -> dict[str, Cluster]:
    clusters: dict[str, Cluster] = {}
    seen: dict[tuple[str, str | None], str] = {}
    gateways: dict[tuple[str, int], str] = {}
    for name, entry in reader.mapping(value, "clusters", None).items():
        key = f"clusters.{name}"
        fields = reader.mapping(
            entry, key, ("kubeconfig", "context", "gateway", "counters"), required=("kubeconfig", "gateway")
        )
        kubeconfig = reader.text(fields["kubeconfig"], f"{key}.kubeconfig")
        path = str(folder / Path(kubeconfig).expanduser())
        context = reader.text(fields["context"], f"{key}.context") if fields.get("context") is not None else None
        gateway = _gateway(reader, fields["gateway"], f"{key}.gateway")
        if other := seen.get((path, context)):
            raise reader.wrong(
                key, f"is the same cluster as {other}: {kubeconfig}, context {context}", "two different clusters"
            )
        if other := gateways.get((gateway.address, gateway.port)):
            raise reader.wrong(
                f"{key}.gateway",
                f"is the gateway of {other} too: {gateway.address}:{gateway.port}",
                "a gateway of its own",
            )
        seen[path, context] = gateways[gateway.address, gateway.port] = name
        counters = _source(reader, fields["counters"], f"{key}.counters") if fields.get("counters") is not None else None
        clusters[name] = Cluster(name, path, context, gateway, counters)
    if len(clusters) != 2:
        raise reader.wrong("clusters", f"names {len(clusters)}: {', '.join(clusters) or 'none'}", "exactly two clusters")
    return clusters


def _gateway(reader: _Reader, value: Any, key: str) -> Gateway:
    fields = reader.mapping(value, key, ("address", "port", "peer_port", "peer_address"), required=("address",))
    return Gateway(
        reader.text(fields["address"], f"{key}.address"),
        int(reader.number(fields.get("port", 80), f"{key}.port", 1, 65535, whole=True)),
        int(reader.number(fields.get("peer_port", 15088), f"{key}.peer_port", 1, 65535, whole=True)),
        reader.text(fields["peer_address"], f"{key}.peer_address") if fields.get("peer_address") else None,
    )


def _source(reader: _Reader, value: Any, key: str) -> Source:
    fields = reader.mapping(value, key, ("url", "dialect"), required=("url",))
    url = reader.text(fields["url"], f"{key}.url")
    if not url.startswith(("http://", "https://")):
        raise reader.wrong(f"{key}.url", f"is {_shown(url)}", "http://... or https://...")
    return Source(url, reader.choice(fields.get("dialect", "istio"), f"{key}.dialect", DIALECTS))


def _service(reader: _Reader, value: Any, key: str) -> ServicePolicy:
    fields = reader.mapping(value, key, ("check", "hold", "depends_on", "policy"))
    check = reader.mapping(fields.get("check") or {}, f"{key}.check", ("path", "host", "status"))
    path = reader.text(check.get("path", "/"), f"{key}.check.path")
    if not path.startswith("/"):
        raise reader.wrong(f"{key}.check.path", f"is {_shown(path)}", "a path that begins with /")
    status = check.get("status")
    return ServicePolicy(
        check=Check(
            path,
            reader.text(check["host"], f"{key}.check.host") if check.get("host") is not None else None,
            int(reader.number(status, f"{key}.check.status", 100, 599, whole=True)) if status is not None else None,
        ),
        hold=reader.boolean(fields.get("hold", False), f"{key}.hold"),
        depends_on=tuple(
            reader.service(s, f"{key}.depends_on") for s in reader.sequence(fields.get("depends_on") or [], f"{key}.depends_on")
        ),
        overrides=_policy(reader, fields.get("policy") or {}, f"{key}.policy"),
    )


RANGES: Mapping[str, tuple[float, float]] = {
    "sample_interval_seconds": (0.1, 60),
    "error_rate_limit": (0, 1),
    "error_margin": (0, 1),
    "false_alarm": (1e-15, 0.05),
    "first_batch": (1, 10_000),
    "batch": (1, 10_000),
    "in_flight": (1, 10_000),
    "fail_limit": (1, 1000),
    "error_limit": (1, 10_000),
    "min_requests": (1, 1e12),
    "min_errors": (1, 1e12),
    "hang_requests": (1, 1e12),
    "analysis_interval_seconds": (1, 3600),
    "analysis_window_seconds": (1, 86_400),
    "latency_factor": (1, 1000),
}


def _policy(reader: _Reader, value: Any, key: str) -> dict[str, Any]:
    hints = get_type_hints(Policy)
    fields = reader.mapping(value, key, list(hints))
    read: dict[str, Any] = {}
    for name, inner in fields.items():
        where = f"{key}.{name}"
        if name == "steps_bp":
            steps = [
                int(reader.number(s, f"{where}[{i}]", 1, 10_000, whole=True))
                for i, s in enumerate(reader.sequence(inner, where))
            ]
            if not steps or steps != sorted(set(steps)) or steps[-1] != 10_000:
                raise reader.wrong(
                    where, f"is {steps}", "basis points that grow and end with 10000, such as [10, 100, 2500, 10000]"
                )
            read[name] = tuple(steps)
        elif name == "windows_seconds":
            read[name] = tuple(
                reader.number(s, f"{where}[{i}]", 0.1, 3600) for i, s in enumerate(reader.sequence(inner, where))
            )
        elif (allowed := get_args(hints[name])) and isinstance(allowed[0], str):
            read[name] = reader.choice(inner, where, allowed)
        elif inner is None and type(None) in get_args(hints[name]):
            read[name] = None
        else:
            low, high = RANGES.get(name, (0, 1e12))
            whole = hints[name] is int
            number = reader.number(inner, where, low, high, whole=whole)
            read[name] = int(number) if whole else number
    return read


def _window(reader: _Reader, value: Any, key: str) -> Window:
    try:
        return parse_window(reader.text(value, key))
    except ValueError as problem:
        raise reader.wrong(
            key,
            f"is {_shown(value)}: {problem}",
            'days and hours, such as "Mon-Fri 09:00-17:00" or "22:00-05:00 Europe/Berlin"',
        ) from problem
