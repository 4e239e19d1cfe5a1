"""How models are run on this machine: `LocalOptions`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, cast, get_args

from hfclient.call import unknown_option
from hfclient.errors import InputError

EngineName: TypeAlias = Literal["auto", "torch", "mlx"]
Device: TypeAlias = str  # "auto", "cpu", "cuda", "cuda:1", "mps", …
Dtype: TypeAlias = Literal["auto", "float16", "bfloat16", "float32"]
Quantization: TypeAlias = Literal["4bit", "8bit"]
Attention: TypeAlias = Literal["auto", "eager", "sdpa", "flash_attention_2"]
LongInput: TypeAlias = Literal["error", "truncate"]

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How models are found, loaded and run on this machine.

    `engine="auto"` is MLX on Apple silicon where it is installed, and PyTorch otherwise. `max_input_length` is in
    tokens; a longer prompt is an error, or loses its beginning with `long_input="truncate"`. `prefix_cache_bytes` is
    what may be kept of earlier prompts, for each model; `memory_budget` bounds the weights of all loaded models, the
    least recently used of which goes first; `idle_unload` frees a model that nobody has asked for so many seconds.
    `prompt_format` is a Jinja chat template, for a model that brings none. `aliases` are short names of your own.
    """

    engine: EngineName = "auto"
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantization: Quantization | None = None
    attention: Attention = "auto"
    revision: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    prompt_format: str | None = None
    max_input_length: int | None = None
    long_input: LongInput = "error"
    max_sequences: int = 16
    prefix_cache_bytes: int = GIB
    memory_budget: int | None = None
    idle_unload: float | None = None
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                said = ", ".join(repr(choice) for choice in choices)
                raise InputError(f"LocalOptions: {name}={getattr(self, name)!r} is not one of {said}.")
        for name in ("allow_pickle", "trust_remote_code"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"LocalOptions: {name}={getattr(self, name)!r} is neither True nor False.")
        for name in ("device", "revision", "prompt_format"):
            value = getattr(self, name)
            if not (isinstance(value, str) and value) and not (value is None and name != "device"):
                raise InputError(f"LocalOptions: {name}={value!r} is not a text.")
        for name, least in (
            ("max_input_length", 1),
            ("max_sequences", 1),
            ("prefix_cache_bytes", 0),
            ("memory_budget", 1),
        ):
            _check_whole(name, getattr(self, name), least, optional=name in {"max_input_length", "memory_budget"})
        if self.idle_unload is not None and not _is_seconds(self.idle_unload):
            raise InputError(f"LocalOptions: idle_unload={self.idle_unload!r} is not a number of seconds above 0.")
        _check_aliases(self.aliases)

    def changed(self, changes: Mapping[str, Any]) -> LocalOptions:
        """These options with some of them replaced."""
        known = {each.name for each in fields(self)}
        for name in changes:
            if name not in known:
                raise unknown_option(name, known, where="LocalOptions")
        return LocalOptions(**{**{name: getattr(self, name) for name in known}, **changes})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is around the models of one client: its options, the Hub it knows, and whether that may be asked."""

    options: LocalOptions
    hub_url: str
    offline: bool = False


def checked_options(options: LocalOptions | None) -> LocalOptions:
    """What `Client(local=…)` was given."""
    if not isinstance(options, LocalOptions | None):
        raise InputError(f"local={options!r} is no LocalOptions.", advice='Pass LocalOptions(engine="torch", …).')
    return options or LocalOptions()


_CHOICES: Mapping[str, tuple[object, ...]] = {
    "engine": get_args(EngineName),
    "dtype": get_args(Dtype),
    "quantization": (None, *get_args(Quantization)),
    "attention": get_args(Attention),
    "long_input": get_args(LongInput),
}


def _check_whole(name: str, value: object, least: int, *, optional: bool) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"LocalOptions: {name}={value!r} is not a whole number from {least} up.")


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _check_aliases(aliases: object) -> None:
    pairs = cast("Mapping[object, object]", aliases).items() if isinstance(aliases, Mapping) else [(None, None)]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise InputError(f"LocalOptions: aliases={aliases!r} is not a mapping of names to models.")
