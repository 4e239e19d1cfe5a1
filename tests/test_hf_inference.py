"""Hugging Face's own protocol, task by task: what is sent, what is read, and what is refused."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfclient import Client
from hfclient.call import Call
from hfclient.errors import BadRequestError, InputError, NoProviderError, ResponseError
from hfclient.flow import Load, Request, Response, Several
from hfclient.media import Loaded, Media
from hfclient.provider import Provider
from hfclient.providers.table import ENDPOINT, PROVIDERS
from hfclient.route import Route
from hfclient.tasks.anything import FUNCTIONS
from hfclient.tasks.arguments import form_of
from hfclient.types import Audio, Embeddings, Image, Items, Video
from hfclient.types.labels import Answer, Box, DetectedObject, Entity, FilledMask, Label, Segment, TableAnswer, Track
from hfclient.types.raw import RawAnswer
from hfclient.types.text import Caption, Summary, TextGeneration, Transcript, TranscriptChunk, Translation
from tests.flows import CHAT, HELLO, play, reply
from tests.internet import HF, MODEL, Internet, live
from tests.samples import ANSWERS, AUDIO, FLAC, IMAGE, LABELS, MP4, PNG, SAMPLES, TABLE, task_call

HF_INFERENCE = next(provider for provider in PROVIDERS if provider.name == "hf-inference")
MODELS = f"/models/{MODEL}"

# What goes into a request without parameters: the JSON, or the media as they are.
SENT: dict[str, Any] = {
    "audio-classification": FLAC,
    "audio-to-audio": FLAC,
    "automatic-speech-recognition": FLAC,
    "document-question-answering": {"inputs": {"question": "Which number?", "image": IMAGE}},
    "feature-extraction": {"inputs": ["a", "b"]},
    "fill-mask": {"inputs": "Paris is the <mask>."},
    "image-classification": PNG,
    "image-segmentation": PNG,
    "image-to-image": PNG,
    "image-to-text": PNG,
    "object-detection": PNG,
    "question-answering": {"inputs": {"question": "Where?", "context": "She lives in London."}},
    "sentence-similarity": {
        "inputs": {"source_sentence": "It is sunny.", "sentences": ["The sun shines.", "It rains."]}
    },
    "summarization": {"inputs": "The tower is tall."},
    "table-question-answering": {"inputs": {"table": TABLE, "query": "How many stars?"}},
    "tabular-classification": {"inputs": {"data": TABLE}},
    "tabular-regression": {"inputs": {"data": TABLE}},
    "text-classification": {"inputs": "I like you."},
    "text-generation": {"model": MODEL, "prompt": "Once upon a time"},
    "text-to-audio": {"inputs": "Rain on a tin roof"},
    "text-to-image": {"inputs": "a horse"},
    "text-to-speech": {"inputs": "Hello there."},
    "token-classification": {"inputs": "Sarah lives in London."},
    "translation": {"inputs": "Good morning"},
    "visual-question-answering": {"inputs": {"question": "What is it doing?", "image": IMAGE}},
    "zero-shot-classification": {"inputs": "Tomatoes are red.", "parameters": {"candidate_labels": ["food", "cars"]}},
    "zero-shot-image-classification": {"inputs": IMAGE, "parameters": {"candidate_labels": ["cat", "dog"]}},
}
TASKS = sorted(SENT)
PATHS = {
    "feature-extraction": f"{MODELS}/pipeline/feature-extraction",
    "sentence-similarity": f"{MODELS}/pipeline/sentence-similarity",
    "text-generation": f"{MODELS}/v1/completions",
}

LABELLED = [Label(label="happy", score=0.75), Label(label="sad", score=0.25)]

# What the answers to each task are read as.
RESULTS: dict[str, Any] = {
    "audio-classification": LABELLED,
    "audio-to-audio": [
        Track.model_validate({"label": "voice", "audio": Audio(FLAC, "audio/flac"), "content-type": "audio/flac"})
    ],
    "automatic-speech-recognition": Transcript(
        text="a man",
        chunks=(TranscriptChunk(text="a", timestamp=(0, 0.5)), TranscriptChunk(text="man", timestamp=(0.5, None))),
    ),
    "document-question-answering": [Answer(answer="us-001", score=0.6, start=16, end=16)],
    "feature-extraction": Embeddings.from_rows([[0.5, 1.0], [0.25, -2.0]]),
    "fill-mask": [FilledMask(score=0.1, token=5, token_str=" capital", sequence="Paris is the capital.")],
    "image-classification": LABELLED,
    "image-segmentation": [Segment(score=0.9, label="cat", mask=Image(PNG, "image/png"))],
    "image-to-image": Image(PNG, "image/png"),
    "image-to-text": Caption(generated_text="a giraffe "),
    "object-detection": [DetectedObject(score=0.9, label="cat", box=Box(xmin=1, ymin=2, xmax=3, ymax=4))],
    "question-answering": [Answer(score=0.9, start=13, end=19, answer="London")],
    "sentence-similarity": [0.9, 0.1],
    "summarization": Summary(summary_text="It is tall."),
    "table-question-answering": TableAnswer(
        answer="SUM > 4512", coordinates=((1, 1),), cells=("4512",), aggregator="SUM"
    ),
    "tabular-classification": [5, "good"],
    "tabular-regression": [270.5, 313],
    "text-classification": LABELLED,
    "text-generation": TextGeneration(
        generated_text=" there was", finish_reason="stop", details={"finish_reason": "stop"}
    ),
    "text-to-audio": Audio(FLAC, "audio/flac"),
    "text-to-image": Image(PNG, "image/png"),
    "text-to-speech": Audio(FLAC, "audio/flac"),
    "token-classification": [Entity(entity_group="PER", score=0.9, word="Sarah", start=0, end=5)],
    "translation": Translation(translation_text="Bonjour"),
    "visual-question-answering": [Answer(score=0.9, answer="2")],
    "zero-shot-classification": LABELLED,
    "zero-shot-image-classification": LABELLED,
}
FILES = {"image-to-image", "text-to-audio", "text-to-image", "text-to-speech"}
LISTS = {task for task, result in RESULTS.items() if isinstance(result, list)}


def answer_to(task: str) -> Response:
    payload = ANSWERS[task]
    return Response(200, {}, payload) if isinstance(payload, bytes) else reply(payload)


def ask(task: str, *outcomes: Any, at: Provider = HF_INFERENCE, call: Call | None = None, **arguments: Any) -> Any:
    """What a task's flow asks for, and gives; media that it asks for are loaded."""
    call = call or task_call(task, **(arguments or SAMPLES[task].inputs))
    model = None if at is ENDPOINT else MODEL
    task_of_it = at.tasks[task]
    route = Route(at, task_of_it, model, at.url)
    first = next(task_of_it.run(call, route))
    loaded = [first.media.read()] if isinstance(first, Load) else []
    steps, result = play(task_of_it.run(call, route), *loaded, *outcomes)
    return steps[len(loaded) :], result


