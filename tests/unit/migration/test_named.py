"""A name that means nothing is answered in the same words by every command."""

from __future__ import annotations

import pytest

from migration.errors import UsageError
from migration.settings.named import refuse_not_enrolled, refuse_unknown
from migration.words import NAMED
from tests.fakes.project import Project

SAID = "not enrolled: shop/crat (did you mean shop/cart?), odd/one; enrolled: shop/cart, shop/pay, shop/search"


@pytest.mark.parametrize(
    "words",
    [("shift",), ("shift", "--yes"), ("rollback",), ("unenroll",), ("unenroll", "--yes"), ("capacity", "release")],
    ids=" ".join,
)
def test_the_same_typo_is_answered_the_same_way(project: Project, words: tuple[str, ...]) -> None:
    project.watched = True
    project.configure()
    code, document, _ = project.run(*words, "shop/crat", "odd/one")
    assert (code, document["error"]["kind"], document["error"]["message"]) == (2, "usage", SAID)
    assert not any(server.writes() for server in project.servers.values())


def test_an_option_is_named_with_its_names() -> None:
    with pytest.raises(
        UsageError, match=r"^--retry: not enrolled: shop/crat \(did you mean shop/cart\?\); enrolled: shop/cart$"
    ):
        refuse_not_enrolled(["shop/crat"], ["shop/cart"], option="--retry")


@pytest.mark.parametrize(("known", "shown"), [((), "none"), (tuple("ba"), "a, b")])
def test_what_there_is_is_listed_in_order(known: tuple[str, ...], shown: str) -> None:
    with pytest.raises(UsageError, match=f"^no route x; there are: {shown}$"):
        refuse_unknown(["x"], known, lacks="no route", heading="there are", remedy="look")


def test_of_many_the_first_are_listed_with_the_number_of_the_rest() -> None:
    with pytest.raises(UsageError, match=f"s{NAMED - 1:02} and 3 more$"):
        refuse_unknown(["x"], [f"s{n:02}" for n in range(NAMED + 3)], lacks="no", heading="there are", remedy="look")


def test_what_is_known_is_not_reported() -> None:
    refuse_not_enrolled(["a/b"], ["a/b", "c/d"])
