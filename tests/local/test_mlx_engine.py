"""The MLX engine: the tokens transformers would write, whoever else is there, whatever goes wrong beside them."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hfclient.errors import InputError, OutOfMemoryError
from hfclient.local.engine import Generation, Sampling
from hfclient.local.mlx_choosing import Ahead, Row
from hfclient.local.mlx_engine import MLXEngine
from hfclient.local.torch_engine import TorchEngine
from tests.local.mlx_models import KINDS, VOCABULARY, WINDOW, Desk, Models, in_another_thread, prompt

MIB = 2**20
every_kind = pytest.mark.parametrize("kind", KINDS)
with_and_without_prefixes = pytest.mark.parametrize("kept", [0, 64 * MIB], ids=["cold", "reusing"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def right(desk: Desk, asked: dict[int, tuple[list[int], int]]) -> dict[int, bool]:
    """Whether each of these got what transformers writes for it."""
    return {id_: desk.tokens(id_) == desk.reference(tokens, count) for id_, (tokens, count) in asked.items()}


@every_kind
@in_another_thread
def test_one_text_is_the_one_transformers_writes(models: Models, kind: str) -> None:
    """Token for token, for prompts of one token, of a piece, of several, and past the sliding window."""
    desk = models.desk(kind)
    for length in (1, 2, 16, 17, 40):
        assert desk.write(prompt(length), 24) == desk.reference(prompt(length), 24)


@every_kind
@with_and_without_prefixes
@in_another_thread
def test_eight_that_come_and_go_do_not_change_each_other(models: Models, kind: str, kept: int) -> None:
    """Joins, ends, cancellations and holds at odd moments leave every other text as it would be alone."""
    desk, chance = models.desk(kind, prefix_cache_bytes=kept), random.Random(kind)
    asked: dict[int, tuple[list[int], int]] = {}
    cancelled: set[int] = set()
    held: set[int] = set()
    for turn in range(60):
        if turn % 3 == 0:
            shared = prompt(chance.choice([5, 20, 30]), seed=turn % 2)
            tokens, count = shared + prompt(chance.randrange(1, 12), seed=turn), chance.randrange(1, 30)
            asked[desk.ask(tokens, count)] = (tokens, count)
        known = chance.choice(list(asked))
        match turn % 5:
            case 1:
                desk.engine.hold(known)
                held.add(known)
            case 3 if held:
                desk.engine.resume(chance.choice(sorted(held)))
            case 4 if turn > 20:
                desk.engine.cancel(known)
                cancelled.add(known)
        desk.step()
    for each in held:
        desk.engine.resume(each)
    desk.finish()
    whole = {id_: what for id_, what in asked.items() if id_ not in cancelled}
    assert len(whole) > 10
    assert right(desk, whole) == dict.fromkeys(whole, True)
    for id_ in cancelled:
        tokens, count = asked[id_]
        assert desk.tokens(id_) == desk.reference(tokens, count)[: len(desk.tokens(id_))]
    assert max(rows for rows, _ in desk.model.passes) > 3


@in_another_thread
def test_no_more_than_so_many_at_once(models: Models) -> None:
    """The others wait for a place, and get it in their order."""
    desk = models.desk("llama", max_sequences=2)
    asked = {desk.ask(prompt(3 + place), 6): (prompt(3 + place), 6) for place in range(5)}
    desk.finish()
    assert max(rows for rows, _ in desk.model.passes) == 2
    assert all(right(desk, asked).values())


@in_another_thread
def test_a_long_prompt_does_not_stall_the_others(models: Models) -> None:
    """It is read piece by piece, and with each piece the others get their next token."""
    desk = models.desk("llama")
    first = desk.ask(prompt(4), 40)
    desk.step(3)
    before = len(desk.tokens(first))
    long = desk.ask(prompt(161), 3)
    steps = 0
    while not desk.tokens(long):
        desk.step()
        steps += 1
    assert steps == 12  # 160 tokens by 16, then the last, then it is told
    assert len(desk.tokens(first)) == before + steps
    assert max(columns for _, columns in desk.model.passes) == 16


@in_another_thread
def test_a_stop_token_is_told_and_is_the_last(models: Models) -> None:
    """It ends the text at once, also as the first token, and also where the text may be no longer."""
    desk = models.desk("qwen3", prefix_cache_bytes=MIB)
    text = desk.reference(prompt(9), 12)
    stop = text[4]
    end = text.index(stop) + 1
    for tokens, count, written, ending in (
        ({stop}, 12, text[:end], "stop"),
        ({text[0]}, 12, text[:1], "stop"),
        ({stop}, end, text[:end], "stop"),
        (set(), 5, text[:5], "length"),
        (set(), 1, text[:1], "length"),
    ):
        asked = desk.ask(prompt(9), count, stop_tokens=frozenset(tokens))
        desk.finish()
        assert desk.tokens(asked) == written
        assert [each.ending for each in desk.answers[asked]] == [None] * (len(written) - 1) + [ending]


@in_another_thread
def test_a_held_text_stands_still_and_goes_on_where_it_was(models: Models) -> None:
    """Nothing is written for it meanwhile, the others go on, and nothing is read twice."""
    desk = models.desk("gemma3")
    held, other = desk.ask(prompt(20), 12), desk.ask(prompt(6), 30)
    desk.step(8)
    desk.engine.hold(held)
    before = desk.tokens(held)
    read = desk.model.read
    desk.step(5)
    assert desk.tokens(held) == before
    desk.engine.resume(held)
    desk.finish()
    assert desk.model.read == read
    assert desk.tokens(held) == desk.reference(prompt(20), 12)
    assert desk.tokens(other) == desk.reference(prompt(6), 30)


@in_another_thread
def test_holding_leaves_nothing_to_do(models: Models) -> None:
    """An engine with nothing but held texts is idle; resuming and holding what is not there is passed over."""
    desk = models.desk("llama")
    one, waiting = desk.ask(prompt(20), 8), desk.ask(prompt(7), 8)
    desk.step()
    desk.engine.hold(one)
    desk.engine.hold(one)
    desk.engine.hold(waiting)
    assert desk.engine.idle
    assert desk.engine.step() == []
    for nobody in (99, -1):
        desk.engine.hold(nobody)
        desk.engine.resume(nobody)
        desk.engine.cancel(nobody)
    desk.engine.resume(waiting)
    desk.finish()
    desk.engine.resume(one)
    desk.engine.resume(one)
    desk.finish()
    assert desk.tokens(one) == desk.reference(prompt(20), 8)
    assert desk.tokens(waiting) == desk.reference(prompt(7), 8)


@in_another_thread
def test_a_resumed_text_goes_before_those_that_have_not_begun(models: Models) -> None:
    """Its place went to another meanwhile, so it waits for the next that is free, and is the first to get it."""
    desk = models.desk("llama", max_sequences=1)
    held, *others = (desk.ask(prompt(length), 8) for length in (4, 5, 6))
    desk.step(4)
    desk.engine.hold(held)
    desk.step(3)
    desk.engine.resume(held)
    desk.finish()
    ends = sorted([held, *others], key=lambda asked: desk.ended[asked])
    assert ends == [others[0], held, others[1]]
    assert desk.tokens(held) == desk.reference(prompt(4), 8)


@in_another_thread
def test_a_cancelled_one_frees_its_place_at_once(models: Models) -> None:
    """Whether it waits, is read, is written or is held."""
    desk = models.desk("llama", max_sequences=1)
    written, waiting, next_ = (desk.ask(prompt(length), 20) for length in (4, 5, 6))
    desk.step(4)
    desk.engine.cancel(waiting)
    desk.engine.cancel(written)
    told = len(desk.answers[written])
    desk.step(3)
    assert len(desk.answers[written]) == told
    assert desk.tokens(next_) == desk.reference(prompt(6), 20)[: len(desk.tokens(next_))] != []
    desk.engine.hold(next_)
    desk.engine.cancel(next_)
    read = desk.ask(prompt(60), 4)
    desk.step()
    desk.engine.cancel(read)
    assert desk.engine.idle
    assert desk.write(prompt(8), 4) == desk.reference(prompt(8), 4)


@every_kind
@in_another_thread
def test_the_next_turn_reads_only_what_is_new(models: Models, kind: str) -> None:
    """A conversation goes on from its last token, whatever kind of memory the model has, and says how much it knew."""
    desk = models.desk(kind, prefix_cache_bytes=64 * MIB)
    first = prompt(50)
    told = desk.write(first, 10)
    second = [*first, *told, *prompt(7, seed=1)]
    read = desk.model.read
    asked = desk.ask(second, 10)
    desk.finish()
    assert desk.tokens(asked) == desk.reference(second, 10)
    assert desk.cached(asked) == 60
    assert [each.cached for each in desk.answers[asked][1:]] == [0] * 9
    assert desk.model.read - read == 6  # and the last, which every prompt needs


@every_kind
@in_another_thread
def test_the_same_prompt_again_reads_one_token(models: Models, kind: str) -> None:
    """The last token is always read, for its scores; a memory that cannot go back was kept where the prompt ended."""
    desk = models.desk(kind, prefix_cache_bytes=64 * MIB)
    desk.write(prompt(50), 10)
    read = desk.model.read
    for _ in range(2):
        asked = desk.ask(prompt(50), 10)
        desk.finish()
        assert desk.tokens(asked) == desk.reference(prompt(50), 10)
        assert desk.cached(asked) == 49
    assert desk.model.read == read


@every_kind
@in_another_thread
def test_several_with_one_beginning_read_it_once(models: Models, kind: str) -> None:
    """A prompt serves the others as soon as it is read; nobody waits for its text."""
    desk = models.desk(kind, prefix_cache_bytes=64 * MIB)
    longer = [*prompt(49)[:48], *prompt(6, seed=1)]
    asked = {desk.ask(tokens, 20): (tokens, 20) for tokens in (prompt(49), prompt(49), longer, prompt(49))}
    desk.finish()
    assert all(right(desk, asked).values())
    assert [desk.cached(each) for each in asked] == [0, 48, 48, 48]
    assert desk.model.read == 48 + 5
    assert max(rows for rows, _ in desk.model.passes) == 4


@pytest.mark.parametrize(("kind", "cached"), [("llama", 30), ("qwen3", 30), ("gemma3", 0), ("qwen3_next", 0)])
@in_another_thread
def test_a_branch_goes_back_where_the_model_can(models: Models, kind: str, cached: int) -> None:
    """Attention can be cut anywhere; a filled window or a linear layer cannot, and is not used then."""
    desk = models.desk(kind, prefix_cache_bytes=64 * MIB)
    desk.write(prompt(50), 10)
    branch = [*prompt(50)[:30], *prompt(9, seed=2)]
    asked = desk.ask(branch, 10)
    desk.finish()
    assert desk.tokens(asked) == desk.reference(branch, 10)
    assert desk.cached(asked) == cached
    trunk = [*prompt(50), *desk.reference(prompt(50), 10), *prompt(3, seed=1)]
    asked = desk.ask(trunk, 10)  # what was cut for the branch is whole here
    desk.finish()
    assert desk.tokens(asked) == desk.reference(trunk, 10)
    assert desk.cached(asked) == 60


@in_another_thread
def test_a_window_that_is_not_full_can_go_back(models: Models) -> None:
    """Only once it has slid has it forgotten anything."""
    desk = models.desk("gemma3", prefix_cache_bytes=64 * MIB)
    desk.write(prompt(8), WINDOW - 10)
    branch = [*prompt(8)[:5], *prompt(20, seed=2)]
    asked = desk.ask(branch, 10)
    desk.finish()
    assert desk.tokens(asked) == desk.reference(branch, 10)
    assert desk.cached(asked) == 5


@in_another_thread
def test_what_was_cancelled_serves_the_next(models: Models) -> None:
    """What was read of a prompt and written for it is known, though nobody wanted the end."""
    desk = models.desk("llama", prefix_cache_bytes=64 * MIB)
    asked = desk.ask(prompt(50), 30)
    desk.step(2)
    desk.engine.cancel(asked)
    again = desk.ask(prompt(50), 30)
    desk.step(12)
    assert desk.cached(again) == 32  # two pieces
    desk.engine.cancel(again)
    longer = [*prompt(50), *desk.tokens(again), *prompt(3, seed=1)]
    last = desk.ask(longer, 8)
    desk.finish()
    assert desk.cached(last) == len(longer) - 3
    assert desk.tokens(last) == desk.reference(longer, 8)


@in_another_thread
def test_kept_prefixes_stay_within_their_bytes(models: Models) -> None:
    """The ones used longest ago go, one that is too long alone is never kept, and nothing is kept for nothing."""
    token = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, numbers, bytes
    desk = models.desk("llama", prefix_cache_bytes=100 * token)

    def cached(seed: int) -> int:
        asked = desk.ask(prompt(30, seed), 2)
        desk.finish()
        return desk.cached(asked)

    assert [cached(seed) for seed in (0, 1, 2, 0, 3, 1, 0)] == [0, 0, 0, 29, 0, 0, 29]
    desk.write(prompt(120), 2)
    assert cached(0) == 29
    assert desk.engine.shed() == 3 * 32 * token
    assert desk.engine.shed() == 0
    assert cached(0) == 0
    nothing = models.desk("llama")
    nothing.write(prompt(30), 2)
    assert nothing.engine.shed() == 0


@every_kind
@in_another_thread
def test_nothing_is_left_of_what_has_ended(models: Models, kind: str) -> None:
    """After ends, cancellations and failures of every sort the engine knows of nobody any more, and its batch is
    empty."""
    desk, chance = models.desk(kind), random.Random(kind)
    for turn in range(80):
        broken = Only([1, 2, 3], fails_at=2)
        asked = desk.ask(prompt(chance.randrange(1, 30), turn), 8, constraint=broken if turn % 7 == 0 else None)
        desk.step(chance.randrange(3))
        if turn % 3 == 0:
            desk.engine.hold(asked)
            desk.step()
        if turn % 2 == 0:
            desk.engine.cancel(asked)
        desk.engine.resume(asked)
    desk.finish()
    ended = [id_ for id_, told in desk.answers.items() if told and (told[-1].ending or told[-1].error)]
    assert len(ended) >= 40 - 2
    assert desk.engine._rows == {}
    assert desk.engine._batch.prompt_cache_nbytes == 0


def sampled(seed: int, **more: Any) -> Sampling:
    return Sampling(temperature=1.3, top_k=50, seed=seed, **more)


@every_kind
@in_another_thread
def test_a_seed_repeats_its_text_whoever_is_there(models: Models, kind: str) -> None:
    """Alone, among others who are plain or sampled, and held in the middle, the same seed gives the same text."""
    desk = models.desk(kind)
    alone = desk.write(prompt(20), 15, sampling=sampled(7))
    assert alone != desk.reference(prompt(20), 15)
    assert alone != desk.write(prompt(20), 15, sampling=sampled(8))
    desk.ask(prompt(6), 30)
    asked = desk.ask(prompt(20), 15, sampling=sampled(7))
    plain = desk.ask(prompt(9), 20)
    desk.ask(prompt(20), 15, sampling=sampled(8))
    desk.step(9)
    desk.engine.hold(asked)
    desk.step(3)
    desk.engine.resume(asked)
    desk.finish()
    assert desk.tokens(asked) == alone
    assert desk.tokens(plain) == desk.reference(prompt(9), 20)


@in_another_thread
def test_log_probabilities_are_those_of_the_token_they_come_with(models: Models) -> None:
    """The batch is a step ahead, and what it says of a token waits until that token is told."""
    desk = models.desk("llama")
    asked = desk.ask(prompt(9), 10, sampling=Sampling(top_logprobs=3))
    other = desk.ask(prompt(12), 10)
    desk.finish()
    assert desk.tokens(asked) == desk.reference(prompt(9), 10)
    for each in desk.answers[asked]:
        assert each.top[0] == (each.token, each.logprob)
        assert len(each.top) == 3
    assert len({each.logprob for each in desk.answers[asked]}) == 10
    assert all(each.logprob is None for each in desk.answers[other])


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        sampled(3),
        sampled(4, top_p=0.9, repetition_penalty=1.3, frequency_penalty=0.5, logit_bias={7: 4.0, 8: -100.0}),
        Sampling(temperature=0.7, min_p=0.05, typical_p=0.9, seed=5, top_logprobs=2),
    ],
    ids=["plain", "sampled", "reshaped", "told"],
)
@in_another_thread
def test_both_engines_write_the_same(models: Models, sampling: Sampling) -> None:
    """The same prompt, settings and seed give the same tokens on PyTorch and on MLX, with nearly the same odds."""
    desk = models.desk("qwen3")
    mine = desk.ask(prompt(20), 24, sampling=sampling)
    desk.finish()
    torch = TorchEngine(desk.reference.model, max_sequences=2, prefix_cache_bytes=0)
    torch.add(Generation(id=1, tokens=prompt(20), max_tokens=24, sampling=sampling))
    theirs = []
    while not torch.idle:
        theirs += torch.step()
    assert desk.tokens(mine) == [each.token for each in theirs]
    for one, other in zip(desk.answers[mine], theirs, strict=True):
        assert one.logprob == (None if other.logprob is None else pytest.approx(other.logprob, abs=1e-3))
        assert [token for token, _ in one.top] == [token for token, _ in other.top]


@in_another_thread
def test_penalties_look_at_the_scores_themselves(models: Models) -> None:
    """A penalty on repetition divides scores above zero and multiplies those below: log probabilities will not do."""
    desk = models.desk("qwen3")
    for length in (9, 40):
        written = desk.write(prompt(length), 24, sampling=Sampling(repetition_penalty=3.0))
        assert written == desk.reference(prompt(length), 24, repetition_penalty=3.0)
        assert written != desk.reference(prompt(length), 24)


class Only:
    """A constraint that lets one text be written, and notes what is asked of it."""

    def __init__(self, text: Sequence[int], *, fails_at: int | None = None) -> None:
        self._text = text
        self._fails_at = fails_at
        self.accepted: list[int] = []

    def allowed(self) -> Any:
        if len(self.accepted) == self._fails_at:
            raise LookupError("the grammar is broken")
        bits = np.zeros(VOCABULARY // 32 * 32 + 32, np.uint8)
        bits[self._text[len(self.accepted)]] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@in_another_thread
def test_a_constraint_is_asked_once_for_each_token_and_never_after_the_last(models: Models) -> None:
    """It may have nothing to allow any more once its text is complete, so it is not asked a step ahead of that."""
    desk = models.desk("llama")
    text = [3, 1, 4, 1, 5, 9]
    for count, stop, written in (
        (6, frozenset[int](), text),
        (20, frozenset({9}), text),
        (4, frozenset({9}), text[:4]),
    ):
        constraint = Only(text)
        plain = desk.ask(prompt(7), 12)
        asked = desk.ask(prompt(9), count, stop_tokens=stop, constraint=constraint)
        desk.step(4)
        desk.engine.hold(asked)
        desk.step(2)
        desk.engine.resume(asked)
        desk.finish()
        assert desk.tokens(asked) == written == constraint.accepted
        assert desk.tokens(plain) == desk.reference(prompt(7), 12)


@pytest.mark.parametrize("place", [0, 1, 5])
@in_another_thread
def test_a_broken_constraint_ends_its_own_text_alone(models: Models, place: int) -> None:
    """Its text comes up to there, then the failure; the others are as they would be."""
    desk = models.desk("llama")
    text = [3, 1, 4, 1, 5, 9, 2]
    before = desk.ask(prompt(6), 14)
    broken = desk.ask(prompt(9), 9, constraint=Only(text, fails_at=place))
    after = desk.ask(prompt(12), 14)
    desk.finish()
    assert desk.tokens(broken) == text[:place]
    *_, last = desk.answers[broken]
    assert isinstance(last.error, LookupError)
    assert last.token is last.ending is None
    assert desk.tokens(before) == desk.reference(prompt(6), 14)
    assert desk.tokens(after) == desk.reference(prompt(12), 14)


@in_another_thread
def test_an_interrupt_is_no_failure_of_a_text(models: Models) -> None:
    """Whoever presses Ctrl-C while a constraint is asked means the program."""

    class Interrupted(Only):
        def allowed(self) -> Any:
            raise KeyboardInterrupt

    desk = models.desk("llama")
    desk.ask(prompt(9), 9, constraint=Interrupted([]))
    with pytest.raises(KeyboardInterrupt):
        desk.step(3)


@in_another_thread
def test_what_cannot_be_written_is_refused_alone(models: Models) -> None:
    """An empty prompt, no room, settings nobody can choose by: each fails by itself, at any time."""
    desk = models.desk("llama")
    good = desk.ask(prompt(6), 8)
    bad = [
        desk.ask([], 8),
        desk.ask(prompt(3), 0),
        desk.ask(prompt(3), 8, sampling=Sampling(temperature=-1.0)),
        desk.ask(prompt(3), 8, sampling=Sampling(logit_bias={VOCABULARY + 5: 1.0})),
    ]
    desk.finish()
    for asked in bad:
        (only,) = desk.answers[asked]
        assert isinstance(only.error, InputError)
    assert desk.tokens(good) == desk.reference(prompt(6), 8)


FULL = RuntimeError("[metal::malloc] Attempting to allocate 48736917632 bytes which is greater than the maximum")


@in_another_thread
def test_a_prompt_too_large_for_the_memory_fails_alone(models: Models) -> None:
    """The others go on with the very next token, and the engine takes new work."""
    desk = models.desk("llama")
    others = {desk.ask(prompt(4 + place), 20): (prompt(4 + place), 20) for place in range(2)}
    desk.step(6)
    desk.model.fail = lambda _, columns: FULL if columns == 13 else None
    told = [len(desk.answers[each]) for each in others]
    large = desk.ask(prompt(30), 5)
    desk.step(2)
    assert [len(desk.answers[each]) for each in others] == [count + 2 for count in told]
    (last,) = desk.answers[large]
    assert isinstance(last.error, OutOfMemoryError)
    assert last.error.__cause__ is FULL
    desk.finish()
    assert all(right(desk, others).values())
    assert desk.write(prompt(31), 5) == desk.reference(prompt(31), 5)


@in_another_thread
def test_kept_prefixes_make_room_before_a_prompt_fails(models: Models) -> None:
    """What is kept for speed alone is let go first, and the prompt is read again."""
    desk = models.desk("llama", prefix_cache_bytes=64 * MIB)
    desk.write(prompt(20), 3)
    failures = iter([MemoryError()])
    desk.model.fail = lambda *_: next(failures, None)
    asked = desk.ask(prompt(25), 5)
    desk.finish()
    assert next(failures, None) is None
    assert desk.tokens(asked) == desk.reference(prompt(25), 5)
    assert desk.engine.shed() > 0
    failures = iter([MemoryError()])
    asked = desk.ask(prompt(26), 5)
    desk.finish()
    assert isinstance(desk.answers[asked][0].error, OutOfMemoryError)


@every_kind
@in_another_thread
def test_memory_that_runs_out_once_is_tried_again(models: Models, kind: str) -> None:
    """The batch is set up anew, and nobody notices: plain, sampled and constrained texts alike."""
    desk = models.desk(kind, prefix_cache_bytes=64 * MIB)
    seeded = desk.write(prompt(20), 15, sampling=sampled(7))
    plain, random_ = desk.ask(prompt(6), 15), desk.ask(prompt(20), 15, sampling=sampled(7))
    bound = desk.ask(prompt(8), 7, constraint=Only([3, 1, 4, 1, 5, 9, 2]))
    desk.step(8)
    late = desk.ask(prompt(40), 5)
    desk.step()
    failures = iter([FULL])
    desk.model.fail = lambda rows, _: next(failures, None) if rows == 3 else None
    desk.finish()
    assert next(failures, None) is None
    assert desk.tokens(plain) == desk.reference(prompt(6), 15)
    assert desk.tokens(random_) == seeded
    assert desk.tokens(bound) == [3, 1, 4, 1, 5, 9, 2]
    assert desk.tokens(late) == desk.reference(prompt(40), 5)


@in_another_thread
def test_the_youngest_goes_when_memory_stays_short(models: Models) -> None:
    """After the second try, one at a time, until there is enough for the rest."""
    desk = models.desk("llama")
    asked = {desk.ask(prompt(4 + place), 25): (prompt(4 + place), 25) for place in range(4)}
    desk.step(7)
    desk.model.fail = lambda rows, _: FULL if rows > 2 else None
    desk.finish()
    first, second, *young = asked
    assert all(right(desk, {each: asked[each] for each in (first, second)}).values())
    for each in young:
        *text, last = desk.answers[each]
        assert isinstance(last.error, OutOfMemoryError)
        assert [said.token for said in text] == desk.reference(*asked[each])[: len(text)]


@in_another_thread
def test_a_single_text_that_does_not_fit_ends(models: Models) -> None:
    """There is an end to trying, and the next one is served."""
    desk = models.desk("llama")
    asked = desk.ask(prompt(4), 25)
    desk.step(4)
    desk.model.fail = lambda *_: FULL
    desk.finish()
    assert isinstance(desk.answers[asked][-1].error, OutOfMemoryError)
    desk.model.fail = lambda *_: None
    assert desk.write(prompt(6), 5) == desk.reference(prompt(6), 5)


@pytest.mark.parametrize("evaluations", [0, 2], ids=["to take it out", "to copy it"])
@in_another_thread
def test_a_held_text_that_there_is_no_memory_to_keep_is_read_again(models: Models, evaluations: int) -> None:
    """Nothing of it is lost: what was told is known, and what was chosen is told next."""
    desk = models.desk("llama", prefix_cache_bytes=64 * MIB)
    seeded = desk.write(prompt(20), 12, sampling=sampled(7))
    asked = desk.ask(prompt(20), 12, sampling=sampled(7))
    desk.step(6)
    with failing(FULL, after=evaluations):
        desk.engine.hold(asked)
    assert desk.engine.shed() == 0
    desk.engine.resume(asked)
    read = desk.model.read
    desk.finish()
    assert desk.tokens(asked) == seeded
    assert desk.model.read > read


@pytest.mark.parametrize("evaluations", [0, 2], ids=["to take it out", "to copy it"])
@in_another_thread
def test_other_failures_of_holding_come_out(models: Models, evaluations: int) -> None:
    """They are nothing that more room would help against."""
    desk = models.desk("llama")
    asked = desk.ask(prompt(20), 12)
    desk.step(6)
    with failing(RuntimeError("there is no stream"), after=evaluations), pytest.raises(RuntimeError, match="no stream"):
        desk.engine.hold(asked)


@contextmanager
def failing(error: Exception, *, after: int) -> Iterator[None]:
    """MLX computes this often, and then fails."""
    evaluate, left = mx.eval, [None] * after

    def compute(*arrays: Any) -> None:
        if not left:
            raise error
        left.pop()
        evaluate(*arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mx, "eval", compute)
        yield


def test_what_was_lost_with_a_batch_is_chosen_again() -> None:
    """A token that MLX never came to work out, and all after it, are as if they had not been chosen."""

    class Lost:
        def __getitem__(self, place: int) -> Any:
            raise FULL

    row = Row(Generation(id=1, tokens=[1], max_tokens=5))
    row.ahead.extend([Ahead(token=3), Ahead(batch=mx.array([8, 9]), place=1), Ahead(batch=Lost()), Ahead(token=4)])
    row.settle()
    assert [each.token for each in row.ahead] == [3, 9]
    row.ahead.append(Ahead(error=FULL))
    row.settle()
    assert row.ahead[-1].error is FULL


@pytest.mark.parametrize("error", [RuntimeError("the shapes do not fit"), ValueError("[matmul]"), KeyError("x")])
@in_another_thread
def test_any_other_failure_of_the_batch_comes_out(models: Models, error: Exception) -> None:
    """Nobody can say whose it was, so it is not blamed on one of them."""
    desk = models.desk("llama")
    desk.ask(prompt(4), 9)
    desk.model.fail = lambda *_: error
    with pytest.raises(type(error)) as caught:
        desk.step()
    assert caught.value is error


@in_another_thread
def test_closing_lets_go_of_the_model(models: Models) -> None:
    """Nothing of the engine keeps the weights in memory, though the engine itself is still held."""
    desk = models.desk("llama", prefix_cache_bytes=MIB)

    class Weights:
        def __init__(self, model: Any) -> None:
            self.model = model
            self.layers = model.layers

        def __call__(self, tokens: Any, cache: Any) -> Any:
            return self.model(tokens, cache=cache)

    weights = Weights(desk.model)
    engine = MLXEngine(weights, max_sequences=2, prefix_cache_bytes=MIB)
    desk.engine = engine
    desk.write(prompt(9), 4)
    desk.ask(prompt(9), 4)
    desk.step(2)
    gone = weakref.ref(weights)
    del weights
    engine.close()
    gc.collect()
    assert gone() is None
    assert engine.idle
    assert engine.step() == []
    assert mx.get_cache_memory() == 0
