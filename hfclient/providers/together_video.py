"""Together's films, which are jobs; everything else there is OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, get, post
from hfclient.media import Media
from hfclient.provider import Task
from hfclient.providers.files import as_url, from_address
from hfclient.providers.jobs import in_path, job_id
from hfclient.providers.openai_compatible import Body, renamed, size_apart, with_model
from hfclient.providers.reading import at
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types.files import Video

STATES: Mapping[str, State] = {
    "queued": "queued",
    "in_progress": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}

in_its_terms = renamed(num_inference_steps="steps")


def submit(call: Call, route: Route) -> Flow[Ticket]:
    inputs = yield from _inputs(call)
    body = with_model({**inputs, **size_apart(in_its_terms(call.arguments))}, route)
    reply: Response = yield post("/v2/videos", json=body)
    name = job_id(reply, "id")
    # No cancel: Together documents none for these jobs, only for those of containers that one runs there oneself.
    return Ticket(name, get(f"/v2/videos/{in_path(name)}"), first=reply.json())


def _inputs(call: Call) -> Flow[Body]:
    if not isinstance(call.inputs, Media):
        return {"prompt": call.inputs}
    picture = yield from as_url(call.inputs)
    return {"frame_images": [{"input_image": picture, "frame": "first"}]}


def standing(payload: JSON) -> Standing:
    return Standing.told(at(payload, "status"), STATES, payload, reason=at(payload, "error"))


def collect(_: Ticket, answer: JSON) -> Flow[Video]:
    return (yield from from_address(Video, at(answer, "outputs", "video_url")))


TASKS = dict.fromkeys(("text-to-video", "image-to-video"), Task.of_job(JobPlan(submit, standing, collect)))
