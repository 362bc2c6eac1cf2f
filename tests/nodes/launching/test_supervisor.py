"""The supervisor without any process: what is started, what is given up and why, and when the wait ends."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import patience, restarts, run_jobs, supervisor
from nervenet.nodes.launching.broker_process import STOP_BROKER
from nervenet.nodes.launching.data_shares import DataShares
from nervenet.nodes.launching.forkserver_client import ForkServerError
from nervenet.nodes.launching.losses import RunAborted
from nervenet.nodes.launching.nodes_there import nodes_json
from nervenet.nodes.launching.patience import Patience
from nervenet.nodes.launching.placement.placing import Deliver, Place, Placing, Say
from nervenet.nodes.launching.processes import ProcessTable
from nervenet.nodes.launching.regions.plan import regions_of
from nervenet.nodes.launching.run_jobs import RunJobs
from nervenet.nodes.launching.supervisor import Supervisor
from nervenet.nodes.runtime.awake_time import AwakeTime
from nervenet.nodes.runtime.node_stats import NodeStats
from nervenet.nodes.runtime.round_history import rows_of

ADDRESSES = {"directory": "tcp://127.0.0.1:5", "events_in": "tcp://127.0.0.1:6", "events_out": "tcp://127.0.0.1:7"}
SHARES, TEST = [-10, -11, -12], -13  # descriptors that no file of this process has


class FakeForkServer:
    """A fork server without processes; its children exit when they are signaled, or when a test says so."""

    def __init__(self) -> None:
        self.exited: Callable[[int, int], None] = lambda _pid, _status: None
        self.died: Callable[[str], None] = lambda _reason: None
        self.jobs: dict[int, dict[str, Any]] = {}
        self.descriptors: dict[int, list[int]] = {}
        self.signals: list[tuple[int, int]] = []
        self.stubborn: set[int] = set()
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
        if number == signal.SIGKILL or pid not in self.stubborn:
            self.exited(pid, -number)

    def pid_of(self, name: str) -> int:
        return next(p for p, job in self.jobs.items() if name in [n["name"] for n in job.get("nodes", ())])


class Scenario:
    """A supervisor over that fork server, with what it publishes."""

    def __init__(self, *, engine: Any = None, **keys: Any) -> None:
        self.experiment = Experiment.from_dict({"nodes": 3, "network": {"join_deadline_s": 60}, **keys})
        self.fork_server = FakeForkServer()
        self.lost: list[tuple[str, str]] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        report_server = {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:2"}
        self.supervisor = Supervisor(
            self.experiment,
            RunJobs("r", report_server, regions=regions_of(self.experiment, "r")),
            self.fork_server,  # type: ignore[arg-type]
            9,
            lambda node, reason: self.lost.append((node, reason)),
            lambda kind, **fields: self.published.append((kind, fields)),
            on_restart=lambda: None,
            engine=engine,
        )
        self.fork_server.on_spawn = self.report_ready

    def report_ready(self, pid: int, job: dict[str, Any]) -> None:
        names = ["broker"] if job["kind"] == "broker" else [n["name"] for n in job.get("nodes", ())]
        for name in names:
            self.supervisor.reported(name, "ready", {"pid": pid, "addresses": dict(ADDRESSES)}, None)

    async def started(self) -> "Scenario":
        assert await self.supervisor.start_broker() == ADDRESSES["directory"]
        shares = DataShares(("a",), "classification", 9, nodes=SHARES, test=TEST, whole=-14)
        await self.supervisor.start_nodes(shares)
        return self

    def result(self, *names: str, **fields: Any) -> None:
        for name in names:
            self.supervisor.reported(name, "result", {"role": self.supervisor.roles[name], **fields}, None)

    async def results(self) -> None:
        async with asyncio.timeout(60):
            await self.supervisor.wait_for_results(asyncio.get_running_loop().create_future())


def test_node_names_sort_by_number() -> None:
    async def names(count: int, mode: str) -> list[str]:
        return list(Scenario(nodes=count, mode=mode).supervisor.roles)

    assert asyncio.run(names(3, "federated")) == ["coordinator", "client-0", "client-1", "client-2"]
    many = asyncio.run(names(12, "gossip"))
    assert many[0] == "peer-00"
    assert many == sorted(many)


async def test_each_node_gets_its_own_share_and_only_evaluators_the_test_set() -> None:
    scenario = await Scenario().started()
    jobs = scenario.fork_server.jobs
    given = {
        n["name"]: scenario.fork_server.descriptors[p]
        for p, job in scenario.fork_server.jobs.items()
        for n in job.get("nodes", ())
    }
    assert given["coordinator"][:2] == [9, TEST]
    for k in range(3):
        log, test, own = given[f"client-{k}"]
        assert (log, own) == (9, SHARES[k])
        assert test >= 0, "a file of its own, that is empty"
    assert {job["task"] for job in jobs.values() if job["kind"] == "nodes"} == {"classification"}
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(given["coordinator"][2])  # the empty part was closed again


async def test_peers_are_spread_over_the_processes_asked_for() -> None:
    scenario = await Scenario(mode="gossip", processes=2).started()
    groups = [[n["name"] for n in job["nodes"]] for job in scenario.fork_server.jobs.values() if job["kind"] == "nodes"]
    assert groups == [["peer-0"], ["peer-1", "peer-2"]], "neighbors by name share one"
    for pid, job in scenario.fork_server.jobs.items():
        if job["kind"] == "nodes":
            assert scenario.fork_server.descriptors[pid] == [
                9,
                TEST,
                *(SHARES[int(n["name"][-1])] for n in job["nodes"]),
            ]


async def test_nodes_json_lists_every_process() -> None:
    scenario = await Scenario().started()
    found = nodes_json(scenario.supervisor.roles, scenario.supervisor.reports.ready)
    assert set(found) == {"broker", "coordinator", "client-0", "client-1", "client-2"}
    assert found["broker"] == {"role": "broker", "pid": 100, "address": ADDRESSES["directory"]}


async def test_a_run_ends_when_all_survivors_have_reported() -> None:
    scenario = await Scenario().started()
    waiting = asyncio.create_task(scenario.results())
    scenario.result("coordinator", "client-0", "client-1")
    await asyncio.sleep(0)
    assert not waiting.done()
    scenario.fork_server.exited(scenario.fork_server.pid_of("client-2"), -signal.SIGKILL)
    await waiting
    assert scenario.lost == [("client-2", "killed by SIGKILL")]
    assert scenario.supervisor.survivors() == {"coordinator", "client-0", "client-1"}


async def test_a_process_that_exits_after_its_report_is_not_lost() -> None:
    scenario = await Scenario().started()
    scenario.result("client-0")
    scenario.fork_server.exited(scenario.fork_server.pid_of("client-0"), 0)
    assert scenario.lost == []


async def test_a_node_that_reports_a_failure_is_lost_with_its_reason() -> None:
    scenario = await Scenario().started()
    scenario.result("client-0", failed="it did not like its data")
    assert scenario.lost == [("client-0", "it did not like its data")]


async def test_an_exit_reported_before_the_fork_counts() -> None:
    scenario = Scenario(network={"min_nodes": 2})
    await scenario.supervisor.start_broker()

    def die_at_once(pid: int, job: dict[str, Any]) -> None:
        if [n["name"] for n in job.get("nodes", ())] == ["client-1"]:
            scenario.fork_server.exited(pid, 1)
        else:
            scenario.report_ready(pid, job)

    scenario.fork_server.on_spawn = die_at_once
    await scenario.supervisor.start_nodes(DataShares(("a",), "classification", 9, nodes=[10, 11, 12], test=13))
    assert scenario.lost == [("client-1", "ended with exit code 1")]


@pytest.mark.parametrize("victims", [["coordinator"], ["client-0", "client-1", "client-2"]])
async def test_without_a_coordinator_or_any_training_node_the_run_is_aborted(victims: list[str]) -> None:
    scenario = await Scenario().started()
    for name in victims:
        scenario.fork_server.exited(scenario.fork_server.pid_of(name), -signal.SIGSEGV)
    with pytest.raises(RunAborted, match=rf"{victims[0]}.*SIGSEGV"):
        await scenario.results()


async def broker_deaths(monkeypatch: pytest.MonkeyPatch, pauses: tuple[float, ...]) -> list[tuple[str, str]]:
    """What becomes of a run whose broker is killed nine times: the jobs that were started for it."""
    monkeypatch.setattr(restarts, "PAUSES_S", pauses)
    scenario = await Scenario().started()
    for _ in range(9):
        pid = max(p for p, job in scenario.fork_server.jobs.items() if job["kind"] == "broker")
        scenario.fork_server.exited(pid, -signal.SIGKILL)
        for _ in range(5):
            await asyncio.sleep(0)
    scenario.result("coordinator", "client-0", "client-1", "client-2")
    await scenario.results()
    assert all("SIGKILL; nodes that have met go on without it" in f["reason"] for _, f in scenario.published)
    return [(job["kind"], job["bind"]) for job in scenario.fork_server.jobs.values() if job["kind"] == "broker"][1:]


async def test_a_broker_is_restarted_however_often_it_dies_and_the_results_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await broker_deaths(monkeypatch, (0.0, 0.0)) == 9 * [("broker", ADDRESSES["directory"])]


async def test_restarts_that_are_counted_would_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    restart, deaths = Supervisor._restart_broker, []

    def counted(supervisor: Supervisor, how: str) -> None:
        deaths.append(how)
        supervisor._abort(f"the broker was {how}") if len(deaths) > 5 else restart(supervisor, how)

    monkeypatch.setattr(Supervisor, "_restart_broker", counted)
    with pytest.raises(RunAborted, match=r"broker.*SIGKILL"):
        await broker_deaths(monkeypatch, (0.0, 0.0))


def test_pauses_grow_and_begin_anew_after_a_steady_time() -> None:
    pacing = restarts.RestartPacing()
    assert [pacing.pause_s(now) for now in range(9)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert pacing.pause_s(200.0) == 0.0


async def test_who_dies_before_the_run_begins_is_not_waited_for() -> None:
    scenario = Scenario()
    await scenario.supervisor.start_broker()

    def report(pid: int, job: dict[str, Any]) -> None:
        if "client-1" in str(job):
            asyncio.get_running_loop().call_soon(scenario.fork_server.exited, pid, -signal.SIGKILL)
        else:
            scenario.report_ready(pid, job)

    scenario.fork_server.on_spawn = report
    with pytest.raises(RunAborted, match=r"client-1: killed by SIGKILL before the run began; 2 nodes are left.* = 3"):
        await scenario.supervisor.start_nodes(DataShares(("a",), "classification", 9, [10, 11, 12], test=13))


class Figures:
    """What a peer reports of its rounds; `read` once it is taken for numbers."""

    read = False

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.read = True
        return np.zeros(0)


COLUMNS = {"columns": ["round", "closed_by"], "closings": []}


def test_the_rounds_of_the_nodes_are_kept_as_they_come() -> None:
    figures = Figures()
    scenario = Scenario(mode="gossip")
    scenario.supervisor.reported("peer-0", "rounds", COLUMNS, figures)
    assert not figures.read  # on the event loop, which has a million of them to answer
    assert scenario.supervisor.reports.rounds == {"peer-0": [(COLUMNS, figures)]}


def test_made_into_rows_they_would_hold_it_up() -> None:
    figures = Figures()
    dict(rows_of(COLUMNS, figures))
    assert figures.read


async def lost_while_the_broker_stands_still(monkeypatch: pytest.MonkeyPatch, *, relays: bool = False) -> list[str]:
    """Who is lost when two peers, cut off from the third, have reported, and it goes on for half a minute unseen."""
    clock = [0.0]
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    scenario = await Scenario(mode="gossip").started()
    scenario.supervisor.patience.awake.seconds += 0.5  # since when the broker has stood still
    scenario.result("peer-0", silent=["peer-2"])
    scenario.result("peer-1", silent=["peer-2"])
    waiting = asyncio.create_task(scenario.results())
    for _ in range(60):
        clock[0] += 0.5
        if relays and scenario.published:
            scenario.supervisor.patience.relayed()
        scenario.supervisor._processes.notify()
        for _ in range(5):
            await asyncio.sleep(0)
    scenario.result("peer-2")
    await waiting
    said = [fields["reason"] for kind, fields in scenario.published if kind == "warning"]
    still = "they may still be working, and are waited for until the broker relays an event, 120 s at the most"
    assert len(said) <= 1
    assert said in ([], [f"no result of peer-2, and no event of any node: {still}"])
    return [node for node, _ in scenario.lost]


async def test_what_cannot_be_seen_is_not_taken_for_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await lost_while_the_broker_stands_still(monkeypatch) == []


async def test_when_the_broker_relays_again_silence_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await lost_while_the_broker_stands_still(monkeypatch, relays=True) == ["peer-2"]


async def test_else_one_that_works_is_lost_for_the_brokers_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "sees", True)
    assert await lost_while_the_broker_stands_still(monkeypatch) == ["peer-2"]


async def test_a_launcher_that_slept_has_waited_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped for two minutes while one node has yet to report, it gives nobody up when it wakes."""
    assert await lost_in_its_sleep(monkeypatch) == []


