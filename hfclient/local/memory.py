"""How much memory a model will take once it is loaded, told from its files alone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from hfclient.local import checkpoint
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions, Quantization

_WIDTHS = {"float16": 2.0, "bfloat16": 2.0, "float32": 4.0}
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # as safetensors names them
_PACKED: Mapping[Quantization, float] = {"8bit": 1.0, "4bit": 0.5 + 0.0625}  # bytes a weight, with its scales
_UNPACKED = ("embed", "lm_head", "wte", "wpe")  # what bitsandbytes leaves in 16 bits
_TOLD = {"dtype", "shape", "data_offsets"}
_HEADER_SIZE = 8
_LARGEST_HEADER = 100 * 2**20

# Bits a weight in llama.cpp's formats, by the name that a file has from them.
_GGUF_BITS = {"F32": 32, "F16": 16, "BF16": 16, "Q8": 8.5, "Q6": 6.6, "Q5": 5.5, "Q4": 4.7, "Q3": 3.9, "Q2": 3.0}
_GGUF_NAME = re.compile(r"\b(?:I?(Q\d)(?:_\w+)?|(BF16|F16|F32))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What a file says of one tensor: `stored` is its bytes on the disk."""

    name: str
    kind: str
    stored: int
    matrix: bool


def memory_of(files: ModelFiles, options: LocalOptions, engine: Literal["torch", "mlx"]) -> int:
    """The bytes that this model's weights will take, as an estimate."""
    width = _width(files, options) if engine == "torch" else _WIDTHS.get(options.dtype)
    if files.gguf is not None:
        return math.ceil(8 * files.size / _bits(files.gguf) * (width or _WIDTHS["float16"]))
    if files.config.get("quantization_config") or files.config.get("quantization"):
        return files.size
    packed = options.quantization if engine == "torch" else None
    return math.ceil(sum(_taken(tensor, width, packed) for tensor in _tensors(files, options)))


def _width(files: ModelFiles, options: LocalOptions) -> float | None:
    """Bytes for each weight, None where each stays as it is."""
    from hfclient.local.torch_device import device_of, dtype_of  # noqa: PLC0415  torch, which is about to be used

    chosen = str(dtype_of(files, options, device_of(options))).removeprefix("torch.")
    return _WIDTHS.get(chosen)


def _taken(tensor: _Tensor, width: float | None, packed: Quantization | None) -> float:
    """The bytes that one tensor will take."""
    if tensor.kind not in _FLOATS:
        return tensor.stored
    count = tensor.stored / _FLOATS[tensor.kind]
    if packed is not None:
        large = tensor.matrix and not any(each in tensor.name for each in _UNPACKED)
        return count * (_PACKED[packed] if large else _WIDTHS["float16"])
    return tensor.stored if width is None else count * width


def _tensors(files: ModelFiles, options: LocalOptions) -> Iterator[_Tensor]:
    for path in checkpoint.weights_of(files.folder, allow_pickle=options.allow_pickle):
        header = _header(path) if path.suffix == ".safetensors" else None
        if header is None:
            yield _Tensor(path.name, _said(files.config), path.stat().st_size, matrix=True)
            continue
        for name, said in header.items():
            begin, end = said["data_offsets"]
            yield _Tensor(name, str(said["dtype"]), end - begin, matrix=len(said["shape"]) > 1)


def _said(config: Mapping[str, Any]) -> str:
    """The type of weights that config.json says they have, for files that do not say it at their beginning."""
    said = str(config.get("dtype") or config.get("torch_dtype"))
    return {"float32": "F32", "bfloat16": "BF16"}.get(said, "F16")


def _header(path: Path) -> Mapping[str, Any] | None:
    """What a file of safetensors says of its tensors; None for one that is damaged, as loading it will tell."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(_HEADER_SIZE), "little")
        try:
            header: object = json.loads(file.read(size)) if size <= _LARGEST_HEADER else None
        except ValueError:
            return None
    if not isinstance(header, dict):
        return None
    tensors = {name: said for name, said in cast("dict[str, Any]", header).items() if name != "__metadata__"}
    return tensors if all(isinstance(said, dict) and said.keys() >= _TOLD for said in tensors.values()) else None


def _bits(name: str) -> float:
    found = _GGUF_NAME.search(name.replace(".", " ").replace("-", " "))
    return _GGUF_BITS.get((found[1] or found[2]).upper(), 4.7) if found else 4.7
