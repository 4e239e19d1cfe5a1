"""A model's files on disk, as they were found: what every engine is given to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """Where a model lies: its folder, and what `config.json` says. `gguf` is the one file that holds all of it, where
    it is of that kind; `size` is the bytes of its weights on disk."""

    name: str
    folder: Path
    gguf: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    size: int = 0
