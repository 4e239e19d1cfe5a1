"""Who serves a call: the router, a provider that was named, or the first that can."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from hfclient import Client, clock
from hfclient.call import Call, Options
from hfclient.catalogue import Catalogue
from hfclient.credentials import Keys
from hfclient.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    HFClientError,
    HubError,
    InputError,
    MissingKeyError,
    NoProviderError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    StreamFailedError,
)
from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS
from hfclient.redact import Secret
from hfclient.registry import Registry
from hfclient.routing import Router
from hfclient.settings import Settings
from hfclient.telemetry import NOTHING
from hfclient.transport import Transport
from hfclient.trip import Trip
from tests.internet import GSK, HF, MODEL, Internet, completion, live

pytestmark = pytest.mark.anyio

THIRD_PARTY = Path(__file__).parent / "thirdparty"
CLASSIFY = "text-classification"
UNSUPPORTED = httpx.Response(400, json={"error": "Model not supported by provider groq"})


@pytest.fixture
def internet() -> Iterator[Internet]:
    with Internet() as internet:
        internet.serves(MODEL, groq=live("llama-groq"), together=live("llama-together"))
        yield internet


@pytest.fixture
def _third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; nobody sleeps."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(clock, "sleep", sleep)
    return pauses


async def chat(client: Client | None = None, /, model: str = MODEL, **options: Any) -> Any:
    async with client or Client(HF) as open_client:
        return await open_client.chat("hi", model=model, **{"retry": False, **options})


async def classify(
    client: Client | None = None,
    /,
    model: str | None = MODEL,
    *,
    task: str = CLASSIFY,
    stream: bool = False,
    **options: Any,
) -> Any:
    """Call a task that the router does not route."""
    async with client or Client(HF) as open_client:
        settings: Options = {"retry": False, **options}  # type: ignore[typeddict-item]
        call = open_client.defaults.call(task, "good", model=model, parameters={}, options=settings, stream=stream)
        return await open_client.dispatcher.run(call)


# Chat with auto: the router decides.


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (MODEL, MODEL),
        (f"{MODEL}:auto", MODEL),
        *[
            (f"{MODEL}:{suffix}", f"{MODEL}:{suffix}")
            for suffix in ("fastest", "cheapest", "preferred", "groq", "hf-inference")
        ],
        (f"{MODEL}:a-policy-of-next-year", f"{MODEL}:a-policy-of-next-year"),
        ("llama3:8b", "llama3:8b"),
        ("gemma3:4b:auto", "gemma3:4b"),
    ],
)
async def test_the_router_gets_the_model_with_its_suffix(internet: Internet, model: str, sent: str) -> None:
    """What stands behind the colon is the router's to read; only `:auto`, which it does not know, is dropped."""
    reply = await chat(model=model)
    assert internet.asked == ["router"]
    assert internet.body("router")["model"] == sent
    assert str(internet.sent("router").url) == "https://router.huggingface.co/v1/chat/completions"
    assert reply.meta.provider == "auto"


@pytest.mark.parametrize("provider", [None, "auto", ["auto"], ("auto",)])
async def test_no_choice_is_auto(internet: Internet, provider: Any) -> None:
    """None, and auto in every form, leave it to the router."""
    await chat(provider=provider)
    assert internet.asked == ["router"]


async def test_the_router_says_whom_it_chose(internet: Internet) -> None:
    """`meta.provider` is the one that really served the call."""
    internet.at("router", lambda request: _named(request, "together"))
    assert (await chat()).meta.provider == "together"


def _named(request: httpx.Request, provider: str) -> httpx.Response:
    reply = completion(request)
    reply.headers["x-inference-provider"] = provider
    return reply


async def test_auto_without_a_model_says_so(internet: Internet) -> None:
    """Nothing is sent when nobody said which model."""
    async with Client(HF) as client:
        for call in (
            client.chat("hi"),
            client.chat("hi", provider="groq"),
            client.chat("hi", provider=["groq", "auto"]),
        ):
            with pytest.raises(InputError, match="No model is named"):
                await call
    assert internet.requests == []


# A provider by name.


async def test_a_named_provider_gets_its_own_id(internet: Internet) -> None:
    """The Hub's mapping says what the provider calls the model."""
    reply = await chat(provider="groq")
    assert internet.asked == ["hub", "router/groq"]
    assert internet.body("router/groq")["model"] == "llama-groq"
    assert internet.sent("router/groq").url.path == "/groq/openai/v1/chat/completions"
    assert (reply.meta.provider, reply.meta.model) == ("groq", MODEL)


async def test_both_forms_of_the_mapping_lead_there(internet: Internet) -> None:
    """A list of rows is as good as an object."""
    internet.serves(MODEL, [{"provider": "groq", **live("from-a-list")}])
    await chat(provider="groq")
    assert internet.body("router/groq")["model"] == "from-a-list"


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:groq", f"{MODEL}:auto"])
async def test_a_suffix_may_repeat_the_provider(internet: Internet, model: str) -> None:
    """Saying the same thing twice is no conflict, and the suffix is not sent to the provider."""
    await chat(model=model, provider="groq")
    assert internet.body("router/groq")["model"] == "llama-groq"
    assert internet.sent("hub").url.path == f"/api/models/{MODEL}"


