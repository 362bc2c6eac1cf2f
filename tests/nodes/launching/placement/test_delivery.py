"""What a worker is sent: it arrives whole, holds the keys of its own nodes alone, and nothing shows them."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.policy import own_keys
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.launch_keys import launch_keys
from nervenet.nodes.launching.placement.delivery import EXPERIMENT, Delivery, contents, keys_of, mark_of, write_keys
from nervenet.nodes.launching.placement.place import at_worker

JOBS = st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers(0, 2**40) | st.text(), st.lists))


@given(JOBS, st.lists(st.binary()), st.dictionaries(st.text(), st.binary()), st.lists(st.text()), st.text())
def test_a_delivery_arrives_as_it_was_sent(
    job: dict[str, object], files: list[bytes], keys: dict[str, bytes], preload: list[str], run_dir: str
) -> None:
    sent = Delivery(job, files, keys, preload, run_dir, [1, 2])
    assert Delivery.unpack(sent.pack()) == sent


def test_the_contents_of_an_open_file_are_read_from_its_start() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        assert contents(file.fileno()) == b"0123456789"
    empty = os.open(os.devnull, os.O_RDONLY)
    assert contents(empty) == b""
    os.close(empty)


def test_a_process_gets_the_secrets_of_its_own_nodes_and_of_nobody_else(tmp_path: Path) -> None:
    experiment = Experiment.from_dict({"nodes": 2, "network": {"bind": "192.0.2.7"}})
    roles = {"coordinator": "coordinator", "client-0": "client", "client-1": "client"}
    with launch_keys(experiment, roles, tmp_path) as secured:
        keys = keys_of(Path(secured.network.keys or ""), ["client-1"])
        assert [name for name in keys if name.endswith(".key")] == ["client-1.key"]
        assert "allowed/coordinator.pub" in keys
        folder = tmp_path / "worker"
        write_keys(folder, keys)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "client-1.key").stat().st_mode & 0o777 == 0o600
        own = own_keys(folder, "client-1")
        assert own.name in Gate(folder, own=own).allowed.by_name
        secret = keys["client-1.key"].decode()
        shown = repr(Delivery({}, (), keys))
        assert secret not in shown
        assert "client-1.key" not in shown
    assert keys_of(None, ["client-1"]) == {}


@pytest.mark.parametrize(
    ("address", "bind"),
    [("tcp://127.0.0.1:5", "10.0.0.1"), ("tls://192.0.2.9:5", "192.0.2.9"), ("inproc://a/1/2", "10.0.0.1")],
)
def test_nodes_listen_where_their_worker_does(address: str, bind: str) -> None:
    experiment = Experiment.from_dict({"network": {"bind": "10.0.0.1", "advertise": "here", "keys": "/launcher"}})
    spec = {"name": "peer-0", "role": "peer", "checkpoint_dir": "/c", "run_dir": "/r"}
    job = {"kind": "nodes", "experiment": experiment.to_dict(), "nodes": [spec]}
    alone = at_worker(job, address, None, shared=False)
    assert alone["experiment"]["network"]["bind"] == bind
    assert "advertise" not in alone["experiment"]["network"]
    assert "keys" not in alone["experiment"]["network"]
    assert alone["nodes"] == [{**spec, "checkpoint_dir": None, "run_dir": ""}]
    keyed = at_worker(job, address, Path("/k"), shared=True)
    assert keyed["experiment"]["network"]["keys"] == "/k"
    assert keyed["nodes"] == [spec]
    assert job["experiment"]["network"]["keys"] == "/launcher", "the launcher's own is left alone"


def test_a_run_folder_is_known_again_by_its_file_and_not_by_its_path(tmp_path: Path) -> None:
    assert mark_of(tmp_path) == []
    (tmp_path / EXPERIMENT).write_text("nodes = 3\n")
    mark = mark_of(tmp_path)
    assert mark == mark_of(tmp_path)
    (tmp_path / EXPERIMENT).unlink()
    (tmp_path / "other").touch()
    (tmp_path / EXPERIMENT).write_text("nodes = 3\n")
    assert mark_of(tmp_path) != mark
