"""A row's task asked by hand, as `client.<task>(…)` asks it, and as huggingface_hub's own helper would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from hfclient.call import Call
from hfclient.flow import Flow, StreamPlan
from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route
from tests.flows import result_of

ROWS = {provider.name: provider for provider in PROVIDERS}
MODEL = "org/model"
THEIRS = "provider-model"
OWN = "own_fake_0123456789"
TAPES = Path(__file__).resolve().parents[2] / "shared" / "tapes"
NOTHING: Mapping[str, Any] = {}


def asked(
    task: str, inputs: object, parameters: Mapping[str, Any] = NOTHING, extra: Mapping[str, Any] = NOTHING
) -> Call:
    return Call(task, inputs, model=MODEL, parameters=parameters, body=extra)


def way_to(provider: Provider | str, task: str, model_id: str | None = THEIRS) -> Route:
    row = ROWS[provider] if isinstance(provider, str) else provider
    return Route(row, row.tasks[task], model_id, row.url)


def flow_of(name: str, call: Call, model_id: str | None = THEIRS) -> Flow[Any]:
    route = way_to(name, call.task, model_id)
    return route.task.run(call, route)


def stream_of(name: str, call: Call, model_id: str | None = THEIRS) -> StreamPlan[Any]:
    route = way_to(name, call.task, model_id)
    assert route.task.stream is not None
    return result_of(route.task.stream(call, route))


def exchanges(name: str, status: int | None = None) -> list[Any]:
    """The recorded exchanges of a file, as parameters; one that is to be skipped where there are none."""
    path = TAPES / f"{name}.json"
    if not path.is_file():
        return [pytest.param({}, id="none", marks=pytest.mark.skip(reason="the recorded exchanges are not here"))]
    return [
        pytest.param(exchange, id=exchange["id"][:8])
        for exchange in json.loads(path.read_text("utf-8"))
        if status in (None, exchange["response"]["status"])
    ]


def asked_by_them(name: str, call: Call, model_id: str = THEIRS) -> Any:
    """What huggingface_hub would send for this call: `url`, `json`, `data` and `headers`."""
    providers = pytest.importorskip("huggingface_hub.inference._providers")
    from huggingface_hub.hf_api import InferenceProviderMapping
    from huggingface_hub.inference._providers import _common

    row = InferenceProviderMapping(provider=name, hf_model_id=MODEL, providerId=model_id, status="live", task=call.task)
    with patch.object(_common, "_fetch_inference_provider_mapping", lambda _: [row]):
        return providers.PROVIDERS[name][call.task].prepare_request(
            inputs=call.inputs,
            parameters=dict(call.parameters),
            headers={},
            model=MODEL,
            api_key=OWN,
            extra_payload=dict(call.body),
        )
