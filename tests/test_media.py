"""Media as callers give it: accepted or refused at once, read once, and known by its bytes."""

from __future__ import annotations

import base64
import io
import os
import struct
import tempfile
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hfclient.errors import InputError
from hfclient.media import Loaded, Media, as_media, is_media, kind_of, media_type_of, turn_with
from hfclient.types import Audio, File, Image, Video

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
JPEG = b"\xff\xd8\xff\xe0" + bytes(16)


def box(brand: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(body) + 4) + body + bytes(32)


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(320))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM" + bytes(12) + struct.pack("<I", 40), "image/bmp"),
        (b"II*\x00", "image/tiff"),
        (b"MM\x00*", "image/tiff"),
        (box(b"avif"), "image/avif"),
        (box(b"heic"), "image/heic"),
        (box(b"mif1", b"mif1", b"heic"), "image/heic"),
        (box(b"mif1", b"miaf", b"avif"), "image/avif"),
        (box(b"mif1", b"miaf"), "image/heif"),
        (wav(), "audio/wav"),
        (b"FORM\x00\x00\x00\x00AIFF", "audio/aiff"),
        (b"fLaC", "audio/flac"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x40\xc4", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"OggS\x00\x02" + bytes(20) + b"\x01\x13OpusHead", "audio/ogg"),
        (b"OggS\x00\x02" + bytes(20) + b"\x01\x1e\x01vorbis", "audio/ogg"),
        (b"OggS\x00\x02" + bytes(20) + b"\x01\x2a\x80theora", "video/ogg"),
        (b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm" + b"V_VP9" + b"A_OPUS", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm" + b"A_OPUS", "audio/webm"),
        (b"\x1a\x45\xdf\xa3\x01\x42\x82\x88matroska", "video/x-matroska"),
        (box(b"isom"), "video/mp4"),
        (box(b"3gp4"), "video/3gpp"),
        (box(b"M4A "), "audio/mp4"),
        (box(b"qt  "), "video/quicktime"),
        (b"\x00\x00\x00\x08wide", "video/quicktime"),
        (b"%PDF-1.7", "application/pdf"),
    ],
)
def test_the_first_bytes_say_what_media_is(content: bytes, media_type: str) -> None:
    """Every format that models take is known by its bytes alone."""
    assert media_type_of(content) == media_type


@pytest.mark.parametrize(
    "content",
    [b"", b"B", b"BM, said the text", b"\xff", "a".encode("utf-16"), b"\xff\xfb\xf0\x64", b"\xff\xfb\x9c\x64", b"RIFF"],
)
def test_what_no_format_begins_with_stays_unknown(content: bytes) -> None:
    """Text that happens to begin like a format is not taken for one."""
    assert media_type_of(content) == "application/octet-stream"


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"???", "talk.FLAC", "audio/flac"),
        (b"<svg/>", "dir.png/logo.svg", "image/svg+xml"),
        (b"???", "noname", "application/octet-stream"),
        (b"???", "why?.mp3", "audio/mpeg"),
        (b"???", "https://example.com/talk.mp3?as=.png", "audio/mpeg"),
        (PNG, "wrong.jpg", "image/png"),
        (box(b"isom"), "talk.m4a", "audio/mp4"),
        (box(b"isom"), "film.mp4", "video/mp4"),
    ],
)
def test_the_name_helps_where_the_bytes_cannot(content: bytes, name: str, media_type: str) -> None:
    """Bytes win over the name, except that a name may say which of two a container holds."""
    assert media_type_of(content, name) == media_type


@given(st.binary(), st.none() | st.text())
def test_sniffing_takes_any_bytes_and_any_name(content: bytes, name: str | None) -> None:
    """Whatever comes in, a media type comes out."""
    assert "/" in media_type_of(content, name)


