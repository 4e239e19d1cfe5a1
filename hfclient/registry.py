"""Which providers there are: our own table, and those that installed packages bring.

A package brings providers by an entry point in the group `hfclient.providers` that names a `Provider`, or a sequence
of them, just as our own table is one. Entry points are looked up only when a name is met that the table lacks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import cast

from hfclient.call import nearest, spoken, task_named
from hfclient.errors import InputError
from hfclient.local import LOCAL
from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS

GROUP = "hfclient.providers"
BUILT_IN = (*PROVIDERS, LOCAL)

logger = logging.getLogger("hfclient")


class Registry:
    """The providers by name."""

    def __init__(self, providers: Iterable[Provider] = BUILT_IN) -> None:
        self._own = {provider.name: provider for provider in providers}
        self._brought: dict[str, Provider] | None = None

    def find(self, name: str) -> Provider | None:
        return self._own.get(name) or self.brought.get(name)

    def names(self) -> list[str]:
        return sorted({*self._own, *self.brought})

    def serving(self, task: str | None = None) -> dict[str, tuple[str, ...]]:
        """The tasks of each provider; with a task, of those alone that serve it."""
        tasks = {name: tuple(sorted(cast("Provider", self.find(name)).tasks)) for name in self.names()}
        if task is None:
            return tasks
        wanted = task_named(task)
        known = {each for served in tasks.values() for each in served}
        if wanted not in known:
            raise InputError(
                f"No provider serves a task {task!r}.", advice=nearest(task, map(spoken, known), "There are")
            )
        return {name: served for name, served in tasks.items() if wanted in served}

    @property
    def brought(self) -> Mapping[str, Provider]:
        """What installed packages bring; a package that cannot be loaded is passed over with a warning."""
        if self._brought is None:
            brought: dict[str, Provider] = {}
            for entry in entry_points(group=GROUP):
                try:
                    for provider in _providers_of(entry.load()):
                        brought.setdefault(provider.name, provider)
                except (ImportError, AttributeError, TypeError, ValueError) as error:
                    logger.warning("The provider package %r could not be loaded: %s", entry.value, error)
            self._brought = brought
        return self._brought


def _providers_of(found: Provider | Iterable[Provider]) -> tuple[Provider, ...]:
    providers = (found,) if isinstance(found, Provider) else tuple(found)
    for provider in providers:
        if not isinstance(provider, Provider):
            msg = f"it brings {type(provider).__name__}, which is no Provider"
            raise TypeError(msg)
    return providers
