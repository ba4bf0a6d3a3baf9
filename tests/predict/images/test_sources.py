"""What `input=` names is found in its order, and a file that is still being written is waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightloom.core.errors import UserError
from lightloom.ops.images.grid import to_pil
from lightloom.predict.images import sources
from lightloom.predict.images.sources import arrivals, find


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Two pictures in `photos`, one below it, a video and a note; the command is given beside it."""
    for name in ("photos/a.png", "photos/b.jpg", "photos/deep/c.png", "photos/.hidden.png", "d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "photos/film.mp4").write_bytes(b"")
    (tmp_path / "photos/note.md").write_text("nothing\n")
    (tmp_path / "photos/list.txt").write_text("b.jpg\n\n../d.png\nrtsp://u:p@host/live\n")
    (tmp_path / "here.txt").write_text("photos\nd.png\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("where", "names", "videos"),
    [
        ("photos", ["a.png", "b.jpg", "deep/c.png"], ["photos/film.mp4"]),
        ("photos/*.png", ["a.png"], []),
        ("d.png", ["d.png"], []),
        (["d.png", "photos/a.png"], ["d.png", "photos/a.png"], []),
        (["photos/a.png", "photos", "photos/a.png"], ["a.png", "b.jpg", "deep/c.png"], ["photos/film.mp4"]),
        ("photos/list.txt", ["photos/b.jpg", "d.png"], ["rtsp://u:p@host/live"]),
        ("here.txt", ["photos/a.png", "photos/b.jpg", "photos/deep/c.png", "d.png"], ["photos/film.mp4"]),
        (0, [], ["0"]),
        (["http://host/a.mp4", "1"], [], ["http://host/a.mp4", "1"]),
        ("photos/note.md", [], ["photos/note.md"]),
    ],
)
def test_each_way_to_name_them(folder, where, names, videos):
    found = find(where, videos=True)
    assert found.names == names
    assert [str(video) for video in found.videos] == videos


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("none.png", "input=none.png: there is no such file"),
        ("*.bmp", "input=.*: no images there"),
        ([], r"input=\[\]: an empty list"),
        ("bad.txt", "input=bad.txt, line 2: nowhere.png: there is no such file"),
        ("empty.txt", "input=empty.txt: the list is empty"),
    ],
)
def test_a_mistake_is_one_sentence(folder, where, said):
    Path("bad.txt").write_text("d.png\nnowhere.png\n")
    Path("empty.txt").write_text("\n")
    with pytest.raises(UserError, match=f"^{said}") as caught:
        find(where, videos=True)
    assert "\n" not in str(caught.value)


def test_videos_are_for_those_who_take_them(folder, caplog):
    assert find("photos").names == ["a.png", "b.jpg", "deep/c.png"]
    assert "1 video(s) are left out" in caplog.text
    with pytest.raises(UserError, match=r"^input=photos/film\.mp4: a video, in which only detectors"):
        find("photos/film.mp4")


@pytest.mark.parametrize("where", ["d.png", ["photos", "d.png"], "nowhere"])
def test_only_a_folder_is_watched(folder, where):
    with pytest.raises(UserError, match=r"^watch=true: "):
        find(where, watch=True)


def test_a_file_is_taken_once_and_when_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "POLL", 0.02)
    picture = torch.randint(256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    to_pil(picture).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()

    def fill() -> None:
        with (tmp_path / "b.png").open("wb") as file:
            for begin in range(0, len(content), 3000):
                file.write(content[begin : begin + 3000])
                file.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=fill)
    writer.start()
    seen = []
    for paths in arrivals(tmp_path, lambda: False, idle=0.6):
        seen += [(path.name, path.stat().st_size) for path in paths]
    writer.join()
    assert seen == [("a.png", len(content)), ("b.png", len(content))]


def test_what_stays_unreadable_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "POLL", 0.02)
    monkeypatch.setattr(sources, "SETTLED", 0.2)
    (tmp_path / "a.png").write_bytes(b"half")
    assert [[path.name for path in paths] for paths in arrivals(tmp_path, lambda: False, idle=0.4)] == [["a.png"]]


def test_watching_ends_when_it_is_stopped(tmp_path):
    assert list(arrivals(tmp_path, lambda: True, idle=None)) == []
