"""What a run needs of the machine is counted before anything starts, and what the machine refuses is told by name."""

import asyncio
import errno
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from nervenet.broker.errors import NoSocket
from nervenet.broker.transport import ZmqTransport
from nervenet.nodes import launch
from nervenet.nodes.config.factory import default_node_names
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import machine_limits, rlimits
from nervenet.nodes.launching.jobs import group_nodes
from nervenet.nodes.launching.machine_limits import PROCESS, check_machine, files_of_process

PLENTY = 2**40
QUICK: dict[str, Any] = {"data": {"name": "iris"}, "evaluation": {"baseline": False}}


def check(
    nodes: int, processes: int, *, files: int = PLENTY, own: int | None = None, shared: bool = False, **more: Any
) -> None:
    experiment = Experiment.from_dict({"nodes": nodes, "processes": processes, **more})
    groups = group_nodes(experiment, default_node_names(nodes, "peer"))
    check_machine(experiment, groups, own_files=own or files, files=files, processes=PLENTY, shared=shared)


def test_a_hundred_nodes_in_two_processes_fit_into_the_usual_limit() -> None:
    check(100, 2, files=1024)


def test_what_does_not_fit_is_refused_with_both_figures_and_the_way_out() -> None:
    with pytest.raises(ExperimentError, match=r"50 nodes needs about 948 .* 400 are .*ulimit -n.*--processes 6\)"):
        check(100, 2, files=400, own=PLENTY)
    check(100, 6, files=400, own=PLENTY)
    with pytest.raises(ExperimentError, match=r"the launcher needs about .* fewer --nodes"):
        check(500, 100, own=1024)
    with pytest.raises(ExperimentError, match=r"the broker needs about .* fewer --nodes"):
        check(500, 100, files=1024, own=PLENTY)


def test_behind_one_inbox_five_hundred_fit_where_a_hundred_did() -> None:
    check(500, 4, files=1100, own=PLENTY, shared=True, mode="gossip")
    with pytest.raises(ExperimentError, match=r"125 nodes needs about .* 1,100 are .*--processes"):
        check(500, 4, files=1100, own=PLENTY, mode="gossip")


def test_every_link_between_peers_counts() -> None:
    ring, complete = ({"mode": "gossip", "gossip": {"topology": name}} for name in ("ring", "complete"))
    check(100, 10, files=1100, **ring)
    with pytest.raises(ExperimentError, match="a process of 10 nodes"):
        check(100, 10, files=1100, **complete)


def test_links_by_which_peers_meet_count() -> None:
    """Beyond those of the ring: the first two have eight below them, one of whom is a neighbor."""
    ring = {"mode": "gossip", "gossip": {"topology": "ring", "algorithm": "ad-psgd"}}
    few, many = (Experiment.from_dict({**ring, "nodes": nodes}) for nodes in (16, 80))
    for name, more in (("peer-00", 7), ("peer-01", 7), ("peer-05", 1)):
        assert files_of_process(many, [name]) - files_of_process(few, [name]) == more * machine_limits.LINK


@pytest.mark.parametrize("network", [{"keys": "k"}, {"bind": "0.0.0.0", "advertise": "127.0.0.1"}])
def test_what_keys_add_is_counted(network: dict[str, Any]) -> None:
    # Measured with six nodes in two processes: 24 more for three clients, 79 for three peers that all know each other.
    for mode, more in (("federated", 24), ("gossip", 79)):
        plain, keyed = (Experiment.from_dict({"mode": mode, "nodes": 6, "network": each}) for each in ({}, network))
        names = default_node_names(6, "peer")[:3]
        assert files_of_process(keyed, names) - files_of_process(plain, names) >= more
    open_to_all = Experiment.from_dict({"nodes": 6, "network": {"bind": "0.0.0.0", "insecure": True}})
    assert files_of_process(open_to_all, ["a"]) == files_of_process(Experiment.from_dict({"nodes": 6}), ["a"])


def test_too_many_processes_are_refused() -> None:
    experiment = Experiment.from_dict({"nodes": 20})
    with pytest.raises(ExperimentError, match=r"need about 164 processes and threads, and 100 are allowed.*ulimit -u"):
        check_machine(experiment, [["a"]] * 20, own_files=PLENTY, files=PLENTY, processes=100)


@pytest.mark.parametrize(("controllers", "place"), [("", "sys/fs/cgroup"), ("pids", "sys/fs/cgroup/pids")])
def test_a_containers_limit_of_processes_is_read(tmp_path: Path, controllers: str, place: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"0:{controllers}:/box\n")
    (tmp_path / place / "box").mkdir(parents=True)
    (tmp_path / place / "box/pids.max").write_text("77\n")
    (tmp_path / place / "pids.max").write_text("max\n")
    assert rlimits.allowed_processes(tmp_path) == 77


