"""Lets a resource plugin have the engine's messages without the whole SDK.

`pulumi.runtime.proto` is all that a plugin needs; importing it the usual way runs the SDK's own start, two thirds of a
plugin's, and a plugin starts several times in each run of the engine. In a process that is a plugin and nothing else the
two packages above it may stay empty.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def without_the_sdk() -> None:
    """To be called first of all; whoever needs the SDK itself (a component's provider) does not call it."""
    found = importlib.util.find_spec("pulumi")
    if "pulumi" in sys.modules or found is None or found.origin is None:
        return
    folder = Path(found.origin).parent
    for name, place in (("pulumi", folder), ("pulumi.runtime", folder / "runtime")):
        empty = ModuleType(name)
        empty.__path__ = [str(place)]
        sys.modules[name] = empty
