"""What a reader is given of the tokens that an engine writes: text, thoughts, calls of tools, and why it ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfclient.extras import extra
from hfclient.local.detokenise import Detokeniser
from hfclient.local.dialects.arguments import offers_of
from hfclient.local.dialects.dialect import Dialect, Tools
from hfclient.local.dialects.json_calls import read_json
from hfclient.local.dialects.parser import Block, Parser
from hfclient.local.engine import Written
from hfclient.local.likelihoods import Likelihoods
from hfclient.local.pieces import Call, Malformed, Piece, Text, Thought
from hfclient.local.reasoning import Reasoning
from hfclient.local.spelling import Spelling
from hfclient.local.stopping import Stops
from hfclient.local.template import Template

regex: Any = extra("regex", "'hfclient[torch]'", needed_by="A chat on this machine")

# What `forced` output looks like: nothing but a call, or a list of them.
_FORCED = Block(regex.compile(r"\A\s*(?=[\[{])"), "", read_json, first=True)
_NOTHING: tuple[dict[str, Any], ...] = ()


@dataclass(slots=True)
class Pieces:
    """What became known with one token. `tool_calls` and `logprobs` are entries as OpenAI's API has them; the log
    probabilities are those of the tokens that the content is made of."""

    content: str = ""
    reasoning: str = ""
    tool_calls: Sequence[dict[str, Any]] = _NOTHING
    logprobs: Sequence[dict[str, Any]] = _NOTHING
    finish_reason: str | None = None


class Writer:
    """Makes one answer of a chat out of the tokens that are written for it.

    Calls are looked for where tools were offered, in the dialect. `prompt` tells whether the model begins in the midst
    of its thoughts; output that is `constrained` to a grammar from its first token holds none. With `forced` it is
    constrained to the JSON of a call, `{"name": …, "arguments": …}`, or of a list of calls. Once `over`, nothing that
    is still written matters. `reasoning_tokens` are those of the thoughts, with the tag that ends them.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        *,
        dialect: Dialect | None = None,
        tools: Tools = (),
        stop: Sequence[str] = (),
        prompt: Sequence[int] = (),
        continues: bool = False,
        constrained: bool = False,
        forced: bool = False,
        parallel_tool_calls: bool = True,
    ) -> None:
        spelling = Spelling.of(tokenizer)
        reads_calls = bool(dialect and tools) and not forced
        markup = dialect.markup if dialect and reads_calls else ()
        hidden = spelling.hidden(*template.think, *markup)
        self._detokeniser = Detokeniser(tokenizer, hidden=hidden, before=prompt[-8:] if continues else ())
        self._hidden = hidden
        self._stops = Stops(stop) if stop else None
        inside = template.begins_in_thought(tokenizer, prompt)
        self._reasoning = None if constrained else Reasoning(template.think, inside=inside)
        self._parser: Parser | None = dialect.parser(tools) if dialect and reads_calls else None
        if forced:
            self._parser = Parser((_FORCED,), offers_of(tools))
        self._single = not parallel_tool_calls
        self._calls = 0
        self._likelihoods = Likelihoods(spelling)
        self._weighs = False  # whether there are log probabilities to tell
        self.reasoning_tokens = 0
        self.over = False

    def write(self, written: Written) -> Pieces:
        """What the reader is given with this token."""
        if self.over:
            return Pieces()
        ending = written.ending
        token = written.token if ending != "stop" else None  # the token that stops is not part of the text
        text = self._detokeniser.feed(token) if token is not None else ""
        if ending is not None:
            text += self._detokeniser.finish()
        if written.logprob is not None:
            self._weigh(written, token, text)
        if self._stops is not None:
            text = self._stopped(self._stops, text, final=ending is not None)
        if not (self.over or ending or self._weighs or self._parser) and (
            self._reasoning is None or self._reasoning.answering
        ):
            return Pieces(text)
        if token is not None and self._reasoning is not None and self._reasoning.thinking:
            self.reasoning_tokens += 1
        over = self.over or ending is not None
        pieces = self._told(self._split(text, final=over))
        if over or self.over:
            self._end(pieces, ending)
        return pieces

    def _weigh(self, written: Written, token: int | None, text: str) -> None:
        self._weighs = True
        if token is not None and token not in self._hidden:
            self._likelihoods.note(written)
        self._likelihoods.came(len(text))

    def _stopped(self, stops: Stops, text: str, *, final: bool) -> str:
        text = stops.feed(text)
        if final:
            text += stops.finish()
        self.over = stops.matched is not None
        return text

    def _split(self, text: str, *, final: bool) -> list[Piece]:
        """The text, told apart into thoughts, markup, calls and what is said."""
        if self._reasoning is None:
            pieces: list[Piece] = [Text(text)] if text else []
        else:
            pieces = self._reasoning.feed(text)
            if final:
                pieces += self._reasoning.finish()
        parser = self._parser
        if parser is None:
            return pieces
        split: list[Piece] = []
        for piece in pieces:
            split += parser.feed(piece.raw) if isinstance(piece, Text) else [piece]
        return split + parser.finish() if final else split

    def _told(self, pieces: Sequence[Piece]) -> Pieces:
        told = Pieces()
        logprobs: list[dict[str, Any]] = []
        for piece in pieces:
            content = isinstance(piece, Text | Malformed)
            if content:
                told.content += piece.raw
            elif isinstance(piece, Thought):
                told.reasoning += piece.raw
            if self._weighs:
                logprobs += self._likelihoods.passed(len(piece.raw), content=content)
            if isinstance(piece, Call):
                told.tool_calls = [*told.tool_calls, self._call(piece)]
                if self._single:
                    self.over = True
                    break
        told.logprobs = logprobs
        return told

    def _call(self, call: Call) -> dict[str, Any]:
        self._calls += 1
        return {
            "index": self._calls - 1,
            "id": f"call_{uuid.uuid4().hex}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }

    def _end(self, pieces: Pieces, ending: str | None) -> None:
        if ending == "length" and not self.over:
            pieces.finish_reason = "length"
        else:
            pieces.finish_reason = "tool_calls" if self._calls else "stop"
        if self._weighs:
            pieces.logprobs = [*pieces.logprobs, *self._likelihoods.rest()]
        self.over = True


@dataclass(slots=True)
class TextPieces:
    """What became known of a text with one token, the token itself, and those that were likeliest in its place."""

    text: str = ""
    token: dict[str, Any] | None = None
    top: Sequence[dict[str, Any]] = _NOTHING
    finish_reason: str | None = None


class TextWriter:
    """Makes a text that goes on from a prompt out of the tokens that are written for it; it holds no markup."""

    def __init__(self, tokenizer: Any, *, stop: Sequence[str] = (), prompt: Sequence[int] = ()) -> None:
        self._spelling = Spelling.of(tokenizer)
        self._detokeniser = Detokeniser(tokenizer, hidden=self._spelling.special, before=prompt[-8:])
        self._stops = Stops(stop)
        self.over = False

    def write(self, written: Written) -> TextPieces:
        """What the reader is given with this token."""
        if self.over:
            return TextPieces()
        ending, token = written.ending, written.token
        text = self._detokeniser.feed(token) if token is not None and ending != "stop" else ""
        if ending is not None:
            text += self._detokeniser.finish()
        text = self._stops.feed(text)
        if ending is not None:
            text += self._stops.finish()
        stopped = self._stops.matched is not None
        self.over = stopped or ending is not None
        if token is None:
            return TextPieces(text, finish_reason="stop" if stopped else ending)
        top = [self._token(*each) for each in written.top]
        return TextPieces(text, self._token(token, written.logprob), top, "stop" if stopped else ending)

    def _token(self, token: int, logprob: float | None) -> dict[str, Any]:
        text = self._spelling.bytes_of(token).decode(errors="replace")
        return {"id": token, "text": text, "logprob": logprob, "special": token in self._spelling.special}
