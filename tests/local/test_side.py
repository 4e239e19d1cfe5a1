"""Chats and texts on this machine, as a caller has them: the whole way, from a client to a model and back."""

from __future__ import annotations

import gc
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from hfclient import Client, LocalOptions, Timeout
from hfclient.errors import EngineError, InputError, InputTooLongError, MissingExtraError, TimedOutError
from hfclient.local import LOCAL
from hfclient.trip import Trip
from hfclient.types import ChatCompletion, TextGeneration, Usage
from tests.local.test_worker import until

pytestmark = pytest.mark.anyio

QUESTION = "What is hfclient?"


class City(BaseModel):
    name: str
    country: str


TOOL = {
    "type": "function",
    "function": {
        "name": "temperature",
        "description": "Give the temperature in a city, in degrees Celsius.",
        "parameters": {
            "properties": {"city": {"type": "string", "description": "The city's name in English."}},
            "required": ["city"],
            "type": "object",
        },
    },
}


def usage_of(reply: ChatCompletion) -> Usage:
    assert reply.usage
    return reply.usage


@pytest.fixture(params=["torch", "mlx"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Both engines, for every test that asks for a client."""
    return request.param


@pytest.fixture
async def client(engine: Any) -> AsyncIterator[Client]:
    async with Client(provider="local", local=LocalOptions(engine=engine)) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done here, nobody is called."""

    def connect(self: socket.socket, address: object) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            pytest.fail(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)


async def test_the_model_in_the_box_answers(client: Client, engine: Any) -> None:
    """With `provider="local"` and no model, `tiny` answers, and says where the answer came from."""
    reply = await client.chat(QUESTION)
    assert "client" in reply.text
    assert (reply.finish_reason, reply.model) == ("stop", "tiny")
    assert (reply.meta.model, reply.meta.provider) == ("tiny", "local")
    assert (reply.meta.status, reply.meta.request_id, reply.cost) == (None, None, None)
    usage = usage_of(reply)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > usage.prompt_tokens > 0
    assert client.local.loaded()[0].engine == engine


async def test_a_stream_says_the_same(client: Client) -> None:
    """Pieces come one by one, and make the same answer; the last ones tell why it ended and what it took."""
    whole = await client.chat(QUESTION)
    pieces: list[str] = []
    async with client.chat.stream(QUESTION) as stream:
        async for chunk in stream:
            pieces.append(chunk.text)
    final = await stream.final()
    assert "".join(pieces) == final.text == whole.text
    assert len(pieces) > 5
    assert isinstance(final, ChatCompletion)
    assert (final.finish_reason, final.message.role, final.meta.provider) == ("stop", "assistant", "local")
    assert usage_of(final).completion_tokens == usage_of(whole).completion_tokens
    assert (await client.chat.stream(QUESTION, stream_options={"include_usage": False}).final()).usage is None


async def test_the_engines_agree() -> None:
    """torch and MLX write the same words, token for token, and draw the same by one seed."""
    told: list[Any] = []
    for engine in ("torch", "mlx"):
        async with Client(provider="local", local=LocalOptions(engine=engine, dtype="float32")) as client:  # type: ignore[arg-type]
            answers = [await client.chat(text) for text in (QUESTION, "How do I stream?", "Count to five.")]
            drawn = await client.chat(QUESTION, temperature=1.5, seed=4, max_tokens=30)
            told.append([reply.text for reply in (*answers, drawn)])
    assert told[0] == told[1]


async def test_another_turn_is_read_from_where_the_last_one_ended(client: Client) -> None:
    """A conversation that goes on is not read again from its beginning."""
    first = await client.chat(QUESTION)
    assert usage_of(first).cached_tokens == 0
    said = [{"role": "user", "content": QUESTION}, first.message, {"role": "user", "content": "How do I install it?"}]
    second = await client.chat(said)
    assert usage_of(second).cached_tokens >= usage_of(first).total_tokens - 3
    other = await client.chat([*said[:2], {"role": "user", "content": "Hello"}])
    assert usage_of(other).cached_tokens >= usage_of(first).total_tokens - 3


async def test_an_answer_that_is_parsed(client: Client) -> None:
    """A pydantic model comes back, whatever the chances and however small the model."""
    for seed in range(3):
        reply = await client.chat.parse(
            "The capital of France?",
            response_format=City,
            temperature=1.5,
            seed=seed,
            max_tokens=600,
            reasoning_effort="none",
        )
        assert isinstance(reply.parsed, City)
    reply = await client.chat("Anything", response_format={"type": "json_object"}, max_tokens=400)
    if reply.finish_reason == "stop":
        assert isinstance(json.loads(reply.text), dict)


async def test_a_tool_is_called(client: Client) -> None:
    """A call comes as a call, with an id of its own, and its result leads to an answer; no markup is in the text."""
    messages: list[Any] = [{"role": "user", "content": "How warm is it in Paris?"}]
    async with client.chat.stream(messages, tools=[TOOL]) as stream:
        texts = [chunk.text async for chunk in stream]
    reply = await stream.final()
    assert "".join(texts).strip() == ""
    (call,) = reply.tool_calls
    assert (call.function.name, call.function.parse(), reply.finish_reason) == (
        "temperature",
        {"city": "Paris"},
        "tool_calls",
    )
    messages += [reply.message, {"role": "tool", "tool_call_id": call.id, "content": "21.5"}]
    answer = await client.chat(messages, tools=[TOOL])
    assert "21.5" in answer.text
    again = await client.chat("How warm is it in Paris?", tools=[TOOL])
    assert again.tool_calls[0].id != call.id
    untold = await client.chat("How warm is it in Paris?", tools=[TOOL], tool_choice="none")
    assert not untold.tool_calls


async def test_a_call_that_is_cut_off_is_text(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is given as it was written, with a warning that does not repeat what was said."""
    cut = await client.chat("How warm is it in Paris?", tools=[TOOL], stop='"}')
    assert (cut.tool_calls, cut.finish_reason) == ((), "stop")
    assert "Paris" in cut.text
    assert "cannot be read, and is given as text" in caplog.text
    assert "Paris" not in caplog.text


async def test_tools_and_a_form_exclude_each_other(client: Client) -> None:
    """An answer that is held to a form cannot be a call: both at once are refused before anything is loaded, unless
    it is settled that there will be a call, or none."""
    with pytest.raises(InputError, match="response_format leaves no room for a call"):
        await client.chat("How warm is it in Paris?", tools=[TOOL], response_format=City)
    assert client.local.loaded() == ()
    asked: Any = {"tools": [TOOL], "response_format": City, "max_tokens": 300}
    held = await client.chat("How warm is it in Paris?", tool_choice="none", **asked)
    assert held.text.lstrip().startswith("{")
    forced = await client.chat("How warm is it in Paris?", tool_choice="required", **asked)
    assert (forced.text, forced.tool_calls[0].function.name) == ("", "temperature")
    text = await client.chat("How warm is it in Paris?", tools=[TOOL], response_format={"type": "text"})
    assert text.tool_calls


async def test_what_a_prompt_is_made_of(client: Client) -> None:
    """`tool_prompt` stands before the tools, `add_generation_prompt` and a last message with `prefix` are heeded, and
    what is no object or no text is refused."""

    async def prompted(messages: Any = QUESTION, **asked: Any) -> int:
        return usage_of(await client.chat(messages, max_tokens=1, **asked)).prompt_tokens

    assert await prompted(tools=[TOOL], tool_prompt="Be careful.") > await prompted(tools=[TOOL])
    assert await prompted(tool_prompt="Be careful.") == await prompted()
    assert await prompted(extra_body={"add_generation_prompt": False}) < await prompted()
    begun: Any = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "A client", "prefix": True}]
    told = await client.chat(begun)
    asked: Any = {"extra_body": {"continue_final_message": True}}
    assert told.text == (await client.chat([begun[0], {**begun[1], "prefix": False}], **asked)).text
    assert "client" in told.text or told.text.startswith(" ")
    with pytest.raises(InputError, match="chat_template_kwargs is of type list"):
        await client.chat(QUESTION, extra_body={"chat_template_kwargs": ["x"]})
    with pytest.raises(InputError, match="half a character"):
        await client.chat("\ud83d")


async def test_a_tool_that_must_be_called(client: Client) -> None:
    """`tool_choice` holds the model to a call, to this one if it is named."""
    for choice in ("required", {"type": "function", "function": {"name": "temperature"}}):
        reply = await client.chat("Hello", tools=[TOOL], tool_choice=choice, max_tokens=300)
        assert reply.finish_reason in {"tool_calls", "length"}
        if reply.finish_reason == "tool_calls":
            assert isinstance(reply.tool_calls[0].function.parse()["city"], str)
    for choice, said in (
        ("nobody", "asks for nobody, and tools= has temperature"),
        ({"type": "function"}, "is not known"),
    ):
        with pytest.raises(InputError, match=said):
            await client.chat("Hello", tools=[TOOL], tool_choice=choice)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tools= offers none"):
        await client.chat("Hello", tool_choice="required")


async def test_what_cuts_an_answer(client: Client) -> None:
    """`max_tokens` and stop strings end it where they say, and the finish reason tells which it was."""
    whole = (await client.chat(QUESTION)).text
    cut = await client.chat(QUESTION, max_tokens=5)
    assert (cut.finish_reason, usage_of(cut).completion_tokens) == ("length", 5)
    assert whole.startswith(cut.text)
    word = whole.split()[3]
    for stop in (word, [word, "never said"]):
        stopped = await client.chat(QUESTION, stop=stop)
        assert (stopped.text, stopped.finish_reason) == (whole[: whole.index(word)], "stop")
        pieces = [chunk.text async for chunk in client.chat.stream(QUESTION, stop=stop)]
        assert "".join(pieces) == stopped.text


async def test_log_probabilities(client: Client) -> None:
    """One for each token of the text, with the likeliest beside it, and the text in them."""
    reply = await client.chat(QUESTION, logprobs=True, top_logprobs=3, max_tokens=8)
    logprobs = reply.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert "".join(each.token for each in logprobs.content) == reply.text
    for each in logprobs.content:
        assert len(each.top_logprobs) == 3
        assert each.logprob <= 0
        assert each.top_logprobs[0].logprob >= each.logprob - 1e-6
    assert (await client.chat(QUESTION, max_tokens=3)).choices[0].logprobs is None


async def test_several_answers(client: Client) -> None:
    """`n` choices by chance, each with its own seed made of the one that was given, the same every time."""
    replies = [await client.chat(QUESTION, n=3, seed=7, temperature=3.0, max_tokens=12) for _ in range(2)]
    first, second = ([choice.message.content for choice in reply.choices] for reply in replies)
    assert first == second
    assert len(set(first)) > 1
    assert [choice.index for choice in replies[0].choices] == [0, 1, 2]
    alone = await client.chat(QUESTION, seed=7, temperature=3.0, max_tokens=12)
    assert alone.text == first[0]


async def test_a_seed_does_not_mind_company(client: Client) -> None:
    """The same seed draws the same answer alone and among others."""
    alone = (await client.chat(QUESTION, seed=1, temperature=1.2, max_tokens=40)).text
    answers: dict[int, str] = {}

    async def ask(seed: int) -> None:
        answers[seed] = (await client.chat(QUESTION, seed=seed, temperature=1.2, max_tokens=40)).text

    async with anyio.create_task_group() as group:
        for seed in range(6):
            group.start_soon(ask, seed)
    assert answers[1] == alone
    assert len(set(answers.values())) > 1


async def test_text_that_goes_on(client: Client) -> None:
    """`text_generation` writes on from a prompt, whole, streamed, with details, and with the prompt before it."""
    prompt = "<|im_start|>user\nWhat is hfclient?<|im_end|>\n<|im_start|>assistant\n"
    text = await client.text_generation(prompt, max_new_tokens=60)
    assert "client" in text.text
    stream = client.text_generation_stream(prompt, max_new_tokens=60)
    pieces = [chunk.text async for chunk in stream]
    final = await stream.final()
    assert "".join(pieces) == text.text == final.text
    assert (final.finish_reason, final.model, final.usage) == (text.finish_reason, "tiny", final.usage)
    full = await client.text_generation(prompt, max_new_tokens=5, return_full_text=True, details=True)
    assert full.text.startswith(prompt)
    assert full.details
    assert full.details["generated_tokens"] == len(full.details["tokens"]) == 5
    held = await client.text_generation(prompt, grammar={"type": "regex", "value": "[ab]{4}"}, max_new_tokens=20)
    assert set(held.text) <= {"a", "b"}
    assert len(held.text) == 4


async def test_the_details_of_a_text(client: Client) -> None:
    """Each token with its log probability, and the likeliest in its place where they are asked for."""
    asked: Any = {"max_new_tokens": 4, "details": True, "top_n_tokens": 3}
    text = await client.text_generation("What is", **asked)
    assert text.details
    tokens, tops = text.details["tokens"], text.details["top_tokens"]
    assert [len(top) for top in tops] == [3] * len(tokens) == [3] * 4
    for token, top in zip(tokens, tops, strict=True):
        assert token == top[0]  # it took the likeliest
        assert token["logprob"] <= 0
    final = await client.text_generation_stream("What is", **asked).final()
    assert final.details
    assert final.details.keys() == text.details.keys()
    assert [token["id"] for token in final.details["tokens"]] == [token["id"] for token in tokens]


async def test_the_end_of_a_prompt(client: Client) -> None:
    """`truncate` keeps so many tokens of the prompt's end; a prompt without any token is refused, and what is none."""
    whole = await client.text_generation(" one two three", max_new_tokens=3)
    cut = await client.text_generation("never mind;" * 9 + " one two three", max_new_tokens=3, truncate=prompted(whole))
    assert (cut.text, prompted(cut)) == (whole.text, prompted(whole))
    with pytest.raises(InputError, match="truncate=-1 is not"):
        await client.text_generation("one two three", truncate=-1)
    with pytest.raises(InputError, match="is empty"):
        await client.text_generation("")
    with pytest.raises(InputError, match="half a character"):
        await client.text_generation("\ud83d")


def prompted(text: TextGeneration) -> int:
    assert text.usage
    return text.usage.prompt_tokens


async def test_a_stream_that_is_left_stops_the_model(client: Client) -> None:
    """After `break` nothing more is written, and the model is idle."""
    async with client.chat.stream(QUESTION, max_tokens=2000, logit_bias={"0": -100}) as stream:
        async for _ in stream:
            break
    await until(lambda: not client.local.loaded()[0].busy)
    async for _ in client.chat.stream(QUESTION):
        break
    gc.collect()
    await until(lambda: not client.local.loaded()[0].busy)


async def test_a_call_that_is_cancelled_stops_the_model(client: Client) -> None:
    """A deadline, or a cancelled task, frees the place."""
    await client.local.load()
    with anyio.move_on_after(0.02):
        await client.text_generation("a", max_new_tokens=3000, temperature=2.0, seed=1)
    await until(lambda: not client.local.loaded()[0].busy)
    with pytest.raises(TimedOutError, match="deadline"):
        await client.text_generation("a", max_new_tokens=3000, temperature=2.0, seed=1, deadline=0.02)
    await until(lambda: not client.local.loaded()[0].busy)


async def test_a_stream_that_is_given_up_before_its_first_piece_stops_the_model(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another provider could still serve the call, its beginning is waited for; who is cancelled frees it."""
    await client.local.load()
    side: Any = client._shared.sides.of(LOCAL)
    engine = side._shelf._slots["tiny"].worker._loaded.engine
    step, begun, gate = engine.step, threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        gate.wait(20)
        return step()

    engine.step = slow
    monkeypatch.setattr(Trip, "may_move_on", property(lambda _: True, lambda _, value: None))
    stream = client.chat.stream(QUESTION, max_tokens=10**4, temperature=2)
    async with anyio.create_task_group() as group:
        group.start_soon(stream.open)
        await until(begun.is_set)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    steps: list[int] = []

    def counted() -> Any:
        steps.append(1)
        return step()

    engine.step = counted
    gate.set()
    await until(lambda: not client.local.loaded()[0].busy)
    assert len(steps) < 10


async def test_a_prompt_that_is_too_long(engine: Any) -> None:
    """It is refused with its length, or loses its oldest turns where that was asked for."""
    long: list[Any] = [{"role": "system", "content": "Be brief."}]
    for _ in range(20):
        long += [{"role": "user", "content": "How do I stream? " * 5}, {"role": "assistant", "content": "So. " * 10}]
    long += [{"role": "user", "content": QUESTION}]
    async with Client(provider="local", local=LocalOptions(engine=engine, max_input_length=120)) as client:
        with pytest.raises(InputTooLongError, match="and max_input_length allows 120"):
            await client.chat(long)
    options = LocalOptions(engine=engine, max_input_length=120, long_input="truncate")
    async with Client(provider="local", local=options) as client:
        reply = await client.chat(long)
        assert 30 < usage_of(reply).prompt_tokens <= 120
        assert "client" in reply.text
        huge = await client.chat("word " * 1000, max_tokens=1)
        assert usage_of(huge).prompt_tokens == 120


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1}, "temperature=-1 is not a number from 0 up"),
        ({"top_p": 0}, "top_p=0 is not"),
        ({"max_tokens": 0}, "max_tokens=0 is not a whole number from 1"),
        ({"n": 0}, "n=0 is not"),
        ({"top_logprobs": 2}, "without logprobs=True"),
        ({"logprobs": True, "top_logprobs": 50}, "more than 20"),
        ({"stop": [""]}, "stop holds an empty text"),
        ({"logit_bias": {"1": 200}}, "1: 200 is not a token id with a number from -100 to 100"),
        ({"web_search_options": {}}, "does not take web_search_options"),
        ({"functions": [{"name": "f"}]}, "does not take functions"),
        ({"modalities": ["text", "audio"]}, "does not take modalities"),
        ({"extra_body": {"temprature": 1}}, "does not take temprature.*\n.*temperature"),
        ({"frequency_penalty": 3}, "frequency_penalty=3 is not a number from -2 to 2"),
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_refused_before_anything_is_loaded(options: dict[str, Any], said: str) -> None:
    """A wrong or unknown parameter is named, and no model is loaded for it."""
    async with Client(provider="local") as client:
        with pytest.raises(InputError, match=said) as caught:
            await client.chat(QUESTION, **options)
        assert client.local.loaded() == ()
    assert (caught.value.provider, caught.value.task) == ("local", "conversational")


async def test_what_changes_nothing_is_passed_over(client: Client) -> None:
    """What providers are told of the caller means nothing here, and does no harm."""
    told: Any = {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "flex", "modalities": ["text"]}
    assert (await client.chat(QUESTION, bill_to="org", retry=3, **told)).text == (await client.chat(QUESTION)).text


async def test_media_is_refused(client: Client) -> None:
    """A model of text is shown no picture, be it bytes or an address."""
    from hfclient.sandbox import media

    for picture in (media.png("a cat"), "https://example.com/cat.png"):
        content: Any = [{"type": "text", "text": "What is this?"}, {"type": "image", "image": picture}]
        with pytest.raises(InputError, match="text"):
            await client.chat([{"role": "user", "content": content}])


async def test_this_machine_and_an_address_exclude_each_other() -> None:
    """`base_url` leads elsewhere, so it is refused beside `provider="local"`."""
    async with Client(provider="local") as client:
        with pytest.raises(InputError, match="local runs in this process"):
            await client.chat("x", base_url="http://localhost:1/v1")
        with pytest.raises(InputError, match="LocalOptions"):
            Client(local={"engine": "torch"})  # type: ignore[arg-type]


async def test_a_model_is_kept_until_it_is_unloaded(client: Client) -> None:
    """`load` says what it loaded; `unload` frees it, its thread too; the next call loads it again."""
    model = await client.local.load("tiny", max_sequences=2)
    assert (model.name, model.busy, model.size > 0, model.context_length is not None) == ("tiny", False, True, True)
    assert [thread.name for thread in threading.enumerate() if thread.name == "hfclient tiny"] == ["hfclient tiny"]
    await client.local.unload("tiny")
    assert client.local.loaded() == ()
    assert [thread for thread in threading.enumerate() if thread.name == "hfclient tiny"] == []
    await client.chat(QUESTION, max_tokens=1)
    await client.local.unload()
    with pytest.raises(InputError, match="max_sequences"):
        await client.local.load("tiny", max_sequence=2)


async def test_a_silent_model_times_out(client: Client) -> None:
    """`timeout` bounds the wait for the next word here too."""
    await client.local.load()
    side: Any = client._shared.sides.of(LOCAL)
    engine = side._shelf._slots["tiny"].worker._loaded.engine
    step, gate = engine.step, threading.Event()

    def slow() -> Any:
        gate.wait(20)
        return step()

    engine.step = slow
    try:
        with pytest.raises(TimedOutError, match=r"written nothing for 0\.05 s"):
            await client.chat(QUESTION, timeout=Timeout(read=0.05))
    finally:
        gate.set()
    assert "client" in (await client.chat(QUESTION)).text


async def test_fewer_than_all_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its packages an engine names the command that installs them; another provider may stand in."""
    monkeypatch.setitem(sys.modules, "llguidance", None)
    for module in [name for name in sys.modules if name.startswith("hfclient.local.torch")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    async with Client(provider="local", local=LocalOptions(engine="torch")) as client:
        with pytest.raises(MissingExtraError) as caught:
            await client.chat(QUESTION)
    assert caught.value.advice == 'pip install "hfclient[torch]"'


def test_nothing_of_this_is_loaded_by_the_cloud(tmp_path: Path) -> None:
    """A client, and a call to a provider, load no framework and no engine."""
    program = """
import sys, anyio
from hfclient import Client
async def main():
    async with Client(sandbox=True, model="Qwen/Qwen3-32B") as client:
        await client.chat("hi")
        print(client.providers("chat")["local"])
anyio.run(main)
heavy = {"torch", "transformers", "mlx", "mlx_lm", "tokenizers", "llguidance", "numpy", "jinja2", "safetensors"}
print(sorted(heavy & sys.modules.keys()))
print(sorted(name for name in sys.modules if name.startswith("hfclient.local.")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "('conversational', 'text-generation')",
        "[]",
        "['hfclient.local.options']",
    ]


async def test_an_error_knows_where_it_happened(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the engine carries provider, model and task, fails its own call, and the next one works."""
    await client.local.load()
    side: Any = client._shared.sides.of(LOCAL)
    engine = side._shelf._slots["tiny"].worker._loaded.engine
    step = engine.step
    engine.step = lambda: 1 // 0
    with caplog.at_level(logging.CRITICAL, "hfclient"), pytest.raises(EngineError, match="broke down") as caught:
        await client.chat(QUESTION)
    assert (caught.value.provider, caught.value.model, caught.value.task) == ("local", "tiny", "conversational")
    del step
    assert "client" in (await client.chat(QUESTION)).text
