"""What a model's suffix and `provider=` ask for together: which providers, or who is cheapest or fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hfclient.call import Call
from hfclient.errors import InputError
from hfclient.hub import Entry
from hfclient.types.models import ORDERS, Model

T = TypeVar("T")

POLICIES = frozenset({"fastest", "cheapest", "preferred"})
ROUTED_TASKS = frozenset({"conversational"})

_FIGURES = {"cheapest": "price", "fastest": "speed"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The model without a suffix that names its provider, the providers asked for, and the order to try them in."""

    model: str | None
    providers: tuple[str, ...]
    policy: str | None = None


def choice_of(call: Call, is_provider: Callable[[str], bool]) -> Choice:
    """What the call asks for; what is neither a provider nor a policy is part of the model's name."""
    if call.model is None:
        return Choice(None, call.providers)
    model, colon, suffix = call.model.rpartition(":")
    if not colon:
        return Choice(call.model, call.providers)
    if suffix == "auto":
        return Choice(model, call.providers)
    if call.providers == ("auto",) and call.task in ROUTED_TASKS:
        return Choice(call.model, call.providers)  # the router reads the suffix, also one we do not know yet
    if suffix not in POLICIES and not is_provider(suffix):
        return Choice(call.model, call.providers)  # part of the name, as in "llama3:8b"
    if call.providers == ("auto",) and suffix not in POLICIES:
        return Choice(model, (suffix,))
    if call.providers == ("auto",):
        # What the user prefers is the Hub's own order, which auto keeps to anyhow.
        return Choice(model, call.providers, suffix if suffix in ORDERS else None)
    if call.providers == (suffix,):
        return Choice(model, call.providers)
    raise InputError(
        f"The model says {suffix!r} ({call.model}) and provider= says {', '.join(call.providers)}.",
        advice="Keep one of the two.",
    )


def in_order(policy: str, found: Sequence[tuple[Entry, T]], model: str, figures: Model | None) -> list[tuple[Entry, T]]:
    """The cheapest or the fastest first, and those of whom nothing is known last, as the Hub had them."""
    ranks = {
        offer.provider: rank for offer in (figures.providers if figures else ()) if (rank := ORDERS[policy](offer))
    }
    if not any(entry.provider in ranks for entry, _ in found):
        names = [entry.provider for entry, _ in found]
        raise InputError(
            f"Who is {policy} for {model} cannot be told: no provider's {_FIGURES[policy]} is known.",
            advice=f"These serve it: {', '.join(names)}. Name one, provider={names[0]!r}, or leave :{policy} away.",
        )
    return sorted(found, key=lambda pair: ranks.get(pair[0].provider, (math.inf,)))
