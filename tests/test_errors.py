"""What an error says, carries and is."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from hfclient import errors
from hfclient.errors import (
    DeadlineError,
    HFClientError,
    InputError,
    MissingExtraError,
    OutputParseError,
    RateLimitError,
    RefusalError,
    StatusError,
    StreamError,
    StreamFailedError,
    TimedOutError,
    TruncatedStreamError,
)
from hfclient.types import Attempt, ChatCompletion

CLASSES = [getattr(errors, name) for name in errors.__all__]
ATTEMPTS = (Attempt("groq", 429, "RateLimitError", "req-0", 1.5), Attempt("together", 503))
FACTS: dict[str, Any] = {
    "advice": "Wait a while.",
    "provider": "groq",
    "model": "org/model",
    "task": "conversational",
    "status": 429,
    "request_id": "req-1",
    "attempts": ATTEMPTS,
}
HELD = ChatCompletion.model_validate({"choices": [{"message": {"content": "half an answer"}}]})
SPECIAL: dict[str, Any] = {
    "body": "the body",
    "code": "rate",
    "retry_after": 2.5,
    "text": "no",
    "completion": HELD,
    "partial": HELD,
}


def special_of(kind: type[HFClientError]) -> dict[str, Any]:
    """What this class takes beyond the facts that all of them take."""
    ours = [each for each in kind.__mro__ if issubclass(each, HFClientError)]
    names = {name for each in ours for name in inspect.signature(each.__init__).parameters}
    return {name: value for name, value in SPECIAL.items() if name in names}


def full(kind: type[HFClientError]) -> HFClientError:
    return kind("It went wrong.", **FACTS, **special_of(kind))


def test_everything_public_is_an_error_of_ours() -> None:
    """The module's public names are its exceptions, in order, and every one of them is an HFClientError."""
    defined = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert sorted(defined) == errors.__all__
    assert all(issubclass(kind, HFClientError) for kind in CLASSES)


def test_the_tree_is_drawn_as_it_is() -> None:
    """The tree in the module's docstring is the tree of the classes, each with a word on who can act."""
    stack: list[str] = []
    drawn: dict[str, str | None] = {}
    for indent, name in re.findall(r"^([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        del stack[depth:]
        drawn[name] = stack[-1] if stack else None
        stack.append(name)
    assert drawn == {kind.__name__: None if kind is HFClientError else kind.__mro__[1].__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_can_be_made_from_a_message_alone(kind: type[HFClientError]) -> None:
    """A message is enough, and then it is all that is shown; every class says in its docstring what it is for."""
    advice = f"\n{kind.default_advice}" if kind.default_advice else ""
    assert str(kind("It went wrong.")) == f"It went wrong.{advice}"
    assert kind.__doc__


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_says_what_where_and_what_to_do(kind: type[HFClientError]) -> None:
    """The first line says what happened and where, the second what to do."""
    assert str(full(kind)) == ("It went wrong [groq · org/model · chat · request req-1 · 2 attempts]\nWait a while.")
    assert repr(full(kind)) == f"{kind.__name__}('It went wrong.')"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_survives_a_pickle(kind: type[HFClientError], protocol: int) -> None:
    """An error that crosses a process has everything it had."""
    error = full(kind)
    found = pickle.loads(pickle.dumps(error, protocol))
    assert type(found) is kind
    assert vars(found) == vars(error)
    assert str(found) == str(error)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_each_can_be_copied(kind: type[HFClientError], copied: Any) -> None:
    """A copy is equal in all it carries, and is another error."""
    error = full(kind)
    found = copied(error)
    assert found is not error
    assert (type(found), vars(found), str(found)) == (kind, vars(error), str(error))


def test_one_attempt_is_not_worth_a_word() -> None:
    """The number of attempts is shown where there were several."""
    assert str(HFClientError("No.", attempts=ATTEMPTS[:1])) == "No."


def test_facts_filled_in_later_are_shown() -> None:
    """The dispatcher writes into an error on its way out where it happened."""
    error = InputError("No.")
    error.provider, error.task = "groq", "conversational"
    assert str(error) == "No [groq · chat]"


@pytest.mark.parametrize("kind", [errors.RefusalError, errors.OutputParseError, errors.StreamFailedError])
def test_some_always_say_what_to_do(kind: type[HFClientError]) -> None:
    """What a model or a provider did by itself has the same advice wherever it is noticed, unless there is better."""
    assert kind("It went wrong.").advice == kind.default_advice != ""
    assert kind("It went wrong.", advice="Wait.").advice == "Wait."


def test_attempts_are_a_story_that_is_told() -> None:
    """Attempts given in any sequence are kept as a tuple."""
    assert HFClientError("No.", attempts=list(ATTEMPTS)).attempts == ATTEMPTS


@pytest.mark.parametrize(
    ("kind", "builtin"), [(InputError, ValueError), (MissingExtraError, ImportError), (TimedOutError, TimeoutError)]
)
def test_what_python_has_a_name_for(kind: type[HFClientError], builtin: type[Exception]) -> None:
    """A mistake in a call is a ValueError, a missing package an ImportError, a silence a TimeoutError."""
    with pytest.raises(builtin):
        raise kind("No.")


def test_remote_failures_are_no_value_errors() -> None:
    """Only what is the caller's to mend is a ValueError, so that `except ValueError` hides no outage."""
    values = {kind for kind in CLASSES if issubclass(kind, ValueError)}
    assert all(issubclass(kind, InputError) for kind in values)


def test_an_error_with_a_status_has_what_the_service_said() -> None:
    """Status errors carry the body, the code and how long to wait."""
    error = RateLimitError("Slow down.", body="{}", code="rate", retry_after=3.0, status=429)
    assert (error.body, error.code, error.retry_after, error.status) == ("{}", "rate", 3.0, 429)
    assert isinstance(error, StatusError)


def test_a_deadline_is_a_time_out() -> None:
    """Whoever catches a time-out catches a deadline too, and finds what a stream had brought."""
    assert DeadlineError("Late.", partial=HELD).partial is HELD
    assert issubclass(DeadlineError, TimedOutError)


def test_what_had_arrived_is_kept() -> None:
    """Errors of streams and of parsing hold the answer as far as it came."""
    assert TruncatedStreamError("Cut.", partial=HELD).partial is HELD
    assert StreamFailedError("Failed.", code="busy").code == "busy"
    assert StreamError("Odd.", body="x").body == "x"
    for kind in (RefusalError, OutputParseError):
        error = kind("No.", text="half", completion=HELD)
        assert (error.text, error.completion) == ("half", HELD)
