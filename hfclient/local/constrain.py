"""What the text of an answer must look like: JSON by a schema, a tool's call, a pattern; by llguidance, token by token.

Compiling a grammar takes from half a millisecond to a second, so it is done off the event loop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from hfclient.errors import EngineError, InputError
from hfclient.extras import extra
from hfclient.local.engine import Constraint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bits: TypeAlias = NDArray[np.int32]

_EXTRA = "mlx" if find_spec("mlx") and not find_spec("torch") else "torch"
llguidance: Any = extra("llguidance", f"'hfclient[{_EXTRA}]'", needed_by="Constrained decoding on this machine")
_reading: Any = extra("llguidance.hf", f"'hfclient[{_EXTRA}]'", needed_by="Constrained decoding on this machine")

# One space or one line break with its indent, between any two parts: a small model would go on with blanks for ever.
_COMPACT = {"whitespace_pattern": r"[ ]|\n[ ]{0,16}"}
_STATE = re.compile(r"\n  while processing .*|<(state|grammar|non-verbose).*", re.DOTALL)
_LEAVE_OUT = "Leave it out of the schema, and check it once the reply has come."


class Grammars:
    """Makes the constraints for one model. `tokenizer` is transformers' own, `stop_tokens` end this model's text:
    they are allowed where a grammar is complete, and nowhere else.

    It is made once for each model, best while that is loaded: for a vocabulary of 150,000 tokens llguidance reads for a
    second, and no other Python runs meanwhile.
    """

    def __init__(self, tokenizer: Any, stop_tokens: Collection[int] = ()) -> None:
        known = sorted(token for token in stop_tokens or [tokenizer.eos_token_id] if token is not None)
        ends = [token for token in known if token < len(tokenizer)]
        if not ends:
            raise InputError(
                "This model has no end-of-text token, so a constrained answer could not end.",
                advice="Name one as eos_token_id in its generation_config.json.",
            )
        try:
            self._tokenizer = _reading.from_tokenizer(tokenizer, eos_token=ends)
        except ValueError as error:
            raise InputError(
                f"No constraint can be put on what this model writes: {error}.",
                advice="It would need a fast tokenizer (tokenizer.json); leave out response_format and grammar.",
            ) from error
        self._limits = llguidance.LLParserLimits(verbose_errors=False)
        self._anything = _bits(self._tokenizer.vocab_size)
        _clear(self._anything, ends)
        self._closings: dict[bytes, _Closing] = {}

    def for_json_schema(self, schema: Mapping[str, Any]) -> Constraint:
        """JSON that is valid by this schema."""
        return _Grammar(self._matcher_of_schema(schema))

    def for_json(self) -> Constraint:
        """Any JSON object."""
        return self.for_json_schema({"type": "object"})

    def for_regex(self, pattern: str) -> Constraint:
        """Text that this pattern matches from its beginning to its end."""
        matcher = self._matcher(llguidance.LLMatcher.grammar_from_regex(pattern))
        if complaint := _complaint(matcher):
            raise InputError(
                f"This pattern cannot be used: {complaint}",
                advice="Write it as Rust's regular expressions are: without look-around and back-references.",
            )
        return _Grammar(matcher)

    def for_tool_call(self, tools: Sequence[Mapping[str, Any]], name: str | None = None) -> Constraint:
        """`{"name": …, "arguments": …}` for one of these tools, or for the one of this name."""
        functions = [cast("Mapping[str, Any]", tool.get("function", tool)) for tool in tools]
        offered = [function for function in functions if name in {None, function.get("name")}]
        if not offered:
            known = ", ".join(str(function.get("name")) for function in functions) or "none"
            raise InputError(f"There is no tool named {name!r}.", advice=f"The tools of this call: {known}.")
        try:
            return self.for_json_schema(
                {"anyOf": [_call_of(place, function) for place, function in enumerate(offered)]}
            )
        except InputError:
            for function in offered:  # which of them is it?
                self._matcher_of_schema(function.get("parameters") or {}, f"the tool {function.get('name')}")
            raise

    def after_thinking(
        self, then: Constraint, closing: Sequence[int] | str, *, opening: Sequence[int] | str | None = None
    ) -> Constraint:
        """Anything but the end of the text until `closing` was written, and what `then` allows from there on.

        Where the prompt does not open the block itself, `opening` is what the model may begin with to open one; if it
        does not, `then` holds at once.
        """
        text = closing.encode() if isinstance(closing, str) else self._tokenizer.decode_bytes(list(closing))
        if text not in self._closings:
            self._closings[text] = _Closing(text, self._tokenizer, self._anything)
        if isinstance(opening, str):
            opening = cast("Sequence[int]", self._tokenizer.tokenize_str(opening, parse_special=True))
        return _AfterThinking(then, self._closings[text], tuple(opening or ()))

    def _matcher_of_schema(self, schema: Mapping[str, Any], whose: str = "the schema") -> Any:
        matcher = self._compiled(schema)
        if complaint := _complaint(matcher):
            raise _refused(complaint, f"{self._where(schema, complaint)} of {whose}")
        matcher.compute_bitmask()
        if matcher.is_error():  # such as a reference to itself
            raise InputError(f"No JSON fits {whose}: {_complaint(matcher)}.", advice="Correct its references.")
        return matcher

    def _compiled(self, schema: object) -> Any:
        is_object = isinstance(schema, Mapping)
        try:
            text = json.dumps(schema, allow_nan=False)
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=_COMPACT) if is_object else ""
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"The schema cannot be read: {error}.", advice="Give a dict, not too deep.") from error
        if not is_object:
            raise InputError(f"{text:.60} is no JSON schema.", advice="A schema is an object: give a dict.")
        return self._matcher(grammar)

    def _matcher(self, grammar: str) -> Any:
        return llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)

    def _where(self, schema: Mapping[str, Any], complaint: str) -> str:
        """The innermost part of the schema about which there is the same complaint: llguidance does not say where."""
        place, within = "#", schema
        definitions = {key: value for key, value in _items(schema) if key in {"$defs", "definitions"}}
        while True:
            for step, part in _parts(within):
                if _complaint(self._compiled({**definitions, **part})) == complaint:
                    place, within = f"{place}/{step}", part
                    break
            else:
                return place


def constraint_for(asked: Mapping[str, Any] | None, grammars: Grammars) -> Constraint | None:
    """What a chat's `response_format`, or the `grammar` of a text generation, demands; None is nothing."""
    match asked:
        case None | {"type": "text"}:
            return None
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return grammars.for_json_schema(schema)
        case {"type": "json_schema", "value": {"schema": schema}} | {"type": str(), "schema": schema}:  # other servers'
            return grammars.for_json_schema(schema)
        case {"type": "json", "value": schema}:
            return grammars.for_json_schema(_read(schema) if isinstance(schema, str) else schema)
        case {"type": "json_object"} | {"type": "json_schema", "json_schema": {}}:
            return grammars.for_json()
        case {"type": "regex", "value": str(pattern)}:
            return grammars.for_regex(pattern)
        case _:
            raise InputError(
                f"{json.dumps(asked, default=str):.80} says nothing that an answer could be held to.",
                advice='As response_format give a pydantic model, {"type": "json_object"} or {"type": "json_schema", '
                '"json_schema": {"schema": …}}; as grammar {"type": "json" or "regex", "value": …}.',
            )


