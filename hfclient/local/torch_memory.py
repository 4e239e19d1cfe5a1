"""What PyTorch says when memory runs out: its devices have an exception for it, its allocator on the CPU has words."""

from __future__ import annotations

from typing import Any

from hfclient.extras import extra

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Running a model on PyTorch")

_SIGNS = ("can't alloc", "not enough memory", "out of memory", "cublas_status_alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, by the word of PyTorch, of its devices, of its allocator on the CPU, or of Python."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
