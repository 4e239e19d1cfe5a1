"""What a call asks of a local model: OpenAI's parameters and Hugging Face's, read, checked, and made the engine's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from hfclient.call import Call, nearest, spoken
from hfclient.errors import InputError, ModelFilesError
from hfclient.local.engine import Sampling

Arguments: TypeAlias = Mapping[str, Any]
Check: TypeAlias = Callable[[float], bool]
T = TypeVar("T")

MOST_LIKELY = 20
MOST_CHOICES = 128  # as OpenAI has it

# They tell a provider whom it serves, how to bill it, or how to be quicker: no word of the answer hangs on them.
BOOKKEEPING = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
SAMPLING = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "min_p",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    }
)
OF_A_CHAT = SAMPLING | {
    "add_generation_prompt",
    "chat_template_kwargs",
    "continue_final_message",
    "documents",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "stop",
    "stream_options",
    "tool_choice",
    "tool_prompt",
    "tools",
    "top_logprobs",
}
OF_A_TEXT = SAMPLING | {
    "details",
    "do_sample",
    "grammar",
    "max_new_tokens",
    "max_tokens",
    "return_full_text",
    "stop",
    "stream_options",
    "top_n_tokens",
    "truncate",
}

# What only asks for what is done anyhow.
_ANYHOW: Mapping[str, object] = {
    "best_of": 1,
    "decoder_input_details": False,
    "modalities": ["text"],
    "watermark": False,
}
_LENGTHS = ("max_completion_tokens", "max_tokens", "max_new_tokens")
_CHANCE = ("temperature", "top_p", "top_k", "min_p", "typical_p")
_ELSEWHERE = "Leave it out here, or ask a provider that takes it."
_INSTEAD = {
    **dict.fromkeys(("audio", "moderation", "verbosity", "watermark", "web_search_options"), _ELSEWHERE),
    "modalities": "Models on this machine write text.",
    "functions": "Pass them as tools=[…].",
    "function_call": "Pass tool_choice=….",
    "best_of": "Ask several times, with seeds of your own.",
    "adapter_id": "Load a model that has the adapter merged into it.",
}
_RANGES: Mapping[str, tuple[Check, str]] = {
    "temperature": (lambda value: value >= 0, "a number from 0 up"),
    "top_p": (lambda value: 0 < value <= 1, "a number above 0, up to 1"),
    "typical_p": (lambda value: 0 < value <= 1, "a number above 0, up to 1"),
    "min_p": (lambda value: 0 <= value <= 1, "a number from 0 to 1"),
    "top_k": (lambda value: value >= -1 and value == int(value), "a whole number from 0 up"),
    "repetition_penalty": (lambda value: value > 0, "a number above 0"),
    "frequency_penalty": (lambda value: -2 <= value <= 2, "a number from -2 to 2"),  # noqa: PLR2004
    "presence_penalty": (lambda value: -2 <= value <= 2, "a number from -2 to 2"),  # noqa: PLR2004
    "seed": (lambda value: value == int(value), "a whole number"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a text is to be written, whatever it is about. `max_tokens` is None where the call leaves it open."""

    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...] = ()
    n: int = 1


def arguments_of(call: Call, known: frozenset[str]) -> dict[str, Any]:
    """The call's parameters; one that this machine cannot honour is refused, before anything is loaded."""
    arguments = {name: value for name, value in call.arguments.items() if value is not None and name not in BOOKKEEPING}
    for name, value in arguments.items():
        if name not in known and value != _ANYHOW.get(name):
            advice = _INSTEAD.get(name) or nearest(name, known, "It takes")
            raise InputError(f"{spoken(call.task)} on this machine does not take {name}.", advice=advice)
    return {name: value for name, value in arguments.items() if name in known}


def wishes_of(arguments: Arguments, defaults: Arguments) -> Wishes:
    """What the arguments ask for; the model's own defaults stand where they say nothing."""
    for name in (*_LENGTHS, "truncate"):
        if name in arguments:
            _whole(name, arguments[name], 1)
    n = _whole("n", arguments.get("n", 1), 1, MOST_CHOICES)
    stop = _stops(arguments.get("stop"))
    sampling = _sampling(arguments, defaults, several=n > 1)
    return Wishes(sampling=sampling, max_tokens=_length(arguments, defaults), stop=stop, n=n)


