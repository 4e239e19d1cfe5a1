"""Answers of any task, read as the types they are meant to be, or refused with what they are instead."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from hfclient.complaints import error_in_success
from hfclient.errors import ResponseError
from hfclient.flow import JSON, Response
from hfclient.route import Route
from hfclient.types.base import Wire, first_fault
from hfclient.types.items import Items

WireT = TypeVar("WireT", bound=Wire)

REPORT = "Try again, or another provider; if it stays so, report it to the provider."


def payload_of(reply: Response, what: str) -> JSON:
    """The answer's JSON; one that tells of an error instead is that error, whatever its status."""
    payload = reply.json()
    if complaint := error_in_success(payload):
        raise ResponseError(
            f"The answer is an error with a success status: {complaint.message}",
            status=reply.status,
            body=reply.text(),
            advice=f"{REPORT} It was to be {what}.",
        )
    return payload


def read(kind: type[WireT], payload: JSON, reply: Response) -> WireT:
    """One value of this type."""
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        raise unusable(reply, f"no {kind.__name__}: {first_fault(error)}") from None


def read_all(kind: type[WireT], payload: JSON, reply: Response) -> Items[WireT]:
    """A list of values of this type."""
    return Items(read(kind, item, reply) for item in list_in(payload, reply, kind.__name__))


def list_in(payload: JSON, reply: Response, what: str) -> list[JSON]:
    if not isinstance(payload, list):
        raise unusable(reply, f"no list of {what}")
    return list(payload)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


def unusable(reply: Response, what: str) -> ResponseError:
    """The answer came with success, but is not what was asked for."""
    return ResponseError(f"The answer is {what}.", status=reply.status, body=reply.text(), advice=REPORT)


def first_of(payload: JSON) -> JSON:
    """What some servers wrap in a list and others do not."""
    wrapped = at(payload, 0)
    return payload if wrapped is None else wrapped


def at(payload: JSON, *steps: str | int) -> JSON:
    """What stands at this place of an answer, None where there is no such place."""
    for step in steps:
        try:
            payload = payload[step]
        except (KeyError, IndexError, TypeError):
            return None
    return payload


def items_of(payload: JSON) -> list[JSON]:
    """The items of a list; none where there is no list."""
    return list(payload) if isinstance(payload, list) else []  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


def path_of(address: JSON, route: Route) -> str:
    """The path of an address out of an answer, to be asked for at the route's own address and at no other host.

    The router may have written itself into it, and then its own part of the path is taken off.
    """
    own = route.base_url.partition("?")[0].rstrip("/")  # whole: fal's paths begin like the router's own for it
    text = address if isinstance(address, str) and address.isprintable() else ""
    try:
        path = urlsplit(text.removeprefix(own)).path
    except ValueError:
        path = ""
    if not path.startswith("/") or ".." in unquote(path).split("/"):
        raise ResponseError("The answer does not say where to ask about the job.", advice=REPORT)
    return path
