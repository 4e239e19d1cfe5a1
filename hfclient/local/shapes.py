"""JSON taken for what it should be: what is something else has no fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

JsonObject: TypeAlias = Mapping[str, Any]


def fields_of(value: object) -> JsonObject:
    """The fields of a JSON object, none where it is not one."""
    return cast("JsonObject", value) if isinstance(value, Mapping) else {}
