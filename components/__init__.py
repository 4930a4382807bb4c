"""Pulumi components: the parts that stacks are made of.

They know nothing of stack files; typed arguments come in, outputs go out.
"""
