"""`lightloom <command> ...`: the commands of src/, wherever the package is installed."""

from __future__ import annotations

import runpy
import sys

from lightloom.core import places
from lightloom.core.errors import did_you_mean
from lightloom.core.redaction import redact
from lightloom.core.screen import say
from lightloom.core.text import printable


def main() -> None:
    """Run the command that the first word names, as `python src/<command>.py` does."""
    known = sorted(path.stem for path in places.COMMANDS.glob("*.py"))
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked not in known:
        _tell(asked, known)
    sys.argv[:] = [str(places.COMMANDS / f"{asked}.py"), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")


def _tell(asked: str, known: list[str]) -> None:
    name = places.PACKAGE.name
    if asked in ("-h", "--help"):
        say(f"Usage: {name} <{' | '.join(known)}> [option=value ...]\n\n{name} <command> --help says what it takes.")
        sys.exit(0)
    said = f"error: {asked} is no command.{did_you_mean(asked, known)} Known: {', '.join(known)}.\n"
    sys.stderr.write(printable(redact(said)))
    sys.exit(2)
