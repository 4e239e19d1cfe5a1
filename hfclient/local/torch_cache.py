"""What a model remembers of the tokens it has read, its keys and values: copying it, cutting it, counting its bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast
from weakref import WeakSet

from hfclient.extras import extra

torch: Any = extra("torch", "'hfclient[torch]'", needed_by="Running a model on PyTorch")
caches: Any = extra("transformers.cache_utils", "'hfclient[torch]'", needed_by="Running a model on PyTorch")

Tensor: TypeAlias = Any
Cache: TypeAlias = Any

MORE_ROOM = 32  # columns, and a quarter of what is there


@dataclass(slots=True)
class Known:
    """A text's cache, and how many of its tokens it knows."""

    cache: Cache
    length: int = 0


def is_ordinary(cache: Cache) -> bool:
    """Whether it is nothing but the keys and values of all tokens."""
    return bool(cache.layers) and all(type(layer) is caches.DynamicLayer for layer in cache.layers)


def shared(cache: Cache) -> Cache:
    """Another cache of the same tensors."""
    return _rebuilt(cache, _itself)


def cloned(cache: Cache) -> Cache:
    """Another cache, whose tensors are its own and no larger than they need to be."""
    return _rebuilt(cache, torch.clone)


def cut(cache: Cache, count: int) -> Cache:
    """Another cache of the same tensors, less the last few tokens; a RuntimeError where they cannot be told apart."""
    shorter = shared(cache)
    if count:
        shorter.crop(-count)
    return shorter


def is_divisible(cache: Cache) -> bool:
    """Whether it can be cut. Some say so and turn out unable to, once their window is full."""
    try:
        cut(cache, 1)
    except RuntimeError:
        return False
    return bool(cache.is_croppable)


def size_of(cache: Cache) -> int:
    """The bytes that it keeps from being free."""
    tensors = (layer.tensors if isinstance(layer, RoomyLayer) else _tensors(layer.__dict__) for layer in cache.layers)
    return sum(tensor.nbytes for each in tensors for tensor in each)


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _rebuilt(cache: Cache, one: Callable[[Tensor], Tensor]) -> Cache:
    rebuilt = copy.copy(cache)
    rebuilt.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in rebuilt.layers:
        state: Any = layer.__dict__
        for name in list(state):
            state[name] = _mapped(state[name], one)
        if isinstance(layer, RoomyLayer) and layer.room is not None:
            layer.room.readers.add(layer)
    return rebuilt


def _mapped(value: object, one: Callable[[Tensor], Tensor]) -> object:
    """The same, with every tensor replaced by what `one` makes of it, and nothing else that could be changed in it."""
    if isinstance(value, torch.Tensor):
        return one(value)
    if isinstance(value, dict):
        return {key: _mapped(each, one) for key, each in cast("dict[object, object]", value).items()}
    if isinstance(value, list):
        return [_mapped(each, one) for each in cast("list[object]", value)]
    return value if isinstance(value, Room) else copy.deepcopy(value)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in cast("Mapping[object, object]", value).values():
            yield from _tensors(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _tensors(each)


@dataclass(slots=True, eq=False)
class Room:
    """Keys and values of one layer, and how many of their columns are written; the rest is room for what comes.
    `readers` are the layers that show some of it."""

    keys: Tensor
    values: Tensor
    filled: int
    readers: WeakSet[RoomyLayer] = field(default_factory=WeakSet["RoomyLayer"])

    def leave_behind(self, start: int) -> None:
        """Forget the columns from here on, where nobody is left who shows them."""
        if self.filled > start and all(reader.get_seq_length() <= start for reader in self.readers):
            self.filled = start


class RoomyLayer(caches.DynamicLayer):  # type: ignore[misc]  # the framework is Any
    """A layer that writes the next tokens into the room behind the last ones, so that those need not be copied.

    Several may share a room, as far as they have the same tokens: the first to go on does so in place, and whoever
    finds the room behind its own tokens taken moves to one of its own, unless those who took it are gone.
    """

    def __init__(self, room: Room | None = None) -> None:
        caches.DynamicLayer.__init__(self)
        self.room = room
        if room is not None:
            self.lazy_initialization(room.keys, room.values)
            room.readers.add(self)
            self._show(room, room.filled)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.room.keys, self.room.values) if self.room is not None else ()

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if self.room is None:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        room = self.room
        if room is not None:
            room.leave_behind(start)
        if room is None or room.filled != start or end > room.keys.shape[2]:
            room = self._moved(start, end)
        room.keys[:, :, start:end] = key_states
        room.values[:, :, start:end] = value_states
        room.filled = end
        self._show(room, end)
        return self.keys, self.values

    def _moved(self, start: int, end: int) -> Room:
        """Into a room of its own."""
        if self.room is not None:
            self.room.readers.discard(self)
        room = self.room = _room([self], start, end)
        room.readers.add(self)
        return room

    def undo(self, length: int) -> None:
        """Be as when there were only so many tokens, in a room that nobody shares."""
        if self.room is not None:
            self.room.filled = length
            self._show(self.room, length)

    def _show(self, room: Room, length: int) -> None:
        self.keys, self.values = room.keys[:, :, :length], room.values[:, :, :length]


def roomy(cache: Cache) -> Cache:
    """An empty ordinary cache of as many layers as this one, with room to grow."""
    return _cache_of(RoomyLayer() for _ in cache.layers)


def side_by_side(parts: Sequence[Cache], length: int) -> Cache:
    """The rows of all these ordinary caches in one, so that they end in the same column."""
    return _cache_of(
        RoomyLayer(_room(layers, length, length)) for layers in zip(*(part.layers for part in parts), strict=True)
    )


def rows_of(cache: Cache, rows: Sequence[int], length: int) -> Cache:
    """The last so many columns of some rows of an ordinary cache."""
    return _cache_of(
        RoomyLayer(Room(_some(layer.keys, rows, length), _some(layer.values, rows, length), length))
        for layer in cache.layers
    )


def _cache_of(layers: Iterable[Any]) -> Cache:
    cache = caches.DynamicCache()
    cache.layers = list(layers)
    return cache


def _some(whole: Tensor, rows: Sequence[int], length: int) -> Tensor:
    columns = whole[:, :, whole.shape[2] - length :]
    if len(rows) == 1:
        return columns[rows[0] : rows[0] + 1]  # no copy
    return columns if len(rows) == len(columns) else columns[list(rows)]


def _room(layers: Sequence[Any], length: int, least: int) -> Room:
    """Room for at least so many columns, with the rows of all these layers in the first of them."""
    columns = least + least // 4 + MORE_ROOM
    keys = _abreast([layer.keys for layer in layers], length, columns)
    return Room(keys, _abreast([layer.values for layer in layers], length, columns), length)


def _abreast(parts: Sequence[Tensor], length: int, columns: int) -> Tensor:
    """The rows of all of these, with zeros before the shorter ones: what is hidden counts as nothing only if it is a
    number."""
    rows, heads, width = sum(len(part) for part in parts), parts[0].shape[1], parts[0].shape[3]
    whole = parts[0].new_empty((rows, heads, columns, width))
    row = 0
    for part in parts:
        own, start = whole[row : row + len(part)], length - part.shape[2]
        own[:, :, :start] = 0
        own[:, :, start:length] = part
        row += len(part)
    return whole
