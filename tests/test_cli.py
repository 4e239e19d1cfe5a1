"""The command line, command by command, in this process; all that models say is made up by the sandbox."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hfclient.cli import progress
from hfclient.cli.commands import main
from hfclient.cli.default_models import CHAT, CHAT_WITH_PICTURES, DEFAULT_MODELS
from hfclient.cli.wording import at_the_command_line
from hfclient.flow import Progress
from hfclient.sandbox import Sandbox, everywhere, media
from hfclient.sandbox.catalogue import KNOWN
from hfclient.tasks.anything import FUNCTIONS
from hfclient.trip import too_late
from tests.command_line import complaint, environment, said, typed
from tests.loopback import HoldUntilClosed, Loopback, by_path, hub, json_answer

TOKEN = "hf_fake_command_line_0001"
GROQ = "gsk_fake_command_line_0002"
JOKE = "Why did the token cross the stream? To get to the other side of the chunk.\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(32)
COMMANDS = list(main.commands)


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(media.png("a cat"))
    Path("my talk.wav").write_bytes(media.wav("a talk"))


# What costs nothing


@pytest.mark.parametrize(
    ("statement", "not_loaded"),
    [
        ("import hfclient", {"click", "rich"}),
        ("import hfclient.cli.commands", {"anyio", "asyncio", "httpx", "huggingface_hub", "pydantic", "rich"}),
    ],
)
def test_what_is_not_used_is_not_loaded(statement: str, not_loaded: set[str]) -> None:
    """A program does without click, and `--help` without anything but click."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & not_loaded == set()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns(command: str) -> None:
    """Help is readable in the narrowest terminal there is, its examples unbroken."""
    shown = said(*filter(None, [command]), "--help", COLUMNS="80")
    assert max(map(len, shown.splitlines())) <= 80
    assert "\b" not in shown


def test_without_a_command_there_is_help() -> None:
    """`hfclient` alone shows what there is, in the order in which one needs it, and every line is whole."""
    shown = said()
    assert shown == said("--help") == said("-h")
    assert [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines() if line[2] != " "] == COMMANDS
    assert "..." not in shown.partition("Commands:")[2]
    assert shown.index('chat --sandbox "Tell me a joke"') < shown.index("Options:")


def test_the_version_is_the_packages() -> None:
    """`--version` says which hfclient this is."""
    from hfclient import __version__

    assert said("--version") == f"hfclient, version {__version__}\n"


# Models


def test_every_task_has_a_model() -> None:
    """No command needs `--model`, and the sandbox knows each of these models for its task."""
    assert set(DEFAULT_MODELS) == {CHAT, CHAT_WITH_PICTURES, *FUNCTIONS}
    for task, model in DEFAULT_MODELS.items():
        assert KNOWN[model] == (CHAT if task == CHAT_WITH_PICTURES else task)


@pytest.mark.parametrize(
    ("command", "tasks"),
    [
        ("chat", [CHAT, CHAT_WITH_PICTURES]),
        ("image", ["text-to-image", "image-to-image"]),
        ("video", ["text-to-video", "image-to-video"]),
        ("speak", ["text-to-speech"]),
        ("transcribe", ["automatic-speech-recognition"]),
        ("embed", ["feature-extraction"]),
        ("run", list(FUNCTIONS)),
    ],
)
def test_help_names_the_model(command: str, tasks: list[str]) -> None:
    """Whose answer it will be is said before it is asked for."""
    shown = "".join(said(command, "--help").split())
    assert [model for task in tasks if (model := DEFAULT_MODELS[task]) not in shown] == []


INPUTS: dict[str, tuple[str, ...]] = {
    "audio-classification": ("my talk.wav",),
    "audio-to-audio": ("my talk.wav",),
    "automatic-speech-recognition": ("my talk.wav",),
    "document-question-answering": ('{"image": "cat.png", "question": "Which number?"}',),
    "feature-extraction": ('["one", "two"]',),
    "fill-mask": ("Paris is the [MASK] of France.",),
    "image-text-to-image": ("cat.png", "-P", "prompt=a tiger"),
    "image-text-to-video": ("cat.png", "-P", "prompt=a tiger"),
    "question-answering": ('{"question": "Who?", "context": "It was Ada."}',),
    "sentence-similarity": ("It is sunny.", "-P", 'other_sentences=["The sun shines."]'),
    "table-question-answering": ('{"query": "Which?", "table": {"city": ["Paris"], "river": ["Seine"]}}',),
    "tabular-classification": ('{"table": {"size": [1, 2]}}',),
    "tabular-regression": ('{"table": {"size": [1, 2]}}',),
    "visual-question-answering": ("cat.png", "-P", "question=What?"),
    "zero-shot-classification": ("A dog barks.", "-P", 'candidate_labels=["dog", "cat"]'),
    "zero-shot-image-classification": ("cat.png", "-P", 'candidate_labels=["dog", "cat"]'),
}