def request_of(task: str, **arguments: Any) -> Request:
    """The one request that a task makes."""
    steps, _ = ask(task, *_answers(task, arguments), **arguments)
    (step,) = steps
    if isinstance(step, Several):
        (step,) = step.requests
    assert isinstance(step, Request)
    return step


def _answers(task: str, arguments: Any) -> list[Any]:
    response = answer_to(task)
    return [[response]] if task == "feature-extraction" else [response]


def read(task: str, response: Response, **arguments: Any) -> Any:
    """What an answer is read as."""
    return ask(task, [response] if task == "feature-extraction" else response, **arguments)[1]


# What is sent


def test_the_tasks_are_all_of_hf_inference() -> None:
    """What the two official clients ask hf-inference for, and no more."""
    assert set(HF_INFERENCE.tasks) == {*TASKS, CHAT}
    assert len(HF_INFERENCE.tasks) == 28


def test_the_samples_leave_nothing_out() -> None:
    """Every task function, and every parameter of it but the one that is about us, has a sample."""
    assert set(SAMPLES) == set(FUNCTIONS)
    for task, function in FUNCTIONS.items():
        (options,) = get_args(get_type_hints(function, localns={"Client": Client})["options"])
        form, sample = form_of(function), SAMPLES[task]
        assert tuple(sample.inputs) == form.inputs
        names = {*inspect.signature(function).parameters, *options.__annotations__}
        beside = {*form.inputs, *form.options, "client", "model", "options", "batch_size"}
        assert set(sample.parameters) == names - beside


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_one_request(task: str) -> None:
    """Posted to the model's path, JSON as it is documented, media alone as the body."""
    request = request_of(task)
    assert (request.method, request.url) == ("POST", None)
    assert request.path == PATHS.get(task, MODELS)
    sent = SENT[task]
    if isinstance(sent, bytes):
        assert request.content == Media(sent)
        assert request.json is None
    else:
        assert request.json == sent
        assert request.content is None


