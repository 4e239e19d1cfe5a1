"""Every row of the provider table keeps one contract, and each provider's quirks are told by name."""

from __future__ import annotations

from typing import Any

import pytest

from hfclient.errors import HFClientError, InputError, RateLimitError, ResponseError
from hfclient.flow import post
from hfclient.provider import Provider
from hfclient.providers.openai_compatible import chat, merged, read_chunk, renamed, without, without_prefix
from hfclient.providers.table import ENDPOINT, PROVIDERS, ROUTER
from tests.flows import CHAT, COMPLETION, HELLO, chat_call, event, plan_of, play, reply, run_flow

# Where each provider's chat lives, by its own documentation.
CHAT_ADDRESSES = {
    "auto": "https://router.huggingface.co/v1/chat/completions",
    "baseten": "https://inference.baseten.co/v1/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "cohere": "https://api.cohere.com/compatibility/v1/chat/completions",
    "deepinfra": "https://api.deepinfra.com/v1/openai/chat/completions",
    "endpoint": "/v1/chat/completions",
    "featherless-ai": "https://api.featherless.ai/v1/chat/completions",
    "fireworks-ai": "https://api.fireworks.ai/inference/v1/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "hf-inference": "https://router.huggingface.co/hf-inference/models/provider-model/v1/chat/completions",
    "hyperbolic": "https://api.hyperbolic.xyz/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "nebius": "https://api.tokenfactory.nebius.com/v1/chat/completions",
    "novita": "https://api.novita.ai/v3/openai/chat/completions",
    "nscale": "https://inference.api.nscale.com/v1/chat/completions",
    "openai": "https://api.openai.com/v1/chat/completions",
    "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1/chat/completions",
    "publicai": "https://api.publicai.co/v1/chat/completions",
    "sambanova": "https://api.sambanova.ai/v1/chat/completions",
    "scaleway": "https://api.scaleway.ai/v1/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "zai-org": "https://api.z.ai/api/paas/v4/chat/completions",
}
NO_CHAT = {"black-forest-labs", "fal-ai", "replicate", "wavespeed"}
OWN_KEY_ONLY = {"black-forest-labs", "hyperbolic", "mistral", "nebius", "openai", "sambanova"}

ALL = {provider.name: provider for provider in (*PROVIDERS, ROUTER, ENDPOINT)}
CHATTING = [provider for provider in ALL.values() if CHAT in provider.tasks]

SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "default": None}}}
OPENAI_FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}}

every_chat = pytest.mark.parametrize("provider", CHATTING, ids=lambda provider: provider.name)


def path_of(provider: Provider) -> str:
    return CHAT_ADDRESSES[provider.name].removeprefix(provider.url)


def body_of(
    name: str, *, stream: bool = False, model_id: str | None = "provider-model", **parts: Any
) -> dict[str, Any]:
    call = chat_call(stream=stream, **parts)
    if stream:
        return dict(plan_of(ALL[name], call, model_id).request.json)
    return dict(next(run_flow(ALL[name], call, model_id)).json)


def test_the_table_has_every_provider_once() -> None:
    """No row is forgotten, and none has the name of another."""
    assert len(ALL) == len(PROVIDERS) + 2
    assert {provider.name for provider in CHATTING} == set(CHAT_ADDRESSES)
    assert set(ALL) - set(CHAT_ADDRESSES) == NO_CHAT


def test_the_router_leads_to_all_but_these() -> None:
    """A Hugging Face token reaches every provider the router knows; the others need a key of their own."""
    assert {provider.name for provider in PROVIDERS if not provider.routed} == OWN_KEY_ONLY
    assert all(provider.variables for provider in PROVIDERS if not provider.routed)


def test_two_have_a_scheme_of_their_own() -> None:
    """fal's keys travel as `Key …`, Black Forest Labs' bare in a header of its own, all others as `Bearer …`."""
    usual = ("authorization", "Bearer")
    schemes = {provider.name: (provider.key_header, provider.scheme) for provider in PROVIDERS}
    assert {name: scheme for name, scheme in schemes.items() if scheme != usual} == {
        "fal-ai": ("authorization", "Key"),
        "black-forest-labs": ("x-key", ""),
    }


