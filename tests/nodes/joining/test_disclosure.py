"""What a site is shown before it joins: what would leave it, when, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.data.data import DataError
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.joining.disclosure import Disclosure, disclosure
from nervenet.nodes.joining.invitation import Invitation
from nervenet.nodes.joining.shared_part import with_own
from nervenet.nodes.joining.site_rows import SiteRows, rows_of

from .conftest import new_hub

Invited = Callable[..., Invitation]


def shown(invitation: Invitation, **own: Any) -> Disclosure:
    said = {key.replace("__", "."): value for key, value in own.items()}
    return disclosure(invitation, Experiment.from_dict(with_own(invitation.experiment, {}, said, "hub")))


def text(found: Disclosure) -> str:
    return "\n".join(f"{each.when}: {each.what} -> {each.to}" for each in found.leaves)


def test_a_client_tells_the_coordinator_and_the_broker(invited: Invited) -> None:
    found = shown(invited())
    assert found.plan == "federated, fedavg; 20 rounds, 3 sites; model mlp of 64 hidden units"
    assert {each.to for each in found.leaves} == {"the coordinator (hub)", "the broker (hub), and whom that lets watch"}
    assert [each.when for each in found.leaves] == ["before round 1", "in each round", "when judged", "all the time"]
    assert "if they are of 10 rows or more" in text(found)
    assert "the rows themselves" in found.stays[0]


def test_a_peer_tells_all_peers_and_its_neighbors(tmp_path: Path, invited: Invited) -> None:
    found = shown(invited(folder=new_hub(tmp_path / "p", ("broker",), ("south",)), mode="gossip"))
    assert {each.to for each in found.leaves} >= {"all peers of the run", "its neighbors (ring)"}
    assert found.plan.startswith("gossip, dpsgd on ring")


@pytest.mark.parametrize(
    ("overrides", "own", "words"),
    [
        ({"federated__personal": ["weight.1"]}, {}, "all but weight.1"),
        ({"federated__participation": 0.5}, {}, "when asked (50% of the sites a round)"),
        ({"training__class_weight": "balanced"}, {}, "counts (rows by class"),
        ({}, {"data__weight": "count"}, "the sums of the weights of its rows (column count)"),
        (
            {"evaluation__site_matrix": True},
            {},
            "a model of this site's rows alone, and judgments of the other sites') -> the coordinator (hub), and all",
        ),
        ({}, {"evaluation__report_rows": 50}, "if they are of 50 rows or more"),
    ],
)
def test_what_an_experiment_asks_in_addition_is_shown(
    overrides: dict[str, Any], own: dict[str, Any], words: str, invited: Invited
) -> None:
    assert words in text(shown(invited(**overrides), **own))
    assert words not in text(shown(invited()))


def test_a_site_keeps_its_own_model_by_its_own_word(invited: Invited) -> None:
    assert "alone" not in text(shown(invited(evaluation__site_matrix=True), evaluation__site_matrix=False))


def test_what_the_sites_own_policy_would_decline_is_known_before_anybody_is_asked(invited: Invited) -> None:
    tables = {**invited().experiment, "site": {"allow": {"runs": ["retina-*"], "max_rounds": 50}}}
    found = disclosure(invited(), Experiment.from_dict(tables))
    assert found.policy == ("runs: retina-*", "runs of at most 50 rounds")
    assert found.declined == ("site.allow.runs: found run flowers; allowed: retina-*",)
    assert shown(invited()).declined == ()


def test_code_of_ones_own_is_named(invited: Invited) -> None:
    found = disclosure(invited(), Experiment.from_dict({"model": {"name": "hospital.models:Net"}}))
    assert found.code == ("model.name = hospital.models:Net",)
    assert shown(invited(model__name="sklearn.linear_model.SGDClassifier")).code == ()


def test_the_rows_are_read_for_their_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "north.csv"
    path.write_text("id,age,died\n" + "".join(f"{row},{row + 20},{'yes' if row % 2 else 'no'}\n" for row in range(10)))
    experiment = Experiment.from_dict({"data": {"name": str(path), "drop": ["id"]}})
    assert rows_of(experiment) == SiteRows(str(path), 10, ("age",), "died", 0.2)
    monkeypatch.setattr("nervenet.nodes.joining.site_rows.MOST_BYTES", 10)
    assert rows_of(experiment) == SiteRows(str(path))
    path.unlink()
    with pytest.raises(ExperimentError, match="No such file"):
        rows_of(experiment)
    with pytest.raises(DataError):
        rows_of(Experiment.from_dict({"data": {"name": "irs"}}))
