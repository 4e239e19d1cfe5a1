"""What OpenTelemetry sees of the tasks beside chat: their names, their tokens, and never what is in a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode

from hfclient import Client, recording
from hfclient.errors import BadRequestError, JobFailedError
from hfclient.semconv import GENERATIONS
from tests import test_telemetry
from tests.rows import FILES, KEY, MODEL, OF_MEDIA, ROWS, Service, ask, each_task
from tests.studio import ASK, FAILED, READY, WORKING, Studio
from tests.test_jobs import THIRD_PARTY
from tests.test_telemetry import Telescope

pytestmark = pytest.mark.anyio

telescope = test_telemetry.telescope

SIGNED = "https://files.example/in.bin?signature=hf_fake_signed_0123"
PICTURE = b"\x89PNG\r\n\x1a\n" + b"what-is-in-the-picture" * 3

# The operation and the kind of output of each task that generates something; the others go by their own names.
GENERATES = {
    "automatic_speech_recognition": "text",
    "audio_to_audio": "speech",
    "document_question_answering": "text",
    "image_text_to_image": "image",
    "image_text_to_video": "video",
    "image_to_image": "image",
    "image_to_text": "text",
    "image_to_video": "video",
    "summarization": "text",
    "text_to_audio": "speech",
    "text_to_image": "image",
    "text_to_speech": "speech",
    "text_to_video": "video",
    "translation": "text",
    "visual_question_answering": "text",
}
OTHERWISE_NAMED = {"feature_extraction": "embeddings", "text_generation": "text_completion"}


@pytest.fixture
def _content(telescope: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(recording.CONTENT_VARIABLE, "SPAN_AND_EVENT")


def messages(telescope: Telescope, which: str) -> Any:
    return json.loads(telescope.attributes()[f"gen_ai.{which}.messages"])


@each_task
async def test_a_task_is_one_span_and_one_duration(telescope: Telescope, name: str) -> None:
    """The span is named for what the task does, and its duration stands under the metric of its kind."""
    await ask(Service(ROWS[name].response), name, *ROWS[name].arguments)
    operation = OTHERWISE_NAMED.get(name) or ("generate_content" if name in GENERATES else name)
    attributes = telescope.attributes()
    assert telescope.span().name == f"{operation} {MODEL}"
    assert attributes["gen_ai.operation.name"] == operation
    assert attributes["gen_ai.request.model"] == MODEL
    assert attributes.get("gen_ai.output.type") == GENERATES.get(name)
    assert attributes["hfclient.inference_provider"] == "endpoint"
    group: Any = {"embeddings": "embeddings", name: "other"}.get(operation, "inference")
    (duration,) = telescope.points()[GENERATIONS["2026-10"].durations[group].name]
    assert (duration.count, duration.attributes["gen_ai.operation.name"]) == (1, operation)
    assert not [kept for kept in attributes if "messages" in kept]


@each_task
async def test_a_task_that_fails_is_an_error(telescope: Telescope, name: str) -> None:
    """The status of the service's answer is the type of the error; neither a key nor what was sent is told."""
    with pytest.raises(BadRequestError):
        await ask(Service(422), name, *ROWS[name].arguments)
    assert telescope.span().status.status_code is StatusCode.ERROR
    assert telescope.attributes()["error.type"] == "422"
    assert KEY not in telescope.everything()


async def test_the_tokens_of_embeddings(telescope: Telescope) -> None:
    """All parts of a long list together, and the model that made them."""

    def handle(_: httpx.Request) -> httpx.Response:
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return httpx.Response(200, json={"model": "served", "data": [{"embedding": [1, 2]}], "usage": usage})

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    async with Client.endpoint("https://mine.example/v1", KEY, model=MODEL, http_client=http_client) as client:
        await client.feature_extraction(["a", "b", "c"], batch_size=1, dimensions=2, encoding_format="float")
    attributes = telescope.attributes()
    assert attributes["gen_ai.usage.input_tokens"] == 15
    assert attributes["gen_ai.response.model"] == "served"
    assert attributes["gen_ai.embeddings.dimension.count"] == 2
    assert attributes["gen_ai.request.encoding_formats"] == ("float",)
    assert "gen_ai.usage.output_tokens" not in attributes
    (tokens,) = telescope.points()["gen_ai.client.embeddings.operation.input_tokens"]
    assert (tokens.sum, tokens.attributes["gen_ai.response.model"]) == (15, "served")


