"""What the files of a run's folder look like, which may be a stranger's; what is otherwise counts as missing."""

from __future__ import annotations

from lightloom.core.schema import (
    COUNT,
    anything,
    either,
    entries,
    items,
    nothing,
    number,
    table,
    text,
)

FACTS = table(text(), anything)
SHARE = number(0, 1.001)  # as it was rounded

CONFIG = entries(
    {"model": FACTS, "data": FACTS},
    {"monitor": either(nothing, entries({}, {"metric": text(), "mode": either(nothing, text())}))},
)
SPLITS = table(text(), entries({}, {"count": COUNT, "sha256": text(), "of": text()}))
FOUND = entries({"notes": items(text())}, {})
ORIGIN = entries(
    {"path": text(), "epoch": COUNT, "step": COUNT, "changed": items(items(anything, 3, 3))}, {"weights_only": anything}
)
START = entries(
    {
        "time": text(),
        "command": text(100_000),
        "git": either(
            nothing,
            entries({"commit": text(), "branch": text(), "changed": COUNT}, {"diff_sha256": either(nothing, text())}),
        ),
        "versions": entries({"python": text(), "torch": text()}, {}),
        "hardware": entries(
            {
                **{"device": text(), "processor": text(), "system": text(), "precision": text()},
                **{"processes": COUNT, "cores": either(nothing, COUNT), "threads": COUNT},
                **{"gpus": items(text()), "cuda": either(nothing, text())},
            },
            {},
        ),
        "parameters": COUNT,
        "data": entries({"name": text(), "splits": SPLITS}, {"found": either(nothing, FOUND)}),
        "origin": either(nothing, ORIGIN),
    },
    {"train_seconds": number(0), "stopped_by": either(nothing, text())},
)
RECORD = entries({"starts": items(START)}, {})
