"""Videos are read whole or said to be cut off, what is written plays, and memory does not grow with the length."""

from __future__ import annotations

import csv
import http.server
import json
import os
import signal
import sys
import threading
import weakref
from fractions import Fraction
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import compose, real
from omegaconf import OmegaConf

from lightloom.config.compose import without_hydra
from lightloom.core.errors import UserError
from lightloom.ops.images.grid import to_pil
from lightloom.predict import choose, images
from lightloom.predict.boxes.video import followed, limited, name_of
from lightloom.predict.images import sources
from lightloom.predict.interruption import until_interrupted
from lightloom.tracking import video
from lightloom.tracking.byte_track import ByteTrack, Steady
from lightloom.tracking.mot import TrackFiles, read_tracks
from lightloom.tracking.smoothing import KalmanSmoother
from lightloom.tracking.video import Camera, Frame, Stream, VideoReader, VideoWriter

RATE = Fraction(25)
HEIGHT, WIDTH, SIDE = 48, 80, 16
TRAINED = OmegaConf.create({"run_name": "x", "data": {"kind": "detection", "channels": 3, "classes": ["cat", "dog"]}})


def square_at(t: int) -> tuple[int, int, int, int]:
    """Where a bright square is in frame t, xyxy; it stays inside for 60 frames."""
    x, y = 2 + t, 4 + t // 4
    return x, y, x + SIDE, y + SIDE


