"""How tokens are chosen: the odds of transformers, penalties and bias as OpenAI's, seeds, bounds, broken scores."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from hfclient.errors import EngineError, InputError
from hfclient.local.engine import Sampling
from hfclient.local.sampling import Sampler, check, odds

ALL = -1


def scores_of(seed: int, size: int, spread: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)


def bits(tokens: list[int], words: int) -> np.ndarray:
    """A constraint's answer: a bit for each of these tokens."""
    open_ = np.zeros(words * 32, np.uint8)
    open_[tokens] = 1
    return np.packbits(open_, bitorder="little").view("<i4")


def their_odds(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The probabilities that transformers' processors leave, in the order of its `generate`."""
    processors = theirs.LogitsProcessorList([theirs.TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        processors.append(theirs.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(theirs.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(theirs.MinPLogitsWarper(sampling.min_p))
    if sampling.typical_p < 1:
        processors.append(theirs.TypicalLogitsWarper(sampling.typical_p))
    left = processors(torch.zeros((1, 1), dtype=torch.long), torch.from_numpy(scores.copy())[None])
    return torch.softmax(left, dim=-1)[0].numpy()


def our_odds(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    places, weights = odds(scores, sampling, peak=float(scores.max()))
    found = np.zeros(len(scores), np.float32)
    found[... if places is None else places] = weights / weights.sum()
    return found


shares = st.floats(0.01, 0.99)


@settings(deadline=None, max_examples=300)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 3000),
    spread=st.floats(0.01, 12.0),
    sampling=st.builds(
        Sampling,
        temperature=st.floats(0.05, 3.0),
        top_k=st.one_of(st.just(0), st.integers(1, 4000)),
        top_p=st.one_of(st.just(1.0), shares),
        min_p=st.one_of(st.just(0.0), shares),
        typical_p=st.one_of(st.just(1.0), shares),
    ),
)
def test_the_odds_are_those_of_transformers(seed: int, size: int, spread: float, sampling: Sampling) -> None:
    """Temperature, top_k, top_p, min_p and typical_p keep the same tokens with the same probabilities."""
    scores = scores_of(seed, size, spread)
    ours, expected = our_odds(scores, sampling), their_odds(scores, sampling)
    differ = np.flatnonzero((ours > 0) != (expected > 0))
    # a token whose mass lies within rounding of a bound may fall on either side of it; none other
    assert len(differ) <= 1 or np.maximum(ours, expected)[differ].sum() < 1e-5
    if not len(differ):
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2, 5, 100])
def test_tokens_as_likely_as_the_last_of_top_k_stay_too(top_k: int) -> None:
    """As in transformers: top_k is a bound on the score, not on the number."""
    scores = np.array([1, 3, 2, 2, 2, 0], np.float32)
    sampling = Sampling(temperature=1.0, top_k=top_k)
    np.testing.assert_allclose(our_odds(scores, sampling), their_odds(scores, sampling), rtol=1e-6)


def test_of_equally_likely_tokens_top_p_keeps_the_first() -> None:
    """A flat distribution is cut at the mass that was asked for, and always at the same tokens."""
    kept = our_odds(np.zeros(1000, np.float32), Sampling(temperature=1.0, top_p=0.25)) > 0
    assert np.flatnonzero(kept).tolist() == list(range(250))


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 10_000),
    penalty=st.floats(0.2, 3.0),
    prompt=st.lists(st.integers(0, 49), max_size=30),
    written=st.lists(st.integers(0, 39), max_size=30),
    bias=st.dictionaries(st.integers(0, 39), st.floats(-20, 20), max_size=5),
)
def test_repetition_penalty_and_bias_are_those_of_transformers(
    seed: int, penalty: float, prompt: list[int], written: list[int], bias: dict[int, float]
) -> None:
    """Bias first, then the penalty over prompt and answer; prompt tokens that the model cannot write count nothing."""
    sampler = Sampler(Sampling(repetition_penalty=penalty, logit_bias=bias), prompt)
    for token in written:
        forced = np.full(40, -1e4, np.float32)
        forced[token] = 1e4
        assert sampler.choose(forced).token == token
    scores = scores_of(seed, 40)
    expected = torch.from_numpy(scores.copy())[None]
    ids = torch.tensor([prompt + written], dtype=torch.long)
    if bias:
        processor = theirs.SequenceBiasLogitsProcessor([[[token], amount] for token, amount in bias.items()])
        expected = processor(ids, expected)
    if prompt + written:
        expected = theirs.RepetitionPenaltyLogitsProcessor(penalty)(ids, expected)
    np.testing.assert_allclose(sampler._reshaped(scores), expected[0].numpy(), rtol=1e-5)


