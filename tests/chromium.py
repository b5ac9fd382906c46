"""A page in a real headless Chromium, by its DevTools protocol: what it shows, what it says, what it asks for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from outside import program

FLAGS = (
    "--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--no-default-browser-check", "--hide-scrollbars", "--font-render-hinting=none",
    # Chromium refuses its sandbox to root, which is who runs in a container; the pages are files of the test's own.
    "--no-sandbox",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


class Page:
    """One tab. `said` is what its console held, `asked` the addresses that it asked for, `refused` those it did not."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        http: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
    ) -> None:
        self._loop = loop
        self._http = http
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session = ""
        self.said: list[str] = []
        self.asked: list[str] = []
        self.refused: list[str] = []
        self._requests: dict[str, str] = {}
        self.loaded = 0

    def open(self, address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show an address in a window of this size."""
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.said.clear()
        self.asked.clear()
        self.refused.clear()
        before = self.loaded
        self.call("Page.navigate", url=address)
        end = time.monotonic() + 60
        while self.loaded == before and time.monotonic() < end:
            self._loop.run_until_complete(self._hear())

    def size(self, width: int, height: int) -> None:
        """Make the window so large."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to, as JSON."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key],
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Keep what is seen as a PNG; the whole page, or the window."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol, and its result."""
        return self._loop.run_until_complete(self._call(method, parameters))

    async def attach(self) -> None:
        """Open the tab and listen to it."""
        target = await self._call("Target.createTarget", {"url": "about:blank"})
        attached = await self._call(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._call(f"{domain}.enable", {})

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()
        await self._http.close()
        await asyncio.sleep(0.1)  # aiohttp's transports close a turn later

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **session})
        while True:
            told = await self._hear()
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                return told["result"]

    async def _hear(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(await self._socket.receive_str(timeout=60))
        parameters = told.get("params", {})
        if told.get("method") == "Page.loadEventFired":
            self.loaded += 1
        elif told.get("method") == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(part.get("value")) for part in parameters["args"]))
        elif told.get("method") == "Runtime.exceptionThrown":
            self.said.append(json.dumps(parameters["exceptionDetails"]))
        elif told.get("method") == "Log.entryAdded":
            self.said.append(parameters["entry"]["text"])
        elif told.get("method") == "Network.requestWillBeSent":
            self._requests[parameters["requestId"]] = parameters["request"]["url"]
            self.asked.append(parameters["request"]["url"])
        elif told.get("method") == "Network.loadingFailed" and parameters.get("blockedReason") == "csp":
            address = self._requests[parameters["requestId"]]
            self.asked.remove(address)
            self.refused.append(address)
        elif told.get("method") == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {parameters['message']}")
        return told


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A page of a browser with a profile of its own in the folder. Skips the test where there is no Chromium."""
    executable = program("chromium", "chromium-browser", "google-chrome")
    process = subprocess.Popen(
        [executable, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        page = loop.run_until_complete(_attached(loop, _address(folder)))
        try:
            yield page
        finally:
            loop.run_until_complete(page.close())
    finally:
        process.terminate()
        process.wait(timeout=30)
        loop.close()


async def _attached(loop: asyncio.AbstractEventLoop, address: str) -> Page:
    http = aiohttp.ClientSession()
    page = Page(loop, http, await http.ws_connect(address, max_msg_size=0))
    await page.attach()
    return page


def _address(folder: Path) -> str:
    """Where the browser listens, which it writes down once it does."""
    written = folder / "DevToolsActivePort"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            port, path = written.read_text().split("\n")[:2]
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise AssertionError("chromium did not start within a minute")