@pytest.mark.parametrize("task", FUNCTIONS)
def test_run_runs_any_task(task: str) -> None:
    """Each task runs by its name with its usual model, and says something; a file is named."""
    inputs = INPUTS.get(task, ("cat.png",) if task.startswith(("image", "object")) else ("Some text.",))
    shown = said("run", task, *inputs, "--sandbox")
    assert shown.strip()
    if file := re.match(r"(\S+) \((image/png|video/mp4|audio/wav), [\d,]+ bytes, from [\w-]+\)\n", shown):
        assert file[1].startswith(task)
        assert Path(file[1]).stat().st_size > 0


# Chat


def test_chat_prints_the_answer() -> None:
    """One question, one answer, and nothing else."""
    assert said("chat", "--sandbox", "Tell", "me", "a joke") == JOKE


def test_the_sandbox_of_the_environment_serves_commands_too() -> None:
    """HFCLIENT_SANDBOX=1 is `--sandbox` for every command."""
    assert said("chat", "a joke", HFCLIENT_SANDBOX="1") == JOKE
    assert "router.huggingface.co/v1" in said("chat", "--curl", "a joke", HFCLIENT_SANDBOX="1")


def test_chat_reads_what_is_piped() -> None:
    """What is piped in goes with the question, and is the question where there is none."""
    with everywhere(Sandbox(chat=lambda messages: str(messages[-1]["content"]))):
        assert said("chat", "Sum it up:", piped="A long text.\n") == "Sum it up:\n\nA long text.\n"
        assert said("chat", piped="A joke?") == "A joke?\n"


def test_chat_passes_on_what_is_asked_of_it() -> None:
    """Options reach the request, and what was not given is not sent."""
    sandbox = Sandbox()
    with everywhere(sandbox):
        words = ("--system", "Be brief.", "--max-tokens", "5", "--temperature", "0", "--image", "cat.png")
        assert said("chat", "What is this?", *words, "-p", "groq") == "I was sent 1 of these: image_url.\n"
        said("chat", "Hi", "--bill-to", "my-org")
    first, second = (seen for seen in sandbox.requests if seen.method == "POST")
    sent = first.json()
    assert first.place == "groq"
    assert (sent["max_tokens"], sent["temperature"], sent["model"]) == (5, 0, DEFAULT_MODELS[CHAT_WITH_PICTURES])
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert second.headers["x-hf-bill-to"] == "my-org"
    assert set(second.json()) == {"model", "messages", "stream", "stream_options"}
    assert second.json()["model"] == DEFAULT_MODELS[CHAT]


def test_several_providers_are_tried_in_order() -> None:
    """`--provider groq,together` moves on where the first is busy."""
    sandbox = Sandbox()
    sandbox.fail(429, at="groq")
    with everywhere(sandbox):
        shown = json.loads(said("chat", "--json", "-p", "groq, together", "Hi"))
    assert shown["meta"]["provider"] == "together"


def test_chat_as_json_is_whole() -> None:
    """`--json` prints one object in OpenAI's shape, with meta, and with the cost where it is known."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.25}
    with everywhere(Sandbox(chat=lambda _: {"content": "Grüße…", "usage": usage})):
        shown = json.loads(said("chat", "--json", "Hi"))
    assert shown["choices"][0]["message"] == {"role": "assistant", "content": "Grüße…"}
    assert shown["cost"] == 0.25
    assert set(shown["meta"]) == {"provider", "model", "request_id", "status", "seconds"}
    assert "cost" not in json.loads(said("chat", "--json", "--sandbox", "Hi"))


def test_an_own_address_is_asked_for_no_model() -> None:
    """With `--base-url` no model is named unless the user does, and no key goes there."""
    completion = {"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}
    with Loopback(lambda _: json_answer(completion)) as server:
        said("chat", "--json", "--base-url", f"{server.url}/v1", "Hi", HF_TOKEN=TOKEN)
        (request,) = server.requests
    assert set(request.json()) == {"messages"}
    assert "authorization" not in request.headers


def test_a_conversation_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line, as `input` gives them; what has no answer is not part of what was said."""
    lines = ["", "One?", "/model", "/model org/one", "/provider", "/provider grok", "/provider together"]
    lines += ["Two?", "/image dog.png", "/image cat.png", "Three?", "Four?", "/clear", "/help", "/frob", "Five?"]
    sandbox = Sandbox(chat=lambda messages: "Yes." if messages[-1]["content"] != "Five?" else "Five.\n")
    sandbox.fail(500, at="together", times=1)
    monkeypatch.setattr("hfclient.cli.answers.is_terminal", lambda _: True)
    waiting = iter([*lines, KeyboardInterrupt(), EOFError()])

    def give(prompt: str) -> str:
        assert prompt == "> "
        line = next(waiting)
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", give)
    with everywhere(sandbox):
        result = typed("chat")
    asked = [seen.json() for seen in sandbox.requests if seen.method == "POST"]
    said_before = [[str(message["content"])[:5] for message in each["messages"]][:-1] for each in asked]
    assert said_before == [[], ["One?", "Yes."], ["One?", "Yes."], ["One?", "Yes.", "[{'ty", "Yes."], []]
    assert [each["model"] for each in asked] == [DEFAULT_MODELS[CHAT], *["org/one"] * 4]
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:4] == ["Yes.", f"Model: {DEFAULT_MODELS[CHAT]}", "Model: org/one"]
    assert result.stdout.endswith("Five.\n\nCtrl-D leaves.\n\n")
    assert [line for line in result.stderr.splitlines() if line.startswith(("Error", "There"))] == [
        "Error: There is no provider 'grok'.",
        "Error: together answered 500: Something went wrong (500) [together · org/one · chat]",
        "There is no file dog.png.",
        "There is no /frob.",
    ]


