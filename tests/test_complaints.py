"""The server's own words out of any error body, and the typed error that says what to do."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient import Client, errors
from hfclient.complaints import Complaint, complaint_from, complaint_in, error_in_success, request_id_in, status_error
from hfclient.errors import StatusError
from hfclient.redact import Redactor

KEY = "plain-fake-secret-0123456789"
TAPES = Path(__file__).parents[2] / "shared" / "tapes"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from(["error", "errors", "message", "detail", "msg", "loc", "code", "type", "title", "object"])
            | st.sampled_from(["estimated_time", "warnings", "error_type", "error_message", "status", "success"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


def refused(
    status: int, body: Any = b"", headers: dict[str, str] | None = None, *, provider: str = "groq", **call: Any
) -> StatusError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = {"model": "org/name", "task": "conversational", **call}
    return status_error(status, headers or {}, content, provider=provider, redact=Redactor([KEY]), **call)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"error": "Malformed soundfile"}, Complaint("Malformed soundfile")),
        ({"error": ["Error in `inputs`: field required"]}, Complaint("Error in `inputs`: field required")),
        (
            {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_supported"}},
            Complaint("no such model", "model_not_supported", "invalid_request_error"),
        ),
        ({"error": {"message": "later", "code": 429}}, Complaint("later", "429")),
        ({"error": "too long", "error_type": "validation"}, Complaint("too long", kind="validation")),
        ({"error": "loading", "estimated_time": 20.5}, Complaint("loading", wait=20.5)),
        ({"error": {"message": "loading", "estimated_time": 3}}, Complaint("loading", wait=3.0)),
        ({"error": "loading", "estimated_time": "soon"}, Complaint("loading")),
        ({"error": "loading", "estimated_time": float("nan")}, Complaint("loading")),
        ({"error": "loading", "estimated_time": 10**400}, Complaint("loading")),
        ({"error": "loading", "estimated_time": -1}, Complaint("loading", wait=0.0)),
        ({"error": "unknown error", "warnings": ["it was this"]}, Complaint("unknown error: it was this")),
        ({"error": "Bad Request", "message": "n is too high"}, Complaint("Bad Request: n is too high")),
        ({"error": True, "message": "told"}, Complaint("told")),
        ({"error": "", "message": "told"}, Complaint("told")),
        ({"error": {"odd": 1, "code": 7}}, Complaint('{"odd": 1, "code": 7}', "7")),
        ({"errors": [{"message": "first"}, {"message": "second"}]}, Complaint("first; second")),
        ({"errors": {"message": "only"}}, Complaint("only")),
        ({"message": "No API key found in request", "request_id": "1"}, Complaint("No API key found in request")),
        ({"detail": "Unsupported data URL"}, Complaint("Unsupported data URL")),
        (
            {"detail": [{"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required"}]},
            Complaint("messages.0.role: Field required", kind="missing"),
        ),
        ({"detail": [{"loc": "body", "msg": "Field required"}]}, Complaint("Field required")),
        ({"detail": {"error": "deep"}}, Complaint("deep")),
        ({"title": "Invalid", "detail": "- x is required\n", "status": 422}, Complaint("Invalid: x is required")),
        ({"title": "Only a title", "status": 500}, Complaint("Only a title")),
        ({"object": "error", "message": "not now", "type": "", "code": 40301}, Complaint("not now", "40301")),
        ({"error_type": "overloaded", "error_message": "full"}, Complaint("full", kind="overloaded")),
        (["one", {"error": "two"}, 3, "one"], Complaint("one; two")),
        (["a", "b", "c", "d", "e", "f", "g"], Complaint("a; b; c; d; e; and 2 more")),
        ("Unauthorized", Complaint("Unauthorized")),
    ],
)
def test_every_shape_gives_its_words(payload: Any, expected: Complaint) -> None:
    """Whatever an error is wrapped in, its words, code, kind and wait are found."""
    assert complaint_in(payload) == expected


@pytest.mark.parametrize(
    "payload",
    [None, True, 3, "", "  ", [], {}, [[]], {"error": None}, {"error": {}}, {"error": {"message": ""}}, {"x": "y"}],
)
def test_nothing_said_is_no_complaint(payload: Any) -> None:
    """JSON without words of complaint gives None."""
    assert complaint_in(payload) is None


@given(json_values)
def test_any_json_can_be_read(payload: Any) -> None:
    """Neither reading raises on any JSON, and what is found has words of bounded length."""
    for found in (complaint_in(payload), error_in_success(payload)):
        assert found is None or (0 < len(found.message) <= 600)


def test_deep_json_can_be_read() -> None:
    """Nesting of any depth is given up on, not followed."""
    payload: Any = "x"
    for _ in range(5000):
        payload = [{"error": payload}]
    assert complaint_in(payload) is None
    assert complaint_in({"error": {"odd": payload}}) is None
    assert error_in_success({"error": payload}) == Complaint("no reason was given")
    assert complaint_from(b'{"error":' * 50_000, {}).message.startswith('{"error":')


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"error": "overloaded"}, "overloaded"),
        ({"error": {"message": "boom"}, "choices": []}, "boom"),
        ({"error": True}, "no reason was given"),
        ({"object": "error", "message": "no"}, "no"),
        ({"object": "error"}, "no reason was given"),
        ({"error_type": "overloaded", "error_message": "full"}, "full"),
        ({"message": "No API key found", "request_id": "1"}, "No API key found"),
        ({"message": "no", "code": 500, "data": None, "choices": []}, "no"),
        ({"message": "no", "code": 5, "status": "error"}, "no"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"errors": [{"message": "bad"}]}, "bad"),
        ([{"error": "one"}, {"error": "two"}], "one; two"),
    ],
)
def test_an_error_within_a_success_is_found(payload: Any, words: str) -> None:
    """An unmistakable error counts, whatever the status said."""
    found = error_in_success(payload)
    assert found is not None
    assert found.message == words


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [{"message": {"content": "error"}}], "error": None},
        {"message": {"role": "assistant", "content": "hi"}},
        {"message": "cancelled", "status": "CANCELLATION_REQUESTED", "success": True},
        {"message": "success", "code": 200, "data": {"id": 1}},
        {"message": "success", "code": 200},
        {"message": "done", "status": "ok"},
        {"detail": "high", "image": "abc"},
        {"text": "x", "error": 0.25},
        {"error": {"code": 0, "message": ""}, "output": "x"},
        {"generated_text": "x"},
        ["error", "message"],
        [{"error": "one"}, {"label": "cat"}],
        [],
        "error",
        None,
    ],
)
def test_a_success_is_not_taken_for_an_error(payload: Any) -> None:
    """Words such as message and detail alone make no error beside a result or a success."""
    assert error_in_success(payload) is None


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"", {}, Complaint("")),
        (b"Not Found", {"content-type": "text/plain"}, Complaint("Not Found")),
        (b'\xef\xbb\xbf {"error": "x"}', {}, Complaint("x")),
        (b'{"error": broken', {}, Complaint('{"error": broken')),
        (b'{"foo": 1}', {}, Complaint('{"foo": 1}')),
        (b"<html><title>502 Bad Gateway</title></html>", {"content-type": "text/html"}, Complaint("502 Bad Gateway")),
        (b'event: error\ndata: {"message": "told in a stream"}\n\n', {}, Complaint("told in a stream")),
        (b"data: [DONE]\n\n", {}, Complaint("data: [DONE]")),
        (
            b"",
            {"x-error-message": "Invalid credentials", "x-error-code": "Bad"},
            Complaint("Invalid credentials", "Bad"),
        ),
        (b"<html>", {"x-error-message": "Gone"}, Complaint("Gone")),
        (b'{"error": "x"}', {"x-error-message": "y", "x-error-code": "GatedRepo"}, Complaint("x", "GatedRepo")),
        (b"\0\1" * 400, {"content-type": "image/png"}, Complaint("<image/png, 800 bytes>")),
    ],
)
def test_every_body_gives_its_words(content: bytes, headers: dict[str, str], expected: Complaint) -> None:
    """JSON, pages, text, streams and headers are read, whatever the media type claims."""
    assert complaint_from(content, headers) == expected


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(100, 999))
def test_any_answer_makes_an_error(content: bytes, status: int) -> None:
    """Whatever a service answers, with whatever status, the error has a message and can be shown."""
    error = refused(status, content)
    assert str(error).startswith(f"groq answered {status}: ")


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (400, {"error": {"message": "bad"}}, errors.BadRequestError, "groq may not take every parameter"),
        (400, {"error": "maximum context length is 8192"}, errors.BadRequestError, "Shorten the input"),
        (
            400,
            {
                "error": {
                    "message": "'x' is not supported by any provider you have enabled.",
                    "code": "model_not_supported",
                }
            },
            errors.NotSupportedError,
            "settings/inference-providers",
        ),
        (400, {"error": "Model not supported by provider groq"}, errors.NotSupportedError, "huggingface.co/org/name"),
        (400, {"error": "logprobs is not supported with this model"}, errors.BadRequestError, "Correct"),
        (401, b"Invalid username or password.", errors.AuthenticationError, "HF_TOKEN"),
        (402, {"error": "You have depleted your monthly included credits."}, errors.CreditsError, "bill_to"),
        (
            403,
            {"error": "does not have sufficient permissions to call"},
            errors.PermissionDeniedError,
            '"Make calls to',
        ),
        (403, {"error": "Access to this gated model"}, errors.PermissionDeniedError, "Ask for access"),
        (403, b"", errors.PermissionDeniedError, "role in the organisation"),
        (404, b"Not Found", errors.NotFoundError, "Check the model's name"),
        (410, {"error": "no longer supported"}, errors.NotFoundError, "router.huggingface.co"),
        (413, b"", errors.BadRequestError, "smaller file"),
        (415, b"", errors.BadRequestError, "common format"),
        (422, {"detail": "no"}, errors.BadRequestError, "Correct the request"),
        (418, b"", errors.BadRequestError, "Correct the request"),
        (408, b"", errors.StatusError, "Try again"),
        (424, b"", errors.ServerError, "Try again"),
        (429, b"", errors.RateLimitError, "Wait a while"),
        (500, b"", errors.ServerError, "retry=Retry(statuses={500, 503}), or name another provider"),
        (400, {"error": {"message": "no", "code": "model_not_found"}}, errors.NotSupportedError, "the model's name"),
        (404, {"error": {"message": "no", "code": "model_not_found"}}, errors.NotFoundError, "the model's name"),
        (503, {"error": "overloaded"}, errors.ModelLoadingError, "busy"),
        (503, {"error": "Model x is currently loading"}, errors.ModelLoadingError, "being loaded"),
        (504, b"", errors.ServerError, "Streaming avoids such waits: client.chat.stream("),
        (599, b"", errors.ServerError, "Try again"),
    ],
)
def test_each_status_has_its_error_and_its_advice(status: int, body: Any, kind: type[StatusError], told: str) -> None:
    """The class says who can act, and the advice what they can do."""
    error = refused(status, body)
    assert type(error) is kind
    assert told in error.advice
    assert error.status == status


def test_the_codes_of_the_hub_are_understood() -> None:
    """A gated or a missing repository is told apart from a wrong key."""
    gated = refused(401, b"", {"x-error-code": "GatedRepo", "x-error-message": "Access is restricted"})
    missing = refused(401, b"", {"x-error-code": "RepoNotFound", "x-error-message": "Repository not found"})
    assert "Ask for access at https://huggingface.co/org/name" in gated.advice
    assert "private" in missing.advice


@pytest.mark.parametrize(
    ("task", "words", "function"),
    [
        ("text-generation", "Model a/b is not supported for task x. Supported task: conversational.", "client.chat("),
        ("text-generation", "a/b is a chat model", "client.chat("),
        ("conversational", "This is not a chat model", "huggingface.co/models?other=conversational"),
        ("conversational", "Template error: template not found", "huggingface.co/models?other=conversational"),
        ("conversational", "Supported tasks: 'feature-extraction'", "This model does not chat; choose one that does"),
        ("text-to-image", "Supported tasks: 'feature-extraction'", "This model is for feature-extraction"),
    ],
)
def test_a_mismatched_task_says_what_would_fit(task: str, words: str, function: str) -> None:
    """A model asked for a task it does not serve says what to call or to choose instead: never what no client has."""
    error = refused(422, {"error": words}, task=task)
    assert type(error) is errors.NotSupportedError
    assert function in error.advice
    assert all(hasattr(Client, name) for name in re.findall(r"client\.(\w+)\(", error.advice))


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, {"error": {"message": "no", "code": "model_not_found"}}, "Check the model's name."),
        (401, b"", 'Client.endpoint(url, "key")'),
        (404, b"", "Check base_url, and the model's name if the server has several."),
        (404, {"error": {"message": "no", "code": "model_not_found"}}, "Check base_url, and the model's name"),
        (410, b"", "check base_url"),
        (422, {"error": "This is not a chat model"}, "have the server load one that does"),
        (429, b"", "retry=Retry(attempts=4, statuses={429, 503})"),
        (500, b"", "retry=Retry(statuses={500, 503})"),
        (503, b"", "try again"),
    ],
)
def test_a_server_of_ones_own_has_other_advice(status: int, body: Any, told: str) -> None:
    """No other provider and no page of the Hub helps where the caller's own address answered."""
    advice = refused(status, body, provider="endpoint", who="The server").advice
    assert told in advice
    assert "provider" not in advice
    assert "huggingface.co" not in advice


