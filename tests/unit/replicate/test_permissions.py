"""The roles that docs/reference/permissions.md prints can do no more than they are for. The lab proves that they are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).parents[3] / "docs/reference/permissions.md"
# subresources on which even `get` acts: a WebSocket is opened by GET
ACTING = {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy", "pods/*", "*/*", "*"}


@pytest.fixture(scope="module")
def roles() -> dict[str, list[dict[str, Any]]]:
    blocks = [part.partition("```")[0] for part in DOCS.read_text().split("```yaml\n")[1:]]
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    return {each["metadata"]["name"]: each["rules"] for each in documents if each["kind"] == "ClusterRole"}


def test_the_role_that_reads_has_no_verb_that_writes(roles: dict[str, list[dict[str, Any]]]) -> None:
    assert {verb for rule in roles["bluegreen-read"] for verb in rule["verbs"]} == {"get", "list"}


def test_the_role_that_reads_can_open_nothing_in_a_pod(roles: dict[str, list[dict[str, Any]]]) -> None:
    for rule in roles["bluegreen-read"]:
        if "get" in rule["verbs"]:
            assert not ACTING & set(rule.get("resources", ())), rule


def test_no_role_deletes_what_it_did_not_create_or_impersonates(roles: dict[str, list[dict[str, Any]]]) -> None:
    assert set(roles) == {"bluegreen-read", "bluegreen-replicate", "bluegreen-move", "bluegreen-record"}
    for rules in roles.values():
        for rule in rules:
            assert not {"*", "impersonate", "deletecollection"} & set(rule["verbs"]), rule
            if "delete" in rule["verbs"]:
                assert rule["apiGroups"] == ["networking.istio.io"]
