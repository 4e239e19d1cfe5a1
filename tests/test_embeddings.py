"""Embeddings: read from what servers send, and given out as rows, lists and arrays of the same numbers."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import math
import pickle
import random
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hfclient.errors import InputError, MissingExtraError, ResponseError
from hfclient.types import Embeddings, Meta, Usage
from hfclient.types.base import with_meta

META = Meta("groq", request_id="r-1")
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRICES = arrays.arrays("<f4", arrays.array_shapes(min_dims=2, max_dims=3, max_side=5), elements=FINITE)


def in_base64(row: Any) -> str:
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()


def answer(*rows: Any, **fields: Any) -> dict[str, Any]:
    return {"data": [{"index": at, "embedding": row} for at, row in enumerate(rows)], **fields}


# Reading


@given(MATRICES)
def test_rows_hold_the_numbers_that_were_sent(matrix: Any) -> None:
    """What JSON has arrives as numpy would read it, in two dimensions and in three."""
    embeddings = Embeddings.from_rows(json.loads(json.dumps(matrix.tolist())))
    assert embeddings.shape == matrix.shape
    assert np.array_equal(embeddings.numpy(), matrix)
    assert embeddings.tolist() == matrix.tolist()


@given(st.lists(st.floats(-1e30, 1e30) | st.integers(-(10**30), 10**30), min_size=1))
def test_numbers_are_rounded_to_float32_as_numpy_rounds_them(row: list[float]) -> None:
    """More digits than float32 holds, and whole numbers, are no mistake."""
    assert np.array_equal(Embeddings.from_rows([row]).numpy(), np.array([row], "float64").astype("float32"))


def test_a_single_vector_is_one_row() -> None:
    """Some servers answer one text with its vector alone."""
    embeddings = Embeddings.from_rows([0.5, 1, -2])
    assert embeddings.shape == (1, 3)
    assert embeddings.tolist() == [[0.5, 1.0, -2.0]]


@given(MATRICES.filter(lambda matrix: matrix.ndim == 2), st.randoms(use_true_random=False), st.booleans())
def test_openai_answers_are_put_in_order_by_index(matrix: Any, chance: random.Random, packed: bool) -> None:
    """However the items are shuffled, the rows come out in the order of the texts, from numbers as from base64."""
    payload = answer(*(in_base64(row) if packed else row.tolist() for row in matrix))
    chance.shuffle(payload["data"])
    embeddings = Embeddings.from_openai(json.loads(json.dumps(payload)))
    assert np.array_equal(embeddings.numpy(), matrix)


def test_openai_answers_may_mix_numbers_and_base64() -> None:
    """Each item is read as what it is."""
    assert Embeddings.from_openai(answer([1, 2], in_base64([3, 4]))).tolist() == [[1, 2], [3, 4]]


def test_openai_answers_may_hold_a_vector_for_each_token() -> None:
    """Items that are lists of vectors give three dimensions."""
    assert Embeddings.from_openai(answer([[1, 2], [3, 4], [5, 6]])).shape == (1, 3, 2)


def test_items_without_an_index_keep_their_order() -> None:
    """Where one of them has none, there is nothing to go by."""
    payload = {"data": [{"index": 1, "embedding": [1]}, {"embedding": [2]}, {"index": 0, "embedding": [3]}]}
    assert Embeddings.from_openai(payload).tolist() == [[1], [2], [3]]
    payload = {"data": [{"index": None, "embedding": [1]}, {"index": None, "embedding": [2]}]}
    assert Embeddings.from_openai(payload).tolist() == [[1], [2]]


@pytest.mark.parametrize("places", [(0, 0), (1, 2), (0, 2), (-1, 0), (0, 1, 1)])
def test_items_numbered_wrongly_are_refused(places: tuple[int, ...]) -> None:
    """A gap or a double means that a text would get another's vector."""
    payload = {"data": [{"index": place, "embedding": [1.0]} for place in places]}
    with pytest.raises(ResponseError, match="numbered"):
        Embeddings.from_openai(payload)


