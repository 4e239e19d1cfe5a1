"""Shows the examples of docstrings as code: Markdown alone would read `>>>` as a quotation of a quotation."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"(?m)^>>> .*(?:\n(?:>>>|\.\.\.) ?.*)*")
PROMPT = re.compile(r"(?m)^(?:>>>|\.\.\.) ?")


class Doctests(Extension):
    """Puts a fence around each row of `>>>` lines, without the prompts, so that they can be copied."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring and not obj.is_alias:
            text = obj.docstring.value
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```python\n{PROMPT.sub('', found[0])}\n```", text)
