"""Keys stay out of everything a person, a log or a trace may see."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient.redact import MASK, Redactor, Secret, excerpt, forget_requests, safe_headers, safe_url, shortened

KEY = "hf_fake_0123456789abcdef"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>40}".format, lambda secret: f"{[secret]}"])
def test_a_secret_does_not_show(show: Callable[[Secret], str]) -> None:
    """No way of turning a Secret into text has the key in it."""
    assert KEY not in show(Secret(KEY))
    assert MASK in show(Secret(KEY))


def test_a_secret_does_not_leave_the_process() -> None:
    """Pickle and JSON refuse a Secret; copies are the same one."""
    secret = Secret(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps({"key": secret})
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_secret_is_a_frozen_value() -> None:
    """Equal keys are equal and hash alike, nothing can be set, and only reveal() gives the key."""
    assert Secret(KEY) == Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert Secret(KEY).reveal() == KEY
    assert (bool(Secret(KEY)), bool(Secret(""))) == (True, False)
    with pytest.raises(AttributeError):
        Secret(KEY)._value = "other"
    with pytest.raises(AttributeError):
        del Secret(KEY)._value


EMBEDDINGS: dict[str, Callable[[str, str, str], str]] = {
    "as it is": lambda key, before, after: f"{before}{key}{after}",
    "in JSON": lambda key, before, after: json.dumps({before: key, "x": after}),
    "in JSON in JSON": lambda key, before, after: json.dumps({"body": json.dumps({before: key}), "x": after}),
    "in plain JSON": lambda key, before, after: json.dumps({before: key, "x": after}, ensure_ascii=False),
    "in a repr": lambda key, before, after: repr({before: key, after: 1}),
    "in a path": lambda key, before, after: f"/a/{quote(key, safe='')}/b",
    "in a query": lambda key, before, after: "https://host/?" + urlencode({"x": before, "y": key}),
    "in a plus-encoded query": lambda key, before, after: f"?{quote_plus(key)}&{after}",
    "as a header": lambda key, before, after: f"Authorization: Bearer {key}",
}


@pytest.mark.parametrize("embed", EMBEDDINGS.values(), ids=EMBEDDINGS)
@given(key=st.text(min_size=6, max_size=40), before=st.text(max_size=10), after=st.text(max_size=10))
def test_a_known_secret_never_survives(
    embed: Callable[[str, str, str], str], key: str, before: str, after: str
) -> None:
    """However a known secret is written into a text, neither it nor that spelling of it comes out."""
    key = f"s3{key}"
    shown = Redactor([key])(embed(key, before, after))
    for spelling in (key, quote(key, safe=""), json.dumps(key)[1:-1], repr(key)[1:-1]):
        assert spelling not in shown


@given(key=st.text("abcdefXYZ0123456789_-/+=", min_size=12, max_size=40), user=st.binary(max_size=9))
def test_a_known_secret_never_survives_in_base64(key: str, user: bytes) -> None:
    """A secret within base64, as in Basic authentication, cannot be decoded from what is shown."""
    for encode, decode in ((base64.b64encode, base64.b64decode), (base64.urlsafe_b64encode, base64.urlsafe_b64decode)):
        shown = Redactor([key])(encode(user + key.encode() + b":tail").decode())
        assert MASK in shown
        for fragment in shown.split(MASK):
            assert key[2:-2].encode() not in decode(fragment[: len(fragment) // 4 * 4])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad hf_abcdefGHIJKL1234 given", f"bad hf_{MASK} given"),
        ("Authorization: Bearer abcDEF123\nAccept: */*", f"Authorization: {MASK}\nAccept: */*"),
        ("(b'authorization', b'Bearer abcDEF99')", f"(b'authorization', b'Bearer {MASK}')"),
        ("sent as Key 0123-abc:def", f"sent as Key {MASK}"),
        ("sent as Basic dXNlcjpwYXNz", f"sent as Basic {MASK}"),
        ("got sk-proj-abcdefghijkl.", f"got sk-{MASK}."),
        (r"a\ngsk_abcdefghijkl", rf"a\ngsk_{MASK}"),
        ("r8_abcdefghijkl", f"r8_{MASK}"),
        ("https://h/p?a=1&sig=ab%2F&b=2", f"https://h/p?a=1&sig={MASK}&b=2"),
        ("?X-Amz-Signature=dead&X-Amz-Credential=AK%2F", f"?X-Amz-Signature={MASK}&X-Amz-Credential={MASK}"),
        ("?access_token=abc&apikey=def", f"?access_token={MASK}&apikey={MASK}"),
        (r'{"api_key": "a b\"c", "n": 1}', f'{{"api_key": "{MASK}", "n": 1}}'),
        (r"{\"api_key\": \"abc\"}", rf"{{\"api_key\": \"{MASK}\"}}"),
        ("{'x-api-key': 'abc'}", f"{{'x-api-key': '{MASK}'}}"),
        ("x-api-key: abc", f"x-api-key: {MASK}"),
        ("token eyJhbGciOiJI.eyJzdWIiOiIx.c2ln rest", f"token {MASK} rest"),
        ("Cookie: a=b; c=d", f"Cookie: {MASK}"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str, shown: str) -> None:
    """Keys nobody told of are known by their shape or by the name before them."""
    assert Redactor()(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a Bearer token is required",
        "Basic authentication needed.",
        "max_tokens=20, total tokens: 5",
        "the task-something-long-and-disk-abcdefghijk",
        "Invalid token: unexpected end of input",
        "Key not found",
        "x-amz-request-id: 1",
        "prompt_tokens: 47",
        "",
    ],
)
def test_prose_is_left_alone(text: str) -> None:
    """Words about keys and tokens are not taken for keys."""
    assert Redactor()(text) == text


def test_short_secrets_are_not_masked_by_value() -> None:
    """A secret of fewer than six characters would mask common words, so it is not looked for."""
    assert Redactor(["the"])("the cat") == "the cat"


def test_adding_leaves_the_first_as_it_was() -> None:
    """A Redactor is frozen: adding gives another that knows both."""
    first = Redactor(["first-secret"])
    both = first.adding("second-secret", "x")
    text = "first-secret second-secret"
    assert first(text) == f"{MASK} second-secret"
    assert both(text) == f"{MASK} {MASK}"


def test_a_secret_within_another_hides_neither() -> None:
    """The longer of two overlapping secrets is masked whole."""
    assert Redactor(["abcdefgh", "abcdefgh-more-of-it"])("x abcdefgh-more-of-it") == f"x {MASK}"


def test_a_redactor_does_not_show_or_leave() -> None:
    """Neither repr nor pickle gives away what a Redactor knows."""
    assert KEY not in repr(Redactor([KEY]))
    with pytest.raises(TypeError):
        pickle.dumps(Redactor([KEY]))


@pytest.mark.parametrize(
    "piece", ["clean words of a long page, ", "QUJD", "eyJ", "key:a", 'key="\\', "bearer a", "sk-"]
)
def test_long_text_is_no_trouble(piece: str) -> None:
    """A megabyte, even of things that almost look like keys, is read once over, and keys in it are still found."""
    text = piece * (1_000_000 // len(piece))
    shown = Redactor([KEY])(f"{text} {KEY}")
    assert KEY not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host.example:8443/a/b?sig=x&n=1#f", f"https://host.example:8443/a/b?sig={MASK}&n={MASK}"),
        ("https://host/?justakey", f"https://host/?{MASK}"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        (f"https://host/{KEY}/x", f"https://host/hf_{MASK}/x"),
        ("/v1/x?a=b", f"/v1/x?a={MASK}"),
        ("data:image/png;base64,AAAA", f"data:{MASK}"),
        ("http://host:notaport/", MASK),
        ("", ""),
    ],
)
def test_a_url_shows_where_but_not_what(url: str, shown: str) -> None:
    """Host, port, path and the names in a query are kept; users, values and fragments are not."""
    assert safe_url(url) == shown


@given(st.text())
def test_any_text_can_be_shown_as_a_url(url: str) -> None:
    """safe_url never raises, and keeps no value of a query."""
    safe_url(url)
    assert "s3cr3t-value" not in safe_url(f"https://host/?{quote(url)}=s3cr3t-value")


def test_headers_show_without_their_secrets() -> None:
    """Credentials and cookies are masked, signed addresses too, and counts of tokens are not."""
    shown = safe_headers(
        {
            "Authorization": "Bearer x",
            "proxy-authorization": "Basic x",
            "Cookie": "a=b",
            "set-cookie": "a=b",
            "X-Api-Key": "x",
            "x-amz-security-token": "x",
            "location": "https://h/p?sig=x",
            "x-odd": f"see {KEY}",
            "x-time-per-token": "3",
            "x-ratelimit-remaining-tokens": "8",
        }
    )
    assert list(shown.values()) == [*[MASK] * 6, f"https://h/p?sig={MASK}", f"see hf_{MASK}", "3", "8"]


@given(st.text(st.characters(categories=["L", "N"])) | st.from_regex(r"\A(hf|sk|eyJ|key|bearer|token)\w{0,40}\Z"))
def test_plain_words_in_headers_need_no_search(value: str) -> None:
    """A header's value of letters and digits alone is shown unsearched, since the search would find nothing."""
    if value.isalnum():
        assert Redactor()(value) == value == safe_headers({"x-odd": value})["x-odd"]


