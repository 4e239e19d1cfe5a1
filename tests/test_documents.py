"""What README, docs, docstrings and examples say is run, and compared with the code, so that none of it goes stale."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from huggingface_hub import AsyncInferenceClient
from opentelemetry import trace
from pydantic import BaseModel

import hfclient
from hfclient import Client, errors, types
from hfclient.errors import spoken
from hfclient.providers.table import PROVIDERS
from hfclient.sandbox import Sandbox, everywhere, media
from hfclient.sandbox.catalogue import KNOWN
from hfclient.tasks import TASK_FUNCTIONS
from hfclient.tasks.chat import ChatSettings
from hfclient.testing import no_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
REFERENCE = sorted((ROOT / "docs/reference").glob("*.md"))
ENGINES = ROOT / "docs/local.md"  # needs an engine: the tests of the engines run it
PAGES = [ROOT / "README.md", *(page for page in DOCS if page != ENGINES)]
PROSE = [ROOT / "README.md", *DOCS, *REFERENCE, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
DOCUMENTED = [ROOT / "hfclient" / name for name in ("client.py", "stream.py", "mapping.py", "job.py")]
DOCUMENTED += sorted(set((ROOT / "hfclient/tasks").glob("*.py")) - {ROOT / "hfclient/tasks/local_models.py"})
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

FENCE = re.compile(r"(?ms)^(?:<!-- not run: *(?P<reason>.*?) *-->\n)?```python\n(?P<code>.*?)^```$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
# Runs a program with every client of it in the sandbox that the documents have.
IN_SANDBOX = """
import runpy, sys
from tests.test_documents import a_busy_day, everywhere
sys.argv = sys.argv[1:]
with everywhere(a_busy_day()):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Snippet:
    """A piece of Python in a text, and the line it begins on."""

    code: str
    line: int
    reason_not_to_run: str | None = None
    about: str = ""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def snippets_in(text: str) -> list[Snippet]:
    return [
        Snippet(found["code"], text.count("\n", 0, found.start("code")), found["reason"])
        for found in FENCE.finditer(text)
    ]


def docstring_examples(path: Path) -> list[Snippet]:
    """The `>>>` lines of each docstring, together; one docstring's lines build on each other."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: list[Snippet] = []
    for node in ast.walk(ast.parse(text_of(path))):
        docstring = ast.get_docstring(node) if isinstance(node, documented) else None
        if docstring and (examples := doctest.DocTestParser().get_examples(docstring)):
            line = getattr(node, "lineno", 1)
            about = getattr(node, "name", "")
            found.append(Snippet("".join(example.source for example in examples), line, about=about))
    return found


def run(snippets: list[Snippet], names: dict[str, Any], filename: str) -> None:
    """Run the snippets one after the other; `await` may stand at their top level, as in a notebook."""
    with asyncio.Runner() as runner:
        for snippet in snippets:
            code = compile(
                "\n" * snippet.line + snippet.code,
                filename,
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            begun = eval(code, names)
            if inspect.iscoroutine(begun):
                runner.run(begun)


def a_busy_day() -> Sandbox:
    """The sandbox as the documents have it: groq is always busy."""
    sandbox = Sandbox()
    sandbox.fail(429, at="groq", every=1, retry_after=0)
    return sandbox


@pytest.fixture
def _hugging_face(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A sandbox that every client goes into, and the files that the documents mention."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat.png", "invoice.png"):
        (tmp_path / name).write_bytes(media.png("a cat"))
    (tmp_path / "talk.wav").write_bytes(media.wav("a talk"))
    monkeypatch.setenv("HF_TOKEN", "hf_fake_documents")
    with everywhere(a_busy_day()), no_waits():
        yield


@pytest.fixture
def _own_tracer_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has one tracer provider for ever; a document's is put away after its test."""

    def set_tracer_provider(provider: object) -> None:
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    monkeypatch.setattr(trace, "set_tracer_provider", set_tracer_provider)


@pytest.mark.usefixtures("_hugging_face", "_own_tracer_provider")
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_python_block_runs(page: Path) -> None:
    """The Python in a document runs from top to bottom, each block with what the ones before it defined."""
    wanted = [snippet for snippet in snippets_in(text_of(page)) if snippet.reason_not_to_run is None]
    run(wanted, {"__name__": "__main__"}, named(page))


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_blocks_that_do_not_run_say_why(page: Path) -> None:
    """A block is only left out for a reason, and no Python hides under a fence that the tests do not read."""
    text = text_of(page)
    assert all(snippet.reason_not_to_run != "" for snippet in snippets_in(text))
    assert len(snippets_in(text)) == len(re.findall(r"(?m)^ *```\s*py", text))


