"""Flows driven by hand: what a provider asks for, and what it makes of the answers, without an event loop."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hfclient.call import Timeout
from hfclient.errors import InputError, RateLimitError, ResponseError, ServerError
from hfclient.flow import Flow, Load, Progress, Request, Response, Wait, delete, download, get, post
from hfclient.media import Loaded, Media
from hfclient.messages import normalise
from hfclient.provider import Provider, Task
from hfclient.providers.table import PROVIDERS
from hfclient.redact import Redactor
from hfclient.scrub import clean
from hfclient.types import ChatCompletion
from tests.flows import CHAT, COMPLETION, chat_call, play, reply, result_of, route_to, run_flow

GROQ = next(provider for provider in PROVIDERS if provider.name == "groq")
PNG = b"\x89PNG\r\n\x1a\n0000"
WAV = b"RIFF\x24\0\0\0WAVEfmt "


@dataclass(frozen=True)
class Film:
    content: bytes


def film(call: Any, route: Any) -> Flow[Film]:
    """A job that is submitted, followed and fetched: the longest flow there is."""
    picture: Loaded = yield Load(call.inputs)
    submitted = (yield post("/jobs", json={"model": route.model_id, "image": picture.data_uri()})).json()
    while (job := (yield get(f"/jobs/{submitted['id']}")).json())["status"] != "done":
        yield Progress(job["status"], position=job.get("position"))
        yield Wait(2.0)
    return Film((yield download(job["url"])).content)


STUDIO = Provider("studio", "https://studio.invalid", {CHAT: Task(film)})


def test_a_job_is_followed_to_its_end() -> None:
    """A polling provider is a loop that anybody can read, and can be tested without waiting."""
    call = dataclasses.replace(chat_call(), inputs=Media(PNG))
    steps, result = play(
        film(call, route_to(STUDIO, "film-1")),
        Loaded(PNG, "image/png"),
        reply({"id": "j7"}),
        reply({"status": "queued", "position": 3}),
        None,
        None,
        reply({"status": "running"}),
        None,
        None,
        reply({"status": "done", "url": "https://files.invalid/j7.mp4?sig=x"}),
        Response(200, {}, b"film"),
    )
    assert result == Film(b"film")
    assert steps == [
        Load(call.inputs),
        post("/jobs", json={"model": "film-1", "image": Loaded(PNG, "image/png").data_uri()}),
        get("/jobs/j7"),
        Progress("queued", position=3),
        Wait(2.0),
        get("/jobs/j7"),
        Progress("running"),
        Wait(2.0),
        get("/jobs/j7"),
        download("https://files.invalid/j7.mp4?sig=x"),
    ]


def test_a_flow_may_react_to_a_failure() -> None:
    """The error of a request is raised where it was asked for, and a flow that catches it goes on."""

    def flow() -> Generator[Request, Any, str]:
        try:
            yield get("/new")
        except ServerError as error:
            return (yield get(f"/old?because={error.status}")).text()
        return "new"

    steps, result = play(flow(), ServerError("no", status=501), Response(content=b"old"))
    assert (steps, result) == ([get("/new"), get("/old?because=501")], "old")


def test_a_failure_nobody_catches_leaves_the_flow() -> None:
    """A provider that does not care says nothing, and the error goes its way."""
    with pytest.raises(RateLimitError):
        play(run_flow(GROQ, chat_call()), RateLimitError("slow down", status=429))


def test_the_helper_notices_a_flow_that_asks_for_more() -> None:
    """A test that forgets an outcome fails, rather than passing with half a flow."""
    with pytest.raises(AssertionError, match="one more outcome"):
        play(run_flow(GROQ, chat_call()))
    with pytest.raises(AssertionError, match="The flow asks for"):
        result_of(run_flow(GROQ, chat_call()))


def test_media_is_loaded_before_the_request() -> None:
    """A chat with a file in it asks for its bytes first, then posts them within the message."""
    messages = normalise([{"role": "user", "content": ["Look:", Path("cat.png"), Media(WAV)]}])
    flow = run_flow(GROQ, chat_call(messages))
    loads = [Loaded(PNG, "image/png"), Loaded(WAV, "audio/wav")]
    steps, result = play(flow, *loads, reply(COMPLETION))
    *asked, request = steps
    assert [type(step) for step in asked] == [Load, Load]
    picture, sound = request.json["messages"][0]["content"][1:]
    assert picture == {"type": "image_url", "image_url": {"url": loads[0].data_uri()}}
    assert sound == {"type": "input_audio", "input_audio": {"data": loads[1].base64(), "format": "wav"}}
    assert isinstance(result, ChatCompletion)


def test_media_for_a_stream_is_loaded_by_its_plan() -> None:
    """A stream's request is planned by a flow too, so it can carry files."""
    messages = normalise([{"role": "user", "content": [Path("cat.png")]}])
    route = route_to(GROQ)
    assert route.task.stream is not None
    steps, plan = play(route.task.stream(chat_call(messages, stream=True), route), Loaded(PNG, "image/png"))
    assert len(steps) == 1
    assert plan.request.json["stream"] is True
    assert plan.request.json["messages"][0]["content"][0]["type"] == "image_url"


