"""What is kept of earlier prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hfclient.local.prefix import Prefix, PrefixStore

BUDGET = 20


def prefix(tokens: list[int], *, size: int | None = None, divisible: bool = True) -> Prefix[tuple[int, ...]]:
    return Prefix(np.array(tokens, np.int64), tuple(tokens), len(tokens) if size is None else size, divisible)


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


@dataclass
class Naive:
    """The same store, spelled out."""

    kept: list[tuple[tuple[int, ...], bool]]

    def longest(self, tokens: tuple[int, ...]) -> int:
        most, best = 0, None
        for each in self.kept:
            count = shared(each[0], tokens)
            if (each[1] or count == len(each[0])) and count and count >= most:
                most, best = count, each
        if best is not None:
            self.kept.remove(best)
            self.kept.append(best)
        return most

    def put(self, tokens: tuple[int, ...], divisible: bool) -> None:
        if len(tokens) > BUDGET:
            return
        for each in list(self.kept):
            if each[1] and each[0] != tokens and each[0][: len(tokens)] == tokens:
                self.kept.remove(each)
                self.kept.append(each)
                return
        self.kept = [
            each for each in self.kept if each[0] != tokens and not (divisible and tokens[: len(each[0])] == each[0])
        ]
        self.kept.append((tokens, divisible))
        while sum(len(each[0]) for each in self.kept) > BUDGET:
            del self.kept[0]


tokens_of_three = st.lists(st.integers(0, 2), min_size=1, max_size=9)
actions = st.lists(st.tuples(st.sampled_from(["put", "put whole", "ask"]), tokens_of_three), max_size=30)


@given(actions)
def test_the_store_is_the_naive_one(todo: list[tuple[str, list[int]]]) -> None:
    """Whatever is put and asked, the store finds what the plain description of it finds, and keeps the same."""
    store: PrefixStore[tuple[int, ...]] = PrefixStore(BUDGET)
    naive = Naive([])
    for action, tokens in todo:
        if action == "ask":
            found, count = store.longest(tokens)
            assert count == naive.longest(tuple(tokens))
            assert (found is None) == (count == 0)
            if found is not None:
                assert found.payload[:count] == tuple(tokens[:count])
                assert found.divisible or count == len(found.tokens)
        else:
            store.put(prefix(tokens, divisible=action == "put"))
            naive.put(tuple(tokens), action == "put")
        assert store.size == sum(len(each[0]) for each in naive.kept) <= BUDGET
        assert len(store) == len(naive.kept)


def test_the_longest_beginning_is_found_among_several() -> None:
    """Several conversations are kept at once, and each is found by its own beginning."""
    store: PrefixStore[tuple[int, ...]] = PrefixStore(100)
    store.put(prefix([1, 2, 3, 4]))
    store.put(prefix([1, 2, 9, 9, 9]))
    found, count = store.longest([1, 2, 3, 7])
    assert found is not None
    assert (found.payload, count) == ((1, 2, 3, 4), 3)
    assert store.longest([5]) == (None, 0)
    assert store.longest([]) == (None, 0)


def test_what_was_used_longest_ago_goes_first() -> None:
    """Being found counts as being used."""
    store: PrefixStore[tuple[int, ...]] = PrefixStore(10)
    store.put(prefix([1, 1], size=4))
    store.put(prefix([2, 2], size=4))
    store.longest([1])
    store.put(prefix([3, 3], size=4))
    assert store.longest([2, 2])[1] == 0
    assert store.longest([1, 1])[1] == 2
    assert store.size == 8


def test_a_longer_one_takes_the_place_of_its_beginning() -> None:
    """A conversation that went on is kept once, unless the longer one cannot be cut to the shorter."""
    store: PrefixStore[tuple[int, ...]] = PrefixStore(100)
    store.put(prefix([1, 2]))
    store.put(prefix([1, 2, 3]))
    store.put(prefix([1]))
    assert (len(store), store.size) == (1, 3)
    store.put(prefix([1, 2, 3, 4], divisible=False))
    assert (len(store), store.size) == (2, 7)
    assert store.longest([1, 2, 3, 5])[1] == 3
    assert store.longest([1, 2, 3, 4, 5])[1] == 4


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    """One that could never fit drives nobody out."""
    store: PrefixStore[tuple[int, ...]] = PrefixStore(5)
    store.put(prefix([1, 2]))
    store.put(prefix([3], size=6))
    assert (len(store), store.size) == (1, 2)
    assert (store.clear(), len(store), store.size) == (2, 0, 0)
