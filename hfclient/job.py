"""A job that was submitted: ask how it stands, wait for its result, cancel it, take it to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeAlias, cast

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict, Unpack

from hfclient.call import Call, FileOptions, TimeoutChoice, unknown_option
from hfclient.errors import InputError, NoProviderError, function_for, spoken
from hfclient.flow import JSON, Flow, Progress, Request
from hfclient.provider import Task
from hfclient.retry import Retry
from hfclient.ticket import PENDING, JobPlan, Ticket
from hfclient.types.base import KeepsMeta, first_fault

if TYPE_CHECKING:
    import os

    from hfclient.client import Client
    from hfclient.route import Route
    from hfclient.routing import Router
    from hfclient.trip import Trip

Via: TypeAlias = Literal["router", "provider", "endpoint"]


class AskOptions(TypedDict, total=False):
    """How to ask after a job."""

    timeout: TimeoutChoice
    deadline: float | None
    retry: bool | int | Retry | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, str | float] | None


class WaitOptions(AskOptions, total=False):
    """How to wait for a job, and where to put what it made."""

    on_progress: Callable[[Progress], None] | None
    save_to: str | os.PathLike[str] | None
    max_download_bytes: int | None


class PlainRequest(TypedDict):
    """A request to the job's provider, in JSON's terms."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: Annotated[str, Field(pattern="^/")]
    query: dict[str, str]
    json: JSON


class PlainJob(TypedDict):
    """A job, in JSON's terms."""

    provider: str
    task: str
    model: str | None
    via: Via
    id: str
    poll: PlainRequest
    cancel: PlainRequest | None
    notes: dict[str, JSON]


@dataclass(frozen=True, repr=False)
class Job(KeepsMeta):
    """Work that a provider has accepted.

    >>> job = await client.submit("text-to-video", "A cat walks over the roofs.", model="Wan-AI/Wan2.2-T2V-A14B")
    >>> print(await job.status())
    >>> video = await job.result(save_to="cat.mp4")
    """

    client: Client = field(compare=False)
    ticket: Ticket
    provider: str
    task: str
    model: str | None
    via: Via

    @property
    def id(self) -> str:
        """The provider's name for it."""
        return self.ticket.id

    async def status(self, **options: Unpack[AskOptions]) -> Progress:
        """How it stands now; a job that failed says why, and raises nothing."""
        return cast("Progress", await self._run("status", self._look, options, AskOptions))

    async def result(self, **options: Unpack[WaitOptions]) -> Any:
        """What it made, as the task's own function would have given it; waits until it is done.

        The job goes on where this is cancelled or its `deadline` (600 seconds) ends, and can be asked again.
        """
        return await self._run("result", lambda plan: plan.follow(self.ticket), options, WaitOptions)

    async def cancel(self, **options: Unpack[AskOptions]) -> None:
        """Have the provider stop it."""
        request = self.ticket.cancel
        if request is None:
            raise InputError(
                f"{self.provider} has no way to cancel a job.", advice="Let it run; nobody must collect it."
            )
        await self._run("cancel", lambda _: _sent(request), options, AskOptions)

    def to_dict(self) -> dict[str, Any]:
        """All that is needed to take it up elsewhere, as plain data that JSON can hold; no key is in it."""
        ticket = self.ticket
        plain: PlainJob = {
            "provider": self.provider,
            "task": self.task,
            "model": self.model,
            "via": self.via,
            "id": ticket.id,
            "poll": _plain(ticket.poll),
            "cancel": _plain(ticket.cancel) if ticket.cancel else None,
            "notes": dict(ticket.notes),
        }
        return cast("dict[str, Any]", plain)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], client: Client | None = None) -> Job:
        """Take up a job from `to_dict()`. Without a client, one is made with the keys that the environment has."""
        from hfclient.client import Client  # noqa: PLC0415  only here does the road lead up again

        try:
            plain: PlainJob = _plain_job().validate_python(data)
        except ValidationError as error:
            raise InputError(f"This is no job: {first_fault(error)}.", advice="Pass what job.to_dict() gave.") from None
        poll, cancel = Request(**plain["poll"]), plain["cancel"] and Request(**plain["cancel"])
        ticket = Ticket(plain["id"], poll, cancel, notes=plain["notes"])
        return cls(client or Client(), ticket, plain["provider"], plain["task"], plain["model"], plain["via"])

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {spoken(self.task)} at {self.provider})"

    def __hash__(self) -> int:
        return hash((self.provider, self.id))

    def __reduce__(self) -> NoReturn:
        msg = "a Job holds a client with its keys, so it cannot be pickled; take job.to_dict() along"
        raise TypeError(msg)

    def _look(self, plan: JobPlan) -> Flow[Progress]:
        standing = yield from plan.look(self.ticket)
        progress: Progress = yield standing.progress()
        return progress

    async def _run(
        self, what: str, flow: Callable[[JobPlan], Flow[Any]], options: AskOptions, known: type[AskOptions]
    ) -> Any:
        for name in options:
            if name not in known.__annotations__:
                raise unknown_option(name, known.__annotations__, where=f"job.{what}")

        async def find(router: Router, call: Call, _: Trip) -> list[Route]:
            route = await router.back(call, routed=self.via == "router")
            plan = _plan_of(route)
            return [replace(route, task=Task(lambda _call, _route: flow(plan)))]

        return await self.client.dispatcher.run(self._call(options), find=find, observed_as=f"job-{what}")

    def _call(self, options: AskOptions) -> Call:
        call = self.client.defaults.call(
            self.task, None, model=self.model, parameters={}, options=cast("FileOptions", options)
        )
        if self.via != "endpoint":
            return replace(call, providers=(self.provider,), base_url=None)
        if call.base_url is None:
            raise InputError(
                "The job was submitted to an address of your own, which is not kept with it.",
                advice="Pass the client for that address: Job.from_dict(data, client).",
            )
        return replace(call, providers=(self.provider,))


