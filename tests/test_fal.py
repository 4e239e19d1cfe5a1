"""fal: what is asked for each task, how the queue is followed, and what its results become."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.call import Call
from hfclient.errors import (
    AuthenticationError,
    BadRequestError,
    InputError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from hfclient.flow import Fetch, Load, Progress, Request, Undo, get, post
from hfclient.job import Job
from hfclient.media import Loaded, Media
from hfclient.providers.fal import read_status
from hfclient.providers.reading import path_of
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route
from hfclient.types.files import Audio, Image, Video
from tests import performed
from tests.flows import reply
from tests.internet import Internet, live
from tests.performed import PICTURE, PNG, asked, drive, json_values, run, task_call
from tests.test_tapes import HERE, body_of, exchanges

FAL = next(provider for provider in PROVIDERS if provider.name == "fal-ai")
QUEUE, AT_ONCE, ROUTER = "https://queue.fal.run", "https://fal.run", "https://router.huggingface.co/fal-ai"
MODEL = "fal-ai/flux/dev"
SPEECH = {"automatic-speech-recognition", "text-to-speech"}
SOUND = Loaded(b"fLaC" + bytes(8), "audio/flac")
JOB = {
    "status": "IN_QUEUE",
    "request_id": "r-1",
    "response_url": "https://queue.fal.run/fal-ai/flux/requests/r-1",
    "status_url": "https://queue.fal.run/fal-ai/flux/requests/r-1/status",
    "cancel_url": "https://queue.fal.run/fal-ai/flux/requests/r-1/cancel",
    "queue_position": 3,
}
DONE = {"status": "COMPLETED", "response_url": JOB["response_url"], "logs": None}
WEIGHTS = {"adapter": "lora", "adapterWeightsPath": "pixel.safetensors"}


def task_route(task: str, model_id: str = MODEL, *, routed: bool = False, **extras: Any) -> Route:
    return performed.task_route(FAL, task, model_id, routed=routed, **extras)


def ticket_of(call: Call, route: Route, job: Any = JOB) -> Any:
    assert route.task.job is not None
    return drive(route.task.job.submit(call, route), job)[1]


IMAGE = Media(PNG)
IMAGE_URL = PICTURE.data_uri()

BODIES: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("text-to-image", "a cat", {"seed": 1, "negative_prompt": "dogs"}, {"negative_prompt": "dogs", "seed": 1}),
    ("text-to-image", "a cat", {"width": 512, "height": 256}, {"image_size": {"width": 512, "height": 256}}),
    ("text-to-image", "a cat", {"width": 512}, {"width": 512}),
    ("text-to-video", "a cat", {"num_frames": 24}, {"num_frames": 24}),
    ("text-to-video", "a cat", {"width": 9, "height": 8}, {"width": 9, "height": 8}),
    ("image-to-video", IMAGE, {"target_size": {"width": 9, "height": 8}}, {"target_size": {"width": 9, "height": 8}}),
    ("text-to-audio", "rain", {"duration": 3}, {"duration": 3}),
    ("text-to-speech", "hello", {"voice": "af"}, {"voice": "af"}),
    ("image-to-image", IMAGE, {"prompt": "a tiger"}, {"prompt": "a tiger"}),
    ("image-to-image", IMAGE, {"target_size": {"width": 9, "height": 8}}, {"image_size": {"width": 9, "height": 8}}),
    ("image-to-video", IMAGE, {"prompt": "it walks", "seed": 1}, {"prompt": "it walks", "seed": 1}),
    ("image-text-to-image", IMAGE, {"prompt": "on the moon"}, {"prompt": "on the moon"}),
    ("image-text-to-video", IMAGE, {"prompt": "it walks"}, {"prompt": "it walks"}),
    ("image-segmentation", IMAGE, {"threshold": 0.5}, {"sync_mode": True, "threshold": 0.5}),
]
INPUTS: dict[str, dict[str, Any]] = {
    "text-to-image": {"prompt": "a cat"},
    "text-to-video": {"prompt": "a cat"},
    "text-to-audio": {"prompt": "rain"},
    "text-to-speech": {"text": "hello"},
    "image-to-image": {"image_url": IMAGE_URL, "image_urls": [IMAGE_URL]},
    "image-text-to-image": {"image_url": IMAGE_URL, "image_urls": [IMAGE_URL]},
    "image-to-video": {"image_url": IMAGE_URL},
    "image-text-to-video": {"image_url": IMAGE_URL},
    "image-segmentation": {"image_url": IMAGE_URL},
}


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize(("task", "inputs", "parameters", "told"), BODIES)
def test_what_each_task_is_told(
    task: str, inputs: Any, parameters: dict[str, Any], told: dict[str, Any], *, routed: bool
) -> None:
    """One POST to the model's own path, the inputs under fal's names and the parameters beside them; through the
    router, the queue is asked for in the query."""
    query = {"_subdomain": "queue"} if routed and task not in SPEECH else {}
    step = asked(task_call(task, inputs, **parameters), task_route(task, routed=routed))
    assert step == post("/fal-ai/flux/dev", json={**INPUTS[task], **told}, query=query)


def test_speech_is_done_at_once_and_all_else_in_the_queue() -> None:
    """The two tasks for speech are plain requests; the others are jobs, on the queue's own host."""
    assert {name for name, task in FAL.tasks.items() if task.job is None} == SPEECH
    assert {task.url for name, task in FAL.tasks.items() if name not in SPEECH} == {QUEUE}
    assert {FAL.tasks[name].url for name in SPEECH} == {None}
    assert FAL.url == AT_ONCE
    assert len(FAL.tasks) == 11


