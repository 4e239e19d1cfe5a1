"""WaveSpeed's jobs: six tasks that are asked for in one way, and polled through the path that the answer names."""

from __future__ import annotations

import io
import json
from typing import Any

import anyio
import httpx
import PIL.Image
import pytest

from hfclient import Client
from hfclient.errors import BadRequestError, JobCancelledError, JobFailedError, ResponseError
from hfclient.flow import Response, delete, get, post
from hfclient.media import Media
from hfclient.providers.wavespeed import NO_PICTURE, TASKS
from hfclient.types import Image, Video
from tests.flows import play, reply
from tests.internet import HF, Internet, live
from tests.jobs import (
    ELSEWHERE,
    FILE_URL,
    FILM,
    PICTURE,
    PICTURE_URL,
    PNG,
    asked,
    call_for,
    job_of,
    life_of,
    ours,
    result_of_job,
    route_for,
    standing_of,
    submission,
    theirs,
)

NAME = "wavespeed"
RESULT_PATH = "/api/v3/predictions/job-1/result"
EVERY_TASK = pytest.mark.parametrize("task", TASKS)
OF_A_PICTURE = pytest.mark.parametrize("task", [task for task in TASKS if task.startswith("image-")])


def prediction(status: str | None = "created", host: str = "https://api.wavespeed.ai", **more: Any) -> dict[str, Any]:
    urls = {"get": host + RESULT_PATH}
    told = {"id": "job-1", "urls": urls, **({"status": status} if status else {}), "error": "", "outputs": [], **more}
    return {"code": 200, "message": "success", "data": told}


ACCEPTED = reply(prediction())


def inputs_of(task: str) -> Any:
    return PICTURE if task.startswith("image-") else "a cat"


@EVERY_TASK
def test_each_task_is_one_flat_body_for_the_model(task: str) -> None:
    """The path names the model; inputs and parameters lie side by side in the body, as they were given."""
    call = call_for(task, inputs_of(task), {"seed": 1, "target_size": {"width": 640, "height": 480}})
    request = asked(call, route_for(NAME, task, "wavespeed-ai/wan 2.1"), ACCEPTED)
    picture = {"image": PICTURE_URL, "images": [PICTURE_URL]}
    inputs = picture if task.startswith("image-") else {"prompt": "a cat"}
    size = {"width": 640, "height": 480}
    assert request == post("/api/v3/wavespeed-ai/wan%202.1", json={**inputs, "seed": 1, "target_size": size})


@OF_A_PICTURE
def test_an_address_goes_as_it_is(task: str) -> None:
    """WaveSpeed fetches pictures itself, so nothing is loaded here; what is no address is sent within the body."""
    request = asked(call_for(task, Media(ELSEWHERE), {"prompt": "a cat"}), route_for(NAME, task), ACCEPTED)
    assert request.json == {"image": ELSEWHERE, "images": [ELSEWHERE], "prompt": "a cat"}


@pytest.mark.parametrize("task", ["image-text-to-image", "image-text-to-video"])
def test_no_picture_is_a_transparent_one(task: str) -> None:
    """These two may be asked with a text alone, but the models behind them insist on a picture."""
    request = asked(call_for(task, None, {"prompt": "a cat"}), route_for(NAME, task), ACCEPTED)
    assert request.json == {"image": NO_PICTURE, "images": [NO_PICTURE], "prompt": "a cat"}
    with PIL.Image.open(io.BytesIO(Media(NO_PICTURE).read().content)) as picture:
        assert (picture.size, picture.convert("RGBA").getpixel((0, 0))) == ((1, 1), (0, 0, 0, 0))


def test_more_pictures_are_the_callers() -> None:
    """A list of pictures in `extra_body` takes the place of the list of one."""
    call = call_for("image-to-image", PICTURE, body={"images": [ELSEWHERE, ELSEWHERE]})
    body = asked(call, route_for(NAME, "image-to-image"), ACCEPTED).json
    assert body == {"image": PICTURE_URL, "images": [ELSEWHERE, ELSEWHERE]}


@pytest.mark.parametrize(
    ("model", "extras", "path"),
    [
        ("org/lora", {"adapter": "lora", "adapterWeightsPath": "x.safetensors"}, "org/lora"),
        ("org/lora:wavespeed", {"adapter": "lora"}, "org/lora"),
        ("org/alias", {"adapter": "lora", "hfModelId": "org/lora"}, "org/lora"),
        ("org/lora", {"adapter": "other"}, None),
        ("org/lora", {}, None),
    ],
)
@EVERY_TASK
def test_weights_are_fetched_from_the_hub(task: str, model: str, extras: dict[str, Any], path: str | None) -> None:
    """Where the Hub's mapping says that the model is a LoRA, WaveSpeed is told its name on the Hub, in every task."""
    body = asked(call_for(task, inputs_of(task), model=model), route_for(NAME, task, "base", **extras), ACCEPTED).json
    assert body.get("loras") == ([{"path": path, "scale": 1}] if path else None)


