"""List, filter, compare and clean runs: python src/runs.py --help."""

from collections.abc import Sequence

from lightloom.cli.launch import command


def runs(arguments: Sequence[str]) -> int:
    """The runs of logs/runs, newest first, with their figures and what they take on the disk."""
    from pathlib import Path

    from lightloom.config import compose
    from lightloom.reporting import listing

    return listing.listed(arguments, Path(compose.compose("report", []).paths.log_dir))


if __name__ == "__main__":
    command(runs, "runs")
