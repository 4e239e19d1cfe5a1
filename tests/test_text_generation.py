"""Text generation, in OpenAI's completions and in Text Generation Inference's own way: requests, answers, streams."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.errors import (
    BadRequestError,
    HFClientError,
    NotFoundError,
    ResponseError,
    StatusError,
    StreamFailedError,
    TruncatedStreamError,
)
from hfclient.flow import post
from hfclient.provider import Provider
from hfclient.providers.completions import completions, generate, read_chunk, read_completion
from hfclient.providers.openai_compatible import without
from hfclient.providers.table import PROVIDERS
from hfclient.sse import EventDecoder
from hfclient.tasks.generation import TextAssembly
from hfclient.types.text import TextGeneration, TextGenerationChunk
from tests.asking import ROWS, THEIRS, asked, asked_by_them, exchanges, flow_of, stream_of, way_to
from tests.flows import event, play, reply, result_of
from tests.test_remote import streamed

GENERATION = "text-generation"

# Where each provider's completions live, by its own documentation.
ADDRESSES = {
    "deepinfra": "/v1/openai/completions",
    "featherless-ai": "/v1/completions",
    "hf-inference": f"/models/{THEIRS}/v1/completions",
    "novita": "/v3/openai/completions",
    "ovhcloud": "/v1/completions",
    "scaleway": "/v1/completions",
    "together": "/v1/completions",
}
every_row = pytest.mark.parametrize("name", ADDRESSES)

COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "model": "served-model",
    "choices": [{"index": 0, "text": " time.", "finish_reason": "stop", "seed": 7, "logprobs": None}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def prompt(**parts: Any) -> Any:
    return asked(GENERATION, "Once upon a", **parts)


def test_who_does_it() -> None:
    """Groq has no completions API, though one official client sends prompts to its chats."""
    assert {row.name for row in PROVIDERS if GENERATION in row.tasks} == set(ADDRESSES)
    assert "conversational" in ROWS["groq"].tasks


@every_row
def test_a_completion_is_one_request(name: str) -> None:
    """The model first, then the prompt, and everything flat beside them, under the names that OpenAI's API has."""
    parameters = {"max_new_tokens": 20, "temperature": 0.5, "stop": ["."], "return_full_text": True, "top_k": 3}
    step = next(flow_of(name, prompt(parameters=parameters, extra={"n": 1, "model": "somebody/else"})))
    said = {"max_tokens": 20, "temperature": 0.5, "stop": ["."], "echo": True, "top_k": 3, "n": 1}
    assert step == post(ADDRESSES[name], json={"model": THEIRS, "prompt": "Once upon a", **said})
    assert list(step.json)[:2] == ["model", "prompt"]


@every_row
def test_what_is_not_said_is_not_sent(name: str) -> None:
    """No max_tokens of null, which some official clients send."""
    assert next(flow_of(name, prompt())).json == {"model": THEIRS, "prompt": "Once upon a"}


@every_row
def test_the_callers_own_name_for_the_length_wins(name: str) -> None:
    """OpenAI's name for it in `extra_body` is not said twice."""
    body = next(flow_of(name, prompt(parameters={"max_new_tokens": 1}, extra={"max_tokens": 9}))).json
    assert body == {"model": THEIRS, "prompt": "Once upon a", "max_tokens": 9}


@every_row
def test_a_stream_is_a_request_and_a_decoder(name: str) -> None:
    """The same body with `stream`; the model stands first here too, and usage is asked for unless the caller says."""
    plan = stream_of(name, prompt(parameters={"max_new_tokens": 20}))
    asked_for = {"stream_options": {"include_usage": True}, "max_tokens": 20, "stream": True}
    assert plan.request == post(ADDRESSES[name], json={"model": THEIRS, "prompt": "Once upon a", **asked_for})
    assert list(plan.request.json)[:2] == ["model", "prompt"]
    assert plan.decode(event({"choices": [{"index": 0, "text": " time"}]})).text == " time"


def test_options_of_the_stream_are_added_to() -> None:
    """What the caller says about the stream stands beside what we ask for; that it is one is not up for debate."""
    plan = stream_of("together", prompt(extra={"stream_options": {"chunk_size": 2}, "stream": False}))
    assert plan.request.json["stream_options"] == {"include_usage": True, "chunk_size": 2}
    assert plan.request.json["stream"] is True
    quiet = stream_of("together", prompt(extra={"stream_options": {"include_usage": False}}))
    assert quiet.request.json["stream_options"] == {"include_usage": False}


