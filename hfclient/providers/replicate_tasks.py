"""What Replicate is told for each task, and how a prediction's output is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar, cast

from hfclient.call import Call
from hfclient.flow import JSON, Fetch, Fetched, Flow, Response
from hfclient.media import Media, is_url
from hfclient.provider import Task
from hfclient.providers.adapters import repository_of, weights_of
from hfclient.providers.files import as_url, from_address, named_inputs
from hfclient.providers.openai_compatible import Body
from hfclient.providers.reading import at, first_of, items_of, unusable
from hfclient.providers.replicate import Collect, Write, prediction
from hfclient.providers.transcripts import transcript_in
from hfclient.route import Route
from hfclient.ticket import Ticket
from hfclient.types.files import Audio, File, Image, Video
from hfclient.types.raw import RawAnswer
from hfclient.types.text import Transcript

FileT = TypeVar("FileT", bound=File)


def _text(name: str) -> Write:
    """The text under this name."""

    def write(call: Call, route: Route) -> Flow[Body]:
        yield from ()  # nothing has to be loaded first
        return {name: call.inputs, **_adapter(call, route), **call.parameters}

    return write


def _media(*names: str, listed: tuple[str, ...] = ()) -> Write:
    """Media under each of these names, and in a list under the others: models differ in which of them they read."""

    def write(call: Call, route: Route) -> Flow[Body]:
        url = yield from as_url(call.inputs)
        media = {**dict.fromkeys(names, url), **{name: [url] for name in listed}}
        return {**media, **_adapter(call, route), **call.parameters}

    return write


def _names(call: Call, _: Route) -> Flow[Body]:
    return (yield from named_inputs(call))


def _adapter(call: Call, route: Route) -> Body:
    """Replicate finds the weights in the repository by itself."""
    is_lora = route.extras.get("adapter") == "lora" and weights_of(call, route) and call.task.endswith("to-image")
    return {"lora_weights": repository_of(call, route)} if is_lora else {}


def _file(kind: type[FileT]) -> Collect:
    def collect(_: Ticket, answer: JSON) -> Flow[FileT]:
        found = list(_addresses(at(answer, "output")))
        # Some models add files of another kind, such as a picture of the sound.
        fitting = [address for address in found if Media(address).kind == kind.kind]
        return (yield from from_address(kind, next(iter(fitting or found), None)))

    return collect


def _addresses(output: JSON, deepest: int = 3) -> Iterator[str]:
    """The addresses in an output: a string, a list, or an object."""
    if isinstance(output, str) and is_url(output):
        yield output
    elif deepest:
        inner = list(cast("Body", output).values()) if isinstance(output, dict) else items_of(output)
        for each in inner:
            yield from _addresses(each, deepest - 1)


def _transcript(_: Ticket, answer: JSON) -> Flow[Transcript]:
    output = at(answer, "output")
    if isinstance(output, list) and all(isinstance(piece, str) for piece in items_of(output)):
        output = "".join(items_of(output))  # text that came piece by piece
    found = Transcript(text=output) if isinstance(output, str) else transcript_in(first_of(output))
    if found is not None:
        return found
    if not at(first_of(output), "txt_file"):
        raise unusable(_reply(answer), "no transcript")
    fetched: Fetched = yield Fetch(at(first_of(output), "txt_file"))
    return Transcript(text=(fetched.content or b"").decode("utf-8", "replace"))


def _as_it_came(_: Ticket, answer: JSON) -> Flow[RawAnswer]:
    yield from ()
    reply = _reply(answer)
    return RawAnswer(reply.content, reply.media_type)


def _reply(answer: JSON) -> Response:
    """The prediction as it came, whether with the first answer or with a later one."""
    return Response(headers={"content-type": "application/json"}, content=json.dumps(answer).encode())


REPLICATE_TASKS: dict[str, Task] = {
    "automatic-speech-recognition": prediction(_media("audio"), _transcript),
    "image-to-image": prediction(_media("image", "input_image", listed=("images", "input_images")), _file(Image)),
    "text-to-image": prediction(_text("prompt"), _file(Image)),
    "text-to-speech": prediction(_text("text"), _file(Audio)),
    "text-to-video": prediction(_text("prompt"), _file(Video)),
}
REPLICATE_ANY_TASK = prediction(_names, _as_it_came, early=False)
