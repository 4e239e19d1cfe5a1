"""What goes wrong in httpx, in the terms of our own errors."""

from __future__ import annotations

import httpx

from hfclient.credentials import origin_of
from hfclient.destination import Destination
from hfclient.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    HFClientError,
    InputError,
    ResponseError,
    TimedOutError,
)
from hfclient.scrub import clean, mask_logs, scrub_cause, unmask_logs

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)


class translated:  # noqa: N801  reads as what it does: `with translated(to): …`
    """Every failure of httpx becomes one of ours, without the request it holds, and every error is free of keys."""

    __slots__ = ("_masking", "_to")

    def __init__(self, to: Destination) -> None:
        self._to = to

    def __enter__(self) -> None:
        self._masking = mask_logs(self._to.redactor)

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        unmask_logs(self._masking)
        if isinstance(error, HFClientError):
            clean(error, self._to.redactor())
        elif isinstance(error, FOREIGN):
            redact = self._to.redactor()
            ours = clean(as_ours(error, self._to), redact)
            scrub_cause(error, redact)
            raise ours from error
        elif isinstance(error, UnicodeError):
            ours = InputError(f"The request cannot be sent: {error}", advice="Headers and host names take ASCII only.")
            try:
                raise ours
            finally:
                ours.__context__ = None  # a UnicodeError holds the whole value, which may be a key


def as_ours(error: Exception, to: Destination) -> HFClientError:
    """The place in our tree of each of httpx's errors."""
    said = str(error) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return ConnectionFailedError(
                f"{to.who} could not be reached within {to.timeout.connect:g} s.",
                advice=f"Is {origin_of(to.base_url)} up, and reachable from here?",
            )
        case httpx.PoolTimeout():
            return TimedOutError("No connection became free in time.", advice="Make fewer calls at once.")
        case httpx.TimeoutException():
            return TimedOutError(
                f"{to.who} was silent for {_silence(error, to)}.",
                advice="Raise timeout=…; the beginning of a stream comes sooner than a whole answer.",
            )
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | httpx.InvalidURL() | httpx.CookieConflict():
            return InputError(f"The request cannot be sent: {said}")
        case httpx.ConnectError() | httpx.ProxyError():
            return ConnectionFailedError(
                f"{to.who} could not be reached: {said}",
                advice=f"Nothing was sent. Is {origin_of(to.base_url)} right, and reachable from here?",
            )
        case httpx.TransportError() if not isinstance(error, httpx.DecodingError):
            return ConnectionLostError(
                f"The connection to {to.whom} broke: {said}",
                advice="The provider may have done the work. Try again if doing it twice does no harm.",
            )
        case _:
            return ResponseError(f"{to.who}'s answer could not be read: {said}")


def _silence(error: httpx.TimeoutException, to: Destination) -> str:
    if isinstance(error, httpx.WriteTimeout):
        return f"{to.timeout.write:g} s"
    # Which of the two it was depends on whether it was a stream, and how far that had come.
    return f"{to.timeout.read:g} s" if to.timeout.read == to.timeout.idle else "longer than the timeout allows"
