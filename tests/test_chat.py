"""`client.chat`: what goes on the wire, what is refused before anything is sent, and what comes back."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import PIL.Image
import pytest
from pydantic import BaseModel

import hfclient
from hfclient import Client, assistant, system, user
from hfclient.errors import HFClientError, InputError, OutputParseError, RefusalError, ResponseError
from hfclient.media import Media
from hfclient.types import ChatCompletion
from tests.flows import COMPLETION
from tests.internet import HF, MODEL, Internet

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
WAV = b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 20
PNG_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


class City(BaseModel):
    name: str
    inhabitants: int | None = None


def said(content: str | None, finish_reason: str = "stop", **message: Any) -> httpx.Response:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish_reason,
    }
    headers = {"x-request-id": "req-1", "x-inference-provider": "groq"}
    return httpx.Response(200, json={**COMPLETION, "choices": [choice]}, headers=headers)


async def sent(messages: Any = "Hello", *, model: str | None = MODEL, **options: Any) -> Any:
    """The body that such a call puts on the wire."""
    with Internet() as internet:
        async with Client(HF) as client:
            await client.chat(messages, model=model, **options)
        return internet.body("router")


async def sent_streaming(messages: Any = "Hello", **options: Any) -> Any:
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client, client.chat.stream(messages, **options) as stream:
            await stream.final()
        return internet.body("router")


async def test_a_string_is_one_message() -> None:
    """The shortest call sends the model, the message, and nothing that nobody asked for."""
    assert await sent("Hello") == {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


async def test_the_model_stands_first() -> None:
    """The router finds the provider in a small prefix of the body, and messages may hold megabytes."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat("x" * 100_000, temperature=0.1)
            async with client.chat.stream("x" * 100_000) as stream:
                await stream.final()
        assert all(request.content.startswith(b'{"model":"org/model",') for _, request in internet.requests)


async def test_the_call_s_model_wins() -> None:
    """A client's model is a default, and no more than that."""
    with Internet() as internet:
        async with Client(HF, model="org/default") as client:
            await client.chat("Hello", model=MODEL)
            await client.chat("Hello")
        assert [json.loads(request.content)["model"] for _, request in internet.requests] == [MODEL, "org/default"]


async def test_the_three_ways_to_call_are_one() -> None:
    """The namespace, the method and the free function send the same request."""
    messages = [system("Be brief."), user("Hello"), assistant("Hi."), user("Bye")]
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            await client.chat(messages, seed=1)
            await client.chat_completion(messages, seed=1)
            await hfclient.chat_completion(client, messages, seed=1)
            for stream in (
                client.chat.stream(messages, seed=1),
                client.chat_completion_stream(messages, seed=1),
                hfclient.chat_completion_stream(client, messages, seed=1),
            ):
                await stream.final()
        bodies = [json.loads(request.content) for _, request in internet.requests]
    assert bodies[0] == bodies[1] == bodies[2] == {"model": MODEL, "messages": messages, "seed": 1}
    assert bodies[3] == bodies[4] == bodies[5]
    assert bodies[3] == {**bodies[0], "stream": True, "stream_options": {"include_usage": True}}


async def test_none_is_not_sent() -> None:
    """None says that nothing is said; 0, False and empty values are values."""
    body = await sent(temperature=None, seed=0, logprobs=False, stop=[], response_format=None, tools=None)
    assert {name: body.get(name, "absent") for name in ("temperature", "seed", "logprobs", "stop", "tools")} == {
        "temperature": "absent",
        "seed": 0,
        "logprobs": False,
        "stop": [],
        "tools": "absent",
    }


async def test_nulls_inside_survive() -> None:
    """Nulls within messages, tools and formats are the caller's own words."""
    messages = [{"role": "assistant", "content": None, "name": None}, {"role": "user", "content": "x"}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"default": None}}}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": None}, "strict": None}}
    body = await sent(messages, tools=[tool], response_format=form, extra_body={"thinking": None})
    assert (body["messages"], body["tools"], body["response_format"]) == (messages, [tool], form)
    assert "thinking" in body


async def test_extra_body_adds_and_overrides() -> None:
    """What the API has beyond our parameters goes in by hand, object by object."""
    body = await sent(
        temperature=0.1,
        metadata={"a": "1"},
        extra_body={"temperature": 0.9, "metadata": {"b": "2"}, "chat_template_kwargs": {"enable_thinking": False}},
    )
    assert (body["temperature"], body["metadata"]) == (0.9, {"a": "1", "b": "2"})
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_extra_headers_and_query_go_along() -> None:
    """Both are sent with the call they were given for, and with no other."""
    with Internet() as internet:
        async with Client(HF, model=MODEL, headers={"X-Team": "a"}) as client:
            await client.chat("Hello", extra_headers={"X-Trace": "t"}, extra_query={"api-version": "2"})
            await client.chat("Hello")
        first, second = (request for _, request in internet.requests)
    assert (first.headers["x-trace"], first.headers["x-team"], first.url.query) == ("t", "a", b"api-version=2")
    assert ("x-trace" in second.headers, second.headers["x-team"], second.url.query) == (False, "a", b"")


