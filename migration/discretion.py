"""Keeps passwords out of what is told: addresses of proxies and stores may carry them (https://user:password@proxy:3128),
libraries quote addresses in their errors, and errors end in terminals, journals and the logs of pipelines.

Every line of the log goes through here, also of a shift or a rollback that runs, and servers write some of them. So no
expression looks at a character more than a few times, however long the text: each begins at a word that the rest cannot
contain, or goes on from the first of many beginnings and never tries the next (`(?>...)`, `++`).
"""

from __future__ import annotations

import base64
import binascii
import re

# userinfo of a URL: the password may have any character but white space and quotes, up to the last @ before the path
_USERINFO = re.compile(r"(?<=[A-Za-z0-9+.-])://[^\s/?#'\"<>]*@")
# a header that says who we are, as HTTP has it or as a mapping or a tuple of it is printed
_HEADER = re.compile(
    r"""(authorization\b\\?["']?\s{0,9}[:=,]\s{0,9}b?[\\"'(\[]{0,4})((?:Bearer|Basic|Negotiate|Token)(?:\s|%20){1,9})?([^\s"'<>,)\]}\\]+)""",
    re.IGNORECASE,
)
# the same without the header's name, or a word of prose: `bearer failed`
_SCHEME = re.compile(r"\b(Bearer|Basic)((?:\s|%20){1,9})([A-Za-z0-9+/=_.~-]++)", re.IGNORECASE)
# the bearer tokens of ServiceAccounts and of EKS, wherever they stand
_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])(?>([A-Za-z0-9_-]*?)eyJ)[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?", re.ASCII
)
_EKS = re.compile(r"\bk8s-aws-v1\.[A-Za-z0-9_=-]{8,}+")


def without_passwords(text: str) -> str:
    """The text with `***` in the place of who logs in by a URL or a header, and of bearer tokens."""
    text = _USERINFO.sub("://***@", text)
    text = _HEADER.sub(_of_header, text)
    text = _SCHEME.sub(_of_scheme, text)
    return _EKS.sub("***", _JWT.sub(r"\1***", text))


def _of_header(match: re.Match[str]) -> str:
    """What follows a scheme is a credential; without one it may be a word: `authorization: denied`."""
    before, scheme, word = match.groups()
    return f"{before}{scheme or ''}***" if scheme or _is_credential(word) else match[0]


def _of_scheme(match: re.Match[str]) -> str:
    scheme, _, word = match.groups()
    credential = _is_credential(word) or (scheme.lower() == "basic" and _is_login(word))
    return f"{scheme} ***" if credential else match[0]


def _is_credential(word: str) -> bool:
    """By length and letters what no word of prose is: 12 characters with a digit, 20 with both cases, or 32."""
    few = any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)
    both = word != word.lower() and word != word.upper()
    return len(word) >= 32 or (len(word) >= 20 and both) or (len(word) >= 12 and few)


def _is_login(word: str) -> bool:
    """Base64 of `user:password`, of any length."""
    try:
        decoded = base64.b64decode(word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in decoded and decoded.isprintable()
