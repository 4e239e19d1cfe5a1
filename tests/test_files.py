"""Files that a provider made: saved whole, shown without their bytes, opened by PIL and numpy when asked."""

from __future__ import annotations

import base64
import contextlib
import copy
import errno
import io
import os
import pickle
import stat
import struct
import subprocess
import sys
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import numpy as np
import PIL.Image
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hfclient.errors import HFClientError, InputError, MissingExtraError, ResponseError
from hfclient.extras import extra
from hfclient.sniff import dimensions_of, suffix_of
from hfclient.types import Audio, File, Image, Meta, Video
from hfclient.types.base import with_meta

ROOT = Path(__file__).resolve().parents[1]
META = Meta("fal-ai", request_id="r-1")
SIGNED = "https://user:pw@cdn.example/a/cat.png?X-Amz-Signature=hf_fake_0123456789&token=hf_fake_abcdef"


def picture(image_format: str, size: tuple[int, int] = (7, 5), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new(mode, size, **({"color": (200, 30, 60)} if mode == "RGB" else {})).save(
        buffer, format=image_format, **options
    )
    return buffer.getvalue()


PNG = picture("PNG")


def wav(samples: Any, rate: int = 16_000, width: int = 2, channels: int = 1) -> bytes:
    """Whole numbers as the standard library writes them."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        order = sys.byteorder
        file.writeframes(b"".join(int(each).to_bytes(width, order, signed=width > 1) for each in samples))
    return buffer.getvalue()


@pytest.fixture(params=["in memory", "on disk"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Makes a file of the given class, with its bytes at hand or in a folder of its own."""

    def make(kind: type[File], content: bytes, media_type: str) -> File:
        if request.param == "in memory":
            return kind(content, media_type)
        folder = tmp_path / "downloads"
        folder.mkdir(exist_ok=True)
        place = folder / f"{len(list(folder.iterdir()))}.bin"
        place.write_bytes(content)
        return kind(media_type=media_type, path=place)

    return make


# What it is


def test_a_file_gives_its_bytes_and_what_they_are(stored: Callable[..., Any]) -> None:
    """The same from memory and from disk."""
    file = stored(Image, PNG, "image/png")
    assert (file.content, bytes(file), file.size) == (PNG, PNG, len(PNG))
    assert (file.media_type, file.suffix, file.url) == ("image/png", ".png", None)
    assert base64.b64decode(file.base64()) == PNG
    assert file.data_uri() == f"data:image/png;base64,{file.base64()}"


def test_a_file_on_disk_is_read_when_asked_for(tmp_path: Path) -> None:
    """Neither its size nor its repr reads it, and its content is read anew each time."""
    place = tmp_path / "film.mp4"
    with place.open("wb") as hole:
        hole.truncate(3 * 1024**4)
    film = Video(media_type="video/mp4", path=place)
    assert film.size == 3 * 1024**4
    assert film.path == place
    assert repr(film) == f"Video(<video/mp4 at {str(place)!r}>)"
    place.write_bytes(b"one")
    assert film.content == b"one"
    place.write_bytes(b"other")
    assert film.content == b"other"


def test_a_file_on_disk_that_is_gone_says_so(tmp_path: Path) -> None:
    """Its repr still works, since the error needs it."""
    film = Video(media_type="video/mp4", path=tmp_path / "gone.mp4")
    for use in (lambda: film.content, lambda: film.size, lambda: film.save(tmp_path / "copy.mp4"), lambda: bytes(film)):
        with pytest.raises(InputError, match=r"gone\.mp4'>\) cannot be read any more: No such file") as caught:
            use()
        assert "moved or deleted" in caught.value.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["cat.png", 5, [1], Path("cat.png")])
def test_content_is_bytes(wrong: Any) -> None:
    """A name or a number in its place is not made into bytes."""
    with pytest.raises(InputError, match="not bytes") as caught:
        Image(wrong)
    assert "Image(path='…')" in caught.value.advice
    assert Image(bytearray(b"a")) == Image(memoryview(b"a")) == Image(b"a")


