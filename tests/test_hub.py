"""Asking the Hub who serves a model: both forms of the answer, one request, kept for a while, and what may fail."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import clock, lookup
from hfclient.credentials import Key
from hfclient.errors import AuthenticationError, HubError, NotFoundError, PermissionDeniedError, ResponseError
from hfclient.hub import Entry, Hub, read_mapping
from hfclient.lookup import LIMIT_SECONDS, REMEMBERED, TIME_TO_LIVE
from hfclient.redact import Secret
from hfclient.transport import Transport
from tests.internet import HF, MODEL, Internet, live

pytestmark = pytest.mark.anyio

KEY = Key(Secret(HF), hugging_face=True)
GROQ = live("llama-groq")


@asynccontextmanager
async def a_hub(url: str = "https://huggingface.co") -> AsyncIterator[Hub]:
    transport = Transport(max_connections=100)
    try:
        yield Hub(transport, url)
    finally:
        await transport.aclose()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a test sets it; nobody sleeps."""
    time = [1000.0]

    async def sleep(seconds: float) -> None:
        time[0] += seconds
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(clock, "now", lambda: time[0])
    monkeypatch.setattr(clock, "sleep", sleep)
    return time


# What the answer says.


def test_the_form_of_a_models_page() -> None:
    """An object by provider, in the user's own order, with unknown keys kept."""
    info = {"inferenceProviderMapping": {"b": live("b-id", isModelAuthor=False), "a": live("a-id", "text-to-image")}}
    assert read_mapping(info) == (
        Entry("b", "b-id", "conversational", "live", {"isModelAuthor": False}),
        Entry("a", "a-id", "text-to-image"),
    )


def test_the_form_of_a_listing() -> None:
    """A list of rows that name their provider; adapters and whatever comes later stay in the extras."""
    row = {"provider": "fal-ai", "status": "staging", "providerId": "fal/x", "task": "text-to-image"}
    extras = {"adapter": "lora", "adapterWeightsPath": "w.safetensors", "type": "single-model", "later": [1]}
    assert read_mapping({"inferenceProviderMapping": [{**row, **extras}]}) == (
        Entry("fal-ai", "fal/x", "text-to-image", "staging", extras),
    )


def test_the_name_in_an_object_is_its_key() -> None:
    """A row cannot pass itself off as another provider's."""
    assert read_mapping({"inferenceProviderMapping": {"groq": {**GROQ, "provider": "other"}}})[0].provider == "groq"


@pytest.mark.parametrize(
    "info", [{}, {"id": MODEL}, {"inferenceProviderMapping": None}, {"inferenceProviderMapping": {}}]
)
def test_a_model_that_nobody_serves(info: dict[str, Any]) -> None:
    """No mapping, a null and an empty one all mean nobody."""
    assert read_mapping(info) == ()


@pytest.mark.parametrize(
    "row",
    [None, 3, "live", [], {}, {"providerId": "x"}, {"task": "conversational"}, live(3), live("x", None)],  # type: ignore[arg-type]
)
def test_a_row_that_is_none_is_passed_over(row: Any) -> None:
    """One odd row does not hide the good ones."""
    assert read_mapping({"inferenceProviderMapping": {"odd": row, "groq": GROQ}}) == (
        Entry("groq", "llama-groq", "conversational"),
    )


@pytest.mark.parametrize(
    "info", [[], "no", 3, None, {"inferenceProviderMapping": 3}, {"inferenceProviderMapping": "x"}]
)
def test_an_answer_that_is_none_says_so(info: Any) -> None:
    """Something else than a model's description is not taken for one that nobody serves."""
    with pytest.raises(ResponseError, match="no list of providers"):
        read_mapping(info)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["provider", "task", "x"]), inner),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries({"inferenceProviderMapping": JSON}))
def test_no_answer_breaks_the_reader(info: Any) -> None:
    """Whatever JSON comes back, it is read or refused with an error of ours."""
    try:
        entries = read_mapping(info)
    except ResponseError:
        return
    assert all(isinstance(entry, Entry) for entry in entries)


# What is asked.


async def test_the_question() -> None:
    """One GET for this model's mapping, with the token and nothing else of the caller's."""
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub() as hub:
            entries = await hub.providers_of(MODEL, KEY)
    request = internet.sent("hub")
    assert entries == (Entry("groq", "llama-groq", "conversational"),)
    assert request.url.path == "/api/models/org/model"
    assert dict(request.url.params) == {"expand[]": "inferenceProviderMapping"}
    assert internet.key("hub") == f"Bearer {HF}"
    assert "x-hf-bill-to" not in request.headers


@pytest.mark.parametrize("model", ["org/mo del", "org/m?x=1", "org/m#x", "org/ü", "org/100%"])
async def test_an_odd_name_stays_inside_the_path(model: str) -> None:
    """A model's name cannot reach into the query, the fragment or another path."""
    with Internet() as internet:
        internet.serves(model, groq=GROQ)
        async with a_hub() as hub:
            assert await hub.providers_of(model, None)
    assert internet.sent("hub").url.path == f"/api/models/{model}"