@every_chat
def test_a_chat_is_one_request(provider: Provider) -> None:
    """One POST to the provider's own path, its own id for the model first, then the messages and the parameters."""
    flow = run_flow(provider, chat_call(parameters={"temperature": 0.5, "max_tokens": 9}))
    step = next(flow)
    expected = {"model": "provider-model", "messages": HELLO, "temperature": 0.5, "max_tokens": 9}
    assert step == post(path_of(provider), json=expected)
    assert list(step.json)[:2] == ["model", "messages"]


@every_chat
def test_the_answer_becomes_a_completion(provider: Provider) -> None:
    """The answer sent back into the flow comes out as a typed completion, and nothing more is asked for."""
    steps, completion = play(run_flow(provider, chat_call()), reply(COMPLETION))
    assert len(steps) == 1
    assert (completion.text, completion.finish_reason, completion.usage.total_tokens) == ("Hi!", "stop", 11)


@every_chat
def test_a_failure_is_raised_at_the_yield(provider: Provider) -> None:
    """A flow meets the error of its request where it asked for it, so that a provider could react."""
    flow = run_flow(provider, chat_call())
    next(flow)
    failure = RateLimitError("Slow down.", status=429)
    with pytest.raises(RateLimitError) as caught:
        flow.throw(failure)
    assert caught.value is failure


@every_chat
def test_a_stream_is_a_request_and_a_decoder(provider: Provider) -> None:
    """Streaming posts the same body with `stream`, and each event decodes to a chunk without any I/O."""
    plan = plan_of(provider, chat_call(parameters={"top_p": 0.9}, stream=True))
    usage = {} if provider.name == "mistral" else {"stream_options": {"include_usage": True}}
    body = {"model": "provider-model", "messages": HELLO, "top_p": 0.9, "stream": True, **usage}
    assert plan.request == post(path_of(provider), json=body)
    assert next(iter(plan.request.json)) == "model"
    chunk = plan.decode(event({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}))
    assert (chunk.text, chunk.finish_reason) == ("Hi", None)


@every_chat
def test_without_a_model_none_is_sent(provider: Provider) -> None:
    """An address may serve one model only: then no filler stands in its place."""
    assert "model" not in body_of(provider.name, model_id=None)


@every_chat
def test_extra_body_has_the_last_word(provider: Provider) -> None:
    """What the caller adds by hand goes out as it is, also where the provider's quirks would take it away."""
    extra = {"store": True, "stream_options": {"chunk_size": 2}, "model": "mine"}
    sent = body_of(provider.name, stream=True, body=extra)
    usage = {} if provider.name == "mistral" else {"include_usage": True}
    assert (sent["store"], sent["model"], sent["stream_options"]) == (True, "mine", {**usage, "chunk_size": 2})


@every_chat
def test_the_call_is_left_alone(provider: Provider) -> None:
    """A quirk changes the body that is sent, never the caller's own objects: a second provider may need them."""
    parameters = {"store": True, "seed": 1, "response_format": OPENAI_FORMAT, "stream_options": {}}
    before = {**parameters}
    body_of(provider.name, stream=True, parameters=parameters, model_id="openai/gpt-x")
    assert parameters == before
    assert OPENAI_FORMAT["json_schema"] == {"name": "city", "strict": True, "schema": SCHEMA}


def test_cerebras_is_not_told_to_store() -> None:
    """Cerebras answers `store` with 400 wrong_api_format."""
    assert "store" not in body_of("cerebras", parameters={"store": True, "seed": 1})
    assert body_of("groq", parameters={"store": True})["store"] is True


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("cohere", {"type": "json_object", "schema": SCHEMA}),
        ("together", {"type": "json_schema", "schema": SCHEMA}),
        ("fireworks-ai", OPENAI_FORMAT),
        ("hf-inference", OPENAI_FORMAT),
        ("auto", OPENAI_FORMAT),
    ],
)
def test_schemas_go_out_in_the_form_each_provider_documents(name: str, sent: dict[str, Any]) -> None:
    """Cohere and Together have forms of their own; all others take OpenAI's."""
    assert body_of(name, parameters={"response_format": OPENAI_FORMAT})["response_format"] == sent


