"""Chat as OpenAI's API has it, which nearly every provider speaks, with each provider's quirks as small changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import ValidationError

from hfclient.call import Call, merged
from hfclient.complaints import Complaint, complaint_in, error_in_success
from hfclient.errors import InputError, ResponseError, StreamFailedError
from hfclient.flow import JSON, Flow, Response, StreamPlan, json_or_none, post
from hfclient.messages import attach
from hfclient.provider import Task
from hfclient.providers.reading import pruned
from hfclient.route import Route
from hfclient.sse import Event, EventDecoder
from hfclient.types.base import Wire, first_fault
from hfclient.types.chat import ChatCompletion, ChatCompletionChunk

WireT = TypeVar("WireT", bound=Wire)

CHAT_PATH = "/v1/chat/completions"

Body = dict[str, Any]
Change = Callable[[Body], Body]


def chat(path: str = CHAT_PATH, *changes: Change) -> Task:
    """Chat completions at this path; `{model_id}` in it stands for the provider's id of the model."""

    def run(call: Call, route: Route) -> Flow[ChatCompletion]:
        body = yield from chat_body(call, route, changes)
        return read_completion((yield post(filled_path(path, route), json=body)))

    def stream(call: Call, route: Route) -> Flow[StreamPlan[ChatCompletionChunk]]:
        body = yield from chat_body(call, route, changes)
        return StreamPlan(post(filled_path(path, route), json=body), read_chunk)

    return Task(run, stream)


def chat_body(call: Call, route: Route, changes: tuple[Change, ...]) -> Flow[Body]:
    """The request's body, `model` first: the router finds the provider by reading a small prefix of it."""
    body: Body = {} if route.model_id is None else {"model": route.model_id}
    body["messages"] = yield from attach(call.inputs)
    body.update(call.parameters)
    if call.stream:
        body["stream"] = True
        # Many providers count tokens in a stream only when asked; without this, usage would be missing or zero.
        body.setdefault("stream_options", {"include_usage": True})
    for change in changes:
        body = change(body)
    return merged(body, call.body)


def body_of(route: Route, inputs: Body, arguments: Body, changes: Iterable[Change] = ()) -> Body:
    """The body of any other request: `model` first here too, and the provider's id whatever the arguments say."""
    model: Body = {} if route.model_id is None else {"model": route.model_id}
    body = {**model, **inputs, **arguments, **model}
    for change in changes:
        body = change(body)
    return body


def without(*names: str) -> Change:
    """The provider refuses these parameters."""
    return lambda body: {name: value for name, value in body.items() if name not in names}


def renamed(**names: str) -> Change:
    """The provider calls these parameters something else."""
    return lambda body: {names.get(name, name): value for name, value in body.items()}


def by_default(**values: Any) -> Change:
    """The provider needs these said, unless the caller says otherwise."""
    return lambda body: {**body, **{name: value for name, value in values.items() if name not in body}}


def without_prefix(prefix: str) -> Change:
    """The provider's own ids do not have this prefix."""
    return lambda body: {**body, "model": body["model"].removeprefix(prefix)} if body.get("model") else body


def size_as_text(body: Body) -> Body:
    """The provider wants width and height as `size="1024x768"`; one alone stays as it is."""
    if body.get("width") is None or body.get("height") is None:
        return body
    rest = {name: value for name, value in body.items() if name not in {"width", "height"}}
    return {**rest, "size": rest.get("size", f"{body['width']}x{body['height']}")}


def size_apart(body: Body) -> Body:
    """The provider wants the two numbers of `target_size` as `width` and `height`; those given beside it win."""
    match body:
        case {"target_size": {"width": width, "height": height}, **rest}:
            return {**rest, "width": rest.get("width", width), "height": rest.get("height", height)}
        case _:
            return body


def json_schema_as(kind: str) -> Change:
    """The provider wants a schema as `{"type": kind, "schema": …}`, not in OpenAI's envelope."""

    def change(body: Body) -> Body:
        match body.get("response_format"):
            case {"type": "json_schema", "json_schema": {"schema": schema}}:
                return {**body, "response_format": {"type": kind, "schema": schema}}
            case _:
                return body

    return change


def read_completion(reply: Response) -> ChatCompletion:
    """A success is only one if there are choices in it and no error."""
    try:
        completion = ChatCompletion.model_validate_json(reply.content)
    except ValidationError as error:
        meant = forgiven(ChatCompletion, json_or_none(reply.content))
        if meant is None:
            raise _unusable(reply, first_fault(error)) from None
        completion = meant
    if _tells_of_an_error(completion):
        raise _unusable(reply, "it holds an error")
    if not completion.choices:
        raise _unusable(reply, "it has no choices")
    return completion


# What `model_validate_json` calls: a stream is thousands of these.
_chunk_from_json: Callable[[bytes], ChatCompletionChunk] = ChatCompletionChunk.__pydantic_validator__.validate_json


def read_chunk(event: Event) -> ChatCompletionChunk | None:
    """An event of the stream; events of another name are passed over, unless there are choices in them."""
    kind = event.event
    if kind not in {"message", "error", ""} and not _holds_choices(json_or_none(event.data)):
        return None
    try:
        chunk = _chunk_from_json(event.data)
    except ValidationError as error:
        return _odd_chunk(event, first_fault(error))
    extra = chunk.__pydantic_extra__
    if kind == "error" or (extra and extra.get("error")):
        return _odd_chunk(event, "it is marked as an error")
    for choice in chunk.choices:
        if (extra := choice.__pydantic_extra__) and extra.get("error"):
            return _odd_chunk(event, "it is marked as an error")
    return chunk


