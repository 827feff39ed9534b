"""A headless Chromium over its debugging pipe: pages, what they ask the network for, and what goes wrong in them."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY_NOT = "no Chromium here: install the package `chromium`"
PICTURES = os.environ.get("DISPATCH_MCP_PICTURES", "")
"""A folder for pictures of what is shown, none by default."""

WAIT_S = 40.0
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--window-size=1280,900", "about:blank"),
)


@dataclass
class Page:
    """One page. `requests` are the addresses that it asked for, `faults` are exceptions and messages of the console."""

    _browser: Browser
    _session: str
    requests: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, parameters, self._session)

    def goto(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Returns what an expression comes to; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", answer["exceptionDetails"]))
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Returns once a condition holds."""
        look = f"new Promise((done) => setTimeout(() => done(Boolean({condition})), 15))"
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):  # the page may be replaced while one looks at it
                if self.run(look):
                    return
        raise AssertionError(condition, self.faults[:5])

    def drawn(self) -> None:
        """Returns once all parts of a run's page are there."""
        self.until("document.body && document.body.dataset.whole")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def media(self, *, scheme: str = "light", kind: str = "screen") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def keep_picture(self, name: str) -> None:
        """Keeps what the page looks like, whole, where pictures are wanted."""
        if PICTURES:
            answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
            Path(PICTURES, f"{name}.png").write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A Chromium of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM, WHY_NOT
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()

        def take_ends() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        command = [PROGRAM, f"--user-data-dir={folder}", *FLAGS]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "close_fds": False}
        self._child = subprocess.Popen(command, preexec_fn=take_ends, **quiet)  # noqa: PLW1509  # no threads here
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}
        self._contexts: list[str] = []

    def forget(self) -> None:
        """Closes every page, with all that it keeps."""
        self._pages.clear()
        while self._contexts:
            self.call("Target.disposeBrowserContext", {"browserContextId": self._contexts.pop()})

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close", {})
        try:
            self._child.wait(120)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        os.close(self._in)
        os.close(self._out)

    def page(self) -> Page:
        """Returns a new page, as a visitor has it who has never been here."""
        context = self.call("Target.createBrowserContext", {})["browserContextId"]
        self._contexts.append(context)
        target = self.call("Target.createTarget", {"url": "about:blank", "browserContextId": context})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        return page

    def call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self._out, data) :]
        end = time.monotonic() + WAIT_S
        while number not in self._answers:
            self._read(end)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _read(self, end: float) -> None:
        ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
        assert ready, "Chromium does not answer"
        data = os.read(self._in, 1 << 20)
        assert data, "Chromium has ended"
        *messages, self._rest = (self._rest + data).split(b"\0")
        for text in messages:
            self._take(json.loads(text))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif page := self._pages.get(message.get("sessionId", "")):
            _note(page, message["method"], message["params"])


def _note(page: Page, method: str, what: dict[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        page.requests.append(what["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        page.faults.append(json.dumps(what["exceptionDetails"])[:600])
    elif method == "Runtime.consoleAPICalled":
        page.faults.append(f"console: {[argument.get('value') for argument in what['args']]}")
    elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
        page.faults.append(what["entry"]["text"])


def _pipe() -> Sequence[int]:
    """Returns both ends of a pipe, with numbers that are out of the way of those which Chromium expects."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends]
    for end in ends:
        os.close(end)
    return high


@contextlib.contextmanager
def opened(folder: Path) -> Generator[Browser]:
    """Yields a browser that ends with the block."""
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
