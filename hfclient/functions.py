"""Python functions as tools: the name, description and JSON schema that a model is shown, read off the function."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeIs

from hfclient.errors import InputError

Schema = dict[str, Any]

# Reading a signature takes about a millisecond, and every call would hold up the event loop for that long again.
_described: WeakKeyDictionary[Callable[..., Any], dict[str, Any]] = WeakKeyDictionary()
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def as_tool(tool: Mapping[str, Any] | Callable[..., Any]) -> dict[str, Any]:
    """Give a tool as the API takes it; a dict passes as it is, a function or a pydantic model is described."""
    if isinstance(tool, dict):
        return cast("dict[str, Any]", tool)
    if isinstance(tool, Mapping):
        return {**tool}
    if is_model(tool):
        # Not inspect.getdoc: a model without words of its own would inherit those of BaseModel.
        return _tool(tool.__name__, tool.__doc__, schema_of(tool))
    if inspect.isclass(tool) or not callable(tool):
        found = f"the class {tool.__name__}" if inspect.isclass(tool) else f"of type {type(tool).__name__}"
        raise InputError(f"A tool is {found}.", advice="Pass functions, pydantic model classes, or dicts.")
    if not inspect.isfunction(tool):
        return _function_tool(tool)
    if tool not in _described:
        _described[tool] = _function_tool(tool)
    return _described[tool]


def is_model(value: object) -> TypeIs[type[BaseModel]]:
    return inspect.isclass(value) and issubclass(value, BaseModel)


def _function_tool(tool: Callable[..., Any]) -> dict[str, Any]:
    function: Callable[..., Any] = tool.func if isinstance(tool, functools.partial) else tool
    bound = set(tool.keywords) if isinstance(tool, functools.partial) else set[str]()
    name: str = getattr(function, "__name__", "")
    module: str = getattr(function, "__module__", None) or __name__
    doc = inspect.getdoc(function)
    model = _model_of(tool, name=name or type(function).__name__, module=module, bound=bound)  # pyright: ignore[reportUnknownArgumentType]
    parameters = schema_of(model)
    described = _described_parameters(doc or "")
    for parameter, schema in parameters["properties"].items():
        if parameter in described:
            schema.setdefault("description", described[parameter])
    return _tool(name or repr(function), doc, parameters)


def _tool(name: str, doc: str | None, parameters: Schema) -> dict[str, Any]:
    if not _TOOL_NAME.fullmatch(name):
        advice = "Define it with def under a name of at most 64 letters, digits and underscores, or pass a dict."
        raise InputError(f"The tool {name} has no name a model could call it by.", advice=advice)
    parameters.pop("description", None)
    summary = _summary(inspect.cleandoc(doc)) if doc else ""
    described = {"description": summary} if summary else {}
    return {"type": "function", "function": {"name": name, **described, "parameters": parameters}}


def _model_of(tool: Callable[..., Any], *, name: str, module: str, bound: set[str]) -> type[BaseModel]:
    """Make a pydantic model whose fields are the parameters that are left to the caller."""
    fields = [_field(parameter) for parameter in _parameters(tool, name) if parameter.name not in bound]
    # The fields' own names are ours, so that a parameter may be called anything: `schema`, `json`, `_private`.
    named: dict[str, Any] = {f"field_{index}": field for index, field in enumerate(fields)}
    try:
        # Names inside an annotation, as in list["Point"], are looked up in the function's own module.
        return create_model(name, __module__=module, **named)
    except (PydanticUserError, TypeError) as error:
        raise _no_schema(name, error) from error


def _field(parameter: inspect.Parameter) -> tuple[Any, Any]:
    annotation, default = parameter.annotation, parameter.default
    if annotation is parameter.empty:
        annotation = Any
    if not isinstance(default, FieldInfo):
        return annotation, Field(... if default is parameter.empty else default, alias=parameter.name)
    told: dict[str, Any] = {"alias": parameter.name}
    if default.default_factory:
        told["default_factory"] = default.default_factory
    elif not default.is_required():
        told["default"] = default.default
    return Annotated[annotation, default], Field(**told)


def _parameters(tool: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(tool, eval_str=True).parameters.values())
    except (NameError, SyntaxError, TypeError, ValueError, AttributeError) as error:
        advice = "Every annotation must be importable at run time, not only under TYPE_CHECKING."
        raise InputError(f"The signature of the tool {name} cannot be read: {error}.", advice=advice) from error
    if parameters and parameters[0].name in {"self", "cls"}:
        del parameters[0]
    for parameter in parameters:
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
            raise InputError(
                f"The tool {name} takes {str(parameter).partition(':')[0]} by position.",
                advice="A model passes arguments by name: give every parameter one.",
            )
    return [parameter for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]


def schema_of(model: type[BaseModel]) -> Schema:
    """Give a pydantic model's JSON schema, without the titles that repeat its names."""
    try:
        schema = model.model_json_schema(schema_generator=_QuietSchema)
    except PydanticUserError as error:
        raise _no_schema(model.__name__, error) from error
    return _rooted(each_schema(_untitled, schema))


def _rooted(schema: Schema) -> Schema:
    # A model that contains itself comes out as a reference, where an object is wanted.
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions: Schema = schema["$defs"]
    return {**definitions[reference.removeprefix("#/$defs/")], "$defs": definitions}


class _QuietSchema(GenerateJsonSchema):
    # A default that JSON cannot hold is left out of the schema; that is no news to the caller.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  as pydantic declares it


def each_schema(change: Callable[[Schema], Schema], schema: Schema) -> Schema:
    """Apply `change` to a JSON schema and to every schema in it, innermost first; values and names are left alone."""

    def visited(value: Any) -> Any:
        if isinstance(value, dict):
            return each_schema(change, cast("Schema", value))
        return [visited(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]

    inner: Schema = {}
    for key, value in schema.items():
        if key in _BY_NAME and isinstance(value, dict):
            inner[key] = {name: visited(named) for name, named in cast("Schema", value).items()}
        else:
            inner[key] = visited(value) if key in _NESTED else value
    return change(inner)


_BY_NAME = {"properties", "patternProperties", "$defs", "dependentSchemas"}
_NESTED = {
    *("items", "prefixItems", "additionalProperties", "contains", "propertyNames", "unevaluatedProperties"),
    *("anyOf", "oneOf", "allOf", "not", "if", "then", "else"),
}


def _untitled(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "title"}


def _no_schema(name: str, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0]
    advice = "Annotate with types JSON has, with pydantic models or dataclasses; or pass the schema as a dict."
    return InputError(f"No JSON schema can be made for {name}: {reason}", advice=advice)


_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*$|:\w+[^:]*:")
_REST = re.compile(r"^:param\s+(?:[^:]*\s)?(\w+):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_GOOGLE = re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+\S.*\n?|[ \t]*\n)+)", re.MULTILINE)
_GOOGLE_ENTRY = re.compile(r"^(\w+)[ \t]*(?:\(.*?\))?:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


def _summary(doc: str) -> str:
    lines: list[str] = []
    for line in doc.splitlines():
        if not line.strip() or _SECTION.match(line):
            break
        lines.append(line.strip())
    return " ".join(lines)


def _described_parameters(doc: str) -> dict[str, str]:
    """Read what a docstring in Google's or in reST's style says of each parameter."""
    entries = cast("list[tuple[str, str]]", _REST.findall(doc))
    for section in _GOOGLE.finditer(doc):
        entries += _GOOGLE_ENTRY.findall(inspect.cleandoc(f"\n{section[1]}"))
    return {name: " ".join(text.split()) for name, text in entries if text.strip()}
