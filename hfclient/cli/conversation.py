"""A conversation at the terminal: what has been said, with whom, and what is typed next."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hfclient.cli import progress
from hfclient.cli.asked import Asked, providers_in
from hfclient.cli.default_models import CHAT, CHAT_WITH_PICTURES
from hfclient.cli.endings import tell
from hfclient.cli.printing import say
from hfclient.errors import HFClientError
from hfclient.local import LOCAL

if TYPE_CHECKING:
    from hfclient.client import Client
    from hfclient.types.messages import Message

WELCOME = "Ask something. /help says what else there is."
HOW_TO_LEAVE = "Ctrl-D leaves."
HELP = """\
/model NAME      ask another model; without a name, say which is asked
/provider NAME   ask another provider; auto lets the router choose
/image PATH      show the model a picture with the next question
/clear           begin anew
/exit            leave, as Ctrl-D does; Ctrl-C stops an answer"""


@dataclass(slots=True)
class Conversation:
    """What has been said, and what goes with the next question."""

    asked: Asked
    settings: dict[str, Any]
    instructions: str | None = None
    pictures: list[Path] = field(default_factory=list[Path])
    said: list[Message] = field(default_factory=list["Message"])
    shown_any: bool = False

    @property
    def model(self) -> str | None:
        return self.asked.model_for(CHAT_WITH_PICTURES if self.pictures or self.shown_any else CHAT)

    @property
    def model_shown(self) -> str:
        unnamed = LOCAL.default_model if self.asked.is_local else "the one that is served there"
        return f"Model: {self.model or unnamed}"

    def asking(self, question: str) -> dict[str, Any]:
        """What a chat is called with for this question."""
        from hfclient.types.messages import system, user

        beginning = [system(self.instructions)] if self.instructions else []
        messages = [*beginning, *self.said, user(question, *self.pictures)]
        return {"messages": messages, "model": self.model, **self.settings}

    def keep(self, question: Message, answer: str) -> None:
        """The next question is asked after this one and its answer, as far as it came."""
        from hfclient.types.messages import assistant

        self.said += [question, assistant(answer)]
        self.shown_any, self.pictures = self.shown_any or bool(self.pictures), []

    def clear(self) -> None:
        self.said, self.pictures, self.shown_any = [], [], False


async def answer(client: Client, told: dict[str, Any], said: list[str]) -> None:
    """Print an answer while it is written; `said` is what has come, should it not come to its end."""
    with progress.Waiting() as waiting:
        async with client.chat.stream(**told, on_progress=waiting.tell) as stream:
            try:
                async for text in stream.text():
                    waiting.end()
                    said.append(text)
                    say(text, nl=False)
            finally:
                if said and not said[-1].endswith("\n"):
                    click.echo()


def talk(conversation: Conversation) -> None:
    """Take lines until Ctrl-D or /exit. One event loop for all of them keeps connections open between questions."""
    with suppress(ImportError):
        import_module("readline")  # with it, `input` remembers the lines before, and lets this one be edited
    with asyncio.Runner() as runner:
        table = Table(conversation, conversation.asked.client(), runner)
        click.echo(WELCOME)
        try:
            while table.take(_typed()):
                pass
        finally:
            runner.run(table.client.aclose())


def _typed() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
        return "/exit"
    except KeyboardInterrupt:  # perhaps meant for an answer that had just ended
        click.echo(f"\n{HOW_TO_LEAVE}")
        return ""


@dataclass(slots=True)
class Table:
    """Where a conversation is held: what begins with a slash is said to us, everything else to the model."""

    conversation: Conversation
    client: Client
    runner: asyncio.Runner

    def take(self, line: str) -> bool:
        """Do what the line says; False at the end."""
        command, _, rest = line.partition(" ")
        match command, rest.strip():
            case "", _:
                pass
            case "/exit" | "/quit", _:
                return False
            case "/help" | "/?", _:
                click.echo(HELP)
            case "/clear", _:
                self.conversation.clear()
                click.echo("Nothing has been said.")
            case "/model", name:
                self._choose_model(name)
            case "/provider", name:
                self._choose_provider(name)
            case "/image", path:
                self._show(Path(path.strip("'\"")).expanduser())
            case _ if command.startswith("/"):
                click.echo(f"There is no {command}.\n{HELP}", err=True)
            case _:
                self._ask(line)
        return True

    def _ask(self, question: str) -> None:
        told = self.conversation.asking(question)
        said: list[str] = []
        try:
            self.runner.run(answer(self.client, told, said))
        except KeyboardInterrupt:
            click.echo("(stopped)")
        except HFClientError as error:
            tell(error)
        if said:  # else it can be asked again, and the next is not the second question in a row
            self.conversation.keep(told["messages"][-1], "".join(said))

    def _choose_model(self, name: str) -> None:
        if name:
            self.conversation.asked = replace(self.conversation.asked, model=name)
        click.echo(self.conversation.model_shown)

    def _choose_provider(self, name: str) -> None:
        """Ask somebody else; who names no model is told where that makes it another one."""
        conversation, before = self.conversation, self.conversation.asked
        try:
            model = conversation.model_shown
            if name:
                conversation.asked = replace(before, provider=name)
                changed = conversation.model_shown  # it may be that none is usual there
                self.client = self.client.with_options(provider=providers_in(name))
                model = "" if changed == model else f"\n{changed}"
        except HFClientError as error:
            conversation.asked = before
            tell(error)
        else:
            click.echo(f"Provider: {', '.join(self.client.defaults.providers)}{model if name else ''}")

    def _show(self, path: Path) -> None:
        if path.is_file():
            self.conversation.pictures.append(path)
            click.echo(f"{path} goes with the next question.")
        else:
            click.echo(f"There is no file {path}.", err=True)
