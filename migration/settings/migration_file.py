"""Reads migration.yaml: strictly, because a misspelt limit is a limit that does not hold.

```yaml
version: 1
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
docs/reference/configuration.md has every key with its range, unit and default; schema.py makes the schema for editors of
the same dataclasses. Paths are relative to the file, `~` is the home folder. A key with nothing after it counts as not given
where it is a mapping, a list or has no default. Every complaint names file, line, key, value, what is allowed and what was
probably meant; exit 2.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import routing
from migration.codes import DOCS
from migration.settings import choices, policy_reading
from migration.settings.calendar import EXAMPLES, FORM, Window, parse_window
from migration.settings.choices import NOTHING_SAID, Choices
from migration.settings.keys import HOST, SERVICE_SHAPE, key, keys_of
from migration.settings.policy import Check, Policy, ServicePolicy
from migration.settings.yaml_reader import Reader, did_you_mean, given, read_yaml, shown, some_of

log = logging.getLogger(__name__)
VERSION = 1  # of the file; grows when a key changes its meaning or goes
Dialect = Literal["envoy", "istio"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
PAGE = "docs/reference/configuration.md#migrationyaml"
CODES_PAGE = "docs/reference/configuration.md#codes-for-ignore"
# what may be written under what; `policy` has the fields of policy.Policy
KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "version",
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


HTTP = "^https?://[^/?# ]+"
URL_SHAPE = {"type": "string", "pattern": HTTP, "examples": ["http://10.0.3.7:15020/stats/prometheus"]}
WAIVER = f"^({'|'.join(DOCS)})(:.+)?$"


@dataclass(frozen=True)
class Gateway:
    address: str = key(doc="an address or a name, as it is reached from here", pattern=HOST)
    port: int = key(80, 1, 65535, doc="the public listener's port")
    peer_port: int = key(routing.PEER_PORT, 1, 65535, doc="the port of the private listener for the other gateway")
    peer_address: str | None = key(None, doc="where the other gateway reaches it; `address` by default", pattern=HOST)


@dataclass(frozen=True)
class Source:
    url: str = key(
        doc="Prometheus' API; its series carry the label `cluster` with the cluster's name",
        pattern=HTTP,
        examples=["http://metrics.example.com"],
    )
    dialect: Dialect = key("istio", doc="whose metrics")


@dataclass(frozen=True)
class Pages:
    """A gateway's own counters: one page for each of its proxies. `url` in the file is a list of one."""

    urls: tuple[str, ...] = key(doc="the page of each gateway pod", items=URL_SHAPE, minItems=1, uniqueItems=True)
    dialect: Dialect = key("istio", doc="whose counters")


@dataclass(frozen=True)
class Cluster:
    name: str
    kubeconfig: str = key(doc="path of a kubeconfig; the two must lead to two API servers")
    context: str | None = key(doc="a context of it; the current one by default")
    gateway: Gateway = key(doc="where the gateway is reached from here")
    counters: Pages | None = key(doc="the gateway's own counters, read once a second; `shift` needs them")


@dataclass(frozen=True)
class Migration:
    path: Path
    clusters: Mapping[str, Cluster] = key(
        doc="exactly two, by name: those that `bluegreen:sides` names", minProperties=2, maxProperties=2
    )
    edge: Path = key(doc="path of the edge's stack file")
    metrics: Source | None = key(doc="the metrics store, asked before each step; without one the counters alone judge")
    store: Path = key(Path(".bluegreen"), doc="folder of the journal, lock, pause and verdicts of `verify`")
    policy: Policy = key(factory=Policy, doc="how careful a shift is")
    services: Mapping[str, ServicePolicy] = key(
        factory=dict,
        doc=f"what differs for one service, by namespace/name of its {routing.called()}",
        propertyNames=SERVICE_SHAPE,
    )
    groups: tuple[tuple[str, ...], ...] = key(
        (), doc="services that move and return together, in this order", items={"type": "array", "items": SERVICE_SHAPE}
    )
    singletons: tuple[str, ...] = key(
        (), doc="workloads that must never run twice, by namespace/name: at 0 on green until handed over", items=SERVICE_SHAPE
    )
    replicate: Choices = key(NOTHING_SAID, doc="what `replicate` copies")
    windows: tuple[Window, ...] = key(
        (),
        doc="`[DAYS] HH:MM-HH:MM [ZONE]`: when traffic may move forward; back it may always. UTC by default",
        items={"type": "string", "pattern": FORM, "examples": list(EXAMPLES)},
    )
    ignore: tuple[str, ...] = key(
        (),
        doc="findings of `preflight` that are known and accepted: CODE or CODE:OBJECT",
        items={"type": "string", "pattern": WAIVER, "examples": ["BG303", "BG301:Deployment shop/mailer"]},
    )
    version: int = key(VERSION, doc="of this file's format", const=VERSION)
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def policy_of(self, service: str) -> Policy:
        """The common policy with what differs for this service."""
        own = self.services.get(service)
        return _with(self.policy, own) if own and own.overrides else self.policy