@pytest.mark.parametrize("task", [task for task in TASKS if SAMPLES[task].parameters and task != "text-generation"])
def test_parameters_are_sent_under_their_names(task: str) -> None:
    """Beside the inputs as `parameters`, at the root for vectors alone; media go in base64 then."""
    sample = SAMPLES[task]
    request = request_of(task, **sample.inputs, **sample.parameters)
    sent = SENT[task]
    if isinstance(sent, bytes):
        sent = {"inputs": Loaded.of(sent).base64()}
    if task == "feature-extraction":
        assert request.json == {**sent, **sample.parameters}
    else:
        assert request.json == {**sent, "parameters": {**sent.get("parameters", {}), **sample.parameters}}
    assert request.content is None


def test_a_text_is_generated_in_the_terms_of_openai() -> None:
    """Its tokens are counted in `max_tokens` there, and the text given back is an `echo`."""
    sample = SAMPLES["text-generation"]
    body = request_of("text-generation", **sample.inputs, **sample.parameters).json
    renamed = {"max_new_tokens": "max_tokens", "return_full_text": "echo"}
    expected = {renamed.get(name, name): value for name, value in sample.parameters.items()}
    assert body == {"model": MODEL, "prompt": "Once upon a time", **expected}


@pytest.mark.parametrize("task", [task for task in TASKS if task != "text-generation"])
def test_extra_body_goes_where_parameters_go(task: str) -> None:
    """What we have no name for is told beside what we have."""
    body = request_of(task, **SAMPLES[task].inputs, extra_body={"voice": {"pitch": 1}}).json
    assert (body if task == "feature-extraction" else body["parameters"])["voice"] == {"pitch": 1}


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_is_asked_for_without_loss(task: str) -> None:
    """The server chooses the format by `accept`; nothing else is asked for in a form of its own."""
    accepted = {"accept": "image/png"} if task in {"text-to-image", "image-to-image"} else {}
    assert request_of(task).headers == accepted


@pytest.mark.parametrize("languages", [{"src_lang": "en_XX"}, {"tgt_lang": "fr_XX"}])
def test_two_languages_or_none(languages: dict[str, str]) -> None:
    """A model that knows several needs both; that is told before anything is sent."""
    with pytest.raises(InputError, match="together"):
        ask("translation", text="Good morning", **languages)