def test_weights_of_ones_own_take_the_place_of_the_mappings() -> None:
    """The caller has the last word on how strong the weights are."""
    mine = [{"path": "org/lora", "scale": 0.5}]
    call = call_for("text-to-image", "a cat", body={"loras": mine})
    assert asked(call, route_for(NAME, "text-to-image", adapter="lora"), ACCEPTED).json["loras"] == mine


@pytest.mark.parametrize("routed", [True, False])
@pytest.mark.parametrize(
    "url", [f"https://api.wavespeed.ai{RESULT_PATH}", f"https://evil.invalid{RESULT_PATH}", RESULT_PATH, None]
)
def test_only_the_path_of_the_answers_address_is_used(url: str | None, routed: bool) -> None:
    """Polls go to the route's own origin wherever the answer points, to the documented path where it does not."""
    told = prediction()
    told["data"]["urls"] = {"get": url} if url else {}
    route = route_for(NAME, "text-to-video", routed=routed)
    _, ticket = submission(call_for("text-to-video", "a cat"), route, reply(told))
    assert (ticket.id, ticket.poll) == ("job-1", get(RESULT_PATH))
    origin = "https://router.huggingface.co/wavespeed" if routed else "https://api.wavespeed.ai"
    assert route.url_of(ticket.poll.path) == origin + RESULT_PATH


def test_the_routers_prefix_is_not_doubled() -> None:
    """An answer that names the router's own address leads back through it, with the provider's name once."""
    told = prediction(host="https://router.huggingface.co/wavespeed")
    _, ticket = submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), reply(told))
    assert ticket.poll == get(RESULT_PATH)


@pytest.mark.parametrize("path", ["/../groq/v1/models", "/api/%2e%2e/%2E%2E/../groq", "relative", "https://[", 7])
def test_an_address_that_leads_elsewhere_is_refused(path: object) -> None:
    """A path that climbs would lead out of the provider's part of the router, with the key."""
    told = prediction()
    told["data"]["urls"]["get"] = f"https://api.wavespeed.ai{path}" if str(path).startswith("/") else path
    with pytest.raises(ResponseError, match="does not say where"):
        submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), reply(told))


def test_a_job_can_be_cancelled() -> None:
    """WaveSpeed stops a prediction that is deleted; an id from outside is one step of the path."""
    _, ticket = submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), ACCEPTED)
    assert ticket.cancel == delete("/api/v3/predictions/job-1")
    odd = reply(prediction(id="../a/b"))
    _, ticket = submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), odd)
    assert ticket.cancel == delete("/api/v3/predictions/..%2Fa%2Fb")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"code": 400, "message": "prompt is required", "data": None}, "prompt is required"),
        ({"code": 200, "message": "success", "data": {}}, "no id"),
        ([], "no id"),
        ({"data": {"id": ""}}, "no id"),
        ({"data": {"id": ".."}}, "no id"),
        ({"data": {"id": True}}, "no id"),
    ],
)
def test_an_answer_without_a_job_is_an_error(payload: Any, message: str) -> None:
    """Success without an id is none, and where the answer says why, so does the error."""
    with pytest.raises(ResponseError, match=message):
        submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), reply(payload))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", "queued"),
        ("processing", "running"),
        ("completed", "done"),
        ("failed", "failed"),
        ("deleted", "cancelled"),
        ("rendering", "running"),
        (None, "queued"),
    ],
)
def test_every_status_has_its_meaning(status: str | None, state: str) -> None:
    """The documented ones are told apart; an unknown one keeps the job going, none means that it has not begun."""
    assert standing_of(NAME, "text-to-video", prediction(status)).state == state
    assert standing_of(NAME, "text-to-video", {}).state == "queued"
    assert standing_of(NAME, "text-to-video", None).state == "queued"


