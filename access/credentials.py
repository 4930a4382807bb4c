"""Who we are to a server: headers and a client certificate, and until when they are good.

As client-go ranks them: a token file before the token beside it, and a credential program only where nothing else is
given. Nothing is sent in the clear to another machine: over plain HTTP only a server on this one gets credentials, past
other machines' proxies. Elsewhere they are refused before anything is connected to or run (client-go leaves them out
without a word, and who asks is somebody else then).
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from access import exec_plugin
from access.errors import Unanswered, Unusable
from access.kubeconfig import Access, Exec, read_file
from access.proxy import choose, on_this_machine

FILE_SECONDS = 50.0  # a token file is read again; client-go's minute less its leeway of 10 s


@dataclass(frozen=True)
class Credentials:
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pair: tuple[bytes, bytes] | None = field(default=None, repr=False)  # of a program; the kubeconfig's own is its Access'
    until: float = float("inf")  # seconds since 1970


def can_renew(access: Access) -> bool:
    """Could asking again give others?"""
    return access.token_file is not None or _program(access) is not None


def _program(access: Access) -> Exec | None:
    given = access.token or access.token_file or access.basic or access.certificate
    return None if given else access.exec_plugin


async def obtain(
    access: Access, before: Credentials | None = None, timeout_seconds: float = exec_plugin.SECONDS
) -> Credentials:
    """`before`: what was obtained the last time, which stands where a token file cannot be read for a moment.

    Raises:
        NoCredentials: the program failed, or gives what cannot be sent.
        Unanswered: it did not end in time, or the token file cannot be read.
        Unusable: the token of the kubeconfig, or in its token file, cannot be sent.
    """
    _refuse_in_the_clear(access)
    if access.token_file is not None:
        until = time.time() + FILE_SECONDS
        try:
            token = _from_file(access)
        except Unanswered:
            if before is not None and before.headers:
                return Credentials(before.headers, None, until)
            if not access.token:
                raise
            return Credentials(_bearer(access, _written(access)), None, until)
        if not exec_plugin.can_be_sent(token):
            raise Unusable(
                f"{access.token_file}: the token of {access.cluster} {exec_plugin.ODD}",
                remedy=f"put one token into {access.token_file}, or correct tokenFile of the user in {access.source}",
            )
        return Credentials(_bearer(access, token), None, until)
    if access.token:
        return Credentials(_bearer(access, _written(access)))
    if access.basic:
        pair = ":".join(access.basic).encode()
        return Credentials((("Authorization", "Basic " + base64.b64encode(pair).decode()), *access.impersonate))
    if plugin := _program(access):
        given = await exec_plugin.ask(access, plugin, timeout_seconds)
        headers = _bearer(access, given.token) if given.token else access.impersonate
        return Credentials(headers, given.pair, given.until)
    return Credentials(access.impersonate)


def _refuse_in_the_clear(access: Access) -> None:
    kinds = {
        "token": access.token,
        "tokenFile": access.token_file,
        "username and password": access.basic,
        "exec": access.exec_plugin,
        "client certificate": access.certificate,
        "as": access.impersonate,
    }
    given = " and ".join(kind for kind, value in kinds.items() if value)
    url = urlsplit(access.server)
    if url.scheme == "https" or not given:
        return
    through = choose(access)
    if not on_this_machine(url.hostname or ""):
        why = f"server is {access.server}, plain HTTP to another machine"
    elif through and not on_this_machine(urlsplit(through.url).hostname or ""):
        why = f"server is {access.server}, plain HTTP by a proxy on another machine ({through.url})"
    else:
        return
    raise Unusable(
        f"{access.source}: context {access.context} would send the credentials of {access.cluster} ({given}) in the clear: "
        f"{why}; allowed: https://, or http:// to this machine itself",
        remedy=f"set server of the cluster in {access.source} to its https:// address, or take {given} from the user there",
    )


def _from_file(access: Access) -> str:
    assert access.token_file is not None
    where = f"cluster {access.cluster}: {access.server} needs the token in {access.token_file}"
    remedy = f"put a token there, or correct tokenFile of the user in {access.source}"
    try:
        token = read_file(access.token_file).decode("utf-8").strip()
    except Unusable as problem:
        raise Unanswered(f"{where}, which cannot be read: {problem.message}", remedy=remedy) from problem
    except UnicodeDecodeError:
        raise Unanswered(f"{where}, which is not text", remedy=remedy) from None  # the original has the content
    if not token:
        raise Unanswered(f"{where}, which is empty", remedy=remedy)
    return token


def _written(access: Access) -> str:
    """The kubeconfig's own token."""
    token = access.token or ""
    if not exec_plugin.can_be_sent(token):
        raise Unusable(
            f"{access.source}: the token of {access.cluster} {exec_plugin.ODD}",
            remedy=f"correct the token of the user in {access.source}",
        )
    return token


def _bearer(access: Access, token: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {token}"), *access.impersonate)
