"""The side of the dispatcher that runs models in this process."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hfclient.call import Call
from hfclient.credentials import Key
from hfclient.flow import Progress
from hfclient.local.handlers import HANDLERS
from hfclient.local.options import Surroundings
from hfclient.local.shelf import LocalModel, Shelf

if TYPE_CHECKING:
    from hfclient.local.reply import Reply
    from hfclient.route import Route
    from hfclient.trip import Trip


class LocalSide:
    """Runs calls on the models of this machine, for one client and the copies made of it."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._options = surroundings.options
        self._shelf = Shelf(surroundings)
        # A client that is dropped without being closed leaves no thread behind.
        weakref.finalize(self, self._shelf.stop)

    async def run(self, call: Call, route: Route, trip: Trip) -> Any:
        """The whole answer, put together as that of a stream is."""
        reply = await self._begun(call, route, trip)
        assembly = HANDLERS[call.task].assembly()
        try:
            while batch := await reply.next_batch():
                for chunk in batch:
                    assembly.add(chunk)
        finally:
            reply.leave()
        return assembly.result()

    async def stream(self, call: Call, route: Route, trip: Trip) -> Reply[Any]:
        """The answer as it is written. Where another provider could still serve the call, it counts as begun only
        with its first piece."""
        reply = await self._begun(call, route, trip)
        try:
            if trip.may_move_on:
                await reply.begun()
        except BaseException:
            reply.leave()
            raise
        return reply

    async def load(
        self, name: str, key: Key | None, tell: Callable[[Progress], None] | None, changes: Mapping[str, Any]
    ) -> LocalModel:
        slot = await self._shelf.claim(name, _token(key), tell, self._options.changed(changes))
        slot.worker.release()
        return slot.told()

    async def unload(self, name: str | None) -> None:
        await self._shelf.unload(name)

    def loaded(self) -> tuple[LocalModel, ...]:
        return self._shelf.loaded()

    async def aclose(self) -> None:
        await self._shelf.unload()

    async def _begun(self, call: Call, route: Route, trip: Trip) -> Reply[Any]:
        handler = HANDLERS[call.task]
        wanted = handler.read(call)  # what cannot be done is refused before anything is loaded
        slot = await self._shelf.claim(route.model_id or "", _token(route.key), trip.tell)
        try:
            scribe = await slot.worker.do(lambda _: handler.scribe(slot.speaker, wanted))
            return slot.worker.ask(scribe, call.timeout)
        finally:
            slot.worker.release()


def _token(key: Key | None) -> str | None:
    return key.secret.reveal() if key else None
