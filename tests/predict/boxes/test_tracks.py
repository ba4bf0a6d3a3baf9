"""Boxes that another program found are followed, steadied and written; what is wrong with them is one sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import compose

from lightloom.config.compose import without_hydra
from lightloom.core.errors import UserError
from lightloom.predict.boxes.tracks import smooth

FRAMES = 40


def steadied(folder: Path, text: str, *overrides: str, name: str = "found.txt") -> list[dict[str, str]]:
    (folder / name).write_text(text)
    cfg = without_hydra(compose(f"boxes={folder / name}", *overrides, config_name="smooth"))
    cfg.paths.output_dir = str(folder / "out")
    smooth(cfg)
    with (folder / "out" / f"{Path(name).stem}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lines(noise: float, track: str, score: str) -> str:
    """A box that moves to the right, with noise, as MOT's text."""
    rng = np.random.default_rng(0)
    rows = ((t, 11 + 2 * t + noise * rng.normal(), 21, 30, 60) for t in range(1, FRAMES + 1))
    return "".join(
        f"{t},{track},{left:.3f},{top},{width},{height},{score},-1,-1,-1\n" for t, left, top, width, height in rows
    )


@pytest.mark.parametrize(("track", "score"), [("7", "1"), ("7", "0.8"), ("-1", "0.8"), ("-1", "63.2")])
def test_boxes_come_out_steadier_with_their_number_or_a_new_one(tmp_path, track, score):
    found = steadied(tmp_path, lines(2.0, track, score))
    frames = [int(row["frame"]) for row in found]
    assert frames == list(range(1 if track == "7" else 2, FRAMES + 1))
    assert {row["track"] for row in found} == {track if track == "7" else "1"}
    assert {row["class"] for row in found} == {"object"}
    errors = [float(row["x1"]) - (10 + 2 * frame) for row, frame in zip(found, frames, strict=True)]
    assert np.std(np.diff(errors)) < 2.0 * 2**0.5 / 4


def test_a_csv_keeps_its_classes_and_what_was_written_is_read_again(tmp_path):
    places = {"cat": 10, "dog": 200}
    rows = [f"{t},{name},{x + t},20,{x + 30 + t},80,0.9" for t in range(1, 20) for name, x in places.items()]
    text = "\n".join(["frame,class,x1,y1,x2,y2,score", *rows]) + "\n"
    found = steadied(tmp_path, text, "smoothing=null", name="found.csv")
    assert {(row["class"], row["track"]) for row in found} == {("cat", "1"), ("dog", "2")}
    written = (tmp_path / "out/found.csv").read_text()
    again = steadied(tmp_path, written, "smoothing=null", name="again.csv")
    assert again == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"boxes=.*: there is no box in it"),
        ("1,2,5,5,9,9,0\n", r"boxes=.*: there is no box in it"),
        ("1,2,5,5,9\n", r"boxes=.*, line 1: '1,2,5,5,9' is no box"),
        ("1,2,5,5,9,9\n1,2,5,5,9,9\n", r"boxes=.*, line 2: frame 1 has track 2 twice"),
        ("1,2,5,5,9,9,nan\n", r"boxes=.*, line 1: .* is no box"),
        ("frame,x1,y1,x2\n1,5,5,9\n", r"boxes=.*, line 2: .* is no box"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, said):
    with pytest.raises(UserError, match=f"^{said}") as caught:
        steadied(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_boxes_are_asked_for(tmp_path):
    with pytest.raises(UserError, match=r"^boxes is not set"):
        smooth(without_hydra(compose(config_name="smooth")))
