"""Jobs, as a provider describes them: how to begin one, how to read how it stands, how to collect what it made.

A job is two flows with plain data between them. `submit` gives a `Ticket`, which can be kept and taken elsewhere;
`follow` asks after it, with pauses that grow, until it has ended. Between those two, nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hfclient.complaints import complaint_in, error_in_success
from hfclient.errors import JobCancelledError, JobError, JobFailedError
from hfclient.flow import JSON, Flow, Progress, Request, Response, Undo, Wait
from hfclient.retry import retry_after

if TYPE_CHECKING:
    from hfclient.call import Call
    from hfclient.route import Route

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]

FIRST_PAUSE = 0.4
LONGEST_PAUSE = 5.0
GROWTH = 1.5
LONGEST_ASKED_FOR = 30.0

PENDING = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class Ticket:
    """A job that a provider has accepted. `first` is what it said on accepting it, which may be the result already;
    `notes` is what else its provider needs to collect it."""

    id: str
    poll: Request
    cancel: Request | None = None
    first: JSON = None
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands. `answer` is what the provider said, from which a job that is done is collected; `pause` is how
    many seconds it asked not to be asked again."""

    state: State
    answer: JSON = None
    reason: str | None = None
    position: int | None = None
    fraction: float | None = None
    logs: tuple[str, ...] = ()
    pause: float = 0.0

    @classmethod
    def told(
        cls,
        word: JSON,
        states: Mapping[str, State],
        answer: JSON,
        *,
        reason: JSON = None,
        fraction: float | None = None,
    ) -> Standing:
        """By the provider's own word, whose meanings are in `states`, in lower case. A word that is not there counts as
        running, for a new one is no reason to give up; no word at all counts as queued. What is wrong may have any of
        the shapes that errors have."""
        state = states.get(word.lower(), "running") if isinstance(word, str) and word else "queued"
        complaint = complaint_in(reason) if state in {"failed", "cancelled"} else None
        return cls(state, answer, complaint.message if complaint else None, fraction=fraction)

    def progress(self) -> Progress:
        return Progress(self.state, self.position, self.fraction, self.logs, self.reason)


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One kind of job at one provider."""

    submit: Callable[[Call, Route], Flow[Ticket]]
    read: Callable[[JSON], Standing]
    collect: Callable[[Ticket, JSON], Flow[Any]]

    def run(self, call: Call, route: Route) -> Flow[Any]:
        """The job from its beginning to its result; giving up on the way cancels it."""
        ticket = yield from self.submit(call, route)
        yield Undo(ticket.cancel)
        return (yield from self.follow(ticket))

    def follow(self, ticket: Ticket) -> Flow[Any]:
        """What comes of a job that is under way."""
        standing = (yield from self.look(ticket)) if ticket.first is None else self.read(ticket.first)
        pauses = growing_pauses()
        while standing.state in PENDING:
            yield standing.progress()
            yield Wait(max(next(pauses), min(standing.pause, LONGEST_ASKED_FOR)))
            standing = yield from self.look(ticket)
        yield standing.progress()
        yield Undo(None)
        if standing.state == "done":
            return (yield from self.collect(ticket, standing.answer))
        raise ended_badly(ticket, standing)

    def look(self, ticket: Ticket) -> Flow[Standing]:
        """How the job stands now."""
        reply: Response = yield ticket.poll
        payload = reply.json()
        standing = self.read(payload)
        # An answer that knows of no state may be an error with a success status: then waiting on would be in vain.
        if standing.state == "queued" and (complaint := error_in_success(payload)):
            raise JobError(
                f"Asked how the job stands, the provider answered with an error: {complaint.message}",
                job_id=ticket.id,
                status=reply.status,
                body=reply.text(),
                advice="It may go on all the same: a job of client.submit(…) can be asked again.",
            )
        return replace(standing, pause=retry_after(reply.headers) or 0.0)


def growing_pauses() -> Iterator[float]:
    """Short at first, for a job that takes a second (looks come after 0.4 s, 1 s, 1.9 s, 3.3 s …); no longer than a few
    seconds, for one that takes minutes."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * GROWTH)


def ended_badly(ticket: Ticket, standing: Standing) -> JobFailedError | JobCancelledError:
    reason = (standing.reason or "").strip().rstrip(".")
    said = f": {reason}." if reason else ", and no reason was given."
    if standing.state == "cancelled":
        return JobCancelledError(f"The job was cancelled{said}", job_id=ticket.id)
    return JobFailedError(f"The job failed{said}", job_id=ticket.id)
