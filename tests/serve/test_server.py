"""A server as it is started, with an exported detector: who is let in, what is answered, and what ends it."""

import asyncio
import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import commands
import httpx
import numpy as np
import onnx_files
import pytest
from conftest import ROOT
from PIL import Image
from served import TOKEN, Server
from starlette.requests import Request
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lightloom.predict.web import Refused
from lightloom.serve import bodies, label_studio
from lightloom.serve.films import Films
from lightloom.tracking.film import FilmReader, FilmWriter

HEAVY = ("torch", "torchvision", "pytorch_lightning", "torchmetrics", "timm", "scipy", "pandas", "matplotlib")
ANYBODYS = {"/health", "/static/{name}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    model = onnx_files.detector(folder)
    found = Server(folder, f"ckpt_path={model}", f"token={TOKEN}", "most_live=2", without=HEAVY)
    yield found
    found.process.kill()


def lit(column: int, width: int = 64, height: int = 32, form: str = "PNG") -> bytes:
    """A dark picture with one bright column."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, column] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def code(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request"}
    assert not re.search(r"/\w+/|\w+\.py|=<", error["message"])
    return response.status_code, error["code"]


def test_a_picture_is_answered_in_its_own_pixels(server):
    answer = server.client.post("/api/v1/predict", content=lit(10)).json()
    assert answer == {
        "size": [64, 32],
        "boxes": [{"box": [10.0, 0.0, 16.0, 6.0], "name": "light", "score": 0.9}],
    }
    assert server.client.post("/api/v1/predict?min_score=0.95", content=lit(10)).json()["boxes"] == []
    large = server.client.post("/api/v1/predict", content=lit(2000, 3200, 100)).json()
    (box,) = large["boxes"]
    assert large["size"] == [3200, 100]
    assert abs(box["box"][0] - 2000) <= 2


@pytest.mark.parametrize(
    ("method", "path", "content", "expected"),
    [
        ("POST", "/api/v1/predict", b"no picture", (422, "no_picture")),
        ("POST", "/api/v1/predict", b"", (400, "empty")),
        ("POST", "/api/v1/predict?min_score=2", b"x", (422, "bad_field")),
        ("POST", "/api/v1/predict?what=nothing", b"x", (404, "no_such_thing")),
        ("POST", "/api/v1/predict", bytes(20_000_001), (413, "too_large")),
        ("GET", "/api/v1/predict", None, (405, "method")),
        ("GET", "/static/..%2fpages.py", None, (404, "not_found")),
        ("GET", "/static/../pages.py", None, (404, "not_found")),
        ("GET", "/etc/passwd", None, (404, "not_found")),
    ],
)
def test_what_cannot_be_answered_is_named(server, method, path, content, expected):
    assert code(server.client.request(method, path, content=content)) == expected


def test_a_body_without_an_end_is_cut(server):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 200:
            sent += 1
            yield bytes(1_000_000)

    with contextlib.suppress(httpx.TransportError):  # the connection is closed in the middle of it
        assert code(server.client.post("/api/v1/predict", content=endless())) == (413, "too_large")
    assert 20 < sent < 60


def test_a_form_is_told_to_be_none(server):
    assert code(server.client.post("/api/v1/predict", files={"file": lit(3)})) == (415, "multipart")


def test_each_address_asks_for_the_token(server):
    """Without one, with a wrong one, and in a cookie; websockets too."""
    paths = server.client.get("/openapi.json").json()["paths"]
    addresses = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    addresses += [("GET", path) for path in ("/", "/docs", "/openapi.json", "/static/page.js")]
    for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "lightloom_token=wrong"}):
        client = server.asking(headers)
        for method, path in addresses:
            found = client.request(method, path.replace("{job}", "x").replace("{end}", "mp4"))
            assert found.status_code == 200 if path in ANYBODYS else found.status_code in (401, 429), path
    assert server.asking({"cookie": f"lightloom_token={TOKEN}"}).get("/api/v1/models").status_code == 200
    with pytest.raises(InvalidStatus) as refused, server.live("wrong"):
        pass
    assert refused.value.response.status_code == 403


def test_the_address_of_the_console_gives_the_cookie(server):
    client = server.asking({})
    entered = client.get("/", params={"enter": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    page = client.get("/")
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_other_sites_and_names_are_refused(server):
    for headers, expected in (
        ({"host": "evil.example"}, (421, "unknown_host")),
        ({"origin": "https://evil.example"}, (403, "other_origin")),
        ({"origin": "null"}, (403, "other_origin")),
    ):
        assert code(server.client.get("/api/v1/models", headers=headers)) == expected
    with pytest.raises(InvalidStatus), server.live(origin="https://evil.example"):
        pass


def test_the_page_is_in_the_language_that_is_asked_for(server):
    for headers, asked, language in (
        ({}, "", "en"),
        ({"accept-language": "zh-CN,zh;q=0.9"}, "", "zh"),
        ({"accept-language": "zh"}, "?lang=en", "en"),
    ):
        text = server.client.get(f"/{asked}", headers=headers).text
        assert f'<html lang="{language}">' in text
        assert ("目标检测" in text.partition("<script")[0]) == (language == "zh")
    assert "http" not in re.sub(r"https pages", "", server.client.get("/").text.replace("ssl=self", ""))
    assert "/api/v1/predict" in server.client.get("/docs").text


def test_the_frame_that_was_sent_is_the_one_that_is_answered(server):
    """One number, steady boxes, in any number of frames; a lost one is not waited for."""
    with server.live() as camera:
        camera.send(json.dumps({"what": "boxes", "options": {"smoothing": "none"}}))
        for number in range(6):
            camera.send(struct.pack(">I", number) + lit(10 + number, form="JPEG"))
            answer = json.loads(camera.recv(timeout=10))
            assert (answer["number"], answer["size"]) == (number, [64, 32])
            if number:
                (box,) = answer["boxes"]
                assert (box["id"], abs(box["box"][0] - 10 - number) <= 1) == (1, True)
        camera.send(struct.pack(">I", 77) + b"no picture")
        assert json.loads(camera.recv(timeout=10))["error"]["code"] == "no_picture"


def test_two_cameras_know_nothing_of_each_other(server):
    with server.live() as first, server.live() as second:
        for step in range(3):
            for camera, column in ((first, 5 + step), (second, 50)):
                camera.send(struct.pack(">I", step) + lit(column))
            answers = [json.loads(camera.recv(timeout=10)) for camera in (first, second)]
        assert [answer["boxes"][0]["id"] for answer in answers] == [1, 1]
        assert answers[0]["boxes"][0]["box"][0] < 10 < answers[1]["boxes"][0]["box"][0]
        with server.live() as third, pytest.raises(ConnectionClosed) as closed:
            third.recv(timeout=10)
        assert closed.value.rcvd.code == 1013


@pytest.mark.parametrize("message", ["{", "[]", '{"what": "x"}', '{"options": {"min_score": 9}}', b"abc", b""])
def test_a_camera_that_says_nonsense_is_closed(server, message):
    with server.live() as camera:
        camera.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            camera.recv(timeout=10)
    assert closed.value.rcvd.code == 1003


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A bright column goes to the right, a pixel in each of 60 frames of 10 a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with FilmWriter(path, Fraction(10)) as writer:
        for step in range(60):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[:, 4 + step : 7 + step] = 255
            writer.write(pixels, step / 10)
    return path


def ended(server: Server, number: str) -> dict:
    """The job's last event."""
    with server.client.stream("GET", f"/api/v1/jobs/{number}/events") as events:
        told = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line]
    assert [one["done"] for one in told] == sorted(one["done"] for one in told)
    return told[-1]


