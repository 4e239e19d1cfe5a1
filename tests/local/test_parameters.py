"""What a call's parameters mean to a local model: each is heeded or refused, none is passed over in silence."""

from __future__ import annotations

from typing import Any

import pytest

from hfclient.call import Call
from hfclient.errors import InputError, ModelFilesError
from hfclient.local.engine import Sampling
from hfclient.local.parameters import BOOKKEEPING, OF_A_CHAT, OF_A_TEXT, arguments_of, for_choice, wishes_of
from hfclient.tasks.chat import ChatSettings
from hfclient.tasks.generation import TextGenerationParameters

# What changes the answer in a way that no model here can bring about.
REFUSED_OF_A_CHAT = {
    "audio", "function_call", "functions", "modalities", "moderation", "verbosity", "web_search_options",
}  # fmt: skip
REFUSED_OF_A_TEXT = {"adapter_id", "best_of", "decoder_input_details", "watermark"}


def call(task: str = "conversational", **parameters: Any) -> Call:
    return Call(task, "Hi", parameters=parameters)


def sampling(defaults: dict[str, Any] | None = None, **arguments: Any) -> Sampling:
    return wishes_of(arguments, defaults or {}).sampling


def test_every_parameter_has_its_place() -> None:
    """A parameter that is new in the client has to be heeded here, or refused, or be shown to change nothing."""
    assert set(ChatSettings.__annotations__) <= OF_A_CHAT | BOOKKEEPING | REFUSED_OF_A_CHAT
    assert not REFUSED_OF_A_CHAT & (OF_A_CHAT | BOOKKEEPING)
    assert set(TextGenerationParameters.__annotations__) <= OF_A_TEXT | REFUSED_OF_A_TEXT
    assert not REFUSED_OF_A_TEXT & OF_A_TEXT


@pytest.mark.parametrize("name", sorted(REFUSED_OF_A_CHAT))
def test_what_a_chat_cannot_do_is_refused(name: str) -> None:
    """It is named."""
    with pytest.raises(InputError, match=f"does not take {name}"):
        arguments_of(call(**{name: ["audio"]}), OF_A_CHAT)


@pytest.mark.parametrize("name", sorted(REFUSED_OF_A_TEXT))
def test_what_a_text_cannot_do_is_refused(name: str) -> None:
    """It is named."""
    with pytest.raises(InputError, match=f"does not take {name}"):
        arguments_of(call("text-generation", **{name: 2}), OF_A_TEXT)


def test_what_is_done_anyhow_may_be_asked_for() -> None:
    """Words of providers that ask for nothing more are passed over; no other is, be it False."""
    anyhow = {"watermark": False, "decoder_input_details": False, "best_of": 1, "modalities": ["text"], "user": "u"}
    assert arguments_of(call(**anyhow), OF_A_TEXT) == {}
    for name in ("enable_thinking", "temprature", "include_reasoning"):
        with pytest.raises(InputError, match=f"does not take {name}"):
            arguments_of(Call("conversational", "Hi", body={name: False}), OF_A_CHAT)
    assert arguments_of(Call("conversational", "Hi", body={"add_generation_prompt": False}), OF_A_CHAT)


@pytest.mark.parametrize(
    ("arguments", "temperature"),
    [
        ({}, 0.0),
        ({"seed": 1}, 0.0),
        ({"temperature": 0.5}, 0.5),
        ({"do_sample": True}, 1.0),
        ({"n": 2}, 1.0),
        ({"top_p": 0.5}, 1.0),
        ({"top_k": 5}, 1.0),
        ({"min_p": 0.1}, 1.0),
        ({"typical_p": 0.9}, 1.0),
        ({"do_sample": False, "temperature": 0.5}, 0.0),
        ({"temperature": 0, "n": 2}, 0.0),
    ],
    ids=str,
)
def test_when_chance_has_a_say(arguments: dict[str, Any], temperature: float) -> None:
    """Without a word of the model or the call the likeliest token is taken; whoever says how to choose wants chance."""
    assert sampling(**arguments).temperature == temperature


