"""The engine on PyTorch: the tokens transformers would write, whoever else is there, whatever goes wrong beside it."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM

from hfclient.errors import EngineError, OutOfMemoryError
from hfclient.local import torch_engine
from hfclient.local.engine import Sampling
from hfclient.local.torch_batch import runner_of
from hfclient.local.torch_cache import RoomyLayer
from hfclient.local.torch_memory import is_out_of_memory
from tests.local.torch_models import KINDS, ORDINARY, WINDOW, Desk, desk_of, prompt_of

MIB = 2**20
BYTES_PER_TOKEN = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, their width, float32

every_kind = pytest.mark.parametrize("kind", KINDS)
ordinary = pytest.mark.parametrize("kind", ORDINARY)
with_and_without_prefixes = pytest.mark.parametrize("kept", [0, 64 * MIB], ids=["cold", "reusing"])


@every_kind
@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_one_text_is_the_one_transformers_writes(kind: str, chunk: int) -> None:
    """Token for token, for prompts of one token and of many, past the sliding window, read in any pieces."""
    with desk_of(kind, prefill_chunk=chunk) as desk:
        for length in (1, 2, WINDOW, 40):
            assert desk.write(prompt_of(length), 20) == desk.reference(prompt_of(length), 20)


@every_kind
@with_and_without_prefixes
def test_eight_that_come_and_go_do_not_change_each_other(kind: str, kept: int) -> None:
    """Joins, ends, cancellations and holds at odd moments leave every other text as it would be alone."""
    chance = random.Random(kind)
    asked: dict[int, tuple[list[int], int]] = {}
    cancelled: set[int] = set()
    with desk_of(kind, prefix_cache_bytes=kept, prefill_chunk=16) as desk:
        for turn in range(48):
            if turn % 2 == 0:
                prompt = prompt_of(chance.choice([5, 20, 30]), turn % 2) + prompt_of(chance.randrange(1, 12), turn)
                count = chance.randrange(4, 24)
                asked[desk.ask(prompt, count)] = (prompt, count)
            some = chance.choice(list(asked))
            match turn % 6:
                case 1:
                    desk.engine.hold(some)
                case 3:
                    for each in asked:
                        desk.engine.resume(each)
                case 4:
                    desk.engine.cancel(some)
                    cancelled.add(some)
            desk.step()
        for each in asked:
            desk.engine.resume(each)
        desk.finish()
        for each, (prompt, count) in asked.items():
            whole = desk.reference(prompt, count)
            assert desk.tokens(each) == (whole[: len(desk.tokens(each))] if each in cancelled else whole)
        assert len(cancelled) > 3
        if kind in ORDINARY:
            assert max(rows for rows, _ in desk.passes) > 4


def test_no_more_than_so_many_are_written_for_at_once() -> None:
    """The others wait for a place, and get it in their order."""
    with desk_of("llama", max_sequences=2) as desk:
        asked = [desk.ask(prompt_of(3 + each), 6) for each in range(5)]
        firsts: list[int] = []
        while not desk.engine.idle:
            desk.step()
            firsts += [each for each in asked if len(desk.tokens(each)) == 1 and each not in firsts]
        assert firsts == asked
        assert max(rows for rows, _ in desk.passes) == 2


@ordinary
def test_one_that_joins_is_read_alone_and_written_with_the_rest(kind: str) -> None:
    """A long prompt is read piece by piece, with each piece the others get their token, and then it is one of them."""
    with desk_of(kind, prefill_chunk=16) as desk:
        first = desk.ask(prompt_of(4), 40)
        desk.step()
        long = desk.ask(prompt_of(60), 10)
        desk.step(4)
        assert len(desk.tokens(first)) == 5
        assert len(desk.tokens(long)) == 1
        assert desk.passes == [(1, 4), (1, 1), (1, 16), (1, 1), (1, 16), (1, 1), (1, 16), (1, 1), (1, 12)]
        desk.step()
        assert desk.passes[9:] == [(2, 1)]


@ordinary
def test_short_prompts_are_read_several_in_a_step(kind: str) -> None:
    """Those who come together are written for together from the second step on, as many as a piece has room for."""
    with desk_of(kind, max_sequences=12, prefill_chunk=64) as desk:
        asked = [desk.ask(prompt_of(2 + each % 6, each), 5) for each in range(10)]
        desk.step()
        assert [len(desk.tokens(each)) for each in asked] == [1] * 8 + [0] * 2
        desk.step()
        assert [len(desk.tokens(each)) for each in asked] == [2] * 8 + [1] * 2
        desk.finish()
        assert max(rows for rows, _ in desk.passes) == 10
        long = [desk.ask(prompt_of(40, each), 2) for each in range(2)]
        desk.step()
        assert [len(desk.tokens(each)) for each in long] == [1, 0]
        desk.finish()


@ordinary
def test_another_ending_is_gone_on_from_in_place(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What few tokens were written after the common beginning give way, and nothing of it is copied; unless somebody
    still goes on from there."""
    copied: list[int] = []
    moved = RoomyLayer._moved

    def note(layer: Any, start: int, end: int) -> Any:
        copied.append(start)
        return moved(layer, start, end)

    with desk_of(kind, prefix_cache_bytes=64 * MIB, prefill_chunk=8) as desk:
        beginning = prompt_of(80)
        desk.write(beginning, 4)
        monkeypatch.setattr(RoomyLayer, "_moved", note)
        one, other = beginning + prompt_of(12, 1), beginning + prompt_of(15, 2)
        first = desk.ask(one, 12)
        desk.step(2)
        assert (len(desk.tokens(first)), copied) == (1, [])
        second = desk.ask(other, 12)
        desk.finish()
        assert set(copied) >= {80}
        assert (desk.tokens(first), desk.tokens(second)) == (desk.reference(one, 12), desk.reference(other, 12))


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3_next"])
def test_others_wait_where_texts_cannot_stand_side_by_side(kind: str) -> None:
    """One is written after the other; one that is held lets the next go first."""
    with desk_of(kind) as desk:
        first, second = desk.ask(prompt_of(20), 8), desk.ask(prompt_of(5), 8)
        desk.step(4)
        assert (len(desk.tokens(first)), len(desk.tokens(second))) == (3, 0)
        desk.engine.hold(first)
        desk.step(4)
        assert (len(desk.tokens(first)), len(desk.tokens(second))) == (3, 4)
        desk.engine.resume(first)
        desk.finish()
        assert desk.tokens(first) == desk.reference(prompt_of(20), 8)
        assert desk.tokens(second) == desk.reference(prompt_of(5), 8)


