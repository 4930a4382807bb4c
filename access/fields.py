"""Values of a document by their types. A wrong type is told by its place and never by its value, which may be a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from access.errors import BadKubeconfig

WORDS = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}


@dataclass(frozen=True)
class Fields:
    """A mapping of a kubeconfig. A key that is missing, null or empty is as one that was never written.

    Raises:
        BadKubeconfig: `error`, by each method that reads a value of another type.
    """

    values: Mapping[str, Any]
    where: str  # `users.plum`; empty for the whole document
    source: str
    error: type[BadKubeconfig] = BadKubeconfig

    def wrong(self, key: str, problem: str, remedy: str | None = None) -> BadKubeconfig:
        """The error to raise for a key of this mapping."""
        place = f"{self.where}.{key}" if self.where else key
        return self.error(f"{self.source}: {place} {problem}", remedy=remedy or f"correct {place} in {self.source}")

    def _of(self, key: str, kind: type, default: Any) -> Any:
        value = self.values.get(key)
        if value is None:
            return default
        if type(value) is not kind:
            raise self.wrong(key, f"is {word(value)}; allowed: {WORDS[kind]}")
        return value

    def text(self, key: str) -> str:
        """A text, empty unless given."""
        value: str = self._of(key, str, "")
        if any("\ud800" <= letter <= "\udfff" for letter in value):  # JSON can write halves of letters
            raise self.wrong(key, "has characters in it that are no text")
        return value

    def flag(self, key: str) -> bool:
        """True or false, false unless given."""
        value: bool = self._of(key, bool, False)
        return value

    def inner(self, key: str) -> Fields:
        """A mapping, empty unless given."""
        place = f"{self.where}.{key}" if self.where else key
        return replace(self, values=self._of(key, dict, {}), where=place)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty unless given."""
        values = self._of(key, list, [])
        for at, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{at}]", f"is {word(value)}; allowed: a text")
            replace(self, values={f"{key}[{at}]": value}).text(f"{key}[{at}]")
        return tuple(values)

    def items(self, key: str) -> list[Fields]:
        """Of a list of mappings."""
        values = self._of(key, list, [])
        place = f"{self.where}.{key}" if self.where else key
        for at, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.wrong(f"{key}[{at}]", f"is {word(value)}; allowed: a mapping")
        return [replace(self, values=value, where=f"{place}[{at}]") for at, value in enumerate(values)]


def word(value: Any) -> str:
    """What a value is, in words that a message may have: its type and nothing of the value."""
    return "null" if value is None else WORDS.get(type(value), "something else")
