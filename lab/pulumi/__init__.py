"""The Pulumi engine's helpers in the lab: a language host for Python and the aws, eks and kubernetes plugins.

Only AWS is a stand-in (moto, through boto3); Kubernetes objects go to the lab's real API servers. The engine finds
the executables of `lab/pulumi/bin` on PATH, starts them for each operation, reads a port from their first line of
output and speaks gRPC.
"""
