"""What has happened to one call so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from hfclient import clock
from hfclient.call import Call
from hfclient.complaints import request_id_in
from hfclient.errors import DeadlineError, HFClientError, ResponseError, StatusError, TransportError
from hfclient.flow import Progress, Request
from hfclient.telemetry import Observation
from hfclient.types.meta import Attempt, Meta
from hfclient.types.models import Pricing

logger = logging.getLogger("hfclient")


def _not_known(model: str | None, provider: str) -> Pricing | None: ...


@dataclass(slots=True)
class Trip:
    """The story of one call, told by `meta` when it succeeds and by the error when it fails."""

    call: Call
    observation: Observation
    price: Callable[[str | None, str], Pricing | None] = _not_known
    started: float = field(default_factory=lambda: clock.now())  # noqa: PLW0108  looked up anew: a test may replace it
    provider: str | None = None
    model: str | None = None
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    status: int | None = None
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    committed: bool = False
    may_move_on: bool = False
    undo: Request | None = None

    @contextmanager
    def within_deadline(self) -> Generator[None]:
        """Ends what runs in it when the call's deadline has come."""
        if self.call.deadline is None:
            yield
            return
        with anyio.move_on_after(max(0.0, self.started + self.call.deadline - clock.now())) as scope:
            yield
        if scope.cancelled_caught:
            raise too_late(self.call.deadline)

    def set_out(self, provider: str, url: str, model_id: str | None = None, *, may_move_on: bool = False) -> None:
        """The call goes to this provider now; there may be another to move on to."""
        self.may_move_on = may_move_on
        self.model = self.call.model or model_id  # a provider may have a model for those who name none
        self.provider, self.status, self.request_id, self.headers = provider, None, None, {}
        self.committed = False
        self.undo = None
        self.observation.routed(provider, url, self.model)

    def retrying(self, provider: str, error: HFClientError, seconds: float) -> None:
        """A request failed and is tried again after so many seconds."""
        self._failed(provider, error, seconds, None)
        logger.info("%s: %s Trying again in %.1f s.", provider, error.message, seconds)

    def moved_on(self, provider: str, error: HFClientError, following: str) -> None:
        """A provider failed and another is asked."""
        self._failed(provider, error, 0.0, following)
        logger.info("%s: %s Trying %s.", provider, error.message, following)

    def passed_over(self, provider: str, error: HFClientError) -> None:
        """A provider was named that cannot serve this call; nothing was sent to it."""
        self._failed(provider, error, 0.0, None)

    def _failed(self, provider: str, error: HFClientError, waited: float, following: str | None) -> None:
        attempt = _attempt(provider, error, waited)
        self.attempts.append(attempt)
        self.observation.attempt_failed(attempt, waited=waited, next_provider=following)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer with a success status came; the router says in a header whom it had chosen."""
        self.provider = headers.get("x-inference-provider") or self.provider
        self.status, self.headers, self.request_id = status, headers, request_id_in(headers)

    def tell(self, progress: Progress) -> None:
        if self.call.on_progress:
            self.call.on_progress(progress)

    def meta(self) -> Meta:
        provider = self.provider or ""
        final = Attempt(provider, self.status, None, self.request_id)
        return Meta(
            provider=provider,
            model=self.model or self.call.model,
            request_id=self.request_id,
            status=self.status,
            headers=self.headers,
            attempts=(*self.attempts, final),
            seconds=clock.now() - self.started,
            # What stands at an address of the caller's own has prices of its own.
            pricing=None if self.call.base_url else self.price(self.call.model, provider),
        )

    def locate(self, error: HFClientError) -> None:
        """Write into an error on its way out where the call had got to."""
        error.provider = error.provider or self.provider
        error.model = error.model or self.model or self.call.model
        error.task = error.task or self.call.task
        if isinstance(error, ResponseError):
            error.status, error.request_id = error.status or self.status, error.request_id or self.request_id
        if not error.attempts:
            last = isinstance(error, StatusError | ResponseError | TransportError)
            self.attempts += [_attempt(error.provider or "", error, 0.0)] if last else []
            error.attempts = tuple(self.attempts)


def too_late(deadline: float) -> DeadlineError:
    return DeadlineError(
        f"The call took longer than its deadline of {deadline:g} s.",
        advice="Raise deadline=…. A stream keeps what had arrived by then; a job of client.submit(…) goes on.",
    )


def _attempt(provider: str, error: HFClientError, waited: float) -> Attempt:
    return Attempt(provider, error.status, type(error).__name__, error.request_id, waited)
