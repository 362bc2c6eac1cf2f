"""The processes of a run, without any process: who is started, who is given up and why, and when the wait ends."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.data_shares import DataShares
from nervenet.nodes.launching.forkserver_client import ForkServerError
from nervenet.nodes.launching.supervisor import RESTARTS, RunAborted, Supervisor

ADDRESSES = {"directory": "tcp://127.0.0.1:5", "events_in": "tcp://127.0.0.1:6", "events_out": "tcp://127.0.0.1:7"}


class Stage:
    """A nursery whose children live on paper; ends them when they are told to, or when a test says so."""

    def __init__(self) -> None:
        self.exited: Callable[[int, int], None] = lambda _pid, _status: None
        self.died: Callable[[str], None] = lambda _reason: None
        self.jobs: dict[int, dict[str, Any]] = {}
        self.descriptors: dict[int, list[int]] = {}
        self.signals: list[tuple[int, int]] = []
        self.deaf: set[int] = set()
        self.refusing = ""
        self.on_spawn: Callable[[int, dict[str, Any]], None] = lambda _pid, _job: None

    def attach(self) -> None:
        """Nothing to listen to."""

    async def spawn(self, job: dict[str, Any], descriptors: Sequence[int], *, within_s: float) -> int:
        if self.refusing:
            raise ForkServerError(self.refusing)
        pid = 100 + len(self.jobs)
        self.jobs[pid] = job
        self.descriptors[pid] = list(descriptors)
        self.on_spawn(pid, job)
        return pid

    def signal(self, pid: int, number: int) -> None:
        self.signals.append((pid, number))
        if number == signal.SIGKILL or pid not in self.deaf:
            self.exited(pid, -number)

    def pid_of(self, name: str) -> int:
        return next(p for p, job in self.jobs.items() if name in [n["name"] for n in job.get("nodes", ())])


class Play:
    """A crew on that stage, with what it says."""

    def __init__(self, **keys: Any) -> None:
        self.experiment = Experiment.from_dict({"nodes": 3, "network": {"join_deadline_s": 5}, **keys})
        self.stage = Stage()
        self.lost: list[tuple[str, str]] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        desk = {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:2"}
        self.crew = Supervisor(
            self.experiment, "r", self.stage, desk, 9,  # type: ignore[arg-type]
            lambda node, reason: self.lost.append((node, reason)),
            lambda kind, **fields: self.said.append((kind, fields)),
            on_restart=lambda: None,
        )  # fmt: skip
        self.stage.on_spawn = self.report_ready

    def report_ready(self, pid: int, job: dict[str, Any]) -> None:
        names = ["broker"] if job["kind"] == "broker" else [n["name"] for n in job.get("nodes", ())]
        for name in names:
            self.crew.reported(name, "ready", {"pid": pid, "addresses": dict(ADDRESSES)}, None)

    async def started(self) -> "Play":
        assert await self.crew.start_broker() == ADDRESSES["directory"]
        await self.crew.start_nodes(DataShares(("a",), "classification", 9, [10, 11, 12], test=13, whole=14))
        return self

    def result(self, *names: str, **facts: Any) -> None:
        for name in names:
            self.crew.reported(name, "result", {"role": self.crew.names[name], **facts}, None)

    async def results(self) -> None:
        async with asyncio.timeout(20):
            await self.crew.results(asyncio.get_running_loop().create_future())


def test_names_sort_as_they_count() -> None:
    async def names(count: int, mode: str) -> list[str]:
        return list(Play(nodes=count, mode=mode).crew.names)

    assert asyncio.run(names(3, "federated")) == ["coordinator", "client-0", "client-1", "client-2"]
    many = asyncio.run(names(12, "gossip"))
    assert many[0] == "peer-00"
    assert many == sorted(many)


async def test_everybody_gets_its_own_part_and_judges_alone_the_test_set() -> None:
    play = await Play().started()
    given = {n["name"]: play.stage.descriptors[p] for p, job in play.stage.jobs.items() for n in job.get("nodes", ())}
    assert given["coordinator"][:2] == [9, 13]
    for k in range(3):
        log, test, own = given[f"client-{k}"]
        assert (log, own) == (9, 10 + k)
        assert test not in (10, 11, 12, 13, 14)
    jobs = [job for job in play.stage.jobs.values() if job["kind"] == "nodes"]
    assert {job["task"] for job in jobs} == {"classification"}
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(given["coordinator"][2])  # the empty part was closed again


async def test_peers_share_processes_as_asked() -> None:
    play = await Play(mode="gossip", processes=2).started()
    groups = [[n["name"] for n in job["nodes"]] for job in play.stage.jobs.values() if job["kind"] == "nodes"]
    assert groups == [["peer-0", "peer-2"], ["peer-1"]]
    for pid, job in play.stage.jobs.items():
        if job["kind"] == "nodes":
            assert play.stage.descriptors[pid] == [9, 13, *(10 + int(n["name"][-1]) for n in job["nodes"])]


async def test_who_is_who() -> None:
    play = await Play().started()
    found = play.crew.nodes_json()
    assert set(found) == {"broker", "coordinator", "client-0", "client-1", "client-2"}
    assert found["broker"] == {"role": "broker", "pid": 100, "address": ADDRESSES["directory"]}


async def test_a_run_is_over_when_all_who_live_have_reported() -> None:
    play = await Play().started()
    waiting = asyncio.create_task(play.results())
    play.result("coordinator", "client-0", "client-1")
    await asyncio.sleep(0)
    assert not waiting.done()
    play.stage.exited(play.stage.pid_of("client-2"), -signal.SIGKILL)
    await waiting
    assert play.lost == [("client-2", "killed by SIGKILL")]
    assert play.crew.survivors() == {"coordinator", "client-0", "client-1"}


async def test_a_process_that_ends_after_its_report_is_no_loss() -> None:
    play = await Play().started()
    play.result("client-0")
    play.stage.exited(play.stage.pid_of("client-0"), 0)
    assert play.lost == []


async def test_a_node_that_reports_a_failure_is_lost_with_its_reason() -> None:
    play = await Play().started()
    play.result("client-0", failed="it did not like its data")
    assert play.lost == [("client-0", "it did not like its data")]


async def test_an_end_that_is_told_before_the_beginning_counts() -> None:
    play = Play()
    await play.crew.start_broker()

    def die_at_once(pid: int, job: dict[str, Any]) -> None:
        if [n["name"] for n in job.get("nodes", ())] == ["client-1"]:
            play.stage.exited(pid, 1)
        else:
            play.report_ready(pid, job)

    play.stage.on_spawn = die_at_once
    await play.crew.start_nodes(DataShares(("a",), "classification", 9, [10, 11, 12], test=13))
    assert play.lost == [("client-1", "ended with exit code 1")]


@pytest.mark.parametrize("victims", [["coordinator"], ["client-0", "client-1", "client-2"]])
async def test_without_a_coordinator_or_anybody_to_train_there_is_no_result(victims: list[str]) -> None:
    play = await Play().started()
    for name in victims:
        play.stage.exited(play.stage.pid_of(name), -signal.SIGSEGV)
    with pytest.raises(RunAborted, match=rf"{victims[0]}.*SIGSEGV"):
        await play.results()


async def test_a_dead_broker_is_started_again_on_its_address_and_not_for_ever() -> None:
    play = await Play().started()
    pid = 100
    for count in range(RESTARTS):
        play.stage.exited(pid, -signal.SIGKILL)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pid, job = max(play.stage.jobs.items())
        assert (job["kind"], job["bind"]) == ("broker", ADDRESSES["directory"])
        assert len([1 for kind, _ in play.said if kind == "warning"]) == count + 1
    play.stage.exited(pid, -signal.SIGKILL)
    with pytest.raises(RunAborted, match=r"broker.*SIGKILL"):
        await play.results()


async def test_nodes_that_are_never_ready_are_named() -> None:
    play = Play(network={"join_deadline_s": 0.05})
    await play.crew.start_broker()
    play.stage.on_spawn = lambda pid, job: play.report_ready(pid, job) if "client-1" not in str(job) else None
    with pytest.raises(RunAborted, match=r"not every node was ready within 0\.05 s; missing: client-1"):
        await play.crew.start_nodes(DataShares(("a",), "classification", 9, [10, 11, 12], test=13))


async def test_no_process_at_all() -> None:
    play = Play()
    play.stage.refusing = "no process could be forked"
    with pytest.raises(RunAborted, match="no process could be forked"):
        await play.crew.start_broker()


async def test_the_zygotes_death_ends_the_run() -> None:
    play = await Play().started()
    play.stage.died("the process from which nodes are forked has died")
    with pytest.raises(RunAborted, match="forked has died"):
        await play.results()


async def test_nodes_are_asked_to_end_before_the_broker_and_the_deaf_are_killed() -> None:
    play = await Play().started()
    deaf = play.stage.pid_of("client-1")
    play.stage.deaf.add(deaf)
    await play.crew.stop(0.05)
    pids = [pid for pid, number in play.stage.signals if number == signal.SIGTERM]
    assert pids[-1] == 100
    assert (deaf, signal.SIGKILL) in play.stage.signals
    assert [s for s in play.stage.signals if s[1] == signal.SIGKILL] == [(deaf, signal.SIGKILL)]
    assert play.lost == []  # whoever ends now was told to
    before = list(play.stage.signals)
    await play.crew.stop(0.05)
    assert play.stage.signals == before


async def test_a_cancelled_wait_is_cancelled() -> None:
    play = await Play().started()
    waiting = asyncio.create_task(play.results())
    await asyncio.sleep(0)
    play.crew._changed.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_baselines_that_die_or_fail_leave_a_word_and_the_run_alone() -> None:
    play = await Play().started()
    shares = DataShares(("a",), "classification", 9, [10, 11, 12], test=13, whole=14)
    await play.crew.start_baseline(shares)
    pid, job = max(play.stage.jobs.items())
    assert (job["kind"], play.stage.descriptors[pid]) == ("baseline", [9, 14])
    play.stage.exited(pid, -signal.SIGKILL)
    await play.crew.baseline(5.0)
    assert play.said[-1] == ("warning", {"reason": "the baselines were killed by SIGKILL"})
    assert play.lost == []
    await play.crew.start_baseline(DataShares(("a",), "classification", 10**9, whole=14))
    assert "over the budget" in play.said[-1][1]["reason"]


async def test_baselines_arrive_by_request_and_reply() -> None:
    play = await Play().started()
    await play.crew.start_baseline(DataShares(("a",), "classification", 9, whole=14))
    play.crew.reported("baseline", "result", {"centralised": 0.9, "local_only_mean": None}, None)
    await play.crew.baseline(5.0)
    assert play.crew.baselines == {"centralised": 0.9, "local_only_mean": None}
