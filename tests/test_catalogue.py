"""What models there are: the router's list, the Hub's pages, both of them on one model, and what all of it costs."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hfclient import Client, clock, lookup
from hfclient.catalogue import PAGE, _following, _of_the_hub, _of_the_router, _only
from hfclient.errors import (
    AuthenticationError,
    HubError,
    InputError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
)
from hfclient.lookup import LIMIT_SECONDS, TIME_TO_LIVE
from hfclient.types import Model
from tests.internet import HF, HF_SAVED, MODEL, Internet, completion, live, sold

pytestmark = pytest.mark.anyio

CHEAP = {"pricing": {"input": 0.1, "output": 0.4}, "throughput": 50, "first_token_latency_ms": 300}
FAST = {"pricing": {"input": 0.3, "output": 0.9}, "throughput": 400.5, "context_length": 131072, "supports_tools": True}
IMAGES = "text-to-image"
HTML = httpx.Response(200, text="<html>maintenance</html>", headers={"content-type": "text/html"})
WHEREVER = "https://elsewhere.example/api/models?cursor=1"


@pytest.fixture
def internet() -> Iterator[Internet]:
    with Internet() as internet:
        internet.serves(MODEL, groq=live("llama-groq"), together=live("llama-together", isModelAuthor=True))
        internet.sells(MODEL, together=CHEAP, groq=FAST)
        internet.sells("org/small", cerebras={**CHEAP, "is_model_author": True})
        for name in ("a/flux", "b/flux", "c/paint"):
            internet.serves(name, **{"fal-ai": live(f"fal/{name}", IMAGES)})
        yield internet


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


def names(models: list[Model]) -> list[str]:
    return [model.id for model in models]


# Chat models: the router's list.


@pytest.mark.parametrize("task", [None, "chat", "conversational"])
async def test_chat_models_are_the_routers_list(internet: Internet, task: str | None) -> None:
    """One request tells all of them, with what each provider takes and how fast it is."""
    async with Client(HF) as client:
        models = await client.models.list(task)
    assert internet.asked == ["router/models"]
    assert str(internet.sent("router/models").url) == "https://router.huggingface.co/v1/models"
    assert names(models) == [MODEL, "org/small"]
    first = models[0]
    assert (first.created, first.owned_by, first.input_modalities) == (1700000000, "org", ("text",))
    assert first.tasks == ("conversational",)
    groq = first.on("groq")
    assert groq is not None
    assert groq.pricing is not None
    assert (groq.pricing.input, groq.pricing.output, groq.throughput) == (0.3, 0.9, 400.5)
    assert (groq.context_length, groq.supports_tools, groq.supports_structured_output) == (131072, True, None)
    assert (models.meta.provider, models.meta.status, len(models.meta.attempts)) == ("the router", 200, 1)


async def test_a_list_is_narrowed_here(internet: Internet) -> None:
    """The router's list is whole, so a provider, a word and a limit cost no further request."""
    async with Client(HF) as client:
        assert names(await client.models.list("chat", "cerebras")) == ["org/small"]
        assert names(await client.models.list(search="SMALL")) == ["org/small"]
        assert names(await client.models.list(limit=1)) == [MODEL]
        assert names(await client.models.list(limit=None)) == [MODEL, "org/small"]
        assert await client.models.list("chat", "novita") == []
    assert internet.asked == ["router/models"]


async def test_who_is_cheapest_and_who_is_fastest(internet: Internet) -> None:
    """Among the live ones; who is free costs nothing, and who tells nothing is not chosen."""
    internet.sells(
        MODEL,
        together=CHEAP,
        groq=FAST,
        novita={"pricing": {"input": 0, "output": 0.01}, "throughput": 9000, "status": "error"},
        cohere={},
    )
    internet.sells("org/free", cohere=CHEAP, novita={"is_free": True})
    internet.sells("org/silent", cohere={})
    async with Client(HF) as client:
        model, _, free, silent = await client.models.list()
    assert model.cheapest is model.on("together")
    assert model.fastest is model.on("groq")
    assert free.cheapest is free.on("novita")
    assert (silent.cheapest, silent.fastest, silent.on("groq")) == (None, None, None)


async def test_a_price_that_is_the_same_is_decided_by_the_other() -> None:
    """As the router reckons, the price of output counts; among equals it is that of input."""
    rows = [
        {"provider": "a", "status": "live", "pricing": {"input": 2, "output": 1}},
        {"provider": "b", "status": "live", "pricing": {"input": 1, "output": 1}},
    ]
    assert _of_the_router(sold(MODEL, rows)).cheapest.provider == "b"  # type: ignore[union-attr]


# Other tasks: the Hub's list.


