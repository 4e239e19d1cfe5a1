"""Media as callers give it, and once it is read: what was passed, and the bytes and their type."""

from __future__ import annotations

import base64
import binascii
import inspect
import io
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal, Protocol, TypeAlias, TypeGuard, cast
from urllib.parse import unquote_to_bytes
from weakref import WeakKeyDictionary

from typing_extensions import TypeIs

from hfclient.errors import HFClientError, InputError
from hfclient.sniff import UNKNOWN_TYPE, Kind, kind_of, labelled_type, media_type_of, spoken_size, type_by_name
from hfclient.types.files import File

__all__ = [
    "Kind",
    "Loaded",
    "Media",
    "MediaLike",
    "Picture",
    "as_media",
    "describe",
    "from_base64",
    "is_media",
    "is_url",
    "kind_of",
    "media_type_of",
]


class Picture(Protocol):
    """A PIL image, known by its shape, so that PIL need not be there."""

    @property
    def mode(self) -> str: ...
    @property
    def format(self) -> str | None: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def save(self, fp: Any, format: str | None = None, **params: Any) -> None: ...  # noqa: A002  PIL's own name
    def convert(self, mode: str | None = None) -> Any: ...


MediaLike: TypeAlias = bytes | bytearray | memoryview | os.PathLike[str] | str | IO[bytes] | Picture | File


@dataclass(frozen=True, slots=True)
class Loaded:
    """Media once it is read: its bytes, and what they are."""

    content: bytes
    media_type: str

    @classmethod
    def of(cls, content: bytes, *, declared: str | None = None, name: str | None = None) -> Loaded:
        """Bytes that came with a label, or a name, or neither. A label that says nothing gives way to the bytes."""
        return cls(content, labelled_type(content, declared=declared, name=name))

    def base64(self) -> str:
        return base64.b64encode(self.content).decode("ascii")

    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{self.base64()}"

    def __repr__(self) -> str:
        return f"Loaded(<{spoken_size(len(self.content))} of {self.media_type}>)"


@dataclass(frozen=True, slots=True)
class Media:
    """Media not yet read; a `media_type` given here is taken at its word.

    The result of another call is taken for what it holds: the file on disk, or the bytes and their type.
    """

    source: MediaLike
    media_type: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, File):
            known = None if self.source.media_type == UNKNOWN_TYPE else self.source.media_type
            object.__setattr__(self, "media_type", self.media_type or known)
            object.__setattr__(self, "source", self.source.path or self.source.content)

    @property
    def url(self) -> str | None:
        """The address, where the source is an http(s) URL or a data: URI."""
        return self.source if isinstance(self.source, str) and is_url(self.source) else None

    @property
    def is_remote(self) -> bool:
        """Whether it must be fetched over the network."""
        return self.url is not None and not _is_data(self.url)

    @property
    def path(self) -> Path | None:
        """The file, where the source is one on this machine's disk."""
        return Path(self.source) if isinstance(self.source, os.PathLike) else None

    @property
    def kind(self) -> Kind:
        """What the label, or failing that the name, says; "other" where only the bytes can tell."""
        if self.media_type:
            return kind_of(self.media_type)
        if self.url and _is_data(self.url):
            return kind_of(self.url[5:].partition(",")[0])
        return kind_of(type_by_name(self.url or str(self.path or "")))

    def type_of(self, beginning: bytes, name: str | None) -> str:
        """The media type: what was given, else what the first bytes and the name tell."""
        return self.media_type or media_type_of(beginning, name)

    def read(self) -> Loaded:
        """The bytes and their type. It blocks, so it belongs in a worker thread; http(s) URLs are the transport's."""
        match self.source:
            case bytes() | bytearray() | memoryview():
                loaded = Loaded.of(bytes(self.source))
            case str():
                loaded = _read_data_uri(self.source)
            case os.PathLike():
                loaded = _read_path(Path(self.source))
            case source:
                loaded = _read_picture(source) if _is_picture(source) else _read_file(cast("IO[bytes]", source))
        if not loaded.content:
            raise InputError(f"{describe(self.source)} is empty.", advice=_why_empty(self.source))
        return replace(loaded, media_type=self.media_type) if self.media_type else loaded

    def __repr__(self) -> str:
        label = f", {self.media_type!r}" if self.media_type else ""
        return f"Media({describe(self.source)}{label})"


