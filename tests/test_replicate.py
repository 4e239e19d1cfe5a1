"""Replicate: what a prediction is told for each task, how it is followed, and what its output becomes."""

from __future__ import annotations

import json
import re
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.call import Call
from hfclient.errors import InputError, JobCancelledError, JobFailedError, ResponseError
from hfclient.flow import Fetch, Progress, Request, Undo, get, post
from hfclient.job import Job
from hfclient.media import Media
from hfclient.providers.replicate import read_prediction
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route
from hfclient.types.files import Audio, Image, Video
from tests import performed
from tests.flows import reply
from tests.internet import Internet, live
from tests.performed import PICTURE, PNG, asked, drive, json_values, requests_in, run, task_call
from tests.test_tapes import HERE, body_of, exchanges

REPLICATE = next(provider for provider in PROVIDERS if provider.name == "replicate")
API, ROUTER = "https://api.replicate.com", "https://router.huggingface.co/replicate"
MODEL = "black-forest-labs/flux-dev"
VERSION = "5599ed30703defd1d160a25a63321b4dec97101d"
ASR = "automatic-speech-recognition"
AT = "https://replicate.delivery/out-0"
WEIGHTS = {"adapter": "lora", "adapterWeightsPath": "pixel.safetensors"}

IMAGE = Media(PNG)
IMAGE_URL = PICTURE.data_uri()


def said(status: str = "starting", output: Any = None, **more: Any) -> dict[str, Any]:
    """A prediction, as Replicate tells of it."""
    urls = {name: f"{API}/v1/predictions/p-1{end}" for name, end in (("get", ""), ("cancel", "/cancel"))}
    return {"id": "p-1", "status": status, "output": output, "error": None, "logs": "", "urls": urls, **more}


def task_route(task: str, model_id: str = MODEL, *, routed: bool = False, **extras: Any) -> Route:
    return performed.task_route(REPLICATE, task, model_id, routed=routed, **extras)


def ticket_of(call: Call, route: Route, job: Any) -> Any:
    assert route.task.job is not None
    return drive(route.task.job.submit(call, route), job)[1]


FOUR_PLACES = {"image": IMAGE_URL, "images": [IMAGE_URL], "input_image": IMAGE_URL, "input_images": [IMAGE_URL]}
TOLD: list[tuple[str, Any, dict[str, Any]]] = [
    ("text-to-image", "a cat", {"prompt": "a cat"}),
    ("text-to-video", "a cat", {"prompt": "a cat"}),
    ("text-to-speech", "hello", {"text": "hello"}),
    ("image-to-image", IMAGE, FOUR_PLACES),
    (ASR, Media(b"x"), {"audio": IMAGE_URL}),
]
every_task = pytest.mark.parametrize(("task", "inputs", "told"), TOLD, ids=[case[0] for case in TOLD])


@every_task
def test_what_each_task_is_told(task: str, inputs: Any, told: dict[str, Any]) -> None:
    """One POST that waits for the output, inputs and parameters together under `input`."""
    step = asked(task_call(task, inputs, seed=1, body={"steps": 4}), task_route(task))
    assert step == post(
        f"/v1/models/{MODEL}/predictions", json={"input": {**told, "seed": 1, "steps": 4}}, headers={"prefer": "wait"}
    )


@every_task
def test_a_model_s_version_is_told_apart(task: str, inputs: Any, told: dict[str, Any]) -> None:
    """An id with a colon names a version, which is told in the body and not in the path."""
    step = asked(task_call(task, inputs), task_route(task, f"{MODEL}:{VERSION}"))
    assert (step.path, step.json) == ("/v1/predictions", {"version": VERSION, "input": told})


def test_every_task_is_a_job() -> None:
    """All five can be submitted, and so can what has no function here."""
    assert set(REPLICATE.tasks) == {task for task, *_ in TOLD}
    assert REPLICATE.otherwise is not None
    assert all(task.job for task in (*REPLICATE.tasks.values(), REPLICATE.otherwise))


@pytest.mark.parametrize("task", ["image-to-image", ASR])
def test_an_address_goes_as_it_is(task: str) -> None:
    """Replicate fetches an http(s) URL itself, so nothing is loaded for it."""
    url = "https://host.invalid/file"
    told = asked(task_call(task, Media(url)), task_route(task)).json["input"]
    assert set(map(str, told.values())) <= {url, str([url])}


