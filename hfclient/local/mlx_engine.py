"""Text generation by MLX: mlx-lm's batch, which rows join and leave while it runs."""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from hfclient.extras import extra
from hfclient.local.engine import Generation, Written
from hfclient.local.mlx_choosing import Choosing, Row
from hfclient.local.mlx_memory import SHORTAGES, is_shortage, shortage
from hfclient.local.mlx_prefixes import Cache, Prefixes

mx: Any = extra("mlx.core", "'hfclient[mlx]'", needed_by="engine='mlx'")
generate: Any = extra("mlx_lm.generate", "'hfclient[mlx]'", needed_by="engine='mlx'")
caches: Any = extra("mlx_lm.models.cache", "'hfclient[mlx]'", needed_by="engine='mlx'")

_ENDLESS = 2**62  # rows are taken out of the batch here, so that all of them end in one way


class MLXEngine:
    """`Engine` over mlx-lm's `BatchGenerator`.

    A row waits, is read, and is written. One is read at a time, in pieces, while the others are written. The batch
    works one step ahead: when it tells a token, the next is chosen and under way already. So a row that is taken out
    has one token chosen and untold (`Row.ahead`), and a cache with exactly the tokens that were told (`Row.tokens`).
    """

    def __init__(
        self,
        model: Any,
        *,
        max_sequences: int,
        prefix_cache_bytes: int,
        prefill_chunk: int = 512,
        device: Any = None,
    ) -> None:
        self._model = model
        self._most = max_sequences
        self._chunk = prefill_chunk
        self._stream = mx.new_thread_local_stream(mx.default_device() if device is None else device)
        self._prefixes = Prefixes(prefix_cache_bytes)
        self._rows: dict[int, Row] = {}
        self._waiting: deque[Row] = deque()
        self._crowd: int | None = None  # so many rows were too many for the memory
        self._start()

    def _start(self) -> None:
        self._choosing: Any = Choosing(self._model)
        self._batch: Any = generate.BatchGenerator(
            self._choosing.forward,
            sampler=self._choosing.choose,
            completion_batch_size=self._most,
            prefill_batch_size=1,
            prefill_step_size=self._chunk,
            stream=self._stream,
        )
        self._reading: Row | None = None
        self._writing: list[Row] = []  # in the order of the batch

    def add(self, generation: Generation) -> None:
        row = self._rows[generation.id] = Row(generation)
        self._waiting.append(row)

    def step(self) -> list[Written]:
        with mx.stream(self._stream):
            told = list(self._admit())
            if self._reading or self._writing:
                told += self._advance()
        if self.idle:
            self._crowd = None
        return told

    def cancel(self, id: int) -> None:  # noqa: A002
        row = self._rows.get(id)
        if row is None:
            return
        if row in self._waiting:
            self._waiting.remove(row)
        elif not row.held:
            self._leave([row])
        del self._rows[id]

    def hold(self, id: int) -> None:  # noqa: A002
        row = self._rows.get(id)
        if row is None or row.held:
            return
        row.held = True
        if row in self._waiting:
            self._waiting.remove(row)
            return
        with mx.stream(self._stream):
            taken = self._take_out([row], with_caches=True)
            row.settle()
            for cache, known in taken.values():
                if self._worked_out(cache):
                    row.cache, row.known = cache, len(known)

    def resume(self, id: int) -> None:  # noqa: A002
        row = self._rows.get(id)
        if row is not None and row.held:
            row.held = False
            self._waiting.appendleft(row)

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._reading or self._writing)

    def shed(self) -> int:
        freed = self._prefixes.clear()
        mx.clear_cache()
        return freed

    def close(self) -> None:
        self._model = None
        self._rows.clear()
        self._waiting.clear()
        self._prefixes.clear()
        self._batch.close()
        self._batch = self._choosing = None
        self._reading, self._writing = None, []
        gc.collect()
        mx.clear_cache()
        if threading.current_thread() is not threading.main_thread():  # whose streams are everybody's
            mx.clear_streams()  # what MLX compiled for a thread it frees too late: the interpreter may be gone by then

    def _admit(self) -> Iterable[Written]:
        """Begin the next that waits, if there is room."""
        while self._waiting and self._reading is None and len(self._writing) < self._most:
            row = self._waiting.popleft()
            try:
                row.prepare()
            except BaseException as error:
                if not isinstance(error, Exception):
                    raise
                yield row.fail(error)
            while row.ahead and not row.ended:  # chosen before it was held
                yield row.tell()
            if row.ended:
                self._forget(row)
            else:
                self._begin(row)

    def _begin(self, row: Row) -> None:
        if row.cache is None:
            row.cache, row.known = self._prefixes.take(row.tokens)
            row.cached = row.cached if row.told else row.known
        (row.uid,) = self._batch.insert(
            [row.tokens[row.known :]],
            max_tokens=[_ENDLESS],
            caches=[row.cache or caches.make_prompt_cache(self._model)],
            all_tokens=[row.tokens[: row.known]],
        )
        row.cache = None
        self._reading = row

    def _advance(self) -> list[Written]:
        """One token for all that are written, and one piece of the one that is read."""
        self._choosing.expect(self._writing, [self._reading] if self._reading else [])
        try:
            read, written = self._batch.next()
        except SHORTAGES as error:
            if not is_shortage(error):
                raise
            return self._make_room(error)
        if self._crowd is not None and len(self._writing) >= self._crowd:
            self._crowd = None
        told = [row.tell(each.token) for row, each in zip(self._writing, written, strict=True)]
        if self._reading is not None:
            for piece in read:  # there is one
                self._have_read(self._reading, piece)
        self._release()
        return told

    def _have_read(self, row: Row, piece: Any) -> None:
        if piece.end_of_prompt:
            self._reading = None
            self._writing.append(row)
        elif piece.end_of_segment and self._prefixes.wanted:
            # Others may be waiting to begin in the same way, and not every cache can be taken back to here later.
            cache, known = self._batch.extract_cache([row.uid])[row.uid]
            self._keep(known, cache)

    def _release(self) -> None:
        """Let those go that have ended."""
        ended = [row for row in self._writing if row.ended]
        if ended:
            self._leave(ended)
            for row in ended:
                self._forget(row)

    def _forget(self, row: Row) -> None:
        self._rows.pop(row.generation.id, None)

    def _leave(self, rows: list[Row]) -> None:
        """Take these out of the batch, and keep what was read and written of them for those who go on from there."""
        with mx.stream(self._stream):
            for cache, known in self._take_out(rows, with_caches=self._prefixes.wanted).values():
                self._keep(known, cache)

    def _take_out(self, rows: list[Row], *, with_caches: bool) -> dict[int, tuple[Cache, list[int]]]:
        uids = [row.uid for row in rows]
        taken: dict[int, tuple[Cache, list[int]]] = {}
        try:
            taken = self._batch.remove(uids, return_prompt_caches=with_caches)
        except SHORTAGES as error:  # in copying the caches, before anything is removed
            if not is_shortage(error):
                raise
            self.shed()
            self._batch.remove(uids)
        if self._reading in rows:
            self._reading = None
        self._writing = [row for row in self._writing if row not in rows]
        return taken

    def _keep(self, tokens: list[int], cache: Cache) -> None:
        if self._prefixes.fits(cache) and self._worked_out(cache):
            self._prefixes.put(tokens, cache)

    def _worked_out(self, cache: Cache) -> bool:
        """Have MLX compute this cache now, so that it does not hold on to the batch it was taken out of."""
        try:
            mx.eval([layer.state for layer in cache])
        except SHORTAGES as error:
            if not is_shortage(error):
                raise
            self.shed()
            return False
        return True

    def _make_room(self, error: Exception) -> list[Written]:
        """Memory ran out in the middle of a step: the batch is whole if it was the reading that needed too much."""
        if self._reading and (not self._writing or self._choosing.passes > 1):
            return self._read_no_further(self._reading, error)
        crowd, told = self._writing, list[Written]()
        if self._crowd is not None:
            *crowd, youngest = crowd
            told.append(youngest.fail(shortage("writing", error)))
            self._forget(youngest)
        self._crowd = len(crowd)
        again = [*crowd, self._reading] if self._reading else crowd
        for row in again:
            row.settle()
            row.cache = None
        self._waiting.extendleft(reversed(again))
        self._batch.close()
        self._start()
        self.shed()
        return told

    def _read_no_further(self, row: Row, error: Exception) -> list[Written]:
        told = [each.tell() for each in self._writing]
        self._take_out([row], with_caches=False)
        self._release()
        row.settle()
        if self.shed() and not row.tried:
            row.tried = True
            self._waiting.appendleft(row)
        else:
            told.append(row.fail(shortage("reading a prompt", error)))
            self._forget(row)
        return told
