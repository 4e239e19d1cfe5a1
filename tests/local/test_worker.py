"""The thread of a model: orders, answers, failures, and its end."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hfclient import Timeout
from hfclient.errors import (
    EngineCrashedError,
    EngineError,
    InputError,
    ModelFilesError,
    OutOfMemoryError,
    TimedOutError,
)
from hfclient.local import reply as reply_module
from hfclient.local.engine import Generation, Loaded
from hfclient.local.worker import Worker
from tests.local.fake_engine import Counting, FakeEngine

pytestmark = pytest.mark.anyio

NUMBERS = count(1)


def generation(length: int = 3, tokens: list[int] | None = None) -> Generation:
    return Generation(id=next(NUMBERS), tokens=tokens or [0], max_tokens=length)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def worker(engine: FakeEngine) -> Iterator[Worker]:
    made = Worker("fake", engine.loaded)
    yield made
    made.stop()
    made.join(10)
    assert made.ended


async def everything(reply: Any, found: list[Any] | None = None) -> list[Any]:
    found = [] if found is None else found
    while batch := await reply.next_batch():
        found += batch
    return found


async def until(true: Callable[[], bool]) -> None:
    """Wait for the thread to get somewhere."""
    with anyio.fail_after(20):
        while not true():  # noqa: ASYNC110  a thread tells nobody
            await anyio.sleep(0.001)


async def test_a_call_gets_its_tokens_and_a_farewell(worker: Worker) -> None:
    """What a step writes reaches the reader in order, whole, once."""
    assert await everything(worker.ask(Counting(generation(5)))) == [1, 2, 3, 4, 5, "bye"]


async def test_many_calls_are_answered_side_by_side(worker: Worker, engine: FakeEngine) -> None:
    """A hundred at once take as many steps as one, give or take those in which they arrive."""
    answers: list[list[Any]] = []

    async def ask() -> None:
        answers.append(await everything(worker.ask(Counting(generation(50)))))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
    assert answers == [[*range(1, 51), "bye"]] * 100
    assert engine.steps < 50 * 20


async def test_several_generations_make_one_answer(worker: Worker) -> None:
    """The farewell comes when the last of them is over."""
    answer = await everything(worker.ask(Counting(generation(2), generation(4))))
    assert answer[-1] == "bye"
    assert sorted(answer[:-1]) == [1, 1, 2, 2, 3, 4]


async def test_a_scribe_ends_what_it_has_read_enough_of(worker: Worker, engine: FakeEngine) -> None:
    """A stop string is found by the scribe, and the engine is told that nobody wants more."""
    asked = generation(1000)
    assert await everything(worker.ask(Counting(asked, stops=[4]))) == [1, 2, 3, 4, "bye"]
    assert engine.cancelled == [asked.id]


async def test_leaving_frees_the_place_before_the_next_step(worker: Worker, engine: FakeEngine) -> None:
    """Whoever leaves is written for no more: at most the step that is just under way."""
    asked = generation(10**9)
    reply = worker.ask(Counting(asked))
    await reply.next_batch()
    await reply.aclose()
    await until(lambda: asked.id in engine.cancelled)
    written = engine.written[asked.id]
    assert await everything(worker.ask(Counting(generation(20)))) == [*range(1, 21), "bye"]
    assert engine.written[asked.id] == written


@pytest.mark.parametrize("faulty", ["token", "scribe", "prompt"])
async def test_a_fault_in_one_call_is_its_own(worker: Worker, engine: FakeEngine, faulty: str) -> None:
    """An engine's fault with one prompt, or a bug while its text is read, leaves the others alone."""
    bystander = worker.ask(Counting(generation(200)))
    prompt = {"token": [-2], "scribe": [0], "prompt": [-1]}[faulty]
    reply = worker.ask(Counting(generation(10, prompt), generation(10), faults=[2]))
    with pytest.raises(EngineError, match=r"The model failed: (ValueError|ZeroDivisionError)"):
        await everything(reply)
    assert await everything(bystander) == [*range(1, 201), "bye"]
    assert not worker.ended
    await until(lambda: not engine.open)


async def test_what_had_arrived_comes_before_the_error(worker: Worker) -> None:
    """A reader gets every token that was written before the fault."""
    reply = worker.ask(Counting(generation(10), faults=[4]))
    found: list[Any] = []
    with pytest.raises(EngineError, match="a bug"):
        await everything(reply, found)
    assert found == [1, 2, 3]


