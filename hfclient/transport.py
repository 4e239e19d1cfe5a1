"""The only module on the road that touches the network: timeouts, credentials, retries, redirects, errors."""

from __future__ import annotations

import errno
import json
import logging
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import httpx

from hfclient import clock
from hfclient.call import Timeout
from hfclient.complaints import status_error
from hfclient.connections import Carriers, Proxies
from hfclient.credentials import origin_of
from hfclient.destination import Destination
from hfclient.errors import (
    ConnectionFailedError,
    InputError,
    ResponseError,
    StatusError,
    TimedOutError,
)
from hfclient.faults import translated
from hfclient.flow import Load, Request, Response, download
from hfclient.media import Loaded, Media
from hfclient.pools import Lease, Pools
from hfclient.redact import safe_url
from hfclient.retry import persist
from hfclient.single_flight import SingleFlight
from hfclient.version import __version__

if TYPE_CHECKING:
    from hfclient.settings import TransportKind

SUCCESS = range(200, 300)
REDIRECTION = range(300, 400)
MAX_REDIRECTS = 5
MEDIA_PATIENCE = 30.0
REPLY_LIMIT = 512 * 2**20
ERROR_BODY_LIMIT = 2**20
NO_FILES_LEFT = frozenset({errno.EMFILE, errno.ENFILE})

USER_AGENT = f"hfclient/{__version__} python/{platform.python_version()} httpx/{httpx.__version__}"

logger = logging.getLogger("hfclient")


