"""What is alike wherever the work is a job: its id, and how much of it is done."""

from __future__ import annotations

from urllib.parse import quote

from hfclient.call import Call
from hfclient.flow import JSON, Response
from hfclient.providers.reading import at, payload_of, unusable
from hfclient.route import Route


def job_id(reply: Response, *place: str | int) -> str:
    """The job's id, which stands at this place of the answer; without one there is no job, and the answer says why."""
    found = at(reply.json(), *place)
    name = str(found) if type(found) in {str, int} else ""
    if name.strip(".") and name.isprintable():
        return name
    payload_of(reply, "a job")
    raise unusable(reply, "no job: it has no id")


def in_path(name: str) -> str:
    """An id as one step of a path."""
    return quote(name, safe="")


def fraction(value: JSON, *, of: float = 1.0) -> float | None:
    """How much is done, as a number from 0 to 1; None where the provider does not say."""
    return value / of if type(value) in {int, float} and 0 <= value <= of else None


def hub_model(call: Call, route: Route) -> str | None:
    """The model's name on the Hub, whatever the provider calls it, without a suffix that chose the provider."""
    named = route.extras.get("hfModelId") or (call.model or "").partition(":")[0]
    return str(named) or None
