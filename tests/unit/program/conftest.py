"""pulumi_eks warns of its own old node groups while it is imported; nothing here uses them."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_eks  # noqa: F401
