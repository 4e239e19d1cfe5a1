"""Small random models of several kinds as transformers saves them, what transformers itself writes with them, and the
MLX engine on them, watched."""

from __future__ import annotations

import functools
import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from hfclient.local.engine import Generation, Written
from hfclient.local.files import ModelFiles
from hfclient.local.mlx_engine import MLXEngine
from hfclient.local.mlx_loading import model_of
from hfclient.local.options import LocalOptions

VOCABULARY = 499
WINDOW = 16

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "initializer_range": 0.2,  # so that the next token depends on all before it, and there are no ties
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    "qwen3": ("Qwen3Config", {"tie_word_embeddings": True}),
    "gemma3": (  # a sliding window
        "Gemma3TextConfig",
        {
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"],
            "_sliding_window_pattern": 2,
            "query_pre_attn_scalar": 16,
            "tie_word_embeddings": False,
        },
    ),
    "qwen3_next": (  # a linear layer
        "Qwen3NextConfig",
        {
            "layer_types": ["linear_attention", "full_attention"],
            "full_attention_interval": 2,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
    ),
}
KINDS = tuple(_KINDS)


def save(kind: str, folder: Path, **changes: Any) -> ModelFiles:
    """A model of this kind in this folder, always the same one."""
    torch.manual_seed(0)
    name, own = _KINDS[kind]
    config = getattr(transformers, name)(**{**_SHAPE, **own, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.generation_config = transformers.GenerationConfig(pad_token_id=0, temperature=0.6, do_sample=True)
    model.save_pretrained(folder)
    return files_of(folder)


def files_of(folder: Path) -> ModelFiles:
    return ModelFiles(name=folder.name, folder=folder, config=json.loads((folder / "config.json").read_text("utf-8")))


class Reference:
    """The same folder under transformers."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.eval()
        self._known: dict[tuple[object, ...], list[int]] = {}

    def __call__(self, prompt: Sequence[int], count: int, **more: Any) -> list[int]:
        """The likeliest `count` tokens after this prompt."""
        key = (*prompt, *more.items())
        known = self._known.get(key, [])
        if len(known) < count:
            torch.set_num_threads(1)  # each thread of Python has a number of its own
            ids = torch.tensor([list(prompt)])
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                temperature=None,
                max_new_tokens=count,
                eos_token_id=None,
                **more,
            )
            known = self._known[key] = [int(token) for token in written[0, len(prompt) :]]
        return known[:count]


class Watched:
    """A model that notes how many rows and columns each of its passes has, and fails when it is told to."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.passes: list[tuple[int, int]] = []
        self.fail: Callable[[int, int], Exception | None] = lambda rows, columns: None

    def __call__(self, tokens: Any, cache: Any = None) -> Any:
        rows, columns = tokens.shape
        if error := self.fail(rows, columns):
            raise error
        self.passes.append((rows, columns))
        return self._model(tokens, cache=cache)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def read(self) -> int:
        """How many tokens of prompts went through it, but for the last of each."""
        return sum(rows * columns for rows, columns in self.passes if columns > 1)


@dataclass
class Desk:
    """The engine on one model, and what it wrote for each generation."""

    model: Watched
    reference: Reference
    engine: MLXEngine
    answers: dict[int, list[Written]] = field(default_factory=dict[int, list[Written]])
    ended: dict[int, int] = field(default_factory=dict[int, int])  # after how many steps
    asked: int = 0
    steps: int = 0

    def ask(self, prompt: Sequence[int], count: int = 12, **more: Any) -> int:
        self.asked += 1
        self.answers[self.asked] = []
        self.engine.add(Generation(id=self.asked, tokens=prompt, max_tokens=count, **more))
        return self.asked

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            told = self.engine.step()
            self.steps += 1
            self.ended |= {each.id: self.steps for each in told if each.ending}
            written = [each.id for each in told if each.error is None]
            assert len(set(written)) == len(written), "one token for each"
            for each in told:
                self.answers[each.id].append(each)

    def finish(self) -> None:
        for _ in range(10_000):
            if self.engine.idle:
                return
            self.step()
        raise AssertionError("it does not come to an end")

    def tokens(self, asked: int) -> list[int]:
        return [each.token for each in self.answers[asked] if each.token is not None]

    def write(self, prompt: Sequence[int], count: int = 12, **more: Any) -> list[int]:
        asked = self.ask(prompt, count, **more)
        self.finish()
        return self.tokens(asked)

    def cached(self, asked: int) -> int:
        return self.answers[asked][0].cached


class Models:
    """Every kind, saved and loaded once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[Any, Reference]] = {}

    def desk(self, kind: str, *, max_sequences: int = 8, prefix_cache_bytes: int = 0, prefill_chunk: int = 16) -> Desk:
        if kind not in self._made:
            files = save(kind, self._folder / kind)
            self._made[kind] = (model_of(files, LocalOptions()), Reference(files.folder))
        model, reference = self._made[kind]
        watched = Watched(model)
        engine = MLXEngine(
            watched, max_sequences=max_sequences, prefix_cache_bytes=prefix_cache_bytes, prefill_chunk=prefill_chunk
        )
        return Desk(watched, reference, engine)


def prompt(length: int, seed: int = 0) -> list[int]:
    return random.Random(f"{length} {seed}").choices(range(VOCABULARY), k=length)


def in_another_thread(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test as the engine is run: not in the thread that has imported everything."""

    @functools.wraps(test)
    def run(*args: Any, **more: Any) -> None:
        failures: list[BaseException] = []

        def body() -> None:
            try:
                test(*args, **more)
            except BaseException as error:  # noqa: BLE001  it is raised again in the thread that waits for this
                failures.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        for failure in failures:
            raise failure

    return run
