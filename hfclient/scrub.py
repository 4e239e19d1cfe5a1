"""Errors without keys: their words, their bodies, what had arrived, and what caused them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from pydantic import BaseModel

from hfclient.errors import HFClientError
from hfclient.redact import Redactor, forget_requests, shortened

LONGEST_READ = 100_000
LONGEST_SHOWN = 2000

ErrorT = TypeVar("ErrorT", bound=HFClientError)


def clean(error: ErrorT, redact: Redactor) -> ErrorT:
    """Mask every key in what an error of ours carries, then shorten it; gives the same error back."""
    for name, value in vars(error).items():
        if isinstance(value, str):
            setattr(error, name, shortened(redact(shortened(value, LONGEST_READ)), LONGEST_SHOWN))
        elif isinstance(value, BaseModel):
            setattr(error, name, _clean_model(value, redact))
    error.args = (error.message,)
    # A parser's error holds the text that it could not read, also where `raise … from None` hides it from tracebacks.
    parsing = isinstance(error.__context__, ValueError) and not isinstance(error.__context__, HFClientError)
    if parsing or error.__suppress_context__:
        error.__context__ = error.__cause__
    return error


def scrub_cause(error: BaseException, redact: Redactor) -> None:
    """Make a foreign exception fit to be a cause: without its request, and without keys that were sent back to us."""
    forget_requests(error)
    for link in _chain(error):
        link.args = tuple(
            redact(str(value)) if isinstance(value, str | bytes | bytearray) else value for value in link.args
        )


_HTTPCORE = logging.getLogger("httpcore.http11")
_masking: ContextVar[Redactor | None] = ContextVar("hfclient_masking", default=None)


def mask_logs(redactor: Callable[[], Redactor]) -> Token[Redactor | None] | None:
    """At debug level httpcore logs answers as they came. From here to `unmask_logs` it does so without the keys that
    were sent back in them; the requests of others it logs as ever."""
    if not _HTTPCORE.isEnabledFor(logging.DEBUG):
        return None
    for name in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore.{name}").addFilter(_mask)
    return _masking.set(redactor())


def unmask_logs(token: Token[Redactor | None] | None) -> None:
    if token is not None:
        _masking.reset(token)


def _mask(record: logging.LogRecord) -> bool:
    if (redact := _masking.get()) is not None:
        record.msg, record.args = redact(record.getMessage()), None
    return True


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
