"""What goes wrong on the way to a cluster is one of the command's own errors, and credentials are renewed when refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from access import errors
from access.kubeconfig import Access, Exec
from migration.clients.kubernetes import Kubernetes
from migration.clients.reach import as_ours, load
from migration.errors import BluegreenError, ConfigError, Forbidden, LoginFailed, Unreachable


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (errors.BadKubeconfig, ConfigError),
        (errors.Unusable, ConfigError),
        (errors.NoCredentials, ConfigError),
        (errors.Unanswered, Unreachable),
        (errors.NotGiven, LoginFailed),
        (errors.Late, Unreachable),
        (errors.Broken, Unreachable),
    ],
)
def test_an_access_error_means_an_edit_or_another_try(kind: type[errors.AccessError], expected: type[BluegreenError]) -> None:
    ours = as_ours(kind("what", remedy="do"))
    assert (type(ours), str(ours), ours.remedy) == (expected, "what", "do")


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", ca=b"x"), ConfigError, id="a CA that is none"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", proxy="socks5://x"), ConfigError, id="another proxy"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", exec_plugin=Exec("none")), ConfigError, id="no program"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", exec_plugin=Exec("false")), LoginFailed, id="it fails"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", exec_plugin=Exec("true")), LoginFailed, id="it gives nothing"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", token="a b"), ConfigError, id="a token that is none"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", token_file=Path("/none")), Unreachable, id="no token file"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f"), Unreachable, id="nobody there"),
        pytest.param(Access("plum", "https://127.0.0.1:9", "f", proxy="http://127.0.0.1:9"), Unreachable, id="no proxy there"),
    ],
)
def test_every_step_to_a_server_fails_by_the_commands_errors(access: Access, expected: type[BluegreenError]) -> None:
    async def ask() -> None:
        async with Kubernetes(access) as client:
            await client.version()

    with pytest.raises(expected) as caught:
        asyncio.run(ask())
    assert isinstance(caught.value.__cause__, errors.AccessError)


def test_a_wrong_kubeconfig_is_a_mistake_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kubeconfig of plum cannot be read") as caught:
        load(tmp_path / "none", cluster="plum")
    assert isinstance(caught.value.__cause__, errors.BadKubeconfig)


def test_a_token_file_that_was_replaced_is_read_when_the_old_token_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    right, asked = "old", []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"].removeprefix("Bearer "))
        return web.json_response({}, status=200 if asked[-1] == right else 401)

    async def run() -> None:
        nonlocal right
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with Kubernetes(Access("plum", url, "f", token_file=file)) as client:
                await client.version()
                right = "new"
                file.write_text("new")
                await client.version()
                right = "other"
                with pytest.raises(Forbidden):  # asked once again, and no third time
                    await client.version()
        finally:
            await runner.cleanup()

    asyncio.run(run())
    assert asked == ["old", "old", "new", "new", "new"]
