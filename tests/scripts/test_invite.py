"""``nervenet invite`` and ``nervenet join``: what they print, ask, write and refuse."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nervenet.scripts import monitor, node
from nervenet.scripts.doctor import doctor
from nervenet.scripts.main import build, execute

INVITE = "invite north south --broker tcp://hub.example.org:5555 --run flowers --nodes 2 --keys hub"
JOIN = "join north.invite.toml --no-start"

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Path:
    """The current folder, with a hub and its invitations to north and south."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert execute(shlex.split("keys new hub --role broker,coordinator --out hub")) == 0
    assert execute(INVITE.split()) == 0
    (tmp_path / "north.csv").write_text("age,died\n" + "".join(f"{age},{age % 2}\n" for age in range(20, 40)))
    capsys.readouterr()
    return tmp_path


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], int]]:
    """Types at a terminal."""
    here, there = pty.openpty()
    with os.fdopen(there) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield partial(os.write, here)
    os.close(here)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, dict[str, Any]]]:
    """The nodes that would have been started."""
    calls: list[tuple[str, Any, dict[str, Any]]] = []
    monkeypatch.setattr(node, "take_part", lambda role, experiment, **rest: calls.append((role, experiment, rest)))
    return calls


def said(capsys: Capsys, line: str, code: int = 0) -> str:
    assert execute(shlex.split(line)) == code
    caught = capsys.readouterr()
    return caught.err if code else caught.out


def test_an_invitation_names_its_file_its_fingerprint_and_the_commands_that_follow(capsys: Capsys) -> None:
    told = said(capsys, INVITE)
    fingerprint = tomllib.loads(Path("north.invite.toml").read_text())["fingerprint"]
    assert f"fingerprint {fingerprint}  (of the file" in told
    assert "admit       nervenet keys allow north.pub --role client --keys hub  (once" in told
    assert (
        "coordinator nervenet node coordinator --broker tcp://hub.example.org:5555 --run flowers --keys hub "
        "--advertise hub.example.org --set network.bind=0.0.0.0 --nodes 2\n"
    ) in told


def test_the_coordinators_command_has_all_that_was_said(capsys: Capsys) -> None:
    Path("flowers.toml").write_text("nodes = 2\nrounds = 5\n")
    more = "--hidden 8,4 --target outcome --set training.nesterov=false --set 'model.activation=tanh'"
    told = said(capsys, f"invite north flowers.toml --broker tcp://127.0.0.1:5555 --run f --keys hub {more}")
    line = next(line for line in told.splitlines() if line.startswith("coordinator"))
    assert line.endswith(
        "node coordinator flowers.toml --broker tcp://127.0.0.1:5555 --run f --keys hub --target outcome --hidden 8,4 "
        "--set training.nesterov=false --set model.activation=tanh"
    )


def test_invitations_as_json(capsys: Capsys) -> None:
    lines = [json.loads(line) for line in said(capsys, f"{INVITE} --json").splitlines()]
    assert [(line["name"], line["file"], line["keys"]) for line in lines] == [
        ("north", "north.invite.toml", ["hub"]),
        ("south", "south.invite.toml", ["hub"]),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("invite flowers.toml --broker tcp://h:1 --run f", ["NAME is missing", "flowers.toml"]),
        ("invite a b --broker tcp://h:1 --run f --keys hub --out x", ["--out x", "one site"]),
        ("invite a --broker tcp://h:1 --run f --keys nowhere", ["nervenet keys new hub", "nowhere"]),
        ("invite a --broker tcp://h:1 --run f --keys hub --role peer --mode federated", ["--mode federated", "gossip"]),
        ("invite a --broker tcp://h --run f --keys hub", ["--broker tcp://h:", "port"]),
        ("invite a --broker tcp://h:1 --run f --keys hub --out north.invite.toml", ["an invitation for north"]),
        ("join nowhere.toml", ["nowhere.toml", "nervenet invite"]),
        ("join north.invite.toml", ["--data is missing", "--no-start"]),
        ("join north.invite.toml --data nowhere.csv", ["nowhere.csv", "No such file"]),
        ("join north.invite.toml --data north.csv --target x", ["x"]),
        ("join north.invite.toml --data north.csv --set rounds=3", ["rounds", "the invitation says 20", "hub"]),
        ("join north.invite.toml --data north.csv --advertise north", ["--advertise north", "nobody dials a client"]),
        ("join north.invite.toml --data north.csv", ["nobody can be asked", "nothing was written", "--yes"]),
        (f"{JOIN} --keys hub", ["holds the key of hub", "--keys DIR"]),
    ],
)
def test_what_cannot_be_says_what_to_do_and_writes_nothing(
    capsys: Capsys, folder: Path, line: str, words: list[str]
) -> None:
    before = sorted(folder.rglob("*"))
    told = said(capsys, line, 2)
    assert all(word in told for word in words), told
    assert "Traceback" not in told
    assert sorted(folder.rglob("*")) == before


