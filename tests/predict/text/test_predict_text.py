"""Classes of texts, on a machine without the data, and the words that decided."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lightloom.config.compose import expand_shorthand
from lightloom.core.errors import UserError
from lightloom.data.text.datamodule import TextDataModule
from lightloom.data.text.readers import TextLines
from lightloom.data.text.reviews_toy import BLAME, PRAISE, SUBJECTS
from lightloom.data.tokens import Words
from lightloom.networks.bag import BagOfWords
from lightloom.predict.faults import Faults
from lightloom.predict.loading import load
from lightloom.predict.text.command import texts_of
from lightloom.predict.text.inspection import inspect
from lightloom.predict.text.predictor import Predictor
from lightloom.predict.text.web import Web
from lightloom.predict.web import Refused


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on lines of files, which are taken away then."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "texts").mkdir()
    for name, words in (("neg", BLAME), ("pos", PRAISE)):
        lines = [f"{subject} is {word}" for subject in SUBJECTS for word in words]
        (folder / f"texts/{name}.txt").write_text("\n".join(lines))
    data = ("data=text_lines", f"data.root={folder / 'texts'}", "data.batch_size=16", "test=false", "trainer=cpu")
    model = ("model=bilstm", "model.network.dim=16", "model.network.width=16", "model.optimizer.lr=0.02")
    commands.run(folder, *model, *data, "trainer.max_epochs=6", "run_name=one", "preflight=false")
    (folder / "texts").rename(folder / "away")
    return folder / "runs/one"


def rows(output: str) -> list[dict[str, str]]:
    where = next(line.rpartition(": ")[2] for line in output.splitlines() if line.rstrip().endswith("predictions.csv"))
    with Path(where).open(newline="") as file:
        return list(csv.DictReader(file))


def test_texts_are_classified_without_the_data(run):
    """By the command, from a checkpoint and from a file that export.py has written; four commands with the training."""
    folder, text = run.parents[1], "the plot is moving, [truly] clever and the cast is wonderful"
    said = commands.run(folder, f"ckpt_path={run}", f"text={text}", script="predict")
    (row,) = rows(said)
    assert (row["text"], row["label"]) == (text, "pos")
    assert {*row["words"].split()} & {"moving", "clever", "wonderful"}
    for word in ("neg", "pos", "for pos"):
        assert word in said
    commands.run(folder, f"ckpt_path={run}", "format=onnx", script="export")
    lines = folder / "lines.txt"
    lines.write_text(f"{text}\n\nthe film is dull\n")
    first, second = rows(commands.run(folder, f"ckpt_path={run}/export/one.onnx", f"input={lines}", script="predict"))
    assert (first["label"], second["label"], second["source"]) == ("pos", "neg", "lines.txt:3")
    assert float(first["probability"]) == pytest.approx(float(row["probability"]), abs=1e-4)


def test_a_network_is_answered_as_the_command_is(run):
    """By a checkpoint's predictor, and by what an exported file answers to the same ids."""
    loaded = load(run)
    predictor = Predictor(loaded.module, {**loaded.config.data, **loaded.state})
    web = Web({**loaded.config.data, **loaded.state})
    texts = [web.read(body, {}) for body in (b"the plot is moving,\n truly", b"every scene is dull", "ÿ".encode())]

    def answers(ids: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": loaded.module.predict_step((torch.from_numpy(ids),), 0).detach().numpy()}

    found = web.by_predictor(lambda given: predictor.predict(given).numpy(), texts)
    np.testing.assert_allclose(web.by_file(answers, texts), found, atol=1e-6)
    first = web.say(texts[0], found[0], {"top": 1})["bars"]
    assert [bar["name"] for bar in first] == ["pos"]
    for body in (b"", b" \n", b"caf\xe9", b"a" * 20_001):
        with pytest.raises(Refused):
            web.read(body, {})


def read_by_command(where: Path) -> list[tuple[str, str]]:
    asked = OmegaConf.create({"input": str(where), "text_column": "text", "encoding": "utf-8"})
    return texts_of(asked, OmegaConf.create({}), Faults(where.parent))


def test_lines_tables_and_folders_are_read(tmp_path):
    texts = ["the film is dull", "the film is funny, it is"]
    (tmp_path / "lines.txt").write_text("\ufeff" + "\r\n\r\n".join(texts))
    (tmp_path / "table.csv").write_text('id,text\n1,the film is dull\n2,"the film is funny, it is"\n')
    (tmp_path / "folder").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / f"folder/{number}.txt").write_text(text)
    for name in ("lines.txt", "table.csv", "folder"):
        assert [text for _, text in read_by_command(tmp_path / name)] == texts
    assert [name for name, _ in read_by_command(tmp_path / "lines.txt")] == ["lines.txt:1", "lines.txt:3"]