PAGE = b"""<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>h1{color:red}</style></head>
<body><!-- <p>hidden</p> --><center><h1>502 Bad Gateway</h1></center><script>x="<p>";</script>nginx &amp; co</body>"""


@pytest.mark.parametrize(
    ("content", "media_type", "shown"),
    [
        (b"", "", ""),
        (b'{"error": "x"}\n', "application/json", '{"error": "x"}'),
        (PAGE, "text/html; charset=utf-8", "502 Bad Gateway nginx & co"),
        (PAGE, "", "502 Bad Gateway nginx & co"),
        (b"<html><title>Sorry</title><body>come back", "", "Sorry: come back"),
        (b"<html><title>Sorry</title></html>", "text/html", "Sorry"),
        (b"<html><body>unclosed <script>", "text/html", "unclosed"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300, "image/png", "<image/png, 76,808 bytes>"),
        (b"\0" * 600, "", "<binary, 600 bytes>"),
        (b"\xff\xfe\0a", "application/octet-stream", r"\xff\xfe a"),
        (b"red \x1b[31malert", "text/plain", "red  [31malert"),
        ("été".encode("latin-1") + b" text" * 20, "text/plain", "\ufffdt\ufffd" + " text" * 20),
    ],
)
def test_a_body_is_shown_for_people(content: bytes, media_type: str, shown: str) -> None:
    """Text as it is, a page's words, of binary data the size, and nothing that steers a terminal."""
    assert excerpt(content, media_type) == shown


