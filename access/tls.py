"""The trust of a server, and the certificate that we show it."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from access.errors import Unusable
from access.kubeconfig import Access


def context(access: Access, pair: tuple[bytes, bytes] | None = None) -> ssl.SSLContext | None:
    """`pair`: certificate and key in PEM, the kubeconfig's own unless given. None for a server of plain HTTP.

    Raises:
        Unusable: certificates that are none, or a key of another one.
    """
    if not access.server.startswith("https:"):
        return None
    tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if access.insecure:
        tls_context.check_hostname = False
        tls_context.verify_mode = ssl.CERT_NONE
    elif access.ca is not None:
        try:
            tls_context.load_verify_locations(cadata=access.ca.decode("ascii", errors="ignore"))  # text between is for people
        except (ssl.SSLError, ValueError) as problem:
            raise Unusable(
                f"{access.source}: the certificate authority of {access.server} cannot be read ({_reason(problem)}): "
                "certificate-authority must be PEM, certificate-authority-data PEM in base64",
                remedy=f"correct certificate-authority-data of context {access.context} in {access.source}",
            ) from problem
    else:
        tls_context.load_default_certs()
    if pair is None and access.certificate is not None and access.key is not None:
        pair = access.certificate, access.key
    if pair is not None:
        _show(tls_context, pair, access)
    return tls_context


def _show(tls_context: ssl.SSLContext, pair: tuple[bytes, bytes], access: Access) -> None:
    # OpenSSL through Python takes a key from a file only; the folder is readable by us alone and gone at once
    try:
        with tempfile.TemporaryDirectory(prefix="bluegreen-") as folder:
            path = Path(folder) / "pair.pem"
            path.touch(mode=0o600)
            path.write_bytes(pair[0] + b"\n" + pair[1])
            tls_context.load_cert_chain(path, password="")  # else OpenSSL would ask a person for it
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        raise Unusable(
            f"{access.source}: the client certificate and key cannot be used ({_reason(problem)}); allowed: a pair in PEM, "
            "the key without a password",
            remedy=f"correct client-certificate and client-key of the user in {access.source}",
        ) from problem


def _reason(problem: Exception) -> str:
    return getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
