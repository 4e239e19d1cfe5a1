"""Everything that a client may call has an answer of the right kind in the sandbox, and fails there when told to."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hfclient import Client
from hfclient.errors import AuthenticationError, InputError, JobCancelledError, JobFailedError, NotFoundError
from hfclient.providers.table import ENDPOINT, PROVIDERS
from hfclient.sandbox import Sandbox, everywhere, in_use, media
from hfclient.sandbox.wire import Arrival
from hfclient.testing import no_waits
from hfclient.types import Audio, ChatCompletion, Embeddings, File, Image, Video
from hfclient.types.labels import Answer, DetectedObject, Entity, FilledMask, Label, Segment, TableAnswer, Track
from hfclient.types.text import Caption, Summary, TextGeneration, Transcript, Translation
from tests.opened import opened

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("closing")]

PICTURE, SOUND = media.png("a cat"), media.wav("a talk")
KEYS = {provider.name: "sandbox-key" for provider in PROVIDERS if provider.name != "hf-inference"}
MODEL = "me/mine"
TOKEN = {"authorization": "Bearer hf_sandbox"}
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ask:
    """How a task is called, the kind of what it gives, and of what is in it where it gives a list."""

    kind: type
    inputs: tuple[Any, ...]
    item: type | tuple[type, ...] = object


ASKS = {
    "audio-classification": Ask(list, (SOUND,), Label),
    "audio-to-audio": Ask(list, (SOUND,), Track),
    "automatic-speech-recognition": Ask(Transcript, (SOUND,)),
    "conversational": Ask(ChatCompletion, ("Why is the sky blue?",)),
    "document-question-answering": Ask(list, (PICTURE, "What is the number?"), Answer),
    "feature-extraction": Ask(Embeddings, (["one", "two"],)),
    "fill-mask": Ask(list, ("Paris is the [MASK] of France.",), FilledMask),
    "image-classification": Ask(list, (PICTURE,), Label),
    "image-segmentation": Ask(list, (PICTURE,), Segment),
    "image-text-to-image": Ask(Image, (PICTURE, "The same cat on the moon")),
    "image-text-to-video": Ask(Video, (PICTURE, "The cat begins to walk.")),
    "image-to-image": Ask(Image, (PICTURE, "Turn the cat into a tiger.")),
    "image-to-text": Ask(Caption, (PICTURE,)),
    "image-to-video": Ask(Video, (PICTURE,)),
    "object-detection": Ask(list, (PICTURE,), DetectedObject),
    "question-answering": Ask(list, ("Where is she?", "Her name is Ada and she lives in Oslo."), Answer),
    "sentence-similarity": Ask(list, ("It is sunny.", ["The sun shines.", "It rains."]), float),
    "summarization": Ask(Summary, ("The tower is tall. It was built long ago.",)),
    "table-question-answering": Ask(TableAnswer, ({"City": ["Oslo"], "People": ["700000"]}, "How many in Oslo?")),
    "tabular-classification": Ask(list, ({"alcohol": ["9.4", "9.8"]},), (int, str)),
    "tabular-regression": Ask(list, ({"height": ["11.52", "12.48"]},), float),
    "text-classification": Ask(list, ("I like you.",), Label),
    "text-generation": Ask(TextGeneration, ("Once upon a time",)),
    "text-to-audio": Ask(Audio, ("Rain on a tin roof",)),
    "text-to-image": Ask(Image, ("an astronaut riding a horse",)),
    "text-to-speech": Ask(Audio, ("Hello there.",)),
    "text-to-video": Ask(Video, ("A cat walks over the roofs.",)),
    "token-classification": Ask(list, ("My name is Ada and I live in Oslo.",), Entity),
    "translation": Ask(Translation, ("Good morning",)),
    "visual-question-answering": Ask(list, (PICTURE, "What is on the sofa?"), Answer),
    "zero-shot-classification": Ask(list, ("A film about a cat", ["cats", "dogs"]), Label),
    "zero-shot-image-classification": Ask(list, (PICTURE, ["cat", "dog"]), Label),
}
PAIRS = [(provider.name, task) for provider in PROVIDERS for task in provider.tasks]
JOBS = [(each.name, task) for each in PROVIDERS for task, how in each.tasks.items() if how.job]
ROUTED = {provider.name for provider in PROVIDERS if provider.routed}


def function_of(client: Client, task: str) -> Callable[..., Any]:
    name = "chat-completion" if task == "conversational" else task
    function: Callable[..., Any] = getattr(client, name.replace("-", "_"))
    return function


def check(result: Any, ask: Ask) -> None:
    assert isinstance(result, ask.kind)
    if ask.kind is list:
        assert result
        assert all(isinstance(each, ask.item) for each in result)
    elif isinstance(result, Image):
        assert result.pil().format == "PNG"
    elif isinstance(result, Audio | Video):
        assert result.media_type == ("audio/wav" if isinstance(result, Audio) else "video/mp4")


@pytest.mark.parametrize("way", ["router", "key"])
@pytest.mark.parametrize(("provider", "task"), PAIRS)
async def test_every_task_of_every_provider_has_a_result_of_its_kind(provider: str, task: str, way: str) -> None:
    """Through the router and with a key for the provider, under a name that the sandbox has never heard."""
    if way == "router" and provider not in ROUTED:
        pytest.skip("the router does not lead there")
    ask = ASKS[task]
    client = opened(sandbox=True, provider=provider, model=MODEL, keys={} if way == "router" else _key(provider))
    with no_waits():
        check(await function_of(client, task)(*ask.inputs), ask)


def _key(provider: str) -> dict[str, str]:
    return {provider: KEYS[provider]} if provider in KEYS else {}


@pytest.mark.parametrize("task", ENDPOINT.tasks)
async def test_an_address_of_ones_own_does_the_task_it_is_for(task: str) -> None:
    """Where the protocol does not tell, the sandbox is told what stands at a host."""
    sandbox = Sandbox(models={"mine.invalid": task})
    check(
        await function_of(opened(sandbox=sandbox, base_url="https://mine.invalid"), task)(*ASKS[task].inputs),
        ASKS[task],
    )


@pytest.mark.parametrize(
    ("provider", "task"), [pair for pair in PAIRS if pair[1] in {"conversational", "text-generation"}]
)
async def test_every_stream_ends_in_what_the_whole_answer_says(provider: str, task: str) -> None:
    """Piece by piece, the text is the same, and so is what was counted."""
    client = opened(sandbox=True, provider=provider, model=MODEL, keys=_key(provider))
    if task == "conversational":
        whole: Any = await client.chat("Tell me a story.")
        stream: Any = client.chat.stream("Tell me a story.")
    else:
        whole, stream = await client.text_generation("Once"), client.text_generation_stream("Once")
    pieces = [piece.text async for piece in stream]
    final = await stream.final()
    assert len([piece for piece in pieces if piece]) > 5
    assert "".join(pieces) == final.text == whole.text
    if provider != "mistral":  # which is not asked to count
        assert final.usage == whole.usage


async def test_an_endpoint_streams_text_in_its_own_protocol() -> None:
    """Text Generation Inference's tokens, which end with the whole text."""
    sandbox = Sandbox(models={"mine.invalid": "text-generation"})
    client = opened(sandbox=sandbox, base_url="https://mine.invalid")
    final = await client.text_generation_stream("Once").final()
    assert final.text == (await client.text_generation("Once")).text
    assert final.finish_reason == "stop"


