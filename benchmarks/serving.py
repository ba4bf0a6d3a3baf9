"""What serve.py costs, holds and withstands: latency, live frames, memory, hostile uploads.

    python benchmarks/serving.py [MODEL] [--compare MODEL ...] [--seconds 5] [--uploads 1000]

MODEL is what `ckpt_path=` takes, of a detector; where none is named, a fast YOLO of 320 pixels is trained for one step
and exported, and both its file and its checkpoint are served. The last table has each figure beside its bar, which is
meant for 320 pixels on two cores that do nothing else. The server is started as a user starts it; clients are in this
process, so on two cores they share them with it. Times are wall times, and on a machine that does other things too
long. Numbers of a line are of one run; CPU time is of the process with the model.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/support")]

from damaged import damaged  # noqa: E402
from served import Server  # noqa: E402

from lightloom.serve.inference import resident  # noqa: E402
from lightloom.tracking.film import FilmWriter  # noqa: E402

MEGA = 1e6
BARS = {  # figure -> (at least or at most, of an exported file, of a checkpoint)
    "ready, s": ("<=", 3, 15),
    "memory idle, MB": ("<=", 150, 1200),
    "picture p50, ms": ("<=", 120, 120),
    "picture p95, ms": ("<=", 200, 200),
    "over the model alone, %": ("<=", 15, 15),
    "one camera, pictures/s": (">=", 12, 9),
    "camera p95, times the model alone": ("<=", 3, 3),
    "8 cameras, % of one's total": (">=", 90, 90),
    "8 cameras, % between least and most": ("<=", 10, 10),
    "camera beside a film, times p50": ("<=", 1.3, 1.3),
    "film, frames/s": (">=", 20, 20),
    "cancel, s": ("<=", 1, 1),
    "files left": ("<=", 0, 0),
    "upload peak, MB more": ("<=", 250, 250),
    "answers of 500 and more": ("<=", 0, 0),
    "stop, s": ("<=", 10, 10),
}
Figures = dict[str, float]


def photograph(width: int, height: int, form: str = "JPEG", seed: int = 0) -> bytes:
    """Something with edges and noise."""
    draw = np.random.default_rng(seed)
    rough = Image.fromarray(draw.integers(0, 256, (height // 40 + 1, width // 40 + 1, 3), dtype=np.uint8))
    file = io.BytesIO()
    rough.resize((width, height), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()


def family(server: Server) -> list[int]:
    """The front and all that it has started."""
    found = [server.process.pid]
    for pid in found:
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        found += [int(child) for task in tasks for child in task.read_text().split()]
    return found


def memory(server: Server) -> float:
    """Resident megabytes of all."""
    return sum(map(resident, family(server))) / MEGA


def cpu(server: Server) -> float:
    """Seconds of the processor that all have had."""
    seconds = 0.0
    for pid in family(server):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def spread(times: Sequence[float]) -> str:
    """p50 and p95 in milliseconds."""
    p50, p95 = percentiles(times)
    return f"p50 {1e3 * p50:6.1f}  p95 {1e3 * p95:6.1f} ms"


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """p50 and p95 in seconds."""
    return statistics.median(times), sorted(times)[int(0.95 * (len(times) - 1))]


def bare(model: Path, body: bytes, rounds: int) -> list[float]:
    """The model alone, in this process, the picture read as the server does."""
    from lightloom.serve.engines import load
    from lightloom.serve.messages import Ask
    from lightloom.serve.worker import Worker

    worker = Worker(load({"ckpt_path": str(model), "threads": 1}))
    name, (web, _) = next(iter(worker.engine.able.items()))
    ask = Ask(name, body, {field.name: field.default for field in web.fields})
    return [_timed(lambda: worker.answer([ask])) for _ in range(rounds + 1)][1:]


def _timed(do: object) -> float:
    started = time.perf_counter()
    do()  # type: ignore[operator]
    return time.perf_counter() - started


def live(server: Server, side: tuple[int, int], seconds: float, clients: int = 1) -> tuple[list[int], list[float]]:
    """Pictures that each camera has got answers for, and all times from picture to answer."""
    body, counts, times = photograph(*side), [0] * clients, list[float]()

    def camera(number: int) -> None:
        with server.live() as socket:
            end = time.perf_counter() + seconds
            while (started := time.perf_counter()) < end:
                socket.send(struct.pack(">I", counts[number]) + body)
                assert json.loads(socket.recv(timeout=30))["number"] == counts[number]
                times.append(time.perf_counter() - started)
                counts[number] += 1

    threads = [threading.Thread(target=camera, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, times


def film(folder: Path, frames: int, side: tuple[int, int]) -> bytes:
    """So many frames of 25 a second."""
    picture = np.asarray(Image.open(io.BytesIO(photograph(side[0] * 2, side[1]))).convert("RGB"))
    with FilmWriter(folder / "film.mp4", Fraction(25)) as writer:
        for step in range(frames):
            left = step % side[0]
            writer.write(picture[:, left : left + side[0]], step / 25)
    return (folder / "film.mp4").read_bytes()


def made(folder: Path) -> list[Path]:
    """A fast YOLO of 320 pixels that has taken one step: its exported file, and its checkpoint."""
    once = ("trainer.max_steps=1", "trainer.limit_val_batches=1", "test=false", "preflight=false")
    run = f"hydra.run.dir={folder / 'made'}"
    commands = [
        ("train.py", "model=yolo_fast", "data=digit_scenes", "data.image_size=320", *once, run),
        ("export.py", f"ckpt_path={folder / 'made'}"),
    ]
    for script, *options in commands:
        subprocess.run([sys.executable, str(ROOT / "src" / script), *options], check=True, stdout=subprocess.DEVNULL)
    return [next((folder / "made").rglob("*.onnx")), folder / "made/checkpoints/last.ckpt"]


def compared(model: Path, figures: Figures) -> None:
    """Each figure beside its bar."""
    print(f"\n{model.name:36} {'measured':>10} {'bar':>10}")
    for name, (order, of_file, of_checkpoint) in BARS.items():
        if name in figures:
            value, bar = figures[name], of_file if model.suffix == ".onnx" else of_checkpoint
            holds = value <= bar if order == "<=" else value >= bar
            print(f"{name:36} {value:10.2f} {order + ' ' + format(bar, 'g'):>10} {'' if holds else 'missed'}".rstrip())


def measure(model: Path, seconds: float, uploads: int, folder: Path) -> Figures:
    figures: Figures = {}
    started = time.perf_counter()
    server = Server(folder, f"ckpt_path={model}", "trainer=cpu", "most_live=8")
    figures["ready, s"], figures["memory idle, MB"] = time.perf_counter() - started, memory(server)
    print(f"\n{model.name}: ready in {figures['ready, s']:.1f} s, {memory(server):.0f} MB idle", flush=True)
    try:
        _pictures(server, model, figures)
        _cameras(server, seconds, figures)
        _films(server, seconds, folder, figures)
        _attack(server, uploads, figures)
    finally:
        started = time.perf_counter()
        code = server.close()
        figures["stop, s"] = time.perf_counter() - started
        print(f"  ended by SIGTERM with {code} in {figures['stop, s']:.1f} s", flush=True)
    return figures


def _pictures(server: Server, model: Path, figures: Figures) -> None:
    body, alone = photograph(640, 480), 0.0
    if model.suffix == ".onnx":
        times = bare(model, body, 60)
        alone = statistics.median(times)
        print(f"  640x480, the model alone        {spread(times)}", flush=True)
    times = [_timed(lambda: server.client.post("/api/v1/predict", content=body)) for _ in range(61)][1:]
    print(f"  640x480, over HTTP              {spread(times)}", flush=True)
    figures["picture p50, ms"], figures["picture p95, ms"] = (1e3 * value for value in percentiles(times))
    if alone:
        figures["alone, s"] = alone
        figures["over the model alone, %"] = 100 * (statistics.median(times) / alone - 1)


def _cameras(server: Server, seconds: float, figures: Figures) -> None:
    before = cpu(server)
    for clients in (1, 4, 8):
        counts, times = live(server, (640, 480), seconds, clients)
        total, used = sum(counts), cpu(server) - before
        each = f"{min(counts) / seconds:.1f} to {max(counts) / seconds:.1f} each"
        print(
            f"  {clients} camera(s) of 640x480: {total / seconds:6.1f} pictures/s in all, {each}, {spread(times)}, "
            f"{1e3 * used / max(total, 1):.0f} CPU-ms each",
            flush=True,
        )
        before = cpu(server)
        figures[f"{clients}, pictures/s"] = total / seconds
        if clients == 1:
            figures["one camera, pictures/s"] = total / seconds
            figures["camera p50, s"], p95 = percentiles(times)
            if "alone, s" in figures:
                figures["camera p95, times the model alone"] = p95 / figures["alone, s"]
    figures["8 cameras, % of one's total"] = 100 * figures["8, pictures/s"] / max(figures["1, pictures/s"], 1e-9)
    figures["8 cameras, % between least and most"] = 100 * (1 - min(counts) / max(*counts, 1))


def _films(server: Server, seconds: float, folder: Path, figures: Figures) -> None:
    body = film(folder, 250, (480, 480))
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    _, times = live(server, (640, 480), seconds)
    state = server.client.get(f"/api/v1/jobs/{job}").json()
    print(f"  camera beside a film            {spread(times)}; the film meanwhile {state['rate']} frames/s")
    figures["camera beside a film, times p50"] = statistics.median(times) / figures["camera p50, s"]
    server.client.delete(f"/api/v1/jobs/{job}")
    started = time.perf_counter()
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    while (state := server.client.get(f"/api/v1/jobs/{job}").json())["state"] in ("waiting", "running"):
        time.sleep(0.1)
    used = time.perf_counter() - started
    print(f"  film of {state['of']} frames of 480x480: {state['state']}, {state['of'] / used:.1f} frames/s", flush=True)
    figures["film, frames/s"] = state["of"] / used
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    time.sleep(1)
    started = time.perf_counter()
    server.client.delete(f"/api/v1/jobs/{job}")
    while server.client.get(f"/api/v1/jobs/{job}").json()["state"] != "cancelled" or len(family(server)) > 2:
        time.sleep(0.01)
    figures["cancel, s"] = time.perf_counter() - started
    left = [*(server.folder / "serve/films" / job).glob("*")]
    figures["files left"] = len(left)
    print(f"  cancelled in {figures['cancel, s']:.2f} s, {len(left)} files left", flush=True)


def _attack(server: Server, uploads: int, figures: Figures) -> None:
    before, peak, done = memory(server), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], memory(server))

    watching = threading.Thread(target=watch)
    watching.start()
    sizes = (("16 Mpx PNG", (4600, 3450, "PNG")), ("16 Mpx JPEG", (4600, 3450, "JPEG")), ("thin", (60, 1800, "PNG")))
    for name, form in sizes:
        status = server.client.post("/api/v1/predict", content=photograph(*form)).status_code
        print(f"  {name}: {status}, peak +{peak[0] - before:.0f} MB", flush=True)
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda body: _status(server, body), damaged(uploads)))
    done.set()
    watching.join()
    told = ", ".join(f"{code}: {codes.count(code)}" for code in sorted({*codes}))
    time.sleep(1)
    print(
        f"  {uploads} damaged uploads: {told}; peak +{peak[0] - before:.0f} MB, after +{memory(server) - before:.0f} MB"
    )
    figures["upload peak, MB more"] = peak[0] - before
    figures["answers of 500 and more"] = sum(code >= 500 for code in codes)
    text = server.client.get("/metrics").text
    restarts = next(line for line in text.splitlines() if line.startswith("lightloom_model_restarts"))
    print(f"  {restarts}", flush=True)


def _status(server: Server, body: bytes) -> int:
    return server.client.post("/api/v1/predict", content=body).status_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--compare", type=Path, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--uploads", type=int, default=1000)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, one thread for the model")
    with tempfile.TemporaryDirectory() as place:
        models = [options.model, *options.compare] if options.model else made(Path(place))
        for model in models:
            with tempfile.TemporaryDirectory() as folder:
                compared(model, measure(model.resolve(), options.seconds, options.uploads, Path(folder)))


if __name__ == "__main__":
    main()