# Files


def test_files_are_named_and_nothing_is_lost() -> None:
    """A result goes beside those before it, never over them; a name that was given is kept to."""
    assert re.fullmatch(r"image\.png \(image/png, \d+ bytes, from [\w-]+\)\n", said("image", "--sandbox", "a cat"))
    assert said("image", "--sandbox", "a dog").startswith("image-2.png (")
    Path("mine.png").write_bytes(b"old")
    assert said("image", "--sandbox", "a dog", "-o", "mine.png").startswith("mine.png (")
    assert Path("mine.png").read_bytes() == Path("image-2.png").read_bytes() != Path("image.png").read_bytes()


def test_a_name_fits_what_came() -> None:
    """Where the provider makes another kind of file than usual, the name says so; a name that was given stays."""
    sandbox = Sandbox(answers={"/models/black-forest-labs": JPEG})
    with everywhere(sandbox):
        assert said("image", "a cat", "-p", "hf-inference").startswith("image.jpg (image/jpeg, ")
        assert said("image", "a cat", "-p", "hf-inference").startswith("image-2.jpg (image/jpeg, ")
        assert said("image", "a cat", "-p", "hf-inference", "-o", "a.png").startswith("a.png (image/jpeg, ")
    assert not Path("image.png").exists()
    assert Path("image.jpg").read_bytes() == JPEG


def test_files_go_to_standard_output() -> None:
    """`-o -` prints the bytes and nothing else."""
    result = typed("image", "--sandbox", "a cat", "-o", "-")
    assert result.stdout_bytes == media.png("a cat")
    assert sorted(path.name for path in Path().iterdir()) == ["cat.png", "my talk.wav"]


def test_a_file_as_json() -> None:
    """`--json` of a file says where it lies and what it is."""
    shown = json.loads(said("speak", "--sandbox", "--json", "Hello there.", "--voice", "anna"))
    assert (shown["path"], shown["media_type"]) == ("speech.wav", "audio/wav")
    assert shown["size"] == Path("speech.wav").stat().st_size
    assert shown["meta"]["model"] == DEFAULT_MODELS["text-to-speech"]


def test_pictures_are_changed_and_set_in_motion() -> None:
    """`--from` makes another task of it, with another model."""
    sandbox = Sandbox()
    with everywhere(sandbox):
        said("image", "a tiger", "--from", "cat.png", "--width", "20", "--height", "30", "--provider", "hf-inference")
        assert said("video", "it walks", "--from", "cat.png", "--seed", "3").startswith("video.mp4 (video/mp4")
    asked_for = [seen.path for seen in sandbox.requests if seen.place == "hub"]
    models = [DEFAULT_MODELS[task] for task in ("image-to-image", "image-to-video")]
    assert asked_for == [f"/api/models/{model}" for model in models]
    (changed,) = [seen.json() for seen in sandbox.requests if seen.place == "hf-inference"]
    assert changed["parameters"] == {"prompt": "a tiger", "target_size": {"width": 20, "height": 30}}


def test_files_within_a_result_are_put_on_disk() -> None:
    """Tracks and masks are files too: the JSON says where each lies."""
    (track,) = json.loads(said("run", "audio-to-audio", "my talk.wav", "--sandbox", "--json"))["result"]
    (segment,) = json.loads(said("run", "image-segmentation", "cat.png", "--sandbox"))
    assert Path(track["audio"]["path"]).read_bytes()[:4] == b"RIFF"
    assert segment["mask"]["path"] == "image-segmentation.png"


def test_speech_and_vectors() -> None:
    """`transcribe` prints what was said, `embed` a line of JSON for each text, piped or not."""
    assert said("transcribe", "--sandbox", "my talk.wav") == "The quick brown fox jumps over the lazy dog.\n"
    vectors = [json.loads(line) for line in said("embed", "--sandbox", "one", "two").splitlines()]
    assert [len(vector) for vector in vectors] == [384, 384]
    assert said("embed", "--sandbox", piped="one\n\ntwo\n") == said("embed", "--sandbox", "one", "two")
    assert said("speak", "--sandbox", piped="Hello").startswith("speech.wav")
    whole = json.loads(said("embed", "--sandbox", "--json", "one", "--dimensions", "3"))
    assert len(whole["result"][0]) == 3
    assert whole["meta"]["status"] == 200


