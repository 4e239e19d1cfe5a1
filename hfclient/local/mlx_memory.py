"""What MLX says when memory runs out: it has no exception of its own for that."""

from __future__ import annotations

import traceback

from hfclient.errors import OutOfMemoryError

# "[metal::malloc] Attempting to allocate 48736917632 bytes which is greater than …", "[malloc] Unable to allocate …",
# "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
# "[malloc_cuda] … failed: out of memory", "std::bad_alloc"
_SIGNS = ("malloc]", "unable to allocate", "insufficient memory", "out of memory", "outofmemory", "bad_alloc")

# What else may come out of MLX is raised on.
SHORTAGES = (MemoryError, RuntimeError)


def is_shortage(error: BaseException) -> bool:
    """Whether this failure means that there was not enough memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def shortage(doing: str, error: BaseException) -> OutOfMemoryError:
    """Such a failure as ours, with its cause."""
    mine = OutOfMemoryError(f"MLX ran out of memory while {doing}: {error}")
    mine.__cause__ = error
    traceback.clear_frames(error.__traceback__)  # whoever keeps the error does not keep the memory
    return mine
