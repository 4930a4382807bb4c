"""What install tests share: where things are, and the environment in which they run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would lead an install or an import elsewhere; uv is on PATH."""
    misleading = (
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONHOME",
        "PULUMI_",
        "BLUEGREEN_",
        "UV_PROJECT",
        "UV_NO_",
        "UV_LINK_MODE",
        "UV_COMPILE_",
        "PYTHONDONTWRITE",
        "CONDA_",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(misleading)}
    return kept | {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"} | dict(more or {})
