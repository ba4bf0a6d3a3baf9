"""A folder of pictures without a test part: the report shows what the best checkpoint takes for what, file by file."""

import json

import commands
import pytest
from mistakes import pets
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RUN = ("model=lenet", "data=image_folder", "data.image_size=16", "data.num_workers=0", "data.batch_size=4")
SHORT = ("data.val_fraction=0.5", "trainer=cpu", "trainer.max_epochs=1", "model.optimizer.lr=1e-9", "run_name=own")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Weights as they were drawn: one of the two classes is taken for the other."""
    folder = tmp_path_factory.mktemp("own")
    root = pets(folder, images=24)
    said = commands.run(folder, *RUN, *SHORT, f"data.root={root}")
    assert "no test data with labels: the best checkpoint is measured on that of validation" in said
    return folder / "runs/own"


def test_its_figures_are_those_of_validation(own):
    results = json.loads((own / "results.json").read_text())
    assert results["val/acc"] == pytest.approx(results["best val/acc"])
    assert not [name for name in results if name.startswith("test/")]
    assert "test/" not in (own / "metrics.csv").read_text()


def test_each_wrong_image_has_its_files_name(own):
    wrong = json.loads((own / "misclassified.json").read_text())["images"]
    assert wrong
    classes = ("cat", "dog")
    assert all(image["file"].startswith(f"{classes[image['true']]}/") for image in wrong)
    assert len({image["file"] for image in wrong}) == len(wrong)


def test_the_page_says_of_which_part_and_what_it_was(own):
    page = (own / "report.html").read_text()
    assert " right, of the validation part." in page
    assert f"<code>{json.loads((own / 'misclassified.json').read_text())['images'][0]['file']}</code>" in page
    assert "LeNet on image_folder (pets)" in page


def test_tensorboard_can_compare_it_with_others(own):
    """Its page HPARAMS reads what is under the plugin's name; the curves are not touched."""
    events = EventAccumulator(str(own / "tensorboard")).Reload()
    assert set(events.PluginTagToContent("hparams")) == {
        "_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info",
    }  # fmt: skip
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"optimizer/lr" in content
    assert {"hparams/best_val/acc", "hparams/val/acc"} <= set(events.Tags()["scalars"])