def test_a_long_list_of_texts_is_sent_in_several_requests() -> None:
    """So many as the server takes at once, each with the parameters, and the rows in the order of the texts."""
    texts = [str(number) for number in range(70)]
    call = task_call("feature-extraction", text=texts, normalize=True)
    parts = [texts[:32], texts[32:64], texts[64:]]
    answers = [reply([[float(text), 0.5] for text in part]) for part in parts]
    [step], vectors = ask("feature-extraction", answers, call=call)
    assert [request.json for request in step.requests] == [{"inputs": part, "normalize": True} for part in parts]
    assert [row[0] for row in vectors.tolist()] == list(range(70))
    shorter = task_call("feature-extraction", text=texts[:3], batch_size=2)
    [step], _ = ask("feature-extraction", [reply([[1], [2]]), reply([[3]])], call=shorter)
    assert [request.json for request in step.requests] == [{"inputs": ["0", "1"]}, {"inputs": ["2"]}]


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0], [2.0], [3.0]], [1.0, 2.0]])
def test_vectors_that_are_too_few_or_too_many_are_refused(rows: Any) -> None:
    """Nobody could say which text they belong to."""
    with pytest.raises(ResponseError, match="vectors for 2 texts"):
        read("feature-extraction", reply(rows))


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        ([1.0, 2.0], (1, 2)),
        ([[1.0, 2.0]], (1, 2)),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], (1, 3, 2)),
        ([[[1.0, 2.0], [3.0, 4.0]]], (1, 2, 2)),
    ],
)
def test_one_text_has_one_row(rows: Any, shape: tuple[int, ...]) -> None:
    """Whether its vector comes bare or in a list, or those of its tokens do."""
    assert read("feature-extraction", reply(rows), text="a").shape == shape


# What is read


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_becomes_what_the_task_promises(task: str) -> None:
    """Every field of it, in the type that the function names."""
    result = read(task, answer_to(task))
    assert result == RESULTS[task]
    assert type(result) is (Items if task in LISTS else type(RESULTS[task]))


@pytest.mark.parametrize(
    "task", sorted(LISTS - {"sentence-similarity", "tabular-regression", "tabular-classification"})
)
def test_a_list_may_be_wrapped_or_one_alone(task: str) -> None:
    """Servers differ: a list in a list, or no list for a single item, is read as the list it stands for."""
    items = ANSWERS[task]
    items = items[0] if task == "text-classification" else items if isinstance(items, list) else [items]
    expected = RESULTS[task]
    assert read(task, reply(items)) == read(task, reply([items])) == expected
    assert read(task, reply(items[0])) == expected[:1]
    assert read(task, reply([items, items])) == [*expected, *expected]


@pytest.mark.parametrize("task", sorted(LISTS - {"audio-to-audio"}))
def test_nothing_found_is_a_result(task: str) -> None:
    """An empty list says that there is nothing: no entity, no object."""
    assert read(task, reply([])) == []


@pytest.mark.parametrize("task", [task for task in TASKS if task not in LISTS | FILES | {"feature-extraction"}])
def test_a_single_answer_may_stand_in_a_list(task: str) -> None:
    """Alone, in a list, or in two; the first where there are several."""
    payload = ANSWERS[task]
    one = payload[0] if isinstance(payload, list) else payload
    expected = RESULTS[task]
    assert read(task, reply(one)) == read(task, reply([one])) == read(task, reply([[one]])) == expected
    assert read(task, reply([one, {}])) == expected


@pytest.mark.parametrize("task", ["zero-shot-classification", "zero-shot-image-classification"])
@pytest.mark.parametrize("wrap", [lambda older: older, lambda older: [older]], ids=["alone", "in a list"])
def test_the_older_form_of_labels(task: str, wrap: Any) -> None:
    """Two lists side by side, as they are recorded; of different lengths they say nothing."""
    older = {"sequence": "Tomatoes are red.", "labels": ["food", "cars"], "scores": [0.75, 0.25]}
    assert read(task, reply(wrap(older))) == [Label(label="food", score=0.75), Label(label="cars", score=0.25)]
    with pytest.raises(ResponseError, match="2 labels with 1 scores"):
        read(task, reply(wrap({**older, "scores": [0.75]})))


