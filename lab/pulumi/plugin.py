"""What every resource plugin shares: the gRPC service the engine calls, in terms of plain dictionaries.

A plugin maps a type token to a `Resource`; this module turns the engine's requests into calls of it and its answers
and exceptions back into messages. In a preview nothing is written: planned outputs are the inputs, with what is not
known yet marked so.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf import any_pb2, empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from lab.exit_on_signal import exit_on_signal
from lab.pulumi.values import UNKNOWN, Properties, differences, from_struct, to_struct, without_nulls


class PluginError(Exception):
    """A request that cannot be met; its text is what the user reads."""


class NotReadyError(PluginError):
    """The object was made or changed but did not become what was asked: its state is kept and the operation failed."""

    def __init__(self, reason: str, id: str, outputs: Properties, inputs: Properties) -> None:
        super().__init__(reason)
        self.id, self.outputs, self.inputs = id, outputs, inputs


@dataclass(frozen=True)
class Request:
    urn: str
    type: str
    name: str
    id: str = ""
    inputs: Properties = field(default_factory=dict)  # wanted; for read and delete the last ones
    old_inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)  # the last known
    preview: bool = False
    timeout_seconds: float = 0


@dataclass(frozen=True)
class Difference:
    """What changed, by property path, and which of the paths force another object in its place."""

    changes: Mapping[str, str]
    replaces: frozenset[str] = frozenset()
    delete_first: bool = False


class Resource(Protocol):
    def check(self, request: Request) -> tuple[Properties, list[tuple[str, str]]]: ...
    def diff(self, request: Request) -> Difference: ...
    def create(self, request: Request) -> tuple[str, Properties]: ...
    def read(self, request: Request) -> tuple[str, Properties, Properties] | None: ...
    def update(self, request: Request) -> Properties: ...
    def delete(self, request: Request) -> None: ...


def compare(old: Properties, new: Properties, force_new: Callable[[str], bool]) -> Difference:
    changes = dict(differences(without_nulls(old), without_nulls(new)))
    replaces = frozenset(path for path in changes if force_new(path))
    return Difference(changes, replaces)


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """One package's service. Subclasses give `resource`, `invoke` and `configure`."""

    package = ""
    version = "0.0.0"

    def resource(self, type_token: str) -> Resource:
        raise PluginError(f"{self.package}: no resource type {type_token}")

    def invoke(self, token: str, args: Properties) -> Properties:
        raise PluginError(f"{token}: this function is not one the lab's {self.package} plugin answers")

    def configure(self, config: Properties) -> None:
        """Take the provider's configuration; unknown values are possible in a preview."""

    def diff_config(self, old: Properties, new: Properties) -> Difference:
        return compare(old, new, lambda path: False)

    def check_config(self, config: Properties) -> list[tuple[str, str]]:
        return []

    # --- the engine's calls ------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_resources=False, accept_outputs=False)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "{self.package}", "version": "{self.version}"}}')

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:
        failures = self._guard(context, lambda: self.check_config(from_struct(request.news)))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(failures))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        old = from_struct(request.old_inputs) or from_struct(request.olds)
        return _difference(self._guard(context, lambda: self.diff_config(old, from_struct(request.news))))

    def Configure(self, request: Any, context: Any) -> Any:
        self._guard(context, lambda: self.configure(from_struct(request.args)))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Check(self, request: Any, context: Any) -> Any:
        asked = self._request(request, inputs=without_nulls(from_struct(request.news)), old_inputs=from_struct(request.olds))
        inputs, failures = self._guard(context, lambda: self.resource(asked.type).check(asked))
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=_failures(failures))

    def Diff(self, request: Any, context: Any) -> Any:
        olds = from_struct(request.olds)
        asked = self._request(
            request,
            id=request.id,
            inputs=from_struct(request.news),
            outputs=olds,
            old_inputs=from_struct(request.old_inputs),
        )
        return _difference(self._guard(context, lambda: self.resource(asked.type).diff(asked)))

    def Create(self, request: Any, context: Any) -> Any:
        asked = self._request(
            request, inputs=from_struct(request.properties), preview=request.preview, timeout_seconds=request.timeout
        )
        id, outputs = self._guard(context, lambda: self.resource(asked.type).create(asked))
        return provider_pb2.CreateResponse(id="" if request.preview else id, properties=to_struct(outputs))

    def Read(self, request: Any, context: Any) -> Any:
        asked = self._request(
            request, id=request.id, inputs=from_struct(request.inputs), outputs=from_struct(request.properties)
        )
        live = self._guard(context, lambda: self.resource(asked.type).read(asked))
        if live is None:
            return provider_pb2.ReadResponse()
        id, outputs, inputs = live
        return provider_pb2.ReadResponse(id=id, properties=to_struct(outputs), inputs=to_struct(inputs))

    def Update(self, request: Any, context: Any) -> Any:
        asked = self._request(
            request,
            id=request.id,
            inputs=from_struct(request.news),
            outputs=from_struct(request.olds),
            old_inputs=from_struct(request.old_inputs),
            preview=request.preview,
            timeout_seconds=request.timeout,
        )
        outputs = self._guard(context, lambda: self.resource(asked.type).update(asked))
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        asked = self._request(
            request,
            id=request.id,
            inputs=from_struct(request.old_inputs),
            outputs=from_struct(request.properties),
            timeout_seconds=request.timeout,
        )
        self._guard(context, lambda: self.resource(asked.type).delete(asked))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        args = without_nulls(from_struct(request.args))
        result = self._guard(context, lambda: self.invoke(request.tok, args))
        return provider_pb2.InvokeResponse(**{"return": to_struct(result)})

    def Call(self, request: Any, context: Any) -> Any:
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{self.package}: no method {request.tok}")

    def Construct(self, request: Any, context: Any) -> Any:
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{self.package}: no component {request.type}")

    # --- between the two ---------------------------------------------------------------------------

    @staticmethod
    def _request(request: Any, **values: Any) -> Request:
        # A URN is urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME, and a name may itself hold "::".
        _, _, qualified, name = request.urn.split("::", 3)
        return Request(urn=request.urn, type=qualified.rsplit("$", 1)[-1], name=name, **values)

    @staticmethod
    def _guard(context: Any, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except NotReadyError as error:
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.id, properties=to_struct(error.outputs), inputs=to_struct(error.inputs), reasons=[str(error)]
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            return context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except PluginError as error:
            return context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except grpc.RpcError:
            raise
        except Exception as error:
            if type(error) is Exception:  # what context.abort raises to end a call
                raise
            return context.abort(grpc.StatusCode.UNKNOWN, describe(error))


def describe(error: Exception) -> str:
    """One line for errors of the clients; a bug of the plugin's own keeps its place in the code."""
    if type(error).__module__.startswith(("botocore", "lab.")):
        return str(error)
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame is not None else ""
    return f"{type(error).__name__}: {error}{place}"


def planned(request: Request, computed: list[str]) -> Properties:
    """Outputs of a preview: inputs as given; what is computed stays as it was, or is not known yet on a create."""
    if request.id:
        gone = request.old_inputs.keys() - request.inputs.keys()
        return {key: value for key, value in request.outputs.items() if key not in gone} | request.inputs
    return dict.fromkeys(computed, UNKNOWN) | request.inputs


def autoname(request: Request) -> str:
    """The resource's name and seven letters that differ between stacks and replacements."""
    import os

    return f"{request.name}-{hashlib.sha256(request.urn.encode() + os.urandom(8)).hexdigest()[:7]}"


def is_autoname(request: Request, name: Any) -> bool:
    return isinstance(name, str) and len(name) == len(request.name) + 8 and name.startswith(f"{request.name}-")


def top(path: str) -> str:
    """The first name of a property path."""
    return path.split(".", 1)[0].split("[", 1)[0]


def _failures(failures: list[tuple[str, str]]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in failures]


def _difference(difference: Difference) -> Any:
    kinds = provider_pb2.PropertyDiff.Kind
    detailed = {}
    for path, change in difference.changes.items():
        kind = f"{change.upper()}_REPLACE" if path in difference.replaces else change.upper()
        detailed[path] = provider_pb2.PropertyDiff(kind=kinds.Value(kind), inputDiff=True)
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if detailed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({top(path) for path in detailed}),
        replaces=sorted({top(path) for path in difference.replaces}),
        detailedDiff=detailed,
        hasDetailedDiff=bool(detailed),
        deleteBeforeReplace=difference.delete_first,
    )


def serve(plugin: Plugin) -> None:
    """Listen on a free loopback port, tell the engine which, and stay until it goes (it kills its plugins)."""
    exit_on_signal()
    server = grpc.server(
        ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
