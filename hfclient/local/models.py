"""From the name of a model to its files on this machine: the cache first, and the Hub only for what is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hfclient.errors import InputError, ModelFilesError
from hfclient.flow import Progress
from hfclient.local import cache, checkpoint
from hfclient.local.capability import Capability, check_capability
from hfclient.local.download_faults import not_here
from hfclient.local.downloads import Wanted, fetch, is_offline
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions

Framework: TypeAlias = Literal["torch", "mlx"]

TEXT: tuple[Capability, ...] = ("text",)
TINY = "tiny"
TINY_FOLDER = Path(__file__).parent / "tiny" / "model"

ALIASES: Mapping[Framework, Mapping[str, str]] = {
    "torch": {
        "deepseek": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        "gemma": "google/gemma-3-1b-it",
        "granite": "ibm-granite/granite-3.3-2b-instruct",
        "llama": "meta-llama/Llama-3.2-1B-Instruct",
        "mistral": "mistralai/Mistral-7B-Instruct-v0.3",
        "phi": "microsoft/Phi-4-mini-instruct",
        "qwen": "Qwen/Qwen3-0.6B",
        "smollm": "HuggingFaceTB/SmolLM3-3B",
    },
    "mlx": {
        "deepseek": "mlx-community/DeepSeek-R1-Distill-Qwen-1.5B-4bit",
        "gemma": "mlx-community/gemma-3-1b-it-4bit",
        "granite": "mlx-community/granite-3.3-2b-instruct-4bit",
        "llama": "mlx-community/Llama-3.2-1B-Instruct-4bit",
        "mistral": "mlx-community/Mistral-7B-Instruct-v0.3-4bit",
        "phi": "mlx-community/Phi-4-mini-instruct-4bit",
        "qwen": "mlx-community/Qwen3-0.6B-4bit",
        "smollm": "mlx-community/SmolLM3-3B-4bit",
    },
}

_REPO = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
_HUB = re.compile(_REPO)
_HUB_GGUF = re.compile(rf"({_REPO}):(.+\.gguf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name points: to something on the disk, or to a repository; and which GGUF file there, if it is one."""

    path: Path | None = None
    repo: str | None = None
    gguf: str | None = None


def _never() -> bool:
    return False


def find(
    name: str,
    options: LocalOptions,
    *,
    engine: Framework,
    token: str | None = None,
    tell: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] = _never,
    wanted: Collection[Capability] = TEXT,
    hub_url: str | None = None,
    offline: bool = False,
) -> ModelFiles:
    """The files of this model, downloaded where they are not on this machine yet. It blocks: call it in a thread.

    `tell` is called from other threads than the caller's, one call at a time. A download that `cancelled` ends raises
    `Abandoned`. `token` is the only one that is sent, and to `hub_url`: None means none, and huggingface_hub's own Hub.
    `offline` asks no Hub, as `HF_HUB_OFFLINE` does.
    """
    place = place_of(name, options, engine)
    if place.gguf is not None and engine == "mlx":
        raise InputError(f"{name} is a GGUF file, which only PyTorch reads here.", advice="Pass engine='torch'.")
    search = _Search(
        options=options,
        engine=engine,
        token=token,
        tell=tell,
        cancelled=cancelled,
        wanted=wanted,
        hub_url=hub_url,
        offline=offline or is_offline(),
    )
    if place.repo is None:
        return search.on_disk((place.path or Path()).absolute(), place.gguf)
    return search.gguf_on_hub(place.repo, place.gguf) if place.gguf else search.on_hub(place.repo)


def short_names(options: LocalOptions | None = None) -> dict[str, str]:
    """What each alias stands for with the engine that these options choose, and the model in the box."""
    from hfclient.local.shelf import engine_for  # noqa: PLC0415

    options = options or LocalOptions()
    return {TINY: "in the box", **ALIASES[engine_for(options)], **options.aliases}


def place_of(name: str, options: LocalOptions, engine: Framework) -> Place:
    """Where this name points, without asking anybody."""
    for _ in range(2):  # an alias may stand for another one
        name = options.aliases.get(name, name)
    name = ALIASES[engine].get(name, name)
    if name == TINY and TINY not in options.aliases:
        return Place(path=TINY_FOLDER)
    if found := _HUB_GGUF.fullmatch(name):
        if ".." in Path(found[2]).parts or Path(found[2]).is_absolute():
            raise InputError(f"{name!r} leads out of its repository.", advice="Name a file in it, or its path alone.")
        return Place(repo=found[1], gguf=found[2])
    path = Path(name).expanduser()
    if name.lower().endswith(".gguf"):
        return Place(path=path, gguf=path.name)
    if path.is_absolute() or name.startswith((".", "~")) or (path / checkpoint.CONFIG).is_file():
        return Place(path=path)
    if _HUB.fullmatch(name) and ".." not in name:
        return Place(repo=name)
    raise _unknown(name, {TINY, *ALIASES[engine], *options.aliases})


