"""The one place where the package waits and reads the clock, so that a test can put a faster one in its stead.

Call these through the module (`clock.sleep(...)`), so that a replacement is seen.
"""

from __future__ import annotations

import time

import anyio


async def sleep(seconds: float) -> None:
    await anyio.sleep(seconds)


def now() -> float:
    """Seconds on a clock that never goes back; only differences mean anything."""
    return time.monotonic()
