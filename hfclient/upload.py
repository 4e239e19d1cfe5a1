"""What is sent: pieces whose total length is known, read from disk only when their turn has come."""

from __future__ import annotations

import json
import re
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import SEEK_END, PathLike
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias, cast

import httpx

from hfclient.blocking import Blocking
from hfclient.errors import HFClientError, InputError
from hfclient.media import Loaded, Media, describe, file_name, is_seekable, readable, turn_with
from hfclient.sniff import UNKNOWN_TYPE, suffix_of

PIECE = 256 * 1024
LARGEST_WHOLE = 2**20  # what is larger goes in pieces: each may take as long as the timeout allows
BEGINNING = 4096


@dataclass(frozen=True, slots=True)
class Stored:
    """Media that stays on disk until it is sent: so many bytes of a file, or of an open one from where it stands."""

    source: Path | IO[bytes]
    start: int
    size: int
    media_type: str

    def pieces(self) -> Generator[bytes, None, None]:
        """Exactly `size` bytes. It blocks, and holds the file open until the last are read, or it is closed."""
        done, piece = 0, b""
        with readable(self.source), self._reader() as read:
            while done < self.size:
                if piece:
                    yield piece
                left = self.size - done
                piece = read(self.start + done, PIECE if left > PIECE else left + 1)  # one more: has it grown?
                done += len(piece)
                if not piece or done > self.size:
                    raise self._changed("grew" if piece else "shrank")
        yield piece

    @contextmanager
    def _reader(self) -> Generator[Callable[[int, int], bytes]]:
        if not isinstance(self.source, Path):
            yield self._borrowed
            return
        with self.source.open("rb") as file:
            yield lambda _, size: file.read(size)

    def _borrowed(self, position: int, size: int) -> bytes:
        """From a file that is the caller's, whose position is afterwards what it was before."""
        file = cast("IO[bytes]", self.source)
        with turn_with(file):
            before = file.tell()
            file.seek(position)
            try:
                return file.read(size)
            finally:
                file.seek(before)

    def _changed(self, how: str) -> InputError:
        return InputError(
            f"{describe(self.source)} {how} while it was sent; it had {self.size:,} bytes.",
            advice="Send it once nothing writes to it any more.",
        )


def kept_or_loaded(media: Media) -> Stored | Loaded:
    """Media that is large and can be read twice stays where it is, the rest is loaded. It blocks."""
    kept: Stored | None = None
    # Whatever stands in the way is told by `read`, in the same words for all.
    with suppress(OSError, ValueError, AttributeError):
        match media.source:
            case str() | bytes() | bytearray() | memoryview():
                pass
            case PathLike():
                kept = _file_at(Path(media.source), media)
            case source if is_seekable(source):
                kept = _open_file(cast("IO[bytes]", source), media)
            case _:
                pass
    return kept or media.read()


def _file_at(path: Path, media: Media) -> Stored | None:
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size <= PIECE:
        return None
    with path.open("rb") as file:
        beginning = file.read(BEGINNING)
    return Stored(path, 0, facts.st_size, media.type_of(beginning, path.name))


def _open_file(file: IO[bytes], media: Media) -> Stored | None:
    with turn_with(file):
        start = file.tell()
        try:
            size = file.seek(0, SEEK_END) - start
            file.seek(start)
            beginning = cast("object", file.read(BEGINNING)) if size > PIECE else None
        finally:
            file.seek(start)
    if not isinstance(beginning, bytes):
        return None
    return Stored(file, start, size, media.type_of(beginning, file_name(file)))


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body; `media_type` is for requests that name none themselves, unless it is `binding`."""

    parts: tuple[bytes | Stored, ...]
    media_type: str | None = None
    binding: bool = False

    @property
    def length(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)

    @property
    def whole(self) -> bytes | None:
        """All of it, where it is small and none of it on disk."""
        loaded = [part for part in self.parts if isinstance(part, bytes)]
        if len(loaded) < len(self.parts) or sum(map(len, loaded)) > LARGEST_WHOLE:
            return None
        return b"".join(loaded)

    def pieces(self) -> Generator[bytes, None, None]:
        for part in self.parts:
            if isinstance(part, bytes):
                yield from (part[start : start + PIECE] for start in range(0, len(part), PIECE))
            else:
                yield from part.pieces()


class Sending(httpx.AsyncByteStream):
    """A body on its way, once. `failure` is what went wrong with it, whatever the carrier makes of that."""

    def __init__(self, body: Body) -> None:
        self._pieces = Blocking(body.pieces())
        self.left = body.length
        self.failure: HFClientError | None = None
        self.on_progress: Callable[[int], None] | None = None
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun:
            raise httpx.StreamConsumed
        self._begun = True
        return self

    async def __anext__(self) -> bytes:
        if self.on_progress:
            self.on_progress(self.left)
        if self.left <= 0:
            raise StopAsyncIteration
        try:
            piece = await self._pieces.next()
        except HFClientError as error:
            self.failure = error
            raise
        if piece is None:
            raise httpx.StreamClosed  # not the end: who still asks had not sent all of it
        self.left -= len(piece)
        return piece

    def blame(self) -> None:
        """Tell the body's own failure, where the carrier has failed because of it."""
        if self.failure is not None:
            raise self.failure from None

    async def aclose(self) -> None:
        if self.left:  # else no file is open any more
            await self._pieces.aclose()


File: TypeAlias = tuple[str, str, bytes | Stored, str]


def multipart(data: Mapping[str, Any], files: Iterable[File]) -> Body:
    """A form: first the texts, then the files, each with its field, its name, its content and its type.

    What is no text is written as JSON, and a list as a field for each of its items.
    """
    boundary = secrets.token_hex(16)
    parts: list[bytes | Stored] = []
    for name, value in data.items():
        start = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'.encode()
        for item in cast("Iterable[Any]", value) if isinstance(value, list | tuple) else (value,):
            parts += [start, _text(item).encode() if isinstance(item, str) else encoded(item), b"\r\n"]
    for name, filename, content, kind in files:
        if not (kind.isascii() and kind.isprintable()):
            raise InputError(f"{kind!r} is no media type.", advice='It reads "audio/flac".')
        disposition = f'form-data; name="{_quoted(name)}"; filename="{_quoted(filename)}"'
        parts.append(f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode())
        parts += [content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(tuple(parts), f"multipart/form-data; boundary={boundary}", binding=True)


def named(filename: str, kind: str, found: str | None) -> tuple[str, str]:
    """A file's name and type as they were given. Where no type was, it is the one that was found, and what the name
    ends with is made to fit: servers that take sound go by it."""
    if kind:
        return filename, kind
    suffix = suffix_of(found or "")
    return (f"{PurePosixPath(filename).stem}{suffix}" if suffix else filename), found or UNKNOWN_TYPE


def _quoted(name: str) -> str:
    """As browsers write a name between quotation marks."""
    return _text(name).replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _text(value: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", value)  # half a character, which UTF-8 cannot write


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