def test_a_quirk_sees_all_of_the_streams_body() -> None:
    """A provider that refuses stream_options is not told them."""
    task = completions("/v1/completions", without("stream_options"))
    row = Provider("acme", "https://acme.invalid", {GENERATION: task})
    assert task.stream is not None
    plan = result_of(task.stream(prompt(), way_to(row, GENERATION)))
    assert plan.request.json == {"model": THEIRS, "prompt": "Once upon a", "stream": True}


def test_without_a_model_none_is_sent() -> None:
    """An address may serve one model only."""
    assert next(flow_of("scaleway", prompt(), None)).json == {"prompt": "Once upon a"}


def test_text_generation_inference_has_its_own_way() -> None:
    """`inputs` and nested `parameters`, under Hugging Face's names, and `stream` beside them."""
    row = Provider("mine", "https://mine.invalid", {GENERATION: generate()})
    route = way_to(row, GENERATION)
    call = prompt(parameters={"max_new_tokens": 20}, extra={"watermark": True})
    body = {"inputs": "Once upon a", "parameters": {"max_new_tokens": 20, "watermark": True}}
    assert next(route.task.run(call, route)) == post("", json=body)
    assert next(route.task.run(prompt(), route)) == post("", json={"inputs": "Once upon a"})
    assert route.task.stream is not None
    assert result_of(route.task.stream(call, route)).request == post("", json={**body, "stream": True})


# Where we differ from huggingface_hub, which keeps Hugging Face's names where it translates nothing.
UNTRANSLATED = {"max_new_tokens", "max_tokens", "return_full_text", "echo"}


@pytest.mark.parametrize("name", ["deepinfra", "featherless-ai", "novita", "together"])
@pytest.mark.parametrize(
    ("parameters", "different"),
    [
        ({"max_new_tokens": 20, "temperature": 0.5, "stop": ["."], "seed": 1, "details": True}, {"max_new_tokens"}),
        ({"max_new_tokens": 20, "return_full_text": False}, {"max_new_tokens", "return_full_text", "echo"}),
        ({"temperature": 0.5}, {"max_tokens"}),
    ],
    ids=["usual", "full text", "no length"],
)
def test_the_request_is_the_official_clients(name: str, parameters: dict[str, Any], different: set[str]) -> None:
    """Address and body agree with huggingface_hub's, but for the names, and a null where no length was given."""
    call = prompt(parameters=parameters, extra={"n": 1})
    theirs = asked_by_them(name, call)
    ours = next(flow_of(name, call))
    assert ROWS[name].url + ours.path == theirs.url
    found = {key for key in {*ours.json, *theirs.json} if ours.json.get(key, ...) != theirs.json.get(key, ...)}
    assert found <= UNTRANSLATED
    if name in {"deepinfra", "featherless-ai"}:  # which it does translate
        assert found == different - {"max_new_tokens"}
    assert ours.json.get("max_tokens") == parameters.get("max_new_tokens")


