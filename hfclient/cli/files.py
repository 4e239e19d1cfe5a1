"""Where results that are files go: to the place that was named, else beside what is there already, never over it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hfclient.types.files import File

STANDARD_OUTPUT = Path("-")
SUFFIXES = {"image": ".png", "video": ".mp4", "audio": ".wav", "speech": ".wav"}  # what comes as a rule
SOURCE = click.Path(dir_okay=False, exists=True, path_type=Path)
OUTPUT = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


def options(output: Path | None, stem: str) -> dict[str, Any]:
    """What tells a call to put its result on disk; for standard output it stays in memory."""
    if output == STANDARD_OUTPUT:
        return {}
    return {"save_to": output or free(stem, SUFFIXES[stem.rpartition("-")[2]])}


def free(stem: str, suffix: str) -> Path:
    """A name that is not taken: `image.png`, then `image-2.png`."""
    names = (Path(f"{stem}{f'-{number}' if number > 1 else ''}{suffix}") for number in count(1))
    return next(name for name in names if not name.exists())


def fitting(file: File, stem: str) -> File:
    """The file under a name that ends in what goes with its type, where that is not what had been expected."""
    if file.path is None or file.suffix in {"", file.path.suffix}:
        return file
    return _lying_at(file.path.rename(free(stem, file.suffix)), file).with_meta(file.meta)


def kept(result: Any, stem: str) -> Any:
    """The result with the files that are in it on disk: the tracks of a sound, the masks of a picture, raw bytes."""
    from hfclient.types.files import File
    from hfclient.types.items import Items
    from hfclient.types.raw import RawAnswer

    if isinstance(result, RawAnswer) and not result.media_type.startswith(("application/json", "text/")):
        file = File.of(result.content, declared=result.media_type)
        return _lying_at(file.save(free(stem, file.suffix)), file).with_meta(result.meta)
    if not isinstance(result, Items):
        return result
    items: list[Any] = [_kept(item, stem) for item in result]  # pyright: ignore[reportUnknownVariableType]
    return Items(items).with_meta(result.meta)


def _kept(item: Any, stem: str) -> Any:
    from pydantic import BaseModel

    from hfclient.types.files import File

    parts = dict(item) if isinstance(item, BaseModel) else {}
    saved = {
        name: _lying_at(part.save(free(stem, part.suffix)), part)
        for name, part in parts.items()
        if isinstance(part, File)
    }
    return item.model_copy(update=saved) if saved else item


def _lying_at(path: Path, file: File) -> File:
    return type(file)(media_type=file.media_type, url=file.url, path=path)