@pytest.mark.parametrize(
    ("task", "extras", "has"),
    [
        ("text-to-image", WEIGHTS, True),
        ("image-to-image", WEIGHTS, True),
        ("text-to-video", WEIGHTS, False),
        ("text-to-image", {}, False),
        ("text-to-image", {"adapterWeightsPath": "w"}, False),
        ("text-to-image", {"adapter": "lora"}, False),
        ("text-to-image", {"adapter": "other", "adapterWeightsPath": "w"}, False),
    ],
)
def test_weights_of_a_lora_are_named(task: str, extras: dict[str, Any], *, has: bool) -> None:
    """Pictures are made with the weights that the mapping calls LoRA's; their repository is told, not the file."""
    inputs = "x" if task.startswith("text") else Media("https://host.invalid/cat.png")
    told = asked(task_call(task, inputs), task_route(task, **extras)).json["input"]
    assert told.get("lora_weights") == ("https://huggingface.co/org/model" if has else None)


# A prediction's life.


def test_output_that_comes_at_once_is_taken() -> None:
    """Where the wait was long enough nothing more is asked, although Replicate still says "processing"."""
    route = task_route("text-to-image")
    steps, image = drive(route.task.run(task_call("text-to-image", "x"), route), said("processing", [f"{AT}.webp"]))
    assert len(requests_in(steps)) == 1
    assert steps[-1] == Fetch(f"{AT}.webp")
    assert (image.media_type, image.url) == ("image/webp", f"{AT}.webp")


def test_a_prediction_from_end_to_end() -> None:
    """Asked after until it has succeeded, with progress told; giving up in between cancels it."""
    route = task_route("text-to-video", routed=True)
    steps, _ = drive(
        route.task.run(task_call("text-to-video", "x"), route),
        said(),
        said("processing", logs="Loading\n  5%|▌   | 1/20\r 45%|████  | 9/20"),
        said("succeeded", f"{AT}.mp4"),
    )
    polls = [("GET", "/v1/predictions/p-1")] * 2
    assert requests_in(steps) == [("POST", f"/v1/models/{MODEL}/predictions"), *polls]
    told = [step for step in steps if isinstance(step, Progress)]
    assert [(step.state, step.fraction) for step in told] == [("queued", None), ("running", 0.45), ("done", None)]
    assert told[1].logs[0] == "Loading"
    cancel = post("/v1/predictions/p-1/cancel")
    assert [step.request for step in steps if isinstance(step, Undo)] == [cancel, None]


def test_a_prediction_is_asked_after_on_our_own_origin() -> None:
    """Of Replicate's addresses only the path counts; where there are none, the documented ones are taken."""
    route, call = task_route("text-to-image", routed=True), task_call("text-to-image", "x")
    elsewhere = {"get": "https://evil.invalid/v1/predictions/q", "cancel": f"{ROUTER}/v1/predictions/q/stop"}
    ticket = ticket_of(call, route, said(urls=elsewhere))
    assert (ticket.poll, ticket.cancel) == (get("/v1/predictions/q"), post("/v1/predictions/q/stop"))
    without = ticket_of(call, route, {"id": "a/b", "status": "starting"})
    assert (without.poll, without.cancel) == (get("/v1/predictions/a%2Fb"), post("/v1/predictions/a%2Fb/cancel"))
    climbing = {"get": "https://api.replicate.com/v1/%2e%2e/%2E%2E/api"}
    with pytest.raises(ResponseError, match="does not say where to ask"):
        ticket_of(call, route, said(urls=climbing))


@pytest.mark.parametrize(
    ("payload", "state", "reason"),
    [
        ({}, "queued", None),
        (None, "queued", None),
        (said("starting"), "queued", None),
        (said("processing"), "running", None),
        (said("booting"), "running", None),
        (said("succeeded"), "done", None),
        (said("failed", error="out of memory"), "failed", "out of memory"),
        (said("failed"), "failed", None),
        (said("canceled"), "cancelled", None),
        (said("aborted"), "cancelled", None),
        (said("processing", [AT]), "done", None),
        (said("processing", AT), "done", None),
        (said("processing", {"text": "Hi."}), "done", None),
        (said("processing", ["Hi", " the"]), "running", None),
        (said("processing", []), "running", None),
        (said("processing", [AT], error="broken"), "running", "broken"),
        ({"output": ["Hi."]}, "done", None),
        ({"detail": "Not found."}, "failed", "Not found."),
    ],
)
def test_how_a_prediction_stands(payload: Any, state: str, reason: str | None) -> None:
    """All states that Replicate has; files count once they are there, text in pieces when it is said to be whole."""
    standing = read_prediction(payload)
    assert (standing.state, standing.reason) == (state, reason)