async def test_nobody_asks_with_a_key_there_is_not() -> None:
    """Without a token the Hub is asked without one."""
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub() as hub:
            await hub.providers_of(MODEL, None)
    assert internet.key("hub") is None


async def test_a_renamed_model_is_followed() -> None:
    """The Hub redirects (307) from an old name to the new one; the token goes along within its own origin."""
    moved = httpx.Response(307, headers={"location": "/api/models/org/new?expand[]=inferenceProviderMapping"})
    with Internet() as internet:
        internet.serves("org/new", groq=GROQ)
        internet.at("hub", moved, internet.hub_says)
        async with a_hub() as hub:
            assert [entry.provider for entry in await hub.providers_of("org/old", KEY)] == ["groq"]
    (_, last) = internet.requests[-1]
    assert last.url.path == "/api/models/org/new"
    assert last.headers["authorization"] == f"Bearer {HF}"


@pytest.mark.parametrize(
    "elsewhere", ["https://elsewhere.example/x", "http://huggingface.co/x", "https://huggingface.co:8443/x"]
)
async def test_a_redirect_to_another_origin_carries_no_token(elsewhere: str) -> None:
    """Another host, another scheme and another port are all another origin."""
    with Internet() as internet:
        answer = httpx.Response(200, json={"inferenceProviderMapping": {}})
        internet.at("hub", httpx.Response(307, headers={"location": elsewhere}), answer)
        internet.at("elsewhere.example", answer)
        async with a_hub() as hub:
            await hub.providers_of(MODEL, KEY)
    assert len(internet.requests) == 2
    assert str(internet.requests[1][1].url).startswith(elsewhere)
    assert "authorization" not in internet.requests[1][1].headers


# Once, and kept.


async def test_a_crowd_asks_once() -> None:
    """A hundred calls at once make one request."""
    got: list[int] = []
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub() as hub, anyio.create_task_group() as group:

            async def ask() -> None:
                got.append(len(await hub.providers_of(MODEL, KEY)))

            for _ in range(100):
                group.start_soon(ask)
    assert got == [1] * 100
    assert internet.asked == ["hub"]


async def test_the_next_in_line_asks_when_the_first_is_cancelled() -> None:
    """A cancelled first caller does not leave the others without an answer."""
    leader = anyio.CancelScope()
    got: list[int] = []
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        begun, go = anyio.Event(), anyio.Event()

        async def hold() -> None:
            begun.set()
            await go.wait()

        internet.pause = hold
        async with a_hub() as hub, anyio.create_task_group() as group:

            async def lead() -> None:
                with leader:
                    await hub.providers_of(MODEL, KEY)

            async def ask() -> None:
                got.append(len(await hub.providers_of(MODEL, KEY)))

            group.start_soon(lead)
            await begun.wait()
            for _ in range(10):
                group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            leader.cancel()
            go.set()
    assert got == [1] * 10
    assert internet.asked == ["hub", "hub"]


async def test_an_answer_is_kept_until_its_time_is_up(now: list[float]) -> None:
    """Within the time to live nobody asks again; after it somebody does."""
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub() as hub:
            await hub.providers_of(MODEL, KEY)
            now[0] += TIME_TO_LIVE - 1
            await hub.providers_of(MODEL, KEY)
            assert internet.asked == ["hub"]
            now[0] += 2
            internet.serves(MODEL, together=live("llama-together"))
            assert [entry.provider for entry in await hub.providers_of(MODEL, KEY)] == ["together"]
    assert internet.asked == ["hub", "hub"]


async def test_answers_are_kept_apart_by_token() -> None:
    """What one token may see, in the order its user chose, is not shown to another."""
    other = Key(Secret("hf_fake_other_0009"), hugging_face=True)
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub() as hub:
            for key in (KEY, other, None, KEY, other, None):
                await hub.providers_of(MODEL, key)
    sent = [request.headers.get("authorization") for _, request in internet.requests]
    assert sent == [f"Bearer {HF}", "Bearer hf_fake_other_0009", None]


async def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for ever new models does not grow for ever."""
    assert REMEMBERED >= 100
    monkeypatch.setattr(lookup, "REMEMBERED", 2)
    with Internet() as internet:
        for name in "abc":
            internet.serves(name, groq=GROQ)
        async with a_hub() as hub:
            for name in "abcbc":
                await hub.providers_of(name, None)
            assert len(internet.requests) == 3
            await hub.providers_of("a", None)
            assert len(hub._kept) == 2
    assert len(internet.requests) == 4


# When the Hub has no good answer.


async def test_a_model_the_hub_does_not_know_is_remembered_too(now: list[float]) -> None:
    """A provider's own ids are no models of the Hub; it is not asked about them with every call."""
    with Internet() as internet:
        async with a_hub() as hub:
            errors: list[NotFoundError] = []
            for _ in range(3):
                with pytest.raises(NotFoundError) as caught:
                    await hub.providers_of("gpt-x", KEY)
                errors.append(caught.value)
            assert internet.asked == ["hub"]
            now[0] += TIME_TO_LIVE + 1
            internet.serves("gpt-x", groq=GROQ)
            assert await hub.providers_of("gpt-x", KEY)
    assert len({id(error) for error in errors}) == 3


