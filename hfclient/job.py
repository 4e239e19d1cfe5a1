"""A job that was submitted: ask how it stands, wait for its result, cancel it, take it to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from typing_extensions import TypedDict, Unpack

from hfclient.call import Call, FileOptions, TimeoutChoice, unknown_option
from hfclient.download import check_target
from hfclient.errors import InputError, NoProviderError, function_for, spoken
from hfclient.flow import Flow, Progress, Request
from hfclient.provider import Task
from hfclient.retry import Retry
from hfclient.ticket import JobPlan, Ticket
from hfclient.types.base import KeepsMeta
from hfclient.types.files import File

if TYPE_CHECKING:
    import os

    from hfclient.client import Client
    from hfclient.route import Route
    from hfclient.routing import Router
    from hfclient.trip import Trip

Via: TypeAlias = Literal["router", "provider", "endpoint"]


class WaitOptions(TypedDict, total=False):
    """How to wait for a job, and where to put what it made."""

    timeout: TimeoutChoice
    deadline: float | None
    retry: bool | int | Retry | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, str | float] | None
    on_progress: Callable[[Progress], None] | None
    save_to: str | os.PathLike[str] | None
    max_download_bytes: int | None


@dataclass(frozen=True, repr=False)
class Job(KeepsMeta):
    """Work that a provider has accepted.

    >>> job = await client.submit("text-to-video", "A cat walks over the roofs.")
    >>> print(await job.status())
    >>> video = await job.result(save_to="cat.mp4")
    """

    client: Client
    ticket: Ticket
    provider: str
    task: str
    model: str | None
    via: Via

    @property
    def id(self) -> str:
        """The provider's name for it."""
        return self.ticket.id

    async def status(self, **options: Unpack[WaitOptions]) -> Progress:
        """How it stands now; a job that failed says why, and raises nothing."""
        return cast("Progress", await self._run(self._look, self._call(options)))

    async def result(self, **options: Unpack[WaitOptions]) -> Any:
        """What it made, as the task's own function would have given it; waits until it is done.

        The job goes on where this is cancelled or its `deadline` (600 seconds) ends, and can be asked again.
        """
        call = self._call(options)
        if call.save_to is not None:
            await check_target(call.save_to)
        result = await self._run(lambda plan: plan.follow(self.ticket), call)
        if call.save_to is not None and isinstance(result, File) and result.path is None:
            result = await result.kept_at(call.save_to)
        return result

    async def cancel(self, **options: Unpack[WaitOptions]) -> None:
        """Have the provider stop it."""
        request = self.ticket.cancel
        if request is None:
            raise InputError(
                f"{self.provider} has no way to cancel a job.", advice="Let it run; nobody must collect it."
            )
        await self._run(lambda _: _sent(request), self._call(options))

    def to_dict(self) -> dict[str, Any]:
        """All that is needed to take it up elsewhere, as plain data that JSON can hold; no key is in it."""
        ticket = self.ticket
        return {
            "provider": self.provider,
            "task": self.task,
            "model": self.model,
            "via": self.via,
            "id": ticket.id,
            "poll": _plain(ticket.poll),
            "cancel": ticket.cancel and _plain(ticket.cancel),
            "notes": dict(ticket.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], client: Client | None = None) -> Job:
        """Take up a job from `to_dict()`. Without a client, one is made with the keys that the environment has."""
        from hfclient.client import Client  # noqa: PLC0415  only here does the road lead up again

        try:
            cancel = data["cancel"]
            ticket = Ticket(str(data["id"]), _request(data["poll"]), cancel and _request(cancel), None, data["notes"])
            told = {name: data[name] for name in ("provider", "task", "model", "via")}
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"This is no job: {error!r}.", advice="Pass what job.to_dict() gave.") from None
        return cls(client or Client(), ticket, **told)

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {spoken(self.task)} at {self.provider})"

    def _look(self, plan: JobPlan) -> Flow[Progress]:
        standing = yield from plan.look(self.ticket)
        return standing.progress()

    def _call(self, options: WaitOptions) -> Call:
        for name in options:
            if name not in WaitOptions.__annotations__:
                raise unknown_option(name, WaitOptions.__annotations__, where="a job")
        call = self.client.defaults.call(
            self.task, None, model=self.model, parameters={}, options=cast("FileOptions", options)
        )
        if self.via == "endpoint" and call.base_url is None:
            raise InputError(
                "The job was submitted to an address of your own, which is not kept with it.",
                advice="Pass the client for that address: Job.from_dict(data, client).",
            )
        base_url = call.base_url if self.via == "endpoint" else None
        return replace(call, providers=(self.provider,), base_url=base_url)

    async def _run(self, flow: Callable[[JobPlan], Flow[Any]], call: Call) -> Any:
        async def find(router: Router, call: Call, _: Trip) -> list[Route]:
            route = await router.back(call, routed=self.via == "router")
            plan = _plan_of(route)
            return [replace(route, task=Task(lambda _call, _route: flow(plan)))]

        return await self.client.dispatcher.run(call, find=find)


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
    via: Via = "endpoint" if route.custom else "router" if route.routed else "provider"
    return Job(client, ticket, route.provider.name, call.task, call.model, via)


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


def _plain(request: Request) -> dict[str, Any]:
    return {"method": request.method, "path": request.path, "query": dict(request.query)}


def _request(data: Mapping[str, Any]) -> Request:
    if not str(data["path"]).startswith("/") or data["method"] not in {"GET", "POST", "PUT", "DELETE"}:
        msg = "its requests make no sense"
        raise TypeError(msg)
    return Request(data["method"], data["path"], query=dict(data["query"]))
