"""What an answer says of itself is held against what is known of its sender."""

import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.strategies.pipeline import by_examples
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.payload_checks import update_fault

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SETTLED = ev.ModelReady({}, MODEL, "w0")


def an_update(examples: int) -> m.Update:
    return m.Update(1, 0, examples, {}, None, MODEL)


@pytest.mark.parametrize(("examples", "fits"), [(-1, False), (0, False), (1, True), (10, True), (11, False)])
def test_nobody_counts_for_more_rows_than_it_enrolled_with(examples: int, fits: bool) -> None:
    update = an_update(examples)
    fault = update_fault(update, ev.Arrived("c", update, "w", None), "train", MODEL, 10)
    assert (fault is None) == fits
    assert fits or (fault is not None and fault[0] == "examples" and str(examples) in fault[1])


def shares_after_a_claim() -> list[float]:
    """What each of two clients weighs in a round in which the second claims a thousand million examples."""
    state = CoordinatorMachine(coordinator_config(rounds=1, clients=frozenset("ab"), min_clients=1))
    state.handle(ev.Started(), 0.0)
    for name in "ab":
        state.handle(ev.LinkUp(name, "client", 1), 0.0)
        state.handle(ev.Arrived(name, m.Ready(examples=10, pid=1), None, None), 0.0)
    survey = m.Payload(layout="survey", dtype="float64", length=3)
    for name in "ab":
        state.handle(ev.Arrived(name, m.Update(0, 0, 10, {}, {}, survey), "s", None), 0.0)
    state.handle(SETTLED, 0.0)
    effects = state.handle(ev.Arrived("a", an_update(10), "a1", None), 0.0)
    effects += state.handle(ev.Arrived("b", an_update(10**9), "b1", None), 0.0)
    (fold,) = [effect for effect in effects if isinstance(effect, e.Fold)]
    return by_examples(fold.contributions)


def test_a_claim_takes_no_model_over() -> None:
    assert shares_after_a_claim() == [1.0]


def test_without_that_check_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    heedless = "nervenet.nodes.federated.admission.update_fault"
    monkeypatch.setattr(heedless, lambda *given: update_fault(*given[:4], 10**12))
    monkeypatch.setattr("nervenet.nodes.federated.client_registry.ClientRegistry.cap", lambda self, ratio: 10**12)
    assert shares_after_a_claim() == [0.5, 0.5], "it would have half"
    believed = "nervenet.nodes.federated.run_state.without_majority"
    monkeypatch.setattr(believed, lambda updates, _told, weighted: (list(updates), {}))
    assert shares_after_a_claim()[1] > 0.99