@pytest.mark.parametrize(
    ("suffix", "provider"),
    [("together", "groq"), ("fastest", "groq"), ("groq", ["groq", "together"]), ("cheapest", ["groq", "together"])],
)
async def test_a_suffix_that_contradicts_the_provider_is_refused(
    internet: Internet, suffix: str, provider: Any
) -> None:
    """Nobody guesses which of two answers was meant."""
    with pytest.raises(InputError, match=f"says '{suffix}'"):
        await chat(model=f"{MODEL}:{suffix}", provider=provider)
    assert internet.requests == []


async def test_a_colon_may_belong_to_the_name(internet: Internet) -> None:
    """What is neither a policy nor a provider stays part of the model's name."""
    internet.serves("org/llama3:8b", groq=live("llama3-8b"))
    await chat(model="org/llama3:8b", provider="groq")
    assert internet.body("router/groq")["model"] == "llama3-8b"


async def test_an_unknown_provider_is_refused_with_the_nearest(internet: Internet) -> None:
    """A slip in the name is found before anything is sent."""
    with pytest.raises(InputError, match="'grok'") as caught:
        await chat(provider="grok")
    assert "'groq'" in caught.value.advice
    with pytest.raises(InputError, match="'nobody-at-all'"):
        await chat(provider=["groq", "nobody-at-all"])
    assert "router/groq" not in internet.asked


async def test_a_provider_that_does_not_serve_the_model(internet: Internet) -> None:
    """The error says who does."""
    with pytest.raises(NoProviderError, match=f"cohere does not serve {MODEL}") as caught:
        await chat(provider="cohere")
    assert caught.value.advice == "These do: groq, together."
    assert internet.asked == ["hub"]


async def test_a_model_that_nobody_serves(internet: Internet) -> None:
    """An empty mapping is told as that."""
    internet.serves("org/lonely")
    with pytest.raises(NoProviderError, match="groq does not serve org/lonely") as caught:
        await chat(model="org/lonely", provider="groq")
    assert "no provider" in caught.value.advice


async def test_a_model_for_another_task_names_the_task(internet: Internet) -> None:
    """The most common complaint of all: the model is there, but for something else."""
    internet.serves(MODEL, groq=live("x", "text-generation"), together=live("y"))
    with pytest.raises(NoProviderError, match="not for chat, but for text-generation") as caught:
        await chat(provider="groq")
    assert "client.text_generation(…)" in caught.value.advice


async def test_a_provider_that_has_no_chat(internet: Internet) -> None:
    """What a provider cannot do at all is known without asking anybody."""
    with pytest.raises(NoProviderError, match="wavespeed does not serve chat"):
        await chat(provider="wavespeed")
    assert internet.requests == []