def test_entities_on_their_own() -> None:
    """Without aggregation they come as `entity`, and slow tokenizers do not know where they stand."""
    item = {"entity": "I-PER", "score": 0.9, "index": 4, "word": "Sarah", "start": None, "end": None}
    [entity] = read("token-classification", reply([item]))
    assert (entity.label, entity.entity_group, entity.start) == ("I-PER", None, None)
    assert entity.index == 4


def test_an_answer_that_was_not_found_is_none() -> None:
    """A model that reads documents says null for nothing; an answer that says nothing at all is none."""
    assert read("document-question-answering", reply([{"answer": None}])) == [Answer(answer=None)]
    with pytest.raises(ResponseError, match="no Answer"):
        read("document-question-answering", reply([{"score": 0.5}]))


def test_null_stands_for_what_is_not_there() -> None:
    """Where a field may be missing, null is read as if it were."""
    nulls = {"answer": "1", "coordinates": None, "cells": None, "aggregator": None}
    assert read("table-question-answering", reply(nulls)) == TableAnswer(answer="1")
    transcript = {"text": "a", "chunks": [{"text": "a", "timestamp": None}]}
    assert read("automatic-speech-recognition", reply(transcript)).chunks == (TranscriptChunk(text="a"),)


def test_fields_that_nobody_promised_are_kept() -> None:
    """Whatever else a server says is there under its name."""
    transcript = read("automatic-speech-recognition", reply({"text": "a", "language": "en"}))
    assert transcript.language == "en"


@pytest.mark.parametrize(
    ("blob", "label", "media_type"),
    [
        (AUDIO, None, "audio/flac"),
        (AUDIO, "audio/x-flac", "audio/x-flac"),
        (f"data:audio/flac;base64,{AUDIO}", None, "audio/flac"),
        (AUDIO[:12] + "\n" + AUDIO[12:].rstrip("="), None, "audio/flac"),
        ("AAAA", "audio/L16", "audio/l16"),
    ],
)
def test_a_track_is_a_sound(blob: str, label: str | None, media_type: str) -> None:
    """In base64 of any layout, or a data: URI; its type is what the server says, or the bytes do."""
    item = {"blob": blob, **({"content-type": label} if label else {})}
    [track] = read("audio-to-audio", reply([item]))
    assert track.audio.media_type == media_type
    assert track.label == ""


@pytest.mark.parametrize("headers", [{"content-type": "audio/flac"}, {"content-type": ""}])
def test_one_track_may_be_the_body(headers: dict[str, str]) -> None:
    """Some models answer with the sound itself."""
    assert read("audio-to-audio", reply(FLAC, headers=headers)) == [Track(audio=Audio(FLAC, "audio/flac"))]


@pytest.mark.parametrize(
    ("task", "blob", "said"),
    [
        ("audio-to-audio", "not base64!", "empty, or no base64"),
        ("image-segmentation", "failed: no mask", "no base64"),
        ("audio-to-audio", "", "holds no audio"),
        ("audio-to-audio", {"url": "x"}, "holds no audio"),
        ("audio-to-audio", IMAGE, "is image/png"),
        ("image-segmentation", AUDIO, "is audio/flac"),
        ("image-segmentation", "\ud800", "no base64"),
        ("image-segmentation", "data:text/html,<html>\ud800", "a web page"),
        ("image-segmentation", 5, "holds no image"),
    ],
)
def test_what_is_no_file_within_an_answer_is_refused(task: str, blob: Any, said: str) -> None:
    """A mask that is no picture is worse than none."""
    name = "blob" if task == "audio-to-audio" else "mask"
    with pytest.raises(ResponseError, match=said) as caught:
        read(task, reply([{"label": "a", name: blob}]))
    assert caught.value.advice


# What is refused

