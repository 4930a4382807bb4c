"""Reads `policy` of migration.yaml, the common one and each service's own, by the table that policy.Policy is."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

from migration.model import WHOLE_BP
from migration.settings.keys import keys_of
from migration.settings.policy import COMMON, Policy, impossible
from migration.settings.yaml_reader import Reader, shown

PAGE = "docs/reference/configuration.md#policy"


def read(reader: Reader, value: Any, key: str) -> dict[str, Any]:
    """The keys of `policy` that are given, each checked against its range. Raises ConfigError."""
    keys = keys_of(Policy)
    fields = Reader(reader.path, reader.lines, PAGE).mapping(value, key, keys)
    return {name: _policy_value(reader, inner, f"{key}.{name}", name) for name, inner in fields.items()}


def _policy_value(reader: Reader, value: Any, where: str, name: str) -> Any:
    hint, limits = get_type_hints(Policy)[name], keys_of(Policy)[name]
    kinds = get_args(hint)
    if get_origin(hint) is tuple:
        return _growing(reader, value, where, name)
    if kinds and isinstance(kinds[0], str):
        return reader.choice(value, where, kinds)
    if value is None and type(None) in kinds:
        return None
    number = reader.number(value, where, *limits.range, limits.unit, whole=hint is int)
    return int(number) if hint is int else number


def _growing(reader: Reader, value: Any, where: str, name: str) -> tuple[float, ...]:
    """`steps_bp` and `windows_seconds`."""
    limits, steps = keys_of(Policy)[name], name == "steps_bp"
    numbers = [
        reader.number(each, f"{where}[{index}]", *limits.range, limits.unit, whole=steps)
        for index, each in enumerate(reader.sequence(value, where, f"a list of {limits.unit}"))
    ]
    if not numbers or numbers != sorted(set(numbers)) or (steps and numbers[-1] != WHOLE_BP):
        such = ", such as [10, 100, 2500, 10000]" if steps else ": at least one, such as [1, 2, 5, 10]"
        last = f" and end with {WHOLE_BP}" if steps else ""
        raise reader.wrong(where, f"must be {limits.unit} that grow{last}{such}, got {shown(value)}")
    return tuple(int(each) if steps else each for each in numbers)


def read_own(reader: Reader, value: Any, key: str) -> dict[str, Any]:
    """As `read`, of one service: without what counts for all of them together. Raises ConfigError."""
    own = read(reader, value, key)
    for name in COMMON:
        if name in own:
            raise reader.wrong(
                f"{key}.{name}", "counts for all services together: it belongs under `policy:`", f"all but {', '.join(COMMON)}"
            )
    return own


def refuse_impossible(reader: Reader, policy: Policy, where: str, common: Policy, metrics: bool) -> None:
    """`where`: what was written last of this policy. What the common one says already is told there."""
    known = [] if policy is common else list(impossible(common, metrics=metrics))
    for name, why in impossible(policy, metrics=metrics):
        if (name, why) not in known:
            raise reader.wrong(f"{where}.{name}", why)
