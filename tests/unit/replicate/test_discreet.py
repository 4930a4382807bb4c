"""What a server says in refusing a Secret is told without what it may quote of it; all else keeps its words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from access import kubeconfig
from migration.clients.discreet import message_of
from migration.clients.kubernetes import Kubernetes
from migration.errors import BluegreenError, Forbidden, NotFound, Rejected
from migration.objects.kinds import Resource
from migration.ownership.judge import Item
from migration.replicate.apply import refused_by_typing
from migration.replicate.plan import Change

SECRET = Resource("", "v1", "Secret", "secrets", True)
CANARY = "hunter2-of-the-canary"
CODED = base64.b64encode(CANARY.encode()).decode()
OBJ = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "shop"},
    "data": {"password": CODED},
}


def status(code: int, reason: str, message: str, *causes: tuple[str, str, str]) -> dict[str, Any]:
    listed = [{"field": field, "reason": why, "message": text} for field, why, text in causes]
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": {"causes": listed}}


def refusal(answer: dict[str, Any] | str, code: int = 422, verb: str = "apply") -> BluegreenError:
    async def handler(request: web.Request) -> web.Response:
        if isinstance(answer, str):
            return web.Response(status=code, text=answer)
        return web.json_response(answer, status=code)

    async def run() -> None:
        async with (
            TestServer(_app(handler)) as server,
            Kubernetes(kubeconfig.Access("plum", str(server.make_url("")).rstrip("/"), "file", "ctx")) as client,
        ):
            writes: dict[str, Callable[..., Any]] = {
                "apply": client.apply,
                "create": client.create,
                "replace": client.replace,
            }
            await writes[verb](SECRET, OBJ, manager="m")

    with pytest.raises(BluegreenError) as caught:
        asyncio.run(run())
    return caught.value


def _app(handler: Any) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    return app


SAYS_WHO = 'User "me@example.com" cannot patch resource "secrets" in API group "" in the namespace "shop"'
POLICY = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request"
WEBHOOK = 'admission webhook "policy.example.com" denied the request'
IMMUTABLE = "field is immutable when `immutable` is set"
WEAK = f'data[password]: Invalid value: "{CANARY}": weak'
TYPED = f"failed to create typed patch object (shop/s; /v1, Kind=Secret): .data.password: got &value{{Value:{CODED}}}"
# HTTP status, what the server answers, what of it is told
REFUSALS: dict[str, tuple[int, Any, str]] = {
    "an invalid value": (
        422,
        status(422, "Invalid", WEAK, ("data[password]", "FieldValueInvalid", WEAK)),
        "Invalid, data[password]: FieldValueInvalid",
    ),
    "immutable": (422, status(422, "Invalid", f"{WEAK}, data: Forbidden: {IMMUTABLE}"), IMMUTABLE),
    "typing": (500, status(500, "", TYPED), "typed patch"),
    "a webhook": (403, status(403, "Forbidden", f"{WEBHOOK}: password {CANARY} is on a list"), WEBHOOK),
    "a policy": (403, status(403, "Forbidden", f'secrets "s" is forbidden: {POLICY}: {CANARY}'), POLICY),
    "rights": (403, status(403, "Forbidden", f"secrets is forbidden: {SAYS_WHO}"), SAYS_WHO),
    "no namespace": (404, status(404, "NotFound", 'namespaces "shop" not found'), 'namespaces "shop" not found'),
    "a proxy": (413, f"<html>413 request entity too large: {CODED}", "request entity too large"),
    "what is no answer of Kubernetes": (400, f"bad body {CANARY}", "400"),
    "a webhook's own Status": (
        422,
        status(422, f"Reason {CANARY}", "no", (f"data[{CANARY} {CODED}]", CANARY, CANARY)),
        "a field",
    ),
}


@pytest.mark.parametrize("verb", ["apply", "create", "replace"])
@pytest.mark.parametrize(("code", "answer", "kept"), list(REFUSALS.values()), ids=list(REFUSALS))
def test_a_refused_secret_is_reported_by_what_is_harmless(code: int, answer: Any, kept: str, verb: str) -> None:
    problem = refusal(answer, code, verb)
    everything = " ".join([str(problem), repr(problem), str(problem.remedy), str(vars(problem))])
    assert CANARY not in everything
    assert CODED not in everything
    assert kept in str(problem)
    assert "secrets" in str(problem), "which object it is"


def test_what_is_done_by_the_kind_of_refusal_is_done_for_secrets_too() -> None:
    typing = refusal(
        status(500, "", "failed to create typed patch object (shop/s; /v1, Kind=Secret): duplicate entries for key [a]"), 500
    )
    assert isinstance(typing, Rejected)
    assert refused_by_typing(typing)
    assert isinstance(refusal(status(404, "NotFound", "no"), 404), NotFound)
    assert isinstance(refusal(status(403, "Forbidden", "no"), 403), Forbidden)
    assert "immutable" in str(refusal(status(422, "Invalid", f"data: Forbidden: {IMMUTABLE}")))


def test_structures_that_a_server_quotes_are_not_repeated_for_any_kind() -> None:
    dump = (
        'Job.batch "j" is invalid: spec.template: Invalid value: core.PodTemplateSpec{Spec:core.PodSpec{Env:[]core.EnvVar'
        f'{{core.EnvVar{{Name:"P", Value:"{CANARY}"}}}}}}}}: field is immutable'
    )
    said = message_of("PATCH", "/apis/batch/v1/namespaces/shop/jobs/j", 422, {}, dump)
    assert said == 'Job.batch "j" is invalid: spec.template: Invalid value: ...: field is immutable'
    typed = f'.data.a: expected string, got &value.valueUnstructured{{Value:map[string]interface {{}}{{"a":"{CANARY}"}}}}'
    assert CANARY not in message_of("PATCH", "/api/v1/namespaces/shop/configmaps/c", 500, {}, typed)
    for cut in (dump[: dump.index("}")], f'x: Invalid value: map[string]interface {{}}{{"a":"{CANARY}"}}'):
        assert CANARY in cut
        assert message_of("PATCH", "/apis/batch/v1/namespaces/shop/jobs/j", 422, {}, cut).endswith("Invalid value: ...")
    plain = 'Service "s" is invalid: spec.clusterIP: Invalid value: "10.0.0.1": is in use'
    assert message_of("POST", "/api/v1/namespaces/shop/services", 422, {}, plain) == plain


def test_a_custom_kind_of_the_name_keeps_its_words() -> None:
    assert (
        message_of("PATCH", "/apis/example.com/v1/namespaces/a/secrets/b", 422, {}, "spec.size: too small")
        == "spec.size: too small"
    )


def test_nothing_that_holds_an_object_shows_it_in_a_traceback() -> None:
    assert CODED not in repr([Item(SECRET, OBJ), Change("update", SECRET, OBJ, live=OBJ)])
