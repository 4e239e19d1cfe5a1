"""`hfclient` as it is typed: in this process, in one of its own, and at a terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from click.testing import CliRunner, Result

from hfclient.cli.commands import main
from hfclient.testing import no_waits

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "hfclient"]
PATIENCE = 30.0


def typed(*words: str, piped: str = "", **variables: str) -> Result:
    """What a command says and how it ends; waits take no time."""
    with no_waits():
        return CliRunner().invoke(main, words, input=piped, env=variables, prog_name="hfclient")


def said(*words: str, piped: str = "", **variables: str) -> str:
    """What a command prints that ends well and complains of nothing."""
    result = typed(*words, piped=piped, **variables)
    assert (result.stderr, result.exit_code) == ("", 0)
    return result.stdout


def complaint(result: Result) -> tuple[str, str]:
    """The two lines with which a command fails: what, and what to do."""
    assert result.stdout == ""
    assert not isinstance(result.exception, BaseException) or isinstance(result.exception, SystemExit)
    what, advice = result.stderr.splitlines()
    assert what.startswith("Error: ")
    return what.removeprefix("Error: "), advice


def environment(**variables: str) -> dict[str, str]:
    """For a process of its own: this process's environment, in which the package is the one that is tested."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **variables}


def ended(*words: str, piped: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *words],
        input=piped,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
    )


@contextmanager
def begun(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own that goes on meanwhile."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def sandbox_served(*options: str) -> Iterator[str]:
    """The address of `hfclient sandbox`, in a process of its own."""
    with begun("sandbox", "--port", "0", "--token-latency", "0", *options) as process:
        assert process.stdout is not None
        found = re.search(r"HF_ENDPOINT=(\S+)", process.stdout.readline())
        assert found, process.stderr and process.stderr.read()
        yield found[1]


class Terminal:
    """A command at a terminal: type, and wait for what it shows."""

    def __init__(self, *words: str, cwd: Path, variables: Mapping[str, str]) -> None:
        self._words = words
        self._cwd = cwd
        self._variables = {"TERM": "dumb", "COLUMNS": "80", **variables}
        self.shown = ""
        self._read_up_to = 0

    def __enter__(self) -> Self:
        import pty

        pid, self._screen = pty.fork()
        if pid == 0:
            os.chdir(self._cwd)
            os.execve(sys.executable, [*COMMAND, *self._words], environment(**self._variables))
        self._pid: int | None = pid
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid is not None:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._screen)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def interrupt_until(self, words: str) -> None:
        """Press Ctrl-C, and again where it came between the showing of a prompt and the waiting for what is typed."""
        while words not in self.shown[self._read_up_to :]:
            self.type("\x03")
            pressed = time.monotonic()
            while words not in self.shown[self._read_up_to :] and time.monotonic() < pressed + 1:
                assert self._read()
        self.wait_for(words)

    def wait_for(self, words: str) -> str:
        """All that is shown up to these words, since the last that were waited for."""
        end = time.monotonic() + PATIENCE
        while words not in self.shown[self._read_up_to :]:
            assert time.monotonic() < end, f"{words!r} did not come: {self.shown[self._read_up_to :]!r}"
            assert self._read(), f"It ended without {words!r}: {self.shown[self._read_up_to :]!r}"
        place = self.shown.index(words, self._read_up_to) + len(words)
        new, self._read_up_to = self.shown[self._read_up_to : place], place
        return new

    def ended(self) -> int:
        """The exit code, once all is read."""
        while self._read():
            pass
        assert self._pid is not None
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], 0.2)[0]:
            return True
        try:
            new = os.read(self._screen, 4096)
        except OSError:  # how Linux says that the other side has gone
            return False
        self.shown += new.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(new)
