"""Calls that are given up, loops and clients that go away, and the interpreter's end: nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hfclient import Client, LocalOptions
from hfclient.call import Call
from hfclient.local import LOCAL, shelf
from hfclient.local.engine import Generation
from hfclient.local.options import Surroundings
from hfclient.local.side import LocalSide
from hfclient.local.worker import Worker
from tests.cancelling import CancelAt
from tests.local.fake_engine import Counting, FakeEngine
from tests.local.test_shelf import House, claim, house, shelf_of
from tests.local.test_worker import NUMBERS, everything, until

assert house  # a fixture

QUESTION = "What is hfclient?"


class Handler:
    """Calls that the fake engine can serve."""

    def read(self, call: Call) -> Any:
        return call

    def scribe(self, speaker: Any, asked: Any) -> Counting:
        return Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=2000 if asked.inputs == "long" else 5))

    def assembly(self) -> Any:
        found: list[Any] = []
        return SimpleNamespace(add=found.append, result=lambda: found)


WAYS = ("run", "stream", "begun")


async def asked(side: LocalSide, way: str) -> None:
    call = Call(task="conversational", inputs="long" if way == "begun" else "x")
    route: Any = SimpleNamespace(model_id="b", key=None)
    trip: Any = SimpleNamespace(tell=lambda _: None, may_move_on=way == "begun")
    if way == "run":
        await side.run(call, route, trip)
        return
    reply = await side.stream(call, route, trip)
    try:
        await reply.next_batch()
    finally:
        await reply.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_is_cancelled_anywhere_holds_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Wherever it waits, for files, for room, for its model, for its turn or for words: no claim and no text is left,
    and the next call is served."""
    monkeypatch.setattr("hfclient.local.side.HANDLERS", {"conversational": Handler()})
    for nth in range(1, 50):
        side = LocalSide(Surroundings(LocalOptions(memory_budget=150), "https://huggingface.co"))
        await claim(side._shelf, "a")  # it has to make room
        with anyio.CancelScope() as scope:
            cancelling = CancelAt(asked(side, way), scope, nth)
            await cancelling
        slots = side._shelf._slots
        await until(lambda: not any(slot.worker.busy for slot in slots.values()))  # noqa: B023  at once
        assert [slot.worker.users for slot in slots.values()] in ([], [0])
        for engine in (each for engines in house.engines.values() for each in engines):
            assert not engine.open
        with anyio.fail_after(10):
            await asked(side, "run")
        assert [(model.name, model.size) for model in side.loaded()] == [("b", 100)]
        await side.aclose()
        if cancelling.waits < nth:
            break
    assert nth > 4
    assert house.alive == []


@pytest.mark.anyio
async def test_a_call_that_comes_while_its_model_is_loaded_waits_for_it(house: House) -> None:
    """Whoever asks in the middle of loading, even after the first to ask has given up, gets the one that is loaded."""
    gate = threading.Event()
    loading = shelf._load_with

    def slowly(*args: Any) -> Any:
        gate.wait(20)
        return loading(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "_load_with", slowly)
        mine = shelf_of(LocalOptions(memory_budget=150))
        async with anyio.create_task_group() as group:
            group.start_soon(claim, mine, "a")
            await until(lambda: "a" in mine._slots)
            group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            group.start_soon(claim, mine, "a")
            await anyio.lowlevel.checkpoint()
            group.start_soon(claim, mine, "a")
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            gate.set()
        slot = await claim(mine, "a")
    assert slot.speaker.name == "a"
    assert (len(house.engines["a"]), slot.worker.users) == (1, 0)
    await mine.unload()


@pytest.mark.anyio
async def test_two_threads_load_one_model(house: House) -> None:
    """Two event loops that ask for a model at once get the same one; neither unloads it under the other."""
    mine = shelf_of(LocalOptions())
    barrier = threading.Barrier(2)

    async def ask() -> Any:
        slot = await mine.claim("a", None, None)
        try:
            return await everything(slot.worker.ask(Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=50))))
        finally:
            slot.worker.release()

    def other() -> Any:
        barrier.wait(20)
        return asyncio.run(ask())

    answers: list[Any] = []
    async with anyio.create_task_group() as group:
        for _ in range(2):

            async def one() -> None:
                answers.append(await anyio.to_thread.run_sync(other))

            group.start_soon(one)
    assert answers == [[*range(1, 51), "bye"]] * 2
    assert len([engine for engine in house.engines["a"] if not engine.closed]) == 1
    await mine.unload()


@pytest.mark.anyio
async def test_a_slow_reader_keeps_its_model(house: House) -> None:
    """A model that waits for a reader who is behind is not idle: it is not unloaded under the stream."""
    mine = shelf_of(LocalOptions(idle_unload=0.01))
    slot = await mine.claim("a", None, None)
    reply = slot.worker.ask(Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=5000)))
    engine = house.engines["a"][0]
    slot.worker.order(lambda: slot.worker.hold(reply.ids))
    slot.worker.release()
    await until(lambda: bool(engine.held))
    slot.worker.join(0.1)
    assert not slot.worker.ended
    slot.worker.order(lambda: slot.worker.resume(reply.ids))
    assert (await everything(reply))[-1] == "bye"
    await mine.unload()


def test_the_collector_may_stop_a_worker_anywhere() -> None:
    """A client that is collected while its worker's lock is held by the same thread stops the worker all the same."""
    engine = FakeEngine()
    worker = Worker("fake", engine.loaded)

    def stopped() -> None:
        with worker._lock:
            worker.stop()

    thread = threading.Thread(target=stopped, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    worker.join(10)
    assert engine.closed


@pytest.mark.parametrize("engine", ["torch", "mlx"])
def test_one_loop_after_another_and_two_at_once(engine: Any) -> None:
    """A client serves whichever loop asks; a loop that ends in the middle of a stream frees its place."""
    clients = [Client(provider="local", local=LocalOptions(engine=engine))]
    said: list[str] = []

    async def ask() -> None:
        said.append((await clients[0].chat(QUESTION, max_tokens=20)).text)

    async def left() -> Any:
        reader = aiter(clients[0].chat.stream(QUESTION, max_tokens=3000, temperature=2.0))
        await anext(reader)
        return reader

    asyncio.run(ask())
    held = asyncio.run(left())
    side: Any = clients[0]._shared.sides.of(LOCAL)
    worker = side._shelf._slots["tiny"].worker
    worker_idle = threading.Event()
    for _ in range(200):
        if not worker.busy:
            break
        worker_idle.wait(0.05)
    assert not worker.busy
    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    anyio.run(ask, backend="trio")
    assert said == [said[0]] * 4
    del held, side
    clients.clear()
    gc.collect()
    worker.join(20)
    assert worker.ended  # nobody closed the client, and its thread has ended


EXIT = """
import asyncio, sys
from hfclient import Client, LocalOptions
async def main():
    client = Client(provider="local", local=LocalOptions(engine=sys.argv[1]))
    stream = client.chat.stream("hi", max_tokens=3000, temperature=2.0)
    reader = aiter(stream)
    await anext(reader)
    globals().update(client=client, reader=reader)
    print("under way")
asyncio.run(main())
"""


@pytest.mark.parametrize("engine", ["torch", "mlx"])
def test_the_interpreter_ends_in_the_middle_of_a_stream(engine: str) -> None:
    """A program that ends while a model writes ends well: with 0, at once, and without a word on standard error."""
    done = subprocess.run([sys.executable, "-c", EXIT, engine], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["under", "way"], "")