def test_model_and_usage_come_along() -> None:
    """What the server says of itself is kept, and what is wrong in it costs no vectors."""
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    embeddings = Embeddings.from_openai(answer([1], model="bge", usage=usage))
    assert (embeddings.model, embeddings.usage) == ("bge", Usage(prompt_tokens=5, total_tokens=5))
    for wrong in (None, [], {"prompt_tokens": None}, {"prompt_tokens": "many"}):
        embeddings = Embeddings.from_openai(answer([1], model=wrong, usage=wrong))
        assert (embeddings.model, embeddings.usage) == (None, None)
    assert Embeddings.from_rows([1], model="m", usage=Usage()).usage == Usage()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "are empty"),
        ([[]], "are empty"),
        ([[1], []], "are empty"),
        ([[1, 2], [3]], r"ragged: row 0 is 2, row 1 is 1"),
        ([[[1, 2]], [[1, 2], [3, 4]]], r"ragged: row 0 is 1 × 2, row 1 is 2 × 2"),
        ([[1], 2], "have a number where a list"),
        ([1, [2]], "have a list among"),
        ([[1, True]], "have true or false among"),
        ([True], "have true or false among"),
        ([["1"]], "have text among"),
        ([[1, None]], "have null among"),
        ([{"embedding": [1]}], "have an object among"),
        ([[1, math.nan]], "not finite"),
        ([[math.inf, -math.inf]], "not finite"),
        ([[1e39]], "not finite"),
        ([[10**400]], "not finite"),
        (None, "have null where a list"),
        ("[1]", "have text where a list"),
        ({"error": "no"}, "have an object where a list"),
        (b"", "have a bytes where a list"),
        ([[[[[[[[[1]]]]]]]]], "more than 8 deep"),
    ],
)
def test_what_are_no_vectors_is_refused(rows: Any, said: str) -> None:
    """The error says what is wrong and what to do, and shows no numbers."""
    with pytest.raises(ResponseError, match=said) as caught:
        Embeddings.from_rows(rows)
    assert caught.value.advice


def test_ragged_token_vectors_have_a_way_out() -> None:
    """Texts of different lengths give blocks of different lengths, unless each is asked for by itself."""
    with pytest.raises(ResponseError, match="one text at a time"):
        Embeddings.from_rows([[[1, 2]], [[1, 2], [3, 4]]])


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, "it is null"),
        ([[1.0]], "it is a list"),
        ({}, "data is not a list"),
        ({"data": []}, "data is not a list"),
        ({"data": {}}, "data is not a list"),
        ({"data": [[1.0]]}, "data is not a list"),
        ({"data": [{}]}, "null where a list"),
        (answer([1, 2], [3]), "ragged"),
        (answer([1], [[2]]), "ragged"),
        (answer([1], in_base64([2, 3])), "ragged"),
        (answer("AAAA"), "row of 3 bytes"),
        (answer(""), "row of 0 bytes"),
        (answer("AAAAA"), "base64"),
        (answer("A*AA"), "base64"),
        (answer("AAAé"), "base64"),
        (answer(in_base64([math.nan])), "not finite"),
    ],
)
def test_what_is_no_openai_answer_is_refused(payload: Any, said: str) -> None:
    """An answer of another shape is the provider's mistake, and never an error of Python."""
    with pytest.raises(ResponseError, match=said) as caught:
        Embeddings.from_openai(payload)
    assert caught.value.advice


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "embedding", "index"]), inner),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Nothing a server can send ends in anything but embeddings or a ResponseError."""
    for read in (Embeddings.from_rows, Embeddings.from_openai):
        with contextlib.suppress(ResponseError):
            assert len(read(value)) >= 1


def test_base64_is_little_endian_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine counts the other way, the bytes are turned round."""
    text = in_base64([1.5, -2.0])
    other = "little" if sys.byteorder == "big" else "big"
    monkeypatch.setattr(sys, "byteorder", other)
    foreign = ">f4" if other == "big" else "<f4"
    assert Embeddings.from_openai(answer(text)).numpy()[0].tobytes() == np.array([1.5, -2.0], foreign).tobytes()


# Giving out


