"""What a command says must not end what it does: a pipe that nobody reads any more, a full disk behind `> FILE`, a terminal
that is gone. A shift or a rollback that is half done goes on without words, and the exit code tells at the end.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable
from typing import Any

CLOSED_PIPE = 141  # as a shell has it for SIGPIPE: `bluegreen status | head`
FAILED = 1


class Patient:
    """A text stream whose writes never fail. `trouble`: the first that did; nothing is written after it."""

    def __init__(self, stream: Any) -> None:
        """`stream`: None where the process was started with it closed (`>&-`)."""
        self._stream = io.StringIO() if stream is None else stream
        self.trouble: Exception | None = OSError(errno.EBADF, "it is closed") if stream is None else None

    def write(self, text: str) -> int:
        """Gives the length of the text, written or not."""
        if self.trouble is None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError as problem:  # a locale without these letters
                self.write(text.encode(problem.encoding, "backslashreplace").decode(problem.encoding))
            except (OSError, ValueError) as problem:  # ValueError: closed meanwhile
                self.trouble = problem
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Each as `write`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As the stream's; a failure is kept in `trouble`."""
        if self.trouble is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as problem:
                self.trouble = problem

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def code_of(stream: Patient, code: int) -> int:
    """The exit code where `stream` may not have taken all. What went wrong otherwise counts more."""
    if stream.trouble is None or code:
        return code
    return CLOSED_PIPE if isinstance(stream.trouble, BrokenPipeError) else FAILED


def words(stream: Patient) -> str:
    """What is to be said of a stdout that failed; nothing of a reader that has read enough."""
    trouble = stream.trouble
    if trouble is None or isinstance(trouble, BrokenPipeError):
        return ""
    return f"bluegreen: stdout cannot be written: {getattr(trouble, 'strerror', None) or trouble}; what was done is not undone"