async def test_a_crash_is_told_to_everybody(engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    """A step that breaks down ends the thread: all calls fail, the log has the traceback, the engine is closed."""

    def crash(engine: FakeEngine) -> None:
        if engine.steps > 3:
            raise RuntimeError("the device is gone")

    engine.before_step = crash
    worker = Worker("fake", engine.loaded)
    replies = [worker.ask(Counting(generation(10**6))) for _ in range(3)]
    for reply in replies:
        with pytest.raises(EngineCrashedError, match="fake broke down: RuntimeError: the device is gone"):
            await everything(reply)
    worker.join(10)
    assert (worker.ended, engine.closed, worker.claim()) == (True, True, False)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the device is gone" in str(record.exc_info)
    with pytest.raises(EngineCrashedError):
        await everything(worker.ask(Counting(generation())))
    with pytest.raises(EngineCrashedError):
        await worker.do(lambda loaded: loaded)


async def test_a_model_that_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    """Everybody who waits is told why; an error of ours comes as it is, another as one of ours."""
    gate = threading.Event()

    def load(error: BaseException) -> Callable[[], Loaded]:
        def fail() -> Loaded:
            gate.wait(20)
            raise error

        return fail

    for error, kind in ((ModelFilesError("no weights"), ModelFilesError), (OSError("disk"), EngineError)):
        gate.clear()
        worker = Worker("fake", load(error))
        reply = worker.ask(Counting(generation()))
        gate.set()
        with pytest.raises(kind, match=r"no weights|fake could not be loaded: OSError: disk"):
            await everything(reply)
        with pytest.raises(kind):
            await worker.do(lambda loaded: loaded)
        worker.join(10)
    assert caplog.records == []


def refuse(_: Loaded) -> None:
    raise InputError("of ours")


async def test_work_is_done_between_two_steps(worker: Worker, engine: FakeEngine) -> None:
    """Prompts are made in the model's thread; what goes wrong there comes back to whoever asked."""
    assert await worker.do(lambda loaded: (loaded.engine, threading.current_thread().name)) == (engine, "hfclient fake")
    with pytest.raises(EngineError, match="The model failed: ZeroDivisionError") as caught:
        await worker.do(lambda _: 1 // 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(InputError, match="of ours"):
        await worker.do(refuse)
    assert not worker.ended


async def test_stopping_ends_what_is_under_way(worker: Worker, engine: FakeEngine) -> None:
    """Whoever still reads is told that the model was unloaded."""
    reply = worker.ask(Counting(generation(10**9)))
    await reply.next_batch()
    worker.stop()
    with pytest.raises(EngineError, match="was unloaded"):
        await everything(reply)
    await anyio.to_thread.run_sync(worker.join)
    assert (engine.closed, worker.ended, worker.claim()) == (True, True, False)


async def test_nothing_is_written_far_ahead(
    worker: Worker, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that does not read is not written for; when it reads on, it misses nothing."""
    monkeypatch.setattr(reply_module, "FAR_BEHIND", 10)
    asked = generation(100_000)
    reply = worker.ask(Counting(asked))
    await until(lambda: asked.id in engine.held)
    first = await reply.next_batch()
    assert 10 < len(first) < 100_000
    assert [*first, *await everything(reply)] == [*range(1, 100_001), "bye"]


async def test_an_idle_model_ends_by_itself(engine: FakeEngine) -> None:
    """After its idle seconds the model is freed, unless somebody holds a claim on it or it is writing."""
    worker = Worker("fake", engine.loaded, idle_seconds=0.01)
    assert worker.claim()
    await anyio.sleep(0.05)
    assert await everything(worker.ask(Counting(generation()))) == [1, 2, 3, "bye"]
    assert not worker.ended
    worker.release()
    await until(lambda: worker.ended)
    assert (engine.closed, worker.claim()) == (True, False)


async def test_an_idle_model_stays_for_a_reader_that_is_behind(engine: FakeEngine) -> None:
    """A call whose reader takes its time is under way, though there is nothing to do for it just now."""
    worker = Worker("fake", engine.loaded, idle_seconds=0.01)
    asked = generation(10)
    engine.held.add(asked.id)
    reply = worker.ask(Counting(asked))
    await anyio.sleep(0.05)
    worker.order(engine.held.clear)
    assert await everything(reply) == [*range(1, 11), "bye"]
    await until(lambda: worker.ended)


def test_a_stop_is_not_forgotten(engine: FakeEngine) -> None:
    """Whoever stops a model while it finds out that it is still wanted does not wait for ever."""
    worker = Worker("fake", engine.loaded, idle_seconds=0.01)
    found = threading.Event()

    class Users:
        def __eq__(self, other: object) -> bool:
            found.set()
            worker.stop()
            return False

        __hash__ = None  # type: ignore[assignment]

    worker.users = Users()  # type: ignore[assignment]
    assert found.wait(20)
    worker.join(20)
    assert worker.ended


async def test_a_model_that_failed_takes_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    """What was loaded of it, or was at work when it broke down, is not kept alive by the error that tells of it."""

    class Weights:
        pass

    alive: list[weakref.ref[Weights]] = []

    def fail(error: type[Exception]) -> Any:
        weights = Weights()
        alive.append(weakref.ref(weights))
        try:
            1 // 0  # noqa: B018
        except ZeroDivisionError as cause:
            raise error("no memory") from cause

    engine = FakeEngine(before_step=lambda _: fail(ValueError))
    crashing = Worker("fake", engine.loaded)
    with pytest.raises(EngineCrashedError):
        await everything(crashing.ask(Counting(generation())))
    for error in (OutOfMemoryError, OSError):
        failing = Worker("fake", partial(fail, error))
        with pytest.raises(EngineError):
            await failing.do(lambda loaded: loaded)
        failing.join(20)
    crashing.join(20)
    caplog.clear()
    gc.collect()
    assert [weights() for weights in alive] == [None] * 3


async def test_orders_after_the_end_are_carried_out_one_at_a_time(worker: Worker) -> None:
    """Whoever comes too late, from whichever thread, does not come between others."""
    worker.stop()
    await anyio.to_thread.run_sync(worker.join)
    inside: list[int] = []
    most: list[int] = []

    def order() -> None:
        inside.append(1)
        time.sleep(0.001)
        most.append(len(inside))
        inside.pop()

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(anyio.to_thread.run_sync, worker.order, order)
    assert most == [1] * 5


async def test_silence_has_its_limit(engine: FakeEngine) -> None:
    """A model that writes nothing for longer than `timeout` ends the call, and its place is free."""
    worker = Worker("fake", engine.loaded)
    asked = generation(10)
    engine.held.add(asked.id)
    reply = worker.ask(Counting(asked), Timeout(read=0.01))
    with pytest.raises(TimedOutError, match=r"written nothing for 0\.01 s"):
        await reply.next_batch()
    await until(lambda: asked.id in engine.cancelled)
    worker.stop()


async def test_silence_in_the_midst_has_a_limit_of_its_own(engine: FakeEngine) -> None:
    """`read` bounds the wait for the first word, `idle` that for each further one."""
    worker = Worker("fake", engine.loaded)
    engine.before_step = lambda engine: engine.held.update(engine.written)
    reply = worker.ask(Counting(generation(10)), Timeout(read=20, idle=0.01))
    assert await reply.next_batch() == [1]
    with pytest.raises(TimedOutError, match=r"written nothing for 0\.01 s"):
        await reply.next_batch()
    worker.stop()


async def test_an_answer_that_is_whole_is_not_left(worker: Worker, engine: FakeEngine) -> None:
    """The thread is not woken for what it has forgotten already."""
    reply = worker.ask(Counting(generation()))
    await everything(reply)
    orders: list[Any] = []
    worker.order = orders.append  # type: ignore[method-assign]
    await reply.aclose()
    assert orders == []
    del worker.order


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_loop_that_is_over_is_written_for_no_more(worker: Worker, engine: FakeEngine) -> None:
    """Calls of an event loop that ended without leaving them are dropped."""
    asked = generation(10**9)

    async def begin() -> None:
        worker.ask(Counting(asked))

    await anyio.to_thread.run_sync(lambda: anyio.run(begin))
    await until(lambda: asked.id in engine.cancelled)
    assert not engine.open


async def test_cancelling_a_reader_leaves_the_reply(worker: Worker, engine: FakeEngine) -> None:
    """A reader that is cancelled while it waits has lost nothing that arrives later."""
    asked = generation(10)
    engine.held.add(asked.id)
    reply = worker.ask(Counting(asked))
    with anyio.move_on_after(0.01):
        await reply.next_batch()
    worker.order(engine.held.clear)
    assert await everything(reply) == [*range(1, 11), "bye"]


async def test_a_thread_holds_nothing_of_a_call_that_is_over(worker: Worker) -> None:
    """Scribes and replies are free once they are done."""

    class Marked(Counting):
        alive = 0

        def __init__(self, *generations: Generation) -> None:
            super().__init__(*generations)
            type(self).alive += 1

        def __del__(self) -> None:
            type(self).alive -= 1

    for _ in range(5):
        await everything(worker.ask(Marked(generation(3))))
    await worker.do(lambda _: None)
    await anyio.sleep(0.01)
    gc.collect()
    assert Marked.alive == 0