@pytest.mark.parametrize("name", ["cohere", "together"])
@pytest.mark.parametrize(
    "given", [{"type": "json_object"}, {"type": "json_schema", "schema": SCHEMA}, {"type": "text"}]
)
def test_other_formats_are_not_touched(name: str, given: dict[str, Any]) -> None:
    """Only OpenAI's envelope is opened; a format already in the provider's own form passes."""
    assert body_of(name, parameters={"response_format": given})["response_format"] == given


@pytest.mark.parametrize(
    ("given", "sent"), [("openai/gpt-x", "gpt-x"), ("gpt-x", "gpt-x"), ("org/openai/x", "org/openai/x")]
)
def test_openai_ids_have_no_prefix(given: str, sent: str) -> None:
    """api.openai.com knows no openai/… ids, while other clients demand the prefix."""
    assert body_of("openai", model_id=given)["model"] == sent


def test_mistral_has_its_own_name_for_the_seed() -> None:
    """Mistral refuses fields it does not know: the seed is called random_seed, and usage comes in streams unasked."""
    sent = body_of("mistral", stream=True, parameters={"seed": 7, "stream_options": {"include_usage": True}})
    assert sent == {"model": "provider-model", "messages": HELLO, "random_seed": 7, "stream": True}


def test_zai_is_told_who_sends_it() -> None:
    """Z.ai wants to know the channel, and answers in English only when asked."""
    headers = {"x-source-channel": "hugging_face", "accept-language": "en-US,en"}
    assert {provider.name: provider.headers for provider in PROVIDERS if provider.headers} == {"zai-org": headers}


def test_a_model_id_in_a_path_is_escaped() -> None:
    """No model id can lead a request, and the key with it, to another path of the host."""
    flow = run_flow(ALL["hf-inference"], chat_call(), "org/a b?x=#y")
    assert next(flow).path == "/models/org/a%20b%3Fx%3D%23y/v1/chat/completions"
    with pytest.raises(InputError, match="leads elsewhere"):
        next(run_flow(ALL["hf-inference"], chat_call(), "../../groq/openai"))
    assert next(run_flow(ALL["hf-inference"], chat_call(), "org/a..b")).path == "/models/org/a..b/v1/chat/completions"


def test_nulls_and_numbers_go_out_as_they_were_given() -> None:
    """A null inside a message or a tool's schema means something, and a 64-bit seed keeps all of its digits."""
    messages = [{"role": "assistant", "content": None, "tool_calls": [], "x": {"y": [None]}}, *HELLO]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"default": None, "const": None}}}]
    call = chat_call(messages, parameters={"tools": tools, "seed": 2**63 + 1})
    sent = next(run_flow(ALL["groq"], call)).json
    assert (sent["messages"], sent["tools"], sent["seed"]) == (messages, tools, 2**63 + 1)


def test_a_stream_that_shall_not_count_tokens() -> None:
    """`stream_options` of the caller's own replaces the default."""
    off = {"include_usage": False}
    assert body_of("groq", stream=True, parameters={"stream_options": off})["stream_options"] == off


def test_changes_can_be_combined() -> None:
    """A third party's row is made of the same small changes as ours."""
    task = chat("/chat", without("a", "b"), renamed(seed="random"), without_prefix("acme/"))
    provider = Provider("acme", "https://acme.invalid", {CHAT: task})
    sent = next(run_flow(provider, chat_call(parameters={"a": 1, "seed": 2, "c": 3}), "acme/m"))
    assert sent == post("/chat", json={"model": "m", "messages": HELLO, "random": 2, "c": 3})