def test_bytes_are_given_or_lie_somewhere() -> None:
    """Neither, or both, would leave open what the file is; no bytes at all are bytes too."""
    for arguments in ({}, {"content": b"a", "path": Path("a")}):
        with pytest.raises(InputError, match="one of the two"):
            File(**arguments)
    assert File(b"").size == 0


@pytest.mark.parametrize(
    ("kind", "content", "declared", "url", "media_type"),
    [
        (Image, PNG, None, None, "image/png"),
        (Image, PNG, "image/jpeg", None, "image/jpeg"),
        (Image, PNG, "IMAGE/PNG; charset=binary", None, "image/png"),
        (Image, PNG, "application/octet-stream", None, "image/png"),
        (Image, PNG, "text/plain", None, "image/png"),
        (Image, PNG, "audio/wav", None, "image/png"),
        (Image, PNG, "image", None, "image/png"),
        (Image, PNG, 'image/png" onload="x', None, "image/png"),
        (Image, b"???", "text/html", None, "text/html"),
        (Image, b"???", None, "https://cdn.example/cat.webp?as=.png", "image/webp"),
        (Image, b"???", None, None, "application/octet-stream"),
        (Audio, wav([0]), "video/mp4", None, "audio/wav"),
        (Audio, b"\0\0\0\x14ftypisom", None, None, "audio/mp4"),
        (Video, b"\0\0\0\x14ftypisom", None, None, "video/mp4"),
        (Video, b"\0\0\0\x14ftypisom", "binary/octet-stream", "https://cdn.example/a.mp4", "video/mp4"),
        (File, PNG, "audio/wav", None, "audio/wav"),
        (File, PNG, None, None, "image/png"),
        (File, b"{}", "application/json", None, "application/json"),
    ],
)
def test_a_label_of_the_right_kind_is_believed(
    kind: type[File], content: bytes, declared: str | None, url: str | None, media_type: str
) -> None:
    """Any other gives way to the bytes, and they to the name where they say nothing."""
    file = kind.of(content, declared=declared, url=url)
    assert type(file) is kind
    assert (file.media_type, file.content, file.url) == (media_type, content, url)


@given(st.binary(max_size=32), st.none() | st.text(max_size=20), st.none() | st.text(max_size=20))
def test_any_bytes_label_and_url_make_a_file(content: bytes, declared: str | None, url: str | None) -> None:
    """Whatever a provider sends, there is a file, and its type is one."""
    assert "/" in Image.of(content, declared=declared, url=url).media_type


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("image/png", ".png"),
        ("image/jpeg", ".jpg"),
        ("image/jpg", ".jpg"),
        ("IMAGE/JPEG; q=1", ".jpg"),
        ("audio/wav", ".wav"),
        ("audio/x-wav", ".wav"),
        ("audio/mp3", ".mp3"),
        ("audio/x-m4a", ".m4a"),
        ("audio/x-flac", ".flac"),
        ("video/x-matroska", ".mkv"),
        ("video/x-msvideo", ".avi"),
        ("application/octet-stream", ""),
        ("model/unheard-of", ""),
        ("", ""),
    ],
)
def test_the_type_says_how_a_name_should_end(media_type: str, suffix: str) -> None:
    """Under the names that servers use besides, too; for an unknown type there is none."""
    assert suffix_of(media_type) == suffix
    assert File(b"", media_type).suffix == suffix


# As a value


@pytest.mark.parametrize("kind", [File, Image, Audio, Video])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_files_can_be_copied_and_pickled(kind: type[File], again: Any) -> None:
    """Nothing is lost on the way, meta included; one on disk stays where it is."""
    same = again(with_meta(kind(PNG, "image/png", url="https://cdn.example/cat.png"), META))
    assert type(same) is kind
    assert (same.content, same.media_type, same.url, same.meta) == (
        PNG,
        "image/png",
        "https://cdn.example/cat.png",
        META,
    )
    assert again(kind(path=Path("a.png"))).path == Path("a.png")