@pytest.mark.parametrize(
    ("logs", "fraction"), [("", None), (None, None), ("45%", None), ("5%| |\n45%|##|", 0.45), ("140%|####|", 1.0)]
)
def test_how_far_a_prediction_is(logs: str | None, fraction: float | None) -> None:
    """Models draw bars into their logs; the last one counts, and no more than all of it can be done."""
    assert read_prediction(said("processing", logs=logs)).fraction == fraction


named_values = st.dictionaries(
    st.sampled_from(["status", "output", "error", "logs", "detail"]),
    st.sampled_from(["starting", "processing", "succeeded", AT, "99%|"]) | json_values,
)


@given(json_values | named_values)
def test_nothing_that_replicate_might_say_breaks_the_reading(payload: Any) -> None:
    """Any JSON at all is one of the states, with logs and progress of the right type."""
    standing = read_prediction(payload)
    assert standing.state in {"queued", "running", "done", "failed", "cancelled"}
    assert all(isinstance(line, str) for line in standing.logs)
    assert standing.fraction is None or 0 <= standing.fraction <= 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [({}, "no prediction"), ([], "no prediction"), ({"detail": "Model is offline"}, "Model is offline")],
)
def test_an_answer_without_a_prediction_is_an_error(answer: Any, words: str) -> None:
    """A success that names no prediction and holds no output is none; words are kept where there are any."""
    with pytest.raises(ResponseError, match=words):
        run(task_call("text-to-image", "x"), task_route("text-to-image"), answer)


def test_how_a_prediction_ended_is_raised() -> None:
    """Failed or cancelled, at once or later, with Replicate's own words."""
    call, route = task_call("text-to-image", "x"), task_route("text-to-image")
    with pytest.raises(JobFailedError, match=r"The job failed: NSFW content\.") as caught:
        run(call, route, said("failed", error="NSFW content."))
    assert caught.value.job_id == "p-1"
    with pytest.raises(JobCancelledError):
        run(call, route, said(), said("canceled"))


# The outputs.


@pytest.mark.parametrize(
    ("task", "output", "url", "kind"),
    [
        ("text-to-image", f"{AT}.png", f"{AT}.png", Image),
        ("text-to-image", [f"{AT}.png", f"{AT}-1.png"], f"{AT}.png", Image),
        ("text-to-image", [AT], AT, Image),
        ("text-to-image", {"image": f"{AT}.png", "seed": 1}, f"{AT}.png", Image),
        ("text-to-image", [{"seed": 1, "url": f"{AT}.png"}], f"{AT}.png", Image),
        ("image-to-image", [f"{AT}.txt", f"{AT}.png"], f"{AT}.png", Image),
        ("text-to-video", [f"{AT}.mp4"], f"{AT}.mp4", Video),
        ("text-to-speech", f"{AT}.wav", f"{AT}.wav", Audio),
        ("text-to-speech", {"spectrogram": f"{AT}.png", "audio_out": f"{AT}.wav"}, f"{AT}.wav", Audio),
    ],
)
def test_files_are_fetched(task: str, output: Any, url: str, kind: type[Any]) -> None:
    """An output is an address, a list or an object; the first file of the right kind is the result."""
    inputs = "x" if task.startswith("text") else Media("https://host.invalid/cat.png")
    made = run(task_call(task, inputs), task_route(task), said("succeeded", output))
    assert type(made) is kind
    assert (made.content, made.url) == (f"from {url}".encode(), url)


def test_a_file_within_the_answer_is_decoded() -> None:
    """A data: URL needs no fetching."""
    image = run(task_call("text-to-image", "x"), task_route("text-to-image"), said("succeeded", [IMAGE_URL]))
    assert image == Image(PNG, "image/png")


DEEP: Any = json.loads("[" * 900 + "]" * 900)


@pytest.mark.parametrize("output", [None, [], {}, 7, "no address", [None], DEEP], ids=lambda output: str(output)[:9])
@pytest.mark.parametrize("task", [task for task, *_ in TOLD if task != ASR])
def test_an_output_without_a_file_is_an_error(task: str, output: Any) -> None:
    """A prediction that succeeded and made nothing says so."""
    inputs = "x" if task.startswith("text") else Media("https://host.invalid/cat.png")
    with pytest.raises(ResponseError, match="does not say where"):
        run(task_call(task, inputs), task_route(task), said("succeeded", output))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Hi.", "Hi."),
        ("", ""),
        (["Hi."], "Hi."),
        (["Hi", " there", "."], "Hi there."),
        ({"text": "Hi."}, "Hi."),
        ([{"text": "Hi."}], "Hi."),
        ({"transcription": "Hi.", "translation": "Salut.", "txt_file": AT}, "Hi."),
        ({"transcription": None, "translation": "Salut.", "txt_file": AT}, "Salut."),
        ({"transcription": None, "translation": None, "txt_file": AT}, f"from {AT}"),
        ([{"txt_file": AT}], f"from {AT}"),
    ],
)
def test_transcripts(output: Any, text: str) -> None:
    """Text, text in pieces, or an object: what was said before what it means, and either before a file of it."""
    assert run(task_call(ASR, Media(b"x")), task_route(ASR), said("succeeded", output)).text == text


