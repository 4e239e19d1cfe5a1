"""The pytest plugin: `hf_sandbox` for every client in a test, and no other network unless a test is marked for it.

Loaded into every run of pytest where hfclient is installed, so it imports hfclient only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hfclient.sandbox import Sandbox

VARIABLE = "HFCLIENT_NETWORK"
MARK = "hf_network"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: let hfclient use the real network in this test")


@pytest.fixture(autouse=True)
def _hf_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hfclient's clients reach this machine alone."""
    if request.node.get_closest_marker(MARK) is None:
        monkeypatch.setenv(VARIABLE, "loopback")


@pytest.fixture
def hf_sandbox() -> Iterator[Sandbox]:
    """A sandbox that every client goes into, wherever in the program it is made; nothing waits within it."""
    from hfclient.sandbox import Sandbox, everywhere  # noqa: PLC0415  not for tests that have no use for it
    from hfclient.testing import no_waits  # noqa: PLC0415  likewise

    with everywhere(Sandbox()) as sandbox, no_waits():
        yield sandbox
