"""A conversation as the tokens that the model is to go on from: by its own chat template, fitted to what that takes.

Nothing that comes from a message can become a control token: the template's own are the only ones in a prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from hfclient.errors import InputError
from hfclient.local.dialects.arguments import Asked
from hfclient.local.dialects.dialect import Dialect
from hfclient.local.shapes import fields_of
from hfclient.local.spelling import Spelling, check_characters
from hfclient.local.template import MISWRITTEN, REFUSALS, Messages, Template

_ROLES = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "tool", "function": "tool",
}  # fmt: skip
# What a request may not hand to the template: it would not reach it, but the function that renders it.
_OURS = {
    "conversation", "tools", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize",
    "sanitize_control_tokens", "padding", "truncation", "max_length", "return_tensors", "return_dict",
    "return_assistant_tokens_mask", "tokenizer_kwargs", "messages",
}  # fmt: skip


def prompt_for(
    tokenizer: Any,
    template: Template,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    dialect: Dialect,
    continues: bool = False,
    extras: Mapping[str, Any] | None = None,
) -> list[int]:
    """The tokens of the prompt. With `continues` the model goes on with the last message, which is its own; `extras`
    are a request's further fields, of which those that vLLM has for prompts are heeded."""
    asked = extras or {}
    plain = [_plain(message, place) for place, message in enumerate(messages)]
    native = template.tools and bool(tools)
    _check_names(tokenizer, template, plain if template.history else [], tools if native else ())
    if tools:  # TGI's `tool_prompt` stands before them
        offer = (asked.get("tool_prompt"), "" if native else dialect.offer(tools))
        plain[(leading := _leading(plain)) : leading] = [_system(text) for text in offer if text]
    history = _native_history(plain, template) if template.history else _spoken_history(plain, dialect)
    fitted = _fitted(history, template)
    if continues and (not fitted or fitted[-1]["role"] != "assistant"):
        raise InputError(
            "The last message is not the assistant's, so there is nothing to go on with.",
            advice="Put what the model is to go on with into a last message with the role 'assistant'.",
        )
    return _rendered(
        tokenizer,
        _in_parts(fitted) if template.parts else fitted,
        {
            **_variables(asked),
            "tools": [*tools] if native else None,
            "continue_final_message": continues,
            "add_generation_prompt": not continues and asked.get("add_generation_prompt") is not False,
        },
    )


def _rendered(tokenizer: Any, messages: Messages, how: Mapping[str, Any]) -> list[int]:
    try:
        tokens = tokenizer.apply_chat_template(
            messages,
            tokenize=True,
            return_dict=False,
            sanitize_control_tokens=True,
            tokenizer_kwargs={"verbose": False},  # how long a prompt may be is said by us
            **how,
        )
    except MISWRITTEN as error:
        raise InputError(
            f"The chat template is no Jinja that can be read: {error}.",
            advice="Correct it where it is yours; LocalOptions(prompt_format=…) puts another in a model's place.",
        ) from error
    except REFUSALS as error:
        check_characters(json.dumps([messages, how], ensure_ascii=False, default=str))
        raise InputError(
            f"The model's chat template does not take these messages: {error}",
            advice="Change the messages as it says; LocalOptions(prompt_format=…) puts another template in its place.",
        ) from error
    return [int(token) for token in tokens]


