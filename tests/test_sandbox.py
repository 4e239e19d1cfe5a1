"""Everything that a client may call has an answer of the right kind in the sandbox, and fails there when told to."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hfclient import Client
from hfclient.providers.table import ENDPOINT, PROVIDERS
from hfclient.sandbox import Sandbox, media
from hfclient.testing import no_waits
from hfclient.types import Audio, ChatCompletion, Embeddings, Image, Video
from hfclient.types.labels import Answer, DetectedObject, Entity, FilledMask, Label, Segment, TableAnswer, Track
from hfclient.types.text import Caption, Summary, TextGeneration, Transcript, Translation

pytestmark = pytest.mark.anyio

PICTURE, SOUND = media.png("a cat"), media.wav("a talk")
KEYS = {provider.name: "sandbox-key" for provider in PROVIDERS if provider.name != "hf-inference"}
MODEL = "me/mine"


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
    client = Client(sandbox=True, provider=provider, model=MODEL, keys={} if way == "router" else _key(provider))
    with no_waits():
        check(await function_of(client, task)(*ask.inputs), ask)


def _key(provider: str) -> dict[str, str]:
    return {provider: KEYS[provider]} if provider in KEYS else {}


@pytest.mark.parametrize("task", ENDPOINT.tasks)
async def test_an_address_of_ones_own_does_the_task_it_is_for(task: str) -> None:
    """Where the protocol does not tell, the sandbox is told what stands at a host."""
    sandbox = Sandbox(models={"mine.invalid": task})
    check(await function_of(Client(sandbox=sandbox, base_url="https://mine.invalid"), task)(*ASKS[task].inputs), ASKS[task])
