"""`launch` as other programs call it."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import Arrival
from nervenet.models.artifact import load_model
from nervenet.models.data.data import DataError
from nervenet.nodes import launch
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import jobs, launcher, run_ending
from nervenet.nodes.launching.launcher import RunFailed
from nervenet.nodes.launching.losses import RunAborted
from nervenet.nodes.launching.report_server import ReportServer
from nervenet.nodes.launching.run_course import RunCourse
from nervenet.nodes.launching.run_events import RunEvents
from nervenet.nodes.launching.supervisor import Supervisor
from nervenet.nodes.results.run_dir import RunDir, read_summary
from safetensors.numpy import load_file

pytestmark = pytest.mark.usefixtures("warm_launches")
QUICK = {"nodes": 2, "rounds": 3, "data": {"name": "iris"}, "evaluation": {"baseline": False}}


def plan(**more: Any) -> Experiment:
    return Experiment.from_dict({**QUICK, **more})


@pytest.mark.e2e
async def test_it_gives_the_summary_and_tells_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[dict[str, Any]] = []
    addresses: list[str] = []
    async with asyncio.timeout(180):
        more = {"on_event": events.append, "on_address": addresses.append}
        summary = await launch(plan(), out=tmp_path / "run", progress=True, **more)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "2 nodes, 3 rounds: starting"
    assert lines[-1] == f"completed: 3 of 3 rounds, accuracy {summary['accuracy']:.3f}"
    assert summary["status"] == "completed"
    assert summary["completed_rounds"] == 3
    assert summary["baseline"] is None
    assert len(addresses) == 1
    kinds = [e["type"] for e in events]
    assert kinds[0] == "run.started"
    assert kinds.index("run.started") < kinds.index("round.started") < kinds.index("run.completed")
    assert {"run.completed"} == {e["type"] for e in events if e["type"] in ("run.completed", "run.failed")}


@pytest.mark.e2e
async def test_encoded_updates_and_personal_models_leave_their_figures_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[dict[str, Any]] = []
    federated = {"compression": "delta+int8", "personal": ["weight.1", "bias.1"], "fine_tune": 1}
    async with asyncio.timeout(180):
        summary = await launch(plan(federated=federated), out=tmp_path / "run", on_event=events.append)
    assert capsys.readouterr().err == "", "where nobody watches it says nothing"
    rounds = [event for event in events if event["type"] == "round.completed" and event["round"] == 2]
    assert 3.5 < rounds[0]["bytes_raw"] / rounds[0]["bytes_encoded"] <= 4
    assert 0 < rounds[0]["codec_error"] < 0.1
    personal = summary["personal"]
    assert (personal["clients"], personal["worst"] in ("client-0", "client-1")) == (2, True)
    common = load_file(tmp_path / "run" / "model.safetensors")
    for name in ("client-0", "client-1"):
        own = load_file(tmp_path / "run" / "personal" / f"{name}.safetensors")
        assert own.keys() == common.keys()
        assert (own["weight.1"] != common["weight.1"]).any()
        assert load_model(tmp_path / "run" / "personal" / f"{name}.json").built


@pytest.mark.e2e
@pytest.mark.parametrize("data", ["iris", "diabetes"])
async def test_personal_arrays_that_the_model_does_not_have_are_refused_before_anything_starts(
    tmp_path: Path, data: str
) -> None:
    names = r"the model's arrays are weight\.0, weight\.1, bias\.0, bias\.1"
    with pytest.raises(ExperimentError, match=f"federated.personal names 'weight.7'; {names}"):
        await launch(plan(federated={"personal": ["weight.7"]}, data={"name": data}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.e2e
async def test_a_failed_run_has_a_reason_and_leaves_its_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="finite") as caught:
        async with asyncio.timeout(180):
            await launch(plan(training={"learning_rate": 1e30}, data={"name": "diabetes"}), out=tmp_path / "run")
    assert caught.value.summary["status"] == "failed"
    assert (tmp_path / "run" / "summary.json").exists()
    assert "finite" in (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.e2e
async def test_cancelled_it_stops_everybody_in_order(tmp_path: Path) -> None:
    running = asyncio.Event()
    heard: list[dict[str, Any]] = []

    def listen(event: dict[str, Any]) -> None:
        heard.append(event)
        if event["type"] == "round.completed" and event["round"] >= 3:
            running.set()

    run = asyncio.create_task(launch(plan(rounds=1_000_000), out=tmp_path / "run", on_event=listen))
    async with asyncio.timeout(180):
        await running.wait()
        run.cancel("interrupted by Ctrl-C")
        with pytest.raises(asyncio.CancelledError):
            await run
    summary = read_summary(tmp_path / "run")
    assert (summary["status"], summary["reason"]) == ("interrupted", "interrupted by Ctrl-C")
    ends = [event for event in heard if event["type"] == "run.failed"]
    assert [(end["status"], end["reason"]) for end in ends] == [("interrupted", "interrupted by Ctrl-C")]


async def left_by_a_launcher_that_hears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_s: float
) -> tuple[set[str], bool]:
    """Cancel a run of whose end no report arrives: what a monitor has heard, and whether there is a model."""
    receive = ReportServer._receive

    def deaf(server: ReportServer, transport: Any, item: Any) -> None:
        if not isinstance(item, Arrival) or item.message.kind == "ready":
            receive(server, transport, item)

    monkeypatch.setattr(ReportServer, "_receive", deaf)
    monkeypatch.setattr(run_ending, "STOP_S", stop_s)
    heard: set[str] = set()
    broker: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def monitor() -> None:
        async with EventStream(await broker) as events:
            async for event in events:
                heard.add(event["type"])

    watching = asyncio.create_task(monitor())
    run = asyncio.create_task(launch(plan(rounds=1_000_000), out=tmp_path / "run", on_address=broker.set_result))
    async with asyncio.timeout(180):
        while "round.completed" not in heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    watching.cancel()
    await asyncio.wait({watching})
    return heard, (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.e2e
async def test_monitors_hear_of_an_orderly_stop_and_the_coordinator_leaves_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, saved = await left_by_a_launcher_that_hears_nothing(tmp_path, monkeypatch, 5.0)
    assert "run.failed" in heard
    assert saved


@pytest.mark.e2e
async def test_a_broker_stopped_first_and_a_model_that_only_the_launcher_writes_would_leave_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node_job = jobs.node_job
    monkeypatch.setattr(jobs, "node_job", lambda *of: {**node_job(*of), "run_dir": ""})

    async def stop_all(running: Supervisor, within_s: float, *_: Any) -> None:
        running._stopping = True
        await running._processes.stop(within_s)

    monkeypatch.setattr(Supervisor, "stop_nodes", stop_all)
    heard, saved = await left_by_a_launcher_that_hears_nothing(tmp_path, monkeypatch, 1.0)
    assert "run.failed" not in heard
    assert not saved


async def left_if_stopped_at_its_end(tmp_path: Path) -> set[str]:
    """Cancel a run as it says what each node has come to: which of the last things there are."""
    run: asyncio.Task[Any]

    def listen(event: dict[str, Any]) -> None:
        if event["type"] == "node.result":
            run.cancel("interrupted by SIGTERM")

    run = asyncio.create_task(launch(plan(), out=tmp_path / "run", on_event=listen))
    async with asyncio.timeout(180):
        with pytest.raises(asyncio.CancelledError):
            await run
    folder = tmp_path / "run"
    assert read_summary(folder)["status"] == "completed"
    found = {name for name in ("round_metrics.jsonl",) if (folder / name).exists()}
    return found | ({"run.completed"} if '"run.completed"' in (folder / "events.jsonl").read_text() else set())


@pytest.mark.e2e
async def test_a_signal_while_it_ends_leaves_a_whole_folder(tmp_path: Path) -> None:
    assert await left_if_stopped_at_its_end(tmp_path) == {"round_metrics.jsonl", "run.completed"}


@pytest.mark.e2e
async def test_an_end_that_is_cancelled_would_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher.asyncio, "shield", lambda ending: ending)
    assert "round_metrics.jsonl" not in await left_if_stopped_at_its_end(tmp_path)


async def stopped_in_its_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Any:
    """Return the summary of a run of which only the baselines were missing, and what ended the launch."""

    async def stopped(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Supervisor, "wait_for_baselines", stopped)
    ended: BaseException | None = None
    async with asyncio.timeout(180):
        try:
            await launch(plan(), out=tmp_path / "run")
        except (asyncio.CancelledError, RunFailed) as caught:
            ended = caught
    return read_summary(tmp_path / "run"), ended


@pytest.mark.e2e
@pytest.mark.parametrize("error", [asyncio.CancelledError(), RunAborted("no process could be forked")])
async def test_a_run_is_complete_without_its_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    summary, ended = await stopped_in_its_baselines(tmp_path, monkeypatch, error)
    assert (summary["status"], summary["completed_rounds"]) == ("completed", 3)
    assert isinstance(ended, asyncio.CancelledError) == isinstance(error, asyncio.CancelledError)
    assert "the baselines are left out" in (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.e2e
async def test_by_its_baselines_it_would_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunCourse, "ended_at", property(lambda _: None, lambda *_: None), raising=False)
    summary, ended = await stopped_in_its_baselines(tmp_path, monkeypatch, RunAborted("no process could be forked"))
    assert summary["status"] == "failed"
    assert isinstance(ended, RunFailed)


@pytest.mark.e2e
async def test_what_cannot_be_is_refused_before_anything_is_there(tmp_path: Path) -> None:
    for experiment, error in ((plan(nodes=160), DataError), (plan(model={"name": "sklearn.no.Such"}), ExperimentError)):
        with pytest.raises(error):
            await launch(experiment, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ExperimentError, match="not empty"):
        await launch(plan(), out=tmp_path / "full")


async def test_a_fork_server_is_closed_after_an_experiment_that_cannot_be() -> None:
    class Idle:
        closed = False

        def close(self) -> None:
            self.closed = True

    idle = Idle()
    with pytest.raises(ExperimentError, match=r"federated\.strategy"):
        await launch(Experiment.from_dict({"federated": {"strategy": "fedagv"}}), fork_server=idle)  # type: ignore[arg-type]
    assert idle.closed


@pytest.mark.e2e
@pytest.mark.parametrize("said", [True, False])
async def test_what_could_not_be_written_at_the_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, said: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunDir, "_write_rows", full)
    if not said:  # the fault
        monkeypatch.setattr(RunEvents, "say_refused", lambda _: None)
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(180):
        summary = await launch(plan(), out=tmp_path / "run", on_event=events.append)
    assert summary["status"] == "completed"
    reasons = [str(event["reason"]) for event in events if event["type"] == "warning"]
    assert any("round_metrics.jsonl is not whole: No space left" in reason for reason in reasons) == said
