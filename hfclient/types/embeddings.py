"""Embeddings: vectors as one block of numbers, which numpy takes over without a copy."""

from __future__ import annotations

import base64
import binascii
import math
import operator
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from pydantic import ValidationError

from hfclient.errors import InputError, ResponseError
from hfclient.extras import extra
from hfclient.types.base import Frozen
from hfclient.types.chat import Usage, cost_of

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from typing_extensions import Buffer

_BYTES = 4
_DEEPEST = 8
_TIMES = " × "
_ONE_BY_ONE = "Ask for one text at a time."
_AGAIN = "Try again, or ask another provider."


class Embeddings(Frozen):
    """Vectors in the order of the texts: `embeddings[0]`, `.tolist()`, `.numpy()`, `.cosine()`.

    `shape` is (texts, dimensions), or (texts, tokens, dimensions) where a model gives a vector for each token.
    """

    shape: tuple[int, ...]
    model: str | None
    usage: Usage | None
    _numbers: memoryview[float]

    def __init__(
        self, buffer: Buffer, shape: tuple[int, ...], *, model: str | None = None, usage: Usage | None = None
    ) -> None:
        plain = memoryview(buffer).toreadonly().cast("B")
        if len(shape) < 2 or plain.nbytes != _BYTES * math.prod(shape):  # noqa: PLR2004  rows of numbers
            raise InputError(f"{plain.nbytes} bytes are no block of float32 with the shape {shape}.")
        vars(self).update(_numbers=plain.cast("f"), shape=tuple(shape), model=model, usage=usage)

    @classmethod
    def from_rows(cls, rows: Any, *, model: str | None = None, usage: Usage | None = None) -> Embeddings:
        """Lists of numbers in lists, as JSON has them; a single vector becomes one row."""
        numbers = array("f")
        shape = _gather(rows, numbers)
        return cls(_finite(numbers), shape if len(shape) > 1 else (1, *shape), model=model, usage=usage)

    @classmethod
    def from_openai(cls, payload: Any) -> Embeddings:
        """The answer of an OpenAI-compatible server, with vectors as numbers or as base64."""
        if not isinstance(payload, dict):
            raise ResponseError(f"The answer has no embeddings: it is {_kind(payload)}.", advice=_AGAIN)
        answer = cast("dict[str, Any]", payload)
        rows = [item.get("embedding") for item in _in_order(answer.get("data"))]
        numbers = array("f")
        shapes = [_decode(row, numbers) if isinstance(row, str) else _gather(row, numbers) for row in rows]
        shape = (len(rows), *_one_shape(shapes))
        model = answer.get("model")
        return cls(
            _finite(numbers),
            shape,
            model=model if isinstance(model, str) else None,
            usage=_usage(answer.get("usage")),
        )

    @classmethod
    def joined(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """The rows of several answers in one; `usage` is their sum, and None where one of them did not say."""
        if not parts:
            raise InputError("There are no embeddings to join.")
        row = _one_shape([part.shape[1:] for part in parts])
        return cls(
            b"".join(part._numbers for part in parts),
            (sum(map(len, parts)), *row),
            model=parts[0].model,
            usage=_sum([part.usage for part in parts]),
        )

    @property
    def cost(self) -> float | None:
        """What the vectors cost, in USD, where that is known; see `ChatCompletion.cost`."""
        return cost_of(self.usage, self._meta)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[memoryview[float] | Embeddings]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> memoryview[float] | Embeddings: ...
    @overload
    def __getitem__(self, index: slice) -> Embeddings: ...
    def __getitem__(self, index: int | slice) -> memoryview[float] | Embeddings:
        """A row, which is a view of the numbers, or where each text has several vectors, those."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return self._rows(chosen)
        row = self._row(chosen)
        return row if len(self.shape) == 2 else Embeddings(row, self.shape[1:], model=self.model)  # noqa: PLR2004  rows of numbers

    def tolist(self) -> list[Any]:
        """Lists of floats in lists, as deep as `shape` is long."""
        return [row.tolist() for row in self]

    def numpy(self) -> NDArray[numpy.float32]:
        """The same numbers as an array that cannot be written to; nothing is copied."""
        np = extra("numpy", "numpy", needed_by="Embeddings.numpy()")
        return np.frombuffer(self._numbers, dtype=np.float32).reshape(self.shape)  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        numbers = self.numpy()
        if dtype is not None and numbers.dtype != dtype:
            if copy is False:
                raise ValueError(f"Embeddings are float32; there is no {dtype} of them without a copy.")
            return numbers.astype(dtype)
        return numbers.copy() if copy else numbers

    def cosine(self, other: Embeddings | None = None) -> list[list[float]]:
        """How alike each row here and each row of `other` (or of these same rows) are, from -1 to 1.

        Plain Python, which is enough for some thousand pairs; for more, `numpy()` is faster by far.
        """
        other = self if other is None else other
        if len(self.shape) != 2 or self.shape[1:] != other.shape[1:]:  # noqa: PLR2004  rows of numbers
            raise InputError(
                f"{self!r} and {other!r} cannot be compared row by row.",
                advice="Both need one vector for each text, by the same model.",
            )
        ours = _unit_rows(self)
        theirs = ours if other is self else _unit_rows(other)
        return [[sum(map(operator.mul, a, b)) for b in theirs] for a in ours]

    def _row(self, index: int) -> memoryview[float]:
        width = math.prod(self.shape[1:])
        return self._numbers[index * width : (index + 1) * width]

    def _rows(self, chosen: range) -> Embeddings:
        if chosen.step == 1:
            width = math.prod(self.shape[1:])
            numbers: Buffer = self._numbers[chosen.start * width : chosen.stop * width]
        else:
            numbers = b"".join(map(self._row, chosen))
        return Embeddings(numbers, (len(chosen), *self.shape[1:]), model=self.model)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Embeddings):
            return NotImplemented
        return self.shape == other.shape and self._numbers == other._numbers

    __hash__ = None  # type: ignore[assignment]  # a block of numbers is no key

    def __reduce__(self) -> tuple[Any, ...]:
        rest = {name: value for name, value in vars(self).items() if name != "_numbers"}
        return type(self), (bytes(self._numbers), self.shape), rest

    def __repr__(self) -> str:
        return f"Embeddings({_TIMES.join(map(str, self.shape))})"


def _gather(value: Any, numbers: array[float], depth: int = 1) -> tuple[int, ...]:
    """Put the numbers of these lists behind the others, and tell their shape. What can be done by row is done in C."""
    if not isinstance(value, list):
        raise ResponseError(f"The embeddings have {_kind(value)} where a list of numbers should be.", advice=_AGAIN)
    row: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
    if not row:
        raise ResponseError("The embeddings are empty.", advice="Check that no text is empty, or ask another model.")
    if isinstance(row[0], list):
        if depth == _DEEPEST:
            raise ResponseError(f"The embeddings are lists more than {_DEEPEST} deep.", advice=_AGAIN)
        return len(row), *_one_shape([_gather(inner, numbers, depth + 1) for inner in row])
    if strange := set(map(type, row)) - {float, int}:
        what = _kind(next(each for each in row if type(each) in strange))
        raise ResponseError(f"The embeddings have {what} among the numbers.", advice=_AGAIN)
    try:
        numbers.fromlist(row)
    except OverflowError:
        raise _not_finite() from None
    return (len(row),)


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
    int: "a number",
    float: "a number",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _finite(numbers: array[float]) -> array[float]:
    # float32 are too small for a sum of them, in float64, to overflow: it is finite just where all of them are.
    if not math.isfinite(sum(numbers)):
        raise _not_finite()
    return numbers


def _not_finite() -> ResponseError:
    return ResponseError("The embeddings have a number that is not finite in float32.", advice=_AGAIN)


def _one_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    for at, shape in enumerate(shapes):
        if shape != shapes[0]:
            first, other = (_TIMES.join(map(str, each)) for each in (shapes[0], shape))
            raise ResponseError(
                f"The embeddings are ragged: row 0 is {first}, row {at} is {other}.", advice=_ONE_BY_ONE
            )
    return shapes[0]


def _in_order(data: Any) -> list[dict[str, Any]]:
    """The items by their `index` where all have one, and else as they came."""
    if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):  # pyright: ignore[reportUnknownVariableType]
        raise ResponseError("The answer has no embeddings: its data is not a list of objects.", advice=_AGAIN)
    items = cast("list[dict[str, Any]]", data)
    places = [item.get("index") for item in items]
    if any(type(place) is not int for place in places):
        return items
    by_place = dict(zip(places, items, strict=True))
    if by_place.keys() != set(range(len(items))):
        raise ResponseError(
            f"The embeddings are not numbered from 0 to {len(items) - 1}, each once.", advice=_ONE_BY_ONE
        )
    return [by_place[place] for place in range(len(items))]


def _decode(text: str, numbers: array[float]) -> tuple[int]:
    """Little-endian float32 in base64."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ResponseError(f"The embeddings are not valid base64: {error}.", advice=_AGAIN) from None
    if not content or len(content) % _BYTES:
        raise ResponseError(f"The embeddings have a row of {len(content)} bytes, no float32 numbers.", advice=_AGAIN)
    row = array("f", content)
    if sys.byteorder == "big":
        row.byteswap()
    numbers.extend(row)
    return (len(row),)


def _usage(reported: Any) -> Usage | None:
    # What the vectors cost is no reason to lose them.
    try:
        return Usage.model_validate(reported) if isinstance(reported, dict) else None
    except ValidationError:
        return None


def _sum(usages: Sequence[Usage | None]) -> Usage | None:
    told = [usage for usage in usages if usage is not None]
    if len(told) < len(usages):
        return None
    costs = [cost for usage in told if (cost := usage.cost_at(None)) is not None]
    counts = {
        name: sum(getattr(usage, name) for usage in told)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return Usage.model_validate(counts | ({"cost": sum(costs)} if costs and len(costs) == len(told) else {}))


def _unit_rows(embeddings: Embeddings) -> list[list[float]]:
    """Each row at length 1; one of nothing but zeros stays as it is."""
    rows: list[list[float]] = embeddings.tolist()
    lengths = [math.hypot(*row) or 1.0 for row in rows]
    return [[number / length for number in row] for row, length in zip(rows, lengths, strict=True)]