def as_media(value: Any, *, strings: Literal["url", "path-or-url"], what: str = "the media") -> Media:
    """The value as media, or an `InputError` that says what would do; `what` names the argument in it."""
    if isinstance(value, Media):
        return value
    if isinstance(value, str):
        return Media(_url_or_path(value, strings=strings, what=what))
    if isinstance(value, os.PathLike):
        return Media(Path(os.fsdecode(value)))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, bytes | bytearray) and not value:
        raise InputError(f"{what} is empty.", advice=_why_empty(value))
    if is_media(value):
        return Media(value)
    wanted = "bytes, Path(…), a URL, a file opened with 'rb', a PIL image, or the file that another call gave"
    if isinstance(value, io.TextIOBase):
        raise InputError(f"{what} is a file opened as text.", advice="Open it with mode 'rb'.")
    if inspect.iscoroutinefunction(getattr(value, "read", None)):
        raise InputError(f"{what} is an asynchronous file.", advice="Pass its Path, or the bytes read from it.")
    raise InputError(f"{what} is of type {type(value).__name__}, which is not media.", advice=f"Pass {wanted}.")  # pyright: ignore[reportUnknownArgumentType]


def is_media(value: object) -> TypeGuard[MediaLike]:
    """Whether the value can be nothing but media; a string could be text, so it is not."""
    if isinstance(value, Media | File | bytes | bytearray | memoryview | os.PathLike):
        return True
    if isinstance(value, str | Mapping | io.TextIOBase | type):
        return False
    read = getattr(value, "read", None)
    return _is_picture(value) or (callable(read) and not inspect.iscoroutinefunction(read))


def is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://", "data:"))


def describe(source: object) -> str:
    """The source in a few words: never its bytes, and no secret that a URL may hold."""
    match source:
        case bytes() | bytearray():
            return f"<{spoken_size(len(source))} of bytes>"
        case memoryview():
            return f"<{spoken_size(source.nbytes)} of bytes>"
        case str() if _is_data(source):
            return f"<{source.partition(',')[0][:60].partition(';')[0]} of {spoken_size(len(source))}>"
        case str():
            return repr(_shortened(_without_query(source) if is_url(source) else source))
        case os.PathLike():
            return repr(_end_of(str(source)))  # pyright: ignore[reportUnknownArgumentType]
        case _ if _is_picture(source):
            return f"<PIL image, {source.mode}, {source.size[0]}x{source.size[1]}>"
        case _:
            name = file_name(source)
            return f"<open file {_end_of(name)!r}>" if name else "<open file>"


def _read_path(path: Path) -> Loaded:
    if path.is_dir():
        raise InputError(f"{describe(path)} is a directory.", advice="Pass the path of a file.")
    with readable(path):
        return Loaded.of(path.read_bytes(), name=path.name)


def _read_data_uri(uri: str) -> Loaded:
    if not _is_data(uri):
        raise InputError(f"{describe(uri)} cannot be read here.", advice="A client fetches URLs; files go in a Path.")
    head, comma, payload = uri[5:].partition(",")
    if not comma:
        raise InputError(f"{describe(uri)} has no comma.", advice="A data: URI reads data:image/png;base64,…")
    content = unquote_to_bytes(payload)
    if head.lower().rstrip().endswith(";base64"):
        try:
            content = from_base64(content)
        except binascii.Error as error:
            raise InputError(f"{describe(uri)} is not valid base64: {error}.") from None
        head = head[: head.lower().rindex(";base64")]
    return Loaded.of(content, declared=head)