def test_files_are_equal_where_class_type_and_bytes_are(stored: Callable[..., Any]) -> None:
    """Where they lie, and where they came from, makes no difference."""
    file = stored(Image, PNG, "image/png")
    alike = Image(PNG, "image/png", url="https://cdn.example/cat.png")
    assert file == alike
    assert hash(file) == hash(alike)
    assert {file, alike, stored(Image, PNG, "image/png")} == {alike}
    for other in (Image(PNG, "image/jpeg"), File(PNG, "image/png"), Image(PNG[:-1] + b"?", "image/png"), PNG, None):
        assert file != other


def test_one_place_is_compared_without_reading() -> None:
    """The same path is the same file, even one that is not there."""
    assert File(path="gone.bin") == File(path="gone.bin")


def test_files_are_frozen() -> None:
    """Nothing about them can be set, and `meta` says why it is not there."""
    image = Image(PNG, "image/png")
    for name in ("media_type", "content", "anything"):
        with pytest.raises(AttributeError, match=f"{name} cannot be set"):
            setattr(image, name, "x")
    with pytest.raises(AttributeError, match="url cannot be deleted"):
        del image.url
    with pytest.raises(AttributeError, match="did not come from a call"):
        _ = image.meta


def test_a_repr_shows_neither_bytes_nor_secrets(tmp_path: Path) -> None:
    """A signed URL is a key: it is in no repr, no error and no notebook."""
    image = Image(bytes(12_345), "image/png", url=SIGNED)
    assert repr(image) == "Image(<12.3 kB of image/png>)"
    assert image.url == SIGNED
    shown = [repr(image), str(image), repr([image]), Audio(b"ab", "audio/wav", url=SIGNED)._repr_html_()]
    for use in (image.pil, lambda: image.save(tmp_path), lambda: Image(path=tmp_path / "a", url=SIGNED).content):
        with pytest.raises(HFClientError) as caught:
            use()
        shown.append(f"{caught.value} {caught.value!r}")
    for text in shown:
        assert not any(secret in text for secret in ("hf_fake", "Signature", "user:pw", "\\x00"))


# Saving


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def test_a_file_is_saved_as_it_is(stored: Callable[..., Any], tmp_path: Path) -> None:
    """Under the very name that was given, over what was there, with nothing else left beside it."""
    image = stored(Image, PNG, "image/png")
    target = tmp_path / "out" / "no-suffix"
    target.parent.mkdir()
    assert image.save(str(target)) == target
    assert target.read_bytes() == PNG
    target.write_bytes(b"longer than before" * 100)
    image.save(target)
    assert target.read_bytes() == PNG
    assert names_in(target.parent) == ["no-suffix"]
    assert image == stored(Image, PNG, "image/png")


