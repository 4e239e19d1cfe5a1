"""What models there are: the router's list of chat models with its figures, and the Hub's pages of all others."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeGuard, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import anyio
from pydantic import ValidationError

from hfclient.credentials import Key
from hfclient.errors import HFClientError, NotFoundError, ResponseError
from hfclient.flow import Response
from hfclient.hub import Entry, Hub, is_object, page_of, read_mapping
from hfclient.lookup import Kept, Service
from hfclient.transport import Transport
from hfclient.types.base import Wire, first_fault
from hfclient.types.meta import Attempt, Meta
from hfclient.types.models import Model, ModelProvider, Pricing

T = TypeVar("T")
WireT = TypeVar("WireT", bound=Wire)

CHAT = "conversational"
EXPANDED = ("inferenceProviderMapping", "inference", "pipeline_tag", "createdAt", "author")
LISTS = 20
PAGE = 500
_NEXT = re.compile(r'<([^>]*)>[^<]*;\s*rel="?next"?')

logger = logging.getLogger("hfclient")


@dataclass(frozen=True, slots=True)
class Listing:
    """Models in the order they were told, where from, and the query of the page that follows."""

    models: tuple[Model, ...]
    meta: Meta
    following: str | None = None


class Catalogue:
    """What the router and the Hub say of models, kept for a while."""

    def __init__(self, transport: Transport, hub_url: str, router_url: str) -> None:
        self.hub = Hub(transport, hub_url)
        self._router = Service(transport, "the router", router_url)
        self._lists: Kept[Listing] = Kept(most=LISTS)
        self._models: Kept[Model] = Kept()
        # By model and provider. It grows no larger than the router's list, and a price outlives the answer it was in.
        self._prices: dict[str, dict[str, Pricing]] = {}

    async def chat_models(self, key: Key | None) -> Listing:
        """The router's whole list."""
        return await self._lists.answer("router", key, lambda: self._routed(key))

    async def models(
        self, task: str | None, provider: str | None, search: str | None, limit: int | None, key: Key | None
    ) -> Listing:
        """The Hub's models for a task, served by this provider or by any."""
        query = {"inference_provider": provider or "all", "pipeline_tag": task, "search": search}
        asked = tuple((name, value) for name, value in query.items() if value)
        return await self._lists.answer((asked, limit), key, lambda: self._pages(asked, limit, key))

    async def model(self, name: str, key: Key | None) -> Model:
        """What the Hub and the router know of one model, together; what one of them knows where the other does not."""
        hub, router = await _both(lambda: self._on_the_hub(name, key), lambda: self._on_the_router(name, key))
        told = [each for each in (hub, router) if isinstance(each, Model)]
        errors = [each for each in (hub, router) if isinstance(each, HFClientError)]
        down = [error for error in errors if not isinstance(error, NotFoundError)]
        if not told:
            raise down[0] if down else _unknown(name, errors[0])
        for error in down:
            logger.warning("%s What is told of %s is not all there is.", error.message, name)
        return _merged(told).with_meta(_story(hub, router))

    async def figures(self, name: str, key: Key | None) -> Model | None:
        """What the router says of a model; None where it does not know it."""
        match self._lists.fresh("router", key):
            case Listing(models=models) if found := next((model for model in models if model.id == name), None):
                return found
            case _:
                pass
        try:
            return await self._on_the_router(name, key)
        except NotFoundError:
            return None

    def price(self, model: str | None, provider: str) -> Pricing | None:
        """What a provider takes for a model, if it has been read; nobody is asked."""
        if not self._prices or not model:
            return None
        prices = self._prices.get(model) or self._prices.get(model.rpartition(":")[0])
        return prices.get(provider) if prices else None

    async def _on_the_router(self, name: str, key: Key | None) -> Model:
        return await self._models.answer(("router", name), key, lambda: self._ask_the_router(name, key))

    async def _on_the_hub(self, name: str, key: Key | None) -> Model:
        return await self._models.answer(("hub", name), key, lambda: self._ask_the_hub(name, key))

    async def _ask_the_router(self, name: str, key: Key | None) -> Model:
        def read(reply: Response, meta: Meta) -> Model:
            return _only(_inside(reply.json()), _of_the_router).with_meta(meta)

        path = f"/v1/models/{quote(name, safe='/')}"
        model = await self._router.ask(path, key, read, to_do="tell of the model", model=name)
        self._keep_prices([model])
        return model

    async def _ask_the_hub(self, name: str, key: Key | None) -> Model:
        def read(reply: Response, meta: Meta) -> Model:
            return _only(reply.json(), _of_the_hub).with_meta(meta)

        path = page_of(name, *EXPANDED)
        return await self.hub.ask(path, key, read, to_do="tell of the model", model=name)

    async def _routed(self, key: Key | None) -> Listing:
        def read(reply: Response, meta: Meta) -> Listing:
            return Listing(_readable(_inside(reply.json()), _of_the_router), meta)

        listing = await self._router.ask("/v1/models", key, read, to_do="list its models")
        self._keep_prices(listing.models)
        return listing

    async def _pages(self, asked: Sequence[tuple[str, str]], limit: int | None, key: Key | None) -> Listing:
        """Page after page, until there are enough, or no more; each is asked of the Hub, wherever a link leads."""
        expanded = [("expand[]", name) for name in EXPANDED]
        query: str | None = urlencode([*asked, ("limit", str(min(limit or PAGE, PAGE))), *expanded])
        found: list[Model] = []
        seen: set[str] = set()
        meta: Meta | None = None
        while query is not None and query not in seen:
            seen.add(query)
            page = await self.hub.ask(f"/api/models?{query}", key, _page, to_do="list the models")
            meta = _and_then(meta, page.meta)
            found += page.models
            enough = limit is not None and len(found) >= limit
            query = None if enough or not page.models else page.following
        return Listing(tuple(found[:limit]), cast("Meta", meta))

    def _keep_prices(self, models: Iterable[Model]) -> None:
        for model in models:
            prices = {offer.provider: price for offer in model.providers if (price := offer.price) is not None}
            if prices:
                self._prices[model.id] = prices