def test_what_the_caller_adds_comes_last() -> None:
    """`extra_body` is sent as it is, over everything else: a size by name, weights of another scale."""
    route = task_route("text-to-image", **WEIGHTS)
    more = {"image_size": "square_hd", "loras": [{"path": "p", "scale": 0.5}], "width": 7}
    call = task_call("text-to-image", "a cat", body=more, width=512, height=256)
    assert asked(call, route).json == {"prompt": "a cat", **more}
    mask = task_call("image-segmentation", IMAGE, body={"sync_mode": False})
    assert asked(mask, task_route("image-segmentation")).json == {"image_url": IMAGE_URL, "sync_mode": False}


@pytest.mark.parametrize("task", ["image-to-image", "image-to-video", "image-segmentation", "image-text-to-image"])
def test_an_address_goes_as_it_is(task: str) -> None:
    """fal fetches an http(s) URL itself, so nothing is loaded for it."""
    step = asked(task_call(task, Media("https://host.invalid/cat.png")), task_route(task))
    assert step.json["image_url"] == "https://host.invalid/cat.png"


def test_media_written_into_an_address_is_read_anew() -> None:
    """A data: URI is media like any other: it is loaded, and written as fal takes it."""
    flow = task_route("image-to-image").task.run(
        task_call("image-to-image", Media("data:;base64,iVBORw0KGgo")), task_route("image-to-image")
    )
    assert isinstance(next(flow), Load)
    assert flow.send(PICTURE).json["image_url"] == IMAGE_URL


@pytest.mark.parametrize(
    ("task", "above"), [("image-text-to-image", "/fal-ai/flux-2"), ("image-text-to-video", "/fal-ai/flux-2")]
)
def test_without_a_picture_the_text_is_told_alone(task: str, above: str) -> None:
    """The body holds no picture, and the model's path ends sooner, except where it is the router that reads it."""
    call = task_call(task, None, prompt="a cat")
    assert asked(call, task_route(task, "fal-ai/flux-2/edit")) == post(above, json={"prompt": "a cat"})
    assert asked(call, task_route(task, "fal-ai/flux-2")).path == "/fal-ai/flux-2"
    assert asked(call, task_route(task, "fal-ai/flux-2/edit", routed=True)).path == "/fal-ai/flux-2/edit"


LORA_PATH = "https://huggingface.co/org/model/resolve/main/pixel.safetensors"


@pytest.mark.parametrize("task", ["text-to-image", "text-to-video", "image-to-image", "image-to-video"])
def test_weights_of_a_lora_are_named(task: str) -> None:
    """A mapping with weights has fal fetch them from the Hub, by the model's name there, suffix off."""
    inputs = "a cat" if task.startswith("text") else Media("https://host.invalid/cat.png")
    told = asked(task_call(task, inputs), task_route(task, **WEIGHTS)).json
    assert told["loras"] == [{"path": LORA_PATH, "scale": 1}]
    assert "model_name" not in told
    suffixed = replace(task_call(task, inputs), model="org/model:fal-ai")
    assert asked(suffixed, task_route(task, **WEIGHTS)).json == told
    named = asked(task_call(task, inputs), task_route(task, **WEIGHTS, hfModelId="a/b")).json
    assert named["loras"][0]["path"] == "https://huggingface.co/a/b/resolve/main/pixel.safetensors"


@pytest.mark.parametrize(
    ("extras", "has"),
    [
        ({}, False),
        (WEIGHTS, True),
        ({"adapterWeightsPath": "w"}, True),
        ({"adapter": "lora"}, False),
        ({"adapter": "other", "adapterWeightsPath": "w"}, False),
    ],
)
def test_when_weights_are_named(extras: dict[str, Any], *, has: bool) -> None:
    """Weights are LoRA's where the mapping says so, or does not say of which kind they are."""
    assert ("loras" in asked(task_call("text-to-image", "x"), task_route("text-to-image", **extras)).json) is has