@pytest.mark.anyio
async def test_a_file_is_saved_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`asave` writes in a worker thread, and gives the path."""
    threads: list[int] = []
    write = File._write
    monkeypatch.setattr(File, "_write", lambda *args: (threads.append(threading.get_ident()), write(*args)))
    assert await Image(PNG).asave(tmp_path / "cat.png") == tmp_path / "cat.png"
    assert (tmp_path / "cat.png").read_bytes() == PNG
    assert threads
    assert threads[0] != threading.get_ident()


@pytest.mark.anyio
async def test_saving_that_is_cancelled_leaves_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it begins, nothing is written; once it has begun, it is finished."""
    image = Image(PNG)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await image.asave(tmp_path / "never.png")
    assert names_in(tmp_path) == []

    write = File._write

    def cancelled_in_the_middle(file: File, draft: Path) -> None:
        anyio.from_thread.run_sync(scope.cancel)
        write(file, draft)

    monkeypatch.setattr(File, "_write", cancelled_in_the_middle)
    with anyio.CancelScope() as scope:
        await image.asave(tmp_path / "whole.png")
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert names_in(tmp_path) == ["whole.png"]
    assert (tmp_path / "whole.png").read_bytes() == PNG


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_file_that_cannot_be_written_whole_is_not_left_half(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before stays, nothing is left beside it, and what is no matter of files goes on as it is."""

    def half(_: File, draft: Path) -> None:
        draft.write_bytes(PNG[:10])
        raise error

    monkeypatch.setattr(File, "_write", half)
    target = tmp_path / "cat.png"
    target.write_bytes(b"old")
    with pytest.raises(InputError if isinstance(error, OSError) else type(error)) as caught:
        Image(PNG).save(target)
    if isinstance(error, OSError):
        assert "cat.png' cannot be written: No space left" in str(caught.value)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_no_place_to_save_to(tmp_path: Path) -> None:
    """The advice names a file in it, with the right ending."""
    for target in (tmp_path, Path()):
        with pytest.raises(InputError, match="is a directory") as caught:
            Image(PNG, "image/png").save(target)
        assert repr(str(target / "result.png")) in caught.value.advice


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    """A mistyped path would otherwise be found much later."""
    with pytest.raises(InputError, match=r"no folder .*missing'") as caught:
        Image(PNG).save(tmp_path / "missing" / "cat.png")
    assert "mkdir(parents=True)" in caught.value.advice
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"no folder .*file'"):
        Image(PNG).save(tmp_path / "file" / "cat.png")


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    """Renaming a file over one would destroy it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a file"):
        Image(PNG).save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is written, there already or not yet."""
    (tmp_path / "real").mkdir()
    (tmp_path / "latest.png").symlink_to(tmp_path / "real" / "cat.png")
    for content in (PNG, b"other"):
        Image(content).save(tmp_path / "latest.png")
        assert (tmp_path / "latest.png").is_symlink()
        assert (tmp_path / "real" / "cat.png").read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_permissions_are_those_of_any_new_file_or_of_the_old_one(stored: Callable[..., Any], tmp_path: Path) -> None:
    """The detour over a temporary name is not to be seen."""
    image = stored(Image, PNG, "image/png")
    (tmp_path / "plain").write_bytes(b"")
    image.save(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "private").write_bytes(b"")
    (tmp_path / "private").chmod(0o600)
    image.save(tmp_path / "private")
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_file_on_disk_is_copied_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film of many gigabytes does not pass through memory; one saved over itself stays what it was."""
    (tmp_path / "film.mp4").write_bytes(PNG)
    film = Video(media_type="video/mp4", path=tmp_path / "film.mp4")
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the film was loaded"))
    film.save(tmp_path / "copy.mp4")
    film.save(tmp_path / "film.mp4")
    monkeypatch.undo()
    assert (tmp_path / "copy.mp4").read_bytes() == (tmp_path / "film.mp4").read_bytes() == PNG


# Pictures


@pytest.mark.parametrize(
    "content",
    [
        picture("PNG"),
        picture("PNG", mode="P"),
        picture("GIF"),
        picture("JPEG"),
        picture("JPEG", progressive=True, comment=b"\xff\xc0" * 50),
        picture("JPEG", mode="CMYK"),
        picture("JPEG", exif=PIL.Image.Exif().tobytes() + bytes(3000)),
        picture("JPEG", size=(65_500, 1)),
        picture("JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
        picture("WEBP"),
        picture("WEBP", lossless=True),
        picture("WEBP", mode="RGBA"),
        picture("WEBP", size=(1, 1000), lossless=True),
        picture("WEBP", size=(300, 200), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        picture("WEBP", save_all=True, append_images=[PIL.Image.new("RGB", (7, 5))]),
    ],
)
def test_width_and_height_are_read_as_pil_reads_them(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG, JPEG, GIF and WebP need no PIL for it."""
    size = PIL.Image.open(io.BytesIO(content)).size
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert Image(content).dimensions == size


@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.sampled_from(["PNG", "GIF", "JPEG", "WEBP"]))
def test_any_width_and_height_is_read(size: tuple[int, int], image_format: str) -> None:
    """The two are never mixed up, nor is a bit of them lost."""
    assert dimensions_of(picture(image_format, size=(size[0], 1))) == (size[0], 1)
    assert dimensions_of(picture(image_format, size=(1, size[1]))) == (1, size[1])


def test_other_formats_are_measured_by_pil() -> None:
    """BMP and TIFF are rare enough."""
    assert Image(picture("BMP")).dimensions == Image(picture("TIFF")).dimensions == (7, 5)


STARTS = [PNG, picture("JPEG"), picture("GIF"), picture("WEBP"), picture("WEBP", lossless=True), picture("BMP")]


@given(st.sampled_from(STARTS), st.integers(0, 200), st.binary(max_size=40))
@example(b"RIFF\0\0\0\0WEBPVP9 ", 16, b"")
@example(b"\xff\xd8\xff", 3, b"")
@example(b"\xff\xd8\xff", 3, b"\xe0\x00\x00" * 9)
@example(b"\xff\xd8\xff", 3, b"\xff" * 40)
def test_a_broken_picture_is_measured_or_refused(start: bytes, kept: int, rest: bytes) -> None:
    """A header that is cut or makes no sense ends in a ResponseError, and never in an error of Python."""
    broken = Image(start[:kept] + rest, "image/png")
    for use in (lambda: broken.dimensions, broken.pil, broken.numpy):
        with contextlib.suppress(ResponseError):
            assert use() is not None
    assert "text/plain" in broken._repr_mimebundle_()


def test_pil_has_the_picture_wholly_read(stored: Callable[..., Any]) -> None:
    """The file need not be there any more afterwards."""
    image = stored(Image, PNG, "image/png")
    opened = image.pil()
    if image.path:
        image.path.unlink()
    assert (opened.size, opened.format, opened.getpixel((0, 0))) == ((7, 5), "PNG", (200, 30, 60))


def test_half_a_picture_is_no_picture() -> None:
    """It says so when it is opened, and not when a pixel is wanted."""
    noise = PIL.Image.effect_noise((64, 64), 50)
    buffer = io.BytesIO()
    noise.save(buffer, format="PNG")
    half = Image(buffer.getvalue()[:2000], "image/png")
    assert half.dimensions == (64, 64)
    with pytest.raises(ResponseError, match=r"2\.0 kB of image/png>\) cannot be read: .*truncated"):
        half.pil()


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("RGB", (5, 7, 3)),
        ("RGBA", (5, 7, 4)),
        ("L", (5, 7, 3)),
        ("LA", (5, 7, 4)),
        ("P", (5, 7, 3)),
        ("1", (5, 7, 3)),
        ("I;16", (5, 7, 3)),
    ],
)
def test_pixels_are_an_array_of_three_or_four_bytes_each(mode: str, shape: tuple[int, ...]) -> None:
    """Height comes first, and grey and palettes become colours."""
    pixels = Image(picture("PNG", mode=mode)).numpy()
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
    assert pixels.flags.writeable


def test_pixels_are_those_of_the_picture(stored: Callable[..., Any]) -> None:
    """Rows from the top, red first."""
    original = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype="uint8")
    buffer = io.BytesIO()
    PIL.Image.fromarray(original).save(buffer, format="PNG")
    assert np.array_equal(stored(Image, buffer.getvalue(), "image/png").numpy(), original)


def test_sixteen_bits_of_grey_keep_their_upper_eight() -> None:
    """A map of depth is not cut off at 255."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.array([[0, 255, 256, 32_768, 65_535]], "uint16")).save(buffer, format="PNG")
    assert Image(buffer.getvalue()).numpy()[0, :, 1].tolist() == [0, 0, 1, 128, 255]


def test_a_transparent_colour_of_a_palette_is_kept() -> None:
    """It is why the fourth byte is there."""
    assert Image(picture("PNG", mode="P", transparency=0)).numpy()[0, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "use", "module", "package"),
    [
        (Image, "pil", "PIL.Image", "Pillow"),
        (Image, "numpy", "PIL.Image", "Pillow"),
        (Image, "numpy", "numpy", "numpy"),
        (Audio, "numpy", "numpy", "numpy"),
        (Audio, "numpy", "soundfile", "soundfile"),
    ],
)
def test_a_missing_package_is_named(
    kind: type[Image | Audio], use: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        getattr(kind(b"fLaC", "audio/flac"), use)()
    assert caught.value.advice == f"pip install {package}"
    assert package in caught.value.message


def test_a_package_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To install again what is there would not help."""
    (tmp_path / "fake_half_installed.py").write_text("import fake_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="fake_not_installed") as caught:
        extra("fake_half_installed", "half-installed", needed_by="this")
    assert not isinstance(caught.value, MissingExtraError)


# Sound


@given(st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 5]), st.integers(0, 20), st.randoms())
def test_wav_is_read_without_another_package(width: int, channels: int, frames: int, chance: Any) -> None:
    """Whole numbers of one to four bytes come out between -1 and 1, by frame and channel, as they went in."""
    top = 1 << (8 * width - 1)
    whole = [chance.choice([-top, -1, 0, 1, top - 1, chance.randrange(-top, top)]) for _ in range(frames * channels)]
    content = wav([each + (128 if width == 1 else 0) for each in whole], 22_050, width, channels)
    samples, rate = Audio(content, "audio/wav").numpy()
    assert rate == 22_050
    assert samples.dtype == np.float32
    expected = (np.array(whole, "float64") / top).astype("float32")
    assert np.array_equal(samples, expected if channels == 1 else expected.reshape(-1, channels))
    assert np.all(np.abs(samples) <= 1)


def test_sound_on_disk_is_read_too(stored: Callable[..., Any]) -> None:
    """Where the bytes lie makes no difference."""
    samples, rate = stored(Audio, wav([0, 16_384, -32_768], 8_000), "audio/wav").numpy()
    assert (samples.tolist(), rate) == ([0, 0.5, -1], 8_000)


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF])
def test_wav_that_was_streamed_is_read_to_its_end(size: int) -> None:
    """A server that does not yet know how long it will speak writes the largest size there is."""
    content = bytearray(wav([1, 2, 3]) + b"\x04")
    struct.pack_into("<I", content, 4, size)
    struct.pack_into("<I", content, 40, size)
    samples, _ = Audio(bytes(content)).numpy()
    assert (samples * 32_768).tolist() == [1, 2, 3]


def float_wav(samples: list[float], rate: int) -> bytes:
    body = np.array(samples, "<f4").tobytes()
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32, b"data", len(body))
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(body)) + b"WAVE" + head + body


def test_other_sound_is_left_to_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLAC, MP3 and WAV of floats are given to it as they are, to be read as float32."""
    seen: list[Any] = []

    def read(file: io.BytesIO, dtype: str) -> tuple[Any, int]:
        seen.append((file.read(), dtype))
        return np.zeros(3, "float32"), 48_000

    monkeypatch.setitem(sys.modules, "soundfile", SimpleNamespace(read=read))
    for content in (b"fLaC", float_wav([0.5], 8_000)):
        samples, rate = Audio(content, "audio/flac").numpy()
        assert (samples.shape, rate) == ((3,), 48_000)
        assert seen.pop() == (content, "float32")


def test_wav_of_eight_bytes_is_left_to_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers wider than any sound needs are none that are read here."""
    content = bytearray(wav([1, 2, 3, 4]))
    struct.pack_into("<HH", content, 32, 8, 64)
    monkeypatch.setitem(sys.modules, "soundfile", SimpleNamespace(read=lambda *_, dtype: (dtype, 1)))
    assert Audio(bytes(content)).numpy() == ("float32", 1)


def test_soundfile_reads_what_wave_does_not() -> None:
    """With the real package: floats, more than one channel, and bytes that are no sound."""
    soundfile = pytest.importorskip("soundfile")
    samples, rate = Audio(float_wav([0.5, -0.25], 8_000), "audio/wav").numpy()
    assert (samples.tolist(), samples.dtype, rate) == ([0.5, -0.25], np.float32, 8_000)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([[0.5, -0.5], [0.25, 0]]), 44_100, format="FLAC")
    samples, rate = Audio(buffer.getvalue(), "audio/flac").numpy()
    assert (samples.tolist(), rate) == ([[0.5, -0.5], [0.25, 0]], 44_100)
    with pytest.raises(ResponseError, match="cannot be read"):
        Audio(b"not sound", "audio/flac").numpy()


@given(st.integers(0, 60), st.binary(max_size=60))
def test_broken_wav_is_read_or_refused(kept: int, rest: bytes) -> None:
    """Half a header is no error of Python."""
    pytest.importorskip("soundfile")
    with contextlib.suppress(ResponseError):
        samples, _ = Audio(wav(range(20))[:kept] + rest, "audio/wav").numpy()
        assert samples.dtype == np.float32


# Notebooks


@pytest.mark.parametrize(("image_format", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_a_notebook_shows_a_picture_as_it_is(image_format: str, media_type: str) -> None:
    """PNG and JPEG are shown by every notebook, in base64."""
    content = picture(image_format)
    image = Image(content, media_type)
    assert image._repr_mimebundle_() == {media_type: base64.b64encode(content).decode(), "text/plain": repr(image)}
    assert Image(content, media_type.replace("jpeg", "jpg"))._repr_mimebundle_(include=None, exclude=None).keys() == {
        media_type,
        "text/plain",
    }


@pytest.mark.parametrize("image_format", ["WEBP", "GIF", "BMP", "TIFF"])
def test_a_notebook_shows_other_pictures_as_png(image_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through PIL; without it a line of text has to do."""
    image = Image.of(picture(image_format))
    shown = PIL.Image.open(io.BytesIO(base64.b64decode(image._repr_mimebundle_()["image/png"])))
    assert (shown.format, shown.size) == ("PNG", (7, 5))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert image._repr_mimebundle_() == {"text/plain": repr(image)}


@pytest.mark.parametrize(("kind", "tag"), [(Audio, "audio"), (Video, "video")])
def test_a_notebook_plays_sound_and_films(kind: type[Audio | Video], tag: str) -> None:
    """With the browser's own controls; a type out of a server's mouth cannot add anything to the page."""
    file = kind(b"abc", f"{tag}/mp4")
    assert file._repr_html_() == f'<{tag} controls src="data:{tag}/mp4;base64,YWJj"></{tag}>'
    hostile = kind(b"abc", 'audio/mp4"><script>alert(1)</script>')._repr_html_()
    assert "<script" not in hostile
    assert hostile.count('"') == 2


def test_a_notebook_does_not_keep_a_large_film(tmp_path: Path) -> None:
    """It gets a line of text, and the film is not read for it."""
    with (tmp_path / "<film>.mp4").open("wb") as hole:
        hole.truncate(3 * 1024**4)
    shown = Video(media_type="video/mp4", path=tmp_path / "<film>.mp4")._repr_html_()
    assert "too large" in shown
    assert ".save(" in shown
    assert "<" not in shown


# What it costs


@pytest.mark.parametrize("use", ["", "; t.Image(b'a', 'image/png').save; t.Embeddings.from_rows([[1]]).cosine()"])
def test_nothing_heavy_is_imported_before_it_is_asked_for(use: str) -> None:
    """The types alone, and using them, cost no numpy, no PIL and no soundfile."""
    code = f"import sys; import hfclient.types as t{use}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} & {"numpy", "PIL", "soundfile", "IPython"} == set()
