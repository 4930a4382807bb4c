"""A gateway pod whose page does not answer is that pod's silence; only a gateway without any page is not seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp import web

from migration.clients.counters import PageCounters, Silence
from migration.errors import Permanent, Unreachable
from migration.model import GatewayCounters, ServiceCounters, Tally
from routing import peer_host
from tests.fakes.pages import OLD, ORIGINAL, SERVICE, YOUNG, Pages, Pod

PAGE = "# TYPE istio_requests_total counter\n" + "".join(
    f'istio_requests_total{{reporter="source",destination_service="{host}",response_code="200"}} {count}\n'
    for host, count in [("catalog.shop.svc.cluster.local", 8), (peer_host(SERVICE), 2)]
)
ONE = ServiceCounters(local=Tally(8), forwarded=Tally(2))
TWO = ServiceCounters(local=Tally(16), forwarded=Tally(4))


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def cut(request: web.Request) -> web.StreamResponse:
    """Says how much will come, and goes away in the middle."""
    answer = web.StreamResponse(headers={"content-length": str(len(PAGE))})
    await answer.prepare(request)
    await answer.write(PAGE[:150].encode())
    assert request.transport is not None
    request.transport.close()
    return answer


def says(text: str = "", status: int = 200) -> Callable[[web.Request], web.Response]:
    return lambda request: web.Response(text=text, status=status)


BAD = {
    "goes away in the middle": (cut, "do not answer: "),
    "ends in the middle of a line": (says(PAGE[:-5]), "are cut short after"),
    "is not there": (says("no such page", 404), "answer 404"),
    "wants a login": (says("<!doctype html>\n<p>Please log in\n"), "are no Prometheus page: '<!doctype html>"),
    "is empty": (says(), "are no Prometheus page: ''"),
    "is overloaded": (says("later", 503), "answer 503"),
}


@asynccontextmanager
async def pods(*answers: Callable[..., object]) -> AsyncIterator[list[str]]:
    """A page per answer, all of one server."""
    app = web.Application()
    for number, answer in enumerate(answers):

        async def handle(request: web.Request, answer: Callable[..., object] = answer) -> web.StreamResponse:
            said = answer(request)
            return await said if asyncio.iscoroutine(said) else said  # type: ignore[return-value]

        app.router.add_get(f"/{number}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield [f"http://127.0.0.1:{runner.addresses[0][1]}/{number}" for number in range(len(answers))]
    finally:
        await runner.cleanup()


async def read(urls: list[str], read_seconds: float = 60.0) -> GatewayCounters:
    client = PageCounters(urls, "istio", {SERVICE: ORIGINAL}, read_seconds=read_seconds)
    try:
        return await client.read()
    finally:
        await client.close()


@pytest.mark.parametrize("name", BAD)
def test_a_page_without_counts_leaves_the_others_alone(name: str) -> None:
    bad, why = BAD[name]

    async def run() -> tuple[list[str], GatewayCounters]:
        async with pods(says(PAGE), bad, says(PAGE)) as urls:
            return urls, await read(urls)

    urls, got = asyncio.run(run())
    assert got.services == {SERVICE: TWO}
    assert got.pods == {urls[0]: {SERVICE: ONE}, urls[2]: {SERVICE: ONE}}
    assert list(got.silent) == [urls[1]]
    assert got.silent[urls[1]].startswith(why)


def test_a_page_that_never_answers_keeps_the_others_waiting_for_a_known_time_only() -> None:
    async def run() -> GatewayCounters:
        async with pods(says(PAGE), hang, says(PAGE)) as urls:
            return await read(urls, read_seconds=3.0)

    got = asyncio.run(run())
    assert got.services == {SERVICE: TWO}
    assert list(got.silent.values()) == ["do not answer within 3 s"]


def test_a_pod_that_does_not_listen_leaves_the_others_alone() -> None:
    async def run() -> GatewayCounters:
        async with pods(says(PAGE)) as urls:
            return await read([*urls, "http://127.0.0.1:1/"])

    got = asyncio.run(run())
    assert got.services == {SERVICE: ONE}
    assert list(got.silent) == ["http://127.0.0.1:1/"]


def test_a_page_that_is_listed_twice_is_read_once() -> None:
    async def run() -> GatewayCounters:
        async with pods(says(PAGE)) as urls:
            return await read(urls * 2)

    assert asyncio.run(run()).services == {SERVICE: ONE}
    with pytest.raises(Unreachable):
        asyncio.run(read(["http://127.0.0.1:1/"] * 2))


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["is overloaded", "is not there"], Unreachable),
        (["is not there", "wants a login"], Permanent),
        (["is not there"], Permanent),
        (["ends in the middle of a line"], Unreachable),
    ],
    ids=["some may come back", "wrong addresses", "one, wrong", "one, cut"],
)
def test_a_gateway_of_which_no_page_answers_is_an_error(names: list[str], error: type[Exception]) -> None:
    async def run() -> None:
        async with pods(*(BAD[name][0] for name in names)) as urls:
            await read(urls)

    with pytest.raises(error) as caught:
        asyncio.run(run())
    assert all(BAD[name][1] in str(caught.value) for name in names)


def test_pages_that_do_not_answer_are_named_without_reading_counters() -> None:
    async def run() -> tuple[list[str], dict[str, str]]:
        async with pods(says(PAGE), *(bad for bad, _ in BAD.values())) as urls:
            client = PageCounters(urls, "istio", {}, read_seconds=60.0)
            try:
                return urls, await client.silent()
            finally:
                await client.close()

    urls, silent = asyncio.run(run())
    assert list(silent) == urls[1:]
    assert all(told.startswith(why) for told, (_, why) in zip(silent.values(), BAD.values(), strict=True))


def grown(readings: list[GatewayCounters]) -> list[Tally]:
    forwarded = [each.services[SERVICE].forwarded for each in readings]
    return [later - sooner for sooner, later in pairwise(forwarded)]


def test_a_pod_that_is_scaled_in_keeps_what_it_had_counted() -> None:
    pages = Pages([OLD] * 6, [OLD] * 6, [YOUNG, YOUNG, None, None, None, None])
    readings = [pages.reading() for _ in range(6)]
    assert grown(readings) == [Tally(60), Tally(40), Tally(40), Tally(40), Tally(40)]
    first, second, third = pages.urls
    assert [set(each.pods) for each in readings[1:3]] == [{first, second, third}, {first, second}]
    assert readings[2].silent == {third: "do not answer: nobody is there"}


def test_what_a_silent_pod_counted_meanwhile_comes_when_it_answers_again() -> None:
    pages = Pages([OLD] * 5, [OLD, OLD, None, None, OLD])
    assert grown([pages.reading() for _ in range(5)]) == [Tally(40), Tally(20), Tally(20), Tally(80)]


def test_open_requests_of_a_silent_pod_are_not_open_for_ever() -> None:
    pages = Pages([OLD] * 3, [OLD, None, OLD])
    pages.dialect = "envoy"
    active = f'envoy_cluster_upstream_rq_active{{cluster_name="outbound|80||{peer_host(SERVICE)}"}} 6\n'
    plain = pages._page

    async def page(url: str) -> str | Silence:
        there = await plain(url)
        return there if isinstance(there, Silence) else active

    pages._page = page  # type: ignore[method-assign]
    assert [pages.reading().services[SERVICE].forwarded.active for _ in range(3)] == [12, 6, 12]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (Pod(started=1001.5, errors=7), [Tally(20), Tally(20), Tally(20 + 30 + 7, 7), Tally(40)]),
        (Pod(started=0, local=9000, forwarded=9000, errors=900, born=2.5), [Tally(20), Tally(20), Tally(20), Tally(40)]),
    ],
    ids=["that started since", "that ran elsewhere before"],
)
def test_a_page_that_answers_first_later_on_adds_what_came_since(later: Pod, expected: list[Tally]) -> None:
    pages = Pages([replace_born(OLD)] * 5, [None, None, None, later, later])
    assert grown([pages.reading() for _ in range(5)]) == expected


def replace_born(pod: Pod) -> Pod:
    return Pod(pod.started, pod.local, pod.forwarded, pod.errors, born=1.5)


def test_an_address_that_another_pod_takes_over_continues_from_what_was_counted() -> None:
    """A StatefulSet's name leads to a new pod: what it served from its start on counts, once."""
    before, after = Pod(started=0, born=1.5), Pod(started=1002.5, born=9.5, errors=3)
    pages = Pages([OLD] * 6, [before, before, None, after, after, after])
    readings = [pages.reading() for _ in range(6)]
    assert grown(readings) == [Tally(40), Tally(20), Tally(20 + 10 + 3, 3), Tally(40), Tally(40)]
    assert not readings[-1].silent


def test_pods_in_turn_behind_one_of_several_addresses_silence_that_address_alone() -> None:
    pages = Pages([OLD] * 12, [OLD, YOUNG] * 6)
    readings = [pages.reading() for _ in range(12)]
    assert "come from another pod at each read" in readings[-1].silent[pages.urls[1]]
    assert set(readings[-1].pods) == {pages.urls[0]}
    assert grown(readings) == [Tally(20)] * 11  # nothing of the address in turn, and nothing false


def test_an_address_where_pods_took_turns_counts_again_ten_minutes_after_the_last_turn() -> None:
    pages = Pages([OLD] * 2000, [OLD, YOUNG, OLD] + [OLD] * 2000)
    silent = [bool(pages.reading().silent) for _ in range(700)]
    assert all(silent[2:600])
    assert not any(silent[603:])
