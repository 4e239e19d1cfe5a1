"""Where PyTorch runs a model, and in which precision, where nobody says so."""

from __future__ import annotations

from typing import Any, TypeAlias

from hfclient.errors import InputError
from hfclient.extras import extra
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Running a model on PyTorch")

TorchDtype: TypeAlias = Any


def device_of(options: LocalOptions) -> str:
    """The device that was asked for, if it is there; for "auto" CUDA, else Apple's GPU, else the processor."""
    if options.device == "auto":
        return next((device for device in ("cuda", "mps") if _count(device)), "cpu")
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise InputError(
            f"device={options.device!r} is no device of PyTorch.",
            advice="Use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'.",
        ) from None
    if (device.index or 0) >= _count(device.type):
        there = [name for name in ("cuda", "mps", "cpu") if _count(name)]
        raise InputError(
            f"device={options.device!r} is not on this machine, or not for this build of PyTorch.",
            advice=f"There is {', '.join(map(repr, there))}; device='auto' takes the best.",
        )
    return "cpu" if device.type == "cpu" else str(device)


def _count(kind: str) -> int:
    """How many devices of this kind there are."""
    match kind:
        case "cpu":
            return 1
        case "cuda":
            return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
        case "mps":
            return int(torch.backends.mps.is_available())
        case _:
            module: Any = getattr(torch, kind, None)
            return int(module.device_count()) if hasattr(module, "device_count") and module.is_available() else 0


def dtype_of(files: ModelFiles, options: LocalOptions, device: str) -> TorchDtype | str:
    """The precision that was asked for. Otherwise the checkpoint's own ("auto"); on a processor float32, which writes
    quicker there than bfloat16, and has everything that float16 lacks."""
    if options.dtype != "auto":
        return getattr(torch, options.dtype)
    if device == "cpu":
        return torch.float32
    if files.gguf is not None:  # it is unpacked, and says of no precision that it was made for
        return torch.bfloat16 if device.startswith("cuda") and torch.cuda.is_bf16_supported() else torch.float16
    return "auto"
