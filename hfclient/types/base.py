"""What every value off the wire has in common."""

from __future__ import annotations

from typing import NoReturn, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from hfclient.types.meta import Meta

T = TypeVar("T")


@runtime_checkable
class CarriesMeta(Protocol):
    """A result that says where it came from."""

    def with_meta(self, meta: Meta) -> Self: ...


def with_meta(result: T, meta: Meta) -> T:
    """The result, knowing where it came from if it is of a kind that can."""
    return result.with_meta(meta) if isinstance(result, CarriesMeta) else result


def first_fault(error: ValidationError) -> str:
    """The first thing that does not fit, and how many more there are, for people to read."""
    first, *others = error.errors(include_url=False, include_input=False)
    field = ".".join(str(step) for step in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{field + ': ' if field else ''}{first['msg']}{more}"


class Wire(BaseModel):
    """A value off the wire: frozen, strict about its shape, and keeping the fields it does not know."""

    # Some servers number their tool calls, or call a model by a number. Each type is built when it is first needed.
    model_config = ConfigDict(
        frozen=True, extra="allow", protected_namespaces=(), coerce_numbers_to_str=True, defer_build=True
    )


class Result(Wire):
    """The answer to a call; `meta` says where it came from."""

    _meta: Meta | None = PrivateAttr(default=None)

    @property
    def meta(self) -> Meta:
        """The provider that served the call, the request id, status, headers, attempts and seconds."""
        return _known(self._meta)

    def with_meta(self, meta: Meta) -> Self:
        # The result was made by the call that gives it its meta, and nobody else has seen it yet.
        self._meta = meta
        return self


class KeepsMeta:
    """What `Result` is to JSON, for results that are something else: a list, a file, a block of numbers."""

    _meta: Meta | None = None

    @property
    def meta(self) -> Meta:
        """The provider that served the call, the request id, status, headers, attempts and seconds."""
        return _known(self._meta)

    def with_meta(self, meta: Meta) -> Self:
        vars(self)["_meta"] = meta
        return self


class Frozen(KeepsMeta):
    """A value that is made once, by writing to `vars(self)`."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen; {name} cannot be set.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen; {name} cannot be deleted.")


def _known(meta: Meta | None) -> Meta:
    if meta is None:
        msg = "this value did not come from a call, so it has no .meta"
        raise AttributeError(msg)
    return meta
