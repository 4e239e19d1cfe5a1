"""Z.ai: its pictures are jobs, its reading of pages is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, get, post
from hfclient.provider import Task
from hfclient.providers.files import as_url, from_address
from hfclient.providers.jobs import in_path, job_id
from hfclient.providers.openai_compatible import Body, size_as_text, with_model
from hfclient.providers.reading import at, payload_of, read
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types.files import Image
from hfclient.types.text import Caption

API = "/api/paas/v4"
STATES: Mapping[str, State] = {"processing": "running", "success": "done", "fail": "failed"}


def submit(call: Call, route: Route) -> Flow[Ticket]:
    body = with_model(size_as_text({"prompt": call.inputs, **call.arguments}), route)
    reply: Response = yield post(f"{API}/async/images/generations", json=body)
    name = job_id(reply, "id")
    return Ticket(name, get(f"{API}/async-result/{in_path(name)}"), first=reply.json())


def standing(payload: JSON) -> Standing:
    return Standing.told(at(payload, "task_status"), STATES, payload, reason=payload)


def collect(_: Ticket, answer: JSON) -> Flow[Image]:
    return (yield from from_address(Image, at(answer, "image_result", 0, "url")))


def parse_page(call: Call, route: Route) -> Flow[Caption]:
    """The text of a page as Markdown; what else is told of its layout is kept beside it."""
    page = yield from as_url(call.inputs)
    body = with_model({"file": page, **call.arguments}, route)
    reply: Response = yield post(f"{API}/layout_parsing", json=body)
    payload = payload_of(reply, "the text of a page")
    told = cast("Body", payload) if isinstance(payload, dict) else {}
    return read(Caption, {**told, "generated_text": at(payload, "md_results")}, reply)


TASKS = {"text-to-image": Task.of_job(JobPlan(submit, standing, collect)), "image-to-text": Task(parse_page)}
