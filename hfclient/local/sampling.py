"""How the next token is chosen from a model's scores: penalties, bias and bounds first, then the likeliest, or chance.

The steps and their order are those of transformers' `generate`, so the odds are the same; only what is left after each
step is looked at in the next, so that a large vocabulary is gone through as seldom as possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hfclient.errors import EngineError, InputError
from hfclient.local.engine import Likely, Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores: TypeAlias = NDArray[np.float32]
    Places: TypeAlias = NDArray[np.intp]

BANNED, FORCED = -100, 100  # as OpenAI has it for `logit_bias`
_COLDEST = 1e-5  # below this the scores no longer fit in 32 bits, and chance has no say anyway
_GUESSES = (1 / 32, 1 / 1024, 1 / 32768)  # how much less likely than the likeliest the last of `top_p` mostly is
_NEAR = 8.0  # so far below the highest score twenty others are mostly found
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Chosen:
    """The next token. `logprob` and `top` are the model's own, before anything was done to its scores."""

    token: int
    logprob: float | None = None
    top: Likely = ()


class Sampler:
    """Chooses the tokens of one generation, one after the other; it remembers them for the penalties.

    The same seed and scores give the same tokens: each choice takes one number from the seed's sequence, and finds its
    token in the order of the vocabulary.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        check(sampling)
        self._sampling = sampling
        seed = None if sampling.seed is None else sampling.seed % 2**64
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._seen = _Seen(prompt if sampling.repetition_penalty != 1 else ())
        bias = sampling.logit_bias
        self._biased = np.fromiter(bias.keys(), np.intp, len(bias))
        self._bias = np.array([-math.inf if amount <= BANNED else amount for amount in bias.values()], np.float32)
        self._forced = np.sort(self._biased[self._bias >= FORCED])

    def choose(self, logits: Scores, allowed: NDArray[np.int32] | None = None) -> Chosen:
        """The next token by these scores, which stay as they are; `allowed` has a bit for each token that may come."""
        scores = self._reshaped(logits) if self._sampling.reshapes else logits
        tokens = self._open(allowed, len(logits))
        place = self._place(scores if tokens is None else scores[tokens], bounded=tokens is not None)
        token = place if tokens is None else int(tokens[place])
        if self._sampling.reshapes:
            self._seen.add(token)
        if self._sampling.top_logprobs is None:
            return Chosen(token)
        return _told(token, logits, self._sampling.top_logprobs)

    def _reshaped(self, logits: Scores) -> Scores:
        asked, scores = self._sampling, logits.copy()
        if len(self._biased):
            if not 0 <= self._biased.min() <= self._biased.max() < len(scores):
                raise InputError(
                    f"logit_bias names a token outside of the model's vocabulary of {len(scores)}.",
                    advice="Its keys are token ids of this model's own tokenizer.",
                )
            scores[self._biased] += self._bias
        tokens, times = self._seen.within(len(scores))
        if asked.repetition_penalty != 1:
            seen = scores[tokens]
            scores[tokens] = np.where(seen < 0, seen * asked.repetition_penalty, seen / asked.repetition_penalty)
        if asked.frequency_penalty or asked.presence_penalty:
            scores[tokens] -= asked.frequency_penalty * times + asked.presence_penalty * (times > 0)
        return scores

    def _open(self, allowed: NDArray[np.int32] | None, width: int) -> Places | None:
        """The tokens to choose from, in order; None is all of them."""
        if allowed is None:
            return self._forced if len(self._forced) else None
        octets = allowed.astype("<i4", copy=False).view(np.uint8)
        bits = np.unpackbits(octets, count=width, bitorder="little").view(bool)  # there are none beyond the words
        forced = self._forced[bits[self._forced]]
        return forced if len(forced) else np.flatnonzero(bits)

    def _place(self, scores: Scores, *, bounded: bool) -> int:
        best = int(scores.argmax()) if len(scores) else -1  # not-a-number counts as the greatest here
        if best < 0 or not math.isfinite(scores[best]):
            raise _no_choice(float(scores[best]) if best >= 0 else -math.inf, bounded=bounded)
        if self._sampling.temperature == 0:
            return best
        places, weights = odds(scores, self._sampling, peak=float(scores[best]))
        place = _drawn(weights, self._random.random())
        return place if places is None else int(places[place])


class _Seen:
    """The tokens a penalty concerns, and how often each was written; those of the prompt alone count zero times."""

    def __init__(self, prompt: Sequence[int]) -> None:
        known = np.unique(np.asarray(prompt, np.intp))
        known = known[known >= 0]  # some models mark the place of a picture with a negative one
        self._tokens = known
        self._times = np.zeros(len(known), np.float32)
        self._places = {token: place for place, token in enumerate(known.tolist())}

    def add(self, token: int) -> None:
        place = self._places.setdefault(token, len(self._places))
        if place == len(self._tokens):
            room = max(64, len(self._tokens))  # twice as much each time
            self._tokens = np.concatenate([self._tokens, np.zeros(room, np.intp)])
            self._times = np.concatenate([self._times, np.zeros(room, np.float32)])
        self._tokens[place] = token
        self._times[place] += 1

    def within(self, width: int) -> tuple[Places, Scores]:
        """Those the model has scores for: a prompt may hold more, of pictures for instance."""
        tokens, times = self._tokens[: len(self._places)], self._times[: len(self._places)]
        if len(tokens) and tokens.max() >= width:
            known = tokens < width
            return tokens[known], times[known]
        return tokens, times


def odds(scores: Scores, sampling: Sampling, *, peak: float) -> tuple[Places | None, Scores]:
    """The places that chance may choose from (None: all), and the weight of each; `peak` is the highest score."""
    scaled = scores - np.float32(peak)
    if sampling.temperature != 1:
        with np.errstate(over="ignore"):
            scaled /= np.float32(max(sampling.temperature, _COLDEST))
    places: Places | None = None
    for narrowed in _NARROWING:
        kept = narrowed(scaled, sampling)
        if kept is not None:
            scaled = scaled[kept]
            places = kept if places is None else places[kept]
    return places, np.exp(scaled)


# Each of these is given the scores that are left, the highest of which is 0, and gives the places of those that stay.


def _top_k(scaled: Scores, sampling: Sampling) -> Places | None:
    if not 0 < sampling.top_k < len(scaled):
        return None
    return np.flatnonzero(scaled >= _highest(scaled, sampling.top_k, peak=0.0))


def _highest(scores: Scores, count: int, *, peak: float) -> float:
    """The lowest of so many of the highest scores, which are mostly found near the peak."""
    near = scores[scores >= peak - _NEAR]
    found = near if len(near) >= count else scores
    return float(np.partition(found, len(found) - count)[len(found) - count])


def _top_p(scaled: Scores, sampling: Sampling) -> Places | None:
    if sampling.top_p >= 1:
        return None
    weights = np.exp(scaled)
    goal = sampling.top_p * float(weights.sum(dtype=np.float64))
    for guess in _GUESSES:
        near = weights[weights >= guess]
        if float(near.sum(dtype=np.float64)) >= goal:
            break
    else:
        near = weights
    ordered = np.sort(near)[::-1]
    enough = int(np.searchsorted(ordered.cumsum(dtype=np.float64), goal)) + 1  # with the one that reaches the goal
    least = ordered[min(enough, len(ordered)) - 1]
    kept = np.flatnonzero(weights >= least)
    if len(kept) > enough:  # of equals, the first in the vocabulary
        spare = np.flatnonzero(weights[kept] == least)[enough - len(kept) :]
        kept = np.delete(kept, spare)
    return kept


def _min_p(scaled: Scores, sampling: Sampling) -> Places | None:
    return np.flatnonzero(np.exp(scaled) >= sampling.min_p) if sampling.min_p > 0 else None


def _typical_p(scaled: Scores, sampling: Sampling) -> Places | None:
    """Those whose surprise is nearest to what is to be expected of these scores, until they make up the mass."""
    if sampling.typical_p >= 1:
        return None
    surprise = math.log(float(np.exp(scaled).sum(dtype=np.float64))) - scaled
    chances = np.exp(-surprise)
    possible = chances > 0
    away = np.abs(surprise - float((surprise[possible] * chances[possible]).sum(dtype=np.float64)))
    order = np.argsort(away)
    last = int(np.searchsorted(np.cumsum(chances[order], dtype=np.float64), sampling.typical_p))
    return np.flatnonzero(away <= away[order[min(last, len(order) - 1)]])


_NARROWING = (_top_k, _top_p, _min_p, _typical_p)


def _drawn(weights: Scores, luck: float) -> int:
    """The place at which the weights, added up in order, first exceed this part, from 0 to 1, of their sum."""
    first = 0
    if len(weights) > _BLOCK:  # add up by blocks, then within the one
        sums = np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK), dtype=np.float64).cumsum()
        wanted = luck * sums[-1]
        block = _exceeds(sums, wanted)
        first = block * _BLOCK
        weights = weights[first : first + _BLOCK]
        wanted -= sums[block - 1] if block else 0.0
        return first + _exceeds(weights.cumsum(dtype=np.float64), wanted)
    sums = weights.cumsum(dtype=np.float64)
    return _exceeds(sums, luck * sums[-1])


def _exceeds(sums: NDArray[np.float64], wanted: float) -> int:
    """The first of these sums above this one; rounding may not lead beyond the last, nor to what cannot come."""
    return int(sums.searchsorted(min(wanted, math.nextafter(sums[-1], 0)), side="right"))


def _told(token: int, logits: Scores, count: int) -> Chosen:
    """The token with the log probabilities that the model gave."""
    peak = float(logits.max())
    if not math.isfinite(peak):
        raise _no_choice(peak, bounded=False)
    total = peak + math.log(float(np.exp(logits - np.float32(peak)).sum()))
    return Chosen(token, float(logits[token]) - total, _likeliest(logits, count, peak, total) if count else ())


def _likeliest(logits: Scores, count: int, peak: float, total: float) -> Likely:
    near = np.flatnonzero(logits >= _highest(logits, min(count, len(logits)), peak=peak))
    near = near[np.argsort(-logits[near], kind="stable")][:count]
    pairs = zip(near.tolist(), logits[near].tolist(), strict=True)
    return tuple((token, score - total) for token, score in pairs if score > -math.inf)


def check(sampling: Sampling) -> None:
    """Raise an InputError for a value that no choice can be made with."""
    for name, low, high in (
        ("temperature", 0.0, math.inf),
        ("top_p", 0.0, 1.0),
        ("min_p", 0.0, 1.0),
        ("typical_p", 0.0, 1.0),
        ("repetition_penalty", 0.0, math.inf),
        ("frequency_penalty", -math.inf, math.inf),
        ("presence_penalty", -math.inf, math.inf),
    ):
        value: float = getattr(sampling, name)
        above_zero = name in {"repetition_penalty", "typical_p"}
        if not (math.isfinite(value) and low <= value <= high) or (above_zero and value == 0):
            raise InputError(f"{name} cannot be {value}.", advice=_range(name, low, high, above_zero=above_zero))
    if any(math.isnan(amount) for amount in sampling.logit_bias.values()):
        raise InputError("logit_bias has an amount that is not a number.", advice="Amounts go from -100 to 100.")


def _range(name: str, low: float, high: float, *, above_zero: bool) -> str:
    if low == -math.inf:
        return f"{name} is a finite number, mostly from -2 to 2."
    start = "above 0" if above_zero else f"at least {low:g}"
    return f"{name} is {start}" + (f" and at most {high:g}." if high < math.inf else ".")


def _no_choice(score: float, *, bounded: bool) -> EngineError:
    if score == -math.inf:
        here = (
            "that the response_format, the grammar or the tool's schema allows here" if bounded else "of the vocabulary"
        )
        return EngineError(
            "No token is left to choose from.", advice=f"logit_bias bans every token {here}: ban fewer, or none."
        )
    return EngineError(
        f"The model's scores are broken: the highest is {score}.",
        advice='Load it with LocalOptions(dtype="float32"): in 16 bits some models overflow. If that changes nothing, '
        "its files are damaged.",
    )