def test_a_notebook_classifies_texts(run):
    found = load(run).predict(["the film is dull", "the film is funny"] * 200)
    assert found.shape == (400, 2)
    torch.testing.assert_close(found.sum(1), torch.ones(400))
    torch.testing.assert_close(found[:2], load(run).predict(["the film is dull", "the film is funny"]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("away.txt", 'there is no such file; to classify a text itself, say text="..."'),
        ("empty.txt", "there are no texts in it"),
        ("t.csv", "has no column 'text'; it has words"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, name, said):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "t.csv").write_text("words\na\n")
    with pytest.raises(UserError, match=re.escape(said)) as error:
        read_by_command(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_damaged_vocabulary_is_one_sentence(run):
    state = load(run).state
    for broken in ({}, {"vocabulary": 3}, {"vocabulary": state["vocabulary"][:-1]}):
        with pytest.raises(UserError, match="vocabulary"):
            Predictor(None, {"name": "x", "max_length": 8, **broken})


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("text=a, b", "text='a, b'"),
        ("text=it's [so] {so}: a=b", "text='it\\'s [so] {so}: a=b'"),
        ("text='a, b'", "text='a, b'"),
        ("text=null", "text=null"),
        ("input=a", "input=a"),
    ],
)
def test_a_text_is_taken_as_it_is_typed(typed, taken):
    assert expand_shorthand(typed, "predict") == taken
    assert expand_shorthand("text=a, b", "train") == "text=a, b"


class Linear(nn.Module):
    """A bag of words whose head is known, as a module that predicts."""

    device = torch.device("cpu")

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.network = BagOfWords(vocab_size, 2, dim=4).eval()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.network(ids)


def test_of_a_linear_model_the_words_are_all_of_the_answer():
    """Their weights add up to the difference that they explain, but for the bias: each is the word's own share."""
    torch.manual_seed(0)
    tokens = Words().learn(["good bad film plot the the is"])
    module = Linear(len(tokens))
    predictor = Predictor(module, {"max_length": 16, "vocabulary": tokens.to_state()})
    texts = ["the film is good good", "bad", "plot strange words"]
    for text, found in zip(texts, predictor.words(texts), strict=True):
        with torch.no_grad():
            logits = module(torch.tensor(predictor.ids([text])))[0] - module.network.head.bias
            best = (logits + module.network.head.bias).argmax()
        expected = logits[best] - logits.mean()
        assert sum(weight for _, weight in found) == pytest.approx(float(expected), abs=1e-6)
        assert {word for word, _ in found} == {*tokens.decode(predictor.ids([text])[0]).split()}
        weights = [abs(weight) for _, weight in found]
        assert weights == sorted(weights, reverse=True)
    assert not any(parameter.grad is not None for parameter in module.network.embedding.parameters())


def test_what_is_in_a_set_of_texts_is_told(tmp_path, capsys):
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    for part, name, lines in (
        ("train", "neg", ["dull", "dull", "a b c", *(f"n {i}" for i in range(20))]),
        ("train", "pos", ["fine", "dull", *(f"p {i}" for i in range(20))]),
        ("test", "neg", ["dull", "never seen"]),
        ("test", "pos", ["fine"]),
    ):
        (tmp_path / part / f"{name}.txt").write_text("\n".join(lines))
    facts = {"name": "mine", "kind": "text", "num_classes": None, "classes": None, "vocab_size": None}
    sizes = {"max_length": 8, "batch_size": 4, "eval_batch_size": 4}
    data = TextDataModule(TextLines(tmp_path), Words(), **facts, **sizes)
    data.setup("test")
    found = inspect(data, OmegaConf.create({"data": {"name": "mine"}}))
    lengths, classes = (table.rows for table in found.tables)
    assert [row[0] for row in lengths] == ["train", "val", "test"]
    assert lengths[2][1:] == ("3", "1", "1", "2", "0", "50.0%")
    assert [sum(int(n) for n in row[1:]) for row in classes] == [25, 23]
    assert "2 texts are in more than one part: 'dull', 'fine'." in found.notes
    assert "1 texts are of more than one class: 'dull'." in found.notes
    assert "ids of a text" in capsys.readouterr().out