def test_one_model_wants_the_base_of_its_weights() -> None:
    """`fal-ai/lora` serves weights for Stable Diffusion XL and asks for that model's name."""
    told = asked(task_call("text-to-image", "x"), task_route("text-to-image", "fal-ai/lora", **WEIGHTS)).json
    assert told["model_name"] == "stabilityai/stable-diffusion-xl-base-1.0"
    assert "model_name" not in asked(task_call("text-to-image", "x"), task_route("text-to-image", "fal-ai/lora")).json
    changed = asked(task_call("image-to-image", IMAGE), task_route("image-to-image", "fal-ai/lora", **WEIGHTS)).json
    assert "loras" in changed
    assert "model_name" not in changed


@pytest.mark.parametrize(
    ("media_type", "label"),
    [
        ("audio/wav", "audio/x-wav"),
        ("audio/x-wav", "audio/x-wav"),
        ("audio/wave", "audio/x-wav"),
        ("audio/vnd.wave", "audio/x-wav"),
        ("audio/webm", "video/webm"),
        ("audio/webm; codecs=opus", "video/webm"),
        ("video/webm", "video/webm"),
        ("AUDIO/WAV", "audio/x-wav"),
        ("audio/mpeg", "audio/mpeg"),
        ("audio/flac", "audio/mpeg"),
        ("audio/ogg", "audio/mpeg"),
        ("audio/mp4", "audio/mpeg"),
        ("application/octet-stream", "audio/mpeg"),
    ],
)
@pytest.mark.parametrize("task", ["automatic-speech-recognition", "audio-to-audio"])
def test_sound_has_a_name_that_fal_takes(task: str, media_type: str, label: str) -> None:
    """fal refuses data: URLs of most sounds for their label alone, so each goes under one that it takes."""
    loaded = Loaded(b"sound", media_type)
    step = asked(task_call(task, Media(b"sound"), language="en"), task_route(task), loaded)
    assert step.json == {"audio_url": f"data:{label};base64,c291bmQ=", "language": "en"}


# The queue.


def test_a_job_is_followed_by_paths_on_our_own_origin() -> None:
    """Of fal's addresses only the path counts, whatever the host; the queue is meant in every query."""
    for routed, query in ((False, {}), (True, {"_subdomain": "queue"})):
        route = task_route("text-to-image", routed=routed)
        elsewhere = {**JOB, "response_url": "https://evil.invalid/fal-ai/flux/requests/r-1?token=x"}
        ticket = ticket_of(task_call("text-to-image", "x"), route, elsewhere)
        place = "/fal-ai/flux/requests/r-1"
        assert ticket.id == "r-1"
        assert ticket.poll == get(f"{place}/status", query=query)
        assert ticket.cancel == Request("PUT", f"{place}/cancel", query=query)
        assert route.url_of(ticket.poll.path).startswith(f"{ROUTER if routed else QUEUE}/fal-ai/flux/requests/")


def test_the_router_s_own_part_of_a_path_is_not_said_twice() -> None:
    """Should the router ever write itself into the address, its own prefix is taken off; a model's is not."""
    route = task_route("text-to-image", routed=True)
    rewritten = {**JOB, "response_url": f"{ROUTER}/fal-ai/flux/requests/r-1"}
    assert ticket_of(task_call("text-to-image", "x"), route, rewritten).poll.path == "/fal-ai/flux/requests/r-1/status"


def test_logs_are_asked_for_where_somebody_listens() -> None:
    """They cost bytes with every poll, and the router is not asked for them; the result is asked for without."""
    call = Call("text-to-image", "x", on_progress=print)
    direct, routed = task_route("text-to-image"), task_route("text-to-image", routed=True)
    assert ticket_of(call, direct).poll.query == {"logs": "1"}
    assert ticket_of(call, direct).cancel.query == {}
    assert ticket_of(call, routed).poll.query == {"_subdomain": "queue"}
    steps, _ = drive(direct.task.run(call, direct), JOB, DONE, {"images": [{"url": IMAGE_URL}]})
    assert get("/fal-ai/flux/requests/r-1") in steps