@pytest.mark.parametrize(("status", "warning"), [("error", "health check"), ("staging", "staging")])
async def test_a_named_provider_is_called_whatever_its_status(
    internet: Internet, status: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who names a provider gets it, with a warning."""
    internet.serves(MODEL, groq={**live("llama-groq"), "status": status})
    with caplog.at_level(logging.WARNING, "hfclient"):
        await chat(provider="groq")
    assert warning in caplog.text
    assert internet.body("router/groq")["model"] == "llama-groq"


async def test_a_live_provider_is_not_warned_of(internet: Internet, caplog: pytest.LogCaptureFixture) -> None:
    """All is well, so nothing is said."""
    await chat(provider="groq")
    assert caplog.records == []


async def test_a_hundred_calls_ask_the_hub_once(internet: Internet) -> None:
    """However many start together, and after them too."""
    async with Client(HF) as client:
        async with anyio.create_task_group() as group:
            for number in range(100):
                named = "groq" if number % 2 else "together"
                group.start_soon(lambda named=named: client.chat("hi", model=MODEL, provider=named))  # type: ignore[misc]
        await client.with_options(provider="groq").chat("hi", model=MODEL)
    assert internet.asked.count("hub") == 1
    assert len(internet.requests) == 102


# When the Hub has no answer.


async def test_a_named_provider_and_a_hub_that_is_down(internet: Internet) -> None:
    """Without the mapping nobody knows the provider's id: the call fails, and the error says what does not need it."""
    internet.at("hub", 400)
    with pytest.raises(HubError) as caught:
        await chat(provider="groq")
    assert "auto" in caught.value.advice
    assert internet.asked == ["hub"]
    assert (caught.value.model, caught.value.task) == (MODEL, "conversational")


async def test_a_named_provider_and_a_model_that_is_not_there(internet: Internet) -> None:
    """A misspelt model is the Hub's to know."""
    with pytest.raises(NotFoundError):
        await chat(model="org/misspelt", provider="groq")


@pytest.mark.parametrize("provider", ["hf-inference", "groq"])
@pytest.mark.parametrize("answer", [400, 404, 401])
async def test_where_a_name_of_ones_own_will_do_it_is_used(
    internet: Internet, provider: str, answer: int, caplog: pytest.LogCaptureFixture
) -> None:
    """hf-inference goes by the Hub's names, and with its own key a provider takes its own ids: no Hub is needed."""
    internet.at("hub", answer)
    client = Client(HF) if provider == "hf-inference" else Client(keys={"groq": GSK})
    place = "router/hf-inference" if provider == "hf-inference" else "api.groq.com"
    if provider == "hf-inference" and answer == 401:
        with pytest.raises(AuthenticationError):
            await chat(client, provider=provider)
        return
    await chat(client, model="own-id", provider=provider)
    assert internet.body(place)["model"] == "own-id"
    assert "own-id" in caplog.text


async def test_a_name_of_ones_own_that_the_mapping_does_not_have(internet: Internet) -> None:
    """A provider that is not in the mapping takes the name as it is when it is called with its own key."""
    await chat(Client(keys={"cohere": "fake-cohere-key"}), provider="cohere")
    assert internet.body("api.cohere.com")["model"] == MODEL


async def test_a_bad_token_is_told_before_anything_else(internet: Internet) -> None:
    """A token that the Hub refuses would be refused by the router too."""
    internet.at("hub", 401)
    with pytest.raises(AuthenticationError):
        await chat(provider=["groq", "together"])
    assert internet.asked == ["hub"]


# Several providers, in order.


async def test_the_first_of_a_list_is_called(internet: Internet) -> None:
    """The order is the caller's, not the Hub's."""
    reply = await chat(provider=["together", "groq"])
    assert internet.asked == ["hub", "router/together"]
    assert [attempt.provider for attempt in reply.meta.attempts] == ["together"]


MOVING = {
    "429": 429,
    "500": 500,
    "502": 502,
    "503": 503,
    "504": 504,
    "402": 402,
    "404": 404,
    "connection refused": httpx.ConnectError("refused"),
    "connection lost": httpx.ReadError("reset"),
    "silence": httpx.ReadTimeout("silent"),
    "not supported": UNSUPPORTED,
}
STAYING = {"400": 400, "401": 401, "403": 403, "422": 422, "413": 413}


@pytest.mark.parametrize("answer", MOVING.values(), ids=MOVING)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_that_another_may_not_share_moves_on(internet: Internet, answer: Any, stream: bool) -> None:
    """The next in the list serves the call, and `meta.attempts` tells the story."""
    internet.at("router/groq", answer)
    async with Client(HF, provider=["groq", "together"], model=MODEL, retry=False) as client:
        reply = await client.chat.stream("hi").final() if stream else await client.chat("hi")
    assert internet.asked == ["hub", "router/groq", "router/together"]
    assert internet.body("router/together")["model"] == "llama-together"
    assert reply.text == "hi"
    first, last = reply.meta.attempts
    assert (first.provider, first.error is not None) == ("groq", True)
    assert (last.provider, last.status, last.error) == ("together", 200, None)
    assert first.status == (answer if isinstance(answer, int) else getattr(answer, "status_code", None))


@pytest.mark.parametrize("answer", STAYING.values(), ids=STAYING)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_that_is_the_callers_does_not(internet: Internet, answer: int, stream: bool) -> None:
    """A bad request or a bad key is not tried elsewhere."""
    internet.at("router/groq", answer)
    async with Client(HF, provider=["groq", "together"], model=MODEL, retry=False) as client:
        with pytest.raises(HFClientError) as caught:
            await (client.chat.stream("hi").final() if stream else client.chat("hi"))
    assert caught.value.status == answer
    assert "router/together" not in internet.asked


async def test_an_answer_without_an_answer_does_not_move_on(internet: Internet) -> None:
    """A success that holds an error may have been paid for, so it is reported."""
    internet.at("router/groq", httpx.Response(200, json={"error": "not today"}))
    with pytest.raises(HFClientError, match="not today"):
        await chat(provider=["groq", "together"])
    assert "router/together" not in internet.asked


async def test_the_last_failure_is_the_callers(internet: Internet) -> None:
    """When all have failed, the error is the last one's, and its attempts are those before."""
    internet.at("router/groq", 500)
    internet.at("router/together", 429)
    with pytest.raises(RateLimitError) as caught:
        await chat(provider=["groq", "together"])
    assert caught.value.provider == "together"
    first = caught.value.attempts[0]
    assert (first.provider, first.status) == ("groq", 500)


async def test_each_provider_is_retried_before_the_next_is_asked(internet: Internet, no_waiting: list[float]) -> None:
    """Retrying is about one provider, moving on about the next; both are in the story."""
    internet.at("router/groq", 503)
    reply = await chat(provider=["groq", "together"], retry=True)
    assert internet.asked == ["hub", "router/groq", "router/groq", "router/together"]
    story = [(attempt.provider, attempt.status) for attempt in reply.meta.attempts]
    assert story == [("groq", 503), ("groq", 503), ("together", 200)]
    assert len(no_waiting) == 1


async def test_nothing_moves_once_a_stream_has_begun(internet: Internet) -> None:
    """A stream that breaks off is reported with what had arrived, not begun again elsewhere."""
    broken = b'data: {"choices":[{"index":0,"delta":{"content":"h"}}]}\n\ndata: {"error":{"message":"overloaded"}}\n\n'
    internet.at("router/groq", httpx.Response(200, headers={"content-type": "text/event-stream"}, content=broken))
    async with Client(HF, provider=["groq", "together"], model=MODEL) as client:
        with pytest.raises(StreamFailedError, match="overloaded") as caught:
            await client.chat.stream("hi").final()
    assert caught.value.partial.text == "h"
    assert caught.value.provider == "groq"
    assert "router/together" not in internet.asked


class Torn(httpx.AsyncByteStream):
    """A body that brings these parts and then this failure."""

    def __init__(self, *parts: bytes, failure: Exception) -> None:
        self._parts = parts
        self._failure = failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        raise self._failure


BARREN = {
    "reset": Torn(failure=httpx.ReadError("reset")),
    "hung up": Torn(failure=httpx.RemoteProtocolError("peer closed connection")),
    "only a ping": Torn(b": ping\n\n", failure=httpx.ReadError("reset")),
    "silent": Torn(failure=httpx.ReadTimeout("")),
    "busy": Torn(b'data: {"error":{"code":429,"message":"slow down"}}\n\n', failure=httpx.ReadError("reset")),
    "overloaded": Torn(b'data: {"error":"full","error_type":"overloaded"}\n\n', failure=httpx.ReadError("reset")),
}


@pytest.mark.parametrize("body", BARREN.values(), ids=BARREN)
async def test_a_stream_that_brings_nothing_moves_on(internet: Internet, body: Torn) -> None:
    """Until the first chunk has come, nothing has been streamed, and the next provider is asked."""
    internet.at("router/groq", httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body))
    async with Client(HF, provider=["groq", "together"], model=MODEL) as client:
        stream = client.chat.stream("hi")
        assert [text async for text in stream.text()] == ["h", "i"]
        assert [attempt.provider for attempt in stream.meta.attempts] == ["groq", "together"]