async def test_another_task_is_asked_of_the_hub(internet: Internet) -> None:
    """The question names the task, any provider, what is to be told, and how many."""
    async with Client(HF) as client:
        models = await client.models.list("text_to_image", limit=2)
    request = internet.sent("hub/list")
    assert request.url.params.multi_items() == [
        ("inference_provider", "all"),
        ("pipeline_tag", IMAGES),
        ("limit", "2"),
        *[
            ("expand[]", name)
            for name in ("inferenceProviderMapping", "inference", "pipeline_tag", "createdAt", "author")
        ],
    ]
    assert names(models) == ["a/flux", "b/flux"]
    assert (models[0].task, models[0].tasks) == (IMAGES, (IMAGES,))
    assert models.meta.provider == "the Hub"


async def test_a_provider_without_a_task_is_asked_of_the_hub(internet: Internet) -> None:
    """All that it serves, whatever the task; the router would only tell of its chat models."""
    async with Client(HF) as client:
        assert names(await client.models.list(provider="groq", search="mod")) == [MODEL]
    asked = internet.sent("hub/list").url.params
    assert (asked["inference_provider"], asked["search"], "pipeline_tag" in asked) == ("groq", "mod", False)


async def test_the_hub_tells_what_it_knows(internet: Internet) -> None:
    """Its own names for things are read as the router's, and those nobody knows here are kept."""
    row = {
        "_id": "1",
        "id": "a/b",
        "pipeline_tag": IMAGES,
        "createdAt": "2025-03-01T12:00:00.000Z",
        "author": "a",
        "inference": "warm",
        "inferenceProviderMapping": [
            {"provider": "fal-ai", **live("fal/b", IMAGES, isModelAuthor=True, adapter="lora")},
            {"provider": "nobody"},
        ],
    }
    internet.at("hub/list", httpx.Response(200, json=[row]))
    async with Client(HF) as client:
        (model,) = await client.models.list(IMAGES)
    assert (model.id, model.task, model.owned_by, model.created) == ("a/b", IMAGES, "a", 1740830400)
    assert model.model_extra == {"inference": "warm"}
    (offer,) = model.providers
    assert (offer.provider, offer.provider_id, offer.task, offer.live) == ("fal-ai", "fal/b", IMAGES, True)
    assert (offer.is_model_author, offer.price) == (True, None)
    assert offer.model_extra == {"adapter": "lora"}


