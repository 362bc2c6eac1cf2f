"""What a client carries from round to round is there for a round that is repeated, in memory and after a kill."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.checkpoint import store
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.checkpoint.state_file import CheckpointError, path_of


def state(number: int) -> dict[str, Any]:
    return {"moments": np.full(4, number, np.float32), "steps": np.array(number)}


def value(states: ClientStateStore, number: int) -> int | None:
    found = states.before(number)
    return None if found is None else int(found["steps"])


@pytest.fixture(params=["memory", "folder"])
def states(request: pytest.FixtureRequest, tmp_path: Path) -> ClientStateStore:
    kept = ClientStateStore(tmp_path / "client-0" if request.param == "folder" else None, pytest.fail)
    for number in (1, 2, 5):
        kept.put(number, state(number))
    return kept


def test_a_task_starts_from_the_newest_state_before_it(states: ClientStateStore) -> None:
    assert [value(states, n) for n in (0, 1, 2, 3, 5, 6, 99)] == [None, None, 1, 2, 2, 5, 5]


def test_a_repeated_round_forgets_what_came_after_it(states: ClientStateStore) -> None:
    states.put(2, state(20))
    assert states.rounds == [1, 2]
    assert value(states, 9) == 20


def test_what_no_coordinator_can_ask_for_again_is_forgotten(states: ClientStateStore) -> None:
    states.prune(0)
    assert states.rounds == [1, 2, 5]
    for number in range(6, 20):
        states.put(number, state(number))
        states.prune(number - number % 5)
    # Whoever goes on after round 15 asks for round 16; were that checkpoint damaged, after round 10, or after 5.
    assert states.rounds == [5, 10, 15, 16, 17, 18, 19]
    states.rewind(10)
    states.put(11, state(11))
    states.prune(11)
    assert states.rounds == [5, 10, 11]


def test_a_client_that_was_killed_can_follow_its_coordinator_back_to_an_older_checkpoint(tmp_path: Path) -> None:
    one = ClientStateStore(tmp_path)
    for number in range(1, 13):
        one.put(number, state(number))
        one.prune(number - number % 5)
    other = ClientStateStore(tmp_path)
    other.rewind(10)
    other.put(11, state(11))
    other.prune(10)
    assert (other.rounds, value(other, 6)) == ([4, 5, 10, 11], 5)


def test_rewinding_forgets_a_future_that_is_no_more(states: ClientStateStore) -> None:
    states.rewind(2)
    assert states.rounds == [1, 2]
    assert value(states, 99) == 2


def test_what_is_kept_is_a_copy_and_cannot_be_changed(states: ClientStateStore) -> None:
    mine = state(7)
    states.put(7, mine)
    mine["moments"] += 1
    found = states.before(8)
    assert found is not None
    assert (found["moments"] == 7).all()
    with pytest.raises(ValueError, match="read-only"):
        found["moments"] += 1


def test_who_carries_nothing_keeps_nothing(tmp_path: Path) -> None:
    states = ClientStateStore(tmp_path / "c")
    states.put(1, {})
    assert states.rounds == []
    assert not (tmp_path / "c").exists()
    states.put(2, state(2))
    states.put(3, {})
    assert states.before(4) == {}


def test_another_process_finds_it_again(tmp_path: Path) -> None:
    one = ClientStateStore(tmp_path)
    for number in range(1, 6):
        one.put(number, state(number))
    other = ClientStateStore(tmp_path, pytest.fail)
    assert other.rounds == [1, 2, 3, 4, 5]
    found = other.before(5)
    assert found is not None
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in state(4).items()}
    other.put(4, state(40))
    assert ClientStateStore(tmp_path).rounds == [1, 2, 3, 4]


def test_a_damaged_file_is_reported_and_the_one_before_is_used(tmp_path: Path) -> None:
    for number in (1, 2):
        ClientStateStore(tmp_path).put(number, state(number))
    path_of(tmp_path, 2).write_bytes(path_of(tmp_path, 2).read_bytes()[:-1])
    warnings: list[str] = []
    states = ClientStateStore(tmp_path, warnings.append)
    assert value(states, 9) == 1
    assert value(states, 9) == 1
    assert len(warnings) == 1
    assert states.rounds == [1]


def test_a_disk_that_refuses_is_reported_once_and_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    states = ClientStateStore(tmp_path, warnings.append)
    states.put(1, state(1))

    def refuse(*_: object, **__: object) -> None:
        raise CheckpointError("the state of round 1 could not be written")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_state", refuse)
        states.put(1, state(10))
        states.put(2, state(2))
    assert [value(states, n) for n in (2, 3)] == [10, 2]
    assert len(warnings) == 1
    assert "will not go on exactly where it was" in warnings[0]
    # An older past of the same round would be worse than none.
    assert ClientStateStore(tmp_path).rounds == []
    states.put(3, state(3))
    assert ClientStateStore(tmp_path).rounds == [3]


def test_keeping_a_state_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is to outlive this process, between a training and its update, and no power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("waits for the disk"))
    states = ClientStateStore(tmp_path)
    states.put(1, {"moments": np.zeros(5_000, np.float32)})
    assert states.rounds == [1]
    assert list(tmp_path.iterdir())
