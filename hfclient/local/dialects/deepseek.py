"""DeepSeek: each call between tokens of its own, its name before a separator or behind it, its arguments in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfclient.extras import extra
from hfclient.local.dialects.arguments import Asked, as_json
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.json_calls import read_json
from hfclient.local.dialects.parser import Block

regex: Any = extra("regex", "'hfclient[torch]'", needed_by="A chat template")

_ALL, _ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_ONE, _ONE_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_NAME = r"(?P<name>[\w.-]+)"


def _offer(tools: Tools) -> str:
    signatures = "\n".join(as_json(tool) for tool in tools)
    written = _call([Asked("FUNCTION_NAME", {"PARAMETER": "VALUE"})])
    return f"## Tools\nYou may call these functions:\n{signatures}\n\nTo call them, answer in this format:\n{written}"


def _call(calls: Sequence[Asked]) -> str:
    written = [
        f"{_ONE}function{_SEPARATOR}{call.name}\n```json\n{as_json(call.arguments)}\n```{_ONE_END}" for call in calls
    ]
    return _ALL + "\n".join(written) + _ALL_END


def _result(name: str, content: str) -> str:
    return f"<｜tool▁output▁begin｜>{content}<｜tool▁output▁end｜>"


DEEPSEEK = Dialect(
    name="deepseek",
    offer=_offer,
    call=_call,
    result=_result,
    blocks=(
        Block(
            regex.compile(rf"{_ONE}\s*function\s*{_SEPARATOR}\s*{_NAME}\s*```(?:json)?\s*(?=\{{)"),
            f"```{_ONE_END}",
            read_json,
        ),
        Block(regex.compile(rf"{_ONE}\s*{_NAME}\s*{_SEPARATOR}\s*(?=\{{)"), _ONE_END, read_json),
        Block(_ALL, "", None),
        Block(_ALL_END, "", None),
    ),
    markup=(_ALL, _ALL_END, _ONE, _ONE_END, _SEPARATOR),
)
