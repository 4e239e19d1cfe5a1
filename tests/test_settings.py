"""What the environment says, and how a client reads this machine's token."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import huggingface_hub
import pytest

from hfclient import Client
from hfclient.client import Login
from hfclient.errors import InputError, MissingKeyError
from hfclient.provider import Task
from hfclient.providers.table import PROVIDERS
from hfclient.redact import Secret
from hfclient.settings import Settings, key_in_environment, saved_token
from tests.internet import HF, HF_SAVED, MODEL, Internet, live

pytestmark = pytest.mark.anyio

VARIABLES = [(provider, variable) for provider in PROVIDERS for variable in provider.variables]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The package's logger, put back afterwards as it was."""
    ours = logging.getLogger("hfclient")
    level, handlers = ours.level, ours.handlers[:]
    yield ours
    ours.setLevel(level)
    ours.handlers[:] = handlers


# Variables.


def test_without_variables_it_is_hugging_face_over_httpx() -> None:
    """The defaults need no environment."""
    assert Settings.from_environment() == Settings(
        "https://huggingface.co", "https://router.huggingface.co", "httpx", "2026-10"
    )


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses lose a slash at the end, since paths are written behind them."""
    for name, value in {
        "HF_ENDPOINT": "http://hub.corp.example:8080/",
        "HFCLIENT_ROUTER": " https://router.corp.example/hf/ ",
        "HFCLIENT_TRANSPORT": "aiohttp",
        "HFCLIENT_SEMCONV": "1.41",
    }.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == Settings(
        "http://hub.corp.example:8080", "https://router.corp.example/hf", "aiohttp", "1.41"
    )


@pytest.mark.parametrize(
    "name", ["HF_ENDPOINT", "HFCLIENT_ROUTER", "HFCLIENT_TRANSPORT", "HFCLIENT_SEMCONV", "HFCLIENT_LOG"]
)
def test_an_empty_variable_counts_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sets a variable to nothing means nothing by it."""
    monkeypatch.setenv(name, "")
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_ENDPOINT", "huggingface.co"),
        ("HF_ENDPOINT", "https://user:fake-password@hub.example"),
        ("HFCLIENT_ROUTER", "router"),
        ("HFCLIENT_TRANSPORT", "curl"),
        ("HFCLIENT_SEMCONV", "2025"),
        ("HFCLIENT_LOG", "loud"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which variable to mend, and shows no password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name) as caught:
        Client()
    assert "fake-password" not in str(caught.value)


async def test_the_variables_move_the_hub_and_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_ENDPOINT and HFCLIENT_ROUTER are where requests really go."""
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.corp.example")
    monkeypatch.setenv("HFCLIENT_ROUTER", "https://router.corp.example")
    with Internet("hub.corp.example", "router.corp.example") as internet:
        internet.serves(MODEL, groq=live("llama-groq"))
        async with Client(HF, model=MODEL) as client:
            await client.chat("hi")
            await client.chat("hi", provider="groq")
    assert internet.asked == ["router", "hub", "router/groq"]
    assert {request.headers["authorization"] for _, request in internet.requests} == {f"Bearer {HF}"}


def test_a_log_level_shows_requests_on_standard_error(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HFCLIENT_LOG sets the level, and brings one handler however many clients there are."""
    logger.handlers.clear()
    monkeypatch.setenv("HFCLIENT_LOG", "debug")
    Client(HF)
    Client(HF)
    assert logger.level == logging.DEBUG
    logger.debug("told once")
    assert capsys.readouterr().err.count("told once") == 1


def test_an_application_with_handlers_keeps_them(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the application has set up logging for us, only the level changes."""
    own = logging.NullHandler()
    logger.handlers[:] = [own]
    monkeypatch.setenv("HFCLIENT_LOG", "WARNING")
    Client(HF)
    assert (logger.level, logger.handlers) == (logging.WARNING, [own])


# Providers' own keys.


@pytest.mark.parametrize(("provider", "variable"), VARIABLES, ids=[variable for _, variable in VARIABLES])
async def test_each_providers_usual_variables_are_read(
    provider: object, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in one of the provider's variables goes to that provider, in its own scheme."""
    monkeypatch.setenv(variable, " fake-key-0001\n")
    router = Client().dispatcher._router
    address = await router._address(provider, Task(run=lambda *_: None))  # type: ignore[arg-type]
    assert address.base_url == provider.url  # type: ignore[attr-defined]
    assert address.key is not None
    name, scheme = provider.key_header, provider.scheme  # type: ignore[attr-defined]
    assert address.key.header() == {name: f"{scheme} fake-key-0001".strip()}


def test_the_issues_variables_are_among_them() -> None:
    """The names that users have in their shells already."""
    known = {variable: provider.name for provider, variable in VARIABLES}
    for variable, name in {
        "GROQ_API_KEY": "groq",
        "TOGETHER_API_KEY": "together",
        "FAL_KEY": "fal-ai",
        "REPLICATE_API_TOKEN": "replicate",
        "OPENAI_API_KEY": "openai",
    }.items():
        assert known[variable] == name
    assert len(known) == len(VARIABLES), "two providers share a variable"


def test_the_first_variable_that_holds_something_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable does not hide the next one."""
    monkeypatch.setenv("A_KEY", "  ")
    monkeypatch.setenv("B_KEY", "fake-b")
    monkeypatch.setenv("C_KEY", "fake-c")
    assert key_in_environment(["A_KEY", "NO_KEY", "B_KEY", "C_KEY"]) == Secret("fake-b")
    assert key_in_environment(["A_KEY"]) is None
    assert key_in_environment([]) is None


def test_a_variable_that_holds_no_key_is_named_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot stand in a header would fail deep inside, with itself in the error."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_fake_ключ")
    with pytest.raises(InputError, match="GROQ_API_KEY") as caught:
        key_in_environment(["GROQ_API_KEY"])
    assert "gsk_fake" not in str(caught.value)


# This machine's token.


def test_the_variable_comes_before_the_saved_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HF_TOKEN first, then what `hf auth login` has written, as huggingface_hub has it."""
    file = tmp_path / "token"
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(file))
    assert saved_token() is None
    file.write_text(f"{HF_SAVED}\n")
    assert saved_token() == Secret(HF_SAVED)
    monkeypatch.setenv("HF_TOKEN", HF)
    assert saved_token() == Secret(HF)


