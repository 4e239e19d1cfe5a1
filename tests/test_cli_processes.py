"""The command line in processes of its own: exit codes, pipes, Ctrl-C, and a conversation at a terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hfclient.sandbox import media
from tests.command_line import COMMAND, ROOT, Terminal, begun, ended, environment
from tests.loopback import (
    HoldUntilClosed,
    Loopback,
    Steps,
    by_path,
    chat_chunks,
    hub,
    json_answer,
    sse_answer,
)

TOKEN = "hf_fake_processes_0001"
TERMINAL = pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals and signals")


@pytest.fixture
def router() -> Iterator[Loopback]:
    """A router whose handler each test sets."""
    with Loopback(lambda _: sse_answer(chat_chunks("Hello there."))) as server:
        yield server


def there(server: Loopback) -> dict[str, str]:
    return {"HF_ENDPOINT": server.url, "HFCLIENT_ROUTER": server.url, "HF_TOKEN": TOKEN}


def stalling(words: str) -> Steps:
    """The beginning of an answer, and then nothing more."""
    return sse_answer(chat_chunks(words)[:-1], done=False, finish=[HoldUntilClosed()])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--version"], 0),
        (["chat", "--sandbox", "Tell me a joke"], 0),
        (["chat", "Hi"], 1),
        (["chat", "--frob"], 2),
        (["chat", "--sandbox", "-p", "frob", "Hi"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes(words: list[str], status: int) -> None:
    """0 where it went well, 1 where it failed, 2 where it must be typed differently; two lines say what went wrong."""
    done = ended(*words)
    assert done.returncode == status
    assert bool(done.stdout) is (status == 0)
    assert len(done.stderr.splitlines()) == (2 if status else 0)


def test_an_answer_is_streamed_into_a_pipe(router: Loopback) -> None:
    """Each word leaves as it comes: the first can be read while the model is still silent about the rest."""
    router.handler = lambda _: stalling("Hello there.")
    with begun("chat", "Hi", **there(router)) as process:
        assert process.stdout is not None
        assert process.stdout.read(12) == "Hello there."


@pytest.mark.parametrize(
    "words", [["models"], ["embed", "one", "two", "three"], ["chat", "Tell me a story"]], ids=" ".join
)
def test_a_reader_that_leaves_is_no_error(words: list[str]) -> None:
    """`| head -1` ends the command quietly."""
    process = subprocess.Popen(
        [*COMMAND, *words, "--sandbox"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdout is not None
        process.stdout.close()  # before anything is written
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode in {0, 1}


@TERMINAL
@pytest.mark.parametrize(
    "words", [["chat", "Hi"], ["chat", "--json", "Hi"], ["image", "a cat", "-p", "together"]], ids=" ".join
)
def test_ctrl_c_ends_a_command(words: list[str], router: Loopback) -> None:
    """130, at once, and no traceback."""
    live = {"together": {"status": "live", "providerId": "flux", "task": "text-to-image"}}
    router.handler = by_path({"/api/models/": hub(live), "/": lambda _: [HoldUntilClosed()]})
    with begun(*words, **there(router)) as process:
        router.wait_until(lambda: any(request.method == "POST" for request in router.requests), timeout=30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "")


@TERMINAL
def test_ctrl_c_cancels_the_job(router: Loopback) -> None:
    """Work that nobody will collect is stopped at the provider."""
    live = {"replicate": {"status": "live", "providerId": "org/film", "task": "text-to-video"}}
    job = {"id": "1", "status": "processing", "output": None, "urls": {"get": "/v1/predictions/1"}}
    router.handler = by_path({"/api/models/": hub(live), "/": lambda _: json_answer(job)})
    with begun("video", "a cat", "-m", "org/film", "-p", "replicate", **there(router)) as process:
        router.wait_until(lambda: any("/predictions/1" in request.path for request in router.requests), timeout=30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert [request.path for request in router.requests if request.method == "POST"][-1].endswith("/cancel")


def test_output_is_utf8_in_any_locale(router: Loopback) -> None:
    """A locale that knows no umlaut does not stand in an answer's way; what is piped in is UTF-8 too."""
    router.handler = lambda request: sse_answer(chat_chunks(request.json()["messages"][-1]["content"]))
    done = ended("chat", piped="Grüße, 你好 …", **there(router), LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.stdout, done.stderr) == ("Grüße, 你好 …\n", "")


def test_without_standard_input_nothing_is_read() -> None:
    """A command whose standard input was closed works, or says what it lacks."""
    closing = "import os, sys; os.close(0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", closing, *COMMAND, "chat", "--sandbox"]
    done = subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "Error: There is no question.")


