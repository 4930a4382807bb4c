"""Gives moto's Route 53 the rules of record_sets.py, and changes that are PENDING before they are INSYNC.

DNS answers from what is INSYNC alone (`in_sync`), as AWS's name servers do.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.route53 import models, responses
from moto.route53.exceptions import Route53ClientError

from lab.aws import record_sets

PENDING_SECONDS = 0.5

_pending = PENDING_SECONDS
_lock = threading.Lock()
_numbers = itertools.count(1)
_in_sync_at: dict[str, float] = {}
_history: dict[str, list[tuple[float, list[record_sets.RecordSet]]]] = {}


def install(pending: float = PENDING_SECONDS) -> None:
    """Puts the rules into moto; once per process."""
    global _pending
    _pending = pending
    models.Route53Backend.change_resource_record_sets = _change
    responses.Route53.change_resource_record_sets = _answer_change
    responses.Route53.get_change = _answer_get_change


def in_sync(zone_id: str) -> list[record_sets.RecordSet]:
    """The record sets that name servers serve now."""
    now = time.monotonic()
    with _lock:
        kept = _history.get(zone_id, [])
        while len(kept) > 1 and kept[1][0] <= now:
            kept.pop(0)
        return kept[0][1] if kept and kept[0][0] <= now else []


def zones() -> dict[str, list[record_sets.RecordSet]]:
    """What DNS serves: every zone by name; where a private zone has the name of a public one, the public one."""
    served: dict[str, list[record_sets.RecordSet]] = {}
    for account in list(models.route53_backends.values()):
        for backend in list(account.values()):
            for zone in sorted(backend.zones.values(), key=lambda each: not each.private_zone):
                served[zone.name.lower()] = in_sync(zone.id)
    return served


def _change(self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    zone = self.get_hosted_zone(zoneid)
    with _lock:
        now = [record_sets.normal(_plain(each)) for each in zone.rrsets if each.type not in ("NS", "SOA")]
        try:
            after = record_sets.changed(now, change_list, zone.name)
        except record_sets.Refused as refused:
            raise Route53ClientError(refused.code, str(refused)) from refused
        own = [each for each in zone.rrsets if each.type in ("NS", "SOA")]
        zone.rrsets = own + [models.RecordSet(each) for each in after]
        at = time.monotonic() + _pending
        zone.latest_change = f"/change/C{next(_numbers):013d}"
        _in_sync_at[zone.latest_change] = at
        _history.setdefault(zone.id, []).append((at, after))


def _answer_change(self: Any) -> ActionResult:
    zone_id = self._get_param("HostedZoneId")
    self.backend.change_resource_record_sets(zone_id, self._get_param("ChangeBatch.Changes"))
    return _information(self.backend.get_hosted_zone(zone_id).latest_change)


def _answer_get_change(self: Any) -> ActionResult:
    return _information("/change/" + str(self._get_param("Id")).rsplit("/", 1)[-1])


def _information(change: str) -> ActionResult:
    status = "PENDING" if _in_sync_at.get(change, 0.0) > time.monotonic() else "INSYNC"
    return ActionResult({"ChangeInfo": {"Id": change, "Status": status, "SubmittedAt": utcnow()}})


def _plain(each: models.RecordSet) -> dict[str, Any]:
    return {
        "Name": each.name,
        "Type": each.type,
        "TTL": each.ttl,
        "ResourceRecords": each.records,
        "SetIdentifier": each.set_identifier,
        "Weight": each.weight,
        "Region": each.region,
        "HealthCheckId": each.health_check_id,
        "AliasTarget": each.alias_target,
        "Failover": each.failover,
        "GeoLocation": each.geo_location,
        "MultiValueAnswer": each.multi_value_answer,
    }