@every_kind
def test_a_text_ends_with_a_stop_token_or_its_length(kind: str) -> None:
    """A stop token is told and is the last, also as the first token or where the text may be no longer."""
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        text = desk.reference(prompt_of(9), 12)
        stop = text[5]
        end = text.index(stop) + 1
        for stops, count, written, ending in (
            ({stop}, 12, text[:end], "stop"),
            ({text[0]}, 12, text[:1], "stop"),
            ({stop}, end, text[:end], "stop"),
            (set[int](), 5, text[:5], "length"),
            (set[int](), 1, text[:1], "length"),
        ):
            asked = desk.ask(prompt_of(9), count, stop_tokens=frozenset(stops))
            desk.finish()
            assert desk.tokens(asked) == written
            assert [each.ending for each in desk.answers[asked]] == [None] * (len(written) - 1) + [ending]


@ordinary
def test_the_second_turn_reads_only_what_is_new(kind: str) -> None:
    """The whole conversation is known, less the last token written, which was never read."""
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        conversation = prompt_of(40)
        for turn in range(3):
            known = len(conversation) - 1 if turn else 0
            conversation = conversation + prompt_of(6, turn)
            before = desk.read
            asked = desk.ask(conversation, 8)
            desk.finish()
            assert desk.read - before == len(conversation) - known + 7
            assert [each.cached for each in desk.answers[asked]] == [known] + [0] * 7
            assert desk.tokens(asked) == desk.reference(conversation, 8)
            conversation = conversation + desk.tokens(asked)


