"""Llama: JSON with `name` and `parameters`, bare or behind a tag; and Llama 4, which writes a list of Python calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfclient.extras import extra
from hfclient.local.dialects.arguments import Asked, Offers, as_json
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.hermes import FUNCTION_BLOCK
from hfclient.local.dialects.json_calls import read_json
from hfclient.local.dialects.parser import Block, Body
from hfclient.local.dialects.python_calls import read_code, read_python

regex: Any = extra("regex", "'hfclient[torch]'", needed_by="A chat template")

_OBJECT = regex.compile(r'\A\s*(?=\{\s*"(?:name|type|function|parameters|arguments)"\s*:)')
_LIST = regex.compile(r"\A\s*(?=\[\s*[A-Za-z_][\w.]*\s*\()")


def _signatures(tools: Tools) -> str:
    return "\n\n".join(as_json(tool) for tool in tools)


def _offer(tools: Tools) -> str:
    return (
        "You have access to the following functions. To call a function, please respond with JSON for a function "
        'call. Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
        f"value}}. Do not use variables.\n\n{_signatures(tools)}"
    )


def _call(calls: Sequence[Asked]) -> str:
    return "; ".join(as_json({"name": call.name, "parameters": call.arguments}) for call in calls)


def _result(name: str, content: str) -> str:
    return as_json({"output": content})


def read_tagged(body: Body, offers: Offers) -> list[Asked]:
    """What stands behind the tag: JSON, or a call of a function that Llama brings along, in Python."""
    return read_json(body, offers) if body.text.lstrip().startswith(("{", "[")) else read_code(body, offers)


LLAMA = Dialect(
    name="llama",
    offer=_offer,
    call=_call,
    result=_result,
    blocks=(
        Block("<|python_tag|>", "", read_tagged),
        FUNCTION_BLOCK,
        Block(_OBJECT, "", read_json, sure=False, first=True),
    ),
    markup=("<|python_tag|>",),
)


def _offer_list(tools: Tools) -> str:
    return (
        "You can call functions. Where you do, answer with nothing but a list of calls in the format "
        "[func_name1(params_name1=params_value1, params_name2=params_value2), func_name2(params)]. Here are the "
        f"functions in JSON format that you can call:\n\n{_signatures(tools)}"
    )


def _call_list(calls: Sequence[Asked]) -> str:
    written = [
        f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})" for call in calls
    ]
    return f"[{', '.join(written)}]"


PYTHONIC = Dialect(
    name="pythonic",
    offer=_offer_list,
    call=_call_list,
    result=_result,
    blocks=(
        Block("<|python_start|>", "<|python_end|>", read_code, ends="quoted"),
        Block(_LIST, "", read_python, sure=False, first=True),
        Block(_OBJECT, "", read_json, sure=False, first=True),
    ),
    markup=("<|python_start|>", "<|python_end|>"),
)
