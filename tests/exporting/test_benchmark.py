"""Formats are timed in turns, with how far their answers are from the model's."""

import pytest
from test_export import graph_of

from lightloom.exporting import benchmark


def test_each_format_has_a_row(capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 2)
    benchmark.compare(graph_of("mlp"), seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert all(any(name in line for line in lines) for name in (benchmark.MODEL, "onnx", "torch_export"))
    assert not any("safetensors" in line for line in lines)


def test_ratios_are_taken_within_a_round(capsys):
    taken = {benchmark.MODEL: [(7.0, 1.0), (7.0, 100.0), (7.0, 10.0)], "onnx": [(9.0, 2.0), (9.0, 50.0), (8.0, 5.0)]}
    benchmark.rows(taken, {benchmark.MODEL: 0.0, "onnx": 1e-6}, {"onnx": "1 MB"})
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "onnx" in line]
    assert [float(cell) for cell in line.replace("│", " ").split()[1:5]] == pytest.approx([9, 5, 0.5, 1e-6])
