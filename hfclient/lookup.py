"""Asking the Hub or the router about models: within ten seconds, the key at home, and each answer kept for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import anyio

from hfclient import clock
from hfclient.call import Timeout
from hfclient.complaints import request_id_in
from hfclient.credentials import Key
from hfclient.destination import Destination
from hfclient.errors import (
    AuthenticationError,
    HFClientError,
    HubError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    ResponseError,
    StatusError,
)
from hfclient.faults import translated
from hfclient.flow import Response, get
from hfclient.single_flight import SingleFlight, again
from hfclient.transport import Transport
from hfclient.types.meta import Attempt, Meta

T = TypeVar("T")

LIMIT_SECONDS = 10.0
PATIENCE = 2.0
TIME_TO_LIVE = 300.0
REMEMBERED = 1000
LATER = "Try again in a while."

# A bad token is the caller's to mend, and would fail again elsewhere.
_THE_CALLERS = (AuthenticationError, PermissionDeniedError)

Read: TypeAlias = Callable[[Response, Meta], T]


@dataclass(frozen=True, slots=True)
class Service:
    """The Hub or the router, as one that is asked about models."""

    transport: Transport
    name: str
    url: str

    async def ask(
        self, path: str, key: Key | None, read: Read[T], *, to_do: str, advice: str = "", model: str | None = None
    ) -> T:
        """What `read` makes of the answer; `to_do` says in an error what the service could not do."""
        said: list[str] = []
        started = clock.now()
        to = Destination(
            self.name,
            self.url,
            key,
            Timeout.of(LIMIT_SECONDS),
            model=model,
            patience=PATIENCE,
            before_pause=lambda error, _: said.append(error.message),
        )
        try:
            with anyio.fail_after(LIMIT_SECONDS):
                reply = await self.transport.send(get(path), to)
        except TimeoutError:
            reason = said[-1] if said else f"it did not answer within {LIMIT_SECONDS:.0f} seconds"
            raise self.down(reason, to_do, advice, model) from None
        except NotSupportedError as error:
            raise missing(error) from None
        except (NotFoundError, *_THE_CALLERS):
            raise
        except HFClientError as error:
            raise self.down(error.message, to_do, advice, model) from error
        with translated(to):
            meta = self._meta(reply.status, to.public(reply.headers), model, clock.now() - started)
            try:
                return read(reply, meta)
            except ResponseError as error:
                error.provider, error.model, error.advice = self.name, model, LATER
                error.status, error.request_id = meta.status, meta.request_id
                raise

    def down(self, reason: str, to_do: str, advice: str, model: str | None = None) -> HubError:
        who = f"{self.name[0].upper()}{self.name[1:]}"
        return HubError(f"{who} at {self.url} could not {to_do}: {reason}", advice=advice or LATER, model=model)

    def _meta(self, status: int, headers: Mapping[str, str], model: str | None, seconds: float) -> Meta:
        request_id = request_id_in(headers)
        attempt = Attempt(self.name, status, None, request_id)
        return Meta(self.name, model, request_id, status, headers, (attempt,), seconds)


class Kept(Generic[T]):
    """Answers to questions, for a while. Kept per token, too: what a service says depends on who asks."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._answers: dict[Hashable, tuple[float, T | HFClientError]] = {}
        self._flights: SingleFlight[T] = SingleFlight()

    def __len__(self) -> int:
        return len(self._answers)

    def fresh(self, question: Hashable, key: Key | None) -> T | HFClientError | None:
        """The answer, or the error, if it is kept and not too old."""
        kept = self._answers.get(_who_asks(question, key))
        return kept[1] if kept and kept[0] > clock.now() else None

    async def answer(self, question: Hashable, key: Key | None, ask: Callable[[], Awaitable[T]]) -> T:
        """The kept answer, or that to `ask`, which runs once however many ask at once."""
        answer = self.fresh(question, key)
        if answer is None:
            answer = await self._asked(_who_asks(question, key), ask)
        if isinstance(answer, HFClientError):
            raise again(answer)
        return answer

    async def _asked(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T | HFClientError:
        """The answer, now kept. That there is no such model is one too: a provider's own ids are asked for often. And
        that a service is down is kept for as long as it takes to find out, so that not every call waits for it."""
        answer: T | HFClientError
        lifetime = TIME_TO_LIVE
        try:
            answer = await self._flights.share(what, ask)
        except NotFoundError as error:
            answer = error.with_traceback(None)
        except _THE_CALLERS:
            raise
        except HFClientError as error:
            answer, lifetime = error.with_traceback(None), LIMIT_SECONDS
        self._answers.pop(what, None)
        self._answers[what] = (clock.now() + lifetime, answer)
        while len(self._answers) > (self._most or REMEMBERED):
            del self._answers[next(iter(self._answers))]
        return answer


def missing(error: StatusError) -> NotFoundError:
    """That there is no such model, where a service says so in other words."""
    return NotFoundError(
        error.message,
        advice=error.advice,
        provider=error.provider,
        model=error.model,
        status=error.status,
        body=error.body,
        code=error.code,
        request_id=error.request_id,
    )


def _who_asks(question: Hashable, key: Key | None) -> Hashable:
    return question, key.secret if key else None
