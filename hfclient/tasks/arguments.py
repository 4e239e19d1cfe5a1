"""A task function's arguments, checked against its own signature, as a call.

A task function says all there is to say about its arguments in its signature: those without a default are the call's
inputs, the others its parameters, and what it takes as `**options` is either more parameters or the options that
every call has. So its body is one line, `return await ask(function, locals())`.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import get_original_bases

from hfclient.call import Call, FileOptions, Options, unknown_option
from hfclient.defaults import FILE_OPTION_NAMES, OPTION_NAMES
from hfclient.errors import InputError
from hfclient.media import Media, MediaLike, as_media

if TYPE_CHECKING:
    from hfclient.client import Client

T = TypeVar("T")

OF_THE_CLIENT = {
    "token": "It belongs to the client: Client(token), or client.with_options(token=…).",
    "keys": "It belongs to the client: Client(keys={…}), or client.with_options(keys={…}).",
    **{
        name: f"It belongs to the client: Client({name}=…)."
        for name in ("http_client", "transport", "max_connections", "max_event_bytes", "semconv")
    },
}
ELSEWHERE = {
    **OF_THE_CLIENT,
    "stream": "What can be read as it is made has a function of its own, such as client.text_generation_stream(…).",
    **dict.fromkeys(("save_to", "max_download_bytes"), "It is for results that are one file; a part has .save(path)."),
}

CHECKS = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)

# What pydantic's kinds of errors find missing.
_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "True or False",
    "dict_type": "a mapping",
    "is_instance_of": "a list",
    "sequence_str": "a list",
}


def _filled(value: Any) -> Any:
    if not (value.strip() if isinstance(value, str) else value):
        msg = "is empty"
        raise ValueError(msg)
    return value


class _IsMedia:
    """Marks the arguments that are media, however they are given."""


Text: TypeAlias = Annotated[str, AfterValidator(_filled)]
Texts: TypeAlias = Annotated[Sequence[Text], AfterValidator(_filled)]
Labels: TypeAlias = Texts
MediaInput: TypeAlias = Annotated[MediaLike | Media, _IsMedia()]


@dataclass(frozen=True, slots=True)
class Form:
    """What a task function takes: `inputs` and whatever else there are `types` for, and the general `options`."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]
    types: Mapping[str, Any]
    media: frozenset[str]
    options: frozenset[str]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def task(self) -> str:
        return self.name.removesuffix("_stream").replace("_", "-")

    def unknown(self, name: str) -> InputError:
        error = unknown_option(name, {*self.types, *self.options, "model"}, where=self.name, elsewhere=ELSEWHERE)
        if error.advice not in ELSEWHERE.values():
            error.advice += " What only a provider knows goes into extra_body={…}."
        return error


async def ask(function: Callable[..., Coroutine[Any, Any, T]], given: Mapping[str, Any]) -> T:
    """Make the call that a task function was called for; `given` is what it was called with, its `locals()`."""
    client: Client = given["client"]
    return cast("T", await client.dispatcher.run(call_of(function, given)))


def call_of(function: Callable[..., Any], given: Mapping[str, Any], *, stream: bool = False) -> Call:
    """The arguments as a call; anything amiss is an `InputError`, before anything is sent."""
    form = form_of(function)
    options: dict[str, Any] = given["options"]
    values = {name: value for name, value in given.items() if name not in {"client", "model", "options"}}
    values |= {name: value for name, value in options.items() if name not in form.options}
    checked = dict(_checked(form, values))
    inputs = [checked.pop(name) for name in form.inputs]
    general = cast("FileOptions", {name: value for name, value in options.items() if name in form.options})
    client: Client = given["client"]
    return client.defaults.call(
        form.task,
        dict(zip(form.inputs, inputs, strict=True)) if len(inputs) > 1 else inputs[0],
        model=given["model"],
        parameters=checked,
        options=general,
        stream=stream,
    )


@cache
def form_of(function: Callable[..., Any]) -> Form:
    """Read off the signature."""
    hints = get_type_hints(function, localns={"Client": object}, include_extras=True)
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in {"client", "model", "options"}]
    (shape,) = get_args(hints["options"])
    types = {name: hints[name] for name in names} | _further_parameters(shape)
    return Form(
        function,
        inputs=tuple(name for name in names if signature.parameters[name].default is inspect.Parameter.empty),
        types=types,
        media=frozenset(name for name, hint in types.items() if _is_media(hint)),
        options=FILE_OPTION_NAMES if shape.__annotations__.keys() >= FILE_OPTION_NAMES else OPTION_NAMES,
    )


def _further_parameters(shape: type) -> dict[str, Any]:
    """What a task takes as `**options` beyond the options of every call: `class SpeechOptions(Generation, Options)`."""
    if shape in {Options, FileOptions}:
        return {}
    own, _ = get_original_bases(shape)
    return get_type_hints(own, include_extras=True)


def _is_media(hint: Any) -> bool:
    return any(isinstance(part, _IsMedia) or _is_media(part) for part in get_args(hint))


@cache
def _adapter_of(function: Callable[..., Any], name: str) -> TypeAdapter[Any]:
    """Made for those parameters that are used, for making one takes its time."""
    return TypeAdapter(form_of(function).types[name], config=CHECKS)


def _checked(form: Form, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values as they were given, media as `Media`; what is left out or None is not there, unless an input."""
    for name in values:
        if name not in form.types:
            raise form.unknown(name)
    for name, value in values.items():
        if value is None and name not in form.inputs:
            continue
        hint, argument = form.types[name], value
        if value is None and NoneType in get_args(hint):
            _check_instead(form, name, values)
        elif name in form.media:
            argument = as_media(value, strings="path-or-url", what=f"{form.name}: {name}")
        else:
            try:
                _adapter_of(form.function, name).validate_python(value)
            except ValidationError as error:
                raise InputError(f"{form.name}: {name}{_misfit(error, hint)}.") from None
        yield name, argument


def _check_instead(form: Form, name: str, values: Mapping[str, Any]) -> None:
    if not values["prompt"]:
        raise InputError(f"{form.name}: there is neither {name} nor prompt.", advice="Pass one of the two, or both.")


def _misfit(error: ValidationError, hint: Any) -> str:
    """Which part of a value does not fit, and what would: `[2]=7 is not a text`."""
    # The name of a union's member stands first in the place of what is wrong with it.
    several = get_origin(hint) in {Union, UnionType} and sum(part is not NoneType for part in get_args(hint)) > 1
    faults = [(fault["loc"][several:], fault) for fault in error.errors(include_url=False, include_context=False)]
    # What is wrong deep inside says more than what else the whole might have been.
    place, fault = max(faults, key=lambda each: (len(each[0]), each[1]["type"] == "value_error"))
    within = "".join(f"[{step!r}]" for step in place if step != "[key]")
    match fault["type"]:
        case "missing":
            return f"{within} is missing"
        case "extra_forbidden":
            return f"{within} is not known"
        case "value_error":
            return f"{within}={reprlib.repr(fault['input'])} {fault['msg'].removeprefix('Value error, ')}"
        case _:
            wanted = " or ".join(dict.fromkeys(_wanted(other) for there, other in faults if there == place))
            return f"{within}={reprlib.repr(fault['input'])} is not {wanted}"


def _wanted(fault: Any) -> str:
    return _KINDS.get(fault["type"]) or fault["msg"].removeprefix("Input should be ")
