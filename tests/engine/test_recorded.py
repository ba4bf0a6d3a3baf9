"""Options from somebody's run folder are judged as what a file says; typed ones are not."""

import pytest

from lightloom.cli import launch
from lightloom.core.errors import UserError
from lightloom.core.run_dir import RUN_TIME
from lightloom.engine.recorded import check_recorded

LIGHTNING = "pytorch_lightning.callbacks"
FEATURES = "lightloom.predict.classes.features.TrainedFeatures"
HOSTILE = {
    "an object, whole": "+logger.zz={_target_: torch.load, f: x}",
    "below a list": f"+callbacks.zz={{_target_: {LIGHTNING}.LambdaCallback, on_fit_start: [{{_target_: os.system}}]}}",
    "a swapped name": "callbacks.confusion_matrix._target_=joblib.load",
    "an option of a library": "+model.network.kernel_path=evil.pth",
    "an address": "logger.mlflow.tracking_uri=http://127.0.0.1:9",
    "a partial": "+callbacks.zz={_target_: functools.partial, _args_: [x]}",
    "an import": "+trainer.plugins={_target_: lightloom.integrations.bolts.load, module: x}",
    "the environment": "run_name=${oc.env:HOME}",
    "a computed name": "+logger.zz={_target_: '${oc.decode:torch.load}'}",
    "a name by reference": "+logger.zz={_target_: '${run_name}'}",
    "an option of Hydra": "+hydra.callbacks.zz={_target_: os.system}",
    "a search path": "hydra.searchpath=[file:///tmp]",
    "trust of its own": f"callbacks.quality.extractor={{_target_: {FEATURES}, trust: [os]}}",
}
NEEDS = {
    "an address": ["logger=mlflow"],
    "trust of its own": ["model=gan", "extractor@callbacks.quality.extractor=classifier"],
}
NEEDS["an option of a library"] = ["model=timm"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_run_is_refused(kind):
    with pytest.raises(UserError):
        check_recorded([*NEEDS.get(kind, ["model=lenet"]), HOSTILE[kind]], [], "train", None, "overrides.txt")


def test_what_a_run_records_is_taken():
    own = [
        "model=lenet",
        "data.root=/photos",
        "callbacks=[default,early_stopping]",
        "trainer=ddp_cpu",
        "model.optimizer.lr=1e-3",
    ]
    own += ["+callbacks.rate={_target_: pytorch_lightning.callbacks.LearningRateMonitor}", "~callbacks.misclassified"]
    assert check_recorded([*own, "trust=[mine]"], [], "train", None, "overrides.txt") == own


def test_what_is_typed_is_the_users(tmp_path, monkeypatch):
    """The same options, in the folder and on the command line."""
    monkeypatch.setenv(RUN_TIME, "")  # which a command sets for its ranks
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    (tmp_path / "overrides.txt").write_text("model=lenet\nmodel.network._target_=mine.Net\n")
    with pytest.raises(UserError, match=r"say trust=\[mine\]"):
        launch.prepare([f"ckpt_path={tmp_path}"], "train")
    (tmp_path / "overrides.txt").write_text("model=lenet\n+logger.zz={_target_: torch.load, f: x}\n")
    with pytest.raises(UserError, match=r"overrides\.txt: 'torch.load' at logger.zz"):
        launch.prepare([f"ckpt_path={tmp_path}"], "train")
    typed, _ = launch.prepare([f"ckpt_path={tmp_path}", "+logger.zz={_target_: torch.load, f: y}"], "train")
    assert [o for o in typed if "torch.load" in o] == ["+logger.zz={_target_: torch.load, f: y}"]
