"""Several models in one server: which there are, which of them are loaded, and which is let go."""

import asyncio
import os
import time
from pathlib import Path
from typing import ClassVar

import commands
import pytest
import yaml
from served import TOKEN, Server

from lightloom.core.errors import UserError
from lightloom.predict.web import Refused
from lightloom.serve.inference import Counts
from lightloom.serve.messages import Hello
from lightloom.serve.models import Models

SIZE = 10**9  # bytes of each process


class Fake:
    """A process in name only, which does not start for a run that is called `broken`."""

    started: ClassVar[list[str]] = []
    ended: ClassVar[list[str]] = []
    fault: ClassVar[Exception] = UserError("/a/path: it cannot be served")

    def __init__(self, cfg, most_waiting):
        self.name, self.counts, self.memory, self.is_alive = Path(cfg["ckpt_path"]).name, Counts(inputs=1), SIZE, True

    def start(self):
        self.started.append(self.name)
        if self.name == "broken":
            raise self.fault
        self.hello = Hello({"name": self.name, "able": {}}, {})

    async def work(self):
        await asyncio.Event().wait()

    async def drain(self, seconds):
        self.ended.append(self.name)

    def close(self):
        self.ended.append(self.name)

    def kill(self):
        """As `close`, which follows it."""


@pytest.fixture
def runs(tmp_path):
    """Makes models of runs with these names, the first of which is the oldest."""

    def make(*names: str, most_memory: float | None = None) -> Models:
        Fake.started, Fake.ended = [], []
        for age, name in enumerate(names):
            last = tmp_path / "runs" / name / "checkpoints/last.ckpt"
            last.parent.mkdir(parents=True, exist_ok=True)
            last.touch()
            config = {"run_name": name, "task": "classification", "data": {"name": "digits"}}
            (last.parents[1] / "config.yaml").write_text(yaml.dump(config))
            (last.parents[1] / "results.json").write_text('{"test/acc": 0.91239, "epochs": 3, "steps": 9}')
            os.utime(last, (age, age))
        cfg = {"paths": {"log_dir": str(tmp_path)}, "ckpt_path": None, "most_memory": most_memory, "most_waiting": 4}
        return Models(cfg, Fake)

    return make


def used(models: Models, *names: str) -> list[str]:
    """Each in turn; those that are loaded then, the least recently used first."""

    async def ask() -> None:
        models.begin()
        for name in names:
            async with models.using(name):
                pass

    asyncio.run(ask())
    return list(models.loaded)


def test_the_newest_is_first_and_loaded_and_all_are_told(runs):
    models = runs("a", "deep/b", "c")
    assert list(models.all()) == ["c", "deep/b", "a"]
    assert (models.first, Fake.started) == ("c", ["c"])
    told = models.all()["a"]
    assert (told["data"], told["figures"], told["loaded"]) == ("digits", {"test/acc": 0.9124}, False)
    assert used(models, "deep/b") == ["c", "deep/b"]
    assert models.all()["deep/b"]["loaded"]


@pytest.mark.parametrize("fault", [UserError("/a/path: it cannot be served"), RuntimeError("it cannot be served: bug")])
def test_a_run_that_cannot_be_served_is_passed_over(runs, fault, monkeypatch):
    monkeypatch.setattr(Fake, "fault", fault)
    models = runs("a", "broken")
    assert (models.first, list(models.all())) == ("a", ["a"])
    Path(models.cfg["paths"]["log_dir"], "runs/a/checkpoints/last.ckpt").unlink()
    with pytest.raises(type(fault), match="it cannot be served"):
        Models(models.cfg, Fake)


def test_memory_is_bounded_and_the_least_recently_used_goes_first(runs):
    models = runs("a", "b", "c", "d", most_memory=3)
    assert used(models, "c", "d", "b") == ["c", "d", "b"]  # d, the first, was used after c
    assert used(models, "c", "a") == ["b", "c", "a"]
    assert Fake.ended == ["d"]
    assert models.memory <= 3 * SIZE
    assert models.counts.inputs == 4  # of one that was let go too


def test_at_least_one_is_loaded_however_small_the_memory(runs):
    assert used(runs("a", "b", most_memory=0.1), "a") == ["a"]