def test_a_wrong_snippet_is_noticed() -> None:
    """The tests above can fail: an error in a block, awaited or not, is raised with the document's own line."""
    text = "# Page\n\n```python\nimport asyncio\n```\n\n```python\nawait asyncio.sleep(0)\nnobody_defined_this\n```\n"
    with pytest.raises(NameError) as raised:
        run(snippets_in(text), {}, "page.md")
    assert raised.traceback[-1].lineno == text.split("\n").index("nobody_defined_this")


@pytest.mark.usefixtures("_hugging_face")
@pytest.mark.parametrize(
    ("path", "example"),
    [
        pytest.param(path, example, id=f"{named(path)}:{example.line}")
        for path in DOCUMENTED
        for example in docstring_examples(path)
    ],
)
def test_every_docstring_example_runs(path: Path, example: Snippet) -> None:
    """An example in a docstring runs, given a client and a model class."""

    class City(BaseModel):
        name: str
        country: str

    names = {"__name__": "__main__", "Client": Client, "BaseModel": BaseModel, "City": City, "Path": Path}
    run([example], {**names, "client": Client(model=model_for(example.about))}, named(path))


def model_for(function: str) -> str:
    """A model that the sandbox knows for the task of this function; one that chats for anything else."""
    task = {"submit": "text-to-video", "Job": "text-to-video"}.get(function, function.removesuffix("_stream"))
    known = {task.replace("-", "_"): model for model, task in reversed(KNOWN.items())}
    return known.get(task.replace("-", "_"), "Qwen/Qwen3-32B")


def first_commands() -> list[str]:
    """What README begins with, for a terminal, without the remarks."""
    block = text_of(ROOT / "README.md").partition("```console\n")[2].partition("```")[0]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


def test_readme_begins_with_the_demo() -> None:
    """The first command of README is one that make knows, and runs the example that is tested below."""
    assert first_commands()[0] == "make demo"
    assert re.search(r"(?m)^demo:.*\n.*examples/demo\.py$", text_of(ROOT / "Makefile"))


def test_readme_goes_on_with_a_chat_in_the_sandbox() -> None:
    """The last command of README's first block answers as it stands."""
    assert "the other side of the chunk" in said_by("-m", *shlex.split(first_commands()[-1]))


SAID = {
    "batch": ["\n12 of 12  Paris is the capital of France."],
    "demo": [
        "blue reaches your eye",
        "please run temperature",
        "groq     429  RateLimitError",
        "together 200  answered",
        "The stream was cut off",
        "error.partial.text: 'Once upon a time",
    ],
    "failover": ["groq: 429 RateLimitError", "together: 200 answered", "Paris is the capital"],
    "images": ["I was sent 2 of these: image_url."],
    "local": ["hfclient is one async client", "from cerebras, in "],
    "openai_snippet": ["Paris is the capital of France.\nOne, two, three, four, five.\n"],
    "own_server": ["blue reaches your eye"],
    "picture": ["queued\nrunning\ndone\ndownloading\nhorse.png holds image/png from fal-ai"],
    "search": ["Water the tomatoes before the sun is high.\n"],
    "speech": ["16,044 bytes of audio/wav say: The quick brown fox"],
    "stream_chat": ["blue reaches your eye", "from cerebras, request req-", " tokens"],
    "structured": ["Paris in France, with 1 river(s)"],
    "telemetry": ['"name": "chat Qwen/Qwen3-32B"', '"hfclient.inference_provider": "cerebras"'],
    "tools": ['temperature({"city": "Paris"}) gave 21.5', "The tool says: 21.5 °C"],
}
ARGUMENTS = {"images": ["cat.png"], "local": ["auto", "Qwen/Qwen3-32B"]}  # without an engine: the router
NEED_A_TOKEN = {
    "images",
    "local",
    "openai_snippet",
    "picture",
    "search",
    "speech",
    "stream_chat",
    "structured",
    "telemetry",
    "tools",
}


