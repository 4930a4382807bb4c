"""The edge stack: its file is the truth of who gets how much.

`bluegreen` writes the same file and then the same objects directly; an `up` afterwards changes nothing. Putting the
file back and `up` is a rollback. Before anything is written the record on both gateways is read: a file older than what
is live may lower green's share and never raise it (`bluegreen:force: true` overrides, for the day it is meant). Where a
cluster's record cannot be read, any file may be such an old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

import manifests
import routing
import routing.weights
from access.errors import BadKubeconfig
from access.kubeconfig import portable
from components.cloud import aws_provider
from components.dns import Dns, DnsArgs, EntryPoint
from components.edge import EdgeCluster, EdgeClusterArgs
from components.live import Live, newest, read_live
from stacks.config import ConfigError, Source, check_keys, check_text, check_whole
from stacks.reference import stack

CLUSTER = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
HOST = r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+"


@dataclass(frozen=True)
class Described:
    """A cluster that is no stack of ours: made by eksctl, Terraform, a person."""

    kubeconfig: Path
    context: str | None
    gateway: str
    peer: str
    peer_port: int


@dataclass(frozen=True)
class EdgeConfig:
    region: str
    blue: str
    green: str | None
    intent: routing.Intent
    clusters: Mapping[str, str | Described]  # existing ones only: the name of a stack, or a description
    zone_ids: Mapping[str, str]
    zone: str
    zone_id: str | None
    hosts: tuple[str, ...]
    ttl_seconds: int
    routes: Mapping[str, dict[str, Any]]
    force: bool
    protect: bool

    @property
    def sides(self) -> dict[routing.Side, str]:
        """Sides whose cluster exists."""
        named: dict[routing.Side, str | None] = {"blue": self.blue, "green": self.green}
        return {side: name for side, name in named.items() if name and name in self.clusters}


def parse(source: Source, root: Path, stack_name: str) -> EdgeConfig:
    """An edge stack's file, with the originals of its services in `root`/stacks/`stack_name`.routes.

    Raises:
        ConfigError: a value that is not allowed, one that is missing, an unknown key, or a route that cannot be read.
    """
    blue, green = _sides(source)
    members = [name for name in (blue, green) if name]
    clusters, zone_ids = _clusters(source, members, root)
    if blue not in clusters:
        raise source.error(f"clusters.{blue}", None, "{stack: NAME} or a description: blue must exist")
    entry = _shares(source, "entry", source.mapping("entry", {blue: routing.WHOLE_BP}))
    for name, share in entry.items():
        if name not in members:
            raise source.error(f"entry.{name}", share, f"one of the sides: {', '.join(members)}")
        if share and name not in clusters:
            raise source.error(f"entry.{name}", share, f"0 until bluegreen:clusters has {name}")
    if sum(entry.values()) != routing.WHOLE_BP:
        raise source.error("entry", entry, f"shares that add up to {routing.WHOLE_BP}")
    services = _shares(source, "services", source.mapping("services", {}))
    for name, share in services.items():
        check_text(
            source, f"services.{name}", name, routing.SERVICE_PATTERN, f"NAMESPACE/NAME of {routing.called(article=True)}"
        )
        if share and (green is None or green not in clusters):
            raise source.error(f"services.{name}", share, "0 until both sides are in bluegreen:clusters")
    generation = source.whole("generation", 0, 2**53, 0)
    zone = source.text("zone", pattern=HOST, allowed="a domain name").removesuffix(".")
    hosts = source.names("hosts", (zone,))
    for host in hosts:
        check_text(source, "hosts", host, HOST, f"names in {zone}")
        if host != zone and not host.endswith(f".{zone}"):
            raise source.error("hosts", host, f"names in {zone}")
    sides = {"blue": blue} | ({"green": green} if green else {})
    config = EdgeConfig(
        region=source.region,
        blue=blue,
        green=green,
        intent=routing.Intent(sides=sides, entry=entry, services=services, generation=generation),
        clusters=clusters,
        zone_ids=zone_ids,
        zone=zone,
        zone_id=source.text("zoneId") if "zoneId" in source.values else None,
        hosts=hosts,
        ttl_seconds=source.whole("ttl", 1, 86_400, 60),
        routes={name: read_route(source, root / "stacks" / f"{stack_name}.routes", name) for name in services},
        force=source.flag("force", False),
        protect=source.flag("protect", True),
    )
    if not config.region:
        raise ConfigError(f"{source.file}: aws:region is not set; allowed: a region. Remedy: add it under `config:`")
    source.finish("zoneId")
    return config


def _sides(source: Source) -> tuple[str, str | None]:
    sides = check_keys(source, "sides", source.mapping("sides"), ("blue", "green"), ("blue",))
    blue = check_text(source, "sides.blue", sides["blue"], CLUSTER, "a cluster's name")
    green = sides.get("green")
    if green is not None:
        check_text(source, "sides.green", green, CLUSTER, "a cluster's name")
    if green == blue:
        raise source.error("sides", sides, "two different clusters")
    return blue, green


def _shares(source: Source, key: str, given: Mapping[str, Any]) -> dict[str, int]:
    return {name: check_whole(source, f"{key}.{name}", share, 0, routing.WHOLE_BP) for name, share in given.items()}


def _clusters(source: Source, members: list[str], root: Path) -> tuple[dict[str, str | Described], dict[str, str]]:
    clusters: dict[str, str | Described] = {}
    zone_ids: dict[str, str] = {}
    for name, value in source.mapping("clusters").items():
        key = f"clusters.{name}"
        if name not in members:
            raise source.error(key, value, f"one of the sides: {', '.join(members)}")
        check_keys(source, key, value, ("stack", "kubeconfig", "context", "gateway", "peer", "zoneId"))
        if "zoneId" in value:
            zone_ids[name] = check_text(source, f"{key}.zoneId", value["zoneId"], allowed="the load balancer's hosted zone")
        if "stack" in value:
            if extra := sorted(set(value) - {"stack", "zoneId"}):
                raise source.error(f"{key}.{extra[0]}", value[extra[0]], "either a stack or a description, not both")
            clusters[name] = check_text(source, f"{key}.stack", value["stack"], allowed="a stack's name")
        else:
            clusters[name] = _described(source, key, value, root)
    for one in clusters:
        for other in clusters:
            if one < other and clusters[one] == clusters[other]:
                raise source.error(f"clusters.{other}", str(clusters[other]), f"another cluster than {one}: they are the same")
    return clusters, zone_ids


def _described(source: Source, key: str, value: dict[str, Any], root: Path) -> Described:
    known = ("kubeconfig", "context", "gateway", "peer", "zoneId")
    check_keys(source, key, value, known, ("kubeconfig", "gateway", "peer"))
    gateway = check_keys(source, f"{key}.gateway", value["gateway"], ("address",), ("address",))
    peer = check_keys(source, f"{key}.peer", value["peer"], ("address", "port"), ("address",))
    file = root / Path(check_text(source, f"{key}.kubeconfig", value["kubeconfig"], r".+", "a file")).expanduser()
    if not file.is_file():
        raise source.error(f"{key}.kubeconfig", value["kubeconfig"], f"a file; not found: {file}")
    context = value.get("context")
    return Described(
        file,
        context if context is None else check_text(source, f"{key}.context", context, r".+", "a context's name"),
        check_text(source, f"{key}.gateway.address", gateway["address"], allowed="an address or a host name"),
        check_text(source, f"{key}.peer.address", peer["address"], allowed="an address or a host name"),
        check_whole(source, f"{key}.peer.port", peer.get("port", routing.PEER_PORT), 1, 65535),
    )


def read_route(source: Source, folder: Path, service: str) -> dict[str, Any]:
    """The original route, as `bluegreen enroll` stored it."""
    file = folder / routing.file_of(service)
    remedy = f"`bluegreen enroll {service}`, or restore {file} from version control"
    try:
        route: Any = manifests.read_one(file.read_bytes())
    except FileNotFoundError as problem:
        raise source.error(
            f"services.{service}", str(file), "a service with a stored route; there is no file", remedy
        ) from problem
    except manifests.ManifestError as problem:
        raise ConfigError(f"{file}: {problem}. Remedy: {remedy}") from problem
    meta = route.get("metadata") if isinstance(route, dict) else None
    if not isinstance(meta, dict) or not routing.is_route(route) or not isinstance(route.get("spec"), dict):
        raise ConfigError(f"{file}: not {routing.called(article=True)}. Remedy: {remedy}")
    if f"{meta.get('namespace')}/{meta.get('name')}" != service:
        raise ConfigError(f"{file}: is {meta.get('namespace')}/{meta.get('name')}, allowed: {service}. Remedy: {remedy}")
    if refused := routing.refusals(route):
        raise ConfigError(
            f"{file}: cannot be shifted: {'; '.join(map(str, refused))}. Remedy: take {service} out of {source.file}"
        )
    return dict(route)


@dataclass(frozen=True)
class Endpoint:
    """A cluster as the edge sees it, whoever made it."""

    kubeconfig: pulumi.Output[str]
    context: str | None
    identifier: pulumi.Input[str]
    gateway: pulumi.Input[str]
    peer: pulumi.Input[str]
    peer_port: pulumi.Input[int]


def text_of(kubeconfig: Path) -> str:
    """For this program and for Pulumi's provider, neither of which knows the folder of the file that it came from."""
    try:
        return portable(kubeconfig)
    except BadKubeconfig as problem:
        raise ConfigError(f"{problem}. Remedy: {problem.remedy}") from problem


