"""The caller's messages: every way to write one, and what goes on the wire for it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hfclient.errors import InputError
from hfclient.flow import Load
from hfclient.media import Loaded, Media
from hfclient.messages import attach, has_media, normalise
from hfclient.types import Audio, ChatCompletion, ChatMessage, File, Image, assistant, system, tool, user

if TYPE_CHECKING:
    from collections.abc import Mapping

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
MP3 = b"ID3\x04" + bytes(16)
MP4 = b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + bytes(16)
WEBM = b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm" + bytes(16)
URL = "https://example.com/cat.png?size=2"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def on_the_wire(messages: Any, fetched: Mapping[str, Loaded] | None = None) -> list[dict[str, Any]]:
    """Drive the flow by hand: media on this machine is read, media elsewhere comes from `fetched`."""
    flow = attach(normalise(messages))
    try:
        step = next(flow)
        while True:
            assert isinstance(step, Load)
            url = step.media.url
            step = flow.send(fetched[url] if fetched and url in fetched else step.media.read())
    except StopIteration as end:
        json.dumps(end.value)
        result: list[dict[str, Any]] = end.value
        return result


def content_on_the_wire(*content: Any, fetched: Mapping[str, Loaded] | None = None) -> list[Any]:
    parts: list[Any] = on_the_wire([{"role": "user", "content": list(content)}], fetched)[0]["content"]
    return parts


def test_a_string_is_one_user_message() -> None:
    """The shortest way to ask."""
    assert normalise("hi") == [{"role": "user", "content": "hi"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.builds(lambda part, kind: {**part, "type": kind}, st.dictionaries(st.text(), JSON, max_size=3), JSON)
MESSAGES = st.builds(
    lambda rest, role, content: {**rest, "role": role, "content": content},
    st.dictionaries(st.text().filter(lambda key: key != "tool_calls"), JSON, max_size=3),
    st.text(min_size=1),
    st.none() | st.text() | st.lists(PARTS, max_size=3),
)


@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_plain_messages_are_left_alone(messages: list[dict[str, Any]]) -> None:
    """What is JSON already goes out as it is, nulls and unknown keys included, and is not even copied."""
    before = json.dumps(messages)
    normalised = normalise(messages)
    assert normalised == messages
    assert all(new is old for new, old in zip(normalised, messages, strict=True))
    assert json.dumps(messages) == before
    flow = attach(normalised)
    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value is normalised


def test_the_helpers_write_messages() -> None:
    """`system`, `user`, `assistant` and `tool` give what the API takes."""
    messages = [system("Be brief."), user("hi"), assistant("hello"), tool("call-1", "42")]
    assert normalise(tuple(messages)) == messages


def test_a_reply_can_be_sent_back() -> None:
    """A message out of a reply keeps what was said, content: null beside tool calls too, but not what was thought."""
    reply = ChatCompletion.model_validate(
        {
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "refusal": None,
                        "reasoning_content": "hm",
                        "tool_calls": [{"id": "1", "function": {"name": "now", "arguments": {}}}],
                    }
                }
            ]
        }
    )
    assert normalise([reply.message]) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
        }
    ]
    assert normalise([{"role": "assistant", "tool_calls": reply.tool_calls}])[0]["tool_calls"][0]["id"] == "1"


def test_a_reply_without_tool_calls_says_nothing_of_them() -> None:
    """Some servers refuse an empty list; and the role is there even where the provider left it out."""
    message = ChatMessage.model_validate({"content": "hello", "tool_calls": []})
    assert normalise([message]) == [{"role": "assistant", "content": "hello"}]


def test_a_call_without_arguments_is_sent_back_as_an_empty_object() -> None:
    """Models write "" for no arguments; servers that read it back as JSON would fail."""
    message = ChatMessage.model_validate({"tool_calls": [{"id": "1", "function": {"name": "now", "arguments": ""}}]})
    assert normalise([message])[0]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_messages_of_other_libraries_are_taken() -> None:
    """Any pydantic message will do, with its parts, its defaults and the media in it."""

    class TextPart(BaseModel):
        type: Literal["text"] = "text"
        text: str

    class Message(BaseModel):
        role: str = "user"
        content: list[Any]
        name: str | None = None

    [message] = normalise([Message(content=[TextPart(text="What is this?"), PNG])])
    assert message == {"role": "user", "content": [{"type": "text", "text": "What is this?"}, Media(PNG)]}


def test_nulls_of_the_caller_survive() -> None:
    """A null inside a dict was put there on purpose."""
    message = {"role": "assistant", "content": None, "name": None, "tool_calls": []}
    assert on_the_wire([message]) == [message]


def test_mappings_become_dicts() -> None:
    """Read-only mappings can be sent, outside and inside."""
    part = MappingProxyType({"type": "image_url", "image_url": MappingProxyType({"url": URL, "detail": "low"})})
    assert on_the_wire([MappingProxyType({"role": "user", "content": (part,)})]) == [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]}
    ]


IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(PNG)}"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": b64(MP3), "format": "mp3"}}
VIDEO = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{b64(MP4)}"}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("text", {"type": "text", "text": "text"}),
        (PNG, IMAGE),
        (bytearray(PNG), IMAGE),
        (memoryview(PNG), IMAGE),
        (io.BytesIO(PNG), IMAGE),
        (Image(PNG, "image/png"), IMAGE),
        (File(PNG), IMAGE),
        (Media(PNG), IMAGE),
        (Media(IMAGE["image_url"]["url"]), IMAGE),  # type: ignore[index]
        (Media(b"?", "image/png"), {"type": "image_url", "image_url": {"url": "data:image/png;base64,Pw=="}}),
        (Media(URL), {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "image", "image": PNG}, IMAGE),
        ({"type": "image", "image": URL}, {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "image", "url": URL}, {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "image_url", "image_url": PNG}, IMAGE),
        ({"type": "image_url", "image_url": URL}, {"type": "image_url", "image_url": {"url": URL}}),
        ({"type": "image_url", "image_url": {"url": Media(URL)}}, {"type": "image_url", "image_url": {"url": URL}}),
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}, "cache_control": None},
            {"type": "image_url", "image_url": {**IMAGE["image_url"], "detail": "high"}, "cache_control": None},  # type: ignore[dict-item]
        ),
        (
            {"type": "image", "image": PNG, "detail": "high", "cache_control": {}},
            {"type": "image_url", "image_url": {**IMAGE["image_url"], "detail": "high"}, "cache_control": {}},  # type: ignore[dict-item]
        ),
        (MP3, AUDIO),
        ({"type": "audio", "audio": MP3}, AUDIO),
        ({"type": "audio", "audio": Audio(MP3, "audio/mpeg")}, AUDIO),
        ({"type": "input_audio", "input_audio": {"data": MP3}}, AUDIO),
        ({"type": "input_audio", "input_audio": MP3}, AUDIO),
        ({"type": "audio", "audio": f"data:audio/mpeg;base64,{b64(MP3)}"}, AUDIO),
        (
            {"type": "input_audio", "input_audio": {"data": MP3, "format": "mpga"}},
            {"type": "input_audio", "input_audio": {"data": b64(MP3), "format": "mpga"}},
        ),
        (
            {"type": "audio", "audio": WEBM},
            {"type": "input_audio", "input_audio": {"data": b64(WEBM), "format": "webm"}},
        ),
        (
            Media(b"?", "audio/x-wav"),
            {"type": "input_audio", "input_audio": {"data": "Pw==", "format": "wav"}},
        ),
        (MP4, VIDEO),
        ({"type": "video", "video": MP4}, VIDEO),
        ({"type": "video_url", "video_url": {"url": URL}}, {"type": "video_url", "video_url": {"url": URL}}),
    ],
)
def test_every_way_to_give_media_has_one_form_on_the_wire(given: Any, sent: dict[str, Any]) -> None:
    """Bytes become base64 with their own type, URLs stay URLs, and what stood beside them stays there."""
    assert content_on_the_wire(given) == [sent]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": URL, "detail": None}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ=="}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": ["odd"]},
        {"text": "no type"},
    ],
)
def test_parts_already_in_the_form_of_the_wire_are_not_copied(part: dict[str, Any]) -> None:
    """Base64 text, URLs and unknown kinds of part pass untouched."""
    message = {"role": "user", "content": [part]}
    assert normalise([message])[0] is message
    assert not has_media([message])


def test_a_path_and_a_pil_image_are_media(tmp_path: Path) -> None:
    """The two ways most people hold a picture."""
    (tmp_path / "cat.png").write_bytes(PNG)
    assert content_on_the_wire(tmp_path / "cat.png") == [IMAGE]
    pillow = pytest.importorskip("PIL.Image")
    [part] = content_on_the_wire(pillow.new("RGB", (1, 1)))
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


def test_sound_from_a_url_is_fetched() -> None:
    """The wire has no place for the address of a sound, so that its bytes go."""
    url = "https://example.com/talk"
    fetched = {url: Loaded(MP3, "audio/mpeg")}
    for part in ({"type": "audio", "audio": url}, {"type": "input_audio", "input_audio": {"data": url}}, Media(url)):
        assert content_on_the_wire(part, fetched=fetched) == [AUDIO]


def test_the_caller_s_messages_are_never_changed() -> None:
    """The same messages can be sent again, and their media read again."""
    part = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    messages = [system("Look."), {"role": "user", "content": ["What?", part, io.BytesIO(PNG)]}]
    first = on_the_wire(messages)
    assert part == {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    assert isinstance(messages[1]["content"][1], dict)
    assert on_the_wire(messages) == first
    assert first[0] is messages[0]


def test_each_medium_is_loaded_in_its_turn() -> None:
    """The flow asks for one load after another, and nothing else."""
    flow = attach(normalise([{"role": "user", "content": [PNG, "and", MP3]}]))
    assert next(flow) == Load(Media(PNG))
    assert flow.send(Loaded(PNG, "image/png")) == Load(Media(MP3))
    with pytest.raises(StopIteration) as end:
        flow.send(Loaded(MP3, "audio/mpeg"))
    assert end.value.value == [{"role": "user", "content": [IMAGE, {"type": "text", "text": "and"}, AUDIO]}]


def test_only_media_concerns_attach() -> None:
    """Whatever else stands in a content list passes through."""
    messages = [{"role": "user", "content": ["plain", Media(URL)]}]
    with pytest.raises(StopIteration) as end:
        next(attach(messages))
    assert end.value.value[0]["content"] == ["plain", {"type": "image_url", "image_url": {"url": URL}}]


@pytest.mark.parametrize(
    "name", ["cat.png", "/etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd", "", "gs://b/cat.png"]
)
@pytest.mark.parametrize("kind", ["image", "image_url", "video"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_string_never_names_a_file(name: str, kind: str, nested: bool) -> None:
    """Messages come from strangers: a path in one is refused, and the advice shows how to mean it."""
    part = {"type": kind, kind: {"url": name} if nested else name}
    with pytest.raises(InputError, match=r"messages\[0\]\.content\[0\]") as caught:
        normalise([{"role": "user", "content": [part]}])
    assert "Path(" in caught.value.advice


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages is empty"),
        (None, "messages is of type NoneType"),
        (3, "messages is of type int"),
        (b"hi", "messages is of type bytes"),
        ({"role": "user", "content": "hi"}, "messages is of type dict"),
        (ChatMessage(content="hi"), "messages is of type ChatMessage"),
        (iter([]), "messages is of type list_iterator"),
        (["hi"], r"messages\[0\] is of type str"),
        ([user("a"), None], r"messages\[1\] is of type NoneType"),
        ([{"content": "hi"}], r"messages\[0\] has no role"),
        ([user("a"), {"role": "", "content": "hi"}], r"messages\[1\] has the role ''"),
        ([{"role": 3}], r"messages\[0\] has the role 3"),
        ([ChatCompletion(choices=())], r"messages\[0\] has no role"),
        ([{"role": "user", "content": 3}], r"messages\[0\]\.content is of type int"),
        ([{"role": "user", "content": {"type": "text"}}], r"messages\[0\]\.content is of type dict"),
        ([{"role": "user", "content": PNG}], r"messages\[0\]\.content is of type bytes"),
        ([user("a"), {"role": "user", "content": ["a", 3]}], r"messages\[1\]\.content\[1\] is of type int"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"messages\[0\]\.content\[0\] has no image"),
        ([{"role": "user", "content": [{"type": "audio", "audio": None}]}], r"content\[0\] has no audio"),
        ([{"role": "user", "content": [{"type": "image", "image": 3}]}], r"content\[0\]\.image is of type int"),
        ([{"role": "assistant", "tool_calls": {}}], r"messages\[0\]\.tool_calls is of type dict"),
    ],
)
def test_a_wrong_message_is_refused_with_its_place(messages: Any, message: str) -> None:
    """The error says which message, and which part of it."""
    with pytest.raises(InputError, match=message):
        normalise(messages)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (b"%PDF-1.7", r"messages\[0\]\.content\[0\] is application/pdf, not a picture, a sound or a video"),
        (b"who knows", "application/octet-stream"),
        ({"type": "image", "image": MP3}, "is audio/mpeg, not image: <20 B of bytes>"),
        ({"type": "image_url", "image_url": {"url": MP4}}, "is video/mp4, not image"),
        ({"type": "audio", "audio": PNG}, "is image/png, not audio"),
        ({"type": "video", "video": MP3}, "is audio/mpeg, not video"),
        (Path("none.png"), "no file"),
    ],
)
def test_media_of_the_wrong_kind_is_refused_before_it_is_sent(part: Any, message: str) -> None:
    """Once its bytes are known, media must be what its place asks for."""
    with pytest.raises(InputError, match=message):
        content_on_the_wire(part)


def test_a_user_says_something() -> None:
    """`user()` without content is a slip, told before a provider calls it a bad request."""
    with pytest.raises(InputError, match="nothing to say"):
        user()
