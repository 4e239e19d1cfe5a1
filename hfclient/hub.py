"""Asking the Hub which providers serve a model, once, and remembering the answer for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar, cast
from urllib.parse import quote, urlencode

from hfclient.credentials import Key
from hfclient.errors import AuthenticationError, ResponseError
from hfclient.lookup import Kept, Read, Service, missing
from hfclient.transport import Transport

T = TypeVar("T")

_WHO_SERVES = "say who serves the model"
_ADVICE = "Try again in a while, or use provider='auto' for chat, which needs no look-up."


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
                {**row, "provider": name} for name, row in cast("dict[str, Any]", by_provider).items() if is_object(row)
            ]
        case {"inferenceProviderMapping": [*rows]}:
            pass
        case {**fields} if not fields.get("inferenceProviderMapping"):
            rows = []
        case _:
            raise ResponseError("The Hub's answer has no list of providers in it.")
    return tuple(entry for row in rows if is_object(row) and (entry := _entry(dict(row))))


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _entry(row: dict[str, Any]) -> Entry | None:
    provider, provider_id, task = (row.pop(name, None) for name in ("provider", "providerId", "task"))
    status = row.pop("status", "live")
    if not (isinstance(provider, str) and isinstance(provider_id, str) and isinstance(task, str)):
        return None
    return Entry(provider, provider_id, task, str(status), row)


class Hub:
    """The Hub, as far as routing and the catalogue need it."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._service = Service(transport, "the Hub", url)
        self._kept: Kept[tuple[Entry, ...]] = Kept()

    async def providers_of(self, model: str, key: Key | None) -> tuple[Entry, ...]:
        """Who serves this model; `NotFoundError` where the Hub knows no such model, `HubError` where it is down."""
        return await self._kept.answer(model, key, lambda: self._ask(model, key))

    async def ask(
        self, path: str, key: Key | None, read: Read[T], *, to_do: str, advice: str = "", model: str | None = None
    ) -> T:
        """What `read` makes of the answer, as `Service.ask` has it."""
        try:
            return await self._service.ask(path, key, read, to_do=to_do, advice=advice, model=model)
        except AuthenticationError as error:
            # It answers 401 for a model that is not there, so as not to tell which private ones are.
            if model and (key is None or error.code == "RepoNotFound"):
                raise missing(error) from None
            raise

    async def _ask(self, model: str, key: Key | None) -> tuple[Entry, ...]:
        path = page_of(model, "inferenceProviderMapping")
        try:
            return await self.ask(
                path, key, lambda reply, _: read_mapping(reply.json()), to_do=_WHO_SERVES, advice=_ADVICE, model=model
            )
        except ResponseError as error:
            raise self._service.down(error.message, _WHO_SERVES, _ADVICE, model) from error


def page_of(model: str, *expand: str) -> str:
    """Where the Hub tells these things of a model."""
    return f"/api/models/{quote(model, safe='/')}?{urlencode([('expand[]', name) for name in expand])}"
