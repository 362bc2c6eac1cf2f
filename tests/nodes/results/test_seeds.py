"""Several seeds of one experiment: how they are written, and what their runs come to together."""

import statistics

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.results.seeds import over_seeds, parse_seeds, prepare


def test_seeds_are_whole_numbers_with_commas_between() -> None:
    assert parse_seeds("0, 7,123") == (0, 7, 123)


@pytest.mark.parametrize(
    ("text", "words"),
    [("0,x", "found 'x'"), ("", "found ''"), ("1,,2", "found ''"), ("-1,2", "found '-1'"), ("3", "two or more"),
     ("1,1", "distinct"), ("1.5,2", "found '1.5'"),
     (f"1,{2**63}", "up to 9223372036854775807"), ("1," + "9" * 5000, "found '9{80}';")],
)  # fmt: skip
def test_anything_else_is_refused_by_what_was_found(text: str, words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        parse_seeds(text)


def test_the_digits_of_a_seed_that_python_does_not_read_would_be_a_traceback(monkeypatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.seeds._is_seed", str.isdecimal)
    with pytest.raises(ValueError, match="limit") as caught:
        parse_seeds("1," + "9" * 5000)
    assert not isinstance(caught.value, ExperimentError)


def test_mean_and_deviation_are_those_of_the_sample() -> None:
    runs = {k: {"accuracy": a, "baseline": {"centralised": 0.9}} for k, a in ((0, 0.9), (1, 0.95), (5, 0.91))}
    found = over_seeds(runs)
    assert found["seeds"] == [0, 1, 5]
    assert found["accuracy"]["mean"] == pytest.approx(0.92)
    assert found["accuracy"]["std"] == pytest.approx(statistics.stdev([0.9, 0.95, 0.91]))
    assert found["baseline.centralised"]["std"] == 0
    assert "r2" not in found


def test_a_run_that_diverged_is_not_left_out_of_the_mean_in_silence() -> None:
    found = over_seeds({0: {"r2": 0.5}, 1: {"r2": None}, 2: {"r2": float("nan")}})
    assert found["r2"] == {"mean": None, "std": None, "values": [0.5, None, None]}


def test_the_folder_of_the_runs_must_be_empty(tmp_path) -> None:
    prepare(tmp_path / "new")
    (tmp_path / "new" / "seed-0").mkdir()
    with pytest.raises(ExperimentError, match=r"is not empty \(seed-0\)"):
        prepare(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot be used"):
        prepare(tmp_path / "file")
