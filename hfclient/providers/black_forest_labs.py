"""Black Forest Labs' own service for its FLUX models: every picture is a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, get, post
from hfclient.provider import Task
from hfclient.providers.files import from_address
from hfclient.providers.jobs import fraction, in_path, job_id
from hfclient.providers.openai_compatible import filled_path, renamed
from hfclient.providers.reading import at, path_of
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, State, Ticket
from hfclient.types.files import Image

# Only the cluster that took a job knows of it. api.bfl.ai, api.eu.bfl.ai and api.us.bfl.ai hand it to any of theirs and
# say in `polling_url` on which host to ask; but we take no host from an answer, since the key would go there. This host
# is one cluster, which answers for its own jobs; api.eu1.bfl.ai, the other of that kind, can be given as base_url.
URL = "https://api.us1.bfl.ai"

STATES: Mapping[str, State] = {
    "pending": "running",
    "ready": "done",
    "error": "failed",
    "request moderated": "failed",
    "content moderated": "failed",
    "task not found": "failed",
}

UNWRITTEN = str.maketrans("", "", '{}[]"')

# Its documented names. It takes Hugging Face's names without a word too, but does not say that they do anything.
in_its_terms = renamed(num_inference_steps="steps", guidance_scale="guidance")


def submit(call: Call, route: Route) -> Flow[Ticket]:
    body = {"prompt": call.inputs, **in_its_terms(call.arguments)}
    reply: Response = yield post(filled_path("/v1/{model_id}", route), json=body)
    job = reply.json()
    name = job_id(reply, "id")
    url = at(job, "polling_url") or f"/v1/get_result?id={in_path(name)}"
    return Ticket(name, get(path_of(url, route), query=dict(parse_qsl(urlsplit(url).query))), first=job)


def standing(payload: JSON) -> Standing:
    word = at(payload, "status")
    done = fraction(at(payload, "progress"))
    return Standing.told(word, STATES, payload, reason=f"{word}{_details(payload)}", fraction=done)


def _details(payload: JSON) -> str:
    """What it says beyond the status, `{"Moderation Reasons": ["Nudity"]}` for one, to be read in a sentence."""
    details = at(payload, "details")
    return f" ({json.dumps(details, ensure_ascii=False).translate(UNWRITTEN)})" if details else ""


def collect(_: Ticket, answer: JSON) -> Flow[Image]:
    return (yield from from_address(Image, at(answer, "result", "sample")))


TASKS = {"text-to-image": Task.of_job(JobPlan(submit, standing, collect))}
