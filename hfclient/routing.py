"""Which provider serves a call, under which id, at which address, with which key."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hfclient.call import Call, function_for, spoken, unknown_provider
from hfclient.catalogue import Catalogue
from hfclient.choice import ROUTED_TASKS, Choice, choice_of, in_order
from hfclient.credentials import Key, Keys, is_hugging_face, origin_of
from hfclient.errors import HFClientError, HubError, InputError, MissingKeyError, NoProviderError, NotFoundError
from hfclient.hub import Entry
from hfclient.provider import Provider, Task
from hfclient.providers.table import ENDPOINT, ROUTER
from hfclient.redact import Secret
from hfclient.registry import Registry
from hfclient.route import Route
from hfclient.settings import Settings, key_in_environment
from hfclient.trip import Trip
from hfclient.types.models import Model

# hf-inference runs either on the models of both, and the Hub files a model under one of the two.
SAME_AT_HF_INFERENCE = frozenset({"feature-extraction", "sentence-similarity"})
HOW_TO_LOG_IN = (
    'Run "hf auth login", set HF_TOKEN, or pass Client("hf_…"); '
    "tokens are made at https://huggingface.co/settings/tokens."
)

logger = logging.getLogger("hfclient")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a provider is reached, and with what."""

    base_url: str
    key: Key | None
    routed: bool


