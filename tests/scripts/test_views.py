"""Views: what a log gets, when a monitor ends, and what a node says of itself."""

import asyncio
import io
import json
import shlex
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import standalone
from nervenet.nodes.monitoring import monitor, outcome, run_view
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.results import run_dir
from nervenet.nodes.runtime import event_edge, event_fitting
from nervenet.nodes.runtime.event_fitting import parse_event
from nervenet.nodes.runtime.event_types import AnyEvent
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.scripts import views
from nervenet.scripts.live_view import LiveView
from nervenet.scripts.main import execute
from nervenet.scripts.view_choice import choose_view
from nervenet.scripts.views import JsonView, PlainView, View


def event(kind: str, run: str = "r", **more: Any) -> dict[str, Any]:
    launcher = {"node": "launcher", "role": "launcher", "incarnation": 1}
    return {"type": kind, "run": run, **launcher, "seq": 1, "time": 1.0, **more}


def test_the_view_follows_the_flags_and_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(choose_view(json=True), JsonView)
    assert type(choose_view(quiet=True)) is View
    assert isinstance(choose_view(), PlainView)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(choose_view(), LiveView)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_view(), PlainView)


async def printed(capsys: pytest.CaptureFixture[str]) -> str:
    async with asyncio.timeout(60):
        while not (text := capsys.readouterr().out):  # noqa: ASYNC110  (printing sets no event)
            await asyncio.sleep(0)
    return text


async def test_a_log_gets_news_at_once_and_progress_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PLAIN_LINE_EVERY_S", 0.001)
    view = PlainView()
    async with view.running():
        view.event(event("run.started", mode="gossip", rounds=3, data="iris", model="mlp"))
        view.event(event("node.lost", subject="peer-1", reason="killed"))
        assert capsys.readouterr().out == "peer-1 is lost: killed (docs/errors.md#node-lost)\n"
        line = await printed(capsys)
        assert line.startswith("gossip · iris · mlp  round 0/3")
    ended = "not known how it ends: 0 of 3 rounds so far\n  lost      peer-1: killed (docs/errors.md#node-lost)\n"
    assert capsys.readouterr().out == ended, "nothing new, nothing said but how it came out"


async def test_the_live_table_is_drawn_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    view = LiveView()
    async with view.running():
        view.event(event("run.started", mode="gossip", rounds=3, data="iris", model="mlp"))
        view.event(event("node.ready") | {"node": "peer-0", "role": "peer", "time": time.time()})
        view.note("[not markup]")
    assert "gossip · iris · mlp" in terminal.getvalue()
    assert "peer-0" in terminal.getvalue()
    assert "[not markup]" in terminal.getvalue()