def test_a_film_is_followed_from_its_first_frame_to_its_last(server, film, tmp_path):
    job = server.client.post("/api/v1/jobs?smoothing=none", content=film.read_bytes())
    assert job.status_code == 202
    number = job.json()["id"]
    last = ended(server, number)
    assert (last["state"], last["done"], last["of"], last["cut"]) == ("done", 60, 60, False)
    files = {end: server.client.get(f"/api/v1/jobs/{number}/film.{end}") for end in ("mp4", "csv", "txt")}
    rows = [line.split(",") for line in files["txt"].text.splitlines()]
    assert [(int(row[0]), row[1]) for row in rows] == [(frame, "1") for frame in range(2, 61)]
    assert all(abs(float(row[2]) - 3 - int(row[0])) <= 2 for row in rows)
    assert files["csv"].text.splitlines()[0] == "frame,seconds,id,name,score,left,top,right,bottom"
    (tmp_path / "made.mp4").write_bytes(files["mp4"].content)
    assert sum(1 for _ in FilmReader(tmp_path / "made.mp4")) == 60
    part = server.client.get(f"/api/v1/jobs/{number}/film.mp4", headers={"range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, files["mp4"].content[:100])
    assert code(server.client.get(f"/api/v1/jobs/{number}/film.exe")) == (404, "not_found")
    assert server.client.delete(f"/api/v1/jobs/{number}").status_code == 204
    assert code(server.client.get(f"/api/v1/jobs/{number}")) == (404, "no_such_job")


def test_a_film_that_is_cancelled_leaves_nothing(server, film):
    number = server.client.post("/api/v1/jobs", content=film.read_bytes()).json()["id"]
    started = time.monotonic()
    assert server.client.delete(f"/api/v1/jobs/{number}").status_code == 204
    assert ended(server, number)["state"] == "cancelled"
    assert time.monotonic() - started < 1
    assert not (server.folder / "serve/films" / number).exists()


@pytest.mark.parametrize("content", [b"no film", lit(5)])
def test_what_is_no_film_fails_by_name(server, content):
    number = server.client.post("/api/v1/jobs", content=content).json()["id"]
    last = ended(server, number)
    assert (last["state"], last["done"]) in (("failed", 0), ("done", 1))  # a picture is a film of one frame to ffmpeg
    assert not last["error"] or last["error"]["code"] == "no_film"


def test_the_client_of_the_docs_works(server, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    (client,) = re.findall(r"^```python client\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "photo.jpg").write_bytes(lit(12))
    monkeypatch.chdir(tmp_path)
    exec(client.replace("http://127.0.0.1:8000", server.address).replace('"..."', repr(TOKEN)))
    assert capsys.readouterr().out == "light 0.9 [12.0, 0.0, 18.0, 6.0]\n"


LABELS = '<View><Image name="pic" value="$image"/><RectangleLabels name="tag" toName="pic"/></View>'


def test_label_studio_gets_boxes_in_its_form(server):
    client = server.asking({"authorization": "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()})
    assert client.post("/setup", json={"project": "1"}).json() == {"model_version": "detector"}
    address = "data:image/png;base64," + base64.b64encode(lit(16)).decode()
    (found,) = client.post("/predict", json={"tasks": [{"data": {"image": address}}], "label_config": LABELS}).json()[
        "results"
    ]
    (region,) = found["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("tag", "pic", "rectanglelabels")
    assert region["value"] == {
        "x": 25.0, "y": 0.0, "width": 9.375, "height": 18.75, "rotation": 0, "rectanglelabels": ["light"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"image": "http://169.254.169.254/latest"}, (422, "no_home")),
        ({"image": "/data/upload/1.png"}, (422, "no_home")),
        ({"image": "file:///etc/passwd"}, (422, "no_picture")),
        ({"text": "hello"}, (422, "no_picture")),
        ({"image": "data:image/png;base64,$$"}, (422, "no_picture")),
        ("image", (422, "no_tasks")),
    ],
)
def test_what_label_studio_may_not_ask_is_refused(server, task, expected):
    assert code(server.client.post("/predict", json={"tasks": [{"data": task}]})) == expected


def test_the_function_for_cvat_of_the_docs_gives_it_rectangles(server, monkeypatch):
    """With what it calls of cvat-sdk 2.80, where that is not installed."""
    if importlib.util.find_spec("cvat_sdk") is None:
        sdk = ModuleType("cvat_sdk.auto_annotation")
        sdk.DetectionFunctionSpec = lambda *, labels: SimpleNamespace(labels=labels)
        sdk.label_spec = lambda name, id: {"name": name, "id": id}
        sdk.rectangle = lambda label_id, points: {"label_id": label_id, "points": points, "type": "rectangle"}
        monkeypatch.setitem(sys.modules, "cvat_sdk", ModuleType("cvat_sdk"))
        monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", sdk)
        sys.modules["cvat_sdk"].auto_annotation = sdk
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python cvat\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    given: dict = {}
    exec(code.replace("http://127.0.0.1:8000", server.address).replace("Bearer ...", f"Bearer {TOKEN}"), given)
    assert [label["name"] for label in given["spec"].labels] == ["light"]
    image = Image.open(io.BytesIO(lit(20)))
    (found,) = given["detect"](SimpleNamespace(conf_threshold=None), image)
    assert (found["label_id"], str(found["type"]), found["points"]) == (0, "rectangle", [20.0, 0.0, 26.0, 6.0])
    assert given["detect"](SimpleNamespace(conf_threshold=0.95), image) == []


def test_pictures_are_fetched_from_label_studio_alone():
    for address in ("http://other/1.png", "https://studio:8080/1.png", "http://studio:8080@evil/1.png", "//evil/1.png"):
        with pytest.raises(Refused, match="elsewhere"):
            asyncio.run(label_studio.picture({"image": address}, "http://studio:8080"))


def test_a_body_that_trickles_is_given_up(monkeypatch):
    """By the app itself, in this process, with less patience."""

    async def asked() -> int:
        async def trickle() -> dict:
            await asyncio.sleep(10)
            raise AssertionError("it was waited for")

        request = Request({"type": "http", "method": "POST", "headers": []}, trickle)
        with pytest.raises(Refused) as refused:
            await bodies.picture(request, bodies.Budget(), [])
        return refused.value.status

    monkeypatch.setattr(bodies, "PATIENCE", 0.1)
    assert asyncio.run(asked()) == 408


def test_bodies_have_a_budget_together():
    budget = bodies.Budget(100)
    with budget.share() as first, budget.share() as second:
        budget.take(first, 60)
        with pytest.raises(Refused, match="Too much"):
            budget.take(second, 41)
    assert budget.taken == 0


def test_many_at_once_all_get_their_own_answer(server):
    columns = [*range(4, 40, 3)] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda c: server.client.post("/api/v1/predict", content=lit(c)).json(), columns))
    assert [answer["boxes"][0]["box"][0] for answer in answers] == columns


def test_a_process_that_dies_comes_back(server):
    pid = _model(server)
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while server.client.post("/api/v1/predict", content=lit(9)).status_code != 200:
        assert time.monotonic() < until
    assert server.client.get("/ready").status_code == 200
    (told,) = server.folder.glob("serve/*/run.log")
    assert "the process with the model died" in told.read_text()


def test_measures_are_told(server):
    text = server.client.get("/metrics").text
    assert re.search(r'lightloom_requests_total\{route="/api/v1/predict",status="200"\} \d', text)
    assert re.search(r'lightloom_memory_bytes\{process="model"\} \d', text)


def workers_of(pid: int) -> list[Path]:
    """Of /proc, of the process's own that have begun to load a model."""
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [Path("/proc", child) for child in started]
    return [place for place in found if b"lightloom.serve.worker" in (place / "cmdline").read_bytes()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_model_loads_leaves_no_process(number, tmp_path):
    """The front is told alone, as by a service manager. A second or two each."""
    front = commands.start(tmp_path, f"ckpt_path={onnx_files.detector(tmp_path)}", "port=0", script="serve")
    front.wait_until(lambda: workers_of(front.pid))
    (worker,) = workers_of(front.pid)
    time.sleep(0.1)  # the front knows its number
    os.kill(front.pid, number)
    assert front.wait() == 128 + number
    assert not worker.exists()
    assert "Traceback" not in front.text


def test_a_signal_ends_it_its_model_and_a_film_which_a_restart_shows(server, film):
    """The last of this file."""
    model = _model(server)
    number = server.client.post("/api/v1/jobs", content=film.read_bytes()).json()["id"]
    started = time.monotonic()
    assert server.close() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 10
    assert not Path(f"/proc/{model}").exists()
    assert [path.name for path in (server.folder / "serve/films" / number).iterdir()] == ["job.json"]
    again = Films(server.folder / "serve/films", None, 4, 24.0)
    assert again.jobs[number].state == "interrupted"


def _model(server: Server) -> int:
    """The process with the model: the only one, as soon as that of a film before has ended."""
    until = time.monotonic() + 10
    while len(found := _children(server.process.pid)) > 1 and time.monotonic() < until:
        time.sleep(0.05)
    (model,) = found
    return model


def _children(pid: int) -> list[int]:
    """Processes that any of its threads has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
