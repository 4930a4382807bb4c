"""What may be kept, and not made anew, is said in today's form; what cannot be is refused with what to change."""

from __future__ import annotations

from typing import Any

import pytest

from migration.objects import kinds
from migration.objects.kinds import Resource
from migration.objects.view import View
from migration.ownership import conversion
from migration.ownership.conversion import data_in_status, into, mirrored, notes, refused, version_to_read
from migration.ownership.definitions import APPROVED, PRESERVE, structural
from migration.replicate.transform import for_green
from tests.fakes.apiserver import served

OPEN = {"type": "object", PRESERVE: True}
TEXT = {"type": "string"}
OBJECT = {"type": "object"}
EITHER = [{"type": "integer"}, {"type": "string"}]


def definition(*schemas: Any, group: str = "example.com", **spec: Any) -> dict[str, Any]:
    versions = [
        {"name": f"v{n}", "served": True, "storage": n == 1, **({"schema": {"openAPIV3Schema": schema}} if schema else {})}
        for n, schema in enumerate(schemas, 1)
    ]
    spec = {"group": group, "names": {"kind": "Widget", "plural": "widgets"}, "versions": versions, **spec}
    meta = {"name": f"widgets.{group}", "uid": "1"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


def schemas(obj: dict[str, Any]) -> list[Any]:
    return [version["schema"]["openAPIV3Schema"] for version in for_green(obj)["spec"]["versions"]]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "object"}, OPEN, id="nothing said of the fields"),
        pytest.param(
            {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": TEXT}}}},
            {**OPEN, "properties": {"spec": {**OPEN, "properties": {"a": TEXT}}}},
            id="at every depth, since naming a field resumes pruning",
        ),
        pytest.param(
            {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}}}},
            {**OPEN, "properties": {"l": {"type": "array", "items": {**OPEN, "properties": {"a": TEXT}}}}},
            id="within lists",
        ),
        pytest.param(
            {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "object"}}}},
            {**OPEN, "properties": {"m": {"type": "object", "additionalProperties": OPEN}}},
            id="within maps, whose keys are all known",
        ),
        pytest.param(
            {"properties": {"metadata": {"type": "object"}, "spec": {"properties": {"a": TEXT}}}},
            {**OPEN, "properties": {"metadata": {"type": "object"}, "spec": {**OPEN, "properties": {"a": TEXT}}}},
            id="types that follow from what is said; not of metadata",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"description": "any"}}}, OPEN, id="not structural: a field of no type"
        ),
        pytest.param({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, OPEN, id="not structural: a reference"),
        pytest.param(None, OPEN, id="no schema"),
    ],
)
def test_a_definition_that_kept_unknown_fields_still_keeps_them(schema: Any, expected: Any) -> None:
    made = for_green(definition(schema, preserveUnknownFields=True))
    assert "preserveUnknownFields" not in made["spec"]
    assert schemas(definition(schema, preserveUnknownFields=True)) == [expected]
    assert for_green(made) == made
    assert any("preserveUnknownFields" in note for note in notes(definition(schema, preserveUnknownFields=True)))


def test_each_version_is_converted_by_its_own_schema() -> None:
    given = definition({"type": "object", "properties": {"a": TEXT}}, None, preserveUnknownFields=True)
    assert schemas(given) == [{**OPEN, "properties": {"a": TEXT}}, OPEN]


def test_a_definition_of_today_is_left_as_it_is() -> None:
    given = definition({"type": "object", "properties": {"a": TEXT}}, preserveUnknownFields=False)
    assert schemas(given) == [{"type": "object", "properties": {"a": TEXT}}]
    assert notes(given) == ()


@pytest.mark.parametrize(
    ("group", "asked"), [("storage.k8s.io", True), ("x.kubernetes.io", True), ("x-k8s.io", False), ("example.com", False)]
)
def test_a_protected_group_says_that_it_is_unapproved(group: str, asked: bool) -> None:
    annotations = for_green(definition({"type": "object"}, group=group))["metadata"].get("annotations", {})
    assert (APPROVED in annotations) is asked
    approved = definition({"type": "object"}, group=group)
    approved["metadata"]["annotations"] = {APPROVED: "https://example.com/1"}
    assert for_green(approved)["metadata"]["annotations"] == {APPROVED: "https://example.com/1"}


