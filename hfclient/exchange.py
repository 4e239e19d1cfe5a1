"""An answer whose body is still to come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from typing import cast

import anyio
import httpx

from hfclient.errors import ResponseError
from hfclient.pools import Lease
from hfclient.upload import Sending


class Exchange:
    """An answer whose body has not been read; `aclose` gives its connection back, or closes it if there is more."""

    def __init__(self, response: httpx.Response, lease: Lease, sending: Sending | None = None) -> None:
        self._response = response
        self._lease = lease
        self._sending = sending
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
        try:
            async for part in self.body:
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise ResponseError(f"The answer is larger than {limit:,} bytes.", status=self.status)
        except httpx.HTTPError:
            if self._sending is not None:  # the answer had begun before all was sent
                self._sending.blame()
            raise
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
                if self._sending is not None:
                    await self._sending.aclose()
        finally:
            self._lease.release()

    async def _unwind(self) -> None:
        """Let httpx's nested generators run into the closed connection: merely dropped, each would want a task of its
        own to finish in, and trio warns of it. Where another task waits in them, it does so itself."""
        if "body" in vars(self) and not getattr(self.body, "ag_running", False):
            with suppress(httpx.HTTPError, httpx.StreamError):
                async for _ in self.body:
                    pass
