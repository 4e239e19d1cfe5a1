"""Answers in a shape the caller chose: the schema that goes out, and the instance that comes back."""

from __future__ import annotations

import enum
import pickle
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from hfclient.errors import InputError, OutputParseError, RefusalError
from hfclient.structured import as_response_format, parse_completion
from hfclient.types import ChatCompletion, Meta

T = TypeVar("T")


class City(BaseModel):
    """A city."""

    name: str
    population: int = 0


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Node(BaseModel):
    title: str
    children: list[Node] = []


class Page(BaseModel, Generic[T]):
    items: list[T]


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schema: dict[str, Any] = as_response_format(model)["json_schema"]["schema"]
    return schema


def completion(content: str | None, *, finish_reason: str = "stop", **message: Any) -> ChatCompletion:
    said = {"role": "assistant", "content": content, **message}
    choices = [{"index": 0, "message": said, "finish_reason": finish_reason}]
    return ChatCompletion.model_validate({"id": "c1", "choices": choices, "usage": {"total_tokens": 7}, "x_extra": [1]})


def test_a_pydantic_model_becomes_a_strict_schema() -> None:
    """Everything is required, nothing may be added, and what pydantic adds for people is gone."""
    assert as_response_format(City) == {
        "type": "json_schema",
        "json_schema": {
            "name": "City",
            "strict": True,
            "schema": {
                "description": "A city.",
                "type": "object",
                "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
                "required": ["name", "population"],
                "additionalProperties": False,
            },
        },
    }


@pytest.mark.parametrize("value", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"x": None}}, {}])
def test_a_dict_passes_as_it_is(value: dict[str, Any]) -> None:
    """The very same object comes back, nulls and all."""
    assert as_response_format(value) is value
    assert as_response_format(MappingProxyType(value)) == value


