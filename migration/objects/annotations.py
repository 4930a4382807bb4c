"""Annotations that replicate and capacity write, and read again later."""

from __future__ import annotations

from migration.objects.kinds import DOMAIN

ORIGINAL_REPLICAS = f"{DOMAIN}replicas"  # on what is kept stopped on green: how many blue has
ORIGINAL_SUSPEND = f"{DOMAIN}suspend"  # on what is suspended on green: what blue has there, as JSON
FLOOR_BEFORE = f"{DOMAIN}floor-before"  # written by capacity on what it raised: the value that was there, or "none"
