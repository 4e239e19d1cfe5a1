"""A conversation at the terminal: what was said so far, and with whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import click

from hfclient.cli.running import tell
from hfclient.client import Client
from hfclient.errors import HFClientError, StreamError
from hfclient.types.messages import Message, assistant, user

HELP = """\
/model NAME      ask another model
/provider NAME   ask another provider; "auto" lets the router choose
/image PATH      show the model a picture with the next question
/clear           begin anew
/exit            leave, as Ctrl-D does; Ctrl-C stops an answer"""


@dataclass(slots=True)
class Conversation:
    """Ask, and print the answer as it comes; what starts with a slash is for us, and not for the model."""

    client: Client
    settings: dict[str, Any]
    messages: list[Message] = field(default_factory=list[Message])
    pictures: list[Path] = field(default_factory=list[Path])

    def take(self, line: str) -> bool:
        """Do what the line says; False at the end."""
        command, _, rest = line.strip().partition(" ")
        match command, rest.strip():
            case "", _:
                pass
            case "/exit" | "/quit", _:
                return False
            case "/help" | "/?", _:
                click.echo(HELP)
            case "/clear", _:
                self.messages, self.pictures = [], []
                click.echo("Nothing was said.")
            case "/model", name if name:
                self.settings["model"] = name
                click.echo(f"From now on, {name}.")
            case "/provider", name if name:
                self._ask_provider(name)
            case "/image", path if path:
                self._show(Path(path).expanduser())
            case _ if command.startswith("/"):
                click.echo(f"There is no {line.strip()!r} here, or it wants a name.\n{HELP}")
            case _:
                self.ask(line)
        return True

    def ask(self, question: str) -> bool:
        """Whether the answer came to its end; as far as it came, it stays in the history."""
        self.messages.append(user(question, *self.pictures))
        self.pictures = []
        said: list[str] = []
        try:
            anyio.run(self._answer, said)
        except KeyboardInterrupt:
            click.echo(" (stopped)")
        except HFClientError as error:
            click.echo(err=True)
            tell(error)
            if not said and not isinstance(error, StreamError):
                self.messages.pop()  # so that the next question is not the second in a row
                return False
        self.messages.append(assistant("".join(said)))
        return True

    async def _answer(self, said: list[str]) -> None:
        async with self.client.chat.stream(self.messages, **self.settings) as stream:
            async for text in stream.text():
                said.append(text)
                click.echo(text, nl=False)
        click.echo()

    def _ask_provider(self, name: str) -> None:
        try:
            self.client = self.client.with_options(provider=name)
        except HFClientError as error:
            tell(error)
        else:
            click.echo(f"From now on, {name}.")

    def _show(self, path: Path) -> None:
        if path.is_file():
            self.pictures.append(path)
            click.echo(f"{path} goes with the next question.")
        else:
            click.echo(f"There is no file {path}.", err=True)
