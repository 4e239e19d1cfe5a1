"""A framework's shared libraries, mapped into memory without holding up the rest of the process.

Python holds its lock while an import maps a library; torch's takes so long at that, half a second of a cold disk or
more, that an event loop would stand still. A foreign function gives the lock away, so the libraries are mapped by one
first, and the import finds them there.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# In the order in which they need each other; what is not there is passed over.
_LIBRARIES = {
    "torch": ("lib/libc10.so", "lib/libtorch_cpu.so", "lib/libtorch.so", "lib/libtorch_python.so"),
    "mlx": ("lib/libmlx.so",),
}


def map_libraries(*packages: str) -> None:
    """Map what these packages would; where that cannot be done, their import does it as ever."""
    function = getattr(ctypes.CDLL(None), "dlopen", None) if os.name == "posix" else None
    if function is None:
        return
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for path in _libraries_of(*packages):
        function(os.fsencode(path), os.RTLD_NOW)


def _libraries_of(*packages: str) -> Iterator[Path]:
    for package in packages:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            places = (Path(folder) / name for name in _LIBRARIES[package])
            found = (path if path.exists() else path.with_suffix(".dylib") for path in places)
            yield from (path for path in found if path.exists())
