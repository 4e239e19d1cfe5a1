"""Hugging Face's own protocol, of hf-inference and of endpoints that serve one model: `inputs` and `parameters`.

Every task goes to one path. Text and what is told beside media travel as JSON; media that nothing is told about is the
body itself, streamed from disk where it lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

from hfclient.call import Call
from hfclient.errors import InputError
from hfclient.flow import JSON, Flow, Load, Request, Response, Several, json_or_none, post
from hfclient.media import Loaded, Media
from hfclient.provider import Task
from hfclient.providers.embeddings import batches_of, matched
from hfclient.providers.files import from_base64, from_body
from hfclient.providers.openai_compatible import Body, filled_path
from hfclient.providers.reading import (
    all_in,
    at,
    first_of,
    is_list,
    list_in,
    payload_of,
    read,
    read_all,
    refuse_error,
    unusable,
)
from hfclient.route import Route
from hfclient.types.base import Wire
from hfclient.types.embeddings import Embeddings
from hfclient.types.files import Audio, File, Image, Video
from hfclient.types.items import Items
from hfclient.types.labels import Answer, DetectedObject, Entity, FilledMask, Label, Segment, TableAnswer, Track
from hfclient.types.raw import RawAnswer
from hfclient.types.text import Caption, Summary, Transcript, Translation

WireT = TypeVar("WireT", bound=Wire)

Read: TypeAlias = Callable[[Response], Any]
Write: TypeAlias = "Callable[[Call], Body | Flow[Body | Media]]"  # a flow where media must be loaded first

# Text Embeddings Inference, which serves the embedding models, refuses longer lists unless it was set up for them.
LONGEST_BATCH = 32


def hf_tasks(path: str, *, pipeline: str = "") -> dict[str, Task]:
    """All tasks of hf-inference but chat and text generation at this path, in which `{model_id}` is filled in.

    Models that make embeddings do two tasks, so `pipeline`, followed by the task, is added to the path of those two.
    """
    similarity, features = (pipeline and pipeline + task for task in ("sentence-similarity", "feature-extraction"))
    return {
        **{name: _task(path, write, read_answer) for name, (write, read_answer) in _TASKS.items()},
        "sentence-similarity": _task(path + similarity, _sentences, _numbers),
        "feature-extraction": _embeddings(path + features),
    }


def further_tasks(path: str) -> dict[str, Task]:
    """What hf-inference does not serve, but an endpoint may: in the same protocol."""
    return {name: _task(path, write, read_answer) for name, (write, read_answer) in _FURTHER.items()}


def any_task(path: str) -> Task:
    """A task that has no function here: the inputs and parameters as they are, and the answer as it comes."""

    def run(call: Call, route: Route) -> Flow[RawAnswer]:
        body = (yield from _media(call)) if isinstance(call.inputs, Media) else _inputs(call)
        reply: Response = yield _request(filled_path(path, route), body)
        refuse_error(json_or_none(reply.content), reply, f"an answer to {call.task}")
        return RawAnswer(reply.content, reply.media_type)

    return Task(run)


def _task(path: str, write: Write, read_answer: Read) -> Task:
    # The picture without loss; left to itself, the server makes a JPEG of it.
    headers = {"accept": "image/png"} if read_answer is _picture else {}

    def run(call: Call, route: Route) -> Flow[Any]:
        written = write(call)
        body = (yield from written) if isinstance(written, Generator) else written
        reply: Response = yield _request(filled_path(path, route), body, headers)
        return read_answer(reply)

    return Task(run)


def _request(path: str, body: Body | Media, headers: Mapping[str, str] = MappingProxyType({})) -> Request:
    return post(path, headers=headers, **({"content": body} if isinstance(body, Media) else {"json": body}))


def _told(inputs: JSON, parameters: Mapping[str, Any]) -> Body:
    return {"inputs": inputs, **({"parameters": dict(parameters)} if parameters else {})}


def _inputs(call: Call) -> Body:
    return _told(call.inputs, call.arguments)


def _media(call: Call) -> Flow[Body | Media]:
    """The media alone, or in base64 beside what is told about it: as a body of its own it would come without that."""
    if not call.arguments:
        return cast("Media", call.inputs)
    loaded: Loaded = yield Load(call.inputs)
    return _told(loaded.base64(), call.arguments)


def _perhaps_media(call: Call) -> Flow[Body | Media]:
    """A picture, a prompt, or both: the task's function sees to it that one of them is there."""
    return {"parameters": call.arguments} if call.inputs is None else (yield from _media(call))


def _labelled_text(call: Call) -> Body:
    return _told(call.inputs["text"], {"candidate_labels": list(call.inputs["candidate_labels"]), **call.arguments})


def _labelled_image(call: Call) -> Flow[Body]:
    loaded: Loaded = yield Load(call.inputs["image"])
    return _told(loaded.base64(), {"candidate_labels": list(call.inputs["candidate_labels"]), **call.arguments})


def _question_about_image(call: Call) -> Flow[Body]:
    loaded: Loaded = yield Load(call.inputs["image"])
    return _told({"question": call.inputs["question"], "image": loaded.base64()}, call.arguments)


def _table(call: Call) -> Body:
    return _told({"data": call.inputs}, call.arguments)  # so it is recorded; the Python client's form is not


