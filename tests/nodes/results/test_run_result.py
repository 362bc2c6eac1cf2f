"""A result reads as a mapping, and its text is short whatever it holds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nervenet.nodes.results.run_result import RunResult


class Counted(np.ndarray):
    """A vector that counts how often it is turned into text."""

    reported = 0

    def __repr__(self) -> str:
        Counted.reported += 1
        return "Counted()"


def result() -> RunResult:
    return RunResult(reports={}, weights=np.zeros(3).view(Counted), path=Path("runs/first"), summary={"accuracy": 0.9})


@pytest.fixture
def ended() -> Iterator[Callable[[], int]]:
    """Run to a result by asyncio.run, and count the texts made of its vector.

    asyncio.run changes the handler of SIGINT, and so formats the result, only where Python's own handler is in place.
    It is not in what a shell starts in the background: there SIGINT is ignored.
    """

    async def run() -> RunResult:
        return result()

    def ended() -> int:
        Counted.reported = 0
        asyncio.run(run())
        return Counted.reported

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield ended
    signal.signal(signal.SIGINT, before)


def test_it_is_the_summary_as_a_mapping() -> None:
    assert dict(result()) == {"accuracy": 0.9}


def test_it_names_its_status_and_folder() -> None:
    assert repr(result()) == "RunResult(status='completed', path='runs/first', accuracy=0.9)"


def test_no_vector_becomes_text_when_a_run_ends(ended: Callable[[], int]) -> None:
    assert ended() == 0


def test_by_its_fields_every_vector_would_become_text(
    ended: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunResult, "__repr__", lambda self: f"RunResult({vars(self)!r})")
    assert ended() > 0


def test_a_notebook_shows_what_a_run_came_to() -> None:
    done = result()
    done.summary = {"accuracy": 0.96666, "completed_rounds": 20}
    assert repr(done) == "RunResult(status='completed', path='runs/first', accuracy=0.967, completed_rounds=20)"
