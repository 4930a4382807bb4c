"""Stack files: each mistake is told with file, key, value, what is allowed and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import manifests
from migration.errors import ConfigError as CommandError
from migration.settings import stack_file as stackfile
from stacks import cluster, edge, network
from stacks.config import ConfigError, Source

ROOT = Path(__file__).parents[3]
REGION = "eu-west-1"
FILE = "stacks/Pulumi.test.yaml"


def source(values: dict[str, Any], region: str = REGION) -> Source:
    return Source({k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}, FILE, region)


NETWORK: dict[str, Any] = {"kind": "network", "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"]}
CLUSTER: dict[str, Any] = {
    "kind": "cluster",
    "version": "1.36",
    "addons": {"vpc-cni": "v1.20.0", "kube-proxy": "v1.36.1", "coredns": "v1.12.0", "eks-pod-identity-agent": "v1.3.0"},
    "nodeGroups": {"general": {"release": "1.36.1-20260801", "instanceTypes": ["m7i.large"], "minimum": 1, "maximum": 3}},
    "baseline": {"istio": "1.30.3"},
}
EDGE: dict[str, Any] = {
    "kind": "edge",
    "sides": {"blue": "plum", "green": "fern"},
    "clusters": {"plum": {"stack": "plum"}, "fern": {"stack": "fern"}},
    "entry": {"plum": 10000, "fern": 0},
    "zone": "shop.test",
}
ROUTE: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": "shop"},
    "spec": {
        "hosts": ["shop.test"],
        "gateways": ["istio-system/public"],
        "http": [{"route": [{"destination": {"host": "catalog"}}]}],
    },
}


def parse_cluster(values: dict[str, Any]) -> cluster.ClusterConfig:
    return cluster.parse(source(values), "fern")


def parse_network(values: dict[str, Any]) -> network.NetworkConfig:
    return network.parse(source(values))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"cidr": "10.0.0.0/33"}, "bluegreen:cidr", id="no network"),
        pytest.param({"cidr": "10.0.0.0/24"}, "/16 to /20", id="too small for two clusters"),
        pytest.param({"zones": ["eu-west-1a"]}, "two or three", id="one zone"),
        pytest.param({"zones": ["eu-west-1a", "eu-west-1a"]}, "bluegreen:zones", id="the same zone twice"),
        pytest.param({"zones": ["us-east-1a", "us-east-1b"]}, "aws:region", id="zones of another region"),
        pytest.param({"zones": "eu-west-1a"}, "bluegreen:zones", id="a word instead of a list"),
        pytest.param({"nat": "two"}, "one, per-zone, none", id="unknown nat"),
        pytest.param({"natt": "one"}, "bluegreen:natt", id="misspelt key"),
    ],
)
def test_a_wrong_network_file_is_refused(change: dict[str, Any], told: str) -> None:
    refused(parse_network, NETWORK | change, told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"version": None}, "bluegreen:version is not set", id="no version"),
        pytest.param({"version": "1.3"}, '"1.36"', id="version unquoted in the file"),
        pytest.param({"name": "blue-1"}, "swaps blue and green", id="a side in the name"),
        pytest.param({"name": "Fern"}, "lower-case", id="a name EKS would refuse"),
        pytest.param({"addons": {"vpc-cni": "v1.20.0"}}, "addons.kube-proxy", id="a needed add-on is missing"),
        pytest.param({"addons": CLUSTER["addons"] | {"coredns": "latest"}}, "exact version", id="an add-on not pinned"),
        pytest.param({"baseline": {"istio": "1.30"}}, "exact version", id="a chart not pinned"),
        pytest.param({"baseline": {}}, "baseline.istio is not set", id="no Istio"),
        pytest.param({"baseline": {"istio": "1.28.1"}}, "supports Kubernetes 1.36", id="an Istio too old"),
        pytest.param({"baseline": {"istio": "1.30.3", "argo": "1.0.0"}}, "baseline.argo", id="an unknown part"),
        pytest.param({"nodeGroups": {}}, "at least one", id="no nodes"),
        pytest.param(
            {"nodeGroups": {"a": CLUSTER["nodeGroups"]["general"] | {"release": "1.34.1-20260801"}}},
            "nodeGroups.a.release",
            id="nodes of another minor",
        ),
        pytest.param(
            {"nodeGroups": {"a": CLUSTER["nodeGroups"]["general"] | {"maximum": 0}}},
            "from 1 to",
            id="maximum below minimum",
        ),
        pytest.param({"publicCidrs": ["0.0.0.0/0"]}, "the whole internet is refused", id="open to everybody"),
        pytest.param({"access": {"me": {"principal": "me"}}}, "access.me.principal", id="no ARN"),
        pytest.param({"logs": ["everything"]}, "authenticator", id="unknown log"),
        pytest.param({"deletionProtection": "no"}, "true, false", id="no boolean"),
        pytest.param({"deletionprotection": False}, "bluegreen:deletionprotection", id="misspelt protection"),
        pytest.param({"gateway": {"minimum": 5, "maximum": 2}}, "gateway.maximum", id="gateway maximum below minimum"),
    ],
)
def test_a_wrong_cluster_file_is_refused(change: dict[str, Any], told: str) -> None:
    refused(parse_cluster, CLUSTER | change, told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"sides": {"green": "fern"}}, "sides.blue is not set", id="no blue"),
        pytest.param({"sides": {"blue": "plum", "green": "plum"}}, "two different clusters", id="one cluster on both sides"),
        pytest.param(
            {"clusters": {"plum": {"stack": "plum"}, "fern": {"stack": "plum"}}},
            "they are the same",
            id="one stack twice",
        ),
        pytest.param({"clusters": {"fern": {"stack": "fern"}}}, "blue must exist", id="blue is not there"),
        pytest.param(
            {"clusters": EDGE["clusters"] | {"kiwi": {"stack": "kiwi"}}}, "clusters.kiwi", id="a cluster without a side"
        ),
        pytest.param({"clusters": {"plum": {"stack": "plum", "context": "x"}}}, "not both", id="stack and description"),
        pytest.param(
            {"clusters": {"plum": {"kubeconfig": "no", "gateway": {"address": "a"}, "peer": {"address": "a"}}}},
            "not found",
            id="no kubeconfig",
        ),
        pytest.param({"entry": {"plum": 9000, "fern": 0}}, "add up to 10000", id="entry does not add up"),
        pytest.param({"entry": {"plum": 10001, "fern": -1}}, "0 to 10000", id="a share out of range"),
        pytest.param({"entry": {"kiwi": 10000}}, "entry.kiwi", id="entry at a stranger"),
        pytest.param(
            {"clusters": {"plum": {"stack": "plum"}}, "entry": {"plum": 5000, "fern": 5000}},
            "entry.fern",
            id="entry too early",
        ),
        pytest.param({"services": {"shop/catalog": 12000}}, "services.shop/catalog", id="a split out of range"),
        pytest.param({"services": {"catalog": 0}}, "NAMESPACE/NAME", id="no namespace"),
        pytest.param({"services": {"shop/basket": 0}}, "bluegreen enroll shop/basket", id="not enrolled"),
        pytest.param({"generation": -1}, "bluegreen:generation", id="negative generation"),
        pytest.param({"hosts": ["other.test"]}, "names in shop.test", id="a host outside the zone"),
        pytest.param({"ttl": 0}, "1 to 86400", id="no ttl"),
        pytest.param({"service": {}}, "bluegreen:service ", id="misspelt key"),
    ],
)
def test_a_wrong_edge_file_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    refused(lambda values: edge.parse(source(values), tmp_path, "edge"), EDGE | change, told)


def refused(parse: Callable[[dict[str, Any]], object], values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({key: value for key, value in values.items() if value is not None})
    message = str(caught.value)
    assert told in message
    assert FILE in message
    assert "allowed: " in message
    assert "Remedy: " in message


def write_route(root: Path, text: str) -> None:
    folder = root / "stacks" / "edge.routes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.catalog.yaml").write_text(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: [", "not YAML", id="broken YAML"),
        pytest.param("[]", "not a VirtualService", id="a list"),
        pytest.param(manifests.write(ROUTE | {"metadata": {"name": "x", "namespace": "y"}}), "is y/x", id="another route"),
        pytest.param(
            yaml.safe_dump(ROUTE | {"spec": {"hosts": ["a"], "gateways": ["mesh"], "http": []}}),
            "cannot be shifted",
            id="mesh",
        ),
    ],
)
def test_a_wrong_route_file_is_refused_by_its_name(tmp_path: Path, text: str, told: str) -> None:
    write_route(tmp_path, text)
    with pytest.raises(ConfigError, match=r"shop\.catalog\.yaml") as caught:
        edge.parse(source(EDGE | {"services": {"shop/catalog": 0}}), tmp_path, "edge")
    assert told in str(caught.value)
    assert "Remedy: " in str(caught.value)


def test_an_edge_file_is_read_with_its_routes(tmp_path: Path) -> None:
    write_route(tmp_path, yaml.safe_dump(ROUTE))
    config = edge.parse(source(EDGE | {"services": {"shop/catalog": 250}, "generation": 17}), tmp_path, "edge")
    assert config.intent.services == {"shop/catalog": 250}
    assert config.intent.generation == 17
    assert config.routes["shop/catalog"]["spec"] == ROUTE["spec"]
    assert config.sides == {"blue": "plum", "green": "fern"}


def test_a_route_file_means_the_same_to_command_and_program(tmp_path: Path) -> None:
    texts = ["yes", "on", "=", "012", "1e3", "2024-01-01", "0o14", "y", "1:30", ""]
    rule = {"match": [{"headers": {f"h{index}": {"exact": text}}} for index, text in enumerate(texts)]}
    spec = ROUTE["spec"] | {"http": [{**ROUTE["spec"]["http"][0], **rule}]}
    write_route(tmp_path, manifests.write(ROUTE | {"spec": spec}))
    config = edge.parse(source(EDGE | {"services": {"shop/catalog": 250}}), tmp_path, "edge")
    assert config.routes["shop/catalog"]["spec"] == spec
    assert stackfile.read_route(tmp_path / "stacks" / "edge.routes", "shop/catalog")["spec"] == spec


def test_a_route_that_a_person_edited_is_read_as_kubernetes_reads_it(tmp_path: Path) -> None:
    text = manifests.write(ROUTE | {"spec": ROUTE["spec"] | {"exportTo": ["EXPORT"]}})
    write_route(tmp_path, text.replace("EXPORT", "="))
    folder = tmp_path / "stacks" / "edge.routes"
    config = edge.parse(source(EDGE | {"services": {"shop/catalog": 250}}), tmp_path, "edge")
    assert config.routes["shop/catalog"]["spec"]["exportTo"] == ["="]
    assert stackfile.read_route(folder, "shop/catalog") == config.routes["shop/catalog"]
    write_route(tmp_path, text + "kind: VirtualService\n")
    with pytest.raises(CommandError, match=r"shop\.catalog\.yaml: .*kind is given twice"):
        stackfile.read_route(folder, "shop/catalog")


def test_a_version_stays_text() -> None:
    assert parse_cluster(CLUSTER).version == "1.36"


def test_protection_is_on_unless_said_otherwise() -> None:
    config = parse_cluster(CLUSTER)
    assert (config.protect, config.deletion_protection, config.public_cidrs) == (True, True, ())


@pytest.mark.parametrize("name", ["network", "plum", "edge"])
def test_the_example_files_are_right(name: str) -> None:
    document = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{name}.yaml").read_text())["config"]
    values = {key.removeprefix("bluegreen:"): value for key, value in document.items() if key.startswith("bluegreen:")}
    given = source(values, document["aws:region"])
    parse = {
        "network": lambda: network.parse(given),
        "cluster": lambda: cluster.parse(given, name),
        "edge": lambda: edge.parse(given, ROOT, name),
    }
    parse[values["kind"]]()
