"""Novita's films: its own asynchronous tasks, and MiniMax's protocol for the one model that has it."""

from __future__ import annotations

from typing import Any

import pytest

from hfclient.errors import JobCancelledError, JobFailedError, ResponseError
from hfclient.flow import get, post
from hfclient.media import Media
from hfclient.types import Video
from tests.flows import reply
from tests.jobs import (
    ELSEWHERE,
    FILE_URL,
    FILM,
    PICTURE,
    PICTURE_URL,
    asked,
    call_for,
    life_of,
    ours,
    result_of_job,
    route_for,
    standing_of,
    submission,
    theirs,
)

NAME = "novita"
TEXT = "text-to-video"
PICTURED = "image-text-to-video"
H3 = "MiniMax-H3"
ACCEPTED = reply({"task_id": "task-1"})
WIDE = {"width": 1280, "height": 720}


def task(status: str | None, **more: Any) -> dict[str, Any]:
    return {"extra": {}, "task": {"task_id": "task-1", **({"status": status} if status else {}), **more}, "videos": []}


DONE = {**task("TASK_STATUS_SUCCEED"), "videos": [{"video_url": FILE_URL}]}


@pytest.mark.parametrize(
    ("given", "told"),
    [({"num_inference_steps": 4, "seed": 1}, {"steps": 4, "seed": 1}), ({"fast_mode": True}, {"fast_mode": True})],
)
def test_a_text_is_sent_to_its_models_own_path(given: dict[str, Any], told: dict[str, Any]) -> None:
    """The path names the model; steps have another name there, and everything else goes as it is."""
    request = asked(call_for(TEXT, "a cat", body=given), route_for(NAME, TEXT, "wan-t2v"), ACCEPTED)
    assert request == post("/v3/async/wan-t2v", json={"prompt": "a cat", **told})


@pytest.mark.parametrize(("picture", "url"), [(PICTURE, PICTURE_URL), (Media(ELSEWHERE), ELSEWHERE), (None, None)])
def test_a_picture_goes_along(picture: Media | None, url: str | None) -> None:
    """As an address or in a data: URL, or not at all; the size wanted is two numbers."""
    call = call_for(PICTURED, picture, {"prompt": "it walks", "num_inference_steps": 4, "target_size": WIDE})
    request = asked(call, route_for(NAME, PICTURED, "minimax-video-01"), ACCEPTED)
    shown = {"image_url": url} if url else {}
    assert request == post("/v3/async/minimax-video-01", json={**shown, "prompt": "it walks", "steps": 4, **WIDE})


def test_the_task_is_asked_after_by_its_id() -> None:
    """In the query of one address for all tasks; Novita documents no way to cancel one."""
    _, ticket = submission(call_for(TEXT, "a cat"), route_for(NAME, TEXT), ACCEPTED)
    poll = get("/v3/async/task-result", query={"task_id": "task-1"})
    assert (ticket.id, ticket.poll, ticket.cancel) == ("task-1", poll, None)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("TASK_STATUS_QUEUED", "queued"),
        ("TASK_STATUS_PROCESSING", "running"),
        ("TASK_STATUS_SUCCEED", "done"),
        ("TASK_STATUS_FAILED", "failed"),
        ("TASK_STATUS_NEW", "running"),
        ("queued", "queued"),
        ("running", "running"),
        ("succeeded", "done"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        (None, "queued"),
    ],
)
def test_every_status_has_its_meaning(status: str | None, state: str) -> None:
    """Those of either protocol are told apart; an unknown one keeps the task going."""
    assert standing_of(NAME, TEXT, task(status)).state == state
    assert standing_of(NAME, TEXT, {"task": None}).state == "queued"


@pytest.mark.parametrize(
    ("percent", "share"), [(0, 0.0), (40, 0.4), (100, 1.0), (-1, None), (101, None), (None, None), ("40", None)]
)
def test_progress_is_a_percentage(percent: object, share: float | None) -> None:
    """As a share of one; what is no percentage is no progress."""
    standing = standing_of(NAME, TEXT, task("TASK_STATUS_PROCESSING", progress_percent=percent))
    assert (standing.fraction, standing.reason) == (share, None)


def test_a_failed_task_says_why() -> None:
    """In `reason`, or, as MiniMax has it, in `error`."""
    failed = reply(task("TASK_STATUS_FAILED", reason="NSFW content"))
    with pytest.raises(JobFailedError, match="The job failed: NSFW content"):
        life_of(call_for(TEXT, "a cat"), route_for(NAME, TEXT), ACCEPTED, failed)
    cancelled = reply(task("cancelled", error={"message": "by the operator"}))
    with pytest.raises(JobCancelledError, match="by the operator"):
        life_of(call_for(PICTURED, PICTURE, {"prompt": "a"}), route_for(NAME, PICTURED, H3), ACCEPTED, cancelled)