async def test_a_clock_that_runs_while_it_sleeps_would_give_all_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwakeTime, "waited", lambda self, now, _at_most_s: self.begin(now))
    assert [node for node, _ in await lost_in_its_sleep(monkeypatch)] == ["client-2"]


async def lost_in_its_sleep(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    clock = [0.0]
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    scenario = await Scenario().started()
    scenario.result("coordinator", "client-0", "client-1")
    waiting = asyncio.create_task(scenario.results())
    await asyncio.sleep(0)
    clock[0] = 120.0
    scenario.supervisor._processes.notify()
    for _ in range(5):
        await asyncio.sleep(0)
    scenario.result("client-2")
    await waiting
    return scenario.lost


async def test_nodes_that_are_never_ready_are_named() -> None:
    scenario = Scenario(network={"join_deadline_s": 0.05})
    await scenario.supervisor.start_broker()
    scenario.fork_server.on_spawn = lambda pid, job: (
        scenario.report_ready(pid, job) if "client-1" not in str(job) else None
    )
    with pytest.raises(RunAborted, match=r"not every node was ready within 0\.05 s; missing: client-1"):
        await scenario.supervisor.start_nodes(DataShares(("a",), "classification", 9, nodes=[10, 11, 12], test=13))


async def ready_one_after_the_other() -> None:
    """Each node is ready 40 s after the one before, of which 60 are allowed."""
    scenario = Scenario()
    await scenario.supervisor.start_broker()
    scenario.fork_server.on_spawn = lambda pid, job: None
    shares = DataShares(("a",), "classification", 9, nodes=[10, 11, 12], test=13)
    starting = asyncio.create_task(scenario.supervisor.start_nodes(shares))
    for name in ("coordinator", "client-0", "client-1", "client-2"):
        scenario.supervisor.patience.awake.seconds += 40.0
        scenario.supervisor._processes.notify()
        for _ in range(5):
            await asyncio.sleep(0)
        scenario.supervisor.reported(name, "ready", {"pid": 9, "addresses": {}}, None)
    await starting


async def test_nodes_that_are_ready_one_after_the_other_are_waited_for() -> None:
    await ready_one_after_the_other()


async def test_a_deadline_for_all_of_them_would_end_the_run_of_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    until = Patience.until

    async def for_all(*arguments: Any, **options: Any) -> bool:
        return await until(*arguments, **{**options, "of_progress": False})

    monkeypatch.setattr(Patience, "until", for_all)
    with pytest.raises(RunAborted, match="not every node was ready within 60 s"):
        await ready_one_after_the_other()


async def test_a_failed_fork_aborts_the_run() -> None:
    scenario = Scenario()
    scenario.fork_server.refusing = "no process could be forked"
    with pytest.raises(RunAborted, match="no process could be forked"):
        await scenario.supervisor.start_broker()


async def test_the_death_of_the_fork_server_aborts_the_run() -> None:
    scenario = await Scenario().started()
    scenario.fork_server.died("the process from which nodes are forked has died")
    with pytest.raises(RunAborted, match="forked has died"):
        await scenario.results()


async def test_nodes_are_terminated_before_the_broker_and_the_stubborn_are_killed() -> None:
    scenario = await Scenario().started()
    stubborn = scenario.fork_server.pid_of("client-1")
    scenario.fork_server.stubborn.add(stubborn)
    await scenario.supervisor.stop(0.05)
    pids = [pid for pid, number in scenario.fork_server.signals if number == signal.SIGTERM]
    assert pids == [101, 102, 103, 104]
    assert (100, STOP_BROKER) in scenario.fork_server.signals
    assert (stubborn, signal.SIGKILL) in scenario.fork_server.signals
    assert [s for s in scenario.fork_server.signals if s[1] == signal.SIGKILL] == [(stubborn, signal.SIGKILL)]
    assert scenario.lost == []  # these exits were asked for
    before = list(scenario.fork_server.signals)
    await scenario.supervisor.stop(0.05)
    assert scenario.fork_server.signals == before


@pytest.mark.parametrize("stubborn", [True, False])
async def test_sockets_are_closed_before_nodes_are_killed_and_only_then(
    stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = await Scenario().started()
    if stubborn:
        scenario.fork_server.stubborn.add(scenario.fork_server.pid_of("client-1"))
    signals_before: list[set[int]] = []

    async def close() -> None:
        signals_before.append({number for _, number in scenario.fork_server.signals})

    monkeypatch.setattr(supervisor, "STOP_A_NODE_S", 0.05)
    await scenario.supervisor.stop_nodes(0.05, close)
    said = [fields["reason"] for kind, fields in scenario.published if kind == "warning"]
    missing = "4 nodes have yet to report what they have learned: client-0, client-1, client-2, coordinator"
    assert said == ([f"{missing}; a second signal does not wait for them"] if stubborn else [])
    assert signals_before == ([{signal.SIGTERM}] if stubborn else [])
    assert scenario.supervisor.broker_runs


async def test_a_cancelled_wait_is_cancelled() -> None:
    scenario = await Scenario().started()
    waiting = asyncio.create_task(scenario.results())
    await asyncio.sleep(0)
    scenario.supervisor._processes.notify()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_baselines_that_die_or_fail_cause_a_warning_only() -> None:
    scenario = await Scenario().started()
    shares = DataShares(("a",), "classification", 9, nodes=[10, 11, 12], test=13, whole=14)
    await scenario.supervisor.start_baselines(shares, 7)
    pid, job = max(scenario.fork_server.jobs.items())
    assert (job["kind"], scenario.fork_server.descriptors[pid]) == ("baseline", [9, 14])
    assert (job["rounds"], job["events_in"]) == (7, ADDRESSES["events_in"])
    scenario.fork_server.exited(pid, -signal.SIGKILL)
    await scenario.supervisor.wait_for_baselines(5.0)
    assert scenario.published[-1] == ("warning", {"reason": "the baselines were killed by SIGKILL"})
    assert scenario.lost == []
    await scenario.supervisor.start_baselines(DataShares(("a",), "classification", 10**9, whole=14), 7)
    assert "over the budget" in scenario.published[-1][1]["reason"]


async def terminated(monkeypatch: pytest.MonkeyPatch, *, launcher_too: bool) -> Scenario:
    """Let a signal reach the nodes, which report and exit, and a moment later the launcher, or not."""
    clock = [0.0]
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    scenario = await Scenario(mode="gossip").started()
    shares = DataShares(("a",), "classification", 9, nodes=[10, 11, 12], test=13, whole=14)
    await scenario.supervisor.start_baselines(shares, 7)
    waiting = asyncio.create_task(scenario.results())
    await asyncio.sleep(0)
    for name in ("peer-0", "peer-1"):
        scenario.supervisor.reported(name, "result", {"role": "peer", "failed": "interrupted"}, np.zeros(3))
    scenario.fork_server.exited(scenario.fork_server.pid_of("peer-2"), -signal.SIGTERM)
    scenario.fork_server.exited(max(scenario.fork_server.jobs), 0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    if launcher_too:
        scenario.supervisor.stopping()
        waiting.cancel()
    scenario.supervisor.patience.awake = Later()  # type: ignore[assignment]
    scenario.supervisor._processes.notify()
    await asyncio.wait({waiting})
    if not launcher_too:
        with pytest.raises(RunAborted, match="every node was lost"):
            waiting.result()
    return scenario


class Later(AwakeTime):
    """Two seconds on."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.seconds = 2.0


async def test_who_leaves_with_the_launcher_is_not_lost_and_its_model_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = await terminated(monkeypatch, launcher_too=True)
    assert scenario.lost == []
    assert scenario.published == [], "nor were the baselines given up"
    assert set(scenario.supervisor.reports.arrays) == {"peer-0", "peer-1"}


async def test_who_is_told_to_stop_alone_is_lost_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = await terminated(monkeypatch, launcher_too=False)
    assert scenario.lost == [("peer-0", "interrupted"), ("peer-1", "interrupted"), ("peer-2", "killed by SIGTERM")]
    assert scenario.published == [("warning", {"reason": "the baselines were ended with exit code 0"})]


async def test_taken_for_a_failure_at_once_all_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Supervisor, "_ended", lambda self, node, why, *, told_to: self._stopping or self._lose(node, why)
    )
    scenario = await Scenario(mode="gossip").started()
    for name in ("peer-0", "peer-1", "peer-2"):
        scenario.result(name, failed="interrupted")
    scenario.supervisor.stopping()
    assert len(scenario.lost) == 3


async def killed_of_the_slow(monkeypatch: pytest.MonkeyPatch, at_most_s: float) -> list[int]:
    """Return who is killed where one process after the other takes two seconds to report and to end, of three."""
    scenario = await Scenario(mode="gossip").started()
    server = scenario.fork_server
    pids = [server.pid_of(name) for name in ("peer-0", "peer-1", "peer-2")]
    server.stubborn.update(pids)
    ending, clock = enumerate(pids), [0.0]

    async def change(_table: ProcessTable, _within_s: float) -> None:
        clock[0] += 2.0
        for number, pid in ending:
            scenario.result(f"peer-{number}", failed="interrupted")
            server.exited(pid, 0)
            break

    scenario.supervisor.stopping()
    with monkeypatch.context() as patch:
        patch.setattr(ProcessTable, "change", change)
        patch.setattr(asyncio.get_running_loop(), "time", lambda: clock[0])
        await scenario.supervisor._processes.stop(3.0, ("broker",), at_most_s=at_most_s)
    return [pid for pid, number in server.signals if number == signal.SIGKILL]


async def test_nodes_that_stop_are_waited_for_while_one_after_the_other_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await killed_of_the_slow(monkeypatch, 60.0) == []


async def test_three_seconds_for_all_of_them_would_kill_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await killed_of_the_slow(monkeypatch, 0.0) == [103]


async def test_rounds_may_come_in_parts() -> None:
    scenario, stats = await Scenario().started(), NodeStats("coordinator")
    for number in range(1, 2001):
        stats.event("round.completed", {"round": number, "duration_s": 0.1, "closed_by": "all"})
    parts = list(stats.history.to_reports(32_768))
    assert len(parts) > 1
    assert max(numbers.nbytes for _, numbers in parts) <= 32_768
    for how, numbers in parts:
        scenario.supervisor.reported("coordinator", "rounds", how, numbers)
    known = [number for part in scenario.supervisor.reports.rounds["coordinator"] for number, _ in rows_of(*part)]
    assert known == list(range(1, 2001))
    ((_, whole),) = stats.history.to_reports(10**9)
    assert whole.nbytes > 65_536, "in one message it would be refused"


async def test_baselines_are_reported() -> None:
    scenario = await Scenario().started()
    await scenario.supervisor.start_baselines(DataShares(("a",), "classification", 9, whole=14), 7)
    found = {"centralised": 0.9, "local_only_mean": None, "seconds": 1.5}
    scenario.supervisor.reported("baseline", "result", found, None)
    await scenario.supervisor.wait_for_baselines(5.0)
    assert scenario.supervisor.baselines.scores == {"centralised": 0.9, "local_only_mean": None}
    assert scenario.supervisor.baselines.seconds == 1.5


async def with_a_late_broker(monkeypatch: pytest.MonkeyPatch) -> str:
    """Start a broker that is forked after 40 s, while modules are imported, and is ready 20 s later; return where."""
    clock, scenario = [0.0], Scenario(network={"join_deadline_s": 30})
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    scenario.supervisor.patience.awake = AwakeTime(0.0)

    def forked(pid: int, job: dict[str, Any]) -> None:
        clock[0] = 40.0

    async def change(_table: ProcessTable, within_s: float) -> None:
        clock[0] += within_s
        if clock[0] == 60.0:
            scenario.report_ready(100, scenario.fork_server.jobs[100])

    scenario.fork_server.on_spawn = forked
    monkeypatch.setattr(ProcessTable, "change", change)
    return await scenario.supervisor.start_broker()


async def test_what_a_fork_takes_is_no_part_of_the_time_to_be_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await with_a_late_broker(monkeypatch) == ADDRESSES["directory"]


async def test_by_a_clock_that_stood_meanwhile_that_time_would_be_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwakeTime, "deadline", lambda self, _, within_s: self.seconds + within_s)
    with pytest.raises(RunAborted, match="the broker did not start within 30 s"):
        await with_a_late_broker(monkeypatch)


async def said_of_slow_baselines(monkeypatch: pytest.MonkeyPatch, *, models: int) -> list[str]:
    """Return what is said where a model takes two thirds of the wait, and so many are done before all are reported."""
    clock, done = [0.0], iter(range(models))
    monkeypatch.setattr(patience, "monotonic", lambda: clock[0])
    scenario = await Scenario().started()
    await scenario.supervisor.start_baselines(DataShares(("a",), "classification", 9, whole=14), 7)

    async def change(_table: ProcessTable, within_s: float) -> None:
        clock[0] += within_s
        if clock[0] % 40.0 == 0.0:
            if next(done, None) is None:
                scenario.supervisor.reported("baseline", "result", {"centralised": 0.9}, None)
            else:
                scenario.supervisor.patience.progressed()

    monkeypatch.setattr(ProcessTable, "change", change)
    await scenario.supervisor.wait_for_baselines(60.0)
    return [fields["reason"] for _, fields in scenario.published]


async def test_baselines_are_waited_for_while_one_model_after_the_other_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await said_of_slow_baselines(monkeypatch, models=9) == []


async def test_all_of_them_within_a_minute_would_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    until = Patience.until
    monkeypatch.setattr(Patience, "until", lambda *given, **_: until(*given))
    reason = "the baselines are left out: no model of theirs was done in 60 s"
    assert await said_of_slow_baselines(monkeypatch, models=9) == [reason]


class FakeEngine(FakeForkServer):
    """An engine whose places come when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.there = asyncio.Event(), asyncio.Event()
        self.finished: Callable[[tuple[str, ...]], bool] = lambda _: False
        self.supervised: Callable[[int, dict[str, Any]], None] = lambda _pid, _job: None
        self.on_spawn = lambda _pid, _job: None

    async def placed(self) -> None:
        self.asked.set()
        await self.there.wait()
        for pid, job in self.jobs.items():
            self.supervised(pid, job)


def engaged(mode: str, **further: Any) -> tuple[Scenario, FakeEngine]:
    engine = FakeEngine()
    scenario = Scenario(mode=mode, engine=engine, **further)
    engine.supervised = scenario.report_ready
    return scenario, engine


async def started_before_its_clients_have_places(**further: Any) -> tuple[list[str], Scenario]:
    """Return what the launcher's machine has when the clients of a run wait for places."""
    scenario, engine = engaged("federated", **further)
    starting = asyncio.create_task(scenario.started())
    await engine.asked.wait()
    assert len(engine.jobs) == 3
    kinds = [job["kind"] for job in scenario.fork_server.jobs.values()]
    engine.there.set()
    await starting
    return kinds, scenario


async def test_a_coordinator_is_started_when_its_clients_have_places() -> None:
    """It waits `network.join_deadline_s` for them, and an engine may need longer to place them."""
    kinds, scenario = await started_before_its_clients_have_places()
    assert kinds == ["broker"]
    names = [spec["name"] for job in scenario.fork_server.jobs.values() for spec in job.get("nodes", ())]
    assert names == ["coordinator"], "the only node on the launcher's machine"


async def test_aggregators_are_beside_it() -> None:
    kinds, scenario = await started_before_its_clients_have_places(hierarchy={"regions": 2})
    assert kinds == ["broker"]
    names = [spec["name"] for job in scenario.fork_server.jobs.values() for spec in job.get("nodes", ())]
    assert names == ["coordinator", "region-0", "region-1"]


async def started_with_regions() -> tuple[Scenario, FakeEngine]:
    """Return a run of two regions whose nodes are all there: client-0 in the first, the others in the second."""
    scenario, engine = engaged("federated", hierarchy={"regions": 2})
    engine.there.set()
    return await scenario.started(), engine


async def test_a_lost_aggregator_takes_its_clients_at_workers_with_it() -> None:
    scenario, engine = await started_with_regions()
    here = scenario.fork_server
    here.exited(here.pid_of("region-1"), -signal.SIGKILL)
    assert scenario.lost == [
        ("region-1", "killed by SIGKILL"),
        ("client-1", "its aggregator, region-1, was lost"),
        ("client-2", "its aggregator, region-1, was lost"),
    ]
    assert engine.finished(("client-1", "client-2")), "they need no other place"
    assert not engine.finished(("client-0", "client-1"))


async def test_an_aggregator_that_was_stopped_has_no_other_place() -> None:
    scenario, _ = await started_with_regions()
    scenario.result("region-1", failed="interrupted")
    assert "region-1" in scenario.supervisor.reports.results


async def test_taken_for_a_node_at_a_worker_it_would_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, _ = await started_with_regions()
    monkeypatch.setattr(supervisor, "HERE", ("coordinator",))
    scenario.result("region-1", failed="interrupted")
    assert "region-1" not in scenario.supervisor.reports.results


async def test_a_client_at_a_lost_worker_starts_again_in_its_region() -> None:
    """What its next place is delivered is the job that it had."""
    scenario, engine = await started_with_regions()
    specs = {spec["name"]: spec for job in engine.jobs.values() for spec in job["nodes"]}
    assert {name: spec["region"]["run"] for name, spec in specs.items()} == {
        "client-0": "r/region-0",
        "client-1": "r/region-1",
        "client-2": "r/region-1",
    }
    placing = Placing(60.0, "1", finished=engine.finished)
    for number, name in enumerate(specs):
        placing.wanted(number, (name,), 0.0)
    for number in range(3):
        placing.announced(number, Place(f"at {number}", f"worker-{number % 2}"), "1")
    scenario.result("client-2", failed="interrupted")  # by the end of its worker
    assert placing.worker_gone("worker-0", 1.0) == [
        Say("worker worker-0 is gone: client-0, client-2 to start again where there is a place")
    ]
    again = placing.announced(2, Place("anew", "worker-1"), "1")
    assert again[-1] == Deliver(2, Place("anew", "worker-1"))
    assert scenario.lost == []


async def test_started_first_it_would_wait_for_clients_without_places(monkeypatch: pytest.MonkeyPatch) -> None:
    hosted, here = run_jobs.hosted_nodes, supervisor.HERE
    monkeypatch.setattr(run_jobs, "hosted_nodes", lambda *args: hosted(*args[:4]))
    monkeypatch.setattr(supervisor.Supervisor, "_placed", placed_once_all_are_asked_for(here))
    kinds, _ = await started_before_its_clients_have_places()
    assert kinds == ["broker", "nodes"]


def placed_once_all_are_asked_for(here: tuple[str, ...]) -> Callable[..., Any]:
    """The wait for places as it would be if a coordinator came before it."""
    assert "coordinator" in here

    async def placed(supervised: Supervisor, engine: FakeEngine) -> None:
        if len(engine.jobs) == 3:
            await engine.placed()

    return placed


async def test_a_node_that_was_stopped_with_its_worker_is_not_lost_yet() -> None:
    scenario, engine = engaged("gossip")
    engine.there.set()
    await scenario.started()
    scenario.result("peer-1", failed="interrupted")
    assert "peer-1" not in scenario.supervisor.reports.results
    assert ("warning", {"reason": "peer-1 was interrupted at its worker; it is not lost yet"}) in scenario.published
    assert not scenario.supervisor.engine.finished(("peer-1",))  # type: ignore[union-attr]
    scenario.result("peer-1", "peer-2", "peer-0")
    await scenario.results()
    assert scenario.lost == []
    assert scenario.supervisor.engine.finished(("peer-1",))  # type: ignore[union-attr]


async def test_what_an_engine_gives_up_is_lost_in_its_words() -> None:
    scenario, engine = engaged("gossip")
    engine.there.set()
    await scenario.started()
    engine.exited(engine.pid_of("peer-1"), "lost with worker tcp://10.0.0.1:1")
    assert scenario.lost == [("peer-1", "lost with worker tcp://10.0.0.1:1")]
    engine.exited(engine.pid_of("peer-2"), -signal.SIGKILL)
    assert scenario.lost[1:] == [("peer-2", "killed by SIGKILL")]
    engine.died("the scheduler has gone")
    with pytest.raises(RunAborted, match="the scheduler has gone"):
        await scenario.results()


async def test_taken_for_its_own_end_it_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "interrupted_alone", lambda *_: False)
    scenario, engine = engaged("gossip")
    engine.there.set()
    await scenario.started()
    scenario.result("peer-1", failed="interrupted")
    assert "peer-1" in scenario.supervisor.reports.results
    assert scenario.supervisor.engine.finished(("peer-1",))  # type: ignore[union-attr]


async def regional() -> Scenario:
    return await Scenario(hierarchy={"regions": 2}).started()  # client-0; client-1 and client-2


@pytest.mark.parametrize("each", [1, 3])
async def test_the_baselines_train_as_often_as_a_client(each: int) -> None:
    scenario = Scenario(hierarchy={"regions": 2, "region_rounds": each})
    await scenario.started()
    await scenario.supervisor.start_baselines(DataShares(("a",), "classification", 9, whole=14), 5)
    [job] = [job for job in scenario.fork_server.jobs.values() if job["kind"] == "baseline"]
    assert job["rounds"] == 5 * each


async def test_nodes_json_says_which_region_a_client_is_in() -> None:
    supervisor_ = (await regional()).supervisor
    found = nodes_json(supervisor_.roles, supervisor_.reports.ready, supervisor_.jobs.regions.clients)
    assert {name: facts.get("region") for name, facts in found.items() if facts["role"] == "client"} == {
        "client-0": "region-0",
        "client-1": "region-1",
        "client-2": "region-1",
    }
    assert found["region-0"]["role"] == "aggregator"
    assert "region" not in found["region-0"]
