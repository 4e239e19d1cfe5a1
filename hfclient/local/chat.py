"""A chat on this machine: from messages to generations, and from tokens to the chunks a provider would send."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hfclient.assembly import ChatAssembly
from hfclient.call import Call
from hfclient.errors import InputError
from hfclient.local.completion import usage_of
from hfclient.local.engine import Constraint, Generation, Written
from hfclient.local.parameters import OF_A_CHAT, Wishes, arguments_of, for_choice, wishes_of
from hfclient.local.shapes import fields_of
from hfclient.local.speaker import Speaker, number
from hfclient.messages import has_media
from hfclient.types.chat import ChatCompletionChunk, ChunkChoice, Delta, LogProbs, ToolCallDelta, Usage

if TYPE_CHECKING:
    from hfclient.local.dialects.dialect import Tools
    from hfclient.local.writer import Pieces, Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedChat:
    """A chat call, read. `forced` says that a tool must be called: the one of this name, or any where it is ""."""

    messages: Sequence[dict[str, Any]]
    arguments: Mapping[str, Any]
    tools: Tools = ()
    forced: str | None = None

    @property
    def continues(self) -> bool:
        """Whether the model goes on with the last message, which is its own."""
        return bool(self.arguments.get("continue_final_message") or self.messages[-1].get("prefix"))


class ChatHandler:
    """Chats, with tools, thoughts and answers that are held to a form."""

    def read(self, call: Call) -> AskedChat:
        arguments = arguments_of(call, OF_A_CHAT)
        wishes_of(arguments, {})
        for name in ("chat_template_kwargs", "response_format", "stream_options"):
            if not isinstance(arguments.get(name, {}), Mapping):  # extra_body may hold anything
                raise InputError(f"{name} is of type {type(arguments[name]).__name__}, not an object.")
        if has_media(call.inputs):
            raise InputError(
                "Models on this machine read text, and there is media in the messages.",
                advice="Leave it out, or ask a provider whose models see and hear.",
            )
        tools = _checked(arguments.get("tools") or ())
        forced = _forced(arguments.get("tool_choice"), tools)
        offered = () if arguments.get("tool_choice") == "none" else tools
        if offered and forced is None and _is_form(arguments.get("response_format")):
            raise InputError(
                "response_format leaves no room for a call of the tools that are offered.",
                advice='Say which it is to be: tool_choice="none" or "required"; or ask twice, with the tools first.',
            )
        return AskedChat(messages=call.inputs, arguments=arguments, tools=offered, forced=forced)

    def scribe(self, speaker: Speaker, asked: AskedChat) -> ChatScribe:
        wishes = wishes_of(asked.arguments, speaker.loaded.defaults)
        prompt = _prompt(speaker, asked)
        forms = [_form(speaker, asked, prompt) for _ in range(wishes.n)]
        generations = [
            Generation(
                id=number(),
                tokens=prompt,
                max_tokens=speaker.room(prompt, wishes.max_tokens),
                stop_tokens=speaker.stop_tokens,
                sampling=for_choice(wishes.sampling, index),
                constraint=form.constraint,
            )
            for index, form in enumerate(forms)
        ]
        writers = [_writer(speaker, asked, wishes, prompt, form) for form in forms]
        told: Mapping[str, Any] = asked.arguments.get("stream_options") or {}
        return ChatScribe(speaker.name, generations, writers, tell_usage=told.get("include_usage") is not False)

    def assembly(self) -> ChatAssembly:
        return ChatAssembly()


def _checked(tools: Sequence[object]) -> Tools:
    for place, tool in enumerate(tools):
        function = fields_of(fields_of(tool).get("function", tool))
        name, parameters = function.get("name"), function.get("parameters")
        if not (isinstance(name, str) and name and isinstance(parameters, Mapping | None)):
            raise InputError(
                f"tools[{place}] is no function with a name and parameters, and models on this machine call no others.",
                advice='It reads {"type": "function", "function": {"name": …, "parameters": {…}}}.',
            )
    return cast("Tools", tools)


def _is_form(wanted: Any) -> bool:
    """Whether this response_format holds the answer to anything."""
    return wanted is not None and wanted.get("type") != "text"


def _forced(choice: Any, tools: Tools) -> str | None:
    """The tool that must be called, "" for any of them, None where none must be."""
    match choice:
        case None | "auto" | "none":
            return None
        case "required" | "any":
            name = ""
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            pass
        case str(name):
            pass
        case _:
            raise InputError(
                f"tool_choice={choice!r} is not known.",
                advice='It is "auto", "none", "required", or {"type": "function", "function": {"name": …}}.',
            )
    names = [tool.get("function", tool).get("name") for tool in tools]
    if not names or (name and name not in names):
        offered = f"tools= has {', '.join(map(str, names))}" if names else "tools= offers none"
        raise InputError(
            f"tool_choice asks for {name or 'a tool'}, and {offered}.",
            advice="Name one that is offered." if names else "Offer some with tools=[…], or leave tool_choice out.",
        )
    return name


def _prompt(speaker: Speaker, asked: AskedChat) -> list[int]:
    """The tokens of the conversation; where it is too long and may be cut, its oldest turns are left out first."""
    messages = list(asked.messages)
    prompt = _rendered(speaker, asked, messages)
    limit = speaker.longest
    if limit is None or len(prompt) <= limit:
        return prompt
    if speaker.options.long_input == "error":
        raise speaker.too_long(len(prompt), limit)
    while len(prompt) > limit and (shorter := _without_oldest_turn(messages)):
        messages = shorter
        prompt = _rendered(speaker, asked, messages)
    return prompt[-limit:]


def _without_oldest_turn(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """What a user asked first is left out with all that came of it; None where there is one question alone."""
    asked = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return [*messages[: asked[0]], *messages[asked[1] :]] if len(asked) > 1 else None


def _rendered(speaker: Speaker, asked: AskedChat, messages: Sequence[dict[str, Any]]) -> list[int]:
    from hfclient.local.prompt import prompt_for  # noqa: PLC0415  what it needs comes with the engines

    return prompt_for(
        speaker.tokenizer,
        speaker.template,
        messages,
        tools=asked.tools,
        dialect=speaker.dialect,
        continues=asked.continues,
        extras={**asked.arguments, "chat_template_kwargs": _variables(speaker, asked.arguments)},
    )


def _variables(speaker: Speaker, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is told; how hard to think is told in the words it knows."""
    effort, switch = arguments.get("reasoning_effort"), speaker.template.thinking_switch
    variables: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}
    if switch and effort is not None:
        variables[switch] = effort != "none"
    return {**variables, **(arguments.get("chat_template_kwargs") or {})}


