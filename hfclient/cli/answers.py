"""The commands whose results are read: chat, what was said in a recording, vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hfclient.cli import files
from hfclient.cli.asked import CALL, Asked, asking, piped, usual
from hfclient.cli.calls import ask, show
from hfclient.cli.default_models import CHAT, CHAT_WITH_PICTURES
from hfclient.cli.printing import is_terminal


@click.command(short_help="Ask a question, or hold a conversation.")
@click.argument("question", nargs=-1)
@click.option("--prompt", hidden=True, default="")  # as other programs have it
@click.option("--image", "pictures", multiple=True, type=files.SOURCE, help="A picture to ask about; more than once.")
@click.option("--system", "instructions", help="How the model is to behave.")
@click.option("--max-tokens", type=int, help="How long the answer may become.")
@click.option("--temperature", type=float, help="0 for the likeliest answer, more for variety.")
@asking(*CALL, usually=usual(CHAT, CHAT_WITH_PICTURES))
def chat(
    asked: Asked,
    *,
    question: tuple[str, ...],
    prompt: str,
    pictures: tuple[Path, ...],
    instructions: str | None,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    """Ask a question, about what is piped in too. Without either, at a terminal, a conversation begins."""
    from hfclient.cli.conversation import Conversation, answer, talk

    settings = {"max_tokens": max_tokens, "temperature": temperature}
    conversation = Conversation(asked, settings, instructions, pictures=list(pictures))
    text = "\n\n".join(filter(None, [prompt, " ".join(question), piped().strip()]))
    if not text:
        if asked.as_json or asked.curl or not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
            raise click.UsageError("There is no question.", click.get_current_context())
        talk(conversation)
        return
    told = conversation.asking(text)
    if asked.as_json:
        ask(asked, lambda client, more: client.chat(**told, **more), lambda _: None)
    elif asked.curl:
        show(asked, lambda client, _: client.chat.stream(**told).open())
    else:
        asked.run(lambda client: answer(client, told, said=[]))


@click.command()
@click.argument("audio")
@asking(*CALL, usually=usual("automatic-speech-recognition"))
def transcribe(asked: Asked, *, audio: str) -> None:
    """Write down what is said in a file, or at an address."""
    model = asked.model_for("automatic-speech-recognition")
    ask(
        asked,
        lambda client, more: client.automatic_speech_recognition(audio, model=model, **more),
        lambda said: said.text,
        source=audio,
    )


@click.command(short_help="Make vectors of texts.")
@click.argument("texts", nargs=-1)
@click.option("--dimensions", type=int, help="How many numbers each vector is to have.")
@asking(*CALL, usually=usual("feature-extraction"))
def embed(asked: Asked, *, texts: tuple[str, ...], dimensions: int | None) -> None:
    """Make vectors of texts, or of the lines that are piped in, a line of JSON for each."""
    lines = texts or tuple(line for line in piped().splitlines() if line.strip())
    if not lines:
        raise click.UsageError("There is no text.", click.get_current_context())
    model = asked.model_for("feature-extraction")
    ask(
        asked,
        lambda client, more: client.feature_extraction(lines, model=model, dimensions=dimensions, **more),
        lambda vectors: "\n".join(json.dumps(row) for row in vectors.tolist()),
    )