async def test_pages_are_followed_up_to_the_limit(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub gives so many at a time; no page is asked for that is not needed, and None means all."""
    assert PAGE <= 1000  # more than the Hub gives at once
    monkeypatch.setattr("hfclient.catalogue.PAGE", 1)
    async with Client(HF) as client:
        two = await client.models.list(IMAGES, limit=2)
        assert names(two) == ["a/flux", "b/flux"]
        assert [(attempt.provider, attempt.status) for attempt in two.meta.attempts] == [("the Hub", 200)] * 2
        assert len(internet.requests) == 2
        assert names(await client.models.list(IMAGES, limit=None)) == ["a/flux", "b/flux", "c/paint"]
    assert len(internet.requests) == 5
    assert [request.url.params.get("cursor") for _, request in internet.requests] == [None, "1", None, "1", "2"]


async def test_a_page_that_is_too_long_is_cut(internet: Internet) -> None:
    """A service may give more than it was asked for; the caller gets what he asked for."""
    internet.at("hub/list", httpx.Response(200, json=[{"id": f"a/{number}"} for number in range(9)]))
    async with Client(HF) as client:
        assert names(await client.models.list(IMAGES, limit=2)) == ["a/0", "a/1"]


@pytest.mark.parametrize(
    "link",
    [
        f'<{WHEREVER}>; rel="next"',
        f"<{WHEREVER}>; rel=next",
        f'<{WHEREVER}>; title="x"; rel="next"',
        f'<https://huggingface.co/api/models?cursor=0>; rel="prev", <{WHEREVER}>; rel="next"',
        '<//elsewhere.example/x?cursor=1>; rel="next"',
        '<https://huggingface.co@elsewhere.example/?cursor=1#x>; rel="next"',
        '<http://huggingface.co:8080/api/models?cursor=1>; rel="next"',
        '<?cursor=1>; rel="next"',
    ],
)
async def test_the_next_page_is_the_hubs_wherever_the_link_leads(internet: Internet, link: str) -> None:
    """Of a link nothing but its query is taken: another host gets neither the key nor a request."""
    first = httpx.Response(200, headers={"link": link}, json=[{"id": "a/b"}])
    internet.at("hub/list", first, httpx.Response(200, json=[{"id": "c/d"}]))
    async with Client(HF) as client:
        assert names(await client.models.list(IMAGES)) == ["a/b", "c/d"]
    assert internet.asked == ["hub/list"] * 2
    (_, request) = internet.requests[-1]
    assert str(request.url) == "https://huggingface.co/api/models?cursor=1"
    assert request.headers["authorization"] == f"Bearer {HF}"


@pytest.mark.parametrize(
    "link", ['<https://[/x>; rel="next"', '<https://huggingface.co/api/models>; rel="next"', "x", ""]
)
async def test_a_link_that_leads_nowhere_ends_the_list(internet: Internet, link: str) -> None:
    """What cannot be followed is no page."""
    internet.at("hub/list", httpx.Response(200, headers={"link": link}, json=[{"id": "a/b"}]))
    async with Client(HF) as client:
        assert names(await client.models.list(IMAGES)) == ["a/b"]
    assert internet.asked == ["hub/list"]


@pytest.mark.parametrize("row", [[{"id": "a/b"}], []], ids=["the same page again", "nothing more"])
async def test_pages_that_lead_in_a_circle_end(internet: Internet, row: list[Any]) -> None:
    """A page that was there before, and one with nothing in it, are the last."""
    link = {"link": '<https://huggingface.co/api/models?cursor=1>; rel="next"'}
    internet.at("hub/list", httpx.Response(200, headers=link, json=row))
    async with Client(HF) as client:
        assert len(await client.models.list(IMAGES, limit=None)) == 2 * len(row)
    assert len(internet.requests) == 1 + len(row)


async def test_a_page_that_fails_fails_the_list(internet: Internet) -> None:
    """Half a list is none, and is not kept as if it were one."""
    link = {"link": '<https://huggingface.co/api/models?cursor=1>; rel="next"'}
    internet.at("hub/list", httpx.Response(200, headers=link, json=[{"id": "a/b"}]), 400)
    async with Client(HF) as client:
        with pytest.raises(HubError, match="could not list the models: The Hub answered 400"):
            await client.models.list(IMAGES)


# One model: both of them.


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}:groq", f"{MODEL}:cheapest", f" {MODEL} "])
async def test_one_model_is_told_of_by_both(internet: Internet, name: str) -> None:
    """The Hub's order, ids and tasks, the router's figures; each is asked once, and a suffix is cut."""
    async with Client(HF) as client:
        model = await client.models.get(name)
    assert sorted(internet.asked) == ["hub", "router/models"]
    assert internet.sent("router/models").url.path == f"/v1/models/{MODEL}"
    assert internet.sent("hub").url.params.get_list("expand[]")[0] == "inferenceProviderMapping"
    assert [offer.provider for offer in model.providers] == ["groq", "together"]
    groq, together = model.providers
    assert (groq.provider_id, groq.task, groq.throughput, groq.supports_tools) == (
        "llama-groq",
        "conversational",
        400.5,
        True,
    )
    assert (together.is_model_author, together.price.output) == (True, 0.4)  # type: ignore[union-attr]
    assert (model.id, model.created, model.output_modalities) == (MODEL, 1700000000, ("text",))
    assert [(attempt.provider, attempt.status) for attempt in model.meta.attempts] == [
        ("the Hub", 200),
        ("the router", 200),
    ]


async def test_a_provider_that_only_one_of_them_knows(internet: Internet) -> None:
    """It stands behind the Hub's, and what nobody told of it is not known."""
    internet.serves(MODEL, together=live("llama-together"), groq=live("llama-groq", "text-generation"))
    internet.sells(MODEL, novita=CHEAP, groq={"status": "error", "throughput": 7})
    async with Client(HF) as client:
        model = await client.models.get(MODEL)
    assert [offer.provider for offer in model.providers] == ["together", "groq", "novita"]
    together, groq, novita = model.providers
    assert (together.provider_id, together.throughput) == ("llama-together", None)
    assert (groq.status, groq.task, groq.throughput) == ("live", "text-generation", 7)
    assert (novita.provider_id, novita.task) == (None, "conversational")
    assert model.tasks == ("conversational", "text-generation")


async def test_the_router_need_not_know_it(internet: Internet, caplog: pytest.LogCaptureFixture) -> None:
    """It lists chat models; the Hub tells of the others, and there is nothing to warn of."""
    async with Client(HF) as client:
        assert await client.models.get("a/flux")
        model = await client.models.get("a/flux")
    assert len(internet.requests) == 2
    assert (model.on("fal-ai").provider_id, model.meta.provider) == ("fal/a/flux", "the Hub")  # type: ignore[union-attr]
    assert [attempt.error for attempt in model.meta.attempts] == [None, "NotFoundError"]
    assert caplog.records == []


async def test_the_hub_need_not_know_it(internet: Internet) -> None:
    """What the router alone knows is told."""
    async with Client(HF) as client:
        model = await client.models.get("org/small")
    assert (model.cheapest.provider, model.meta.provider) == ("cerebras", "the router")  # type: ignore[union-attr]


async def test_a_model_that_neither_knows(internet: Internet) -> None:
    """The error says what to check."""
    async with Client(HF) as client:
        with pytest.raises(NotFoundError, match="Neither the Hub nor the router knows org/misspelt") as caught:
            await client.models.get("org/misspelt")
    assert "spelling" in caught.value.advice
    assert (caught.value.model, caught.value.status) == ("org/misspelt", 404)


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("down", ["hub", "router/models"])
@pytest.mark.parametrize("answer", [400, HTML, httpx.Response(200, json=[3]), httpx.ConnectError("refused")])
async def test_one_of_them_down_leaves_what_the_other_knows(
    internet: Internet, caplog: pytest.LogCaptureFixture, down: str, answer: Any
) -> None:
    """Something is better than nothing, and the log says that it is not all."""
    known = {"cerebras"} if down == "hub" else {"groq", "together"}
    internet.sells(MODEL, cerebras=CHEAP)
    internet.at(down, answer)
    async with Client(HF) as client:
        model = await client.models.get(MODEL)
    assert {offer.provider for offer in model.providers} == known
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "is not all there is" in record.message
    assert sorted(attempt.error is None for attempt in model.meta.attempts) == [False, True]


async def test_one_down_and_one_that_does_not_know(internet: Internet) -> None:
    """That there is no such model can only be said when both have been heard."""
    internet.at("router/models", 400)
    async with Client(HF) as client:
        with pytest.raises(HubError, match=r"The router at https://\S+ could not tell of the model"):
            await client.models.get("org/misspelt")


async def test_both_down(internet: Internet) -> None:
    """The error is the Hub's, with its cause and advice."""
    internet.at("hub", 400)
    internet.at("router/models", 400)
    async with Client(HF) as client:
        with pytest.raises(HubError, match=r"The Hub at https://\S+ could not tell of the model") as caught:
            await client.models.get(MODEL)
    assert caught.value.__cause__ is not None
    assert (caught.value.model, caught.value.advice) == (MODEL, "Try again in a while.")


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (403, PermissionDeniedError)])
async def test_a_bad_token_is_the_callers_to_mend(internet: Internet, status: int, error: type[Exception]) -> None:
    """It is told as that, and not kept: the next token may be a good one."""
    internet.at("hub", status)
    internet.at("router/models", status)
    async with Client(HF) as client:
        for _ in range(2):
            with pytest.raises(error):
                await client.models.get(MODEL)
        with pytest.raises(error):
            await client.models.list()
    assert len(internet.requests) == 5


