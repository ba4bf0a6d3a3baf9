"""Measures of labels against slow references."""

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from lightloom.metrics.multilabel import NEVER, Gathered, average_precision, best_thresholds, f1


def drawn(seed: int, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores with ties, and targets, (40, 3)."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (40, 3), generator=generator) / levels
    return scores, (torch.rand(40, 3, generator=generator) < 0.3).float()


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_scikit_learn(seed, levels):
    scores, targets = drawn(seed, levels)
    expected = average_precision_score(targets.numpy(), scores.numpy(), average=None)
    assert average_precision(scores, targets).tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_higher_f1(seed, levels):
    scores, targets = drawn(seed, levels)
    chosen = f1((scores >= best_thresholds(scores, targets)).float(), targets)
    for k in range(3):
        tried = [-1.0, *scores[:, k].unique().tolist()]
        known = targets[:, k].numpy()
        best = max(f1_score(known, (scores[:, k] > t).numpy(), zero_division=0) for t in tried)
        assert float(chosen[k]) == pytest.approx(best, abs=1e-6)


def test_a_label_that_no_image_has_is_never_found_and_does_not_count():
    scores, targets = torch.tensor([[0.9], [0.2]]), torch.zeros(2, 1)
    assert best_thresholds(scores, targets).tolist() == [NEVER]
    assert average_precision(scores, targets).isnan().all()
    assert f1(torch.zeros(2, 1), targets).isnan().all()


def test_what_is_gathered_is_what_was_given():
    metric, (scores, targets) = Gathered(), drawn(0, 1000)
    for part in (slice(0, 7), slice(7, 40)):
        metric.update(scores[part], targets[part])
    found = metric.compute()
    assert torch.equal(found[0], scores)
    assert torch.equal(found[1], targets)