async def _both(*questions: Callable[[], Awaitable[T]]) -> list[T | HFClientError]:
    """The answers, or what went wrong instead, to questions asked at once."""
    outcomes: dict[int, T | HFClientError] = {}

    async def ask(place: int, question: Callable[[], Awaitable[T]]) -> None:
        try:
            outcomes[place] = await question()
        except HFClientError as error:
            outcomes[place] = error

    async with anyio.create_task_group() as group:
        for place, question in enumerate(questions):
            group.start_soon(ask, place, question)
    return [outcomes[place] for place in range(len(questions))]


def _page(reply: Response, meta: Meta) -> Listing:
    return Listing(_readable(reply.json(), _of_the_hub), meta, _following(reply.headers.get("link", "")))


def _following(link: str) -> str | None:
    """The query of the next page. A link may lead anywhere, so nothing but that is taken from it."""
    found = _NEXT.search(link)
    if found is None:
        return None
    try:
        return urlencode(parse_qsl(urlsplit(found[1]).query, keep_blank_values=True)) or None
    except ValueError:
        return None


def _inside(payload: Any) -> Any:
    """What the router puts into an envelope."""
    return payload["data"] if is_object(payload) and "data" in payload else payload


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _readable(rows: Any, read: Callable[[Any], Model]) -> tuple[Model, ...]:
    """The models of a list. One that makes no sense does not cost the others."""
    if not _is_list(rows):
        raise ResponseError("The answer is no list of models.")
    return tuple(_passing_over(rows, read, "model"))


def _only(row: Any, read: Callable[[Any], Model]) -> Model:
    try:
        return read(row)
    except ValidationError as error:
        raise ResponseError(f"The answer is no model: {first_fault(error)}.") from None


