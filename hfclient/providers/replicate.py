"""Replicate: every model is a prediction, answered at once where it is quick, and asked after where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import quote

from hfclient.call import Call, merged
from hfclient.complaints import error_in_success
from hfclient.flow import JSON, Flow, Response, get, post
from hfclient.media import is_url
from hfclient.provider import Task
from hfclient.providers.openai_compatible import Body, filled_path
from hfclient.providers.reading import at, path_of, payload_of, unusable
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket

Write: TypeAlias = Callable[[Call, Route], Flow[Body]]
Collect: TypeAlias = Callable[[Ticket, JSON], Flow[Any]]

_STATES: dict[str, State] = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "done",
    "failed": "failed",
    "canceled": "cancelled",
    "aborted": "cancelled",
}
_PERCENT = re.compile(r"(\d{1,3})%\|")  # the bars that tqdm draws, which is how most models tell


def prediction(write: Write, collect: Collect, *, early: bool = True) -> Task:
    """A prediction; `early` takes its output as soon as it is there, although the model is still tidying up."""

    def submit(call: Call, route: Route) -> Flow[Ticket]:
        told = merged((yield from write(call, route)), call.body)
        version = (route.model_id or "").partition(":")[2]
        path = "/v1/predictions" if version else filled_path("/v1/models/{model_id}/predictions", route)
        body = {"version": version, "input": told} if version else {"input": told}
        reply: Response = yield post(path, json=body, headers={"prefer": "wait"})
        return _ticket(reply, route)

    return Task.of_job(JobPlan(submit, partial(read_prediction, early=early), collect))


def _ticket(reply: Response, route: Route) -> Ticket:
    job = reply.json()
    name, poll, cancel = at(job, "id"), at(job, "urls", "get"), at(job, "urls", "cancel")
    if not name and at(job, "output") is None:
        payload_of(reply, "a prediction")
        raise unusable(reply, "no prediction")
    place = path_of(poll, route) if poll else f"/v1/predictions/{quote(str(name), safe='')}"
    return Ticket(str(name), get(place), post(path_of(cancel, route) if cancel else f"{place}/cancel"), first=job)


def read_prediction(payload: JSON, *, early: bool = True) -> Standing:
    """How a prediction stands; asked to wait, Replicate answers with the output while it still says "processing"."""
    status, output = str(at(payload, "status") or ""), at(payload, "output")
    complaint = error_in_success(payload)
    state = _STATES.get(status, "running" if status else "queued")
    if complaint and status not in _STATES:
        state = "failed"
    elif state in {"queued", "running"} and not complaint and (early and _is_whole(output) if status else output):
        state = "done"
    logs = str(at(payload, "logs") or "")
    percents = _PERCENT.findall(logs)
    return Standing(
        state,
        answer=payload,
        reason=complaint.message if complaint else None,
        fraction=min(1.0, int(percents[-1]) / 100) if percents else None,
        logs=tuple(logs.splitlines()),
    )


def _is_whole(output: JSON) -> bool:
    """Files are there or not, while text in a list may still be growing."""
    return output is not None and (not isinstance(output, list) or is_url(str(at(output, 0))))
