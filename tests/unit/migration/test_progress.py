"""A long wait is seen to go on: on a terminal one line that is rewritten, else one line of the log a minute."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from migration.cli.progress import Line, Progress, shown, text
from tests.fakes.clock import FakeClock, run


@pytest.mark.parametrize(
    ("progress", "seconds", "width", "said"),
    [
        (Progress("reading plum and fern"), 4.4, 0, "reading plum and fern, 4 s"),
        (
            Progress("writing to fern", 120, 800, "Deployment shop/web"),
            35,
            0,
            "writing to fern: 120 of 800 (Deployment shop/web), 35 s",
        ),
        (
            Progress("writing to fern", 120, 800, "Deployment shop/web"),
            35,
            48,
            "writing to fern: 120 of 800 (Deployment …), 35 s",
        ),
        (Progress("writing to fern", 120, 800, "Deployment shop/web"), 35, 36, "writing to fern: 120 of 800, 35 s"),
        (Progress("writing to fern", 120, 800), 35, 10, "writing to"),
        (Progress("verifying on fern", 3, 4), 600, 0, "verifying on fern: 3 of 4, 10 min"),
    ],
    ids=["no number", "all of it", "cut", "no room for the last", "narrow", "minutes"],
)
def test_how_far_it_is(progress: Progress, seconds: float, width: int, said: str) -> None:
    assert text(progress, seconds, width=width) == said


def wait(seconds: float, line: Line | None = None, quiet: bool = False) -> None:
    async def act() -> None:
        async with shown("writing to fern", clock=FakeClock(), line=line, quiet=quiet) as progress:
            progress.at(1, 3, "ConfigMap shop/a")
            await asyncio.sleep(seconds)

    run(act())


@pytest.mark.parametrize(("seconds", "lines"), [(59, 0), (61, 1), (150, 2), (600.5, 10)])
def test_without_a_terminal_it_is_one_line_of_the_log_a_minute(
    seconds: float, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        wait(seconds)
    assert len(caplog.messages) == lines
    if lines:
        assert caplog.messages[0] == "still writing to fern: 1 of 3 (ConfigMap shop/a), 60 s"


def test_on_a_terminal_one_line_is_rewritten_until_the_end(caplog: pytest.LogCaptureFixture) -> None:
    written: list[str] = []
    with caplog.at_level(logging.INFO):
        wait(3.5, Line(written.append))
    assert caplog.messages == []
    assert [each.strip() for each in written[:3]] == [f"writing to fern: 1 of 3 (ConfigMap shop/a), {n} s" for n in (1, 2, 3)]
    assert all(each.startswith("\r") and "\n" not in each for each in written)
    assert written[-1].strip() == ""
    assert screen(written) == "", "nothing of it stays"


def test_a_shorter_line_leaves_nothing_of_a_longer_one() -> None:
    written: list[str] = []
    line = Line(written.append)
    line.show("writing to fern: 99 of 100")
    line.show("done")
    assert screen(written).rstrip() == "done"


def screen(written: list[str]) -> str:
    """What a terminal shows of one line."""
    shown: list[str] = []
    at = 0
    for letter in "".join(written):
        if letter == "\r":
            at = 0
            continue
        shown[at : at + 1] = [letter]
        at += 1
    return "".join(shown).rstrip()


def test_what_the_log_says_meanwhile_is_not_written_behind_the_line() -> None:
    written: list[str] = []
    line = Line(written.append)
    logger = logging.getLogger()
    handler = logging.StreamHandler(_Into(written))
    logger.addHandler(handler)
    try:

        async def act() -> None:
            async with shown("writing to fern", clock=FakeClock(), line=line):
                await asyncio.sleep(1.5)
                logging.getLogger("migration").warning("a thing happened")

        run(act())
    finally:
        logger.removeHandler(handler)
    said = next(n for n, each in enumerate(written) if "a thing happened" in each)
    assert screen(written[:said]) == ""
    assert not handler.filters


class _Into:
    def __init__(self, written: list[str]) -> None:
        self.written = written

    def write(self, text: str) -> None:
        self.written.append(text)

    def flush(self) -> None:
        pass


def test_a_line_is_rewritten_only_on_a_terminal_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for tty, quiet in ((True, True), (False, False)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda tty=tty: tty)
        wait(5, quiet=quiet)
        assert "\r" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    wait(5)
    assert "\rwriting to fern" in capsys.readouterr().err


def test_no_color_takes_no_progress_away(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    wait(2)
    assert "\rwriting to fern" in capsys.readouterr().err


def test_it_ends_where_the_work_fails() -> None:
    written: list[str] = []

    async def act() -> None:
        async with shown("writing to fern", clock=FakeClock(), line=Line(written.append)):
            await asyncio.sleep(1.5)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(act())
    assert screen(written) == ""
