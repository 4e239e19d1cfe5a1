"""Where an answer came from, and what it took to get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hfclient.types.models import Pricing


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one provider: what came of it."""

    provider: str
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Meta:
    """How the answer came about.

    `provider` is the one that really served the call: where the router chose, it is the name the router reported.
    `seconds` runs from the call to its result; for a stream, to the end of the stream. `pricing` is what that provider
    takes for the model, where the client has read it: `await client.models.list()`.
    """

    provider: str
    model: str | None = None
    request_id: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    attempts: tuple[Attempt, ...] = ()
    seconds: float = 0.0
    pricing: Pricing | None = None
