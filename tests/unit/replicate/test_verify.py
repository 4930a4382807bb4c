"""A service passes only where its workloads are there and answer on green as they do on blue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

import routing
from migration.cli import progress
from migration.errors import Unreachable
from migration.objects import kinds
from migration.ports.answers import Answer
from migration.verify.request import Check, request_for, sent_on
from migration.verify.run import ServiceVerdict, verify
from routing import Request
from routing.virtual_service import VIRTUAL_SERVICE
from tests.fakes.apiserver import FakeApiServer
from tests.unit.replicate.test_preflight import LABELS, PUBLIC, SERVICE, one, route, workload


@dataclass(frozen=True)
class At:
    address: str
    port: int = 80


FROM_WORKLOAD = {"server": "envoy", "x-envoy-upstream-service-time": "1"}
BY_ITSELF = {"server": "envoy"}
OK = Answer(200, FROM_WORKLOAD)


class Gateways:
    def __init__(self, green: Answer | Exception, blue: Answer | Exception = OK) -> None:
        self.answers = {"green": green, "blue": blue}
        self.asked: list[tuple[str, str, str]] = []
        self.rules: dict[str, str] = {}  # by address:port, as the header named it

    async def __call__(self, address: str, port: int, request: routing.Request, *, timeout_seconds: float = 5.0) -> Answer:
        self.asked.append((address, request.host, request.path))
        self.rules[f"{address}:{port}"] = request.headers.get(routing.RULE_HEADER, "")
        answer = self.answers[address]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ready(replicas: int = 2, available: int = 2) -> dict[str, Any]:
    return {**workload(replicas), "status": {"availableReplicas": available}}


ENTRY = one(kinds.WORKLOAD_ENTRY, "web-1", {"labels": LABELS, "address": "192.0.2.1"})
SLICE = {
    **one(kinds.ENDPOINT_SLICE, "web-abc", metadata={"labels": {"kubernetes.io/service-name": "web"}}),
    "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
}
GOOD = [ready(), SERVICE, route(), PUBLIC, ENTRY]


def ask(green: list[dict[str, Any]], gateways: Gateways, **options: Any) -> ServiceVerdict:
    blue = FakeApiServer("plum", [route()])
    (verdict,) = asyncio.run(
        verify(
            ["shop/web"],
            At("blue"),
            At("green"),
            blue,
            FakeApiServer("fern", green),
            probe=gateways,
            **{"patience_seconds": 0, **options},
        )
    )
    return verdict


@pytest.mark.parametrize("addresses", [ENTRY, SLICE], ids=["workload entries", "endpoint slices"])
def test_a_good_service_passes_with_evidence(addresses: dict[str, Any]) -> None:
    gateways = Gateways(OK)
    verdict = ask([ready(), SERVICE, route(), PUBLIC, addresses], gateways)
    assert verdict.problems == ()
    assert verdict.ok
    assert (verdict.green_status, verdict.blue_status) == (200, 200)
    assert "Deployment shop/web: 2 of 2 available" in verdict.evidence
    assert ("green", "web.example.com", "/") in gateways.asked


@pytest.mark.parametrize(
    ("objects", "green", "blue", "problem"),
    [
        pytest.param([], OK, OK, "green has no VirtualService shop/web", id="no route"),
        pytest.param([ready(), route(), PUBLIC], OK, OK, "green has no Service shop/web", id="no service"),
        pytest.param([ready(2, 1), SERVICE, route(), ENTRY], OK, OK, "1 of 2 available", id="too few available"),
        pytest.param([ready(), SERVICE, route()], OK, OK, "0 ready endpoints", id="no address"),
        pytest.param(GOOD, Answer(503, BY_ITSELF), OK, "no workload to send to", id="the gateway has nobody"),
        pytest.param(GOOD, Answer(404, BY_ITSELF), Answer(404, BY_ITSELF), "no route takes it", id="no route, on both alike"),
        pytest.param(GOOD, Answer(500, FROM_WORKLOAD), OK, "green answers 500", id="errors"),
        pytest.param(GOOD, Answer(404, FROM_WORKLOAD), OK, "where blue answers 200", id="another class of answer"),
        pytest.param(GOOD, Unreachable("no answer"), OK, "no answer", id="no answer"),
    ],
)
def test_a_bad_service_does_not_pass(objects: Any, green: Any, blue: Any, problem: str) -> None:
    verdict = ask(objects, Gateways(green, blue))
    assert not verdict.ok
    assert any(problem in text for text in verdict.problems), verdict.problems


def test_a_service_that_answers_404_on_both_sides_is_alike() -> None:
    assert ask(GOOD, Gateways(Answer(404, FROM_WORKLOAD), Answer(404, FROM_WORKLOAD))).ok


def test_a_configured_check_is_what_is_asked() -> None:
    gateways = Gateways(Answer(204, FROM_WORKLOAD))
    check = Check(path="/health", host="other.example.com", status=204)
    assert ask(GOOD, gateways, checks={"shop/web": check}).ok
    assert ("green", "other.example.com", "/health") in gateways.asked
    assert not ask(GOOD, Gateways(OK), checks={"shop/web": check}).ok


NO_MARKS: dict[str, str] = {}  # a mesh that hides Envoy's headers
TO_LOGIN = FROM_WORKLOAD | {"location": "https://login.example.com/"}
OF_GRPC = FROM_WORKLOAD | {"content-type": "application/grpc"}


def alike(status: int, headers: Mapping[str, str], body: bytes = b"") -> tuple[Answer, Answer]:
    return Answer(status, headers, body), Answer(status, headers, body)


@pytest.mark.parametrize(
    ("green", "blue", "told"),
    [
        pytest.param(*alike(301, BY_ITSELF), "301 came from the gateway itself", id="both gateways redirect"),
        pytest.param(*alike(200, BY_ITSELF), "200 came from the gateway itself", id="a direct response"),
        pytest.param(Answer(200, BY_ITSELF), OK, "200 came from the gateway itself", id="a direct response on green alone"),
        pytest.param(*alike(401, BY_ITSELF), "401 came from the gateway itself", id="the gateway's policy"),
        pytest.param(*alike(418, BY_ITSELF), "418 came from the gateway itself", id="an injected fault"),
        pytest.param(*alike(301, NO_MARKS), "301 came from somebody unknown", id="no name of a server"),
        pytest.param(Answer(200, {"server": "shop"}), OK, "200 came from somebody unknown", id="another name of a server"),
        pytest.param(
            *alike(403, FROM_WORKLOAD, b"RBAC: access denied"),
            "403 came from a policy of the mesh",
            id="the policy of a sidecar",
        ),
        pytest.param(
            *alike(401, FROM_WORKLOAD, b"Jwt is missing"),
            "401 came from a policy of the mesh",
            id="a token asked for by a sidecar",
        ),
        pytest.param(
            Answer(302, TO_LOGIN),
            Answer(302, BY_ITSELF),
            "no workload to compare with",
            id="only green's redirect is a workload's",
        ),
        pytest.param(Answer(404, FROM_WORKLOAD), Answer(404, BY_ITSELF), "no workload to compare with", id="blue has no route"),
        pytest.param(Answer(404, FROM_WORKLOAD), Unreachable("no answer"), "could not be asked", id="404, and blue is silent"),
        pytest.param(Answer(404, FROM_WORKLOAD), Answer(503, FROM_WORKLOAD), "blue answers 503", id="404, and blue is broken"),
        pytest.param(*alike(200, OF_GRPC), "speaks gRPC", id="gRPC with its status in trailers"),
        pytest.param(
            *alike(200, OF_GRPC | {"grpc-status": "12"}),
            "gRPC status 12",
            id="no method of gRPC",
        ),
    ],
)
def test_what_is_not_known_to_come_from_a_workload_is_not_verified(green: Any, blue: Any, told: str) -> None:
    verdict = ask(GOOD, Gateways(green, blue))
    assert not verdict.ok
    assert verdict.outcome == "not verified"
    assert told in verdict.problems[0]
    assert "services.shop/web.check" in verdict.remedy


@pytest.mark.parametrize("port", [{"name": "grpc-api"}, {"name": "api", "appProtocol": "grpc"}], ids=["name", "appProtocol"])
def test_a_service_that_speaks_grpc_is_not_verified_by_a_plain_answer(port: dict[str, Any]) -> None:
    """Such servers answer a plain GET with 415, whatever state their methods are in."""
    service = one(kinds.SERVICE, "web", {**SERVICE["spec"], "ports": [{"port": 80, **port}, {"port": 9090, "name": "http"}]})
    to = [{"route": [{"destination": {"host": "web", "port": {"number": 80}}}]}]
    plain = Answer(415, FROM_WORKLOAD)
    verdict = ask([ready(), service, route(http=to), PUBLIC, ENTRY], Gateways(plain, plain))
    assert verdict.outcome == "not verified"
    assert "speaks gRPC" in verdict.problems[0]


def test_a_grpc_status_of_the_servers_own_fault_is_a_failure() -> None:
    verdict = ask(GOOD, Gateways(Answer(200, OF_GRPC | {"grpc-status": "14"}), Answer(200, OF_GRPC | {"grpc-status": "0"})))
    assert verdict.outcome == "failed"
    assert "gRPC status 14" in verdict.problems[0]


@pytest.mark.parametrize(
    ("green", "blue"), [(404, 401), (302, 301), (200, 301)], ids=["404 and 401", "302 and 301", "200 and 301"]
)
def test_only_the_same_answer_is_alike(green: int, blue: int) -> None:
    verdict = ask(GOOD, Gateways(Answer(green, FROM_WORKLOAD), Answer(blue, FROM_WORKLOAD)))
    assert verdict.problems == (f"green answers {green} where blue answers {blue}",)
    assert verdict.outcome == "failed"


def test_a_status_that_a_person_named_is_enough_whoever_gave_it() -> None:
    redirect = Gateways(Answer(301, BY_ITSELF), Answer(301, BY_ITSELF))
    assert ask(GOOD, redirect, checks={"shop/web": Check(status=301)}).ok
    assert ask(GOOD, redirect, checks={"shop/web": Check(path="/health")}).outcome == "not verified"
    assert ask(GOOD, redirect, checks={"shop/web": Check(status=200)}).outcome == "failed"


def test_a_route_that_only_redirects_is_not_verified() -> None:
    redirect = route(http=[{"redirect": {"uri": "/", "redirectCode": 301}}])
    verdict = ask([redirect, PUBLIC], Gateways(Answer(301, BY_ITSELF), Answer(301, BY_ITSELF)))
    assert verdict.outcome == "not verified"


def test_what_is_not_verified_is_asked_once() -> None:
    gateways = Gateways(Answer(301, BY_ITSELF), Answer(301, BY_ITSELF))
    ask(GOOD, gateways, patience_seconds=60)
    assert len(gateways.asked) == 2


def test_an_enrolled_service_whose_gateway_redirects_is_asked_past_it() -> None:
    verdict = ask(GOOD, Gateways(Answer(301, BY_ITSELF), Answer(301, BY_ITSELF)))
    assert "bluegreen enroll shop/web" in verdict.remedy
    verdict = ask_enrolled([*ENROLLED, *BEHIND], Gateways(Answer(301, BY_ITSELF), Answer(301, BY_ITSELF)))
    assert verdict.outcome == "not verified"
    assert "enroll" not in verdict.remedy


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"hosts": ["*", "a.example.com"]}, "GET a.example.com/", id="the first host that is a name"),
        pytest.param({"hosts": ["*.example.com"]}, "GET bluegreen-check.example.com/", id="a wildcard made concrete"),
        pytest.param({"hosts": ["*"]}, "GET bluegreen-check.internal/", id="any host"),
        pytest.param(
            {"hosts": ["a"], "http": [{"match": [{"uri": {"exact": "/productpage"}}], "route": [{}]}]},
            "GET a/productpage",
            id="the path of its first rule",
        ),
        pytest.param(
            {
                "hosts": ["a"],
                "http": [
                    {"match": [{"uri": {"prefix": "/beta"}, "headers": {"x": {"exact": "1"}}}], "route": [{}]},
                    {"match": [{"uri": {"prefix": "/all"}}], "route": [{}]},
                ],
            },
            "GET a/all",
            id="the rule that asks for least",
        ),
    ],
)
def test_the_request_is_one_that_the_route_takes(spec: Any, expected: str) -> None:
    assert str(request_for(one(VIRTUAL_SERVICE, spec=spec), {}, Check())) == expected


ENROLLED = [routing.public_route(route(), 0, "green"), routing.peer_route(route(), 0), PUBLIC]
BEHIND = [ready(), SERVICE, ENTRY]
LISTENERS = {"green": At("green", 15088), "blue": At("blue", 15089)}


def ask_enrolled(
    green: list[dict[str, Any]], gateways: Gateways, original: dict[str, Any] | None = None, check: Check | None = None
) -> ServiceVerdict:
    checks = {"shop/web": check} if check else {}
    return ask(green, gateways, enrolled={"shop/web": original or route()}, listeners=LISTENERS, checks=checks)


def test_an_enrolled_service_with_nothing_on_green_does_not_pass() -> None:
    verdict = ask_enrolled(ENROLLED, Gateways(OK))
    assert verdict.problems == ("green has no Service shop/web",)


def test_a_route_that_forwards_though_in_no_file_does_not_pass() -> None:
    verdict = ask([*ENROLLED, *BEHIND], Gateways(OK))
    assert [text for text in verdict.problems if "forwards to blue" in text]


def test_an_enrolled_service_is_asked_by_the_peer_listeners() -> None:
    gateways = Gateways(OK)
    verdict = ask_enrolled([*ENROLLED, *BEHIND], gateways)
    assert verdict.ok
    assert "Deployment shop/web: 2 of 2 available" in verdict.evidence
    assert gateways.rules == {"green:15088": "shop/web/0", "blue:15089": "shop/web/0"}


def test_a_peer_listener_that_cannot_be_reached_is_a_problem_with_a_remedy() -> None:
    verdict = ask_enrolled([*ENROLLED, *BEHIND], Gateways(Unreachable("gateway green:15088 did not answer")))
    assert verdict.problems == ("gateway green:15088 did not answer",)
    assert "green:15088" in verdict.remedy
    assert "peer_address" in verdict.remedy


@pytest.mark.parametrize("lacking", range(2), ids=["public route", "peer route"])
def test_an_enrolled_service_without_its_routes_on_green_is_to_be_enrolled_again(lacking: int) -> None:
    verdict = ask_enrolled([o for o in [*ENROLLED, *BEHIND] if o is not ENROLLED[lacking]], Gateways(OK))
    assert not verdict.ok
    assert "bluegreen enroll shop/web" in verdict.remedy


def test_blues_peer_listener_without_the_route_is_no_comparison() -> None:
    verdict = ask_enrolled([*ENROLLED, *BEHIND], Gateways(OK, Answer(404, BY_ITSELF)))
    assert verdict.ok
    assert any("blue could not be asked" in text for text in verdict.evidence)


def test_a_check_that_no_rule_takes_does_not_pass() -> None:
    original = route(http=[{"match": [{"uri": {"prefix": "/shop"}}], "route": [{"destination": {"host": "web"}}]}])
    verdict = ask_enrolled([*ENROLLED, *BEHIND], Gateways(OK), original, Check(path="/other"))
    assert not verdict.ok
    assert "check.path" in verdict.remedy


TO_WEB = [{"destination": {"host": "web"}}]


def rule(uri: dict[str, str] | None, rewrite: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    made = {"route": TO_WEB, **({"match": [{"uri": uri}]} if uri else {}), **({"rewrite": rewrite} if rewrite else {})}
    return made | more


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([rule(None)], "0 GET a/api/x", id="a rule for all"),
        pytest.param([rule({"exact": "/"}), rule({"prefix": "/api"})], "1 GET a/api/x", id="the first that takes the path"),
        pytest.param([{"redirect": {"uri": "/"}}, rule(None)], "1 GET a/api/x", id="a rule without a destination is counted"),
        pytest.param([rule({"prefix": "/api/"}, {"uri": "/"})], "0 GET a/x", id="a prefix rewritten"),
        pytest.param([rule({"exact": "/api/x"}, {"uri": "/y"})], "0 GET a/y", id="a path rewritten"),
        pytest.param([rule(None, {"uri": "/v2/"})], "0 GET a/v2/api/x", id="rewritten without a match"),
        pytest.param([rule({"regex": "/a.*"}, {"uri": "/y"})], "0 GET a/api/x", id="a pattern stays as it is"),
        pytest.param([rule({"prefix": "/api"}, {"authority": "b"})], "0 GET b/api/x", id="the host rewritten"),
        pytest.param(
            [rule(None, match=[{"headers": {"x": {"exact": "1"}}}]), rule(None)], "1 GET a/api/x", id="a header that we lack"
        ),
        pytest.param([rule(None, match=[{"queryParams": {"q": {}}}]), rule(None)], "1 GET a/api/x", id="a query that we lack"),
        pytest.param([rule({"regex": "("})], None, id="a pattern that Python cannot read"),
        pytest.param([rule({"prefix": "/other"})], None, id="no rule"),
    ],
)
def test_the_request_is_what_the_original_would_forward(rules: list[dict[str, Any]], expected: str | None) -> None:
    sent = sent_on(route(http=rules), Request("a", "/api/x"), {})
    told = sent and f"{sent.headers[routing.RULE_HEADER].removeprefix('shop/web/')} {sent}"
    assert told == expected


@pytest.mark.parametrize(
    ("server", "scheme"),
    [
        pytest.param({"port": {"number": 80, "protocol": "HTTP"}}, "http", id="plain"),
        pytest.param({"port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"}}, "https", id="TLS"),
        pytest.param({"port": {"number": 80, "protocol": "HTTP"}, "tls": {"httpsRedirect": True}}, "https", id="redirect"),
    ],
)
def test_a_service_that_is_asked_by_the_peer_listener_gets_the_scheme_of_its_users(server, scheme):
    """It would answer a redirect to https otherwise, which proves nothing."""
    original = route(gateways=["istio-system/public"])
    gateways = {"istio-system/public": {"spec": {"servers": [server]}}}
    sent = sent_on(original, Request("a", "/"), gateways)
    assert sent is not None
    assert sent.headers[routing.CARRIED["x-forwarded-proto"]] == scheme


class Rounds:
    """How often green was looked at, and what was said; after two rounds what is awaited comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        monkeypatch.setattr("migration.verify.run.POLL_SECONDS", 0.01)

    def __call__(self, done: int, of: int, last: str) -> None:
        self.said.append(f"{done} of {of} {last}".strip())


