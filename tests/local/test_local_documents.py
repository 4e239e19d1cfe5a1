"""What the documents show of models on this machine, run as its reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hfclient import Client
from tests.test_documents import ENGINES, ROOT, _hugging_face, docstring_examples, named, run, snippets_in, text_of

__all__ = ["_hugging_face"]  # a fixture

pytestmark = pytest.mark.usefixtures("_hugging_face")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_the_page_runs() -> None:
    """docs/local.md runs from top to bottom."""
    run([each for each in snippets_in(text_of(ENGINES)) if each.reason_not_to_run is None], {}, named(ENGINES))


def test_readme_s_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The block of README that needs an engine runs, and the model says what hfclient is."""
    blocks = [each for each in snippets_in(text_of(ROOT / "README.md")) if each.reason_not_to_run]
    assert len(blocks) == 1
    run(blocks, {"Client": Client}, "README.md")
    assert "hfclient is one async Python client" in capsys.readouterr().out


def test_the_docstrings_run() -> None:
    """The examples of `client.local` run, but for the repository's name."""
    for example in docstring_examples(ROOT / "hfclient/tasks/local_models.py"):
        code = example.code.replace("Qwen/Qwen3-0.6B", "tiny").replace(', dtype="bfloat16"', "")
        run([type(example)(code, example.line)], {"client": Client()}, "local_models.py")


def test_the_commands_run(tmp_path: Path) -> None:
    """The command line of docs/local.md answers, offline, without a token, from an empty home."""
    (command,) = re.findall(r'(?m)^hfclient (chat --provider local) "(.+)"$', text_of(ENGINES))
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "hfclient", *command[0].split(), command[1]],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    assert "hfclient is one async Python client" in done.stdout
    assert done.stderr == ""


def test_the_options_on_the_page_are_those_of_the_code() -> None:
    """Each field of `LocalOptions` is in the table of docs/local.md, and no other."""
    from dataclasses import fields

    from hfclient import LocalOptions

    rows = re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", text_of(ENGINES).partition("## How it is run")[2])
    named_there = {name for row in rows for name in re.findall(r"\w+", row)}
    assert named_there == {field.name for field in fields(LocalOptions)}


@pytest.mark.parametrize("words", [[], ["local", "tiny", "Who are you?"]], ids=len)
def test_the_example_runs(words: list[str], tmp_path: Path) -> None:
    """`examples/local.py` streams an answer of the model in the box, offline, and says nothing else."""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/local.py"), *words],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    assert ("hfclient is one async" if not words else "I am tiny") in done.stdout
    assert "from local, in " in done.stdout
    assert done.stderr == ""
