"""What a run asks of its data: kept by each kind of ours, and answered for a LightningDataModule that knows nothing."""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict

import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from omegaconf import OmegaConf
from their_parts import TheirDigits
from their_text import TEXT
from torchvision.ops import FrozenBatchNorm2d

from lightloom.config import compose as config
from lightloom.config.instantiate import build_datamodule
from lightloom.core.errors import UserError
from lightloom.data import contract
from lightloom.data.identity import describe_split, digest_of_state
from lightloom.engine import facts, record, train
from lightloom.networks.detection.torchvision import check_frozen_statistics

KINDS = {
    "digits": (),
    "digit_scenes": ("data.reader.train_size=16", "data.reader.val_size=6", "data.reader.test_size=4"),
    "signals": ("data.train_size=70", "data.val_size=5", "data.test_size=5"),
}


@pytest.fixture(scope="module", params=KINDS)
def data(request):
    cfg = config.without_hydra(compose(f"data={request.param}", *KINDS[request.param], config_name="inspect_data"))
    datamodule = build_datamodule(cfg.data)
    datamodule.facts()
    return datamodule


def test_a_split_is_told_from_another_and_from_a_part_of_it(data):
    train, val = data.split("train"), data.split("val")
    part = train.pick(torch.arange(1, len(train)))
    assert len(part) == len(train) - 1
    told = [describe_split(split) for split in (train, val, part)]
    assert len({one["sha256"] for one in told}) == 3
    assert told[0] == describe_split(train.pick(torch.arange(len(train)))) == data.describe("train")
    assert told[0]["count"] == len(train)


def test_an_example_is_a_batch_as_a_module_gets_it(data):
    real = data.on_after_batch_transfer(next(iter(data.eval_loader("val"))), 0)[0]
    drawn = data.example(len(real), 3)
    assert len(drawn) == len(real)
    assert [one.shape for one in drawn] == [one.shape for one in real]
    assert all(one.dtype == torch.float32 and one.min() >= 0 and one.max() <= 1 for one in drawn)
    assert torch.equal(data.example(1, 3)[0], drawn[0])
    assert not torch.equal(data.example(1, 4)[0], drawn[0])


def test_the_line_about_data_has_the_sizes_of_its_splits_and_is_said_once(data, caplog, monkeypatch):
    sizes = {name: len(data.split(name)) for name in contract.SPLITS}
    summary = contract.summary(data)
    assert (list(summary.parts), summary.parts) == (list(sizes), sizes)
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        monkeypatch.setenv("RANK", rank)
        with caplog.at_level(logging.INFO):
            facts.tell(data, "not tested")
    (line,) = caplog.messages
    assert line.startswith(f"Data {data.name}: {sum(sizes.values()):,} {data.items}")
    assert line.endswith(f"(train {sizes['train']:,}, val {sizes['val']:,}, test {sizes['test']:,}); not tested.")
    assert asdict(summary) == record.found_in(data)


def test_plain_data_gets_honest_answers(tmp_path):
    plain = TheirDigits(str(tmp_path))
    contract.prepare(plain)
    plain.prepare_data()
    assert (tmp_path / "prepared.txt").read_text() == "once\n"
    assert contract.facts(plain) == contract.state(plain) == contract.describe(plain) == {}
    assert contract.name(plain) == "TheirDigits"
    assert contract.summary(plain) is record.found_in(plain) is None
    assert contract.num_train_batches(plain) is None
    assert contract.can_be_tested(plain)
    assert not contract.can_be_tested(pl.LightningDataModule())
    assert sum(len(labels) for _, labels in contract.eval_loader(plain, "val")) == 64
    assert not contract.orders_its_batches(plain)


def test_a_state_is_known_by_what_is_in_it():
    one = {"vocabulary": {"a": 0, "b": 1}, "weights": torch.arange(3)}
    other = {"weights": torch.arange(3), "vocabulary": {"b": 1, "a": 0}}
    assert digest_of_state(one) == digest_of_state(copy.deepcopy(one)) == digest_of_state(other)
    changes = ({**one, "vocabulary": {"a": 1, "b": 0}}, {**one, "weights": torch.arange(3.0)}, {"vocabulary": {}})
    assert len({digest_of_state(state) for state in (one, *changes)}) == 4


# --- facts that only the data knows


def waiting(**data):
    """A configuration in which parts of a model wait for facts of a text, as Hydra composes it."""
    model = {
        "vocab_size": "${data.vocab_size}",
        "embedding": {"_target_": "torch.nn.Embedding", "num_embeddings": "${model.vocab_size}", "embedding_dim": 4},
        "_target_": "their_text.NextCharacter",
    }
    known = {"_target_": "their_text.Text", "name": "fox", "kind": "text", "vocab_size": None, **data}
    return config.without_hydra(OmegaConf.create({"model": model, "data": known, "trainer": {}}))


def test_a_null_fact_of_any_name_flows_to_whoever_asks_for_it():
    cfg, _ = train.build_data(waiting())
    size = len(set(TEXT))
    found = OmegaConf.to_container(cfg, resolve=False)  # nothing is left to resolve
    assert found["model"]["vocab_size"] == found["model"]["embedding"]["num_embeddings"] == size
    assert found["data"]["vocab_size"] == size
    assert len(found["data"]["state_sha256"]) == 64
    assert "vocabulary" not in found["data"]


def test_a_fact_that_is_set_is_not_overwritten():
    cfg = waiting(vocab_size=99)
    assert cfg.model.embedding.num_embeddings == 99


def test_a_fact_that_nobody_states_is_one_sentence():
    cfg = waiting()
    cfg.data.vocab_size = None
    with pytest.raises(UserError, match=r"asks for .*vocab_size, which is null"):
        facts.fill_in(cfg, {})


def test_frozen_statistics_need_weights():
    layer = FrozenBatchNorm2d(3)
    with pytest.raises(UserError, match="there are none"):
        check_frozen_statistics(torch.nn.Sequential(layer))
    layer.running_mean += 1
    check_frozen_statistics(torch.nn.Sequential(layer))
    check_frozen_statistics(torch.nn.BatchNorm2d(3))


class OfItsOwn(TheirDigits):
    """Uses the contract's words for something else."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.split, self.facts, self.state = 0.1, {"classes": 10}, "ready"
        self.splits, self.num_train_batches = {"train": [1, 2]}, lambda: 8
        self.can_be_tested = True

    def describe(self) -> str:
        return "digits"

    def eval_loader(self) -> None:
        raise AssertionError

    def resume_at(self) -> None:
        raise AssertionError


def test_the_words_of_the_contract_are_free_to_data_that_was_not_written_for_it(tmp_path):
    plain = OfItsOwn(str(tmp_path))
    contract.prepare(plain)
    contract.read_splits(plain)
    contract.check_labelled(plain, "test")
    assert contract.facts(plain) == contract.state(plain) == contract.describe(plain) == {}
    assert contract.num_train_batches(plain) is None
    assert contract.can_be_tested(plain)
    assert not contract.orders_its_batches(plain)
    assert sum(len(labels) for _, labels in contract.eval_loader(plain, "val")) == 64
