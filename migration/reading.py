"""Reads YAML that people write, and refuses what is wrong by file, line, key, value, what is allowed and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from migration import disk
from migration.errors import ConfigError

SERVICE = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")


class Reader:
    """Walks the document; knows the file and the line of every key, to name them."""

    def __init__(self, path: Path, lines: Mapping[str, int]) -> None:
        self.path = path
        self.lines = lines

    def wrong(self, key: str, problem: str, allowed: str = "", remedy: str | None = None) -> ConfigError:
        line = self.lines.get(key) or self.lines.get(key.rpartition(".")[0])
        where = f"{self.path}:{line}" if line else str(self.path)
        told = f"{where}: {key}: {problem}" + (f"; allowed: {allowed}" if allowed else "")
        return ConfigError(told, remedy=remedy or f"edit {self.path} and run the same command again")

    def mapping(self, value: Any, key: str, allowed: Iterable[str] | None, required: Iterable[str] = ()) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.wrong(
                key or "the file",
                f"is {shown(value)}",
                "a mapping" + (f" with {', '.join(allowed)}" if allowed else ""),
            )
        if allowed is not None:
            known = list(allowed)
            for name in value:
                if name not in known:
                    raise self.wrong(_under(key, str(name)), f"unknown key{did_you_mean(str(name), known)}", ", ".join(known))
        for name in required:
            if value.get(name) in (None, ""):
                raise self.wrong(key or name, f"{name} is missing" if key else "is missing", "a value", None)
        return {str(name): inner for name, inner in value.items()}

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"is {shown(value)}", "a text")
        return value

    def number(self, value: Any, key: str, low: float, high: float, *, whole: bool = False) -> float:
        kind = "a whole number" if whole else "a number"
        good = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not good or not low <= value <= high:
            raise self.wrong(
                key,
                f"is {shown(value)}",
                f"{kind} from {low:g} to {high:g}" if high < 1e12 else f"{kind} from {low:g}",
            )
        return float(value)

    def whole(self, value: Any, key: str, low: int, high: int) -> int:
        return int(self.number(value, key, low, high, whole=True))

    def choice(self, value: Any, key: str, allowed: Iterable[str]) -> str:
        known = list(allowed)
        if value not in known:
            raise self.wrong(key, f"is {shown(value)}{did_you_mean(str(value), known)}", " | ".join(known))
        return str(value)

    def boolean(self, value: Any, key: str) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(key, f"is {shown(value)}", "true | false")
        return value

    def sequence(self, value: Any, key: str, allowed: str = "a list") -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(key, f"is {shown(value)}", allowed)
        return value

    def service(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not SERVICE.match(value):
            raise self.wrong(key, f"is {shown(value)}", "namespace/name of a VirtualService")
        return value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known name is like it."""
    import difflib  # late: only a mistake needs it

    close = difflib.get_close_matches(name, list(known), 1, 0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _under(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else "a mapping"
    return text if len(text) < 80 else text[:77] + "..."


def read_yaml(path: Path, what: str) -> tuple[Any, dict[str, int]]:
    """The document as plain values, and the line of every key by its dotted path. Duplicate keys are an error.

    Raises:
        ConfigError: there is no such file, or what is in it is wrong.
        StoreError: it is there and cannot be read.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        remedy = f"write {path}, or name another with --config" if what == "migration.yaml" else f"check the path of {what}"
        raise ConfigError(f"{path}: {what} cannot be read: {problem.strerror}", remedy=remedy) from problem
    except OSError as problem:
        raise disk.trouble(path, f"{what} cannot be read", problem) from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path}: is not UTF-8 text", remedy=f"edit {path}") from problem
    lines: dict[str, int] = {}

    def walk(node: yaml.Node | None, key: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    line = name.start_mark.line + 1
                    raise ConfigError(f"{path}:{line}: a key must be a text", remedy=f"edit {path}")
                inner = _under(key, str(name.value))
                if inner in lines:
                    first, again = lines[inner], name.start_mark.line + 1
                    raise ConfigError(
                        f"{path}:{again}: {inner}: given twice, first in line {first}",
                        remedy=f"keep one of them in {path}",
                    )
                lines[inner] = name.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[f"{key}[{index}]"] = value.start_mark.line + 1
                walk(value, f"{key}[{index}]")

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        walk(node, "")
        return (loader.construct_document(node) if node is not None else None), lines
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        told = getattr(problem, "problem", None) or str(problem)
        raise ConfigError(
            f"{where}: broken YAML: {told}", remedy=f"mend {path} there and run the same command again"
        ) from problem