@dataclass(frozen=True, slots=True)
class Router:
    """Turns a call into the routes to try, best first."""

    settings: Settings
    keys: Keys
    registry: Registry
    catalogue: Catalogue
    login: Callable[[], Awaitable[Secret | None]]

    async def routes(self, call: Call, trip: Trip) -> list[Route]:
        """The routes in the order to try them; there is at least one, or an error says why not."""
        if call.base_url:
            return [await self._to_endpoint(call, call.base_url)]
        choice = choice_of(call, lambda name: self.registry.find(name) is not None)
        if choice.providers == ("auto",) and call.task in ROUTED_TASKS:
            return [await self._to_router(call, choice.model)]
        found: list[Route] = []
        missed: list[HFClientError] = []
        for name in choice.providers:
            try:
                found += await self._candidates(call, self._model_for(call, choice, name), name, choice.policy)
            except (NoProviderError, MissingKeyError, HubError, NotFoundError) as error:
                if len(choice.providers) > 1:
                    trip.passed_over(name, error)
                missed.append(error)
        if not found:
            raise missed[0]
        # Whoever failed the last health check is asked after the others.
        return sorted(found, key=lambda route: route.ailing)

    async def back(self, call: Call, *, routed: bool) -> Route:
        """The way back to a job, with the kind of key it was submitted with: only that account knows of it."""
        if call.base_url:
            return await self._to_endpoint(call, call.base_url)
        provider = self._known(call.providers[0])
        address = await self._address(provider, _task_of(provider, call), routed=routed)
        return _route(call, provider, address, call.model or "", {})

    async def _candidates(self, call: Call, model: str, name: str, policy: str | None) -> list[Route]:
        if name != "auto":
            return [await self._to_provider(call, model, self._known(name))]
        if call.task in ROUTED_TASKS:
            return [await self._to_router(call, model)]
        return await self._to_anyone(call, model, policy)

    def _model_for(self, call: Call, choice: Choice, name: str) -> str:
        """The model that was named, or the one that this provider runs where none is."""
        model = choice.model or (None if name == "auto" else self._known(name).default_model)
        if model is None:
            raise InputError(f"No model is named for {spoken(call.task)}.", advice='Pass model="org/name".')
        return model

    def _known(self, name: str) -> Provider:
        provider = self.registry.find(name)
        if provider is None:
            raise unknown_provider(name, [*self.registry.names(), "auto"])
        return provider

    async def _to_router(self, call: Call, model: str | None) -> Route:
        if model is None:
            raise InputError("No model is named.", advice='Pass model="org/name", or Client(model="org/name").')
        key = await self.hugging_face_key()
        if key is None:
            raise MissingKeyError("The Hugging Face router needs a token, and there is none.", advice=HOW_TO_LOG_IN)
        task = ROUTER.tasks[call.task]
        return Route(ROUTER, task, model, self.settings.router_url, key, _billed(call))

    async def _to_endpoint(self, call: Call, base_url: str) -> Route:
        """An address given by the caller: the model's name goes as it is, and only a key meant for it goes along."""
        names = [name for name in call.providers if name != "auto"]
        if len(names) > 1:
            raise InputError(
                f"base_url= leads to one place, and provider= names several: {', '.join(names)}.",
                advice="Name one provider, or none, beside base_url=.",
            )
        provider = self._known(names[0]) if names else ENDPOINT
        if provider.opens:
            said = f"{provider.name} runs in this process, and base_url= leads elsewhere."
            raise InputError(said, advice="Keep one of provider= and base_url=.")
        task = _task_of(provider, call)
        key = await self._key_for_endpoint(base_url, provider, task)
        billed = _billed(call) if is_hugging_face(base_url) else {}
        return Route(provider, task, call.model, base_url, key, {**provider.headers, **billed}, custom=True)

    async def _key_for_endpoint(self, base_url: str, provider: Provider, task: Task) -> Key | None:
        origin = origin_of(base_url)
        if self.keys.token and self.keys.paired == origin:
            return _own_key(self.keys.token, provider, origin)
        if is_hugging_face(base_url) or origin in self._hugging_face_origins():
            return await self.hugging_face_key()
        own_url = task.url or provider.url
        if own_url and origin == origin_of(own_url):
            secret = self.keys.of_provider(provider.name) or key_in_environment(provider.variables)
            return _own_key(secret, provider, origin) if secret else None
        if self.keys.token:
            logger.warning("No key goes to %s: pass it for that address, as Client.endpoint(url, token).", origin)
        return None

    async def _to_provider(self, call: Call, model: str, provider: Provider) -> Route:
        task = _task_of(provider, call)
        if provider.opens:
            return Route(provider, task, model, provider.url, await self.hugging_face_key())
        address = await self._address(provider, task)
        entry = await self._entry_of(call, model, provider, routed=address.routed) if provider.mapped else None
        if entry is None:
            return _route(call, provider, address, model, {})
        route = _route(call, provider, address, entry.provider_id, dict(entry.extras))
        return replace(route, ailing=entry.status == "error")

    async def _entry_of(self, call: Call, model: str, provider: Provider, *, routed: bool) -> Entry | None:
        """What the Hub says of this model at this provider; None where the caller's own name for it will do."""
        # hf-inference goes by the Hub's own names, and with a key of its own a provider takes its own names too.
        lenient = provider.name == "hf-inference" or not routed
        try:
            entries = await self.catalogue.hub.providers_of(model, await self.hugging_face_key())
        except (HubError, NotFoundError) as error:
            if lenient:
                logger.warning("%s; calling %s with %r as it is.", error.message.rstrip("."), provider.name, model)
                return None
            raise
        mine = [entry for entry in entries if entry.provider == provider.name]
        for entry in mine:
            if _is_for(entry, call) or call.raw:  # in the provider's own words the task may be called anything
                _warn_of_status(entry, model)
                return entry
        if lenient and not mine:
            return None
        raise _nobody(call, model, provider.name, entries)

    async def _to_anyone(self, call: Call, model: str, policy: str | None) -> list[Route]:
        """Everybody who serves the model for this task, in the Hub's order, which is the user's own order, or with the
        cheapest or fastest first. Where an order was asked for, nobody is called of whom the Hub does not know."""
        try:
            entries = await self.catalogue.hub.providers_of(model, await self.hugging_face_key())
        except (HubError, NotFoundError) as error:
            if policy:
                raise
            return await self._last_resort(call, model, error.message)
        usable = self._usable(entries, call)
        if not usable:
            if policy or (entries and not call.raw and not any(_is_for(entry, call) for entry in entries)):
                raise _nobody(call, model, None, entries)
            return await self._last_resort(call, model, f"Nobody is listed as serving {model} for {spoken(call.task)}.")
        if policy:
            usable = in_order(policy, usable, model, await self._figures(model, policy))
        routes: list[Route] = []
        last: MissingKeyError | None = None
        for entry, provider in usable:
            try:
                address = await self._address(provider, _task_of(provider, call))
            except MissingKeyError as error:
                last = error
                continue
            routes.append(_route(call, provider, address, entry.provider_id, dict(entry.extras)))
        if not routes and last:
            raise last
        return routes

    async def _figures(self, model: str, policy: str) -> Model | None:
        try:
            return await self.catalogue.figures(model, await self.hugging_face_key())
        except HubError as error:
            error.advice = f"Try again in a while, or leave :{policy} away, and the first in the Hub's order is called."
            raise

    async def _last_resort(self, call: Call, model: str, reason: str) -> list[Route]:
        logger.warning("%s; trying hf-inference.", reason.rstrip("."))
        provider = self._known("hf-inference")
        address = await self._address(provider, _task_of(provider, call))
        return [_route(call, provider, address, model, {})]

    def _usable(self, entries: Sequence[Entry], call: Call) -> list[tuple[Entry, Provider]]:
        """Live ones for this task at providers we know, those in staging only if there is nothing else."""
        known = [
            (entry, provider)
            for entry in entries
            if _is_for(entry, call) and (provider := self.registry.find(entry.provider)) and _serves(provider, call)
        ]
        live = [pair for pair in known if pair[0].status == "live"]
        return live or [pair for pair in known if pair[0].status == "staging"]

    async def _address(self, provider: Provider, task: Task, *, routed: bool | None = None) -> Address:
        """A key given for this provider leads straight to it, a Hugging Face token through the router; `routed` says
        that only the one or only the other will do."""
        if given := self.keys.of_provider(provider.name):
            address = self._reached_with(given, provider, task)
            if routed in {None, address.routed}:
                return address
        if provider.routed and routed is not False and (key := await self.hugging_face_key()):
            return self._through_router(key, provider)
        if found := key_in_environment(provider.variables):
            address = self._reached_with(found, provider, task)
            if routed in {None, address.routed}:
                return address
        if not provider.routed and not provider.variables:
            return Address(task.url or provider.url, None, routed=False)  # it asks for no key
        raise _no_key(provider, routed=routed)

    async def hugging_face_key(self) -> Key | None:
        secret = self.keys.hugging_face or await self.login()
        return self._hugging_faces(secret) if secret else None

    def _hugging_faces(self, secret: Secret) -> Key:
        return Key(secret, self._hugging_face_origins(), hugging_face=True)

    def _hugging_face_origins(self) -> frozenset[str]:
        """Where the environment says that the Hub and the router are."""
        return frozenset({origin_of(self.settings.hub_url), origin_of(self.settings.router_url)})

    def _reached_with(self, secret: Secret, provider: Provider, task: Task) -> Address:
        """A Hugging Face token does not go to a provider, although it was filed under the provider's name."""
        if secret.reveal().startswith("hf_"):
            if provider.routed:
                return self._through_router(self._hugging_faces(secret), provider)
            raise MissingKeyError(
                f"The key for {provider.name} is a Hugging Face token, which {provider.name} does not take.",
                advice=f"The router does not lead to {provider.name}: it needs a key of its own.",
            )
        url = task.url or provider.url
        return Address(url, _own_key(secret, provider, origin_of(url)), routed=False)

    def _through_router(self, key: Key, provider: Provider) -> Address:
        return Address(f"{self.settings.router_url}/{provider.name}", key, routed=True)


