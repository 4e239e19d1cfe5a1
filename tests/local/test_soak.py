"""Five hundred requests at once and after one another, some of which fail, are left or break the engine."""

from __future__ import annotations

import gc
import logging
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from hfclient import Client, LocalOptions
from hfclient.errors import EngineError, HFClientError
from hfclient.local import LOCAL, constrain, prompt, shelf
from hfclient.local.engine import Generation
from hfclient.local.reply import Reply
from hfclient.local.sampling import Sampler
from tests.local.test_side import TOOL
from tests.local.test_worker import until

pytestmark = pytest.mark.anyio

QUESTIONS = ("What is hfclient?", "How do I stream?", "Count to five.", "How do I install it?", "Hello")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
BROKEN = 99  # a seed, a bound, a question that something breaks at
AT_ONCE = 40


class BrokenConstraint:
    """Lets anything come, once."""

    def allowed(self) -> Any:
        raise RuntimeError("a constraint that breaks")

    def accept(self, token: int) -> None: ...


class Scarce:
    """A model that now and then has no memory, and is its own self otherwise."""

    def __init__(self, model: Any, error: Exception, every: int) -> None:
        self.model, self.error, self.every, self.calls = model, error, every, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls % self.every == 0:
            raise type(self.error)(*self.error.args)
        return self.model(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@dataclass
class House:
    """Loads models that break now and then."""

    kind: str
    crash: bool = False
    loads: int = 0
    engine: Any = None

    def instrument(self, loaded: Any) -> Any:
        self.loads += 1
        engine = self.engine = loaded.engine
        step = engine.step

        def stepped() -> Any:
            if self.crash:
                self.crash = False
                raise ArithmeticError("a step that crashes")
            return step()

        engine.step = stepped
        if self.kind == "torch":
            import torch

            model = engine._runner._model
            model.forward = Scarce(model.forward, torch.OutOfMemoryError("CUDA out of memory"), every=97)
        else:
            model = engine._model = Scarce(engine._model, RuntimeError("[malloc] Unable to allocate"), every=97)
            engine._choosing._model = model
        return loaded

    def living(self) -> dict[str, int]:
        """What there is of all that a request makes, and of tensors."""
        self.engine = None
        gc.collect()
        kinds = [type(each) for each in gc.get_objects()]  # asking an object for its class can make it warn
        found = Counter(kind.__name__ for kind in kinds if kind in {Generation, Reply, Sampler})
        if self.kind == "torch":
            import torch

            found["tensors"] = sum(issubclass(kind, torch.Tensor) for kind in kinds)
        else:
            import mlx.core as mx

            found["bytes"] = mx.get_active_memory()
        return dict(found)


@pytest.fixture(params=["torch", "mlx"])
def house(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = House(request.param)
    load, choose = shelf._load_with, Sampler.choose
    held, rendered = constrain.constraint_for, prompt.prompt_for

    def broken_sampler(self: Any, *args: Any) -> Any:
        if self._sampling.seed == BROKEN:
            raise RuntimeError("a sampler that breaks")
        return choose(self, *args)

    def broken_constraint(asked: Any, grammars: Any) -> Any:
        return BrokenConstraint() if asked and BROKEN in asked.values() else held(asked, grammars)

    def broken_prompt(tokenizer: Any, template: Any, messages: Any, **more: Any) -> Any:
        if messages[-1]["content"] == str(BROKEN):
            raise RuntimeError("a tokenizer that breaks")
        return rendered(tokenizer, template, messages, **more)

    monkeypatch.setattr(shelf, "_load_with", lambda *args: made.instrument(load(*args)))
    monkeypatch.setattr(Sampler, "choose", broken_sampler)
    monkeypatch.setattr(constrain, "constraint_for", broken_constraint)
    monkeypatch.setattr(prompt, "prompt_for", broken_prompt)
    logging.getLogger("hfclient").setLevel(logging.CRITICAL)
    yield made
    made.engine = None


@dataclass
class Soak:
    """Asks in all ways there are, and keeps what came of each."""

    client: Client
    alone: dict[str, str]
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    async def ask(self, number: int) -> None:
        dice = random.Random(number)
        way = WAYS[number % len(WAYS)]
        question = dice.choice(QUESTIONS)
        try:
            with anyio.fail_after(60):
                self.outcomes[await getattr(self, f"_{way}")(dice, question)] += 1
        except HFClientError as error:
            self.outcomes[type(error).__name__] += 1

    def _same(self, question: str, text: str) -> str:
        if text != self.alone[question]:
            self.wrong.append((question, text))
        return "greedy"

    async def _whole(self, dice: random.Random, question: str) -> str:
        return self._same(question, (await self.client.chat(question, max_tokens=40)).text)

    async def _streamed(self, dice: random.Random, question: str) -> str:
        pieces = [chunk.text async for chunk in self.client.chat.stream(question, max_tokens=40)]
        return self._same(question, "".join(pieces))

    async def _drawn(self, dice: random.Random, question: str) -> str:
        await self.client.chat(
            question, temperature=1.3, seed=dice.randrange(9), n=dice.choice((1, 1, 3)), max_tokens=25
        )
        return "drawn"

    async def _text(self, dice: random.Random, question: str) -> str:
        prompt = "word " * dice.randrange(1, 200)
        await self.client.text_generation(prompt, max_new_tokens=dice.randrange(1, 40), stop=["zz"], details=True)
        return "text"

    async def _held(self, dice: random.Random, question: str) -> str:
        await self.client.chat(question, response_format={"type": "json", "value": SCHEMA}, max_tokens=30)
        return "held"

    async def _called(self, dice: random.Random, question: str) -> str:
        choice = dice.choice(("auto", "required"))
        await self.client.chat(question, tools=[TOOL], tool_choice=choice, max_tokens=30, logprobs=True)
        return "called"

    async def _left(self, dice: random.Random, question: str) -> str:
        async with self.client.chat.stream(question, max_tokens=2000, temperature=2.0) as stream:
            async for _ in stream:
                break
        return "left"

    async def _dropped(self, dice: random.Random, question: str) -> str:
        async for _ in self.client.chat.stream(question, max_tokens=2000, temperature=2.0):
            break
        return "dropped"

    async def _cancelled(self, dice: random.Random, question: str) -> str:
        with anyio.move_on_after(dice.random() * 0.05):
            await self.client.text_generation("a", max_new_tokens=2000, temperature=2.0)
        return "cancelled"

    async def _late(self, dice: random.Random, question: str) -> str:
        await self.client.chat(question, max_tokens=2000, temperature=2.0, deadline=0.001 + dice.random() * 0.05)
        return "in time"

    async def _faulty(self, dice: random.Random, question: str) -> str:
        broken: list[Any] = [
            (question, {"seed": BROKEN, "temperature": 1.0}),
            (question, {"response_format": {"type": BROKEN}}),
            (str(BROKEN), {}),
        ]
        text, options = dice.choice(broken)
        try:
            await self.client.chat(text, max_tokens=9, **options)
        except EngineError:
            return "faulty"
        raise AssertionError("a fault that nobody was told of")


WAYS = ("whole", "streamed", "drawn", "text", "held", "called", "left", "dropped", "cancelled", "late", "faulty")


async def soaked(house: House, client: Client, count: int) -> None:
    alone = {each: (await client.chat(each, max_tokens=40)).text for each in QUESTIONS}
    soak = Soak(client, alone)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            if number in {count // 4, 3 * count // 4}:
                house.crash = True
            await soak.ask(number)

    found: list[dict[str, int]] = []
    threads = threading.active_count()
    for half in (count // 2, count):
        numbers = iter(range(half - count // 2, half))
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(work)
        gc.collect()
        (slot,) = (side_of(client)._shelf)._slots.values()
        worker: Any = slot.worker
        await until(lambda: not worker.busy)  # noqa: B023  at once
        engine = house.engine
        store = engine._prefixes if house.kind == "torch" else engine._prefixes._store
        assert 0 < store.size <= store.budget
        assert store.size == sum(prefix.size for prefix in store._prefixes)
        assert engine.idle
        assert not (engine._texts if house.kind == "torch" else engine._rows)
        assert (worker._asked, worker._news) == ({}, {})
        assert (worker.users, worker._orders.qsize()) == (0, 0)
        await worker.do(lambda loaded: loaded.engine.shed())
        house.engine = engine = store = worker = slot = None
        found.append(house.living())
        await client.chat("Hello", max_tokens=1)
    assert soak.outcomes.total() == count
    assert soak.wrong == []
    assert {"greedy", "drawn", "text", "held", "called", "left", "dropped", "cancelled", "faulty"} <= set(soak.outcomes)
    assert soak.outcomes["EngineCrashedError"] > 0
    assert house.loads == 3
    assert found[1].pop("bytes", 0) <= found[0].pop("bytes", 0) + 2**13  # MLX keeps constants, as they are needed
    assert found[1] == found[0]
    assert not any(found[1].get(name) for name in ("Generation", "Reply", "Sampler"))
    assert threading.active_count() <= threads + 1


def side_of(client: Client) -> Any:
    return client._shared.sides.of(LOCAL)


@pytest.mark.parametrize("count", [500])
async def test_five_hundred_requests(house: House, count: int, anyio_backend_name: str) -> None:
    """Each is answered, by a result or by an error of ours; who was not disturbed gets what they get alone; afterwards
    the model is idle, nothing is held, and there is no more in memory than there was half way."""
    count = count if anyio_backend_name == "asyncio" else 132
    async with Client(provider="local", local=LocalOptions(engine=house.kind, prefix_cache_bytes=2**21)) as client:  # type: ignore[arg-type]
        await soaked(house, client, count)
    assert not [thread for thread in threading.enumerate() if thread.name == "hfclient tiny"]
