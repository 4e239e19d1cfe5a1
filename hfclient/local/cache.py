"""The Hugging Face cache on this machine, read without asking the Hub anything."""

from __future__ import annotations

from pathlib import Path

MAIN = "main"


def cache_folder() -> Path:
    """Where huggingface_hub keeps models, as `HF_HUB_CACHE` and `HF_HOME` say."""
    from huggingface_hub import constants  # noqa: PLC0415  wanted only where a model is looked for

    return Path(constants.HF_HUB_CACHE)


def snapshots(repo: str, revision: str | None) -> list[Path]:
    """The snapshots of a repository that may be used, the best first; whether they are whole is not looked at.

    A revision means its own snapshot alone. Without one it is that of `main`, and where that is not known, or not
    whole, those that no branch or tag is known for, the newest first: somebody's other revision is never taken for it.
    """
    storage = cache_folder() / f"models--{repo.replace('/', '--')}"
    folders = storage / "snapshots"
    if revision is not None:
        named = _within(folders, _commit(storage, revision) or revision)
        return [named] if named is not None and named.is_dir() else []
    if not folders.is_dir():
        return []
    others = {_read(path) for path in (storage / "refs").rglob("*") if path.is_file() and path.name != MAIN}
    main = _commit(storage, MAIN)
    free = [path for path in folders.iterdir() if path.is_dir() and path.name not in others | {main}]
    free.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    first = folders / main if main else None
    return [first, *free] if first is not None and first.is_dir() else free


def _commit(storage: Path, revision: str) -> str | None:
    path = _within(storage / "refs", revision)
    return _read(path) if path is not None and path.is_file() else None


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace").strip()


def _within(folder: Path, name: str) -> Path | None:
    """The path of this name below the folder; a name that leads out of it has none."""
    path = folder / name
    return None if ".." in Path(name).parts or path == folder or Path(name).is_absolute() else path
