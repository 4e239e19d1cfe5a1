"""One piece of work, however many tasks ask for it at once."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import anyio
from anyio.lowlevel import current_token

from hfclient.errors import HFClientError

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=HFClientError)


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    landed: anyio.Event
    value: T | None = None
    error: HFClientError | None = None
    completed: bool = False


def again(error: ErrorT) -> ErrorT:
    """The same error for another who met it: each gets one of its own, since where it was met is written into it."""
    twin = copy.copy(error)
    twin.__cause__ = error.__cause__
    return twin


class SingleFlight(Generic[T]):
    """The first task to ask does the work; the others wait and share its outcome, error included.

    When the task at work is cancelled, one of those waiting takes over.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def share(self, what: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        key = (current_token(), what)
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error:
                raise again(flight.error)
            if flight.completed:
                return cast("T", flight.value)
        flight = self._flights[key] = _Flight(anyio.Event())
        try:
            flight.value = await work()
            flight.completed = True
        except HFClientError as error:
            flight.error = again(error)
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        return flight.value