@pytest.mark.parametrize("way", ["router", "key"])
@pytest.mark.parametrize(("provider", "task"), JOBS)
async def test_every_job_can_be_submitted_asked_and_collected(provider: str, task: str, way: str) -> None:
    """It waits, runs and is done, each at its look; the result is the task's own."""
    if way == "router" and provider not in ROUTED:
        pytest.skip("the router does not lead there")
    client = opened(sandbox=True, provider=provider, model=MODEL, keys={} if way == "router" else _key(provider))
    job = await client.submit(task, *ASKS[task].inputs)
    states = [(await job.status()).state for _ in range(3)]
    assert states[-1] == "done"
    with no_waits():
        check(await job.result(), ASKS[task])


@pytest.mark.parametrize(("provider", "task"), JOBS)
async def test_every_job_can_fail(provider: str, task: str) -> None:
    """A job that comes to nothing is an error of its own, whoever runs it."""
    sandbox = Sandbox()
    sandbox.fail("failed-job")
    client = opened(sandbox=sandbox, provider=provider, model=MODEL, keys=_key(provider))
    with no_waits(), pytest.raises(JobFailedError):
        await function_of(client, task)(*ASKS[task].inputs)
    with no_waits():
        check(await function_of(client, task)(*ASKS[task].inputs), ASKS[task])