def _length(arguments: Arguments, defaults: Arguments) -> int | None:
    asked = next((arguments[name] for name in _LENGTHS if name in arguments), None)
    usual = defaults.get("max_new_tokens")
    return asked if asked or not usual else _of_the_model(partial(_whole, "max_new_tokens", usual, 1))


def for_choice(sampling: Sampling, index: int) -> Sampling:
    """The sampling of one of several choices: each has a seed of its own, made from the one that was given."""
    return sampling if sampling.seed is None or index == 0 else replace(sampling, seed=sampling.seed + index)


def _sampling(arguments: Arguments, defaults: Arguments, *, several: bool) -> Sampling:
    given = {name: _number(name, arguments[name]) for name in _RANGES if name in arguments}
    # Who says how to choose, or wants several answers, does not mean the likeliest word each time.
    by_chance = several or arguments.get("do_sample") or not given.keys().isdisjoint(_CHANCE)
    usual = _usual(defaults, by_chance=bool(by_chance or defaults.get("do_sample")))
    if arguments.get("do_sample") is False:
        given["temperature"] = 0.0
    values = {**usual, **given}
    seed, top_k = values.pop("seed", None), values.pop("top_k", 0)
    return Sampling(
        **cast("dict[str, Any]", values),
        top_k=max(0, int(top_k)),
        seed=None if seed is None else int(seed),
        logit_bias=_bias(arguments.get("logit_bias")),
        top_logprobs=_likely(arguments),
    )


def _usual(defaults: Arguments, *, by_chance: bool) -> dict[str, float]:
    """How the model's authors would have it choose, in its generation_config.json; 0 is their word for no bound."""
    names = ("repetition_penalty", *(_CHANCE if by_chance else ()))
    said = {
        name: defaults[name] for name in names if defaults.get(name) or (name, defaults.get(name)) == ("temperature", 0)
    }
    usual = {name: _of_the_model(partial(_number, name, value)) for name, value in said.items()}
    return {"temperature": 1.0 if by_chance else 0.0, **usual}


def _of_the_model(read: Callable[[], T]) -> T:
    try:
        return read()
    except InputError as error:
        raise ModelFilesError(
            f"The model's generation_config.json cannot be followed: {error.message}",
            advice="Correct it there, or download the model again.",
        ) from None


def _number(name: str, value: Any) -> float:
    fits, what = _RANGES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if not number or not fits(value):
        raise InputError(f"{name}={value!r} is not {what}.")
    return cast("float", value)


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r} is not a whole number from {least} up.")
    if most is not None and value > most:
        raise InputError(f"{name}={value} is more than {most}.")
    return value


def _likely(arguments: Arguments) -> int | None:
    """How many of the likeliest tokens are to be told beside the chosen one, None where nothing is."""
    several = 0
    for name, whole in (("top_logprobs", "logprobs"), ("top_n_tokens", "details")):
        if name not in arguments:
            continue
        several = _whole(name, arguments[name], 0, MOST_LIKELY)
        if not arguments.get(whole):
            raise InputError(f"{name} is given without {whole}=True.", advice="Give both, or neither.")
    return several if arguments.get("logprobs") or arguments.get("details") else None


def _bias(given: Mapping[str | int, float] | Sequence[float] | None) -> dict[int, float]:
    pairs = given.items() if isinstance(given, Mapping) else enumerate(given or ())
    try:
        bias = {int(token): float(value) for token, value in pairs if value}
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            "logit_bias is no mapping of token ids to numbers.", advice='For example logit_bias={"1734": -100}.'
        ) from None
    for token, value in bias.items():
        if token < 0 or not -100 <= value <= 100:  # noqa: PLR2004  OpenAI's bounds
            raise InputError(f"logit_bias: {token}: {value:g} is not a token id with a number from -100 to 100.")
    return bias


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    for each in cast("tuple[object, ...]", stops):
        if not isinstance(each, str):
            raise InputError(f"stop holds {each!r}, which is no text.")
    if not all(stops):
        raise InputError(
            "stop holds an empty text, with which every answer ends before it begins.", advice="Leave that out."
        )
    return stops