def _unknown(name: str, known: set[str]) -> InputError:
    near = difflib.get_close_matches(name, known, 1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return InputError(
        f"{name!r} is neither an alias, nor a folder with a model, nor the name of one on the Hub.",
        advice=f"{meant}Pass org/name, a folder, a GGUF file, or one of {', '.join(sorted(known))}.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One look for a model, and how it is to be looked for."""

    options: LocalOptions
    engine: Framework
    token: str | None = field(repr=False)
    tell: Callable[[Progress], None] | None
    cancelled: Callable[[], bool]
    wanted: Collection[Capability]
    hub_url: str | None
    offline: bool

    def on_disk(self, path: Path, gguf: str | None) -> ModelFiles:
        if gguf is None and not path.is_dir():
            raise ModelFilesError(f"There is no folder {path}.", advice="Is its path right? On the Hub it is org/name.")
        if gguf is not None and not path.is_file():
            raise ModelFilesError(f"There is no file {path}.", advice="Is its path right?")
        if gguf is not None:
            return _of_gguf(str(path), path)
        return self._of_folder(TINY if path == TINY_FOLDER else str(path), path)

    def on_hub(self, repo: str) -> ModelFiles:
        folder = self._kept(repo)
        if folder is None:
            folder = self._fetch(repo, None, partial(self._check, repo))
        return self._of_folder(repo, folder)

    def gguf_on_hub(self, repo: str, gguf: str) -> ModelFiles:
        revision = self.options.revision
        folders = cache.snapshots(repo, revision)
        folder = next((folder for folder in folders if (folder / gguf).is_file()), None)
        if folder is None and self.offline:
            raise not_here(repo, revision, gguf=gguf)
        if folder is None:
            folder = self._fetch(repo, gguf, lambda _: None)
        return _of_gguf(f"{repo}:{gguf}", folder / gguf)

    def _fetch(self, repo: str, gguf: str | None, check: Callable[[Path], object]) -> Path:
        wanted = Wanted(
            repo=repo,
            revision=self.options.revision,
            gguf=gguf,
            allow_pickle=self.options.allow_pickle,
            code=self.options.trust_remote_code,
            hub_url=self.hub_url,
            token=self.token,
        )
        return fetch(wanted, check=check, tell=self.tell, cancelled=self.cancelled)

    def _kept(self, repo: str) -> Path | None:
        """The snapshot of the cache that has this model whole; None where the Hub has to be asked."""
        reasons: list[ModelFilesError] = []
        for folder in cache.snapshots(repo, self.options.revision):
            if (folder / checkpoint.CONFIG).is_file():
                self._check(repo, folder)
            reason = self._lacking(folder)
            if reason is None:
                return folder
            reasons.append(reason)
        if self.offline:
            raise not_here(repo, self.options.revision, found=reasons[0] if reasons else None)
        return None

    def _of_folder(self, name: str, folder: Path) -> ModelFiles:
        config = self._check(name, folder)
        if reason := self._lacking(folder):
            reason.model = name
            raise reason
        weights = checkpoint.weights_of(folder, allow_pickle=self.options.allow_pickle)
        if self.engine == "mlx" and weights[0].suffix in checkpoint.PICKLED:
            raise ModelFilesError(f"MLX does not read the pickle of {name}.", advice="Pass engine='torch'.", model=name)
        return ModelFiles(name=name, folder=folder, config=config, size=sum(path.stat().st_size for path in weights))

    def _lacking(self, folder: Path) -> ModelFilesError | None:
        options = self.options
        return checkpoint.lacking(folder, allow_pickle=options.allow_pickle, code=options.trust_remote_code)

    def _check(self, name: str, folder: Path) -> Mapping[str, Any]:
        """What its config.json says, if that is a model for this engine and this call."""
        config = checkpoint.config_of(folder)
        check_capability(name, config, self.wanted)
        packed = config.get("quantization")
        if self.engine == "torch" and isinstance(packed, Mapping) and "group_size" in packed:
            raise ModelFilesError(
                f"{name} was quantized for MLX, which PyTorch does not read.",
                advice="Pass engine='mlx', or name the model it was made from.",
                model=name,
            )
        return config


def _of_gguf(name: str, path: Path) -> ModelFiles:
    if re.search(r"-\d+-of-\d+\.gguf$", path.name, re.IGNORECASE):
        raise ModelFilesError(
            f"{name} is one of several parts, which transformers does not read.",
            advice="Join them with llama.cpp's gguf-split --merge, or name a file that is whole.",
        )
    return ModelFiles(name=name, folder=path.parent, gguf=path.name, size=path.stat().st_size)
