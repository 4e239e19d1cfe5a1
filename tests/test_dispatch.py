"""The dispatcher: results with their story, retries, deadlines, the next provider in line, cancellation, both sides."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from hfclient import Client, Retry, Timeout
from hfclient.call import Call
from hfclient.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ConnectionLostError,
    CreditsError,
    DeadlineError,
    HFClientError,
    InputError,
    ModelLoadingError,
    NoProviderError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    ServerError,
    TimedOutError,
)
from hfclient.flow import Wait, get, post
from hfclient.provider import Provider, Task
from hfclient.providers.openai_compatible import chat
from hfclient.providers.table import PROVIDERS
from hfclient.registry import Registry
from hfclient.route import Route
from hfclient.telemetry import Observation
from hfclient.trip import Trip
from hfclient.types import ChatCompletion, ChatCompletionChunk
from tests.cancelling import CancelAt
from tests.flows import CHAT, COMPLETION
from tests.internet import EVENTS, HF, MODEL, Internet, live

pytestmark = pytest.mark.anyio

ACME = "acme_fake_0123456789"
OTHER = "other_fake_0123456789"


@dataclass
class Watched(Observation):
    """What telemetry is told of one call."""

    story: list[str] = field(default_factory=list)

    def routed(self, provider: str, url: str, model: str | None = None) -> None:
        self.story.append(f"routed {provider}")

    def attempt_failed(self, attempt: Any, *, waited: float, next_provider: str | None) -> None:
        self.story.append(f"failed {attempt.provider} {attempt.error} then {next_provider}")

    def succeeded(self, result: object, meta: Any) -> None:
        self.story.append("succeeded")

    def failed(self, error: BaseException, partial: object = None) -> None:
        self.story.append(f"ended {type(error).__name__}")

    @property
    def ended(self) -> bool:
        return bool(self.story) and self.story[-1].startswith(("succeeded", "ended"))


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """Every observation that was begun."""
    begun: list[Watched] = []

    def observe(call: Call, **_: Any) -> Watched:
        begun.append(Watched())
        return begun[-1]

    monkeypatch.setattr("hfclient.dispatch.observe", observe)
    return begun


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds providers to those that every new client knows."""

    def bring(*providers: Provider) -> None:
        monkeypatch.setattr("hfclient.client.Registry", lambda: Registry([*PROVIDERS, *providers]))

    return bring


def own(name: str, run: Any = None, stream: Any = None, **parts: Any) -> Provider:
    task = Task(run, stream) if run else chat()
    return Provider(name, f"https://{name}.invalid", {CHAT: task}, routed=False, mapped=False, **parts)


