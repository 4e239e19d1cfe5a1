"""A dialect: how a family of models is offered tools, and how calls and their results are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hfclient.local.dialects.arguments import Asked, offers_of
from hfclient.local.dialects.parser import Block, Parser

Tools: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one family of models was taught. `offer` tells of the tools in a system text, `call` and `result` write
    what happened into a history, `blocks` are what calls stand in; `markup` holds everything that may be a token of
    its own in them. Where how to read depends on the tools, `blocks_for` gives the blocks."""

    name: str
    offer: Callable[[Tools], str]
    call: Callable[[Sequence[Asked]], str]
    result: Callable[[str, str], str]
    blocks: tuple[Block, ...]
    markup: tuple[str, ...] = ()
    blocks_for: Callable[[Tools], tuple[Block, ...]] | None = field(default=None, repr=False)

    def parser(self, tools: Tools) -> Parser:
        """Reads the calls of one output; these tools were offered for it."""
        return Parser(self.blocks_for(tools) if self.blocks_for else self.blocks, offers_of(tools))
