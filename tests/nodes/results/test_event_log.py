"""Events that rotate: bounded on the disk, and what is made of them is the same as if nothing had been dropped."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.launching.nodes_log import NodesLog
from nervenet.nodes.results.earlier import of_events
from nervenet.nodes.results.event_log import PARTS, EventLog, older_parts, read_events
from nervenet.nodes.results.round_metrics import RecordedRounds, read_rows
from nervenet.nodes.results.run_dir import RunDir

MAX_BYTES = 40_000
ROUNDS = 400


def events(rounds: range, incarnation: int = 1) -> list[dict[str, Any]]:
    """What a coordinator and the launcher say."""
    launcher = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": incarnation}
    found: list[dict[str, Any]] = [
        {"type": "run.started", **launcher, "time": 100.0 * incarnation, "resumed_after": rounds.start - 1}
    ]
    for number in rounds:
        who = {"run": "r", "node": "coordinator", "role": "coordinator", "incarnation": incarnation, "round": number}
        at = 100.0 * incarnation + number / 10
        numbers = {"participants": ["a", "b"], "closed_by": "all", "duration_s": 0.1, "bytes_sent": 10}
        total = {"bytes_sent_total": 10 * (number - rounds.start + 1)}
        found.append({"type": "round.completed", **who, **numbers, **total, "time": at})
        found.append({"type": "metric.test", **who, "time": at, "accuracy": number / 1000, "loss": 1.0, "examples": 9})
    return found


def recorded(folder: Path, max_bytes: int) -> tuple[list[dict[str, Any]], Any]:
    """Write a run that was killed after round 300 and resumed after 250; return its rows, and what went before."""
    with RunDir(folder, max_log_bytes=max_bytes) as first:
        for event in events(range(1, 301)):
            assert first.record(event) is None
    with RunDir(folder, existing=True, resumed=250, max_log_bytes=max_bytes) as second:
        for event in events(range(251, ROUNDS + 1), incarnation=2):
            assert second.record(event) is None
        second.write_rounds("federated", {})
        earlier = of_events(read_events(folder), {})
    return read_rows(folder), (second.earlier, earlier)


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.run_dir.installed", lambda _: False)


def test_what_is_dropped_is_missed_by_nobody(tmp_path: Path) -> None:
    """Rounds, times and bytes are as without rotation; the files are within their bound, each line is an object."""
    whole = recorded(tmp_path / "whole", 2**30)
    rotated = recorded(tmp_path / "rotated", MAX_BYTES)
    assert not older_parts(tmp_path / "whole")
    assert len(older_parts(tmp_path / "rotated")) == PARTS - 1
    size = sum(file.stat().st_size for file in (tmp_path / "rotated").glob("events*.jsonl"))
    assert size < MAX_BYTES + 4000 < (tmp_path / "whole" / "events.jsonl").stat().st_size
    assert rotated == whole
    assert [row["round"] for row in rotated[0]] == list(range(1, ROUNDS + 1))
    for file in (tmp_path / "rotated").glob("events*.jsonl"):
        assert all(json.loads(line) for line in file.read_text().splitlines())


@pytest.mark.parametrize("open_", [64, 0])
def test_a_part_is_dropped_a_few_events_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_: int) -> None:
    """Also within a round, and where a run was resumed."""
    monkeypatch.setattr("nervenet.nodes.results.run_dir.AT_A_TIME", 7)
    monkeypatch.setattr("nervenet.nodes.results.run_dir.STILL_OPEN", open_)
    assert recorded(tmp_path / "rotated", MAX_BYTES) == recorded(tmp_path / "whole", 2**30)


def most_rounds_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return of how many rounds something is held at a time, while events of 400 are dropped."""
    held: list[int] = []
    add = RecordedRounds.add

    def counting(self: RecordedRounds, event: Any) -> None:
        add(self, event)
        held.append(len(self.numbers))

    monkeypatch.setattr("nervenet.nodes.results.run_dir.STILL_OPEN", 3)
    monkeypatch.setattr(RecordedRounds, "add", counting)
    with RunDir(folder, max_log_bytes=MAX_BYTES) as run:  # its thread drops the last part by the end of the block
        for event in events(range(1, ROUNDS + 1)):
            run.record(event)
    return max(held)


def test_while_a_part_is_dropped_a_few_of_its_rounds_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.run_dir.AT_A_TIME", 8)
    assert most_rounds_held(tmp_path / "run", monkeypatch) < 10


def test_all_of_them_would_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.run_dir.AT_A_TIME", 10**9)
    assert most_rounds_held(tmp_path / "run", monkeypatch) > 10


