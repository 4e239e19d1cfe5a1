"""Who is served next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hfclient.local.scheduler import Scheduler


def serving(places: int, *ids: int) -> Scheduler:
    scheduler = Scheduler(places)
    for each in ids:
        scheduler.add(each)
    scheduler.seat()
    return scheduler


def test_prompts_are_read_one_after_the_other() -> None:
    """Who came first is read first, whatever the numbers are, and is then written for while the next is read."""
    scheduler = serving(3, 7, 3, 5)
    assert (scheduler.reading, scheduler.writing) == (7, [])
    scheduler.read(7)
    assert (scheduler.reading, scheduler.writing) == (3, [7])
    scheduler.read(3)
    scheduler.read(5)
    assert (scheduler.reading, scheduler.writing) == (None, [7, 3, 5])


def test_nobody_is_begun_without_a_place() -> None:
    """The line waits until somebody ends, and moves up by one then."""
    scheduler = serving(1, 1, 2, 3)
    scheduler.read(1)
    assert (scheduler.reading, scheduler.writing) == (None, [1])
    scheduler.end(1)
    scheduler.end(2)
    scheduler.seat()
    assert (scheduler.reading, scheduler.writing) == (3, [])


def test_who_is_held_gives_the_place_away() -> None:
    """A reader that is behind keeps nobody waiting; when it goes on it has the next place, before newcomers."""
    scheduler = serving(1, 1, 2, 3)
    scheduler.read(1)
    scheduler.hold(1)
    scheduler.seat()
    assert (scheduler.reading, scheduler.writing) == (2, [])
    scheduler.resume(1)
    scheduler.seat()
    assert scheduler.writing == []
    scheduler.end(2)
    scheduler.seat()
    assert (scheduler.reading, scheduler.writing) == (None, [1])


def test_idle_is_when_nobody_could_be_served() -> None:
    """There is nothing to do when all are held, and something as soon as one is not."""
    scheduler = serving(2)
    assert scheduler.idle
    scheduler.add(1)
    assert not scheduler.idle
    scheduler.hold(1)
    scheduler.hold(2)  # nobody knows this one
    assert scheduler.idle
    scheduler.resume(1)
    assert not scheduler.idle
    scheduler.end(1)
    assert scheduler.idle


ids = st.integers(0, 5)
actions = st.lists(st.tuples(st.sampled_from(["add", "end", "hold", "resume", "read"]), ids), max_size=60)


@given(st.integers(1, 3), actions)
def test_places_are_filled_fairly(places: int, todo: list[tuple[str, int]]) -> None:
    """No more are served than there are places, none stays empty that somebody waits for, and nobody held is served."""
    scheduler = Scheduler(places)
    there: dict[int, bool] = {}
    held: set[int] = set()
    for action, id in todo:  # noqa: A001
        if action == "read":
            if scheduler.reading == id:
                scheduler.read(id)
                there[id] = True
        elif (action == "add") != (id in there):
            getattr(scheduler, action)(id)
        if action == "add":
            there.setdefault(id, False)
        elif action == "end":
            there.pop(id, None)
            held.discard(id)
        elif action == "hold" and id in there:
            held.add(id)
        elif action == "resume":
            held.discard(id)
        scheduler.seat()
        writing, reading = scheduler.writing, scheduler.reading
        assert all(there[each] and each not in held for each in writing)
        assert reading is None or (not there[reading] and reading not in held)
        assert len(writing) + (reading is not None) <= places
        waiting = [each for each in there if each not in held]
        assert scheduler.idle == (not waiting)
        assert bool(writing or reading is not None) == bool(waiting)