def endpoint(name: str, cluster: str | Described) -> Endpoint:
    """By the outputs of a cluster stack of ours, or as the edge's file describes the cluster."""
    if isinstance(cluster, Described):
        text = text_of(cluster.kubeconfig)
        secret = pulumi.Output.secret(text)
        return Endpoint(secret, cluster.context, name, cluster.gateway, cluster.peer, cluster.peer_port)
    reference = stack(cluster)
    return Endpoint(
        reference.require_output("kubeconfig"),
        None,
        reference.require_output("clusterArn"),
        reference.require_output("gatewayAddress"),
        reference.require_output("peerAddress"),
        reference.require_output("peerPort").apply(int),
    )


async def admit(file: routing.Intent, kubeconfigs: Mapping[str, tuple[str, str | None]], force: bool) -> routing.Intent:
    """The file's intent, held against what is live."""
    names = list(kubeconfigs)
    unread: dict[str, str] = {}

    def look(name: str) -> Live | None:
        text, context = kubeconfigs[name]
        return read_live(text, context, tell=lambda why: unread.update({name: why}))

    try:
        answers = await asyncio.gather(*(asyncio.to_thread(look, name) for name in names))
    except BadKubeconfig as problem:
        raise ConfigError(f"{problem}. Remedy: look at kubeconfig and context in bluegreen:clusters") from problem
    records: dict[str, Live | None] = dict(zip(names, answers, strict=True))
    for name in names:
        if records[name] is None:
            pulumi.log.warn(
                f"{name}: its live record cannot be read ({unread.get(name)}); "
                + ("bluegreen:force lets the file through unchecked" if force else "green's shares may be lowered, not raised")
            )
    live = newest(records)
    left_out = [name for name in live.services if name not in file.services]
    if left_out and not force:
        shares = ", ".join(f"{name}: {live.services[name]}" for name in left_out)
        raise ConfigError(
            f"bluegreen:services: live at generation {live.generation} and missing here: {shares}; without them `up` would "
            "take away what their routes forward to. Remedy: put them back (0 takes their users to blue), or "
            f"`bluegreen unenroll {' '.join(left_out)}`, which restores their original routes first"
        )
    if unread and not force:
        _refuse_unproven(file, live, unread)
    admitted, notes = routing.admissible(file, live.generation, live.services, force, live.entry, tuple(unread))
    for note in notes:
        pulumi.log.warn(note)
    return admitted


