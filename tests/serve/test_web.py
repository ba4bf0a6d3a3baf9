"""How a capability is asked over a network: found by its place, without torch, its fields bounded."""

import subprocess
import sys

import numpy as np
import onnx_files
import pytest
from conftest import ROOT

from lightloom.predict import choose
from lightloom.predict.web import LANGUAGES, Choice, Number, Refused, options_of, webs
from lightloom.serve import engines


def test_none_of_them_loads_torch():
    code = (
        "import sys; from lightloom.predict.web import webs; webs(); import lightloom.serve.worker, lightloom.serve.app"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT / "src",
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_each_is_a_capability_and_of_a_use_of_its_own():
    found = webs()
    assert found.keys() <= {one.name for one in choose.capabilities()}
    assert len({web.use for web in found.values()}) == len(found)
    for web in found.values():
        assert set(web.title) == set(LANGUAGES)


FIELDS = (Number("top", {"en": "", "zh": ""}, 1, 9, 1, 5), Choice("class", {"en": "", "zh": ""}, ("a", "b"), "a"))


def test_fields_have_their_defaults_and_their_ranges():
    assert options_of(FIELDS, {}) == {"top": 5, "class": "a"}
    assert options_of(FIELDS, {"top": "9", "class": "b"}) == {"top": 9, "class": "b"}
    for query in ({"top": "10"}, {"top": "nan"}, {"top": "x"}, {"top": ""}, {"class": "c"}, {"other": "1"}):
        with pytest.raises(Refused, match=r"expected|does not have"):
            options_of(FIELDS, query)


def test_a_file_answers_as_its_graph_does(tmp_path):
    engine = engines.load({"ckpt_path": str(onnx_files.classifier(tmp_path)), "threads": 1})
    web, find = engine.able["classes"]
    item = web.read(_picture(np.full((20, 20), 204, np.uint8)), {})
    assert web.say(item, find([item, item])[1], {"top": 1}) == {"bars": [{"name": "bright", "value": 0.8}]}


def _picture(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
