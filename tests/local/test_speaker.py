"""What follows from a model's tokenizer and its files, without a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hfclient.local.engine import Loaded
from hfclient.local.options import LocalOptions
from hfclient.local.speaker import Speaker, number
from tests.local.fake_engine import FakeEngine


def speaker(
    context: int | None = 100, defaults: dict[str, Any] | None = None, ends: Any = 2, **options: Any
) -> Speaker:
    loaded = Loaded(
        engine=FakeEngine(),
        tokenizer=SimpleNamespace(eos_token_id=ends),
        size=1,
        device="cpu",
        context_length=context,
        defaults=defaults or {},
    )
    return Speaker("m", loaded, LocalOptions(**options))


@pytest.mark.parametrize(
    ("told", "ends", "stops"),
    [
        (None, 2, {2}),
        (3, 2, {2, 3}),
        ([3, 4], 2, {2, 3, 4}),
        ([3, None], None, {3}),
        ("</s>", 2, {2}),
        (["</s>", 3], None, {3}),
        (None, None, set()),
    ],
)
def test_what_ends_an_answer(told: Any, ends: Any, stops: set[int]) -> None:
    """The tokens that generation_config.json names, and the tokenizer's; what is no token ends nothing."""
    assert speaker(defaults={"eos_token_id": told}, ends=ends).stop_tokens == stops


@pytest.mark.parametrize(
    ("context", "options", "longest"),
    [
        (100, {}, 99),
        (100, {"max_input_length": 50}, 50),
        (100, {"max_input_length": 100}, 99),
        (None, {"max_input_length": 7}, 7),
        (None, {}, None),
    ],
)
def test_how_long_a_prompt_may_be(context: int | None, options: dict[str, Any], longest: int | None) -> None:
    """There is room for one more token at the least."""
    assert speaker(context, **options).longest == longest


def test_the_room_that_is_left() -> None:
    """An answer ends with the model's context, or before it where less is wanted."""
    assert [speaker().room([0] * 90, wanted) for wanted in (None, 5, 10, 50)] == [10, 5, 10, 10]
    assert [speaker().room([0] * 99, wanted) for wanted in (None, 1, 2)] == [1, 1, 1]
    assert speaker(None).room([0] * 90, 50) == 50
    assert speaker(None).room([0] * 90, None) > 10**9


def test_who_forbids_a_long_prompt() -> None:
    """The error says whether it is the model, or the options."""
    assert "the model takes 99." in str(speaker().too_long(120, 99))
    assert "120 tokens, and max_input_length allows 50." in str(speaker(max_input_length=50).too_long(120, 50))


def test_no_number_is_given_twice() -> None:
    """Generations of all models and loops are told apart."""
    assert len({number() for _ in range(100)}) == 100
