"""An engine without a model, that the tests step, hold and break: it writes 1, 2, 3, … for everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hfclient.local.engine import Generation, Loaded, Written


@dataclass
class FakeEngine:
    """`before_step` is called at the beginning of each step, and may raise."""

    before_step: Callable[[FakeEngine], None] = lambda _: None
    open: dict[int, Generation] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    cancelled: list[int] = field(default_factory=list)
    steps: int = 0
    closed: bool = False

    def add(self, generation: Generation) -> None:
        if generation.tokens == [-1]:
            raise ValueError("a prompt that cannot be")
        self.open[generation.id] = generation

    def step(self) -> list[Written]:
        self.steps += 1
        self.before_step(self)
        told: list[Written] = []
        for each in list(self.open.values()):
            if each.id in self.held:
                continue
            count = self.written[each.id] = self.written.get(each.id, 0) + 1
            if each.tokens == [-2]:
                del self.open[each.id]
                told.append(Written(each.id, error=ValueError("no token")))
                continue
            last = count == each.max_tokens
            if last:
                del self.open[each.id]
            told.append(Written(each.id, count, "length" if last else None))
        return told

    def cancel(self, id: int) -> None:  # noqa: A002
        self.cancelled.append(id)
        self.open.pop(id, None)

    def hold(self, id: int) -> None:  # noqa: A002
        self.held.add(id)

    def resume(self, id: int) -> None:  # noqa: A002
        self.held.discard(id)

    @property
    def idle(self) -> bool:
        return not self.open.keys() - self.held

    def shed(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def loaded(self) -> Loaded:
        return Loaded(engine=self, tokenizer=None, size=100, device="cpu")


class Counting:
    """A scribe whose chunks are the tokens themselves; one in `stops` ends its generation, one in `faults` fails."""

    def __init__(self, *generations: Generation, stops: Sequence[int] = (), faults: Sequence[int] = ()) -> None:
        self.generations = generations
        self.stops, self.faults = stops, faults

    def write(self, written: Written) -> tuple[list[Any], bool]:
        if written.token in self.faults:
            raise ZeroDivisionError("a bug")
        return [written.token], written.ending is not None or written.token in self.stops

    def farewell(self) -> list[Any]:
        return ["bye"]