def test_numpy_takes_the_numbers_over_without_a_copy() -> None:
    """`numpy()`, `asarray` and the rows are all windows on one block, and none can be written to."""
    buffer = array("f", range(6))
    embeddings = Embeddings(buffer, (2, 3))
    block = np.frombuffer(buffer, "float32")
    for window in (embeddings.numpy(), np.asarray(embeddings), np.asarray(embeddings, "float32"), embeddings[0]):
        assert np.shares_memory(np.asarray(window), block)
        assert not np.asarray(window).flags.writeable
    assert np.shares_memory(np.asarray(embeddings[1]), embeddings.numpy()[1])
    assert np.shares_memory(embeddings[1:].numpy(), block)


def test_numpy_may_ask_for_another_type_or_a_copy() -> None:
    """Both are made where they are asked for, and where a copy is forbidden, the reason is said."""
    embeddings = Embeddings.from_rows([[1, 2], [3, 4]])
    assert np.asarray(embeddings, "float64").dtype == np.float64
    copied = np.array(embeddings)
    copied[0, 0] = 9
    assert embeddings[0][0] == 1
    assert not np.shares_memory(embeddings.__array__(copy=True), embeddings.numpy())
    assert np.shares_memory(embeddings.__array__(copy=False), embeddings.numpy())
    with pytest.raises(ValueError, match="without a copy"):
        embeddings.__array__("float64", copy=False)


@given(MATRICES, st.data())
def test_rows_and_slices_are_those_of_the_array(matrix: Any, data: st.DataObject) -> None:
    """Negative indices, steps and the end of the rows are as everywhere in Python."""
    embeddings = Embeddings(matrix.tobytes(), matrix.shape)
    index = data.draw(st.integers(-len(matrix), len(matrix) - 1))
    assert np.array_equal(np.asarray(embeddings[index]), matrix[index])
    part = data.draw(st.slices(len(matrix)))
    assert embeddings[part].shape == matrix[part].shape
    assert np.array_equal(embeddings[part].numpy(), matrix[part])
    assert embeddings[part].tolist() == matrix[part].tolist()
    assert [np.asarray(row).tolist() for row in embeddings] == matrix.tolist()
    with pytest.raises(IndexError):
        _ = embeddings[len(matrix)]


def test_a_row_of_two_dimensions_is_a_view() -> None:
    """It has a length, gives floats, becomes a list, and equals a view of the same numbers."""
    row = Embeddings.from_rows([[1, 2], [3, 4]])[1]
    assert isinstance(row, memoryview)
    assert (len(row), row[0], list(row), row.tolist()) == (2, 3.0, [3.0, 4.0], [3.0, 4.0])
    assert row == memoryview(array("f", [3, 4]))
    with pytest.raises(TypeError):
        row[0] = 1.0


def test_a_row_of_three_dimensions_is_embeddings() -> None:
    """The vectors of one text's tokens, of the same model."""
    row = Embeddings.from_rows([[[1, 2], [3, 4], [5, 6]]], model="m")[0]
    assert isinstance(row, Embeddings)
    assert (row.shape, row.model, row.tolist()) == ((3, 2), "m", [[1, 2], [3, 4], [5, 6]])


def test_numpy_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else works without it."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    embeddings = Embeddings.from_rows([[3, 4], [4, 3]])
    with pytest.raises(MissingExtraError) as caught:
        embeddings.numpy()
    assert caught.value.advice == "pip install numpy"
    assert embeddings.tolist() == [[3, 4], [4, 3]]
    assert embeddings.cosine()[0] == pytest.approx([1.0, 0.96])


# Comparing


@given(arrays.arrays("<f4", (3, 4), elements=st.floats(-100, 100, width=32)), st.integers(1, 3))
def test_cosine_is_what_numpy_computes(matrix: Any, rows: int) -> None:
    """Every row here with every row there; rows of zeros are like nothing."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        wide = matrix.astype("float64")
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        unit = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    embeddings = Embeddings(matrix.tobytes(), matrix.shape)
    np.testing.assert_allclose(embeddings.cosine(), unit @ unit.T, atol=1e-9)
    np.testing.assert_allclose(embeddings.cosine(embeddings[:rows]), unit @ unit[:rows].T, atol=1e-9)


@pytest.mark.parametrize(("here", "there"), [([[1, 2]], [[1, 2, 3]]), ([[1]], [[[1]]]), ([[[1]]], None)])
def test_what_has_no_vector_for_each_text_is_not_compared(here: Any, there: Any) -> None:
    """Other dimensions, or several vectors for a text, are the caller's mistake, with the way out."""
    with pytest.raises(InputError, match="by the same model"):
        Embeddings.from_rows(here).cosine(there and Embeddings.from_rows(there))


