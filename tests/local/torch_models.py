"""Models for the tests of the engine on PyTorch: tiny and random, each made once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from hfclient.local.engine import Generation, Written
from hfclient.local.torch_engine import TorchEngine

VOCABULARY = 96
WINDOW = 12

_SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.3,  # so that the likeliest token is so by a margin
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
_KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"tie_word_embeddings": True},
    "gemma3_text": {
        "tie_word_embeddings": False,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 16,
    },
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "num_experts": 0,
        "mlp_only_layers": [0, 1],
    },
    "mamba": {"state_size": 8},
}
ORDINARY = ("llama", "qwen3")
OTHER = ("gemma3_text", "qwen3_next", "mamba")
KINDS = ORDINARY + OTHER


@cache
def model_of(kind: str) -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(11)
    config = AutoConfig.for_model(kind, **(_SIZE | _KINDS[kind]))
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config = GenerationConfig(pad_token_id=0)
    return model


@cache
def generated(model: Any, prompt: tuple[int, ...], count: int) -> list[int]:
    """What transformers' own `generate` writes."""
    ids = torch.tensor([prompt])
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=count,
    )
    return written[0, len(prompt) :].tolist()


def prompt_of(length: int, seed: int = 0) -> list[int]:
    return random.Random(f"{length} {seed}").choices(range(1, VOCABULARY), k=length)


@dataclass
class Desk:
    """The engine on one model, what it wrote for each generation, and how many tokens the model read for it."""

    model: Any
    engine: TorchEngine
    passes: list[tuple[int, int]]
    answers: dict[int, list[Written]] = field(default_factory=dict[int, list[Written]])

    @property
    def read(self) -> int:
        """How many tokens the model has been given."""
        return sum(rows * columns for rows, columns in self.passes)

    def ask(self, prompt: Sequence[int], count: int = 12, **more: Any) -> int:
        id_ = len(self.answers) + 1
        self.answers[id_] = []
        self.engine.add(Generation(id=id_, tokens=prompt, max_tokens=count, **more))
        return id_

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            told = self.engine.step()
            assert len({each.id for each in told}) == len(told), "one token for each"
            for each in told:
                self.answers[each.id].append(each)

    def finish(self) -> None:
        for _ in range(10_000):
            if self.engine.idle:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def write(self, prompt: Sequence[int], count: int = 12, **more: Any) -> list[int]:
        asked = self.ask(prompt, count, **more)
        self.finish()
        return self.tokens(asked)

    def tokens(self, asked: int) -> list[int]:
        return [each.token for each in self.answers[asked] if each.token is not None]

    def error(self, asked: int) -> Exception | None:
        return self.answers[asked][-1].error

    def reference(self, prompt: Sequence[int], count: int = 12) -> list[int]:
        """What transformers writes, which is not counted."""
        passes = len(self.passes)
        written = generated(self.model, tuple(prompt), count)
        del self.passes[passes:]
        return written


@contextmanager
def desk_of(
    kind: str, *, max_sequences: int = 8, prefix_cache_bytes: int = 0, prefill_chunk: int = 16
) -> Iterator[Desk]:
    """The engine on a model of this kind, which tells how it is used."""
    model, passes = model_of(kind), list[tuple[int, int]]()
    engine = TorchEngine(
        model, max_sequences=max_sequences, prefix_cache_bytes=prefix_cache_bytes, prefill_chunk=prefill_chunk
    )
    desk = Desk(model, engine, passes)
    hook = model.register_forward_pre_hook(
        lambda _, args, given: passes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield desk
    finally:
        hook.remove()
        engine.close()
