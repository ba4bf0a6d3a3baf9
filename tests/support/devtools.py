"""A Chromium that is told what to do by its DevTools protocol: what a person would do, and what the page asks for."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from browser import NAMES
from websockets.sync.client import connect

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--remote-debugging-port=0"),
    *("--ignore-certificate-errors", "--window-size=1200,900"),
)


class Browser:
    """One page. told: errors and exceptions of its console. requests: all addresses that it asked for."""

    def __init__(self, folder: Path, camera: Path | None = None) -> None:
        browser = next((path for name in NAMES if (path := shutil.which(name))), None)
        if browser is None:
            pytest.skip("no Chromium on this machine")  # reason: a browser is no dependency of the project
        own = [f"--user-data-dir={folder / 'profile'}"]
        own += [f"--use-file-for-fake-video-capture={camera}"] if camera else []
        with (folder / "chromium.log").open("wb") as log:
            self.process = subprocess.Popen([browser, *FLAGS, *own, "about:blank"], stdout=log, stderr=log)
        port = folder / "profile/DevToolsActivePort"
        _until(port.is_file, 30)
        _until(lambda: len(port.read_text().split()) > 1, 5)
        number = port.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{number}/json") as found:
            address = next(page["webSocketDebuggerUrl"] for page in json.load(found) if page["type"] == "page")
        self._stack = ExitStack()
        self.link = self._stack.enter_context(connect(address, max_size=None))
        self.told: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a method of the protocol."""
        self._number += 1
        self.link.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.link.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def open(self, address: str) -> None:
        """Go to a page and wait until it is there."""
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> Any:
        """The value of an expression, once it is true."""
        return _until(lambda: self.run(script), seconds)

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def press(self, key: str, number: int) -> None:
        """A key of the keyboard. number: of its virtual key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=number)

    def resize(self, width: int, height: int) -> None:
        """As a telephone, or another window."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def picture(self, path: Path) -> None:
        """What is seen, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self) -> None:
        """End it."""
        self._stack.close()
        self.process.terminate()
        self.process.wait(10)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.told.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.told.append(parameters["entry"]["text"] + parameters["entry"].get("url", ""))


def _until(ask: Any, seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found
