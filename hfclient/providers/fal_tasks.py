"""What fal is told for each task, and how its results are read. Media travels as addresses, both ways."""

from __future__ import annotations

from typing import Any

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response
from hfclient.provider import Task
from hfclient.providers.adapters import weights_of
from hfclient.providers.fal import Write, at_once, queued
from hfclient.providers.files import as_url, from_address, named_inputs
from hfclient.providers.openai_compatible import Body
from hfclient.providers.reading import at, unusable
from hfclient.providers.transcripts import transcript_in
from hfclient.route import Route
from hfclient.types.files import Audio, Image, Video
from hfclient.types.items import Items
from hfclient.types.labels import Segment, Track
from hfclient.types.raw import RawAnswer
from hfclient.types.text import Transcript

# The one model for LoRA weights that has to be told what they were made for.
LORA = "fal-ai/lora"
LORA_BASE = "stabilityai/stable-diffusion-xl-base-1.0"

# fal takes sound only under a name that Python's mimetypes has a suffix for, and then looks at the bytes. These it
# refuses under their usual names ("Unsupported data URL"); anything else passes as audio/mpeg.
_SOUNDS = {
    **dict.fromkeys(("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"), "audio/x-wav"),
    **dict.fromkeys(("audio/webm", "video/webm"), "video/webm"),
}


def _text(name: str) -> Write:
    """The text under this name."""

    def write(call: Call, _: Route) -> Flow[Body]:
        yield from ()  # nothing has to be loaded first
        return {name: call.inputs, **call.parameters}

    return write


def _prompt(call: Call, route: Route) -> Flow[Body]:
    yield from ()
    return {"prompt": call.inputs, **_adapter(call, route), **_sized(call)}


def _image(*, listed: bool = False) -> Write:
    """A picture, if there is one; `listed` for models that want it in a list, as some of the newer ones do."""

    def write(call: Call, route: Route) -> Flow[Body]:
        image: Body = {}
        if call.inputs is not None:
            url = yield from as_url(call.inputs)
            image = {"image_url": url, **({"image_urls": [url]} if listed else {})}
        return {**image, **_adapter(call, route), **_sized(call)}

    return write


def _image_for_mask(call: Call, _: Route) -> Flow[Body]:
    # The mask comes in the result itself, which saves a download.
    return {"image_url": (yield from as_url(call.inputs)), "sync_mode": True, **call.parameters}


def _sound(call: Call, _: Route) -> Flow[Body]:
    return {"audio_url": (yield from as_url(call.inputs, relabelled=_name_of_sound)), **call.parameters}


def _names(call: Call, _: Route) -> Flow[Body]:
    return (yield from named_inputs(call))


def _name_of_sound(media_type: str) -> str:
    return _SOUNDS.get(media_type.partition(";")[0].strip().lower(), "audio/mpeg")


def _adapter(call: Call, route: Route) -> Body:
    # Weights of no stated kind are taken for LoRA's, as the Python client does.
    weights = weights_of(call, route) if route.extras.get("adapter") in {None, "lora"} else None
    if weights is None:
        return {}
    base = {"model_name": LORA_BASE} if route.model_id == LORA and call.task == "text-to-image" else {}
    return {"loras": [{"path": weights, "scale": 1}], **base}


def _sized(call: Call) -> Body:
    """The parameters, the size of a picture under fal's name for it."""
    match dict(call.parameters):
        case {"width": width, "height": height, **rest} if call.task == "text-to-image":
            return {**rest, "image_size": {"width": width, "height": height}}
        case {"target_size": size, **rest} if call.task.endswith("to-image"):
            return {**rest, "image_size": size}
        case parameters:
            return parameters


def _picture(payload: JSON, _: Response) -> Flow[Image]:
    return (yield from from_address(Image, at(payload, "images", 0, "url") or at(payload, "image", "url")))


def _film(payload: JSON, _: Response) -> Flow[Video]:
    return (yield from from_address(Video, at(payload, "video", "url")))


def _audio(payload: JSON, _: Response) -> Flow[Audio]:
    return (yield from from_address(Audio, at(payload, "audio_file", "url") or at(payload, "audio", "url")))


def _tracks(payload: JSON, reply: Response) -> Flow[Items[Track]]:
    audio = yield from _audio(payload, reply)
    return Items([Track(audio=audio, label=str(at(payload, "text") or "speech"))])


def _segments(payload: JSON, _: Response) -> Flow[Items[Segment]]:
    # There is one mask. fal names it no more than it scores it, so the label is the official clients' own.
    mask = yield from from_address(Image, at(payload, "image", "url"))
    return Items([Segment(label="mask", mask=mask)])


def _transcript(payload: JSON, reply: Response) -> Flow[Transcript]:
    yield from ()
    if transcript := transcript_in(payload):
        return transcript
    raise unusable(reply, "no transcript")


def _as_it_came(_: JSON, reply: Response) -> Flow[Any]:
    yield from ()
    return RawAnswer(reply.content, reply.media_type)


FAL_TASKS: dict[str, Task] = {
    "audio-to-audio": queued(_sound, _tracks),
    "automatic-speech-recognition": at_once(_sound, _transcript),
    "image-segmentation": queued(_image_for_mask, _segments),
    "image-text-to-image": queued(_image(listed=True), _picture),
    "image-text-to-video": queued(_image(), _film),
    "image-to-image": queued(_image(listed=True), _picture),
    "image-to-video": queued(_image(), _film),
    "text-to-audio": queued(_text("prompt"), _audio),
    "text-to-image": queued(_prompt, _picture),
    "text-to-speech": at_once(_text("text"), _audio),
    "text-to-video": queued(_prompt, _film),
}
FAL_ANY_TASK = queued(_names, _as_it_came)
