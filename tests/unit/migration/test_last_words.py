"""The last line of defence: whatever goes wrong in a command, people read a sentence, a pipeline a document, and nobody a
password.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from migration.cli import console as terminal
from migration.cli import main as cli
from migration.cli import shift as cli_shift
from migration.discretion import without_passwords
from migration.errors import BluegreenError, Held, Rejected, Unreachable
from tests.fakes.project import Project

PASSWORD = "hunter2:with/odd@characters"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `bluegreen resume` end in this."""

    def set_up(problem: BaseException) -> None:
        def act(self: terminal.Context) -> None:
            raise problem

        monkeypatch.setattr(terminal.Context, "load", act)

    return set_up


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any] | None, str]:
    code = cli.run(words)
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


@pytest.mark.parametrize("problem", [RuntimeError("odd"), ZeroDivisionError(), asyncio.CancelledError("cut")], ids=repr)
def test_an_unforeseen_error_is_reported_as_a_fault_of_the_program(
    capsys: pytest.CaptureFixture[str], failing: Any, problem: BaseException
) -> None:
    failing(problem)
    code, document, err = ran(capsys, "resume", "--json")
    assert code == 1
    assert document is not None
    assert (document["version"], document["command"]) == (1, "resume")
    assert document["error"]["kind"] == "internal"
    assert type(problem).__name__ in document["error"]["message"]
    assert "Traceback" in err
    assert "test_last_words.py" in err, "from where it came"
    assert "next: report it" in err


def test_what_ends_the_interpreter_is_not_caught(failing: Any) -> None:
    failing(SystemExit(7))
    with pytest.raises(SystemExit):
        cli.run(["resume"])


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), click.Abort()], ids=repr)
def test_an_interrupt_is_130_with_a_document(capsys: pytest.CaptureFixture[str], failing: Any, problem: BaseException) -> None:
    failing(problem)
    code, document, err = ran(capsys, "--json", "resume")
    assert code == 130
    assert document is not None
    assert (document["error"]["kind"], document["error"]["exit_code"]) == ("interrupted", 130)
    assert "Traceback" not in err


def test_ctrl_c_at_a_question_is_130_before_anything_is_done(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", interrupt)
    before = project.edge.read_bytes()
    assert project.ran("unenroll", "shop/search").code == 130
    assert project.edge.read_bytes() == before


PROGRAM = """
import sys, time
from migration.cli import console as terminal, main as cli
def wait(self):
    terminal.run(forever())
async def forever():
    import asyncio
    print("waiting", file=sys.stderr, flush=True)
    await asyncio.sleep(600)
terminal.Context.load = wait
sys.argv = ["bluegreen", "--json", "resume"]
cli.main()
"""


def test_ctrl_c_in_a_run_is_130_with_a_document() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "waiting" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert "Traceback" not in err


@pytest.mark.parametrize(("target", "code"), [("closed", 141), ("/dev/full", 1)])
def test_an_output_that_takes_nothing_ends_without_a_traceback(target: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.argv = ['bluegreen', '--help']; from migration.cli.main import main; main()",
            ],
            cwd=ROOT,
            stdout=writing if target == "closed" else full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)
        os.close(full)
    assert done.returncode == code
    assert "Exception ignored" not in done.stderr
    if code == 1:
        assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("words", "as_json", "command"),
    [
        (["--json", "shfit"], True, ""),
        (["shift", "--nonsense", "--json"], True, "shift"),
        (["shift", "--nonsense"], False, "shift"),
        (["entry", "shift", "--json", "--to", "many"], True, "entry shift"),
        (["shift", "--nonsense", "--", "--json"], False, "shift"),
        (["--config"], False, ""),
    ],
)
def test_a_wrong_command_line_is_reported_in_the_form_that_it_asks_for(
    capsys: pytest.CaptureFixture[str], words: list[str], as_json: bool, command: str
) -> None:
    code, document, err = ran(capsys, *words)
    assert code == 2
    assert (document is not None) is as_json
    if document is not None:
        assert document["command"] == command
        assert document["error"]["kind"] == "usage"
        assert document["error"]["remedy"].endswith("--help")
    assert err.startswith("bluegreen: ")
    assert "\n  next: bluegreen" in err


def test_a_service_that_is_named_like_an_option_asks_for_no_json(project: Project) -> None:
    done = project.ran("rollback", "--", "--json")
    assert done.code == 2
    assert "not enrolled: --json" in done.err
    assert done.out == ""


def test_a_message_of_several_lines_stays_one_message(capsys: pytest.CaptureFixture[str], failing: Any) -> None:
    failing(Held("these routes cannot be shifted:\n  shop/a: why\n  shop/b: why", remedy="leave them out"))
    code, document, err = ran(capsys, "resume", "--json")
    assert code == 3
    assert document is not None
    assert document["error"]["message"].splitlines()[2] == "  shop/b: why"
    assert err.splitlines()[0] == "bluegreen: these routes cannot be shifted:"
    assert err.splitlines()[-1] == "  next: leave them out"


def test_verbose_prints_what_led_to_it(capsys: pytest.CaptureFixture[str], failing: Any) -> None:
    problem = Unreachable("plum does not answer", remedy="look")
    problem.__cause__ = ValueError("in the middle")
    problem.__cause__.__cause__ = OSError(111, "refused")
    problem.__cause__.__cause__.__cause__ = problem  # a circle ends
    failing(problem)
    assert "cause" not in ran(capsys, "resume")[2]
    _, _, err = ran(capsys, "--verbose", "resume")
    assert err.splitlines()[1:4] == [
        "  cause: ValueError: in the middle",
        "  cause: ConnectionRefusedError: [Errno 111] refused",
        "  next: look",
    ]


