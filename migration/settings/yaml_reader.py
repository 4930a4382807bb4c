"""Reads YAML that people write, and refuses what is wrong by file, line, key, value, what is allowed and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import routing
from migration import disk
from migration.errors import ConfigError
from migration.settings import keys
from migration.settings.keys import span

SERVICE, HOST = re.compile(routing.SERVICE_PATTERN), re.compile(keys.HOST)
KEYS_SHOWN = 8  # longer lists of what is allowed are cut to the nearest
NEAREST = 3
# of a file that people write; what is beyond is a mistake, or made to exhaust whoever reads it
MOST_BYTES = 16 * 2**20
MOST_VALUES = 200_000  # aliases count as often as they are used
MOST_DEEP = 50


class Reader:
    """Walks the document; knows the file and the line of every key, to name them. `page`: where all keys are described."""

    def __init__(self, path: Path, lines: Mapping[str, int], page: str = "docs/reference/configuration.md") -> None:
        self.path = path
        self.lines = lines
        self.page = page

    def wrong(self, key: str, problem: str, allowed: str = "", remedy: str | None = None) -> ConfigError:
        """The complaint about a key, with the line where it (or what it stands in) begins."""
        line = next((self.lines[each] for each in _upwards(key) if each in self.lines), None)
        where = f"{self.path}:{line}" if line else str(self.path)
        message = f"{where}: {key}: {problem}" + (f"; allowed: {allowed}" if allowed else "")
        return ConfigError(message, remedy=remedy or f"edit {self.path} and run the same command again")

    def mapping(self, value: Any, key: str, allowed: Iterable[str] | None, required: Iterable[str] = ()) -> dict[str, Any]:
        """A mapping as a dict. `allowed`: its keys; None: any. Raises ConfigError, as all below."""
        known = None if allowed is None else list(allowed)
        if not isinstance(value, Mapping):
            of = f" with keys {self._some(known, '')}" if known else ""
            raise self.wrong(key or "the file", f"must be a mapping{of}, got {shown(value)}")
        for name in value:
            if not isinstance(name, str):
                raise self.wrong(_under(key, str(name)), f"a key must be a string, got {shown(name)}: put it in quotes")
            if known is not None and name not in known:
                problem = f"unknown key{did_you_mean(name, known)}"
                raise self.wrong(_under(key, name), problem, self._some(known, name))
        for name in required:
            if value.get(name) in (None, ""):
                raise self.wrong(key or name, f"{name} is missing" if key else "is missing", f"a value for {name}")
        return dict(value)

    def _some(self, known: list[str], name: str) -> str:
        return some_of(known, name, f"all {len(known)} are in {self.page}")

    def text(self, value: Any, key: str) -> str:
        """A string that is not empty and has no control characters."""
        if not isinstance(value, str):
            raise self.wrong(key, f"must be a string, got {shown(value)}{_quotes(value)}")
        if not value:
            raise self.wrong(key, "must be a string, got an empty one")
        if any(ord(each) < 32 or ord(each) == 127 for each in value):
            raise self.wrong(key, f"must be a string without control characters, got {shown(value)}")
        return value

    def host(self, value: Any, key: str) -> str:
        """A host name or an address, maybe with a port."""
        text = self.text(value, key)
        if not HOST.fullmatch(text):
            raise self.wrong(key, f"must be a host name or an address, without http:// and path, got {shown(text)}")
        return text

    def number(self, value: Any, key: str, low: float, high: float, unit: str = "", *, whole: bool = False) -> float:
        """From `low` to `high`, both allowed. 5.0 is a whole number, too: that is how some programs write 5."""
        good = isinstance(value, int) or (isinstance(value, float) and (not whole or value.is_integer()))
        if isinstance(value, bool) or not good or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise self.wrong(key, f"must be {kind} {span(low, high, unit)}, got {shown(value)}")
        return float(value)

    def whole(self, value: Any, key: str, low: int, high: int, unit: str = "") -> int:
        """As `number`, a whole one."""
        return int(self.number(value, key, low, high, unit, whole=True))

    def choice(self, value: Any, key: str, allowed: Iterable[str]) -> str:
        """One of the words that are allowed."""
        known = list(allowed)
        if not isinstance(value, str) or value not in known:
            close = did_you_mean(value, known) if isinstance(value, str) else ""
            raise self.wrong(key, f"must be {' | '.join(known)}, got {shown(value)}{close}")
        return value

    def boolean(self, value: Any, key: str) -> bool:
        """`true` or `false`."""
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, got {shown(value)}")
        return value

    def sequence(self, value: Any, key: str, allowed: str = "a list") -> list[Any]:
        """A list. `allowed`: what it is of, for messages."""
        if not isinstance(value, list):
            raise self.wrong(key, f"must be {allowed}, got {shown(value)}")
        return value

    def service(self, value: Any, key: str) -> str:
        """`namespace/name` of a route."""
        if not isinstance(value, str) or not SERVICE.fullmatch(value):
            raise self.wrong(key, f"must be namespace/name of {routing.called(article=True)}, got {shown(value)}")
        return value


def given(fields: Mapping[str, Any], name: str, default: Any) -> Any:
    """Nothing after a key is as good as no key; false, 0 and an empty string are not."""
    value = fields.get(name)
    return default if value is None else value


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(_nearest(name, known, 1, 0.7)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known name is like it."""
    close = meant(name, known)
    return f" (did you mean {close}?)" if close else ""