async def test_a_model_is_not_supported_in_other_words(internet: Internet) -> None:
    """A router that answers 400 to a model it does not serve does not know it."""
    body = {"error": {"message": "The requested model 'x' is not supported.", "code": "model_not_supported"}}
    internet.at("router/models", httpx.Response(400, json=body))
    async with Client(HF) as client:
        assert (await client.models.get("a/flux")).task is None
        with pytest.raises(NotFoundError):
            await client.models.get("org/misspelt")


@pytest.mark.parametrize("name", ["a/b?x=1", "a/b#x", "a/ü", "a/b c"])
async def test_an_odd_name_stays_inside_the_path(internet: Internet, name: str) -> None:
    """A model's name reaches neither into the query nor into another path."""
    internet.serves(name, groq=live("x"))
    internet.sells(name, groq=CHEAP)
    async with Client(HF) as client:
        assert (await client.models.get(name)).id == name
    assert internet.sent("router/models").url.path == f"/v1/models/{name}"
    assert internet.sent("hub").url.path == f"/api/models/{name}"


# Asked once, and kept.

QUESTIONS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "the router's list": lambda client: client.models.list(),
    "a list of the Hub": lambda client: client.models.list(IMAGES),
    "one model": lambda client: client.models.get(MODEL),
}
ASKED = {"the router's list": 1, "a list of the Hub": 1, "one model": 2}

every_question = pytest.mark.parametrize("question", QUESTIONS)


@every_question
async def test_a_crowd_asks_once(internet: Internet, question: str) -> None:
    """A hundred at once make one request, and copies of the client share the answer."""
    got: list[Any] = []
    async with Client(HF) as client, anyio.create_task_group() as group:

        async def ask(client: Client) -> None:
            got.append(await QUESTIONS[question](client))

        for _ in range(100):
            group.start_soon(ask, client.with_options(provider="groq"))
    assert len(got) == 100
    assert len(internet.requests) == ASKED[question]


