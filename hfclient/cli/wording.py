"""Advice is written for programs: in it, what a program passes becomes what one types at a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

Typed: TypeAlias = str | Callable[[re.Match[str]], str]

_WORDS: tuple[tuple[str, Typed], ...] = (
    (r'set HF_TOKEN, or pass Client\("hf_…"\);', "or set HF_TOKEN;"),
    (r"Client\(token=…\) or HF_TOKEN, a provider's own key in Client\(keys=\{…\}\)",
     "HF_TOKEN, a provider's own key in its own variable; hfclient doctor shows what is set"),
    (r": Client\.endpoint\(url, \"key\"\)", ""),
    (r"Pass Client\(keys=\{[^}]*\}\) or set (\w+)", r"Set \1"),
    (r"use the provider's own key with keys=\{…\}", "set the provider's own key, and not HF_TOKEN"),
    (r"(?:, by hand or with|, or let) retry=Retry\((?:[^()]|\{[^}]*\})*\)(?: do it)?", ""),
    (r'Given a list, provider=\["groq", "together"\]', "Given several, --provider groq,together"),
    (r'Pass model="org/name"(?:, or Client\(model="org/name"\))?', "Name one: --model org/name"),
    (r"(?:, )?provider=…", " with --provider"),
    (r"provider='([^']*)'", r"--provider \1"),
    (r"\bbill_to=…|(?<=organisation of )bill_to", "--bill-to"),
    (r"pass it as base_url='([^']*)'", r"pass --base-url \1"),
    (r"\b([Cc]heck|leave|Is|beside) base_url=?", r"\1 --base-url"),
    (r"; a job of client\.submit\(…\) goes on", ""),
    (r"client\.chat(?:\.stream)?\(…\)", "hfclient chat"),
    (r"client\.(\w+)\(…\)", lambda found: f"hfclient run {found[1].replace('_', '-')}"),
    (r"\bcall (?=hfclient)", ""),
    (r"\bCall (?=hfclient)", "Use "),
    (r"\b(?:timeout|deadline)=…", "--timeout"),
    (r"error\.partial", "what was printed"),
)  # fmt: skip
_SPELLINGS = tuple((re.compile(pattern), typed) for pattern, typed in _WORDS)


def at_the_command_line(advice: str) -> str:
    """The advice on one line, with options and commands in place of Python."""
    for pattern, typed in _SPELLINGS:
        advice = pattern.sub(typed, advice)
    return " ".join(advice.split())