def test_a_transcript_knows_when_and_keeps_the_rest() -> None:
    """Times are read, and the language and a translation are there beside the text."""
    output = {
        "transcription": "Hi.",
        "translation": "Salut.",
        "segments": [{"text": "Hi.", "start": 0.5, "end": 1}],
        "detected_language": "english",
    }
    transcript = run(task_call(ASR, Media(b"x")), task_route(ASR), said("succeeded", output))
    assert [(chunk.text, chunk.timestamp) for chunk in transcript.chunks] == [("Hi.", (0.5, 1))]
    assert (transcript.detected_language, transcript.translation) == ("english", "Salut.")


@pytest.mark.parametrize("output", [None, {}, 7, [7], {"txt_file": None}])
def test_an_output_without_text_is_an_error(output: Any) -> None:
    """A prediction that succeeded and says nothing of what was said says so."""
    with pytest.raises(ResponseError, match="no transcript"):
        run(task_call(ASR, Media(b"x")), task_route(ASR), said("succeeded", output))


@given(st.dictionaries(st.sampled_from(["text", "transcription", "chunks", "segments"]), json_values) | json_values)
def test_a_transcript_is_read_or_refused(output: Any) -> None:
    """Whatever the output is, it is a transcript or an error of ours."""
    try:
        transcript = run(task_call(ASR, Media(b"x")), task_route(ASR), said("succeeded", output))
    except ResponseError:
        return
    assert isinstance(transcript.text, str)


# Tasks that have no function here.


def test_any_other_task_is_a_prediction() -> None:
    """Inputs and parameters go under `input`, media as addresses; the answer is the whole prediction, once it is
    said to be done."""
    route = task_route("image-to-3d")
    call = Call("image-to-3d", {"image": PNG, "seed": 1}, parameters={"steps": 4}, raw=True)
    done = said("succeeded", [f"{AT}.glb", f"{AT}.ply"])
    steps, raw = drive(route.task.run(call, route), said("processing", [f"{AT}.glb"]), done)
    submitted = next(step for step in steps if isinstance(step, Request))
    assert submitted.json == {"input": {"image": IMAGE_URL, "seed": 1, "steps": 4}}
    assert raw.json() == done
    assert raw.media_type == "application/json"


def test_any_other_task_wants_names() -> None:
    """Replicate's models have no common name for what goes in, so the caller says it."""
    with pytest.raises(InputError, match="wants names"):
        run(Call("image-to-3d", "a chair", raw=True), task_route("image-to-3d"))


# What the official client asks, and what Replicate has answered.

theirs = pytest.importorskip("huggingface_hub.inference._providers", reason="huggingface_hub has no inference client")


