"""A browser driven over WebDriver's own protocol, which is HTTP and JSON: no more than the tests need of it."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--window-size=900,700", "--hide-scrollbars", "--force-device-scale-factor=1"),
)
ENTER = "\ue007"
PATIENCE = 30.0


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def until(true: Callable[[], Any], what: str) -> Any:
    """Ask again until it is so; another process cannot be waited for in any other way."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"It never came about: {what}")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def running(*command: str, ready: str, **how: Any) -> Iterator[None]:
    """A server, from when it answers at `ready` to the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
    try:
        until(lambda: answers(ready) or process.poll() is not None, f"{command[0]} answers")
        assert process.poll() is None, f"{command} ended at once"
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


class Page:
    """One window of a browser, showing a page."""

    def __init__(self, session: httpx.Client) -> None:
        self._session = session

    def _post(self, path: str, **body: Any) -> Any:
        reply = self._session.post(path, json=body)
        assert reply.is_success, reply.text
        return reply.json()["value"]

    def go(self, url: str) -> None:
        self._post("url", url=url)

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self._post("execute/sync", script=script, args=[])

    def type(self, selector: str, text: str) -> None:
        self._post(f"element/{self._find(selector)}/value", text=text)

    def click(self, selector: str) -> None:
        self._post(f"element/{self._find(selector)}/click")

    def _find(self, selector: str) -> str:
        return str(next(iter(self._post("element", using="css selector", value=selector).values())))

    def prefer(self, scheme: str) -> None:
        """Light or dark, as the reader's system would have it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._post("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})

    def screenshot(self) -> bytes:
        return base64.b64decode(self._session.get("screenshot").json()["value"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser that knows nothing and nobody."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    options = {"binary": CHROMIUM, "args": [*SWITCHES, f"--user-data-dir={profile}"]}
    with (
        running(str(DRIVER), f"--port={port}", ready=f"{address}/status"),
        httpx.Client(base_url=address, timeout=60, trust_env=False) as driver,
    ):
        asked = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        begun = driver.post("/session", json=asked)
        assert begun.is_success, begun.text
        session = f"{address}/session/{begun.json()['value']['sessionId']}"
        driver.base_url = session
        try:
            yield Page(driver)
        finally:
            assert driver.delete(session).is_success, "the browser is closed"
