"""A framework, imported without holding up the rest of the process.

An import of torch or of transformers stops every other thread twice over. Python holds its lock while a library is
mapped into memory, half a second for torch's; and half a million new objects make its garbage collector look through
all of them again and again, a tenth of a second each time. So the libraries are mapped by a foreign function, which
gives the lock away; and the collector rests until all is there, and then leaves it out of its rounds for good, which
makes every later round shorter too.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

# In the order in which they need each other; what is not there is passed over.
_LIBRARIES = {
    "torch": ("lib/libc10.so", "lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libtorch_python.so"),
    "mlx": ("lib/libmlx.so",),
}
# All that loading a first model would import; transformers imports its parts no sooner than they are named.
_MODULES = {
    "torch": (
        "torch",
        "transformers.modeling_utils",
        "transformers.generation.utils",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
    ),
    "mlx": ("mlx.core", "mlx_lm.generate", "transformers.models.auto.tokenization_auto"),
}
_one_at_a_time = threading.Lock()
_imported: set[str] = set()


def import_gently(framework: Literal["torch", "mlx"]) -> None:
    """Import all of a framework that running a model takes; what is missing of it is told by those who need it."""
    with _one_at_a_time:
        if framework in _imported:
            return
        _imported.add(framework)
        _map_libraries()  # transformers brings torch along, so the libraries of both are wanted for either
        with _collector_at_rest(), suppress(ImportError):
            for module in _MODULES[framework]:
                importlib.import_module(module)


@contextmanager
def _collector_at_rest() -> Generator[None]:
    wakes = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if wakes:
            gc.enable()


def _map_libraries() -> None:
    """Map what the imports would; where that cannot be done, they do it as ever."""
    function = getattr(ctypes.CDLL(None), "dlopen", None) if os.name == "posix" else None
    if function is None:
        return
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for path in _libraries():
        function(os.fsencode(path), os.RTLD_NOW)


def _libraries() -> Iterator[Path]:
    for package, names in _LIBRARIES.items():
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            places = (Path(folder) / name for name in names)
            found = (path if path.exists() else path.with_suffix(".dylib") for path in places)
            yield from (path for path in found if path.exists())