def test_media_that_cannot_be_loaded_ends_the_flow() -> None:
    """Nothing is posted when a file is missing."""
    messages = normalise([{"role": "user", "content": [Path("cat.png")]}])
    flow = run_flow(GROQ, chat_call(messages))
    next(flow)
    with pytest.raises(InputError, match="There is no file"):
        flow.throw(InputError("There is no file 'cat.png'."))
    with pytest.raises(StopIteration):
        next(flow)


def test_the_short_ways_to_ask() -> None:
    """`get`, `post`, `delete` and `download` are requests, written short."""
    assert get("/a", query={"b": "c"}) == Request("GET", "/a", query={"b": "c"})
    assert post("/a", json={}) == Request("POST", "/a", json={})
    assert delete("/a") == Request("DELETE", "/a")
    assert download("https://x.invalid/f") == Request("GET", url="https://x.invalid/f")


@pytest.mark.parametrize(
    ("request_", "repeatable"), [(get("/a"), True), (download("x"), True), (post("/a"), False), (delete("/a"), False)]
)
def test_what_can_be_asked_again(request_: Request, *, repeatable: bool) -> None:
    """Only what does no work twice is repeated freely."""
    assert request_.repeatable is repeatable


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Timeout()),
        (Timeout(connect=1), Timeout(connect=1)),
        (30, Timeout(10, 30, 30, 30, 30)),
        (0.5, Timeout(0.5, 0.5, 0.5, 0.5, 0.5)),
        (math.inf, Timeout(10, math.inf, math.inf, math.inf, math.inf)),
    ],
)
def test_a_timeout_is_a_number_or_its_parts(given: Any, expected: Timeout) -> None:
    """A bare number bounds every silence, and never lengthens the wait for a connection."""
    assert Timeout.of(given) == expected


@pytest.mark.parametrize("given", [0, -1, True, "10", math.nan, [1]])
def test_what_is_no_time_is_refused(given: Any) -> None:
    """A timeout of no meaning is the caller's error, told at once."""
    with pytest.raises(InputError, match="is not a number of seconds above 0"):
        Timeout.of(given)


@pytest.mark.parametrize("step", [get("/a"), Wait(1.0), Progress("x"), Load(Media(PNG)), Response(), chat_call()])
def test_steps_are_frozen(step: Any) -> None:
    """A step says what to do; nobody changes it on the way."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(step, dataclasses.fields(step)[0].name, None)


@pytest.mark.parametrize(
    ("header", "kind"),
    [("application/json; charset=utf-8", "application/json"), (" Text/HTML ", "text/html"), ("", ""), (None, "")],
)
def test_the_media_type_of_an_answer(header: str | None, kind: str) -> None:
    """Without its parameters, in lower case, and empty where nothing is said."""
    assert Response(headers={} if header is None else {"content-type": header}).media_type == kind


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(200, {"content-type": "text/html"}, b"<html>"), r"\(text/html\)"),
        (Response(202, {}, b""), "is empty"),
        (Response(200, {}, b"[" * 100_000), r"not JSON \(no media type\)"),
        (Response(200, {"content-type": "application/json"}, b'{"cut'), r"\(application/json\)"),
    ],
)
def test_an_answer_that_is_not_json_says_what_it_is(response: Response, kind: str) -> None:
    """A flow that asks for JSON gets it, or a typed error with the status and the beginning of the body."""
    with pytest.raises(ResponseError, match=kind) as caught:
        response.json()
    assert (caught.value.status, caught.value.body) == (response.status, response.content.decode())


def test_an_answer_is_read_as_text_whatever_its_bytes() -> None:
    """Bytes that are no UTF-8 are shown as well as can be; a long body is cut once its keys are masked, not before."""
    assert Response(content=b"caf\xe9").text() == "caf\ufffd"
    with pytest.raises(ResponseError) as caught:
        Response(content=b"x" * 5000).json()
    assert len(caught.value.body) == 5000
    key = "hf_fake_0123456789abcdef"
    cut = clean(ResponseError("no", body="word " * 398 + key), Redactor([key]))
    assert len(cut.body) <= 2000
    assert "hf_fake" not in cut.body
