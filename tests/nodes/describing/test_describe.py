"""The description of sites that meet over sockets is the one that they come to in memory."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models.data.data import DataError
from nervenet.models.describe.questions import DescribeOptions
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.options import ReadOptions
from nervenet.models.tables.table import Table
from nervenet.nodes import Experiment, NodeFailed, describe
from nervenet.nodes.describing import standalone
from nervenet.nodes.describing.spawned import _Spawned
from nervenet.nodes.describing.standalone import answer_for, ask_sites, identity_of
from nervenet.nodes.runtime import said_waits

DEADLINE_S = 240.0


def site(folder: Path, name: str, rows: int) -> Path:
    values = np.random.default_rng(rows).lognormal(3, 2, rows)
    path = folder / f"{name}.csv"
    path.write_text(
        "value,color\n" + "\n".join(f"{value!r},{'red' if value > 20 else 'blue'}" for value in values.tolist())
    )
    return path


async def by_hand(
    files: dict[str, Path], asked: DescribeOptions, min_rows: int = 10
) -> tuple[Any, dict[str, list[str]]]:
    """Return what the coordinator learns, and what each site is told."""
    experiment = Experiment.from_dict({"nodes": len(files)})
    notes: dict[str, list[str]] = {name: [] for name in files}
    async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.address, "run": "study"}
        sites = [
            answer_for(
                file,
                ReadOptions(),
                min_rows,
                experiment,
                identity_of("client", experiment, name=name, **where),
                notes[name].append,
            )
            for name, file in files.items()
        ]
        asking = ask_sites(
            asked, experiment, identity_of("coordinator", experiment, name=None, **where), lambda _: None
        )
        found, *_ = await asyncio.gather(asking, *sites, return_exceptions=True)  # all end by themselves
    if isinstance(found, BaseException):
        raise found
    return found, notes


def test_over_sockets_as_in_memory(tmp_path: Path) -> None:
    files = {name: site(tmp_path, name, rows) for name, rows in (("a", 40), ("b", 75), ("c", 4))}
    found, notes = asyncio.run(by_hand(files, DescribeOptions(correlations=True)))
    assert found.columns["value"]["pooled"]["count"] == 115
    assert found.sites["c"]["reason"] == "has fewer than 10 rows"
    told = {
        name: [note for note in of_site if not note.startswith("warning: the broker")]
        for name, of_site in notes.items()
    }
    assert told["c"] == ["told nothing: c.csv has fewer than 10 rows"]
    assert told["a"][0].startswith("answered ")
    everything = np.concatenate([np.loadtxt(files[k], delimiter=",", skiprows=1, usecols=0) for k in "ab"])
    assert found.columns["value"]["pooled"]["median"] == np.median(everything)


async def waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a coordinator says of its waiting, which has come before its sites."""
    monkeypatch.setattr(said_waits, "SHOW_EVERY_S", 0.01)
    experiment, said, come = Experiment.from_dict({"nodes": 1}), list[str](), asyncio.Event()

    def on_wait(text: str) -> None:
        said.append(text)
        if "0 of 1" in text:
            come.set()

    async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker, asyncio.TaskGroup() as tasks:
        where = {"broker": broker.address, "run": "study", "patient": True}
        asking = identity_of("coordinator", experiment, name=None, **where)
        tasks.create_task(ask_sites(DescribeOptions(), experiment, asking, lambda _: None, on_wait))
        await come.wait()
        answering = identity_of("client", experiment, name="a", **where)
        file = site(tmp_path, "a", 40)
        tasks.create_task(answer_for(file, ReadOptions(), 10, experiment, answering, lambda _: None))
    return said


def test_who_is_waited_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = asyncio.run(waited_for(tmp_path, monkeypatch))
    assert any("the other nodes of run 'study'" in text and "0 of 1" in text for text in said)
    assert all(text.startswith("waiting for ") for text in said)


