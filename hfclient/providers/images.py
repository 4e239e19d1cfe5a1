"""Pictures as OpenAI's API makes them, with each provider's quirks as small changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hfclient.call import Call
from hfclient.flow import Flow, Response, post
from hfclient.media import Media
from hfclient.provider import Task
from hfclient.providers.files import as_url, from_address, from_base64
from hfclient.providers.openai_compatible import Body, Change, body_of, filled_path
from hfclient.providers.reading import at, payload_of, unusable
from hfclient.route import Route
from hfclient.types.files import Image

IMAGES_PATH = "/v1/images/generations"


def images(path: str = IMAGES_PATH, *changes: Change) -> Task:
    """A picture from a text or, where the call has one, from a picture, which stands in the body as `image_url`."""

    def run(call: Call, route: Route) -> Flow[Image]:
        inputs: Body = {"prompt": call.inputs}
        if isinstance(call.inputs, Media):
            # Where nothing is said of the picture, the prompt is empty: Together refuses requests without any.
            inputs = {"prompt": "", "image_url": (yield from as_url(call.inputs))}
        body = body_of(route, inputs, call.arguments, changes)
        reply: Response = yield post(filled_path(path, route), json=body)
        return (yield from _picture(reply))

    return Task(run)


def sized(body: Body) -> Body:
    """OpenAI's API takes width and height as one: `size="1024x768"`."""
    match body:
        case {"width": int(width), "height": int(height), **rest}:
            return {**rest, "size": rest.get("size", f"{width}x{height}")}
        case _:
            return body


def measured(body: Body) -> Body:
    """The provider takes width and height by themselves, not within `target_size`."""
    size: Any = body.get("target_size")
    if not isinstance(size, Mapping):
        return body
    rest = {name: value for name, value in body.items() if name != "target_size"}
    return {**rest, **cast("Body", size), **rest}


def referring(body: Body) -> Body:
    """The picture goes into `reference_images`, which all of Together's models take but FLUX.1 Kontext."""
    model = str(body.get("model")).lower()
    if "image_url" not in body or ("flux.1" in model and "kontext" in model):
        return body
    rest = {name: value for name, value in body.items() if name != "image_url"}
    return {**rest, "reference_images": rest.get("reference_images", [body["image_url"]])}


def _picture(reply: Response) -> Flow[Image]:
    payload = payload_of(reply, "a picture")
    first = at(payload, "data", 0) or at(payload, "images", 0)
    if packed := at(first, "b64_json") or at(first, "image"):  # the latter of each is Hyperbolic's
        return from_base64(Image, packed)
    if url := at(first, "url"):
        return (yield from from_address(Image, url))
    raise unusable(reply, "no picture: it holds neither base64 nor an address")
