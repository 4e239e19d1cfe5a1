"""What hfclient knows of a provider: plain data, and a flow for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfclient.flow import Flow, StreamPlan

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.dispatch import Side
    from hfclient.route import Route


@dataclass(frozen=True, slots=True)
class Task:
    """How a provider does one task: a flow that gives the result and, where it can, one that plans a stream."""

    run: Callable[[Call, Route], Flow[Any]]
    stream: Callable[[Call, Route], Flow[StreamPlan[Any]]] | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, described.

    `variables` are the environment variables its own key is usually kept in. `routed` says that the Hugging Face
    router leads to it, `mapped` that the Hub knows its model ids. `opens`, for one that needs no network, makes the
    side of the dispatcher that runs its calls in this process.
    """

    name: str
    url: str
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    variables: tuple[str, ...] = ()
    scheme: str = "Bearer"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    routed: bool = True
    mapped: bool = True
    opens: Callable[[], Side] | None = None
