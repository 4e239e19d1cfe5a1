"""Jobs: begun, followed, given up, and taken to another process, at a provider that a third party brings."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfclient import Client, Job, Provider, Task
from hfclient.errors import (
    DeadlineError,
    HFClientError,
    InputError,
    JobCancelledError,
    JobError,
    JobFailedError,
    MissingKeyError,
    NoProviderError,
    NotFoundError,
    RateLimitError,
    ServerError,
)
from hfclient.flow import Flow, Progress, Response, delete, get, post
from hfclient.providers.table import PROVIDERS
from hfclient.registry import Registry
from hfclient.ticket import FIRST_PAUSE, GROWTH, LONGEST_PAUSE, JobPlan, Standing, Ticket
from hfclient.types import Video
from tests.internet import HF
from tests.loopback import Loopback, Received, Step, answer, json_answer
from tests.studio import ASK, FAILED, MODEL, MP4, OWN, READY, STOPPED, WAITING, WORKING, Studio
from tests.test_dispatch import CancelAt

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("_installed")]

THIRD_PARTY = Path(__file__).parent / "thirdparty"
ROOT = Path(__file__).parents[1]

BEGIN, LOOK, STOP = "POST router/film/films", "GET router/film/films/f1", "DELETE router/film/films/f1"
FETCH = "GET files.example/film.mp4"


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> list[float]:
    """A clock that goes on only while somebody waits."""
    monkeypatch.setattr("hfclient.clock.now", lambda: sum(pauses))
    return pauses


async def make(studio: Studio, **options: Any) -> Any:
    """A film, from the first request to the file."""
    async with studio.client() as client:
        return await client.text_to_video(ASK, **options)


async def begun(studio: Studio, **options: Any) -> Job:
    """A job that was submitted."""
    return await studio.client().submit("text-to-video", ASK, **options)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# One call from beginning to end.


async def test_a_job_is_followed_to_its_result(pauses: list[float]) -> None:
    """Begun, asked after with pauses that grow, fetched: the call gives what a call gives that has no job in it."""
    studio = Studio(WAITING, WORKING, READY)
    told: list[Progress] = []
    video = await make(studio, num_frames=48, extra_body={"style": "noir"}, on_progress=told.append)
    assert studio.asked == [BEGIN, LOOK, LOOK, LOOK, FETCH]
    assert studio.body(BEGIN) == {"model": "film-id", "prompt": ASK, "num_frames": 48, "style": "noir"}
    assert studio.keys(LOOK) == studio.keys(BEGIN) == {f"Bearer {HF}"}
    assert studio.keys(FETCH) == {None}
    assert told[:4] == [
        Progress("queued"),
        Progress("queued", position=2),
        Progress("running", fraction=0.5, logs=("frame 7", "frame 8")),
        Progress("done"),
    ]
    assert {progress.state for progress in told[4:]} == {"downloading"}
    assert told[-1].fraction == 1.0
    assert pauses == pytest.approx([FIRST_PAUSE, FIRST_PAUSE * GROWTH, FIRST_PAUSE * GROWTH**2])
    assert (type(video), video.content, video.media_type) == (Video, MP4, "video/mp4")
    assert (video.meta.provider, video.meta.model) == ("film", MODEL)


async def test_pauses_grow_and_stay_short(pauses: list[float]) -> None:
    """A job of a second is noticed at once, one of minutes is not asked after more often than every few seconds."""
    await make(Studio(*[WORKING] * 30, READY))
    assert pauses[0] == FIRST_PAUSE
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE
    growth = [later / pause for pause, later in itertools.pairwise(pauses) if later < LONGEST_PAUSE]
    assert growth == pytest.approx([GROWTH] * len(growth))


async def test_a_first_answer_that_is_the_result_is_enough(pauses: list[float]) -> None:
    """What is done at once is neither asked after nor waited for."""
    studio = Studio(accepts={"id": "f1", **READY})
    assert (await make(studio)).content == MP4
    assert studio.asked == [BEGIN, FETCH]
    assert pauses == []


async def test_an_answer_that_says_nothing_is_asked_again(pauses: list[float]) -> None:
    """An empty object, and a state that is new, end nothing: the deadline does."""
    studio = Studio({}, {"state": "of next year"}, READY)
    assert (await make(studio)).content == MP4


@pytest.mark.parametrize("options", [{}, {"deadline": 60}, {"deadline": 60.5}], ids=str)
async def test_a_job_that_never_ends_is_given_up(clock: list[float], options: dict[str, Any]) -> None:
    """The deadline, ten minutes where none is set, is used to its end, and then the job is cancelled."""
    studio = Studio(WORKING)
    deadline = options.get("deadline", 600)
    with pytest.raises(DeadlineError, match=f"deadline of {deadline} s") as caught:
        await make(studio, **options)
    assert sum(clock) == pytest.approx(deadline)
    assert studio.asked == [BEGIN, *[LOOK] * len(clock), STOP]
    assert "client.submit" in caught.value.advice
    assert (caught.value.provider, caught.value.task) == ("film", "text-to-video")


async def test_a_deadline_ends_a_poll_that_hangs(pauses: list[float]) -> None:
    """A provider that has stopped answering is not waited for, and is told that nobody waits any more."""
    studio = Studio(WORKING)

    async def hang(said: str) -> None:
        if said == LOOK:
            await anyio.sleep_forever()

    studio.before = hang
    with pytest.raises(DeadlineError):
        await make(studio, deadline=0.5)
    assert studio.asked == [BEGIN, LOOK, STOP]


@pytest.mark.parametrize(
    ("last", "kind", "said"),
    [
        (FAILED, JobFailedError, "The job failed: The prompt is not safe."),
        ({"state": "failed"}, JobFailedError, "The job failed, and no reason was given."),
        (STOPPED, JobCancelledError, "The job was cancelled, and no reason was given."),
    ],
)
async def test_a_job_that_ends_badly(
    pauses: list[float], last: dict[str, Any], kind: type[JobError], said: str
) -> None:
    """The error has the provider's reason and says which job, model and task; what has ended is not cancelled."""
    studio = Studio(WORKING, last)
    told: list[Progress] = []
    with pytest.raises(kind) as caught:
        await make(studio, on_progress=told.append)
    error = caught.value
    assert error.message == said
    assert (error.provider, error.model, error.task, error.job_id) == ("film", MODEL, "text-to-video", "f1")
    assert error.advice
    assert told[-1] == Progress({"failed": "failed", "stopped": "cancelled"}[last["state"]], reason=last.get("reason"))
    assert STOP not in studio.asked


