"""The HTTP side of the seam: drives flows, opens streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import anyio

from hfclient import clock
from hfclient.call import Call
from hfclient.complaints import error_in_success
from hfclient.destination import PATIENCE, Destination
from hfclient.errors import HFClientError, NotAStreamError
from hfclient.exchange import Exchange
from hfclient.faults import translated
from hfclient.flow import (
    Fetch,
    Fetched,
    Flow,
    Load,
    Progress,
    Request,
    Response,
    Several,
    Step,
    StreamPlan,
    Undo,
    Wait,
    json_or_none,
)
from hfclient.redact import Redactor, excerpt
from hfclient.retry import Retry
from hfclient.route import Route
from hfclient.scrub import clean
from hfclient.sse import Event, EventDecoder
from hfclient.transport import Transport
from hfclient.trip import Trip, too_late

T = TypeVar("T")

AT_ONCE = 4
GIVE_UP_SECONDS = 5.0
PEEK_LIMIT = 64 * 1024
DRAIN_SECONDS = 0.01
DONE = b"[DONE]"
LONGEST_DONE = 16


class Remote:
    """Performs what flows ask for."""

    def __init__(self, transport: Transport, redact: Redactor, max_event_bytes: int) -> None:
        self._transport = transport
        self._redact = redact
        self._max_event_bytes = max_event_bytes

    async def run(self, call: Call, route: Route, trip: Trip) -> Any:
        return await self._drive(route.task.run(call, route), self._destination(call, route, trip), trip)

    async def stream(self, call: Call, route: Route, trip: Trip) -> RemoteChunks:
        to = self._destination(call, route, trip)
        begin = cast("Callable[[Call, Route], Flow[StreamPlan[Any]]]", route.task.stream)  # routing has made sure
        plan = await self._drive(begin(call, route), to, trip)
        exchange = await self._transport.open(plan.request, to)
        headers = to.public(exchange.headers)
        trip.answered(exchange.status, headers)
        chunks = RemoteChunks(exchange, plan, to, EventDecoder(self._max_event_bytes))
        try:
            await chunks.check()
            if trip.may_move_on:
                await chunks.begin()
        except BaseException:
            await chunks.aclose()
            raise
        return chunks

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _drive(self, flow: Flow[T], to: Destination, trip: Trip) -> T:
        """Perform a flow's steps; what fails is raised at the flow's own yield, and what it raises shows no keys."""
        outcome: Any = None
        failure: HFClientError | None = None
        try:
            while True:
                step = flow.send(outcome) if failure is None else flow.throw(failure)
                outcome, failure = None, None
                try:
                    outcome = await self._perform(step, to, trip)
                except HFClientError as error:
                    failure = error
        except StopIteration as stop:
            return cast("T", stop.value)
        except GeneratorExit:  # nobody waits any more, and nothing can be awaited
            raise
        except BaseException as error:
            await self._give_up(to, trip)
            if isinstance(error, HFClientError):
                clean(error, to.redactor())
            raise
        finally:
            flow.close()

    async def _give_up(self, to: Destination, trip: Trip) -> None:
        """Cancel the job that nobody will collect. Whoever cancels the call waits for this, but not for long."""
        undo, trip.undo = trip.undo, None
        if undo is None:
            return
        once = replace(to, retry=Retry(attempts=1), patience=0.0)
        with anyio.move_on_after(GIVE_UP_SECONDS, shield=True), suppress(HFClientError):
            await self._transport.send(undo, once)

    async def _perform(self, step: Step, to: Destination, trip: Trip) -> Any:
        match step:
            case Request():
                return await self._send(step, to, trip)
            case Several():
                return await self._send_all(step.requests, to, trip)
            case Load():
                return await self._transport.load(step, to)
            case Fetch():
                return await self._fetch(step, to, trip)
            case Wait():
                if (left := _time_left(trip)) <= 0:
                    raise too_late(trip.call.deadline or PATIENCE)
                await clock.sleep(min(step.seconds, left))
            case Undo():
                trip.undo = step.request
            case Progress():
                shown = _shown(step, to)
                trip.tell(shown)
                return shown
        return None

    async def _fetch(self, step: Fetch, to: Destination, trip: Trip) -> Fetched:
        def on_progress(size: int, total: int | None) -> None:
            trip.tell(Progress("downloading", fraction=size / total if total else None))

        return await self._transport.fetch(
            step,
            replace(to, patience=_time_left(trip)),
            limit=trip.call.max_download_bytes,
            save_to=trip.call.save_to,
            on_progress=on_progress if trip.call.on_progress else None,
        )

    async def _send(self, request: Request, to: Destination, trip: Trip) -> Response:
        if request.repeatable:
            to = replace(to, patience=_time_left(trip))
        reply = await self._transport.send(request, to)
        trip.committed |= not request.repeatable  # work has begun there, so no other provider is given it too
        headers = to.public(reply.headers)
        trip.answered(reply.status, headers)
        return Response(reply.status, headers, reply.content)

    async def _send_all(self, requests: tuple[Request, ...], to: Destination, trip: Trip) -> list[Response]:
        """A few at a time; the first to fail ends them all."""
        if len(requests) == 1:
            return [await self._send(requests[0], to, trip)]
        replies: dict[int, Response] = {}
        failures: list[HFClientError] = []
        waiting = iter(enumerate(requests))

        async def work() -> None:
            try:
                for place, request in waiting:
                    replies[place] = await self._send(request, to, trip)
            except HFClientError as error:
                failures.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(min(AT_ONCE, len(requests))):
                group.start_soon(work)
        if failures:
            raise failures[0]
        return [replies[place] for place in range(len(requests))]

    def _destination(self, call: Call, route: Route, trip: Trip) -> Destination:
        name = route.provider.name
        return Destination(
            name,
            route.base_url,
            route.key,
            call.timeout,
            model=call.model,
            task=call.task,
            headers={**route.headers, **call.headers},
            query=call.query,
            url_of=route.url_of,
            retry=call.retry,
            patience=call.deadline or PATIENCE,
            before_pause=lambda error, seconds: trip.retrying(name, error, seconds),
            redact=self._redact,
        )


class RemoteChunks:
    """The pieces of one streamed answer."""

    def __init__(self, exchange: Exchange, plan: StreamPlan[Any], to: Destination, decoder: EventDecoder) -> None:
        self._exchange = exchange
        self._plan = plan
        self._to = to
        self._decoder = decoder
        self._body: AsyncIterator[bytes] = exchange.body
        self._events: list[Event] = []
        self._first: list[Any] | None = None
        self._beginning: bytes | None = b""
        self._ended = False
        self.done = False

    async def check(self) -> None:
        """Make sure that this is a stream; servers that call their events JSON are believed by the first bytes."""
        if self._exchange.headers.get("content-type", "").startswith("text/event-stream"):
            return
        beginning = b""
        with translated(self._to):
            async for part in self._body:
                beginning += part
                if _looks_like_events(beginning):
                    self._take(beginning)
                    return
                if len(beginning) >= PEEK_LIMIT:
                    break
        raise self._not_a_stream(beginning)

    async def begin(self) -> None:
        """Wait for the first chunks: until they come, another provider can still be asked."""
        self._first = await self.next_batch()

    async def next_batch(self) -> list[Any]:
        """The chunks that have arrived, at least one; empty once the stream has ended."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while not self.done:
            events, self._events = self._events, []
            if batch := self._decoded(events):
                return batch
            if self.done or self._ended:
                break
            with translated(self._to):
                try:
                    self._take(await anext(self._body))
                except StopAsyncIteration:
                    self._finish()
        return []

    def _take(self, part: bytes) -> None:
        self._events = self._decoder.feed(part)
        if self._beginning is not None:
            # Kept until the first event comes, to say what came if none does.
            self._beginning = None if self._events else (self._beginning + part)[:PEEK_LIMIT]

    def _finish(self) -> None:
        self._ended = True
        # An event torn by the end of the body is no event; that the end came early is told elsewhere.
        self._events = [event for event in self._decoder.finish() if _is_whole(event)]
        beginning = self._beginning or b""
        if not self._events and beginning.strip() and not _looks_like_events(beginning):
            raise self._not_a_stream(beginning)

    def clean(self, error: HFClientError) -> None:
        clean(error, self._to.redactor())

    async def aclose(self) -> None:
        """Give the connection back. After [DONE] the end of the body is due at once; no server is waited for."""
        try:
            if self.done and not self._ended:
                with anyio.move_on_after(DRAIN_SECONDS), suppress(HFClientError), translated(self._to):
                    async for _ in self._body:
                        pass
                self._ended = True
        finally:
            await self._exchange.aclose()

    def _decoded(self, events: list[Event]) -> list[Any]:
        chunks: list[Any] = []
        decode = self._plan.decode
        for position, event in enumerate(events):
            if len(event.data) < LONGEST_DONE and event.data.strip() == DONE:
                self.done = True
                break
            try:
                chunk = decode(event)
            except HFClientError as error:
                if not chunks:
                    clean(error, self._to.redactor())
                    raise
                # What came before the error still reaches the reader; the error is met again next time.
                self._events = events[position:]
                break
            if chunk is not None:
                chunks.append(chunk)
        return chunks

    def _not_a_stream(self, beginning: bytes) -> HFClientError:
        headers = self._exchange.headers
        kind = headers.get("content-type", "").partition(";")[0] or "no media type"
        complaint = error_in_success(json_or_none(beginning))
        error = NotAStreamError(
            f"{self._to.who} answered with {kind} instead of a stream"
            + (f": {complaint.message}" if complaint else "."),
            status=self._exchange.status,
            body=excerpt(beginning, kind),
            advice="Does this model or address support streaming? client.chat(...) asks for the whole answer.",
        )
        return clean(error, self._to.redactor())


def _shown(progress: Progress, to: Destination) -> Progress:
    """What a provider says of a job without any key that it says back."""
    if not progress.reason and not progress.logs:
        return progress
    redact = to.redactor()
    return replace(progress, reason=progress.reason and redact(progress.reason), logs=tuple(map(redact, progress.logs)))


def _time_left(trip: Trip) -> float:
    return max(0.0, trip.started + (trip.call.deadline or PATIENCE) - clock.now())


def _is_whole(event: Event) -> bool:
    return event.data.strip() == DONE or json_or_none(event.data) is not None


def _looks_like_events(beginning: bytes) -> bool:
    return beginning.lstrip(b"\xef\xbb\xbf\r\n").startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
