"""The page in a real Chromium, used as a person would: a picture, a film, a camera, the keyboard, a telephone."""

import io
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from devtools import Browser
from PIL import Image
from served import Server

from lightloom.tracking.film import FilmWriter

SHOTS = os.environ.get("LIGHTLOOM_SCREENSHOTS")  # a folder for pictures of the pages, to be looked at
SPEED, RATE = 8, 25  # pixels from frame to frame, and frames per second
SIZE = (240, 320)


def lit(left: int) -> np.ndarray:
    pixels = np.full((*SIZE, 3), 40, np.uint8)
    pixels[40:200, left : left + 12] = 255
    return pixels


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """picture.png; film.mp4 of 40 frames; camera.mjpeg, for ever: a light that swings, 200 pixels a second."""
    folder = tmp_path_factory.mktemp("page")
    Image.fromarray(lit(100)).save(folder / "picture.png")
    (folder / "wrong.png").write_bytes(b"no picture")
    with FilmWriter(folder / "film.mp4", Fraction(RATE)) as writer:
        for step in range(40):
            writer.write(lit(20 + 6 * step), step / RATE)
    places = [*range(10, 290, SPEED), *range(290, 10, -SPEED)]
    with (folder / "camera.mjpeg").open("wb") as camera:
        for left in places:
            frame = io.BytesIO()
            Image.fromarray(lit(left)).save(frame, "JPEG", quality=90)
            camera.write(frame.getvalue())
    return folder


@pytest.fixture(scope="module")
def browser(files):
    found = Browser(files, files / "camera.mjpeg")
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(files, browser):
    found = Server(files, f"ckpt_path={onnx_files.detector(files)}")
    yield found
    found.process.kill()


@pytest.fixture
def page(server, browser):
    """Open, wide, in English; afterwards nothing was wrong, and nothing was asked of anybody else."""
    browser.told.clear()
    browser.resize(1200, 900)
    browser.open(f"{server.address}/?lang=en")
    yield browser
    assert browser.told == []
    here = server.address.partition("://")[2]
    own = ("about:", "data:", "blob:", f"http://{here}/", f"ws://{here}/")
    assert [address for address in browser.requests if not address.startswith(own)] == []


def shot(page: Browser, name: str) -> None:
    if SHOTS:
        page.picture(Path(SHOTS) / f"{name}.png")


def test_a_picture_and_its_boxes(page, files):
    page.choose("input[type=file]", files / "picture.png")
    assert "light" in page.until("document.querySelector('.result table')?.textContent")
    assert page.run("(() => {const c = document.querySelector('canvas'); return [c.width, c.height]})()") == [320, 240]
    shot(page, "picture")
    page.run("(() => {const f = document.querySelector('[name=min_score]'); f.value = 1; "
             "f.dispatchEvent(new Event('input'))})()")  # fmt: skip
    assert page.until("document.querySelector('.result p')?.textContent === 'Nothing was found.'")


def test_several_pictures_in_turn(page, files):
    page.choose("input[type=file]", files / "picture.png", files / "picture.png")
    assert page.until("document.querySelectorAll('canvas').length === 2")


def test_a_film_is_watched_and_played(page, files):
    page.choose("input[type=file]", files / "film.mp4")
    page.until("document.querySelector('.film progress')?.value > 0")
    address = page.until("document.querySelector('.film video')?.currentSrc")
    assert address.endswith("/film.mp4")
    assert page.until("document.querySelector('.film video').videoWidth") == 320
    assert page.run("[...document.querySelectorAll('.film a')].map(a => a.textContent).join()") == "mp4,csv,txt"
    assert page.run("document.querySelector('.film span').textContent") == "Done"
    shot(page, "film")


def test_boxes_of_a_camera_lie_at_the_objects(page):
    """The box of each frame is drawn on that frame: at 200 pixels a second it is 2 pixels off at most."""
    page.run("document.querySelector('[data-camera]').click()")
    page.until("document.querySelector('.status').textContent.includes('pictures/s')")
    look = """(() => {
        const panel = document.querySelector('section'), canvas = panel.querySelector('canvas'), found = panel.found;
        if (!found?.boxes?.length) return null;
        const row = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data;
        let left = 0;
        while (left < canvas.width && row[4 * left] < 150) left++;
        return [found.boxes[0].box[0] / canvas.width, left / canvas.width, found.boxes[0].id];
    })()"""
    page.run("(() => {const f = document.querySelector('[name=smoothing]'); f.value = 'none'; "
             "f.dispatchEvent(new Event('input'))})()")  # fmt: skip
    until, seen = time.monotonic() + 2, []
    while time.monotonic() < until:
        seen += [found] if (found := page.run(look)) else []
    assert len({round(found[0], 3) for found in seen}) > 3
    assert max(abs(box - light) for box, light, _ in seen) * SIZE[1] <= 3
    shot(page, "camera")
    page.run("document.querySelector('[data-camera]').click()")
    assert page.run("document.querySelector('[data-camera]').textContent") == "Camera"


def test_chinese_on_a_telephone_without_a_mouse(page, server, files):
    page.resize(360, 740)
    page.open(f"{server.address}/?lang=zh")
    assert "目标检测" in page.run("document.body.textContent")
    assert page.run("document.documentElement.scrollWidth") == 360  # innerWidth grows with what is too wide
    page.run("document.querySelector('[role=tab]').focus()")
    reached = []
    for _ in range(5):
        page.press("Tab", 9)
        reached.append(page.run("document.activeElement.type || document.activeElement.localName"))
    assert reached == ["file", "range", "select-one", "select-one", "button"]
    page.choose("input[type=file]", files / "picture.png")
    assert "得分" in page.until("document.querySelector('.result table')?.textContent")
    assert page.run("document.documentElement.scrollWidth") == 360  # innerWidth grows with what is too wide
    shot(page, "telephone")


@pytest.mark.parametrize(
    ("made", "shown"),
    [(onnx_files.classifier, ".shown canvas"), (onnx_files.segmenter, "[type=range]"), (onnx_files.detector, "table")],
)
def test_each_kind_shows_the_picture_and_fits_a_telephone(made, shown, browser, files, tmp_path):
    """In Chinese, the choices too; no console error, nothing asked of anybody else."""
    server = Server(tmp_path, f"ckpt_path={made(tmp_path)}")
    try:
        browser.told.clear()
        browser.requests.clear()
        browser.resize(360, 740)
        browser.open(f"{server.address}/?lang=zh")
        browser.choose("input[type=file]", files / "picture.png")
        assert browser.until(f"!!document.querySelector('.result {shown}')")
        assert browser.run("!!document.querySelector('.result canvas')")
        assert browser.run("document.documentElement.scrollWidth") == 360
        said = browser.run(
            "[...document.querySelectorAll('select[name=smoothing] option')].map(o => o.textContent).join()"
        )
        assert said in ("", "自动,卡尔曼,1 € 滤波,无")
        assert browser.told == []
        shot(browser, f"telephone-{made.__name__}")
        own = ("about:", "data:", "blob:", server.address)
        assert [address for address in browser.requests if not address.startswith(own)] == []
    finally:
        server.process.kill()


def test_what_is_no_picture_is_said_in_the_language_of_the_page(server, browser, files):
    browser.open(f"{server.address}/?lang=zh")
    browser.choose("input[type=file]", files / "wrong.png")
    assert "无法识别为图片" in browser.until("document.querySelector('.status.wrong')?.textContent")
    browser.told.clear()  # a browser calls each answer of 400 or more an error