def _odd_chunk(event: Event, fault: str) -> ChatCompletionChunk:
    """An error in any of its shapes, or the bare usage that a few servers send last."""
    payload = json_or_none(event.data)
    if broken := broken_off(event, payload):
        raise broken
    if isinstance(payload, dict) and "usage" in payload:
        payload = {"choices": (), **pruned(payload)}
    if chunk := forgiven(ChatCompletionChunk, payload):
        return chunk
    text = event.data.decode("utf-8", "replace")
    raise StreamFailedError(f"The stream holds something that is not a piece of a chat: {fault}.", body=text)


def broken_off(event: Event, payload: JSON) -> StreamFailedError | None:
    """The error that an event tells of, in any of its shapes; None where it tells of none."""
    complaint = complaint_in(payload) if event.event == "error" else complaint_within(payload)
    if complaint is None and event.event != "error":
        return None
    text = event.data.decode("utf-8", "replace")
    said = complaint.message if complaint else text or "no reason given"
    code = (complaint.code or complaint.kind) if complaint else None
    return StreamFailedError(f"The stream broke off: {said}", code=code, body=text)


def _holds_choices(payload: JSON) -> bool:
    return isinstance(payload, dict) and isinstance(cast("Body", payload).get("choices"), list)


def _tells_of_an_error(answer: ChatCompletion | ChatCompletionChunk) -> bool:
    return any((each.model_extra or {}).get("error") for each in (answer, *answer.choices))


def complaint_within(payload: JSON) -> Complaint | None:
    """The error that came as a success, at the top or, as OpenRouter has it, within a choice."""
    if complaint := error_in_success(payload):
        return complaint
    choices: list[JSON] = payload["choices"] if _holds_choices(payload) else []
    errors = [cast("Body", choice).get("error") for choice in choices if isinstance(choice, dict)]
    return next((found for error in errors if error and (found := error_in_success({"error": error}))), None)


def forgiven(kind: type[WireT], payload: JSON) -> WireT | None:
    """What is meant by a server that writes null for nothing, or nonsense where it does not touch the answer."""
    try:
        payload = pruned(payload)
        try:
            return kind.model_validate(payload)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False, include_context=False):
                _drop_beside_the_answer(payload, fault["loc"])
            return kind.model_validate(payload)
    except (ValidationError, RecursionError):
        return None


def _drop_beside_the_answer(payload: JSON, place: tuple[int | str, ...]) -> None:
    """Take out what is wrong in this place, if it is a count, a date or a probability; the rest stays wrong."""
    match place:
        case ("usage", name, *_):
            payload["usage"].pop(name, None)
        case ("usage" | "created" | "system_fingerprint" as name, *_):
            payload.pop(name, None)
        case ("choices", int(index), "logprobs", *_):
            payload["choices"][index].pop("logprobs", None)
        case _:
            pass


def _unusable(reply: Response, fault: str) -> ResponseError:
    complaint = complaint_within(json_or_none(reply.content))
    said = f"no chat completion: {fault}"
    advice = "Try again, or another provider; if it stays so, report it to the provider."
    if complaint:
        said = f"an error with a success status: {complaint.message}"
    elif other := _other_than_json(reply):
        said, advice = f"no chat completion: the server answered with {other[0]}", other[1]
    return ResponseError(
        f"The answer is {said}.".replace("..", "."), status=reply.status, body=reply.text(), advice=advice
    )


def _other_than_json(reply: Response) -> tuple[str, str] | None:
    """What the answer is instead, and what to do about it."""
    start = reply.content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not reply.content.strip():
        return "an empty body", "Check base_url; if it is right, try again."
    if start.startswith((b"<!doctype html", b"<html")) or (reply.media_type == "text/html" and start[:1] == b"<"):
        return "a web page (text/html)", "Check base_url."
    if reply.media_type == "text/event-stream" or start.startswith((b"data:", b"event:", b":")):
        error = _error_among_events(reply.content)
        return (
            f"server-sent events, which nobody asked for{f', and an error in them: {error}' if error else ''}",
            "Try again, or use client.chat.stream, which reads them.",
        )
    return None


def _error_among_events(content: bytes) -> str | None:
    decoder = EventDecoder(max_event_bytes=len(content) + 1)
    for event in (*decoder.feed(content), *decoder.finish()):
        payload = json_or_none(event.data)
        if complaint := complaint_in(payload) if event.event == "error" else complaint_within(payload):
            return complaint.message
        if event.event == "error":
            return event.data.decode("utf-8", "replace")
    return None


def with_model(body: Body, route: Route) -> Body:
    """The body with the provider's id of the model, which stands first, and which nothing overrides."""
    model: Body = {} if route.model_id is None else {"model": route.model_id}
    return {**model, **body, **model}


def filled_path(path: str, route: Route) -> str:
    if "{model_id}" in path and ".." in (route.model_id or "").split("/"):
        raise InputError(f"The model's name leads elsewhere: {route.model_id!r}.", advice='It reads "org/name".')
    return path.replace("{model_id}", quote(route.model_id or "", safe="/"))
