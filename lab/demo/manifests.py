"""Manifests of Kubernetes objects: read from files, told apart, and applied to a cluster as their owners would."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.demo.faults import KUBECTL
from manifests import read as read_documents

Object = dict[str, Any]
SUFFIXES = (".yaml", ".yml", ".json")
WORDS: dict[type, str] = {dict: "mapping", list: "list", str: "text", int: "number", float: "number", bool: "boolean"}
MOST_TOLD, MOST_CHARACTERS = 20, 600


class WorkloadsError(Exception):
    """The manifests cannot be a story: says where, what is wrong and what helps."""


@dataclass(frozen=True)
class Source:
    """What files hold: objects, what is none (where, why) and what is worth a word."""

    objects: tuple[Object, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read(source: Path) -> Source:
    """All objects of a YAML or JSON file, or of every such file below a folder, Lists opened. Hidden folders are passed over.

    What is no object is told by file and document and left out: one bad file does not take the others with it. Of an object
    that is there twice the last one counts, as with `kubectl apply`.

    Raises:
        WorkloadsError: no such path, or no object in it; says what was found instead.
    """
    if not source.exists():
        raise WorkloadsError(f"WORKLOADS={source}: no such file or folder; name one with Kubernetes manifests in it")
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(source).parts)]
    left_out: list[tuple[str, str]] = []
    notes: list[str] = []
    objects: dict[tuple[str, ...], Object] = {}
    for file in files:
        for each in _read_file(file, left_out, notes):
            key = (each["apiVersion"].rpartition("/")[0], each["kind"], *key_of(each))
            if objects.pop(key, None) is not None:
                notes.append(f"{each['kind']} {full_name(each)} is there more than once: that of {file.name} counts")
            objects[key] = each
    if not objects:
        reasons = "".join(f"\n  {where}: {why}" for where, why in left_out[:MOST_TOLD])
        more = f"\n  and {len(left_out) - MOST_TOLD} more" if len(left_out) > MOST_TOLD else ""
        raise WorkloadsError(f"WORKLOADS={source}: no Kubernetes object in {len(files)} file(s){reasons}{more}")
    return Source(tuple(objects.values()), tuple(left_out), tuple(notes))


def _read_file(file: Path, left_out: list[tuple[str, str]], notes: list[str]) -> Iterator[Object]:
    try:
        text = file.read_bytes()
    except OSError as error:
        left_out.append((str(file), f"cannot be read: {error.strerror}"))
        return
    for document in read_documents(text):
        where = f"{file}, document {document.number}"
        notes.extend(f"{where}: {key} is given twice; the last one counts" for key in document.doubled)
        if document.problem:
            left_out.append((where, document.problem))
        elif document.value is not None and not _is_of_another_tool(file, document.value):
            yield from _open_list(document.value, where, left_out)


def _is_of_another_tool(file: Path, value: Any) -> bool:
    """What lies beside manifests and is none: of kustomize, of Helm, of npm and the like."""
    if not isinstance(value, dict) or "kind" not in value or "apiVersion" not in value:
        return file.stem in ("kustomization", "Chart", "values") or file.suffix.lower() == ".json"
    return str(value["apiVersion"]).startswith("kustomize.config.k8s.io/")


def _open_list(document: Any, where: str, left_out: list[tuple[str, str]]) -> Iterator[Object]:
    if isinstance(document, dict) and str(document.get("kind")).endswith("List") and isinstance(document.get("items"), list):
        for number, item in enumerate(document["items"], 1):
            yield from _open_list(item, f"{where}, item {number}", left_out)
    elif why := _why_no_object(document):
        left_out.append((where, why))
    else:
        yield document


def _why_no_object(document: Any) -> str | None:
    """What keeps the API server from taking this for an object at all."""
    if not isinstance(document, dict):
        return f"a {WORDS.get(type(document), type(document).__name__)}, not a Kubernetes object"
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str) or not document[key]:
            return (
                "no kind or apiVersion; it is not a Kubernetes object" if key not in document else _no_text(key, document[key])
            )
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        return f"{document['kind']}: no metadata.name; give it one"
    for key in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(key, ""), str | None):
            return f"{document['kind']}: {_no_text(f'metadata.{key}', metadata[key])}"
    for key in ("spec", "data"):
        if not isinstance(document.get(key), dict | None):
            return f"{document['kind']} {name_of(document)}: {key} is a {WORDS.get(type(document[key]), 'text')}, not a mapping"
    return None


def _no_text(key: str, value: Any) -> str:
    shown = json.dumps(value) if isinstance(value, str | bool | int | float | None) else f"a {WORDS[type(value)]}"
    return f"{key} is {shown}, not a text: put it in quotes"


def name_of(each: Object) -> str:
    return str(each["metadata"].get("name") or each["metadata"].get("generateName", "?"))


def namespace_of(each: Object) -> str:
    return str(each["metadata"].get("namespace") or "default")


def key_of(each: Object) -> tuple[str, str]:
    return namespace_of(each), name_of(each)


def full_name(each: Object) -> str:
    return f"{namespace_of(each)}/{name_of(each)}"


def is_a(each: Object, kind: str, group: str) -> bool:
    within, slash, _ = str(each["apiVersion"]).partition("/")
    return each["kind"] == kind and (within if slash else "") == group


def bring_up(kubeconfig: Path, objects: Iterable[Object]) -> list[tuple[str, str]]:
    """Applies objects as their owners would, with kubectl; returns what the API server refused, in its words."""
    objects = list(objects)
    definitions = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    first = [each for each in objects if each["kind"] == "Namespace"] + definitions
    refused = _apply(kubeconfig, first)
    names = [f"crd/{name_of(each)}" for each in definitions if all(what != _display_name(each) for what, _ in refused)]
    if names:
        _kubectl(kubeconfig, ["wait", "--for=condition=Established", "--timeout=60s", *names], "")
    known = {id(each) for each in first}
    return refused + _apply(kubeconfig, [each for each in objects if id(each) not in known])


def take_away(kubeconfig: Path, objects: Iterable[Object]) -> None:
    """Deletes objects that need not be there."""
    text = "\n---\n".join(json.dumps(each) for each in objects)
    if text:
        _kubectl(kubeconfig, ["delete", "--ignore-not-found", "--wait=false", "-f", "-"], text)


def _apply(kubeconfig: Path, objects: list[Object]) -> list[tuple[str, str]]:
    """All at once; what did not arrive again by itself, when what it needs may be there, for the API server's own words."""
    if not objects:
        return []
    arrived, _ = _applied(kubeconfig, objects)
    given = Counter(map(_by_kubectl, objects))
    missing = [each for each in objects if arrived[_by_kubectl(each)] < given[_by_kubectl(each)]]
    refused = []
    for number, each in enumerate(missing):
        if number >= MOST_TOLD:
            refused.append((_display_name(each), f"not applied, as the {MOST_TOLD} before it"))
            continue
        done, said = _applied(kubeconfig, [each])
        if not done and not _created(kubeconfig, each):
            refused.append((_display_name(each), why_refused(said)))
    return refused