def picture(t: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    image = torch.full((3, height, width), 40, dtype=torch.uint8)
    x1, y1, x2, y2 = square_at(t)
    image[:, y1:y2, x1:x2] = torch.tensor([220, 60, 60], dtype=torch.uint8)[:, None, None]
    return image


def write(path: Path, count: int = 40, rate: Fraction = RATE, **size: int) -> Path:
    with VideoWriter(path, rate) as writer:
        for t in range(count):
            writer.write(picture(t, **size), float(t / rate))
    return path


def encode(path: Path, codec: str = "mpeg4", count: int = 60) -> Path:
    """The same pictures in another format."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for t in range(count):
            frame = av.VideoFrame.from_ndarray(picture(t).permute(1, 2, 0).contiguous().numpy())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Finds(pl.LightningModule):
    """The bright square, and a false box where there is none."""

    def detect(self, images):
        found = []
        for image in images:
            assert image.max() <= 1
            rows, columns = (image[0] > 0.6).any(1).nonzero(), (image[0] > 0.6).any(0).nonzero()
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            found.append({"boxes": torch.tensor([box], dtype=torch.float32), "labels": torch.tensor([2]),
                          "scores": torch.tensor([0.9])})  # fmt: skip
        return found


def predict(folder: Path, *overrides: str, module: pl.LightningModule | None = None) -> Path:
    cfg = without_hydra(compose("trainer=cpu", *overrides, config_name="predict"))
    folder.mkdir(exist_ok=True)
    cfg.paths.output_dir = str(folder)
    module = module or Finds()
    choose.choose(cfg, TRAINED, module).run(cfg, TRAINED, choose.settle(cfg, module))
    return folder


# --- reading and writing


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(30000, 1001)])
@pytest.mark.parametrize("size", [(48, 80), (47, 79)])
def test_what_is_written_is_read_again(tmp_path, rate, size):
    height, width = size
    path = write(tmp_path / "film.mp4", 30, rate, height=height, width=width)
    reader = VideoReader(path)
    assert (reader.rate, reader.count) == (rate, 30)
    frames = list(reader)
    assert reader.fault is None
    assert [f.seconds for f in frames] == pytest.approx([float(t / rate) for t in range(30)], abs=1e-4)
    for t, frame in enumerate(frames):
        assert frame.image.shape == (3, 48, 80)  # even sides
        assert (frame.image[:, :height, :width].float() - picture(t, height, width)).abs().mean() < 4


def test_what_is_written_plays_everywhere(tmp_path):
    import av

    path = write(tmp_path / "film.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")  # it plays while it loads
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_frames_keep_their_times(tmp_path):
    times = [0.0, 0.04, 0.2, 0.24, 1.0]
    with VideoWriter(tmp_path / "film.mp4", RATE) as writer:
        for t, seconds in enumerate(times):
            writer.write(picture(t), seconds)
    assert [f.seconds for f in VideoReader(tmp_path / "film.mp4")] == pytest.approx(times, abs=1e-4)


def test_a_phones_rotation_is_undone(tmp_path):
    path = write(tmp_path / "film.mp4", 3)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of the track's header: here turned clockwise for display
    for i, value in enumerate((0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)):
        content[at + 4 * i : at + 4 * i + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    image = next(iter(VideoReader(path))).image
    upright = torch.rot90(picture(0), -1, (1, 2)).float()
    assert image.shape == upright.shape
    assert (image - upright).abs().mean() < 4


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.avi", "film.webm"])
def test_a_truncated_video_is_read_as_far_as_it_goes_and_says_so(tmp_path, name):
    codecs = {"film.mkv": "h264", "film.avi": "mpeg4", "film.webm": "libvpx"}
    whole = encode(tmp_path / name, codecs[name]) if name in codecs else write(tmp_path / name, 60)
    reader = VideoReader(whole)
    assert len(list(reader)) == 60
    assert reader.fault is None
    content = whole.read_bytes()
    whole.write_bytes(content[: round(0.8 * len(content))])
    reader = VideoReader(whole)
    count = len(list(reader))
    assert 0 < count < 60
    assert f"ends after frame {count} of 60" in reader.fault
    assert "truncated" in reader.fault


def test_a_damaged_frame_is_named(tmp_path, caplog):
    path = encode(tmp_path / "film.mkv")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(400) + content[middle + 400 :])
    with caplog.at_level("WARNING", "lightloom"):
        reader = VideoReader(path)
        count = len(list(reader))
    assert count < 60
    assert reader.fault or "could not be read" in caplog.text or "damaged at" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 20])
def test_another_file_is_no_video(tmp_path, content):
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"notes\.mp4: cannot be read as a video .*; name a video file that plays"):
        VideoReader(path)


def test_a_camera_that_is_not_there_is_one_sentence():
    with pytest.raises(UserError, match=r"input=97: .*camera 97 .*\; .*") as caught:
        Camera(97)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("package", "call"), [("av", lambda: Camera(0)), ("trackers", ByteTrack)])
def test_a_missing_extra_is_one_sentence(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[video\]"'):
        call()


def test_the_vtest_film_has_its_frames():
    reader = VideoReader(real("video/vtest.avi"))
    assert (reader.rate, reader.count) == (10, 795)
    frames = limited(reader, 20, None, lambda: False)
    assert [(tuple(f.image.shape), f.seconds) for f in frames] == [((3, 576, 768), t / 10) for t in range(20)]
    truth = read_tracks(real("video/PETS09-S2L1/gt/gt.txt"))  # 174 more are to be ignored
    assert (min(truth), max(truth), sum(len(f["ids"]) for f in truth.values())) == (
        1,
        795,
        4476,
    )


# --- a frame at a time


@pytest.mark.parametrize("lag", [0, 7])
def test_as_many_frames_are_alive_in_a_long_video_as_in_a_short_one(lag):
    def most_alive(count: int) -> int:
        alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        most = 0

        def frames():
            for t in range(count):
                image = picture(t % 60)
                alive.add(image)
                yield Frame(image, t / 25)

        def find(images):
            nonlocal most
            most = max(most, len(alive))
            box = torch.tensor([square_at(0)], dtype=torch.float32)
            return [{"boxes": box, "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}]

        shown = 0
        for _ in followed(frames(), find, ByteTrack(25), Steady(KalmanSmoother(lag=lag))):
            shown += 1
        assert shown == count
        return most

    assert most_alive(60) == most_alive(240) <= lag + 4


def test_seconds_and_frames_limit_a_video():
    frames = [Frame(picture(t), t / 25) for t in range(40)]
    assert len(list(limited(frames, 7, None, lambda: False))) == 7
    assert len(list(limited(frames, None, 0.4, lambda: False))) == 10
    assert len(list(limited(frames, None, None, iter([False] * 5 + [True]).__next__))) == 5


def test_ctrl_c_is_noted_once_and_interrupts_the_second_time():
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with until_interrupted() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, inherited)


# --- predict.py


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_is_drawn_and_its_tracks_are_written(tmp_path):
    path = write(tmp_path / "film.mp4")
    output = predict(tmp_path / "out", f"input={path}")
    assert sorted(p.name for p in output.iterdir()) == ["film.csv", "film.mp4", "film.txt"]
    found = rows(output / "film.csv")
    assert [(int(r["frame"]), r["track"], r["class"]) for r in found] == [(t, "1", "dog") for t in range(2, 41)]
    for row in found[5:]:
        corners = [float(row[name]) for name in ("x1", "y1", "x2", "y2")]
        assert corners == pytest.approx(square_at(int(row["frame"]) - 1), abs=1.0)
    drawn = VideoReader(output / "film.mp4")
    assert drawn.rate == RATE
    frames = list(drawn)
    assert len(frames) == 40
    factor = frames[0].image.shape[2] // WIDTH
    x1, y1, x2, _ = (factor * v for v in square_at(20))
    edge = frames[20].image[:, y1 - 1 : y1 + 2, x1 + 8 : x2 - 8].float().mean((1, 2))
    plain = frames[0].image[:, y1 - 1 : y1 + 2, x1 + 8 : x2 - 8].float().mean((1, 2))
    assert (edge - plain).abs().max() > 40  # a box and its label are there


@pytest.mark.parametrize("smoothing", ["kalman", "one_euro", "null"])
def test_tracks_are_measured_against_the_truth(tmp_path, capsys, smoothing):
    path = write(tmp_path / "film.mp4", 20)
    with TrackFiles(tmp_path / "truth", ["square"]) as files:
        for t in range(20):
            box = torch.tensor([square_at(t)], dtype=torch.float32)
            one = torch.ones(1, dtype=torch.int64)
            files.write(t + 1, {"ids": one, "labels": one, "boxes": box, "scores": one.float()})
    predict(tmp_path / "out", f"input={path}", f"truth={tmp_path / 'truth.txt'}", f"smoothing={smoothing}")
    lines = [line.split() for line in capsys.readouterr().out.replace("│", " ").splitlines()]
    for name in ("raw", "smoothed"):
        (line,) = [line for line in lines if line[:1] == [name]]
        assert line[1:5] == ["0.9500", "0", "1", "0"]  # the first frame is missed: a track is sure at its second box


def test_each_frames_boxes_in_a_format_that_is_asked_for(tmp_path):
    path = write(tmp_path / "film.mp4", 10)
    output = predict(tmp_path / "out", f"input={path}", "format=coco", "max_frames=6")
    content = json.loads((output / "boxes.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"film_{t:06d}.png" for t in range(1, 7)]
    assert len(content["annotations"]) == len(rows(output / "film.csv")) == 5


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("coco", ["boxes.json"]),
        ("coco_results", ["results.json"]),
        ("csv", ["boxes.csv"]),
        ("voc", ["voc/a é.xml", "voc/b/a é.xml", "voc/b/a é-2.xml"]),
        ("yolo", ["yolo/labels/a é.txt", "yolo/labels/b/a é.txt", "yolo/labels/b/a é-2.txt", "yolo/data.yaml"]),
    ],
)
def test_images_of_one_name_in_several_folders_keep_their_boxes_apart(tmp_path, form, written):
    names = ["a é.png", "b/a é.bmp", "b/a é.png"]
    for t, name in enumerate(names):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        to_pil(picture(t)).save(tmp_path / "photos" / name)
    output = predict(tmp_path / "out", f"input={tmp_path / 'photos'}", f"format={form}")
    drawn = ["drawn/a é.jpg", "drawn/b/a é-2.jpg", "drawn/b/a é.jpg"]
    files = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert files == {*written, *drawn}
    if form == "coco":
        content = json.loads((output / "boxes.json").read_text())
        assert [image["file_name"] for image in content["images"]] == names
    if form == "csv":
        assert [(row["image"], float(row["x1"])) for row in rows(output / "boxes.csv")] == [
            (name, square_at(t)[0]) for t, name in enumerate(names)
        ]


def test_only_the_classes_that_are_asked_for(tmp_path):
    path = write(tmp_path / "film.mp4", 10)
    assert rows(predict(tmp_path / "a", f"input={path}", "classes=[cat]") / "film.csv") == []
    assert len(rows(predict(tmp_path / "b", f"input={path}", "classes=[cat,dog]") / "film.csv")) == 9
    with pytest.raises(UserError, match=r"classes=dogs: .* Did you mean dog\? It knows cat, dog"):
        predict(tmp_path / "c", f"input={path}", "classes=[dogs]")


def test_a_truncated_video_is_written_as_far_as_it_goes_and_is_an_error(tmp_path):
    path = write(tmp_path / "film.mp4", 60)
    content = path.read_bytes()
    path.write_bytes(content[: round(0.8 * len(content))])
    with pytest.raises(UserError, match=r"film\.mp4: ends after frame \d+ of 60") as caught:
        predict(tmp_path / "out", f"input={path}")
    count = len(list(VideoReader(tmp_path / "out/film.mp4")))
    assert f"after frame {count} " in str(caught.value)
    assert int(rows(tmp_path / "out/film.csv")[-1]["frame"]) == count


def test_a_camera_is_filmed_until_ctrl_c(tmp_path, monkeypatch):
    """A video file stands in for the camera; the rest is as it is."""
    film = write(tmp_path / "film.mp4", 40)

    class Filmed(VideoReader):
        is_live = True

        def __init__(self, index: int, stride: int) -> None:
            super().__init__(film, stride)

        def __iter__(self):
            for t, frame in enumerate(super().__iter__()):
                if t == 12:
                    os.kill(os.getpid(), signal.SIGINT)
                yield frame

    monkeypatch.setattr(video, "Camera", Filmed)
    output = predict(tmp_path / "out", "input=0")
    assert len(list(VideoReader(output / "camera_0.mp4"))) == 12
    assert len(rows(output / "camera_0.csv")) == 11


def test_mistakes_are_one_sentence(tmp_path):
    path = write(tmp_path / "films/film.mp4", 3)
    (tmp_path / "notes.txt").write_text("frame by frame\n")
    (tmp_path / "zero.csv").write_text("frame,track,x1,y1,x2,y2\n0,1,5,5,10,10\n")
    (tmp_path / "late.txt").write_text("900,1,5,5,10,10,1,-1,-1,-1\n")
    image = tmp_path / "photo.png"
    images.write_png(image, picture(0))
    for overrides, said in (
        ([f"input={path}", f"truth={tmp_path / 'notes.txt'}"], "line 1: 'frame by frame' is no box"),
        (
            [f"input={path}", f"truth={tmp_path / 'zero.csv'}"],
            "line 2: '0,1,5,5,10,10' is no box; expected, with frames",
        ),
        ([f"input={path}", f"truth={tmp_path / 'none.txt'}"], "cannot be read"),
        ([f"input={path}", f"truth={tmp_path / 'late.txt'}"], "its frames are 900 to 900"),
        ([f"input={image}", f"truth={tmp_path / 'late.txt'}"], "it is of one video's tracks, and .* is none"),
        ([f"input={tmp_path / 'notes.txt'}"], r"notes\.txt, line 1: frame by frame: there is no such file"),
        (["input=96"], "camera 96"),
        ([f"input={tmp_path / 'none.mp4'}"], "there is no such file"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            predict(tmp_path / "out", *overrides)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="in which only detectors find something"):
        sources.find(str(path))
    with pytest.raises(UserError, match=r"smoothing\.lag"):
        compose("smoothing=one_euro", "smoothing.lag=3", config_name="predict")


# --- tracks as files


def test_tracks_survive_both_files(tmp_path):
    tracks = {
        1: {"ids": torch.tensor([4, 7]), "boxes": torch.tensor([[0.5, 1.25, 20, 30], [3, 4, 5, 6]])},
        3: {"ids": torch.tensor([7]), "boxes": torch.tensor([[3.0, 4.5, 5, 6]])},
    }
    with TrackFiles(tmp_path / "x", ["cat"]) as files:
        for number, frame in tracks.items():
            count = len(frame["ids"])
            files.write(number, frame | {"labels": torch.ones(count, dtype=torch.int64), "scores": torch.ones(count)})
    for suffix in (".csv", ".txt"):
        found = read_tracks((tmp_path / "x").with_suffix(suffix))
        assert list(found) == [1, 3]
        for number, frame in tracks.items():
            assert torch.equal(found[number]["ids"], frame["ids"])
            assert torch.allclose(found[number]["boxes"], frame["boxes"], atol=1e-3)
    assert (tmp_path / "x.txt").read_text().splitlines()[0] == "1,4,1.500,2.250,19.500,28.750,1,-1,-1,-1"


@pytest.mark.parametrize("line", ["0,1,5,5,9,9", "1,1,nan,5,9,9", "1,1,5,5,0,9", "1,1,5,5,-9,9", "inf,1,5,5,9,9,0"])
def test_a_truth_that_would_measure_nothing_is_refused(tmp_path, line):
    (tmp_path / "gt.txt").write_text(f"1,2,5,5,9,9\n{line}\n")
    with pytest.raises(UserError, match="line 2: "):
        read_tracks(tmp_path / "gt.txt")


def test_lines_to_be_ignored_and_tracks_that_are_twice_in_a_frame(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,1,5,5,10,10,1,-1,-1,-1\n1,2,5,5,10,10,0,-1,-1,-1\n")
    assert read_tracks(path)[1]["ids"].tolist() == [1]
    path.write_text("1,1,5,5,10,10\n1,1,6,5,10,10\n")
    with pytest.raises(UserError, match="line 2: frame 1 has track 1 twice"):
        read_tracks(path)


# --- several inputs, every so manieth frame, masks, crops


class FindsMasks(Finds):
    """The bright square and its mask."""

    def detect(self, images):
        found = super().detect(images)
        return [
            one | {"masks": (image[:1] > 0.6).byte().expand(len(one["boxes"]), -1, -1)}
            for one, image in zip(found, images, strict=True)
        ]


def test_masks_are_drawn_into_a_video(tmp_path):
    path = write(tmp_path / "film.mp4", 20, height=288, width=320)
    plain, masked = (
        list(VideoReader(predict(tmp_path / name, f"input={path}", "draw=true", module=module) / "film.mp4"))[15].image
        for name, module in (("a", Finds()), ("b", FindsMasks()))
    )
    x1, y1, x2, y2 = square_at(15)
    inside = (slice(None), slice(y1 + 12, y2 - 2), slice(x1 + 4, x2 - 2))
    assert (plain[inside].float() - masked[inside].float()).abs().mean() > 20
    assert (plain[:, 200:].float() - masked[:, 200:].float()).abs().mean() < 2


def test_every_third_frame_keeps_its_number(tmp_path):
    path = write(tmp_path / "film.mp4", 40)
    output = predict(tmp_path / "out", f"input={path}", "stride=3", "save_crops=true", "smoothing=null")
    found = rows(output / "film.csv")
    assert [int(row["frame"]) for row in found] == list(range(4, 41, 3))
    assert all(abs(float(row["x1"]) - square_at(int(row["frame"]) - 1)[0]) < 1.5 for row in found)
    drawn = VideoReader(output / "film.mp4")
    assert (drawn.rate, len(list(drawn))) == (RATE / 3, 14)
    assert len(list((output / "crops/dog").iterdir())) == len(found)


def test_several_inputs_at_once_and_a_broken_one_among_them(tmp_path):
    films = [write(tmp_path / f"{name}/film.mp4", 6) for name in ("a", "b")]
    (tmp_path / "c.mp4").write_bytes(b"no film")
    to_pil(picture(0)).save(tmp_path / "photo.png")
    given = ",".join(map(str, (*films, tmp_path / "c.mp4", tmp_path / "photo.png")))
    with pytest.raises(UserError, match=r"c\.mp4: cannot be read as a video"):
        predict(tmp_path / "out", f"input=[{given}]", "save_crops=true", "draw=false", "format=csv")
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    crops = {f"film/crops/dog/film_{t:06d}-1.jpg" for t in range(2, 7)}
    again = {name.replace("film", "film-2") for name in crops}
    assert written == {
        *(f"film/film.{kind}" for kind in ("csv", "txt")), *(f"film-2/film-2.{kind}" for kind in ("csv", "txt")),
        *crops, *again, "boxes.csv", "crops/dog/photo-1.jpg",
    }  # fmt: skip


# --- streams


class Served(http.server.BaseHTTPRequestHandler):
    """/film.mp4 is a file; /live has no length, and breaks off after each part."""

    film, parts = b"", []

    def do_GET(self):
        live = self.path == "/live"
        content = (self.parts.pop(0) if self.parts else b"") if live else self.film
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", "video/mp2t" if live else "video/mp4")
        if not live:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def served():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_at_an_address_is_read_as_any_file(tmp_path, served):
    Served.film = write(tmp_path / "film.mp4", 20).read_bytes()
    stream = Stream(f"{served}/film.mp4")
    assert len(list(stream)) == 20
    assert not stream.is_live
    assert stream.fault is None


def test_a_stream_that_breaks_off_is_taken_up_again_until_its_deadline(tmp_path, served, monkeypatch):
    monkeypatch.setattr(video, "DEADLINE", 2.0)
    part = encode(tmp_path / "part.ts", "mpeg2video", count=15)
    count = len(list(VideoReader(part)))
    Served.parts = [part.read_bytes()] * 2
    stream = Stream(f"{served}/live")
    assert stream.is_live
    seconds = [frame.seconds for frame in stream]
    assert 2 * count >= len(seconds) >= 2 * count - 2  # a decoder may hold a frame back
    assert seconds == sorted(seconds)
    assert f"broke off after {len(seconds)} frames" in stream.fault


def test_a_stream_that_is_not_there_is_one_sentence_without_its_login(served):
    address = served.replace("//", "//me:hunter2@")
    with pytest.raises(UserError, match=r"^input=.*the stream cannot be opened \(.*\); check") as caught:
        Stream(f"{address}/live")
    assert "hunter2" not in str(caught.value)
    assert name_of(f"{address}/live/1.m3u8") == "127_0_0_1_live_1_m3u8"
