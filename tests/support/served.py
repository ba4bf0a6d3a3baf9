"""A server as it is started, as a process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from conftest import ROOT
from websockets.sync.client import connect

TOKEN = "a-token-of-the-tests"
HIDING = """
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hiding())
"""


class Server:
    """said: on its console, up to its address. without: libraries that are not installed as far as it can see."""

    def __init__(self, folder: Path, *options: str, without: tuple[str, ...] = ()) -> None:
        environment = os.environ | {"LIGHTLOOM_LOG_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        if without:
            (folder / "site").mkdir(exist_ok=True)
            (folder / "site/sitecustomize.py").write_text(HIDING.format(names=without))
            environment["PYTHONPATH"] = os.pathsep.join((str(folder / "site"), os.environ.get("PYTHONPATH", "")))
        command = [sys.executable, str(ROOT / "src/serve.py"), "port=0", "threads=1", *options]
        self.folder = folder
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.process.stdout
        self.said = ""
        while not (found := re.search(r"(https?)://127\.0\.0\.1:(\d+)/", self.said)):
            line = self.process.stdout.readline().decode()
            assert line, self.said
            self.said += line
        self.address = f"{found[1]}://127.0.0.1:{found[2]}"
        self.client = self.asking({"authorization": f"Bearer {TOKEN}"})

    def asking(self, headers: dict[str, str]) -> httpx.Client:
        """A client with these headers."""
        return httpx.Client(base_url=self.address, headers=headers, timeout=30, verify=False)

    def live(self, token: str = TOKEN, **options: object):
        """A camera's websocket."""
        address = self.address.replace("http", "ws", 1)
        return connect(f"{address}/api/v1/live", subprotocols=[f"token.{token}"], **options)

    def close(self) -> int:
        """As a service manager ends it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