def some_of(known: Iterable[str], name: str, rest: str) -> str:
    """What is allowed, in one line: all of it where that is short, else those nearest to `name`, and where the `rest` is."""
    names = list(known)
    if len(names) <= KEYS_SHOWN:
        return ", ".join(names)
    return f"{', '.join(_nearest(name, names, NEAREST, 0.0) if name else names[:NEAREST])}, ...: {rest}"


def _nearest(name: str, known: Iterable[str], most: int, cutoff: float) -> list[str]:
    import difflib  # late: only a mistake needs it

    return difflib.get_close_matches(name, list(known), most, cutoff)


def _under(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _upwards(key: str) -> Iterator[str]:
    """The key, then what it stands in: `groups[0][1]`, `groups[0]`, `groups`."""
    while key:
        yield key
        cut = max(key.rfind("."), key.rfind("[") if key.endswith("]") else -1)
        key = key[: max(cut, 0)]


def shown(value: Any) -> str:
    """A value as it stands in YAML, cut to 80 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple, set)) and len(value) > KEYS_SHOWN:
        return f"{len(value)} values"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 77 digits"  # one of more than 4300 has no decimal form in Python
    text = str(value) if hasattr(value, "isoformat") else repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def _quotes(value: Any) -> str:
    """What YAML took for something else though it was meant to be a string."""
    return "" if value is None or isinstance(value, (Mapping, list)) else ": put it in quotes if it is meant"


def read_yaml(path: Path, what: str, *, remedy: str | None = None) -> tuple[Any, dict[str, int]]:
    """The document as plain values, and the line of every key by its dotted path. Duplicate keys are an error.

    `remedy`: what to do where there is no such file.

    Raises:
        ConfigError: there is no such file, it is no YAML, or holds what no file of people holds (see MOST_*).
        StoreError: it is there and cannot be read.
    """
    import yaml

    text = _text(path, what, remedy or f"check the path of {what}")
    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        lines = _lines(path, node)
        if node is None:
            return None, lines
        return _constructed(path, loader, node), lines
    except yaml.YAMLError as problem:
        raise _broken(path, text, problem) from problem
    except RecursionError as problem:
        raise _too_deep(path) from problem


def _text(path: Path, what: str, remedy: str) -> str:
    unread = "cannot be read" if path.name == what else f"{what} cannot be read"  # its name is told once
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as problem:
        message = f"{path}: {unread}: {problem.strerror or problem}{_link(path)}"
        raise ConfigError(message, remedy=remedy) from problem
    except OSError as problem:
        raise disk.trouble(path, unread, problem) from problem
    except ValueError as problem:  # a NUL byte in its name
        raise ConfigError(f"{str(path)!r}: {unread}: {problem}", remedy=remedy) from problem
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES // 2**20} MiB", remedy=remedy)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw[: problem.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}:{line}: is not UTF-8 text: byte 0x{raw[problem.start]:02x}", remedy=f"save {path} as UTF-8"
        ) from problem


def _link(path: Path) -> str:
    try:
        return f" (a link to {path.readlink()})"
    except OSError:  # it is none
        return ""


@cache
def _loader() -> Any:
    """PyYAML's safe one, for which 1e-6 is a number, too, as it is for every other reader of YAML today."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # a base that is known at run time only
        pass

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))
    return Loader


