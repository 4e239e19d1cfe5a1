"""What a call asks of a local model: OpenAI's parameters and Hugging Face's, read, checked, and made the engine's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from hfclient.call import Call, nearest, spoken
from hfclient.errors import InputError
from hfclient.local.engine import Sampling

Arguments: TypeAlias = Mapping[str, Any]
Check: TypeAlias = Callable[[float], bool]

MOST_LIKELY = 20

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
    "chat_template_kwargs",
    "continue_final_message",
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

_INSTEAD = {
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
        if name not in known and not _says_nothing(name, value):
            advice = _INSTEAD.get(name) or nearest(name, known, "It takes")
            raise InputError(f"{spoken(call.task)} on this machine does not take {name}.", advice=advice)
    return {name: value for name, value in arguments.items() if name in known}


def _says_nothing(name: str, value: Any) -> bool:
    """Whether it only asks for what is done anyhow."""
    return value is False or (name == "modalities" and list(value) == ["text"]) or (name == "best_of" and value == 1)


def wishes_of(arguments: Arguments, defaults: Arguments) -> Wishes:
    """What the arguments ask for; the model's own defaults stand where they say nothing."""
    limit = _first(arguments, "max_completion_tokens", "max_tokens", "max_new_tokens")
    if limit is not None:
        _whole("max_tokens", limit, 1)
    n = _whole("n", arguments.get("n", 1), 1)
    sampling = _sampling(arguments, defaults, several=n > 1)
    return Wishes(sampling=sampling, max_tokens=limit, stop=_stops(arguments.get("stop")), n=n)


def for_choice(sampling: Sampling, index: int) -> Sampling:
    """The sampling of one of several choices: each has a seed of its own, made from the one that was given."""
    return sampling if sampling.seed is None or index == 0 else replace(sampling, seed=sampling.seed + index)


def _sampling(arguments: Arguments, defaults: Arguments, *, several: bool) -> Sampling:
    given = {name: _number(name, arguments[name]) for name in _RANGES if name in arguments}
    # Who says how to choose, or wants several answers, does not mean the likeliest word each time.
    by_chance = several or arguments.get("do_sample") or not given.keys().isdisjoint({"top_p", "top_k", "min_p"})
    usual = _usual(defaults, by_chance=bool(by_chance))
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
    """How the model's authors would have it choose, in its generation_config.json."""
    usual = {name: float(defaults[name]) for name in ("repetition_penalty",) if defaults.get(name)}
    if not (defaults.get("do_sample") or by_chance):
        return {**usual, "temperature": 0.0}
    names = ("temperature", "top_p", "top_k", "min_p", "typical_p") if defaults.get("do_sample") else ()
    return {"temperature": 1.0, **usual, **{name: float(defaults[name]) for name in names if defaults.get(name)}}


def _number(name: str, value: Any) -> float:
    fits, what = _RANGES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not fits(value):
        raise InputError(f"{name}={value!r} is not {what}.")
    return cast("float", value)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value!r} is not a whole number from {least} up.")
    return value


def _likely(arguments: Arguments) -> int | None:
    """How many of the likeliest tokens are to be told beside the chosen one, None where nothing is."""
    several = arguments.get("top_logprobs", arguments.get("top_n_tokens"))
    if several is not None and _whole("top_logprobs", several, 0) > MOST_LIKELY:
        raise InputError(f"top_logprobs={several} is more than {MOST_LIKELY}.")
    if "top_logprobs" in arguments and not arguments.get("logprobs"):
        raise InputError("top_logprobs is given without logprobs=True.", advice="Give both, or neither.")
    wanted = arguments.get("logprobs") or arguments.get("details") or several
    return (several or 0) if wanted else None


def _bias(given: Mapping[str | int, float] | Sequence[float] | None) -> dict[int, float]:
    pairs = given.items() if isinstance(given, Mapping) else enumerate(given or ())
    try:
        bias = {int(token): float(value) for token, value in pairs if value}
    except (TypeError, ValueError):
        raise InputError(
            "logit_bias is no mapping of token ids to numbers.", advice='For example logit_bias={"1734": -100}.'
        ) from None
    for token, value in bias.items():
        if token < 0 or not -100 <= value <= 100:  # noqa: PLR2004  OpenAI's bounds
            raise InputError(f"logit_bias: {token}: {value:g} is not a token id with a number from -100 to 100.")
    return bias


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(stops):
        raise InputError("stop holds an empty text, with which every answer ends before it begins.")
    return stops


def _first(arguments: Arguments, *names: str) -> Any:
    return next((arguments[name] for name in names if name in arguments), None)
