"""`client.local`: the models that are loaded on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from hfclient.defaults import checked_text
from hfclient.local import LOCAL

if TYPE_CHECKING:
    from hfclient.dispatch import Sides
    from hfclient.flow import Progress
    from hfclient.local.shelf import LocalModel
    from hfclient.local.side import LocalSide
    from hfclient.routing import Router


class Local:
    """Models on this machine: `load` one before it is needed, `unload` it, and see what is `loaded`.

    A call loads its model by itself; loading it first spares that call the wait.
    """

    __slots__ = ("_router", "_sides")

    def __init__(self, router: Router, sides: Sides) -> None:
        self._router = router
        self._sides = sides

    @property
    def _side(self) -> LocalSide:
        return cast("LocalSide", self._sides.of(LOCAL))

    async def load(
        self, model: str | None = None, *, on_progress: Callable[[Progress], None] | None = None, **options: Any
    ) -> LocalModel:
        """Download the model if need be, and load it. Options, those of `LocalOptions`, go over the client's own.

        >>> await client.local.load("Qwen/Qwen3-0.6B", dtype="bfloat16", max_sequences=4)
        """
        key = await self._router.hugging_face_key()
        name = checked_text("model", model) or cast("str", LOCAL.default_model)
        return await self._side.load(name, key, on_progress, options)

    async def unload(self, model: str | None = None) -> None:
        """Free a model's memory, or that of all models; calls under way end with an error.

        >>> await client.local.unload("Qwen/Qwen3-0.6B")
        """
        await self._side.unload(checked_text("model", model))

    def loaded(self) -> tuple[LocalModel, ...]:
        """What is loaded, the most recently used first.

        >>> [model.name for model in client.local.loaded()]
        """
        return self._side.loaded()
