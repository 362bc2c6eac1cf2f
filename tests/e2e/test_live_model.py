"""`nervenet serve --broker` while a run learns: the model is swapped under load, and no request fails for it."""

import contextlib
import json
import signal
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
ROW = b'{"X_test": [[5.1, 3.5, 1.4, 0.2]]}'


def test_no_request_fails_while_the_model_is_swapped(launch: Start, nervenet: Start, until: Start) -> None:
    words = ("--data", "iris", "--nodes", 2, "--rounds", 1_000_000, "--set", "evaluation.baseline=false")
    run = launch("--mode", "federated", *words, out="runs/live")
    server = nervenet("serve", "--broker", run.broker(), "--http", "127.0.0.1:0")
    address = server.says("serving http://").split("/")[2]
    stop = threading.Event()
    answered: list[int] = []
    failed: list[str] = []

    def post(*, anew: bool) -> None:
        """Post all the time, over one connection or over a new one each time."""
        http = HTTPConnection(address, timeout=60)
        while not stop.is_set():
            try:
                http.request("POST", "/predict", ROW)
                answered.append(json.loads(http.getresponse().read())["y_pred"][0])
            except (OSError, HTTPException, KeyError, ValueError) as error:
                failed.append(repr(error))
            if anew:
                http.close()
        http.close()

    def told() -> dict[str, Any]:
        http = HTTPConnection(address, timeout=60)
        with contextlib.closing(http):
            http.request("GET", "/model")
            return dict(json.loads(http.getresponse().read()))

    until(lambda: told()["round"] is not None, "there is a model")
    posters = [threading.Thread(target=post, kwargs={"anew": anew}) for anew in (False, False, True)]
    for poster in posters:
        poster.start()
    rounds: set[int] = set()

    def seen() -> bool:
        rounds.add(told()["round"])
        return len(rounds) >= 3 and len(answered) >= 50

    until(seen, "three models, one after the other, and many answers")
    stop.set()
    for poster in posters:
        poster.join(60)
    assert told()["live"] is True
    assert failed == []
    assert set(answered) <= {0, 1, 2}
    server.kill(signal.SIGTERM)
    assert server.wait() == 143
    run.kill(signal.SIGTERM)
    assert run.wait() == 143