@pytest.mark.parametrize(
    ("schema", "good"),
    [
        ({"type": "object", "properties": {"port": {"x-kubernetes-int-or-string": True, "anyOf": EITHER}}}, True),
        ({"type": "object", "properties": {"a": TEXT}, "oneOf": [{"required": ["a"]}]}, True),
        ({"type": "object", "properties": {"a": TEXT}, "anyOf": [{"properties": {"a": {"pattern": "x"}}}]}, True),
        ({"type": "object", "properties": {"a": TEXT}, "anyOf": [{"properties": {"b": {"pattern": "x"}}}]}, False),
        ({"type": "object", "properties": {"a": TEXT}, "not": {"properties": {"a": {"type": "string"}}}}, False),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, False),
        ({"type": "object", "properties": {"a": {"type": "array", "items": TEXT, "uniqueItems": True}}}, False),
        ({"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT}, False),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "properties": {"metadata": {**OBJECT, "properties": {"labels": OBJECT}}}}, False),
        ({"type": "object", "properties": {"metadata": {"properties": {"name": {"type": "string", "maxLength": 9}}}}}, False),
        ({"type": "string"}, False),
    ],
)
def test_what_is_structural(schema: Any, good: bool) -> None:
    assert structural(schema) is good


def hooks(*webhooks: dict[str, Any], kind: str = "ValidatingWebhookConfiguration") -> dict[str, Any]:
    named = [{"name": f"h{n}.example.com", **hook} for n, hook in enumerate(webhooks)]
    meta = {"name": "h", "uid": "1"}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta, "webhooks": named}


@pytest.mark.parametrize("kind", sorted(conversion.WEBHOOKS))
def test_a_webhook_that_never_said_whether_it_has_side_effects_says_none(kind: str) -> None:
    given = hooks({"sideEffects": "Unknown"}, {"sideEffects": "NoneOnDryRun"}, kind=kind)
    assert [hook["sideEffects"] for hook in for_green(given)["webhooks"]] == ["None", "NoneOnDryRun"]
    assert [note.startswith("webhook h0.example.com: sideEffects Unknown") for note in notes(given)] == [True]
    assert refused(given) is None


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ([{"sideEffects": "Some"}], "NoneOnDryRun"),
        ([{"admissionReviewVersions": ["v1alpha1"]}], "takes none of the reviews"),
        ([{"admissionReviewVersions": ["v1beta1"]}], None),
        ([{"name": "same.example.com"}, {"name": "same.example.com"}], "two of its webhooks are named same.example.com"),
    ],
)
def test_a_webhook_that_v1_accepts_in_no_form_is_refused_with_what_to_change(hook: Any, why: str | None) -> None:
    told = refused(hooks(*hook))
    assert (told is None) if why is None else (told is not None and why in told)


def ingress(annotation: str | None, name: str | None) -> dict[str, Any]:
    meta = {"name": "i", "namespace": "n", "annotations": {conversion.CLASS_ANNOTATION: annotation} if annotation else {}}
    spec = {"ingressClassName": name} if name else {}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def test_an_ingress_that_names_two_classes_is_refused() -> None:
    assert "says alb" in str(refused(ingress("alb", "nginx")))
    for whole in (ingress("nginx", None), ingress(None, "nginx"), ingress("nginx", "nginx")):
        assert refused(whole) is None
    assert for_green(ingress("nginx", "nginx"))["metadata"]["annotations"] == {conversion.CLASS_ANNOTATION: "nginx"}


@pytest.mark.parametrize("prefix", ["CRON_TZ", "TZ"])
def test_a_time_zone_within_a_schedule_becomes_the_field_for_it(prefix: str) -> None:
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {"schedule": f"{prefix}=Europe/Berlin 0 3 * * *"},
    }
    made = for_green(cron)["spec"]
    assert (made["schedule"], made["timeZone"]) == ("0 3 * * *", "Europe/Berlin")
    assert "Europe/Berlin" in notes(cron)[0]


def test_a_custom_kind_by_the_same_name_is_left_alone() -> None:
    other = {**ingress("a", "b"), "apiVersion": "example.com/v1"}
    assert (refused(other), notes(other)) == (None, ())
    assert for_green(other)["metadata"]["annotations"] == {conversion.CLASS_ANNOTATION: "a"}


