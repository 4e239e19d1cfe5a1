"""Makes docstrings and fields easy to read on the pages of the reference."""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Function, Object

EXAMPLE = re.compile(r"(?m)^>>> .*(?:\n(?:>>>|\.\.\.) ?.*)*")
PROMPT = re.compile(r"(?m)^(?:>>>|\.\.\.) ?")


class Readable(Extension):
    """Shows examples as code that can be copied, and the fields of a class in one block."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Markdown alone would read `>>>` as a quotation of a quotation of a quotation."""
        if obj.docstring and not obj.is_alias:
            text = obj.docstring.value
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```python\n{PROMPT.sub('', found[0])}\n```", text)

    def on_function(self, *, func: Function, **_: Any) -> None:
        """What is only there to be refused is no parameter to a reader."""
        for each in [each for each in func.parameters if str(each.annotation) == "Never"]:
            del func.parameters[each.name]

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """A field without words of its own needs no heading. A dataclass shows its fields in its signature."""
        bare = [each for each in cls.members.values() if isinstance(each, Attribute) and _says_nothing(each)]
        for field in bare:
            del cls.members[field.name]
        shown = [_line(field) for field in bare if field.annotation and not field.name.startswith("_")]
        if shown and "dataclass" not in cls.labels and "__init__" not in cls.members:
            said = cls.docstring.value if cls.docstring else ""
            cls.docstring = Docstring(said + "\n\n```python\n" + "\n".join(shown) + "\n```", parent=cls)


def _says_nothing(attribute: Attribute) -> bool:
    return attribute.docstring is None and "property" not in attribute.labels


def _line(field: Attribute) -> str:
    default = "" if field.value is None or "ield(" in str(field.value) else f" = {field.value}"
    return f"{field.name}: {field.annotation}{default}"
