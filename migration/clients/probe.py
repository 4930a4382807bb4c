"""One HTTP request to a gateway by its address, with the Host a user would ask for: past DNS, so that it says nothing
of who is live.
"""

from __future__ import annotations

from collections.abc import Mapping

from access.causes import why
from migration.discretion import without_passwords
from migration.errors import Unreachable
from migration.ports.answers import Answer


async def ask(
    address: str,
    port: int,
    host: str,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 5.0,
) -> Answer:
    """The gateway's answer, whatever its status; Unreachable where there is none."""
    import aiohttp

    url = f"http://{address}:{port}{path}"
    try:
        # verification asks once in a while, and every time over a new connection, as a new user would
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as session,
            session.request(method, url, headers={**(headers or {}), "Host": host}, allow_redirects=False) as response,
        ):
            body = await response.content.read(2048)
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, body)
    except TimeoutError as problem:
        raise Unreachable(f"gateway {address}:{port} did not answer {host}{path} within {timeout_seconds:g} s") from problem
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        told = without_passwords(why(problem))[:300]
        raise Unreachable(f"gateway {address}:{port} cannot be asked for {host}{path} ({told})") from problem
