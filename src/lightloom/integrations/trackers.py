"""Experiment trackers as loggers: Weights & Biases, MLflow, SwanLab and Trackio.

A run has one entry in a tracker, however often it is continued: its name there, and the last step of each curve, lie
in the run's folder. A continued run repeats the steps since its checkpoint bit for bit; those that the tracker has
already are not logged a second time. Nothing is sent anywhere unless an option asks for it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from lightloom.core import atomic_io
from lightloom.core.errors import check_installed
from lightloom.core.redaction import redact_options
from lightloom.core.run_dir import read_json
from lightloom.core.schema import either, entries, nothing, table, text, whole

log = logging.getLogger("lightloom")
STATE = entries({"id": either(nothing, text()), "steps": table(text(), whole())}, {})
MOST_CHARACTERS = 500  # of an option's value in MLflow


class Tracker(Logger):
    """What the four share; only rank 0 logs. Raises UserError where the library is not installed.

    save_dir: the run's folder. project, run_name, tags: as the tracker shows them.
    """

    kind: str
    libraries: tuple[str, ...]

    def __init__(self, save_dir: str, project: str, run_name: str, tags: Sequence[str] = ()) -> None:
        super().__init__()
        check_installed(f"logger={self.kind}", self.kind, *self.libraries)
        self.folder, self.project, self.run_name, self.tags = Path(save_dir), project, run_name, list(tags)
        self.options: dict[str, Any] = {}
        self._run: Any = None
        self._state = self._read()

    # --- what a tracker has to say for itself

    def open(self) -> Any:
        """Begin the run of `self.id`, or continue it."""
        raise NotImplementedError

    def where(self) -> str:
        """Where its log can be seen, in words."""
        raise NotImplementedError

    def write(self, values: Mapping[str, Any], step: int) -> None:
        raise NotImplementedError

    def write_image(self, name: str, image: Image, step: int) -> None:
        raise NotImplementedError

    def close(self, succeeded: bool) -> None:
        raise NotImplementedError

    # --- what Lightning and the callbacks ask

    @property
    def name(self) -> str:
        return self.kind

    @property
    def version(self) -> str:
        return str(self.id)

    @property
    def id(self) -> str | None:
        """The run's name in the tracker; None before it has begun."""
        return self._state["id"]

    @property
    def experiment(self) -> Any:
        """The library's own object for the run; None before the options are logged, which it is opened with."""
        return self._run

    def _opened(self) -> None:
        if self._run is None:
            with _quiet():
                self._run = self.open()
            log.info("%s: run %s of %s, %s", self.kind, self.id, self.project, self.where())
            self._keep()

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.options = redact_options(dict(params))
        self._opened()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        at = step or 0
        if new := {name: value for name, value in metrics.items() if self._is_new(name, at)}:
            self._opened()
            self.write(new, at)
            self._note(new, at)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Image], step: int | None = None) -> None:
        """One picture, the first of `images`."""
        at = step or 0
        if self._is_new(key, at):
            self._opened()
            self.write_image(key, images[0], at)
            self._note([key], at)

    @rank_zero_only
    def continue_from(self, step: int) -> None:
        """A run that begins at step 0 is a new one, whatever the folder holds of one that came to no checkpoint."""
        if step == 0:
            self._state = {"id": None, "steps": {}}

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if status != "success":  # after a fit that succeeds comes the test
            self.finish(succeeded=False)

    @rank_zero_only
    def finish(self, succeeded: bool = True) -> None:
        """Write all that is still held, and close the run."""
        if self._run is not None:
            with _quiet():
                self.close(succeeded)
            self._run = None

    # --- what lies in the run's folder

    def _is_new(self, name: str, step: int) -> bool:
        return step > self._state["steps"].get(name, -1)

    def _note(self, names: Any, step: int) -> None:
        self._state["steps"] |= dict.fromkeys(names, step)
        self._keep()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.kind}.json"

    def _read(self) -> dict[str, Any]:
        return read_json(self._file, {}, STATE) or {"id": None, "steps": {}}

    def _keep(self) -> None:
        atomic_io.write_text(self._file, json.dumps(self._state) + "\n")

    def _named(self) -> str:
        """The run's id, drawn when it begins."""
        self._state["id"] = self._state["id"] or uuid.uuid4().hex[:8]
        return self._state["id"]


