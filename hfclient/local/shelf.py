"""The models that are loaded: each in a thread of its own, all within one budget of memory."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from hfclient.background import call_soon
from hfclient.errors import EngineCrashedError, OutOfMemoryError
from hfclient.flow import Progress
from hfclient.local.engine import Loaded
from hfclient.local.files import ModelFiles
from hfclient.local.framework import import_gently
from hfclient.local.options import LocalOptions, Surroundings
from hfclient.local.worker import Worker
from hfclient.single_flight import SingleFlight

if TYPE_CHECKING:
    from hfclient.local.speaker import Speaker

EngineKind: TypeAlias = Literal["torch", "mlx"]
Tell: TypeAlias = Callable[[Progress], None]

# How much of the machine's memory weights may take where nothing is said.
SHARE = 0.75
TRIES = 3


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is loaded on this machine; `size` is the bytes its weights take, `busy` says that it is writing."""

    name: str
    engine: EngineKind
    device: str
    size: int
    context_length: int | None
    busy: bool


@dataclass(slots=True, eq=False)
class Slot:
    """A model's place on the shelf; whoever claims its worker releases it."""

    name: str
    engine: EngineKind
    options: LocalOptions
    worker: Worker
    needs: int
    used: int = 0
    made: Speaker | None = field(default=None, repr=False)
    loaded: LocalModel | None = None

    @property
    def speaker(self) -> Speaker:
        """What speaks to the model; there is one once it has been claimed."""
        return cast("Speaker", self.made)

    @property
    def gone(self) -> bool:
        return self.worker.ended

    @property
    def ready(self) -> bool:
        return self.made is not None and not self.gone

    def meet(self, loaded: Loaded) -> None:
        """Get to know the model; done in its thread, by the first of those who waited for it."""
        from hfclient.local.speaker import Speaker  # noqa: PLC0415  imports what only a first call needs

        if self.made is None:
            self.needs = max(self.needs, loaded.size)
            self.loaded = LocalModel(
                self.name, self.engine, loaded.device, loaded.size, loaded.context_length, busy=False
            )
            self.made = Speaker(self.name, loaded, self.options)

    def told(self) -> LocalModel:
        """What there is to know of it, as it stands."""
        return replace(cast("LocalModel", self.loaded), busy=self.worker.busy)


