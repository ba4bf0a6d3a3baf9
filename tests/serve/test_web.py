"""How a capability is asked over a network: found by its place, without torch, its fields bounded."""

import base64
import io
import subprocess
import sys
from functools import partial

import numpy as np
import onnx_files
import pytest
import torch
from asking import loaded, said
from conftest import ROOT
from PIL import Image

from lightloom.modules.classifier import Classifier
from lightloom.networks.library import from_timm
from lightloom.networks.resnet import ResNet
from lightloom.ops import rng
from lightloom.predict import choose
from lightloom.predict.classes.predictor import Predictor
from lightloom.predict.classes.web import over
from lightloom.predict.samples.latents import latents
from lightloom.predict.samples.web import between
from lightloom.predict.web import LANGUAGES, Choice, Number, Refused, options_of, webs
from lightloom.serve import engines
from lightloom.serve.drawing import painted


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
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("size", [(32, 32), (64, 128), (40, 33)])
def test_masks_of_a_file_lie_where_the_picture_has_them(size, tmp_path):
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 4] = 255
    answer = said(loaded(onnx_files.segmenter(tmp_path)), "masks", _picture(pixels))
    assert answer["size"] == [width, height]
    shares = {bar["name"]: bar["value"] for bar in answer["bars"]}
    assert shares["light"] == pytest.approx(width // 4 / width, abs=0.02)
    shown = painted(pixels, answer)
    assert shown[:, -1].tolist() == (pixels[:, -1] // 2).tolist()
    assert (shown[:, 0, 0] > shown[:, 0, 1]).all()  # class 1 is red


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_latents_are_those_of_predict_py(size):
    for seed in (0, 3, 9999):
        assert np.allclose(latents(seed, 5, size), rng.latents(seed, 5, size).numpy(), atol=1e-6)


def test_between_two_seeds_lengths_go_from_one_to_the_other():
    a, b = latents(1, 1, 100), latents(2, 1, 100)
    path = between(a, b, 9)
    assert np.allclose(path[[0, -1]], np.concatenate([a, b]), atol=1e-5)
    lengths = np.linalg.norm(path, axis=1)
    assert lengths.min() > 0.95 * min(lengths[0], lengths[-1])


OLD = {
    "classifier": "classes",
    "detector": "boxes",
    "vae": "samples",
    "gan": "samples",
    "autoencoder": "reconstructions",
}


@pytest.mark.parametrize("family", OLD)
def test_a_checkpoint_is_asked_as_its_predictor_is(family):
    engine = loaded(ROOT / f"tests/old_checkpoints/{family}.ckpt")
    assert OLD[family] in engine.able
    for what in engine.able:
        assert said(engine, what, _picture(np.full((20, 20), 204, np.uint8)))


FACTS = {"channels": 3, "image_size": 24, "mean": [0.5] * 3, "std": [0.5] * 3, "classes": ["a", "b"]}
SMALL = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
NETWORKS = {
    "cnn": lambda: ResNet(3, 2, 24, 8),
    "vit": lambda: from_timm("vit_tiny_patch16_224", 3, 2, 24, **SMALL),
    "mlp": lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 2)),
}


def classifier(network: str) -> engines.Engine:
    """As `engines.of_checkpoint` makes one."""
    torch.manual_seed(0)
    module = Classifier(NETWORKS[network](), partial(torch.optim.SGD, lr=0.1), 2).eval()
    predictor = Predictor(module, FACTS)
    web = webs()["classes"]({**FACTS, "looks": predictor.looks})
    return engines.Engine("", "", "", {"classes": (web, partial(web.by_predictor, engines.of_arrays(predictor)))})


@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_a_classifier_shows_where_it_looks_in_the_square_that_it_sees(network):
    engine, picture = classifier(network), np.zeros((40, 80), np.uint8)
    picture[:, 40:] = 255
    answer = said(engine, "classes", _picture(picture), look="yes")
    assert answer["size"] == [80, 40]
    assert answer["bars"] == said(engine, "classes", _picture(picture))["bars"]
    with Image.open(io.BytesIO(base64.b64decode(answer["overlay"].partition(",")[2]))) as overlay:
        alpha = np.asarray(overlay)[..., 3]
    assert (alpha[:, 20:60] == 255).all()
    assert not alpha[:, [*range(20), *range(60, 80)]].any()
    shown = painted(np.repeat(picture[..., None], 3, 2), answer)
    assert (shown[:, :20] == 0).all()
    assert (shown[:, 60:] == 255).all()


def test_what_cannot_say_where_it_looks_is_not_asked():
    with pytest.raises(Refused, match="does not have"):
        said(classifier("mlp"), "classes", _picture(np.zeros((24, 24), np.uint8)), look="yes")


@pytest.mark.parametrize("at", [(0, 0), (2, 3)])
def test_the_hottest_place_is_white(at):
    heat = np.zeros((4, 4), np.float32)
    heat[at] = 5.0
    pixels = np.asarray(over(heat, 40, 40, 1.0)).sum(2)
    assert tuple(index // 10 for index in np.unravel_index(pixels.argmax(), pixels.shape)) == at
    assert np.asarray(over(np.zeros((4, 4), np.float32), 8, 8, 1.0))[..., :3].max() == 0  # looks nowhere


class ByClass:
    """A session of a generator by class: an image is all its label, over ten."""

    @staticmethod
    def answers(z: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        return {"images": np.broadcast_to(labels[:, None, None, None] / 10, (len(z), 1, 2, 2))}


def test_images_are_made_of_the_class_that_is_asked_for():
    web = webs()["samples"]({"latent_dim": 4, "by_class": True, "classes": ["a", "b", "c"]})
    for chosen, names in (("c", "cccc"), ("each in turn", "abca")):
        options = options_of(web.fields, {"count": "4", "class": chosen})
        item = web.read(b"", options)
        (found,) = web.by_file(ByClass.answers, [item])
        assert "".join(one["name"] for one in web.say(item, found, options)["pictures"]) == names
        assert [round(10 * float(image.max())) for image in found] == ["abc".index(name) for name in names]


def test_labels_are_bars_and_numbers_are_figures():
    picture = _picture(np.full((20, 20), 204, np.uint8))
    for kind, shown in (("image_tags", "bars"), ("image_values", "figures")):
        web = webs()["targets"]({"kind": kind, "channels": 1, "image_size": 8, "classes": ["x", "y"]})
        item = web.read(picture, {})
        (found,) = web.by_file(lambda batch: {"estimates": batch.reshape(len(batch), -1)[:, :2]}, [item])
        answer = web.say(item, found, {})
        assert list(answer) == [shown]
        assert "0.8" in str(answer)