async def test_the_argument_comes_before_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token in hand the machine's is not even read."""
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: pytest.fail("the login was read"))
    with Internet() as internet:
        async with Client(HF) as client:
            await client.chat("hi", model=MODEL)
    assert internet.key("router") == f"Bearer {HF}"


async def test_the_saved_login_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After `hf auth login` a bare Client() works."""
    (tmp_path / "token").write_text(HF_SAVED)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with Internet() as internet:
        async with Client(model=MODEL) as client:
            await client.chat("hi")
    assert internet.key("router") == f"Bearer {HF_SAVED}"


async def test_without_a_token_the_error_says_how_to_get_one() -> None:
    """Nothing is sent, and the advice names the ways there are."""
    with Internet() as internet:
        async with Client(model=MODEL) as client:
            with pytest.raises(MissingKeyError, match="needs a token") as caught:
                await client.chat("hi")
    assert internet.requests == []
    assert "hf auth login" in caught.value.advice
    assert "HF_TOKEN" in caught.value.advice


async def test_a_login_that_cannot_be_read_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file without permission is no reason to fail a call that may not need it."""

    def refused() -> str:
        raise PermissionError(13, "Permission denied", "/some/where/token")

    monkeypatch.setattr(huggingface_hub, "get_token", refused)
    assert saved_token() is None
    assert "Permission denied" in caplog.text


async def test_a_login_that_is_no_key_is_the_callers_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token file with two lines in it does not split a header."""
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_fake 0001")
    async with Client(model=MODEL) as client:
        with pytest.raises(InputError, match="HF_TOKEN") as caught:
            await client.chat("hi")
    assert "0001" not in str(caught.value)


async def test_fifty_first_calls_read_the_token_once_and_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that takes its time holds up nothing but the calls that need it."""
    go, threads = threading.Event(), []

    def slow() -> str:
        threads.append(threading.current_thread())
        assert go.wait(10)
        return HF_SAVED

    monkeypatch.setattr(huggingface_hub, "get_token", slow)
    with Internet() as internet:
        async with Client(model=MODEL) as client, anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(client.chat, "hi")
            while not threads:
                await anyio.lowlevel.checkpoint()  # the loop turns although the login is being read
            assert internet.requests == []
            go.set()
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
    assert {request.headers["authorization"] for _, request in internet.requests} == {f"Bearer {HF_SAVED}"}
    assert len(internet.requests) == 50


async def test_the_token_is_read_once_for_all_calls_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client and what is made of it share what was read, also that there is none."""
    read: list[int] = []
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: read.append(1))
    client = Client(model=MODEL)
    for each in (client, client.with_options(bill_to="x"), client):
        with pytest.raises(MissingKeyError):
            await each.chat("hi")
    await client.aclose()
    assert len(read) == 1


async def test_a_call_can_be_cancelled_while_the_token_is_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling returns at once, however long the login would have taken; another call takes over."""
    go, reading = threading.Event(), threading.Event()

    def slow() -> str:
        reading.set()
        assert go.wait(10)
        return HF_SAVED

    monkeypatch.setattr(huggingface_hub, "get_token", slow)
    login, got, scope = Login(), [], anyio.CancelScope()

    async def lead() -> None:
        with scope:
            await login.token()

    async def ask() -> None:
        got.append(await login.token())

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        while not reading.is_set():
            await anyio.lowlevel.checkpoint()
        group.start_soon(ask)
        scope.cancel()
        while not scope.cancelled_caught:
            await anyio.lowlevel.checkpoint()
        assert not go.is_set()
        go.set()
    assert got == [Secret(HF_SAVED)]


async def test_a_deadline_covers_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole call is bounded, the reading of the token with it."""
    go = threading.Event()
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: (go.wait(10), HF_SAVED)[1])
    async with Client(model=MODEL, deadline=0.01) as client:
        with pytest.raises(TimeoutError, match="deadline"):
            await client.chat("hi")
    go.set()