def test_who_joins_sees_what_leaves_and_whom_to_send_the_key(capsys: Capsys) -> None:
    told = said(capsys, f"{JOIN} --yes")
    public = said(capsys, "keys show north/north.pub").split("fingerprint ")[1].strip()
    assert "the run         federated, fedavg; 20 rounds, 2 sites" in told
    assert "before round 1  to the coordinator (hub): moments (columns, numbers of rows" in told
    assert "anything: no policy is set" in told
    assert "hub             will be allowed as broker and coordinator" in told
    assert "nervenet keys allow north.pub --role client --keys hub\n" in told
    assert f"by telephone, its fingerprint {public}" in told
    assert f"fingerprint {public}" in said(capsys, "keys allow north/north.pub --role client --keys hub")
    assert "hub             is allowed as broker" in said(capsys, f"{JOIN} --yes")


def test_another_release_is_named(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "written by" not in said(capsys, f"{JOIN} --yes")
    monkeypatch.setattr("nervenet.scripts.invitation_text.__version__", "9.9.9")
    assert "written by      nervenet 0.1.0; this is 9.9.9" in said(capsys, f"{JOIN} --yes")


def test_commands_are_in_one_piece(capsys: Capsys, folder: Path) -> None:
    deep = "a folder with a long name " * 5
    (folder / "hub").rename(folder / deep)
    said(capsys, f"invite north --broker tcp://hub.example.org:5555 --run flowers --nodes 2 --keys '{deep}'")
    lines = [line.strip() for line in said(capsys, f"{JOIN} --yes --keys 'north keys'").splitlines()]
    assert f"nervenet keys allow north.pub --role client --keys '{deep}'" in lines
    assert "nervenet doctor --broker tcp://hub.example.org:5555 --run flowers --keys 'north keys'" in lines


def test_a_peer_is_told_to_look_as_a_peer(capsys: Capsys) -> None:
    said(capsys, "invite north --role peer --broker tcp://hub.example.org:5555 --run flowers --nodes 2 --keys hub")
    told = said(capsys, f"{JOIN} --yes")
    assert "--run flowers --keys north --mode gossip\n" in told
    command = next(line for line in told.splitlines() if "nervenet doctor" in line)
    context = doctor.make_context("doctor", shlex.split(command)[2:], **build().context_settings)
    assert context.params["run"] == "flowers"


WATCH = "invite desk --role monitor --broker tcp://hub.example.org:5555 --run flowers --keys hub"


def test_a_monitor_is_invited_without_an_experiment_and_told_what_it_sees(capsys: Capsys) -> None:
    said(capsys, WATCH)
    tables = tomllib.loads(Path("desk.invite.toml").read_text())
    assert (tables["role"], tables["experiment"], tables["keys"]["hub"]["roles"]) == ("monitor", {}, ["broker"])
    told = said(capsys, "join desk.invite.toml --no-start --yes")
    assert "desk.invite.toml invites desk to the run flowers, as a monitor" in told
    assert "A monitor sees names, addresses and figures of the run" in told
    assert "hub             will be allowed as broker\n" in told
    assert "nervenet keys allow desk.pub --role monitor --keys hub\n" in told
    assert "nervenet monitor --broker tcp://hub.example.org:5555 --run flowers --keys desk\n" in told


def test_who_joins_as_a_monitor_watches_at_once(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[Any] = []
    monkeypatch.setattr(monitor, "watch", lambda broker, **more: watched.append((broker, more)))
    said(capsys, WATCH)
    said(capsys, "join desk.invite.toml --yes")
    assert watched == [
        ("tcp://hub.example.org:5555", {"run": "flowers", "keys": "desk", "quiet": False, "json": False})
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{WATCH} --rounds 5", ["rounds", "a monitor takes part in no run"]),
        ("join desk.invite.toml --yes --data north.csv", ["--data", "desk is invited to watch"]),
        ("join desk.invite.toml --yes --target x", ["data.target", "desk is invited to watch"]),
    ],
)
def test_what_is_for_who_takes_part_is_refused_of_a_monitor(capsys: Capsys, line: str, words: list[str]) -> None:
    said(capsys, WATCH)
    told = said(capsys, line, 2)
    assert all(word in told for word in words), told
    assert not Path("desk").exists()


def test_who_joins_by_json_gets_the_key_and_the_rest_on_the_other_stream(capsys: Capsys) -> None:
    known = json.loads(said(capsys, f"{JOIN} --yes --json"))
    assert known["public_file"] == "north/north.pub"
    assert known["allowed"] == ["hub"]
    assert known["admission"] == "nervenet keys allow north.pub --role client --keys hub"


@pytest.mark.parametrize("keys", [b"y\n", b"YES\n"])
def test_yes_is_consent(keys: bytes, capsys: Capsys, answer: Callable[[bytes], int]) -> None:
    answer(keys)
    assert execute(JOIN.split()) == 0
    assert "Take part as north? [y/N]" in capsys.readouterr().err
    assert Path("north/north.key").exists()


@pytest.mark.parametrize("keys", [b"n\n", b"\n", b"why?\n", b"\x04"], ids=["no", "nothing", "else", "end"])
def test_anything_else_is_none_and_writes_nothing(keys: bytes, capsys: Capsys, answer: Callable[[bytes], int]) -> None:
    answer(keys)
    told = said(capsys, JOIN, 1)
    assert told.endswith("nervenet: north takes no part in flowers: nothing was written\n")
    assert not Path("north").exists()


def test_ctrl_c_at_the_question_is_130(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, *_: object) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert "stopped by SIGINT" in said(capsys, JOIN, 130)
    assert not Path("north").exists()


def test_the_node_has_what_the_invitation_says_and_its_own_rows(capsys: Capsys, started: list[Any]) -> None:
    told = said(capsys, "join north.invite.toml --data north.csv --yes --out run --set data.min_rows=5")
    rows = "north.csv: 20 rows, of which a share of 0.2 is kept from training; the columns age; the target is 'died'"
    assert rows in " ".join(told.split())
    ((role, experiment, rest),) = started
    assert (role, rest["run"], rest["name"], rest["broker"]) == (
        "client",
        "flowers",
        "north",
        "tcp://hub.example.org:5555",
    )
    assert (experiment.nodes, experiment.data.min_rows, experiment.network.keys) == (2, 5, "north")
    assert rest["patient"]
    assert rest["out"] == Path("run")


def test_a_peer_says_where_it_is_reached(capsys: Capsys, started: list[Any]) -> None:
    said(capsys, f"{INVITE} --role peer")
    told = said(capsys, "join north.invite.toml --data north.csv --yes", 2)
    assert "network.bind = '127.0.0.1': the other peers dial this one; expected --advertise HOST" in told
    said(capsys, "join north.invite.toml --data north.csv --yes --advertise north.example.org")
    network = started[0][1].network
    assert (network.bind, network.advertise) == ("0.0.0.0", "north.example.org")


def test_a_peer_is_told_whose_keys_are_missing_and_takes_them_later(capsys: Capsys) -> None:
    execute(shlex.split(f"{INVITE} --role peer"))
    assert "1 of the other 1 peers have no key here yet" in capsys.readouterr().err
    assert "the keys of 1 of 1 other peers are not in this invitation" in said(capsys, f"{JOIN} --yes")
    said(capsys, "join south.invite.toml --no-start --yes")
    said(capsys, "keys allow north/north.pub south/south.pub --role peer --keys hub")
    said(capsys, f"{INVITE} --role peer")
    told = said(capsys, f"{JOIN} --yes")
    assert "south           will be allowed as peer" in told
    assert "not in this invitation" not in told
    assert "south" in said(capsys, "keys list --keys north")


def test_a_site_whose_policy_declines_is_not_asked(capsys: Capsys, started: list[Any], folder: Path) -> None:
    (folder / "site.toml").write_text("[site.allow]\nmax_rounds = 10\n")
    words = "site.allow.max_rounds: found 20 rounds; allowed: 10 at most; this site's own policy does not admit the run"
    assert words in said(capsys, "join north.invite.toml --data north.csv --site site.toml --yes", 2)
    assert not (folder / "north").exists()
    (folder / "site.toml").write_text("[site.allow]\nmax_rounds = 20\n")
    told = said(capsys, "join north.invite.toml --data north.csv --site site.toml --yes")
    assert "runs of at most 20 rounds" in told
    assert started[0][1].site.allow.max_rounds == 20


def test_a_policy_is_held_against_all_that_is_known_and_no_more(
    capsys: Capsys, started: list[Any], folder: Path
) -> None:
    (folder / "site.toml").write_text("[site.allow]\nmin_rows = 21\n")
    words = "join north.invite.toml --data north.csv --site site.toml --yes"
    assert "site.allow.min_rows: found fewer rows at this site; allowed: 21 at least" in said(capsys, words, 2)
    assert not (folder / "north").exists()
    (folder / "site.toml").write_text('[site.allow]\nmin_rows = 20\nmodels = ["model:d1507d62efbd7d6e"]\n')
    said(capsys, words)
    assert started, "whether the model has that hash is looked at when it is built"


def test_a_run_folder_that_cannot_be_resumed_is_named_before_anything_is_written(capsys: Capsys, folder: Path) -> None:
    words = "join north.invite.toml --data north.csv --yes --resume none"
    assert "--resume none: there is no such run folder" in said(capsys, words, 2)
    assert not (folder / "north").exists()


def test_an_own_file_of_the_site(capsys: Capsys, started: list[Any], folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "site.toml").write_text('[data]\nname = "rows.csv"\nmin_rows = 6\n')
    (folder / "north.csv").rename(folder / "own" / "rows.csv")
    said(capsys, "join north.invite.toml own/site.toml --yes")
    assert (Path(started[0][1].data.name).name, started[0][1].data.min_rows) == ("rows.csv", 6)
    (folder / "own" / "site.toml").write_text("nodes = 9\n")
    assert "nodes: is the same at every site" in said(capsys, "join north.invite.toml own/site.toml --yes", 2)


def test_text_from_elsewhere_obeys_no_terminal(capsys: Capsys) -> None:
    said(capsys, f"{INVITE} --run 'f\x1b]0;x\x07'")
    told = said(capsys, f"{JOIN} --yes")
    assert "\x1b" not in told
    assert "to the run f\\x1b]0;x\\x07, as a client" in told
