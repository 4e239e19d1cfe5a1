"""Driving a flow by hand: no event loop, no mock, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from hfclient.call import Call
from hfclient.flow import Flow, Response, Step, StreamPlan
from hfclient.provider import Provider
from hfclient.route import Route
from hfclient.sse import Event

T = TypeVar("T")

CHAT = "conversational"
HELLO = [{"role": "user", "content": "Hello"}]

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "served-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def play(flow: Flow[T], *outcomes: Any) -> tuple[list[Step], T]:
    """Answer the flow's steps in turn, an exception by raising it there; gives the steps and the result."""
    steps = [next(flow)]
    for outcome in outcomes:
        try:
            steps.append(flow.throw(outcome) if isinstance(outcome, BaseException) else flow.send(outcome))
        except StopIteration as stop:
            return steps, stop.value
    raise AssertionError(f"The flow asks for one more outcome: {steps[-1]}")


def result_of(flow: Flow[T]) -> T:
    """What a flow gives that asks for nothing."""
    try:
        step = next(flow)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError(f"The flow asks for {step}")


def chat_call(messages: list[dict[str, Any]] | None = None, **parts: Any) -> Call:
    return Call(CHAT, HELLO if messages is None else messages, **{"model": "org/model", **parts})


def route_to(provider: Provider, model_id: str | None = "provider-model") -> Route:
    return Route(provider, provider.tasks[CHAT], model_id, provider.url)


def run_flow(provider: Provider, call: Call, model_id: str | None = "provider-model") -> Flow[Any]:
    route = route_to(provider, model_id)
    return route.task.run(call, route)


def plan_of(provider: Provider, call: Call, model_id: str | None = "provider-model") -> StreamPlan[Any]:
    route = route_to(provider, model_id)
    assert route.task.stream is not None
    return result_of(route.task.stream(call, route))


def reply(payload: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, content)


def event(payload: object, kind: str = "message") -> Event:
    return Event(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), kind)
