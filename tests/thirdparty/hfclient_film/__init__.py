"""A package as a third party would publish it: one provider speaks OpenAI's API, the other makes films as jobs."""

from __future__ import annotations

from typing import Any

from hfclient import Provider, Task
from hfclient.call import Call
from hfclient.flow import JSON, Flow, delete, get, post
from hfclient.providers.embeddings import embeddings
from hfclient.providers.files import from_address
from hfclient.providers.openai_compatible import chat, renamed
from hfclient.providers.reading import at
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types import Video

STATES: dict[str, State] = {"waiting": "queued", "ready": "done", "failed": "failed", "stopped": "cancelled"}


def submit(call: Call, route: Route) -> Flow[Ticket]:
    said = {"model": route.model_id, "prompt": call.inputs, **call.arguments}
    job: Any = (yield post("/films", json=said)).json()
    path = f"/films/{job['id']}"
    return Ticket(job["id"], get(path), delete(path), first=job, notes={"format": "mp4"})


def read(payload: JSON) -> Standing:
    return Standing(
        STATES.get(at(payload, "state"), "running") if at(payload, "state") else "queued",
        answer=payload,
        reason=at(payload, "reason"),
        position=at(payload, "position"),
        fraction=at(payload, "done"),
        logs=tuple(at(payload, "logs") or ()),
    )


def collect(ticket: Ticket, answer: JSON) -> Flow[Video]:
    return (yield from from_address(Video, at(answer, "film"), declared=f"video/{ticket.notes['format']}"))


TEXT = Provider(
    "script",
    "https://api.script.example",
    {"conversational": chat("/v1/chat/completions", renamed(seed="random_seed")), "feature-extraction": embeddings()},
    ("SCRIPT_API_KEY",),
    routed=False,
    mapped=False,
)
FILM = Provider(
    "film",
    "https://api.film.example",
    {"text-to-video": Task.of_job(JobPlan(submit, read, collect))},
    ("FILM_API_KEY",),
    key_header="x-api-key",
    scheme="",
)
PROVIDERS = (TEXT, FILM)
