"""Black Forest Labs' own service: a key in a header of its own, and jobs that one cluster knows of."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hfclient import Client
from hfclient.errors import JobFailedError, MissingKeyError, ResponseError
from hfclient.flow import Response, get, post
from hfclient.ticket import FIRST_PAUSE
from tests.flows import reply
from tests.internet import HF, Internet
from tests.jobs import (
    FILE_URL,
    PNG,
    asked,
    call_for,
    life_of,
    provider_named,
    result_of_job,
    route_for,
    standing_of,
    submission,
    tape,
)

NAME = "black-forest-labs"
TASK = "text-to-image"
KEY = "bfl_fake_0123456789"
HOST = "api.us1.bfl.ai"
ROUTE = route_for(NAME, TASK, "flux-dev", routed=False)
POLL = get("/v1/get_result", query={"id": "job-1"})


def result(status: str | None, **more: Any) -> dict[str, Any]:
    said = {"status": status} if status else {}
    return {"id": "job-1", **said, "result": None, "progress": None, **more}


def accepted(host: str = HOST) -> dict[str, Any]:
    return {"id": "job-1", "polling_url": f"https://{host}/v1/get_result?id=job-1"}


ACCEPTED = reply(accepted())
DONE = result("Ready", result={"sample": FILE_URL, "seed": 1})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"num_inference_steps": 4, "guidance_scale": 2.5, "width": 256}, {"steps": 4, "guidance": 2.5, "width": 256}),
        ({"safety_tolerance": 2}, {"safety_tolerance": 2}),
    ],
)
def test_a_picture_is_asked_for_at_its_models_path(given: dict[str, Any], told: dict[str, Any]) -> None:
    """The path names the model; two parameters have other names there, and everything else goes as it is."""
    request = asked(call_for(TASK, "a cat", body=given), ROUTE, ACCEPTED)
    assert request == post("/v1/flux-dev", json={"prompt": "a cat", **told})


@pytest.mark.parametrize(
    "answer",
    [accepted(), accepted("api.eu9.bfl.ai"), accepted("evil.invalid"), {"id": "job-1"}],
    ids=["own", "other", "evil", "none"],
)
def test_polls_stay_with_the_host_that_took_the_job(answer: dict[str, Any]) -> None:
    """Path and query of the address in the answer are used, its host never: the key would go along."""
    _, ticket = submission(call_for(TASK, "a cat"), ROUTE, reply(answer))
    assert (ticket.id, ticket.poll, ticket.cancel) == ("job-1", POLL, None)
    assert ROUTE.url_of(ticket.poll.path) == f"https://{HOST}/v1/get_result"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Pending", "running"),
        ("Ready", "done"),
        ("Error", "failed"),
        ("Request Moderated", "failed"),
        ("Content Moderated", "failed"),
        ("Task not found", "failed"),
        ("Reasoning", "running"),
        (None, "queued"),
    ],
)
def test_every_status_has_its_meaning(status: str | None, state: str) -> None:
    """The documented ones are told apart, and those that end badly are their own reason."""
    standing = standing_of(NAME, TASK, result(status))
    assert (standing.state, standing.reason) == (state, status if state == "failed" else None)
    assert standing_of(NAME, TASK, {}).state == "queued"


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (
            {"Moderation Reasons": ["Derivative Works Filter", "Nudity"]},
            " (Moderation Reasons: Derivative Works Filter",
        ),
        ("too dark", " (too dark)"),
        ({}, "."),
        (None, "."),
    ],
)
def test_a_moderated_job_failed_and_says_so(details: object, reason: str) -> None:
    """It is no picture and no mystery: the error names the moderation, and what it minded."""
    moderated = reply(result("Content Moderated", details=details))
    with pytest.raises(JobFailedError) as caught:
        life_of(call_for(TASK, "a cat"), ROUTE, ACCEPTED, moderated)
    assert caught.value.message.startswith(f"The job failed: Content Moderated{reason}")
    assert caught.value.job_id == "job-1"


@pytest.mark.parametrize(("progress", "share"), [(0.7, 0.7), (1.0, 1.0), (0, 0.0), (None, None), (70, None)])
def test_progress_is_a_share(progress: object, share: float | None) -> None:
    """From 0 to 1, or unknown."""
    assert standing_of(NAME, TASK, result("Pending", progress=progress)).fraction == share


def test_the_sample_is_the_result() -> None:
    """Results are addresses on another host."""
    url, picture = result_of_job(ROUTE, DONE, PNG, "image/png")
    assert (url, picture.content) == (FILE_URL, PNG)


def test_an_answer_without_a_job_is_an_error() -> None:
    """What the service says instead is told."""
    with pytest.raises(ResponseError, match="Not enough credits"):
        submission(call_for(TASK, "a cat"), ROUTE, reply({"detail": "Not enough credits"}))


def test_it_has_a_key_of_its_own() -> None:
    """The router does not lead there, and the Hub does not know its models."""
    provider = provider_named(NAME)
    assert (provider.key_header, provider.scheme, provider.variables) == ("x-key", "", ("BFL_API_KEY",))
    assert not provider.routed
    assert not provider.mapped


@pytest.mark.anyio
async def test_the_key_goes_in_its_own_header_and_to_its_own_host(pauses: list[float]) -> None:
    """Submission and polls carry it bare, the download does not carry it; the pause is as long as the service asked."""
    with Internet() as internet:
        pending = httpx.Response(200, headers={"retry-after": "1"}, json=result("Pending", progress=0.5))
        internet.at(HOST, httpx.Response(200, json=accepted("evil.invalid")), pending, httpx.Response(200, json=DONE))
        internet.at("files.invalid", httpx.Response(200, headers={"content-type": "image/png"}, content=PNG))
        async with Client(keys={NAME: KEY}, provider=NAME) as client:
            picture = await client.text_to_image("a cat", model="flux-dev")
        assert picture.content == PNG
        assert internet.asked == [HOST, HOST, HOST, "files.invalid"]
        headers = [request.headers for _, request in internet.requests]
        assert [each.get("x-key") for each in headers] == [KEY, KEY, KEY, None]
        assert not any("authorization" in each for each in headers)
        assert pauses == [FIRST_PAUSE, 1.0]


@pytest.mark.anyio
async def test_a_hugging_face_token_is_not_enough() -> None:
    """It is never sent there; the error says which key is wanted."""
    with Internet() as internet:
        async with Client(HF, provider=NAME) as client:
            with pytest.raises(MissingKeyError, match="BFL_API_KEY"):
                await client.text_to_image("a cat", model="flux-dev")
        assert internet.asked == []


@pytest.mark.anyio
async def test_another_cluster_is_an_address_away(pauses: list[float]) -> None:
    """With `base_url` job and polls go to that cluster."""
    with Internet() as internet:
        other = "api.eu1.bfl.ai"
        internet.at(other, httpx.Response(200, json=accepted(other)), httpx.Response(200, json=DONE))
        internet.at("files.invalid", httpx.Response(200, headers={"content-type": "image/png"}, content=PNG))
        async with Client(KEY, provider=NAME, base_url=f"https://{other}/v1") as client:
            await client.text_to_image("a cat", model="flux-dev")
        addresses = [str(request.url) for _, request in internet.requests[:2]]
        assert addresses == [f"https://{other}/v1/flux-dev", f"https://{other}/v1/get_result?id=job-1"]
        assert internet.requests[1][1].headers["x-key"] == KEY


def test_recorded_jobs_are_read_as_they_were() -> None:
    """Answers that the service really gave: submissions lead to polls on the host they went to, polls to pictures."""
    states: list[str] = []
    for exchange in tape(f"{NAME}__{TASK}"):
        url, answer = urlsplit(exchange["request"]["url"]), exchange["response"]
        recorded = Response(answer["status"], answer["headers"], answer["body_text"].encode())
        if exchange["request"]["method"] == "POST":
            _, ticket = submission(call_for(TASK, "A raccoon"), ROUTE, recorded)
            polled = urlsplit(json.loads(answer["body_text"])["polling_url"])
            assert (polled.hostname, ticket.poll.path) == (HOST, polled.path)
            assert ticket.poll.query == {"id": ticket.id} == {"id": parse_qs(polled.query)["id"][0]}
            continue
        assert (url.hostname, url.path) == (HOST, "/v1/get_result")
        standing = standing_of(NAME, TASK, recorded.json())
        states.append(standing.state)
        if standing.state == "done":
            fetched, _ = result_of_job(ROUTE, standing.answer, PNG, "image/png")
            assert fetched.startswith("https://delivery-us1.bfl.ai/results/")
        else:
            assert standing.fraction is not None
    assert sorted(states) == ["done"] * 3 + ["running"] * 3
