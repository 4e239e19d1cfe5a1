"""The recordings that lie beside the project, and a client that is answered by one of them.

They are no part of the project; without them, the tests that replay them are skipped.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfclient import Client
from hfclient.errors import (
    AuthenticationError,
    BadRequestError,
    ModelLoadingError,
    NotFoundError,
    NotSupportedError,
    ServerError,
    StatusError,
)

TAPES = Path(__file__).resolve().parents[2] / "shared" / "tapes"
HERE = [] if TAPES.is_dir() else [pytest.mark.skip(reason="the recorded exchanges are not here")]

ERRORS: dict[int, tuple[type[StatusError], ...]] = {
    400: (BadRequestError,),
    401: (AuthenticationError,),
    404: (NotFoundError,),
    421: (BadRequestError,),
    422: (BadRequestError, NotSupportedError),
    500: (ServerError,),
    503: (ModelLoadingError,),
}


def exchanges(pattern: str) -> list[Any]:
    found = [
        pytest.param(exchange, id=f"{path.stem.removesuffix('__conversational')}-{exchange['id'][:8]}")
        for path in sorted(TAPES.glob(pattern))
        for exchange in json.loads(path.read_text("utf-8"))
        if exchange["response"].get("body_recorded", True)
    ]
    return found or [pytest.param({}, id="none")]


def body_of(exchange: dict[str, Any]) -> bytes:
    response = exchange["response"]
    text = response.get("body_text")
    if text is None:
        return base64.b64decode(response["body_base64"])
    if not response["headers"]:  # by a recorder that kept the status and the body in base64
        return base64.b64decode(text)
    return str(text).encode()


class InPieces(httpx.AsyncByteStream):
    """A body cut at random, but every time in the same places."""

    def __init__(self, content: bytes, seed: str) -> None:
        dice = random.Random(seed)
        cuts = sorted(dice.sample(range(len(content)), min(len(content) - 1, dice.randint(0, 40)))) if content else []
        self._pieces = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def client_for(exchange: dict[str, Any], base_url: str = "https://tape.invalid/v1", **options: Any) -> Client:
    """A client that is given the recorded answer, cut in pieces, whatever it asks."""

    async def replay(_: httpx.Request) -> httpx.Response:
        response = exchange["response"]
        return httpx.Response(
            response["status"], headers=response["headers"], stream=InPieces(body_of(exchange), exchange["id"])
        )

    http_client = httpx.AsyncClient(transport=httpx.MockTransport(replay))
    return Client(base_url=base_url, http_client=http_client, retry=False, **options)


def words_of(exchange: dict[str, Any]) -> str:
    """What a recorded error says, by the simplest reading there is."""
    words = body_of(exchange).decode()
    try:
        payload = json.loads(words)
    except ValueError:
        return words
    said = payload.get("error") or payload.get("message") or payload["detail"]
    said = said["message"] if isinstance(said, dict) else said
    return said[0] if isinstance(said, list) else said
