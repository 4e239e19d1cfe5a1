"""The command line on this machine, with the model in the box: a question, a conversation, other tasks, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import command_line
from tests.command_line import Terminal, complaint, ended, environment, typed
from tests.test_cli_processes import TERMINAL

ABOUT = "hfclient is one async Python client"
# A model that takes a minute to load; what it prints says that it has begun.
SLOWLY = """
import sys, time
from hfclient.local import torch_loading
def load(*_):
    print("begun", flush=True)
    time.sleep(60)
torch_loading.load = load
from hfclient.cli.commands import main
main(prog_name="hfclient")
"""


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty home without a token, and no network; time enough for a busy machine to import a framework."""
    monkeypatch.setattr(command_line, "PATIENCE", 120.0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    home = str(tmp_path)
    return {"HOME": home, "HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_TOKEN": "", "PYTHONWARNINGS": "default"}


def test_a_question_may_be_piped_or_given_as_other_programs_have_it(alone: dict[str, str]) -> None:
    """What is piped in is the question; `--prompt` and `--model-id` are other names."""
    done = ended("chat", "--provider", "local", piped="What is hfclient?\n", **alone)
    assert (done.stdout.startswith(ABOUT), done.stderr, done.returncode) == (True, "", 0)
    done = ended("chat", "-p", "local", "--model_id", "tiny", "--prompt", "What is hfclient?", "--json", **alone)
    told = json.loads(done.stdout)
    assert told["choices"][0]["message"]["content"].startswith(ABOUT)
    assert (told["model"], told["meta"]["provider"]) == ("tiny", "local")


def test_text_is_generated(alone: dict[str, str]) -> None:
    """`run text-generation` goes on with a text."""
    words = ["run", "text-generation", "hfclient is", "-p", "local", "-P", "max_new_tokens=4", "--json"]
    told = json.loads(ended(*words, **alone).stdout)
    assert (told["meta"]["provider"], bool(told["generated_text"])) == ("local", True)


@TERMINAL
def test_a_conversation_goes_to_this_machine_and_back(alone: dict[str, str], tmp_path: Path) -> None:
    """The usual model is another one there, and is told; one that was named stays."""
    with Terminal("chat", cwd=tmp_path, variables={**alone, "HFCLIENT_SANDBOX": "1"}) as terminal:
        for line, shown in [
            ("/provider local", "Provider: local\nModel: tiny\n"),
            ("What is hfclient?", ABOUT),
            ("/provider auto", "Provider: auto\nModel: Qwen/Qwen3-32B\n"),
            ("Tell me a joke", "the other side of the chunk."),
            ("/model smollm", "Model: smollm\n"),
            ("/provider local", "Provider: local\n> "),
            ("/model tiny", "Model: tiny\n"),
            ("Who are you?", "\n"),
        ]:
            if not terminal.shown.endswith("> "):
                terminal.wait_for("> ")
            terminal.type(f"{line}\n")
            terminal.wait_for(shown)
        terminal.wait_for("> ")
        terminal.type("/exit\n")
        assert terminal.ended() == 0
    assert "Error" not in terminal.shown


@TERMINAL
def test_loading_shows_at_a_terminal(alone: dict[str, str], tmp_path: Path) -> None:
    """Who waits for the first word sees why; the bar is gone before it."""
    words = ["chat", "-p", "local", "What is hfclient?"]
    with Terminal(*words, cwd=tmp_path, variables={**alone, "TERM": "xterm"}) as terminal:
        terminal.wait_for("loading")
        terminal.wait_for(ABOUT)
        assert terminal.ended() == 0
    assert "loading" not in terminal.shown.partition(ABOUT)[2]


@TERMINAL
@pytest.mark.parametrize("words", [["chat", "Hi"], ["run", "text-generation", "Hi"]], ids=" ".join)
def test_ctrl_c_does_not_wait_for_a_model(words: list[str], alone: dict[str, str]) -> None:
    """130, long before the model is loaded, and no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words, "-p", "local"],
        env=environment(**alone),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "")


@TERMINAL
def test_ctrl_c_ends_an_answer(alone: dict[str, str]) -> None:
    """130 while the model writes; what had come of it stands."""
    words = ["chat", "-p", "local", "Tell me about hfclient.", "--temperature", "1.9"]
    endless = [sys.executable, "-c", f"{ENDLESS}\nmain(prog_name='hfclient')", *words]
    process = subprocess.Popen(
        endless, env=environment(**alone), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, b"")


# The model in the box, which never comes to an end.
ENDLESS = """
from hfclient.cli.commands import main
from hfclient.local.speaker import Speaker
Speaker.stop_tokens = frozenset()
"""


def test_the_doctor_names_the_engines(alone: dict[str, str]) -> None:
    """Those that are installed, by their versions, and the model in the box."""
    told = typed("doctor", "--sandbox", **alone).stdout
    assert "engine torch" in told
    assert "torch 2." in told
    assert "the model that local asks first" in told


def test_several_providers_need_a_model_that_is_named(alone: dict[str, str]) -> None:
    """No model that only a data centre can run is fetched because a question might go on from here to there."""
    what, advice = complaint(typed("chat", "Hi", "-p", "local,groq", **alone))
    assert "asked for the same model" in what
    assert "--model" in advice


def test_where_the_files_are_is_said(alone: dict[str, str]) -> None:
    """A model that is not here, offline, is two lines: what, and the command that fetches it."""
    what, advice = complaint(typed("chat", "Hi", "-p", "local", "-m", "org/name", **alone))
    assert what.startswith("org/name is not in the Hugging Face cache")
    assert advice == "Fetch it where there is a network: hf download org/name"