@pytest.mark.parametrize("start", [b"", b"RIFF", b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x00\x40ftyp", b"BM", b"\xff"])
@given(rest=st.binary(max_size=64))
def test_sniffing_survives_cut_and_broken_headers(start: bytes, rest: bytes) -> None:
    """A header that ends too soon, or means nothing, is no error."""
    assert "/" in media_type_of(start + rest)


@given(st.binary(min_size=1), st.sampled_from(["image/png", "audio/x-wav", "video/mp4"]))
@example(b"\xfb\xff\xbe", "image/png")
def test_a_data_uri_brings_back_the_same_bytes(content: bytes, media_type: str) -> None:
    """What `data_uri` writes, `read` reads."""
    loaded = Loaded(content, media_type)
    assert Media(loaded.data_uri()).read() == loaded


@pytest.mark.parametrize(
    ("uri", "loaded"),
    [
        ("data:audio/ogg;codecs=opus;base64,YWJj", Loaded(b"abc", "audio/ogg")),
        ("DATA:image/svg+xml,%3Csvg%2F%3E", Loaded(b"<svg/>", "image/svg+xml")),
        ("data:image/png;base64,YW Jj\nZA", Loaded(b"abcd", "image/png")),
        ("data:image/png;base64,YWJjZA%3D%3D", Loaded(b"abcd", "image/png")),
        ("data:;base64," + base64.b64encode(PNG).decode(), Loaded(PNG, "image/png")),
        ("data:application/octet-stream;base64," + base64.b64encode(PNG).decode(), Loaded(PNG, "image/png")),
        ("data:text/plain,abc", Loaded(b"abc", "text/plain")),
        ("data:,abc", Loaded(b"abc", "application/octet-stream")),
    ],
)
def test_a_data_uri_is_read_as_browsers_read_it(uri: str, loaded: Loaded) -> None:
    """Parameters, percent signs, line breaks and missing padding are all in order; a label that says nothing is not."""
    assert Media(uri).read() == loaded


@pytest.mark.parametrize("uri", ["data:image/png;base64", "data:image/png;base64,a", "data:image/png;base64,é!?*"])
def test_a_bad_data_uri_is_refused_without_being_shown(uri: str) -> None:
    """The error says what is wrong and does not repeat the data."""
    with pytest.raises(InputError, match="image/png"):
        Media(uri).read()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_in_any_wrapping_give_the_same(kind: Any) -> None:
    """Bytes, bytearray, memoryview and BytesIO are all read, twice alike."""
    media = as_media(kind(PNG), strings="url")
    assert media.read() == media.read() == Loaded(PNG, "image/png")


def test_a_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    """An open file is read from its position, which is put back, and its name helps to tell what it is."""
    (tmp_path / "talk.mp3").write_bytes(b"headsound")
    with (tmp_path / "talk.mp3").open("rb") as file:
        file.seek(4)
        media = as_media(file, strings="url")
        assert media.read() == media.read() == Loaded(b"sound", "audio/mpeg")
        assert file.tell() == 4
        assert "talk.mp3" in repr(media)
    with pytest.raises(InputError, match="cannot be read"):
        media.read()


def test_threads_that_share_an_open_file() -> None:
    """Each read of a shared file begins where it stands, however many threads read it, whatever its kind."""

    class Slotted:
        __slots__ = ("file",)

        def __init__(self) -> None:
            self.file = io.BytesIO(PNG)

        def read(self) -> bytes:
            return self.file.read()

    media = Media(io.BytesIO(PNG * 100))
    with ThreadPoolExecutor(8) as threads:
        assert {loaded.content for loaded in threads.map(lambda _: media.read(), range(200))} == {PNG * 100}
    assert turn_with(media.source) is turn_with(media.source)
    assert Media(Slotted()).read().content == PNG  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "remote"),
    [
        ("https://example.com/a", True),
        ("HTTP://example.com/a", True),
        ("data:,a", False),
        (Path("a"), False),
        (PNG, False),
    ],
)
def test_what_must_be_fetched(source: Any, remote: bool) -> None:
    """Only an http(s) address is somewhere else."""
    assert Media(source).is_remote is remote


