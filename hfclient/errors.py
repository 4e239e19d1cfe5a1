"""Every error hfclient raises, arranged by who can do something about it.

HFClientError
├── InputError (a ValueError)         you: change the call; nothing was sent
│   ├── MissingKeyError               you: there is no key for the place this call would go to
│   ├── MissingExtraError             you: an optional package is needed; the message has the pip command
│   └── InputTooLongError             you: the prompt has more tokens than the model takes
├── RoutingError                      no provider could be found for this call
│   ├── NoProviderError               you: nobody, or not the provider you named, serves this model for this task
│   └── HubError                      wait: the Hub, or the router, could not tell of a model
├── StatusError                       the service answered with an error; `.status`, `.body`
│   ├── BadRequestError               you: 400, 413, 415, 422 …; the request itself is at fault
│   ├── NotSupportedError             you: this provider does not serve this model or task
│   ├── AuthenticationError           you: 401; the key is wrong
│   ├── CreditsError                  you: 402; the account has no credits left
│   ├── PermissionDeniedError         you: 403; the key may not do this
│   ├── NotFoundError                 you: 404, 410; no such model or address
│   ├── RateLimitError                wait: 429; `.retry_after` where the service said how long
│   ├── ModelLoadingError             wait: 503; `.retry_after` where the service said how long
│   └── ServerError                   the provider: 5xx
├── ResponseError                     the provider: it answered with success, but not with an answer
│   ├── RefusalError                  the model declined; `.text`
│   ├── OutputParseError              the text does not fit the `response_format`; `.text`
│   ├── JobError                      a job that was accepted brought no result; `.job_id`
│   │   ├── JobFailedError            the provider: it failed, for the reason in the message
│   │   └── JobCancelledError         somebody cancelled it
│   └── StreamError                   a stream went wrong; `.partial` holds what had arrived
│       ├── NotAStreamError           something other than server-sent events came back
│       ├── StreamFailedError         the provider reported an error in the middle
│       ├── TruncatedStreamError      it ended without a finish reason and without [DONE]
│       ├── EventTooLargeError        one event was larger than `max_event_bytes`
│       └── StreamClosedError         you: the stream was left before its end
├── EngineError                       this machine: a model on it failed
│   ├── ModelFilesError               you: the model's files are missing, or cannot be loaded here
│   ├── OutOfMemoryError              you: the model or this call needs more memory than there is (a MemoryError)
│   └── EngineCrashedError            the model's thread broke down; the next call starts it anew
└── TransportError                    the network
    ├── ConnectionFailedError         nothing was sent; safe to try again
    ├── ConnectionLostError           the connection broke after the request had begun
    └── TimedOutError (a TimeoutError)
        └── DeadlineError             the whole call took longer than `deadline`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfclient.types import Attempt

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "CreditsError",
    "DeadlineError",
    "EngineCrashedError",
    "EngineError",
    "EventTooLargeError",
    "HFClientError",
    "HubError",
    "InputError",
    "InputTooLongError",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "MissingExtraError",
    "MissingKeyError",
    "ModelFilesError",
    "ModelLoadingError",
    "NoProviderError",
    "NotAStreamError",
    "NotFoundError",
    "NotSupportedError",
    "OutOfMemoryError",
    "OutputParseError",
    "PermissionDeniedError",
    "RateLimitError",
    "RefusalError",
    "ResponseError",
    "RoutingError",
    "ServerError",
    "StatusError",
    "StreamClosedError",
    "StreamError",
    "StreamFailedError",
    "TimedOutError",
    "TransportError",
    "TruncatedStreamError",
]


_SPOKEN = {"conversational": "chat"}


def function_for(task: str) -> str:
    """What to call for a task, as it reads in advice."""
    return "client.chat(…)" if task == "conversational" else f"client.{task.replace('-', '_')}(…)"


def spoken(task: str) -> str:
    """A task as people call it: the Hub's word for chat is `conversational`."""
    return _SPOKEN.get(task, task)


class HFClientError(Exception):
    """Base of every error here; carries where the call went and how it fared.

    The message says what happened, `advice` what to do next. The dispatcher fills in `provider`, `model`, `task` and
    `attempts` on the way out, so an error raised deep inside knows them too.
    """

    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        provider: str | None = None,
        model: str | None = None,
        task: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice or self.default_advice
        self.provider = provider
        self.model = model
        self.task = task
        self.status = status
        self.request_id = request_id
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        facts = [fact for fact in (self.provider, self.model, self.task and spoken(self.task)) if fact]
        if self.request_id:
            facts.append(f"request {self.request_id}")
        if len(self.attempts) > 1:
            facts.append(f"{len(self.attempts)} attempts")
        first = f"{self.message.removesuffix('.')} [{' · '.join(facts)}]" if facts else self.message
        return f"{first}\n{self.advice}" if self.advice else first


class InputError(HFClientError, ValueError):
    """The call cannot be made as it stands; nothing was sent."""