def _writer(speaker: Speaker, asked: AskedChat, wishes: Wishes, prompt: Sequence[int], form: Form) -> Writer:
    from hfclient.local.writer import Writer  # noqa: PLC0415  what it needs comes with the engines

    return Writer(
        speaker.tokenizer,
        speaker.template,
        dialect=speaker.dialect,
        tools=asked.tools,
        stop=wishes.stop,
        prompt=prompt,
        continues=asked.continues,
        constrained=not form.thinks,
        forced=asked.forced is not None,
        parallel_tool_calls=asked.arguments.get("parallel_tool_calls") is not False,
    )


@dataclass(frozen=True, slots=True)
class Form:
    """What each choice is held to, for how a grammar stands goes along with the text; `thinks` says that the model
    may think before."""

    constraint: Constraint | None = None
    thinks: bool = True


def _form(speaker: Speaker, asked: AskedChat, prompt: Sequence[int]) -> Form:
    wanted = asked.arguments.get("response_format")
    if asked.forced is None and not _is_form(wanted):
        return Form()
    from hfclient.local.constrain import constraint_for  # noqa: PLC0415  it needs a library of its own

    grammars = speaker.grammars
    if asked.forced is None:
        constraint = constraint_for(wanted, grammars)
    else:
        constraint = grammars.for_tool_call(asked.tools, asked.forced or None)
    opening, closing = speaker.template.think
    if constraint is None or not speaker.thinks:
        return Form(constraint, thinks=False)
    if speaker.template.begins_in_thought(speaker.tokenizer, prompt):
        return Form(grammars.after_thinking(constraint, closing))
    if asked.forced is not None or speaker.ends_with(prompt, closing):  # it is to answer at once
        return Form(constraint, thinks=False)
    return Form(grammars.after_thinking(constraint, closing, opening=opening))


class ChatScribe:
    """Makes chunks of the tokens of a chat, choice by choice."""

    def __init__(
        self, model: str, generations: Sequence[Generation], writers: Sequence[Writer], *, tell_usage: bool
    ) -> None:
        self.generations = generations
        self._places = {each.id: place for place, each in enumerate(generations)}
        self._writers = writers
        self._head: dict[str, Any] = {"id": f"local-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._begun: set[int] = set()
        self._tell_usage = tell_usage
        self._written = self._cached = 0

    def write(self, written: Written) -> tuple[list[ChatCompletionChunk], bool]:
        place = self._places[written.id]
        writer = self._writers[place]
        pieces = writer.write(written)
        self._written += 1
        self._cached = max(self._cached, written.cached)
        if not (pieces.content or pieces.reasoning or pieces.tool_calls or pieces.logprobs or pieces.finish_reason):
            return [], writer.over
        return [self._chunk((self._choice(place, pieces),))], writer.over

    def farewell(self) -> list[ChatCompletionChunk]:
        if not self._tell_usage:
            return []
        thought = sum(writer.reasoning_tokens for writer in self._writers)
        usage = usage_of(len(self.generations[0].tokens), self._written, self._cached, thought)
        return [self._chunk((), usage)]

    def _choice(self, place: int, pieces: Pieces) -> ChunkChoice:
        first = place not in self._begun
        self._begun.add(place)
        delta = Delta.model_construct(
            role="assistant" if first else None,
            content=pieces.content or None,
            reasoning_content=pieces.reasoning or None,
            tool_calls=tuple(map(ToolCallDelta.model_validate, pieces.tool_calls)) or None,
        )
        logprobs = LogProbs.model_validate({"content": pieces.logprobs}) if pieces.logprobs else None
        return ChunkChoice.model_construct(
            index=place, delta=delta, finish_reason=pieces.finish_reason, logprobs=logprobs
        )

    def _chunk(self, choices: tuple[ChunkChoice, ...], usage: Usage | None = None) -> ChatCompletionChunk:
        return ChatCompletionChunk.model_construct(**self._head, choices=choices, usage=usage)
