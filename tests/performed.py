"""Flows of any task performed by hand: requests answered in turn, media loaded and files fetched on the spot."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hypothesis import strategies as st

from hfclient.call import Call
from hfclient.flow import Fetch, Fetched, Load, Request, Response
from hfclient.media import Loaded
from hfclient.provider import Provider
from hfclient.route import Route
from tests.flows import reply

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
PICTURE = Loaded(PNG, "image/png")

# What a provider may say instead of what it should.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


def task_call(task: str, inputs: Any, /, *, body: dict[str, Any] | None = None, **parameters: Any) -> Call:
    return Call(task, inputs, model="org/model", parameters=parameters, body=body or {})


def task_route(provider: Provider, task: str, model_id: str, *, routed: bool = False, **extras: Any) -> Route:
    """The way to a provider's task; `extras` is what the Hub's mapping says besides."""
    how = provider.tasks.get(task) or provider.otherwise
    assert how is not None
    base_url = f"https://router.huggingface.co/{provider.name}" if routed else how.url or provider.url
    return Route(provider, how, model_id, base_url, extras=extras, routed=routed)


def drive(flow: Generator[Any, Any, Any], *replies: Any, loaded: Loaded = PICTURE) -> tuple[list[Any], Any]:
    """Answer the requests in turn, an exception by raising it; gives all steps, and the result."""
    waiting = list(replies)
    steps: list[Any] = []
    outcome: Any = None
    while True:
        try:
            step = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
        except StopIteration as stop:
            assert waiting == []
            return steps, stop.value
        steps.append(step)
        outcome = None
        match step:
            case Request():
                answer = waiting.pop(0)
                outcome = answer if isinstance(answer, Exception | Response) else reply(answer)
            case Load():
                outcome = loaded
            case Fetch(url):
                outcome = fetched(url)
            case _:
                pass


def fetched(url: str) -> Fetched:
    content = f"from {url}".encode()
    return Fetched(content, "", url, None, len(content))


def run(call: Call, route: Route, *replies: Any, **how: Any) -> Any:
    """The task's result."""
    return drive(route.task.run(call, route), *replies, **how)[1]


def asked(call: Call, route: Route, loaded: Loaded = PICTURE) -> Any:
    """The first request, once media is loaded."""
    flow = route.task.run(call, route)
    step = next(flow)
    return flow.send(loaded) if isinstance(step, Load) else step


def requests_in(steps: list[Any]) -> list[tuple[str, str]]:
    return [(step.method, step.path) for step in steps if isinstance(step, Request)]