@every_question
async def test_a_cancelled_first_leaves_the_question_to_the_next(internet: Internet, question: str) -> None:
    """Who asked first may go; those who wait get their answer."""
    begun, go, leader = anyio.Event(), anyio.Event(), anyio.CancelScope()
    got: list[Any] = []

    async def hold() -> None:
        begun.set()
        await go.wait()

    internet.pause = hold
    async with Client(HF) as client, anyio.create_task_group() as group:

        async def lead() -> None:
            with leader:
                await QUESTIONS[question](client)
                got.append("the leader, who should be gone")

        async def ask() -> None:
            got.append(await QUESTIONS[question](client))

        group.start_soon(lead)
        await begun.wait()
        for _ in range(10):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        go.set()
    assert len(got) == 10
    assert all(got)


@every_question
async def test_an_answer_is_kept_until_its_time_is_up(internet: Internet, now: list[float], question: str) -> None:
    """For five minutes nobody asks again."""
    async with Client(HF) as client:
        for seconds, requests in ((0, 1), (TIME_TO_LIVE - 1, 1), (2, 2)):
            now[0] += seconds
            await QUESTIONS[question](client)
            assert len(internet.requests) == requests * ASKED[question]


@every_question
async def test_answers_are_kept_apart_by_token(internet: Internet, question: str) -> None:
    """What one token may see is not shown to another, and each goes along with its own question."""
    async with Client(HF) as client:
        for other in (client, client.with_options(token="hf_fake_other_0009"), client):
            await QUESTIONS[question](other)
    sent = [request.headers.get("authorization") for _, request in internet.requests]
    assert sent == [f"Bearer {HF}"] * ASKED[question] + ["Bearer hf_fake_other_0009"] * ASKED[question]


async def test_what_a_caller_does_to_a_list_is_his_own_affair(internet: Internet) -> None:
    """The next caller gets the whole list, from what was kept."""
    async with Client(HF) as client:
        (await client.models.list()).clear()
        (await client.models.list(IMAGES)).clear()
        assert len(await client.models.list()) == 2
        assert len(await client.models.list(IMAGES)) == 3
    assert len(internet.requests) == 2


async def test_that_one_is_down_is_kept_for_a_moment(internet: Internet, now: list[float]) -> None:
    """Not everybody waits to find it out; once it is back, it is found."""
    internet.at("router/models", 400)
    async with Client(HF) as client:
        for _ in range(3):
            with pytest.raises(HubError, match="could not list its models"):
                await client.models.list()
        assert len(internet.requests) == 1
        internet.at("router/models", internet.router_lists)
        now[0] += LIMIT_SECONDS + 1
        assert len(await client.models.list()) == 2


async def test_one_that_stumbles_is_asked_again(internet: Internet, now: list[float]) -> None:
    """Asking twice does no harm, so a passing failure is not reported."""
    internet.at("router/models", httpx.ConnectError("refused"), 503, internet.router_lists)
    async with Client(HF) as client:
        assert len(await client.models.list()) == 2
    assert internet.asked == ["router/models"] * 3


