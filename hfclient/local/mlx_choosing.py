"""How the rows of one MLX batch get their next tokens, together or one by one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hfclient.errors import InputError
from hfclient.extras import extra
from hfclient.local.engine import Ending, Generation, Likely, Written
from hfclient.local.mlx_memory import SHORTAGES
from hfclient.local.mlx_prefixes import Cache
from hfclient.local.sampling import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

mx: Any = extra("mlx.core", "'hfclient[mlx]'", needed_by="engine='mlx'")

Array: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was chosen for one row and is not told yet: a token, one of those that MLX is still working out, or what
    went wrong."""

    token: int | None = None
    batch: Array = None
    place: int = 0
    logprob: float | None = None
    top: Likely = ()
    error: Exception | None = None

    @property
    def found(self) -> int:
        """The token, waiting for MLX if need be."""
        return self.token if self.token is not None else int(self.batch[self.place].item())


@dataclass(eq=False, slots=True)
class Row:
    """One generation under way. `tokens` is its prompt and what was told of the text; `cache` is what the model knows
    of them, while the row is not in a batch, and `known` how many of them that is."""

    generation: Generation
    tokens: list[int] = field(init=False)
    uid: int = -1
    told: int = 0
    cached: int = 0
    held: bool = False
    ended: bool = False
    tried: bool = False
    cache: Cache | None = None
    known: int = 0
    ahead: deque[Ahead] = field(default_factory=deque[Ahead])
    _sampler: Sampler | None = None
    _done: bool = False  # nothing more is to be chosen, though the last may not be told yet

    def __post_init__(self) -> None:
        self.tokens = list(self.generation.tokens)

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is always the right one."""
        return self.generation.sampling.plain and self.generation.constraint is None

    def prepare(self) -> None:
        """Check what is asked for, before anything is done for it."""
        if not self.tokens or self.generation.max_tokens < 1:
            raise InputError("A generation needs a prompt of one token at least, and room for one more.")
        if not self.plain and self._sampler is None:
            self._sampler = Sampler(self.generation.sampling, self.tokens)

    def choose(self, scores: NDArray[np.float32]) -> int:
        """The next token. A batch chooses before it tells, so after the last one it asks once more, for nothing."""
        if self._done or self._sampler is None:
            self.ahead.append(Ahead(token=0))
            return 0
        constraint = self.generation.constraint
        try:
            chosen = self._sampler.choose(scores, None if constraint is None else constraint.allowed())
            if constraint is not None:
                constraint.accept(chosen.token)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            self.ahead.append(Ahead(error=error))  # told when its turn comes: the others' tokens are not held up
            self._done = True
            return 0
        self.ahead.append(Ahead(token=chosen.token, logprob=chosen.logprob, top=chosen.top))
        self._done = (
            chosen.token in self.generation.stop_tokens or self.told + len(self.ahead) >= self.generation.max_tokens
        )
        return chosen.token

    def settle(self) -> None:
        """Make what was chosen independent of the batch; what never came to be is chosen again."""
        settled: deque[Ahead] = deque()
        for ahead in self.ahead:
            try:
                settled.append(ahead if ahead.error else replace(ahead, token=ahead.found, batch=None))
            except SHORTAGES:
                break
        self.ahead = settled

    def tell(self, token: int | None = None) -> Written:
        """The next of what was chosen; `token` is what it turned out to be, where that is known already."""
        ahead = self.ahead.popleft()
        if ahead.error is not None:
            return self.fail(ahead.error)
        token = ahead.found if token is None else token
        self.tokens.append(token)
        self.told += 1
        ending: Ending | None = None
        if token in self.generation.stop_tokens:
            ending = "stop"
        elif self.told >= self.generation.max_tokens:
            ending = "length"
        self.ended = ending is not None
        cached = self.cached if self.told == 1 else 0
        return Written(self.generation.id, token, ending, ahead.logprob, ahead.top, cached)

    def fail(self, error: Exception) -> Written:
        """The end of this one, by a failure."""
        self.ended = True
        return Written(self.generation.id, cached=0 if self.told else self.cached, error=error)


class Choosing:
    """The model and the sampler of a batch in one, as the sampler needs more than mlx-lm would tell it: the scores
    themselves, which the penalties are made for, and whose they are."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._scores: Array = None
        self._turns: deque[list[Row]] = deque()
        self.passes = 0

    def expect(self, *turns: list[Row]) -> None:
        """Whose tokens will be chosen in the coming step, batch by batch; a batch may be empty."""
        self._turns = deque(list(rows) for rows in turns if rows)
        self.passes = 0

    def forward(self, tokens: Array, cache: Cache) -> Array:
        """The model's scores; those of a batch's step are remembered for the choice that follows."""
        self.passes += 1
        scores = self._model(tokens, cache=cache)
        self._scores = scores if tokens.shape[1] == 1 else None
        return scores

    def choose(self, _: Array) -> Array:
        """One token for each row, worked out by MLX for all that are plain, and here for the others."""
        rows = self._turns.popleft()
        scores, self._scores = self._scores[:, -1, :], None
        batch = mx.argmax(scores, axis=-1)
        apart = [place for place, row in enumerate(rows) if not row.plain]
        if apart:
            read = np.array(scores[mx.array(apart)].astype(mx.float32))
            chosen = [rows[place].choose(mine) for place, mine in zip(apart, read, strict=True)]
            batch[mx.array(apart)] = mx.array(chosen, batch.dtype)
        for place, row in enumerate(rows):
            if row.plain:
                row.ahead.append(Ahead(batch=batch, place=place))
        return batch