def js(payload: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json=payload, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


# The story of a call


async def test_meta_tells_who_served_the_call(observed: list[Watched]) -> None:
    """The provider the router chose, the request id, status, headers, the one attempt, and how long it took."""
    headers = {"x_inference_provider": "groq", "x_request_id": "req-7", "x_compute_time": "0.5"}
    with Internet() as internet:
        internet.at("router", js(COMPLETION, **headers))
        async with Client(HF, model=MODEL) as client:
            meta = (await client.chat("x")).meta
    assert (meta.provider, meta.model, meta.request_id, meta.status) == ("groq", MODEL, "req-7", 200)
    assert meta.headers["x-compute-time"] == "0.5"
    assert [(attempt.provider, attempt.status, attempt.error) for attempt in meta.attempts] == [("groq", 200, None)]
    assert meta.seconds >= 0
    assert observed[0].story == ["routed auto", "succeeded"]


async def test_seconds_are_the_call_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`seconds` runs from the call to its result, whatever else the clock has seen."""
    now = [1000.0]
    monkeypatch.setattr("hfclient.clock.now", lambda: now[0])

    def slow(request: httpx.Request) -> httpx.Response:
        now[0] += 2.5
        return js(COMPLETION)

    with Internet() as internet:
        internet.at("router", slow)
        async with Client(HF, model=MODEL) as client:
            assert (await client.chat("x")).meta.seconds == pytest.approx(2.5)


async def test_without_a_word_from_the_router_the_provider_is_the_one_asked() -> None:
    """A provider called by name is named, and the router itself if it does not say whom it chose."""
    with Internet() as internet:
        internet.serves(MODEL, groq=live("llama"))
        async with Client(HF, model=MODEL) as client:
            assert (await client.chat("x")).meta.provider == "auto"
            assert (await client.chat("x", provider="groq")).meta.provider == "groq"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (js({"error": "out of memory"}), "out of memory"),
        (js({"error": {"message": "out of memory"}}), "out of memory"),
        (js({**COMPLETION, "choices": None}), "no chat completion"),
        (js({**COMPLETION, "choices": []}), "no choices"),
        (js([]), "no chat completion"),
        (httpx.Response(200, html="<html><body>Sign in</body></html>"), "no chat completion"),
        (httpx.Response(200), "no chat completion"),
    ],
)
async def test_a_success_without_an_answer_is_an_error(
    answer: httpx.Response, said: str, observed: list[Watched]
) -> None:
    """A 200 with an error in it, without choices, or with a page in place of JSON is never a result."""
    with Internet() as internet:
        internet.at("router", answer)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(ResponseError, match=said) as caught:
                await client.chat("x")
        assert len(internet.requests) == 1
    error = caught.value
    assert (error.provider, error.model, error.task, error.status) == ("auto", MODEL, CHAT, 200)
    assert observed[0].story == ["routed auto", "ended ResponseError"]


# Another try


async def test_a_loading_model_is_asked_once_more(pauses: list[float], observed: list[Watched]) -> None:
    """By default one retry on 503, after as long as the service asks for."""
    with Internet() as internet:
        internet.at("router", js({"error": "loading"}, 503, retry_after="7", x_request_id="req-1"), js(COMPLETION))
        async with Client(HF, model=MODEL) as client:
            reply = await client.chat("x")
        assert len(internet.requests) == 2
    assert pauses == [7.0]
    first, second = reply.meta.attempts
    assert (first.status, first.error, first.request_id, first.waited) == (503, "ModelLoadingError", "req-1", 7.0)
    assert (second.status, second.error) == (200, None)
    assert observed[0].story == ["routed auto", "failed auto ModelLoadingError then None", "succeeded"]


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "0"}, {}, 0.0),
        ({"retry_after_ms": "250"}, {}, 0.25),
        ({}, {"error": "loading", "estimated_time": 12.5}, 12.5),
        ({"retry_after": "3600"}, {}, 30.0),
        ({}, {"error": "loading", "estimated_time": 900}, 30.0),
    ],
)
async def test_the_wait_is_what_the_service_asks_for(
    headers: dict[str, str], body: dict[str, Any], seconds: float, pauses: list[float]
) -> None:
    """In whichever form it says so, and never longer than the cap."""
    with Internet() as internet:
        internet.at("router", js(body, 503, **headers), js(COMPLETION))
        async with Client(HF, model=MODEL) as client:
            await client.chat("x")
    assert pauses == [seconds]


async def test_twice_loading_is_an_error(pauses: list[float]) -> None:
    """The second failure is the caller's, with the wait the service asked for in it."""
    with Internet() as internet:
        internet.at("router", js({"error": "loading", "estimated_time": 20}, 503))
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(ModelLoadingError, match="loading") as caught:
                await client.chat("x")
        assert len(internet.requests) == 2
    assert (caught.value.retry_after, caught.value.status, pauses) == (20.0, 503, [20.0])


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 502, 504])
async def test_nothing_else_is_retried_unasked(status: int, pauses: list[float]) -> None:
    """Asking again could cost twice or help nobody."""
    with Internet() as internet:
        internet.at("router", status)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(HFClientError) as caught:
                await client.chat("x")
        assert len(internet.requests) == 1
    assert (caught.value.status, pauses) == (status, [])


