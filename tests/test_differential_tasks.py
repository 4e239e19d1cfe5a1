"""The same call of every other task through huggingface_hub and through hfclient: the same requests, the same result.

Where ours differ, they do so on purpose, and INTENDED says why. An entry that makes no difference any more fails.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import httpx
import numpy as np
import PIL.Image
import pytest

from hfclient import Client
from hfclient.providers import table
from tests import theirs
from tests.samples import ANSWERS, FLAC, IMAGE, MP3, MP4, PNG, SAMPLES
from tests.theirs import HEADERS, HF, MODEL, OWN

Access = Literal["routed", "own key", "endpoint"]

ENDPOINT = "https://endpoint.invalid/some/place"
FILES = "https://files.invalid"
CONTENT = {".png": PNG, ".mp3": MP3, ".mp4": MP4}
MEDIA = {"image": (PNG, "cat.png"), "audio": (MP3, "talk.mp3")}

PAIRS = [(name, task) for name, tasks in theirs.PROVIDERS.items() for task in tasks if task != "conversational"]
OURS = {(provider.name, task) for provider in table.PROVIDERS for task in provider.tasks}

# What is asked beyond the inputs: nothing, all parameters that the task has a name for, what it has none for; or the
# same with the media at an address or in a file; or the answer as a stream; or a model that is LoRA weights, or a
# version of a model.
MORE = {"voice": "alto", "nested": {"a": 1}}
TAKES_MORE = {"automatic-speech-recognition", "text-to-image", "text-to-speech", "text-to-video"}


@dataclass(frozen=True)
class Case:
    provider: str
    task: str
    access: Access = "routed"
    asked: str = "plain"

    def __str__(self) -> str:
        return f"{self.provider}-{self.task}-{self.access}-{self.asked}"

    @property
    def media(self) -> set[str]:
        return MEDIA.keys() & SAMPLES[self.task].inputs.keys()

    @property
    def hf_protocol(self) -> bool:
        return self.provider == "hf-inference"

    @property
    def tells(self) -> bool:
        """Whether anything is told beside the inputs."""
        return self.asked in {"everything", "more"}


def cases() -> Iterator[Case]:
    for provider, task in PAIRS:
        alone = Case(provider, task)
        yield alone
        yield Case(provider, task, "endpoint" if alone.hf_protocol else "own key")  # hf-inference has no keys
        for asked in ("everything", "more", "address", "path", "stream", "adapter", "version"):
            if is_asked(asked, alone):
                yield Case(provider, task, asked=asked)
    for task in theirs.PROVIDERS["hf-inference"]:
        if task != "conversational" and is_asked("everything", Case("hf-inference", task)):
            yield Case("hf-inference", task, "endpoint", "everything")


def is_asked(asked: str, case: Case) -> bool:
    match asked:
        case "everything" if case.task == "image-to-text":  # theirs has no parameters
            return False
        case "everything" if case.task == "automatic-speech-recognition":  # theirs has no names for them
            return case.hf_protocol
        case "everything":
            return bool(SAMPLES[case.task].parameters)
        case "more":
            return case.task in TAKES_MORE
        case "stream":
            return case.task == "text-generation"
        case "adapter":
            made = case.task.endswith(("to-image", "to-video"))
            return made and case.provider in {"fal-ai", "replicate", "wavespeed"}
        case "version":
            return case.provider == "replicate"
        case _:
            return bool(case.media)


CASES = list(cases())


@dataclass(frozen=True)
class Intended:
    """Where we differ, in which cases, and why; `body` stands for all that differs in it."""

    where: tuple[str, ...]
    why: str
    when: Callable[[Case], bool]


def of(provider: str, *tasks: str, asked: str = "") -> Callable[[Case], bool]:
    return lambda case: case.provider == provider and case.task in tasks and asked in {"", case.asked}


def sends_bytes(case: Case) -> bool:
    return bool(case.media) and case.asked not in {"address", "path"}


def sends_media_alone(case: Case) -> bool:
    in_json = {"document-question-answering", "visual-question-answering", "zero-shot-image-classification"}
    return case.hf_protocol and bool(case.media) and case.task not in in_json and not case.tells


def sends_no_parameters(case: Case) -> bool:
    others = {"feature-extraction", "tabular-classification", "zero-shot-classification"}
    others |= {"zero-shot-image-classification", "visual-question-answering"}
    if case.access == "routed":
        others |= {"table-question-answering", "text-generation"}
    return case.hf_protocol and not case.tells and case.task not in others and not sends_media_alone(case)


def generates(case: Case, *providers: str) -> bool:
    return case.task == "text-generation" and not case.hf_protocol and (not providers or case.provider in providers)


def labelled(provider: str, task: str) -> Callable[[Case], bool]:
    return lambda case: (case.provider, case.task) == (provider, task) and sends_bytes(case)


# Where media stand in requests to those whom theirs tells one type of all bytes.
MEDIA_STAND_IN: dict[tuple[str, str], tuple[str, ...]] = {
    ("deepinfra", "automatic-speech-recognition"): ("body.file.filename", "body.file.type"),
    ("fal-ai", "image-to-image"): ("body.image_url", "body.image_urls"),
    ("fal-ai", "image-to-video"): ("body.image_url",),
    ("replicate", "automatic-speech-recognition"): ("body.input.audio",),
    ("replicate", "image-to-image"): (
        *("body.input.image", "body.input.images"),
        *("body.input.input_image", "body.input.input_images"),
    ),
    ("together", "image-to-image"): ("body.reference_images",),
}

UNASKED = "what nobody asked for is not said"
LABELLED = "bytes are told by what they are, not by what most would be"
IN_OPENAI_TERMS = "OpenAI's API, which these speak, knows no other names"

INTENDED = [
    Intended(
        ("headers.accept",),
        "the answer is JSON that holds the picture or names it, so that is what is accepted",
        lambda case: case.task in {"text-to-image", "image-to-image"} and not case.hf_protocol,
    ),
    Intended(("headers.content-type",), LABELLED, lambda case: sends_media_alone(case) and sends_bytes(case)),
    *(Intended(where, LABELLED, labelled(*pair)) for pair, where in MEDIA_STAND_IN.items()),
    Intended(
        ("body.image",),
        LABELLED,
        lambda case: case.provider == "wavespeed" and bool(case.media) and case.asked != "address",
    ),
    Intended(
        ("body.images",),
        "some models read a list, as the other official client knows",
        lambda case: case.provider == "wavespeed" and bool(case.media),
    ),
    Intended(
        ("url", "after"),
        "the queue, for no connection need hold for as long as a picture takes",
        of("fal-ai", "text-to-image"),
    ),
    Intended(
        ("body.loras",),
        "LoRA weights are told of wherever the provider takes them, as the other official client knows",
        lambda case: case.asked == "adapter" and case.provider == "wavespeed",
    ),
    Intended(
        ("body.input.lora_weights",),
        "LoRA weights are told of wherever the provider takes them, as the other official client knows",
        of("replicate", "image-to-image", asked="adapter"),
    ),
    Intended(("body.parameters",), UNASKED, sends_no_parameters),
    Intended(("body.parameters.multi_label",), UNASKED, of("hf-inference", "zero-shot-classification", asked="plain")),
    Intended(
        ("body.parameters.model",),
        "the model stands in the path, and is no parameter",
        lambda case: case.task == "table-question-answering" and case.access == "routed",
    ),
    Intended(("body",), "so it is recorded: the table is inputs.data", of("hf-inference", "tabular-classification")),
    Intended(
        ("body",),
        "so the task is specified, and the picture goes only once",
        of("hf-inference", "visual-question-answering"),
    ),
    Intended(
        ("before",),
        "a picture is fetched only once",
        of("hf-inference", "visual-question-answering", asked="address"),
    ),
    Intended(
        ("url", "body"),
        "OpenAI's completions, since models that vLLM serves have nothing else",
        lambda case: of("hf-inference", "text-generation")(case) and case.access == "routed",
    ),
    Intended(
        ("body.max_tokens",),
        UNASKED,
        lambda case: generates(case, "deepinfra", "featherless-ai") and case.asked != "everything",
    ),
    Intended(
        ("body.max_tokens", "body.max_new_tokens"),
        IN_OPENAI_TERMS,
        lambda case: generates(case, "novita", "together") and case.asked == "everything",
    ),
    Intended(
        ("body.return_full_text", "body.echo"),
        IN_OPENAI_TERMS,
        lambda case: generates(case) and case.asked == "everything",
    ),
    Intended(
        ("body.stream_options.include_usage",),
        "most providers count the tokens of a stream only when asked",
        lambda case: generates(case) and case.asked == "stream",
    ),
    Intended(
        ("url", "after"),
        "Novita documents this route alone, and no connection need hold for as long as a film takes",
        of("novita", "text-to-video"),
    ),
    Intended(
        ("body.steps", "body.num_inference_steps"),
        "Novita's route calls them steps",
        of("novita", "text-to-video", asked="everything"),
    ),
    Intended(
        ("body.width", "body.height", "body.target_size.width", "body.target_size.height"),
        "Together takes width and height, and no target_size",
        of("together", "image-to-image", asked="everything"),
    ),
]


def intended_in(case: Case) -> set[str]:
    return {where for entry in INTENDED if entry.when(case) for where in entry.where}


GENERATED = {"generated_text": " there was", "choices": [{"text": " there was", "finish_reason": "stop"}]}
EMBEDDED = {"data": [{"index": 0, "embedding": [0.5, 1.0]}, {"index": 1, "embedding": [0.25, -2.0]}]}
PICTURE, SOUND, FILM = f"{FILES}/out.png", f"{FILES}/out.mp3", f"{FILES}/out.mp4"


def fal(**result: Any) -> list[Any]:
    place = "https://elsewhere.invalid/fal-ai/flux/requests/job-1"
    begun = {"request_id": "job-1", "status": "IN_QUEUE", "response_url": place}
    return [{**begun, **result}, {"status": "IN_PROGRESS"}, {"status": "COMPLETED"}, result]


def replicate(output: Any) -> list[Any]:
    urls = {"get": "https://elsewhere.invalid/v1/predictions/job-1"}
    return [{"id": "job-1", "status": "succeeded", "urls": urls, "output": output}]


def together_film(**more: Any) -> dict[str, Any]:
    return {"id": "job-1", **more}


def wavespeed(**more: Any) -> dict[str, Any]:
    urls = {"get": "https://elsewhere.invalid/api/v3/predictions/job-1/result"}
    return {"data": {"id": "job-1", "status": "created", "urls": urls, **more}}


def zai(**more: Any) -> dict[str, Any]:
    return {"id": "job-1", "task_status": "PROCESSING", **more}


# What a provider says, one after the other; the last stays.
ANSWERED: dict[tuple[str, str], list[Any]] = {
    **{("hf-inference", task): [answer] for task, answer in ANSWERS.items()},
    **{(name, "text-generation"): [GENERATED] for name in theirs.PROVIDERS},
    **{(name, "feature-extraction"): [EMBEDDED] for name in ("deepinfra", "scaleway", "together")},
    **{
        pair: [{"data": [{"b64_json": IMAGE}]}]
        for pair in (("nscale", "text-to-image"), ("together", "text-to-image"), ("together", "image-to-image"))
    },
    **{(name, "text-to-speech"): [FLAC] for name in ("deepinfra", "together")},
    ("deepinfra", "automatic-speech-recognition"): [
        {"text": "a man", "segments": [{"text": "a man", "start": 0.0, "end": 1.5}]}
    ],
    ("fal-ai", "automatic-speech-recognition"): [{"text": "a man"}],
    ("fal-ai", "text-to-speech"): [{"audio": {"url": SOUND}}],
    ("fal-ai", "text-to-image"): fal(images=[{"url": PICTURE}]),
    ("fal-ai", "image-to-image"): fal(images=[{"url": PICTURE}]),
    ("fal-ai", "image-segmentation"): fal(image={"url": f"data:image/png;base64,{IMAGE}"}),
    ("fal-ai", "text-to-video"): fal(video={"url": FILM}),
    ("fal-ai", "image-to-video"): fal(video={"url": FILM}),
    ("replicate", "automatic-speech-recognition"): replicate({"transcription": "a man"}),
    ("replicate", "image-to-image"): replicate(PICTURE),
    ("replicate", "text-to-image"): replicate([PICTURE]),
    ("replicate", "text-to-speech"): replicate(SOUND),
    ("replicate", "text-to-video"): replicate(FILM),
    **{
        ("together", task): [
            together_film(status="queued"),
            together_film(status="in_progress"),
            together_film(status="completed", outputs={"video_url": FILM}),
        ]
        for task in ("text-to-video", "image-to-video")
    },
    ("novita", "text-to-video"): [
        {"task_id": "job-1", "video": {"video_url": FILM}},
        {"task": {"status": "TASK_STATUS_SUCCEED"}, "videos": [{"video_url": FILM}]},
    ],
    **{
        ("wavespeed", task): [
            wavespeed(),
            wavespeed(status="processing"),
            wavespeed(status="completed", outputs=[FILM if "video" in task else PICTURE]),
        ]
        for task in theirs.PROVIDERS["wavespeed"]
    },
    ("zai-org", "text-to-image"): [zai(), zai(), zai(task_status="SUCCESS", image_result=[{"url": PICTURE}])],
}


@dataclass
class Network:
    """The Hub, the provider and a host of files; what is asked of the latter two is remembered."""

    case: Case
    module: Any
    sent: list[Sent] = field(default_factory=list)

    def __call__(self, request: Any) -> Any:
        if request.url.host == "huggingface.co":
            return self.module.Response(200, json=hub_page(self.case))
        self.sent.append(Sent.of(request))
        if request.url.host == "files.invalid":
            return self.module.Response(200, content=CONTENT[Path(request.url.path).suffix])
        answers = ANSWERED[self.case.provider, self.case.task]
        asked = [sent for sent in self.sent if not sent.url.startswith(FILES)]
        answer = answers[min(len(asked), len(answers)) - 1]
        if self.sent[-1].body.get("stream"):
            events = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(answer).encode()
            return self.module.Response(200, content=events, headers={"content-type": "text/event-stream"})
        if isinstance(answer, bytes):
            return self.module.Response(200, content=answer)
        return self.module.Response(200, json=answer)


def hub_page(case: Case) -> dict[str, Any]:
    row = {"status": "live", "providerId": id_of(case), "task": case.task}
    if case.asked == "adapter":
        row |= {"adapter": "lora", "adapterWeightsPath": "lora.safetensors"}
    return {
        "id": MODEL,
        "pipeline_tag": case.task,
        "tags": [case.task],
        "inferenceProviderMapping": {case.provider: row},
    }


def id_of(case: Case) -> str:
    """What the provider calls the model."""
    match case.provider, case.asked:
        case "hf-inference", _:
            return MODEL
        case "fal-ai", _:
            return "fal-ai/lora" if case.asked == "adapter" else "fal-ai/flux"
        case _, "version":
            return "its/model:0123abcd"
        case _:
            return "its-model"


@dataclass(frozen=True)
class Sent:
    """One request, as far as it is compared: what stands in its body by the path that leads there."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @classmethod
    def of(cls, request: Any) -> Sent:
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        address = f"{request.url.scheme}://{request.url.host}{request.url.raw_path.decode()}"
        kind = headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            headers["content-type"] = "multipart/form-data"
            return cls(request.method, address, headers, dict(parts_of(kind, request.content)))
        if kind == "application/json" and request.content:  # theirs say so of polls too
            return cls(request.method, address, headers, dict(leaves_of(json.loads(request.content))))
        return cls(request.method, address, headers, {"": request.content} if request.content else {})


