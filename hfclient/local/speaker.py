"""What it takes to speak to a loaded model: how its prompts are written and its answers read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hfclient.errors import InputTooLongError
from hfclient.local.engine import Loaded
from hfclient.local.options import LocalOptions

if TYPE_CHECKING:
    from hfclient.local.constrain import Grammars
    from hfclient.local.dialects.dialect import Dialect
    from hfclient.local.template import Template

_numbers = itertools.count(1)


def number() -> int:
    """A number for a generation that no other has."""
    return next(_numbers)


@dataclass(frozen=True)
class Speaker:
    """A model's tokenizer and what follows from it, each made when it is first needed, in the model's own thread."""

    name: str
    loaded: Loaded
    options: LocalOptions

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer

    @cached_property
    def template(self) -> Template:
        from hfclient.local.template import Template  # noqa: PLC0415  only chats need one

        return Template.of(self.tokenizer)

    @cached_property
    def dialect(self) -> Dialect:
        from hfclient.local.dialects.choosing import dialect_of  # noqa: PLC0415

        return dialect_of(self.tokenizer, self.template)

    @cached_property
    def grammars(self) -> Grammars:
        from hfclient.local.constrain import Grammars  # noqa: PLC0415  needs a library of its own

        return Grammars(self.tokenizer, self.stop_tokens)

    @cached_property
    def stop_tokens(self) -> frozenset[int]:
        """What ends an answer: the model's own word, and the tokenizer's."""
        told: Any = self.loaded.defaults.get("eos_token_id")
        ends: list[object] = [*(told if isinstance(told, list) else (told,)), self.tokenizer.eos_token_id]
        return frozenset(end for end in ends if isinstance(end, int))

    @cached_property
    def thinks(self) -> bool:
        """Whether the model knows a tag to think behind."""
        return self.template.think[0] in self.template.source or self.template.think[0] in self.tokenizer.get_vocab()

    def ends_with(self, prompt: Sequence[int], text: str) -> bool:
        """Whether the prompt ends with this, but for white space."""
        end: str = self.tokenizer.decode([*prompt[-16:]], skip_special_tokens=False)
        return end.rstrip().endswith(text.rstrip())

    @property
    def longest(self) -> int | None:
        """How many tokens a prompt may have: there must be room for one more."""
        limits = [self.options.max_input_length]
        if self.loaded.context_length is not None:
            limits.append(self.loaded.context_length - 1)
        return min((limit for limit in limits if limit is not None), default=None)

    def room(self, prompt: Sequence[int], wanted: int | None) -> int:
        """How many tokens may be written after this prompt."""
        if self.loaded.context_length is None:
            return wanted or 2**31
        left = self.loaded.context_length - len(prompt)
        return min(wanted, left) if wanted else left

    def too_long(self, count: int, limit: int) -> InputTooLongError:
        allowed = "max_input_length allows" if limit == self.options.max_input_length else "the model takes"
        return InputTooLongError(
            f"The prompt has {count:,} tokens, and {allowed} {limit:,}.",
            advice='Shorten it, or let its beginning be left out: LocalOptions(long_input="truncate").',
        )
