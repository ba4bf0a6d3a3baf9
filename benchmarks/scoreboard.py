"""The scoreboard of docs/results.md, from run folders; exit code 1 where a figure has drifted beyond its spread.

    python benchmarks/scoreboard.py                                  # look for the runs of its rows in logs/
    python benchmarks/scoreboard.py --record                         # and keep what they came to
    python benchmarks/scoreboard.py --of <run folder> ... [--metrics test/frechet_lenet test/recall_lenet]

The rows are in scoreboard.yaml; a run belongs to a row if it was started with its options, whatever its seed, its name
and its place. What runs came to is kept in results/scoreboard.json, which nothing else writes. A row without a run
folder shows what is kept, and is marked. A cell is the mean ± the standard deviation over the seeds.

Drift: the means of the runs and of those that are kept differ by more than the 95 % interval that Student's t gives for
the difference of two such means, and by more than the tolerance.

With --of: a table of these runs, one row for each run_name, and nothing is compared or written.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lightloom.config import compose
from lightloom.core import atomic_io, run_dir

HERE = Path(__file__).parent
BEGIN, END = "<!-- scoreboard: written by make scoreboard -->", "<!-- end of the scoreboard -->"
ELSEWHERE = ("seed", "run_name", "logger", "trainer", "data.num_workers", "data.root", "data.download")  # no row's own
Record = dict[str, dict[str, dict[str, Any]]]  # row -> seed -> what the run came to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", type=Path, default=compose.ROOT / "logs", help="where to look for run folders")
    parser.add_argument("--rows", type=Path, default=HERE / "scoreboard.yaml")
    parser.add_argument("--kept", type=Path, default=HERE / "results/scoreboard.json")
    parser.add_argument("--page", type=Path, default=compose.ROOT / "docs/results.md")
    parser.add_argument("--record", action="store_true", help="keep what the runs came to")
    parser.add_argument("--of", nargs="+", type=Path, help="a table of these runs")
    parser.add_argument("--metrics", nargs="+", default=["test/acc"], help="its columns")
    args = parser.parse_args()
    if args.of:
        print("\n".join(table_of(args.of, args.metrics)))
        return
    board: Any = OmegaConf.to_container(OmegaConf.load(args.rows))
    kept: Record = json.loads(args.kept.read_text(encoding="utf-8")) if args.kept.is_file() else {}
    found = collect(args.logs, board)
    drifts = [line for name in found if (line := drift(name, kept.get(name, {}), found[name], board))]
    if args.record:
        kept |= {name: {**kept.get(name, {}), **runs} for name, runs in found.items()}
        atomic_io.write_text(args.kept, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write(args.page, tables(board, kept, found))
    print("\n".join([*tables(board, kept, found), *drifts]))
    sys.exit(1 if drifts else 0)


# --- runs -------------------------------------------------------------------------------------------------------------


def collect(logs: Path, board: dict[str, Any]) -> Record:
    """The runs of each row below `logs`; of one seed the newest."""
    rows = {options_of(row["options"]): name for name, row in board["rows"].items()}
    found: Record = defaultdict(dict)
    for path in sorted(logs.rglob(run_dir.RESULTS), key=lambda p: p.stat().st_mtime):
        run, results = path.parent, json.loads(path.read_text(encoding="utf-8"))
        if not (run / run_dir.OVERRIDES).is_file():
            continue
        name = rows.get(options_of(run_dir.recorded_overrides(run)))
        if name and metric_of(board, name) in results:
            seed = str(OmegaConf.load(run / run_dir.CONFIG).seed)
            figures = {key: value for key, value in results.items() if not isinstance(value, str)}  # no paths
            found[name][seed] = {**figures, "date": str(date.fromtimestamp(path.stat().st_mtime))}
    return dict(found)


def metric_of(board: dict[str, Any], name: str) -> str:
    """What a row is about: its own metric, or the board's."""
    return board["rows"][name].get("metric", board["metric"])


def options_of(overrides: Iterable[str]) -> frozenset[str]:
    """The options that make a run what it is, in one form."""
    lines = (compose.expand_shorthand(o) for o in overrides)
    return frozenset(
        o for o in lines if not o.startswith(("paths.", "hydra.")) and o.partition("=")[0] not in ELSEWHERE
    )