def test_a_pictures_place_in_the_prompt_is_not_punished() -> None:
    """Tokens the model has no score for, negative ones too, count nothing, and not from the vocabulary's end."""
    sampler = Sampler(Sampling(repetition_penalty=2.0), [-1, 1, 99])
    np.testing.assert_allclose(sampler._reshaped(np.ones(4, np.float32)), [1, 0.5, 1, 1])


def test_frequency_and_presence_are_counted_over_what_was_written() -> None:
    """score - count × frequency_penalty - (count > 0) × presence_penalty, whatever the prompt held."""
    sampler = Sampler(Sampling(frequency_penalty=0.5, presence_penalty=0.25), [0, 0, 0, 3])
    scores = np.array([1.0, 2.0, 1.5, 0.0], np.float32)
    assert [sampler.choose(scores).token for _ in range(5)] == [1, 2, 1, 0, 1]
    # before the fifth choice: 1 was written twice, 0 and 2 once
    np.testing.assert_allclose(sampler._reshaped(scores), [1 - 0.75, 2 - 1.75, 1.5 - 0.75, 0], rtol=1e-6)


def test_penalties_remember_more_tokens_than_they_first_had_room_for() -> None:
    """Every token is counted, however many different ones are written."""
    sampler = Sampler(Sampling(presence_penalty=1.0, repetition_penalty=1.5), [])
    scores = np.linspace(0.5, 1.0, 500, dtype=np.float32)
    assert [sampler.choose(scores).token for _ in range(500)] == list(range(499, -1, -1))


def test_bias_bans_and_forces() -> None:
    """-100 makes a token impossible and 100 the only one, whatever the scores; between, the amount is added."""
    scores = np.array([500.0, 1.0, 2.0, 2.5], np.float32)
    for temperature in (0.0, 1.0, 100.0):
        ask = {"temperature": temperature, "seed": 1}
        assert {Sampler(Sampling(logit_bias={1: 100}, **ask), []).choose(scores).token for _ in range(20)} == {1}
        banning = Sampler(Sampling(logit_bias={0: -100}, **ask), [])
        assert 0 not in {banning.choose(scores).token for _ in range(20)}
    assert Sampler(Sampling(logit_bias={0: -100, 2: 0.75}), []).choose(scores).token == 2


def test_a_constraint_wins_over_a_forced_token() -> None:
    """What the constraint does not allow cannot be forced; among what it allows, forcing works."""
    scores = np.array([9.0, 1.0, 2.0, 2.5], np.float32)
    forcing = Sampler(Sampling(logit_bias={0: 100, 1: 100}), [])
    assert forcing.choose(scores, bits([2, 3], 1)).token == 3
    assert forcing.choose(scores, bits([1, 2, 3], 1)).token == 1


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_only_allowed_tokens_are_chosen(temperature: float) -> None:
    """Bits count from the lowest, 32 to a word; a token beyond the words may not come, be it the likeliest."""
    scores = scores_of(3, 100)
    scores[[5, 99]] = 50  # neither is allowed
    sampler = Sampler(Sampling(temperature=temperature, seed=1, top_k=2), [])
    chosen = {sampler.choose(scores, bits([0, 31, 32, 63], 2)).token for _ in range(50)}
    best = sorted([0, 31, 32, 63], key=lambda token: -scores[token])
    assert chosen == set(best[: 1 if temperature == 0 else 2])
    wide = np.full(10, ALL, np.int32)  # more bits than the model has tokens
    assert sampler.choose(scores, wide).token in {5, 99}


