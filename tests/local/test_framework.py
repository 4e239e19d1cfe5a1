"""How a framework is imported: all of it, once, without the garbage collector, which is as it was afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from hfclient.local import framework

PROGRAM = """
import gc, sys, threading
{before}
rounds = []
gc.callbacks.append(lambda phase, info: rounds.append(info["generation"]) if "torch" in sys.modules else None)
from hfclient.local.framework import import_gently
threads = [threading.Thread(target=import_gently, args=("{name}",)) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(gc.isenabled(), rounds.count(2), gc.get_freeze_count() > 50_000)
before = set(sys.modules)
import hfclient.local.{name}_loading, hfclient.local.{name}_engine
print(sorted(name for name in set(sys.modules) - before if name.startswith(("torch", "transformers.m", "mlx"))))
"""


@pytest.mark.parametrize("name", ["torch", "mlx"])
@pytest.mark.parametrize("before", ["", "gc.disable()"], ids=["collecting", "not collecting"])
def test_the_collector_rests_while_a_framework_is_imported(name: str, before: str) -> None:
    """No full round while there is more and more to look through, and none through it later; who had switched the
    collector off finds it off. All that an engine needs was imported so."""
    program = PROGRAM.format(name=name, before=before)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    state, more = done.stdout.splitlines()
    assert state == f"{before == ''} 0 True"
    assert more == "[]"


def test_what_is_not_installed_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework that is missing is told by those who need it, with the command that installs it."""
    monkeypatch.setattr(framework, "_imported", set())
    monkeypatch.setattr(framework, "_MODULES", {"torch": ("no_such_framework", "json")})
    monkeypatch.setattr(framework, "_LIBRARIES", {"no_such_framework": ("lib/none.so",)})
    monkeypatch.setattr(gc, "freeze", lambda: None)
    framework.import_gently("torch")
    assert gc.isenabled()


def test_where_nothing_can_be_mapped_the_import_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system than those that have dlopen, nothing is mapped beforehand."""
    monkeypatch.setattr(framework.os, "name", "nt")
    framework._map_libraries()
