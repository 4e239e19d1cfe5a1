"""fal: speech at once, everything else through a queue, which is asked until the work is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hfclient.call import Call, merged
from hfclient.complaints import error_in_success
from hfclient.errors import (
    AuthenticationError,
    CreditsError,
    JobFailedError,
    PermissionDeniedError,
    RateLimitError,
    StatusError,
)
from hfclient.flow import JSON, Flow, Request, Response, get, post
from hfclient.provider import Task
from hfclient.providers.openai_compatible import Body, filled_path
from hfclient.providers.reading import at, items_of, path_of, payload_of, unusable
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket

QUEUE = "https://queue.fal.run"

Write: TypeAlias = Callable[[Call, Route], Flow[Body]]
Result: TypeAlias = Callable[[JSON, Response], Flow[Any]]

_STATES: dict[str, State] = {"IN_QUEUE": "queued", "IN_PROGRESS": "running", "COMPLETED": "done"}
# Answers that say nothing of the job: it is done, but not for this key, or not now.
_NOT_OF_THE_JOB = (AuthenticationError, CreditsError, PermissionDeniedError, RateLimitError)


def at_once(write: Write, result: Result) -> Task:
    """A task that is one request."""

    def run(call: Call, route: Route) -> Flow[Any]:
        body = merged((yield from write(call, route)), call.body)
        reply: Response = yield post(filled_path("/{model_id}", route), json=body)
        return (yield from result(payload_of(reply, f"the result of {call.task}"), reply))

    return Task(run)


def queued(write: Write, result: Result) -> Task:
    """A task that goes through the queue."""

    def submit(call: Call, route: Route) -> Flow[Ticket]:
        body = merged((yield from write(call, route)), call.body)
        # The queue has a host to itself; the router, which knows fal by one name, is told that it is meant.
        query = {"_subdomain": "queue"} if route.routed else {}
        reply: Response = yield post(_submission_path(call, route), json=body, query=query)
        job = payload_of(reply, "a place in the queue")
        if not at(job, "request_id"):
            raise unusable(reply, "no place in the queue")
        place = path_of(at(job, "response_url"), route)  # fal's to say: it leaves the end of longer model ids away
        # Logs are asked for where somebody listens, and not of the router, which need not hand that on.
        logs = {"logs": "1"} if call.on_progress and not route.routed else {}
        poll = get(f"{place}/status", query={**query, **logs})
        return Ticket(str(job["request_id"]), poll, Request("PUT", f"{place}/cancel", query=query), first=job)

    def collect(ticket: Ticket, _: JSON) -> Flow[Any]:
        query = {name: value for name, value in ticket.poll.query.items() if name != "logs"}
        try:
            reply: Response = yield get(ticket.poll.path.removesuffix("/status"), query=query)
        except _NOT_OF_THE_JOB:
            raise
        except StatusError as error:
            facts = {"status": error.status, "request_id": error.request_id, "body": error.body}
            raise JobFailedError(f"The job failed: {error.message}", job_id=ticket.id, **facts) from error
        payload = reply.json()
        if complaint := error_in_success(payload):
            raise JobFailedError(f"The job failed: {complaint.message}", job_id=ticket.id, body=reply.text())
        return (yield from result(payload, reply))

    return Task.of_job(JobPlan(submit, read_status, collect), url=QUEUE)


def read_status(payload: JSON) -> Standing:
    """How a job stands. COMPLETED says that it has ended, well or not."""
    status, kind = str(at(payload, "status") or ""), at(payload, "error_type")
    state = _STATES.get(status, "running" if status else "queued")
    complaint = error_in_success(payload) if state == "done" or status not in _STATES else None
    if complaint or (state == "done" and kind):
        state = "cancelled" if kind == "client_cancelled" else "failed"
    position = at(payload, "queue_position")
    return Standing(
        state,
        answer=payload,
        reason=complaint.message if complaint else str(kind) if kind else None,
        position=position if isinstance(position, int) else None,
        logs=tuple(str(at(line, "message") or line) for line in items_of(at(payload, "logs"))),
    )


def _submission_path(call: Call, route: Route) -> str:
    """The model's path; where a picture could be given and none is, that of the model that takes text alone, which is
    `fal-ai/flux-2` for `fal-ai/flux-2/edit`. The router knows the model by its whole id only."""
    path = filled_path("/{model_id}", route)
    above = path.rpartition("/")[0]
    return above if call.inputs is None and not route.routed and above.count("/") > 1 else path
