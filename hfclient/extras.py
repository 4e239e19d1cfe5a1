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
        raise MissingExtraError(f"{needed_by} needs {package}.", advice=f"pip install {package}") from error
