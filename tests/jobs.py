"""Jobs by hand: what a provider is asked to begin one, and how its words for one are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfclient.call import Call
from hfclient.flow import Fetch, Fetched, Flow, Load, Progress, Request, Response, Step, Undo, Wait
from hfclient.media import Loaded, Media
from hfclient.provider import Provider, Task
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route
from hfclient.ticket import JobPlan, Standing, Ticket
from tests.flows import play

TAPES = Path(__file__).resolve().parents[2] / "shared" / "tapes"
FILE_URL = "https://files.invalid/result"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
PICTURE = Media(PNG)
PICTURE_URL = Loaded.of(PNG).data_uri()
ELSEWHERE = "https://pictures.invalid/cat.png"
FILM = b"\0\0\0\x18ftypisom" + bytes(16)
ROUTER = "https://router.huggingface.co"


def provider_named(name: str) -> Provider:
    (found,) = [provider for provider in PROVIDERS if provider.name == name]
    return found


def route_for(name: str, task: str, model_id: str | None = "its-id", *, routed: bool = True, **extras: Any) -> Route:
    provider = provider_named(name)
    base_url = f"{ROUTER}/{name}" if routed else provider.url
    found = provider.tasks.get(task) or provider.otherwise
    assert found is not None
    return Route(provider, found, model_id, base_url, extras=extras, routed=routed)


def call_for(task: str, inputs: Any, parameters: dict[str, Any] | None = None, **parts: Any) -> Call:
    return Call(task, inputs, **{"model": "org/model", "parameters": parameters or {}, **parts})


def job_of(task: Task) -> JobPlan:
    assert task.job is not None
    return task.job


def submission(call: Call, route: Route, answer: Response) -> tuple[Request, Ticket]:
    """The request that begins the job, and the ticket for it; media are loaded on the way."""
    flow = job_of(route.task).submit(call, route)
    step: Step = next(flow)
    if isinstance(step, Load):
        step = flow.send(step.media.read())
    assert isinstance(step, Request)
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return step, done.value.value


def asked(call: Call, route: Route, answer: Response) -> Request:
    return submission(call, route, answer)[0]


def standing_of(name: str, task: str, payload: Any) -> Standing:
    return job_of(route_for(name, task).task).read(payload)


def result_of_job(route: Route, answer: Any, content: bytes = FILM, media_type: str = "video/mp4") -> tuple[Any, Any]:
    """Where the result lies, and what becomes of it."""
    flow: Flow[Any] = job_of(route.task).collect(Ticket("id", Request("GET", "/")), answer)
    (step,), result = play(flow, Fetched(content, media_type, FILE_URL, None, len(content)))
    assert isinstance(step, Fetch)
    return step.url, result


def life_of(call: Call, route: Route, *answers: Response) -> tuple[list[Any], Any]:
    """A whole job: its requests get the answers in turn. Gives what was asked and told, without the pauses."""
    waiting = list(answers)
    flow = route.task.run(call, route)
    told: list[Any] = []
    outcome: Any = None
    try:
        while True:
            step = flow.send(outcome)
            outcome = None
            match step:
                case Request():
                    told.append((step.method, step.path, dict(step.query)))
                    outcome = waiting.pop(0)
                case Progress(state=state):
                    told.append(state)
                case Fetch(url=url):
                    told.append(url)
                    content, kind = (PNG, "image/png") if call.task.endswith("image") else (FILM, "video/mp4")
                    outcome = Fetched(content, kind, url, None, len(content))
                case Load(media=media):
                    outcome = media.read()
                case Undo(request=request):
                    told.append(f"undo: {request.method if request else None}")
                case Wait():
                    pass
                case _:
                    raise AssertionError(step)
    except StopIteration as stop:
        assert waiting == []
        return told, stop.value


def theirs(name: str, task: str, inputs: Any, parameters: dict[str, Any], *, key: str = "hf_fake_0123456789") -> Any:
    """The address and the body of huggingface_hub's request for the same."""
    providers = pytest.importorskip("huggingface_hub.inference._providers")
    from huggingface_hub.hf_api import InferenceProviderMapping

    mapping = InferenceProviderMapping(
        provider=name, hf_model_id="org/model", providerId="its-id", status="live", task=task
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers._common, "_fetch_inference_provider_mapping", lambda _: [mapping])
        asked = providers.PROVIDERS[name][task].prepare_request(
            inputs=inputs, parameters=parameters, headers={}, model="org/model", api_key=key
        )
    return asked.url, asked.json


def ours(call: Call, route: Route, answer: Response) -> Any:
    request = asked(call, route, answer)
    return route.url_of(request.path), request.json


def tape(name: str) -> list[Any]:
    """Recorded exchanges; skips where they are not here."""
    path = TAPES / f"{name}.json"
    if not path.is_file():
        pytest.skip("the recorded exchanges are not here")
    return list(json.loads(path.read_text("utf-8")))
