"""Checkpoints come back bit for bit, whole or not at all, and the one before is used where the newest is damaged."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nervenet.nodes.checkpoint import state_file
from nervenet.nodes.checkpoint.state_file import DTYPES, path_of
from nervenet.nodes.checkpoint.store import CheckpointError, CheckpointStore
from safetensors.numpy import load_file

KINDS = st.sampled_from([np.dtype(kind) for kind in DTYPES.values()])
ARRAYS = st.dictionaries(
    st.text(max_size=8), KINDS.flatmap(lambda k: hnp.arrays(k, hnp.array_shapes(min_dims=0, min_side=0))), max_size=4
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    max_leaves=6,
)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one.values(), other.values(), strict=True)
    )


def filled(folder: Path, rounds: int = 3, size: int = 100) -> tuple[CheckpointStore, list[str]]:
    warnings: list[str] = []
    checkpoints = CheckpointStore(folder, warnings.append)
    for number in range(1, rounds + 1):
        checkpoints.write(number, {"weights": np.full(size, number, np.float32)}, {"n": number})
    return checkpoints, warnings


@settings(max_examples=60, deadline=None)
@given(arrays=ARRAYS, record=st.dictionaries(st.text(), PLAIN, max_size=4))
def test_all_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], record: dict[str, Any]
) -> None:
    checkpoints = CheckpointStore(tmp_path_factory.mktemp("c"))
    checkpoints.write(7, arrays, record)
    found = checkpoints.latest()
    assert found is not None
    assert found.round == 7
    assert same(found.arrays, arrays)
    assert repr(found.record) == repr(record)  # NaN is NaN, and -0.0 is not 0.0
    theirs = load_file(path_of(checkpoints.folder, 7))
    assert {name: array.tobytes() for name, array in theirs.items()} == {n: a.tobytes() for n, a in arrays.items()}


def test_any_memory_order_is_kept_by_value_and_numpys_numbers_are_numbers(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))[:, ::2]
    CheckpointStore(tmp_path).write(1, {"a": array}, {"n": np.int64(3), "x": np.float32(0.5)})
    found = CheckpointStore(tmp_path).latest()
    assert found is not None
    assert np.array_equal(found.arrays["a"], array)
    assert found.record == {"n": 3, "x": 0.5}
    found.arrays["a"] += 1  # training may go on in place


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.zeros(2, ">f4"), "a is of dtype >f4"), (np.array(["x"]), "a is of dtype <U1"), (np.array([{}]), "object")],
)
def test_what_is_not_kept_is_named(tmp_path: Path, array: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        CheckpointStore(tmp_path).write(1, {"a": array}, {})
    with pytest.raises(TypeError, match="found set"):
        CheckpointStore(tmp_path).write(1, {}, {"a": set()})
    assert list(tmp_path.iterdir()) == []


def test_the_last_three_are_kept_and_a_future_that_is_run_anew_goes(tmp_path: Path) -> None:
    checkpoints, _ = filled(tmp_path, rounds=9)
    assert checkpoints.rounds == [9, 8, 7]
    earlier = checkpoints.latest(before=9)
    assert earlier is not None
    assert earlier.round == 8
    assert checkpoints.latest(before=7) is None
    checkpoints.write(8, {}, {})
    assert checkpoints.rounds == [8, 7]
    assert CheckpointStore(tmp_path / "nowhere").latest() is None


def cut(data: bytearray) -> bytes:
    return bytes(data[: len(data) * 2 // 3])


def flipped(at: int) -> Callable[[bytearray], bytes]:
    def flip(data: bytearray) -> bytes:
        data[at] ^= 4
        return bytes(data)

    return flip


DAMAGES: dict[str, Callable[[bytearray], bytes]] = {
    "empty": lambda _: b"",
    "cut short": cut,
    "cut in the length": lambda data: bytes(data[:5]),
    "one byte more": lambda data: bytes(data) + b"x",
    "a weight": flipped(-3),
    "the length": flipped(0),
    "huge length": lambda data: b"\xff" * 8 + bytes(data[8:]),
    "the record": lambda data: bytes(data).replace(b'\\"n\\":3', b'\\"n\\":4'),
    "a shape": lambda data: bytes(data).replace(b"[100]", b"[010]"),
    "zeros": lambda data: bytes(len(data)),
    "text": lambda _: b"a letter to a friend",
    "a list": lambda _: (2).to_bytes(8, "little") + b"[]",
    "another program": lambda data: bytes(data).replace(b"nervenet.state", b"nervenet.stale"),
    "another round": lambda data: bytes(data).replace(b'"round":"3"', b'"round":"2"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_reported_and_the_one_before_is_used(tmp_path: Path, damage: str) -> None:
    checkpoints, warnings = filled(tmp_path)
    path = path_of(tmp_path, 3)
    before = path.read_bytes()
    path.write_bytes(DAMAGES[damage](bytearray(before)))
    assert path.read_bytes() != before
    found = checkpoints.latest()
    assert found is not None
    assert found.round == 2
    assert found.record == {"n": 2}
    assert len(warnings) == 1
    assert str(path) in warnings[0]


def test_every_single_bit_counts(tmp_path: Path) -> None:
    checkpoints, warnings = filled(tmp_path, size=4)
    path = path_of(tmp_path, 3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        if b'"format":"' in data and b'"format":"1"' not in data:  # a flip that makes the format another one
            continue
        found = checkpoints.latest()
        assert found is not None
        # Blanks that fill up the header say nothing.
        assert found.round == 2 or whole[at : at + 1] == b" ", at
    assert warnings


def test_a_file_of_another_round_under_this_name_is_damage(tmp_path: Path) -> None:
    checkpoints, warnings = filled(tmp_path)
    path_of(tmp_path, 2).replace(path_of(tmp_path, 3))
    found = checkpoints.latest()
    assert found is not None
    assert found.round == 1
    assert "holds round 2" in warnings[0]


def test_what_is_named_otherwise_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "round-99.txt").write_text("mine")
    (tmp_path / "round-x.safetensors").write_text("mine")
    checkpoints, warnings = filled(tmp_path, rounds=5)
    assert checkpoints.rounds == [5, 4, 3]
    assert (tmp_path / "round-99.txt").exists()
    assert not warnings


def test_a_newer_format_is_an_error_and_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints, _ = filled(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(state_file, "FORMAT", 3)
        checkpoints.write(4, {}, {})
    with pytest.raises(
        CheckpointError, match=r"round-000000004.safetensors: is of format 3; this version reads format 2"
    ):
        checkpoints.latest()


@pytest.mark.e2e
def test_a_full_disk_is_named_and_leaves_the_older_ones(tmp_path: Path) -> None:
    """On a real full disk where there may be one, else on a system that says so."""
    mounted = os.geteuid() == 0 and (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True).returncode
        == 0
    )
    if not mounted:
        pytest.skip("no small file system can be mounted here")
    try:
        checkpoints, warnings = filled(tmp_path)
        with pytest.raises(
            CheckpointError, match=r"state of round 4 could not be written to .*: No space left on device \(800,"
        ) as caught:
            checkpoints.write(4, {"weights": np.zeros(200_000, np.float32)}, {})
        assert isinstance(caught.value.__cause__, OSError)
        found = checkpoints.latest()
        assert found is not None
        assert (found.round, checkpoints.rounds, warnings) == (3, [3, 2, 1], [])
        assert len(list(tmp_path.iterdir())) == 3, "nothing unfinished is left"
        checkpoints.write(4, {"weights": np.zeros(100, np.float32)}, {})  # and the run goes on
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_system_that_refuses_leaves_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    checkpoints, _ = filled(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os if call == "fsync" else Path, call, refuse)
        with pytest.raises(CheckpointError, match="round 4 could not be written"):
            checkpoints.write(4, {"weights": np.zeros(9)}, {})
    found = checkpoints.latest()
    assert found is not None
    assert found.round == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        CheckpointStore(tmp_path / "file" / "c").write(1, {}, {})


@pytest.mark.e2e
def test_a_process_killed_while_it_writes_leaves_whole_ones(tmp_path: Path) -> None:
    code = f"""
