"""A task function's arguments, checked against its own signature, as a call.

A task function says all there is to say about its arguments in its signature: those without a default are the call's
inputs, the others its parameters, and what it takes as `**options` is either more parameters or the options that
every call has. So its body is one line, `return await ask(function, locals())`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, cast, get_args, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict, get_original_bases

from hfclient.call import Call, FileOptions, Options, unknown_option
from hfclient.defaults import FILE_OPTION_NAMES, OPTION_NAMES
from hfclient.download import check_target
from hfclient.errors import InputError
from hfclient.media import Media, MediaLike, as_media
from hfclient.types.files import File

if TYPE_CHECKING:
    from hfclient.client import Client

T = TypeVar("T")
TaskFunction: TypeAlias = Callable[..., Coroutine[Any, Any, T]]

OF_THE_CLIENT = {
    "token": "It belongs to the client: Client(token), or client.with_options(token=…).",
    "keys": "It belongs to the client: Client(keys={…}), or client.with_options(keys={…}).",
    **{
        name: f"It belongs to the client: Client({name}=…)."
        for name in ("http_client", "transport", "max_connections", "max_event_bytes", "semconv")
    },
}


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "it is empty"
        raise ValueError(msg)
    return text


class _IsMedia:
    """Marks the arguments that are media, however they are given."""


Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]
Texts: TypeAlias = Annotated[Sequence[Text], Field(min_length=1)]
Labels: TypeAlias = Texts
MediaInput: TypeAlias = Annotated[MediaLike | Media, _IsMedia()]


@dataclass(frozen=True, slots=True)
class Form:
    """What a task function takes."""

    task: str
    name: str
    inputs: tuple[str, ...]
    media: frozenset[str]
    options: frozenset[str]
    adapter: TypeAdapter[Any]
    known: tuple[str, ...]


async def ask(function: TaskFunction[T], given: Mapping[str, Any]) -> T:
    """Make the call that a task function was called for; `given` is what it was called with, its `locals()`."""
    client: Client = given["client"]
    call = call_of(function, given)
    if call.save_to is not None:
        await check_target(call.save_to)  # before it costs anything
    result = await client.dispatcher.run(call)
    if call.save_to is not None and isinstance(result, File) and result.path is None:
        result = await result.kept_at(call.save_to)
    return cast("T", result)


def call_of(function: TaskFunction[Any], given: Mapping[str, Any], *, stream: bool = False) -> Call:
    """The arguments as a call; anything amiss is an `InputError`, before anything is sent."""
    form = form_of(function)
    options: dict[str, Any] = given["options"]
    values = {name: value for name, value in given.items() if name not in {"client", "model", "options"}}
    values |= {name: value for name, value in options.items() if name not in form.options}
    values = _checked(form, values)
    inputs = {name: values.pop(name) for name in form.inputs}
    general = cast("FileOptions", {name: value for name, value in options.items() if name in form.options})
    client: Client = given["client"]
    return client.defaults.call(
        form.task,
        inputs if len(inputs) > 1 else next(iter(inputs.values())),
        model=given["model"],
        parameters=values,
        options=general,
        stream=stream,
    )


@cache
def form_of(function: TaskFunction[Any]) -> Form:
    """Read off the signature."""
    hints = get_type_hints(function, localns={"Client": object}, include_extras=True)
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in {"client", "model", "options"}]
    inputs = tuple(name for name in names if signature.parameters[name].default is inspect.Parameter.empty)
    (shape,) = get_args(hints["options"])
    options = FILE_OPTION_NAMES if shape.__annotations__.keys() >= FILE_OPTION_NAMES else OPTION_NAMES
    types = {name: hints[name] for name in names} | _further_parameters(shape)
    media = frozenset(name for name, hint in types.items() if _is_media(hint))
    fields = {name: Any if name in media else hint for name, hint in types.items()}
    arguments: Any = TypedDict(function.__name__, fields, total=False)  # type: ignore[misc]
    arguments.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    return Form(
        task=function.__name__.removesuffix("_stream").replace("_", "-"),
        name=function.__name__,
        inputs=inputs,
        media=media,
        options=options,
        adapter=TypeAdapter(arguments),
        known=(*types, *options, "model"),
    )


def _further_parameters(shape: type) -> dict[str, Any]:
    """What a task takes as `**options` beyond the options of every call: `class SpeechOptions(Generation, Options)`."""
    if shape in {Options, FileOptions}:
        return {}
    own, _ = get_original_bases(shape)
    return get_type_hints(own, include_extras=True)


def _is_media(hint: Any) -> bool:
    return any(isinstance(part, _IsMedia) or _is_media(part) for part in get_args(hint))


def _checked(form: Form, values: dict[str, Any]) -> dict[str, Any]:
    """The values as they were given, media as `Media`; what was left out or is None is not there, unless an input."""
    given = {name: value for name, value in values.items() if value is not None or name in form.inputs}
    for name in form.media & given.keys():
        if given[name] is not None:
            given[name] = as_media(given[name], strings="path-or-url", what=name)
    try:
        form.adapter.validate_python(given)
    except ValidationError as error:
        raise _misfit(form, error) from None
    return given


def _misfit(form: Form, error: ValidationError) -> InputError:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return unknown_option(name, form.known, where=form.name, elsewhere=OF_THE_CLIENT)
    said = first["msg"].removeprefix("Value error, ")
    if name in form.inputs and first["type"] == "value_error":
        return InputError(f"{form.name}: {name} is not right: {said}.")
    place = "".join(f"[{step!r}]" for step in first["loc"][1:])
    return InputError(f"{form.name}: {name}{place} has the wrong type: {said}.")
