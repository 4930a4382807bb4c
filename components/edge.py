"""One gateway's share of the edge: the objects of `routing/` on one cluster, written as the command writes them.

The command and this program are one owner of these objects (field manager `bluegreen-edge`): after a step of the
command, an `up` of the same intent finds nothing to do. Which objects there are follows from the file alone; only what
is in them waits for outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

import routing

Key = tuple[str, str, str]  # kind, namespace, name
Object = dict[str, Any]


@dataclass(frozen=True)
class EdgeClusterArgs:
    side: routing.Side
    planned: routing.Intent  # as the file says: decides which objects there are
    intent: pulumi.Output[routing.Intent]  # as admitted: decides what is in them
    routes: Mapping[str, Object]
    peer_address: pulumi.Input[str]
    peer_port: pulumi.Input[int]


def key_of(item: Object) -> Key:
    """Its kind, namespace (empty where it has none) and name."""
    meta = item["metadata"]
    return item["kind"], meta.get("namespace", ""), meta["name"]


def stages(objects: routing.Objects) -> Iterator[tuple[str, list[Object]]]:
    """(stage, its objects) in order of writing.

    What a route names is in effect before the route names it; the record comes last, as the word that it is done.
    """
    yield "destination", [*objects.destinations]
    yield "peer-route", [*objects.peer_routes]
    yield "route", [*objects.routes]
    yield "record", [objects.record]


class EdgeCluster(pulumi.ComponentResource):
    """One cluster's objects: what the other's routes need (`reachable`) at once, routes and record by `finish`.

    Objects are sent as `routing/` makes them, without a word more: annotations too are the same from the command.
    """

    def __init__(self, name: str, args: EdgeClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:EdgeCluster", name, None, opts)
        self._name = name
        # The peer's address is known later; names of objects do not depend on it.
        self._plan = dict(stages(routing.objects(args.planned, args.routes, args.side, routing.ANY_PEER)))
        self._objects = pulumi.Output.all(args.intent, args.peer_address, args.peer_port).apply(
            lambda known: {
                key_of(item): item
                for _, items in stages(
                    routing.objects(known[0], args.routes, args.side, routing.Peer(str(known[1]), int(known[2])))
                )
                for item in items
            }
        )
        self.reachable: list[pulumi.Resource] = []
        for stage in ("destination", "peer-route"):
            self.reachable += self._write(stage, list(self.reachable))

    def finish(self, after: Sequence[pulumi.Resource]) -> None:
        """Writes routes and the record, once `after` is in effect: what the other cluster has `reachable`.

        So no gateway forwards into nothing.
        """
        routes = self._write("route", [*self.reachable, *after])
        self._write("record", [*self.reachable, *after, *routes])
        self.register_outputs({})

    def _write(self, stage: str, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        return [self._resource(stage, item, after) for item in self._plan[stage]]

    def _resource(self, stage: str, planned: Object, after: Sequence[pulumi.Resource]) -> Any:
        kind, _, object_name = key = key_of(planned)
        namespace = planned["metadata"].get("namespace", "")
        name = f"{self._name}-{stage}-{kind.lower()}-{namespace}.{object_name}"
        actual = self._objects.apply(lambda objects: objects[key])
        options = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        if kind == "ConfigMap":
            return k8s.core.v1.ConfigMap(
                name,
                metadata=actual.apply(lambda item: item["metadata"]),
                data=actual.apply(lambda item: item["data"]),
                opts=options,
            )
        if stage == "route":
            return k8s.apiextensions.CustomResourcePatch(
                name,
                api_version=planned["apiVersion"],
                kind=kind,
                metadata=actual.apply(lambda item: item["metadata"]),
                spec=actual.apply(lambda item: item["spec"]),
                # Unenrolling puts the original back; taking our fields away here would leave a route without rules.
                opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(retain_on_delete=True)),
            )
        return k8s.apiextensions.CustomResource(
            name,
            api_version=planned["apiVersion"],
            kind=kind,
            metadata=actual.apply(lambda item: item["metadata"]),
            spec=actual.apply(lambda item: item["spec"]),
            opts=options,
        )
