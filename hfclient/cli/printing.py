"""Results as they are printed: text where there is some, else JSON; and JSON as it is typed."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from hfclient.types.files import File

FACTS = ("provider", "model", "request_id", "status", "seconds")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def say(text: str, *, nl: bool = True) -> None:
    """Print what a model wrote; a terminal would obey the control characters in it, so they go no further than here."""
    click.echo(printable(text) if is_terminal(sys.stdout) else text, nl=nl)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody sits there; a stream that was closed before the program began is None."""
    return stream is not None and stream.isatty()


def printable(text: str) -> str:
    return _CONTROL.sub("", text)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=plain))


def whole(result: Any) -> dict[str, Any]:
    """A result with all that is known of it: its fields, or `result` where it has none, `meta`, and its `cost`."""
    shown = plain(result)
    told: dict[str, Any] = shown if isinstance(shown, dict) else {"result": shown}  # pyright: ignore[reportUnknownVariableType]
    meta = result.meta
    told["meta"] = {name: value for name in FACTS if (value := getattr(meta, name)) is not None}
    cost = getattr(result, "cost", None)
    return told if cost is None else {**told, "cost": cost}


def plain(value: Any) -> Any:
    """A value of ours in JSON's terms; what is within it comes here in its turn."""
    from pydantic import BaseModel

    from hfclient.types.embeddings import Embeddings
    from hfclient.types.files import File
    from hfclient.types.raw import RawAnswer

    match value:
        case BaseModel():
            return value.model_dump(exclude_none=True)
        case Embeddings():
            return value.tolist()
        case File():
            return {"path": value.path and str(value.path), "media_type": value.media_type, "size": value.size}
        case RawAnswer():
            return json_or_text(value.text)
        case list():
            return value  # pyright: ignore[reportUnknownVariableType]
        case _:
            return str(value)


def json_or_text(typed: str) -> Any:
    """What was typed: JSON where it is some, else the text itself."""
    try:
        return json.loads(typed)
    except ValueError:
        return typed


def readable(result: Any) -> str | None:
    """The text of a result, or where a file lies; None where JSON says it best."""
    from hfclient.types.files import File

    return in_a_line(result) if isinstance(result, File) else getattr(result, "text", None)


def in_a_line(file: File) -> str:
    return f"{file.path} ({file.media_type}, {file.size:,} bytes, from {file.meta.provider})"
