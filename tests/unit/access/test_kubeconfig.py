"""Kubeconfigs are read as kubectl reads them; whatever is wrong in one is told by its place, and nothing else comes out."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manifests
from access.errors import AccessError, BadKubeconfig, Unusable
from access.kubeconfig import MOST_BYTES, Exec, load, portable, read, read_file

CONFIG: dict[str, Any] = {
    "contexts": [
        {"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
        {"name": "b", "context": {"cluster": "gone"}},
    ],
    "clusters": [{"name": "c", "cluster": {"server": "https://x:6443/", "certificate-authority-data": "Q0E="}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


def with_(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
    """A kubeconfig of one context."""
    return json.dumps(
        {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://x:6443", **(cluster or {})}}],
            "users": [{"name": "u", "user": user or {}}],
        }
    )


def write(folder: Path, document: Any) -> Path:
    path = folder / "config"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_kubeconfig_is_read_by_context(tmp_path: Path) -> None:
    access = load(write(tmp_path, CONFIG), "a", cluster="plum")
    assert (access.cluster, access.server, access.ca, access.token) == ("plum", "https://x:6443", b"CA", "t")
    assert (access.namespace, access.context, access.source) == ("shop", "a", str(tmp_path / "config"))
    assert "t'" not in repr(access), "no secret in what may be printed"
    assert load(json.dumps(CONFIG), "a").server == "https://x:6443"
    assert load(manifests.write(CONFIG), "a").server == "https://x:6443"


@pytest.mark.parametrize(
    ("document", "context", "told"),
    [
        pytest.param(CONFIG, "nope", "no context 'nope'; contexts there: a, b", id="unknown context"),
        pytest.param(CONFIG, None, "no current-context", id="none chosen"),
        pytest.param(CONFIG, "b", "names cluster 'gone', which has no server; clusters there: c", id="dangling cluster"),
        pytest.param("{a: [", None, "its YAML is broken", id="broken YAML"),
        pytest.param("- a", None, "a mapping", id="not a mapping"),
        pytest.param("", None, "a mapping", id="empty"),
        pytest.param("a: 1\n---\nb: 2\n", None, "a mapping", id="two documents"),
        pytest.param({"clusters": {}}, "a", "clusters is a mapping; allowed: a list", id="clusters is a mapping"),
        pytest.param({"contexts": 5}, None, "contexts is a number; allowed: a list", id="contexts is a number"),
        pytest.param({"contexts": [5]}, None, "contexts[0] is a number; allowed: a mapping", id="a context is a number"),
        pytest.param({"contexts": [{"name": 5}]}, None, "contexts[0].name is a number", id="a name is a number"),
        pytest.param({"contexts": CONFIG["contexts"] * 2}, "a", "contexts has 'a' twice", id="a name given twice"),
        pytest.param({"current-context": True}, None, "current-context is true or false", id="the context is a flag"),
    ],
)
def test_a_wrong_kubeconfig_names_the_file_and_what_is_there(
    tmp_path: Path, document: Any, context: str | None, told: str
) -> None:
    if isinstance(document, dict):
        document = {**CONFIG, **document}
    path = write(tmp_path, document)
    with pytest.raises(BadKubeconfig) as caught:
        load(path, context)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert not isinstance(caught.value, Unusable)


@pytest.mark.parametrize(
    ("cluster", "user", "told"),
    [
        pytest.param({"server": 5}, {}, "server is a number; allowed: a text", id="server is a number"),
        pytest.param({"server": "x:6443"}, {}, "allowed: https://HOST", id="server without a scheme"),
        pytest.param({"server": "ftp://x"}, {}, "allowed: https://HOST", id="server by FTP"),
        pytest.param({"server": "https://"}, {}, "allowed: https://HOST", id="server without a host"),
        pytest.param({"server": "https://x:port"}, {}, "allowed: https://HOST", id="server's port is a word"),
        pytest.param({"server": "https://[::1"}, {}, "allowed: https://HOST", id="server's address is broken"),
        pytest.param({"server": "https://x y"}, {}, "allowed: https://HOST", id="server with a space"),
        pytest.param({"insecure-skip-tls-verify": "false"}, {}, "allowed: true or false", id="a flag in quotes"),
        pytest.param(
            {"insecure-skip-tls-verify": True, "certificate-authority-data": "Q0E="}, {},
            "insecure-skip-tls-verify is true beside certificate-authority", id="insecure with a CA",
        ),
        pytest.param({"certificate-authority-data": "%"}, {}, "certificate-authority-data is not base64", id="CA no base64"),
        pytest.param({"certificate-authority": "none.pem"}, {}, "none.pem", id="CA's file is missing"),
        pytest.param({"certificate-authority": "."}, {}, "certificate-authority cannot be read", id="CA is a folder"),
        pytest.param({"certificate-authority": "a\0b"}, {}, "certificate-authority cannot be read", id="CA with a null byte"),
        pytest.param({"tls-server-name": []}, {}, "tls-server-name is a list", id="server's name is a list"),
        pytest.param({"proxy-url": 5}, {}, "proxy-url is a number", id="proxy is a number"),
        pytest.param({}, {"token": 12345678}, "token is a number; allowed: a text", id="token is a number"),
        pytest.param({}, {"tokenFile": {}}, "tokenFile is a mapping", id="token file is a mapping"),
        pytest.param({}, {"client-certificate-data": "Q0E="}, "client-key is missing", id="no key"),
        pytest.param({}, {"client-key-data": "Q0E="}, "client-certificate is missing", id="no certificate"),
        pytest.param({}, {"username": "a", "token": "t"}, "given beside a token", id="two ways at once"),
        pytest.param({}, {"username": "a:b", "password": "c"}, "has a colon", id="a name with a colon"),
        pytest.param({}, {"auth-provider": {"name": "gcp"}}, "auth-provider is not supported", id="auth-provider"),
        pytest.param({}, {"exec": "aws"}, "exec is a text; allowed: a mapping", id="exec is a text"),
        pytest.param({}, {"exec": {}}, "command is missing", id="exec is empty"),
        pytest.param({}, {"exec": {"command": "aws", "args": "a"}}, "args is a text; allowed: a list", id="args is a text"),
        pytest.param({}, {"exec": {"command": "aws", "args": [5]}}, "args[0] is a number", id="an argument is a number"),
        pytest.param({}, {"exec": {"command": "aws", "args": ["\0"]}}, "null byte", id="an argument is a null byte"),
        pytest.param({}, {"exec": {"command": "aws", "env": {"A": "b"}}}, "env is a mapping", id="env is a mapping"),
        pytest.param({}, {"exec": {"command": "aws", "env": [{"value": "b"}]}}, "no name of a variable", id="env, no name"),
        pytest.param(
            {}, {"exec": {"command": "aws", "interactiveMode": "Always"}},
            "interactiveMode is Always, but the program would ask a person", id="a program that asks a person",
        ),
        pytest.param({}, {"exec": {"command": "aws", "interactiveMode": "x"}}, "allowed: Never, IfAvailable", id="no mode"),
        pytest.param({}, {"as-groups": ["g"]}, "as is missing", id="groups of nobody"),
        pytest.param({}, {"as": "a\nb"}, "printable", id="a name with a line break"),
        pytest.param({}, {"as": "a", "as-user-extra": {"k": "v"}}, "k is a text; allowed: a list", id="extra is a text"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_reported_by_its_place_without_a_value(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], told: str
) -> None:
    path = write(tmp_path, with_(cluster, user))
    with pytest.raises(BadKubeconfig) as caught:
        load(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert isinstance(caught.value, Unusable) == ("server" not in cluster), "Unusable leads to a server"
    assert "12345678" not in f"{caught.value} {caught.value.remedy}"


def test_a_missing_kubeconfig_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(BadKubeconfig, match="kubeconfig of plum cannot be read"):
        load(tmp_path / "none", cluster="plum")
    with pytest.raises(BadKubeconfig, match="kubeconfig cannot be read"):
        load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadKubeconfig, match="not UTF-8"):
        load(tmp_path / "binary")
    (tmp_path / "large").write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(BadKubeconfig, match="more than"):
        load(tmp_path / "large")


def test_paths_are_relative_to_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    for folder in (elsewhere, home):
        folder.mkdir()
    (tmp_path / "ca.pem").write_text("from the file's folder")
    (home / "pair.pem").write_text("from home")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(home))
    user = {"client-certificate": "~/pair.pem", "client-key": "~/pair.pem", "tokenFile": "t"}
    access = load(write(tmp_path, with_({"certificate-authority": "ca.pem"}, user)))
    assert access.ca == b"from the file's folder"
    assert access.certificate == access.key == b"from home"
    assert access.token_file == tmp_path / "t"


def test_data_comes_before_a_path(tmp_path: Path) -> None:
    data = base64.b64encode(b"data").decode()
    both = {"certificate-authority": "gone.pem", "certificate-authority-data": f"{data[:4]}\n{data[4:]}\n"}
    assert load(write(tmp_path, with_(both))).ca == b"data"


def test_the_path_of_a_program_means_what_kubectl_means(tmp_path: Path) -> None:
    def command(name: str) -> str:
        plugin = load(write(tmp_path, with_(user={"exec": {"command": name}}))).exec_plugin
        assert isinstance(plugin, Exec)
        return plugin.command

    assert command("./get-token") == str(tmp_path / "get-token")
    assert command("aws") == "aws"
    assert command("/bin/aws") == "/bin/aws"


def test_whom_the_user_acts_as_is_kept() -> None:
    user = {"token": "t", "as": "me", "as-uid": "7", "as-groups": ["g", "h"], "as-user-extra": {"why": ["a"]}}
    assert read(with_(user=user)).impersonate == (
        ("Impersonate-User", "me"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "g"),
        ("Impersonate-Group", "h"),
        ("Impersonate-Extra-why", "a"),
    )


def test_a_portable_text_means_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    path = write(tmp_path, with_({"certificate-authority": "ca.pem"}, {"exec": {"command": "./get", "args": ["a"]}}))
    monkeypatch.chdir("/")
    access = read(portable(path))
    assert (access.ca, access.exec_plugin) == (b"CA", Exec(str(tmp_path / "get"), ("a",)))
    whole = "# mine\n" + manifests.write(CONFIG)
    assert portable(write(tmp_path, whole)) == whole, "what needs no change is the file as it is"


def test_two_descriptions_of_one_server_have_one_endpoint() -> None:
    one, other = read(with_({"server": "https://X"})), read(with_({"server": "https://x:443/"}))
    assert one.endpoint == other.endpoint
    assert one.endpoint != read(with_({"server": "https://x", "proxy-url": "http://p:1"})).endpoint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EXTENSION = {"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}
PLUGIN = {
    "command": "c",
    "args": ["a"],
    "env": [{"name": "N", "value": "v"}],
    "apiVersion": "v",
    "interactiveMode": "Never",
    "provideClusterInfo": True,
    "installHint": "h",
}
CLUSTER = {"certificate-authority-data": "Q0E=", "proxy-url": "http://p:1", "tls-server-name": "n", "extensions": [EXTENSION]}
FULL = json.loads(
    with_(
        {**CLUSTER, "insecure-skip-tls-verify": False},
        {
            "token": "t",
            "tokenFile": "f",
            "username": "",
            "as": "m",
            "as-groups": ["g"],
            "as-user-extra": {"k": ["v"]},
            "client-certificate-data": "Q0E=",
            "client-key-data": "Q0E=",
            "exec": PLUGIN,
        },
    )
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def test_the_full_kubeconfig_is_right() -> None:
    assert read(json.dumps(FULL)).exec_plugin == Exec(
        "c", ("a",), {"N": "v"}, "v", "h",
        {"server": "https://x:6443", "tls-server-name": "n", "certificate-authority-data": "Q0E=", "proxy-url": "http://p:1",
         "config": {"a": 1}},
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(FULL)), JSON)
def test_no_value_anywhere_ends_in_anything_but_an_access_or_words(place: tuple[Any, ...], value: Any) -> None:
    document = {"": copy.deepcopy(FULL)}
    owner: Any = document
    for key in ("", *place)[:-1]:
        owner = owner[key]
    owner[("", *place)[-1]] = value
    assert told(json.dumps(document[""]))


def told(text: str) -> bool:
    """It is read, or words tell why not."""
    try:
        return read(text).server.startswith("http")
    except AccessError as problem:
        return problem.message.startswith("kubeconfig: ") and bool(problem.remedy)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a": ' + "9" * 5000 + "}", id="a number of thousands of digits"),
        pytest.param("a: " + "9" * 5000, id="and in YAML"),
        pytest.param("a: &x [*x]", id="a list of itself"),
        pytest.param("[" * 3000, id="nested for ever"),
        pytest.param("a: !!binary '%%'", id="no base64"),
        pytest.param("? [x]\n: y", id="a list as key"),
        pytest.param("\0", id="a null byte"),
    ],
)
def test_texts_that_break_readers_of_yaml_are_reported(text: str) -> None:
    with pytest.raises(BadKubeconfig, match="kubeconfig: "):
        read(text)


def test_halves_of_letters_are_reported() -> None:
    for user in ({"token": "\ud800"}, {"username": "\ud800"}, {"exec": {"command": "c", "args": ["\udfff"]}}):
        with pytest.raises(Unusable, match="that are no text"):
            read(with_(user=user))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda each: each.decode("latin-1")))
def test_no_text_ends_in_anything_but_words(text: str) -> None:
    with pytest.raises(BadKubeconfig):
        read(text)


@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be waited for without end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(BadKubeconfig, match=r"cannot be read \(.*(no regular file|Is a directory)") as caught:
            load(path)
        assert str(path) in caught.value.message
        assert caught.value.remedy
    authority = {"certificate-authority-data": None, "certificate-authority": str(pipe)}
    with pytest.raises(Unusable, match="no regular file"):
        read(with_(authority))
    with pytest.raises(Unusable, match="no regular file"):
        read_file(pipe)


def test_a_kubeconfig_may_come_by_stdin() -> None:
    command = [sys.executable, "-c", "from access.kubeconfig import load; print(load('/dev/stdin').server)"]
    done = subprocess.run(command, input=with_(), stdout=subprocess.PIPE, timeout=60, check=True, text=True)
    assert done.stdout.strip() == "https://x:6443"
