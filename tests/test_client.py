"""The client itself: its options, its copies, its life, and what it never shows."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import math
import pickle
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio

from hfclient import Client, Retry, Timeout
from hfclient.call import Options
from hfclient.client import CONNECTION_NAMES, DEFAULT_NAMES
from hfclient.defaults import Defaults
from hfclient.errors import InputError, MissingKeyError
from hfclient.provider import Provider
from tests.internet import GSK, HF, MODEL, Internet, completion, live
from tests.loopback import Loopback, Received, Steps, chat_completion, json_answer

pytestmark = pytest.mark.anyio

RUN: dict[str, Callable[[Callable[[], Awaitable[object]]], object]] = {
    "asyncio": lambda work: asyncio.run(work()),  # type: ignore[arg-type]
    "trio": trio.run,
}


def answer(request: Received) -> Steps:
    return json_answer(chat_completion("hi"))


# Options.


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("provider", "groq", ("groq",)),
        ("provider", ["groq", "together"], ("groq", "together")),
        ("provider", ("groq",), ("groq",)),
        ("model", MODEL, MODEL),
        ("bill_to", "my-org", "my-org"),
        ("base_url", "https://host.example/v1", "https://host.example/v1"),
        ("timeout", 5, Timeout(5.0, 5.0, 5.0, 5.0, 5.0)),
        ("timeout", math.inf, Timeout(10.0, math.inf, math.inf, math.inf, math.inf)),
        ("timeout", Timeout(read=3), Timeout(read=3)),
        ("deadline", 60, 60.0),
        ("deadline", math.inf, None),
        ("retry", False, Retry(attempts=1)),
        ("retry", 3, Retry(attempts=3)),
        ("retry", Retry(attempts=4, statuses={429}), Retry(attempts=4, statuses={429})),
        ("headers", {"X-Team": "a"}, {"x-team": "a"}),
    ],
)
def test_every_default_is_kept(name: str, value: Any, kept: Any) -> None:
    """Given to the client or to a copy of it, a default is the same."""
    where = "providers" if name == "provider" else name
    assert getattr(Client(HF, **{name: value}).defaults, where) == kept
    assert getattr(Client(HF).with_options(**{name: value}).defaults, where) == kept


def test_the_defaults_are_those_of_the_documentation() -> None:
    """Connect 10 s, read and idle 120 s, one retry on 503 and on a connection that was never made."""
    defaults = Client(HF).defaults
    assert defaults == Defaults()
    assert defaults.timeout == Timeout(connect=10, read=120, write=120, pool=120, idle=120)
    assert (defaults.retry.attempts, defaults.retry.statuses, defaults.retry.connection_failures) == (2, {503}, True)
    assert defaults.deadline is None
    assert defaults.providers == ("auto",)


def test_every_option_is_known_by_name() -> None:
    """The lists of names that errors suggest from hold every parameter there is."""
    parameters = {name for name in inspect.signature(Client.__init__).parameters if name not in {"self", "unknown"}}
    assert parameters == {"token", "keys", *DEFAULT_NAMES, *CONNECTION_NAMES}


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [
        ("modle", "model"),
        ("providers", "provider"),
        ("time_out", "timeout"),
        ("baseurl", "base_url"),
        ("billto", "bill_to"),
        ("header", "headers"),
        ("retries", "retry"),
        ("max_retries", "retry"),
        ("api_key", "token"),
        ("request_timeout", "timeout"),
        ("default_headers", "headers"),
    ],
)
def test_a_mistyped_option_is_told_with_the_nearest(typo: str, nearest: str) -> None:
    """The client and its copies both know what was meant; the value is not shown."""
    makers: list[Any] = [Client, Client(HF).with_options]
    for make in makers:
        with pytest.raises(InputError, match=f"no option '{typo}'") as caught:
            make(**{typo: "fake-value"})
        assert caught.value.advice == f"Did you mean '{nearest}'?"
        assert "fake-value" not in str(caught.value)


def test_an_option_nobody_knows_lists_those_there_are() -> None:
    """Where nothing is near, all are named."""
    with pytest.raises(InputError) as caught:
        Client(zzzzzz=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert all(name in caught.value.advice for name in DEFAULT_NAMES)


WRONG: list[tuple[str, Any]] = [
    ("provider", 5),
    ("provider", ""),
    ("provider", []),
    ("provider", ["groq", ""]),
    ("provider", [None]),
    ("provider", {"groq": 1}),
    ("provider", {"groq", "together"}),
    ("provider", b"groq"),
    ("model", 5),
    ("model", ""),
    ("model", "  "),
    ("model", ["a"]),
    ("bill_to", 5),
    ("bill_to", ""),
    ("bill_to", "société"),
    ("bill_to", "org\r\nx-evil: 1"),
    ("base_url", 5),
    ("base_url", ""),
    ("base_url", b"https://host.example"),
    ("base_url", "host.example"),
    ("timeout", "5"),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", True),
    ("timeout", math.nan),
    ("timeout", (5, 5)),
    ("deadline", 0),
    ("deadline", False),
    ("deadline", ""),
    ("deadline", "60"),
    ("deadline", -1),
    ("deadline", math.nan),
    ("retry", -1),
    ("retry", "no"),
    ("retry", 2.5),
    ("headers", "x: y"),
    ("headers", ""),
    ("headers", [("x", "y")]),
    ("headers", {"x": 1}),
    ("headers", {1: "x"}),
    ("headers", {"x": "a\nb"}),
    ("headers", {"x": "é"}),
    ("headers", {"é": "x"}),
    ("keys", "gsk_fake"),
    ("keys", ""),
    ("keys", [("groq", "gsk_fake")]),
    ("keys", {"groq": 5}),
]
WRONG_CONNECTIONS: list[tuple[str, Any]] = [
    ("http_client", 5),
    ("http_client", "https://host.example"),
    ("http_client", httpx.AsyncClient),
    ("transport", "curl"),
    ("transport", 5),
    ("semconv", "2025"),
    ("max_connections", 0),
    ("max_connections", -1),
    ("max_connections", 1.5),
    ("max_connections", "100"),
    ("max_connections", True),
    ("max_connections", None),
    ("max_event_bytes", 0),
    ("max_event_bytes", "1 MB"),
]


@pytest.mark.parametrize(("name", "value"), [*WRONG, *WRONG_CONNECTIONS], ids=str)
def test_a_wrong_value_is_told_with_the_options_name(name: str, value: Any) -> None:
    """Before anything is sent, and never as a TypeError from deep inside."""
    with pytest.raises(InputError, match=name):
        Client(**{"token": HF, name: value})


@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_a_copy_checks_too(name: str, value: Any) -> None:
    """with_options is as strict as the client."""
    with pytest.raises(InputError, match=name):
        Client(HF).with_options(**{name: value})


@pytest.mark.parametrize(("name", "value"), [pair for pair in WRONG if pair[0] != "keys"], ids=str)
async def test_a_call_checks_too(name: str, value: Any) -> None:
    """What is wrong for one call is told before it is sent."""
    name = "extra_headers" if name == "headers" else name
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(InputError, match=name):
                await client.chat("hi", **{name: value})
    assert internet.requests == []


@pytest.mark.parametrize(
    ("name", "value"), [("extra_query", "x"), ("extra_query", {"x": [1]}), ("extra_body", [1]), ("extra_body", "x")]
)
async def test_a_call_checks_what_only_it_has(name: str, value: Any) -> None:
    """Query and body are mappings."""
    async with Client(HF, model=MODEL) as client:
        with pytest.raises(InputError, match=name):
            await client.chat("hi", **{name: value})


@pytest.mark.parametrize("model", ["..", "../whoami-v2", "org/../../x"])
def test_a_model_does_not_climb_out_of_its_path(model: str) -> None:
    """A name that would lead to another address of the Hub is none."""
    with pytest.raises(InputError, match="leads elsewhere"):
        Client(model=model)


def test_a_synchronous_httpx_client_is_refused() -> None:
    """The slip that everybody makes once."""
    with (
        httpx.Client() as ours,
        pytest.raises(InputError, match=r"http_client must be an httpx.AsyncClient, not httpx"),
    ):
        Client(http_client=ours)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["https://host.example/v1", "http://localhost:8080"])
def test_an_address_is_no_model(url: str) -> None:
    """Other clients take a URL as the model; here the error says where it belongs."""
    with pytest.raises(InputError, match="model is an address") as caught:
        Client(model=url)
    assert "base_url" in caught.value.advice


def test_a_key_for_a_provider_that_does_not_exist_is_a_slip() -> None:
    """Otherwise the key would silently not be used, and the call be paid for from another account."""
    for make in (Client, Client(HF).with_options):
        with pytest.raises(InputError, match="'grog'") as caught:
            make(keys={"grog": GSK})
        assert caught.value.advice == "Did you mean 'groq'?"
        assert GSK not in str(caught.value)


@pytest.mark.parametrize("name", ["grok", ["groq", "grok"]])
def test_a_provider_that_does_not_exist_is_refused_at_once(name: Any) -> None:
    """A slip shows where it was made, not at the first call."""
    for make in (Client, Client(HF).with_options):
        with pytest.raises(InputError, match="There is no provider 'grok'") as caught:
            make(provider=name)
        assert caught.value.advice == "Did you mean 'groq'?"


@pytest.mark.parametrize("name", ["temperature", "tools", "response_format"])
def test_what_belongs_to_a_call_is_sent_there(name: str) -> None:
    """A parameter of a chat given to a client is no slip of the pen, and is told where it goes."""
    makers: list[Any] = [Client, Client(HF).with_options]
    for make in makers:
        with pytest.raises(InputError) as caught:
            make(**{name: 1})
        assert caught.value.advice == f"{name} belongs to the call: client.chat(…, {name}=…)."


def test_a_timeout_of_httpx_is_taken() -> None:
    """Its None means no limit, and its read is the silence within a stream too."""
    theirs = httpx.Timeout(7, connect=2, pool=None)
    assert Client(timeout=theirs).defaults.timeout == Timeout(connect=2, read=7, write=7, pool=math.inf, idle=7)


def test_none_means_not_given() -> None:
    """A caller may pass its own optional settings through."""
    nothing: Any = dict.fromkeys([*DEFAULT_NAMES, "token", "keys", "http_client", "transport", "semconv"])
    assert Client(**nothing).defaults == Defaults()
    full = Client(
        HF, provider="groq", model=MODEL, bill_to="x", timeout=1, deadline=1, retry=False, base_url="https://x.example"
    )
    assert full.with_options(**dict.fromkeys([*DEFAULT_NAMES, "keys"])).defaults == Defaults()


# Frozen, and copied.


def test_a_client_is_frozen() -> None:
    """Whoever shares a client cannot change it under somebody else's hands."""
    client = Client(HF)
    for name in ("model", "_defaults", "dispatcher", "anything"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(client, name, 1)
        with pytest.raises(AttributeError, match="frozen"):
            delattr(client, name)
    with pytest.raises(AttributeError):
        client.defaults.model = "x"  # type: ignore[misc]


def test_a_copy_changes_nothing_else() -> None:
    """The client stays as it was, and the copy has all that was not changed."""
    client = Client(HF, model=MODEL, timeout=5, headers={"x-a": "1"})
    other = client.with_options(provider="groq", headers={"X-B": "2"})
    assert client.defaults == Client(HF, model=MODEL, timeout=5, headers={"x-a": "1"}).defaults
    assert other.defaults.providers == ("groq",)
    assert (other.defaults.model, other.defaults.timeout) == (MODEL, client.defaults.timeout)
    assert other.defaults.headers == {"x-a": "1", "x-b": "2"}
    assert client.with_options().defaults == client.defaults


@pytest.mark.parametrize("name", CONNECTION_NAMES)
def test_a_copy_cannot_have_other_connections(name: str) -> None:
    """They are shared, so a copy that asks for its own is told to be a client."""
    with pytest.raises(InputError, match=f"{name} belongs to the connections"):
        Client(HF).with_options(**{name: 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_subclass_stays_one() -> None:
    """A copy of an application's own client is of its kind."""

    class Ours(Client):
        pass

    assert type(Ours(HF).with_options(model=MODEL)) is Ours
    assert type(Ours.endpoint("http://localhost:8080")) is Ours


async def test_copies_share_the_connections() -> None:
    """A copy uses the client's connection, and closing either closes both."""
    with Loopback(answer) as server:
        async with Client.endpoint(server.url) as client:
            await client.chat("hi")
            copied = client.with_options(model=MODEL)
            await copied.chat("hi")
            assert server.connections_opened == 1
        with pytest.raises(InputError, match="closed"):
            await copied.chat("hi")


def test_an_endpoint_is_a_client_with_an_address() -> None:
    """`Client.endpoint(url, token, **options)` says what it does."""
    client = Client.endpoint("https://host.example/v1", HF, model=MODEL, timeout=5)
    assert client.defaults == Client(HF, base_url="https://host.example/v1", model=MODEL, timeout=5).defaults
    with pytest.raises(InputError, match="base_url"):
        Client.endpoint("")


# What a call says goes over what the client says.


async def test_a_calls_own_values_win() -> None:
    """Every default can be overridden for one call; the model, above all, is the one that was asked for."""
    with Internet() as internet:
        internet.serves("org/other", groq=live("other-at-groq"))
        async with Client(
            HF, provider="together", model=MODEL, bill_to="org-a", headers={"X-A": "client", "x-b": "client"}
        ) as client:
            await client.chat(
                "hi",
                model="org/other",
                provider="groq",
                bill_to="org-b",
                extra_headers={"x-a": "call"},
                extra_query={"q": "1"},
                extra_body={"seed": 7},
            )
    request = internet.sent("router/groq")
    assert internet.body("router/groq")["model"] == "other-at-groq"
    assert internet.body("router/groq")["seed"] == 7
    assert request.url.params["q"] == "1"
    sent = {name: request.headers[name] for name in ("x-hf-bill-to", "x-a", "x-b")}
    assert sent == {"x-hf-bill-to": "org-b", "x-a": "call", "x-b": "client"}


@pytest.mark.parametrize("how", ["call", "create", "stream", "parse"])
async def test_the_calls_model_wins_in_every_form_of_chat(how: str) -> None:
    """No way of asking for a chat falls back to the client's model."""
    from pydantic import BaseModel

    class Anything(BaseModel):
        model_config = {"extra": "allow"}

    with Internet() as internet:
        async with Client(HF, model="org/client") as client:
            match how:
                case "call":
                    await client.chat("hi", model="org/call")
                case "create":
                    await client.chat.completions.create(messages=[{"role": "user", "content": "hi"}], model="org/call")
                case "stream":
                    await client.chat.stream("hi", model="org/call").final()
                case _:
                    internet.at("router", _json)
                    await client.chat.parse("hi", model="org/call", response_format=Anything)
    assert internet.body("router")["model"] == "org/call"


def _json(request: httpx.Request) -> httpx.Response:
    reply = completion(request).json()
    reply["choices"][0]["message"]["content"] = "{}"
    return httpx.Response(200, json=reply)


async def test_a_calls_none_is_the_clients_value() -> None:
    """None means that the call says nothing about it."""
    nothing: Any = dict.fromkeys(Options.__annotations__)
    with Internet() as internet:
        async with Client(HF, model=MODEL, bill_to="org-a") as client:
            await client.chat("hi", **nothing)
    assert internet.body("router")["model"] == MODEL
    assert internet.sent("router").headers["x-hf-bill-to"] == "org-a"


async def test_one_call_changes_nothing_for_the_next() -> None:
    """Options of a call end with it, also among calls at the same time."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client, anyio.create_task_group() as group:
            for number in range(20):
                extra: Any = {"model": f"org/m{number}", "bill_to": f"b{number}"} if number % 2 else {}
                group.start_soon(lambda extra=extra: client.chat("hi", **extra))  # type: ignore[misc]
    plain = [request for _, request in internet.requests if "x-hf-bill-to" not in request.headers]
    assert len(plain) == 10
    assert all(b'"model":"org/model"' in request.content for request in plain)


# What it never shows.


def test_the_repr_shows_what_differs_from_the_defaults() -> None:
    """Enough to know which client it is."""
    assert repr(Client()) == "Client()"
    assert repr(Client(HF, keys={"groq": GSK})) == "Client(token=…, keys=['groq'])"
    shown = repr(Client(HF, provider=["groq", "together"], model=MODEL, bill_to="o", deadline=5, retry=False))
    assert shown == (
        "Client(token=…, provider=['groq', 'together'], model='org/model', bill_to='o', deadline=5.0, "
        "retry=Retry(attempts=1))"
    )
    assert repr(Client(provider="groq", retry=Retry(statuses={429}))) == (
        "Client(provider='groq', retry=Retry(statuses={429}))"
    )
    assert repr(Client(timeout=Timeout(read=3))) == "Client(timeout=Timeout(read=3))"
    assert "base_url='https://host.example/v1'" in repr(Client(base_url="https://host.example/v1"))


def test_no_repr_shows_a_key() -> None:
    """Planted wherever a key may be, it is nowhere to be seen: not in the client, nor in anything it is made of."""
    planted = "plantedplanted99"
    clients = [
        Client(f"hf_{planted}"),
        Client(planted, provider="groq"),
        Client(keys={"groq": planted}),
        Client(headers={"authorization": f"Bearer {planted}", "x-api-key": planted}),
        Client(base_url=f"https://host.example/v1?code={planted}"),
        Client(planted, base_url=f"https://host.example/{planted}/v1"),
        Client.endpoint(f"https://host.example/v1?{planted}", planted),
    ]
    for client in clients:
        parts = vars(client)
        assert (
            planted
            not in f"{client!r} {client} {client.__dict__['_keys']!r} {parts['_shared']!r} {parts['dispatcher']!r}"
        )
        if client.defaults.base_url is None:
            assert planted not in f"{client.defaults!r} {parts!r}"


def test_a_client_is_not_pickled_or_copied() -> None:
    """Keys and connections do not travel; the error says what to do instead."""
    for how in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled; make one where it is needed"):
            how(Client(HF))


# Its life.


async def test_async_with_closes() -> None:
    """After the block nothing is open, and a call says so."""
    with Loopback(answer) as server:
        async with Client.endpoint(server.url) as client:
            assert (await client.chat("hi")).text == "hi"
        await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)
        with pytest.raises(InputError, match="closed"):
            await client.chat("hi")
        with pytest.raises(InputError, match="closed"):
            await client.chat.stream("hi").final()
    assert len(server.requests) == 1


async def test_closing_twice_and_unused_is_fine() -> None:
    """Whoever cleans up need not know who did before."""
    client = Client(HF)
    await client.aclose()
    await client.aclose()
    async with client:
        pass


async def test_async_with_closes_after_an_error() -> None:
    """An exception in the block goes through, and the connections are closed."""
    with Loopback(answer) as server:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012  the block is what is tested
            async with Client.endpoint(server.url) as client:
                await client.chat("hi")
                _ = 1 / 0
        await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)


@pytest.mark.parametrize("backend", RUN)
def test_without_async_with_nothing_is_left_open(backend: str) -> None:
    """A client that nobody closes leaves no connection behind its event loop, and no warning."""
    with Loopback(answer) as server:

        async def use() -> None:
            client = Client.endpoint(server.url)
            await client.chat("hi")

        RUN[backend](use)
        server.wait_until(lambda: server.connections_open == 0)
        gc.collect()
    assert len(server.requests) == 1


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    ("first", "second"), [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio"), ("trio", "asyncio")]
)
def test_one_client_in_one_event_loop_after_another(first: str, second: str, close: bool) -> None:
    """Two runs with one client work, closed in between or not, each with connections of its own."""
    with Loopback(answer) as server:
        client = Client.endpoint(server.url)

        async def use() -> None:
            await client.chat("hi")
            await client.chat("hi")
            if close:
                await client.aclose()

        RUN[first](use)
        RUN[second](use)
        server.wait_until(lambda: server.connections_open == 0)
    assert (server.connections_opened, len(server.requests)) == (2, 4)


async def test_many_tasks_share_a_client() -> None:
    """As many calls as one likes, over no more connections than max_connections."""
    with Loopback(answer) as server:
        async with (
            Client.endpoint(server.url, max_connections=7) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(60):
                group.start_soon(client.chat, "hi")
        await anyio.to_thread.run_sync(server.wait_until, lambda: server.connections_open == 0)
    assert len(server.requests) == 60
    assert server.connections_opened <= 7


async def test_a_client_that_is_dropped_is_freed() -> None:
    """Nothing global holds on to a client."""
    client = Client(HF)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


async def test_an_http_client_of_the_callers_is_used_and_stays_open() -> None:
    """Its transport carries the calls, and closing ours does not close it."""
    seen: list[str] = []

    def play(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return completion(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(play), headers={"x-from": "theirs"}) as theirs:
        async with Client(HF, model=MODEL, http_client=theirs) as client:
            assert (await client.chat("hi")).text == "hi"
            assert await client.chat.stream("hi").final()
        assert not theirs.is_closed
        assert (await theirs.get("https://x.example", headers={})).status_code == 200
    assert seen[:2] == ["https://router.huggingface.co/v1/chat/completions"] * 2


async def test_an_http_client_of_the_callers_gets_no_key_and_keeps_none() -> None:
    """The key goes out with our requests alone; the caller's client does not learn it, and its own auth is not used."""
    seen: list[httpx.Headers] = []

    def play(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return completion(request)

    transport = httpx.MockTransport(play)
    async with httpx.AsyncClient(transport=transport, auth=("user", "fake-password")) as theirs:
        await Client(HF, model=MODEL, http_client=theirs).chat("hi")
        assert seen[0].get_list("authorization") == [f"Bearer {HF}"]
        assert "authorization" not in theirs.headers


async def test_sides_are_closed_with_the_client() -> None:
    """An engine in this process is freed, and the connections too, even when that goes wrong."""
    events: list[str] = []

    class Side:
        async def run(self, call: Any, route: Any, trip: Any) -> str:
            return "ran"

        async def aclose(self) -> None:
            events.append("side closed")
            raise RuntimeError("stuck")

    plain = Client(model=MODEL)
    from hfclient.providers.table import ROUTER

    plain._shared.registry._own["here"] = Provider("here", "local:", ROUTER.tasks, opens=lambda _: Side())  # type: ignore[arg-type]
    client = plain.with_options(provider="here")
    call = client.defaults.call("conversational", "hi", model=None, parameters={}, options={})
    assert await client.dispatcher.run(call) == "ran"
    with pytest.raises(RuntimeError, match="stuck"):
        await client.aclose()
    assert events == ["side closed"]
    with pytest.raises(InputError, match="closed"):
        await client.with_options(token=HF, provider="auto").chat("hi")


async def test_making_a_client_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the network nor the login nor the packages are looked at before there is a call."""
    monkeypatch.setattr("hfclient.client.saved_token", lambda: pytest.fail("the login was read"))
    monkeypatch.setattr("hfclient.registry.entry_points", lambda **_: pytest.fail("packages were searched"))
    with Internet() as internet:
        async with Client(model=MODEL, provider="groq", keys={"groq": GSK}) as client:
            client.with_options(bill_to="x")
            client.chat.stream("hi")
    assert internet.requests == []


async def test_a_missing_key_knows_where_it_was_missed() -> None:
    """The error of a call that never left says what it was for."""
    async with Client(model=MODEL) as client:
        with pytest.raises(MissingKeyError) as caught:
            await client.chat("hi")
    assert (caught.value.model, caught.value.task) == (MODEL, "conversational")


@pytest.mark.parametrize("part", ["connect", "read", "write", "pool", "idle"])
@pytest.mark.parametrize("value", ["1", 0, -1, math.nan, None, True])
def test_every_part_of_a_timeout_is_seconds(part: str, value: Any) -> None:
    """A wrong part is named at once, not when the first call waits for it."""
    with pytest.raises(InputError, match=f"Timeout.{part}="):
        Timeout(**{part: value})