@every_question
async def test_one_that_is_silent_is_given_up(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    """There is a limit to each question, whatever happens within it."""
    assert lookup.LIMIT_SECONDS == 10.0
    monkeypatch.setattr(lookup, "LIMIT_SECONDS", 0.02)

    async def never() -> None:
        await anyio.sleep(math.inf)

    internet.pause = never
    async with Client(HF) as client:
        with pytest.raises(HubError, match="did not answer within"):
            await QUESTIONS[question](client)


# Keys.


@every_question
async def test_the_key_goes_to_hugging_face_alone(internet: Internet, question: str) -> None:
    """With the token of the client or that of this machine; keys of providers stay where they are."""
    async with Client(HF, keys={"groq": "gsk_fake_groq_0003"}) as client:
        await QUESTIONS[question](client)
    assert {request.headers.get("authorization") for _, request in internet.requests} == {f"Bearer {HF}"}
    assert {request.url.host for _, request in internet.requests} <= {"huggingface.co", "router.huggingface.co"}


async def test_the_saved_login_will_do(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is logged in need not pass a token."""
    monkeypatch.setenv("HF_TOKEN", HF_SAVED)
    async with Client() as client:
        await client.models.list()
    assert internet.key("router/models") == f"Bearer {HF_SAVED}"


@every_question
async def test_without_a_token_nobody_is_asked_with_one(internet: Internet, question: str) -> None:
    """What is public needs none."""
    async with Client(keys={"groq": "gsk_fake_groq_0003"}) as client:
        assert await QUESTIONS[question](client)
    assert {request.headers.get("authorization") for _, request in internet.requests} == {None}


@pytest.mark.parametrize("place", ["router/models", "hub/list"])
async def test_a_redirect_to_another_origin_carries_no_key(internet: Internet, place: str) -> None:
    """Another host may answer, but not learn who asks."""
    internet.at(place, httpx.Response(307, headers={"location": "https://elsewhere.example/x"}))
    internet.at("elsewhere.example", httpx.Response(200, json=[]))
    async with Client(HF) as client:
        assert await client.models.list(None if place == "router/models" else IMAGES) == []
    assert "authorization" not in internet.sent("elsewhere.example").headers


@every_question
async def test_a_key_that_comes_back_does_not_show(
    internet: Internet, caplog: pytest.LogCaptureFixture, question: str
) -> None:
    """Not in the error of an answer that echoes it, nor in its body, its causes, or the log."""
    for place in ("hub", "hub/list", "router/models"):
        internet.at(place, httpx.Response(200, text=f"<p>{HF}</p>", headers={"x-request-id": HF}))
    caplog.set_level(logging.DEBUG)
    async with Client(HF) as client:
        with pytest.raises(ResponseError, match="is not JSON") as caught:
            await QUESTIONS[question](client)
    error = caught.value
    told = [str(error), error.body, repr(error.__dict__), repr(error.__cause__), repr(error.__context__), caplog.text]
    assert HF not in "".join(told)
    assert "<p>" in error.body


async def test_a_key_that_comes_back_is_not_in_meta(internet: Internet) -> None:
    """Headers are shown without it."""
    internet.at("router/models", httpx.Response(200, headers={"x-echo": HF, "x-request-id": "r-1"}, json=[]))
    async with Client(HF) as client:
        meta = (await client.models.list()).meta
    assert HF not in repr(meta)
    assert (meta.request_id, "x-echo" in meta.headers) == ("r-1", True)


# Answers that make no sense.


@pytest.mark.parametrize("answer", [HTML, httpx.Response(200, json={}), httpx.Response(200, json="no")])
@pytest.mark.parametrize(("task", "place"), [(None, "router/models"), (IMAGES, "hub/list")])
async def test_an_answer_that_is_no_list(internet: Internet, task: str | None, place: str, answer: Any) -> None:
    """Anything else than a list of models is a typed error that says who answered so."""
    internet.at(place, answer)
    async with Client(HF) as client:
        with pytest.raises(ResponseError) as caught:
            await client.models.list(task)
    who = "the router" if place == "router/models" else "the Hub"
    assert (caught.value.provider, caught.value.status, caught.value.advice) == (who, 200, "Try again in a while.")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"data":' * 100_000, b"", b"\xff\xfe"], ids=lambda b: repr(b[:9])
)
async def test_json_nested_beyond_reason_is_a_typed_error(internet: Internet, content: bytes) -> None:
    """No server breaks its reader."""
    internet.at("router/models", httpx.Response(200, content=content))
    async with Client(HF) as client:
        with pytest.raises(ResponseError):
            await client.models.list()


@pytest.mark.parametrize("odd", [3, None, "x", [], {}, {"id": None}, {"id": ""}, {"id": ["a"]}], ids=repr)
@pytest.mark.parametrize(("task", "place"), [(None, "router/models"), (IMAGES, "hub/list")])
async def test_a_model_that_makes_no_sense_does_not_cost_the_others(
    internet: Internet, caplog: pytest.LogCaptureFixture, task: str | None, place: str, odd: Any
) -> None:
    """It is passed over, with a line for those who look into the log."""
    caplog.set_level(logging.DEBUG, "hfclient")
    internet.at(place, httpx.Response(200, json=[{"id": "a/b"}, odd, {"id": "c/d"}]))
    async with Client(HF) as client:
        assert names(await client.models.list(task)) == ["a/b", "c/d"]
    assert "A model in a list is passed over" in caplog.text


@pytest.mark.parametrize(
    "row",
    [
        {"pricing": "free"},
        {"pricing": {"input": "n/a", "output": -1}},
        {"pricing": {"input": [], "output": math.inf}},
        {"throughput": None, "context_length": "long", "is_free": "perhaps", "supports_tools": []},
        {"first_token_latency_ms": {}, "throughput": "fast"},
        {"status": None},
    ],
    ids=repr,
)
def test_a_figure_that_makes_no_sense_is_not_known(row: dict[str, Any]) -> None:
    """The provider, and what else is told of it, stay."""
    model = _of_the_router(
        sold(MODEL, [{"provider": "groq", "status": "live", "later": 1, **row}, {"status": "live"}, 3])
    )
    (groq,) = model.providers
    assert (groq.provider, groq.model_extra) == ("groq", {"later": 1})
    assert (model.cheapest, model.fastest, groq.is_free, groq.supports_tools) == (None, None, None, None)


def test_figures_may_be_written_as_text() -> None:
    """A price in quotes is a price."""
    row = {"provider": "groq", "status": "live", "pricing": {"input": "0.29", "output": "0.59", "cached": 0.1}}
    offer = _of_the_router(sold(MODEL, [row])).cheapest
    assert offer is not None
    assert offer.pricing is not None
    assert (offer.pricing.input, offer.pricing.output, offer.pricing.model_extra) == (0.29, 0.59, {"cached": 0.1})


FIELDS = [
    *("id", "providers", "architecture", "provider", "pricing", "input", "output", "status", "task", "_meta", "meta"),
    *("inferenceProviderMapping", "createdAt", "providerId", "throughput", "created", "input_modalities"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"id": st.text(min_size=1)}, optional=dict.fromkeys(FIELDS[1:], JSON)))
def test_no_answer_breaks_the_reader(row: Any) -> None:
    """Whatever JSON comes back, it is a model whose short ways can be taken, or an error of ours."""
    for read in (_of_the_router, _of_the_hub):
        try:
            model = _only(row, read)
        except ResponseError:
            continue
        assert model.id
        _ = model.cheapest, model.fastest, model.tasks
        assert model.on("nobody at all") is None


@given(st.text() | st.builds('<{}?{}>; rel="next"'.format, st.text(max_size=9), st.text(max_size=9)))
def test_no_link_breaks_the_reader(link: str) -> None:
    """Whatever the header holds, it names a query that can be sent, or none."""
    query = _following(link)
    if query is not None:
        assert httpx.URL(f"https://huggingface.co/api/models?{query}").path == "/api/models"


# What cannot be asked.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": True}, "limit=True"),
        ({"limit": "10"}, "limit='10'"),
        ({"provider": "grok"}, "Did you mean 'groq'"),
        ({"task": ""}, "task="),
        ({"search": 3}, "search=3"),
    ],
)
async def test_a_list_that_cannot_be_asked_for(internet: Internet, options: dict[str, Any], words: str) -> None:
    """A slip is told before anything is sent."""
    async with Client(HF) as client:
        with pytest.raises(InputError) as caught:
            await client.models.list(**options)
    assert words in str(caught.value)
    assert internet.requests == []


@pytest.mark.parametrize("name", ["", " ", ":groq", "../x", "https://huggingface.co/org/model", 3, None])
async def test_a_model_that_cannot_be_asked_for(internet: Internet, name: Any) -> None:
    """Nor is anything sent for what is no model's name."""
    async with Client(HF) as client:
        with pytest.raises(InputError):
            await client.models.get(name)
    assert internet.requests == []


# Who serves what.


def test_the_providers_and_their_tasks() -> None:
    """By name, each with what can be called there; with a task, those that serve it."""
    client = Client(HF)
    providers = client.providers()
    assert [*providers] == sorted(providers)
    assert providers["groq"] == ("conversational",)
    chatty = client.providers("chat")
    assert chatty == client.providers("conversational")
    assert chatty == {name: tasks for name, tasks in providers.items() if "conversational" in tasks}
    assert "groq" in chatty


def test_a_task_that_nobody_serves_is_refused_with_the_nearest() -> None:
    """A slip in a task's name is told, with what may have been meant."""
    with pytest.raises(InputError, match="'chatt'") as caught:
        Client(HF).providers("chatt")
    assert "'chat'" in caught.value.advice


# What it costs.


def counted(request: httpx.Request, provider: str = "groq", **usage: Any) -> httpx.Response:
    reply = completion(request)
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500, **usage}
    whole = {**reply.json(), "usage": usage}
    return httpx.Response(200, headers={"x-inference-provider": provider}, json=whole)


def streamed(request: httpx.Request) -> httpx.Response:
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}\n\ndata: [DONE]\n\n'
    reply = completion(request)
    reply.headers["x-inference-provider"] = "groq"
    return httpx.Response(200, headers=reply.headers, content=reply.content.replace(b"data: [DONE]\n\n", last))