async def test_bad_gateways_do_not_lose_a_job(pauses: list[float]) -> None:
    """What was paid for is asked after until it is there, and fetched until it has come."""
    studio = Studio(502, httpx.ReadError("reset"), WORKING, 500, httpx.ConnectError("refused"), 429, READY)
    good = studio.files.pop()
    studio.files.extend([503, httpx.ReadTimeout("slow"), good])
    assert (await make(studio)).content == MP4
    assert studio.asked.count(BEGIN) == 1
    assert STOP not in studio.asked
    assert len(studio.asked) == 1 + 7 + 3


async def test_a_job_is_not_begun_twice(pauses: list[float]) -> None:
    """A gateway that fails when the job is handed in may have handed it on."""
    studio = Studio(accepts=502)
    with pytest.raises(ServerError):
        await make(studio)
    assert studio.asked == [BEGIN]


@pytest.mark.parametrize("last", [404, 401, httpx.Response(200, content=b"<html>")], ids=["404", "401", "html"])
async def test_a_job_that_can_be_asked_after_no_longer_is_cancelled(pauses: list[float], last: Any) -> None:
    """Nobody will collect it, so it need not go on, and the error is that of the poll."""
    studio = Studio(WORKING, last)
    with pytest.raises(HFClientError) as caught:
        await make(studio)
    assert studio.asked == [BEGIN, LOOK, LOOK, STOP]
    assert caught.value.status == (last if isinstance(last, int) else 200)


@pytest.mark.parametrize("error", [ValueError("mine"), InputError("mine")], ids=["foreign", "ours"])
async def test_a_listener_that_fails_ends_the_call(pauses: list[float], error: Exception) -> None:
    """What `on_progress` raises comes through as it is, and the job is cancelled."""
    studio = Studio(WAITING, WORKING, READY)

    def listen(progress: Progress) -> None:
        if progress.state == "running":
            raise error

    with pytest.raises(type(error), match="mine") as caught:
        await make(studio, on_progress=listen)
    assert caught.value is error
    assert studio.asked == [BEGIN, LOOK, LOOK, STOP]


# Giving up.


class Tracked:
    """A plan that knows when its job was accepted and when it had ended."""

    def __init__(self) -> None:
        self.accepted = self.ended = False

    def submit(self, call: Any, route: Any) -> Flow[Ticket]:
        reply: Response = yield post("/films", json={"prompt": call.inputs})
        self.accepted = True
        return Ticket(reply.json()["id"], get("/films/f1"), delete("/films/f1"))

    def read(self, payload: Any) -> Standing:
        self.ended = payload["state"] == "ready"
        return Standing("done" if self.ended else "running", payload)

    def collect(self, ticket: Ticket, answer: Any) -> Flow[bytes]:
        reply: Response = yield get("/result")
        return reply.content

    def client(self, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Client:
        task = Task.of_job(JobPlan(self.submit, self.read, self.collect))
        film = Provider("film", "https://api.film.example", {"text-to-video": task}, ("FILM_API_KEY",), mapped=False)
        monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, film]))
        return studio.client(None, provider="film", keys={"film": OWN}, max_connections=1)


