"""What the sandbox's models make of each task, before any provider's wording: the same inputs give the same results."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from hfclient.sandbox import media
from hfclient.sandbox.wire import JSON, within

DIMENSIONS = 384
LARGEST = 2048
SPEECH = "The quick brown fox jumps over the lazy dog."
CAPTION = "a cat sits on a windowsill"


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A text as the sum of its words' directions, of length 1: texts that share words are near to each other."""
    total = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text]:
        seed = sha256(word.encode()).digest()
        for place in range(dimensions):
            total[place] += math.sin(seed[place % 32] + (seed[(place * 7 + 3) % 32] + 1) * (place + 1))
    length = math.sqrt(sum(number * number for number in total)) or 1.0
    return [round(number / length, 7) for number in total]


def similarity(one: str, other: str) -> float:
    return round(sum(a * b for a, b in zip(vector(one), vector(other), strict=True)), 6)


def continuation(prompt: str) -> str:
    return " and so it went on, word after word, until the very end."


def summary(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]


def labels(names: Sequence[str], about: str) -> list[dict[str, Any]]:
    """Each of these with a score, all of them together 1; one that the text mentions is the likeliest."""
    weights = [1.0 + sum(about.encode()) % 7 / 10 + (6.0 if name.lower() in about.lower() else 0.0) for name in names]
    shares = [weight + place * 0.01 for place, weight in enumerate(reversed(weights))][::-1]
    scored = [
        {"label": name, "score": round(share / sum(shares), 4)} for name, share in zip(names, shares, strict=True)
    ]
    return sorted(scored, key=lambda each: -float(str(each["score"])))


def feeling(text: str) -> list[dict[str, Any]]:
    bad = len(re.findall(r"(?i)\b(bad|hate|sad|terrible|awful|not)\b", text))
    good = 0.02 if bad else 0.98
    scored = [{"label": "POSITIVE", "score": good}, {"label": "NEGATIVE", "score": round(1 - good, 2)}]
    return sorted(scored, key=lambda each: -float(str(each["score"])))


def entities(text: str) -> list[dict[str, Any]]:
    """Every word with a capital letter that does not begin the text."""
    found = re.finditer(r"(?<=\s)[A-Z]\w+", text)
    return [
        {"entity_group": "LOC", "score": 0.99, "word": each[0], "start": each.start(), "end": each.end()}
        for each in found
    ]


def filled(text: str) -> list[dict[str, Any]]:
    words = (("capital", 0.9), ("heart", 0.06))
    return [
        {"score": score, "token": 3000 + place, "token_str": word, "sequence": re.sub(r"\[MASK\]|<mask>", word, text)}
        for place, (word, score) in enumerate(words)
    ]


def answer(question: str, context: str) -> dict[str, Any]:
    """The last word of the text that has a capital letter, for want of understanding."""
    words = list(re.finditer(r"[A-Z]\w+", context)) or list(re.finditer(r"\w+", context))
    found = words[-1]
    return {"answer": found[0], "score": 0.97, "start": found.start(), "end": found.end()}


def table_answer(query: str, table: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The last cell of the first row that the question names."""
    columns = list(table.values())
    rows = list(zip(*columns, strict=False))
    row = next((place for place, cells in enumerate(rows) if any(str(cell) in query for cell in cells)), 0)
    cell = str(columns[-1][row]) if columns and rows else ""
    return {"answer": cell, "coordinates": [[row, len(columns) - 1]], "cells": [cell], "aggregator": "NONE"}


def transcript(*, timed: bool = False) -> dict[str, Any]:
    return {"text": SPEECH, **({"chunks": [{"text": SPEECH, "timestamp": [0.0, 2.5]}]} if timed else {})}


def boxes() -> list[dict[str, Any]]:
    return [
        {"label": "cat", "score": 0.99, "box": {"xmin": 12, "ymin": 8, "xmax": 48, "ymax": 60}},
        {"label": "sofa", "score": 0.87, "box": {"xmin": 0, "ymin": 30, "xmax": 63, "ymax": 63}},
    ]


def segments() -> list[dict[str, Any]]:
    return [{"label": "cat", "score": 0.98, "mask": base64.b64encode(media.mask()).decode()}]


def picture(prompt: str, asked: Mapping[str, JSON]) -> bytes:
    return media.png(prompt, *size_of(asked))


def size_of(asked: Mapping[str, JSON]) -> tuple[int, int]:
    """The size that was asked for, whichever way that was said."""
    size = within(asked, "image_size") or within(asked, "target_size") or asked
    width, height = size.get("width") or media.SIDE, size.get("height") or media.SIDE
    if text := re.fullmatch(r"(\d+)x(\d+)", str(asked.get("size") or "")):
        width, height = int(text[1]), int(text[2])
    return min(int(width), LARGEST), min(int(height), LARGEST)
