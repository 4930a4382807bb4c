"""Which way leads to a server: the kubeconfig's proxy, the environment's as kubectl takes it, or none."""

from __future__ import annotations

import pytest

from access.errors import Unusable
from access.kubeconfig import Access
from access.proxy import Proxy, bypassed, choose


def server(url: str = "https://api.plum.test", proxy: str | None = None) -> Access:
    return Access("plum", url, "the-file", "ctx", proxy=proxy)


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        pytest.param("https://api.plum.test", {}, None, id="none"),
        pytest.param("https://api.plum.test", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128", id="for https"),
        pytest.param("https://api.plum.test", {"HTTP_PROXY": "http://p:3128"}, None, id="that for http"),
        pytest.param("http://api.plum.test", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128", id="for http"),
        pytest.param("https://api.plum.test", {"HTTPS_PROXY": "p:3128"}, "http://p:3128", id="without a scheme"),
        pytest.param("https://api.plum.test", {"https_proxy": "http://q", "HTTPS_PROXY": "http://p"}, "http://q:80", id="both"),
        pytest.param("https://api.plum.test", {"https_proxy": "", "HTTPS_PROXY": "http://p"}, "http://p:80", id="an empty one"),
        pytest.param("https://localhost:1", {"HTTPS_PROXY": "http://p"}, None, id="localhost"),
        pytest.param("https://127.9.9.9:1", {"HTTPS_PROXY": "http://p"}, None, id="loopback"),
        pytest.param("https://[::1]:1", {"HTTPS_PROXY": "http://p"}, None, id="loopback of IPv6"),
        pytest.param("https://api.plum.test", {"HTTPS_PROXY": "http://p", "NO_PROXY": "plum.test"}, None, id="excluded"),
        pytest.param("https://api.plum.test", {"HTTPS_PROXY": "http://p", "no_proxy": "x"}, "http://p:80", id="other"),
    ],
)  # fmt: skip
def test_the_environments_proxy_is_used_as_kubectl_uses_it(url: str, environment: dict[str, str], expected: str | None) -> None:
    assert choose(server(url), environment) == (Proxy(expected) if expected else None)


def test_the_kubeconfigs_proxy_overrides_the_environment() -> None:
    environment = {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}
    assert choose(server("https://127.0.0.1:1", "http://me:p%40ss@q:8"), environment) == Proxy(
        "http://q:8", "Basic bWU6cEBzcw=="
    )
    assert choose(server(proxy="http://[::1]:8"), environment) == Proxy("http://[::1]:8")
    assert "bWU6" not in repr(choose(server(proxy="http://me:p%40ss@q:8")))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("socks5://me:secret@p:1080", "is a proxy by socks5; allowed: http://[USER:PASSWORD@]HOST:PORT"),
        ("https://me:secret@p:3128", "is a proxy by https"),
        ("p:3128", "is no URL of a proxy"),
        ("http://", "is no URL of a proxy"),
        ("http://p:port", "is no URL of a proxy"),
        ("http://[::1", "is no URL of a proxy"),
    ],
)
def test_an_unusable_proxy_of_the_kubeconfig_is_refused_with_its_place(value: str, told: str) -> None:
    with pytest.raises(Unusable) as caught:
        choose(server(proxy=value), {})
    assert told in caught.value.message
    assert "the-file: proxy-url of context ctx" in caught.value.message
    assert "in the-file" in str(caught.value.remedy)
    assert "secret" not in f"{caught.value.message} {caught.value.remedy}"


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named_by_its_variable() -> None:
    with pytest.raises(Unusable, match="environment: HTTPS_PROXY is a proxy by socks5"):
        choose(server(), {"HTTPS_PROXY": "socks5://p"})
    assert choose(server(), {"HTTPS_PROXY": "socks5://p", "NO_PROXY": ".plum.test"}) is None


@pytest.mark.parametrize(
    ("no_proxy", "yes", "no"),
    [
        ("*", "any.where", ""),
        ("", "", "any.where"),
        ("foo.com", "foo.com", "barfoo.com"),
        ("foo.com", "a.foo.com", "foo.com.org"),
        (".foo.com", "a.foo.com", "foo.com"),
        ("*.foo.com", "a.foo.com", "foo.com"),
        (" x , FOO.com", "foo.COM", "y"),
        ("foo.com:443", "foo.com", "bar.com"),
        ("foo.com:444", "", "foo.com"),
        ("10.0.0.0/8", "10.1.2.3", "11.1.2.3"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.33"),
        ("10.1.2.3:443", "10.1.2.3", "10.1.2.4"),
        ("10.1.2.3:444", "", "10.1.2.3"),
        ("fd00::/8", "fd00::1", "fe00::1"),
        ("[fd00::1]:443", "fd00::1", "fd00::2"),
        ("fd00::1", "fd00::1", "fd00::2"),
        ("10.0.0.0/99,:443,.", "", "10.0.0.0"),
    ],
)
def test_no_proxy_is_read_by_gos_rules(no_proxy: str, yes: str, no: str) -> None:
    assert not yes or bypassed(yes, 443, no_proxy)
    assert not no or not bypassed(no, 443, no_proxy)