def said_of(events: list[dict[str, Any]]) -> list[str]:
    """Return what a node of a description says of these events, notes and whom it waits for."""
    node: Any = SimpleNamespace(session=SimpleNamespace())
    said: list[str] = []
    standalone._noted(node, said.append, said.append)
    for event in events:
        node.session.on_event(event)
    return said


WAITING = [
    {"type": "node.waiting", "reason": "the broker at tcp://hub:5555"},
    {"type": "round.progress", "question": 2, "unanswered": 4, "waiting": ["a", "b", "c", "d"]},
    {"type": "round.progress", "question": 3, "unanswered": 0, "waiting": []},
]


def test_whose_answer_is_awaited_is_said() -> None:
    assert said_of(WAITING) == [
        "waiting for the broker at tcp://hub:5555",
        "waiting for a, b, c and 1 more to answer question 2",
    ]


def test_else_a_description_between_machines_waits_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standalone, "_waited_for", lambda _: "")
    assert said_of(WAITING) == []


def test_a_sites_own_floor_holds_between_machines(tmp_path: Path) -> None:
    files = {"a": site(tmp_path, "a", 40)}
    with pytest.raises(NodeFailed, match="no site has 10 rows or more"):
        asyncio.run(by_hand(files, DescribeOptions(min_rows=10), min_rows=50))


def test_tables_are_described_in_this_process() -> None:
    sites = {name: Table(("x",), ("number",), (np.arange(float(rows)),)) for name, rows in (("a", 20), ("b", 41))}
    found = asyncio.run(describe(sites, min_rows=15))
    assert found.columns["x"]["pooled"]["count"] == 61
    assert found.min_rows == 15


def test_a_file_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        asyncio.run(describe([tmp_path / "nowhere.csv"]))
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        asyncio.run(describe("nowhere.csv"))  # and not its letters


def test_no_site_is_refused() -> None:
    with pytest.raises(DataError, match="no sites to describe"):
        asyncio.run(describe([]))


async def ended_by(act: Any) -> None:
    """Have something happen to one of two sites, while the coordinator waits."""
    spawned = _Spawned({"a": Path("a"), "b": Path("b")}, DescribeOptions(), ReadOptions(), None, lambda _: None)  # type: ignore[arg-type]
    waiting = asyncio.create_task(asyncio.sleep(DEADLINE_S))
    act(spawned)
    try:
        await spawned._first_of(waiting)  # type: ignore[arg-type]
    finally:
        waiting.cancel()


def test_a_process_that_is_killed_ends_the_description_by_name() -> None:
    with pytest.raises(NodeFailed, match="b: killed by SIGKILL"):
        asyncio.run(ended_by(lambda spawned: spawned._exited(("b",), "killed by SIGKILL")))


def test_a_process_that_has_reported_may_end() -> None:
    async def both() -> None:
        spawned = _Spawned({"a": Path("a")}, DescribeOptions(), ReadOptions(), None, lambda _: None)  # type: ignore[arg-type]
        spawned._reported("a", "result", {"notes": []}, None)
        spawned._exited(("a",), "ended with exit code 0")
        assert not spawned._failed.done()

    asyncio.run(both())


def test_a_bad_file_at_a_site_is_a_mistake_of_the_user() -> None:
    with pytest.raises(DataError, match="line 3"):
        asyncio.run(ended_by(lambda s: s._reported("b", "result", {"failed": "b.csv: line 3", "kind": "data"}, None)))


def test_what_follows_from_the_end_of_the_run_does_not_hide_its_reason() -> None:
    async def run() -> None:
        spawned = _Spawned({"a": Path("a")}, DescribeOptions(), ReadOptions(), None, lambda _: None)  # type: ignore[arg-type]
        spawned._reported("a", "result", {"failed": "the coordinator ended the run", "kind": "failure"}, None)
        failing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failing.set_exception(IncompatibleSites("no site has 10 rows"))
        await spawned._first_of(failing)  # type: ignore[arg-type]
        failing.result()

    with pytest.raises(IncompatibleSites):
        asyncio.run(run())
