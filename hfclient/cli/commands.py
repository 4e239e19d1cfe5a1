"""The commands of `hfclient`."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from hfclient.cli import progress
from hfclient.cli.conversation import Conversation
from hfclient.cli.curl import show_request
from hfclient.cli.doctor import examine
from hfclient.cli.running import EVERYWHERE, Asked, piped, print_json, run, shared
from hfclient.client import Client
from hfclient.tasks.anything import FUNCTIONS
from hfclient.types.files import File
from hfclient.types.messages import system, user
from hfclient.version import __version__

Ask = Callable[[Client], Awaitable[Any]]

CHAT_MODEL = "Qwen/Qwen3-32B"
A_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hfclient")
def main() -> None:  # noqa: D301  click reads the backspace
    """One client for every inference provider behind Hugging Face.

    \b
    hfclient chat --sandbox "Tell me a joke"     without a token and without the network
    hfclient chat "Tell me a joke"               through the router, with your token
    hfclient image "an astronaut" -o moon.png -m black-forest-labs/FLUX.1-dev
    """


@main.command()
@shared(*EVERYWHERE)
@click.argument("question", nargs=-1)
@click.option("--image", "images", multiple=True, type=A_FILE, help="A picture to ask about; repeat it for more.")
@click.option("--system", "instructions", help="How the model is to behave.")
@click.option("--max-tokens", type=int, help="How long the answer may become.")
@click.option("--temperature", type=float, help="0 for the likeliest answer, more for variety.")
def chat(
    asked: Asked,
    *,
    question: tuple[str, ...],
    images: tuple[Path, ...],
    instructions: str | None,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    """Ask a question, or talk: without a question, at a terminal, a conversation begins."""
    settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    beginning = [system(instructions)] if instructions else []
    text = " ".join([*question, piped()]).strip()
    model = asked.model or (CHAT_MODEL if asked.base_url is None else None)
    if asked.curl or asked.as_json:
        messages = [*beginning, user(text, *images)]
        _ask(asked, lambda client: client.chat(messages, model=model, **settings))
        return
    conversation = Conversation(asked.client(), {**settings, "model": model}, [*beginning], list(images))
    if text:
        sys.exit(0 if conversation.ask(text) else 1)
    _talk(conversation)


def _talk(conversation: Conversation) -> None:
    click.echo("Ask something. /help says what else there is.")
    while True:
        try:
            line = click.prompt("", prompt_suffix="> ", default="", show_default=False)
        except click.Abort:  # Ctrl-C or Ctrl-D at the prompt
            click.echo()
            return
        if not conversation.take(line):
            return


@main.command()
@shared(*EVERYWHERE)
@click.argument("prompt")
@click.option("--from", "source", type=A_FILE, help="A picture to begin from.")
@click.option("--output", "-o", type=A_FILE, default=Path("image.png"), show_default=True)
@click.option("--width", type=int)
@click.option("--height", type=int)
@click.option("--seed", type=int)
def image(
    asked: Asked,
    *,
    prompt: str,
    source: Path | None,
    output: Path,
    width: int | None,
    height: int | None,
    seed: int | None,
) -> None:
    """Make a picture from a text, or change one."""
    if source is not None:
        size: Any = {"width": width, "height": height} if width and height else None
        _make(asked, output, lambda client, more: client.image_to_image(source, prompt, target_size=size, **more))
    else:
        size = {"width": width, "height": height, "seed": seed}
        _make(asked, output, lambda client, more: client.text_to_image(prompt, **size, **more))


@main.command()
@shared(*EVERYWHERE)
@click.argument("prompt")
@click.option("--from", "source", type=A_FILE, help="A picture to begin from.")
@click.option("--output", "-o", type=A_FILE, default=Path("video.mp4"), show_default=True)
@click.option("--num-frames", type=int)
@click.option("--seed", type=int)
def video(
    asked: Asked, *, prompt: str, source: Path | None, output: Path, num_frames: int | None, seed: int | None
) -> None:
    """Make a film from a text, or from a picture."""
    told: dict[str, Any] = {"num_frames": num_frames, "seed": seed}
    if source is not None:
        _make(asked, output, lambda client, more: client.image_to_video(source, prompt=prompt, **told, **more))
    else:
        _make(asked, output, lambda client, more: client.text_to_video(prompt, **told, **more))


@main.command()
@shared(*EVERYWHERE)
@click.argument("text", nargs=-1)
@click.option("--output", "-o", type=A_FILE, default=Path("speech.wav"), show_default=True)
@click.option("--voice", help="One of the provider's own voices.")
def speak(asked: Asked, *, text: tuple[str, ...], output: Path, voice: str | None) -> None:
    """Read a text aloud, or what is piped in."""
    said = " ".join([*text, piped()]).strip()
    body = {"voice": voice} if voice else None
    _make(asked, output, lambda client, more: client.text_to_speech(said, extra_body=body, **more))


@main.command()
@shared(*EVERYWHERE)
@click.argument("audio")
def transcribe(asked: Asked, *, audio: str) -> None:
    """Write down what is said in a file, or at an address."""
    _ask(asked, lambda client: client.automatic_speech_recognition(audio), lambda said: said.text)


@main.command()
@shared(*EVERYWHERE)
@click.argument("texts", nargs=-1)
@click.option("--dimensions", type=int)
def embed(asked: Asked, *, texts: tuple[str, ...], dimensions: int | None) -> None:
    """Texts as vectors, one line of JSON each; or the lines that are piped in."""
    given = [*texts, *(line for line in piped().splitlines() if line.strip())]
    _ask(
        asked,
        lambda client: client.feature_extraction(given, dimensions=dimensions),
        lambda vectors: "\n".join(json.dumps(row) for row in vectors.tolist()),
    )


@main.command("run")
@shared(*EVERYWHERE)
@click.argument("task")
@click.argument("inputs")
@click.option("--parameter", "-P", "pairs", multiple=True, metavar="NAME=VALUE", help="What else the task is told.")
@click.option("--output", "-o", type=A_FILE, help="Where to put a result that is a file.")
def run_task(asked: Asked, *, task: str, inputs: str, pairs: tuple[str, ...], output: Path | None) -> None:
    """Run any task by its name; INPUTS is its first argument, or all of them as a JSON object."""
    arguments = {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    first = _value(inputs) if inputs.lstrip().startswith("{") else inputs
    function = FUNCTIONS.get(task.replace("_", "-"))
    if function is None:
        _ask(asked, lambda client: client.request(task, first, arguments), lambda said: said.text)
        return
    if output is not None:
        arguments["save_to"] = output
    named = first if isinstance(first, dict) and "table" not in task else {}

    async def ask(client: Client) -> Any:
        return await function(client, *([] if named else [first]), **named, **arguments)

    _ask(asked, ask, lambda result: f"{result.path}" if isinstance(result, File) and result.path else None)


@main.command()
@shared("provider", "sandbox", "as_json")
@click.argument("model", required=False)
@click.option("--task", "-t", help="Only those for this task.")
@click.option("--search", "-s", help="Only those whose name holds this.")
@click.option("--limit", type=int, default=30, show_default=True)
def models(asked: Asked, *, model: str | None, task: str | None, search: str | None, limit: int) -> None:
    """Models and who serves them, at which price and how fast; or all about one MODEL."""
    client = Asked(sandbox=asked.sandbox).client()
    if model is not None:
        found = [run(lambda: client.models.get(model))]
    else:
        found = run(lambda: client.models.list(task, asked.provider, search=search, limit=limit))
    if asked.as_json:
        print_json(found)
        return
    for each in found:
        click.echo(each.id)
        for place in each.providers if model is not None else ():
            price = f"${place.pricing.input:g} in, ${place.pricing.output:g} out" if place.pricing else "price unknown"
            speed = f", {place.throughput:g} tokens/s" if place.throughput else ""
            click.echo(f"  {place.provider:16} {place.status:8} {price}{speed}")


@main.command()
@shared("as_json")
@click.option("--task", "-t", help="Only those that serve this task.")
def providers(asked: Asked, *, task: str | None) -> None:
    """Who serves which task."""
    found = Client(sandbox=True).providers(task)
    if asked.as_json:
        print_json(found)
        return
    for name, tasks in found.items():
        click.echo(f"{name:18} {', '.join(tasks)}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--latency", type=float, default=0.0, help="Seconds before an answer.")
@click.option("--token-latency", type=float, default=0.02, show_default=True, help="Seconds between tokens.")
def sandbox(host: str, port: int, latency: float, token_latency: float) -> None:
    """Serve the Hub, the router and all providers on this machine, for programs in any language."""
    from hfclient.sandbox import TOKEN, Sandbox  # noqa: PLC0415  not for the other commands
    from hfclient.sandbox.server import serve  # noqa: PLC0415  likewise

    def ready(address: str) -> None:
        click.echo(f"export HF_ENDPOINT={address} HFCLIENT_ROUTER={address} HF_TOKEN={TOKEN}")
        click.echo(f"export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={TOKEN}")
        click.echo("Ctrl-C ends it.", err=True)

    try:
        serve(Sandbox(latency=latency, token_latency=token_latency), host=host, port=port, ready=ready)
    except OSError as error:
        raise click.ClickException(f"Port {port} cannot be had: {error.strerror}. Try --port 0.") from None


@main.command()
@shared("sandbox", "as_json")
def doctor(asked: Asked) -> None:
    """What is configured, installed and reachable here, and which key would go where; no key is shown."""
    findings = run(lambda: examine(sandbox=asked.sandbox))
    if asked.as_json:
        print_json([{"what": each.what, "found": each.found, "well": each.well} for each in findings])
    else:
        for each in findings:
            mark = {True: "✓", False: "✗", None: " "}[each.well]
            click.echo(f"{mark} {each.what:28} {each.found}")
    sys.exit(1 if any(each.well is False for each in findings) else 0)


def _ask(asked: Asked, ask: Ask, shown: Callable[[Any], str | None] = lambda _: None) -> Any:
    """Run one call, or print what it would send; the result is shown as text, or as JSON where nothing is better."""
    if asked.curl:
        show_request(asked, ask)
        return None
    result = run(lambda: ask(asked.client()))
    text = None if asked.as_json else shown(result)
    if text is None:
        print_json(result)
    else:
        click.echo(text)
    return result


def _make(asked: Asked, output: Path, make: Callable[[Client, dict[str, Any]], Awaitable[File]]) -> None:
    """Make a file, with a bar that shows how it goes."""
    if asked.curl:
        show_request(asked, lambda client: make(client, {}))
        return
    with progress.shown() as tell:
        made = run(lambda: make(asked.client(), {"save_to": output, "on_progress": tell}))
    if asked.as_json:
        print_json({"path": str(made.path), "media_type": made.media_type, "size": made.size, "meta": _told(made)})
    else:
        click.echo(f"{made.path} ({made.media_type}, {made.size:,} bytes, from {made.meta.provider})")


def _told(made: File) -> dict[str, Any]:
    meta = made.meta
    return {"provider": meta.provider, "model": meta.model, "request_id": meta.request_id, "seconds": meta.seconds}


def _value(text: str) -> Any:
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
