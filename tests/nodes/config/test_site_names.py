"""Sites are called as their files."""

from pathlib import Path

from nervenet.nodes.config.site_names import repeated, site_names


def test_a_site_is_called_as_its_file_whatever_kind_that_is() -> None:
    assert site_names(["b/north.csv.gz", "a/south.parquet"]) == {
        "north": Path("b/north.csv.gz"),
        "south": Path("a/south.parquet"),
    }


def test_the_folder_tells_files_of_one_name_apart() -> None:
    assert list(site_names(["b/rows.csv", "a/rows.csv"])) == ["a-rows", "b-rows"]
    assert list(site_names(["a/rows.csv", "a/rows.csv"])) == ["a-rows", "a-rows-2"]


def test_a_file_that_several_sites_have_is_told_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n")
    (tmp_path / "link.csv").symlink_to("a.csv")
    files = [tmp_path / "a.csv", tmp_path / "b.csv", f"{tmp_path}/./link.csv"]
    (line,) = repeated(files)
    assert line.startswith("2 sites have the rows of one file: ")
    assert "a.csv, " in line
    assert "link.csv" in line
    assert repeated(files[:2]) == []


def test_what_no_node_may_be_called_is_left_out() -> None:
    assert list(site_names(["coordinator.csv", "Süd 1.csv", "--.csv"])) == ["S-d-1", "coordinator-site", "site"]
