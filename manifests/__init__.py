"""Manifests as Kubernetes itself reads them: the one reader for command, program and lab, and a writer that it agrees with.

kubectl and the API server take YAML by rules of their own, between YAML 1.1 and 1.2, and a manifest that they take for one
thing must not be another thing here:

    true, yes, on, y (and no, off, n; also Yes, YES)   booleans; yES is a text
    0644, 0o644, 0x1a4, 0b110, 1_000                   whole numbers; 1e3 is one too; 1:30 is a text
    =, 2024-01-01, 1e400                               texts
    .inf, .nan                                         refused: JSON, in which objects are kept, has no such number
    keys                                               texts: 8080 is "8080", on is "true"
    numbers                                            int (64 bits) or float
    a key given twice                                  the last one counts, and `Document.doubled` names it
    documents                                          divided by lines that begin with ---, JSON where one begins with {

Nothing here knows what an object is; see lab/demo/manifests.py for that.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_VALUES = 1_000_000  # of one document; more come from aliases of aliases alone
INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)
TAG = "tag:yaml.org,2002:"
TEMPLATE = "; it looks like a template: render it first (`helm template`, `kubectl kustomize`)"
PLAIN = "plain"  # the tag that a scalar without quotes and without a tag of its own gets here
WORDS: dict[str, Any] = {
    **{word: True for each in ("true", "yes", "on", "y") for word in (each, each.capitalize(), each.upper())},
    **{word: False for each in ("false", "no", "off", "n") for word in (each, each.capitalize(), each.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{f"{sign}.{word}": math.inf for sign in ("", "+") for word in ("inf", "Inf", "INF")},
    **{f"-.{word}": -math.inf for word in ("inf", "Inf", "INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
WHOLE = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")
BLANK = re.compile(r"\s*")
SEPARATOR = re.compile(r"^---(.*)$", re.MULTILINE)


class ManifestError(ValueError):
    """A text is no manifest: the message says in which line and what is wrong."""


@dataclass(frozen=True)
class Document:
    """One document of a text. `number` counts from 1, empty ones too; `line` is its first; `value` is made of JSON's types.

    Where it cannot be read `problem` says why and in which line of the text, and `value` is None as that of an empty one.
    """

    number: int
    line: int
    value: Any = None
    problem: str = ""
    doubled: tuple[str, ...] = ()


def read(text: str | bytes) -> list[Document]:
    """Every document of a text, each read for itself: a broken one does not hide the next."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            return [Document(1, line, problem=f"line {line}: is not UTF-8 text")]
    documents: list[Document] = []
    for line, part, problem in _parts(text.removeprefix("\ufeff")):
        if problem:
            documents.append(Document(len(documents) + 1, line, problem=problem))
            continue
        for value, doubled, wrong in _values(part, line):
            documents.append(Document(len(documents) + 1, line, value, wrong, doubled))
    return documents


def read_all(text: str | bytes) -> list[Any]:
    """The values of a text that must be whole; empty documents are left out.

    Raises:
        ManifestError: for the first document that is broken.
    """
    documents = read(text)
    for each in documents:
        if each.problem:
            raise ManifestError(f"document {each.number}: {each.problem}")
    return [each.value for each in documents if each.value is not None]


def read_one(text: str | bytes) -> Any:
    """The one document of a text, for files that a person edits: a key given twice is an error, too.

    Raises:
        ManifestError: broken, none, more than one, or a doubled key.
    """
    documents = [each for each in read(text) if each.value is not None or each.problem]
    for each in documents:
        if each.problem:
            raise ManifestError(each.problem)
        if each.doubled:
            raise ManifestError(f"{each.doubled[0]} is given twice; keep one of them")
    if len(documents) != 1:
        raise ManifestError(f"{len(documents)} documents; allowed: one")
    return documents[0].value


def write(value: Any) -> str:
    """YAML that is read back as `value`, by `read`, by Kubernetes, and by readers of YAML 1.1 and 1.2."""
    import yaml

    return yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False)


def _parts(text: str) -> Iterator[tuple[int, str, str]]:
    """(first line, text, problem) of each document."""
    begin, line, problem = 0, 1, ""
    for mark in SEPARATOR.finditer(text):
        before = text[begin : mark.start()]
        if begin or problem or not _says_nothing(before):
            yield line, before, problem
        line += text.count("\n", begin, mark.start())
        begin = mark.end()
        rest = mark[1].strip()
        wrong = rest and not rest.startswith("#")
        problem = f"line {line}: {mark[0].strip()!r}: a document begins in the line after its ---" if wrong else ""
    yield line, text[begin:], problem


def _says_nothing(text: str) -> bool:
    """Blank lines, comments, directives and the mark of an end alone."""
    return all(not line or line[0] in "#%" or line == "..." for line in map(str.strip, text.splitlines()))


def _values(text: str, line: int) -> Iterator[tuple[Any, tuple[str, ...], str]]:
    """(value, doubled keys, problem): one for a document in YAML, one for each object of a text in JSON."""
    if _says_nothing(text):
        yield None, (), ""
        return
    if text.lstrip().startswith("{") and (objects := _json(text)) is not None:
        yield from objects
        return
    import yaml

    hint = TEMPLATE if "{{" in text else ""
    try:
        node = _composer()(text).get_single_node()
        doubled: list[str] = []
        yield _Values(line, doubled).of(node, ""), tuple(doubled), ""
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {line + mark.line}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        yield None, (), f"{where}not YAML: {reason}{hint}"
    except ManifestError as error:
        yield None, (), f"{error}{hint}"
    except ValueError as error:  # a number of thousands of digits
        yield None, (), f"line {line}: {str(error).partition(';')[0]}"
    except RecursionError:
        yield None, (), f"line {line}: nested too deep"


