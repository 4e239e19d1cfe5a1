"""Chat as OpenAI's API has it, which nearly every provider speaks, with each provider's quirks as small changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic import ValidationError

from hfclient.call import Call
from hfclient.complaints import complaint_in, error_in_success
from hfclient.errors import InputError, ResponseError, StreamFailedError
from hfclient.flow import JSON, Flow, Response, StreamPlan, post
from hfclient.messages import attach
from hfclient.provider import Task
from hfclient.route import Route
from hfclient.sse import Event
from hfclient.types.base import Wire
from hfclient.types.chat import ChatCompletion, ChatCompletionChunk

WireT = TypeVar("WireT", bound=Wire)

CHAT_PATH = "/v1/chat/completions"

Body = dict[str, Any]
Change = Callable[[Body], Body]


def chat(path: str = CHAT_PATH, *changes: Change) -> Task:
    """Chat completions at this path; `{model_id}` in it stands for the provider's id of the model."""

    def run(call: Call, route: Route) -> Flow[ChatCompletion]:
        body = yield from chat_body(call, route, changes)
        return read_completion((yield post(_filled(path, route), json=body)))

    def stream(call: Call, route: Route) -> Flow[StreamPlan[ChatCompletionChunk]]:
        body = yield from chat_body(call, route, changes)
        return StreamPlan(post(_filled(path, route), json=body), read_chunk)

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


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> Body:
    """`extra_body` over the body, objects merged key by key, everything else replaced."""
    result = dict(body)
    for name, value in extra.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(cast("Body", before), cast("Body", value)) if both else value
    return result


def without(*names: str) -> Change:
    """The provider refuses these parameters."""
    return lambda body: {name: value for name, value in body.items() if name not in names}


def renamed(**names: str) -> Change:
    """The provider calls these parameters something else."""
    return lambda body: {names.get(name, name): value for name, value in body.items()}


def without_prefix(prefix: str) -> Change:
    """The provider's own ids do not have this prefix."""
    return lambda body: {**body, "model": body["model"].removeprefix(prefix)} if body.get("model") else body


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
        forgiven = _without_nulls(ChatCompletion, _json_or_none(reply.content))
        if forgiven is None:
            raise _unusable(reply, _first_fault(error)) from None
        completion = forgiven
    if (completion.model_extra or {}).get("error"):
        raise _unusable(reply, "it holds an error")
    if not completion.choices:
        raise _unusable(reply, "it has no choices")
    return completion


# What `model_validate_json` calls: a stream is thousands of these.
_chunk_from_json: Callable[[bytes], ChatCompletionChunk] = ChatCompletionChunk.__pydantic_validator__.validate_json


def read_chunk(event: Event) -> ChatCompletionChunk | None:
    """An event of the stream; other kinds of event than messages and errors are passed over."""
    kind = event.event
    if kind not in {"message", "error", ""}:
        return None
    try:
        chunk = _chunk_from_json(event.data)
    except ValidationError as error:
        return _odd_chunk(event, _first_fault(error))
    extra = chunk.__pydantic_extra__
    if kind == "error" or (extra and extra.get("error")):
        return _odd_chunk(event, "it is marked as an error")
    return chunk


def _odd_chunk(event: Event, fault: str) -> ChatCompletionChunk:
    """An error in any of its shapes, or the bare usage that a few servers send last."""
    text = event.data.decode("utf-8", "replace")
    payload = _json_or_none(event.data)
    complaint = complaint_in(payload) if event.event == "error" else error_in_success(payload)
    if complaint:
        raise StreamFailedError(f"The stream broke off: {complaint.message}", code=complaint.code, body=text)
    if event.event == "error":
        raise StreamFailedError(f"The stream broke off: {text or 'no reason given'}", body=text)
    if isinstance(payload, dict) and "usage" in payload:
        payload = {"choices": (), **_pruned(payload)}
    if chunk := _without_nulls(ChatCompletionChunk, payload):
        return chunk
    raise StreamFailedError(f"The stream holds something that is not a piece of a chat: {fault}.", body=text)


def _without_nulls(kind: type[WireT], payload: JSON) -> WireT | None:
    """What is meant by a server that writes null where a value belongs and means that there is none."""
    try:
        return kind.model_validate(_pruned(payload))
    except ValidationError:
        return None


def _pruned(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {name: _pruned(inner) for name, inner in cast("Body", value).items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(item) for item in cast("Iterable[JSON]", value)]
    return value


def _json_or_none(content: bytes) -> JSON:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _unusable(reply: Response, fault: str) -> ResponseError:
    complaint = error_in_success(_json_or_none(reply.content))
    said = f"an error with a success status: {complaint.message}" if complaint else f"no chat completion: {fault}"
    return ResponseError(
        f"The answer is {said}.".replace("..", "."),
        status=reply.status,
        body=reply.text(),
        advice="Try again, or another provider; if it stays so, report it to the provider.",
    )


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _filled(path: str, route: Route) -> str:
    if "{model_id}" in path and ".." in (route.model_id or "").split("/"):
        raise InputError(f"The model's name leads elsewhere: {route.model_id!r}.", advice='It reads "org/name".')
    return path.replace("{model_id}", quote(route.model_id or "", safe="/"))
