"""What is wrong with a task's arguments is told before anything is sent: what it is, where, and what to do."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import anyio
import anyio.to_thread
import httpx
import pytest

from hfclient import Client
from hfclient.errors import InputError, NoProviderError
from hfclient.tasks.arguments import Text, Texts
from hfclient.tasks.language import Table
from tests.internet import HF, Internet, live
from tests.rows import FORMS, OF_MEDIA, PNG, ROWS, Service, ask, asking, each_task

pytestmark = pytest.mark.anyio

TEXT, TEXTS, MAPPING = "is not a text", "is not a list", "is not a mapping"
MEDIA = "which is not media"
WRONG: dict[Any, list[tuple[Any, str]]] = {
    Text: [(None, TEXT), (3, TEXT), ("", "is empty"), (" \n", "is empty"), ([], TEXT), (["a"], TEXT), (b"a", TEXT)],
    Texts: [
        (None, TEXTS),
        (3, TEXTS),
        ("food", TEXTS),
        ([], "is empty"),
        ((), "is empty"),
        (["a", 3], r"\[1\]=3 is not a text"),
        (["a", ""], r"\[1\]='' is empty"),
        ({"a": 1}, TEXTS),
        ({"a", "b"}, TEXTS),
        ((each for each in "ab"), TEXTS),
    ],
    Text | Texts: [
        (None, "is not a text or a list"),
        (3, "is not a text or a list"),
        ("", "is empty"),
        ([], "is empty"),
        (["a", None], r"\[1\]=None is not a text"),
        (["a", "b", " "], r"\[2\]=' ' is empty"),
        (b"a", "is not a text or a list"),
    ],
    Table: [
        (None, MAPPING),
        ([["a"]], MAPPING),
        ({}, "is empty"),
        ({"a": []}, "is empty"),
        ({"a": 3}, r"\['a'\]=3 is not a list"),
        ({"a": "xyz"}, "has a text where a column should be"),
        ({"a": [1, 2], "b": [1]}, "has columns of different lengths"),
        ({3: [1]}, r"\[3\]=3 is not a text"),
    ],
}
NO_MEDIA: list[tuple[Any, str]] = [
    (3, MEDIA),
    ([], MEDIA),
    ([PNG], MEDIA),
    ({"url": "https://files.example/cat.png"}, MEDIA),
    (bytes, MEDIA),
    ("", "no place that media can be read from"),
    ("ftp://files.example/cat.png", "no place that media can be read from"),
    (b"", "is empty"),
    (bytearray(), "is empty"),
    (io.StringIO("text"), "a file opened as text"),
]


def with_argument(name: str, place: int, value: Any) -> list[Any]:
    """A task's arguments, one of them exchanged; a prompt that would do instead of media is left out."""
    arguments = list(ROWS[name].arguments[: len(FORMS[name].inputs)])
    arguments[place] = value
    return arguments


@each_task
async def test_inputs_are_checked(name: str) -> None:
    """A wrong type, nothing, an empty text or list, or a list of wrong things: function and argument are named."""
    form = FORMS[name]
    for place, argument in enumerate(form.inputs):
        hint = form.types[argument]
        may_be_none = NoneType in get_args(hint)
        for wrong, said in WRONG.get(hint) or [*NO_MEDIA, (None, "there is neither" if may_be_none else MEDIA)]:
            service = Service(ROWS[name].response)
            with pytest.raises(InputError, match=said) as caught:
                await ask(service, name, *with_argument(name, place, wrong))
            assert caught.value.message.startswith(f"{name}: {'' if said.startswith('there is') else argument}")
            assert not service.requests


async def test_nothing_to_begin_with() -> None:
    """Where a picture may be left out, a prompt must be there instead."""
    for name in ("image_text_to_image", "image_text_to_video"):
        for prompt in ((), ("",), (None,)):
            with pytest.raises(InputError, match=f"{name}: there is neither image nor prompt") as caught:
                await ask(Service(200), name, None, *prompt)
            assert caught.value.advice == "Pass one of the two, or both."


