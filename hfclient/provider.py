"""What hfclient knows of a provider: plain data, and a flow for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfclient.flow import Flow, StreamPlan

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.dispatch import Side
    from hfclient.local.options import Surroundings
    from hfclient.route import Route
    from hfclient.ticket import JobPlan


@dataclass(frozen=True, slots=True)
class Task:
    """How a provider does one task: a flow that gives the result and, where it can, one that plans a stream.

    `job` is there where the work is a job that can be submitted now and collected later, `url` where the task has
    another address than the provider.
    """

    run: Callable[[Call, Route], Flow[Any]]
    stream: Callable[[Call, Route], Flow[StreamPlan[Any]]] | None = None
    job: JobPlan | None = None
    url: str | None = None

    @classmethod
    def of_job(cls, plan: JobPlan, *, url: str | None = None) -> Task:
        """A task whose work is a job."""
        return cls(plan.run, job=plan, url=url)


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, described.

    `variables` are the environment variables its own key is usually kept in; that key travels in `key_header`, after
    the word `scheme`. `routed` says that the Hugging Face router leads to it, `mapped` that the Hub knows its model
    ids. `otherwise` is how it is asked for a task that has no function here. `opens`, for one that needs no network,
    makes the side of the dispatcher that runs its calls in this process, by the client's `local=` options;
    `default_model` is what such a one runs where no model is named.
    """

    name: str
    url: str
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    variables: tuple[str, ...] = ()
    scheme: str = "Bearer"
    key_header: str = "authorization"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    routed: bool = True
    mapped: bool = True
    otherwise: Task | None = None
    opens: Callable[[Surroundings], Side] | None = None
    default_model: str | None = None