@pytest.mark.parametrize("provider", ["fal-ai", "replicate", "wavespeed"])
async def test_a_job_that_is_cancelled_says_so(provider: str) -> None:
    """At the providers that have a way to cancel one."""
    client = opened(sandbox=True, provider=provider, model="Wan-AI/Wan2.2-T2V-A14B")
    job = await client.submit("text-to-video", "A cat")
    await job.cancel()
    assert (await job.status()).state == "cancelled"
    with pytest.raises(JobCancelledError):
        await job.result()


async def test_novita_speaks_minimaxs_protocol_for_minimaxs_model() -> None:
    """The one model there with a protocol to itself."""
    sandbox = Sandbox(models={"MiniMax-H3": "image-text-to-video"})
    client = opened(sandbox=sandbox, provider="novita", model="MiniMax-H3")
    with no_waits():
        check(await client.image_text_to_video(PICTURE, "It walks."), ASKS["image-text-to-video"])
    assert "/v3/minimax/v2/video_generation" in [seen.path for seen in sandbox.requests]


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_7", "type": "function", "function": {"name": name, "arguments": arguments}}


async def both(sandbox: Sandbox, **options: Any) -> list[ChatCompletion]:
    """The same chat, whole and as a stream."""
    client = opened(sandbox=sandbox, model=MODEL)
    return [await client.chat("Hi", **options), await client.chat.stream("Hi", **options).final()]


async def test_a_script_may_give_text_thoughts_tool_calls_and_counts() -> None:
    """A message as a dict is taken as it is, in a stream too."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    said = {
        "content": "Done it.",
        "reasoning_content": "Easy.",
        "tool_calls": [call("lamp", '{"on": true}')],
        "usage": usage,
    }
    for reply in await both(Sandbox(chat=lambda _: said)):
        assert (reply.text, reply.reasoning, reply.finish_reason) == ("Done it.", "Easy.", "tool_calls")
        assert reply.tool_calls[0].function.parse() == {"on": True}
        assert reply.usage is not None
        assert reply.usage.total_tokens == 3
    for reply in await both(Sandbox(chat=lambda _: {"content": "Too lo", "finish_reason": "length"})):
        assert (reply.text, reply.finish_reason) == ("Too lo", "length")


async def test_a_script_may_give_several_choices() -> None:
    """One for each text of a list, or the same one as often as was asked for."""
    for reply in await both(Sandbox(chat=lambda _: ["heads", "tails"])):
        assert [choice.message.content for choice in reply.choices] == ["heads", "tails"]
    for reply in await both(Sandbox(chat=lambda _: "heads"), n=3):
        assert [choice.message.content for choice in reply.choices] == ["heads"] * 3


async def test_a_script_that_gives_nothing_sensible_says_what_it_may_give() -> None:
    """The mistake is the test's, and is told there."""
    with pytest.raises(InputError, match="chat script gave NoneType"):
        await opened(sandbox=Sandbox(chat=lambda _: None), model=MODEL).chat("Hi")  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match="chat= is not a function"):
        Sandbox(chat="Hello")  # type: ignore[arg-type]


async def test_recorded_answers_are_given_by_their_path() -> None:
    """JSON as an answer, bytes as a file."""
    sandbox = Sandbox(
        answers={"/recorded/sound": media.wav("x"), "/recorded/labels": [{"label": "calm", "score": 1.0}]}
    )
    client = opened(sandbox=sandbox, provider="hf-inference")
    assert (await client.text_classification("Hm", model="recorded/labels"))[0].label == "calm"
    assert (await client.text_to_speech("Hm", model="recorded/sound")).content == media.wav("x")


async def test_two_sandboxes_give_the_same_answers() -> None:
    """Nothing in an answer comes from the clock or from chance."""

    async def everything() -> list[Any]:
        sandbox = Sandbox()
        with no_waits():
            results: list[Any] = []
            for provider, task in PAIRS:
                client = opened(sandbox=sandbox, provider=provider, model=MODEL, keys=_key(provider))
                results.append(await function_of(client, task)(*ASKS[task].inputs))
        return [each.content if isinstance(each, File) else repr(each) for each in results]

    assert await everything() == await everything()


