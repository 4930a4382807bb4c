"""An error without a next command leaves people alone at 3 a.m.: every one that they can meet has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from migration import errors
from migration.cli.console import Context, finish
from migration.errors import BluegreenError
from tests.fakes.sources import modules

KINDS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, BluegreenError)}
# Where the error is always caught, and what is done with its words.
CAUGHT = {
    ("clients/iam.py", "is no ARN of an IAM role"): "preflight makes it the evidence of a finding, which has a remedy",
    ("clients/iam.py", "is no ARN of an OIDC provider"): "as above",
    ("clients/iam.py", "the IAM of partition"): "as above",
    ("clients/iam.py", "has no role"): "as above",
    ("clients/iam.py", "it is in account"): "as above",
    ("clients/iam.py", "there are no AWS credentials"): "as above",
    ("clients/connection.py", "NotFound(text"): "what an API server refuses: callers know better, else the kind's usual one",
    ("clients/connection.py", "Conflict(text"): "as above",
    ("clients/connection.py", "Forbidden("): "as above",
    ("clients/connection.py", "overloaded or not ready"): "as above",
    ("clients/connection.py", "Rejected(text"): "as above",
    ("clients/probe.py", "did not answer"): "verify makes it a verdict, which has a remedy",
    ("clients/probe.py", "cannot be asked for"): "as above",
    ("shift/gateways.py", "cut short"): "owed to the gateway, and paid by the loop",
    ("replicate/apply.py", "not tried: cluster"): "one line of the outcome, whose verdict has a remedy",
    ("shift/side_back.py", "does not answer"): "a line of what is not back; the end of `rollback` has the remedy",
    ("shift/observe.py", "the counters of"): "a verdict of the loop, which holds or takes back by it",
    ("cli/salvage.py", "did not answer within"): "logged; the way back goes on without it",
}


def raised() -> Iterator[tuple[str, ast.Call]]:
    for name, tree in modules("migration").items():
        ours = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "migration.errors"
            for alias in node.names
            if alias.name in KINDS
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours:
                yield name.removeprefix("migration/"), node


def remedy_of(call: ast.Call) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == "remedy"), None)


def test_every_error_that_people_can_meet_has_a_next_command() -> None:
    found = list(raised())
    assert len(found) > 100
    used, bare = set(), []
    for name, call in found:
        remedy = remedy_of(call)
        if remedy is not None and not (isinstance(remedy, ast.Constant) and not remedy.value):
            continue
        told = ast.unparse(call)
        known = next((key for key in CAUGHT if key[0] == name and key[1] in told), None)
        used.add(known)
        if known is None:
            bare.append(f"{name}:{call.lineno}: {told}")
    assert bare == []
    assert set(CAUGHT) - used == set(), "these have one now, or are gone"


def test_what_an_api_server_refuses_has_a_usual_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (errors.NotFound, errors.Conflict, errors.Forbidden, errors.Unreachable, errors.Rejected):
        assert kind.usual
        assert kind("no").as_json()["remedy"] == kind.usual
        assert kind("no", remedy="do this").as_json()["remedy"] == "do this"
        finish(Context(), kind("no"))
        assert capsys.readouterr().err == f"bluegreen: no\n  next: {kind.usual}\n"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_error_keeps_its_next_command(name: str) -> None:
    kind = getattr(errors, name)
    more = {"target": "x", "who": "y"} if name == "ForeignWrite" else {}
    problem = kind("what, where", remedy="do this", **more)
    assert problem.as_json() == {
        "kind": kind.kind,
        "message": "what, where",
        "remedy": "do this",
        "exit_code": kind.exit_code,
    }