COST = (1000 * 0.3 + 500 * 0.9) / 1_000_000


@pytest.mark.parametrize("read_by", ["list", "get"])
@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:fastest"])
async def test_an_answer_knows_its_cost_once_prices_are_read(internet: Internet, read_by: str, model: str) -> None:
    """The tokens, at the price of the provider that served; no call reads prices by itself."""
    internet.at("router", counted)
    async with Client(HF) as client:
        assert (await client.chat("hi", model=model)).cost is None
        assert internet.asked == ["router"]
        await (client.models.list() if read_by == "list" else client.models.get(MODEL))
        asked = len(internet.requests)
        reply = await client.with_options(timeout=5).chat("hi", model=model)
    assert reply.cost == pytest.approx(COST)
    assert (reply.meta.pricing.input, reply.meta.pricing.output) == (0.3, 0.9)  # type: ignore[union-attr]
    assert len(internet.requests) == asked + 1


async def test_a_price_is_known_for_as_long_as_the_client(internet: Internet, now: list[float]) -> None:
    """Reading the list once will do, although a list is asked for anew after a while."""
    internet.at("router", counted)
    async with Client(HF) as client:
        await client.models.list()
        now[0] += 100 * TIME_TO_LIVE
        assert (await client.chat("hi", model=MODEL)).cost == pytest.approx(COST)


