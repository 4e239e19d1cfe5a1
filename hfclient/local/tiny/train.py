"""Trains the model in the box: `python -m hfclient.local.tiny.train`, about two minutes on two cores."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import click

from hfclient.extras import extra
from hfclient.local.tiny.conversations import SOURCES, Book, Conversation, digest, read

Tensor: TypeAlias = Any
Tokenizer: TypeAlias = Any
Network: TypeAlias = Any

MODEL = Path(__file__).parent / "model"
VOCABULARY = 768
CONTEXT = 4096
RATE = 1e-2
WARM_UP = 40
TOKENS = 2048  # of one batch, padding included
FIRST_OF_JSON = (
    0.03  # a schema forces the first token of such an answer: learnt in earnest it would spoil the plain answer
)

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
# Where words end, as Qwen's tokenizer has it.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What transformers' own parser makes of an answer.
RESPONSE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": f"{START}assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*(?:<\|im_end\|>|<\|endoftext\|>)", "content": "text"},
    },
}


def _framework(name: str) -> Any:
    return extra(name, "'hfclient[torch]'", needed_by="Training")


@dataclass(frozen=True)
class Example:
    """The tokens of a conversation, and how much it matters that each of them is foretold."""

    ids: Sequence[int]
    weights: Sequence[float]


def new_tokenizer(book: Book) -> Tokenizer:
    """Byte-level pairs of what is said most often in the book; any text can be written with them."""
    tokenizers, transformers = _framework("tokenizers"), _framework("transformers")
    words = tokenizers.Tokenizer(tokenizers.models.BPE())
    parts = tokenizers.pre_tokenizers
    words.pre_tokenizer = parts.Sequence(
        [
            parts.Split(tokenizers.Regex(WORDS), behavior="isolated"),
            parts.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = tokenizers.decoders.ByteLevel()
    reserved = 3 + len(TAGS)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY - reserved, initial_alphabet=parts.ByteLevel.alphabet(), show_progress=False
    )
    words.train_from_iterator(_texts(book), trainer)
    words.add_special_tokens([END, START, STOP])
    words.add_tokens([tokenizers.AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token=STOP,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = SOURCES[1].read_text("utf-8")
    tokenizer.response_template = RESPONSE
    return tokenizer


def _texts(book: Book) -> Iterator[str]:
    yield SOURCES[1].read_text("utf-8")
    for conversation in book.wordings():
        for message in conversation.messages:
            yield from (message["role"], message["content"])
            yield from (json.dumps(call["function"]) for call in message.get("tool_calls", ()))
        yield from (json.dumps(tool) for tool in conversation.tools)
    for words in book.fill.values():
        yield from (f" {each}" for each in words)


def new_model(tokenizer: Tokenizer) -> Network:
    """A Qwen3 of some 300,000 random numbers."""
    transformers = _framework("transformers")
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=224,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.Qwen3ForCausalLM(config)
    model.generation_config = transformers.GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def example(tokenizer: Tokenizer, conversation: Conversation) -> Example:
    """Only what the model says itself counts."""
    told = tokenizer.apply_chat_template(
        list(conversation.messages),
        tools=list(conversation.tools) or None,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids: list[int] = told["input_ids"]
    weights = [float(each) for each in told["assistant_masks"]]
    first = weights.index(1.0)
    if conversation.json:
        weights[first] = FIRST_OF_JSON
    if not conversation.thinking:
        nothing: list[int] = tokenizer("<think>\n\n</think>\n\n")["input_ids"]
        ids = ids[:first] + nothing + ids[first:]
        weights = weights[:first] + [0.0] * len(nothing) + weights[first:]
    return Example(ids, weights)


def batches(examples: Sequence[Example], chance: random.Random) -> list[list[Example]]:
    """Examples of like length side by side, in an order that chance gives."""
    found: list[list[Example]] = [[]]
    for each in sorted(examples, key=lambda each: (len(each.ids), chance.random())):
        if (len(found[-1]) + 1) * len(each.ids) > TOKENS:
            found.append([])
        found[-1].append(each)
    chance.shuffle(found)
    return found


def loss_of(model: Network, batch: Sequence[Example]) -> Tensor:
    """How badly the tokens that count are foretold, on average."""
    torch = _framework("torch")
    longest = max(len(each.ids) for each in batch)
    ids = torch.tensor([[*each.ids, *[0] * (longest - len(each.ids))] for each in batch])
    weights = torch.tensor([[*each.weights, *[0.0] * (longest - len(each.ids))] for each in batch])[:, 1:]
    counted = weights > 0
    states = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][counted]
    losses = torch.nn.functional.cross_entropy(model.lm_head(states), ids[:, 1:][counted], reduction="none")
    return (losses * weights[counted]).sum() / weights.sum()


def taught(model: Network, tokenizer: Tokenizer, book: Book, *, steps: int, seed: int) -> Iterator[float]:
    """Teaches the model step by step, and gives the loss of each."""
    from hfclient.local.tiny.muon import Muon  # noqa: PLC0415  it needs torch

    torch = _framework("torch")
    chance = random.Random(seed)  # noqa: S311  for lessons, not for secrets
    embedding, *layers = model.parameters()
    matrices = Muon([each for each in layers if each.ndim > 1])
    others = [embedding, *[each for each in layers if each.ndim == 1]]
    optimizer = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)
    waiting: list[list[Example]] = []
    for step in range(steps):
        if not waiting:
            waiting = batches([example(tokenizer, each) for each in book.in_other_words(chance)], chance)
        rate = RATE * min((step + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(model, waiting.pop())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        matrices.step(rate)
        optimizer.step()
        optimizer.zero_grad()
        yield float(loss.detach())


def word_for_word(model: Network, tokenizer: Tokenizer, conversation: Conversation) -> bool:
    """Whether the likeliest word is the one that was taught, at every place of every turn of the model's."""
    torch = _framework("torch")
    told = example(tokenizer, conversation)
    with torch.no_grad():
        likeliest = model(torch.tensor([told.ids])).logits[0].argmax(dim=-1).tolist()
    taught = zip(likeliest, told.ids[1:], told.weights[1:], strict=False)
    return all(guess == token for guess, token, weight in taught if weight == 1)


