"""Models on this machine, behind the same calls as the cloud. No framework is loaded until a call needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from hfclient.provider import Provider, Task

if TYPE_CHECKING:
    from hfclient.local.options import Surroundings
    from hfclient.local.side import LocalSide


def _opened(surroundings: Surroundings) -> LocalSide:
    from hfclient.local.side import LocalSide  # noqa: PLC0415  with the first call

    return LocalSide(surroundings)


def _no_request(*_: Any) -> NoReturn:
    msg = "a model on this machine is sent no request"
    raise AssertionError(msg)


# Done by the side that `opens`, which needs no flow: these say what it does.
_HERE = Task(_no_request, stream=_no_request)

LOCAL = Provider(
    "local",
    "local:",
    {"conversational": _HERE, "text-generation": _HERE},
    routed=False,
    mapped=False,
    opens=_opened,
    default_model="tiny",
)
