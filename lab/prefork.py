"""One Python that has all modules imported already and forks from itself what would import them each time.

Each run of the engine starts five or more Python programs, language hosts and plugins, and most of what they do is import
the same thousands of modules. So what the engine starts (bin/, by forked_start.py) only gives its place to a fork of this one:

    engine -> bin/pulumi-resource-aws -> socket -> prefork parent -> fork: lab.pulumi.aws.main()

Imported once are packages and the lab's own helpers; the program's modules are read in each run, so what is changed there
counts at once. The lab's tests start `bluegreen` in this way too (tests/lab/support/command.py), from a parent of their own.

    python -m lab.prefork SOCKET [MODULE...]       serves until it is killed; its children die with it
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lab.processes import die_with_parent

AHEAD = (
    "lab.pulumi.aws",
    "lab.pulumi.aws_invokes",
    "lab.pulumi.eks_components",
    "lab.pulumi.helm",
    "lab.pulumi.kubernetes",
    "lab.pulumi.language_host",
    "botocore.session",
    "pulumi.provider.server",
    "pulumi_aws.cloudwatch",
    "pulumi_aws.ec2",
    "pulumi_aws.eks",
    "pulumi_aws.iam",
    "pulumi_aws.route53",
    "pulumi_aws.sqs",
    "pulumi_eks",
    "pulumi_kubernetes.core.v1",
    "pulumi_kubernetes.helm.v3",
    "pulumi_kubernetes.storage.v1",
)
LARGEST_REQUEST = 1 << 20

# module, arguments, folder, environment, and whether it leaves at once when it is done, or as any program does
Request = tuple[str, list[str], str, dict[str, str], bool]


class Parent:
    """Serves one caller per child. Both ends are heard of by a closed file: the caller's socket, the child's pipe."""

    def __init__(self, path: Path, ahead: Sequence[str] = AHEAD) -> None:
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._callers: dict[int, socket.socket] = {}  # by the child's pid, as long as it is not waited for
        self._ahead = ahead

    def serve(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _accept(self) -> None:
        caller, _ = self._listener.accept()
        request, streams, _, _ = socket.recv_fds(caller, LARGEST_REQUEST, 3)
        if not request:
            caller.close()
            return
        if self._ahead:  # not before it is asked: many a lab never sees the engine
            import_ahead(self._ahead)
            self._ahead = ()
        alive, held_by_child = os.pipe()  # nobody else has the child's end: it closes when the child is gone
        child = os.fork()
        if child == 0:
            os.close(alive)
            caller.close()
            self._close_all()
            become(marshal.loads(request), streams)
        for number in (held_by_child, *streams):
            os.close(number)
        self._callers[child] = caller
        self._selector.register(caller, selectors.EVENT_READ, lambda: self._caller_said(child))
        self._selector.register(alive, selectors.EVENT_READ, lambda: self._child_left(child, alive))

    def _close_all(self) -> None:
        for key in self._selector.get_map().values():
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
            else:
                key.fileobj.close()  # type: ignore[attr-defined]
        self._selector.close()

    def _caller_said(self, child: int) -> None:
        """A signal's number that the child is to hear of; or nothing any more: the caller is gone."""
        caller = self._callers.get(child)
        if caller is None:  # it was waited for in this very round, and its number may be another's
            return
        number = caller.recv(16)
        if not number:
            self._selector.unregister(caller)
        os.kill(child, int(number) if number else signal.SIGKILL)

    def _child_left(self, child: int, alive: int) -> None:
        self._selector.unregister(alive)
        os.close(alive)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        caller = self._callers.pop(child)
        with contextlib.suppress(KeyError):
            self._selector.unregister(caller)
        with contextlib.suppress(OSError):
            caller.send(str(code if code >= 0 else 128 - code).encode())
        caller.close()


def import_ahead(modules: Sequence[str]) -> None:
    """What the SDK no longer has is left to whoever needs it: its helper tells."""
    for name in modules:
        with contextlib.suppress(ImportError):
            getattr(importlib.import_module(name), "__all__", None)  # the SDKs' modules load when first looked into
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it shares with its parent


def become(request: Request, streams: list[int]) -> NoReturn:
    """The child: takes its caller's place, and never returns into the parent's loop."""
    module, arguments, folder, environment, at_once = request
    die_with_parent()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = arguments
    sys.path[1:1] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if not at_once:
        importlib.import_module(module).main()
        sys.exit()
    code = 1
    try:
        importlib.import_module(module).main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    Parent(Path(sys.argv[1]), sys.argv[2:] or AHEAD).serve()
