"""Other stacks of this project, by their short name."""

from __future__ import annotations

import pulumi


def stack(name: str) -> pulumi.StackReference:
    """`name` alone means the same organization and project; ORGANIZATION/PROJECT/STACK is taken as it is."""
    full = name if name.count("/") == 2 else f"{pulumi.get_organization()}/{pulumi.get_project()}/{name}"
    return pulumi.StackReference(name, stack_name=full)
