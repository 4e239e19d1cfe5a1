"""The only module on the road that touches the network: timeouts, credentials, retries, redirects, errors."""

from __future__ import annotations

import errno
import logging
import platform
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx

from hfclient import clock
from hfclient.call import Timeout
from hfclient.complaints import status_error
from hfclient.connections import Carrier, Carriers, Proxies
from hfclient.credentials import origin_of
from hfclient.destination import Destination
from hfclient.download import OnProgress, Wanted, attribute, check_target, host_of, receive
from hfclient.errors import (
    ConnectionFailedError,
    HFClientError,
    InputError,
    ResponseError,
    StatusError,
    TimedOutError,
)
from hfclient.exchange import Exchange
from hfclient.faults import translated
from hfclient.flow import Fetch, Fetched, Load, Request, Response, download
from hfclient.media import Loaded, Media
from hfclient.pools import Lease, Pools
from hfclient.redact import safe_url
from hfclient.retry import persist
from hfclient.scrub import clean
from hfclient.single_flight import SingleFlight
from hfclient.upload import Body, Sending, Stored, encoded, kept_or_loaded, multipart, named
from hfclient.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hfclient.flow import Files
    from hfclient.settings import Network, TransportKind
    from hfclient.upload import File

SUCCESS = range(200, 300)
REDIRECTION = range(300, 400)
MAX_REDIRECTS = 5
MEDIA_PATIENCE = 30.0
REPLY_LIMIT = 512 * 2**20
ERROR_BODY_LIMIT = 2**20
NO_FILES_LEFT = frozenset({errno.EMFILE, errno.ENFILE})

USER_AGENT = f"hfclient/{__version__} python/{platform.python_version()} httpx/{httpx.__version__}"

logger = logging.getLogger("hfclient")


class Transport:
    """Sends requests, over connections of its own or over a client it was given."""

    def __init__(
        self,
        *,
        kind: TransportKind = "httpx",
        http_client: httpx.AsyncClient | None = None,
        max_connections: int,
        network: Network = "any",
    ) -> None:
        self._preparing: SingleFlight[None] = SingleFlight()
        self._carriers = Carriers(kind, http_client, Proxies.from_environment(), network)
        self._pools = Pools(self._carriers.make, max_connections=max_connections)

    async def send(self, request: Request, to: Destination) -> Response:
        """The whole answer to a request, retried as `to` allows; anything but a success is an error."""
        body = await self._body_of(request, to)
        return await persist(
            lambda: self._send_once(request, body, to),
            to.retry,
            repeatable=request.repeatable,
            patience=to.patience,
            before_pause=to.before_pause,
        )

    async def open(self, request: Request, to: Destination) -> Exchange:
        """The answer to a request, its body still to come. Retried like `send`, up to here and no further."""
        body = await self._body_of(request, to)
        return await persist(
            lambda: self._open_once(request, body, to, to.timeout.idle),
            to.retry,
            repeatable=request.repeatable,
            patience=to.patience,
            before_pause=to.before_pause,
        )

    async def load(self, step: Load, to: Destination) -> Loaded:
        """Media as bytes: a file read in a worker thread, an address fetched without credentials."""
        url = step.media.url
        if url is None or not step.media.is_remote:
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

    async def fetch(
        self, step: Fetch, to: Destination, *, limit: int, save_to: Path | None, on_progress: OnProgress | None
    ) -> Fetched:
        """A result file, checked, in memory or at `save_to`; whatever fails on the way is tried again from its start,
        for it is paid for."""
        host = host_of(step, to)
        if save_to is not None:
            await check_target(save_to)
        wanted = Wanted(step.url, limit, save_to, on_progress)
        try:
            return await persist(
                lambda: self._fetch_once(wanted, host),
                to.retry,
                repeatable=True,
                patience=to.patience,
                before_pause=to.before_pause,
            )
        except HFClientError as error:
            attribute(error, to)
            raise

    async def aclose(self) -> None:
        """Close this loop's connections; a client that was given stays open, for it is its owner's."""
        await self._pools.close()

    async def _body_of(self, request: Request, to: Destination) -> Body | None:
        """What is sent, made once for all attempts: media is loaded, or found to lie ready on disk."""
        if request.json is not None:
            try:
                return Body((encoded(request.json),), "application/json")
            except InputError as error:
                clean(error, to.redactor())
                raise
        if request.files is not None:
            return await self._form_of(request.files, request.data or {}, to)
        if request.content is not None:
            part, found = await self._part_of(request.content, to)
            return Body((part,), found)
        return None

    async def _form_of(self, files: Files, data: Mapping[str, Any], to: Destination) -> Body:
        parts: list[File] = []
        for field, (filename, content, declared) in files.items():
            part, found = await self._part_of(content, to)
            name, kind = named(filename, declared, found)
            parts.append((field, name, part, kind))
        with translated(to):
            return multipart(data, parts)

    async def _part_of(self, content: bytes | Media, to: Destination) -> tuple[bytes | Stored, str | None]:
        if isinstance(content, bytes):
            return content, None
        if content.is_remote:
            loaded = await self.load(Load(content), to)
            return loaded.content, loaded.media_type
        with translated(to):
            found = await anyio.to_thread.run_sync(kept_or_loaded, content)
        return found if isinstance(found, Stored) else found.content, found.media_type

    async def _send_once(self, request: Request, body: Body | None, to: Destination) -> Response:
        exchange = await self._open_once(request, body, to, to.timeout.read)
        try:
            with translated(to):
                content = await exchange.read(REPLY_LIMIT)
        finally:
            await exchange.aclose()
        return Response(exchange.status, exchange.headers, content)

    async def _fetch_once(self, wanted: Wanted, host: Destination) -> Fetched:
        exchange = await self._open_once(wanted.request, None, host, host.timeout.read)
        try:
            with translated(host):
                return await receive(exchange, wanted, host)
        finally:
            await exchange.aclose()

    async def _open_once(self, request: Request, body: Body | None, to: Destination, silence: float) -> Exchange:
        url = to.url(request)
        for _ in range(MAX_REDIRECTS + 1):
            exchange = await self._exchange(request, body, to, url, silence)
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

    async def _exchange(
        self, request: Request, body: Body | None, to: Destination, url: str, silence: float
    ) -> Exchange:
        """One request, and a line in the log of what came of it; `silence` is how long the body may pause."""
        started = clock.now()
        try:
            exchange = await self._on_the_wire(request, body, to, url, silence)
        except BaseException as error:
            _log(request, to, url, type(error).__name__, started)
            raise
        _log(request, to, url, exchange.status, started)
        return exchange

    async def _on_the_wire(
        self, request: Request, body: Body | None, to: Destination, url: str, silence: float
    ) -> Exchange:
        lease = await self._lease(to, url)
        try:
            with translated(to):
                outgoing = _outgoing(request, body, to, url, silence)
                if not isinstance(outgoing.stream, Sending):
                    return Exchange(await lease.carrier.send(outgoing), lease)
                return Exchange(await _sent(lease.carrier, outgoing, outgoing.stream), lease, outgoing.stream)
        except BaseException:
            lease.release()
            raise

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


