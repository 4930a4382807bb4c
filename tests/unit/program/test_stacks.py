"""What the stacks ask the engine for. `eks.Cluster` is remote and has no children here: tests on the engine cover it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
import yaml

import routing
from stacks import cluster, edge, network
from tests.unit.program.test_config import CLUSTER, EDGE, NETWORK, ROUTE, source, write_route
from tests.unit.program.test_live import FORBIDDEN, NOT_FOUND, kubeconfig, server

DEAD = kubeconfig("http://127.0.0.1:1", {})
# How the engine hands a resource over as a value.
RESOURCE, REFERENCE = "4dabf18193072939515e22adb298388d", "5cf8f73096256a8f31e491e813e4eb8e"
CONTROL_PLANE = "urn:pulumi:fern::bluegreen::pulumi:pulumi:Stack$aws:eks/cluster:Cluster::control-plane"
OUTPUTS: dict[str, dict[str, Any]] = {
    "network": {
        "vpcId": "vpc-1",
        "cidr": "10.0.0.0/16",
        "privateSubnetIds": ["subnet-1"],
        "publicSubnetIds": ["subnet-2"],
    },
    "plum": {"kubeconfig": DEAD, "clusterArn": "arn:plum", "gatewayAddress": "127.1.0.10", "peerAddress": "127.1.0.11"},
    "fern": {"kubeconfig": DEAD, "clusterArn": "arn:fern", "gatewayAddress": "127.2.0.10", "peerAddress": "127.2.0.11"},
}


@dataclass
class Recorder(pulumi.runtime.Mocks):
    stacks: Mapping[str, Mapping[str, Any]]
    made: dict[tuple[str, str], pulumi.runtime.MockResourceArgs] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made[args.typ, args.name] = args
        if args.typ == "pulumi:pulumi:StackReference":
            return args.name, {"name": args.name, "outputs": {"peerPort": 15088.0, **self.stacks[args.name]}}
        outputs = dict(args.inputs)
        if args.typ == "kubernetes:core/v1:Service":
            outputs["status"] = {"loadBalancer": {"ingress": [{"hostname": f"{args.name}.elb.example.com"}]}}
        if args.typ == "eks:index:Cluster":
            outputs |= {"kubeconfigJson": DEAD, "oidcIssuer": "https://issuer"}
            outputs["eksCluster"] = {RESOURCE: REFERENCE, "urn": CONTROL_PLANE, "id": "fern"}
        if args.typ == "aws:eks/cluster:Cluster":
            outputs["arn"] = "arn:eks"
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        assert args.token == "aws:lb/getHostedZoneId:getHostedZoneId"
        return {"id": "ZNLB", "region": "eu-west-1"}, []

    def inputs(self, typ: str, name: str) -> dict[str, Any]:
        return dict(self.made[typ, name].inputs)

    def of(self, typ: str) -> list[dict[str, Any]]:
        return [dict(args.inputs) for (kind, _), args in self.made.items() if kind == typ]


@pytest.fixture(scope="module")
def never_written() -> Iterator[str]:
    """A kubeconfig of an API server that has no record of the edge."""
    with server(404, NOT_FOUND) as (url, _):
        yield kubeconfig(url, {})


@pytest.fixture
def deploy(never_written: str) -> Callable[..., Recorder]:
    """`stacks`: outputs of other stacks; those of clusters have `never_written` where nothing else is said."""
    new = {name: known | ({"kubeconfig": never_written} if "kubeconfig" in known else {}) for name, known in OUTPUTS.items()}

    def run(
        build: Callable[[], None], stack: str = "test", stacks: Mapping[str, Mapping[str, Any]] | Recorder | None = None
    ) -> Recorder:
        recorder = stacks if isinstance(stacks, Recorder) else Recorder({**new, **(stacks or {})})
        pulumi.runtime.set_mocks(recorder, project="bluegreen", stack=stack, preview=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pulumi's test runtime itself
            pulumi.runtime.test(build)()
        return recorder

    return run


def test_every_zone_has_subnets_with_the_tags_that_load_balancers_look_for(
    deploy: Callable[..., Recorder],
) -> None:
    made = deploy(lambda: network.build(source(NETWORK)))
    subnets = made.of("aws:ec2/subnet:Subnet")
    roles = sorted(
        (subnet["availabilityZone"], *[tag for tag in subnet["tags"] if tag.startswith("kubernetes.io")]) for subnet in subnets
    )
    assert roles == [(f"eu-west-1{zone}", f"kubernetes.io/role/{role}") for zone in "abc" for role in ("elb", "internal-elb")]
    assert len({subnet["cidrBlock"] for subnet in subnets}) == 6


@pytest.mark.parametrize(("nat", "count"), [("one", 1), ("per-zone", 3), ("none", 0)])
def test_nat_gateways_are_as_many_as_the_file_says(deploy: Callable[..., Recorder], nat: str, count: int) -> None:
    made = deploy(lambda: network.build(source(NETWORK | {"nat": nat})))
    assert len(made.of("aws:ec2/natGateway:NatGateway")) == count
    private = [r for r in made.of("aws:ec2/route:Route") if "natGatewayId" in r]
    assert len(private) == (3 if count else 0)


def build_cluster() -> None:
    """The remote component's child that the program reads is made by hand: there is no component here to make it."""
    vpc = aws.eks.ClusterVpcConfigArgs(subnet_ids=[])
    aws.eks.Cluster("control-plane", name="fern", role_arn="arn:role", vpc_config=vpc)
    cluster.build(source(CLUSTER))


