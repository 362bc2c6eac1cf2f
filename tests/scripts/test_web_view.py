"""`nervenet monitor RUN --web` and `nervenet launch --web` in processes of their own."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from nervenet.scripts import web_beside as web_beside_module
from nervenet.scripts.main import execute
from nervenet.scripts.web_beside import web_beside
from nervenet.scripts.web_server import open_place

pytestmark = pytest.mark.e2e

NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]
HEAD = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": 1}


def recorded(folder: Path, score: float) -> Path:
    """Write a run folder in which one round has been completed."""
    folder.mkdir()
    lines: list[dict[str, Any]] = [
        {**HEAD, "type": "run.started", "time": 1.0, "mode": "federated", "nodes": 1, "rounds": 1, "data": "iris"},
        {**HEAD, "type": "run.completed", "time": 3.0, "status": "completed", "completed_rounds": 1, "accuracy": score},
    ]
    (folder / "events.jsonl").write_text("".join(f"{json.dumps({'seq': 1, **line})}\n" for line in lines))
    row = {"round": 1, "accuracy": score, "closed_by": "all", "participants": 1}
    (folder / "round_metrics.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def states(answer: httpx.Response) -> Any:
    """Yield the data of each message."""
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_run_folders_are_shown_compared_and_played_until_a_signal(tmp_path: Path) -> None:
    folders = [str(recorded(tmp_path / name, score)) for name, score in (("a", 0.5), ("b", 0.75))]
    command = [*NERVENET, "monitor", *folders, "--web", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[2]
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                with client.stream("GET", "/stream") as answer:
                    for state in states(answer):
                        if state.get("outcome", {}).get("status") == "completed" and not state["live"]:
                            break
                with client.stream("GET", "/replay?speed=1000") as answer:
                    assert next(states(answer))["outcome"]["metric"] in (None, 0.5)
                deadline = time.monotonic() + 60
                while len(runs := client.get("/runs").json()["runs"]) < 2:  # the second is read meanwhile
                    assert time.monotonic() < deadline
                assert [run["rounds"]["metric"] for run in runs] == [[0.5], [0.75]]
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 143
        finally:
            process.kill()


def test_beside_a_launch_the_end_of_the_run_comes_though_its_broker_was_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_beside_module, "END_S", 120.0)
    place = open_place("127.0.0.1:0", None, None, None, insecure=False)
    folder = recorded(tmp_path / "a", 0.5)
    with contextlib.ExitStack() as launch:
        beside = launch.enter_context(web_beside(place))
        beside.follow("tcp://127.0.0.1:1", None, insecure=False)
        with httpx.stream("GET", f"{place.url}/stream", timeout=120, trust_env=False) as answer:
            told = states(answer)
            assert next(told)["outcome"]["status"] == "waiting"
            beside.ended(folder)
            closing = threading.Thread(target=launch.close)
            closing.start()
            last = [state["outcome"] for state in told if "outcome" in state][-1]
        closing.join()
    assert (last["status"], last["metric"]) == ("completed", 0.5)
    assert beside.exit_code == 0


def test_what_cannot_be_shown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["monitor", str(tmp_path), "--web", "127.0.0.1:0"]) == 2
    assert "holds no events.jsonl" in capsys.readouterr().err
    assert execute(["monitor", str(tmp_path)]) == 2
    assert "is shown by --web without --broker, and on a terminal by nervenet replay" in capsys.readouterr().err
    assert execute(["monitor", str(tmp_path), "--web", "127.0.0.1:0", "--broker", "tcp://127.0.0.1:1"]) == 2
    assert "is shown by --web without --broker" in capsys.readouterr().err
    for option in (["--json"], ["--record", "x"], ["--stay"], ["--metrics"], ["--every", "3"], ["--topics", "round."]):
        assert execute(["monitor", "--web", "127.0.0.1:0", *option]) == 2
        assert f"--web does nothing with {option[0]}: leave one of them out" in capsys.readouterr().err
    assert execute(["monitor", str(tmp_path), "--web", "127.0.0.1:0", "--run", "r"]) == 2
