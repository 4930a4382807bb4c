"""Route 53's rules for a change batch, as a pure function over plain record sets; moto knows few of them.

Source: the Route 53 developer guide and API reference (ChangeResourceRecordSets, values for weighted records).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

RecordSet = dict[str, Any]
ROUTING = ("Weight", "Region", "Failover", "GeoLocation", "MultiValueAnswer")
MOST_WEIGHT = 255


class Refused(Exception):
    """`code` is AWS's error code, the text its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def changed(sets: Iterable[RecordSet], changes: Sequence[Mapping[str, Any]], zone: str) -> list[RecordSet]:
    """The record sets after the batch, or Refused: then none of it has happened.

    Args:
        sets: what is there now, as `normal` makes it.
        changes: Action and ResourceRecordSet each, in order.
        zone: the hosted zone's name.
    """
    now = {_key(each): each for each in sets}
    for change in changes:
        wanted = normal(change["ResourceRecordSet"])
        if not ("." + wanted["Name"]).endswith("." + _absolute(zone)):
            raise _batch(f"RRSet with DNS name {wanted['Name']} is not permitted in zone {_absolute(zone)}")
        _check(wanted)
        action, key = change["Action"], _key(wanted)
        if action == "DELETE":
            if key not in now:
                raise _batch(f"Tried to delete resource record set {_words(wanted)} but it was not found")
            if now[key] != wanted:
                raise _batch(
                    f"Tried to delete resource record set {_words(wanted)} but the values provided do not match the "
                    "current values"
                )
            del now[key]
            continue
        if action == "CREATE" and key in now:
            raise _batch(f"Tried to create resource record set {_words(wanted)} but it already exists")
        for other in now.values():
            if other["Name"] == wanted["Name"] and _key(other) != key:
                _side_by_side(wanted, other)
        now[key] = wanted
    return list(now.values())


def normal(given: Mapping[str, Any]) -> RecordSet:
    """The record set with an absolute lower-case name, whole numbers, and plain values."""
    record_set: RecordSet = {key: value for key, value in given.items() if value not in (None, [], {})}
    record_set["Name"] = _absolute(str(given["Name"]).replace("\\052", "*"))
    for key in ("TTL", "Weight"):
        if key in record_set:
            record_set[key] = int(record_set[key])
    if "ResourceRecords" in record_set:
        values = (each["Value"] if isinstance(each, Mapping) else each for each in record_set["ResourceRecords"])
        record_set["ResourceRecords"] = sorted(str(value) for value in values)
    if "AliasTarget" in record_set:
        target = dict(record_set["AliasTarget"])
        target["DNSName"] = _absolute(target["DNSName"])
        target["EvaluateTargetHealth"] = str(target.get("EvaluateTargetHealth", "false")).lower() == "true"
        record_set["AliasTarget"] = target
    return record_set


def _check(wanted: RecordSet) -> None:
    routing = [key for key in ROUTING if key in wanted]
    if routing and not wanted.get("SetIdentifier"):
        raise Refused("InvalidInput", f"Invalid request: Missing field 'SetIdentifier' in Change with {_words(wanted)}")
    if wanted.get("SetIdentifier") and not routing:
        raise Refused("InvalidInput", f"Invalid request: SetIdentifier without a routing policy in {_words(wanted)}")
    if not 0 <= wanted.get("Weight", 0) <= MOST_WEIGHT:
        raise Refused(
            "InvalidInput",
            f"Invalid XML ; cvc-maxInclusive-valid: Value '{wanted['Weight']}' is not facet-valid with respect to "
            f"maxInclusive '{MOST_WEIGHT}' for type 'ResourceRecordSetWeight'",
        )
    plain = "TTL" in wanted and "ResourceRecords" in wanted
    if plain == ("AliasTarget" in wanted) or ("AliasTarget" in wanted and "TTL" in wanted):
        raise Refused(
            "InvalidInput",
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId] in Change with {_words(wanted)}",
        )


def _side_by_side(wanted: RecordSet, other: RecordSet) -> None:
    """What may not stand beside `other`, a record set of the same name."""
    if "CNAME" in (wanted["Type"], other["Type"]) and wanted["Type"] != other["Type"]:
        raise _batch(
            f"RRSet of type {wanted['Type']} with DNS name {wanted['Name']} is not permitted because a conflicting "
            f"RRSet of type {other['Type']} with the same DNS name already exists"
        )
    if wanted["Type"] != other["Type"]:
        return
    ours, theirs = ([key for key in ROUTING if key in each] for each in (wanted, other))
    if ours != theirs:
        raise _batch(
            f"RRSet with DNS name {wanted['Name']}, type {wanted['Type']}, SetIdentifier "
            f"{wanted.get('SetIdentifier', 'none')} cannot be created as other RRSets exist with the same name and type"
            + (" (a simple one)" if not theirs else f" ({theirs[0].lower()})")
        )


def _batch(message: str) -> Refused:
    return Refused("InvalidChangeBatch", f"[{message}]")


def _key(each: Mapping[str, Any]) -> tuple[str, str, str]:
    return each["Name"], each["Type"], each.get("SetIdentifier") or ""


def _absolute(name: str) -> str:
    return name.lower().rstrip(".") + "."


def _words(each: Mapping[str, Any]) -> str:
    identifier = f", set-identifier='{each['SetIdentifier']}'" if each.get("SetIdentifier") else ""
    return f"[name='{each['Name']}', type='{each['Type']}'{identifier}]"
