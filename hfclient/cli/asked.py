"""What all commands share: the options that say whom to ask, and the client that asks them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hfclient.cli.default_models import DEFAULT_MODELS
from hfclient.cli.printing import is_terminal
from hfclient.errors import InputError
from hfclient.local import LOCAL

if TYPE_CHECKING:
    from hfclient.client import Client

T = TypeVar("T")
CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class LeftAtOnce(KeyboardInterrupt):
    """Ctrl-C while a model on this machine was loading or writing: its threads have not ended, and need not."""


CALL = ("provider", "model", "base_url", "bill_to", "timeout", "sandbox", "as_json", "curl")
PATIENCE = "120 for a sign of life, 600 for a job"


@dataclass(frozen=True, slots=True)
class Asked:
    """What those options say."""

    provider: str | None = None
    model: str | None = None
    base_url: str | None = None
    bill_to: str | None = None
    timeout: float | None = None
    sandbox: bool = False
    as_json: bool = False
    curl: bool = False

    def model_for(self, task: str) -> str | None:
        """The model that was named, or the usual one; an address of one's own may well have one alone, and this
        machine has one in the box."""
        if self.model or self.base_url or self.is_local:
            return self.model
        if self.provider and LOCAL.name in providers_in(self.provider):
            raise InputError(
                "Of several providers, one of them this machine, all are asked for the same model.",
                advice="Say which with --model: Qwen/Qwen3-0.6B is small enough for most machines.",
            )
        return DEFAULT_MODELS.get(task)

    @property
    def is_local(self) -> bool:
        """Whether the model runs here, and nothing is sent."""
        return self.provider == LOCAL.name

    def client(self, **more: Any) -> Client:
        from hfclient.client import Client

        return Client(
            provider=providers_in(self.provider) if self.provider else None,
            base_url=self.base_url,
            bill_to=self.bill_to,
            timeout=self.timeout,
            deadline=self.timeout,
            sandbox=self.sandbox or None,
            **more,
        )

    def run(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        """Make one call, and wait for what comes of it."""
        import anyio

        async def whole() -> T:
            async with AsyncExitStack() as ending:
                client = await ending.enter_async_context(self.client())
                try:
                    return await ask(client)
                except anyio.get_cancelled_exc_class():
                    if self.is_local:
                        ending.pop_all()
                    raise

        try:
            return anyio.run(whole)
        except KeyboardInterrupt:
            raise LeftAtOnce if self.is_local else KeyboardInterrupt from None


def asking(*names: str, usually: str = "") -> Callable[[CommandT], CommandT]:
    """Give a command the options named, gathered as its first argument; `usually` is which model is asked else."""
    options = {
        "provider": click.option("--provider", "-p", help="Whom to ask; several, with commas between, one by one."),
        "model": click.option("--model", "-m", help=f"Which model.  [default: {usually}]"),
        "base_url": click.option("--base-url", help="An address of your own, such as http://localhost:8080/v1."),
        "bill_to": click.option("--bill-to", help="The organisation that pays."),
        "timeout": click.option("--timeout", type=float, help=f"Seconds to wait at most.  [default: {PATIENCE}]"),
        "sandbox": click.option("--sandbox", is_flag=True, help="Make up the answer here, without token and network."),
        "as_json": click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON."),
        "curl": click.option("--curl", is_flag=True, help="Print the request for curl, without keys; send nothing."),
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


def providers_in(text: str) -> str | list[str]:
    """One name, or several that stand between commas."""
    names = [name.strip() for name in text.split(",")]
    return names if len(names) > 1 else names[0]


def usual(task: str, with_picture: str = "") -> str:
    """The usual model of a task as help names it, and that of the task which a picture makes of it."""
    other = f"; with a picture {DEFAULT_MODELS[with_picture]}" if with_picture else ""
    return f"{DEFAULT_MODELS[task]}{other}"


def piped() -> str:
    """What is piped into the command, "" where nothing is."""
    return "" if not sys.stdin or is_terminal(sys.stdin) else sys.stdin.read()