async def test_a_text_that_was_generated(telescope: Telescope) -> None:
    """Its tokens, its model and why it ended, as for a chat."""
    answer = {
        "model": "served",
        "choices": [{"text": " upon a time", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 3},
    }
    service = Service(httpx.Response(200, json=answer))
    options = {"max_new_tokens": 3, "temperature": 0.5, "top_k": 5, "seed": 7, "stop": ["."]}
    await ask(service, "text_generation", "Once", base_url="https://mine.example/v1", **options)
    attributes = telescope.attributes()
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (1, 3)
    assert attributes["gen_ai.response.finish_reasons"] == ("length",)
    assert attributes["gen_ai.response.model"] == "served"
    assert attributes["gen_ai.request.max_tokens"] == 3
    assert attributes["gen_ai.request.stop_sequences"] == (".",)


# What was said.


@pytest.mark.usefixtures("_content")
@pytest.mark.parametrize("name", OF_MEDIA)
async def test_no_media_are_recorded(telescope: Telescope, name: str, tmp_path: Path) -> None:
    """Whatever form media come in, the bytes, the path and the key in an address stay out, even where content is
    wanted; so do the bytes of a result."""
    content = PICTURE
    (tmp_path / "private-place.png").write_bytes(content)
    encoded = base64.b64encode(content).decode()
    forms = (content, bytearray(content), tmp_path / "private-place.png", f"data:image/png;base64,{encoded}", SIGNED)
    for media in forms:
        service = Service(ROWS[name].response)
        if media is SIGNED:
            service = Service(httpx.Response(200, content=content), ROWS[name].response)
        await ask(service, name, media, *ROWS[name].arguments[1:])
    seen = telescope.everything()
    assert seen.count("gen_ai.input.messages") == (2 * len(forms) if name in GENERATES else 0)
    for secret in ("what-is-in", "private-place", encoded[12:40], "signature", "hf_fake_signed", KEY):
        assert secret not in seen
    answer = ROWS[name].answer
    if isinstance(answer, bytes):
        assert base64.b64encode(answer).decode() not in seen
        assert answer.decode("utf-8", "replace")[-10:] not in seen


@pytest.mark.usefixtures("_content")
async def test_what_a_task_was_told(telescope: Telescope) -> None:
    """Each input is a part of the user's message, a prompt among the parameters too, media as a note of their kind."""
    service = Service(httpx.Response(200, content=PICTURE), ROWS["image_to_image"].response)
    await ask(service, "image_to_image", SIGNED, "Make it a tiger.")
    assert messages(telescope, "input") == [
        {
            "role": "user",
            "parts": [
                {"type": "uri", "modality": "unknown", "uri": "https://files.example/in.bin"},
                {"type": "text", "content": "Make it a tiger."},
            ],
        }
    ]
    (made,) = messages(telescope, "output")
    kind = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "[image/png, 24 bytes]"}
    assert made == {"role": "assistant", "parts": [kind]}


@pytest.mark.usefixtures("_content")
async def test_a_question_about_a_picture(telescope: Telescope, tmp_path: Path) -> None:
    """The answers are the assistant's message, one part each."""
    (tmp_path / "cat.png").write_bytes(PICTURE)
    answers = [{"answer": "a cat", "score": 0.5}, {"answer": "a dog", "score": 0.25}]
    service = Service(httpx.Response(200, json=answers))
    await ask(service, "visual_question_answering", tmp_path / "cat.png", "What is it?")
    (asked,) = messages(telescope, "input")
    assert asked["parts"] == [
        {"type": "blob", "modality": "image", "content": "[PosixPath]"},
        {"type": "text", "content": "What is it?"},
    ]
    (answered,) = messages(telescope, "output")
    assert answered["parts"] == [{"type": "text", "content": each["answer"]} for each in answers]


@pytest.mark.usefixtures("_content")
@pytest.mark.parametrize("name", FILES)
async def test_a_result_on_disk_is_not_looked_at(telescope: Telescope, name: str, tmp_path: Path) -> None:
    """Its type is told, and neither its bytes nor its place."""
    await ask(Service(ROWS[name].response), name, *ROWS[name].arguments, save_to=tmp_path / "private-place")
    (made,) = messages(telescope, "output")
    assert made["parts"][0]["content"] == f"[{ROWS[name].result.media_type}]"
    assert "private-place" not in telescope.everything()


@pytest.mark.usefixtures("_content")
async def test_what_is_asked_in_the_provider_s_words_stays_out(telescope: Telescope) -> None:
    """In `request` anything may be a file in base64, so nothing of it is told."""
    encoded = base64.b64encode(PICTURE).decode()
    answer = httpx.Response(200, content=PICTURE, headers={"content-type": "image/png"})
    await ask(Service(answer), "request", "image-to-image", {"image": encoded}, {"mask": encoded})
    assert encoded[12:40] not in telescope.everything()
    assert "what-is-in" not in telescope.everything()


# Jobs.


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)


@pytest.mark.usefixtures("_installed")
async def test_a_job_counts_as_one_inference(telescope: Telescope, pauses: list[float]) -> None:
    """What is submitted is the inference; asking for it, collecting and cancelling go by names of their own."""
    job = await Studio(WORKING, READY).client().submit("text-to-video", ASK, num_frames=7)
    await job.status()
    await job.result()
    await job.cancel()
    names = [span.name for span in telescope.exporter.get_finished_spans()]
    assert names == [f"{what} org/film" for what in ("generate_content", "job_status", "job_result", "job_cancel")]
    points = telescope.points()
    (inference,) = points["gen_ai.client.inference.duration"]
    assert inference.count == 1
    counted = {
        each.attributes["gen_ai.operation.name"]: each.count for each in points["gen_ai.client.operation.duration"]
    }
    assert counted == {"job_status": 1, "job_result": 1, "job_cancel": 1}


@pytest.mark.usefixtures("_installed", "_content")
async def test_a_job_that_fails_is_told(telescope: Telescope, pauses: list[float]) -> None:
    """The provider's reason is the span's status, and the class of the error its type."""
    with pytest.raises(JobFailedError):
        await Studio(WORKING, FAILED).client().text_to_video(ASK)
    assert telescope.attributes()["error.type"] == "JobFailedError"
    assert telescope.span().status.description == "The job failed: The prompt is not safe."
    assert telescope.attributes()["hfclient.inference_provider"] == "film"
