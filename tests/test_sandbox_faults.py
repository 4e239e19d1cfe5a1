"""What goes wrong in the sandbox goes wrong as it does in life: the error is the one that a provider would cause."""

from __future__ import annotations

from typing import Any

import pytest

from hfclient import Client, Retry
from hfclient.errors import (
    ConnectionLostError,
    CreditsError,
    HubError,
    InputError,
    ModelLoadingError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    ServerError,
    StatusError,
    StreamFailedError,
    TimedOutError,
    TruncatedStreamError,
)
from hfclient.sandbox import Sandbox
from hfclient.testing import no_waits
from tests.opened import opened

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("closing")]

MODEL = "Qwen/Qwen3-32B"


def client_for(sandbox: Sandbox, **options: Any) -> Client:
    return opened(sandbox=sandbox, model=MODEL, **{"retry": False, **options})


async def error_of(sandbox: Sandbox, *, stream: bool = False) -> Any:
    """What a chat ends in."""
    client = client_for(sandbox)
    with pytest.raises(Exception) as caught:  # noqa: PT011  which one it is, is what the tests are about
        await (client.chat.stream("Hi").final() if stream else client.chat("Hi"))
    return caught.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, CreditsError),
        (403, PermissionDeniedError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ModelLoadingError),
        (504, ServerError),
    ],
)
async def test_a_status_is_the_error_that_it_is_in_life(status: int, error: type[StatusError], stream: bool) -> None:
    """With the words of Hugging Face, and before the first piece of a stream."""
    sandbox = Sandbox()
    sandbox.fail(status)
    found = await error_of(sandbox, stream=stream)
    assert isinstance(found, error)
    assert found.status == status
    assert (await client_for(sandbox).chat("Hi")).text


@pytest.mark.parametrize(
    ("kind", "told", "wait"),
    [
        (503, {}, None),
        (503, {"estimated_time": 20.5}, 20.5),
        (429, {}, None),
        (429, {"retry_after": 3}, 3.0),
    ],
)
async def test_how_long_it_lasts_is_told_or_not(kind: int, told: dict[str, float], wait: float | None) -> None:
    """A model that loads says so in its body, a limit in a header; and a retry waits for as long."""
    sandbox = Sandbox()
    sandbox.fail(kind, times=2, **told)
    assert (await error_of(sandbox)).retry_after == wait
    with no_waits() as waits:
        reply = await client_for(sandbox, retry=Retry(attempts=2, statuses={429, 503})).chat("Hi")
    assert len(reply.meta.attempts) == 2
    assert len(waits) == 1
    assert wait is None or waits[0] == pytest.approx(wait, rel=0.3)


async def test_an_error_page_is_no_answer() -> None:
    """A gateway's HTML, its words without the markup."""
    sandbox = Sandbox()
    sandbox.fail("html")
    found = await error_of(sandbox)
    assert isinstance(found, ServerError)
    assert "Bad Gateway" in str(found)
    assert "<" not in found.message


async def test_a_reset_is_a_lost_connection() -> None:
    """The request had been sent, so it is not simply repeated."""
    sandbox = Sandbox()
    sandbox.fail("reset")
    assert isinstance(await error_of(sandbox), ConnectionLostError)
    sandbox.fail("reset")
    assert isinstance(await error_of(sandbox, stream=True), ConnectionLostError)


async def test_what_is_cut_is_not_taken_for_whole() -> None:
    """A whole answer is lost; of a stream, what had arrived is kept."""
    sandbox = Sandbox(chat=lambda _: "one two three four five")
    sandbox.fail("cut")
    assert isinstance(await error_of(sandbox), ConnectionLostError | ResponseError)
    sandbox.fail("cut", after=600)
    found = await error_of(sandbox, stream=True)
    assert isinstance(found, TruncatedStreamError)
    assert "one two three four five".startswith(found.partial.text)
    assert found.partial.text


@pytest.mark.parametrize("after", [0, 1, 100])
async def test_the_cut_is_where_it_was_asked_for(after: int) -> None:
    """To the byte: nothing more is handed over."""
    sandbox = Sandbox()
    sandbox.fail("cut", after=after)
    assert isinstance(await error_of(sandbox), ConnectionLostError | ResponseError)


async def test_a_stall_ends_with_the_read_timeout() -> None:
    """As long as the client would have waited, on a clock that does not."""
    sandbox = Sandbox()
    for stream in (False, True):
        sandbox.fail("stall")
        client = client_for(sandbox, timeout=7)
        with no_waits() as waits, pytest.raises(TimedOutError):
            await (client.chat.stream("Hi").final() if stream else client.chat("Hi"))
        assert waits == [7]


