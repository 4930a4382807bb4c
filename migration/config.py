"""Reads migration.yaml: strictly, because a misspelt limit is a limit that does not hold.

```yaml
clusters:
  NAME: {kubeconfig: PATH, context: NAME, gateway: {address: A, port: 80, peer_port: 15088, peer_address: A},
         counters: {url: URL, dialect: envoy | istio}}    # or urls: [URL, ...], one for each gateway pod
edge: stacks/Pulumi.edge.yaml      # sides come from there
metrics: {url: URL, dialect: envoy | istio}
store: .bluegreen
policy: {...}                      # policy.Policy, key by key
services: {NAMESPACE/NAME: {check: {path, host, status}, hold: bool, depends_on: [...], policy: {...}}}
groups: [[a/b, c/d]]               # move and return together, in this order
singletons: [NAMESPACE/NAME]
replicate: {...}                   # replicate/choices.py
windows: ["Mon-Fri 09:00-17:00"]   # when traffic may be moved forward; none: always
ignore: [CODE, CODE:OBJECT]
```
docs/configuration.md has every key with its unit and default. Paths are relative to the file. Every complaint names
file, line, key, value, what is allowed and what was probably meant; exit 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from migration.findings import DOCS
from migration.policy import Check, Policy, ServicePolicy
from migration.reading import Reader, did_you_mean, read_yaml, shown
from migration.replicate import choices
from migration.replicate.choices import NOTHING_SAID, Choices
from migration.windows import Window, parse_window

DIALECTS = ("envoy", "istio")
# what may be written under what; `policy` has the fields of policy.Policy
KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "clusters",
        "edge",
        "metrics",
        "store",
        "policy",
        "services",
        "groups",
        "singletons",
        "replicate",
        "windows",
        "ignore",
    ),
    "clusters.NAME": ("kubeconfig", "context", "gateway", "counters"),
    "clusters.NAME.gateway": ("address", "port", "peer_port", "peer_address"),
    "clusters.NAME.counters": ("url", "urls", "dialect"),
    "metrics": ("url", "dialect"),
    "services.SERVICE": ("check", "hold", "depends_on", "policy"),
    "services.SERVICE.check": ("path", "host", "status"),
    **choices.KEYS,
}


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
class Pages:
    """A gateway's own counters: one page for each of its proxies."""

    urls: tuple[str, ...]
    dialect: str = "istio"


@dataclass(frozen=True)
class Cluster:
    name: str
    kubeconfig: str
    context: str | None
    gateway: Gateway
    counters: Pages | None


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
    replicate: Choices = NOTHING_SAID
    windows: tuple[Window, ...] = ()
    ignore: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def policy_of(self, service: str) -> Policy:
        own = self.services.get(service)
        return dataclasses.replace(self.policy, **own.overrides) if own and own.overrides else self.policy  # type: ignore[arg-type]


def load(path: Path) -> Migration:
    document, lines = read_yaml(path, "migration.yaml")
    reader = Reader(path, lines)
    top = reader.mapping(document, "", KEYS[""], required=("clusters", "edge"))
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
        replicate=choices.read(reader, top.get("replicate") or {}),
        windows=tuple(
            _window(reader, w, f"windows[{i}]") for i, w in enumerate(reader.sequence(top.get("windows") or [], "windows"))
        ),
        ignore=tuple(
            _waiver(reader, w, f"ignore[{i}]") for i, w in enumerate(reader.sequence(top.get("ignore") or [], "ignore"))
        ),
        lines=lines,
    )


def _clusters(reader: Reader, value: Any, folder: Path) -> dict[str, Cluster]:
    clusters: dict[str, Cluster] = {}
    seen: dict[tuple[str, str | None], str] = {}
    gateways: dict[tuple[str, int], str] = {}
    for name, entry in reader.mapping(value, "clusters", None).items():
        key = f"clusters.{name}"
        fields = reader.mapping(entry, key, KEYS["clusters.NAME"], required=("kubeconfig", "gateway"))
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
        counters = _pages(reader, fields["counters"], f"{key}.counters") if fields.get("counters") is not None else None
        clusters[name] = Cluster(name, path, context, gateway, counters)
    if len(clusters) != 2:
        raise reader.wrong("clusters", f"names {len(clusters)}: {', '.join(clusters) or 'none'}", "exactly two clusters")
    return clusters


def _gateway(reader: Reader, value: Any, key: str) -> Gateway:
    fields = reader.mapping(value, key, KEYS["clusters.NAME.gateway"], required=("address",))
    return Gateway(
        reader.text(fields["address"], f"{key}.address"),
        reader.whole(fields.get("port", 80), f"{key}.port", 1, 65535),
        reader.whole(fields.get("peer_port", 15088), f"{key}.peer_port", 1, 65535),
        reader.text(fields["peer_address"], f"{key}.peer_address") if fields.get("peer_address") else None,
    )


