"""Python functions as tools: what a model is shown of each."""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hfclient.errors import InputError
from hfclient.functions import as_tool, each_schema


class Unit(enum.Enum):
    METRE = "m"
    FOOT = "ft"


@dataclass
class Point:
    x: float
    title: str = "origin"


class Branch(BaseModel):
    """A branch with twigs.

    Not shown.
    """

    title: str
    twigs: list[Branch] = []


def weather(city: str, days: int = 3, unit: Literal["c", "f"] = "c") -> str:
    """Tell the weather
    in a city.

    Longer words for people.

    Args:
        city (str): Which city,
            with its country: "Paris, France".
        days: How many.

    Returns:
        words: The forecast.
    """
    return f"{city} {days} {unit}"


def parameters(tool: Callable[..., Any]) -> dict[str, Any]:
    schema: dict[str, Any] = as_tool(tool)["function"]["parameters"]
    return schema


def test_a_function_is_described_whole() -> None:
    """Name, first paragraph, types, defaults, and what the docstring says of each parameter."""
    assert as_tool(weather) == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": 'Which city, with its country: "Paris, France".'},
                    "days": {"type": "integer", "default": 3, "description": "How many."},
                    "unit": {"enum": ["c", "f"], "type": "string", "default": "c"},
                },
                "required": ["city"],
            },
        },
    }


@pytest.mark.parametrize("tool", [{"type": "function", "function": {"name": "f"}}, {"type": "code_interpreter"}, {}])
def test_a_dict_passes_as_it_is(tool: dict[str, Any]) -> None:
    """The very same object comes back, whatever is in it."""
    assert as_tool(tool) is tool


def test_another_mapping_becomes_a_dict() -> None:
    """A read-only mapping can be sent as well."""
    assert as_tool(types.MappingProxyType({"type": "function"})) == {"type": "function"}


def test_an_async_function_is_a_tool_too() -> None:
    """Whether it is awaited makes no difference to the model."""

    async def look_up(word: str) -> None: ...

    assert as_tool(look_up)["function"] == {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    }


def test_methods_show_no_self() -> None:
    """Bound or not, the parameter that Python fills in is not the model's."""

    class Shop:
        def buy(self, item: str) -> None: ...

        @classmethod
        def open(cls, item: str) -> None: ...

        @staticmethod
        def close(item: str) -> None: ...

    for tool in (Shop().buy, Shop.buy, Shop.open, Shop().close):
        assert list(parameters(tool)["properties"]) == ["item"]


def test_what_a_partial_has_filled_in_is_not_shown() -> None:
    """The model can pass only what is still open; name and docstring are the function's."""
    tool = as_tool(functools.partial(weather, "Paris", unit="f"))["function"]
    assert tool["name"] == "weather"
    assert tool["parameters"]["properties"] == {"days": {"type": "integer", "default": 3, "description": "How many."}}


def test_a_decorated_function_shows_what_it_wraps() -> None:
    """`functools.wraps` is enough for a decorator to be transparent."""

    @functools.wraps(weather)
    def wrapper(*args: Any, **kwargs: Any) -> str:
        return weather(*args, **kwargs)

    assert as_tool(wrapper) == as_tool(weather)


def test_a_pydantic_model_is_a_tool_whose_fields_are_the_parameters() -> None:
    """Its docstring is the description; a property called title stays, although generated titles go."""
    function = as_tool(Branch)["function"]
    assert (function["name"], function["description"]) == ("Branch", "A branch with twigs.")
    assert function["parameters"]["type"] == "object"
    assert function["parameters"]["properties"]["title"] == {"type": "string"}
    assert function["parameters"]["properties"]["twigs"]["items"] == {"$ref": "#/$defs/Branch"}
    assert "description" not in function["parameters"]


def test_a_pydantic_model_without_words_has_no_description() -> None:
    """The docstring of pydantic's own base class is not passed off as the tool's."""

    class Bare(BaseModel):
        x: int

    assert "description" not in as_tool(Bare)["function"]


def test_annotations_of_every_kind_come_through() -> None:
    """Field, Optional, enums, dataclasses, nested forward names, Any for none, and defaults that JSON cannot hold."""

    def tool(  # noqa: PLR0917  one parameter for each kind
        count: Annotated[int, Field(description="How many.", ge=1)],
        maybe: Optional[int] = None,  # noqa: UP045  this spelling is to be read as well
        unit: Unit = Unit.METRE,
        points: list[Point] = [],  # noqa: B006  never called
        branch: Branch | None = None,
        anything=None,  # type: ignore[no-untyped-def]
        odd: Any = object(),  # noqa: B008  never called
        told: int = Field(7, description="Told."),
        made: list[int] = Field(default_factory=list, description="Made."),  # noqa: B008  as pydantic's users write it
        needed: str = Field(description="Needed."),
        **rest: int,
    ) -> None:
        """:param count: Not this.
        :param int maybe: Perhaps
            a number.
        """

    schema = parameters(tool)
    assert schema["required"] == ["count", "needed"]
    assert schema["properties"] == {
        "count": {"type": "integer", "minimum": 1, "description": "How many."},
        "maybe": {
            "anyOf": [{"type": "integer"}, {"type": "null"}],
            "default": None,
            "description": "Perhaps a number.",
        },
        "unit": {"$ref": "#/$defs/Unit", "default": "m"},
        "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}, "default": []},
        "branch": {"anyOf": [{"$ref": "#/$defs/Branch"}, {"type": "null"}], "default": None},
        "anything": {"default": None},
        "odd": {},
        "told": {"type": "integer", "default": 7, "description": "Told."},
        "made": {"type": "array", "items": {"type": "integer"}, "description": "Made."},
        "needed": {"type": "string", "description": "Needed."},
    }
    assert schema["$defs"]["Point"]["properties"]["title"] == {"type": "string", "default": "origin"}
    assert "description" not in as_tool(tool)["function"]