@pytest.mark.parametrize(
    ("retry", "requests"),
    [
        (None, 2),
        (True, 2),
        (False, 1),
        (0, 1),
        (1, 1),
        (3, 3),
        (Retry(attempts=1), 1),
        (Retry(attempts=4), 4),
        (Retry(attempts=3, statuses={500}), 1),
    ],
)
@pytest.mark.parametrize("where", ["client", "call", "stream"])
async def test_how_often_is_the_caller_s_to_say(retry: Any, requests: int, where: str, pauses: list[float]) -> None:
    """`retry=` as a flag, a number or a policy, on the client or on one call, whole or streamed."""
    with Internet() as internet:
        internet.at("router", 503)
        async with Client(HF, model=MODEL, retry=retry if where == "client" else None) as client:
            options = {} if where == "client" else {"retry": retry}
            with pytest.raises(ModelLoadingError):
                await (client.chat.stream("x", **options).open() if where == "stream" else client.chat("x", **options))
        assert len(internet.requests) == requests
    assert len(pauses) == requests - 1


async def test_a_policy_names_its_statuses(pauses: list[float]) -> None:
    """`Retry(attempts=4, statuses=…)` asks for what a production job may want."""
    with Internet() as internet:
        internet.at("router", 429, 500, 502, 200)
        policy = Retry(attempts=4, statuses={408, 429, 500, 502, 503, 504})
        async with Client(HF, model=MODEL, retry=policy) as client:
            meta = (await client.chat("x")).meta
    assert [attempt.status for attempt in meta.attempts] == [429, 500, 502, 200]
    assert len(pauses) == 3


async def test_a_connection_never_made_is_tried_once_more(pauses: list[float]) -> None:
    """Nothing was sent, so nothing is done twice."""
    with Internet() as internet:
        internet.at("router", httpx.ConnectError("refused"), 200)
        async with Client(HF, model=MODEL) as client:
            meta = (await client.chat("x")).meta
    assert [attempt.error for attempt in meta.attempts] == ["ConnectionFailedError", None]
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("refused"), ConnectionFailedError),
        (httpx.ConnectTimeout("slow"), ConnectionFailedError),
        (httpx.ReadError("reset"), ConnectionLostError),
        (httpx.RemoteProtocolError("closed"), ConnectionLostError),
        (httpx.WriteError("reset"), ConnectionLostError),
        (httpx.ReadTimeout("slow"), TimedOutError),
    ],
)
async def test_what_was_sent_is_not_sent_again(
    failure: Exception, kind: type[HFClientError], pauses: list[float]
) -> None:
    """After a request has begun, the provider may have done the work; only the caller can know."""
    with Internet() as internet:
        internet.at("router", failure)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(kind):
                await client.chat("x")
        assert len(internet.requests) == (2 if kind is ConnectionFailedError else 1)


# The deadline


