"""Asking after jobs: how their providers' words are read, how long the pauses are, and what many jobs at once cost."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from itertools import islice, pairwise
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.call import Call
from hfclient.credentials import origin_of
from hfclient.errors import JobError, JobFailedError, ResponseError
from hfclient.flow import Flow, Progress, Response, Wait, get, post
from hfclient.providers.jobs import fraction, hub_model, in_path, job_id
from hfclient.providers.openai_compatible import size_apart, size_as_text
from hfclient.providers.reading import path_of
from hfclient.route import Route
from hfclient.ticket import (
    FIRST_PAUSE,
    LONGEST_ASKED_FOR,
    LONGEST_PAUSE,
    JobPlan,
    Standing,
    State,
    Ticket,
    growing_pauses,
)
from tests.flows import play, reply
from tests.internet import HF
from tests.jobs import FILE_URL, FILM, route_for

STATES: dict[str, State] = {"waiting": "queued", "at work": "running", "ready": "done", "broken": "failed"}
TICKET = Ticket("job-1", get("/jobs/job-1"), first={})


def submit(_call: Call, _route: Route) -> Flow[Ticket]:
    yield from ()
    return TICKET


def standing(payload: Any) -> Standing:
    told: dict[str, Any] = payload if isinstance(payload, dict) else {}
    return Standing.told(told.get("state"), STATES, payload, reason=told.get("error"))


def collect(_: Ticket, answer: Any) -> Flow[Any]:
    yield from ()
    return answer


PLAN = JobPlan(submit, standing, collect)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("waiting", "queued"),
        ("At Work", "running"),
        ("READY", "done"),
        ("broken", "failed"),
        ("meditating", "running"),
        ("", "queued"),
        (None, "queued"),
        (3, "queued"),
        (["ready"], "queued"),
    ],
)
def test_a_word_stands_for_a_state(word: object, state: State) -> None:
    """However it is spelt; a word we do not know keeps the job going, and no word says that it has not begun."""
    assert Standing.told(word, STATES, {}).state == state


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("out of memory", "out of memory"),
        ({"message": "out of memory", "code": 7}, "out of memory"),
        ([{"msg": "out of memory"}], "out of memory"),
        ({}, None),
        ("", None),
        (None, None),
    ],
)
def test_a_reason_is_read_in_whichever_shape_it_comes(error: object, reason: str | None) -> None:
    """It belongs to what went wrong: a job that goes on, or went well, has none."""
    assert Standing.told("broken", STATES, {}, reason=error).reason == reason
    assert Standing.told("at work", STATES, {}, reason=error).reason is None
    assert Standing.told("ready", STATES, {}, reason=error).reason is None


def pauses_of(*answers: Response) -> list[float]:
    flow = PLAN.follow(TICKET)
    waiting = list(answers)
    waited: list[float] = []
    outcome: Any = None
    with suppress(StopIteration):
        while True:
            step = flow.send(outcome)
            outcome = waiting.pop(0) if step == TICKET.poll else None
            waited += [step.seconds] if isinstance(step, Wait) else []
    return waited


def working(**headers: str) -> Response:
    return reply({"state": "at work"}, headers={name.replace("_", "-"): value for name, value in headers.items()})


DONE = reply({"state": "ready"})


def test_pauses_grow() -> None:
    """Short for a job of a second, and never longer than a few seconds for one of minutes."""
    waited = pauses_of(*[working()] * 20, DONE)
    assert waited[0] == FIRST_PAUSE <= 0.5
    assert waited == sorted(waited)
    assert all(later <= 1.5 * pause for pause, later in pairwise(waited))
    assert waited[-1] == LONGEST_PAUSE <= 5.0


def test_a_provider_may_ask_for_longer_pauses() -> None:
    """Its Retry-After lengthens the next pause, never shortens one, and not beyond what a waiting caller can bear."""
    first, second, third, fourth = islice(growing_pauses(), 4)
    assert pauses_of(working(retry_after="2"), working(retry_after="0"), working(), DONE) == [first, 2.0, third, fourth]
    assert pauses_of(working(retry_after="86400"), DONE) == [first, LONGEST_ASKED_FOR]
    assert pauses_of(working(retry_after_ms="700"), working(retry_after="soon"), DONE) == [first, 0.7, third]
    assert pauses_of(working(ratelimit='"api";r=499;t=240'), DONE) == [first, second]


def test_an_error_with_a_success_status_ends_the_waiting() -> None:
    """A poll that is answered with an error would be asked until the deadline; the error says which job it was."""
    with pytest.raises(JobError, match="no such job") as caught:
        pauses_of(reply({"error": {"message": "no such job"}}))
    assert (caught.value.job_id, caught.value.status) == ("job-1", 200)
    assert not isinstance(caught.value, JobFailedError)


@pytest.mark.parametrize("word", ["at work", "meditating"])
def test_a_job_that_goes_on_may_mention_errors(word: str) -> None:
    """A state that is told is believed, whatever stands beside it."""
    assert pauses_of(reply({"state": word, "error": "frame 3 was dropped"}), DONE) == list(islice(growing_pauses(), 2))


def test_an_empty_answer_means_wait() -> None:
    """An answer that holds nothing is no error."""
    assert pauses_of(reply({}), reply([]), reply(None), DONE) == list(islice(growing_pauses(), 4))


def test_a_standing_is_told_as_progress() -> None:
    """What the caller sees of a standing, and none of what only the machine needs."""
    told = Standing("running", {"secret": 1}, fraction=0.5, pause=3.0).progress()
    assert told == Progress("running", fraction=0.5)


@pytest.mark.parametrize(
    ("value", "of", "share"),
    [
        (0, 1, 0.0),
        (0.5, 1, 0.5),
        (50, 100, 0.5),
        (100, 100, 1.0),
        (100.1, 100, None),
        (-1, 100, None),
        (True, 1, None),
        ("1", 1, None),
        (None, 1, None),
        (float("nan"), 1, None),
        (10**400, 1, None),
    ],
)
def test_a_fraction_is_a_number_from_0_to_1(value: object, of: float, share: float | None) -> None:
    """Anything else is not known."""
    assert fraction(value, of=of) == share


@pytest.mark.parametrize(("name", "found"), [("a-1", "a-1"), (17, "17"), ("a/b", "a/b")])
def test_a_jobs_id_is_text(name: object, found: str) -> None:
    """Some services number their jobs."""
    assert job_id(reply({"job": {"id": name}}), "job", "id") == found


@pytest.mark.parametrize("name", [None, "", "..", "a\n", "\ud800", True, {}, ["a"], 1.5])
def test_what_is_no_id_is_no_job(name: object) -> None:
    """An answer without an id cannot be asked after."""
    with pytest.raises(ResponseError, match="no job: it has no id"):
        job_id(reply({"job": {"id": name}}), "job", "id")


@given(st.text(st.characters(exclude_categories=())))
def test_an_id_is_one_step_of_a_path(name: str) -> None:
    """Whatever a provider calls its jobs, the address to ask after one is where it should be, or there is no job."""
    try:
        found = job_id(reply({"id": name}), "id")
    except ResponseError:
        return
    url = httpx.URL(f"https://host.invalid/jobs/{in_path(found)}")
    assert url.path == f"/jobs/{name}"
    assert url.raw_path.count(b"/") == 2


@pytest.mark.parametrize(
    ("model", "extras", "named"),
    [
        ("org/model", {}, "org/model"),
        ("org/model:wavespeed", {}, "org/model"),
        ("org/alias", {"hfModelId": "org/model"}, "org/model"),
        (None, {}, None),
    ],
)
def test_a_model_has_a_name_on_the_hub(model: str | None, extras: dict[str, Any], named: str | None) -> None:
    """The mapping's word for it counts, else the caller's without the suffix that chose a provider."""
    assert (
        hub_model(Call("text-to-image", "a", model=model), route_for("wavespeed", "text-to-image", **extras)) == named
    )


def test_sizes_are_told_in_one_word_or_two() -> None:
    """Neither change touches the body it was given, nor a size that is incomplete."""
    body = {"width": 4, "height": 3, "seed": 1}
    assert size_as_text(body) == {"seed": 1, "size": "4x3"}
    assert size_apart({"target_size": {"width": 4, "height": 3}, "seed": 1}) == body
    assert body == {"width": 4, "height": 3, "seed": 1}
    assert size_as_text({"width": 4, "height": None}) == {"width": 4, "height": None}
    assert size_apart({"target_size": {"width": 4}}) == {"target_size": {"width": 4}}


ROUTES = [route_for("wavespeed", "text-to-image", routed=routed) for routed in (True, False)]
PATHS = st.lists(st.sampled_from(["a", "..", ".", "%2e%2e", "%2E.", "", "wavespeed", "v1", "?x=1", "#y", "a%2Fb", "ü"]))
ADDRESSES = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.tuples(
        st.sampled_from(
            ["https://evil.invalid", "https://router.huggingface.co", "//evil.invalid", "", "x:", "https://["]
        ),
        PATHS.map("/".join),
    ).map("/".join),
)


@given(ADDRESSES, st.sampled_from(ROUTES))
def test_no_address_leads_away_from_the_route(address: str, route: Route) -> None:
    """Whatever a provider names, we ask at its own place on its own origin, or nowhere."""
    try:
        path = path_of(address, route)
    except ResponseError:
        return
    url = httpx.URL(route.url_of(path))
    assert origin_of(str(url)) == origin_of(route.base_url)
    assert f"{url.path}/".startswith(httpx.URL(route.base_url).path.rstrip("/") + "/")


@pytest.mark.parametrize("address", [None, 7, "", {}, [], "relative", "https://host.invalid"])
def test_what_is_no_address_is_refused(address: object) -> None:
    """The error says what is missing."""
    with pytest.raises(ResponseError, match="does not say where"):
        path_of(address, ROUTES[0])


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was handed to a thread, and every thread that was started."""
    seen: list[str] = []
    start, run_sync = threading.Thread.start, anyio.to_thread.run_sync

    def started(thread: threading.Thread) -> None:
        seen.append(thread.name)
        start(thread)

    async def handed_over(work: Any, *rest: Any, **options: Any) -> Any:
        seen.append(work.__name__)
        return await run_sync(work, *rest, **options)

    monkeypatch.setattr(threading.Thread, "start", started)
    monkeypatch.setattr(anyio.to_thread, "run_sync", handed_over)
    return seen