async def test_streams_ask_for_their_usage() -> None:
    """Without being asked, many providers count no tokens in a stream."""
    assert (await sent_streaming())["stream_options"] == {"include_usage": True}
    assert "stream_options" not in await sent()


@pytest.mark.parametrize("options", [{"include_usage": False}, {}])
async def test_a_stream_need_not_ask_for_its_usage(options: dict[str, Any]) -> None:
    """The caller's `stream_options` take the place of ours: an empty one for a server that refuses what is in it."""
    assert (await sent_streaming(stream_options=options))["stream_options"] == options


class Oddity:
    """A value of no use, by the same name in every process that runs these tests."""

    def __repr__(self) -> str:
        return "Oddity()"


NO_JSON = Oddity()

WRONG = [
    ({"temperature": "hot"}, "temperature has the wrong type"),
    ({"max_tokens": 1.5}, "max_tokens has the wrong type"),
    ({"max_tokens": "10"}, "max_tokens has the wrong type"),
    ({"seed": True}, "seed has the wrong type"),
    ({"logprobs": "yes"}, "logprobs has the wrong type"),
    ({"stop": 1}, "stop has the wrong type"),
    ({"tools": "search"}, "tools has the wrong type"),
    ({"tools": [1]}, "tools has the wrong type"),
    ({"logit_bias": "x"}, "logit_bias has the wrong type"),
    ({"tempurature": 1}, "chat takes no option 'tempurature'.\nDid you mean 'temperature'?"),
    ({"max_token": 1}, "Did you mean 'max_tokens'?"),
    ({"timeot": 1}, "Did you mean 'timeout'?"),
    ({"respons_format": {}}, "Did you mean 'response_format'?"),
    ({"modell": "x"}, "Did you mean 'model'?"),
    ({"zzzzzzzz": 1}, "It takes: audio,"),
    ({"token": "x"}, "It belongs to the client: Client(token), or client.with_options(token=…)."),
    ({"api_key": "x"}, "It belongs to the client: Client(token), or client.with_options(token=…)."),
    ({"http_client": 1}, "It belongs to the client: Client(http_client=…)."),
    ({"max_new_tokens": 1}, "Did you mean 'max_tokens'?"),
    ({"headers": {}}, "Did you mean 'extra_headers'?"),
    ({"max_retries": 3}, "Did you mean 'retry'?"),
    ({"stream": True}, "chat takes no option 'stream'"),
    ({"response_format": "json"}, "response_format is of type str"),
    ({"response_format": dict}, "response_format is the class dict"),
    ({"tools": [object]}, "A tool is the class object."),
    ({"model": ""}, "model='' is not a text"),
    ({"model": "https://host/v1"}, "The model is an address."),
    ({"timeout": 0}, "timeout=0 is not a number of seconds above 0."),
    ({"timeout": "1"}, "timeout='1' is not"),
    ({"deadline": -1}, "deadline=-1 is not"),
    ({"retry": "often"}, "retry='often' is not understood."),
    ({"provider": 3}, "provider=3 is not"),
    ({"base_url": "host"}, "base_url must be a whole address."),
    ({"extra_body": [1]}, "extra_body must be a mapping"),
    ({"extra_headers": {"a": 1}}, "extra_headers['a'] must be a text"),
    ({"extra_query": {"a": [1]}}, "extra_query['a'] must be a text"),
    ({"extra_body": {"x": {1, "a"}}}, "cannot be written as JSON"),
    ({"temperature": float("nan")}, "cannot be written as JSON"),
    ({"extra_body": {"x": NO_JSON}}, "Oddity is not a JSON type"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_a_wrong_call_is_refused_before_it_is_sent(
    options: dict[str, Any], message: str, *, streaming: bool
) -> None:
    """A typo or a value of the wrong type is the caller's error, named at once, and no provider hears of it."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(InputError) as caught:
                await (client.chat.stream("Hello", **options).open() if streaming else client.chat("Hello", **options))
        assert internet.requests == []
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("messages", ["", [], None, 5, [{"content": "x"}], [{"role": "user", "content": 5}], ["x"]])
async def test_wrong_messages_are_refused_before_they_are_sent(messages: Any) -> None:
    """Nothing that cannot be a conversation leaves the machine; an empty text can be one."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            if messages == "":
                await client.chat(messages)
                return
            with pytest.raises(InputError, match="message"):
                await client.chat(messages)
        assert internet.requests == []


@pytest.mark.parametrize(
    "value",
    [
        {"temperature": 1},
        {"stop": "x"},
        {"stop": ("x", "y")},
        {"logit_bias": {"50256": -100}},
        {"logit_bias": [0.5]},
        {"tool_choice": "auto"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"response_format": {"type": "json_object"}},
    ],
    ids=repr,
)
async def test_every_form_the_api_has_is_taken(value: dict[str, Any]) -> None:
    """Where the API takes several types, so do we; what goes out is what was given."""
    ((name, given),) = value.items()
    assert (await sent(**value))[name] == (list(given) if isinstance(given, tuple) else given)


async def test_token_numbers_may_be_numbers() -> None:
    """`logit_bias` has numbers for keys by nature, which JSON writes as texts."""
    assert (await sent(logit_bias={50256: -100}))["logit_bias"] == {"50256": -100}


async def test_mappings_of_any_kind_are_taken() -> None:
    """A read-only mapping is as good as a dict."""
    body = await sent(metadata=MappingProxyType({"a": "b"}), extra_body=MappingProxyType({"c": {"d": 1}}))
    assert (body["metadata"], body["c"]) == ({"a": "b"}, {"d": 1})


async def test_functions_are_tools() -> None:
    """A Python function is described by its signature, its annotations and its docstring."""

    def weather(city: str, days: int = 3) -> str:
        """The weather in a city."""
        return f"{city} {days}"

    class Search(BaseModel):
        """Look something up."""

        query: str

    tool = {"type": "function", "function": {"name": "raw", "parameters": {"type": "object"}}}
    body = await sent(tools=[weather, Search, tool], tool_choice="auto")
    first, second, third = body["tools"]
    assert first["function"]["name"] == "weather"
    assert first["function"]["description"] == "The weather in a city."
    assert first["function"]["parameters"]["required"] == ["city"]
    assert (second["function"]["name"], third) == ("Search", tool)


async def test_a_reply_goes_back_into_the_conversation() -> None:
    """The message of one answer is a message of the next question, tool calls included."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with Internet() as internet:
        internet.at("router", said(None, "tool_calls", tool_calls=[call], reasoning_content="Hm."), said("Done."))
        async with Client(HF, model=MODEL) as client:
            reply = await client.chat("Go")
            result = hfclient.tool(reply.tool_calls[0].id, "42")
            assert (await client.chat([user("Go"), reply.message, result])).text == "Done."
        body = json.loads(internet.requests[1][1].content)
    assert body["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "42"}


async def test_a_pydantic_model_is_a_response_format() -> None:
    """Its JSON schema goes out strict, under its own name."""
    form = (await sent(response_format=City))["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "City", True)
    assert form["json_schema"]["schema"]["required"] == ["name", "inhabitants"]


async def test_parse_gives_an_instance() -> None:
    """`parsed` is the model's instance, and everything else of the answer is there too."""
    with Internet() as internet:
        internet.at("router", said('{"name": "Paris", "inhabitants": 2}'))
        async with Client(HF, model=MODEL) as client:
            for reply in (
                await client.chat.parse("The capital of France?", response_format=City, seed=1),
                await client.chat_parse("The capital of France?", response_format=City),
                await hfclient.chat_parse(client, "The capital of France?", response_format=City),
            ):
                assert reply.parsed == City(name="Paris", inhabitants=2)
                assert (reply.meta.provider, reply.finish_reason, reply.id) == ("groq", "stop", "chatcmpl-1")
        body = json.loads(internet.requests[0][1].content)
    assert (body["response_format"]["json_schema"]["name"], body["seed"]) == ("City", 1)


UNPARSABLE = [
    (said(None, refusal="I would rather not."), RefusalError, "I would rather not."),
    (said("Paris, of course."), OutputParseError, "Paris, of course."),
    (said('{"inhabitants": 2}'), OutputParseError, '{"inhabitants": 2}'),
    (said('{"name": "Par', "length"), OutputParseError, '{"name": "Par'),
    (said(""), OutputParseError, ""),
    (said(None, tool_calls=[{"id": "c", "function": {"name": "f", "arguments": ""}}]), OutputParseError, ""),
]


@pytest.mark.parametrize(("answer", "kind", "text"), UNPARSABLE)
async def test_an_answer_that_cannot_be_parsed_says_so(answer: httpx.Response, kind: type[Any], text: str) -> None:
    """A refusal, broken JSON, the wrong shape or a cut answer: each keeps the text, the answer and where it was."""
    with Internet() as internet:
        internet.at("router", answer)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(kind) as caught:
                await client.chat.parse("The capital of France?", response_format=City)
    error: Any = caught.value
    assert isinstance(error, ResponseError)
    assert vars(error)["text"] == text
    assert isinstance(vars(error)["completion"], ChatCompletion)
    place = (error.provider, error.model, error.task, error.status, error.request_id, len(error.attempts))
    assert place == ("groq", MODEL, "conversational", 200, "req-1", 1)
    assert "req-1" in str(error)


@pytest.mark.parametrize("wrong", [{"type": "json_object"}, None, dict, "City"])
async def test_parse_wants_a_model(wrong: Any) -> None:
    """A dict says what shape is wanted, but not what to make of it; that is told before anything is sent."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(InputError, match="pydantic model"):
                await client.chat.parse("x", response_format=wrong)
        assert internet.requests == []


def picture() -> PIL.Image.Image:
    return PIL.Image.new("RGB", (2, 2), "red")


async def content_sent(*content: Any, **options: Any) -> Any:
    return (await sent([user("Look:", *content)], **options))["messages"][0]["content"][1:]


async def test_pictures_travel_in_the_message(tmp_path: Path) -> None:
    """Bytes, paths, PIL images, files and data URIs become data URIs; a URL goes as it is."""
    (tmp_path / "cat.png").write_bytes(PNG)
    with (tmp_path / "cat.png").open("rb") as file:
        parts = await content_sent(
            PNG, tmp_path / "cat.png", Media(PNG), bytearray(PNG), io.BytesIO(PNG), file, picture()
        )
    *raw, drawn = [part["image_url"]["url"] for part in parts]
    assert all(part["type"] == "image_url" for part in parts)
    assert raw == [PNG_URI] * 6
    head, _, data = drawn.partition(",")
    assert head == "data:image/png;base64"
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (2, 2)
    url = {"type": "image_url", "image_url": {"url": "https://host.invalid/cat.png"}}
    inline = {"type": "image_url", "image_url": {"url": PNG_URI, "detail": "low"}}
    assert await content_sent(Media("https://host.invalid/cat.png"), url, inline) == [url, url, inline]


async def test_sound_travels_in_the_message(tmp_path: Path) -> None:
    """Sound is base64 with its format beside it; from a URL it is fetched, without any key."""
    (tmp_path / "talk.wav").write_bytes(WAV)
    wanted = {"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}}
    assert await content_sent(WAV, tmp_path / "talk.wav") == [wanted, wanted]
    with Internet() as internet:
        internet.at("host.invalid", httpx.Response(200, content=WAV, headers={"content-type": "audio/wav"}))
        async with Client(HF, model=MODEL) as client:
            await client.chat([user("Listen:", {"type": "audio", "audio": "https://host.invalid/talk.wav"})])
        assert internet.body("router")["messages"][0]["content"][1] == wanted
        assert internet.key("host.invalid") is None
        assert internet.key("router") == f"Bearer {HF}"


async def test_media_stream_out_too(tmp_path: Path) -> None:
    """A streamed question carries its media just the same."""
    (tmp_path / "cat.png").write_bytes(PNG)
    body = await sent_streaming([user("Look:", tmp_path / "cat.png")])
    assert body["messages"][0]["content"][1]["image_url"]["url"] == PNG_URI


@pytest.mark.parametrize(
    ("medium", "message"),
    [
        (Path("there-is-no-such.png"), "There is no file"),
        (b"just some text", "neither"),
        (b"", "empty"),
        (NO_JSON, "which is not media"),
        ({"type": "image_url", "image_url": {"url": "cat.png"}}, "neither an http"),
        ({"type": "input_audio", "input_audio": {"data": PNG}}, "is image/png, not audio"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_media_that_cannot_be_sent_is_refused_before_the_call(medium: Any, message: str) -> None:
    """A missing file or a picture where sound was said costs nothing."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(InputError, match=r"(?s)" + ("not a picture" if message == "neither" else message)):
                await client.chat([user("Look:", medium)])
        assert internet.requests == []


async def test_media_that_cannot_be_fetched_is_told() -> None:
    """A sound that its own host does not give is the caller's to mend; the model is not asked."""
    with Internet() as internet:
        internet.at("host.invalid", 404)
        async with Client(HF, model=MODEL) as client:
            with pytest.raises(InputError, match="could not be fetched"):
                await client.chat([user({"type": "audio", "audio": "https://host.invalid/talk.wav?sig=secret"})])
        assert internet.asked == ["host.invalid"]


async def test_text_may_be_anything() -> None:
    """Emoji, half an emoji, line separators and control characters come through as they are."""
    text = "🤗 \u2028 \x00 \ud83e"
    assert (await sent(text))["messages"][0]["content"] == text


async def test_every_error_is_one_of_ours() -> None:
    """One base class catches whatever a call can raise."""
    with Internet() as internet:
        async with Client(HF, model=MODEL) as client:
            for answer in (400, 401, 402, 403, 404, 409, 418, 422, 424, 429, 500, 502, 504, httpx.ReadError("x")):
                internet.at("router", answer)
                with pytest.raises(HFClientError):
                    await client.chat("Hello", retry=False)
