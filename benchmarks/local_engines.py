"""Models on this machine, beside `generate` and the servers that come with transformers and mlx-lm.

Tokens a second for one stream and for eight, the first token of a long conversation's second turn, and the longest
time for which the event loop stood still. Each contender writes the same answers, greedily; a server runs alone.

    pip install -e ".[torch,mlx]" "transformers[serving]"
    PYTHONPATH=. python benchmarks/local_engines.py                  # a random llama of 18 million parameters
    PYTHONPATH=. python benchmarks/local_engines.py --model tiny
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from hfclient import Client, LocalOptions
from hfclient.local.models import TINY_FOLDER

ROUNDS = 3
STREAMS = 8
LENGTH = 128  # tokens of an answer
HISTORY = 2000
QUESTIONS = [
    "What is hfclient?",
    "How do I stream?",
    "How do I install it?",
    "Which providers are there?",
    "How do errors work?",
    "Hello!",
    "Why is the sky blue?",
    "Count to five.",
]

# One answer: it gives the seconds to its first token, and how many tokens it had.
Answer: TypeAlias = "Callable[[list[dict[str, str]], int], Awaitable[tuple[float, int]]]"
History: TypeAlias = "Callable[[int], list[dict[str, str]]]"


@dataclass
class Figures:
    """What was measured of one contender, round by round."""

    one: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)


def said(*texts: str) -> list[dict[str, str]]:
    """A conversation of these texts, in turns."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


async def measure(answer: Answer, figures: Figures, history: History) -> None:
    """One round: one stream, eight at once, and the two turns of a conversation that nobody has seen."""
    for many, kept in ((False, figures.one), (True, figures.many)):
        begun, count = time.perf_counter(), 0
        questions = QUESTIONS[:STREAMS]
        if many:
            counts = await asyncio.gather(*(answer(said(question), LENGTH) for question in questions))
            count = sum(tokens for _, tokens in counts)
        else:
            for question in questions[:4]:
                count += (await answer(said(question), LENGTH))[1]
        kept.append(count / (time.perf_counter() - begun))
    turn = history(len(figures.cold))
    figures.cold.append((await answer(turn, 8))[0])
    figures.second.append((await answer([*turn, *said("", "So it is.", "And then?")[1:]], 8))[0])


# Contenders in this process


@asynccontextmanager
async def ours(folder: Path, engine: str) -> AsyncIterator[Answer]:
    """hfclient, through its client."""
    options = LocalOptions(engine=engine, dtype="float32")  # type: ignore[arg-type]
    async with Client(provider="local", model=str(folder), local=options) as client:
        await client.local.load(str(folder))

        async def answer(messages: list[dict[str, str]], length: int) -> tuple[float, int]:
            begun, first = time.perf_counter(), 0.0
            stream = client.chat.stream(messages, max_tokens=length, temperature=0)  # type: ignore[arg-type]
            async for _ in stream:
                first = first or time.perf_counter() - begun
            usage = (await stream.final()).usage
            return first, usage.completion_tokens if usage else 0

        yield answer