def test_what_the_model_has_for_itself() -> None:
    """generation_config.json holds where a call says nothing, its bounds wherever chance has a say."""
    defaults = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": None, "repetition_penalty": 1.1}
    alone = sampling({**defaults, "do_sample": True})
    assert (alone.temperature, alone.top_k, alone.top_p, alone.min_p, alone.repetition_penalty) == (
        0.6, 20, 0.95, 0.0, 1.1,
    )  # fmt: skip
    greedy = sampling(defaults)
    assert (greedy.temperature, greedy.top_k, greedy.repetition_penalty) == (0.0, 0, 1.1)
    asked = sampling(defaults, temperature=1.5)
    assert (asked.temperature, asked.top_k, asked.top_p) == (1.5, 20, 0.95)
    assert sampling({**defaults, "do_sample": True}, top_k=0, repetition_penalty=1).top_k == 0
    assert sampling({"do_sample": True, "temperature": 0.0}).temperature == 0
    assert wishes_of({}, {"max_new_tokens": 512}).max_tokens == 512
    assert wishes_of({"max_tokens": 5}, {"max_new_tokens": 512}).max_tokens == 5
    assert wishes_of({}, {}).max_tokens is None


@pytest.mark.parametrize(
    "defaults", [{"do_sample": True, "temperature": "hot"}, {"repetition_penalty": -1}, {"max_new_tokens": 0.5}]
)
def test_a_model_that_contradicts_itself(defaults: dict[str, Any]) -> None:
    """A value that cannot be is told as the model's fault, not the caller's."""
    with pytest.raises(ModelFilesError, match=r"generation_config\.json"):
        wishes_of({}, defaults)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"truncate": 0}, "truncate=0 is not a whole number from 1 up"),
        ({"truncate": -5}, "truncate=-5 is not"),
        ({"n": 129}, "n=129 is more than 128"),
        ({"n": True}, "n=True is not"),
        ({"max_tokens": 2.0}, "max_tokens=2.0 is not"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 is not"),
        ({"max_completion_tokens": 5, "max_tokens": 0}, "max_tokens=0 is not"),
        ({"stop": ["a", ""]}, "empty text"),
        ({"stop": [1]}, "stop holds 1"),
        ({"temperature": 10**400}, "temperature=.* is not a number"),
        ({"temperature": float("nan")}, "temperature=nan is not"),
        ({"temperature": "1"}, "temperature='1' is not"),
        ({"min_p": 1.1}, r"min_p=1\.1 is not"),
        ({"typical_p": 0}, "typical_p=0 is not"),
        ({"top_k": 1.5}, r"top_k=1\.5 is not"),
        ({"presence_penalty": -3}, "presence_penalty=-3 is not"),
        ({"repetition_penalty": 0}, "repetition_penalty=0 is not"),
        ({"seed": 1.5}, r"seed=1\.5 is not"),
        ({"top_n_tokens": 2}, "without details=True"),
        ({"top_n_tokens": 21, "details": True}, "top_n_tokens=21 is more than 20"),
        ({"logit_bias": {"1": 10**400}}, "no mapping of token ids"),
        ({"logit_bias": {"x": 1}}, "no mapping of token ids"),
        ({"logit_bias": {"-1": 1}}, "-1: 1 is not a token id"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_named(arguments: dict[str, Any], said: str) -> None:
    """The parameter, its value, and what it may be."""
    with pytest.raises(InputError, match=said):
        wishes_of(arguments, {})


def test_what_is_read() -> None:
    """Each parameter under all of its names."""
    for name in ("max_tokens", "max_completion_tokens", "max_new_tokens"):
        assert wishes_of({name: 7}, {}).max_tokens == 7
    assert wishes_of({"max_completion_tokens": 7, "max_tokens": 9}, {}).max_tokens == 7
    assert wishes_of({"stop": "a"}, {}).stop == ("a",)
    assert wishes_of({"stop": ["a", "b"]}, {}).stop == ("a", "b")
    assert sampling(logit_bias={"3": -100, 4: 1.5, "5": 0}).logit_bias == {3: -100.0, 4: 1.5}
    assert sampling(logit_bias=[0, 0, 2]).logit_bias == {2: 2.0}
    assert (sampling(top_k=-1).top_k, sampling(seed=3.0).seed) == (0, 3)
    for arguments, told in (
        ({}, None),
        ({"logprobs": False}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 4}, 4),
        ({"details": True}, 0),
        ({"details": True, "top_n_tokens": 4}, 4),
    ):
        assert sampling(**arguments).top_logprobs == told


def test_each_choice_has_a_seed_of_its_own() -> None:
    """Made from the one that was given; without one there is none."""
    assert [for_choice(Sampling(seed=7), index).seed for index in range(3)] == [7, 8, 9]
    assert for_choice(Sampling(), 2).seed is None