def from_base64(text: bytes) -> bytes:
    """The bytes that are meant: line breaks and missing padding do no harm, and browsers take both."""
    packed = b"".join(text.split()).rstrip(b"=")
    return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)


def _read_file(file: IO[bytes]) -> Loaded:
    with readable(file), turn_with(file):
        start = file.tell() if is_seekable(file) else None
        content = cast("object", file.read())
        if start is not None:
            file.seek(start)  # so that another attempt reads the same bytes
    if not isinstance(content, bytes):
        kind = type(content).__name__
        raise InputError(f"{describe(file)} gives {kind}, not bytes.", advice="Open it with mode 'rb'.")
    return Loaded.of(content, name=file_name(file))


def is_seekable(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable and seekable())


@contextmanager
def readable(source: object) -> Generator[None]:
    """What may go wrong while a file is read, as the caller's error."""
    try:
        yield
    except FileNotFoundError:
        where = f"Looked for {source.absolute()}." if isinstance(source, Path) else ""
        raise InputError(f"There is no file {describe(source)}.", advice=where) from None
    except HFClientError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        what = f"The file {describe(source)}" if isinstance(source, Path) else describe(source)
        raise InputError(f"{what} cannot be read: {why(error)}.") from error


_turns: WeakKeyDictionary[object, Lock] = WeakKeyDictionary()


def turn_with(file: object) -> Lock:
    """Held by whoever moves an open file's position: two calls may have been given the same file."""
    try:
        return _turns.setdefault(file, Lock())
    except TypeError:  # of a kind that cannot be referred to weakly
        return Lock()


_KEPT_FORMATS = {"JPEG", "PNG", "WEBP"}


def _read_picture(picture: Picture) -> Loaded:
    wanted = picture.format if picture.format in _KEPT_FORMATS else "PNG"
    try:
        try:
            return _saved(picture, wanted)
        except OSError:
            # This format cannot hold this mode (CMYK in a PNG, transparency in a JPEG).
            alpha = picture.mode in {"PA", "La", "RGBa", "RGBA"}
            return _saved(picture.convert("RGBA" if alpha else "RGB"), "PNG")
    except (OSError, ValueError, SyntaxError, AssertionError, AttributeError) as error:
        # PIL says any of these of an image that is closed, cut short or broken.
        raise InputError(f"{describe(picture)} cannot be saved: {why(error)}.") from error


def _saved(picture: Picture, wanted: str | None) -> Loaded:
    buffer = io.BytesIO()
    picture.save(buffer, format=wanted, quality=95)
    return Loaded.of(buffer.getvalue())


def _url_or_path(text: str, *, strings: Literal["url", "path-or-url"], what: str) -> str | Path:
    if is_url(text):
        return text
    if strings == "path-or-url":
        if text and "://" not in text:
            return Path(text)
        advice = "Pass the path of a file, an http(s) URL, a data: URI, or the bytes themselves."
        raise InputError(f"{what} is {_shortened(text)!r}, no place that media can be read from.", advice=advice)
    file = f"Path({text!r})" if text and text == _shortened(text) else "Path(…)"
    raise InputError(
        f"{what} is {_shortened(text)!r}, neither an http(s) URL nor a data: URI.",
        advice=f"For a file, pass {file}; for base64 text, a data: URI.",
    )


def _is_picture(value: object) -> TypeIs[Picture]:
    return callable(getattr(value, "save", None)) and all(hasattr(value, name) for name in ("mode", "format", "size"))


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def file_name(file: object) -> str | None:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else None


def _without_query(url: str) -> str:
    scheme, separator, rest = url.partition("#")[0].partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


def _why_empty(source: object) -> str:
    if hasattr(source, "read"):
        return "Perhaps it was read to its end already: rewind it with .seek(0), or pass the bytes."
    return "Pass media that has bytes in it."


def why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _shortened(text: str, *, width: int = 80) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _end_of(path: str, *, width: int = 80) -> str:
    """A path's end says more than its beginning."""
    return path if len(path) <= width else f"…{path[1 - width :]}"
