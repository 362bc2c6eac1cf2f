"""What a round's answers say: whatever clients tell of themselves, the coordinator can average it and say it."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from nervenet.nodes.federated import round as one_round
from nervenet.nodes.federated.round import encoding_figures, site_metrics, weighted_loss
from nervenet.nodes.federated.strategies import Contribution


def reported(**by: Mapping[str, float]) -> dict[str, Contribution]:
    return {name: Contribution(name, None, None, 10, metrics) for name, metrics in by.items()}


HONEST = {"holdout_examples": 10.0, "holdout_accuracy": 0.5, "holdout_loss": 1.0, "loss": 1.0}


@pytest.mark.parametrize(
    "hostile",
    [
        {f"holdout_{name}": 1.0 for name in ("examples", "round", "sites", "source", "spread", "worst", "z")},
        {"holdout_examples": 1e300, "holdout_accuracy": 1.0},
        {"holdout_examples": 1e15, "holdout_accuracy": 1e308, "holdout_loss": -1e308, "loss": 1e308},
        {"holdout_examples": math.nan, "holdout_accuracy": math.inf, "loss": math.nan},
        {"raw_bytes": 1e308, "sent_bytes": 1e308, "codec_error": 1e308},
    ],
    ids=["names that are taken", "countless rows", "values beyond all sums", "no numbers", "bytes"],
)
def test_nothing_that_a_client_reports_of_itself_breaks_a_round(hostile: Mapping[str, float]) -> None:
    admitted = reported(a=HONEST, b=HONEST, c=hostile, d=hostile)
    found: dict[str, Any] = site_metrics(admitted)
    assert found["sites"] in (2, 4)
    assert found["source"] == "sites"
    assert found["spread"]["accuracy"]["min"] == 0.5
    assert all(math.isfinite(found[name]) for name in ("accuracy", "loss"))
    msgspec.msgpack.encode([found, weighted_loss(admitted), encoding_figures(admitted)])
    assert math.isfinite(weighted_loss(admitted) or math.nan)


def test_a_metric_that_takes_the_place_of_the_spread_would_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_round, "RESERVED", {"examples"})
    with pytest.raises(TypeError):
        site_metrics(reported(a=HONEST, b={"holdout_examples": 1.0, "holdout_spread": 1.0}))


def test_values_without_a_limit_would_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_round, "MOST_BYTES", math.inf)
    with pytest.raises(OverflowError):
        encoding_figures(
            reported(
                a=dict.fromkeys(("raw_bytes", "sent_bytes", "codec_error"), 1e308),
                b={"raw_bytes": 1e308, "sent_bytes": 1e308, "codec_error": 1e308},
            )
        )


def test_a_site_counts_for_no_more_rows_than_others_may_have() -> None:
    liar = {"holdout_examples": 1e9, "holdout_accuracy": 1.0}
    found = site_metrics(reported(a=HONEST, b=HONEST, c=liar), ratio=2)
    assert found["examples"] == 10 + 10 + 20
    assert found["accuracy"] == pytest.approx((0.5 + 0.5 + 2 * 1.0) / 4)


def test_what_few_report_takes_no_room_from_what_all_do() -> None:
    flood = {f"holdout_{i:05d}": 1.0 for i in range(10_000)} | {"holdout_" + "x" * 10_000: 1.0, "holdout_examples": 1.0}
    found = site_metrics(reported(a=HONEST, b=HONEST, c=flood))
    assert {"accuracy", "loss"} <= set(found["spread"])
    assert len(found["spread"]) == one_round.MOST_NAMES
