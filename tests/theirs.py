"""huggingface_hub over a mock network: the other client, to compare with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("huggingface_hub.inference._providers", reason="huggingface_hub has no inference client any more")

from huggingface_hub import AsyncInferenceClient
from huggingface_hub.inference._providers import PROVIDERS, _common, hf_inference
from huggingface_hub.utils import _http

__all__ = ["HEADERS", "HF", "MODEL", "OWN", "PROVIDERS", "AsyncInferenceClient", "their_httpx", "their_network"]

their_httpx: Any = getattr(_http, "httpx2", None) or getattr(_http, "httpx", None)
if their_httpx is None or not hasattr(_http, "set_async_client_factory"):
    pytest.skip("huggingface_hub makes its connections in a way unknown here", allow_module_level=True)

HF = "hf_fake_0123456789"
OWN = "own_fake_0123456789"
MODEL = "org/model"
HEADERS = (
    *("authorization", "content-type", "accept", "x-hf-bill-to", "x-source-channel", "accept-language"),
    *("prefer", "x-mine"),
)

Handle = Callable[[Any], Any]


@contextmanager
def their_network(handle: Handle) -> Iterator[None]:
    """Their requests, those made in threads too, are answered by `handle`; nothing is remembered afterwards."""

    def answered(request: Any) -> Any:
        # What they ask the Hub once per process, to describe themselves, is not about the call.
        of_the_call = request.url.host != "huggingface.co" or request.url.path.startswith("/api/models/")
        return handle(request) if of_the_call else their_httpx.Response(404)

    transport = their_httpx.MockTransport(answered)
    _http.set_client_factory(lambda: their_httpx.Client(transport=transport))
    _http.set_async_client_factory(lambda: their_httpx.AsyncClient(transport=transport))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are theirs
            yield
    finally:
        _common._fetch_inference_provider_mapping.cache_clear()
        hf_inference._check_supported_task.cache_clear()
        _http.set_client_factory(_http.default_client_factory)
        _http.set_async_client_factory(_http.default_async_client_factory)