@pytest.mark.parametrize("name", OF_MEDIA)
async def test_media_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    """A file that is missing or empty, a directory, a file read to its end, a broken data: URL: nothing is sent, the
    error says which it is, and what to do about it."""
    (tmp_path / "empty.png").touch()
    at_its_end = io.BytesIO(PNG)
    at_its_end.read()
    cases = [
        (tmp_path / "missing.png", "There is no file", "Looked for"),
        (str(tmp_path / "missing.png"), "There is no file", "Looked for"),
        (tmp_path, "is a directory", "Pass the path of a file"),
        (tmp_path / "empty.png", "is empty", "Pass media that has bytes in it"),
        (io.BytesIO(), "is empty", r"rewind it with .seek(0)"),
        (at_its_end, "is empty", r"rewind it with .seek(0)"),
        ("data:image/png;base64", "has no comma", "A data: URI reads"),
        ("data:image/png;base64,?", "is not valid base64", ""),
    ]
    for media, said, advice in cases:
        service = Service(ROWS[name].response)
        with pytest.raises(InputError, match=said) as caught:
            await ask(service, name, media, *ROWS[name].arguments[1:])
        assert advice in caught.value.advice
        assert caught.value.task == name.replace("_", "-")
        assert not service.requests


@pytest.mark.parametrize("name", OF_MEDIA)
@pytest.mark.parametrize("answer", [404, 403, httpx.Response(200, content=b"")], ids=["404", "403", "empty"])
async def test_media_at_an_address_where_there_is_none(name: str, answer: Any) -> None:
    """The address is told, without what may be a key in it, and the task is not begun."""
    service = Service(answer)
    with pytest.raises(InputError, match=r"https://files\.example/cat\.png") as caught:
        await ask(service, name, "https://files.example/cat.png?token=hf_fake_signed_0123", *ROWS[name].arguments[1:])
    assert [request.url.host for request in service.requests] == ["files.example"]
    assert "hf_fake_signed" not in str(caught.value)


@each_task
async def test_a_misspelt_option_is_told_with_what_was_meant(name: str) -> None:
    """A slip gets a hint, what belongs to the client is sent there, and what only a provider knows to its place."""
    service = Service(ROWS[name].response)
    for option, said in (
        ("modle", "Did you mean 'model'?"),
        ("timeuot", "Did you mean 'timeout'?"),
        ("extra_haeders", "Did you mean 'extra_headers'?"),
        ("headers", "Did you mean 'extra_headers'?"),
        ("token", "It belongs to the client: Client(token)"),
        ("api_key", "It belongs to the client: Client(token)"),
        ("transport", "It belongs to the client: Client(transport=…)"),
        ("semconv", "It belongs to the client: Client(semconv=…)"),
        ("stream", "a function of its own"),
        ("qqq", "What only a provider knows goes into extra_body={…}."),
    ):
        with pytest.raises(InputError, match=f"{name} takes no option '{option}'") as caught:
            await ask(service, name, *ROWS[name].arguments, **{option: "x"})
        assert said in caught.value.advice
    assert not service.requests


async def test_slips_in_parameters() -> None:
    """The hint is taken from the task's own parameters, and from what others call them."""
    cases = [
        ("text_to_image", {"heigth": 3}, "'height'"),
        ("text_generation", {"max_tokens": 3}, "'max_new_tokens'"),
        ("text_classification", {"topk": 3}, "'top_k'"),
        ("text_to_speech", {"temprature": 3}, "'temperature'"),
    ]
    for name, options, meant in cases:
        with pytest.raises(InputError) as caught:
            await ask(Service(200), name, *ROWS[name].arguments, **options)
        assert f"Did you mean {meant}?" in caught.value.advice


async def test_what_is_wrong_within_a_parameter() -> None:
    """The place within is told, and each of several types that would do."""
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("image_to_image", {"target_size": {"width": 3}}, "target_size['height'] is missing"),
        ("image_to_image", {"target_size": {"width": 3, "height": 4, "x": 1}}, "target_size['x'] is not known"),
        ("image_to_image", {"target_size": {"width": "3", "height": 4}}, "target_size['width']='3' is not a whole"),
        ("text_generation", {"stop": ["a", 3]}, "stop[1]=3 is not a text"),
        ("text_generation", {"stop": "END"}, "stop='END' is not a list"),
        ("text_generation", {"temperature": float("nan")}, "temperature=nan is not a finite number"),
        ("text_to_image", {"height": 512.0}, "height=512.0 is not a whole number"),
        ("text_to_image", {"seed": True}, "seed=True is not a whole number"),
        ("text_classification", {"function_to_apply": "sofmax"}, "is not 'sigmoid', 'softmax' or 'none'"),
        ("text_to_video", {"negative_prompt": 3}, "negative_prompt=3 is not a text or a list"),
        ("text_to_image", {"negative_prompt": b"x" * 10_000}, "is not a text"),
    ]
    for name, options, said in cases:
        with pytest.raises(InputError) as caught:
            await ask(Service(200), name, *ROWS[name].arguments, **options)
        assert caught.value.message.startswith(f"{name}: ")
        assert said in caught.value.message
        assert len(caught.value.message) < 200


