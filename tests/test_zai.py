"""Z.ai: pictures that are made behind a task's number, and pages that are read at once."""

from __future__ import annotations

from typing import Any

import pytest

from hfclient.errors import JobFailedError, ResponseError
from hfclient.flow import Load, get, post
from hfclient.media import Media
from hfclient.types import Image
from hfclient.types.text import Caption
from tests.flows import play, reply
from tests.jobs import (
    ELSEWHERE,
    FILE_URL,
    PICTURE,
    PICTURE_URL,
    PNG,
    asked,
    call_for,
    life_of,
    ours,
    provider_named,
    result_of_job,
    route_for,
    standing_of,
    submission,
    theirs,
)

NAME = "zai-org"
MAKE = "text-to-image"
READ = "image-to-text"
PATH = "/api/paas/v4/async/images/generations"


def task(status: str | None = "PROCESSING", **more: Any) -> dict[str, Any]:
    said = {"task_status": status} if status else {}
    return {"model": "glm-image", "id": "task-1", "request_id": "request-1", **said, **more}


ACCEPTED = reply(task())
DONE = task("SUCCESS", image_result=[{"url": FILE_URL}])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 1280, "height": 720}, {"size": "1280x720"}),
        ({"width": 1280}, {"width": 1280}),
        ({"height": 720}, {"height": 720}),
        ({"size": "1x1", "width": 1280, "height": 720}, {"size": "1x1"}),
        ({"model": "mine", "seed": 1}, {"seed": 1}),
        ({}, {}),
    ],
)
def test_a_picture_is_asked_for_with_its_size_in_one_word(given: dict[str, Any], told: dict[str, Any]) -> None:
    """`size` says both sides at once; one side alone goes as it is, and the model is the mapped one."""
    request = asked(call_for(MAKE, "a cat", {}, body=given), route_for(NAME, MAKE, "glm-image"), ACCEPTED)
    assert request == post(PATH, json={"model": "glm-image", "prompt": "a cat", **told})
    assert next(iter(request.json)) == "model"


def test_the_task_is_asked_after_by_its_number() -> None:
    """Under one address for all kinds of tasks; there is no way to cancel one."""
    _, ticket = submission(call_for(MAKE, "a cat"), route_for(NAME, MAKE), ACCEPTED)
    assert (ticket.id, ticket.poll, ticket.cancel) == ("task-1", get("/api/paas/v4/async-result/task-1"), None)


@pytest.mark.parametrize(
    ("status", "state"),
    [("PROCESSING", "running"), ("SUCCESS", "done"), ("FAIL", "failed"), ("WAITING", "running"), (None, "queued")],
)
def test_every_status_has_its_meaning(status: str | None, state: str) -> None:
    """The documented ones are told apart; an unknown one keeps the task going."""
    assert standing_of(NAME, MAKE, task(status)).state == state
    assert standing_of(NAME, MAKE, {}).state == "queued"


def test_a_failed_task_says_why_where_z_ai_does() -> None:
    """Its status alone is no reason; words beside it are."""
    assert standing_of(NAME, MAKE, task("FAIL")).reason is None
    assert standing_of(NAME, MAKE, task("FAIL", error={"code": "1301", "message": "unsafe"})).reason == "unsafe"
    with pytest.raises(JobFailedError, match="no reason was given"):
        life_of(call_for(MAKE, "a cat"), route_for(NAME, MAKE), reply(task("FAIL")))


def test_a_task_that_is_done_at_once_is_not_asked_after() -> None:
    """An immediate success is used as it is."""
    told, picture = life_of(call_for(MAKE, "a cat"), route_for(NAME, MAKE), reply(DONE))
    assert told == [("POST", PATH, {}), "undo: None", "done", "undo: None", FILE_URL]
    assert isinstance(picture, Image)


def test_a_life_of_a_task() -> None:
    """Submitted, asked after until it is done, fetched."""
    told, _ = life_of(call_for(MAKE, "a cat"), route_for(NAME, MAKE), ACCEPTED, ACCEPTED, reply(DONE))
    poll = ("GET", "/api/paas/v4/async-result/task-1", {})
    assert [step for step in told if step == poll] == [poll, poll]
    assert told[-1] == FILE_URL


def test_the_first_picture_is_the_result() -> None:
    """Results are addresses."""
    url, picture = result_of_job(route_for(NAME, MAKE), DONE, PNG, "image/png")
    assert (url, picture.content) == (FILE_URL, PNG)


def test_an_answer_without_a_task_is_an_error() -> None:
    """What Z.ai says instead is told."""
    refused = reply({"error": {"code": "1211", "message": "Unknown model"}})
    with pytest.raises(ResponseError, match="Unknown model"):
        submission(call_for(MAKE, "a cat"), route_for(NAME, MAKE), refused)


@pytest.mark.parametrize(("picture", "url"), [(PICTURE, PICTURE_URL), (Media(ELSEWHERE), ELSEWHERE)])
def test_a_page_is_read_at_once(picture: Media, url: str) -> None:
    """One request with the page, as an address or in a data: URL, and the text as Markdown comes back."""
    route = route_for(NAME, READ, "glm-ocr")
    flow = route.task.run(call_for(READ, picture, {"max_new_tokens": 9}, body={"model": "mine"}), route)
    loading = [picture.read()] if picture is PICTURE else []
    answer = {"id": "1", "md_results": "# Title", "layout_details": [{"label": "text"}]}
    steps, caption = play(flow, *loading, reply(answer))
    assert [step for step in steps if isinstance(step, Load)] == ([Load(PICTURE)] if loading else [])
    body = {"model": "glm-ocr", "file": url, "max_new_tokens": 9}
    assert steps[-1] == post("/api/paas/v4/layout_parsing", json=body)
    assert isinstance(caption, Caption)
    assert (caption.text, caption.generated_text) == ("# Title", "# Title")
    assert (caption.model_extra or {})["layout_details"] == [{"label": "text"}]


@pytest.mark.parametrize("answer", [{}, {"md_results": None}, {"md_results": ["a"]}, [], {"error": "no page"}])
def test_a_page_without_text_is_an_error(answer: Any) -> None:
    """An empty text is a text; none at all, or something else, is not."""
    route = route_for(NAME, READ)
    call = call_for(READ, Media(ELSEWHERE))
    with pytest.raises(ResponseError):
        play(route.task.run(call, route), reply(answer))
    assert play(route.task.run(call, route), reply({"md_results": ""}))[1].text == ""


def test_every_request_says_where_it_comes_from() -> None:
    """Z.ai is told that Hugging Face's users ask, and in which language errors are read."""
    assert provider_named(NAME).headers == {"x-source-channel": "hugging_face", "accept-language": "en-US,en"}


@pytest.mark.parametrize("key", ["hf_fake_0123456789", "own_fake_0123456789"])
def test_pictures_are_asked_for_as_huggingface_hub_does(key: str) -> None:
    """Same address, same body."""
    parameters = {"width": 1280, "height": 720, "seed": 7, "guidance_scale": 2.5}
    route = route_for(NAME, MAKE, routed=key.startswith("hf_"))
    assert ours(call_for(MAKE, "a cat", parameters), route, ACCEPTED) == theirs(
        NAME, MAKE, "a cat", dict(parameters), key=key
    )
