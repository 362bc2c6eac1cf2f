"""The command line: exit codes, one-line mistakes, and what each output mode prints. Nothing is spawned here."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
import nervenet
import pytest
from click.testing import CliRunner
from nervenet.broker.errors import AddressInUse
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import launcher, rlimits, standalone
from nervenet.scripts import main, options
from nervenet.scripts.main import build, execute
from nervenet.scripts.options import FLAGS

SUMMARY = {
    "mode": "federated",
    "nodes": 2,
    "rounds": 1,
    "completed_rounds": 1,
    "data": "iris",
    "model": "mlp",
    "parameters": 10,
    "accuracy": 0.9,
    "baseline": {"centralised": 0.95, "local_only_mean": 0.8},
    "bytes_sent": 10,
    "wall_s": 1.0,
}
EVENT = {"type": "run.started", "run": "r", "node": "launcher", "role": "launcher", "time": 1.0, "rounds": 1}

Launched = list[tuple[Experiment, dict[str, Any]]]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Launched:
    calls: Launched = []

    async def launch(experiment: Experiment, **options: Any) -> dict[str, Any]:
        calls.append((experiment, options))
        options["on_run_dir"](options["out"] or options["resume"] or Path("made"))
        if experiment.data.name.endswith(".csv"):
            options["on_target"]("kind")
        options["on_address"]("tcp://127.0.0.1:7")
        options["on_event"](EVENT)
        return SUMMARY

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    return calls


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    async def launch(*_: Any, **__: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(launcher, "launch", launch)


def test_flags_set_keys_and_set_wins(launched: Launched, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text("rounds = 3\nnodes = 5\nseed = 1\n")
    line = "launch e.toml --nodes 6 --data iris --hidden 8,4 --deadline 2.5 --mode gossip --quiet --out o"
    assert execute([*line.split(), "--set", "seed=9", "--set", "network.heartbeat_s=0.25"]) == 0
    experiment, options = launched[0]
    assert (experiment.rounds, experiment.nodes, experiment.seed, experiment.mode) == (3, 6, 9, "gossip")
    assert (experiment.data.name, experiment.model.hidden, experiment.gossip.deadline_s) == ("iris", (8, 4), 2.5)
    assert experiment.network.heartbeat_s == 0.25
    assert options["out"] == Path("o")


def test_the_column_that_becomes_the_target_is_said_first_where_nobody_has_named_it(
    launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.csv").write_text("a,kind\n1,x\n")
    assert execute(["launch", "--data", "rows.csv", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(
        "the target is column 'kind' of rows.csv (--target would say otherwise)\n"
    )
    assert execute(["launch", "--data", "rows.csv", "--target", "kind", "--quiet"]) == 0
    assert "target" not in capsys.readouterr().out


FILE = """
nodes = 4
processes = 2
[evaluation]
until = "accuracy=0.9"
budget_s = 3.0
[federated]
compression = "int8"
"""


def taken_back(launched: Launched) -> tuple[object, ...]:
    """What is left of a file's choices that the command line takes back."""
    Path("e.toml").write_text(FILE)
    line = "launch e.toml --quiet --out o --until none --compression none --processes none --set evaluation.budget_s="
    if execute(line.split()):
        return ()
    experiment = launched[-1][0]
    return experiment.evaluation.until, experiment.compression, experiment.processes, experiment.evaluation.budget_s


def test_what_a_file_chose_can_be_taken_back(launched: Launched) -> None:
    assert taken_back(launched) == (None, "", None, None)


def test_as_any_other_text_none_would_be_refused(launched: Launched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "left_open", lambda root, key, text: False)
    assert taken_back(launched) != (None, "", None, None)


def test_every_flag_of_the_surface_is_there_with_its_default() -> None:
    text = " ".join(CliRunner().invoke(build(), ["launch", "--help"], terminal_width=200).output.split())
    surface = """mode nodes rounds seed data sites target task drop id weight categorical numeric date partition
        alpha shards-per-node model hidden epochs batch-size learning-rate class-weight strategy compression fine-tune
        sampling topology algorithm participation quorum deadline min-clients until patience budget
        processes init keys on regions region-rounds"""
    assert {flag.name for flag in FLAGS} == set(surface.split())
    for name in (*surface.split(), "out", "set", "quiet", "json", "insecure"):
        assert f"--{name} " in text
    for default in ("federated", "8", "20", "0.05", "64", "max(2, half of N)", "30", "one each"):
        assert f"[default: {default}]" in text