def test_a_task_without_a_function_is_asked_for_in_the_providers_words() -> None:
    """Any task can be named with a model for it; files go as files, and raw bytes that come are put on disk."""
    sandbox = Sandbox(answers={"depth": JPEG})
    with everywhere(sandbox):
        shown = json.loads(said("run", "image-feature-extraction", "cat.png", "-m", "org/vit", "-p", "hf-inference"))
        assert said("run", "depth", "cat.png", "-m", "org/depth", "-p", "hf-inference").startswith("depth.jpg (")
    assert shown[0]["label"] == "tabby cat"
    sent = [seen.body for seen in sandbox.requests if seen.method == "POST"]
    assert sent == [Path("cat.png").read_bytes()] * 2


# What there is


def test_models_are_listed() -> None:
    """A line for each model: who is cheapest and fastest, or who there is."""
    chat = said("models", "--sandbox", "--search", "qwen3").splitlines()
    assert re.fullmatch(r"Qwen/Qwen3-32B +\d+ providers +\$[\d.]+ in, \$[\d.]+ out at \w+ +\d+ tokens/s at \w+", *chat)
    assert re.search(r"FLUX\.1-dev +\d+ providers +.*together", said("models", "--sandbox", "--task", "text-to-image"))
    assert len(said("models", "--sandbox", "--limit", "2").splitlines()) == 2
    assert json.loads(said("models", "--sandbox", "--json", "-p", "groq"))[0]["id"] == "Qwen/Qwen3-32B"


def test_one_model_is_described() -> None:
    """Each provider of it with its status, its task, its price and its speed."""
    shown = said("models", "--sandbox", "Qwen/Qwen3-32B").splitlines()
    assert re.fullmatch(r"baseten +live +chat +\$0\.1 in, \$0\.3 out +90 tokens/s", shown[0])
    assert json.loads(said("models", "--sandbox", "--json", "Qwen/Qwen3-32B"))["providers"][0]["provider"] == "baseten"


def test_providers_are_listed() -> None:
    """Who can be called, for what; without a client, a token or the network."""
    assert re.search(r"(?m)^groq +chat$", said("providers"))
    assert "groq" not in said("providers", "--task", "text-to-image")
    assert json.loads(said("providers", "--json"))["groq"] == ["conversational"]


def test_the_doctor_says_where_keys_go() -> None:
    """Each key by the name of its variable, with the place it would go to; the token goes before a provider's own."""
    in_the_sandbox = said("doctor", "--sandbox", HF_TOKEN=TOKEN, GROQ_API_KEY=GROQ, OPENAI_API_KEY="sk-fake")
    assert "from HF_TOKEN; goes to https://huggingface.co and https://router.huggingface.co" in in_the_sandbox
    assert re.search(r"GROQ_API_KEY +a key of groq; rests: the token goes before it", in_the_sandbox)
    assert re.search(r"OPENAI_API_KEY +a key of openai; goes to https://api.openai.com", in_the_sandbox)
    assert "the sandbox" in in_the_sandbox
    assert re.search(
        r"GROQ_API_KEY +a key of groq; goes to https://api.groq.com", said("doctor", "--sandbox", GROQ_API_KEY=GROQ)
    )


def test_the_doctor_finds_what_is_wrong() -> None:
    """No token, or a place that refuses or cannot be reached, is marked, explained, and an exit code of 1."""
    with Loopback(
        by_path({"/api/models": lambda _: json_answer([]), "/": lambda _: json_answer({}, status=401)})
    ) as server:
        result = typed("doctor", HF_ENDPOINT=server.url, HFCLIENT_ROUTER=server.url)
    assert result.exit_code == 1
    assert "✗ Hugging Face token" in result.stdout
    assert re.search(rf"✓ the Hub +{server.url} answers", result.stdout)
    assert re.search(r"✗ the router +.*401", result.stdout)
    assert 'run "hf auth login"' in result.stdout
    broken = typed("doctor", "--json", HFCLIENT_TRANSPORT="carrier pigeon")
    assert json.loads(broken.stdout)[-1]["well"] is False
    assert broken.exit_code == 1
    assert "has characters that no key has" in typed("doctor", "--sandbox", HF_TOKEN="hf fake").stdout


def test_the_doctor_says_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is missing is named with the command that installs it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    assert 'pip install "hfclient[sandbox]" for hfclient sandbox' in said("doctor", "--sandbox")


