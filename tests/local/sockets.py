"""No test of local models reaches beyond this machine, and those of the cache open no connection at all."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


class ConnectedError(AssertionError):
    """Something connected to where it must not."""


def forbid_connections(monkeypatch: pytest.MonkeyPatch, *, loopback: bool = False) -> list[object]:
    """Connecting raises, on loopback too if that is not allowed; the addresses that were tried are noted."""
    tried: list[object] = []
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address: Any) -> None:
        if not (loopback and isinstance(address, tuple) and address[0] == "127.0.0.1"):
            tried.append(address)
            raise ConnectedError(f"connected to {address}")

    def checked_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def checked_getaddrinfo(*where: Any, **how: Any) -> Any:
        check(where[:2])
        return getaddrinfo(*where, **how)

    monkeypatch.setattr(socket.socket, "connect", checked_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
    return tried
