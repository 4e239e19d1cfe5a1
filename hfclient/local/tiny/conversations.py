"""What the model learns: the conversations of conversations.json, as they stand and in other words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]
Turn: TypeAlias = "str | list[str] | dict[str, Any]"

HERE = Path(__file__).parent
SOURCES = (HERE / "conversations.json", HERE / "chat_template.jinja")
# How often: the first of several words, something else around it, and ways of typing.
BY_HEART, AMID, SMALL_LETTERS, NO_FULL_STOP, SLIPS = 0.2, 0.4, 0.25, 0.3, 0.05
BEGUN_OTHERWISE, LED_IN = 0.25, 0.1
COPIED = ("city", "town", "name")
# The same question, begun in another way, or led in by other words.
BEGINNINGS = {
    "How do I ": (
        "How can I ", "How would I ", "How to ", "How does one ", "How should I ", "I want to ", "Show me how to ",
    ),
    "What is ": ("What's ", "Explain ", "What exactly is ", "Tell me about "),
    "Which ": ("What ", "Tell me which ", "Say which "),
    "Can I ": ("May I ", "Could I ", "Is there a way to ", "Am I able to "),
    "Does it ": ("Does hfclient ", "Can it ", "Will it ", "Can hfclient "),
    "What if ": ("What happens if ", "What happens when ", "And if "),
    "What does ": ("What will ", "Tell me what "),
}  # fmt: skip
LEADS = ("So ", "OK, ", "Please: ", "Hey, ", "Well, ", "And ", "Hello, ", "Tell me: ", "One question: ", "I wonder: ")
LONGEST_TALK = 5  # conversations in one
LONG = 12  # letters: a slip in fewer may make another question of it
ASKED_AFTER = ("system", "assistant")
SYSTEMS = ("Be helpful.", "You are a helpful assistant.", "You are hfclient's assistant.", "Answer politely.")


@dataclass(frozen=True)
class Conversation:
    """Messages in OpenAI's form, and the tools that are offered. `json` says that a schema will hold the answers to
    JSON, which nothing in the prompt tells; `alone`, that it means something else beside tools; `thinking` is what the
    template is told."""

    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()
    json: bool = False
    alone: bool = False
    thinking: bool = True

    @property
    def plain(self) -> bool:
        """Whether anything might be said before it and around it."""
        return not self.json and not self.alone and not self.tools and self.messages[0]["role"] == "user"


@dataclass(frozen=True)
class Book:
    """All conversations as they are written down: a turn of the user's may have several wordings, and {words} in
    braces stand for any of a list."""

    tools: Mapping[str, Message]
    fill: Mapping[str, Sequence[str]]
    conversations: Sequence[Mapping[str, Any]]

    def as_written(self) -> list[Conversation]:
        """Each conversation once, in its first wording."""
        return [self._conversation(each, None) for each in self.conversations]

    def wordings(self) -> Iterator[Conversation]:
        """Each conversation in each wording of its last question, its first words filled in."""
        for each in self.conversations:
            varied = [index for index, turn in enumerate(each["turns"]) if isinstance(turn, list)]
            for wording in each["turns"][varied[-1]] if varied else [None]:
                turns = list(each["turns"])
                if varied:
                    turns[varied[-1]] = wording
                yield self._conversation({**each, "turns": turns}, None)

    def in_other_words(self, chance: random.Random) -> list[Conversation]:
        """Each conversation in some wording, some of them after others, with instructions, or beside tools."""
        drawn = [self._conversation(each, chance) for each in self.conversations for _ in range(each.get("times", 1))]
        plain = [each for each in drawn if each.plain]
        return drawn + [self._around(each, plain, chance) for each in plain if chance.random() < AMID]

    def _around(self, told: Conversation, plain: Sequence[Conversation], chance: random.Random) -> Conversation:
        match chance.randrange(8):
            case 0 | 1:
                return replace(told, messages=({"role": "system", "content": chance.choice(SYSTEMS)}, *told.messages))
            case 2:
                return replace(told, thinking=False)
            case 3:
                return replace(told, tools=(self.tools[chance.choice(list(self.tools))],))
            case _:
                before = chance.choices(plain, k=chance.randrange(1, LONGEST_TALK))
                return replace(told, messages=(*chain(*(each.messages for each in before)), *told.messages))

    def _conversation(self, written: Mapping[str, Any], chance: random.Random | None) -> Conversation:
        filled = {f"{{{name}}}": _drawn(words, chance) for name, words in self.fill.items()}
        messages: list[Message] = []
        if "system" in written:
            messages.append({"role": "system", "content": written["system"]})
        for turn in written["turns"]:
            messages += _messages(turn, filled, chance, asked=not messages or messages[-1]["role"] in ASKED_AFTER)
        tools = tuple(self.tools[name] for name in written.get("tools", ()))
        return Conversation(tuple(messages), tools, json=written.get("json", False), alone=written.get("alone", False))


def read() -> Book:
    """The book in conversations.json."""
    return Book(**json.loads(SOURCES[0].read_text("utf-8")))


def digest() -> str:
    """Tells whether what a model was trained on is still what stands here."""
    return sha256(b"\0".join(path.read_bytes() for path in SOURCES)).hexdigest()


def _drawn(words: Sequence[str], chance: random.Random | None) -> str:
    """Often the first, which is to be known by heart; otherwise any, so that what is asked must be looked at."""
    return words[0] if chance is None or chance.random() < BY_HEART else chance.choice(words)


def _messages(turn: Turn, filled: Mapping[str, str], chance: random.Random | None, *, asked: bool) -> list[Message]:
    if isinstance(turn, dict):
        return _told(json.loads(_fill(json.dumps(turn, ensure_ascii=False), filled)))
    wordings = [turn] if isinstance(turn, str) else turn
    wording = chance.choice(wordings) if chance and chance.random() > BY_HEART else wordings[0]
    content = _fill(wording, filled)
    if asked and chance and not any(f"{{{name}}}" in wording for name in COPIED):
        content = _otherwise(content, chance)
    return [{"role": "user" if asked else "assistant", "content": content}]


def _told(turn: Mapping[str, Any]) -> list[Message]:
    """What the model says with more than words, or what its tools gave."""
    if "result" in turn:
        return [
            {"role": "tool", "tool_call_id": f"call_{index}", "content": each}
            for index, each in enumerate(turn["result"])
        ]
    message: dict[str, Any] = {"role": "assistant", "content": turn.get("say", "")}
    if "think" in turn:
        message["reasoning_content"] = turn["think"]
    if "call" in turn:
        message["tool_calls"] = [
            {"id": f"call_{index}", "type": "function", "function": each} for index, each in enumerate(turn["call"])
        ]
    return [message]


def _fill(text: str, filled: Mapping[str, str]) -> str:
    for place, words in filled.items():
        text = text.replace(place, words)
    return text


def _otherwise(text: str, chance: random.Random) -> str:
    """The same as other people say and type it: begun in another way, in small letters, without the full stop."""
    for beginning, others in BEGINNINGS.items():
        if text.startswith(beginning) and chance.random() < BEGUN_OTHERWISE:
            text = chance.choice(others) + text.removeprefix(beginning)
            break
    if chance.random() < LED_IN and len(text) > LONG:
        text = chance.choice(LEADS) + text[0].lower() + text[1:]
    if chance.random() < SMALL_LETTERS:
        text = text.lower()
    if chance.random() < NO_FULL_STOP:
        text = text.rstrip(".?!") or text
    if chance.random() < SLIPS and len(text) > LONG:
        place = chance.randrange(1, len(text) - 1)
        text = text[:place] + text[place + 1 :]
    return text
