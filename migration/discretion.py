"""Keeps passwords out of what is told: addresses of proxies and stores may carry them (https://user:password@proxy:3128),
libraries quote addresses in their errors, and errors end in terminals, journals and the logs of pipelines.
"""

from __future__ import annotations

import re

# userinfo of a URL: the password may have any character but white space and quotes, up to the last @ before the path
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#'\"<>@]*(?::[^\s/?#'\"<>]*)?@")
# what says who we are in a header, quoted by whoever could not read it
_BEARER = re.compile(r"\b(Bearer|Basic)(\s+|%20)[A-Za-z0-9+/=_.~-]{8,}", re.IGNORECASE)
# the bearer tokens of ServiceAccounts and of EKS, wherever they stand
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?|\bk8s-aws-v1\.[A-Za-z0-9_=-]{8,}")


def without_passwords(text: str) -> str:
    """The text with `***` in the place of who logs in by a URL, and of bearer tokens."""
    text = _USERINFO.sub(r"\1***@", text)
    return _TOKEN.sub("***", _BEARER.sub(r"\1 ***", text))
