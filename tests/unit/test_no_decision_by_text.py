"""No code decides by what a message says: whoever rewords one would change what the command does.

A decision by text is a comparison with words of a sentence, or a look into something that is called a reason, a problem or
the like. Where there is no other way it is a line of EXCEPTIONS.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

import pytest

from tests.fakes.sources import modules

MESSAGES = {"reason", "reasons", "why", "problem", "message", "remedy", "evidence", "note", "told", "error"}
LOOKS = {"startswith", "endswith", "find", "index", "count"}
PATTERNS = {"search", "match", "fullmatch", "sub", "findall", "finditer"}
# By file and function: why.
SERVERS = "an API server tells the cause of a refusal in English alone"
LIBRARIES = "TLS and aiohttp tell a cause in words alone"
EXCEPTIONS = {
    "access/causes.py:tls_failure": LIBRARIES,
    "access/causes.py:why": LIBRARIES,
    "migration/clients/discreet.py:message_of": "picks out of a server's words what may be passed on",
    "migration/replicate/apply.py:refused_by_typing": SERVERS,
    "migration/replicate/refusal.py:remedy": SERVERS,
    "migration/replicate/unread.py:by_cause": SERVERS,
    "migration/ownership/endings.py:end_said": "a status of any operator, as its words",
    # our own words; wait for types of their own
    "migration/enroll/steps.py:enroll": "remedies are sentences, and this one has to end otherwise",
}


def _is_message(node: ast.expr, also: Collection[str] = ()) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return _is_message(inner, also)
        case ast.Name(id=name):
            return name in MESSAGES or name in also
        case ast.Attribute(attr=name):
            return name in MESSAGES
        case ast.BoolOp(values=values):
            return any(_is_message(each, also) for each in values)
        case _:
            return False


def _other_names(tree: ast.AST) -> set[str]:
    """Of messages, in one function: `text = str(problem)`."""
    return {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_text_of(node.value)
    }


def _is_text_of(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and _is_message(node)


def _is_sentence(node: ast.expr, words: int) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) >= words


def _decides(node: ast.AST, also: Collection[str] = ()) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=subject, attr=attr), args=arguments) if attr in LOOKS:
            return _is_message(subject, also) or any(_is_sentence(each, 2) for each in arguments)
        case ast.Call(func=ast.Attribute(attr=attr), args=arguments) if attr in PATTERNS:
            return any(_is_message(each, also) for each in arguments)
        case ast.Compare(left=ast.Name(), ops=[ast.In() | ast.NotIn()], comparators=[ast.Name(id=name)]) if name in also:
            return True
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
            return isinstance(left, ast.Constant | ast.Name) and (
                _is_sentence(left, 2) or (isinstance(left, ast.Constant) and _is_message(right, also))
            )
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            sides = (left, right)
            return any(_is_sentence(each, 3) for each in sides) or (
                any(_is_message(each, also) for each in sides)
                and any(isinstance(each, ast.Constant) and each.value for each in sides)
            )
        case _:
            return False


def _places(tree: ast.AST, name: str = "", also: Collection[str] = ()) -> Iterator[str]:
    """Functions in which something is decided by text, by their names. `also`: names of messages there."""
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        inner = f"{name}.{inside}".strip(".") if inside else name
        names = _other_names(node) if is_function else also
        if _decides(node, names):
            yield inner
        yield from _places(node, inner, names)


def decisions(tree: ast.Module) -> list[str]:
    return list(dict.fromkeys(_places(tree)))


def test_nothing_is_decided_by_the_text_of_a_message() -> None:
    found = {f"{name}:{place}" for name, tree in modules().items() for place in decisions(tree)}
    assert found == EXCEPTIONS.keys()


@pytest.mark.parametrize(
    ("line", "decides"),
    [
        pytest.param('state.reason.startswith("holds")', True, id="begins so"),
        pytest.param('"edge" in reason', True, id="has a word"),
        pytest.param('"bound to no gateway" in each', True, id="has words of a sentence"),
        pytest.param('NUMBER.sub("", why)', True, id="without its figures"),
        pytest.param('str(problem).endswith("found")', True, id="what an error says"),
        pytest.param('told == "not on disk yet"', True, id="is a sentence"),
        pytest.param("any(words in text for words in KNOWN)", True, id="has some words, under another name"),
        pytest.param("KNOWN.search(text)", True, id="fits, under another name"),
        pytest.param('verdict.outcome == "failed"', False, id="a code"),
        pytest.param('reason == ""', False, id="nothing is said"),
        pytest.param('name.startswith("kube-")', False, id="a name"),
        pytest.param('"blue" in clusters', False, id="a key"),
    ],
)
def test_what_counts_as_a_decision_by_text(line: str, decides: bool) -> None:
    assert bool(decisions(ast.parse(f"def one():\n    text = str(problem)\n    return {line}\n"))) is decides
