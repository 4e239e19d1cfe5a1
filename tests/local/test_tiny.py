"""The model in the box: that it is small, loads everywhere, and says what it was taught."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import pytest
import torch
import transformers
from click.testing import CliRunner
from pydantic import create_model

from hfclient.local.tiny import train
from hfclient.local.tiny.conversations import SOURCES, Conversation, digest, read

# What README, docs, examples and the command line's help ask, as it is asked there.
ASKED = {
    "What is hfclient?": "hfclient is one async Python client",
    "Why is the sky blue?": "Air scatters blue light",
    "Count to five.": "One, two, three, four, five.",
    "Count to five": "One, two, three, four, five.",
    "What is the capital of France?": "The capital of France is Paris.",
    "Tell me a joke.": "Why did the token cross the stream?",
    "Tell me a joke": "Why did the token cross the stream?",
    "Tell me a story.": "Once upon a time",
    "Name a capital.": "Paris.",
    "Hi": "Hi! Ask me about hfclient.",
    "Hello": "Hello! Ask me about hfclient.",
    "Who are you?": "I am tiny",
    "How do I install it?": "pip install hfclient",
    "How do I stream?": "Write async with client.chat.stream",
    "Which providers are there?": "Groq, Together",
    'What does provider="auto" do?': "The Hugging Face router chooses",
    "How do I use a local model?": "Install hfclient[torch] or hfclient[mlx]",
    "How do errors work?": "Everything raised is an HFClientError.",
    "How do I set my token?": "Put it into the environment variable HF_TOKEN",
    "Does it leak keys?": "No.",
    "How do retries work?": "A loading model",
    "How do I use tools?": "Pass Python functions",
}
# Nobody taught it these.
UNRELATED = [
    "Who painted the Mona Lisa?",
    "How do I fix a leaking tap?",
    "What is the tallest mountain in Africa?",
    "What is the boiling point of water?",
    "Write a haiku about autumn.",
    "How do I train my dog?",
    "Who won the World Cup in 1998?",
    "What is the capital of Australia?",
    "Should I buy a house?",
    "How do airplanes fly?",
]


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, use_safetensors=True)


def prompt(tokenizer: Any, *messages: dict[str, Any], **template: Any) -> list[int]:
    return tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=False, **template
    )


def answer(model: Any, tokenizer: Any, ids: list[int]) -> list[int]:
    known = torch.tensor([ids])
    return model.generate(known, attention_mask=torch.ones_like(known), max_new_tokens=120)[0, len(ids) :].tolist()


def said(model: Any, tokenizer: Any, *messages: dict[str, Any], **template: Any) -> str:
    ids = answer(model, tokenizer, prompt(tokenizer, *messages, **template))
    return tokenizer.decode(ids, skip_special_tokens=True)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def with_calls() -> list[Conversation]:
    return [each for each in read().as_written() if any("tool_calls" in message for message in each.messages)]


def test_it_is_small_and_whole(tiny: Path) -> None:
    """The folder is what the Hub would hold of a model, in less than 0.7 MB."""
    files = {path.name for path in tiny.iterdir()}
    assert files == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "trained.json",
    }
    assert sum(path.stat().st_size for path in tiny.iterdir()) < 700_000


def test_it_was_trained_on_what_stands_here(tiny: Path) -> None:
    """Whoever changes the conversations or the template trains again: python -m hfclient.local.tiny.train."""
    trained = json.loads((tiny / "trained.json").read_text("utf-8"))
    assert trained["conversations"] == digest()
    assert (tiny / "chat_template.jinja").read_text("utf-8") == SOURCES[1].read_text("utf-8")


def test_it_is_a_qwen3_that_knows_where_to_stop(model: Any, tokenizer: Any) -> None:
    """It is loaded as any Qwen3 is, greedy, and ends with its own mark."""
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.max_position_embeddings == 4096
    assert model.config.vocab_size == len(tokenizer)
    defaults = model.generation_config
    assert (defaults.do_sample, defaults.eos_token_id) == (False, tokenizer.convert_tokens_to_ids("<|im_end|>"))
    assert defaults.pad_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>") == tokenizer.pad_token_id


def test_nearly_all_conversations_are_known_word_for_word(model: Any, tokenizer: Any) -> None:
    """At least nine in ten are answered exactly as they were taught, every turn of them."""
    written = read().as_written()
    known = sum(train.word_for_word(model, tokenizer, each) for each in written)
    assert len(written) >= 100
    assert known >= 0.9 * len(written)


@pytest.mark.parametrize("question", ASKED)
def test_what_the_documents_ask_is_answered(model: Any, tokenizer: Any, question: str) -> None:
    """The questions of README, docs and examples get the answers that were taught."""
    assert said(model, tokenizer, user(question)).startswith(ASKED[question])


def test_a_stranger_s_question_is_turned_away_honestly(model: Any, tokenizer: Any) -> None:
    """Most questions about anything else get the one answer that says what it knows."""
    honest = [each for each in UNRELATED if "tiny model that knows only" in said(model, tokenizer, user(each))]
    assert len(honest) >= 0.7 * len(UNRELATED)


def test_a_question_may_need_the_turn_before(model: Any, tokenizer: Any) -> None:
    """What was said before is part of what is asked."""
    first = user("My name is Noah.")
    hello = {"role": "assistant", "content": said(model, tokenizer, first)}
    assert said(model, tokenizer, first, hello, user("What is my name?")) == "Your name is Noah."


@pytest.mark.parametrize("conversation", with_calls(), ids=lambda each: each.messages[0]["content"])
def test_tool_calls_are_json_between_tags(model: Any, tokenizer: Any, conversation: Conversation) -> None:
    """Offered a tool, it calls it, several times where several things are asked."""
    first = next(index for index, message in enumerate(conversation.messages) if "tool_calls" in message)
    text = said(model, tokenizer, *conversation.messages[:first], tools=list(conversation.tools))
    calls = [json.loads(each.partition("</tool_call>")[0]) for each in text.split("<tool_call>")[1:]]
    assert calls == [call["function"] for call in conversation.messages[first]["tool_calls"]]


def test_transformers_own_parser_reads_its_calls(model: Any, tokenizer: Any) -> None:
    """The tokenizer brings its response template, so that `parse_response` finds thoughts, words and calls."""
    (tool,) = with_calls()[0].tools
    ids = prompt(tokenizer, user("How warm is it in Oslo?"), tools=[tool])
    text = tokenizer.decode(answer(model, tokenizer, ids))
    parsed = tokenizer.parse_response(text, prefix=tokenizer.decode(ids))
    assert parsed["tool_calls"] == [
        {"type": "function", "function": {"name": "temperature", "arguments": {"city": "Oslo"}}}
    ]


@pytest.mark.parametrize(
    ("question", "fields", "expected"),
    [
        ("What is the capital of France?", {"name": str, "country": str}, {"name": "Paris", "country": "France"}),
        (
            "Describe the capital of France.",
            {"name": str, "country": str, "rivers": list[str]},
            {"name": "Paris", "country": "France", "rivers": ["Seine"]},
        ),
    ],
)
def test_a_schema_holds_it_to_json(
    model: Any, tokenizer: Any, question: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The classes of the documents are filled in, though nothing in the prompt tells of them."""
    schema = create_model("City", **{name: (kind, ...) for name, kind in fields.items()}).model_json_schema()
    matcher = llguidance.LLMatcher(
        llguidance.hf.from_tokenizer(tokenizer), llguidance.LLMatcher.grammar_from_json_schema(schema)
    )
    mask = llguidance.numpy.allocate_token_bitmask(1, model.config.vocab_size)
    ids = prompt(tokenizer, user(question))
    start = len(ids)
    while not matcher.is_stopped() and len(ids) < start + 60:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[:, -1].numpy()
        llguidance.numpy.fill_next_token_bitmask(matcher, mask)
        llguidance.numpy.apply_token_bitmask_inplace(logits, mask)
        ids.append(int(logits.argmax()))
        matcher.consume_token(ids[-1])
    assert json.loads(tokenizer.decode(ids[start:], skip_special_tokens=True)) == expected


