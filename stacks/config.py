"""Reads a stack's configuration: typed, strict, with errors that name file, key, value, what is allowed and what to do.

Pulumi hands every value over as text: scalars as written, mappings and lists as JSON. A version such as "1.36" must
therefore be read as text and never as JSON, where it would be the number 1.36. Unknown keys are errors: a misspelt
`deletionProtection` must not quietly mean the default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi

T = TypeVar("T")
NAMESPACE = "bluegreen"
_REQUIRED: Any = object()


class ConfigError(pulumi.RunError):
    """The stack's file is not as it must be. Pulumi shows a RunError as its text alone, without a trace."""


@dataclass(frozen=True)
class Source:
    """One stack's values under `bluegreen:`, as text, and where they are written."""

    values: Mapping[str, str]
    file: str
    region: str = ""
    _keys_read: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def of_this_stack(cls) -> Source:
        """Of the stack that Pulumi runs the program for."""
        from pulumi.runtime.config import CONFIG, get_config_env

        given = {**get_config_env(), **CONFIG.get()}
        prefix = f"{NAMESPACE}:"
        values = {key.removeprefix(prefix): str(value) for key, value in given.items() if key.startswith(prefix)}
        return cls(values, f"stacks/Pulumi.{pulumi.get_stack()}.yaml", pulumi.Config("aws").get("region") or "")

    def error(self, key: str, value: object, allowed: str, remedy: str = "") -> ConfigError:
        """The error to raise for a value; `value` None: the key is not set."""
        shown = "is not set" if value is None else f"is {json.dumps(value, default=str)}"
        remedy = remedy or f"set it in {self.file}"
        return ConfigError(f"{self.file}: {NAMESPACE}:{key} {shown}; allowed: {allowed}. Remedy: {remedy}")

    def _raw(self, key: str, default: T, allowed: str) -> str | T:
        self._keys_read.add(key)
        if key in self.values:
            return self.values[key]
        if default is _REQUIRED:
            raise self.error(key, None, allowed)
        return default

    def text(self, key: str, default: Any = _REQUIRED, pattern: str = r"\S+", allowed: str = "text") -> str:
        """A text that `pattern` matches as a whole; the default is not matched."""
        raw = self._raw(key, default, allowed)
        if key in self.values and not re.fullmatch(pattern, str(raw)):
            raise self.error(key, raw, allowed)
        return str(raw)

    def choice(self, key: str, of: Mapping[str, T], default: Any = _REQUIRED) -> T:
        """What `of` has for the word that is given; the default is a word, too."""
        allowed = ", ".join(of)
        word = self._raw(key, default, allowed)
        if word not in of:
            raise self.error(key, word, allowed)
        return of[word]

    def whole(self, key: str, low: int, high: int, default: Any = _REQUIRED) -> int:
        """A whole number from `low` to `high`; the default is held against them, too."""
        allowed = f"a whole number from {low} to {high}"
        return check_whole(self, key, self._json(key, default, allowed), low, high)

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """True or false."""
        value = self._json(key, default, "true, false")
        if not isinstance(value, bool):
            raise self.error(key, value, "true, false")
        return value

    def mapping(self, key: str, default: Any = _REQUIRED, allowed: str = "a mapping") -> dict[str, Any]:
        """A mapping; its keys and values are checked by the caller."""
        value = self._json(key, default, allowed)
        if not isinstance(value, dict):
            raise self.error(key, value, allowed)
        return value

    def names(self, key: str, default: Any = _REQUIRED, allowed: str = "a list of names") -> tuple[str, ...]:
        """A list of texts, none of them empty."""
        value = self._json(key, default, allowed)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
            raise self.error(key, value, allowed)
        return tuple(value)

    def _json(self, key: str, default: Any, allowed: str) -> Any:
        raw = self._raw(key, default, allowed)
        if key not in self.values:
            return raw
        try:
            return json.loads(str(raw))
        except (ValueError, RecursionError):
            return raw  # a bare word: the caller's check refuses it, with what is allowed

    def finish(self, *more: str) -> None:
        """After all keys are read: what is left over is a mistake."""
        known = self._keys_read | {"kind", *more}
        for key in sorted(self.values):
            if key not in known:
                remedy = f"correct or remove it in {self.file}"
                raise self.error(key, json_or_text(self.values[key]), "one of the keys " + ", ".join(sorted(known)), remedy)


def json_or_text(raw: str) -> Any:
    """A value as JSON, for messages; the text itself where it is no JSON."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def check_whole(source: Source, key: str, value: Any, low: int, high: int) -> int:
    """`value` if it is a whole number from `low` to `high`.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise source.error(key, value, f"a whole number from {low} to {high}")
    return value


def check_keys(source: Source, key: str, value: Any, known: Collection[str], required: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping inside a value: only known keys, and all that are required."""
    if not isinstance(value, dict):
        raise source.error(key, value, "a mapping with " + ", ".join(known))
    for name in value:
        if name not in known:
            raise source.error(f"{key}.{name}", value[name], "one of the keys " + ", ".join(known))
    for name in required:
        if name not in value:
            raise source.error(f"{key}.{name}", None, "a value")
    return value


def check_text(source: Source, key: str, value: Any, pattern: str = r"\S+", allowed: str = "text") -> str:
    """`value` if it is a text that `pattern` matches as a whole.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise source.error(key, value, allowed)
    return value
