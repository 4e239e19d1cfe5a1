"""The models that are loaded: found once, loaded once, unloaded when the memory is wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hfclient import Progress
from hfclient.errors import EngineError, InputError, ModelFilesError, OutOfMemoryError
from hfclient.local import memory, models, shelf
from hfclient.local.engine import Generation, Loaded
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions, Surroundings
from hfclient.local.shelf import Shelf, engine_for
from tests.local.fake_engine import Counting, FakeEngine
from tests.local.test_worker import NUMBERS, everything, until

pytestmark = pytest.mark.anyio


@dataclass
class House:
    """Where models come from in these tests: names found, and engines loaded, in order."""

    found: list[str] = field(default_factory=list)
    loading: list[str] = field(default_factory=list)
    engines: dict[str, list[FakeEngine]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    given_up: list[bool] = field(default_factory=list)
    weighing: threading.Event = field(default_factory=threading.Event)  # what is loaded waits for it

    def find(self, name: str, options: LocalOptions, **asked: Any) -> ModelFiles:
        self.found.append(name)
        asked["tell"](Progress("downloading", fraction=0.5))
        self.gate.wait(20)
        self.given_up.append(asked["cancelled"]())
        if name == "missing":
            raise ModelFilesError("missing is not here")
        return ModelFiles(name=name, folder=Path("x"))

    def load(self, kind: str, files: ModelFiles, options: LocalOptions) -> Loaded:
        self.loading.append(files.name)
        self.weighing.wait(20)
        if self.failures:
            raise self.failures.pop()
        engine = FakeEngine()
        self.engines.setdefault(files.name, []).append(engine)
        return engine.loaded()

    @property
    def alive(self) -> list[str]:
        return [name for name, engines in self.engines.items() for each in engines if not each.closed]


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = House()
    made.gate.set()
    made.weighing.set()
    monkeypatch.setattr(models, "find", made.find)
    monkeypatch.setattr(memory, "memory_of", lambda files, options, kind: made.sizes.get(files.name, 100))
    monkeypatch.setattr(shelf, "_load_with", made.load)
    yield made
    made.gate.set()
    made.weighing.set()


def shelf_of(options: LocalOptions) -> Shelf:
    return Shelf(Surroundings(options, "https://huggingface.co"))


async def claim(shelf: Shelf, name: str, **more: Any) -> Any:
    slot = await shelf.claim(name, None, None, **more)
    slot.worker.release()
    return slot


async def test_a_model_is_loaded_once(house: House) -> None:
    """Ten calls at once load a model once, and later calls find it loaded."""
    shelf = shelf_of(LocalOptions())
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(claim, shelf, "a")
    await claim(shelf, "a")
    assert (house.found, len(house.engines["a"])) == (["a"], 1)
    (told,) = shelf.loaded()
    assert (told.name, told.engine, told.device, told.size, told.busy) == ("a", "torch", "cpu", 100, False)
    await shelf.unload()
    assert (shelf.loaded(), house.alive) == ((), [])


async def test_who_comes_while_a_model_is_loading_waits_for_it(house: House) -> None:
    """Nobody is given a model that cannot be spoken to yet, and nobody loads it a second time."""
    shelf = shelf_of(LocalOptions())
    house.weighing.clear()
    spoken_to: list[bool] = []

    async def ask(**more: Any) -> None:
        slot = await claim(shelf, "a", **more)
        spoken_to.append(slot.made is not None)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(lambda: house.loading == ["a"])
        group.start_soon(ask)
        group.start_soon(partial(ask, options=LocalOptions()))
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(lambda: None)
        house.weighing.set()
    assert (spoken_to, house.loading) == ([True] * 3, ["a"])
    await shelf.unload()


async def test_two_event_loops_load_a_model_once(house: House) -> None:
    """Each loop has flights of its own; the model is one all the same."""
    shelf = shelf_of(LocalOptions())
    house.weighing.clear()
    names: list[str] = []

    async def ask() -> None:
        names.append((await claim(shelf, "a")).name)

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, anyio.run, ask)
        await until(lambda: house.loading == ["a"])
        group.start_soon(ask)
        await until(lambda: len(house.found) == 2)
        await anyio.wait_all_tasks_blocked()
        house.weighing.set()
    assert (names, house.loading) == (["a", "a"], ["a"])
    await shelf.unload()


async def test_a_model_that_is_loading_is_not_unloaded(house: House) -> None:
    """Whoever waits for it gets it: another model does not take its place meanwhile."""
    shelf = shelf_of(LocalOptions(memory_budget=150))
    house.weighing.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(claim, shelf, "a")
        await until(lambda: house.loading == ["a"])
        with pytest.raises(OutOfMemoryError, match="beside a, in use"):
            await claim(shelf, "b")
        house.weighing.set()
    assert house.alive == ["a"]
    await shelf.unload()


async def test_loading_is_not_tried_again_for_nothing(house: House) -> None:
    """Where nobody could make room there is no second try, and what failed leaves nothing on the shelf."""
    shelf = shelf_of(LocalOptions())
    house.failures = [OutOfMemoryError("full"), OutOfMemoryError("full")]
    with pytest.raises(OutOfMemoryError, match="full"):
        await claim(shelf, "a")
    assert (house.loading, shelf._slots) == (["a"], {})


async def test_giving_up_while_a_model_is_loading_leaves_it_to_the_next(house: House) -> None:
    """A call that is cancelled meanwhile holds no claim on the model, and the next one does not load it anew."""
    shelf = shelf_of(LocalOptions())
    house.weighing.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(claim, shelf, "a")
        await until(lambda: house.loading == ["a"])
        group.cancel_scope.cancel()
    house.weighing.set()
    slot = await claim(shelf, "a")
    assert (house.loading, slot.worker.users) == (["a"], 0)
    await shelf.unload()


async def test_a_call_given_up_while_its_model_loads_leaves_it_to_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call waits for what is loading already, and so does one that came meanwhile; it is loaded once."""
    begun, gate = threading.Event(), threading.Event()

    def load(*what: Any) -> Loaded:
        begun.set()
        gate.wait(20)
        return house.load(*what)

    monkeypatch.setattr(shelf, "_load_with", load)
    own = shelf_of(LocalOptions())
    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as given_up:
            given_up.start_soon(claim, own, "a")
            await until(begun.is_set)
            given_up.cancel_scope.cancel()
        assert own.loaded() == ()
        group.start_soon(claim, own, "a")
        await anyio.wait_all_tasks_blocked()
        gate.set()
        slot = await claim(own, "a")
        assert (slot.speaker.name, slot.worker.users <= 1) == ("a", True)
    assert ([model.name for model in own.loaded()], len(house.engines["a"])) == (["a"], 1)
    await own.unload()


