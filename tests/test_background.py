"""Work that is handed to an event loop from outside any await."""

from __future__ import annotations

import gc
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import EventLoopToken, current_token

from hfclient import background
from hfclient.background import run_soon
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
    assert background._running == set()


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
    assert background._running == set()