def test_what_is_at_work_is_not_let_go(runs):
    models = runs("a", "b", "c", most_memory=2)

    async def ask() -> None:
        models.begin()
        async with models.using("c"), models.using("b"):
            with pytest.raises(Refused, match="no room"):
                async with models.using("a"):
                    pass
        async with models.using("a"):
            assert list(models.loaded) == ["b", "a"]

    asyncio.run(ask())


def test_many_who_ask_for_one_load_it_once(runs):
    models = runs("a", "b")

    async def ask() -> None:
        models.begin()

        async def one() -> None:
            async with models.using("a"):
                await asyncio.sleep(0)

        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(ask())
    assert Fake.started == ["b", "a"]


def test_two_who_ask_for_two_models_are_both_told_where_there_is_room_for_one(runs, monkeypatch):
    """Each is answered or refused: neither loads what the other lets go of, for ever."""
    models = runs("a", "b", "c", most_memory=1)
    begin = Fake.start
    monkeypatch.setattr(Fake, "start", lambda self: (time.sleep(0.1), begin(self)))

    async def one(name: str) -> str:
        try:
            async with models.using(name):
                return "answered"
        except Refused as refused:
            return refused.name

    async def ask() -> list[str]:
        models.begin()
        return await asyncio.wait_for(asyncio.gather(one("a"), one("b"), one("none")), 5)

    *told, unknown = asyncio.run(ask())
    assert "answered" in told  # whose model was begun first
    assert {*told} <= {"answered", "no_room"}
    assert unknown == "no_such_model"
    assert not models._users  # a name that nobody has is not kept


@pytest.mark.parametrize("name", ["../runs/a", "/etc", "a/", "A", "a\0"])
def test_a_name_is_looked_up_and_never_a_path(runs, name):
    with pytest.raises(Refused, match="no such model"):
        used(runs("a"), name)


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "null", '"a word"'])
def test_what_a_run_came_to_is_told_as_json_has_numbers(runs, figure, tmp_path):
    models = runs("a", "b")
    (tmp_path / "runs/a/results.json").write_text(f'{{"test/acc": 0.5, "test/loss": {figure}}}')
    (tmp_path / "runs/a/config.yaml").touch()
    assert models.all()["a"]["figures"] == {"test/acc": 0.5}


def test_one_that_fails_later_says_no_path_and_is_told_no_more(runs):
    models = runs("broken", "a")
    with pytest.raises(Refused, match="This model cannot be served; the server's log says why"):
        used(models, "broken")
    assert list(models.all()) == ["a"]


def test_one_that_failed_is_offered_again_once_it_has_another_checkpoint(runs, tmp_path):
    models = runs("broken", "a")
    with pytest.raises(Refused):
        used(models, "broken")
    os.utime(tmp_path / "runs/broken/checkpoints/last.ckpt", (2e9, 2e9))
    assert "broken" in models.all()


def test_a_server_of_all_runs(tmp_path):
    """Two are trained, one is loaded when it is asked for: 30 s, most of them until torch is there."""
    small = ["data=digits", "trainer.max_steps=1", "trainer.limit_val_batches=1", "test=false", "preflight=false"]
    for name in ("older", "newer"):
        commands.run(tmp_path, "model=mlp", *small, f"run_name={name}")
    server = Server(tmp_path, f"token={TOKEN}")
    try:
        told = server.client.get("/api/v1/models").json()["models"]
        assert [(one["id"], one["loaded"]) for one in told] == [("newer", True), ("older", False)]
        picture = (Path(__file__).parents[2] / "docs/pictures").glob("*.png").__next__().read_bytes()
        answers = [server.client.post(f"/api/v1/predict?model={name}", content=picture) for name in ("older", "newer")]
        assert [answer.status_code for answer in answers] == [200, 200]
        page = server.client.get("/?model=older").text
        assert '<option value="older" selected>' in page
        assert '"model": "older"' in page
        assert server.client.get("/api/v1/predict?model=none").status_code == 405
        assert (
            server.client.post("/api/v1/predict?model=none", content=picture).json()["error"]["code"] == "no_such_model"
        )
        assert "lightloom_models 2.0" in server.client.get("/metrics").text
        assert server.close() == 143
    finally:
        server.process.kill()
