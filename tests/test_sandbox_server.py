"""The sandbox over real sockets: `hfclient sandbox` in a process of its own, asked by everybody who may ask."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hfclient import Client, errors
from hfclient.providers.table import PROVIDERS
from hfclient.sandbox import Sandbox, media
from hfclient.sandbox.server import application
from hfclient.testing import no_waits
from hfclient.types import File
from tests.command_line import begun, ended, environment, said, sandbox_served

KEY = {"authorization": "Bearer hf_fake_0123456789"}
HELLO: dict[str, Any] = {"model": "org/model", "messages": [{"role": "user", "content": "Tell me a joke"}]}
JOKE = "Why did the token cross the stream? To get to the other side of the chunk."
FILES = {"text-to-image": "image/png", "text-to-video": "video/mp4", "text-to-speech": "audio/wav"}
ROUTED = [provider for provider in PROVIDERS if provider.routed]
MAKERS = [(each.name, task) for each in ROUTED for task in FILES if task in each.tasks]
JOBS = [(each.name, task) for each in ROUTED for task in FILES if task in each.tasks and each.tasks[task].job]
AT_ONCE = ["cut,after=300,every=1,at=together", "reset,every=1,at=groq", "stall,after=300,every=1,at=novita"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with sandbox_served() as address:
        yield address


@pytest.fixture(scope="module")
def faulty() -> Iterator[str]:
    """One where each of four providers fails in its own way."""
    options = [word for fault in [*AT_ONCE, "drip,every=1,at=nscale,pause=0.02"] for word in ("--fail", fault)]
    with sandbox_served(*options) as address:
        yield address


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client as a program gets it where the two lines were pasted."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HFCLIENT_ROUTER", url)
    monkeypatch.setenv("HF_TOKEN", "hf_sandbox")
    return Client()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_it_says_what_to_paste_and_ends_with_ctrl_c() -> None:
    """Two lines for a shell on standard output; Ctrl-C is its proper end, a stalled answer or not."""
    with begun("sandbox", "--port", "0", "--fail", "stall,after=0") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        address = re.fullmatch(r"export HF_ENDPOINT=(\S+) HFCLIENT_ROUTER=\1 HF_TOKEN=hf_sandbox\n", lines[0])
        assert address
        assert lines[1] == f"export OPENAI_BASE_URL={address[1]}/v1 OPENAI_API_KEY=hf_sandbox\n"
        with httpx.stream("POST", f"{address[1]}/v1/chat/completions", headers=KEY, json=HELLO) as stalled:
            assert stalled.status_code == 200
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "Paste these where your program runs. Ctrl-C ends it.\n")


def test_a_request_by_hand(url: str) -> None:
    """What is written into a socket by hand is answered as HTTP/1.1 wants it."""
    place = urlsplit(url)
    body = json.dumps(HELLO).encode()
    with socket.create_connection((place.hostname or "", place.port or 0)) as wire:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer any\r\n"
        wire.sendall(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: wire.recv(4096), b""))
    head, _, said_so = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(said_so)["choices"][0]["message"]["content"] == JOKE


def test_openais_wire(url: str) -> None:
    """A program for OpenAI's API finds models, whole answers, streams, embeddings, pictures and speech under /v1."""
    with httpx.Client(base_url=f"{url}/v1", headers=KEY) as openai:
        assert openai.get("/models").json()["data"][0]["id"] == "Qwen/Qwen3-32B"
        assert openai.get("/models/Qwen/Qwen3-32B").json()["id"] == "Qwen/Qwen3-32B"
        whole = openai.post("/chat/completions", json=HELLO).json()
        with openai.stream("POST", "/chat/completions", json={**HELLO, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        assert events.pop() == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
        assert "".join(deltas) == whole["choices"][0]["message"]["content"] == JOKE
        assert len(openai.post("/embeddings", json={"input": ["one", "two"]}).json()["data"]) == 2
        picture = openai.post("/images/generations", json={"prompt": "a cat"}).json()["data"][0]["url"]
        assert picture.startswith(f"{url}/files/")
        assert httpx.get(picture).content == media.png("a cat")  # without a key
        assert openai.post("/audio/speech", json={"input": "Hi"}).content[:4] == b"RIFF"
        sent = {"file": ("talk.wav", media.wav("a talk"))}
        assert "fox" in openai.post("/audio/transcriptions", files=sent, data={"model": "w"}).json()["text"]


def test_what_is_not_there_is_refused(url: str) -> None:
    """No key, an unknown path, an unknown model, a missing file: each as Hugging Face would say it."""
    assert httpx.post(f"{url}/v1/chat/completions", json=HELLO).status_code == 401
    assert httpx.post(f"{url}/v1/nothing", json={}, headers=KEY).status_code == 404
    assert httpx.get(f"{url}/api/models/missing/model").headers["x-error-code"] == "RepoNotFound"
    assert httpx.get(f"{url}/files/9999.png").status_code == 404
    assert httpx.patch(f"{url}/v1/models", headers=KEY).status_code == 405


@pytest.mark.anyio
async def test_hfclient_itself(client: Client, url: str) -> None:
    """A program that was made for Hugging Face runs on it unchanged, streams and look-ups included."""
    async with client:
        assert (await client.chat("Tell me a joke", model="org/model")).text == JOKE
        async with client.chat.stream("Tell me a joke", model="org/model:groq") as stream:
            assert "".join([text async for text in stream.text()]) == JOKE
        assert (await stream.final()).meta.provider == "groq"
        assert "Qwen/Qwen3-32B" in [model.id for model in await client.models.list()]
        assert (await client.models.list("text-to-image"))[0].id == "black-forest-labs/FLUX.1-dev"
        heard = await client.automatic_speech_recognition(media.wav("a talk"), model="openai/whisper-large-v3")
        assert "fox" in heard.text
        vectors = await client.feature_extraction(["one", "two"], model="BAAI/bge-small-en-v1.5")
        assert vectors.shape == (2, 384)
        with pytest.raises(errors.HFClientError):
            await client.chat("Hi", model="missing/model", provider="groq")


@pytest.mark.anyio
@pytest.mark.parametrize(("provider", "task"), MAKERS)
async def test_every_provider_makes_files(provider: str, task: str, client: Client, url: str) -> None:
    """Pictures, films and speech come from every provider that makes them; what is an address leads here."""
    make = getattr(client, task.replace("-", "_"))
    async with client:
        with no_waits():
            made: File = await make("a cat", model=f"org/{task}", provider=provider)
    assert made.media_type == FILES[task]
    assert made.url is None or made.url.startswith(f"{url}/files/")


@pytest.mark.anyio
@pytest.mark.parametrize(("provider", "task"), JOBS)
async def test_every_job_can_be_left_and_resumed(provider: str, task: str, client: Client) -> None:
    """Jobs are begun, asked about, and collected over sockets; cancelled where the provider can."""
    async with client:
        with no_waits():
            job = await client.submit(task, "a cat", model=f"org/{task}", provider=provider)
            assert (await job.status()).state in {"queued", "running", "done"}
            assert (await job.result()).media_type == FILES[task]
            another = await client.submit(task, "a cat", model=f"org/{task}", provider=provider)
            if another.ticket.cancel:
                await another.cancel()
                assert (await another.status()).state in {"cancelled", "failed"}


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("replicate/v1/models/org/flux/predictions", {"input": {"prompt": "a cat"}}, ("urls", "get")),
        ("fal-ai/org/flux?_subdomain=queue", {"prompt": "a cat"}, ("status_url",)),
        ("black-forest-labs/v1/flux-dev", {"prompt": "a cat"}, ("polling_url",)),
        ("wavespeed/api/v3/org/flux", {"prompt": "a cat"}, ("data", "urls", "get")),
    ],
)
def test_links_lead_back(path: str, body: Any, place: tuple[str, ...], url: str) -> None:
    """A program that follows the addresses in answers, as the providers' own do, stays with the sandbox."""
    found = httpx.post(f"{url}/{path}", json=body, headers=KEY).json()
    for step in place:
        found = found[step]
    assert found.startswith(f"{url}/{path.partition('/')[0]}/")
    assert httpx.get(found, headers=KEY).status_code == 200


