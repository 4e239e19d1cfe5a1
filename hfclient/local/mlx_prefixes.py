"""What an MLX model keeps of earlier conversations, so that their beginnings need not be read again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from hfclient.extras import extra
from hfclient.local.prefix import Prefix, PrefixStore

caches: Any = extra("mlx_lm.models.cache", "'hfclient[mlx]'", needed_by="engine='mlx'")

Cache: TypeAlias = list[Any]  # one of mlx-lm's caches for each layer


class Prefixes:
    """mlx-lm's caches by the tokens they hold, as many as fit into so many bytes.

    mlx-lm's own `LRUPromptCache` has no notion of use: what is taken from it again and again goes as early as what is
    not.
    """

    def __init__(self, budget: int) -> None:
        self._store: PrefixStore[Cache] = PrefixStore(budget)

    @property
    def wanted(self) -> bool:
        """Whether anything is kept at all."""
        return self._store.budget > 0

    def take(self, tokens: Sequence[int]) -> tuple[Cache | None, int]:
        """The cache that saves most of the reading of these tokens, one's own to go on with, and how many it holds:
        never the last, which must be read for its scores."""
        prefix, count = self._store.longest(tokens[:-1])
        if prefix is None:
            return None, 0
        cache = copy.deepcopy(prefix.payload)  # the arrays are shared until one side writes into them
        if surplus := len(prefix.tokens) - count:
            caches.trim_prompt_cache(cache, surplus)
        return cache, count

    def fits(self, cache: Cache) -> bool:
        """Whether this could be kept, alone at least."""
        return 0 < _size_of(cache) <= self._store.budget

    def put(self, tokens: Sequence[int], cache: Cache) -> None:
        """Keep this cache, which holds exactly these tokens, and belongs to nobody else. What a linear layer or a
        window that has slid knows can only be gone on from, not taken back."""
        divisible = caches.can_trim_prompt_cache(cache)
        self._store.put(Prefix(np.asarray(tokens, np.int64), cache, _size_of(cache), divisible))

    def clear(self) -> int:
        """Keep nothing of it; gives the bytes that it took."""
        return self._store.clear()


def _size_of(cache: Cache) -> int:
    return sum(layer.nbytes for layer in cache)