def test_the_wait_is_kept_and_told() -> None:
    """Retry-After wins over estimated_time, and either is in the error and in its advice."""
    loading = {"error": "Model x is currently loading", "estimated_time": 19.2}
    assert refused(503, loading).retry_after == 19.2
    assert "about 20 s" in refused(503, loading).advice
    assert refused(503, loading, {"retry-after": "7"}).retry_after == 7.0
    assert "Wait 12 s" in refused(429, b"", {"retry-after": "12"}).advice


def test_the_router_speaks_for_whom_it_asked() -> None:
    """Under auto the error names the provider the router reports, or else the router."""
    router = {"provider": "auto", "who": "The router"}
    assert refused(500, **router).message == "The router answered 500: Internal Server Error"
    served = refused(500, b"", {"x-inference-provider": "together"}, **router)
    assert served.message.startswith("together answered")
    assert served.provider == "together"


def test_other_tasks_are_not_told_to_stream() -> None:
    """A gateway timeout of an image or a video is no matter of streaming."""
    assert "Stream" not in refused(504, task="text-to-video").advice


def test_a_redirect_says_where_to() -> None:
    """An unfollowed redirect shows its target without the query's values."""
    error = refused(307, b"", {"location": "https://host/x?sig=secretvalue"})
    assert type(error) is StatusError
    assert "https://host/x?sig=…" in error.advice


