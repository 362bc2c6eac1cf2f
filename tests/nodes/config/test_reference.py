"""docs/keys.md and `nervenet explain` are what the tables of the experiment say."""

from __future__ import annotations

from pathlib import Path

import pytest
from nervenet.nodes.config import reference
from nervenet.nodes.config.reference import all_keys, explain, markdown
from nervenet.nodes.config.schema import Experiment
from nervenet.scripts.main import execute

PAGE = Path(__file__).parents[3] / "docs" / "keys.md"


def test_the_page_is_made_of_the_tables() -> None:
    made = "made anew by: python -m nervenet.nodes.config.reference > docs/keys.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(), made


def test_a_comment_that_changed_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    comments = reference._comments
    monkeypatch.setattr(
        reference, "_comments", lambda table: {name: f"not {it}" for name, it in comments(table).items()}
    )
    assert PAGE.read_text(encoding="utf-8") != markdown()


def test_every_key_of_a_file_has_a_meaning() -> None:
    infos = all_keys()
    assert [info.key for info in infos if not info.meaning] == []
    tables = Experiment().to_dict()
    keys = {name for name, value in tables.items() if not isinstance(value, dict)}
    keys |= {f"{name}.{leaf}" for name, value in tables.items() if isinstance(value, dict) for leaf in value}
    assert keys <= {info.key for info in infos}


def test_a_key_is_explained_by_either_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", "quorum"]) == 0
    short = capsys.readouterr().out
    assert execute(["explain", "federated.quorum"]) == 0
    assert capsys.readouterr().out == short
    assert "above 0 and at most 1" in short
    assert "default  1.0" in short
    assert len(explain("training")) > 5


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [("strategy", "fedavg", "fedbuff"), ("algorithm", "dpsgd", "gossip-learning"), ("topology", "ring", "edges")],
)
def test_what_is_chosen_by_name_is_listed(key: str, first: str, last: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", key]) == 0
    names = capsys.readouterr().out.splitlines()[-1].removeprefix("  names    ").split(", ")
    assert {first, last} <= set(names)
    assert execute(["explain", "training"]) == 0
    assert "  names  " not in capsys.readouterr().out


def test_no_key_is_explained_by_where_the_code_has_it() -> None:
    assert [info.key for info in all_keys() if "registry" in info.meaning] == []


def test_an_unknown_key_suggests_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", "quorm"]) == 2
    assert "quorm: there is no such key; did you mean federated.quorum?" in capsys.readouterr().err


def test_parameters_of_estimators_are_explained_by_where_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", "model.loss"]) == 0
    shown = capsys.readouterr().out
    assert "of sklearn.linear_model.SGDClassifier, whose documentation explains it: https://scikit-learn.org/" in shown
    assert "default  hinge" in shown
    assert "LogisticRegression" not in shown, "it has no such parameter"
    assert "of pegasos" in str(explain("model.penalty")[0])
    idle = [info.meaning for info in explain("model.max_iter")]
    assert any("no effect here: training.epochs says how far a round goes" in meaning for meaning in idle)
    assert any("Ridge, where it has no effect here: the normal equations" in meaning for meaning in idle)


def test_they_would_be_unknown_keys_without_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nervenet.nodes.config.model_parameters.owners", lambda _: [])
    assert execute(["explain", "model.loss"]) == 2
    assert "no such key, nor is it a parameter of a model that is built in" in capsys.readouterr().err
