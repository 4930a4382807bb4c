"""A kind of route, and a name of ours on clusters, is spelled in one module; everybody else asks it."""

from __future__ import annotations

import re

import pytest

import routing
from lab.layout import CHECKOUT
from migration import model
from migration.objects import kinds
from tests.fakes.sources import modules, product_texts


@pytest.mark.parametrize(
    ("words", "home"),
    [
        pytest.param(r"virtual ?services?", "routing/virtual_service.py", id="a kind of route"),
        pytest.param(r"spec[./]http\b", "routing/virtual_service.py", id="its rules"),
        pytest.param(r"bluegreen-peer", "routing/model.py", id="objects for the hop"),
        pytest.param(r"peer\.bluegreen\.internal", "routing/model.py", id="hosts of the other cluster"),
        pytest.param(r"bluegreen\.io/(service|original)", "routing/model.py", id="marks of the edge"),
    ],
)
def test_it_is_named_in_one_module(words: str, home: str) -> None:
    named = [f"{name}:{line}" for name, line, text in product_texts() if re.search(words, text, re.I)]
    assert [each for each in named if not each.startswith(f"{home}:")] == []


def test_a_module_of_a_kind_is_imported_by_the_registry_alone() -> None:
    home = re.compile(r"routing\.virtual_service|import virtual_service")
    importing = [name for name in modules() if home.search((CHECKOUT / name).read_text())]
    assert importing == ["routing/kinds.py"]


def test_what_the_model_has_again_is_the_same() -> None:
    """`bluegreen --help` does not wait for routing/, so migration/model.py spells these once more."""
    assert model.FENCE.startswith(routing.DOMAIN)
    assert (kinds.DOMAIN, kinds.EDGE) == (routing.DOMAIN, model.MANAGER)
