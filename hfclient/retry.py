"""What is tried again, how often, and after how long."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, cast

from hfclient import clock
from hfclient.errors import ConnectionFailedError, DeadlineError, HFClientError, InputError, StatusError, TransportError

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

BeforePause = Callable[[HFClientError, float], None]

_FIRST_PAUSE = 0.5
_LONGEST_BACK_OFF = 8.0
_ERRORS = range(400, 600)
_PASSING = frozenset({408, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Retry:
    """Which failures are worth another try: by default a model that is loading, and a connection that was never made.

        Retry(attempts=4, statuses={408, 429, 500, 502, 503, 504})

    `attempts` counts the first one too. A wait the service asks for is obeyed up to `longest_wait` seconds.
    """

    attempts: int = 2
    statuses: Collection[int] = frozenset({503})
    connection_failures: bool = True
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "statuses", _checked_statuses(self.statuses))
        if not _is_whole(self.attempts) or self.attempts < 1:
            raise InputError(
                f"Retry(attempts={self.attempts!r}) is not a whole number above 0.",
                advice="The first try counts: attempts=1 never retries, attempts=2 retries once.",
            )
        if not _is_seconds(self.longest_wait):
            raise InputError(
                f"Retry(longest_wait={self.longest_wait!r}) is not a number of seconds.",
                advice="Pass seconds, 0 or more.",
            )

    @classmethod
    def of(cls, value: bool | int | Retry | None) -> Retry:
        """None and True mean the default, False and 0 a single try, a number so many tries."""
        if isinstance(value, Retry):
            return value
        if value is None or value is True:
            return cls()
        if value is False or (_is_whole(value) and value >= 0):
            return cls(attempts=max(1, int(value)))
        raise InputError(
            f"retry={value!r} is not understood.", advice="Pass True, False, a number of attempts, or Retry(…)."
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0  # NaN is not


def _checked_statuses(statuses: Collection[int]) -> frozenset[int]:
    advice = "Pass HTTP error statuses, such as statuses={429, 503}."
    try:
        kept = frozenset(statuses)
    except TypeError:
        raise InputError(f"Retry(statuses={statuses!r}) is not a set of numbers.", advice=advice) from None
    for status in kept:
        if not _is_whole(status) or status not in _ERRORS:
            raise InputError(f"Retry(statuses=…) holds {status!r}, which is no error status.", advice=advice)
    return kept


def pause_before(error: HFClientError, attempt: int, longest: float) -> float:
    """Seconds to wait after `attempt` tries: what the service asked for, else twice as long each time, with jitter."""
    stated = error.retry_after if isinstance(error, StatusError) else None
    if stated is None:
        back_off = min(_LONGEST_BACK_OFF, _FIRST_PAUSE * 2.0 ** min(attempt - 1, 10))
        # Shortened by up to a quarter, so that callers who failed together do not return together.
        return min(longest, back_off * random.uniform(0.75, 1.0))  # noqa: S311  no secret
    # Obeyed once to the letter; a service that keeps saying "at once" would make us hammer it.
    return min(longest, stated if attempt == 1 else max(stated, _FIRST_PAUSE))


def retry_after(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """How long the service asks us to wait, in seconds, whichever header it says it in; names arrive in lower case."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    stated = headers.get("retry-after")
    seconds = _number(stated)
    if seconds is None and stated:
        seconds = _seconds_until(stated, now)
    return seconds if seconds is not None else _window_reset(headers.get("ratelimit", ""))


def _number(text: str | None) -> float | None:
    # Not float() alone: it takes "nan", "1_000" and other nations' digits.
    if text is None or not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text, re.ASCII):
        return None
    value = float(text)
    return max(0.0, value) if math.isfinite(value) else None


def _seconds_until(date: str, now: Callable[[], float]) -> float | None:
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415  rarely needed

    try:
        parts = parsedate_tz(date)
        return max(0.0, mktime_tz(parts) - now()) if parts else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _window_reset(header: str) -> float | None:
    """The Hub's `"api";r=0;t=55`: seconds until a window that is used up opens again."""
    waits: list[float] = []
    for policy in header.split(","):
        fields = {name: value for name, _, value in (part.strip().partition("=") for part in policy.split(";"))}
        wait = _number(fields.get("t"))
        if wait is not None and _number(fields.get("r", "0")) == 0:
            waits.append(wait)
    return max(waits, default=None)


def is_worth_another_try(error: BaseException, policy: Retry, *, repeatable: bool) -> bool:
    """Repeatable requests do no work twice, so any failure that may pass is worth it; others only as `policy` says."""
    match error:
        case DeadlineError():
            return False
        case TransportError() if repeatable:
            return True
        case ConnectionFailedError():
            return policy.connection_failures
        case StatusError(status=int(status)) if repeatable:
            return status in _PASSING
        case StatusError(status=int(status)):
            return status in policy.statuses
        case _:
            return False


def prepare_retries() -> None:
    """Import tenacity ahead: once a process has run out of open files, nothing can be imported any more."""
    import_module("tenacity")


async def persist(
    send: Callable[[], Awaitable[T]], policy: Retry, *, repeatable: bool, patience: float, before_pause: BeforePause
) -> T:
    """`await retrying(...)(send)`, except that tenacity is called in only for a second try."""
    started = clock.now()
    try:
        return await send()
    except HFClientError as error:
        last = policy.attempts == 1 and not repeatable
        if last or not is_worth_another_try(error, policy, repeatable=repeatable):
            raise
        failed = [error]

    async def send_again() -> T:
        if failed:
            raise failed.pop()  # tenacity's first attempt is the one already made
        return await send()

    try:
        again = retrying(policy, repeatable=repeatable, patience=patience, before_pause=before_pause, since=started)
    except OSError:  # no file can be opened, so tenacity cannot be imported
        raise failed.pop() from None
    return await again(send_again)


def retrying(
    policy: Retry, *, repeatable: bool, patience: float, before_pause: BeforePause, since: float | None = None
) -> tenacity.AsyncRetrying:
    """Tenacity, set up for one request; `patience` bounds the retries of a repeatable one, in seconds since `since`.

    A repeatable request (a poll, a download) must not lose a job that is paid for: it is retried until `patience` runs
    out, however many tries that takes. `before_pause(error, seconds)` is called before each wait.
    """
    import tenacity  # noqa: PLC0415  see `prepare_retries`

    started = clock.now() if since is None else since

    def worth_it(state: tenacity.RetryCallState) -> bool:
        return is_worth_another_try(_error_of(state), policy, repeatable=repeatable)

    def pause(state: tenacity.RetryCallState) -> float:
        return pause_before(_error_of(state), state.attempt_number, policy.longest_wait)

    def out_of_patience(state: tenacity.RetryCallState) -> bool:
        return clock.now() - started + state.upcoming_sleep > patience

    def tell(state: tenacity.RetryCallState) -> None:
        before_pause(_error_of(state), state.upcoming_sleep)

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)

    return tenacity.AsyncRetrying(
        retry=worth_it,
        wait=pause,
        stop=out_of_patience if repeatable else tenacity.stop_after_attempt(policy.attempts),
        before_sleep=tell,
        sleep=sleep,
        reraise=True,
    )


def _error_of(state: tenacity.RetryCallState) -> HFClientError:
    # Asked of successes and foreign exceptions too, which `is_worth_another_try` turns down.
    return cast("HFClientError", state.outcome.exception() if state.outcome else None)