def of_peers(folder: Path, max_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """Write a gossip run, most of whose rounds are a line each; return its rows, and how many incarnations."""
    with RunDir(folder, max_log_bytes=max_bytes) as run:
        for number in range(1, ROUNDS + 1):
            head = {"run": "r", "time": float(number), "round": number}
            done = {"closed_by": "all", "duration_s": number / 100, "bytes_sent": 10, "bytes_received": 10}
            if number % 50 == 1:
                for peer in ("a", "b"):
                    who = {"node": peer, "role": "peer", "incarnation": 7, "bytes_sent_total": 10 * number}
                    run.record({"type": "round.completed", **head, **who, **done, "participants": ["c"]})
            else:
                line = {"type": "round.summary", **head, "node": "launcher", "role": "launcher", "incarnation": 0}
                both = {"peers": ["a", "b"], "consensus_distance": number / 10}
                run.record(line | both | {"round.completed": {**done, "participants": [[1], [0]]}})
        run.write_rounds("gossip", {})
        known = {event["incarnation"] for event in read_events(folder) if event.get("role") == "peer"}
    return read_rows(folder), len(known)


def test_rounds_of_peers_are_as_they_were_summed_up(tmp_path: Path) -> None:
    whole, rotated = of_peers(tmp_path / "whole", 2**30), of_peers(tmp_path / "rotated", 20_000)
    assert len(older_parts(tmp_path / "rotated")) == PARTS - 1
    assert rotated == whole
    assert whole[0][2]["consensus_distance"] == 0.3
    assert whole[1] == 1, "who a peer was is known after the event that said it was dropped"


def of_a_lone_peer(folder: Path, resumed: int | None) -> list[int]:
    """Write a peer's own folder over two lives, both of which drop events; return the rounds of its rows.

    A peer knows the round that it goes on after only when it has joined: `resumed` is what is known before.
    """
    for life, rounds in enumerate((range(1, 201), range(201, ROUNDS + 1))):
        with RunDir(folder, existing=life > 0, resumed=resumed if life else None, max_log_bytes=MAX_BYTES // 4) as run:
            for number in rounds:
                who = {"run": "r", "node": "a", "role": "peer", "incarnation": life, "round": number}
                done = {"participants": ["b"], "closed_by": "all", "duration_s": 0.1}
                run.record({"type": "round.completed", **who, **done, "time": float(number)})
            run._events.settle()
            run.resumed = 200 if life else None
            run.write_rounds("gossip", {})
    return [row["round"] for row in read_rows(folder)]


def test_a_lone_peer_that_is_resumed_keeps_the_rounds_of_its_earlier_life(tmp_path: Path) -> None:
    assert of_a_lone_peer(tmp_path / "run", None) == list(range(1, ROUNDS + 1))


def test_as_if_it_went_on_after_no_round_they_would_be_lost(tmp_path: Path) -> None:
    assert of_a_lone_peer(tmp_path / "run", 0)[0] > 1


def test_without_keeping_what_the_rounds_were_they_would_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunDir, "_dropping", lambda *_: None)
    rows, (before, _) = recorded(tmp_path / "rotated", MAX_BYTES)
    assert rows[0]["round"] > 1
    assert before.wall_s < 30.0


def test_parts_are_read_in_order_and_the_newest_is_always_events_jsonl(tmp_path: Path) -> None:
    log = EventLog(tmp_path, 4 * PARTS * 20, lambda _: None)
    for number in range(40):
        log.write(b'{"type": "a", "n": %02d}\n' % (number + 10))
    log.close()
    assert [event["n"] for event in read_events(tmp_path)] == list(range(50 - len(list(read_events(tmp_path))), 50))
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])["n"] == 49


@pytest.mark.parametrize("apart", [True, False])
def test_who_writes_does_not_wait_until_a_part_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    """That takes seconds, and an event loop writes."""
    if not apart:  # the fault
        monkeypatch.setattr(threading.Thread, "start", lambda self: self.run())
        monkeypatch.setattr(threading.Thread, "join", lambda *_: None)
    by: set[int] = set()
    log = EventLog(tmp_path, PARTS * 20, lambda _: by.add(threading.get_ident()))
    for _ in range(PARTS + 1):
        log.write(b"%019d\n" % 1)
    log.close()
    assert (threading.get_ident() in by) != apart
    assert len(older_parts(tmp_path)) == PARTS - 1


def test_what_went_wrong_with_a_part_is_raised_to_who_writes_next(tmp_path: Path) -> None:
    def full(_part: Path) -> None:
        raise OSError(28, "No space left on device")

    log = EventLog(tmp_path, PARTS * 20, full)
    for _ in range(PARTS):
        log.write(b"%019d\n" % 1)
    log.write(b"%019d\n" % 1)
    with pytest.raises(OSError, match="No space left"):
        log.settle()
    assert len(older_parts(tmp_path)) == PARTS
    with pytest.raises(OSError, match="No space left"):
        log.close()


def test_where_no_new_part_can_be_begun_the_old_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunDir(tmp_path / "run", max_log_bytes=4000) as run:
        with monkeypatch.context() as patch:
            opened = Path.open

            def full(path: Path, mode: str = "r", *more: Any, **given: Any) -> Any:
                if mode == "ab":
                    raise OSError(28, "No space left on device")
                return opened(path, mode, *more, **given)

            patch.setattr(Path, "open", full)
            said = [run.record({"type": "a", "n": number}) for number in range(100)]
        assert [reason for reason in said if reason] == [
            f"{run.path / 'events.jsonl'} is not whole: No space left on device (docs/errors.md#not-written)"
        ]
        assert run.record({"type": "b"}) is None
        run.flush()
        assert len(older_parts(run.path)) == 1
        assert [event.get("n") for event in read_events(run.path)] == [*range(100), None]


def test_the_log_of_the_processes_begins_anew(tmp_path: Path) -> None:
    with NodesLog(tmp_path, 8000) as log, (tmp_path / "nodes.log").open("ab") as process:
        for number in range(100):
            process.write(b"%099d\n" % number)
            process.flush()
            log.trim()
    assert (tmp_path / "nodes.log").stat().st_size <= 1000
    before = (tmp_path / "nodes.1.log").read_bytes()
    assert 1000 <= len(before) <= 1100
    assert (tmp_path / "nodes.log").read_bytes()[:100] == b"%099d\n" % (int(before[-100:]) + 1)
