"""Definitions that were written in apiextensions.k8s.io/v1beta1, as v1 takes them. Pure.

The rules of structural schemas are those of Kubernetes' own validation (apiextensions.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from migration.objects.classes import Verdict
from migration.objects.kinds import Object

PRESERVE = "x-kubernetes-preserve-unknown-fields"
APPROVED = "api-approved.kubernetes.io"


def definition(obj: Object, _: Verdict) -> None:
    """A definition that kept unknown fields goes on doing so, by the word that v1 has for it; a version without a schema
    gets the open one that it had in effect.
    """
    spec = obj.get("spec") or {}
    kept = bool(spec.pop("preserveUnknownFields", False))
    for version in spec.get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            version["schema"] = {"openAPIV3Schema": {"type": "object", PRESERVE: True}}
        elif kept:
            typed = _typed(schema)
            typed.setdefault("type", "object")
            open_ = {"type": "object", PRESERVE: True}
            version["schema"]["openAPIV3Schema"] = _preserving(typed, root=True) if structural(typed) else open_
    group = str(spec.get("group", ""))
    annotations = obj["metadata"].get("annotations") or {}
    if protected(group) and APPROVED not in annotations:
        obj["metadata"]["annotations"] = {**annotations, APPROVED: "unapproved, made before groups were protected"}


def protected(group: str) -> bool:
    """Whether a definition in this group needs the annotation of Kubernetes' API reviewers, or one that says it has none."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def definition_said(obj: Mapping[str, Any]) -> Iterator[str]:
    """What `definition` changes, a sentence each."""
    spec = obj.get("spec") or {}
    kept = bool(spec.get("preserveUnknownFields"))
    if kept:
        yield f"preserveUnknownFields is no longer taken: its schemas say {PRESERVE} instead"
    for version in spec.get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            yield f"version {version.get('name')} has no schema: it gets one that takes any field, as before"
        elif kept and not structural({"type": "object", **_typed(schema)}):
            yield f"the schema of version {version.get('name')} is not structural: on green it takes any field, unchecked"
    if protected(str(spec.get("group", ""))) and APPROVED not in (obj["metadata"].get("annotations") or {}):
        yield f"annotation {APPROVED}: without one an API server refuses a definition of group {spec.get('group')}"


_CHILDREN = ("properties", "additionalProperties", "items")


def _typed(schema: Mapping[str, Any]) -> Object:
    """A copy in which a type that follows from what is said besides is said itself."""
    typed = dict(schema)
    if "type" not in typed and not typed.get("x-kubernetes-int-or-string"):
        if "properties" in typed or "additionalProperties" in typed:
            typed["type"] = "object"
        elif "items" in typed:
            typed["type"] = "array"
    if isinstance(typed.get("properties"), dict):
        typed["properties"] = {k: _typed(v) if isinstance(v, dict) else v for k, v in typed["properties"].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(typed.get(key), dict):
            typed[key] = _typed(typed[key])
    return typed


def _preserving(schema: Mapping[str, Any], *, root: bool = False) -> Object:
    """With the word at every object: naming any property of an object resumes pruning in it."""
    preserving = dict(schema)
    if preserving.get("type") == "object" and "additionalProperties" not in preserving:
        preserving[PRESERVE] = True
    if isinstance(preserving.get("properties"), dict):
        implied = ("apiVersion", "kind", "metadata") if root else ()
        preserving["properties"] = {k: v if k in implied else _preserving(v) for k, v in preserving["properties"].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(preserving.get(key), dict):
            preserving[key] = _preserving(preserving[key])
    return preserving


_VALUES = frozenset(
    (
        *("format", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "multipleOf", "enum", "pattern"),
        *("maxLength", "minLength", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required"),
    )
)
_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
_NODE = _VALUES | {
    *("type", "description", "title", "default", "nullable", "example", "externalDocs"),
    *_CHILDREN,
    *_JUNCTORS,
}


def structural(schema: Any, *, root: bool = True) -> bool:
    """Whether v1 takes this schema, by the rules of structural schemas; in doubt not."""
    if not isinstance(schema, dict) or any(key not in _NODE and not key.startswith("x-kubernetes-") for key in schema):
        return False
    either = bool(schema.get("x-kubernetes-int-or-string"))
    kind = schema.get("type")
    if root and kind != "object":
        return False
    if not kind and not (either or schema.get(PRESERVE)):
        return False
    if kind == "array" and "items" not in schema:
        return False
    if schema.get("uniqueItems") or ("properties" in schema and "additionalProperties" in schema):
        return False
    if root and not _name_rules_only((schema.get("properties") or {}).get("metadata")):
        return False
    if either and all(set(part) == {"type"} for part in schema.get("anyOf") or ()):
        schema = {k: v for k, v in schema.items() if k != "anyOf"}
    if not all(_values_only(part, schema) for part in _junctors(schema)):
        return False
    properties = schema.get("properties", {})
    inner = [*properties.values()] if isinstance(properties, dict) else [None]
    inner += [schema[key] for key in ("additionalProperties", "items") if key in schema]
    return all(structural(each, root=False) for each in inner)


def _name_rules_only(metadata: Any) -> bool:
    """The root's metadata may say what names are like, and nothing else."""
    if metadata is None:
        return True
    return (
        isinstance(metadata, dict)
        and not metadata.keys() - {"type", "properties", "description"}
        and not (metadata.get("properties") or {}).keys() - {"name", "generateName"}
    )


def _junctors(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(key) or ()
    if "not" in schema:
        yield schema["not"]


def _values_only(part: Any, outside: Any) -> bool:
    """Within allOf, anyOf, oneOf, not: only what a value must be, and only of fields that are named outside."""
    if not isinstance(part, dict) or part.keys() - (_VALUES | {"properties", "items", *_JUNCTORS}):
        return False
    properties = outside.get("properties") or {} if isinstance(outside, dict) else {}
    for name, inner in (part.get("properties") or {}).items():
        if name not in properties or not _values_only(inner, properties[name]):
            return False
    if "items" in part and not _values_only(part["items"], outside.get("items")):
        return False
    return all(_values_only(each, outside) for each in _junctors(part))
