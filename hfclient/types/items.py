"""Several results of one call, in order."""

from __future__ import annotations

from typing import Generic, TypeVar

from hfclient.types.base import KeepsMeta

T = TypeVar("T")


class Items(KeepsMeta, list[T], Generic[T]):
    """A list that says where it came from; everything taken from it is a plain list again."""