def _created(kubeconfig: Path, each: Object) -> bool:
    """Server-side apply takes neither a list with an entry twice nor a generated name; the API server does take both."""
    return _kubectl(kubeconfig, ["create", "-f", "-"], json.dumps(each)).returncode == 0


def _applied(kubeconfig: Path, objects: list[Object]) -> tuple[Counter[str], str]:
    """How often kubectl told of each name that it was applied (its namespace it does not tell), and what else it said."""
    arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    done = _kubectl(kubeconfig, arguments, "\n---\n".join(json.dumps(each) for each in objects))
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return Counter(name for name, _, what in lines if what == "serverside-applied"), done.stderr


def _by_kubectl(each: Object) -> str:
    group = each["apiVersion"].rpartition("/")[0]
    return f"{each['kind'].lower()}{f'.{group}' if group else ''}/{name_of(each)}"


def _display_name(each: Object) -> str:
    return f"{each['kind']} {full_name(each) if each['metadata'].get('namespace') else name_of(each)}"


def why_refused(text: str) -> str:
    """kubectl's lines as one, without what is no reason."""
    if unknown := re.search(r'no matches for kind "([^"]*)" in version "([^"]*)"', text):
        return f"no API {unknown[2]} {unknown[1]} here: add the CustomResourceDefinition that brings it"
    lines = [line.strip() for line in text.splitlines()]
    reasons = [line for line in lines if line and not line.startswith("Warning:")]
    return " ".join(reasons)[:MOST_CHARACTERS] or "kubectl gave no reason"


def _kubectl(kubeconfig: Path, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