class Shelf:
    """Finds models, loads them when they are first wanted, and lets go of them again."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._options = surroundings.options
        self._surroundings = surroundings
        self._slots: dict[str, Slot] = {}
        self._lock = threading.Lock()
        self._uses = 0
        self._flights: SingleFlight[Slot] = SingleFlight()

    async def claim(self, name: str, token: str | None, tell: Tell | None, options: LocalOptions | None = None) -> Slot:
        """The model, loaded, its worker claimed. A model that is loaded already stays as it is, unless it is wanted
        with other options than it has."""
        for _ in range(TRIES):  # it may be unloaded between being found and being claimed
            slot = self._slots.get(name)
            if slot is None or not slot.ready or (options is not None and slot.options != options):
                slot = await self._flights.share((name, repr(options)), partial(self._load, name, options, token, tell))
            if slot.worker.claim():
                self._touch(slot)
                return slot
        raise EngineCrashedError(f"{name} is unloaded as soon as it is loaded.")

    async def unload(self, name: str | None = None) -> None:
        """Free a model, or all of them; calls under way end with an error."""
        with self._lock:
            names = [name] if name is not None else list(self._slots)
            slots = [self._slots.pop(each) for each in names if each in self._slots]
        await _stopped(slots)

    def loaded(self) -> tuple[LocalModel, ...]:
        """What is loaded, the most recently used first."""
        slots = sorted((slot for slot in self._slots.values() if not slot.gone), key=lambda slot: -slot.used)
        return tuple(slot.told() for slot in slots if slot.loaded)

    def stop(self) -> None:
        """End all threads; what cannot wait for them calls this."""
        for slot in list(self._slots.values()):
            slot.worker.stop()

    async def _load(self, name: str, wanted: LocalOptions | None, token: str | None, tell: Tell | None) -> Slot:
        options = wanted or self._options
        kind = engine_for(options)
        files = await self._found(name, kind, options, token, tell)
        from hfclient.local.memory import memory_of  # noqa: PLC0415  imports what only a first call needs

        # Who gives up does not wait for an import to end; it goes on for the next one.
        await anyio.to_thread.run_sync(import_gently, kind, abandon_on_cancel=True)
        needs = await anyio.to_thread.run_sync(memory_of, files, options, kind, abandon_on_cancel=True)
        await self._make_room(name, needs, options.memory_budget or usual_budget())
        if tell is not None:
            tell(Progress("loading"))

        def made() -> Slot:
            load = partial(_load_with, kind, files, options)
            return Slot(name, kind, options, Worker(name, load, idle_seconds=options.idle_unload), needs)

        try:
            return await self._placed(name, made, wanted)
        except OutOfMemoryError:
            if not await self._evict(lambda _: True):
                raise
        return await self._placed(name, made, wanted)

    async def _placed(self, name: str, make: Callable[[], Slot], wanted: LocalOptions | None) -> Slot:
        """The model on its place, and loaded. Another event loop, or who came with other words for the same options,
        may have begun to load it; it is claimed meanwhile, so that nobody unloads it to make room."""
        with self._lock:
            before = slot = self._slots.get(name)
            if slot is None or wanted not in (None, slot.options) or not slot.worker.claim():
                slot = self._slots[name] = make()
                slot.worker.claim()
        self._touch(slot)
        try:
            await _stopped([before] if before is not None and before is not slot else [])
            await slot.worker.do(slot.meet)
        except BaseException:
            if slot.gone:
                self._remove(slot)
            raise
        finally:
            slot.worker.release()
        return slot

    def _remove(self, slot: Slot) -> None:
        with self._lock:
            if self._slots.get(slot.name) is slot:
                del self._slots[slot.name]

    async def _found(
        self, name: str, kind: EngineKind, options: LocalOptions, token: str | None, tell: Tell | None
    ) -> ModelFiles:
        """The model's files, downloaded if need be; a call that is given up stops the download."""
        from hfclient.local.models import find  # noqa: PLC0415  imports what only a first call needs

        loop = current_token()
        given_up = threading.Event()

        def told(progress: Progress) -> None:
            if tell is not None:
                call_soon(loop, partial(tell, progress))

        look = partial(
            find,
            name,
            options,
            engine=kind,
            token=token,
            tell=told,
            cancelled=given_up.is_set,
            hub_url=self._surroundings.hub_url,
            offline=self._surroundings.offline,
        )

        try:
            return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
        finally:
            given_up.set()

    def _touch(self, slot: Slot) -> None:
        self._uses += 1
        slot.used = self._uses

    async def _make_room(self, name: str, needs: int, budget: int) -> None:
        def crowded(slots: Mapping[str, Slot]) -> bool:
            return needs + sum(slot.needs for slot in slots.values() if slot.name != name and not slot.gone) > budget

        if needs <= budget:
            await self._evict(crowded, sparing=name)
        if crowded(self._slots):
            others = [slot.name for slot in self._slots.values() if slot.name != name and not slot.gone]
            beside = f", beside {', '.join(others)}, in use," if others and needs <= budget else ""
            raise OutOfMemoryError(
                f"{name} needs about {_size(needs)}{beside} and the budget is {_size(budget)}.",
                advice="Use a smaller or quantized model, or raise LocalOptions(memory_budget=…).",
            )

    async def _evict(self, crowded: Callable[[Mapping[str, Slot]], bool], sparing: str | None = None) -> bool:
        """Unload models that are not in use, the least recently used first, for as long as it is crowded."""
        evicted: list[Slot] = []
        with self._lock:
            for slot in sorted(self._slots.values(), key=lambda slot: slot.used):
                if crowded(self._slots) and slot.name != sparing and not (slot.gone or slot.worker.busy):
                    evicted.append(self._slots.pop(slot.name))
        await _stopped(evicted)
        return bool(evicted)


def engine_for(options: LocalOptions) -> EngineKind:
    """MLX on Apple silicon where it is installed, else torch, unless one is named."""
    if options.engine != "auto":
        return options.engine
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mlx" if apple and importlib.util.find_spec("mlx_lm") else "torch"


def usual_budget() -> int:
    """A good part of this machine's memory; what cannot be found out is no limit."""
    try:
        return int(SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on Windows
        return sys.maxsize


def _load_with(kind: EngineKind, files: ModelFiles, options: LocalOptions) -> Loaded:
    if kind == "mlx":
        from hfclient.local.mlx_loading import load  # noqa: PLC0415  a framework is loaded with its first model
    else:
        from hfclient.local.torch_loading import load  # noqa: PLC0415
    return load(files, options)


async def _stopped(slots: list[Slot]) -> None:
    """End these, and wait until their memory is free."""
    for slot in slots:
        slot.worker.stop()
    with anyio.CancelScope(shield=True):
        for slot in slots:
            await anyio.to_thread.run_sync(slot.worker.join)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