lived: ContextVar[float] = ContextVar("lived", default=0.0)


@pytest.fixture
def own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only pauses move, for each task its own."""

    async def sleep(seconds: float) -> None:
        lived.set(lived.get() + seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("hfclient.clock.sleep", sleep)
    monkeypatch.setattr("hfclient.clock.now", lived.get)


class Studio:
    """Together, where every film takes a second of its caller's time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.requests: Counter[str] = Counter()
        self.under_way = 0
        self.most = 0
        self.at_work_in: set[int] = set()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.at_work_in.add(threading.get_ident())
        await anyio.lowlevel.checkpoint()
        place = request.url.path.rpartition("/")[2] if request.method == "GET" else request.method
        self.requests[request.method if request.url.host == "api.together.xyz" else place] += 1
        if place == "result":
            return httpx.Response(200, headers={"content-type": "video/mp4"}, content=FILM)
        if request.url.host != "api.together.xyz":
            return httpx.Response(404, json={"error": "Repository not found"})
        if request.method == "POST":
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            return httpx.Response(200, json={"id": json.loads(request.content)["prompt"], "status": "queued"})
        if lived.get() < 1.0:
            return httpx.Response(200, json={"id": place, "status": "in_progress"})
        self.under_way -= 1
        return httpx.Response(200, json={"id": place, "status": "completed", "outputs": {"video_url": FILE_URL}})