async def test_cancelling_at_any_point_cancels_the_job_once(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the call waits, it can be cancelled: from the moment it is known that there is a job until it has ended,
    its cancel request goes out, once; before and after, never. Nothing else is asked for any more."""
    waits = nth = 0
    seen: set[tuple[bool, bool]] = set()
    while nth <= waits:
        nth += 1
        studio, plan = Studio(WORKING, WORKING, READY), Tracked()

        async def moment(_: str) -> None:
            await anyio.lowlevel.checkpoint()

        studio.before = moment
        client = plan.client(studio, monkeypatch)
        with anyio.CancelScope() as scope:
            cancelling = CancelAt(client.text_to_video(ASK), scope, nth)
            await cancelling
        await client.aclose()
        waits = cancelling.waits
        if not scope.cancelled_caught:
            assert nth > waits - 3
            continue
        due = plan.accepted and not plan.ended
        assert [said for said in studio.asked if said.startswith("DELETE")] == ["DELETE own/films/f1"] * due, nth
        if due:
            assert studio.asked[-1].startswith("DELETE")
            assert studio.keys("DELETE") == {OWN} or studio.keys("DELETE") == {f"Bearer {OWN}"}
        seen.add((plan.accepted, plan.ended))
    assert seen == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_asyncio_cancels_cancels_its_job(anyio_backend: str, pauses: list[float]) -> None:
    """`task.cancel()`, which knows nothing of scopes, does the same."""
    studio = Studio(WORKING)

    async def cancel(said: str) -> None:
        if said == LOOK:
            task.cancel()
            await anyio.lowlevel.checkpoint()

    studio.before = cancel
    task = asyncio.ensure_future(make(studio))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert studio.asked == [BEGIN, LOOK, STOP]


@pytest.mark.parametrize("how", ["hangs", "fails", "refuses", "cannot be reached"])
async def test_a_cancel_that_does_not_work_hides_nothing(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The caller's cancellation comes through whatever the provider says to its own, and waits no longer than its
    bound; nor is it tried again."""
    monkeypatch.setattr("hfclient.remote.GIVE_UP_SECONDS", 0.01)
    studio = Studio(WORKING)
    answers: dict[str, Any] = {"fails": 500, "refuses": 409, "cannot be reached": httpx.ConnectError("refused")}
    studio.cancels[0] = answers.get(how, {})
    with anyio.CancelScope() as scope:

        async def cancel(said: str) -> None:
            if said == LOOK:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            if said == STOP and how == "hangs":
                await anyio.sleep_forever()

        studio.before = cancel
        await make(studio)
    assert scope.cancelled_caught
    assert studio.asked == [BEGIN, LOOK, STOP]
    studio.before = None
    error = ValueError("the caller's own")

    def listen(_: Progress) -> None:
        raise error

    with pytest.raises(ValueError, match="own") as caught:
        await make(studio, on_progress=listen)
    assert caught.value is error


async def test_a_job_that_cannot_be_cancelled_is_left(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a provider has no way to cancel, giving up sends nothing."""
    plan = Tracked()
    submit = plan.submit

    def without_cancel(call: Any, route: Any) -> Flow[Ticket]:
        return replace((yield from submit(call, route)), cancel=None)

    monkeypatch.setattr(plan, "submit", without_cancel)
    studio = Studio(WORKING)
    with anyio.CancelScope() as scope:

        async def cancel(said: str) -> None:
            if said.startswith("GET"):
                scope.cancel()
                await anyio.lowlevel.checkpoint()

        studio.before = cancel
        await plan.client(studio, monkeypatch).text_to_video(ASK)
    assert scope.cancelled_caught
    assert studio.asked == ["POST own/films", "GET own/films/f1"]


# Submitted now, collected later.


async def test_a_job_is_submitted_and_asked_for_later(pauses: list[float]) -> None:
    """`submit` comes back as soon as the provider has accepted; the job tells how it stands, and gives its result as
    often as it is asked to."""
    studio = Studio(WAITING, WORKING, READY)
    job = await begun(studio, num_frames=48)
    assert studio.asked == [BEGIN]
    assert studio.body(BEGIN)["num_frames"] == 48
    assert (job.id, job.provider, job.task, job.model) == ("f1", "film", "text-to-video", MODEL)
    assert repr(job) == str(job) == "Job('f1', text-to-video at film)"
    assert (job.meta.provider, job.meta.status) == ("film", 200)
    assert await job.status() == Progress("queued", position=2)
    assert await job.status() == Progress("running", fraction=0.5, logs=("frame 7", "frame 8"))
    for _ in range(2):
        video = await job.result()
        assert (type(video), video.content, video.meta.model) == (Video, MP4, MODEL)
    assert studio.asked == [BEGIN, LOOK, LOOK, *[LOOK, FETCH] * 2]
    assert pauses == []


async def test_the_arguments_are_those_of_the_task_s_function() -> None:
    """By place and by name, checked as the function checks them; the task may be spelt as the function is."""
    studio = Studio()
    client = studio.client()
    for job in (
        await client.submit("text-to-video", ASK),
        await client.submit("text_to_video", prompt=ASK, model=MODEL, provider="film"),
    ):
        assert job.id == "f1"
    begun_with = [json.loads(request.content) for said, request in studio.requests if said == BEGIN]
    assert begun_with == [{"model": "film-id", "prompt": ASK}] * 2


@pytest.mark.parametrize(
    ("arguments", "options", "said", "advice"),
    [
        (("text-to-vide", ASK), {}, "There is no task 'text-to-vide' to submit", "Did you mean 'text-to-video'?"),
        (("mind-reading", ASK), {}, "There is no task 'mind-reading'", "There are: audio-classification, "),
        ((3, ASK), {}, "There is no task 3", ""),
        (("text-to-video",), {}, "text_to_video: missing a required argument: 'prompt'", "help(client.text_to_video)"),
        (("text-to-video", ASK, ASK), {}, "text_to_video: too many positional arguments", "help("),
        (("text-to-video", ""), {}, "text_to_video: prompt='' is empty", ""),
        (("text-to-video", ASK), {"seed": "x"}, "text_to_video: seed='x' is not a whole number", ""),
        (("text-to-video", ASK), {"sed": 3}, "text_to_video takes no option 'sed'", "Did you mean 'seed'?"),
        (("text-to-video", ASK), {"client": 3}, "text_to_video: multiple values for argument 'client'", "help("),
        (("text-to-video", ASK), {"save_to": "x.mp4"}, "submit takes no option 'save_to'", "job.result(save_to=…)"),
        (("text-to-video", ASK), {"on_progress": print}, "no option 'on_progress'", "job.result(on_progress=…)"),
        (("text-to-video", ASK), {"max_download_bytes": 3}, "no option 'max_download_bytes'", "job.result("),
    ],
)
async def test_what_cannot_be_submitted_is_told(
    arguments: Any, options: dict[str, Any], said: str, advice: str
) -> None:
    """Nothing is sent, and no option is accepted that has nothing to do here."""
    studio = Studio()
    with pytest.raises(InputError) as caught:
        await studio.client().submit(*arguments, **options)
    assert said in caught.value.message
    assert advice in caught.value.advice
    assert not studio.requests


async def test_a_result_that_is_waited_for(pauses: list[float], tmp_path: Path) -> None:
    """`result` tells of progress, and saves where it is wanted; what the provider said at first is no news by then."""
    studio = Studio(WAITING, WORKING, READY)
    job = await begun(studio)
    told: list[Progress] = []
    video = await job.result(save_to=tmp_path / "film.mp4", on_progress=told.append, max_download_bytes=10_000)
    assert [progress.state for progress in told][:3] == ["queued", "running", "done"]
    assert told[0].position == 2
    assert (video.path, video.content) == (tmp_path / "film.mp4", MP4)
    assert names_in(tmp_path) == ["film.mp4"]
    with pytest.raises(HFClientError, match="larger than 100 bytes"):
        await job.result(save_to=tmp_path / "other.mp4", max_download_bytes=100)
    for place, fault in ((tmp_path, "is a directory"), (tmp_path / "no" / "x", "no directory")):
        asked = len(studio.asked)
        with pytest.raises(InputError, match=fault):
            await job.result(save_to=place)
        assert len(studio.asked) == asked
    assert names_in(tmp_path) == ["film.mp4"]


async def test_a_job_that_was_done_at_once_needs_no_more_asking() -> None:
    """The provider's first answer was the result: it is fetched from there, each time."""
    studio = Studio(accepts={"id": "f1", **READY})
    job = await begun(studio)
    for _ in range(2):
        assert (await job.result()).content == MP4
    assert studio.asked == [BEGIN, FETCH, FETCH]


async def test_leaving_a_result_leaves_the_job(clock: list[float]) -> None:
    """Whoever stops waiting for the result, or has no more time, has not stopped the job, and can ask again."""
    studio = Studio(WORKING)
    job = await begun(studio)
    with anyio.CancelScope() as scope:

        async def cancel(said: str) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        studio.before = cancel
        await job.result()
    assert scope.cancelled_caught
    studio.before = None
    for options, seconds in (({}, 600), ({"deadline": 30}, 30)):
        before = sum(clock)
        with pytest.raises(DeadlineError, match=f"deadline of {seconds} s") as caught:
            await job.result(**options)  # type: ignore[arg-type]
        assert sum(clock) - before == pytest.approx(seconds)
        assert "a job of client.submit(…) goes on" in caught.value.advice
    assert set(studio.asked) == {BEGIN, LOOK}
    studio.states.append(READY)
    studio.states.popleft()
    assert (await job.result()).content == MP4


async def test_a_failed_job_is_told_as_often_as_it_is_asked(pauses: list[float]) -> None:
    """`status` says why and raises nothing; `result` raises, each time."""
    job = await begun(Studio(FAILED))
    assert await job.status() == Progress("failed", reason="The prompt is not safe.")
    for _ in range(2):
        with pytest.raises(JobFailedError, match="not safe") as caught:
            await job.result()
        told = caught.value
        assert (told.job_id, told.provider, told.model, told.task) == ("f1", "film", MODEL, "text-to-video")


async def test_a_job_is_cancelled(pauses: list[float]) -> None:
    """`cancel` has the provider stop it, once; what the provider refuses is an error like any other."""
    studio = Studio(STOPPED)
    job = await begun(studio)
    await job.cancel()
    assert studio.asked == [BEGIN, STOP]
    with pytest.raises(JobCancelledError):
        await job.result()
    studio.cancels[0] = 404
    with pytest.raises(NotFoundError) as caught:
        await job.cancel()
    assert caught.value.task == "text-to-video"
    lasting = Job(job.client, replace(job.ticket, cancel=None), job.provider, job.task, job.model, job.via)
    with pytest.raises(InputError, match="film has no way to cancel a job"):
        await lasting.cancel()


async def test_options_of_a_job(pauses: list[float]) -> None:
    """How to ask can be said each time; an option that has nothing to do is refused where it is given."""
    studio = Studio(WORKING)
    job = await begun(studio)
    ask = {"timeout": 7, "retry": False, "extra_headers": {"x-trace": "1"}, "extra_query": {"page": 2}, "deadline": 9}
    await job.status(**ask)  # type: ignore[arg-type]
    await job.cancel(**ask)  # type: ignore[arg-type]
    for _, request in studio.requests[-2:]:
        assert (request.headers["x-trace"], request.url.params["page"]) == ("1", "2")
        assert request.extensions["timeout"]["read"] == 7
    for wrong, meant in (({"save_to": "x"}, ""), ({"on_progress": print}, ""), ({"timout": 3}, "'timeout'")):
        for what in (job.status, job.cancel):
            with pytest.raises(InputError, match=f"job.{what.__name__} takes no option") as caught:
                await what(**wrong)
            assert meant in caught.value.advice
    with pytest.raises(InputError, match=r"job\.result takes no option 'seed'"):
        await job.result(seed=3)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="deadline=0"):
        await job.result(deadline=0)


async def test_what_a_job_was_submitted_with_it_is_asked_for_with() -> None:
    """Headers, payer and address of one call are remembered with its job, as long as it stays in this process."""
    studio = Studio(READY)
    client = studio.client()
    job = await client.submit("text-to-video", ASK, extra_headers={"x-tenant": "7"}, bill_to="my-org")
    await job.status()
    for _, request in studio.requests[-2:]:
        assert (request.headers["x-tenant"], request.headers["x-hf-bill-to"]) == ("7", "my-org")
    mine = "https://mine.example/proxy"
    job = await client.submit("text-to-video", ASK, provider="film", base_url=mine)
    await job.status()
    assert studio.asked[-2:] == ["POST mine.example/proxy/films", "GET mine.example/proxy/films/f1"]
    assert client.defaults.base_url is None


# Where it can be submitted.


async def test_work_that_is_done_at_once_is_no_job() -> None:
    """A provider without jobs for the task says so, and which function to call instead."""
    studio = Studio()
    with pytest.raises(NoProviderError, match="hf-inference does text-to-image at once") as caught:
        await studio.client(provider="hf-inference").submit("text-to-image", "a cat")
    assert caught.value.advice == "Call client.text_to_image(…), which waits for the result."
    with pytest.raises(NoProviderError, match="groq does not serve text-to-video"):
        await studio.client(provider="groq").submit("text-to-video", ASK)
    with pytest.raises(NoProviderError, match="endpoint does text-to-video at once"):
        await studio.client(base_url="https://mine.example").submit("text-to-video", ASK)
    assert studio.asked == []


@pytest.fixture
def _others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One provider that does the task at once, and another with jobs."""
    from hfclient_film import FILM  # type: ignore[import-not-found]

    def at_once(call: Any, route: Any) -> Flow[str]:
        yield from ()
        return "at once"

    sync = Provider("sync", "https://api.sync.example", {"text-to-video": Task(at_once)})
    other = replace(FILM, name="other", url="https://api.other.example")
    monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, FILM, sync, other]))


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize("provider", ["auto", ["sync", "film", "other"], ["groq", "film"]], ids=str)
async def test_the_first_provider_that_has_jobs_gets_it(provider: Any) -> None:
    """Of several, the first that does the task as a job; those that do it at once are passed over."""
    studio = Studio()
    studio.providers = ("sync", "film", "other")
    job = await begun(studio, provider=provider)
    assert (job.provider, studio.asked) == ("film", [BEGIN])
    assert await studio.client().text_to_video(ASK, provider="sync") == "at once"


@pytest.mark.usefixtures("_others")
async def test_a_busy_provider_passes_the_job_on(pauses: list[float]) -> None:
    """A provider that does not accept the job is not where it is asked for; one that has accepted keeps it."""
    studio = Studio(READY)
    studio.providers = ("film", "other")
    studio.accepts.appendleft(429)
    job = await begun(studio)
    assert job.provider == "other"
    assert [attempt.status for attempt in job.meta.attempts] == [429, 200]
    await job.status()
    assert studio.asked == [BEGIN, "POST router/other/films", "GET router/other/films/f1"]
    studio = Studio(429, accepts={"id": "f1"})
    studio.providers = ("film", "other")
    with pytest.raises(RateLimitError):
        await make(studio, deadline=0.05)
    assert "POST router/other/films" not in studio.asked


# Keys.


async def test_a_job_of_the_router_is_the_router_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is known to the account that submitted it: a key of the provider's own does not ask for it later."""
    studio = Studio(READY)
    job = await begun(studio)
    both = studio.client(keys={"film": OWN})
    monkeypatch.setenv("FILM_API_KEY", OWN)
    for client in (both, studio.client()):
        await Job.from_dict(job.to_dict(), client).status()
    assert studio.asked == [BEGIN, LOOK, LOOK]
    assert studio.keys() == {f"Bearer {HF}"}
    with pytest.raises(MissingKeyError, match="went through the router, and there is no token") as caught:
        await Job.from_dict(job.to_dict(), studio.client(None, keys={"film": OWN})).result()
    assert "hf auth login" in caught.value.advice
    assert len(studio.asked) == 3


async def test_a_job_of_a_key_is_that_key_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other way round: the router's token is not asked to answer for it, wherever the key lies."""
    studio = Studio(READY)
    job = await studio.client(keys={"film": OWN}).submit("text-to-video", ASK)
    await Job.from_dict(job.to_dict(), studio.client(keys={"film": OWN})).status()
    with pytest.raises(MissingKeyError, match="no key for film, and the job was submitted with one") as caught:
        await Job.from_dict(job.to_dict(), studio.client()).status()
    assert "FILM_API_KEY" in caught.value.advice
    with pytest.raises(MissingKeyError, match="no key for film"):
        await Job.from_dict(job.to_dict(), studio.client(keys={"film": "hf_fake_filed_wrongly"})).status()
    monkeypatch.setenv("FILM_API_KEY", OWN)
    await Job.from_dict(job.to_dict(), studio.client()).status()
    assert studio.asked == ["POST own/films", *["GET own/films/f1"] * 2]
    assert studio.keys() == {OWN}


async def test_a_token_filed_under_the_provider_s_name_is_still_a_token() -> None:
    """It leads through the router, there and back."""
    studio = Studio(READY)
    client = studio.client(None, keys={"film": HF})
    job = await client.submit("text-to-video", ASK)
    await Job.from_dict(job.to_dict(), client).status()
    assert studio.asked == [BEGIN, LOOK]


async def test_a_provider_without_keys_has_jobs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no key is asked for, none is missing."""
    from hfclient_film import FILM

    free = replace(FILM, variables=(), routed=False, mapped=False)
    monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([free]))
    studio = Studio(READY)
    job = await begun(studio, provider="film")
    await Job.from_dict(job.to_dict(), studio.client()).status()
    assert studio.asked == ["POST own/films", "GET own/films/f1"]
    assert studio.keys() == {None}


async def test_a_wrong_key_is_told(pauses: list[float]) -> None:
    """Another account's job is not found, or not allowed: that is an error of the service, with its place."""
    studio = Studio(401)
    job = await begun(studio)
    for ask in (job.status, job.result):
        with pytest.raises(HFClientError) as caught:
            await ask()
        assert (caught.value.status, caught.value.provider, caught.value.task) == (401, "film", "text-to-video")


async def test_no_key_is_in_a_job(caplog: pytest.LogCaptureFixture, pauses: list[float]) -> None:
    """Not in its repr, not in its data, not in a pickle, of which there is none, and not in its errors."""
    planted = {
        "hf_fake_planted_token_0": "token",
        "film-fake-planted-key-1": "key",
        "header-fake-planted-2": "header",
        "query-fake-planted-3": "query",
    }
    token, key, header, query = planted
    studio = Studio(WAITING, FAILED)
    client = studio.client(token, keys={"film": key}, headers={"x-api-token": header})
    with caplog.at_level(logging.DEBUG, "hfclient"):
        job = await client.submit("text-to-video", ASK, extra_query={"api_key": query})
        progress = await job.status(extra_query={"api_key": query})
        with pytest.raises(JobFailedError) as caught:
            await job.result(extra_headers={"x-api-token": header})
    with pytest.raises(TypeError, match=r"take job\.to_dict\(\) along") as refused:
        pickle.dumps(job)
    shown = [repr(job), str(job), f"{job}", json.dumps(job.to_dict()), repr(job.ticket), repr(job.meta), repr(progress)]
    shown += [str(caught.value), repr(vars(caught.value)), str(refused.value), caplog.text]
    for secret in planted:
        assert not [text for text in shown if secret in text], secret


async def test_a_key_that_a_provider_says_back_is_not_told(pauses: list[float]) -> None:
    """Neither progress nor error shows it: a job's reason and its logs are the provider's words."""
    said = {"reason": f"Bearer {HF} was refused", "logs": [f"key={HF}", "frame 7"]}
    job = await begun(Studio({"state": "failed", **said}))
    told: list[Progress] = [await job.status()]
    with pytest.raises(JobFailedError, match="was refused") as caught:
        await job.result(on_progress=told.append)
    assert told[0] == told[1]
    assert told[0].logs[1] == "frame 7"
    assert HF not in repr(told) + str(caught.value) + repr(vars(caught.value))


# In another process.


async def test_a_job_is_taken_elsewhere_as_json(pauses: list[float]) -> None:
    """What `to_dict` gives passes through JSON, and is the same job again with any client that has the key."""
    studio = Studio(WORKING, READY)
    job = await begun(studio)
    data = json.loads(json.dumps(job.to_dict()))
    assert data == {
        "provider": "film",
        "task": "text-to-video",
        "model": MODEL,
        "via": "router",
        "id": "f1",
        "poll": {"method": "GET", "path": "/films/f1", "query": {}, "json": None},
        "cancel": {"method": "DELETE", "path": "/films/f1", "query": {}, "json": None},
        "notes": {"format": "mp4"},
    }
    again = Job.from_dict(data, studio.client())
    assert again == job
    assert {again, job} == {job}
    assert again.to_dict() == data
    assert (await again.status()).state == "running"
    assert (await again.result()).content == MP4
    await again.cancel()
    assert studio.asked[-1] == STOP


async def test_a_job_of_an_address_of_ones_own(pauses: list[float]) -> None:
    """The address is not kept with the job, for it may be a secret: it is asked for with the client of that address."""
    studio = Studio(READY)
    mine = studio.client("mine_fake_key_0123", base_url="https://mine.example/proxy?tenant=7", provider="film")
    job = await mine.submit("text-to-video", ASK)
    assert (job.via, "mine.example" in json.dumps(job.to_dict())) == ("endpoint", False)
    with pytest.raises(InputError, match="an address of your own, which is not kept") as caught:
        await Job.from_dict(job.to_dict(), studio.client()).status()
    assert "Job.from_dict(data, client)" in caught.value.advice
    await Job.from_dict(job.to_dict(), mine).status()
    assert studio.asked == ["POST mine.example/proxy/films", "GET mine.example/proxy/films/f1"]
    assert studio.keys() == {"mine_fake_key_0123"}
    elsewhere = await begun(Studio(READY))
    with_address = Job.from_dict(elsewhere.to_dict(), studio.client(base_url="https://mine.example"))
    await with_address.status()
    assert studio.asked[-1] == LOOK


async def test_a_job_of_a_provider_that_is_not_there() -> None:
    """Where the package that brought the provider is missing, or another one took its name, the error says so."""
    studio = Studio()
    data = (await begun(studio)).to_dict()
    with pytest.raises(InputError, match="There is no provider 'flim'") as caught:
        await Job.from_dict({**data, "provider": "flim"}, studio.client()).status()
    assert caught.value.advice == "Did you mean 'film'?"
    with pytest.raises(NoProviderError, match="film does not serve text-to-image"):
        await Job.from_dict({**data, "task": "text-to-image"}, studio.client()).status()
    with pytest.raises(InputError, match="hf-inference has no such jobs"):
        await Job.from_dict({**data, "provider": "hf-inference", "task": "text-to-image"}, studio.client()).status()


GOOD: dict[str, Any] = {
    "provider": "film",
    "task": "text-to-video",
    "model": None,
    "via": "router",
    "id": "f1",
    "poll": {"method": "GET", "path": "/films/f1", "query": {}, "json": None},
    "cancel": None,
    "notes": {},
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def damaged() -> st.SearchStrategy[Any]:
    """Anything, or a job in which some things are not what they were."""
    fields = {name: st.just(value) | PLAIN for name, value in GOOD.items()}
    poll = {name: st.just(value) | PLAIN for name, value in GOOD["poll"].items()}
    return PLAIN | st.fixed_dictionaries({}, optional={**fields, "poll": st.fixed_dictionaries({}, optional=poll)})


@given(damaged())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_data_that_is_no_job_is_refused(data: Any) -> None:
    """Whatever is passed, the answer is a job or an `InputError`."""
    with suppress(InputError):
        job = Job.from_dict(data, OFFLINE)
        assert repr(job)
        assert Job.from_dict(job.to_dict(), OFFLINE) == job


OFFLINE = Client(HF)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": 3}, "id: Input should be a valid string"),
        ({"via": "air"}, "via: Input should be 'router', 'provider' or 'endpoint'"),
        ({"poll": None}, "poll: "),
        ({"poll": {**GOOD["poll"], "method": "PATCH"}}, "poll.method: "),
        ({"poll": {**GOOD["poll"], "path": "https://evil.example/"}}, "poll.path: "),
        ({"cancel": {"method": "DELETE"}}, "cancel.path: Field required"),
        ({"notes": [1]}, "notes: "),
    ],
)
def test_what_is_wrong_with_a_job_s_data_is_told(change: dict[str, Any], said: str) -> None:
    """The place and the fault; a request of it can lead to no other host."""
    with pytest.raises(InputError) as caught:
        Job.from_dict({**GOOD, **change}, OFFLINE)
    assert said in caught.value.message


