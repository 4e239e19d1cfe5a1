"""What hfclient has for other people's tests: no waits, flows by hand, and a pytest plugin."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from hfclient import Retry, clock
from hfclient.call import Call
from hfclient.errors import RateLimitError
from hfclient.flow import Request
from hfclient.providers.table import PROVIDERS
from hfclient.route import Route
from hfclient.sandbox import Sandbox
from hfclient.testing import no_waits, play, reply
from tests.opened import opened

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.anyio

GROQ = next(provider for provider in PROVIDERS if provider.name == "groq")
SAID = {"choices": [{"message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}


@pytest.mark.usefixtures("closing")
async def test_nothing_waits_within_no_waits() -> None:
    """The seconds are told instead; afterwards, time is what it was."""
    patient = clock.sleep
    sandbox = Sandbox(latency=3600)
    sandbox.fail(503, estimated_time=20)
    client = opened(sandbox=sandbox, model="Qwen/Qwen3-32B", timeout=7200)
    with no_waits() as waits:
        await client.chat("Hi", retry=Retry(attempts=2, statuses={503}))
    assert 3600 in waits
    assert len(waits) == 2
    assert clock.sleep is patient


async def test_time_is_given_back_whatever_happens() -> None:
    """An error within the block leaves no clock behind that does not wait."""
    patient = clock.sleep
    with pytest.raises(ZeroDivisionError), no_waits():
        _ = 1 / 0
    assert clock.sleep is patient


async def test_a_wait_that_takes_no_time_can_be_cancelled() -> None:
    """It is still a place where other tasks come to their turn."""
    with no_waits(), anyio.CancelScope() as scope:
        scope.cancel()
        await clock.sleep(5)
    assert scope.cancelled_caught


def chat_route() -> tuple[Call, Route]:
    call = Call("conversational", [{"role": "user", "content": "Hi"}], model="org/model")
    return call, Route(GROQ, GROQ.tasks["conversational"], "llama", GROQ.url)


def test_a_flow_is_driven_by_hand() -> None:
    """Its steps are plain values, and each gets its answer from the test."""
    call, route = chat_route()
    steps, completion = play(route.task.run(call, route), reply(SAID))
    (step,) = steps
    assert isinstance(step, Request)
    assert (step.method, step.path) == ("POST", "/openai/v1/chat/completions")
    assert completion.text == "Hi!"


def test_a_flow_can_be_given_an_error() -> None:
    """It is raised where the flow waits, as the dispatcher would."""
    call, route = chat_route()
    with pytest.raises(RateLimitError):
        play(route.task.run(call, route), RateLimitError("Too many requests."))


def test_too_few_answers_are_noticed() -> None:
    """A flow that asks for more says for what; one that has ended takes no more."""
    call, route = chat_route()
    with pytest.raises(AssertionError, match=r"one more outcome.*/openai/v1/chat/completions"):
        play(route.task.run(call, route))
    with pytest.raises(AssertionError, match="ended before"):
        play(route.task.run(call, route), reply(SAID), reply(SAID))


def test_answers_are_made_of_json_or_of_bytes() -> None:
    """With a status and headers where they matter."""
    assert reply({"a": 1}).json() == {"a": 1}
    assert reply(b"RIFF", 201, {"content-type": "audio/wav"}).content == b"RIFF"
    assert reply(b"RIFF", 201, {"content-type": "audio/wav"}).media_type == "audio/wav"


PLUGIN = ("-p", "no:hfclient", "-p", "hfclient.pytest_plugin", "-p", "no:cacheprovider", "-W", "error")


@pytest.fixture(autouse=True)
def _our_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))


def passed(pytester: pytest.Pytester, code: str, **outcomes: int) -> None:
    """Run a suite of somebody else's with the plugin."""
    pytester.makepyfile(code)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(**(outcomes or {"passed": 1}))


def test_the_fixture_takes_every_client_of_a_program(pytester: pytest.Pytester) -> None:
    """Wherever it is made; faults and answers are the test's to choose, and nothing waits."""
    code = """
import anyio
from hfclient import Client

async def program():
    async with Client(model="Qwen/Qwen3-32B") as client:
        return await client.chat("Why is the sky blue?")

def test_program(hf_sandbox):
    hf_sandbox.fail(503, estimated_time=20)
    assert "blue" in anyio.run(program).text
    assert [seen.path for seen in hf_sandbox.requests] == ["/v1/chat/completions"] * 2

def test_each_test_has_a_sandbox_of_its_own(hf_sandbox):
    assert hf_sandbox.requests == []
"""
    passed(pytester, code, passed=2)


REFUSED = """
import anyio
import pytest
from hfclient import Client
from hfclient.errors import ConnectionFailedError

async def program(url="https://hfclient.invalid"):
    async with Client("hf_fake_0123456789", model="a/b", base_url=url, retry=False) as client:
        return await client.chat("Hi")
"""


def test_the_network_is_refused_unless_a_test_is_marked(pytester: pytest.Pytester) -> None:
    """Whoever forgot the sandbox is told so, and how to allow more; this machine can be reached in any case."""
    code = f"""{REFUSED}
def test_refused():
    with pytest.raises(ConnectionFailedError, match="hf_sandbox"):
        anyio.run(program)

def test_here_is_allowed():
    with pytest.raises(ConnectionFailedError) as caught:
        anyio.run(program, "http://127.0.0.1:9")
    assert "hf_sandbox" not in str(caught.value)

@pytest.mark.hf_network
def test_marked():
    with pytest.raises(ConnectionFailedError) as caught:
        anyio.run(program)
    assert "hf_sandbox" not in str(caught.value)
"""
    passed(pytester, code, passed=3)


def test_a_network_that_is_played_is_not_refused(pytester: pytest.Pytester) -> None:
    """A suite that has respx answer for the hosts it calls goes on as before."""
    code = """
import anyio
import respx
from hfclient import Client

SAID = {"choices": [{"message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}

async def program():
    async with Client("hf_fake_0123456789", model="a/b") as client:
        return await client.chat("Hi")

@respx.mock
def test_played():
    respx.post("https://router.huggingface.co/v1/chat/completions").respond(json=SAID)
    assert anyio.run(program).text == "Hi!"
"""
    passed(pytester, code)


def test_the_plugin_costs_nothing_where_hfclient_is_not_used(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded into every run of pytest, so it imports nothing of hfclient's until it is asked to."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others' plugins may import what they like
    code = """
import sys

def test_nothing_is_imported():
    assert [name for name in sys.modules if name.startswith(("httpx", "pydantic", "anyio"))] == []
"""
    passed(pytester, code)


def test_the_plugins_names_are_known_to_pytest(pytester: pytest.Pytester) -> None:
    """The mark is registered, and the fixture tells what it is for."""
    assert "hf_network" in pytester.runpytest_subprocess(*PLUGIN, "--markers").stdout.str()
    assert "A sandbox that every client goes into" in pytester.runpytest_subprocess(*PLUGIN, "--fixtures").stdout.str()
