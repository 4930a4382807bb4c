"""The AWS provider every stack uses: explicit, so that no resource ever lands in a region or account by accident."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws


def aws_provider(region: str) -> aws.Provider:
    """A provider of `region` whose resources have the project and the stack as tags."""
    tags = {"pulumi:project": pulumi.get_project(), "pulumi:stack": pulumi.get_stack()}
    return aws.Provider("aws", region=region, default_tags={"tags": tags})