def launched(limits: str, arguments: str, cwd: Path, program: str = "-m nervenet.scripts.main") -> tuple[int, str]:
    command = f"ulimit {limits}; exec {sys.executable} {program} {arguments}"
    done = subprocess.run(["sh", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


FEW = "launch --nodes 24 --processes 2 --rounds 2 --data iris --set evaluation.baseline=false --quiet --out run"


@pytest.mark.e2e
def test_a_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    code, text = launched("-Sn 100", FEW, tmp_path)
    assert code == 0, text


@pytest.mark.e2e
def test_a_hard_limit_is_told_before_anything_is_there(tmp_path: Path) -> None:
    code, text = launched("-n 100", FEW, tmp_path)
    assert code == 2
    assert "100 are allowed; raise the limit (ulimit -n)" in text.splitlines()[-1]
    assert not (tmp_path / "run").exists()


UNCHECKED = """
import asyncio, sys
from pathlib import Path
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import launcher, preparation
preparation.check_this_machine = lambda *_, **__: None
experiment = Experiment.from_dict({"mode": sys.argv[1], "nodes": 40, "processes": 1, "evaluation": {"baseline": False}})
try:
    asyncio.run(launcher.launch(experiment, out=Path("run")))
except launcher.RunFailed as failed:
    print(failed.reason)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_running_out_of_files_unforeseen_is_no_silence(tmp_path: Path, mode: str) -> None:
    (tmp_path / "unchecked.py").write_text(UNCHECKED)
    _, text = launched("-n 110", mode, tmp_path, "unchecked.py")
    # As a rule the process ends for want of files; ZeroMQ may abort it first, or a request find no way out. Whatever
    # comes first is told with a name, and nobody is waited for until the join deadline.
    assert "missing:" not in text
    assert re.search(r"(client|peer)-\d+: .{10}", text), text


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
@pytest.mark.parametrize("more", [{}, {"mode": "gossip"}, {"mode": "gossip", "gossip": {"topology": "complete"}}])
async def test_the_count_covers_what_a_run_opens(
    warm_launches: None, held: Callable[[], None], tmp_path: Path, more: dict[str, Any]
) -> None:
    """The run does not end before it has been looked at in the midst of its rounds."""
    few = {"nodes": 10, "processes": 2, "rounds": 14, "model": {"name": "held:Held"}}
    experiment = Experiment.from_dict({**few, **QUICK, **more})
    role = "client" if experiment.mode == "federated" else "peer"
    pids: dict[str, int] = {}
    most: dict[int, int] = {}

    def look(event: dict[str, Any]) -> None:
        if event["type"] == "node.joined" and event["role"] == role:
            pids[event["node"]] = event["pid"]
        for pid in set(pids.values()):
            with suppress(OSError):  # it has ended
                most[pid] = max(most.get(pid, 0), len(list(Path(f"/proc/{pid}/fd").iterdir())))
        if event["type"] == "round.completed" and event["round"] >= 10:
            held()

    async with asyncio.timeout(120):
        await launch(experiment, out=tmp_path / "run", on_event=look)
    groups = {pid: [name for name, of in pids.items() if of == pid] for pid in most}
    assert len(groups) == 2
    for pid, names in groups.items():
        counted = files_of_process(experiment, names, shared=True)
        assert most[pid] <= counted, (most, counted)
        assert counted - PROCESS < 2 * most[pid]  # nor is it far from it: nothing is refused that works


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "x"), zmq.ZMQError(errno.EMFILE), MemoryError()])
def test_a_refusal_of_the_machine_is_known_behind_other_errors(error: BaseException) -> None:
    outer = RuntimeError("could not join")
    outer.__cause__ = error
    assert rlimits.ran_out(outer)
    assert not rlimits.ran_out(RuntimeError("could not join"))


async def test_a_socket_that_cannot_be_had_is_an_error_of_its_own_and_nothing_is_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What had been opened before it is closed again: else the context would never end."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 2  # the second lane's, and not its monitor's
    transport = ZmqTransport("a", "client", "run", bind=None, context=context)
    await transport.open(lambda _: None, lambda _: None)
    with pytest.raises(NoSocket, match="ulimit -n"):
        transport.link("b", {"control": "tcp://127.0.0.1:9", "bulk": "tcp://127.0.0.1:9"})
    await transport.close(0.0)
    context.term()


def test_with_a_context_for_each_node_a_hundred_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context of its own is six more open files a node: as many as were counted before they shared one."""
    monkeypatch.setattr(machine_limits, "NODE", machine_limits.NODE + 6)
    with pytest.raises(ExperimentError, match="open files"):
        check(100, 2, files=1024)