def test_a_temporary_file_is_a_file() -> None:
    """What `tempfile` gives is read too."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(PNG)
        file.seek(0)
        assert as_media(file, strings="url").read().media_type == "image/png"


def test_a_pipe_can_be_read_once_and_says_so() -> None:
    """A file that cannot be rewound is empty the second time, which is an error and not an empty request."""
    reading, writing = os.pipe()
    os.write(writing, PNG)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        media = as_media(file, strings="url")
        assert media.read().content == PNG
        with pytest.raises(InputError, match="read to its end"):
            media.read()


def test_a_path_is_read_and_offered(tmp_path: Path) -> None:
    """A path is loaded with its type, and `path` hands it to whoever streams it from disk."""
    file = tmp_path / "cat.png"
    file.write_bytes(JPEG)
    media = as_media(file, strings="url")
    assert media.read() == Loaded(JPEG, "image/jpeg")
    assert media.path == file
    assert media.url is None
    assert as_media(str(file), strings="path-or-url") == media


@pytest.mark.parametrize("kind", [File, Image, Audio, Video])
def test_what_a_call_gave_goes_into_the_next(kind: type[File], tmp_path: Path) -> None:
    """A result is media: its bytes under the type it came with, or the file it was saved to; never its address."""
    result = kind(JPEG, "image/x-mine", url="https://host.invalid/a.jpg?token=hf_fake_secret")
    assert is_media(result)
    media = as_media(result, strings="url")
    assert media.read() == Loaded(JPEG, "image/x-mine")
    assert media == Media(result) == Media(JPEG, "image/x-mine")
    assert media.url is None
    (tmp_path / "made").write_bytes(PNG)
    saved = as_media(kind(path=tmp_path / "made"), strings="url")
    assert saved.path == tmp_path / "made"
    assert saved.read() == Loaded(PNG, "image/png")
    assert Media(result, "image/png").read() == Loaded(JPEG, "image/png")


def test_a_result_that_was_deleted_is_refused(tmp_path: Path) -> None:
    """It was saved, and is there no more: the error says where it was looked for, before anything is sent."""
    media = as_media(Image(media_type="image/png", path=tmp_path / "gone.png"), strings="url")
    with pytest.raises(InputError, match=r"no file .*gone\.png"):
        media.read()


def test_a_url_is_left_to_the_transport() -> None:
    """`url` says what to fetch, and reading it here is an error."""
    media = as_media("https://example.com/cat.png?X-Signature=secret", strings="path-or-url")
    assert media.url == "https://example.com/cat.png?X-Signature=secret"
    assert media.path is None
    with pytest.raises(InputError, match=r"example\.com/cat\.png'"):
        media.read()


def test_a_given_media_type_wins() -> None:
    """What the caller says the media is, it is."""
    assert Media(PNG, "image/x-mine").read() == Loaded(PNG, "image/x-mine")


@pytest.mark.parametrize(
    ("media", "kind"),
    [
        (Media(PNG), "other"),
        (Media(PNG, "audio/wav"), "audio"),
        (Media("https://example.com/a.mp4?x=.png"), "video"),
        (Media("https://example.com/a"), "other"),
        (Media("data:image/png;base64,YQ"), "image"),
        (Media(Path("a.flac")), "audio"),
        (Media(Video(b"?", "video/mp4")), "video"),
        (Media(File(PNG)), "other"),
    ],
)
def test_the_kind_is_told_without_reading_where_it_can_be(media: Media, kind: str) -> None:
    """A label, a name or a URL tells; bare bytes do not."""
    assert media.kind == kind


def test_labels_that_come_with_bytes_count_where_they_say_something() -> None:
    """A server's Content-Type is taken without its parameters, unless it says nothing."""
    assert Loaded.of(b"?", declared="audio/webm;codecs=opus").media_type == "audio/webm"
    assert Loaded.of(PNG, declared="binary/octet-stream").media_type == "image/png"
    assert Loaded.of(b"?", declared="text/html; charset=utf-8").media_type == "text/html"


def test_what_is_missing_or_empty_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """Each says what was given: no file, a directory, nothing in it, an impossible name."""
    (tmp_path / "empty.png").touch()
    for source, message in [
        (tmp_path / "none.png", r"no file .*none\.png"),
        (tmp_path, "is a directory"),
        (tmp_path / "empty.png", r"empty\.png' is empty"),
        (Path("a\0b"), "cannot be read"),
        (b"", "<0 B of bytes> is empty"),
        ("cat.png", r"'cat\.png' cannot be read here"),
    ]:
        with pytest.raises(InputError, match=message):
            Media(source).read()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """A file without permission is the caller's error, with the system's reason."""
    file = tmp_path / "secret.png"
    file.write_bytes(PNG)
    file.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        Media(file).read()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "of type int"),
        (None, "of type NoneType"),
        ([PNG], "of type list"),
        ({"url": "x"}, "of type dict"),
        (Path, "of type type"),
        (io.StringIO("x"), "opened as text"),
        ("cat.png", r"the picture is 'cat\.png', neither"),
        ("", "neither"),
        ("ftp://example.com/x", "neither"),
    ],
)
def test_what_is_not_media_is_refused_at_once(value: Any, message: str) -> None:
    """The wrong type is named, together with the argument it was passed for."""
    with pytest.raises(InputError, match=message) as caught:
        as_media(value, strings="url", what="the picture")
    assert "Pass" in caught.value.advice or "pass" in caught.value.advice or "Open" in caught.value.advice
    assert isinstance(value, str) or not is_media(value)