async def test_who_failed_the_last_health_check_is_asked_last(internet: Internet) -> None:
    """In a list, one that is known to ail stands behind those that are not."""
    internet.serves(MODEL, groq=live("x", status="error"), together=live("y"))
    reply = await chat(provider=["groq", "together"])
    assert reply.meta.provider == "together"
    assert "router/groq" not in internet.asked


@pytest.mark.parametrize("name", ["openai", "mistral", "hyperbolic", "nebius", "sambanova"])
async def test_a_hugging_face_token_goes_to_no_provider(internet: Internet, name: str) -> None:
    """Filed under the name of a provider that the router does not lead to, it is refused before it is sent."""
    async with Client(keys={name: HF}, provider=name, model=MODEL) as client:
        with pytest.raises(MissingKeyError, match="is a Hugging Face token"):
            await client.chat("hi")
    assert not internet.asked


async def test_those_who_do_not_serve_the_model_are_passed_over(internet: Internet) -> None:
    """Nothing is sent to them, and the story says so."""
    reply = await chat(provider=["cohere", "openai", "wavespeed", "groq"])
    assert internet.asked == ["hub", "router/groq"]
    story = [(attempt.provider, attempt.error) for attempt in reply.meta.attempts]
    assert story == [
        ("cohere", "NoProviderError"),
        ("openai", "MissingKeyError"),
        ("wavespeed", "NoProviderError"),
        ("groq", None),
    ]


async def test_a_list_of_which_nobody_serves_the_model(internet: Internet) -> None:
    """The error is the first one's, and the story is all of theirs."""
    with pytest.raises(NoProviderError, match="cohere does not serve") as caught:
        await chat(provider=["cohere", "openai"])
    assert [attempt.provider for attempt in caught.value.attempts] == ["cohere", "openai"]


