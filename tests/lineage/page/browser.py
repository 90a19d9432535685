"""A real Chromium without a window, driven through its debugging protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = (1600, 1000)
WAIT = 30.0


def program() -> str:
    """The browser of LAKEHOUSE_TEST_CHROMIUM, or the first on the path; skips the test where there is none."""
    if named := os.environ.get("LAKEHOUSE_TEST_CHROMIUM"):
        return named
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}); LAKEHOUSE_TEST_CHROMIUM names one")
    return found


class ProtocolError(AssertionError):
    """The browser could not do what was asked, for instance because a page was just being replaced by the next."""


class Page:
    """One tab. Everything it says on its console and asks the network for is kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._last = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=WAIT))
            if message.get("id") == self._last:
                if "error" in message:
                    raise ProtocolError(message)
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.errors.append(str([argument.get("value") for argument in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])

    def open(self, address: str) -> None:
        """Load an address and wait until the graph is drawn."""
        self.call("Page.navigate", url="about:blank")
        self.requests.clear()
        self.call("Page.navigate", url=address)
        self.drawn()

    def drawn(self) -> None:
        """Wait until what was asked for is drawn."""
        self.until("document.body?.dataset.ready === 'yes'")

    def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        ends = time.monotonic() + WAIT
        while not self._holds(condition):
            assert time.monotonic() < ends, f"never: {condition}; {self.errors}"
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        try:
            return self.eval(f"Boolean({condition})") is True
        except ProtocolError:  # of a page that is on its way out
            return False

    def eval(self, expression: str) -> Any:
        """Value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def all(self, selector: str, value: str = "it.textContent") -> list[Any]:
        """A value of every element that a selector finds."""
        return self.eval(f"[...document.querySelectorAll({json.dumps(selector)})].map((it) => {value})")

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element, wherever it is."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.eval(f"{found}.scrollIntoView({{block: 'nearest'}})")
        x, y = self.eval(
            f"(() => {{const r = {found}.getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2]}})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        """One key, to whatever has the focus."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    def type(self, text: str) -> None:
        """Text, to whatever has the focus."""
        self.call("Input.insertText", text=text)


@contextmanager
def a_page() -> Iterator[Page]:
    """A browser with one tab; gone afterwards."""
    # Its helpers outlive it by a moment and still write: what they leave is no failure of a test.
    with tempfile.TemporaryDirectory(prefix="lakehouse-chromium-", ignore_cleanup_errors=True) as folder:
        size = ",".join(map(str, SIZE))
        started = subprocess.Popen(
            [
                program(),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                f"--window-size={size}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port, path = _address(Path(folder) / "DevToolsActivePort", started)
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, compression=None) as browser:
                browser.send(json.dumps({"id": 1, "method": "Target.getTargets", "params": {}}))
                targets = json.loads(browser.recv(timeout=WAIT))["result"]["targetInfos"]
            target = next(each["targetId"] for each in targets if each["type"] == "page")
            with connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None, compression=None) as tab:
                page = Page(tab)
                width, height = SIZE
                page.call(
                    "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
                )
                yield page
        finally:
            started.terminate()
            started.wait(WAIT)


def _address(file: Path, started: subprocess.Popen[bytes]) -> tuple[str, str]:
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends and started.poll() is None:
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return lines[0], lines[1]
        time.sleep(0.05)
    raise AssertionError(f"the browser did not start: {started.poll()}")