# -- versions ----------------------------------------------------------------------------------------------------------


def hpa(version: str) -> Resource:
    return Resource("autoscaling", version, "HorizontalPodAutoscaler", "horizontalpodautoscalers", True)


def budget(version: str) -> Resource:
    return Resource("policy", version, "PodDisruptionBudget", "poddisruptionbudgets", True)


@pytest.mark.parametrize(
    ("blue", "green", "read"),
    [
        (["v1", "v2beta1", "v2beta2"], ["v2", "v1"], "v2beta2"),  # not v1: metrics would be the text of an annotation
        (["v2", "v1", "v2beta2"], ["v2", "v1"], "v2"),
        (["v1", "v2beta1"], ["v2", "v1"], "v1"),
        (["v2beta2", "v2beta1"], ["v2"], "v2beta2"),
        (["v2beta1"], ["v2"], "v2beta1"),
    ],
)
def test_a_kind_is_read_in_the_version_in_which_most_of_it_arrives(blue: list[str], green: list[str], read: str) -> None:
    mine, theirs = served(*map(hpa, blue)), served(*map(hpa, green))
    assert version_to_read(mine.resources[0], mine, theirs).version == read


def test_an_object_of_an_equal_version_is_said_in_greens() -> None:
    found = into(hpa("v2beta2"), {"apiVersion": "autoscaling/v2beta2", "kind": "HorizontalPodAutoscaler"}, served(hpa("v2")))
    assert found == (hpa("v2"), {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"})


@pytest.mark.parametrize(
    ("selector", "comes"),
    [({"matchLabels": {"a": "b"}}, True), ({"matchExpressions": [{"key": "a"}]}, True), ({}, False), (None, True)],
)
def test_a_budget_whose_empty_selector_meant_nothing_is_not_turned_into_one_for_everything(selector: Any, comes: bool) -> None:
    obj = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "spec": {"selector": selector}}
    found = into(budget("v1beta1"), obj, served(budget("v1")))
    assert isinstance(found, tuple) is comes
    assert comes or "meant no pod" in str(found)


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (Resource("extensions", "v1beta1", "Ingress", "ingresses", True), "write it as networking.k8s.io/v1"),
        (Resource("extensions", "v1beta1", "Deployment", "deployments", True), "write it as apps/v1"),
        (Resource("policy", "v1beta1", "PodSecurityPolicy", "podsecuritypolicies", False), "pod-security.kubernetes.io"),
        (hpa("v2beta1"), "write it as autoscaling/v2"),
        (Resource("example.com", "v1", "Widget", "widgets", True), "its definition does not come along"),
        (Resource("example.com", "v0", "Gadget", "gadgets", True), "only v1"),
    ],
)
def test_what_cannot_be_converted_is_reported_with_what_to_write(resource: Resource, why: str) -> None:
    gadget = Resource("example.com", "v1", "Gadget", "gadgets", True)
    green = served(*kinds.WELL_KNOWN.values(), hpa("v2"), gadget)
    found = into(resource, {"apiVersion": resource.api_version, "kind": resource.kind}, green)
    assert isinstance(found, str)
    assert why in found


def test_objects_of_a_group_that_moved_are_read_once() -> None:
    old = Resource("extensions", "v1beta1", "Deployment", "deployments", True)
    assert mirrored(old, served(old, kinds.DEPLOYMENT))
    assert not mirrored(old, served(old))
    assert not mirrored(kinds.DEPLOYMENT, served(old, kinds.DEPLOYMENT))


# -- status ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("subresources", "data"), [(None, True), ({}, True), ({"scale": {}}, True), ({"status": {}}, False)])
def test_status_is_data_where_a_definition_has_no_subresource_for_it(subresources: Any, data: bool) -> None:
    widget = Resource("example.com", "v1", "Widget", "widgets", True)
    crd = definition({"type": "object"})
    crd["spec"]["versions"][0] |= {"subresources": subresources} if subresources is not None else {}
    view = View("plum", served(widget), {kinds.CRD.name: [crd], widget.name: []}, resources={widget.name: widget})
    assert (widget in data_in_status(view)) is data
    assert kinds.DEPLOYMENT not in data_in_status(view)
