"""Result files as they come in: no larger than allowed, whole, in memory or under their name on disk."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import anyio.to_thread
import httpx

from hfclient.blocking import Blocking
from hfclient.credentials import is_http, origin_of
from hfclient.destination import Destination
from hfclient.errors import ConnectionLostError, HFClientError, InputError, ResponseError, StatusError
from hfclient.exchange import Exchange
from hfclient.flow import Fetch, Fetched, Request
from hfclient.media import Loaded, describe, why
from hfclient.redact import safe_url
from hfclient.upload import BEGINNING

PIECE = 2**20

OnProgress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A result file that is to be fetched, and how."""

    url: str
    limit: int
    save_to: Path | None
    on_progress: OnProgress | None

    @property
    def request(self) -> Request:
        # Not compressed, so that the announced length is the file's own.
        return Request("GET", url=self.url, headers={"accept-encoding": "identity"})


def host_of(step: Fetch, to: Destination) -> Destination:
    """The host of a result file, to which nothing goes that is the provider's."""
    host = ""
    with suppress(httpx.InvalidURL, ValueError, TypeError, AttributeError):
        host = httpx.URL(step.url).netloc.decode("ascii") if is_http(step.url) and origin_of(step.url) else ""
    if not host:
        raise ResponseError(f"{to.who} names a result at an address that is none.")
    return Destination(
        host,
        step.url,
        timeout=to.timeout,
        model=to.model,
        task=to.task,
        retry=to.retry,
        patience=to.patience,
        before_pause=to.before_pause,
        redact=to.redactor(),
    )


def attribute(error: HFClientError, to: Destination) -> None:
    """Make what went wrong at a file's host the failure of the call to its provider that it is."""
    error.provider = to.provider
    if isinstance(error, StatusError):
        error.advice = "Links to results expire soon. Run the call again, and fetch its result at once."


async def receive(exchange: Exchange, wanted: Wanted, host: Destination) -> Fetched:
    """The file that an answer holds, to its last byte."""
    announced = _length(exchange.headers)
    if announced is not None and announced > wanted.limit:
        raise _too_large(wanted)
    total = None if "content-encoding" in exchange.headers else announced
    meter = _Meter(total, wanted.on_progress)
    beginning, size = b"", 0
    keeping = _InMemory() if wanted.save_to is None else _OnDisk(wanted.save_to)
    try:
        async for part in exchange.body:
            size += len(part)
            if size > wanted.limit:
                raise _too_large(wanted)
            if len(beginning) < BEGINNING:
                beginning += part[:BEGINNING]
            await keeping.add(part)
            meter.passed(size)
        if total not in (None, size):
            raise ConnectionLostError(f"{host.who} sent {size:,} of {total:,} bytes.", advice="Run the call again.")
        if not size:
            raise ResponseError(f"The file at {safe_url(wanted.url)} is empty.")
        content = await keeping.finish()
    finally:
        await keeping.aclose()
    loaded = Loaded.of(beginning, declared=exchange.headers.get("content-type"), name=wanted.url)
    return Fetched(content, loaded.media_type, wanted.url, wanted.save_to, size)


def _length(headers: Mapping[str, str]) -> int | None:
    stated = headers.get("content-length", "")
    return int(stated) if stated.isascii() and stated.isdigit() else None


def _too_large(wanted: Wanted) -> ResponseError:
    return ResponseError(
        f"The file at {safe_url(wanted.url)} is larger than {wanted.limit:,} bytes.",
        advice="Raise max_download_bytes=…; the provider's work is done, and may be paid for.",
    )


class _Meter:
    """Tells of each whole percent once, or of each MiB where the size is unknown."""

    def __init__(self, total: int | None, tell: OnProgress | None) -> None:
        self._total = total
        self._tell = tell
        self._reached = 0

    def passed(self, size: int) -> None:
        if self._tell is None:
            return
        reached = size * 100 // self._total if self._total else size // 2**20
        if reached > self._reached:
            self._reached = reached
            self._tell(size, self._total)


class _InMemory:
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    async def add(self, part: bytes) -> None:
        self._parts.append(part)

    async def finish(self) -> bytes | None:
        return b"".join(self._parts)

    async def aclose(self) -> None: ...


class _OnDisk:
    def __init__(self, target: Path) -> None:
        self._writing = Blocking(_written(target))
        self._begun = False
        self._parts: list[bytes] = []
        self._waiting = 0

    async def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._waiting += len(part)
        if self._waiting >= PIECE:
            await self._flush()

    async def finish(self) -> bytes | None:
        await self._flush()
        await self._writing.send(None)
        return None

    async def _flush(self) -> None:
        if not self._begun:
            self._begun = True
            await self._writing.next()
        parts, self._parts, self._waiting = self._parts, [], 0
        await self._writing.send(parts)

    async def aclose(self) -> None:
        await self._writing.aclose()


def _written(target: Path) -> Generator[None, list[bytes] | None, None]:
    """Takes a file's parts, and None for its end; only then does it stand under its name. It blocks."""
    with _writable(target):
        place = Path(os.path.realpath(target))  # a link stays a link
        unfinished = place.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with unfinished.open("xb") as file:
                while (parts := (yield)) is not None:
                    file.writelines(parts)
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)


async def check_target(path: Path) -> None:
    """Whether a result can be saved there: better known before it is paid for."""
    await anyio.to_thread.run_sync(_check_target, path)


def _check_target(path: Path) -> None:
    with _writable(path):
        place = Path(os.path.realpath(path))
        if place.is_dir():
            raise InputError(f"{describe(path)} is a directory.", advice="Pass the path of a file in it.")
        if not place.parent.is_dir():
            raise InputError(f"There is no directory {describe(place.parent)}.", advice="Make it first.")
        if place.exists() and not place.is_file():
            raise InputError(f"{describe(path)} is not a file.", advice="Pass the path of a file.")
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise PermissionError(f"nothing may be written to {describe(place.parent)}")


@contextmanager
def _writable(path: Path) -> Generator[None]:
    try:
        yield
    except HFClientError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"The file {describe(path)} cannot be written: {why(error)}.") from error