def said_by(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    interpreter = [sys.executable, "-W", "error"]
    done = subprocess.run(
        [*interpreter, *command], env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.usefixtures("_hugging_face")
@pytest.mark.parametrize("name", SAID)
def test_every_example_runs(name: str) -> None:
    """An example runs as its reader would run it, and prints what it promises."""
    said = said_by("-c", IN_SANDBOX, str(ROOT / "examples" / f"{name}.py"), *ARGUMENTS.get(name, []))
    for words in SAID[name]:
        assert words in said


@pytest.mark.usefixtures("_hugging_face")
def test_examples_run_without_token_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo.py`, and any example with HFCLIENT_SANDBOX=1, needs nothing from the environment."""
    monkeypatch.delenv("HF_TOKEN")
    assert "error.partial.text" in said_by(str(ROOT / "examples/demo.py"))
    monkeypatch.setenv("HFCLIENT_SANDBOX", "1")
    assert "gave 21.5" in said_by(str(ROOT / "examples/tools.py"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["images.py"], "python images.py photo.jpg"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_example_called_wrongly_says_how_to_call_it(command: list[str], said: str) -> None:
    """A missing argument or a wrong path is one line to read, no traceback."""
    done = complained(*command)
    assert said in done
    assert "Traceback" not in done


@pytest.mark.parametrize("name", sorted(NEED_A_TOKEN))
def test_an_example_without_a_token_says_what_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first thing that may go wrong is told in two lines, no traceback."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "cat.png").write_bytes(media.png("a cat"))
    arguments = [str(file) if (file := tmp_path / each).exists() else each for each in ARGUMENTS.get(name, [])]
    done = complained(f"{name}.py", *arguments)
    assert "hf auth login" in done
    assert len(done.strip().splitlines()) == 2


def test_an_example_without_an_engine_says_what_to_install() -> None:
    """`local.py` without the extra ends with two lines, no traceback."""
    hiding = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv.pop(), run_name='__main__')"
    command = [sys.executable, "-c", hiding, str(ROOT / "examples/local.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    _, advice = done.stderr.splitlines()
    assert advice == 'pip install "hfclient[torch]"'


def complained(name: str, *arguments: str) -> str:
    """What an example says on its way out, having failed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 1
    return done.stderr


def test_examples_are_short_and_all_of_them_are_run() -> None:
    """An example has at most 40 lines, and a test."""
    assert {path.stem for path in EXAMPLES} == set(SAID)
    assert {path.stem for path in EXAMPLES if len(text_of(path).splitlines()) > 40} == set()


def slug_of(heading: str) -> str:
    """The anchor a heading gets where these pages are shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors_in(text: str) -> set[str]:
    without_code = re.sub(r"(?ms)^```.*?^```$", "", text)
    return {slug_of(heading) for heading in re.findall(r"(?m)^#+ (.+)$", without_code)}


@pytest.mark.parametrize("page", PROSE, ids=named)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading that is in it."""
    for target in LINK.findall(text_of(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors_in(text_of(there)), target


@pytest.mark.parametrize("page", DOCS, ids=named)
def test_every_page_can_be_found(page: Path) -> None:
    """README links to each page of the docs."""
    assert f"(docs/{page.name})" in text_of(ROOT / "README.md")


def table_of_providers() -> str:
    rows = ["| name | address | through the router | variables for a key of its own |", "|---|---|---|---|"]
    for provider in PROVIDERS:
        routed = "yes" if provider.routed else "no"
        variables = ", ".join(f"`{name}`" for name in provider.variables) or "none"
        rows.append(f"| `{provider.name}` | `{provider.url}` | {routed} | {variables} |")
    return "\n".join(rows)


def table_of_tasks() -> str:
    rows = ["| task | providers |", "|---|---|"]
    for task in ["conversational", *sorted(function.__name__.replace("_", "-") for function in TASK_FUNCTIONS)]:
        serving = [(provider.name, provider.tasks[task]) for provider in PROVIDERS if task in provider.tasks]
        names = ", ".join(f"`{name}`" + (" (job)" if how.job else "") for name, how in serving)
        rows.append(f"| `{spoken(task).replace('-', '_')}` | {names} |")
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("name", "table"), [("providers", table_of_providers), ("tasks", table_of_tasks)], ids=["providers", "tasks"]
)
def test_the_tables_of_providers_are_those_of_the_code(name: str, table: Callable[[], str]) -> None:
    """docs/providers.md lists the providers that there are, and for each task those that do it, as jobs or at once."""
    written = re.search(rf"(?s)<!-- {name} -->\n\n(.*)\n\n<!-- /{name} -->", text_of(ROOT / "docs/providers.md"))
    assert written
    assert written[1] == table()


def quotations(page: Path) -> list[tuple[str, str]]:
    """The pieces of our own code on a page, each with the file it says it is from."""
    return re.findall(r"(?ms)^<!-- from (\S+) -->\n```python\n(.*?)^```$", text_of(page))


def test_what_is_quoted_from_the_code_is_in_the_code() -> None:
    """A block that says which file it is from stands there word for word, whatever its indentation."""
    quoted = [quotation for page in PROSE for quotation in quotations(page)]
    assert len(quoted) == len(re.findall(r"(?m)^<!-- from ", "\n".join(text_of(page) for page in PROSE))) > 0
    for name, code in quoted:
        assert " ".join(code.split()) in " ".join(text_of(ROOT / name).split()), name


def test_every_function_of_the_other_client_is_accounted_for() -> None:
    """docs/migrating.md says of each public function of huggingface_hub's client what it is here."""
    page = text_of(ROOT / "docs/migrating.md")
    theirs = [name for name, _ in inspect.getmembers(AsyncInferenceClient, inspect.isfunction) if name[0] != "_"]
    assert [name for name in theirs if not re.search(rf"`{name}[`(]", page)] == []


def navigation() -> list[str]:
    """The pages in the order in which mkdocs.yml lists them."""
    pages: list[Any] = [yaml.safe_load(text_of(ROOT / "mkdocs.yml"))["nav"]]
    while not all(isinstance(page, str) for page in pages):
        page = next(each for each in pages if not isinstance(each, str))
        at = pages.index(page)
        pages[at : at + 1] = page.values() if isinstance(page, dict) else page
    return pages


def test_the_navigation_lists_every_page() -> None:
    """mkdocs.yml names each page once, and none that is not there."""
    there = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(navigation()) == sorted(there)


def test_the_reference_describes_what_is_public() -> None:
    """Each task function, each type of a result, each error and each name of `hfclient` has its entry."""
    described = set(re.findall(r"(?m)^::: hfclient\.(?:\w+\.)*(\w+)$", "\n".join(map(text_of, REFERENCE))))
    public = {*hfclient.__all__, *types.__all__, *errors.__all__} - {"__version__"}
    assert public - described == set()


def test_the_reference_names_what_is_there() -> None:
    """Each entry of the reference can be imported from where it says."""
    for page in REFERENCE:
        for module, name in re.findall(r"(?m)^::: ([\w.]+)\.(\w+)$", text_of(page)):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_every_environment_variable_is_described() -> None:
    """A variable named in the code is in docs/environment.md, and one of ours named there is in the code."""
    pattern = r"\b(?:HF|HFCLIENT|OTEL)_[A-Z_]+\b"
    in_code = {name for path in (ROOT / "hfclient").rglob("*.py") for name in re.findall(pattern, text_of(path))}
    on_page = set(re.findall(pattern, text_of(ROOT / "docs/environment.md")))
    assert in_code <= on_page
    assert {name for name in on_page if name.startswith("HFCLIENT_")} <= in_code


def depth_of(error: type[errors.HFClientError]) -> int:
    return max(0, sum(issubclass(base, errors.HFClientError) for base in error.__mro__) - 2)


def test_every_error_is_described_at_its_place_in_the_tree() -> None:
    """docs/errors.md has a row for each error, indented as the classes are derived and in the order of the code."""
    rows = re.findall(r"(?m)^\| ((?:— )*)`(\w+Error)`", text_of(ROOT / "docs/errors.md"))
    defined = [name for name, value in vars(errors).items() if name in errors.__all__ and inspect.isclass(value)]
    in_order = re.findall(r"(\w+Error)\b(?=.*\n)", re.sub(r"\(.*?\)", "", errors.__doc__ or "").partition("\n\n")[2])
    assert sorted(defined) == sorted(name for _, name in rows)
    assert [name for _, name in rows] == in_order
    for dashes, name in rows:
        assert len(dashes) // 2 == depth_of(getattr(errors, name)), name


def test_every_parameter_of_chat_is_listed() -> None:
    """docs/chat.md names each parameter that a chat takes."""
    page = text_of(ROOT / "docs/chat.md")
    assert [name for name in ChatSettings.__annotations__ if f"`{name}`" not in page] == []


def test_every_module_has_its_place_on_the_map() -> None:
    """docs/architecture.md says of each module what it is for."""
    page = text_of(ROOT / "docs/architecture.md")
    modules = {path.name for path in (ROOT / "hfclient").glob("*.py")} - {"__init__.py", "version.py"}
    assert {name for name in modules if f"`{name}`" not in page} == set()


def test_the_short_documents_are_short() -> None:
    """README is read in one go, though each of its programs is whole; CONTRIBUTING on one screen."""
    assert len(text_of(ROOT / "README.md").splitlines()) <= 90
    assert len(text_of(ROOT / "CONTRIBUTING.md").splitlines()) <= 60