def _refuse_unproven(file: routing.Intent, live: Live, unread: Mapping[str, str]) -> None:
    """Refuses a file with shares at green where no record shows what is live: each may be a raise.

    Writing 0 instead would take users off a green that may serve them well, which nobody asked for: so nothing is written.
    """
    known = live.generation is not None and set(live.entry) <= set(file.sides.values())  # of these two clusters
    if known or not (asked := routing.at_green(file)):
        return
    shares = ", ".join(f"bluegreen:{key}: {share}" for key, share in asked.items())
    reasons = "; ".join(f"{name}: {why}" for name, why in unread.items())
    raise ConfigError(
        f"{shares}: no record shows what is live ({reasons}), so that this may send users to green who were rolled "
        "back from it. Nothing was written. Remedy: let this machine read ConfigMap "
        f"{routing.EDGE_NAMESPACE}/{routing.RECORD_NAME} there and run it again; 0 for all of these takes everybody to "
        "blue and needs no record; bluegreen:force: true sends them to green as the file says"
    )


def project_root() -> Path:
    """Where Pulumi.yaml is: not the working folder, because the program may be elsewhere (`main:` there)."""
    return Path(pulumi.get_root_directory())


def build(source: Source, root: Path | None = None) -> None:
    """The entry's DNS, and the objects on both gateways. `root`: where stacks/ lies, the project's folder unless given."""
    config = parse(source, root or project_root(), pulumi.get_stack())
    provider = aws_provider(config.region)
    endpoints = {name: endpoint(name, config.clusters[name]) for name in config.sides.values()}
    # Nothing of the kubeconfigs is in the answer: shares must stay readable in every preview.
    admitted: pulumi.Output[routing.Intent] = pulumi.Output.unsecret(
        pulumi.Output.all(**{name: known.kubeconfig for name, known in endpoints.items()}).apply(
            lambda texts: admit(
                config.intent, {name: (text, endpoints[name].context) for name, text in texts.items()}, config.force
            )
        )
    )
    dns = Dns(
        "entry",
        DnsArgs(
            zone=config.zone,
            zone_id=config.zone_id,
            hosts=config.hosts,
            ttl_seconds=config.ttl_seconds,
            entries={name: EntryPoint(known.gateway, config.zone_ids.get(name)) for name, known in endpoints.items()},
            weights=admitted.apply(
                lambda intent: routing.weights.route53({name: intent.entry.get(name, 0) for name in endpoints})
            ),
            protect=config.protect,
        ),
        pulumi.ResourceOptions(providers=[provider]),
    )
    _gateways(config, endpoints, admitted)
    pulumi.export("zoneId", dns.zone_id)
    pulumi.export("generation", admitted.apply(lambda intent: intent.generation))
    pulumi.export("services", admitted.apply(lambda intent: dict(intent.services)))
    pulumi.export("entry", admitted.apply(lambda intent: dict(intent.entry)))


