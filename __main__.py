"""The program: the stack's file says which kind of stack this is, and that kind is built.

network   the VPC that clusters share
cluster   one EKS cluster with its baseline: Istio, gateways, load balancer controller, monitoring
edge      who gets how much: DNS weights of the entry, and the routes on the gateways of both clusters
"""

from importlib import import_module

from stacks.config import Source

source = Source.of_this_stack()
kind = source.choice("kind", {name: f"stacks.{name}" for name in ("network", "cluster", "edge")})
# Imported by name: a network needs nothing of Kubernetes.
import_module(kind).build(source)
