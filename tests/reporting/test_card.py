"""A model card has the run's figures and nothing that the run does not know."""

import json
import shutil

import reported
import yaml

from lightloom.reporting import card, facts, page


def parts(text: str) -> tuple[dict, str]:
    """The front matter and the text after it."""
    empty, front, body = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), body


def test_the_front_matter_has_the_figures_of_results():
    for kind, pipeline in (("classifier", "image-classification"), ("gan", "unconditional-image-generation"),
                           ("detector", "object-detection")):  # fmt: skip
        where = reported.run(kind)
        about, body = parts((where / card.CARD).read_text(encoding="utf-8"))
        results = json.loads((where / "results.json").read_text())
        (entry,) = about["model-index"]
        (result,) = entry["results"]
        told = {metric["name"]: metric["value"] for metric in result["metrics"]}
        assert told == {name: value for name, value in results.items() if name.startswith("test/")}
        assert about["pipeline_tag"] == result["task"]["type"] == pipeline
        assert about["datasets"] == [result["dataset"]["name"]]
        assert set(about["metrics"]) == {metric["type"] for metric in result["metrics"]}
        assert "license" not in about
        assert str(where) not in body
        for name in told:
            assert f"| {name} |" in body


def test_the_text_names_options_data_and_checkpoint():
    _, body = parts((reported.run("classifier") / card.CARD).read_text(encoding="utf-8"))
    for expected in (
        "checkpoints/best.ckpt",
        "model.network.hidden=[8]",
        "| digits, test | 360 |",
        "AdamW(",
        "crop_padding=",
    ):
        assert expected in body
    assert "{{" not in body


def test_an_unfinished_run_claims_no_results(tmp_path):
    """Nor does one that was to be made longer, and was ended."""
    where = shutil.copytree(reported.run("classifier"), tmp_path / "run")
    record = json.loads((where / "run.json").read_text())
    record["starts"].append({**record["starts"][0], "finished": False})
    (where / "run.json").write_text(json.dumps(record))
    shutil.rmtree(where / "checkpoints")
    about, body = parts(card.text(facts.read(where)))
    assert "model-index" not in about
    assert "metrics" not in about
    assert "no test yet" in body
    assert "has left no checkpoint" in body


def test_names_with_marks_of_yaml_stay_names(tmp_path):
    where = shutil.copytree(reported.run("classifier"), tmp_path / "run")
    config = (where / "config.yaml").read_text()
    (where / "config.yaml").write_text(config.replace("run_name: classifier", "run_name: 'a: [b] # c'"))
    about, _ = parts(card.text(facts.read(where)))
    assert about["model-index"][0]["name"] == "a: [b] # c"


def test_a_split_that_does_not_identify_itself_has_its_count_or_nothing(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(reported.run("classifier"), run)
    record = json.loads((run / "run.json").read_text())
    record["starts"][-1]["data"]["splits"] = {"train": {"count": 1234}, "val": {}}
    (run / "run.json").write_text(json.dumps(record))
    told = facts.read(run)
    assert ", train | 1,234 |  |  |" in card.text(told)
    assert ", val |  |  |  |" in card.text(told)
    assert ', train</td><td class="number">1,234</td><td></td><td></td>' in page.html(told)
