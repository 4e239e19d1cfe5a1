"""What carries a request: transports of our own, aiohttp's, or a client that was given."""

from __future__ import annotations

import logging
import math
import re
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

import anyio
import httpx
from sniffio import current_async_library

from hfclient.errors import ConnectionFailedError, InputError, MissingExtraError
from hfclient.redact import safe_url
from hfclient.retry import prepare_retries
from hfclient.upload import Sending

if TYPE_CHECKING:
    import ssl

    from hfclient.settings import Network, TransportKind

KEEP_ALIVE_SECONDS = 30.0


class Carrier(Protocol):
    """Sends requests and gives responses whose bodies are still to come; `shared` ones send many at a time."""

    @property
    def shared(self) -> bool: ...

    async def send(self, request: httpx.Request) -> httpx.Response: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies that the environment names, by scheme, and the hosts it exempts."""

    by_scheme: Mapping[str, str]

    @classmethod
    def from_environment(cls) -> Proxies:
        return cls(urllib.request.getproxies())

    def proxy_for(self, url: str) -> str | None:
        if not self.by_scheme:
            return None
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme) or self.by_scheme.get("all")
        if proxy is None or urllib.request.proxy_bypass(parts.hostname or ""):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


class HttpxConnection:
    """One connection of httpx's. Its transport is used as it is: httpx's client on top of it would add redirects,
    cookies and authentication, which are not wanted here, a tenth to the cost of a call, and addresses to the log."""

    shared = False

    def __init__(self, tls: ssl.SSLContext, proxy: str | None) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_SECONDS)
        self._transport = httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=proxy, trust_env=False)

    async def send(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        # httpcore looks up the timeout when it begins to read the body, so it can still be changed.
        request.extensions["timeout"]["read"] = request.extensions["silence"]
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class AiohttpConnections:
    """aiohttp's, through httpx-aiohttp: less work for each call, on asyncio only."""

    shared = True

    def __init__(self, tls: ssl.SSLContext, proxy: str | None) -> None:
        if current_async_library() != "asyncio":
            raise InputError('transport="aiohttp" needs asyncio.', advice='Under trio, use transport="httpx".')
        try:
            import aiohttp  # noqa: PLC0415  an extra
            import httpx_aiohttp  # noqa: PLC0415  an extra
        except ImportError:
            raise MissingExtraError(
                'transport="aiohttp" needs a package that is not installed.', advice='pip install "hfclient[aiohttp]"'
            ) from None

        def session() -> aiohttp.ClientSession:
            # How many connections there may be is decided in pools.py, and cookies are nobody's here.
            connector = aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=KEEP_ALIVE_SECONDS)
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        self._failures = (httpx.HTTPError, aiohttp.ClientError, OSError, ValueError)
        self._transport = httpx_aiohttp.AiohttpTransport(
            verify=tls, proxy=httpx.Proxy(proxy) if proxy else None, client=session
        )

    async def send(self, request: httpx.Request) -> httpx.Response:
        # aiohttp has one timeout for the wait and for silences after it, and none for sending; where they differ, or
        # much is sent, all are kept here.
        timeouts = request.extensions["timeout"]
        wait, silence = timeouts["read"], request.extensions["silence"]
        sending = request.stream if isinstance(request.stream, Sending) else None
        if wait == silence and sending is None:
            return await self._sent(request)
        timeouts["read"] = None
        try:
            with anyio.fail_after(None if sending else wait) as limit:
                if sending:
                    sending.on_progress = lambda left: _postpone(limit, timeouts["write"] if left else wait)
                response = await self._sent(request)
        except TimeoutError:
            raise (httpx.WriteTimeout if sending and sending.left else httpx.ReadTimeout)("", request=request) from None
        cast("_Body", response.stream).silence = silence
        return response

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._transport.handle_async_request(request)
        except self._failures as error:
            failure = _in_httpx_terms(error, httpx.LocalProtocolError)
        else:
            response.stream = _Body(response.stream, self._failures)
            return response
        raise failure  # not from within `except`: aiohttp's errors hold the request, and with it the key

    async def aclose(self) -> None:
        await self._transport.aclose()


