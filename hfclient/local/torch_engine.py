"""The engine on PyTorch: a loop of our own around a transformers model, which may be joined and left at every token."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hfclient.errors import InputError, OutOfMemoryError
from hfclient.extras import extra
from hfclient.local.engine import Ending, Generation, Written
from hfclient.local.prefix import Prefix, PrefixStore
from hfclient.local.sampling import Chosen, Sampler
from hfclient.local.scheduler import Scheduler
from hfclient.local.torch_batch import runner_of
from hfclient.local.torch_cache import Cache, Known, cut, is_divisible, size_of
from hfclient.local.torch_memory import is_out_of_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores: TypeAlias = NDArray[np.float32]

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Running a model on PyTorch")

Tensor: TypeAlias = Any

MOST_PROMPTS = 8  # that are read in one step
WORTH_KEEPING = 8  # a prefix is cut to what a prompt has in common with it, unless that takes away such a part of it


@dataclass(slots=True)
class _Text:
    """One generation under way: its prompt and what was written. `known` is None while it is a row of the batch."""

    generation: Generation
    tokens: list[int]
    known: Known | None = None
    cached: int = 0
    sampler: Sampler | None = None

    @property
    def id(self) -> int:
        return self.generation.id

    @property
    def written(self) -> int:
        return len(self.tokens) - len(self.generation.tokens)

    @property
    def ending(self) -> Ending | None:
        if self.tokens[-1] in self.generation.stop_tokens:
            return "stop"
        return "length" if self.written >= self.generation.max_tokens else None

    @property
    def asks_more(self) -> bool:
        """Whether more is asked for than the likeliest token of all."""
        return self.generation.constraint is not None or not self.generation.sampling.plain

    def chosen(self, scores: Scores) -> Chosen:
        sampling, constraint = self.generation.sampling, self.generation.constraint
        if self.sampler is None:
            self.sampler = Sampler(sampling, self.generation.tokens)
        chosen = self.sampler.choose(scores, None if constraint is None else constraint.allowed())
        if constraint is not None:
            constraint.accept(chosen.token)
        return chosen


class TorchEngine:
    """Writes with a causal language model of transformers.

    A step reads at most `prefill_chunk` tokens of prompts and writes one token for each of at most `max_sequences`
    generations; models whose caches cannot stand side by side are run for one at a time.
    """

    def __init__(self, model: Any, *, max_sequences: int, prefix_cache_bytes: int, prefill_chunk: int = 512) -> None:
        self._runner = runner_of(model)
        self._scheduler = Scheduler(min(max_sequences, self._runner.most or max_sequences))
        self._prefixes: PrefixStore[Cache] = PrefixStore(prefix_cache_bytes if self._runner.piecewise else 0)
        self._chunk = prefill_chunk if self._runner.piecewise else sys.maxsize
        self._device = model.device
        self._texts: dict[int, _Text] = {}

    def add(self, generation: Generation) -> None:
        self._texts[generation.id] = _Text(generation, list(generation.tokens))
        self._scheduler.add(generation.id)

    def step(self) -> list[Written]:
        with torch.inference_mode():
            self._scheduler.seat()
            return [*self._write(), *self._read()]

    def cancel(self, id: int) -> None:  # noqa: A002
        if text := self._texts.get(id):
            self._end(text, keep=True)

    def hold(self, id: int) -> None:  # noqa: A002
        text = self._texts.get(id)
        if text is not None and self._memory_allowing(self._take_out, text):
            self._scheduler.hold(id)

    def resume(self, id: int) -> None:  # noqa: A002
        self._scheduler.resume(id)

    @property
    def idle(self) -> bool:
        return self._scheduler.idle

    def shed(self) -> int:
        freed = self._prefixes.clear()
        empty = getattr(getattr(torch, self._device.type, None), "empty_cache", None)  # the CPU has none to empty
        if empty is not None:
            empty()
        return freed

    def close(self) -> None:
        self._texts.clear()
        vars(self).pop("_runner", None)
        self.shed()

    def _write(self) -> list[Written]:
        """One token for everybody whose turn it is. Where memory is short the prefixes go, and then the youngest."""
        told: list[Written] = []
        last_try = not self._runner.again
        while writing := [self._texts[each] for each in self._scheduler.writing]:
            try:
                scores = self._scores(writing)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = _out_of_memory(error)
            else:
                return told + self._choose([self._texts[each] for each in self._runner.rows], scores)
            if last_try:
                told.append(self._failed(writing[-1], failure))
            self.shed()
            last_try = True
        return told

    def _scores(self, writing: Sequence[_Text]) -> Tensor:
        """What may follow, for each row of the batch, which is that of these texts from now on."""
        newcomers = {text.id: text.known for text in writing if text.known is not None}
        self._runner.settle(newcomers)
        for each in newcomers:
            self._texts[each].known = None
        return self._runner.write([self._texts[each].tokens[-1] for each in self._runner.rows])

    def _read(self) -> list[Written]:
        """A piece of a long prompt, or several short ones: those who come together are soon written for together. Even
        the shortest counts as some tokens, for it takes as long."""
        told: list[Written] = []
        room = self._chunk
        while room > 0 and (reading := self._scheduler.reading) is not None:
            text = self._texts[reading]
            count, written = self._read_on(text, room)
            told += written
            room -= max(count, self._chunk // MOST_PROMPTS)
        return told

    def _read_on(self, text: _Text, room: int) -> tuple[int, list[Written]]:
        """So many tokens of a prompt, and the first token of the text if those were its last."""
        try:
            known = text.known = text.known or self._begun(text)
            piece = text.tokens[known.length : known.length + room]
            scores = self._runner.read(piece, known)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            return 0, [self._failed(text, error)]
        if known.length == len(text.tokens):
            self._memory_allowing(self._keep, text)
            self._scheduler.read(text.id)
            return len(piece), self._choose([text], scores)
        return len(piece), []

    def _begun(self, text: _Text) -> Known:
        """What is known of the prompt from before; its last token is always read, for what may follow it."""
        if not text.tokens:
            raise InputError("There is no token to go on from.")
        prefix, text.cached = self._prefixes.longest(text.tokens[:-1])
        if prefix is None:
            return Known(self._runner.blank())
        surplus = len(prefix.tokens) - text.cached
        cache = self._runner.reused(prefix.payload, surplus)
        if 0 < surplus <= text.cached // WORTH_KEEPING:
            # The old end would force a copy of all that comes before it on whoever goes on in another way.
            self._prefixes.replace(
                prefix, replace(prefix, tokens=prefix.tokens[: text.cached], payload=cut(prefix.payload, surplus))
            )
        return Known(cache, text.cached)

    def _choose(self, texts: Sequence[_Text], scores: Tensor) -> list[Written]:
        likeliest = scores.argmax(dim=-1).tolist()
        asked = [row for row, text in enumerate(texts) if text.asks_more]
        rows = dict(zip(asked, scores[asked].float().cpu().numpy(), strict=True)) if asked else {}
        return [self._told(text, likeliest[row], rows.get(row)) for row, text in enumerate(texts)]

    def _told(self, text: _Text, likeliest: int, scores: Scores | None) -> Written:
        try:
            chosen = Chosen(likeliest) if scores is None else text.chosen(scores)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            return self._failed(text, error)
        text.tokens.append(chosen.token)
        cached = text.cached if text.written == 1 else 0
        if ending := text.ending:
            self._end(text, keep=True)
        return Written(text.id, chosen.token, ending, chosen.logprob, chosen.top, cached)

    def _failed(self, text: _Text, error: Exception) -> Written:
        self._end(text, keep=False)
        if is_out_of_memory(error):
            error = _out_of_memory(error)
            self.shed()
        else:
            traceback.clear_frames(error.__traceback__)  # whoever keeps the error does not keep the tensors
        return Written(text.id, error=error)

    def _end(self, text: _Text, *, keep: bool) -> None:
        if keep:
            self._memory_allowing(self._keep, text)
        self._runner.leave(text.id)
        self._scheduler.end(text.id)
        del self._texts[text.id]
        text.known = None

    def _take_out(self, text: _Text) -> None:
        """Let this text no longer be in the batch; it is, once something is written of it."""
        if text.known is None and text.written:
            text.known = self._runner.taken(text.id)
            self._runner.leave(text.id)

    def _keep(self, text: _Text) -> None:
        """Keep what is known of this text for those whose prompt begins like it."""
        if not self._prefixes.budget:
            return
        self._take_out(text)
        known = text.known
        if known is not None and known.length and size_of(known.cache) <= self._prefixes.budget:
            cache = self._runner.kept(known.cache)
            first = np.asarray(text.tokens[: known.length], np.int64)
            self._prefixes.put(Prefix(first, cache, size_of(cache), is_divisible(cache)))

    def _memory_allowing(self, work: Callable[[_Text], None], text: _Text) -> bool:
        """Do what is only for speed, or for a slow reader's sake: where memory is too short for it, it is left."""
        try:
            with torch.inference_mode():
                work(text)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.shed()
            return False
        return True


def _out_of_memory(error: Exception) -> OutOfMemoryError:
    if isinstance(error, OutOfMemoryError):
        return error
    said = str(error).strip().partition("\n")[0]
    return OutOfMemoryError(f"Memory ran out while the model was run: {said}")