def test_the_scores_are_left_as_they_are() -> None:
    """The engine may use the row again."""
    scores = scores_of(1, 50)
    before = scores.copy()
    scores.flags.writeable = False
    full = Sampling(
        temperature=0.5, top_p=0.9, top_k=9, min_p=0.01, typical_p=0.9, repetition_penalty=1.2, frequency_penalty=1,
        presence_penalty=1, logit_bias={1: 5, 2: -100}, seed=1, top_logprobs=3,
    )  # fmt: skip
    sampler = Sampler(full, [1, 2, 3])
    for _ in range(10):
        sampler.choose(scores, bits(list(range(40)), 2))
    assert np.array_equal(scores, before)


def test_chance_finds_each_token_at_its_share() -> None:
    """Numbers spread evenly from 0 to 1 choose each token as often as its probability says, with bounds too."""
    for size, asked in ((7, Sampling(temperature=0.9, top_p=0.8)), (2000, Sampling(temperature=1.5))):
        scores = scores_of(5, size)
        sampler = Sampler(asked, [])
        sampler._random = Even(5000)  # type: ignore[assignment]
        found = Counter(sampler.choose(scores).token for _ in range(5000))
        expected = our_odds(scores, asked) * 5000
        assert all(abs(found[token] - times) <= 1.01 for token, times in enumerate(expected))


class Even:
    """In place of a generator: as many numbers as asked for, evenly spread."""

    def __init__(self, count: int) -> None:
        self._numbers = iter((np.arange(count) + 0.5) / count)

    def random(self) -> float:
        return float(next(self._numbers))


class Greatest:
    def random(self) -> float:
        return math.nextafter(1, 0)


@pytest.mark.parametrize("size", [3, 1025])
def test_the_luckiest_number_still_chooses_a_possible_token(size: int) -> None:
    """Rounding leads neither beyond the vocabulary nor to a token that cannot come."""
    scores = np.full(size, -np.inf, np.float32)
    scores[:2] = 0.1
    sampler = Sampler(Sampling(temperature=1.0), [])
    sampler._random = Greatest()  # type: ignore[assignment]
    assert sampler.choose(scores).token == 1


def test_a_seed_gives_the_same_tokens() -> None:
    """Equal seeds agree and others do not; the sequence is numpy's PCG64, so these tokens stay for ever."""
    rows = [scores_of(row, 1000, 1.0) for row in range(12)]

    def tokens(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), [])
        return [sampler.choose(row).token for row in rows]

    assert tokens(7) == tokens(7)
    assert tokens(7) != tokens(8)
    assert tokens(None) != tokens(None)
    assert tokens(-1) == tokens(2**64 - 1)
    assert tokens(7)[:5] == PINNED


PINNED = [603, 894, 804, 219, 276]