async def test_the_least_recently_used_makes_room(house: House) -> None:
    """Within the budget models stay side by side; beyond it the one goes that was longest not asked."""
    shelf = shelf_of(LocalOptions(memory_budget=250))
    for name in ("a", "b", "a", "c"):
        await claim(shelf, name)
    assert [model.name for model in shelf.loaded()] == ["c", "a"]
    assert house.alive == ["a", "c"]
    await shelf.unload()


async def test_a_model_in_use_is_not_unloaded(house: House) -> None:
    """Where only busy models could make room, the call is told so; the busy one goes on."""
    shelf = shelf_of(LocalOptions(memory_budget=150))
    slot = await claim(shelf, "a")
    reply = slot.worker.ask(Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=10**9)))
    await reply.next_batch()
    assert shelf.loaded()[0].busy
    with pytest.raises(OutOfMemoryError, match=r"b needs about 0\.0 MiB, beside a, in use, and the budget is 0\.0 MiB"):
        await claim(shelf, "b")
    await reply.aclose()
    await until(lambda: not slot.worker.busy)
    await claim(shelf, "b")
    assert house.alive == ["b"]
    await shelf.unload()


async def test_a_model_larger_than_the_budget_unloads_nobody(house: House) -> None:
    """What can never fit is refused before anything is sacrificed for it."""
    shelf = shelf_of(LocalOptions(memory_budget=3 * 2**30))
    await claim(shelf, "a")
    house.sizes["huge"] = 5 * 2**30
    with pytest.raises(OutOfMemoryError, match=r"huge needs about 5\.0 GiB and the budget is 3\.0 GiB"):
        await claim(shelf, "huge")
    assert house.alive == ["a"]
    await shelf.unload()


async def test_memory_that_is_short_at_loading(house: House) -> None:
    """Where the device has no room although the budget has, the others are unloaded and loading is tried once more."""
    shelf = shelf_of(LocalOptions())
    await claim(shelf, "a")
    house.failures = [OutOfMemoryError("full")]
    await claim(shelf, "b")
    assert house.alive == ["b"]
    house.failures = [OutOfMemoryError("still full"), OutOfMemoryError("full")]
    with pytest.raises(OutOfMemoryError, match="still full"):
        await claim(shelf, "c")
    assert house.alive == []
    await claim(shelf, "c")
    await shelf.unload()


async def test_other_options_load_it_anew(house: House) -> None:
    """A model stays as it was loaded until somebody wants it loaded otherwise."""
    shelf = shelf_of(LocalOptions())
    await claim(shelf, "a", options=LocalOptions(dtype="float32"))
    await claim(shelf, "a")
    assert len(house.engines["a"]) == 1
    await claim(shelf, "a", options=LocalOptions(dtype="float16"))
    assert [engine.closed for engine in house.engines["a"]] == [True, False]
    await shelf.unload()


async def test_a_model_that_is_gone_takes_no_room(house: House) -> None:
    """One that crashed, or was idle for too long, is not counted, nor waited for."""
    shelf = shelf_of(LocalOptions(memory_budget=150))
    slot = await claim(shelf, "a")
    slot.worker.stop()
    await anyio.to_thread.run_sync(slot.worker.join)
    await claim(shelf, "b")
    assert (house.alive, [model.name for model in shelf.loaded()]) == (["b"], ["b"])
    await shelf.unload()


