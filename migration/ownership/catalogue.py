"""Programs that act on what is outside their cluster, and how each is told, whatever registry its image comes from.

A row with a wrong reason can be disagreed with without reading code. Images, options and API groups are those of the
programs' own charts and manifests. Not in it, on purpose: what only reads from outside (Flux' source-controller, Argo CD's
repo-server, exporters, agents that report), and what acts inside its own cluster alone (kured, descheduler, node agents).
"""

from __future__ import annotations

from migration.ownership.catalogue_cloud import ACCOUNTS, RESOURCES, SURROUNDINGS
from migration.ownership.catalogue_delivery import BUILDS, DELIVERY
from migration.ownership.catalogue_row import Actuator
from migration.ownership.catalogue_secrets import JOINING, KEPT_OUTSIDE

# The first row that tells a program decides.
CATALOGUE: tuple[Actuator, ...] = (
    *SURROUNDINGS,
    *DELIVERY,
    *RESOURCES,
    *KEPT_OUTSIDE,
    *JOINING,
    *BUILDS,
    *ACCOUNTS,
)