def test_slightly_different_scores_give_the_same_tokens() -> None:
    """Two engines round differently: a difference of a millionth changes no token of fifty."""
    one, other = (Sampler(Sampling(temperature=1.0, seed=3, top_k=50, top_p=0.95), []) for _ in range(2))
    for row in range(50):
        scores = scores_of(row, 2000)
        noise = scores_of(1000 + row, 2000, 1e-6)
        assert one.choose(scores).token == other.choose(scores + noise).token


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), temperature=st.floats(1e-30, 50.0), size=st.integers(1, 700))
def test_one_of_one_is_greedy(seed: int, temperature: float, size: int) -> None:
    """top_k=1 takes the likeliest token at any temperature, as temperature 0 does, and so does no warmth at all."""
    scores = scores_of(seed, size)
    best = Sampler(Sampling(), []).choose(scores).token
    assert best == int(scores.argmax())
    assert Sampler(Sampling(temperature=temperature, top_k=1, seed=seed), []).choose(scores).token == best
    assert Sampler(Sampling(temperature=1.0, top_p=0.0, seed=seed), []).choose(scores).token == best
    assert Sampler(Sampling(temperature=1e-300, seed=seed), []).choose(scores).token == best


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_log_probabilities_are_the_models_own(temperature: float) -> None:
    """They are taken before penalties, bias, temperature and constraint, the likeliest first."""
    scores = scores_of(2, 300)
    expected = torch.log_softmax(torch.from_numpy(scores), dim=-1)
    asked = Sampling(temperature=temperature, logit_bias={int(scores.argmax()): -100}, top_logprobs=4, seed=1)
    chosen = Sampler(asked, []).choose(scores, bits(list(range(256)), 8))
    best = torch.topk(expected, 4)
    assert [token for token, _ in chosen.top] == best.indices.tolist()
    np.testing.assert_allclose([logprob for _, logprob in chosen.top], best.values, rtol=1e-5)
    assert chosen.logprob == pytest.approx(float(expected[chosen.token]), rel=1e-5)
    assert chosen.token != chosen.top[0][0]


def test_log_probabilities_come_only_where_asked_for() -> None:
    """None is none, 0 is those of the chosen tokens, and more than the vocabulary is the whole of it."""
    scores = np.array([1, 3, -np.inf, 2], np.float32)
    none, own, more = (Sampler(Sampling(top_logprobs=count), []).choose(scores) for count in (None, 0, 9))
    assert (none.logprob, none.top) == (None, ())
    assert own.logprob is not None
    assert own.top == ()
    assert [token for token, _ in more.top] == [1, 3, 0]  # what cannot come has no logarithm


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_scores_are_an_error(broken: float, temperature: float) -> None:
    """A model that overflowed is told, with what may help."""
    scores = scores_of(1, 20)
    scores[7] = broken
    with pytest.raises(EngineError, match="broken") as told:
        Sampler(Sampling(temperature=temperature, seed=1), []).choose(scores)
    assert "float32" in told.value.advice
    with pytest.raises(EngineError, match="broken"):  # the constraint passes over it, the logarithms do not
        Sampler(Sampling(temperature=temperature, top_logprobs=0), []).choose(scores, bits([1, 2], 1))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_token_left_is_an_error(temperature: float) -> None:
    """All tokens banned, or all that the constraint allows, or a constraint that allows nothing the model has."""
    scores = scores_of(1, 32)
    banning = Sampling(temperature=temperature, logit_bias=dict.fromkeys(range(32), -100))
    with pytest.raises(EngineError, match="No token") as told:
        Sampler(banning, []).choose(scores)
    assert "logit_bias" in told.value.advice
    one = Sampling(temperature=temperature, logit_bias={3: -100.0})
    with pytest.raises(EngineError, match="No token") as told:
        Sampler(one, []).choose(scores, bits([3], 1))
    assert "response_format" in told.value.advice
    with pytest.raises(EngineError, match="No token"):
        Sampler(Sampling(temperature=temperature), []).choose(scores, bits([40], 2))


@pytest.mark.parametrize(
    "asked",
    [
        {"temperature": -1}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_p": 1.5}, {"min_p": -0.1},
        {"typical_p": 0}, {"repetition_penalty": 0}, {"frequency_penalty": math.inf}, {"presence_penalty": math.nan},
        {"logit_bias": {1: math.nan}},
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_are_refused(asked: dict[str, float]) -> None:
    """Each names itself and its range."""
    with pytest.raises(InputError, match=next(iter(asked))) as told:
        check(Sampling(**asked))
    assert told.value.advice


@pytest.mark.parametrize("token", [-1, 20])
def test_bias_for_a_token_that_is_not_there_is_refused(token: int) -> None:
    """It would be counted from the end, or silently lost."""
    with pytest.raises(InputError, match="vocabulary of 20"):
        Sampler(Sampling(logit_bias={token: 1.0}), []).choose(scores_of(1, 20))