def _gateways(config: EdgeConfig, endpoints: Mapping[str, Endpoint], admitted: pulumi.Output[routing.Intent]) -> None:
    """Until both sides exist there is nobody to forward to, and the gateways are left alone."""
    sides = config.sides
    if len(sides) < 2:
        return
    edges: dict[str, EdgeCluster] = {}
    for side, name in sides.items():
        known, other = endpoints[name], endpoints[next(n for n in sides.values() if n != name)]
        kubernetes = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=known.kubeconfig,
            context=known.context,
            cluster_identifier=known.identifier,
            enable_server_side_apply=True,
            # Whoever wrote a route first (Helm, Argo CD, kubectl) still owns the rest of it. Its `spec` is taken over,
            # as the command does it, and not fought for in turns.
            enable_patch_force=True,
            # A dead green must not stop the `up` that takes users away from it.
            skip_update_unreachable=True,
            # The command may have written an object first (`enroll`): then it is taken over as it is.
            upsert_existing_objects=True,
            # The record changes with every step; replaced instead of updated, it would be missing in between.
            enable_config_map_mutable=True,
        )
        args = EdgeClusterArgs(side, config.intent, admitted, config.routes, other.peer, other.peer_port)
        edges[name] = EdgeCluster(name, args, pulumi.ResourceOptions(providers=[kubernetes]))
    for name, edge in edges.items():
        edge.finish([resource for other, peer in edges.items() if other != name for resource in peer.reachable])
