"""The ways a model is run: over a piece of one prompt, and over the last tokens of all texts that are being written."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from hfclient.errors import EngineError
from hfclient.extras import extra
from hfclient.local.torch_cache import (
    Cache,
    Known,
    caches,
    cloned,
    cut,
    is_ordinary,
    roomy,
    rows_of,
    shared,
    side_by_side,
)

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Running a model on PyTorch")

Tensor: TypeAlias = Any

# The models with a state in place of the tokens that can read several tokens from where they are. Others of that kind,
# Mamba and Jamba among them, go on rightly by single tokens only, and read several as if there had been none before.
GOING_ON = frozenset({
    "bamba", "falcon_h1", "granitemoehybrid", "kimi_linear", "lfm2", "mamba2", "nemotron_h", "olmo_hybrid",
    "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next",
})  # fmt: skip


# What transformers calls a model's cache: by its second name from 5.24 on, by its third where it is a state.
CACHE_NAMES = ("past_key_values", "cache", "cache_params")


class Runner(Protocol):
    """A model, and the batch of those it writes for.

    `rows` are their ids, in the order `write` goes by. Who leaves is no longer written for, but the tensors are made
    anew only when `settle` is called, and go when nobody is left. `most` is how many there can be, if that is bounded,
    `again` whether a `write` that failed can be tried again, and `piecewise` whether a prompt need not be read at once.
    """

    rows: list[int]
    most: int | None
    again: bool
    piecewise: bool

    def blank(self) -> Cache:
        """The cache of a text that is still to be read."""
        ...

    def kept(self, cache: Cache) -> Cache:
        """What to keep of this one, which may go on."""
        ...

    def reused(self, cache: Cache, surplus: int) -> Cache:
        """One that may go on from what was kept, less its last tokens."""
        ...

    def read(self, tokens: Sequence[int], known: Known) -> Tensor:
        """Read these on from what is known; gives the scores of what may follow."""
        ...

    def settle(self, newcomers: Mapping[int, Known]) -> None:
        """Make one batch of those who stay and those who come; all of it is done, or nothing."""
        ...

    def write(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token for each row; gives the scores of what may follow, a row each."""
        ...

    def taken(self, id: int) -> Known:  # noqa: A002  as the generation has it
        """What is known of the text of this row, which is about to leave."""
        ...

    def leave(self, id: int) -> None:  # noqa: A002
        """Write for this one no longer."""
        ...


def runner_of(model: Any) -> Runner:
    """The fastest way to run this model that is right for its kind of cache."""
    takes = inspect.signature(model.forward).parameters
    name = next((name for name in CACHE_NAMES if name in takes), None)
    if name is None:
        raise EngineError(
            f"{type(model).__name__} has no cache to go on from, so it cannot be run step by step.",
            advice="Use a model that transformers can give a cache to.",
        )
    stateful = getattr(model, "_is_stateful", False)
    ordinary = name != "cache_params" and not stateful and is_ordinary(caches.DynamicCache(config=model.config))
    return Abreast(model, name) if ordinary else Alone(model, name)