# Joining


def test_the_rows_of_several_answers_are_joined_in_order() -> None:
    """Rows and usages add up, and the model is the first one's."""
    first = Embeddings.from_openai(answer([1], [2], model="m", usage={"prompt_tokens": 3, "total_tokens": 3}))
    second = Embeddings.from_openai(answer([3], model="m", usage={"prompt_tokens": 4, "total_tokens": 5}))
    whole = Embeddings.joined([first, second])
    assert (whole.tolist(), whole.shape, whole.model) == ([[1], [2], [3]], (3, 1), "m")
    assert whole.usage == Usage(prompt_tokens=7, total_tokens=8)
    assert Embeddings.joined([first, Embeddings.from_rows([[3]])]).usage is None
    assert Embeddings.joined([first]) == first


@pytest.mark.parametrize(("costs", "cost"), [([0.5, 0.25], 0.75), ([0.5, None], None), ([0], 0)])
def test_costs_that_a_provider_states_add_up(costs: list[float | None], cost: float | None) -> None:
    """The whole has a cost of its own only where every part had one."""
    parts = [Embeddings.from_openai(answer([1], usage={"total_tokens": 1, "estimated_cost": each})) for each in costs]
    assert Embeddings.joined(parts).cost == cost


def test_answers_of_different_shapes_are_not_joined() -> None:
    """Vectors of another length belong to another model, or to texts with other tokens."""
    with pytest.raises(ResponseError, match="ragged"):
        Embeddings.joined([Embeddings.from_rows([[1]]), Embeddings.from_rows([[1, 2]])])
    with pytest.raises(InputError, match="no embeddings"):
        Embeddings.joined([])


# As a value


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_embeddings_can_be_copied_and_pickled(again: Any) -> None:
    """Numbers, shape, model, usage and meta are all kept."""
    embeddings = Embeddings.from_openai(answer([1, 2], [3, 4], model="m", usage={"total_tokens": 2}))
    same = again(with_meta(embeddings, META))
    assert same == embeddings
    assert (same.model, same.usage, same.meta) == ("m", Usage(total_tokens=2), META)


def test_embeddings_are_equal_where_numbers_and_shape_are() -> None:
    """The same numbers in another shape are something else, and so is a list."""
    assert Embeddings.from_rows([[1, 2]]) == Embeddings.from_rows([1, 2], model="m")
    assert Embeddings.from_rows([[1, 2]]) != Embeddings.from_rows([[1], [2]])
    assert Embeddings.from_rows([[1, 2]]) != Embeddings.from_rows([[1, 3]])
    assert Embeddings.from_rows([[1, 2]]) != [[1, 2]]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Embeddings.from_rows([1]))


def test_embeddings_are_frozen() -> None:
    """Nothing about them can be set, and `meta` says why it is not there."""
    embeddings = Embeddings.from_rows([1])
    with pytest.raises(AttributeError, match="shape cannot be set"):
        embeddings.shape = (1,)
    with pytest.raises(AttributeError, match="model cannot be deleted"):
        del embeddings.model
    with pytest.raises(AttributeError, match="did not come from a call"):
        _ = embeddings.meta


def test_a_repr_is_the_shape() -> None:
    """A thousand vectors do not fill the terminal."""
    assert repr(Embeddings.from_rows([[0.5] * 384] * 2)) == "Embeddings(2 × 384)"
    assert repr(Embeddings.from_rows([[[0.5]]])) == "Embeddings(1 × 1 × 1)"


@pytest.mark.parametrize("shape", [(4,), (2, 3), (), (1, 2, 3)])
def test_a_shape_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    """The buffer has four numbers."""
    with pytest.raises(InputError, match="16 bytes"):
        Embeddings(array("f", range(4)), shape)