async def test_the_hub_knows_models_and_tasks() -> None:
    """As the official client reads them: by name, by list, and not at all."""
    sandbox = Sandbox(models={"me/painter": "text-to-image"})

    def asked(path: str, **query: str) -> Any:
        return json.loads(sandbox.answer(Arrival("GET", "huggingface.co", path, query)).body)

    assert asked("/api/models/me/painter")["inferenceProviderMapping"]["fal-ai"]["task"] == "text-to-image"
    assert asked("/api/models/Qwen/Qwen3-32B")["pipeline_tag"] == "text-generation"
    assert asked("/api/tasks")["translation"]["widgetModels"] == ["Helsinki-NLP/opus-mt-en-fr"]
    painters = asked("/api/models", pipeline_tag="text-to-image", inference_provider="together")
    assert "me/painter" in [model["id"] for model in painters]
    assert [row["provider"] for row in painters[0]["inferenceProviderMapping"]].count("together") == 1
    with pytest.raises(NotFoundError):
        await opened(sandbox=sandbox, provider="groq").chat("Hi", model="missing/model")


async def test_the_router_lists_who_serves_a_chat_model() -> None:
    """One entry for each provider, with prices and speeds."""
    sandbox = Sandbox()
    listed = json.loads(sandbox.answer(Arrival("GET", "router.huggingface.co", "/v1/models", headers=TOKEN)).body)
    one = json.loads(sandbox.answer(Arrival("GET", "router.huggingface.co", "/v1/models/a/b", headers=TOKEN)).body)
    assert "Qwen/Qwen3-32B" in [model["id"] for model in listed["data"]]
    assert {"groq", "together"} <= {each["provider"] for each in one["providers"]}


async def test_without_a_key_nobody_answers() -> None:
    """As at Hugging Face; a key that says it is invalid is."""
    for headers in ({}, {"authorization": "Bearer invalid"}):
        assert (
            Sandbox().answer(Arrival("POST", "router.huggingface.co", "/v1/chat/completions", headers=headers)).status
            == 401
        )
    with pytest.raises(AuthenticationError):
        await opened("hf_invalid_0123456789", sandbox=True).chat("Hi", model=MODEL)


async def test_what_arrived_is_kept_and_keys_are_not() -> None:
    """Wherever a key was put: in a header, the address or the body."""
    sandbox = Sandbox()
    key = "hf_fake_0123456789abcdef"
    client = opened(key, sandbox=sandbox, model=MODEL)
    headers, query = {"x-api-key": "planted-1"}, {"token": "planted-2", "page": "7"}
    await client.chat(f"My key is {key}", extra_headers=headers, extra_query=query, extra_body={"user": key})
    own = opened(sandbox=sandbox, provider="black-forest-labs", keys={"black-forest-labs": "bfl-fake-987654321"})
    with no_waits():
        await own.text_to_image("a cat", model="flux-dev")
    shown = repr(sandbox.requests) + "".join(str(seen.body) for seen in sandbox.requests)
    for secret in (key, "planted-1", "planted-2", "bfl-fake-987654321"):
        assert secret not in shown
    first = sandbox.requests[0]
    assert (first.place, first.path, first.query["page"]) == ("router", "/v1/chat/completions", "7")
    assert first.json()["messages"][0]["content"] == "My key is …"


async def test_files_lie_on_another_host_and_come_without_a_key() -> None:
    """As results do in life, so that a client which sends its key everywhere is found out."""
    sandbox = Sandbox()
    with no_waits():
        await opened(sandbox=sandbox, provider="fal-ai").text_to_image("a cat", model="black-forest-labs/FLUX.1-dev")
    fetched = sandbox.requests[-1]
    assert fetched.place == "files"
    assert "authorization" not in fetched.headers


async def test_pictures_have_the_size_that_was_asked_for() -> None:
    """In whichever words a provider has for it."""
    for provider in ("fal-ai", "together", "nscale", "hf-inference", "zai-org"):
        client = opened(sandbox=True, provider=provider, model="black-forest-labs/FLUX.1-dev")
        with no_waits():
            image = await client.text_to_image("a cat", width=96, height=48)
        assert image.pil().size == (96, 48), provider


