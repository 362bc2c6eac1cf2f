"""Which files at the workers are whose."""

from pathlib import Path

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.launching.placement.sites_there import SiteFile, look, machines_of, sites_at

A1, A2, B = "tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.2:1"


def test_what_matches_is_told_by_absolute_path_and_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    relative, absolute, elsewhere, nothing = look(["*.csv", f"{tmp_path}/a.*", f"north:{tmp_path}/a.csv", "*.arff"])
    assert [path for path, _ in relative] == [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]
    assert relative[0] == absolute[0] == elsewhere[0]
    assert relative[0][1] != relative[1][1]
    assert nothing == []


def test_one_file_that_several_workers_see_is_one_site() -> None:
    seen = [[("/data/a.csv", (7, 1, 1)), ("/data/b.csv", (8, 1, 1))]]
    assert sites_at({A1: seen, A2: seen, B: seen}, ["/data/*.csv"]) == {
        "/data/a.csv": SiteFile("/data/a.csv", (A1, A2, B)),
        "/data/b.csv": SiteFile("/data/b.csv", (A1, A2, B)),
    }


def test_files_of_one_path_on_several_machines_are_a_site_each() -> None:
    one, other = [[("/data/own.csv", (7, 1, 1))]], [[("/data/own.csv", (9, 5, 5))]]
    sites = sites_at({A1: one, A2: one, B: other}, ["/data/own.csv"])
    assert sites == {
        "10.0.0.1:/data/own.csv": SiteFile("/data/own.csv", (A1, A2)),
        "10.0.0.2:/data/own.csv": SiteFile("/data/own.csv", (B,)),
    }
    both = [*one, *one], [*other, *other]
    again = sites_at({A1: both[0], A2: both[0], B: both[1]}, list(sites))
    assert again == sites, "what they are called finds them again"


def test_a_pattern_that_matches_nowhere_is_named() -> None:
    with pytest.raises(
        ExperimentError, match=r"data\.sites = '/data/\*': no such file at any worker \(tcp://10\.0\.0\.1:1"
    ):
        sites_at({A1: [[]]}, ["/data/*"])
    with pytest.raises(ExperimentError, match=r"none are there"):
        sites_at({}, ["/data/*"])


def test_a_site_may_be_at_any_worker_of_the_machines_that_see_its_file() -> None:
    assert machines_of([A2, A1, B]) == ["10.0.0.1", "10.0.0.2"], "one that comes back has another port"
    assert machines_of(["inproc://10.0.0.1/7/4"]) == ["inproc://10.0.0.1/7/4"]
