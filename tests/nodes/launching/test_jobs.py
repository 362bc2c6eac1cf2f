"""What is imported before it is needed: by the fork server for all nodes, by the launcher for the results."""

import sys

import pytest
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching import jobs
from nervenet.nodes.launching.jobs import import_ahead, imported_modules

SGD = {"model.name": "sklearn.linear_model.SGDClassifier"}


def test_the_fork_server_imports_an_estimators_package_for_all_nodes() -> None:
    assert "sklearn.linear_model" in imported_modules(load_experiment(overrides=SGD))
    assert imported_modules(load_experiment()) == []


def test_what_results_are_written_with_is_imported_while_the_nodes_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(jobs, "import_module", asked.append)
    thread = import_ahead(load_experiment(overrides=SGD))
    assert thread is not None
    thread.join(60)
    assert asked == ["skops.io", "matplotlib.backends.backend_agg", "matplotlib.figure"]
    assert import_ahead(load_experiment()) is None


def test_a_package_that_is_missing_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    thread = import_ahead(load_experiment(overrides=SGD))
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