def _with(policy: Policy, own: ServicePolicy) -> Policy:
    return dataclasses.replace(policy, **own.overrides)  # type: ignore[arg-type]  # its keys are fields of Policy, each read as its own type


def load(path: Path) -> Migration:
    """Raises ConfigError: it cannot be read, is of another version, or something in it is wrong."""
    document, lines = read_yaml(
        path, "migration.yaml", remedy=f"write {path} as docs/reference/configuration.md shows, or name another with --config"
    )
    reader = Reader(path, lines, PAGE)
    versioned = _is_of_this_version(reader, document)
    top = reader.mapping(document, "", KEYS[""], required=("clusters", "edge"))
    folder = path.resolve().parent
    clusters = _clusters(reader, top["clusters"], folder)
    metrics = _source(reader, top["metrics"], "metrics") if top.get("metrics") is not None else None
    policy = dataclasses.replace(Policy(), **policy_reading.read(reader, given(top, "policy", {}), "policy"))
    policy_reading.refuse_impossible(reader, policy, "policy", policy, metrics is not None)
    services: dict[str, ServicePolicy] = {}
    for name, value in reader.mapping(given(top, "services", {}), "services", None).items():
        where = f"services.{name}"
        services[reader.service(name, where)] = own = _service(reader, {} if value is None else value, where)
        whole = _with(policy, own)
        policy_reading.refuse_impossible(reader, whole, f"{where}.policy", policy, metrics is not None)
    migration = Migration(
        path=path,
        clusters=clusters,
        edge=path_of(reader, top["edge"], "edge", folder),
        metrics=metrics,
        store=path_of(reader, top.get("store", ".bluegreen"), "store", folder),
        policy=policy,
        services=services,
        groups=_groups(reader, given(top, "groups", [])),
        singletons=tuple(
            reader.service(each, f"singletons[{index}]")
            for index, each in enumerate(reader.sequence(given(top, "singletons", []), "singletons"))
        ),
        replicate=choices.read(reader, given(top, "replicate", {})),
        windows=tuple(
            _window(reader, w, f"windows[{i}]") for i, w in enumerate(reader.sequence(given(top, "windows", []), "windows"))
        ),
        ignore=tuple(
            _waiver(reader, w, f"ignore[{i}]") for i, w in enumerate(reader.sequence(given(top, "ignore", []), "ignore"))
        ),
        lines=lines,
    )
    if not versioned:
        log.warning("%s: has no version and is read as version %d; add the line `version: %d`", path, VERSION, VERSION)
    return migration


def _is_of_this_version(reader: Reader, document: Any) -> bool:
    """Whether the file says so; one that says nothing counts as version 1. Told before anything else is: a later version may
    have keys that are unknown here.
    """
    if not isinstance(document, Mapping) or "version" not in document:
        return False
    version = document["version"]
    if isinstance(version, bool) or version != VERSION:
        quoted = f": without quotes, `version: {VERSION}`" if version == str(VERSION) else ""
        raise reader.wrong(
            "version",
            f"must be {VERSION}, the only one that this bluegreen knows, got {shown(version)}{quoted}",
            remedy=f"use the bluegreen that this file was written for, or write it as version {VERSION}: "
            "docs/reference/configuration.md",
        )
    return True


def path_of(reader: Reader, value: Any, where: str, folder: Path) -> Path:
    """A path of the file, relative to `folder`; `~` is the home folder. Raises ConfigError."""
    text = reader.text(value, where)
    try:
        return folder / (Path(text).expanduser() if text.startswith("~") else text)
    except RuntimeError as problem:  # ~nobody
        raise reader.wrong(where, f"{shown(text)}: there is no such home folder", "a path, relative to this file") from problem


def _groups(reader: Reader, value: Any) -> tuple[tuple[str, ...], ...]:
    groups = []
    grouped: dict[str, int] = {}
    for index, group in enumerate(reader.sequence(value, "groups")):
        where = f"groups[{index}]"
        members = tuple(reader.service(each, f"{where}[{i}]") for i, each in enumerate(reader.sequence(group, where)))
        for member in members:
            if member in grouped:
                raise reader.wrong(where, f"{member} is in two groups", "each service in one group at most")
            grouped[member] = index
        groups.append(members)
    return tuple(groups)


