"""Every task function: what it makes of its arguments, of the answer, and of what goes wrong."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import anyio
import anyio.lowlevel
import httpx
import huggingface_hub
import pytest
from pydantic import BaseModel
from typing_extensions import is_typeddict

import hfclient
from hfclient import Client, tasks
from hfclient.errors import (
    BadRequestError,
    DeadlineError,
    InputError,
    ModelLoadingError,
    NoProviderError,
    ResponseError,
    ServerError,
)
from hfclient.flow import Progress
from hfclient.media import Media
from hfclient.tasks.arguments import call_of
from tests.rows import FILES, FORMS, FUNCTIONS, HOST, KEY, MODEL, OF_MEDIA, ROWS, Service, ask, asking, each_task

pytestmark = pytest.mark.anyio


def content_of(result: Any) -> Any:
    """A result as it compares: two answers are not the same for saying the same, since each has its own meta."""
    return (type(result), result.model_dump()) if isinstance(result, BaseModel) else result


# The functions themselves.


def test_every_task_has_its_row() -> None:
    """Nothing is left out of these tests."""
    assert ROWS.keys() == FUNCTIONS.keys()
    assert len(ROWS) == 31


@pytest.mark.parametrize("name", [*sorted(ROWS), "text_generation_stream"])
def test_a_method_is_the_function(name: str) -> None:
    """`client.text_to_image` and `hfclient.text_to_image` are one function, with a docstring that shows it."""
    function = getattr(tasks, name)
    assert vars(Client)[name] is function is getattr(hfclient, name)
    assert f">>> {'async with ' if name.endswith('stream') else ''}" in (function.__doc__ or "")
    assert f"client.{name}(" in (function.__doc__ or "")


NOT_HERE = {
    "stream": "what streams is a function of its own",
    "extra_body": "an option that every call takes",
    "kwargs": "no way to misspell a parameter without being told",
}


@each_task
def test_parameters_are_called_as_huggingface_hub_calls_them(name: str) -> None:
    """Whoever comes from InferenceClient finds the same names, in the same order where the name may be left out."""
    theirs = getattr(huggingface_hub.AsyncInferenceClient, name, None)
    if theirs is None:
        assert name in {"image_text_to_image", "image_text_to_video", "text_to_audio"}
        return
    _, *parameters = inspect.signature(theirs).parameters.values()
    _, *own = inspect.signature(FUNCTIONS[name]).parameters.values()

    def positional(row: Sequence[inspect.Parameter]) -> list[tuple[str, bool]]:
        kept = [each for each in row if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        return [(each.name, each.default is inspect.Parameter.empty) for each in kept]

    assert positional(own) == positional(parameters)
    known = {*FORMS[name].types, "model"}
    assert {each.name for each in parameters} - known <= NOT_HERE.keys()


@each_task
def test_at_most_two_arguments_go_without_their_names(name: str) -> None:
    """What a third argument would be, nobody could read."""
    _, *own = inspect.signature(FUNCTIONS[name]).parameters.values()
    assert len([each for each in own if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]) <= 2
    assert all(each.default is None for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY)


# Request and result.


@each_task
async def test_arguments_become_a_call(name: str) -> None:
    """What has no default is the call's inputs, one alone or several by name; what is not given is not there."""
    row = ROWS[name]
    async with asking(Service(row.response)) as client:
        bound = inspect.signature(FUNCTIONS[name]).bind(client, *row.arguments)
        bound.apply_defaults()
        call = call_of(FUNCTIONS[name], bound.arguments)
    assert (call.task, call.model) == (name.replace("_", "-"), MODEL)
    assert (call.inputs, dict(call.parameters)) == (row.inputs, row.parameters)


@each_task
async def test_a_call_is_one_request_and_one_result(name: str) -> None:
    """The request is the task's own, and the answer comes back as the task's type, with its meta."""
    service = Service(ROWS[name].response)
    result = await ask(service, name, *ROWS[name].arguments)
    assert service.body == ROWS[name].body
    assert (service.request.method, str(service.request.url)) == ("POST", f"{HOST}/")
    assert service.request.headers["authorization"] == f"Bearer {KEY}"
    assert type(result) is type(ROWS[name].result)
    assert content_of(result) == content_of(ROWS[name].result)
    assert (result.meta.provider, result.meta.model, result.meta.status) == ("endpoint", MODEL, 200)