def _route(call: Call, provider: Provider, address: Address, model_id: str, extras: Mapping[str, object]) -> Route:
    headers = {**provider.headers, **(_billed(call) if address.routed else {})}
    task = _task_of(provider, call)
    return Route(provider, task, model_id, address.base_url, address.key, headers, extras, routed=address.routed)


def _own_key(secret: Secret, provider: Provider, origin: str) -> Key:
    return Key(secret, frozenset({origin}), scheme=provider.scheme, header_name=provider.key_header)


def _no_key(provider: Provider, *, routed: bool | None) -> MissingKeyError:
    if routed:
        return MissingKeyError("The job went through the router, and there is no token for it.", advice=HOW_TO_LOG_IN)
    said = f"There is no key for {provider.name}"
    advice = [f'Pass Client(keys={{"{provider.name}": …}}) or set {name}.' for name in provider.variables[:1]]
    if routed is None and provider.routed:
        advice.append(HOW_TO_LOG_IN)
    end = "." if routed is None else ", and the job was submitted with one."
    return MissingKeyError(said + end, advice=" ".join(advice))


def _billed(call: Call) -> dict[str, str]:
    return {"x-hf-bill-to": call.bill_to} if call.bill_to else {}


def _serves(provider: Provider, call: Call) -> bool:
    task = _found_task(provider, call)
    return task is not None and (task.stream is not None or not call.stream)


def _is_for(entry: Entry, call: Call) -> bool:
    same_at_hf_inference = entry.provider == "hf-inference" and {entry.task, call.task} <= SAME_AT_HF_INFERENCE
    return entry.task == call.task or same_at_hf_inference


def _found_task(provider: Provider, call: Call) -> Task | None:
    return provider.otherwise if call.raw else provider.tasks.get(call.task)


def _task_of(provider: Provider, call: Call) -> Task:
    task = _found_task(provider, call)
    if task is None or not _serves(provider, call):
        does = ", ".join(map(spoken, sorted(provider.tasks))) or "nothing that this version of hfclient can call"
        kind = f"{spoken(call.task)} as a stream" if task else spoken(call.task)
        raise NoProviderError(f"{provider.name} does not serve {kind}.", advice=f"It serves {does}.")
    return task


def _nobody(call: Call, model: str, name: str | None, entries: Sequence[Entry]) -> NoProviderError:
    """Says who does serve the model, or for which task it is served."""
    mine = [entry for entry in entries if name in (None, entry.provider)]
    tasks = sorted({entry.task for entry in mine})
    where = f" at {name}" if name else ""
    if tasks and not any(_is_for(entry, call) for entry in mine):
        return NoProviderError(
            f"{model}{where} is not for {spoken(call.task)}, but for {', '.join(map(spoken, tasks))}.",
            advice=f"Call {function_for(tasks[0])} instead, or choose another model.",
        )
    others = [entry.provider for entry in entries if _is_for(entry, call) and entry.status == "live"]
    advice = f"These do: {', '.join(others)}." if others else "The Hub lists no provider for it; check the spelling."
    who = f"{name} does not serve" if name else "Nobody serves"
    return NoProviderError(f"{who} {model} for {spoken(call.task)}.", advice=advice)


def _warn_of_status(entry: Entry, model: str) -> None:
    if entry.status == "error":
        logger.warning("%s failed its last health check at %s; the call may fail.", model, entry.provider)
    elif entry.status == "staging":
        logger.warning("%s is in staging at %s, which is meant for tests.", model, entry.provider)
