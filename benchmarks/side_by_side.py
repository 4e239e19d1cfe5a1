"""Contenders that take turns in this process, against a server in its own."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
KEY = "hf_fake_benchmark"
MESSAGES = [{"role": "user", "content": "hi"}]
QUESTION = {"model": "m", "messages": MESSAGES}
AUTHORIZATION = {"authorization": f"Bearer {KEY}"}

# A proxy, or the Hub's offline mode, would be measured instead of the clients.
for _name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE", "HFCLIENT_TRANSPORT", "HFCLIENT_LOG"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

PER_SECOND = {"µs": 1e6, "ms": 1e3}

Contender: TypeAlias = "Callable[[], Awaitable[object]]"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that one call, chunk or import took."""

    cpu: float
    wall: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


Costs: TypeAlias = "dict[str, list[Cost]]"


@contextmanager
def serving(*options: str) -> Generator[str]:
    """The tests' loopback server in its own process, which ends with this one; yields its address."""
    command = [sys.executable, "-m", "tests.loopback", "--until-stdin-closes", *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


async def take_turns(contenders: Mapping[str, Contender], *, rounds: int, units: int) -> Costs:
    """Let each contender do its `units` of work once unmeasured, then once per round, in turn; costs are per unit."""
    for contender in contenders.values():
        await contender()
    costs: Costs = {name: [] for name in contenders}
    order = list(contenders.items())
    for _ in range(rounds):
        order.reverse()  # so that nobody always follows the same neighbour
        for name, contender in order:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            await contender()
            spent = Cost(time.process_time() - cpu, time.perf_counter() - wall)
            costs[name].append(Cost(spent.cpu / units, spent.wall / units))
    return costs


def added(one: Sequence[Cost], other: Sequence[Cost]) -> list[Cost]:
    return [a + b for a, b in zip(one, other, strict=True)]


def show(
    title: str, costs: Costs, *, against: str, bounds: Mapping[str, float], unit: Literal["µs", "ms"] = "µs"
) -> None:
    """Print the medians, and how each contender's CPU compares with that of `against`, round by round."""
    say(f"\n{title}")
    width = max(map(len, costs))
    say(f"  {'':{width}}  {f'CPU {unit}':>8}  {f'wall {unit}':>8}  {'ratio':>6}  {'min to max':>13}  bound")
    for name, mine in costs.items():
        ratios = [cost.cpu / base.cpu for cost, base in zip(mine, costs[against], strict=True)]
        cpu = statistics.median(cost.cpu for cost in mine) * PER_SECOND[unit]
        wall = statistics.median(cost.wall for cost in mine) * PER_SECOND[unit]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        bound = f"{bounds[name]:.2f}" if name in bounds else ""
        ratio = statistics.median(ratios)
        say(f"  {name:{width}}  {cpu:8.1f}  {wall:8.1f}  {ratio:6.2f}  {spread:>13}  {bound}".rstrip())


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