def _clusters(reader: Reader, value: Any, folder: Path) -> dict[str, Cluster]:
    clusters: dict[str, Cluster] = {}
    contexts: dict[tuple[str, str | None], str] = {}
    gateways: dict[tuple[str, int], str] = {}
    for name, entry in reader.mapping(value, "clusters", None).items():
        key = f"clusters.{name}"
        fields = reader.mapping(entry, key, KEYS["clusters.NAME"], required=("kubeconfig", "gateway"))
        kubeconfig = reader.text(fields["kubeconfig"], f"{key}.kubeconfig")
        path = str(path_of(reader, kubeconfig, f"{key}.kubeconfig", folder))
        context = reader.text(fields["context"], f"{key}.context") if fields.get("context") is not None else None
        gateway = _gateway(reader, fields["gateway"], f"{key}.gateway")
        if other := contexts.get((path, context)):
            raise reader.wrong(
                key, f"is the same cluster as {other}: {kubeconfig}, context {context}", "two different clusters"
            )
        if other := gateways.get((gateway.address, gateway.port)):
            raise reader.wrong(
                f"{key}.gateway",
                f"is the gateway of {other} too: {gateway.address}:{gateway.port}",
                "a gateway of its own",
            )
        contexts[path, context] = gateways[gateway.address, gateway.port] = name
        counters = _pages(reader, fields["counters"], f"{key}.counters") if fields.get("counters") is not None else None
        clusters[name] = Cluster(name, path, context, gateway, counters)
    if len(clusters) != 2:
        raise reader.wrong("clusters", f"names {len(clusters)}: {', '.join(clusters) or 'none'}", "exactly two clusters")
    return clusters


def _gateway(reader: Reader, value: Any, key: str) -> Gateway:
    fields = reader.mapping(value, key, KEYS["clusters.NAME.gateway"], required=("address",))
    return Gateway(
        reader.host(fields["address"], f"{key}.address"),
        _whole(reader, Gateway, fields.get("port", 80), key, "port"),
        _whole(reader, Gateway, fields.get("peer_port", routing.PEER_PORT), key, "peer_port"),
        reader.host(fields["peer_address"], f"{key}.peer_address") if fields.get("peer_address") is not None else None,
    )


def _whole(reader: Reader, cls: type, value: Any, key: str, name: str) -> int:
    """By the range of this field."""
    low, high = keys_of(cls)[name].range
    return reader.whole(value, f"{key}.{name}", int(low), int(high))


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
    listed = reader.sequence(fields["urls"], f"{key}.urls")
    urls = tuple(_url(reader, url, f"{key}.urls[{index}]") for index, url in enumerate(listed))
    if not urls or len(set(urls)) < len(urls):
        raise reader.wrong(f"{key}.urls", f"must be one URL for each gateway pod, none twice, got {shown(listed)}")
    return Pages(urls, _dialect(reader, fields, key))


def _url(reader: Reader, value: Any, key: str) -> str:
    url = reader.text(value, key)
    try:
        parts = urlsplit(url)
        good = re.match(HTTP, url) and parts.hostname and parts.port != 0
    except ValueError:  # a port of 99999, half an IPv6 address
        good = False
    if not good:
        raise reader.wrong(key, f"must be a URL, http://... or https://..., got {shown(url)}")
    return url


def _dialect(reader: Reader, fields: Mapping[str, Any], key: str) -> Dialect:
    return "envoy" if reader.choice(fields.get("dialect", "istio"), f"{key}.dialect", DIALECTS) == "envoy" else "istio"


def _waiver(reader: Reader, value: Any, key: str) -> str:
    """A finding's code, alone or with the object it is waived for."""
    waiver = reader.text(value, key)
    if not re.fullmatch(WAIVER, waiver):
        code, colon, _ = waiver.partition(":")
        some = some_of(DOCS, code, f"all {len(DOCS)} codes are in {CODES_PAGE}")
        problem = "no object after the colon" if colon and code in DOCS else f"no such code{did_you_mean(code, DOCS)}"
        raise reader.wrong(key, f"must be CODE or CODE:OBJECT, got {shown(waiver)}: {problem}", some)
    return waiver


def _service(reader: Reader, value: Any, key: str) -> ServicePolicy:
    fields = reader.mapping(value, key, KEYS["services.SERVICE"])
    check = reader.mapping(given(fields, "check", {}), f"{key}.check", KEYS["services.SERVICE.check"])
    path = reader.text(check.get("path", "/"), f"{key}.check.path")
    if not path.startswith("/"):
        raise reader.wrong(f"{key}.check.path", f"must begin with /, got {shown(path)}")
    status = check.get("status")
    return ServicePolicy(
        check=Check(
            path,
            reader.host(check["host"], f"{key}.check.host") if check.get("host") is not None else None,
            _whole(reader, Check, status, f"{key}.check", "status") if status is not None else None,
        ),
        hold=reader.boolean(fields.get("hold", False), f"{key}.hold"),
        depends_on=tuple(
            reader.service(each, f"{key}.depends_on[{index}]")
            for index, each in enumerate(reader.sequence(given(fields, "depends_on", []), f"{key}.depends_on"))
        ),
        overrides=policy_reading.read_own(reader, given(fields, "policy", {}), f"{key}.policy"),
    )


def _window(reader: Reader, value: Any, key: str) -> Window:
    text = reader.text(value, key)
    try:
        return parse_window(text)
    except ValueError as problem:
        refusal = f"must be days and hours, such as {' or '.join(EXAMPLES)}, got {shown(text)}: {problem}"
        raise reader.wrong(key, refusal) from problem