def test_a_job_from_end_to_end() -> None:
    """Submitted, told of, asked after, collected, fetched; giving up in between cancels it."""
    route = task_route("text-to-image", routed=True)
    running = {"status": "IN_PROGRESS", "logs": [{"message": "half"}, {"message": "way"}]}
    steps, image = drive(
        route.task.run(task_call("text-to-image", "x"), route),
        *(JOB, {"status": "IN_QUEUE", "queue_position": 0}, running, DONE),
        {"images": [{"url": "https://v3.fal.media/cat.png", "content_type": "image/jpeg"}]},
    )
    query = {"_subdomain": "queue"}
    requests = [(step.method, step.path, step.query) for step in steps if isinstance(step, Request)]
    place = "/fal-ai/flux/requests/r-1"
    polls = [("GET", f"{place}/status", query)] * 3
    assert requests == [("POST", "/fal-ai/flux/dev", query), *polls, ("GET", place, query)]
    assert [step for step in steps if isinstance(step, Progress)] == [
        Progress("queued", position=3),
        Progress("queued", position=0),
        Progress("running", logs=("half", "way")),
        Progress("done"),
    ]
    assert [step.request for step in steps if isinstance(step, Undo)] == [
        Request("PUT", f"{place}/cancel", query=query),
        None,
    ]
    assert steps[-1] == Fetch("https://v3.fal.media/cat.png")
    assert image == Image(b"from https://v3.fal.media/cat.png", "image/png")


def test_a_job_that_is_done_when_it_is_accepted_is_not_asked_after() -> None:
    """The first answer is believed."""
    route = task_route("text-to-image")
    steps, _ = drive(
        route.task.run(task_call("text-to-image", "x"), route), {**JOB, **DONE}, {"images": [{"url": IMAGE_URL}]}
    )
    assert [step.method for step in steps if isinstance(step, Request)] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("payload", "state", "reason"),
    [
        ({}, "queued", None),
        (None, "queued", None),
        ([], "queued", None),
        ({"status": "IN_QUEUE"}, "queued", None),
        ({"status": "IN_QUEUE", "message": "wait"}, "queued", None),
        ({"status": "IN_PROGRESS"}, "running", None),
        ({"status": "WARMING_UP"}, "running", None),
        ({"status": ["odd"]}, "running", None),
        ({"status": "COMPLETED"}, "done", None),
        ({"status": "COMPLETED", "error": None, "error_type": None}, "done", None),
        ({"status": "COMPLETED", "error": "out of memory"}, "failed", "out of memory"),
        ({"status": "COMPLETED", "error_type": "request_timeout"}, "failed", "request_timeout"),
        ({"status": "COMPLETED", "error": "gone", "error_type": "client_cancelled"}, "cancelled", "gone"),
        ({"detail": "no such request"}, "failed", "no such request"),
    ],
)
def test_how_a_job_stands(payload: Any, state: str, reason: str | None) -> None:
    """The three states that fal has, what may come with the last, and anything else as not yet done."""
    standing = read_status(payload)
    assert (standing.state, standing.reason) == (state, reason)