PROGRAM = """
    import json, sys
    import anyio
    from hfclient import Client, Job

    async def main():
        job = Job.from_dict(json.load(sys.stdin))
        print((await job.status()).state)
        video = await job.result(save_to=sys.argv[1])
        print(video.media_type, video.size)
        await job.client.aclose()

    anyio.run(main, backend=sys.argv[2])
"""


async def test_a_job_is_collected_in_another_process(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data alone, the key in the environment and the installed package are enough."""
    place: list[str] = []

    def service(request: Received) -> list[Step]:
        if request.path.startswith("/api/models/"):
            row = {"status": "live", "providerId": "film-1", "task": "text-to-video"}
            return json_answer({"id": MODEL, "inferenceProviderMapping": {"film": row}})
        if request.path == "/film.mp4":
            return answer(MP4, headers={"content-type": "video/mp4"})
        assert request.headers["authorization"] == f"Bearer {HF}"
        if request.method == "POST":
            return json_answer({"id": "f1", "state": "waiting"})
        assert request.path == "/film/films/f1"
        return json_answer({"state": "ready", "film": f"{place[0]}/film.mp4"})

    with Loopback(service) as server:
        place.append(server.url)
        for name, value in {"HF_ENDPOINT": server.url, "HFCLIENT_ROUTER": server.url, "HF_TOKEN": HF}.items():
            monkeypatch.setenv(name, value)
        async with Client(model=MODEL) as client:
            job = await client.submit("text-to-video", ASK)
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(tmp_path / "x.mp4"), anyio_backend],
                input=json.dumps(job.to_dict()),
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(THIRD_PARTY)])},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        )
    assert (done.stdout.split("\n"), done.stderr) == (["done", f"video/mp4 {len(MP4)}", ""], "")
    assert (tmp_path / "x.mp4").read_bytes() == MP4
