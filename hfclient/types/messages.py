"""Short ways to write messages; each gives the plain dict that the API takes.

messages = [system("Be brief."), user("What is in this picture?", Path("cat.png"))]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from hfclient.errors import InputError

Message: TypeAlias = Mapping[str, Any] | BaseModel
"""A message as calls take it: a dict, or one out of a reply."""


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(*content: Any) -> Message:
    """Text, and pictures or sound as bytes, `Path`, PIL image, what another call gave, or content part, in order."""
    if not content:
        raise InputError(
            "user() is given nothing to say.", advice='For example user("Hi"), or user("What is this?", path).'
        )
    if len(content) == 1 and isinstance(content[0], str):
        return {"role": "user", "content": content[0]}
    return {"role": "user", "content": list(content)}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def tool(tool_call_id: str, content: str) -> Message:
    """What the function called by the model gave back."""
    return {"role": "tool", "tool_call_id": tool_call_id, "content": content}
