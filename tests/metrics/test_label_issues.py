"""Confident learning against its definition, and against labels that were changed on purpose."""

from __future__ import annotations

import torch

from lightloom.metrics.label_issues import confident_joint, label_issues


def slow_joint(probabilities: torch.Tensor, labels: torch.Tensor) -> list[list[int]]:
    """Northcutt et al. 2021, equations 1 and 2, in loops."""
    classes = probabilities.shape[1]
    threshold = []
    for j in range(classes):
        own = [p[j] for p, label in zip(probabilities.tolist(), labels.tolist(), strict=True) if label == j]
        threshold.append(sum(own) / len(own) if own else float("inf"))
    joint = [[0] * classes for _ in range(classes)]
    for p, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        reached = [j for j in range(classes) if p[j] >= threshold[j]]
        if reached:
            joint[label][max(reached, key=lambda j: p[j])] += 1
    return joint


def test_the_joint_is_that_of_the_definition():
    generator = torch.Generator().manual_seed(0)
    for classes in (2, 3, 7):
        probabilities = (3 * torch.randn(60, classes, generator=generator, dtype=torch.float64)).softmax(1)
        labels = torch.randint(max(classes - 1, 2), (60,), generator=generator)  # of three and more one has none
        joint = confident_joint(probabilities, labels)
        assert joint.tolist() == slow_joint(probabilities, labels)
        issues = label_issues(probabilities, labels)
        assert len(issues) == int(joint.sum() - joint.diagonal().sum())
        assert [i.margin for i in issues] == sorted((i.margin for i in issues), reverse=True)


def test_changed_labels_are_found():
    """A model that is right with 0.99 or so; a tenth of the labels is changed: found are these, and few others."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.randint(4, (400,), generator=generator)
    probabilities = (6 * torch.nn.functional.one_hot(truth, 4) + torch.randn(400, 4, generator=generator)).softmax(1)
    labels = truth.clone()
    labels[::10] = (labels[::10] + 1) % 4
    issues = label_issues(probabilities, labels)
    found = {issue.index for issue in issues}
    changed = set(range(0, 400, 10))
    assert len(found & changed) >= 0.9 * len(changed)
    assert len(found - changed) <= 0.02 * 400
    assert {issues[i].index for i in range(20)} <= changed
    assert all(issue.likely == truth[issue.index] for issue in issues[:20])


def test_right_labels_have_no_issue():
    labels = torch.arange(6) % 3
    assert label_issues(torch.eye(3)[labels], labels) == []
