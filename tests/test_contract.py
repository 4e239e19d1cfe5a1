"""One contract for every task of every provider: what is asked, what comes of it, how it fails, how it is cancelled."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hfclient import Client
from hfclient.errors import CreditsError
from hfclient.sandbox import Sandbox
from hfclient.testing import no_waits
from tests.opened import opened
from tests.test_sandbox import ASKS, MODEL, PAIRS, check, function_of
from tests.test_sandbox import _key as key_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("closing")]

every_pair = pytest.mark.parametrize(("provider", "task"), PAIRS)


def client_in(sandbox: Sandbox, provider: str, **options: Any) -> Client:
    """One connection is all it has: what does not give it back is found out by the next call."""
    return opened(sandbox=sandbox, provider=provider, model=MODEL, keys=key_of(provider), max_connections=1, **options)


async def asked(client: Client, task: str) -> Any:
    return await function_of(client, task)(*ASKS[task].inputs)


def work_at(sandbox: Sandbox, provider: str) -> list[Any]:
    """The requests that asked the provider for work."""
    return [seen for seen in sandbox.requests if seen.place == provider and seen.method == "POST"]


@every_pair
async def test_work_is_asked_for_once_and_gives_its_kind(provider: str, task: str) -> None:
    """One request begins the work, at the provider that was named, and the result says who served it."""
    sandbox = Sandbox()
    with no_waits():
        result = await asked(client_in(sandbox, provider), task)
    check(result, ASKS[task])
    assert result.meta.provider == provider
    assert len(work_at(sandbox, provider)) == 1
    assert {seen.place for seen in sandbox.requests} <= {"hub", "files", provider}


@every_pair
async def test_a_refusal_is_typed_and_told_whole(provider: str, task: str) -> None:
    """The error has its type and says where it came from; the work is not asked for again, and nobody else is."""
    sandbox = Sandbox()
    sandbox.fail(402, at=provider, every=1)
    client = client_in(sandbox, provider)
    with no_waits(), pytest.raises(CreditsError) as caught:
        await asked(client, task)
    error = caught.value
    assert (error.provider, error.task, error.status) == (provider, task, 402)
    assert error.model == MODEL
    assert "credits" in error.message
    assert error.advice
    assert len(work_at(sandbox, provider)) == 1


@every_pair
async def test_a_call_is_cancelled_where_it_waits(provider: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, and its connection is free for the next call."""
    client = client_in(Sandbox(latency=1), provider)
    with anyio.CancelScope() as scope:

        async def sleep(_: float) -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        with monkeypatch.context() as patched:
            patched.setattr("hfclient.clock.sleep", sleep)
            await asked(client, task)
    assert scope.cancelled_caught
    with no_waits():
        check(await asked(client, task), ASKS[task])
