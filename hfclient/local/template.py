"""What a model's chat template can do, found out by letting it write small conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias, cast

from hfclient.errors import InputError
from hfclient.extras import extra
from hfclient.local.reasoning import KNOWN_TAGS, THINK, Tags
from hfclient.local.shapes import fields_of
from hfclient.local.spelling import Spelling

jinja: Any = extra("jinja2.exceptions", "jinja2", needed_by="A chat template")

Messages: TypeAlias = list[dict[str, Any]]

# What a template raises that does not take what it is given; `raise_exception` in it is a TemplateError.
MISWRITTEN: type[Exception] = jinja.TemplateSyntaxError
REFUSALS: tuple[type[Exception], ...] = (
    jinja.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHistory:
    """How calls of tools, and their results, are put so that the template writes both: whether a message with calls
    has a text even where nothing was said, whether arguments are objects or JSON text, whether ids have nine letters.
    """

    empty_content: bool
    objects: bool
    short_ids: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a chat template takes, and what it brings."""

    source: str
    system: bool = True  # a system message, as the first one
    late_system: bool = True  # one further on
    alternates: bool = False  # insists that user and assistant take turns
    tools: bool = False
    history: ToolHistory | None = None  # None where it writes no calls of tools, or no results
    parts: bool = False  # takes lists of parts and no texts
    think: Tags = THINK
    thinks_first: bool = False  # what the model writes begins in the midst of its thoughts
    thinking_switch: str | None = None  # the variable that turns thinking on and off

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        """What this tokenizer's template can do; it is found out once, and kept on the tokenizer."""
        written: Any = getattr(tokenizer, "chat_template", None)
        if not written:
            raise InputError(
                "This model has no chat template, so it cannot be told who said what.",
                advice="Give one with LocalOptions(prompt_format=…), or call client.text_generation(…).",
            )
        known = getattr(tokenizer, "_hfclient_template", None)
        if known is None or known[0] != written:
            known = (written, _Probe(tokenizer, written).template())
            tokenizer._hfclient_template = known
        template: Template = known[1]
        return template

    def begins_in_thought(self, tokenizer: Any, prompt: Sequence[int]) -> bool:
        """Whether this prompt ends with an opening think tag."""
        end: str = tokenizer.decode([*prompt[-16:]], skip_special_tokens=False)
        return end.rstrip().endswith(self.think[0].rstrip())


def _said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


_ASKED, _ANSWERED, _RULED = "Probe asks", "Probe answers", "Probe rules"
_NAME, _KEY, _VALUE, _RESULT = "probe_tool", "probe_key", "probe value", "probe result"
_TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Probes.",
        "parameters": {
            "type": "object",
            "properties": {_KEY: {"type": "string", "description": "What to probe."}},
            "required": [_KEY],
        },
    },
}


class _Probe:
    """Lets a template write small conversations, and looks at what became of them."""

    def __init__(self, tokenizer: Any, written: Any) -> None:
        self._tokenizer = tokenizer
        sources = cast("Mapping[str, str]", written).values() if isinstance(written, Mapping) else [str(written)]
        self._source = "\n".join(sources)
        self._parts = False

    def template(self) -> Template:
        user = _said("user", _ASKED)
        if not self._shows([user], _ASKED):
            self._parts = self._shows([_said("user", _as_parts(_ASKED))], _ASKED)
        assistant = _said("assistant", _ANSWERED)
        system = _said("system", _RULED)
        think = self._tags()
        opening = self._written([user]) or ""
        return Template(
            source=self._source,
            system=self._shows([system, user], _RULED, _ASKED),
            late_system=self._keeps_order([system, user, assistant, _said("system", "Probe bends"), user]),
            alternates=not self._shows([_said("user", "Probe begins"), user], "Probe begins", _ASKED),
            tools=self._shows([user], _ASKED, _NAME, _KEY, tools=[_TOOL]),
            history=self._history(user),
            parts=self._parts,
            think=think,
            thinks_first=opening.rstrip().endswith(think[0].rstrip()),
            thinking_switch=self._switch(user),
        )

    def _written(self, messages: Messages, **more: Any) -> str | None:
        """What the template makes of this, None where it refuses."""
        if self._parts:
            messages = [
                {**each, "content": _as_parts(each["content"])} if each.get("content") else each for each in messages
            ]
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, **{"add_generation_prompt": True, **more}
            )
        except REFUSALS:
            return None
        return text

    def _shows(self, messages: Messages, *texts: str, **more: Any) -> bool:
        written = self._written(messages, **more)
        return written is not None and all(text in written for text in texts)

    def _keeps_order(self, messages: Messages) -> bool:
        """Whether each message is written after the one before it: some templates move system texts to the front, or
        know only the last of them."""
        place = 0
        written = self._written(messages) or ""
        for text in (each["content"] for each in messages):
            if (found := written.find(text, place)) < 0:
                return False
            place = found + len(text)
        return True

    def _history(self, user: dict[str, Any]) -> ToolHistory | None:
        """The first way of putting a call and its result in which the template writes both."""
        for empty, objects, short in product((True, False), (True, False), (False, True)):
            history = ToolHistory(empty_content=empty, objects=objects, short_ids=short)
            identity = "000000001" if short else "call_probe"
            arguments: Any = {_KEY: _VALUE} if objects else f'{{"{_KEY}": "{_VALUE}"}}'
            call = {"id": identity, "type": "function", "function": {"name": _NAME, "arguments": arguments}}
            result = {**_said("tool", _RESULT), "tool_call_id": identity, "name": _NAME}
            asked: dict[str, Any] = {"role": "assistant", "tool_calls": [call], **({"content": ""} if empty else {})}
            written = self._written([user, asked, result], tools=[_TOOL])
            # The tool is offered too, so its name and its key are there in any case; its value and its result are not.
            if written and _VALUE in written and _RESULT in written and not _as_python(written):
                return history
        return None

    def _tags(self) -> Tags:
        """The think tags that the tokenizer names, or else the template or the vocabulary knows."""
        if told := _told_tags(getattr(self._tokenizer, "response_template", None)):
            return told
        tokens = set(Spelling.of(self._tokenizer).added.values())
        for tags in KNOWN_TAGS:
            if any(tag in self._source or tag in tokens for tag in tags):
                return tags
        return THINK

    def _switch(self, user: dict[str, Any]) -> str | None:
        for name in ("enable_thinking", "thinking"):
            if name in self._source and self._written([user], **{name: True}) != self._written([user], **{name: False}):
                return name
        return None


def _told_tags(response_template: Any) -> Tags | None:
    fields = fields_of(fields_of(response_template).get("fields"))
    for name in ("reasoning_content", "thinking", "reasoning"):
        opener, closer = (fields_of(fields.get(name)).get(side) for side in ("open", "close"))
        if isinstance(opener, str) and isinstance(closer, str):
            return opener, closer
    return None


def _as_python(written: str) -> bool:
    """Whether the arguments came out as Python writes a dict, or as a text within a text."""
    return f"'{_KEY}'" in written or f'\\"{_KEY}\\"' in written


def _as_parts(text: Any) -> Any:
    return [{"type": "text", "text": text}] if isinstance(text, str) else text
