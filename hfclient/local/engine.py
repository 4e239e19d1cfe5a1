"""What an engine is asked for and what it answers, as plain data, and the machine itself, which works step by step.

An engine owns no thread, never sleeps, awaits or prints, and knows nothing of text: it is given tokens and gives
tokens. Whoever calls `step` decides when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ending: TypeAlias = Literal["stop", "length"]
Likely: TypeAlias = tuple[tuple[int, float], ...]  # tokens and their log probabilities, the likeliest first


class Constraint(Protocol):
    """What the text of one generation must look like, token by token. It belongs to that generation alone."""

    def allowed(self) -> NDArray[np.int32]:
        """A bit for each token that may come next, 32 to a word; a token beyond the words may not come."""
        ...

    def accept(self, token: int) -> None:
        """Take note that this token was chosen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. `temperature=0` takes the likeliest; `seed` makes the choice repeatable, whoever
    else is served at the same time. `top_logprobs` is None where no log probabilities are wanted, and 0 where only
    those of the chosen tokens are."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    seed: int | None = None
    top_logprobs: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it is enough to take the likeliest token of the model's own scores."""
        return self.temperature == 0 and self.top_logprobs is None and not self.reshapes

    @property
    def reshapes(self) -> bool:
        """Whether the model's scores are changed before a token is chosen."""
        return bool(self.repetition_penalty != 1 or self.frequency_penalty or self.presence_penalty or self.logit_bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One text to be written: it goes on from `tokens`, ends before or at `max_tokens`, or with one of `stop_tokens`.

    `id` is the asker's; two generations that are under way never share one.
    """

    id: int
    tokens: Sequence[int]
    max_tokens: int
    stop_tokens: frozenset[int] = frozenset()
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """One token of one generation; a stop token is told too, as the last. `cached` says how many of the prompt's
    tokens were known from before, and comes with the first. `error` ends a generation that failed, without a token."""

    id: int
    token: int | None = None
    ending: Ending | None = None
    logprob: float | None = None
    top: Likely = ()
    cached: int = 0
    error: Exception | None = None


class Engine(Protocol):
    """A model that writes. Only the thread that made it calls it."""

    def add(self, generation: Generation) -> None:
        """Take this on; it is begun in one of the next steps."""
        ...

    def step(self) -> list[Written]:
        """Work for a moment: a piece of a prompt, or a few short ones, and one token for everybody who is written for.

        A failure that concerns one generation is told in its last `Written`; one that is raised concerns them all.
        """
        ...

    def cancel(self, id: int) -> None:  # noqa: A002  as the generation has it
        """Nobody wants this any longer; its place is free at once. One that is not known is passed over."""
        ...

    def hold(self, id: int) -> None:  # noqa: A002
        """Write nothing for this one for now: its reader is behind."""
        ...

    def resume(self, id: int) -> None:  # noqa: A002
        """Go on with it."""
        ...

    @property
    def idle(self) -> bool:
        """Whether there is nothing that a step could do."""
        ...

    def shed(self) -> int:
        """Let go of what was only kept for speed, the prefixes of earlier prompts; gives the bytes that this frees."""
        ...

    def close(self) -> None:
        """Free the model and its memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory. `tokenizer` is transformers' own; `defaults` are those of the model's generation_config.json;
    `size` is the bytes its weights take."""

    engine: Engine
    tokenizer: Any
    size: int
    device: str
    context_length: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
