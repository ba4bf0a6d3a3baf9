"""tools/without.py: a family goes with all that is its own, and what is left neither names it nor misses it.

Slow, as each family needs a copy, in which a process imports every module and a pytest process composes everything.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import start
from conftest import ROOT

FAMILIES = {
    "boxes": (
        "data.boxes",
        "modules.detector",
        "networks.detection",
        "predict.boxes",
        "callbacks.boxes",
        "tracking.byte_track",
        "tracking.mot",
        "tracking.smoothing",
    ),
    "gan": ("modules.gan", "modules.adversarial", "modules.bigan", "modules.vae_gan", "losses.adversarial"),
}
IN_THE_COPY = ("config/test_configs.py", "config/test_annotations.py", "cli/test_help.py", "test_house.py")
IN_THE_COPY += ("test_repository.py", "core/test_discovery.py", "predict/test_choose.py")
NOT_AGAIN = ("-k", "not flags_and_options and not help_needs")  # they start processes, about no family


def python(where: Path, logs: Path, code: str, *arguments: str) -> str:
    """The output of code in the copy, which sees nothing of this project."""
    script = where / "src/given.py"
    script.write_text(code)
    own = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "", "LIGHTLOOM_DATA_DIR": ""}
    done = start(logs, *arguments, script=script.stem, env=own, cwd=where, root=where)
    assert done.wait() == 0, done.text[-9000:]
    script.unlink()
    return done.text


@pytest.fixture(scope="module", params=FAMILIES)
def copy(request, tmp_path_factory) -> tuple[Path, str]:
    where = tmp_path_factory.mktemp("without") / request.param
    subprocess.run([sys.executable, str(ROOT / "tools/without.py"), request.param, str(where)], check=True)
    return where, request.param


def test_nothing_that_is_left_names_a_removed_module(copy):
    where, family = copy
    names = "|".join(re.escape(f"lightloom.{name}") for name in FAMILIES[family])
    pattern = re.compile(rf"(?:{names})\b")
    files = [path for folder in ("src", "configs", "tests", "benchmarks") for path in (where / folder).rglob("*.*")]
    texts = {path: path.read_bytes().decode(errors="replace") for path in files if path.is_file()}
    assert len(texts) > 300
    assert [f"{p.relative_to(where)}: {found[0]}" for p, t in texts.items() if (found := pattern.search(t))] == []


def test_no_source_file_was_edited_but_the_table_of_old_names(copy):
    where, _ = copy
    files = [path.relative_to(where) for folder in ("src", "configs") for path in (where / folder).rglob("*.*")]
    changed = [f for f in files if (where / f).is_file() and (where / f).read_bytes() != (ROOT / f).read_bytes()]
    assert [str(file) for file in changed] == ["src/lightloom/config/aliases.py"]


def test_no_benchmark_asks_for_a_removed_configuration(copy):
    where, _ = copy
    texts = [path.read_text(encoding="utf-8") for path in (where / "benchmarks").glob("*.yaml")]
    asked = {pair for text in texts for pair in re.findall(r"\b(model|data|experiment|sweep)=(\w+)", text)}
    assert len(asked) > 20
    assert [pair for pair in asked if not (where / "configs" / pair[0] / f"{pair[1]}.yaml").is_file()] == []
    scripts = {name for text in texts for name in re.findall(r"benchmarks/\w+\.py", text)}
    assert [name for name in scripts if not (where / name).is_file()] == []


def test_every_module_imports_and_every_class_of_a_configuration_is_there(copy, tmp_path):
    where, _ = copy
    found = [path.relative_to(where / "src") for path in (where / "src/lightloom").rglob("*.py")]
    modules = sorted(".".join(path.with_suffix("").parts) for path in found if path.stem != "__init__")
    texts = [path.read_text(encoding="utf-8") for path in (where / "configs").rglob("*.yaml")]
    targets = sorted({target for text in texts for target in re.findall(r"_target_: (lightloom\.[\w.]+)", text)})
    assert len(modules) > 150
    assert len(targets) > 50
    lines = ("from importlib import import_module", f"for name in {modules}: import_module(name)")
    find = f"for module, name in {[target.rsplit('.', 1) for target in targets]}: getattr(import_module(module), name)"
    python(where, tmp_path, "\n".join((*lines, find)))


def test_everything_that_is_left_composes_and_keeps_the_rules_of_the_house(copy, tmp_path):
    where, _ = copy
    tests = (f"tests/{name}" for name in IN_THE_COPY)
    code = "import sys\n\nimport pytest\n\nsys.exit(pytest.main(sys.argv[1:]))\n"
    said = python(where, tmp_path, code, "-q", "--fast", *NOT_AGAIN, *tests)
    assert int(re.search(r"(\d+) passed", said)[1]) > 40


def test_pages_have_no_command_that_is_no_longer_there(copy):
    where, family = copy
    gone = {
        "boxes": r"model=(yolo|faster_rcnn)|data=(voc|coco|digit_scenes)",
        "gan": r"model=(gan|wgan|dcgan|vae_gan)\b",
    }
    commands = [line for page in where.glob("docs/*.md") for line in page.read_text(encoding="utf-8").splitlines()]
    assert [line for line in commands if line.startswith("python ") and re.search(gone[family], line)] == []


def test_an_unknown_family_is_one_message(tmp_path):
    command = [sys.executable, str(ROOT / "tools/without.py"), "box", str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: box: there is no such family. Did you mean boxes? Known: boxes, gan, masks, ")