@each_task
async def test_the_function_does_what_the_method_does(name: str) -> None:
    """`await hfclient.text_to_image(client, …)`, and arguments by their names."""
    service = Service(ROWS[name].response)
    row = ROWS[name]
    signature = inspect.signature(FUNCTIONS[name])
    async with asking(service) as client:
        named = dict(signature.bind(client, *row.arguments).arguments)
        result = await FUNCTIONS[name](**named)
    assert (service.body, content_of(result)) == (row.body, content_of(row.result))


@each_task
async def test_a_refusal_says_where(name: str) -> None:
    """An error of the service is typed, and knows provider, model and task."""
    with pytest.raises(BadRequestError, match="not today") as caught:
        await ask(Service(422), name, *ROWS[name].arguments)
    told = caught.value
    assert (told.provider, told.model, told.task) == ("endpoint", MODEL, name.replace("_", "-"))
    assert KEY not in repr(vars(told)) + str(told)


@each_task
async def test_an_answer_of_another_kind_is_an_error(name: str) -> None:
    """Success with something else in it is no success."""
    for odd in (httpx.Response(200, json={"error": "odd"}), httpx.Response(200, html="<html>Sign in</html>")):
        with pytest.raises(ResponseError):
            await ask(Service(odd), name, *ROWS[name].arguments)


@each_task
async def test_a_call_can_be_cancelled(name: str) -> None:
    """Cancelling comes through at once, and nothing is asked again."""
    service = Service(ROWS[name].response)

    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        service.pause = cancel
        await ask(service, name, *ROWS[name].arguments)
    assert scope.cancelled_caught
    assert len(service.requests) == 1


@pytest.mark.parametrize("name", OF_MEDIA)
async def test_media_may_be_given_in_every_form(name: str, tmp_path: Path) -> None:
    """Bytes, an open file, a path as `Path` or text, a data: URL, an address, `Media`: the same goes out."""
    row = ROWS[name]
    content = row.arguments[0]
    (tmp_path / "media").write_bytes(content)
    encoded = f"data:;base64,{base64.b64encode(content).decode()}"
    forms = [bytearray(content), tmp_path / "media", str(tmp_path / "media"), encoded, Media(content)]
    with (tmp_path / "media").open("rb") as file:
        for media in (*forms, file, "https://files.example/media"):
            service = Service(row.response)
            if isinstance(media, str) and media.startswith("https"):
                service = Service(httpx.Response(200, content=content), row.response)
            await ask(service, name, media, *row.arguments[1:])
            sent = service.requests[-1]
            body = json.loads(sent.content) if isinstance(row.body, dict) else sent.content
            assert body == row.body
            assert [request.headers.get("authorization") for request in service.requests[:-1]] in ([], [None])


# Parameters.

GOVERNS_REQUESTS = {"batch_size"}  # how many texts go into one request, so it is in none
TOGETHER = {"src_lang": {"tgt_lang": "fr"}, "tgt_lang": {"src_lang": "en"}}