@cache
def _plain_job() -> TypeAdapter[PlainJob]:
    return TypeAdapter(PlainJob)


async def submitted(client: Client, call: Call) -> Job:
    """Begin the work of a call at the first of its providers that does it as a job."""

    async def find(router: Router, call: Call, trip: Trip) -> list[Route]:
        routes = await router.routes(call, trip)
        able = [
            replace(route, task=Task(partial(_begin, client, _plan_of(route)))) for route in routes if route.task.job
        ]
        if not able:
            raise _no_job(call, routes[0])
        return able

    return cast("Job", await client.dispatcher.run(call, find=find))


def _begin(client: Client, plan: JobPlan, call: Call, route: Route) -> Flow[Job]:
    ticket = yield from plan.submit(call, route)
    if ticket.first is not None and plan.read(ticket.first).state in PENDING:
        ticket = replace(ticket, first=None)  # no longer true when the job is asked for
    via: Via = "endpoint" if route.custom else "router" if route.routed else "provider"
    # What the job was submitted with is what it is asked for with.
    same = client.with_options(base_url=call.base_url, bill_to=call.bill_to, headers=call.headers)
    return Job(same, ticket, route.provider.name, call.task, call.model, via)


def _plan_of(route: Route) -> JobPlan:
    if route.task.job is None:
        raise InputError(f"{route.provider.name} has no such jobs.", advice="Was the job's data changed?")
    return route.task.job


def _no_job(call: Call, route: Route) -> NoProviderError:
    return NoProviderError(
        f"{route.provider.name} does {spoken(call.task)} at once, not as a job to come back for.",
        advice=f"Call {function_for(call.task)}, which waits for the result.",
    )


def _sent(request: Request) -> Flow[None]:
    yield request


def _plain(request: Request) -> PlainRequest:
    return {"method": request.method, "path": request.path, "query": dict(request.query), "json": request.json}
