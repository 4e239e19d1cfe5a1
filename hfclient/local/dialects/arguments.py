"""The tools that are offered, and arguments made to fit their schemas where a style of calling has no types."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from hfclient.local.shapes import JsonObject, fields_of


class Asked(NamedTuple):
    """A call as it was read: what the model wants called, with what."""

    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as a model is told of it."""

    name: str
    description: str = ""
    parameters: JsonObject = field(default_factory=dict[str, Any])

    @property
    def properties(self) -> Mapping[str, JsonObject]:
        """The schema of each parameter, in the order in which they are passed by place."""
        return {name: fields_of(schema) for name, schema in fields_of(self.parameters.get("properties")).items()}

    @property
    def required(self) -> frozenset[str]:
        """The parameters that must be there."""
        return frozenset(cast("Iterable[str]", self.parameters.get("required") or ()))


Offers = Mapping[str, Offer]


def offers_of(tools: Sequence[JsonObject]) -> Offers:
    """The tools by name, out of the API's way to write them."""
    found: dict[str, Offer] = {}
    for tool in tools:
        function = fields_of(tool.get("function")) or tool
        name = function.get("name")
        if isinstance(name, str):
            found[name] = Offer(name, function.get("description") or "", fields_of(function.get("parameters")))
    return found


def parameters_of(offers: Offers, name: str) -> Mapping[str, JsonObject]:
    """The parameters of this function, as far as they are known."""
    offer = offers.get(name)
    return offer.properties if offer else {}


def by_name(offers: Offers, name: str, texts: Mapping[str, str]) -> Asked:
    """A call whose arguments came as texts, each made what its schema says."""
    schemas = parameters_of(offers, name)
    return Asked(name, {key: fitted(text, schemas.get(key)) for key, text in texts.items()})


def by_place(offers: Offers, name: str, placed: Sequence[Any], named: JsonObject) -> dict[str, Any]:
    """All arguments by name: those without one are the parameters that are not named, in the schema's order."""
    if not placed:
        return dict(named)
    free = [key for key in parameters_of(offers, name) if key not in named]
    if len(free) < len(placed):
        raise ValueError(f"{len(placed)} arguments of {name} have no name, and not so many parameters are left")
    return {**dict(zip(free, placed, strict=False)), **named}


def fitted(text: str, schema: JsonObject | None) -> Any:
    """The value that a text stands for by its schema; where it fits none of its types it stays a text."""
    kinds = types_in(schema or {})
    for kind in sorted(kinds, key=lambda kind: kind == "string"):  # "5" for a number or a text is the number
        if kind == "string":
            return text
        try:
            value = json.loads(_WORDS.get(text.strip(), text))
        except (ValueError, RecursionError):
            continue
        if _is(value, kind):
            return int(value) if kind == "integer" else value
    return text


_WORDS = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false"}


def types_in(schema: JsonObject) -> tuple[str, ...]:
    """The JSON types that a schema allows, as far as it says so itself."""
    declared = schema.get("type")
    found = [declared] if isinstance(declared, str) else list(cast("Iterable[str]", declared or ()))
    for union in ("anyOf", "oneOf"):
        for choice in cast("Iterable[JsonObject]", schema.get(union) or ()):
            found.extend(types_in(choice))
    return tuple(dict.fromkeys(found))


def _is(value: object, kind: str) -> bool:
    match value:
        case bool():
            return kind == "boolean"
        case int():
            return kind in {"integer", "number"}
        case float():
            return math.isfinite(value) and (kind == "number" or (kind == "integer" and value.is_integer()))
        case None:
            return kind == "null"
        case dict():
            return kind == "object"
        case list():
            return kind == "array"
        case _:
            return False


def as_json(value: Any) -> str:
    """JSON text as models write it; what JSON cannot hold is a ValueError."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error
