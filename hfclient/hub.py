"""Asking the Hub which providers serve a model, once, and remembering the answer for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard, cast
from urllib.parse import quote

import anyio

from hfclient import clock
from hfclient.call import Timeout
from hfclient.credentials import Key
from hfclient.destination import Destination
from hfclient.errors import AuthenticationError, HFClientError, HubError, NotFoundError, ResponseError, StatusError
from hfclient.flow import Response, get
from hfclient.redact import Secret
from hfclient.single_flight import SingleFlight, again
from hfclient.transport import Transport

LIMIT_SECONDS = 10.0
PATIENCE = 2.0
TIME_TO_LIVE = 300.0
REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider's line in a model's `inferenceProviderMapping`; `extras` keeps the keys not named here."""

    provider: str
    provider_id: str
    task: str
    status: str = "live"
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_mapping(model_info: Any) -> tuple[Entry, ...]:
    """Both JSON forms: an object by provider, as one model's page gives it, and a list, as listings do."""
    match model_info:
        case {"inferenceProviderMapping": {**by_provider}}:
            rows: list[Any] = [
                {**row, "provider": name}
                for name, row in cast("dict[str, Any]", by_provider).items()
                if _is_object(row)
            ]
        case {"inferenceProviderMapping": [*rows]}:
            pass
        case {**fields} if not fields.get("inferenceProviderMapping"):
            rows = []
        case _:
            raise ResponseError("The Hub's answer has no list of providers in it.")
    return tuple(entry for row in rows if _is_object(row) and (entry := _entry(dict(row))))


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _entry(row: dict[str, Any]) -> Entry | None:
    provider, provider_id, task = (row.pop(name, None) for name in ("provider", "providerId", "task"))
    status = row.pop("status", "live")
    if not (isinstance(provider, str) and isinstance(provider_id, str) and isinstance(task, str)):
        return None
    return Entry(provider, provider_id, task, str(status), row)


Answer: TypeAlias = tuple[Entry, ...] | NotFoundError | HubError


class Hub:
    """The Hub, as far as routing needs it. Answers are kept per token: what a model's page says depends on who asks."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self.url = url
        self._kept: dict[tuple[str, Secret | None], tuple[float, Answer]] = {}
        self._flights: SingleFlight[tuple[Entry, ...]] = SingleFlight()

    async def providers_of(self, model: str, key: Key | None) -> tuple[Entry, ...]:
        """Who serves this model; `NotFoundError` where the Hub knows no such model, `HubError` where it is down."""
        what = (model, key.secret if key else None)
        kept = self._kept.get(what)
        if kept and kept[0] > clock.now():
            answer = kept[1]
        else:
            answer = await self._asked(what, key)
        if isinstance(answer, HFClientError):
            raise again(answer)
        return answer

    async def _asked(self, what: tuple[str, Secret | None], key: Key | None) -> Answer:
        """The Hub's answer, kept. That it knows no such model is one too: a provider's own ids are asked for often. And
        that it is down is kept for as long as it takes to find out, so that not every call waits for it."""
        answer: Answer
        lifetime = TIME_TO_LIVE
        try:
            answer = await self._flights.share(what, lambda: self._ask(what[0], key))
        except NotFoundError as error:
            answer = error.with_traceback(None)
        except HubError as error:
            answer, lifetime = error.with_traceback(None), LIMIT_SECONDS
        self._kept[what] = (clock.now() + lifetime, answer)
        while len(self._kept) > REMEMBERED:
            del self._kept[next(iter(self._kept))]
        return answer

    async def _ask(self, model: str, key: Key | None) -> tuple[Entry, ...]:
        request = get(f"/api/models/{quote(model, safe='/')}", query={"expand[]": "inferenceProviderMapping"})
        said: list[str] = []
        to = Destination(
            "the Hub",
            self.url,
            key,
            Timeout.of(LIMIT_SECONDS),
            model=model,
            patience=PATIENCE,
            before_pause=lambda error, _: said.append(error.message),
        )
        try:
            with anyio.fail_after(LIMIT_SECONDS):
                reply: Response = await self._transport.send(request, to)
            return read_mapping(reply.json())
        except TimeoutError:
            raise self._down(said[-1] if said else f"it did not answer within {LIMIT_SECONDS:.0f} seconds") from None
        except NotFoundError:
            raise
        except StatusError as error:
            if isinstance(error, AuthenticationError) and (key is None or error.code == "RepoNotFound"):
                raise _missing(error) from None
            # A bad token is the caller's to mend, and would fail again at the provider.
            if error.status in {401, 403}:
                raise
            raise self._down(error.message) from error
        except HFClientError as error:
            raise self._down(error.message) from error

    def _down(self, reason: str) -> HubError:
        return HubError(
            f"The Hub at {self.url} could not say who serves the model: {reason}",
            advice="Try again in a while, or use provider='auto' for chat, which needs no look-up.",
        )


def _missing(error: StatusError) -> NotFoundError:
    """The Hub answers 401 for a model that is not there, so as not to tell which private ones are."""
    return NotFoundError(
        error.message,
        advice=error.advice,
        status=error.status,
        body=error.body,
        code=error.code,
        request_id=error.request_id,
    )
