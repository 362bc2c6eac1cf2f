"""``nervenet topology``: figures, a picture, a list, and graphs that cannot be."""

import json
from pathlib import Path

import pytest
from nervenet.models.extras import MissingExtra
from nervenet.nodes.topology import TOPOLOGIES, plot
from nervenet.scripts.main import execute


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_figures_and_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["topology", "ring", "-n", "8", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(line.strip().split(maxsplit=1) for line in lines[1:])
    assert lines[0] == "ring: two neighbors each, in a circle"
    assert (found["nodes"], found["degree"], found["edges"]) == ("8", "2", "8 a round")
    assert found["spectral"] == "gap  0.1953", "2/3 (1 - cos(2 pi/8))"
    assert found["consensus"].startswith("0.001 of the distance left after ")
    assert [line.split()[1] for line in lines if line.startswith("  after")] == ["1", "2"]
    assert found["picture"] == "ring-8.png"
    assert [path.name for path in folder.iterdir()] == ["ring-8.png"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("complete -n 5", "exact after 1 round"),
        ("base-k -n 12 --degree 2", "repeats after 3 rounds"),
        ("one-peer-exponential -n 6", "6 a round, one-way"),
        ("star -n 5", "1 to 4, mean 1.6"),
        ("epidemic-local -n 8 --degree 2 --seed 3", "random each round"),
        ("line -n 85", "not within the limit"),
    ],
)
def test_special_properties_of_a_graph_are_printed(line: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["topology", *line.split(), "--out", "x.png"]) == 0
    assert found in capsys.readouterr().out


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(what: str, *_: str) -> None:
        raise MissingExtra(f'{what} needs matplotlib; matplotlib is not installed: pip install "nervenet[plot]"')

    monkeypatch.setattr(plot, "require", missing)


def test_a_plain_installation_prints_the_figures_and_what_the_picture_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_matplotlib(monkeypatch)
    assert execute(["topology", "ring", "-n", "8"]) == 0
    out, err = capsys.readouterr()
    assert "spectral gap  0.1953" in out
    assert out.endswith("picture       none\n")
    assert err.startswith("warning: the picture ring-8.png needs matplotlib")
    assert 'pip install "nervenet[plot]"' in err
    assert execute(["topology", "ring", "-n", "8", "--out", "asked.png"]) == 2
    assert "the picture asked.png needs matplotlib" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_json_draws_only_on_demand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["topology", "base-k", "-n", "5", "--json", "--rounds", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["nodes"], found["exact"], found["rounds"], found["gap"], found["period"]) == (
        5,
        5,
        5,
        1.0,
        5,
    )
    assert found["degree"] == {"min": 0, "mean": 0.8, "max": 1}
    assert len(found["distances"]) == 5
    assert found["distances"][-1] < 1e-12
    assert list(folder.iterdir()) == []
    assert execute(["topology", "base-k", "-n", "5", "--json", "--out", "five.png"]) == 0
    assert json.loads(capsys.readouterr().out)["picture"] == "five.png"
    assert (folder / "five.png").exists()


def test_the_same_seed_draws_the_same_graph(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for seed in ("1", "1", "2"):
        assert execute(["topology", "erdos-renyi", "-n", "12", "--json", "--seed", seed]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize("arguments", [["topology"], ["topology", "--list"], ["topology", "ring", "--list"]])
def test_all_are_listed_with_what_they_take(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPOLOGIES)
    assert "[degree, probability, seed]" in next(line for line in lines if line.startswith("small-world"))
    assert execute(["topology", "--json"]) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == list(TOPOLOGIES)


@pytest.mark.parametrize(("text", "nodes"), [("ada bea\nbea cleo\n", 3), ("0 1\n1 3\n3 2\n", 4), ("peer-0 1\n", 2)])
def test_the_number_of_nodes_comes_from_a_file_of_edges(
    text: str, nodes: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.csv").write_text(text)
    assert execute(["topology", "edges", "--edges", "mine.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == nodes


def test_a_directed_file_of_edges_is_mixed_by_push_sum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.csv").write_text("directed\n0 1\n1 2\n2 0\n0 2\n")
    assert execute(["topology", "edges", "--edges", "mine.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mixing"], found["directed"], found["edges"]) == ("push-sum", True, 4)
    assert 3 < found["rounds"] < 30


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("topology rign", "did you mean ring?"),
        ("topology torus -n 7", "nodes = 7: a torus is a rectangle"),
        ("topology hypercube -n 12", "expected for example 8 or 16"),
        ("topology random-regular -n 5 --degree 3", "degree = 3: degree x nodes must be even"),
        ("topology random-regular -n 5 --degree 5", "expected fewer neighbors than nodes = 5"),
        ("topology ring --degree 3", "degree = 3: is for topology = 'random-regular'"),
        ("topology erdos-renyi --probability 2", "probability = 2: expected above 0"),
        ("topology edges", "needs the path of a file"),
        ("topology edges --edges none.csv", "cannot be read: No such file"),
        ("topology edges --edges apart.csv -n 4", "2 components: peer-0, peer-1; peer-2, peer-3"),
        ("topology ring -n 0", "--nodes"),
        ("topology ring -n 9999", "--nodes"),
        ("topology ring --out no/such/folder/x.png", "cannot be written"),
    ],
)
def test_a_graph_that_cannot_be_is_exit_two(
    line: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "apart.csv").write_text("0 1\n2 3\n")
    assert execute(line.split()) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""
    assert len(err.splitlines()) == 1