TRACKED = {"annotations": {"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:shop/web"}}


@pytest.mark.parametrize(
    ("green", "told", "remedy"),
    [
        pytest.param([ready(), route(), PUBLIC], "green has no Service shop/web", "bluegreen replicate", id="no Service"),
        pytest.param([ready(), SERVICE, PUBLIC], "green has no VirtualService shop/web", "bluegreen replicate", id="no route"),
    ],
)
def test_what_green_lacks_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, green: list[dict[str, Any]], told: str, remedy: str
) -> None:
    rounds = Rounds(monkeypatch)
    verdict = ask(green, Gateways(Answer(503, BY_ITSELF)), patience_seconds=60.0, progress=rounds)
    assert rounds.said == ["1 of 1"], "one look, though it might wait for a minute"
    assert verdict.outcome == "failed"
    assert told in verdict.problems
    assert remedy in verdict.remedy


@pytest.mark.parametrize("green", [[ready(), route(), PUBLIC], [ready(), SERVICE, PUBLIC]], ids=["no Service", "no route"])
def test_what_a_tool_brings_is_waited_for(monkeypatch: pytest.MonkeyPatch, green: list[dict[str, Any]]) -> None:
    rounds = Rounds(monkeypatch)
    owned = route()
    owned = {**owned, "metadata": {**owned["metadata"], **TRACKED}}
    fern = FakeApiServer("fern", green)

    def at(done: int, of: int, last: str) -> None:
        rounds(done, of, last)
        if len(rounds.said) == 2:
            for obj in GOOD:
                fern.put(obj)

    (verdict,) = asyncio.run(
        verify(
            ["shop/web"], At("blue"), At("green"), FakeApiServer("plum", [owned]), fern,
            probe=Gateways(OK), patience_seconds=60.0, progress=at,
        )
    )  # fmt: skip
    assert verdict.ok
    assert rounds.said == ["0 of 1 waiting for shop/web"] * 2 + ["1 of 1"]


def test_what_is_awaited_is_logged_once_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    told = progress.Progress("verifying on fern")
    at = progress.announced(told, 120.0, "--timeout 0 looks once")
    at(3, 3, "")
    assert caplog.messages == [], "nothing to wait for"
    at(1, 3, "waiting for shop/pay")
    at(2, 3, "waiting for shop/pay")
    assert caplog.messages == ["waiting up to 120 s for 2 of 3 (waiting for shop/pay); --timeout 0 looks once"]
    assert (told.done, told.of, told.last) == (2, 3, "waiting for shop/pay")
    progress.announced(told, 0.0, "")(1, 3, "x")
    assert len(caplog.messages) == 1, "it does not wait"
