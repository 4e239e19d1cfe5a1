"""One call's answer between the thread that writes it and the task that reads it, with the thread left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfclient import Timeout
from hfclient.errors import EngineError
from hfclient.local import reply as reply_module
from hfclient.local.reply import Reply

pytestmark = pytest.mark.anyio

IDS = frozenset({1})


class Orders:
    """Takes orders, carries each out at once, and notes which they were."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def order(self, order: Callable[[], None]) -> None:
        order()

    def hold(self, ids: frozenset[int]) -> None:
        assert ids == IDS
        self.taken.append("hold")

    def resume(self, ids: frozenset[int]) -> None:
        assert ids == IDS
        self.taken.append("resume")

    def drop(self, ids: frozenset[int]) -> None:
        assert ids == IDS
        self.taken.append("drop")


def reply_of(orders: Orders) -> Reply[Any]:
    return Reply(orders, IDS, Timeout())


async def test_a_reader_that_is_behind_is_held_once_and_resumed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much arrives meanwhile, and not where nothing more can come."""
    monkeypatch.setattr(reply_module, "FAR_BEHIND", 2)
    orders = Orders()
    reply = reply_of(orders)
    reply.arrive([1, 2], None, last=False)
    assert orders.taken == []
    reply.arrive([3], None, last=False)
    reply.arrive([4], None, last=False)
    assert orders.taken == ["hold"]
    assert await reply.next_batch() == [1, 2, 3, 4]
    assert orders.taken == ["hold", "resume"]
    reply.arrive([5], None, last=False)
    assert await reply.next_batch() == [5]
    reply.arrive([6, 7, 8], None, last=True)
    assert (await reply.next_batch(), await reply.next_batch()) == ([6, 7, 8], [])
    assert orders.taken == ["hold", "resume"]


async def test_an_answer_has_begun_with_its_first_piece() -> None:
    """An error before it is raised there, so that another provider can be asked; one behind it when its turn comes."""
    error = EngineError("broken")
    failed, cut, whole = (reply_of(Orders()) for _ in range(3))
    failed.arrive([], error, last=True)
    with pytest.raises(EngineError, match="broken"):
        await failed.begun()
    cut.arrive([1], error, last=True)
    await cut.begun()
    assert await cut.next_batch() == [1]
    with pytest.raises(EngineError, match="broken"):
        await cut.next_batch()
    whole.arrive([], None, last=True)
    await whole.begun()
    assert await whole.next_batch() == []


async def test_leaving_drops_what_is_not_whole() -> None:
    """Whatever had arrived by then; a whole answer is nobody's any more."""
    for last, taken in ((False, ["drop"]), (True, [])):
        orders = Orders()
        reply = reply_of(orders)
        reply.arrive([1], None, last=last)
        await reply.aclose()
        assert orders.taken == taken
