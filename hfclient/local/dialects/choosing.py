"""Which dialect a model speaks: read off its chat template and its vocabulary, not its name."""

from __future__ import annotations

from typing import Any

from hfclient.local.dialects.deepseek import DEEPSEEK
from hfclient.local.dialects.dialect import Dialect
from hfclient.local.dialects.gemma import GEMMA
from hfclient.local.dialects.hermes import HERMES, QWEN_CODER
from hfclient.local.dialects.llama import LLAMA, PYTHONIC
from hfclient.local.dialects.mistral import MISTRAL
from hfclient.local.dialects.response_template import with_response_template
from hfclient.local.spelling import Spelling
from hfclient.local.template import Template

# All of the texts must be in the template; the first row that fits counts.
_BY_TEMPLATE: tuple[tuple[tuple[str, ...], Dialect], ...] = (
    (("<function=", "<parameter="), QWEN_CODER),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<｜tool▁call▁begin｜>",), DEEPSEEK),
    (("<|python_start|>",), PYTHONIC),
    (("func_name1(",), PYTHONIC),
    (("<|python_tag|>",), LLAMA),
    (('"parameters":', "<|start_header_id|>"), LLAMA),
    (("tool_code",), GEMMA),
    (("<tool_call>",), HERMES),
    (("<start_of_turn>",), GEMMA),
)
_BY_TOKEN: tuple[tuple[str, Dialect], ...] = (
    ("<tool_call>", HERMES),
    ("[TOOL_CALLS]", MISTRAL),
    ("<｜tool▁call▁begin｜>", DEEPSEEK),
    ("<|python_start|>", PYTHONIC),
    ("<|python_tag|>", LLAMA),
    ("<start_of_turn>", GEMMA),
)


def dialect_of(tokenizer: Any, template: Template) -> Dialect:
    """The dialect of the model with this tokenizer; its own response template comes first in reading calls."""
    return with_response_template(_family(tokenizer, template), tokenizer)


def _family(tokenizer: Any, template: Template) -> Dialect:
    for texts, dialect in _BY_TEMPLATE:
        if all(text in template.source for text in texts):
            return dialect
    tokens = set(Spelling.of(tokenizer).added.values())
    return next((dialect for token, dialect in _BY_TOKEN if token in tokens), HERMES)