async def test_a_stream_knows_its_cost(internet: Internet) -> None:
    """The answer put together has it as a whole one has."""
    internet.at("router", streamed)
    async with Client(HF, model=MODEL) as client:
        await client.models.list()
        final = await client.chat.stream("hi").final()
    assert (final.text, final.cost) == ("hi", pytest.approx(COST))


async def test_an_answer_read_as_a_model_knows_its_cost(internet: Internet) -> None:
    """Parsing takes nothing away."""

    class Anything(BaseModel):
        x: int = 0

    def parsable(request: httpx.Request) -> httpx.Response:
        whole = counted(request).json()
        whole["choices"][0]["message"]["content"] = "{}"
        return httpx.Response(200, headers={"x-inference-provider": "groq"}, json=whole)

    internet.at("router", parsable)
    async with Client(HF, model=MODEL) as client:
        await client.models.list()
        assert (await client.chat.parse("hi", response_format=Anything)).cost == pytest.approx(COST)


async def test_a_provider_by_name_has_its_price_too(internet: Internet) -> None:
    """Whichever way a call takes, its provider is known."""
    internet.at("router/together", lambda request: counted(request, "together"))
    async with Client(HF, provider="together", model=MODEL) as client:
        await client.models.list()
        assert (await client.chat("hi")).cost == pytest.approx((1000 * 0.1 + 500 * 0.4) / 1_000_000)


async def test_what_is_free_costs_nothing(internet: Internet) -> None:
    """That is a cost, and not an unknown one."""
    internet.sells(MODEL, groq={"is_free": True})
    internet.at("router", counted)
    async with Client(HF, model=MODEL) as client:
        await client.models.list()
        assert (await client.chat("hi")).cost == 0


@pytest.mark.parametrize("figure", ["cost", "estimated_cost"])
async def test_the_providers_own_figure_comes_first(internet: Internet, figure: str) -> None:
    """It knows better than a list of prices, and needs none."""
    internet.at("router", lambda request: counted(request, **{figure: 0.0123}))
    async with Client(HF, model=MODEL) as client:
        assert (await client.chat("hi")).cost == 0.0123
        await client.models.list()
        assert (await client.chat("hi")).cost == 0.0123


@pytest.mark.parametrize(
    ("provider", "model"), [("auto", MODEL), ("novita", MODEL), ("groq", "org/unlisted"), ("groq", "llama3:8b")]
)
async def test_what_is_not_listed_has_no_known_cost(internet: Internet, provider: str, model: str) -> None:
    """A provider or a model without a price, and a router that does not say whom it chose."""
    internet.at("router", lambda request: counted(request, provider))
    async with Client(HF) as client:
        await client.models.list()
        reply = await client.chat("hi", model=model)
    assert (reply.cost, reply.meta.pricing) == (None, None)


async def test_another_address_has_other_prices(internet: Internet) -> None:
    """A gateway that speaks a provider's dialect is not that provider."""
    internet.at("mine.example", counted)
    async with Client(HF, base_url="https://mine.example", provider="groq", model=MODEL) as client:
        await client.models.list()
        assert (await client.chat("hi")).cost is None


async def test_prices_outlive_an_event_loop(internet: Internet) -> None:
    """A client that is used in one loop after the other keeps what it has read."""
    client = Client(HF, model=MODEL)
    internet.at("router", counted)

    async def read() -> None:
        await client.models.list()
        await client.models.list()
        assert (await client.chat("hi")).cost == pytest.approx(COST)
        await client.aclose()

    for _ in range(2):
        await anyio.to_thread.run_sync(anyio.run, read)
    assert internet.asked == ["router/models", "router", "router"]
