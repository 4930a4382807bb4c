"""What the engine starts of a helper: a program that hands its place over to a child of the lab's warm parent, and waits.

Kept to the few modules that this takes, since it runs five or more times in each run of the engine (see warm.py).
"""

from __future__ import annotations

import importlib
import marshal
import os
import socket
import sys

from lab.pulumi.goodbye import leave_when_told

SOCKET_VARIABLE = "BLUEGREEN_LAB_WARM"


def run(module: str) -> None:
    """Runs `main()` of a module of the lab: in a child of the warm parent when one answers, else here.

    The child has this program's arguments, folder, environment and standard streams; it ends when this one does, and this
    one ends with its exit code.
    """
    parent = _hand_over(module)
    if parent is None:
        importlib.import_module(module).main()
        return
    with parent:
        code = parent.recv(16)
    sys.exit(int(code) if code else 1)


def _hand_over(module: str) -> socket.socket | None:
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        return None
    leave_when_told()
    parent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        parent.connect(path)
        request = marshal.dumps((module, sys.argv, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - pathlib is slow to come
        socket.send_fds(parent, [request], [0, 1, 2])
    except OSError:
        parent.close()
        return None
    return parent
