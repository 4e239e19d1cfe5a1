"""`hfclient run`: any task by its name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hfclient.cli import files
from hfclient.cli.asked import CALL, Asked, asking, piped
from hfclient.cli.calls import Call, ask, make
from hfclient.cli.default_models import CHAT, listed
from hfclient.cli.printing import json_or_text, readable


def _pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    pairs = [pair.partition("=") for pair in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.BadParameter("It reads NAME=VALUE.", context, parameter)
    return {name: json_or_text(value) for name, _, value in pairs}


@click.command(
    short_help="Run any task by its name.",
    epilog=f"\b\nThe tasks, and the model that each asks unless it is told another:\n{listed()}",
)
@click.argument("task")
@click.argument("inputs", required=False)
@click.option("-P", "named", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="What else the task is told.")
@click.option("--output", "-o", type=files.OUTPUT, help="Where to put a result that is a file, - for standard output.")
@asking(*CALL, usually="as below")
def run(asked: Asked, *, task: str, inputs: str | None, named: dict[str, Any], output: Path | None) -> None:
    """Run any task. INPUTS is its first argument, a JSON object of all of them, or what is piped in."""
    from hfclient.call import task_named
    from hfclient.tasks.anything import FUNCTIONS
    from hfclient.tasks.arguments import form_of

    task, text = task_named(task), piped() if inputs is None else inputs
    first = json_or_text(text) if text.lstrip().startswith(("{", "[")) else text
    function, model = FUNCTIONS.get(task), asked.model_for(task)
    if function is None:
        call = _in_the_providers_words(task, first, named, model, FUNCTIONS)
        ask(asked, call, readable, source=_media_among([first]), kept_as=task)
        return
    arguments: dict[str, Any] = {**first, **named} if isinstance(first, dict) else named
    positional: list[Any] = [first] if first and not isinstance(first, dict) else []
    try:
        inspect.signature(function).bind(None, *positional, model=model, **arguments)
    except TypeError as error:
        raise _usage(f"{task}: {error}. It takes {', '.join(form_of(function).types)}.") from None

    async def of_function(client: Any, more: dict[str, Any]) -> Any:
        return await function(client, *positional, model=model, **{**arguments, **more})

    source = _media_among([*positional, *arguments.values()])
    if "save_to" in form_of(function).options:
        make(asked, output, task, of_function, source=source)
    elif output:
        raise _usage(f"The result of {task} is no file.")
    else:
        ask(asked, of_function, readable, source=source, kept_as=task)


def _in_the_providers_words(
    task: str, inputs: Any, parameters: dict[str, Any], model: str | None, known: Iterable[str]
) -> Call:
    """A call for a task that has no function."""
    from hfclient.call import nearest

    if task == CHAT:
        raise _usage("Chat has a command of its own: hfclient chat.")
    if model is None:
        raise _usage(f"There is no task {task!r}. {nearest(task, known, 'There are')}")
    given = Path(inputs) if isinstance(inputs, str) and Path(inputs).is_file() else inputs
    return lambda client, more: client.request(task, given, parameters, model=model, **more)


def _media_among(values: Iterable[Any]) -> str:
    """The file or the address that is among the arguments, "" where there is none."""
    texts = [value for value in values if isinstance(value, str)]
    return next((text for text in texts if text.startswith(("http://", "https://")) or Path(text).is_file()), "")


def _usage(said: str) -> click.UsageError:
    return click.UsageError(said, click.get_current_context())
