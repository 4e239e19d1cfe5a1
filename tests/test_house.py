"""The rules of this house, read off the source itself."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hfclient
from hfclient import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hfclient"

LONGEST_MODULE = 420
LONGEST_FUNCTION = 45

# The road from top to bottom: a module imports only what stands below it. A package stands for all that is in it.
ROAD = [
    "hfclient",
    "hfclient.__main__",
    "hfclient.cli",
    "hfclient.pytest_plugin",
    "hfclient.testing",
    "hfclient.client",
    "hfclient.sandbox",
    "hfclient.mapping",
    "hfclient.tasks",
    "hfclient.job",
    "hfclient.structured",
    "hfclient.functions",
    "hfclient.defaults",
    "hfclient.dispatch",
    "hfclient.routing",
    "hfclient.choice",
    "hfclient.remote",
    "hfclient.registry",
    "hfclient.local",
    "hfclient.assembly",
    "hfclient.catalogue",
    "hfclient.hub",
    "hfclient.lookup",
    "hfclient.settings",
    "hfclient.providers",
    "hfclient.route",
    "hfclient.provider",
    "hfclient.ticket",
    "hfclient.stream",
    "hfclient.reading",
    "hfclient.messages",
    "hfclient.trip",
    "hfclient.recording",
    "hfclient.telemetry",
    "hfclient.transcript",
    "hfclient.semconv",
    "hfclient.transport",
    "hfclient.download",
    "hfclient.exchange",
    "hfclient.faults",
    "hfclient.destination",
    "hfclient.pools",
    "hfclient.connections",
    "hfclient.single_flight",
    "hfclient.background",
    "hfclient.complaints",
    "hfclient.advice",
    "hfclient.scrub",
    "hfclient.credentials",
    "hfclient.call",
    "hfclient.retry",
    "hfclient.upload",
    "hfclient.flow",
    "hfclient.media",
    "hfclient.blocking",
    "hfclient.sse",
    "hfclient.types",
    "hfclient.sniff",
    "hfclient.extras",
    "hfclient.redact",
    "hfclient.errors",
    "hfclient.clock",
    "hfclient.version",
]

# Up the road after all, when a function is called and not before.
LATE = {("hfclient.telemetry", "hfclient.recording"), ("hfclient.job", "hfclient.client")}

# A provider describes and never acts: these act, or know what only the dispatcher may know.
NOT_FOR_PROVIDERS = {
    "aiohttp", "anyio", "asyncio", "concurrent", "ctypes", "datetime", "http", "httpcore", "httpx", "httpx2",
    "httpx_sse", "huggingface_hub", "importlib", "io", "logging", "multiprocessing", "opentelemetry", "os", "pathlib",
    "queue", "random", "requests", "secrets", "select", "shutil", "signal", "sniffio", "socket", "ssl", "subprocess",
    "sys", "tempfile", "tenacity", "threading", "time", "trio", "urllib.request", "urllib3", "uuid", "warnings",
}  # fmt: skip
ACTS = {"open", "print", "input", "exec", "eval", "breakpoint", "__import__", "compile", "globals"}

HEAVY = {
    "PIL", "aiohttp", "httpx2", "huggingface_hub", "mlx", "numpy", "opentelemetry", "pandas", "soundfile", "starlette",
    "tenacity", "torch", "transformers", "trio", "uvicorn",
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    (name := name_of(path)): Module(name, path, path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}

every_module = pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)


@dataclass(frozen=True)
class Import:
    target: str
    late: bool


def imports(tree: ast.AST, *, late: bool = False) -> Iterator[Import]:
    """What is imported, and whether only when a function runs; what only the type checker sees does not count."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for other in orelse:
                    yield from imports(ast.Module([other], []), late=late)
            case ast.Import(names=names):
                yield from (Import(alias.name, late) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for alias in names:
                    whole = f"{module}.{alias.name}"
                    yield Import(whole if whole in MODULES else module, late)
            case ast.ImportFrom():
                yield Import("a relative import", late)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from imports(node, late=True)
            case _:
                yield from imports(node, late=late)


def place_of(name: str) -> str | None:
    """The place on the road a module belongs to: its own, or its package's."""
    while name not in ROAD:
        name = name.rpartition(".")[0]
        if name in ("", "hfclient"):
            return None
    return name


def upward(module: Module) -> list[str]:
    """The imports of this module that do not point down."""
    here = place_of(module.name)
    found: list[str] = []
    for each in imports(module.tree):
        if not each.target.startswith("hfclient") or (each.late and (module.name, each.target) in LATE):
            continue
        there = place_of(each.target)
        if here is None or there is None or (here != there and ROAD.index(there) < ROAD.index(here)):
            found.append(each.target)
    return found


def acts(tree: ast.AST) -> list[str]:
    """What a provider's module does that a provider must not do."""
    found = [
        each.target
        for each in imports(tree)
        if each.target in NOT_FOR_PROVIDERS or each.target.partition(".")[0] in NOT_FOR_PROVIDERS
    ]
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                found.append(type(node).__name__)
            case ast.comprehension(is_async=1):
                found.append("async comprehension")
            case ast.Call(func=ast.Name(id=name)) if name in ACTS:
                found.append(name)
            case ast.Global() | ast.Nonlocal():
                found.append(type(node).__name__)
    return found


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES.values() if "providers" in module.path.parts],
    ids=lambda module: module.name,
)
def test_providers_describe_and_never_act(module: Module) -> None:
    """No async, no I/O, no clock, no environment, no logging, no state under `hfclient/providers`."""
    assert acts(module.tree) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("async def f(): ...", ["AsyncFunctionDef"]),
        ("async def f():\n await g()", ["AsyncFunctionDef", "Await"]),
        ("def f():\n import time", ["time"]),
        ("from httpx import URL", ["httpx"]),
        ("import os.path as p", ["os.path"]),
        ("import urllib.request", ["urllib.request"]),
        ("from urllib.parse import quote", []),
        ("open('x')", ["open"]),
        ("print(1)", ["print"]),
        ("def f():\n global x", ["Global"]),
        ("[x async for x in y]", ["async comprehension"]),
        ("if TYPE_CHECKING:\n import httpx", []),
        ("if TYPE_CHECKING:\n pass\nelse:\n import httpx", ["httpx"]),
    ],
)
def test_the_check_of_providers_notices(code: str, found: list[str]) -> None:
    """A rule that cannot fail is no rule."""
    assert sorted(acts(ast.parse(code))) == sorted(found)


