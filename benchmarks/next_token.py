"""One token chosen from a model's scores, beside transformers' processors with `torch.multinomial`, on one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from side_by_side import Contender, say, show, take_turns
from transformers.generation import logits_process as theirs

from hfclient.local.engine import Sampling
from hfclient.local.sampling import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 7
ROWS = 16
SIZES = (512, 151_936)
PROMPT = list(range(200))
BOUND = 1.0
OURS, THEIRS = "hfclient", "transformers"

WAYS: dict[str, tuple[Sampling, list[Any]]] = {
    "greedy with 5 log probabilities": (Sampling(top_logprobs=5), []),
    "temperature": (Sampling(temperature=0.8, seed=1), [theirs.TemperatureLogitsWarper(0.8)]),
    "temperature, top_k=20, top_p=0.9": (
        Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=1),
        [theirs.TemperatureLogitsWarper(0.8), theirs.TopKLogitsWarper(20), theirs.TopPLogitsWarper(0.9)],
    ),
    "top_p=0.9 alone": (Sampling(temperature=1.0, top_p=0.9, seed=1), [theirs.TopPLogitsWarper(0.9)]),
    "repetition penalty, greedy": (Sampling(repetition_penalty=1.1), [theirs.RepetitionPenaltyLogitsProcessor(1.1)]),
}


def ours(sampling: Sampling, rows: list[NDArray[np.float32]]) -> Callable[[], None]:
    def choose() -> None:
        sampler = Sampler(sampling, PROMPT)
        for row in rows:
            sampler.choose(row)

    return choose


def by_transformers(sampling: Sampling, processors: list[Any], rows: list[torch.Tensor]) -> Callable[[], None]:
    """What `generate` does with each row, and with log probabilities what one would do with them."""
    listed = theirs.LogitsProcessorList(processors)

    def choose() -> None:
        written = torch.tensor([PROMPT])
        for row in rows:
            left = listed(written, row)
            if sampling.top_logprobs:
                torch.log_softmax(row, dim=-1).topk(sampling.top_logprobs)
            drawn = sampling.temperature > 0
            chosen = torch.multinomial(left.softmax(dim=-1), 1) if drawn else left.argmax(dim=-1, keepdim=True)
            written = torch.cat([written, chosen], dim=-1)
            int(chosen)

    return choose


def awaited(work: Callable[[], None]) -> Contender:
    async def turn() -> None:
        work()

    return turn


async def main() -> None:
    torch.set_num_threads(1)
    say("scores are random, normal with a deviation of 3; one unit is one token")
    for size in SIZES:
        rng = np.random.default_rng(0)
        rows = [(rng.standard_normal(size) * 3).astype(np.float32) for _ in range(ROWS)]
        tensors = [torch.from_numpy(row)[None] for row in rows]
        for name, (sampling, processors) in WAYS.items():
            contenders = {
                OURS: awaited(ours(sampling, rows)),
                THEIRS: awaited(by_transformers(sampling, processors, tensors)),
            }
            costs = await take_turns(contenders, rounds=ROUNDS, units=ROWS)
            show(f"{size:,} tokens: {name}", costs, against=THEIRS, bounds={OURS: BOUND})


if __name__ == "__main__":
    asyncio.run(main())
