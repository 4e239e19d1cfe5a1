"""The commands that tell what there is: models, providers, what is set up here; and the sandbox as a server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hfclient.cli.asked import Asked, asking
from hfclient.cli.endings import FAILED
from hfclient.cli.printing import is_terminal, json_or_text, print_json
from hfclient.errors import HFClientError, spoken
from hfclient.local import LOCAL

if TYPE_CHECKING:
    from hfclient.sandbox import Sandbox
    from hfclient.types.models import Model, ModelProvider

ANY_OTHER = "Any other text model of the Hub runs on this machine too: --model org/name, a folder, or a GGUF file."
MARKS = {True: "✓", False: "✗", None: " "}


@click.command(short_help="List models, who serves them, how fast and for how much.")
@click.argument("model", required=False)
@click.option("--task", "-t", help="Those for this task.  [default: chat, or all of a provider's]")
@click.option("--provider", "-p", help="Those that this provider serves.")
@click.option("--search", "-s", help="Those whose name holds this.")
@click.option("--limit", type=int, default=30, show_default=True, help="How many at most.")
@asking("sandbox", "as_json")
def models(
    asked: Asked, *, model: str | None, task: str | None, provider: str | None, search: str | None, limit: int
) -> None:
    """List models and who serves them; or, of one MODEL, what each provider takes for it and how fast it is."""
    if provider == LOCAL.name:
        _print_local(asked, search or model or "")
    elif model is not None:
        one = asked.run(lambda client: client.models.get(model))
        _print(asked, one, map(_offer, one.providers))
    else:
        found = asked.run(lambda client: client.models.list(task, provider, search=search, limit=limit))
        _print(asked, found, map(_model, found))


def _print_local(asked: Asked, search: str) -> None:
    """The short names of models for this machine; what else it can run is more than can be listed."""
    from hfclient.local.models import short_names

    found = {name: what for name, what in short_names().items() if search.lower() in f"{name} {what}".lower()}
    _print(asked, found, ([name, what] for name, what in found.items()))
    if not asked.as_json:
        click.echo(ANY_OTHER)


def _model(model: Model) -> list[str]:
    """Who is cheapest and who fastest, or where nobody tells of that, who there is."""
    names = list(dict.fromkeys(offer.provider for offer in model.providers))
    cheapest, fastest = model.cheapest, model.fastest
    cost = f"{_price(cheapest)} at {cheapest.provider}" if cheapest else ""
    speed = f"{_speed(fastest)} at {fastest.provider}" if fastest else ""
    return [model.id, f"{len(names)} providers", cost, speed if cost or speed else ", ".join(names)]


def _offer(offer: ModelProvider) -> list[str]:
    return [offer.provider, offer.status or "", spoken(offer.task or ""), _price(offer), _speed(offer)]


def _price(offer: ModelProvider) -> str:
    price = offer.price
    if offer.is_free:
        return "free"
    told = {"in": price.input, "out": price.output} if price else {}
    return ", ".join(f"${figure:g} {way}" for way, figure in told.items() if figure is not None)


def _speed(offer: ModelProvider) -> str:
    return "" if offer.throughput is None else f"{offer.throughput:g} tokens/s"


@click.command(short_help="List providers and what each serves.")
@click.option("--task", "-t", help="Those that serve this task.")
@asking("as_json")
def providers(asked: Asked, *, task: str | None) -> None:
    """List the providers that can be called, and for which tasks."""
    from hfclient.registry import Registry

    found = Registry().serving(task)
    here = {LOCAL.name: "on this machine: "}
    rows = ([name, here.get(name, "") + ", ".join(map(spoken, tasks))] for name, tasks in found.items() if tasks)
    _print(asked, found, rows)


@click.command(short_help="Play Hugging Face and all providers, for programs in any language.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is any that is free.")
@click.option("--latency", type=float, default=0.0, show_default=True, help="Seconds before an answer.")
@click.option("--token-latency", type=float, default=0.02, show_default=True, help="Seconds between its pieces.")
@click.option("--fail", "faults", multiple=True, metavar="FAULT", help="What goes wrong, such as 429,at=groq,times=2.")
def sandbox(host: str, port: int, latency: float, token_latency: float, faults: tuple[str, ...]) -> None:
    """Serve the Hub, the router and every provider's protocol here, with made-up answers, until Ctrl-C.

    FAULT is an HTTP status or one of html, reset, cut, stall, drip, malformed, error-event and failed-job; it befalls
    the next call, or times=N, every=N, a share=0.N of them, at= a provider or a part of the path.
    """
    from hfclient.sandbox import TOKEN, Sandbox
    from hfclient.sandbox.server import serve

    def ready(address: str) -> None:
        click.echo(f"export HF_ENDPOINT={address} HFCLIENT_ROUTER={address} HF_TOKEN={TOKEN}")
        click.echo(f"export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={TOKEN}")
        click.echo("Paste these where your program runs. Ctrl-C ends it.", err=True)

    served = Sandbox(latency=latency, token_latency=token_latency)
    for fault in faults:
        _fail(served, fault)
    try:
        serve(served, host=host, port=port, ready=ready)
    except KeyboardInterrupt:  # its proper end
        pass
    except OSError as error:
        said = f"Nothing can be served at {host}, port {port}: {(error.strerror or '').partition(' (')[0]}."
        raise HFClientError(said, advice="Take another: --port 0 is any that is free.") from None


def _fail(served: Sandbox, fault: str) -> None:
    kind, *pairs = fault.split(",")
    told = {name: json_or_text(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    try:
        served.fail(json_or_text(kind), **told)
    except TypeError:
        said = f"--fail {fault} is not understood."
        raise click.UsageError(said, click.get_current_context()) from None


@click.command(short_help="Say what is set up, reachable and installed.")
@asking("sandbox", "as_json")
def doctor(asked: Asked) -> None:
    """Say what is set up, reachable and installed here, and which key would go where. No key is shown."""
    from hfclient.cli.doctor import examine

    findings = examine(asked)
    rows = ([f"{MARKS[each.well]} {each.what}", each.found] for each in findings)
    _print(asked, [asdict(each) for each in findings], rows)
    if any(each.well is False for each in findings):
        raise click.exceptions.Exit(FAILED)


def _print(asked: Asked, found: object, rows: Iterable[list[str]]) -> None:
    """What was found as JSON, or as columns as wide as what is in them; on a terminal, the last is wrapped."""
    if asked.as_json:
        print_json(found)
        return
    lines = list(rows)
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    for *cells, last in lines:
        start = "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        if is_terminal(sys.stdout):
            start = click.wrap_text(last, shutil.get_terminal_size().columns, start, " " * len(start)) or start
        else:
            start += last
        click.echo(start.rstrip())
