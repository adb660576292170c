"""The page in a real browser, driven over WebDriver (https://www.w3.org/TR/webdriver2/) with httpx alone."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from repotune.core.settings import ServeSettings
from repotune.serve.run import BoundServer, open_server

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    DRIVER is None or BROWSER is None, reason="no chromium with chromedriver on the PATH (Debian: chromium-driver)"
)

TAB, ESCAPE, LEFT, ENTER = "\ue004", "\ue00c", "\ue012", "\ue007"
GHOST = "return document.querySelector('.ghost').textContent"
CODE = "return document.getElementById('code').value"
SAID = "return document.getElementById('measured').textContent"


class Browser:
    """One WebDriver session."""

    def __init__(self, client: httpx.Client, profile: Path) -> None:
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            "--window-size=1000,900",
            f"--user-data-dir={profile}",
        ]
        wanted = {"goog:chromeOptions": {"binary": BROWSER, "args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
        self._client, self._base = client, f"/session/{answer['sessionId']}"

    def call(self, method: str, path: str, **body: Any) -> Any:
        response = self._client.request(method, self._base + path, json=body if method == "POST" else None)
        assert response.is_success, response.text
        return response.json()["value"]

    def open(self, url: str) -> None:
        self.call("POST", "/url", url=url)

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", script=script, args=[])

    def type(self, text: str) -> None:
        element = self.call("POST", "/element", using="css selector", value="#code")
        self.call("POST", f"/element/{next(iter(element.values()))}/value", text=text)

    def wait_for(self, script: str, accept: Callable[[Any], bool] = bool) -> Any:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if accept(value := self.run(script)):
                return value
        return pytest.fail(f"{script} stayed at {value!r}")

    def complaints(self) -> list[str]:
        """What the browser's console holds: refused content, failed requests, exceptions."""
        return [entry["message"] for entry in self.call("POST", "/se/log", type="browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (
        subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.PIPE, text=True) as driver,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        assert driver.stdout is not None
        while "started successfully" not in driver.stdout.readline():
            assert driver.poll() is None
        browser = Browser(client, tmp_path_factory.mktemp("profile"))
        yield browser
        browser.call("DELETE", "")
        driver.terminate()


@pytest.fixture(scope="session")
def telling(url: str) -> str:
    """A line that the random model does not go on from with blanks alone."""
    for line in ("total = sum(", "x = [", "print(", "class A", "import "):
        body = {"prompt": "    " + line, "suffix": "", "path": "example.py", "max_tokens": 64}
        if httpx.post(f"{url}/v1/completions", json=body, trust_env=False).json()["choices"][0]["text"].strip():
            return line
    return pytest.fail("the model says nothing to any line")


def offer(browser: Browser, url: str, line: str) -> None:
    """Opens the page and types `line`, indented, until a completion is on offer."""
    browser.open(url)
    browser.run("document.getElementById('code').value = ''")
    browser.type("    " + line)
    browser.wait_for(GHOST)


@pytest.fixture
def page(browser: Browser, url: str, telling: str) -> Browser:
    """The page with a completion on offer."""
    offer(browser, url, telling)
    return browser


def test_it_offers_a_completion_and_its_latency_without_a_complaint(page: Browser) -> None:
    assert " ms for " in page.run(SAID)
    assert page.complaints() == []


def test_tab_accepts_and_undo_takes_it_back(page: Browser) -> None:
    before, ghost = page.run(CODE), page.run(GHOST)
    page.type(TAB)
    assert page.run(CODE) == before + ghost
    page.run("document.execCommand('undo')")
    assert page.run(CODE) == before


def test_escape_dismisses_and_tab_then_leaves_the_box(page: Browser) -> None:
    before = page.run(CODE)
    page.type(ESCAPE)
    assert page.run(GHOST) == ""
    page.type(TAB)
    assert page.run(CODE) == before
    assert page.run("return document.activeElement.id") != "code"


def test_typing_what_is_offered_keeps_the_rest(page: Browser) -> None:
    page.run("window.asked = 0; const real = fetch; window.fetch = (...all) => { asked += 1; return real(...all); }")
    ghost = page.run(GHOST)
    page.type(ghost[0])
    assert page.run(GHOST) == ghost[1:]
    assert page.run("return asked") == 0


def test_typing_something_else_asks_again(page: Browser) -> None:
    before = page.run(CODE)
    page.type("\\")
    page.wait_for("return window.performance.getEntriesByType('resource').length", lambda count: count >= 2)
    assert page.run(CODE) == before + "\\"


def test_moving_the_caret_takes_the_offer_away(page: Browser) -> None:
    page.type(LEFT)
    page.wait_for(GHOST, lambda ghost: ghost == "")


def test_enter_keeps_the_indentation(page: Browser) -> None:
    before = page.run(CODE)
    page.type("x" + ENTER)
    assert page.run(CODE) == before + "x\n" + " " * 4


def test_what_the_release_says_is_text_not_markup(page: Browser) -> None:
    assert "files & <not> a guess." in page.run("return document.querySelector('header p').textContent")


def test_a_server_that_is_gone_is_told_in_words(
    browser: Browser, release: Path, serving: Callable[[BoundServer], AbstractContextManager[str]], telling: str
) -> None:
    with serving(open_server(release, ServeSettings(port=0, engine="ours"))) as url:
        offer(browser, url, telling)
    browser.type("\\")
    browser.wait_for(SAID, lambda said: said == "The server does not answer. Is it still running?")
    browser.complaints()


def test_a_refusal_is_told_in_words(page: Browser) -> None:
    page.run("document.getElementById('code').value = ' '.repeat(1100000)")
    page.type("x")
    page.wait_for(SAID, lambda said: "larger than" in said)
    page.complaints()
