"""Where a kubeconfig leads: access/kubeconfig.py, as the kubernetes provider's inputs choose in it.

The lab's provider runs no credential program: its control planes have fixed tokens, so one that is named is a mistake.
"""

from __future__ import annotations

from access import kubeconfig as reader
from access.errors import AccessError
from access.kubeconfig import Access
from lab.pulumi.plugin import PluginError


def read(kubeconfig: str, context: str | None = None, cluster: str | None = None) -> Access:
    """Text (JSON or YAML) or the path of a file; `context` and `cluster` choose, as those inputs of the provider."""
    try:
        access = reader.load(kubeconfig, context, server_of=cluster)
    except AccessError as problem:
        raise PluginError(problem.message) from problem
    if access.exec_plugin is not None:
        raise PluginError(f"{access.source}: context {access.context} gets its credentials from a program; the lab runs none")
    return access