THEIRS = """
import asyncio, sys
from huggingface_hub import AsyncInferenceClient, constants
constants.INFERENCE_PROXY_TEMPLATE = sys.argv[1] + "/{provider}"

async def main():
    own = AsyncInferenceClient(base_url=sys.argv[1] + "/v1", token="hf_sandbox")
    reply = await own.chat_completion([{"role": "user", "content": "Tell me a joke"}])
    print(reply.choices[0].message.content)
    words = [chunk.choices[0].delta.content async for chunk in await own.chat_completion(
        [{"role": "user", "content": "Tell me a joke"}], stream=True) if chunk.choices]
    print("".join(word or "" for word in words))
    together = AsyncInferenceClient(provider="together", token="hf_sandbox")
    reply = await together.chat_completion([{"role": "user", "content": "Hi"}], model="Qwen/Qwen3-32B")
    print(reply.choices[0].message.content)
    fal = AsyncInferenceClient(provider="fal-ai", token="hf_sandbox")
    print(len(await fal.text_to_video("a cat", model="Wan-AI/Wan2.2-T2V-A14B")))
    hf = AsyncInferenceClient(sys.argv[1] + "/hf-inference/models/facebook/bart-large-cnn", token="hf_sandbox")
    print((await hf.summarization("First. Second.")).summary_text)

asyncio.run(main())
"""