NO_ANSWERS: dict[str, tuple[bytes, str]] = {
    "an error": (b'{"error": "CUDA out of memory"}', "application/json"),
    "errors": (b'{"error": ["CUDA out of memory", "sorry"]}', "application/json"),
    "an error in a list": (b'[{"error": "CUDA out of memory"}]', "application/json"),
    "a web page": (b"<!DOCTYPE html><title>Sign in</title>", "text/html"),
    "an unlabelled web page": (b"\n<html><title>Sign in</title></html>", ""),
    "a text": (b"upstream connect error", "text/plain"),
    "nothing": (b"", "application/json"),
    "null": (b"null", "application/json"),
    "an empty object": (b"{}", "application/json"),
    "another object": (b'{"foo": {"bar": 1}}', "application/json"),
    "null in a list": (b"[null]", "application/json"),
    "JSON text": (b'"hello"', "application/json"),
    "texts": (b'[["hello"]]', "application/json"),
    "cut JSON": (b'[{"label": "hap', "application/json"),
    "deep JSON": (b"[" * 100_000, "application/json"),
}


@pytest.mark.parametrize("task", [CHAT, *TASKS])
@pytest.mark.parametrize("content", NO_ANSWERS)
def test_what_is_no_answer_is_an_error(task: str, content: str) -> None:
    """Whatever came with success: an error that says what it is, what came, and what to do."""
    body, media_type = NO_ANSWERS[content]
    response = reply(body, headers={"content-type": media_type})
    call = Call(CHAT, HELLO, model=MODEL) if task == CHAT else None
    with pytest.raises(ResponseError) as caught:
        ask(task, [response] if task == "feature-extraction" else response, call=call)
    assert caught.value.advice
    assert caught.value.status == 200 or "embeddings" in caught.value.message
    if "error" in content:
        assert "CUDA out of memory" in caught.value.message


@pytest.mark.parametrize("task", sorted(FILES))
@pytest.mark.parametrize("content", [PNG, FLAC, MP4])
def test_a_file_of_another_kind_is_refused(task: str, content: bytes) -> None:
    """A picture is no sound, whatever it is called; films and sounds may share a container."""
    kind = Image if "image" in task else Audio
    response = reply(content, headers={"content-type": f"{kind.__name__.lower()}/x-raw"})
    if (kind is Image) == (content == PNG):
        assert type(read(task, response)) is kind
    else:
        with pytest.raises(ResponseError, match=f"where {kind.__name__.lower()} was due"):
            read(task, response)


@pytest.mark.parametrize("label", ["audio/l16", "application/octet-stream", ""])
def test_bytes_that_nobody_knows_are_kept(label: str) -> None:
    """Raw samples begin with anything, a bracket too."""
    sound = read("text-to-speech", reply(b"[\xff\xfe\x01", headers={"content-type": label}))
    assert (sound.content, sound.media_type) == (b"[\xff\xfe\x01", label or "application/octet-stream")


def test_an_answer_by_another_kind_of_model_is_refused() -> None:
    """A classifier, asked to write down what is said, says no text: so it is recorded."""
    with pytest.raises(ResponseError, match="no Transcript: text"):
        read("automatic-speech-recognition", reply([{"score": 0.9, "label": "male"}]))


@pytest.mark.parametrize("payload", [[True], ["0.5"], [[0.5]], [None]])
def test_only_numbers_are_numbers(payload: Any) -> None:
    """True is none, nor is a text that looks like one."""
    with pytest.raises(ResponseError, match="no list of numbers"):
        read("sentence-similarity", reply(payload))