@TERMINAL
def test_a_conversation(router: Loopback, tmp_path: Path) -> None:
    """Questions are asked with all that was said before; Ctrl-C stops an answer and keeps the conversation."""
    (tmp_path / "cat.png").write_bytes(media.png("a cat"))
    answers: list[Steps] = [
        stalling("Far away, "),
        sse_answer(chat_chunks("Very.")),
        [HoldUntilClosed()],
        json_answer({"error": "Busy."}, status=429),
        sse_answer(chat_chunks("A cat.")),
        sse_answer(chat_chunks("Begun anew.")),
    ]
    router.handler = lambda _: answers.pop(0)
    with Terminal(
        "chat", "--system", "Be brief.", cwd=tmp_path, variables={**there(router), "NO_COLOR": "1"}
    ) as terminal:
        terminal.wait_for("> ")
        terminal.type("How far is it?\n")
        terminal.wait_for("Far away, ")
        terminal.type("\x03")
        terminal.wait_for("(stopped)\n> ")
        terminal.type("Really?\n")
        terminal.wait_for("Very.\n> ")
        terminal.type("Are you there?\n")
        router.wait_until(lambda: len(router.requests) == 3, timeout=30)
        terminal.type("\x03")
        terminal.wait_for("(stopped)\n> ")
        terminal.type("Are you there now?\n")
        assert "\nError: The router answered 429" in terminal.wait_for("--provider groq,together")
        terminal.wait_for("> ")
        terminal.type("/image dog.png\n")
        terminal.wait_for("There is no file dog.png.\n> ")
        terminal.type("/image 'cat.png'\n")
        terminal.wait_for("cat.png goes with the next question.\n> ")
        terminal.type("What is this?\n")
        terminal.wait_for("A cat.\n> ")
        terminal.type("/clear\n")
        terminal.wait_for("> ")
        terminal.interrupt_until("Ctrl-D leaves.\n> ")
        terminal.type("/model org/other\n")
        terminal.wait_for("Model: org/other\n> ")
        terminal.type("Hello\n")
        terminal.wait_for("Begun anew.\n> ")
        terminal.type("\x04")
        assert terminal.ended() == 0
    asked = [request.json() for request in router.requests]
    told = [[(message["role"], message["content"]) for message in each["messages"]] for each in asked]
    system, first = ("system", "Be brief."), [("user", "How far is it?"), ("assistant", "Far away, ")]
    second = [("user", "Really?"), ("assistant", "Very.")]
    assert told[1] == [system, *first, ("user", "Really?")]
    assert told[2] == [system, *first, *second, ("user", "Are you there?")]
    assert told[3] == [system, *first, *second, ("user", "Are you there now?")]
    assert told[4][:-1] == [system, *first, *second]
    assert [part["type"] for part in told[4][-1][1]] == ["text", "image_url"]
    assert told[5] == [system, ("user", "Hello")]
    assert [each["model"] for each in asked][3:] == ["Qwen/Qwen3-32B", "Qwen/Qwen2.5-VL-7B-Instruct", "org/other"]
    assert TOKEN not in terminal.shown


@TERMINAL
def test_the_conversation_in_the_documentation_is_real(tmp_path: Path) -> None:
    """What docs/cli.md shows of a conversation is what a terminal shows when it is typed."""
    (tmp_path / "image.png").write_bytes(media.png("an astronaut"))
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    shown = page.partition("<!-- conversation -->\n```console\n$ hfclient chat\n")[2].partition("```")[0]
    with Terminal("chat", cwd=tmp_path, variables={"HFCLIENT_SANDBOX": "1"}) as terminal:
        for line in shown.splitlines():
            if line.startswith("> "):
                terminal.wait_for("> ")
                terminal.type(f"{line[2:]}\n")
        assert terminal.ended() == 0
    assert terminal.shown == shown


@TERMINAL
def test_a_conversation_turns_to_another_provider(router: Loopback, tmp_path: Path) -> None:
    """/provider is heeded from the next question on, and a wrong one changes nothing; the connection is kept."""
    live = {"status": "live", "providerId": "its-model", "task": "conversational"}
    said = by_path(
        {"/api/models/": hub({"groq": live, "together": live}), "/": lambda _: sse_answer(chat_chunks("Yes."))}
    )
    router.handler = said
    with Terminal("chat", cwd=tmp_path, variables=there(router)) as terminal:
        for line, shown in [
            ("/provider", "Provider: auto"),
            ("/provider grok", "Did you mean 'groq'?"),
            ("One?", "Yes."),
            ("/provider groq, together", "Provider: groq, together"),
            ("Two?", "Yes."),
            ("Three?", "Yes."),
            ("/model", "Model: Qwen/Qwen3-32B"),
            ("/help", "Ctrl-C stops an answer"),
            ("/frob", "There is no /frob."),
            ("", ""),
        ]:
            terminal.wait_for("> ")
            terminal.type(f"{line}\n")
            terminal.wait_for(shown)
        terminal.wait_for("> ")
        terminal.type("/exit\n")
        assert terminal.ended() == 0
    posts = [request for request in router.requests if request.method == "POST"]
    assert [request.path.split("/")[1] for request in posts] == ["v1", "groq", "groq"]
    assert posts[0].connection == posts[-1].connection


@TERMINAL
def test_what_was_typed_can_be_fetched_again(router: Loopback, tmp_path: Path) -> None:
    """Where readline is there, the key that leads up brings back the line before, to be edited."""
    pytest.importorskip("readline")
    with Terminal("chat", cwd=tmp_path, variables=there(router)) as terminal:
        for typed in ("How far is it?", "\x1b[A\x7f!"):  # up, and the last character away
            terminal.wait_for("> ")
            terminal.type(f"{typed}\n")
            terminal.wait_for("Hello there.")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.ended() == 0
    questions = [request.json()["messages"][-1]["content"] for request in router.requests]
    assert questions == ["How far is it?", "How far is it!"]


@TERMINAL
def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    """A job is followed on a terminal, and its file named when it is there."""
    with Terminal("video", "--sandbox", "a cat", cwd=tmp_path, variables={"TERM": "xterm"}) as terminal:
        terminal.wait_for("running")
        terminal.wait_for("video.mp4 (video/mp4, ")
        assert terminal.ended() == 0


@TERMINAL
def test_columns_are_wrapped_on_a_terminal(tmp_path: Path) -> None:
    """A long list goes on under its own column."""
    with Terminal("providers", cwd=tmp_path, variables={}) as terminal:
        assert terminal.ended() == 0
    lines = terminal.shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" " * 10) for line in lines)
