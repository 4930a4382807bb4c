"""The product's own source, for tests of how it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from lab.layout import CHECKOUT

PRODUCT = ("migration", "access", "routing", "manifests", "components", "stacks")


@cache
def modules(*packages: str) -> dict[str, ast.Module]:
    """By path from the checkout, of these packages; none are named: of the whole product."""
    files = (file for package in packages or PRODUCT for file in sorted((CHECKOUT / package).rglob("*.py")))
    return {file.relative_to(CHECKOUT).as_posix(): ast.parse(file.read_text()) for file in files}


@cache
def product_texts(*, help_too: bool = False) -> list[tuple[str, int, str]]:
    """(path, line, text) of `texts` in the whole product."""
    return [(name, line, text) for name, tree in modules().items() for line, text in texts(tree, help_too=help_too)]


def texts(tree: ast.Module, *, help_too: bool = False) -> Iterator[tuple[int, str]]:
    """(line, text) of each string that is no docstring. `help_too`: with those of commands, which people read."""
    nodes = list(ast.walk(tree))
    documents = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and not (help_too and _is_command(node))
    }
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.lineno, node.value


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def bindings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of each variable, parameter, loop variable, `as` name and field that a module gives a value to."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def _is_command(node: ast.AST) -> bool:
    return any(re.search(r"\b(command|group)\(", ast.unparse(each)) for each in getattr(node, "decorator_list", ()))
