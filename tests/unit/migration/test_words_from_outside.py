"""What the command line, the environment and the system hand in may be no UTF-8: what is kept and printed always is."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import routing
from migration.store import journal, pause
from migration.store.lock import take
from migration.words import clean
from tests.fakes.project import SPLITS, Project

ROOT = Path(__file__).parents[3]
SURROGATES = "checkout \udcff\udcfe is slow \ud800"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("checkout is slow: é 漢 😀", "checkout is slow: é 漢 😀"),
        ("\udcc3\udca9", "é"),
        ("a\udcffb", "a�b"),
        ("a\ud800c", "a�c"),
        ("", ""),
    ],
    ids=ascii,
)
def test_only_what_is_no_text_is_replaced(text: str, kept: str) -> None:
    assert clean(text) == kept


def test_a_rollback_keeps_a_reason_of_bytes_as_text(project: Project) -> None:
    code, rolled, _ = project.run("rollback", "--reason", SURROGATES)
    assert (code, project.at_blue(), rolled["complete"]) == (0, set(SPLITS), True)
    raw = (project.store / journal.FILE).read_bytes().decode()
    reasons = {json.loads(line)["reason"] for line in raw.splitlines()}
    assert "checkout �� is slow �" in reasons
    kept = project.servers["plum"].objects["", "ConfigMap", routing.EDGE_NAMESPACE, routing.RECORD_NAME]["data"]
    assert "checkout �� is slow �" in json.loads(kept["returned"])["shop/cart"]
    _, found, _ = project.run("status")
    assert {row["reason"] for row in found["services"]} >= {"manual rollback: checkout �� is slow �"}


def test_a_reason_of_bytes_from_a_shell_is_kept_as_text(project: Project) -> None:
    """As an argument of a process, under LC_ALL=C."""
    program = "import sys; from migration.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--json", "-c", str(project.file), "rollback", "--reason", b"slow \xff\xfe"],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, project.at_blue()) == (0, set(SPLITS)), done.stderr
    (project.store / journal.FILE).read_bytes().decode()
    assert {event.reason for event in journal.read(project.store / journal.FILE) if event.op == "return"} == {
        "manual rollback: slow ��"
    }


@pytest.mark.parametrize(
    "words", [("rollback", "shop/c\udcff"), ("verify", "shop/c\udcff"), ("shift", "shop/c\udcff")], ids=ascii
)
def test_a_name_of_bytes_is_refused_in_valid_json(project: Project, words: tuple[str, ...]) -> None:
    done = project.ran("--json", *words)
    assert done.code == 2
    message = json.loads(done.out)["error"]["message"]
    assert "shop/c�" in message
    message.encode()


def test_users_and_hosts_of_bytes_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "k\udcffim")
    monkeypatch.setattr(socket, "gethostname", lambda: "ops\udcfe")
    store = tmp_path / "store"
    assert pause.pause(store) is None
    assert pause.paused(store) == "k�im"
    lock = take(store, "bluegreen shift")
    there = json.loads((store / "lock").read_bytes().decode())
    assert (there["user"], there["host"]) == ("k�im", "ops�")
    lock.release()


def test_a_user_without_a_name_is_shown_by_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert pause.user() == f"uid {os.getuid()}"
