"""A real Chromium without a window, looked at over its DevTools protocol.

`TEST_CHROMIUM` names the program, else one is looked for on PATH.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from websockets.sync.client import connect

from tests.harness.proxy import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ALONE = (
    "--headless --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --no-proxy-server --remote-debugging-port=0"
).split()
START_SECONDS = 30.0


def find_browser() -> Path | None:
    """The Chromium to use, if there is one."""
    named = os.environ.get("TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


class Browser:
    """One browser with one page, in a folder of its own. A context manager."""

    def __init__(self, program: Path, folder: Path, width: int = 1280, height: int = 720) -> None:
        self._profile = folder / "browser"
        self._command = [str(program), *ALONE, f"--user-data-dir={self._profile}"]
        self._command += [f"--window-size={width},{height}", "about:blank"]
        if os.geteuid() == 0:
            self._command.append("--no-sandbox")  # Chromium refuses to sandbox for root
        self._numbers = itertools.count(1)

    def open(self, url: str) -> None:
        """Go to a page."""
        self._ask("Page.navigate", url=url)

    def text(self) -> str:
        """What is to be read on the page; nothing while it is being left for another."""
        return str(self.value("document.body?.innerText") or "")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth on the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer.get("result", {}).get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, as a user does."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Escape": 27}.get(key, 0)
            for kind in ("keyDown", "keyUp"):
                written = {"text": text} if kind == "keyDown" and text else {}
                self._ask(
                    "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                    **written,
                )  # fmt: skip

    def resize(self, width: int, height: int = 900, scheme: str = "light", scale: int = 1) -> None:
        """Show the page in another size, and in light or dark."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._ask("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Save what is to be seen, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=START_SECONDS))
            if answer.get("id") == number:
                return answer.get("result", {})

    def _page(self) -> str:
        """The address of the page's DevTools, once there is one."""
        try:
            port = (self._profile / "DevToolsActivePort").read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                pages = json.load(answer)
        except (OSError, IndexError):
            return ""
        return next((one["webSocketDebuggerUrl"] for one in pages if one["type"] == "page"), "")

    def __enter__(self) -> Self:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet)
        try:
            page = wait_until(self._page, "the browser has a page", START_SECONDS)
            self._socket = connect(page, max_size=None, proxy=None)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