@every_module
def test_imports_point_down(module: Module) -> None:
    """The road is read from top to bottom, so nothing may lead back up it."""
    assert place_of(module.name) is not None, f"{module.name} has no place in ROAD"
    assert upward(module) == []


def test_the_check_of_imports_notices() -> None:
    """An import up the road is found at any depth, the other way round is none, and one for types does not count."""

    def found(name: str, code: str) -> list[str]:
        return upward(Module(name, PACKAGE, code))

    assert found("hfclient.flow", "from hfclient.client import Client") == ["hfclient.client"]
    assert found("hfclient.flow", "def f():\n  import hfclient.transport") == ["hfclient.transport"]
    assert found("hfclient.providers.new", "from hfclient import remote") == ["hfclient.remote"]
    assert found("hfclient.providers.new", "from hfclient.providers.table import ROUTER") == []
    assert found("hfclient.client", "from hfclient.flow import Flow") == []
    assert found("hfclient.flow", "if TYPE_CHECKING:\n  from hfclient.client import Client") == []
    assert found("hfclient.telemetry", "from hfclient.recording import begin") == ["hfclient.recording"]


def test_the_road_has_no_empty_places() -> None:
    """Every line of the road is a module, and stands there once."""
    assert set(ROAD) <= set(MODULES)
    assert len(ROAD) == len(set(ROAD))


