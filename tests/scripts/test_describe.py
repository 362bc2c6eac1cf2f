"""The command line of a description: what is refused before any process starts, by one line and exit code 2."""

import pytest
from nervenet.scripts.describe import _options
from nervenet.scripts.main import execute

WHERE = ["--run", "d", "--broker", "tcp://127.0.0.1:1"]
COORDINATOR = ["node", "coordinator", "--describe", *WHERE]
SITE = ["node", "site", *WHERE]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,k\n" + "1,2\n" * 20)
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["describe"], "Missing option '--data'"),
        (["describe", "--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["describe", "nowhere.csv"], "nowhere.csv: no such file"),
        (["describe", "--data", "FILE", "--min-rows", "0"], "0 is not in the range"),
        (["describe", "--data", "FILE", "--set", "rounds=3"], "--set rounds: a description has no such key"),
        (["describe", "--data", "FILE", "--categorical", "x", "--date", "x"], "cannot be both"),
        (["describe", "--data", "FILE", "--out", "FILE/below"], "cannot be used as a folder"),
        (["node", "peer", "--describe", "--run", "d", "--broker", "tcp://127.0.0.1:1"], "not for peers"),
        (["node", "site", "--json", "--run", "d", "--broker", "tcp://127.0.0.1:1"], "are the coordinator's"),
        (["node", "site", "--run", "d", "--broker", "tcp://127.0.0.1:1"], "this site's own file (--data FILE)"),
        (
            [*COORDINATOR, "--rounds", "50"],
            "--rounds: has no effect in a description at a coordinator; allowed: --nodes",
        ),
        ([*COORDINATOR, "--data", "FILE"], "--data: has no effect in a description at a coordinator"),
        ([*COORDINATOR, "--init", "run"], "--init: has no effect in a description"),
        ([*COORDINATOR, "--set", "mode=gossip"], "--set mode: has no effect in a description"),
        (
            [*SITE, "--data", "FILE", "--target", "k"],
            "--target: has no effect in a description at a site; allowed: --no",
        ),
        ([*SITE, "--data", "FILE", "--set", "model.hidden=3"], "--hidden: has no effect in a description at a site"),
        (["node", "coordinator", "--correlations", "--run", "d", "--broker", "tcp://127.0.0.1:1"], "--describe beside"),
    ],
)
def test_a_mistake_is_a_line_and_exit_code_2(words, said, file, capsys):
    code = execute([word.replace("FILE", str(file)) for word in words])
    found = capsys.readouterr().err
    assert code == 2
    assert said in found
    assert "Traceback" not in found
    assert len(found.splitlines()) <= 2


def test_what_is_said_of_columns_reaches_the_reader():
    said = _options({"data.drop": ["x"], "data.columns.day.format": "%d/%m/%Y", "data.date": ["day"]})
    assert (said.drop, said.of("day").kind, said.of("day").format) == (("x",), "date", "%d/%m/%Y")
