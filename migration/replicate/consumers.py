"""TODO"""

from __future__ import annotations

from migration.kinds import Object, Resource
from migration.replicate.classes import Sign
from migration.replicate.known import Known


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    return None
