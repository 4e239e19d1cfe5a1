"""Hermes, Qwen and all who write JSON between tags of their kind; and Qwen3-Coder, which writes tags in the tags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hfclient.local.dialects.arguments import Asked, Offers, as_json, by_name
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.json_calls import loaded, read_json
from hfclient.local.dialects.parser import Block, Body
from hfclient.local.shapes import JsonObject

_FUNCTION = re.compile(r"<function=(?P<name>[^>\s]+)\s*>(?P<body>.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=(?P<key>[^>\s]+)\s*>\n?(?P<value>.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)


def read_tagged(body: Body, offers: Offers) -> list[Asked]:
    """What stands between `<tool_call>` tags, in either way."""
    return read_functions(body, offers) if "<function=" in body.text[:40] else read_json(body, offers)


def read_functions(body: Body, offers: Offers) -> list[Asked]:
    """`<function=f><parameter=a>1</parameter></function>`: values are texts. JSON may stand for the parameters."""
    if blank(_FUNCTION.sub("", body.raw)) not in {"", "<tool_call></tool_call>", "<tool_call>"}:
        raise ValueError("there is something between its functions")
    return [_function(found["name"], found["body"], offers) for found in _FUNCTION.finditer(body.raw)]


def blank(text: str) -> str:
    """The text without its white space."""
    return "".join(text.split())


def _function(name: str, body: str, offers: Offers) -> Asked:
    if body.lstrip().startswith("{"):
        arguments: JsonObject = loaded(body)
        return Asked(name, arguments)
    if _PARAMETER.sub("", body).strip():
        raise ValueError("there is something between its parameters")
    return by_name(offers, name, {found["key"]: found["value"] for found in _PARAMETER.finditer(body)})


def _offer(tools: Tools) -> str:
    signatures = "\n".join(as_json(tool) for tool in tools)
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{signatures}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def _call(calls: Sequence[Asked]) -> str:
    texts = [as_json({"name": call.name, "arguments": call.arguments}) for call in calls]
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in texts)


def _result(name: str, content: str) -> str:
    return f"<tool_response>\n{content}\n</tool_response>"


FUNCTION_BLOCK = Block("<function=", "</function>", read_functions, ends="plain")
_TAGS = ("<tool_call>", "</tool_call>")

HERMES = Dialect(
    name="hermes",
    offer=_offer,
    call=_call,
    result=_result,
    blocks=(Block("<tool_call>", "</tool_call>", read_tagged), Block("<|tool_call|>", "<|/tool_call|>", read_json)),
    markup=(*_TAGS, "<|tool_call|>", "<|/tool_call|>"),  # the latter are those of Granite and Phi
)


def _offer_functions(tools: Tools) -> str:
    signatures = "\n".join(as_json(tool) for tool in tools)
    return (
        f"# Tools\n\nYou have access to the following functions:\n\n<tools>\n{signatures}\n</tools>\n\n"
        "If you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
        "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
        "</function>\n</tool_call>"
    )


def _call_functions(calls: Sequence[Asked]) -> str:
    return "\n".join(f"<tool_call>\n{_written(call)}\n</tool_call>" for call in calls)


def _written(call: Asked) -> str:
    parameters = "".join(f"<parameter={key}>\n{_text(value)}\n</parameter>\n" for key, value in call.arguments.items())
    return f"<function={call.name}>\n{parameters}</function>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


QWEN_CODER = Dialect(
    name="qwen-coder",
    offer=_offer_functions,
    call=_call_functions,
    result=_result,
    blocks=(*HERMES.blocks, FUNCTION_BLOCK),
    markup=(*_TAGS, "<function=", "</function>", "<parameter=", "</parameter>"),
)
