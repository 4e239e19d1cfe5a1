"""Errors without keys: their words, their bodies, what had arrived, and what caused them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel

from hfclient.errors import HFClientError
from hfclient.redact import Redactor, forget_requests

ErrorT = TypeVar("ErrorT", bound=HFClientError)


def clean(error: ErrorT, redact: Redactor) -> ErrorT:
    """Mask every key in what an error of ours carries; gives the same error back."""
    for name, value in vars(error).items():
        if isinstance(value, str):
            setattr(error, name, redact(value))
        elif isinstance(value, BaseModel):
            setattr(error, name, _clean_model(value, redact))
    error.args = tuple(redact(value) if isinstance(value, str) else value for value in error.args)
    if error.__suppress_context__:
        # What `raise … from` hides from tracebacks is still there: a parser's error, say, that holds the whole body.
        error.__context__ = error.__cause__
    return error


def scrub_cause(error: BaseException, redact: Redactor) -> None:
    """Make a foreign exception fit to be a cause: without its request, and without keys that were sent back to us."""
    forget_requests(error)
    for link in _chain(error):
        link.args = tuple(redact(str(value)) if isinstance(value, str | bytes | bytearray) else value for value in link.args)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _clean_model(value: BaseModel, redact: Redactor) -> Any:
    text = value.model_dump_json()
    masked = redact(text)
    return value if masked == text else type(value).model_validate_json(masked)