# -- secrets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://user:pass@proxy:3128/", "https://***@proxy:3128/"),
        ("http://token@store/api", "http://***@store/api"),
        ("socks5://u:p@[::1]:1080", "socks5://***@[::1]:1080"),
        ("cannot reach 'http://u:p%40x@h' or \"http://v:q@g/x?y=1\"", "cannot reach 'http://***@h' or \"http://***@g/x?y=1\""),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("token k8s-aws-v1.aHR0cHM6Ly9zdHM", "token ***"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJr.c2lnbmF0dXJl of a pod", "*** of a pod"),
        ("mail to ops@example.com about shop/cart@2", "mail to ops@example.com about shop/cart@2"),
        ("http://10.0.0.1:8428/api/v1/query?x=a@b", "http://10.0.0.1:8428/api/v1/query?x=a@b"),
        ("bearer of news", "bearer of news"),
        ("username: has a colon, which basic authentication cannot send",) * 2,
        ("which bearer authentication failed; basic connectivity, Bearer ServiceAccounts",) * 2,
        ("authorization: denied by the webhook",) * 2,
        ("Basic dTpw is refused", "Basic *** is refused"),
        ("Proxy-Authorization: Basic dTpw", "Proxy-Authorization: Basic ***"),
        ("{'Authorization': 'Bearer short', 'X': '1'}", "{'Authorization': 'Bearer ***', 'X': '1'}"),
        ("(('Authorization', 'Bearer short'), 1)", "(('Authorization', 'Bearer ***'), 1)"),
        (r'"{\"Authorization\": \"Basic dTpw\"}"', r'"{\"Authorization\": \"Basic ***\"}"'),
        ("authorization=0123456789abcdef0123", "authorization=***"),
        ("Bearer abcdef.0123456789abcdef", "Bearer ***"),
        ("Bearer%200123456789abcdef", "Bearer ***"),
        ("bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "bearer ***"),
        ("x-eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJr", "x-***"),
        ("http://u:p@ss@h/ and http://a:b@c", "http://***@h/ and http://***@c"),
    ],
)
def test_only_passwords_and_tokens_are_masked(text: str, told: str) -> None:
    assert without_passwords(text) == told


@pytest.mark.parametrize("words", [("resume",), ("--verbose", "resume"), ("--json", "resume")], ids=" ".join)
def test_a_password_in_an_error_or_below_it_is_not_printed(
    capsys: pytest.CaptureFixture[str], failing: Any, words: tuple[str, ...]
) -> None:
    address = "https://ann:hunter2@proxy:3128"
    for problem in (
        Rejected(f"{address} refuses", remedy=f"curl -x {address}"),
        RuntimeError(f"{address} is odd"),
    ):
        problem.__cause__ = OSError(f"cannot connect to {address}")
        failing(problem)
        cli.run(words)
        out, err = capsys.readouterr()
        assert "hunter2" not in out + err
        assert "proxy:3128" in out + err


def test_a_password_in_a_line_of_the_log_is_not_printed() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", ("https://ann:hunter2@proxy",), None)
    assert cli.Discreet("%(message)s").format(record) == "https://***@proxy"


def secret_words(project: Project, **user: Any) -> None:
    """kubeconfigs with a proxy that nobody is at, and this user."""
    for name in project.servers:
        path = project.folder / f"{name}.kubeconfig"
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"]["proxy-url"] = "http://ann:hunter2@127.0.0.1:9"
        config["users"][0]["user"] = user
        path.write_text(json.dumps(config))


@pytest.mark.parametrize("words", [("status",), ("enroll", "--yes"), ("rollback",), ("shift", "--yes"), ("-v", "preflight")])
def test_no_command_prints_the_password_of_a_proxy(project: Project, words: tuple[str, ...]) -> None:
    secret_words(project, token="t0ken-of-the-user")
    document = project.run(*words)
    done = project.ran(*words)
    told = json.dumps(document[1]) + done.out + done.err + without_passwords(document[2])  # as the log's formatter has it
    assert "hunter2" not in told
    assert "t0ken-of-the-user" not in told + document[2]
    assert "127.0.0.1:9" in told, "which proxy is told"


@pytest.mark.parametrize(
    "answer",
    [
        '{"kind": "ExecCredential", "token": "s3cret-token"}',
        "s3cret-token",
        '{"status": "s3cret-token"}',
        '{"status": {"token": "s3cret-token", "expirationTimestamp": "s3cret-token"}}',
    ],
)
def test_what_a_credential_program_prints_is_not_repeated(project: Project, answer: str) -> None:
    program = project.folder / "program"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o700)
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    secret_words(project, exec=plugin)
    code, document, told = project.run("-v", "enroll", "--yes")
    assert code != 0
    assert document is not None
    assert document["error"]["kind"] != "internal", document
    assert "s3cret" not in told + json.dumps(document)


def test_the_value_of_a_secret_that_is_refused_is_not_printed() -> None:
    from migration.clients import discreet

    answer = {"reason": "Invalid", "message": 'Secret "x" is invalid: data: Invalid value: "aHVudGVyMg==": illegal base64 data'}
    told = discreet.message_of("PATCH", "/api/v1/namespaces/n/secrets/x", 422, answer, answer["message"])
    assert "aHVudGVyMg" not in told
    assert "illegal base64 data" in told


def test_these_commands_exist_as_they_are_used_here() -> None:
    assert isinstance(cli_shift.resume, click.Command)
    assert issubclass(Held, BluegreenError)