def values_for(hint: Any) -> Iterator[Any]:
    """A value of each kind that an annotation allows, None aside."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        for part in parts:
            yield from values_for(part)
    elif origin is Annotated:
        yield from values_for(parts[0])
    elif origin is Literal:
        yield from parts
    elif is_typeddict(hint):
        yield dict.fromkeys(hint.__annotations__, 7)
    elif origin in {Sequence, Mapping}:
        inner = next(values_for(parts[-1]))
        yield [inner, inner] if origin is Sequence else {"inner": inner}
    elif hint is not NoneType:
        yield from {int: [7], float: [0.5, 3], str: ["some words"], bool: [True, False], Any: [[1, "x", None]]}[hint]


def told(body: Any, name: str) -> list[Any]:
    """What is said under this name, wherever in the body."""
    if isinstance(body, list):
        return [found for each in body for found in told(each, name)]
    if not isinstance(body, dict):
        return []
    here = [body[name]] if name in body else []
    return here + [found for key, each in body.items() if key != name for found in told(each, name)]


@each_task
async def test_every_parameter_reaches_the_wire(name: str) -> None:
    """Nothing is accepted and ignored: each value that a signature allows is sent under its name, as it is."""
    form = FORMS[name]
    for parameter in form.types.keys() - set(form.inputs) - GOVERNS_REQUESTS:
        given = list(values_for(form.types[parameter]))
        assert given
        for value in given:
            service = Service(ROWS[name].response)
            row = ROWS[name].arguments[: len(form.inputs)]
            await ask(service, name, *row, **{parameter: value}, **TOGETHER.get(parameter, {}))
            assert told(service.body, parameter) == [value], parameter


@each_task
async def test_parameters_that_are_none_are_not_sent(name: str) -> None:
    """None is as good as nothing, for parameters and options alike."""
    form = FORMS[name]
    nothing = dict.fromkeys((*form.types.keys() - set(form.inputs), *form.options, "model"))
    nothing |= {key: value for key, value in ROWS[name].parameters.items() if key in nothing}
    nothing["base_url"] = HOST
    service = Service(ROWS[name].response)
    await ask(service, name, *ROWS[name].arguments[: len(form.inputs)], **nothing)
    assert service.body == ROWS[name].body


@each_task
async def test_a_parameter_of_a_wrong_type_is_told(name: str) -> None:
    """The message names function, argument, what was given and what would do; nothing is sent."""
    form = FORMS[name]
    for parameter, hint in form.types.items():
        if parameter in form.inputs or hint is Any:
            continue
        service = Service(ROWS[name].response)
        wrong = object() if Any not in get_args(hint) else 3
        with pytest.raises(InputError, match=rf"^{name}: {parameter}=.* is not ") as caught:
            await ask(service, name, *ROWS[name].arguments[: len(form.inputs)], **{parameter: wrong})
        assert not service.requests
        assert len(caught.value.message) < 200


# Options.


@each_task
async def test_options_reach_the_wire(name: str) -> None:
    """Headers, query, body, model, address and time limit of one call are those of its request."""
    service = Service(ROWS[name].response)
    result = await ask(
        service,
        name,
        *ROWS[name].arguments,
        model="other/model",
        base_url="https://other.example/deep",
        provider="auto",
        timeout=7,
        extra_headers={"x-trace": "1"},
        extra_query={"page": 2},
        extra_body={"further": {"deep": True}},
    )
    assert str(service.request.url) == "https://other.example/deep?page=2"
    assert service.request.headers["x-trace"] == "1"
    assert service.request.headers.get("authorization") is None  # it is another address, whose key nobody gave
    assert service.request.extensions["timeout"]["read"] == 7
    assert told(service.body, "further") == [{"deep": True}]
    assert result.meta.model == "other/model"


@each_task
async def test_a_named_provider_is_asked(name: str) -> None:
    """`provider=` decides, and one that does not serve the task, or is not there at all, is told."""
    task = name.replace("_", "-")
    asked: list[str] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.host == "huggingface.co":
            return httpx.Response(200, json={"id": MODEL, "inferenceProviderMapping": {}})
        return ROWS[name].response

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as http_client:
        client = Client(KEY, model=MODEL, http_client=http_client)
        with pytest.raises(InputError, match="no provider 'nobody'"):
            await getattr(client, name)(*ROWS[name].arguments, provider="nobody")
        with pytest.raises(NoProviderError, match=f"groq does not serve {task}"):
            await getattr(client, name)(*ROWS[name].arguments, provider="groq")
        if name in {"image_text_to_image", "image_text_to_video", "image_to_video", "text_to_video"}:
            return  # an endpoint may serve it, hf-inference does not
        if name != "text_generation":  # which speaks another protocol there
            result = await getattr(client, name)(*ROWS[name].arguments, provider="hf-inference")
            assert content_of(result) == content_of(ROWS[name].result)
            assert asked[-1].startswith(f"/hf-inference/models/{MODEL}")


@each_task
async def test_retries_are_as_many_as_asked(name: str, pauses: list[float]) -> None:
    """A service that is not ready is asked again, a file from disk being sent anew; `retry=False` asks once."""
    service = Service(503, 503, ROWS[name].response)
    result = await ask(service, name, *ROWS[name].arguments, retry=3)
    assert [attempt.status for attempt in result.meta.attempts] == [503, 503, 200]
    assert len({request.content for request in service.requests}) == 1
    service = Service(503, ROWS[name].response)
    with pytest.raises(ModelLoadingError):
        await ask(service, name, *ROWS[name].arguments, retry=False)
    assert len(pauses) == 2


@each_task
async def test_a_deadline_ends_the_call(name: str) -> None:
    """Whatever the call waits for, it is over."""
    service = Service(ROWS[name].response)
    service.pause = anyio.sleep_forever
    with pytest.raises(DeadlineError, match=r"0\.01 s") as caught:
        await ask(service, name, *ROWS[name].arguments, deadline=0.01)
    assert caught.value.task == name.replace("_", "-")


@each_task
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("provider", 3),
        ("timeout", -1),
        ("deadline", 0),
        ("retry", "often"),
        ("extra_headers", ["x"]),
        ("extra_query", "a=b"),
        ("extra_query", []),
        ("extra_body", []),
        ("on_progress", "print"),
        ("on_progress", anyio.sleep),
        ("model", ""),
        ("base_url", "nowhere"),
        ("bill_to", 7),
    ],
)
async def test_options_are_checked(name: str, option: str, value: Any) -> None:
    """An option that makes no sense is told by its name, and nothing is sent."""
    service = Service(ROWS[name].response)
    with pytest.raises(InputError, match=option.removeprefix("extra_")):
        await ask(service, name, *ROWS[name].arguments, **{option: value})
    assert not service.requests


async def test_a_listener_that_must_be_awaited_is_refused() -> None:
    """An object that is called like a coroutine function would never be awaited."""

    class Listener:
        async def __call__(self, progress: Progress) -> None: ...

    with pytest.raises(InputError, match=r"on_progress=.* is not a plain function"):
        await ask(Service(200), "text_to_image", "a cat", on_progress=Listener())


# Files.


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_saved_where_it_is_wanted(name: str, tmp_path: Path) -> None:
    """`save_to=` puts the result there, whole; it says where it is, and reads its content from there."""
    row = ROWS[name]
    target = tmp_path / "result"
    for place in (target, str(target)):
        result = await ask(Service(row.response), name, *row.arguments, save_to=place, max_download_bytes=100)
        assert (result.path, result.content, target.read_bytes()) == (target, row.answer, row.answer)
        assert (result.media_type, result.meta.model) == (row.result.media_type, MODEL)
        assert names_in(tmp_path) == ["result"]


@each_task
async def test_only_a_file_can_be_saved(name: str, tmp_path: Path) -> None:
    """Where there is no file to be saved, or none to be bounded, the options are refused, not ignored."""
    options: dict[str, Any] = {"save_to": tmp_path / "x", "max_download_bytes": 10_000}
    for option, value in options.items():
        service = Service(ROWS[name].response)
        if name in FILES:
            await ask(service, name, *ROWS[name].arguments, **{option: value})
            continue
        with pytest.raises(InputError, match=f"{name} takes no option '{option}'") as caught:
            await ask(service, name, *ROWS[name].arguments, **{option: value})
        assert "results that are one file" in caught.value.advice
        assert not service.requests


@pytest.mark.parametrize("name", FILES)
async def test_a_place_where_nothing_can_be_saved_is_told_before(name: str, tmp_path: Path) -> None:
    """A missing folder, a directory, or no path at all, is told before anything is paid for."""
    for place, said in ((tmp_path / "missing" / "x", "no directory"), (tmp_path, "is a directory"), ("", "not a path")):
        service = Service(ROWS[name].response)
        with pytest.raises(InputError, match=said):
            await ask(service, name, *ROWS[name].arguments, save_to=place)
        assert not service.requests
    with pytest.raises(InputError, match="max_download_bytes=0"):
        await ask(Service(200), name, *ROWS[name].arguments, max_download_bytes=0)


@pytest.mark.parametrize("name", FILES)
async def test_a_call_that_fails_leaves_no_file(name: str, tmp_path: Path) -> None:
    """Neither a refusal nor a cancelled call leaves half a file, nor touches the one that was there."""
    target = tmp_path / "result"
    target.write_bytes(b"before")
    with pytest.raises(ServerError):
        await ask(Service(500), name, *ROWS[name].arguments, save_to=target)
    service = Service(ROWS[name].response)
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()
            await anyio.lowlevel.checkpoint()

        service.pause = cancel
        await ask(service, name, *ROWS[name].arguments, save_to=target)
    assert (target.read_bytes(), names_in(tmp_path)) == (b"before", ["result"])
