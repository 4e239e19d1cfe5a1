"""Text generation: OpenAI's completions, which nearly everybody serves, and Text Generation Inference's own way."""

from __future__ import annotations

from typing import TypeVar, cast

from pydantic import ValidationError

from hfclient.call import Call, merged
from hfclient.errors import StreamFailedError
from hfclient.flow import JSON, Flow, Response, StreamPlan, json_or_none, post
from hfclient.provider import Task
from hfclient.providers.openai_compatible import (
    Body,
    Change,
    body_of,
    broken_off,
    complaint_within,
    filled_path,
    forgiven,
    renamed,
)
from hfclient.providers.reading import at, first_of, payload_of, unusable
from hfclient.route import Route
from hfclient.sse import Event
from hfclient.types.base import Wire, first_fault
from hfclient.types.text import TextGeneration, TextGenerationChunk

WireT = TypeVar("WireT", bound=Wire)

COMPLETIONS_PATH = "/v1/completions"
WHAT = "a text generation"
A_CHAT = "a chat completion: this model chats, so call client.chat(…)"

# Hugging Face's name for it is `max_new_tokens`; OpenAI's API, and all who speak it, know `max_tokens` alone.
in_openai_terms = renamed(max_new_tokens="max_tokens", return_full_text="echo")


def completions(path: str = COMPLETIONS_PATH, *changes: Change) -> Task:
    """OpenAI's completions at this path; `{model_id}` in it stands for the provider's id of the model."""

    def body(call: Call, route: Route, arguments: Body) -> Body:
        return body_of(route, {"prompt": call.inputs}, arguments, (in_openai_terms, *changes))

    def run(call: Call, route: Route) -> Flow[TextGeneration]:
        reply: Response = yield post(filled_path(path, route), json=body(call, route, call.arguments))
        return read_completion(reply)

    def stream(call: Call, route: Route) -> Flow[StreamPlan[TextGenerationChunk]]:
        yield from ()  # nothing has to be loaded first
        # As in chats, many providers count tokens in a stream only when asked.
        asked = merged({"stream_options": {"include_usage": True}}, call.arguments)
        sent = body(call, route, {**asked, "stream": True})
        return StreamPlan(post(filled_path(path, route), json=sent), read_chunk)

    return Task(run, stream)


def generate(path: str = "") -> Task:
    """Text Generation Inference's own way, which endpoints of one model take at their root."""

    def run(call: Call, route: Route) -> Flow[TextGeneration]:
        reply: Response = yield post(filled_path(path, route), json=_inputs(call))
        return read_completion(reply)

    def stream(call: Call, route: Route) -> Flow[StreamPlan[TextGenerationChunk]]:
        yield from ()  # nothing has to be loaded first
        return StreamPlan(post(filled_path(path, route), json={**_inputs(call), "stream": True}), read_chunk)

    return Task(run, stream)


def _inputs(call: Call) -> Body:
    parameters = call.arguments
    return {"inputs": call.inputs, **({"parameters": parameters} if parameters else {})}


def read_completion(reply: Response) -> TextGeneration:
    """Either protocol's whole answer."""
    payload = first_of(payload_of(reply, WHAT))
    if complaint := complaint_within(payload):
        raise unusable(reply, f"an error with a success status: {complaint.message}")
    if isinstance(at(payload, "choices", 0, "message"), dict):
        raise unusable(reply, A_CHAT)
    try:
        return _read(TextGeneration, _whole(payload))
    except ValidationError as error:
        raise unusable(reply, f"no {TextGeneration.__name__}: {first_fault(error)}") from None


def read_chunk(event: Event) -> TextGenerationChunk | None:
    """An event of either protocol; those of another name are passed over, unless they hold a piece of the text."""
    payload = json_or_none(event.data)
    if broken := broken_off(event, payload):
        raise broken
    if not _is_piece(payload):
        if event.event not in {"message", ""}:
            return None
        fault = "it has neither choices nor a token"
    elif isinstance(at(payload, "choices", 0, "delta"), dict):
        fault = f"it is {A_CHAT}"
    else:
        try:
            return _read(TextGenerationChunk, _piece(payload))
        except ValidationError as error:
            fault = first_fault(error)
    text = event.data.decode("utf-8", "replace")
    raise StreamFailedError(f"The stream holds something that is not a piece of a text: {fault}.", body=text)


def _is_piece(payload: JSON) -> bool:
    if not isinstance(payload, dict):
        return False
    said = cast("Body", payload)
    choices: JSON = said.get("choices")
    if choices is not None:
        return isinstance(choices, list) and all(isinstance(each, dict) for each in cast("list[object]", choices))
    return not said.keys().isdisjoint({"token", "generated_text", "usage"})


def _whole(payload: JSON) -> JSON:
    if at(payload, "choices", 0) is None:
        return _with_reason(payload)
    choice, head = _first_choice(payload)
    return {**head, "generated_text": choice.get("text"), **_told(choice)}


def _piece(payload: Body) -> JSON:
    if isinstance(payload.get("choices"), list):
        choice, head = _first_choice(payload)
        return {**head, "text": choice.get("text") or "", **_told(choice)}
    token = payload.get("token")
    words = None if at(token, "special") else at(token, "text")
    return {**_with_reason(payload), "text": words or ""}


def _first_choice(payload: Body) -> tuple[Body, Body]:
    """The first of the texts, where several were asked for, and what is said of all of them."""
    head = {name: payload[name] for name in ("model", "usage") if payload.get(name)}
    for choice in cast("list[JSON]", payload["choices"]):
        if isinstance(choice, dict) and not at(choice, "index"):
            return cast("Body", choice), head
    return {}, head


def _told(choice: Body) -> Body:
    """What a choice says beside its text."""
    beside = {name: value for name, value in choice.items() if name not in {"text", "index"} and value is not None}
    return {"finish_reason": choice.get("finish_reason"), "details": beside or None}


def _with_reason(payload: JSON) -> JSON:
    """Text Generation Inference tells why it ended among the details."""
    reason = at(payload, "details", "finish_reason")
    return {**payload, "finish_reason": reason} if reason else payload


def _read(kind: type[WireT], payload: JSON) -> WireT:
    """Strictly; but nonsense among the counts of tokens is no reason to lose the text."""
    try:
        return kind.model_validate(payload)
    except ValidationError:
        if found := forgiven(kind, payload):
            return found
        raise
