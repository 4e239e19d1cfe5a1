"""The commands whose results are files: pictures, films, speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hfclient.cli import files
from hfclient.cli.asked import CALL, Asked, CommandT, asking, piped, usual
from hfclient.cli.calls import make


def _output(name: str) -> Callable[[CommandT], CommandT]:
    told = f"Where to put it, - for standard output.  [default: {name}, or a name that is free]"
    return click.option("--output", "-o", type=files.OUTPUT, help=told)


@click.command()
@click.argument("prompt")
@click.option("--from", "source", type=files.SOURCE, help="The picture to change.")
@_output("image.png")
@click.option("--width", type=int, help="In pixels.")
@click.option("--height", type=int, help="In pixels.")
@click.option("--seed", type=int, help="The same number makes the same picture again.")
@asking(*CALL, usually=usual("text-to-image", "image-to-image"))
def image(asked: Asked, *, prompt: str, source: Path | None, output: Path | None, **told: Any) -> None:
    """Make a picture from a text, or change one."""
    given = {name: value for name, value in told.items() if value is not None}
    if source is None:
        model = asked.model_for("text-to-image")
        make(asked, output, "image", lambda client, more: client.text_to_image(prompt, model=model, **given, **more))
        return
    model = asked.model_for("image-to-image")
    size = {name: given.pop(name) for name in ("width", "height") if name in given}
    given |= {"target_size": size} if size else {}
    make(
        asked,
        output,
        "image",
        lambda client, more: client.image_to_image(source, prompt, model=model, **given, **more),
        source=str(source),
    )


@click.command()
@click.argument("prompt")
@click.option("--from", "source", type=files.SOURCE, help="The picture it begins with.")
@_output("video.mp4")
@click.option("--num-frames", type=int, help="How long it is to be.")
@click.option("--seed", type=int, help="The same number makes the same film again.")
@asking(*CALL, usually=usual("text-to-video", "image-to-video"))
def video(asked: Asked, *, prompt: str, source: Path | None, output: Path | None, **told: Any) -> None:
    """Make a film from a text, or from a picture."""
    if source is None:
        model = asked.model_for("text-to-video")
        make(asked, output, "video", lambda client, more: client.text_to_video(prompt, model=model, **told, **more))
        return
    model = asked.model_for("image-to-video")
    make(
        asked,
        output,
        "video",
        lambda client, more: client.image_to_video(source, prompt=prompt, model=model, **told, **more),
        source=str(source),
    )


@click.command()
@click.argument("text", nargs=-1)
@_output("speech.wav")
@click.option("--voice", help="One of the provider's own voices.")
@asking(*CALL, usually=usual("text-to-speech"))
def speak(asked: Asked, *, text: tuple[str, ...], output: Path | None, voice: str | None) -> None:
    """Read a text aloud, or what is piped in."""
    said = " ".join(text) or piped().strip()
    if not said:
        raise click.UsageError("There is no text.", click.get_current_context())
    body = {"voice": voice} if voice else None
    model = asked.model_for("text-to-speech")
    make(
        asked,
        output,
        "speech",
        lambda client, more: client.text_to_speech(said, model=model, extra_body=body, **more),
    )
