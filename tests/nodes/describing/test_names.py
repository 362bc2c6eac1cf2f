"""Sites are called as their files are."""

from pathlib import Path

from nervenet.nodes.describing.names import site_names


def named(*paths):
    return {name: path.as_posix() for name, path in site_names([Path(path) for path in paths]).items()}


def test_a_site_has_the_name_of_its_file():
    assert named("data/north.csv.gz", "south.parquet") == {"north": "data/north.csv.gz", "south": "south.parquet"}


def test_files_of_one_name_are_told_apart_by_their_folders():
    assert list(named("/data/north/ward.csv", "/data/south/ward.csv")) == ["north-ward", "south-ward"]


def test_the_same_file_twice_is_two_sites():
    assert list(named("/data/ward.csv", "/data/ward.csv")) == ["data-ward", "data-ward-2"]


def test_a_name_that_no_node_may_have_is_changed():
    assert list(named("Zürich Süd.csv", "coordinator.csv", ".csv")) == ["Z-rich-S-d", "coordinator-site", "site"]
