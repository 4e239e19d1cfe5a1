"""The shared dispatcher: resolve the call, run it on one side of the seam, give a typed result or a typed error."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias, TypeVar

from hfclient.call import Call
from hfclient.download import check_target
from hfclient.errors import (
    ConnectionFailedError,
    ConnectionLostError,
    CreditsError,
    DeadlineError,
    EngineError,
    HFClientError,
    InputError,
    MissingExtraError,
    ModelLoadingError,
    NotFoundError,
    NotSupportedError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamError,
    StreamFailedError,
    TimedOutError,
)
from hfclient.flow import Fetched
from hfclient.local.options import Surroundings
from hfclient.provider import Provider
from hfclient.remote import Remote
from hfclient.route import Route
from hfclient.routing import Router
from hfclient.settings import Semconv
from hfclient.stream import Chunks
from hfclient.telemetry import observe
from hfclient.trip import Trip
from hfclient.types.base import with_meta
from hfclient.types.files import File

T = TypeVar("T")
Find: TypeAlias = Callable[[Router, Call, Trip], Awaitable[list[Route]]]

MOVES_ON = (
    RateLimitError,
    ModelLoadingError,
    ServerError,
    ConnectionFailedError,
    ConnectionLostError,
    TimedOutError,
    NotSupportedError,
    NotFoundError,
    CreditsError,
    EngineError,
    MissingExtraError,
)
BUSY = re.compile(r"(?i)\b(429|5\d\d)\b|overload|rate.?limit|unavailable|at capacity")


def moves_on(error: HFClientError) -> bool:
    """Whether another provider may not share this failure, so that the next in line is asked."""
    match error:
        case DeadlineError():
            return False
        case StreamFailedError():  # a 429 or 5xx that came after the status line
            return bool(BUSY.search(f"{error.code or ''} {error.message}"))
        case _:
            return isinstance(error, MOVES_ON) or error.status == HTTPStatus.REQUEST_TIMEOUT


class Side(Protocol):
    """One side of the seam: HTTP, which drives flows, or an engine in this process."""

    async def run(self, call: Call, route: Route, trip: Trip) -> Any: ...

    async def stream(self, call: Call, route: Route, trip: Trip) -> Chunks[Any]: ...

    async def aclose(self) -> None: ...


class Sides:
    """The sides of the providers that run in this process, opened when they are first needed."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._opened: dict[str, Side] = {}

    def of(self, provider: Provider) -> Side | None:
        """The provider's own side; None for one that is reached over the network."""
        if provider.opens is None:
            return None
        if provider.name not in self._opened:
            self._opened.setdefault(provider.name, provider.opens(self._surroundings))  # another thread may do so too
        return self._opened[provider.name]

    async def aclose(self) -> None:
        for side in self._opened.values():
            await side.aclose()


class Dispatcher:
    """Every call of every client takes this way."""

    def __init__(self, router: Router, remote: Remote, sides: Sides, semconv: Semconv) -> None:
        self._router = router
        self._remote = remote
        self._sides = sides
        self._semconv: Semconv = semconv

    def trip(self, call: Call, observed_as: str | None = None) -> Trip:
        """The beginning of a call's story; the span it opens ends with the call."""
        observed = replace(call, task=observed_as) if observed_as else call
        return Trip(call, observe(observed, semconv=self._semconv), self._router.catalogue.price)

    async def run(
        self,
        call: Call,
        read: Callable[[Any], Any] | None = None,
        *,
        find: Find = Router.routes,
        observed_as: str | None = None,
    ) -> Any:
        """The call's result, with its `meta`; `read` makes more of it, and may find that it is not what was asked.

        `find` gives the routes to try, where they are not those that the call itself asks for. `observed_as` is what
        telemetry calls it where it is not the task itself that is asked for.
        """
        trip = self.trip(call, observed_as)
        try:
            if call.save_to is not None:
                await check_target(call.save_to)  # before it costs anything
            result = await self._travelled(trip, lambda side, route: side.run(call, route, trip), find)
            if call.save_to is not None or isinstance(result, File):
                result = await _kept(result, call)
            meta = trip.meta()
            result = with_meta(result, meta)
            if read is not None:
                result = read(result)
        except BaseException as error:
            self.tell(trip, error)
            raise
        trip.observation.succeeded(result, meta)
        return result

    async def open(self, call: Call, trip: Trip) -> Chunks[Any]:
        """The call's stream, opened: from here on it stays with the provider it has."""
        try:
            return await self._travelled(trip, lambda side, route: side.stream(call, route, trip), Router.routes)
        except BaseException as error:
            self.tell(trip, error)
            raise

    def tell(self, trip: Trip, error: BaseException, partial: Any = None) -> None:
        """The end of a story that did not go well: our errors get to know where it was, and what had arrived."""
        if isinstance(error, HFClientError):
            trip.locate(error)
        if isinstance(error, StreamError | TimedOutError) and error.partial is None:
            error.partial = partial
        trip.observation.failed(error, partial)

    async def _travelled(self, trip: Trip, do: Callable[[Side, Route], Awaitable[T]], find: Find) -> T:
        with trip.observation.current():
            if trip.call.deadline is None:
                return await self._on_a_side(trip, do, find)
            with trip.within_deadline():
                return await self._on_a_side(trip, do, find)
        raise AssertionError("leaving early raises")  # pragma: no cover

    async def _on_a_side(self, trip: Trip, do: Callable[[Side, Route], Awaitable[T]], find: Find) -> T:
        """The first route that serves the call; the story of those that did not stays with the trip."""
        routes = await find(self._router, trip.call, trip)
        for route, following in zip(routes, [*routes[1:], None], strict=True):
            trip.set_out(route.provider.name, route.base_url, route.model_id, may_move_on=following is not None)
            try:
                return await do(self._sides.of(route.provider) or self._remote, route)
            except HFClientError as error:
                if following is None or trip.committed or not moves_on(error):
                    raise
                trip.moved_on(route.provider.name, error, following.provider.name)
        raise AssertionError("a router gives at least one route")  # pragma: no cover


async def _kept(result: Any, call: Call) -> File | Fetched:
    """The result no larger than allowed, and on disk where it is wanted there: what was fetched is so already."""
    if isinstance(result, File | Fetched) and result.path is not None:
        return result
    if not isinstance(result, File):
        raise InputError(
            f"The result is no file, but of type {type(result).__name__}.", advice="Ask for it without save_to=…."
        )
    if result.size > call.max_download_bytes:
        raise ResponseError(
            f"The result is larger than {call.max_download_bytes:,} bytes.",
            advice="Raise max_download_bytes=…; the provider's work is done, and may be paid for.",
        )
    return result if call.save_to is None else await result.kept_at(call.save_to)
