"""A node leaves the rows of a large file on disk, and says before it reads one what cannot train so."""

import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables import stored
from nervenet.models.tables.stored_table import StoredTable
from nervenet.nodes.config.factory import build_model
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching import data_shares, standalone


@pytest.fixture
def large(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SAMPLE", 64)
    path = tmp_path / "site.csv"
    path.write_text("a,b,y\n" + "".join(f"{row},{row / 4},{row % 2}\n" for row in range(400)))
    return path


def experiment(path, **further):
    return load_experiment(None, {"data.name": str(path), "data.in_memory_mb": 0.001, **further})


def test_the_rows_of_a_large_file_stay_on_disk(large):
    site, _ = standalone._site_model("client", "run", experiment(large), None)
    assert isinstance(site._rows.X, StoredTable)
    assert site.examples == 320
    whole, _ = standalone._site_model("client", "run", experiment(large, **{"data.in_memory_mb": 1}), None)
    assert not isinstance(whole._rows.X, StoredTable)


def test_a_model_that_takes_all_rows_is_refused_before_the_file_is_read(large, monkeypatch):
    pytest.importorskip("sklearn")

    def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr("nervenet.models.tables.stored.load_stored", read)
    run = experiment(large, **{"model.name": "sklearn.linear_model.LogisticRegression"})
    with pytest.raises(DataError, match=r"model.name: LogisticRegression trains on all rows at once, and .*site.csv"):
        data_shares.load_for(build_model(run), run, in_memory_mb=run.data.in_memory_mb)
    # A launch divides the file, and holds it in memory.
    monkeypatch.undo()
    assert len(data_shares.load_for(build_model(run), run)) == 400
