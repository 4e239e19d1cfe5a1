"""A list of results is a list, and knows where it came from."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient.types import Items, Meta
from hfclient.types.base import CarriesMeta, with_meta

META = Meta("groq", request_id="r-1")


@given(st.lists(st.integers()))
def test_items_are_a_list(values: list[int]) -> None:
    """Equality, repr, length, order and truth are those of the list."""
    items = Items(values)
    assert items == values
    assert repr(items) == repr(values)
    assert (len(items), bool(items), list(items)) == (len(values), bool(values), values)


def test_items_know_the_call_they_came_from() -> None:
    """`meta` is there once the dispatcher has given it, and before that says why it is not."""
    items = Items(["a", "b"])
    with pytest.raises(AttributeError, match="did not come from a call"):
        _ = items.meta
    assert isinstance(items, CarriesMeta)
    assert with_meta(items, META) is items
    assert items.meta is META


def test_what_is_taken_from_items_is_a_plain_list() -> None:
    """A slice, a sum or a copy is no longer the answer to the call."""
    items = Items([1, 2, 3]).with_meta(META)
    for other in (items[:2], items + [4], items * 2, sorted(items)):  # noqa: RUF005  the sum itself is tried
        assert type(other) is list


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda items: pickle.loads(pickle.dumps(items))])
def test_items_keep_their_meta_when_copied_or_pickled(again: Callable[[object], object]) -> None:
    """A result can be sent to another process, or kept."""
    same = again(Items([{"label": "cat"}]).with_meta(META))
    assert same == [{"label": "cat"}]
    assert isinstance(same, Items)
    assert same.meta == META
