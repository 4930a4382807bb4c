"""What goes wrong on the way to an API server (access/errors.py), in the command's own errors."""

from __future__ import annotations

from pathlib import Path

from access import kubeconfig as reader
from access.errors import AccessError, NotGiven, Unanswered
from access.kubeconfig import Access
from migration.errors import BluegreenError, ConfigError, LoginFailed, Unreachable


def as_ours(problem: AccessError) -> BluegreenError:
    """To be raised `from` it: what only an edit helps is a ConfigError, what may pass Unreachable, a login LoginFailed."""
    kind: type[BluegreenError] = ConfigError
    if isinstance(problem, Unanswered):
        kind = LoginFailed if isinstance(problem, NotGiven) else Unreachable
    return kind(problem.message, remedy=problem.remedy)


def load(kubeconfig: str | Path, context: str | None = None, *, cluster: str | None = None) -> Access:
    """access.kubeconfig.load; raises ConfigError."""
    try:
        return reader.load(kubeconfig, context, cluster=cluster)
    except AccessError as problem:
        raise as_ours(problem) from problem
