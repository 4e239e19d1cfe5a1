"""What a model's folder holds: its config.json, its weights and its tokenizer, and whether all of it is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from hfclient.errors import ModelFilesError

CONFIG = "config.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")

_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_NOT_DEFAULTS = {"transformers_version", "_from_model_config"}
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
_SHOWN = 3
_DAMAGED = "Delete this file, and download it again."

WHY_NO_PICKLE = (
    "Reading pickle runs whatever code its author put into it. If you trust them, pass "
    "LocalOptions(allow_pickle=True); a model with safetensors needs no trust."
)


def config_of(folder: Path) -> dict[str, Any]:
    """What the model's config.json says."""
    try:
        return _object(folder / CONFIG)
    except FileNotFoundError:
        raise ModelFilesError(f"{folder} has no {CONFIG}.", advice=_without_config(folder)) from None
    except OSError as error:
        raise ModelFilesError(
            f"{folder / CONFIG} cannot be read: {error.strerror or error}.", advice=_without_config(folder)
        ) from None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{path} is not JSON: {error}.", advice=_DAMAGED) from None
    if not isinstance(found, dict):
        raise ModelFilesError(f"{path} is not a JSON object.", advice=_DAMAGED)
    return cast("dict[str, Any]", found)


def lacking(folder: Path, *, allow_pickle: bool, code: bool) -> ModelFilesError | None:
    """Why no model can be loaded from this folder, or None where it is whole; `code` is wanted where it will be run."""
    try:
        config = config_of(folder)
        weights_of(folder, allow_pickle=allow_pickle)
    except ModelFilesError as error:
        return error
    modules = _modules(config) if code else set[str]()
    if missing := sorted(name for name in modules if not (folder / name).is_file()):
        return ModelFilesError(
            f"{folder} lacks the code of its model: {_listed(missing)}.",
            advice="Download the model again, with trust_remote_code=True.",
        )
    if not has_tokenizer(path.name for path in folder.iterdir() if path.is_file()):
        return ModelFilesError(
            f"{folder} has no tokenizer: neither {' nor '.join(TOKENIZERS)}.",
            advice="Put the files of the model's tokenizer beside its weights.",
        )
    return None


def _modules(config: Mapping[str, Any]) -> set[str]:
    """The Python files in the folder that its config.json refers to, as `module.Class`."""
    named: object = config.get("auto_map")
    classes = cast("dict[str, object]", named).values() if isinstance(named, dict) else ()
    return {f"{each.partition('.')[0]}.py" for each in classes if isinstance(each, str) and "--" not in each}


def has_tokenizer(names: Iterable[str]) -> bool:
    return any(name in TOKENIZERS or name.endswith(".tiktoken") for name in names)


def weights_of(folder: Path, *, allow_pickle: bool) -> list[Path]:
    """The files that hold the model's weights, every one of them there: safetensors, and pickle only where that is
    allowed and there are no safetensors."""
    if found := _weights(folder, *SAFETENSORS):
        return found
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED and path.is_file())
    if allow_pickle and (found := _weights(folder, *PICKLES)):
        return found
    if pickles and not allow_pickle:
        raise only_pickle(str(folder), pickles)
    raise ModelFilesError(
        f"{folder} has no weights: neither {SAFETENSORS[0]} nor {SAFETENSORS[1]}.",
        advice=_without_weights(folder),
    )


def only_pickle(where: str, names: list[str]) -> ModelFilesError:
    return ModelFilesError(f"The weights of {where} are only there as pickle ({_listed(names)}).", advice=WHY_NO_PICKLE)


def _weights(folder: Path, single: str, index: str) -> list[Path]:
    if (folder / single).is_file():
        return [folder / single]
    if not (folder / index).is_file():
        return []
    names = sorted(set(_shards(folder / index).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelFilesError(
            f"{folder} lacks {len(missing)} of the {len(names)} files that {index} names: {_listed(missing)}.",
            advice="Download the model again: what is there already is not fetched twice.",
        )
    return [folder / name for name in names]


def _shards(index: Path) -> Mapping[str, str]:
    try:
        named: object = json.loads(index.read_text("utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        named = None
    shards = cast("dict[str, object]", named) if isinstance(named, dict) else {"": None}
    if not all(isinstance(name, str) for name in shards.values()):
        raise ModelFilesError(f"{index} is not an index of weights.", advice=_DAMAGED)
    return cast("dict[str, str]", shards)


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _without_config(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return "This is an adapter (LoRA), not a model: merge it into its base model first."
    if (folder / "model_index.json").is_file():
        return "This is a pipeline of diffusers, which makes images; chat needs a language model."
    if ggufs := sorted(path.name for path in folder.glob("*.gguf")):
        return f"It holds GGUF files: name one of them, as {folder / ggufs[0]}"
    return "Name a folder as transformers' save_pretrained writes it."


def _without_weights(folder: Path) -> str:
    if (folder / "adapter_model.safetensors").is_file():
        return "This is an adapter (LoRA), not a model: merge it into its base model first."
    if others := sorted(path.name for path in folder.glob("*.safetensors")):
        return f"Other files are there ({_listed(others)}), but no index that says what they hold."
    return "Name a folder as transformers' save_pretrained writes it."


def generation_defaults(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """How the model's makers would have it write: what its generation_config.json says, and which tokens end a text."""
    inner: object = config.get("text_config")
    tokens = {**(cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}), **config}
    found = {name: tokens[name] for name in _TOKENS if tokens.get(name) is not None}
    path = folder / "generation_config.json"
    if path.is_file():
        found |= {name: value for name, value in _object(path).items() if value is not None}
    return {name: value for name, value in found.items() if name not in _NOT_DEFAULTS}


def context_length(config: Mapping[str, Any]) -> int | None:
    """How many tokens the model can look back on, as its config.json says; None where it does not."""
    for name in _LENGTHS:
        length: object = config.get(name)
        if isinstance(length, int) and not isinstance(length, bool) and length > 0:
            return max(length, _stretched(config))
    inner: object = config.get("text_config")
    return context_length(cast("dict[str, Any]", inner)) if isinstance(inner, dict) else None


def _stretched(config: Mapping[str, Any]) -> int:
    """What YaRN makes of the length the model was trained with; other kinds say it in their length already."""
    said: object = config.get("rope_parameters") or config.get("rope_scaling")
    scaling = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    if (scaling.get("rope_type") or scaling.get("type")) != "yarn":
        return 0
    factor, trained = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    return int(factor * trained) if isinstance(factor, int | float) and isinstance(trained, int) else 0
