"""The lab's eks plugin.

The components of pulumi_eks, built from aws resources through the engine as the real package does.

Where the real component bootstraps nodes or add-ons of the newest version by default, this one makes what its
switches leave on. The kubeconfig is that of the lab's own control plane: a fixed token and its CA in place of a
program that asks AWS for a token.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pulumi.provider.provider import ConstructResult, InvokeResult, Provider
from pulumi.provider.server import main as serve

from lab.exit_on_signal import exit_on_signal
from lab.pulumi import eks_components


class EksProvider(Provider):
    def construct(
        self, name: str, resource_type: str, inputs: eks_components.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        builders: dict[str, Callable[..., eks_components.Component]] = {
            "eks:index:Cluster": eks_components.Cluster,
            "eks:index:ManagedNodeGroup": eks_components.ManagedNodeGroup,
            "eks:index:Addon": eks_components.Addon,
        }
        if resource_type not in builders:
            raise Exception(f"{resource_type}: the lab's eks plugin makes only {', '.join(builders)}")
        unknown = eks_components.unknown_inputs(resource_type, inputs)
        if unknown:
            raise Exception(f"{resource_type} {name!r}: unknown properties {', '.join(sorted(unknown))}")
        component = builders[resource_type](name, inputs, options)
        return ConstructResult(urn=component.urn, state=component.state)

    def invoke(self, token: str, args: Mapping[str, Any]) -> InvokeResult:
        raise Exception(f"{token}: this function is not one the lab's eks plugin answers")


def main() -> None:
    from importlib.metadata import version

    exit_on_signal()
    serve(EksProvider(version("pulumi-eks"), json.dumps({"name": "eks", "version": version("pulumi-eks")})), sys.argv[1:])