def test_a_cut_leaves_no_half_of_a_key() -> None:
    """A shortened text ends between words, unless one word is all there is."""
    assert shortened(f"see {KEY}", 12) == f"see{MASK}"
    assert shortened("word " * 4, 10) == f"word word{MASK}"
    assert shortened("x" * 2000, 1000) == "x" * 999 + MASK
    assert shortened("all of it", 9) == "all of it"


@given(st.binary(max_size=2000), st.sampled_from(["", "text/html", "image/png"]), st.integers(1, 100))
def test_any_body_can_be_shown(content: bytes, media_type: str, limit: int) -> None:
    """excerpt never raises and keeps to its limit, a binary body's summary aside."""
    shown = excerpt(content, media_type, limit)
    assert len(shown) <= max(limit, len("<image/png, 2,000 bytes>"))


class NetworkError(Exception):
    """Holds its request as httpx's errors do."""

    def __init__(self, request: Any) -> None:
        super().__init__("it broke")
        self._request = request
        self.response = request


def test_errors_forget_their_requests() -> None:
    """Causes, contexts and groups are followed, cycles too, and no request or response is left on any."""
    inner, cause, context = NetworkError(KEY), NetworkError(KEY), NetworkError(KEY)
    outer = ExceptionGroup("several", [inner])
    outer.__cause__, inner.__context__, context.__cause__ = cause, context, outer
    forget_requests(outer)
    for error in (inner, cause, context):
        assert vars(error) == {"_request": None, "response": None}


def test_errors_without_a_request_are_left_alone() -> None:
    """An error that holds none gains no attribute."""
    error = ValueError("plain")
    forget_requests(error)
    assert vars(error) == {}