def test_nested_objects_are_strict_too_unless_they_say_otherwise() -> None:
    """Definitions are kept and tightened; an open object or a map stays open."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        x: int

    class Whole(BaseModel):
        city: City
        opened: Open
        counts: dict[str, int]
        anything: dict[str, Any]
        colour: Colour = Colour.RED

    schema = schema_of(Whole)
    assert schema["properties"]["city"] == {"$ref": "#/$defs/City"}
    assert schema["$defs"]["City"]["additionalProperties"] is False
    assert schema["$defs"]["City"]["required"] == ["name", "population"]
    assert schema["$defs"]["Open"]["additionalProperties"] is True
    assert schema["properties"]["counts"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert schema["properties"]["anything"]["additionalProperties"] is True
    assert schema["$defs"]["Colour"] == {"type": "string", "enum": ["red", "blue"]}


def test_a_reference_stands_alone() -> None:
    """Strict servers take nothing beside $ref, so that a description or default moves it into anyOf."""

    class Trip(BaseModel):
        to: Annotated[City, Field(description="Where to.")]
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]
        colour: Colour = Colour.RED

    properties = schema_of(Trip)["properties"]
    assert properties["to"] == {"anyOf": [{"$ref": "#/$defs/City"}], "description": "Where to."}
    assert properties["pet"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert properties["colour"] == {"$ref": "#/$defs/Colour"}


def test_a_model_that_contains_itself_is_an_object_at_the_root() -> None:
    """Servers want an object there, not a reference to one."""
    schema = schema_of(Node)
    assert schema["type"] == "object"
    assert schema["properties"]["title"] == {"type": "string"}
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert "Node" in schema["$defs"]


def test_properties_named_like_keywords_are_kept() -> None:
    """A property called default, title or required is a property."""

    class Awkward(BaseModel):
        default: int
        title: str
        required: bool
        discriminator: str

    assert list(schema_of(Awkward)["properties"]) == ["default", "title", "required", "discriminator"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [("Page[int]", "Page_int"), ("Größe", "Gr_e"), ("日本", "response"), ("A" * 80, "A" * 64), ("ok_1-2", "ok_1-2")],
)
def test_the_name_is_made_safe(name: str, safe: str) -> None:
    """Servers take letters, digits, _ and -, 64 of them."""
    model = type(name, (City,), {})
    assert as_response_format(model)["json_schema"]["name"] == safe


def test_a_generic_model_can_be_asked_for() -> None:
    """Page[int] is a class like any other."""
    assert schema_of(Page[int])["properties"]["items"] == {"type": "array", "items": {"type": "integer"}}


class Impossible(BaseModel):
    x: Annotated[int, PlainValidator(int)]
    y: type


@pytest.mark.parametrize("value", [City(name="x"), int, "json_object", None, 3, Impossible])
def test_what_is_no_response_format_is_refused(value: Any) -> None:
    """Instances, other classes, strings and models without a schema are named for what they are."""
    with pytest.raises(InputError) as caught:
        as_response_format(value)
    assert caught.value.advice


def test_the_answer_comes_back_as_an_instance_beside_everything_else() -> None:
    """`parsed` is added; text, usage, unknown fields and meta are those of the answer."""
    meta = Meta(provider="groq", request_id="r1")
    reply = completion('{"name": "Paris", "population": 2}').with_meta(meta)
    parsed = parse_completion(City, reply)
    assert parsed.parsed == City(name="Paris", population=2)
    assert parsed.meta is meta
    assert parsed.model_dump() == reply.model_dump()
    assert parsed.text == reply.text
    assert pickle.loads(pickle.dumps(parsed)).parsed == parsed.parsed


def test_an_answer_without_meta_can_be_parsed() -> None:
    """A completion made by hand has no meta, and neither has what is made of it."""
    with pytest.raises(AttributeError, match="did not come from a call"):
        _ = parse_completion(City, completion('{"name": "Paris"}')).meta


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "a```b"}\n```',
        '```\n{"name": "a```b"}```',
        'Here you are:\n\n```JSON  \n{"name": "a```b"}\n```\nAnything else?',
        '\n {"name": "a```b"} \n',
    ],
)
def test_json_inside_a_fence_is_read(text: str) -> None:
    """Models like to wrap JSON in Markdown, whatever they are asked."""
    assert parse_completion(City, completion(text)).parsed.name == "a```b"


@given(st.builds(City, name=st.text(), population=st.integers(-(2**53), 2**53)), st.booleans())
def test_every_instance_survives_the_way_there_and_back(city: City, fenced: bool) -> None:
    """What a model could have written is what comes back."""
    text = city.model_dump_json()
    assert parse_completion(City, completion(f"```json\n{text}\n```" if fenced else text)).parsed == city


@given(st.text(alphabet='`jsonabc{}[]":,1\n '))
def test_any_other_text_is_one_clear_error(text: str) -> None:
    """Whatever the model writes, nothing but our own error comes out, and it keeps the text."""
    try:
        parse_completion(City, completion(text))
    except OutputParseError as error:
        assert error.text == text  # noqa: PT017  only some texts fail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "x", "population": "many"}', "population: Input should be a valid integer"),
        ("{}", "name: Field required"),
        ('{"name": 1, "population": []}', r"name: .* \(and 1 more\)"),
        ("Paris, of course", "Invalid JSON"),
        ("", "Invalid JSON"),
        ('```json\n{"name": 1}\n```', "name: Input should be a valid string"),
    ],
)
def test_what_does_not_fit_says_which_field(text: str, message: str) -> None:
    """The error names model and field, and keeps the text and the whole answer."""
    reply = completion(text)
    with pytest.raises(OutputParseError, match=f"(?s)City.*{message}") as caught:
        parse_completion(City, reply)
    assert caught.value.text == text
    assert caught.value.completion is reply


def test_a_refusal_is_told_apart_from_bad_json() -> None:
    """The model's own words are the message, and kept."""
    reply = completion(None, refusal="I will not say.")
    with pytest.raises(RefusalError, match="I will not say") as caught:
        parse_completion(City, reply)
    assert caught.value.text == "I will not say."
    assert caught.value.completion is reply


def test_an_answer_cut_short_says_what_to_raise() -> None:
    """Even where the piece happens to be valid, it is not the answer that was meant."""
    for text in ('{"name": "Par', '{"name": "Paris"}'):
        with pytest.raises(OutputParseError, match="cut off") as caught:
            parse_completion(City, completion(text, finish_reason="length"))
        assert "max_tokens" in caught.value.advice
        assert caught.value.text == text


def test_a_tool_call_instead_of_an_answer_says_so() -> None:
    """There is nothing to parse yet; the calls are in the error."""
    reply = completion(None, finish_reason="tool_calls", tool_calls=[{"id": "1", "function": {"name": "look_up"}}])
    with pytest.raises(OutputParseError, match="look_up") as caught:
        parse_completion(City, reply)
    assert caught.value.completion.tool_calls[0].function.name == "look_up"