def test_a_string_that_might_be_a_path_is_explained() -> None:
    """Where strings are URLs only, the advice shows how to name a file; a long one is not repeated."""
    with pytest.raises(InputError) as caught:
        as_media("cat.png", strings="url")
    assert "Path('cat.png')" in caught.value.advice
    with pytest.raises(InputError) as caught:
        as_media("iVBORw0KGgo" * 1000, strings="url")
    assert len(str(caught.value)) < 300
    with pytest.raises(InputError):
        as_media("s3://bucket/cat.png", strings="path-or-url")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_asynchronous_file_is_refused_at_once(tmp_path: Path, backend: str) -> None:
    """It could only be read with await, which a worker thread cannot do."""

    async def attempt() -> None:
        (tmp_path / "a.png").write_bytes(PNG)
        async with await anyio.open_file(tmp_path / "a.png", "rb") as file:
            with pytest.raises(InputError, match="asynchronous"):
                as_media(file, strings="url")

    anyio.run(attempt, backend=backend)


def test_a_file_that_gives_text_is_refused_when_read() -> None:
    """A file-like object of one's own may turn out to be text only on reading."""

    class Text:
        def read(self) -> str:
            return "text"

    with pytest.raises(InputError, match="gives str"):
        as_media(Text(), strings="url").read()


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (bytes(1_200_000), "Media(<1.2 MB of bytes>)"),
        (bytearray(2_000), "Media(<2.0 kB of bytes>)"),
        (memoryview(b"ab"), "Media(<2 B of bytes>)"),
        (Path("cat.png"), "Media('cat.png')"),
        (
            "https://user:pass@example.com/cat.png?token=hf_fake_secret#hf_fake_too",
            "Media('https://example.com/cat.png')",
        ),
        ("data:image/png;base64," + "A" * 5000, "Media(<data:image/png of 5.0 kB>)"),
        (io.BytesIO(b"secret"), "Media(<open file>)"),
    ],
)
def test_a_repr_is_short_and_keeps_secrets(source: Any, shown: str) -> None:
    """No bytes, no query string and no password is ever shown."""
    assert repr(Media(source)) == shown


def test_loaded_media_does_not_show_its_bytes() -> None:
    """A log line with loaded media in it stays a line."""
    assert repr(Loaded(bytes(5000), "image/png")) == "Loaded(<5.0 kB of image/png>)"


def test_kinds_are_told_from_the_first_word() -> None:
    """Everything that is neither picture, sound nor film is other."""
    assert [kind_of(t) for t in ("image/png", "AUDIO/wav", "video/mp4", "application/pdf", "")] == [
        "image",
        "audio",
        "video",
        "other",
        "other",
    ]


@pytest.mark.parametrize(
    ("mode", "own_format", "media_type"),
    [
        ("RGB", None, "image/png"),
        ("RGB", "JPEG", "image/jpeg"),
        ("RGB", "WEBP", "image/webp"),
        ("RGB", "GIF", "image/png"),
        ("RGBA", "JPEG", "image/png"),
        ("CMYK", None, "image/png"),
        ("CMYK", "JPEG", "image/jpeg"),
        ("F", None, "image/png"),
    ],
)
def test_a_pil_image_is_written_in_its_own_format_or_as_png(mode: str, own_format: str | None, media_type: str) -> None:
    """A format that models take is kept; what a format cannot hold is written as PNG."""
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.new(mode, (3, 2))
    picture.format = own_format
    media = as_media(picture, strings="url")
    loaded = media.read()
    assert loaded.media_type == media_type
    assert pillow.open(io.BytesIO(loaded.content)).size == (3, 2)
    assert repr(media) == f"Media(<PIL image, {mode}, 3x2>)"


def test_a_closed_pil_image_is_refused(tmp_path: Path) -> None:
    """PIL's complaint becomes an error of ours."""
    pillow = pytest.importorskip("PIL.Image")
    pillow.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with pillow.open(tmp_path / "a.png") as picture:
        media = as_media(picture, strings="url")
    with pytest.raises(InputError, match="cannot be saved"):
        media.read()
