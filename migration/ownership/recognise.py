"""Finds out which program of the catalogue a workload runs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migration.ownership.catalogue import CATALOGUE
from migration.ownership.catalogue_row import Actuator
from migration.ownership.known import Known
from migration.ownership.programs import Container, Running, variables

# What builds of one image are told apart by, at the end of its name
_BUILD = r"(?:[._-](?:amd64|arm64|x86_64|linux|fips|distroless|slim|alpine|debian|ubuntu|ubi\d*|dev|latest|v?\d)[\w.-]*)?"


def _image(names: str) -> re.Pattern[str] | None:
    """What matches names (an expression) at the end of an image's path, alone or with a mirror's prefix and a build's end:
    `x/external-dns`, `mirror-x-external-dns-arm64`.
    """
    return re.compile(rf"(?:^|[/._-])(?:{names}){_BUILD}$") if names else None


def _whole(words: str) -> re.Pattern[str] | None:
    return re.compile(rf"^(?:{words})$") if words else None


@dataclass(frozen=True, slots=True)
class _Compiled:
    row: Actuator
    images: re.Pattern[str] | None
    programs: re.Pattern[str] | None
    flags: re.Pattern[str] | None
    env: re.Pattern[str] | None
    groups: re.Pattern[str] | None
    together: tuple[re.Pattern[str], ...]
    common: re.Pattern[str] | None
    second: re.Pattern[str] | None
    only: re.Pattern[str] | None
    but: re.Pattern[str] | None
    which: re.Pattern[str] | None


def _compiled(row: Actuator) -> _Compiled:
    return _Compiled(
        row,
        _image(row.images),
        _whole(row.programs),
        re.compile(rf"(?:^|\s)(?:{row.flags})(?=[=\s]|$)") if row.flags else None,
        _whole(row.env),
        _whole(row.groups),
        tuple(re.compile(rf"(?:^|[\s/])(?:{words})(?=[=\s]|$)") for words in row.together),
        _image(row.common),
        re.compile(row.second) if row.second else None,
        re.compile(row.only) if row.only else None,
        re.compile(rf"(?:^|[/\s._-])(?:{row.but})") if row.but else None,
        re.compile(row.which) if row.which else None,
    )


_TABLE = tuple(_compiled(row) for row in CATALOGUE)
# Most workloads are none of these: one expression for all tells so at once
_ANY_IMAGE = re.compile("|".join(names.pattern for each in _TABLE for names in (each.images, each.common) if names))
_ANY_PROGRAM = re.compile("|".join(each.programs.pattern for each in _TABLE if each.programs))
_ANY_FLAG = re.compile(
    "|".join((*(e.flags.pattern for e in _TABLE if e.flags), *(e.together[0].pattern for e in _TABLE if e.together)))
)
_ANY_VARIABLE = re.compile("|".join(each.env.pattern for each in _TABLE if each.env))
_ANY_GROUP = re.compile("|".join(each.groups.pattern for each in _TABLE if each.groups))


@dataclass(frozen=True, slots=True)
class Match:
    """`which`: one of several that the row stands for; `by`: what told it."""

    row: Actuator
    which: str
    by: str

    @property
    def key(self) -> tuple[str, str]:
        """Program and part: two workloads of one key do the same."""
        return self.row.name, self.which


def match(run: Running, known: Known, groups: frozenset[str] = frozenset()) -> Match | None:
    """Which of these programs a workload runs. `groups`: API groups whose objects' status its account may write."""
    suspects = [container for container in run.containers if _may_be_one(container, groups)]
    for each in _TABLE if suspects else ():
        for container in suspects:
            by = _evidence(each, container, run, known, groups)
            if by and (each.row.where is None or each.row.where(run, known)):
                version = each.which.search(container.image) if each.which else None
                return Match(each.row, version[1] if version else "", by)
    return None


def _may_be_one(container: Container, groups: frozenset[str]) -> bool:
    return bool(
        _ANY_IMAGE.search(container.image)
        or any(_ANY_PROGRAM.match(program) for program in container.programs)
        or (container.words and _ANY_FLAG.search(container.line))
        or any(_ANY_VARIABLE.match(str(each.get("name", ""))) for each in container.spec.get("env") or ())
        or any(_ANY_GROUP.match(group) for group in groups)
    )


def _evidence(each: _Compiled, container: Container, run: Running, known: Known, groups: frozenset[str]) -> str:
    labels = run.labels
    called = (labels.get("app.kubernetes.io/name", ""), labels.get("app.kubernetes.io/component", ""))
    about = " ".join((*(word for word in container.words if not word.startswith("-")), container.name, *called))
    if each.but and each.but.search(about):
        return ""
    if each.images and each.images.search(container.image) and (each.only is None or each.only.search(about)):
        return f"image {container.image}"
    if (
        each.common
        and each.second
        and each.common.search(container.image)
        and each.second.search(_shown(container, run, known))
    ):
        return f"image {container.image}"
    if each.programs and any(each.programs.match(program) for program in container.programs):
        return "its command"
    if each.flags and (option := each.flags.search(container.line)):
        return f"option {option[0].strip()}"
    if each.together and len(options := [e[0] for o in each.together if (e := o.search(container.line))]) == len(each.together):
        return f"options {' and '.join(option.strip() for option in options)}"
    if each.env:
        for variable in container.spec.get("env") or ():
            if each.env.match(str(variable.get("name", ""))):
                return f"variable {variable.get('name')}"
    if each.groups:
        for group in groups:
            if each.groups.match(group):
                return f"its account writes the status of {group}"
    return ""


def _shown(container: Container, run: Running, known: Known) -> str:
    """Its words, the names of its variables (those of its ConfigMaps and Secrets too) and the paths that it mounts."""
    names = (variable.name for variable in variables(container, run.namespace, known))
    paths = (str(mount.get("mountPath", "")) for mount in container.spec.get("volumeMounts") or ())
    return " ".join((container.line, *names, *paths))