def generate(folder: Path, figures: Figures) -> Callable[[], None]:
    """Prompts in transformers' `generate`, one prompt after the other and eight in one batch."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    limit = {"max_new_tokens": LENGTH, "do_sample": False}

    def written(questions: list[str]) -> int:
        batch = [said(question) for question in questions]
        inputs = tokenizer.apply_chat_template(
            batch, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        answers = model.generate(**inputs, **limit)[:, inputs["input_ids"].shape[1] :]
        return int((answers != tokenizer.pad_token_id).sum())

    def turn() -> None:
        begun = time.perf_counter()
        count = sum(written([question]) for question in QUESTIONS[:4])
        figures.one.append(count / (time.perf_counter() - begun))
        begun = time.perf_counter()
        figures.many.append(written(QUESTIONS[:STREAMS]) / (time.perf_counter() - begun))

    return turn


# Servers, each in its own process


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def server(command: list[str], port: int) -> Iterator[str]:
    """A server that answers, until it is no longer needed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended with {process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1/chat/completions"
    finally:
        process.terminate()
        process.wait(20)


async def over_http(url: str, asked: dict[str, Any], figures: Figures, history: History) -> None:
    """Measure a server, by bare httpx and with as little work of our own as can be."""
    limits = httpx.Limits(max_connections=STREAMS, max_keepalive_connections=STREAMS)
    async with httpx.AsyncClient(timeout=600, limits=limits) as http:

        async def answer(messages: list[dict[str, str]], length: int) -> tuple[float, int]:
            body = {"messages": messages, "max_tokens": length, "stream": True, **asked}
            begun, first, count = time.perf_counter(), 0.0, 0
            async with http.stream("POST", url, json=body) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    event = json.loads(line[6:])
                    count = (event.get("usage") or {}).get("completion_tokens") or count
                    choices = event.get("choices")
                    if choices and choices[0].get("delta", {}).get("content"):
                        first = first or time.perf_counter() - begun
            return first, count

        await answer(said("Warm up."), 16)
        for _ in range(ROUNDS):
            await measure(answer, figures, history)


# The event loop


async def held(folder: Path, engine: str) -> tuple[float, float]:
    """The longest time, in ms, for which the loop stood still: while a model was loaded, and while it wrote."""
    longest, stop = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not stop:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    ticking = asyncio.create_task(tick())
    found: list[float] = []
    async with ours(folder, engine) as answer:
        found.append(longest)
        longest = 0.0
        await asyncio.gather(*(answer(said(question), LENGTH) for question in QUESTIONS))
        found.append(longest)
    stop = True
    await ticking
    return found[0] * 1000, found[1] * 1000


def held_in_a_fresh_process(folder: Path, engine: str) -> list[float]:
    """So that the framework is imported too."""
    done = subprocess.run([sys.executable, __file__, "--held", engine, str(folder)], capture_output=True, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


# All of it


def random_llama(folder: Path) -> Path:
    """18 million parameters by chance, with the tokenizer of `tiny`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(TINY_FOLDER)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=10,
        num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=8192, **ends,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # so that it goes on to the last token
    model.generation_config = GenerationConfig(do_sample=False, **ends)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def endless_tiny(folder: Path) -> Path:
    """`tiny`, told that another token than its own ends an answer, so that it goes on for as long as the others."""
    shutil.copytree(TINY_FOLDER, folder, dirs_exist_ok=True)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        told = json.loads((folder / name).read_text("utf-8"))
        told |= {"eos_token": "<|endoftext|>"} if name.startswith("tokenizer") else {"eos_token_id": 759}
        (folder / name).write_text(json.dumps(told), "utf-8")
    return folder


def long_history(folder: Path) -> History:
    """A first message of so many tokens, a different one each round."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = "a stream is read to its end, and what had arrived is kept. "
    each = len(tokenizer(words).input_ids)
    return lambda turn: said(f"{turn}: " + words * (HISTORY // each))


async def run(folder: Path, chosen: list[str]) -> dict[str, Figures]:
    history = long_history(folder)
    found = {name: Figures() for name in ("generate", "hfclient torch", "hfclient mlx") if name in chosen}
    await in_this_process(folder, found, history)
    usage = {"temperature": 0.0, "stream_options": {"include_usage": True}}
    serve = [sys.executable.replace("python3", "transformers").replace("python", "transformers"), "serve", str(folder)]
    servers = {
        "transformers serve": ([*serve, "--dtype", "float32"], usage),
        # One request with temperature 0 ends its worker; the model's own settings are greedy anyhow.
        "transformers serve --continuous-batching": (
            [*serve, "--dtype", "float32", "--continuous-batching"],
            {"stream_options": usage["stream_options"]},
        ),
        "mlx_lm.server": ([sys.executable, "-m", "mlx_lm", "server", "--model", str(folder)], usage),
    }
    for name, (command, asked) in servers.items():
        if name in chosen:
            port = free_port()
            with server([*command, "--port", str(port)], port) as url:
                found[name] = Figures()
                await over_http(url, {"model": str(folder), **asked}, found[name], history)
    return found


async def in_this_process(folder: Path, found: dict[str, Figures], history: History) -> None:
    """They take turns, so that a slow minute of the machine hits all of them."""
    for name in [name for name in found if name.startswith("hfclient")]:
        async with ours(folder, name.split()[1]) as answer:
            await answer(said("Warm up."), 16)
            turn = generate(folder, found["generate"]) if name == "hfclient torch" else lambda: None
            for _ in range(ROUNDS):
                turn()
                await measure(answer, found[name], history)


def shown(found: dict[str, Figures]) -> None:
    print(f"{'':42}{'1 stream':>10}{'8 streams':>10}{'8 / 1':>7}{'first token, cold':>20}{'second turn':>13}")
    for name, figures in found.items():
        one, many = statistics.median(figures.one), statistics.median(figures.many)
        line = f"{name:42}{one:>8.0f}/s{many:>8.0f}/s{many / one:>7.2f}"
        if figures.cold:
            ratio = statistics.median(a / b for a, b in zip(figures.cold, figures.second, strict=True))
            line += f"{statistics.median(figures.cold) * 1000:>17.0f} ms{ratio:>11.1f} x"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("llama", "tiny"), default="llama")
    parser.add_argument("--only", nargs="*", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--held", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.held:
        print(json.dumps(asyncio.run(held(Path(asked.held[1]), asked.held[0]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = (endless_tiny if asked.model == "tiny" else random_llama)(Path(folder))
        shown(asyncio.run(run(model, asked.only)))
        for engine in ("torch", "mlx"):
            if f"hfclient {engine}" in asked.only:
                loading, writing = held_in_a_fresh_process(model, engine)
                print(f"{engine}: the event loop stood still for {loading:.0f} ms loading, {writing:.0f} ms writing")


CONTENDERS = [
    "generate",
    "hfclient torch",
    "hfclient mlx",
    "transformers serve",
    "transformers serve --continuous-batching",
    "mlx_lm.server",
]

if __name__ == "__main__":
    main()