async def test_a_crashed_model_is_loaded_again(house: House) -> None:
    """The call after a crash finds a model that works."""
    shelf = shelf_of(LocalOptions())
    slot = await claim(shelf, "a")

    def crash(_: FakeEngine) -> None:
        raise RuntimeError("gone")

    house.engines["a"][0].before_step = crash
    with pytest.raises(EngineError, match="gone"):
        await everything(slot.worker.ask(Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=3))))
    await until(lambda: slot.worker.ended)
    assert shelf.loaded() == ()
    again = await claim(shelf, "a")
    assert await everything(again.worker.ask(Counting(Generation(id=next(NUMBERS), tokens=[0], max_tokens=1)))) == [
        1,
        "bye",
    ]
    await shelf.unload()


async def test_an_idle_model_goes_and_comes_back(house: House) -> None:
    """`idle_unload` frees a model, and the next call loads it again."""
    shelf = shelf_of(LocalOptions(idle_unload=0.01))
    await claim(shelf, "a")
    await until(lambda: house.alive == [])
    assert shelf.loaded() == ()
    await claim(shelf, "a")
    assert len(house.engines["a"]) == 2
    await shelf.unload()


async def test_a_failure_is_shared_and_forgotten(house: House) -> None:
    """Everybody who waited for a model that is not there is told; asking again looks again."""
    shelf = shelf_of(LocalOptions())
    errors: list[str] = []

    async def ask() -> None:
        with pytest.raises(ModelFilesError) as caught:
            await claim(shelf, "missing")
        errors.append(caught.value.message)

    house.gate.clear()
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await until(lambda: bool(house.found))
        house.gate.set()
    assert (errors, house.found) == (["missing is not here"] * 3, ["missing"])
    await ask()
    assert house.found == ["missing"] * 2


async def test_giving_up_stops_the_search(house: House) -> None:
    """A call that is cancelled while its model is downloaded returns at once, and the download is told."""
    shelf = shelf_of(LocalOptions())
    house.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(claim, shelf, "a")
        await until(lambda: house.found == ["a"])
        group.cancel_scope.cancel()
    house.gate.set()
    await until(lambda: house.given_up == [True])
    assert house.engines == {}


async def test_progress_is_told_in_the_callers_loop(house: House) -> None:
    """What a download reports from its thread reaches the caller in the event loop."""
    told: list[tuple[Progress, str]] = []
    shelf = shelf_of(LocalOptions())
    slot = await shelf.claim("a", None, lambda progress: told.append((progress, threading.current_thread().name)))
    slot.worker.release()
    here = threading.current_thread().name
    assert told == [(Progress("downloading", fraction=0.5), here), (Progress("loading"), here)]
    await shelf.unload()


@pytest.mark.parametrize(
    ("system", "machine", "installed", "kind"),
    [
        ("darwin", "arm64", True, "mlx"),
        ("darwin", "arm64", False, "torch"),
        ("darwin", "x86_64", True, "torch"),
        ("linux", "aarch64", True, "torch"),
    ],
)
def test_the_engine_is_chosen_by_the_machine(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, installed: bool, kind: str
) -> None:
    """MLX on Apple silicon where it is installed, else torch; whoever names one gets it."""
    monkeypatch.setattr(shelf.sys, "platform", system)
    monkeypatch.setattr(shelf.platform, "machine", lambda: machine)
    monkeypatch.setattr(shelf.importlib.util, "find_spec", lambda name: object() if installed else None)
    assert engine_for(LocalOptions()) == kind
    assert engine_for(LocalOptions(engine="mlx")) == "mlx"
    assert engine_for(LocalOptions(engine="torch")) == "torch"


def test_options_are_checked_when_they_are_made() -> None:
    """A wrong option is named with what it takes."""
    for wrong, said in (
        ({"engine": "jax"}, "engine='jax' is not one of 'auto', 'torch', 'mlx'"),
        ({"quantization": "2bit"}, "quantization='2bit'"),
        ({"max_sequences": 0}, "max_sequences=0 is not a whole number from 1 up"),
        ({"prefix_cache_bytes": -1}, "prefix_cache_bytes=-1"),
        ({"idle_unload": 0}, "idle_unload=0 is not a number of seconds"),
        ({"trust_remote_code": "yes"}, "trust_remote_code='yes' is neither"),
        ({"aliases": {"a": 1}}, "is not a mapping of names"),
        ({"device": ""}, "device='' is not a text"),
        ({"memory_budget": 1.5}, "memory_budget=1.5"),
    ):
        with pytest.raises(InputError, match=said):
            LocalOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Did you mean 'max_sequences'"):
        LocalOptions().changed({"max_sequence": 4})
    assert LocalOptions().changed({"max_sequences": 4}).max_sequences == 4
