"""Optional packages, imported when something asks for them."""

from __future__ import annotations

import importlib
from typing import Any

from hfclient.errors import MissingExtraError


def extra(module: str, package: str, *, needed_by: str) -> Any:
    """The module; where its package is not installed, an error with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and lacks something of its own
        name = package.strip("'\"")
        typed = f'"{name}"' if "[" in name else name  # brackets mean something to shells, single quotes nothing to some
        raise MissingExtraError(f"{needed_by} needs {name}.", advice=f"pip install {typed}") from error
