"""A model's files fetched from the Hub into its cache: only those that are needed, with progress, and given up at once.

huggingface_hub does the work, so that what it has in its cache is everybody's. It reports to progress bars; ours
count, tell, and raise `Abandoned` where nobody wants the files any longer.
"""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast

from hfclient.errors import ModelFilesError
from hfclient.flow import Progress
from hfclient.local import checkpoint
from hfclient.local.download_faults import explained, failures

Hub: TypeAlias = Any  # its HfApi, whose progress bars have no types

_ATTEMPTS = 3
_PATIENCE = 10.0
_TEXTS = (".json", ".jinja", ".model", ".tiktoken", ".txt")  # configurations, templates and tokenizers
_MEGABYTE = 10**6


class Abandoned(Exception):  # noqa: N818  it is no fault
    """The download was given up, because its caller no longer wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is fetched from a repository: all that a model needs, or the one file that `gguf` names."""

    repo: str
    revision: str | None = None
    gguf: str | None = None
    allow_pickle: bool = False
    code: bool = False
    hub_url: str | None = None
    token: str | None = field(default=None, repr=False)


def is_offline() -> bool:
    """Whether the Hub must not be asked, as `HF_HUB_OFFLINE` says."""
    from huggingface_hub import constants  # noqa: PLC0415  wanted only where a model is not in the cache

    return constants.is_offline_mode()


def fetch(
    wanted: Wanted,
    *,
    check: Callable[[Path], object],
    tell: Callable[[Progress], None] | None,
    cancelled: Callable[[], bool],
) -> Path:
    """The folder these files are in, once they are all there.

    `check` is given the folder when no more than config.json lies in it, and may refuse the model before its weights
    are fetched. No token but the given one is sent: not one that this machine keeps.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415  wanted only where something is downloaded

    api: Hub = HfApi(endpoint=wanted.hub_url, token=wanted.token or False, library_name="hfclient")
    meter = Meter(tell=tell, cancelled=cancelled)
    meter.check()
    try:
        commit, sizes = _listing(api, wanted)
        names = plan(sizes, wanted)
        if checkpoint.CONFIG in names:
            found = api.hf_hub_download(wanted.repo, checkpoint.CONFIG, revision=commit, tqdm_class=meter.bars)
            check(Path(found).parent)
        meter.expect({name: sizes[name] for name in names}, _present(wanted.repo, commit, names))
        return _snapshot(api, wanted, names, meter)
    except failures() as error:
        meter.check()  # whatever broke when it was given up, that is why
        told = explained(error, wanted.repo, wanted.revision)
        if told is None:
            raise
        raise told from error


def plan(sizes: Mapping[str, int], wanted: Wanted) -> list[str]:
    """Which of a repository's files are needed: weights once, and in no other format than the one that is read."""
    if wanted.gguf is not None:
        if wanted.gguf not in sizes:
            raise _no_such_file(wanted, sizes)
        return [wanted.gguf]
    top = [name for name in sizes if "/" not in name]
    texts = [name for name in sizes if name.endswith(".jinja")]
    texts += [name for name in top if name.endswith(_TEXTS) and name not in texts]
    code = [name for name in sizes if name.endswith(".py")] if wanted.code else []
    _check_listing(top, wanted)
    safe = _standard(top, "model", ".safetensors")
    pickles = [] if safe else _standard(top, "pytorch_model", ".bin")
    unread = {checkpoint.PICKLES[1]} if safe else {checkpoint.SAFETENSORS[1]}
    return sorted({*texts, *code, *safe, *pickles} - unread)


def _check_listing(top: list[str], wanted: Wanted) -> None:
    """Refuse at once what could not be loaded once it was here."""
    where = wanted.repo
    if ggufs := [name for name in top if name.endswith(".gguf")]:
        advice = f"It holds GGUF files: name one of them, as {where}:{ggufs[0]}"
    elif "adapter_config.json" in top:
        advice = "It is an adapter (LoRA), not a model: merge it into its base model first."
    elif "model_index.json" in top:
        advice = "It is a pipeline of diffusers, which makes images; chat needs a language model."
    else:
        advice = "Name a repository that has its model in transformers' format, with safetensors."
    if checkpoint.CONFIG not in top:
        raise ModelFilesError(f"{where} has no {checkpoint.CONFIG}.", advice=advice, model=where)
    if _standard(top, "model", ".safetensors"):
        return
    pickles = _standard(top, "pytorch_model", ".bin")
    if pickles and not wanted.allow_pickle:
        raise checkpoint.only_pickle(where, pickles)
    if not pickles:
        raise ModelFilesError(f"{where} has no weights that can be read here.", advice=advice, model=where)