@ordinary
def test_only_what_differs_is_read(kind: str) -> None:
    """What two prompts have in common is read once, at most all but the last token of it, by the count of tokens."""
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        system = prompt_of(30)
        for prompt, known in (
            (system + prompt_of(5, 1), 0),
            (system + prompt_of(7, 2), 30),
            (system + prompt_of(5, 1), 34),
            (system, 29),
            (prompt_of(3), 0),
        ):
            before = desk.read
            asked = desk.ask(prompt, 1)
            desk.finish()
            assert desk.read - before == len(prompt) - known
            assert desk.answers[asked][0].cached == known
            assert desk.tokens(asked) == desk.reference(prompt, 1)


@ordinary
def test_a_burst_shares_the_system_prompt(kind: str) -> None:
    """Calls that come together read their common beginning once, though none of them has ended."""
    with desk_of(kind, prefix_cache_bytes=MIB, prefill_chunk=512) as desk:
        system = prompt_of(50)
        prompts = [system + [each] * 4 for each in range(1, 6)]
        asked = [desk.ask(prompt, 20) for prompt in prompts]
        desk.step(5)
        assert sum(columns for rows, columns in desk.passes if columns > 1) == 54 + 4 * 4
        desk.finish()
        assert [desk.tokens(each) for each in asked] == [desk.reference(prompt, 20) for prompt in prompts]


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3_next"])
def test_what_cannot_be_cut_is_gone_on_from_whole(kind: str) -> None:
    """A conversation is gone on from exactly; one that turns off before its end is read anew, and is right too."""
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        prompt = prompt_of(2 * WINDOW)
        first = desk.write(prompt, 8)
        whole = prompt + first[:-1]
        for tokens, known in (
            (whole + prompt_of(5), len(whole)),
            (prompt + prompt_of(6), len(prompt)),  # kept from when the prompt was read
            (prompt[:-3] + prompt_of(6), 0),
            (prompt, 0),
            (whole + prompt_of(5), len(whole) + 4),  # for it was kept too when it was read
        ):
            before = desk.read
            asked = desk.ask(tokens, 9)
            desk.finish()
            if tokens != whole + prompt_of(5) or known == len(whole):
                assert desk.answers[asked][0].cached == known
                assert desk.read - before == len(tokens) - known + 8
            assert desk.tokens(asked) == desk.reference(tokens, 9)


def test_a_window_that_is_not_full_can_be_cut() -> None:
    """A short prompt of a model with a window is shared as any other."""
    with desk_of("gemma3_text", prefix_cache_bytes=MIB) as desk:
        prompt = prompt_of(WINDOW - 4)
        desk.write(prompt, 2)
        asked = desk.ask(prompt[:-3] + prompt_of(20), 9)
        desk.finish()
        assert desk.answers[asked][0].cached == len(prompt) - 3
        assert desk.tokens(asked) == desk.reference(prompt[:-3] + prompt_of(20), 9)


def test_a_model_that_forgets_reads_its_prompts_whole() -> None:
    """Where several tokens cannot be read from where the model is, no prompt is read in pieces, and none is kept."""
    with desk_of("mamba", prefix_cache_bytes=MIB, prefill_chunk=4) as desk:
        text = desk.write(prompt_of(20), 4)
        assert desk.passes == [(1, 20), (1, 1), (1, 1), (1, 1)]
        assert desk.write(prompt_of(20) + text, 9) == desk.reference(prompt_of(20) + text, 9)
        assert desk.engine.shed() == 0


