"""Together's films: jobs under /v2/videos, with names for parameters of their own."""

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
    PNG,
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

NAME = "together"
TEXT = "text-to-video"
PICTURED = "image-to-video"


def job(status: str | None = "queued", **more: Any) -> dict[str, Any]:
    return {"id": "job-1", "object": "video", "error": None, **({"status": status} if status else {}), **more}


ACCEPTED = reply(job())
DONE = job("completed", outputs={"cost": 1, "video_url": FILE_URL})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"num_inference_steps": 4, "seed": 1}, {"steps": 4, "seed": 1}),
        ({"target_size": {"width": 640, "height": 480}}, {"width": 640, "height": 480}),
        ({"target_size": {"width": 640, "height": 480}, "height": 1}, {"width": 640, "height": 1}),
        ({"target_size": "large"}, {"target_size": "large"}),
        ({"fps": 24, "model": "mine"}, {"fps": 24}),
        ({}, {}),
    ],
)
def test_parameters_are_told_in_its_own_words(given: dict[str, Any], told: dict[str, Any]) -> None:
    """Steps and size have other names there; everything else goes as it is, and the model is the mapped one."""
    request = asked(call_for(TEXT, "a cat", body=given), route_for(NAME, TEXT), ACCEPTED)
    assert request == post("/v2/videos", json={"model": "its-id", "prompt": "a cat", **told})
    assert next(iter(request.json)) == "model"


@pytest.mark.parametrize(("picture", "url"), [(PICTURE, PICTURE_URL), (Media(ELSEWHERE), ELSEWHERE)])
def test_a_picture_is_the_first_frame(picture: Media, url: str) -> None:
    """Pictures are key frames: ours is the first, as an address or in a data: URL."""
    request = asked(call_for(PICTURED, picture, {"prompt": "it walks"}), route_for(NAME, PICTURED), ACCEPTED)
    frames = [{"input_image": url, "frame": "first"}]
    assert request.json == {"model": "its-id", "frame_images": frames, "prompt": "it walks"}


def test_more_frames_are_the_callers() -> None:
    """Whoever wants a last frame too gives all of them."""
    frames = [{"input_image": ELSEWHERE, "frame": "last"}]
    call = call_for(PICTURED, PICTURE, body={"frame_images": frames})
    assert asked(call, route_for(NAME, PICTURED), ACCEPTED).json["frame_images"] == frames


def test_the_job_is_asked_after_by_its_id() -> None:
    """Below the address it was submitted to; Together documents no way to cancel it."""
    _, ticket = submission(call_for(TEXT, "a cat"), route_for(NAME, TEXT), ACCEPTED)
    assert (ticket.id, ticket.poll, ticket.cancel) == ("job-1", get("/v2/videos/job-1"), None)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", "queued"),
        ("in_progress", "running"),
        ("completed", "done"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("canceled", "cancelled"),
        ("uploading", "running"),
        (None, "queued"),
    ],
)
def test_every_status_has_its_meaning(status: str | None, state: str) -> None:
    """The documented ones are told apart; an unknown one keeps the job going, a missing one too."""
    assert standing_of(NAME, TEXT, job(status)).state == state
    assert standing_of(NAME, TEXT, {}).state == "queued"


def test_a_failed_job_says_why() -> None:
    """A job may fail at once, with an error beside its id: that is a failed job, not an odd answer."""
    failed = reply(job("failed", error={"message": "prompt was flagged", "code": "x"}))
    with pytest.raises(JobFailedError, match="The job failed: prompt was flagged") as caught:
        life_of(call_for(TEXT, "a cat"), route_for(NAME, TEXT), failed)
    assert caught.value.job_id == "job-1"
    with pytest.raises(JobCancelledError, match="no reason"):
        life_of(call_for(TEXT, "a cat"), route_for(NAME, TEXT), ACCEPTED, reply(job("cancelled")))


def test_a_life_of_a_job() -> None:
    """Submitted, asked after until it is done, fetched."""
    running = reply(job("in_progress"))
    told, film = life_of(call_for(TEXT, "a cat"), route_for(NAME, TEXT), ACCEPTED, running, reply(DONE))
    poll = ("GET", "/v2/videos/job-1", {})
    begun = [("POST", "/v2/videos", {}), "undo: None", "queued"]
    assert told == [*begun, poll, "running", poll, "done", "undo: None", FILE_URL]
    assert film.content == FILM


@pytest.mark.parametrize("task", [TEXT, PICTURED])
def test_the_film_is_the_result(task: str) -> None:
    """Results are addresses."""
    url, film = result_of_job(route_for(NAME, task), DONE)
    assert (url, type(film)) == (FILE_URL, Video)


def test_an_answer_without_a_job_is_an_error() -> None:
    """What Together says instead is told."""
    with pytest.raises(ResponseError, match="no such model"):
        submission(call_for(TEXT, "a"), route_for(NAME, TEXT), reply({"error": {"message": "no such model"}}))


@pytest.mark.parametrize("key", ["hf_fake_0123456789", "own_fake_0123456789"])
@pytest.mark.parametrize(("task", "inputs"), [(TEXT, "a cat"), (PICTURED, PNG), (PICTURED, ELSEWHERE)])
def test_films_are_asked_for_as_huggingface_hub_does(task: str, inputs: Any, key: str) -> None:
    """Same address, same body."""
    size = {"target_size": {"width": 640, "height": 480}} if task == PICTURED else {}
    parameters = {"num_inference_steps": 4, "seed": 7, "guidance_scale": 2.5, **size}
    route = route_for(NAME, task, routed=key.startswith("hf_"))
    given = inputs if task == TEXT else Media(inputs)
    assert ours(call_for(task, given, parameters), route, ACCEPTED) == theirs(
        NAME, task, inputs, dict(parameters), key=key
    )
