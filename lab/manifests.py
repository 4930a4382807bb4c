"""Manifests of Kubernetes objects: read from files, told apart, and applied to a cluster as their owners would."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.faults import KUBECTL

Object = dict[str, Any]


class WorkloadsError(Exception):
    """The manifests cannot be read: says which file, where, and what is wrong."""


def read(source: Path) -> list[Object]:
    """All objects of a YAML or JSON file, or of every such file below a folder, Lists opened.

    Raises:
        WorkloadsError: no such path, no objects in it, broken YAML, or a document that is no Kubernetes object.
    """
    if not source.exists():
        raise WorkloadsError(f"WORKLOADS={source}: no such file or folder; name one with Kubernetes manifests in it")
    files = sorted(p for p in source.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if source.is_dir() else [source]
    objects = [each for file in files for each in _read_file(file)]
    if not objects:
        raise WorkloadsError(f"WORKLOADS={source}: no Kubernetes object in {len(files)} file(s)")
    return objects


def _read_file(file: Path) -> Iterator[Object]:
    try:
        documents = list(yaml.load_all(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkloadsError(f"{file}: not YAML: {error}") from error
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise WorkloadsError(f"{file}, document {number}: a {type(document).__name__}, not a Kubernetes object")
        if "kind" not in document or "apiVersion" not in document:
            if file.name in ("kustomization.yaml", "kustomization.yml", "values.yaml") or file.suffix == ".json":
                continue
            raise WorkloadsError(f"{file}, document {number}: no kind or apiVersion; it is not a Kubernetes object")
        if document["kind"] == "Kustomization":
            continue
        yield from _open_list(document)


def _open_list(document: Object) -> Iterator[Object]:
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _open_list(item)
    else:
        yield document


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
    first = [each for each in objects if each["kind"] in ("Namespace", "CustomResourceDefinition")]
    rest = [each for each in objects if each not in first]
    refused = _apply(kubeconfig, first)
    names = [f"crd/{name_of(each)}" for each in first if each["kind"] == "CustomResourceDefinition"]
    if names:
        _kubectl(kubeconfig, ["wait", "--for=condition=Established", "--timeout=60s", *names], "")
    return refused + _apply(kubeconfig, rest)


def _apply(kubeconfig: Path, objects: list[Object]) -> list[tuple[str, str]]:
    if not objects:
        return []
    arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    done = _kubectl(kubeconfig, arguments, "\n---\n".join(json.dumps(each) for each in objects))
    return told_by_kubectl(done.stderr) if done.returncode else []


def told_by_kubectl(text: str) -> list[tuple[str, str]]:
    """What was refused and why, from kubectl's lines."""
    refused = []
    for line in text.splitlines():
        unknown = re.search(r'for name: "([^"]*)".*no matches for kind "([^"]*)" in version "([^"]*)"', line)
        if unknown:
            name, kind, version = unknown.groups()
            refused.append((f"{kind} {name}", f"no API {version} here"))
        elif line and not line.startswith("Warning:") and line != "ensure CRDs are installed first":
            refused.append(("kubectl apply", line))
    return refused


def _kubectl(kubeconfig: Path, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
