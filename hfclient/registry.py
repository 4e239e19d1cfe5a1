"""Which providers there are: our own table, and those that installed packages bring.

A package brings providers by an entry point in the group `hfclient.providers` that names a `Provider`, or a sequence
of them, just as our own table is one. Entry points are looked up only when a name is met that the table lacks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points

from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS

GROUP = "hfclient.providers"

logger = logging.getLogger("hfclient")


class Registry:
    """The providers by name."""

    def __init__(self, providers: Iterable[Provider] = PROVIDERS) -> None:
        self._own = {provider.name: provider for provider in providers}
        self._brought: dict[str, Provider] | None = None

    def find(self, name: str) -> Provider | None:
        return self._own.get(name) or self.brought.get(name)

    def names(self) -> list[str]:
        return sorted({*self._own, *self.brought})

    @property
    def brought(self) -> Mapping[str, Provider]:
        """What installed packages bring; a package that cannot be loaded is passed over with a warning."""
        if self._brought is None:
            self._brought = {}
            for entry in entry_points(group=GROUP):
                try:
                    found = entry.load()
                except (ImportError, AttributeError) as error:
                    logger.warning("The provider package %r could not be loaded: %s", entry.value, error)
                    continue
                for provider in (found,) if isinstance(found, Provider) else found:
                    self._brought.setdefault(provider.name, provider)
        return self._brought
