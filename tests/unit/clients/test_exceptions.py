"""No exception of a library leaves migration/clients: whatever is raised below, or answered, comes out as one of the
command's own errors, with its cause, and with words that say who was asked.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import gzip
import importlib
import inspect
import json
import pkgutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import boto3
import botocore.exceptions
import pytest

from migration import clients
from migration.clients.connection import Connection
from migration.clients.counters import PageCounters
from migration.clients.edge_record import EdgeRecord, Sides
from migration.clients.iam import AwsIdentities
from migration.clients.istio import IstioRouter
from migration.clients.kubernetes import Kubernetes
from migration.clients.peer_probe import PeerProbe
from migration.clients.probe import ask
from migration.clients.prometheus import PrometheusMetrics
from migration.clients.route53 import Route53Entry
from migration.errors import BluegreenError, Conflict, Forbidden, Locked, NotFound, Rejected, Temporary, Unreachable
from migration.objects.kinds import CONFIG_MAP
from migration.ports import Written
from routing import Peer, Request
from routing.virtual_service import VIRTUAL_SERVICE
from tests.fakes import broken
from tests.fakes.project import original

# Connections that are broken on purpose are left to the garbage collector, which warns in whichever test it runs: here.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def garbage_stays_here() -> Iterator[None]:
    yield
    gc.collect()


ROUTE = original("shop/cart")
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n"}}
ROLE, PROVIDER = "arn:aws:iam::123456789012:role/cart", "arn:aws:iam::123456789012:oidc-provider/x"
MOST = 2000  # characters of a message

K, R = Kubernetes, IstioRouter
OF_KUBERNETES: dict[str, Callable[[Kubernetes], Awaitable[Any]]] = {
    "get": lambda k: k.get(CONFIG_MAP, "n", "x"),
    "find": lambda k: k.find(CONFIG_MAP, "n", "x"),
    "list": lambda k: k.list(CONFIG_MAP, "n"),
    "apply": lambda k: k.apply(CONFIG_MAP, OBJECT, manager="m"),
    "create": lambda k: k.create(CONFIG_MAP, OBJECT, manager="m"),
    "replace": lambda k: k.replace(CONFIG_MAP, OBJECT, manager="m"),
    "patch": lambda k: k.patch(CONFIG_MAP, "n", "x", {}, manager="m"),
    "delete": lambda k: k.delete(CONFIG_MAP, "n", "x"),
    "version": lambda k: k.version(),
    "minor": lambda k: k.minor(),
    "issuer": lambda k: k.issuer(),
    "signing_keys": lambda k: k.signing_keys(),
    "discover": lambda k: k.discover(),
}
OF_A_CONNECTION: dict[str, Callable[[Connection], Awaitable[Any]]] = {"request": lambda c: c.request("GET", "/version")}
OF_A_RECORD: dict[str, Callable[[EdgeRecord], Awaitable[Any]]] = {
    "read": lambda r: r.read(),
    "write": lambda r: r.write({"shop/cart": 0}, (), 1),
}
OF_A_PEER: dict[str, Callable[[PeerProbe], Awaitable[Any]]] = {"in_effect": lambda p: p.in_effect("shop/cart", 0)}
OF_A_ROUTER: dict[str, Callable[[IstioRouter], Awaitable[Any]]] = {
    "read": lambda r: r.read(),
    "write": lambda r: r.write({"shop/cart": 0}, changed=["shop/cart"], generation=1, fence=1, force=True),
    "raise_fence": lambda r: r.raise_fence(1),
    "keep_returned": lambda r: r.keep_returned({"shop/cart": "bad"}),
    "in_effect": lambda r: r.in_effect("shop/cart", 0),
}
OF_A_STORE: dict[str, Callable[[PrometheusMetrics], Awaitable[Any]]] = {
    "window": lambda m: m.window("shop/cart", "green", 60),
    "ask": lambda m: m.ask("up"),
}
OF_PAGES: dict[str, Callable[[PageCounters], Awaitable[Any]]] = {"read": lambda p: p.read(), "silent": lambda p: p.silent()}
OF_ROUTE53: dict[str, Callable[[Route53Entry], Awaitable[Any]]] = {
    "read": lambda e: e.read(),
    "write": lambda e: e.write({"plum": 10_000, "fern": 0}),
    "in_effect": lambda e: e.in_effect("/change/C1"),
    "ttl_seconds": lambda e: e.ttl_seconds(),
    "adopt": lambda e: e.adopt("plum", "fern"),
}
OF_IAM: dict[str, Callable[[AwsIdentities], Awaitable[Any]]] = {
    "trust": lambda a: a.trust(ROLE),
    "audiences": lambda a: a.audiences(PROVIDER),
    "associations": lambda a: a.associations("plum", "eu-west-1"),
}


# What asks nobody: pure readers of what the others have got, and what only opens or closes.
QUIET = {
    "aws.call",
    "kubernetes.Kubernetes.from_kubeconfig",
    "connection.Connection.ready",
    "connection.Connection.close",
    "connection.conflict_details",
    "istio.IstioRouter.ready",
    "istio.IstioRouter.close",
    "istio.IstioRouter.entry",
    "live_route.live_route",
    "live_route.last_writer",
    "peer_probe.PeerProbe.close",
    "prometheus.PrometheusMetrics.close",
    "prometheus.fill",
    "prometheus.sampled",
    "prometheus.grown",
    "prometheus.counted",
    "prometheus.quantile",
    "counters.PageCounters.close",
    "counters.Followed.total",
    "counters.Followed.by_turns",
    "counters.series",
    "counters.series_of",
    "counters.tally",
    "counters.look",
    "counters.growth",
    "counters.destination_hosts",
    "counters.service_counters",
    "counters.proxy_of",
    "counters.follow",
    "counters.unseen",
    "discovery.read_discovery",
    "discovery.preferred_first",
    "discovery.read_by_group",
    "shapes.fault",
    "shapes.first_bad",
    "shapes.named",
    "discreet.of_secret",
    "discreet.message_of",
    "discreet.reason",
    "discreet.kind",
    "discreet.causes",
    "discreet.all_causes",
    "discreet.without_structures",
    "limiter.Limiter.enter",
    "limiter.Limiter.leave",
    "limiter.Turns.taken",
    "reach.as_ours",
    "reach.load",
}


class Ground:
    """Clients of everything, all of which asks one port of this machine."""

    def __init__(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        kubeconfig = {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": url}}],
            "users": [{"name": "x", "user": {"token": "t"}}],
        }
        self.kubernetes = Kubernetes.from_kubeconfig(json.dumps(kubeconfig), name="plum", timeout_seconds=5)
        self.kubernetes._attempts = 1  # it waits between them
        originals = {"shop/cart": ROUTE}
        sides = Sides("plum", "fern", {"plum": 10_000})
        self.router = IstioRouter(self.kubernetes, "blue", Peer("10.0.0.1"), ("127.0.0.1", port), originals, sides)
        self.record, self.peer = EdgeRecord(self.kubernetes, sides), PeerProbe("plum", "127.0.0.1", port)
        self.metrics = PrometheusMetrics(url, "istio", {"blue": "plum", "green": "fern"}, originals)
        self.pages = PageCounters([f"{url}/stats"], "istio", originals, read_seconds=5)
        self.entry = Route53Entry("shop.test", ["shop.test"], "Z1")
        self.identities = AwsIdentities()
        self.port = port

    async def close(self) -> None:
        for each in (self.router, self.peer, self.kubernetes, self.metrics, self.pages):
            await each.close()

    def http(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        return {
            **{f"kubernetes.Kubernetes.{name}": _bound(act, self.kubernetes) for name, act in OF_KUBERNETES.items()},
            **{f"connection.Connection.{name}": _bound(act, self.kubernetes) for name, act in OF_A_CONNECTION.items()},
            **{f"edge_record.EdgeRecord.{name}": _bound(act, self.record) for name, act in OF_A_RECORD.items()},
            **{f"peer_probe.PeerProbe.{name}": _bound(act, self.peer) for name, act in OF_A_PEER.items()},
            **{f"istio.IstioRouter.{name}": _bound(act, self.router) for name, act in OF_A_ROUTER.items()},
            **{f"prometheus.PrometheusMetrics.{name}": _bound(act, self.metrics) for name, act in OF_A_STORE.items()},
            **{f"counters.PageCounters.{name}": _bound(act, self.pages) for name, act in OF_PAGES.items()},
            "probe.ask": lambda: ask("127.0.0.1", self.port, Request("shop.test", "/")),
        }

    def aws(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        return {
            **{f"route53.Route53Entry.{name}": _bound(act, self.entry) for name, act in OF_ROUTE53.items()},
            **{f"iam.AwsIdentities.{name}": _bound(act, self.identities) for name, act in OF_IAM.items()},
        }


def _bound(act: Callable[[Any], Awaitable[Any]], client: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: act(client)


HTTP, AWS = Ground(1).http(), Ground(1).aws()


def outcome(name: str, *, aws: bool = False, port: int = 1) -> Any:
    """What came of one call on clients of its own: the error, or the answer. Any other exception goes on."""

    async def act() -> Any:
        ground = Ground(port)
        try:
            return await (ground.aws() if aws else ground.http())[name]()
        except BluegreenError as problem:
            return problem
        finally:
            await ground.close()

    came = asyncio.run(act())
    if isinstance(came, Written):  # of a router's write: told by service
        (came,) = came.problems.values() or (None,)
    return came


def causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__


def test_everything_public_of_every_client_is_in_the_tables() -> None:
    there = set()
    for module in pkgutil.iter_modules(clients.__path__):
        loaded = importlib.import_module(f"migration.clients.{module.name}")
        own = {n: x for n, x in vars(loaded).items() if getattr(x, "__module__", "") == loaded.__name__ and n[0] != "_"}
        for name, each in own.items():
            if inspect.isclass(each):
                acts = {n for n, x in vars(each).items() if n[0] != "_" and isinstance(x, _CALLED)}
                there |= {f"{module.name}.{name}.{act}" for act in acts}
            elif callable(each) and not str(getattr(each, "__origin__", "")).startswith("typing"):
                there.add(f"{module.name}.{name}")
    assert there - QUIET - HTTP.keys() - AWS.keys() == set(), "what calls these, and what comes out?"
    assert (QUIET | HTTP.keys() | AWS.keys()) - there == set(), "these are gone"


_CALLED = (type(test_everything_public_of_every_client_is_in_the_tables), classmethod, staticmethod, property)
RAISED = [*broken.of_aiohttp(), *broken.of_the_system(), *broken.of_text()]
NAMED = {
    "kubernetes": "cluster plum: http://127.0.0.1:1",
    "connection": "cluster plum: http://127.0.0.1:1",
    "edge_record": "cluster plum: http://127.0.0.1:1",
    "peer_probe": "plum",
    "istio": "plum",
    "prometheus": "the metrics store at http://127.0.0.1:1",
    "counters": "the gateway's counters at http://127.0.0.1:1",
    "probe": "gateway 127.0.0.1:1",
}


def test_the_exceptions_of_each_library_are_all_tried() -> None:
    names = {type(each).__name__ for each in RAISED}
    assert {"ClientPayloadError", "ServerDisconnectedError", "SSLCertVerificationError", "gaierror", "TimeoutError"} <= names
    assert {"ClientConnectorDNSError", "ContentTypeError", "InvalidURL", "NotADirectoryError", "SSLEOFError"} <= names
    assert len(broken.of_boto()) > 100


@pytest.mark.wide(6)
@pytest.mark.parametrize("name", HTTP)
def test_whatever_the_http_library_raises_comes_out_as_one_of_ours(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(aiohttp.ClientSession, "_request", refuse)
    for raised in RAISED:
        came = outcome(name)
        if name == "counters.PageCounters.silent":  # says it in words
            assert list(came) == ["http://127.0.0.1:1/stats"]
            continue
        assert isinstance(came, Temporary), (raised, came)
        assert raised in causes(came)
        assert NAMED[name.partition(".")[0]] in str(came)
        assert len(str(came)) < MOST


@pytest.mark.wide(6)
@pytest.mark.parametrize("name", HTTP)
def test_what_breaks_in_the_middle_of_an_answer_comes_out_as_one_of_ours(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async def refuse(*_: object, **__: object) -> bytes:
        raise raised

    with broken.garbage() as server:
        server.answer = broken.answered("200 OK", b"{" + b" " * 100_000)
        for method in ("read", "readany"):  # whole, or piece by piece
            monkeypatch.setattr(aiohttp.StreamReader, method, refuse)
        for raised in [each for each in RAISED if not isinstance(each, aiohttp.InvalidURL | UnicodeDecodeError | ValueError)]:
            came = outcome(name, port=server.port)
            if name == "counters.PageCounters.silent":
                assert len(came) == 1
            elif not name.endswith(".in_effect") or isinstance(came, BaseException):
                assert isinstance(came, Temporary), (raised, came)


# -- AWS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secretexample")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


CLIENTS: dict[str, Any] = {}
SESSIONS: list[boto3.session.Session] = []


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, account: None) -> Callable[[Any], None]:
    """Sets what each call to AWS comes to: an exception to raise, or an answer. Clients take long to make: one a service."""
    real = boto3.session.Session.client
    outcome: list[Any] = []

    def client(session: boto3.session.Session, service: str, **options: Any) -> Any:
        if service not in CLIENTS:
            CLIENTS[service] = real(session, service, **options)  # type: ignore[call-overload]
        return CLIENTS[service]

    def call(*_: object, **__: object) -> Any:
        if isinstance(outcome[-1], BaseException):
            raise outcome[-1]
        return outcome[-1]

    monkeypatch.setattr(boto3.session.Session, "client", client)
    if not SESSIONS:
        SESSIONS.append(boto3.session.Session())
    monkeypatch.setattr(AwsIdentities, "_opened", lambda self: SESSIONS[0])
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)
    return outcome.append


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", AWS)
def test_whatever_boto_raises_comes_out_as_one_of_ours(refused: Callable[[Any], None], name: str) -> None:
    for raised in [*broken.of_boto(), *broken.of_the_system(), *broken.of_text()]:
        refused(raised)
        came = outcome(name, aws=True)
        assert isinstance(came, BluegreenError), (raised, came)
        assert raised in causes(came), (raised, came)
        assert str(came).startswith("Route 53" if name.startswith("route53") else "AWS")
        assert len(str(came)) < MOST
        assert came.remedy


@pytest.mark.parametrize("name", AWS)
def test_clients_of_aws_that_cannot_be_made_are_reported(monkeypatch: pytest.MonkeyPatch, account: None, name: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(boto3.session.Session, "client", refuse)
    for raised in (botocore.exceptions.NoRegionError(), ValueError("Invalid endpoint: x"), PermissionError(errno.EACCES, "no")):
        came = outcome(name, aws=True)
        assert isinstance(came, BluegreenError)
        assert raised in causes(came)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDenied", 403, Forbidden),
        ("AccessDeniedException", 400, Forbidden),
        ("ExpiredToken", 403, Forbidden),
        ("InvalidClientTokenId", 403, Forbidden),
        ("SignatureDoesNotMatch", 403, Forbidden),
        ("UnrecognizedClientException", 400, Forbidden),
        ("NeverHeardOf", 403, Forbidden),
        ("Throttling", 400, Unreachable),
        ("ThrottlingException", 400, Unreachable),
        ("TooManyRequestsException", 429, Unreachable),
        ("PriorRequestNotComplete", 400, Unreachable),
        ("ServiceUnavailable", 503, Unreachable),
        ("NeverHeardOf", 500, Unreachable),
        ("NoSuchHostedZone", 404, NotFound),
        ("NoSuchEntity", 404, NotFound),
        ("InvalidChangeBatch", 400, Rejected),
        ("InvalidInput", 400, Rejected),
    ],
)
def test_refusals_of_aws_are_distinguished(
    refused: Callable[[Any], None], code: str, status: int, expected: type[BluegreenError]
) -> None:
    refused(broken.refusal(code, status))
    for name in AWS:
        came = outcome(name, aws=True)
        assert type(came) is expected, name
        assert code in str(came)


@pytest.mark.parametrize(
    "problem",
    [botocore.exceptions.NoCredentialsError(), botocore.exceptions.ProfileNotFound(profile="x")],
    ids=lambda each: type(each).__name__,
)
def test_missing_credentials_are_no_dead_network(refused: Callable[[Any], None], problem: Exception) -> None:
    refused(problem)
    came = outcome("route53.Route53Entry.read", aws=True)
    assert came.kind == "config"
    assert "aws sts get-caller-identity" in came.remedy


def zone_of(**changes: Any) -> list[Any]:
    soa = {"Name": "shop.test.", "Type": "SOA", "TTL": 900, "ResourceRecords": []}
    record = {"Name": "shop.test.", "Type": "A", "SetIdentifier": "plum", "Weight": 255, "TTL": 60, "ResourceRecords": []}
    return [soa, {**record, **changes}]


@pytest.mark.parametrize("name", OF_ROUTE53)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        None,
        [],
        "x",
        {"ResourceRecordSets": None},
        {"ResourceRecordSets": [None]},
        {"ResourceRecordSets": [{}]},
        {"ResourceRecordSets": zone_of(Weight="many")},
        {"ResourceRecordSets": zone_of(Weight=None)},
        {"ResourceRecordSets": zone_of(TTL="long")},
        {"ResourceRecordSets": zone_of(Name=None)},
        {"ResourceRecordSets": zone_of(SetIdentifier=None)},
        {"ResourceRecordSets": zone_of(), "IsTruncated": True},
        {"ChangeInfo": None},
    ],
    ids=repr,
)
def test_records_of_odd_shapes_come_out_as_one_of_ours(refused: Callable[[Any], None], name: str, answer: Any) -> None:
    refused(answer)
    came = outcome(f"route53.Route53Entry.{name}", aws=True)
    assert isinstance(came, BluegreenError | dict | str | int | bool)


@pytest.mark.parametrize("name", OF_IAM)
@pytest.mark.parametrize(
    "answer",
    [
        {"Account": "123456789012"},
        {"Account": "123456789012", "Role": None},
        {"Account": "123456789012", "Role": {"Arn": ROLE, "AssumeRolePolicyDocument": "%7Bno"}},
        {"Account": "123456789012", "Role": {"Arn": ROLE, "AssumeRolePolicyDocument": []}},
        {"Account": "123456789012", "Role": {"Arn": ROLE, "AssumeRolePolicyDocument": 5}},
        {"Account": "123456789012", "Role": {"Arn": ROLE, "AssumeRolePolicyDocument": "[" * 100_000}},
        {"Account": None, "associations": None, "ClientIDList": 5},
        {"Account": "123456789012", "associations": [{}], "ClientIDList": 5},
    ],
    ids=lambda answer: repr(answer)[:120],
)
def test_identities_of_odd_shapes_come_out_as_one_of_ours(refused: Callable[[Any], None], name: str, answer: Any) -> None:
    refused(answer)
    assert isinstance(outcome(f"iam.AwsIdentities.{name}", aws=True), BluegreenError | dict | frozenset)


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:iam", "arn:aws:iam::1:oidc-provider"])
def test_an_arn_that_is_none_is_refused_in_words(account: None, arn: str) -> None:
    for act in (AwsIdentities().trust, AwsIdentities().audiences):
        with pytest.raises(BluegreenError):
            asyncio.run(act(arn))


# -- what servers answer -------------------------------------------------------------------------------------------------

HTML = b"<html><body>Please log in</body></html>"
JSON = "Content-Type: application/json"
SHAPES = [
    "null", "[]", "[1]", '"x"', "5", "{}", '{"items": null}', '{"items": {}}', '{"items": 5}', '{"items": [null]}',
    '{"items": ["x"]}', '{"items": [{}]}', '{"items": [{"metadata": null}]}', '{"items": [{"metadata": {"name": 5}}]}',
    '{"items": [{"metadata": {"name": "x"}}]}', '{"metadata": null, "items": []}', '{"metadata": [], "items": []}',
    '{"metadata": {"managedFields": 5, "annotations": []}}', '{"metadata": {"managedFields": [5]}, "spec": 5}',
    '{"metadata": {}, "data": []}', '{"metadata": {}, "data": {"services": "[]", "generation": "x", "returned": "5"}}',
    '{"items": [{"versions": 5}]}', '{"items": [{"versions": [{"resources": [{}]}]}]}', '{"versions": 5, "groups": 5}',
    '{"versions": ["v1"], "groups": [{"versions": [{}]}]}', '{"keys": 5}', '{"keys": [5]}', '{"issuer": []}', '{"major": []}',
    '{"status": "success"}', '{"status": "success", "data": null}', '{"status": "success", "data": {"resultType": "matrix"}}',
    '{"status": "success", "data": {"resultType": "matrix", "result": [5]}}',
    '{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": [], "values": []}]}}',
    '{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {"le": 5}, "values": [[1, "x"]]}]}}',
    '{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {"destination_service": 5}, "values": 5}]}}',
    '{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": []}]}}',
    '{"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}',
    "[" * 5000, "[" * 200_000, '{"a":' * 200_000,
    '{"metadata": {}, "data": {"services": "' + "[" * 5000 + '", "generation": "1", "returned": "' + "[" * 5000 + '"}}',
    '{"metadata": {}, "data": {"services": "{\\"shop/cart\\": Infinity}", "generation": "1"}}',
    '{"items": [{"metadata": {"name": "cart", "namespace": "shop"}, "spec": ' + "[" * 1010 + "]" * 1010 + "}]}",
    '{"metadata": {"name": "cart", "namespace": "shop"}, "spec": ' + "[" * 1010 + "]" * 1010 + "}",
]  # fmt: skip
ANSWERS = {
    "html": broken.answered("200 OK", HTML, "Content-Type: text/html"),
    "cut json": broken.answered("200 OK", b'{"items": [{"metada', JSON),
    "cut body": broken.answered("200 OK", b'{"items": []}', JSON, length=10_000),
    "broken gzip": broken.answered("200 OK", b"\x1f\x8b" + b"not gzip" * 40, JSON, "Content-Encoding: gzip"),
    "cut gzip": broken.answered("200 OK", gzip.compress(b"{}" * 4000)[:40], JSON, "Content-Encoding: gzip"),
    "unknown encoding": broken.answered("200 OK", b"{}", JSON, "Content-Encoding: br"),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no utf-8": broken.answered("200 OK", b'{"metadata": "caf\xe9"}', JSON),
    "unknown charset": broken.answered("200 OK", b"{}", "Content-Type: application/json; charset=nobody"),
    "nothing": broken.answered("200 OK", b""),
    "no word": b"",
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x28",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "redirect": broken.answered("302 Found", b"", "Location: http://127.0.0.1:1/login"),
    "redirect to nowhere": broken.answered("302 Found", b"", "Location: ht!tp://["),
    "redirect in a circle": broken.answered("302 Found", b"", "Location: /"),
    "10 MB of 500": broken.answered("500 Internal Server Error", b"x" * 10_000_000),
    "10 MB of Status": broken.answered("500 Oops", json.dumps({"kind": "Status", "message": "x" * 10_000_000}).encode(), JSON),
    "500 of no utf-8": broken.answered("500 Internal Server Error", b"\xff\xfe" * 100),
    "Status of odd causes": broken.answered("422 No", b'{"message": [], "details": {"causes": [5, {"field": 5}]}}', JSON),
    "Status of odd details": broken.answered("409 No", b'{"message": null, "reason": {}, "details": []}', JSON),
    "html of 404": broken.answered("404 Not Found", HTML),
    "404 of a path": broken.answered("404 Not Found", b"404 page not found\n", "Content-Type: text/plain"),
    "429": broken.answered("429 Slow", b"", "Retry-After: nan"),
    "418": broken.answered("418 Teapot", HTML),
    "401": broken.answered("401 Unauthorized", HTML),
    "403": broken.answered("403 Forbidden", HTML),
    **{
        shape if len(shape) <= 60 else f"{shape[:60]}, {len(shape)}": broken.answered("200 OK", shape.encode(), JSON)
        for shape in SHAPES
    },
}


@pytest.mark.wide(20)
@pytest.mark.parametrize("what", ANSWERS)
def test_whatever_is_answered_comes_out_as_one_of_ours(what: str) -> None:
    with broken.garbage() as server:
        server.answer = ANSWERS[what]
        for name in HTTP:
            came = outcome(name, port=server.port)
            if isinstance(came, BaseException):
                assert isinstance(came, BluegreenError), (name, came)
                assert len(str(came)) < MOST, name
        assert server.asked >= len(HTTP)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("html", Unreachable), ("cut json", Unreachable), ("cut body", Unreachable), ("broken gzip", Unreachable),
        ("no word", Unreachable), ("[]", Unreachable), ('{"items": [null]}', Unreachable), ("redirect", Unreachable),
        ("10 MB of 500", Rejected), ("html of 404", Unreachable), ("418", Unreachable), ("404 of a path", NotFound),
        ("429", Unreachable), ("401", Unreachable), ("403", Unreachable),
        ("Status of odd causes", Rejected), ("Status of odd details", Conflict),
    ],
)  # fmt: skip
def test_an_api_servers_answers_are_distinguished(what: str, expected: type[BluegreenError]) -> None:
    with broken.garbage() as server:
        server.answer = ANSWERS[what]
        came = outcome("kubernetes.Kubernetes.list", port=server.port)
        assert type(came) is expected
        assert "cluster plum" in str(came)
        assert not isinstance(came, Locked)


@pytest.mark.wide(12)
@pytest.mark.parametrize("name", AWS)
@pytest.mark.parametrize(
    "what", ["html", "cut body", "broken gzip", "no word", "no http", "redirect", "500 of no utf-8", "403"]
)
def test_whatever_answers_in_the_place_of_aws_comes_out_as_one_of_ours(
    monkeypatch: pytest.MonkeyPatch, account: None, what: str, name: str
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    with broken.garbage() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        server.answer = ANSWERS[what]
        came = outcome(name, aws=True)
        assert isinstance(came, BluegreenError), came
        assert len(str(came)) < MOST
        assert server.asked


def test_a_page_with_an_odd_grpc_status_is_counted_all_the_same() -> None:
    """A workload writes what it likes into its trailers."""
    line = (
        'istio_requests_total{{reporter="source",destination_service="cart.shop.svc.cluster.local",response_code="200",{}}} 5\n'
    )
    page = "# TYPE istio_requests_total counter\n" + "".join(
        line.format(f'grpc_response_status="{status}"') for status in ("", "²", "x", "0", "99999999999999999999")
    )
    with broken.garbage() as server:
        server.answer = broken.answered("200 OK", page.encode())
        came = outcome("counters.PageCounters.read", port=server.port)
        assert not isinstance(came, BaseException), came


def test_the_kind_of_a_route_that_is_not_found_is_not_taken_for_a_dead_cluster() -> None:
    with broken.garbage() as server:
        server.answer = ANSWERS["404 of a path"]
        assert isinstance(outcome("istio.IstioRouter.read", port=server.port), NotFound)
        assert VIRTUAL_SERVICE.path("shop", "cart") in str(outcome("istio.IstioRouter.write", port=server.port)), (
            "and says which"
        )


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        pytest.param(aiohttp.ClientConnectorError(broken._KEY, OSError(111, "x")), "Connection refused", id="refused"),
        pytest.param(
            aiohttp.ClientConnectorDNSError(broken._KEY, socket.gaierror(-2, "Name or service not known")),
            "Name or service not known", id="no such name",
        ),
        pytest.param(
            aiohttp.ClientConnectorError(
                broken._KEY, OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 9)"),
            ),
            "Connection refused", id="each address",
        ),
        pytest.param(aiohttp.ServerDisconnectedError(), "connection closed", id="closed"),
        pytest.param(aiohttp.ClientPayloadError("Response payload is not completed"), "connection closed within", id="a part"),
        pytest.param(aiohttp.ClientOSError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), "", id="a number of no system"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["counters.PageCounters.read", "prometheus.PrometheusMetrics.ask", "probe.ask",
                                  "istio.IstioRouter.in_effect"])  # fmt: skip
def test_silent_servers_are_reported_in_our_words(
    monkeypatch: pytest.MonkeyPatch, name: str, raised: Exception, told: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(aiohttp.ClientSession, "_request", refuse)
    said = str(outcome(name))
    assert told in said
    for talk in ("Cannot connect to host", "ssl:default", "Connect call failed", "ClientConnector", "Errno", "not permitted"):
        assert talk not in said
