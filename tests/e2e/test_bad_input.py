"""Mistakes of users: an exit code, one or two lines that name the thing and what is allowed, and no traceback."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nervenet.scripts.main import execute

Start = Callable[..., Any]


class NoForkServer:
    """Stands for the process that nodes are forked from: mistakes are found before anybody asks it for one."""

    def preload(self, modules: list[str]) -> None:
        """Nothing to be imported."""

    def close(self) -> None:
        """Nobody to be ended."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Files of all kinds that cannot be used, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NERVENET_DATA", raising=False)
    files = {
        "text.csv": "a,b,y\n1,x,0\n2,3,1\n",
        "nan.csv": "a,b,y\n1,,0\n2,3,1\n",
        "short.csv": "a,b,y\n1,2,0\n2,3\n",
        "empty.csv": "",
        "header.csv": "a,b,y\n",
        "good.csv": "a,b,y\n1,2,0\n2,3,1\n3,4,0\n4,6,1\n5,5,0\n6,7,1\n7,8,0\n8,8,1\n",
        "one.csv": "a,b,y\n1,2,0\n2,3,0\n3,4,0\n4,6,0\n",
        "ids.csv": "\n".join(["id,k,y", *(f"n{row},same,{row % 2}" for row in range(24))]),
        "broken.npz": "this is no archive",
        "unknown.toml": "mode = 'gossip'\nnodez = 3\n",
        "broken.toml": "mode = \n",
        "wrong.toml": "nodes = 'four'\n",
        "table.toml": "[gossip]\ntopologie = 'ring'\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    (tmp_path / "file").write_text("")
    return tmp_path


TABLE: list[tuple[str, list[str]]] = [
    # command line, what the message must name
    ("launch --nodes 0", ["nodes", "0", "1"]),
    ("launch --nodes -3", ["nodes", "-3"]),
    ("launch --nodes four", ["nodes", "four"]),
    ("launch --nodes 2.5", ["nodes", "2.5"]),
    ("launch --mode gossip --algorithm d2", ["'d2'", "plain gradient steps", "training.momentum = 0.9"]),
    ("launch --mode gossip --algorithm choco --compression int9", ["gossip.compression", "int9", "int8"]),
    ("launch --rounds 0", ["rounds", "0"]),
    ("launch --until acuracy=0.97", ["evaluation.until", "acuracy", "did you mean accuracy?", "r2", "loss"]),
    ("launch --until 0.97", ["evaluation.until", "0.97"]),
    ("launch --until accuracy=high", ["evaluation.until", "high", "number"]),
    ("launch --until loss>=1", ["evaluation.until", "loss<=1"]),
    ("launch --data diabetes --until accuracy=0.9", ["evaluation.until", "regression", "r2"]),
    ("launch --until f1_macro=0.9", ["evaluation.until", "f1_macro", "accuracy"]),
    ('launch --set evaluation.scorers=["f1_macor"]', ["evaluation.scorers", "did you mean f1_macro?"]),
    ("launch --patience 0", ["evaluation.patience", "0"]),
    ("launch --budget -1", ["evaluation.budget_s", "-1"]),
    ("node coordinator --broker tcp://127.0.0.1:1 --run r --until acuracy=0.9", ["evaluation.until", "accuracy"]),
    ("serve good.csv --best", ["--best", "good.csv"]),
    ("launch --data nothing", ["nothing", "iris"]),
    ("launch --data iri", ["iri", "iris"]),
    ("launch --data missing.csv", ["missing.csv"]),
    ("launch --quorum 1.5", ["quorum", "1.5"]),
    ("launch --quorum 0", ["quorum", "0"]),
    ("launch --participation 0", ["participation"]),
    ("launch --mode telepathy", ["telepathy", "gossip"]),
    ("launch --nodes 5000 --data iris", ["5000", "120"]),
    ("launch --set no.such=1", ["no"]),
    ("launch --set nodes", ["nodes", "KEY=VALUE"]),
    ("launch --set federated.qorum=1", ["qorum", "quorum"]),
    ("launch --hidden 0", ["hidden", "0"]),
    ("launch --hidden a,b", ["hidden"]),
    ("launch --epochs 0", ["epochs"]),
    ("launch --batch-size 0", ["batch_size"]),
    ("launch --learning-rate -1", ["learning_rate", "-1"]),
    ("launch --learning-rate nan", ["learning_rate", "nan"]),
    ("launch --seed -1", ["seed", "-1"]),
    ("launch --deadline 0", ["deadline"]),
    ("launch --processes 0", ["processes", "0"]),
    ("launch --alpha 0 --partition dirichlet", ["alpha", "0"]),
    ("launch --partition zigzag", ["zigzag", "dirichlet"]),
    ("launch --partition column", ["column"]),
    ("launch --topology moebius --mode gossip", ["moebius", "ring"]),
    ("launch --topology random-regular --mode gossip --nodes 4 --set gossip.degree=7", ["degree", "7"]),
    ("launch --strategy fedmagic", ["fedmagic", "fedavg"]),
    ("launch --min-clients 9 --nodes 4", ["min_clients", "9"]),
    ("launch --model sklearn.svm.SVC --data iris", ["SVC", "SGDClassifier"]),
    ("launch --model sklearn.ensemble.GradientBoostingClassifier --data iris", ["GradientBoosting", "RandomForest"]),
    ("launch --model sklearn.linear_model.SGDKlassifier --data iris", ["SGDKlassifier"]),
    ("launch --model os.system --data iris", ["os.system"]),
    ("launch --model sklearn.linear_model.SGDClassifier --data diabetes", ["SGDClassifier", "diabetes"]),
    ("launch --set network.transport=carrier-pigeon", ["carrier-pigeon", "tcp"]),
    ("launch --set network.bind=0.0.0.0", ["advertise"]),
    ("launch --set network.transport=inproc --processes 2 --mode gossip", ["inproc"]),
    ("launch missing.toml", ["missing.toml"]),
    ("launch unknown.toml", ["nodez", "nodes"]),
    ("launch broken.toml", ["broken.toml"]),
    ("launch wrong.toml", ["nodes", "four"]),
    ("launch table.toml", ["topologie", "topology"]),
    ("launch --data text.csv --target y --nodes 1", ["text.csv", "b", "x"]),
    ("launch --data nan.csv --target y --nodes 1", ["nan.csv"]),
    ("launch --data short.csv --target y --nodes 1", ["short.csv"]),
    ("launch --data empty.csv --nodes 1", ["empty.csv"]),
    ("launch --data header.csv --nodes 1", ["header.csv"]),
    ("launch --data one.csv --nodes 1", ["one.csv", 'column "y"', "0 in all 4 rows", "two classes", "--target"]),
    ("launch --sites one.csv one.csv", ["one.csv", 'column "y"', "0 in all 8 rows", "two classes", "--target"]),
    (
        "launch --sites ids.csv ids.csv",
        ["ids.csv", "no column is left", "id (each row has another", "k (all rows"],
    ),
    ("launch --data broken.npz --nodes 1", ["broken.npz"]),
    ("launch --data text.csv --target zzz", ["zzz", "y"]),
    ("launch --data good.csv --nodes 40", ["40"]),
    ("launch --data iris --out full", ["full", "empty"]),
    ("launch --data iris --out file", ["file"]),
    ("launch --data iris --out file/below", ["file"]),
    ("launch --fancy", ["--fancy"]),
    ("serve /nonexistent", ["/nonexistent"]),
    ("serve full", ["full"]),
    ("monitor --broker nowhere", ["nowhere", "tcp://"]),
    ("broker --bind nowhere", ["nowhere", "tcp://"]),
    ("node wizard --broker tcp://127.0.0.1:1 --run x", ["wizard", "coordinator"]),
    ("node client --broker tcp://127.0.0.1:1", ["--run"]),
    ("node client --broker nowhere --run x --data good.csv", ["nowhere"]),
    ("node client --broker tcp://127.0.0.1:1 --run x --data text.csv", ["text.csv", "x"]),
    ("node client --broker tcp://127.0.0.1:1 --run x --data good.csv --target z", ["z", "y"]),
    ("node peer --broker tcp://127.0.0.1:1 --run x --data good.csv --set network.bind=*", ["advertise"]),
    ("fly", ["fly"]),
]


@pytest.mark.parametrize(("line", "named"), TABLE, ids=[line for line, _ in TABLE])
def test_a_mistake_is_explained(line: str, named: list[str], folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    code = execute(line.split(), {"fork_server": NoForkServer()})
    out, err = capfd.readouterr()
    assert code == 2, (code, out, err)
    assert "Traceback" not in out + err
    lines = [text for text in err.splitlines() if text]
    assert 1 <= len(lines) <= 2, err
    for word in named:
        assert word in err, (word, err)
    assert sorted(folder.rglob("*")) == before  # nothing was begun


def test_a_site_with_too_few_rows_takes_no_part(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its file is in order and so is the command: it ends as a run that failed does."""
    (folder / "two.csv").write_text("a,b,y\n1,2,0\n2,3,1\n")
    line = "node client --broker tcp://127.0.0.1:1 --run x --data two.csv --target y"
    assert execute(line.split()) == 1
    assert "X has 2 rows" in capfd.readouterr().err


def test_a_port_in_use(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = execute(["broker", "--bind", f"tcp://127.0.0.1:{port}"])
    _, err = capfd.readouterr()
    assert code == 1
    assert str(port) in err
    assert "Traceback" not in err


@pytest.mark.e2e
def test_a_model_that_diverges_is_reported_with_a_way_out(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = "launch --data diabetes --nodes 2 --rounds 3 --learning-rate 1e30 --mode gossip --quiet --out d"
    code = execute([*words.split(), "--set", "evaluation.baseline=false"])
    _, err = capfd.readouterr()
    assert code == 1
    assert "finite" in err.splitlines()[-1]
    assert "learning_rate" in err.splitlines()[-1]
    assert "Traceback" not in err