@pytest.mark.parametrize(("key", "headers"), [(KEY, {"x-error-code": "RepoNotFound"}), (None, {})])
async def test_a_missing_model_counts_as_missing_although_the_status_is_401(
    key: Key | None, headers: dict[str, str]
) -> None:
    """The Hub answers 401 for models that do not exist, so as not to tell which private ones do."""
    gone = httpx.Response(401, headers={**headers, "x-request-id": "req-9"}, json={"error": "Repository Not Found"})
    with Internet() as internet:
        internet.at("hub", gone)
        async with a_hub() as hub:
            with pytest.raises(NotFoundError, match="Repository Not Found") as caught:
                await hub.providers_of(MODEL, key)
    assert (caught.value.status, caught.value.request_id) == (401, "req-9")


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (403, PermissionDeniedError)])
async def test_a_bad_token_is_the_callers_to_mend(status: int, error: type[Exception]) -> None:
    """A token that the Hub refuses is reported as that, not as a Hub that is down."""
    with Internet() as internet:
        internet.at("hub", status)
        async with a_hub() as hub:
            with pytest.raises(error):
                await hub.providers_of(MODEL, KEY)


@pytest.mark.parametrize(
    "answer",
    [
        400,
        httpx.Response(200, text="<html>maintenance</html>", headers={"content-type": "text/html"}),
        httpx.Response(200, json=[]),
        httpx.Response(302),
    ],
)
async def test_a_hub_that_makes_no_sense_is_down(answer: Any) -> None:
    """Whatever is wrong with the Hub's answer, it is the Hub's error, and the cause is kept."""
    with Internet() as internet:
        internet.at("hub", answer)
        async with a_hub() as hub:
            with pytest.raises(HubError, match="could not say who serves the model") as caught:
                await hub.providers_of(MODEL, KEY)
    assert caught.value.__cause__ is not None
    assert HF not in str(caught.value) + repr(caught.value.__cause__)


async def test_a_hub_that_stumbles_is_asked_again(now: list[float]) -> None:
    """Asking twice does no harm, so a passing failure is not reported at all."""
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        internet.at("hub", httpx.ConnectError("refused"), 503, internet.hub_says)
        async with a_hub() as hub:
            assert await hub.providers_of(MODEL, KEY)
    assert now[0] > 1000
    assert internet.asked == ["hub"] * 3


async def test_a_hub_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit to the whole look-up, whatever happens within it."""
    assert lookup.LIMIT_SECONDS == 10.0
    monkeypatch.setattr(lookup, "LIMIT_SECONDS", 0.02)
    with Internet() as internet:

        async def never() -> None:
            await anyio.sleep(math.inf)

        internet.pause = never
        async with a_hub() as hub:
            with pytest.raises(HubError, match="did not answer within"):
                await hub.providers_of(MODEL, KEY)


async def test_a_hub_that_keeps_failing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again ends at the limit too, and what the Hub had said is told."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            await anyio.sleep_forever()

    monkeypatch.setattr(clock, "sleep", sleep)
    with Internet() as internet:
        internet.at("hub", 200, 503)
        async with a_hub() as hub:
            await hub.providers_of("org/warm", KEY)
            monkeypatch.setattr(lookup, "LIMIT_SECONDS", 0.2)
            with pytest.raises(HubError, match="The Hub answered 503"):
                await hub.providers_of(MODEL, KEY)
    assert len(internet.requests) == 1 + 3


async def test_a_failure_is_kept_for_a_moment(now: list[float]) -> None:
    """Not every call waits for a Hub that is down; and once it is back, it is found."""
    with Internet() as internet:
        internet.serves(MODEL, groq=GROQ)
        internet.at("hub", 400)
        async with a_hub() as hub:
            for _ in range(3):
                with pytest.raises(HubError) as caught:
                    await hub.providers_of(MODEL, KEY)
                assert caught.value.__cause__ is not None
            assert len(internet.requests) == 1
            internet.at("hub", internet.hub_says)
            now[0] += LIMIT_SECONDS + 1
            assert await hub.providers_of(MODEL, KEY)


async def test_another_address_of_the_hub() -> None:
    """HF_ENDPOINT's Hub gets the question and, being the key's own origin, the key."""
    key = Key(Secret(HF), frozenset({"http://hub.corp.example:8080"}), hugging_face=True)
    with Internet(hub_host="hub.corp.example") as internet:
        internet.serves(MODEL, groq=GROQ)
        async with a_hub("http://hub.corp.example:8080") as hub:
            assert await hub.providers_of(MODEL, key)
    assert internet.sent("hub").url.port == 8080
    assert internet.key("hub") == f"Bearer {HF}"
