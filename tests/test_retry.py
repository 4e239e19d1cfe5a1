"""What is tried again, how often, and after how long."""

import math
import sys
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import clock
from hfclient.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    DeadlineError,
    HFClientError,
    InputError,
    ModelLoadingError,
    StatusError,
    StreamFailedError,
    TimedOutError,
)
from hfclient.retry import Retry, is_worth_another_try, pause_before, persist, retry_after, retrying


class FakeClock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def now(self) -> float:
        return self.time


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(clock, "sleep", fake.sleep)
    monkeypatch.setattr(clock, "now", fake.now)
    return fake


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def status(number: int, **facts: Any) -> StatusError:
    return StatusError(f"status {number}", status=number, **facts)


def failing(*errors: BaseException | None) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A request that fails so, one error after the other, and then succeeds; and the count of its tries."""
    left, tries = list(errors), [0]

    async def send() -> str:
        tries[0] += 1
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return "answer"

    return send, tries


def attempt(backend: str, send: Callable[[], Awaitable[str]], policy: Retry, **how: Any) -> str:
    how = {"repeatable": False, "patience": 60.0, "before_pause": lambda error, seconds: None, **how}

    async def main() -> str:
        return await persist(send, policy, **how)

    return anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    ("value", "attempts"), [(None, 2), (True, 2), (False, 1), (0, 1), (1, 1), (5, 5), (Retry(attempts=7), 7)]
)
def test_every_form_of_the_option_is_understood(value: bool | int | Retry | None, attempts: int) -> None:
    """True and None mean the default, False and 0 one try, a number so many."""
    assert Retry.of(value).attempts == attempts


@pytest.mark.parametrize("value", [-1, 1.5, "3", [3]])
def test_another_form_of_the_option_is_refused(value: Any) -> None:
    """What is no form of the option is an InputError that names it."""
    with pytest.raises(InputError, match="retry="):
        Retry.of(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.0},
        {"statuses": 503},
        {"statuses": {"503"}},
        {"statuses": {True}},
        {"statuses": {200}},
        {"longest_wait": -1},
        {"longest_wait": math.nan},
        {"longest_wait": "30"},
        {"longest_wait": True},
    ],
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """Each field of Retry is checked when it is made, and the error names it."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        Retry(**wrong)


def test_a_policy_is_a_value() -> None:
    """Statuses come as any collection, are kept frozen, and equal policies are equal and hash alike."""
    assert Retry(statuses=[429, 503]).statuses == frozenset({429, 503})
    assert Retry(statuses=(503, 429)) == Retry(statuses={429, 503})
    assert len({Retry(), Retry(statuses={503})}) == 1


@pytest.mark.parametrize(
    ("error", "once", "repeatably"),
    [
        (status(503), True, True),
        (status(500), False, True),
        (status(408), False, True),
        (status(429), False, True),
        (status(404), False, False),
        (StatusError("no status"), False, False),
        (ConnectionFailedError("refused"), True, True),
        (ConnectionLostError("reset"), False, True),
        (TimedOutError("slow"), False, True),
        (DeadlineError("over"), False, False),
        (InputError("wrong"), False, False),
        (StreamFailedError("broken"), False, False),
        (ValueError("foreign"), False, False),
    ],
)
def test_what_is_worth_another_try(error: BaseException, once: bool, repeatably: bool) -> None:
    """Ordinary requests retry a loading model and an unmade connection; repeatable ones whatever may pass."""
    assert is_worth_another_try(error, Retry(), repeatable=False) is once
    assert is_worth_another_try(error, Retry(), repeatable=True) is repeatably


def test_connection_failures_can_be_left_alone() -> None:
    """connection_failures=False takes them out of the policy."""
    error = ConnectionFailedError("refused")
    assert not is_worth_another_try(error, Retry(connection_failures=False), repeatable=False)


def test_one_retry_by_default(backend: str, fake_clock: FakeClock) -> None:
    """The default policy tries twice, and the second failure is the one raised, unchanged."""
    send, tries = failing(status(503), second := ModelLoadingError("still loading", status=503))
    with pytest.raises(ModelLoadingError) as caught:
        attempt(backend, send, Retry())
    assert caught.value is second
    assert tries == [2]
    assert len(fake_clock.slept) == 1


def test_each_wait_is_announced(backend: str, fake_clock: FakeClock) -> None:
    """before_pause hears of every error and of the very wait that follows it."""
    told: list[tuple[HFClientError, float]] = []
    errors = [status(503, retry_after=3.0), status(503, retry_after=4.0)]
    send, _ = failing(*errors)
    answer = attempt(backend, send, Retry(attempts=3), before_pause=lambda error, wait: told.append((error, wait)))
    assert answer == "answer"
    assert told == [(errors[0], 3.0), (errors[1], 4.0)]
    assert fake_clock.slept == [3.0, 4.0]


@pytest.mark.parametrize("error", [status(400), DeadlineError("over"), InputError("wrong"), ValueError("foreign")])
def test_other_failures_are_raised_at_once(backend: str, fake_clock: FakeClock, error: BaseException) -> None:
    """A failure outside the policy is raised after one try, without a wait."""
    send, tries = failing(error)
    with pytest.raises(type(error)) as caught:
        attempt(backend, send, Retry(attempts=5))
    assert caught.value is error
    assert (tries, fake_clock.slept) == ([1], [])


def test_a_different_failure_ends_the_retries(backend: str, fake_clock: FakeClock) -> None:
    """Once the failure changes to one outside the policy, it is raised."""
    send, tries = failing(status(503), status(401))
    with pytest.raises(StatusError, match="status 401"):
        attempt(backend, send, Retry(attempts=9))
    assert (tries, len(fake_clock.slept)) == ([2], 1)


