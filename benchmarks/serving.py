"""What serve.py costs, holds and withstands: latency, live frames, memory, hostile uploads.

    python benchmarks/serving.py MODEL [--compare MODEL ...] [--seconds 5] [--uploads 1000]

MODEL is what `ckpt_path=` takes, of a detector. The server is started as a user starts it; clients are in this process,
so on two cores they share them with it. Times are wall times, and on a machine that does other things too long. Numbers
of a line are of one run; CPU time is of the process with the model.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import struct
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
    ordered = sorted(times)
    return f"p50 {1e3 * statistics.median(ordered):6.1f}  p95 {1e3 * ordered[int(0.95 * (len(ordered) - 1))]:6.1f} ms"


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


def measure(model: Path, seconds: float, uploads: int, folder: Path) -> None:
    started = time.perf_counter()
    server = Server(folder, f"ckpt_path={model}", "trainer=cpu", "most_live=8")
    print(f"\n{model.name}: ready in {time.perf_counter() - started:.1f} s, {memory(server):.0f} MB idle", flush=True)
    try:
        _pictures(server, model)
        _cameras(server, seconds)
        _films(server, seconds, folder)
        _attack(server, uploads)
    finally:
        started = time.perf_counter()
        code = server.close()
        print(f"  ended by SIGTERM with {code} in {time.perf_counter() - started:.1f} s", flush=True)


def _pictures(server: Server, model: Path) -> None:
    body = photograph(640, 480)
    if model.suffix == ".onnx":
        print(f"  640x480, the model alone        {spread(bare(model, body, 60))}", flush=True)
    times = [_timed(lambda: server.client.post("/api/v1/predict", content=body)) for _ in range(61)][1:]
    print(f"  640x480, over HTTP              {spread(times)}", flush=True)


def _cameras(server: Server, seconds: float) -> None:
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


def _films(server: Server, seconds: float, folder: Path) -> None:
    body = film(folder, 250, (480, 480))
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    _, times = live(server, (640, 480), seconds)
    state = server.client.get(f"/api/v1/jobs/{job}").json()
    print(f"  camera beside a film            {spread(times)}; the film meanwhile {state['rate']} frames/s")
    server.client.delete(f"/api/v1/jobs/{job}")
    started = time.perf_counter()
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    while (state := server.client.get(f"/api/v1/jobs/{job}").json())["state"] in ("waiting", "running"):
        time.sleep(0.1)
    used = time.perf_counter() - started
    print(f"  film of {state['of']} frames of 480x480: {state['state']}, {state['of'] / used:.1f} frames/s", flush=True)
    job = server.client.post("/api/v1/jobs", content=body).json()["id"]
    time.sleep(1)
    started = time.perf_counter()
    server.client.delete(f"/api/v1/jobs/{job}")
    while server.client.get(f"/api/v1/jobs/{job}").json()["state"] != "cancelled" or len(family(server)) > 2:
        time.sleep(0.01)
    left = [*(server.folder / "serve/films" / job).glob("*")]
    print(f"  cancelled in {time.perf_counter() - started:.2f} s, {len(left)} files left", flush=True)


def _attack(server: Server, uploads: int) -> None:
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
    text = server.client.get("/metrics").text
    restarts = next(line for line in text.splitlines() if line.startswith("lightloom_model_restarts"))
    print(f"  {restarts}", flush=True)


def _status(server: Server, body: bytes) -> int:
    return server.client.post("/api/v1/predict", content=body).status_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--compare", type=Path, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--uploads", type=int, default=1000)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, one thread for the model")
    for model in (options.model, *options.compare):
        with tempfile.TemporaryDirectory() as folder:
            measure(model.resolve(), options.seconds, options.uploads, Path(folder))


if __name__ == "__main__":
    main()