import pathlib, numpy as np
from nervenet.nodes.checkpoint.store import CheckpointStore
c, n = CheckpointStore(pathlib.Path({str(tmp_path)!r})), 0
while True:
    n += 1
    c.write(n, {{"w": np.full(50_000, n, np.float32)}}, {{"n": n}})
    if n == 1: print("begun", flush=True)
"""
    rng = random.Random(0)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        warnings: list[str] = []
        found = CheckpointStore(tmp_path, warnings.append).latest()
        assert found is not None
        assert found.record == {"n": found.round}
        assert (found.arrays["w"] == found.round).all()
        assert not warnings


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / f"{state_file.UNFINISHED}1").write_bytes(b"half")
    filled(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}


def test_nothing_is_copied_on_the_way_to_the_disk(tmp_path: Path) -> None:
    import tracemalloc

    array = np.zeros(2_000_000, np.float32)
    checkpoints = CheckpointStore(tmp_path)
    tracemalloc.start()
    checkpoints.write(1, {"a": array}, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    found = checkpoints.latest()
    _, reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert peak < array.nbytes / 4
    assert reading < array.nbytes * 1.25


def test_metadata_are_readable_by_others(tmp_path: Path) -> None:
    from safetensors import safe_open

    filled(tmp_path)
    with safe_open(path_of(tmp_path, 3), "numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["record"]) == {"n": 3}
    assert (metadata["format"], metadata["round"]) == ("2", "3")
