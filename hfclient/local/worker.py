"""The one thread that runs a model: it takes orders between two steps, and hands out what the steps bring.

What a step wrote goes to the event loops of those who asked in one hop for each loop, however many they are. Nothing is
written for a reader that is far behind until it has caught up; one that has gone is forgotten before the next step.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from hfclient.background import call_soon
from hfclient.call import DEFAULT_TIMEOUT, Timeout
from hfclient.errors import EngineCrashedError, EngineError, HFClientError
from hfclient.local.engine import Engine, Generation, Loaded, Written
from hfclient.local.reply import Reply
from hfclient.single_flight import again

T = TypeVar("T")
ChunkT = TypeVar("ChunkT")

# How long the interpreter's end waits for a step, or for a model that is being loaded.
PATIENCE = 20

logger = logging.getLogger("hfclient")


class Scribe(Protocol[ChunkT]):
    """Makes one call's answer of the tokens that are written for it, in the worker's thread."""

    @property
    def generations(self) -> Sequence[Generation]: ...

    def write(self, written: Written) -> tuple[list[ChunkT], bool]:
        """What becomes known by a token, and whether its generation is over with it, be it by a stop string."""
        ...

    def farewell(self) -> list[ChunkT]:
        """What is said once all generations are over."""
        ...


@dataclass(slots=True, eq=False)
class _Asked:
    """A call, as the thread keeps it: which of its generations are not over, and what is to be told of it."""

    reply: Reply[Any]
    scribe: Scribe[Any]
    open: set[int]
    chunks: list[Any] = field(default_factory=list[Any])
    error: HFClientError | None = None


News = tuple[Reply[Any], list[Any], HFClientError | None, bool]


class Worker:
    """A thread and the model that lives in it: loaded there, stepped there, freed when the thread ends.

    It ends when it is stopped, when loading fails, when a step breaks down, and, where `idle_seconds` are given, when
    nobody has asked for so long.
    """

    def __init__(self, name: str, load: Callable[[], Loaded], *, idle_seconds: float | None = None) -> None:
        self.ended = False
        self.users = 0
        self._name = name
        self._idle_seconds = idle_seconds
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Taken again where the garbage collector drops a client, and so stops its models, while it is held.
        self._lock = threading.RLock()
        self._asked: dict[int, _Asked] = {}
        self._news: dict[int, _Asked] = {}
        self._stopping = False
        self._loaded: Loaded | None = None
        self._failure: HFClientError = EngineError(f"{name} was unloaded before its answer was whole.")
        self._thread = threading.Thread(target=self._run, args=(load,), name=f"hfclient {name}", daemon=True)
        _workers.add(self)
        self._thread.start()

    # Called from anywhere.

    def claim(self) -> bool:
        """Count one more user; False where the thread has ended, or is about to."""
        with self._lock:
            if self.ended or self._stopping:
                return False
            self.users += 1
            return True

    def release(self) -> None:
        with self._lock:
            self.users -= 1

    @property
    def busy(self) -> bool:
        """Whether somebody wants it just now."""
        return bool(self.users or self._asked)

    def order(self, order: Callable[[], None]) -> None:
        """Have this done in the thread before the next step; after its end it is done at once, one at a time."""
        with self._lock:
            if self.ended:
                order()
            else:
                self._orders.put(order)

    async def do(self, work: Callable[[Loaded], T]) -> T:
        """What the work gives, done in the thread between two steps."""
        loop, done = current_token(), anyio.Event()
        values: list[T] = []
        errors: list[HFClientError] = []

        def job() -> None:
            try:
                values.append(work(self._ready()))
            except BaseException as error:  # it is raised where it was asked for
                errors.append(_as_ours(error))
                if not isinstance(error, Exception):
                    raise
            finally:
                call_soon(loop, done.set)

        self.order(job)
        await done.wait()
        for error in errors:
            raise error
        return values[0]

    def ask(self, scribe: Scribe[ChunkT], timeout: Timeout = DEFAULT_TIMEOUT) -> Reply[ChunkT]:
        """Begin the scribe's generations; what is written comes with the reply."""
        ids = frozenset(each.id for each in scribe.generations)
        reply: Reply[ChunkT] = Reply(self, ids, timeout)
        self.order(partial(self._begin, _Asked(reply, scribe, set(ids))))
        return reply

    def stop(self) -> None:
        """End the thread before its next step; calls under way fail."""
        with self._lock:
            self._stopping = True
        self.order(lambda: None)

    def join(self, seconds: float | None = None) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    # Called in the thread.

    def hold(self, ids: frozenset[int]) -> None:
        for each in ids & self._asked.keys():
            self._engine.hold(each)

    def resume(self, ids: frozenset[int]) -> None:
        for each in ids & self._asked.keys():
            self._engine.resume(each)

    def drop(self, ids: frozenset[int]) -> None:
        for each in ids & self._asked.keys():
            del self._asked[each]
            if self._loaded is not None:
                self._engine.cancel(each)

    @property
    def _engine(self) -> Engine:
        return self._ready().engine

    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise again(self._failure)
        return self._loaded

    def _begin(self, asked: _Asked) -> None:
        try:
            for generation in asked.scribe.generations:
                self._asked[generation.id] = asked
                self._engine.add(generation)
        except BaseException as error:  # it ends this call, not the thread
            self._fail(asked, error)
            self._send()
            if not isinstance(error, Exception):
                raise

    def _run(self, load: Callable[[], Loaded]) -> None:
        try:
            self._loaded = load()
            while self._obey():
                for written in self._engine.step():
                    self._hear(written)
                self._send()
        except BaseException as error:  # those who wait are told
            self._failure = self._broken_down(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._end()

    def _obey(self) -> bool:
        """Do what was ordered, wait for orders where there is nothing else to do; False when it is time to end."""
        while not self._stopping:
            if self._engine.idle:
                try:
                    self._orders.get(timeout=self._idle_seconds)()
                except queue.Empty:
                    if self._unwanted():
                        return False
            with suppress(queue.Empty):
                while True:
                    self._orders.get_nowait()()
            if not self._engine.idle:
                return True
        return False

    def _unwanted(self) -> bool:
        with self._lock:
            if self.users == 0 and self._orders.empty() and not self._asked:
                self._stopping = True
            return self._stopping

    def _hear(self, written: Written) -> None:
        asked = self._asked.get(written.id)
        if asked is None:
            return
        if written.error is not None:
            self._fail(asked, written.error)
            return
        self._news[id(asked)] = asked
        try:
            chunks, over = asked.scribe.write(written)
            if over:
                self._close(asked, written)
                if not asked.open:
                    chunks = chunks + asked.scribe.farewell()
            asked.chunks += chunks
        except BaseException as error:  # it ends this call, not the thread
            self._fail(asked, error)
            if not isinstance(error, Exception):
                raise

    def _close(self, asked: _Asked, written: Written) -> None:
        if written.ending is None:
            self._engine.cancel(written.id)
        self._asked.pop(written.id, None)
        asked.open.discard(written.id)

    def _fail(self, asked: _Asked, error: BaseException) -> None:
        self.drop(frozenset(asked.open))
        asked.open.clear()
        asked.error = _as_ours(error)
        self._news[id(asked)] = asked

    def _send(self) -> None:
        """Tell everybody what is new; those whose event loop is over are forgotten."""
        by_loop: dict[EventLoopToken, list[News]] = {}
        for asked in self._news.values():
            news = (asked.reply, asked.chunks, asked.error, not asked.open)
            if asked.chunks or news[3]:
                by_loop.setdefault(asked.reply.loop, []).append(news)
                asked.chunks = []
        self._news.clear()
        for loop, told in by_loop.items():
            if not call_soon(loop, partial(_tell, told)):
                for reply, *_ in told:
                    self.drop(reply.ids)

    def _broken_down(self, error: BaseException) -> HFClientError:
        if self._loaded is None:
            _let_go(error)
            return _as_ours(error, f"{self._name} could not be loaded")
        logger.error("The engine of %s broke down.", self._name, exc_info=error)
        _let_go(error)
        failure = EngineCrashedError(f"The engine of {self._name} broke down: {_said(error)}")
        failure.__cause__ = error
        return failure

    def _end(self) -> None:
        """Free the model, and tell those who still wait."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            try:
                loaded.engine.close()
            except BaseException as error:  # a broken engine may fail at this too
                logger.exception("The engine of %s could not be closed.", self._name)
                if not isinstance(error, Exception):
                    raise
        del loaded
        with self._lock:
            self.ended = True
            for asked in self._asked.values():
                asked.open.clear()
                asked.error = again(self._failure)
                self._news[id(asked)] = asked
            self._asked.clear()
            self._send()
            with suppress(queue.Empty):
                while True:
                    self._orders.get_nowait()()


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """A thread that the interpreter's end finds inside a framework takes the process down: so all end before it."""
    for worker in list(_workers):
        worker.stop()
    for worker in list(_workers):
        worker.join(PATIENCE)


def _tell(told: list[News]) -> None:
    for reply, chunks, error, last in told:
        reply.arrive(chunks, error, last=last)


def _let_go(error: BaseException | None) -> None:
    """Whoever keeps the error does not keep the model, which was at work in the frames that it went through."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _as_ours(error: BaseException, what: str = "The model failed") -> HFClientError:
    if isinstance(error, HFClientError):
        return again(error)
    ours = EngineError(f"{what}: {_said(error)}", advice="If the call itself is sound, please report it.")
    ours.__cause__ = error
    return ours


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
