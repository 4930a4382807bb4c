"""What the plugins tell the engine of values: differences, drift and what the SDK knows."""

from __future__ import annotations

from typing import Any

import pytest

from lab.pulumi.helm_charts import ChartError, render
from lab.pulumi.kube_shape import as_inputs
from lab.pulumi.sdk_types import find_type
from lab.pulumi.values import UNKNOWN, differences, from_struct, has_unknown, to_struct


def test_values_survive_a_round_trip_to_the_engine() -> None:
    given = {"text": "a", "whole": 3, "part": 0.5, "flag": True, "none": None, "list": [1, {"a": UNKNOWN}], "empty": {}}
    assert from_struct(to_struct(given)) == given
    assert has_unknown(given)


def test_a_secret_of_a_provider_s_configuration_is_unwrapped() -> None:
    wrapped = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "token"}
    assert from_struct(to_struct({"kubeconfig": wrapped})) == {"kubeconfig": "token"}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="same"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, {"a.b": "update"}, id="nested"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, {"a[1]": "delete"}, id="list"),
        pytest.param({}, {"tags": {"x/y": "1"}}, {"tags": "add"}, id="added"),
        pytest.param({"tags": {"x/y": "1"}}, {"tags": {"x/y": "2"}}, {'tags["x/y"]': "update"}, id="quoted"),
        pytest.param({"a": True}, {"a": 1}, {"a": "update"}, id="a flag is no number"),
    ],
)
def test_differences_name_the_property_path(old: dict[str, Any], new: dict[str, Any], found: dict[str, str]) -> None:
    assert dict(differences(old, new)) == found


def test_the_sdk_says_which_inputs_a_type_has() -> None:
    vpc = find_type("pulumi_aws", "aws:ec2/vpc:Vpc")
    assert vpc is not None
    assert list(vpc.unknown_inputs({"cidrBlock": "10.0.0.0/16"})) == []
    [(path, reason)] = vpc.unknown_inputs({"cidrBlok": "10.0.0.0/16"})
    assert path == "cidrBlok"
    assert "cidrBlock" in reason


def test_nested_inputs_are_checked_too() -> None:
    group = find_type("pulumi_aws", "aws:eks/nodeGroup:NodeGroup")
    assert group is not None
    scaling = {"desiredSize": 1, "maxSize": 1, "minSize": 1, "mostSize": 2}
    wanted = {"clusterName": "c", "nodeRoleArn": "r", "subnetIds": ["s"], "scalingConfig": scaling}
    assert [path for path, _ in group.unknown_inputs(wanted)] == ["scalingConfig.mostSize"]


def test_an_unknown_type_is_none_of_the_sdk_s() -> None:
    assert find_type("pulumi_aws", "aws:ec2/vpcc:Vpcc") is None


LIVE = {
    "kind": "Deployment",
    "spec": {
        "replicas": 2,
        "strategy": {"type": "RollingUpdate"},
        "template": {
            "spec": {
                "containers": [
                    {"name": "c", "image": "x", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
                    {"name": "injected", "image": "proxy"},
                ]
            }
        },
    },
}


def _wanted(cpu: str = "0.5", image: str = "x", replicas: int = 2) -> dict[str, Any]:
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": cpu, "memory": "1024Mi"}}, "env": []}
    return {"kind": "Deployment", "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}}


def test_defaults_quantities_and_other_managers_additions_are_no_drift() -> None:
    assert as_inputs(LIVE, _wanted()) == _wanted()


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(_wanted(cpu="1"), id="quantity"),
        pytest.param(_wanted(image="y"), id="image"),
        pytest.param(_wanted(replicas=3), id="replicas"),
    ],
)
def test_a_changed_field_is_drift(wanted: dict[str, Any]) -> None:
    assert as_inputs(LIVE, wanted) != wanted


def test_a_field_that_is_gone_is_drift_but_an_empty_one_is_not() -> None:
    assert as_inputs({"data": {}}, {"data": {"a": "1", "b": ""}}) == {"data": {"b": ""}}


def test_a_secret_s_text_is_read_back_from_its_data() -> None:
    assert as_inputs({"data": {"a": "cw=="}}, {"stringData": {"a": "s"}}) == {"stringData": {"a": "s"}}
    assert as_inputs({"data": {"a": "eA=="}}, {"stringData": {"a": "s"}}) == {}


def _render(chart: str, **values: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(o["kind"], o["metadata"]["name"]): o for o in render(chart, chart, "ns", "1.0.0", values)}


def test_istiod_is_scaled_by_its_values() -> None:
    made = _render("istiod", autoscaleMin=2, autoscaleMax=4)
    assert made["HorizontalPodAutoscaler", "istiod"]["spec"]["minReplicas"] == 2
    assert "replicas" not in made["Deployment", "istiod"]["spec"]
    fixed = _render("istiod", autoscaleEnabled=False, replicaCount=3)
    assert fixed["Deployment", "istiod"]["spec"]["replicas"] == 3
    assert ("HorizontalPodAutoscaler", "istiod") not in fixed


def test_the_gateway_carries_its_labels() -> None:
    made = _render("gateway", labels={"istio": "ingressgateway"})
    assert made["Service", "gateway"]["spec"]["type"] == "LoadBalancer"
    assert made["Service", "gateway"]["spec"]["selector"]["istio"] == "ingressgateway"


def test_the_gateway_may_have_no_service() -> None:
    assert ("Service", "gateway") not in _render("gateway", service={"type": "None"})


def test_a_chart_refuses_values_it_cannot_work_with() -> None:
    with pytest.raises(ChartError, match="clusterName"):
        _render("aws-load-balancer-controller")


def test_of_a_list_as_many_items_are_looked_at_as_the_last_inputs_had() -> None:
    wanted = {"rules": [{"to": [{"host": "a"}]}]}
    grown = {"rules": [{"to": [{"host": "a", "headers": {"set": {"x": "y"}}}, {"host": "b"}]}, {"to": []}]}
    assert as_inputs({"spec": grown}, {"spec": wanted}) == {"spec": wanted}
    assert as_inputs({"spec": wanted}, {"spec": grown}) == {"spec": wanted}


def test_an_empty_value_that_is_gone_is_drift_in_a_custom_resource_alone() -> None:
    wanted = {"spec": {"a": "", "weight": 0}}
    for version, seen in (("networking.istio.io/v1", {}), ("networking.k8s.io/v1", wanted["spec"])):
        kind = {"apiVersion": version}
        assert as_inputs(kind | {"spec": {}}, kind | wanted) == kind | {"spec": seen}


def test_what_is_put_before_an_item_is_drift() -> None:
    live = {"containers": [{"name": "injected"}, {"name": "c"}]}
    assert as_inputs(live, {"containers": [{"name": "c"}]}) == {"containers": [{"name": "injected"}]}
