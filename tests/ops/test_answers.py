"""What belongs to an answer, by its places; and what a network says of it, by hand."""

import torch

from lightloom.ops.answers import IGNORE, last_places, log_probabilities, targets_of

IDS = torch.tensor(
    [[[5, 6, 7, 8, 2, 0, 0, 0], [5, 6, 9, 2, 0, 0, 0, 0]], [[4, 3, 3, 3, 3, 3, 3, 2], [4, 2, 0, 0, 0, 0, 0, 0]]]
)
STARTS = torch.tensor([2, 1])


def network(ids: torch.Tensor) -> torch.Tensor:
    """Logits that depend on an id and its place."""
    places = torch.arange(ids.shape[1])
    return torch.sin(ids[..., None] * 0.7 + places[:, None] + torch.arange(10) * 1.3)


def test_only_the_answer_and_its_end_are_asked_for():
    found = targets_of(IDS, STARTS[:, None])
    for item, start in enumerate(STARTS.tolist()):
        for ids, targets in zip(IDS[item], found[item], strict=True):
            length = int((ids != 0).sum())
            expected = [int(ids[t]) if start <= t < length else IGNORE for t in range(1, 8)]
            assert targets.tolist() == expected


def test_a_log_probability_is_the_sum_over_its_ids_whatever_the_padding():
    found = log_probabilities(network, IDS, STARTS[:, None])
    for item, start in enumerate(STARTS.tolist()):
        for number, ids in enumerate(IDS[item]):
            length = int((ids != 0).sum())
            rows = network(ids[None])[0].log_softmax(1)
            total = sum(rows[t - 1, ids[t]] for t in range(start, length))
            torch.testing.assert_close(found[item, number], total)
    longer = log_probabilities(network, torch.nn.functional.pad(IDS, (0, 5)), STARTS[:, None])
    torch.testing.assert_close(longer, found)


def test_the_last_place_is_that_of_the_last_real_id():
    assert last_places(IDS).tolist() == [[4, 3], [7, 1]]
