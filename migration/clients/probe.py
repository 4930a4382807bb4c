"""One HTTP request to a gateway by its address, with the Host a user would ask for: past DNS, so that it says nothing
of who is live.
"""

from __future__ import annotations

from access.causes import why
from migration.discretion import without_passwords
from migration.errors import Unreachable
from migration.ports.answers import Answer
from routing import Request


async def ask(address: str, port: int, request: Request, *, timeout_seconds: float = 5.0) -> Answer:
    """The gateway's answer, whatever its status; Unreachable where there is none."""
    import aiohttp

    url, asked = f"http://{address}:{port}{request.path}", f"{request.host}{request.path}"
    headers = {**request.headers, "Host": request.host}
    try:
        # verification asks once in a while, and every time over a new connection, as a new user would
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as session,
            session.request(request.method, url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.content.read(2048)
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, body)
    except TimeoutError as problem:
        raise Unreachable(f"gateway {address}:{port} did not answer {asked} within {timeout_seconds:g} s") from problem
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        reason = without_passwords(why(problem))[:300]
        raise Unreachable(f"gateway {address}:{port} cannot be asked for {asked} ({reason})") from problem