class _Grammar:
    """A grammar with how far the text has come in it."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self) -> Bits:
        bits = np.frombuffer(self._matcher.compute_bitmask(), "<i4")
        if self._matcher.is_error():
            raise self._broken()
        return bits

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise self._broken()

    def _broken(self) -> EngineError:
        return EngineError(
            f"The answer could not be held to its schema or grammar: {_complaint(self._matcher)}",
            advice="Make the schema or pattern simpler: fewer alternatives, less nesting, smaller bounds.",
        )


class _Closing:
    """The end of a think block, whichever tokens it is made of.

    A token may hold the last letters of it and more text, which the constraint has not seen: it is not allowed where
    it would close the block, unless the rest is blank.
    """

    def __init__(self, text: bytes, tokenizer: Any, anything: Bits) -> None:
        self._text = text
        self._bytes_of = tokenizer.decode_bytes
        overruns: dict[bytes, list[int]] = {}
        for token in range(tokenizer.vocab_size):
            piece: bytes = tokenizer.decode_bytes([token])
            if text[-1:] not in piece:
                continue
            if piece.partition(text)[2].strip():
                overruns.setdefault(b"", []).append(token)
            for begun in range(1, len(text)):
                rest = text[begun:]
                if piece.startswith(rest) and piece[len(rest) :].strip():
                    overruns.setdefault(text[:begun], []).append(token)
        self._anything = anything.copy()
        _clear(self._anything, overruns.pop(b"", []))
        self._overruns = overruns

    def allowed(self, tail: bytes) -> Bits:
        """What may come after a text with this end."""
        bits = self._anything
        for begun, tokens in self._overruns.items():
            if tail.endswith(begun):
                bits = bits.copy()
                _clear(bits, tokens)
        return bits

    def after(self, tail: bytes, token: int) -> bytes | None:
        """The new end of the text, as far as it matters; None where the block is closed."""
        text = tail + cast("bytes", self._bytes_of([token]))
        return None if self._text in text else text[-len(self._text) :]


class _AfterThinking:
    def __init__(self, then: Constraint, closing: _Closing, opening: tuple[int, ...]) -> None:
        self._then = then
        self._closing = closing
        self._opening = opening
        self._opened = 0  # so many tokens of the opening were written
        self._tail: bytes | None = b""  # None once the constraint holds

    def allowed(self) -> Bits:
        if self._tail is None:
            return self._then.allowed()
        if self._opened == len(self._opening):
            return self._closing.allowed(self._tail)
        token = self._opening[self._opened]
        bits = self._then.allowed().copy() if self._opened == 0 else np.zeros(token // 32 + 1, "<i4")
        bits.view("<u4")[token // 32] |= np.uint32(1 << token % 32)
        return bits

    def accept(self, token: int) -> None:
        if self._tail is None:
            self._then.accept(token)
        elif self._opened == len(self._opening):
            self._tail = self._closing.after(self._tail, token)
        elif token == self._opening[self._opened]:
            self._opened += 1
        else:
            self._tail = None
            self._then.accept(token)


def _bits(count: int) -> Bits:
    """A one for each of so many tokens."""
    ones = np.zeros(-(-count // 32) * 32, np.uint8)
    ones[:count] = 1
    return np.packbits(ones, bitorder="little").view("<i4")


def _clear(bits: Bits, tokens: Sequence[int]) -> None:
    for token in tokens:
        bits.view("<u4")[token // 32] &= ~np.uint32(1 << token % 32)


def _call_of(place: int, function: Mapping[str, Any]) -> dict[str, Any]:
    """One tool's call as a schema; its parameters are a document of their own, in which `#` leads to its own top."""
    arguments = {"$id": f"tool:{place}", **(function.get("parameters") or {"type": "object"})}
    return {
        "type": "object",
        "properties": {"name": {"const": function.get("name")}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _read(schema: str) -> Any:
    try:
        return json.loads(schema)
    except ValueError as error:
        raise InputError(f"The grammar's value is not JSON: {error}.", advice="Give the schema as a dict.") from error


def _items(schema: object) -> list[tuple[str, Any]]:
    return list(cast("Mapping[str, Any]", schema).items()) if isinstance(schema, Mapping) else []


def _parts(schema: object) -> list[tuple[str, Mapping[str, Any]]]:
    """The schemas directly within this one, each with the way to it."""
    found: list[tuple[str, Any]] = []
    for key, value in _items(schema):
        if key in {"properties", "patternProperties", "$defs", "definitions"}:
            found += [(f"{key}/{name}", part) for name, part in _items(value)]
        elif isinstance(value, list):
            found += [(f"{key}/{place}", part) for place, part in enumerate(cast("Sequence[Any]", value))]
        elif key not in {"default", "const"}:
            found.append((key, value))
    return [(step, part) for step, part in found if isinstance(part, Mapping)]


def _complaint(matcher: Any) -> str:
    """What llguidance has against the grammar or the text, without its own state; empty for nothing."""
    told: str = matcher.get_error()
    return _STATE.sub("", told).strip()


def _refused(complaint: str, place: str) -> InputError:
    unsupported = complaint.removeprefix("Unimplemented keys: ")
    if unsupported != complaint:
        keys = ", ".join(json.loads(unsupported))
        return InputError(f"No answer can be held to {keys}, found at {place}.", advice=_LEAVE_OUT)
    if complaint.startswith("oneOf"):
        return InputError(
            f"The alternatives of a oneOf may both be true, at {place}.",
            advice="Write anyOf, or give each alternative a field with a const of its own (pydantic: discriminator).",
        )
    return InputError(
        f"The schema cannot be used: {complaint} (at {place})",
        advice="Correct it there. No answer can be held to patterns that look around, to formats that llguidance does "
        "not know, or to other documents.",
    )