def _passing_over(rows: Iterable[Any], read: Callable[[Any], WireT], what: str) -> Iterator[WireT]:
    for row in rows:
        try:
            yield read(row)
        except (ValidationError, ResponseError) as error:
            fault = first_fault(error) if isinstance(error, ValidationError) else error.message
            logger.debug("A %s in a list is passed over: %s", what, fault)


def _of_the_router(row: Any) -> Model:
    if not is_object(row):
        return Model.model_validate(row)  # which says what is wrong
    shape, rows = row.get("architecture"), row.get("providers")
    offers = [*_passing_over(rows, _offer_of_the_router, "provider")] if _is_list(rows) else []
    fields = {name: value for name, value in row.items() if name not in {"object", "architecture"}}
    return Model.model_validate({**(shape if is_object(shape) else {}), **fields, "providers": offers})


def _offer_of_the_router(row: Any) -> ModelProvider:
    return ModelProvider.model_validate({"task": CHAT, **row} if is_object(row) else row)


def _of_the_hub(row: Any) -> Model:
    offers = [_offer_of_the_hub(entry) for entry in read_mapping(row)]
    fields = {name: value for name, value in row.items() if name not in {"_id", "inferenceProviderMapping"}}
    known = {
        "task": fields.pop("pipeline_tag", None),
        "owned_by": fields.pop("author", None),
        "created": _epoch(fields.pop("createdAt", None)),
    }
    return Model.model_validate({**fields, **known, "providers": offers})


def _offer_of_the_hub(entry: Entry) -> ModelProvider:
    extras = dict(entry.extras)
    known = {
        "provider": entry.provider,
        "provider_id": entry.provider_id,
        "task": entry.task,
        "status": entry.status,
        "is_model_author": extras.pop("isModelAuthor", None),
    }
    return ModelProvider.model_validate({**extras, **known})


def _epoch(moment: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def _merged(told: Sequence[Model]) -> Model:
    """The Hub's page and the router's figures in one; where both say something, the Hub's word stands."""
    if len(told) == 1:
        return told[0].model_copy()
    hub, router = told
    figures = {offer.provider: offer for offer in router.providers}
    offers = [_joined(offer, figures.pop(offer.provider, None)) for offer in hub.providers]
    return _joined(hub, router, providers=(*offers, *figures.values()))


def _joined(first: WireT, second: WireT | None, **more: Any) -> WireT:
    if second is None:
        return first
    fields = [each.model_dump(exclude_none=True, exclude_unset=True) for each in (second, first)]
    return type(first).model_validate({**fields[0], **fields[1], **more})


def _story(hub: Model | HFClientError, router: Model | HFClientError) -> Meta:
    """Where a model was looked for, and what came of it."""
    metas = [each.meta for each in (hub, router) if isinstance(each, Model)]
    attempts = [
        *(hub.meta.attempts if isinstance(hub, Model) else [_attempt("the Hub", hub)]),
        *(router.meta.attempts if isinstance(router, Model) else [_attempt("the router", router)]),
    ]
    return replace(metas[0], attempts=tuple(attempts), seconds=max(meta.seconds for meta in metas))


def _attempt(whom: str, error: HFClientError) -> Attempt:
    return Attempt(whom, error.status, type(error).__name__, error.request_id)


def _and_then(meta: Meta | None, following: Meta) -> Meta:
    if meta is None:
        return following
    attempts, seconds = (*meta.attempts, *following.attempts), meta.seconds + following.seconds
    return replace(following, attempts=attempts, seconds=seconds)


def _unknown(name: str, error: HFClientError) -> NotFoundError:
    return NotFoundError(
        f"Neither the Hub nor the router knows {name}.",
        advice='Check the spelling, "org/name"; a private model is shown only to those whose token may read it.',
        model=name,
        status=error.status,
        request_id=error.request_id,
    )
