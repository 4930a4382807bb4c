"""Whatever the operating system refuses of what the migration keeps on disk: kind `store`, what, where, why and the next
command; nothing is lost, and nothing of it stands between users and the way back.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from migration import disk
from migration.errors import BluegreenError, Locked, StoreError
from migration.model import WHOLE_BP
from migration.store import lock
from migration.store.events import Change, Op, Outcome, open_intents
from migration.store.journal import FILE, Journal, read
from tests.fakes.disk import REFUSALS, refusing
from tests.fakes.project import SPLITS, Project

ALL = frozenset(SPLITS)
COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "capacity release": ("capacity", "release", "--yes"),
    "shift": ("shift", "--yes"),
    "enroll": ("enroll", "shop/new", "--yes"),
    "unenroll": ("unenroll", "shop/search", "--yes", "--force"),
    "pause": ("pause",),
    "resume": ("resume",),
}
EVERY = frozenset(COMMANDS)
STORE_WRITES = frozenset({"pause", "shift", "enroll", "unenroll"})
LOCKING = STORE_WRITES - {"pause"}
NO_STACK = frozenset({"pause", "resume"})


@pytest.fixture
def project(project: Project) -> Project:
    """With a service that can be enrolled, and a store that was used."""
    from tests.fakes.project import original

    for server in project.servers.values():
        server.put(original("shop/new"))
    store = project.folder / ".bluegreen"
    lock.take(store, "bluegreen shift").release()
    journal = Journal(store, 1, lambda: 1.8e9)
    ids = journal.promise(Op.SHIFT, [Change("shop/cart", 0, 2500, "a step")])
    journal.outcomes(Op.SHIFT, ids, [Outcome("shop/cart", 2500, "a step")])
    journal.close()
    return project


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "fence", "fence.lock")
    }


def kept(before: dict[str, bytes], after: dict[str, bytes]) -> bool:
    """Each file as it was, or (of the journal) with whole lines more; no remains of a write that failed."""
    journal = f".bluegreen/{FILE}"
    return (
        before.keys() == after.keys()
        and after.get(journal, b"").startswith(before.get(journal, b""))
        and all(after[name] == text for name, text in before.items() if name != journal)
    )


def failed(project: Project, *words: str) -> tuple[int, dict[str, str]]:
    code, document, told = project.run(*words)
    assert "Traceback" not in told
    assert document is None or document.get("error", {}).get("kind") != "internal", document
    return code, (document or {}).get("error", {})


# -- what a disk can do --------------------------------------------------------------------------------------------------


FAIL_BY: dict[str, frozenset[str]] = {  # the commands that have to fail where that call is refused everywhere
    "read": EVERY,
    "unlink": frozenset({"unenroll", "resume"}),
    "mkdir": frozenset(),  # of folders that are there already
    "flock": LOCKING,
    **dict.fromkeys(("create", "write", "fsync", "fchmod", "rename"), STORE_WRITES),
}


@pytest.mark.wide(4)
@pytest.mark.parametrize("call", REFUSALS)
def test_what_the_disk_refuses_is_reported_without_losing_anything(project: Project, call: str) -> None:
    number = REFUSALS[call][0]
    only: Callable[[Path], bool] = lambda path: not path.name.endswith(".kubeconfig")  # noqa: E731 - the reader's own
    for command, words in COMMANDS.items():
        if command == "resume":
            (project.folder / ".bluegreen/pause").write_text("ann")
        before = contents(project.folder)
        with refusing(project.folder, call, number, only) as refused:
            code, error = failed(project, *words)
        if command not in FAIL_BY[call]:
            assert error.get("kind") != "store", (command, error)
            continue
        assert refused, command
        assert (code, error.get("kind")) == (1, "store"), command
        assert os.strerror(number) in error["message"]
        assert str(project.folder) in error["message"], "which file"
        assert error["remedy"]
        if (command, call) != ("unenroll", "unlink"):  # that has done its work by then
            assert kept(before, contents(project.folder)), command


@pytest.mark.wide(4)
@pytest.mark.parametrize("call", REFUSALS)
def test_a_rollback_needs_nothing_that_the_disk_refuses(project: Project, call: str) -> None:
    before = contents(project.folder)
    keep_readable = {"migration.yaml", "Pulumi.edge.yaml", "plum.kubeconfig", "fern.kubeconfig"}
    with refusing(project.folder, call, REFUSALS[call][0], lambda path: call != "read" or path.name not in keep_readable):
        code, error = failed(project, "rollback")
    assert project.at_blue() == ALL
    if call in ("unlink", "mkdir"):
        assert code == 0
        return
    assert code == 1
    assert "users are served by blue, but not all is done" in error["message"]
    if call not in ("read", "flock"):  # these leave the stack file alone
        assert "set these services to 0 there" in error["message"]
        assert before["stacks/Pulumi.edge.yaml"] == contents(project.folder)["stacks/Pulumi.edge.yaml"]
    code, _ = failed(project, "rollback")
    assert code == 0, "and a second one does the rest"


def test_every_number_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    numbers = {number for each in REFUSALS.values() for number in each}
    numbers |= {errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENFILE, errno.ENOSYS}
    for number in numbers:
        problem = disk.trouble(tmp_path / "x", "it cannot be read", OSError(number, os.strerror(number), "x"))
        assert str(problem) == f"{tmp_path}/x: it cannot be read: {os.strerror(number)}"
        assert problem.remedy
        assert "see to it" not in problem.remedy, os.strerror(number)
    unknown = disk.trouble(tmp_path / "x", "it cannot be read", OSError(errno.ENXIO, os.strerror(errno.ENXIO)))
    assert unknown.remedy == f"see to it (ls -ld {tmp_path}/x), then the same command again"


@pytest.mark.parametrize(
    ("call", "number"),
    [(call, number) for call in ("create", "write", "fsync", "fchmod", "rename") for number in REFUSALS[call]],
)
def test_a_write_is_whole_or_not_at_all(tmp_path: Path, call: str, number: int) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with refusing(tmp_path, call, number) as refused, pytest.raises(StoreError, match=os.strerror(number)):
        disk.write_whole(path, "new", "it")
    assert refused
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"file": "old"}


def test_a_disk_that_is_really_full_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past every replaced call: the kernel's own answer when the last buffer is written."""
    monkeypatch.setattr("migration.disk.tempfile.mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "x")))
    with pytest.raises(StoreError, match="No space left on device"):
        disk.write_whole(tmp_path / "file", "new", "it")
    assert not (tmp_path / "file").exists()


def test_what_is_renamed_is_written_also_where_its_folder_cannot_be_synced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the next look would call our own write somebody else's."""
    with refusing(tmp_path, "fsync", errno.EIO, lambda path: path == tmp_path):
        disk.write_whole(tmp_path / "file", "new", "it")
    assert (tmp_path / "file").read_text() == "new"
    assert "a power cut may bring the old one back" in caplog.text


# -- what people and tools leave in the way ------------------------------------------------------------------------------


def in_place(name: str, how: str) -> Callable[[Project], None]:
    def act(project: Project) -> None:
        path = project.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        match how:
            case "file":
                path.write_text("not a folder")
            case "folder":
                path.mkdir()
            case "nowhere":
                path.symlink_to("/nowhere/at/all")
            case "circle":
                path.symlink_to(path)
            case "latin-1":
                path.write_bytes(b"caf\xe9\n")

    return act


STORE, STACK, ROUTE = ".bluegreen", "stacks/Pulumi.edge.yaml", "stacks/edge.routes/shop.cart.yaml"
JOURNAL_READERS = frozenset({"shift", "status", "enroll", "unenroll", "capacity release"})
WRONG_PATHS = {(STACK, "folder"), ("migration.yaml", "folder")}  # an option or a line of migration.yaml names it
# what is broken -> the commands that must fail by it; all others may not even mention it
BROKEN: dict[tuple[str, str], frozenset[str]] = {
    (STORE, "file"): EVERY,
    (STORE, "nowhere"): STORE_WRITES,
    (STORE, "circle"): EVERY,
    (f"{STORE}/lock", "folder"): LOCKING,
    (f"{STORE}/lock", "nowhere"): LOCKING,
    (f"{STORE}/fence", "folder"): LOCKING,
    (f"{STORE}/fence.lock", "folder"): LOCKING,
    (f"{STORE}/pause", "folder"): frozenset({"pause", "resume"}),
    (f"{STORE}/{FILE}", "folder"): JOURNAL_READERS,
    (f"{STORE}/{FILE}", "circle"): JOURNAL_READERS,
    (f"{STORE}/{FILE}", "latin-1"): JOURNAL_READERS,
    (f"{STORE}/verified.json", "folder"): frozenset(),
    (f"{STORE}/verified.json", "latin-1"): frozenset(),
    (STACK, "folder"): EVERY - NO_STACK,
    (STACK, "circle"): EVERY - NO_STACK,
    ("stacks/edge.routes", "file"): EVERY - NO_STACK,
    (ROUTE, "folder"): EVERY - NO_STACK,
    ("migration.yaml", "folder"): EVERY,
    ("migration.yaml", "circle"): EVERY,
}


@pytest.mark.wide(8)
@pytest.mark.parametrize(("what", "fail"), BROKEN.items(), ids=lambda each: " ".join(each) if isinstance(each, tuple) else "")
def test_what_stands_in_the_way_is_reported(project: Project, what: tuple[str, str], fail: frozenset[str]) -> None:
    in_place(*what)(project)
    for command, words in COMMANDS.items():
        code, error = failed(project, *words)
        if command not in fail:
            assert error.get("kind") != "store", (command, error)
            continue
        assert (code, error.get("kind")) == ((2, "config") if what in WRONG_PATHS else (1, "store")), (command, error)
        assert str(project.folder / what[0]) in error["message"]
        assert error["remedy"]


@pytest.mark.parametrize("how", ["folder", "latin-1"])
def test_a_shift_without_a_journal_moves_nothing(project: Project, how: str) -> None:
    in_place(f"{STORE}/{FILE}", how)(project)
    text = project.file.read_text()
    project.file.write_text(
        text.replace("gateway:", f"counters: {{url: 'http://127.0.0.1:{project.refusing['plum']}'}}, gateway:")
    )
    before = contents(project.folder)
    code, error = failed(project, "shift", "--yes")
    assert (code, error["kind"]) == (1, "store")
    assert str(project.folder / STORE / FILE) in error["message"]
    assert kept(before, contents(project.folder))
    assert not [request for server in project.servers.values() for request in server.writes()]


ASKED_OF_THE_CLUSTERS = {"stacks/edge.routes", ROUTE, STACK}


@pytest.mark.wide(6)
@pytest.mark.parametrize("what", [each for each in BROKEN if each[0] != "migration.yaml"], ids=" ".join)
def test_nothing_that_stands_in_the_way_keeps_users_on_green(project: Project, what: tuple[str, str]) -> None:
    in_place(*what)(project)
    code, _ = failed(project, "rollback")
    assert project.at_blue() == ALL
    unharmed = {f"{STORE}/pause", f"{STORE}/verified.json", f"{STORE}/lock", *ASKED_OF_THE_CLUSTERS - {STACK}}
    assert code == (0 if what[0] in unharmed else 1)


def test_a_journal_that_a_crash_tore_is_read_without_its_last_line(project: Project) -> None:
    journal = project.folder / ".bluegreen" / FILE
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"seq": 3, "ti\xff\xfe\x00')
    code, _ = failed(project, "status")
    assert code == 0
    assert failed(project, "rollback")[0] == 0
    assert journal.read_bytes().startswith(whole)
    assert not open_intents(read(journal))


@pytest.mark.parametrize(
    "line",
    [
        b"caf\xe9",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"seq": 1}',
        b'{"seq": "1", "time": "", "fence": 1, "kind": "note", "id": "1-1", "of": null, "op": "stop", "target": "shift"}',
        b'{"seq": 1, "time": "", "fence": 1, "kind": "note", "id": "1-1", "of": null, "op": "stop", "target": null}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_none_of_a_journal_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / FILE).write_bytes(line + b"\n")
    with pytest.raises(StoreError, match=rf"{FILE}:1: not a line of a journal") as caught:
        read(tmp_path / FILE)
    assert len(str(caught.value)) < 400


# -- lock, fence, pause, journal -----------------------------------------------------------------------------------------


def test_a_file_system_without_locks_is_not_a_holder(tmp_path: Path) -> None:
    with refusing(tmp_path, "flock", errno.ENOLCK):
        with pytest.raises(StoreError, match="the migration's lock cannot be taken: No locks available") as caught:
            lock.take(tmp_path, "bluegreen shift")
        assert "set `store:` in migration.yaml to a folder on a local disk" in (caught.value.remedy or "")
        assert lock.holder(tmp_path) is None


def test_a_lock_that_was_only_partly_taken_is_released(tmp_path: Path) -> None:
    with refusing(tmp_path, "write", errno.ENOSPC), pytest.raises(StoreError):
        lock.take(tmp_path, "bluegreen shift")
    with refusing(tmp_path, "create", errno.ENOSPC, lambda path: path.name != "lock"), pytest.raises(StoreError):
        lock.take(tmp_path, "bluegreen shift")
    taken = lock.take(tmp_path, "bluegreen shift")
    with pytest.raises(Locked, match="`bluegreen shift` of"):
        lock.take(tmp_path, "bluegreen enroll")
    taken.release()


def test_looking_who_holds_the_lock_makes_no_file(tmp_path: Path) -> None:
    assert lock.holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_process_that_holds_the_fence_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "GUARD_SECONDS", 0.05)
    with (tmp_path / "fence.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="is held by another process"):
            lock.raise_fence(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EISDIR])
def test_a_pause_that_cannot_be_read_is_a_pause(tmp_path: Path, number: int) -> None:
    from migration.store.pause import pause, paused

    pause(tmp_path)
    with refusing(tmp_path, "read", number):
        assert os.strerror(number) in (paused(tmp_path) or "")


def test_verdicts_that_cannot_be_read_are_not_overwritten(tmp_path: Path) -> None:
    from migration.store import verdicts

    verdicts.replicated(tmp_path, "fern", 1.8e9)
    before = (tmp_path / verdicts.FILE).read_bytes()
    with refusing(tmp_path, "read", errno.EIO):
        assert verdicts.doubts(tmp_path, "fern", ["a/b"]) == {"a/b": "never verified"}
        with pytest.raises(StoreError, match="Input/output error"):
            verdicts.replicated(tmp_path, "elm", 1.8e9)
    assert (tmp_path / verdicts.FILE).read_bytes() == before


def test_what_the_journal_could_not_write_is_retried_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, lambda: 1.8e9)
    with refusing(tmp_path, "write", errno.ENOSPC):
        journal.outcomes(Op.SHIFT, {}, [Outcome("a/b", 0, "bad")])
        assert "No space" in (journal.trouble or "")
    journal.close()
    assert [event.target for event in read(tmp_path / FILE)] == ["a/b"]


def test_what_the_journal_could_not_write_at_its_end_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path, 1, lambda: 1.8e9)
    with refusing(tmp_path, "write", errno.ENOSPC):
        journal.note(Op.STOP, "shift")
        journal.close()
    assert "No space left on device; 1 lines of it are lost" in caplog.text


def test_an_intent_that_cannot_be_written_stops_what_it_was_meant_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, lambda: 1.8e9)
    for call in ("write", "fsync"):
        with refusing(tmp_path, call, errno.EIO), pytest.raises(BluegreenError) as caught:
            journal.promise(Op.SHIFT, [Change("a/b", 0, WHOLE_BP)])
        assert isinstance(caught.value, StoreError)
        assert caught.value.remedy
    journal.try_again()
    assert not open_intents(read(tmp_path / FILE))
    journal.close()
    assert all(json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())
