"""What bytes are: their first few decide, and their name helps where those cannot."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["image", "audio", "video", "other"]

UNKNOWN_TYPE = "application/octet-stream"

_BY_START = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"%PDF-", "application/pdf"),
)
_BY_CHUNK_FORM = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"RF64", b"WAVE"): "audio/wav",
    (b"RIFF", b"AVI "): "video/x-msvideo",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}
_BRANDS = {
    "image/avif": (b"avif", b"avis"),
    "image/heic": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"),
    "image/heif": (b"mif1", b"msf1"),
    "audio/mp4": (b"M4A ", b"M4B "),
    "video/quicktime": (b"qt  ",),
    "video/3gpp": (b"3gp4", b"3gp5", b"3gp6"),
}
# Our own table: the answers of the mimetypes module differ from one machine to the next.
_SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/svg+xml": "svg",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg oga opus",
    "audio/webm": "webm weba",  # what browsers call it, and what transcription services know
    "audio/mp4": "m4a m4b",
    "audio/aac": "aac",
    "audio/aiff": "aiff aif",
    "audio/amr": "amr",
    "video/mp4": "mp4 m4v",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpg mpeg",
    "video/ogg": "ogv",
    "video/3gpp": "3gp",
    "application/pdf": "pdf",
}
_BY_BRAND = {brand: media_type for media_type, brands in _BRANDS.items() for brand in brands}
_BY_SUFFIX = {suffix: media_type for media_type, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
# What servers call the types above besides; a leading x- is dropped first.
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/opus": "audio/ogg",
}
_LABEL = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}


def kind_of(media_type: str) -> Kind:
    match media_type.partition("/")[0].strip().lower():
        case "image" | "audio" | "video" as kind:
            return kind
        case _:
            return "other"


def media_type_of(content: bytes, name: str | None = None) -> str:
    """What the bytes say they are; failing that, what the name says; failing that, application/octet-stream."""
    found = _sniffed(content)
    named = type_by_name(name or "")
    if found is None:
        return named
    # An MP4 without a telling brand may hold sound alone, and only its name (.m4a) says so.
    same_container = found.partition("/")[2] == named.partition("/")[2]
    return named if same_container else found


def labelled_type(content: bytes, *, declared: str | None, name: str | None = None, kind: Kind = "other") -> str:
    """The type a label gives, or where it says nothing, or not the `kind` that was wanted, the type of the bytes."""
    label = (declared or "").partition(";")[0].strip().lower()
    if not _LABEL.fullmatch(label):
        label = ""
    if kind_of(label) != "other" and kind in ("other", kind_of(label)):
        return label
    found = media_type_of(content, name)
    if found == UNKNOWN_TYPE:
        return label or found
    # Sound alone in a container that is mostly for films, and the other way round.
    sibling = f"{kind}/{found.partition('/')[2]}"
    return sibling if sibling in _SUFFIXES else found


def suffix_of(media_type: str) -> str:
    """What the name of such a file ends with, dot included; "" where nobody knows."""
    bare = media_type.partition(";")[0].strip().lower().replace("/x-", "/")
    for known in (bare, _OTHER_NAMES.get(bare, ""), bare.replace("/", "/x-")):
        if known in _SUFFIXES:
            return f".{_SUFFIXES[known].partition(' ')[0]}"
    return ""


def spoken_size(count: int) -> str:
    """So many bytes, for people to read."""
    kilo, mega = 1_000, 1_000_000
    if count < kilo:
        return f"{count} B"
    return f"{count / kilo:.1f} kB" if count < mega else f"{count / mega:.1f} MB"


def _sniffed(content: bytes) -> str | None:
    return (
        next((media_type for start, media_type in _BY_START if content.startswith(start)), None)
        or _BY_CHUNK_FORM.get((content[:4], content[8:12]))
        or _ogg_type(content)
        or _ebml_type(content)
        or _mp4_type(content)
        or _bmp_type(content)
        or _mpeg_audio_type(content[:4])
    )


def _ogg_type(content: bytes) -> str | None:
    if not content.startswith(b"OggS"):
        return None
    return "video/ogg" if b"\x80theora" in content[:256] else "audio/ogg"


def _ebml_type(content: bytes) -> str | None:
    if not content.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    if b"webm" not in content[:64]:
        return "video/x-matroska"
    # Codec names in the list of tracks tell sound alone, as browsers record it, from video.
    tracks = content[:4096]
    return "audio/webm" if b"A_" in tracks and b"V_" not in tracks else "video/webm"


def _mp4_type(content: bytes) -> str | None:
    if content[4:8] in {b"moov", b"wide"}:
        return "video/quicktime"
    if content[4:8] != b"ftyp":
        return None
    main = content[8:12]
    if _BY_BRAND.get(main) != "image/heif":
        return _BY_BRAND.get(main, "video/mp4")
    # That brand is any still image's; the compatible brands name the codec.
    end = min(int.from_bytes(content[:4], "big"), 128)
    codecs = (_BY_BRAND.get(content[at : at + 4], "") for at in range(16, end, 4))
    return next((codec for codec in codecs if codec in {"image/avif", "image/heic"}), "image/heif")


def _bmp_type(content: bytes) -> str | None:
    header_size = int.from_bytes(content[14:18], "little")
    return "image/bmp" if content.startswith(b"BM") and header_size in _BMP_HEADER_SIZES else None


def _mpeg_audio_type(header: bytes) -> str | None:
    # MP3 and AAC both begin with a row of ones. Where an MP3 has its layer, 01, an AAC stream has 00.
    bits = int.from_bytes(header, "big")
    if bits & 0xFFF6_0000 == 0xFFF0_0000:  # noqa: PLR2004  bits of the header, not a quantity
        return "audio/aac"
    layer_three = bits & 0xFFE6_0000 == 0xFFE2_0000  # noqa: PLR2004  likewise
    reserved = bits & 0x18_0000 == 0x08_0000 or bits & 0xF000 == 0xF000 or bits & 0x0C00 == 0x0C00  # noqa: PLR2004  likewise
    return "audio/mpeg" if layer_three and not reserved else None


def type_by_name(name: str) -> str:
    if "://" in name:
        name = name.partition("#")[0].partition("?")[0]
    return _BY_SUFFIX.get(PurePosixPath(name).suffix[1:].lower(), UNKNOWN_TYPE)


# The markers of JPEG that begin with the size of the picture, and those that stand alone.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}


def dimensions_of(content: bytes) -> tuple[int, int] | None:
    """Width and height of a picture in a format whose first bytes say so plainly; None for any other."""
    found: tuple[int, ...] = ()
    with suppress(struct.error):
        match media_type_of(content):
            case "image/png" if content[12:16] == b"IHDR":
                found = struct.unpack_from(">II", content, 16)
            case "image/gif":
                found = struct.unpack_from("<HH", content, 6)
            case "image/jpeg":
                found = _jpeg_dimensions(content)
            case "image/webp":
                found = _webp_dimensions(content)
            case _:
                pass
    return (found[0], found[1]) if found and all(found) else None


def _jpeg_dimensions(content: bytes) -> tuple[int, ...]:
    at = 2
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1 : at + 2]
        (code,) = marker or b"\0"
        if code in _JPEG_FRAMES:
            return struct.unpack_from(">HH", content, at + 5)[::-1]
        filling = marker == b"\xff"
        at += 1 if filling else 2
        if code not in _JPEG_ALONE and not filling:
            at += struct.unpack_from(">H", content, at)[0]
    return ()


def _webp_dimensions(content: bytes) -> tuple[int, ...]:
    match content[12:16]:
        case b"VP8X":
            return tuple(1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27) if content[at + 2 :])
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return tuple(side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
        case _:
            return ()
