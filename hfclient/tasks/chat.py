"""Chat: whole answers, streams, and answers read as a pydantic model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast, overload

from pydantic import BaseModel, ConfigDict, GetPydanticSchema, TypeAdapter, ValidationError
from typing_extensions import TypedDict, Unpack

from hfclient.assembly import ChatAssembly
from hfclient.call import Call, Options, unknown_option
from hfclient.defaults import OPTION_NAMES
from hfclient.errors import InputError
from hfclient.functions import as_tool, is_model
from hfclient.messages import normalise
from hfclient.stream import Stream
from hfclient.structured import as_response_format, parse_completion
from hfclient.tasks.arguments import OF_THE_CLIENT
from hfclient.types.chat import ChatCompletion, ChatCompletionChunk, ParsedChatCompletion
from hfclient.types.messages import Message

if TYPE_CHECKING:
    from hfclient.client import Client

ModelT = TypeVar("ModelT", bound=BaseModel)

Messages: TypeAlias = str | Sequence[Message]
Tool: TypeAlias = Mapping[str, Any] | Callable[..., Any]
ResponseFormat: TypeAlias = Mapping[str, Any] | type[BaseModel]
ChatStream: TypeAlias = Stream[ChatCompletionChunk, ChatCompletion]

# Any iterable may be given; it is made a list before its items are checked.
Tools: TypeAlias = Annotated[
    Iterable[Tool], GetPydanticSchema(lambda _source, handler: handler.generate_schema(Sequence[Tool]))
]

TASK = "conversational"


class ChatSettings(TypedDict, total=False):
    """What a model is told besides the messages, under OpenAI's names; None is not sent."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)  # type: ignore[misc]

    audio: Mapping[str, Any] | None
    frequency_penalty: float | None
    function_call: str | Mapping[str, Any] | None
    functions: Sequence[Mapping[str, Any]] | None
    logit_bias: Mapping[str | int, float] | Sequence[float] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    metadata: Mapping[str, str] | None
    min_p: float | None
    modalities: Sequence[str] | None
    moderation: Mapping[str, Any] | None
    n: int | None
    parallel_tool_calls: bool | None
    prediction: Mapping[str, Any] | None
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_options: Mapping[str, Any] | None
    prompt_cache_retention: str | None
    reasoning_effort: str | None
    repetition_penalty: float | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    stop: str | Sequence[str] | None
    store: bool | None
    stream_options: Mapping[str, Any] | None
    temperature: float | None
    tool_choice: str | Mapping[str, Any] | None
    tool_prompt: str | None
    tools: Tools | None
    top_k: int | None
    top_logprobs: int | None
    top_p: float | None
    user: str | None
    verbosity: str | None
    web_search_options: Mapping[str, Any] | None


class ChatOptions(ChatSettings, Options, total=False):
    """Everything a chat call takes besides messages, model and response format."""


_SETTINGS: TypeAdapter[ChatSettings] = TypeAdapter(ChatSettings)


async def chat_completion(
    client: Client,
    messages: Messages,
    *,
    model: str | None = None,
    response_format: ResponseFormat | None = None,
    **options: Unpack[ChatOptions],
) -> ChatCompletion:
    """Ask a chat model and wait for its whole answer.

    >>> reply = await client.chat("Why is the sky blue?", model="Qwen/Qwen3-32B", temperature=0.2)
    >>> print(reply.text, reply.usage, reply.meta.provider)
    """
    return cast("ChatCompletion", await client.dispatcher.run(_call(client, messages, model, response_format, options)))


def chat_completion_stream(
    client: Client,
    messages: Messages,
    *,
    model: str | None = None,
    response_format: ResponseFormat | None = None,
    **options: Unpack[ChatOptions],
) -> ChatStream:
    """Ask a chat model and read its answer as it is written.

    >>> async with client.chat.stream("Count to five") as stream:
    ...     async for chunk in stream:
    ...         print(chunk.text, end="")
    >>> final = await stream.final()
    """
    call = _call(client, messages, model, response_format, options, stream=True)
    return Stream(client.dispatcher, call, ChatAssembly())


async def chat_parse(
    client: Client,
    messages: Messages,
    *,
    response_format: type[ModelT],
    model: str | None = None,
    **options: Unpack[ChatOptions],
) -> ParsedChatCompletion[ModelT]:
    """Ask a chat model for an answer that fits a pydantic model; `.parsed` is the instance.

    >>> class City(BaseModel):
    ...     name: str
    ...     country: str
    >>> reply = await client.chat.parse("The capital of France?", response_format=City)
    >>> reply.parsed.name
    """
    if not is_model(response_format):
        raise InputError("chat.parse needs a pydantic model class as response_format.", advice="For a dict: chat(…).")
    call = _call(client, messages, model, response_format, options)
    parsed = await client.dispatcher.run(call, lambda completion: parse_completion(response_format, completion))
    return cast("ParsedChatCompletion[ModelT]", parsed)


