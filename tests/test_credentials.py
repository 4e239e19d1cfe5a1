"""Which key goes where, and where none does."""

from __future__ import annotations

import json
import logging
import pickle
from itertools import product
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hfclient import Client
from hfclient.credentials import Key, Keys, checked_base_url, checked_key, is_hugging_face, origin_of
from hfclient.errors import HFClientError, InputError, MissingKeyError, ResponseError
from hfclient.redact import Secret
from tests.internet import GSK, HF, HF_SAVED, MODEL, Internet, live

pytestmark = pytest.mark.anyio

TGP = "tgp_fake_together_0004"
OWN = "fake-endpoint-key-0005"
FOREIGN = "https://foreign.example/v1"
ENDPOINT = "https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1"
TRUSTED = (
    ENDPOINT,
    "https://router.huggingface.co/v1",
    "https://huggingface.co/api/x/v1",
    "https://some.sub.huggingface.co",
    "HTTPS://Router.HuggingFace.CO/v1",
)
UNTRUSTED = (
    FOREIGN,
    "http://localhost:8080/v1",
    "http://huggingface.co/v1",
    "http://router.huggingface.co/v1",
    "http://abc.endpoints.huggingface.cloud",
    "https://huggingface.co.evil.example/v1",
    "https://router.huggingface.co.evil.example",
    "https://evil-huggingface.co/v1",
    "https://xhuggingface.co",
    "https://huggingface.com",
    "https://huggingface.co.",
    "https://endpoints.huggingface.cloud.evil.example",
    "https://evilendpoints.huggingface.cloud",
    "https://huggingface.cloud",
    "https://foreign.example/huggingface.co/v1",
    "https://foreign.example?host=huggingface.co",
    "https://foreign.example#.huggingface.co",
    "https://hf.space",
)


