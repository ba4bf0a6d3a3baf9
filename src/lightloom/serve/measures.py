"""What /metrics tells, in Prometheus's text."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lightloom.serve.inference import resident
from lightloom.serve.models import Models

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)


class Measures:
    """Counted by the front; what the queue and the processes are is looked up when it is asked for."""

    def __init__(self, models: Models) -> None:
        self.registry, self._cameras = CollectorRegistry(), 0
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
            waiting.labels(rank).set_function(lambda i=i: models.waiting()[i])  # type: ignore[misc]
        memory = Gauge("lightloom_memory_bytes", "Resident memory", ("process",), registry=registry)
        memory.labels("front").set_function(lambda: resident(os.getpid()))
        memory.labels("model").set_function(lambda: models.memory)
        loaded = Gauge("lightloom_models", "Models that are loaded", registry=registry)
        loaded.set_function(lambda: len(models.loaded))
        for name in ("batches", "inputs", "seconds", "restarts"):
            gauge = Gauge(f"lightloom_model_{name}", f"Of the models: {name}, so far", registry=registry)
            gauge.set_function(lambda name=name: getattr(models.counts, name))  # type: ignore[misc]

    def cameras(self, change: int = 0) -> int:
        """How many there are, after so many came or left."""
        self._cameras += change
        self.live.set(self._cameras)
        return self._cameras

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
