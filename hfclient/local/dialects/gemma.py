"""Gemma: tools are Python signatures, calls are Python in blocks of `tool_code`, results come in `tool_output`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfclient.local.dialects.arguments import Asked, Offer, offers_of, types_in
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.parser import Block
from hfclient.local.dialects.python_calls import read_code
from hfclient.local.shapes import JsonObject, fields_of

_TYPES: Mapping[str, str] = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict",
    "null": "None",
}  # fmt: skip


def signature(offer: Offer) -> str:
    """A tool as a Python function without a body."""
    # Parameters that may be left out stand behind those that may not; without a default they have None.
    order = sorted(offer.properties.items(), key=lambda item: item[0] not in offer.required)
    parameters = [f"{key}: {_type(schema)}{_default(key, schema, offer)}" for key, schema in order]
    lines = [offer.description.strip()] if offer.description else []
    told = [f"    {key}: {schema['description']}" for key, schema in order if schema.get("description")]
    lines += (["", "Args:", *told] if lines else ["Args:", *told]) if told else []
    doc = "\n".join(f"    {line}".rstrip() for line in lines).strip()
    return f"def {offer.name}({', '.join(parameters)}):\n" + (f'    """{doc}\n    """\n' if told else _brief(doc))


def _brief(doc: str) -> str:
    return f'    """{doc}"""\n' if doc else "    ...\n"


def _type(schema: JsonObject) -> str:
    if "enum" in schema:
        return f"Literal[{', '.join(repr(choice) for choice in schema['enum'])}]"
    names: list[str] = []
    for kind in types_in(schema) or ("string",):
        items = fields_of(schema.get("items"))
        inner = f"[{_type(items)}]" if kind == "array" and items else ""
        names.append(_TYPES.get(kind, "Any") + inner)
    return " | ".join(names)


def _default(key: str, schema: JsonObject, offer: Offer) -> str:
    if key in offer.required:
        return ""
    return f" = {schema.get('default')!r}"


def _offer(tools: Tools) -> str:
    signatures = "\n".join(signature(offer) for offer in offers_of(tools).values())
    return (
        "At each turn, if you decide to invoke any of the functions below, wrap the call in ```tool_code```. "
        "The result comes back in ```tool_output```; use it to write your answer. Call only these functions, with "
        "the arguments they take, and none where you can answer without.\n\n"
        f"```python\n{signatures}```"
    )


def _call(calls: Sequence[Asked]) -> str:
    lines = [f"{call.name}({', '.join(_argument(*item) for item in call.arguments.items())})" for call in calls]
    return "```tool_code\n" + "\n".join(lines) + "\n```"


def _argument(key: str, value: Any) -> str:
    return f"{key}={value!r}" if key.isidentifier() else f"**{ {key: value}!r}"


def _result(name: str, content: str) -> str:
    return f"```tool_output\n{content}\n```"


GEMMA = Dialect(
    name="gemma",
    offer=_offer,
    call=_call,
    result=_result,
    blocks=(Block("```tool_code", "```", read_code, ends="quoted"),),
)