@pytest.mark.parametrize("place", ["hub", "router/groq", "retry"])
async def test_a_deadline_bounds_the_whole_call(
    place: str, observed: list[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up, the request and the pauses between two all count."""
    monkeypatch.setattr("hfclient.clock.sleep", lambda _: anyio.sleep_forever())
    with Internet() as internet:
        internet.serves(MODEL, groq=live("llama"))
        internet.at("router/groq", 503)

        async def stall() -> None:
            if place != "retry" and internet.asked[-1] == place:
                await anyio.sleep_forever()

        internet.pause = stall
        async with Client(HF, model=MODEL, provider="groq", deadline=0.05) as client:
            with pytest.raises(DeadlineError, match=r"deadline of 0\.05 s") as caught:
                await client.chat("x")
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.model, caught.value.task) == (MODEL, CHAT)
    assert observed[0].story[-1] == "ended DeadlineError"


async def test_a_deadline_asks_no_other_provider() -> None:
    """Time is up for the call, not for one provider."""
    with Internet() as internet:
        internet.pause = anyio.sleep_forever
        keys = {"openai": ACME, "mistral": OTHER}
        async with Client(model="m", provider=["openai", "mistral"], keys=keys) as client:
            with pytest.raises(DeadlineError):
                await client.chat("x", deadline=0.05)
        assert internet.asked == ["api.openai.com"]


async def test_a_provider_s_own_deadline_is_the_call_s(bring: Any) -> None:
    """A job that a provider gave up on for lack of time is not begun anew elsewhere."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        raise DeadlineError("The job took too long.")
        yield

    bring(own("acme", flow), own("other"))
    with Internet() as internet:
        async with Client(model="m", provider=["acme", "other"], keys={"acme": ACME, "other": OTHER}) as client:
            with pytest.raises(DeadlineError, match="took too long"):
                await client.chat("x")
        assert internet.requests == []


async def test_a_job_has_an_end_of_its_own(bring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that never ends is polled for ten minutes, or for as long as `deadline` says, and not for ever."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("hfclient.clock.sleep", sleep)
    monkeypatch.setattr("hfclient.clock.now", lambda: now[0])

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        while True:
            yield get("/job")
            yield Wait(50)

    bring(own("acme", flow))
    with Internet() as internet:
        internet.at("acme.invalid", js({"status": "pending"}))
        async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
            with pytest.raises(DeadlineError, match="600 s"):
                await client.chat("x")
    assert len(internet.requests) == 13


async def test_work_that_has_begun_is_not_given_to_another(bring: Any, pauses: list[float]) -> None:
    """Once a provider has taken a job, its failure later is the call's: two providers would both be paid."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        yield post("/jobs", json={})
        yield get("/jobs/1")

    bring(own("acme", flow), own("other", flow))
    with Internet() as internet:
        internet.at("acme.invalid", js({"id": 1}), js({"error": "no such job"}, 404))
        async with Client(model="m", provider=["acme", "other"], keys={"acme": ACME, "other": OTHER}) as client:
            with pytest.raises(NotFoundError):
                await client.chat("x")
    assert internet.asked == ["acme.invalid", "acme.invalid"]


async def test_a_provider_s_own_timeout_is_not_the_deadline(bring: Any, observed: list[Watched]) -> None:
    """A TimeoutError from elsewhere is not dressed up as a deadline that nobody set."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        raise TimeoutError("the disk is slow")
        yield

    bring(own("acme", flow))
    async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
        with pytest.raises(TimeoutError, match="the disk is slow"):
            await client.chat("x", deadline=3600)
        with pytest.raises(TimeoutError, match="the disk is slow") as caught:
            await client.chat("x")
    assert not isinstance(caught.value, HFClientError)
    assert observed[0].ended


# The next in line


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (429, "RateLimitError"),
        (500, "ServerError"),
        (502, "ServerError"),
        (404, "NotFoundError"),
        (402, "CreditsError"),
        (httpx.ConnectError("refused"), "ConnectionFailedError"),
        (httpx.ReadError("reset"), "ConnectionLostError"),
        (httpx.ReadTimeout("slow"), "TimedOutError"),
        (js({"error": "Model not supported by provider openai"}, 400), "NotSupportedError"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_a_failure_of_one_provider_moves_to_the_next(
    failure: Any, error: str, pauses: list[float], observed: list[Watched], *, streaming: bool
) -> None:
    """With a list of providers, the next is asked, and `meta.attempts` tells the story."""
    keys = {"openai": ACME, "mistral": OTHER}
    with Internet() as internet:
        internet.at("api.openai.com", failure)
        async with Client(model="m", provider=["openai", "mistral"], keys=keys, retry=False) as client:
            if streaming:
                stream = client.chat.stream("x")
                result: Any = await stream.final()
            else:
                result = await client.chat("x")
        assert internet.asked == ["api.openai.com", "api.mistral.ai"]
        assert internet.key("api.mistral.ai") == f"Bearer {OTHER}"
    assert result.text == "hi"
    assert result.meta.provider == "mistral"
    assert [(attempt.provider, attempt.error) for attempt in result.meta.attempts] == [
        ("openai", error),
        ("mistral", None),
    ]
    assert observed[0].story == ["routed openai", f"failed openai {error} then mistral", "routed mistral", "succeeded"]


@pytest.mark.parametrize(("status", "kind"), [(400, HFClientError), (401, AuthenticationError), (422, HFClientError)])
async def test_a_fault_of_the_caller_s_goes_nowhere_else(status: int, kind: type[HFClientError]) -> None:
    """A bad request is as bad at the next provider, and a wrong key should be known."""
    with Internet() as internet:
        internet.at("api.openai.com", status)
        keys = {"openai": ACME, "mistral": OTHER}
        async with Client(model="m", provider=["openai", "mistral"], keys=keys) as client:
            with pytest.raises(kind):
                await client.chat("x")
        assert internet.asked == ["api.openai.com"]


async def test_the_last_failure_is_the_call_s() -> None:
    """When nobody is left, the last error is raised, and knows what came before it."""
    with Internet() as internet:
        internet.at("api.openai.com", 429)
        internet.at("api.mistral.ai", 500)
        keys = {"openai": ACME, "mistral": OTHER}
        async with Client(model="m", provider=["openai", "mistral"], keys=keys) as client:
            with pytest.raises(ServerError) as caught:
                await client.chat("x")
    assert caught.value.provider == "mistral"
    assert caught.value.attempts[0].provider == "openai"
    assert caught.value.attempts[0].error == "RateLimitError"


async def test_one_provider_alone_is_not_left() -> None:
    """Without a list, a failure is a failure."""
    with Internet() as internet:
        internet.at("router", 429)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(RateLimitError):
                await client.chat("x")
        assert internet.asked == ["router"]


async def test_a_stream_that_has_begun_stays_where_it_is() -> None:
    """What was read cannot be taken back, so no other provider is asked."""
    head, _, _ = EVENTS.partition(b"data: [DONE]")
    broken = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=head + b'data: {"error": "x"}\n\n'
    )
    with Internet() as internet:
        internet.at("api.openai.com", broken)
        keys = {"openai": ACME, "mistral": OTHER}
        async with Client(model="m", provider=["openai", "mistral"], keys=keys, retry=5) as client:
            with pytest.raises(HFClientError, match="The stream broke off"):
                await client.chat.stream("x").final()
        assert internet.asked == ["api.openai.com"]


# Cancellation


class Slow(httpx.AsyncByteStream):
    """A body that lets others run before each of its parts."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 100):
            await anyio.lowlevel.checkpoint()
            yield self._content[start : start + 100]

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


class Network:
    """A network in which everything takes a moment, and which knows the answers that were not closed."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        for _ in range(2):
            await anyio.lowlevel.checkpoint()
        if "api/models" in request.url.path:
            mapping = {"groq": live("llama"), "together": live("llama-t")}
            answer = httpx.Response(200, stream=Slow(js({"inferenceProviderMapping": mapping}).content))
        elif "groq" in request.url.path:
            answer = httpx.Response(503, stream=Slow(b'{"error": "loading", "estimated_time": 1}'))
        elif b'"stream":true' in request.content:
            answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow(EVENTS))
        else:
            answer = httpx.Response(200, stream=Slow(js(COMPLETION).content))
        self.answers.append(answer)
        return answer


async def whole(client: Client) -> str:
    return (await client.chat("x")).text


async def streamed(client: Client) -> str:
    async with client.chat.stream("x") as stream:
        return "".join([text async for text in stream.text()])


@pytest.mark.parametrize("work", [whole, streamed])
async def test_cancelling_at_any_point_leaves_nothing_behind(
    work: Callable[[Client], Awaitable[str]], observed: list[Watched], pauses: list[float]
) -> None:
    """Wherever a call waits, it can be cancelled: its place in the pool is free again, its body closed, its span ended.

    The way cancelled here has everything in it: a look-up, a failure, a pause, a retry, and the next provider.
    """
    waits = nth = 0
    while nth <= waits:
        nth += 1
        network = Network()
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(network))
        client = Client(
            HF,
            model=MODEL,
            provider=["groq", "together"],
            http_client=http_client,
            max_connections=1,
            timeout=Timeout(pool=1),
        )
        with anyio.CancelScope() as scope:
            cancelling = CancelAt(work(client), scope, nth)
            assert await cancelling in ("Hi!", "hi")
        waits = cancelling.waits
        gc.collect()
        assert all(answer.is_closed for answer in network.answers), nth
        assert all(each.ended for each in observed), (nth, observed[-1].story)
        # With one connection to be had, the next call shows that the first gave it back.
        assert await work(client) in ("Hi!", "hi")
        await client.aclose()
        assert scope.cancelled_caught or nth > waits - 3, nth
    assert waits > 15
    assert len(pauses) > 15
    assert {each.story[-1] for each in observed} <= {"succeeded", "ended Cancelled", "ended CancelledError"}


async def test_cancelling_is_at_once() -> None:
    """A cancelled call does not wait for a server that has stopped answering."""
    with Internet() as internet:
        internet.pause = anyio.sleep_forever
        async with Client(HF, model=MODEL) as client:
            with anyio.move_on_after(0.02) as scope:
                await client.chat("x")
            assert scope.cancelled_caught


async def test_a_group_of_calls_is_cancelled_together() -> None:
    """Structured concurrency works: one failure in a task group ends the calls beside it."""
    with Internet() as internet:

        async def stall() -> None:
            if len(internet.requests) == 3:
                raise httpx.ReadError("reset")
            await anyio.sleep_forever()

        internet.pause = stall
        async with Client(HF, model=MODEL) as client:

            async def three_at_once() -> None:
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(client.chat, "x")

            with pytest.raises(ExceptionGroup) as caught:
                await three_at_once()
    assert caught.group_contains(ConnectionLostError)
    assert len(caught.value.exceptions) == 1


# The other side of the seam


class Engine:
    """A side that needs no network."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Route]] = []
        self.closed = 0

    async def run(self, call: Call, route: Route, trip: Trip) -> ChatCompletion:
        self.calls.append((call, route))
        if call.inputs[0]["content"] == "fail":
            raise ResponseError("The engine has no answer.")
        return ChatCompletion.model_validate(COMPLETION)

    async def stream(self, call: Call, route: Route, trip: Trip) -> EngineChunks:
        self.calls.append((call, route))
        return EngineChunks()

    async def aclose(self) -> None:
        self.closed += 1


class EngineChunks:
    def __init__(self) -> None:
        self.done = False
        self.closed = False
        self._left = ["Hi", "!"]

    async def next_batch(self) -> list[ChatCompletionChunk]:
        await anyio.lowlevel.checkpoint()
        if not self._left:
            self.done = True
            return []
        choice = {"index": 0, "delta": {"content": self._left.pop(0)}, "finish_reason": None if self._left else "stop"}
        return [ChatCompletionChunk.model_validate({"choices": [choice]})]

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def engine(bring: Any) -> Engine:
    made = Engine()
    opened: list[Engine] = []

    def opens(surroundings: object) -> Engine:
        assert not opened, "one engine serves all calls of a client and its copies"
        opened.append(made)
        return made

    bring(own("engine", opens=opens), own("acme"))
    return made


async def test_an_engine_answers_in_this_process(engine: Engine, observed: list[Watched]) -> None:
    """A provider that opens a side of its own is called with the same call and gives the same result, without a key."""
    with Internet() as internet:
        async with Client(model="m", provider="engine") as client:
            reply = await client.chat("x", temperature=0.5)
            async with client.with_options(model="other").chat.stream("x") as stream:
                assert [chunk.text async for chunk in stream] == ["Hi", "!"]
            final = await stream.final()
        assert internet.requests == []
    assert (reply.text, reply.meta.provider, reply.meta.status) == ("Hi!", "engine", None)
    assert (final.text, final.finish_reason, final.meta.provider) == ("Hi!", "stop", "engine")
    (call, route), (_, other) = engine.calls
    assert (call.parameters, route.model_id, route.key, other.model_id) == ({"temperature": 0.5}, "m", None, "other")
    assert engine.closed == 1
    assert [each.story for each in observed] == [["routed engine", "succeeded"]] * 2


async def test_an_engine_s_error_is_one_of_ours(engine: Engine, observed: list[Watched]) -> None:
    """Errors of this machine know their provider, model and task, like any other."""
    async with Client(model="m", provider="engine") as client:
        with pytest.raises(ResponseError, match="no answer") as caught:
            await client.chat("fail")
    assert (caught.value.provider, caught.value.model, caught.value.task) == ("engine", "m", CHAT)
    assert observed[0].story == ["routed engine", "ended ResponseError"]


async def test_both_sides_stand_in_one_line(engine: Engine) -> None:
    """The network can be the second choice after this machine, and the other way round."""
    with Internet() as internet:
        internet.at("acme.invalid", 500)
        async with Client(model="m", provider=["acme", "engine"], keys={"acme": ACME}) as client:
            reply = await client.chat("x")
    assert (reply.meta.provider, len(reply.meta.attempts)) == ("engine", 2)


async def test_an_engine_is_not_opened_before_it_is_needed(engine: Engine) -> None:
    """A client that never calls it pays nothing for it, and closes nothing."""
    async with Client(HF, model=MODEL):
        pass
    assert engine.closed == 0


# Errors that are not ours


async def test_a_bug_comes_through_as_it_is(bring: Any, observed: list[Watched]) -> None:
    """A programming error is not wrapped, and the span ends all the same."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        yield get("/x")
        raise ZeroDivisionError("a bug")

    bring(own("acme", flow))
    with Internet():
        async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
            with pytest.raises(ZeroDivisionError, match="a bug"):
                await client.chat("x")
    assert observed[0].story == ["routed acme", "ended ZeroDivisionError"]


async def test_an_error_knows_where_it_was(bring: Any) -> None:
    """Provider, model and task are filled in on the way out; what a provider wrote itself stays."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        yield post("/x", json={})
        raise ResponseError("odd", model="its-own-name", status=203)

    bring(own("acme", flow))
    with Internet():
        async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
            with pytest.raises(ResponseError) as caught:
                await client.chat("x")
    error = caught.value
    assert (error.provider, error.model, error.task, error.status) == ("acme", "its-own-name", CHAT, 203)


async def test_what_cannot_carry_meta_is_a_result_too(bring: Any) -> None:
    """A provider of somebody else's may give whatever it likes."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        return [1, 2]
        yield

    bring(own("acme", flow))
    async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
        assert await client.dispatcher.run(client.defaults.call(CHAT, [], model=None, parameters={}, options={})) == [
            1,
            2,
        ]


async def test_a_task_that_a_provider_cannot_stream(bring: Any) -> None:
    """A provider without a stream says so before anything is sent."""

    def flow(call: Call, route: Route) -> Generator[Any, Any, Any]:
        return ChatCompletion.model_validate(COMPLETION)
        yield

    bring(own("acme", flow))
    async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
        assert (await client.chat("x")).text == "Hi!"
        with pytest.raises(NoProviderError, match="as a stream"):
            await client.chat.stream("x").open()


async def test_a_call_can_be_made_again(bring: Any) -> None:
    """A call is data: the same one, or a changed copy of it, can be run as often as one likes."""
    bring(own("acme"))
    with Internet() as internet:
        async with Client(model="m", provider="acme", keys={"acme": ACME}) as client:
            call = client.defaults.call(CHAT, [{"role": "user", "content": "x"}], model=None, parameters={}, options={})
            for each in (call, call, replace(call, parameters={"seed": 1})):
                await client.dispatcher.run(each)
        assert len(internet.requests) == 3


async def test_the_wait_for_a_connection_has_an_end() -> None:
    """With every connection in use, a call says so after `pool` seconds, and sends nothing."""
    with Internet() as internet:
        started = anyio.Event()

        async def stall() -> None:
            started.set()
            await anyio.sleep_forever()

        internet.pause = stall
        async with Client(HF, model=MODEL, max_connections=1) as client, anyio.create_task_group() as group:
            group.start_soon(client.chat, "x")
            await started.wait()
            with pytest.raises(TimedOutError, match="No connection became free"):
                await client.chat("x", timeout=Timeout(pool=0.01))
            group.cancel_scope.cancel()
        assert len(internet.requests) == 1


async def test_credits_move_on_and_bad_input_does_not() -> None:
    """A depleted account at one provider may be none at the next; a call that cannot be written fails at the first."""
    keys = {"openai": ACME, "mistral": OTHER}
    with Internet() as internet:
        internet.at("api.openai.com", 402)
        internet.at("api.mistral.ai", 402)
        async with Client(model="m", provider=["openai", "mistral"], keys=keys) as client:
            with pytest.raises(CreditsError):
                await client.chat("x")
            with pytest.raises(InputError, match="JSON"):
                await client.chat("x", extra_body={"x": object()})
        assert internet.asked == ["api.openai.com", "api.mistral.ai"]
