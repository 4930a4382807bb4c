"""One table of kubeconfigs, three readers: kubectl, the command and the program reach the same API server by the same way.

Its name is known to a proxy alone: without it, or with another than the kubeconfig's, there is no answer.
"""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from access.kubeconfig import portable
from components.live import RECORD_PATH, Live, read_live
from lab.pulumi import kube_config
from lab.pulumi.kube_api import KubeApi
from migration.clients.kubernetes import Kubernetes
from migration.errors import BluegreenError, ConfigError, Forbidden, LoginFailed, Unreachable
from migration.objects.kinds import CONFIG_MAP
from tests.lab.support.behind_proxy import IN_CERTIFICATE, INTENT, NAME, PASSWORD, Server, kubectl

pytestmark = pytest.mark.timeout(180)
SERVER: dict[str, Any] = {"server": f"https://{NAME}", "tls-server-name": IN_CERTIFICATE, "certificate-authority": "ca.crt"}
EXEC = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "interactiveMode": "Never",
    "provideClusterInfo": True,
    "env": [{"name": "WANTED", "value": "yes"}],
}
DATA: dict[str, Any] = {"certificate-authority": None}
# Text in braces is filled with the lab's own: {token}, {proxy}, {guarded}, {ca}, {certificate}, {key}
WAYS = [
    pytest.param({}, {"token": "{token}"}, id="token, CA file beside the kubeconfig"),
    pytest.param({**DATA, "certificate-authority-data": "{ca}"}, {"tokenFile": "token"}, id="token file, CA inline"),
    pytest.param({}, {"client-certificate": "me.crt", "client-key": "me.key"}, id="client certificate in files"),
    pytest.param(
        {}, {"client-certificate-data": "{certificate}", "client-key-data": "{key}"}, id="client certificate in the kubeconfig"
    ),
    pytest.param({}, {"exec": {**EXEC, "command": "./give-token"}}, id="exec, a token"),
    pytest.param({}, {"exec": {**EXEC, "command": "./give-certificate"}}, id="exec, a client certificate"),
    pytest.param({"proxy-url": "http://{guarded}"}, {"token": "{token}"}, id="proxy with a password"),
    pytest.param(
        {"certificate-authority": None, "tls-server-name": None, "insecure-skip-tls-verify": True}, {"token": "{token}"},
        id="insecure", marks=pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),  # of urllib3, in the lab's engine
    ),
]  # fmt: skip
WRONG = [
    pytest.param({}, {}, Forbidden, "403", id="nobody"),
    # as system:anonymous: the credentials are not looked at
    pytest.param({}, {"username": "me", "password": "x"}, Forbidden, "403", id="basic, which no API server takes"),
    pytest.param({}, {"token": "{token}", "as": "somebody"}, Forbidden, "403", id="as somebody without rights"),
    pytest.param({"proxy-url": None}, {"token": "{token}"}, Unreachable, "Name or service not known", id="no proxy"),
    pytest.param({"proxy-url": "http://127.0.0.1:9"}, {"token": "{token}"}, Unreachable, "Connection refused", id="dead proxy"),
    pytest.param({"proxy-url": "http://me:x@{only}"}, {"token": "{token}"}, Unreachable, "407", id="wrong password"),
    pytest.param({"tls-server-name": None}, {"token": "{token}"}, Unreachable, "not trusted", id="no server name"),
    pytest.param({"tls-server-name": "other"}, {"token": "{token}"}, Unreachable, "not trusted", id="another server name"),
    pytest.param({"certificate-authority": None}, {"token": "{token}"}, Unreachable, "not trusted", id="no CA"),
    pytest.param({"certificate-authority": "clients.crt"}, {"token": "{token}"}, Unreachable, "not trusted", id="another CA"),
    pytest.param({"insecure-skip-tls-verify": True}, {"token": "{token}"}, ConfigError, "one of them", id="insecure and CA"),
    pytest.param({}, {"client-certificate": "me.crt"}, ConfigError, "client-key is missing", id="a certificate without a key"),
    pytest.param({}, {"exec": {**EXEC, "command": "./give-token", "env": []}}, LoginFailed, "failed with 6", id="exec fails"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name)


def written(server: Server, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    def data(file: str) -> str:
        return base64.b64encode((server.folder / file).read_bytes()).decode()

    known = {
        "token": server.token,
        "ca": data("ca.crt"),
        "certificate": data("me.crt"),
        "key": data("me.key"),
        "guarded": f"me:{quote(PASSWORD, safe='')}@{server.guarded.address}",
        "only": server.guarded.address,
    }

    def filled(entry: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value.format(**known) if isinstance(value, str) else value for key, value in entry.items() if value is not None
        }

    way = {**SERVER, "proxy-url": f"http://{server.proxy.address}", **cluster}
    return server.write(filled(way), filled(user))


def by_kubectl(kubeconfig: Path) -> str:
    """What kubectl says: nothing where it was given the record."""
    done = kubectl(kubeconfig, "get", "--raw", RECORD_PATH)
    return "" if done.returncode == 0 and '"bluegreen-edge"' in done.stdout else done.stderr or done.stdout


def by_command(kubeconfig: Path) -> str:
    """The generation of the record."""

    async def ask() -> str:
        async with Kubernetes.from_kubeconfig(kubeconfig) as client:
            found = await client.get(CONFIG_MAP, "istio-system", "bluegreen-edge")
            return str(found["data"]["generation"])

    return asyncio.run(ask())


def by_labs_provider(kubeconfig: Path) -> str:
    """The generation of the record; the lab's stand-in for Pulumi's provider runs no credential program."""
    api = KubeApi(kube_config.read(str(kubeconfig)))
    try:
        return str(api.call("GET", RECORD_PATH)["data"]["generation"])
    finally:
        api.close()


def by_program(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Live | None, str]:
    """As the edge's program does: it takes the text of the file and reads it elsewhere."""
    told: list[str] = []
    text = portable(kubeconfig)
    monkeypatch.chdir("/")
    return read_live(text, tell=told.append), " ".join(told)


@pytest.mark.parametrize(("cluster", "user"), WAYS)
def test_each_kubeconfig_leads_every_client_through_its_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    path = written(server, cluster, user)
    proxy = server.guarded if "proxy-url" in cluster else server.proxy
    other = server.proxy if "proxy-url" in cluster else server.guarded
    untouched = len(other.asked)

    def through() -> int:
        opened = len(proxy.opened)
        assert set(proxy.opened) <= {NAME}
        return opened

    before = through()
    assert by_kubectl(path) == ""
    assert (after_kubectl := through()) > before
    assert by_command(path) == "17"
    assert through() == after_kubectl + 1
    live, why = by_program(path, monkeypatch)
    assert live is not None, why
    assert (live.generation, live.services) == (17, INTENT.services)
    assert through() == after_kubectl + 2
    if "exec" not in user:
        assert by_labs_provider(path) == "17"
        assert through() == after_kubectl + 3
    assert len(other.asked) == untouched


@pytest.mark.parametrize(("cluster", "user", "error", "told"), WRONG)
def test_what_kubectl_refuses_every_client_refuses(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    cluster: dict[str, Any],
    user: dict[str, Any],
    error: type[BluegreenError],
    told: str,
) -> None:
    path = written(server, cluster, user)
    assert by_kubectl(path) != ""
    with pytest.raises(error) as caught:
        by_command(path)
    status = f" {caught.value.status}" if isinstance(caught.value, Forbidden) else ""
    assert told in f"{caught.value}{status}"
    live, why = by_program(path, monkeypatch)
    assert live is None
    assert told in why
    assert server.token not in f"{caught.value} {caught.value.remedy} {why}"


def test_the_environments_proxy_is_used_as_kubectl_uses_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(server, {"proxy-url": None}, {"token": "{token}"})
    monkeypatch.setenv("HTTPS_PROXY", f"http://{server.proxy.address}")
    opened = len(server.proxy.opened)
    assert by_kubectl(path) == ""
    assert by_command(path) == "17"
    assert by_program(path, monkeypatch)[0] is not None
    assert len(server.proxy.opened) >= opened + 3
    monkeypatch.setenv("NO_PROXY", ".blue.invalid")
    asked = len(server.proxy.asked)
    assert by_kubectl(path) != ""
    with pytest.raises(Unreachable, match="Name or service not known"):
        by_command(path)
    assert by_program(path, monkeypatch)[0] is None
    assert len(server.proxy.asked) == asked


def test_a_server_on_this_machine_is_never_asked_through_the_environments_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(server, {"server": server.url, "tls-server-name": None, "proxy-url": None}, {"token": "{token}"})
    monkeypatch.setenv("HTTPS_PROXY", f"http://{server.proxy.address}")
    asked = len(server.proxy.asked)
    assert by_kubectl(path) == ""
    assert by_command(path) == "17"
    assert by_program(path, monkeypatch)[0] is not None
    assert len(server.proxy.asked) == asked
