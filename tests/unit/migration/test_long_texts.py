"""What others write is read in time that grows with its length and no faster: a line of a megabyte, made to be slow or not,
must not hold a running shift up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from migration.clients.counters import look
from migration.clients.discreet import causes, message_of, without_structures
from migration.discretion import without_passwords
from migration.ownership.queues import CONSUMING_TEXT
from migration.replicate.values import without_secrets

LENGTH = 100_000
MOST_SECONDS = 5.0  # of this process alone; each takes some hundredths, and what is quadratic half a minute or more
READERS: dict[str, Callable[[str], Any]] = {
    "a line of the log": without_passwords,
    "a refusal": without_structures,
    "a refused object": lambda text: message_of("PATCH", "/api/v1/namespaces/a/configmaps/b", 422, {}, text),
    "a refused Secret": lambda text: message_of("PATCH", "/api/v1/namespaces/a/secrets/b", 422, {}, text),
    "a cause": lambda text: causes("PATCH", "/x", {"details": {"causes": [{"field": text, "message": text}]}}),
    "a value of an object": without_secrets,
    "a mounted file": CONSUMING_TEXT.search,
    "a page of counters": lambda text: look(f'istio_requests_total{{{text}="x"}} 1', "istio"),
    "a page of Envoy's": lambda text: look(f'envoy_cluster_upstream_rq{{x="{text}"}} 1', "envoy"),
}
BEATS = [
    "a", "a.", "a-", "-", "a:", ":", "/", "://", "http://", "http://a:", "http://a:a@", "http://a@", "@", "a:@", " ", "\\",
    "\\\"", "eyJ", "-eyJ", "eyJaaaaaaaa", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", "k8s-aws-v1.", "Bearer", "Bearer ", "bearer  ",
    "Basic a ", "Basic%20", "authorization", "Authorization: ", "authorization: Bearer ", "authorization'(", "Invalid value: ",
    "Invalid value: a", "Invalid value: {", "Invalid value: map[", "Invalid value: map[]", ", got ", ", got a.{", "{", "}", "[",
    "]", 'User "', 'User "a" cannot ', 'secret "', 'secrets "a" ', 'admission webhook "', "exceeded quota: a",
    "token", "token=", "-token=", 'token="', "token='", "token: ", "token:  ", "--token", "-token", "password", "api_key",
    "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN A", "-----END", 'a="', 'a="\\"', '"', "'", "\n", "a\n", "é", "\0",
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_long_text_takes_no_longer_than_its_length(reader: str) -> None:
    slow = {}
    for beat in BEATS:
        if (took := seconds(READERS[reader], beat * (LENGTH // len(beat)))) > MOST_SECONDS:
            slow[beat] = took
    assert not slow


@pytest.mark.wide(8)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("beat", ["a", "a:", "-eyJ", "Invalid value: "])
def test_a_megabyte_is_read_within_moments(reader: str, beat: str) -> None:
    assert seconds(READERS[reader], "http://" + beat * (1_000_000 // len(beat))) < MOST_SECONDS


def seconds(read: Callable[[str], Any], text: str) -> float:
    began = time.process_time()
    read(text)
    return time.process_time() - began


def test_a_long_text_is_read_all_the_same() -> None:
    filling = "http://a:" * 50_000
    assert without_passwords(f"{filling} http://u:p@h {filling}") == f"{filling} http://***@h {filling}"
    assert without_structures(f"{filling}Invalid value: a{{b}}: {filling}") == f"{filling}Invalid value: ...: {filling}"
    assert without_secrets(f"{filling} token=abc") == f"{filling} token=(hidden)"
