"""Bytes to events: every rule of the grammar by example, then the properties that hold for any text."""

from __future__ import annotations

import doctest
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import example, given
from hypothesis import strategies as st

import hfclient.sse
from hfclient.errors import EventTooLargeError
from hfclient.sse import Event, EventDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable

BOM = b"\xef\xbb\xbf"


def decode(*chunks: bytes, max_event_bytes: int = 32 * 2**20) -> list[Event]:
    decoder = EventDecoder(max_event_bytes)
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()


def bytewise(text: bytes) -> Iterable[bytes]:
    return (text[at : at + 1] for at in range(len(text)))


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def httpx_sse(text: bytes) -> list[Event]:
    """Decode a body with httpx-sse, through its public door."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text)
    return [Event(sse.data.encode(), sse.event, sse.id, sse.retry) for sse in EventSource(response).iter_sse()]


EXAMPLES: dict[str, tuple[bytes, list[Event]]] = {
    "the common frame": (b'data: {"a": 1}\n\n', [Event(b'{"a": 1}')]),
    "two frames": (b"data: a\n\ndata: b\n\n", [Event(b"a"), Event(b"b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event(b"a"), Event(b"b")]),
    "CRLF between the lines of an event": (b"data: a\r\ndata: b\r\n\r\n", [Event(b"a\nb")]),
    "CR": (b"data: a\r\rdata: b\r\r", [Event(b"a"), Event(b"b")]),
    "line ends mixed": (b"data: a\r\n\ndata: b\n\rdata: c\r\r\n", [Event(b"a"), Event(b"b"), Event(b"c")]),
    "many blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [Event(b"a"), Event(b"b")]),
    "byte order mark": (BOM + b"data: a\n\n", [Event(b"a")]),
    "only one byte order mark": (BOM + BOM + b"data: a\n\n", []),
    "byte order mark later": (b"data: a\n\n" + BOM + b"data: b\n\n", [Event(b"a")]),
    "half a byte order mark": (BOM[:2] + b"data: a\n\n", []),
    "nothing but half a byte order mark": (BOM[:2], []),
    "comments": (b": ping\n\n:\n\n: x\ndata: a\n: y\n\n", [Event(b"a")]),
    "several data lines": (b"data: a\ndata:\ndata: b\n\n", [Event(b"a\n\nb")]),
    "two empty data lines": (b"data:\ndata\n\n", [Event(b"\n")]),
    "no space": (b"data:a\n\n", [Event(b"a")]),
    "only one space goes": (b"data:  a \n\n", [Event(b" a ")]),
    "a tab is kept": (b"data:\ta\n\n", [Event(b"\ta")]),
    "colons in the value": (b"data: a: b\n\n", [Event(b"a: b")]),
    "field without colon": (b"data\ndata: a\n\n", [Event(b"\na")]),
    "unknown fields": (b"date: a\ndata : b\nDATA: c\n data: d\ndata: e\n\n", [Event(b"e")]),
    "event": (b"event: ping\ndata: a\n\ndata: b\n\n", [Event(b"a", "ping"), Event(b"b")]),
    "event after data": (b"data: a\nevent: ping\n\n", [Event(b"a", "ping")]),
    "empty event": (b"event: x\nevent:\ndata: a\n\n", [Event(b"a", "message")]),
    "event name of an event without data": (b"event: ping\n\ndata: a\n\n", [Event(b"a")]),
    "id stays": (b"id: 7\ndata: a\n\ndata: b\n\n", [Event(b"a", id="7"), Event(b"b", id="7")]),
    "id changes": (b"id: 7\ndata: a\n\nid: 8\n\ndata: b\n\n", [Event(b"a", id="7"), Event(b"b", id="8")]),
    "id alone": (b"id: 7\n\ndata: a\n\n", [Event(b"a", id="7")]),
    "id taken back": (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [Event(b"a", id="7"), Event(b"b")]),
    "id taken back alone": (b"id: 7\n\nid:\n\ndata: b\n\n", [Event(b"b")]),
    "id with NUL": (b"id: 7\nid: 8\0\ndata: a\n\n", [Event(b"a", id="7")]),
    "retry": (b"retry: 1500\ndata: a\n\ndata: b\n\n", [Event(b"a", retry=1500), Event(b"b")]),
    "retry without space": (b"retry:1500\ndata: a\n\n", [Event(b"a", retry=1500)]),
    "retry needs digits": (
        b"".join(b"retry: " + wrong + b"\ndata: a\n\n" for wrong in (b"", b"+5", b"-5", b"1_0", b"5 ", b" 5", b"1.5")),
        [Event(b"a")] * 7,
    ),
    "retry needs ASCII digits": ("retry: ٣\ndata: a\n\n".encode(), [Event(b"a")]),
    "retry of absurd length": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event(b"a")]),
    "retry without value": (b"retry\ndata: a\n\n", [Event(b"a")]),
    "a wrong retry changes nothing": (b"retry: 5\nretry: x\ndata: a\n\n", [Event(b"a", retry=5)]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\nevent: x\ndata:\n\ndata: a\n\n", [Event(b"a")]),
    "no data": (b"event: x\nretry: 5\n\ndata: a\n\n", [Event(b"a")]),
    "Unicode separators": (
        'data: "\u2028\u2029\x85\x0b\x0c\x1c"\n\n'.encode(),
        [Event('"\u2028\u2029\x85\x0b\x0c\x1c"'.encode())],
    ),
    "Unicode separators on the slow way": (
        "event: x\ndata: \u2028\u0085\n\n".encode(),
        [Event("\u2028\u0085".encode(), "x")],
    ),
    "invalid UTF-8": (b"data: a\xffb\xe2\x82\n\n", [Event("a\ufffdb\ufffd".encode())]),
    "invalid UTF-8 on the slow way": (
        b"event: \xc3\ndata: a\xffb\xe2\x82\n\n",
        [Event("a\ufffdb\ufffd".encode(), "\ufffd")],
    ),
    "surrogates are invalid": (b"data: \xed\xa0\x80\n\n", [Event("\ufffd\ufffd\ufffd".encode())]),
    "last event without blank line": (b"data: a\n\ndata: b\n", [Event(b"a"), Event(b"b")]),
    "last event without line end": (b"data: a\n\ndata: b", [Event(b"a"), Event(b"b")]),
    "last event of several lines": (b"id: 1\ndata: a\ndata: b", [Event(b"a\nb", id="1")]),
    "last event cut in a character": ("data: aé".encode()[:-1], [Event("a\ufffd".encode())]),
    "last event ends in CR": (b"data: a\r", [Event(b"a")]),
    "last line is no field": (b"data: a\n\ndat", [Event(b"a")]),
    "an empty body": (b"", []),
}


@pytest.mark.parametrize(("text", "events"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_rules_by_example(text: bytes, events: list[Event]) -> None:
    """Each rule holds for a text in one piece, and for the same text byte by byte with empty chunks between."""
    assert decode(text) == events
    assert decode(*bytewise(text)) == events
    assert decode(*(piece for byte in bytewise(text) for piece in (byte, b""))) == events


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\r", b"\n\r"])
def test_an_event_is_given_as_soon_as_it_ends(end: bytes) -> None:
    """No event waits for the chunk after it, not even where that may begin with the LF of a CR LF pair."""
    decoder = EventDecoder()
    assert decoder.feed(b"data: a" + end) == [Event(b"a")]
    assert decoder.feed(b"\ndata: b" + end) == [Event(b"b")]


def test_crlf_split_between_chunks_is_one_line_end() -> None:
    """An LF that begins a chunk belongs to the CR that ended the one before, also with an empty chunk between."""
    assert decode(b"data: a\r", b"", b"\ndata: b\r\n\r", b"\n") == [Event(b"a\nb")]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_byte_order_mark_split_between_chunks(cut: int) -> None:
    """The mark is dropped wherever it is cut."""
    text = BOM + b"data: a\n\n"
    assert decode(text[:cut], b"", text[cut:]) == [Event(b"a")]


def test_fast_and_slow_frames_share_their_state() -> None:
    """An id set on the slow way shows in the fast frames after it, and an event name does not."""
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n\n") == [Event(b"a")]
    assert decoder.feed(b"id: 1\nevent: x\n") == []
    assert decoder.feed(b"data: b\n\n") == [Event(b"b", "x", "1")]
    assert decoder.feed(b"data: c\n\ndata: d\n\n") == [Event(b"c", id="1"), Event(b"d", id="1")]
    assert decoder.feed(b"id\n\n") == []
    assert decoder.feed(b"data: e\n\n") == [Event(b"e")]


def test_a_field_waiting_for_its_event_is_not_lost_to_a_fast_frame() -> None:
    """A chunk that looks like a whole common frame belongs to the event that had begun before it."""
    assert decode(b"data: a\n", b"data: b\n\n") == [Event(b"a\nb")]
    assert decode(b"da", b"ta: b\n\n") == [Event(b"b")]


def test_event_cannot_be_changed() -> None:
    """An event is a value."""
    with pytest.raises(AttributeError):
        Event(b"a").data = b"b"  # type: ignore[misc]


def test_documented_example() -> None:
    """The example in the docstring runs."""
    result = doctest.testmod(hfclient.sse)
    assert result.attempted > 0
    assert result.failed == 0


def test_line_of_50_mb_is_refused_by_default() -> None:
    """At 32 MiB an error names the limit and the option, and what had been kept is let go."""
    decoder = EventDecoder()
    chunk = b"x" * 65536
    for _ in range(32 * 16):
        assert decoder.feed(chunk) == []
    with pytest.raises(EventTooLargeError, match="33,554,432 bytes") as caught:
        decoder.feed(b"x")
    assert "max_event_bytes" in caught.value.advice
    assert not decoder._tail


def test_event_of_50_mb_in_one_chunk_is_refused_too() -> None:
    """Whether an event is too large does not depend on how it was cut."""
    with pytest.raises(EventTooLargeError):
        decode(b"data: " + b"x" * 50_000_000 + b"\n\n")


def test_event_of_many_lines_in_one_large_block() -> None:
    """A block too large to be taken apart into lines decodes the same."""
    text = b"data: x\n" * 150_000 + b"\n" + b"data: y\n\n"
    assert decode(text) == [Event(b"\n".join([b"x"] * 150_000)), Event(b"y")]


def test_event_of_many_small_lines_is_refused() -> None:
    """The limit holds for an event, not for a line."""
    with pytest.raises(EventTooLargeError):
        decode(*[b"data: x\n"] * 20, max_event_bytes=100)


def test_limit_is_for_one_event_not_for_the_stream() -> None:
    """A stream of any length passes, as long as each of its events does."""
    frames = [b"data: " + b"x" * 50 + b"\n\n"] * 20
    assert len(decode(*frames, max_event_bytes=57)) == 20
    assert len(decode(b"".join(frames), max_event_bytes=57)) == 20


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n", b"\n\n", b"\n\n\n", b"data: a\n\n"])
def test_limit_is_exact(blank: bytes) -> None:
    """An event of the limit passes and one byte more does not, however it is cut and whatever surrounds it."""
    text = blank + b"data: " + b"x" * 50 + b"\n\n" + blank
    event_end = len(text) - len(blank) - 1
    for chunks in ([text], list(bytewise(text)), cut(text, [len(blank), event_end]), cut(text, [event_end])):
        assert Event(b"x" * 50) in decode(*chunks, max_event_bytes=57)
        with pytest.raises(EventTooLargeError):
            decode(*chunks, max_event_bytes=56)


def test_raised_limit_is_followed() -> None:
    """A line of 50 MB passes where the caller asks for it."""
    (event,) = decode(b"data: " + b"x" * 50_000_000, b"\n\n", max_event_bytes=2**26)
    assert len(event.data) == 50_000_000


@pytest.mark.parametrize("large", [b"data: " + b"x" * 100 + b"\n\ndata: c\n\n", b"data: " + b"x" * 100])
def test_events_before_the_one_too_large_are_given_first(large: bytes) -> None:
    """What had arrived is not lost: the error comes with the next call, and stays."""
    decoder = EventDecoder(max_event_bytes=50)
    assert decoder.feed(b"data: a\n\nid: 1\ndata: b\n\n" + large) == [Event(b"a"), Event(b"b", id="1")]
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"data: d\n\n")
    with pytest.raises(EventTooLargeError):
        decoder.finish()


class Unread(bytearray):
    """A buffer that may be added to, but not searched or copied."""

    def _refuse(self, *_: object) -> None:
        pytest.fail("An unfinished event was read again.")

    find = rfind = index = split = splitlines = partition = count = replace = decode = _refuse  # type: ignore[assignment]
    __contains__ = __add__ = __iter__ = __getitem__ = _refuse  # type: ignore[assignment]


def test_unfinished_event_is_not_searched_again() -> None:
    """Work is linear: a chunk is searched when it arrives, and what is waiting is only appended to."""
    decoder = EventDecoder()
    decoder._tail = waiting = Unread()
    for _ in range(3000):
        assert decoder.feed(b"data: " + b"x" * 1000 + b"\n") == []
    assert decoder._tail is waiting
    assert len(waiting) == 3000 * 1007
    (event,) = decoder.feed(b"\n")
    assert len(event.data) == 3000 * 1001 - 1


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
VALUES = st.one_of(
    st.sampled_from(["", " ", "1", "٣", "+1", "\0", '{"a": "\u2028é😀"}', "[DONE]", "\ufeff", ": x"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8),
)
NAMES = st.sampled_from(["data", "data", "data", "event", "id", "retry", "", "date", "\ufeffdata"])
COLONS = st.sampled_from([":", ": ", ":  ", ""])
FIELDS = st.builds(lambda name, colon, value: name + colon + value, NAMES, COLONS, VALUES)
FRAMES = VALUES.map(lambda value: f"data: {value}\n\n")
LINES = st.builds(lambda field, end: field + end, FIELDS, LINE_ENDS)
PIECES = st.lists(st.one_of(FRAMES, LINES, LINE_ENDS, FIELDS), max_size=12)
TEXTS = PIECES.map(lambda pieces: "".join(pieces).encode())
SPOILT = st.one_of(st.sampled_from([b"\xff", b"\xe2\x82", BOM, BOM[:1]]), st.binary(max_size=3))
ANY_BYTES = st.lists(st.one_of(TEXTS, SPOILT), max_size=4).map(b"".join)


CUTS = st.lists(st.integers(0, 120), max_size=12)


@given(text=ANY_BYTES, places=CUTS)
def test_cuts_change_nothing(text: bytes, places: list[int]) -> None:
    """Any text decodes to the same events however it is cut into chunks."""
    assert decode(*cut(text, places)) == decode(text)


@given(text=TEXTS, places=CUTS, limit=st.integers(1, 30))
def test_cuts_do_not_change_what_is_too_large(text: bytes, places: list[int], limit: int) -> None:
    """The same events come before the refusal, and the same event is refused, however the text is cut."""

    def outcome(chunks: Iterable[bytes]) -> tuple[list[Event], bool]:
        decoder, events = EventDecoder(limit), list[Event]()
        try:
            for chunk in chunks:
                events += decoder.feed(chunk)
            events += decoder.finish()
        except EventTooLargeError:
            return events, True
        return events, False

    assert outcome(cut(text, places)) == outcome([text])


WRONG_RETRY = re.compile(rb"(?:\A|(?<=[\r\n]))retry:(?! ?[0-9]+[\r\n])[^\r\n]*")


@given(text=ANY_BYTES)
@example(b"retry: +1\ndata: a\n\n")
@example(BOM + b"id: 1\n\ndata: a\n\ndata:\n\n")
def test_agrees_with_httpx_sse(text: bytes) -> None:
    """Apart from the documented differences (mark, events without data, `retry`, last event) both give the same."""
    text += b"\n\n"
    theirs = httpx_sse(WRONG_RETRY.sub(b":", text.removeprefix(BOM)))
    assert decode(text) == [event for event in theirs if event.data]


@given(text=TEXTS)
def test_last_event_is_as_if_its_blank_line_were_there(text: bytes) -> None:
    """Ending the body does what a blank line does, and httpx-sse gives that event only with the line."""
    assert decode(text) == decode(text + b"\n\n")


@given(values=st.lists(VALUES, min_size=1), end=st.sampled_from(["\n", "\r\n", "\r"]), per_chunk=st.integers(1, 4))
def test_fast_and_slow_way_agree(values: list[str], end: str, per_chunk: int) -> None:
    """A comment in front, which forces the slow way, and another line end change nothing."""
    fast = [f"data: {value}\n\n".encode() for value in values]
    slow = [f":{end}data: {value}{end}{end}".encode() for value in values]
    together = [b"".join(fast[at : at + per_chunk]) for at in range(0, len(fast), per_chunk)]
    assert decode(*together) == decode(*slow) == [Event(value.encode()) for value in values if value]


@given(
    value=st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_arrives_as_it_was_sent(value: object) -> None:
    """Whatever JSON holds, also unescaped separators of Unicode, comes through whole."""
    sent = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert [event.data for event in decode(b"data: " + sent + b"\n\n")] == [sent]
