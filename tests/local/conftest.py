"""What every test of the local engines gets."""

from __future__ import annotations

import os
from pathlib import Path

# Before a framework is loaded: threads of several test processes that wait for each other at every step are slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import hfclient


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The folder of the model in the box."""
    return Path(hfclient.__file__).parent / "local" / "tiny" / "model"
