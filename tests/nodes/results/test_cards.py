"""The cards of a run's models, with how the run went."""

from pathlib import Path

import numpy as np
from nervenet.models import MLP, SiteModel, save_model
from nervenet.models.site_statistics import agree
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.cards import write_cards

SUMMARY = {
    "mode": "federated",
    "nodes": 3,
    "completed_rounds": 7,
    "accuracy": 0.5,
    "best": {"round": 4, "accuracy": 0.75},
}


def test_they_say_how_the_models_came_to_be(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    one = SiteModel(MLP(hidden=(4,)), X, np.arange(30) % 2)
    one.build(agree({"only": one.statistics()}), 0)
    for stem in ("model", "best"):
        save_model(tmp_path, one, stem=stem)
    experiment = Experiment.from_dict({"federated": {"strategy": "fedadam"}, "training": {"epochs": 3}})
    write_cards(experiment, tmp_path, SUMMARY)
    last, best = ((tmp_path / f"{stem}_card.md").read_text() for stem in ("model", "best"))
    for line in ("| nodes | 3 |", "| completed\\_rounds | 7 |", "| strategy | fedadam |", "| epochs | 3 |"):
        assert line in last
        assert line in best
    assert "| accuracy | 0.5 |" in last
    assert "| accuracy | 0.75 |" in best


def test_where_there_is_no_model_there_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("of another program")
    write_cards(Experiment(), tmp_path, SUMMARY)
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]
