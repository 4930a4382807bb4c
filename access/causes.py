"""What broke on the way to a server, in words that an SRE knows, instead of a library's.

Python gives a failure of TLS the number 1, which for the system means "Operation not permitted": a number is told only
where it is the system's own. Verification is told by OpenSSL's words and codes (x509_vfy.h), alerts by their names.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

# X509_V_ERR_: not yet valid, expired
TIMES = frozenset({9, 10})
# no issuer, signature of another one, self-signed leaf, self-signed chain, issuer not known here, leaf not verified, no CA
ISSUERS = frozenset({2, 7, 18, 19, 20, 21, 24, 79})
NAMES = frozenset({62, 64})  # of a host, of an address
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
# by which a server refuses ours, or that there is none
REFUSED = re.compile(
    r"ALERT_(?:CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|CERTIFICATE_UNKNOWN|"
    r"UNSUPPORTED_CERTIFICATE|HANDSHAKE_FAILURE|ACCESS_DENIED|DECRYPT_ERROR)"
)
NUMBERED = re.compile(r"\[Errno \d+\] ?")
NUMBER = re.compile(r"\[Errno (\d+)\]")
HTML = re.compile(rb"\s*<(?:!doctype|html|head|body|script)", re.IGNORECASE)


@dataclass(frozen=True)
class Tls:
    """`said` of the server ("has a certificate that ..."), and what to set where, of a kubeconfig."""

    said: str
    remedy: str


def of_tls(problem: BaseException) -> ssl.SSLError | None:
    """The failure of TLS in what a library raised; of several the innermost."""
    innermost = None
    visited: set[int] = set()
    left: list[BaseException | None] = [problem]
    while left:
        each = left.pop()
        if each is None or id(each) in visited:
            continue
        visited.add(id(each))
        if isinstance(each, ssl.SSLError):
            innermost = each
        # the library's own attributes, by which it wraps what it caught
        inner = (getattr(each, "certificate_error", None), getattr(each, "os_error", None), each.__cause__)
        left += [one for one in inner if isinstance(one, BaseException)]
    return innermost


def tls_failure(problem: BaseException, source: str, context: str) -> Tls | None:
    """What a failure of TLS means, by its cause, and which key of the kubeconfig it is about. None: it is none of TLS."""
    error = of_tls(problem)
    if error is None:
        return None
    where = f"context {context} in {source}" if context else source
    words = _words(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)
        said = f"has a certificate that is not trusted: {words}"
        if code in NAMES:
            remedy = f"set tls-server-name of the cluster ({where}) to a name of its certificate, or correct server"
        elif code in TIMES:
            remedy = (
                "have the certificate of the API server renewed, or set this machine's clock; where the authority's is the "
                f"old one, take the new certificate-authority-data of the cluster ({where})"
            )
        elif code in ISSUERS or not code:
            remedy = (
                f"set certificate-authority-data of the cluster ({where}) to the authority that issued it; where a proxy "
                "stands in between and shows its own, see proxy-url"
            )
        else:
            remedy = f"check server and certificate-authority-data of the cluster ({where})"
        return Tls(said, remedy)
    reason = getattr(error, "reason", None) or ""  # the library's own classes of this kind have none
    if reason in NO_TLS:
        said = f"does not speak TLS on that port: {words}"
        return Tls(said, f"correct server of the cluster ({where}): the port of the API server, or of plain HTTP by http://")
    if REFUSED.search(reason):
        return Tls(
            f"refuses the client certificate, or wants one: {words}",
            f"set client-certificate-data and client-key-data of the user ({where}) to a pair that its authority issued and "
            "that is not expired",
        )
    if "UNRECOGNIZED_NAME" in reason:
        return Tls(f"knows no such name: {words}", f"set tls-server-name of the cluster ({where}) to a name that it serves")
    return Tls(f"does not come to terms by TLS: {words}", f"check server and tls-server-name of the cluster ({where})")


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError) and (said := getattr(error, "verify_message", "")):
        return str(said).rstrip(".")
    if reason := getattr(error, "reason", None):
        return str(reason).lower().replace("_", " ")
    return str(error.args[-1] if error.args else error).strip() or type(error).__name__


def why(problem: BaseException) -> str:
    """One failure of a request over the network, whatever library raised it: "Connection refused"."""
    error = of_tls(problem)
    if error is not None:
        kind = "certificate not trusted" if isinstance(error, ssl.SSLCertVerificationError) else "TLS failed"
        return f"{kind}: {_words(error)}"
    inner = getattr(problem, "os_error", None)
    inner = inner if isinstance(inner, OSError) else problem
    if isinstance(inner, socket.gaierror):
        return str(inner.strerror or inner)
    if "[SSL" in str(inner):  # the library copies numbers and words of TLS to errors of its own
        return f"TLS failed: {NUMBERED.sub('', str(inner))}"
    code = getattr(inner, "errno", None)
    if isinstance(code, int) and code > 0:
        return os.strerror(code)
    if isinstance(problem, TimeoutError):
        return "timed out"
    if codes := NUMBER.findall(str(inner)):  # each address of a name has failed
        return ", ".join(dict.fromkeys(os.strerror(int(each)) for each in codes))
    name = type(problem).__name__
    if name == "ServerDisconnectedError":
        return "connection closed"
    if name == "ClientPayloadError":
        return "connection closed within the answer"
    return NUMBERED.sub("", str(problem)).strip() or name


def foreign(status: int, headers: object, body: bytes) -> str | None:
    """Of what stands between us and an API server: why this cannot be the server's answer. None: it may be.

    API servers send no redirects and no pages, and no refusal without a word; one of those who may be asked to log in, or
    to wait, is believed without. So is 413, which a proxy says of the object and not of itself. `headers` in any case.
    """
    if status == 413:
        return None
    get = getattr(headers, "get", None)
    location = str((get("Location") if get else None) or "")
    kind = str((get("Content-Type") if get else None) or "")
    if 300 <= status < 400:
        what = f"{status}, a redirect to {_host(location)}" if location else f"{status}, a redirect to nowhere"
    elif status == 407:
        what = "407, a proxy's wish for a login"
    elif HTML.match(body[:200]) or (kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml") and body):
        what = f"{status} with a page of HTML"
    elif 400 <= status < 500 and status not in (401, 403, 429) and not body.strip():
        what = f"{status} and nothing more"
    else:
        return None
    between = "a proxy stands in between" if status >= 400 else "a login page or proxy stands in between"
    return f"{what}: not an API server's answer, {between}"


def _host(location: str) -> str:
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    if not host:
        return "another path of the same host"
    return host if host.isprintable() and len(host) <= 253 else "a host without a proper name"


def foreign_remedy(source: str, context: str) -> str:
    """Where to look if something else answers."""
    return f"check server and proxy-url of the cluster in {source}, context {context}: `kubectl --context {context} get ns`"
