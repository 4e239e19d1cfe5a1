"""Calls written as Python or as on a command line. They are read as literals, and never run."""

from __future__ import annotations

import ast
import re
import shlex
from typing import Any

from hfclient.local.dialects.arguments import Asked, Offers, by_name, by_place
from hfclient.local.dialects.json_calls import read_json
from hfclient.local.dialects.parser import Body

_WORDS = {"true": True, "false": False, "null": None}
_OPTION = re.compile(r"--?([A-Za-z_][\w-]*)(?:=(.*))?", re.DOTALL)
_PAIR = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def read_python(body: Body, offers: Offers) -> list[Asked]:
    """The calls in Python code that does nothing else: `f(a=1)`, `[f(1), g()]`, `x = f(1)`, `print(f(1))`."""
    return [call for statement in ast.parse(body.text.strip()).body for call in _statement(statement, offers)]


def read_code(body: Body, offers: Offers) -> list[Asked]:
    """The calls in a block of code: in JSON, in Python, or line by line in Python and as on a command line."""
    text = body.text.strip()
    if text.startswith("{"):
        return read_json(body, offers)
    try:
        return read_python(body, offers)
    except (SyntaxError, ValueError):
        lines = [line.strip() for line in text.splitlines()]
        return [call for line in lines if line and not line.startswith("#") for call in _line(line, offers)]


def _line(line: str, offers: Offers) -> list[Asked]:
    name = line.split(maxsplit=1)[0]
    if name in offers:
        return [_command(name, line, offers)]
    return read_python(Body(line, "", line), offers)


def _statement(statement: ast.stmt, offers: Offers) -> list[Asked]:
    match statement:
        case ast.Expr(value=value) | ast.Assign(value=value):
            return _calls(value, offers)
        case _:
            raise ValueError("there is more in it than calls")


def _calls(value: ast.expr, offers: Offers) -> list[Asked]:
    match value:
        case ast.Call(func=ast.Name(id="print"), args=args) if "print" not in offers and args:
            return [call for arg in args for call in _calls(arg, offers)]
        case ast.Call():
            return [_call(value, offers)]
        case ast.Await(value=inner):
            return _calls(inner, offers)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [call for item in items for call in _calls(item, offers)]
        case _:
            raise ValueError("there is something in it that is no call")


def _call(call: ast.Call, offers: Offers) -> Asked:
    named: dict[str, Any] = {}
    for keyword in call.keywords:
        value = _literal(keyword.value)
        named.update({keyword.arg: value} if keyword.arg else value)
    name = _name(call.func, offers)
    return Asked(name, by_place(offers, name, [_literal(arg) for arg in call.args], named))


def _name(function: ast.expr, offers: Offers) -> str:
    """The name of what is called; some models were taught to write `module.f(…)` or `f.call(…)`."""
    parts = function
    while isinstance(parts, ast.Attribute):
        parts = parts.value
    if not isinstance(parts, ast.Name):
        raise ValueError("what is called has no name")  # noqa: TRY004  the text is at fault
    name = ast.unparse(function)
    short = name.removesuffix(".call").rpartition(".")[2]
    return short if name not in offers and short in offers else name.removesuffix(".call")


def _literal(value: ast.expr) -> Any:
    return ast.literal_eval(_Words().visit(value))


class _Words(ast.NodeTransformer):
    """Takes JSON's words for Python's."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(_WORDS[node.id]), node) if node.id in _WORDS else node


def _command(name: str, line: str, offers: Offers) -> Asked:
    """`f --a 1 --b=2 c=3 4 --flag`: all are texts here, and become what the schema says."""
    words = _words(line)[1:]
    schemas = offers[name].properties
    named: dict[str, str] = {}
    placed: list[str] = []
    while words:
        word = words.pop(0)
        if option := _OPTION.fullmatch(word):
            key = option[1] if option[1] in schemas else option[1].replace("-", "_")
            named[key] = _value(option[2], words)
        elif pair := _PAIR.fullmatch(word):
            named[pair[1]] = pair[2]
        else:
            placed.append(word)
    return by_name(offers, name, by_place(offers, name, placed, named))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()  # an apostrophe that is not a quote


def _value(given: str | None, words: list[str]) -> str:
    """The value of an option: its own, or the next word; an option without one is a switch."""
    if given is not None:
        return given
    return words.pop(0) if words and not _OPTION.fullmatch(words[0]) else "true"
