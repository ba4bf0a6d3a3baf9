"""How YAML files of this repository begin; those of a project made from it need not."""

import pytest
from conftest import names

from lightloom.cli import help
from lightloom.config import compose as config


@pytest.mark.parametrize(
    "path", sorted(config.CONFIGS.rglob("*.yaml")), ids=lambda p: str(p.relative_to(config.CONFIGS))
)
def test_each_file_begins_by_saying_what_it_is(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#")
    assert len(help.summary(path)) > 3


@pytest.mark.parametrize("model", names("model"))
def test_each_model_cites_its_paper_or_library_with_a_year(model):
    summary = help.summary(config.CONFIGS / "model" / f"{model}.yaml")
    assert any(year in summary for year in map(str, range(1943, 2030))), summary