@every_row
def test_the_answer_becomes_a_text(name: str) -> None:
    """Text, reason, model and usage, and what else the choice says among the details."""
    steps, text = play(flow_of(name, prompt()), reply(COMPLETION))
    assert len(steps) == 1
    assert (text.text, text.finish_reason, text.model) == (" time.", "stop", "served-model")
    assert text.usage is not None
    assert text.usage.total_tokens == 5
    assert text.details == {"finish_reason": "stop", "seed": 7}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ([{"generated_text": "a"}], TextGeneration(generated_text="a")),
        ({"generated_text": "a"}, TextGeneration(generated_text="a")),
        ({"generated_text": ""}, TextGeneration(generated_text="")),
        (
            {"generated_text": "a", "details": {"finish_reason": "length", "seed": None}},
            TextGeneration(
                generated_text="a", finish_reason="length", details={"finish_reason": "length", "seed": None}
            ),
        ),
        ({"choices": [{"text": "a"}]}, TextGeneration(generated_text="a")),
        ({"choices": [{"text": ""}]}, TextGeneration(generated_text="")),
        ({"choices": [{"text": "b", "index": 1}, {"text": "a", "index": 0}]}, TextGeneration(generated_text="a")),
        ({"choices": [{"text": "a"}], "error": None}, TextGeneration(generated_text="a")),
    ],
)
def test_a_whole_answer_of_either_protocol(payload: object, text: TextGeneration) -> None:
    """Alone or in a list, with details or without; of several texts the first."""
    assert read_completion(reply(payload)) == text


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": None, "total_tokens": 5}, {"prompt_tokens": "many", "total_tokens": 5}, "free", [1]]
)
@pytest.mark.parametrize("rest", [{"choices": [{"text": "a"}]}, {"generated_text": "a"}], ids=["OpenAI", "TGI"])
def test_what_it_costs_is_no_reason_to_lose_it(usage: object, rest: dict[str, Any]) -> None:
    """Nonsense among the counts is passed over, and what makes sense of them is kept."""
    text = read_completion(reply({**rest, "usage": usage}))
    assert text.text == "a"
    assert (text.usage.total_tokens if text.usage else None) == (5 if isinstance(usage, dict) else None)
    chunk = read_chunk(event({"choices": [{"text": "a"}], "usage": usage}))
    assert chunk is not None
    assert (chunk.text, chunk.usage and chunk.usage.total_tokens) == ("a", text.usage and 5)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "no TextGeneration: generated_text"),
        ([], "no TextGeneration"),
        ("text", "no TextGeneration"),
        (None, "no TextGeneration"),
        ({"choices": []}, "no TextGeneration"),
        ({"choices": ["x"]}, "no TextGeneration"),
        ({"choices": "abc"}, "no TextGeneration"),
        ({"choices": [{}]}, "no TextGeneration"),
        ({"choices": [{"text": None}]}, "no TextGeneration"),
        ({"generated_text": "a", "details": "none"}, "no TextGeneration: details"),
        ({"generated_text": "a", "details": {"finish_reason": {}}, "finish_reason": []}, "no TextGeneration"),
        ({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, "call client.chat"),
        ({"choices": [{"text": "", "error": {"message": "overloaded"}}]}, "overloaded"),
        ({"error": "overloaded", "error_type": "overloaded"}, "overloaded"),
        ([{"error": "overloaded"}], "overloaded"),
        (b"<html>busy</html>", "not JSON"),
    ],
    ids=repr,
)
def test_what_is_no_text_is_refused(payload: object, said: str) -> None:
    """A success without a text, a chat in its place, or an error is a typed error that shows what came."""
    with pytest.raises(ResponseError, match=said) as caught:
        read_completion(reply(payload))
    assert caught.value.body


# What the two protocols say, and what servers are known to mix in.
NAMES = (
    *("choices", "text", "index", "delta", "message", "token", "special", "generated_text", "details"),
    *("finish_reason", "usage", "error", "model", "prompt_tokens"),
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSONS)
def test_any_answer_is_a_text_or_a_typed_error(payload: object) -> None:
    """Whatever a server sends, nothing but our own errors comes out."""
    with suppress(ResponseError):
        assert isinstance(read_completion(reply(payload)), TextGeneration)


@given(JSONS, st.sampled_from(["message", "", "error", "ping"]))
def test_any_event_is_a_piece_or_nothing_or_a_typed_error(payload: object, kind: str) -> None:
    """The same of streams; and what can be read can be put together."""
    chunk = None
    with suppress(StreamFailedError):
        chunk = read_chunk(event(payload, kind))
    if chunk is not None:
        assembly = TextAssembly()
        assembly.add(chunk)
        assembly.add(chunk)
        assert assembly.result() is not None


