"""Addresses that the caller gives: the address itself says which protocol is spoken there.

One with a version in its path (`http://localhost:8080/v1`) is a server of OpenAI's API. Any other is taken for an
endpoint that serves one model in Hugging Face's protocol, except for chat, which both serve in the same way.
"""

from __future__ import annotations

from typing import Any

from hfclient.call import Call
from hfclient.flow import Flow, StreamPlan
from hfclient.provider import Task
from hfclient.providers.completions import completions, generate
from hfclient.providers.embeddings import embeddings
from hfclient.providers.hf_inference import further_tasks, hf_tasks
from hfclient.providers.images import IMAGES_PATH, images, sized
from hfclient.providers.openai_compatible import chat
from hfclient.providers.speech import speech, transcriptions
from hfclient.route import Route, names_a_version


def endpoint_tasks() -> dict[str, Task]:
    """Everything that an address of one's own may serve."""
    plain = {"text-generation": generate(), **hf_tasks(""), **further_tasks("")}
    in_openai_terms = {
        "automatic-speech-recognition": transcriptions(),
        "feature-extraction": embeddings(),
        "text-generation": completions(),
        "text-to-image": images(IMAGES_PATH, sized),
        "text-to-speech": speech(),
    }
    either = {name: _by_address(plain[name], task) for name, task in in_openai_terms.items()}
    return {**plain, **either, "conversational": chat()}


def _by_address(plain: Task, versioned: Task) -> Task:
    def chosen(route: Route) -> Task:
        return versioned if names_a_version(route.base_url) else plain

    def run(call: Call, route: Route) -> Flow[object]:
        return chosen(route).run(call, route)

    def stream(call: Call, route: Route) -> Flow[StreamPlan[Any]]:
        begin = chosen(route).stream
        assert begin is not None  # noqa: S101  both of them stream, or neither
        return begin(call, route)

    return Task(run, stream if plain.stream else None)
