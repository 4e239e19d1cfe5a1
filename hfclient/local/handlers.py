"""Which kind of call is answered how: a new kind is a new handler here, and no new branch anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hfclient.call import Call
from hfclient.local.chat import ChatHandler
from hfclient.local.completion import TextHandler
from hfclient.local.speaker import Speaker
from hfclient.local.worker import Scribe
from hfclient.stream import Assembly


class Handler(Protocol):
    """How one task is done by a model on this machine."""

    def read(self, call: Call) -> Any:
        """What is asked for, checked as far as it can be without the model."""
        ...

    def scribe(self, speaker: Speaker, asked: Any) -> Scribe[Any]:
        """The prompt and what reads the answer; made in the model's thread."""
        ...

    def assembly(self) -> Assembly[Any, Any]:
        """What puts the pieces together."""
        ...


HANDLERS: Mapping[str, Handler] = {"conversational": ChatHandler(), "text-generation": TextHandler()}
