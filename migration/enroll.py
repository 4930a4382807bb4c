"""Takes services in and lets them go.

`enroll` stores a service's original route beside the stack file (to be reviewed and committed), lists it at 0 there, and
makes on both clusters what a route needs before it may forward: the peer listener, the other side's destination, the peer
route, the record. The public routes are not touched: at 0 on blue the route *is* the original, and green's forwards
everything to blue.
`unenroll` puts the original spec back on both sides first, equal as JSON, and only then takes away what it had needed.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import routing
from migration.errors import Held, NotFound
from migration.journal import Journal
from migration.kinds import CONFIG_MAP, GATEWAY, SERVICE_ENTRY, VIRTUAL_SERVICE, Object, Resource
from migration.model import FENCE, LOCK_MANAGER, MANAGER, Side
from migration.ports import Kubernetes
from migration.stackfile import Edge, StackFile, read_route, write_whole

RESOURCES: Mapping[str, Resource] = {
    "VirtualService": VIRTUAL_SERVICE,
    "ServiceEntry": SERVICE_ENTRY,
    "Gateway": GATEWAY,
    "ConfigMap": CONFIG_MAP,
}


@dataclass(frozen=True)
class Candidate:
    service: str
    original: Object
    refusals: tuple[str, ...]


async def candidates(blue: Kubernetes, wanted: Sequence[str], enrolled: Sequence[str]) -> list[Candidate]:
    """Routes of blue bound to a gateway, as they are; those asked for, or all that can be shifted."""
    listing = await blue.list(VIRTUAL_SERVICE)
    found = {}
    for item in listing.items:
        service = routing.service_of(item)
        if service.endswith("-bluegreen-peer") or service in enrolled or (wanted and service not in wanted):
            continue
        original = original_of(item)
        refused = tuple(routing.refusals(original))
        if wanted or not any("bound to no gateway" in reason for reason in refused):
            found[service] = Candidate(service, original, refused)
    missing = [service for service in wanted if service not in found and service not in enrolled]
    if missing:
        raise NotFound(
            f"cluster {blue.name} has no VirtualService {', '.join(missing)}",
            remedy="`kubectl get virtualservices -A` lists them; a service is namespace/name of one bound to a gateway",
        )
    return [found[service] for service in sorted(found)]


def original_of(item: Mapping[str, Any]) -> Object:
    meta = item["metadata"]
    kept = {key: dict(meta[key]) for key in ("labels", "annotations") if meta.get(key)}
    notes = {
        k: v for k, v in kept.get("annotations", {}).items() if not k.startswith(("bluegreen.io/", "kubectl.kubernetes.io/"))
    }
    if notes:
        kept["annotations"] = notes
    else:
        kept.pop("annotations", None)
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": "VirtualService",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], **kept},
        "spec": item["spec"],
    }


async def enroll(
    chosen: Sequence[Candidate],
    *,
    clusters: Mapping[Side, Kubernetes],
    peers: Mapping[Side, routing.Peer],
    file: StackFile,
    journal: Journal,
) -> Edge:
    """`peers`: how the gateway of that side reaches the other one."""
    refused = [f"{c.service}: {reason}" for c in chosen for reason in c.refusals]
    if refused:
        raise Held("these routes cannot be shifted:\n  " + "\n  ".join(refused), remedy="leave them out, or change them first")
    edge = file.read()
    originals = {c.service: c.original for c in chosen}
    ids = journal.intents("enroll", [(c.service, None, 0, "") for c in chosen])
    for service, original in originals.items():
        write_whole(file.routes_folder / f"{service.replace('/', '.', 1)}.yaml", _yaml(original))
    edge = file.write(services=dict.fromkeys(originals, 0))
    everything = {service: read_route(file.routes_folder, service) for service in edge.services}
    await asyncio.gather(*(make(clusters[side], side, peers[side], edge, everything) for side in clusters))
    journal.outcomes("enroll", ids, dict.fromkeys(originals, (0, "enrolled")))
    return edge


async def make(cluster: Kubernetes, side: Side, peer: routing.Peer, edge: Edge, originals: Mapping[str, Object]) -> None:
    """All objects of one gateway in their order: destinations before the routes that name them, the record last."""
    intent = routing.Intent({"blue": edge.blue, "green": edge.green or ""}, edge.entry, edge.services, edge.generation)
    made = routing.objects(intent, originals, side, peer)
    for stage in (made.destinations, made.peer_routes, made.routes, (made.record,)):
        await asyncio.gather(*(cluster.apply(RESOURCES[o["kind"]], o, manager=MANAGER, force=True) for o in stage))


async def unenroll(
    services: Sequence[str], *, clusters: Mapping[Side, Kubernetes], file: StackFile, journal: Journal, force: bool = False
) -> Edge:
    edge = file.read()
    unknown = [service for service in services if service not in edge.services]
    if unknown:
        raise Held(f"not enrolled: {', '.join(unknown)}", remedy="`bluegreen status` lists what is")
    there = {service: edge.services[service] for service in services}
    # with the originals back, each gateway serves what comes in by it: nobody jumps only where that is so already
    between = [s for s, split in there.items() if split != edge.green_entry_bp or split not in (0, routing.WHOLE_BP)]
    if between and not force:
        raise Held(
            f"the users of {', '.join(between)} would jump to the cluster by which they come in",
            remedy="`bluegreen rollback SERVICE` first (or `bluegreen entry shift` at the end), or --force",
        )
    originals = {service: read_route(file.routes_folder, service) for service in services}
    ids = journal.intents("unenroll", [(service, split, None, "") for service, split in there.items()])

    async def one(cluster: Kubernetes, service: str) -> None:
        original = originals[service]
        namespace, name = service.split("/", 1)
        restored = {
            "apiVersion": VIRTUAL_SERVICE.api_version,
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": original["spec"],
        }
        await cluster.apply(VIRTUAL_SERVICE, restored, manager=MANAGER, force=True)
        bare = {
            "apiVersion": VIRTUAL_SERVICE.api_version,
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace},
        }
        await cluster.apply(VIRTUAL_SERVICE, bare, manager=LOCK_MANAGER, force=True)  # takes the fence off

    await asyncio.gather(*(one(cluster, service) for cluster in clusters.values() for service in services))
    edge = file.write(remove=tuple(services))
    for cluster in clusters.values():
        for service in services:
            namespace, name = service.split("/", 1)
            peer = f"{name}-bluegreen-peer"
            await cluster.delete(VIRTUAL_SERVICE, namespace, peer)
            await cluster.delete(SERVICE_ENTRY, namespace, peer)
        intent = routing.Intent({"blue": edge.blue, "green": edge.green or ""}, edge.entry, edge.services, edge.generation)
        await cluster.apply(CONFIG_MAP, routing.record(intent), manager=MANAGER, force=True)
    for service in services:
        (file.routes_folder / f"{service.replace('/', '.', 1)}.yaml").unlink(missing_ok=True)
    journal.outcomes("unenroll", ids, dict.fromkeys(services, (None, "original restored")))
    return edge


def _yaml(document: Object) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


__all__ = ["FENCE", "Candidate", "candidates", "enroll", "make", "unenroll"]