def test_a_single_try_never_waits(backend: str, fake_clock: FakeClock) -> None:
    """attempts=1 raises the first failure even where the policy would retry it."""
    send, tries = failing(status(503))
    with pytest.raises(StatusError):
        attempt(backend, send, Retry.of(False))
    assert (tries, fake_clock.slept) == ([1], [])


def test_a_poll_is_retried_until_patience_runs_out(backend: str, fake_clock: FakeClock) -> None:
    """A repeatable request outlives any number of failures within its patience, whatever the policy's attempts."""
    send, tries = failing(*[status(502)] * 10)
    assert attempt(backend, send, Retry(attempts=1), repeatable=True, patience=600.0) == "answer"
    assert tries == [11]


def test_patience_is_never_overrun(backend: str, fake_clock: FakeClock) -> None:
    """The last failure is raised rather than begin a wait that would end after patience has."""
    send, _ = failing(*[ConnectionLostError("reset")] * 1000)
    with pytest.raises(ConnectionLostError):
        attempt(backend, send, Retry(), repeatable=True, patience=30.0)
    assert 0 < sum(fake_clock.slept) <= 30.0


def test_tenacity_alone_does_the_same(backend: str, fake_clock: FakeClock) -> None:
    """retrying(...) around a request, its first try included, ends and waits as persist does."""
    told: list[float] = []
    send, tries = failing(status(503, retry_after=2.0))

    async def main() -> str:
        again = retrying(Retry(), repeatable=False, patience=1.0, before_pause=lambda _, wait: told.append(wait))
        return await again(send)

    assert anyio.run(main, backend=backend) == "answer"
    assert (tries, told, fake_clock.slept) == ([2], [2.0], [2.0])


def test_a_single_try_needs_no_tenacity(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there will be no further try the failure is raised as it is, and nothing is imported for it."""
    monkeypatch.setitem(sys.modules, "tenacity", None)
    send, tries = failing(*[status(503)] * 2)
    with pytest.raises(StatusError):
        attempt(backend, send, Retry(attempts=1), repeatable=False)
    assert tries == [1]


def test_what_retries_need_cannot_be_opened(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that would be tried again is raised itself where retrying cannot be set up any more."""

    def no_file(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("hfclient.retry.retrying", no_file)
    send, tries = failing(ConnectionFailedError("refused"))
    with pytest.raises(ConnectionFailedError):
        attempt(backend, send, Retry(), repeatable=False)
    assert tries == [1]


def test_cancelling_ends_a_wait(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while it waits for the next try, a request makes none."""
    send, tries = failing(status(503))

    async def main() -> bool:
        async def for_ever(_: float) -> None:
            scope.cancel()
            await anyio.sleep_forever()

        monkeypatch.setattr(clock, "sleep", for_ever)
        with anyio.CancelScope() as scope:
            await persist(send, Retry(), repeatable=False, patience=1.0, before_pause=lambda _error, _wait: None)
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert tries == [1]


def test_cancelling_reaches_a_later_try(backend: str, fake_clock: FakeClock) -> None:
    """A retried request that is cancelled in its second try ends as cancelled, not as failed."""
    tries = [0]

    async def main() -> bool:
        async def send() -> str:
            tries[0] += 1
            if tries[0] == 1:
                raise status(503)
            scope.cancel()
            await anyio.sleep_forever()
            return "never"

        with anyio.CancelScope() as scope:
            await persist(send, Retry(attempts=5), repeatable=False, patience=1.0, before_pause=lambda *_: None)
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert tries == [2]


def test_the_clock_waits_and_goes_forward(backend: str) -> None:
    """clock.sleep yields to the loop and clock.now never goes back."""

    async def main() -> float:
        before = clock.now()
        await clock.sleep(0)
        return clock.now() - before

    assert anyio.run(main, backend=backend) >= 0


def test_the_service_says_how_long() -> None:
    """A stated wait is obeyed, capped, and repeated zeros do not make a loop of it."""
    assert pause_before(status(503, retry_after=12.0), 1, 30.0) == 12.0
    assert pause_before(status(503, retry_after=1200.0), 1, 30.0) == 30.0
    assert pause_before(status(503, retry_after=0.0), 1, 30.0) == 0.0
    assert pause_before(status(503, retry_after=0.0), 2, 30.0) == 0.5


@given(attempt=st.integers(1, 10_000), longest=st.floats(0, 100))
def test_back_off_grows_to_a_bound(attempt: int, longest: float) -> None:
    """Without a stated wait each is twice the last, up to 8 s and the cap, shortened by at most a quarter."""
    pause = pause_before(ConnectionFailedError("refused"), attempt, longest)
    full = min(8.0, 0.5 * 2 ** min(attempt - 1, 10))
    assert min(longest, 0.75 * full) <= pause <= min(longest, full)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=0;t=5, "pages";r=0;t=50, "resolvers";r=3;t=200'}, 50.0),
        ({"ratelimit": '"api";r=499;t=298'}, None),
        ({"ratelimit": "nonsense;;=,"}, None),
        ({"retry-after": "2", "ratelimit": '"api";r=0;t=55'}, 2.0),
    ],
)
def test_every_way_of_saying_how_long(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, a date, and a rate limit's used-up window are read; nonsense is not."""
    assert retry_after(headers, now=lambda: NOW) == seconds


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "ratelimit"]),
        st.text() | st.from_regex(r"\A[A-Za-z]{3}, \d+ [A-Za-z]{3} \d+ \d+:\d+:\d+( GMT)?\Z"),
    )
)
def test_no_header_can_break_the_reading(headers: dict[str, str]) -> None:
    """Whatever a header holds, the answer is None or a finite number of seconds, 0 or more."""
    seconds = retry_after(headers)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