class Chat:
    """The chat of one client: call it, or use `stream`, `parse` and `completions`."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """Ask a chat model and wait for its whole answer.

        Besides OpenAI's parameters (temperature, max_tokens, tools, stop, seed, …) a call takes provider, bill_to,
        base_url, timeout, deadline, retry, extra_headers, extra_query and extra_body.

        >>> reply = await client.chat("Why is the sky blue?", model="Qwen/Qwen3-32B")
        """
        return await chat_completion(self._client, messages, model=model, response_format=response_format, **options)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        """Ask a chat model and read its answer as it is written.

        >>> async with client.chat.stream("Count to five") as stream:
        ...     async for text in stream.text():
        ...         print(text, end="")
        """
        return chat_completion_stream(self._client, messages, model=model, response_format=response_format, **options)

    async def parse(
        self,
        messages: Messages,
        *,
        response_format: type[ModelT],
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> ParsedChatCompletion[ModelT]:
        """Ask a chat model for an answer that fits a pydantic model; `.parsed` is the instance.

        >>> reply = await client.chat.parse("The capital of France?", response_format=City)
        """
        return await chat_parse(self._client, messages, response_format=response_format, model=model, **options)

    @property
    def completions(self) -> Completions:
        """The place where the OpenAI SDK has it."""
        return Completions(self._client)


class Completions:
    """`create` as the OpenAI SDK has it, so that a snippet from a model's page runs here."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    @overload
    async def create(
        self,
        *,
        messages: str | Iterable[Message],
        model: str | None = None,
        stream: Literal[False] | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion: ...

    @overload
    async def create(
        self,
        *,
        messages: str | Iterable[Message],
        stream: Literal[True],
        model: str | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream: ...

    @overload
    async def create(
        self,
        *,
        messages: str | Iterable[Message],
        stream: bool,
        model: str | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion | ChatStream: ...

    async def create(
        self,
        *,
        messages: str | Iterable[Message],
        model: str | None = None,
        stream: bool | None = None,
        response_format: ResponseFormat | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion | ChatStream:
        """Ask a chat model; with `stream=True` the answer is a stream that has begun.

        >>> messages = [{"role": "user", "content": "Hi"}]
        >>> reply = await client.chat.completions.create(model="Qwen/Qwen3-32B", messages=messages)
        >>> reply.choices[0].message.content
        """
        stream, model = stream if _is_given(stream) else None, model if _is_given(model) else None
        response_format = response_format if _is_given(response_format) else None
        if not isinstance(stream, bool | None):
            raise InputError(f"stream={stream!r} is neither True nor False.")
        row, given = cast("Messages", _listed(messages)), _given(options)
        if not stream:
            return await chat_completion(self._client, row, model=model, response_format=response_format, **given)
        stream_of_it = chat_completion_stream(self._client, row, model=model, response_format=response_format, **given)
        return await stream_of_it.open()


def _call(
    client: Client,
    messages: Messages,
    model: str | None,
    response_format: ResponseFormat | None,
    options: ChatOptions,
    *,
    stream: bool = False,
) -> Call:
    """The arguments, checked, as a call."""
    general = cast("Options", {name: value for name, value in options.items() if name in OPTION_NAMES})
    parameters = {name: value for name, value in options.items() if name not in OPTION_NAMES}
    if parameters:
        parameters = {name: _listed(value) if name == "tools" else value for name, value in parameters.items()}
        _check(parameters)
    if tools := parameters.get("tools"):
        parameters["tools"] = [as_tool(tool) for tool in cast("Sequence[Tool]", tools)]
    if response_format is not None:
        parameters["response_format"] = as_response_format(response_format)
    return client.defaults.call(
        TASK, normalise(messages), model=model, parameters=parameters, options=general, stream=stream
    )


def _listed(value: Any) -> Any:
    """What can only be gone through once, as a list; what is no row of things stays, to be refused."""
    if isinstance(value, str | bytes | Mapping | Sequence | BaseModel) or not isinstance(value, Iterable):
        return cast("Any", value)
    return list(value)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


def _is_given(value: object) -> bool:
    """Whether this is more than one of the OpenAI SDK's words for nothing."""
    return type(value).__name__ not in {"NotGiven", "Omit"}


def _given(options: ChatOptions) -> ChatOptions:
    """The options without those, among the headers too."""
    given: dict[str, Any] = {name: value for name, value in options.items() if _is_given(value)}
    headers: object = given.get("extra_headers")
    if isinstance(headers, Mapping):
        pairs = cast("Mapping[object, object]", headers).items()
        given["extra_headers"] = {name: value for name, value in pairs if _is_given(value)}
    return cast("ChatOptions", given)


def _check(parameters: Mapping[str, Any]) -> None:
    """Names and types, before anything is sent; the values themselves go out as they were given."""
    try:
        _SETTINGS.validate_python(parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        if name == "stream":
            raise InputError(
                "chat takes no option 'stream'.",
                advice="Use client.chat.stream(…), or client.chat.completions.create(…, stream=True).",
            ) from None
        if first["type"] == "extra_forbidden":
            known = {*ChatSettings.__annotations__, *OPTION_NAMES, "model", "response_format"}
            raise unknown_option(name, known, where="chat", elsewhere=OF_THE_CLIENT) from None
        raise InputError(f"chat: {name} has the wrong type: {first['msg']}.") from None