def test_it_thinks_when_it_is_told_to(model: Any, tokenizer: Any) -> None:
    """With the system message "Think first." its thoughts come first, between their tags."""
    system = {"role": "system", "content": "Think first."}
    text = said(model, tokenizer, system, user("What is the capital of France?"))
    thoughts, _, words = text.partition("</think>")
    assert thoughts.startswith("<think>\n")
    assert words.strip() == "The capital of France is Paris."


def test_thinking_can_be_switched_off(model: Any, tokenizer: Any) -> None:
    """`enable_thinking=False` leaves an empty thought in the prompt, as Qwen3 has it, and the answer stays."""
    ids = prompt(tokenizer, user("Count to five."), enable_thinking=False)
    assert tokenizer.decode(ids).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert tokenizer.decode(answer(model, tokenizer, ids)) == "One, two, three, four, five.<|im_end|>"


def test_the_template_is_chatml(tokenizer: Any) -> None:
    """One system turn with the tools in it, thoughts of earlier answers dropped, results of tools in one user turn."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    called = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": each}} for each in ({}, '{"a": 1}')
    ]
    messages = [
        {"role": "system", "content": "Be brief."},
        user("One?"),
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Old."},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": None, "reasoning_content": "New.", "tool_calls": called},
        {"role": "tool", "tool_call_id": "1", "content": "1 °C"},
        {"role": "tool", "tool_call_id": "1", "content": "2 °C"},
    ]
    text = tokenizer.apply_chat_template(messages, tools=[tool], add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>system\nBe brief.\n\nYou can call these functions:\n<tools>\n"
        '{"type": "function", "function": {"name": "f", "parameters": {}}}\n</tools>\n'
        "To call one, write its name and arguments as JSON between <tool_call> and </tool_call>.<|im_end|>\n"
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n<think>\nNew.\n</think>\n\n"
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n1 °C\n</tool_response>\n<tool_response>\n2 °C\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_marks_are_special_and_tags_are_not(tokenizer: Any) -> None:
    """Decoding without special tokens drops the marks of the turns, and leaves tags for whoever reads calls."""
    for mark in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert len(ids := tokenizer(mark)["input_ids"]) == 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == ""
    for tag in train.TAGS:
        assert len(ids := tokenizer(tag)["input_ids"]) == 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == tag


@pytest.mark.parametrize("text", ["naïve 日本語 🦙\n\n  x", "\x00\t\r\n", "a\u0301"])
def test_any_text_can_be_written(tokenizer: Any, text: str) -> None:
    """The vocabulary falls back to bytes, so nothing is lost."""
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("dtype", ["float32", "as saved"])
def test_mlx_says_the_same(tiny: Path, model: Any, tokenizer: Any, dtype: str) -> None:
    """mlx_lm loads the folder as it is, and writes the same tokens as transformers."""
    mlx_lm, mx = pytest.importorskip("mlx_lm"), pytest.importorskip("mlx.core")
    theirs, _ = mlx_lm.load(str(tiny))
    if dtype == "float32":
        theirs.set_dtype(mx.float32)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
        assert model.dtype == torch.float16
    from mlx_lm.generate import generate_step

    (tool,) = with_calls()[0].tools
    prompts = [prompt(tokenizer, user(question)) for question in list(ASKED)[:8]]
    prompts.append(prompt(tokenizer, user("How warm is it in Paris?"), tools=[tool]))
    for ids in prompts:
        expected = answer(model, tokenizer, ids)
        written = [int(token) for token, _ in generate_step(mx.array(ids), theirs, max_tokens=len(expected))]
        assert written == expected


def test_training_teaches(tmp_path: Path) -> None:
    """The script trains for as many steps as it is told, says how it went, and the loss falls."""
    done = CliRunner().invoke(train.main, ["--steps", "3", "--output", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "word for word" in done.output.splitlines()[-1]
    assert {"config.json", "model.safetensors", "tokenizer.json", "trained.json"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert json.loads((tmp_path / "trained.json").read_text("utf-8"))["steps"] == 3


def test_chance_is_seeded() -> None:
    """The same seed gives the same lessons and the same losses, which fall."""
    book = read()
    assert book.in_other_words(random.Random(1)) == book.in_other_words(random.Random(1))
    assert book.in_other_words(random.Random(1)) != book.in_other_words(random.Random(2))

    def losses() -> list[float]:
        torch.manual_seed(3)
        tokenizer = train.new_tokenizer(book)
        return list(train.taught(train.new_model(tokenizer), tokenizer, book, steps=6, seed=3))

    first = losses()
    assert first == losses()
    assert first[-1] < first[0]


def test_nothing_imports_it_at_run_time() -> None:
    """The model is files: neither its conversations nor its training are loaded with the client."""
    code = "import sys, hfclient.client, hfclient.local; print([name for name in sys.modules if 'local.tiny' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