def _variables(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the request sets for the template to read."""
    given: object = asked.get("chat_template_kwargs") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"chat_template_kwargs is of type {type(given).__name__}, not an object.")
    variables = {**fields_of(given)}  # pyright: ignore[reportUnknownArgumentType]
    if taken := sorted(_OURS & variables.keys()):
        raise InputError(f"chat_template_kwargs may not hold {', '.join(taken)}.")
    if asked.get("documents"):
        variables["documents"] = asked["documents"]
    return variables


def _plain(message: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A message with a role that templates know, and text for its content."""
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise InputError(
            f"messages[{place}] has the role {message.get('role')!r}.",
            advice='"role" is "system", "user", "assistant" or "tool".',
        )
    content = message.get("content")
    rest = {name: value for name, value in message.items() if name not in {"role", "content", "prefix"} and value}
    return {"role": role, "content": _text(content, f"messages[{place}].content"), **rest}


def _system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[str] = []
    for position, part in enumerate(cast("Iterable[object]", content)):
        fields = fields_of(part) or {"text": part}
        text = fields.get("text")
        if fields.get("type", "text") != "text" or not isinstance(text, str):
            kind = fields.get("type") or type(part).__name__
            raise InputError(
                f"{where}[{position}] is {kind}, and this model reads text only.",
                advice="Leave it out, or ask a model that takes it.",
            )
        texts.append(text)
    return "\n".join(texts)


def _check_names(tokenizer: Any, template: Template, messages: Messages, tools: Sequence[Mapping[str, Any]]) -> None:
    """Names in objects reach the prompt as they are: transformers sees to the values, and not to them."""
    calls = [message.get("tool_calls") for message in messages]
    names = "\0".join({*_names([*tools]), *_names([_arguments(call) for call in _each(calls)])})
    spelling = Spelling.of(tokenizer)
    for number, token in spelling.added.items():
        if (number in spelling.special or token in template.source) and token.strip() and token in names:
            raise InputError(f"A name in a tool's schema or arguments holds {token!r}, which is a token of the model.")


def _names(value: Any) -> Iterable[str]:
    for name, inner in fields_of(value).items():
        yield str(name)
        yield from _names(inner)
    if isinstance(value, list | tuple):
        for inner in cast("Iterable[Any]", value):
            yield from _names(inner)


def _each(calls: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [call for several in calls for call in several or ()]


def _arguments(call: Mapping[str, Any]) -> Any:
    """The arguments of a call as an object, where they are the JSON text of one; else as they came."""
    given: Any = fields_of(call.get("function")).get("arguments")
    if not isinstance(given, str):
        return given or {}
    try:
        value = json.loads(given.strip() or "{}")
    except (ValueError, RecursionError):
        return given
    return fields_of(value) if isinstance(value, dict) else given  # pyright: ignore[reportUnknownArgumentType]


def _called(messages: Messages) -> dict[str, str]:
    """The function's name for each call's id: results often come without it."""
    calls = _each(message.get("tool_calls") for message in messages)
    return {str(call.get("id")): _name(call) for call in calls}


def _native_history(messages: Messages, template: Template) -> Messages:
    """Calls and results as this template takes them."""
    how = template.history
    assert how is not None  # noqa: S101  who calls has seen to it
    names = _called(messages)
    short = {identity: f"{place:09d}" for place, identity in enumerate(names, start=1)} if how.short_ids else {}

    def call(given: Mapping[str, Any]) -> dict[str, Any]:
        arguments = _arguments(given)
        if not how.objects and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        identity = str(given.get("id"))
        return {
            **given,
            "id": short.get(identity, identity),
            "function": {**fields_of(given.get("function")), "arguments": arguments},
        }

    def message(given: dict[str, Any]) -> dict[str, Any]:
        if given["role"] == "tool":
            identity = str(given.get("tool_call_id"))
            name = given.get("name") or names.get(identity) or "tool"
            return {**given, "name": name, "tool_call_id": short.get(identity, identity)}
        if not given.get("tool_calls"):
            return given
        silent = {} if how.empty_content or given["content"] else {"content": None}
        return {**given, **silent, "tool_calls": [call(each) for each in given["tool_calls"]]}

    return [message(each) for each in messages]


def _spoken_history(messages: Messages, dialect: Dialect) -> Messages:
    """Calls and results as text in the model's dialect, for a template that knows nothing of them."""
    names = _called(messages)

    def message(given: dict[str, Any]) -> dict[str, Any]:
        if given["role"] == "tool":
            name = given.get("name") or names.get(str(given.get("tool_call_id"))) or "tool"
            return {"role": "user", "content": dialect.result(name, given["content"])}
        calls = [_asked(each) for each in given.get("tool_calls") or ()]
        if not calls:
            return given
        rest = {name: value for name, value in given.items() if name != "tool_calls"}
        return {**rest, "content": "\n".join(filter(None, (given["content"], dialect.call(calls))))}

    return [message(each) for each in messages]


def _asked(call: Mapping[str, Any]) -> Asked:
    arguments = _arguments(call)
    return Asked(_name(call), fields_of(arguments) or ({"arguments": arguments} if arguments else {}))


def _name(call: Mapping[str, Any]) -> str:
    return str(fields_of(call.get("function")).get("name"))


def _fitted(messages: Messages, template: Template) -> Messages:
    """The messages with system texts where they can stand, and neighbours of one role joined where they must be."""
    leading = _leading(messages)
    system = "\n\n".join(each["content"] for each in messages[:leading] if each["content"])
    fitted: Messages = [{"role": "system", "content": system}] if system and template.system else []
    waiting = [] if template.system or not system else [system]
    for message in messages[leading:]:
        if message["role"] == "system" and not template.late_system:
            waiting.append(message["content"])
        elif waiting and message["role"] == "user":
            fitted.append({**message, "content": "\n\n".join([*waiting, message["content"]])})
            waiting = []
        else:
            fitted.append(message)
    if waiting:
        fitted.append({"role": "user", "content": "\n\n".join(waiting)})
    return _joined(fitted) if template.alternates else fitted


def _leading(messages: Messages) -> int:
    """How many system messages the conversation begins with."""
    return next((place for place, each in enumerate(messages) if each["role"] != "system"), len(messages))


def _joined(messages: Messages) -> Messages:
    joined: Messages = []
    for message in messages:
        before = joined[-1] if joined else None
        if before is None or before["role"] != message["role"] or message["role"] == "tool":
            joined.append(message)
            continue
        content = "\n\n".join(filter(None, (before["content"], message["content"])))
        calls = [*(before.get("tool_calls") or ()), *(message.get("tool_calls") or ())]
        joined[-1] = {**before, **message, "content": content, **({"tool_calls": calls} if calls else {})}
    return joined


def _in_parts(messages: Messages) -> Messages:
    return [
        {**each, "content": [{"type": "text", "text": each["content"]}]} if each["content"] else each
        for each in messages
    ]
