"""Embeddings as OpenAI's API has them, and long lists of texts in the batches that providers take."""

from __future__ import annotations

from hfclient.call import Call
from hfclient.errors import InputError
from hfclient.flow import JSON, Flow, Response, Several, post
from hfclient.provider import Task
from hfclient.providers.openai_compatible import Body, Change, body_of, filled_path
from hfclient.providers.reading import payload_of, unusable
from hfclient.route import Route
from hfclient.types.embeddings import Embeddings

EMBEDDINGS_PATH = "/v1/embeddings"
LONGEST_BATCH = 1024  # so DeepInfra says; no lower limit is known of the others


def embeddings(path: str = EMBEDDINGS_PATH, *changes: Change, longest_batch: int = LONGEST_BATCH) -> Task:
    """OpenAI's embeddings at this path."""

    def run(call: Call, route: Route) -> Flow[Embeddings]:
        batches, parameters = batches_of(call, longest_batch)
        bodies = [body_of(route, {"input": batch}, parameters, changes) for batch in batches]
        replies: list[Response] = yield Several(tuple(post(filled_path(path, route), json=body) for body in bodies))
        parts = [
            matched(Embeddings.from_openai(payload_of(reply, "embeddings")), batch, reply)
            for batch, reply in zip(batches, replies, strict=True)
        ]
        return Embeddings.joined(parts)

    return Task(run)


def matched(vectors: Embeddings, batch: JSON, reply: Response) -> Embeddings:
    """The vectors, if there is one for each text: otherwise nobody knows which is whose."""
    texts = 1 if isinstance(batch, str) else len(batch)
    if len(vectors) != texts:
        raise unusable(reply, f"{len(vectors)} vectors for {texts} texts")
    return vectors


def batches_of(call: Call, longest: int) -> tuple[list[JSON], Body]:
    """The texts in lists of a length the provider takes, and what else is told; one text alone stays as it is."""
    parameters = call.arguments
    size = parameters.pop("batch_size", longest)
    if not isinstance(size, int) or size < 1:
        raise InputError(f"batch_size={size!r} is not a whole number above 0.")
    if isinstance(call.inputs, str):
        return [call.inputs], parameters
    texts = list(call.inputs)
    return [texts[start : start + size] for start in range(0, len(texts), size)], parameters
