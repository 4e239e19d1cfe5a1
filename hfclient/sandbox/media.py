"""Pictures, sounds and films that are real, small, and always the same for the same text."""

from __future__ import annotations

import io
import math
import struct
import wave
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256

SIDE = 64
RATE = 16_000
FRAMES = 8


def png(text: str, width: int = SIDE, height: int = SIDE) -> bytes:
    """A picture whose two colours come from the text, one running into the other."""
    (first, second), rows = _colours(text), bytearray()
    for y in range(height):
        share = y / max(1, height - 1)
        pixel = bytes(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
        rows += b"\0" + pixel * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def mask(width: int = SIDE, height: int = SIDE) -> bytes:
    """A picture that is white in its middle and black around it."""
    rows = bytearray()
    for y in range(height):
        inside = height // 4 <= y < height - height // 4
        edge = width // 4
        rows += b"\0" + (b"\0" * edge + b"\xff" * (width - 2 * edge) + b"\0" * edge if inside else b"\0" * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def wav(text: str, seconds: float = 0.5) -> bytes:
    """A tone whose pitch comes from the text."""
    pitch = 220 + _digest(text)[0] * 2
    samples = (round(12_000 * math.sin(math.tau * pitch * place / RATE)) for place in range(int(RATE * seconds)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(struct.pack(f"<{int(RATE * seconds)}h", *samples))
    return buffer.getvalue()


def mp4(text: str) -> bytes:
    """A film of a second: a grey that grows lighter, in H.264, each block of it written out as plain samples."""
    shade = 40 + _digest(text)[0] % 60
    frames = [_frame(shade + 12 * place, place % 2) for place in range(FRAMES)]
    samples = [struct.pack(">I", len(frame)) + frame for frame in frames]
    head = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    # The place of the samples is written in the part before them, whose length does not depend on it.
    start = len(head) + len(_movie(samples, 0)) + 8
    return head + _movie(samples, start) + _box(b"mdat", b"".join(samples))


def _colours(text: str) -> tuple[bytes, bytes]:
    digest = _digest(text)
    return digest[:3], digest[3:6]


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


class _Bits:
    """Numbers in H.264's spelling, put one after the other."""

    def __init__(self) -> None:
        self._bits = ""

    def fixed(self, value: int, width: int) -> _Bits:
        self._bits += f"{value:0{width}b}"
        return self

    def numbers(self, *values: int) -> _Bits:
        """Exponential Golomb codes: as many zeros as the number plus one has digits behind its first."""
        for value in values:
            digits = f"{value + 1:b}"
            self._bits += "0" * (len(digits) - 1) + digits
        return self

    def aligned(self) -> bytes:
        bits = self._bits + "0" * (-len(self._bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")

    def ended(self) -> bytes:
        self._bits += "1"
        return self.aligned()


_BLOCKS = SIDE // 16
_SEQUENCE = b"\x67\x42\xc0\x0a" + (
    _Bits().numbers(0, 0, 2, 0).fixed(0, 1).numbers(_BLOCKS - 1, _BLOCKS - 1).fixed(0b1000, 4).ended()
)
_PICTURE = b"\x68" + _Bits().numbers(0, 0).fixed(0, 2).numbers(0, 0, 0).fixed(0, 3).numbers(0, 0, 0).fixed(0, 3).ended()


def _frame(shade: int, turn: int) -> bytes:
    """A picture that needs no other: every block of 16 by 16 as 256 samples of light and twice 64 of colour."""
    block = bytes([shade]) * 256 + b"\x80" * 128
    head = _Bits().numbers(0, 7, 0).fixed(0, 4).numbers(turn).fixed(0, 2).numbers(0, 25).aligned()
    following = _Bits().numbers(25).aligned()
    return b"\x65" + head + following.join([block] * _BLOCKS**2) + b"\x80"


def _movie(samples: Sequence[bytes], start: int) -> bytes:
    length = struct.pack(">I", FRAMES)  # in time units, one for each frame
    unity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    movie = struct.pack(">4I", 0, 0, 0, FRAMES) + length + struct.pack(">IH10x", 0x10000, 0x100) + unity
    movie += struct.pack(">24xI", 2)
    track = struct.pack(">5I", 7, 0, 0, 1, 0) + length + b"\0" * 16 + unity + struct.pack(">II", SIDE << 16, SIDE << 16)
    media = struct.pack(">4I", 0, 0, 0, FRAMES) + length + struct.pack(">HH", 0x55C4, 0)
    place = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1) + _box(b"url ", struct.pack(">I", 1))))
    information = _box(b"vmhd", struct.pack(">I8x", 1)) + place + _box(b"stbl", b"".join(_tables(samples, start)))
    handler = _box(b"hdlr", struct.pack(">II4s12x", 0, 0, b"vide") + b"Film\0")
    inner = _box(b"mdhd", media) + handler + _box(b"minf", information)
    return _box(b"moov", _box(b"mvhd", movie) + _box(b"trak", _box(b"tkhd", track) + _box(b"mdia", inner)))


def _tables(samples: Sequence[bytes], start: int) -> Iterator[bytes]:
    sets = struct.pack(">BBBBBB", 1, 0x42, 0xC0, 0x0A, 0xFF, 0xE1) + struct.pack(">H", len(_SEQUENCE)) + _SEQUENCE
    sets += struct.pack(">BH", 1, len(_PICTURE)) + _PICTURE
    entry = struct.pack(">6xH16xHHIIIH32xHh", 1, SIDE, SIDE, 0x480000, 0x480000, 0, 1, 0x18, -1)
    yield _box(b"stsd", struct.pack(">II", 0, 1) + _box(b"avc1", entry + _box(b"avcC", sets)))
    yield _box(b"stts", struct.pack(">4I", 0, 1, len(samples), 1))
    yield _box(b"stsc", struct.pack(">5I", 0, 1, 1, len(samples), 1))
    yield _box(b"stsz", struct.pack(f">3I{len(samples)}I", 0, 0, len(samples), *map(len, samples)))
    yield _box(b"stco", struct.pack(">3I", 0, 1, start))


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content
