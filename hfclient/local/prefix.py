"""What is kept of earlier prompts, so that one that begins in the same way is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True, eq=False)
class Prefix(Generic[Payload]):
    """What was computed for these tokens, and the bytes it takes. `divisible` is whether the first few of them can be
    used without the rest."""

    tokens: NDArray[np.int64]
    payload: Payload
    size: int
    divisible: bool = True


class PrefixStore(Generic[Payload]):
    """The prefixes that were used last, as many as fit into `budget` bytes."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.size = 0
        self._prefixes: list[Prefix[Payload]] = []  # the one that was used last stands last

    def __len__(self) -> int:
        return len(self._prefixes)

    def longest(self, tokens: Sequence[int]) -> tuple[Prefix[Payload] | None, int]:
        """The prefix that has the most tokens in common with the beginning of these, and how many."""
        asked, best, most = np.asarray(tokens, np.int64), None, 0
        for prefix in self._prefixes:
            count = common(prefix.tokens, asked)
            if (prefix.divisible or count == len(prefix.tokens)) and count >= max(most, 1):
                best, most = prefix, count
        if best is not None:
            self._prefixes.remove(best)
            self._prefixes.append(best)
        return best, most

    def put(self, prefix: Prefix[Payload]) -> None:
        """Keep this one; those go that it makes superfluous, and those used longest ago that there is no room for."""
        if prefix.size > self.budget:
            return
        for other in list(self._prefixes):
            if _serves(prefix, other):
                self._drop(other)
            elif _serves(other, prefix):
                prefix = other
                self._drop(other)
        while self.size + prefix.size > self.budget:
            self._drop(self._prefixes[0])
        self._prefixes.append(prefix)
        self.size += prefix.size

    def replace(self, prefix: Prefix[Payload], shorter: Prefix[Payload]) -> None:
        """Keep only the beginning of one that is there."""
        self._drop(prefix)
        self.put(shorter)

    def clear(self) -> int:
        """Keep nothing; gives the bytes that were taken."""
        freed, self.size = self.size, 0
        self._prefixes.clear()
        return freed

    def _drop(self, prefix: Prefix[Payload]) -> None:
        self._prefixes.remove(prefix)
        self.size -= prefix.size


def common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many tokens the two have in common from their beginning."""
    shorter = min(len(one), len(other))
    differs = one[:shorter] != other[:shorter]
    first = int(differs.argmax()) if shorter else 0
    return first if shorter and differs[first] else shorter


def _serves(one: Prefix[Payload], other: Prefix[Payload]) -> bool:
    """Whether whatever begins like `other` is served by `one` at least as well."""
    longer = len(one.tokens) - len(other.tokens)
    return (longer == 0 or (longer > 0 and one.divisible)) and common(one.tokens, other.tokens) == len(other.tokens)
