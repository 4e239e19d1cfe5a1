"""One piece of work for everybody who asks at once."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from hfclient.errors import HubError, NotFoundError
from hfclient.single_flight import SingleFlight

pytestmark = pytest.mark.anyio

CROWD = 100


class Work:
    """Work that waits to be let go, and counts how often it was begun."""

    def __init__(self, outcome: object = "done") -> None:
        self.begun = 0
        self.outcome = outcome
        self.go = anyio.Event()
        self.running = anyio.Event()

    async def __call__(self) -> object:
        self.begun += 1
        self.running.set()
        await self.go.wait()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


async def test_a_crowd_shares_one_piece_of_work() -> None:
    """However many ask at once, the work is done once, and all get its value."""
    flights: SingleFlight[object] = SingleFlight()
    work, got = Work(), []

    async def ask() -> None:
        got.append(await flights.share("x", work))

    async with anyio.create_task_group() as group:
        for _ in range(CROWD):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        work.go.set()
    assert got == ["done"] * CROWD
    assert work.begun == 1


async def test_different_work_is_not_shared() -> None:
    """Two keys are two flights, and None is a value like any other."""
    flights: SingleFlight[object] = SingleFlight()
    first, second, got = Work(None), Work("b"), {}

    async def ask(name: str, work: Work) -> None:
        got[name] = await flights.share(name, work)

    async with anyio.create_task_group() as group:
        for name, work in (("a", first), ("a", first), ("b", second)):
            group.start_soon(ask, name, work)
        await anyio.wait_all_tasks_blocked()
        first.go.set()
        second.go.set()
    assert got == {"a": None, "b": "b"}
    assert (first.begun, second.begun) == (1, 1)


async def test_nothing_is_kept_once_it_is_done() -> None:
    """Who asks after the work is done has it done anew."""
    flights: SingleFlight[object] = SingleFlight()
    work = Work()
    work.go.set()
    await flights.share("x", work)
    await flights.share("x", work)
    assert work.begun == 2
    assert not flights._flights


async def test_an_error_is_shared_and_each_gets_its_own() -> None:
    """All fail alike, each with an error that it may write its own story into."""
    flights: SingleFlight[object] = SingleFlight()
    work, errors = Work(NotFoundError("no such model", status=404, code="RepoNotFound")), []

    async def ask() -> None:
        with pytest.raises(NotFoundError, match="no such model") as caught:
            await flights.share("x", work)
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for _ in range(CROWD):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        work.go.set()
    assert work.begun == 1
    assert len({id(error) for error in errors}) == CROWD
    assert {(error.status, error.code) for error in errors} == {(404, "RepoNotFound")}


async def test_an_error_written_into_by_one_stays_clean_for_the_others() -> None:
    """What the first asker notes in its error is not seen by those who waited."""
    flights: SingleFlight[object] = SingleFlight()
    work, models = Work(HubError("down")), []

    async def ask(name: str) -> None:
        try:
            await flights.share("x", work)
        except HubError as error:
            models.append(error.model)
            error.model = name

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(ask, str(number))
        await anyio.wait_all_tasks_blocked()
        work.go.set()
    assert models == [None, None, None]


async def test_another_takes_over_when_the_one_at_work_is_cancelled() -> None:
    """A cancelled leader takes nobody with it: one of those waiting does the work."""
    flights: SingleFlight[object] = SingleFlight()
    work, got, leader = Work(), [], anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await flights.share("x", work)

    async def ask() -> None:
        got.append(await flights.share("x", work))

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        await work.running.wait()
        for _ in range(CROWD):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        assert work.begun == 2
        work.go.set()
    assert got == ["done"] * CROWD
    assert leader.cancelled_caught


async def test_one_that_waits_can_be_cancelled_alone() -> None:
    """Cancelling somebody who waits disturbs neither the work nor the others."""
    flights: SingleFlight[object] = SingleFlight()
    work, got, impatient = Work(), [], anyio.CancelScope()

    async def ask() -> None:
        got.append(await flights.share("x", work))

    async def give_up() -> None:
        with impatient:
            await flights.share("x", work)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await work.running.wait()
        group.start_soon(give_up)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel()
        await anyio.wait_all_tasks_blocked()
        work.go.set()
    assert got == ["done", "done"]
    assert impatient.cancelled_caught
    assert work.begun == 1


async def test_a_fault_of_ours_is_not_passed_on() -> None:
    """An exception that is no HFClientError stays with the one it met; the next one tries for itself."""
    flights: SingleFlight[object] = SingleFlight()
    outcomes: list[object] = [RuntimeError("a bug"), "fine"]
    ready = anyio.Event()

    async def work() -> object:
        await ready.wait()
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    got: list[object] = []

    async def ask() -> None:
        try:
            got.append(await flights.share("x", work))
        except RuntimeError as error:
            got.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        ready.set()
    assert got == ["a bug", "fine"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_event_loops_do_not_wait_for_each_other() -> None:
    """A flight belongs to its loop: another loop, in another thread, flies its own."""
    flights: SingleFlight[str] = SingleFlight()
    go, begun = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go.wait()
        return "here"

    async def quick() -> str:
        return "there"

    task = asyncio.create_task(flights.share("x", slow))
    await begun.wait()
    there: list[str] = []
    thread = threading.Thread(target=lambda: there.append(asyncio.run(flights.share("x", quick))))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    go.set()
    assert (await task, there) == ("here", ["there"])
