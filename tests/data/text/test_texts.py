"""Batches of ids: the vocabulary, the parts, the order, and what is said of them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from lightloom.core.errors import UserError
from lightloom.data.sampling import KeyedBatches, dealt
from lightloom.data.text.datamodule import MULTIPLE, TextDataModule, as_batch
from lightloom.data.text.reviews_toy import BLAME, DENIALS, PRAISE, ReviewsToy
from lightloom.data.text.temporal_order import TemporalOrder
from lightloom.data.text.texts import Texts
from lightloom.data.tokens import PAD, UNKNOWN, Characters, Words


class Given:
    """A reader of texts in memory."""

    def __init__(self, classes=("a", "b"), **splits: list[tuple[str, int]]) -> None:
        self.classes, self.splits = list(classes), splits

    def read(self, split: str) -> Texts | None:
        if split not in self.splits:
            return None
        texts, labels = zip(*self.splits[split], strict=True)
        return Texts(texts, torch.tensor(labels), [f"{split}:{i}" for i in range(len(texts))])


def numbered(count: int, classes: int = 2) -> list[tuple[str, int]]:
    """Sorted by class, as files are: texts of one word to nine."""
    return sorted(
        ((" ".join(f"w{i}_{k}" for k in range(i % 9 + 1)), i % classes) for i in range(count)), key=lambda t: t[1]
    )


def texts(reader, tokens=None, **options) -> TextDataModule:
    given = {"name": "given", "kind": "text", "num_classes": None, "classes": None, "vocab_size": None}
    return TextDataModule(
        reader, tokens or Words(), **{**given, "max_length": 32, "batch_size": 8, "eval_batch_size": 5, **options}
    )


def ids_of(loader) -> list[tuple[int, ...]]:
    return [tuple(i for i in row if i != PAD) for ids, _ in loader for row in ids.tolist()]


def test_a_batch_is_as_long_as_its_longest_text():
    data = texts(Given(train=numbered(60), val=[("w0_0 never", 0), ("w1_0 w1_1", 1)]), bucketed=False)
    data.setup()
    for ids, labels in data.train_dataloader():
        lengths = (ids != PAD).sum(1)
        assert ids.shape[1] == -(-int(lengths.max()) // MULTIPLE) * MULTIPLE
        assert ((ids != PAD) == (torch.arange(ids.shape[1]) < lengths[:, None])).all()
        assert labels.shape == (8,)
    ((ids, labels),) = data.eval_loader("val")
    assert ids[0, :2].tolist() == [data.tokens.ids["w0_0"], UNKNOWN]
    assert labels.tolist() == [0, 1]


def test_the_vocabulary_is_that_of_training_alone():
    data = texts(Given(train=numbered(40), test=[("strange words", 1)]))
    data.facts()
    known = {word for text in data.split("train").texts for word in text.split()}
    assert {*data.tokens.names[2:]} == known
    assert not known & {word for text in data.split("val").texts for word in text.split()} or len(known) < 200
    assert data.split("test").texts == ["strange words"]
    assert data.facts()["vocab_size"] == len(known) + 2


def test_every_word_that_was_never_seen_is_the_same():
    data = texts(Given(train=numbered(40)))
    data.facts()
    assert data.tokens.encode("w0_0 these words") == data.tokens.encode("w0_0 or others")


def test_a_state_is_adopted_before_the_facts():
    strange = Given(train=[("x", 0), ("y", 1), ("z", 0), ("u", 1)], val=[("v", 0)])
    one, other = texts(Given(train=numbered(40))), texts(strange)
    one.facts()
    other.adopt(one.state())
    assert other.facts()["vocab_size"] == one.facts()["vocab_size"]
    assert other.state() == one.state()
    assert [*next(iter(other.eval_loader("train")))[0][:, 0]] == [UNKNOWN] * 4


def test_equal_texts_are_in_one_part():
    repeated = [(f"text {i % 20}", i % 2) for i in range(200)]
    for folds in (None, 5):
        data = texts(Given(train=repeated), folds=folds, val_fraction=0.2)
        data.setup()
        parts = [{*split.texts} for split in data.splits.values()]
        assert sum(map(len, parts)) == 20
        assert sum(map(len, data.splits.values())) == 200


@pytest.mark.parametrize("folds", [2, 3, 10])
def test_each_text_is_tested_on_in_one_fold(folds):
    reader = Given(train=numbered(61))
    parts = [texts(reader, folds=folds, fold=fold) for fold in range(folds)]
    tested = Counter(text for data in parts for text in data.split("test").texts)
    assert tested == Counter(text for text, _ in numbered(61))
    for data in parts:
        assert not {*data.split("test").texts} & {*data.split("train").texts, *data.split("val").texts}


def test_an_evaluation_sees_the_classes_by_turns():
    labels = torch.tensor([0] * 50 + [1] * 25 + [2] * 25)
    order = dealt(labels)
    assert sorted(order.tolist()) == list(range(100))
    for count in (4, 20, 60):
        shares = labels[order[:count]].bincount(minlength=3) / count
        assert (shares - torch.tensor([0.5, 0.25, 0.25])).abs().max() <= 1.5 / count
    data = texts(Given(train=numbered(80)), val_fraction=0.5)
    data.setup()
    first = next(iter(data.eval_loader("val")))[1]
    assert set(first.tolist()) == {0, 1}


# --- the order of batches of similar length


def epoch(sampler: KeyedBatches, number: int, start: int = 0) -> list[list[int]]:
    sampler.set_epoch(number)
    sampler.start_at(start)
    return [indices.tolist() for indices, _ in sampler]


LENGTHS = torch.randint(1, 60, (1003,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_buckets_hold_each_text_once_and_are_shared(world_size):
    whole = epoch(KeyedBatches(1003, 8, 3, lengths=LENGTHS), 5)
    assert len({i for batch in whole for i in batch}) == 1000
    shares = [
        epoch(KeyedBatches(1003, 8, 3, rank=rank, world_size=world_size, lengths=LENGTHS), 5)
        for rank in range(world_size)
    ]
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert sorted(i for part in parts for i in part) == sorted(batch)


def test_buckets_save_padding_and_change_with_each_epoch():
    sampler, plain = KeyedBatches(1003, 8, 3, lengths=LENGTHS), KeyedBatches(1003, 8, 3)
    wasted = [sum(int(LENGTHS[b].max()) * 8 - int(LENGTHS[b].sum()) for b in epoch(one, 0)) for one in (sampler, plain)]
    assert 5 * wasted[0] < wasted[1]
    first, second = ({frozenset(b) for b in epoch(sampler, number)} for number in (0, 1))
    assert not first & second
    means = torch.tensor([LENGTHS[b].float().mean() for b in epoch(sampler, 0)])
    half = len(means) // 2
    assert (means[:half].mean() - means[half:].mean()).abs() < 10  # neither short nor long ones come first


@pytest.mark.parametrize("start", [0, 1, 60, 124, 125])
def test_buckets_can_start_at_any_batch(start):
    sampler = KeyedBatches(1003, 8, 3, lengths=LENGTHS)
    assert epoch(sampler, 2, start) == epoch(sampler, 2)[start:]


def test_every_text_is_left_out_as_often_whatever_its_length():
    lengths = torch.arange(43)
    sampler, left_out = KeyedBatches(43, 8, 0, lengths=lengths), torch.zeros(43)
    for number in range(1000):
        left_out += 1
        for batch in epoch(sampler, number):
            left_out[batch] -= 1
    p = 3 / 43
    assert (left_out - 1000 * p).abs().max() < 5 * (1000 * p * (1 - p)) ** 0.5


# --- what is said


def test_what_is_cut_off_and_unknown_is_said():
    data = texts(Given(train=numbered(40), val=[("w0_0 strange", 0), ("x " * 50, 1)]), max_length=8)
    data.setup()
    said = str(data.summary())
    assert "of val are cut to data.max_length=8" in said
    assert "% of val is unknown" in said
    assert f"2 classes, {data.vocab_size} ids" in said


WRONG = {
    "one class": ({"reader": Given(train=[("x", 0), ("y", 0)])}, "all of one class, a; expected two"),
    "no words": ({"reader": Given(train=[(" ", 0), (" ", 1)], val=[(" ", 0)])}, "no words to learn from"),
    "a batch too large": ({"reader": Given(train=numbered(20)), "batch_size": 64}, r"set data\.batch_size=18 or less"),
    "no validation": ({"reader": Given(train=numbered(4)), "val_fraction": 0.0}, "leaves given no validation text"),
    "another number of classes": ({"reader": Given(train=numbered(20)), "num_classes": 3}, r"data\.num_classes=2"),
    "another vocabulary": ({"reader": Given(train=numbered(20)), "vocab_size": 7}, r"is 7, .* leave it null"),
    "no such fold": ({"reader": Given(train=numbered(20)), "folds": 3, "fold": 3}, "folds count from 0 to 2"),
    "too many folds": ({"reader": Given(train=numbered(4)), "folds": 9}, "set fewer folds"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_one_sentence(mistake):
    options, said = WRONG[mistake]
    with pytest.raises(UserError, match=said) as error:
        texts(**options).setup()
    assert "\n" not in str(error.value)


def test_a_test_part_that_is_not_there_is_said():
    with pytest.raises(UserError, match=r"has no test texts; .* data\.folds=10"):
        texts(Given(train=numbered(20))).split("test")


def test_all_texts_that_have_labels_are_a_split_whatever_their_part():
    reader = Given(train=numbered(6), test=[("x", 1), ("y", 0)])
    data = texts(reader, val_fraction=0.0)
    data.adopt({"vocabulary": Words().learn(["w0_0"]).to_state()})
    found = data.split("all")
    assert sorted(found.texts) == sorted([text for text, _ in numbered(6)] + ["x", "y"])
    assert len(found.names) == len(found.labels) == 8


def test_classes_are_numbered_as_the_model_knows_them():
    data = texts(Given(("neg", "pos"), train=numbered(20)))
    data.match({"classes": ["pos", "other", "neg"]}, labelled=True)
    data.facts()
    assert data.classes == ["pos", "other", "neg"]
    assert {*data.split("train").labels.tolist()} == {0, 2}
    with pytest.raises(UserError, match="does not know: neg"):
        texts(Given(("neg", "pos"), train=numbered(20))).match({"classes": ["pos", "other"]}, labelled=True)


def test_an_example_has_ids_of_the_vocabulary():
    data = texts(Given(train=numbered(40)))
    data.facts()
    found = data.example(50, 0)
    assert found.dtype == torch.int64
    assert found.min() == UNKNOWN
    assert found.max() == len(data.tokens) - 1


def test_a_batch_of_texts_is_padded_on_the_right():
    assert as_batch([[3, 4], [5]]).tolist() == [[3, 4, *[0] * 6], [5, *[0] * 7]]
    assert as_batch([[1] * 9]).shape == (1, 16)


def test_characters_are_tokens_too():
    data = texts(Given(train=numbered(40)), Characters())
    assert data.facts()["vocab_size"] < 20


# --- texts that are generated


@pytest.mark.parametrize("length", [10, 30, 137])
def test_the_order_of_two_signs_is_the_class(length):
    reader = TemporalOrder(length, 200, 0, 5)
    split = reader.read("train")
    assert {*split.labels.tolist()} == {0, 1, 2, 3}
    for text, label in zip(split.texts, split.labels.tolist(), strict=True):
        begin, *letters, end = text.split()
        assert (begin, len(letters), end) == ("B", length, "E")
        places = [i for i, letter in enumerate(letters) if letter in "xy"]
        assert "".join(letters[i] for i in places) == reader.classes[label]
        assert length // 10 <= places[0] < -(-length // 5) <= length // 2 <= places[1] < 0.6 * length
    assert TemporalOrder(length, 10, 0, 5).read("train").texts == split.texts[:10]
    with pytest.raises(UserError, match="expected 10 letters at least"):
        TemporalOrder(9)


def test_a_toy_review_is_what_its_last_clause_says():
    split = ReviewsToy().read("train")
    counts = split.labels.bincount()
    assert abs(int(counts[0] - counts[1])) < 5 * 1000**0.5
    for text, label in zip(split.texts, split.labels.tolist(), strict=True):
        last = text.replace(" and ", " but ").rpartition(" but ")[2].split()
        praises, denies = bool({*last} & {*PRAISE}), bool({*last} & {*DENIALS})
        assert bool({*last} & {*BLAME}) != praises
        assert label == (praises != denies)


def test_toy_reviews_are_a_function_of_seed_split_and_place():
    long, short, other = (ReviewsToy(n, 50, 50, seed) for n, seed in ((100, 0), (10, 0), (100, 1)))
    assert long.read("train").texts[:10] == short.read("train").texts
    assert long.read("train").texts != other.read("train").texts
    assert long.read("val").texts != long.read("test").texts
    assert ReviewsToy(10, 0, 0).read("test") is None