def test_sounds_are_sounds() -> None:
    """Read by Python's own module; another text has another pitch."""
    with wave.open(io.BytesIO(media.wav("hello")), "rb") as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (1, 16_000, 8_000)
        assert len(set(sound.readframes(8_000))) > 100
    assert media.wav("hello") != media.wav("good-bye")


def boxes_in(content: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while content:
        size = int.from_bytes(content[:4], "big")
        found[content[4:8].decode()] = content[8:size]
        content = content[size:]
    return found


def test_films_are_films() -> None:
    """The boxes of MP4, in the order in which a player may begin before the end has come; FFmpeg reads every frame."""
    film = media.mp4("a cat")
    boxes = boxes_in(film)
    assert list(boxes) == ["ftyp", "moov", "mdat"]
    assert list(boxes_in(boxes["moov"])) == ["mvhd", "trak"]
    assert list(boxes_in(boxes_in(boxes["moov"])["trak"])) == ["tkhd", "mdia"]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_players_read_films(tmp_path: Path) -> None:
    """FFmpeg finds one video of a second, decodes each of its frames, and complains of nothing."""
    (tmp_path / "film.mp4").write_bytes(media.mp4("a cat"))
    shown = "codec_name,width,height,nb_read_frames,duration"
    command = [
        "ffprobe",
        "-v",
        "warning",
        "-count_frames",
        "-show_entries",
        f"stream={shown}",
        "-of",
        "json",
        "film.mp4",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (stream,) = json.loads(done.stdout)["streams"]
    assert done.stderr == ""
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 64, 64)
    assert (stream["nb_read_frames"], float(stream["duration"])) == ("8", 1.0)


async def test_embeddings_are_stable_unit_length_and_mean_something() -> None:
    """Texts that share words are nearer to each other than those that do not."""
    client = opened(sandbox=True, model="BAAI/bge-small-en-v1.5", provider="hf-inference")
    vectors = await client.feature_extraction(["the red fox", "the quick fox", "annual report"])
    assert vectors.shape == (3, 384)
    assert [round(sum(number * number for number in row), 4) for row in vectors.tolist()] == [1.0] * 3
    near, far = (sum(a * b for a, b in zip(vectors[0], vectors[place], strict=True)) for place in (1, 2))
    assert near > far + 0.2
    assert (await client.feature_extraction(["the red fox"])).tolist()[0] == vectors.tolist()[0]


async def test_latency_is_per_call_and_per_piece() -> None:
    """Nothing waits unless it is asked to; then answers wait once, and streams after every piece."""
    with no_waits() as waits:
        await opened(sandbox=True, model=MODEL).chat.stream("Hi").final()
        assert waits == []
        client = opened(sandbox=Sandbox(latency=2, token_latency=0.25), model=MODEL)
        await client.chat("Hi")
        assert waits == [2]
        waits.clear()
        async with client.chat.stream("Hi") as stream:
            chunks = [chunk async for chunk in stream]
        assert waits[0] == 2
        assert set(waits[1:]) == {0.25}
        assert len(waits[1:]) >= len(chunks)


def test_every_client_goes_into_the_sandbox_that_is_in_use() -> None:
    """Those alone that were not given connections or a sandbox of their own; the innermost sandbox wins."""
    outer, inner = Sandbox(), Sandbox()
    assert in_use() is None
    with everywhere(outer):
        assert in_use() is outer
        with everywhere(inner):
            assert in_use() is inner
        assert in_use() is outer
    assert in_use() is None


async def test_a_sandbox_cannot_be_combined_with_other_connections() -> None:
    """One of the two would be ignored, so it is said at once."""
    with pytest.raises(InputError, match="connections of its own"):
        Client(sandbox=True, transport="aiohttp")
    with pytest.raises(InputError, match="is no sandbox"):
        Client(sandbox="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("made", ["import hfclient.sandbox", "from hfclient import Client; Client(sandbox=True)"])
def test_the_sandbox_needs_nothing_beyond_what_the_client_needs(made: str) -> None:
    """No web framework, no picture library, no numpy."""
    code = f"import sys; {made}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"PIL", "numpy", "starlette", "uvicorn", "torch", "pytest"} == set()
