"""What /metrics tells, in Prometheus's text."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lightloom.serve.inference import Inference

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)


class Measures:
    """Counted by the front; what the queue and the processes are is looked up when it is asked for."""

    def __init__(self, inference: Inference) -> None:
        self.inference, self.registry, self._cameras = inference, CollectorRegistry(), 0
        registry = self.registry
        self.requests = Counter("lightloom_requests", "Answers to requests", ("route", "status"), registry=registry)
        self.latency = Histogram(
            "lightloom_request_seconds", "From request to answer", ("route",), buckets=SECONDS, registry=registry
        )
        self.live = Gauge("lightloom_live", "Cameras now", registry=registry)
        self.frames = Counter("lightloom_live_frames", "Pictures of cameras, answered", registry=registry)
        self.dropped = Counter("lightloom_live_dropped", "Pictures of cameras, overtaken by newer", registry=registry)
        self.films = Gauge("lightloom_films", "Films that wait or run", registry=registry)
        waiting = Gauge("lightloom_waiting", "Inputs that wait for the model", ("rank",), registry=registry)
        for i, rank in enumerate(("live", "picture", "film")):
            waiting.labels(rank).set_function(lambda i=i: inference.waiting()[i])  # type: ignore[misc]
        memory = Gauge("lightloom_memory_bytes", "Resident memory", ("process",), registry=registry)
        memory.labels("front").set_function(lambda: resident(os.getpid()))
        memory.labels("model").set_function(lambda: resident(inference.pid))
        for name in ("batches", "inputs", "seconds", "restarts"):
            gauge = Gauge(f"lightloom_model_{name}", f"Of the model: {name}, so far", registry=registry)
            gauge.set_function(lambda name=name: getattr(inference.counts, name))  # type: ignore[misc]

    def cameras(self, change: int = 0) -> int:
        """How many there are, after so many came or left."""
        self._cameras += change
        self.live.set(self._cameras)
        return self._cameras

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)


def resident(pid: int) -> int:
    """Bytes of memory that a process has, 0 where it is not known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
