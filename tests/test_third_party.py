"""A package of a third party brings two providers, and they do what ours do (its jobs: tests/test_jobs.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import hfclient
from hfclient import Client
from hfclient.errors import InputError, MissingKeyError, NoProviderError
from tests.internet import HF, Internet
from tests.studio import ASK, MP4, OWN, Studio

pytestmark = pytest.mark.anyio

THIRD_PARTY = Path(__file__).parent / "thirdparty"
KEY = "script_fake_0123456789"
HOST = "api.script.example"


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    monkeypatch.syspath_prepend(THIRD_PARTY)
    with Internet() as internet:
        yield internet


async def test_a_row_of_a_third_party_chats(internet: Internet) -> None:
    """Its address, its quirks and its key are those of its row; whole answers, streams and parsed ones work."""
    async with Client(keys={"script": KEY}, provider="script", model="tiny") as client:
        assert (await client.chat("hi", seed=7)).text == "hi"
        assert internet.sent(HOST).url.path == "/v1/chat/completions"
        assert internet.body(HOST)["random_seed"] == 7
        assert internet.key(HOST) == f"Bearer {KEY}"
        stream = client.chat.stream("hi")
        assert "".join([text async for text in stream.text()]) == "hi"
        assert stream.meta.provider == "script"


async def test_a_row_of_a_third_party_embeds(internet: Internet) -> None:
    """The tasks beside chat are there too, and what it does not do is told with what it does."""
    internet.at(HOST, httpx.Response(200, json={"data": [{"index": 0, "embedding": [1, 2]}]}))
    async with Client(KEY, provider="script", model="tiny") as client:
        assert (await client.feature_extraction("hi")).tolist() == [[1.0, 2.0]]
        with pytest.raises(NoProviderError, match="script does not serve text-to-image") as caught:
            await client.text_to_image("a cat")
    assert caught.value.advice == "It serves chat, feature-extraction."
    assert internet.asked == [HOST]


async def test_the_key_of_a_third_party(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable is looked up as ours are, no token of Hugging Face goes to it, and a missing key is told by name."""
    async with Client(HF, provider="script", model="tiny") as client:
        with pytest.raises(MissingKeyError, match="no key for script") as caught:
            await client.chat("hi")
        assert "SCRIPT_API_KEY" in caught.value.advice
        monkeypatch.setenv("SCRIPT_API_KEY", KEY)
        await client.chat("hi")
    assert internet.key(HOST) == f"Bearer {KEY}"


async def test_a_third_party_stands_in_line_with_the_others(internet: Internet) -> None:
    """It is the next in a list of providers, and the slip in its name is told like any other."""
    internet.at("api.mistral.ai", 429)
    keys = {"mistral": "fake-mistral-key", "script": KEY}
    async with Client(keys=keys, provider=["mistral", "script"], model="tiny", retry=False) as client:
        assert (await client.chat("hi")).meta.provider == "script"
        with pytest.raises(InputError, match="no provider 'scrpt'") as caught:
            await client.chat("hi", provider="scrpt")
    assert caught.value.advice == "Did you mean 'script'?"


async def test_a_third_party_s_films(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """A protocol of its own, with a header of its own for its key."""
    monkeypatch.syspath_prepend(THIRD_PARTY)
    studio = Studio()
    client = studio.client(None, keys={"film": OWN}, provider="film")
    assert (await client.text_to_video(ASK)).content == MP4
    sent = dict(studio.requests)["POST own/films"].headers
    assert (sent["x-api-key"], "authorization" in sent) == (OWN, False)


def test_a_package_needs_nothing_that_is_not_there() -> None:
    """It can be imported on its own, before hfclient is, and no name it uses is hidden."""
    code = "import hfclient_film; print(*[provider.name for provider in hfclient_film.PROVIDERS])"
    path = os.pathsep.join([str(Path(hfclient.__file__).parents[1]), str(THIRD_PARTY)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("script film\n", "")
