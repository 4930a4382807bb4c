"""Pulumi's language host for Python: runs a program's `__main__.py` against the engine.

The engine of this lab is built without its own Python host. This one runs the program in its own process and the
interpreter it was started with: no virtual environment is made or chosen, the lab's is on PATH. Errors of the program
come as one diagnostic with the program's own frames, without those of the SDK.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.automation._server import LanguageServer
from pulumi.errors import RunError
from pulumi.runtime import settings
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from lab.exit_on_signal import exit_on_signal


class LanguageHost(LanguageServer):
    def __init__(self, engine: str) -> None:
        super().__init__(lambda: None)
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        from importlib.metadata import version

        return plugin_pb2.PluginInfo(version=version("pulumi"))

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:
        yield language_pb2.InstallDependenciesResponse(stdout=b"The lab's environment has them already.\n")

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        from importlib.metadata import distributions

        packages = sorted((d.metadata["Name"], d.version) for d in distributions() if d.metadata["Name"].startswith("pulumi"))
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in packages]
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Run(self, request: Any, context: Any) -> Any:
        folder = Path(request.info.program_directory or request.pwd)
        entry = folder / (request.info.entry_point or ".")
        main = entry / "__main__.py" if entry.is_dir() else entry
        # Like the engine's own host: the working folder is the project's, the program's folder comes first for imports.
        os.chdir(request.pwd or folder)
        sys.path.insert(0, str(main.parent))
        sys.argv = [str(main), *request.args]
        del request.args[:]
        request.args.append(self._engine)

        def program() -> None:
            # The library's host does not pass it on, and programs find their project's files by it.
            settings.SETTINGS.root_directory = request.info.root_directory or str(folder)
            if not main.is_file():
                raise RunError(f"no __main__.py in {main.parent}")
            try:
                runpy.run_path(str(main), run_name="__main__")
            except RunError:
                raise
            except Exception as error:
                raise RunError(describe(error, folder)) from error

        self.program = program
        return super().Run(request, context)  # type: ignore[no-untyped-call]


def describe(error: BaseException, folder: Path) -> str:
    """Kind, text and the program's own frames, innermost last; frames of the host and of libraries are left out."""
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).strip()
    kept = [frame for frame in traceback.extract_tb(_skip_host(error.__traceback__)) if _is_own(frame.filename, folder)]
    lines = [f"Program failed: {type(error).__name__}: {error}"]
    for frame in kept:
        place = Path(frame.filename)
        shown = place.relative_to(folder) if place.is_relative_to(folder) else place
        lines.append(f"  {shown}:{frame.lineno} in {frame.name}: {frame.line}")
    return "\n".join(lines)


def _skip_host(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        frames = frames.tb_next
    return frames


def _is_own(filename: str, folder: Path) -> bool:
    return "site-packages" not in filename and not filename.startswith(("<", sys.base_prefix))


def main() -> None:
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    exit_on_signal()
    server = grpc.server(
        ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(addresses[-1] if addresses else ""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
