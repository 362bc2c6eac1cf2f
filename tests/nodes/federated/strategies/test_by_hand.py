"""Each strategy's update beside one that can be done on paper."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.federated.strategies import Contribution, Outcome, Strategy, StrategyError
from nervenet.nodes.federated.strategies.asynchronous import discount
from nervenet.nodes.federated.strategies.registry import build_strategy

X = np.array([1.0, 2.0])
TWO = [[2.0, 2.0], [1.0, 4.0]]
STEP = np.array([0.25, 1.5])  # the mean of the two, 1 : 3, less X

THREE = [[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]
FIVE = [*THREE[:1], *THREE[1:], [2.0, 3, 4], [100, 100, 100]]


def reports(
    rows: Sequence[Sequence[float]],
    base: Any = X,
    examples: Sequence[int] = (1, 3),
    parts: Sequence[Sequence[float]] = (),
    **metrics: Sequence[float],
) -> list[Contribution]:
    found = []
    for i, row in enumerate(rows):
        body = np.array([*row, *(parts[i] if parts else ())], float)
        reported = {name: values[i] for name, values in metrics.items()}
        found.append(Contribution(f"c{i}", body, np.asarray(base), examples[i % len(examples)], reported))
    return found


def first(strategy: Strategy, contributions: Sequence[Contribution], x: Any = X, population: int = 2) -> Outcome:
    x = np.asarray(x)
    return strategy.apply(strategy.init(x, population), x, contributions)


def merged(name: str, rows: Sequence[Sequence[float]], x: Any, **arguments: Any) -> Outcome:
    return first(build_strategy(name, arguments), reports(rows, base=x), x)


def test_federated_averaging_weighs_by_examples() -> None:
    np.testing.assert_allclose(merged("fedavg", TWO, X).weights, X + STEP, rtol=1e-15)


def test_momentum_goes_on_when_nobody_pulls() -> None:
    strategy = build_strategy("fedavgm", {"server_rate": 0.5, "server_momentum": 0.9})
    one = first(strategy, reports(TWO))
    np.testing.assert_allclose(one.weights, X + 0.5 * STEP, rtol=1e-15)
    two = strategy.apply(one.state, one.weights, reports([one.weights.tolist()] * 2, base=one.weights))
    np.testing.assert_allclose(two.weights, one.weights + 0.45 * STEP, rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "moment", "second"),
    [
        ("fedadagrad", 1.0, 1e-6 + STEP**2),
        ("fedadam", 0.1, 0.99e-6 + 0.01 * STEP**2),
        ("fedyogi", 0.1, 1e-6 + 0.01 * STEP**2),
    ],
)
def test_adaptive_servers_divide_by_the_root_of_the_second_moment(name: str, moment: float, second: Any) -> None:
    after = merged(name, TWO, X, server_rate=0.1).weights
    np.testing.assert_allclose(after, X + 0.1 * moment * STEP / (np.sqrt(second) + 1e-3), rtol=1e-12)


def test_fedprox_asks_clients_for_the_pull_and_averages() -> None:
    strategy = build_strategy("fedprox", {"mu": 1.0})
    assert strategy.demands.settings == {"proximal": 1.0}
    np.testing.assert_array_equal(first(strategy, reports(TWO)).weights, merged("fedavg", TWO, X).weights)


def test_scaffold_moves_the_control_variate_by_the_share_of_those_who_reported() -> None:
    strategy = build_strategy("scaffold", {"server_rate": 0.5})
    assert strategy.demands.settings == {"control": True}
    assert strategy.demands.parts == ("weights", "control")
    contributions = reports(TWO, parts=[[1.0, 0.0], [3.0, -2.0]])
    one = first(strategy, contributions, population=4)
    np.testing.assert_allclose(one.weights, X + 0.5 * np.array([0.5, 1.0]), rtol=1e-15)  # all count alike
    np.testing.assert_array_equal(one.outgoing[0], [1.0, -0.5])
    two = strategy.apply(one.state, X, contributions)
    np.testing.assert_array_equal(two.outgoing[0], [2.0, -1.0])
    np.testing.assert_array_equal(one.outgoing[0], [1.0, -0.5])  # a round that is not counted leaves nothing behind


def test_scaffold_must_know_how_many_there_are() -> None:
    with pytest.raises(StrategyError, match="how many clients"):
        build_strategy("scaffold", {}).init(X, 0)


def test_fednova_averages_per_step_and_goes_as_far_as_an_average_client() -> None:
    # p = 1/4, 3/4; τ_eff = 2/4 + 30/4 = 8; d = -[1, 0] / 2 and -[0, 2] / 10.
    outcome = first(build_strategy("fednova", {}), reports(TWO, fednova_normalizer=[2.0, 10.0]))
    np.testing.assert_allclose(outcome.weights, X + 8 * np.array([0.25 / 2, 0.75 * 2 / 10]), rtol=1e-14)
    assert outcome.metrics["effective_steps"] == 8
    alike = first(build_strategy("fednova", {}), reports(TWO, fednova_normalizer=[7.0, 7.0]))
    np.testing.assert_allclose(alike.weights, X + STEP, rtol=1e-14)


def check_no_claim_of_work_decides_for_all(claim: float) -> None:
    three = reports([*TWO, [5.0, 5.0]], fednova_normalizer=[2.0, 10.0, claim])
    outcome = first(build_strategy("fednova", {}), three)
    assert "within a factor of 1000" in outcome.rejected["c2"]
    np.testing.assert_array_equal(outcome.weights, first(build_strategy("fednova", {}), three[:2]).weights)


@pytest.mark.parametrize("claim", [1e-300, 1e-9, 1e9, 1e308])
def test_fednova_believes_no_claim_of_work_that_decides_for_all(claim: float) -> None:
    check_no_claim_of_work_decides_for_all(claim)


@pytest.mark.parametrize("claim", [1e-300, 1e308])
def test_any_claim_of_work_would_fail_the_round(claim: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.strategies.client_drift.UNEQUAL", float("inf"))
    with pytest.raises((ValueError, AssertionError, KeyError)):
        check_no_claim_of_work_decides_for_all(claim)


@pytest.mark.parametrize(("name", "metric"), [("fednova", "fednova_normalizer"), ("qfedavg", "probe_loss")])
@pytest.mark.parametrize("said", [None, float("nan"), float("inf"), -1.0])
def test_who_does_not_say_what_the_strategy_needs_is_rejected_by_name(name: str, metric: str, said: Any) -> None:
    strategy = build_strategy(name, {})
    good, bad = reports(TWO, **{metric: [1.0, 2.0]})
    metrics: Mapping[str, float] = {} if said is None else {metric: said}
    bad = Contribution(bad.client, bad.body, bad.base, bad.examples, metrics)
    outcome = first(strategy, [good, bad])
    assert list(outcome.rejected) == ["c1"]
    assert metric in outcome.rejected["c1"]
    np.testing.assert_array_equal(outcome.weights, first(strategy, [good]).weights)
    with pytest.raises(StrategyError, match=rf"no update is left.*c1: {metric} must be"):
        first(strategy, [bad])


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        # L = 2, Δ = -[2, 0] and -[0, 4], F = 1 and 4: h = q F^(q-1) |Δ|² + 2 F^q.
        (0, np.array([0.5, 1.0])),
        (1, np.array([2, 4 * 4]) / (4 + 2 + 16 + 8)),
        (2, np.array([2, 16 * 4]) / (2 * 4 + 2 + 2 * 4 * 16 + 2 * 16)),
    ],
)
def test_qfedavg_weighs_by_powers_of_the_loss(q: float, expected: Any) -> None:
    strategy = build_strategy("qfedavg", {"q": q, "step": 0.5})
    assert strategy.demands.settings == {"probe": True}
    outcome = first(strategy, reports(TWO, probe_loss=[1.0, 4.0]))
    np.testing.assert_allclose(outcome.weights, X + expected, rtol=1e-14)
    assert (outcome.metrics["probe_loss_mean"], outcome.metrics["probe_loss_worst"]) == (2.5, 4.0)


def test_qfedavg_takes_losses_of_any_size() -> None:
    for losses in ([0.0, 1.0], [0.0, 0.0], [1e300, 1e-300]):
        for q in (0.5, 5.0):
            outcome = first(build_strategy("qfedavg", {"q": q}), reports(TWO, probe_loss=losses))
            assert np.isfinite(outcome.weights).all()


def check_qfedavg_learns_whatever_the_units(step: float | None) -> None:
    """Updates and losses of another scale mean steps of another length, and of the same share."""
    arguments = {} if step is None else {"step": step}
    for length, loss in [(1.0, 1.0), (30.0, 1.0), (1.0, 0.01), (30.0, 1e-4)]:
        target = X + length
        outcome = first(build_strategy("qfedavg", arguments), reports([target.tolist()] * 2, probe_loss=[loss] * 2))
        np.testing.assert_allclose(outcome.weights, X + length / 2, rtol=1e-12)


def test_qfedavg_learns_whatever_the_units() -> None:
    check_qfedavg_learns_whatever_the_units(None)


def test_by_the_clients_learning_rate_qfedavg_would_stand_still() -> None:
    with pytest.raises(AssertionError):
        check_qfedavg_learns_whatever_the_units(0.05)


def test_medians_and_trimmed_means() -> None:
    for name in ("median", "trimmed-mean"):
        np.testing.assert_allclose(merged(name, THREE, np.zeros(3)).weights, [4, 5, 6], rtol=1e-15)
    np.testing.assert_array_equal(merged("median", FIVE, np.zeros(3)).weights, [4, 5, 6])
    np.testing.assert_allclose(merged("geometric-median", THREE, np.zeros(3)).weights, [4, 5, 6], rtol=1e-6)


def test_krum_says_whom_it_has_chosen() -> None:
    outcome = merged("krum", FIVE, np.zeros(3))
    np.testing.assert_array_equal(outcome.weights, [2, 3, 4])
    assert outcome.metrics == {"selected": ["c3"]}
    assert outcome.rejected == {}  # who is not chosen has done nothing wrong
    outcome = merged("multi-krum", FIVE, np.zeros(3))
    np.testing.assert_allclose(outcome.weights, [3.5, 4.5, 5.5], rtol=1e-15)
    assert outcome.metrics == {"selected": ["c0", "c1", "c2", "c3"]}
    np.testing.assert_allclose(merged("multi-krum", FIVE, np.zeros(3), m=2).weights, [1.5, 2.5, 3.5], rtol=1e-15)


def test_bulyan_averages_around_the_median_of_those_chosen() -> None:
    rows = [[x, 0.0] for x in (0.0, 1.0, 2.0, 3.0, 4.0, 50.0)] + [[2.0, 1.0]]
    outcome = merged("bulyan", rows, np.zeros(2))
    np.testing.assert_allclose(outcome.weights, [5 / 3, 0.0], rtol=1e-15)
    assert outcome.metrics == {"selected": ["c1", "c2", "c3", "c4", "c6"]}


def test_centered_clipping_starts_from_the_present_model() -> None:
    x = np.array([1.0, 1.0, 1.0])
    rows = np.array(THREE) + 1
    # Norms sqrt(14), sqrt(77), sqrt(194): with τ = 5 the first counts in full.
    expected = 1 + (np.array(THREE[0]) + 5 * np.array(THREE[1]) / sqrt(77) + 5 * np.array(THREE[2]) / sqrt(194)) / 3
    np.testing.assert_allclose(merged("centered-clipping", rows.tolist(), x, tau=5).weights, expected, rtol=1e-14)


def test_a_norm_bound_shortens_and_weighs() -> None:
    # [3, 4] less than [1, 0] away has norm 5 and is halved.
    after = merged("norm-bound", [[4.0, 4.0], [1.0, 1.0]], np.array([1.0, 0.0]), bound=2.5).weights
    np.testing.assert_allclose(after, [(2.5 + 3 * 1) / 4, (2 + 3 * 1) / 4], rtol=1e-15)


def test_staleness_weighs_as_in_the_paper() -> None:
    assert [discount("polynomial", s, 0.5, 0) for s in (0, 3, 15)] == [1, 0.5, 0.25]
    assert [discount("hinge", s, 10, 4) for s in (0, 4, 5, 14)] == [1, 1, 1 / 11, 1 / 101]


@pytest.mark.parametrize(
    ("arguments", "alpha"),
    [
        ({}, 0.3),  # 0.6 / sqrt(1 + 3)
        ({"staleness": "constant"}, 0.6),
        ({"staleness": "hinge", "a": 0.5, "b": 1, "alpha": 1}, 0.5),
    ],
)
def test_fedasync_moves_towards_a_stale_update_by_less(arguments: Mapping[str, Any], alpha: float) -> None:
    strategy = build_strategy("fedasync", arguments)
    assert (strategy.demands.asynchronous, strategy.demands.buffer) == (True, 1)
    base = np.array([-5.0, 0.0])
    absolute = Contribution("c", np.array([2.0, 2.0]), base, 1, staleness=3)
    relative = Contribution("c", np.array([7.0, 2.0]), base, 1, relative=True, staleness=3)
    for contribution in (absolute, relative):
        np.testing.assert_allclose(first(strategy, [contribution]).weights, [1 + alpha, 2], rtol=1e-15)


def test_fedasync_can_ask_for_the_papers_pull() -> None:
    assert build_strategy("fedasync", {}).demands.settings == {}
    assert build_strategy("fedasync", {"rho": 0.01}).demands.settings == {"proximal": 0.01}


def test_fedbuff_moves_by_differences_to_what_each_started_from() -> None:
    strategy = build_strategy("fedbuff", {"buffer": 2, "server_rate": 0.5, "max_staleness": 7})
    demands = strategy.demands
    assert (demands.asynchronous, demands.buffer, demands.max_staleness) == (True, 2, 7)
    old = np.array([10.0, 10.0])
    contributions = [
        Contribution("a", np.array([2.0, 2.0]), X, 1),
        Contribution("b", np.array([10.0, 14.0]), old, 9, staleness=3),
    ]
    # Half a step by the mean of [1, 0] and [0, 4] / sqrt(4).
    np.testing.assert_allclose(first(strategy, contributions).weights, [1.25, 2.5], rtol=1e-15)
    relative = [Contribution(c.client, c.delta(), c.base, 1, {}, True, c.staleness) for c in contributions]
    np.testing.assert_allclose(first(strategy, relative).weights, [1.25, 2.5], rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "arguments", "n", "said"),
    [
        ("trimmed-mean", {"f": 2}, 4, r"trimmed mean cannot tolerate f = 2 .* n = 4: .*at most f = 1"),
        ("krum", {"f": 2}, 6, r"krum cannot tolerate f = 2 .* n = 6: it needs n >= 2f \+ 3.*at most f = 1"),
        ("multi-krum", {"f": 2}, 6, r"multi-krum cannot tolerate f = 2"),
        ("multi-krum", {"m": 5}, 5, r"m = 5 of n = 5: at most n - f = 4"),
        ("bulyan", {"f": 2}, 10, r"n >= 4f \+ 3"),
        ("centered-clipping", {"f": 2}, 4, r"n >= 2f \+ 1"),
    ],
)
def test_too_many_hostile_are_refused_before_the_start_and_in_a_round(
    name: str, arguments: Mapping[str, Any], n: int, said: str
) -> None:
    strategy = build_strategy(name, arguments)
    strategy.check(n + 1)
    with pytest.raises(StrategyError, match=said):
        strategy.check(n)
    with pytest.raises(StrategyError, match=said):
        first(strategy, reports([[float(i), 0.0] for i in range(n)]))


def test_a_buffer_that_is_never_full_is_refused() -> None:
    build_strategy("fedbuff", {"buffer": 4}).check(4)
    with pytest.raises(StrategyError, match="buffer of 4 updates needs as many clients at least, found 3"):
        build_strategy("fedbuff", {"buffer": 4}).check(3)