def test_huggingface_hubs_client(url: str) -> None:
    """The official client, told where to go, is served: chat, a stream, a job with its file, a pipeline."""
    pytest.importorskip("huggingface_hub.inference._providers")
    done = subprocess.run(
        [sys.executable, "-c", THEIRS, url],
        env={**environment(HF_ENDPOINT=url), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [JOKE, JOKE, "Hello to you too!", str(len(media.mp4("a cat"))), "First."]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["chat", "Tell me a joke", "--json"], JOKE),
        (["chat", 'It\'s "quoted"\n$HOME `id`'], "data: [DONE]"),
        (["embed", "one", "two"], '"embedding": ['),
        (["transcribe", "my talk;type=evil.wav", "-p", "together"], "The quick brown fox"),
        (["transcribe", "my talk;type=evil.wav", "-p", "hf-inference"], "The quick brown fox"),
        (["video", "a cat", "-p", "fal-ai"], '"status": "IN_QUEUE"'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_curl_takes_what_is_printed(
    words: list[str], answer: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that `--curl` prints works in a shell as it stands, with the key out of the variable."""
    monkeypatch.chdir(tmp_path)
    Path("my talk;type=evil.wav").write_bytes(media.wav("a talk"))
    there = {"HF_ENDPOINT": url, "HFCLIENT_ROUTER": url, "HF_TOKEN": "hf_sandbox"}
    command = said(*words, "--curl", **there)
    done = subprocess.run(
        ["sh", "-c", command], env=environment(**there), capture_output=True, encoding="utf-8", check=False, timeout=30
    )
    assert answer in done.stdout, (command, done.stderr)


# Faults


def test_what_comes_before_a_stall_has_left(faulty: str) -> None:
    """A stream arrives in pieces: its beginning is here while the server says nothing more."""
    with httpx.stream(
        "POST", f"{faulty}/novita/v3/openai/chat/completions", headers=KEY, json={**HELLO, "stream": True}
    ) as answer:
        beginning = b""
        for piece in answer.iter_raw():
            beginning += piece
            if len(beginning) == 300:
                break
    assert beginning.startswith(b"data: ")


def test_a_drip_comes_in_pieces(faulty: str) -> None:
    """A whole answer, drop by drop."""
    with httpx.stream("POST", f"{faulty}/nscale/v1/chat/completions", headers=KEY, json=HELLO) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 8
    assert json.loads(b"".join(pieces))["choices"][0]["message"]["content"] == JOKE


def test_a_reset_is_one_of_tcps(faulty: str) -> None:
    """The connection is broken as a network breaks it, with nothing said before."""
    place = urlsplit(faulty)
    with socket.create_connection((place.hostname or "", place.port or 0)) as wire:
        head = (
            f"POST /groq/openai/v1/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer any\r\n"
        )
        wire.sendall(f"{head}content-length: 2\r\n\r\n{{}}".encode())
        with pytest.raises(ConnectionResetError):
            wire.recv(4096)


def test_a_cut_is_no_end(faulty: str) -> None:
    """The connection closes before the body has ended, which a client can tell."""
    with (
        httpx.stream(
            "POST", f"{faulty}/together/v1/chat/completions", headers=KEY, json={**HELLO, "stream": True}
        ) as answer,
        pytest.raises(httpx.RemoteProtocolError, match="incomplete"),
    ):
        answer.read()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("provider", "error"),
    [
        ("together", errors.TruncatedStreamError),
        ("groq", errors.ConnectionLostError),
        ("novita", errors.TimedOutError),
    ],
)
async def test_hfclient_meets_the_same_faults(
    provider: str, error: type[errors.HFClientError], faulty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client makes of a fault in its own process, it makes of it over sockets."""
    monkeypatch.setenv("HF_ENDPOINT", faulty)
    monkeypatch.setenv("HFCLIENT_ROUTER", faulty)
    async with Client("hf_sandbox", provider=provider, model="org/model") as client:
        with pytest.raises(error):
            await client.chat.stream("Tell me a joke", timeout=0.5).final()


@pytest.mark.anyio
async def test_as_an_application_of_ones_own() -> None:
    """The ASGI application can be served by whatever serves such; there, a reset is the end of the answer."""
    sandbox = Sandbox()
    transport = httpx.ASGITransport(application(sandbox))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.example", headers=KEY) as client:
        assert (await client.post("/v1/chat/completions", json=HELLO)).json()["choices"][0]["message"][
            "content"
        ] == JOKE
        streamed = await client.post("/groq/openai/v1/chat/completions", json={**HELLO, "stream": True})
        assert streamed.text.endswith("data: [DONE]\n\n")
        begun_job = (await client.post("/replicate/v1/models/org/flux/predictions", json={"input": {}})).json()
        assert begun_job["urls"]["get"].startswith("http://sandbox.example/replicate/v1/predictions/")
        sandbox.fail("reset")
        with pytest.raises(ConnectionError):
            await client.post("/v1/chat/completions", json=HELLO)
        sandbox.fail("cut")
        with pytest.raises(ConnectionError):
            await client.post("/v1/chat/completions", json=HELLO)
        sandbox.fail("drip", pause=0)
        assert (await client.post("/v1/chat/completions", json=HELLO)).json()["object"] == "chat.completion"
    assert [seen.place for seen in sandbox.requests][:3] == ["router", "groq", "replicate"]


def test_the_doctor_finds_it(url: str) -> None:
    """Where the two lines were pasted, everything is reachable."""
    done = ended("doctor", HF_ENDPOINT=url, HFCLIENT_ROUTER=url, HF_TOKEN="hf_sandbox")
    assert done.returncode == 0
    assert f"the router          {url} answers" in done.stdout