class Carriers:
    """Makes carriers of one kind. Those of httpx lead to one origin each, the others anywhere by the same proxy."""

    def __init__(
        self, kind: TransportKind, given: httpx.AsyncClient | None, proxies: Proxies, network: Network = "any"
    ) -> None:
        self._kind = kind
        self._network = network
        self._given = given
        self._proxies = proxies
        self._tls: ssl.SSLContext | None = None
        self.ready = False

    def prepare(self) -> None:
        """Load all that is read from disk: the certificates that servers are trusted by, and what retries need."""
        if self._given is None:
            self._tls = httpx.create_ssl_context()
        prepare_retries()
        self.ready = True

    def key(self, origin: str) -> str:
        """What a carrier must be made for to reach this origin."""
        if self._given is not None:
            return ""
        if self._network == "loopback" and not _is_here(origin) and not _is_played():
            raise ConnectionFailedError(
                f"{origin} is not on this machine, and HFCLIENT_NETWORK=loopback allows nothing else.",
                advice="In a test, use the fixture hf_sandbox, or mark the test with hf_network.",
            )
        return origin if self._kind == "httpx" else self._proxies.proxy_for(origin) or ""

    def make(self, key: str) -> Carrier:
        if self._given is not None:
            return Given(self._given)
        tls = cast("ssl.SSLContext", self._tls)
        if self._kind == "httpx":
            return HttpxConnection(tls, self._proxies.proxy_for(key))
        return AiohttpConnections(tls, key or None)


def _is_here(origin: str) -> bool:
    return re.fullmatch(r"localhost|::1|127(\.\d+){3}", urlsplit(origin).hostname or "") is not None


def _is_played() -> bool:
    """Whether somebody, respx for one, stands in for httpx's own way to the network."""
    import httpcore  # noqa: PLC0415  httpx itself imports it no sooner

    ways = (httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool)
    return any(not way.handle_async_request.__module__.startswith(("httpx.", "httpcore.")) for way in ways)


class _Body(httpx.AsyncByteStream):
    """What aiohttp reads, its failures in httpx's terms; `silence` bounds pauses where aiohttp's own limit does not."""

    def __init__(
        self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, failures: tuple[type[Exception], ...]
    ) -> None:
        self._stream = cast("httpx.AsyncByteStream", stream)
        self._failures = failures
        self.silence: float | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._stream)
        while (part := await self._next(parts)) is not None:
            yield part

    async def _next(self, parts: AsyncIterator[bytes]) -> bytes | None:
        try:
            with anyio.fail_after(self.silence):
                return await anext(parts)
        except StopAsyncIteration:
            return None
        except self._failures as error:
            failure = _in_httpx_terms(error, httpx.RemoteProtocolError)
        raise failure

    async def aclose(self) -> None:
        try:
            return await self._stream.aclose()
        except self._failures as error:
            failure = _in_httpx_terms(error, httpx.RemoteProtocolError)
        raise failure


def _postpone(limit: anyio.CancelScope, seconds: float | None) -> None:
    limit.deadline = math.inf if seconds is None else anyio.current_time() + seconds


def _in_httpx_terms(error: Exception, for_values: type[httpx.TransportError]) -> Exception:
    """A new error, without what aiohttp's own holds on to: the request with its headers and address."""
    import aiohttp  # noqa: PLC0415  an extra

    cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
    if isinstance(cause, aiohttp.ClientResponseError):
        said = cause.message  # not str(cause), which has the address in it
    else:
        said = str(getattr(cause, "os_error", None) or error)
    match error:
        case _ if isinstance(cause, aiohttp.InvalidURL):
            return httpx.UnsupportedProtocol("The address makes no sense.")
        case httpx.ConnectTimeout() if not isinstance(cause, aiohttp.ServerTimeoutError):
            # So httpx-aiohttp calls a server that refused, and one that hung up; but that one had got the request.
            return (httpx.ConnectError if isinstance(cause, aiohttp.ClientConnectorError) else httpx.ReadError)(said)
        case httpx.HTTPError():
            return type(error)(said)
        case TimeoutError():
            return httpx.ReadTimeout(said)
        case aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(said)
        case aiohttp.ClientError() | OSError():
            return httpx.ReadError(said)
        case _:
            return for_values(said)


class Given:
    """A client that the caller made: its connections, proxies and hooks are used; it stays the caller's to close."""

    shared = True

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        logging.getLogger("httpx").addFilter(_without_query)  # the same function again is not added twice

    async def send(self, request: httpx.Request) -> httpx.Response:
        request.url = _OurURL(request.url)
        if self._client.is_closed:
            raise InputError("The http_client is closed.", advice="Close it after the last call, or give another.")
        response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
        request.extensions["timeout"]["read"] = request.extensions["silence"]
        return response

    async def aclose(self) -> None: ...


class _OurURL(httpx.URL):
    """Marks the addresses of our requests where they pass through a client that logs them."""


def _without_query(record: logging.LogRecord) -> bool:
    """Httpx's client logs the whole address of every request, and in the query of one of ours there may be a key."""
    if isinstance(record.args, tuple):
        record.args = tuple(safe_url(str(value)) if isinstance(value, _OurURL) else value for value in record.args)
    return True