def _lines(path: Path, root: Any) -> dict[str, int]:
    import yaml

    lines: dict[str, int] = {}
    values = 0

    def walk(node: yaml.Node | None, key: str, depth: int) -> None:
        nonlocal values
        values += 1
        line = node.start_mark.line + 1 if node is not None else 1
        if values > MOST_VALUES:
            raise ConfigError(
                f"{path}:{line}: {key}: more than {MOST_VALUES} values, with aliases (*) as often as they are used",
                remedy=f"write out in {path} what is meant, without aliases of aliases",
            )
        if depth > MOST_DEEP:
            raise _too_deep(path, line)
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    line = name.start_mark.line + 1
                    raise ConfigError(f"{path}:{line}: a key must be a string", remedy=f"edit {path}")
                inner = _under(key, str(name.value))
                if inner in lines:
                    first, again = lines[inner], name.start_mark.line + 1
                    raise ConfigError(
                        f"{path}:{again}: {inner}: given twice, first in line {first}",
                        remedy=f"keep one of them in {path}",
                    )
                lines[inner] = name.start_mark.line + 1
                walk(value, inner, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[f"{key}[{index}]"] = value.start_mark.line + 1
                walk(value, f"{key}[{index}]", depth + 1)

    walk(root, "", 0)
    return lines


# what PyYAML lets through where a scalar is not what its tag or its look says: 2024-13-45, !!bool maybe, !!int ""
UNREADABLE = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)


def _constructed(path: Path, loader: Any, node: Any) -> Any:
    try:
        return loader.construct_document(node)
    except UNREADABLE as problem:
        afresh = _loader()("")  # the other one is in the middle of what it could not read
        guilty = next((each for each in _scalars(node) if not _can_be_read(afresh, each)), node)
        raise ConfigError(
            f"{path}:{guilty.start_mark.line + 1}: {shown(guilty.value)} cannot be read as {guilty.tag.rpartition(':')[2]}",
            remedy=f"correct it in {path}, or put it in quotes if it is meant to be a string",
        ) from problem


def _can_be_read(loader: Any, scalar: Any) -> bool:
    try:
        loader.construct_object(scalar)
    except UNREADABLE:
        return False
    return True


def _scalars(node: Any) -> Iterator[Any]:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for each in pair:
                yield from _scalars(each)
    else:
        for each in node.value:
            yield from _scalars(each)


def _too_deep(path: Path, line: int | None = None) -> ConfigError:
    where = f"{path}:{line}" if line else str(path)
    return ConfigError(f"{where}: nested deeper than {MOST_DEEP} levels", remedy=f"edit {path}: is an alias inside of itself?")


def _broken(path: Path, text: str, problem: Any) -> ConfigError:
    from yaml.reader import Reader as Characters

    where, fault = str(path), getattr(problem, "problem", None) or str(problem)
    if (mark := getattr(problem, "problem_mark", None)) is not None:
        where = f"{path}:{mark.line + 1}:{mark.column + 1}"
        if text.splitlines()[mark.line : mark.line + 1] and text.splitlines()[mark.line][mark.column :].startswith("\t"):
            fault = "a tab; YAML is indented with spaces"
    elif bad := Characters.NON_PRINTABLE.search(text):
        where = f"{path}:{text.count(chr(10), 0, bad.start()) + 1}"
        fault = f"a control character, {bad[0]!r}"
    return ConfigError(f"{where}: broken YAML: {fault}", remedy=f"fix {path} there and run the same command again")