@pytest.mark.parametrize(
    ("payload", "text", "rest"),
    [
        ({"token": {"id": 1, "text": "a", "special": False}, "generated_text": None, "details": None}, "a", {}),
        ({"index": 1, "token": {"id": 1, "text": "a", "logprob": None}}, "a", {}),
        ({"token": {"id": 1, "text": "</s>", "special": True}, "generated_text": "whole"}, "", {}),
        ({"token": None, "generated_text": "whole"}, "", {"generated_text": "whole"}),
        (
            {"token": {"text": "a"}, "details": {"finish_reason": "length", "generated_tokens": 1}},
            "a",
            {"finish_reason": "length"},
        ),
        ({"choices": [{"index": 0, "text": "a", "finish_reason": None}]}, "a", {"details": None}),
        (
            {"choices": [{"text": "a", "finish_reason": "stop"}], "model": "m"},
            "a",
            {"finish_reason": "stop", "model": "m"},
        ),
        ({"choices": [{"index": 1, "text": "b"}]}, "", {}),
        ({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}, "a", {}),
        ({"choices": [{"text": None, "finish_reason": "stop"}]}, "", {"finish_reason": "stop"}),
        ({"choices": [], "usage": {"total_tokens": 5}}, "", {}),
        ({"choices": None, "usage": {"total_tokens": 5}}, "", {}),
        ({"usage": {"total_tokens": 5}}, "", {}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["message", "", "completion.chunk"])
def test_a_piece_of_either_protocol(payload: object, text: str, rest: dict[str, Any], kind: str) -> None:
    """Special tokens are no text; of several texts the first is read; the last count comes without any."""
    chunk = read_chunk(event(payload, kind))
    assert chunk is not None
    assert chunk.text == text
    assert {name: getattr(chunk, name) for name in rest} == rest


@pytest.mark.parametrize("kind", ["ping", "heartbeat"])
@pytest.mark.parametrize("payload", [b"whatever", {}, {"type": "ping"}, [], {"choices": 3}], ids=repr)
def test_other_events_are_passed_over(kind: str, payload: object) -> None:
    """Keep-alive events of a name of their own are no pieces and no errors."""
    assert read_chunk(event(payload, kind)) is None


@pytest.mark.parametrize(
    ("broken", "said", "code"),
    [
        (event({"error": "overloaded", "error_type": "overloaded"}), "broke off: overloaded", "overloaded"),
        (event({"error": {"message": "overloaded", "code": "busy"}}), "broke off: overloaded", "busy"),
        (event({"choices": [], "error": {"message": "overloaded"}}), "broke off: overloaded", None),
        (event({"choices": [{"text": "", "error": {"message": "overloaded"}}]}), "broke off: overloaded", None),
        (event({"message": "overloaded", "id": 1}, "error"), "broke off: overloaded", None),
        (event(b"overloaded", "error"), "broke off: overloaded", None),
        (event(b"", "error"), "no reason given", None),
        (event(b"not json"), "not a piece of a text", None),
        (event({}), "not a piece of a text", None),
        (event([1]), "not a piece of a text", None),
        (event({"choices": "x"}), "not a piece of a text", None),
        (event({"choices": ["x"]}), "not a piece of a text", None),
        (event({"token": "x"}), "not a piece of a text", None),
        (event({"choices": [{"text": [1]}]}), "not a piece of a text", None),
        (event({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}), "call client.chat", None),
    ],
    ids=repr,
)
def test_an_error_in_a_stream_is_an_error_in_every_shape(broken: Any, said: str, code: str | None) -> None:
    """TGI's, OpenAI's, OpenRouter's, error events, and what is no piece at all; the words are kept."""
    with pytest.raises(StreamFailedError, match=said) as caught:
        read_chunk(broken)
    assert (caught.value.body, caught.value.code) == (broken.data.decode(), code)


def assembled(*payloads: object) -> TextAssembly:
    assembly = TextAssembly()
    for payload in payloads:
        chunk = read_chunk(event(payload))
        assert chunk is not None
        assembly.add(chunk)
    return assembly


def token(text: str, **rest: Any) -> dict[str, Any]:
    return {"token": {"id": 1, "text": text, "logprob": -0.5, "special": rest.pop("special", False)}, **rest}


def test_the_servers_own_word_for_the_whole_is_final() -> None:
    """It may hold the prompt, or characters that no single token holds; and it may be nothing at all."""
    assert assembled(token("b"), token("c", generated_text="abc")).result() == TextGeneration(generated_text="abc")
    nothing = assembled(token("</s>", special=True, generated_text=""))
    assert nothing.whole()
    assert nothing.result() == TextGeneration(generated_text="")


def test_details_are_put_together() -> None:
    """The last piece tells them, and the tokens are those that came; without details there are none."""
    told = {"finish_reason": "length", "generated_tokens": 2, "seed": None, "prefill": []}
    text = assembled(token("a"), token(" b", generated_text="a b", details=told)).result()
    assert text is not None
    assert text.finish_reason == "length"
    assert text.details is not None
    assert {name: text.details[name] for name in ("finish_reason", "generated_tokens", "prefill")} == {
        "finish_reason": "length",
        "generated_tokens": 2,
        "prefill": [],
    }
    assert [each["text"] for each in text.details["tokens"]] == ["a", " b"]
    assert assembled(token("a", generated_text="a")).result().details is None  # type: ignore[union-attr]


def test_probabilities_are_put_together() -> None:
    """OpenAI's chunks hold a list of each, and the whole one list of all; what stands beside them is said anew."""

    def piece(text: str, logprob: float, reason: str | None = None) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [logprob], "top_logprobs": None}
        return {"choices": [{"index": 0, "text": text, "finish_reason": reason, "seed": 7, "logprobs": logprobs}]}

    assembly = assembled(piece("a", -0.5), piece("b", -0.25, "length"))
    text = assembly.result()
    assert text is not None
    assert text.details == {
        "finish_reason": "length",
        "seed": 7,
        "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-0.5, -0.25]},
    }
    assembly.add(TextGenerationChunk(text="c", details={"logprobs": {"tokens": ["c"]}}))
    assert text.details["logprobs"]["tokens"] == ["a", "b"]  # what was given away does not grow


def test_reasons_that_are_nothing_end_nothing() -> None:
    """Some servers send an empty finish_reason with every piece."""
    assembly = assembled({"choices": [{"text": "a", "finish_reason": ""}]})
    assert not assembly.whole()
    assert assembled({"choices": [{"text": "a", "finish_reason": "length"}]}, {"choices": [{"text": ""}]}).whole()


def test_nothing_arrived_is_nothing() -> None:
    """Without a single piece there is no text, not even an empty one."""
    assert TextAssembly().result() is None
    assert not TextAssembly().whole()


TOKENS = b"".join(b"data: %b\n\n" % json.dumps(token(text)).encode() for text in ("one", " two", " three"))
PIECES = b"".join(
    b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": None}]}).encode()
    for text in ("one", " two", " three")
)
LAST_TOKEN = b"data: %b\n\n" % json.dumps(token("</s>", special=True, generated_text="one two three")).encode()
LAST_PIECE = b'data: {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}}\n\n'

both_protocols = pytest.mark.parametrize(
    ("address", "head", "last"),
    [("https://mine.invalid", TOKENS, LAST_TOKEN), ("https://mine.invalid/v1", PIECES, USAGE + LAST_PIECE)],
    ids=["TGI", "OpenAI"],
)


def client_for(response: httpx.Response, address: str = "https://mine.invalid/v1") -> Client:
    http_client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: response))
    return Client.endpoint(address, http_client=http_client, retry=False)