class WandbTracker(Tracker):
    """Weights & Biases. mode: offline, online, or what else wandb.init takes; offline writes into save_dir/wandb.

    options: of wandb.init, such as group or notes.
    """

    kind = "wandb"
    libraries = ("wandb",)

    def __init__(
        self,
        save_dir: str,
        project: str,
        run_name: str,
        mode: str = "offline",
        tags: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(save_dir, project, run_name, tags)
        self.mode, self.given = mode, options

    def open(self) -> Any:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers; read when the library is loaded
        import wandb

        options: dict[str, Any] = {"mode": self.mode, "reinit": "finish_previous", "tags": self.tags, **self.given}
        if self.mode != "offline":
            options["resume"] = "allow"
        run = wandb.init(
            project=self.project, name=self.run_name, id=self._named(), dir=self.folder,
            settings=wandb.Settings(silent=True, console="off"), **options,
        )  # fmt: skip
        run.config.update(self.options, allow_val_change=True)
        run.define_metric("step")
        run.define_metric("*", step_metric="step", step_sync=True)
        return run

    def where(self) -> str:
        folder = str(self._run.dir).removesuffix("/files")
        return f"offline; wandb sync {folder} sends it" if self.mode == "offline" else str(self._run.url)

    def write(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log({**values, "step": step})

    def write_image(self, name: str, image: Image, step: int) -> None:
        import wandb

        self._run.log({name: wandb.Image(image), "step": step})

    def close(self, succeeded: bool) -> None:
        self._run.finish(exit_code=int(not succeeded))


class MLflowTracker(Tracker):
    """MLflow. tracking_uri: a database such as sqlite:///logs/mlflow.db, or a server; artifacts: where pictures lie."""

    kind = "mlflow"
    libraries = ("mlflow", "sqlalchemy", "alembic")

    def __init__(
        self,
        save_dir: str,
        project: str,
        run_name: str,
        tracking_uri: str,
        artifacts: str | None,
        tags: Sequence[str] = (),
    ) -> None:
        super().__init__(save_dir, project, run_name, tags)
        self.tracking_uri, self.artifacts = tracking_uri, artifacts

    def open(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when the library is loaded
        os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "0")
        from mlflow import MlflowClient

        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(self.tracking_uri)
        if self.id:
            client.update_run(self.id, status="RUNNING")
        else:
            found = client.get_experiment_by_name(self.project)
            number = found.experiment_id if found else client.create_experiment(self.project, self.artifacts)
            self._state["id"] = client.create_run(number, run_name=self.run_name).info.run_id
        self._write_options(client)
        return client

    def where(self) -> str:
        return f"in {self.tracking_uri}"

    def _write_options(self, client: Any) -> None:
        """As parameters, which MLflow does not let change; one that has changed in a continued run is a tag."""
        from mlflow.entities import Param, RunTag

        given = {k: str(v)[:MOST_CHARACTERS] for k, v in dict(_flat(self.options)).items()}
        known = client.get_run(self.id).data.params
        params = [Param(k, v) for k, v in given.items() if k not in known]
        tags = [RunTag(f"continued.{k}", v) for k, v in given.items() if known.get(k, v) != v]
        tags += [RunTag(tag, "true") for tag in self.tags]
        for i in range(0, len(params), 100):  # at once, as a server takes them
            client.log_batch(self.id, params=params[i : i + 100])
        client.log_batch(self.id, tags=tags)

    def write(self, values: Mapping[str, Any], step: int) -> None:
        import time

        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._run.log_batch(self.id, metrics=[Metric(name, float(v), now, step) for name, v in values.items()])

    def write_image(self, name: str, image: Image, step: int) -> None:
        self._run.log_image(self.id, image, key=name, step=step)

    def close(self, succeeded: bool) -> None:
        self._run.set_terminated(self.id, "FINISHED" if succeeded else "FAILED")


class SwanLabTracker(Tracker):
    """SwanLab. mode: offline, local, cloud or disabled; offline writes into save_dir/swanlab."""

    kind = "swanlab"
    libraries = ("swanlab",)

    def __init__(self, save_dir: str, project: str, run_name: str, mode: str = "offline") -> None:
        super().__init__(save_dir, project, run_name)
        self.mode = mode

    def open(self) -> Any:
        import swanlab

        return swanlab.init(
            project=self.project, name=self.run_name, id=self._named(), resume="allow", reinit=True,
            log_dir=str(self.folder / "swanlab"), mode=self.mode,
            config=dict(_flat(self.options)),
        )  # fmt: skip

    def where(self) -> str:
        return f"{self.mode}, in {self.folder / 'swanlab'}"

    def write(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log({name: float(v) for name, v in values.items()}, step=step)

    def write_image(self, name: str, image: Image, step: int) -> None:
        import swanlab

        self._run.log({name: swanlab.Image(image)}, step=step)

    def close(self, succeeded: bool) -> None:
        self._run.finish(state="success" if succeeded else "crashed")


class TrackioTracker(Tracker):
    """Trackio: a database on this machine. root: its folder, for all runs."""

    kind = "trackio"
    libraries = ("trackio",)

    def __init__(self, save_dir: str, project: str, run_name: str, root: str) -> None:
        super().__init__(save_dir, project, run_name)
        self.root = root

    def open(self) -> Any:
        os.environ["TRACKIO_DIR"] = self.root  # read when the library is loaded
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        trackio = importlib.import_module("trackio")
        name = f"{self.run_name}-{self._named()}"  # what it continues is found by its name
        return trackio.init(
            project=self.project, name=name, resume="allow", config=dict(_flat(self.options)),
            embed=False, auto_log_gpu=False, auto_log_cpu=False,
        )  # fmt: skip

    def where(self) -> str:
        return f"in {self.root}; TRACKIO_DIR={self.root} trackio show"

    def write(self, values: Mapping[str, Any], step: int) -> None:
        self._run.log({name: float(v) for name, v in values.items()}, step=step)

    def write_image(self, name: str, image: Image, step: int) -> None:
        import trackio

        self._run.log({name: trackio.Image(image)}, step=step)

    def close(self, succeeded: bool) -> None:
        importlib.import_module("trackio").finish()


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested options, also of those in lists, by their dotted keys."""
    for key, value in options.items():
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What a library prints meanwhile goes into the run's log."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield
    if told := said.getvalue().strip():
        log.debug("%s", told)
