"""WaveSpeed: every task is a job, asked for in one flat body; the `data` of its answers says how it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, delete, get, post
from hfclient.media import Media
from hfclient.provider import Task
from hfclient.providers.files import FileT, as_url, from_address, named_inputs
from hfclient.providers.jobs import hub_model, in_path, job_id
from hfclient.providers.openai_compatible import Body, filled_path
from hfclient.providers.reading import at, path_of
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types.files import Image, Video
from hfclient.types.raw import RawAnswer

STATES: Mapping[str, State] = {
    "created": "queued",
    "processing": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "deleted": "cancelled",
}

# What takes a picture insists on one. A single transparent pixel leaves everything to the text.
NO_PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)


def submit(call: Call, route: Route) -> Flow[Ticket]:
    inputs = yield from _inputs(call)
    body = {**inputs, **_weights(call, route), **call.arguments}
    reply: Response = yield post(filled_path("/api/v3/{model_id}", route), json=body)
    job = reply.json()
    name = job_id(reply, "data", "id")
    prediction = f"/api/v3/predictions/{in_path(name)}"
    url = at(job, "data", "urls", "get")
    poll = get(path_of(url, route) if url else f"{prediction}/result")
    return Ticket(name, poll, cancel=delete(prediction), first=job)


def _inputs(call: Call) -> Flow[Body]:
    match call.inputs:
        case Media() as picture:
            return _shown((yield from as_url(picture)))
        case None:
            return _shown(NO_PICTURE)
        case {**_given}:  # of `client.request`, in WaveSpeed's own words
            return (yield from named_inputs(call))
        case _:
            return {"prompt": call.inputs}


def _shown(url: str) -> Body:
    """A picture, in both fields: some models read the one, some the other."""
    return {"image": url, "images": [url]}


def _weights(call: Call, route: Route) -> Body:
    """LoRA weights, which WaveSpeed fetches from the Hub by the model's name there."""
    if route.extras.get("adapter") != "lora":
        return {}
    return {"loras": [{"path": hub_model(call, route), "scale": 1}]}


def standing(payload: JSON) -> Standing:
    return Standing.told(at(payload, "data", "status"), STATES, payload, reason=at(payload, "data", "error"))


def _making(kind: type[FileT]) -> Task:
    def collect(_: Ticket, answer: JSON) -> Flow[FileT]:
        return (yield from from_address(kind, at(answer, "data", "outputs", 0)))

    return Task.of_job(JobPlan(submit, standing, collect))


def _as_it_comes(_: Ticket, answer: JSON) -> Flow[RawAnswer]:
    yield from ()  # nothing has to be fetched
    return RawAnswer(json.dumps(answer).encode(), "application/json")


TASKS = {
    "text-to-image": _making(Image),
    "image-to-image": _making(Image),
    "image-text-to-image": _making(Image),
    "text-to-video": _making(Video),
    "image-to-video": _making(Video),
    "image-text-to-video": _making(Video),
}
ANYTHING = Task.of_job(JobPlan(submit, standing, _as_it_comes))
