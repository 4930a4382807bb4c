"""What the engine starts of a helper: a program that hands its place over to a child of the lab's prefork parent, and waits.

Kept to the few modules that this takes, since it runs five or more times in each run of the engine (see prefork.py).
"""

from __future__ import annotations

import importlib
import marshal
import os
import signal
import socket
import sys
from typing import NoReturn

from lab.exit_on_signal import exit_on_signal

SOCKET_VARIABLE = "BLUEGREEN_LAB_PREFORK"


def run(module: str) -> None:
    """Runs `main()` of a module of the lab: in a child of the prefork parent when one answers, else here.

    The child has this program's arguments, folder, environment and standard streams; it ends when this one does, and this
    one ends with its exit code.
    """
    exit_on_signal()
    parent = _hand_over(module, os.environ.get(SOCKET_VARIABLE), at_once=True)
    if parent is None:
        importlib.import_module(module).main()
        return
    _wait(parent)


def run_and_pass_on(module: str, path: str) -> None:
    """The same by the prefork parent at this socket alone; the child hears of signals, and ends as it would without."""
    parent = _hand_over(module, path, at_once=False)
    if parent is None:
        sys.exit(f"no prefork parent answers at {path}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: parent.send(str(number).encode()))
    _wait(parent)


def _hand_over(module: str, path: str | None, *, at_once: bool) -> socket.socket | None:
    if not path:
        return None
    parent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        parent.connect(path)
        request = marshal.dumps((module, sys.argv, os.getcwd(), dict(os.environ), at_once))  # noqa: PTH109 - pathlib is slow to come
        socket.send_fds(parent, [request], [0, 1, 2])
    except OSError:
        parent.close()
        return None
    return parent


def _wait(parent: socket.socket) -> NoReturn:
    with parent:
        code = parent.recv(16)
    sys.exit(int(code) if code else 1)
