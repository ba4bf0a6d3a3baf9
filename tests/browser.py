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


def look(page: Path, script: str, folder: Path) -> Seen:
    """Open a copy of the page to which `script`, the body of a function that returns plain data, is added.

    The test is skipped where there is no browser.
    """
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")  # reason: a browser is no dependency of the project
    tail = f"<script>document.documentElement.dataset.found = JSON.stringify((() => {{{script}}})());</script></body>"
    copy = folder / "looked-at.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", tail), encoding="utf-8")
    log = folder / "net.json"
    command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr
    lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")), lines, requests(log))


def requests(log: Path) -> list[str]:
    """The addresses that the pages of the session asked for, but files and data."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    urls = {e.get("params", {}).get("url", "") for e in events}
    return sorted(url for url in urls if re.match(r"(https?|wss?|ftp):", url))
