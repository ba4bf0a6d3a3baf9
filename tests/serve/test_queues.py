"""Who is asked with whom, and who first."""

import asyncio
import time
from collections import deque

from lightloom.serve.inference import LIVE, Inference, _Waiting
from lightloom.serve.messages import Ended


def waiting(name: str, alone: bool = False, left: bool = False) -> _Waiting:
    answer = asyncio.new_event_loop().create_future()
    if left:
        answer.cancel()
    return _Waiting(Ended(name), answer, alone)


def batches(*queues: list[_Waiting]) -> list[str]:
    """The names in each batch, until nobody waits."""
    inference = Inference.__new__(Inference)  # without its process
    inference._queues, inference._pace = tuple(map(deque, queues)), 0.05
    found = []
    while batch := inference._next():
        found.append("".join(one.ask.stream for one in batch))
    return found


def test_cameras_come_before_pictures_and_films():
    assert batches([waiting("a")], [waiting("b"), waiting("c")], [waiting("d")]) == ["a", "bc", "d"]


def test_beside_a_camera_a_film_has_each_fourth_turn():
    """The camera's next picture comes as soon as the last is answered; between them one of the film would fit."""
    inference = Inference.__new__(Inference)
    film = deque(waiting(str(i)) for i in range(9))
    inference._queues, inference._pace = (deque([waiting("c")]), deque(), film), 0.05
    order = ""
    for _ in range(12):
        if not (batch := inference._next()):  # held: the camera's next picture has come by then
            inference._queues[LIVE].append(waiting("c"))
            batch = inference._next()
        order += "".join(one.ask.stream for one in batch)
        inference._answered = time.monotonic()
    assert order == "ccc0ccc1ccc2"


def test_a_camera_that_is_slow_or_gone_holds_no_film():
    inference = Inference.__new__(Inference)
    inference._queues, inference._pace = (deque(), deque(), deque(map(waiting, "abc"))), 0.05
    inference._answered = time.monotonic() - 0.2
    assert [one.ask.stream for one in inference._next()] == ["a"]  # one, for the camera may come any time
    inference._answered -= 1
    assert [one.ask.stream for one in inference._next()] == ["b", "c"]


def test_one_over_whom_the_process_died_is_asked_alone():
    assert batches([], [waiting("a"), waiting("b", alone=True), waiting("c")], []) == ["a", "b", "c"]


def test_whoever_has_left_keeps_nobody_waiting():
    assert batches([waiting("a", left=True)], [waiting("b", left=True), waiting("c")], []) == ["c"]


def test_a_batch_takes_a_quarter_of_a_second():
    assert batches([], [waiting(str(i)) for i in range(7)], []) == ["01234", "56"]
