"""Answers of any task, read as the types they are meant to be, or refused with what they are instead."""

from __future__ import annotations

from typing import Any, TypeGuard, TypeVar, cast
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
    refuse_error(payload, reply, what)
    return payload


def refuse_error(payload: JSON, reply: Response, what: str) -> None:
    if complaint := error_in_success(payload):
        raise ResponseError(
            f"The answer is an error with a success status: {complaint.message}",
            status=reply.status,
            body=reply.text(),
            advice=f"{REPORT} It was to be {what}.",
        )


def read(kind: type[WireT], payload: JSON, reply: Response) -> WireT:
    """One value of this type; null stands for what is not there."""
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        fault = first_fault(error)
    try:
        return kind.model_validate(pruned(payload))
    except (ValidationError, RecursionError):
        raise unusable(reply, f"no {kind.__name__}: {fault}") from None


def read_all(kind: type[WireT], payload: JSON, reply: Response) -> Items[WireT]:
    """A list of values of this type."""
    return Items(read(kind, item, reply) for item in all_in(payload))


def all_in(payload: JSON) -> list[JSON]:
    """The items of a list: some servers wrap it into another, and one alone is a list of one."""
    if not is_list(payload):
        return [payload]
    return [each for inner in payload for each in inner] if all(is_list(item) for item in payload) else payload


def list_in(payload: JSON, reply: Response, what: str) -> list[JSON]:
    if not is_list(payload):
        raise unusable(reply, f"no list of {what}")
    return payload


def is_list(payload: JSON) -> TypeGuard[list[JSON]]:
    return isinstance(payload, list)


def unusable(reply: Response, what: str) -> ResponseError:
    """The answer came with success, but is not what was asked for."""
    return ResponseError(f"The answer is {what}.", status=reply.status, body=reply.text(), advice=REPORT)


def first_of(payload: JSON) -> JSON:
    """What some servers wrap in a list, or two, and others do not."""
    while is_list(payload) and payload:
        payload = payload[0]
    return payload


def pruned(value: JSON) -> JSON:
    """Without what is null in objects."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: pruned(inner) for name, inner in fields.items() if inner is not None}
    return [pruned(item) for item in value] if is_list(value) else value


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
    return payload if is_list(payload) else []


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