def _json(text: str) -> list[tuple[Any, tuple[str, ...], str]] | None:
    """The objects of a text in JSON, one after another; None where it is not JSON (YAML's flow style begins the same)."""
    doubled: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(items)
        if len(mapping) < len(items):
            names = [name for name, _ in items]
            doubled.extend(sorted({name for name in names if names.count(name) > 1}))
        return mapping

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_int=_whole_in_json, parse_constant=refuse)
    objects, at, end = [], 0, len(text.rstrip())
    try:
        while at < end:
            value, at = decoder.raw_decode(text, BLANK.match(text, at).end())  # type: ignore[union-attr]  # matches always
            objects.append((value, tuple(doubled), ""))
            doubled.clear()
    except (ValueError, RecursionError):
        return None
    return objects


def _whole_in_json(text: str) -> int | float:
    number = int(text)
    return number if number in INT64 else float(number)


class _Values:
    """Makes JSON's types of YAML's nodes; `doubled` takes in what is given twice."""

    def __init__(self, line: int, doubled: list[str]) -> None:
        self.line = line
        self.doubled = doubled
        self.count = 0
        self.within: set[int] = set()

    def of(self, node: Any, path: str) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise self.wrong(node, f"more than {MOST_VALUES:,} values by aliases of aliases")
        if id(node) in self.within:
            raise self.wrong(node, "an anchor that contains itself")
        if node.id == "scalar":
            return _in_json(self.scalar(node), lambda message: self.wrong(node, message))
        self.within.add(id(node))
        try:
            if node.id == "sequence":
                return [self.of(each, path) for each in node.value]
            return self.mapping(node, path)
        finally:
            self.within.discard(id(node))

    def mapping(self, node: Any, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        given: set[str] = set()
        for name, value in node.value:
            if name.id == "scalar" and name.value == "<<" and name.tag in (PLAIN, f"{TAG}merge"):
                result.update(self.merged(value, path))
                continue
            key = self.key(name)
            inner = f"{path}.{key}" if path else key
            if key in given:
                self.doubled.append(inner)
            given.add(key)
            result[key] = self.of(value, inner)
        return result

    def merged(self, node: Any, path: str) -> dict[str, Any]:
        """What `<<` brings: of several mappings the first that has a key."""
        result: dict[str, Any] = {}
        for each in reversed(node.value) if node.id == "sequence" else (node,):
            if each.id != "mapping":
                raise self.wrong(each, "<< takes a mapping or a list of them")
            result.update(self.of(each, path))
        return result

    def key(self, node: Any) -> str:
        value = self.scalar(node) if node.id == "scalar" else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None or (isinstance(value, int) and value not in INT64):
            raise self.wrong(node, f"a key must be a text, not {node.value if node.id == 'scalar' else f'a {node.id}'!r}")
        return f"{value:g}" if isinstance(value, float) else str(value)

    def scalar(self, node: Any) -> Any:
        tag, text = node.tag, node.value
        if tag == PLAIN:
            return _resolve(text)
        if tag == f"{TAG}binary":
            try:
                return base64.b64decode(text).decode(errors="replace")
            except binascii.Error as error:
                raise self.wrong(node, f"!!binary {text[:40]!r}: {error}") from error
        kinds = {"bool": bool, "int": int, "float": float, "null": type(None)}
        kind = kinds.get(tag.removeprefix(TAG)) if tag.startswith(TAG) else None
        if kind is None:
            return text  # !!str, dates, and tags of somebody's own
        value = _resolve(text)
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise self.wrong(node, f"{text[:40]!r} is no {tag.removeprefix(TAG)}")
        return value

    def wrong(self, node: Any, message: str) -> ManifestError:
        return ManifestError(f"line {self.line + node.start_mark.line}: {message}")


def _resolve(text: str) -> Any:
    """What a plain scalar means to Kubernetes."""
    if text in WORDS:
        return WORDS[text]
    if text[0] == ".":
        plain = BETWEEN_DIGITS.sub("", text)
        return _float(plain, text) if FLOAT.fullmatch(plain) else text
    if text[0] not in "+-0123456789":
        return text
    plain = text.replace("_", "")
    if whole := WHOLE.fullmatch(plain):
        sign, hexadecimal, binary, octal, decimal = whole.groups()
        digits, base = next((d, b) for d, b in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)) if d is not None)
        number = int(digits, base)
        if (not sign and number in UINT64) or (sign and (-number if sign == "-" else number) in INT64):
            return -number if sign == "-" else number
    return _float(plain, text) if FLOAT.fullmatch(plain) else text


def _float(plain: str, text: str) -> float | str:
    number = float(plain)
    return text if math.isinf(number) else number


def _in_json(value: Any, wrong: Callable[[str], ManifestError]) -> Any:
    """A scalar as JSON brings it back: whole numbers of 64 bits are int, all others float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return value if value in INT64 else float(value)
    if not math.isfinite(value):
        raise wrong(f"{value} is no number that an object can hold")
    whole = value.is_integer() and abs(value) < 1e21 and int(value) in INT64
    return int(value) if whole else value


@functools.cache
def _composer() -> Any:
    """PyYAML's parser, in C where it was built so, with resolving left to `_resolve`."""
    import yaml

    class Composer(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # a base that is known at run time only
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode:
                return PLAIN if implicit[0] else f"{TAG}str"
            return f"{TAG}{'seq' if kind is yaml.SequenceNode else 'map'}"

    return Composer


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # types-pyyaml has none for it
            if kind is not yaml.ScalarNode or not implicit[0] or tag != f"{TAG}str":
                return tag
            other = not isinstance(_resolve(value), str) or FLOAT.fullmatch(value.replace("_", ""))
            return PLAIN if other else tag  # a tag that no value has makes it quoted

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return Dumper
