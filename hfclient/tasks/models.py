"""`client.models`: what models there are, and what is known of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfclient.call import task_named, unknown_provider
from hfclient.choice import ROUTED_TASKS
from hfclient.defaults import checked_text
from hfclient.errors import InputError
from hfclient.types.items import Items
from hfclient.types.models import Model

if TYPE_CHECKING:
    from hfclient.routing import Router

LIMIT = 100


class Models:
    """The models behind one client: `list` and `get`. Answers are kept for five minutes."""

    __slots__ = ("_router",)

    def __init__(self, router: Router) -> None:
        self._router = router

    async def list(
        self,
        task: str | None = None,
        provider: str | None = None,
        *,
        search: str | None = None,
        limit: int | None = LIMIT,
    ) -> Items[Model]:
        """Models that can be called: chat models with prices and speeds, or those of another task or of one provider.

        Chat models are the router's list. For every other task, and for a provider without a task, the Hub is asked.
        `limit=None` gives all there are.

        >>> models = await client.models.list()
        >>> models = await client.models.list("text-to-image", provider="fal-ai", search="flux", limit=10)
        """
        wanted = task_named(checked_text("task", task) or "chat")
        self._check(provider, limit)
        key = await self._router.hugging_face_key()
        catalogue = self._router.catalogue
        words = (checked_text("search", search) or "").strip()
        if wanted not in ROUTED_TASKS or (provider and task is None):
            found = await catalogue.models(wanted if task else None, provider, words or None, limit, key)
            return Items(found.models).with_meta(found.meta)
        found = await catalogue.chat_models(key)
        fits = [
            model
            for model in found.models
            if words.lower() in model.id.lower() and (provider is None or model.on(provider))
        ]
        return Items(fits[:limit]).with_meta(found.meta)

    async def get(self, model: str) -> Model:
        """All that the Hub and the router know of one model; a suffix such as `:groq` is left aside.

        >>> model = await client.models.get("Qwen/Qwen3-32B")
        >>> print(model.cheapest, model.fastest, model.on("groq"))
        """
        name = (checked_text("model", model) or "").partition(":")[0].strip()
        if not name:
            raise InputError(f"{model!r} is not the name of a model.", advice='It reads "org/name".')
        return await self._router.catalogue.model(name, await self._router.hugging_face_key())

    def _check(self, provider: str | None, limit: int | None) -> None:
        registry = self._router.registry
        if checked_text("provider", provider) and registry.find(str(provider)) is None:
            raise unknown_provider(str(provider), registry.names())
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InputError(
                f"limit={limit!r} is not a whole number above 0.", advice="limit=None gives all there are."
            )