FIELDS = [
    *("label", "labels", "score", "scores", "answer", "mask", "blob", "text", "chunks", "error", "word", "entity"),
    *("box", "sequence", "choices", "message", "generated_text", "embedding"),
]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([AUDIO, IMAGE, "error"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=60, deadline=None)
@given(payload=JSON_VALUES)
def test_any_json_is_read_or_refused(task: str, payload: Any) -> None:
    """Whatever a provider sends, it is a result or a typed error, and nothing else is raised."""
    try:
        result = read(task, reply(payload))
    except ResponseError:
        return
    assert type(result) is (Items if task in LISTS else type(RESULTS[task]))


@given(st.binary(max_size=40), st.sampled_from(["", "image/png", "audio/wav", "application/json", "text/html"]))
@settings(deadline=None)
def test_any_bytes_are_a_file_or_refused(content: bytes, label: str) -> None:
    """A file is given out as it came, or not at all."""
    for task in sorted(FILES):
        try:
            file = read(task, reply(content, headers={"content-type": label}))
        except ResponseError:
            continue
        assert file.content == content
        assert content


# Tasks without a function


def any_answer(inputs: Any, response: Response, **parameters: Any) -> tuple[list[Any], Any]:
    assert HF_INFERENCE.otherwise is not None
    call = Call("image-feature-extraction", inputs, model=MODEL, parameters=parameters, raw=True)
    return play(HF_INFERENCE.otherwise.run(call, Route(HF_INFERENCE, HF_INFERENCE.otherwise, MODEL, "")), response)


def test_a_task_without_a_function_goes_out_and_comes_back_as_it_is() -> None:
    """Inputs and parameters in the protocol's form, the answer untouched."""
    [request], answer = any_answer({"a": 1}, reply([1, 2]), k=2)
    assert (request.path, request.json) == (MODELS, {"inputs": {"a": 1}, "parameters": {"k": 2}})
    assert isinstance(answer, RawAnswer)
    assert answer.json() == [1, 2]
    [request], answer = any_answer(Media(PNG), reply(FLAC, headers={"content-type": "audio/flac"}))
    assert request.content == Media(PNG)
    assert (answer.content, answer.media_type) == (FLAC, "audio/flac")


def test_an_error_is_no_answer_to_any_task() -> None:
    """With success or without, it is raised."""
    with pytest.raises(ResponseError, match="CUDA out of memory") as caught:
        any_answer("a", reply({"error": "CUDA out of memory"}))
    assert "image-feature-extraction" in caught.value.advice


# Addresses of one's own

ALONE = sorted(set(ENDPOINT.tasks) - {CHAT, "text-generation"})
FURTHER = {"image-text-to-image", "image-text-to-video", "image-to-video", "text-to-video"}


@pytest.mark.parametrize("task", ALONE)
def test_an_endpoint_takes_every_task_at_its_root(task: str) -> None:
    """No model is named, and nothing is added to the path: the address is the model's."""
    response = reply(MP4 if "video" in task else PNG) if task in FURTHER else answer_to(task)
    [step], result = ask(task, [response] if task == "feature-extraction" else response, at=ENDPOINT)
    [request] = step.requests if isinstance(step, Several) else [step]
    assert request.path == ""
    if task in FURTHER:
        assert type(result) is (Video if "video" in task else Image)
    else:
        assert request.json == SENT[task] or request.content == Media(SENT[task])
        assert result == RESULTS[task]


@pytest.mark.parametrize("task", ["image-text-to-image", "image-text-to-video"])
def test_a_picture_a_prompt_or_both(task: str) -> None:
    """What is not there is not sent; with neither, nothing is."""
    made = reply(MP4 if "video" in task else PNG)
    [request], _ = ask(task, made, at=ENDPOINT, image=None, prompt="a cat", seed=1)
    assert request.json == {"parameters": {"prompt": "a cat", "seed": 1}}
    [request], _ = ask(task, made, at=ENDPOINT, image=PNG, prompt="a cat")
    assert request.json == {"inputs": IMAGE, "parameters": {"prompt": "a cat"}}
    with pytest.raises(InputError, match="neither image nor prompt"):
        ask(task, at=ENDPOINT, image=None)


@pytest.mark.anyio
@pytest.mark.parametrize("mapping", [None, {}, {"groq": live("llama-groq")}, 500], ids=str)
async def test_the_hub_need_not_know_the_model(mapping: Any) -> None:
    """hf-inference goes by the Hub's own names, so a model that is listed nowhere is asked for all the same."""
    with Internet() as internet:
        if mapping == 500:
            internet.at("hub", 500)
        elif mapping is not None:
            internet.serves(MODEL, mapping)
        internet.at("router/hf-inference", httpx.Response(200, json=LABELS))
        async with Client(HF, provider="hf-inference", retry=False) as client:
            labels = await client.text_classification("I like you.", model=MODEL)
        assert labels[0].label == "happy"
        assert labels.meta.provider == "hf-inference"
        assert internet.sent("router/hf-inference").url.path == f"/hf-inference{MODELS}"


@pytest.mark.anyio
async def test_a_model_for_another_task_is_not_asked() -> None:
    """Where the Hub does list it, it knows what for."""
    with Internet() as internet:
        internet.serves(MODEL, **{"hf-inference": live(MODEL, "translation")})
        async with Client(HF, provider="hf-inference") as client:
            with pytest.raises(NoProviderError, match="translation"):
                await client.text_classification("I like you.", model=MODEL)


@pytest.mark.anyio
async def test_media_alone_are_streamed_from_disk(tmp_path: Path) -> None:
    """The body is the file, its type and its length are told beforehand; with parameters it is JSON."""
    recording = tmp_path / "talk.flac"
    recording.write_bytes(FLAC + bytes(600_000))
    with Internet() as internet:
        internet.at("router/hf-inference", httpx.Response(200, json={"text": "a man"}))
        async with Client(HF, provider="hf-inference", model=MODEL) as client:
            await client.automatic_speech_recognition(recording)
            await client.automatic_speech_recognition(recording, return_timestamps=True)
    alone, told = [request for place, request in internet.requests if place != "hub"]
    assert (alone.headers["content-type"], alone.headers["content-length"]) == ("audio/flac", "600020")
    assert alone.content == recording.read_bytes()
    assert json.loads(told.content)["parameters"] == {"return_timestamps": True}


@pytest.mark.anyio
async def test_an_address_of_ones_own_is_all_there_is_to_say() -> None:
    """No model, no path, no Hub: the task goes to the address as it is given, its query too."""
    with Internet() as internet:
        internet.at("mine.invalid", httpx.Response(200, json=LABELS), httpx.Response(200, content=PNG))
        async with Client.endpoint("https://mine.invalid/some/place?key=1", "hf_fake_mine_0004") as client:
            labels = await client.image_classification(PNG)
            image = await client.text_to_image("a horse")
    assert labels[0].label == "happy"
    assert image.dimensions == (2, 1)
    assert internet.asked == ["mine.invalid", "mine.invalid"]
    first, second = [request for _, request in internet.requests]
    assert str(first.url) == str(second.url) == "https://mine.invalid/some/place?key=1"
    assert first.headers["authorization"] == "Bearer hf_fake_mine_0004"
    assert first.content == PNG
    assert json.loads(second.content) == {"inputs": "a horse"}


@pytest.mark.anyio
async def test_the_result_of_one_call_goes_into_the_next() -> None:
    """The picture that was made is classified, as it is and from where it was saved."""
    with Internet() as internet:
        internet.at("mine.invalid", httpx.Response(200, content=PNG), httpx.Response(200, json=LABELS))
        async with Client.endpoint("https://mine.invalid") as client:
            image = await client.text_to_image("a horse")
            await client.image_classification(image)
    assert internet.requests[1][1].content == PNG


@pytest.mark.anyio
async def test_a_refusal_keeps_the_words_of_the_server() -> None:
    """An error status is the typed error that it says."""
    with Internet() as internet:
        internet.at(
            "router/hf-inference", httpx.Response(400, json={"error": ["Error in `inputs`: Malformed soundfile"]})
        )
        async with Client(HF, provider="hf-inference", model=MODEL) as client:
            with pytest.raises(BadRequestError, match="Malformed soundfile"):
                await client.audio_classification(b"???")