def test_a_failed_job_says_why() -> None:
    """The reason is WaveSpeed's own, and one that has gone well has none."""
    assert standing_of(NAME, "text-to-video", prediction("failed", error="NSFW content")).reason == "NSFW content"
    assert standing_of(NAME, "text-to-video", prediction("failed", error="")).reason is None
    assert standing_of(NAME, "text-to-video", prediction("completed", error="")).reason is None
    route = route_for(NAME, "text-to-video")
    with pytest.raises(JobFailedError, match="The job failed: NSFW content") as caught:
        life_of(call_for("text-to-video", "a cat"), route, reply(prediction("failed", error="NSFW content")))
    assert caught.value.job_id == "job-1"
    with pytest.raises(JobCancelledError):
        life_of(call_for("text-to-video", "a cat"), route, ACCEPTED, reply(prediction("deleted")))


@EVERY_TASK
def test_the_first_output_is_the_result(task: str) -> None:
    """A finished job names files; the first is fetched and comes as what the task makes."""
    content, kind = (FILM, "video/mp4") if task.endswith("video") else (PNG, "image/png")
    answer = prediction("completed", outputs=[FILE_URL, "https://files.invalid/second"])
    url, result = result_of_job(route_for(NAME, task), answer, content, kind)
    assert url == FILE_URL
    assert isinstance(result, Video if task.endswith("video") else Image)
    assert (result.content, result.media_type) == (content, kind)


def test_a_result_without_a_file_is_an_error() -> None:
    """A job that is done and has made nothing is no success."""
    flow = job_of(route_for(NAME, "text-to-video").task).collect(None, prediction("completed"))  # type: ignore[arg-type]
    with pytest.raises(ResponseError, match="does not say where the video is"):
        next(flow)


def test_a_life_of_a_job() -> None:
    """Submitted, asked after until it is done, fetched; on the way it could be undone, at the end no more."""
    told, video = life_of(
        call_for("text-to-video", "a cat"),
        route_for(NAME, "text-to-video"),
        ACCEPTED,
        reply(prediction("processing")),
        reply(prediction("completed", outputs=[FILE_URL])),
    )
    poll = ("GET", RESULT_PATH, {})
    assert told == [
        ("POST", "/api/v3/its-id", {}),
        "undo: DELETE",
        "queued",
        poll,
        "running",
        poll,
        "done",
        "undo: None",
        FILE_URL,
    ]
    assert video.content == FILM


def test_a_job_done_at_once_is_not_asked_after() -> None:
    """In WaveSpeed's synchronous mode the first answer is the last."""
    done = reply(prediction("completed", outputs=[FILE_URL]))
    call = call_for("text-to-video", "a cat", body={"enable_sync_mode": True})
    told, _ = life_of(call, route_for(NAME, "text-to-video"), done)
    assert told == [("POST", "/api/v3/its-id", {}), "undo: DELETE", "done", "undo: None", FILE_URL]


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("a song", {"prompt": "a song"}),
        ({"audio": "https://host.invalid/a.wav"}, {"audio": "https://host.invalid/a.wav"}),
        (Media(ELSEWHERE), {"image": ELSEWHERE, "images": [ELSEWHERE]}),
    ],
)
def test_a_task_without_a_function_is_asked_for_in_its_own_words(inputs: Any, body: dict[str, Any]) -> None:
    """`client.request` sends what it is given to the same place, and gives the job's last answer as it comes."""
    call = call_for("talking-head", inputs, {"seed": 1}, raw=True)
    route = route_for(NAME, "talking-head")
    assert asked(call, route, ACCEPTED).json == {**body, "seed": 1}
    done = prediction("completed", outputs=[FILE_URL])
    told, answer = life_of(call, route, ACCEPTED, reply(done))
    assert told[-1] == "undo: None"
    assert answer.json() == done


@pytest.mark.parametrize("task", ["text-to-image", "text-to-video"])
@pytest.mark.parametrize("key", ["hf_fake_0123456789", "own_fake_0123456789"])
def test_texts_are_asked_for_as_huggingface_hub_does(task: str, key: str) -> None:
    """Same address, same body."""
    parameters = {"negative_prompt": "dogs", "num_inference_steps": 4, "seed": 7}
    route = route_for(NAME, task, routed=key.startswith("hf_"))
    mine = ours(call_for(task, "a cat", parameters), route, ACCEPTED)
    assert mine == theirs(NAME, task, "a cat", dict(parameters), key=key)