def _source(reader: Reader, value: Any, key: str) -> Source:
    fields = reader.mapping(value, key, KEYS["metrics"], required=("url",))
    return Source(_url(reader, fields["url"], f"{key}.url"), _dialect(reader, fields, key))


def _pages(reader: Reader, value: Any, key: str) -> Pages:
    fields = reader.mapping(value, key, KEYS["clusters.NAME.counters"])
    if ("url" in fields) == ("urls" in fields):
        problem = "has both url and urls" if "url" in fields else "has neither url nor urls"
        raise reader.wrong(key, problem, "url: URL of the only gateway pod, or urls: [URL, ...], one for each pod")
    if "url" in fields:
        return Pages((_url(reader, fields["url"], f"{key}.url"),), _dialect(reader, fields, key))
    given = reader.sequence(fields["urls"], f"{key}.urls")
    urls = tuple(_url(reader, url, f"{key}.urls[{index}]") for index, url in enumerate(given))
    if not urls or len(set(urls)) < len(urls):
        raise reader.wrong(f"{key}.urls", f"is {shown(given)}", "one URL for each gateway pod, none twice")
    return Pages(urls, _dialect(reader, fields, key))


def _url(reader: Reader, value: Any, key: str) -> str:
    url = reader.text(value, key)
    if not url.startswith(("http://", "https://")):
        raise reader.wrong(key, f"is {shown(url)}", "http://... or https://...")
    return url


def _dialect(reader: Reader, fields: Mapping[str, Any], key: str) -> str:
    return reader.choice(fields.get("dialect", "istio"), f"{key}.dialect", DIALECTS)


def _waiver(reader: Reader, value: Any, key: str) -> str:
    """A finding's code, alone or with the object it is waived for."""
    waiver = reader.text(value, key)
    code = waiver.partition(":")[0]
    if code not in DOCS:
        raise reader.wrong(
            key, f"is {shown(waiver)}{did_you_mean(code, DOCS)}", f"CODE or CODE:OBJECT; codes: {', '.join(DOCS)}"
        )
    return waiver


def _service(reader: Reader, value: Any, key: str) -> ServicePolicy:
    fields = reader.mapping(value, key, KEYS["services.SERVICE"])
    check = reader.mapping(fields.get("check") or {}, f"{key}.check", KEYS["services.SERVICE.check"])
    path = reader.text(check.get("path", "/"), f"{key}.check.path")
    if not path.startswith("/"):
        raise reader.wrong(f"{key}.check.path", f"is {shown(path)}", "a path that begins with /")
    status = check.get("status")
    return ServicePolicy(
        check=Check(
            path,
            reader.text(check["host"], f"{key}.check.host") if check.get("host") is not None else None,
            reader.whole(status, f"{key}.check.status", 100, 599) if status is not None else None,
        ),
        hold=reader.boolean(fields.get("hold", False), f"{key}.hold"),
        depends_on=tuple(
            reader.service(s, f"{key}.depends_on") for s in reader.sequence(fields.get("depends_on") or [], f"{key}.depends_on")
        ),
        overrides=_own_policy(reader, fields.get("policy") or {}, f"{key}.policy"),
    )


# of the whole shift, not of a service
COMMON = ("sample_interval_seconds", "first_batch", "batch", "on_foreign_write")
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


def _policy(reader: Reader, value: Any, key: str) -> dict[str, Any]:
    hints = get_type_hints(Policy)
    fields = reader.mapping(value, key, list(hints))
    read: dict[str, Any] = {}
    for name, inner in fields.items():
        where = f"{key}.{name}"
        if name == "steps_bp":
            steps = [reader.whole(s, f"{where}[{i}]", 1, 10_000) for i, s in enumerate(reader.sequence(inner, where))]
            if not steps or steps != sorted(set(steps)) or steps[-1] != 10_000:
                raise reader.wrong(
                    where, f"is {steps}", "basis points that grow and end with 10000, such as [10, 100, 2500, 10000]"
                )
            read[name] = tuple(steps)
        elif name == "windows_seconds":
            read[name] = tuple(
                reader.number(s, f"{where}[{i}]", 0.1, 3600) for i, s in enumerate(reader.sequence(inner, where))
            )
            if not read[name]:
                raise reader.wrong(where, "is []", "at least one number of seconds, such as [1, 2, 5, 10]")
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


def _own_policy(reader: Reader, value: Any, key: str) -> dict[str, Any]:
    own = _policy(reader, value, key)
    for name in COMMON:
        if name in own:
            allowed = ", ".join(each for each in get_type_hints(Policy) if each not in COMMON)
            raise reader.wrong(f"{key}.{name}", "counts for all services together: it belongs under `policy:`", allowed)
    return own


def _window(reader: Reader, value: Any, key: str) -> Window:
    try:
        return parse_window(reader.text(value, key))
    except ValueError as problem:
        raise reader.wrong(
            key,
            f"is {shown(value)}: {problem}",
            'days and hours, such as "Mon-Fri 09:00-17:00" or "22:00-05:00 Europe/Berlin"',
        ) from problem
