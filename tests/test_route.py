"""Addresses: a path under a `base_url`, in whichever form it was given."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfclient.provider import Provider, Task
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route, joined

CHAT = "/v1/chat/completions"
HOST = "https://host.example"
SEGMENT = st.text("abcdefgh-_.~123%", min_size=1, max_size=6).filter(lambda text: text.strip(".") and text != "v1")
PREFIX = st.lists(SEGMENT, max_size=3).map(lambda segments: "".join(f"/{segment}" for segment in segments))
CHAT_PATHS = st.sampled_from(
    [CHAT, "/openai/v1/chat/completions", "/api/paas/v4/chat/completions", "/v3/openai/chat/x"]
)


@pytest.mark.parametrize(
    "base_url",
    [
        HOST,
        f"{HOST}/",
        f"{HOST}/v1",
        f"{HOST}/v1/",
        f"{HOST}//v1//",
        f"{HOST}/v1/chat",
        f"{HOST}/v1/chat/completions",
        f"{HOST}/v1/chat/completions/",
    ],
)
def test_every_form_of_an_address_leads_to_the_same_place(base_url: str) -> None:
    """A bare host, its /v1, the whole path and a slash at the end all mean one address."""
    assert joined(base_url, CHAT) == f"{HOST}{CHAT}"


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        (f"{HOST}/api", f"{HOST}/api/v1/chat/completions"),
        (f"{HOST}/api/v3", f"{HOST}/api/v3/chat/completions"),
        (f"{HOST}/v1beta/openai", f"{HOST}/v1beta/openai/chat/completions"),
        (f"{HOST}/chat/completions", f"{HOST}/chat/completions"),
        (f"{HOST}/openai/deployments/gpt/chat/completions", f"{HOST}/openai/deployments/gpt/chat/completions"),
        (f"{HOST}/models/org/m", f"{HOST}/models/org/m/v1/chat/completions"),
        (f"{HOST}/version1", f"{HOST}/version1/v1/chat/completions"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/chat/completions"),
        ("HTTPS://Host.example:8443", "https://Host.example:8443/v1/chat/completions"),
        (f"{HOST}/a%2Fb/v1", f"{HOST}/a%2Fb/v1/chat/completions"),
        (f"{HOST}/v1#part", f"{HOST}/v1/chat/completions"),
    ],
)
def test_an_address_keeps_its_own_beginning_and_version(base_url: str, expected: str) -> None:
    """What stands in the address stays, and a version in it is not said twice."""
    assert joined(base_url, CHAT) == expected


@given(PREFIX, CHAT_PATHS, st.integers(0, 5), st.booleans())
def test_any_piece_of_the_path_may_already_be_there(prefix: str, path: str, pieces: int, slash: bool) -> None:
    """However much of the path an address already holds, the result is the same."""
    segments = path.strip("/").split("/")
    beginning = "/".join(segments[:pieces])
    base_url = f"{HOST}{prefix}/{beginning}{'/' if slash else ''}"
    assert joined(base_url, path) == f"{HOST}{prefix}{path}"


@given(PREFIX, CHAT_PATHS)
def test_joining_twice_changes_nothing(prefix: str, path: str) -> None:
    """An address that was joined can be given as `base_url` again."""
    once = joined(HOST + prefix, path)
    assert joined(once, path) == once


@given(st.text(max_size=30), PREFIX)
def test_a_query_string_stays_as_it_was(text: str, prefix: str) -> None:
    """The query is the caller's: it stays at the end, to the letter."""
    query = urlsplit(f"{HOST}?{text}").query
    result = urlsplit(joined(f"{HOST}{prefix}?{query}", CHAT))
    assert result.query == query
    assert result.path == prefix + CHAT
    assert result.netloc == "host.example"


def test_a_path_of_one_segment_is_joined_too() -> None:
    """There is nothing special about short paths, a version alone among them."""
    assert joined(HOST, "/v1") == f"{HOST}/v1"
    assert joined(f"{HOST}/x", "/generate") == f"{HOST}/x/generate"
    assert joined(f"{HOST}/x", "/v1") == f"{HOST}/x/v1"
    assert joined(f"{HOST}/v2", "/") == f"{HOST}/v2"
    assert joined(f"{HOST}/v2", "/serve/chat") == f"{HOST}/v2/serve/chat"
    assert joined(f"{HOST}/v2/chat", "/serve/v1/chat") == f"{HOST}/v2/chat"
    assert joined(f"{HOST}/v2", "/serve/v1/chat") == f"{HOST}/v2/chat"


def test_only_an_address_of_the_callers_is_looked_into() -> None:
    """A provider's own address is put before the path as it stands."""
    provider = Provider("p", "https://p.example/v1")
    task = Task(lambda call, route: iter(()))  # type: ignore[arg-type,return-value]
    assert Route(provider, task, "m", provider.url).url_of(CHAT) == "https://p.example/v1/v1/chat/completions"
    assert Route(provider, task, "m", provider.url, custom=True).url_of(CHAT) == "https://p.example/v1/chat/completions"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_no_providers_own_address_ends_in_a_slash(provider: Provider) -> None:
    """Addresses and paths are put together by writing one after the other."""
    assert provider.url.startswith("https://")
    assert not provider.url.endswith("/")