def _standard(names: list[str], stem: str, ending: str) -> list[str]:
    """The files of weights as transformers names them: one, or numbered ones."""
    return sorted(name for name in names if name == stem + ending or _numbered(name, stem, ending))


def _numbered(name: str, stem: str, ending: str) -> bool:
    middle = name.removeprefix(stem + "-").removesuffix(ending)
    first, _, last = middle.partition("-of-")
    return name == f"{stem}-{middle}{ending}" and first.isdigit() and last.isdigit()


def _no_such_file(wanted: Wanted, sizes: Mapping[str, int]) -> ModelFilesError:
    there = sorted(name for name in sizes if name.endswith(".gguf"))
    advice = f"There is {', '.join(there)}." if there else "It has no GGUF files at all."
    return ModelFilesError(f"{wanted.repo} has no file {wanted.gguf}.", advice=advice, model=wanted.repo)


def _listing(api: Hub, wanted: Wanted) -> tuple[str, dict[str, int]]:
    info = api.model_info(wanted.repo, revision=wanted.revision, files_metadata=True, timeout=_PATIENCE)
    return str(info.sha), {each.rfilename: each.size or 0 for each in info.siblings or ()}


def _present(repo: str, commit: str, names: list[str]) -> set[str]:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    return {name for name in names if isinstance(try_to_load_from_cache(repo, name, revision=commit), str)}


def _snapshot(api: Hub, wanted: Wanted, names: list[str], meter: Meter, attempts: int = _ATTEMPTS) -> Path:
    try:
        folder = api.snapshot_download(
            wanted.repo,
            revision=wanted.revision,
            allow_patterns=[glob.escape(name) for name in names],
            tqdm_class=meter.bars,
        )
    except RuntimeError as error:  # downloads over Xet share a session: one that is given up takes the rest with it
        meter.check()
        if attempts == 1 or "cancelled" not in str(error):
            raise
        return _snapshot(api, wanted, names, meter, attempts - 1)
    meter.finish()
    return Path(folder)


@dataclass(kw_only=True)
class Meter:
    """Counts the bytes of one download, over all of its files and threads."""

    tell: Callable[[Progress], None] | None
    cancelled: Callable[[], bool]
    total: int = 0
    already: int = 0
    _bytes: dict[int, int] = field(default_factory=dict[int, int])
    _told: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, sizes: Mapping[str, int], present: set[str]) -> None:
        self.total = sum(sizes.values())
        self.already = sum(size for name, size in sizes.items() if name in present)
        self._bytes.clear()
        self._say()

    def check(self) -> None:
        """Raise where nobody waits for the files any longer."""
        if self.cancelled():
            _abort_xet()
            raise Abandoned

    def count(self, bar: int, amount: int) -> None:
        """A bar moved. The same bytes move two, as they arrive and as they are written: the one ahead counts."""
        self.check()
        with self._lock:
            self._bytes[bar] = self._bytes.get(bar, 0) + amount
            self._say()

    def finish(self) -> None:
        self.already = self.total
        self._bytes.clear()
        self._say()

    def _say(self) -> None:
        """Tell of every whole per cent, once."""
        done = min(self.total, self.already + max(self._bytes.values(), default=0))
        percent = 100 * done // self.total if self.total else 0
        if self.tell is None or not self.total or percent <= self._told:
            return
        self._told = percent
        said = f"{done / _MEGABYTE:.1f} of {self.total / _MEGABYTE:.1f} MB"
        self.tell(Progress("downloading", fraction=done / self.total, logs=(said,)))

    @cached_property
    def bars(self) -> Any:
        """A class of progress bars that show nothing and count here."""
        from huggingface_hub import utils  # noqa: PLC0415

        tqdm: Any = getattr(utils, "tqdm")  # noqa: B009  it is exported, and not said to be
        meter = self

        def begin(bar: Any, *arguments: Any, **what: Any) -> None:
            bar.counted = what.get("unit") == "B"  # the others count files
            tqdm.__init__(bar, *arguments, **{**what, "disable": True})
            if bar.counted and bar.n:
                meter.count(id(bar), int(bar.n))

        def update(bar: Any, amount: float | None = 1) -> None:
            bar.n += amount or 0
            meter.count(id(bar), int(amount or 0)) if bar.counted else meter.check()

        return type("Bar", (tqdm,), {"__init__": begin, "update": update})


def _abort_xet() -> None:
    """End what is under way over Xet: its progress bars are called from outside Python, where raising ends nothing."""
    try:
        from huggingface_hub.utils._xet import abort_xet_session  # noqa: PLC0415
    except ImportError:
        return
    cast("Callable[[], None]", abort_xet_session)()
