"""What a provider made: pictures, sound, films and other files, as bytes or on disk."""

from __future__ import annotations

import base64
import html
import io
import os
import secrets
import shutil
import struct
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio.to_thread

from hfclient.errors import InputError, ResponseError
from hfclient.extras import extra
from hfclient.sniff import UNKNOWN_TYPE, Kind, dimensions_of, labelled_type, spoken_size, suffix_of
from hfclient.types.base import Frozen

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    from numpy.typing import NDArray

# What PIL says of a picture that is cut short, broken, or none at all.
_BROKEN = (ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)
_SHOWN = {".png": "image/png", ".jpg": "image/jpeg"}  # by every notebook
_LARGEST_PLAYED = 10_000_000  # it would be kept, by a third larger, in the notebook


class File(Frozen):
    """A file that a provider made: `content`, `media_type`, and `save(path)`.

    One that was downloaded straight to disk lies at `path`, and its content is read from there when asked for.
    """

    kind: ClassVar[Kind] = "other"

    media_type: str
    url: str | None
    path: Path | None
    _content: bytes | None

    def __init__(
        self,
        content: bytes | None = None,
        media_type: str = UNKNOWN_TYPE,
        *,
        url: str | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        name = type(self).__name__
        if (content is None) == (path is None):
            raise InputError(f"{name} takes content or path, one of the two.", advice=f"{name}(path='…') is on disk.")
        if not isinstance(content, bytes | bytearray | memoryview | None):
            raise InputError(
                f"{name}'s content is of type {type(content).__name__}, not bytes.",
                advice=f"For a file on disk: {name}(path='…').",
            )
        vars(self).update(
            _content=None if content is None else bytes(content),
            media_type=media_type,
            url=url,
            path=None if path is None else Path(path),
        )

    @classmethod
    def of(cls, content: bytes, *, declared: str | None = None, url: str | None = None) -> Self:
        """Bytes as they came; the label is believed where it fits this kind of file, and else the bytes are."""
        return cls(content, labelled_type(content, declared=declared, name=url, kind=cls.kind), url=url)

    @property
    def content(self) -> bytes:
        """The bytes; where they are on disk they are read anew each time, so keep them if they are needed twice."""
        if self._content is not None:
            return self._content
        try:
            return self._on_disk.read_bytes()
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def size(self) -> int:
        """How many bytes there are; none is read for it."""
        if self._content is not None:
            return len(self._content)
        try:
            return self._on_disk.stat().st_size
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def suffix(self) -> str:
        """What the name of such a file ends with, such as ".png"; "" for a type that nobody knows."""
        return suffix_of(self.media_type)

    def base64(self) -> str:
        return base64.b64encode(self.content).decode("ascii")

    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{self.base64()}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes there, whole or not at all; what was there is replaced. In async code, `asave`."""
        target = Path(path)
        real = Path(os.path.realpath(target))  # what a link leads to is replaced, and the link stays
        self._check(target, real)
        draft = real.with_name(f".{secrets.token_hex(8)}.part")
        try:
            self._write(draft)
            if real.exists():
                shutil.copymode(real, draft)
            draft.replace(real)
        except BaseException as error:
            draft.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise InputError(f"{str(target)!r} cannot be written: {_reason(error)}.") from error
        return target

    async def asave(self, path: str | os.PathLike[str]) -> Path:
        """Like `save`, in a worker thread, so that the event loop goes on."""
        return await anyio.to_thread.run_sync(self.save, path)

    async def kept_at(self, path: str | os.PathLike[str]) -> Self:
        """The same file, written there and no longer held in memory."""
        kept = type(self)(media_type=self.media_type, url=self.url, path=await self.asave(path))
        return kept if self._meta is None else kept.with_meta(self._meta)

    def _check(self, target: Path, real: Path) -> None:
        """Say now what would go wrong, and touch nothing that is no file: a device must not be replaced."""
        if real.is_dir():
            example = str(target / f"result{self.suffix}")
            raise InputError(f"{str(target)!r} is a directory.", advice=f"Name a file in it: save({example!r}).")
        if not real.parent.is_dir():
            folder = str(target.parent)
            how = f"Make it first: Path({folder!r}).mkdir(parents=True)."
            raise InputError(f"There is no folder {folder!r}.", advice=how)
        if real.exists() and not real.is_file():
            raise InputError(f"{str(target)!r} is not a file, so it cannot be replaced.", advice="Choose another name.")
        _ = self.size  # an original that is gone is another matter than a place that cannot be written

    def _write(self, draft: Path) -> None:
        if self._content is None:
            shutil.copyfile(self._on_disk, draft)
        else:
            draft.write_bytes(self._content)

    @property
    def _on_disk(self) -> Path:
        assert self.path is not None  # noqa: S101  there are bytes or a path, as __init__ sees to
        return self.path

    def _unreadable(self, error: OSError) -> InputError:
        said = f"{self!r} cannot be read any more: {_reason(error)}."
        return InputError(said, advice="Was it moved or deleted? save() makes a copy of your own.")

    def _player(self, tag: str) -> str:
        if self.size > _LARGEST_PLAYED:
            said = f"{self!r} is too large to be played here ({spoken_size(self.size)}); .save(…) writes it to a file."
            return html.escape(said)
        return f'<{tag} controls src="{html.escape(self.data_uri())}"></{tag}>'

    def __bytes__(self) -> bytes:
        return self.content

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, File):
            return NotImplemented
        if self.media_type != other.media_type:
            return False
        same_place = self.path is not None and self.path == other.path
        return same_place or (self.size == other.size and self.content == other.content)

    def __hash__(self) -> int:
        return hash((type(self), self.media_type, self.size))

    def __repr__(self) -> str:
        # Never its url: a signed one is a key. And nothing here may fail, so a file on disk is not looked at.
        size = "" if self._content is None else f"{spoken_size(len(self._content))} of "
        place = "" if self.path is None else f" at {str(self.path)!r}"
        return f"{type(self).__name__}(<{size}{self.media_type}{place}>)"


class Image(File):
    """A picture: `save("cat.png")`, or `pil()` and `numpy()` to go on with it."""

    kind: ClassVar[Kind] = "image"

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels, as the first bytes say; PIL is needed for formats few models write."""
        return dimensions_of(self.content) or self.pil().size

    def pil(self) -> PIL.Image.Image:
        """The picture as PIL has it, wholly read."""
        pillow = extra("PIL.Image", "Pillow", needed_by=f"{type(self).__name__}.pil()")
        try:
            picture: PIL.Image.Image = pillow.open(io.BytesIO(self.content))
            picture.load()
        except (*_BROKEN, pillow.DecompressionBombError) as error:
            raise _not_read(self, error) from error
        return picture

    def numpy(self) -> NDArray[numpy.uint8]:
        """The pixels: (height, width, 3) for red, green, blue; (height, width, 4) where some are transparent."""
        np = extra("numpy", "numpy", needed_by=f"{type(self).__name__}.numpy()")
        picture = self.pil()
        if picture.mode.startswith("I"):
            # Sixteen bits of grey, as in maps of depth: PIL would cut off all that is above 255.
            grey = (np.asarray(picture) >> 8).clip(0, 255).astype("uint8")
            return np.stack([grey] * 3, axis=-1)  # type: ignore[no-any-return]
        transparent = "A" in picture.getbands() or "transparency" in picture.info
        return np.array(picture.convert("RGBA" if transparent else "RGB"))  # type: ignore[no-any-return]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the picture, and without PIL for the rarer formats, a line of text."""
        if shown := _SHOWN.get(self.suffix):
            return {shown: self.base64(), "text/plain": repr(self)}
        try:
            drawn = io.BytesIO()
            self.pil().save(drawn, format="PNG")
        except (InputError, ResponseError, OSError):
            return {"text/plain": repr(self)}
        return {"image/png": base64.b64encode(drawn.getvalue()).decode("ascii"), "text/plain": repr(self)}


class Audio(File):
    """Sound: `save("talk.wav")`, or `numpy()` to go on with it."""

    kind: ClassVar[Kind] = "audio"

    def numpy(self) -> tuple[NDArray[numpy.float32], int]:
        """The samples between -1 and 1, as (frames,) or (frames, channels), and how many frames a second has.

        WAV is read here; any other format needs the package soundfile.
        """
        np = extra("numpy", "numpy", needed_by="Audio.numpy()")
        content = self.content
        try:
            with wave.open(io.BytesIO(content)) as file:
                return _samples(np, file), file.getframerate()
        except (wave.Error, EOFError, RuntimeError):
            pass  # no WAV, a broken one, or one with floats in it
        soundfile = extra("soundfile", "soundfile", needed_by=f"{self.media_type} in Audio.numpy()")
        try:
            samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        except RuntimeError as error:
            raise _not_read(self, error) from error
        return samples, rate

    def _repr_html_(self) -> str:
        return self._player("audio")


class Video(File):
    """A film: `save("film.mp4")`."""

    kind: ClassVar[Kind] = "video"

    def _repr_html_(self) -> str:
        return self._player("video")


def _samples(np: Any, file: wave.Wave_read) -> Any:
    """PCM of one to four bytes as floats. `wave` gives them in the machine's order, and single bytes without sign."""
    width, channels = file.getsampwidth(), file.getnchannels()
    frames = file.readframes(file.getnframes())
    frames = frames[: len(frames) // (width * channels) * (width * channels)]  # one may have been cut through
    match width:
        case 1:
            whole = np.frombuffer(frames, "u1").astype("f4") - 128
        case 3:
            # As the upper three bytes of four, so that the sign stands where it belongs.
            wide = np.zeros((len(frames) // 3, 4), "u1")
            wide[:, slice(1, 4) if sys.byteorder == "little" else slice(3)] = np.frombuffer(frames, "u1").reshape(-1, 3)
            whole = wide.view("i4")[:, 0].astype("f4") / 256
        case 2 | 4:
            whole = np.frombuffer(frames, f"i{width}").astype("f4")
        case _:
            raise wave.Error(f"{width} bytes for each sample")
    samples = whole / np.float32(1 << (8 * width - 1))
    return samples if channels == 1 else samples.reshape(-1, channels)


def _not_read(file: File, error: Exception) -> ResponseError:
    return ResponseError(f"{file!r} cannot be read: {error}.", advice="save() writes the bytes as they came.")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