def test_a_life_of_a_task() -> None:
    """Submitted, asked after until it is done, fetched."""
    waiting = reply(task("TASK_STATUS_QUEUED"))
    told, film = life_of(call_for(TEXT, "a cat"), route_for(NAME, TEXT, "wan"), ACCEPTED, waiting, reply(DONE))
    poll = ("GET", "/v3/async/task-result", {"task_id": "task-1"})
    begun = [("POST", "/v3/async/wan", {}), "undo: None", "queued"]
    assert told == [*begun, poll, "queued", poll, "done", "undo: None", FILE_URL]
    assert film.content == FILM


@pytest.mark.parametrize("answer", [DONE, task("succeeded", content={"url": FILE_URL})])
def test_the_film_is_the_result(answer: Any) -> None:
    """Results are addresses, in a place of its own in each protocol."""
    url, film = result_of_job(route_for(NAME, PICTURED), answer)
    assert (url, type(film)) == (FILE_URL, Video)


def test_an_answer_without_a_task_is_an_error() -> None:
    """What Novita says instead is told."""
    with pytest.raises(ResponseError, match="model not found"):
        submission(call_for(TEXT, "a"), route_for(NAME, TEXT), reply({"code": 400, "message": "model not found"}))


def test_minimaxs_model_is_asked_in_minimaxs_words() -> None:
    """Text and picture are parts of one content, and the film's shape is the picture's."""
    call = call_for(PICTURED, PICTURE, {"prompt": "it walks"})
    request, ticket = submission(call, route_for(NAME, PICTURED, H3), ACCEPTED)
    body = {
        "model": H3,
        "content": [
            {"type": "text", "text": "it walks"},
            {"type": "image_url", "image_url": {"url": PICTURE_URL}, "role": "first_frame"},
        ],
        "resolution": "768P",
        "duration": 4,
        "ratio": "adaptive",
    }
    assert request == post("/v3/minimax/v2/video_generation", json=body)
    assert next(iter(request.json)) == "model"
    assert ticket.poll == get("/v3/minimax/v2/query/video_generation/task-1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, ("768P", 4, "16:9")),
        ({"num_frames": 24}, ("768P", 4, "16:9")),
        ({"num_frames": 108}, ("768P", 5, "16:9")),
        ({"num_frames": 9999}, ("768P", 15, "16:9")),
        ({"target_size": WIDE}, ("768P", 4, "16:9")),
        ({"target_size": {"width": 2560, "height": 1440}}, ("2K", 4, "16:9")),
        ({"target_size": {"width": 1104, "height": 1104}}, ("768P", 4, "1:1")),
        ({"target_size": {"width": 1080, "height": 1920}}, ("768P", 4, "9:16")),
        ({"target_size": {"width": 3000, "height": 1105}}, ("2K", 4, "21:9")),
        ({"target_size": {"width": 1, "height": 0}}, ("768P", 4, "1:1")),
        ({"resolution": "2K", "duration": 9, "ratio": "4:3"}, ("2K", 9, "4:3")),
    ],
)
def test_minimax_counts_in_other_units(given: dict[str, Any], told: tuple[str, int, str]) -> None:
    """Frames become seconds, a size the nearest resolution and shape; what is said in its own words goes as it is."""
    body = asked(
        call_for(PICTURED, None, {"prompt": "a cat"}, body=given), route_for(NAME, PICTURED, H3), ACCEPTED
    ).json
    assert (body["resolution"], body["duration"], body["ratio"]) == told
    assert body.keys() == {"model", "content", "resolution", "duration", "ratio"}
    assert body["content"] == [{"type": "text", "text": "a cat"}]


def test_minimax_has_no_notion_of_these() -> None:
    """Parameters that its model does not have are not sent; others are, and none of them is the model."""
    beside = {"guidance_scale": 1.0, "negative_prompt": "dogs", "num_inference_steps": 4, "seed": 1}
    call = call_for(PICTURED, None, {"prompt": "a cat", **beside}, body={"watermark": False, "model": "mine"})
    body = asked(call, route_for(NAME, PICTURED, H3), ACCEPTED).json
    assert not body.keys() & beside.keys()
    assert (body["watermark"], body["model"]) == (False, H3)


def test_a_text_is_asked_for_unlike_huggingface_hub() -> None:
    """Novita documents the asynchronous way alone, with `steps`; huggingface_hub holds the line at another address."""
    call = call_for(TEXT, "a cat", {"num_inference_steps": 4, "seed": 7})
    mine = ours(call, route_for(NAME, TEXT), ACCEPTED)
    address, body = theirs(NAME, TEXT, "a cat", {"num_inference_steps": 4, "seed": 7})
    body["steps"] = body.pop("num_inference_steps")
    assert mine == (address.replace("/v3/hf/", "/v3/async/"), body)