@pytest.mark.parametrize("model", [None, "name-alone", "https://host/model"])
def test_only_a_hub_id_makes_an_address(model: str | None) -> None:
    """A model that is no id of the Hub gets no made-up link."""
    assert "the model's page on the Hub" in refused(404, model=model).advice


def test_a_policy_is_no_part_of_the_model_page() -> None:
    """org/name:cheapest is found under org/name."""
    assert "https://huggingface.co/org/name." in refused(404, model="org/name:cheapest").advice


@pytest.mark.parametrize("name", ["x-request-id", "x-amzn-trace-id", "x-amz-cf-id", "x-amz-request-id"])
def test_the_request_id_is_found(name: str) -> None:
    """Each of its names is looked for, the most telling first, and it is shown."""
    assert request_id_in({name: "id-1", "x-amz-request-id": "id-1"}) == "id-1"
    assert "request id-1" in str(refused(500, b"", {name: "id-1"}))
    assert request_id_in({}) is None


@pytest.mark.parametrize(
    "where", ["message", "code", "plain", "html", "header", "cut", "request id", "model", "location"]
)
def test_no_key_gets_into_an_error(where: str) -> None:
    """A key the service echoes, wherever, is in no part of the error, nor in its pickle."""
    body: Any = {"error": {"message": f"bad {KEY}", "code": KEY}} if where in {"message", "code"} else b""
    if where == "plain":
        body = f"bad key {KEY}".encode()
    elif where == "html":
        body = f"<html><body>bad <b>{KEY[:9]}</b>{KEY[9:]} and {KEY}</body></html>".encode()
    elif where == "cut":
        body = {"error": "x" * 580 + f" {KEY}" + " y" * 900 + KEY * 9}
    headers = {"x-error-message": KEY, "x-error-code": KEY} if where == "header" else {}
    headers |= {"x-request-id": KEY} if where == "request id" else {}
    headers |= {"location": f"https://host/{KEY}"} if where == "location" else {}
    error = refused(307 if where == "location" else 400, body, headers, model=KEY if where == "model" else "org/name")
    shown = f"{error} {error!r} {vars(error)} {pickle.dumps(error)!r}"
    assert KEY not in shown
    assert KEY[:12] not in shown


def test_a_pickled_error_is_the_same_error() -> None:
    """Pickling keeps the class, the text and every attribute."""
    error = refused(429, {"error": {"message": "slow down", "code": "rate"}}, {"retry-after": "3", "x-request-id": "r"})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.RateLimitError
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert (again.code, again.retry_after, again.request_id) == ("rate", 3.0, "r")


def recorded_errors() -> list[tuple[int, dict[str, str], str]]:
    answers = [answer["response"] for tape in sorted(TAPES.glob("*.json")) for answer in json.loads(tape.read_text())]
    return [(each["status"], each["headers"], each["body_text"]) for each in answers if each["status"] >= 400]


@pytest.mark.skipif(not TAPES.is_dir(), reason="the recorded exchanges are not here")
def test_recorded_errors_keep_their_words() -> None:
    """Every recorded error of a real provider becomes a typed error with plain words, not a wrapping."""
    seen = recorded_errors()
    assert seen
    for status, headers, body in seen:
        error = refused(status, body.encode(), headers)
        words = error.message.partition(f"answered {status}: ")[2]
        assert words
        assert not words.startswith(("{", "["))
        assert type(error) is not StatusError
