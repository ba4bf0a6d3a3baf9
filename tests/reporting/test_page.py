"""A run's report in a real browser: nothing is fetched, nothing is wrong, and what can be moved moves."""

import base64
import io
import json
import shutil
from pathlib import Path

import browser
import commands
import pytest
import reported
import torch
from conftest import ROOT
from PIL import Image

from lightloom.reporting import comparison, facts, gallery, page, render
from lightloom.reporting.pictures import TOTAL_BYTES, Album

OF_CAPABILITIES = ("confusion_matrix.csv", "filmstrip.gif", "samples", "overlays", "tensorboard")
MOVE = """
const seen = (element) => getComputedStyle(element).display !== "none";
const move = (id, value) => {
  const input = document.getElementById(id);
  input.value = value;
  input.dispatchEvent(new Event("input"));
};
"""
HOVER = """
const tips = [...document.querySelectorAll(".chart")].map((figure) => {
  const svg = figure.querySelector("svg"), box = svg.getBoundingClientRect();
  svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right, clientY: box.top + 9 }));
  return figure.querySelector(".tip").hidden ? "" : figure.querySelector(".tip").textContent;
});
"""


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "copy"))


def quiet(seen: browser.Seen) -> None:
    assert seen.console == []
    assert seen.requests == []


def test_a_classifiers_page_leads_from_a_number_to_its_images(tmp_path):
    script = (
        MOVE
        + HOVER
        + """
    const links = [...document.querySelectorAll(".matrix a")];
    const first = document.querySelector(".wrong.first");
    const before = seen(first);
    const groups = links.map((link) => {
      location.hash = link.getAttribute("href");
      const group = document.querySelector(link.getAttribute("href"));
      return { count: Number(link.textContent), shown: group.querySelectorAll(".thumb").length, href: link.hash };
    });
    const inside = [...document.querySelectorAll("nav a")].every((a) => document.querySelector(a.hash));
    return { tips, before, groups, inside };"""
    )
    seen = browser.look(reported.run("classifier") / page.REPORT, script, tmp_path)
    quiet(seen)
    kept = json.loads((reported.run("classifier") / "misclassified.json").read_text())["images"]
    pairs = [f"#wrong-{image['true']}-{image['predicted']}" for image in kept]
    assert seen.found["before"]
    assert seen.found["inside"]
    assert {g["href"]: g["shown"] for g in seen.found["groups"]} == {href: pairs.count(href) for href in pairs}
    assert all(0 < g["shown"] <= g["count"] for g in seen.found["groups"])
    last = facts.read(reported.run("classifier")).curves["val/acc"].values[-1]
    assert any(f"val {last:.4g}" in tip for tip in seen.found["tips"])


def test_the_group_that_is_aimed_at_is_the_one_that_is_seen(tmp_path):
    """A link's target takes the place of the first group."""
    where = reported.run("classifier") / page.REPORT
    target = where.read_text(encoding="utf-8").partition('href="#')[2].partition("wrong-")[2].partition('"')[0]
    script = MOVE + "return [...document.querySelectorAll('.wrong')].filter(seen).map((group) => group.id);"
    assert browser.look(where, script, tmp_path, f"#wrong-{target}").found == [f"wrong-{target}"]


def test_a_detectors_slider_shows_the_boxes_of_that_score(tmp_path):
    steps = [0.05, 0.1, 0.2, 0.4, 1]
    script = MOVE + (
        f"return {steps}.map((score) => {{ move('threshold', score);"
        "return [...document.querySelectorAll('.box.found')].filter(seen).length; });"
    )
    seen = browser.look(reported.run("detector") / page.REPORT, script, tmp_path)
    quiet(seen)
    scenes = json.loads((reported.run("detector") / "overlays.json").read_text())
    scores = [box["score"] for scene in scenes for box in scene["found"]]
    assert seen.found == [sum(score >= step for score in scores) for step in steps]
    assert seen.found[0] > seen.found[-1]


def test_a_gans_slider_turns_the_pages_of_its_epochs(tmp_path):
    script = (
        MOVE
        + """
    const shown = () => [...document.querySelectorAll(".pages figure")].filter(seen).map((f) => f.textContent.trim());
    const loaded = [...document.images].every((image) => image.naturalWidth > 0);
    const last = shown();
    move("page", 0);
    return { last, first: shown(), loaded };"""
    )
    seen = browser.look(reported.run("gan") / page.REPORT, script, tmp_path)
    quiet(seen)
    assert seen.found == {"last": ["samples, epoch 2"], "first": ["samples, epoch 1"], "loaded": True}


