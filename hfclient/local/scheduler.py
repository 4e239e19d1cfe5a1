"""Who is served next by an engine: plain numbers, and no framework."""

from __future__ import annotations

from itertools import count, islice


class Scheduler:
    """First come, first served, `places` at a time. Each has its prompt read, one after the other, and is then written
    for, all at once; one that is held gives its place away, and has the first that falls vacant when it goes on."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._came = count()
        self._order: dict[int, int] = {}  # everybody, and when they came
        self._unread: set[int] = set()
        self._held: set[int] = set()
        self._seated: set[int] = set()

    def add(self, id: int) -> None:  # noqa: A002  as the generation has it
        """Let this one wait in line."""
        self._order[id] = next(self._came)
        self._unread.add(id)

    def read(self, id: int) -> None:  # noqa: A002
        """Take note that the whole prompt of this one is read."""
        self._unread.discard(id)

    def end(self, id: int) -> None:  # noqa: A002
        """Be done with this one, wherever it was."""
        self._order.pop(id, None)
        for each in (self._unread, self._held, self._seated):
            each.discard(id)

    def hold(self, id: int) -> None:  # noqa: A002
        """Pass this one over for now."""
        if id in self._order:
            self._held.add(id)
            self._seated.discard(id)

    def resume(self, id: int) -> None:  # noqa: A002
        """Pass this one over no longer."""
        self._held.discard(id)

    def seat(self) -> None:
        """Fill the vacant places."""
        vacant = self._places - len(self._seated)
        if vacant > 0 and len(self._order) > len(self._held) + len(self._seated):
            waiting = (each for each in self._order if each not in self._held and each not in self._seated)
            self._seated.update(list(islice(waiting, vacant)))

    @property
    def reading(self) -> int | None:
        """Whose prompt is to be read on."""
        return min(self._seated & self._unread, key=self._order.__getitem__, default=None)

    @property
    def writing(self) -> list[int]:
        """Who is to be given a token, those first who came first."""
        return sorted(self._seated - self._unread, key=self._order.__getitem__)

    @property
    def idle(self) -> bool:
        """Whether nobody is there but those who are held."""
        return len(self._order) == len(self._held)