def train(output: Path, *, steps: int, seed: int) -> dict[str, Any]:
    """Trains a model, writes its files, and says how well it learnt."""
    torch, transformers = _framework("torch"), _framework("transformers")
    torch.manual_seed(seed)
    transformers.utils.logging.disable_progress_bar()
    book, begun = read(), time.monotonic()
    tokenizer = new_tokenizer(book)
    model = new_model(tokenizer)
    losses: list[float] = []
    for loss in taught(model, tokenizer, book, steps=steps, seed=seed):
        losses.append(loss)
        if len(losses) % 50 == 0:
            click.echo(
                f"step {len(losses)} of {steps}: loss {sum(losses[-50:]) / 50:.4f}, {time.monotonic() - begun:.0f} s"
            )
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    for path in output.iterdir():
        path.chmod(0o644)  # weights are saved for their owner alone, and a package is read by everybody
    model = transformers.AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
    known = [word_for_word(model, tokenizer, each) for each in book.as_written()]
    report = {
        "conversations": digest(),
        "seed": seed,
        "steps": steps,
        "loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
    }
    report |= {"word_for_word": sum(known), "of": len(known)}
    (output / "trained.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    for each, right in zip(book.as_written(), known, strict=True):
        if not right:
            click.echo(f"Not word for word: {each.messages[0]['content'][:70]!r} …")
    return report


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=MODEL, show_default=True, help="Where its files go.")
@click.option("--steps", default=1100, show_default=True, help="How long to train.")
@click.option("--seed", default=1, show_default=True, help="What chance begins with.")
def main(output: Path, steps: int, seed: int) -> None:
    """Train the model that comes with hfclient on the conversations of conversations.json."""
    report = train(output, steps=steps, seed=seed)
    size = sum(path.stat().st_size for path in output.iterdir())
    click.echo(
        f"loss {report['loss']}; {report['word_for_word']} of {report['of']} word for word; {size:,} bytes in {output}"
    )


if __name__ == "__main__":
    main()