def _sentences(call: Call) -> Body:
    sentences = list(call.inputs["other_sentences"])
    return _told({"source_sentence": call.inputs["sentence"], "sentences": sentences}, call.arguments)


def _languages(call: Call) -> Body:
    if ("src_lang" in call.arguments) != ("tgt_lang" in call.arguments):
        raise InputError("translation takes src_lang and tgt_lang together.", advice="Give both, or neither.")
    return _told(call.inputs, call.arguments)


def _all(kind: type[WireT]) -> Read:
    return lambda reply: read_all(kind, payload_of(reply, f"a list of {kind.__name__}"), reply)


def _one(kind: type[WireT]) -> Read:
    return lambda reply: read(kind, first_of(payload_of(reply, f"a {kind.__name__}")), reply)


def _picture(reply: Response) -> Image:
    return from_body(Image, reply)


def _sound(reply: Response) -> Audio:
    return from_body(Audio, reply)


def _film(reply: Response) -> Video:
    return from_body(Video, reply)


def _labels(reply: Response) -> Items[Label]:
    """Labels with scores, or the older form of two lists side by side."""
    payload = payload_of(reply, "a list of Label")
    labels, scores = (at(first_of(payload), name) for name in ("labels", "scores"))
    if is_list(labels) and is_list(scores):
        if len(labels) != len(scores):
            raise unusable(reply, f"{len(labels)} labels with {len(scores)} scores")
        payload = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
    return read_all(Label, payload, reply)


def _segments(reply: Response) -> Items[Segment]:
    items = all_in(payload_of(reply, "a list of Segment"))
    return read_all(Segment, [_with_file(item, "mask", "mask", Image) for item in items], reply)


def _tracks(reply: Response) -> Items[Track]:
    if json_or_none(reply.content) is None:
        return Items([Track(audio=from_body(Audio, reply))])
    items = all_in(payload_of(reply, "a list of Track"))
    return read_all(Track, [_with_file(item, "blob", "audio", Audio) for item in items], reply)


def _with_file(item: JSON, name: str, field: str, kind: type[File]) -> JSON:
    """The item with the file that stands in it as base64 text."""
    if at(item, name) is None:
        return item
    fields = {key: value for key, value in cast("Body", item).items() if key != name}
    return {**fields, field: from_base64(kind, at(item, name), declared=fields.get("content-type"))}


def _numbers(reply: Response) -> Items[float]:
    return _plain_items(reply, "numbers", {int, float})


def _classes(reply: Response) -> Items[Any]:
    return _plain_items(reply, "classes", {int, float, str, bool})


def _plain_items(reply: Response, what: str, types: set[type]) -> Items[Any]:
    items = list_in(payload_of(reply, f"a list of {what}"), reply, what)
    if not all(type(each) in types for each in items):
        raise unusable(reply, f"no list of {what}")
    return Items(items)


def _embeddings(path: str) -> Task:
    def run(call: Call, route: Route) -> Flow[Embeddings]:
        batches, parameters = batches_of(call, LONGEST_BATCH)
        place = filled_path(path, route)
        # What is told stands beside the inputs here, not under "parameters".
        bodies = [{"inputs": batch, **parameters} for batch in batches]
        replies: list[Response] = yield Several(tuple(post(place, json=body) for body in bodies))
        parts = [_rows(batch, reply) for batch, reply in zip(batches, replies, strict=True)]
        return Embeddings.joined(parts)

    return Task(run)


def _rows(batch: JSON, reply: Response) -> Embeddings:
    """A row for each text; a lone text may be answered by the bare vectors of its tokens."""
    payload = payload_of(reply, "vectors")
    if isinstance(batch, str) and is_list(at(payload, 0)) and len(payload) > 1:
        payload = [payload]
    return matched(Embeddings.from_rows(payload), batch, reply)


_TASKS: dict[str, tuple[Write, Read]] = {
    "audio-classification": (_media, _all(Label)),
    "audio-to-audio": (_media, _tracks),
    "automatic-speech-recognition": (_media, _one(Transcript)),
    "document-question-answering": (_question_about_image, _all(Answer)),
    "fill-mask": (_inputs, _all(FilledMask)),
    "image-classification": (_media, _all(Label)),
    "image-segmentation": (_media, _segments),
    "image-to-image": (_media, _picture),
    "image-to-text": (_media, _one(Caption)),
    "object-detection": (_media, _all(DetectedObject)),
    "question-answering": (_inputs, _all(Answer)),
    "summarization": (_inputs, _one(Summary)),
    "table-question-answering": (_inputs, _one(TableAnswer)),
    "tabular-classification": (_table, _classes),
    "tabular-regression": (_table, _numbers),
    "text-classification": (_inputs, _all(Label)),
    "text-to-audio": (_inputs, _sound),
    "text-to-image": (_inputs, _picture),
    "text-to-speech": (_inputs, _sound),
    "token-classification": (_inputs, _all(Entity)),
    "translation": (_languages, _one(Translation)),
    "visual-question-answering": (_question_about_image, _all(Answer)),
    "zero-shot-classification": (_labelled_text, _labels),
    "zero-shot-image-classification": (_labelled_image, _labels),
}
_FURTHER: dict[str, tuple[Write, Read]] = {
    "image-text-to-image": (_perhaps_media, _picture),
    "image-text-to-video": (_perhaps_media, _film),
    "image-to-video": (_media, _film),
    "text-to-video": (_inputs, _film),
}