async def test_what_json_cannot_say_is_told() -> None:
    """A value that nothing here can check is refused where it is written down, before it is sent."""
    service = Service(200)
    for extra in ({"x": object()}, {"x": float("inf")}, {"x": Path("cat.png")}):
        with pytest.raises(InputError, match="cannot be written as JSON"):
            await ask(service, "text_to_image", "a cat", extra_body=extra)
    assert not service.requests


async def test_a_stream_of_text_is_checked_before_it_is_opened() -> None:
    """`text_generation_stream` says at once what is wrong, under its own name."""
    async with asking(Service(200)) as client:
        with pytest.raises(InputError, match="text_generation_stream: prompt='' is empty"):
            client.text_generation_stream("")
        with pytest.raises(InputError, match="text_generation_stream takes no option 'max_tokns'"):
            client.text_generation_stream("Once", max_tokns=3)  # type: ignore[call-arg]


# Tasks by their names.


async def test_request_is_checked() -> None:
    """`request` has no signature to go by, but what it has is checked as everywhere."""
    service = Service(200)
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("", "x"), {}, "request: task='' is not the name of a task"),
        ((3, "x"), {}, "request: task=3 is not the name of a task"),
        (("depth-estimation", None), {}, "request: there are no inputs"),
        (("depth-estimation", " "), {}, "request: there are no inputs"),
        (("depth-estimation", b""), {}, "request: inputs is empty"),
        (("depth-estimation", "x", [1]), {}, "request: parameters is of type list, not a mapping"),
        (("depth-estimation", "x"), {"token": "x"}, "request takes no option 'token'"),
        (("depth-estimation", "x"), {"save_to": "x"}, "request takes no option 'save_to'"),
        (("depth-estimation", "x"), {"timout": 3}, "request takes no option 'timout'"),
    ]
    for arguments, options, said in cases:
        with pytest.raises(InputError) as caught:
            await ask(service, "request", *arguments, **options)
        assert said in caught.value.message
    assert not service.requests


async def test_request_asks_in_the_provider_s_own_words(tmp_path: Path) -> None:
    """Inputs and parameters go out as they are, media as the body or in base64, and the answer comes as it is."""
    (tmp_path / "cat.png").write_bytes(PNG)
    for inputs, parameters, sent in (
        ("a text", None, {"inputs": "a text"}),
        ({"deep": [1]}, {"a": {"b": None}}, {"inputs": {"deep": [1]}, "parameters": {"a": {"b": None}}}),
        (tmp_path / "cat.png", {}, PNG),
    ):
        service = Service(httpx.Response(200, json={"depth": [1]}))
        answer = await ask(service, "request", "depth_estimation", inputs, parameters, model="other/model")
        assert service.body == sent
        assert (answer.json(), answer.media_type) == ({"depth": [1]}, "application/json")
        assert (answer.meta.provider, answer.meta.model) == ("endpoint", "other/model")


async def test_request_needs_no_row_for_its_task() -> None:
    """A provider that was named, and serves the model for anything, is asked: it knows best what else it does."""
    with Internet() as internet:
        internet.serves("org/model", {"hf-inference": live("org/model", "feature-extraction")})
        internet.at("router/hf-inference", httpx.Response(200, json=[1]))
        async with Client(HF, model="org/model", provider="hf-inference") as client:
            assert (await client.request("image-feature-extraction", b"picture")).json() == [1]
            with pytest.raises(NoProviderError, match="is not for fill-mask, but for feature-extraction"):
                await client.fill_mask("Hello <mask>")
        assert internet.asked == ["hub", "router/hf-inference"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_nothing_is_read_while_the_loop_waits(tmp_path: Path) -> None:
    """A file is opened in a worker thread: a named pipe that nobody writes to holds up one call, and not the rest."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    service = Service(ROWS["image_to_text"].response)
    async with asking(service) as client, anyio.create_task_group() as group:
        group.start_soon(client.image_to_text, pipe)
        assert (await client.image_to_text(PNG)).text == "a cat"
        assert len(service.requests) == 1
        await anyio.to_thread.run_sync(pipe.write_bytes, PNG)
    assert [request.content for request in service.requests] == [PNG, PNG]
