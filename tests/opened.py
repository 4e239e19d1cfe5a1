"""Clients that are closed when their test ends; the fixture `closing` sees to it."""

from __future__ import annotations

from typing import Any

from hfclient import Client

OPEN: list[Client] = []


def opened(*given: Any, **options: Any) -> Client:
    client = Client(*given, **options)
    OPEN.append(client)
    return client