async def test_a_hub_that_is_down_leaves_those_who_need_no_hub(
    internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    """In a list, auto and providers with their own key still serve the call."""
    internet.at("hub", 400)
    reply = await chat(provider=["groq", "auto"])
    assert internet.asked[-1] == "router"
    assert [attempt.error for attempt in reply.meta.attempts] == ["HubError", None]


async def test_auto_may_be_one_of_a_list(internet: Internet) -> None:
    """First groq by name, then whoever the router finds."""
    internet.at("router/groq", 429)
    await chat(provider=["groq", "auto"])
    assert internet.asked == ["hub", "router/groq", "router"]


async def test_a_deadline_covers_all_of_a_list(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of time does not start the next provider."""

    async def never() -> None:
        if internet.asked[-1] != "hub":
            await anyio.sleep_forever()

    internet.pause = never
    with pytest.raises(TimeoutError, match="deadline"):
        await chat(provider=["groq", "together"], deadline=0.05)
    assert "router/together" not in internet.asked


# Auto for tasks that the router does not route: the mapping's order.


@pytest.mark.usefixtures("_third_party")
async def test_auto_elsewhere_goes_by_the_mapping(internet: Internet) -> None:
    """The first entry that can serve the task does; the mapping's own fields reach the flow."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY, adapter="lora"), alpha=live("a-id", CLASSIFY))
    answer = await classify()
    assert internet.asked == ["hub", "router/beta"]
    assert internet.body("router/beta") == {"model": "b-id", "text": "good", "adapter": "lora"}
    assert answer["served_by"] == "beta"


@pytest.mark.usefixtures("_third_party")
@pytest.mark.parametrize("answer", MOVING.values(), ids=MOVING)
async def test_auto_elsewhere_moves_on(internet: Internet, answer: Any) -> None:
    """What the router does for chat happens here for the other tasks."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY), alpha=live("a-id", CLASSIFY))
    internet.at("router/beta", answer)
    assert (await classify())["served_by"] == "alpha"
    assert internet.asked == ["hub", "router/beta", "router/alpha"]


@pytest.mark.usefixtures("_third_party")
@pytest.mark.parametrize("answer", STAYING.values(), ids=STAYING)
async def test_auto_elsewhere_stays_with_the_callers_faults(internet: Internet, answer: int) -> None:
    """A bad request is no better at the next provider."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY), alpha=live("a-id", CLASSIFY))
    internet.at("router/beta", answer)
    with pytest.raises(HFClientError):
        await classify()
    assert internet.asked == ["hub", "router/beta"]


@pytest.mark.usefixtures("_third_party")
async def test_entries_that_cannot_serve_are_passed_over(internet: Internet) -> None:
    """Failed health checks, providers nobody knows, other tasks, ours without the task, unknown statuses."""
    internet.serves(
        MODEL,
        [
            {"provider": "beta", **live("sick", CLASSIFY), "status": "error"},
            {"provider": "of-next-year", **live("x", CLASSIFY)},
            {"provider": "beta", **live("chatty", "conversational")},
            {"provider": "together", **live("x", CLASSIFY)},
            {"provider": "beta", **live("odd", CLASSIFY), "status": None},
            {"provider": "beta", **live("tested", CLASSIFY), "status": "staging"},
            {"provider": "alpha", **live("good", CLASSIFY)},
        ],
    )
    await classify()
    assert internet.body("router/alpha")["model"] == "good"
    assert internet.asked == ["hub", "router/alpha"]


@pytest.mark.usefixtures("_third_party")
async def test_staging_is_taken_if_there_is_nothing_else(internet: Internet) -> None:
    """Better a test deployment than none."""
    internet.serves(
        MODEL,
        beta={**live("sick", CLASSIFY), "status": "error"},
        alpha={**live("tested", CLASSIFY), "status": "staging"},
    )
    await classify()
    assert internet.body("router/alpha")["model"] == "tested"


@pytest.mark.usefixtures("_third_party")
async def test_a_provider_without_a_key_is_passed_over(internet: Internet) -> None:
    """Auto picks among those that can be called; if none can, the error says which key is missing."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY), alpha=live("a-id", CLASSIFY))
    assert (await classify(Client(keys={"alpha": "fake-alpha-key"})))["served_by"] == "alpha"
    assert internet.asked == ["hub", "api.alpha.example"]
    with pytest.raises(MissingKeyError, match="no key for alpha"):
        await classify(Client())


@pytest.mark.usefixtures("_third_party")
async def test_a_model_for_another_task_is_not_sent_to_anybody(internet: Internet) -> None:
    """The model is known and served, but not for this."""
    with pytest.raises(NoProviderError, match="not for text-classification, but for chat"):
        await classify()
    assert internet.asked == ["hub"]


@pytest.mark.usefixtures("_third_party")
async def test_a_suffix_chooses_the_provider_elsewhere(internet: Internet) -> None:
    """`model:provider` works for the tasks that the router does not route, too."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY), alpha=live("a-id", CLASSIFY))
    await classify(model=f"{MODEL}:alpha")
    assert internet.asked == ["hub", "router/alpha"]


# Auto with a policy, for tasks that the router does not route: the mapping, ordered by the router's figures.

ALPHA = {"pricing": {"input": 5, "output": 1}, "throughput": 900}
BETA = {"pricing": {"input": 1, "output": 2}, "throughput": 100}


@pytest.fixture
def priced(internet: Internet, _third_party: None) -> Internet:
    """Two who serve a model, beta first; alpha takes less for what comes out, and is faster."""
    internet.serves(MODEL, beta=live("b-id", CLASSIFY), alpha=live("a-id", CLASSIFY))
    internet.sells(MODEL, beta=BETA, alpha=ALPHA)
    return internet


@pytest.mark.parametrize(
    ("policy", "beta", "alpha", "first"),
    [
        ("cheapest", BETA, ALPHA, "alpha"),
        ("cheapest", {"is_free": True}, ALPHA, "beta"),
        ("cheapest", {"pricing": {"input": 1, "output": 1}}, ALPHA, "beta"),
        ("cheapest", {"pricing": {"input": 3}}, {"pricing": {"input": 2}}, "alpha"),
        ("cheapest", {"throughput": 1}, ALPHA, "alpha"),
        ("fastest", BETA, ALPHA, "alpha"),
        ("fastest", {"throughput": 901}, ALPHA, "beta"),
        ("fastest", {"pricing": {"output": 0}}, ALPHA, "alpha"),
        ("fastest", ALPHA, ALPHA, "beta"),
    ],
)
async def test_a_policy_orders_those_who_serve_the_model(
    priced: Internet, policy: str, beta: dict[str, Any], alpha: dict[str, Any], first: str
) -> None:
    """By the price of output or by speed; of whom nothing is known comes last, and among equals the Hub decides."""
    priced.sells(MODEL, beta=beta, alpha=alpha)
    assert (await classify(model=f"{MODEL}:{policy}"))["served_by"] == first
    assert priced.asked == ["hub", "router/models", f"router/{first}"]
    assert priced.sent("hub").url.path == f"/api/models/{MODEL}"
    assert priced.sent("router/models").url.path == f"/v1/models/{MODEL}"
    assert priced.key("router/models") == f"Bearer {HF}"


async def test_a_policy_moves_on_like_auto(priced: Internet) -> None:
    """Where the cheapest is busy, the next cheapest is asked."""
    priced.at("router/alpha", 429)
    assert (await classify(model=f"{MODEL}:cheapest"))["served_by"] == "beta"


async def test_what_is_preferred_is_the_hubs_own_order(priced: Internet) -> None:
    """The user's settings are in it, and no figures are needed."""
    assert (await classify(model=f"{MODEL}:preferred"))["served_by"] == "beta"
    assert priced.asked == ["hub", "router/beta"]


@pytest.mark.parametrize("read_before", ["list", "get"])
async def test_figures_that_were_read_are_not_read_again(priced: Internet, read_before: str) -> None:
    """The list, or the model, that the client has is used."""
    async with Client(HF) as client:
        await (client.models.list() if read_before == "list" else client.models.get(MODEL))
        before = priced.asked.count("router/models")
        for _ in range(2):
            call = client.defaults.call(CLASSIFY, "good", model=f"{MODEL}:cheapest", parameters={}, options={})
            assert (await client.dispatcher.run(call))["served_by"] == "alpha"
    assert priced.asked.count("router/models") == before == 1


@pytest.mark.parametrize(("policy", "figure"), [("cheapest", "price"), ("fastest", "speed")])
@pytest.mark.parametrize("known", [True, False])
async def test_a_policy_without_figures_names_those_to_choose_from(
    priced: Internet, policy: str, figure: str, known: bool
) -> None:
    """Nobody is guessed at: the error says what is not known, and whom one can name."""
    priced.sells(MODEL if known else "org/another", beta={}, alpha={})
    if not known:
        del priced._sold[MODEL]
    with pytest.raises(InputError, match=f"no provider's {figure} is known") as caught:
        await classify(model=f"{MODEL}:{policy}")
    assert "beta, alpha" in caught.value.advice
    assert f":{policy}" in caught.value.advice
    assert priced.asked == ["hub", "router/models"]


@pytest.mark.parametrize("answer", [400, httpx.ConnectError("refused"), 503])
@pytest.mark.usefixtures("no_waiting")
async def test_a_policy_and_a_router_that_is_down(priced: Internet, answer: Any) -> None:
    """It is said, with what to do; no one is called who may be the dearest."""
    priced.at("router/models", answer)
    with pytest.raises(HubError, match=r"The router at \S+ could not tell of the model") as caught:
        await classify(model=f"{MODEL}:cheapest")
    assert "leave :cheapest away" in caught.value.advice
    assert (caught.value.model, caught.value.task) == (MODEL, CLASSIFY)
    assert set(priced.asked) == {"hub", "router/models"}


async def test_a_policy_and_a_router_that_makes_no_sense(priced: Internet) -> None:
    """That is a typed error too."""
    priced.at("router/models", httpx.Response(200, json=[3]))
    with pytest.raises(ResponseError, match="no model"):
        await classify(model=f"{MODEL}:fastest")


NOBODY = httpx.Response(200, json={"id": MODEL})


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [(400, HubError, "could not say"), (404, NotFoundError, "404"), (NOBODY, NoProviderError, "Nobody serves")],
)
async def test_a_policy_has_no_last_resort(priced: Internet, answer: Any, error: type[Exception], words: str) -> None:
    """Who asks for the cheapest does not want whoever is left."""
    priced.at("hub", answer)
    with pytest.raises(error, match=words):
        await classify(model=f"{MODEL}:cheapest")
    assert priced.asked == ["hub"]


@pytest.mark.parametrize("provider", [None, "auto"])
@pytest.mark.parametrize("suffix", ["cheapest", "fastest", "preferred"])
async def test_for_chat_a_policy_stays_the_routers(internet: Internet, suffix: str, provider: str | None) -> None:
    """It knows more than its list says, and reads the suffix itself."""
    await chat(model=f"{MODEL}:{suffix}", provider=provider)
    assert internet.asked == ["router"]
    assert internet.body("router")["model"] == f"{MODEL}:{suffix}"


# hf-inference, and the two names of one task.

TWINS = ("feature-extraction", "sentence-similarity")


@pytest.mark.parametrize(("called", "filed"), [TWINS, TWINS[::-1], (TWINS[0], TWINS[0])])
@pytest.mark.parametrize("named", [True, False])
async def test_hf_inference_runs_both_on_one_model(internet: Internet, called: str, filed: str, named: bool) -> None:
    """A model that is filed under similarity gives vectors as well, by name and by auto."""
    task = HF_INFERENCE.tasks["conversational"]
    able = replace(HF_INFERENCE, tasks=dict.fromkeys(TWINS, task))
    internet.serves(MODEL, {"hf-inference": live("hf-id", filed)})
    transport = Transport(max_connections=10)
    call = Call(called, "good", model=MODEL, providers=("hf-inference",) if named else ("auto",))
    try:
        (route,) = await a_router(transport, able).routes(call, Trip(call, NOTHING))
    finally:
        await transport.aclose()
    assert (route.provider.name, route.model_id) == ("hf-inference", "hf-id")


@pytest.mark.parametrize("named", [True, False])
async def test_others_do_not(internet: Internet, named: bool) -> None:
    """Elsewhere a task is the task it is filed under."""
    other = Provider("other", "https://other.example", dict.fromkeys(TWINS, HF_INFERENCE.tasks["conversational"]))
    internet.serves(MODEL, other=live("x", TWINS[0]))
    transport = Transport(max_connections=10)
    call = Call(TWINS[1], "good", model=MODEL, providers=("other",) if named else ("auto",))
    try:
        with pytest.raises(NoProviderError, match="not for sentence-similarity, but for feature-extraction"):
            await a_router(transport, other).routes(call, Trip(call, NOTHING))
    finally:
        await transport.aclose()


@pytest.mark.parametrize("named", [True, False])
async def test_hf_inference_is_not_said_to_do_another_task(internet: Internet, named: bool) -> None:
    """Where only its health is at fault, the task is not blamed."""
    able = replace(HF_INFERENCE, tasks=dict.fromkeys(TWINS, HF_INFERENCE.tasks["conversational"]))
    internet.serves(MODEL, {"hf-inference": {**live("hf-id", TWINS[1]), "status": "error"}})
    transport = Transport(max_connections=10)
    call = Call(TWINS[0], "good", model=MODEL, providers=("hf-inference",) if named else ("auto",))
    cheapest = replace(call, model=f"{MODEL}:cheapest", providers=("auto",))
    try:
        (route,) = await a_router(transport, able).routes(call, Trip(call, NOTHING))
        with pytest.raises(NoProviderError, match="Nobody serves org/model for feature-extraction"):
            await a_router(transport, able).routes(cheapest, Trip(cheapest, NOTHING))
    finally:
        await transport.aclose()
    assert route.model_id == ("hf-id" if named else MODEL)


async def test_a_task_without_a_model_says_so(internet: Internet) -> None:
    """Nobody picks a model for the caller."""
    with pytest.raises(InputError, match="No model is named for text-classification"):
        await classify(model=None)
    assert internet.requests == []


@pytest.mark.usefixtures("_third_party")
async def test_a_provider_that_only_has_its_own_key_and_ids(internet: Internet) -> None:
    """Neither the Hub nor the router knows it, so neither is asked."""
    answer = await classify(Client(HF, keys={"alone": "fake-alone-key"}), provider="alone", model="own-id")
    assert answer["served_by"] == "alone"
    assert internet.asked == ["api.alone.example"]
    assert internet.key("api.alone.example") == "Bearer fake-alone-key"
    with pytest.raises(MissingKeyError) as caught:
        await classify(Client(HF), provider="alone")
    assert "ALONE_API_KEY" in caught.value.advice
    assert "huggingface.co" not in caught.value.advice


# The last resort.


HF_INFERENCE = next(provider for provider in PROVIDERS if provider.name == "hf-inference")


def a_router(transport: Transport, *providers: Provider, login: Secret | None = Secret(HF)) -> Router:  # noqa: B008
    async def token() -> Secret | None:
        return login

    settings = Settings()
    catalogue = Catalogue(transport, settings.hub_url, settings.router_url)
    return Router(settings, Keys(), Registry(providers), catalogue, token)


@pytest.mark.parametrize("answer", [400, 404, httpx.Response(200, json={}), httpx.Response(200, json={"id": MODEL})])
async def test_hf_inference_is_the_last_resort(
    internet: Internet, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Hub down, model unknown or nobody listed: hf-inference is tried, with a warning."""
    internet.at("hub", answer)
    able = replace(HF_INFERENCE, tasks={CLASSIFY: HF_INFERENCE.tasks["conversational"]})
    transport = Transport(max_connections=10)
    call = Call(CLASSIFY, "good", model=MODEL)
    try:
        with caplog.at_level(logging.WARNING, "hfclient"):
            (route,) = await a_router(transport, able).routes(call, Trip(call, NOTHING))
    finally:
        await transport.aclose()
    assert (route.provider.name, route.model_id) == ("hf-inference", MODEL)
    assert route.base_url == "https://router.huggingface.co/hf-inference"
    assert "trying hf-inference" in caplog.text.lower()


async def test_the_last_resort_may_not_serve_the_task_either(internet: Internet) -> None:
    """Then the error says what it does serve."""
    with pytest.raises(NoProviderError, match="hf-inference does not serve text-to-video"):
        await classify(model="org/unknown", task="text-to-video")


async def test_a_stream_goes_to_those_who_stream(internet: Internet) -> None:
    """A provider that has the task, but not as a stream, is passed over by auto and refused by name."""
    task = HF_INFERENCE.tasks["conversational"]
    whole = Provider("alpha", "https://alpha.example", {CLASSIFY: replace(task, stream=None)})
    streams = Provider("beta", "https://beta.example", {CLASSIFY: task})
    internet.serves(MODEL, alpha=live("a-id", CLASSIFY), beta=live("b-id", CLASSIFY))
    transport = Transport(max_connections=10)
    router = a_router(transport, whole, streams)
    call = Call(CLASSIFY, "good", model=MODEL, stream=True)
    try:
        (route,) = await router.routes(call, Trip(call, NOTHING))
        assert route.provider.name == "beta"
        named = replace(call, providers=("alpha",))
        with pytest.raises(NoProviderError, match="text-classification as a stream"):
            await router.routes(named, Trip(named, NOTHING))
    finally:
        await transport.aclose()


async def test_a_provider_that_needs_no_network_is_opened_once(internet: Internet) -> None:
    """An engine in this process is reached through the same routes, without a key and without the Hub."""
    opened: list[str] = []

    class Side:
        async def run(self, call: Call, route: Any, trip: Trip) -> Any:
            return f"{route.model_id} ran here"

        async def aclose(self) -> None:
            opened.append("closed")

    def open_side(surroundings: object) -> Side:
        opened.append("opened")
        return Side()

    here = Provider("here", "local:", HF_INFERENCE.tasks, opens=open_side, routed=False, mapped=False)  # type: ignore[arg-type]
    client = Client(model=MODEL)
    client._shared.registry._own["here"] = here
    async with client.with_options(provider="here") as client:
        for _ in range(2):
            call = client.defaults.call("conversational", "hi", model=None, parameters={}, options={})
            assert await client.dispatcher.run(call) == f"{MODEL} ran here"
    assert opened == ["opened", "closed"]
    assert internet.requests == []


# An address of the caller's.


@pytest.mark.parametrize("base_url", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions/"])
async def test_an_address_in_every_form(internet: Internet, base_url: str) -> None:
    """A bare host, /v1, the whole path, with or without a slash."""
    await chat(Client(base_url=f"https://mine.example{base_url}"))
    assert str(internet.sent("mine.example").url) == "https://mine.example/v1/chat/completions"
    assert internet.asked == ["mine.example"]


async def test_an_address_keeps_its_query(internet: Internet) -> None:
    """A query in the address is sent with every request, together with the call's own."""
    await chat(Client(base_url="https://mine.example/v1?tenant=a%2Fb&x=1"), extra_query={"y": "2"})
    assert dict(internet.sent("mine.example").url.params) == {"tenant": "a/b", "x": "1", "y": "2"}


@pytest.mark.parametrize("model", ["llama3:8b", "org/model:fastest", "org/model:groq", "org/model:auto"])
async def test_an_address_gets_the_model_as_it_is(internet: Internet, model: str) -> None:
    """What a server of one's own calls its models is its own affair."""
    await chat(Client(base_url="http://localhost:8080"), model=model)
    assert internet.body("localhost")["model"] == model


async def test_an_address_needs_no_model(internet: Internet) -> None:
    """Many servers have just one."""
    async with Client.endpoint("http://localhost:8080") as client:
        await client.chat("hi")
    assert "model" not in internet.body("localhost")


async def test_an_address_with_a_provider_speaks_its_dialect(internet: Internet) -> None:
    """A proxy in front of a provider is laid out as OpenAI's API is, and takes what the provider takes."""
    await chat(Client(base_url="https://proxy.example/mistral", provider="mistral"), seed=7)
    assert internet.sent("proxy.example").url.path == "/mistral/v1/chat/completions"
    assert internet.body("proxy.example")["random_seed"] == 7


async def test_an_address_for_a_task_that_has_no_convention(internet: Internet) -> None:
    """A bare address only speaks what everybody speaks."""
    with pytest.raises(NoProviderError, match="endpoint does not serve mind-reading"):
        await classify(Client(base_url="https://mine.example"), task="mind-reading")


async def test_an_address_beside_several_providers(internet: Internet) -> None:
    """One address cannot be several providers: which of them was meant is asked before anything is sent."""
    with pytest.raises(InputError, match="names several: groq, together"):
        await chat(Client(base_url="https://mine.example", provider=["groq", "auto", "together"]))
    assert internet.requests == []


async def test_an_address_that_is_down(internet: Internet) -> None:
    """There is nobody to move on to."""
    internet.at("mine.example", httpx.ConnectError("refused"))
    with pytest.raises(ConnectionFailedError):
        await chat(Client(base_url="https://mine.example", provider="groq"))
    assert set(internet.asked) == {"mine.example"}


async def test_a_bad_request_says_where_it_happened(internet: Internet) -> None:
    """Every error knows provider, model and task."""
    internet.at("router/groq", 400)
    with pytest.raises(BadRequestError) as caught:
        await chat(provider="groq")
    assert (caught.value.provider, caught.value.model, caught.value.task) == ("groq", MODEL, "conversational")


async def test_a_provider_that_asks_for_no_key(internet: Internet) -> None:
    """One that the router does not lead to and that names no variable for a key is called without one."""
    free = Provider("free", "https://free.example", HF_INFERENCE.tasks, routed=False, mapped=False)
    transport = Transport(max_connections=10)
    call = Call("conversational", "hi", model=MODEL, providers=("free",))
    try:
        (route,) = await a_router(transport, free, login=None).routes(call, Trip(call, NOTHING))
    finally:
        await transport.aclose()
    assert (route.base_url, route.key) == ("https://free.example", None)
    assert not internet.asked
