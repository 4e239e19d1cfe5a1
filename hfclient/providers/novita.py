"""Novita's films, which are jobs: its own protocol for them, and MiniMax's for MiniMax's model."""

from __future__ import annotations

from collections.abc import Mapping

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, get, post
from hfclient.provider import Task
from hfclient.providers.files import as_url, from_address
from hfclient.providers.jobs import fraction, in_path, job_id
from hfclient.providers.openai_compatible import Body, filled_path, renamed, size_apart, with_model, without
from hfclient.providers.reading import at
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types.files import Video

STATES: Mapping[str, State] = {
    "task_status_queued": "queued",
    "task_status_processing": "running",
    "task_status_succeed": "done",
    "task_status_failed": "failed",
    "queued": "queued",
    "running": "running",
    "succeeded": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}

in_its_terms = renamed(num_inference_steps="steps")

# The one model there that speaks another protocol, and what it has no notion of.
MINIMAX = "MiniMax-H3"
for_minimax = without("guidance_scale", "negative_prompt", "num_inference_steps", "seed")
FRAMES_PER_SECOND = 24
SECONDS = (4, 15)
RESOLUTIONS = {768: "768P", 1440: "2K"}
RATIOS = {width / height: f"{width}:{height}" for width, height in ((21, 9), (16, 9), (4, 3), (1, 1), (3, 4), (9, 16))}


def from_text(call: Call, route: Route) -> Flow[Ticket]:
    # Not /v3/hf/…, which Hugging Face's Python client takes: there the answer comes with the film, if the line holds.
    return (yield from _submitted({"prompt": call.inputs, **in_its_terms(call.arguments)}, route))


def from_image(call: Call, route: Route) -> Flow[Ticket]:
    picture = None if call.inputs is None else (yield from as_url(call.inputs))
    if route.model_id == MINIMAX:
        return (yield from _submitted_to_minimax(picture, for_minimax(call.arguments), route))
    shown = {} if picture is None else {"image_url": picture}
    return (yield from _submitted({**shown, **size_apart(in_its_terms(call.arguments))}, route))


def _submitted(body: Body, route: Route) -> Flow[Ticket]:
    reply: Response = yield post(filled_path("/v3/async/{model_id}", route), json=body)
    name = job_id(reply, "task_id")
    return Ticket(name, get("/v3/async/task-result", query={"task_id": name}), first=reply.json())


def _submitted_to_minimax(picture: str | None, arguments: Body, route: Route) -> Flow[Ticket]:
    prompt, frames, size = (arguments.pop(name, None) for name in ("prompt", "num_frames", "target_size"))
    text = [{"type": "text", "text": prompt}] if prompt else []
    frame = [{"type": "image_url", "image_url": {"url": picture}, "role": "first_frame"}] if picture else []
    width, height = (size["width"], size["height"]) if size else (0, 0)
    told: Body = {
        "content": [*text, *frame],
        "resolution": RESOLUTIONS[min(RESOLUTIONS, key=lambda side: abs(side - min(width, height)))],
        "duration": min(SECONDS[1], max(SECONDS[0], int((frames or 0) / FRAMES_PER_SECOND + 0.5))),
        "ratio": "adaptive" if picture else _ratio(width, height) if size else "16:9",
    }
    body = with_model({**told, **arguments}, route)
    reply: Response = yield post("/v3/minimax/v2/video_generation", json=body)
    name = job_id(reply, "task_id")
    return Ticket(name, get(f"/v3/minimax/v2/query/video_generation/{in_path(name)}"), first=reply.json())


def _ratio(width: int, height: int) -> str:
    return RATIOS[min(RATIOS, key=lambda ratio: abs(ratio - width / max(1, height)))]


def standing(payload: JSON) -> Standing:
    """In either protocol `task` says it."""
    task = at(payload, "task")
    done = fraction(at(task, "progress_percent"), of=100)
    return Standing.told(at(task, "status"), STATES, payload, reason=task, fraction=done)


def collect(_: Ticket, answer: JSON) -> Flow[Video]:
    url = at(answer, "videos", 0, "video_url") or at(answer, "task", "content", "url")
    return (yield from from_address(Video, url))


TASKS = {
    "text-to-video": Task.of_job(JobPlan(from_text, standing, collect)),
    "image-text-to-video": Task.of_job(JobPlan(from_image, standing, collect)),
}
