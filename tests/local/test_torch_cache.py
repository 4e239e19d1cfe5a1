"""Keys and values in a room with space for more: who goes on where, and when they must be copied."""

from __future__ import annotations

import pytest
import torch

from hfclient.local.torch_cache import RoomyLayer, cut, roomy, shared
from hfclient.local.torch_linear import FEW, FewRows, quicken
from tests.local.torch_models import model_of


class Layers:
    """A cache of two layers, and what it holds as plain numbers."""

    def __init__(self) -> None:
        self.layers = [RoomyLayer(), RoomyLayer()]


def read(cache: object, *numbers: float) -> None:
    for layer in cache.layers:  # type: ignore[attr-defined]
        new = torch.tensor(numbers).view(1, 1, -1, 1)
        layer.update(new, new + 100)


def known(cache: object) -> list[float]:
    first, second = (layer.keys.flatten().tolist() for layer in cache.layers)  # type: ignore[attr-defined]
    assert first == second
    return list(first)


def place(cache: object) -> int:
    return int(cache.layers[0].room.keys.data_ptr())  # type: ignore[attr-defined]


def blank() -> object:
    return roomy(Layers())


def test_the_next_tokens_are_written_behind_the_last_ones() -> None:
    """Going on copies nothing as long as there is room."""
    cache = blank()
    read(cache, 1, 2)
    before = place(cache)
    for number in range(3, 20):
        read(cache, number)
    assert known(cache) == [*range(1, 20)]
    assert place(cache) == before


def test_two_go_on_from_the_same_beginning() -> None:
    """The first does so in place, the second in a room of its own; neither sees the other's tokens."""
    cache = blank()
    read(cache, 1, 2, 3)
    one, other = shared(cache), shared(cache)
    read(one, 4)
    read(other, 5)
    assert (known(cache), known(one), known(other)) == ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5])
    assert place(one) == place(cache) != place(other)


def test_an_ending_that_nobody_shows_any_more_gives_way() -> None:
    """Cut and gone on from, a room is used again once the longer one is gone, and not before."""
    cache = blank()
    read(cache, 1, 2, 3, 4, 5)
    before = place(cache)
    shorter = cut(cache, 2)
    read(shorter, 6)
    assert (known(cache), known(shorter)) == ([1, 2, 3, 4, 5], [1, 2, 3, 6])
    assert place(shorter) != before
    another = cut(cache, 3)
    del cache
    read(another, 7)
    assert known(another) == [1, 2, 7]
    assert place(another) == before


@pytest.mark.parametrize("rows", [1, 2, FEW, FEW + 1])
@pytest.mark.parametrize("bias", [True, False])
def test_the_quicker_product_is_the_same(rows: int, bias: bool) -> None:
    """However many rows there are, in whatever shape they come, and in double precision as ever."""
    torch.manual_seed(0)
    plain = torch.nn.Linear(24, 40, bias=bias)
    quick = torch.nn.Linear(24, 40, bias=bias)
    quick.load_state_dict(plain.state_dict())
    double = torch.nn.Linear(24, 40, dtype=torch.float64)
    quicken(torch.nn.Sequential(quick, double))
    assert (type(quick), type(double)) == (FewRows, torch.nn.Linear)
    with torch.inference_mode():
        for shape in ((rows, 24), (rows, 1, 24), (1, rows, 24)):
            x = torch.randn(shape)
            torch.testing.assert_close(quick(x), plain(x))
            assert quick(x).is_contiguous()


def test_a_whole_model_says_the_same() -> None:
    """The scores of a model whose layers were quickened are those it had before."""
    model = model_of("llama")
    ids = torch.arange(1, 9)[None]
    before = model(ids).logits
    try:
        quicken(model)
        torch.testing.assert_close(model(ids).logits, before)
    finally:
        for layer in model.modules():
            if type(layer) is FewRows:
                layer.__class__ = torch.nn.Linear
