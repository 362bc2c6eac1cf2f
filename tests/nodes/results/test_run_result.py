"""A result reads as a mapping, and its text is short whatever it holds."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nervenet.models import extras
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


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="asyncio.run formats no result any more")
def test_by_its_fields_every_vector_would_become_text(
    ended: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunResult, "__repr__", lambda self: f"RunResult({vars(self)!r})")
    assert ended() > 0


def test_a_notebook_shows_what_a_run_came_to() -> None:
    done = result()
    done.summary = {"accuracy": 0.96666, "completed_rounds": 20}
    assert repr(done) == "RunResult(status='completed', path='runs/first', accuracy=0.967, completed_rounds=20)"


def test_the_rounds_are_a_table_of_pandas(tmp_path: Path) -> None:
    (tmp_path / "round_metrics.jsonl").write_text('{"round":1,"loss":0.5}\n{"round":2,"loss":0.25,"accuracy":0.9}\n')
    table = RunResult(reports={}, path=tmp_path).to_pandas()
    assert table.index.name == "round"
    assert table["loss"].tolist() == [0.5, 0.25]
    assert table["accuracy"].isna().tolist() == [True, False]


def test_a_result_without_rounds_is_an_empty_table() -> None:
    assert RunResult(reports={}).to_pandas().empty


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(extras.MissingExtra, match=r"pandas is not installed: pip install pandas$"):
        RunResult(reports={}).to_pandas()
