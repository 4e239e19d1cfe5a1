"""A client's defaults, and how one call's options go over them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hfclient.call import DEFAULT_TIMEOUT, MAX_DOWNLOAD_BYTES, Call, FileOptions, Options, ProviderChoice, Timeout
from hfclient.credentials import checked_base_url
from hfclient.errors import InputError
from hfclient.retry import Retry

if TYPE_CHECKING:
    from hfclient.flow import Progress

OPTION_NAMES = frozenset(Options.__annotations__)
FILE_OPTION_NAMES = frozenset(FileOptions.__annotations__)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call is made with unless it says otherwise."""

    providers: tuple[str, ...] = ("auto",)
    model: str | None = None
    bill_to: str | None = None
    base_url: str | None = field(default=None, repr=False)  # in its query there may be a key
    timeout: Timeout = DEFAULT_TIMEOUT
    deadline: float | None = None
    retry: Retry = Retry()  # noqa: RUF009  frozen
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def call(
        self,
        task: str,
        inputs: Any,
        *,
        model: str | None,
        parameters: Mapping[str, Any],
        options: Mapping[str, Any],
        stream: bool = False,
        raw: bool = False,
    ) -> Call:
        """One call; a value given for it wins over the client's, and None means that none was given."""
        mine = self.changed({name: value for name, value in options.items() if value is not None})
        return Call(
            task,
            inputs,
            model=checked_text("model", model) or self.model,
            parameters={name: value for name, value in parameters.items() if value is not None},
            stream=stream,
            providers=mine.providers,
            bill_to=mine.bill_to,
            base_url=mine.base_url,
            timeout=mine.timeout,
            deadline=mine.deadline,
            retry=mine.retry,
            headers=mine.headers,
            query=checked_texts("extra_query", _as_texts(options.get("extra_query"))),
            body=_object("extra_body", options.get("extra_body")),
            on_progress=_checked_callback(options.get("on_progress")),
            save_to=_as_path("save_to", options.get("save_to")),
            max_download_bytes=_checked_size("max_download_bytes", options.get("max_download_bytes")),
            raw=raw,
        )

    def changed(self, options: Mapping[str, Any]) -> Defaults:
        """These defaults with some of them replaced, each checked; headers are added to the ones there are."""
        changes: dict[str, Any] = {}
        for name, value in options.items():
            match name:
                case "provider":
                    changes["providers"] = provider_names(value)
                case "model":
                    changes["model"] = checked_text(name, value)
                case "bill_to":
                    changes["bill_to"] = checked_in_header(name, checked_text(name, value))
                case "base_url":
                    text = checked_text(name, value)
                    changes["base_url"] = text and checked_base_url(text)
                case "timeout":
                    changes["timeout"] = Timeout.of(value)
                case "deadline":
                    changes["deadline"] = None if value is None else _checked_deadline(value)
                case "retry":
                    changes["retry"] = Retry.of(value)
                case "headers" | "extra_headers":
                    changes["headers"] = {**self.headers, **checked_headers(name, {} if value is None else value)}
                case _:
                    continue
        return replace(self, **changes) if changes else self


def provider_names(value: ProviderChoice | None) -> tuple[str, ...]:
    """One provider or several in order of preference, as names."""
    if value is None:
        return ("auto",)
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
    if not names or not all(isinstance(name, str) and name for name in cast("tuple[object, ...]", names)):
        raise InputError(
            f"provider={value!r} is not a provider's name or a list of them.",
            advice='For example provider="groq", or provider=["groq", "together"] to try them in this order.',
        )
    return names


def checked_text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name}={value!r} is not a text, or is empty.")
    if name == "model" and ".." in value.split("/"):
        raise InputError(f"The model's name leads elsewhere: {value!r}.", advice='It reads "org/name".')
    if name == "model" and value.startswith(("http://", "https://")):
        raise InputError(
            "The model is an address.", advice="Pass it as base_url=…, or use Client.endpoint(url, token)."
        )
    return value


def checked_texts(name: str, value: Any) -> Mapping[str, str]:
    """Names and values, all of them texts that fit on one line."""
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a mapping of texts, not {type(value).__name__}.")
    for key, text in cast("Mapping[object, object]", value).items():
        if not isinstance(key, str) or not isinstance(text, str) or not (key + text).isprintable():
            raise InputError(f"{name}[{key!r}] must be a text on one line.")  # never its value: it may be a key
    return cast("Mapping[str, str]", value)


def _as_texts(query: Any) -> Any:
    """Numbers and truth values as an address writes them; what else there is stays, to be refused."""
    if not isinstance(query, Mapping):
        return {} if query is None else query
    pairs = cast("Mapping[object, object]", query).items()
    return {name: _as_text(value) for name, value in pairs}


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def checked_headers(name: str, value: Any) -> Mapping[str, str]:
    """Headers by their names in lower case, so that one takes another's place however it is spelt."""
    headers = checked_texts(name, value)
    for key, text in headers.items():
        checked_in_header(f"{name}[{key!r}]", key + text)
    return {key.lower(): text for key, text in headers.items()}


def checked_in_header(name: str, value: str | None) -> str | None:
    if value and not (value.isascii() and value.isprintable()):
        raise InputError(f"{name} has characters that cannot stand in a header.")
    return value


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a mapping, not {type(value).__name__}.")
    return cast("Mapping[str, Any]", value)


def _checked_deadline(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value <= 0:
        raise InputError(f"deadline={value!r} is not a number of seconds above 0.")
    return None if value == math.inf else float(value)


def _checked_callback(value: Any) -> Callable[[Progress], None] | None:
    if value is not None and (not callable(value) or any(map(iscoroutinefunction, (value, type(value).__call__)))):
        raise InputError(
            f"on_progress={value!r} is not a plain function.", advice="It is called with a Progress, and not awaited."
        )
    return cast("Callable[[Progress], None] | None", value)


def _as_path(name: str, value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{name}={value!r} is not a path.", advice='For example save_to="horse.png".')
    return Path(os.fsdecode(cast("str | os.PathLike[str]", value)))


def _checked_size(name: str, value: Any) -> int:
    if value is None:
        return MAX_DOWNLOAD_BYTES
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}={value!r} is not a whole number of bytes above 0.")
    return value