@pytest.mark.parametrize("task", ["image-to-image", "image-to-video"])
@pytest.mark.parametrize("inputs", [ELSEWHERE, PNG], ids=["address", "bytes"])
def test_pictures_are_asked_for_as_huggingface_hub_does_but_for_two_things(task: str, inputs: Any) -> None:
    """We add `images`, as the JavaScript client does, and say what the bytes are; they call everything a JPEG."""
    parameters = {"prompt": "a dog", "guidance_scale": 2.5}
    mine = ours(call_for(task, Media(inputs), parameters), route_for(NAME, task), ACCEPTED)
    address, body = theirs(NAME, task, inputs, dict(parameters))
    body["image"] = body["image"].replace("image/jpeg", "image/png")
    assert mine == (address, {**body, "images": [body["image"]]})


class Service:
    """WaveSpeed behind the router, on a mock network."""

    def __init__(self, internet: Internet, *statuses: str) -> None:
        internet.serves("org/model", wavespeed=live("wan", "text-to-video"))
        internet.at("router/wavespeed", self.answer)
        internet.at("files.invalid", httpx.Response(200, headers={"content-type": "video/mp4"}, content=FILM))
        self.statuses = list(statuses)
        self.seen: list[tuple[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((request.method, request.url.path))
        if request.method == "DELETE":
            return httpx.Response(200, json={"code": 200, "data": {"id": "job-1", "status": "deleted"}})
        if request.method == "POST":
            assert json.loads(request.content) == {"prompt": "a cat"}
            return httpx.Response(200, json=prediction())
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        outputs = [FILE_URL] if status == "completed" else []
        return httpx.Response(200, json=prediction(status, outputs=outputs))


@pytest.mark.anyio
async def test_a_film_comes_through_the_router(pauses: list[float]) -> None:
    """Submit, polls and download by the real road: the key goes to the router alone, and polls carry its prefix."""
    with Internet() as internet:
        service = Service(internet, "created", "processing", "completed")
        async with Client(HF, provider=NAME) as client:
            states: list[str] = []
            video = await client.text_to_video(
                "a cat", model="org/model", on_progress=lambda told: states.append(told.state)
            )
        assert video.content == FILM
        poll = ("GET", f"/wavespeed{RESULT_PATH}")
        assert service.seen == [("POST", "/wavespeed/api/v3/wan"), poll, poll, poll]
        assert internet.key("files.invalid") is None
        assert [step for step in states if step != "downloading"] == ["queued", "queued", "running", "done"]
        assert len(pauses) == 3


@pytest.mark.anyio
async def test_a_call_that_is_given_up_deletes_the_job() -> None:
    """Whoever stops waiting for the film does not leave it running, and paid for."""
    with Internet() as internet:
        service = Service(internet, "processing")
        async with Client(HF, provider=NAME) as client:
            with anyio.CancelScope() as scope:

                def stop(_: object) -> None:
                    scope.cancel()

                await client.text_to_video("a cat", model="org/model", on_progress=stop)
        assert scope.cancelled_caught
        assert service.seen[-1] == ("DELETE", "/wavespeed/api/v3/predictions/job-1")


@pytest.mark.anyio
async def test_a_job_goes_to_another_process_and_back(pauses: list[float]) -> None:
    """What is kept of a job is plain data, without the key, and enough to ask after it, cancel it and collect it."""
    with Internet() as internet:
        service = Service(internet, "processing", "completed")
        async with Client(HF, provider=NAME) as client:
            job = await client.submit("text-to-video", "a cat", model="org/model")
            kept = json.dumps(job.to_dict())
            assert HF not in kept
            again = type(job).from_dict(json.loads(kept), client)
            assert (await again.status()).state == "running"
            assert (await again.result()).content == FILM
            await again.cancel()
        assert service.seen[-1][0] == "DELETE"
        assert pauses == []


@pytest.mark.anyio
async def test_a_refused_job_is_the_providers_error() -> None:
    """An error status at the submission is told as any other."""
    with Internet() as internet:
        internet.serves("org/model", wavespeed=live("wan", "text-to-video"))
        internet.at("router/wavespeed", httpx.Response(400, json={"code": 400, "message": "prompt is too long"}))
        async with Client(HF, provider=NAME) as client:
            with pytest.raises(BadRequestError, match="prompt is too long"):
                await client.text_to_video("a cat", model="org/model")


def test_a_failure_of_a_poll_is_raised_in_the_flow() -> None:
    """The machine asks; what goes wrong is met where it was asked."""
    flow = job_of(route_for(NAME, "text-to-video").task).look(submission_ticket())
    with pytest.raises(ResponseError, match="not JSON"):
        play(flow, Response(content=b"<html>"))


def submission_ticket() -> Any:
    return submission(call_for("text-to-video", "a cat"), route_for(NAME, "text-to-video"), ACCEPTED)[1]