@pytest.mark.anyio
@both_protocols
async def test_a_stream_is_read_and_put_together(address: str, head: bytes, last: bytes) -> None:
    """Piece by piece as text, and whole at the end."""
    async with client_for(streamed(head, last), address) as client:
        stream = client.text_generation_stream("Count")
        assert [text async for text in stream.text()] == ["one", " two", " three"]
        final = await stream.final()
    assert final.text == "one two three"
    assert final.meta.provider == "endpoint"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("address", "head"), [("https://mine.invalid", TOKENS), ("https://mine.invalid/v1", PIECES)], ids=["TGI", "OpenAI"]
)
async def test_a_stream_that_is_cut_off_is_noticed(address: str, head: bytes) -> None:
    """Wherever it is cut before its end: the error keeps what had arrived."""
    for cut in (*range(0, len(head), 7), len(head)):
        arrived = "".join(
            chunk.text for each in EventDecoder().feed(head[:cut]) if (chunk := read_chunk(each)) is not None
        )
        response = streamed(head[:cut], httpx.ReadError("reset"))
        async with client_for(response, address) as client:
            with pytest.raises(TruncatedStreamError) as caught:
                await client.text_generation_stream("Count").final()
        partial = caught.value.partial
        assert (partial.text if partial else "") == arrived
        assert response.is_closed


