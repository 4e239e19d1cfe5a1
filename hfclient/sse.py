"""Server-sent events: the bytes of a body in, events out, with no I/O.

How it works. Line ends are made LF first, so that a blank line, which ends an event, is always two LFs. The text is
then cut there into frames. A frame that is one `data:` line, which is nearly every frame of a chat, becomes an event as
it stands; any other goes through the decoder of httpx-sse. A frame is decoded only once it is whole, so nothing but the
last event id has to be remembered between two of them, and the two ways mix freely.

Where this differs from httpx-sse: an event without data is passed over (an id alone, or an empty `data:`); the last
event is given even if its blank line is missing; one byte order mark at the start is dropped; `retry` takes only ASCII
digits, where Python's `int` takes more; and an event that ends in CR is given at once, whether or not an LF follows.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import NamedTuple

# Not exported by httpx-sse, whose public EventSource wants a whole httpx.Response.
from httpx_sse._decoders import SSEDecoder

from hfclient.errors import EventTooLargeError

__all__ = ["Event", "EventDecoder"]

MAX_EVENT_BYTES = 32 * 2**20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CR, LF = 13, 10  # numbers, because looking for a number in bytes is several times as fast as looking for bytes
SMALL_BLOCK = 2**20  # the lines of a larger one, if they are short, would take many times its memory
VALID_RETRY = re.compile(r"retry: ?[0-9]+")


class Event(NamedTuple):
    """One event of a stream; `data` is UTF-8, its lines joined by LF. A tuple, because one is made for every token."""

    data: bytes
    event: str = "message"
    id: str = ""
    retry: int | None = None


class EventDecoder:
    r"""Turns the chunks of one body, cut anywhere, into events.

    >>> decoder = EventDecoder()
    >>> decoder.feed(b'data: {"text": "Hel')
    []
    >>> decoder.feed(b'lo"}\n\n')
    [Event(data=b'{"text": "Hello"}', event='message', id='', retry=None)]
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._decoder = SSEDecoder()
        self._last_id = ""
        self._tail = bytearray()  # the frame that has not ended; it holds no blank line, so only new text is searched
        self._start: bytes | None = b""  # what may yet become a byte order mark; None once that is known
        self._after_cr = False
        self._too_large = False
        self._unsettled = True  # one of the three above asks for a closer look at the next chunk

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next chunk and give the events that end in it; if one is too large, those before it come first."""
        if self._unsettled or CR in chunk:
            chunk = self._settled(chunk)
        if not self._tail and chunk.endswith(b"\n\n") and len(chunk) <= self._max_event_bytes:
            return self._events(split_frames(chunk[:-2]))
        events = self._events(self._frames(chunk))
        if self._too_large and not events:
            raise self._refusal()
        return events

    def finish(self) -> list[Event]:
        """End the body: a last event without its blank line is given too, because servers do lose it."""
        if self._too_large:
            raise self._refusal()
        frame = bytes(self._tail)
        self._tail.clear()
        return self._events([frame])

    def _settled(self, chunk: bytes) -> bytes:
        """Return the chunk without byte order mark and with no line end but LF."""
        if self._too_large:
            raise self._refusal()
        if self._start is not None:
            chunk = self._without_byte_order_mark(self._start + chunk)
        if chunk:
            chunk = self._with_lf_only(chunk)
        self._unsettled = self._after_cr or self._start is not None
        return chunk

    def _without_byte_order_mark(self, start: bytes) -> bytes:
        if BYTE_ORDER_MARK.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(BYTE_ORDER_MARK)

    def _with_lf_only(self, chunk: bytes) -> bytes:
        """Take a CR as a line end at once, so that no event waits for another chunk; an LF after it is dropped."""
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _frames(self, text: bytes) -> list[bytes]:
        """Cut off the frames that end in this text; the rest of it is kept for later."""
        tail = self._tail
        size = len(tail) + len(text)
        if tail.endswith(b"\n"):  # perhaps the first half of a blank line
            del tail[-1]
            text = b"\n" + text
        frames: list[bytes] = []
        end = text.rfind(b"\n\n")
        if end >= 0:
            frames = split_frames(b"".join((tail, text[:end])))
            tail.clear()
            text = text[end + 2 :]
        tail += text if tail else text.lstrip(b"\n")
        if size > self._max_event_bytes:
            self._refuse_large(frames)
        return frames

    def _refuse_large(self, frames: list[bytes]) -> None:
        """Take out the first frame that is too large and all after it; sizes include the end of the last line."""
        limit = self._max_event_bytes
        large = next((at for at, frame in enumerate(frames) if len(frame.strip(b"\n")) >= limit), len(frames))
        if large == len(frames) and len(self._tail) <= limit:
            return
        del frames[large:]
        self._tail.clear()
        self._too_large = self._unsettled = True

    def _refusal(self) -> EventTooLargeError:
        return EventTooLargeError(
            f"One event of the stream is larger than {self._max_event_bytes:,} bytes.",
            advice="If such events are to be expected, raise the limit with the option max_event_bytes.",
        )

    def _events(self, frames: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if frame.startswith(b"data: ") and LF not in frame:
                data = frame[6:]
                if not data.isascii():
                    data = data.decode("utf-8", "replace").encode()
                if data:
                    events.append(Event(data, "message", self._last_id))
            elif frame and (event := self._decoded(frame)):
                events.append(event)
        return events

    def _decoded(self, frame: bytes) -> Event | None:
        for line in BytesIO(frame):  # one line at a time: a list of them could be many times as large as the frame
            text = line.removesuffix(b"\n").decode("utf-8", "replace")
            if text and (not text.startswith("retry:") or VALID_RETRY.fullmatch(text)):
                self._decoder.decode(text)
        found = self._decoder.decode("")
        self._last_id = found.id if found else ""  # None is its answer only where there is no last id either
        if not found or not found.data:
            return None
        return Event(found.data.encode(), found.event, found.id, found.retry)


def split_frames(block: bytes) -> list[bytes]:
    """Cut at the blank lines; looking for one LF is several times as fast as for two."""
    if len(block) <= SMALL_BLOCK:
        lines = block.split(b"\n")
        if not any(lines[1::2]):
            return lines[::2]
    return block.split(b"\n\n")