@pytest.mark.parametrize("model_id", [MODEL, f"{MODEL}:{VERSION}"], ids=["official", "version"])
@pytest.mark.parametrize("key", ["hf_fake_0123456789", "own_fake_0123456789"])
@pytest.mark.parametrize("case", TOLD, ids=lambda case: case[0])
def test_the_official_client_asks_for_the_same(
    case: tuple[str, Any, dict[str, Any]], key: str, model_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address, body and the wish to wait are huggingface_hub's, but that ours labels media truly."""
    task, inputs, _ = case
    mapping = theirs._common.InferenceProviderMapping(
        provider="replicate", hf_model_id="org/model", providerId=model_id, status="live", task=task
    )
    monkeypatch.setattr(theirs._common, "_fetch_inference_provider_mapping", lambda _: [mapping])
    given = PNG if isinstance(inputs, Media) else inputs
    their = theirs.PROVIDERS["replicate"][task].prepare_request(
        inputs=given, parameters={"seed": 1}, headers={}, model="org/model", api_key=key
    )
    route = task_route(task, model_id, routed=key.startswith("hf_"))
    step = asked(task_call(task, inputs, seed=1), route)
    labelled = re.sub("data:(image/jpeg|audio/wav)", "data:image/png", json.dumps(their.json))
    assert route.url_of(step.path) == their.url
    assert step.json == json.loads(labelled)
    assert step.headers["prefer"] == their.headers["prefer"]


def test_no_task_of_the_official_client_is_missing() -> None:
    """All five of theirs are ours."""
    assert set(theirs.PROVIDERS["replicate"]) == set(REPLICATE.tasks)


RECORDED = [
    param
    for param in exchanges("replicate__*.json")
    if not HERE and param.values[0]["response"]["status"] == 201  # not another provider's, which lies among them
]


@pytest.mark.skipif(not RECORDED, reason="the recorded exchanges are not here")
@pytest.mark.parametrize("exchange", RECORDED)
def test_recorded_answers_are_read(exchange: dict[str, Any]) -> None:
    """Each prediction that was answered at once gives its first file, and nothing more is asked."""
    content = body_of(exchange)
    output = json.loads(content)["output"]
    url = output if isinstance(output, str) else output[0]
    task = "text-to-speech" if url.endswith(".wav") else "text-to-image"
    assert run(task_call(task, "x"), task_route(task), reply(content)).url == url


# Through the dispatcher.


def js(payload: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=payload)


@pytest.mark.anyio
async def test_a_picture_through_the_router(pauses: list[float]) -> None:
    """Predicted and polled at the router with the token; fetched from Replicate's host without it."""
    with Internet() as internet:
        internet.serves("org/model", replicate=live(f"{MODEL}:{VERSION}", "text-to-image"))
        internet.at("router/replicate", js(said(), 201), js(said("succeeded", [f"{AT}.png"])))
        internet.at("replicate.delivery", httpx.Response(200, content=PNG))
        async with Client("hf_fake_0123456789", provider="replicate") as client:
            image = await client.text_to_image("a cat", model="org/model")
        sent = [
            (f"{request.method} {request.url}", request.headers.get("authorization"), request.headers.get("prefer"))
            for _, request in internet.requests[1:]
        ]
    assert image.content == PNG
    token = "Bearer hf_fake_0123456789"
    assert sent == [
        (f"POST {ROUTER}/v1/predictions", token, "wait"),
        (f"GET {ROUTER}/v1/predictions/p-1", token, None),
        (f"GET {AT}.png", None, None),
    ]
    assert len(pauses) == 1


@pytest.mark.anyio
async def test_a_transcript_s_file_is_fetched_without_the_key() -> None:
    """It lies on another host, to which no key goes."""
    with Internet() as internet:
        internet.serves("org/model", replicate=live(MODEL, ASR))
        internet.at("api.replicate.com", js(said("succeeded", {"txt_file": f"{AT}.txt"}), 201))
        internet.at("replicate.delivery", httpx.Response(200, content="Grüße.".encode()))
        async with Client(provider="replicate", keys={"replicate": "own_fake_0123456789"}) as client:
            transcript = await client.automatic_speech_recognition(b"RIFF\x24\0\0\0WAVEx", model="org/model")
        assert internet.key("api.replicate.com") == "Bearer own_fake_0123456789"
        assert internet.key("replicate.delivery") is None
        assert internet.body("api.replicate.com")["input"]["audio"].startswith("data:audio/wav;base64,")
    assert transcript.text == "Grüße."


@pytest.mark.anyio
async def test_giving_up_cancels_the_prediction(pauses: list[float]) -> None:
    """A call that is cancelled while it waits has Replicate stop the work."""
    with Internet() as internet, anyio.CancelScope() as scope:
        internet.serves("org/model", replicate=live(MODEL, "text-to-image"))
        internet.at("router/replicate", js(said(), 201), js(said("processing")))
        async with Client("hf_fake_0123456789", provider="replicate") as client:
            await client.text_to_image(
                "a cat", model="org/model", on_progress=lambda told: told.state == "running" and scope.cancel()
            )
    assert scope.cancelled_caught
    last = internet.requests[-1][1]
    assert f"{last.method} {last.url}" == f"POST {ROUTER}/v1/predictions/p-1/cancel"


@pytest.mark.anyio
async def test_a_prediction_is_taken_elsewhere(pauses: list[float]) -> None:
    """What is kept of it is plain JSON without a key; another client collects by it."""
    with Internet() as internet:
        internet.serves("org/model", replicate=live(MODEL, "text-to-image"))
        internet.at("api.replicate.com", js(said(), 201), js(said("succeeded", [IMAGE_URL])))
        options: dict[str, Any] = {"provider": "replicate", "keys": {"replicate": "own_fake_0123456789"}}
        async with Client(**options) as client:
            kept = json.dumps((await client.submit("text-to-image", "a cat", model="org/model")).to_dict())
        assert "own_fake" not in kept
        async with Client(**options) as other:
            assert (await Job.from_dict(json.loads(kept), other).result()).content == PNG
