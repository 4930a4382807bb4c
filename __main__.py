"""The program: the stack's file says which kind of stack this is, and that kind is built.

network   the VPC that clusters share
cluster   one EKS cluster with its baseline: Istio, gateways, load balancer controller, monitoring
edge      who gets how much: DNS weights of the entry, and the routes on the gateways of both clusters
"""

from stacks import cluster, edge, network
from stacks.config import Source

source = Source.of_this_stack()
build = source.choice("kind", {"network": network.build, "cluster": cluster.build, "edge": edge.build})
build(source)
