"""A page in a real browser: what it says on its console, what it asks the network for, what a script finds in it."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OWN = "not an origin"  # who asks, where it is the browser
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--virtual-time-budget=3000"),
    *("--enable-logging=stderr", "--v=0", "--dump-dom"),
)


@dataclass
class Seen:
    """found: what the script returned. console: errors and messages. requests: addresses outside the file."""

    found: Any
    console: list[str]
    requests: list[str]


def look(page: Path, script: str, folder: Path, fragment: str = "") -> Seen:
    """Open a copy of the page to which `script`, the body of a function that returns plain data, is added.

    It runs once the page has loaded. fragment: of its address, `#...`.

    The test is skipped where there is no browser.
    """
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")  # reason: a browser is no dependency of the project
    result = f"document.documentElement.dataset.found = JSON.stringify((() => {{{script}}})())"
    tail = f"<script>addEventListener('load', () => setTimeout(() => {{ {result} }}, 50));</script></body>"
    copy = folder / "looked-at.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", tail), encoding="utf-8")
    log = folder / "net.json"
    command = [
        browser,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={log}",
        copy.as_uri() + fragment,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr
    lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")), lines, requests(log))


def requests(log: Path) -> list[str]:
    """The addresses that the page asked for, but files and data; not what the browser asks for by itself."""
    asked = (event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"])
    urls = {p["url"] for p in asked if "url" in p and p.get("initiator", OWN) != OWN}
    return sorted(url for url in urls if re.match(r"(https?|wss?|ftp):", url))
