"""An answer in the provider's own words, for tasks that have no type of their own here."""

from __future__ import annotations

import json
from typing import Any

from hfclient.errors import ResponseError
from hfclient.types.base import Frozen


class RawAnswer(Frozen):
    """What came back: `json()` where it is JSON, `content` always."""

    content: bytes
    media_type: str

    def __init__(self, content: bytes, media_type: str = "") -> None:
        vars(self).update(content=content, media_type=media_type)

    def json(self) -> Any:
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise ResponseError(
                f"The answer is not JSON ({self.media_type or 'no media type'}).", advice="Its bytes are in .content."
            ) from None

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"RawAnswer(<{len(self.content)} bytes of {self.media_type or 'no media type'}>)"
