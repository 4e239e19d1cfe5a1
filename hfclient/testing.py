"""For the tests of programs that use hfclient: no waits, and flows driven by hand.

>>> with no_waits() as waits:
...     reply = await client.chat("Hi", retry=Retry(attempts=3, statuses={429}))
>>> waits
[]
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio.lowlevel

from hfclient import clock
from hfclient.flow import Flow, Response, Step

T = TypeVar("T")

__all__ = ["no_waits", "play", "reply"]


@contextmanager
def no_waits() -> Generator[list[float]]:
    """Within this, hfclient waits for nothing; the list has the seconds it would have waited."""
    waits: list[float] = []
    patient = clock.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await anyio.lowlevel.checkpoint()

    clock.sleep = sleep
    try:
        yield waits
    finally:
        clock.sleep = patient


def play(flow: Flow[T], *outcomes: Any) -> tuple[list[Step], T]:
    """Drive a provider's flow: each of its steps gets the next outcome, an exception by raising it there. Gives the
    steps it asked for, and its result.

    >>> steps, completion = play(flow, reply({"choices": [{"message": {"content": "Hi!"}}]}))
    """
    steps: list[Step] = []
    outcome: Any = None
    try:
        for given in range(len(outcomes) + 1):
            steps.append(flow.throw(outcome) if isinstance(outcome, BaseException) else flow.send(outcome))
            outcome = outcomes[given] if given < len(outcomes) else None
    except StopIteration as stop:
        if len(steps) < len(outcomes):
            raise AssertionError(f"The flow ended before it took {outcomes[len(steps) :]}") from None
        result: T = stop.value
        return steps, result
    flow.close()
    raise AssertionError(f"The flow asks for one more outcome, after {steps[-1]}")


def reply(payload: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer to send into a flow: JSON, or bytes as they are."""
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, content)
