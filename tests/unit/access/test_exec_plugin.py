"""A credential program that hangs must not hang the command."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from access.errors import AccessError, NoCredentials, NotGiven
from access.exec_plugin import SECONDS, ask, last_words, read
from access.kubeconfig import Access, Exec

PLUM = Access("plum", "http://127.0.0.1:9", "the-kubeconfig")


def shell(script: str, **more: Any) -> Exec:
    return Exec("sh", ("-c", script), **more)


def hanging(note: Path) -> Exec:
    """Waits for a child of its own, as a wrapper around `aws` does."""
    return shell(f"sleep 600 & echo $! > {note}; wait")


def answering(**status: Any) -> Exec:
    return shell(f"echo '{json.dumps({'kind': 'ExecCredential', 'status': status})}'")


def running(note: Path) -> bool:
    """The child; one that nobody has waited for yet has ended all the same."""
    try:
        return Path(f"/proc/{note.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(note: Path) -> None:
    """It was sent its end when the command went on; on a busy machine it takes its time to go."""
    deadline = time.monotonic() + 10
    while running(note):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hanging_credential_program_is_ended_with_an_error_that_names_it(tmp_path: Path) -> None:
    note = tmp_path / "child"
    with pytest.raises(NotGiven) as caught:
        asyncio.run(asyncio.wait_for(ask(PLUM, hanging(note), 0.5), 10))
    for part in ("the-kubeconfig", "credential program of plum (sh -c", "within 0.5 s"):
        assert part in str(caught.value)
    assert "run it by hand" in str(caught.value.remedy)
    gone(note)
    assert SECONDS == 15


def test_a_credential_program_ends_with_the_command_that_asked(tmp_path: Path) -> None:
    note = tmp_path / "child"

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(PLUM, hanging(note)), 0.5)

    asyncio.run(leave())
    gone(note)


def test_what_a_credential_program_answers_is_used() -> None:
    given = asyncio.run(ask(PLUM, answering(token="from-program")))
    assert (given.token, given.pair, given.until) == ("from-program", None, float("inf"))
    assert "from-program" not in repr(given)
    given = asyncio.run(ask(PLUM, answering(clientCertificateData="C", clientKeyData="K")))
    assert (given.token, given.pair) == (None, (b"C", b"K"))


def test_a_program_gets_the_exec_info_that_it_asks_for(tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f'printf %s "$KUBERNETES_EXEC_INFO" > {note}; test -t 0 || cat; echo {{\\"status\\":{{\\"token\\":\\"$NAME\\"}}}}'
    plugin = shell(script, env={"NAME": "by-env"}, version="client.authentication.k8s.io/v1beta1")
    assert asyncio.run(ask(PLUM, plugin)).token == "by-env"
    version = "client.authentication.k8s.io/v1beta1"
    told = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert json.loads(note.read_text()) == told
    asyncio.run(ask(PLUM, replace(plugin, cluster={"server": "https://x"})))
    assert json.loads(note.read_text())["spec"] == {"interactive": False, "cluster": {"server": "https://x"}}


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        pytest.param(shell("echo no >&2; exit 3"), "failed with 3: no", id="it fails"),
        pytest.param(shell("exit 7"), "failed with 7 and said nothing", id="it fails without a word"),
        pytest.param(shell("printf ' \\n\\t\\n' >&2; exit 7"), "failed with 7 and said nothing", id="it fails with blanks"),
        pytest.param(Exec("no-such-program", hint="install it from here"), "cannot be run: No such file", id="not installed"),
        pytest.param(Exec("/"), "cannot be run: Permission denied", id="a folder"),
        pytest.param(shell("echo hello"), "ExecCredential: it is not JSON", id="words"),
        pytest.param(shell("printf '\\377'"), "ExecCredential: it is not JSON", id="no text"),
        pytest.param(shell("echo 5"), "it has no status", id="a number"),
        pytest.param(shell("echo '{\"status\": []}'"), "it has no status", id="a list as status"),
        pytest.param(answering(), "neither a token nor a certificate", id="nothing"),
        pytest.param(answering(token=5), "token is not a text", id="a number as token"),
        pytest.param(answering(clientCertificateData="C"), "come together only", id="half a pair"),
        pytest.param(answering(token="secret", expirationTimestamp="soon"), "no time in RFC 3339", id="no time"),
    ],
)
def test_a_program_that_gives_nothing_is_reported_with_a_remedy(plugin: Exec, told: str) -> None:
    with pytest.raises(AccessError) as caught:
        asyncio.run(ask(PLUM, plugin))
    # what ran may run better later; what cannot be run is mended by an edit alone
    assert type(caught.value) is (NoCredentials if "cannot be run" in told else NotGiven)
    assert told in caught.value.message
    assert "the-kubeconfig: the credential program of plum (" in caught.value.message
    assert caught.value.remedy
    if plugin.hint:
        assert caught.value.remedy == plugin.hint


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (b"one\ntwo\n\n", "two"),
        (b"Open https://sso.test/device?code=SECRET123\nlogin expired", "login expired"),
        (b"see https://sso.test/device?code=SECRET123#SECRET, then again", "see https://sso.test/device?... then again"),
        (b"see 'https://me:SECRET@sso.test/x?a=SECRET' again", "see 'https://***@sso.test/x?...' again"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07and\rwhite\r\n", "white"),
        (b"a\x00\x08b\tc", "a b c"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_the_last_line_of_a_programs_complaint_is_reported_without_secrets(complaint: bytes, told: str) -> None:
    assert last_words(complaint) == told


def test_a_long_complaint_is_capped() -> None:
    script = "head -c 200000 /dev/zero | tr '\\0' x >&2; exit 3"
    with pytest.raises(NotGiven) as caught:
        asyncio.run(ask(PLUM, shell(script)))
    assert len(caught.value.message) < 600
    assert "\n" not in caught.value.message


def test_what_a_program_said_is_not_repeated() -> None:
    for answer in (b"secret", b'{"status": {"token": "secret", "expirationTimestamp": "secret"}}'):
        with pytest.raises(ValueError, match=r"JSON|RFC 3339") as caught:
            read(answer)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("stamp", "until"),
    [
        ("1970-01-01T00:14:00Z", 840 - 60),
        ("1970-01-01T01:14:00+01:00", 840 - 60),
        ("1970-01-01T00:01:40Z", 90),
        ("1969-12-31T23:00:00Z", -3600),
    ],
)
def test_a_token_is_replaced_before_it_expires_but_not_at_once(stamp: str, until: float) -> None:
    answer = json.dumps({"status": {"token": "t", "expirationTimestamp": stamp}}).encode()
    assert read(answer, now=0.0).until == until