class Exchange:
    """An answer whose body has not been read; `aclose` gives its connection back, or closes it if there is more."""

    def __init__(self, response: httpx.Response, lease: Lease) -> None:
        self._response = response
        self._lease = lease
        self.status = response.status_code
        self.headers: dict[str, str] = {
            name.decode("ascii", "replace").lower(): value.decode("utf-8", "replace")
            for name, value in response.headers.raw
        }

    @cached_property
    def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives, decoded where it is encoded."""
        if "content-encoding" in self.headers:
            return self._response.aiter_bytes()
        return aiter(cast("httpx.AsyncByteStream", self._response.stream))

    async def read(self, limit: int) -> bytes:
        """The whole body; more than `limit` bytes of it are an error."""
        parts: list[bytes] = []
        size = 0
        async for part in self.body:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ResponseError(f"The answer is larger than {limit:,} bytes.", status=self.status)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def read_beginning(self, limit: int) -> bytes:
        """As much of the body as comes and fits the limit: of an error page, whatever there is will do."""
        content = bytearray()
        with suppress(httpx.HTTPError):
            async for part in self.body:
                content += part
                if len(content) >= limit:
                    break
        return bytes(content[:limit])

    async def aclose(self) -> None:
        try:
            with anyio.CancelScope(shield=True):
                with suppress(httpx.HTTPError):  # it is closed all the same
                    await self._response.aclose()
                await self._unwind()
        finally:
            self._lease.release()

    async def _unwind(self) -> None:
        """Let httpx's nested generators run into the closed connection: merely dropped, each would want a task of its
        own to finish in, and trio warns of it. Where another task waits in them, it does so itself."""
        if "body" in vars(self) and not getattr(self.body, "ag_running", False):
            with suppress(httpx.HTTPError, httpx.StreamError):
                async for _ in self.body:
                    pass


class Transport:
    """Sends requests, over connections of its own or over a client it was given."""

    def __init__(
        self, *, kind: TransportKind = "httpx", http_client: httpx.AsyncClient | None = None, max_connections: int
    ) -> None:
        self._preparing: SingleFlight[None] = SingleFlight()
        self._carriers = Carriers(kind, http_client, Proxies.from_environment())
        self._pools = Pools(self._carriers.make, max_connections=max_connections)

    async def send(self, request: Request, to: Destination) -> Response:
        """The whole answer to a request, retried as `to` allows; anything but a success is an error."""
        return await persist(
            lambda: self._send_once(request, to),
            to.retry,
            repeatable=request.repeatable,
            patience=to.patience,
            before_pause=to.before_pause,
        )

    async def open(self, request: Request, to: Destination) -> Exchange:
        """The answer to a request, its body still to come. Retried like `send`, up to here and no further."""
        return await persist(
            lambda: self._open_once(request, to, to.timeout.idle),
            to.retry,
            repeatable=request.repeatable,
            patience=to.patience,
            before_pause=to.before_pause,
        )

    async def load(self, step: Load, to: Destination) -> Loaded:
        """Media as bytes: a file read in a worker thread, an address fetched without credentials."""
        url = step.media.url
        if url is None or url[:5].lower() == "data:":
            return await anyio.to_thread.run_sync(step.media.read)
        patience = min(to.patience, MEDIA_PATIENCE)
        anonymous = Destination(to.provider, url, timeout=to.timeout, patience=patience, before_pause=to.before_pause)
        try:
            reply = await self.send(download(url), anonymous)
        except StatusError as error:
            raise InputError(f"{safe_url(url)} could not be fetched: it answered {error.status}.") from error
        if not reply.content:
            raise InputError(f"{safe_url(url)} is empty.")
        loaded = Loaded.of(reply.content, declared=reply.media_type, name=url)
        return replace(loaded, media_type=step.media.media_type) if step.media.media_type else loaded

    async def aclose(self) -> None:
        """Close this loop's connections; a client that was given stays open, for it is its owner's."""
        await self._pools.close()

    async def _send_once(self, request: Request, to: Destination) -> Response:
        exchange = await self._open_once(request, to, to.timeout.read)
        try:
            with translated(to):
                content = await exchange.read(REPLY_LIMIT)
        finally:
            await exchange.aclose()
        return Response(exchange.status, exchange.headers, content)

    async def _open_once(self, request: Request, to: Destination, silence: float) -> Exchange:
        url = to.url(request)
        for _ in range(MAX_REDIRECTS + 1):
            exchange = await self._exchange(request, to, url, silence)
            if exchange.status in SUCCESS:
                return exchange
            if exchange.status in REDIRECTION:
                await exchange.aclose()
                with translated(to):
                    url = _redirected(request, to, url, exchange)
                continue
            raise await self._refused(exchange, to)
        raise ResponseError(f"{to.who} redirected more than {MAX_REDIRECTS} times.")

    async def _refused(self, exchange: Exchange, to: Destination) -> StatusError:
        try:
            with translated(to):
                content = await exchange.read_beginning(ERROR_BODY_LIMIT)
        finally:
            await exchange.aclose()
        return status_error(
            exchange.status,
            exchange.headers,
            content,
            provider=to.provider,
            who=to.who,
            model=to.model,
            task=to.task,
            redact=to.redactor(),
        )

    async def _exchange(self, request: Request, to: Destination, url: str, silence: float) -> Exchange:
        """One request, and a line in the log of what came of it; `silence` is how long the body may pause."""
        started = clock.now()
        try:
            exchange = await self._on_the_wire(request, to, url, silence)
        except BaseException as error:
            _log(request, to, url, type(error).__name__, started)
            raise
        _log(request, to, url, exchange.status, started)
        return exchange

    async def _on_the_wire(self, request: Request, to: Destination, url: str, silence: float) -> Exchange:
        lease = await self._lease(to, url)
        try:
            with translated(to):
                response = await lease.carrier.send(await self._outgoing(request, to, url, silence))
        except BaseException:
            lease.release()
            raise
        return Exchange(response, lease)

    async def _outgoing(self, request: Request, to: Destination, url: str, silence: float) -> httpx.Request:
        """The request in httpx's terms. Credentials are attached here, and only where they belong."""
        headers = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "gzip, deflate", **request.headers}
        query = request.query
        if request.url is None and origin_of(url) == origin_of(to.base_url):
            headers |= to.headers
            if to.key and "authorization" not in headers and to.key.covers(url):
                headers |= to.key.header()
            query = {**query, **to.query}
        address = _parsed(url)
        return httpx.Request(
            request.method,
            address.copy_merge_params(query) if query else address,
            headers=headers,
            extensions={"timeout": _timeouts(to.timeout), "silence": _seconds(silence)},
            **await _body_of(request, headers),
        )

    async def _lease(self, to: Destination, url: str) -> Lease:
        if not self._carriers.ready:
            await self._preparing.share("certificates", self._prepare)
        try:
            return await self._pools.lease(self._carriers.key(origin_of(url)), to.timeout.pool)
        except TimeoutError:
            raise TimedOutError(
                f"No connection became free within {to.timeout.pool:g} s.",
                advice="Raise max_connections, or make fewer calls at once.",
            ) from None

    async def _prepare(self) -> None:
        """In a thread: reading the certificates takes tens of milliseconds, too long to hold up an event loop."""
        try:
            await anyio.to_thread.run_sync(self._carriers.prepare)
        except OSError as error:
            if error.errno in NO_FILES_LEFT:
                raise ConnectionFailedError(
                    f"No connection can be made: {error.strerror}.", advice="Raise `ulimit -n`, or close what is open."
                ) from error
            raise InputError(
                f"The certificates cannot be read: {error}.", advice="Are SSL_CERT_FILE and SSL_CERT_DIR set rightly?"
            ) from error


