"""One row of the catalogue of actuators: a program, why two of it do harm, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migration.ownership.known import Known
from migration.ownership.programs import Running


@dataclass(frozen=True)
class Actuator:
    """One program. It is told by any of: `images` (the end of an image's path), `programs` (at a command's position),
    `flags` (options that only it has), `env` (variables that only it has), `groups` (it may write the status of objects of
    these API groups); all are regular expressions.

    `together`: options or words that many have, and that only it has together. `common`: an image's path that ends with an
    ordinary word (`shop/keel`) tells it only with a `second` sign, among its words, variables and the paths it mounts.

    `only`: of an image that several programs share, a word of command (no option), container name or component label;
    `but`: words by which another program of the image is told; `which`: of an image, the part by which one is told from the
    next; `where`: what else must be so on blue.
    """

    name: str
    reason: str
    images: str = ""
    programs: str = ""
    flags: str = ""
    env: str = ""
    groups: str = ""
    together: tuple[str, ...] = ()
    common: str = ""
    second: str = ""
    only: str = ""
    but: str = ""
    which: str = ""
    where: Callable[[Running, Known], bool] | None = None
