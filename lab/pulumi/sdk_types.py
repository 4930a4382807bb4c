"""What an SDK says of its resource types: names of inputs and outputs, read from the package's source text.

Importing pulumi_aws costs most of a second and its modules more; the generated files are regular enough to be read
with a few patterns, one file per type that is used, and that keeps the plugins' start short.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lab.pulumi.values import join

_GETTER = re.compile(
    r"@pulumi\.getter(?:\(name=\"(?P<name>\w+)\"\))?\n    def (?P<python>\w+)\(self\) -> (?P<type>.+):\n", re.MULTILINE
)


@dataclass(frozen=True)
class Property:
    name: str
    annotation: str

    @property
    def required(self) -> bool:
        return "Optional[" not in self.annotation

    @property
    def nested(self) -> str | None:
        """The class of nested arguments, when this property holds one, a list or a map of them."""
        match = re.search(r"'(\w+Args)'", self.annotation)
        return match[1] if match else None


@dataclass(frozen=True)
class SdkType:
    token: str
    folder: Path
    inputs: dict[str, Property]
    outputs: dict[str, Property]

    def unknown_inputs(self, inputs: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """(property path, what is wrong) for each input that the SDK's class does not have, nested ones too."""
        yield from _unknown(self.folder, self.inputs, inputs, "", self.token)
        for name, known in self.inputs.items():
            if known.required and name not in inputs:
                yield name, f"missing required property {name!r} of {self.token}"


def _unknown(folder: Path, known: dict[str, Property], given: Any, path: str, owner: str) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        here = join(path, name)
        if name.startswith("__"):  # the engine's and the SDK's own
            continue
        if name not in known:
            yield here, f"unknown property {name!r} of {owner}; it has {', '.join(sorted(known))}"
            continue
        nested = known[name].nested
        if nested is None:
            continue
        inner = nested_inputs(folder, nested)
        if inner is None:
            continue
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, dict) and "Mapping[str" not in known[name].annotation:
                where = f"{here}[{index}]" if isinstance(value, list) else here
                yield from _unknown(folder, inner, item, where, nested.removesuffix("Args"))


def _class_body(text: str, declaration: str) -> str | None:
    start = text.find(f"\n{declaration}")
    if start < 0:
        return None
    end = re.compile(r"^(class |@pulumi\.|def )", re.MULTILINE).search(text, start + len(declaration) + 1)
    return text[start : end.start() if end else len(text)]


def _properties(body: str) -> dict[str, Property]:
    properties = (Property(match["name"] or match["python"], match["type"]) for match in _GETTER.finditer(body))
    return {known.name: known for known in properties}


@cache
def package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"the package {package} is not installed")
    return Path(spec.origin).parent


@cache
def package_version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


@cache
def find_type(package: str, token: str) -> SdkType | None:
    """The SDK's class of a token such as aws:ec2/vpc:Vpc, None when it has none."""
    _, module, name = token.split(":")
    folder = package_folder(package)
    if "/" in module:
        part = module.split("/")[0]
        folder = next((folder / option for option in (part.lower(), f"{part.lower()}_") if (folder / option).is_dir()), folder)
    for file in (folder / f"{_snake(name)}.py", *sorted(folder.glob("*.py"))):
        if not file.is_file() or (text := file.read_text(encoding="utf-8")).find(f"'{token}'") < 0:
            continue
        arguments = _class_body(text, f"class {name}Args:")
        resource = _class_body(text, f"class {name}(pulumi.CustomResource)")
        if arguments is not None and resource is not None:
            return SdkType(token, folder, _properties(arguments), _properties(resource))
    return None


@cache
def component_inputs(package: str, token: str) -> frozenset[str]:
    """Names of a component's inputs: its Args class, by the SDK's own rule of one file per class."""
    name = token.rsplit(":", 1)[-1]
    file = package_folder(package) / f"{_snake(name)}.py"
    body = _class_body(file.read_text(encoding="utf-8"), f"class {name}Args:")
    return frozenset(_properties(body)) if body else frozenset()


@cache
def _inputs_text(folder: Path) -> str:
    file = folder / "_inputs.py"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@cache
def nested_inputs(folder: Path, name: str) -> dict[str, Property] | None:
    body = _class_body(_inputs_text(folder), f"class {name}:")
    return None if body is None else _properties(body)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