def test_a_cluster_is_built_with_nothing_left_to_defaults(deploy: Callable[..., Recorder]) -> None:
    made = deploy(build_cluster, "fern")
    control = made.inputs("eks:index:Cluster", "fern")
    assert control["authenticationMode"] == "API"
    assert control["endpointPrivateAccess"] is True
    assert control["endpointPublicAccess"] is False
    assert control["skipDefaultNodeGroup"] is True
    assert control["bootstrapSelfManagedAddons"] is False
    assert control["deletionProtection"] is True
    assert control["enabledClusterLogTypes"] == ["api", "audit", "authenticator"]
    addons = {addon["addonName"]: addon["addonVersion"] for addon in made.of("aws:eks/addon:Addon")}
    assert addons == CLUSTER["addons"]
    assert {group["releaseVersion"] for group in made.of("aws:eks/nodeGroup:NodeGroup")} == {"1.36.1-20260801"}
    provider = made.inputs("pulumi:providers:kubernetes", "fern-kubernetes")
    assert provider["clusterIdentifier"] == "arn:eks"
    assert "skipUpdateUnreachable" not in provider, "a cluster that does not answer is not taken for one that holds everything"


def test_the_peer_load_balancer_is_reached_from_the_network_alone(deploy: Callable[..., Recorder]) -> None:
    made = deploy(build_cluster, "fern")
    peer = made.inputs("kubernetes:core/v1:Service", "istio-ingressgateway-peer")
    public = made.inputs("kubernetes:core/v1:Service", "istio-ingressgateway")
    scheme = "service.beta.kubernetes.io/aws-load-balancer-scheme"
    assert peer["metadata"]["annotations"][scheme] == "internal"
    assert peer["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/16"]
    assert [port["port"] for port in peer["spec"]["ports"]] == [15088]
    assert public["metadata"]["annotations"][scheme] == "internet-facing"
    assert 15088 not in [port["port"] for port in public["spec"]["ports"]]


def edge_of(tmp_path: Path, **values: Any) -> Callable[[], None]:
    write_route(tmp_path, yaml.safe_dump(ROUTE))
    return lambda: edge.build(source(EDGE | values), tmp_path)


RECORD = "aws:route53/record:Record"
PATCH = "kubernetes:networking.istio.io/v1:VirtualServicePatch"


