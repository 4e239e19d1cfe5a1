"""Text generation: OpenAI's completions, which nearly everybody serves, and Text Generation Inference's own way."""

from __future__ import annotations

from typing import Any, cast

from pydantic import ValidationError

from hfclient.call import Call
from hfclient.complaints import error_in_success
from hfclient.errors import StreamFailedError
from hfclient.flow import JSON, Flow, Response, StreamPlan, json_or_none, post
from hfclient.provider import Task
from hfclient.providers.openai_compatible import Body, Change, filled_path, renamed
from hfclient.providers.reading import at, first_of, payload_of, read, unusable
from hfclient.route import Route
from hfclient.sse import Event
from hfclient.types.base import first_fault
from hfclient.types.text import TextGeneration, TextGenerationChunk

COMPLETIONS_PATH = "/v1/completions"
WHAT = "a text generation"

# Hugging Face's name for it is `max_new_tokens`; OpenAI's API, and all who speak it, know `max_tokens` alone.
in_openai_terms = renamed(max_new_tokens="max_tokens", return_full_text="echo")


def completions(path: str = COMPLETIONS_PATH, *changes: Change) -> Task:
    """OpenAI's completions at this path; `{model_id}` in it stands for the provider's id of the model."""

    def body(call: Call, route: Route) -> Body:
        model: Body = {} if route.model_id is None else {"model": route.model_id}
        said = in_openai_terms({**model, "prompt": call.inputs, **call.arguments, **model})
        for change in changes:
            said = change(said)
        return said

    def run(call: Call, route: Route) -> Flow[TextGeneration]:
        reply: Response = yield post(filled_path(path, route), json=body(call, route))
        return read_completion(reply)

    def stream(call: Call, route: Route) -> Flow[StreamPlan[TextGenerationChunk]]:
        yield from ()  # nothing has to be loaded first
        asked = {"stream_options": {"include_usage": True}, **body(call, route), "stream": True}
        return StreamPlan(post(filled_path(path, route), json=asked), read_chunk)

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
    if isinstance(at(payload, "choices", 0, "message"), dict):
        raise unusable(reply, "a chat completion: this model chats, so call client.chat(…)")
    if at(payload, "choices", 0) is None:
        generation = read(TextGeneration, payload, reply)
        reason = at(payload, "details", "finish_reason")
        return generation.model_copy(update={"finish_reason": reason}) if reason else generation
    choice = cast("Body", payload["choices"][0])
    said: Body = {name: payload.get(name) for name in ("model", "usage") if payload.get(name)}
    beside = {name: value for name, value in choice.items() if name not in {"text", "index"} and value is not None}
    said |= {"generated_text": choice.get("text"), "finish_reason": choice.get("finish_reason")}
    return read(TextGeneration, {**said, "details": beside or None}, reply)


def read_chunk(event: Event) -> TextGenerationChunk | None:
    """An event of either protocol."""
    payload = json_or_none(event.data)
    text = event.data.decode("utf-8", "replace")
    complaint = error_in_success(payload)
    if complaint or event.event == "error":
        reason = complaint.message if complaint else text
        code = (complaint.code or complaint.kind) if complaint else None
        raise StreamFailedError(f"The stream broke off: {reason}", code=code, body=text)
    try:
        return TextGenerationChunk.model_validate(_chunk(payload))
    except ValidationError as error:
        fault = first_fault(error)
    raise StreamFailedError(f"The stream holds something that is not a piece of a text: {fault}.", body=text)


def _chunk(payload: JSON) -> JSON:
    if not isinstance(payload, dict):
        return payload
    said = cast("Body", payload)
    if isinstance(said.get("choices"), list):
        choice: Any = at(said, "choices", 0) or {}
        head = {name: said[name] for name in ("model", "usage") if said.get(name)}
        return {**head, "text": choice.get("text") or "", "finish_reason": choice.get("finish_reason")}
    token: Any = said.get("token")
    words = "" if at(token, "special") else at(token, "text")
    return {**said, "text": words or "", "finish_reason": at(said, "details", "finish_reason")}