def drift(name: str, kept: dict[str, Any], found: dict[str, Any], board: dict[str, Any]) -> str | None:
    """One line where the runs found are not those kept, up to chance."""
    metric = metric_of(board, name)
    before, now = ([run[metric] for run in runs.values()] for runs in (kept, found))
    if not before or not now:
        return None
    allowed = max(board["rows"][name].get("tolerance", board["tolerance"]), interval(before, len(now)))
    change = statistics.mean(now) - statistics.mean(before)
    if abs(change) <= allowed:
        return None
    return f"drift: {name} {metric} {cell(before)} -> {cell(now)}: {change:+.4f}, beyond ±{allowed:.4f}"


def interval(before: Sequence[float], n: int) -> float:
    """Half the 95 % interval of the difference between the mean of n new values and that of these; 0 for one value."""
    if len(before) < 2:
        return 0.0
    from scipy import stats

    t = float(stats.t.ppf(0.975, len(before) - 1))
    return t * statistics.stdev(before) * (1 / len(before) + 1 / n) ** 0.5


# --- tables -----------------------------------------------------------------------------------------------------------


def tables(board: dict[str, Any], kept: Record, found: Record) -> list[str]:
    """The scoreboard as Markdown: the rows that are in no group, then those of each group below its name."""
    lines: list[str] = []
    for group in dict.fromkeys(row.get("group", "") for row in board["rows"].values()):
        rows = {name: row for name, row in board["rows"].items() if row.get("group", "") == group}
        lines += [*(["", f"Of {group}:", ""] if group else []), *table({**board, "rows": rows}, kept, found)]
    return lines


def table(board: dict[str, Any], kept: Record, found: Record) -> list[str]:
    """The rows as Markdown: the runs found, else those kept, else the command alone."""
    header = ["what", "command", "published", "metric", "here", "n", "steps", "train s", "runs of"]
    lines = [header, ["---"] * len(header)]
    for name, row in board["rows"].items():
        runs = list((found.get(name) or kept.get(name) or {}).values())
        metric, command = metric_of(board, name), f"`python src/train.py {' '.join(row['options'])}`"
        cells = [row["what"], command, row.get("published", "nothing for this split"), metric]
        if not runs:
            lines.append([*cells, "", "0", "", "", f"wants {row['needs']}" if "needs" in row else "none yet"])
            continue
        seconds = f"{statistics.mean(run['train_seconds'] for run in runs):.1f}"
        when = max(run["date"] for run in runs) + ("" if name in found else ", not rerun")
        lines.append(
            [*cells, cell([run[metric] for run in runs]), str(len(runs)), str(runs[0]["steps"]), seconds, when]
        )
    return ["| " + " | ".join(line) + " |" for line in lines]


def write(page: Path, lines: Sequence[str], marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put the lines between the page's marks."""
    first, last = marks
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        sys.exit(f"{page} has no place for this table; it begins with {first} and ends with {last}")
    atomic_io.write_text(page, "\n".join([before + first, "", *lines, "", last + after]))


def table_of(runs: Sequence[Path], metrics: Sequence[str]) -> list[str]:
    """Any runs, those of one run_name in a row."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for run in runs:
        name = OmegaConf.load(run / run_dir.CONFIG).run_name
        found[name].append(json.loads((run / run_dir.RESULTS).read_text(encoding="utf-8")))
    header = ["run", "n", *metrics, "epochs", "steps", "minutes"]
    rows = [header, ["---"] * len(header)]
    for name, results in sorted(found.items()):
        figures = [cell([r[m] for r in results if m in r]) for m in metrics]
        minutes = f"{statistics.mean(r['train_seconds'] for r in results) / 60:.1f}"
        rows.append([name, str(len(results)), *figures, str(results[0]["epochs"]), str(results[0]["steps"]), minutes])
    return ["| " + " | ".join(row) + " |" for row in rows]


def cell(values: Sequence[float]) -> str:
    """The mean, ± the standard deviation where there is one."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{spread}"


if __name__ == "__main__":
    main()