def test_each_cluster_has_a_weighted_record_per_host(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    made = deploy(edge_of(tmp_path, entry={"plum": 7500, "fern": 2500}, hosts=["shop.test", "*.shop.test"], ttl=5), "edge")
    records = made.of(RECORD)
    assert sorted((r["name"], r["setIdentifier"], r["weightedRoutingPolicies"][0]["weight"]) for r in records) == [
        (host, name, weight) for host in ("*.shop.test", "shop.test") for name, weight in (("fern", 1), ("plum", 3))
    ]
    assert {(r["type"], tuple(r["records"]), r["ttl"]) for r in records} == {
        ("A", ("127.1.0.10",), 5),
        ("A", ("127.2.0.10",), 5),
    }


def test_a_load_balancer_with_a_name_gets_an_alias(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    made = deploy(edge_of(tmp_path), "edge", {"plum": OUTPUTS["plum"] | {"gatewayAddress": "nlb.elb.example.com"}})
    record = made.inputs(RECORD, "shop.test-plum")
    assert record["aliases"] == [{"name": "nlb.elb.example.com", "zoneId": "ZNLB", "evaluateTargetHealth": False}]
    assert record.get("ttl") is None
    assert record.get("records") is None


def test_before_green_exists_only_the_entry_is_made(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    made = deploy(edge_of(tmp_path, clusters={"plum": {"stack": "plum"}}), "edge")
    assert [record["setIdentifier"] for record in made.of(RECORD)] == ["plum"]
    assert not [typ for typ, _ in made.made if typ.startswith("kubernetes:")]


def test_both_gateways_hold_what_routing_says(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    made = deploy(edge_of(tmp_path, services={"shop/catalog": 250}, generation=3), "edge")
    intent = routing.Intent(EDGE["sides"], EDGE["entry"], {"shop/catalog": 250}, 3)
    written = written_objects(made)
    sides: list[tuple[routing.Side, str, str]] = [("blue", "plum", "127.2.0.11"), ("green", "fern", "127.1.0.11")]
    for side, name, peer in sides:
        wanted = routing.objects(intent, {"shop/catalog": ROUTE}, side, routing.Peer(peer))
        for item in wanted.in_order():
            key = (name, item["kind"], item["metadata"]["name"])
            body = item.get("spec") or item["data"]
            assert written.pop(key) == body
    assert not written


def written_objects(made: Recorder) -> dict[tuple[str, str, str], Any]:
    found = {}
    for (typ, name), args in made.made.items():
        if typ.startswith("kubernetes:"):
            inputs = args.inputs
            body = inputs.get("spec") or inputs.get("data")
            found[name.split("-")[0], inputs["kind"], inputs["metadata"]["name"]] = body
    return found


def test_every_object_is_written_by_the_commands_field_manager(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    made = deploy(edge_of(tmp_path, services={"shop/catalog": 0}), "edge")
    objects = [args.inputs for (typ, _), args in made.made.items() if typ.startswith("kubernetes:")]
    assert objects
    assert {o["metadata"]["annotations"]["pulumi.com/patchFieldManager"] for o in objects} == {routing.FIELD_MANAGER}


def test_objects_are_sent_word_for_word_as_the_command_sends_them(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    """What a manager stops sending is taken away: what only one of the two sent, the other would remove each time."""
    made = deploy(edge_of(tmp_path, services={"shop/catalog": 2500}, generation=3), "edge")
    sent = [args.inputs for (typ, _), args in made.made.items() if typ.startswith("kubernetes:")]
    intent = routing.Intent(EDGE["sides"], EDGE["entry"], {"shop/catalog": 2500}, 3)
    peers: dict[routing.Side, str] = {"blue": "127.2.0.11", "green": "127.1.0.11"}
    commands = [
        item
        for side, peer in peers.items()
        for item in routing.objects(intent, {"shop/catalog": ROUTE}, side, routing.Peer(peer)).in_order()
    ]
    assert sorted(sent, key=named) == sorted(commands, key=named)


def named(item: Any) -> tuple[str, str, str]:
    return item["kind"], item["metadata"]["name"], routing.canonical(item.get("spec") or item["data"]).replace(".0", "")


def test_an_old_file_does_not_raise_what_green_serves(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    """Also when only one of the clusters can still say what is live."""
    live = routing.record(routing.Intent(EDGE["sides"], EDGE["entry"], {"shop/catalog": 100}, 9))
    with server(200, json.dumps(live).encode()) as (url, _):
        stacks = OUTPUTS | {"plum": OUTPUTS["plum"] | {"kubeconfig": kubeconfig(url, {})}}
        made = deploy(
            edge_of(tmp_path, services={"shop/catalog": 5000}, generation=8, entry={"plum": 0, "fern": 10000}),
            "edge",
            stacks,
        )
    record = written_objects(made)["plum", "ConfigMap", "bluegreen-edge"]
    assert json.loads(record["services"]) == {"shop/catalog": 100}
    assert record["generation"] == "9"
    weights = {r["setIdentifier"]: r["weightedRoutingPolicies"][0]["weight"] for r in made.of(RECORD)}
    assert weights["fern"] == 0


def test_an_old_file_raises_what_green_serves_with_force(deploy: Callable[..., Recorder], tmp_path: Path) -> None:
    live = routing.record(routing.Intent(EDGE["sides"], EDGE["entry"], {"shop/catalog": 100}, 9))
    with server(200, json.dumps(live).encode()) as (url, _):
        stacks = OUTPUTS | {"plum": OUTPUTS["plum"] | {"kubeconfig": kubeconfig(url, {})}}
        made = deploy(edge_of(tmp_path, services={"shop/catalog": 5000}, generation=8, force=True), "edge", stacks)
    record = written_objects(made)["fern", "ConfigMap", "bluegreen-edge"]
    assert json.loads(record["services"]) == {"shop/catalog": 5000}


def record_of(services: Mapping[str, int], generation: int, **entry: int) -> bytes:
    intent = routing.Intent(EDGE["sides"], entry or EDGE["entry"], services, generation)
    return json.dumps(routing.record(intent)).encode()


def asking(plum: str, fern: str = DEAD) -> dict[str, dict[str, Any]]:
    return {"plum": OUTPUTS["plum"] | {"kubeconfig": plum}, "fern": OUTPUTS["fern"] | {"kubeconfig": fern}}


def shares(made: Recorder) -> tuple[Any, int]:
    """Services and generation as they were written to blue, where both sides agree."""
    (one, other) = (written_objects(made)[name, "ConfigMap", "bluegreen-edge"] for name in ("plum", "fern"))
    assert one == other
    return json.loads(one["services"]), int(one["generation"])


@pytest.mark.parametrize("generation", [9, 12], ids=["the file's own generation", "a file that calls itself newer"])
def test_what_one_cluster_does_not_report_is_not_raised_above_the_others_record(
    deploy: Callable[..., Recorder], tmp_path: Path, capfd: pytest.CaptureFixture[str], generation: int
) -> None:
    """fern may hold a newer record, which took the service back."""
    with (
        server(200, record_of({"shop/catalog": 100}, 9)) as (plum, _),
        server(403, FORBIDDEN) as (fern, _),
    ):
        asked = {"services": {"shop/catalog": 5000}, "generation": generation, "entry": {"plum": 0, "fern": 10_000}}
        made = deploy(edge_of(tmp_path, **asked), "edge", asking(kubeconfig(plum, {}), kubeconfig(fern, {})))
    assert shares(made) == ({"shop/catalog": 100}, generation)
    weights = {r["setIdentifier"]: r["weightedRoutingPolicies"][0]["weight"] for r in made.of(RECORD)}
    assert weights["fern"] == 0


@pytest.mark.parametrize("share", [100, 40, 0], ids=["as it is", "less", "nothing"])
def test_a_dead_green_does_not_stop_an_up_that_rolls_back(deploy: Callable[..., Recorder], tmp_path: Path, share: int) -> None:
    with server(200, record_of({"shop/catalog": 100}, 9)) as (plum, _):
        made = deploy(edge_of(tmp_path, services={"shop/catalog": share}, generation=10), "edge", asking(kubeconfig(plum, {})))
    assert shares(made) == ({"shop/catalog": share}, 10)


OF_BEFORE = {"shop/catalog": 10_000}  # in the migration before this one, plum was green


@pytest.mark.wide(2)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(403, FORBIDDEN, id="neither may be read"),
        pytest.param(404, b"", id="a proxy's 404"),
        pytest.param(404, NOT_FOUND, id="never written on the one that can be read"),
        pytest.param(200, record_of(OF_BEFORE, 8, oak=0, plum=10_000), id="a record of another migration"),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [{"services": {"shop/catalog": 1}}, {"entry": {"plum": 9999, "fern": 1}}],
    ids=["a service at green", "the entry at green"],
)
def test_an_up_that_may_raise_a_share_is_refused_where_the_live_one_is_unknown(
    deploy: Callable[..., Recorder], tmp_path: Path, asked: Mapping[str, Any], status: int, body: bytes
) -> None:
    def run(folder: str, **values: Any) -> tuple[Recorder, Exception | None]:
        recorder = Recorder(OUTPUTS | asking(kubeconfig(plum, {})))
        try:
            deploy(edge_of(tmp_path / folder, **{"services": {"shop/catalog": 0}, "generation": 9, **values}), "edge", recorder)
        except Exception as problem:  # the engine's own kinds, around ours
            return recorder, problem
        return recorder, None

    with server(status, body) as (plum, _):
        refused, problem = run("refused", **asked)
        lowered, _ = run("lowered")
        forced, _ = run("forced", force=True, **asked)
    assert "bluegreen:force: true" in str(problem)
    assert "fern: http://127.0.0.1:1 cannot be connected to (Connection refused)" in str(problem)
    assert not written_objects(refused)
    assert not refused.of(RECORD)
    assert shares(lowered) == ({"shop/catalog": 0}, 9)
    assert shares(forced) == (asked.get("services", {"shop/catalog": 0}), 9)
