"""The example in the browser, used as its reader would: asked, stopped, shown, switched, and told of a failure."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.webdriver import CHROMIUM, DRIVER, ENTER, Page, browser, free_port, running, until

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "examples" / "web"

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

# Tokens slow enough for a stop button to be pressed between them; groq is always busy.
SLOW = """
import sys
import uvicorn
from hfclient.sandbox import Sandbox, everywhere
sandbox = Sandbox(token_latency=0.04)
sandbox.fail(429, at="groq", every=1)
with everywhere(sandbox):
    uvicorn.run("app:app", app_dir=sys.argv[1], port=int(sys.argv[2]), log_level="warning")
"""
STORY = "Once upon a time a llama lived by the sea, and every morning it counted the waves."


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The example, served."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HFCLIENT_SANDBOX": "1"}
    with running(sys.executable, "-c", SLOW, str(APP), str(port), ready=url, env=environment):
        yield url


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(window: Page, address: str) -> Page:
    """The page as it opens."""
    window.prefer("light")
    window.go(address)
    return window


def text_of(page: Page, selector: str) -> str:
    """The text of the last of these."""
    return str(page.run(f"return [...document.querySelectorAll({selector!r})].at(-1)?.textContent ?? ''"))


def ask(page: Page, question: str) -> None:
    page.type("#question", question + ENTER)


def is_idle(page: Page) -> bool:
    return bool(page.run("return document.getElementById('stop').disabled"))


def choose(page: Page, provider: str) -> None:
    page.click(f"#provider option[value={provider}]")


def colours_of(screenshot: bytes) -> dict[tuple[int, int, int], int]:
    """How many pixels of each colour a picture has."""
    from PIL import Image

    counted: Any = Image.open(io.BytesIO(screenshot)).convert("RGB").getcolors(1 << 24)
    return {colour: count for count, colour in counted}


def test_an_answer_grows_and_says_whose_it_is(page: Page) -> None:
    """Piece by piece, each longer than the one before; at its end stands the provider."""
    ask(page, "Tell me a story")
    seen = [""]

    def has_ended() -> bool:
        shown = text_of(page, ".assistant")
        if shown != seen[-1]:
            seen.append(shown)
        return is_idle(page)

    until(has_ended, "the story ends")
    assert text_of(page, ".user") == "Tell me a story"
    assert text_of(page, ".assistant") == f"{STORY}from cerebras"
    assert len(seen) > 4
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))


def test_an_answer_can_be_stopped_and_the_next_one_comes(page: Page) -> None:
    """What had arrived stays, and says that it was stopped; another question can be asked at once."""
    ask(page, "Tell me a story")
    until(lambda: text_of(page, ".assistant"), "the story begins")
    page.click("#stop")
    until(lambda: is_idle(page), "the story is stopped")
    said = text_of(page, ".assistant")
    assert said.endswith("stopped")
    assert STORY.startswith(said.removesuffix("stopped"))
    assert len(said) < len(STORY)
    ask(page, "And the capital of France?")
    until(lambda: is_idle(page), "the next answer ends")
    assert text_of(page, ".assistant") == "Paris is the capital of France.from cerebras"


def test_a_picture_is_shown(page: Page) -> None:
    """`/picture` makes one, which the browser can decode."""
    ask(page, "/picture a red fox")
    size = "const i = document.querySelector('#log img'); return i && i.complete ? i.naturalWidth : 0"
    assert until(lambda: page.run(size), "the picture is shown") == 64
    assert page.run("return document.querySelector('#log img').alt") == "a red fox"
    until(lambda: is_idle(page), "the form can be used again")


def test_another_provider_answers(page: Page) -> None:
    """The one that is chosen."""
    choose(page, "together")
    ask(page, "Tell me a joke")
    until(lambda: is_idle(page), "the answer ends")
    assert text_of(page, ".assistant").endswith("from together")


def test_a_failure_is_told_in_words(page: Page) -> None:
    """What went wrong and what to do, in place of an answer; the conversation goes on with another provider."""
    choose(page, "groq")
    ask(page, "Tell me a joke")
    until(lambda: text_of(page, ".error"), "the failure is told")
    assert "groq answered 429" in text_of(page, ".error")
    assert text_of(page, ".assistant") == ""
    until(lambda: is_idle(page), "the form can be used again")
    choose(page, "auto")
    ask(page, "Tell me a joke")
    until(lambda: is_idle(page), "the answer ends")
    assert text_of(page, ".assistant").endswith("from cerebras")


@pytest.mark.parametrize(
    ("scheme", "paper", "bubbles"),
    [
        ("light", (255, 255, 255), [(48, 86, 211), (242, 244, 248)]),
        ("dark", (20, 23, 31), [(138, 164, 255), (31, 36, 48)]),
    ],
)
def test_it_looks_like_a_conversation(
    page: Page, scheme: str, paper: tuple[int, int, int], bubbles: list[tuple[int, int, int]]
) -> None:
    """By day and by night: mostly paper, with a bubble for who asks and another for who answers, each with writing."""
    page.prefer(scheme)
    ask(page, "/picture a red fox")
    until(
        lambda: page.run(
            "return document.querySelector('#log img')?.complete && document.getElementById('stop').disabled"
        ),
        "the picture is shown",
    )
    ask(page, "Tell me a story")
    until(lambda: is_idle(page), "the story ends")
    below = "return document.getElementById('form').getBoundingClientRect().bottom <= innerHeight"
    assert page.run(below), "the end of the conversation and the form are in view"
    screenshot = page.screenshot()
    colours = colours_of(screenshot)
    assert max(colours, key=lambda colour: colours[colour]) == paper
    for bubble in bubbles:
        assert colours.get(bubble, 0) > 3000, bubble
    assert len(colours) > 40
    if kept := os.environ.get("SCREENSHOTS"):
        (Path(kept) / f"{scheme}.png").write_bytes(screenshot)