def test_parameters_may_have_any_name() -> None:
    """Names that mean something to pydantic, or begin with an underscore, are only names."""

    def tool(schema: str, json: str, _hidden: str, model_config: str, title: str, properties: str) -> None: ...

    names = ["schema", "json", "_hidden", "model_config", "title", "properties"]
    assert parameters(tool) == {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
    }


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    """Servers want a schema even where there is nothing to say."""

    def now() -> None:
        """Args:
        none at all
        """

    assert as_tool(now) == {
        "type": "function",
        "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
    }


def by_position(a: int, /) -> None: ...
def by_stars(*numbers: int) -> None: ...
def by_mystery(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def by_hidden_mystery(x: list[Nowhere]) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def by_function(x: Callable[[], int]) -> None: ...
def by_module(x: types.ModuleType) -> None: ...
def größe() -> None: ...  # noqa: PLC2401  the name is the point


class Nameless:
    def __call__(self) -> None: ...


class Uncallable(BaseModel):
    x: Callable[[], int]


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (by_position, "by_position takes a by position"),
        (by_stars, r"by_stars takes \*numbers by position"),
        (by_mystery, "by_mystery cannot be read: name 'Nowhere'"),
        (by_hidden_mystery, "by_hidden_mystery cannot be read|made for by_hidden_mystery"),
        (by_function, "made for by_function"),
        (by_module, "made for by_module"),
        (Uncallable, "made for Uncallable"),
        (größe, "größe has no name"),
        (lambda: None, "<lambda> has no name"),
        (Nameless(), "has no name"),
        (int, "the class int"),
        (3, "of type int"),
        ("weather", "of type str"),
        (None, "of type NoneType"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_by_name(tool: Any, message: str) -> None:
    """The error names the function, so that one among many is found, and says what would do."""
    with pytest.raises(InputError, match=message) as caught:
        as_tool(tool)
    assert caught.value.advice


def test_schemas_are_walked_and_values_are_not() -> None:
    """A change meets every schema, however nested, and never a default, a constant or an example."""
    seen: list[str] = []

    def note(schema: dict[str, Any]) -> dict[str, Any]:
        seen.extend([schema["id"]] if "id" in schema else [])
        return schema

    value = {"id": "value"}
    schema = {
        "id": "root",
        "properties": {"id": {"id": "property"}, "items": {"items": {"id": "item"}, "default": value}},
        "$defs": {"d": {"anyOf": [{"id": "choice"}, True], "enum": [value], "const": value, "examples": [value]}},
        "additionalProperties": {"id": "rest"},
        "prefixItems": [{"id": "first"}],
    }
    assert each_schema(note, schema) == schema
    assert sorted(seen) == ["choice", "first", "item", "property", "rest", "root"]


# Whatever pydantic accepts for a parameter, its schema accepts too. This knows as much of JSON schema as that needs.
TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def fits(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> bool:
    if "$ref" in schema:
        return fits(value, definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return any(fits(value, choice, definitions) for choice in schema["anyOf"])
    kind = schema.get("type")
    if kind and not isinstance(value, TYPES[kind]):
        return False
    if isinstance(value, bool) and kind in {"integer", "number"}:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if kind == "array":
        return all(fits(item, schema["items"], definitions) for item in value)
    if kind == "object" and "properties" in schema:
        return value.keys() >= set(schema.get("required", ())) and all(
            fits(item, schema["properties"].get(name, {}), definitions) for name, item in value.items()
        )
    return True


KINDS: list[Any] = [int, str, bool, float, int | None, list[int], list[str | None], Literal["c", "f"], Unit, Point, Any]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.sampled_from("cfm"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "title"]), inner, max_size=2),
    max_leaves=5,
)


@given(kind=st.sampled_from(KINDS), value=JSON)
def test_the_schema_admits_what_pydantic_accepts(kind: Any, value: Any) -> None:
    """A model that keeps to the schema can say everything the function understands, strictly read."""

    def tool(argument) -> None: ...  # type: ignore[no-untyped-def]

    tool.__annotations__["argument"] = kind
    schema = parameters(tool)
    try:
        TypeAdapter(kind).validate_json(TypeAdapter(Any).dump_json(value), strict=True)
    except ValidationError:
        return
    assert fits({"argument": value}, schema, schema.get("$defs", {}))
    assert not fits({}, schema, schema.get("$defs", {}))