def test_this_machine_has_its_place_in_the_lists() -> None:
    """`models` has the short names, with what else can be run; `providers` says which of them is here."""
    assert re.search(r"(?m)^tiny +in the box$", said("models", "--provider", "local"))
    assert "--model org/name, a folder" in said("models", "--provider", "local", "--search", "qwen")
    assert json.loads(said("models", "-p", "local", "--json", "-s", "smol"))["smollm"]
    assert re.search(r"(?m)^local +on this machine: chat, text-generation$", said("providers"))
    assert "the model that local asks first" in said("doctor", "--sandbox")


def test_options_have_the_names_of_other_programs_too() -> None:
    """`--model-id`, `--image-path` and underscores are understood; `--prompt` is the question; help does without."""
    names = ["--model_id", "org/mine", "--prompt", "What is this?", "--image-path", "cat.png", "--max_tokens", "7"]
    body = said("chat", "--sandbox", "--curl", *names)
    assert all(each in body for each in ('"org/mine"', "What is this?", "image_url", '"max_tokens":7'))
    assert "--model-id" not in said("chat", "--help")


def test_an_answer_is_waited_for_in_sight(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is shown before there is something to tell; a download is told by tenths where there are no bars."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(progress, "is_terminal", lambda _: True)
    with progress.Waiting() as waiting:
        assert capsys.readouterr().err == ""
        for percent in (1, 2, 11, 12):
            waiting.tell(Progress("downloading", fraction=percent / 100, logs=(f"{percent} of 100 MB",)))
        waiting.tell(Progress("loading"))
    assert capsys.readouterr().err == "downloading: 1 of 100 MB\ndownloading: 11 of 100 MB\nloading\n"


# Failing


@pytest.mark.parametrize(
    ("words", "what", "advice"),
    [
        (["frob"], "No such command 'frob'.", "See hfclient --help."),
        (["chat", "hi", "-p", "local", "--curl"], "is sent no request", "Leave --curl away."),
        (["chat", "hi", "-p", "local,groq"], "are asked for the same model", "--model"),
        (["chat", "--modle", "x"], "No such option", "See hfclient chat --help."),
        (["image"], "Missing argument 'PROMPT'.", "See hfclient image --help."),
        (["chat"], "There is no question.", "See hfclient chat --help."),
        (["chat", "--json"], "There is no question.", "See hfclient chat --help."),
        (["speak"], "There is no text.", "See hfclient speak --help."),
        (["embed"], "There is no text.", "See hfclient embed --help."),
        (["run", "summarization"], "missing a required argument: 'text'", "See hfclient run --help."),
        (["run", "text-to-imge", "x"], "Did you mean 'text-to-image'?", "See hfclient run --help."),
        (["run", "chat", "hi"], "hfclient chat", "See hfclient run --help."),
        (["run", "summarization", "x", "-P", "y"], "NAME=VALUE", "See hfclient run --help."),
        (["run", "summarization", "x", "-P", "y=1"], "takes no option 'y'", "It takes: "),
        (["run", "summarization", "x", "-o", "y"], "is no file", "See hfclient run --help."),
        (["chat", "hi", "-p", "grok"], "There is no provider 'grok'.", "Did you mean 'groq'?"),
        (["chat", "hi", "--image", "dog.png"], "'dog.png' does not exist", "See hfclient chat --help."),
        (["image", "x", "--from", "cat.png", "--width", "3"], "target_size['height'] is missing", "image --help"),
        (["image", "x", "-o", "nowhere/x.png"], "There is no directory", "Make it first."),
        (["transcribe", "nothing.wav"], "There is no file 'nothing.wav'", "Looked for "),
        (["models", "-p", "grok"], "There is no provider 'grok'.", "Did you mean 'groq'?"),
        (["providers", "-t", "text-to-imge"], "No provider serves", "Did you mean 'text-to-image'?"),
        (["sandbox", "--fail", "frob"], "cannot fail with 'frob'", "Pass a status"),
        (["sandbox", "--fail", "429,frob=1"], "--fail 429,frob=1 is not understood.", "See hfclient sandbox --help."),
        (["sandbox", "--port", "70000"], "70000 is not in the range", "See hfclient sandbox --help."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_ends_with_2(words: list[str], what: str, advice: str) -> None:
    """What must be typed differently is told in two lines, and nothing is sent."""
    sandbox = Sandbox()
    with everywhere(sandbox):
        result = typed(*words)
    told = complaint(result)
    assert (result.exit_code, what in told[0], advice in told[1]) == (2, True, True), told
    assert [seen for seen in sandbox.requests if seen.method == "POST"] == []


def test_without_a_token_there_are_two_ways_on() -> None:
    """Where a token is missing, it is said how to get one, and how to go on without."""
    result = typed("chat", "Hi")
    what, advice = complaint(result)
    assert result.exit_code == 1
    assert "needs a token" in what
    assert "https://huggingface.co/settings/tokens" in advice
    assert "--sandbox" in advice


PYTHON = re.compile(r"Client\(|retry=|keys=|\w=…|client\.\w+\(|Retry|\{|bill_to|base_url")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 413, 415, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("words", [("chat", "Hi"), ("image", "a cat", "-p", "together")], ids=["chat", "image"])
def test_a_refusal_ends_with_1_and_advice_that_can_be_typed(status: int, words: tuple[str, ...]) -> None:
    """An error of the service is told in two lines, in a command line's terms and not in Python's."""
    sandbox = Sandbox()
    sandbox.fail(status, every=1, retry_after=2)
    with everywhere(sandbox):
        result = typed(*words)
    _, advice = complaint(result)
    assert result.exit_code == 1
    assert not PYTHON.search(advice), advice


def test_patience_is_an_option() -> None:
    """`--timeout` bounds the whole call, and is what advice about a wait names."""
    with Loopback(lambda _: [HoldUntilClosed()]) as server:
        result = typed("chat", "Hi", "--timeout", "0.2", HFCLIENT_ROUTER=server.url, HF_TOKEN=TOKEN)
    _, advice = complaint(result)
    assert result.exit_code == 1
    assert "Raise --timeout" in advice
    assert not PYTHON.search(advice), advice


def test_a_deadline_is_told_in_the_same_words() -> None:
    """What a program is told of its deadline, a command is told of its option."""
    told = at_the_command_line(too_late(5.0).advice)
    assert told == "Raise --timeout. A stream keeps what had arrived by then."


@pytest.mark.parametrize("kind", ["html", "reset", "malformed"])
def test_broken_answers_end_with_1(kind: Any) -> None:
    """What goes wrong on the way is told as what is refused."""
    sandbox = Sandbox()
    sandbox.fail(kind, every=1)
    with everywhere(sandbox):
        result = typed("chat", "--json", "Hi")
    what, advice = complaint(result)
    assert (result.exit_code, bool(what), bool(advice)) == (1, True, True)
    assert not PYTHON.search(advice), advice


@pytest.mark.parametrize(
    ("words", "typed_so"),
    [
        (("chat", "Hi", "-m", "black-forest-labs/FLUX.1-dev", "-p", "together"), "hfclient run text-to-image"),
        (("image", "Hi", "-m", "Qwen/Qwen3-32B", "-p", "together"), "hfclient chat"),
    ],
)
def test_advice_names_commands(words: tuple[str, ...], typed_so: str) -> None:
    """A model for another task is told with the command for that task."""
    with everywhere(Sandbox()):
        _, advice = complaint(typed(*words))
    assert typed_so in advice
    assert not PYTHON.search(advice), advice


def test_what_had_arrived_stays_on_the_screen() -> None:
    """A stream that breaks off has printed what came, and then ends with 1 and an error of its own."""
    sandbox = Sandbox()
    sandbox.fail("cut")
    with everywhere(sandbox):
        result = typed("chat", "Tell me a story.")
    assert result.exit_code == 1
    assert result.stdout.startswith("Once upon a time")
    assert result.stdout.endswith("\n")
    assert result.stderr.startswith("Error: ")
    assert "error.partial" not in result.stderr


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hfclient sandbox` without uvicorn says what to install, in quotes that a shell wants."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = typed("sandbox")
    assert result.exit_code == 1
    assert complaint(result)[1] == 'pip install "hfclient[sandbox]"'


def test_a_port_in_use_is_told() -> None:
    """Where the port is taken, another is suggested."""
    with Loopback(lambda _: json_answer({})) as server:
        result = typed("sandbox", "--port", server.url.rpartition(":")[2])
    what, advice = complaint(result)
    assert result.exit_code == 1
    assert "Address already in use." in what
    assert "--port 0" in advice


def test_colours_are_for_terminals_alone() -> None:
    """An error is red where somebody looks on, unless NO_COLOR says otherwise."""
    on_a_terminal = CliRunner().invoke(main, ["frob"], color=True)
    assert "\x1b[31mError:\x1b[0m" in on_a_terminal.stderr
    assert "\x1b" not in CliRunner().invoke(main, ["frob"], color=True, env={"NO_COLOR": "1"}).stderr
    assert "\x1b" not in typed("frob").stderr


def test_a_model_cannot_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters are not printed where a terminal would obey them; a pipe gets what the model said."""
    with everywhere(Sandbox(chat=lambda _: "Alarm\x07! \x1b[2JGone.")):
        assert said("chat", "x") == "Alarm\x07! Gone.\n"  # click takes sequences away, but not single characters
        monkeypatch.setattr("hfclient.cli.printing.is_terminal", lambda stream: stream is sys.stdout)
        assert CliRunner().invoke(main, ["chat", "x"], color=True).stdout == "Alarm! [2JGone.\n"


# Progress


def test_a_pipe_sees_no_progress() -> None:
    """Where standard error is no terminal, nothing is told and nothing is printed."""
    with progress.shown() as tell:
        assert tell is None


STORY = [
    Progress("queued", position=2),
    Progress("running", logs=("one", "two [/red]\x1b[2J")),
    Progress("running", logs=("one", "two [/red]\x1b[2J")),
    Progress("downloading", fraction=0.5),
]


@pytest.mark.parametrize("rich", [True, False], ids=["with rich", "without"])
def test_a_terminal_sees_how_it_goes(
    rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar with rich, a line for what is new without it; a provider's words are printed as they are, and no more."""
    monkeypatch.setattr(progress, "is_terminal", lambda _: True)
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    with progress.shown() as tell:
        assert tell is not None
        for each in STORY:
            tell(each)
    shown = capsys.readouterr().err
    assert "\x1b[2J" not in shown
    if not rich:
        assert shown.splitlines() == ["queued, 2 ahead", "running: two [/red][2J", "downloading"]


def test_progress_is_short() -> None:
    """What a provider logs is cut to one line."""
    assert len(progress.described(Progress("running", logs=("word " * 100,)))) <= 60


# What would be sent


def curled(*words: str, **variables: str) -> tuple[str, list[str]]:
    """The words of the command that is printed, as a shell would have them."""
    command = said(*words, "--curl", **variables)
    return command, shlex.split(command.replace("\\\n", " "))


def test_the_request_is_shown_as_it_would_be_sent() -> None:
    """`--curl` prints the same request that the command sends, and sends nothing."""
    sandbox = Sandbox()
    with everywhere(sandbox):
        said("chat", "It's a joke")
    command, words = curled("chat", "It's a joke", "--sandbox")
    (seen,) = sandbox.requests
    assert words[:3] == ["curl", "-N", "https://router.huggingface.co/v1/chat/completions"]
    assert words[-2] == "-d"
    assert words[-1].encode() == seen.body
    assert '-H "authorization: Bearer $HF_TOKEN"' in command
    assert "stream" not in curled("chat", "Hi", "--json", "--sandbox")[0]


def test_what_the_hub_says_of_a_model_is_heeded() -> None:
    """The provider is looked up before the request is shown: with the sandbox in the sandbox."""
    _, words = curled("image", "a cat", "--sandbox", "-p", "together")
    assert words[1] == "https://router.huggingface.co/together/v1/images/generations"
    live = {"groq": {"status": "live", "providerId": "its-own-name", "task": "conversational"}}
    with Loopback(hub(live)) as server:
        _, words = curled("chat", "Hi", "-p", "groq", HF_ENDPOINT=server.url, GROQ_API_KEY=GROQ)
        assert {request.method for request in server.requests} == {"GET"}
    assert words[2] == "https://api.groq.com/openai/v1/chat/completions"
    assert "authorization: Bearer $GROQ_API_KEY" in words
    assert json.loads(words[-1])["model"] == "its-own-name"


def test_a_job_is_shown_as_it_would_begin() -> None:
    """What takes minutes begins with one request."""
    command, words = curled("video", "a cat", "--sandbox", "-p", "fal-ai")
    assert "queue" in words[1]
    assert json.loads(words[-1]) == {"prompt": "a cat"}
    assert command.count("curl") == 1


def test_media_is_shown_by_the_name_of_its_file() -> None:
    """A form names the file and keeps the name and the type it is sent with; a body that is a file is read from it."""
    _, form = curled("transcribe", "my talk.wav", "--sandbox", "-p", "together")
    assert form[form.index("-F") + 1] == 'file=@"my talk.wav";filename="audio.wav";type=audio/wav'
    assert form[form.index("--form-string") + 1] == "model=openai/whisper-large-v3"
    assert not any(word.startswith("content-type: multipart") for word in form)
    _, body = curled("transcribe", "my talk.wav", "--sandbox", "-p", "hf-inference")
    assert body[-4:] == ["-H", "content-type: audio/wav", "--data-binary", "@my talk.wav"]
    _, body = curled("run", "image-classification", "cat.png", "--sandbox")
    assert body[-1] == "@cat.png"


def test_media_at_an_address_is_fetched_first() -> None:
    """What hfclient would fetch and send on, curl fetches and sends on; what goes as an address stays one."""
    with Loopback(lambda _: [*json_answer({})]) as server:
        server.handler = lambda _: json_answer({"not": "sound"}, headers={"content-type": "audio/wav"})
        at = f"{server.url}/talk.wav"
        command, _ = curled("transcribe", at, "--base-url", f"{server.url}/hf", "-m", "org/whisper")
    assert command.startswith(f"curl -sL {at} | curl {server.url}/hf")
    assert command.endswith("--data-binary @-\n")
    assert curled("transcribe", "https://host.invalid/talk.wav", "--sandbox", "-p", "fal-ai")[1].count("curl") == 1


def test_a_long_body_is_no_argument() -> None:
    """What is too long for a command's argument stands after it."""
    command = said("chat", "--sandbox", "--curl", piped="word " * 30_000)
    first, _, rest = command.partition(" \\\n  --data-binary @- <<'END_OF_BODY'\n")
    body, end, _ = rest.partition("\nEND_OF_BODY\n")
    assert len(first) < 1000
    assert end
    assert json.loads(body)["messages"][0]["content"].startswith("word word")


def test_a_key_in_an_address_is_left_to_a_variable() -> None:
    """Some servers want their key in the query: it is not printed either."""
    command, _ = curled("chat", "Hi", "--base-url", "http://127.0.0.1:9/v1?api-key=fake_0123456789&v=1$")
    assert '"http://127.0.0.1:9/v1/chat/completions?api-key=$KEY&v=1%24"' in command


def test_look_ups_keep_to_the_network_that_is_allowed() -> None:
    """HFCLIENT_NETWORK=loopback holds for `--curl` too."""
    result = typed("image", "a cat", "--curl", "-p", "together", HF_TOKEN=TOKEN, HFCLIENT_NETWORK="loopback")
    assert result.exit_code == 1
    assert "HFCLIENT_NETWORK=loopback" in result.stderr


# The page about it


SESSION = re.compile(r"(?ms)^<!-- session -->\n```console\n(.*?)^```$")
TURN = re.compile(r"(?m)^\$ (.*)\n((?:(?!\$ ).*\n)*)")
PAGE = (Path(__file__).parents[1] / "docs/cli.md").read_text("utf-8")


def test_the_sessions_in_the_documentation_are_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/cli.md shows is typed from top to bottom, and says what it says there; … stands for anything."""
    status = 0
    for session in SESSION.findall(PAGE):
        for line, shown in TURN.findall(session):
            piped, _, command = line.rpartition(" | ")
            match shlex.split(command):
                case ["export", pair]:
                    monkeypatch.setenv(*pair.split("="))
                    output = ""
                case ["echo", "$?"]:
                    output = f"{status}\n"
                case ["hfclient", *words]:
                    result = typed(*words, piped=shlex.split(piped)[1] if piped else "")
                    status, output = result.exit_code, result.output
                case _:
                    pytest.fail(f"Who can type {line!r}?")
            expected = ".*?".join(map(re.escape, shown.split("…")))
            assert re.fullmatch(expected, output), (line, output)
    assert sum(len(TURN.findall(session)) for session in SESSION.findall(PAGE)) == PAGE.count("\n$ ") - 1
    assert status == 0  # of the last, which went well


def test_the_documentation_knows_every_command() -> None:
    """docs/cli.md names each command, and each option that all calls share."""
    assert [name for name in COMMANDS if not re.search(rf"`{name}\b", PAGE)] == []
    shared = re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", said("embed", "--help"))
    assert [name for name in shared if name not in {"--dimensions", "--help"} and f"`{name}`" not in PAGE] == []


# Keys


EVERYTHING = [
    ["chat", "Hi"],
    ["chat", "Hi", "--json"],
    ["chat", TOKEN, "--curl"],
    ["chat", "Hi", "-p", "groq"],
    ["chat", "Hi", "-p", "openai", "-m", "gpt", "--curl"],
    ["image", "a cat"],
    ["image", "a cat", "--curl"],
    ["video", "a cat", "--json"],
    ["speak", "Hi"],
    ["transcribe", "my talk.wav", "--curl"],
    ["transcribe", "my talk.wav"],
    ["embed", "Hi"],
    ["run", "summarization", "Hi"],
    ["run", "no-such-task", "Hi", "-m", "org/model"],
    ["run", "summarization", "x", "-P", "frob=1"],
    ["models"],
    ["models", "Qwen/Qwen3-32B", "--json"],
    ["models", "-p", "frob"],
    ["providers"],
    ["doctor"],
    ["doctor", "--json"],
]
KEYS = {"HF_TOKEN": TOKEN, "GROQ_API_KEY": GROQ, "OPENAI_API_KEY": "sk-fake_command_line_0003"}


@pytest.mark.parametrize("words", EVERYTHING, ids=" ".join)
@pytest.mark.parametrize("well", [True, False], ids=["well", "refused"])
def test_no_key_is_ever_printed(words: list[str], well: bool) -> None:
    """Whatever a command says, and however it fails, no key is in it: not where a server says it back either."""

    def refuse(request: Any) -> Any:
        return json_answer({"error": f"No: {dict(request.headers)} {TOKEN}"}, status=401)

    sandbox = Sandbox()
    with Loopback(refuse) as server:
        if well:
            with everywhere(sandbox):
                result = typed(*words, **KEYS, HFCLIENT_LOG="debug")
        else:
            result = typed(*words, **KEYS, HF_ENDPOINT=server.url, HFCLIENT_ROUTER=server.url, HFCLIENT_LOG="debug")
    said_in_all = result.output + str(result.exception)
    assert result.output
    assert [name for name, key in KEYS.items() if key in said_in_all] == []
    assert not isinstance(result.exception, Exception), result.exception
