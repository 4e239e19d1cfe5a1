"""OpenTelemetry: one span for each logical call, its metrics, and the conversation only where that was asked for.

An application that has not imported OpenTelemetry pays for one look into `sys.modules`; nothing here imports it first.
What is recorded where it has is in `recording`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.types import Attempt, Meta

Semconv: TypeAlias = Literal["2026-10", "1.41"]


class Observation:
    """What the dispatcher and the stream tell about a call; this one does nothing with it."""

    __slots__ = ()

    def current(self) -> AbstractContextManager[None]:
        """Make the span the current one, so that what happens inside belongs to it."""
        return nullcontext()

    def routed(self, provider: str, url: str, model: str | None = None) -> None:
        """Note which provider the call goes to, at which address, and for which model where the call names none."""

    def attempt_failed(self, attempt: Attempt, *, waited: float, next_provider: str | None) -> None:
        """Note a failure that is not the end: the same provider is asked again, or the next one."""

    def chunk(self) -> None:
        """Note that a chunk of a stream has arrived."""

    def succeeded(self, result: object, meta: Meta) -> None:
        """End with an answer."""

    def failed(self, error: BaseException, partial: object = None) -> None:
        """End with an error or a cancellation; `partial` is what had arrived."""


NOTHING = Observation()


def observe(call: Call, *, semconv: Semconv = "2026-10") -> Observation:
    """Begin to observe a call. `succeeded` or `failed` ends it; of several, the first counts."""
    if "opentelemetry.trace" not in sys.modules:
        return NOTHING
    from hfclient.recording import begin  # noqa: PLC0415  it imports OpenTelemetry, if no more of it than its API

    return begin(call, semconv) or NOTHING