def test_a_table_a_line_or_events(launched: Launched, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["launch", "--out", "a"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("broker tcp://127.0.0.1:7 ")
    assert "centralised, all rows" in out
    assert execute(["launch", "--out", "a", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("broker ")
    assert lines[1:] == ["accuracy 0.900, centralised 0.950, 1 of 1 rounds in 1.0 s", "a"]
    assert execute(["launch", "--out", "a", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [EVENT]
    assert "broker tcp://127.0.0.1:7" in err


def test_settings_without_effect_are_remarked(launched: Launched, capsys: pytest.CaptureFixture[str]) -> None:
    for topology in ("star", "ring"):  # the latter is the default of gossip
        assert execute(["launch", "--topology", topology, "--quiet"]) == 0
        assert "warning: gossip.topology has no effect in federated mode" in capsys.readouterr().err
    assert execute(["launch", "--mode", "gossip", "--topology", "ring", "--patience", "none", "--quiet"]) == 0
    assert "has no effect" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("launch --nodes 0", "nodes = 0"),
        ("launch --nodes x", "nodes = 'x': expected a whole number"),
        ("launch --quorum 1.5", "federated.quorum = 1.5"),
        ("launch --mode telepathy", "expected one of federated, gossip"),
        ("launch --set no.such=1", "no: there is no such key"),
        ("launch --set federated.until=", "federated.until: there is no such key; did you mean evaluation.until?"),
        (
            "launch --strategy fedadam --set federated.until=",
            "federated.until: there is no such key; did you mean evaluation.until?",
        ),
        ("launch --rounds none", "rounds = 'none': expected a whole number"),
        ("launch --set model.loss=log_loss", "model.loss: there is no such key; without an estimator (--model sk"),
        ("launch --set model.learning_rat=1", "did you mean training.learning_rate?"),
        ("join nofile.toml", "by nervenet invite NAME, which writes NAME.invite.toml"),
        ("join north.invite.toml", "by nervenet invite north, which writes north.invite.toml"),
        ("launch --set nonsense", "expected KEY=VALUE"),
        ("launch --hidden 0", "model.hidden = [0]"),
        ("launch --hidden 4,x", "model.hidden"),
        ("launch --topology moebius --mode gossip", "expected one of ring, line"),
        ("simulate --data iris --target species", "target 'species' is for files; iris brings its own"),
        ("node client --broker tcp://h:1 --run r --regions 2", "--regions 2: is for aggregators; a client has no run"),
        ("node client --broker tcp://h:1 --run r --advertise here", "--advertise here: is for those whom others dial"),
        ("node client --advertise here", "--advertise here: is for those whom others dial"),
        ("node client --broker tcp://h:1", "Missing option '--run'. See nervenet node --help"),
        ("node site --broker tcp://h:1 --run r --advertise here", "--advertise: has no effect in a description"),
        ("launch missing.toml", "missing.toml: there is no such experiment file"),
        ("launch --nodse 3", "--nodse"),
        ("launch a b", "b: one experiment file at most, and a is one; the files of sites stand behind --sites"),
        ("frobnicate", "No such command 'frobnicate'. See nervenet --help"),
        ("launhc", "No such command 'launhc' (did you mean launch?). See nervenet --help"),
        ("serve /nonexistent", "/nonexistent: no such file or folder"),
        ("predict /nonexistent rows.csv", "/nonexistent: no such file or folder"),
        ("predict x rows.csv --out rows.txt", "--out rows.txt: expected the name of a .csv file"),
        ("serve x --http nowhere", "--http nowhere: expected HOST:PORT"),
        ("node cook --broker tcp://h:1 --run r", "'cook' is not one of 'coordinator', 'client', 'peer'"),
        ("topology --nodes 0", "'--nodes' / '-n': 0 is not in the range 1<=x<=2048"),
        ("node client --run r", "--broker"),
        ("node peer --broker tcp://h:1 --run r --set mode=federated", "a peer takes part in gossip runs"),
        ("broker --bind nonsense", "--bind nonsense: an address is"),
        ("launch --region-rounds 2", "hierarchy.region_rounds = 2: is for regions; expected hierarchy.regions"),
        ("simulate --region-rounds 2", "hierarchy.region_rounds = 2: is for regions; expected hierarchy.regions"),
        ("simulate --processes 2", "No such option '--processes': it is of nervenet launch; a simulation is one"),
        ("simulate --web", "No such option '--web': it is of nervenet launch; a simulation is one process"),
        ("node client --latency 1", "No such option '--latency': nervenet simulate has it. See nervenet node --help"),
        ("launch --site x", "nervenet node, nervenet join and nervenet doctor have it; did you mean '--sites'?"),
        ("monitor nothing", "nothing: there is no such file or run folder; --run names one that goes on"),
        ("monitor nothing --web", "nothing: there is no such file or run folder"),
        ("monitor --record /no/where", "--record /no/where: cannot be written"),
    ],
)
def test_a_mistake_is_exit_two_in_one_or_two_lines(
    line: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(line.split()) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert 1 <= len(err.splitlines()) <= 2
    assert out == ""


@pytest.mark.parametrize("line", ["--help", "keys --help", "audit --help"])
def test_no_sentence_of_a_list_of_commands_is_cut_off(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(line.split()) == 0
    commands = capsys.readouterr().out.partition("Commands:\n")[2]
    assert commands.endswith(".\n")
    assert "..." not in commands


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([]) == 2
    assert "launch" in capsys.readouterr().err
    assert execute(["--help"]) == 0
    assert "launch" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["keys", "audit"])
def test_a_group_without_a_command_shows_its_help_as_it_is(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([group]) == 2
    out, shown = capsys.readouterr()
    assert out == ""
    assert shown.startswith(f"Usage: nervenet {group} ")
    assert "See nervenet" not in shown.splitlines()[-1]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    version = getattr(nervenet, "__version__", None)
    if version is None:
        pytest.skip("run from the folders, not from an installation")
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out == f"nervenet {version}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [(launcher.RunFailed("too few answers", {}), 1), (AddressInUse("tcp://127.0.0.1:1"), 1)],
)
def test_a_failed_run_prints_its_reason_on_the_last_line(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    fails_with(monkeypatch, error)
    assert execute(["launch", "--out", "x"]) == code
    err = capsys.readouterr().err
    assert err.splitlines()[-1].partition(" (docs/errors.md#")[0] == f"nervenet: {error}"
    assert "Traceback" not in err


def test_a_defect_of_ours_shows_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    fails_with(monkeypatch, ZeroDivisionError("ours"))
    assert execute(["launch"]) == 1
    assert "Traceback" in capsys.readouterr().err


HEAVY = {"sklearn", "scipy", "matplotlib", "networkx", "starlette", "uvicorn", "numpy", "zmq", "rich", "pydantic"}


def heavy_loaded_by(arguments: str, before: str = "pass") -> set[str]:
    code = f"import sys; {before}; from nervenet.scripts.main import execute; execute({arguments.split()!r})"
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]
    return HEAVY & set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.e2e
@pytest.mark.parametrize("arguments", ["--help", "launch --nodes 0", "node --help", "topology --list"])
def test_a_command_line_alone_loads_nothing_heavy(arguments: str) -> None:
    assert not heavy_loaded_by(arguments)


@pytest.mark.e2e
def test_what_a_command_line_loads_would_be_seen() -> None:
    assert heavy_loaded_by("--version", before="import rich") == {"rich"}


def test_the_help_lists_the_commands_in_the_order_of_their_use() -> None:
    app = build()
    first = ["launch", "simulate", "broker", "node", "monitor", "replay", "compare", "serve", "predict", "export"]
    names = [*first, "describe", "keys", "invite", "join", "audit", "doctor", "topology", "explain"]
    context = click.Context(app)
    assert app.list_commands(context) == names
    assert all(command and command.get_short_help_str() for command in map(partial(app.get_command, context), names))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["launch", "-h"]])
def test_a_signal_while_a_command_line_is_read_is_exit_130(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Context, "exit", interrupted)
    assert execute(arguments) == 130
    assert capsys.readouterr().err == "nervenet: stopped by SIGINT\n"
    with pytest.raises(click.Abort):  # which click's own way of running a command makes of it, and would be exit 1
        build().main(arguments, standalone_mode=False)


@pytest.fixture
def interrupted_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that the command imports and does is interrupted."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rlimits, "raise_soft_limits", interrupted)


@pytest.mark.usefixtures("interrupted_import")
def test_a_signal_while_the_command_is_imported_is_exit_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "nervenet: stopped by SIGINT\n"


@pytest.mark.usefixtures("interrupted_import")
def test_unanswered_it_would_be_a_traceback() -> None:
    with pytest.raises(KeyboardInterrupt):
        main._main(["--version"])


@pytest.mark.e2e
def test_nothing_is_imported_before_a_signal_can_be_answered() -> None:
    code = "import sys; had = {*sys.modules}; import nervenet.scripts.main; print(*{*sys.modules} - had)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in found.stdout.split() if not name.startswith(("__editable__", "nervenet.scripts"))}
    assert loaded <= {"nervenet", "__future__"}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of a run that can be gone on with, as far as the command line looks."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.toml").write_text('nodes = 3\nrounds = 9\n[data]\nname = "iris"\n')
    return tmp_path / "run"


def test_resume_takes_the_experiment_of_the_folder(launched: Launched, killed: Path) -> None:
    assert execute(["launch", "--resume", str(killed), "--quiet", "--rounds", "12"]) == 0
    experiment, options = launched[0]
    assert (experiment.nodes, experiment.rounds, experiment.data.name) == (3, 12, "iris")
    assert (options["resume"], options["out"]) == (killed, None)
    assert execute(["launch", "--quiet", "--out", "new"]) == 0
    assert (launched[1][1]["resume"], launched[1][1]["out"]) == (None, Path("new"))


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["launch", "node coordinator --broker tcp://127.0.0.1:9 --run r"])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("--resume run run", "--resume run: brings its own experiment; leave out run"),
        ("--resume run --out new", "--resume run: goes on in that folder; leave out --out new"),
        ("--resume nowhere", "--resume nowhere: there is no such run folder"),
        ("--resume empty", "--resume empty: is no run folder: it holds no experiment.toml"),
        ("--resume run", "--resume run: holds no checkpoint: its first round was never complete; launch it again"),
        ("--resume run --set epochs=3", "epochs: there is no such key"),
    ],
)
def test_options_that_contradict_resume_are_usage_errors(
    command: str,
    more: str,
    reason: str,
    killed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(killed.parent)
    (killed.parent / "empty").mkdir()
    assert execute([*command.split(), *more.split()]) == 2
    assert f"nervenet: {reason}" in capsys.readouterr().err
    assert sorted(path.name for path in killed.iterdir()) == ["experiment.toml"]


def test_a_peer_does_not_resume_from_the_folder_of_a_federated_run(
    killed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(killed.parent)
    where = ["--broker", "tcp://127.0.0.1:9", "--run", "r"]
    assert execute(["node", "peer", *where, "--resume", "run"]) == 2
    assert "is of another experiment: found mode = 'federated', expected 'gossip'" in capsys.readouterr().err


def test_a_node_gets_the_folder_to_resume(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    async def run_node(role: str, experiment: Experiment, **options: Any) -> dict[str, Any]:
        calls.append({"role": role, "rounds": experiment.rounds, **options})
        return SUMMARY

    monkeypatch.setattr(standalone, "run_node", run_node)
    words = ["node", "coordinator", "--broker", "tcp://127.0.0.1:9", "--run", "r", "--quiet", "--rounds", "11"]
    assert execute([*words, "--resume", str(killed)]) == 0
    assert (calls[0]["role"], calls[0]["rounds"], calls[0]["resume"], calls[0]["out"]) == (
        "coordinator",
        11,
        killed,
        None,
    )
