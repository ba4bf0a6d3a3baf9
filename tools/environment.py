"""The environment .venv from requirements.lock: python tools/environment.py [--torch cpu] [--add PKG]; make calls it.

What else a person has installed there stays, and is listed. Needs nothing but Python 3.11 to 3.13.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOCK = ROOT / "requirements.lock"
CHOICE, READY = VENV / ".torch", ".ready"
DEFAULT = "default"  # the builds of the package index: CUDA on Linux, Metal on a Mac, the CPU on Windows
BUILDS = ("torch", "torchvision")
OF_CUDA = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)==")  # what a build for other hardware replaces


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="environment.py", description=__doc__)
    parser.add_argument("--torch", help="cpu, cu130, ... (uv's --torch-backend), or default")
    parser.add_argument("--add", nargs="+", metavar="PKG", help="to pyproject.toml, requirements.lock and .venv")
    parser.add_argument("--lock", action="store_true", help="renew requirements.lock from pyproject.toml, no more")
    options = parser.parse_args(arguments)
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit("Python 3.11 to 3.13 is needed; choose one with: make setup PYTHON=python3.12")
    try:
        if options.lock:
            return run(*tool(), *lock(ROOT, "--upgrade"))
        create()
        if options.add:
            add(options.add)
        install(options.torch or chosen())
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(map(str, error.cmd))} failed; nothing that was installed has been removed.")


def create() -> None:
    """.venv, with the uv that the lock names."""
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", str(VENV))
    own = VENV / "uv.lock"
    own.write_text("".join(entry for entry in entries(LOCK.read_text(encoding="utf-8")) if entry.startswith("uv==")))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")
    run(str(PYTHON), *pip, "-r", str(own))


def install(torch: str) -> None:
    """All that the lock names, exactly, and the project itself; nothing is resolved and nothing else is removed."""
    text, own = LOCK.read_text(encoding="utf-8"), VENV / "own.lock"
    own.write_text("".join(e for e in entries(text) if torch == DEFAULT or not OF_CUDA.match(e)), encoding="utf-8")
    uv("install", "--require-hashes", "--no-deps", "-r", str(own))
    if torch != DEFAULT:  # of an index with hashes of its own
        uv("install", "--torch-backend", torch, *builds(text))
    vendored = [str(wheel) for wheel in sorted((ROOT / "vendor").glob("*.whl"))]
    uv("install", "--no-deps", *(("--reinstall", *vendored) if vendored else ()), "--editable", str(ROOT))
    CHOICE.write_text(torch, encoding="utf-8")
    for old in VENV.glob(f"{READY}*"):
        old.unlink()
    (VENV / (READY if torch == DEFAULT else f"{READY}-{torch}")).touch()
    if more := beside(text):
        print(f"Beside requirements.lock, and left as they are: {', '.join(more)} (make add PKG=... puts one into it)")


def add(packages: Sequence[str]) -> None:
    """Into pyproject.toml and the lock, whose other entries stay as they are."""
    run(*tool(), "add", "--frozen", "--project", str(ROOT), *packages)
    run(*tool(), *lock(ROOT))


def lock(root: Path, *more: str) -> list[str]:
    """uv's arguments that write requirements.lock from pyproject.toml, keeping what is there. more: `--upgrade`"""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    groups = [word for group in ("bolts",) if re.search(rf"^{group} = ", text, re.M) for word in ("--group", group)]
    vendored = ["--no-emit-package", "lightloom"] if _is_thin(root) else []  # pyproject.toml names its folder
    how = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-annotate"]
    files = ["--no-header", "--quiet", "--output-file", str(root / "requirements.lock"), *more]
    what = ["--directory", str(root), "pyproject.toml", "--extra", "dev", *groups, *vendored]
    return ["pip", "compile", *what, *how, *files]


def _is_thin(root: Path) -> bool:
    return (root / "vendor").is_dir()


def chosen() -> str:
    """The build of torch that was asked for last."""
    return CHOICE.read_text(encoding="utf-8").strip() if CHOICE.is_file() else DEFAULT


def entries(text: str) -> Iterator[str]:
    """The entries of a lock file, each with its lines of hashes."""
    return (found[0] for found in re.finditer(r"^[^\s#].*\n(?:[ \t].*\n?)*", text, re.MULTILINE))


def builds(text: str) -> list[str]:
    """`torch==...` and `torchvision==...`, as the lock has them."""
    return [re.split(r"[\s;\\]", entry)[0] for entry in entries(text) if entry.partition("==")[0] in BUILDS]


def beside(text: str) -> list[str]:
    """What is installed and neither in the lock nor the project, nor part of what makes the environment."""
    ours = {re.split(r"[=\s]", entry)[0].lower() for entry in entries(text)} | {"pip", "setuptools"}
    listed = subprocess.run([*tool(), "pip", "freeze", "--python", str(PYTHON)], capture_output=True, text=True)
    found = [line.partition("==") for line in listed.stdout.splitlines() if "==" in line]
    return [f"{name} {version}" for name, _, version in found if name.lower() not in ours | set(map(str, _vendored()))]


def _vendored() -> Iterator[str]:
    return (wheel.name.partition("-")[0] for wheel in (ROOT / "vendor").glob("*.whl"))


def uv(*arguments: str) -> None:
    """`uv pip <arguments>` for the environment."""
    run(*tool(), "pip", arguments[0], "--quiet", "--python", str(PYTHON), *arguments[1:])


def tool() -> tuple[str, ...]:
    return (str(PYTHON), "-m", "uv")


def run(*command: str) -> None:
    """Raises CalledProcessError where the command fails."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
