"""Mistral: `[TOOL_CALLS]`, and then a JSON list of calls, or each name with its arguments behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfclient.extras import extra
from hfclient.local.dialects.arguments import Asked, as_json
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.json_calls import read_json
from hfclient.local.dialects.parser import Block

regex: Any = extra("regex", "'hfclient[torch]'", needed_by="A chat template")

_NAMED = regex.compile(r"\[TOOL_CALLS\]\s*(?P<name>[\w.-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\])?\s*(?=\{)")
_LISTED = regex.compile(r"\[TOOL_CALLS\]\s*(?=[\[{])")


def _offer(tools: Tools) -> str:
    return (
        "[AVAILABLE_TOOLS]" + as_json(list(tools)) + "[/AVAILABLE_TOOLS]\n"
        'To call tools, answer with [TOOL_CALLS][{"name": function name, "arguments": object of its arguments}].'
    )


def _call(calls: Sequence[Asked]) -> str:
    return "[TOOL_CALLS]" + as_json([{"name": call.name, "arguments": call.arguments} for call in calls])


def _result(name: str, content: str) -> str:
    return f"[TOOL_RESULTS]{as_json({'content': content})}[/TOOL_RESULTS]"


MISTRAL = Dialect(
    name="mistral",
    offer=_offer,
    call=_call,
    result=_result,
    blocks=(Block(_LISTED, "", read_json), Block(_NAMED, "", read_json)),
    markup=("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
)