class FakeMonitor:
    """Yields the events that a test wrote."""

    events: tuple[dict[str, Any], ...] = ()
    asked: tuple[Any, ...] = ()
    stays = False

    def __init__(self, broker: str, topics: tuple[str, ...], run: str | None, **_secured: object) -> None:
        type(self).asked = (broker, topics, run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        for one in self.events:
            yield parse_event(one)


def test_a_monitor_ends_with_the_last_run_it_saw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(monitor, "Monitor", FakeMonitor)
    FakeMonitor.events = (
        event("node.joined", run="", node="broker", role="broker"),
        event("run.started", run="a"),
        event("run.started", run="b"),
        event("run.completed", run="a"),
        event("run.failed", run="b", reason="why"),
        event("run.started", run="c"),  # comes at once: it may be the first of many
    )
    assert execute(["monitor", "--json", "--topics", "run., node.", "--record", "f.jsonl", "--run", "x"]) == 0
    seen = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert seen == ["node.joined", "run.started", "run.started", "run.completed", "run.failed", "run.started"]
    assert [json.loads(line)["type"] for line in (tmp_path / "f.jsonl").read_text().splitlines()] == seen
    assert FakeMonitor.asked == ("tcp://127.0.0.1:5555", ("run.", "node."), "x")
    assert execute(["monitor", "--json", "--stay"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6
    assert err.startswith("no run below runs/ goes on: waiting for one at tcp://127.0.0.1:5555 (--broker says where")


def test_a_monitor_that_is_told_where_to_look_does_not_look_for_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(monitor, "Monitor", FakeMonitor)
    FakeMonitor.events = (event("run.completed", run="a"),)
    assert execute(["monitor", "--json", "--broker", "tcp://127.0.0.1:5555"]) == 0
    assert capsys.readouterr().err == "watching tcp://127.0.0.1:5555\n"


class Attached(FakeMonitor):
    """Begins with the last events of a run that ended, and was started again; then nothing comes for a long time."""

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        yield parse_event(event("run.failed", run="a", reason="interrupted"))
        for one in self.events:
            yield parse_event(one)
        if self.stays:
            await asyncio.Event().wait()


def test_a_monitor_ends_though_nothing_more_comes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(monitor, "Monitor", Attached)
    monkeypatch.setattr(Attached, "events", ())
    monkeypatch.setattr(Attached, "stays", True)
    assert execute(["monitor", "--json"]) == 0


def shown_of_a_resumed_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the last progress of a monitor that attached while a coordinator which was started again waited."""
    again = event("node.joined", run="a") | {"incarnation": 2}
    started = event("run.started", run="a", mode="gossip", rounds=9) | {"incarnation": 2}
    monkeypatch.setattr(monitor, "Monitor", Attached)
    monkeypatch.setattr(Attached, "events", (again, started))
    assert execute(["monitor"]) == 0
    line, _outcome = capsys.readouterr().out.splitlines()[-2:]
    return line


def test_a_monitor_follows_a_run_that_was_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "round 0/9" in shown_of_a_resumed_run(monkeypatch, capsys)


def test_a_monitor_that_ends_with_the_first_word_of_an_end_would_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RunView, "_heard", lambda view, node, number: view.incarnations.setdefault(node, number))
    last = shown_of_a_resumed_run(monkeypatch, capsys)
    assert "interrupted" in last


@pytest.mark.parametrize(("role", "last"), [("client", "done in 2.0 s, 3.0 kB sent"), ("peer", "accuracy 0.900")])
def test_a_standalone_node_prints_its_figures(
    role: str, last: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[tuple[Any, ...]] = []

    async def run_node(role: str, experiment: Experiment, **where: Any) -> dict[str, Any]:
        asked.append((role, experiment.mode, experiment.network.advertise, where["name"], where["run"]))
        local = {"role": role, "node": "here", "round": 4, "loss": 0.1}
        where["on_event"](event("metric.local", run="demo") | local)
        return {"accuracy": 0.9, "completed_rounds": 5, "rounds": 5, "wall_s": 2.0, "bytes_sent": 3000}

    monkeypatch.setattr(standalone, "run_node", run_node)
    shared = tmp_path / "shared.toml"
    shared.write_text('[network]\nbind = "0.0.0.0"\n')
    dialed = "--advertise h2" if role == "peer" else ""  # who is not needs none, whatever the file of all nodes says
    line = f"node {role} {shared} --broker tcp://h:1 --run demo --name here {dialed} --rounds 5 --data iris"
    assert execute(line.split()) == 0
    mode = "gossip" if role == "peer" else "federated"
    assert asked == [(role, mode, "h2" if role == "peer" else None, "here", "demo")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{mode} · iris · mlp  round {4 if role == 'client' else 0}/5")
    assert lines[-1].startswith(last)


@pytest.mark.parametrize(("guessed", "hint"), [(True, " (--task would say otherwise)"), (False, "")])
def test_what_the_target_is_taken_for_is_said_once(
    capsys: pytest.CaptureFixture[str], guessed: bool, hint: str
) -> None:
    view = PlainView(guessed=guessed)
    for name in ("peer-0", "peer-1"):
        settled = {"role": "peer", "node": name, "round": 0, "task": "classification", "classes": 3}
        view.event(event("round.completed", run="demo") | settled)
    said = [line for line in capsys.readouterr().out.splitlines() if "target" in line]
    assert said == [f"the target is taken for labels of 3 classes{hint}"]


def test_a_node_by_itself_says_what_it_keeps_for_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    ready = {"role": "client", "node": "north", "examples": 24, "held_out_by_class": {"no": 5, "yes": 1}}
    PlainView(RunView("demo")).event(event("node.ready", run="demo") | ready)
    assert "24 rows to train on; kept for evaluation: 5 of no, 1 of yes" in capsys.readouterr().out
    PlainView().event(event("node.ready", run="demo") | ready)
    assert capsys.readouterr().out == "", "a launch has hundreds of them"
    without_rows = {"role": "coordinator", "node": "coordinator", "held_out_by_class": {}}
    PlainView(RunView("demo")).event(event("node.ready", run="demo") | without_rows)
    assert capsys.readouterr().out == "", "a coordinator without a test set has no rows"


def test_a_peer_by_itself_says_where_it_is_for_those_who_come_later(capsys: pytest.CaptureFixture[str]) -> None:
    joined = event("node.joined", run="demo", pid=7, address="tcp://127.0.0.1:4100")
    PlainView(RunView("demo")).event(joined | {"role": "peer", "node": "north"})
    way = "nervenet node peer --run demo --seed-peer tcp://127.0.0.1:4100, with the other options of this peer"
    assert capsys.readouterr().out == f"peer tcp://127.0.0.1:4100  (to join later: {way})\n"
    PlainView(RunView("demo")).event(joined | {"role": "client", "node": "north"})
    PlainView().event(joined | {"role": "peer", "node": "peer-0"})
    assert capsys.readouterr().out == "", "a client is nobody's way in, and a launch has hundreds"


@pytest.mark.parametrize(
    ("security", "command"),
    [
        ("keys", "--seed-peer north@tcp://10.0.0.1:4 --keys DIR"),
        ("insecure", "--seed-peer tcp://10.0.0.1:4 --insecure"),
    ],
)
def test_how_to_join_a_peer_beyond_this_machine(
    security: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    joined = event("node.joined", run="demo", pid=7, address="tcp://10.0.0.1:4") | {"role": "peer", "node": "north"}
    PlainView(RunView("demo"), security=security).event(joined)
    assert f"(to join later: nervenet node peer --run demo {command}, with" in capsys.readouterr().out


def test_quiet_still_tells_that_the_disk_is_full(capsys: pytest.CaptureFixture[str]) -> None:
    view = choose_view(quiet=True)
    view.event({"type": "warning", "role": "launcher", "node": "launcher", "reason": "events.jsonl is not whole"})
    view.event(event("round.completed", round=1))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "warning: events.jsonl is not whole\n")


UNITS = 'column "dose": its values at site north are about 1000 times those at south'


def said_quietly(capsys: pytest.CaptureFixture[str], role: str) -> str:
    """Return what is said of a run of which these nodes warn, with --quiet."""
    view = choose_view(quiet=True)
    for node in ("north", "south"):
        warning = event("warning") | {"role": role, "node": node}
        view.event(warning | {"reason": UNITS})
        view.event(warning | {"reason": "exchange of round 3 could not be sent: slow", "subject": "east"})
        view.event(warning | {"reason": "joined round 7 with the model at hand", "round": 7})
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize("role", ["peer", "client"])
def test_quiet_still_tells_once_what_sites_warn_of_and_not_how_a_round_went(
    capsys: pytest.CaptureFixture[str], role: str
) -> None:
    assert said_quietly(capsys, role) == f"warning: {UNITS}\n"


def test_else_nobody_would_hear_what_round_zero_has_found_among_peers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "_matters", lambda _, event: event.get("role") in ("launcher", "coordinator"))
    assert said_quietly(capsys, "peer") == ""


def test_quiet_ends_with_so_many_warnings_of_sites(capsys: pytest.CaptureFixture[str]) -> None:
    view = choose_view(quiet=True)
    for number in range(2 * views.MOST_BY_SITES):
        view.event(event("warning", reason=f"disk {number} is full") | {"role": "peer", "node": f"peer-{number}"})
    assert len(capsys.readouterr().err.splitlines()) == views.MOST_BY_SITES


def fits_in_a_view(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often an event is fitted to its type in a launch: where it is received, and in the view."""
    calls: list[str] = []
    fit = event_fitting.fit

    def counted(raw: Any) -> Any:
        calls.append(raw["type"])
        return fit(raw)

    for module in (event_fitting, event_edge):
        monkeypatch.setattr(module, "fit", counted)
    PlainView().event(event_edge.Edge().decode(event("warning", reason="why"))[0])
    return len(calls)


def test_an_event_is_fitted_to_its_type_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits_in_a_view(monkeypatch) == 1


def test_what_does_not_say_so_would_be_again_by_each_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_fitting, "fitted", lambda raw: dict(event_fitting.fit(raw)[0]))
    for reader in (views, run_view, outcome):
        monkeypatch.setattr(reader, "fitted", event_fitting.fitted)
    assert fits_in_a_view(monkeypatch) == 5


def said_by_a_node_without_matplotlib(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, *, refused: bool
) -> str:
    async def run_node(_role: str, _experiment: Experiment, **where: Any) -> dict[str, Any]:
        if refused:
            raise ExperimentError("no")
        where["on_event"](event("node.joined", pid=1, address=""))
        raise NodeFailed("over")

    monkeypatch.setattr(standalone, "run_node", run_node)
    monkeypatch.setattr(run_dir, "installed", lambda _package: False)
    monkeypatch.setattr(run_dir, "has_checkpoints", lambda _path: True)
    where = f"--broker tcp://h:1 --run demo --out {shlex.quote(str(tmp_path / 'run'))}"
    execute(shlex.split(f"node coordinator {where} {line}"))
    out, err = capsys.readouterr()
    return out + err


def test_what_cannot_be_drawn_is_said_when_a_node_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    context = (monkeypatch, capsys, tmp_path)
    assert "warning: no curves.png" in said_by_a_node_without_matplotlib(*context, "", refused=False)
    assert "curves.png" not in said_by_a_node_without_matplotlib(*context, "", refused=True)
    assert "curves.png" not in said_by_a_node_without_matplotlib(*context, "--quiet", refused=False)


def test_who_resumes_a_coordinator_is_told_of_its_clients(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "of two words"
    said = said_by_a_node_without_matplotlib(monkeypatch, capsys, folder, "", refused=False)
    resume = f"--resume '{folder / 'run'}'"  # as a shell takes it
    assert f"to resume: nervenet node coordinator --broker tcp://h:1 --run demo {resume}\n" in said
    assert "its clients ended with it: start them again, too" in said


def test_a_client_that_is_to_start_from_a_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        execute(["node", "client", "--broker", "tcp://h:1", "--run", "r", "--data", "iris", "--init", "runs/old"]) == 2
    )
    said = "--init runs/old: a client starts from its coordinator's model: give it to that"
    assert capsys.readouterr().err == f"nervenet: {said}\n"


def test_a_client_does_not_say_how_classes_weigh(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["node", "client", "--broker", "tcp://h:1", "--run", "r", "--data", "iris", "--class-weight", "balanced"]
    assert execute(command) == 2
    said = "--class-weight balanced: a client is told by its coordinator: give it to that"
    assert capsys.readouterr().err == f"nervenet: {said}\n"


@pytest.mark.parametrize("kind", [PlainView, LiveView])
async def test_how_a_run_ended_is_said_though_its_command_fails(
    capsys: pytest.CaptureFixture[str], kind: type[PlainView]
) -> None:
    view = kind()

    async def interrupted() -> None:
        async with view.running():
            view.event(event("run.failed", reason="interrupted by Ctrl-C", status="interrupted"))
            raise NodeFailed("over")

    with pytest.raises(NodeFailed, match="over"):
        await interrupted()
    out = capsys.readouterr().out
    assert "the run was interrupted by Ctrl-C" in out
    assert "interrupted: interrupted" not in out