def test_the_comparisons_page_is_quiet_too(tmp_path):
    found = [facts.read(path.parent) for path in sorted(reported.seeds().rglob("config.yaml"))]
    path = tmp_path / "report.html"
    path.write_text(comparison.html(found, tmp_path))
    quiet(browser.look(path, HOVER + "return tips;", tmp_path))


def test_the_browser_does_tell_of_requests_and_errors(tmp_path):
    """Or the tests above could not fail."""
    path = tmp_path / "loud.html"
    path.write_text('<body><img src="http://192.0.2.1/a.png"><script>nothing.there()</script></body>')
    seen = browser.look(path, "return 1;", tmp_path)
    assert seen.requests == ["http://192.0.2.1/a.png"]
    assert "nothing is not defined" in seen.console[0]


# --- without a browser


def test_a_page_has_its_figures_and_asks_for_nothing():
    for kind in ("classifier", "gan", "detector"):
        run, text = facts.read(reported.run(kind)), (reported.run(kind) / page.REPORT).read_text(encoding="utf-8")
        assert [name for name, value in run.metrics.items() if render.figure(value) not in text] == []
        assert "default-src 'none'" in text
        assert len(text) < 1.4 * TOTAL_BYTES + 500_000
        assert run.reproduce().removeprefix("python ").partition(" run_name")[0] in text.replace("&#39;", "'")
        for link in (*gallery.LINKED, *OF_CAPABILITIES):
            assert (f'href="{link}"' in text) == (reported.run(kind) / link).exists()


def test_what_a_user_has_named_is_text(tmp_path):
    where = copied(reported.run("classifier"), tmp_path)
    config = (where / "config.yaml").read_text()
    (where / "config.yaml").write_text(config.replace("run_name: classifier", "run_name: '<img src=x>&amp;'"))
    text = page.html(facts.read(where))
    assert "&lt;img src=x&gt;&amp;amp;" in text
    assert "<img src=x>" not in text


def test_a_large_picture_is_reduced_until_it_fits(tmp_path):
    pixels = torch.randint(256, (900, 900, 3), dtype=torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole, small = Album(tmp_path).add("a.png", most=10**7), Album(tmp_path).add("a.png", most=50_000)
    assert whole.size == small.size == (900, 900)
    assert base64.b64decode(whole.source.partition(",")[2]) == (tmp_path / "a.png").read_bytes()
    content = base64.b64decode(small.source.partition(",")[2])
    assert len(content) <= 50_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"


def test_a_full_page_links_to_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr("lightloom.reporting.pictures.TOTAL_BYTES", 0)
    text = page.html(facts.read(reported.run("gan")))
    assert "data:image" not in text
    assert '<a href="interpolation.png">' in text


@pytest.mark.parametrize(
    "damaged",
    ["metrics.csv", "results.json", "run.json", "misclassified.png", "misclassified.json", "confusion_matrix.csv"],
)
def test_a_damaged_file_is_missing_from_the_page_and_nothing_else(tmp_path, damaged):
    where = copied(reported.run("classifier"), tmp_path)
    (where / damaged).write_bytes(b"\x00{")
    assert "Data, code, machine" in page.html(facts.read(where))


def test_a_run_goes_on_where_no_report_can_be_written(tmp_path):
    (tmp_path / "runs/first/report.html/in-the-way").mkdir(parents=True)
    small = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "preflight=false")
    text = commands.run(tmp_path, "model=mlp", "data=digits", "run_name=first", *small)
    assert text.count("report.html could not be written") == 1
    assert "Traceback" not in text
    assert "Traceback" in (tmp_path / "runs/first/run.log").read_text()
    assert (tmp_path / "runs/first/results.json").is_file()


def test_a_run_that_was_ended_has_a_report(tmp_path):
    command = commands.start(tmp_path, "model=mlp", "data=digits", "trainer=cpu", "run_name=first")
    where = tmp_path / "runs/first"
    command.wait_until(lambda: (where / "checkpoints/last.ckpt").is_file())
    command.process.terminate()
    assert command.wait() == 143, command.text
    text = (where / page.REPORT).read_text(encoding="utf-8")
    assert "not finished" in text
    assert '<polyline class="line' in text or len(facts.read(where).curves["val/acc"].values) == 1


def test_templates_are_part_of_the_package():
    """They are found beside the code, so `pip install -e` needs no list of data files."""
    assert render.TEMPLATES.is_relative_to(ROOT)
    assert (render.TEMPLATES / "report.html.jinja").is_file()