named_values = st.dictionaries(
    st.sampled_from(["status", "error", "error_type", "queue_position", "logs", "detail", "request_id"]),
    st.sampled_from(["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]) | json_values,
)


@given(json_values | named_values)
def test_nothing_that_fal_might_say_breaks_the_reading(payload: Any) -> None:
    """Any JSON at all is one of the states, with logs and position of the right type."""
    standing = read_status(payload)
    assert standing.state in {"queued", "running", "done", "failed", "cancelled"}
    assert all(isinstance(line, str) for line in standing.logs)
    assert standing.position is None or isinstance(standing.position, int)
    assert standing.reason is None or isinstance(standing.reason, str)


@given(st.text() | st.text().map(lambda path: f"https://queue.fal.run/{path}") | json_values)
def test_an_address_becomes_a_path_of_ours_or_an_error(address: Any) -> None:
    """Whatever stands where an address should be, what comes of it stays below the route's own address."""
    try:
        path = path_of(address, task_route("text-to-image", routed=True))
    except ResponseError:
        return
    assert path.startswith("/")
    assert not {".."} & set(path.split("/"))


@pytest.mark.parametrize(
    "address",
    [None, "", "x", 7, {}, "https://queue.fal.run", "https://[bad", "/a/../b", "https://q/a/%2e%2E/b", "/a\0b"],
)
def test_an_address_that_leads_nowhere_is_refused(address: Any) -> None:
    """A job without a place to ask about it, or with one that climbs out of the provider's own, is an error."""
    with pytest.raises(ResponseError, match="does not say where to ask"):
        ticket_of(task_call("text-to-image", "x"), task_route("text-to-image"), {**JOB, "response_url": address})


@pytest.mark.parametrize(
    ("answer", "said"),
    [({}, "no place in the queue"), ([], "no place"), ({"detail": "Unknown application"}, "Unknown application")],
)
def test_an_answer_without_a_job_is_an_error(answer: Any, said: str) -> None:
    """A success that names no request is none, and fal's own words are kept where there are any."""
    with pytest.raises(ResponseError, match=said):
        run(task_call("text-to-image", "x"), task_route("text-to-image"), answer)


@pytest.mark.parametrize("error", [BadRequestError, NotFoundError, ServerError])
def test_a_result_that_is_refused_is_a_failed_job(error: type[Any]) -> None:
    """fal says that a job failed when its result is asked for: the status and the words are the job's."""
    refused = error("fal-ai answered 422: prompt is too long.", status=422, body="{}", request_id="q")
    with pytest.raises(JobFailedError, match="The job failed: fal-ai answered 422: prompt is too long") as caught:
        run(task_call("text-to-image", "x"), task_route("text-to-image"), JOB, DONE, refused)
    assert (caught.value.job_id, caught.value.status, caught.value.request_id) == ("r-1", 422, "q")
    assert caught.value.__cause__ is refused


@pytest.mark.parametrize("error", [AuthenticationError, RateLimitError])
def test_a_result_that_is_not_given_now_is_no_failed_job(error: type[Any]) -> None:
    """A wrong key or too many requests say nothing of the job, which can be collected later."""
    with pytest.raises(error):
        run(task_call("text-to-image", "x"), task_route("text-to-image"), JOB, DONE, error("No."))


@pytest.mark.parametrize("result", [{"detail": "out of memory"}, {"error": {"message": "out of memory"}}])
def test_a_result_that_is_an_error_is_a_failed_job(result: Any) -> None:
    """So it is where the error comes with a success status."""
    with pytest.raises(JobFailedError, match=r"The job failed: out of memory"):
        run(task_call("text-to-image", "x"), task_route("text-to-image"), JOB, DONE, result)


def test_how_a_job_ended_is_raised() -> None:
    """What the queue says of a failure or a cancellation is the error's reason; no result is asked for."""
    call, route = task_call("text-to-image", "x"), task_route("text-to-image")
    with pytest.raises(JobFailedError, match=r"The job failed: Runner died\."):
        run(call, route, JOB, {**DONE, "error": "Runner died.", "error_type": "runner_disconnected"})
    with pytest.raises(JobCancelledError):
        run(call, route, JOB, {**DONE, "error": "x", "error_type": "client_cancelled"})


# The results.

AT = "https://v3.fal.media/file"


@pytest.mark.parametrize(
    ("task", "result", "kind"),
    [
        ("text-to-image", {"images": [{"url": AT}, {"url": "other"}]}, Image),
        ("image-to-image", {"image": {"url": AT}}, Image),
        ("image-text-to-image", {"images": [{"url": AT}]}, Image),
        ("text-to-video", {"video": {"url": AT, "content_type": "application/octet-stream"}}, Video),
        ("image-to-video", {"video": {"url": AT}}, Video),
        ("image-text-to-video", {"video": {"url": AT}}, Video),
        ("text-to-audio", {"audio_file": {"url": AT}}, Audio),
        ("text-to-audio", {"audio": {"url": AT}}, Audio),
    ],
)
def test_results_are_fetched(task: str, result: Any, kind: type[Any]) -> None:
    """The file lies at an address, which stands at its own place for each kind."""
    inputs = "x" if task.startswith("text") else Media("https://host.invalid/cat.png")
    made = run(task_call(task, inputs), task_route(task), {**JOB, **DONE}, result)
    assert type(made) is kind
    assert (made.content, made.url) == (b"from " + AT.encode(), AT)


def test_speech_is_fetched() -> None:
    """It comes with the first answer."""
    route = task_route("text-to-speech")
    steps, audio = drive(route.task.run(task_call("text-to-speech", "hi"), route), {"audio": {"url": f"{AT}.mp3"}})
    assert len(steps) == 2
    assert audio == Audio(b"from " + AT.encode() + b".mp3", "audio/mpeg")


def test_a_result_within_the_answer_is_decoded() -> None:
    """With `sync_mode` the picture is a data: URL, and nothing is fetched."""
    route = task_route("text-to-image")
    steps, image = drive(
        route.task.run(task_call("text-to-image", "x"), route), {**JOB, **DONE}, {"images": [{"url": IMAGE_URL}]}
    )
    assert image == Image(PNG, "image/png")
    assert not [step for step in steps if isinstance(step, Fetch)]


@pytest.mark.parametrize("task", sorted(FAL.tasks))
def test_a_result_without_a_file_is_an_error(task: str) -> None:
    """An answer that holds nothing of what was asked for says so, and is no empty result."""
    inputs = "x" if task.startswith("text") else Media("https://host.invalid/file")
    replies = [{"seed": 1}] if task in SPEECH else [JOB, DONE, {"seed": 1}]
    with pytest.raises(ResponseError, match=r"does not say where|no transcript"):
        run(task_call(task, inputs), task_route(task), *replies)


@pytest.mark.parametrize("url", [IMAGE_URL, AT])
def test_a_mask_has_a_label_and_no_score(url: str) -> None:
    """fal gives one mask without saying how sure it is, and no number is made up."""
    (segment,) = run(
        task_call("image-segmentation", IMAGE), task_route("image-segmentation"), JOB, DONE, {"image": {"url": url}}
    )
    assert (segment.label, segment.score) == ("mask", None)
    assert isinstance(segment.mask, Image)


@pytest.mark.parametrize(("text", "label"), [({}, "speech"), ({"text": "Hi."}, "Hi."), ({"text": ""}, "speech")])
def test_a_sound_made_of_a_sound_is_a_track(text: dict[str, str], label: str) -> None:
    """What is said in it is its label, where fal tells."""
    result = {"audio": {"url": f"{AT}.wav"}, **text}
    (track,) = run(task_call("audio-to-audio", Media(b"x")), task_route("audio-to-audio"), JOB, DONE, result)
    assert (track.label, track.audio.media_type) == (label, "audio/wav")


@pytest.mark.parametrize(
    ("answer", "text", "chunks"),
    [
        ({"text": "Hi."}, "Hi.", None),
        ({"text": ""}, "", None),
        ({"output": "Hi."}, "Hi.", None),
        ({"text": "Hi.", "chunks": []}, "Hi.", None),
        ({"text": "Hi.", "chunks": [{"text": "Hi.", "timestamp": [0, 1.5]}]}, "Hi.", [("Hi.", (0, 1.5))]),
        ({"text": "Hi.", "chunks": [{"text": "Hi.", "timestamp": [0, None]}]}, "Hi.", [("Hi.", (0, None))]),
        ({"text": "Hi.", "chunks": [{"text": "Hi.", "timestamp": None}, "odd"]}, "Hi.", [("Hi.", ())]),
        ({"output": "Hi.", "segments": [{"text": "Hi.", "start": 0, "end": 2}]}, "Hi.", [("Hi.", (0, 2))]),
        ({"output": "Hi.", "segments": [{"text": "Hi.", "end": 2}, {}]}, "Hi.", [("Hi.", (None, 2))]),
    ],
)
def test_transcripts(answer: Any, text: str, chunks: Any) -> None:
    """The text under either name, and when each piece of it was said, as far as fal knows."""
    task = "automatic-speech-recognition"
    transcript = run(task_call(task, Media(b"x")), task_route(task), answer)
    assert transcript.text == text
    found = transcript.chunks and [(chunk.text, chunk.timestamp) for chunk in transcript.chunks]
    assert found == chunks


@given(st.dictionaries(st.sampled_from(["text", "output", "chunks", "segments"]), json_values))
def test_a_transcript_is_read_or_refused(answer: Any) -> None:
    """Whatever stands where the transcript should be, it is one or an error of ours."""
    task = "automatic-speech-recognition"
    try:
        transcript = run(task_call(task, Media(b"x")), task_route(task), answer)
    except ResponseError:
        return
    assert isinstance(transcript.text, str)


# Tasks that have no function here.


def test_any_other_task_goes_through_the_queue() -> None:
    """Inputs and parameters are one body, media in it is made an address, and the answer comes byte for byte."""
    route = task_route("text-to-3d")
    inputs = {"image_url": PNG, "mask_url": Media("https://host.invalid/m.png"), "prompt": "a chair"}
    call = Call("text-to-3d", inputs, parameters={"seed": 1}, body={"format": "glb"}, raw=True)
    answer = b'{"model_mesh":\n {"url": "https://v3.fal.media/a.glb"}}'
    steps, raw = drive(route.task.run(call, route), JOB, DONE, reply(answer))
    submitted = next(step for step in steps if isinstance(step, Request))
    assert submitted.json == {
        "image_url": IMAGE_URL,
        "mask_url": "https://host.invalid/m.png",
        "prompt": "a chair",
        "seed": 1,
        "format": "glb",
    }
    assert (raw.content, raw.media_type) == (answer, "application/json")


@pytest.mark.parametrize("inputs", ["a chair", ["a"], Media(PNG)])
def test_any_other_task_wants_names(inputs: Any) -> None:
    """fal's models have no common name for what goes in, so the caller says it."""
    with pytest.raises(InputError, match="wants names"):
        run(Call("text-to-3d", inputs, raw=True), task_route("text-to-3d"))


# What the official client asks, and what fal has answered.

theirs = pytest.importorskip("huggingface_hub.inference._providers", reason="huggingface_hub has no inference client")
P_TASKS = sorted(theirs.PROVIDERS["fal-ai"])
COMPARED = [
    ("text-to-speech", "hello", {"voice": "af"}),
    ("text-to-image", "a cat", {"width": 9, "height": 8, "seed": 1}),
    ("text-to-video", "a cat", {"num_frames": 24}),
    ("image-to-image", PNG, {"prompt": "x", "target_size": {"width": 9, "height": 8}}),
    ("image-to-video", PNG, {"prompt": "x"}),
    ("image-segmentation", PNG, {"threshold": 0.5}),
    ("automatic-speech-recognition", SOUND.content, {"language": "en"}),
]


@pytest.mark.parametrize("extras", [{}, WEIGHTS], ids=["plain", "lora"])
@pytest.mark.parametrize("key", ["hf_fake_0123456789", "own_fake_0123456789"])
@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case[0])
def test_the_official_client_asks_for_the_same(
    case: tuple[str, Any, dict[str, Any]], key: str, extras: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address and body are huggingface_hub's, but that ours makes pictures in the queue and labels media truly."""
    task, inputs, parameters = case
    mapping = theirs._common.InferenceProviderMapping(
        provider="fal-ai", hf_model_id="org/model", providerId=MODEL, status="live", task=task, **extras
    )
    monkeypatch.setattr(theirs._common, "_fetch_inference_provider_mapping", lambda _: [mapping])
    their = theirs.PROVIDERS["fal-ai"][task].prepare_request(
        inputs=inputs, parameters=dict(parameters), headers={}, model="org/model", api_key=key
    )
    route = task_route(task, routed=key.startswith("hf_"), **extras)
    given = Media(inputs) if isinstance(inputs, bytes) else inputs
    step = asked(task_call(task, given, **parameters), route, SOUND if task.startswith("auto") else PICTURE)
    query = dict(step.query) or None
    expected = their.url
    if task == "text-to-image":
        expected = str(httpx.URL(expected.replace(AT_ONCE, QUEUE), params=query))
    assert str(httpx.URL(route.url_of(step.path), params=query)) == expected
    assert step.json == json.loads(json.dumps(their.json).replace("data:image/jpeg", "data:image/png"))


def test_no_task_of_the_official_client_is_missing() -> None:
    """All seven of theirs are compared, and four more are ours."""
    assert {task for task, *_ in COMPARED} == set(P_TASKS)
    assert set(P_TASKS) < set(FAL.tasks)


RECORDED = [param for param in exchanges("fal-ai__*.json") if not HERE and param.values[0]["response"]["status"] == 200]


@pytest.mark.skipif(not RECORDED, reason="the recorded exchanges are not here")
@pytest.mark.parametrize("exchange", RECORDED)
def test_recorded_answers_are_read(exchange: dict[str, Any]) -> None:
    """What fal once answered at once is a result of the queue now; the file's address is taken from it."""
    task, content = exchange["task"], body_of(exchange)
    told = json.loads(content)
    if task == "automatic-speech-recognition":
        transcript = run(task_call(task, Media(b"x")), task_route(task), reply(content))
        assert transcript.text == told["text"]
        assert transcript.chunks[0].timestamp == tuple(told["chunks"][0]["timestamp"])
        assert transcript.inferred_languages == ["en"]
    else:
        made = run(task_call(task, "x"), task_route(task), JOB, DONE, reply(content))
        url = told["video"]["url"] if task == "text-to-video" else told["images"][0]["url"]
        assert made.url == url or (url.startswith("data:") and made.content)


# Through the dispatcher.


def js(payload: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=payload)


FILE = httpx.Response(200, content=PNG, headers={"content-type": "image/png"})


@pytest.mark.anyio
async def test_a_picture_through_the_router(pauses: list[float]) -> None:
    """Submitted, polled and collected at the router with the token; fetched from fal's host without it."""
    with Internet() as internet:
        internet.serves("org/model", **{"fal-ai": live(MODEL, "text-to-image")})
        internet.at("router/fal-ai", js(JOB), js(DONE, 202), js({"images": [{"url": f"{AT}.png"}]}))
        internet.at("v3.fal.media", FILE)
        async with Client("hf_fake_0123456789", provider="fal-ai") as client:
            image = await client.text_to_image("a cat", model="org/model")
        sent = [
            (f"{request.method} {request.url}", request.headers.get("authorization"))
            for _, request in internet.requests
        ]
    assert image.content == PNG
    assert image.meta.provider == "fal-ai"
    token = "Bearer hf_fake_0123456789"
    place = f"{ROUTER}/fal-ai/flux/requests/r-1"
    assert sent[1:] == [
        (f"POST {ROUTER}/fal-ai/flux/dev?_subdomain=queue", token),
        (f"GET {place}/status?_subdomain=queue", token),
        (f"GET {place}?_subdomain=queue", token),
        (f"GET {AT}.png", None),
    ]
    assert len(pauses) == 1


@pytest.mark.anyio
async def test_speech_and_pictures_straight_at_fal(pauses: list[float]) -> None:
    """fal's own key travels as `Key …`, to the host that each task has."""
    with Internet() as internet:
        internet.serves("org/speech", **{"fal-ai": live("fal-ai/kokoro", "text-to-speech")})
        internet.serves("org/model", **{"fal-ai": live(MODEL, "text-to-image")})
        internet.at("fal.run", js({"audio": {"url": f"{AT}.flac"}}))
        internet.at("queue.fal.run", js({**JOB, **DONE}), js({"images": [{"url": f"{AT}.png"}]}))
        internet.at("v3.fal.media", httpx.Response(200, content=b"fLaC" + bytes(16)), FILE)
        async with Client(provider="fal-ai", keys={"fal-ai": "own_fake_0123456789"}) as client:
            await client.text_to_speech("hello", model="org/speech")
            await client.text_to_image("a cat", model="org/model")
        keys = {place: request.headers.get("authorization") for place, request in internet.requests}
        assert internet.sent("fal.run").url == f"{AT_ONCE}/fal-ai/kokoro"
    assert {keys[place] for place in ("fal.run", "queue.fal.run")} == {"Key own_fake_0123456789"}
    assert keys["v3.fal.media"] is None


@pytest.mark.anyio
async def test_giving_up_cancels_the_job(pauses: list[float]) -> None:
    """A call that is cancelled while it waits has fal stop the work, wherever it was."""
    for stop_at in ("queued", "running"):
        with Internet() as internet, anyio.CancelScope() as scope:
            internet.serves("org/model", **{"fal-ai": live(MODEL, "text-to-image")})
            internet.at("router/fal-ai", js(JOB), js({"status": "IN_PROGRESS"}))

            def give_up(progress: Progress, state: str = stop_at, scope: anyio.CancelScope = scope) -> None:
                if progress.state == state:
                    scope.cancel()

            async with Client("hf_fake_0123456789", provider="fal-ai") as client:
                await client.text_to_image("a cat", model="org/model", on_progress=give_up)
        assert scope.cancelled_caught
        last = internet.requests[-1][1]
        assert f"{last.method} {last.url}" == f"PUT {ROUTER}/fal-ai/flux/requests/r-1/cancel?_subdomain=queue"


@pytest.mark.anyio
async def test_a_job_is_taken_elsewhere(pauses: list[float]) -> None:
    """What is kept of a job is plain JSON without a key; another client asks, collects and cancels by it."""
    with Internet() as internet:
        internet.serves("org/model", **{"fal-ai": live(MODEL, "text-to-image")})
        internet.at(
            "queue.fal.run", js(JOB), js({"status": "IN_PROGRESS"}), js(DONE), js({"images": [{"url": IMAGE_URL}]})
        )
        options: dict[str, Any] = {"provider": "fal-ai", "keys": {"fal-ai": "own_fake_0123456789"}}
        async with Client(**options) as client:
            kept = json.dumps((await client.submit("text-to-image", "a cat", model="org/model")).to_dict())
        assert "own_fake" not in kept
        async with Client(**options) as other:
            job = Job.from_dict(json.loads(kept), other)
            assert (await job.status()).state == "running"
            assert (await job.result()).content == PNG
            internet.at("queue.fal.run", js({"status": "CANCELLATION_REQUESTED"}, 202))
            await job.cancel()
        last = internet.requests[-1][1]
    assert f"{last.method} {last.url}" == f"PUT {QUEUE}/fal-ai/flux/requests/r-1/cancel"


@pytest.mark.anyio
async def test_any_task_can_be_asked_for(pauses: list[float]) -> None:
    """`client.request` finds the model by its task at the Hub, and gives fal's own answer."""
    with Internet() as internet:
        internet.serves("org/model", **{"fal-ai": live("fal-ai/trellis", "image-to-3d")})
        internet.at("router/fal-ai", js(JOB), js(DONE), js({"model_mesh": {"url": "u"}}))
        async with Client("hf_fake_0123456789", provider="fal-ai") as client:
            answer = await client.request("image-to-3d", {"image_url": PNG}, model="org/model")
        assert json.loads(internet.requests[1][1].content) == {"image_url": IMAGE_URL}
    assert answer.json() == {"model_mesh": {"url": "u"}}