@ordinary
def test_what_was_cancelled_is_kept_as_far_as_it_came(kind: str) -> None:
    """While its prompt is read, and while it is written."""
    with desk_of(kind, prefix_cache_bytes=MIB, prefill_chunk=16) as desk:
        for prompt, steps, known in ((prompt_of(40), 2, 32), (prompt_of(41), 6, 44)):
            asked = desk.ask(prompt, 20)
            desk.step(steps)
            written = desk.tokens(asked)
            desk.engine.cancel(asked)
            assert desk.engine.idle
            again = desk.ask(prompt + written + [1], 1)
            desk.finish()
            assert desk.answers[again][0].cached == known


def test_the_store_stays_within_its_budget() -> None:
    """However much is written, and it is honest about the bytes: those of the tensors it keeps alive."""
    budget = 300 * BYTES_PER_TOKEN
    with desk_of("llama", prefix_cache_bytes=budget) as desk:
        for each in range(12):
            desk.ask(prompt_of(10 + 9 * each), 5)
            desk.step(3)
            assert desk.engine._prefixes.size <= budget
        desk.finish()
        kept = desk.engine._prefixes._prefixes
        assert 0 < desk.engine._prefixes.size <= budget
        columns = sum(len(each.tokens) for each in kept)
        assert (
            columns * BYTES_PER_TOKEN
            < desk.engine._prefixes.size
            <= (columns * 5 // 4 + 32 * len(kept)) * BYTES_PER_TOKEN
        )
        assert alive(desk) == desk.engine._prefixes.size
        assert desk.engine.shed() > 0
        assert alive(desk) == 0


@every_kind
@with_and_without_prefixes
def test_nothing_is_held_when_all_have_ended(kind: str, kept: int) -> None:
    """Not a byte but those of the prefixes, however the texts ended; none at all once the engine is closed."""
    with desk_of(kind, prefix_cache_bytes=kept) as desk:
        asked = [desk.ask(prompt_of(5 + each), 3 + each) for each in range(6)]
        desk.step(4)
        desk.engine.hold(asked[1])
        desk.step(2)
        desk.engine.cancel(asked[1])
        desk.engine.cancel(asked[5])
        desk.finish()
        assert alive(desk) <= desk.engine._prefixes.size < alive(desk) + 100  # and some single numbers
        desk.engine.close()
        assert alive(desk) == 0


def test_a_closed_engine_lets_go_of_the_model() -> None:
    """Its memory is free as soon as nobody else has it, also with texts under way; closing twice is no matter."""
    config = AutoConfig.for_model("llama", hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    model = LlamaForCausalLM(config).eval()
    there = weakref.ref(model)
    engine = torch_engine.TorchEngine(model, max_sequences=2, prefix_cache_bytes=MIB)
    engine.add(torch_engine.Generation(id=1, tokens=[1, 2, 3], max_tokens=9))
    engine.step()
    engine.close()
    engine.close()
    del model
    gc.collect()
    assert there() is None


def test_a_held_text_stands_still_and_goes_on_where_it_was() -> None:
    """Nothing is written for it meanwhile, also if it is held before it has begun, and nothing is read twice."""
    with desk_of("qwen3") as desk:
        held, other = desk.ask(prompt_of(20), 12), desk.ask(prompt_of(6), 30)
        desk.step(5)
        desk.engine.hold(held)
        waiting = desk.ask(prompt_of(4), 3)
        desk.engine.hold(waiting)
        desk.engine.hold(99)
        before, read = desk.tokens(held), desk.read
        desk.step(5)
        assert (desk.tokens(held), desk.tokens(waiting), desk.read - read) == (before, [], 5)
        desk.finish()
        assert len(desk.tokens(other)) == 30
        assert desk.engine.idle
        read = desk.read
        desk.engine.resume(held)
        desk.engine.resume(waiting)
        assert not desk.engine.idle
        desk.finish()
        assert desk.read - read == 12 - len(before) + 4 + 2
        assert desk.tokens(held) == desk.reference(prompt_of(20), 12)
        assert desk.tokens(waiting) == desk.reference(prompt_of(4), 3)


def test_held_and_resumed_between_two_steps_is_as_if_nothing_had_been() -> None:
    """A reader that catches up at once costs no token, and a cancelled one is not missed."""
    with desk_of("llama") as desk:
        asked = [desk.ask(prompt_of(5 + each), 9) for each in range(3)]
        desk.step(4)
        for each in (asked[1], asked[2]):
            desk.engine.hold(each)
            desk.engine.resume(each)
        desk.engine.cancel(asked[0])
        desk.engine.cancel(asked[0])
        desk.finish()
        assert [desk.tokens(each) == desk.reference(prompt_of(4 + each), 9) for each in asked[1:]] == [True, True]


@every_kind
def test_a_seed_gives_the_same_text_in_any_company(kind: str) -> None:
    """Alone, among others, and held in between."""
    warm = Sampling(temperature=1.5, seed=7)
    with desk_of(kind) as desk:
        alone = desk.write(prompt_of(9), 12, sampling=warm)
        assert alone != desk.reference(prompt_of(9), 12)
        asked = [desk.ask(prompt_of(4 + each), 14, sampling=Sampling(temperature=2, seed=each)) for each in range(3)]
        desk.step(4)
        seeded = desk.ask(prompt_of(9), 12, sampling=warm)
        desk.step(6)
        desk.engine.hold(seeded)
        desk.step(3)
        desk.engine.resume(seeded)
        desk.finish()
        assert desk.tokens(seeded) == alone
        assert all(len(desk.tokens(each)) == 14 for each in asked)


def test_what_is_asked_of_one_row_concerns_that_row() -> None:
    """Log probabilities and penalties for one, and the plain likeliest for the next in the same step."""
    with desk_of("llama") as desk:
        plain = desk.ask(prompt_of(9), 10)
        told = desk.ask(prompt_of(9), 10, sampling=Sampling(top_logprobs=2))
        other = desk.ask(prompt_of(9), 10, sampling=Sampling(logit_bias={3: 100}))
        desk.finish()
        assert desk.tokens(plain) == desk.tokens(told) == desk.reference(prompt_of(9), 10)
        assert desk.tokens(other) == [3] * 10
        for each in desk.answers[told]:
            assert each.top[0] == (each.token, each.logprob)
            assert len(each.top) == 2
        assert all(each.logprob is None and each.top == () for each in desk.answers[plain])


class Only:
    """A constraint that has these tokens come in turn, and may fail at one of them."""

    def __init__(self, tokens: list[int], *, failing: int | None = None) -> None:
        self.tokens = tokens
        self.accepted: list[int] = []
        self.failing = failing

    def allowed(self) -> np.ndarray:
        words = np.zeros(2, np.int32)  # fewer than the model's vocabulary has
        token = self.tokens[len(self.accepted)]
        if token == self.failing:
            raise ValueError("no such token")
        words[token // 32] = 1 << (token % 32)
        return words

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@every_kind
def test_a_constraint_is_asked_and_told_once_a_token(kind: str) -> None:
    """Only what it allows is written, and each choice is told to it, the stop token too."""
    with desk_of(kind) as desk:
        plain, only = desk.ask(prompt_of(5), 6), Only([4, 33, 61, 7, 9])
        asked = desk.ask(prompt_of(8), 9, constraint=only, stop_tokens=frozenset({7}))
        desk.finish()
        assert desk.tokens(asked) == only.accepted == [4, 33, 61, 7]
        assert desk.answers[asked][-1].ending == "stop"
        assert desk.tokens(plain) == desk.reference(prompt_of(5), 6)


@every_kind
def test_a_failure_of_one_is_told_to_that_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its constraint fails, its sampler, or there is nothing to read; the others go on."""

    class Broken(torch_engine.Sampler):
        def choose(self, logits: Any, allowed: Any = None) -> Any:
            if allowed is None:
                raise ZeroDivisionError
            return super().choose(logits, allowed)

    monkeypatch.setattr(torch_engine, "Sampler", Broken)
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        sound = desk.ask(prompt_of(5), 12)
        constrained = desk.ask(prompt_of(7), 9, constraint=Only([1, 2, 3, 4], failing=3))
        sampled = desk.ask(prompt_of(8), 9, sampling=Sampling(temperature=1))
        empty = desk.ask([], 5)
        desk.finish()
        assert desk.tokens(sound) == desk.reference(prompt_of(5), 12)
        assert desk.tokens(constrained) == [1, 2]
        assert isinstance(desk.error(constrained), ValueError)
        assert isinstance(desk.error(sampled), ZeroDivisionError)
        assert isinstance(desk.error(empty), ValueError)
        assert desk.write(prompt_of(6), 4) == desk.reference(prompt_of(6), 4)


@contextmanager
def failing(desk: Desk, error: BaseException, *, when: Any, times: int = 1) -> Iterator[list[int]]:
    """Let the model's layers fail so often, in the last of them, after the others have taken the tokens in."""
    left = [times]

    def fail(_: Any, args: Any, given: Any) -> None:
        if left[0] and when(args[0].shape[:2]):
            left[0] -= 1
            raise error

    hook = desk.model.base_model.layers[-1].register_forward_pre_hook(fail, with_kwargs=True)
    try:
        yield left
    finally:
        hook.remove()


TOO_MUCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def reads(shape: Any) -> bool:
    return bool(shape[1] > 1)


def writes(shape: Any) -> bool:
    return bool(shape[1] == 1)


@every_kind
@pytest.mark.parametrize(("error", "told"), [(TOO_MUCH, OutOfMemoryError), (ValueError("broken"), ValueError)])
def test_a_prompt_that_fails_ends_alone(kind: str, error: Exception, told: type[Exception]) -> None:
    """Be it for want of memory or anything else; the others are written on, and so is the next."""
    with desk_of(kind) as desk:
        sound = desk.ask(prompt_of(5), 12)
        desk.step(3)
        with failing(desk, error, when=reads):
            failed = desk.ask(prompt_of(9), 5)
            desk.finish()
        assert type(desk.error(failed)) is told
        assert desk.tokens(failed) == []
        assert desk.tokens(sound) == desk.reference(prompt_of(5), 12)
        assert desk.write(prompt_of(9), 5) == desk.reference(prompt_of(9), 5)


@ordinary
def test_short_of_memory_the_prefixes_go_first(kind: str) -> None:
    """A batch that fails is tried again without them, and nobody notices."""
    with desk_of(kind, prefix_cache_bytes=MIB) as desk:
        desk.write(prompt_of(30), 3)
        asked = [desk.ask(prompt_of(5 + each), 12) for each in range(3)]
        desk.step(5)
        assert desk.engine._prefixes.size
        with failing(desk, TOO_MUCH, when=writes) as left:
            desk.step()
        assert left == [0]
        assert desk.engine._prefixes.size == 0
        desk.finish()
        assert [desk.tokens(each) for each in asked] == [desk.reference(prompt_of(5 + each), 12) for each in range(3)]


@ordinary
def test_still_short_of_memory_the_youngest_goes(kind: str) -> None:
    """One after the other, in the same step, until the rest can go on; their texts are what they would be."""
    with desk_of(kind) as desk:
        asked = [desk.ask(prompt_of(5 + each), 12) for each in range(4)]
        desk.step(6)
        before = [len(desk.tokens(each)) for each in asked]
        with failing(desk, TOO_MUCH, when=lambda shape: writes(shape) and shape[0] > 2, times=99):
            desk.step()
        assert [len(desk.tokens(each)) - many for each, many in zip(asked, before, strict=True)] == [1, 1, 0, 0]
        assert [type(desk.error(each)) for each in asked[2:]] == [OutOfMemoryError] * 2
        desk.finish()
        assert [desk.tokens(each) for each in asked[:2]] == [desk.reference(prompt_of(5 + each), 12) for each in (0, 1)]


@pytest.mark.parametrize("kind", ["gemma3_text", "qwen3_next"])
def test_a_cache_that_was_worked_in_place_is_not_tried_again(kind: str) -> None:
    """Part of it has taken the token in, so the text ends, and the next one is served."""
    with desk_of(kind) as desk:
        failed, next_ = desk.ask(prompt_of(9), 5), desk.ask(prompt_of(6), 5)
        desk.step(2)
        with failing(desk, TOO_MUCH, when=writes, times=1):
            desk.finish()
        assert isinstance(desk.error(failed), OutOfMemoryError)
        assert desk.tokens(next_) == desk.reference(prompt_of(6), 5)


@every_kind
def test_a_batch_that_fails_otherwise_is_raised(kind: str) -> None:
    """It concerns everybody, and whoever runs the engine decides."""
    with desk_of(kind) as desk:
        desk.ask(prompt_of(9), 5)
        desk.step(2)
        with (
            failing(desk, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), when=writes),
            pytest.raises(RuntimeError, match="mat1"),
        ):
            desk.step()


def test_an_interrupt_is_no_failure_of_one_text() -> None:
    """What is not an Exception goes through."""
    with (
        desk_of("llama") as desk,
        failing(desk, KeyboardInterrupt(), when=reads),
        pytest.raises(KeyboardInterrupt),
    ):
        desk.write(prompt_of(5))


def test_every_way_of_saying_that_memory_ran_out_is_known() -> None:
    """PyTorch's allocator says it itself here; the devices' words are quoted."""
    with pytest.raises(RuntimeError) as here:
        torch.empty(10**14)
    with pytest.raises(MemoryError) as numpys:
        np.empty(10**14)
    for error in (here.value, numpys.value, TOO_MUCH, RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")):
        assert is_out_of_memory(error)
    for error in (RuntimeError("shapes"), ValueError("out of memory"), KeyError("memory")):
        assert not is_out_of_memory(error)


def test_a_model_without_a_cache_is_refused() -> None:
    """It could only be run anew for every token."""

    class Plain:
        def forward(self, input_ids: Any) -> Any: ...

    with pytest.raises(EngineError, match="Plain has no cache"):
        runner_of(Plain())


def test_a_number_may_be_used_again_at_once() -> None:
    """What comes under the number of one that has just ended, and leaves before it is begun, is not taken for it."""
    with desk_of("llama", prefix_cache_bytes=MIB) as desk:
        other = desk.ask(prompt_of(5), 20)
        first = desk.ask(prompt_of(9), 2)
        desk.step(4)
        assert len(desk.tokens(first)) == 2
        again = torch_engine.Generation(id=first, tokens=prompt_of(30), max_tokens=5)
        desk.engine.add(again)
        desk.engine.cancel(first)
        desk.engine.add(again)
        desk.finish()
        assert desk.tokens(first)[2:] == desk.reference(prompt_of(30), 5)
        assert [each.cached for each in desk.answers[first]] == [0] * 7
        assert desk.tokens(other) == desk.reference(prompt_of(5), 20)


def test_what_is_only_for_speed_is_left_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that cannot be copied to be kept has ended all the same, and one that cannot be held goes on."""
    with desk_of("llama", prefix_cache_bytes=MIB) as desk:
        asked = [desk.ask(prompt_of(5 + each), 9) for each in range(3)]
        desk.step(5)

        def taken(_: int) -> Any:
            raise TOO_MUCH

        monkeypatch.setattr(desk.engine._runner, "taken", taken)
        desk.engine.cancel(asked[0])
        desk.engine.hold(asked[1])
        desk.finish()
        assert [desk.tokens(each) for each in asked[1:]] == [desk.reference(prompt_of(5 + each), 9) for each in (1, 2)]


def alive(desk: Desk) -> int:
    """The bytes that tensors keep from being free: keys, values and states, and not the model's own."""
    desk.answers.clear()
    gc.collect()
    kept = [each for each in gc.get_objects() if type(each) is torch.Tensor and each.is_inference() and each.dim() > 2]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in kept}
    return sum(storages.values())