@pytest.mark.anyio
@pytest.mark.usefixtures("own_time")
async def test_two_hundred_jobs_are_one_loop_and_no_thread(threads: list[str]) -> None:
    """All are under way at once, in one thread, and each is asked after no more often than if it were alone."""
    studio = Studio()
    films: list[bytes | None] = []
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(studio.answer))
    async with (
        Client(HF, keys={"together": "fake_key"}, provider="together", model="m", http_client=http_client) as client,
        anyio.create_task_group() as group,
    ):

        async def film(number: int) -> None:
            films.append((await client.text_to_video(f"film-{number}")).content)

        await film(0)  # a client's very first call reads the certificates, in a thread
        studio.forget()
        films.clear()
        threads.clear()
        lived.set(0.0)
        for number in range(200):
            group.start_soon(film, number)
    assert films == [FILM] * 200
    assert studio.requests["POST"] == studio.most == 200
    assert studio.requests["GET"] == 2 * 200  # after 0.4 s of its own, and after a second
    assert studio.requests["result"] == 200
    assert studio.at_work_in == {threading.get_ident()}
    assert threads == []


@pytest.mark.anyio
async def test_the_count_of_threads_notices(threads: list[str]) -> None:
    """Both a thread that is started and work that is handed to one are seen."""
    await anyio.to_thread.run_sync(int)
    thread = threading.Thread(target=int, name="mine")
    thread.start()
    thread.join()
    assert {"int", "mine"} <= set(threads)


@pytest.fixture(autouse=True)
def _quiet_hub(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """That the Hub does not know the model is said in the log, and is no matter here."""
    with caplog.at_level("ERROR", logger="hfclient"):
        yield


def test_a_plan_submits_and_follows() -> None:
    """The flow of a job by hand: nothing to send, one pause, one look, and what was collected."""
    call, route = Call("text-to-video", "a"), ROUTES[0]
    steps, result = play(PLAN.run(call, route), None, None, None, DONE, None, None)
    assert result == {"state": "ready"}
    assert [type(step).__name__ for step in steps] == ["Undo", "Progress", "Wait", "Request", "Progress", "Undo"]
    assert steps[3] == TICKET.poll != post("/jobs/job-1")