@every_module
def test_modules_are_short(module: Module) -> None:
    """A module is read at one go."""
    assert module.text.count("\n") <= LONGEST_MODULE


@every_module
def test_functions_are_short(module: Module) -> None:
    """A function fits on a screen."""
    long = {
        node.name: size
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


@every_module
def test_names_say_something(module: Module) -> None:
    """A helper lives beside its user, or in a module named for its concept."""
    assert not {"utils", "util", "helpers", "helper", "common", "misc", "base_classes"} & set(module.name.split("."))


@every_module
def test_every_module_says_what_it_is_for(module: Module) -> None:
    """One sentence at the top, and annotations that cost nothing at run time."""
    if module.text.count("\n") > 1:
        assert ast.get_docstring(module.tree)


@every_module
def test_no_exception_is_swallowed_whole(module: Module) -> None:
    """Errors are mapped once, at the seam; nobody catches everything and goes on."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("everything", "Exception"), f"line {node.lineno}"
            if "BaseException" in caught:
                assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node)), f"line {node.lineno}"


def test_everything_public_can_be_imported() -> None:
    """`__all__` is the truth: each of its names is there, found by `dir`, and known to the type checker."""
    assert hfclient.__all__ == sorted(hfclient.__all__)
    for name in hfclient.__all__:
        assert getattr(hfclient, name) is not None
        assert name in dir(hfclient)
    checked = {
        alias.name
        for node in MODULES["hfclient"].tree.body
        if isinstance(node, ast.If)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert checked | {"__version__"} == set(hfclient.__all__)


def test_nothing_more_is_public() -> None:
    """A name that is not promised is not there."""
    with pytest.raises(AttributeError, match="has no attribute 'Cleint'"):
        _ = hfclient.Cleint  # type: ignore[attr-defined]
    assert hfclient.errors is errors
    assert hfclient.types.ChatCompletion is not None


@pytest.mark.parametrize("name", ["hfclient.errors", "hfclient.types"])
def test_the_public_modules_export_what_they_define(name: str) -> None:
    """`__all__` of the two public modules leaves nothing out and promises nothing that is not there."""
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__)
    own = {key for key, value in vars(module).items() if isinstance(value, type) and value.__module__.startswith(name)}
    assert own - set(module.__all__) == set()
    assert all(hasattr(module, each) for each in module.__all__)


@pytest.mark.parametrize(
    "statement",
    ["import hfclient", "from hfclient import Client", "from hfclient import Client; Client('hf_fake_0123456789')"],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    """What a program does not use, it does not pay for."""
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    """The docstring of `errors` shows every class under its real parent."""
    drawn = dict(drawn_tree(errors.__doc__ or ""))
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in classes}
    assert set(errors.__all__) == set(drawn)
    for line in (errors.__doc__ or "").splitlines():
        if found := re.search(r"(\w+Error) \(an? (\w+)\)", line):
            assert any(base.__name__ == found[2] for base in getattr(errors, found[1]).__mro__[1:])


def drawn_tree(text: str) -> Iterator[tuple[str, str]]:
    """Each class in the drawing with its parent, told by how far to the right it stands."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)\b", line)
        if found is None:
            continue
        depth, name = len(found[1]), found[2]
        while above and above[-1][0] >= depth:
            above.pop()
        yield name, above[-1][1] if above else "Exception"
        above.append((depth, name))


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)  # noqa: PLW1510
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for line in done.stdout.splitlines() if (path := ROOT / line).is_file()]


def test_no_file_knows_this_machine() -> None:
    """The project is the same wherever it lies: no file names a place on the machine where it was written."""
    places = [f"/{first}/{second}" for first, second in (("work", "main"), ("work", "shared"), ("tmp", "probe"))]
    places += ["/" + "work/", str(ROOT) + "/"]
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in tracked_files()
        for place in places
        if place in path.read_text("utf-8", "replace")
    ]
    assert found == []


def test_tests_say_what_they_show() -> None:
    """Every test states its rule in one sentence."""
    silent = [
        f"{path.name}:{node.name}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