class Abreast:
    """Many at a time, by one cache with a row for each. The rows end in the same column: a shorter text has padding
    before it, which the mask hides, and counts its positions from its own beginning."""

    most: int | None = None
    again: bool = True
    piecewise: bool = True

    def __init__(self, model: Any, cache_name: str) -> None:
        self._model = model
        self._cache_name = cache_name
        takes = inspect.signature(model.forward).parameters
        self._places_tokens = "position_ids" in takes
        self._options: dict[str, Any] = {"use_cache": True, "return_dict": True}
        if "logits_to_keep" in takes:
            self._options["logits_to_keep"] = 1
        self._clear()

    def _clear(self) -> None:
        self.rows: list[int] = []
        self._columns: list[int] = []  # where each row's text begins
        self._gone: set[int] = set()
        self._cache: Cache = None
        self._length = 0

    def blank(self) -> Cache:
        return roomy(caches.DynamicCache(config=self._model.config))

    def kept(self, cache: Cache) -> Cache:
        return shared(cache)

    def reused(self, cache: Cache, surplus: int) -> Cache:
        return cut(cache, surplus)

    def read(self, tokens: Sequence[int], known: Known) -> Tensor:
        ids = torch.tensor([tokens], device=self._model.device)
        scores = self._model(input_ids=ids, **{self._cache_name: known.cache}, **self._options).logits[:, -1]
        known.length += len(tokens)
        return scores

    def settle(self, newcomers: Mapping[int, Known]) -> None:
        if not newcomers and not self._gone:
            return
        stay = [row for row, each in enumerate(self.rows) if each not in self._gone]
        lengths = [self._length - self._columns[row] for row in stay]
        parts = [known.cache for known in newcomers.values()]
        if stay:
            parts.insert(0, rows_of(self._cache, stay, max(lengths)))
        lengths += [known.length for known in newcomers.values()]
        self._cache = side_by_side(parts, max(lengths))
        self._length = max(lengths)
        self._columns = [self._length - length for length in lengths]
        self.rows = [self.rows[row] for row in stay] + list(newcomers)
        self._gone.clear()

    def write(self, tokens: Sequence[int]) -> Tensor:
        device = self._model.device
        ids = torch.tensor(tokens, device=device)[:, None]
        padding: dict[str, Tensor] = {}
        if any(self._columns):
            columns = torch.tensor(self._columns, device=device)[:, None]
            padding["attention_mask"] = (torch.arange(self._length + 1, device=device) >= columns).long()
            if self._places_tokens:
                padding["position_ids"] = self._length - columns
        try:
            held = {self._cache_name: self._cache}
            scores = self._model(input_ids=ids, **held, **padding, **self._options).logits[:, -1]
        except BaseException:
            for layer in self._cache.layers:  # some have taken the token in, and others not yet
                layer.undo(self._length)
            raise
        self._length += 1
        return scores

    def taken(self, id: int) -> Known:  # noqa: A002
        row = self.rows.index(id)
        length = self._length - self._columns[row]
        return Known(side_by_side([rows_of(self._cache, [row], length)], length), length)

    def leave(self, id: int) -> None:  # noqa: A002
        if id in self.rows:
            self._gone.add(id)
            if len(self._gone) == len(self.rows):
                self._clear()


class Alone:
    """One at a time, by a cache of the model's own kind, such as one that forgets what has left its window or that
    keeps a state in place of the tokens. It is worked in place, so it is copied for each who goes on from it."""

    most: int | None = 1
    again: bool = False

    def __init__(self, model: Any, cache_name: str) -> None:
        self.piecewise = model.config.get_text_config().model_type in GOING_ON or not any(
            isinstance(layer, caches.LinearAttentionCacheLayerMixin)
            for layer in caches.DynamicCache(config=model.config).layers
        )
        self._model = model
        self._cache_name = cache_name
        self._options: dict[str, Any] = {"use_cache": True}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self._options["logits_to_keep"] = 1
        self.rows: list[int] = []
        self._known = Known(None)

    def blank(self) -> Cache:
        return caches.DynamicCache(config=self._model.config)

    def kept(self, cache: Cache) -> Cache:
        return cloned(cache)

    def reused(self, cache: Cache, surplus: int) -> Cache:
        return cloned(cut(cache, surplus))

    def read(self, tokens: Sequence[int], known: Known) -> Tensor:
        device, end = self._model.device, known.length + len(tokens)
        inputs = self._model.prepare_inputs_for_generation(
            torch.tensor([tokens], device=device),
            attention_mask=torch.ones((1, end), dtype=torch.long, device=device),
            position_ids=torch.arange(known.length, end, device=device)[None],
            is_first_iteration=known.length == 0,
            **{self._cache_name: known.cache},
            **self._options,
        )
        scores = self._model(**inputs, return_dict=True).logits[:, -1]
        known.length = end
        return scores

    def settle(self, newcomers: Mapping[int, Known]) -> None:
        for id, known in newcomers.items():  # noqa: A001
            self.rows, self._known = [id], known

    def write(self, tokens: Sequence[int]) -> Tensor:
        return self.read(tokens, self._known)

    def taken(self, id: int) -> Known:  # noqa: A002
        return self._known

    def leave(self, id: int) -> None:  # noqa: A002
        if id in self.rows:
            self.rows, self._known = [], Known(None)