@pytest.mark.parametrize(
    ("body", "extra", "expected"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"b": None}, {"a": 1, "b": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": None}}, {"a": {"x": 1, "y": None}}),
        ({"a": {"x": {"p": 1}}}, {"a": {"x": {"q": 2}}}, {"a": {"x": {"p": 1, "q": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_extra_body_is_merged_object_by_object(body: Any, extra: Any, expected: Any) -> None:
    """Objects merge key by key, everything else is replaced, and a null is a value."""
    before = repr((body, extra))
    assert merged(body, extra) == expected
    assert repr((body, extra)) == before


# As OpenRouter tells of a provider that failed in the middle.
FAILED_CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "Hi"},
    "finish_reason": "error",
    "error": {"code": 502, "message": "out of memory"},
}

NO_CHAT_IN_IT: list[tuple[object, str]] = [
    (b"", "the server answered with an empty body"),
    (b" \r\n", "the server answered with an empty body"),
    (b"not json", "Invalid JSON"),
    (b"<html><body>Bad gateway</body></html>", "the server answered with a web page (text/html)"),
    (b"\n<!DOCTYPE HTML>\n<html></html>", "the server answered with a web page (text/html)"),
    (b'data: {"choices": []}\n\n', "the server answered with server-sent events, which nobody asked for."),
    (b'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]', "an error in them: out of memory"),
    (b"event: error\ndata: out of memory\n\n", "an error in them: out of memory"),
    (b'event: error\ndata: {"message": "out of memory"}', "an error in them: out of memory"),
    ([], "should be an object"),
    (None, "should be an object"),
    ({}, "choices"),
    ({"choices": None}, "choices"),
    ({"choices": []}, "it has no choices"),
    ({"choices": [{"index": 0}]}, "choices.0.message"),
    ({"choices": [{"message": "Hi"}]}, "choices.0.message"),
    ({"error": "out of memory"}, "an error with a success status: out of memory"),
    ({"error": {"message": "out of memory", "code": 500}}, "an error with a success status: out of memory"),
    ({**COMPLETION, "error": {"message": "out of memory"}}, "an error with a success status: out of memory"),
    ({**COMPLETION, "choices": [], "error": "out of memory."}, "out of memory."),
    ({"detail": "no such deployment"}, "an error with a success status: no such deployment"),
    ({**COMPLETION, "error": {"weight": 3}}, "error"),
    ({**COMPLETION, "choices": [FAILED_CHOICE]}, "an error with a success status: out of memory"),
    ({**COMPLETION, "choices": [{"error": "out of memory"}]}, "an error with a success status: out of memory"),
    ({**COMPLETION, "choices": [{**FAILED_CHOICE, "error": 7}]}, "it holds an error"),
]


@pytest.mark.parametrize(("payload", "said"), NO_CHAT_IN_IT, ids=repr)
def test_a_success_without_an_answer_is_an_error(payload: object, said: str) -> None:
    """A 200 with an error in it, without choices or of another shape never becomes a completion."""
    with pytest.raises(ResponseError, match=r"^The answer is") as caught:
        play(run_flow(ALL["groq"], chat_call()), reply(payload))
    error = caught.value
    assert said in error.message
    assert error.status == 200
    assert error.body == reply(payload).text()
    assert error.advice
    assert ".." not in error.message


def test_a_web_page_leads_to_the_address() -> None:
    """A page with status 200 is most often the wrong base_url, whatever the page begins with."""
    page = reply(b"<!-- login --><body>Sign in</body>", headers={"content-type": "text/html; charset=utf-8"})
    with pytest.raises(ResponseError, match="web page") as caught:
        play(run_flow(ALL["groq"], chat_call()), page)
    assert caught.value.advice == "Check base_url."


def test_an_error_that_is_null_is_none() -> None:
    """Several servers write `error: null` into answers that are perfectly well."""
    _, completion = play(run_flow(ALL["groq"], chat_call()), reply({**COMPLETION, "error": None}))
    assert completion.text == "Hi!"
    chunk = read_chunk(event({"choices": [], "error": None}))
    assert chunk is not None
    assert chunk.text == ""


BROKEN_OFF = [
    (event({"error": "overloaded", "error_type": "overloaded"}), "overloaded"),
    (event({"error": {"message": "overloaded", "type": "server_error", "code": "busy"}}), "overloaded"),
    (event({"choices": [], "error": {"message": "overloaded", "code": 502}}), "overloaded"),
    (event({"message": "overloaded"}, "error"), "overloaded"),
    (event({"error_type": "x", "error_message": "overloaded"}), "overloaded"),
    (event(b"overloaded", "error"), "overloaded"),
    (event({"choices": [{"delta": {"content": "x"}}]}, "error"), "The stream broke off"),
    (event({"object": "error", "message": "overloaded", "code": 400}), "overloaded"),
    (event({"choices": [{"index": 0, "delta": {"content": ""}, "error": {"message": "overloaded"}}]}), "overloaded"),
    (event({"choices": [{"delta": {}, "finish_reason": "error"}], "error": {"message": "overloaded"}}), "overloaded"),
    (event({"choices": [{"index": 0, "delta": "", "error": "overloaded"}]}), "overloaded"),
    (event({"choices": [{"error": "overloaded"}]}, "completion.chunk"), "overloaded"),
    (event(b"not json"), "not a piece of a chat"),
    (event([1]), "not a piece of a chat"),
    (event({"choices": "x"}), "not a piece of a chat"),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN_OFF, ids=repr)
def test_an_error_in_a_stream_is_an_error_in_every_shape(broken: Any, said: str) -> None:
    """TGI's, OpenAI's, vLLM's and OpenRouter's errors, error events, and what is no chunk at all."""
    with pytest.raises(HFClientError, match=r"The stream (broke off|holds something)") as caught:
        read_chunk(broken)
    assert said in caught.value.message
    assert getattr(caught.value, "body", None) == broken.data.decode()


def test_the_code_of_an_error_in_a_stream_is_kept() -> None:
    """A program may want to tell one such error from another."""
    with pytest.raises(HFClientError) as caught:
        read_chunk(event({"error": {"message": "overloaded", "code": "busy"}}))
    assert getattr(caught.value, "code", None) == "busy"


@pytest.mark.parametrize("payload", [{"usage": {"total_tokens": 5}}, {"choices": None, "usage": {"total_tokens": 5}}])
def test_a_bare_usage_is_a_chunk(payload: object) -> None:
    """A few servers send their last count without any choices."""
    chunk = read_chunk(event(payload))
    assert chunk is not None
    assert (chunk.choices, chunk.usage and chunk.usage.total_tokens) == ((), 5)


@pytest.mark.parametrize("kind", ["ping", "heartbeat"])
@pytest.mark.parametrize("payload", [b"whatever", {}, {"type": "ping"}, [], {"choices": 3}], ids=repr)
def test_other_events_are_passed_over(kind: str, payload: object) -> None:
    """Keep-alive events of a name of their own are no chunks and no errors, whatever is in them."""
    assert read_chunk(event(payload, kind)) is None


@pytest.mark.parametrize("kind", ["completion.chunk", "delta", "ping"])
def test_an_event_with_choices_is_a_message_under_any_name(kind: str) -> None:
    """Some servers name their events; what is in them says what they are."""
    chunk = read_chunk(event({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, kind))
    assert chunk is not None
    assert chunk.text == "Hi"


def test_the_word_error_is_no_error() -> None:
    """What the model says about errors, a null, and a bare finish reason break nothing off."""
    said = 'an "error": {"x"} and \\"error"'
    choice = {"index": 0, "delta": {"content": said, "error": None}, "finish_reason": "error", "error": None}
    chunk = read_chunk(event({"choices": [choice], "error": None}))
    assert chunk is not None
    assert (chunk.text, chunk.finish_reason) == (said, "error")


def test_an_event_without_a_name_is_a_message() -> None:
    """`event:` with nothing after it is the same as no `event:` at all."""
    chunk = read_chunk(event({"choices": []}, ""))
    assert chunk is not None