@pytest.mark.anyio
@both_protocols
async def test_an_error_in_the_middle_is_met_after_what_came_before(address: str, head: bytes, last: bytes) -> None:
    """The text up to there is read first, and kept with the error."""
    error = b'data: {"error": "Request failed during generation", "error_type": "generation"}\n\n'
    texts: list[str] = []

    async def read_all(client: Client) -> None:
        async for text in client.text_generation_stream("Count").text():
            texts.append(text)

    async with client_for(streamed(head + error + last), address) as client:
        with pytest.raises(StreamFailedError, match="failed during generation") as caught:
            await read_all(client)
    assert texts == ["one", " two", " three"]
    assert (caught.value.partial.text, caught.value.code) == ("one two three", "generation")


@pytest.mark.anyio
@both_protocols
async def test_the_farewell_may_be_lost(address: str, head: bytes, last: bytes) -> None:
    """Once the text is whole, what becomes of the connection is nobody's business."""
    ending = last.removesuffix(b"data: [DONE]\n\n")
    async with client_for(streamed(head + ending, httpx.ReadError("reset")), address) as client:
        final = await client.text_generation_stream("Count").final()
    assert final.text == "one two three"


IN_BASE64 = "3cb31c876a9053b1"  # the only one whose text was recorded so


def body_on(exchange: dict[str, Any]) -> bytes:
    body = str(exchange["response"]["body_text"]).encode()
    return base64.b64decode(body) if exchange["id"] == IN_BASE64 else body


ERRORS: dict[int, tuple[type[StatusError], ...]] = {
    400: (BadRequestError,),
    404: (NotFoundError,),
    422: (BadRequestError,),
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "exchange", [*exchanges("hf-inference__text-generation"), *exchanges("together__text-generation")]
)
async def test_every_recorded_answer_is_read_as_it_was_meant(exchange: dict[str, Any]) -> None:
    """Texts, streams and errors come out with the words that are on the tape."""
    recorded, body = exchange["response"], body_on(exchange)
    answer = httpx.Response(recorded["status"], headers=recorded["headers"], content=body)
    async with client_for(answer, "https://tape.invalid") as client:
        if recorded["status"] >= 400:
            with pytest.raises(ERRORS.get(recorded["status"], (StatusError,))) as refused:
                await client.text_generation("x")
            assert refused.value.status == recorded["status"]
        elif recorded.get("sse"):
            await streamed_as_recorded(client, body)
        else:
            text = await client.text_generation("x")
            told = json.loads(body)[0]
            assert text.text == told["generated_text"]
            assert text.details == told.get("details")
            assert text.finish_reason == (told.get("details") or {}).get("finish_reason")


async def streamed_as_recorded(client: Client, body: bytes) -> None:
    """By the simplest reading there is: what stands after each `data:`."""
    told = [json.loads(line.removeprefix("data:")) for line in body.decode().splitlines() if line.startswith("data:")]
    stream = client.text_generation_stream("x")
    texts: list[str] = []

    async def read_all() -> None:
        async for text in stream.text():
            texts.append(text)

    if "error" in told[-1]:
        with pytest.raises(StreamFailedError) as caught:
            await read_all()
        assert told[-1]["error"] in caught.value.message
        assert caught.value.code == told[-1]["error_type"]
        return
    await read_all()
    said = [each["token"]["text"] for each in told if not each["token"]["special"]]
    assert "".join(texts) == "".join(said)
    final = await stream.final()
    assert final.text == told[-1]["generated_text"]
    assert final.finish_reason == (told[-1].get("details") or {}).get("finish_reason")


@pytest.mark.parametrize("exchange", exchanges("hf-inference__text-generation", status=200))
def test_a_recorded_stream_is_whole_at_its_end_and_not_before(exchange: dict[str, Any]) -> None:
    """The assembly knows from the pieces alone whether all of the text has come."""
    if not exchange["response"].get("sse"):
        assert not body_on(exchange).startswith(b"data:")
        return
    events = EventDecoder().feed(body_on(exchange))
    assembly = TextAssembly()
    for place, each in enumerate(events):
        try:
            chunk = read_chunk(each)
        except HFClientError:
            assert not assembly.whole()
            return
        assert chunk is not None
        assembly.add(chunk)
        assert assembly.whole() == (place == len(events) - 1)