async def test_an_answer_that_takes_too_long_ends_with_the_read_timeout() -> None:
    """Nor is a slow sandbox waited for any longer."""
    with no_waits() as waits, pytest.raises(TimedOutError):
        await client_for(Sandbox(latency=60), timeout=5).chat("Hi")
    assert waits == [5]


async def test_a_drip_is_slow_and_whole() -> None:
    """Pieces that end anywhere, with pauses between them, are put together all the same."""
    sandbox = Sandbox(chat=lambda _: "Größe: 12 µm, ein Café 🎉")
    for stream in (False, True):
        sandbox.fail("drip", pause=3)
        client = client_for(sandbox)
        with no_waits() as waits:
            reply = await (client.chat.stream("Hi").final() if stream else client.chat("Hi"))
        assert reply.text == "Größe: 12 µm, ein Café 🎉"
        assert len(waits) > 10
        assert set(waits) == {3}


async def test_malformed_json_is_an_answer_that_cannot_be_read() -> None:
    """A success status changes nothing about it."""
    sandbox = Sandbox()
    sandbox.fail("malformed")
    assert isinstance(await error_of(sandbox), ResponseError)
    sandbox.fail("malformed")
    assert isinstance(await error_of(sandbox, stream=True), ResponseError)


async def test_an_error_in_a_stream_keeps_what_had_arrived() -> None:
    """A stream breaks off with the provider's words; what is no stream fails whole."""
    sandbox = Sandbox(chat=lambda _: "one two three four five")
    sandbox.fail("error-event")
    found = await error_of(sandbox, stream=True)
    assert isinstance(found, StreamFailedError)
    assert "overloaded" in str(found)
    assert found.partial.text
    sandbox.fail("error-event")
    assert isinstance(await error_of(sandbox), ServerError)


async def fates(sandbox: Sandbox, calls: int = 12) -> str:
    """How one call after the other ends: "." well, "x" not."""
    client, ends = client_for(sandbox), ""
    for _ in range(calls):
        try:
            await client.chat("Hi")
        except StatusError:
            ends += "x"
        else:
            ends += "."
    return ends


@pytest.mark.parametrize(
    ("when", "ends"),
    [
        ({}, "x..........."),
        ({"times": 3}, "xxx........."),
        ({"every": 3}, "..x..x..x..x"),
        ({"every": 1}, "xxxxxxxxxxxx"),
        ({"every": 4, "times": 2}, "...x...x...."),
        ({"share": 1.0}, "xxxxxxxxxxxx"),
    ],
)
async def test_faults_come_when_they_were_asked_for(when: dict[str, Any], ends: str) -> None:
    """Once, so often, or every so many calls."""
    sandbox = Sandbox()
    sandbox.fail(500, **when)
    assert await fates(sandbox) == ends


async def test_a_share_of_the_calls_is_the_same_share_each_time() -> None:
    """Chance that can be repeated, and that is neither all nor nothing."""
    found: list[str] = []
    for _ in range(2):
        sandbox = Sandbox()
        sandbox.fail(500, share=0.25)
        found.append(await fates(sandbox, 200))
    assert found[0] == found[1]
    assert 30 < found[0].count("x") < 70


async def test_faults_befall_the_place_they_were_meant_for() -> None:
    """A provider, the Hub, the files, or a path; calls for inference where nothing is said."""
    sandbox = Sandbox()
    sandbox.fail(503, at="groq", every=1)
    assert (await client_for(sandbox, provider=["groq", "together"]).chat("Hi")).meta.provider == "together"
    sandbox.fail(404, at="/v1/chat/completions")
    assert isinstance(await error_of(sandbox), StatusError)
    sandbox.fail(500, at="hub", every=1)
    with no_waits(), pytest.raises(HubError):
        await client_for(sandbox, provider="cohere").chat("Hi")


async def test_a_lost_download_is_fetched_again() -> None:
    """What was paid for is not lost to one bad gateway."""
    sandbox = Sandbox()
    sandbox.fail("html", at="files", times=2)
    client = client_for(sandbox, provider="fal-ai", retry=True)
    with no_waits():
        image = await client.text_to_image("a cat", model="black-forest-labs/FLUX.1-dev")
    assert image.pil().size == (64, 64)
    assert [seen.place for seen in sandbox.requests].count("files") == 3


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("explode", {}),
        (200, {}),
        (True, {}),
        (500, {"every": 0}),
        (500, {"times": 0}),
        (500, {"share": 0}),
        (500, {"share": 1.5}),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(kind: Any, when: dict[str, Any]) -> None:
    """A test whose fault never comes would pass for the wrong reason."""
    with pytest.raises(InputError):
        Sandbox().fail(kind, **when)
