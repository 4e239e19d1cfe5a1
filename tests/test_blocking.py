"""A generator that blocks runs in worker threads, one step at a time, and always gets to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import anyio
import pytest

from hfclient.blocking import Blocking

pytestmark = pytest.mark.anyio


async def test_steps_run_in_threads_and_come_to_an_end() -> None:
    """Each step gives what it yields, takes what is sent, and after the last there is None."""
    threads: list[int] = []

    def work() -> Generator[str, str | None, None]:
        threads.append(threading.get_ident())
        said = yield "first"
        yield f"second, after {said}"

    steps = Blocking(work())
    assert [await steps.next(), await steps.send("this"), await steps.next(), await steps.send("more")] == [
        "first",
        "second, after this",
        None,
        None,
    ]
    await steps.aclose()
    assert threading.get_ident() not in threads


async def test_what_a_step_raises_is_raised() -> None:
    """An error in a thread is an error here, and the generator is done with."""

    def work() -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError

    steps = Blocking(work())
    assert await steps.next() == 1
    with pytest.raises(ZeroDivisionError):
        await steps.next()
    assert await steps.next() is None


async def test_closing_runs_what_is_left_to_do() -> None:
    """A generator that is closed frees what it holds, in a thread, also where the task is cancelled already."""
    threads: list[int] = []

    def work() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            threads.append(threading.get_ident())

    for cancelled in (False, True):
        steps = Blocking(work())
        await steps.next()
        with anyio.CancelScope() as scope:
            if cancelled:
                scope.cancel()
            await steps.aclose()
        assert await steps.next() is None
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("begun", [False, True], ids=["before it begins", "in the middle"])
def test_closing_waits_for_the_step_that_asyncio_left(begun: bool) -> None:
    """A task that asyncio cancels leaves its thread at work; closing waits for it, and then everything is freed."""
    entered, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def work() -> Generator[Any, None, None]:
        try:
            if begun:
                yield
            entered.set()
            go_on.wait(10)
            told.append("worked")
            yield
        finally:
            told.append("freed")

    async def main() -> None:
        steps = Blocking(work())
        if begun:
            await steps.next()
        task = asyncio.create_task(steps.next())
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closing = asyncio.create_task(steps.aclose())
        await anyio.wait_all_tasks_blocked()
        assert not closing.done()
        assert told == []
        go_on.set()
        await closing
        assert told == ["worked", "freed"]

    anyio.run(main)