def leaves_of(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves_of(inner, f"{place}.{name}" if place else name)
    else:
        yield place, value


def parts_of(kind: str, content: bytes) -> Iterator[tuple[str, Any]]:
    head = f"content-type: {kind}\r\n\r\n".encode()
    for part in BytesParser(policy=HTTP).parsebytes(head + content).iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if part.get_filename():
            yield f"{name}.filename", part.get_filename()
            yield f"{name}.type", part.get_content_type()
        yield str(name), json.loads(value) if value.startswith(b"{") else value


def differences(ours: list[Sent], other: list[Sent]) -> set[str]:
    """Where the first request to the provider differs, and whether those before and after it do."""
    before, mine, after = split(ours)
    before_theirs, hers, after_theirs = split(other)
    found = {name for name in ("method", "url") if getattr(mine, name) != getattr(hers, name)}
    for part in ("headers", "body"):
        here, there = getattr(mine, part), getattr(hers, part)
        found |= {
            f"{part}.{name}" for name in here.keys() | there.keys() if here.get(name, ...) != there.get(name, ...)
        }
    found |= {"before"} if brief(before) != brief(before_theirs) else set()
    return found | ({"after"} if brief(after) != brief(after_theirs) else set())


def split(sent: list[Sent]) -> tuple[list[Sent], Sent, list[Sent]]:
    first = next(place for place, request in enumerate(sent) if request.method == "POST")
    return sent[:first], sent[first], sent[first + 1 :]


def brief(sent: list[Sent]) -> list[tuple[str, str, str | None, Mapping[str, Any]]]:
    return [(request.method, request.url, request.headers.get("authorization"), request.body) for request in sent]


async def by_them(case: Case, folder: Path) -> tuple[list[Sent], Any]:
    network = Network(case, theirs.their_httpx)
    arguments = arguments_of(case, folder)
    if case.task == "automatic-speech-recognition":
        extra = arguments.pop("extra_body", {})
        arguments = {"audio": arguments.pop("audio"), "extra_body": {**arguments, **extra}}
    told = {"base_url": ENDPOINT} if case.access == "endpoint" else {"provider": case.provider}
    model = {} if case.access == "endpoint" else {"model": MODEL}
    streamed = {"stream": True} if case.asked == "stream" else {}
    with theirs.their_network(network), patch("time.sleep"):
        client = theirs.AsyncInferenceClient(token=HF if case.access == "routed" else OWN, **told)
        result = await getattr(client, case.task.replace("-", "_"))(**model, **streamed, **arguments)
        await client.close()
    return network.sent, result


async def by_us(case: Case, folder: Path) -> tuple[list[Sent], Any]:
    network = Network(case, httpx)
    told: dict[str, Any] = {"provider": case.provider, "model": MODEL}
    match case.access:
        case "routed":
            told["token"] = HF
        case "own key":
            told["keys"] = {case.provider: OWN}
        case "endpoint":
            told = {"base_url": ENDPOINT, "token": OWN}
    async with Client(http_client=httpx.AsyncClient(transport=httpx.MockTransport(network)), **told) as client:
        arguments = arguments_of(case, folder)
        if case.asked == "stream":
            return network.sent, await client.text_generation_stream(**arguments).final()
        return network.sent, await getattr(client, case.task.replace("-", "_"))(**arguments)


def arguments_of(case: Case, folder: Path) -> dict[str, Any]:
    sample = SAMPLES[case.task]
    inputs = dict(sample.inputs)
    for name in case.media:
        content, filename = MEDIA[name]
        (folder / filename).write_bytes(content)
        inputs[name] = {"address": f"{FILES}/{filename}", "path": str(folder / filename)}.get(case.asked, content)
    if case.asked == "everything":
        return {**inputs, **sample.parameters}
    return {**inputs, "extra_body": MORE} if case.asked == "more" else inputs


def agree(ours: Any, other: Any) -> bool:
    """Whether all that their result holds is in ours too."""
    match other:
        case PIL.Image.Image():
            return ours.pil().tobytes() == other.tobytes()
        case bytes():
            return ours.content == other
        case np.ndarray():
            return np.array_equal(ours.numpy(), other)
        case {"generated_text": text}:
            return ours.generated_text == text
        case dict():
            ours = ours[0] if isinstance(ours, list) else ours  # one answer to a question, where ours may be several
            told = {name: value for name, value in other.items() if value is not None}
            return all(agree(named(ours, name), value) for name, value in told.items())
        case list():
            return len(ours) == len(other) and all(map(agree, ours, other))
        case str() if hasattr(ours, "generated_text"):
            return ours.generated_text == other
        case _:
            return ours == other


def named(ours: Any, name: str) -> Any:
    if name in {"blob", "content_type"}:
        return ours.audio if name == "blob" else ours.audio.media_type
    return ours.get(name) if isinstance(ours, dict) else getattr(ours, name)


async def both(case: Case, folder: Path) -> Any:
    return await by_us(case, folder), await by_them(case, folder)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_requests_and_result_are_the_same_or_differ_as_intended(
    case: Case, tmp_path: Path, pauses: list[float]
) -> None:
    """All requests agree, in order, but for what INTENDED says; and what their result holds, ours holds too."""
    (ours, result), (other, their_result) = asyncio.run(both(case, tmp_path))
    found, intended = differences(ours, other), intended_in(case)
    if "body" in intended:
        found = {"body" if where.startswith("body.") else where for where in found}
    assert found == intended
    assert case.asked == "stream" or agree(result, their_result)
    assert pauses == [] or len(ours) > 2


@pytest.mark.parametrize("entry", INTENDED, ids=lambda entry: f"{entry.where[0]}: {entry.why}")
def test_every_intention_has_its_case(entry: Intended) -> None:
    """An entry that no case is about says nothing."""
    assert any(entry.when(case) for case in CASES)


def test_every_pair_of_theirs_is_ours() -> None:
    """A task that huggingface_hub learns at some provider fails here until we know it too."""
    assert set(PAIRS) <= OURS
    assert len(PAIRS) >= 55


def test_the_comparison_notices() -> None:
    """A request that differs in any part, or is missing, and a result that lacks something, are seen to differ."""
    look = Sent("GET", f"{FILES}/a.png", {}, {})
    ours = Sent("POST", "https://a.invalid", {"accept": "*/*"}, dict(leaves_of({"a": {"b": 1, "c": {}}, "d": [1]})))
    assert differences([look, ours, look], [look, ours, look]) == set()
    other = Sent("POST", "https://b.invalid", {}, {"a.b": 2, "d": [1]})
    assert differences([look, ours], [other, look]) == {
        *("url", "headers.accept", "body.a.b", "body.a.c"),
        *("before", "after"),
    }
    assert agree([{"a": 1, "b": 2}], [{"a": 1}])
    for result, theirs_is in (([{"a": 1}], [{"a": 2}]), ([], [{"a": 1}]), ([{}], [{"a": 1}])):
        assert not agree(result, theirs_is)


def test_a_form_is_taken_apart() -> None:
    """Fields and files of a form are compared by their names."""
    head = 'b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\ncontent-type: audio/mpeg\r\n\r\n'
    content = f'--{head}ID3\r\n--b\r\ncontent-disposition: form-data; name="n"\r\n\r\n1\r\n--b--\r\n'.encode()
    assert dict(parts_of("multipart/form-data; boundary=b", content)) == {
        "file.filename": "a.mp3",
        "file.type": "audio/mpeg",
        "file": b"ID3",
        "n": b"1",
    }