def _log(request: Request, to: Destination, url: str, outcome: object, started: float) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        shown = to.redactor()(safe_url(url))  # a redirect may have led to a path with a key in it
        logger.debug("%s %s → %s in %.2f s", request.method, shown, outcome, clock.now() - started)


def _redirected(request: Request, to: Destination, url: str, exchange: Exchange) -> str:
    target = exchange.headers.get("location")
    if not target:
        raise ResponseError(
            f"{to.who} answered {exchange.status} without saying where to go.",
            status=exchange.status,
            advice=f"Is {safe_url(url)} the right address? If so, try again later: the fault is the service's.",
        )
    try:
        new = str(httpx.URL(url).join(target))
        same = origin_of(new) == origin_of(url)
    except (httpx.InvalidURL, InputError):
        raise ResponseError(f"{to.who} redirected to an address that makes no sense.") from None
    if new.startswith(("http://", "https://")) and (request.repeatable or (exchange.status in {307, 308} and same)):
        return new
    raise ResponseError(
        f"{to.who} redirected a {request.method} to {safe_url(new)}, which is not followed.",
        status=exchange.status,
        advice=f"If that is the right address, pass it as base_url={safe_url(new)!r}.",
    )


async def _body_of(request: Request, headers: dict[str, str]) -> dict[str, Any]:
    """The body in httpx's terms; media is read in a worker thread."""
    if request.json is not None:
        headers.setdefault("content-type", "application/json")
        return {"content": encoded(request.json)}
    if request.files is not None:
        files = {
            name: (filename, await _bytes_of(content), kind)
            for name, (filename, content, kind) in request.files.items()
        }
        return {"files": files, "data": dict(request.data or {})}
    if request.content is not None:
        return {"content": await _bytes_of(request.content)}
    return {}


async def _bytes_of(content: bytes | Media) -> bytes:
    if isinstance(content, bytes):
        return content
    return (await anyio.to_thread.run_sync(content.read)).content


def encoded(body: Any) -> bytes:
    """JSON, exactly as the caller gave it; what JSON cannot say is the caller's error."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":"), allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The request cannot be written as JSON: {error}.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(cast("set[Any]", value))
    msg = f"{type(value).__name__} is not a JSON type"
    raise TypeError(msg)


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _timeouts(timeout: Timeout) -> dict[str, float | None]:
    return {
        "connect": _seconds(timeout.connect),
        "read": _seconds(timeout.read),
        "write": _seconds(timeout.write),
        "pool": _seconds(timeout.pool),
    }


def _seconds(value: float) -> float | None:
    return None if value == float("inf") else value
