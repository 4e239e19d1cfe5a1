"""Work that is handed to an event loop from outside any await."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import EventLoopToken, current_token

from hfclient import background
from hfclient.background import Running, Signal, run_soon, start
from hfclient.errors import ConnectionLostError

pytestmark = pytest.mark.anyio


async def test_it_runs_in_the_loop_it_was_handed_to() -> None:
    """The work runs soon, in the loop whose token was given, and nothing of it is kept."""
    done = anyio.Event()
    threads: list[threading.Thread] = []

    async def work() -> None:
        threads.append(threading.current_thread())
        await anyio.lowlevel.checkpoint()
        done.set()

    run_soon(current_token(), work)
    assert not done.is_set()
    with anyio.fail_after(5):
        await done.wait()
        await anyio.wait_all_tasks_blocked()
    assert threads == [threading.current_thread()]
    assert background._tasks == set()


async def test_it_may_be_handed_over_from_any_thread() -> None:
    """The garbage collector runs where it likes; the work still runs in its own loop."""
    done = anyio.Event()

    async def work() -> None:
        done.set()

    await anyio.to_thread.run_sync(run_soon, current_token(), work)
    with anyio.fail_after(5):
        await done.wait()


async def test_its_errors_disturb_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot even be closed properly is worth a line in the log, not an exception nobody catches."""
    begun = anyio.Event()

    async def work() -> None:
        begun.set()
        raise ConnectionLostError("It was gone.")

    with caplog.at_level("DEBUG", logger="hfclient"):
        run_soon(current_token(), work)
        with anyio.fail_after(5):
            await begun.wait()
            await anyio.wait_all_tasks_blocked()
    assert "It was gone." in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_is_over_needs_nothing(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Work for a loop that has ended is not done, without a word but in the log."""
    tokens: list[EventLoopToken] = []

    async def main() -> None:
        tokens.append(current_token())

    async def work() -> None:
        raise AssertionError("nobody runs this")

    anyio.run(main, backend=backend)
    with caplog.at_level("DEBUG", logger="hfclient"):
        run_soon(tokens[0], work)
        gc.collect()
    assert "had ended" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_is_just_ending_is_not_disturbed(backend: str) -> None:
    """Work handed over as the last thing in a loop neither keeps it from ending nor leaves anything behind."""
    begun: list[Any] = []

    async def work() -> None:
        begun.append(1)
        await anyio.sleep(3600)

    async def main() -> None:
        run_soon(current_token(), work)

    anyio.run(main, backend=backend)
    gc.collect()
    assert background._tasks == set()


async def ended(running: Running[Any], changed: Signal) -> None:
    while not running.ended:
        await changed.wait()


async def test_what_comes_of_a_task_is_kept() -> None:
    """A task that was started runs beside its starter, and its value or its error, of whatever kind, waits there."""

    class Abort(BaseException):
        pass

    async def fail(error: BaseException) -> None:
        raise error

    async def answer() -> int:
        return 42

    changed = Signal()
    answering = start(answer, changed)
    assert not answering.ended
    await ended(answering, changed)
    assert (answering.value, answering.error) == (42, None)
    for error in (ValueError(), Abort()):
        failing = start(lambda error=error: fail(error), changed)
        await ended(failing, changed)
        assert failing.error is error
        await failing.stop()
    await anyio.lowlevel.checkpoint()
    assert background._tasks == set()


async def test_a_task_has_its_starters_context() -> None:
    """Context variables go into the task, and what it sets stays in it."""
    current: ContextVar[str] = ContextVar("current", default="nothing")

    async def look() -> str:
        seen = current.get()
        current.set("changed")
        return seen

    current.set("the starter's")
    looking = start(look, changed := Signal())
    await ended(looking, changed)
    assert (looking.value, current.get()) == ("the starter's", "the starter's")


async def test_stopping_waits_for_the_end() -> None:
    """`stop` comes back when the task has cleaned up, also where the one who stops is cancelled."""
    story: list[str] = []

    async def work() -> None:
        try:
            story.append("begun")
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            story.append("cleaned up")

    running = start(work, Signal())
    while not story:
        await anyio.lowlevel.checkpoint()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await running.stop()
        story.append("stopped")
    assert (story, running.ended, running.error) == (["begun", "cleaned up", "stopped"], True, None)


async def test_what_is_stopped_beforehand_never_begins() -> None:
    """A task that is stopped before its first step does nothing."""
    story: list[str] = []

    async def work() -> None:
        story.append("begun")

    running = start(work, Signal())
    await running.stop()
    assert (story, running.ended) == ([], True)


async def test_a_task_does_not_wait_for_itself() -> None:
    """Stopped by itself, or by a task that it started, it ends all the same."""
    changed, running = Signal(), list[Running[None]]()

    async def inner() -> None:
        await running[0].stop()

    async def outer() -> None:
        running.append(start(inner, changed))
        await running[1].stop()
        await running[0].stop()
        await anyio.sleep_forever()

    running.append(start(outer, changed))
    with anyio.fail_after(5):
        for each in running:
            await ended(each, changed)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_has_ended() -> None:
    """Cancelled by its loop, before its first step or after, it says so to whoever waits for it."""
    for passes in range(2):
        before = asyncio.all_tasks()
        running = start(anyio.sleep_forever, changed := Signal())
        for _ in range(passes):
            await asyncio.sleep(0)
        (task,) = asyncio.all_tasks() - before
        task.cancel()
        with anyio.fail_after(5):
            await ended(running, changed)
        assert isinstance(running.error, asyncio.CancelledError)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_end_with_their_loop(backend: str) -> None:
    """A task that nobody stopped neither keeps its loop from ending nor outlives it."""
    kept: list[Running[None]] = []

    async def main() -> None:
        kept.append(start(anyio.sleep_forever, Signal()))

    anyio.run(main, backend=backend)
    gc.collect()
    assert kept[0].ended
    assert background._tasks == set()
