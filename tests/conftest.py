"""What every test gets: no keys and no addresses from the machine it runs on, and both event loops where it asks."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Iterator

import anyio.lowlevel
import hypothesis  # noqa: F401  before anything is frozen: it looks for who refers to trio's dice, and warns if nobody does
import pytest

from hfclient.providers.table import PROVIDERS
from tests.carriers import CARRIERS
from tests.opened import OPEN

KEY_VARIABLES = [variable for provider in PROVIDERS for variable in provider.variables]
OUR_VARIABLES = [
    "HF_ENDPOINT",
    "HFCLIENT_ROUTER",
    "HFCLIENT_TRANSPORT",
    "HFCLIENT_SEMCONV",
    "HFCLIENT_LOG",
    "HFCLIENT_SANDBOX",
]
TOKEN_VARIABLES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: looking through it again and again is a third of the tests' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _our_log_as_it_was() -> Iterator[None]:
    """A level or a handler that one test gives the log is not the next one's."""
    logger = logging.getLogger("hfclient")
    level, handlers = logger.level, [*logger.handlers]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _nothing_from_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [*KEY_VARIABLES, *OUR_VARIABLES, *TOKEN_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path_factory.getbasetemp() / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path_factory.getbasetemp() / "no-token"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for every test marked `anyio`."""
    return str(request.param)


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest, anyio_backend_name: str) -> str:
    """Each of the carriers that the event loop can have."""
    if request.param == "aiohttp" and anyio_backend_name != "asyncio":
        pytest.skip("aiohttp needs asyncio")
    return str(request.param)


@pytest.fixture
async def closing(anyio_backend: str) -> AsyncIterator[None]:
    """Closes the clients that `tests.opened` made, in the event loop that used them."""
    yield
    while OPEN:
        await OPEN.pop().aclose()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits a call asked for; none of them takes time."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("hfclient.clock.sleep", sleep)
    return waited
