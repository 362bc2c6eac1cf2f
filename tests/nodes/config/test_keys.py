"""What ``--set`` takes."""

import pytest
from nervenet.nodes.config import keys
from nervenet.nodes.config.keys import ExperimentError, left_open, override, parse_set
from nervenet.nodes.config.schema import Experiment


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=0.5", ("a", 0.5)),
        ("a=.5", ("a", 0.5)),
        ("a=-1.e-3", ("a", -0.001)),
        ("a=.b", ("a", ".b")),
        ("a=1.2.3", ("a", "1.2.3")),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a=true", ("a", True)),
        ("a=ring", ("a", "ring")),
        ('a="3"', ("a", "3")),
        ("a=x=y", ("a", "x=y")),
        ("a=1\nb=2", ("a", "1\nb=2")),
    ],
)
def test_set_reads_toml_values_and_plain_words(text: str, pair: tuple[str, object]) -> None:
    assert parse_set(text) == pair


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ""])
def test_set_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="expected KEY=VALUE"):
        parse_set(text)


@pytest.mark.parametrize(
    "key",
    ["evaluation.until", "processes", "gossip.mixing", "federated.compression", "evaluation.scorers", "data.target"],
)
def test_none_takes_back_a_key_that_may_be_left_open(key: str) -> None:
    for text in ("none", "None", "", " "):
        assert left_open(Experiment, key, text)
    assert not left_open(Experiment, key, "some")
    section, _, leaf = key.rpartition(".")
    tables = {section: {leaf: 1, "more": 2}} if section else {leaf: 1, "more": 2}
    assert override(tables, {key: None}) == ({section: {"more": 2}} if section else {"more": 2})


@pytest.mark.parametrize(
    "key", ["nodes", "data.scale", "data.name", "model.penalty", "no.such", "federated.until", "a.b.c"]
)
def test_none_is_a_value_like_others_for_the_rest(key: str) -> None:
    assert not left_open(Experiment, key, "none")


@pytest.mark.parametrize("name", ["wt.loss", "a.b.c", '"wt.loss"', "plain", "a b"])
def test_the_name_of_a_column_may_have_points(name: str) -> None:
    key, value = parse_set(f'data.columns.{name}.gaps=["?"]')
    assert override({}, {key: value}) == {"data": {"columns": {name.strip('"'): {"gaps": ["?"]}}}}


def test_at_every_point_the_name_of_a_column_would_fall_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_path", lambda dotted: dotted.split("."))
    assert override({}, {"data.columns.wt.loss.gaps": []}) != {"data": {"columns": {"wt.loss": {"gaps": []}}}}
