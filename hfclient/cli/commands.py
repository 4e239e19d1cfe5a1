"""`hfclient`: all its commands."""

from __future__ import annotations

import click

from hfclient.cli.answers import chat, embed, transcribe
from hfclient.cli.any_task import run
from hfclient.cli.endings import CommandLine
from hfclient.cli.making import image, speak, video
from hfclient.cli.surroundings import doctor, models, providers, sandbox
from hfclient.version import __version__

COMMANDS = (chat, image, video, speak, transcribe, embed, run, models, providers, sandbox, doctor)


OTHER_NAMES = {"model-id": "model", "image-path": "image"}


def _as_named_here(option: str) -> str:
    """The option that is meant by a name which other programs have for it, or by one with underscores."""
    plain = option.replace("_", "-")
    return OTHER_NAMES.get(plain, plain)


class InThisOrder(CommandLine):
    """Its commands as they are listed above, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InThisOrder,
    commands={str(command.name): command for command in COMMANDS},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _as_named_here},
)
@click.version_option(__version__, prog_name="hfclient")
@click.pass_context
def main(context: click.Context) -> None:
    """One client for every inference provider behind Hugging Face.

    \b
    hfclient chat --sandbox "Tell me a joke"   without token and network
    hfclient chat "Tell me a joke"             through the router, with your token
    hfclient chat                              a conversation
    hfclient chat -p local "Who are you?"      a model on this machine
    hfclient image "an astronaut" -o moon.png
    hfclient chat --curl "Tell me a joke"      what would be sent
    """  # noqa: D301  click reads the backspace
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