class Case:
    """A client made in one way, with what the environment then holds."""

    def __init__(self, *arguments: Any, env: dict[str, str] | None = None, **options: Any) -> None:
        self.arguments = arguments
        self.env = env or {}
        self.options = options

    def client(self, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Client:
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        return Client(*self.arguments, **{**self.options, **more})


HF_CASES = {"argument": Case(HF), "environment": Case(env={"HF_TOKEN": HF})}
GROQ_CASES = {
    "token for groq": Case(GSK, provider="groq"),
    "keys=": Case(keys={"groq": GSK}),
    "GROQ_API_KEY": Case(env={"GROQ_API_KEY": GSK}),
}


def an_internet() -> Internet:
    internet = Internet()
    internet.serves(
        MODEL,
        **{name: live(f"{name}/id") for name in ("groq", "together", "fal-ai", "hf-inference", "openai", "cohere")},
    )
    return internet


async def calls(client: Client, **options: Any) -> dict[str, str | None]:
    """Make one call; where requests went, and with which key."""
    with an_internet() as internet:
        try:
            await client.chat("hi", **{"model": MODEL, "retry": False, **options})
        finally:
            await client.aclose()
    return {place: request.headers.get("authorization") for place, request in internet.requests}


# A Hugging Face token.


@pytest.mark.parametrize("case", HF_CASES.values(), ids=HF_CASES)
@pytest.mark.parametrize(
    ("provider", "place"), [("auto", "router"), ("groq", "router/groq"), ("together", "router/together")]
)
async def test_a_hugging_face_token_goes_through_the_router(
    case: Case, provider: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever provider serves the call, the token goes to the router and to the Hub only."""
    went = await calls(case.client(monkeypatch), provider=provider)
    assert went.pop("hub", f"Bearer {HF}") == f"Bearer {HF}"
    assert went == {place: f"Bearer {HF}"}


@pytest.mark.parametrize("case", HF_CASES.values(), ids=HF_CASES)
async def test_a_hugging_face_token_never_goes_to_a_provider_that_is_not_routed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openai takes its own key only; without one nothing is sent to it."""
    with an_internet() as internet:
        async with case.client(monkeypatch) as client:
            with pytest.raises(MissingKeyError, match="no key for openai") as caught:
                await client.chat("hi", model=MODEL, provider="openai")
    assert "OPENAI_API_KEY" in caught.value.advice
    assert "api.openai.com" not in internet.asked


@pytest.mark.parametrize(("case", "base_url"), [*product(HF_CASES.values(), TRUSTED)])
@pytest.mark.parametrize("given_to", ["client", "copy", "call"])
async def test_a_hugging_face_token_goes_to_hugging_faces_own_addresses(
    case: Case, base_url: str, given_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub, its subdomains and Inference Endpoints get it, whoever named the address."""
    assert set((await going_to(base_url, given_to, case, monkeypatch)).values()) == {f"Bearer {HF}"}


@pytest.mark.parametrize("base_url", UNTRUSTED)
@pytest.mark.parametrize("given_to", ["client", "copy", "call"])
async def test_a_token_of_the_machine_never_goes_anywhere_else(
    base_url: str, given_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token found in the environment is for no other host, however alike it looks, and not for plain http."""
    went = await going_to(base_url, given_to, HF_CASES["environment"], monkeypatch)
    assert set(went.values()) == {None}


@pytest.mark.parametrize("base_url", UNTRUSTED)
@pytest.mark.parametrize("given_to", ["copy", "call"])
async def test_a_token_given_for_no_address_never_goes_to_another(
    base_url: str, given_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that was given without the address does not follow when an address is named later."""
    assert set((await going_to(base_url, given_to, HF_CASES["argument"], monkeypatch)).values()) == {None}


async def going_to(base_url: str, given_to: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    if given_to == "client":
        return await calls(case.client(monkeypatch, base_url=base_url))
    client = case.client(monkeypatch)
    if given_to == "copy":
        return await calls(client.with_options(base_url=base_url))
    return await calls(client, base_url=base_url)


async def test_the_host_of_hf_endpoint_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub of one's own gets the machine's token, at its own origin and no other."""
    monkeypatch.setenv("HF_TOKEN", HF)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.corp.example:8080/")
    assert await calls(Client(), base_url="http://hub.corp.example:8080/serve/v1") == {
        "hub.corp.example": f"Bearer {HF}"
    }
    for other in ("https://hub.corp.example:8080", "http://hub.corp.example", "http://x.hub.corp.example:8080"):
        assert set((await calls(Client(), base_url=other)).values()) == {None}


# A token given together with an address.


@pytest.mark.parametrize("token", [HF, OWN, GSK])
@pytest.mark.parametrize("base_url", [FOREIGN, ENDPOINT, "http://localhost:8080/v1"])
async def test_a_token_given_for_an_address_goes_there(token: str, base_url: str) -> None:
    """Who passes both means both."""
    assert set((await calls(Client.endpoint(base_url, token))).values()) == {f"Bearer {token}"}


@pytest.mark.parametrize(
    "other",
    [
        "http://foreign.example/v1",
        "https://foreign.example:8443/v1",
        "https://sub.foreign.example",
        "https://else.example",
    ],
)
@pytest.mark.parametrize("given_to", ["copy", "call"])
async def test_a_token_given_for_an_address_goes_to_no_other(
    other: str, given_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another scheme, port or host is another address."""
    went = await going_to(other, given_to, Case(OWN, base_url=FOREIGN), monkeypatch)
    assert set(went.values()) == {None}


async def test_another_path_at_the_same_origin_gets_the_token() -> None:
    """A key belongs to an origin, not to a path."""
    client = Client.endpoint(FOREIGN, OWN)
    assert await calls(client, base_url="https://FOREIGN.example:443/other/v2") == {"foreign.example": f"Bearer {OWN}"}


async def test_a_token_for_an_address_is_no_providers_and_not_the_routers() -> None:
    """Without its address such a token is of no use to anybody."""
    client = Client.endpoint(FOREIGN, OWN)
    for options in ({"provider": "auto"}, {"provider": "groq"}):
        with an_internet() as internet, pytest.raises(MissingKeyError):
            await client.with_options(base_url=None).chat("hi", model=MODEL, **options)
        assert not [request for _, request in internet.requests if "authorization" in request.headers]
    await client.aclose()


async def test_the_machines_token_stays_at_home_when_an_address_has_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An address without a token of its own is called without one; it is not even read."""
    monkeypatch.setattr("hfclient.client.saved_token", lambda: pytest.fail("the login was read"))
    assert await calls(Client.endpoint(FOREIGN)) == {"foreign.example": None}
    assert caplog.records == []


async def test_a_token_that_is_held_back_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Who passed a token and then an address learns why the address got none."""
    with caplog.at_level(logging.WARNING, "hfclient"):
        await calls(Client(HF), base_url=FOREIGN)
    assert "No key goes to https://foreign.example:443" in caplog.text
    assert HF not in caplog.text


@pytest.mark.parametrize("case", [*HF_CASES.values(), *GROQ_CASES.values(), Case(OWN, base_url=FOREIGN)])
async def test_a_new_token_takes_the_place_of_the_old_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy with a token of its own and an address sends that token there, and never the old one."""
    client = case.client(monkeypatch).with_options(token="fake-new-0006", base_url="https://new.example/v1")
    assert await calls(client) == {"new.example": "Bearer fake-new-0006"}


async def test_a_copy_without_a_token_falls_back_to_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """token=None takes the client's token away."""
    monkeypatch.setenv("HF_TOKEN", HF_SAVED)
    assert await calls(Client(HF).with_options(token=None)) == {"router": f"Bearer {HF_SAVED}"}


# A provider's own key.


@pytest.mark.parametrize("case", GROQ_CASES.values(), ids=GROQ_CASES)
async def test_a_providers_key_goes_straight_to_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groq's key goes to groq; the Hub is asked without a key."""
    assert await calls(case.client(monkeypatch), provider="groq") == {"hub": None, "api.groq.com": f"Bearer {GSK}"}


@pytest.mark.parametrize("case", GROQ_CASES.values(), ids=GROQ_CASES)
@pytest.mark.parametrize("provider", ["auto", "together", "hf-inference", "openai"])
async def test_a_providers_key_goes_to_nobody_else(case: Case, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another provider nor the router nor the Hub sees groq's key; without another key the call says so."""
    client = case.client(monkeypatch)
    with an_internet() as internet, pytest.raises(MissingKeyError):
        await client.chat("hi", model=MODEL, provider=provider)
    await client.aclose()
    assert not [request for _, request in internet.requests if "authorization" in request.headers]


@pytest.mark.parametrize(("case", "base_url"), [*product(GROQ_CASES.values(), [*TRUSTED, *UNTRUSTED])])
@pytest.mark.parametrize("given_to", ["copy", "call"])
async def test_a_providers_key_goes_to_no_address_but_its_own(
    case: Case, base_url: str, given_to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hugging Face's addresses are as foreign to groq's key as any other."""
    assert set((await going_to(base_url, given_to, case, monkeypatch)).values()) == {None}


@pytest.mark.parametrize("case", GROQ_CASES.values(), ids=GROQ_CASES)
async def test_a_providers_own_address_gets_its_key(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written out as base_url, groq's address is still groq's."""
    went = await calls(case.client(monkeypatch), provider="groq", base_url="https://api.groq.com/openai/v1")
    assert went == {"api.groq.com": f"Bearer {GSK}"}


async def test_a_providers_address_without_a_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no key for an address, none is sent, least of all the machine's token."""
    monkeypatch.setenv("HF_TOKEN", HF)
    went = await calls(Client(), provider="groq", base_url="https://api.groq.com/openai/v1")
    assert went == {"api.groq.com": None}


@pytest.mark.parametrize(
    ("keys", "env", "provider", "expected"),
    [
        ({"groq": GSK}, {"HF_TOKEN": HF}, "groq", ("api.groq.com", GSK)),
        ({"groq": GSK}, {"HF_TOKEN": HF}, "together", ("router/together", HF)),
        ({"groq": GSK}, {"HF_TOKEN": HF}, "auto", ("router", HF)),
        ({"groq": GSK}, {"HF_TOKEN": HF, "GROQ_API_KEY": "gsk_fake_env_0007"}, "groq", ("api.groq.com", GSK)),
        ({}, {"HF_TOKEN": HF, "GROQ_API_KEY": GSK}, "groq", ("router/groq", HF)),
        ({}, {"GROQ_API_KEY": GSK, "TOGETHER_API_KEY": TGP}, "together", ("api.together.xyz", TGP)),
        ({}, {"HF_TOKEN": HF, "OPENAI_API_KEY": "sk-fake-0008"}, "openai", ("api.openai.com", "sk-fake-0008")),
        ({"hf-inference": HF_SAVED}, {"HF_TOKEN": HF}, "hf-inference", ("router/hf-inference", HF_SAVED)),
    ],
)
async def test_which_of_several_keys_is_taken(
    keys: dict[str, str], env: dict[str, str], provider: str, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key given by hand for this provider, else a Hugging Face token, else the provider's variable."""
    went = await calls(Case(keys=keys, env=env).client(monkeypatch), provider=provider)
    assert went.pop("hub", None) in {None, f"Bearer {HF}"}
    assert went == {expected[0]: f"Bearer {expected[1]}"}


async def test_a_token_given_for_one_provider_stays_its_own_in_a_copy() -> None:
    """Switching the provider does not switch whose token it is."""
    with an_internet() as internet, pytest.raises(MissingKeyError):
        await Client(GSK, provider="groq").with_options(provider="together").chat("hi", model=MODEL)
    assert internet.asked == []
    assert await calls(
        Client(GSK, provider="groq").with_options(provider="together").with_options(provider="groq")
    ) == {
        "hub": None,
        "api.groq.com": f"Bearer {GSK}",
    }


async def test_keys_of_a_copy_are_added() -> None:
    """A copy knows the client's keys and its own, and the client does not know the copy's."""
    client = Client(keys={"groq": GSK})
    copy = client.with_options(keys={"together": TGP})
    assert (await calls(copy, provider="groq"))["api.groq.com"] == f"Bearer {GSK}"
    assert (await calls(Client(keys={"groq": GSK}).with_options(keys={"together": TGP}), provider="together"))[
        "api.together.xyz"
    ] == f"Bearer {TGP}"
    assert client._keys.of_provider("together") is None


@pytest.mark.parametrize("how", [Case(keys={"groq": HF}), Case(env={"GROQ_API_KEY": HF})])
async def test_a_hugging_face_token_under_a_providers_name_does_not_reach_the_provider(
    how: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hf_… token goes through the router, whatever it was filed under."""
    went = await calls(how.client(monkeypatch), provider="groq")
    assert "api.groq.com" not in went
    assert went["router/groq"] == f"Bearer {HF}"


async def test_fal_has_a_scheme_of_its_own() -> None:
    """fal's own address wants `Key`, the router always `Bearer`."""
    assert Key(Secret("fal-fake"), scheme="Key").header() == {"authorization": "Key fal-fake"}


# Ways a key could get out all the same.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["https://elsewhere.example/v1", "http://router.huggingface.co/v1", "//elsewhere.example"]
)
async def test_a_redirected_call_takes_no_key_along(status: int, target: str) -> None:
    """A request that does work is not followed to another origin at all."""
    with an_internet() as internet:
        internet.at("router", httpx.Response(status, headers={"location": target}))
        async with Client(HF) as client:
            with pytest.raises(ResponseError, match="redirected"):
                await client.chat("hi", model=MODEL, retry=False)
    assert internet.asked == ["router"]


async def test_bill_to_goes_to_hugging_face_only() -> None:
    """Whom to bill is the router's business, also where the router's address is written out."""
    client = Client(HF, bill_to="my-org", keys={"groq": GSK})
    with an_internet() as internet:
        for options in (
            {},
            {"provider": "together"},
            {"base_url": TRUSTED[1]},
            {"provider": "groq"},
            {"base_url": FOREIGN},
        ):
            await client.chat("hi", model=MODEL, **options)  # type: ignore[arg-type]
        await client.aclose()
    billed = [(place, request.headers.get("x-hf-bill-to")) for place, request in internet.requests if place != "hub"]
    assert billed == [
        ("router", "my-org"),
        ("router/together", "my-org"),
        ("router", "my-org"),
        ("api.groq.com", None),
        ("foreign.example", None),
    ]
    assert "x-hf-bill-to" not in internet.sent("hub").headers


async def test_a_header_of_the_callers_takes_the_keys_place() -> None:
    """An Authorization header given by hand goes out once, and instead of the key."""
    with an_internet() as internet:
        async with Client(HF, headers={"Authorization": "Bearer fake-by-hand"}) as client:
            await client.chat("hi", model=MODEL)
    assert internet.sent("router").headers.get_list("authorization") == ["Bearer fake-by-hand"]


@pytest.mark.parametrize("case", [*HF_CASES.values(), *GROQ_CASES.values(), Case(OWN, base_url=FOREIGN)])
async def test_no_error_shows_a_key_that_the_server_sent_back(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that quotes the key in its refusal does not get it into the error or its causes."""

    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": f"bad key {request.headers.get('authorization')}"})

    with an_internet() as internet:
        for place in ("router", "api.groq.com", "foreign.example"):
            internet.at(place, echo)
        async with case.client(monkeypatch) as client:
            provider = "groq" if "groq" in str(case.options) or "GROQ_API_KEY" in case.env else "auto"
            with pytest.raises(HFClientError) as caught:
                await client.chat("hi", model=MODEL, provider=provider)
    assert internet.requests[-1][1].headers["authorization"]
    shown = f"{caught.value} {vars(caught.value)} {caught.value.__cause__!r} {pickle.dumps(caught.value)!r}"
    assert not [key for key in (HF, GSK, OWN) if key in shown]


# Keys and addresses by themselves.


@pytest.mark.parametrize("url", TRUSTED)
def test_hugging_faces_own_hosts(url: str) -> None:
    """The Hub, every subdomain and every endpoint, however the host is spelt."""
    assert is_hugging_face(url)


@pytest.mark.parametrize("url", UNTRUSTED)
def test_hosts_that_are_not_hugging_faces(url: str) -> None:
    """Look-alikes and plain http are not."""
    assert not is_hugging_face(url)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://Host.example", "https://host.example:443/path?q#f"),
        ("http://host.example/", "HTTP://HOST.EXAMPLE:80"),
        ("https://[::1]/", "https://[::1]:443"),
    ],
)
def test_an_origin_has_one_spelling(one: str, other: str) -> None:
    """Case, default ports, paths and queries make no difference."""
    assert origin_of(one) == origin_of(other)


@pytest.mark.parametrize(
    "other", ["http://host.example", "https://host.example:8443", "https://host.example.org", "https://x.host.example"]
)
def test_a_key_covers_its_origin_alone(other: str) -> None:
    """Scheme, host and port all count."""
    key = Key(Secret("fake-key-1"), frozenset({origin_of("https://host.example")}))
    assert key.covers("https://host.example/any/path")
    assert not key.covers(other)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.example/v1",
        "localhost:8080",
        "ftp://host.example",
        "file:///etc/passwd",
        "//host.example",
        "https://",
        "https:///v1",
        "http://[::1",
        "https://evil.example\\.huggingface.co",
        "https://evil.example%2f.huggingface.co",
        "https://evil.example\uff0f.huggingface.co",
        "https://evil.example\t.huggingface.co",
        "https://host.example/\x00",
        "https://host.example/\x7f",
        "https://ho st.example",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """A host that two parsers could read differently is no address either."""
    with pytest.raises(InputError, match="whole address"):
        checked_base_url(url)


@pytest.mark.parametrize("port", ["x", "99999", "-1"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """The error names the host and nothing behind it."""
    with pytest.raises(InputError, match=r"no valid port: https://host.example$"):
        checked_base_url(f"https://host.example:{port}/v1?key=fake")


@pytest.mark.parametrize("login", ["user:fake-password", ":fake-password", "fake-password"])
def test_an_address_with_a_password_is_refused_without_showing_it(login: str) -> None:
    """A password in an address would end up in logs."""
    with pytest.raises(InputError, match="user name or password") as caught:
        checked_base_url(f"https://{login}@host.example/v1")
    assert "fake-password" not in str(caught.value)


def test_white_space_around_an_address_is_dropped() -> None:
    """A pasted address is often followed by a line's end."""
    assert checked_base_url(" https://host.example/v1\n") == "https://host.example/v1"


PARTS = [*"ab.-_%\\/@:#?[] 1\t", "\uff0f", "\u3002", "huggingface.co"]
HOSTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join)


@given(st.sampled_from(["https", "http"]), HOSTS, st.sampled_from(["", "/v1", ":8443", ".huggingface.co", "?x=y"]))
@example("https", "evil.example\\", ".huggingface.co")
@example("https", "evil.example\u3002", ".huggingface.co")
def test_who_decides_and_who_connects_read_an_address_alike(scheme: str, host: str, rest: str) -> None:
    """If an address is taken for Hugging Face's, then that is where httpx goes with it."""
    try:
        url = checked_base_url(f"{scheme}://{host}{rest}")
        there = httpx.URL(url)
    except (InputError, httpx.InvalidURL):
        return
    if is_hugging_face(url):
        assert there.scheme == "https"
        assert f".{there.host}".endswith((".huggingface.co", ".endpoints.huggingface.cloud"))
    if url.isascii():
        assert origin_of(url) == origin_of(str(there))


def test_a_token_that_is_not_hugging_faces_must_say_whose_it_is() -> None:
    """Nobody guesses where a key belongs."""
    for options in ({}, {"provider": "auto"}, {"provider": ["groq", "together"]}):
        with pytest.raises(InputError, match="which provider it belongs to") as caught:
            Client(GSK, **options)  # type: ignore[arg-type]
        assert GSK not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["", " ", 3, b"hf_fake", ["hf_fake"], "hf_fake 0001", "hf_fake\n0001", "hf_fake_ключ", "hf_fake\x000001"]
)
@pytest.mark.parametrize("where", ["token", "keys"])
def test_what_is_no_key_is_refused_without_showing_it(value: Any, where: str) -> None:
    """A key with a line's end inside would split a header; the error says where it was, never what."""
    with pytest.raises(InputError, match=where) as caught:
        Client(**{where: {"groq": value} if where == "keys" else value})
    assert "0001" not in str(caught.value)
    assert "ключ" not in str(caught.value)


def test_white_space_around_a_key_is_dropped() -> None:
    """A pasted key is often followed by a line's end; it is Hugging Face's all the same."""
    keys = Keys.given(f" {HF}\n", provider=None, base_url=None, keys={"groq": f"{GSK}\n"})
    assert keys.hugging_face == Secret(HF)
    assert keys.of_provider("groq") == Secret(GSK)


def test_a_secret_is_a_key_as_it_is() -> None:
    """Keys that are wrapped already are not wrapped again."""
    secret = Secret(HF)
    assert checked_key(secret, "token") is secret


def test_keys_show_nothing() -> None:
    """Neither repr nor JSON nor pickle of what holds keys has one in it."""
    keys = Keys.given(HF, provider=None, base_url=None, keys={"groq": GSK})
    assert HF not in repr(keys)
    assert GSK not in repr(keys)
    assert HF not in repr(Key(Secret(HF)))
    for holder in (keys, Key(Secret(HF))):
        with pytest.raises(TypeError):
            pickle.dumps(holder)
    with pytest.raises(TypeError):
        json.dumps(keys)
    assert set(keys.secrets()) == {Secret(HF), Secret(GSK)}
    assert Keys().secrets() == []