async def _sent(carrier: Carrier, outgoing: httpx.Request, sending: Sending) -> httpx.Response:
    """The answer to a request whose body comes from disk."""
    try:
        return await carrier.send(outgoing)
    except BaseException as error:
        await sending.aclose()
        if isinstance(error, httpx.HTTPError):
            sending.blame()
        raise


def _outgoing(request: Request, body: Body | None, to: Destination, url: str, silence: float) -> httpx.Request:
    """The request in httpx's terms. Credentials are attached here, and only where they belong."""
    headers = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "gzip, deflate", **request.headers}
    query = request.query
    if request.url is None and origin_of(url) == origin_of(to.base_url):
        headers |= to.headers
        if to.key and to.key.header_name not in headers and to.key.covers(url):
            headers |= to.key.header()
        query = {**query, **to.query}
    address = _parsed(url)
    content = _content(body, headers)
    outgoing = httpx.Request(
        request.method,
        address.copy_merge_params(query) if query else address,
        headers=headers,
        extensions={"timeout": _timeouts(to.timeout), "silence": _seconds(silence)},
        content=content,
    )
    if isinstance(content, Sending):
        outgoing.stream = content  # httpx had wrapped it
    return outgoing


def _content(body: Body | None, headers: dict[str, str]) -> bytes | Sending | None:
    """The body in httpx's terms; the headers that tell of it are added."""
    if body is None:
        return None
    if body.binding:
        headers["content-type"] = body.media_type or ""
    elif body.media_type:
        headers.setdefault("content-type", body.media_type)
    whole = body.whole
    if whole is not None:
        return whole
    headers["content-length"] = str(body.length)
    return Sending(body)


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
        # A file's link may hold what opens it, and must not travel in the clear if it did not before.
        exposed = request.url is not None and httpx.URL(url).scheme == "https" and new.startswith("http://")
    except (httpx.InvalidURL, InputError):
        raise ResponseError(f"{to.who} redirected to an address that makes no sense.") from None
    allowed = request.repeatable or (exchange.status in {307, 308} and same)
    if new.startswith(("http://", "https://")) and allowed and not exposed:
        return new
    raise ResponseError(
        f"{to.who} redirected a {request.method} to {safe_url(new)}, which is not followed.",
        status=exchange.status,
        advice="" if request.url else f"If that is the right address, pass it as base_url={safe_url(new)!r}.",
    )


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
