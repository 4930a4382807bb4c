"""What a key of migration.yaml may hold, said once, beside the field that holds it.

The reader refuses by it (reading.py), the schema for editors is made of it (schema.py), and docs/reference/configuration.md is
compared with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

from routing import SERVICE_PATTERN

HOST = "^[!-.0-~]+$"  # a name or an address, maybe with a port: printable ASCII without /
SERVICE_SHAPE = {"type": "string", "pattern": SERVICE_PATTERN}


@dataclass(frozen=True)
class Key:
    """`low` and `high` are both allowed; of a list they count for each item. `unit` follows a number: `seconds`.

    `name`: as it is written in the file, where the field is called otherwise. `shape`: JSON schema of what the type does
    not say, such as a pattern or how many items there are.
    """

    doc: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    name: str = ""
    shape: Mapping[str, Any] = field(default_factory=dict)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value that are allowed; infinite where there is no limit."""
        return (-float("inf") if self.low is None else self.low), (float("inf") if self.high is None else self.high)


def key(
    default: Any = MISSING,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    doc: str = "",
    *,
    name: str = "",
    factory: Callable[[], Any] | None = None,
    **shape: Any,
) -> Any:
    """A dataclass field that is a key of the file. `default`: none means required; `factory` makes one that can change."""
    metadata = {"key": Key(doc, low, high, unit, name, shape)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def keys_of(cls: Any) -> dict[str, Key]:
    """By the field's name."""
    return {each.name: each.metadata["key"] for each in dataclasses.fields(cls) if "key" in each.metadata}


def figure(value: float) -> str:
    """A number as people write it: 3600000, 0.01, 1e-15."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def span(low: float, high: float, unit: str = "") -> str:
    """`from 1 to 60 seconds`"""
    limits = " ".join(
        each for each in (f"from {figure(low)}" if low > -1e300 else "", f"to {figure(high)}" if high < 1e300 else "") if each
    )
    return f"{limits} {unit}".strip()
