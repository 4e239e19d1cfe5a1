"""Rows of tables: classified, or given a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Unpack

from hfclient.call import Options
from hfclient.tasks.arguments import ask
from hfclient.tasks.language import Table
from hfclient.types.items import Items

if TYPE_CHECKING:
    from hfclient.client import Client


async def tabular_classification(
    client: Client, table: Table, *, model: str | None = None, **options: Unpack[Options]
) -> Items[str | int | float]:
    """Say of each row of a table, which is a mapping of columns, which class it is of.

    >>> table = {"fixed_acidity": ["7.4", "7.8"], "alcohol": ["9.4", "9.8"]}
    >>> classes = await client.tabular_classification(table)
    """
    return await ask(tabular_classification, locals())


async def tabular_regression(
    client: Client, table: Table, *, model: str | None = None, **options: Unpack[Options]
) -> Items[float]:
    """Give each row of a table, which is a mapping of columns, a number.

    >>> table = {"Height": ["11.52", "12.48"], "Width": ["4.02", "4.31"]}
    >>> numbers = await client.tabular_regression(table)
    """
    return await ask(tabular_regression, locals())
