"""Stop strings: the text before the first of them, exactly, and nothing that may still turn out to be one."""

from __future__ import annotations

from collections.abc import Sequence

from hfclient.local.marks import Marks


class Stops:
    """Cuts a text, which arrives piece by piece, where the first stop string begins.

    Of two that begin at the same place it is the shorter one. `matched` is the stop string that ended the text.
    """

    __slots__ = ("_held", "_marks", "_strings", "matched")

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = sorted({string for string in strings if string}, key=len)
        self._marks = Marks(*self._strings)
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """What can be told by now."""
        return self._told(text, final=False)

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        return self._told("", final=True)

    def _told(self, text: str, *, final: bool) -> str:
        if self.matched is not None:
            return ""
        whole = self._held + text
        found, settled = self._marks.look(whole, final=final)
        if found is not None:
            self.matched = self._strings[found.which]
        self._held = "" if found else whole[settled:]
        return whole[:settled]
