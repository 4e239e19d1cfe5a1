"""What every command has in common: the client it asks, how it runs, how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, NoReturn, TypeVar

import anyio
import click

from hfclient.client import Client
from hfclient.errors import HFClientError, MissingKeyError

T = TypeVar("T")
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

FAILED, INTERRUPTED = 1, 130
WITHOUT_A_TOKEN = "Or go on without one: add --sandbox, and nothing leaves this machine."  # noqa: S105  no secret


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options that all commands share say."""

    provider: str | None = None
    model: str | None = None
    base_url: str | None = None
    bill_to: str | None = None
    sandbox: bool = False
    as_json: bool = False
    curl: bool = False

    def client(self, **more: Any) -> Client:
        provider = self.provider.split(",") if self.provider and "," in self.provider else self.provider
        told: dict[str, Any] = {
            "provider": provider,
            "model": self.model,
            "base_url": self.base_url,
            "bill_to": self.bill_to,
        }
        given = {name: value for name, value in told.items() if value is not None}
        return Client(sandbox=self.sandbox, **given, **more)


def shared(*names: str) -> Callable[[CommandT], CommandT]:
    """Give a command the options named, gathered as its first argument, `asked`."""
    options = {
        "provider": click.option("--provider", "-p", help="Whom to ask; several in order, with commas between."),
        "model": click.option("--model", "-m", help="Which model."),
        "base_url": click.option("--base-url", help="An address of your own, such as http://localhost:8080/v1."),
        "bill_to": click.option("--bill-to", help="The organisation that pays."),
        "sandbox": click.option("--sandbox", is_flag=True, help="Answer on this machine, without token and network."),
        "as_json": click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON."),
        "curl": click.option("--curl", is_flag=True, help="Print the request instead of sending it, without keys."),
    }

    def decorate(command: CommandT) -> CommandT:
        def gathering(**arguments: Any) -> Any:
            asked = Asked(**{name: arguments.pop(name) for name in names})
            return command(asked, **arguments)

        wrapped: Any = update_wrapper(gathering, command)
        for name in reversed(names):
            wrapped = options[name](wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


EVERYWHERE = ("provider", "model", "base_url", "bill_to", "sandbox", "as_json", "curl")


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run to the end; what goes wrong is told in two lines, what and what to do, and Ctrl-C ends quietly."""
    try:
        return anyio.run(work)
    except KeyboardInterrupt:
        click.echo(err=True)
        sys.exit(INTERRUPTED)
    except HFClientError as error:
        fail(error)


def fail(error: HFClientError) -> NoReturn:
    tell(error)
    sys.exit(FAILED)


def tell(error: HFClientError) -> None:
    """An error in two lines."""
    said, _, advice = str(error).partition("\n")
    if isinstance(error, MissingKeyError):
        advice = f"{advice} {WITHOUT_A_TOKEN}"
    click.secho(f"Error: {said}", fg="red", err=True)
    if advice:
        click.echo(advice.replace("\n", " "), err=True)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "media_type"):
        return {"media_type": value.media_type, "size": value.size, "path": value.path and str(value.path)}
    return str(value)


def piped() -> str:
    """What is piped into the command, "" where nothing is."""
    return "" if sys.stdin.isatty() else sys.stdin.read()
