"""The client: frozen defaults, a shared pool of connections, and the tasks as methods."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Never, NoReturn, Self, cast, overload

import anyio.to_thread
import httpx
from typing_extensions import TypedDict, Unpack

from hfclient import tasks
from hfclient.call import ProviderChoice, TimeoutChoice, unknown_option, unknown_provider, whole
from hfclient.catalogue import Catalogue
from hfclient.credentials import Keys
from hfclient.defaults import Defaults, checked_text
from hfclient.dispatch import Dispatcher, Sides
from hfclient.errors import InputError
from hfclient.local.options import LocalOptions, Surroundings, checked_options
from hfclient.mapping import ItemT, Mapped, OnError, T
from hfclient.pools import MAX_CONNECTIONS
from hfclient.redact import Redactor, Secret, safe_url
from hfclient.registry import Registry
from hfclient.remote import Remote
from hfclient.retry import Retry
from hfclient.routing import Router
from hfclient.settings import (
    SEMCONVS,
    TRANSPORTS,
    Semconv,
    Settings,
    TransportKind,
    one_of,
    saved_token,
)
from hfclient.single_flight import SingleFlight
from hfclient.sse import MAX_EVENT_BYTES
from hfclient.tasks import anything
from hfclient.tasks.chat import Chat, ChatSettings
from hfclient.tasks.local_models import Local
from hfclient.tasks.models import Models
from hfclient.transport import Transport

if TYPE_CHECKING:
    from hfclient.sandbox import Sandbox

DEFAULT_NAMES = ("provider", "model", "bill_to", "base_url", "timeout", "deadline", "retry", "headers")
CONNECTION_NAMES = ("http_client", "transport", "max_connections", "max_event_bytes", "semconv", "sandbox", "local")

# Asked of a client by name, what belongs to a call is told where it goes.
OF_A_CHAT = {
    name: f"{name} belongs to the call: client.chat(…, {name}=…)."
    for name in (*ChatSettings.__annotations__, "response_format", "extra_query", "extra_body")
}


class _CommonOptions(TypedDict, total=False):
    provider: ProviderChoice | None
    model: str | None
    bill_to: str | None
    keys: Mapping[str, str] | None
    timeout: TimeoutChoice
    deadline: float | None
    retry: bool | int | Retry | None
    headers: Mapping[str, str] | None


class ClientOptions(_CommonOptions, total=False):
    """What `with_options` takes: all but what belongs to the connections."""

    token: str | None
    base_url: str | None


class EndpointOptions(_CommonOptions, total=False):
    """What `Client.endpoint` takes besides the address and its key."""

    http_client: httpx.AsyncClient | None
    transport: TransportKind | None
    max_connections: int
    max_event_bytes: int
    semconv: Semconv | None


@dataclass(slots=True)
class Login:
    """The token of this machine, read once and off the event loop."""

    read: bool = False
    found: Secret | None = None
    _flights: SingleFlight[Secret | None] = field(default_factory=SingleFlight[Secret | None])

    async def token(self) -> Secret | None:
        if not self.read:
            self.found = await self._flights.share(
                "token", lambda: anyio.to_thread.run_sync(saved_token, abandon_on_cancel=True)
            )
            self.read = True
        return self.found


@dataclass(frozen=True, slots=True)
class Shared:
    """What a client and the copies made of it have in common."""

    settings: Settings
    transport: Transport
    catalogue: Catalogue
    registry: Registry
    login: Login
    sides: Sides
    semconv: Semconv
    max_event_bytes: int

    @classmethod
    def anew(
        cls, settings: Settings, transport: Transport, local: LocalOptions, semconv: Semconv, max_event_bytes: int
    ) -> Shared:
        catalogue = Catalogue(transport, settings.hub_url, settings.router_url)
        sides = Sides(Surroundings(local, settings.hub_url, offline=not settings.may_reach_the_hub))
        return cls(settings, transport, catalogue, Registry(), Login(), sides, semconv, max_event_bytes)


class Client:
    """A bundle of defaults for calls to any inference provider, and the connections to make them over.

    >>> async with Client() as client:
    ...     reply = await client.chat("Why is the sky blue?", model="Qwen/Qwen3-32B")
    ...     print(reply.text)

    It is frozen: `with_options` gives a changed copy that shares the connections. It can be used without `async with`,
    from many tasks at once, and from one event loop after another.
    """

    _defaults: Defaults
    _keys: Keys
    _shared: Shared
    dispatcher: Dispatcher
    models: Models
    """`client.models.list(...)` and `.get(...)`: what models there are, who serves them, for how much."""
    local: Local
    """`client.local.load(...)`, `.unload(...)` and `.loaded()`: the models that run on this machine."""

    def __init__(
        self,
        token: str | None = None,
        *,
        provider: ProviderChoice | None = "auto",
        model: str | None = None,
        bill_to: str | None = None,
        base_url: str | None = None,
        keys: Mapping[str, str] | None = None,
        timeout: TimeoutChoice = None,
        deadline: float | None = None,
        retry: bool | int | Retry | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: httpx.AsyncClient | None = None,
        transport: TransportKind | None = None,
        max_connections: int = MAX_CONNECTIONS,
        max_event_bytes: int = MAX_EVENT_BYTES,
        semconv: Semconv | None = None,
        sandbox: bool | Sandbox | None = None,
        local: LocalOptions | None = None,
        **unknown: Never,
    ) -> None:
        for name in unknown:
            known = {"token", "keys", *DEFAULT_NAMES, *CONNECTION_NAMES}
            raise unknown_option(name, known, where="Client", elsewhere=OF_A_CHAT)
        settings = Settings.from_environment()
        if _sandbox_asked_for(sandbox, settings, http_client):
            from hfclient.sandbox.entrance import enter  # noqa: PLC0415  only where it is asked for

            settings, token, http_client = enter(sandbox, settings, token, http_client, transport)
        given = (provider, model, bill_to, base_url, timeout, deadline, retry, headers)
        named = zip(DEFAULT_NAMES, given, strict=True)
        defaults = Defaults().changed({name: value for name, value in named if value is not None})
        kind = cast("TransportKind", one_of("transport", transport, TRANSPORTS)) if transport else settings.transport
        connections = Transport(
            kind=kind,
            http_client=_http_client(http_client, transport),
            max_connections=whole("max_connections", max_connections),
            network=settings.network,
        )
        names = cast("Semconv", one_of("semconv", semconv, SEMCONVS)) if semconv else settings.semconv
        shared = Shared.anew(
            settings, connections, checked_options(local), names, whole("max_event_bytes", max_event_bytes)
        )
        self._become(defaults, _given_keys(token, defaults, {} if keys is None else keys), shared)

    @classmethod
    def endpoint(cls, url: str, token: str | None = None, **options: Unpack[EndpointOptions]) -> Self:
        """A client for one address, such as an Inference Endpoint or a server of your own.

        >>> client = Client.endpoint("http://localhost:8080/v1")
        """
        return cls(token, base_url=url, **cast("dict[str, Any]", options))

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """A copy with other defaults that shares the connections.

        >>> fast = client.with_options(provider="groq", timeout=20)
        """
        for name in options:
            if name in CONNECTION_NAMES:
                raise InputError(
                    f"{name} belongs to the connections, which copies share.", advice="Make a new Client with it."
                )
            if name not in {"token", "keys", *DEFAULT_NAMES}:
                known = {"token", "keys", *DEFAULT_NAMES}
                raise unknown_option(name, known, where="with_options", elsewhere=OF_A_CHAT)
        defaults = self._defaults.changed(options)
        keys = self._keys.changed(options, provider=_only(defaults), base_url=defaults.base_url)
        copy = object.__new__(type(self))
        copy._become(defaults, keys, self._shared)
        return copy

    def _become(self, defaults: Defaults, keys: Keys, shared: Shared) -> None:
        for name in keys.by_provider:
            if shared.registry.find(name) is None:
                raise unknown_provider(name, shared.registry.names())
        for name in defaults.providers:
            if name != "auto" and shared.registry.find(name) is None:
                raise unknown_provider(name, [*shared.registry.names(), "auto"])
        redact = Redactor(secret.reveal() for secret in keys.secrets())
        router = Router(shared.settings, keys, shared.registry, shared.catalogue, shared.login.token)
        remote = Remote(shared.transport, redact, shared.max_event_bytes)
        parts = {
            "_defaults": defaults,
            "_keys": keys,
            "_shared": shared,
            "dispatcher": Dispatcher(router, remote, shared.sides, shared.semconv),
            "models": Models(router),
            "local": Local(router, shared.sides),
        }
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    @property
    def defaults(self) -> Defaults:
        """What calls are made with unless they say otherwise."""
        return self._defaults

    @property
    def chat(self) -> Chat:
        """`client.chat(...)`, `.stream(...)`, `.parse(...)` and `.completions.create(...)`."""
        return Chat(self)

    audio_classification = tasks.audio_classification
    audio_to_audio = tasks.audio_to_audio
    automatic_speech_recognition = tasks.automatic_speech_recognition
    chat_completion = tasks.chat_completion
    chat_completion_stream = tasks.chat_completion_stream
    chat_parse = tasks.chat_parse
    document_question_answering = tasks.document_question_answering
    feature_extraction = tasks.feature_extraction
    fill_mask = tasks.fill_mask
    image_classification = tasks.image_classification
    image_segmentation = tasks.image_segmentation
    image_text_to_image = tasks.image_text_to_image
    image_text_to_video = tasks.image_text_to_video
    image_to_image = tasks.image_to_image
    image_to_text = tasks.image_to_text
    image_to_video = tasks.image_to_video
    object_detection = tasks.object_detection
    question_answering = tasks.question_answering
    sentence_similarity = tasks.sentence_similarity
    summarization = tasks.summarization
    table_question_answering = tasks.table_question_answering
    tabular_classification = tasks.tabular_classification
    tabular_regression = tasks.tabular_regression
    text_classification = tasks.text_classification
    text_generation = tasks.text_generation
    text_generation_stream = tasks.text_generation_stream
    text_to_audio = tasks.text_to_audio
    text_to_image = tasks.text_to_image
    text_to_speech = tasks.text_to_speech
    text_to_video = tasks.text_to_video
    token_classification = tasks.token_classification
    translation = tasks.translation
    visual_question_answering = tasks.visual_question_answering
    zero_shot_classification = tasks.zero_shot_classification
    zero_shot_image_classification = tasks.zero_shot_image_classification

    submit = anything.submit
    request = anything.request

    @overload
    def map(
        self,
        function: Callable[[ItemT], Awaitable[T]],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        concurrency: int = ...,
        on_error: Literal["raise"] = ...,
    ) -> Mapped[T]: ...

    @overload
    def map(
        self,
        function: Callable[[ItemT], Awaitable[T]],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        concurrency: int = ...,
        on_error: OnError,
    ) -> Mapped[T | Exception]: ...

    def map(
        self,
        function: Callable[[ItemT], Awaitable[T]],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        concurrency: int = 8,
        on_error: OnError = "raise",
    ) -> Mapped[T | Exception]:
        """Call an async function with each item, up to `concurrency` at once, and give the results in the items' order.

        >>> async for reply in client.map(client.chat, ["Why is the sky blue?", "Count to five."]):
        ...     print(reply.text)

        Items are drawn as results are read: at most `concurrency` are in hand, so their source may be endless; one that
        is not async is stepped on the event loop. The first failure is raised and ends the rest; with
        `on_error="return"` exceptions are given in place of results.
        """
        return Mapped(function, items, concurrency=concurrency, on_error=on_error)

    def providers(self, task: str | None = None) -> dict[str, tuple[str, ...]]:
        """The providers that hfclient knows and the tasks it can call each for; with a task, those that serve it.

        >>> client.providers("chat")["groq"]
        """
        return self._shared.registry.serving(checked_text("task", task))

    async def aclose(self) -> None:
        """Close the connections, those of its copies too, and whatever providers run in this process."""
        try:
            await self._shared.sides.aclose()
        finally:
            await self._shared.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        redact = Redactor(secret.reveal() for secret in self._keys.secrets())
        keys = ["token=…"] if self._keys.token else []
        if self._keys.by_provider:
            keys.append(f"keys={sorted(self._keys.by_provider)!r}")
        return redact(f"Client({', '.join([*keys, *_shown(self._defaults)])})")

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        msg = f"a Client is frozen; use with_options({name}=…)"
        raise AttributeError(msg)

    __delattr__ = __setattr__

    def __reduce__(self) -> NoReturn:
        msg = "a Client holds keys and connections, so it cannot be pickled; make one where it is needed"
        raise TypeError(msg)


def _shown(defaults: Defaults) -> Iterator[str]:
    """What differs from the defaults that every client begins with."""
    for name in ("providers", "model", "bill_to", "base_url", "timeout", "deadline", "retry"):
        value, usual = getattr(defaults, name), getattr(Defaults(), name)
        if value == usual:
            continue
        if name == "providers":
            yield f"provider={(value[0] if len(value) == 1 else list(value))!r}"
        elif name in {"timeout", "retry"}:
            yield f"{name}={_changed_parts(value, usual)}"
        else:
            yield f"{name}={safe_url(value) if name == 'base_url' else value!r}"


def _changed_parts(value: Any, usual: Any) -> str:
    pairs = [(part.name, getattr(value, part.name)) for part in fields(value)]
    changed = [f"{name}={_plain(each)!r}" for name, each in pairs if each != getattr(usual, name)]
    return f"{type(value).__name__}({', '.join(changed)})"


def _plain(value: Any) -> Any:
    return set(value) if isinstance(value, frozenset) else value  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


def _given_keys(token: str | None, defaults: Defaults, keys: Mapping[str, str]) -> Keys:
    return Keys.given(token, provider=_only(defaults), base_url=defaults.base_url, keys=keys)


def _only(defaults: Defaults) -> str | None:
    return defaults.providers[0] if len(defaults.providers) == 1 else None


def _http_client(given: Any, transport: TransportKind | None) -> httpx.AsyncClient | None:
    if given is not None and transport:
        raise InputError("http_client= and transport= exclude each other.", advice="Leave out transport=.")
    if given is None or isinstance(given, httpx.AsyncClient):
        return given
    raise InputError(f"http_client must be an httpx.AsyncClient, not {type(given).__module__}.{type(given).__name__}.")


def _sandbox_asked_for(sandbox: object, settings: Settings, http_client: object) -> bool:
    """Whether calls go into a sandbox: said here, said for every client around, or said by the environment."""
    if sandbox is not None:
        return sandbox is not False
    return http_client is None and (settings.sandbox or "hfclient.sandbox" in sys.modules)
