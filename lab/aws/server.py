"""AWS's HTTP side: requests signed for EKS go to the lab's own, all others to moto, in one process and on one port.

moto's server loads a service at its first request; EC2 takes seconds (its tables of instance types), so it is loaded
ahead in the background, after the port is open.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from lab.aws.control import ControlPlanes
from lab.aws.eks import Eks
from lab.aws.eks_account import Network
from lab.aws.eks_types import EksError

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
AHEAD = ("route53", "sts", "ec2", "iam", "elbv2")
StartResponse = Callable[..., Any]
Environ = dict[str, Any]


class App:
    """The WSGI application."""

    def __init__(self, control: ControlPlanes, network: Network) -> None:
        self.control, self.network = control, network
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.eks: dict[tuple[str, str], Eks] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        if scope and scope[3] == "eks":
            return self._eks(scope[1], scope[2], environ, start_response)
        if environ["PATH_INFO"] == "/moto-api/reset":
            self.eks.clear()
        answer: Iterable[bytes] = self.moto(environ, start_response)
        return answer

    def _eks(self, key: str, region: str, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        from moto.iam.models import get_account_id_from

        account = str(get_account_id_from(key))
        eks = self.eks.setdefault((account, region), Eks(account, region, self.control, self.network))
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        # the undecoded target: an ARN in a path has %2F, which is no separator
        target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"])
        path, _, query = target.partition("?")
        headers = [("Content-Type", "application/json")]
        try:
            reply = eks.call(environ["REQUEST_METHOD"], path, parse_qs(query), json.loads(raw) if raw else {})
            status = "200 OK"
        except EksError as error:
            reply, status = error.body, f"{error.status} {error.kind}"
            headers.append(("x-amzn-ErrorType", error.kind))
        body = json.dumps(reply).encode()
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]


class _Handler(MotoRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"  # clients keep their connections
    timeout = 120  # s; an idle connection must not hold its thread for ever

    def log_request(self, *_: object) -> None:
        """Only what goes wrong is logged."""


def serve(address: str, port: int, app: App) -> BaseWSGIServer:
    """An open port; `serve_forever` answers."""
    server = make_server(address, port, app, threaded=True, request_handler=_Handler)
    server.daemon_threads = True
    threading.Thread(target=_load_ahead, args=(app,), daemon=True).start()
    return server


def _load_ahead(app: App) -> None:
    for service in AHEAD:
        try:
            importlib.import_module(f"moto.{service}.models")
            with app.moto.lock:
                app.moto.app_instances.setdefault(service, create_backend_app(service))
        except Exception as error:
            print(f"aws: {service} not loaded ahead: {error}", file=sys.stderr, flush=True)