class MissingKeyError(InputError):
    """There is no key for the place this call would go to."""


class MissingExtraError(InputError, ImportError):
    """An optional package is needed for this; the advice names the pip command."""


class InputTooLongError(InputError):
    """The prompt has more tokens than the model on this machine takes, or than `max_input_length` allows."""


class RoutingError(HFClientError):
    """No provider could be found for this call."""


class NoProviderError(RoutingError):
    """Nobody, or not the provider that was named, serves this model for this task."""


class HubError(RoutingError):
    """The Hub, or the router where it was asked for its models, could not say what there is and who serves it."""


class StatusError(HFClientError):
    """The service answered with an error; `body` has its text, shortened and without keys."""

    def __init__(
        self,
        message: str,
        *,
        body: str = "",
        code: str | None = None,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.body = body
        self.code = code
        self.retry_after = retry_after


class BadRequestError(StatusError):
    """The request itself is at fault (400, 413, 415, 422 and their like)."""


class NotSupportedError(StatusError):
    """The provider does not serve this model, or not for this task."""


class AuthenticationError(StatusError):
    """The key was not accepted (401)."""


class CreditsError(StatusError):
    """The account has no credits left, or none for this provider (402)."""


class PermissionDeniedError(StatusError):
    """The key may not do this (403)."""


class NotFoundError(StatusError):
    """There is no such model or address (404, 410)."""


class RateLimitError(StatusError):
    """Too many requests (429); `retry_after` is in seconds where the service said so."""


class ModelLoadingError(StatusError):
    """The model or the service is not ready (503); `retry_after` is in seconds where the service said so."""


class ServerError(StatusError):
    """The provider failed (5xx)."""


class ResponseError(HFClientError):
    """The answer had a success status but is not what was asked for; `body` has its beginning, without keys."""

    def __init__(self, message: str, *, body: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.body = body


class RefusalError(ResponseError):
    """The model declined to answer; `text` is what it said, `completion` the whole reply."""

    default_advice = "Ask in another way, or ask another model; what it said is in error.text."

    def __init__(self, message: str, *, text: str = "", completion: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.text = text
        self.completion = completion


class OutputParseError(ResponseError):
    """The text does not fit the `response_format`; `text` is what the model wrote, `completion` the whole reply."""

    default_advice = "Ask again, or a model that keeps to a schema; what this one wrote is in error.text."

    def __init__(self, message: str, *, text: str = "", completion: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.text = text
        self.completion = completion


class JobError(ResponseError):
    """A job that the provider had accepted brought no result; `job_id` is the provider's name for it."""

    def __init__(self, message: str, *, job_id: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.job_id = job_id


class JobFailedError(JobError):
    """The job failed at the provider."""

    default_advice = "If the reason is not in the request, try again, or name another provider."


class JobCancelledError(JobError):
    """The job was cancelled, here or at the provider."""

    default_advice = "Submit it again if it is still wanted."


class StreamError(ResponseError):
    """A stream went wrong; `partial` is what had arrived so far, assembled, or None if nothing had."""

    def __init__(self, message: str, *, partial: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial


class NotAStreamError(StreamError):
    """A stream was asked for, and something else came back."""


class StreamFailedError(StreamError):
    """The provider reported an error in the middle of the stream."""

    default_advice = "What had arrived is in error.partial. A stream is never retried by itself: ask again if need be."

    def __init__(self, message: str, *, code: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.code = code


class TruncatedStreamError(StreamError):
    """The stream ended without a finish reason and without [DONE]."""


class EventTooLargeError(StreamError):
    """One event of the stream was larger than `max_event_bytes`."""


class StreamClosedError(StreamError):
    """The stream was left before its end, so there is nothing more to read from it."""


class EngineError(HFClientError):
    """A model on this machine failed."""


class ModelFilesError(EngineError):
    """The model's files are not on this machine, or are not of a kind that can be loaded."""


class OutOfMemoryError(EngineError, MemoryError):
    """There is not enough memory for the model, or for this call of it; the engine goes on serving others."""

    default_advice = "Use a smaller or quantized model, a shorter prompt, or fewer calls at once (max_sequences)."


class EngineCrashedError(EngineError):
    """The thread that runs the model broke down, with all that was under way in it."""

    default_advice = "Call again: the model is loaded anew. If it happens again, please report it with the log."


class TransportError(HFClientError):
    """The network failed."""


class ConnectionFailedError(TransportError):
    """No connection could be made; nothing was sent, so it is safe to try again."""


class ConnectionLostError(TransportError):
    """The connection broke after the request had begun; the provider may have done the work."""


class TimedOutError(TransportError, TimeoutError):
    """The service was silent for longer than `timeout` allows; `partial` is what a stream had brought by then."""

    def __init__(self, message: str, *, partial: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial = partial


class DeadlineError(TimedOutError):
    """The whole call took longer than `deadline`."""
