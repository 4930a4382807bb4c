"""What acts on something outside its cluster, by the cluster's name, an owner id or a role: two of them fight."""

from __future__ import annotations

from migration.kinds import Object, Resource
from migration.replicate.classes import Sign
from migration.replicate.known import Known


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    return None
